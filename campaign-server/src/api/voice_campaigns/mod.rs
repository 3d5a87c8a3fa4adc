//! API 2: `/api/voice-campaigns`, with the people it calls under `/api/voice-leads` and `/api/company/voice-leads`.
//!
//! A voice campaign is a call campaign of the engine, a lead one of its contacts. What the engine has no place for is kept in the
//! campaign's metadata ([`fields::KEY`]) and in the contact's variables. Only campaigns made here are shown here.
//!
//! | file | what is in it |
//! |---|---|
//! | `error`, `rate` | the shape of errors; 1000 requests per hour and key |
//! | `fields`, `present` | from bodies to specs; from records to answers |
//! | `campaigns`, `status`, `stats` | create, read, change, delete; draft, active, paused, completed; figures |
//! | `company`, `reports` | campaigns of a company, and what they came to together |
//! | `hooks` | the four webhooks: addresses, words and signature |
//! | `leads/` | leads: one by one, and from files |
//! | `schema` | bodies for the OpenAPI document |

mod campaigns;
mod company;
mod error;
mod fields;
pub(crate) mod hooks;
mod leads;
mod present;
pub(crate) mod rate;
mod reports;
mod schema;
mod stats;
mod status;

use super::{files, protected_with};
use crate::openapi::add_failures;
use crate::state::AppState;
use error::Voice;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes(state: &AppState) -> OpenApiRouter<AppState> {
    let options = state.options();
    let ordinary = OpenApiRouter::new()
        .routes(routes!(campaigns::list, campaigns::create))
        .routes(routes!(campaigns::get, campaigns::put, campaigns::delete))
        .routes(routes!(status::patch))
        .routes(routes!(status::start))
        .routes(routes!(status::pause))
        .routes(routes!(status::resume))
        .routes(routes!(status::complete))
        .routes(routes!(stats::get))
        .routes(routes!(company::list))
        .routes(routes!(company::stats))
        .routes(routes!(company::active))
        .routes(routes!(reports::performance))
        .routes(routes!(reports::cost_analysis))
        .routes(routes!(leads::single::create))
        .routes(routes!(leads::single::get, leads::single::put, leads::single::delete))
        .routes(routes!(leads::lists::of_company))
        .routes(routes!(leads::lists::of_campaign))
        .routes(routes!(leads::lists::stats))
        .routes(routes!(leads::import::json));
    let uploads = OpenApiRouter::new().routes(routes!(leads::import::file));
    let layer = |routes: OpenApiRouter<AppState>| routes.route_layer(axum::middleware::from_fn_with_state(state.clone(), rate::layer));
    let ordinary = protected_with::<Voice>(ordinary, state, options.max_body_bytes, options.request_timeout, layer);
    let uploads = protected_with::<Voice>(uploads, state, files::MOST + (1 << 20), options.upload_timeout, layer);
    let mut all = ordinary.merge(uploads);
    let document = all.get_openapi_mut();
    document.merge(error::Errors::openapi());
    add_failures(document, "VoiceError", "VoiceError");
    all
}
