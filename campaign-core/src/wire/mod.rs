//! The flat form of everything that crosses a border: JSON with the field names of the REST API, out and in.
//!
//! Bindings and the server hold no name, no default and no rule of their own; they turn their language's values into JSON, ask this
//! room, and turn JSON back. Everything here is pure: no I/O, no clock (`now` is passed in). Where a field is left out the engine's
//! default holds, and what is unknown is an error that names it.
//!
//! | file | what crosses |
//! |---|---|
//! | `records` | campaigns, contacts, executions, events, lists and suppressions, outwards |
//! | `spec` | the arguments of creating and changing a campaign, inwards |
//! | `args` | queries and options, inwards |
//! | `answers` | conversations and messages, out and in |
//! | `assistants` | assistants by configuration and in another language, and the telephone's relay |
//! | `dialing` | requests to a dialer in another language, and its answers |
//! | `faults` | errors, outwards |
//! | `providers` | dialers by configuration, and callbacks of providers |
//! | `policy` | the decisions that stores and campaigns in another language ask for |
//!
//! Moments are RFC 3339 texts in UTC, spans of time are seconds (a number, fractions allowed), money is a decimal number.

mod answers;
mod args;
mod assistants;
mod dialing;
mod faults;
mod policy;
mod providers;
mod records;
mod spec;

pub use answers::{conversation, conversation_key, conversation_query, inbound_message, message, message_query, send_message};
pub use args::{
    campaign_query, carrier, contact_query, execution_query, import_options, lint_options, options, preview, reexecution, schedule,
    simulate_options, suppression, suppression_key, suppression_query, suppression_scope, timeline_query,
};
pub use assistants::{answer, assistant, check_assistant, dialogue, piece, relay_command, spoken};
pub use dialing::{capabilities, dial_error, dial_request, find_request, found, outbound_message, outcome, sent, user_error, user_failure};
pub use faults::error;
pub use policy::{Pacing, decide, next, raised, view};
pub use providers::{callback_request, callback_response, check_dialer, dialer};
pub use records::{
    campaign, campaign_explanation, contact, contact_explanation, contact_list, event, execution, import_progress, import_report,
    lint_report, node, page, progress, simulation, suppression_entry, timeline,
};
pub use spec::{spec, spec_patch};

use crate::error::{Error, Kind, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A JSON object: the arguments of a call, or a flat record.
pub type Object = Map<String, Value>;

/// A plain record as JSON.
fn flat(value: &impl Serialize) -> Value {
    // Records have text keys and finite numbers only, so this cannot fail; a defect shows as null instead of a panic.
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// A plain record as an object to which more is added.
fn object(value: &impl Serialize) -> Object {
    match flat(value) {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

/// Reads a value of known shape; `what` is named in the error.
fn read<T: DeserializeOwned>(what: &'static str, value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| Error::new(Kind::Invalid, without_digits(&error.to_string())).with("field", what))
}

/// The reader of JSON repeats what it found; a value in the wrong place may be a phone number.
fn without_digits(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut digits = String::new();
    for character in text.chars().chain(std::iter::once('\0')) {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        out.push_str(if digits.len() < 6 { &digits } else { "…" });
        digits.clear();
        if character != '\0' {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_hold_no_numbers() {
        let error = read::<Vec<u32>>("ids", Value::from("+12125550123")).unwrap_err();
        assert!(error.to_string().contains("+…") && !error.to_string().contains("2125550123"), "{error}");
        assert_eq!(without_digits("at most 1000, not 123456"), "at most 1000, not …");
    }
}
