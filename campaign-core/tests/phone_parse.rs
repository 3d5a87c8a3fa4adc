//! What people and spreadsheets write, and the number it is read as.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use campaign_core::phone::{PhoneErrorCode, PhoneNumber, phone_format};

/// `Ok` is the E.164 form, `Err` the wire name of the code.
fn check(text: &str, region: Option<&str>, expected: Result<&str, &str>) {
    let read = PhoneNumber::parse(text, region);
    let got = read.as_ref().map(PhoneNumber::as_str).map_err(|error| error.code.as_str());
    assert_eq!(got, expected, "{text:?} in {region:?}");
}

fn check_all(region: &str, cases: &[(&str, Result<&str, &str>)]) {
    for (text, expected) in cases {
        check(text, (!region.is_empty()).then_some(region), *expected);
    }
}

#[test]
fn documented_forms_of_the_sample_number() {
    for text in ["5551234567", "1-555-123-4567", "(555) 123-4567", "+15551234567", "15551234567", "555.123.4567", "+1 (555) 123-4567"] {
        check(text, Some("US"), Ok("+15551234567"));
    }
    check("+15559876543", None, Ok("+15559876543"));
    check("(212) 555-0123", Some("US"), Ok("+12125550123"));
    // Possible is not enough: no such area code, no such exchange.
    check("+12001234567", None, Err("invalid_number"));
    check("+12121234567", None, Err("invalid_number"));
    check("+11111111111", None, Err("invalid_number"));
    check("0000000000", Some("US"), Err("invalid_number"));
}

#[test]
fn national_and_international_forms() {
    check_all(
        "ES",
        &[
            ("631 02 16 22", Ok("+34631021622")),
            ("+34 631 02 16 22", Ok("+34631021622")),
            ("0034 631021622", Ok("+34631021622")),
            ("34631021622", Ok("+34631021622")),
            ("011 1 212 736 5000", Ok("+12127365000")),
            ("+0034631021622", Ok("+34631021622")),
            ("+44 (0)20 7946 0018", Ok("+442079460018")),
            ("+49 1518 4443290", Ok("+4915184443290")),
        ],
    );
    check_all(
        "US",
        &[
            ("011 34 631 02 16 22", Ok("+34631021622")),
            ("0034 631 02 16 22", Ok("+34631021622")),
            ("00 44 20 7946 0018", Ok("+442079460018")),
            // A default region must not eat digits of a foreign number.
            ("+49 1518 4443290", Ok("+4915184443290")),
            ("+44 121 706 2485", Ok("+441217062485")),
            ("1-800-FLOWERS", Ok("+18003569377")),
        ],
    );
    check_all("", &[("0034 631 02 16 22", Ok("+34631021622")), ("011 34 631 02 16 22", Ok("+34631021622"))]);
    check_all("IT", &[("011 5612345", Ok("+390115612345")), ("+39 06 6982", Ok("+39066982"))]);
    check_all("GB", &[("020 7946 0018", Ok("+442079460018")), ("0113 496 0000", Ok("+441134960000"))]);
    check("020 7946 0018", Some("UK"), Ok("+442079460018"));
    check("020 7946 0018", Some("gb"), Ok("+442079460018"));
}

#[test]
fn spreadsheet_damage() {
    check_all(
        "US",
        &[
            ("5551234567.0", Ok("+15551234567")),
            ("5551234567,00", Ok("+15551234567")),
            ("'5551234567", Ok("+15551234567")),
            ("=\"5551234567\"", Ok("+15551234567")),
            ("’+34631021622", Ok("+34631021622")),
            ("34631021622", Ok("+34631021622")),
            ("34631021622.0", Ok("+34631021622")),
            ("34,631,021,622", Ok("+34631021622")),
            ("447911123456", Ok("+447911123456")),
            ("3.4631021622E+10", Ok("+34631021622")),
            ("3,4631021622e10", Ok("+34631021622")),
            ("+3.4631021622E+10", Ok("+34631021622")),
            ("34.631021622E+9", Ok("+34631021622")),
            ("5.551234567E+09", Ok("+15551234567")),
            ("5.5512345670E+09", Ok("+15551234567")),
            ("3.46E+10", Err("digits_lost")),
            ("3E10", Err("digits_lost")),
            ("5.55123E+09", Err("digits_lost")),
            ("5.5512345671E+09", Err("not_a_number")),
            ("5.55E-09", Err("not_a_number")),
            ("1E999999999999", Err("not_a_number")),
            ("5551234567.5", Err("not_a_number")),
        ],
    );
    check("+3.4631021622E+10", None, Ok("+34631021622"));
}

