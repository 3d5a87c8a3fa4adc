//! Single messages and the assistant on the telephone: what waits and is taken back, what Twilio sends, and the WebSocket of its relay.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use campaign_core::Engine;
use campaign_core::assistant::{Line, ScriptedAssistant};
use campaign_core::dialer::twilio::{TwilioConfig, TwilioDialer};
use campaign_core::dialer::{CallbackRequest, Callbacks, Capabilities, DialContext, DialError, DialRequest, Dialer, FindRequest, Found};
use campaign_core::engine::ConversationQuery;
use campaign_core::id::CampaignId;
use campaign_core::outcome::Outcome;
use campaign_core::store::{AttemptQuery, Paging};
use campaign_server::auth::Scope;
use campaign_tests::vendors::twilio::{ACCOUNT, TOKEN, signed};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::sync::Arc;
use support::{Server, new_store, on_each_store};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

const BASE: &str = "https://calls.example.org/callbacks";
const PERSON: &str = "+12125550123";
const OURS: &str = "+12125550100";

/// Calls that last until the test ends them, with Twilio's callbacks.
struct Carrier {
    twilio: TwilioDialer,
    over: watch::Sender<bool>,
}

#[campaign_core::async_trait]
impl Dialer for Carrier {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn dial(&self, request: DialRequest, context: DialContext) -> Result<Outcome, DialError> {
        let reference = format!("CA{}", request.attempt_id);
        context.placed(reference.clone()).await.map_err(DialError::InDoubt)?;
        let mut over = self.over.subscribe();
        drop(over.wait_for(|over| *over).await);
        Ok(Outcome::answered(12).with_provider_ref(reference))
    }

    async fn find(&self, _: FindRequest) -> campaign_core::Result<Found> {
        Ok(Found::Unknown)
    }

    fn callbacks(&self) -> Option<&dyn Callbacks> {
        self.twilio.callbacks()
    }
}

async fn server(store: &str, assistant: Option<Arc<ScriptedAssistant>>) -> (Server, watch::Sender<bool>) {
    let config = TwilioConfig::new(ACCOUNT, TOKEN).from_number(OURS).public_base_url(BASE);
    let over = watch::Sender::new(false);
    let dialer = Carrier { twilio: TwilioDialer::new(config).unwrap(), over: over.clone() };
    // The carrier takes one call or message at a time.
    let (store, folder) = new_store(store).await;
    let mut builder = Engine::builder().shared_store(store).dialer(dialer).options(|options| options.max_in_flight = Some(1));
    if let Some(assistant) = assistant {
        builder = builder.shared_assistant(assistant);
    }
    (Server::over(builder.build().await.unwrap(), Some(folder), |_| {}).await, over)
}

/// Opens the relay's WebSocket as Twilio does, or says with which status it was refused.
async fn opened(server: &Server, url: &str) -> Result<WebSocketStream<TcpStream>, u16> {
    let request: CallbackRequest = signed(url, &[]);
    let signature = request.header("x-twilio-signature").unwrap().to_owned();
    let path = url.splitn(4, '/').nth(3).unwrap();
    match server.try_socket(&format!("/{path}"), &[("x-twilio-signature", &signature)]).await {
        Ok(socket) => Ok(socket),
        Err(Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> Result<Value, u16> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Close(frame))) => return Err(frame.map_or(1005, |frame| frame.code.into())),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Err(1006),
        }
    }
}

async fn say(socket: &mut WebSocketStream<TcpStream>, frame: Value) {
    socket.send(Message::text(frame.to_string())).await.unwrap();
}

fn setup(attempt: &str) -> Value {
    json!({ "type": "setup", "sessionId": "VX1", "callSid": "CA1", "from": OURS, "to": PERSON, "direction": "outbound-api",
            "customParameters": { "attempt": attempt } })
}

/// Calls one number; the call goes on.
async fn call(server: &Server, key: &str) -> (i64, String) {
    let body = json!({ "from_phone_number": OURS, "to_phone_number": PERSON, "assistant_id": 1, "welcome_message": "Hi, this is Eva.",
                       "agenda": "Whether Monday suits." });
    let answer = server.call(key, "POST", "/calls/initiate", Some(&body)).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    loop {
        if let Some(attempt) = server.engine.executions(AttemptQuery::default()).await.unwrap().items.first() {
            return (answer.json()["campaign_id"].as_i64().unwrap(), attempt.id.to_string());
        }
        tokio::task::yield_now().await;
    }
}

