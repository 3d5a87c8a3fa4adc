//! The body of the fuzz target `phone` over random bytes, and over texts that look like numbers.

use campaign_core::phone::PhoneNumber;
use campaign_core::testkit::fuzz;
use proptest::prelude::*;

const TOKENS: [&str; 34] = [
    "+",
    "00",
    "011",
    "1",
    "34",
    "49",
    "555",
    "2127365000",
    "631021622",
    "0",
    "9",
    " ",
    "-",
    ".",
    ",",
    "/",
    ";",
    "(",
    ")",
    "E+",
    "e",
    "E+10",
    "x",
    " ext. ",
    "tel:",
    ";phone-context=",
    "'",
    "\u{a0}",
    "\u{202a}",
    "٣",
    "５",
    "\0",
    "\n",
    "é",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(data in proptest::collection::vec(any::<u8>(), 0..80)) {
        fuzz::phone(&data);
    }

    #[test]
    fn texts_that_look_like_numbers(choice in any::<u8>(), picks in proptest::collection::vec(0..TOKENS.len(), 0..14)) {
        let mut data = vec![choice];
        data.extend(picks.iter().flat_map(|pick| TOKENS[*pick].bytes()));
        fuzz::phone(&data);
    }

    /// A number in scientific notation is read to its last digit or refused.
    #[test]
    fn scientific_notation_is_exact_or_refused(digits in 2_000_000_000u64..999_999_999_999, kept in 1usize..13) {
        let digits = digits.to_string();
        let kept = kept.min(digits.len());
        let text = format!("{}.{}E+{}", &digits[..1], &digits[1..kept], digits.len() - 1);
        let exact = PhoneNumber::parse(&digits, Some("US"));
        let read = PhoneNumber::parse(&text, Some("US"));
        if kept == digits.len() {
            prop_assert_eq!(read, exact);
        } else {
            prop_assert_eq!(read.map_err(|error| error.code.as_str()), Err("digits_lost"));
        }
    }
}
