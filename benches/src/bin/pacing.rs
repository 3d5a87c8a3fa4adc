//! Pacing on the wall clock: the rate that is reached, and the fullest 60 s.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use campaign_benches::{fill, quick, spec};
use campaign_core::Engine;
use campaign_core::dialer::{CarrierProfile, SimulatedDialer};
use campaign_core::store::SqliteStore;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

#[tokio::main]
async fn main() {
    let seconds = if quick() { 3 } else { 150 };
    let limits = [600u32, 6_000];
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(directory.path().join("bench.db")).unwrap());
    let dialer = SimulatedDialer::new(CarrierProfile::instant(), 1);
    let engine = Engine::builder().shared_store(store.clone()).dialer(dialer.clone()).build().await.unwrap();
    let mut campaigns = BTreeMap::new();
    for limit in limits {
        let mut spec = spec("pacing", 1_000);
        spec.rate_limit_per_minute = Some(limit);
        let id = engine.create_campaign(spec).await.unwrap().id;
        fill(store.as_ref(), id, 0, (limit as usize * seconds as usize) / 60 + 1_000).await;
        campaigns.insert(limit, id);
    }
    for id in campaigns.values() {
        engine.start(*id).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    for id in campaigns.values() {
        engine.pause(*id).await.unwrap();
    }
    let mut starts: BTreeMap<_, Vec<i64>> = BTreeMap::new();
    for hand_off in dialer.hand_offs() {
        let owner = engine.get_contact(hand_off.contact_id).await.unwrap().owner;
        starts.entry(owner).or_default().push(hand_off.at.as_microsecond());
    }
    println!("| limit per minute | reached per minute | of the limit | fullest 60 s |");
    println!("|---|---|---|---|");
    for (limit, id) in campaigns {
        let starts = &starts[&campaign_core::contact::Owner::Campaign(id)];
        let span = (starts[starts.len() - 1] - starts[0]) as f64 / 60e6;
        let reached = (starts.len() - 1) as f64 / span;
        let mut first = 0;
        let mut fullest = 0;
        for (index, at) in starts.iter().enumerate() {
            while at - starts[first] >= 60_000_000 {
                first += 1;
            }
            fullest = fullest.max(index - first + 1);
        }
        println!("| {limit} | {reached:.1} | {:.2} % | {fullest} |", reached / f64::from(limit) * 100.0);
        assert!(fullest <= limit as usize, "a window of 60 s held more starts than the limit");
    }
    engine.stop(None).await.unwrap();
}
