//! What a file is, from its name and its first bytes.

use super::Format;
use super::mapping::names_phone;
use crate::error::{Error, Kind, Result};

/// The separators looked for; the first wins when nothing tells them apart.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// What the content alone says. Archives and compound files speak for themselves, whatever their name.
pub(super) fn by_magic(sample: &[u8]) -> Result<Option<Container>> {
    let refuse = |what: &str| Err(Error::new(Kind::Invalid, format!("the file is {what}; save it as CSV, JSON or XLSX")));
    match sample {
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Ok(Some(Container::Zip)),
        [0xD0, 0xCF, 0x11, 0xE0, ..] => Ok(Some(Container::Compound)),
        [0x1F, 0x8B, ..] => refuse("gzip-compressed"),
        [b'%', b'P', b'D', b'F', ..] => refuse("a PDF document"),
        _ => Ok(None),
    }
}

/// Files that hold others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    /// XLSX or ODS.
    Zip,
    /// XLS.
    Compound,
}

/// The format a file name stands for.
pub(super) fn by_extension(name: &str) -> Option<Format> {
    let (_, extension) = name.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "csv" => Format::Csv,
        "tsv" | "tab" => Format::Tsv,
        "json" => Format::Json,
        "jsonl" | "ndjson" => Format::JsonLines,
        "xlsx" | "xlsm" => Format::Xlsx,
        "xls" => Format::Xls,
        "ods" => Format::Ods,
        _ => return None,
    })
}

/// The format of text, from what its name stands for and its beginning.
pub(super) fn text_format(named: Option<Format>, sample: &[u8]) -> Result<Format> {
    let start = sample.trim_ascii_start();
    let lower: Vec<u8> = start.iter().take(16).map(u8::to_ascii_lowercase).collect();
    if [&b"<html"[..], b"<!doctype", b"<?xml", b"<table"].iter().any(|tag| lower.starts_with(tag)) {
        return Err(Error::new(
            Kind::Invalid,
            "the file is a web page or XML; open it in a spreadsheet program and save it as CSV or XLSX",
        ));
    }
    let after = |skip: usize| start.get(skip..).unwrap_or_default().trim_ascii_start().first().copied();
    let is_json = match start.first() {
        Some(b'{') => matches!(after(1), Some(b'"' | b'}')),
        Some(b'[') => matches!(after(1), Some(b'{' | b']' | b'[')),
        _ => false,
    };
    match named {
        Some(Format::JsonLines) => Ok(Format::JsonLines),
        _ if is_json => Ok(if start[0] == b'{' && is_lines(start) { Format::JsonLines } else { Format::Json }),
        Some(Format::Json) => Ok(Format::Json),
        Some(Format::Tsv) => Ok(Format::Tsv),
        Some(format @ (Format::Xlsx | Format::Xls | Format::Ods)) => Err(Error::new(
            Kind::Invalid,
            format!("the file is named {} but is no spreadsheet; it may be damaged or cut off", format.as_str()),
        )),
        Some(Format::Csv) | None => Ok(Format::Csv),
    }
}

/// Whether JSON that begins with an object is one object per line: the first line is whole, is no object around the contacts, and
/// is followed by others or is a contact itself.
fn is_lines(start: &[u8]) -> bool {
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let more = !start[line.len()..].trim_ascii().is_empty();
    match serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(line) {
        Ok(object) => {
            !object.get("contacts").is_some_and(serde_json::Value::is_array) && (more || object.keys().any(|key| names_phone(key)))
        }
        Err(_) => false,
    }
}

/// The separator of an Excel `sep=;` line, if the text begins with one.
pub(super) fn sep_line(sample: &[u8]) -> Option<u8> {
    let line = sample.split(|byte| matches!(byte, b'\r' | b'\n')).next()?.trim_ascii_end();
    let line = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(line);
    match line {
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', delimiter] => Some(*delimiter),
        // `sep=<tab>` loses its separator to the trimming above.
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'='] => Some(b'\t'),
        _ => None,
    }
}

