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
//! | `messages`, `calls`, `scheduled` | campaigns of one contact; messages, calls, calls at a time |
//! | `chat` | a conversation with the assistant in a browser |
//! | `phones`, `twilio` | numbers, and what Twilio calls |
//! | `schema` | bodies for the OpenAPI document |

mod calls;
mod campaigns;
mod chat;
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
mod spec;
mod twilio;
mod uploads;

use super::single;
use super::v1::error::FastApi;
use super::{callbacks, files, protected, protected_with, relay};
use crate::auth::Principal;
use crate::error::Fault;
use crate::openapi::add_failures;
use crate::state::AppState;
use campaign_core::wire::Object;
use serde_json::Value;
use spec::{Given, Here, Purpose};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What handlers of this API answer. Its errors are those of API 1, which comes from the same kind of framework.
type Reply = Result<axum::Json<serde_json::Value>, super::v1::error::Fail>;

/// Sends one message, or begins one call, and waits until the provider has it.
///
/// # Errors
/// 422 for a number that is none, 400 when it may not be contacted or the provider does not take it.
async fn send(
    state: &AppState,
    principal: &Principal,
    purpose: Purpose,
    kind: &str,
    to: &str,
    config: Object,
) -> Result<single::Sent, Fault> {
    let name = format!("{} by API", if purpose == Purpose::Call { "Call" } else { "Message" });
    let campaign = Given { purpose, name: &name, kind, config, organization: principal.organization, places: spec::SINGLE };
    let spec = spec::make(campaign, Here::of(state))?;
    let row = Object::from_iter([("phone_number".to_owned(), Value::from(spec::bare(to)))]);
    let record = single::begin(state, spec, row, "to").await?;
    single::handed_over(state, record).await
}

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
        .routes(routes!(scheduled::get, scheduled::delete))
        .routes(routes!(chat::list, chat::start))
        .routes(routes!(chat::end))
        .routes(routes!(chat::delete));
    // A WebSocket says itself who is there, after it was opened: a refused upgrade has no close code.
    let sockets = OpenApiRouter::new().routes(routes!(chat::socket::plain)).routes(routes!(chat::socket::named));
    let uploads = OpenApiRouter::new().routes(routes!(uploads::numbers)).routes(routes!(uploads::add)).routes(routes!(uploads::remove));
    // These prove themselves by Twilio's signature, which the dialer looks at.
    let hooks = callbacks::limited(OpenApiRouter::new().routes(routes!(twilio::callback)).routes(routes!(relay::stream)), state);
    let uploads = protected_with::<FastApi>(uploads, state, files::MOST + (1 << 20), options.upload_timeout, |routes| routes);
    let mut all = protected::<FastApi>(ordinary, state).merge(uploads).merge(hooks).merge(sockets);
    add_failures(all.get_openapi_mut(), "Detail", "ValidationError");
    all
}
