//! `/api/voice-campaigns` and `/api/voice-campaigns/{id}`.

use super::error::{Reply, Voice};
use super::fields::{self, KEY};
use super::schema::{VoiceCampaign, VoiceCampaignInput, VoiceCampaignPatch, VoiceMessage, VoiceReply};
use super::{hooks, present, status};
use crate::api::owned;
use crate::api::request::{Body, Caller, Params, wrong};
use crate::auth::Principal;
use crate::error::Fault;
use crate::state::AppState;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use campaign_core::campaign::{CampaignRecord, CampaignStatus};
use campaign_core::event::Progress;
use campaign_core::wire::Object;
use campaign_core::{Error, Kind};
use serde_json::{Value, json};

/// The caller's campaign with this id. Every other one is 404.
pub(super) async fn own(state: &AppState, principal: &Principal, id: &str) -> Result<CampaignRecord, Fault> {
    owned::one(state, principal, KEY, id.parse().ok(), "Voice campaign").await
}

/// A campaign as this API shows it.
pub(super) async fn show(state: &AppState, record: &CampaignRecord) -> Result<Object, Fault> {
    let progress = state.engine().progress(record.id).await?;
    Ok(present::campaign(record, &progress))
}

/// The campaigns of the caller with their counters, newest first; those of one company when it is named.
pub(super) async fn all(state: &AppState, principal: &Principal, company: Option<i64>) -> Result<Vec<(CampaignRecord, Progress)>, Fault> {
    let mut records = owned::all(state, principal, KEY, &[]).await?;
    if let Some(company) = company {
        records.retain(|record| company_of(record) == Some(company));
    }
    Ok(state.engine().progress_of(records).await?)
}

/// The company of a campaign.
pub(super) fn company_of(record: &CampaignRecord) -> Option<i64> {
    owned::remembered(&record.spec, KEY, "company_id").and_then(Value::as_i64)
}

/// Voice campaigns, newest first.
#[utoipa::path(get, path = "/api/voice-campaigns", operation_id = "list_voice_campaigns", tag = "voice campaigns",
    params(
        ("status" = Option<String>, Query, description = "Only with this status"),
        ("priority" = Option<String>, Query, description = "Only with this priority"),
        ("company_id" = Option<i64>, Query, description = "Only of this company"),
    ),
    responses((status = 200, description = "All of them", body = Vec<VoiceCampaign>)))]
pub(crate) async fn list(State(state): State<AppState>, Caller(principal, _): Caller<Voice>, params: Params) -> Reply {
    let company = params.integer("company_id", 1, i64::MAX)?;
    let found = all(&state, &principal, company).await.map_err(|mut fault| {
        if fault.status == StatusCode::INTERNAL_SERVER_ERROR {
            fault.message = "Failed to fetch voice campaigns".to_owned();
        }
        fault
    })?;
    let shown = found.iter().map(|(record, progress)| present::campaign(record, progress));
    let wanted = |name: &str, campaign: &Object| params.text(name).is_none_or(|text| campaign[name] == text);
    Ok(axum::Json(shown.filter(|campaign| wanted("status", campaign) && wanted("priority", campaign)).map(Value::Object).collect()))
}

/// Addresses of webhooks must lead where webhooks may go.
fn check_addresses(state: &AppState, read: &Object) -> Result<(), Fault> {
    for (name, url) in hooks::addresses(read) {
        campaign_core::http::check_url(url, state.webhooks().reach()).map_err(|error| wrong("body", name, error.message()))?;
    }
    Ok(())
}

/// Creates a voice campaign.
#[utoipa::path(post, path = "/api/voice-campaigns", operation_id = "create_voice_campaign", tag = "voice campaigns",
    request_body = VoiceCampaignInput, responses((status = 201, description = "The campaign, and a message", body = VoiceReply)))]
pub(crate) async fn create(
    State(state): State<AppState>,
    Caller(principal, _): Caller<Voice>,
    Body(body, _): Body<Voice>,
) -> Result<(StatusCode, axum::Json<Value>), super::error::Fail> {
    let read = fields::read(&body, true)?;
    check_addresses(&state, &read)?;
    let mut spec = fields::create(&read, principal.organization)?;
    fields::relay(&mut spec, state.engine().assistant().is_some());
    if hooks::any(&spec) {
        state.webhooks().begin().await?;
    }
    let wanted = read.get("status").and_then(Value::as_str).unwrap_or("draft");
    let record = state.engine().create_campaign(spec).await?;
    let record = status::bring(&state, record, wanted).await?;
    let shown = show(&state, &record).await?;
    Ok((StatusCode::CREATED, axum::Json(present::replied(shown, "Voice campaign created successfully"))))
}

