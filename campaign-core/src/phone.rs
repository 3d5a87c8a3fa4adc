//! Phone numbers in E.164.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A phone number in E.164, for example `+15551234567`.
///
/// `Debug` and `Display` show the first digits and the last two only, so that a number cannot slip into a log; ask for
/// [`PhoneNumber::as_str`] where the full number is meant. Serialisation gives the full number: the wire formats need it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct PhoneNumber(Arc<str>);

impl PhoneNumber {
    /// A number that already is E.164: `+`, then 7 to 15 digits, the first not 0. Checks the form only, not the numbering plan.
    pub fn from_e164(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('+')?;
        let ok = (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        ok.then(|| Self(Arc::from(text)))
    }

    /// The full number.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = &self.0;
        write!(f, "{}…{}", &digits[..3.min(digits.len())], &digits[digits.len().saturating_sub(2)..])
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for PhoneNumber {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_e164(&text).ok_or_else(|| serde::de::Error::custom("not a phone number in E.164"))
    }
}
