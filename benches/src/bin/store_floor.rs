//! How close the SQLite store comes to plain SQL, in one run.
//!
//! First the floor: a bare rusqlite program that claims and completes contacts in batches, fully durable, with nothing of what the
//! engine needs (no attempts, limits, gates or counters). Then the store's `claim` and `settle`, at several sizes of the store.
//! Figures are medians of the rounds. Run it with `cargo run --release -p campaign-benches --bin store_floor`.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use campaign_core::campaign::{CampaignSpec, CampaignStatus};
use campaign_core::contact::{ContactSource, ContactStatus, NewContact, Owner, PlannedStep, ZoneKey};
use campaign_core::id::{CampaignId, NodeToken};
use campaign_core::outcome::{Channel, Outcome};
use campaign_core::phone::PhoneNumber;
use campaign_core::policy::gates::ClaimGates;
use campaign_core::policy::limits::{ClaimLimits, LimitRules, LimitScope};
use campaign_core::policy::transition::{self, ContactEvent};
use campaign_core::store::{
    AddContacts, AttemptEnd, ClaimRequest, ContactStore, DuplicatePolicy, NewCampaign, NewNode, SaveCampaign, SettleRequest, Settlement,
    SqliteStore,
};
use jiff::{SignedDuration, Timestamp};
use std::path::Path;
use std::time::Instant;
use uuid::Uuid;

type Failure = Box<dyn std::error::Error>;

const ROUNDS: usize = 20;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "a bench prints its table")]
async fn main() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    println!("{:<52}{:>14}", "what", "contacts/s");
    let floor = floor(&folder.path().join("floor.db"), 300_000, 500)?;
    println!("{:<52}{floor:>14.0}", "plain SQL, 300,000 contacts, batches of 500");
    for size in [1_000_usize, 100_000, 1_000_000] {
        let store = SqliteStore::open(folder.path().join(format!("{size}.db")))?;
        let begin = Instant::now();
        let (campaign, token) = fill(&store, size).await?;
        let added = size as f64 / begin.elapsed().as_secs_f64();
        println!("{:<52}{added:>14.0}", format!("store, {size} contacts added"));
        for batch in [500, 1_000] {
            let rate = store_rate(&store, campaign, token, size, batch).await?;
            let share = 100.0 * rate / floor;
            println!("{:<52}{rate:>14.0}   {share:.0} % of the floor", format!("store, {size} contacts, claim + settle {batch}"));
        }
        store.close().await?;
    }
    Ok(())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(0.0)
}

fn variables(index: usize) -> String {
    format!(r#"{{"city":"Springfield","plan":"premium","balance":"{index}.50","due_date":"2026-12-01","agent":"Dana"}}"#)
}

fn phone(index: usize) -> String {
    format!("+1555{index:08}")
}

/// One claim is a select and an update by id, one completion an update by id, each batch one durable transaction.
fn floor(path: &Path, size: usize, batch: usize) -> Result<f64, Failure> {
    let conn = rusqlite::Connection::open(path)?;
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 16384;
         CREATE TABLE contacts (id INTEGER PRIMARY KEY, phone TEXT NOT NULL UNIQUE, status INTEGER NOT NULL, due_at INTEGER NOT NULL,
            attempts INTEGER NOT NULL DEFAULT 0, outcome TEXT, variables TEXT NOT NULL);
         CREATE INDEX contacts_due ON contacts (due_at, id) WHERE status = 0;
         BEGIN",
    )?;
    let mut insert = conn.prepare("INSERT INTO contacts (phone, status, due_at, variables) VALUES (?1, 0, 0, ?2)")?;
    for index in 0..size {
        insert.execute((phone(index), variables(index)))?;
    }
    conn.execute_batch("COMMIT")?;
    let mut select =
        conn.prepare("SELECT id, phone, variables FROM contacts WHERE status = 0 AND due_at <= 0 ORDER BY due_at, id LIMIT ?1")?;
    let mut claim = conn.prepare("UPDATE contacts SET status = 1 WHERE id = ?1")?;
    let mut complete =
        conn.prepare("UPDATE contacts SET status = 2, attempts = attempts + 1, outcome = ?2 WHERE id = ?1 AND status = 1")?;
    let mut rates = Vec::new();
    for _ in 0..ROUNDS * 2 {
        let begin = Instant::now();
        conn.execute_batch("BEGIN IMMEDIATE")?;
        let claimed: Vec<(i64, String, String)> =
            select.query_map([batch as i64], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect::<Result<_, _>>()?;
        for (id, ..) in &claimed {
            claim.execute([id])?;
        }
        conn.execute_batch("COMMIT; BEGIN IMMEDIATE")?;
        for (id, ..) in &claimed {
            complete.execute((id, "answered"))?;
        }
        conn.execute_batch("COMMIT")?;
        rates.push(claimed.len() as f64 / begin.elapsed().as_secs_f64());
    }
    Ok(median(rates))
}

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 365 * 56)
}

