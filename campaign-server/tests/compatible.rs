//! Every documented request and answer of the compatible APIs (voice campaigns, call manager, voice agent), replayed against a real server
//! on each store; and that nobody sees what is another's.
//!
//! The conversations are data, `tests/compatible/*.json`; `support/replay.rs` says how they are written.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use campaign_core::dialer::{Capabilities, DialContext, DialError, DialRequest, Dialer, FindRequest, Found};
use campaign_core::id::CampaignId;
use campaign_core::outcome::Outcome;
use campaign_core::{Error, Kind};
use campaign_server::auth::Scope;
use serde_json::{Value, json};
use support::replay::replay_on;
use support::{Prompt, Server};
use tokio::sync::watch;

async fn replayed(store: &str, conversation: &str) {
    replay_on(Server::with(store, Prompt, |_| {}).await, conversation).await;
}

macro_rules! contracts {
    ($($name:ident),*) => {
        mod sqlite {
            $(#[tokio::test] async fn $name() { super::replayed("sqlite", include_str!(concat!("compatible/", stringify!($name), ".json"))).await })*
        }
        mod postgres {
            $(#[tokio::test] async fn $name() { super::replayed("postgres", include_str!(concat!("compatible/", stringify!($name), ".json"))).await })*
        }
        #[test]
        fn every_conversation_is_replayed() {
            let known = [$(concat!(stringify!($name), ".json")),*];
            for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/compatible")).unwrap() {
                let name = file.unwrap().file_name().into_string().unwrap();
                assert!(known.contains(&name.as_str()), "{name} is not replayed");
            }
        }
    };
}

contracts!(
    voice_campaigns,
    voice_leads,
    voice_reports,
    voice_refusals,
    call_manager,
    batch_calling,
    agent_campaigns,
    contact_lists,
    agent_single,
    direct
);

/// What organisation 7 has, by path; organisation 8 is told that there is no such thing.
async fn belongings(server: &Server, key: &str) -> Vec<String> {
    let post = async |path: &str, body: Value| {
        let answer = server.call(key, "POST", path, Some(&body)).await;
        assert!(answer.status < 300, "{path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    };
    let campaign = post(
        "/api/voice-campaigns",
        json!({"name": "n", "status": "draft", "calls_per_day": 5, "calling_hours_start": "00:00",
        "calling_hours_end": "24:00", "system_prompt": "p", "script_template": "s"}),
    )
    .await["id"]
        .clone();
    let lead = post("/api/voice-leads", json!({"campaign_id": campaign, "phone": "+12125550123"})).await["data"]["id"].clone();
    let batch = json!({"call_name": "n", "agent_id": "a", "agent_phone_number_id": "p", "recipients": [{"phone_number": "+34631021622"}],
        "scheduled_time_unix": 4_000_000_000_i64});
    let batch = post("/api/call-manager/submit", batch).await["data"].clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let agent =
        text(&post("/api/campaigns", json!({"name": "n", "type": "voice", "phone_numbers": ["+12125550123"]})).await["campaign_id"]);
    let list = text(&post("/api/contact-lists", json!({"name": "n"})).await["list_id"]);
    let call = json!({"toPhoneNumbers": ["+12125550123"], "scheduledDateTime": "2090-01-01T00:00:00Z"});
    let call = text(&post("/api/scheduled-calls", call).await["campaign_id"]);
    vec![
        format!("/api/voice-campaigns/{campaign}"),
        format!("/api/voice-campaigns/{campaign}/stats"),
        format!("/api/voice-leads/{lead}"),
        format!("/api/voice-leads/campaign/{campaign}"),
        format!("/api/call-manager/{}/status", batch["batch_id"]),
        format!("/api/batch-calling/{}", text(&batch["external_batch_id"])),
        format!("/api/campaigns/{agent}"),
        format!("/api/campaigns/{agent}/executions"),
        format!("/api/contact-lists/{list}"),
        format!("/api/contact-lists/{list}/contacts"),
        format!("/api/scheduled-calls/{call}"),
    ]
}

#[tokio::test]
async fn nobody_sees_what_is_anothers() {
    let server = Server::on("sqlite").await;
    let (ours, theirs) = (server.key(Scope::Write, Some(7)).await, server.key(Scope::Write, Some(8)).await);
    for path in belongings(&server, &ours).await {
        assert_eq!(server.call(&ours, "GET", &path, None).await.status, 200, "{path}");
        assert_eq!(server.call(&theirs, "GET", &path, None).await.status, 404, "{path}");
    }
    for (path, pointer) in [
        ("/api/voice-campaigns", ""),
        ("/api/voice-campaigns/company/7", "/data"),
        ("/api/voice-leads/company/7", ""),
        ("/api/campaigns", "/campaigns"),
        ("/api/campaign-executions", "/executions"),
        ("/api/contact-lists", "/lists"),
        ("/api/scheduled-calls", "/scheduled_calls"),
        ("/api/calls", "/calls"),
        ("/api/phones", "/phones"),
    ] {
        let found = server.call(&theirs, "GET", path, None).await.json();
        assert_eq!(found.pointer(pointer).unwrap(), &json!([]), "{path}");
    }
}

#[tokio::test]
async fn each_api_shows_its_own_campaigns_only() {
    let server = Server::on("sqlite").await;
    let key = server.key(Scope::Write, Some(7)).await;
    belongings(&server, &key).await;
    let many = async |path: &str, pointer: &str| {
        server.call(&key, "GET", path, None).await.json().pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len)
    };
    assert_eq!((many("/api/voice-campaigns", "").await, many("/api/campaigns", "/campaigns").await), (1, 1));
    assert_eq!(many("/api/v1/campaigns", "/campaigns").await, 4);
}

#[tokio::test]
async fn what_an_api_keeps_to_itself_is_not_shown_by_another() {
    let server = Server::on("sqlite").await;
    let key = server.key(Scope::Write, Some(7)).await;
    let body = json!({"name": "n", "status": "draft", "calls_per_day": 5, "calling_hours_start": "00:00", "calling_hours_end": "24:00",
        "system_prompt": "p", "script_template": "s", "webhook_url": "https://hooks.example.com", "webhook_secret": "a-secret"});
    let id = server.call(&key, "POST", "/api/voice-campaigns", Some(&body)).await.json()["id"].clone();
    let path = format!("/api/v1/campaigns/{id}");
    let patch = json!({"metadata": {"voice_campaigns": null, "ours": 1}});
    let changed = server.call(&key, "PATCH", &path, Some(&patch)).await.json();
    assert_eq!(changed["metadata"], json!({"ours": 1}));
    let shown = server.call(&key, "GET", &format!("/api/voice-campaigns/{id}"), None).await;
    assert!(!String::from_utf8(shown.body.clone()).unwrap().contains("a-secret"));
    assert_eq!(shown.json()["webhook_secret_set"], true);
}

#[tokio::test]
async fn keys_are_needed_and_their_scopes_hold() {
    let server = Server::on("sqlite").await;
    let reads = server.key(Scope::Read, Some(7)).await;
    for (path, expected) in [
        ("/api/voice-campaigns", json!({"error": "No valid authentication token provided", "message": "Authentication required"})),
        ("/api/call-manager/1/status", json!({"error": "Missing authorization token"})),
        ("/api/batch-calling/x", json!({"success": false, "error": "Missing authorization token"})),
        ("/api/campaigns", json!({"detail": "Not authenticated"})),
    ] {
        let answer = server.send("GET", path, &[], "").await;
        assert_eq!((answer.status, answer.json()), (401, expected), "{path}");
    }
    for path in ["/api/voice-campaigns", "/api/call-manager/submit", "/api/batch-calling/submit", "/api/campaigns", "/api/contact-lists"] {
        assert_eq!(server.call(&reads, "POST", path, Some(&json!({}))).await.status, 403, "{path}");
    }
}

#[tokio::test]
async fn an_hour_of_a_key_has_a_thousand_requests() {
    let server = Server::on("sqlite").await;
    let (busy, calm) = (server.key(Scope::Read, Some(7)).await, server.key(Scope::Read, Some(7)).await);
    for left in (0..1000).rev() {
        let answer = server.call(&busy, "GET", "/api/voice-campaigns/1", None).await;
        assert_eq!((answer.status, answer.headers["x-ratelimit-remaining"].to_str().unwrap()), (404, left.to_string().as_str()));
    }
    let answer = server.call(&busy, "GET", "/api/voice-campaigns", None).await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (429, Some("Rate limit exceeded")));
    assert!(answer.headers["retry-after"].to_str().unwrap().parse::<u32>().unwrap() <= 3600);
    assert_eq!(server.call(&calm, "GET", "/api/voice-campaigns", None).await.status, 200);
    assert_eq!(server.call(&busy, "GET", "/api/v1/campaigns", None).await.status, 200);
}

#[tokio::test]
async fn a_spent_budget_pauses_the_campaign() {
    let server = Server::with("sqlite", Prompt, |_| {}).await;
    let key = server.key(Scope::Write, Some(7)).await;
    let body = json!({"name": "n", "status": "draft", "calls_per_day": 50, "calling_hours_start": "00:00", "calling_hours_end": "24:00",
        "system_prompt": "p", "script_template": "Hello {customer_name}", "budget": 1.0, "cost_per_call": 0.5});
    let id = server.call(&key, "POST", "/api/voice-campaigns", Some(&body)).await.json()["id"].clone();
    for last in 0..4 {
        let lead = json!({"campaign_id": id, "phone": format!("+1212555012{last}")});
        assert_eq!(server.call(&key, "POST", "/api/voice-leads", Some(&lead)).await.status, 201);
    }
    let mut events = server.engine.events(CampaignId(id.as_i64().unwrap())).await.unwrap();
    assert_eq!(server.call(&key, "POST", &format!("/api/voice-campaigns/{id}/start"), None).await.status, 200);
    while let Some(event) = events.next().await {
        if let campaign_core::event::EventKind::StatusChanged { to: campaign_core::campaign::CampaignStatus::Paused, .. } = event.kind {
            break;
        }
    }
    let stats = server.call(&key, "GET", &format!("/api/voice-campaigns/{id}/stats"), None).await.json();
    assert_eq!((stats["total_cost"].as_f64(), stats["remaining_budget"].as_f64()), (Some(1.0), Some(0.0)));
    let campaign = server.call(&key, "GET", &format!("/api/voice-campaigns/{id}"), None).await.json();
    assert_eq!(campaign["status"], "paused");
}

/// Calls that last until the test ends them.
struct Lasting(watch::Sender<bool>);

#[campaign_core::async_trait]
impl Dialer for Lasting {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn dial(&self, request: DialRequest, context: DialContext) -> Result<Outcome, DialError> {
        let reference = format!("ref-{}", request.attempt_id);
        context.placed(reference.clone()).await.map_err(DialError::InDoubt)?;
        drop(self.0.subscribe().wait_for(|over| *over).await);
        Ok(Outcome::answered(12).with_provider_ref(reference))
    }

    async fn find(&self, _: FindRequest) -> campaign_core::Result<Found> {
        Ok(Found::Unknown)
    }
}

/// A voice campaign with one lead that has been started, with these fields besides what it needs.
async fn started(server: &Server, key: &str, more: &Value) -> i64 {
    let mut body = json!({"name": "n", "status": "draft", "calls_per_day": 50, "calling_hours_start": "00:00", "calling_hours_end": "24:00",
        "system_prompt": "p", "script_template": "Hello {customer_name}"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let id = server.call(key, "POST", "/api/voice-campaigns", Some(&body)).await.json()["id"].as_i64().unwrap();
    let lead = json!({"campaign_id": id, "phone": "+12125550123"});
    assert_eq!(server.call(key, "POST", "/api/voice-leads", Some(&lead)).await.status, 201);
    assert_eq!(server.call(key, "POST", &format!("/api/voice-campaigns/{id}/start"), None).await.status, 200);
    id
}

#[tokio::test]
async fn a_delete_that_is_refused_changes_nothing() {
    let over = watch::Sender::new(false);
    let server = Server::with("sqlite", Lasting(over.clone()), |_| {}).await;
    let key = server.key(Scope::Write, Some(7)).await;
    let id = started(&server, &key, &json!({})).await;
    while server.engine.progress(CampaignId(id)).await.unwrap().in_progress_contacts == 0 {
        tokio::task::yield_now().await;
    }
    let path = format!("/api/voice-campaigns/{id}");
    let refused = server.call(&key, "DELETE", &path, None).await;
    assert_eq!(refused.status, 400);
    assert!(refused.json()["error"].as_str().unwrap().starts_with("Calls of the campaign are in progress"));
    assert_eq!(server.call(&key, "GET", &path, None).await.json()["status"], "active");
    over.send_replace(true);
    server.engine.wait(CampaignId(id)).await.unwrap();
    assert_eq!(server.call(&key, "GET", &path, None).await.json()["successful_calls"], 1);
    assert_eq!(server.call(&key, "DELETE", &path, None).await.status, 200);
    assert_eq!(server.call(&key, "GET", &path, None).await.status, 404);
}

#[tokio::test]
async fn an_active_campaign_without_a_call_in_progress_is_deleted() {
    let server = Server::with("sqlite", Prompt, |_| {}).await;
    let key = server.key(Scope::Write, Some(7)).await;
    // It waits for a day that is today nowhere on earth.
    let day = (server.engine.now() + jiff::SignedDuration::from_hours(72)).to_zoned(jiff::tz::TimeZone::UTC).strftime("%A").to_string();
    let id = started(&server, &key, &json!({"working_days": [day]})).await;
    let path = format!("/api/voice-campaigns/{id}");
    assert_eq!(server.call(&key, "GET", &path, None).await.json()["status"], "active");
    assert_eq!(server.call(&key, "DELETE", &path, None).await.status, 200);
    assert_eq!(server.call(&key, "GET", &path, None).await.status, 404);
}

#[tokio::test]
async fn the_last_day_of_a_listing_is_part_of_it() {
    let server = Server::on("sqlite").await;
    let key = server.key(Scope::Write, Some(7)).await;
    belongings(&server, &key).await;
    let found = server.call(&key, "GET", "/api/voice-campaigns/company/7", None).await.json();
    let day: jiff::civil::Date = found["data"][0]["created_at"].as_str().unwrap()[..10].parse().unwrap();
    for (query, many) in [
        (format!("end_date={day}"), 1),
        (format!("start_date={day}&end_date={day}"), 1),
        (format!("end_date={}", day.yesterday().unwrap()), 0),
        (format!("start_date={}", day.tomorrow().unwrap()), 0),
    ] {
        let found = server.call(&key, "GET", &format!("/api/voice-campaigns/company/7?{query}"), None).await.json();
        assert_eq!(found["total"], many, "{query}");
    }
}

#[tokio::test]
async fn every_answer_says_how_many_requests_are_left() {
    let server = Server::on("sqlite").await;
    let reads = server.key(Scope::Read, Some(7)).await;
    let left = |answer: &support::Answer| answer.headers["x-ratelimit-remaining"].to_str().unwrap().to_owned();
    let nobody = server.send("GET", "/api/voice-campaigns", &[], "").await;
    assert_eq!((nobody.status, left(&nobody).as_str()), (401, "1000"));
    let lost = server.send("GET", "/api/voice-campaigns/1/nothing", &[], "").await;
    assert_eq!((lost.status, lost.json()["error"].as_str(), left(&lost).as_str()), (404, Some("Not found"), "1000"));
    for (method, path, status, remaining) in [
        ("POST", "/api/voice-campaigns", 403, "999"),
        ("GET", "/api/voice-leads/campaign/1/nothing", 404, "998"),
        ("DELETE", "/api/voice-campaigns", 405, "997"),
        ("GET", "/api/voice-campaigns", 200, "996"),
    ] {
        let answer = server.call(&reads, method, path, None).await;
        assert_eq!((answer.status, left(&answer).as_str()), (status, remaining), "{method} {path}");
    }
    // Others write what is not there as they do.
    let other = server.send("GET", "/api/nothing", &[], "").await;
    assert_eq!((other.status, other.json()), (404, json!({"detail": "Not Found"})));
    assert!(!other.headers.contains_key("x-ratelimit-limit"));
}

/// A carrier that takes nothing.
struct Refusing;

#[campaign_core::async_trait]
impl Dialer for Refusing {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn dial(&self, _: DialRequest, _: DialContext) -> Result<Outcome, DialError> {
        Err(DialError::Permanent(Error::new(Kind::Provider, "no such line")))
    }

    async fn find(&self, _: FindRequest) -> campaign_core::Result<Found> {
        Ok(Found::NeverHappened)
    }
}

#[tokio::test]
async fn a_batch_nobody_could_be_called_for_has_failed() {
    let server = Server::with("sqlite", Refusing, |_| {}).await;
    let key = server.key(Scope::Write, Some(7)).await;
    let body = json!({"call_name": "n", "agent_id": "a", "agent_phone_number_id": "p", "recipients": [{"phone_number": "+34631021622"}]});
    let id = server.call(&key, "POST", "/api/call-manager/submit", Some(&body)).await.json()["data"]["batch_id"].as_i64().unwrap();
    server.engine.wait(CampaignId(id)).await.unwrap();
    let found = server.call(&key, "GET", &format!("/api/call-manager/{id}/status"), None).await.json()["data"].clone();
    let batch = &found["call_manager_response"];
    assert_eq!((&batch["status"], &found["database_record"]["status"]), (&json!("failed"), &json!("failed")), "{found:#}");
    assert_eq!((&batch["total_calls_dispatched"], &batch["total_calls_scheduled"]), (&json!(0), &json!(1)));
    assert_eq!(batch["recipients"][0]["status"], "failed");
}

#[tokio::test]
async fn registered_numbers_are_called_at_the_public_url() {
    for public in [Some("https://calls.example.org/campaigns/"), None] {
        let server = Server::with("sqlite", Prompt, |options| options.public_url = public.map(str::to_owned)).await;
        let key = server.key(Scope::Write, Some(7)).await;
        let answer = server.call(&key, "POST", "/api/phones/register", Some(&json!({"phoneNumber": "+12125550123"}))).await;
        // Without a public URL it is the host that was called.
        let base = public.map_or_else(|| format!("https://{}/", server.address), str::to_owned);
        assert_eq!(answer.json()["webhookConfiguration"]["smsWebhookUrl"], format!("{base}webhooks/twilio/sms"));
    }
}

#[tokio::test]
async fn twilio_is_answered_as_documented() {
    let server = Server::on("sqlite").await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    for name in ["sms", "whatsapp"] {
        let body = "MessageSid=SM1&From=%2B12125550123&To=%2B12125550124&Body=Hi";
        let answer = server.send("POST", &format!("/webhooks/twilio/{name}"), &form, body).await;
        let text = String::from_utf8(answer.body).unwrap();
        assert_eq!((answer.status, text.as_str()), (200, r#"<?xml version="1.0" encoding="UTF-8"?><Response></Response>"#));
        assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/xml"));
    }
    let status = server.send("POST", "/webhooks/twilio/status", &form, "CallSid=CA1&CallStatus=completed&CallDuration=3").await.json();
    assert_eq!(status, json!({"status": "ok", "message": "Status update processed", "call_sid": "CA1", "call_status": "completed"}));
    let status = server.send("POST", "/webhooks/twilio/status", &form, "MessageSid=SM1&MessageStatus=delivered").await.json();
    let told = json!({"status": "ok", "message": "Status update processed", "message_sid": "SM1", "message_status": "delivered"});
    assert_eq!(status, told);
    for (answered, action) in [("human", "continue"), ("unknown", "continue"), ("machine_end_beep", "voicemail"), ("fax", "hangup")] {
        let body = format!("CallSid=CA1&AnsweredBy={answered}");
        let found = server.send("POST", "/webhooks/twilio/amd-status", &form, body).await.json();
        assert_eq!(found, json!({"status": "ok", "action": action, "answered_by": answered}));
    }
    assert_eq!(server.send("POST", "/webhooks/twilio/other", &form, "").await.status, 404);
}

#[tokio::test]
async fn an_upload_that_is_sent_again_happens_once() {
    let server = Server::on("sqlite").await;
    let key = server.key(Scope::Write, Some(7)).await;
    let list = server.call(&key, "POST", "/api/contact-lists", Some(&json!({"name": "n"}))).await.json()["list_id"].clone();
    let path = format!("/api/contact-lists/{}/upload", list.as_str().unwrap());
    let (kind, body) = support::form(&[("file", Some("a.csv"), b"phone\n+12125550123\n")]);
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("content-type", kind.as_str()), ("idempotency-key", "once")];
    let first = server.send("POST", &path, &headers, body.clone()).await;
    let again = server.send("POST", &path, &headers, body).await;
    assert_eq!((first.status, first.json()), (again.status, again.json()));
    assert_eq!((first.json()["result"]["added"].as_i64(), again.headers["idempotency-replayed"].to_str().unwrap()), (Some(1), "true"));
}
