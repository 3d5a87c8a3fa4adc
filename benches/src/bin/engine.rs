//! Settled contacts per second: every intent and every outcome on disk, a dialer that answers at once. Beside it, in the same
//! run, what raw SQL can do.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use campaign_benches::floor::Due;
use campaign_benches::{fill, floor, median, quick, size, spec, timed};
use campaign_core::Engine;
use campaign_core::dialer::SimulatedDialer;
use campaign_core::store::SqliteStore;
use std::sync::Arc;

#[tokio::main]
async fn main() {
    let rounds = size(5, 1);
    let stored = if quick() { vec![1_000] } else { vec![1_000, 100_000, 1_000_000] };
    let (mut raw, mut scattered) = (Vec::new(), Vec::new());
    let mut settled: Vec<Vec<f64>> = vec![Vec::new(); stored.len()];
    let mut worlds = Vec::new();
    for &contacts in &stored {
        worlds.push(World::new(contacts).await);
    }
    // Interleaved, so that a slow minute of the machine meets all of them.
    for _ in 0..rounds {
        raw.push(floor::raw(size(300_000, 2_000), Due::InFileOrder));
        scattered.push(floor::raw(size(300_000, 2_000), Due::InAnyOrder));
        for (world, rates) in worlds.iter().zip(&mut settled) {
            rates.push(world.round().await);
        }
    }
    let (raw, scattered) = (median(raw), median(scattered));
    println!("| | settled contacts/s | of raw SQL, due in file order | of raw SQL, due in any order |");
    println!("|---|---|---|---|");
    println!("| raw SQL: claim 500 + complete 500, due in file order | {raw:.0} | 100 % | |");
    println!("| raw SQL: claim 500 + complete 500, due in any order | {scattered:.0} | | 100 % |");
    for (contacts, rates) in stored.iter().zip(settled) {
        let rate = median(rates);
        println!(
            "| engine, {contacts} contacts in the store | {rate:.0} | {:.0} % | {:.0} % |",
            rate / raw * 100.0,
            rate / scattered * 100.0
        );
    }
}

struct World {
    _directory: tempfile::TempDir,
    store: Arc<SqliteStore>,
    stored: usize,
}

impl World {
    /// A store that holds this many contacts of another campaign.
    async fn new(stored: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(directory.path().join("bench.db")).unwrap());
        let engine = Engine::builder().shared_store(store.clone()).dialer(SimulatedDialer::instant().forgetful()).build().await.unwrap();
        let other = engine.create_campaign(spec("others", 1)).await.unwrap().id;
        fill(store.as_ref(), other, 0, stored).await;
        engine.stop(None).await.unwrap();
        Self { _directory: directory, store, stored }
    }

    /// Runs a campaign to its end and returns contacts per second.
    async fn round(&self) -> f64 {
        let contacts = self.stored.clamp(size(20_000, 500), 100_000);
        let engine =
            Engine::builder().shared_store(self.store.clone()).dialer(SimulatedDialer::instant().forgetful()).build().await.unwrap();
        let id = engine.create_campaign(spec("round", 4_000)).await.unwrap().id;
        fill(self.store.as_ref(), id, 0, contacts).await;
        let (progress, took) = timed(async {
            engine.start(id).await.unwrap();
            engine.wait(id).await.unwrap()
        })
        .await;
        assert_eq!(progress.completed_contacts, contacts as u64);
        engine.stop(None).await.unwrap();
        contacts as f64 / took.as_secs_f64()
    }
}
