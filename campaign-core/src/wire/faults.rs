//! Errors.

use super::Object;
use crate::error::{Error, Kind, Retry};
use serde_json::{Value, json};

/// An error as data: `kind`, `message`, `text` (the message with its context), `context`, `retry` (`never`, `after` or `exhausted`),
/// `retry_after` in seconds (null when waiting does not help), `python` and `code` (its class there, its code in JavaScript), and
/// `http_status`. The source is left to the caller, who may know it as an exception of its language.
pub fn error(error: &Error) -> Value {
    let (retry, retry_after) = match error.retry() {
        Retry::Never => ("never", Value::Null),
        Retry::After(time) => ("after", json!(time.as_secs_f64())),
        Retry::Exhausted => ("exhausted", Value::Null),
    };
    let row = Kind::TABLE.iter().find(|row| row.0 == error.kind());
    let context: Object = error.context().iter().map(|(key, value)| ((*key).to_owned(), Value::from(value.as_str()))).collect();
    json!({
        "kind": error.kind().as_str(),
        "message": error.message(),
        "text": error.to_string(),
        "context": context,
        "retry": retry,
        "retry_after": retry_after,
        "python": row.map(|row| row.2),
        "code": row.map(|row| row.3),
        "http_status": error.kind().http_status(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_data() {
        let flat = error(&Error::new(Kind::Throttled, "too fast").with("campaign", 7));
        assert_eq!(flat["kind"], "throttled");
        assert_eq!(flat["retry_after"], 0.1);
        assert_eq!(flat["context"]["campaign"], "7");
        assert_eq!(flat["text"], "too fast (campaign 7)");
        assert_eq!((flat["python"].as_str(), flat["code"].as_str()), (Some("ThrottledError"), Some("ERR_CAMPAIGN_THROTTLED")));
        let flat = error(&Error::not_found("campaign", 1));
        assert_eq!((flat["retry"].as_str(), flat["retry_after"].is_null()), (Some("never"), true));
    }
}
