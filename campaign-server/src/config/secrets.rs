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
const SECRET: [&str; 9] = ["token", "secret", "api_key", "apikey", "webhook_keys", "password", "headers", "authorization", "private_key"];
/// Schemes whose URLs have two slashes, whether somebody wrote them or not.
const WITH_HOST: [&str; 6] = ["http", "https", "ws", "wss", "postgres", "postgresql"];
/// What is shown in place of a secret.
const DOTS: &str = "•••";

/// A value as it may be shown: dots for what is a secret by its name, for every text that is handed on to somebody (`extra`), and for
/// what may be a secret in a URL.
pub(super) fn shown(name: &str, value: &Value) -> Value {
    let last = name.rsplit('.').next().unwrap_or(name).to_lowercase();
    // An id of a key is no secret.
    if SECRET.iter().any(|word| last.contains(word)) && !last.ends_with("_sid") && !value.is_null() {
        return json!(DOTS);
    }
    match value {
        _ if last == "extra" => covered(value),
        Value::String(text) => json!(url_shown(text).as_deref().unwrap_or(text)),
        Value::Object(object) => {
            object.iter().map(|(inner, value)| (inner.clone(), shown(inner, value))).collect::<serde_json::Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(|item| shown(&last, item)).collect(),
        _ => value.clone(),
    }
}

/// Dots for every text.
fn covered(value: &Value) -> Value {
    match value {
        Value::String(_) => json!(DOTS),
        Value::Object(object) => {
            object.iter().map(|(name, value)| (name.clone(), covered(value))).collect::<serde_json::Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(covered).collect(),
        _ => value.clone(),
    }
}

/// Of a text that is meant to be a URL: scheme, user, host, port and path, with dots for the rest; dots alone when it is none.
fn url_shown(text: &str) -> Option<String> {
    let (scheme, rest) = text.trim().split_once(':')?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !is_scheme || !(rest.starts_with("//") || WITH_HOST.iter().any(|known| scheme.eq_ignore_ascii_case(known))) {
        return None;
    }
    if scheme == "sqlite" {
        // A path, whatever characters it has.
        return rest.split_once('?').map(|(path, _)| format!("{scheme}:{path}?{DOTS}"));
    }
    let parsed = url::Url::parse(text).ok();
    let Some((url, parts)) = parsed.as_ref().and_then(|url| Some((url, parts(url)?))) else { return Some(DOTS.to_owned()) };
    // What has nothing to hide is shown as it was written.
    let hides = url.password().is_some() || url.query().is_some() || url.fragment().is_some();
    hides.then_some(parts)
}

/// Nothing when it is not certain that the parts are what they seem: a password with a slash makes a path of what is behind it.
fn parts(url: &url::Url) -> Option<String> {
    let behind = [Some(url.path()), url.query(), url.fragment()];
    if url.cannot_be_a_base() || behind.into_iter().flatten().any(|part| part.contains('@')) {
        return None;
    }
    let password = url.password().map(|_| format!(":{DOTS}")).unwrap_or_default();
    let user = if url.username().is_empty() && password.is_empty() { String::new() } else { format!("{}{password}@", url.username()) };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let query = |pair: &str| pair.split_once('=').map_or_else(|| DOTS.to_owned(), |(name, _)| format!("{name}={DOTS}"));
    let query = url.query().map(|all| format!("?{}", all.split('&').map(query).collect::<Vec<_>>().join("&"))).unwrap_or_default();
    let fragment = url.fragment().map(|_| format!("#{DOTS}")).unwrap_or_default();
    Some(format!("{}://{user}{}{port}{}{query}{fragment}", url.scheme(), url.host_str().unwrap_or_default(), url.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_urls_is_shown_what_is_no_secret() {
        for (text, expected) in [
            (
                "postgres://me:pw7@db.example:5433/campaigns?sslpassword=pw7&sslmode=require",
                "postgres://me:•••@db.example:5433/campaigns?sslpassword=•••&sslmode=•••",
            ),
            ("postgres://me:P/pw7@h/db", "•••"),
            ("postgres://me:12/pw7@h/db", "•••"),
            ("postgres://me:12?pw7@h/db", "•••"),
            ("postgres:me:pw7@h/db", "•••"),
            ("https:me:pw7@h/db", "https://me:•••@h/db"),
            ("https://h:x/?key=pw7", "•••"),
            ("https://a.example/hook?auth=pw7#pw7", "https://a.example/hook?auth=•••#•••"),
            ("https://a.example/hook?pw7", "https://a.example/hook?•••"),
            ("https://a.example/v1", "https://a.example/v1"),
            ("sqlite:///var/lib/my campaigns.db", "sqlite:///var/lib/my campaigns.db"),
            ("sqlite://campaigns.db?key=pw7", "sqlite://campaigns.db?•••"),
            ("sqlite::memory:", "sqlite::memory:"),
            ("memory://", "memory://"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("Hello: see you", "Hello: see you"),
        ] {
            assert_eq!(shown("store", &json!(text)), json!(expected), "{text}");
        }
    }

    #[test]
    fn tables_that_are_handed_on_are_covered() {
        let extra = json!({ "Authorization": "Bearer pw7", "apikey": ["pw7"], "inner": { "a": "pw7" }, "temperature": 0.2 });
        let expected = json!({ "Authorization": DOTS, "apikey": [DOTS], "inner": { "a": DOTS }, "temperature": 0.2 });
        assert_eq!(shown("assistant", &json!({ "openai": { "extra": extra } })), json!({ "openai": { "extra": expected } }));
        assert_eq!(shown("dialer", &json!({ "webhook": { "headers": { "a": "pw7" } } })), json!({ "webhook": { "headers": DOTS } }));
    }
}
