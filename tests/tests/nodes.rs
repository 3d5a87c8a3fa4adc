//! Several nodes on one PostgreSQL, each with a store, a pool and a lease of its own, all at once: limits, events, wake-ups.

#![allow(clippy::unwrap_used, missing_docs)]

use campaign_core::Engine;
use campaign_core::campaign::{CampaignRecord, CampaignSpec, FrequencyCap};
use campaign_core::contact::{ContactSource, ContactStatus, NewContact, Owner, PlannedStep, ZoneKey};
use campaign_core::dialer::SimulatedDialer;
use campaign_core::executor::{Executor, TokioExecutor};
use campaign_core::id::{CampaignId, Money, NodeToken};
use campaign_core::import::{ImportOptions, ImportSource};
use campaign_core::outcome::{Attempt, Channel, Disposition, Outcome};
use campaign_core::policy::gates::ClaimGates;
use campaign_core::policy::limits::{Budget, ClaimLimits, DayQuota, LimitRules, LimitScope, Rate};
use campaign_core::policy::transition::{self, CampaignEvent, ContactEvent};
use campaign_core::store::*;
use campaign_tests::Recorder;
use campaign_tests::postgres::Server;
use campaign_tests::stage::{phone, row};
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use uuid::Uuid;

fn now() -> Timestamp {
    TokioExecutor::current().unwrap().now()
}

async fn store(schema: &str) -> PostgresStore {
    // Many wait for few connections, and on a busy machine for long.
    let timeout = Duration::from_secs(60);
    let options = PostgresOptions { schema: schema.to_owned(), pool_size: 3, timeout, ..PostgresOptions::default() };
    PostgresStore::connect_with(&Server::shared().url(), options).await.unwrap()
}

/// Four nodes and two running campaigns that reach the same sixty people.
struct Crowd {
    nodes: Vec<(PostgresStore, NodeToken)>,
    campaigns: Vec<CampaignRecord>,
}

impl Crowd {
    async fn gather() -> Self {
        let schema = Server::schema();
        let mut nodes = Vec::new();
        for store in join_all((0..4).map(|_| store(&schema))).await {
            let lease = SignedDuration::from_mins(5);
            let token = store.register_node(NewNode { name: "node".to_owned(), lease, now: now() }).await.unwrap().token;
            nodes.push((store, token));
        }
        let mut campaigns = Vec::new();
        for _ in 0..2 {
            let store = &nodes[0].0;
            let spec = CampaignSpec::call("crowded").build().unwrap();
            let draft = store.create_campaign(NewCampaign { request_id: Uuid::new_v4(), spec, now: now() }).await.unwrap();
            let contacts = (0..60).map(person).collect();
            let (owner, duplicates) = (Owner::Campaign(draft.id), DuplicatePolicy::Skip);
            store
                .add_contacts(AddContacts { request_id: Uuid::new_v4(), owner, contacts, duplicates, organization: None, now: now() })
                .await
                .unwrap();
            campaigns.push(save(store, draft, CampaignEvent::Start).await);
        }
        Self { nodes, campaigns }
    }

    /// Every node claims for every campaign, five contacts at a time, all at once and again and again.
    async fn claim(&self, change: impl Fn(&mut ClaimRequest)) -> Vec<Attempt> {
        let requests = (0..48).map(|index| {
            let (store, token) = &self.nodes[index % self.nodes.len()];
            let mut request = request(&self.campaigns[index / self.nodes.len() % 2], *token);
            change(&mut request);
            store.claim(request)
        });
        let claims = join_all(requests).await;
        claims.into_iter().flat_map(|claims| claims.unwrap().claimed).map(|claimed| claimed.attempt).collect()
    }
}

fn person(index: usize) -> NewContact {
    NewContact {
        phone: phone(index),
        name: None,
        email: None,
        company: None,
        zones: ZoneKey::from_names(["UTC"]),
        variables: Default::default(),
        consent: None,
        source: ContactSource::Api,
    }
}

