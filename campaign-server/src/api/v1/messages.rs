//! What the WebSockets say, in the words of the documents, of the published client and of the plan at once.
//!
//! The documents nest under `data`, the client reads flat keys; so most messages have both. Every time is a text with `+00:00`, because
//! the client reads every `timestamp` so before it looks at the type.

use super::present::{live, moment, offset_moment};
use crate::live::Notice;
use axum::extract::ws::Utf8Bytes;
use campaign_core::event::{ContactEnded, EventKind, Progress};
use campaign_core::outcome::Outcome;
use campaign_core::store::TimelineBucket;
use campaign_core::wire::{self, Object};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

/// Messages, ready to be sent any number of times.
pub(super) type Lines = Arc<[Utf8Bytes]>;

/// A value that is known to be an object.
pub(super) fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

fn written(messages: Vec<Value>) -> Lines {
    messages.into_iter().map(|message| Utf8Bytes::from(message.to_string())).collect()
}

/// Flat keys, with the same under `data`.
fn both(kind: &str, campaign: i64, at: Timestamp, data: Value) -> Value {
    let mut message = object(data.clone());
    message.insert("type".to_owned(), kind.into());
    message.insert("campaign_id".to_owned(), campaign.into());
    message.insert("timestamp".to_owned(), offset_moment(at).into());
    message.insert("data".to_owned(), data);
    Value::Object(message)
}

/// Fresh counters: `progress_update` of the documents, `progress` of the client and the plan.
pub(super) fn progress(progress: &Progress, at: Timestamp) -> Lines {
    written(counters(progress, at))
}

fn counters(progress: &Progress, at: Timestamp) -> Vec<Value> {
    let update = json!({ "type": "progress_update", "timestamp": offset_moment(at), "data": live(progress) });
    vec![update, both("progress", progress.campaign_id.0, at, flat(progress))]
}

fn flat(progress: &Progress) -> Value {
    json!({
        "total_contacts": progress.total_contacts,
        "completed_contacts": progress.completed_contacts,
        "successful_contacts": progress.completed_contacts,
        "failed_contacts": progress.failed_contacts,
        "pending_contacts": progress.pending_contacts,
        "in_progress_contacts": progress.in_progress_contacts,
        "completion_percentage": progress.completion_percentage,
        "success_rate": progress.success_rate,
        "status": progress.status,
    })
}

/// What a notice says.
pub(super) fn lines(notice: &Notice) -> Lines {
    let at = notice.event.at;
    let campaign = notice.event.campaign_id.0;
    written(match &notice.event.kind {
        EventKind::Progress(progress) => counters(progress, at),
        EventKind::ContactStarted { channel, .. } => {
            let mut data = person(notice);
            data["channel"] = json!(channel);
            data["status"] = "in_progress".into();
            vec![both("contact_started", campaign, at, data), update(notice, json!("in_progress"), None)]
        }
        EventKind::ContactCompleted(ended) => ended_messages("contact_completed", notice, ended),
        EventKind::ContactFailed(ended) => ended_messages("contact_failed", notice, ended),
        EventKind::CampaignCompleted { run } => {
            let mut messages = notice.progress.as_ref().map(|progress| counters(progress, at)).unwrap_or_default();
            let mut data = json!({ "run": run });
            if let Some(progress) = &notice.progress {
                data = flat(progress);
                data["run"] = (*run).into();
                data["total_duration"] = progress.total_duration_seconds.into();
                data["total_cost"] = json!(progress.total_cost);
            }
            messages.push(both("campaign_completed", campaign, at, data));
            messages
        }
        EventKind::StatusChanged { from, to } => {
            let mut messages = vec![both("status_changed", campaign, at, json!({ "from": from, "to": to, "status": to }))];
            messages.extend(notice.progress.iter().flat_map(|progress| counters(progress, at)));
            messages
        }
        EventKind::Missed { count } => {
            let mut messages = vec![both("missed", campaign, at, json!({ "count": count }))];
            messages.extend(notice.progress.iter().flat_map(|progress| counters(progress, at)));
            messages
        }
        // Budget, errors, and what a dialer says meanwhile: as the engine has it.
        _ => {
            let mut data = object(wire::event(&notice.event));
            let kind = data.remove("type").and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default();
            data.remove("campaign_id");
            data.remove("at");
            vec![both(&kind, campaign, at, Value::Object(data))]
        }
    })
}

