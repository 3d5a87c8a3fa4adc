//! The operations.

use super::schema::{
    ReplayInput, Replayed, WebhookCreated, WebhookDeliveries, WebhookInput, WebhookList, WebhookObject, WebhookPatch, WebhookTested,
};
use crate::api::request::{Body, Caller, Params, wrong};
use crate::api::v1::error::{Fail, FastApi};
use crate::auth::{Principal, Scope};
use crate::error::Fault;
use crate::state::AppState;
use crate::webhooks::{DeadLetter, Endpoint, EndpointPatch, EventName, NewEndpoint};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use campaign_core::Kind;
use campaign_core::id::CampaignId;
use campaign_core::wire::Object;
use serde_json::{Value, json};

type Reply = Result<axum::Json<Value>, Fail>;

/// A webhook as it is shown.
fn show(endpoint: &Endpoint) -> Value {
    json!({
        "id": endpoint.id,
        "organization_id": endpoint.organization_id,
        "campaign_id": endpoint.campaign_id,
        "url": endpoint.url,
        "description": endpoint.description,
        "events": endpoint.events,
        "enabled": endpoint.enabled,
        "created_at": endpoint.created_at,
        "updated_at": endpoint.updated_at,
    })
}

fn with_secret(endpoint: &Endpoint, secret: String) -> Value {
    let mut shown = show(endpoint);
    shown["secret"] = secret.into();
    shown
}

/// The caller's webhook with this id. Another organisation's does not exist.
async fn own(state: &AppState, principal: &Principal, id: &str) -> Result<Endpoint, Fault> {
    principal.needs(Scope::Admin)?;
    let missing = || Fault::not_found("Webhook");
    let endpoint = state.webhooks().get(id).await.map_err(|error| match error.kind() {
        Kind::NotFound => missing(),
        _ => error.into(),
    })?;
    if principal.sees(endpoint.organization_id) { Ok(endpoint) } else { Err(missing()) }
}

fn text(body: &Object, name: &str) -> Result<Option<String>, Fault> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(wrong("body", name, "must be a text")),
    }
}

fn texts(body: &Object, name: &str) -> Result<Option<Vec<String>>, Fault> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => serde_json::from_value(value.clone()).map(Some).map_err(|_| wrong("body", name, "must be a list of texts")),
    }
}

fn events(body: &Object) -> Result<Option<Vec<EventName>>, Fault> {
    let Some(names) = texts(body, "events")? else { return Ok(None) };
    let known = names.iter().map(|name| EventName::parse(name)).collect::<Option<Vec<EventName>>>();
    let all: Vec<&str> = EventName::ALL.iter().map(|name| name.as_str()).collect();
    known.map(Some).ok_or_else(|| wrong("body", "events", format!("may hold {}", all.join(", "))))
}

/// Webhooks of the organisation, the oldest first.
#[utoipa::path(get, path = "/api/v1/webhooks", operation_id = "list_webhooks", tag = "webhooks",
    responses((status = 200, description = "All of them", body = WebhookList)))]
pub(crate) async fn list(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>) -> Reply {
    principal.needs(Scope::Admin)?;
    let all = state.webhooks().list().await?;
    let own: Vec<Value> = all.iter().filter(|endpoint| principal.sees(endpoint.organization_id)).map(show).collect();
    Ok(axum::Json(json!({ "webhooks": own })))
}

/// Makes a webhook. Its secret is told this once.
#[utoipa::path(post, path = "/api/v1/webhooks", operation_id = "create_webhook", tag = "webhooks", request_body = WebhookInput,
    responses((status = 200, description = "The webhook and its secret", body = WebhookCreated)))]
pub(crate) async fn create(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Body(body, _): Body<FastApi>) -> Reply {
    principal.needs(Scope::Admin)?;
    let url = text(&body, "url")?.ok_or_else(|| wrong("body", "url", "is required"))?;
    let campaign_id = match body.get("campaign_id") {
        None | Some(Value::Null) => None,
        Some(id) => Some(CampaignId(id.as_i64().ok_or_else(|| wrong("body", "campaign_id", "must be a whole number"))?)),
    };
    let mut organization_id = principal.organization;
    if let Some(id) = campaign_id {
        // An operator's webhook for one campaign belongs to whom the campaign belongs.
        organization_id = principal.own_campaign(&state, id).await?.spec.organization;
    }
    let new = NewEndpoint {
        organization_id,
        campaign_id,
        url,
        description: text(&body, "description")?,
        events: events(&body)?.unwrap_or_default(),
        secret: text(&body, "secret")?,
    };
    let (endpoint, secret) = state.webhooks().create(new).await?;
    Ok(axum::Json(with_secret(&endpoint, secret)))
}

/// One webhook.
#[utoipa::path(get, path = "/api/v1/webhooks/{webhook_id}", operation_id = "get_webhook", tag = "webhooks",
    params(("webhook_id" = String, Path, description = "The webhook")),
    responses((status = 200, description = "The webhook", body = WebhookObject)))]
pub(crate) async fn get(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Path(id): Path<String>) -> Reply {
    Ok(axum::Json(show(&own(&state, &principal, &id).await?)))
}

/// Changes a webhook; fields that are left out stay.
#[utoipa::path(patch, path = "/api/v1/webhooks/{webhook_id}", operation_id = "update_webhook", tag = "webhooks",
    params(("webhook_id" = String, Path, description = "The webhook")), request_body = WebhookPatch,
    responses((status = 200, description = "The webhook", body = WebhookObject)))]
