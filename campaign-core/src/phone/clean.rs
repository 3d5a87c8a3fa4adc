//! From what people and spreadsheets write to plain ASCII that a phone parser understands.

use super::error::{PhoneError, PhoneErrorCode};
use std::borrow::Cow;

/// Longer texts are no phone numbers; they are refused before anything looks at them, so that a field of 10 MB costs nothing.
const MAX_BYTES: usize = 256;

/// Fewer digits than this are part of a number rather than a number.
pub(super) const MIN_DIGITS: usize = 7;

/// The digit zero of the scripts whose digits stand in real contact lists; nine digits follow each.
const ZEROS: [u32; 18] = [
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x17E0,
    0x1810,
];

/// Plain text with at least one digit: ASCII digits, dashes and spaces, no invisible characters, no quotes, spreadsheet damage undone.
pub(super) fn clean(text: &str) -> Result<Cow<'_, str>, PhoneError> {
    if text.len() > MAX_BYTES {
        return Err(PhoneErrorCode::TooLong.into());
    }
    let plain = if text.bytes().all(is_plain) { Cow::Borrowed(text) } else { Cow::Owned(to_ascii(text)?) };
    let plain = trim(plain);
    if plain.is_empty() {
        return Err(PhoneErrorCode::Empty.into());
    }
    let plain = match undo_spreadsheet(&plain)? {
        Some(digits) => Cow::Owned(digits),
        None => plain,
    };
    if !plain.bytes().any(|byte| byte.is_ascii_digit()) {
        return Err(PhoneErrorCode::NotANumber.into());
    }
    if has_separated_numbers(&plain) {
        return Err(PhoneErrorCode::SeveralNumbers.into());
    }
    Ok(plain)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'+' | b' ' | b'-' | b'.' | b'(' | b')')
}

fn to_ascii(text: &str) -> Result<String, PhoneError> {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            // Line breaks separate numbers; a lone one at the end is trimmed later.
            '\n' | '\r' | '\u{2028}' | '\u{2029}' => out.push('|'),
            '"' | '\'' | '`' | '\u{B4}' | '\u{AB}' | '\u{BB}' | '\u{2018}'..='\u{201F}' | '\u{FF02}' | '\u{FF07}' => {}
            // Soft hyphen, zero-width and bidi marks, word joiner, byte order mark.
            '\u{AD}' | '\u{61C}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}' => {}
            '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{2043}' | '\u{30FC}' => out.push('-'),
            '\u{FF01}'..='\u{FF5E}' => out.extend(char::from_u32(character as u32 - 0xFEE0)),
            ' '..='~' => out.push(character),
            _ if character.is_whitespace() => out.push(' '),
            _ if character.is_control() => return Err(PhoneErrorCode::NotANumber.into()),
            _ => out.push(digit_of(character).unwrap_or(character)),
        }
    }
    Ok(out)
}

fn digit_of(character: char) -> Option<char> {
    let code = character as u32;
    let zero = ZEROS.into_iter().find(|zero| (*zero..*zero + 10).contains(&code))?;
    char::from_digit(code - zero, 10)
}

/// Takes off white space, stray separators, the `=` of a spreadsheet formula, and the scheme of a link.
fn trim(text: Cow<'_, str>) -> Cow<'_, str> {
    fn inner(text: &str) -> &str {
        let text = text.trim_matches(|character: char| matches!(character, ' ' | '|' | ';' | ',' | '/' | '='));
        let scheme = ["tel:", "callto:", "sms:", "whatsapp:"]
            .into_iter()
            .find(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
        scheme.map_or(text, |scheme| text[scheme.len()..].trim_start_matches([' ', '/']))
    }
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(inner(text)),
        Cow::Owned(text) => Cow::Owned(inner(&text).to_owned()),
    }
}

/// The digits of a number that a spreadsheet turned into a quantity: `5551234567.0`, `34,631,021,622`, `3.4631021622E+10`.
/// `None` when the text is no quantity.
fn undo_spreadsheet(text: &str) -> Result<Option<String>, PhoneError> {
    let (sign, number) = text.strip_prefix('+').map_or(("", text), |rest| ("+", rest));
    if let Some(digits) = without_thousands(number) {
        return Ok(Some(format!("{sign}{digits}")));
    }
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (number, None),
    };
    let (whole, fraction) = mantissa.split_once(['.', ',']).unwrap_or((mantissa, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return Ok(None);
    }
    let shift = match exponent {
        Some(exponent) => {
            let digits = exponent.trim_start_matches(['+', '-']);
            if digits.is_empty() || !all_digits(digits) {
                return Ok(None);
            }
            // A negative or an absurd power is a quantity, but no phone number.
            let power = exponent.strip_prefix('+').unwrap_or(exponent).parse::<u8>();
            usize::from(power.map_err(|_| PhoneErrorCode::NotANumber)?)
        }
        // Without an exponent only one or two decimals after something as long as a phone number are a quantity's;
        // `212.5551234` is somebody's way to write a number.
        None if whole.len() < MIN_DIGITS || fraction.is_empty() || fraction.len() > 2 => return Ok(None),
        None => 0,
    };
    if shift > fraction.len() {
        return Err(PhoneErrorCode::DigitsLost.into());
    }
    let (kept, decimals) = fraction.split_at(shift);
    if decimals.bytes().any(|byte| byte != b'0') {
        return Err(PhoneErrorCode::NotANumber.into());
    }
    Ok(Some(format!("{sign}{whole}{kept}")))
}

/// `34,631,021,622` without its commas, when it has at least two and every group but the first has three digits.
fn without_thousands(text: &str) -> Option<String> {
    let mut groups = text.split(',');
    let first = groups.next()?;
    let mut others = 0;
    let digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    let ok = (1..=3).contains(&first.len())
        && digits(first)
        && groups.all(|group| {
            others += 1;
            group.len() == 3 && digits(group)
        });
    (ok && others >= 2).then(|| text.replace(',', ""))
}

/// Whether a separator or a second `+` stands between two things that are each long enough to be a number.
fn has_separated_numbers(text: &str) -> bool {
    let separated = |separators: &[char]| text.contains(separators) && count_numbers(text.split(separators)) > 1;
    separated(&[',', ';', '|', '/', '&']) || separated(&['+'])
}

/// Whether white space or words stand between two things that are each long enough to be a number. Asked only about a text that
/// has more digits than any number, since people put spaces inside numbers too.
pub(super) fn has_spaced_numbers(text: &str) -> bool {
    count_numbers(text.split(|character: char| character.is_whitespace() || character.is_alphabetic())) > 1
}

fn count_numbers<'a>(pieces: impl Iterator<Item = &'a str>) -> usize {
    // `;ext=...` and `;phone-context=...` are parameters of a link.
    pieces.filter(|piece| !piece.contains('=') && count_digits(piece) >= MIN_DIGITS).count()
}

pub(super) fn count_digits(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}
