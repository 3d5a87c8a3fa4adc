//! The store on PostgreSQL, on a private server: the contract, and what only a store that is shared over a network has to hold.

#![allow(clippy::unwrap_used, missing_docs)]

use campaign_core::Kind;
use campaign_core::campaign::{CampaignSpec, CampaignStatus};
use campaign_core::contact::{ContactSource, NewContact, Owner, ZoneKey};
use campaign_core::dialer::{CarrierProfile, SimulatedDialer};
use campaign_core::event::EventKind;
use campaign_core::executor::{Executor, Hold, TokioExecutor};
use campaign_core::id::{CampaignId, ListId};
use campaign_core::import::{ImportOptions, ImportSource};
use campaign_core::store::{
    AddContacts, AttemptQuery, CampaignQuery, ContactQuery, ContactStore, DuplicatePolicy, Migrated, NewCampaign, NewNode, PostgresOptions,
    PostgresStore, RenewNode, StoreClock, Suppression, SuppressionScope, copy_store, open_store,
};
use campaign_core::{Engine, testkit};
use campaign_tests::Recorder;
use campaign_tests::lossy::Lossy;
use campaign_tests::postgres::Server;
use campaign_tests::proxy::{Mode, Proxy};
use campaign_tests::stage::{phone, row};
use futures_util::future::{BoxFuture, join_all};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// A store of one's own on the server all tests of this process share, that goes by the suite's moments.
fn suite_options() -> PostgresOptions {
    PostgresOptions { schema: Server::schema(), pool_size: 4, clock: StoreClock::Requests, listen: false, ..PostgresOptions::default() }
}

fn options(schema: &str) -> PostgresOptions {
    PostgresOptions { schema: schema.to_owned(), pool_size: 4, ..PostgresOptions::default() }
}

async fn store(schema: &str) -> PostgresStore {
    PostgresStore::connect_with(&Server::shared().url(), options(schema)).await.unwrap()
}