#[test]
fn a_lost_plus_is_believed_only_when_the_national_reading_is_impossible() {
    // Ten digits are a possible length in the US; a slip of the finger must not reach Switzerland or Norway.
    check("4155552671", Some("US"), Ok("+14155552671"));
    check("4791234567", Some("US"), Err("invalid_number"));
    check("4155552671", None, Err("no_region"));
    check("13012345678", None, Err("no_region"));
    check("4512345678", Some("NO"), Err("too_long"));
    check("4520123456", Some("NO"), Ok("+4520123456"));
    // An eleven-digit Chinese mobile with a slip is not a number in Bermuda.
    check("14412345678", Some("CN"), Err("invalid_number"));
    check("034631021622", Some("US"), Err("too_long"));
}

#[test]
fn unicode_and_decoration() {
    check_all(
        "US",
        &[
            ("５５５１２３４５６７", Ok("+15551234567")),
            ("＋１（５５５）１２３－４５６７", Ok("+15551234567")),
            ("٥٥٥١٢٣٤٥٦٧", Ok("+15551234567")),
            ("+۱۵۵۵۱۲۳۴۵۶۷", Ok("+15551234567")),
            ("५५५१२३४५६७", Ok("+15551234567")),
            ("\u{a0}555\u{202f}123\u{2009}4567\u{3000}", Ok("+15551234567")),
            ("\u{feff}\u{202a}+1\u{200b}555\u{2060}1234567\u{202c}", Ok("+15551234567")),
            ("555‐123–4567", Ok("+15551234567")),
            ("555−123—4567", Ok("+15551234567")),
            ("“5551234567”", Ok("+15551234567")),
            ("5551234567\r\n", Ok("+15551234567")),
            ("5551234567;", Ok("+15551234567")),
            ("\t555 123 4567", Ok("+15551234567")),
            ("tel:+1-555-123-4567", Ok("+15551234567")),
            ("TEL:5551234567", Ok("+15551234567")),
            ("tel:555-123-4567;phone-context=+1", Ok("+15551234567")),
            ("whatsapp:+15551234567", Ok("+15551234567")),
            ("tel:0034631021622", Ok("+34631021622")),
            ("Phone: 555-123-4567", Ok("+15551234567")),
        ],
    );
    check_all("DE", &[("030/1234567", Ok("+49301234567")), ("0171 / 123 4567", Ok("+491711234567"))]);
}

/// The parser behind takes the first `tel:` and the first `;phone-context=` for the two ends of the number.
#[test]
fn a_link_within_the_parameters_of_another_is_refused() {
    for text in ["1;phone-context=x9;phone-context=;tel:1", "+;phone-context=+1;tel:2127365000", "00;phone-context=x9tel:2127365000"] {
        let error = PhoneNumber::parse(text, Some("US")).unwrap_err();
        assert_eq!(error.code.as_str(), "not_a_number", "{text}");
    }
}

#[test]
fn extensions_are_dropped_but_not_refused() {
    for text in ["(212) 736-5000 x123", "212-736-5000 ext. 123", "2127365000 ext 123", "212 736 5000 #123", "tel:+1-212-736-5000;ext=123"] {
        let (number, extension) = PhoneNumber::parse_with_extension(text, Some("US")).unwrap();
        assert_eq!((number.as_str(), extension.as_deref()), ("+12127365000", Some("123")), "{text}");
    }
    assert_eq!(PhoneNumber::parse_with_extension("2127365000", Some("US")).unwrap().1, None);
}

#[test]
fn several_numbers_in_one_field() {
    for text in [
        "2127365000 / 6467365000",
        "2127365000/6467365000",
        "2127365000; 6467365000",
        "2127365000;6467365000",
        "2127365000, 6467365000",
        "2127365000 | 6467365000",
        "2127365000\n6467365000",
        "2127365000 6467365000",
        "212-736-5000 646-736-5000",
        "(212) 736-5000 (646) 736-5000",
        "2127365000 or 6467365000",
        "+12127365000 +16467365000",
        "+12127365000+16467365000",
    ] {
        for region in [Some("US"), None] {
            check(text, region, Err("several_numbers"));
        }
    }
}

