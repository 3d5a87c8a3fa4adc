//! Ids as this API writes them: 24 hexadecimal digits, as databases of documents have them. Here they hold the engine's number.

/// An id.
pub(super) fn write(number: i64) -> String {
    format!("{number:024x}")
}

/// The number of an id.
pub(super) fn read(id: &str) -> Option<i64> {
    let plain = id.len() == 24 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| i64::from_str_radix(id, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back() {
        assert_eq!(write(42), "00000000000000000000002a");
        assert_eq!(read(&write((1 << 53) - 1)), Some((1 << 53) - 1));
        for wrong in ["42", "", "+0000000000000000000002a", "ffffffffffffffffffffffff"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