fn now() -> Timestamp {
    TokioExecutor::current().unwrap().now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract() {
    let url = Server::shared().url();
    testkit::store::run(|| {
        let url = url.clone();
        Box::pin(async move { Ok(Arc::new(PostgresStore::connect_with(&url, suite_options()).await?) as Arc<dyn ContactStore>) })
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_answers_like_the_reference() {
    for seed in 2..5 {
        let store = PostgresStore::connect_with(&Server::shared().url(), suite_options()).await.unwrap();
        testkit::store::compare(Arc::new(store), seed, 400).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_nodes_make_the_schema_at_once() {
    let schema = Server::schema();
    let stores = join_all((0..8).map(|_| store(&schema))).await;
    let node = || NewNode { name: "n".to_owned(), lease: SignedDuration::from_secs(5), now: now() };
    let leases = join_all(stores.iter().map(|store| async { store.register_node(node()).await.unwrap() })).await;
    let ids: BTreeSet<_> = leases.iter().map(|lease| lease.store_id).collect();
    assert_eq!(ids.len(), 1, "one store");
    let tokens: BTreeSet<_> = leases.iter().map(|lease| lease.token.epoch).collect();
    assert_eq!(tokens.len(), 8, "and eight tokens");
    let sql = format!("SELECT version FROM {schema}.schema_version ORDER BY version");
    let versions = Server::shared().client().await.query(&sql, &[]).await.unwrap();
    let versions: Vec<i32> = versions.iter().map(|row| row.get(0)).collect();
    assert_eq!(versions, [1, 2, 3], "each applied once");
}

/// A schema of the first version: what came later is taken out again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_an_earlier_version_is_brought_up_to_date() {
    let schema = Server::schema();
    let old = store(&schema).await;
    let new = |name: &str, organization| NewCampaign {
        request_id: Uuid::new_v4(),
        spec: CampaignSpec { name: name.to_owned(), organization, ..CampaignSpec::default() },
        now: now(),
    };
    let campaign = old.create_campaign(new("old", None)).await.unwrap();
    old.close().await.unwrap();
    let back = format!(
        "SET search_path TO {schema}; ALTER TABLE campaigns DROP COLUMN organization; DROP INDEX campaigns_type;
         DELETE FROM schema_version WHERE version > 1;
         UPDATE campaigns SET record = (record::jsonb #- '{{spec,organization}}')::text"
    );
    Server::shared().client().await.batch_execute(&back).await.unwrap();

    let store = store(&schema).await;
    assert_eq!((old.migrated(), store.migrated()), (Migrated { from: 0, to: 3 }, Migrated { from: 1, to: 3 }));
    assert_eq!(store.campaign(campaign.id).await.unwrap(), Some(campaign), "it is of no organisation");
    let theirs = store.create_campaign(new("new", Some(7))).await.unwrap();
    let query = CampaignQuery { organization: Some(7), ..CampaignQuery::default() };
    assert_eq!(store.campaigns(query).await.unwrap().items, [theirs]);
    assert_eq!(store.campaigns(CampaignQuery::default()).await.unwrap().total, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_a_newer_version_is_refused() {
    let schema = Server::schema();
    store(&schema).await.close().await.unwrap();
    let client = Server::shared().client().await;
    client.batch_execute(&format!("INSERT INTO {schema}.schema_version VALUES (1000)")).await.unwrap();
    let error = PostgresStore::connect_with(&Server::shared().url(), options(&schema)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.message().contains("newer version"), "{error}");
}

/// A node needs no more than this; see docs/postgres.md.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_needs_few_rights() {
    let (schema, role) = (Server::schema(), Server::schema());
    store(&schema).await.close().await.unwrap();
    let client = Server::shared().client().await;
    client
        .batch_execute(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'node'; GRANT USAGE ON SCHEMA {schema} TO {role};
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role};
             GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}"
        ))
        .await
        .unwrap();
    let url = format!("postgres://{role}:node@127.0.0.1:{}/postgres", Server::shared().port());
    let store = PostgresStore::connect_with(&url, options(&schema)).await.unwrap();
    run_small(Arc::new(store), 20).await;
    // Making a schema is a right of its own, and the error says what is missing.
    let error = PostgresStore::connect_with(&url, options(&Server::schema())).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.message().contains("rights"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_keep_secrets() {
    let wrong = format!("postgres://postgres:hunter2@127.0.0.1:{}/postgres", Server::shared().port());
    let error = PostgresStore::connect(&wrong).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.message().contains("password"), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"));
    let nobody = PostgresStore::connect("postgres://me:hunter2@127.0.0.1:1/x").await.unwrap_err();
    assert_eq!(nobody.kind(), Kind::Unavailable);
    assert!(!format!("{nobody:?}").contains("hunter2"));
    let schema = Server::schema();
    let store = store(&schema).await;
    assert!(!format!("{store:?}").contains("postgres:"), "the URL is not shown");
    // A statement that fails on a row does not repeat the row.
    let client = Server::shared().client().await;
    client.batch_execute(&format!("ALTER TABLE {schema}.suppressions ADD CONSTRAINT none CHECK (phone = '')")).await.unwrap();
    let entry = suppression(7);
    let error = store.suppress(vec![entry.clone()]).await.unwrap_err();
    assert!(!format!("{error:?}").contains(entry.phone.as_str()), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_checked() {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let server = Server::start_with_tls(&made.cert.pem(), &made.signing_key.serialize_pem()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("an authority.pem");
    std::fs::write(&authority, made.cert.pem()).unwrap();
    let trusted = format!("{}?sslmode=verify-full&sslrootcert={}", server.url(), authority.display().to_string().replace(' ', "%20"));
    let store = PostgresStore::connect(&trusted).await.unwrap();
    assert_eq!(store.next_number("over_tls".to_owned()).await.unwrap(), 1);
    store.close().await.unwrap();
    // `prefer`, the default, does not mean that anybody may answer.
    for url in [server.url(), format!("{}?sslmode=require", server.url())] {
        let error = PostgresStore::connect(&url).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(error.message().contains("sslrootcert"), "{error:?}");
    }
    let plain = PostgresStore::connect(&format!("{}?sslmode=disable", server.url())).await.unwrap_err();
    assert_eq!(plain.kind(), Kind::Unavailable, "this server wants TLS");
}

/// Looked at in the transaction that adds: whoever asked before the end would leave people behind that nobody looks at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_that_has_ended_takes_nobody() {
    let memory: Arc<dyn ContactStore> = open_store("memory://").await.unwrap();
    let sqlite = open_store("sqlite::memory:").await.unwrap();
    let postgres: Arc<dyn ContactStore> = Arc::new(store(&Server::schema()).await);
    for store in [memory, sqlite, postgres] {
        let id = run_small(Arc::clone(&store), 3).await;
        let (owner, request_id, duplicates) = (Owner::Campaign(id), Uuid::new_v4(), DuplicatePolicy::Skip);
        let add = AddContacts { request_id, owner, organization: None, contacts: Arc::from([]), duplicates, now: now() };
        assert_eq!(store.add_contacts(add).await.unwrap_err().kind(), Kind::State);
    }
}

fn suppression(index: usize) -> Suppression {
    let (reason, source) = ("opted_out".to_owned(), None);
    Suppression { phone: phone(index), scope: SuppressionScope::Everything, reason, source, created_at: now(), expires_at: None }
}

/// A campaign of so many contacts, run to its end by one engine.
async fn run_small(store: Arc<dyn ContactStore>, contacts: usize) -> CampaignId {
    let engine = Engine::builder().shared_store(store).dialer(SimulatedDialer::instant()).build().await.unwrap();
    let id = campaign(&engine, contacts).await;
    engine.start(id).await.unwrap();
    engine.wait(id).await.unwrap();
    engine.stop(None).await.unwrap();
    id
}

async fn campaign(engine: &Engine, contacts: usize) -> CampaignId {
    let spec = CampaignSpec::call("Reminders").with(|spec| spec.rate_limit_per_minute = None).concurrent_limit(50).build().unwrap();
    let id = engine.create_campaign(spec).await.unwrap().id;
    let rows = (0..contacts).map(|index| row(index, json!({ "name": "Dana" }))).collect();
    let report = engine.import_contacts(id, ImportSource::Rows(rows), ImportOptions::default()).await.unwrap();
    assert_eq!(report.imported, contacts as u64);
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_may_hold_what_the_server_cannot() {
    let store = Arc::new(store(&Server::schema()).await);
    let (owner, request_id, duplicates) = (Owner::List(ListId(1)), Uuid::new_v4(), DuplicatePolicy::Skip);
    let variables = serde_json::from_value(json!({ "note": "x\u{0}y" })).unwrap();
    let odd = NewContact {
        phone: phone(99),
        name: Some("A\u{0}B".to_owned()),
        email: None,
        company: None,
        zones: ZoneKey::unknown(),
        variables,
        consent: None,
        source: ContactSource::Api,
    };
    store
        .add_contacts(AddContacts { request_id, owner, organization: None, contacts: Arc::from([odd.clone()]), duplicates, now: now() })
        .await
        .unwrap();
    let page = store.contacts(ContactQuery::of(owner)).await.unwrap();
    let stored = &page.items.last().unwrap().person;
    assert_eq!(stored.name.as_deref(), Some("A\u{fffd}B"), "a text without what the server cannot keep");
    assert_eq!(stored.variables, odd.variables, "JSON keeps it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_connections_are_replaced() {
    let proxy = Proxy::start(Server::shared().port()).await.unwrap();
    let mut options = options(&Server::schema());
    options.timeout = Duration::from_millis(400);
    let store = Arc::new(PostgresStore::connect_with(&Server::shared().url_by(proxy.port()), options).await.unwrap());
    // Several connections lie in the pool, and every one of them is broken.
    join_all((0..8).map(|_| store.next_number("a".to_owned()))).await;
    proxy.cut();
    assert_eq!(store.next_number("a".to_owned()).await.unwrap(), 9, "nobody notices");
    assert_eq!(store.changes().await.unwrap(), 0);
    for mode in [Mode::Refuse, Mode::BlackHole] {
        proxy.set(mode);
        proxy.cut();
        let error = store.next_number("b".to_owned()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable, "{mode:?}: {error}");
        proxy.set(Mode::Open);
        proxy.cut();
        store.next_number("b".to_owned()).await.unwrap();
    }
    store.close().await.unwrap();
    assert_eq!(store.next_number("a".to_owned()).await.unwrap_err().kind(), Kind::Closed);
    assert_eq!(store.changes().await.unwrap_err().kind(), Kind::Closed);
}

/// A future that is dropped half way leaves no transaction behind that others would wait for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_call_lets_go_of_its_locks() {
    let schema = Server::schema();
    let store = Arc::new(store(&schema).await);
    store.next_number("n".to_owned()).await.unwrap();
    for polls in 1..40 {
        let mut call = Box::pin(store.next_number("n".to_owned()));
        for _ in 0..polls {
            let _ = futures_util::poll!(&mut call);
            tokio::task::yield_now().await;
        }
        drop(call);
    }
    store.next_number("n".to_owned()).await.expect("nobody holds the row");
    let client = Server::shared().client().await;
    let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND query LIKE '%{schema}%'");
    assert_eq!(client.query_one(&sql, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_says_what_time_it_is() {
    let store = store(&Server::schema()).await;
    let tomorrow = now() + SignedDuration::from_hours(24);
    let lease = SignedDuration::from_secs(30);
    let held = store.register_node(NewNode { name: "fast".to_owned(), lease, now: tomorrow }).await.unwrap();
    assert!(held.expires_at < now() + SignedDuration::from_secs(60), "a node's clock stretches no lease");
    let renewed = RenewNode { token: held.token, lease, now: tomorrow };
    store.renew_node(renewed).await.expect("and ends none");
    assert_eq!(store.nodes(tomorrow).await.unwrap().len(), 1);
    let gone = store
        .register_node(NewNode { name: "gone".to_owned(), lease: SignedDuration::ZERO, now: now() - SignedDuration::from_hours(24) })
        .await
        .unwrap();
    let renewed = RenewNode { token: gone.token, lease, now: now() - SignedDuration::from_hours(24) };
    assert_eq!(store.renew_node(renewed).await.unwrap_err().kind(), Kind::Stale, "nor revives one");
}

async fn wait(millis: i64) {
    TokioExecutor::current().unwrap().sleep_until(now() + SignedDuration::from_millis(millis)).await;
}

/// A machine whose clock is wrong.
#[derive(Clone)]
struct Skewed(TokioExecutor, SignedDuration);

impl Executor for Skewed {
    fn now(&self) -> Timestamp {
        self.0.now() + self.1
    }
    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        self.0.sleep_until(until.checked_sub(self.1).unwrap_or(until))
    }
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn(task);
    }
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>) {
        self.0.spawn_blocking(work);
    }
    fn hold(&self) -> Hold {
        self.0.hold()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_with_different_clocks_keep_one_time() {
    for hours in [-3, 3] {
        let store = Arc::new(store(&Server::schema()).await);
        let clock = Skewed(TokioExecutor::current().unwrap(), SignedDuration::from_hours(hours));
        let dialer = Recorder::new(SimulatedDialer::instant());
        let engine = Engine::builder()
            .shared_store(Arc::clone(&store) as Arc<dyn ContactStore>)
            .dialer(dialer.clone())
            .executor(clock)
            .build()
            .await
            .unwrap();
        let off = engine.now().duration_since(now()).abs();
        assert!(off < SignedDuration::from_secs(2), "{hours} h wrong: the engine is {off:?} off");
        let id = campaign(&engine, 20).await;
        engine.start(id).await.unwrap();
        engine.wait(id).await.unwrap();
        for seen in dialer.log() {
            let off = seen.start.duration_since(now()).abs();
            assert!(off < SignedDuration::from_secs(30), "{hours} h wrong: a hand-off {off:?} off");
        }
        engine.stop(None).await.unwrap();
    }
}

/// Two engines in one process are two nodes: each has its own store, pool, lease and task.
async fn two_nodes(schema: &str, dialers: [Recorder; 2]) -> [Engine; 2] {
    let [one, two] = dialers.map(|dialer| async move {
        Engine::builder().store(store(schema).await).dialer(dialer).options(|options| options.batch = 20).build().await.unwrap()
    });
    [one.await, two.await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_hand_off_on_any_node_follows_an_acknowledged_pause() {
    let schema = Server::schema();
    let dialers = [Recorder::new(SimulatedDialer::instant()), Recorder::new(SimulatedDialer::instant())];
    // What the second node hears of the change counter is old when it arrives, so it is always about to act on what was true before.
    let far = Lossy::new(Arc::new(store(&schema).await)).by(|method| {
        let clock = TokioExecutor::current().unwrap();
        let way = if method == "changes" { SignedDuration::from_millis(120) } else { SignedDuration::ZERO };
        clock.sleep_until(clock.now() + way)
    });
    let one = Engine::builder().store(store(&schema).await).dialer(dialers[0].clone()).build().await.unwrap();
    let two = Engine::builder().store(far).dialer(dialers[1].clone()).build().await.unwrap();
    let spec = CampaignSpec::call("Pauses").rate_limit_per_minute(12_000).concurrent_limit(1_000).build().unwrap();
    let id = one.create_campaign(spec).await.unwrap().id;
    let rows = (0..3_000).map(|index| row(index, json!({}))).collect();
    one.import_contacts(id, ImportSource::Rows(rows), ImportOptions::default()).await.unwrap();
    let mut events = two.events(id).await.unwrap();
    one.start(id).await.unwrap();
    let begun = |dialers: &[Recorder; 2]| dialers.iter().map(|dialer| dialer.log().len()).sum::<usize>();
    for round in 0..3 {
        // Runs until both have done something since.
        let before = dialers.each_ref().map(|dialer| dialer.log().len());
        let patience = now() + SignedDuration::from_secs(30);
        while dialers.iter().zip(before).any(|(dialer, before)| dialer.log().len() <= before) {
            assert!(now() < patience, "round {round}: a node does nothing");
            wait(5).await;
        }
        one.pause(id).await.unwrap();
        let acknowledged = begun(&dialers);
        // Whatever either node was about to do, it does within a second.
        wait(1_000).await;
        assert_eq!(begun(&dialers), acknowledged, "round {round}: handed over after the pause was acknowledged");
        two.resume(id).await.unwrap();
    }
    // Both nodes clear the queue of a cancelled campaign; where that takes longer than a statement may, it is asked for again.
    while let Err(error) = one.cancel(id).await {
        assert!(matches!(error.kind(), Kind::Unavailable | Kind::State), "{error}");
        if error.kind() == Kind::State {
            break;
        }
    }
    // The other node hears of it, whatever happened in between.
    let cancelled = async {
        while let Some(event) = events.next().await {
            if matches!(event.kind, EventKind::StatusChanged { to: CampaignStatus::Cancelled, .. }) {
                return true;
            }
        }
        false
    };
    assert!(cancelled.await, "the event of one node did not reach the other");
    // Nobody was called by both.
    let keys: Vec<_> = dialers.iter().flat_map(|dialer| dialer.log()).map(|seen| seen.key).collect();
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
    let nodes = one.nodes().await.unwrap();
    assert_eq!(nodes.len(), 2, "both are listed");
    for engine in [one, two] {
        engine.stop(None).await.unwrap();
    }
}

/// What a dead node leaves waiting is somebody else's business, also when nothing was in flight.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contacts_added_by_a_node_that_is_gone_are_reached() {
    let schema = Server::schema();
    let dialers = [Recorder::new(SimulatedDialer::instant()), Recorder::new(SimulatedDialer::instant())];
    let [one, two] = two_nodes(&schema, dialers).await;
    let id = campaign(&one, 5).await;
    one.start(id).await.unwrap();
    one.abort();
    two.wait(id).await.unwrap();
    two.stop(None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_is_archived() {
    let schema = Server::schema();
    let store = Arc::new(store(&schema).await);
    let id = run_small(Arc::clone(&store) as Arc<dyn ContactStore>, 30).await;
    let count =
        || async { store.attempts(AttemptQuery { campaign: Some(id), count: true, ..AttemptQuery::default() }).await.unwrap().total };
    let all = count().await;
    assert!(all >= 30);
    let before = store.counts(id).await.unwrap();
    assert_eq!(store.archive(now() - SignedDuration::from_hours(1), 10_000).await.unwrap(), 0, "too young");
    let later = now() + SignedDuration::from_hours(1);
    assert_eq!(store.archive(later, 10).await.unwrap(), 10);
    assert_eq!(store.archive(later, 10_000).await.unwrap(), all - 10);
    assert_eq!(count().await, 0);
    assert_eq!(store.counts(id).await.unwrap(), before, "what was reached stays counted");
    let client = Server::shared().client().await;
    let kept: i64 = client.query_one(&format!("SELECT count(*) FROM {schema}.archived_attempts"), &[]).await.unwrap().get(0);
    assert_eq!(kept as u64, all);
    store.delete_campaign(id).await.unwrap();
    let kept: i64 = client.query_one(&format!("SELECT count(*) FROM {schema}.archived_attempts"), &[]).await.unwrap().get(0);
    assert_eq!(kept, 0, "a deleted campaign leaves nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_moves_from_sqlite_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = open_store(&format!("sqlite://{}", folder.path().join("a.db").display())).await.unwrap();
    let engine = Engine::builder()
        .shared_store(Arc::clone(&sqlite))
        .dialer(SimulatedDialer::new(CarrierProfile::instant(), 1))
        .build()
        .await
        .unwrap();
    let id = campaign(&engine, 200).await;
    engine.suppress(vec![suppression(5)]).await.unwrap();
    engine.stop(None).await.unwrap();
    let url = format!("{}?schema={}", Server::shared().url(), Server::schema());
    let moved = open_store(&url).await.unwrap();
    let copied = copy_store(sqlite.as_ref(), moved.as_ref()).await.unwrap();
    assert_eq!((copied.campaigns, copied.contacts, copied.suppressions), (1, 200, 1));
    assert_eq!(moved.counts(id).await.unwrap(), sqlite.counts(id).await.unwrap());
    let engine = Engine::builder().shared_store(Arc::clone(&moved)).dialer(SimulatedDialer::instant()).build().await.unwrap();
    engine.start(id).await.unwrap();
    let progress = engine.wait(id).await.unwrap();
    assert_eq!(progress.completed_contacts + progress.failed_contacts + progress.skipped_contacts, 200);
    assert_eq!(progress.skipped_contacts, 1);
    engine.stop(None).await.unwrap();
}