on_each_store!(
    an_assistant_talks_on_the_telephone,
    voice_campaigns_are_the_assistants,
    a_relay_is_opened_by_the_provider_only,
    messages_of_people_come_in_beside_api_1,
    organisations_that_share_a_number_see_their_own_messages,
    who_answers_a_message_talks_to_the_assistant,
    calls_of_a_deleted_campaign_stay_known,
    what_a_machine_hears_is_said,
    a_message_that_waits_is_taken_back
);

async fn an_assistant_talks_on_the_telephone(store: &str) {
    let assistant = Arc::new(ScriptedAssistant::new());
    let (server, over) = server(store, Some(assistant.clone())).await;
    let key = server.key(Scope::Write, Some(1)).await;
    let (campaign, attempt) = call(&server, &key).await;
    // Where the documents have it, and where the dialer looks for it.
    for url in ["wss://calls.example.org/webhooks/twilio/stream", "wss://calls.example.org/callbacks/twilio/relay"] {
        let mut socket = opened(&server, url).await.unwrap();
        say(&mut socket, setup(&attempt)).await;
        assistant.next([Line::says("On Monday at nine.")]);
        say(&mut socket, json!({ "type": "prompt", "voicePrompt": "When is it?", "last": true })).await;
        let mut said = String::new();
        loop {
            let frame = next(&mut socket).await.unwrap();
            said.push_str(frame["token"].as_str().unwrap_or_default());
            if frame["last"] == true {
                break;
            }
        }
        assert_eq!(said, "On Monday at nine.");
        // The assistant ends it.
        assistant.next([Line::says("Goodbye."), Line::Does("end_call".to_owned(), json!({}))]);
        say(&mut socket, json!({ "type": "prompt", "voicePrompt": "Bye!", "last": true })).await;
        let closed = loop {
            match next(&mut socket).await {
                Ok(frame) if frame["type"] == "end" => {
                    assert_eq!(serde_json::from_str::<Value>(frame["handoffData"].as_str().unwrap()).unwrap()["reason"], "end_call");
                }
                Ok(_) => {}
                Err(code) => break code,
            }
        };
        assert_eq!(closed, 1000);
    }
    // What was said is part of the conversation; another session adds to it.
    let conversation =
        server.engine.conversations(ConversationQuery { limit: 10, ..ConversationQuery::default() }).await.unwrap().remove(0);
    let said = server.engine.messages(&conversation.key, Paging { offset: 0, limit: 100 }).await.unwrap().items;
    let texts: Vec<&str> = said.iter().map(|message| message.text.as_str()).collect();
    assert!(texts.contains(&"When is it?") && texts.contains(&"On Monday at nine."), "{texts:?}");
    over.send_replace(true);
    server.engine.wait(CampaignId(campaign)).await.unwrap();
}

/// Where there is an assistant, it is told a voice campaign's `system_prompt`; where there is none, the script is all that is said.
async fn voice_campaigns_are_the_assistants(store: &str) {
    let body = json!({ "name": "n", "status": "draft", "calls_per_day": 5, "calling_hours_start": "00:00", "calling_hours_end": "24:00",
                       "system_prompt": "Be kind to {customer_name}.", "script_template": "Hi {customer_name}." });
    for (assistant, relay) in [(Some(Arc::new(ScriptedAssistant::new())), Some(true)), (None, None)] {
        let (server, _over) = server(store, assistant).await;
        let key = server.key(Scope::Write, Some(1)).await;
        let id = server.call(&key, "POST", "/api/voice-campaigns", Some(&body)).await.json()["id"].as_i64().unwrap();
        let path = format!("/api/voice-campaigns/{id}");
        assert_eq!(server.call(&key, "PUT", &path, Some(&json!({ "system_prompt": "Be brief." }))).await.status, 200);
        let spec = server.engine.get_campaign(campaign_core::id::CampaignId(id)).await.unwrap().spec;
        assert_eq!(spec.dialer_options.get("relay").and_then(Value::as_bool), relay);
        assert_eq!(
            (spec.templates["system_prompt"].as_str(), spec.templates["welcome_message"].as_str()),
            ("Be brief.", "Hi {customer_name}.")
        );
    }
}

