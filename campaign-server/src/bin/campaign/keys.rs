//! `campaign keys`.

use crate::common::{Done, Session, clock, json_line, line, moment, remark, table};
use campaign_server::auth::{ApiKey, NewKey, Scope};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use std::sync::Arc;

/// API keys of a store.
#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Create a key. It is shown this once.
    Create(Create),
    /// List every key, without its secret.
    List,
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
    /// A name for people.
    #[arg(long)]
    name: String,
    /// What it may do; each scope includes those before it.
    #[arg(long = "scope", value_enum, default_values_t = [ScopeArg::Write])]
    scopes: Vec<ScopeArg>,
    /// Whose data it sees. Without it the key sees the data of every organisation.
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    organization: Option<i64>,
}

/// Arguments of `keys revoke`.
#[derive(Args)]
pub(crate) struct Revoke {
    /// The id, as `keys list` shows it.
    id: String,
}

impl Keys {
    pub(crate) async fn run(self, session: &Session) -> Done {
        match self {
            Self::Create(arguments) => create(arguments, session).await,
            Self::List => list(session).await,
            Self::Revoke(arguments) => revoke(arguments, session).await,
        }
    }
}

async fn keys(session: &Session) -> Done<campaign_server::auth::Keys> {
    Ok(campaign_server::auth::Keys::new(session.store().await?, Arc::new(clock()?)))
}

async fn create(arguments: Create, session: &Session) -> Done {
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
    let (key, text) = keys(session).await?.create(new).await?;
    if session.json {
        return json_line(&json!({ "id": key.id, "key": text }));
    }
    line(text)?;
    remark(format!("Key {} was created. It is shown this once; keep it safe.", key.id));
    Ok(())
}

async fn list(session: &Session) -> Done {
    let keys = keys(session).await?.list().await?;
    if session.json {
        return json_line(&json!(keys));
    }
    let rows: Vec<Vec<String>> = keys.iter().map(row).collect();
    table(&["id", "name", "scopes", "organization", "created", "last used", "state"], &rows)
}

fn row(key: &ApiKey) -> Vec<String> {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    vec![
        key.id.to_string(),
        key.name.clone(),
        scopes.join(","),
        key.organization_id.map_or_else(|| "every".to_owned(), |id| id.to_string()),
        moment(key.created_at),
        key.last_used_at.map_or_else(|| "never".to_owned(), moment),
        if key.revoked_at.is_some() { "revoked" } else { "works" }.to_owned(),
    ]
}

async fn revoke(arguments: Revoke, session: &Session) -> Done {
    let key = keys(session).await?.revoke(&arguments.id).await?;
    if session.json {
        return json_line(&json!({ "id": key.id, "revoked_at": key.revoked_at }));
    }
    remark(format!("Key {} is revoked.", key.id));
    Ok(())
}
