//! The one table of what ElevenLabs' errors mean for a call or message that was to be placed.
//!
//! Documented are the statuses, the forms of the body (`{"detail": {"status", "message"}}`, and for 422 a list), and the codes in
//! `detail.status` that the table names; the texts are not. Codes of Twilio and of WhatsApp come through in the text.

use crate::dialer::DialError;
use crate::error::{Error, Kind, Retry};
use crate::http::Answer;
use crate::redact::without_long_numbers;
use serde_json::Value;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Why messages outside of attempts are not sent.
pub(super) const NO_FREE_TEXT: &str = "ElevenLabs sends WhatsApp templates and answers by its agent; it takes no free text from others";

/// What a refusal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Too fast, or no line free: wait as told, or a little.
    Throttle,
    /// The account is refused, whoever is to be called: nobody's attempt. Somebody has to put it right.
    Account,
    /// Not placed, and may work later.
    Transient,
    /// Not placed, and never will be for this contact.
    Permanent,
    /// The person does not want to be contacted.
    Suppress,
    /// Nobody knows.
    InDoubt,
}

/// One row: these statuses, when the body has one of these words (a code, or a phrase with spaces), mean this. No words: whatever the body
/// says. The first row that fits counts.
pub(super) struct Row {
    statuses: RangeInclusive<u16>,
    words: &'static [&'static str],
    meaning: Meaning,
}

const fn row(statuses: RangeInclusive<u16>, words: &'static [&'static str], meaning: Meaning) -> Row {
    Row { statuses, words, meaning }
}

/// 200 is here for `"success": false`, which ElevenLabs answers with this status.
pub(super) const TABLE: &[Row] = &[
    row(429..=429, &[], Meaning::Throttle),
    // Twilio: unsubscribed, blocked. WhatsApp: stopped by the person.
    row(200..=499, &["21610", "63014", "131050", "opted out", "unsubscribed"], Meaning::Suppress),
    // Twilio: too many requests, too many calls at once. WhatsApp: rate limits of account and pair.
    row(200..=499, &["20429", "10004", "130429", "131056", "63018"], Meaning::Throttle),
    row(200..=499, &["too_many_concurrent_requests", "rate_limit_exceeded", "concurrent_limit_exceeded", "system_busy"], Meaning::Throttle),
    row(400..=402, &["quota_exceeded"], Meaning::Account),
    row(401..=403, &[], Meaning::Account),
    // Twilio's own credentials are wrong, or the caller id is not the account's.
    row(200..=499, &["20003", "20005", "21210", "21212"], Meaning::Account),
    // Twilio: no valid number, not reachable, not allowed to be called. WhatsApp: no such user.
    row(
        200..=499,
        &["21211", "21214", "21215", "21216", "21217", "13223", "13224", "13225", "13227", "131026", "63024"],
        Meaning::Permanent,
    ),
    row(200..=499, &["to_number", "whatsapp_user_id", "invalid_phone_number", "invalid phone", "valid phone"], Meaning::Permanent),
    row(408..=408, &[], Meaning::InDoubt),
    row(413..=413, &[], Meaning::Permanent),
    row(425..=425, &[], Meaning::Throttle),
    // Agent or line unknown, override not allowed, a redirect: the campaign or the account has to be put right.
    row(200..=499, &[], Meaning::Transient),
    row(500..=599, &[], Meaning::InDoubt),
];

/// How long to wait when ElevenLabs names no time.
const WAIT: Duration = Duration::from_secs(5);
/// How long to wait when the account is refused; somebody has to notice.
const WAIT_FOR_PEOPLE: Duration = Duration::from_secs(60);
/// A time to wait that is longer is no advice.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// What a status and a body mean.
pub(super) fn meaning(status: u16, body: &str) -> Meaning {
    let text = body.to_lowercase();
    let has = |word: &str| {
        if word.contains(' ') {
            text.contains(word)
        } else {
            text.split(|character: char| !(character.is_ascii_alphanumeric() || character == '_')).any(|part| part == word)
        }
    };
    let row = TABLE.iter().find(|row| row.statuses.contains(&status) && (row.words.is_empty() || row.words.iter().any(|word| has(word))));
    row.map_or(Meaning::InDoubt, |row| row.meaning)
}

/// What was placed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) conversation_id: Option<String>,
    /// The carrier's own id of the call.
    pub(super) call_id: Option<String>,
}

