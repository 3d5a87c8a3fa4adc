//! What is known about a call or message: put together from answers and callbacks in whatever order they come, and never going back.

use super::errors::receipt;
use crate::dialer::News;
use crate::id::Money;
use crate::outcome::{Disposition, Outcome};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Whether it is about a call or a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Call,
    Message,
}

/// States of a call, with their ranks: a higher one replaces a lower one. `initiated` and `answered` come in callbacks only.
const CALL: &[(&str, u8)] = &[
    ("queued", 1),
    ("initiated", 2),
    ("ringing", 3),
    ("answered", 4),
    ("in-progress", 4),
    ("canceled", 5),
    ("failed", 6),
    ("busy", 6),
    ("no-answer", 6),
    ("completed", 7),
];
/// From this rank on a person (or a machine) is on the line.
pub(super) const ON_THE_LINE: u8 = 4;
/// From this rank on Twilio is trying the number.
pub(super) const LEFT_THE_QUEUE: u8 = 2;
const CALL_ENDED: u8 = 5;

/// States of a message, with their ranks. `sent` may stay the last: not every carrier sends receipts.
const MESSAGE: &[(&str, u8)] = &[
    ("accepted", 1),
    ("scheduled", 1),
    ("queued", 1),
    ("sending", 2),
    ("sent", 3),
    ("canceled", 4),
    ("failed", 4),
    ("undelivered", 4),
    ("partially_delivered", 5),
    ("delivered", 5),
    ("read", 6),
];
const MESSAGE_SENT: u8 = 3;
const MESSAGE_ENDED: u8 = 4;

/// Names of fields in callbacks and in resources, and the name under which an outcome keeps them.
const KEPT: &[(&str, &str, &str)] = &[
    // In callbacks, in resources, in outcomes.
    ("AnsweredBy", "answered_by", "answered_by"),
    ("MachineDetectionDuration", "", "machine_detection_ms"),
    ("SipResponseCode", "", "sip_response_code"),
    ("ErrorCode", "error_code", "error_code"),
    ("RecordingSid", "", "recording_sid"),
    ("RecordingUrl", "", "recording_url"),
    ("RecordingDuration", "", "recording_seconds"),
    ("QueueTime", "queue_time", "queue_ms"),
    ("NumSegments", "num_segments", "segments"),
    ("Price", "price", "price"),
    ("PriceUnit", "price_unit", "price_unit"),
    ("SessionId", "", "relay_session"),
    ("SessionStatus", "", "relay_status"),
    ("SessionDuration", "", "relay_seconds"),
    ("HandoffData", "", "handoff"),
];

/// Put together by [`Facts::take`], which gives the same whatever the order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Facts {
    pub(super) kind: Kind,
    pub(super) sid: Option<String>,
    status: Option<String>,
    duration: Option<u32>,
    kept: BTreeMap<String, String>,
}

