//! `/api/messages/send`.

use super::schema::{AgentMessageInput, AgentMessageSent};
use super::spec::{Purpose, bare, is_whatsapp};
use super::{Reply, ids, single};
use crate::api::request::{Body, Caller, given, wrong};
use crate::api::v1::error::FastApi;
use crate::state::AppState;
use axum::extract::State;
use campaign_core::wire::Object;
use serde_json::{Value, json};

/// Sends one message; over WhatsApp when a number begins with `whatsapp:`.
#[utoipa::path(post, path = "/api/messages/send", operation_id = "send_agent_message", tag = "voice agent", request_body = AgentMessageInput,
    responses((status = 200, description = "It is on its way", body = AgentMessageSent)))]
pub(crate) async fn send(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Body(body, _): Body<FastApi>) -> Reply {
    let text = |name: &'static str| given(&body, name).ok_or_else(|| wrong("body", name, "is required"));
    let (from, to, message) = (text("from")?, text("to")?, text("body")?);
    let kind = if is_whatsapp(from) || is_whatsapp(to) { "whatsapp" } else { "sms" };
    let config = Object::from_iter([("fromNumber".to_owned(), bare(from).into()), ("messageBody".to_owned(), message.into())]);
    let sent = single::send(&state, &principal, Purpose::Message, kind, to, config).await?;
    Ok(axum::Json(json!({
        "success": true,
        "message_sid": sent.reference(),
        "message": if kind == "sms" { "SMS sent successfully" } else { "WhatsApp message sent successfully" },
        "from": Value::from(from),
        "to": to,
        "status": sent.status(),
        "campaign_id": ids::write(sent.record.id.0),
    })))
}
