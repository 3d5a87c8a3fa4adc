//! `/api/calls`.

use super::campaigns::all_made;
use super::executions::{newest, with_contacts};
use super::schema::{AgentCallEnvelope, AgentCallInput, AgentCallStarted, AgentCalls};
use super::spec::{KEY, Purpose};
use super::{Reply, ids, present};
use crate::api::owned;
use crate::api::request::{Body, Caller, Params, given, wrong};
use crate::api::v1::error::FastApi;
use crate::auth::Principal;
use crate::error::Fault;
use crate::state::AppState;
use axum::extract::{Path, State};
use campaign_core::campaign::CampaignRecord;
use campaign_core::outcome::Channel;
use campaign_core::store::{AttemptQuery, Paging};
use campaign_core::wire::Object;
use serde_json::{Value, json};

/// Whatever calls are made for.
const CALLS: &[Purpose] = &[Purpose::Campaign, Purpose::Call, Purpose::Scheduled];

/// Calls one number.
#[utoipa::path(post, path = "/api/calls/outbound", operation_id = "start_agent_call", tag = "voice agent", request_body = AgentCallInput,
    responses((status = 200, description = "It is under way", body = AgentCallStarted)))]
pub(crate) async fn outbound(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Body(body, _): Body<FastApi>) -> Reply {
    let text = |name: &'static str| given(&body, name).ok_or_else(|| wrong("body", name, "is required"));
    let (from, to) = (text("from")?, text("to")?);
    let context = body.get("context").filter(|context| !context.is_null() && context.as_str() != Some(""));
    let mut config = Object::from_iter([("fromNumber".to_owned(), from.into())]);
    for name in ["context", "promptId"] {
        if let Some(value) = body.get(name).filter(|value| !value.is_null()) {
            config.insert(name.to_owned(), value.clone());
        }
    }
    let sent = super::send(&state, &principal, Purpose::Call, "voice", to, config).await?;
    Ok(axum::Json(json!({
        "success": true,
        "call_sid": sent.reference(),
        "message": "Call initiated successfully",
        "from": from,
        "to": to,
        "status": sent.status(),
        "custom_context_provided": context.is_some(),
        "campaign_id": ids::write(sent.record.id.0),
    })))
}

/// Calls that are under way or have ended, newest first.
#[utoipa::path(get, path = "/api/calls", operation_id = "list_agent_calls", tag = "voice agent",
    params(
        ("agent_id" = Option<String>, Query, description = "Only with this prompt"),
        ("status" = Option<String>, Query, description = "`ongoing` or `finished`"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "100 if not said"),
    ),
    responses((status = 200, description = "Calls", body = AgentCalls)))]
pub(crate) async fn list(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, params: Params) -> Reply {
    let status = params.one_of("status", &["ongoing", "finished"])?;
    let limit = usize::try_from(params.integer("limit", 1, 1000)?.unwrap_or(100)).unwrap_or(100);
    let shown = calls(&state, &principal, status, params.text("agent_id"), limit).await?;
    Ok(axum::Json(json!({ "calls": shown })))
}

/// Calls that are under way.
#[utoipa::path(get, path = "/api/calls/active", operation_id = "list_active_agent_calls", tag = "voice agent",
    responses((status = 200, description = "Calls", body = AgentCalls)))]
pub(crate) async fn active(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>) -> Reply {
    let shown = calls(&state, &principal, Some("ongoing"), None, 1000).await?;
    Ok(axum::Json(json!({ "calls": shown, "count": shown.len() })))
}

async fn calls(
    state: &AppState,
    principal: &Principal,
    status: Option<&str>,
    agent: Option<&str>,
    limit: usize,
) -> Result<Vec<Value>, Fault> {
    let mut records = all_made(state, principal, CALLS).await?;
    records.retain(|record| {
        let config = owned::remembered(&record.spec, KEY, "config");
        agent.is_none_or(|agent| config.and_then(|config| config["promptId"].as_str()) == Some(agent))
    });
    let found = newest(state, records, limit, |attempt| {
        attempt.step.channel == Channel::Call && status.is_none_or(|status| attempt.state.is_open() == (status == "ongoing"))
    });
    let found = with_contacts(state, found.await?).await;
    Ok(found.iter().map(|(attempt, record, contact)| present::call(attempt, record, contact.as_ref())).collect())
}

/// One call, by the provider's id of it.
#[utoipa::path(get, path = "/api/calls/{sid}", operation_id = "get_agent_call", tag = "voice agent",
    params(("sid" = String, Path, description = "The provider's id of the call")),
    responses((status = 200, description = "The call", body = AgentCallEnvelope)))]
pub(crate) async fn get(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Path(sid): Path<String>) -> Reply {
    let missing = || Fault::not_found("Call");
    let query = AttemptQuery { provider_ref: Some(sid), paging: Paging { offset: 0, limit: 10 }, count: false, ..AttemptQuery::default() };
    for attempt in state.engine().executions(query).await?.items {
        let record = owned::one(&state, &principal, KEY, Some(attempt.campaign.0), "Call").await;
        let Some(record) = known(record)? else { continue };
        if attempt.step.channel == Channel::Call {
            let contact = state.engine().get_contact(attempt.contact).await.ok();
            return Ok(axum::Json(json!({ "success": true, "call": present::call(&attempt, &record, contact.as_ref()) })));
        }
    }
    Err(missing().into())
}

/// Another one's is as good as none.
fn known(found: Result<CampaignRecord, Fault>) -> Result<Option<CampaignRecord>, Fault> {
    match found {
        Ok(record) => Ok(Some(record)),
        Err(fault) if fault.status.as_u16() == 404 => Ok(None),
        Err(fault) => Err(fault),
    }
}
