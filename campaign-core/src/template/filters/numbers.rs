//! Numbers and money as people write them.

use super::{fault, is_missing, text};
use minijinja::Error;
use minijinja::value::Value;
use std::borrow::Cow;

/// From here on neighbouring whole numbers share one `f64`; larger amounts are left as they are rather than changed.
const EXACT: f64 = 9e15;

/// The number a value stands for: `1234.5`, `1,234.50`, `1.234,50`, `1 234,50`, `$1,234.50`, `12 %`.
///
/// With both separators the last one is the decimal sign; a single comma is one unless exactly three digits follow it.
pub(super) fn parse(value: &Value) -> Option<f64> {
    if value.is_number() {
        return f64::try_from(value.clone()).ok().filter(|number| number.is_finite());
    }
    let text = text(value);
    let text = text.trim();
    if text.len() > 64 {
        return None;
    }
    let (negative, text) = text.strip_prefix(['-', '−']).map_or((false, text), |rest| (true, rest));
    let text = text.trim_matches(|c: char| c.is_whitespace() || "$€£¥₹%".contains(c));
    let (negative, text) = text.strip_prefix(['-', '−']).map_or((negative, text), |rest| (true, rest));
    let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '\'' | '’' | '\u{a0}' | '\u{202f}')).collect();
    let decimal = match (digits.rfind('.'), digits.rfind(',')) {
        (Some(dot), Some(comma)) => Some(dot.max(comma)),
        (Some(dot), None) => (digits.matches('.').count() == 1).then_some(dot),
        (None, Some(comma)) => (digits.matches(',').count() == 1 && digits.len() - comma != 4).then_some(comma),
        (None, None) => None,
    };
    let whole = &digits[..decimal.unwrap_or(digits.len())];
    let fraction = decimal.map_or("", |at| &digits[at + 1..]);
    let whole: String = whole.chars().filter(|c| !matches!(c, '.' | ',')).collect();
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(&whole) || !plain(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let number: f64 = format!("{whole}.{fraction}0").parse().ok().or_else(|| format!("0{whole}.{fraction}0").parse().ok())?;
    Some(if negative { -number } else { number })
}

/// The whole number a value stands for.
pub(super) fn whole(value: &Value) -> Option<i64> {
    parse(value).filter(|number| number.fract() == 0.0 && number.abs() < EXACT).map(|number| number as i64)
}

/// `int(0)`: the number without its fraction; the argument (default 0) when it is none.
pub(super) fn int(value: &Value, default: Option<i64>) -> i64 {
    parse(value).filter(|number| number.abs() < EXACT).map_or(default.unwrap_or(0), |number| number as i64)
}

/// `float(0.0)`: the number; the argument (default 0) when it is none.
pub(super) fn float(value: &Value, default: Option<f64>) -> f64 {
    parse(value).unwrap_or(default.unwrap_or(0.0))
}

/// `round(1)`: to that many decimals, halves away from zero; without one to a whole number. 0 when it is none.
pub(super) fn round(value: &Value, decimals: Option<u32>) -> Value {
    let decimals = decimals.unwrap_or(0).min(10);
    let rounded = rounded(parse(value).unwrap_or(0.0), decimals);
    if decimals == 0 && rounded.abs() < EXACT { Value::from(rounded as i64) } else { Value::from(rounded) }
}

/// Decimal fractions lie a hair beside their binary form (1.005 is 1.00499…), so halves are met with a hair of tolerance.
fn rounded(number: f64, decimals: u32) -> f64 {
    let scale = 10f64.powi(decimals as i32);
    let scaled = number.abs() * scale;
    ((scaled * (1.0 + f64::EPSILON)).round() / scale).copysign(number)
}

/// `number(2, ',')`: digits in groups of three. Without decimals as many as the number has, at most 6. What is no number stays.
///
/// With `.` between the groups the decimal sign is a comma.
pub(super) fn number(value: &Value, decimals: Option<u32>, thousands: Option<Cow<'_, str>>) -> Result<String, Error> {
    let thousands = thousands.as_deref().unwrap_or(",");
    if thousands.chars().count() > 1 {
        return Err(fault("what stands between thousands is one character, or none"));
    }
    Ok(match parse(value).filter(|number| number.abs() < EXACT) {
        Some(number) => grouped(number, decimals, thousands),
        None => text(value).into_owned(),
    })
}

fn grouped(number: f64, decimals: Option<u32>, thousands: &str) -> String {
    let places = decimals.unwrap_or(6).min(10);
    let plain = format!("{:.*}", places as usize, rounded(number, places).abs());
    let plain = if decimals.is_none() && plain.contains('.') { plain.trim_end_matches('0').trim_end_matches('.') } else { &plain };
    let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
    let mut output = String::with_capacity(plain.len() + 8);
    if number < 0.0 && plain.bytes().any(|byte| (b'1'..=b'9').contains(&byte)) {
        output.push('-');
    }
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            output.push_str(thousands);
        }
        output.push(digit);
    }
    if !fraction.is_empty() {
        output.push(if thousands == "." { ',' } else { '.' });
        output.push_str(fraction);
    }
    output
}

