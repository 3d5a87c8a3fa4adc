//! The SQLite store passes the suite that every store passes, in a file and in memory.
#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use campaign_core::store::{ContactStore, SqliteStore};
use campaign_core::testkit::store;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

fn memory() -> Arc<dyn ContactStore> {
    Arc::new(SqliteStore::in_memory().unwrap())
}

#[tokio::test]
async fn conforms_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let files = AtomicU32::new(0);
    store::run(|| {
        let path = folder.path().join(format!("{}.db", files.fetch_add(1, Ordering::Relaxed)));
        Box::pin(async move { Ok(Arc::new(SqliteStore::open(path)?) as Arc<dyn ContactStore>) })
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn conforms_in_memory() {
    store::run(|| Box::pin(async { Ok(memory()) })).await.unwrap();
}

#[tokio::test]
async fn counts_hold_over_long_random_sequences() {
    for seed in 2..6 {
        store::compare(memory(), seed, 1_500).await.unwrap();
    }
}
