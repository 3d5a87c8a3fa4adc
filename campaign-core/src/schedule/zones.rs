//! From a phone number, or from what stands in a time zone column, to IANA time zones.

use super::zone;
use crate::contact::ZoneKey;
use crate::phone::PhoneNumber;
use std::collections::HashMap;
use std::sync::LazyLock;

/// All zones the number may be in; unknown when the table has no row for it.
///
/// A number tied to a place gives the zones of that place. One that is not (a mobile in most countries, a toll-free number) gives every
/// zone of its country, or of its whole numbering plan for `+1 800` and the like: the calling window has to be open in all of them, so such a
/// number may turn out never to be callable. That is the safe side; an explicit zone in the contact's own column overrides it. Numbers
/// of no country (satellite phones) and of the fictitious area code 555 have no zone: the campaign's own decides.
///
/// The key is shared: nothing is allocated.
pub fn zones_of(phone: &PhoneNumber) -> ZoneKey {
    TABLE.longest_prefix(phone.as_str().as_bytes().get(1..).unwrap_or_default())
}

/// Whether the tz database knows this zone.
pub fn is_known(zone: &str) -> bool {
    known_name(zone).is_some()
}

/// The IANA zone meant by what people write into a time zone column, spelled as in the tz database; `None` when it is not clear.
///
/// Takes IANA names in any case and with spaces (`america/new york`), the time zone names of Windows (`Eastern Standard Time`, `(UTC-05:00)
/// Eastern Time (US & Canada)`), and the common names and abbreviations of North America, Europe and Oceania (`Eastern`, `EST`,
/// `EST5EDT`, `US/Eastern`). An abbreviation stands for the place with its clock changes: `EST` is New York, in summer too. Offsets such as
/// `-5`, `UTC+2` or `Etc/GMT+5` are refused, because they are wrong for half of the year.
pub fn normalise_zone(text: &str) -> Option<String> {
    if text.len() > 64 {
        return None;
    }
    let mut name = text.trim().to_ascii_lowercase();
    if let Some((_, rest)) = name.strip_prefix('(').and_then(|rest| rest.split_once(')'))
        && !rest.trim().is_empty()
    {
        name = rest.trim().to_owned();
    }
    if name.contains(['+', ':']) || name.contains("gmt-") || name.contains("utc-") || name.starts_with('-') {
        return None;
    }
    if let Some(zone) = NAMES.get(name.as_str()) {
        return known_name(zone);
    }
    let place = name.split('(').next().unwrap_or_default().trim();
    let place = place.strip_prefix("us/").unwrap_or(place);
    let place = [" standard time", " daylight time", " time"].iter().find_map(|end| place.strip_suffix(end)).unwrap_or(place);
    if let Some(zone) = NAMES.get(place) {
        return known_name(zone);
    }
    known_name(&name.replace(' ', "_"))
}

/// The zone's name in the spelling of the tz database.
fn known_name(name: &str) -> Option<String> {
    let zone = zone(name)?;
    zone.iana_name().map(str::to_owned)
}

/// Names and abbreviations that are not the tz database's, or mean a fixed offset there, each with its zone.
/// What means different places to different people (`IST`) is left out.
const COMMON: &[(&str, &[&str])] = &[
    ("America/New_York", &["eastern", "et", "est", "edt", "est5edt"]),
    ("America/Chicago", &["central", "ct", "cst", "cdt", "cst6cdt"]),
    ("America/Denver", &["mountain", "mt", "mst", "mdt", "mst7mdt"]),
    ("America/Phoenix", &["arizona"]),
    ("America/Los_Angeles", &["pacific", "pt", "pst", "pdt", "pst8pdt"]),
    ("America/Anchorage", &["alaska", "akst", "akdt"]),
    ("Pacific/Honolulu", &["hawaii", "hst"]),
    ("America/Halifax", &["atlantic", "ast", "adt"]),
    ("America/St_Johns", &["newfoundland", "nst", "ndt"]),
    ("America/Sao_Paulo", &["brt"]),
    ("Europe/London", &["bst"]),
    ("Europe/Lisbon", &["wet", "west"]),
    ("Europe/Paris", &["cet", "cest", "met", "mest"]),
    ("Europe/Athens", &["eet", "eest"]),
    ("Europe/Moscow", &["msk"]),
    ("Africa/Johannesburg", &["sast"]),
    ("Asia/Tokyo", &["jst"]),
    ("Australia/Sydney", &["aest", "aedt"]),
    ("Australia/Adelaide", &["acst", "acdt"]),
    ("Australia/Perth", &["awst"]),
    ("Pacific/Auckland", &["nzst", "nzdt"]),
    ("UTC", &["utc", "z", "zulu"]),
];

