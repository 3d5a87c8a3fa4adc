//! API 1: `/api/v1/campaigns`, the do-not-contact list `/api/v1/dnc`, and the WebSockets under `/ws/campaigns`.
//!
//! | file | what is in it |
//! |---|---|
//! | `error`, `extract`, `check` | the shape of errors; whose campaign it is; what bodies and queries may hold |
//! | `dialect`, `present` | from bodies to the engine's arguments, and from its records to answers |
//! | `campaigns`, `lifecycle` | create, read, change, delete; start, stop, schedule |
//! | `contacts`, `imports`, `dnc` | contacts, files of them, numbers that must not be contacted |
//! | `progress`, `templates` | counters and executions; previews |
//! | `socket`, `messages` | live progress |
//! | `schema` | bodies for the OpenAPI document |

mod campaigns;
pub(crate) mod check;
mod contacts;
mod dialect;
mod dnc;
pub(crate) mod error;
mod extract;
mod imports;
mod lifecycle;
mod messages;
mod present;
mod progress;
mod schema;
mod socket;
mod templates;

use super::{protected, protected_upload};
use crate::idempotency::LooksItself;
use crate::openapi::add_failures;
use crate::state::AppState;
use axum::Extension;
use error::FastApi;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes(state: &AppState) -> OpenApiRouter<AppState> {
    let ordinary = OpenApiRouter::new()
        .routes(routes!(campaigns::list, campaigns::create))
        .routes(routes!(campaigns::get, campaigns::put, campaigns::patch, campaigns::delete))
        .routes(routes!(lifecycle::start))
        .routes(routes!(lifecycle::pause))
        .routes(routes!(lifecycle::resume))
        .routes(routes!(lifecycle::stop))
        .routes(routes!(lifecycle::cancel))
        .routes(routes!(lifecycle::re_execute))
        .routes(routes!(lifecycle::get_schedule, lifecycle::set_schedule))
        .routes(routes!(lifecycle::unschedule))
        .routes(routes!(contacts::list, contacts::add))
        .routes(routes!(contacts::remove))
        .routes(routes!(imports::get))
        .routes(routes!(progress::progress))
        .routes(routes!(progress::executions))
        .routes(routes!(templates::preview))
        .routes(routes!(templates::preview_of))
        .routes(routes!(dnc::list, dnc::add, dnc::remove))
        .routes(routes!(socket::connections));
    let uploads = OpenApiRouter::new().routes(routes!(imports::import_data)).routes(routes!(imports::import_contacts));
    let uploads = protected_upload::<FastApi>(uploads, state).route_layer(Extension(LooksItself));
    // WebSockets say themselves who is there, after they were opened: a refused upgrade has no close code.
    let sockets = OpenApiRouter::new().routes(routes!(socket::watch)).routes(routes!(socket::monitor));
    let mut all = protected::<FastApi>(ordinary, state).merge(uploads).merge(sockets);
    let document = all.get_openapi_mut();
    document.merge(error::Errors::openapi());
    add_failures(document, "Detail", "ValidationError");
    all
}