fn request(campaign: &CampaignRecord, token: NodeToken) -> ClaimRequest {
    let now = now();
    ClaimRequest {
        request_id: Uuid::new_v4(),
        token,
        campaign: campaign.id,
        expected_revision: campaign.revision,
        max: 5,
        zones: vec![ZoneKey::from_names(["UTC"])],
        gates: ClaimGates::default(),
        limits: ClaimLimits { shared: Vec::new(), callers: Vec::new(), horizon: now + SignedDuration::from_secs(60) },
        account: Some(Arc::from("main")),
        first_step: PlannedStep { step: 0, channel: Channel::Call },
        spec_version: campaign.spec_version,
        grace: SignedDuration::from_secs(5),
        now,
    }
}

async fn save(store: &PostgresStore, mut record: CampaignRecord, event: CampaignEvent) -> CampaignRecord {
    let expected_revision = record.revision;
    record.status = transition::campaign(record.status, event).unwrap().to();
    store.save_campaign(SaveCampaign { record, expected_revision, guard: None, now: now() }).await.unwrap()
}

/// Rules of a scope, changed.
fn rules(scope: LimitScope, change: impl FnOnce(&mut LimitRules)) -> LimitRules {
    let mut rules = LimitRules::new(scope);
    change(&mut rules);
    rules
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_limit_is_exact_over_all_nodes() {
    let today = DayQuota { max: 17, day: now().to_zoned(jiff::tz::TimeZone::UTC).date(), ends_at: now() + SignedDuration::from_hours(48) };
    let caller = |name: &str| LimitScope::Caller(Arc::from(name));
    type Change = Box<dyn Fn(&mut ClaimRequest)>;
    let shared =
        |make: fn(CampaignId) -> LimitRules| -> Change { Box::new(move |request| request.limits.shared = vec![make(request.campaign)]) };
    // What is limited, and how many both campaigns get together; each of them has more people than that.
    let cases: [(&str, usize, Change); 8] = [
        ("concurrency of a campaign", 2 * 21, shared(|id| rules(LimitScope::Campaign(id), |own| own.concurrency = Some(21)))),
        ("concurrency of the deployment", 23, shared(|_| rules(LimitScope::Deployment, |all| all.concurrency = Some(23)))),
        ("concurrency of an account", 19, shared(|_| rules(LimitScope::Account(Arc::from("main")), |own| own.concurrency = Some(19)))),
        (
            "concurrency of caller ids",
            5 + 7,
            Box::new(move |request| {
                let callers = [("a", 5), ("b", 7)].map(|(name, most)| rules(caller(name), |own| own.concurrency = Some(most)));
                request.limits.callers = callers.to_vec();
            }),
        ),
        (
            "starts per day of a campaign",
            2 * 17,
            Box::new(move |request| {
                request.limits.shared = vec![rules(LimitScope::Campaign(request.campaign), |own| own.day = Some(today))];
            }),
        ),
        (
            "starts per day of a caller id",
            17,
            Box::new(move |request| request.limits.callers = vec![rules(caller("a"), |own| own.day = Some(today))]),
        ),
        (
            "a budget",
            2 * 14,
            shared(|id| rules(LimitScope::Campaign(id), |own| own.budget = Some(Budget { limit: Money(100), per_attempt: Money(7) }))),
        ),
        (
            "a frequency cap",
            60,
            Box::new(|request| request.gates.frequency_caps = vec![FrequencyCap { max: 1, hours: 24, channels: Vec::new() }]),
        ),
    ];
    for (what, most, change) in cases {
        let crowd = Crowd::gather().await;
        let mut attempts = crowd.claim(&change).await;
        // Whoever came too early tries again: nothing is left over.
        attempts.extend(crowd.claim(&change).await);
        assert_eq!(attempts.len(), most, "{what}");
        let contacts: BTreeSet<_> = attempts.iter().map(|attempt| attempt.contact).collect();
        assert_eq!(contacts.len(), most, "{what}: a contact was claimed twice");
        if what.starts_with("a frequency") {
            let people = join_all(contacts.iter().map(|id| async { crowd.nodes[0].0.contact(*id).await.unwrap().unwrap() })).await;
            let phones: BTreeSet<_> = people.iter().map(|contact| contact.person.phone.as_str().to_owned()).collect();
            assert_eq!(phones.len(), most, "{what}: both campaigns were about to call the same person");
        }
        for store in crowd.nodes.into_iter().map(|(store, _)| store) {
            store.close().await.unwrap();
        }
    }
}

/// Slots are reckoned by the database's clock from the last one, whichever node took it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_of_all_nodes_keep_their_distance() {
    let scopes: [fn(CampaignId) -> LimitScope; 3] =
        [LimitScope::Campaign, |_| LimitScope::Deployment, |_| LimitScope::Account(Arc::from("main"))];
    let rate = Rate::per_minute(60);
    for scope in scopes {
        let crowd = Crowd::gather().await;
        let attempts =
            crowd.claim(|request| request.limits.shared = vec![rules(scope(request.campaign), |own| own.rate = Some(rate))]).await;
        let mut starts: Vec<_> = attempts.iter().map(|attempt| (scope(attempt.campaign), attempt.start_at)).collect();
        starts.sort_unstable();
        assert!(starts.len() > 40, "only {} slots within a minute", starts.len());
        for pair in starts.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            let distance = pair[1].1.duration_since(pair[0].1);
            assert!(distance >= rate.interval(), "{:?}: two slots are {distance:?} apart", pair[0].0);
        }
    }
}

