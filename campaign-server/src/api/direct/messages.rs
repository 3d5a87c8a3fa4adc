//! A message: sent, asked for, taken back; and how many wait.

use super::schema::{MessageCancelled, MessageInput, MessageQueued, MessageState, QueueStats};
use super::{KEY, PROVIDER, Reply};
use crate::api::owned::{self, moment};
use crate::api::request::{Caller, Params, given, wrong};
use crate::api::single::{self, reference};
use crate::api::v1::check::Check;
use crate::api::v1::error::{Fail, FastApi};
use crate::auth::Principal;
use crate::error::{Failure, Fault};
use crate::idempotency::{self, Verdict};
use crate::state::AppState;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use campaign_core::campaign::{CallerId, CampaignRecord, CampaignSpec, CampaignStatus, CampaignType, TemplateSyntax};
use campaign_core::contact::ContactStatus;
use campaign_core::id::CampaignId;
use campaign_core::store::{CampaignQuery, Paging};
use campaign_core::wire::Object;
use serde_json::{Value, json};
use uuid::Uuid;

/// The longest message, in characters.
const LONGEST: usize = 1600;
/// The longest key for idempotency.
const LONGEST_KEY: usize = 256;
/// Addresses of pictures and the like in one message.
const MOST_MEDIA: usize = 10;
/// Campaigns by SMS in which failed messages are counted: the newest.
const REMEMBERED: u32 = 1000;
/// In which a message may wait or be under way.
const OPEN: &[CampaignStatus] = &[CampaignStatus::Draft, CampaignStatus::Scheduled, CampaignStatus::Running, CampaignStatus::Paused];
/// Bits of a UUID of version 8 (one's own meaning) beside the 62 that are an id.
const FRAME: u128 = (0x8 << 76) | (0b10 << 62);

/// A message's id: its campaign's, as a UUID.
fn id_of(campaign: CampaignId) -> Uuid {
    Uuid::from_u128(FRAME | (u128::from(campaign.0.unsigned_abs()) & ((1 << 62) - 1)))
}

fn campaign_of(id: &str) -> Option<CampaignId> {
    let bits = Uuid::parse_str(id).ok()?.as_u128() ^ FRAME;
    (bits >> 62 == 0).then(|| i64::try_from(bits).ok().map(CampaignId))?
}

/// Sends one message. It is queued, or with `queue: false` handed over before the answer. `idempotency_key` is as the header of that name,
/// which goes before.
#[utoipa::path(post, path = "/sms/send", operation_id = "send_sms", tag = "single calls and messages", request_body = MessageInput,
    responses((status = 200, description = "It is queued or sent", body = MessageQueued)))]
pub(crate) async fn send(
    State(state): State<AppState>,
    Caller(principal, _): Caller<FastApi>,
    headers: HeaderMap,
    bytes: Result<Bytes, BytesRejection>,
) -> Response {
    let sent = match bytes {
        Ok(bytes) => sent(state, principal, headers, bytes).await,
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(Fault::new(StatusCode::PAYLOAD_TOO_LARGE, "The request body is too large"))
        }
        Err(_) => Err(Fault::refused("There was an error reading the body")),
    };
    sent.unwrap_or_else(|fault| Fail::from(fault).into_response())
}

async fn sent(state: AppState, principal: Principal, mut headers: HeaderMap, bytes: Bytes) -> Result<Response, Fault> {
    let body = match serde_json::from_slice(&bytes) {
        Ok(Value::Object(body)) => body,
        Ok(_) => return Err(Fault::refused("The request body must be a JSON object")),
        Err(_) => return Err(Fault::refused("The request body is not valid JSON")),
    };
    check(&body)?;
    let name = HeaderName::from_static("idempotency-key");
    if let (Some(key), false) = (given(&body, "idempotency_key"), headers.contains_key(&name)) {
        let key = HeaderValue::from_str(key)
            .map_err(|_| crate::api::request::wrong("body", "idempotency_key", "Input should have visible ASCII characters only"))?;
        headers.insert(name, key);
    }
    let fingerprint = || idempotency::digest([b"/sms/send".as_slice(), &bytes]);
    let begun = match idempotency::begin(&state, &headers, &principal, fingerprint).await? {
        Verdict::Plain => None,
        Verdict::First(begun) => Some(begun),
        Verdict::Again(response) => return Ok(response),
    };
    let work = {
        let state = state.clone();
        async move {
            match carry_out(&state, &principal, &body).await {
                Ok(answer) => axum::Json(answer).into_response(),
                Err(fault) => Failure::<FastApi>::from(fault).into_response(),
            }
        }
    };
    Ok(idempotency::to_the_end::<FastApi>(&state, begun, work).await)
}

