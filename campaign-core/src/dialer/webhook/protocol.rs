//! The protocol, as `docs/webhook-dialer.md` describes it: what we say, and how answers are read. Pure.

use crate::dialer::{
    AttemptRef, CallPlan, CallbackError, DialError, DialRequest, Found, InboundCall, InboundMessage, News, OutboundMessage,
};
use crate::error::{Error, Kind, Result};
use crate::http::Answer;
use crate::id::{AttemptId, Money};
use crate::outcome::{Channel, Disposition, Outcome};
use crate::phone::PhoneNumber;
use crate::redact::without_long_numbers;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// How long to wait when the service names no time.
pub(super) const WAIT: Duration = Duration::from_secs(5);
/// How long to wait when somebody has to put something right.
const WAIT_FOR_PEOPLE: Duration = Duration::from_secs(60);
/// A time to wait that is longer is no advice.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// In [`Outcome::data`]: the number of the report an outcome comes from.
const SEQUENCE: &str = "sequence";

fn flat(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// An attempt to be carried out. The fields are those that dialers in other languages get.
pub(super) fn dial(request: &DialRequest, callback_url: Option<&str>) -> Value {
    let person = &request.variables;
    let voicemail = &request.voicemail;
    json!({
        "type": "attempt.dial",
        "data": {
            "attempt_id": request.attempt_id,
            "key": request.key,
            "campaign_id": request.campaign_id,
            "campaign_name": request.campaign_name,
            "contact_id": request.contact_id,
            "attempt_number": request.attempt_number,
            "channel": request.channel,
            "to": request.to,
            "from_number": request.from,
            "contact_name": request.contact_name,
            "email": person.email,
            "company": person.company,
            "texts": flat(&request.texts),
            "message": request.texts.get("message"),
            "variables": person.variables,
            "assistant_id": request.assistant_id,
            "enable_voicemail_detection": voicemail.enable_voicemail_detection,
            "leave_voicemail": voicemail.leave_voicemail,
            "voicemail_message": voicemail.voicemail_message,
            "ring_timeout": request.ring_timeout.as_secs_f64(),
            "max_duration": request.max_duration.as_secs_f64(),
            "not_after": request.not_after,
            "valid_until": request.valid_until,
            "local_hour": request.local_hour,
            "last_inbound_at": request.last_inbound_at,
            "options": *request.options,
            "callback_url": callback_url,
        },
    })
}

/// The question what became of an attempt.
pub(super) fn find(question: &Question<'_>) -> Value {
    json!({
        "type": "attempt.find",
        "data": {
            "attempt_id": question.attempt_id,
            "key": question.key,
            "channel": question.channel,
            "to": question.to,
            "from_number": question.from,
            "since": question.since,
            "now": question.now,
            "provider_ref": question.provider_ref,
        },
    })
}

/// What is asked about: an attempt in doubt, or one that is waited for.
pub(super) struct Question<'a> {
    pub(super) attempt_id: AttemptId,
    pub(super) key: &'a str,
    pub(super) channel: Channel,
    pub(super) to: &'a PhoneNumber,
    pub(super) from: Option<&'a str>,
    pub(super) since: Timestamp,
    pub(super) now: Timestamp,
    pub(super) provider_ref: Option<&'a str>,
}

/// The wish to hang up.
pub(super) fn cancel(request: &DialRequest, provider_ref: Option<&str>) -> Value {
    json!({ "type": "attempt.cancel", "data": { "attempt_id": request.attempt_id, "key": request.key, "provider_ref": provider_ref } })
}

/// A message outside of attempts.
pub(super) fn send(message: &OutboundMessage) -> Value {
    json!({
        "type": "message.send",
        "data": {
            "key": message.key,
            "channel": message.channel,
            "from_number": message.from,
            "to": message.to,
            "message": message.text,
            "valid_until": message.valid_until,
        },
    })
}