async fn fill(store: &SqliteStore, size: usize) -> Result<(CampaignId, NodeToken), Failure> {
    let spec = CampaignSpec::call("bench").build()?;
    let mut record = store.create_campaign(NewCampaign { request_id: Uuid::new_v4(), spec, now: now() }).await?;
    record.status = CampaignStatus::Running;
    let record = store.save_campaign(SaveCampaign { expected_revision: record.revision, record, guard: None, now: now() }).await?;
    for start in (0..size).step_by(10_000) {
        add(store, record.id, start..size.min(start + 10_000)).await?;
    }
    let node = NewNode { name: "bench".to_owned(), lease: SignedDuration::from_hours(1), now: now() };
    Ok((record.id, store.register_node(node).await?.token))
}

async fn add(store: &SqliteStore, campaign: CampaignId, range: std::ops::Range<usize>) -> Result<(), Failure> {
    let zones = ZoneKey::from_names(["America/New_York"]);
    let contacts: Result<Vec<NewContact>, Failure> = range
        .map(|index| {
            Ok(NewContact {
                phone: PhoneNumber::from_e164(&phone(index)).ok_or("a number")?,
                name: Some("Dana Scully".to_owned()),
                email: None,
                company: None,
                zones: zones.clone(),
                variables: serde_json::from_str(&variables(index))?,
                consent: None,
                source: ContactSource::CsvImport,
            })
        })
        .collect();
    let owner = Owner::Campaign(campaign);
    let (request_id, duplicates) = (Uuid::new_v4(), DuplicatePolicy::Skip);
    store.add_contacts(AddContacts { request_id, owner, organization: None, contacts: contacts?.into(), duplicates, now: now() }).await?;
    Ok(())
}

/// Claims and settles batch after batch, each at once after the other: what one engine cycle asks of the store.
async fn store_rate(store: &SqliteStore, campaign: CampaignId, token: NodeToken, size: usize, batch: u32) -> Result<f64, Failure> {
    let zone = ZoneKey::from_names(["America/New_York"]);
    let to = transition::contact(ContactStatus::InProgress, ContactEvent::Finish(ContactStatus::Completed))?;
    let mut rates = Vec::new();
    for round in 0..ROUNDS {
        if size < 100_000 {
            // A small store would run dry: as many as the round takes come in before it, with numbers nobody has.
            let first = 10_000_000 + round * 2_000 + batch as usize * 100_000;
            add(store, campaign, first..first + batch as usize).await?;
        }
        let request = ClaimRequest {
            request_id: Uuid::new_v4(),
            token,
            campaign,
            expected_revision: 2,
            max: batch,
            zones: vec![zone.clone()],
            gates: ClaimGates { first_channel: Some(Channel::Call), ..ClaimGates::default() },
            limits: ClaimLimits {
                shared: vec![LimitRules::new(LimitScope::Deployment), LimitRules::new(LimitScope::Campaign(campaign))],
                callers: Vec::new(),
                horizon: now() + SignedDuration::from_secs(1),
            },
            account: None,
            first_step: PlannedStep { step: 0, channel: Channel::Call },
            spec_version: 1,
            grace: SignedDuration::from_secs(30),
            now: now(),
        };
        let begin = Instant::now();
        let claims = store.claim(request).await?;
        let count = claims.claimed.len();
        let settlements: Vec<Settlement> = claims
            .claimed
            .iter()
            .map(|claimed| Settlement {
                attempt: claimed.attempt.id,
                started_at: Some(now()),
                end: AttemptEnd::Finished(Outcome::answered(30)),
                transition: to,
                reason: None,
                due_at: None,
                step: None,
            })
            .collect();
        store.settle(SettleRequest { token, settlements: settlements.into(), now: now() }).await?;
        rates.push(count as f64 / begin.elapsed().as_secs_f64());
    }
    Ok(median(rates))
}
