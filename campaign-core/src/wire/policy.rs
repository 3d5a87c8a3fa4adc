//! The decisions that a store or a kind of campaign written in another language asks for, as JSON in and JSON out.
//!
//! Records have the form in which stores keep them (their serde form), not the flat form of the API.

use super::{Object, flat, read};
use crate::campaign::{CampaignRecord, ContactView, Next};
use crate::contact::{Contact, ContactStatus, PlannedStep, Reason};
use crate::error::{Error, Kind, Result, Retry};
use crate::id::Money;
use crate::outcome::{Channel, Disposition};
use crate::policy::gates::{self, ClaimGates, ContactFacts};
use crate::policy::limits::{ClaimLimits, Ledger, Pacer, Release};
use crate::policy::transition::{self, ContactEvent};
use crate::store::call_counts;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::{Value, json};

/// Hands out slots within the limits of one claim; see [`Pacer`].
#[derive(Debug)]
pub struct Pacing {
    limits: ClaimLimits,
    ledgers: Vec<Ledger>,
    now: Timestamp,
    block: Option<Value>,
}

impl Pacing {
    /// From the `limits` of a claim and the ledgers of its scopes, shared ones first.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when there are not as many ledgers as scopes, or one cannot be read.
    pub fn new(limits: Value, ledgers: Value, now: Value) -> Result<Self> {
        let limits: ClaimLimits = read("limits", limits)?;
        let ledgers: Vec<Ledger> = read("ledgers", ledgers)?;
        if ledgers.len() != limits.scopes().count() {
            return Err(Error::invalid("ledgers", "a claim needs one ledger for each scope of its limits, in their order"));
        }
        Ok(Self { limits, ledgers, now: read("now", now)?, block: None })
    }

    /// The next slot that is not before `due_at`, or null when a limit is met.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when `due_at` is no moment.
    pub fn take(&mut self, due_at: Value) -> Result<Value> {
        let mut pacer = Pacer::new(&self.limits, std::mem::take(&mut self.ledgers), self.now);
        let slot = pacer.take(read("due_at", due_at)?);
        self.block = pacer.block().map(flat).or(self.block.take());
        self.ledgers = pacer.ledgers().to_vec();
        Ok(flat(&slot))
    }

    /// The limit that ended the claim, or null.
    pub fn block(&self) -> Value {
        flat(&self.block)
    }

    /// The ledgers as they are now, to be written back.
    pub fn ledgers(&self) -> Value {
        flat(&self.ledgers)
    }
}

#[derive(Deserialize)]
struct Decide {
    gates: ClaimGates,
    contact: Contact,
    facts: ContactFacts,
    now: Timestamp,
}

#[derive(Deserialize)]
struct Settle {
    ledger: Ledger,
    reserved: Money,
    claimed_day: Option<Date>,
    release: Release,
}

#[derive(Deserialize)]
struct Saved {
    before: CampaignRecord,
    after: CampaignRecord,
    spent: Money,
}

