//! Secrets that lie elsewhere, and secrets that are not shown.

use super::{Environment, Fault, Source};
use serde_json::{Value, json};

/// Puts what `{ env = "NAME" }` and `{ file = "/path" }` name in their place, anywhere within `value`.
pub(super) fn fetch(
    value: &mut Value,
    place: &str,
    source: &dyn Fn(&str) -> Source,
    environment: &Environment<'_>,
    faults: &mut Vec<Fault>,
) {
    match value {
        Value::Object(object) => {
            if let Some(named) = named(object) {
                match named.fetch(environment) {
                    Ok(text) => *value = Value::from(text),
                    Err(message) => {
                        faults.push(Fault { key: Some(place.to_owned()), source: source(place), message });
                        // One mistake is told once.
                        *value = Value::Null;
                    }
                }
                return;
            }
            for (name, inner) in object.iter_mut() {
                let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
                fetch(inner, &place, source, environment, faults);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter_mut().enumerate() {
                fetch(inner, &format!("{place}[{index}]"), source, environment, faults);
            }
        }
        _ => {}
    }
}

enum Named {
    Variable(String),
    File(String),
}

fn named(object: &serde_json::Map<String, Value>) -> Option<Named> {
    let (name, text) = object.iter().next().filter(|_| object.len() == 1)?;
    match name.as_str() {
        "env" => text.as_str().map(|text| Named::Variable(text.to_owned())),
        "file" => text.as_str().map(|text| Named::File(text.to_owned())),
        _ => None,
    }
}

impl Named {
    fn fetch(self, environment: &Environment<'_>) -> Result<String, String> {
        match self {
            Self::Variable(name) => {
                environment(&name).ok_or_else(|| format!("is to come from the environment variable {name}, which is not set"))
            }
            Self::File(path) => {
                let text =
                    std::fs::read_to_string(&path).map_err(|error| format!("is to come from {path}, which cannot be read: {error}"))?;
                // Editors and `echo` end a file with a line break that is no part of a secret.
                Ok(text.trim_end_matches(['\r', '\n']).to_owned())
            }
        }
    }
}

/// Words in the names of settings that are secrets.
const SECRET: [&str; 6] = ["token", "secret", "api_key", "webhook_keys", "password", "headers"];

/// A value as it may be shown: what is a secret by its name, and passwords in URLs, are dots.
pub(super) fn shown(name: &str, value: &Value) -> Value {
    const DOTS: &str = "•••";
    let last = name.rsplit('.').next().unwrap_or(name);
    // An id of a key is no secret.
    if SECRET.iter().any(|word| last.contains(word)) && !last.ends_with("_sid") && !value.is_null() {
        return json!(DOTS);
    }
    match value {
        Value::String(text) => match url::Url::parse(text) {
            Ok(mut url) if url.password().is_some() || url.query_pairs().any(|(name, _)| name == "password") => {
                let _ = url.set_password(Some(DOTS));
                url.set_query(None);
                json!(url.to_string().replace("%E2%80%A2", "•"))
            }
            _ => value.clone(),
        },
        Value::Object(object) => {
            object.iter().map(|(inner, value)| (inner.clone(), shown(inner, value))).collect::<serde_json::Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(|item| shown(last, item)).collect(),
        _ => value.clone(),
    }
}