static NAMES: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    let windows = rows(include_str!("../../data/windows_zones.csv"));
    let common = COMMON.iter().flat_map(|(zone, names)| names.iter().map(|name| (*name, *zone)));
    windows.chain(common).collect()
});

static TABLE: LazyLock<PrefixTable> = LazyLock::new(|| PrefixTable::new(rows(include_str!("../../data/phone_zones.csv"))));

/// The rows of a two-column data file whose comments start with `#`.
fn rows(text: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(','))
}

/// A tree of digits: one step per digit, at most nine, and the last key passed wins.
struct PrefixTable {
    /// Each node's place in `keys`, and the node each further digit leads to; 0 is none, since nothing leads back to the root.
    nodes: Vec<(Option<u16>, [u16; 10])>,
    keys: Vec<ZoneKey>,
    unknown: ZoneKey,
}

impl PrefixTable {
    fn new(rows: impl Iterator<Item = (&'static str, &'static str)>) -> Self {
        let mut table = Self { nodes: vec![(None, [0; 10])], keys: Vec::new(), unknown: ZoneKey::unknown() };
        let mut seen = HashMap::new();
        for (prefix, zones) in rows {
            let key = *seen.entry(zones).or_insert_with(|| {
                table.keys.push(ZoneKey::from_names(zones.split('|')));
                table.keys.len() - 1
            });
            let mut node = 0;
            for digit in digits(prefix.as_bytes()) {
                let next = usize::from(table.nodes[node].1[digit]);
                node = if next == 0 { table.grow(node, digit) } else { next };
            }
            table.nodes[node].0 = u16::try_from(key).ok();
        }
        table
    }

    fn grow(&mut self, from: usize, digit: usize) -> usize {
        let new = self.nodes.len();
        self.nodes.push((None, [0; 10]));
        // The table has a few thousand nodes; a test walks every row, so an overflow could not pass unseen.
        self.nodes[from].1[digit] = u16::try_from(new).unwrap_or_default();
        new
    }

    fn longest_prefix(&self, number: &[u8]) -> ZoneKey {
        let (mut node, mut found) = (&self.nodes[0], None);
        for digit in digits(number) {
            let next = usize::from(node.1[digit]);
            if next == 0 {
                break;
            }
            node = &self.nodes[next];
            found = node.0.or(found);
        }
        found.map_or(&self.unknown, |key| &self.keys[usize::from(key)]).clone()
    }
}

