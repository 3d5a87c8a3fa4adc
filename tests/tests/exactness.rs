//! P1 to P5 as properties: random campaigns, lists, windows, zones, limits, outcomes and faults on virtual time.

#![allow(clippy::unwrap_used, missing_docs)]

use campaign_core::campaign::{CampaignSpec, CampaignStatus};
use campaign_core::contact::{Contact, ContactStatus, Owner};
use campaign_core::dialer::{CallMix, CarrierProfile, SimulatedDialer, Span, TalkTime};
use campaign_core::executor::{Executor, VirtualExecutor};
use campaign_core::import::{ImportOptions, ImportSource};
use campaign_core::schedule::{CallingWindows, TimeWindow, Weekday};
use campaign_core::store::{ContactQuery, ContactStore, MemoryStore, Paging, SqliteStore, Suppression, SuppressionScope};
use campaign_core::{Engine, Kind};
use campaign_tests::lossy::Lossy;
use campaign_tests::{Recorder, Seen};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const ZONES: [&str; 6] =
    ["America/New_York", "America/Los_Angeles", "Europe/Madrid", "Asia/Kolkata", "Australia/Sydney", "America/St_Johns"];

/// One random world.
#[derive(Debug, Clone)]
struct World {
    seed: u64,
    contacts: usize,
    concurrency: u32,
    rate: Option<u32>,
    calls_per_day: Option<u32>,
    max_attempts: u32,
    retry_minutes: u32,
    /// Minutes of the day; an end before the start runs across midnight.
    window: Option<(u16, u16, u8)>,
    campaign_zone: usize,
    start_hour: i64,
    throttled: f64,
    transient: f64,
    in_doubt: f64,
    /// Minutes after the start at which something happens.
    pause_at: Option<u32>,
    suppress_at: Option<u32>,
    crash_at: Vec<u32>,
    /// How many turns others take before the store's answer arrives, at most.
    late: u32,
}

fn world() -> impl Strategy<Value = World> {
    let limits = (1u32..20, prop::option::of(1u32..120), prop::option::weighted(0.3, 1u32..40), 1u32..5, 1u32..200);
    // A window that ends where it starts is refused as ambiguous, so the world has none.
    let window = (0u16..1440, 1u16..1440, 1u8..128).prop_map(|(start, length, days)| (start, (start + length) % 1440, days));
    let time = (prop::option::of(window), 0usize..ZONES.len(), 0i64..24 * 365);
    // Half of the worlds lose no answer: only there every end is seen, and the limit of concurrency can be checked from outside.
    let in_doubt = prop_oneof![Just(0.0), 0.0f64..0.2];
    let faults = (0.0f64..0.3, 0.0f64..0.2, in_doubt);
    let happenings = (prop::option::of(1u32..600), prop::option::of(1u32..600), prop::collection::vec(1u32..2_000, 0..3));
    let late = prop_oneof![Just(0), 1u32..40];
    (any::<u64>(), 1usize..60, limits, time, faults, happenings, late).prop_map(
        |(seed, contacts, limits, time, faults, happenings, late)| World {
            seed,
            contacts,
            concurrency: limits.0,
            rate: limits.1,
            calls_per_day: limits.2,
            max_attempts: limits.3,
            retry_minutes: limits.4,
            window: time.0,
            campaign_zone: time.1,
            start_hour: time.2,
            throttled: faults.0,
            transient: faults.1,
            in_doubt: faults.2,
            pause_at: happenings.0,
            suppress_at: happenings.1,
            crash_at: happenings.2,
            late,
        },
    )
}

const DAYS: [Weekday; 7] =
    [Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday, Weekday::Thursday, Weekday::Friday, Weekday::Saturday, Weekday::Sunday];

impl World {
    fn start(&self) -> Timestamp {
        let base: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        base + SignedDuration::from_hours(self.start_hour)
    }

    fn windows(&self) -> CallingWindows {
        let Some((start, end, days)) = self.window else { return CallingWindows::default() };
        let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        let days: Vec<Weekday> = (0..7).filter(|day| days & (1 << day) != 0).map(|day| DAYS[day]).collect();
        CallingWindows { allowed: vec![TimeWindow { start: time(start), end: time(end), days }], ..CallingWindows::default() }
    }

    /// Whether the window is open, by an oracle of its own: local minute and weekday, nothing else.
    fn open_at(&self, zone: &str, at: Timestamp) -> bool {
        let Some((start, end, days)) = self.window else { return true };
        let local = at.to_zoned(TimeZone::get(zone).unwrap());
        let minute = local.hour() as u16 * 60 + local.minute() as u16;
        let day = local.weekday().to_monday_zero_offset() as u32;
        let on = |day: u32| days & (1 << (day % 7)) != 0;
        if start < end { on(day) && (start..end).contains(&minute) } else { (on(day) && minute >= start) || (on(day + 6) && minute < end) }
    }