/// The separator that cuts the sample into the most regular rows, outside quotes.
pub(super) fn delimiter(sample: &[u8], named: Option<Format>) -> u8 {
    let preferred = if named == Some(Format::Tsv) { b'\t' } else { DELIMITERS[0] };
    let mut best = (0.0, preferred);
    for candidate in DELIMITERS {
        let score = regularity(sample, candidate) + if candidate == preferred { 0.01 } else { 0.0 };
        if score > best.0 + 1e-9 {
            best = (score, candidate);
        }
    }
    best.1
}

/// How regular rows are under a separator: the share of rows with the commonest number of cells, more for more cells, and much more
/// when one of the cells of the first row names a phone.
fn regularity(sample: &[u8], delimiter: u8) -> f64 {
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).has_headers(false).from_reader(sample);
    let mut record = csv::ByteRecord::new();
    let mut counts = std::collections::BTreeMap::<usize, u32>::new();
    let (mut rows, mut named) = (0u32, false);
    while rows < 50 && reader.read_byte_record(&mut record).unwrap_or(false) {
        // The sample may end in the middle of its last row.
        if rows > 0 && reader.position().byte() as usize >= sample.len() && !sample.ends_with(b"\n") && rows > 1 {
            break;
        }
        if rows < 10 && record.len() > 1 && record.len() < 1000 {
            named = named || record.iter().any(|cell| std::str::from_utf8(cell).is_ok_and(names_phone));
        }
        *counts.entry(record.len()).or_default() += 1;
        rows += 1;
    }
    match counts.iter().max_by_key(|(cells, rows)| (**rows, **cells)) {
        Some((&cells, &count)) if cells > 1 => {
            f64::from(count) / f64::from(rows) * (1.0 - 1.0 / cells as f64) + if named { 1.0 } else { 0.0 }
        }
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators() {
        for (text, expected) in [
            ("phone,name\n1,a\n2,b\n", b','),
            ("phone;name\n1;a\n2;b\n", b';'),
            ("phone\tname\n1\ta\n", b'\t'),
            ("phone|name\n1|a\n", b'|'),
            ("name;phone;amount\n\"Smith, John\";1;1,5\n\"Doe, Jane\";2;2,5\n", b';'),
            ("name,phone\n\"a;b;c;d\",1\n\"a;b;c;d\",2\n", b','),
            ("phone\n5551234567\n", b','),
            ("", b','),
            ("a;b\n\"never closed;1\n2;3", b';'),
        ] {
            assert_eq!(char::from(delimiter(text.as_bytes(), None)), char::from(expected), "{text:?}");
        }
    }

    #[test]
    fn sep_lines() {
        for (text, expected) in
            [("sep=;\r\na;b", Some(b';')), ("\"sep=|\"\n", Some(b'|')), ("SEP=\t\n", Some(b'\t')), ("sep,a\n", None), ("", None)]
        {
            assert_eq!(sep_line(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn formats_of_text() {
        use Format::*;
        for (named, text, expected) in [
            (None, "phone,name\n", Csv),
            (Some(Csv), "[{\"phone\":1}]", Json),
            (None, " [ {\"phone\":1}]", Json),
            (None, "{\"contacts\":[]}", Json),
            (None, "{\n\"contacts\":[]}", Json),
            (Some(Json), "{\"phone\":1}\n{\"phone\":2}\n", JsonLines),
            (Some(JsonLines), "", JsonLines),
            (Some(Json), "garbage", Json),
            (Some(Csv), "[Phone],name\n", Csv),
        ] {
            assert_eq!(text_format(named, text.as_bytes()).ok(), Some(expected), "{text:?}");
        }
        for text in ["<html><table>", "<?xml version=\"1.0\"?>", "  <!DOCTYPE html>"] {
            assert!(text_format(Some(Xls), text.as_bytes()).is_err());
        }
    }
}