/// What is to happen with a call that came in.
pub(super) fn call_plan(plan: &CallPlan) -> Value {
    match plan {
        CallPlan::Assistant { attempt, welcome, options } => {
            json!({ "action": "assistant", "attempt_id": attempt, "welcome": welcome, "options": **options })
        }
        CallPlan::Forward(number) => json!({ "action": "forward", "to": number }),
        CallPlan::Say(text) => json!({ "action": if text.is_empty() { "refuse" } else { "say" }, "text": text }),
    }
}

/// What a refusal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Throttle,
    /// The address or the secret is wrong: nobody's attempt, somebody has to put it right.
    Account,
    Transient,
    Permanent,
    Suppress,
    InDoubt,
}

/// The one table of what answers mean that are no 2xx and say nothing themselves. The first row that fits counts.
pub(super) const STATUSES: &[(RangeInclusive<u16>, Meaning)] = &[
    (300..=399, Meaning::Account),
    (401..=401, Meaning::Account),
    (403..=405, Meaning::Account),
    (408..=409, Meaning::InDoubt),
    (410..=410, Meaning::Account),
    (425..=425, Meaning::Throttle),
    (429..=429, Meaning::Throttle),
    (400..=400, Meaning::Permanent),
    (413..=415, Meaning::Permanent),
    (422..=422, Meaning::Permanent),
    (400..=499, Meaning::Transient),
    (500..=599, Meaning::InDoubt),
];

/// What the service may say itself, in `kind` of a refusal.
pub(super) const KINDS: &[(&str, Meaning)] = &[
    ("throttled", Meaning::Throttle),
    ("transient", Meaning::Transient),
    ("permanent", Meaning::Permanent),
    ("suppressed", Meaning::Suppress),
    ("in_doubt", Meaning::InDoubt),
];

/// What the service said to a hand-off.
#[derive(Debug)]
pub(super) enum Said {
    /// It goes on.
    Accepted(Option<String>),
    /// It has ended.
    Ended(Outcome),
}

/// Reads the answer to a hand-off. What cannot be understood is in doubt, never taken for not placed.
pub(super) fn answer(answer: &Answer) -> Result<Said, DialError> {
    let empty = answer.body.iter().all(u8::is_ascii_whitespace);
    let body = answer.json().filter(Value::is_object);
    let lost = |what: &str| DialError::InDoubt(Error::new(Kind::Provider, what).with("status", answer.status));
    if let Some(body) = &body
        && body["state"] == "refused"
    {
        let kind = body["kind"].as_str().unwrap_or_default();
        let meaning = KINDS.iter().find(|(name, _)| *name == kind).map_or(Meaning::InDoubt, |(_, meaning)| *meaning);
        let named = body["retry_after"].as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        return Err(refusal(meaning, answer, named, body["message"].as_str()));
    }
    if !answer.is_success() {
        let row = STATUSES.iter().find(|(statuses, _)| statuses.contains(&answer.status));
        return Err(refusal(row.map_or(Meaning::InDoubt, |(_, meaning)| *meaning), answer, None, None));
    }
    let Some(body) = body else {
        return if empty { Ok(Said::Accepted(None)) } else { Err(lost("the service answered something that cannot be read")) };
    };
    match body["state"].as_str() {
        Some("ended") => outcome(&body["outcome"]).map(Said::Ended).ok_or_else(|| lost("the service named an outcome that is none")),
        Some("accepted") | None => Ok(Said::Accepted(text(&body, "provider_ref"))),
        Some(_) => Err(lost("the service answered with a state that is none")),
    }
}

fn refusal(meaning: Meaning, answer: &Answer, named: Option<Duration>, message: Option<&str>) -> DialError {
    let message = message.map_or_else(|| "the service refused the attempt".to_owned(), without_long_numbers);
    let error = Error::new(Kind::Provider, message).with("status", answer.status);
    let retry_after = named.or_else(|| answer.retry_after()).unwrap_or(WAIT).min(LONGEST_WAIT);
    match meaning {
        Meaning::Throttle => DialError::Throttled { retry_after },
        Meaning::Account => {
            tracing::error!(%error, "the service does not take attempts; check address and secret, hand-offs wait meanwhile");
            DialError::Throttled { retry_after: retry_after.max(WAIT_FOR_PEOPLE) }
        }
        Meaning::Transient => DialError::Transient(error),
        Meaning::Permanent => DialError::Permanent(error),
        Meaning::Suppress => DialError::Suppressed,
        Meaning::InDoubt => DialError::InDoubt(error),
    }
}

