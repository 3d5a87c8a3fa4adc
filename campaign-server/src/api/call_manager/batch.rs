//! Batches: campaigns of calls with one attempt for each recipient.

use super::check::{given, unix};
use super::ids;
use super::recipients::{self, Parted};
use crate::api::owned;
use crate::api::request;
use crate::api::single::reference;
use crate::auth::Principal;
use crate::error::Fault;
use crate::state::AppState;
use campaign_core::campaign::{CampaignRecord, CampaignSpec, CampaignStatus, TemplateSyntax};
use campaign_core::event::Progress;
use campaign_core::outcome::{Attempt, Disposition};
use campaign_core::schedule::Schedule;
use campaign_core::wire::Object;
use campaign_core::{Error, Kind};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::HashSet;

/// The key of the metadata that is this API's own.
pub(super) const KEY: &str = owned::KEYS[1];
/// What a batch that has ended says to being cancelled.
pub(super) const ENDED: &str = "Batch cannot be cancelled in current state";

/// What the engine calls a field, and where clients have it.
const NAMES: &[(&str, &str)] = &[
    ("name", "call_name"),
    ("concurrent_limit", "target_concurrency_limit"),
    ("time_zone", "timezone"),
    ("ring_timeout_seconds", "telephony_call_config.ringing_timeout_secs"),
];

/// With the names that clients know.
fn named(mut fault: Fault) -> Fault {
    for part in fault.fields.iter_mut().flat_map(|field| &mut field.loc) {
        if let Some((_, theirs)) = NAMES.iter().find(|(ours, _)| *part == *ours) {
            *part = (*theirs).into();
        }
    }
    fault
}

/// The campaign of a batch.
fn spec(body: &Object, random: &str, organization: Option<i64>, parted: &Parted) -> Result<CampaignSpec, Fault> {
    let text = |name: &str| request::given(body, name).unwrap_or_default().to_owned();
    let mut spec =
        CampaignSpec { name: text("call_name"), organization, template_syntax: TemplateSyntax::Brace, ..CampaignSpec::default() };
    // One call for each recipient, as many at once as is asked for; the pace is the provider's.
    spec.max_attempts = 1;
    spec.rate_limit_per_minute = None;
    spec.voicemail.enable_voicemail_detection = true;
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    if let Some(limit) = given(body, "target_concurrency_limit") {
        let limit = number(limit).filter(|limit| *limit > 0);
        spec.concurrent_limit = Some(limit.ok_or_else(|| request::wrong("body", "target_concurrency_limit", "must be at least 1"))?);
    }
    if let Some(seconds) = given(body, "telephony_call_config").and_then(|config| number(&config["ringing_timeout_secs"])) {
        spec.ring_timeout_seconds = seconds;
    }
    if let Some(zone) = given(body, "timezone").and_then(Value::as_str) {
        spec.time_zone = zone.to_owned();
    }
    let provider = given(body, "phone_provider");
    spec.dialer_options.insert("agent_id".to_owned(), text("agent_id").into());
    spec.dialer_options.insert("agent_phone_number_id".to_owned(), text("agent_phone_number_id").into());
    if let Some(provider) = provider {
        spec.dialer_options.insert("phone_provider".to_owned(), provider.clone());
        spec.dialer_options.insert("call_via".to_owned(), provider.clone());
    }
    let memory = json!({
        "random": random,
        "agent_id": text("agent_id"),
        "agent_phone_number_id": text("agent_phone_number_id"),
        "phone_provider": provider,
        "scheduled_time_unix": given(body, "scheduled_time_unix").and_then(unix),
        "timezone": given(body, "timezone"),
        "telephony_call_config": given(body, "telephony_call_config"),
        "rejected": parted.rejected,
        "duplicates": parted.duplicates,
    });
    if let Value::Object(memory) = memory {
        owned::remember(&mut spec, KEY, memory);
    }
    Ok(spec)
}

/// Makes a batch from a body that was checked: stores it with all recipients, and starts it now or at its time.
///
/// Returns it as it was when it was taken in, which is what clients expect to see: pending, and nobody called yet.
///
/// # Errors
/// 400 for values out of range, and what the engine meets.
pub(super) async fn submit(state: &AppState, principal: &Principal, body: &Object) -> Result<(CampaignRecord, Value), Fault> {
    make(state, principal, body).await.map_err(named)
}

