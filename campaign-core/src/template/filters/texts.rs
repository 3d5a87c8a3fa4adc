//! Filters over texts and lists.

use super::{bounded, fault, is_missing, text};
use crate::template::limits;
use minijinja::Error;
use minijinja::value::Value;
use std::borrow::Cow;

/// `default('there')`: the argument when there is no value. With `true` as second argument also when the value is false or 0.
pub(super) fn default(value: &Value, other: Option<Value>, falsy: Option<bool>) -> Value {
    if is_missing(value) || (falsy == Some(true) && !value.is_true()) { other.unwrap_or_else(|| Value::from("")) } else { value.clone() }
}

pub(super) fn upper(value: &Value) -> Result<String, Error> {
    bounded(text(value).to_uppercase())
}

pub(super) fn lower(value: &Value) -> Result<String, Error> {
    bounded(text(value).to_lowercase())
}

/// First letter large, all others small.
pub(super) fn capitalize(value: &Value) -> Result<String, Error> {
    let text = text(value);
    let mut output = String::with_capacity(text.len());
    push_capitalised(&mut output, &text);
    bounded(output)
}

/// `JOHN o'brien-smith` to `John O'Brien-Smith`.
///
/// A word begins after anything that is not a letter, digit or apostrophe. After an apostrophe the letter is large only when a
/// single letter stands before it (`O'Brien`, `D'Angelo`, but `John's`). A word that mixes large and small letters is taken as
/// written on purpose (`McDonald`, `iPhone`); `mcdonald` becomes `Mcdonald`, as nothing says otherwise.
pub(super) fn title_case(value: &Value) -> Result<String, Error> {
    let text = text(value);
    let is_word = |c: char| c.is_alphanumeric() || c == '\'' || c == '’' || is_mark(c);
    let mut output = String::with_capacity(text.len());
    let mut rest = &*text;
    while !rest.is_empty() {
        let word_start = rest.find(is_word).unwrap_or(rest.len());
        output.push_str(&rest[..word_start]);
        rest = &rest[word_start..];
        let word_end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        push_title_word(&mut output, &rest[..word_end]);
        rest = &rest[word_end..];
    }
    bounded(output)
}

/// Combining accents belong to the letter before them.
fn is_mark(c: char) -> bool {
    ('\u{300}'..='\u{36f}').contains(&c)
}

fn push_title_word(output: &mut String, word: &str) {
    let mixed = word.chars().any(char::is_lowercase) && word.chars().skip(1).any(char::is_uppercase);
    let mut prefix = 0;
    for (index, part) in word.split(['\'', '’']).enumerate() {
        if index > 0 {
            // Push the apostrophe as it was written.
            output.extend(word[prefix..].chars().next());
            prefix += word[prefix..].chars().next().map_or(0, char::len_utf8);
        }
        let before = &word[..prefix];
        let after_single_letter = index > 0 && before.chars().filter(|c| c.is_alphabetic()).count() == 1;
        if mixed {
            output.push_str(part);
        } else if index == 0 || after_single_letter || !before.chars().any(char::is_alphanumeric) {
            push_capitalised(output, part);
        } else {
            output.push_str(&part.to_lowercase());
        }
        prefix += part.len();
    }
}

fn push_capitalised(output: &mut String, word: &str) {
    let mut chars = word.chars();
    if let Some(first) = chars.next() {
        output.extend(first.to_uppercase());
        output.push_str(&chars.as_str().to_lowercase());
    }
}

/// Without spaces around it.
pub(super) fn trim(value: &Value) -> String {
    text(value).trim().to_owned()
}

/// The first word.
pub(super) fn first_name(value: &Value) -> String {
    text(value).split_whitespace().next().unwrap_or_default().to_owned()
}

/// `+15551234567` to `(555) 123-4567`; anything but a number of the North American plan stays as it is.
pub(super) fn phone_format(value: &Value) -> String {
    crate::phone::phone_format(&text(value))
}

/// `replace('-', ' ')`. Refuses to make a text longer than a value may be.
pub(super) fn replace(value: &Value, from: Cow<'_, str>, to: Cow<'_, str>) -> Result<String, Error> {
    let text = text(value);
    if from.is_empty() {
        return Err(fault("`replace` needs a text to look for"));
    }
    let found = text.matches(&*from).count();
    let length = text.len() - found * from.len() + found.saturating_mul(to.len());
    if length > limits::VALUE_BYTES {
        return Err(fault(format!("the result is longer than {} bytes", limits::VALUE_BYTES)));
    }
    Ok(text.replace(&*from, &to))
}

/// At most `length` characters, the end included: `truncate(20)`, `truncate(20, '…')`. Default 255 and `...`.
pub(super) fn truncate(value: &Value, length: Option<usize>, end: Option<Cow<'_, str>>) -> String {
    let text = text(value);
    let length = length.unwrap_or(255);
    if text.chars().nth(length).is_none() {
        return text.into_owned();
    }
    let end = end.as_deref().unwrap_or("...");
    let kept = length.saturating_sub(end.chars().count());
    let kept: String = text.chars().take(kept).collect();
    kept.trim_end().chars().chain(end.chars()).take(length).collect()
}

/// The items of a list with a text between them. A text stays as it is.
pub(super) fn join(value: &Value, between: Option<Cow<'_, str>>) -> Result<String, Error> {
    if is_missing(value) || value.as_str().is_some() {
        return Ok(text(value).into_owned());
    }
    let between = between.as_deref().unwrap_or(", ");
    let mut output = String::new();
    let items = value.try_iter().map_err(|_| fault("`join` needs a list"))?;
    for (index, item) in items.enumerate() {
        if index > 0 {
            output.push_str(between);
        }
        output.push_str(&text(&item));
        if output.len() > limits::VALUE_BYTES {
            return bounded(output);
        }
    }
    Ok(output)
}

/// Characters of a text, items of a list; 0 when there is no value.
pub(super) fn length(value: &Value) -> usize {
    if is_missing(value) { 0 } else { value.len().unwrap_or_else(|| text(value).chars().count()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn names_get_large_letters() {
        for (given, expected) in [
            ("john smith", "John Smith"),
            ("JOHN O'BRIEN-SMITH", "John O'Brien-Smith"),
            ("o’neill", "O’Neill"),
            ("john's", "John's"),
            ("élodie d'angelo", "Élodie D'Angelo"),
            ("Ronald McDonald", "Ronald McDonald"),
            ("mcdonald", "Mcdonald"),
            ("ßen straße", "SSen Straße"),
            ("  two  spaces ", "  Two  Spaces "),
            ("'quoted' word", "'Quoted' Word"),
            ("e\u{301}mile zola", "E\u{301}mile Zola"),
            ("3rd street", "3rd Street"),
            ("", ""),
        ] {
            assert_eq!(title_case(&Value::from(given)).unwrap(), expected, "{given}");
        }
    }

    #[test]
    fn numbers_of_other_countries_stay() {
        for (given, expected) in
            [("+15551234567", "(555) 123-4567"), ("555-123-4567", "(555) 123-4567"), ("+442071234567", "+442071234567"), ("n/a", "n/a")]
        {
            assert_eq!(phone_format(&Value::from(given)), expected);
        }
    }

    #[test]
    fn truncation_counts_characters() {
        assert_eq!(truncate(&Value::from("äöüäöü"), Some(5), None), "äö...");
        assert_eq!(truncate(&Value::from("äöü"), Some(3), None), "äöü");
        assert_eq!(truncate(&Value::from("abcdef"), Some(2), None), "..");
        assert_eq!(truncate(&Value::from("John"), Some(1), Some("".into())), "J");
    }
}