impl Facts {
    /// From a resource of the API.
    pub(super) fn of_resource(kind: Kind, resource: &Value) -> Self {
        let text = |name: &str| match &resource[name] {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let kept = KEPT.iter().filter(|(_, name, _)| !name.is_empty()).filter_map(|(_, name, to)| Some(((*to).to_owned(), text(name)?)));
        Self {
            kind,
            sid: text("sid"),
            status: text("status"),
            duration: text("duration").and_then(|seconds| seconds.parse().ok()),
            kept: kept.collect(),
        }
    }

    /// From the fields of a callback.
    pub(super) fn of_callback(kind: Kind, fields: &Map<String, Value>) -> Self {
        let text = |name: &str| fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        let kept = KEPT.iter().filter_map(|(name, _, to)| Some(((*to).to_owned(), text(name)?)));
        let (sid, status) = match kind {
            Kind::Call => (text("CallSid"), text("CallStatus")),
            Kind::Message => (text("MessageSid").or_else(|| text("SmsSid")), text("MessageStatus").or_else(|| text("SmsStatus"))),
        };
        Self { kind, sid, status, duration: text("CallDuration").and_then(|seconds| seconds.parse().ok()), kept: kept.collect() }
    }

    /// From news as [`super::callback`] makes them.
    pub(super) fn of_news(news: &News) -> Option<Self> {
        let kind = match news.body["about"].as_str()? {
            "call" => Kind::Call,
            "message" => Kind::Message,
            _ => return None,
        };
        let mut facts = Self::of_callback(kind, news.body["fields"].as_object()?);
        facts.sid = facts.sid.or_else(|| news.provider_ref.clone());
        Some(facts)
    }

    /// From an outcome that was made of facts.
    fn of_outcome(kind: Kind, outcome: &Outcome) -> Self {
        let text = |name: &str| match outcome.data.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let kept = KEPT.iter().filter_map(|(_, _, name)| Some(((*name).to_owned(), text(name)?)));
        Self {
            kind,
            sid: outcome.provider_ref.clone(),
            status: text("status"),
            duration: (outcome.duration_seconds > 0).then_some(outcome.duration_seconds),
            kept: kept.collect(),
        }
    }

    /// Adds what others know. Equal facts in any order, and any number of times, give equal facts.
    pub(super) fn take(&mut self, other: Self) {
        let weight = |status: &Option<String>| (status.as_deref().map_or(0, |status| rank(self.kind, status)), status.clone());
        if weight(&other.status) > weight(&self.status) {
            self.status = other.status;
        }
        self.sid = self.sid.take().or(other.sid);
        self.duration = self.duration.max(other.duration);
        for (name, value) in other.kept {
            match self.kept.get_mut(&name) {
                // They do not contradict each other; if they do, the order must not decide.
                Some(known) if is_below(known, &value) => *known = value,
                Some(_) => {}
                None => {
                    self.kept.insert(name, value);
                }
            }
        }
    }

    /// How far it is.
    pub(super) fn rank(&self) -> u8 {
        self.status.as_deref().map_or(0, |status| rank(self.kind, status))
    }

    /// The state in Twilio's word.
    pub(super) fn status(&self) -> Option<&str> {
        self.status.as_deref()
    }

    /// Whether nothing more than a price or a recording is to come.
    pub(super) fn has_ended(&self) -> bool {
        match self.kind {
            Kind::Call => self.rank() >= CALL_ENDED,
            Kind::Message => self.rank() >= MESSAGE_ENDED,
        }
    }

    /// What answered: `human`, `fax`, `machine_...` or `unknown`.
    pub(super) fn answered_by(&self) -> Option<&str> {
        self.kept.get("answered_by").map(String::as_str)
    }

    /// Whether a machine answered.
    pub(super) fn is_machine(&self) -> bool {
        self.answered_by().is_some_and(|by| by.starts_with("machine"))
    }

    /// Whether the price is known.
    pub(super) fn is_priced(&self) -> bool {
        self.price().is_some()
    }

    /// What it cost. Twilio tells amounts that are taken from the account as negative numbers.
    fn price(&self) -> Option<Money> {
        let price: f64 = self.kept.get("price")?.parse().ok()?;
        Some(Money::from_units(price.abs()))
    }

    /// The outcome, once a call has ended or a message has left.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        let (disposition, detail) = match self.kind {
            Kind::Call => self.call()?,
            Kind::Message => self.message()?,
        };
        let mut outcome = Outcome::new(disposition).with_detail(detail);
        if matches!(disposition, Disposition::Answered | Disposition::Voicemail) {
            outcome.duration_seconds = self.duration.unwrap_or(0);
        }
        outcome.cost = self.price();
        outcome.provider_ref.clone_from(&self.sid);
        outcome.data = self.data();
        Some(outcome)
    }

    /// What is kept beside the outcome.
    fn data(&self) -> Map<String, Value> {
        // Counts and codes are numbers, whatever Twilio wraps them in.
        let plain = |value: &String| value.parse::<u32>().map_or_else(|_| json!(value), |number| json!(number));
        let mut data: Map<String, Value> = self.kept.iter().map(|(name, value)| (name.clone(), plain(value))).collect();
        if let Some(status) = &self.status {
            data.insert("status".to_owned(), json!(status));
        }
        data
    }

    fn call(&self) -> Option<(Disposition, String)> {
        let plain = |disposition, detail: &str| Some((disposition, detail.to_owned()));
        match self.status.as_deref()? {
            "busy" => plain(Disposition::Busy, "The line was busy."),
            "no-answer" => plain(Disposition::NoAnswer, "Nobody picked up."),
            "canceled" => plain(Disposition::Cancelled, "The call was taken back before anybody picked up."),
            "failed" => Some((
                Disposition::Failed,
                match self.kept.get("sip_response_code") {
                    Some(code) if code.bytes().all(|byte| byte.is_ascii_digit()) => format!("The call failed (SIP {code})."),
                    _ => "The call failed.".to_owned(),
                },
            )),
            "completed" if self.answered_by() == Some("fax") => plain(Disposition::Undeliverable, "A fax machine answered."),
            "completed" if self.is_machine() => plain(Disposition::Voicemail, "A machine answered."),
            "completed" => plain(Disposition::Answered, "A person answered."),
            _ => None,
        }
    }

    fn message(&self) -> Option<(Disposition, String)> {
        match self.status.as_deref()? {
            "delivered" | "partially_delivered" => Some((Disposition::Delivered, "The carrier says that it was delivered.".to_owned())),
            "read" => Some((Disposition::Delivered, "It was delivered and read.".to_owned())),
            "undelivered" | "failed" => {
                let (disposition, says) = receipt(self.kept.get("error_code").and_then(|code| code.parse().ok()));
                Some((disposition, says.to_owned()))
            }
            "canceled" => Some((Disposition::Cancelled, "The message was taken back before it left.".to_owned())),
            status if rank(Kind::Message, status) >= MESSAGE_SENT => Some((Disposition::Sent, SENT.to_owned())),
            _ => None,
        }
    }

    /// The outcome of a message that was accepted and is not watched any longer.
    pub(super) fn accepted(&self) -> Outcome {
        self.outcome().unwrap_or_else(|| {
            let mut outcome = Outcome::new(Disposition::Sent).with_detail(SENT);
            outcome.cost = self.price();
            outcome.provider_ref.clone_from(&self.sid);
            outcome.data = self.data();
            outcome
        })
    }
}

