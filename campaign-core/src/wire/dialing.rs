//! A dialer in another language: what it is asked, and what it answers.

use super::{Object, flat, read};
use crate::campaign::VoicemailSettings;
use crate::contact::NewContact;
use crate::dialer::{Capabilities, DialError, DialRequest, FindRequest, Found, Idempotency, OutboundMessage};
use crate::error::{Error, Kind, Result};
use crate::id::Money;
use crate::outcome::{Channel, Disposition, Outcome};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Everything a dialer needs for one attempt. `variables` are the contact's, `texts` the rendered templates by name; a message has its
/// text under `message` as well.
pub fn dial_request(request: &DialRequest) -> Object {
    let DialRequest {
        attempt_id,
        key,
        campaign_id,
        campaign_name,
        contact_id,
        attempt_number,
        channel,
        to,
        from,
        contact_name,
        texts,
        variables,
        assistant_id,
        voicemail,
        ring_timeout,
        max_duration,
        not_after,
        valid_until,
        local_hour,
        last_inbound_at,
        options,
    } = request;
    let NewContact { email, company, variables, .. } = &**variables;
    let VoicemailSettings { enable_voicemail_detection, leave_voicemail, voicemail_message } = &**voicemail;
    let mut out = Object::new();
    let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
    put("attempt_id", flat(attempt_id));
    put("key", flat(key));
    put("campaign_id", flat(campaign_id));
    put("campaign_name", flat(campaign_name));
    put("contact_id", flat(contact_id));
    put("attempt_number", flat(attempt_number));
    put("channel", flat(channel));
    put("to", flat(to));
    put("from_number", flat(from));
    put("contact_name", flat(contact_name));
    put("email", flat(email));
    put("company", flat(company));
    put("texts", flat(texts));
    put("message", flat(&texts.get("message")));
    put("variables", flat(variables));
    put("assistant_id", flat(assistant_id));
    put("enable_voicemail_detection", flat(enable_voicemail_detection));
    put("leave_voicemail", flat(leave_voicemail));
    put("voicemail_message", flat(voicemail_message));
    put("ring_timeout", flat(&ring_timeout.as_secs_f64()));
    put("max_duration", flat(&max_duration.as_secs_f64()));
    put("not_after", flat(not_after));
    put("valid_until", flat(valid_until));
    put("local_hour", flat(local_hour));
    put("last_inbound_at", flat(last_inbound_at));
    put("options", flat(options));
    out
}

/// An attempt in doubt to be asked about.
pub fn find_request(request: &FindRequest) -> Object {
    let FindRequest { attempt_id, key, channel, to, from, since, now, provider_ref, others } = request;
    let mut out = Object::new();
    let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
    put("attempt_id", flat(attempt_id));
    put("key", flat(key));
    put("channel", flat(channel));
    put("to", flat(to));
    put("from_number", flat(from));
    put("since", flat(since));
    put("now", flat(now));
    put("provider_ref", flat(provider_ref));
    put("other_refs", flat(others));
    out
}

/// A message outside of attempts, for a dialer that sends such: `key`, `channel`, `from_number`, `to`, `message` (the text), `valid_until`, `now`.
pub fn outbound_message(message: &OutboundMessage) -> Object {
    let OutboundMessage { key, channel, from, to, text, valid_until, now } = message;
    let mut out = Object::new();
    let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
    put("key", flat(key));
    put("channel", flat(channel));
    put("from_number", flat(from));
    put("to", flat(to));
    put("message", flat(text));
    put("valid_until", flat(valid_until));
    put("now", flat(now));
    out
}

