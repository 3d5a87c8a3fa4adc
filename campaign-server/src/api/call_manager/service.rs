//! `/api/batch-calling`: the service. Its documents know no key; here it needs one like everything else, since a batch belongs to somebody.

use super::batch;
use super::check;
use super::error::{Reply, Service, sentence};
use super::schema::{BatchEnvelope, BatchHealth, BatchInput, BatchWholeEnvelope};
use crate::api::owned::moment;
use crate::api::request::{Body, Caller};
use crate::error::{Failure, Fault};
use crate::state::AppState;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// The answer of both layers to a question after their health.
pub(super) fn healthy(state: &AppState) -> Value {
    json!({ "status": "ok", "timestamp": moment(state.now()), "service": "call-manager" })
}

/// Whether the service answers.
#[utoipa::path(get, path = "/api/batch-calling/health", operation_id = "batch_calling_health", tag = "batch calling", security(()),
    responses((status = 200, description = "It does", body = BatchHealth)))]
pub(crate) async fn health(State(state): State<AppState>) -> axum::Json<Value> {
    axum::Json(healthy(&state))
}

/// No such path, or not for this method: the layers do not tell these apart.
pub(super) fn unknown() -> Response {
    (StatusCode::NOT_FOUND, axum::Json(json!({ "success": false, "error": "Ruta no encontrada" }))).into_response()
}

/// In the words of the service: what it was about, what was said, and the status.
fn said(doing: &str, mut fault: Fault) -> Fault {
    let status = if fault.status == StatusCode::UNPROCESSABLE_ENTITY { StatusCode::BAD_REQUEST } else { fault.status };
    fault.message = format!("Error al {doing}: {} (Status: {})", sentence(&fault), status.as_u16());
    fault.fields.clear();
    fault
}

/// Submits a batch of calls: at once, or at `scheduled_time_unix`.
#[utoipa::path(post, path = "/api/batch-calling/submit", operation_id = "submit_batch", tag = "batch calling", request_body = BatchInput,
    responses((status = 200, description = "The batch", body = BatchEnvelope)))]
pub(crate) async fn submit(State(state): State<AppState>, Caller(principal, _): Caller<Service>, Body(body, _): Body<Service>) -> Response {
    let faults = check::submission(&body);
    if !faults.is_empty() {
        return (StatusCode::BAD_REQUEST, axum::Json(json!({ "success": false, "errors": faults }))).into_response();
    }
    match batch::submit(&state, &principal, &body).await {
        Ok((_, shown)) => axum::Json(json!({ "success": true, "data": shown })).into_response(),
        Err(fault) => Failure::<Service>::from(said("disparar batch de llamadas", fault)).into_response(),
    }
}

/// Cancels a batch: recipients that wait are not called any more.
#[utoipa::path(post, path = "/api/batch-calling/{id}/cancel", operation_id = "cancel_batch", tag = "batch calling",
    params(("id" = String, Path, description = "The batch, `btcal_...`")),
    responses((status = 200, description = "The batch, and a message", body = BatchEnvelope)))]
pub(crate) async fn cancel(State(state): State<AppState>, Caller(principal, _): Caller<Service>, Path(id): Path<String>) -> Reply<Service> {
    let doing = |fault| said("cancelar batch de llamadas", fault);
    let record = batch::by_external(&state, &principal, &id).await.map_err(doing)?;
    let record = batch::cancel(&state, &record).await.map_err(doing)?;
    let progress = state.engine().progress(record.id).await?;
    let shown = batch::show(&state, &record, &progress).await?;
    Ok(axum::Json(json!({ "success": true, "message": "Batch cancelado exitosamente", "data": shown })))
}

/// A batch with its recipients.
#[utoipa::path(get, path = "/api/batch-calling/{id}", operation_id = "get_batch", tag = "batch calling",
    params(("id" = String, Path, description = "The batch, `btcal_...`")),
    responses((status = 200, description = "The batch", body = BatchWholeEnvelope)))]
pub(crate) async fn get(State(state): State<AppState>, Caller(principal, _): Caller<Service>, Path(id): Path<String>) -> Reply<Service> {
    let found = batch::by_external(&state, &principal, &id).await;
    let record = found.map_err(|fault| said("obtener estado del batch", fault))?;
    let (shown, _) = batch::whole(&state, &record).await?;
    Ok(axum::Json(json!({ "success": true, "data": shown })))
}

/// What the service would have said to a cancel that the proxy passed on.
pub(super) fn details(fault: &Fault) -> Value {
    json!({ "success": false, "error": said("cancelar batch de llamadas", fault.clone()).message })
}
