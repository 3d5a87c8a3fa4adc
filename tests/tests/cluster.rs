//! P1, P2 and P4 over several processes on PostgreSQL that are killed, stopped and cut off at random, and the carrier's own book as
//! the judge.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use campaign_core::campaign::CampaignStatus;
use campaign_core::id::CampaignId;
use campaign_core::policy::limits::LimitScope;
use campaign_core::store::{CampaignQuery, open_store};
use campaign_tests::carrier::{self, Calls, Draw};
use campaign_tests::cluster::{self, Process};
use campaign_tests::judge::{Held, Log, Promise, Verdict};
use campaign_tests::postgres::Server;
use campaign_tests::proxy::{Mode, Proxy};
use campaign_tests::worker::Life;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Two campaigns at once: one that only its concurrency holds back, one that only its rate does.
const WIDE: usize = 17_900;
const SLOW: usize = 2_100;
const AT_ONCE: u32 = 50;
/// Low enough to be reached on a machine that is busy with other things, too.
const PER_MINUTE: u32 = 1_500;
const NODES: usize = 4;
/// How long the failures go on; then everybody may finish in peace.
const CHAOS: Duration = Duration::from_secs(40);
/// How long nobody may come to an end while there is somebody left. How long it all takes is the machine's business.
const PATIENCE: Duration = Duration::from_secs(60);
const LEASE: Duration = Duration::from_secs(2);
/// Stops up to this length are promised to do no harm; longer ones are tried, too.
const LONGEST_PAUSE: Duration = Duration::from_millis(1_500);

/// One worker process behind a network of its own.
struct Node {
    life: Life,
    proxy: Proxy,
    process: Option<Process>,
    /// What ends the failure it suffers, and when.
    recovery: Option<(Instant, Recovery)>,
    finished: bool,
}

#[derive(Debug, Clone, Copy)]
enum Recovery {
    Start,
    Resume,
    Open,
}

impl Node {
    fn start(&mut self) {
        self.process = Some(Process::start(Some(PathBuf::from(env!("CARGO_BIN_EXE_cluster_worker"))), &self.life).unwrap());
    }

    fn recover(&mut self, recovery: Recovery) {
        match recovery {
            Recovery::Start => self.start(),
            Recovery::Resume => self.process.as_ref().unwrap().resume(),
            Recovery::Open => self.proxy.set(Mode::Open),
        }
    }

    /// Fails in some way and says how; the first time in the way that tests fencing.
    fn fail(&mut self, draw: &mut Draw, first: bool) -> &'static str {
        let after = |draw: &mut Draw, least: u64, most: u64| Instant::now() + Duration::from_millis(least + draw.below(most - least));
        let (how, recovery) = match if first { 50 } else { draw.below(100) } {
            0..20 => {
                self.process.take().unwrap().kill();
                ("killed", Some((after(draw, 100, 1_500), Recovery::Start)))
            }
            20..40 => {
                self.process.as_ref().unwrap().pause();
                ("stopped for a moment", Some((after(draw, 50, 1_400), Recovery::Resume)))
            }
            40..55 => {
                // Longer than lease and quarantine together: when it wakes up, others have its work.
                self.process.as_ref().unwrap().pause();
                ("stopped beyond its lease", Some((after(draw, 4_500, 7_000), Recovery::Resume)))
            }
            55..75 => {
                self.proxy.cut();
                ("cut", None)
            }
            75..85 => {
                self.proxy.set(Mode::Delay(Duration::from_millis(20 + draw.below(130))));
                ("delayed", Some((after(draw, 500, 2_500), Recovery::Open)))
            }
            85..93 => {
                self.proxy.set(Mode::BlackHole);
                ("in a black hole", Some((after(draw, 500, 4_000), Recovery::Open)))
            }
            _ => {
                self.proxy.set(Mode::Refuse);
                self.proxy.cut();
                ("refused", Some((after(draw, 500, 3_000), Recovery::Open)))
            }
        };
        self.recovery = recovery;
        how
    }
}

