//! What the simulator answers.

use super::book::{CallState, MessageState, Wish, field};
use super::{ACCOUNT, Fate, Handling, Shared, TOKEN, life};
use crate::vendors::http::{Reply, Request};
use campaign_core::http::signature::base64;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Fields of the request for a call.
const CALL_FIELDS: &[&str] = &[
    "ApplicationSid",
    "AsyncAmd",
    "AsyncAmdStatusCallback",
    "AsyncAmdStatusCallbackMethod",
    "Byoc",
    "CallReason",
    "CallToken",
    "CallerId",
    "ClientNotificationUrl",
    "FallbackMethod",
    "FallbackUrl",
    "From",
    "MachineDetection",
    "MachineDetectionSilenceTimeout",
    "MachineDetectionSpeechEndThreshold",
    "MachineDetectionSpeechThreshold",
    "MachineDetectionTimeout",
    "Method",
    "Record",
    "RecordingChannels",
    "RecordingStatusCallback",
    "RecordingStatusCallbackEvent",
    "RecordingStatusCallbackMethod",
    "RecordingTrack",
    "SendDigits",
    "SipAuthPassword",
    "SipAuthUsername",
    "StatusCallback",
    "StatusCallbackEvent",
    "StatusCallbackMethod",
    "TimeLimit",
    "Timeout",
    "To",
    "Trim",
    "Twiml",
    "Url",
];
/// Fields of the request for a message.
const MESSAGE_FIELDS: &[&str] = &[
    "AddressRetention",
    "ApplicationSid",
    "Attempt",
    "Body",
    "ContentRetention",
    "ContentSid",
    "ContentVariables",
    "ForceDelivery",
    "From",
    "MediaUrl",
    "MessagingServiceSid",
    "PersistentAction",
    "ProvideFeedback",
    "RiskCheck",
    "ScheduleType",
    "SendAsMms",
    "SendAt",
    "ShortenUrls",
    "SmartEncoded",
    "StatusCallback",
    "To",
    "ValidityPeriod",
];
/// Fields that may come more than once.
const REPEATED: &[&str] = &["StatusCallbackEvent", "MediaUrl", "PersistentAction"];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Calls,
    Messages,
}

/// One request.
pub(super) async fn handle(shared: &Arc<Shared>, request: Request) -> Reply {
    let expected = format!("Basic {}", base64(format!("{ACCOUNT}:{TOKEN}").as_bytes()));
    if request.header("authorization") != Some(expected.as_str()) {
        return refused(401, 20003, None);
    }
    let path = request.path().to_owned();
    let Some(rest) = path.strip_prefix(&format!("/2010-04-01/Accounts/{ACCOUNT}/")) else { return refused(404, 20404, None) };
    let (kind, rest) = match rest.split_at(rest.find(['.', '/']).unwrap_or(rest.len())) {
        ("Calls", rest) => (Kind::Calls, rest),
        ("Messages", rest) => (Kind::Messages, rest),
        _ => return refused(404, 20404, None),
    };
    let sid = rest.strip_prefix('/').and_then(|rest| rest.strip_suffix(".json"));
    match (request.method.as_str(), sid) {
        ("POST", None) => create(shared, kind, request.form()).await,
        ("GET", None) => list(shared, kind, &path, &request.query()),
        ("GET", Some(sid)) => fetch(shared, kind, sid),
        ("POST", Some(sid)) if kind == Kind::Calls => update(shared, sid, &request.form()),
        _ => refused(405, 20004, None),
    }
}

fn refused(status: u16, code: u32, retry_after: Option<u32>) -> Reply {
    // Twilio's sentences repeat numbers; ours stands for that.
    let message = "The 'To' number +12025550199 is the matter";
    let body =
        json!({"code": code, "message": message, "more_info": format!("https://www.twilio.com/docs/errors/{code}"), "status": status});
    let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    headers.extend(retry_after.map(|seconds| ("retry-after".to_owned(), seconds.to_string())));
    Reply::Answer { status, headers, body: body.to_string().into_bytes() }
}