#[derive(Deserialize)]
struct Change {
    from: ContactStatus,
    event: Event,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Event {
    Claim,
    Requeue,
    Finish(ContactStatus),
    Cancel,
    Reset,
}

#[derive(Deserialize)]
struct Counted {
    channel: Channel,
    disposition: Disposition,
}

/// One decision by name.
///
/// | name | arguments | answer |
/// |---|---|---|
/// | `decide` | `gates`, `contact`, `facts`, `now` | `{"verdict": "allow"}`, `not_before` with `until` and `reason`, or `never` with `reason` |
/// | `suppression` | `facts` | a verdict as above |
/// | `look_back` | `gates` | seconds that `facts` must reach back, or null |
/// | `transition` | `from`, `event` (`claim`, `requeue`, `cancel`, `reset`, or `{"finish": status}`) | the status it becomes |
/// | `settle_ledger` | `ledger`, `reserved`, `claimed_day`, `release` (`unused`, or `{"used": cost}`) | the ledger after it |
/// | `announce` | `before`, `after`, `spent` | what the save announces, as events without campaign and moment |
/// | `call_counts` | `channel`, `disposition` | `[call attempts, answered calls]` |
/// | `is_success` | `disposition` | whether the person was reached |
///
/// # Errors
/// [`Kind::Invalid`] for an unknown name or arguments that cannot be read, [`Kind::State`] for a transition that the table has not.
pub fn decide(name: &str, arguments: Object) -> Result<Value> {
    let arguments = Value::Object(arguments);
    Ok(match name {
        "decide" => {
            let given: Decide = read("decide", arguments)?;
            flat(&given.gates.decide(&given.contact, &given.facts, given.now))
        }
        "suppression" => flat(&gates::suppression(&read("facts", arguments)?)),
        "look_back" => flat(&read::<ClaimGates>("gates", arguments)?.look_back().map(|span| span.as_secs())),
        "transition" => {
            let given: Change = read("transition", arguments)?;
            let event = match given.event {
                Event::Claim => ContactEvent::Claim,
                Event::Requeue => ContactEvent::Requeue,
                Event::Finish(status) => ContactEvent::Finish(status),
                Event::Cancel => ContactEvent::Cancel,
                Event::Reset => ContactEvent::Reset,
            };
            flat(&transition::contact(given.from, event)?.to())
        }
        "settle_ledger" => {
            let mut given: Settle = read("settle_ledger", arguments)?;
            given.ledger.settle(given.reserved, given.claimed_day, given.release);
            flat(&given.ledger)
        }
        "announce" => {
            let given: Saved = read("announce", arguments)?;
            flat(&crate::policy::announce::saved(&given.before, &given.after, given.spent))
        }
        "call_counts" => {
            let given: Counted = read("call_counts", arguments)?;
            flat(&call_counts(given.channel, given.disposition))
        }
        "is_success" => flat(&read::<Counted>("is_success", arguments)?.disposition.is_success()),
        _ => return Err(Error::invalid("name", "there is no such decision")),
    })
}

/// What a campaign sees of a contact when it decides: `contact` and `history` in the flat form, `time_zone`, `seed` (a text, because it has
/// 64 bits), `now`.
pub fn view(view: &ContactView<'_>, now: Timestamp) -> Value {
    json!({
        "contact": super::contact(view.contact),
        "history": view.history.iter().map(super::execution).collect::<Vec<_>>(),
        "time_zone": view.time_zone.iana_name(),
        "seed": view.seed.to_string(),
        "now": now,
    })
}

#[derive(Deserialize)]
#[serde(tag = "next", rename_all = "snake_case", deny_unknown_fields)]
enum NextForm {
    Reach { step: u32, channel: Channel },
    Wait { until: Timestamp, step: u32, channel: Channel, reason: String, text: String },
    Finish { status: ContactStatus, reason: String, text: String },
}

/// What a campaign decided: `next` is `reach` (`step`, `channel`), `wait` (`until`, `step`, `channel`, `reason`, `text`) or `finish`
/// (`status`, `reason`, `text`); `reason` is a code and `text` a sentence without personal data.
///
/// # Errors
/// [`Kind::User`] for anything else.
pub fn next(value: Value) -> Result<Next> {
    let form = read("next", value)
        .map_err(|error| Error::new(Kind::User, format!("the campaign's answer is not understood: {}", error.message())))?;
    Ok(match form {
        NextForm::Reach { step, channel } => Next::Reach(PlannedStep { step, channel }),
        NextForm::Wait { until, step, channel, reason, text } => {
            Next::Wait { until, step: PlannedStep { step, channel }, reason: Reason::new(reason, text) }
        }
        NextForm::Finish { status, reason, text } => Next::Finish { status, reason: Reason::new(reason, text) },
    })
}

#[derive(Deserialize)]
struct ErrorForm {
    kind: String,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    retry_after: Option<f64>,
}

/// An error that user code raised on purpose: an object with the name of a [`Kind`], a `message`, and a `retry_after` in seconds when
/// trying again helps. An unknown kind is [`Kind::User`].
pub fn raised(value: Value, cause: Option<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let Ok(form) = read::<ErrorForm>("error", value) else { return super::user_error("user code failed", cause) };
    let kind = Kind::TABLE.iter().find(|row| row.1 == form.kind).map_or(Kind::User, |row| row.0);
    let mut error = Error::new(kind, form.message.unwrap_or_else(|| "user code failed".to_owned()));
    if let Some(time) = form.retry_after.and_then(super::dialing::seconds) {
        error = error.with_retry(Retry::After(time));
    }
    match cause {
        Some(cause) => error.with_source(cause),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str, arguments: Value) -> Result<Value> {
        decide(name, arguments.as_object().unwrap().clone())
    }

    #[test]
    fn decisions_cross_the_border() {
        assert_eq!(asked("transition", json!({"from": "pending", "event": "claim"})).unwrap(), "in_progress");
        assert_eq!(asked("transition", json!({"from": "in_progress", "event": {"finish": "busy"}})).unwrap(), "busy");
        assert_eq!(asked("transition", json!({"from": "busy", "event": "claim"})).unwrap_err().kind(), Kind::State);
        assert_eq!(asked("call_counts", json!({"channel": "call", "disposition": "answered"})).unwrap(), json!([1, 1]));
        assert_eq!(asked("suppression", json!({"suppressed": "opted_out", "recent": []})).unwrap()["verdict"], "never");
        assert_eq!(
            asked("look_back", json!({"frequency_caps": [{"max": 1, "hours": 2}], "consent_required": false, "first_channel": null}))
                .unwrap(),
            7200
        );
        let ledger = flat(&Ledger { in_flight: 2, ..Ledger::default() });
        let after =
            asked("settle_ledger", json!({"ledger": ledger, "reserved": 0.5, "claimed_day": null, "release": {"used": 0.25}})).unwrap();
        assert_eq!((after["in_flight"].as_u64(), after["spent"].as_f64()), (Some(1), Some(0.25)));
        assert!(asked("guess", json!({})).is_err());
    }

    #[test]
    fn slots_are_handed_out_one_by_one() {
        let limits = json!({
            "shared": [{"scope": {"campaign": 1}, "concurrency": 1, "rate": null, "day": null, "budget": null}],
            "callers": [], "horizon": "2026-03-02T15:00:01Z",
        });
        let now = json!("2026-03-02T15:00:00Z");
        assert!(Pacing::new(limits.clone(), json!([]), now.clone()).is_err());
        let mut pacing = Pacing::new(limits, json!([flat(&Ledger::default())]), now.clone()).unwrap();
        assert_eq!(pacing.take(now.clone()).unwrap()["start_at"], now);
        assert!(pacing.take(now).unwrap().is_null());
        assert_eq!(pacing.block()["limit"], "concurrency");
        assert_eq!(pacing.ledgers()[0]["in_flight"], 1);
    }

    #[test]
    fn campaigns_decide_in_three_ways() {
        assert!(matches!(next(json!({"next": "reach", "step": 1, "channel": "sms"})).unwrap(), Next::Reach(step) if step.step == 1));
        let finish = json!({"next": "finish", "status": "completed", "reason": "done", "text": "Done."});
        assert!(matches!(next(finish).unwrap(), Next::Finish { status: ContactStatus::Completed, .. }));
        assert_eq!(next(json!({"next": "guess"})).unwrap_err().kind(), Kind::User);
    }

    #[test]
    fn errors_of_user_code_keep_their_kind() {
        let error = raised(json!({"kind": "conflict", "message": "m"}), None);
        assert_eq!((error.kind(), error.message()), (Kind::Conflict, "m"));
        assert_eq!(raised(json!({"kind": "odd"}), None).kind(), Kind::User);
        let waits = raised(json!({"kind": "unavailable", "retry_after": 2}), None);
        assert_eq!(waits.retry(), Retry::After(std::time::Duration::from_secs(2)));
    }
}