    fn profile(&self) -> CarrierProfile {
        CarrierProfile {
            calls: CallMix { answered: 40, no_answer: 30, busy: 15, voicemail: 10, rejected: 5, ..CallMix::none() },
            ring_millis: Span { min: 1_000, max: 30_000 },
            talk: TalkTime { min_seconds: 1, mean_seconds: 60, max_seconds: 600 },
            throttled: self.throttled,
            transient: self.transient,
            in_doubt: self.in_doubt,
            retry_after_millis: 3_000,
            lookup_lag_millis: 2_000,
            ..CarrierProfile::default()
        }
    }

    fn spec(&self) -> CampaignSpec {
        CampaignSpec::call("world")
            .concurrent_limit(self.concurrency)
            .retries(self.max_attempts, self.retry_minutes)
            .time_zone(ZONES[self.campaign_zone])
            .windows(self.windows())
            .with(|spec| {
                spec.rate_limit_per_minute = self.rate;
                spec.calls_per_day = self.calls_per_day;
                spec.retry.jitter_percent = 20;
            })
            .build()
            .unwrap()
    }

    /// A store in memory whose answers come late, so that other things happen between what it did and who hears of it.
    fn store(&self, id: Option<uuid::Uuid>) -> Arc<dyn ContactStore> {
        let inner = Arc::new(id.map_or_else(MemoryStore::new, MemoryStore::with_id));
        if self.late == 0 {
            return inner;
        }
        let (late, turns) = (self.late, AtomicU32::new(self.seed as u32));
        Arc::new(Lossy::new(inner).by(move |_| {
            // Any spread will do, as long as the same seed gives the same.
            let turns = turns.fetch_add(0x9E37_79B9, Ordering::SeqCst) >> 16;
            Box::pin(async move {
                for _ in 0..turns % (late + 1) {
                    tokio::task::yield_now().await;
                }
            })
        }))
    }

    fn zone_of(&self, index: usize) -> &'static str {
        ZONES[(index + self.seed as usize % 7) % ZONES.len()]
    }
}

/// What a world came to.
struct Told {
    log: Vec<Seen>,
    contacts: Vec<Contact>,
    status: CampaignStatus,
    /// From the acknowledgement of the pause to the resumption.
    paused: Option<(Timestamp, Timestamp)>,
    suppressed: Option<(campaign_core::phone::PhoneNumber, Timestamp)>,
}

