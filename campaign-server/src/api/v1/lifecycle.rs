//! Start, pause, resume, stop, re-execute, and the schedule.

use super::campaigns::{Reply, show};
use super::check::Check;
use super::extract::{Json, Own};
use super::schema::{CampaignReply, ReexecuteInput, Reexecuted, Saved, ScheduleInput, ScheduleObject, Started};
use super::{dialect, present};
use crate::error::{Fault, FieldFault};
use crate::state::AppState;
use axum::extract::State;
use axum::http::StatusCode;
use campaign_core::campaign::{CampaignRecord, CampaignStatus};
use campaign_core::schedule::Schedule;
use campaign_core::wire::{self, Object};
use campaign_core::{Error, Kind};
use jiff::Timestamp;
use serde_json::{Value, json};

/// The engine's word in the documents' words: what the state does not allow is 400, with the engine's sentence.
fn start_fault(error: Error) -> Fault {
    let message = error.message().to_owned();
    match error.kind() {
        // The documents have no punctuation after it.
        Kind::State if message.starts_with("No contacts found") => Fault::refused("No contacts found"),
        Kind::State => Fault::refused(message),
        Kind::Closed => Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "Background task system unavailable"),
        _ => error.into(),
    }
}

/// A moment in a sentence: `2024-02-15 09:00:00 UTC`.
fn spoken(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Starts a campaign: at once, or at its moment. Goes on with a paused one.
#[utoipa::path(post, path = "/api/v1/campaigns/{campaign_id}/start", operation_id = "start_campaign", tag = "lifecycle",
    params(("campaign_id" = i64, Path, description = "The campaign")),
    responses((status = 200, description = "The campaign, and what happens now", body = Started)))]
pub(crate) async fn start(State(state): State<AppState>, own: Own) -> Reply {
    // A start that was set before and whose moment has passed meanwhile is said to be late instead of done at once.
    if own.record.status == CampaignStatus::Draft
        && let Err(error) = own.record.spec.schedule.validate(state.now())
    {
        return Err(Fault::refused(error.message()).into());
    }
    let record = state.engine().start(own.id()).await.map_err(start_fault)?;
    let shown = show(&state, &record).await?;
    let mut reply = json!({
        "success": true,
        "message": "Campaign execution started immediately",
        "task_id": format!("campaign-{}-run-{}", record.id, record.run.number),
        "campaign_id": record.id,
        // The documents answer so for either start; how the campaign stands by now is beside it.
        "status": "scheduled",
        "current_status": record.status,
    });
    if let Some(at) = record.run.next_start {
        reply["message"] = format!("Campaign scheduled for {}", spoken(at)).into();
        reply["scheduled_time"] = present::moment(at).into();
    }
    Ok(axum::Json(present::with(shown, reply)))
}

async fn replied(state: &AppState, record: CampaignRecord, message: &str) -> Reply {
    let shown = show(state, &record).await?;
    Ok(axum::Json(present::with(shown, json!({ "success": true, "message": message, "campaign_id": record.id }))))
}

/// Holds a running campaign; calls in progress go on to their end.
#[utoipa::path(post, path = "/api/v1/campaigns/{campaign_id}/pause", operation_id = "pause_campaign", tag = "lifecycle",
    params(("campaign_id" = i64, Path, description = "The campaign")),
    responses((status = 200, description = "The campaign, and a message", body = CampaignReply)))]
pub(crate) async fn pause(State(state): State<AppState>, own: Own) -> Reply {
    let record = state.engine().pause(own.id()).await.map_err(|error| only(error, "Campaign is not running"))?;
    replied(&state, record, "Campaign paused successfully").await
}

fn only(error: Error, message: &str) -> Fault {
    if error.kind() == Kind::State { Fault::refused(message) } else { error.into() }
}

