//! Nothing acknowledged is lost when the primary dies: a standby that follows it synchronously takes over, and the nodes go on there.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use campaign_core::id::CampaignId;
use campaign_core::store::open_store;
use campaign_tests::carrier::{self, Calls};
use campaign_tests::cluster::{self, Process};
use campaign_tests::judge::{Held, Log, Promise, Verdict};
use campaign_tests::postgres::Server;
use campaign_tests::proxy::{Mode, Proxy};
use campaign_tests::worker::Life;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const CONTACTS: usize = 5_000;
const AT_ONCE: u32 = 60;
const NODES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

/// A primary, a standby that follows it through a network that can fail, and nodes that know both.
struct Scene {
    primary: Server,
    standby: Server,
    network: Proxy,
    nodes: Vec<Process>,
    book: PathBuf,
    campaign: CampaignId,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn set(synchronous: bool) -> Self {
        let primary = Server::start().unwrap();
        let network = Proxy::start(primary.port()).await.unwrap();
        // The copy is made before commits wait for it.
        let standby = primary.standby("second", network.port()).unwrap();
        let client = primary.client().await;
        if synchronous {
            client.batch_execute("ALTER SYSTEM SET synchronous_standby_names = 'second'").await.unwrap();
            client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        }
        let wanted = if synchronous { "sync" } else { "async" };
        let follows =
            "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'second' AND state = 'streaming' AND sync_state = $1";
        until("the standby follows", async || client.query_one(follows, &[&wanted]).await.unwrap().get::<_, i64>(0) == 1).await;

        let folder = tempfile::tempdir().unwrap();
        let book = folder.path().join("book");
        let spec = cluster::spec("failover").concurrent_limit(AT_ONCE);
        let campaign = cluster::prepare(&primary.url(), vec![(spec, 0..CONTACTS)]).await.unwrap()[0];
        let url = primary.url_of_writable(&[primary.port(), standby.port()]);
        let calls = Calls { shortest: 20, longest: 200, unanswered: 0.1, in_doubt: 0.005, ..Calls::instant() };
        let nodes = (0..NODES)
            .map(|number| {
                let life = Life {
                    node: format!("node-{number}"),
                    witnessed: true,
                    lease: Duration::from_secs(3),
                    longest_pause: Duration::from_secs(1),
                    ..Life::new(url.clone(), book.clone(), calls.clone())
                };
                Process::start(Some(PathBuf::from(env!("CARGO_BIN_EXE_cluster_worker"))), &life).unwrap()
            })
            .collect();
        Self { primary, standby, network, nodes, book, campaign, _folder: folder }
    }

    /// Lets the campaign run for a while, cuts the standby off, and kills the primary a second later, or when it has acknowledged so many
    /// settlements more.
    async fn fail(&self, more: usize) {
        until("the campaign is on its way", async || acknowledged(&self.book).1 > CONTACTS / 4).await;
        self.network.set(Mode::BlackHole);
        let before = acknowledged(&self.book).1;
        tokio::time::sleep(Duration::from_secs(1)).await;
        until("work is acknowledged that the standby has not got", async || acknowledged(&self.book).1 >= before + more).await;
        self.primary.crash();
        // What the network swallowed never arrives.
        self.network.cut();
        self.network.set(Mode::Refuse);
    }

    async fn promote(&self) {
        self.standby.promote().unwrap();
        let client = self.standby.client().await;
        // It was copied from a server that did not wait for anybody yet, but an operator cannot rely on that.
        client.batch_execute("ALTER SYSTEM SET synchronous_standby_names = ''").await.unwrap();
        client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    }
}

fn acknowledged(book: &Path) -> (usize, usize) {
    match carrier::read(book) {
        Ok(entries) => Log::new(&entries, &mut Verdict::default()).acknowledged(),
        Err(_) => (0, 0),
    }
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_synchronous_commit_a_dead_primary_takes_nothing_acknowledged_along() {
    let mut scene = Scene::set(true).await;
    scene.fail(0).await;
    let (claimed_before, settled_before) = acknowledged(&scene.book);
    assert!(settled_before < CONTACTS, "the primary died after everything was done; make the campaign longer");
    let begin = Instant::now();
    scene.promote().await;
    let promoted = begin.elapsed();
    until("the nodes go on", async || acknowledged(&scene.book).1 > settled_before).await;
    let outage = begin.elapsed();
    let (mut most, mut advanced) = (0, Instant::now());
    for node in &mut scene.nodes {
        while node.ended().is_none() {
            // How long it takes is the machine's business, as long as it goes on.
            let settled = acknowledged(&scene.book).1;
            if settled > most {
                (most, advanced) = (settled, Instant::now());
            }
            assert!(advanced.elapsed() < PATIENCE, "the campaign does not end on the new primary");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        assert!(node.wait().is_some_and(|status| status.success()), "a node gave up");
    }

    println!("ended {:?} after the crash", begin.elapsed());
    let store = open_store(&scene.standby.url()).await.unwrap();
    let held = Held::read(store.as_ref(), scene.campaign).await.unwrap();
    let mut verdict = Verdict::default();
    let log = Log::new(&carrier::read(&scene.book).unwrap(), &mut verdict);
    log.keeps(Some(scene.campaign), &Promise { concurrency: Some(AT_ONCE.into()), rate: None }, &mut verdict);
    log.remembers(&held.attempts, &mut verdict);
    log.agrees(std::slice::from_ref(&held), CONTACTS, &mut verdict);
    println!(
        "acknowledged before the crash: {claimed_before} claims, {settled_before} settlements; promoted in {promoted:?}, \
         settling again after {outage:?}; {} settlements refused as stale",
        log.stale()
    );
    assert!(verdict.is_clean(), "{verdict}");
}

/// The other way round: without synchronous commit the same crash loses what was acknowledged, and the judge sees it. If this did not
/// fail, the test above would prove nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_synchronous_commit_the_same_crash_is_seen_to_lose_work() {
    let mut scene = Scene::set(false).await;
    scene.fail(50).await;
    // Nobody goes on from here: what is asked for is what the new primary knows.
    scene.nodes.iter_mut().for_each(Process::kill);
    scene.promote().await;
    let store = open_store(&scene.standby.url()).await.unwrap();
    let held = Held::read(store.as_ref(), scene.campaign).await.unwrap();
    let mut verdict = Verdict::default();
    Log::new(&carrier::read(&scene.book).unwrap(), &mut verdict).remembers(&held.attempts, &mut verdict);
    assert!(verdict.kinds().contains(&"acknowledged settlements that are gone"), "{verdict}");
}