async fn a_relay_is_opened_by_the_provider_only(store: &str) {
    let (server, _over) = server(store, Some(Arc::new(ScriptedAssistant::new()))).await;
    let key = server.key(Scope::Write, Some(1)).await;
    let good = "wss://calls.example.org/webhooks/twilio/stream";
    let (_, attempt) = call(&server, &key).await;
    // Signed for another place, or by nobody.
    let request = signed("wss://calls.example.org/other", &[]);
    for signature in [request.header("x-twilio-signature").unwrap(), "", "AAAA"] {
        for path in ["/webhooks/twilio/stream", "/callbacks/twilio/relay"] {
            let refused = server.try_socket(path, &[("x-twilio-signature", signature)]).await;
            assert!(matches!(refused, Err(Error::Http(answer)) if answer.status() == 403), "{path} with {signature:?}");
        }
    }
    assert!(matches!(server.send("GET", "/webhooks/twilio/stream", &[], "").await.status, 400 | 426));
    // What is no setup, or of no call.
    for (frame, code) in [(json!({ "type": "prompt" }), 1008), (setup("999999"), 1008), (setup("x"), 1008)] {
        let mut socket = opened(&server, good).await.unwrap();
        say(&mut socket, frame).await;
        assert_eq!(next(&mut socket).await, Err(code));
    }
    // Without an assistant nobody can talk.
    let (silent, _over) = self::server(store, None).await;
    let mut socket = opened(&silent, good).await.unwrap();
    say(&mut socket, setup(&attempt)).await;
    assert_eq!(next(&mut socket).await, Err(1011));
    // A server that stops says so.
    let mut socket = opened(&server, good).await.unwrap();
    say(&mut socket, setup(&attempt)).await;
    server.engine.abort();
    assert_eq!(next(&mut socket).await, Err(1001));
}

async fn messages_of_people_come_in_beside_api_1(store: &str) {
    let (server, _over) = server(store, None).await;
    let operator = server.key(Scope::Read, None).await;
    let fields =
        [("AccountSid", ACCOUNT), ("MessageSid", "SM00000000000000000000000000000001"), ("From", PERSON), ("To", OURS), ("Body", "Hello?")];
    let path = "/webhooks/sms/twilio";
    let good = signed(&format!("https://calls.example.org{path}"), &fields);
    let post = async |path: &str, request: &CallbackRequest| {
        let headers: Vec<(&str, &str)> = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        server.send("POST", path, &headers, request.body.clone()).await
    };
    for _ in 0..2 {
        let answer = post(path, &good).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        assert!(String::from_utf8(answer.body).unwrap().contains("<Response>"));
    }
    let found = server.call(&operator, "GET", "/api/messages", None).await.json();
    assert_eq!(found["messages"][0]["conversation"].as_array().unwrap().len(), 1, "the same message twice is one: {found:#}");
    let forged =
        CallbackRequest { body: String::from_utf8(good.body.clone()).unwrap().replace("0001", "0002").into_bytes(), ..good.clone() };
    assert_eq!(post(path, &forged).await.status, 403);
    assert_eq!(post("/webhooks/sms/vonage", &good).await.status, 404);
    // Where the voice agent's documents have it, beside what the dialer tells Twilio.
    let path_of_agent = "/webhooks/twilio/sms";
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (*name, if *name == "MessageSid" { "SM00000000000000000000000000000003" } else { *value }))
        .collect();
    let second = signed(&format!("https://calls.example.org{path_of_agent}"), &fields);
    let forged =
        CallbackRequest { body: String::from_utf8(second.body.clone()).unwrap().replace("0003", "0004").into_bytes(), ..second.clone() };
    for (request, status) in [(&second, 200), (&second, 200), (&forged, 403)] {
        assert_eq!(post(path_of_agent, request).await.status, status);
    }
    let found = server.call(&operator, "GET", "/api/messages", None).await.json();
    assert_eq!(found["messages"][0]["conversation"].as_array().unwrap().len(), 2, "what is not signed is not taken: {found:#}");
    let broken = signed(&format!("https://calls.example.org{path}"), &[("AccountSid", ACCOUNT), ("Body", "x")]);
    assert_eq!(post(path, &broken).await.status, 400);
}

