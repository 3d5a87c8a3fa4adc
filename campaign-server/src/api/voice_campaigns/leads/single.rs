//! `/api/voice-leads` and `/api/voice-leads/{id}`.

use super::super::error::{Fail, Reply, Voice};
use super::super::schema::{VoiceLead, VoiceLeadInput, VoiceLeadPatch, VoiceLeadReply, VoiceMessage};
use super::change::changed;
use super::{add, campaign, own, show, store};
use crate::api::owned;
use crate::api::request::{Body, Caller};
use crate::error::Fault;
use crate::state::AppState;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use campaign_core::contact::Owner;
use campaign_core::phone::PhoneNumber;
use campaign_core::store::DuplicatePolicy;
use serde_json::{Value, json};

/// Adds a lead to a campaign.
#[utoipa::path(post, path = "/api/voice-leads", operation_id = "create_voice_lead", tag = "voice leads", request_body = VoiceLeadInput,
    responses((status = 201, description = "The lead, and a message", body = VoiceLeadReply)))]
pub(crate) async fn create(
    State(state): State<AppState>,
    Caller(principal, _): Caller<Voice>,
    Body(body, _): Body<Voice>,
) -> Result<(StatusCode, axum::Json<Value>), Fail> {
    let record = campaign(&state, &principal, body.get("campaign_id")).await?;
    let report = add(&state, record.id, std::slice::from_ref(&body), DuplicatePolicy::Skip).await?;
    if report.duplicates > 0 {
        return Err(Fault::refused("The campaign has a lead with this phone number already").into());
    }
    let added = owned::newest(&state, Owner::Campaign(record.id), 1).await?;
    let lead = added.last().map(|contact| show(contact, &record)).unwrap_or_default();
    Ok((StatusCode::CREATED, axum::Json(json!({ "message": "Voice lead created successfully", "data": lead }))))
}

/// One lead.
#[utoipa::path(get, path = "/api/voice-leads/{id}", operation_id = "get_voice_lead", tag = "voice leads",
    params(("id" = i64, Path, description = "The lead")), responses((status = 200, description = "The lead", body = VoiceLead)))]
pub(crate) async fn get(State(state): State<AppState>, Caller(principal, _): Caller<Voice>, Path(id): Path<String>) -> Reply {
    let (contact, record) = own(&state, &principal, &id).await?;
    Ok(axum::Json(show(&contact, &record)))
}

/// Changes what is known of a lead; its phone number stays.
#[utoipa::path(put, path = "/api/voice-leads/{id}", operation_id = "update_voice_lead", tag = "voice leads",
    params(("id" = i64, Path, description = "The lead")), request_body = VoiceLeadPatch,
    responses((status = 200, description = "The lead, and a message", body = VoiceLeadReply)))]
pub(crate) async fn put(
    State(state): State<AppState>,
    Caller(principal, _): Caller<Voice>,
    Path(id): Path<String>,
    Body(mut body, _): Body<Voice>,
) -> Reply {
    let (contact, record) = own(&state, &principal, &id).await?;
    if let Some(phone) = body.get("phone").and_then(Value::as_str)
        && PhoneNumber::parse(phone, state.options().default_region.as_deref()).ok().as_ref() != Some(&contact.person.phone)
    {
        return Err(Fault::refused("The phone number of a lead cannot be changed; delete it and create another").into());
    }
    let row = changed(&contact, &body, state.options().default_region.as_deref())?;
    body.insert("phone".to_owned(), contact.person.phone.as_str().into());
    store(&state, record.id, std::slice::from_ref(&body), vec![row], DuplicatePolicy::UpdateVariables).await?;
    let contact = state.engine().get_contact(contact.id).await?;
    Ok(axum::Json(json!({ "message": "Voice lead updated successfully", "data": show(&contact, &record) })))
}

/// Deletes a lead that is not being called right now.
#[utoipa::path(delete, path = "/api/voice-leads/{id}", operation_id = "delete_voice_lead", tag = "voice leads",
    params(("id" = i64, Path, description = "The lead")), responses((status = 200, description = "It is gone", body = VoiceMessage)))]
pub(crate) async fn delete(State(state): State<AppState>, Caller(principal, _): Caller<Voice>, Path(id): Path<String>) -> Reply {
    let (contact, record) = own(&state, &principal, &id).await?;
    let owner = Owner::Campaign(record.id);
    if state.engine().remove_contacts(owner, vec![contact.id]).await? == 0 {
        return Err(Fault::refused("The lead is being called; try again when the call has ended").into());
    }
    Ok(axum::Json(json!({ "message": "Voice lead deleted successfully" })))
}
