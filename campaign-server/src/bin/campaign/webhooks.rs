//! `campaign webhooks`.

use crate::StoreArgs;
use campaign_core::executor::{Executor, TokioExecutor};
use campaign_core::http::Reach;
use campaign_core::id::CampaignId;
use campaign_core::store::open_store;
use campaign_core::{Error, Kind, Result};
use campaign_server::webhooks::{DeadLetter, Endpoint, EventName, NewEndpoint, Webhooks, verify};
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

/// Who is told of events; and whether what was received is genuine.
#[derive(Subcommand)]
pub(crate) enum Hooks {
    /// Make a webhook. Its secret is shown this once.
    Create(Create),
    /// List every webhook, without its secret.
    List(List),
    /// Remove a webhook, with what waits for it.
    Delete(One),
    /// List what nobody took within a day.
    Dead(Dead),
    /// Send dead letters again; a running server does it.
    Replay(Replay),
    /// Check the signature of a delivery, for whoever writes a receiver: the body is read from the standard input.
    Verify(Verify),
}

/// Arguments of `webhooks create`.
#[derive(Args)]
pub(crate) struct Create {
    #[command(flatten)]
    store: StoreArgs,
    /// Where events are sent: `https`, to a public address.
    #[arg(long)]
    url: String,
    /// Of which event, for example `call.completed`; may be given several times. Of all when it is left out.
    #[arg(long = "event", value_parser = event)]
    events: Vec<EventName>,
    /// Whose events. Without it those of every organisation.
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    organization: Option<i64>,
    /// Of which campaign.
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    campaign: Option<i64>,
    /// For people.
    #[arg(long)]
    description: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `webhooks list`.
#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A webhook.
#[derive(Args)]
pub(crate) struct One {
    #[command(flatten)]
    store: StoreArgs,
    /// The id, as `webhooks list` shows it.
    id: String,
}

/// Arguments of `webhooks dead`.
#[derive(Args)]
pub(crate) struct Dead {
    #[command(flatten)]
    one: One,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `webhooks replay`.
#[derive(Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    one: One,
    /// Only the one with this id, as `webhooks dead` shows it; may be given several times.
    #[arg(long = "event-id")]
    events: Vec<String>,
}

/// Arguments of `webhooks verify`.
#[derive(Args)]
pub(crate) struct Verify {
    /// The secret: `whsec_...`, or that of a voice campaign.
    #[arg(long, env = "CAMPAIGN_WEBHOOK_SECRET", hide_env_values = true)]
    secret: String,
    /// The header `webhook-id`.
    #[arg(long, default_value = "")]
    id: String,
    /// The header `webhook-timestamp`.
    #[arg(long, default_value = "")]
    timestamp: String,
    /// The header `webhook-signature`, or `X-Webhook-Signature` of a voice campaign.
    #[arg(long)]
    signature: String,
    /// The body in a file, byte for byte, instead of the standard input.
    #[arg(long)]
    body: Option<PathBuf>,
}

fn event(name: &str) -> std::result::Result<EventName, String> {
    let known: Vec<&str> = EventName::ALL.iter().map(|name| name.as_str()).collect();
    EventName::parse(name).ok_or_else(|| format!("must be one of {}", known.join(", ")))
}

impl Hooks {
    pub(crate) async fn run(self) -> Result<()> {
        match self {
            Self::Create(arguments) => create(arguments).await,
            Self::List(arguments) => list(arguments).await,
            Self::Delete(arguments) => delete(arguments).await,
            Self::Dead(arguments) => dead(arguments).await,
            Self::Replay(arguments) => replay(arguments).await,
            Self::Verify(arguments) => check(&arguments),
        }
    }
}

fn clock() -> Result<TokioExecutor> {
    TokioExecutor::current().ok_or_else(|| Error::new(Kind::Internal, "there is no runtime"))
}

async fn webhooks(store: &StoreArgs) -> Result<Webhooks> {
    Ok(Webhooks::new(open_store(&store.store).await?, Arc::new(clock()?), Reach::Public))
}

fn shown(endpoint: &Endpoint) -> serde_json::Value {
    json!(endpoint)
}

async fn create(arguments: Create) -> Result<()> {
    let new = NewEndpoint {
        organization_id: arguments.organization,
        campaign_id: arguments.campaign.map(CampaignId),
        url: arguments.url,
        description: arguments.description,
        events: arguments.events,
        secret: None,
    };
    let (endpoint, secret) = webhooks(&arguments.store).await?.create(new).await?;
    if arguments.json {
        let mut shown = shown(&endpoint);
        shown["secret"] = secret.into();
        println!("{shown}");
    } else {
        println!("{secret}");
        eprintln!("Webhook {} was made. Its secret is shown this once; keep it safe.", endpoint.id);
    }
    Ok(())
}

async fn list(arguments: List) -> Result<()> {
    let all = webhooks(&arguments.store).await?.list().await?;
    if arguments.json {
        println!("{}", json!(all));
        return Ok(());
    }
    println!("{:<21} {:<12} {:<9} {:<9} url", "id", "organization", "campaign", "state");
    for endpoint in &all {
        let organization = endpoint.organization_id.map_or_else(|| "every".to_owned(), |id| id.to_string());
        let campaign = endpoint.campaign_id.map_or_else(|| "every".to_owned(), |id| id.to_string());
        let state = if endpoint.enabled { "enabled" } else { "disabled" };
        println!("{:<21} {organization:<12} {campaign:<9} {state:<9} {}", endpoint.id, endpoint.url);
    }
    Ok(())
}

async fn delete(arguments: One) -> Result<()> {
    webhooks(&arguments.store).await?.delete(&arguments.id).await?;
    eprintln!("Webhook {} is gone.", arguments.id);
    Ok(())
}

async fn dead(arguments: Dead) -> Result<()> {
    let Dead { one, json } = arguments;
    let webhooks = webhooks(&one.store).await?;
    webhooks.get(&one.id).await?;
    let mut behind: Option<String> = None;
    if !json {
        println!("{:<36} {:<26} {:<8} {:<6} reason", "event id", "event", "attempts", "status");
    }
    loop {
        let page = webhooks.dead(&one.id, behind.as_deref(), 500).await?;
        let Some(last) = page.last() else { return Ok(()) };
        behind = Some(last.key.clone());
        for letter in &page {
            println!("{}", line(letter, json));
        }
    }
}

fn line(letter: &DeadLetter, json: bool) -> String {
    let DeadLetter { id, event, campaign_id, at, attempts, failed_at, status, reason, .. } = letter;
    if json {
        return json!({ "event_id": id, "event": event, "campaign_id": campaign_id, "at": at, "attempts": attempts, "failed_at": failed_at,
                       "last_status": status, "last_error": reason })
        .to_string();
    }
    let status = status.map_or_else(|| "-".to_owned(), |status| status.to_string());
    format!("{id:<36} {:<26} {attempts:<8} {status:<6} {}", event.as_str(), reason.as_deref().unwrap_or("-"))
}

async fn replay(arguments: Replay) -> Result<()> {
    let Replay { one, events } = arguments;
    let only = (!events.is_empty()).then_some(events.as_slice());
    let count = webhooks(&one.store).await?.replay(&one.id, only).await?;
    eprintln!("{count} deliveries are tried again.");
    Ok(())
}

fn check(arguments: &Verify) -> Result<()> {
    let unread = |error: std::io::Error| Error::new(Kind::Invalid, format!("the body cannot be read: {error}"));
    let mut body = Vec::new();
    match &arguments.body {
        Some(path) => body = std::fs::read(path).map_err(unread)?,
        None => drop(std::io::stdin().read_to_end(&mut body).map_err(unread)?),
    }
    let Verify { secret, id, timestamp, signature, .. } = arguments;
    verify(secret, id, timestamp, signature, &body, clock()?.now())?;
    println!("genuine");
    Ok(())
}
