//! The APIs. Each is a folder that translates between its wire format and the engine, and holds no rule of its own.
//!
//! | folder | paths |
//! |---|---|
//! | `v1` | `/api/v1/campaigns`, `/api/v1/dnc`, `/ws/campaigns` |
//! | `direct` | `/calls`, `/sms`: single calls and messages, beside API 1 |
//! | `callbacks` | `/callbacks`: what providers call by themselves |
//! | `relay` | `/webhooks/twilio/stream`, and any WebSocket below `/callbacks`: the assistant on the telephone |
//! | `webhooks` | `/api/v1/webhooks` |
//! | `voice_campaigns` | `/api/voice-campaigns`, `/api/voice-leads`, `/api/company/voice-leads` |
//! | `call_manager` | `/api/call-manager`, `/api/batch-calling` |
//! | `voice_agent` | `/api/campaigns`, `/api/contact-lists`, `/api/messages`, `/api/calls`, `/api/phones`, `/webhooks/twilio`, ... |
//!
//! The last three are compatible with systems of others. They share `request` (who calls, query, body), `files` (uploads in memory),
//! `owned` (campaigns that an API has made) and `single` (campaigns of one contact).
//!
//! A new API: a folder with `routes(&AppState) -> OpenApiRouter<AppState>`, its own [`crate::error::Shape`], merged below. Its routes get
//! the layers of `protected`: a key, and `Idempotency-Key`.

mod call_manager;
mod callbacks;
mod direct;
mod files;
pub mod health;
mod owned;
mod relay;
mod request;
mod single;
pub mod v1;
mod voice_agent;
mod voice_campaigns;
mod webhooks;

pub(crate) use voice_campaigns::hooks as voice_hooks;
pub(crate) use voice_campaigns::rate as voice_rate;

use crate::auth::guard;
use crate::error::Shape;
use crate::idempotency;
use crate::limits;
use crate::state::AppState;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::http::{Response, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use serde_json::json;
use std::any::Any;
use utoipa_axum::router::OpenApiRouter;

/// The routes of every API.
pub(crate) fn routes(state: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(v1::routes(state))
        .merge(voice_campaigns::routes(state))
        .merge(call_manager::routes(state))
        .merge(voice_agent::routes(state))
        .merge(direct::routes(state))
        .merge(webhooks::routes(state))
        .merge(callbacks::routes(state))
}

/// What stands in front of every route of an API that takes ordinary requests: a key, `Idempotency-Key`, and limits of size and time.
pub(crate) fn protected<S: Shape>(routes: OpenApiRouter<AppState>, state: &AppState) -> OpenApiRouter<AppState> {
    let options = state.options();
    protected_with::<S>(routes, state, options.max_body_bytes, options.request_timeout, |routes| routes)
}

/// As [`protected`], for routes that take files.
pub(crate) fn protected_upload<S: Shape>(routes: OpenApiRouter<AppState>, state: &AppState) -> OpenApiRouter<AppState> {
    let options = state.options();
    protected_with::<S>(routes, state, options.max_upload_bytes, options.upload_timeout, |routes| routes)
}

/// As [`protected`], with limits of its own, and a layer between the key and `Idempotency-Key`.
pub(crate) fn protected_with<S: Shape>(
    routes: OpenApiRouter<AppState>,
    state: &AppState,
    bytes: usize,
    time: std::time::Duration,
    between: impl FnOnce(OpenApiRouter<AppState>) -> OpenApiRouter<AppState>,
) -> OpenApiRouter<AppState> {
    // The last layer is the outermost: time, then the key, then what was answered before.
    between(routes.route_layer(from_fn_with_state(state.clone(), idempotency::layer::<S>)))
        .route_layer(from_fn_with_state(state.clone(), guard::<S>))
        .route_layer(DefaultBodyLimit::max(bytes))
        .route_layer(limits::body_idle(state.options()))
        .route_layer(limits::time(time))
}

/// No such path.
pub(crate) async fn not_found(uri: Uri) -> axum::response::Response {
    let usual = || (StatusCode::NOT_FOUND, axum::Json(json!({ "detail": "Not Found" }))).into_response();
    call_manager::unknown(uri.path()).unwrap_or_else(usual)
}

/// The path is there, but not for this method.
pub(crate) async fn not_allowed(uri: Uri) -> axum::response::Response {
    let usual = || (StatusCode::METHOD_NOT_ALLOWED, axum::Json(json!({ "detail": "Method Not Allowed" }))).into_response();
    call_manager::unknown(uri.path()).unwrap_or_else(usual)
}

/// A handler panicked: a defect of ours that must not take the process along. What it said stays in the log of the panic hook.
pub(crate) fn panicked(_: Box<dyn Any + Send + 'static>) -> Response<Body> {
    tracing::error!("a handler panicked");
    (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(json!({ "detail": "Internal server error" }))).into_response()
}