/// Lets a paused campaign go on.
#[utoipa::path(post, path = "/api/v1/campaigns/{campaign_id}/resume", operation_id = "resume_campaign", tag = "lifecycle",
    params(("campaign_id" = i64, Path, description = "The campaign")),
    responses((status = 200, description = "The campaign, and a message", body = CampaignReply)))]
pub(crate) async fn resume(State(state): State<AppState>, own: Own) -> Reply {
    let record = state.engine().resume(own.id()).await.map_err(|error| only(error, "Campaign is not paused"))?;
    replied(&state, record, "Campaign resumed successfully").await
}

/// Ends a campaign: contacts that wait become `cancelled`, calls in progress go on to their end.
#[utoipa::path(post, path = "/api/v1/campaigns/{campaign_id}/stop", operation_id = "stop_campaign", tag = "lifecycle",
    params(("campaign_id" = i64, Path, description = "The campaign")),
    responses((status = 200, description = "The campaign, and a message", body = CampaignReply)))]
pub(crate) async fn stop(State(state): State<AppState>, own: Own) -> Reply {
    end(state, own, "Campaign stopped successfully").await
}

/// As stop.
#[utoipa::path(post, path = "/api/v1/campaigns/{campaign_id}/cancel", operation_id = "cancel_campaign", tag = "lifecycle",
    params(("campaign_id" = i64, Path, description = "The campaign")),
    responses((status = 200, description = "The campaign, and a message", body = CampaignReply)))]
pub(crate) async fn cancel(State(state): State<AppState>, own: Own) -> Reply {
    end(state, own, "Campaign cancelled successfully").await
}

async fn end(state: AppState, own: Own, message: &str) -> Reply {
    if own.record.status == CampaignStatus::Draft {
        return Err(Fault::refused("Campaign is not running").into());
    }
    state.engine().cancel(own.id()).await.map_err(|error| only(error, "Campaign is not running"))?;
    let record = state.engine().get_campaign(own.id()).await?;
    replied(&state, record, message).await
}

/// Makes an ended campaign ready to reach contacts again.
#[utoipa::path(post, path = "/api/v1/campaigns/{campaign_id}/re-execute", operation_id = "re_execute_campaign", tag = "lifecycle",
    params(("campaign_id" = i64, Path, description = "The campaign")), request_body = ReexecuteInput,
    responses((status = 200, description = "How many contacts were reset, and what follows", body = Reexecuted)))]
pub(crate) async fn re_execute(State(state): State<AppState>, own: Own, body: Option<Json>) -> Reply {
    let mut body = body.map(|Json(body)| body).unwrap_or_default();
    let mut check = Check::new(&body);
    check.object("schedule_settings");
    check.finish()?;
    let selection = body.remove("contact_selection").filter(|value| !value.is_null()).unwrap_or_else(|| "all".into());
    let contacts = wire::reexecution(selection).map_err(|error| Fault {
        fields: vec![FieldFault {
            loc: vec!["body".into(), "contact_selection".into()],
            message: "Input should be 'all', 'failed_only' or a list of contact ids".to_owned(),
            code: "value_error",
        }],
        ..Fault::from(error)
    })?;
    let settings = body.remove("schedule_settings").unwrap_or_default();
    let asked = match settings {
        Value::Object(settings) => settings,
        _ => Object::from_iter([("schedule_type".to_owned(), "immediate".into())]),
    };
    let schedule = read_schedule(asked)?;
    // Looked at before contacts are reset: a start in the past leaves everything as it is.
    schedule.validate(state.now()).map_err(|error| Fault::refused(error.message()))?;
    let engine = state.engine();
    let reset = engine.re_execute(own.id(), contacts).await.map_err(|error| match error.kind() {
        Kind::State => Fault::refused(error.message()),
        _ => error.into(),
    })?;
    let record = engine.schedule(own.id(), schedule).await?;
    let mut reply = json!({
        "success": true,
        "message": format!("Campaign ready for re-execution with {reset} contacts"),
        "campaign_id": record.id,
        "contacts_reset": reset,
        "schedule_type": record.spec.schedule,
        "status": record.status,
    });
    reply["schedule_type"] = kind_of(&record.spec.schedule).into();
    if let Some(at) = record.run.next_start {
        reply["message"] = format!("Campaign scheduled for re-execution at {} with {reset} contacts", spoken(at)).into();
        reply["scheduled_time"] = present::moment(at).into();
    }
    Ok(axum::Json(reply))
}

