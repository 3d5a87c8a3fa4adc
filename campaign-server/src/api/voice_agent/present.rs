//! From the engine's records to the objects of this API.

use super::ids;
use super::spec::{self, KEY};
use crate::api::owned::{self, moment};
pub(super) use crate::api::single::reference;
use crate::auth::of_spec;
use campaign_core::campaign::{CampaignRecord, CampaignStatus, CampaignType};
use campaign_core::contact::Contact;
use campaign_core::event::Progress;
use campaign_core::outcome::{Attempt, Channel};
use serde_json::{Value, json};

/// The types of campaigns.
pub(super) const KINDS: &[&str] = &["voice", "sms", "whatsapp"];
/// The statuses of campaigns.
pub(super) const STATUSES: &[&str] = &["draft", "scheduled", "running", "paused", "completed", "failed"];

/// The status of a campaign: what was cancelled is completed in this API.
pub(super) fn status(status: CampaignStatus) -> &'static str {
    match status {
        CampaignStatus::Cancelled => "completed",
        other => other.as_str(),
    }
}

/// The type of a campaign.
pub(super) fn kind(record: &CampaignRecord) -> &'static str {
    match record.spec.campaign_type {
        CampaignType::Sms => "sms",
        CampaignType::WhatsApp => "whatsapp",
        _ => "voice",
    }
}

/// Who sees a campaign: its organisation.
fn user(record: &CampaignRecord) -> Value {
    of_spec(&record.spec).map(|id| id.to_string()).into()
}

/// A campaign.
pub(super) fn campaign(record: &CampaignRecord, progress: &Progress) -> Value {
    let known = |name: &str| owned::remembered(&record.spec, KEY, name).cloned().unwrap_or_default();
    let (sent, failed) = (progress.completed_contacts, lost(progress));
    let total = sent + failed + progress.pending_contacts + progress.in_progress_contacts;
    let percent = if total == 0 { 0.0 } else { owned::cents((sent + failed) as f64 * 100.0 / total as f64) };
    let id = ids::write(record.id.0);
    let scheduled = record.run.next_start.map(moment).map_or_else(|| known("scheduled_at"), Value::from);
    json!({
        "_id": id,
        "id": id,
        "name": record.spec.name,
        "type": kind(record),
        "status": status(record.status),
        "status_reason": record.reason.as_ref().map(|reason| &reason.text),
        "config": known("config"),
        "contact_list_id": known("contact_list_id"),
        "scheduled_at": scheduled,
        "progress_percent": percent,
        "last_processed_at": record.started_at.map(|_| moment(record.updated_at)),
        "stats": { "total": total, "pending": progress.pending_contacts + progress.in_progress_contacts, "sent": sent, "failed": failed },
        "userId": user(record),
        "created_at": moment(record.created_at),
        "updated_at": moment(record.updated_at),
        "isDeleted": spec::is_deleted(&record.spec),
    })
}

/// Contacts that are done and were not reached.
pub(super) fn lost(progress: &Progress) -> u64 {
    progress.failed_contacts + progress.skipped_contacts + progress.cancelled_contacts
}

/// What an attempt came to; `None` while it goes on.
pub(super) fn execution_status(attempt: &Attempt) -> Option<&'static str> {
    let ending = attempt.disposition()?;
    Some(match (ending.is_success(), attempt.step.channel) {
        (false, _) => "failed",
        (true, Channel::Call) => "called",
        (true, Channel::Sms | Channel::WhatsApp) => "sent",
    })
}

/// Why an attempt failed; nothing of one that reached the person or goes on.
fn error(attempt: &Attempt) -> Option<String> {
    let outcome = attempt.outcome.as_ref().filter(|_| execution_status(attempt) == Some("failed"))?;
    Some(outcome.detail.clone().unwrap_or_else(|| outcome.disposition.to_string()))
}

/// An attempt that has ended.
pub(super) fn execution(attempt: &Attempt, record: &CampaignRecord, contact: Option<&Contact>) -> Value {
    let reference = reference(attempt);
    let (call, message) = if attempt.step.channel == Channel::Call { (reference, None) } else { (None, reference) };
    let at = moment(attempt.finished_at.or(attempt.started_at).unwrap_or(attempt.claimed_at));
    json!({
        "id": ids::write(attempt.id.0),
        "campaign_id": ids::write(record.id.0),
        "campaign_name": record.spec.name,
        "type": kind(record),
        "from_number": from(attempt, record),
        "to_number": contact.map(|contact| contact.person.phone.as_str()),
        "contact_name": contact.and_then(|contact| contact.person.name.as_deref()),
        "status": execution_status(attempt),
        "message_sid": message,
        "call_sid": call,
        "error": error(attempt),
        "userId": user(record),
        "executed_at": at,
        "created_at": moment(attempt.claimed_at),
    })
}

/// Where an attempt comes from.
fn from<'a>(attempt: &'a Attempt, record: &'a CampaignRecord) -> Option<&'a str> {
    attempt.from.as_deref().or_else(|| record.spec.caller_ids.first().map(|caller| caller.number.as_str()))
}

/// A call.
pub(super) fn call(attempt: &Attempt, record: &CampaignRecord, contact: Option<&Contact>) -> Value {
    let outcome = attempt.outcome.as_ref();
    let said = outcome.and_then(|outcome| outcome.data.get("transcript").or_else(|| outcome.data.get("conversation")));
    let config = owned::remembered(&record.spec, KEY, "config");
    json!({
        "id": ids::write(attempt.id.0),
        "call_sid": reference(attempt),
        "from_number": from(attempt, record),
        "to_number": contact.map(|contact| contact.person.phone.as_str()),
        "contact_name": contact.and_then(|contact| contact.person.name.as_deref()),
        "agent_id": config.and_then(|config| config.get("promptId")),
        "session_id": attempt.key,
        "campaign_id": ids::write(record.id.0),
        "status": if attempt.state.is_open() { "ongoing" } else { "finished" },
        "result": attempt.disposition(),
        "timestamp": moment(attempt.started_at.unwrap_or(attempt.claimed_at)),
        "duration": outcome.map_or(0, |outcome| outcome.duration_seconds),
        "error": error(attempt),
        "conversation": said.filter(|said| said.is_array()).cloned().unwrap_or_else(|| json!([])),
    })
}