fn check(body: &Object) -> Result<(), Fault> {
    let mut check = Check::new(body);
    for name in ["from_phone_number", "to_phone_number"] {
        check.required(name).text(name, 1, 64, false);
    }
    check.required("message").text("message", 1, LONGEST, false).list("media_urls", true).text("idempotency_key", 0, LONGEST_KEY, true);
    check.finish()?;
    if body.get("queue").is_some_and(|queue| !queue.is_boolean() && !queue.is_null()) {
        return Err(crate::api::request::wrong("body", "queue", "Input should be a valid boolean"));
    }
    let media = body.get("media_urls").and_then(Value::as_array);
    if media.is_some_and(|media| media.len() > MOST_MEDIA) {
        return Err(crate::api::request::wrong("body", "media_urls", format!("List should have at most {MOST_MEDIA} items")));
    }
    Ok(())
}

async fn carry_out(state: &AppState, principal: &Principal, body: &Object) -> Result<Value, Fault> {
    let text = |name: &str| given(body, name).unwrap_or_default().to_owned();
    let from = single::sender(&text("from_phone_number"), "sms", state.options().default_region.as_deref());
    let from = from.map_err(|message| wrong("body", "from_phone_number", message))?;
    let mut spec = CampaignSpec {
        name: "Message by API".to_owned(),
        campaign_type: CampaignType::Sms,
        organization: principal.organization,
        template_syntax: TemplateSyntax::Brace,
        max_attempts: 1,
        caller_ids: vec![CallerId { number: from, concurrent_limit: None, rate_limit_per_minute: None, calls_per_day: None }],
        ..CampaignSpec::default()
    };
    // The text goes out as it is.
    spec.templates.insert("sms_message".to_owned(), crate::api::request::literal(&text("message")));
    if let Some(media) = body.get("media_urls").filter(|media| media.as_array().is_some_and(|media| !media.is_empty())) {
        spec.dialer_options.insert("media_url".to_owned(), media.clone());
    }
    owned::remember(&mut spec, KEY, Object::from_iter([("purpose".to_owned(), "message".into())]));
    let row = Object::from_iter([("phone_number".to_owned(), text("to_phone_number").into())]);
    let record = single::begin(state, spec, row, "to_phone_number").await?;
    let id = id_of(record.id);
    let queued = body.get("queue").and_then(Value::as_bool).unwrap_or(true);
    if !queued {
        single::handed_over(state, record).await?;
    }
    Ok(json!({
        "success": true,
        "message_id": id,
        "message": format!("SMS {} successfully via {PROVIDER}", if queued { "queued" } else { "sent" }),
        "provider": PROVIDER,
        "status": if queued { "queued" } else { "sent" },
    }))
}

/// A message of the caller's.
async fn own(state: &AppState, principal: &Principal, id: &str) -> Result<CampaignRecord, Fault> {
    let record = owned::one(state, principal, KEY, campaign_of(id).map(|id| id.0), "Message").await?;
    if is_message(&record) { Ok(record) } else { Err(Fault::not_found("Message")) }
}

/// What has become of a message.
struct Known {
    status: &'static str,
    reference: Option<String>,
    error: Option<String>,
    at: jiff::Timestamp,
}

impl Known {
    async fn of(state: &AppState, record: &CampaignRecord) -> Result<Self, Fault> {
        let attempt = owned::attempts(state, record.id, 1, |_| true).await?.into_iter().next();
        let contact = single::contact(state, record).await?;
        let standing = contact.as_ref().map(|contact| contact.state.status);
        let why = contact.and_then(|contact| contact.state.reason).map(|reason| reason.text.to_string());
        let reference = attempt.as_ref().and_then(reference).map(str::to_owned);
        let outcome = attempt.as_ref().and_then(|attempt| attempt.outcome.as_ref());
        let (status, error) = match (standing, outcome) {
            (Some(ContactStatus::Cancelled) | None, _) => ("cancelled", None),
            (Some(ContactStatus::Completed), _) => ("sent", None),
            (Some(status), Some(outcome)) if status.is_terminal() => ("failed", outcome.detail.clone().or(why)),
            (Some(status), None) if status.is_terminal() => ("failed", why),
            (Some(ContactStatus::InProgress), _) => ("sending", None),
            _ => ("queued", None),
        };
        Ok(Self { status, reference, error, at: record.updated_at })
    }
}

async fn shown(state: &AppState, principal: &Principal, id: &str) -> Reply {
    let record = own(state, principal, id).await?;
    let known = Known::of(state, &record).await?;
    Ok(axum::Json(json!({
        "success": true,
        "message_id": id_of(record.id),
        "status": known.status,
        "provider": PROVIDER,
        "provider_message_id": known.reference,
        "error": known.error,
        "updated_at": moment(known.at),
    })))
}

/// What has become of a message.
#[utoipa::path(get, path = "/sms/{message_id}/status", operation_id = "get_sms_status", tag = "single calls and messages",
    params(("message_id" = String, Path, description = "The message")),
    responses((status = 200, description = "Where it is", body = MessageState)))]
pub(crate) async fn status(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Path(id): Path<String>) -> Reply {
    shown(&state, &principal, &id).await
}