/// A person writes to our number.
async fn hears(server: &Server, sid: &str, text: &str) {
    let path = "/webhooks/twilio/sms";
    let fields = [("AccountSid", ACCOUNT), ("MessageSid", sid), ("From", PERSON), ("To", OURS), ("Body", text)];
    let request = signed(&format!("https://calls.example.org{path}"), &fields);
    let headers: Vec<(&str, &str)> = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = server.send("POST", path, &headers, request.body.clone()).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
}

/// Writes to the person, and waits until it is done.
async fn writes(server: &Server, key: &str, text: &str) -> CampaignId {
    let body = json!({ "from": OURS, "to": PERSON, "body": text });
    let answer = server.call(key, "POST", "/api/messages/send", Some(&body)).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let id = CampaignId(i64::from_str_radix(answer.json()["campaign_id"].as_str().unwrap(), 16).unwrap());
    server.engine.wait(id).await.unwrap();
    id
}

/// The texts of the one conversation of the test that this key may see.
async fn texts(server: &Server, key: &str) -> Vec<String> {
    let id: String = format!("sms/{OURS}/{PERSON}").bytes().map(|byte| format!("{byte:02x}")).collect();
    let answer = server.call(key, "GET", &format!("/api/messages/{id}"), None).await;
    let found = if answer.status == 404 { json!([]) } else { answer.json()["conversation"]["conversation"].clone() };
    found.as_array().unwrap().iter().map(|message| message["text"].as_str().unwrap().to_owned()).collect()
}

async fn organisations_that_share_a_number_see_their_own_messages(store: &str) {
    let (server, over) = server(store, None).await;
    over.send_replace(true);
    let (operator, first, second) =
        (server.key(Scope::Read, None).await, server.key(Scope::Write, Some(1)).await, server.key(Scope::Write, Some(2)).await);
    hears(&server, "SM00000000000000000000000000000001", "private").await;
    assert_eq!(texts(&server, &first).await, [""; 0]);
    writes(&server, &first, "from the first").await;
    assert_eq!(texts(&server, &first).await, ["from the first"]);
    let listed = server.call(&first, "GET", "/api/messages", None).await.json();
    assert_eq!(listed["messages"][0]["conversation"].as_array().unwrap().len(), 1, "{listed:#}");
    hears(&server, "SM00000000000000000000000000000002", "to the first").await;
    writes(&server, &second, "from the second").await;
    hears(&server, "SM00000000000000000000000000000003", "to the second").await;
    assert_eq!(texts(&server, &first).await, ["from the first", "to the first"]);
    assert_eq!(texts(&server, &second).await, ["from the second", "to the second"]);
    assert_eq!(texts(&server, &operator).await.len(), 5);
}

async fn who_answers_a_message_talks_to_the_assistant(store: &str) {
    let path = "/webhooks/twilio/incoming";
    let fields = [
        ("AccountSid", ACCOUNT),
        ("CallSid", "CA00000000000000000000000000000001"),
        ("From", PERSON),
        ("To", OURS),
        ("CallStatus", "ringing"),
        ("Direction", "inbound"),
    ];
    let request = signed(&format!("https://calls.example.org{path}"), &fields);
    let headers: Vec<(&str, &str)> = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    for assistant in [Some(Arc::new(ScriptedAssistant::new())), None] {
        let answers = assistant.is_some();
        let (server, over) = server(store, assistant).await;
        over.send_replace(true);
        let key = server.key(Scope::Write, Some(1)).await;
        let campaign = writes(&server, &key, "Does Monday suit you?").await;
        assert_eq!(server.engine.get_campaign(campaign).await.unwrap().spec.replies.assistant, answers);
        let answer = server.send("POST", path, &headers, request.body.clone()).await;
        let twiml = String::from_utf8(answer.body).unwrap();
        assert_eq!((answer.status, twiml.contains("<ConversationRelay")), (200, answers), "{twiml}");
    }
}

/// Calls the person by a campaign; the campaign and the provider's id of the call, which goes on.
async fn calls(server: &Server, key: &str, config: Value) -> (String, String) {
    let body = json!({ "name": "Calls", "type": "voice", "config": config, "phone_numbers": [PERSON] });
    let id = server.call(key, "POST", "/api/campaigns", Some(&body)).await.json()["campaign_id"].as_str().unwrap().to_owned();
    assert_eq!(server.call(key, "POST", &format!("/api/campaigns/{id}/start"), None).await.status, 200);
    loop {
        let active = server.call(key, "GET", "/api/calls/active", None).await.json();
        if let Some(sid) = active["calls"][0]["call_sid"].as_str() {
            return (id, sid.to_owned());
        }
        tokio::task::yield_now().await;
    }
}

