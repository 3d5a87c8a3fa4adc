//! `campaign migrate` and `campaign copy-store`.

use crate::common::{Done, Session, clock, json_line, line};
use crate::import::is_same_file;
use campaign_core::executor::Executor;
use campaign_core::store::{CampaignQuery, ContactStore, Copied, Migrated, Paging, copy_store, migrate_store, open_store};
use campaign_core::{Error, Kind};
use clap::Args;
use serde_json::json;
use std::path::Path;

/// Arguments of `migrate`.
#[derive(Args)]
pub(crate) struct Migrate {}

impl Migrate {
    pub(crate) async fn run(self, session: &Session) -> Done {
        // Opening a store brings it to this version's schema, in a transaction that other processes wait for.
        let (store, migrated) = migrate_store(session.configuration()?.store()).await?;
        let campaigns = store.campaigns(CampaignQuery { paging: Paging { offset: 0, limit: 1 }, ..CampaignQuery::default() }).await?.total;
        store.close().await?;
        if session.json {
            let [from, to] = [migrated.map(|migrated| migrated.from), migrated.map(|migrated| migrated.to)];
            return json_line(&json!({ "migrated": true, "from_version": from, "to_version": to, "campaigns": campaigns }));
        }
        line(format!("{} It holds {campaigns} campaigns.", said(migrated)))
    }
}

/// What was done, for people.
fn said(migrated: Option<Migrated>) -> String {
    match migrated {
        None => "The store is in memory, has no schema, and is gone with this command.".to_owned(),
        Some(Migrated { from: 0, to }) => format!("The store was new; its schema is made, version {to}."),
        Some(Migrated { from, to }) if from == to => format!("The store was at schema version {to} already."),
        Some(Migrated { from, to }) => format!("The store went from schema version {from} to {to}."),
    }
}

/// Arguments of `copy-store`.
#[derive(Args)]
pub(crate) struct CopyStore {
    /// From where, a URL as of `--store`.
    from: String,
    /// To where.
    to: String,
    /// Copies into a store that holds campaigns already: what it has under the same numbers is replaced, with all contacts.
    #[arg(long)]
    overwrite: bool,
}

impl CopyStore {
    pub(crate) async fn run(self, session: &Session) -> Done {
        session.configuration()?;
        different(&self.from, &self.to)?;
        let (from, to) = (open_store(&self.from).await?, open_store(&self.to).await?);
        let now = clock()?.now();
        for (name, store) in [("from", &from), ("to", &to)] {
            if let Some(node) = store.nodes(now).await?.first() {
                let message = format!("the node {:?} uses the store; stop it first, because nothing may be written meanwhile", node.name);
                return Err(Error::new(Kind::State, message).with("store", name).into());
            }
        }
        if !self.overwrite && holds_campaigns(&*to).await? {
            let message = "the store that is copied to holds campaigns already; --overwrite replaces what has the same numbers";
            return Err(Error::new(Kind::Conflict, message).into());
        }
        let Copied { campaigns, contacts, attempts, suppressions, documents } = copy_store(&*from, &*to).await?;
        from.close().await?;
        to.close().await?;
        if session.json {
            return json_line(&json!({
                "campaigns": campaigns, "contacts": contacts, "attempts": attempts, "suppressions": suppressions, "documents": documents,
            }));
        }
        line(format!(
            "Copied {campaigns} campaigns, {contacts} contacts, {attempts} attempts, {suppressions} suppressions and {documents} documents."
        ))
    }
}

/// Two stores, the first of which is there: opening a file that is not makes it.
fn different(from: &str, to: &str) -> Done {
    let there = |url| file(url).map(|path| std::fs::metadata(path).ok());
    let source = there(from);
    if matches!(source, Some(None)) {
        return Err(Error::new(Kind::NotFound, "the store that is copied from does not exist").into());
    }
    let same = matches!((source.flatten(), there(to).flatten()), (Some(one), Some(other)) if is_same_file(&one, &other));
    if same || from == to {
        return Err(Error::invalid("to", "must be another store").into());
    }
    Ok(())
}

/// The file of a store that is one.
fn file(url: &str) -> Option<&Path> {
    let path = url.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    Some(Path::new(path)).filter(|path| *path != Path::new(":memory:"))
}

async fn holds_campaigns(store: &dyn ContactStore) -> Done<bool> {
    let paging = Paging { offset: 0, limit: 1 };
    Ok(!store.campaigns(CampaignQuery { paging, ..CampaignQuery::default() }).await?.items.is_empty())
}
