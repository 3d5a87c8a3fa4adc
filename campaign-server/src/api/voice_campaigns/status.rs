//! Draft, active, paused, completed: the four places of this API, and the engine's seven.
//!
//! A campaign may be active here before it has leads; the engine starts one only with somebody to call. So what is *wanted* of a draft
//! is remembered, and the first leads start a draft that is wanted active.

use super::campaigns;
use super::error::{Reply, Voice, bad};
use super::fields::{KEY, STATUSES};
use super::present::{self, Figures};
use super::schema::{VoiceReply, VoiceStatusInput};
use crate::api::owned;
use crate::api::request::{Body, Caller};
use crate::error::Fault;
use crate::state::AppState;
use axum::extract::{Path, State};
use campaign_core::campaign::{CampaignRecord, CampaignSpec, CampaignStatus};
use campaign_core::contact::Owner;
use campaign_core::id::CampaignId;
use campaign_core::schedule::Schedule;
use campaign_core::wire::Object;
use campaign_core::{Error, Kind};
use serde_json::Value;

/// The status of a campaign in this API.
pub(super) fn shown(record: &CampaignRecord) -> &'static str {
    match record.status {
        CampaignStatus::Draft => {
            let wanted = owned::remembered(&record.spec, KEY, "wanted").and_then(Value::as_str);
            STATUSES.iter().copied().find(|status| wanted == Some(*status)).unwrap_or("draft")
        }
        other => named(other),
    }
}

/// A status of the engine in the words of this API.
pub(super) fn named(status: CampaignStatus) -> &'static str {
    match status {
        CampaignStatus::Draft => "draft",
        CampaignStatus::Scheduled | CampaignStatus::Running => "active",
        CampaignStatus::Paused => "paused",
        CampaignStatus::Completed | CampaignStatus::Cancelled | CampaignStatus::Failed => "completed",
    }
}

/// What the state does not allow is 400, with the engine's sentence.
pub(super) fn refused(error: Error) -> Fault {
    match error.kind() {
        Kind::State => Fault::refused(error.message()),
        _ => error.into(),
    }
}

async fn want(state: &AppState, id: CampaignId, status: &str) -> Result<CampaignRecord, Fault> {
    let edit = |spec: &CampaignSpec| {
        let mut spec = spec.clone();
        owned::remember(&mut spec, KEY, Object::from_iter([("wanted".to_owned(), status.into())]));
        Ok(spec)
    };
    Ok(state.engine().edit_campaign(id, edit).await?)
}

/// Whether there is a way from a status of the engine to one of this API.
fn has_way(from: CampaignStatus, to: &str) -> bool {
    use CampaignStatus::{Draft, Paused, Running, Scheduled};
    match to {
        "active" | "paused" => matches!(from, Draft | Scheduled | Running | Paused),
        "draft" => matches!(from, Draft | Scheduled),
        _ => true,
    }
}

/// Looks whether a campaign could be brought to a status with this spec, before anything is changed.
///
/// # Errors
/// 400 for a way that there is not, and for a start that calls nobody.
pub(super) async fn check(state: &AppState, record: &CampaignRecord, spec: &CampaignSpec, to: &str) -> Result<(), Fault> {
    if !has_way(record.status, to) {
        return Err(Fault::refused(format!("Cannot change status from {} to {to}", shown(record))));
    }
    if to != "active" {
        return Ok(());
    }
    may_be_inbound(record, spec)?;
    if record.status != CampaignStatus::Draft || is_inbound(spec) {
        return Ok(());
    }
    let now = state.now();
    if matches!(spec.schedule, Schedule::Recurring { .. }) && spec.schedule.clone().anchored(now).next_start(now).is_none() {
        return Err(Fault::refused("recurrence_rule has no occurrence left; give another, or a later end_date"));
    }
    // Without any lead it is active and waits for them.
    let progress = state.engine().progress(record.id).await?;
    if record.started_at.is_none() && Figures::of(&progress).total > 0 && progress.pending_contacts == 0 {
        return Err(Fault::refused("No lead is left to be called; add leads that are not blacklisted"));
    }
    Ok(())
}

/// An inbound campaign calls nobody: the engine never starts it, and active is only what is wanted of it.
///
/// # Errors
/// 400 when the engine has begun to call for it.
pub(super) fn may_be_inbound(record: &CampaignRecord, spec: &CampaignSpec) -> Result<(), Fault> {
    let begun = matches!(record.status, CampaignStatus::Scheduled | CampaignStatus::Running | CampaignStatus::Paused);
    if begun && is_inbound(spec) {
        return Err(Fault::refused("A campaign that calls its leads cannot become inbound; complete it and make another"));
    }
    Ok(())
}

fn is_inbound(spec: &CampaignSpec) -> bool {
    owned::remembered(spec, KEY, "campaign_type").is_some_and(|kind| kind == "inbound")
}

