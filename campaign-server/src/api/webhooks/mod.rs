//! `/api/v1/webhooks`: who is told of events, and what did not arrive. Everything here needs the scope `admin`, since addresses and events
//! are the whole organisation's.

mod handlers;
mod schema;

use super::protected;
use super::v1::error::FastApi;
use crate::openapi::add_failures;
use crate::state::AppState;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes(state: &AppState) -> OpenApiRouter<AppState> {
    let routes = OpenApiRouter::new()
        .routes(routes!(handlers::list, handlers::create))
        .routes(routes!(handlers::get, handlers::patch, handlers::delete))
        .routes(routes!(handlers::rotate))
        .routes(routes!(handlers::test))
        .routes(routes!(handlers::deliveries))
        .routes(routes!(handlers::replay));
    let mut all = protected::<FastApi>(routes, state);
    add_failures(all.get_openapi_mut(), "Detail", "ValidationError");
    all
}
