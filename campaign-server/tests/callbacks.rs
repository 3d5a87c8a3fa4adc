//! What a provider calls by itself: taken when it is signed, refused when not, and shown to whom it belongs.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use campaign_core::dialer::CallbackRequest;
use campaign_core::dialer::twilio::{TwilioConfig, TwilioDialer};
use campaign_server::auth::Scope;
use campaign_tests::vendors::twilio::{ACCOUNT, TOKEN, signed};
use serde_json::{Value, json};
use support::{Answer, Server};

const OURS: &str = "+12125550100";
const PERSON: &str = "+12125550123";

async fn server(base: &str, path: &str) -> Server {
    let mut config = TwilioConfig::new(ACCOUNT, TOKEN).from_number(OURS).public_base_url(base);
    config.callback_path = path.to_owned();
    Server::with("sqlite", TwilioDialer::new(config).unwrap(), |_| {}).await
}

/// Sends a request as a proxy hands it on.
async fn post(server: &Server, path: &str, request: &CallbackRequest) -> Answer {
    let headers: Vec<(&str, &str)> = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    server.send("POST", path, &headers, request.body.clone()).await
}

fn message(sid: &str) -> [(&'static str, String); 5] {
    [
        ("AccountSid", ACCOUNT.to_owned()),
        ("MessageSid", sid.to_owned()),
        ("From", PERSON.to_owned()),
        ("To", OURS.to_owned()),
        ("Body", "When is it?".to_owned()),
    ]
}

fn request(url: &str, fields: &[(&'static str, String)]) -> CallbackRequest {
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    signed(url, &fields)
}

#[tokio::test]
async fn messages_come_in_at_the_documented_addresses() {
    let base = "https://calls.example.org";
    let server = server(base, "/webhooks/twilio/").await;
    let (operator, ours) = (server.key(Scope::Write, None).await, server.key(Scope::Write, Some(1)).await);
    let path = "/webhooks/twilio/sms";
    let good = request(&format!("{base}{path}"), &message("SM00000000000000000000000000000001"));
    // The same message twice is one.
    for _ in 0..2 {
        let answer = post(&server, path, &good).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/xml"));
    }
    let forged =
        CallbackRequest { body: String::from_utf8(good.body.clone()).unwrap().replace("0001", "0002").into_bytes(), ..good.clone() };
    assert_eq!(post(&server, path, &forged).await.status, 403);

    let found = server.call(&operator, "GET", "/api/messages", None).await.json();
    assert_eq!(found["messages"].as_array().unwrap().len(), 1, "{found:#}");
    let conversation = &found["messages"][0];
    assert_eq!((conversation["callerNumber"].as_str(), conversation["agentNumber"].as_str()), (Some(PERSON), Some(OURS)));
    assert_eq!((conversation["status"].as_str(), conversation["message_count"].as_i64()), (Some("received"), Some(1)));
    let said = &conversation["conversation"][0];
    assert_eq!(
        (said["role"].as_str(), said["direction"].as_str(), said["text"].as_str()),
        (Some("user"), Some("inbound"), Some("When is it?"))
    );
    let one = format!("/api/messages/{}", conversation["conversation_id"].as_str().unwrap());
    assert_eq!(&server.call(&operator, "GET", &one, None).await.json()["conversation"], conversation);
    // Nobody of organisation 1 had written to this person.
    assert_eq!(server.call(&ours, "GET", "/api/messages", None).await.json()["messages"], json!([]));
    assert_eq!(server.call(&ours, "GET", &one, None).await.status, 404);
    assert_eq!(server.call(&operator, "GET", "/api/messages/0000", None).await.status, 404);
    assert_eq!(server.call(&operator, "GET", "/api/messages?agent_id=p1", None).await.json()["messages"], json!([]));
}

#[tokio::test]
async fn statuses_are_answered_as_documented() {
    let base = "https://calls.example.org";
    let server = server(base, "/webhooks/twilio/").await;
    let told = async |name: &str, fields: &[(&'static str, String)]| {
        let path = format!("/webhooks/twilio/{name}");
        post(&server, &path, &request(&format!("{base}{path}"), fields)).await
    };
    let call = |more: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
        let call = [("AccountSid", ACCOUNT), ("CallSid", "CA00000000000000000000000000000001"), ("From", OURS), ("To", PERSON)];
        call.iter().chain(more).map(|(name, value)| (*name, (*value).to_owned())).collect()
    };
    let status = told("status", &call(&[("CallStatus", "completed"), ("CallDuration", "3")])).await;
    let expected: Value = json!({ "status": "ok", "message": "Status update processed", "call_sid": "CA00000000000000000000000000000001",
                                  "call_status": "completed" });
    assert_eq!((status.status, status.json()), (200, expected));
    let machine = told("amd-status", &call(&[("AnsweredBy", "machine_end_beep")])).await;
    assert_eq!(
        (machine.status, machine.json()),
        (200, json!({ "status": "ok", "action": "voicemail", "answered_by": "machine_end_beep" }))
    );
    let incoming = told("incoming", &call(&[("CallStatus", "ringing"), ("Direction", "inbound")])).await;
    assert!(incoming.status == 200 && String::from_utf8(incoming.body).unwrap().contains("<Response>"));
}

#[tokio::test]
async fn any_dialer_is_called_below_callbacks() {
    let base = "https://calls.example.org/callbacks";
    let server = server(base, "/twilio/").await;
    let good = request(&format!("{base}/twilio/inbound"), &message("SM00000000000000000000000000000003"));
    assert_eq!(post(&server, "/callbacks/twilio/inbound", &good).await.status, 200);
    assert_eq!(post(&server, "/callbacks/twilio/message", &good).await.status, 403);
    assert_eq!(post(&server, "/callbacks/other", &good).await.status, 404);
    let operator = server.key(Scope::Read, None).await;
    assert_eq!(server.call(&operator, "GET", "/api/messages", None).await.json()["messages"].as_array().unwrap().len(), 1);
}
