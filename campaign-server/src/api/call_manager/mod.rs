//! API 3: batches of calls, in the two layers that clients know: `/api/call-manager`, the proxy of a workspace, and `/api/batch-calling`,
//! the service behind it.
//!
//! A batch is a call campaign of the engine, a recipient one of its contacts. The engine calls one by one, so its limits, its do-not-contact
//! list and its recovery hold for batches as for everything else; which line and which agent a call goes through is handed to the dialer
//! in `dialer_options`. The internal number of a batch is the campaign's, and its outer id ([`ids`]) holds that number as well.
//!
//! | file | what is in it |
//! |---|---|
//! | `proxy`, `service` | the two layers |
//! | `batch`, `recipients` | batches and recipients, as campaigns and contacts and back |
//! | `check` | what the service says of bodies, in its own words |
//! | `ids` | `btcal_...` |
//! | `error`, `schema` | shapes of errors; bodies for the OpenAPI document |

mod batch;
mod check;
mod error;
mod ids;
mod proxy;
mod recipients;
mod schema;
mod service;

use super::protected_with;
use crate::openapi::add_failures;
use crate::state::AppState;
use axum::response::Response;
use error::{Proxy, Service};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Where the layers are.
const LAYERS: [&str; 2] = ["/api/call-manager", "/api/batch-calling"];
/// Bytes of a body that the proxy takes.
const PROXY_BYTES: usize = 10 << 20;
/// Bytes of a body that the service takes.
const SERVICE_BYTES: usize = 100 << 20;

/// What is answered to a request that no route takes, when its path is one of these layers.
pub(crate) fn unknown(path: &str) -> Option<Response> {
    let below = |layer: &str| path.strip_prefix(layer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    LAYERS.into_iter().any(below).then(service::unknown)
}

pub(crate) fn routes(state: &AppState) -> OpenApiRouter<AppState> {
    let time = state.options().request_timeout;
    let proxy = OpenApiRouter::new()
        .routes(routes!(proxy::submit))
        .routes(routes!(proxy::cancel))
        .routes(routes!(proxy::status))
        .routes(routes!(proxy::recipients_stats));
    let service = OpenApiRouter::new().routes(routes!(service::submit)).routes(routes!(service::cancel)).routes(routes!(service::get));
    let open = OpenApiRouter::new().routes(routes!(proxy::health)).routes(routes!(service::health));
    let mut all = protected_with::<Proxy>(proxy, state, PROXY_BYTES, time, |routes| routes)
        .merge(protected_with::<Service>(service, state, SERVICE_BYTES, time, |routes| routes))
        .merge(open);
    let document = all.get_openapi_mut();
    document.merge(error::Errors::openapi());
    add_failures(document, "BatchError", "BatchError");
    all
}
