//! Whether a body holds what API 1 documents, in the words FastAPI uses. Every place that is to blame is named, not only the first.

use crate::error::{Fault, FieldFault};
use campaign_core::schedule::zones::is_known;
use campaign_core::wire::Object;
use serde_json::Value;

/// A body being looked at.
pub(crate) struct Check<'a> {
    object: &'a Object,
    faults: Vec<FieldFault>,
}

impl<'a> Check<'a> {
    /// Of this body.
    pub(crate) fn new(object: &'a Object) -> Self {
        Self { object, faults: Vec::new() }
    }

    /// What was found.
    ///
    /// # Errors
    /// 422 with every place.
    pub(crate) fn finish(self) -> Result<(), Fault> {
        if self.faults.is_empty() { Ok(()) } else { Err(Fault::fields(self.faults)) }
    }

    fn blame(&mut self, name: &str, message: impl Into<String>, code: &'static str) {
        self.faults.push(FieldFault { loc: vec!["body".into(), name.into()], message: message.into(), code });
    }

    /// A field that must be there and not null.
    pub(crate) fn required(&mut self, name: &str) -> &mut Self {
        if !self.object.contains_key(name) {
            self.blame(name, "Field required", "missing");
        }
        self
    }

    /// A field that must be there; null is as if it were not.
    pub(crate) fn needed(&mut self, name: &str) -> &mut Self {
        if self.given(name).is_none_or(Value::is_null) {
            self.blame(name, "Field required", "missing");
        }
        self
    }

    fn given(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name)
    }

    /// A text of this length; null counts as not given where `nullable`.
    pub(crate) fn text(&mut self, name: &str, least: usize, most: usize, nullable: bool) -> &mut Self {
        match self.given(name) {
            None => {}
            Some(Value::Null) if nullable => {}
            Some(Value::String(text)) => {
                let length = text.chars().count();
                let unit = |count| if count == 1 { "character" } else { "characters" };
                if length < least {
                    self.blame(name, format!("String should have at least {least} {}", unit(least)), "string_too_short");
                } else if length > most {
                    self.blame(name, format!("String should have at most {most} {}", unit(most)), "string_too_long");
                }
            }
            Some(_) => self.blame(name, "Input should be a valid string", "string_type"),
        }
        self
    }

    /// A whole number in this range; null counts as not given where `nullable`.
    pub(crate) fn integer(&mut self, name: &str, least: i64, most: i64, nullable: bool) -> &mut Self {
        match self.given(name) {
            None => {}
            Some(Value::Null) if nullable => {}
            Some(value) => match value.as_i64() {
                None => self.blame(name, "Input should be a valid integer", "int_type"),
                Some(number) if number < least => {
                    self.blame(name, format!("Input should be greater than or equal to {least}"), "greater_than_equal");
                }
                Some(number) if number > most => {
                    self.blame(name, format!("Input should be less than or equal to {most}"), "less_than_equal");
                }
                Some(_) => {}
            },
        }
        self
    }

    /// An object, or null.
    pub(crate) fn object(&mut self, name: &str) -> &mut Self {
        if self.given(name).is_some_and(|value| !value.is_object() && !value.is_null()) {
            self.blame(name, "Input should be a valid dictionary", "dict_type");
        }
        self
    }

    /// An object of texts, or null.
    pub(crate) fn texts(&mut self, name: &str) -> &mut Self {
        self.object(name);
        let wrong: Vec<String> = self
            .given(name)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter(|(_, value)| !value.is_string())
            .map(|(key, _)| key.clone())
            .collect();
        for key in wrong {
            let loc = vec!["body".into(), name.into(), key.into()];
            self.faults.push(FieldFault { loc, message: "Input should be a valid string".to_owned(), code: "string_type" });
        }
        self
    }

    /// A list, or null; of texts where `texts`.
    pub(crate) fn list(&mut self, name: &str, texts: bool) -> &mut Self {
        match self.given(name) {
            None | Some(Value::Null) => {}
            Some(Value::Array(items)) => {
                for (index, _) in items.iter().enumerate().filter(|(_, item)| texts && !item.is_string()) {
                    let loc = vec!["body".into(), name.into(), index.into()];
                    self.faults.push(FieldFault { loc, message: "Input should be a valid string".to_owned(), code: "string_type" });
                }
            }
            Some(_) => self.blame(name, "Input should be a valid list", "list_type"),
        }
        self
    }

    /// The name of a time zone; null counts as not given where `nullable`.
    pub(crate) fn zone(&mut self, name: &str, nullable: bool) -> &mut Self {
        self.text(name, 1, 64, nullable);
        if self.given(name).and_then(Value::as_str).is_some_and(|zone| !is_known(zone)) {
            self.blame(name, "Input should be an IANA time zone, such as 'America/New_York'", "value_error");
        }
        self
    }

    /// What stands within an object, if it is one.
    pub(crate) fn within(&mut self, name: &str, look: impl FnOnce(&mut Check<'_>)) -> &mut Self {
        if let Some(Value::Object(object)) = self.given(name) {
            let mut inner = Check::new(object);
            look(&mut inner);
            for mut fault in inner.faults {
                fault.loc.insert(1, name.into());
                self.faults.push(fault);
            }
        }
        self
    }

    /// One of these names.
    pub(crate) fn one_of(&mut self, name: &str, names: &[&str]) -> &mut Self {
        let known = self.given(name).is_none_or(|value| value.as_str().is_some_and(|value| names.contains(&value)));
        if !known {
            let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
            let listed = match quoted.split_last() {
                Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
                _ => quoted.join(", "),
            };
            self.blame(name, format!("Input should be {listed}"), "enum");
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_place_is_named_in_fastapis_words() {
        let body = json!({"long": "abc", "number": 11, "float": 1.5, "kind": "fax", "map": {"a": 1}, "list": ["x", 2], "none": null});
        let mut check = Check::new(body.as_object().unwrap());
        check
            .required("name")
            .text("long", 1, 2, false)
            .text("none", 1, 2, true)
            .integer("number", 1, 10, false)
            .integer("float", 1, 10, false)
            .one_of("kind", &["call", "sms", "mixed"])
            .texts("map")
            .list("list", true);
        let found: Vec<(Vec<Value>, String, &str)> =
            check.finish().unwrap_err().fields.into_iter().map(|field| (field.loc, field.message, field.code)).collect();
        let at = |path: &[Value]| [&[json!("body")], path].concat();
        assert_eq!(
            found,
            [
                (at(&[json!("name")]), "Field required".to_owned(), "missing"),
                (at(&[json!("long")]), "String should have at most 2 characters".to_owned(), "string_too_long"),
                (at(&[json!("number")]), "Input should be less than or equal to 10".to_owned(), "less_than_equal"),
                (at(&[json!("float")]), "Input should be a valid integer".to_owned(), "int_type"),
                (at(&[json!("kind")]), "Input should be 'call', 'sms' or 'mixed'".to_owned(), "enum"),
                (at(&[json!("map"), json!("a")]), "Input should be a valid string".to_owned(), "string_type"),
                (at(&[json!("list"), json!(1)]), "Input should be a valid string".to_owned(), "string_type"),
            ]
        );
    }
}
