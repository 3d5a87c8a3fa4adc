//! `Debug` without personal data: logs, panics and error reports are written with it.

/// Writes `Debug` for a struct and leaves out the fields after `hides`, which it may not show.
///
/// Every field is named on one of the two sides, so that a new one does not compile before somebody has decided about it.
macro_rules! debug_without {
    ($name:ident { $($shown:ident),+ $(,)? } hides { $($hidden:ident),+ $(,)? }) => {
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let Self { $($shown,)+ $($hidden: _),+ } = self;
                f.debug_struct(stringify!($name))$(.field(stringify!($shown), $shown))+.finish_non_exhaustive()
            }
        }
    };
}

pub(crate) use debug_without;

/// Text of somebody else for an error or a log, at most 500 characters of it: seven digits in a row, however they are grouped, may be
/// a phone number and are left out.
#[cfg(feature = "http")]
pub(crate) fn without_long_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(500));
    let mut run = String::new();
    let flush = |run: &mut String, out: &mut String| {
        let digits = run.bytes().filter(u8::is_ascii_digit).count();
        out.push_str(if digits < 7 { run } else { "…" });
        run.clear();
    };
    for character in text.chars().filter(|character| !character.is_control()).take(500) {
        if character.is_ascii_digit() || (!run.is_empty() && " -.()/".contains(character)) {
            run.push(character);
            continue;
        }
        flush(&mut run, &mut out);
        out.push(character);
    }
    flush(&mut run, &mut out);
    out
}

#[cfg(all(test, feature = "http"))]
mod tests {
    #[test]
    fn long_numbers_are_left_out() {
        let clean = super::without_long_numbers;
        assert_eq!(clean("Error 21610 after 30 s"), "Error 21610 after 30 s");
        assert_eq!(clean("no +12025550142, sorry"), "no +…, sorry");
        assert_eq!(clean("no (202) 555-0142."), "no (…");
        assert_eq!(clean("ends with 2025550142"), "ends with …");
    }
}
