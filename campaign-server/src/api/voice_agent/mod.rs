//! API 4, the voice-agent flows: campaigns by call, SMS or WhatsApp, contact lists, single messages and calls, phones, scheduled calls, and
//! the addresses that Twilio calls.
//!
//! A campaign is one of the engine, with one attempt for each number; a single message or call is a campaign of one contact. What the
//! engine has no place for is kept in the campaign's metadata ([`spec::KEY`]). Only campaigns made here are shown here; contact lists are
//! the engine's own, whoever made them.
//!
//! | file | what is in it |
//! |---|---|
//! | `spec`, `present`, `ids` | from bodies to specs; from records to answers; ids of 24 digits |
//! | `campaigns`, `moves`, `executions` | campaigns; start, pause, schedule; what was sent |
//! | `lists`, `list_contacts`, `uploads` | contact lists, who is on them, files |
//! | `single`, `messages`, `calls`, `scheduled` | campaigns of one contact; messages, calls, calls at a time |
//! | `phones`, `twilio` | numbers, and what Twilio calls |
//! | `schema` | bodies for the OpenAPI document |

mod calls;
mod campaigns;
mod executions;
mod ids;
mod list_contacts;
mod lists;
mod messages;
mod moves;
mod phones;
mod present;
mod scheduled;
mod schema;
mod single;
mod spec;
mod twilio;
mod uploads;

use super::v1::error::FastApi;
use super::{callbacks, files, protected, protected_with};
use crate::openapi::add_failures;
use crate::state::AppState;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What handlers of this API answer. Its errors are those of API 1, which comes from the same kind of framework.
type Reply = Result<axum::Json<serde_json::Value>, super::v1::error::Fail>;

pub(crate) fn routes(state: &AppState) -> OpenApiRouter<AppState> {
    let options = state.options();
    let ordinary = OpenApiRouter::new()
        .routes(routes!(campaigns::list, campaigns::create))
        .routes(routes!(campaigns::get, campaigns::delete))
        .routes(routes!(moves::start))
        .routes(routes!(moves::pause))
        .routes(routes!(moves::schedule))
        .routes(routes!(executions::of_campaign))
        .routes(routes!(executions::all))
        .routes(routes!(lists::list, lists::create))
        .routes(routes!(lists::get, lists::put, lists::delete))
        .routes(routes!(list_contacts::list, list_contacts::add))
        .routes(routes!(list_contacts::remove))
        .routes(routes!(messages::send))
        .routes(routes!(messages::list))
        .routes(routes!(messages::get))
        .routes(routes!(calls::outbound))
        .routes(routes!(calls::list))
        .routes(routes!(calls::active))
        .routes(routes!(calls::get))
        .routes(routes!(phones::register))
        .routes(routes!(phones::list))
        .routes(routes!(scheduled::list, scheduled::create))
        .routes(routes!(scheduled::get, scheduled::delete));
    let uploads = OpenApiRouter::new().routes(routes!(uploads::numbers)).routes(routes!(uploads::add)).routes(routes!(uploads::remove));
    // These prove themselves by Twilio's signature, which the dialer looks at.
    let hooks = callbacks::limited(OpenApiRouter::new().routes(routes!(twilio::callback)), state);
    let uploads = protected_with::<FastApi>(uploads, state, files::MOST + (1 << 20), options.upload_timeout, |routes| routes);
    let mut all = protected::<FastApi>(ordinary, state).merge(uploads).merge(hooks);
    add_failures(all.get_openapi_mut(), "Detail", "ValidationError");
    all
}
