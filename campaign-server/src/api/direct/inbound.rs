//! Messages of people, where a provider sends them.

use super::schema::TwilioForm;
use crate::api::callbacks::{self, SILENCE};
use crate::state::AppState;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use campaign_core::dialer::{CallbackResponse, InboundMessage};
use campaign_core::outcome::Channel;
use campaign_core::phone::PhoneNumber;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;

/// Addresses of pictures and the like in one message.
const MOST_MEDIA: usize = 10;

/// Takes a message that a person sent, from Twilio: it becomes part of its conversation, opt-outs are heeded, and webhooks are told
/// `message.received`. It is signed by Twilio.
#[utoipa::path(post, path = "/webhooks/sms/{provider}", operation_id = "receive_sms", tag = "callbacks", security(()),
    params(("provider" = String, Path, description = "`twilio`")),
    request_body(content = TwilioForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "It is taken; the TwiML says nothing", content_type = "text/xml"),
        (status = 400, description = "It cannot be read"),
        (status = 403, description = "It is not signed by Twilio"),
        (status = 404, description = "Messages of this provider are not taken here"),
        (status = 413, description = "It is too large"),
        (status = 503, description = "It cannot be taken now; send it again"),
    ))]
pub(crate) async fn take(State(state): State<AppState>, Path(provider): Path<String>, request: Request) -> Response {
    if provider != "twilio" {
        return (StatusCode::NOT_FOUND, axum::Json(json!({ "detail": "Not Found" }))).into_response();
    }
    let Some(request) = callbacks::read(&state, request).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    if !state.engine().is_signed(&request) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let message = match read(&request.body) {
        Ok(Some(message)) => message,
        // From something that is no number; there is nobody to be answered.
        Ok(None) => return callbacks::written(CallbackResponse::xml(SILENCE)),
        Err(()) => return StatusCode::BAD_REQUEST.into_response(),
    };
    match state.engine().receive_message(message).await {
        Ok(_) => callbacks::written(CallbackResponse::xml(SILENCE)),
        Err(error) => {
            // Twilio sends it again, and the same message twice is one.
            tracing::error!(%error, "a message could not be taken");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

/// A message in Twilio's form.
fn read(body: &[u8]) -> Result<Option<InboundMessage>, ()> {
    let fields: HashMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
    let text = |name: &str| fields.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
    let plain = |number: &str| number.trim_start_matches("whatsapp:").to_owned();
    let (Some(sid), Some(from), Some(to)) = (text("MessageSid").or(text("SmsSid")), text("From"), text("To")) else { return Err(()) };
    let channel = if from.starts_with("whatsapp:") { Channel::WhatsApp } else { Channel::Sms };
    let Ok(person) = PhoneNumber::parse(&plain(from), None) else { return Ok(None) };
    let media = (0..MOST_MEDIA).map_while(|index| fields.get(&format!("MediaUrl{index}")).cloned()).collect();
    Ok(Some(InboundMessage {
        provider_ref: sid.to_owned(),
        channel,
        from: person,
        to: Arc::from(plain(to)),
        text: fields.get("Body").cloned().unwrap_or_default(),
        media,
        keyword: None,
        // With advanced opt-out the messaging service answers the words itself, and says so.
        confirmed_by_carrier: text("OptOutType").is_some(),
        data: Default::default(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read() {
        let message =
            read(b"MessageSid=SM1&From=whatsapp%3A%2B12125550123&To=whatsapp%3A%2B12125550124&Body=Hi+you&MediaUrl0=https%3A%2F%2Fx");
        let message = message.unwrap().unwrap();
        assert_eq!((message.channel, message.from.as_str(), &*message.to), (Channel::WhatsApp, "+12125550123", "+12125550124"));
        assert_eq!((message.text.as_str(), message.media.len()), ("Hi you", 1));
        assert!(read(b"MessageSid=SM1&From=12345&To=%2B12125550124").unwrap().is_none());
        assert!(read(b"From=%2B12125550123&To=%2B12125550124").is_err());
    }
}
