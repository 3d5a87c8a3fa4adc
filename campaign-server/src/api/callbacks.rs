//! `/callbacks/...`: what providers call by themselves, for whatever dialer the engine has.
//!
//! The paths are the dialer's own, below `/callbacks`: with the public base URL `https://example.org/callbacks` a dialer names the addresses
//! that come in here. Requests prove themselves by their signatures, which the dialer checks; no key is asked for.

use super::relay;
use crate::limits;
use crate::state::AppState;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{DefaultBodyLimit, OriginalUri, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use campaign_core::dialer::{CallbackRequest, CallbackResponse};
use utoipa_axum::router::OpenApiRouter;

/// TwiML without an answer to a message: what is to be said is sent as a message of its own.
pub(super) const SILENCE: &str = r#"<?xml version="1.0" encoding="UTF-8"?><Response></Response>"#;

pub(crate) fn routes(state: &AppState) -> OpenApiRouter<AppState> {
    limited(OpenApiRouter::new().route("/callbacks/{*path}", any(take)), state)
}

/// The limits of routes that providers call.
pub(super) fn limited(routes: OpenApiRouter<AppState>, state: &AppState) -> OpenApiRouter<AppState> {
    let options = state.options();
    routes
        .route_layer(DefaultBodyLimit::max(options.max_body_bytes))
        .route_layer(limits::body_idle(options))
        .route_layer(limits::time(options.request_timeout))
}

/// Takes a callback of the provider. Not in the OpenAPI document: its shape is the provider's. A WebSocket is that of its relay.
async fn take(
    State(state): State<AppState>,
    upgrade: std::result::Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    request: Request,
) -> Response {
    if let Ok(upgrade) = upgrade {
        return relay::open(state, upgrade, &request);
    }
    match read(&state, request).await {
        Some(request) => written(state.engine().callback(request).await),
        None => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
    }
}

/// A request as dialers read it, with the address as it came in: signatures cover that. `None` when its body is too large.
pub(super) async fn read(state: &AppState, request: Request) -> Option<CallbackRequest> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, state.options().max_body_bytes).await.ok()?;
    let url = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri).to_string();
    let headers = parts.headers.iter().filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
    Some(CallbackRequest { method: parts.method.to_string(), url, headers: headers.collect(), body: body.to_vec() })
}

/// What the engine answers, as it goes back.
pub(super) fn written(answer: CallbackResponse) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, answer.body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    response
}
