//! A dry run of a large campaign on virtual time.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use campaign_benches::{fill, peak_resident, size, spec, timed};
use campaign_core::Engine;
use campaign_core::dialer::SimulatedDialer;
use campaign_core::schedule::{CallingWindows, TimeWindow};
use campaign_core::simulate::SimulateOptions;
use campaign_core::store::MemoryStore;
use std::sync::Arc;

#[tokio::main]
async fn main() {
    let contacts = size(1_000_000, 2_000);
    let store = Arc::new(MemoryStore::new());
    let engine = Engine::builder().shared_store(store.clone()).dialer(SimulatedDialer::instant()).build().await.unwrap();
    let mut spec = spec("simulated", 500);
    // About 30 days of calling from 9 to 17 in the contact's zone, with up to three attempts.
    spec.rate_limit_per_minute = Some(80);
    spec.windows = CallingWindows {
        allowed: vec![TimeWindow { start: "09:00".into(), end: "17:00".into(), days: Vec::new() }],
        ..CallingWindows::default()
    };
    let id = engine.create_campaign(spec).await.unwrap().id;
    fill(store.as_ref(), id, 0, contacts).await;
    let (report, took) = timed(engine.simulate(id, SimulateOptions::default())).await;
    let report = report.unwrap();
    let days = report.finished_at.map_or(f64::NAN, |end| end.duration_since(report.started_at).as_secs_f64() / 86_400.0);
    println!("| contacts | attempts | simulated days | peak in flight | seconds | peak memory |");
    println!("|---|---|---|---|---|---|");
    println!(
        "| {contacts} | {} | {days:.1} | {} | {:.1} | {:.0} MB |",
        report.attempts,
        report.peak_concurrency,
        took.as_secs_f64(),
        peak_resident() as f64 / 1e6
    );
    engine.abort();
}
