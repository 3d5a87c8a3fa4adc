//! What the compatible APIs take from a request, whatever their errors look like: who calls, the query, the body.

use crate::auth::Principal;
use crate::error::{Failure, Fault, FieldFault, Shape};
use crate::state::AppState;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use campaign_core::wire::Object;
use serde_json::Value;
use std::collections::HashMap;
use std::convert::Infallible;
use std::marker::PhantomData;

/// Who calls; the layer in front of the route has recognised it.
pub(crate) struct Caller<S>(pub(crate) Principal, pub(crate) PhantomData<S>);

impl<S: Shape> FromRequestParts<AppState> for Caller<S> {
    type Rejection = Failure<S>;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Failure<S>> {
        let principal = parts.extensions.get::<Principal>().cloned();
        let principal = principal.ok_or_else(|| Fault::new(StatusCode::UNAUTHORIZED, "Not authenticated"))?;
        Ok(Self(principal, PhantomData))
    }
}

/// The body of a request, a JSON object. No body, and null, is an empty one: what is missing is then said field by field.
pub(crate) struct Body<S>(pub(crate) Object, pub(crate) PhantomData<S>);

impl<S: Shape> FromRequest<AppState> for Body<S> {
    type Rejection = Failure<S>;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Failure<S>> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Fault::new(StatusCode::PAYLOAD_TOO_LARGE, "The request body is too large"),
            _ => Fault::refused("There was an error reading the body"),
        })?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(Object::new(), PhantomData));
        }
        // Only then is there a zero byte anywhere: as it is, JSON does not allow it.
        let may_hold_zero = bytes.windows(6).any(|part| part == b"\\u0000");
        // The reader's own words may repeat what it found.
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(object)) => match may_hold_zero.then(|| zero(&object)).flatten() {
                Some(loc) => Err(Fault::fields(vec![FieldFault { loc, message: ZERO.to_owned(), code: "value_error" }]).into()),
                None => Ok(Self(object, PhantomData)),
            },
            Ok(Value::Null) => Ok(Self(Object::new(), PhantomData)),
            Ok(_) => Err(Fault::refused("The request body must be a JSON object").into()),
            Err(_) => Err(Fault::refused("The request body is not valid JSON").into()),
        }
    }
}

/// What is wrong with a text that no store can hold.
const ZERO: &str = "must not contain a zero byte";

/// Where an object holds a text with a zero byte, or is named by one.
fn zero(object: &Object) -> Option<Vec<Value>> {
    fn within(value: &Value) -> Option<Vec<Value>> {
        match value {
            Value::String(text) => text.contains('\0').then(Vec::new),
            Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| Some([vec![index.into()], within(item)?].concat())),
            Value::Object(object) => inside(object),
            _ => None,
        }
    }
    fn inside(object: &Object) -> Option<Vec<Value>> {
        object.iter().find_map(|(name, value)| {
            if name.contains('\0') {
                // The name itself is not repeated: it cannot be shown.
                return Some(Vec::new());
            }
            Some([vec![Value::from(name.as_str())], within(value)?].concat())
        })
    }
    Some([vec![Value::from("body")], inside(object)?].concat())
}

/// The query of a request, by name; of a name that is there twice the last. A query that cannot be read is no query.
pub(crate) struct Params(pub(crate) HashMap<String, String>);

impl FromRequestParts<AppState> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        Ok(Self(Query::from_request_parts(parts, state).await.map(|Query(names)| names).unwrap_or_default()))
    }
}

impl Params {
    /// A text that is not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// A whole number in this range.
    ///
    /// # Errors
    /// 422 when it is none, or outside of it.
    pub(crate) fn integer(&self, name: &'static str, least: i64, most: i64) -> Result<Option<i64>, Fault> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let fits = text.parse().ok().filter(|value| (least..=most).contains(value));
        fits.map(Some).ok_or_else(|| wrong("query", name, format!("must be a whole number from {least} to {most}")))
    }

    /// One of these names.
    ///
    /// # Errors
    /// 422 when it is another.
    pub(crate) fn one_of(&self, name: &'static str, names: &[&str]) -> Result<Option<&str>, Fault> {
        match self.text(name) {
            Some(text) if !names.contains(&text) => Err(wrong("query", name, format!("must be one of {}", names.join(", ")))),
            text => Ok(text),
        }
    }
}

/// A part of a request that is not acceptable: `message` follows its name.
pub(crate) fn wrong(place: &'static str, name: &str, message: impl Into<String>) -> Fault {
    Fault::fields(vec![FieldFault { loc: vec![place.into(), name.into()], message: message.into(), code: "value_error" }])
}

/// A text of a body that is there and not empty.
pub(crate) fn given<'a>(body: &'a Object, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

/// A text in which every brace stands for itself, for the single-brace syntax.
pub(crate) fn literal(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_bytes_are_found() {
        let body = serde_json::json!({"a": "x", "b": [{"c": 1}, {"c": "x\0"}]});
        assert_eq!(zero(body.as_object().unwrap()).unwrap(), [Value::from("body"), "b".into(), 1.into(), "c".into()]);
        assert!(zero(serde_json::json!({"a": ["x", null]}).as_object().unwrap()).is_none());
        assert_eq!(zero(serde_json::json!({"a\0": 1}).as_object().unwrap()).unwrap(), ["body"]);
    }

    #[test]
    fn queries_are_checked() {
        let params = Params(HashMap::from([("limit".to_owned(), "7".to_owned()), ("order".to_owned(), "up".to_owned())]));
        assert_eq!(params.integer("limit", 1, 10).unwrap(), Some(7));
        assert_eq!(params.integer("offset", 0, 10).unwrap(), None);
        assert_eq!(params.integer("limit", 1, 6).unwrap_err().fields[0].loc, ["query", "limit"]);
        assert!(params.one_of("order", &["asc", "desc"]).is_err());
    }
}