/// Numbers as numbers, everything else as texts.
fn is_below(one: &str, other: &str) -> bool {
    match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(one), Ok(other)) => one < other,
        _ => one < other,
    }
}

const SENT: &str = "Twilio took it; there is no receipt yet.";

/// Unknown states rank lowest, so that they neither end nor hide anything.
fn rank(kind: Kind, status: &str) -> u8 {
    let table = match kind {
        Kind::Call => CALL,
        Kind::Message => MESSAGE,
    };
    table.iter().find(|(name, _)| *name == status).map_or(0, |(_, rank)| *rank)
}

/// [`crate::dialer::Callbacks::apply`].
pub(super) fn apply(outcome: Option<&Outcome>, news: &News) -> Option<Outcome> {
    let told = Facts::of_news(news)?;
    let Some(old) = outcome else { return told.outcome() };
    let mut facts = Facts::of_outcome(told.kind, old);
    facts.take(told);
    // What was taken for refused or unknown and now turns out to have happened is judged by what is told. What does not make an outcome
    // yet is kept in the data, so that the order does not matter.
    let mut new = facts.outcome().unwrap_or_else(|| old.clone());
    new.cost = new.cost.or(old.cost);
    new.provider_ref = new.provider_ref.or(facts.sid.clone());
    new.data.clone_from(&old.data);
    new.data.extend(facts.data());
    (new != *old).then_some(new)
}