#[test]
fn what_is_refused() {
    check_all(
        "US",
        &[
            ("", Err("empty")),
            ("   ", Err("empty")),
            ("\u{200b}", Err("empty")),
            ("''", Err("empty")),
            ("n/a", Err("not_a_number")),
            ("-", Err("not_a_number")),
            ("unknown", Err("not_a_number")),
            ("jane@example.com", Err("not_a_number")),
            ("12", Err("too_short")),
            ("5551234", Err("too_short")),
            ("310-6681", Err("too_short")),
            ("+13106681", Err("too_short")),
            ("+1555123", Err("too_short")),
            ("55512345678901234567890", Err("too_long")),
            ("+999 1234567", Err("unknown_country_code")),
            ("+0", Err("not_a_number")),
            ("555\u{0}1234567", Err("not_a_number")),
            ("2127365000 (call after 5, 10 or 15)", Err("not_a_number")),
        ],
    );
    check("5551234567", None, Err("no_region"));
    check("5551234567", Some(" "), Err("no_region"));
    for region in ["XX", "USA", "1", "001", "ÅÄ", "\u{0}\u{0}"] {
        check("5551234567", Some(region), Err("unknown_region"));
    }
    check(&"5".repeat(10 << 20), Some("US"), Err("too_long"));
    check(&"\u{0}".repeat(10 << 20), Some("US"), Err("too_long"));
}

#[test]
fn no_error_shows_the_number() {
    for code in PhoneErrorCode::all() {
        assert!(!code.message().contains(|character: char| character.is_ascii_digit()), "{code}");
    }
    let error = PhoneNumber::parse("+12001234567", None).unwrap_err();
    let engine: campaign_core::Error = error.into();
    for text in [error.to_string(), format!("{error:?}"), engine.to_string(), format!("{engine:?}")] {
        assert!(!text.contains("200") && !text.contains("4567"), "{text}");
    }
}

#[test]
fn a_number_shows_itself_only_on_request() {
    let number = PhoneNumber::parse("+34631021622", None).unwrap();
    assert_eq!(format!("{number} {number:?}"), "+34…22 +34…22");
    assert_eq!(number.region().as_deref(), Some("ES"));
    assert_eq!(number.national(), "631 02 16 22");
    assert_eq!(number.international(), "+34 631 02 16 22");
    assert_eq!(serde_json::to_string(&number).unwrap(), "\"+34631021622\"");
    assert_eq!(serde_json::from_str::<PhoneNumber>("\"+34631021622\"").unwrap(), number);
    assert_eq!(serde_json::from_value::<PhoneNumber>("+34631021622".into()).unwrap(), number);
    assert!(serde_json::from_str::<PhoneNumber>("\"631021622\"").is_err());
    assert_eq!(size_of::<PhoneNumber>(), 16);
}

#[test]
fn order_and_length_are_those_of_the_text() {
    let texts =
        ["+1234567", "+12345678", "+123456789012345", "+1234567890123456", "+0123456789", "+12345", "+2234567", "1234567", "+12345é7"];
    let mut numbers: Vec<_> = texts.iter().filter_map(|text| PhoneNumber::from_e164(text)).collect();
    numbers.sort();
    let sorted: Vec<_> = numbers.iter().map(PhoneNumber::as_str).collect();
    assert_eq!(sorted, ["+1234567", "+12345678", "+123456789012345", "+2234567"]);
}

#[test]
fn numbers_for_people() {
    for (text, shown) in [
        ("+15551234567", "(555) 123-4567"),
        ("15551234567", "(555) 123-4567"),
        ("5551234567", "(555) 123-4567"),
        ("1-555-123-4567", "(555) 123-4567"),
        ("(555) 123-4567", "(555) 123-4567"),
        ("+34631021622", "+34631021622"),
        ("+5551234567", "+5551234567"),
        ("+442079460018", "+442079460018"),
        ("0123456789", "0123456789"),
        ("555-1234", "555-1234"),
        ("call us", "call us"),
        ("", ""),
        ("5551234567 ext 5", "5551234567 ext 5"),
        ("٥٥٥١٢٣٤٥٦٧", "٥٥٥١٢٣٤٥٦٧"),
    ] {
        assert_eq!(phone_format(text), shown, "{text:?}");
    }
}
