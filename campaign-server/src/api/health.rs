//! Whether the server lives, and whether it can work.

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
pub(crate) async fn health() -> Json<Health> {
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") })
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
