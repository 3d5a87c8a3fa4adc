//! How a text travels as SMS: its encoding, and how many segments it takes.

use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation as _;

/// How the characters of a message are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Encoding {
    /// Seven bits a character: 160 in one segment, 153 in each of several.
    #[serde(rename = "GSM-7")]
    Gsm7,
    /// Sixteen bits a unit: 70 in one segment, 67 in each of several. One character outside GSM-7 is enough.
    #[serde(rename = "UCS-2")]
    Ucs2,
}

impl Encoding {
    /// The wire name, `GSM-7` or `UCS-2`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gsm7 => "GSM-7",
            Self::Ucs2 => "UCS-2",
        }
    }

    /// Units in a message of one segment, and in each segment of a longer one.
    fn room(self) -> (u32, u32) {
        match self {
            Self::Gsm7 => (160, 153),
            Self::Ucs2 => (70, 67),
        }
    }
}

/// The size of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segments {
    /// How it is encoded.
    pub encoding: Encoding,
    /// Septets of GSM-7 or 16-bit units of UCS-2.
    pub units: u32,
    /// Messages the carrier bills. 0 for an empty text, which nobody sends.
    pub segments: u32,
}

/// The basic characters of GSM 03.38 outside ASCII; form feed is in the extension table.
const GSM7_OTHER: &str = "£¥èéùìòÇØøÅåΔΦΓΛΩΠΨΣΘΞÆæßÉ¤¡ÄÖÑÜ§¿äöñüà";

/// Septets a character takes in GSM-7; `None` when it is not in the alphabet.
fn septets(c: char) -> Option<u32> {
    match c {
        '^' | '{' | '}' | '\\' | '[' | '~' | ']' | '|' | '€' | '\u{c}' => Some(2),
        '`' => None,
        '\n' | '\r' | ' '..='~' => Some(1),
        other => GSM7_OTHER.contains(other).then_some(1),
    }
}

/// Encoding and segments of a text.
///
/// An extended character (two septets), a surrogate pair (an emoji) and what is written with several characters (a flag, a family, a
/// letter with its accent) are never split across segments, as Twilio's own calculator has it.
pub fn segments(text: &str) -> Segments {
    let encoding = if text.chars().all(|c| septets(c).is_some()) { Encoding::Gsm7 } else { Encoding::Ucs2 };
    let size = |c: char| match encoding {
        Encoding::Gsm7 => septets(c).unwrap_or(1),
        Encoding::Ucs2 => c.len_utf16() as u32,
    };
    let (single, each) = encoding.room();
    let units = text.chars().map(size).fold(0u32, u32::saturating_add);
    let segments = if units <= single {
        u32::from(units > 0)
    } else {
        match encoding {
            Encoding::Gsm7 => filled(text.chars().map(size), each),
            // A line break of two characters is the one cluster that may be cut.
            Encoding::Ucs2 => {
                let clusters = text.split_inclusive('\r').flat_map(|part| part.graphemes(true));
                filled(clusters.flat_map(|cluster| whole(cluster, each)), each)
            }
        }
    };
    Segments { encoding, units, segments }
}

/// Segments of this size that pieces fill, none of them cut.
fn filled(pieces: impl Iterator<Item = u32>, each: u32) -> u32 {
    let (mut segments, mut used) = (1, 0);
    for size in pieces {
        if used + size > each {
            segments += 1;
            used = 0;
        }
        used += size;
    }
    segments
}

/// The units of what belongs together; of what fits into no segment, character by character.
fn whole(cluster: &str, each: u32) -> impl Iterator<Item = u32> {
    let units = |c: char| c.len_utf16() as u32;
    let all: u32 = cluster.chars().map(units).sum();
    let (together, apart) = if all <= each { (Some(all), "") } else { (None, cluster) };
    together.into_iter().chain(apart.chars().map(units))
}

/// The characters that force a text into UCS-2, each once, in their order. Empty for GSM-7.
pub fn outside_gsm7(text: &str) -> Vec<char> {
    let mut found = Vec::new();
    for c in text.chars().filter(|c| septets(*c).is_none()) {
        if !found.contains(&c) {
            found.push(c);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use Encoding::{Gsm7, Ucs2};

    #[test]
    fn the_measured_table() {
        for (character, count, encoding, units, expected) in [
            ("a", 0, Gsm7, 0, 0),
            ("a", 160, Gsm7, 160, 1),
            ("a", 161, Gsm7, 161, 2),
            ("a", 306, Gsm7, 306, 2),
            ("a", 307, Gsm7, 307, 3),
            ("ж", 70, Ucs2, 70, 1),
            ("ж", 71, Ucs2, 71, 2),
            ("ж", 134, Ucs2, 134, 2),
            ("ж", 135, Ucs2, 135, 3),
            ("€", 80, Gsm7, 160, 1),
            ("€", 81, Gsm7, 162, 2),
            ("\u{c}", 80, Gsm7, 160, 1),
            ("|", 81, Gsm7, 162, 2),
            // 153 septets hold 76 pairs, so the 153rd pair needs a third segment.
            ("€", 152, Gsm7, 304, 2),
            ("€", 153, Gsm7, 306, 3),
            ("😀", 35, Ucs2, 70, 1),
            ("😀", 36, Ucs2, 72, 2),
            // 67 units hold 33 pairs.
            ("😀", 66, Ucs2, 132, 2),
            ("😀", 67, Ucs2, 134, 3),
            // Flags of four units and families of eight: 16 and 8 fit into a segment, whole.
            ("🇪🇸", 32, Ucs2, 128, 2),
            ("🇪🇸", 33, Ucs2, 132, 3),
            ("👩‍👩‍👧", 16, Ucs2, 128, 2),
            ("👩‍👩‍👧", 17, Ucs2, 136, 3),
            ("e\u{301}", 67, Ucs2, 134, 3),
        ] {
            let found = segments(&character.repeat(count));
            assert_eq!(found, Segments { encoding, units, segments: expected }, "{count} x {character:?}");
        }
    }

    #[test]
    fn one_character_turns_everything() {
        for character in ['’', 'ç', '`', '\t', '“', 'á'] {
            let text = format!("{}{character}", "a".repeat(70));
            assert_eq!(segments(&text), Segments { encoding: Ucs2, units: 71, segments: 2 }, "{character:?}");
            assert_eq!(outside_gsm7(&text), [character]);
        }
        for character in "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ÄÖÑÜ§¿äöñüà^{}\\[~]|€".chars()
        {
            assert_eq!(segments(&character.to_string()).encoding, Gsm7, "{character:?}");
        }
    }
}