/// Reads the answer to a hand-off.
pub(super) fn placed(answer: &Answer) -> Result<Placed, DialError> {
    if !answer.is_success() {
        return Err(refused(answer));
    }
    let lost = || {
        DialError::InDoubt(Error::new(Kind::Provider, "ElevenLabs answered something that cannot be read").with("status", answer.status))
    };
    let body = answer.json().filter(Value::is_object).ok_or_else(lost)?;
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let placed = Placed { conversation_id: text("conversation_id"), call_id: text("callSid").or_else(|| text("sip_call_id")) };
    match body.get("success").and_then(Value::as_bool) {
        Some(false) if placed.call_id.is_none() => Err(refused(answer)),
        // It names a call and says that it failed: only asking can tell.
        Some(false) => Err(DialError::InDoubt(failure(answer))),
        Some(true) => Ok(placed),
        // The answer for messages has no such word.
        None if placed.conversation_id.is_some() => Ok(placed),
        None => Err(lost()),
    }
}

/// Not one byte was sent: the contact has nothing to do with it.
pub(super) fn not_sent(error: &Error) -> DialError {
    tracing::warn!(%error, "ElevenLabs cannot be reached; hand-offs wait");
    DialError::Throttled { retry_after: WAIT }
}

/// What a refusal means for the attempt.
pub(super) fn refused(answer: &Answer) -> DialError {
    let body = String::from_utf8_lossy(&answer.body);
    let retry_after = answer.retry_after().unwrap_or(WAIT).min(LONGEST_WAIT);
    match meaning(answer.status, &body) {
        Meaning::Throttle => DialError::Throttled { retry_after },
        Meaning::Account => {
            tracing::error!(error = %failure(answer), "ElevenLabs refuses the account; hand-offs wait until somebody puts it right");
            DialError::Throttled { retry_after: retry_after.max(WAIT_FOR_PEOPLE) }
        }
        Meaning::Transient => DialError::Transient(failure(answer)),
        Meaning::Permanent => DialError::Permanent(failure(answer)),
        Meaning::Suppress => DialError::Suppressed,
        Meaning::InDoubt => DialError::InDoubt(failure(answer)),
    }
}

/// An error for people, with what ElevenLabs says; long numbers in it are left out.
pub(super) fn failure(answer: &Answer) -> Error {
    let body = answer.json().unwrap_or(Value::Null);
    let (code, said) = said(&body);
    let kind = match answer.status {
        404 => Kind::NotFound,
        400 | 409 => Kind::State,
        413 | 422 => Kind::Invalid,
        429 => Kind::Throttled,
        _ => Kind::Provider,
    };
    let message = match said {
        Some(said) => format!("ElevenLabs refused the request: {}", without_long_numbers(&said)),
        None => "ElevenLabs refused the request".to_owned(),
    };
    let mut error = Error::new(kind, message).with("status", answer.status);
    if let Some(code) = code {
        error = error.with("code", without_long_numbers(&code));
    }
    if answer.status == 429 {
        error = error.with_retry(Retry::After(answer.retry_after().unwrap_or(WAIT).min(LONGEST_WAIT)));
    }
    error
}

