//! An assistant on the telephone: the WebSocket of a carrier's conversation relay, and an assistant of one's own behind it.
//!
//! The carrier is played by this program: it opens the WebSocket, says what a person says, and prints what it would speak.
//!
//! Run it with `cargo run -p campaign-examples --bin relay`.

#![expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]

use campaign_core::assistant::{Answer, Assistant, Dialogue, Piece, Turn};
use campaign_core::campaign::CampaignSpec;
use campaign_core::conversation::ToolCall;
use campaign_core::dialer::{Script, ScriptedDialer};
use campaign_core::import::{ImportOptions, ImportSource};
use campaign_core::store::{AttemptQuery, MemoryStore};
use campaign_core::{Engine, async_trait};
use futures_util::{SinkExt, StreamExt, stream};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// Answers what it is asked, and hangs up when it hears goodbye.
struct Receptionist;

#[async_trait]
impl Assistant for Receptionist {
    async fn answer(&self, dialogue: Dialogue) -> campaign_core::Result<Answer> {
        let question = dialogue.turns.iter().rev().find_map(|turn| match turn {
            Turn::Person(text) => Some(text.to_lowercase()),
            _ => None,
        });
        let question = question.unwrap_or_default();
        let (text, over) = if question.contains("bye") {
            ("Goodbye!".to_owned(), true)
        } else {
            let agenda = dialogue.agenda.as_deref().unwrap_or("I do not know.");
            (format!("You asked: {question} {agenda}"), false)
        };
        // Word by word, as a model would; whoever interrupts drops the stream.
        let mut pieces: Vec<_> = text.split_inclusive(' ').map(|word| Ok(Piece::Text(word.to_owned()))).collect();
        if over {
            let call = ToolCall { id: "1".to_owned(), name: "end_call".to_owned(), arguments: json!({ "reason": "goodbye" }) };
            pieces.push(Ok(Piece::Tool(call)));
        }
        Ok(stream::iter(pieces).boxed())
    }
}

/// Carries one call: frames of the carrier in, frames for it out.
async fn carry(engine: Engine, socket: TcpStream) -> Result<()> {
    // In production, check the signature of the handshake first: `accept_hdr_async` shows the request.
    let mut socket = tokio_tungstenite::accept_async(socket).await?;
    // The first frame says which call it is.
    let Some(Ok(Message::Text(setup))) = socket.next().await else { return Ok(()) };
    let mut session = engine.relay(&setup).await?;
    loop {
        tokio::select! {
            frame = socket.next() => match frame {
                Some(Ok(Message::Text(frame))) => session.receive(&frame),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => break,
            },
            frame = session.next() => match frame {
                Some(frame) => socket.send(Message::text(frame)).await?,
                None => break,
            },
        }
    }
    // What was said becomes part of the conversation, and of the attempt's outcome.
    session.close().await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let engine = Engine::builder()
        .store(MemoryStore::new())
        .dialer(ScriptedDialer::new().otherwise(Script::answered(60).after(Duration::from_secs(60))))
        .assistant(Receptionist)
        .build()
        .await?;
    let spec = CampaignSpec::call("Appointments")
        .template("welcome_message", "Hi {{ name }}, this is the practice.")
        .template("agenda", "Your appointment is on {{ date }}.")
        .build()?;
    let id = engine.create_campaign(spec).await?.id;
    engine
        .import_contacts(id, ImportSource::from("name,phone,date\nAna,+12125550101,Monday\n".as_bytes()), ImportOptions::default())
        .await?;
    let mut events = engine.events(id).await?;
    engine.start(id).await?;
    let attempt = loop {
        if let Some(attempt) = engine.executions(AttemptQuery::default()).await?.items.first() {
            break attempt.id;
        }
        events.next().await;
    };

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (served, heard) = tokio::join!(
        async { carry(engine.clone(), listener.accept().await?.0).await },
        carrier(format!("ws://{address}/"), attempt.to_string()),
    );
    served?;
    heard?;
    engine.abort();
    Ok(())
}

/// Plays the carrier and the person.
async fn carrier(url: String, attempt: String) -> Result<()> {
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await?;
    let setup = json!({ "type": "setup", "sessionId": "VX1", "direction": "outbound-api", "customParameters": { "attempt": attempt } });
    socket.send(Message::text(setup.to_string())).await?;
    for said in ["When is it?", "Thank you, bye."] {
        println!("person:    {said}");
        socket.send(Message::text(json!({ "type": "prompt", "voicePrompt": said, "last": true }).to_string())).await?;
        let mut spoken = String::new();
        while let Some(Ok(Message::Text(frame))) = socket.next().await {
            let frame: Value = serde_json::from_str(&frame)?;
            spoken.push_str(frame["token"].as_str().unwrap_or_default());
            if frame["last"] == true || frame["type"] == "end" {
                break;
            }
        }
        println!("assistant: {spoken}");
    }
    Ok(())
}
