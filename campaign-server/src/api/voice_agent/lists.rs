//! `/api/contact-lists` and `/api/contact-lists/{id}`.

use super::schema::{AgentList, AgentListEnvelope, AgentListInput, AgentListPatch, AgentLists, AgentMessage};
use super::{Reply, ids};
use crate::api::owned::{self, moment};
use crate::api::request::{Body, Caller, given, wrong};
use crate::api::v1::error::FastApi;
use crate::auth::Principal;
use crate::error::Fault;
use crate::state::AppState;
use axum::extract::{Path, State};
use campaign_core::contact::Owner;
use campaign_core::engine::ContactList;
use campaign_core::id::ListId;
use campaign_core::store::{DocumentQuery, PutDocument};
use campaign_core::{Kind, Result};
use serde_json::{Value, json};

/// The collection of documents that count the changes of a list.
const COLLECTION: &str = "voice_agent_list";

/// The caller's list with this id.
pub(super) async fn own(state: &AppState, principal: &Principal, id: &str) -> std::result::Result<ContactList, Fault> {
    let missing = || Fault::not_found("Contact list");
    let id = ListId(ids::read(id).ok_or_else(missing)?);
    let list = state.engine().get_list(id).await.map_err(|error| match error.kind() {
        Kind::NotFound => missing(),
        _ => error.into(),
    })?;
    if principal.sees(list.organization) { Ok(list) } else { Err(missing()) }
}

/// What is counted of a list: how often it was changed, and when last.
async fn changes(state: &AppState, id: ListId) -> Result<(Value, u64)> {
    let query = DocumentQuery { collection: COLLECTION.to_owned(), key: Some(ids::write(id.0)), after: None, limit: 1 };
    let found = state.engine().store().documents(query).await?.into_iter().next();
    Ok(found.map_or((Value::Null, 0), |document| (document.value, document.revision)))
}

/// Notes that a list was changed.
pub(super) async fn changed(state: &AppState, id: ListId) -> Result<()> {
    for _ in 0..100 {
        let (value, revision) = changes(state, id).await?;
        let value = json!({ "version": value["version"].as_u64().unwrap_or(1) + 1, "updated_at": state.now() });
        let put = PutDocument { collection: COLLECTION.to_owned(), key: ids::write(id.0), value, expected_revision: Some(revision) };
        match state.engine().store().put_document(put).await {
            Err(error) if error.kind() == Kind::Conflict => {}
            other => return other.map(drop),
        }
    }
    // So many others have noted changes meanwhile that this one is among them.
    Ok(())
}

async fn show(state: &AppState, list: &ContactList) -> Result<Value> {
    let (value, _) = changes(state, list.id).await?;
    let updated: Option<jiff::Timestamp> = serde_json::from_value(value["updated_at"].clone()).ok();
    let id = ids::write(list.id.0);
    Ok(json!({
        "_id": id,
        "id": id,
        "name": list.name,
        "description": list.description,
        "contact_count": owned::count(state, Owner::List(list.id)).await?,
        "version": value["version"].as_u64().unwrap_or(1),
        "created_at": moment(list.created_at),
        "updated_at": moment(updated.unwrap_or(list.created_at)),
    }))
}

/// Contact lists, newest first.
#[utoipa::path(get, path = "/api/contact-lists", operation_id = "list_contact_lists", tag = "voice agent",
    responses((status = 200, description = "All of them", body = AgentLists)))]
pub(crate) async fn list(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>) -> Reply {
    let mut shown = Vec::new();
    for list in state.engine().lists(principal.organization).await?.iter().rev().filter(|list| principal.sees(list.organization)) {
        shown.push(show(&state, list).await?);
    }
    Ok(axum::Json(json!({ "success": true, "lists": shown })))
}

/// Creates a contact list.
#[utoipa::path(post, path = "/api/contact-lists", operation_id = "create_contact_list", tag = "voice agent", request_body = AgentListInput,
    responses((status = 200, description = "Its id", body = AgentList)))]
pub(crate) async fn create(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Body(body, _): Body<FastApi>) -> Reply {
    let name = given(&body, "name").ok_or_else(|| wrong("body", "name", "is required"))?;
    let list = state.engine().create_list(name, given(&body, "description"), principal.organization).await?;
    Ok(axum::Json(json!({ "success": true, "list_id": ids::write(list.id.0) })))
}

/// One contact list.
#[utoipa::path(get, path = "/api/contact-lists/{id}", operation_id = "get_contact_list", tag = "voice agent",
    params(("id" = String, Path, description = "The list")),
    responses((status = 200, description = "The list", body = AgentListEnvelope)))]
pub(crate) async fn get(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Path(id): Path<String>) -> Reply {
    let list = own(&state, &principal, &id).await?;
    Ok(axum::Json(json!({ "success": true, "list": show(&state, &list).await? })))
}

/// Changes the name or the description of a contact list.
#[utoipa::path(put, path = "/api/contact-lists/{id}", operation_id = "update_contact_list", tag = "voice agent",
    params(("id" = String, Path, description = "The list")), request_body = AgentListPatch,
    responses((status = 200, description = "The list", body = AgentListEnvelope)))]
pub(crate) async fn put(
    State(state): State<AppState>,
    Caller(principal, _): Caller<FastApi>,
    Path(id): Path<String>,
    Body(body, _): Body<FastApi>,
) -> Reply {
    let list = own(&state, &principal, &id).await?;
    let text = |name: &str| body.get(name).filter(|value| !value.is_null()).map(|value| value.as_str().ok_or(name.to_owned())).transpose();
    let wrong = |name: String| wrong("body", &name, "must be a text");
    let (name, description) = (text("name").map_err(wrong)?, text("description").map_err(wrong)?);
    let list = state.engine().update_list(list.id, name, description).await?;
    changed(&state, list.id).await?;
    Ok(axum::Json(json!({ "success": true, "message": "Contact list updated", "list": show(&state, &list).await? })))
}

/// Deletes a contact list. Campaigns that were made from it keep their contacts.
#[utoipa::path(delete, path = "/api/contact-lists/{id}", operation_id = "delete_contact_list", tag = "voice agent",
    params(("id" = String, Path, description = "The list")),
    responses((status = 200, description = "It is gone", body = AgentMessage)))]
pub(crate) async fn delete(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Path(id): Path<String>) -> Reply {
    let list = own(&state, &principal, &id).await?;
    state.engine().delete_list(list.id).await?;
    state.engine().store().delete_document(COLLECTION.to_owned(), ids::write(list.id.0)).await?;
    Ok(axum::Json(json!({ "success": true, "message": "Contact list deleted" })))
}