/// One voice campaign; with `company_id` as `data`, with a message.
#[utoipa::path(get, path = "/api/voice-campaigns/{id}", operation_id = "get_voice_campaign", tag = "voice campaigns",
    params(("id" = i64, Path, description = "The campaign"), ("company_id" = Option<i64>, Query, description = "Its company")),
    responses((status = 200, description = "The campaign", body = VoiceCampaign)))]
pub(crate) async fn get(
    State(state): State<AppState>,
    Caller(principal, _): Caller<Voice>,
    Path(id): Path<String>,
    params: Params,
) -> Reply {
    let record = own(&state, &principal, &id).await?;
    let shown = show(&state, &record).await?;
    match params.integer("company_id", 1, i64::MAX)? {
        None => Ok(axum::Json(Value::Object(shown))),
        Some(company) if company_of(&record) == Some(company) => Ok(axum::Json(present::replied(shown, "Campaign fetched successfully"))),
        Some(_) => Err(Fault::not_found("Voice campaign").into()),
    }
}

/// Changes a voice campaign; fields that are left out stay.
#[utoipa::path(put, path = "/api/voice-campaigns/{id}", operation_id = "update_voice_campaign", tag = "voice campaigns",
    params(("id" = i64, Path, description = "The campaign")), request_body = VoiceCampaignPatch,
    responses((status = 200, description = "The campaign, and a message", body = VoiceReply)))]
pub(crate) async fn put(
    State(state): State<AppState>,
    Caller(principal, _): Caller<Voice>,
    Path(id): Path<String>,
    Body(body, _): Body<Voice>,
) -> Reply {
    let record = own(&state, &principal, &id).await?;
    let read = fields::read(&body, false)?;
    check_addresses(&state, &read)?;
    // Looked at first, so that the edit itself cannot be refused for a reason that has no place in the engine's errors.
    let mut tried = campaign_core::campaign::CampaignSpec::clone(&record.spec);
    fields::apply(&mut tried, &read)?;
    let to = read.get("status").and_then(Value::as_str).unwrap_or_else(|| status::shown(&record));
    status::may_be_inbound(&record, &tried)?;
    if to != status::shown(&record) {
        status::check(&state, &record, &tried, to).await?;
    }
    if hooks::any(&tried) {
        state.webhooks().begin().await?;
    }
    let edited = state.engine().edit_campaign(record.id, |spec| {
        let mut spec = spec.clone();
        fields::apply(&mut spec, &read).map_err(|fault| Error::new(Kind::Invalid, fault.message))?;
        fields::relay(&mut spec, state.engine().assistant().is_some());
        Ok(spec)
    });
    let record = edited.await?;
    let record = if read.contains_key("status") { status::bring(&state, record, to).await? } else { record };
    // One that was inbound may have leads that wait.
    status::leads_came(&state, record.id).await?;
    let record = state.engine().get_campaign(record.id).await?;
    let shown = show(&state, &record).await?;
    Ok(axum::Json(present::replied(shown, "Voice campaign updated successfully")))
}

/// Deletes a voice campaign with its leads; not while calls of it are in progress.
#[utoipa::path(delete, path = "/api/voice-campaigns/{id}", operation_id = "delete_voice_campaign", tag = "voice campaigns",
    params(("id" = i64, Path, description = "The campaign")),
    responses((status = 200, description = "It is gone", body = VoiceMessage)))]
pub(crate) async fn delete(State(state): State<AppState>, Caller(principal, _): Caller<Voice>, Path(id): Path<String>) -> Reply {
    let record = own(&state, &principal, &id).await?;
    let engine = state.engine();
    if engine.progress(record.id).await?.in_progress_contacts > 0 {
        return Err(Fault::refused("Calls of the campaign are in progress; pause it and delete it when they have ended").into());
    }
    // Held, nothing more of it is handed over. A call that began just before lets it go on as it was.
    let held = record.status == CampaignStatus::Running;
    if held {
        engine.pause(record.id).await.map_err(status::refused)?;
    }
    if let Err(error) = engine.delete_campaign(record.id).await {
        if held {
            engine.resume(record.id).await?;
        }
        return Err(status::refused(error).into());
    }
    Ok(axum::Json(json!({ "message": "Voice campaign deleted successfully", "id": record.id })))
}