async fn make(state: &AppState, principal: &Principal, body: &Object) -> Result<(CampaignRecord, Value), Fault> {
    let parted = recipients::read(body);
    let at = given(body, "scheduled_time_unix").and_then(unix);
    let at = at.map(Timestamp::from_second).transpose().map_err(|_| request::wrong("body", "scheduled_time_unix", "is out of range"))?;
    let random = ids::random()?;
    let engine = state.engine();
    let record = engine.create_campaign(spec(body, &random, principal.organization, &parted)?).await?;
    recipients::add(state, record.id, principal.organization, &parted.people).await?;
    let progress = engine.progress(record.id).await?;
    let shown = show(state, &record, &progress).await?;
    let begun = match at.filter(|at| *at > state.now()) {
        Some(at) => engine.schedule(record.id, Schedule::once(at)).await,
        None => engine.start(record.id).await,
    };
    match begun {
        Ok(_) => {}
        // Nobody can be called: every number is none, or suppressed. The batch is there, and says so.
        Err(error) if error.kind() == Kind::State => drop(engine.cancel(record.id).await?),
        Err(error) => return Err(error.into()),
    }
    Ok((record, shown))
}

/// The batch with this outer id, when it is the caller's.
pub(super) async fn by_external(state: &AppState, principal: &Principal, id: &str) -> Result<CampaignRecord, Fault> {
    let record = owned::one(state, principal, KEY, ids::campaign(id), "Batch").await?;
    if external_id(&record).as_deref() == Some(id) { Ok(record) } else { Err(Fault::not_found("Batch")) }
}

/// The outer id of a batch; none when it is a campaign of another API.
pub(super) fn external_id(record: &CampaignRecord) -> Option<String> {
    let random = owned::remembered(&record.spec, KEY, "random")?.as_str()?;
    Some(ids::external(random, record.id.0))
}

/// Ends a batch: recipients that wait are not called any more.
///
/// # Errors
/// 400 when it has ended already.
pub(super) async fn cancel(state: &AppState, record: &CampaignRecord) -> Result<CampaignRecord, Fault> {
    let refused = |error: Error| if error.kind() == Kind::State { Fault::refused(ENDED) } else { error.into() };
    state.engine().cancel(record.id).await.map_err(refused)?;
    Ok(state.engine().get_campaign(record.id).await?)
}

/// Where a batch is.
fn status(record: &CampaignRecord, progress: &Progress, numbers: &Numbers) -> &'static str {
    let called = progress.completed_contacts + progress.failed_contacts + progress.in_progress_contacts;
    match record.status {
        CampaignStatus::Draft | CampaignStatus::Scheduled => "pending",
        CampaignStatus::Running | CampaignStatus::Paused => "in_progress",
        // No request of it has reached the provider.
        CampaignStatus::Completed if numbers.dispatched == 0 => "failed",
        CampaignStatus::Completed => "completed",
        CampaignStatus::Failed => "failed",
        // Ended before it began, since there was nobody to call.
        CampaignStatus::Cancelled if called + progress.cancelled_contacts == 0 => "failed",
        CampaignStatus::Cancelled => "cancelled",
    }
}

/// How many recipients a batch has; those that are in it twice count once.
pub(super) fn scheduled(record: &CampaignRecord, progress: &Progress) -> u64 {
    let rejected = recipients::rejected(record).len() as u64;
    progress.total_contacts + progress.skipped_contacts + progress.cancelled_contacts + rejected
}

/// How many recipients were called.
struct Numbers {
    dispatched: u64,
    finished: u64,
}

impl Numbers {
    async fn of(state: &AppState, record: &CampaignRecord, progress: &Progress) -> Result<Self, Fault> {
        let ended = progress.completed_contacts + progress.failed_contacts;
        let finished = ended.saturating_sub(unplaced(state, record, progress).await?);
        Ok(Self { dispatched: finished + progress.in_progress_contacts, finished })
    }
}

