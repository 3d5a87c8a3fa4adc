//! Settled contacts per second of 1, 2 and 4 processes on one PostgreSQL with its default durability, and a dialer that answers at once.
//! Beside it, in the same run on the same server and the same tables, what raw SQL can do; and a round that checks limits.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use campaign_benches::{fill, median, raw_postgres, size, spec};
use campaign_core::campaign::CampaignSpec;
use campaign_core::id::CampaignId;
use campaign_core::store::{ContactStore, NewCampaign, open_store};
use campaign_tests::carrier::{self, Calls};
use campaign_tests::cluster::Process;
use campaign_tests::judge::{Held, Log, Promise, Verdict};
use campaign_tests::postgres::Server;
use campaign_tests::worker::Life;
use jiff::Timestamp;
use std::path::Path;
use std::sync::Arc;

/// Contacts of a round: enough that the start of the processes, which takes the machine from the database, is a small part of it.
const CONTACTS: usize = 100_000;

#[tokio::main]
async fn main() {
    // The processes of the cluster are this program again.
    if let Some(life) = Life::from_arguments() {
        return life.live().await.unwrap();
    }
    let server = Server::start().unwrap();
    let processes: &[usize] = &[1, 2, 4];
    let mut raw = Vec::new();
    let mut settled: Vec<Vec<f64>> = vec![Vec::new(); processes.len()];
    // Interleaved, so that a slow minute of the machine meets all of them.
    for _ in 0..size(3, 1) {
        let round = Round::new(&server, spec("raw", 4_000), size(CONTACTS, 1_000)).await;
        raw.push(raw_postgres::rate(&server.client().await, &round.schema, round.campaign, 500).await);
        for (count, rates) in processes.iter().zip(&mut settled) {
            let round = Round::new(&server, spec("round", 4_000), size(CONTACTS, 1_000)).await;
            round.run(*count, None, Path::new("/dev/null")).await;
            rates.push(round.rate(&server).await);
        }
    }
    let raw = median(raw);
    println!("| | settled contacts/s | of raw SQL |");
    println!("|---|---|---|");
    println!("| raw SQL: claim 500 + settle 500, set based, one connection | {raw:.0} | 100 % |");
    for (count, rates) in processes.iter().zip(settled) {
        let rate = median(rates);
        println!("| engine, {count} process{} | {rate:.0} | {:.0} % |", if *count == 1 { "" } else { "es" }, rate / raw * 100.0);
    }
    println!();
    limits(&server).await;
}

/// Four processes at a limit that holds them back, judged by the carrier's book.
async fn limits(server: &Server) {
    let (contacts, limit) = (size(20_000, 1_000), 100);
    let folder = tempfile::tempdir().unwrap();
    let book = folder.path().join("book");
    let round = Round::new(server, spec("limits", limit), contacts).await;
    round.run(4, Some(Calls { shortest: 5, longest: 40, ..Calls::instant() }), &book).await;
    let mut verdict = Verdict::default();
    let log = Log::new(&carrier::read(&book).unwrap(), &mut verdict);
    let kept = log.keeps(Some(round.campaign), &Promise { concurrency: Some(limit.into()), rate: None }, &mut verdict);
    log.agrees(&[Held::read(round.store.as_ref(), round.campaign).await.unwrap()], contacts, &mut verdict);
    assert!(verdict.is_clean(), "{verdict}");
    println!("| 4 processes, calls of 5 to 40 ms, by the carrier's book | |");
    println!("|---|---|");
    println!("| calls handed over, none of them twice | {} |", kept.hand_offs);
    println!("| at once at most, of {limit} allowed | {} |", kept.peak);
    println!("| calls per second | {:.0} |", kept.hand_offs as f64 / kept.seconds);
}

/// A campaign of its own in a schema of its own.
struct Round {
    url: String,
    schema: String,
    store: Arc<dyn ContactStore>,
    campaign: CampaignId,
}

impl Round {
    async fn new(server: &Server, spec: CampaignSpec, contacts: usize) -> Self {
        let schema = Server::schema();
        let url = format!("{}?schema={schema}", server.url());
        let store = open_store(&url).await.unwrap();
        let new = NewCampaign { request_id: uuid::Uuid::new_v4(), spec, now: Timestamp::now() };
        let campaign = store.create_campaign(new).await.unwrap().id;
        fill(store.as_ref(), campaign, 0, contacts).await;
        // What the import left behind is not part of the measurement.
        let client = server.client().await;
        // Each by itself: a vacuum is no part of a transaction.
        for sql in ["VACUUM ANALYZE", "CHECKPOINT"] {
            client.batch_execute(sql).await.unwrap();
        }
        Self { url, schema, store, campaign }
    }

    /// Lets so many processes run the campaign to its end.
    async fn run(&self, processes: usize, calls: Option<Calls>, book: &Path) {
        let lives = (0..processes).map(|_| Life {
            calls: calls.clone(),
            together: processes,
            ..Life::new(self.url.clone(), book.to_owned(), Calls::instant())
        });
        let mut running: Vec<Process> = lives.map(|life| Process::start(None, &life).unwrap()).collect();
        let ended = tokio::task::spawn_blocking(move || running.iter_mut().all(|process| process.wait().is_some_and(|end| end.success())));
        assert!(ended.await.unwrap(), "a process gave up");
        assert_eq!(self.store.counts(self.campaign).await.unwrap().open(), 0);
    }

    /// Contacts per second from the first claim to the last settlement, by the database's clock.
    async fn rate(&self, server: &Server) -> f64 {
        let sql = format!(
            "SELECT count(*) / extract(epoch FROM max(finished_at) - min(claimed_at))::float8 FROM {}.attempts WHERE disposition IS NOT NULL",
            self.schema
        );
        server.client().await.query_one(&sql, &[]).await.unwrap().get(0)
    }
}
