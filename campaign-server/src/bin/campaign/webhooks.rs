//! `campaign webhooks`.

use crate::common::{Done, Session, campaign_id, clock, json_line, line, remark, table};
use campaign_core::executor::Executor;
use campaign_core::id::CampaignId;
use campaign_core::store::{ContactStore, open_store};
use campaign_core::{Error, Kind};
use campaign_server::webhooks::{DeadLetter, Endpoint, EventName, NewEndpoint, Webhooks, verify};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

/// Who is told of events; and whether what was received is genuine.
#[derive(Subcommand)]
pub(crate) enum Hooks {
    /// Make a webhook. Its secret is shown this once.
    Create(Create),
    /// List every webhook, without its secret.
    List,
    /// Remove a webhook, with what waits for it.
    Delete(One),
    /// List what nobody took within a day.
    Dead(One),
    /// Send dead letters again; a running server does it.
    Replay(Replay),
    /// Check the signature of a delivery, for whoever writes a receiver: the body is read from the standard input.
    Verify(Verify),
}

/// Arguments of `webhooks create`.
#[derive(Args)]
pub(crate) struct Create {
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
    #[arg(long, value_parser = campaign_id)]
    campaign: Option<CampaignId>,
    /// For people.
    #[arg(long)]
    description: Option<String>,
}

/// A webhook.
#[derive(Args)]
pub(crate) struct One {
    /// The id, as `webhooks list` shows it.
    id: String,
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
    pub(crate) async fn run(self, session: &Session) -> Done {
        match self {
            Self::Create(arguments) => create(arguments, session).await,
            Self::List => list(session).await,
            Self::Delete(arguments) => delete(arguments, session).await,
            Self::Dead(arguments) => dead(arguments, session).await,
            Self::Replay(arguments) => replay(arguments, session).await,
            Self::Verify(arguments) => check(&arguments, session),
        }
    }
}

async fn webhooks(session: &Session) -> Done<Webhooks> {
    Ok(with_store(session).await?.0)
}

async fn with_store(session: &Session) -> Done<(Webhooks, Arc<dyn ContactStore>)> {
    let configuration = session.configuration()?;
    let reach = configuration.server_options().webhook_reach;
    let store = open_store(configuration.store()).await?;
    Ok((Webhooks::new(Arc::clone(&store), Arc::new(clock()?), reach), store))
}

async fn create(arguments: Create, session: &Session) -> Done {
    let (webhooks, store) = with_store(session).await?;
    if let Some(id) = arguments.campaign
        && store.campaign(id).await?.is_none()
    {
        return Err(Error::not_found("campaign", id).into());
    }
    let new = NewEndpoint {
        organization_id: arguments.organization,
        campaign_id: arguments.campaign,
        url: arguments.url,
        description: arguments.description,
        events: arguments.events,
        secret: None,
    };
    let (endpoint, secret) = webhooks.create(new).await?;
    if session.json {
        let mut shown = json!(endpoint);
        shown["secret"] = secret.into();
        return json_line(&shown);
    }
    line(secret)?;
    remark(format!("Webhook {} was made. Its secret is shown this once; keep it safe.", endpoint.id));
    Ok(())
}

async fn list(session: &Session) -> Done {
    let all = webhooks(session).await?.list().await?;
    if session.json {
        return json_line(&json!(all));
    }
    let every = |id: Option<String>| id.unwrap_or_else(|| "every".to_owned());
    let row = |endpoint: &Endpoint| {
        let Endpoint { id, organization_id, campaign_id, enabled, url, .. } = endpoint;
        let state = if *enabled { "enabled" } else { "disabled" };
        let organization = every(organization_id.map(|id| id.to_string()));
        vec![id.to_string(), organization, every(campaign_id.map(|id| id.to_string())), state.to_owned(), url.clone()]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    table(&["id", "organization", "campaign", "state", "url"], &rows)
}

async fn delete(arguments: One, session: &Session) -> Done {
    webhooks(session).await?.delete(&arguments.id).await?;
    if session.json {
        return json_line(&json!({ "id": arguments.id, "deleted": true }));
    }
    remark(format!("Webhook {} is gone.", arguments.id));
    Ok(())
}

async fn dead(one: One, session: &Session) -> Done {
    let webhooks = webhooks(session).await?;
    webhooks.get(&one.id).await?;
    let (mut behind, mut all): (Option<String>, Vec<Value>) = (None, Vec::new());
    if !session.json {
        line(format!("{:<36} {:<26} {:<8} {:<6} reason", "event id", "event", "attempts", "status"))?;
    }
    loop {
        let page = webhooks.dead(&one.id, behind.as_deref(), 500).await?;
        let Some(last) = page.last() else { break };
        behind = Some(last.key.clone());
        if session.json {
            all.extend(page.iter().map(letter_value));
            continue;
        }
        for letter in &page {
            line(letter_line(letter))?;
        }
    }
    if session.json { json_line(&all.into()) } else { Ok(()) }
}

fn letter_value(letter: &DeadLetter) -> Value {
    let DeadLetter { id, event, campaign_id, at, attempts, failed_at, status, reason, .. } = letter;
    json!({ "event_id": id, "event": event, "campaign_id": campaign_id, "at": at, "attempts": attempts, "failed_at": failed_at,
            "last_status": status, "last_error": reason })
}

fn letter_line(letter: &DeadLetter) -> String {
    let DeadLetter { id, event, attempts, status, reason, .. } = letter;
    let status = status.map_or_else(|| "-".to_owned(), |status| status.to_string());
    format!("{id:<36} {:<26} {attempts:<8} {status:<6} {}", event.as_str(), reason.as_deref().unwrap_or("-"))
}

async fn replay(arguments: Replay, session: &Session) -> Done {
    let Replay { one, events } = arguments;
    let only = (!events.is_empty()).then_some(events.as_slice());
    let count = webhooks(session).await?.replay(&one.id, only).await?;
    if session.json {
        return json_line(&json!({ "id": one.id, "replayed": count }));
    }
    remark(format!("{count} deliveries are tried again."));
    Ok(())
}

fn check(arguments: &Verify, session: &Session) -> Done {
    let unread = |error: std::io::Error| Error::new(Kind::Invalid, format!("the body cannot be read: {error}"));
    let mut body = Vec::new();
    match &arguments.body {
        Some(path) => body = std::fs::read(path).map_err(unread)?,
        None => drop(std::io::stdin().read_to_end(&mut body).map_err(unread)?),
    }
    let Verify { secret, id, timestamp, signature, .. } = arguments;
    verify(secret, id, timestamp, signature, &body, clock()?.now())?;
    if session.json { json_line(&json!({ "genuine": true })) } else { line("genuine") }
}
