//! `/api/campaigns` and `/api/campaigns/{id}`.

use super::schema::{AgentCampaignEnvelope, AgentCampaignInput, AgentCampaigns, AgentCreated, AgentMessage};
use super::spec::{self, Given, Here, KEY, Purpose, TYPES};
use super::{Reply, ids, lists, present};
use crate::api::owned;
use crate::api::request::{Body, Caller, Params, given, wrong};
pub(super) use crate::api::single::refused;
use crate::api::v1::error::FastApi;
use crate::auth::Principal;
use crate::error::Fault;
use crate::state::AppState;
use axum::extract::{Path, State};
use campaign_core::Kind;
use campaign_core::campaign::{CampaignRecord, CampaignStatus};
use campaign_core::id::{CampaignId, ListId};
use campaign_core::import::{ImportOptions, ImportReport};
use campaign_core::wire::Object;
use serde_json::{Value, json};

/// The caller's campaign with this id that was made for this and was not deleted.
pub(super) async fn own(state: &AppState, principal: &Principal, id: &str, purpose: Purpose) -> Result<CampaignRecord, Fault> {
    let record = made(state, principal, id, purpose).await?;
    if spec::is_deleted(&record.spec) { Err(Fault::not_found("Campaign")) } else { Ok(record) }
}

/// As [`own`], and one that was deleted as well: what it has sent stays known.
pub(super) async fn made(state: &AppState, principal: &Principal, id: &str, purpose: Purpose) -> Result<CampaignRecord, Fault> {
    let record = owned::one(state, principal, KEY, ids::read(id), "Campaign").await?;
    if spec::is_for(&record.spec, purpose) { Ok(record) } else { Err(Fault::not_found("Campaign")) }
}

/// The caller's campaigns that were made for one of these and were not deleted, newest first.
pub(super) async fn all(state: &AppState, principal: &Principal, purposes: &[Purpose]) -> Result<Vec<CampaignRecord>, Fault> {
    let mut records = all_made(state, principal, purposes).await?;
    records.retain(|record| !spec::is_deleted(&record.spec));
    Ok(records)
}

/// As [`all`], and those that were deleted as well.
pub(super) async fn all_made(state: &AppState, principal: &Principal, purposes: &[Purpose]) -> Result<Vec<CampaignRecord>, Fault> {
    let mut records = owned::all(state, principal, KEY, &[]).await?;
    records.retain(|record| purposes.iter().any(|purpose| spec::is_for(&record.spec, *purpose)));
    Ok(records)
}

/// Adds numbers along the same path as an import.
pub(super) async fn add(state: &AppState, campaign: CampaignId, rows: Vec<Object>) -> Result<ImportReport, Fault> {
    let options = ImportOptions { default_region: state.options().default_region.clone(), ..ImportOptions::default() };
    state.engine().add_contacts(campaign, rows, options).await.map_err(refused)
}

/// Numbers as rows.
pub(super) fn rows(numbers: Option<&Value>, name: &'static str) -> Result<Vec<Object>, Fault> {
    let listed = || wrong("body", name, "must be a list of phone numbers");
    let numbers = match numbers {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(numbers)) => numbers,
        Some(_) => return Err(listed()),
    };
    numbers
        .iter()
        .map(|number| {
            let number = number.as_str().map(spec::bare).map(Value::from).or_else(|| number.as_i64().map(Value::from));
            Ok(Object::from_iter([("phone_number".to_owned(), number.ok_or_else(listed)?)]))
        })
        .collect()
}

/// Campaigns, newest first.
#[utoipa::path(get, path = "/api/campaigns", operation_id = "list_agent_campaigns", tag = "voice agent",
    params(
        ("campaign_type" = Option<String>, Query, description = "`voice`, `sms` or `whatsapp`"),
        ("status" = Option<String>, Query, description = "Only with this status"),
    ),
    responses((status = 200, description = "All of them", body = AgentCampaigns)))]
pub(crate) async fn list(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, params: Params) -> Reply {
    let kind = params.one_of("campaign_type", present::KINDS)?;
    let status = params.one_of("status", present::STATUSES)?;
    let mut records = all(&state, &principal, &[Purpose::Campaign]).await?;
    records.retain(|record| {
        kind.is_none_or(|kind| present::kind(record) == kind) && status.is_none_or(|status| present::status(record.status) == status)
    });
    let counted = state.engine().progress_of(records).await?;
    let shown: Vec<Value> = counted.iter().map(|(record, progress)| present::campaign(record, progress)).collect();
    Ok(axum::Json(json!({ "success": true, "campaigns": shown })))
}

/// Creates a campaign for `phone_numbers`, or for those of a contact list when there are none. With `scheduled_at` it is scheduled.
#[utoipa::path(post, path = "/api/campaigns", operation_id = "create_agent_campaign", tag = "voice agent", request_body = AgentCampaignInput,
    responses((status = 200, description = "Its id", body = AgentCreated)))]
