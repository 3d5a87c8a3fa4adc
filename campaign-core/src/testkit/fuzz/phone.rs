//! What must hold for every text that is read as a phone number or a time zone.

use crate::phone::{PhoneNumber, phone_format};
use crate::schedule::zones::{is_known, normalise_zone, zones_of};

/// Reads any bytes as a phone number and as a zone, and checks what must hold for all of them.
///
/// The first byte chooses the default region.
///
/// # Panics
/// When something does not hold.
pub fn phone(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let region = [None, Some("US"), Some("ES"), Some("GB"), Some("DE"), Some("IT"), Some("BR"), Some("CN")][usize::from(choice % 8)];
    match PhoneNumber::parse_with_extension(&text, region) {
        Ok((number, extension)) => {
            let e164 = number.as_str();
            assert_eq!(PhoneNumber::from_e164(e164).as_ref(), Some(&number), "an accepted number is E.164");
            assert_eq!(PhoneNumber::parse(e164, None).as_ref(), Ok(&number), "an accepted number is read again as itself");
            assert_eq!(PhoneNumber::parse(e164, Some("US")).as_ref(), Ok(&number), "a number with its country code needs no region");
            assert!(extension.is_none_or(|extension| extension.bytes().all(|byte| byte.is_ascii_digit())), "an extension is digits");
            assert!(zones_of(&number).names().all(is_known), "its zones exist");
            assert!(!format!("{number:?}").contains(e164), "a number does not show itself");
        }
        Err(error) => assert!(!error.message().is_empty(), "a refusal has its reason"),
    }
    let shown = phone_format(&text);
    assert!(shown == text || shown.len() == "(555) 123-4567".len(), "a text is shown as it is or as a North American number");
    if let Some(zone) = normalise_zone(&text) {
        assert!(is_known(&zone), "a zone that is understood exists");
        assert!(normalise_zone(&zone).is_some(), "and is understood again");
    }
}
