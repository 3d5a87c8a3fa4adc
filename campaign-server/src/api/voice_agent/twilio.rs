//! `/webhooks/twilio/...`: what Twilio calls by itself.
//!
//! The dialer knows its provider's signature and what its callbacks mean, so everything is handed to it; that of Twilio serves these paths
//! beside its own. Without one, they are answered as the documents say, and nothing is done: without the signature nobody knows who called.

use crate::api::callbacks::{self, SILENCE};
use crate::api::direct::schema::TwilioForm;
use crate::state::AppState;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use campaign_core::dialer::CallbackResponse;
use campaign_core::store::{AttemptQuery, Paging};
use serde_json::json;
use std::collections::HashMap;

/// Nobody takes calls here.
const REFUSAL: &str = r#"<?xml version="1.0" encoding="UTF-8"?><Response><Reject/></Response>"#;

/// Takes a callback of Twilio: `sms`, `whatsapp`, `incoming`, `status`, `amd-status`, and whatever the dialer has told Twilio to call.
#[utoipa::path(post, path = "/webhooks/twilio/{name}", operation_id = "twilio_callback", tag = "callbacks", security(()),
    params(("name" = String, Path, description = "What it is about")),
    request_body(content = TwilioForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "It is taken: TwiML for messages and calls, JSON for statuses"),
        (status = 204, description = "It is taken"),
        (status = 400, description = "It cannot be read"),
        (status = 403, description = "It is not signed by Twilio"),
        (status = 404, description = "There is no such callback"),
        (status = 413, description = "It is too large"),
        (status = 503, description = "It cannot be taken now; send it again"),
    ))]
pub(crate) async fn callback(State(state): State<AppState>, Path(name): Path<String>, request: Request) -> Response {
    let Some(request) = callbacks::read(&state, request).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let body = request.body.clone();
    let answer = state.engine().callback(request).await;
    // Where the dialer has nothing to say, the documents have.
    if !matches!(answer.status, 204 | 404) {
        return callbacks::written(answer);
    }
    let fields: Fields = url::form_urlencoded::parse(&body).into_owned().collect();
    // Only what is signed is looked up.
    let leaves = match (answer.status, name.as_str(), fields.get("CallSid")) {
        (204, "amd-status", Some(sid)) => leaves_message(&state, sid).await,
        _ => None,
    };
    documented(&name, &fields, answer.status, leaves.unwrap_or(true))
}

/// The fields of a form.
type Fields = HashMap<String, String>;

/// Whether a machine that answers this call hears a message; `None` for a call that nobody here knows.
async fn leaves_message(state: &AppState, sid: &str) -> Option<bool> {
    let paging = Paging { offset: 0, limit: 1 };
    let query = AttemptQuery { provider_ref: Some(sid.to_owned()), paging, count: false, ..AttemptQuery::default() };
    let attempt = state.engine().executions(query).await.ok()?.items.into_iter().next()?;
    let record = state.engine().get_campaign(attempt.campaign).await.ok()?;
    Some(record.spec.voicemail.leave_voicemail)
}

/// The documents' answer, where the dialer has none of its own (204) or is none of Twilio's (404). `leaves`: a machine hears a message.
fn documented(name: &str, fields: &Fields, status: u16, leaves: bool) -> Response {
    let field = |name: &str| fields.get(name).map(String::as_str);
    match name {
        "sms" | "whatsapp" => callbacks::written(CallbackResponse::xml(SILENCE)),
        "incoming" => callbacks::written(CallbackResponse::xml(REFUSAL)),
        "status" => {
            let mut told = json!({ "status": "ok", "message": "Status update processed" });
            let of_message = field("CallSid").is_none() && field("MessageSid").is_some();
            let named = if of_message {
                [("message_sid", "MessageSid"), ("message_status", "MessageStatus")]
            } else {
                [("call_sid", "CallSid"), ("call_status", "CallStatus")]
            };
            for (name, theirs) in named {
                told[name] = field(theirs).into();
            }
            axum::Json(told).into_response()
        }
        "amd-status" => {
            let answered = field("AnsweredBy").unwrap_or("unknown");
            let action = match answered {
                "fax" => "hangup",
                machine if machine.starts_with("machine") && leaves => "voicemail",
                machine if machine.starts_with("machine") => "hangup",
                _ => "continue",
            };
            axum::Json(json!({ "status": "ok", "action": action, "answered_by": answered })).into_response()
        }
        _ if status == 204 => StatusCode::NO_CONTENT.into_response(),
        _ => (StatusCode::NOT_FOUND, axum::Json(json!({ "detail": "Not Found" }))).into_response(),
    }
}