/// As `GET /sms/{message_id}/status`, where the published client asks.
#[utoipa::path(get, path = "/sms/status/{message_id}", operation_id = "get_sms_status_of", tag = "single calls and messages",
    params(("message_id" = String, Path, description = "The message")),
    responses((status = 200, description = "Where it is", body = MessageState)))]
pub(crate) async fn status_alias(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Path(id): Path<String>) -> Reply {
    shown(&state, &principal, &id).await
}

async fn taken_back(state: &AppState, principal: &Principal, id: &str) -> Reply {
    let record = own(state, principal, id).await?;
    let before = Known::of(state, &record).await?.status;
    let ended = matches!(record.status, CampaignStatus::Completed | CampaignStatus::Cancelled | CampaignStatus::Failed);
    let after = if before == "queued" && !ended {
        // Between the look and this it may have gone out; what counts is how it stands afterwards.
        match state.engine().cancel(record.id).await {
            Ok(record) => Known::of(state, &record).await?.status,
            Err(error) if error.kind() == campaign_core::Kind::State => Known::of(state, &record).await?.status,
            Err(error) => return Err(error.into()),
        }
    } else {
        before
    };
    if after != "cancelled" {
        return Err(Fault::refused(format!("The message cannot be cancelled; it is {after}")).into());
    }
    Ok(axum::Json(json!({
        "success": true,
        "message_id": id_of(record.id),
        "message": "SMS cancelled successfully",
        "previous_status": before,
        "new_status": after,
    })))
}

/// Takes a message back that nobody has begun to send.
#[utoipa::path(delete, path = "/sms/{message_id}", operation_id = "cancel_sms", tag = "single calls and messages",
    params(("message_id" = String, Path, description = "The message")),
    responses((status = 200, description = "It is not sent", body = MessageCancelled)))]
pub(crate) async fn cancel(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Path(id): Path<String>) -> Reply {
    taken_back(&state, &principal, &id).await
}

/// As `DELETE /sms/{message_id}`, where the published client asks.
#[utoipa::path(post, path = "/sms/cancel/{message_id}", operation_id = "cancel_sms_of", tag = "single calls and messages",
    params(("message_id" = String, Path, description = "The message")),
    responses((status = 200, description = "It is not sent", body = MessageCancelled)))]
pub(crate) async fn cancel_alias(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Path(id): Path<String>) -> Reply {
    taken_back(&state, &principal, &id).await
}

/// The messages that were sent last, the newest first.
async fn newest(state: &AppState, principal: &Principal) -> Result<Vec<CampaignRecord>, Fault> {
    let query = CampaignQuery {
        campaign_type: Some(CampaignType::Sms),
        organization: principal.organization,
        paging: Paging { offset: 0, limit: REMEMBERED },
        count: false,
        ..CampaignQuery::default()
    };
    let mut records = state.engine().list_campaigns(query).await?.items;
    records.retain(is_message);
    Ok(records)
}

fn is_message(record: &CampaignRecord) -> bool {
    owned::remembered(&record.spec, KEY, "purpose").is_some_and(|purpose| purpose == "message")
}

/// How many messages wait, are being sent, and have failed: of these only the last 1,000 campaigns by SMS are looked at, of which each message
/// is one, so that the answer costs the same however many have been sent.
#[utoipa::path(get, path = "/sms/queue/stats", operation_id = "get_sms_queue", tag = "single calls and messages",
    params(("provider" = Option<String>, Query, description = "Only of this provider")),
    responses((status = 200, description = "How many", body = QueueStats)))]
pub(crate) async fn stats(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, params: Params) -> Reply {
    let mut queues = Object::new();
    if params.text("provider").is_none_or(|provider| provider == PROVIDER) {
        let (mut pending, mut active, mut failed) = (0, 0, 0);
        let mut open = owned::all(&state, &principal, KEY, OPEN).await?;
        open.retain(is_message);
        for (_, progress) in state.engine().progress_of(open).await? {
            pending += progress.pending_contacts;
            active += progress.in_progress_contacts;
        }
        for (_, progress) in state.engine().progress_of(newest(&state, &principal).await?).await? {
            failed += progress.failed_contacts;
        }
        queues.insert(PROVIDER.to_owned(), json!({ "pending": pending, "active": active, "failed": failed }));
    }
    Ok(axum::Json(json!({ "timestamp": moment(state.now()), "queues": queues })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_of_campaigns() {
        for campaign in [1, 42, i64::MAX >> 1] {
            let id = id_of(CampaignId(campaign));
            assert_eq!((campaign_of(&id.to_string()), id.get_version_num()), (Some(CampaignId(campaign)), 8));
        }
        for wrong in ["", "7", "00000000-0000-4000-8000-000000000001", "10000000-0000-8000-8000-000000000001"] {
            assert_eq!(campaign_of(wrong), None, "{wrong}");
        }
    }
}
