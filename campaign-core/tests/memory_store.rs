//! The memory store passes the suite that every store passes.

use campaign_core::store::{ContactStore, MemoryStore};
use campaign_core::testkit::store;
use std::sync::Arc;

fn memory() -> Arc<dyn ContactStore> {
    Arc::new(MemoryStore::new())
}

#[tokio::test]
async fn conforms() {
    store::run(|| Box::pin(async { Ok(memory()) })).await.unwrap();
}

#[tokio::test]
async fn counts_hold_over_long_random_sequences() {
    for seed in 2..6 {
        store::compare(memory(), seed, 1_500).await.unwrap();
    }
}
