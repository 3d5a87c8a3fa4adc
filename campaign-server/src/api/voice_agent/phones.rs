//! `/api/phones`: numbers of one's own, and which addresses Twilio is to call for them.
//!
//! Credentials of the account are not kept: this server calls with those of its dialer.

use super::Reply;
use super::schema::{AgentPhoneInput, AgentPhoneRegistered, AgentPhones};
use crate::api::owned::moment;
use crate::api::request::{Body, Caller, given, wrong};
use crate::api::v1::error::FastApi;
use crate::state::AppState;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use campaign_core::phone::PhoneNumber;
use campaign_core::store::{DocumentQuery, PutDocument};
use serde_json::{Value, json};

/// The collection of documents that hold numbers.
const COLLECTION: &str = "voice_agent_phone";

/// Keys of one organisation stand together.
fn prefix(organization: Option<i64>) -> String {
    format!("{:016}/", organization.unwrap_or(0))
}

/// The addresses that Twilio is to call: below the public URL, or without one on the host that was called here.
fn addresses(public_url: Option<&str>, headers: &HeaderMap) -> Value {
    let host = || headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let base = public_url.map_or_else(|| format!("https://{}", host()), |url| url.trim_end_matches('/').to_owned());
    let at = |name: &str| format!("{base}/webhooks/twilio/{name}");
    json!({
        "incomingUrl": at("incoming"),
        "statusCallbackUrl": at("status"),
        "amdStatusCallbackUrl": at("amd-status"),
        "smsWebhookUrl": at("sms"),
        "whatsappWebhookUrl": at("whatsapp"),
    })
}

/// Registers a number for calls or messages.
#[utoipa::path(post, path = "/api/phones/register", operation_id = "register_agent_phone", tag = "voice agent",
    request_body = AgentPhoneInput, responses((status = 200, description = "Its id, and addresses for Twilio", body = AgentPhoneRegistered)))]
pub(crate) async fn register(
    State(state): State<AppState>,
    Caller(principal, _): Caller<FastApi>,
    headers: HeaderMap,
    Body(body, _): Body<FastApi>,
) -> Reply {
    let number = given(&body, "phoneNumber").ok_or_else(|| wrong("body", "phoneNumber", "is required"))?;
    let number = PhoneNumber::parse(super::spec::bare(number), state.options().default_region.as_deref())
        .map_err(|error| wrong("body", "phoneNumber", error.message()))?;
    let kind = match given(&body, "type") {
        None => "calls",
        Some(kind @ ("calls" | "messages")) => kind,
        Some(_) => return Err(wrong("body", "type", "must be calls or messages").into()),
    };
    let key = format!("{}{}-{kind}", prefix(principal.organization), number.as_str().trim_start_matches('+'));
    let id = super::ids::write(state.engine().store().next_number(COLLECTION.to_owned()).await?);
    let value = json!({
        "id": id,
        "phoneNumber": number,
        "provider": given(&body, "provider").unwrap_or("twilio"),
        "type": kind,
        "twilioAccountSid": given(&body, "twilioAccountSid"),
        "twilioAccountName": given(&body, "twilioAccountName"),
        "isActive": true,
        "created_at": moment(state.now()),
    });
    let known = DocumentQuery { collection: COLLECTION.to_owned(), key: Some(key.clone()), after: None, limit: 1 };
    let id = match state.engine().store().documents(known).await?.into_iter().next() {
        // Registered again: it keeps its id.
        Some(document) => document.value["id"].as_str().unwrap_or(&id).to_owned(),
        None => id,
    };
    let mut value = value;
    value["id"] = id.as_str().into();
    let put = PutDocument { collection: COLLECTION.to_owned(), key, value, expected_revision: None };
    state.engine().store().put_document(put).await?;
    let webhooks = addresses(state.options().public_url.as_deref(), &headers);
    Ok(axum::Json(json!({ "success": true, "phone_id": id, "phoneNumber": number, "webhookConfiguration": webhooks })))
}

/// Numbers that were registered.
#[utoipa::path(get, path = "/api/phones", operation_id = "list_agent_phones", tag = "voice agent",
    responses((status = 200, description = "All of them", body = AgentPhones)))]
pub(crate) async fn list(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>) -> Reply {
    let prefix = principal.organization.map(|id| prefix(Some(id)));
    let mut after = prefix.clone();
    let mut phones = Vec::new();
    'pages: loop {
        let query = DocumentQuery { collection: COLLECTION.to_owned(), key: None, after: after.take(), limit: 1000 };
        let page = state.engine().store().documents(query).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        for document in page {
            if prefix.as_deref().is_some_and(|prefix| !document.key.starts_with(prefix)) {
                break 'pages;
            }
            phones.push(document.value);
        }
    }
    Ok(axum::Json(json!({ "success": true, "phones": phones, "count": phones.len() })))
}