/// What is deleted gives back its places, while other nodes take them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_a_campaign_gives_its_places_to_others() {
    let crowd = Crowd::gather().await;
    let limit = |request: &mut ClaimRequest| {
        request.limits.shared = vec![rules(LimitScope::Deployment, |all| all.concurrency = Some(40))];
    };
    let of = |attempts: &[Attempt], campaign: usize| attempts.iter().filter(|a| a.campaign == crowd.campaigns[campaign].id).count();
    let first = crowd.claim(limit).await;
    assert_eq!(first.len(), 40);
    let (store, gone) = (&crowd.nodes[3].0, crowd.campaigns[0].id);
    let (deleted, while_deleting) = tokio::join!(store.delete_campaign(gone), crowd.claim(limit));
    deleted.unwrap();
    let after = crowd.claim(limit).await;
    let held = of(&first, 1) + of(&while_deleting, 1) + of(&after, 1);
    assert_eq!(held, 40, "every place that became free was taken, and none twice");
    let ledger = store.ledgers(vec![LimitScope::Deployment]).await.unwrap()[0];
    assert_eq!(ledger.in_flight, 40);
}

/// A reader that follows must see what all nodes write, in one order: no event appears behind a place that was read already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_is_committed_behind_a_reader() {
    let crowd = Crowd::gather().await;
    let reader = store(crowd.nodes[0].0.schema()).await;
    let query = |after| EventQuery { after: Some(after), campaign: None, limit: 10 };
    let begin = reader.events(EventQuery { after: None, campaign: None, limit: 0 }).await.unwrap().next;
    let mut records = Vec::new();
    for number in 0..24 {
        let spec = CampaignSpec::call(format!("campaign {number}")).build().unwrap();
        records.push(reader.create_campaign(NewCampaign { request_id: Uuid::new_v4(), spec, now: now() }).await.unwrap());
    }
    const ROUNDS: usize = 12;
    let done = AtomicBool::new(false);
    let write = async {
        let writers = records.into_iter().enumerate().map(|(index, mut record)| {
            let store = &crowd.nodes[index % crowd.nodes.len()].0;
            async move {
                record = save(store, record, CampaignEvent::Start).await;
                for _ in 0..ROUNDS {
                    record = save(store, record, CampaignEvent::Pause).await;
                    record = save(store, record, CampaignEvent::Resume).await;
                }
            }
        });
        // What saves a campaign and what claims have no lock in common but that of the place.
        let claimers = crowd.nodes.iter().map(|(store, token)| async {
            for turn in 0..30 {
                let request = ClaimRequest { max: 1, ..request(&crowd.campaigns[turn % 2], *token) };
                assert_eq!(store.claim(request).await.unwrap().claimed.len(), 1);
            }
        });
        tokio::join!(join_all(writers), join_all(claimers));
        done.store(true, Ordering::SeqCst);
    };
    let follow = async {
        let (mut cursor, mut seen) = (begin, Vec::new());
        loop {
            let last = done.load(Ordering::SeqCst);
            let page = reader.events(query(cursor)).await.unwrap();
            cursor = page.next;
            let empty = page.events.is_empty();
            seen.extend(page.events);
            if last && empty && !page.more {
                return seen;
            }
        }
    };
    let ((), followed) = tokio::join!(write, follow);
    let (mut cursor, mut all) = (begin, Vec::new());
    loop {
        let page = reader.events(query(cursor)).await.unwrap();
        cursor = page.next;
        all.extend(page.events);
        if !page.more {
            break;
        }
    }
    assert_eq!(followed.len(), 24 * (1 + 2 * ROUNDS) + 4 * 30, "the reader missed some");
    assert_eq!(followed, all, "and saw them in the order in which they lie");
}

