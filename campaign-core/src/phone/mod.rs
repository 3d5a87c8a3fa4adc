//! Phone numbers in E.164, and how a number is read from what people and spreadsheets write.

mod clean;
mod error;
mod parse;

pub use error::{PhoneError, PhoneErrorCode};

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// `+` and at most 15 digits.
const MAX_E164: usize = 16;

/// A phone number in E.164, for example `+15551234567`.
///
/// `Debug` and `Display` show the first digits and the last two only, so that a number cannot slip into a log; ask for
/// [`PhoneNumber::as_str`] where the full number is meant. Serialisation gives the full number: the wire formats need it.
///
/// It is 16 bytes without anything on the heap, because a list of millions is kept in memory by a simulation: ASCII, filled up with
/// zero bytes, so that the derived order and equality are those of the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PhoneNumber([u8; MAX_E164]);

impl PhoneNumber {
    /// Reads a number as people, `tel:` links and spreadsheets write it; an extension is dropped.
    ///
    /// `default_region` is the ISO 3166 country (two letters, any case) whose national form is meant when there is no country code. The
    /// national reading wins; only when it is not valid there is the number read as an international one that has lost its `00`, `011`
    /// or `+`. A number that has several readings or has lost digits is refused, never guessed.
    ///
    /// ```
    /// use campaign_core::phone::{PhoneErrorCode, PhoneNumber};
    ///
    /// assert_eq!(PhoneNumber::parse("(212) 555-0123 x9", Some("US"))?.as_str(), "+12125550123");
    /// assert_eq!(PhoneNumber::parse("3.4631021622E+10", Some("US"))?.as_str(), "+34631021622");
    /// assert_eq!(PhoneNumber::parse("3.46E+10", Some("US")).unwrap_err().code, PhoneErrorCode::DigitsLost);
    /// # Ok::<(), campaign_core::phone::PhoneError>(())
    /// ```
    ///
    /// # Errors
    /// [`PhoneError`] with a machine code and a sentence; neither holds the number.
    pub fn parse(text: &str, default_region: Option<&str>) -> Result<Self, PhoneError> {
        Self::parse_with_extension(text, default_region).map(|(number, _)| number)
    }

    /// Like [`PhoneNumber::parse`], and gives the digits of the extension, which E.164 has no place for.
    ///
    /// # Errors
    /// As [`PhoneNumber::parse`].
    pub fn parse_with_extension(text: &str, default_region: Option<&str>) -> Result<(Self, Option<String>), PhoneError> {
        let number = parse::read(text, default_region)?;
        let e164 = Self::from_parsed(&number).ok_or(PhoneErrorCode::InvalidNumber)?;
        Ok((e164, number.extension))
    }

    /// A number that already is E.164: `+`, then 7 to 15 digits, the first not 0. Checks the form only, not the numbering plan.
    pub fn from_e164(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('+')?;
        let ok = (7..MAX_E164).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        let mut bytes = [0; MAX_E164];
        ok.then(|| {
            bytes[..text.len()].copy_from_slice(text.as_bytes());
            Self(bytes)
        })
    }

    /// The full number.
    pub fn as_str(&self) -> &str {
        let length = self.0.iter().position(|&byte| byte == 0).unwrap_or(MAX_E164);
        // Both constructors put ASCII in, so the default is never taken.
        std::str::from_utf8(&self.0[..length]).unwrap_or_default()
    }

    /// The ISO 3166 country of the number, for example `US`; `None` for a number of no country or outside every numbering plan.
    pub fn region(&self) -> Option<String> {
        let region = self.parsed()?.get_region_code()?.to_string();
        // `001` stands for numbers of no country, for example satellite phones.
        (region.len() == 2).then_some(region)
    }

    /// As it is written inside its own country, for example `(555) 123-4567` or `020 7946 0018`.
    pub fn national(&self) -> String {
        self.format(PhoneNumberFormat::National)
    }

    /// As it is written for callers from abroad, for example `+44 20 7946 0018`.
    pub fn international(&self) -> String {
        self.format(PhoneNumberFormat::International)
    }

    fn format(&self, format: PhoneNumberFormat) -> String {
        self.parsed().map_or_else(|| self.as_str().to_owned(), |number| number.format_as(format).into_owned())
    }

    fn parsed(&self) -> Option<rlibphonenumber::PhoneNumber> {
        PHONE_NUMBER_UTIL.parse(self.as_str(), None).ok()
    }

    fn from_parsed(number: &rlibphonenumber::PhoneNumber) -> Option<Self> {
        use std::io::Write;
        let zeros = match number.italian_leading_zero {
            Some(true) => usize::try_from(number.number_of_leading_zeros.unwrap_or(1)).ok()?,
            _ => 0,
        };
        let mut text = [0; 64];
        let mut rest = &mut text[..];
        write!(rest, "+{}{:0>zeros$}{}", number.country_code, "", number.national_number).ok()?;
        let length = 64 - rest.len();
        Self::from_e164(std::str::from_utf8(&text[..length]).ok()?)
    }
}

/// How a template shows a number to people: a North American one as `(555) 123-4567`, any other text unchanged.
///
/// Takes `+15551234567`, `15551234567` and `5551234567`, with or without punctuation.
///
/// ```
/// assert_eq!(campaign_core::phone::phone_format("+15551234567"), "(555) 123-4567");
/// assert_eq!(campaign_core::phone::phone_format("+34631021622"), "+34631021622");
/// ```
pub fn phone_format(text: &str) -> String {
    format_nanp(text).unwrap_or_else(|| text.to_owned())
}

/// `None` when the text is not a North American number, which is judged by its form only: area codes start with 2 to 9.
fn format_nanp(text: &str) -> Option<String> {
    let text = text.trim();
    let mut digits = String::with_capacity(11);
    for (index, character) in text.char_indices() {
        match character {
            '0'..='9' if digits.len() < 11 => digits.push(character),
            '+' if index == 0 => {}
            ' ' | '-' | '.' | '(' | ')' => {}
            _ => return None,
        }
    }
    let national = match (digits.len(), text.starts_with('+')) {
        (11, _) => digits.strip_prefix('1')?,
        (10, false) => &digits,
        _ => return None,
    };
    (national.as_bytes()[0] >= b'2').then(|| format!("({}) {}-{}", &national[..3], &national[3..6], &national[6..]))
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.as_str();
        write!(f, "{}…{}", &digits[..3.min(digits.len())], &digits[digits.len().saturating_sub(2)..])
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PhoneNumber {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for PhoneNumber {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_e164(&text).ok_or_else(|| serde::de::Error::custom("not a phone number in E.164"))
    }
}