fn kind_of(schedule: &Schedule) -> &'static str {
    match schedule {
        Schedule::Immediate => "immediate",
        Schedule::Once { .. } => "once",
        Schedule::Recurring { .. } => "recurring",
    }
}

fn read_schedule(arguments: Object) -> Result<Schedule, Fault> {
    let mut check = Check::new(&arguments);
    check
        .zone("timezone", true)
        .object("recurring_config")
        .required("schedule_type")
        .one_of("schedule_type", &["immediate", "scheduled", "once", "recurring"]);
    match arguments.get("schedule_type").and_then(Value::as_str) {
        Some("scheduled" | "once") => check.needed("scheduled_at"),
        Some("recurring") => check.needed("recurring_config"),
        _ => &mut check,
    };
    check.finish()?;
    let schedule = wire::schedule(arguments)?;
    schedule.check()?;
    Ok(schedule)
}

/// When the campaign starts.
#[utoipa::path(get, path = "/api/v1/campaigns/{campaign_id}/schedule", operation_id = "get_schedule", tag = "lifecycle",
    params(("campaign_id" = i64, Path, description = "The campaign")),
    responses((status = 200, description = "The schedule", body = ScheduleObject)))]
pub(crate) async fn get_schedule(own: Own) -> Reply {
    Ok(axum::Json(present::start(&own.record.spec)))
}

/// Sets when the campaign starts. `immediate` takes a start back.
#[utoipa::path(post, path = "/api/v1/campaigns/{campaign_id}/schedule", operation_id = "set_schedule", tag = "lifecycle",
    params(("campaign_id" = i64, Path, description = "The campaign")), request_body = ScheduleInput,
    responses((status = 200, description = "It is saved", body = Saved)))]
pub(crate) async fn set_schedule(State(state): State<AppState>, own: Own, Json(body): Json) -> Reply {
    let mut body = body;
    body.retain(|_, value| !value.is_null());
    let schedule = read_schedule(body.clone())?;
    schedule.validate(state.now()).map_err(|error| Fault::refused(error.message()))?;
    let engine = state.engine();
    engine.schedule(own.id(), schedule).await.map_err(|error| match error.kind() {
        Kind::State => Fault::refused(error.message()),
        _ => error.into(),
    })?;
    let record = engine
        .edit_campaign(own.id(), |spec| {
            let mut spec = spec.clone();
            dialect::remember(&mut spec, Object::from_iter([("schedule".to_owned(), json!([body]))]));
            Ok(spec)
        })
        .await?;
    let mut reply = json!({ "success": true, "message": "Schedule saved", "campaign_id": record.id, "status": record.status });
    if let Some(at) = record.run.next_start {
        reply["scheduled_time"] = present::moment(at).into();
    }
    let Value::Object(schedule) = present::start(&record.spec) else { return Ok(axum::Json(reply)) };
    Ok(axum::Json(present::with(schedule, reply)))
}

/// Takes the start back: a scheduled campaign becomes a draft.
#[utoipa::path(post, path = "/api/v1/campaigns/{campaign_id}/unschedule", operation_id = "unschedule_campaign", tag = "lifecycle",
    params(("campaign_id" = i64, Path, description = "The campaign")),
    responses((status = 200, description = "The campaign, and a message", body = CampaignReply)))]
pub(crate) async fn unschedule(State(state): State<AppState>, own: Own) -> Reply {
    let record = state.engine().unschedule(own.id()).await.map_err(|error| only(error, "Campaign is not scheduled"))?;
    replied(&state, record, "Campaign unscheduled").await
}