/// What holds a cluster up: campaigns, attempts that are open with the leases they are held under, and what the database does.
async fn held(server: &Server, ids: &[CampaignId]) -> String {
    let store = open_store(&server.url()).await.unwrap();
    let mut text = String::new();
    for id in ids {
        let record = store.campaign(*id).await.unwrap().unwrap();
        let counts = store.counts(*id).await.unwrap();
        let ledger = store.ledgers(vec![LimitScope::Campaign(*id)]).await.unwrap();
        let _ = writeln!(text, "{} {}: {:?}; {ledger:?}", record.spec.name, record.status.as_str(), counts.by_status);
    }
    let client = server.client().await;
    for sql in [
        "SELECT n.name || ' ' || coalesce((n.expires_at - now())::text, 'retired') || ' state ' || a.state || ', not after '
            || (a.not_after - now())::text || ': ' || count(*) || ' like ' || min(a.id)
         FROM campaign.open_attempts a LEFT JOIN campaign.nodes n ON n.id = a.node_id GROUP BY n.name, n.expires_at, a.state, a.not_after LIMIT 20",
        "SELECT pid || ' ' || state || ' since ' || (now() - state_change)::text || ' ' || coalesce(wait_event, '-') || ': ' || left(query, 100)
         FROM pg_stat_activity WHERE backend_type = 'client backend' AND state <> 'idle'",
    ] {
        for row in client.query(sql, &[]).await.unwrap() {
            let _ = writeln!(text, "{}", row.get::<_, String>(0));
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_nobody_is_lost_nobody_is_called_twice_and_limits_hold() {
    let seed = std::env::var("CAMPAIGN_CLUSTER_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| carrier::monotonic() ^ u64::from(std::process::id()));
    println!("seed {seed}; CAMPAIGN_CLUSTER_SEED={seed} draws the same failures");
    let mut draw = Draw::new(seed, 0, 0);
    let server = Server::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let book = folder.path().join("book");
    let wide = cluster::spec("wide").concurrent_limit(AT_ONCE);
    let slow = cluster::spec("slow").rate_limit_per_minute(PER_MINUTE);
    let ids = cluster::prepare(&server.url(), vec![(wide, 0..WIDE), (slow, WIDE..WIDE + SLOW)]).await.unwrap();

    let calls = Calls {
        seed,
        shortest: 20,
        longest: 180,
        unanswered: 0.15,
        refused: 0.002,
        in_doubt: 0.01,
        gives_reference: true,
        calls_per_second: None,
    };
    let mut nodes = Vec::new();
    for number in 0..NODES {
        let proxy = Proxy::start(server.port()).await.unwrap();
        let life = Life {
            node: format!("node-{number}"),
            witnessed: true,
            lease: LEASE,
            longest_pause: LONGEST_PAUSE,
            // A node that dies takes this much of the rate with it.
            look_ahead: Duration::from_millis(300),
            ..Life::new(server.url_by(proxy.port()), book.clone(), calls.clone())
        };
        let mut node = Node { life, proxy, process: None, recovery: None, finished: false };
        node.start();
        nodes.push(node);
    }

    let watch = open_store(&server.url()).await.unwrap();
    let begin = Instant::now();
    let (mut most, mut advanced, mut next_look) = (0, begin, begin);
    let mut next_failure = begin + Duration::from_secs(1);
    let mut failures = std::collections::BTreeMap::<&str, u32>::new();
    while nodes.iter().any(|node| !node.finished) {
        let (now, running) = (Instant::now(), begin.elapsed() < CHAOS);
        if now >= next_look {
            next_look = now + Duration::from_secs(1);
            let mut ended = 0;
            for id in &ids {
                let counts = watch.counts(*id).await.unwrap();
                ended += counts.by_status.values().sum::<u64>() - counts.open();
            }
            if ended > most {
                (most, advanced) = (ended, now);
            }
        }
        if advanced.elapsed() > PATIENCE {
            let held = held(&server, &ids).await;
            panic!("seed {seed}: the campaigns do not end; failures: {failures:?}\n{held}");
        }
        for node in nodes.iter_mut().filter(|node| !node.finished) {
            if let Some((_, recovery)) = node.recovery.take_if(|(at, _)| now >= *at || !running) {
                node.recover(recovery);
            }
            if let Some(ended) = node.process.as_mut().and_then(Process::ended) {
                assert!(ended.success(), "seed {seed}: {} ended by itself: {ended}", node.life.node);
                node.finished = true;
            }
        }
        // Half of the nodes at most fail at once, so that there is always somebody to take over.
        let mut healthy: Vec<&mut Node> = nodes.iter_mut().filter(|node| node.recovery.is_none() && !node.finished).collect();
        if running && now >= next_failure && healthy.len() > NODES / 2 {
            let (index, first) = (draw.below(healthy.len() as u64) as usize, failures.is_empty());
            *failures.entry(healthy[index].fail(&mut draw, first)).or_default() += 1;
            next_failure = now + Duration::from_millis(500 + draw.below(1_500));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let took = begin.elapsed();

    let store = open_store(&server.url()).await.unwrap();
    let mut verdict = Verdict::default();
    let entries = carrier::read(&book).unwrap();
    let log = Log::new(&entries, &mut verdict);
    let wide = log.keeps(Some(ids[0]), &Promise { concurrency: Some(AT_ONCE.into()), rate: None }, &mut verdict);
    let slow = log.keeps(Some(ids[1]), &Promise { concurrency: None, rate: Some((PER_MINUTE.into(), 60)) }, &mut verdict);
    let mut held = Vec::new();
    for id in &ids {
        held.push(Held::read(store.as_ref(), *id).await.unwrap());
    }
    log.agrees(&held, WIDE + SLOW, &mut verdict);
    let attempts: Vec<_> = held.iter().flat_map(|held| held.attempts.iter().cloned()).collect();
    log.remembers(&attempts, &mut verdict);
    println!(
        "{:.0} s, failures {failures:?}; {wide:?}, {slow:?}; {} settlements refused as stale, {} attempts of the dead had never happened",
        took.as_secs_f64(),
        log.stale(),
        log.never_happened()
    );
    assert!(verdict.is_clean(), "seed {seed}: {verdict}");
    for campaign in store.campaigns(CampaignQuery::default()).await.unwrap().items {
        assert_eq!(campaign.status, CampaignStatus::Completed, "seed {seed}");
    }

    // A test that was never near a limit, and in which nothing failed, would prove nothing.
    let full = |of: u64, limit: u32, percent: u64| of * 100 >= u64::from(limit) * percent;
    assert!(full(wide.peak, AT_ONCE, 80), "seed {seed}: the concurrency limit was never reached");
    // On a busy machine starts come too late for their slots, which are lost then.
    assert!(slow.seconds > 60.0 && full(slow.fullest, PER_MINUTE, 60), "seed {seed}: the rate was never reached: {slow:?}");
    assert!(failures.len() >= 5, "seed {seed}: too few kinds of failure: {failures:?}");
    assert!(log.stale() > 0, "seed {seed}: no node ever came too late");
}
