//! The store behind pgbouncer, pooling by transaction: the same suite, and a small campaign of two processes.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, missing_docs)]

use campaign_core::store::{ContactStore, PostgresOptions, PostgresStore, StoreClock, open_store};
use campaign_core::testkit::store;
use campaign_tests::carrier::{self, Calls};
use campaign_tests::cluster::{self, Process};
use campaign_tests::judge::{Held, Log, Promise, Verdict};
use campaign_tests::postgres::{Pooler, Server};
use campaign_tests::worker::Life;
use std::path::PathBuf;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_passes_through_a_pooler() {
    let server = Server::shared();
    let pooler = Pooler::start(server, 4).unwrap();
    let (url, listen_url) = (server.url_by(pooler.port()), server.url());
    store::run(|| {
        let (url, listen_url) = (url.clone(), listen_url.clone());
        Box::pin(async move {
            let options = PostgresOptions {
                schema: Server::schema(),
                listen_url: Some(listen_url),
                clock: StoreClock::Requests,
                ..PostgresOptions::default()
            };
            Ok(Arc::new(PostgresStore::connect_with(&url, options).await?) as Arc<dyn ContactStore>)
        })
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_runs_through_a_pooler() {
    const CONTACTS: usize = 2_000;
    const AT_ONCE: u32 = 50;
    let server = Server::start().unwrap();
    // Fewer connections than the two pools hold: they share.
    let pooler = Pooler::start(&server, 5).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let book = folder.path().join("book");
    let url = server.url_by(pooler.port());
    let id = cluster::prepare(&url, vec![(cluster::spec("pooled").concurrent_limit(AT_ONCE), 0..CONTACTS)]).await.unwrap()[0];
    let calls = Calls { longest: 20, unanswered: 0.1, gives_reference: true, ..Calls::instant() };
    let mut nodes: Vec<Process> = (0..2)
        .map(|number| {
            let life = Life { node: format!("node-{number}"), witnessed: true, ..Life::new(url.clone(), book.clone(), calls.clone()) };
            Process::start(Some(PathBuf::from(env!("CARGO_BIN_EXE_cluster_worker"))), &life).unwrap()
        })
        .collect();
    tokio::task::spawn_blocking(move || {
        for node in &mut nodes {
            assert!(node.wait().is_some_and(|status| status.success()), "a node gave up");
        }
    })
    .await
    .unwrap();
    let store = open_store(&server.url()).await.unwrap();
    let held = Held::read(store.as_ref(), id).await.unwrap();
    let mut verdict = Verdict::default();
    let log = Log::new(&carrier::read(&book).unwrap(), &mut verdict);
    let kept = log.keeps(Some(id), &Promise { concurrency: Some(AT_ONCE.into()), rate: None }, &mut verdict);
    log.remembers(&held.attempts, &mut verdict);
    log.agrees(&[held], CONTACTS, &mut verdict);
    assert!(verdict.is_clean(), "{verdict}");
    assert!(kept.hand_offs > CONTACTS as u64);
}
