//! Start, pause, schedule.

use super::campaigns::{own, refused};
use super::schema::{AgentMessage, AgentScheduleInput};
use super::spec::{self, Purpose};
use super::{Reply, present};
use crate::api::request::{Body, Caller, given};
use crate::api::v1::error::FastApi;
use crate::error::Fault;
use crate::state::AppState;
use axum::extract::{Path, State};
use campaign_core::campaign::CampaignStatus;
use serde_json::{Value, json};

fn done(message: impl Into<String>) -> Reply {
    Ok(axum::Json(json!({ "success": true, "message": Value::from(message.into()) })))
}

/// Starts a draft, or lets a paused campaign go on.
#[utoipa::path(post, path = "/api/campaigns/{id}/start", operation_id = "start_agent_campaign", tag = "voice agent",
    params(("id" = String, Path, description = "The campaign")),
    responses((status = 200, description = "It is started", body = AgentMessage)))]
pub(crate) async fn start(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Path(id): Path<String>) -> Reply {
    let record = own(&state, &principal, &id, Purpose::Campaign).await?;
    if !matches!(record.status, CampaignStatus::Draft | CampaignStatus::Paused) {
        return Err(Fault::refused(format!("Cannot start campaign with status: {}", present::status(record.status))).into());
    }
    state.engine().start(record.id).await.map_err(refused)?;
    done("Campaign started")
}

/// Holds a running campaign; what is under way goes on to its end.
#[utoipa::path(post, path = "/api/campaigns/{id}/pause", operation_id = "pause_agent_campaign", tag = "voice agent",
    params(("id" = String, Path, description = "The campaign")),
    responses((status = 200, description = "It is paused", body = AgentMessage)))]
pub(crate) async fn pause(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Path(id): Path<String>) -> Reply {
    let record = own(&state, &principal, &id, Purpose::Campaign).await?;
    let running = record.status == CampaignStatus::Running;
    let paused = if running { state.engine().pause(record.id).await.map(drop).map_err(refused) } else { Err(Fault::refused("")) };
    paused.map_err(|fault| if fault.status.as_u16() == 400 { Fault::refused("Can only pause running campaigns") } else { fault })?;
    done("Campaign paused")
}

/// Schedules a draft.
#[utoipa::path(post, path = "/api/campaigns/{id}/schedule", operation_id = "schedule_agent_campaign", tag = "voice agent",
    params(("id" = String, Path, description = "The campaign")), request_body = AgentScheduleInput,
    responses((status = 200, description = "It is scheduled", body = AgentMessage)))]
pub(crate) async fn schedule(
    State(state): State<AppState>,
    Caller(principal, _): Caller<FastApi>,
    Path(id): Path<String>,
    Body(body, _): Body<FastApi>,
) -> Reply {
    let record = own(&state, &principal, &id, Purpose::Campaign).await?;
    let at = given(&body, "scheduled_at").ok_or_else(|| Fault::refused("scheduled_at is required"))?;
    if record.status != CampaignStatus::Draft {
        let message = format!("Can only schedule draft campaigns. Current status: {}", present::status(record.status));
        return Err(Fault::refused(message).into());
    }
    let schedule = spec::start(at, state.now())?;
    state.engine().schedule(record.id, schedule).await.map_err(refused)?;
    done(format!("Campaign scheduled for {at}"))
}