/// What is written last goes out together with the COMMIT: when the server refuses a part of it, nothing of it may stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_stored_whole_is_not_stored_in_part() {
    let crowd = Crowd::gather().await;
    let (store, token) = &crowd.nodes[0];
    let client = Server::shared().client().await;
    let refuse = async |refused: bool| {
        let change = if refused { "ADD CONSTRAINT refused CHECK (false) NOT VALID" } else { "DROP CONSTRAINT refused" };
        client.batch_execute(&format!("ALTER TABLE {}.events {change}", store.schema())).await.unwrap();
    };
    let look = async || {
        let scopes = crowd.campaigns.iter().map(|campaign| LimitScope::Campaign(campaign.id));
        let ledgers = store.ledgers(scopes.chain([LimitScope::Account(Arc::from("main"))]).collect()).await.unwrap();
        let mut counts = Vec::new();
        for campaign in &crowd.campaigns {
            counts.push(store.counts(campaign.id).await.unwrap());
        }
        (ledgers, counts, store.attempts(AttemptQuery::default()).await.unwrap().items)
    };

    let before = look().await;
    let asked = request(&crowd.campaigns[0], *token);
    refuse(true).await;
    store.claim(asked.clone()).await.unwrap_err();
    assert_eq!(look().await, before, "a claim");
    refuse(false).await;
    let mut claimed = store.claim(asked).await.unwrap().claimed;
    claimed.extend(store.claim(request(&crowd.campaigns[1], *token)).await.unwrap().claimed);
    assert_eq!(claimed.len(), 10);

    let completed = ContactEvent::Finish(ContactStatus::Completed);
    let settlements: Vec<Settlement> = claimed
        .iter()
        .map(|claimed| Settlement {
            attempt: claimed.attempt.id,
            end: AttemptEnd::Finished(Outcome::new(Disposition::Answered)),
            started_at: None,
            transition: transition::contact(ContactStatus::InProgress, completed).unwrap(),
            step: None,
            due_at: None,
            reason: None,
        })
        .collect();
    let ended = || SettleRequest { token: *token, settlements: settlements.clone().into(), now: now() };
    let before = look().await;
    refuse(true).await;
    store.settle(ended()).await.unwrap_err();
    assert_eq!(look().await, before, "a settlement of two campaigns");
    refuse(false).await;
    let reply = store.settle(ended()).await.unwrap();
    assert!(reply.acks.iter().all(|ack| *ack == SettleAck::Settled));
    assert_eq!(reply.campaigns.iter().map(|campaign| campaign.open).collect::<Vec<_>>(), [55, 55]);
    let (ledgers, counts, _) = look().await;
    assert!(ledgers.iter().all(|ledger| ledger.in_flight == 0));
    assert!(counts.iter().all(|counts| counts.of(ContactStatus::Completed) == 5 && counts.of(ContactStatus::InProgress) == 0));
}

