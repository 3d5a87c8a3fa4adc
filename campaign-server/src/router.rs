//! All routes together.

use crate::api;
use crate::limits;
use crate::metrics;
use crate::openapi;
use crate::options::ServerOptions;
use crate::state::AppState;
use crate::telemetry;
use axum::Router;
use campaign_core::Engine;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::normalize_path::NormalizePathLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Everything the server serves, as a router that any axum service can nest or merge.
///
/// It has no state of its own beyond the engine's store: two routers over one store, in one process or in several, agree.
///
/// ```
/// use campaign_core::{Engine, dialer::SimulatedDialer, store::MemoryStore};
/// use campaign_server::{Access, ServerOptions, router};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> campaign_core::Result<()> {
/// let engine = Engine::builder().store(MemoryStore::new()).dialer(SimulatedDialer::instant()).build().await?;
/// let options = ServerOptions::default().with(|options| options.access = Access::Open { organization: Some(1) });
/// let service: axum::Router = axum::Router::new().nest("/campaigns", router(engine, options));
/// # Ok(()) }
/// ```
pub fn router(engine: Engine, options: ServerOptions) -> Router {
    let state = AppState::new(engine, options);
    with_state(state)
}

/// As [`router`], over a state that the caller keeps.
pub(crate) fn with_state(state: AppState) -> Router {
    let (routes, document) = parts_with(&state);
    let options = state.options().clone();
    let inner = routes
        .route_layer(axum::middleware::from_fn_with_state(state.clone(), metrics::count))
        .with_state(state.clone())
        .merge(openapi::routes(&document))
        .fallback(api::not_found)
        .method_not_allowed_fallback(api::not_allowed)
        .layer(CatchPanicLayer::custom(api::panicked))
        .layer(axum::middleware::from_fn_with_state(state, api::voice_rate::around))
        // Around everything that answers, so that what no route answers and what panicked has a span, too.
        .layer(axum::middleware::from_fn(telemetry::trace));
    // A path with a slash at its end is the same path. Redirects would not do: the published client follows none.
    let both = ServiceBuilder::new().layer(NormalizePathLayer::trim_trailing_slash()).service(inner);
    limits::headers(Router::new().fallback_service(both), &options)
}

/// The routes and their document. The document does not depend on the state, so any will do.
fn parts_with(state: &AppState) -> (Router<AppState>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(openapi::frame()).merge(operations()).merge(api::routes(state)).split_for_parts()
}

fn operations() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(api::health::health)).routes(routes!(api::health::ready)).routes(routes!(metrics::metrics))
}
