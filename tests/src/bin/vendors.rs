//! The stand-ins for Twilio and ElevenLabs as a program, for tests in other languages. Their clock goes ten times as fast as the wall's.
//!
//! It says in a line of JSON where they are, then obeys one command per line and answers each in a line; it ends with its input.
//!
//! | `do` | what it does |
//! |---|---|
//! | `webhook` | Twilio calls `url` with `fields`, signed, or with a wrong signature when `forged`; the answer has `status` and `body` |
//! | `handshake` | the headers of a WebSocket that Twilio opens at `url` |
//! | `tell` | from now on ElevenLabs tells `url` how calls end |
//! | `misses` | who has the number `to` does not take calls |
//! | `messages`, `calls` | what Twilio sent or called, each with its fields |
//! | `complaints` | what Twilio would have found fault with, and callbacks that were not taken |

#![allow(clippy::print_stdout, reason = "a program talks to the one that started it")]
#![expect(clippy::disallowed_methods, reason = "the program beside it lives on the wall's clock")]

use campaign_core::executor::SharedExecutor;
use campaign_core::http::{Body, Exchange, HttpClient, HttpOptions, Method};
use campaign_tests::vendors::clock::QuickClock;
use campaign_tests::vendors::elevenlabs::{self, ElevenLabs};
use campaign_tests::vendors::twilio::{self, CallEnd, Fate, Twilio, signed};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc;

/// How much faster it goes here than outside.
const SPEED: u32 = 10;

#[tokio::main]
async fn main() -> io::Result<()> {
    let clock: SharedExecutor = Arc::new(QuickClock::starting_at(Timestamp::now(), SPEED));
    let (twilio, eleven) = (Twilio::start(Arc::clone(&clock)).await, ElevenLabs::start(clock)?);
    let urls = json!({
        "twilio": { "api_base": twilio.url(), "account_sid": twilio::ACCOUNT, "auth_token": twilio::TOKEN },
        "elevenlabs": { "base_url": eleven.url(), "api_key": elevenlabs::KEY, "webhook_secret": elevenlabs::SECRET },
    });
    println!("{urls}");
    let (sender, mut lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || io::stdin().lines().map_while(Result::ok).all(|line| sender.send(line).is_ok()));
    while let Some(line) = lines.recv().await {
        let command: Value = serde_json::from_str(&line).unwrap_or_default();
        println!("{}", obey(&twilio, &eleven, &command).await);
    }
    Ok(())
}

async fn obey(twilio: &Twilio, eleven: &ElevenLabs, command: &Value) -> Value {
    let text = |name: &str| command[name].as_str().unwrap_or_default().to_owned();
    match command["do"].as_str() {
        Some("webhook") => {
            let fields = command["fields"].as_object().cloned().unwrap_or_default();
            let fields: Vec<(&str, &str)> = fields.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect();
            let (status, body) = if command["forged"] == true {
                let request = signed(&text("url"), &[("Body", "something else")]);
                let signature = request.header("x-twilio-signature").unwrap_or_default();
                let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                send(&text("url"), &[("x-twilio-signature", signature)], Body::Form(fields)).await
            } else {
                twilio.webhook(&text("url"), &fields).await
            };
            json!({ "status": status, "body": body })
        }
        Some("handshake") => {
            let request = signed(&text("url"), &[]);
            let signature = request.header("x-twilio-signature").unwrap_or_default();
            json!({ "x-twilio-signature": signature })
        }
        Some("tell") => {
            eleven.post_to(&text("url"));
            Value::Null
        }
        Some("misses") => {
            eleven.fate_of(&text("to"), elevenlabs::Fate::not_answered("no_answer"));
            twilio.next(&text("to"), Fate::ends(CallEnd::NoAnswer));
            Value::Null
        }
        Some("messages") => twilio.messages().iter().map(|message| of(&message.fields, &message.sid, &message.status)).collect(),
        Some("calls") => twilio.calls().iter().map(|call| of(&call.fields, &call.sid, &call.status)).collect(),
        Some("complaints") => {
            let refused = eleven.told().into_iter().filter(|status| !(200..300).contains(status));
            twilio.complaints().into_iter().chain(refused.map(|status| format!("a webhook was answered with {status}"))).collect()
        }
        _ => json!({ "error": "there is no such command" }),
    }
}

fn of(fields: &[(String, String)], sid: &str, status: &str) -> Value {
    let fields: Map<String, Value> = fields.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    json!({ "sid": sid, "status": status, "fields": fields })
}

/// Status and body; 0 when nobody answers.
async fn send(url: &str, headers: &[(&str, &str)], body: Body) -> (u16, String) {
    let Ok(client) = HttpClient::new(HttpOptions::default()) else { return (0, String::new()) };
    match client.send(Method::Post, url, headers, body).await {
        Exchange::Answered(answer) => (answer.status, String::from_utf8_lossy(&answer.body).into_owned()),
        Exchange::NotSent(_) | Exchange::Lost(_) => (0, String::new()),
    }
}