/// Reads the answer to the question what became of an attempt.
pub(super) fn found(answer: &Answer) -> Result<Found> {
    let wrong = |what: &str| Error::new(Kind::Provider, what).with("status", answer.status);
    if !answer.is_success() {
        return Err(wrong("the service does not say what became of the attempt"));
    }
    let body = answer.json().unwrap_or_default();
    Ok(match body["state"].as_str() {
        Some("ended") => Found::Ended(outcome(&body["outcome"]).ok_or_else(|| wrong("the service named an outcome that is none"))?),
        Some("running" | "accepted") => Found::Running { provider_ref: text(&body, "provider_ref").unwrap_or_default() },
        Some("never_happened") => Found::NeverHappened,
        Some("unknown") => Found::Unknown,
        _ => return Err(wrong("the service answered with a state that is none")),
    })
}

fn text(value: &Value, name: &str) -> Option<String> {
    value[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// An outcome: a disposition, or an object with one. Fields without a place are kept in `data`.
pub(super) fn outcome(value: &Value) -> Option<Outcome> {
    if let Some(name) = value.as_str() {
        return Disposition::parse(name).filter(|known| *known != Disposition::InDoubt).map(Outcome::new);
    }
    let mut fields = value.as_object()?.clone();
    let name = fields.remove("disposition")?;
    let mut outcome = Outcome::new(Disposition::parse(name.as_str()?).filter(|known| *known != Disposition::InDoubt)?);
    let seconds = fields.remove("duration_seconds").and_then(|seconds| seconds.as_f64()).unwrap_or_default();
    outcome.duration_seconds = if seconds.is_finite() { seconds.clamp(0.0, f64::from(u32::MAX)) as u32 } else { 0 };
    outcome.cost = fields.remove("cost").and_then(|cost| cost.as_f64()).filter(|cost| *cost >= 0.0).map(Money::from_units);
    outcome.provider_ref = fields.remove("provider_ref").and_then(|text| text.as_str().map(str::to_owned));
    outcome.detail = fields.remove("detail").and_then(|text| text.as_str().map(without_long_numbers));
    if let Some(Value::Object(data)) = fields.remove("data") {
        outcome.data = data;
    }
    outcome.data.extend(fields);
    Some(outcome)
}

/// What a callback says.
pub(super) enum Event {
    Attempt(AttemptRef, News),
    Message(InboundMessage),
    Call(InboundCall),
    /// Nothing that this version knows.
    Other,
}

/// Reads a callback.
pub(super) fn event(body: &[u8]) -> Result<Event, CallbackError> {
    let malformed = |message: &str| CallbackError::Malformed(Error::new(Kind::Invalid, message));
    let event: Value = serde_json::from_slice(body).map_err(|_| malformed("the body is not JSON"))?;
    let kind = event["type"].as_str().ok_or_else(|| malformed("the body has no type"))?;
    let data = &event["data"];
    match kind {
        "attempt.progress" | "attempt.ended" => {
            let provider_ref = text(data, "provider_ref");
            let attempt = text(data, "key")
                .map(AttemptRef::Key)
                .or_else(|| data["attempt_id"].as_i64().map(|id| AttemptRef::Id(AttemptId(id))))
                .or_else(|| provider_ref.clone().map(AttemptRef::Provider))
                .ok_or_else(|| malformed("name the attempt by key, attempt_id or provider_ref"))?;
            let body = if kind == "attempt.ended" {
                let mut outcome = data["outcome"].clone();
                if self::outcome(&outcome).is_none() {
                    return Err(malformed("outcome must have a disposition"));
                }
                if let Value::String(name) = &outcome {
                    outcome = json!({ "disposition": name });
                }
                for field in ["answers", SEQUENCE] {
                    if !data[field].is_null() {
                        outcome[field] = data[field].clone();
                    }
                }
                if let Some(reference) = &provider_ref {
                    outcome["provider_ref"] = reference.as_str().into();
                }
                json!({ "outcome": outcome })
            } else {
                json!({ "stage": data["stage"] })
            };
            Ok(Event::Attempt(attempt, News { provider_ref, body }))
        }
        "message.received" => {
            Ok(Event::Message(message(data).ok_or_else(|| malformed("a message needs provider_ref, channel, from and to"))?))
        }
        "call.received" => {
            let provider_ref = text(data, "provider_ref").ok_or_else(|| malformed("a call needs provider_ref and to"))?;
            let to = text(data, "to").ok_or_else(|| malformed("a call needs provider_ref and to"))?;
            let from = data["from"].as_str().and_then(PhoneNumber::from_e164);
            Ok(Event::Call(InboundCall { provider_ref, from, to: to.into(), data: rest(data, &["provider_ref", "to", "from"]) }))
        }
        _ => Ok(Event::Other),
    }
}

fn message(data: &Value) -> Option<InboundMessage> {
    let media = data["media"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    Some(InboundMessage {
        provider_ref: text(data, "provider_ref")?,
        channel: data["channel"].as_str().and_then(Channel::parse).filter(|channel| *channel != Channel::Call)?,
        from: PhoneNumber::from_e164(data["from"].as_str()?)?,
        to: Arc::from(data["to"].as_str()?),
        text: data["text"].as_str().unwrap_or_default().to_owned(),
        media,
        keyword: serde_json::from_value(data["keyword"].clone()).ok(),
        confirmed_by_carrier: data["confirmed_by_carrier"] == true,
        data: rest(data, &["provider_ref", "channel", "from", "to", "text", "media", "keyword", "confirmed_by_carrier"]),
    })
}

fn rest(data: &Value, known: &[&str]) -> Map<String, Value> {
    let fields = data.as_object().into_iter().flatten().filter(|(name, _)| !known.contains(&name.as_str()));
    fields.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The outcome that news brings, when it ends the attempt.
pub(super) fn terminal(news: &News) -> Option<Outcome> {
    outcome(news.body.get("outcome")?)
}

/// How far the call is, as a word that may be shown.
pub(super) fn stage(news: &News) -> Option<&str> {
    let stage = news.body["stage"].as_str()?;
    (stage.len() <= 40 && stage.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')).then_some(stage)
}

/// A settled outcome with a report that came later. An opt-out stays one; then the higher `sequence` is right. With the same, delivered says
/// more than sent, and of two ends that differ otherwise all nodes choose the same one.
pub(super) fn amended(old: &Outcome, new: Outcome) -> Option<Outcome> {
    let standing = |outcome: &Outcome| {
        let sequence = outcome.data.get(SEQUENCE).and_then(Value::as_i64).unwrap_or(0);
        let opted_out = outcome.disposition == Disposition::OptedOut;
        (opted_out, sequence, outcome.disposition != Disposition::Sent, outcome.disposition)
    };
    let (first, second) = (standing(old), standing(&new));
    if second < first {
        return None;
    }
    let mut merged = new;
    merged.cost = merged.cost.or(old.cost);
    merged.provider_ref = merged.provider_ref.or_else(|| old.provider_ref.clone());
    merged.detail = merged.detail.or_else(|| old.detail.clone());
    merged.duration_seconds = if second.1 > first.1 { merged.duration_seconds } else { merged.duration_seconds.max(old.duration_seconds) };
    for (name, value) in &old.data {
        merged.data.entry(name.clone()).or_insert_with(|| value.clone());
    }
    (merged != *old).then_some(merged)
}

#[cfg(test)]
mod tests;
