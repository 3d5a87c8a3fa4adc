//! The filters and tests of the Jinja syntax: the whole list, nothing else exists.
//!
//! Filters never fail because of a contact's value: what cannot be formatted is passed on as it is, so that one odd cell does not
//! cost a contact its message. They do fail for wrong arguments, which are mistakes of the template. Every result is bounded.

mod dates;
mod numbers;
mod texts;

use super::jinja::Missing;
use super::limits;
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind};
use std::borrow::Cow;
use std::fmt;

/// Every filter there is.
pub(super) const FILTERS: &[&str] = &[
    "capitalize",
    "currency",
    "date",
    "datetime",
    "default",
    "first_name",
    "float",
    "int",
    "join",
    "length",
    "lower",
    "number",
    "phone_format",
    "plural",
    "replace",
    "round",
    "time",
    "title_case",
    "trim",
    "truncate",
    "upper",
];

/// Every test there is.
pub(super) const TESTS: &[&str] =
    &["defined", "divisibleby", "endingwith", "even", "none", "number", "odd", "startingwith", "string", "undefined"];

/// Adds them all; `FILTERS` and `TESTS` name the same, which a test checks.
pub(super) fn register(environment: &mut Environment<'_>) {
    environment.add_filter("capitalize", texts::capitalize);
    environment.add_filter("currency", numbers::currency);
    environment.add_filter("date", dates::date);
    environment.add_filter("datetime", dates::datetime);
    environment.add_filter("default", texts::default);
    environment.add_filter("first_name", texts::first_name);
    environment.add_filter("float", numbers::float);
    environment.add_filter("int", numbers::int);
    environment.add_filter("join", texts::join);
    environment.add_filter("length", texts::length);
    environment.add_filter("lower", texts::lower);
    environment.add_filter("number", numbers::number);
    environment.add_filter("phone_format", texts::phone_format);
    environment.add_filter("plural", numbers::plural);
    environment.add_filter("replace", texts::replace);
    environment.add_filter("round", numbers::round);
    environment.add_filter("time", dates::time);
    environment.add_filter("title_case", texts::title_case);
    environment.add_filter("trim", texts::trim);
    environment.add_filter("truncate", texts::truncate);
    environment.add_filter("upper", texts::upper);

    environment.add_test("defined", |value: &Value| !is_missing(value));
    environment.add_test("undefined", is_missing);
    environment.add_test("none", is_missing);
    environment.add_test("string", |value: &Value| value.as_str().is_some());
    environment.add_test("number", |value: &Value| value.is_number());
    environment.add_test("odd", |value: &Value| numbers::whole(value).is_some_and(|number| number.rem_euclid(2) == 1));
    environment.add_test("even", |value: &Value| numbers::whole(value).is_some_and(|number| number.rem_euclid(2) == 0));
    environment.add_test("divisibleby", |value: &Value, by: i64| {
        by != 0 && numbers::whole(value).is_some_and(|number| number.wrapping_rem(by) == 0)
    });
    environment.add_test("startingwith", |value: &Value, prefix: Cow<'_, str>| text(value).starts_with(&*prefix));
    environment.add_test("endingwith", |value: &Value, suffix: Cow<'_, str>| text(value).ends_with(&*suffix));
}

/// A sentence of ours within an error of minijinja; free of values, so it may be shown.
#[derive(Debug)]
pub(super) struct Said(pub(super) Cow<'static, str>);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Said {}

fn fault(sentence: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, "").with_source(Said(sentence.into()))
}

/// Whether there is no value: a missing variable, a field that does not exist, or null.
fn is_missing(value: &Value) -> bool {
    value.is_undefined() || value.is_none() || value.downcast_object_ref::<Missing>().is_some()
}

/// A value as text; a missing one is its fallback.
fn text(value: &Value) -> Cow<'_, str> {
    if let Some(text) = value.as_str() {
        Cow::Borrowed(text)
    } else if let Some(missing) = value.downcast_object_ref::<Missing>() {
        Cow::Borrowed(&missing.0)
    } else if value.is_undefined() || value.is_none() {
        Cow::Borrowed("")
    } else {
        Cow::Owned(value.to_string())
    }
}

/// Refuses a result over the limit, so that no chain of filters can make a value grow step by step.
fn bounded(text: String) -> Result<String, Error> {
    if text.len() > limits::VALUE_BYTES {
        return Err(fault(format!("the result is longer than {} bytes", limits::VALUE_BYTES)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_and_the_registry_agree() {
        let mut environment = Environment::empty();
        register(&mut environment);
        for name in FILTERS {
            let error = environment.render_str(&format!("{{{{ 1|{name} }}}}"), ()).err();
            assert!(error.is_none_or(|error| error.kind() != ErrorKind::UnknownFilter), "{name}");
        }
        for name in TESTS {
            let error = environment.render_str(&format!("{{{{ 1 is {name} }}}}"), ()).err();
            assert!(error.is_none_or(|error| error.kind() != ErrorKind::UnknownTest), "{name}");
        }
    }
}