pub(crate) async fn patch(
    State(state): State<AppState>,
    Caller(principal, _): Caller<FastApi>,
    Path(id): Path<String>,
    Body(body, _): Body<FastApi>,
) -> Reply {
    own(&state, &principal, &id).await?;
    let enabled = match body.get("enabled") {
        None | Some(Value::Null) => None,
        Some(Value::Bool(enabled)) => Some(*enabled),
        Some(_) => return Err(wrong("body", "enabled", "must be true or false").into()),
    };
    let patch = EndpointPatch { url: text(&body, "url")?, description: text(&body, "description")?, events: events(&body)?, enabled };
    Ok(axum::Json(show(&state.webhooks().update(&id, patch).await?)))
}

/// Removes a webhook, with what waits for it and its dead letters.
#[utoipa::path(delete, path = "/api/v1/webhooks/{webhook_id}", operation_id = "delete_webhook", tag = "webhooks",
    params(("webhook_id" = String, Path, description = "The webhook")),
    responses((status = 204, description = "It is gone")))]
pub(crate) async fn delete(
    State(state): State<AppState>,
    Caller(principal, _): Caller<FastApi>,
    Path(id): Path<String>,
) -> Result<StatusCode, Fail> {
    own(&state, &principal, &id).await?;
    state.webhooks().delete(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a webhook a new secret, which is told this once. The old one signs beside it for a day.
#[utoipa::path(post, path = "/api/v1/webhooks/{webhook_id}/rotate-secret", operation_id = "rotate_webhook_secret", tag = "webhooks",
    params(("webhook_id" = String, Path, description = "The webhook")),
    responses((status = 200, description = "The webhook and its new secret", body = WebhookCreated)))]
pub(crate) async fn rotate(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Path(id): Path<String>) -> Reply {
    own(&state, &principal, &id).await?;
    let (endpoint, secret) = state.webhooks().rotate(&id).await?;
    Ok(axum::Json(with_secret(&endpoint, secret)))
}

/// Sends an event `test`.
#[utoipa::path(post, path = "/api/v1/webhooks/{webhook_id}/test", operation_id = "test_webhook", tag = "webhooks",
    params(("webhook_id" = String, Path, description = "The webhook")),
    responses((status = 200, description = "It is on its way", body = WebhookTested)))]
pub(crate) async fn test(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Path(id): Path<String>) -> Reply {
    own(&state, &principal, &id).await?;
    let event = state.webhooks().test(&id).await?;
    Ok(axum::Json(json!({ "success": true, "event_id": event })))
}

fn delivery(letter: &DeadLetter, dead: bool) -> Value {
    json!({
        "event_id": letter.id,
        "event": letter.event,
        "campaign_id": letter.campaign_id,
        "at": letter.at,
        "attempts": letter.attempts,
        "due_at": (!dead).then_some(letter.due),
        "failed_at": letter.failed_at,
        "last_status": letter.status,
        "last_error": letter.reason,
        "body": serde_json::from_str::<Value>(&letter.body).unwrap_or_default(),
    })
}

/// Deliveries that nobody took within a day (`state=dead`, the oldest first), or that wait (`state=waiting`, the next ones first).
#[utoipa::path(get, path = "/api/v1/webhooks/{webhook_id}/deliveries", operation_id = "list_webhook_deliveries", tag = "webhooks",
    params(
        ("webhook_id" = String, Path, description = "The webhook"),
        ("state" = Option<String>, Query, description = "`dead` (if not said) or `waiting`"),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 500, description = "50 if not said"),
    ),
    responses((status = 200, description = "A page of deliveries", body = WebhookDeliveries)))]
pub(crate) async fn deliveries(
    State(state): State<AppState>,
    Caller(principal, _): Caller<FastApi>,
    Path(id): Path<String>,
    params: Params,
) -> Reply {
    own(&state, &principal, &id).await?;
    let limit = u32::try_from(params.integer("limit", 1, 500)?.unwrap_or(50)).unwrap_or(50);
    let dead = params.one_of("state", &["dead", "waiting"])?.is_none_or(|state| state == "dead");
    let after = params.text("after");
    let webhooks = state.webhooks();
    let found = if dead { webhooks.dead(&id, after, limit).await? } else { webhooks.waiting(&id, after, limit).await? };
    let next = found.last().filter(|_| found.len() == limit as usize).map(|letter| letter.key.as_str());
    let shown: Vec<Value> = found.iter().map(|letter| delivery(letter, dead)).collect();
    Ok(axum::Json(json!({ "deliveries": shown, "next": next })))
}

/// Sends dead letters again: those with these ids, or all of them.
#[utoipa::path(post, path = "/api/v1/webhooks/{webhook_id}/replay", operation_id = "replay_webhook", tag = "webhooks",
    params(("webhook_id" = String, Path, description = "The webhook")), request_body = Option<ReplayInput>,
    responses((status = 200, description = "How many", body = Replayed)))]
pub(crate) async fn replay(
    State(state): State<AppState>,
    Caller(principal, _): Caller<FastApi>,
    Path(id): Path<String>,
    Body(body, _): Body<FastApi>,
) -> Reply {
    own(&state, &principal, &id).await?;
    let ids = texts(&body, "event_ids")?;
    let count = state.webhooks().replay(&id, ids.as_deref()).await?;
    Ok(axum::Json(json!({ "success": true, "replayed_count": count })))
}