/// How many recipients were given up although no request about them reached the provider.
async fn unplaced(state: &AppState, record: &CampaignRecord, progress: &Progress) -> Result<u64, Fault> {
    // Somebody who did not pick up was called.
    let rang = progress.no_answer_contacts + progress.busy_contacts + progress.voicemail_contacts;
    let unclear = progress.failed_contacts.saturating_sub(rang);
    if unclear == 0 {
        return Ok(0);
    }
    let mut seen = HashSet::new();
    let attempts = owned::attempts(state, record.id, usize::MAX, |_| true).await?;
    let last = attempts.iter().filter(|attempt| seen.insert(attempt.contact));
    Ok((last.filter(|attempt| never_left(attempt)).count() as u64).min(unclear))
}

/// Whether an attempt failed before the provider knew of it.
fn never_left(attempt: &Attempt) -> bool {
    let failed = matches!(
        attempt.disposition(),
        Some(Disposition::Failed | Disposition::Rejected | Disposition::Undeliverable | Disposition::Cancelled)
    );
    failed && reference(attempt).is_none()
}

/// A batch as both layers show it.
pub(super) async fn show(state: &AppState, record: &CampaignRecord, progress: &Progress) -> Result<Value, Fault> {
    let known = |name: &str| owned::remembered(&record.spec, KEY, name).cloned().unwrap_or_default();
    let numbers = Numbers::of(state, record, progress).await?;
    let created = record.created_at.as_second();
    let mut shown = json!({
        "id": external_id(record),
        "phone_number_id": known("agent_phone_number_id"),
        "phone_provider": known("phone_provider"),
        "name": record.spec.name,
        "agent_id": known("agent_id"),
        "created_at_unix": created,
        "scheduled_time_unix": known("scheduled_time_unix").as_i64().unwrap_or(created),
        "timezone": known("timezone"),
        "total_calls_dispatched": numbers.dispatched,
        "total_calls_scheduled": scheduled(record, progress),
        "total_calls_finished": numbers.finished,
        "last_updated_at_unix": record.updated_at.as_second(),
        "status": status(record, progress, &numbers),
        "retry_count": 0,
        "target_concurrency_limit": record.spec.concurrent_limit,
        // Names of agents are known to the provider only.
        "agent_name": known("agent_id"),
    });
    let duplicates = recipients::duplicates(record).len();
    if duplicates > 0 {
        shown["duplicate_recipients"] = duplicates.into();
    }
    Ok(shown)
}

/// A batch with its recipients.
pub(super) async fn whole(state: &AppState, record: &CampaignRecord) -> Result<(Value, Progress), Fault> {
    let progress = state.engine().progress(record.id).await?;
    let mut shown = show(state, record, &progress).await?;
    shown["recipients"] = recipients::show(state, record).await?.into();
    Ok((shown, progress))
}

/// How many contacts of each status the batches of the caller have, of those created in this span of time.
pub(super) async fn totals(
    state: &AppState,
    principal: &Principal,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
) -> Result<Totals, Fault> {
    let mut records = owned::all(state, principal, KEY, &[]).await?;
    records.retain(|record| from.is_none_or(|from| record.created_at >= from) && to.is_none_or(|to| record.created_at < to));
    let mut totals = Totals::default();
    for (record, progress) in state.engine().progress_of(records).await? {
        let rejected = recipients::rejected(&record).len() as u64;
        let voicemail = progress.voicemail_contacts;
        totals.total += scheduled(&record, &progress);
        totals.completed += progress.completed_contacts;
        totals.voicemail += voicemail;
        totals.failed += progress.failed_contacts - voicemail + rejected;
        totals.pending += progress.pending_contacts;
        totals.in_progress += progress.in_progress_contacts;
    }
    Ok(totals)
}

/// Recipients of many batches.
#[derive(Default)]
pub(super) struct Totals {
    pub(super) total: u64,
    pub(super) completed: u64,
    pub(super) failed: u64,
    pub(super) pending: u64,
    pub(super) in_progress: u64,
    pub(super) voicemail: u64,
}

/// How many contacts a campaign has that are terminal.
pub(super) fn processed(progress: &Progress) -> u64 {
    progress.completed_contacts + progress.failed_contacts + progress.skipped_contacts + progress.cancelled_contacts
}
