//! The `phonenumber` crate as an independent second opinion.
//!
//! It is the better known crate, but it takes the default region's prefix off foreign numbers and so dials strangers; that is why the
//! engine reads numbers with `rlibphonenumber`. Every disagreement belongs to a rule below, and the rules are pinned with their counts:
//! a new disagreement fails, and so does the day on which an old one is mended.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use campaign_core::phone::PhoneNumber;
use rand::{RngExt, SeedableRng};
use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, PhoneNumberType, Region};
use std::collections::BTreeMap;

const REGIONS: [&str; 24] = [
    "US", "CA", "GB", "DE", "FR", "ES", "IT", "PT", "NL", "SE", "PL", "CH", "AT", "BR", "MX", "AR", "IN", "CN", "JP", "AU", "NZ", "ZA",
    "KZ", "RU",
];

/// Regions with different national prefixes (1, 0 and 8), in which the numbers of all others are read once more.
const ABROAD: [&str; 3] = ["US", "GB", "RU"];

const PER_TYPE: u32 = 12;

fn ours(text: &str, region: &str) -> Option<String> {
    PhoneNumber::parse(text, Some(region)).ok().map(|number| number.as_str().to_owned())
}

fn theirs(text: &str, region: &str) -> Option<String> {
    let number = phonenumber::parse(region.parse().ok(), text).ok()?;
    number.is_valid().then(|| number.format().mode(phonenumber::Mode::E164).to_string())
}

/// Why the second opinion differs, as far as we know.
fn rule(text: &str, nsn: &str, code: i32, default: &str) -> &'static str {
    let prefix = match default {
        "US" => "1",
        "RU" => "8",
        _ => "0",
    };
    let default_code = PHONE_NUMBER_UTIL.get_country_code_for_region(Region::from_code(default).unwrap());
    if !text.is_ascii() {
        "full-width digits"
    } else if text.starts_with('+') && default_code != Some(code) && nsn.starts_with(prefix) {
        "the default region's national prefix taken off a foreign number"
    } else {
        "unknown"
    }
}

#[test]
fn every_disagreement_is_a_known_one() {
    let mut random = rand_pcg::Pcg64Mcg::seed_from_u64(7);
    let mut compared = 0;
    let mut found: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for region in REGIONS {
        let home = Region::from_code(region).unwrap();
        for kind in [PhoneNumberType::FixedLine, PhoneNumberType::Mobile] {
            let example = PHONE_NUMBER_UTIL.get_example_number_for_type_and_region(home, kind).unwrap();
            for number in (0..PER_TYPE).map(|_| vary(&example, &mut random)) {
                let truth = number.format_as(PhoneNumberFormat::E164).into_owned();
                let international = number.format_as(PhoneNumberFormat::International).into_owned();
                let full_width = truth.chars().map(|c| char::from_u32(c as u32 + 0xFEE0).unwrap()).collect();
                let mut texts = vec![
                    (number.format_as(PhoneNumberFormat::National).into_owned(), region),
                    (full_width, region),
                    (truth.clone(), region),
                    (international.clone(), region),
                ];
                texts.extend(ABROAD.into_iter().map(|abroad| (international.clone(), abroad)));
                for (text, default) in texts {
                    compared += 1;
                    assert_eq!(ours(&text, default).as_deref(), Some(&*truth), "{text} in {default}");
                    let what = match theirs(&text, default) {
                        Some(other) if other == truth => continue,
                        Some(_) => "a stranger's number",
                        None => "refused",
                    };
                    let nsn = number.get_national_significant_number();
                    let rule = rule(&text, &nsn, number.country_code, default);
                    assert_ne!(rule, "unknown", "{text} in {default}: {what}");
                    *found.entry((rule, what)).or_default() += 1;
                }
            }
        }
    }
    let prefix = "the default region's national prefix taken off a foreign number";
    let known = BTreeMap::from([
        (("full-width digits", "refused"), 24 * 2 * PER_TYPE),
        ((prefix, "a stranger's number"), 24),
        ((prefix, "refused"), 168),
    ]);
    assert_eq!((compared, found), (24 * 2 * PER_TYPE * 7, known));
}

/// Another valid number with the same beginning.
fn vary(example: &rlibphonenumber::PhoneNumber, random: &mut rand_pcg::Pcg64Mcg) -> rlibphonenumber::PhoneNumber {
    loop {
        let mut number = example.clone();
        let tail = 10u64.pow(random.random_range(1..=7));
        number.national_number = number.national_number / tail * tail + random.random_range(0..tail);
        if number.is_valid() {
            return number;
        }
    }
}
