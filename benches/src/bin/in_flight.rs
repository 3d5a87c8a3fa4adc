//! Ten thousand calls at once: memory per waiting call, and what they cost while they wait.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use campaign_benches::{fill, processor_time, quick, resident, size, spec};
use campaign_core::Engine;
use campaign_core::dialer::{CallMix, CarrierProfile, SimulatedDialer, Span, TalkTime};
use campaign_core::store::SqliteStore;
use std::sync::Arc;
use std::time::Duration;

#[tokio::main]
async fn main() {
    let calls = size(10_000, 200);
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(directory.path().join("bench.db")).unwrap());
    let profile = CarrierProfile {
        calls: CallMix { answered: 1, ..CallMix::none() },
        ring_millis: Span::ZERO,
        talk: TalkTime { min_seconds: 600, mean_seconds: 600, max_seconds: 600 },
        gives_reference: false,
        ..CarrierProfile::default()
    };
    let dialer = SimulatedDialer::new(profile, 1).forgetful();
    let engine = Engine::builder().shared_store(store.clone()).dialer(dialer.clone()).build().await.unwrap();
    // A first campaign warms caches and allocators, so that only calls are counted below.
    let warm = engine.create_campaign(spec("warm", 100)).await.unwrap().id;
    fill(store.as_ref(), warm, 0, 100).await;
    engine.start(warm).await.unwrap();
    until(&dialer, 100).await;
    let id = engine.create_campaign(spec("waiting", calls as u32)).await.unwrap().id;
    fill(store.as_ref(), id, 0, calls).await;
    let before = resident();
    engine.start(id).await.unwrap();
    until(&dialer, calls as u32 + 100).await;
    let memory = resident().saturating_sub(before);
    let seconds = if quick() { 1 } else { 20 };
    let busy = processor_time();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let busy = processor_time().saturating_sub(busy);
    println!("| calls in flight | memory per call | processor while they wait |");
    println!("|---|---|---|");
    println!(
        "| {calls} | {:.1} kB | {:.2} % of one core |",
        memory as f64 / calls as f64 / 1024.0,
        busy.as_secs_f64() / seconds as f64 * 100.0
    );
    engine.abort();
}

async fn until(dialer: &SimulatedDialer, in_flight: u32) {
    while dialer.stats().in_flight < in_flight {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
