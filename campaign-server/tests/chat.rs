//! A conversation with the assistant in a browser: by text, by voice, with pauses, and its sessions.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use campaign_core::assistant::{Line, ScriptedAssistant, Turn};
use campaign_core::dialer::SimulatedDialer;
use campaign_core::executor::{Executor, VirtualExecutor};
use campaign_core::store::MemoryStore;
use campaign_core::{Engine, Error, Kind};
use campaign_server::auth::Scope;
use campaign_server::{ServerOptions, Speech};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::sync::Arc;
use support::{Server, new_store, on_each_store};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

type Socket = WebSocketStream<TcpStream>;

/// Speech that is only counted: every turn is as many words as it has half seconds; answers sound like themselves.
struct Counted;

#[campaign_core::async_trait]
impl Speech for Counted {
    async fn transcribe(&self, sound: Vec<u8>, model: Option<&str>) -> campaign_core::Result<String> {
        match model {
            Some("broken") => Err(Error::new(Kind::Unavailable, "the model is away")),
            _ => Ok(format!("{} half seconds", sound.len() / 16_000)),
        }
    }

    async fn speak(&self, text: &str, voice: Option<&str>) -> campaign_core::Result<Vec<u8>> {
        Ok(format!("{}: {text}", voice.unwrap_or("nobody")).into_bytes())
    }
}

async fn server(store: &str, assistant: Option<&Arc<ScriptedAssistant>>, change: impl FnOnce(&mut ServerOptions)) -> Server {
    let (store, folder) = new_store(store).await;
    let mut builder = Engine::builder().shared_store(store).dialer(SimulatedDialer::instant());
    if let Some(assistant) = assistant {
        builder = builder.shared_assistant(assistant.clone());
    }
    Server::over(builder.build().await.unwrap(), Some(folder), change).await
}

async fn next(socket: &mut Socket) -> Result<Value, u16> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Close(frame))) => return Err(frame.map_or(1005, |frame| frame.code.into())),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Err(1006),
        }
    }
}

