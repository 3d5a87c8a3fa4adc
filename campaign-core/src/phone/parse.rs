//! Which number a cleaned text means.
//!
//! `rlibphonenumber` does the reading, exactly as Google's libphonenumber does; what stands here is the order in which readings are
//! tried and which of them are believed. A wrong reading calls a stranger, so a doubtful one is refused.

use super::clean::{clean, count_digits, has_spaced_numbers};
use super::error::{PhoneError, PhoneErrorCode};
use rlibphonenumber::{NumberLengthType, PHONE_NUMBER_UTIL, ParseError, PhoneNumber, Region, ValidationError};

/// An area code North America never assigns: no phone rings there.
const FICTITIOUS_AREA_CODE: u64 = 555;

/// More digits than a national number has in practice anywhere: such a number without `+` has a country code.
const SURELY_INTERNATIONAL: usize = 12;

/// Fewer digits after `011` or a lost `+` could be a local number with a slip in it.
const MIN_INTERNATIONAL: usize = 10;

type Reading = Result<PhoneNumber, ParseError>;

pub(super) fn read(text: &str, default_region: Option<&str>) -> Result<PhoneNumber, PhoneError> {
    let region = default_region.map(str::trim).filter(|region| !region.is_empty()).map(region_of).transpose()?;
    let text = clean(text)?;
    if has_scheme_within(&text) {
        return Err(PhoneErrorCode::NotANumber.into());
    }
    let first = PHONE_NUMBER_UTIL.parse(&*text, region);
    match first {
        Ok(number) if is_acceptable(&number) => Ok(number),
        first => match international(&text, region, &first).and_then(|text| PHONE_NUMBER_UTIL.parse(text, None).ok()) {
            Some(number) if is_acceptable(&number) => Ok(number),
            _ => Err(why_not(&text, region, first).into()),
        },
    }
}

/// Whether a link begins again after the `;phone-context=` of another one. `rlibphonenumber` takes what stands between the first `tel:`
/// and the first `;phone-context=` for the number, in this order, and panics when they come in the other.
fn has_scheme_within(text: &str) -> bool {
    text.split_once(";phone-context=").is_some_and(|(number, rest)| !number.contains("tel:") && rest.contains("tel:"))
}

fn region_of(code: &str) -> Result<Region, PhoneError> {
    let code = if code.eq_ignore_ascii_case("UK") { "GB" } else { code };
    let region = Region::from_code(code).ok().filter(|region| *region != Region::World);
    let known = region.filter(|region| PHONE_NUMBER_UTIL.get_country_code_for_region(*region).is_some());
    known.ok_or_else(|| PhoneErrorCode::UnknownRegion.into())
}

/// Valid in its numbering plan, or in the fictitious area code 555.
///
/// The numbering plan knows no area code 555, so `+15551234567` is *possible* but not *valid*. It is what samples, documentation and dry
/// runs use precisely because nobody has it; refusing it would break every first try, and accepting it can reach nobody. Being
/// merely possible is not enough for any other number: a mistyped area code is possible too.
///
/// The other way round, `310-6681` is a *valid* Canadian service number of seven digits, but in a contact list it is a
/// number whose area code is missing.
fn is_acceptable(number: &PhoneNumber) -> bool {
    if number.country_code != 1 {
        return number.is_valid();
    }
    let fictitious = number.national_number / 10_000_000 == FICTITIOUS_AREA_CODE && number.italian_leading_zero != Some(true);
    fictitious || (!lacks_area_code(number) && number.is_valid())
}

fn lacks_area_code(number: &PhoneNumber) -> bool {
    number.country_code == 1 && number.national_number < 1_000_000_000 && number.italian_leading_zero != Some(true)
}

/// The text as an international number, when it can be one that has lost its `+` or has another country's dialling prefix.
fn international(text: &str, region: Option<Region>, first: &Reading) -> Option<String> {
    if let Some(rest) = text.strip_prefix("+00").or_else(|| text.strip_prefix("00")) {
        return Some(format!("+{rest}"));
    }
    // Elsewhere 011 is also an area code (Turin, Johannesburg, Buenos Aires), hence the length.
    if let Some(rest) = text.strip_prefix("011").filter(|rest| count_digits(rest) >= MIN_INTERNATIONAL) {
        return Some(format!("+{rest}"));
    }
    // A lost `+`. Without a region there is no telling: ten digits of a US number are often a valid Swiss one. With a region the
    // national reading has failed already; it must have failed by its length, or a slip of the finger would reach a stranger abroad.
    region?;
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b' ' | b'-' | b'.' | b'(' | b')'));
    let digits = count_digits(text);
    let starts = text.bytes().find(u8::is_ascii_digit) != Some(b'0');
    let lost = plain && starts && digits >= MIN_INTERNATIONAL && (digits >= SURELY_INTERNATIONAL || has_impossible_length(first));
    lost.then(|| format!("+{text}"))
}

fn has_impossible_length(reading: &Reading) -> bool {
    match reading {
        Ok(number) => matches!(number.is_possible_with_reason(), Err(ValidationError::TooLong | ValidationError::InvalidLength)),
        Err(error) => matches!(error, ParseError::TooLongNsn),
    }
}

fn why_not(text: &str, region: Option<Region>, first: Reading) -> PhoneErrorCode {
    let code = match first {
        Ok(number) => match number.is_possible_with_reason() {
            Ok(NumberLengthType::IsPossibleLocalOnly) | Err(ValidationError::TooShort) => PhoneErrorCode::TooShort,
            Err(ValidationError::TooLong) => PhoneErrorCode::TooLong,
            Err(ValidationError::InvalidCountryCode) => PhoneErrorCode::UnknownCountryCode,
            Ok(NumberLengthType::IsPossible) if lacks_area_code(&number) => PhoneErrorCode::TooShort,
            Ok(NumberLengthType::IsPossible) | Err(ValidationError::InvalidLength) => PhoneErrorCode::InvalidNumber,
        },
        Err(ParseError::InvalidCountryCode) if region.is_none() && !text.starts_with('+') => PhoneErrorCode::NoRegion,
        Err(ParseError::InvalidCountryCode) => PhoneErrorCode::UnknownCountryCode,
        Err(ParseError::NotANumber(_)) => PhoneErrorCode::NotANumber,
        Err(ParseError::TooShortAfterIdd | ParseError::TooShortNsn) => PhoneErrorCode::TooShort,
        Err(ParseError::TooLongNsn) => PhoneErrorCode::TooLong,
    };
    let may_be_two = matches!(code, PhoneErrorCode::TooLong | PhoneErrorCode::NotANumber | PhoneErrorCode::NoRegion);
    if may_be_two && has_spaced_numbers(text) { PhoneErrorCode::SeveralNumbers } else { code }
}
