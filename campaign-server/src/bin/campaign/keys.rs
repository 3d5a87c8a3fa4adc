//! `campaign keys`.

use crate::StoreArgs;
use campaign_core::executor::TokioExecutor;
use campaign_core::store::open_store;
use campaign_core::{Error, Kind, Result};
use campaign_server::auth::{ApiKey, NewKey, Scope};
use clap::{Args, Subcommand, ValueEnum};
use std::sync::Arc;

/// API keys of a store.
#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Create a key. It is shown this once.
    Create(Create),
    /// List every key, without its secret.
    List(List),
    /// Revoke a key; from then on it is refused.
    Revoke(Revoke),
}

#[derive(Clone, Copy, ValueEnum)]
enum ScopeArg {
    Read,
    Write,
    Admin,
}

/// Arguments of `keys create`.
#[derive(Args)]
pub(crate) struct Create {
    #[command(flatten)]
    store: StoreArgs,
    /// A name for people.
    #[arg(long)]
    name: String,
    /// What it may do; each scope includes those before it.
    #[arg(long = "scope", value_enum, default_values_t = [ScopeArg::Write])]
    scopes: Vec<ScopeArg>,
    /// Whose data it sees. Without it the key sees the data of every organisation.
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    organization: Option<i64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `keys list`.
#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `keys revoke`.
#[derive(Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    store: StoreArgs,
    /// The id, as `keys list` shows it.
    id: String,
}

impl Keys {
    pub(crate) async fn run(self) -> Result<()> {
        match self {
            Self::Create(arguments) => create(arguments).await,
            Self::List(arguments) => list(arguments).await,
            Self::Revoke(arguments) => revoke(arguments).await,
        }
    }
}

async fn keys(store: &StoreArgs) -> Result<campaign_server::auth::Keys> {
    let clock = TokioExecutor::current().ok_or_else(|| Error::new(Kind::Internal, "there is no runtime"))?;
    Ok(campaign_server::auth::Keys::new(open_store(&store.store).await?, Arc::new(clock)))
}

async fn create(arguments: Create) -> Result<()> {
    let scopes = arguments
        .scopes
        .iter()
        .map(|scope| match scope {
            ScopeArg::Read => Scope::Read,
            ScopeArg::Write => Scope::Write,
            ScopeArg::Admin => Scope::Admin,
        })
        .collect();
    let new = NewKey { name: arguments.name, scopes, organization_id: arguments.organization };
    let (key, text) = keys(&arguments.store).await?.create(new).await?;
    if arguments.json {
        println!("{}", serde_json::json!({ "id": key.id, "key": text }));
    } else {
        println!("{text}");
        eprintln!("Key {} was created. It is shown this once; keep it safe.", key.id);
    }
    Ok(())
}

async fn list(arguments: List) -> Result<()> {
    let keys = keys(&arguments.store).await?.list().await?;
    if arguments.json {
        let text =
            serde_json::to_string_pretty(&keys).map_err(|error| Error::new(Kind::Internal, "keys must serialise").with_source(error))?;
        println!("{text}");
        return Ok(());
    }
    println!("{:<18} {:<24} {:<18} {:<12} {:<21} {:<21} state", "id", "name", "scopes", "organization", "created", "last used");
    for key in &keys {
        println!("{}", line(key));
    }
    Ok(())
}

fn line(key: &ApiKey) -> String {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    let organization = key.organization_id.map_or_else(|| "every".to_owned(), |id| id.to_string());
    let second = |at: jiff::Timestamp| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let used = key.last_used_at.map_or_else(|| "never".to_owned(), second);
    let state = if key.revoked_at.is_some() { "revoked" } else { "works" };
    format!(
        "{:<18} {:<24} {:<18} {:<12} {:<21} {:<21} {state}",
        key.id,
        key.name,
        scopes.join(","),
        organization,
        second(key.created_at),
        used
    )
}

async fn revoke(arguments: Revoke) -> Result<()> {
    let key = keys(&arguments.store).await?.revoke(&arguments.id).await?;
    eprintln!("Key {} is revoked.", key.id);
    Ok(())
}