/// A node acts on what another one changed because it was told to look, not because it looks all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_on_one_node_wakes_the_others() {
    for told in [true, false] {
        let schema = Server::schema();
        let dialer = Recorder::new(SimulatedDialer::instant());
        let engine = |dialer: Recorder, at_once: Option<u32>, poll: u64| {
            let schema = schema.clone();
            async move {
                let options = PostgresOptions { schema, listen: told, ..PostgresOptions::default() };
                let store = PostgresStore::connect_with(&Server::shared().url(), options).await.unwrap();
                let options = move |options: &mut campaign_core::EngineOptions| {
                    options.max_in_flight = at_once;
                    options.poll_interval = Some(Duration::from_secs(poll));
                };
                Engine::builder().store(store).dialer(dialer).options(options).build().await.unwrap()
            }
        };
        // One node changes and never calls; the other calls, and would look by itself only after an hour, unless nobody tells it anything.
        let changer = engine(Recorder::new(SimulatedDialer::instant()), Some(0), 1).await;
        let caller = engine(dialer.clone(), None, if told { 3_600 } else { 1 }).await;
        let spec = CampaignSpec::call("woken").rate_limit_per_minute(1).build().unwrap();
        let id = changer.create_campaign(spec).await.unwrap().id;
        let rows = (0..20).map(|index| row(index, json!({}))).collect();
        changer.import_contacts(id, ImportSource::Rows(rows), ImportOptions::default()).await.unwrap();
        changer.start(id).await.unwrap();
        until("the other node starts", || dialer.log().len() == 1).await;
        // A minute to the next slot, unless the edit arrives.
        changer.update_campaign(id, |spec| spec.rate_limit_per_minute = None).await.unwrap();
        until("the other node follows the edit", || dialer.log().len() == 20).await;
        changer.stop(None).await.unwrap();
        caller.stop(None).await.unwrap();
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let clock = TokioExecutor::current().unwrap();
    let patience = clock.now() + SignedDuration::from_secs(30);
    while !holds() {
        assert!(clock.now() < patience, "not in time: {what}");
        clock.sleep_until(clock.now() + SignedDuration::from_millis(10)).await;
    }
}

/// What attempts change is in no index: a version of a contact that stays in its page costs the indexes nothing and is tidied up in passing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_touch_no_index_of_contacts() {
    // A server of its own: where others have a transaction open, dead versions keep their room in the page.
    let server = Server::start().unwrap();
    let store = PostgresStore::connect(&server.url()).await.unwrap();
    let engine = Engine::builder().store(store).dialer(SimulatedDialer::instant()).build().await.unwrap();
    let spec = CampaignSpec::call("hot").with(|spec| spec.rate_limit_per_minute = None).concurrent_limit(100).build().unwrap();
    let id = engine.create_campaign(spec).await.unwrap().id;
    let rows = (0..500).map(|index| row(index, json!({ "name": "Dana" }))).collect();
    engine.import_contacts(id, ImportSource::Rows(rows), ImportOptions::default()).await.unwrap();
    engine.start(id).await.unwrap();
    engine.wait(id).await.unwrap();
    engine.close().await.unwrap();
    let client = server.client().await;
    let sql = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'contacts'";
    let clock = TokioExecutor::current().unwrap();
    let patience = clock.now() + SignedDuration::from_secs(30);
    // Connections tell what they did when they end. A claim and a settlement are two changes.
    let (updates, hot) = loop {
        let row = client.query_one(sql, &[]).await.unwrap();
        let (updates, hot): (i64, i64) = (row.get(0), row.get(1));
        if updates >= 1_000 {
            break (updates, hot);
        }
        assert!(clock.now() < patience, "the server counted only {updates} updates");
        clock.sleep_until(clock.now() + SignedDuration::from_millis(50)).await;
    };
    assert!(hot * 100 >= updates * 80, "only {hot} of {updates} updates left the indexes alone");
}
