//! Moves everything from one store to another: from the SQLite file a project began with to the PostgreSQL that several machines share,
//! or back. Campaigns that were running go on there. `docs/postgres.md` says when and how.
//!
//! `move_store FROM [TO]`; without TO it is what `DATABASE_URL` says. With `--sample` FROM is filled first, so that there is something to move.

// args: --sample sqlite://campaigns.db
// needs: postgres

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to the person who runs it")]
#![expect(clippy::disallowed_methods, reason = "asks who works on the store now, without an engine and its clock")]

use campaign_core::campaign::{CampaignSpec, CampaignStatus};
use campaign_core::dialer::SimulatedDialer;
use campaign_core::import::{ImportOptions, ImportSource};
use campaign_core::store::{CampaignQuery, ContactStore, Paging, copy_store, open_store};
use campaign_core::{Engine, Error, Result};
use clap::Parser;
use jiff::Timestamp;
use serde_json::json;
use std::process::ExitCode;

/// Copies a whole store to another one, and checks that nothing was lost.
#[derive(Parser)]
struct Arguments {
    /// The URL of the store to move, for example sqlite://campaigns.db. No engine may have it open.
    from: String,
    /// The URL of an empty store, for example postgres://user:password@host/database.
    #[arg(env = "DATABASE_URL", hide_env_values = true)]
    to: String,
    /// Fill the first store with a small campaign before, and let it go on in the second one after.
    #[arg(long)]
    sample: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    let from = open_store(&arguments.from).await?;
    if arguments.sample {
        fill(&arguments.from).await?;
    }
    let to = open_store(&arguments.to).await?;
    if let Some(node) = from.nodes(Timestamp::now()).await?.first() {
        let (name, until) = (&node.name, node.expires_at);
        return Err(Error::invalid("from", format!("{name} works on this store; stop it, or wait until its lease ends at {until}")));
    }
    if !to.campaigns(CampaignQuery::default()).await?.items.is_empty() {
        return Err(Error::invalid("to", "this store has campaigns already; what has the same ids would be replaced"));
    }
    let copied = copy_store(from.as_ref(), to.as_ref()).await?;
    check(from.as_ref(), to.as_ref()).await?;
    println!(
        "{} campaigns, {} contacts, {} attempts, {} suppressions and {} documents were copied, and every counter agrees.",
        copied.campaigns, copied.contacts, copied.attempts, copied.suppressions, copied.documents
    );
    from.close().await?;
    to.close().await?;
    if arguments.sample {
        go_on(&arguments.to).await?;
    }
    Ok(())
}

/// Compares the counters of every campaign.
async fn check(from: &dyn ContactStore, to: &dyn ContactStore) -> Result<()> {
    let mut offset = 0;
    loop {
        let query = CampaignQuery { paging: Paging { offset, limit: 1_000 }, ..CampaignQuery::default() };
        let campaigns = from.campaigns(query).await?.items;
        if campaigns.is_empty() {
            return Ok(());
        }
        offset += campaigns.len() as u64;
        for campaign in campaigns {
            if from.counts(campaign.id).await? != to.counts(campaign.id).await? {
                return Err(Error::invalid("from", format!("campaign {} changed while it was copied; copy it again", campaign.id)));
            }
        }
    }
}

/// A campaign of which a part is done.
async fn fill(url: &str) -> Result<()> {
    let engine = Engine::builder().shared_store(open_store(url).await?).dialer(SimulatedDialer::instant()).build().await?;
    let spec = CampaignSpec::call("Half done").template("welcome_message", "Hi {{ name }}.").rate_limit_per_minute(6_000).build()?;
    let id = engine.create_campaign(spec).await?.id;
    let row = |number: u32| json!({ "phone": format!("+1212{}", 5_550_000 + number), "name": "Dana" }).as_object().cloned();
    let rows = (0..200).filter_map(row).collect();
    engine.import_contacts(id, ImportSource::Rows(rows), ImportOptions::default()).await?;
    let mut events = engine.events(id).await?;
    engine.start(id).await?;
    for _ in 0..10 {
        events.next().await;
    }
    engine.pause(id).await?;
    engine.close().await
}

/// What was paused on the old store is resumed on the new one.
async fn go_on(url: &str) -> Result<()> {
    let engine = Engine::builder().shared_store(open_store(url).await?).dialer(SimulatedDialer::instant()).build().await?;
    for campaign in engine.list_campaigns(CampaignQuery::default()).await?.items {
        let before = engine.progress(campaign.id).await?;
        if campaign.status == CampaignStatus::Paused {
            engine.resume(campaign.id).await?;
        }
        let after = engine.wait(campaign.id).await?;
        println!(
            "{}: {} of {} were done before, {} are now.",
            campaign.spec.name, before.completed_contacts, after.total_contacts, after.completed_contacts
        );
    }
    engine.close().await
}