async fn live(world: World, clock: VirtualExecutor, store: Arc<dyn ContactStore>) -> Told {
    let recorder = Recorder::new(SimulatedDialer::new(world.profile(), world.seed));
    let build = || {
        Engine::builder()
            .shared_store(Arc::clone(&store))
            .dialer(recorder.clone())
            .executor(clock.clone())
            .options(|options| {
                options.poll_interval = None;
                options.seed = world.seed;
                // Heartbeats are the only thing that happens all the time; few of them keep virtual years short.
                options.lease = Duration::from_secs(3_600);
                options.longest_pause = Duration::from_secs(2);
            })
            .build()
    };
    let mut engine = build().await.unwrap();
    let id = engine.create_campaign(world.spec()).await.unwrap().id;
    let rows = (0..world.contacts)
        .map(|index| {
            let mut row = serde_json::Map::new();
            row.insert("phone".to_owned(), format!("+1212{:07}", 5_550_000 + index).into());
            row.insert("time_zone".to_owned(), world.zone_of(index).into());
            row
        })
        .collect();
    let report = engine.import_contacts(id, ImportSource::Rows(rows), ImportOptions::default()).await.unwrap();
    assert_eq!(report.imported, world.contacts as u64);
    engine.start(id).await.unwrap();

    let mut happenings: Vec<(u32, &'static str)> = Vec::new();
    happenings.extend(world.pause_at.map(|at| (at, "pause")));
    happenings.extend(world.suppress_at.map(|at| (at, "suppress")));
    happenings.extend(world.crash_at.iter().map(|at| (*at, "crash")));
    happenings.sort_unstable();
    let (mut paused, mut suppressed) = (None, None);
    for (at, what) in happenings {
        clock.sleep_until(world.start() + SignedDuration::from_mins(i64::from(at)) + SignedDuration::from_millis(37)).await;
        match what {
            "pause" => match engine.pause(id).await {
                Ok(_) => {
                    let from = clock.now();
                    clock.sleep_until(from + SignedDuration::from_mins(90)).await;
                    paused = Some((from, clock.now()));
                    engine.resume(id).await.unwrap();
                }
                Err(error) => assert_eq!(error.kind(), Kind::State),
            },
            "suppress" => {
                let query = ContactQuery { count: false, ..ContactQuery::of(Owner::Campaign(id)) };
                let phone = engine.list_contacts(query).await.unwrap().items[0].person.phone.clone();
                let entry = Suppression {
                    phone: phone.clone(),
                    scope: SuppressionScope::Everything,
                    reason: "test".to_owned(),
                    source: None,
                    created_at: clock.now(),
                    expires_at: None,
                };
                engine.suppress(vec![entry]).await.unwrap();
                suppressed = Some((phone, clock.now()));
            }
            _ => {
                engine.abort();
                engine = build().await.unwrap();
            }
        }
    }
    // A window that is open one minute a week and thirty attempts take long; nothing here takes more than a few years.
    let end = world.start() + SignedDuration::from_hours(24 * 365 * 2);
    tokio::select! {
        biased;
        done = engine.wait(id) => { done.unwrap(); }
        () = clock.sleep_until(end) => {}
    }
    let query = ContactQuery { paging: Paging { offset: 0, limit: 1000 }, ..ContactQuery::of(Owner::Campaign(id)) };
    let contacts = engine.list_contacts(query).await.unwrap().items;
    let status = engine.get_campaign(id).await.unwrap().status;
    engine.abort();
    Told { log: recorder.log(), contacts, status, paused, suppressed }
}

fn tell(world: &World, store: Arc<dyn ContactStore>) -> Told {
    let clock = VirtualExecutor::new(world.start());
    clock.run(live(world.clone(), clock.clone(), store))
}

fn check(world: &World, told: &Told) -> Result<(), TestCaseError> {
    prop_assert_eq!(told.status, CampaignStatus::Completed);
    prop_assert_eq!(told.contacts.len(), world.contacts);
    let zones: BTreeMap<_, _> = told.contacts.iter().map(|contact| (contact.id, contact.person.zones.clone())).collect();
    for contact in &told.contacts {
        prop_assert!(contact.state.status.is_terminal(), "{:?}", contact);
        prop_assert!(contact.state.reason.is_some(), "no reason: {:?}", contact);
        prop_assert!(contact.state.attempts <= world.max_attempts, "{:?}", contact);
    }
    let keys: BTreeSet<_> = told.log.iter().map(|seen| seen.key.clone()).collect();
    prop_assert_eq!(keys.len(), told.log.len(), "a key was handed over twice");
    let mut last: BTreeMap<_, (u32, Timestamp)> = BTreeMap::new();
    for seen in &told.log {
        for zone in zones[&seen.contact].names() {
            prop_assert!(world.open_at(zone, seen.start), "outside of the window of {}: {:?}", zone, seen);
        }
        prop_assert!(seen.number <= world.max_attempts, "{:?}", seen);
        if !seen.refused
            && let Some((number, at)) = last.insert(seen.contact, (seen.number, seen.start))
        {
            prop_assert!(number <= seen.number && at <= seen.start, "attempts of a contact out of order: {:?}", seen);
        }
        if let Some((from, to)) = told.paused {
            prop_assert!(!(from..to).contains(&seen.start), "handed over while paused: {:?}", seen);
        }
        if let Some((phone, from)) = &told.suppressed {
            prop_assert!(seen.to != *phone || seen.start <= *from, "handed over although suppressed: {:?}", seen);
        }
    }
    if let Some(rate) = world.rate {
        for window in told.log.windows(rate as usize + 1) {
            let span = window[rate as usize].start.duration_since(window[0].start);
            prop_assert!(span >= SignedDuration::from_secs(60), "{} starts in {span:?}", rate + 1);
        }
    }
    // A crash leaves calls behind that nobody sees the end of; the limit is checked where every end is known.
    if world.crash_at.is_empty() && world.in_doubt == 0.0 {
        let mut edges: Vec<(Timestamp, i32)> = told.log.iter().map(|seen| (seen.start, 1)).collect();
        edges.extend(told.log.iter().filter_map(|seen| seen.end).map(|end| (end, -1)));
        edges.sort();
        let mut in_flight = 0;
        for (at, change) in edges {
            in_flight += change;
            prop_assert!(in_flight <= world.concurrency as i32, "{in_flight} in flight at {at}");
        }
    }
    if let Some(limit) = world.calls_per_day {
        let zone = TimeZone::get(ZONES[world.campaign_zone]).unwrap();
        let mut per_day: BTreeMap<_, u32> = BTreeMap::new();
        for seen in told.log.iter().filter(|seen| !seen.refused) {
            *per_day.entry(seen.start.to_zoned(zone.clone()).date()).or_default() += 1;
        }
        prop_assert!(per_day.values().all(|count| *count <= limit), "{per_day:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Nobody skipped, nobody twice, never outside the rules, exact limits: in every world.
    #[test]
    fn every_world_keeps_the_promises(world in world()) {
        let told = tell(&world, world.store(None));
        check(&world, &told)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// The same on the durable store; its threads are outside of the virtual clock, which waits for them.
    #[test]
    fn sqlite_keeps_the_promises(world in world()) {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(directory.path().join("world.db")).unwrap();
        let told = tell(&world, Arc::new(store));
        check(&world, &told)?;
    }

    /// The same seed gives the same log, to the microsecond.
    #[test]
    fn the_same_seed_gives_the_same_log(world in world()) {
        let id = "00000000-0000-4000-8000-000000000001".parse().unwrap();
        let first = tell(&world, world.store(Some(id)));
        let second = tell(&world, world.store(Some(id)));
        prop_assert_eq!(&first.log, &second.log);
        let states = |told: &Told| told.contacts.iter().map(|contact| contact.state.clone()).collect::<Vec<_>>();
        prop_assert_eq!(states(&first), states(&second));
        prop_assert!(first.contacts.iter().all(|contact| contact.state.status != ContactStatus::Pending));
    }
}