async fn create(shared: &Arc<Shared>, kind: Kind, fields: Vec<(String, String)>) -> Reply {
    let now = shared.clock.now();
    let to = field(&fields, "To").unwrap_or_default().to_owned();
    let fate = {
        let mut habits = shared.habits();
        let plain = to.trim_start_matches("whatsapp:").to_owned();
        let own = habits.by_number.get_mut(&plain).and_then(std::collections::VecDeque::pop_front);
        let mut fate = own.unwrap_or_else(|| habits.otherwise.clone());
        match habits.hang_in {
            Some((0, placed)) => (habits.hang_in, fate.handling) = (None, Handling::Hang(placed)),
            Some((left, placed)) => habits.hang_in = Some((left - 1, placed)),
            None => {}
        }
        fate
    };
    let per_second = shared.habits().per_second;
    {
        let mut book = shared.book();
        book.creates += 1;
        if let Some(most) = per_second {
            book.starts.retain(|at| now.duration_since(*at).as_millis() < 1_000);
            if book.starts.len() >= most {
                return refused(429, 20429, Some(1));
            }
            book.starts.push(now);
        }
    }
    if let Handling::Refuse(status, code, retry_after) = fate.handling {
        return refused(status, code, retry_after);
    }
    if let Err(code) = check(shared, kind, &fields) {
        return refused(400, code, None);
    }
    let attempt = super::book::attempt_of(&fields).unwrap_or(0);
    match fate.handling {
        Handling::BreakOff => return Reply::BreakOff,
        Handling::Hang(false) => {
            let _ = shared.hanging.send(attempt);
            return std::future::pending().await;
        }
        _ => {}
    }
    let handling = fate.handling.clone();
    let resource = place(shared, kind, fields, fate);
    match handling {
        Handling::PlaceAndBreakOff => Reply::BreakOff,
        Handling::PlaceAndFail(status) => {
            Reply::Answer { status, headers: Vec::new(), body: b"<html>upstream connect error</html>".to_vec() }
        }
        Handling::Hang(_) => {
            let _ = shared.hanging.send(attempt);
            std::future::pending().await
        }
        _ => Reply::json(201, &resource),
    }
}

/// What Twilio checks before it does anything, as an error code. What it would let pass and we never mean is a complaint.
fn check(shared: &Arc<Shared>, kind: Kind, fields: &[(String, String)]) -> Result<(), u32> {
    let known = if kind == Kind::Calls { CALL_FIELDS } else { MESSAGE_FIELDS };
    let mut book = shared.book();
    for (index, (name, _)) in fields.iter().enumerate() {
        if !known.contains(&name.as_str()) {
            book.complaints.push(format!("unknown field {name}"));
        }
        if !REPEATED.contains(&name.as_str()) && fields[..index].iter().any(|(other, _)| other == name) {
            book.complaints.push(format!("{name} comes twice"));
        }
    }
    let has = |name: &str| field(fields, name).is_some_and(|value| !value.is_empty());
    let number = |name: &str| {
        let number = field(fields, name).unwrap_or_default();
        let digits = number.trim_start_matches("whatsapp:").strip_prefix('+').unwrap_or_default();
        (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0')
    };
    if !number("To") {
        return Err(21211);
    }
    let is_url = |name: &str| field(fields, name).is_none_or(|url| url.starts_with("http://") || url.starts_with("https://"));
    if !is_url("StatusCallback") || !is_url("AsyncAmdStatusCallback") || !is_url("RecordingStatusCallback") {
        return Err(21609);
    }
    let within = |name: &str, range: std::ops::RangeInclusive<u64>| {
        field(fields, name).is_none_or(|value| value.parse().is_ok_and(|value| range.contains(&value)))
    };
    match kind {
        Kind::Calls => {
            if !has("From") {
                return Err(21213);
            }
            if !has("Url") && !has("Twiml") && !has("ApplicationSid") {
                return Err(21205);
            }
            if field(fields, "Twiml").is_some_and(|twiml| twiml.chars().count() > 4_000) {
                return Err(21240);
            }
            let events = fields.iter().filter(|(name, _)| name == "StatusCallbackEvent").map(|(_, event)| event.as_str());
            if events.into_iter().any(|event| !["initiated", "ringing", "answered", "completed"].contains(&event)) {
                return Err(21626);
            }
            if !within("Timeout", 1..=600) || !within("TimeLimit", 1..=86_400) || !within("MachineDetectionTimeout", 3..=59) {
                return Err(20001);
            }
        }
        Kind::Messages => {
            if has("From") == has("MessagingServiceSid") {
                return Err(21603);
            }
            if !has("Body") && !has("MediaUrl") && !has("ContentSid") {
                return Err(21619);
            }
            if has("ContentSid") && (has("Body") || has("MediaUrl")) {
                return Err(21654);
            }
            if field(fields, "Body").is_some_and(|body| body.chars().count() > 1_600) {
                return Err(21617);
            }
            if !within("ValidityPeriod", 1..=36_000) {
                return Err(21624);
            }
            let variables = field(fields, "ContentVariables")
                .is_none_or(|text| serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_object()));
            if !variables {
                return Err(21656);
            }
        }
    }
    Ok(())
}

