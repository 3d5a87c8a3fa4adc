//! `/webhooks/twilio/...`: what Twilio calls by itself.
//!
//! The dialer knows its provider's signature and what its callbacks mean, so everything is handed to it. Paths that it does not serve (it
//! is not Twilio's, or listens elsewhere) are answered as the documents say, and nothing is done: without the signature nobody knows who
//! called.

use crate::state::AppState;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use campaign_core::dialer::{CallbackRequest, CallbackResponse};
use serde_json::json;
use std::collections::HashMap;

/// No answer: what is to be said is sent as a message of its own.
const SILENCE: &str = r#"<?xml version="1.0" encoding="UTF-8"?><Response></Response>"#;
/// Nobody takes calls here.
const REFUSAL: &str = r#"<?xml version="1.0" encoding="UTF-8"?><Response><Reject/></Response>"#;

/// Takes a callback of Twilio: `sms`, `whatsapp`, `incoming`, `status`, `amd-status`, and whatever the dialer has told Twilio to call.
#[utoipa::path(post, path = "/webhooks/twilio/{name}", operation_id = "twilio_callback", tag = "callbacks", security(()),
    params(("name" = String, Path, description = "What it is about")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
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
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, state.options().max_body_bytes).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let headers = parts.headers.iter().filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
    let request =
        CallbackRequest { method: parts.method.to_string(), url: parts.uri.to_string(), headers: headers.collect(), body: body.to_vec() };
    let answer = state.engine().callback(request).await;
    if answer.status == 404 { documented(&name, &body) } else { written(answer) }
}

fn written(answer: CallbackResponse) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, answer.body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    response
}

/// The documents' answer, where no dialer of Twilio's listens.
fn documented(name: &str, body: &Bytes) -> Response {
    let fields: HashMap<_, _> = url::form_urlencoded::parse(body).into_owned().collect();
    let field = |name: &str| fields.get(name).map(String::as_str);
    match name {
        "sms" | "whatsapp" => written(CallbackResponse::xml(SILENCE)),
        "incoming" => written(CallbackResponse::xml(REFUSAL)),
        "status" => axum::Json(json!({
            "status": "ok",
            "message": "Status update processed",
            "call_sid": field("CallSid"),
            "call_status": field("CallStatus"),
        }))
        .into_response(),
        "amd-status" => {
            let answered = field("AnsweredBy").unwrap_or("unknown");
            let action = match answered {
                "fax" => "hangup",
                machine if machine.starts_with("machine") => "voicemail",
                _ => "continue",
            };
            axum::Json(json!({ "status": "ok", "action": action, "answered_by": answered })).into_response()
        }
        _ => (StatusCode::NOT_FOUND, axum::Json(json!({ "detail": "Not Found" }))).into_response(),
    }
}