/// Sign before the amount, and digits after the decimal point, where they are not the code itself and 2 (ISO 4217).
const CURRENCIES: &[(&str, &str, u32)] = &[
    ("USD", "$", 2),
    ("EUR", "€", 2),
    ("GBP", "£", 2),
    ("JPY", "¥", 0),
    ("CNY", "CN¥", 2),
    ("INR", "₹", 2),
    ("KRW", "₩", 0),
    ("BRL", "R$", 2),
    ("MXN", "MX$", 2),
    ("CAD", "CA$", 2),
    ("AUD", "A$", 2),
    ("NZD", "NZ$", 2),
    ("HKD", "HK$", 2),
    ("SGD", "S$", 2),
    ("ILS", "₪", 2),
    ("PHP", "₱", 2),
    ("NGN", "₦", 2),
    ("UAH", "₴", 2),
    ("VND", "₫", 0),
    ("CLP", "CLP ", 0),
    ("PYG", "PYG ", 0),
    ("ISK", "ISK ", 0),
    ("UGX", "UGX ", 0),
    ("XAF", "XAF ", 0),
    ("XOF", "XOF ", 0),
    ("BHD", "BHD ", 3),
    ("IQD", "IQD ", 3),
    ("JOD", "JOD ", 3),
    ("KWD", "KWD ", 3),
    ("OMR", "OMR ", 3),
    ("TND", "TND ", 3),
];

/// `currency('EUR')`, default `USD`: `1234.5` to `€1,234.50`. What is no number stays as it is.
pub(super) fn currency(value: &Value, code: Option<Cow<'_, str>>) -> Result<String, Error> {
    let code = code.as_deref().unwrap_or("USD").to_ascii_uppercase();
    if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(fault("a currency is three letters, like `USD`"));
    }
    let Some(amount) = parse(value).filter(|amount| amount.abs() < EXACT) else { return Ok(text(value).into_owned()) };
    let own = format!("{code} ");
    let (sign, decimals) = CURRENCIES.iter().find(|row| row.0 == code).map_or((own.as_str(), 2), |row| (row.1, row.2));
    let digits = grouped(amount, Some(decimals), ",");
    Ok(match digits.strip_prefix('-') {
        Some(digits) => format!("-{sign}{digits}"),
        None => format!("{sign}{digits}"),
    })
}

/// `{{ count }} item{{ count|plural }}`, `plural('y', 'ies')`: the first text for one, the second (default `s`) for any other number.
///
/// With one argument it is the plural ending: `plural('es')`.
pub(super) fn plural(value: &Value, first: Option<Cow<'_, str>>, second: Option<Cow<'_, str>>) -> String {
    let (one, many) = match (&first, &second) {
        (Some(one), Some(many)) => (&**one, &**many),
        (Some(many), None) => ("", &**many),
        _ => ("", "s"),
    };
    let count = match value.len() {
        Some(items) if value.as_str().is_none() && !is_missing(value) => Some(items as f64),
        _ => parse(value),
    };
    if count == Some(1.0) { one.to_owned() } else { many.to_owned() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_written() {
        for (given, expected) in [
            ("1234.5", Some(1234.5)),
            ("1,234.50", Some(1234.5)),
            ("1.234,50", Some(1234.5)),
            ("1 234,50", Some(1234.5)),
            ("1,234", Some(1234.0)),
            ("1,234,567", Some(1_234_567.0)),
            ("1.234.567", Some(1_234_567.0)),
            ("12,5", Some(12.5)),
            ("$1,234.50", Some(1234.5)),
            ("-$5", Some(-5.0)),
            ("$-5", Some(-5.0)),
            ("12 %", Some(12.0)),
            (".5", Some(0.5)),
            ("n/a", None),
            ("1e9", None),
            ("", None),
            ("-", None),
            ("١٢", None),
        ] {
            assert_eq!(parse(&Value::from(given)), expected, "{given}");
        }
    }

    #[test]
    fn money_has_its_own_digits() {
        for (given, code, expected) in [
            ("1234.5", "USD", "$1,234.50"),
            ("1.005", "USD", "$1.01"),
            ("-1234.5", "eur", "-€1,234.50"),
            ("1234.5", "JPY", "¥1,235"),
            ("1", "KWD", "KWD 1.000"),
            ("1", "CHF", "CHF 1.00"),
            ("free", "USD", "free"),
            ("99999999999999999999", "USD", "99999999999999999999"),
        ] {
            assert_eq!(currency(&Value::from(given), Some(code.into())).unwrap(), expected, "{given} {code}");
        }
        assert!(currency(&Value::from(1), Some("dollar".into())).is_err());
    }

    #[test]
    fn grouping() {
        for (given, decimals, thousands, expected) in [
            ("1234567.891", Some(2), ",", "1,234,567.89"),
            ("1234567.891", None, ",", "1,234,567.891"),
            ("1234567", Some(0), ".", "1.234.567"),
            ("1234.5", Some(2), ".", "1.234,50"),
            ("999.999", Some(2), "", "1000.00"),
            ("-0.001", Some(2), ",", "0.00"),
        ] {
            assert_eq!(number(&Value::from(given), decimals, Some(thousands.into())).unwrap(), expected, "{given}");
        }
    }
}