async fn what_a_machine_hears_is_said(store: &str) {
    for (config, action) in [(json!({ "messageBody": "Hi" }), "voicemail"), (json!({ "promptId": "p1" }), "hangup")] {
        let (server, over) = server(store, None).await;
        let key = server.key(Scope::Write, Some(1)).await;
        let (_, sid) = calls(&server, &key, config).await;
        let path = "/webhooks/twilio/amd-status";
        let fields = [("AccountSid", ACCOUNT), ("CallSid", sid.as_str()), ("AnsweredBy", "machine_end_beep")];
        let request = signed(&format!("https://calls.example.org{path}"), &fields);
        let headers: Vec<(&str, &str)> = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = server.send("POST", path, &headers, request.body.clone()).await;
        assert_eq!(answer.json(), json!({ "status": "ok", "action": action, "answered_by": "machine_end_beep" }));
        over.send_replace(true);
    }
}

async fn calls_of_a_deleted_campaign_stay_known(store: &str) {
    let (server, over) = server(store, None).await;
    let key = server.key(Scope::Write, Some(1)).await;
    let (id, sid) = calls(&server, &key, json!({ "messageBody": "Hi" })).await;
    let active = async || server.call(&key, "GET", "/api/calls/active", None).await.json()["calls"].clone();
    assert_eq!(server.call(&key, "DELETE", &format!("/api/campaigns/{id}"), None).await.status, 200);
    assert_eq!(active().await[0]["call_sid"], sid);
    assert_eq!(server.call(&key, "GET", &format!("/api/calls/{sid}"), None).await.json()["call"]["status"], "ongoing");
    over.send_replace(true);
    let path = format!("/api/campaigns/{id}/executions");
    while server.call(&key, "GET", &path, None).await.json()["executions"] == json!([]) {
        tokio::task::yield_now().await;
    }
}

async fn a_message_that_waits_is_taken_back(store: &str) {
    let (server, over) = server(store, None).await;
    let (key, other) = (server.key(Scope::Write, Some(1)).await, server.key(Scope::Write, Some(2)).await);
    let body = json!({ "from_phone_number": OURS, "to_phone_number": PERSON, "message": "Hello" });
    let sent = server.call(&key, "POST", "/sms/send", Some(&body)).await.json()["message_id"].as_str().unwrap().to_owned();
    let status =
        async |id: &str| server.call(&key, "GET", &format!("/sms/{id}/status"), None).await.json()["status"].as_str().unwrap().to_owned();
    while status(&sent).await != "sending" {
        tokio::task::yield_now().await;
    }
    // One that is being sent is not taken back.
    let refused = server.call(&key, "DELETE", &format!("/sms/{sent}"), None).await;
    assert_eq!((refused.status, refused.json()["detail"].as_str()), (400, Some("The message cannot be cancelled; it is sending")));
    assert_eq!(server.call(&other, "GET", &format!("/sms/{sent}/status"), None).await.status, 404);
    assert_eq!(server.call(&other, "DELETE", &format!("/sms/{sent}"), None).await.status, 404);
    // The carrier takes one at a time, so the next one waits.
    for (method, path) in [("POST", "/sms/cancel/"), ("DELETE", "/sms/")] {
        let waits = server.call(&key, "POST", "/sms/send", Some(&body)).await.json()["message_id"].as_str().unwrap().to_owned();
        let queue = server.call(&key, "GET", "/sms/queue/stats", None).await.json()["queues"]["engine"].clone();
        assert_eq!((&queue["pending"], &queue["active"]), (&json!(1), &json!(1)));
        let back = server.call(&key, method, &format!("{path}{waits}"), None).await;
        assert_eq!(back.status, 200, "{}", String::from_utf8_lossy(&back.body));
        assert_eq!((back.json()["previous_status"].as_str(), back.json()["new_status"].as_str()), (Some("queued"), Some("cancelled")));
        assert_eq!(status(&waits).await, "cancelled");
    }
    over.send_replace(true);
    while status(&sent).await != "sent" {
        tokio::task::yield_now().await;
    }
}
