//! Why a text is not accepted as a phone number.

use std::fmt;

/// Why a text is not accepted as a phone number. The names on the wire are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PhoneErrorCode {
    /// Nothing there.
    Empty,
    /// No phone number in the text.
    NotANumber,
    /// A spreadsheet shortened the number to scientific notation and its last digits are gone.
    DigitsLost,
    /// Fewer digits than a number of that country has.
    TooShort,
    /// More digits than a number of that country has.
    TooLong,
    /// More than one number in one field.
    SeveralNumbers,
    /// The default region is no country that has phone numbers.
    UnknownRegion,
    /// A number without a country code, and no default region to read it with.
    NoRegion,
    /// The number starts with a country code that does not exist.
    UnknownCountryCode,
    /// The length is right, but the country has no such numbers.
    InvalidNumber,
}

impl PhoneErrorCode {
    /// Each code with its wire name and its sentence.
    const TABLE: [(PhoneErrorCode, &'static str, &'static str); 10] = [
        (Self::Empty, "empty", "The phone number is missing."),
        (Self::NotANumber, "not_a_number", "This is not a phone number."),
        (
            Self::DigitsLost,
            "digits_lost",
            "A spreadsheet shortened this number and its last digits are lost; format the column as text and enter the number again.",
        ),
        (Self::TooShort, "too_short", "The phone number has too few digits; an area code or country code may be missing."),
        (Self::TooLong, "too_long", "The phone number has too many digits."),
        (Self::SeveralNumbers, "several_numbers", "There is more than one phone number here; give each its own row."),
        (Self::UnknownRegion, "unknown_region", "The default region is not a two-letter country code such as US or ES."),
        (
            Self::NoRegion,
            "no_region",
            "The phone number has no country code; write it with + and the country code, or set a default region.",
        ),
        (Self::UnknownCountryCode, "unknown_country_code", "The phone number starts with a country code that does not exist."),
        (
            Self::InvalidNumber,
            "invalid_number",
            "No such phone number exists; check its digits, and write a number of another country with + and its country code.",
        ),
    ];

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::TABLE.iter().map(|row| row.0)
    }

    /// The wire name, for example `digits_lost`.
    pub fn as_str(self) -> &'static str {
        Self::TABLE[self as usize].1
    }

    /// One sentence for a person: what is wrong and what to do. Never holds the number.
    pub fn message(self) -> &'static str {
        Self::TABLE[self as usize].2
    }
}

impl fmt::Display for PhoneErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text was not accepted as a phone number. Costs nothing to make, since a file may hold a million of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhoneError {
    /// Why.
    pub code: PhoneErrorCode,
}

impl PhoneError {
    /// One sentence for a person. Never holds the number.
    pub fn message(&self) -> &'static str {
        self.code.message()
    }
}

impl From<PhoneErrorCode> for PhoneError {
    fn from(code: PhoneErrorCode) -> Self {
        Self { code }
    }
}

impl fmt::Display for PhoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for PhoneError {}

impl From<PhoneError> for crate::Error {
    fn from(error: PhoneError) -> Self {
        crate::Error::invalid("phone_number", error.message()).with("code", error.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_codes() {
        for (index, row) in PhoneErrorCode::TABLE.iter().enumerate() {
            assert_eq!(row.0 as usize, index, "{}", row.1);
            assert!(row.2.ends_with('.'), "{}", row.2);
        }
    }
}
