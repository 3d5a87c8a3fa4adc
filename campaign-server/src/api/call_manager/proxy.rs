//! `/api/call-manager`: the proxy of a workspace. Batches are named by their internal number, and come with a database record.

use super::error::{Proxy, Reply};
use super::schema::{BatchHealth, BatchInput, ProxyEnvelope, ProxyStatsEnvelope, ProxyStatusEnvelope};
use super::{batch, check, service};
use crate::api::owned::moment;
use crate::api::request::{Body, Caller, Params};
use crate::auth::{Principal, of_spec};
use crate::error::{Failure, Fault, Shape};
use crate::state::AppState;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use campaign_core::campaign::{CampaignRecord, CampaignStatus};
use campaign_core::event::Progress;
use campaign_core::id::CampaignId;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

/// Whether the proxy answers.
#[utoipa::path(get, path = "/api/call-manager/health", operation_id = "call_manager_health", tag = "call manager", security(()),
    responses((status = 200, description = "It does", body = BatchHealth)))]
pub(crate) async fn health(State(state): State<AppState>) -> axum::Json<Value> {
    axum::Json(service::healthy(&state))
}

/// Submits a batch of calls: at once, or at `scheduled_time_unix`.
#[utoipa::path(post, path = "/api/call-manager/submit", operation_id = "submit_call_manager_batch", tag = "call manager",
    request_body = BatchInput, responses((status = 200, description = "The batch and its two ids", body = ProxyEnvelope)))]
pub(crate) async fn submit(State(state): State<AppState>, Caller(principal, _): Caller<Proxy>, Body(body, _): Body<Proxy>) -> Response {
    let blank = |name: &str| match body.get(name) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.trim().is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(_) => false,
    };
    if ["call_name", "agent_id", "agent_phone_number_id", "recipients"].into_iter().any(blank) {
        let fault = Fault::refused("Missing required fields: call_name, agent_id, agent_phone_number_id, recipients");
        return Failure::<Proxy>::from(fault).into_response();
    }
    let faults = check::submission(&body);
    if !faults.is_empty() {
        let fault = Fault::refused(faults[0]["msg"].as_str().unwrap_or_default());
        return passed_on(&fault, json!({ "success": false, "errors": faults }));
    }
    match batch::submit(&state, &principal, &body).await {
        Ok((record, shown)) => axum::Json(json!({ "success": true, "data": {
            "batch_id": record.id,
            "external_batch_id": batch::external_id(&record),
            "call_manager_response": shown,
        }}))
        .into_response(),
        Err(fault) => Failure::<Proxy>::from(fault).into_response(),
    }
}

/// A failure of the service, with what it said.
fn passed_on(fault: &Fault, details: Value) -> Response {
    (Proxy::status(fault), axum::Json(json!({ "success": false, "error": fault.message, "details": details }))).into_response()
}

/// The batch with this internal number. `legacy` is what is said of a campaign that is none.
async fn own(state: &AppState, principal: &Principal, id: &str, legacy: &str) -> Result<(CampaignRecord, String), Fault> {
    let id: i64 = id.parse().map_err(|_| Fault::refused("Invalid batch ID"))?;
    let record = principal.own_campaign(state, CampaignId(id)).await.map_err(|fault| match fault.kind {
        None => Fault::not_found("Batch"),
        Some(_) => fault,
    })?;
    let external = batch::external_id(&record).ok_or_else(|| Fault::refused(legacy))?;
    Ok((record, external))
}

/// Cancels a batch: recipients that wait are not called any more.
#[utoipa::path(post, path = "/api/call-manager/{batchId}/cancel", operation_id = "cancel_call_manager_batch", tag = "call manager",
    params(("batchId" = i64, Path, description = "The batch's internal number")),
    responses((status = 200, description = "The batch", body = ProxyEnvelope)))]
pub(crate) async fn cancel(
    State(state): State<AppState>,
    Caller(principal, _): Caller<Proxy>,
    Path(id): Path<String>,
) -> Result<Response, Failure<Proxy>> {
    let legacy = "Batch does not have external_batch_id (not created with call-manager)";
    let (record, external) = own(&state, &principal, &id, legacy).await?;
    let record = match batch::cancel(&state, &record).await {
        Ok(record) => record,
        Err(fault) => return Ok(passed_on(&fault, service::details(&fault))),
    };
    let progress = state.engine().progress(record.id).await?;
    Ok(axum::Json(json!({ "success": true, "data": {
        "batch_id": record.id,
        "external_batch_id": external,
        "call_manager_response": batch::show(&state, &record, &progress).await?,
    }}))
    .into_response())
}

