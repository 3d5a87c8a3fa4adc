//! Single calls and messages, beside API 1: `/calls/initiate`, `/sms/...`, and the address that Twilio sends messages of people to.
//!
//! A call or message is a campaign of one contact; what the engine has no place for is kept in the campaign's metadata ([`KEY`]).
//!
//! | file | what is in it |
//! |---|---|
//! | `calls` | a call that is placed at once |
//! | `messages` | a message: sent, asked for, taken back; how many wait |
//! | `inbound` | messages of people |
//! | `schema` | bodies for the OpenAPI document |

mod calls;
mod inbound;
mod messages;
pub(super) mod schema;

use super::v1::error::FastApi;
use super::{callbacks, owned, protected};
use crate::idempotency::LooksItself;
use crate::openapi::add_failures;
use crate::state::AppState;
use axum::Extension;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The key of the metadata that is this API's own.
const KEY: &str = owned::KEYS[3];
/// Whoever carries it: which carrier that is, is the engine's matter.
const PROVIDER: &str = "engine";

/// What handlers of this API answer.
type Reply = Result<axum::Json<serde_json::Value>, super::v1::error::Fail>;

pub(crate) fn routes(state: &AppState) -> OpenApiRouter<AppState> {
    let ordinary = OpenApiRouter::new()
        .routes(routes!(calls::initiate))
        .routes(routes!(messages::status))
        .routes(routes!(messages::status_alias))
        .routes(routes!(messages::cancel))
        .routes(routes!(messages::cancel_alias))
        .routes(routes!(messages::stats));
    // Its key for idempotency may be in the body.
    let sending = protected::<FastApi>(OpenApiRouter::new().routes(routes!(messages::send)), state).route_layer(Extension(LooksItself));
    let hooks = callbacks::limited(OpenApiRouter::new().routes(routes!(inbound::take)), state);
    let mut all = protected::<FastApi>(ordinary, state).merge(sending).merge(hooks);
    add_failures(all.get_openapi_mut(), "Detail", "ValidationError");
    all
}
