//! Whether an answer is the documented one: the same keys, the same types, and the same values but for moments and what is random.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// Moments that a request has named, so that they are the same every time.
const NAMED_MOMENTS: &[&str] = &["scheduled_at", "scheduled_time", "next_start", "expires_at"];

/// Random, or counted by a clock: only the type is compared.
const RANDOM: &[&str] = &["key", "session_id", "date", "interval"];

/// Objects with an hour of the day for a key: what they hold is compared, in their order.
const BY_HOUR: &[&str] = &["calls_by_hour"];

/// What ids and secrets begin with whose rest is random.
const RANDOM_BEHIND: &[&str] = &["whe_", "whsec_", "evt_", "btcal_"];

/// How values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Everything but moments and what is random.
    Exactly,
    /// What is documented must be there; there may be more.
    Part,
    /// Keys and types; a list of any length with items like the documented ones.
    Form,
}

/// The ending of a moment (`Z` or `+00:00`), if it is one.
fn moment(value: &Value) -> Option<&'static str> {
    let text = value.as_str().filter(|text| text.contains('T'))?;
    let ending = ["Z", "+00:00"].into_iter().find(|ending| text.ends_with(ending))?;
    text.parse::<Timestamp>().ok().map(|_| ending)
}

fn begins(value: &Value, start: &str) -> bool {
    value.as_str().is_some_and(|text| text.starts_with(start))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

/// Every place where an answer is not as documented.
pub fn differences(documented: &Value, found: &Value, how: How) -> Vec<String> {
    let mut all = Vec::new();
    differ(documented, found, how, "", "", &mut all);
    all
}

fn differ(documented: &Value, found: &Value, how: How, key: &str, at: &str, all: &mut Vec<String>) {
    let mut wrong = |what: String| all.push(format!("{}: {what}", if at.is_empty() { "/" } else { at }));
    match (documented, found) {
        (Value::Object(documented), Value::Object(found)) if BY_HOUR.contains(&key) => {
            let values = |object: &serde_json::Map<String, Value>| object.values().cloned().collect::<Value>();
            differ(&values(documented), &values(found), how, "", at, all);
        }
        (Value::Object(documented), Value::Object(found)) => {
            for (key, value) in documented {
                match found.get(key) {
                    Some(found) => differ(value, found, how, key, &format!("{at}/{key}"), all),
                    None => all.push(format!("{at}/{key}: documented, but not there")),
                }
            }
            if how != How::Part {
                all.extend(found.keys().filter(|key| !documented.contains_key(*key)).map(|key| format!("{at}/{key}: not documented")));
            }
        }
        (Value::Array(documented), Value::Array(found)) if how == How::Form => {
            if let Some(like) = documented.first() {
                found.iter().enumerate().for_each(|(index, found)| differ(like, found, how, key, &format!("{at}/{index}"), all));
            }
        }
        (Value::Array(documented), Value::Array(found)) if documented.len() == found.len() => {
            for (index, (documented, found)) in documented.iter().zip(found).enumerate() {
                differ(documented, found, how, key, &format!("{at}/{index}"), all);
            }
        }
        (Value::Array(documented), Value::Array(found)) => {
            wrong(format!("documented with {} items, found {}", documented.len(), found.len()))
        }
        _ if RANDOM.contains(&key) || key.ends_with("_unix") || how == How::Form => {
            if kind(documented) != kind(found) {
                wrong(format!("documented as {}, found {}", kind(documented), kind(found)));
            }
        }
        (Value::Number(documented), Value::Number(found)) if documented.as_f64() == found.as_f64() => {}
        _ => {
            let same_form = moment(documented).is_some() && moment(documented) == moment(found) && !NAMED_MOMENTS.contains(&key);
            let same_start = RANDOM_BEHIND.iter().any(|start| [documented, found].iter().all(|value| begins(value, start)));
            if documented != found && !same_form && !same_start {
                wrong(format!("documented as {documented}, found {found}"));
            }
        }
    }
}

/// An answer as a page shows it: moments are counted from a morning in March, not from now.
pub fn presentable(value: &Value, began: Timestamp) -> Value {
    show(value, "", began)
}

fn show(value: &Value, key: &str, began: Timestamp) -> Value {
    let morning: Timestamp = "2026-03-02T14:30:00Z".parse().expect("a moment");
    match value {
        Value::Number(seconds) if key == "timestamp_unix" => {
            let since = seconds.as_f64().unwrap_or_default() - began.as_microsecond() as f64 / 1e6;
            Value::from(((morning.as_second() as f64 + since) * 1e3).round() / 1e3)
        }
        Value::Object(object) => {
            object.iter().map(|(key, value)| (key.clone(), show(value, key, began))).collect::<serde_json::Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(|item| show(item, key, began)).collect(),
        Value::String(text) if !NAMED_MOMENTS.contains(&key) => match (moment(value), text.parse::<Timestamp>()) {
            (Some(ending), Ok(at)) => {
                let shown = morning.saturating_add(at.duration_since(began)).unwrap_or(morning);
                let whole = at.duration_since(began) < SignedDuration::ZERO || !text.contains('.');
                let format = if whole { "%Y-%m-%dT%H:%M:%S" } else { "%Y-%m-%dT%H:%M:%S%.6f" };
                format!("{}{ending}", shown.strftime(format)).into()
            }
            _ => value.clone(),
        },
        other => other.clone(),
    }
}

/// JSON as people write it: what fits into a line is in one.
pub fn pretty(value: &Value) -> String {
    const WIDTH: usize = 100;
    fn short(value: &Value) -> String {
        match value {
            Value::Object(object) if object.is_empty() => "{}".to_owned(),
            Value::Object(object) => {
                let inner: Vec<String> =
                    object.iter().map(|(key, value)| format!("{}: {}", Value::from(key.as_str()), short(value))).collect();
                format!("{{ {} }}", inner.join(", "))
            }
            Value::Array(items) => format!("[{}]", items.iter().map(short).collect::<Vec<_>>().join(", ")),
            other => other.to_string(),
        }
    }
    fn write(value: &Value, indent: usize, before: usize, out: &mut String) {
        let line = short(value);
        let nested = match value {
            Value::Object(object) => {
                object.values().any(|value| value.is_object() || value.is_array() && !value.as_array().is_some_and(Vec::is_empty))
            }
            _ => false,
        };
        if before + line.len() <= WIDTH && !(indent == 0 && nested) || !(value.is_object() || value.is_array()) {
            out.push_str(&line);
            return;
        }
        let inner = indent + 2;
        let pad = " ".repeat(inner);
        let (open, close, items): (_, _, Vec<(String, &Value)>) = match value {
            Value::Object(object) => {
                ('{', '}', object.iter().map(|(key, value)| (format!("{}: ", Value::from(key.as_str())), value)).collect())
            }
            Value::Array(items) => ('[', ']', items.iter().map(|item| (String::new(), item)).collect()),
            _ => return,
        };
        out.push(open);
        for (index, (key, value)) in items.iter().enumerate() {
            out.push_str(if index == 0 { "\n" } else { ",\n" });
            out.push_str(&pad);
            out.push_str(key);
            write(value, inner, inner + key.len() + 1, out);
        }
        out.push_str(&format!("\n{}{close}", " ".repeat(indent)));
    }
    let mut out = String::new();
    write(value, 0, 0, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn moments_may_differ_and_nothing_else() {
        let documented =
            json!({"id": 1, "created_at": "2026-03-02T14:30:00Z", "scheduled_at": "2040-01-01T00:00:00Z", "key": "a", "items": [1.0]});
        let same =
            json!({"id": 1, "created_at": "2027-01-01T01:02:03.123456Z", "scheduled_at": "2040-01-01T00:00:00Z", "key": "b", "items": [1]});
        assert_eq!(differences(&documented, &same, How::Exactly), [""; 0]);
        for (pointer, value) in [
            ("/id", json!(2)),
            ("/id", json!("1")),
            ("/created_at", json!("2027-01-01T01:02:03+00:00")),
            ("/created_at", json!(null)),
            ("/scheduled_at", json!("2041-01-01T00:00:00Z")),
            ("/key", json!(1)),
            ("/items", json!([])),
        ] {
            let mut other = same.clone();
            *other.pointer_mut(pointer).unwrap() = value;
            assert_eq!(differences(&documented, &other, How::Exactly).len(), 1, "{other}");
        }
        let mut more = same.clone();
        more["new"] = json!(1);
        assert_eq!(differences(&documented, &more, How::Exactly), ["/new: not documented"]);
        assert_eq!(differences(&documented, &more, How::Part), [""; 0]);
        assert_eq!(differences(&json!({"data": [{"a": 1}]}), &json!({"data": [{"a": 2}, {"a": 3}]}), How::Form), [""; 0]);
        let by_hour = |hours: Value| json!({ "calls_by_hour": hours });
        assert_eq!(differences(&by_hour(json!({"05:00": 1})), &by_hour(json!({"06:00": 1})), How::Exactly), [""; 0]);
        for other in [json!({"06:00": 2}), json!({"06:00": 1, "07:00": 1}), json!({})] {
            assert_eq!(differences(&by_hour(json!({"05:00": 1})), &by_hour(other), How::Exactly).len(), 1);
        }
        assert_eq!(differences(&json!({"data": [{"a": 1}]}), &json!({"data": [{"a": "2"}]}), How::Form).len(), 1);
    }
}