/// How a batch stands, with its recipients and its database record.
#[utoipa::path(get, path = "/api/call-manager/{batchId}/status", operation_id = "get_call_manager_batch", tag = "call manager",
    params(("batchId" = i64, Path, description = "The batch's internal number")),
    responses((status = 200, description = "The batch", body = ProxyStatusEnvelope)))]
pub(crate) async fn status(State(state): State<AppState>, Caller(principal, _): Caller<Proxy>, Path(id): Path<String>) -> Reply<Proxy> {
    let legacy = "This campaign was not created with the new call-manager system and cannot be managed through this interface.";
    let (record, external) = own(&state, &principal, &id, legacy).await?;
    let (shown, progress) = batch::whole(&state, &record).await?;
    Ok(axum::Json(json!({ "success": true, "data": {
        "batch_id": record.id,
        "external_batch_id": external,
        "call_manager_response": shown,
        "database_record": database_record(&record, &progress, &shown),
    }})))
}

/// The row that the documents keep of a batch.
fn database_record(record: &CampaignRecord, progress: &Progress, shown: &Value) -> Value {
    let total = batch::scheduled(record, progress);
    let rejected = total - (progress.total_contacts + progress.skipped_contacts + progress.cancelled_contacts);
    let scheduled = record.status == CampaignStatus::Scheduled || shown["scheduled_time_unix"] != shown["created_at_unix"];
    json!({
        "id": record.id,
        "workspace_id": of_spec(&record.spec),
        "name": record.spec.name,
        "phone_external_id": shown["phone_number_id"],
        "agent_external_id": shown["agent_id"],
        "status": shown["status"],
        "total_recipients": total,
        "processed_recipients": batch::processed(progress) + rejected,
        "file_url": null,
        "campaign_id": record.id,
        "external_batch_id": shown["id"],
        "phone_provider": shown["phone_provider"],
        "scheduled_time": if scheduled { shown["scheduled_time_unix"].clone() } else { Value::Null },
        "created_at": moment(record.created_at),
        "updated_at": moment(record.updated_at),
        "expires_at": null,
    })
}

/// How the recipients of all batches ended, of those created between two dates.
#[utoipa::path(get, path = "/api/call-manager/dashboard/recipients-stats", operation_id = "get_recipients_stats", tag = "call manager",
    params(
        ("start_date" = Option<String>, Query, description = "The first day, or a moment"),
        ("end_date" = Option<String>, Query, description = "The last day, or a moment"),
    ),
    responses((status = 200, description = "The figures", body = ProxyStatsEnvelope)))]
pub(crate) async fn recipients_stats(State(state): State<AppState>, Caller(principal, _): Caller<Proxy>, params: Params) -> Reply<Proxy> {
    let from = params.text("start_date").map(|text| bound(text, false)).transpose()?;
    let to = params.text("end_date").map(|text| bound(text, true)).transpose()?;
    let totals = batch::totals(&state, &principal, from, to).await?;
    let percent = |part: u64| if totals.total == 0 { 0 } else { (part * 200 + totals.total) / (totals.total * 2) };
    Ok(axum::Json(json!({ "success": true, "data": {
        "total_recipients": totals.total,
        "completed": totals.completed,
        "failed": totals.failed,
        "pending": totals.pending,
        "in_progress": totals.in_progress,
        "voicemail": totals.voicemail,
        "success_rate": percent(totals.completed),
        "failure_rate": percent(totals.failed),
    }})))
}

/// A moment; of a day its beginning, or the beginning of the next.
fn bound(text: &str, end: bool) -> Result<Timestamp, Fault> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let wrong = || Fault::refused("start_date and end_date must be dates, YYYY-MM-DD");
    let day: Date = text.parse().map_err(|_| wrong())?;
    let day = if end { day.tomorrow().map_err(|_| wrong())? } else { day };
    day.to_zoned(TimeZone::UTC).map(|at| at.timestamp()).map_err(|_| wrong())
}