/// What a dialer says about a message that it sent: the provider's reference, a text.
///
/// # Errors
/// [`DialError::InDoubt`] for anything else: it returned, so it may have sent the message.
pub fn sent(value: Value) -> Result<String, DialError> {
    match value {
        Value::String(reference) if !reference.trim().is_empty() => Ok(reference),
        _ => Err(DialError::InDoubt(Error::new(Kind::User, "the dialer's `send` must return the provider's reference, a text"))),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutcomeForm {
    disposition: Disposition,
    #[serde(default)]
    duration_seconds: Option<f64>,
    #[serde(default)]
    cost: Option<Money>,
    #[serde(default)]
    provider_ref: Option<String>,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    data: Option<Object>,
}

/// An outcome: the name of a disposition, or an object with `disposition` and, when known, `duration_seconds` (fractions are cut off),
/// `cost`, `provider_ref`, `detail` and `data`.
///
/// # Errors
/// [`Kind::User`]: user code answered with something else.
pub fn outcome(value: Value) -> Result<Outcome> {
    let value = match value {
        Value::String(name) => serde_json::json!({ "disposition": name }),
        other => other,
    };
    let form: OutcomeForm = read("outcome", value).map_err(of_user)?;
    let seconds = form.duration_seconds.unwrap_or_default();
    if !(0.0..=f64::from(u32::MAX)).contains(&seconds) {
        return Err(of_user(Error::invalid("outcome.duration_seconds", "must be a number of seconds of at least 0")));
    }
    Ok(Outcome {
        disposition: form.disposition,
        duration_seconds: seconds as u32,
        cost: form.cost,
        provider_ref: form.provider_ref,
        detail: form.detail,
        data: form.data.unwrap_or_default(),
    })
}

/// What is wrong with an answer is the fault of the code that gave it, not of the call in progress.
fn of_user(error: Error) -> Error {
    let mut out = Error::new(Kind::User, format!("the dialer's answer is not understood: {}", error.message()));
    for (key, value) in error.context() {
        out = out.with(key, value);
    }
    out
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DialErrorForm {
    kind: DialErrorKind,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    retry_after: Option<f64>,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum DialErrorKind {
    Throttled,
    Transient,
    Permanent,
    Suppressed,
    InDoubt,
}

/// Why a hand-off led to no outcome: an object with `kind` (`throttled`, `transient`, `permanent`, `suppressed` or `in_doubt`), a
/// `message` without personal data, and for `throttled` a `retry_after` in seconds. `cause` keeps an exception of the other language.
///
/// What cannot be read is in doubt: user code failed in a way that says nothing about the call.
pub fn dial_error(value: Value, cause: Option<Box<dyn std::error::Error + Send + Sync>>) -> DialError {
    let form: DialErrorForm = match read("dial_error", value) {
        Ok(form) => form,
        Err(error) => {
            let error = of_user(error);
            return DialError::InDoubt(match cause {
                Some(cause) => error.with_source(cause),
                None => error,
            });
        }
    };
    if form.kind == DialErrorKind::InDoubt && form.message.is_none() {
        return user_failure("the answer was lost", cause);
    }
    let mut error = Error::new(Kind::Provider, form.message.unwrap_or_else(|| "the provider refused".to_owned()));
    if let Some(cause) = cause {
        error = error.with_source(cause);
    }
    match form.kind {
        DialErrorKind::Throttled => DialError::Throttled { retry_after: seconds(form.retry_after.unwrap_or_default()).unwrap_or_default() },
        DialErrorKind::Transient => DialError::Transient(error),
        DialErrorKind::Permanent => DialError::Permanent(error),
        DialErrorKind::Suppressed => DialError::Suppressed,
        DialErrorKind::InDoubt => DialError::InDoubt(error),
    }
}

/// User code failed: an error of [`Kind::User`] that keeps the exception. `what` names the exception, never its text, which may hold
/// anything.
pub fn user_error(what: &str, cause: Option<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let error = Error::new(Kind::User, what);
    match cause {
        Some(cause) => error.with_source(cause),
        None => error,
    }
}

/// A dialer failed in a way it does not name. Nobody knows whether the call was placed.
pub fn user_failure(what: &str, cause: Option<Box<dyn std::error::Error + Send + Sync>>) -> DialError {
    DialError::InDoubt(user_error(what, cause))
}

#[derive(Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
enum FoundForm {
    Ended { outcome: Value },
    Running { provider_ref: String },
    NeverHappened,
    Unknown,
}

/// What a provider knows about an attempt in doubt: `never_happened`, `unknown`, or an object with `state` `ended` and an `outcome`,
/// `running` and a `provider_ref`, or one of the two words. Null is `unknown`; an outcome by itself is `ended`.
///
/// # Errors
/// [`Kind::User`] for anything else.
pub fn found(value: Value) -> Result<Found> {
    let value = match value {
        Value::Null => return Ok(Found::Unknown),
        Value::String(name) if Disposition::parse(&name).is_none() => serde_json::json!({ "state": name }),
        Value::Object(object) if object.contains_key("state") => Value::Object(object),
        other => return outcome(other).map(Found::Ended),
    };
    Ok(match read("found", value).map_err(of_user)? {
        FoundForm::Ended { outcome: value } => Found::Ended(outcome(value)?),
        FoundForm::Running { provider_ref } => Found::Running { provider_ref },
        FoundForm::NeverHappened => Found::NeverHappened,
        FoundForm::Unknown => Found::Unknown,
    })
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct CapabilitiesForm {
    channels: Option<Vec<Channel>>,
    idempotency: Option<IdempotencyForm>,
    key_ttl: Option<f64>,
    lookup_lag: Option<f64>,
    max_request_time: Option<f64>,
    account: Option<Arc<str>>,
    calls_per_second: Option<u32>,
    max_concurrent: Option<u32>,
    cancel: Option<bool>,
    machine_detection: Option<bool>,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum IdempotencyForm {
    Native,
    CallbackRef,
    LookupOnly,
    None,
}

/// What a provider gives: the fields of [`Capabilities`], `idempotency` as `native` (with `key_ttl`), `callback_ref`, `lookup_only` or
/// `none`. What is left out is as in [`Capabilities::default`]; a dialer that cannot be asked (`can_find`) has no protection against
/// repetition but a native one.
///
/// # Errors
/// [`Kind::Invalid`] for an unknown field or value.
pub fn capabilities(value: Object, can_find: bool) -> Result<Capabilities> {
    let form: CapabilitiesForm = read("capabilities", Value::Object(value))?;
    let defaults = Capabilities::default();
    let idempotency = match form.idempotency {
        Some(IdempotencyForm::Native) => Idempotency::Native { key_ttl: span("capabilities.key_ttl", form.key_ttl, Duration::ZERO)? },
        _ if !can_find => Idempotency::None,
        Some(IdempotencyForm::CallbackRef) => Idempotency::CallbackRef,
        Some(IdempotencyForm::LookupOnly) => Idempotency::LookupOnly,
        Some(IdempotencyForm::None) => Idempotency::None,
        None => defaults.idempotency,
    };
    Ok(Capabilities {
        channels: form.channels.unwrap_or(defaults.channels),
        idempotency,
        lookup_lag: span("capabilities.lookup_lag", form.lookup_lag, defaults.lookup_lag)?,
        max_request_time: span("capabilities.max_request_time", form.max_request_time, defaults.max_request_time)?,
        account: form.account.or(defaults.account),
        calls_per_second: form.calls_per_second.or(defaults.calls_per_second),
        max_concurrent: form.max_concurrent.or(defaults.max_concurrent),
        cancel: form.cancel.unwrap_or(defaults.cancel),
        machine_detection: form.machine_detection.unwrap_or(defaults.machine_detection),
    })
}

fn span(field: &'static str, value: Option<f64>, default: Duration) -> Result<Duration> {
    value.map_or(Ok(default), |value| seconds(value).ok_or_else(|| Error::invalid(field, "must be a number of seconds of at least 0")))
}

/// Seconds as a span of time; `None` below zero, and for what is no number.
pub(super) fn seconds(value: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn outcomes_are_words_or_objects() {
        assert_eq!(outcome(json!("busy")).unwrap(), Outcome::new(Disposition::Busy));
        let full = outcome(json!({
            "disposition": "answered", "duration_seconds": 61.9, "cost": 0.02, "provider_ref": "CA1", "detail": "d", "data": {"a": 1}
        }))
        .unwrap();
        assert_eq!((full.duration_seconds, full.cost, full.provider_ref.as_deref()), (61, Some(Money(20_000)), Some("CA1")));
        assert_eq!(full.data["a"], 1);
        for wrong in [
            json!("asnwered"),
            json!(null),
            json!({"disposition": "busy", "duration": 3}),
            json!({"disposition": "busy", "duration_seconds": -1}),
        ] {
            assert_eq!(outcome(wrong.clone()).unwrap_err().kind(), Kind::User, "{wrong}");
        }
    }

    #[test]
    fn dial_errors_have_five_kinds() {
        let of = |value| dial_error(value, None);
        assert!(
            matches!(of(json!({"kind": "throttled", "retry_after": 1.5})), DialError::Throttled { retry_after } if retry_after.as_millis() == 1500)
        );
        assert!(matches!(of(json!({"kind": "transient", "message": "m"})), DialError::Transient(error) if error.message() == "m"));
        assert!(matches!(of(json!({"kind": "permanent"})), DialError::Permanent(_)));
        assert!(matches!(of(json!({"kind": "suppressed"})), DialError::Suppressed));
        assert!(matches!(of(json!({"kind": "in_doubt"})), DialError::InDoubt(_)));
        assert!(matches!(of(json!({"kind": "nonsense"})), DialError::InDoubt(_)), "what is not understood is never taken for not placed");
        let kept = dial_error(json!({"kind": "transient"}), Some("the cause".into()));
        let DialError::Transient(error) = kept else { panic!("{kept:?}") };
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "the cause");
    }

    #[test]
    fn what_a_provider_knows_has_four_forms() {
        assert!(matches!(found(json!(null)).unwrap(), Found::Unknown));
        assert!(matches!(found(json!("never_happened")).unwrap(), Found::NeverHappened));
        assert!(
            matches!(found(json!({"state": "running", "provider_ref": "x"})).unwrap(), Found::Running { provider_ref } if provider_ref == "x")
        );
        assert!(
            matches!(found(json!({"state": "ended", "outcome": "busy"})).unwrap(), Found::Ended(outcome) if outcome.disposition == Disposition::Busy)
        );
        assert!(matches!(found(json!({"disposition": "answered"})).unwrap(), Found::Ended(_)));
        assert_eq!(found(json!("perhaps")).unwrap_err().kind(), Kind::User);
    }

    #[test]
    fn capabilities_keep_the_engines_defaults() {
        let plain = capabilities(Object::new(), true).unwrap();
        assert_eq!(format!("{plain:?}"), format!("{:?}", Capabilities::default()));
        assert_eq!(capabilities(Object::new(), false).unwrap().idempotency, Idempotency::None);
        let given = json!({"channels": ["sms"], "idempotency": "native", "key_ttl": 60, "lookup_lag": 0.5, "account": "main"});
        let given = capabilities(given.as_object().unwrap().clone(), false).unwrap();
        assert_eq!(given.channels, [Channel::Sms]);
        assert_eq!(given.idempotency, Idempotency::Native { key_ttl: Duration::from_secs(60) });
        assert!(capabilities(json!({"chanels": []}).as_object().unwrap().clone(), true).is_err());
    }
}