/// Writes a call or message into the book and lets it live.
fn place(shared: &Arc<Shared>, kind: Kind, fields: Vec<(String, String)>, mut fate: Fate) -> Value {
    let created = shared.clock.now();
    match kind {
        Kind::Calls => {
            let mut book = shared.book();
            let call = CallState {
                sid: book.sid("CA"),
                fields,
                status: "queued".to_owned(),
                created,
                answered: None,
                ended: None,
                answered_by: None,
                sip: None,
                redirects: Vec::new(),
                fate,
                wish: watch::Sender::default(),
            };
            let (resource, sid) = (call.json(created), call.sid.clone());
            book.calls.push(call);
            drop(book);
            life::call(shared, sid);
            resource
        }
        Kind::Messages => {
            let to = field(&fields, "To").unwrap_or_default();
            let shut = to.starts_with("whatsapp:") && field(&fields, "ContentSid").is_none() && !shared.habits().open_windows.contains(to);
            if shut {
                (fate.states, fate.error_code) = (vec![(Duration::from_millis(500), "failed")], Some(63016));
            }
            let mut book = shared.book();
            let message = MessageState {
                sid: book.sid("SM"),
                status: if field(&fields, "MessagingServiceSid").is_some() { "accepted" } else { "queued" }.to_owned(),
                fields,
                created,
                sent: None,
                ended: None,
                error_code: None,
                fate,
            };
            let (resource, sid) = (message.json(created), message.sid.clone());
            book.messages.push(message);
            drop(book);
            life::message(shared, sid);
            resource
        }
    }
}

fn fetch(shared: &Arc<Shared>, kind: Kind, sid: &str) -> Reply {
    let now = shared.clock.now();
    let mut book = shared.book();
    let found = match kind {
        Kind::Calls => book.call(sid).map(|call| call.json(now)),
        Kind::Messages => book.message(sid).map(|message| message.json(now)),
    };
    found.map_or_else(|| refused(404, 20404, None), |resource| Reply::json(200, &resource))
}

/// Newest first, page by page, as Twilio lists.
fn list(shared: &Arc<Shared>, kind: Kind, path: &str, query: &[(String, String)]) -> Reply {
    let now = shared.clock.now();
    let lag = shared.habits().list_lag;
    let book = shared.book();
    let wanted = |fields: &[(String, String)], status: &str, created: jiff::Timestamp| {
        let same = |name: &str| field(query, name).is_none_or(|value| field(fields, name) == Some(value));
        let visible = Duration::try_from(now.duration_since(created)).unwrap_or_default() >= lag;
        same("To") && same("From") && field(query, "Status").is_none_or(|wanted| wanted == status) && visible
    };
    let mut found: Vec<Value> = match kind {
        Kind::Calls => {
            book.calls.iter().filter(|call| wanted(&call.fields, &call.status, call.created)).map(|call| call.json(now)).collect()
        }
        Kind::Messages => book
            .messages
            .iter()
            .filter(|message| wanted(&message.fields, &message.status, message.created))
            .map(|message| message.json(now))
            .collect(),
    };
    found.reverse();
    let number = |name: &str, otherwise: usize| field(query, name).and_then(|value| value.parse().ok()).unwrap_or(otherwise);
    let (size, page) = (number("PageSize", 50).clamp(1, 1_000), number("Page", 0));
    let more = found.len() > size * (page + 1);
    let next = more.then(|| {
        let mut next = url::form_urlencoded::Serializer::new(String::new());
        next.extend_pairs(query.iter().filter(|(name, _)| !["Page", "PageToken", "PageSize"].contains(&name.as_str())));
        next.append_pair("PageSize", &size.to_string()).append_pair("Page", &(page + 1).to_string()).append_pair("PageToken", "PT1");
        format!("{path}?{}", next.finish())
    });
    let entries: Vec<Value> = found.into_iter().skip(size * page).take(size).collect();
    let name = if kind == Kind::Calls { "calls" } else { "messages" };
    let start = size * page;
    let uri = format!("{path}?PageSize={size}&Page={page}");
    Reply::json(
        200,
        &json!({
            name: entries, "page": page, "page_size": size, "start": start, "end": start + entries.len(), "uri": uri,
            "first_page_uri": format!("{path}?PageSize={size}&Page=0"), "next_page_uri": next, "previous_page_uri": null,
        }),
    )
}

fn update(shared: &Arc<Shared>, sid: &str, fields: &[(String, String)]) -> Reply {
    let now = shared.clock.now();
    let mut book = shared.book();
    let Some(call) = book.call(sid) else { return refused(404, 20404, None) };
    let on_the_line = call.status == "in-progress";
    match (field(fields, "Status"), field(fields, "Twiml"), call.ended) {
        (Some(_), _, Some(_)) => {}
        (_, Some(_), Some(_)) => return refused(400, 21220, None),
        // Leaves calls alone that were answered.
        (Some("canceled"), ..) if on_the_line => {}
        (Some("canceled"), ..) => drop(call.wish.send_replace(Wish::End("canceled"))),
        (Some("completed"), ..) if on_the_line => drop(call.wish.send_replace(Wish::End("completed"))),
        (Some("completed"), ..) => drop(call.wish.send_replace(Wish::End("canceled"))),
        (_, Some(_), _) if !on_the_line => return refused(400, 21220, None),
        (_, Some(twiml), _) => {
            call.redirects.push(twiml.to_owned());
            call.wish.send_replace(Wish::Follow(twiml.to_owned()));
        }
        _ => return refused(400, 20001, None),
    }
    let resource = call.json(now);
    Reply::json(200, &resource)
}
