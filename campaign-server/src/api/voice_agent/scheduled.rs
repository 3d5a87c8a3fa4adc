//! `/api/scheduled-calls`: calls to some numbers at one moment.

use super::campaigns::{add, all, end, own, refused, rows};
use super::schema::{AgentCreated, AgentMessage, AgentScheduledCall, AgentScheduledCalls, AgentScheduledInput};
use super::spec::{self, Given, Here, KEY, Purpose};
use super::{Reply, ids, present};
use crate::api::owned::{self, moment};
use crate::api::request::{Body, Caller, given, wrong};
use crate::api::v1::error::FastApi;
use crate::error::Fault;
use crate::state::AppState;
use axum::extract::{Path, State};
use campaign_core::campaign::{CampaignRecord, CampaignStatus};
use campaign_core::contact::Owner;
use campaign_core::event::Progress;
use campaign_core::wire::Object;
use serde_json::{Value, json};

async fn show(state: &AppState, record: &CampaignRecord, progress: &Progress) -> Result<Value, Fault> {
    let config = owned::remembered(&record.spec, KEY, "config");
    let numbers: Vec<String> =
        owned::contacts(state, Owner::Campaign(record.id)).await?.iter().map(|contact| contact.person.phone.as_str().to_owned()).collect();
    let id = ids::write(record.id.0);
    let status = match record.status {
        CampaignStatus::Scheduled | CampaignStatus::Draft => "pending",
        CampaignStatus::Running | CampaignStatus::Paused => "processing",
        CampaignStatus::Completed => "completed",
        CampaignStatus::Cancelled => "cancelled",
        CampaignStatus::Failed => "failed",
    };
    Ok(json!({
        "_id": id,
        "id": id,
        "toPhoneNumbers": numbers,
        "promptId": config.and_then(|config| config.get("promptId")),
        "fromPhoneNumber": config.and_then(|config| config.get("fromNumber")),
        "scheduledDateTime": owned::remembered(&record.spec, KEY, "scheduled_at"),
        "status": status,
        "called": progress.completed_contacts,
        "failed": present::lost(progress),
        "created_at": moment(record.created_at),
    }))
}

/// Calls that were scheduled, newest first.
#[utoipa::path(get, path = "/api/scheduled-calls", operation_id = "list_scheduled_calls", tag = "voice agent",
    responses((status = 200, description = "All of them", body = AgentScheduledCalls)))]
pub(crate) async fn list(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>) -> Reply {
    let mut shown = Vec::new();
    for (record, progress) in state.engine().progress_of(all(&state, &principal, &[Purpose::Scheduled]).await?).await? {
        shown.push(show(&state, &record, &progress).await?);
    }
    Ok(axum::Json(json!({ "success": true, "scheduled_calls": shown })))
}

/// Schedules calls to some numbers.
#[utoipa::path(post, path = "/api/scheduled-calls", operation_id = "create_scheduled_call", tag = "voice agent",
    request_body = AgentScheduledInput, responses((status = 200, description = "Its id", body = AgentCreated)))]
pub(crate) async fn create(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Body(body, _): Body<FastApi>) -> Reply {
    let rows = rows(body.get("toPhoneNumbers"), "toPhoneNumbers")?;
    if rows.is_empty() {
        return Err(wrong("body", "toPhoneNumbers", "must hold at least one phone number").into());
    }
    let at = given(&body, "scheduledDateTime").ok_or_else(|| wrong("body", "scheduledDateTime", "is required"))?;
    let schedule = spec::start(at, state.now())?;
    let mut config = Object::new();
    for (name, field) in [("promptId", "promptId"), ("fromPhoneNumber", "fromNumber"), ("context", "context")] {
        if let Some(value) = body.get(name).filter(|value| !value.is_null()) {
            config.insert(field.to_owned(), value.clone());
        }
    }
    let name = given(&body, "name").unwrap_or("Scheduled call");
    let organization = principal.organization;
    let campaign = Given { purpose: Purpose::Scheduled, name, kind: "voice", config, organization, places: spec::SCHEDULED };
    let mut spec = spec::make(campaign, Here::of(&state))?;
    owned::remember(&mut spec, KEY, Object::from_iter([("scheduled_at".to_owned(), at.into())]));
    let engine = state.engine();
    let record = engine.create_campaign(spec).await.map_err(refused)?;
    let report = add(&state, record.id, rows).await?;
    if report.imported == 0 {
        engine.delete_campaign(record.id).await?;
        return Err(Fault::refused("None of the numbers can be called").into());
    }
    engine.schedule(record.id, schedule).await.map_err(refused)?;
    let id = ids::write(record.id.0);
    Ok(axum::Json(json!({
        "success": true,
        "scheduled_call_id": id,
        "campaign_id": id,
        "added": report.imported,
        "duplicates": report.duplicates,
        "invalid": report.invalid,
    })))
}

/// Calls that were scheduled together.
#[utoipa::path(get, path = "/api/scheduled-calls/{id}", operation_id = "get_scheduled_call", tag = "voice agent",
    params(("id" = String, Path, description = "The scheduled call")),
    responses((status = 200, description = "The scheduled call", body = AgentScheduledCall)))]
pub(crate) async fn get(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Path(id): Path<String>) -> Reply {
    let record = own(&state, &principal, &id, Purpose::Scheduled).await.map_err(unknown)?;
    let progress = state.engine().progress(record.id).await?;
    Ok(axum::Json(json!({ "success": true, "scheduled_call": show(&state, &record, &progress).await? })))
}

/// Takes scheduled calls back; those under way go on to their end.
#[utoipa::path(delete, path = "/api/scheduled-calls/{id}", operation_id = "delete_scheduled_call", tag = "voice agent",
    params(("id" = String, Path, description = "The scheduled call")),
    responses((status = 200, description = "It is gone", body = AgentMessage)))]
pub(crate) async fn delete(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Path(id): Path<String>) -> Reply {
    let record = own(&state, &principal, &id, Purpose::Scheduled).await.map_err(unknown)?;
    end(&state, &record).await?;
    Ok(axum::Json(json!({ "success": true, "message": "Scheduled call deleted" })))
}

fn unknown(mut fault: Fault) -> Fault {
    if fault.status.as_u16() == 404 {
        fault.message = "Scheduled call not found".to_owned();
    }
    fault
}
