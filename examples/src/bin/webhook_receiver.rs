//! A service that carries out attempts for the webhook dialer, and a campaign that uses it; all in one program, over real sockets.
//! `docs/webhook-dialer.md` describes what they say to each other.
//!
//! Run it with `cargo run -p campaign-examples --bin webhook_receiver`.

#![expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]
#![expect(clippy::disallowed_methods, reason = "the service stands for another program, with a clock and threads of its own")]

use campaign_core::Engine;
use campaign_core::campaign::CampaignSpec;
use campaign_core::dialer::webhook::{WebhookConfig, WebhookDialer};
use campaign_core::http::signature::WebhookSecret;
use campaign_core::import::{ImportOptions, ImportSource};
use campaign_core::store::MemoryStore;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::error::Error;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Answers one request: at once with the outcome, which is the simplest service there is.
fn serve(stream: TcpStream, secret: &WebhookSecret) -> Result<(), Box<dyn Error>> {
    let mut reader = BufReader::new(stream);
    let (mut id, mut at, mut signature, mut length) = (String::new(), String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(": ") else {
            if line.trim().is_empty() {
                break;
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "webhook-id" => id = value.to_owned(),
            "webhook-timestamp" => at = value.to_owned(),
            "webhook-signature" => signature = value.to_owned(),
            "content-length" => length = value.parse()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let (status, answer) = match secret.verify(&id, &at, &signature, &body, Timestamp::now()) {
        Err(_) => ("401 Unauthorized", json!({})),
        Ok(()) => ("200 OK", carry_out(&serde_json::from_slice(&body)?)),
    };
    let answer = answer.to_string();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", answer.len());
    reader.get_mut().write_all((head + &answer).as_bytes())?;
    Ok(())
}

/// Here you would call. This one pretends: numbers that end with 9 are busy.
fn carry_out(message: &Value) -> Value {
    let data = &message["data"];
    let busy = data["to"].as_str().is_some_and(|to| to.ends_with('9'));
    let outcome = if busy { json!({ "disposition": "busy" }) } else { json!({ "disposition": "answered", "duration_seconds": 12 }) };
    json!({ "state": "ended", "outcome": outcome })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let url = format!("http://{}/attempts", listener.local_addr()?);
    let secret = WebhookSecret::parse(SECRET)?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that breaks off is its own concern.
            let _ = serve(stream, &secret);
        }
    });

    let dialer = WebhookDialer::new(WebhookConfig { url, secret: SECRET.into(), ..WebhookConfig::default() })?;
    let engine = Engine::builder().store(MemoryStore::new()).dialer(dialer).build().await?;
    let spec = CampaignSpec::call("By webhook").with(|spec| (spec.max_attempts, spec.rate_limit_per_minute) = (1, None));
    let campaign = engine.create_campaign(spec.build()?).await?;
    let rows = (1..=9).map(|last| json!({ "phone": format!("+1202555014{last}") }).as_object().cloned().unwrap_or_default()).collect();
    engine.import_contacts(campaign.id, ImportSource::Rows(rows), ImportOptions::default()).await?;
    engine.start(campaign.id).await?;
    println!("{:.0} % reached", engine.wait(campaign.id).await?.success_rate);
    engine.close().await?;
    Ok(())
}