fn digits(text: &[u8]) -> impl Iterator<Item = usize> {
    text.iter().map_while(|byte| char::from(*byte).to_digit(10)).map(|digit| digit as usize)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn zones(number: &str) -> ZoneKey {
        zones_of(&PhoneNumber::from_e164(number).unwrap())
    }

    #[test]
    fn the_data_names_its_source_and_its_zones_exist() {
        let text = include_str!("../../data/phone_zones.csv");
        let header: Vec<_> = text.lines().take_while(|line| line.starts_with('#')).collect();
        for part in ["phonenumbers==", "Apache License, Version 2.0", "phone_zones.py"] {
            assert!(header.iter().any(|line| line.contains(part)), "{part}");
        }
        assert!(rows(text).count() > 1_000);
        for (prefix, zones) in rows(text) {
            assert!((1..=9).contains(&prefix.len()) && prefix.bytes().all(|byte| byte.is_ascii_digit()), "{prefix}");
            for zone in zones.split('|').filter(|zone| !zone.is_empty()) {
                assert!(is_known(zone), "{prefix} {zone}");
            }
        }
        for (name, zone) in rows(include_str!("../../data/windows_zones.csv")) {
            assert!(is_known(zone), "{name} {zone}");
        }
    }

    #[test]
    fn every_row_answers_for_itself() {
        for (prefix, zones) in rows(include_str!("../../data/phone_zones.csv")) {
            assert_eq!(TABLE.longest_prefix(prefix.as_bytes()), ZoneKey::from_names(zones.split('|')), "{prefix}");
        }
    }

    #[test]
    fn numbers_tied_to_a_place() {
        for (number, expected) in [
            ("+12127365000", "America/New_York"),
            ("+13105551234", "America/Los_Angeles"),
            ("+18085231234", "Pacific/Honolulu"),
            ("+14165551234", "America/Toronto"),
            ("+442079460018", "Europe/London"),
            ("+34912345678", "Europe/Madrid"),
            ("+34928123456", "Atlantic/Canary"),
            ("+61292345678", "Australia/Sydney"),
            ("+61892123456", "Australia/Adelaide|Australia/Perth"),
            ("+5511912345678", "America/Sao_Paulo"),
            ("+5592991234567", "America/Manaus"),
            ("+74951234567", "Europe/Moscow"),
            ("+74232123456", "Asia/Vladivostok"),
            ("+77172123456", "Asia/Almaty"),
            ("+918012345678", "Asia/Calcutta"),
        ] {
            assert_eq!(&*zones(number).0, expected, "{number}");
        }
    }

    #[test]
    fn all_candidates_come_when_the_place_is_not_known() {
        // One area code over several zones: the north-west of Ontario, the west of Florida, the Aleutians.
        assert_eq!(&*zones("+18075551234").0, "America/Toronto|America/Winnipeg");
        assert_eq!(&*zones("+18505551234").0, "America/Chicago|America/New_York");
        assert_eq!(&*zones("+19075551234").0, "America/Adak|America/Anchorage|America/Juneau|Pacific/Honolulu");
        for (mobile, some) in [
            ("+79161234567", ["Europe/Moscow", "Asia/Vladivostok"]),
            ("+61412345678", ["Australia/Sydney", "Australia/Perth"]),
            ("+34631021622", ["Europe/Madrid", "Atlantic/Canary"]),
            ("+77011234567", ["Asia/Almaty", "Asia/Aqtobe"]),
            ("+6421123456", ["Pacific/Auckland", "Pacific/Chatham"]),
            ("+18002345678", ["America/New_York", "Pacific/Honolulu"]),
        ] {
            let key = zones(mobile);
            assert!(some.iter().all(|zone| key.names().any(|name| name == *zone)), "{mobile} {}", key.0);
        }
        assert!(!zones("+77011234567").names().any(|name| name == "Europe/Moscow"));
    }

    #[test]
    fn numbers_of_no_place_have_no_zone() {
        for number in ["+15551234567", "+80012345678", "+881612345678", "+9991234567"] {
            assert!(zones(number).is_unknown(), "{number}");
        }
    }

    #[test]
    fn keys_are_shared() {
        assert!(std::sync::Arc::ptr_eq(&zones("+12127365000").0, &zones("+12125551234").0));
    }

    #[test]
    fn names_people_write() {
        for (text, expected) in [
            ("America/New_York", "America/New_York"),
            (" america/new york ", "America/New_York"),
            ("EUROPE/MADRID", "Europe/Madrid"),
            ("EST", "America/New_York"),
            ("est5edt", "America/New_York"),
            ("Eastern", "America/New_York"),
            ("Eastern Time", "America/New_York"),
            ("US/Eastern", "America/New_York"),
            ("Eastern Standard Time", "America/New_York"),
            ("Eastern Daylight Time", "America/New_York"),
            ("(UTC-05:00) Eastern Time (US & Canada)", "America/New_York"),
            ("Pacific Time (US & Canada)", "America/Los_Angeles"),
            ("W. Europe Standard Time", "Europe/Berlin"),
            ("GMT Standard Time", "Europe/London"),
            ("CET", "Europe/Paris"),
            ("utc", "UTC"),
        ] {
            assert_eq!(normalise_zone(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn offsets_and_unclear_names_are_refused() {
        let long = "A".repeat(1 << 20);
        for text in [
            "",
            "-5",
            "+5",
            "5",
            "-05:00",
            "UTC-5",
            "UTC+2",
            "GMT-5",
            "(UTC-05:00)",
            "Etc/GMT+5",
            "Etc/Unknown",
            "IST",
            "Mars/Olympus",
            "../../etc/passwd",
            "()",
            &long,
        ] {
            assert_eq!(normalise_zone(text), None, "{text:.40}");
        }
        assert!(!is_known("Etc/Unknown") && !is_known("") && is_known("America/New_York"));
    }
}
