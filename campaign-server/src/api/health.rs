//! Whether the server lives, and whether it can work.

use super::owned::moment;
use crate::state::AppState;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

/// That the process answers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `ok`.
    status: &'static str,
    /// The version of the server.
    version: &'static str,
    /// Now, by the server's clock.
    timestamp: String,
    /// The name under which clients of the call manager know the server: `call-manager`.
    service: &'static str,
}

/// Whether work can be done.
#[derive(Serialize, ToSchema)]
pub(crate) struct Ready {
    /// `ready` or `unavailable`.
    status: &'static str,
    /// Live nodes on the store; null when the store cannot be read.
    nodes: Option<usize>,
}

/// The process lives. Asks nobody else, so that a busy store does not get the process restarted.
#[utoipa::path(get, path = "/health", tag = "operations", security(()), responses((status = 200, description = "Alive", body = Health)))]
pub(crate) async fn health(State(state): State<AppState>) -> Json<Health> {
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION"), timestamp: moment(state.now()), service: "call-manager" })
}

/// The store answers and a node executes.
#[utoipa::path(get, path = "/ready", tag = "operations", security(()),
    responses((status = 200, description = "Ready", body = Ready), (status = 503, description = "Not ready", body = Ready)))]
pub(crate) async fn ready(State(state): State<AppState>) -> (StatusCode, Json<Ready>) {
    match state.engine().nodes().await {
        Ok(nodes) if !nodes.is_empty() => (StatusCode::OK, Json(Ready { status: "ready", nodes: Some(nodes.len()) })),
        Ok(_) => (StatusCode::SERVICE_UNAVAILABLE, Json(Ready { status: "unavailable", nodes: Some(0) })),
        Err(error) => {
            tracing::warn!(%error, "not ready: the store cannot be read");
            (StatusCode::SERVICE_UNAVAILABLE, Json(Ready { status: "unavailable", nodes: None }))
        }
    }
}