/// Brings a campaign to where it is wanted.
///
/// # Errors
/// 400 for a way that there is not; then it is where it was.
pub(super) async fn bring(state: &AppState, record: CampaignRecord, to: &str) -> Result<CampaignRecord, Fault> {
    let (engine, id, from) = (state.engine(), record.id, shown(&record));
    if from == to {
        return Ok(record);
    }
    check(state, &record, &record.spec, to).await?;
    match (record.status, to) {
        (CampaignStatus::Draft, "active") if is_inbound(&record.spec) => want(state, id, to).await,
        (CampaignStatus::Draft, "active") => {
            if owned::count(state, Owner::Campaign(id)).await? > 0 {
                return engine.start(id).await.map_err(refused);
            }
            want(state, id, to).await?;
            // Leads that came meanwhile have found a draft.
            leads_came(state, id).await?;
            Ok(engine.get_campaign(id).await?)
        }
        (CampaignStatus::Draft, "draft" | "paused") => want(state, id, to).await,
        (CampaignStatus::Scheduled, "draft" | "paused") => {
            engine.unschedule(id).await.map_err(refused)?;
            want(state, id, to).await
        }
        (CampaignStatus::Running, "paused") => engine.pause(id).await.map_err(refused),
        (CampaignStatus::Paused, "active") => engine.resume(id).await.map_err(refused),
        (CampaignStatus::Draft | CampaignStatus::Scheduled | CampaignStatus::Running | CampaignStatus::Paused, "completed") => {
            // With nobody left to call it is completed; otherwise those who wait are given up.
            match engine.complete(id).await {
                Err(error) if error.kind() == Kind::State => engine.cancel(id).await.map_err(refused),
                other => other.map_err(Fault::from),
            }
        }
        _ => Err(Fault::refused(format!("Cannot change status from {from} to {to}"))),
    }
}

/// Starts a draft that is wanted active, now that there is somebody to call.
pub(super) async fn leads_came(state: &AppState, id: CampaignId) -> Result<(), Fault> {
    let record = state.engine().get_campaign(id).await?;
    if record.status != CampaignStatus::Draft || shown(&record) != "active" || is_inbound(&record.spec) {
        return Ok(());
    }
    match state.engine().start(id).await {
        // Somebody else has started it, or every lead is suppressed: there is nothing to do now.
        Err(error) if error.kind() == Kind::State => Ok(()),
        other => other.map(drop).map_err(Fault::from),
    }
}

/// Changes only the status.
#[utoipa::path(patch, path = "/api/voice-campaigns/{id}/status", operation_id = "set_voice_campaign_status", tag = "voice campaigns",
    params(("id" = i64, Path, description = "The campaign")), request_body = VoiceStatusInput,
    responses((status = 200, description = "The campaign, and a message", body = VoiceReply)))]
pub(crate) async fn patch(
    State(state): State<AppState>,
    Caller(principal, _): Caller<Voice>,
    Path(id): Path<String>,
    Body(body, _): Body<Voice>,
) -> Reply {
    let record = campaigns::own(&state, &principal, &id).await?;
    let given = body.get("status").and_then(Value::as_str).unwrap_or_default();
    let to = STATUSES.iter().find(|status| status.eq_ignore_ascii_case(given));
    let to = to.ok_or_else(|| bad(format!("status must be one of {}", STATUSES.join(", "))))?;
    let record = bring(&state, record, to).await?;
    let shown = campaigns::show(&state, &record).await?;
    Ok(axum::Json(present::replied(shown, "Campaign status updated successfully")))
}

/// One of the four actions: from where it is possible, and where it leads.
async fn act(state: &AppState, principal: &crate::auth::Principal, id: &str, (verb, done, from, to): (&str, &str, &[&str], &str)) -> Reply {
    let record = campaigns::own(state, principal, id).await?;
    let now = shown(&record);
    if !from.contains(&now) {
        return Err(Fault::refused(format!("Cannot {verb} a campaign that is {now}")).into());
    }
    let record = bring(state, record, to).await?;
    let shown = campaigns::show(state, &record).await?;
    Ok(axum::Json(present::replied(shown, &format!("Campaign {done} successfully"))))
}

/// Starts a draft.
#[utoipa::path(post, path = "/api/voice-campaigns/{id}/start", operation_id = "start_voice_campaign", tag = "voice campaigns",
    params(("id" = i64, Path, description = "The campaign")),
    responses((status = 200, description = "The campaign, and a message", body = VoiceReply)))]
pub(crate) async fn start(State(state): State<AppState>, Caller(principal, _): Caller<Voice>, Path(id): Path<String>) -> Reply {
    act(&state, &principal, &id, ("start", "started", &["draft"], "active")).await
}

/// Holds an active campaign; calls in progress go on to their end.
#[utoipa::path(post, path = "/api/voice-campaigns/{id}/pause", operation_id = "pause_voice_campaign", tag = "voice campaigns",
    params(("id" = i64, Path, description = "The campaign")),
    responses((status = 200, description = "The campaign, and a message", body = VoiceReply)))]
pub(crate) async fn pause(State(state): State<AppState>, Caller(principal, _): Caller<Voice>, Path(id): Path<String>) -> Reply {
    act(&state, &principal, &id, ("pause", "paused", &["active"], "paused")).await
}

/// Lets a paused campaign go on.
#[utoipa::path(post, path = "/api/voice-campaigns/{id}/resume", operation_id = "resume_voice_campaign", tag = "voice campaigns",
    params(("id" = i64, Path, description = "The campaign")),
    responses((status = 200, description = "The campaign, and a message", body = VoiceReply)))]
pub(crate) async fn resume(State(state): State<AppState>, Caller(principal, _): Caller<Voice>, Path(id): Path<String>) -> Reply {
    act(&state, &principal, &id, ("resume", "resumed", &["paused"], "active")).await
}

/// Ends a campaign; leads that wait are given up.
#[utoipa::path(post, path = "/api/voice-campaigns/{id}/complete", operation_id = "complete_voice_campaign", tag = "voice campaigns",
    params(("id" = i64, Path, description = "The campaign")),
    responses((status = 200, description = "The campaign, and a message", body = VoiceReply)))]
pub(crate) async fn complete(State(state): State<AppState>, Caller(principal, _): Caller<Voice>, Path(id): Path<String>) -> Reply {
    act(&state, &principal, &id, ("complete", "completed", &["active", "paused"], "completed")).await
}