/// Code and sentence of an error's body in any of its forms. Values of fields, which may be anything, are not among them.
fn said(body: &Value) -> (Option<String>, Option<String>) {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    match body.get("detail") {
        Some(Value::String(said)) => (None, Some(said.clone())),
        Some(Value::Array(list)) => {
            let one = |entry: &Value| {
                let place: Vec<&str> = entry.get("loc").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
                text(entry, "msg").map(|msg| format!("{}: {msg}", place.join(".")))
            };
            let all: Vec<String> = list.iter().filter_map(one).take(3).collect();
            (None, (!all.is_empty()).then(|| all.join("; ")))
        }
        Some(detail @ Value::Object(_)) => (text(detail, "status").or_else(|| text(detail, "code")), text(detail, "message")),
        _ => (None, text(body, "message")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, headers: Vec::new(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn every_row_is_met() {
        let detail = |code: &str| json!({"detail": {"status": code, "message": "m"}}).to_string();
        let fails = |message: &str| json!({"success": false, "message": message, "conversation_id": null, "callSid": null}).to_string();
        let cases: Vec<(u16, String, Meaning)> = vec![
            (429, detail("anything"), Meaning::Throttle),
            (200, fails("Error 21610: the recipient has unsubscribed"), Meaning::Suppress),
            (400, detail("131050"), Meaning::Suppress),
            (200, fails("The person opted out"), Meaning::Suppress),
            (200, fails("HTTP 429 error: 20429 Too Many Requests"), Meaning::Throttle),
            (400, detail("10004"), Meaning::Throttle),
            (400, detail("too_many_concurrent_requests"), Meaning::Throttle),
            (403, detail("system_busy"), Meaning::Throttle),
            (401, detail("quota_exceeded"), Meaning::Account),
            (401, detail("invalid_api_key"), Meaning::Account),
            (403, String::new(), Meaning::Account),
            (200, fails("Error 20003: Authenticate"), Meaning::Account),
            (200, fails("Unable to create record: 21210 the source number is not verified"), Meaning::Account),
            (200, fails("Unable to create record: 21211 is no valid number"), Meaning::Permanent),
            (400, detail("131026"), Meaning::Permanent),
            (422, json!({"detail": [{"loc": ["body", "to_number"], "msg": "m", "type": "t"}]}).to_string(), Meaning::Permanent),
            (400, json!({"detail": "Invalid phone number"}).to_string(), Meaning::Permanent),
            (408, String::new(), Meaning::InDoubt),
            (413, String::new(), Meaning::Permanent),
            (425, String::new(), Meaning::Throttle),
            (404, detail("document_not_found"), Meaning::Transient),
            (422, json!({"detail": [{"loc": ["body", "agent_id"], "msg": "m", "type": "t"}]}).to_string(), Meaning::Transient),
            (302, String::new(), Meaning::Transient),
            (200, fails("The line is out of order"), Meaning::Transient),
            (500, detail("21610"), Meaning::InDoubt),
            (503, String::new(), Meaning::InDoubt),
            (600, String::new(), Meaning::InDoubt),
        ];
        for (status, body, expected) in &cases {
            assert_eq!(meaning(*status, body), *expected, "{status} {body}");
        }
        // Each row is the first that fits for some case, so that none is dead.
        for (index, row) in TABLE.iter().enumerate() {
            let met = cases.iter().any(|(status, body, _)| {
                let fits = |row: &Row| {
                    row.statuses.contains(status)
                        && (row.words.is_empty() || row.words.iter().any(|word| body.to_lowercase().contains(word)))
                };
                TABLE.iter().position(fits) == Some(index)
            });
            assert!(met, "row {index} ({:?} {:?}) is met by no case", row.statuses, row.words);
        }
    }

    #[test]
    fn digits_of_a_number_are_no_code() {
        assert_eq!(meaning(200, "cannot call +12161021610"), Meaning::Transient);
    }

    #[test]
    fn what_was_placed_is_read_or_in_doubt() {
        let of = |body: Value| placed(&answer(200, &body.to_string()));
        let twilio = of(json!({"success": true, "message": "ok", "conversation_id": "conv_1", "callSid": "CA1"})).unwrap();
        assert_eq!(twilio, Placed { conversation_id: Some("conv_1".into()), call_id: Some("CA1".into()) });
        let sip = of(json!({"success": true, "message": "ok", "conversation_id": "conv_1", "sip_call_id": "s"})).unwrap();
        assert_eq!(sip.call_id.as_deref(), Some("s"));
        assert!(of(json!({"conversation_id": "conv_2"})).is_ok(), "messages have no success");
        assert!(of(json!({"success": true, "message": "ok"})).is_ok(), "ids may be missing");
        assert!(matches!(of(json!({"success": false, "message": "m"})), Err(DialError::Transient(_))));
        assert!(matches!(of(json!({"success": false, "message": "m", "callSid": "CA1"})), Err(DialError::InDoubt(_))));
        assert!(matches!(of(json!({"message": "m"})), Err(DialError::InDoubt(_))));
        assert!(matches!(placed(&answer(200, "<html>")), Err(DialError::InDoubt(_))));
    }

    #[test]
    fn retry_after_is_respected() {
        let mut throttled = answer(429, "");
        throttled.headers.push(("retry-after".into(), "17".into()));
        assert!(matches!(refused(&throttled), DialError::Throttled { retry_after } if retry_after == Duration::from_secs(17)));
        assert!(matches!(refused(&answer(429, "")), DialError::Throttled { retry_after } if retry_after == WAIT));
        assert!(matches!(refused(&answer(401, "")), DialError::Throttled { retry_after } if retry_after == WAIT_FOR_PEOPLE));
        assert!(matches!(not_sent(&Error::new(Kind::Provider, "x")), DialError::Throttled { .. }));
    }

    #[test]
    fn errors_hold_no_numbers() {
        let error = failure(&answer(400, r#"{"detail": {"status": "bad", "message": "cannot call +12025550142 now"}}"#));
        assert!(error.to_string().contains("cannot call") && !error.to_string().contains("2025550142"), "{error}");
        assert_eq!(error.kind(), Kind::State);
    }
}