/// Whom it is about.
fn person(notice: &Notice) -> Value {
    let contact = notice.contact.as_ref();
    json!({
        "contact_id": contact.map(|contact| contact.id),
        "phone_number": contact.map(|contact| contact.person.phone.as_str()),
        "name": contact.and_then(|contact| contact.person.name.as_deref()),
    })
}

fn ended_messages(kind: &str, notice: &Notice, ended: &ContactEnded) -> Vec<Value> {
    let outcome = notice.attempt.as_ref().and_then(|attempt| attempt.outcome.as_ref());
    let reference = notice.attempt.as_ref().map(|attempt| wire::execution(attempt)["provider_ref"].clone()).unwrap_or_default();
    let mut data = person(notice);
    data["contact_id"] = json!(ended.contact_id);
    data["execution_id"] = json!(ended.attempt_id);
    data["status"] = json!(ended.status);
    data["disposition"] = json!(ended.disposition);
    data["outcome"] = if ended.disposition.is_success() { "success".into() } else { json!(ended.disposition) };
    data["channel"] = json!(ended.channel);
    data["duration"] = ended.duration_seconds.into();
    data["cost"] = json!(ended.cost);
    data["call_sid"] = reference;
    if let Some(detail) = detail(outcome, ended) {
        data["error_message"] = detail.into();
    }
    let campaign = notice.event.campaign_id.0;
    vec![both(kind, campaign, notice.event.at, data), update(notice, json!(ended.status), Some(ended))]
}

fn detail<'a>(outcome: Option<&'a Outcome>, ended: &ContactEnded) -> Option<&'a str> {
    outcome.filter(|_| !ended.disposition.is_success()).and_then(|outcome| outcome.detail.as_deref())
}

/// The client's `contact_update`: flat only.
fn update(notice: &Notice, status: Value, ended: Option<&ContactEnded>) -> Value {
    let mut message = object(person(notice));
    message.insert("type".to_owned(), "contact_update".into());
    message.insert("campaign_id".to_owned(), notice.event.campaign_id.0.into());
    message.insert("timestamp".to_owned(), offset_moment(notice.event.at).into());
    message.insert("status".to_owned(), status);
    if let Some(ended) = ended {
        let attempt = notice.attempt.as_ref();
        message.insert("contact_id".to_owned(), json!(ended.contact_id));
        message.insert("call_sid".to_owned(), attempt.map(|attempt| wire::execution(attempt)["provider_ref"].clone()).unwrap_or_default());
        message.insert("call_duration".to_owned(), ended.duration_seconds.into());
        let outcome = attempt.and_then(|attempt| attempt.outcome.as_ref());
        message.insert("error_message".to_owned(), detail(outcome, ended).into());
    }
    Value::Object(message)
}

/// Attempts added up from bucket to bucket; those before `from` are in the first point only as what was there already.
pub(super) fn history(buckets: &[TimelineBucket], from: Timestamp) -> Value {
    let (mut completed, mut failed) = (0_u64, 0_u64);
    let mut points = Vec::new();
    for bucket in buckets {
        for (ending, count) in &bucket.dispositions {
            let side = if ending.is_success() { &mut completed } else { &mut failed };
            *side += count;
        }
        if bucket.start >= from {
            let ended = completed + failed;
            let rate = if ended == 0 { 0.0 } else { (completed as f64 * 10_000.0 / ended as f64).round() / 100.0 };
            points.push(json!({ "timestamp": moment(bucket.start), "completed": completed, "failed": failed, "success_rate": rate }));
        }
    }
    points.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use campaign_core::id::Money;
    use campaign_core::outcome::Disposition;

    #[test]
    fn histories_add_up() {
        let bucket = |start: &str, endings: &[(Disposition, u64)]| TimelineBucket {
            start: start.parse().unwrap(),
            dispositions: endings.iter().copied().collect(),
            duration_seconds: 0,
            cost: Money::ZERO,
        };
        let buckets = [
            bucket("2026-03-02T08:00:00Z", &[(Disposition::Answered, 1)]),
            bucket("2026-03-02T09:00:00Z", &[(Disposition::Busy, 1), (Disposition::Answered, 1)]),
        ];
        let points = history(&buckets, "2026-03-02T08:30:00Z".parse().unwrap());
        assert_eq!(points, json!([{"timestamp": "2026-03-02T09:00:00Z", "completed": 2, "failed": 1, "success_rate": 66.67}]));
    }
}