pub(crate) async fn create(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Body(body, _): Body<FastApi>) -> Reply {
    let name = given(&body, "name").ok_or_else(|| wrong("body", "name", "is required"))?;
    let kind = body.get("type").and_then(Value::as_str).filter(|kind| TYPES.contains(kind));
    let kind = kind.ok_or_else(|| wrong("body", "type", format!("must be one of {}", TYPES.join(", "))))?;
    let config = match body.get("config") {
        None | Some(Value::Null) => Object::new(),
        Some(Value::Object(config)) => config.clone(),
        Some(_) => return Err(wrong("body", "config", "must be an object").into()),
    };
    let start = given(&body, "scheduled_at").map(|text| spec::start(text, state.now())).transpose()?;
    let rows = rows(body.get("phone_numbers"), "phone_numbers")?;
    let list = match given(&body, "contact_list_id") {
        Some(id) => Some((id, ListId(lists::own(&state, &principal, id).await?.id.0))),
        None => None,
    };
    let organization = principal.organization;
    let given_here = Given { purpose: Purpose::Campaign, name, kind, config, organization, places: spec::IN_CONFIG };
    let mut spec = spec::make(given_here, Here::of(&state))?;
    let memory = json!({ "contact_list_id": list.map(|(id, _)| id), "scheduled_at": given(&body, "scheduled_at") });
    if let Value::Object(memory) = memory {
        owned::remember(&mut spec, KEY, memory);
    }
    let engine = state.engine();
    let record = engine.create_campaign(spec).await.map_err(refused)?;
    let mut report = ImportReport::default();
    if !rows.is_empty() {
        report = add(&state, record.id, rows).await?;
    } else if let Some((_, list)) = list {
        report = engine.attach_list(list, record.id).await.map_err(refused)?;
    }
    if let Some(schedule) = start {
        engine.schedule(record.id, schedule).await.map_err(refused)?;
    }
    Ok(axum::Json(json!({
        "success": true,
        "campaign_id": ids::write(record.id.0),
        "added": report.imported + report.suppressed,
        "duplicates": report.duplicates,
        "invalid": report.invalid,
    })))
}

/// One campaign.
#[utoipa::path(get, path = "/api/campaigns/{id}", operation_id = "get_agent_campaign", tag = "voice agent",
    params(("id" = String, Path, description = "The campaign")),
    responses((status = 200, description = "The campaign", body = AgentCampaignEnvelope)))]
pub(crate) async fn get(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Path(id): Path<String>) -> Reply {
    let record = own(&state, &principal, &id, Purpose::Campaign).await?;
    let progress = state.engine().progress(record.id).await?;
    let mut shown = present::campaign(&record, &progress);
    let (sent, lost) = (progress.completed_contacts, present::lost(&progress));
    shown["queue_results"] =
        json!({ "success_count": sent, "failed_count": lost, "total": shown["stats"]["total"], "processed": sent + lost });
    Ok(axum::Json(json!({ "success": true, "campaign": shown })))
}

/// Deletes a campaign: it is ended, kept, and not shown any more.
#[utoipa::path(delete, path = "/api/campaigns/{id}", operation_id = "delete_agent_campaign", tag = "voice agent",
    params(("id" = String, Path, description = "The campaign")),
    responses((status = 200, description = "It is gone", body = AgentMessage)))]
pub(crate) async fn delete(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Path(id): Path<String>) -> Reply {
    let found = own(&state, &principal, &id, Purpose::Campaign).await;
    let record = found.map_err(|mut fault| {
        if fault.status.as_u16() == 404 {
            fault.message = "Campaign not found or already deleted".to_owned();
        }
        fault
    })?;
    end(&state, &record).await?;
    Ok(axum::Json(json!({ "success": true, "message": "Campaign deleted" })))
}

/// Ends a campaign and hides it. What it has sent, and whom it calls just now, stays known.
pub(super) async fn end(state: &AppState, record: &CampaignRecord) -> Result<(), Fault> {
    let engine = state.engine();
    let ended = matches!(record.status, CampaignStatus::Completed | CampaignStatus::Cancelled | CampaignStatus::Failed);
    if !ended {
        match engine.cancel(record.id).await {
            // It has ended by itself meanwhile.
            Err(error) if error.kind() == Kind::State => {}
            other => drop(other?),
        }
    }
    let hide = |spec: &campaign_core::campaign::CampaignSpec| {
        let mut spec = spec.clone();
        owned::remember(&mut spec, KEY, Object::from_iter([("deleted".to_owned(), true.into())]));
        Ok(spec)
    };
    Ok(engine.edit_campaign(record.id, hide).await.map(drop)?)
}
