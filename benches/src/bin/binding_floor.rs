//! What a binding is measured against: the engine in Rust doing the very work of `benches/node`. Prints contacts per second, one line
//! a round. Arguments: contacts, rounds.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use campaign_benches::{fill, size, spec, timed};
use campaign_core::Engine;
use campaign_core::dialer::SimulatedDialer;
use campaign_core::store::SqliteStore;
use std::sync::Arc;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let contacts = arguments.next().unwrap_or(size(20_000, 500));
    let rounds = arguments.next().unwrap_or(size(3, 1));
    for _ in 0..rounds {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(directory.path().join("bench.db")).unwrap());
        let engine = Engine::builder().shared_store(store.clone()).dialer(SimulatedDialer::instant().forgetful()).build().await.unwrap();
        let id = engine.create_campaign(spec("round", 4_000)).await.unwrap().id;
        fill(store.as_ref(), id, 0, contacts).await;
        let (progress, took) = timed(async {
            engine.start(id).await.unwrap();
            engine.wait(id).await.unwrap()
        })
        .await;
        assert_eq!(progress.completed_contacts, contacts as u64);
        engine.close().await.unwrap();
        println!("{:.0}", contacts as f64 / took.as_secs_f64());
    }
}