async fn say(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

/// So many milliseconds of speech, or of silence.
fn sound(millis: usize, loud: i16) -> Value {
    let samples: Vec<u8> = (0..millis * 16).flat_map(|n| if n % 2 == 0 { loud } else { -loud }.to_le_bytes()).collect();
    json!({ "type": "audio", "data": STANDARD.encode(samples) })
}

on_each_store!(people_write_with_the_assistant, people_speak_with_the_assistant, without_an_assistant_there_is_nobody_to_talk_to);

async fn people_write_with_the_assistant(store: &str) {
    let assistant = Arc::new(ScriptedAssistant::new());
    let server = server(store, Some(&assistant), |_| {}).await;
    let (key, other) = (server.key(Scope::Write, Some(1)).await, server.key(Scope::Write, Some(2)).await);
    let made = server.call(&key, "POST", "/api/ai-chat", Some(&json!({ "system_prompt": "You are a receptionist." }))).await.json();
    let id = made["session_id"].as_str().unwrap().to_owned();
    assert_eq!((made["success"].as_bool(), made["config"]["system_prompt"].as_str()), (Some(true), Some("You are a receptionist.")));
    let mut socket = server.socket(&format!("/ws/ai-chat/{id}?token={key}"), &[]).await;
    assert_eq!(next(&mut socket).await.unwrap(), json!({ "type": "connection_established", "session_id": id }));
    assistant.next([Line::says("At nine.")]);
    say(&mut socket, json!({ "type": "text_input", "text": "When do you open?" })).await;
    assert_eq!(next(&mut socket).await.unwrap(), json!({ "type": "conversation_response", "text": "At nine." }));
    assistant.next([Line::says("Yes.")]);
    say(&mut socket, json!({ "type": "text_input", "text": "Every day?" })).await;
    assert_eq!(next(&mut socket).await.unwrap()["text"], "Yes.");
    let dialogue = assistant.dialogues().pop().unwrap();
    assert_eq!(dialogue.system_prompt, "You are a receptionist.");
    let said = |text: &str| Turn::Person(text.to_owned());
    assert!(dialogue.turns == [said("When do you open?"), Turn::Assistant("At nine.".to_owned()), said("Every day?")]);
    // What is not understood is said, and nothing else happens.
    for (message, reason) in [
        (json!({ "type": "dance" }), "this message is not understood"),
        (json!({ "type": "text_input", "text": 7 }), "text must be a text of at most 8192 bytes"),
        (sound(10, 1), "this server does not understand speech; send text_input"),
    ] {
        say(&mut socket, message).await;
        assert_eq!(next(&mut socket).await.unwrap(), json!({ "type": "error", "message": reason }));
    }
    say(&mut socket, json!({ "type": "ping" })).await;
    assert_eq!(next(&mut socket).await.unwrap(), json!({ "type": "pong" }));
    say(&mut socket, json!({ "type": "end" })).await;
    assert_eq!(next(&mut socket).await, Err(1000));

    // Sessions are the caller's own.
    let listed = server.call(&key, "GET", "/api/ai-chat", None).await.json();
    assert_eq!(
        (listed["sessions"][0]["session_id"].as_str(), listed["sessions"][0]["status"].as_str()),
        (Some(id.as_str()), Some("active"))
    );
    assert_eq!(server.call(&other, "GET", "/api/ai-chat", None).await.json()["sessions"], json!([]));
    assert_eq!(server.call(&other, "POST", &format!("/api/ai-chat/{id}/end"), None).await.status, 404);
    for (token, code) in [(other.as_str(), 4004), ("cmp_wrong", 1008)] {
        let mut socket = server.socket(&format!("/ws/ai-chat/{id}?token={token}"), &[]).await;
        assert_eq!(next(&mut socket).await, Err(code));
    }
    assert_eq!(server.call(&key, "POST", &format!("/api/ai-chat/{id}/end"), None).await.status, 200);
    let mut socket = server.socket(&format!("/ws/ai-chat/{id}?token={key}"), &[]).await;
    assert_eq!(next(&mut socket).await, Err(4004));
    assert_eq!(server.call(&key, "DELETE", &format!("/api/ai-chat/{id}"), None).await.status, 200);
    assert_eq!(server.call(&key, "DELETE", &format!("/api/ai-chat/{id}"), None).await.status, 404);
    // Without a session there are the defaults.
    let mut socket = server.socket(&format!("/ws/ai-chat?token={key}"), &[]).await;
    assert_eq!(next(&mut socket).await.unwrap()["session_id"], Value::Null);
    server.engine.abort();
    assert_eq!(next(&mut socket).await, Err(1001));
}

async fn people_speak_with_the_assistant(store: &str) {
    let assistant = Arc::new(ScriptedAssistant::new());
    let server = server(store, Some(&assistant), |options| options.speech = Some(Arc::new(Counted))).await;
    let key = server.key(Scope::Write, Some(1)).await;
    let mut socket = server.socket(&format!("/ws/ai-chat?token={key}"), &[]).await;
    next(&mut socket).await.unwrap();
    say(&mut socket, json!({ "type": "config", "stt_model": "base", "tts_voice": "eva" })).await;
    assistant.next([Line::says("Hello.")]);
    // Two seconds of speech with a pause in between that is too short, and one that is long enough.
    for (millis, loud) in [(1000, 4000), (1000, 0), (1000, 4000), (1000, 0), (500, 0)] {
        say(&mut socket, sound(millis, loud)).await;
    }
    assert_eq!(next(&mut socket).await.unwrap(), json!({ "type": "transcript", "text": "9 half seconds" }));
    assert_eq!(next(&mut socket).await.unwrap(), json!({ "type": "conversation_response", "text": "Hello." }));
    let heard = next(&mut socket).await.unwrap();
    assert_eq!(
        (heard["type"].as_str(), STANDARD.decode(heard["data"].as_str().unwrap()).unwrap().as_slice()),
        (Some("audio"), &b"eva: Hello."[..])
    );
    // Whoever speaks interrupts the assistant; the client may say where a turn ends.
    assistant.next([Line::Waits]);
    say(&mut socket, json!({ "type": "text_input", "text": "Tell me a story." })).await;
    assistant.next([Line::says("Stopped.")]);
    while assistant.dialogues().len() < 2 {
        tokio::task::yield_now().await;
    }
    say(&mut socket, sound(1000, 4000)).await;
    say(&mut socket, json!({ "type": "silence_detected" })).await;
    assert_eq!(next(&mut socket).await.unwrap(), json!({ "type": "transcript", "text": "2 half seconds" }));
    assert_eq!(next(&mut socket).await.unwrap()["text"], "Stopped.");
    next(&mut socket).await.unwrap();
    // What fails is said, without its reasons.
    say(&mut socket, json!({ "type": "config", "stt_model": "broken" })).await;
    say(&mut socket, sound(1000, 4000)).await;
    say(&mut socket, json!({ "type": "silence_detected" })).await;
    assert_eq!(next(&mut socket).await.unwrap(), json!({ "type": "error", "message": "the assistant cannot answer now; try again" }));
    say(&mut socket, json!({ "type": "audio", "data": "?" })).await;
    assert_eq!(next(&mut socket).await.unwrap()["message"], "data must be sound in base64");
}

async fn without_an_assistant_there_is_nobody_to_talk_to(store: &str) {
    let server = server(store, None, |_| {}).await;
    let key = server.key(Scope::Write, Some(1)).await;
    let refused = server.call(&key, "POST", "/api/ai-chat", Some(&json!({}))).await;
    assert_eq!((refused.status, refused.json()["detail"].as_str()), (400, Some("The server has no assistant")));
    let mut socket = server.socket(&format!("/ws/ai-chat?token={key}"), &[]).await;
    assert_eq!(next(&mut socket).await, Err(1011));
}

#[test]
fn who_says_nothing_is_reminded_and_then_left() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let _entered = runtime.enter();
    let clock = VirtualExecutor::new("2026-03-02T15:00:00Z".parse().unwrap());
    let inner = clock.clone();
    clock.run(async move {
        let builder = Engine::builder().store(MemoryStore::new()).dialer(SimulatedDialer::instant()).executor(inner.clone());
        let engine = builder.shared_assistant(Arc::new(ScriptedAssistant::new())).build().await.unwrap();
        let server = Server::over(engine, None, support::open).await;
        let mut socket = server.socket("/ws/ai-chat", &[]).await;
        let began = inner.now();
        next(&mut socket).await.unwrap();
        for count in 1..=3 {
            assert_eq!(next(&mut socket).await.unwrap(), json!({ "type": "inactivity_reminder", "count": count }));
        }
        assert_eq!(next(&mut socket).await.unwrap(), json!({ "type": "inactivity_end" }));
        assert!(inner.now().duration_since(began) >= jiff::SignedDuration::from_secs(40));
        assert_eq!(next(&mut socket).await, Err(1000));
    });
}
