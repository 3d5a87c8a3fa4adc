//! P1 and P2 under `kill -9`: hundreds of lives on one file, and the carrier's own log as the judge.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use campaign_core::Engine;
use campaign_core::campaign::{CampaignSpec, CampaignType};
use campaign_core::contact::Owner;
use campaign_core::dialer::{ScriptedDialer, SimulatedDialer};
use campaign_core::id::CampaignId;
use campaign_core::import::{ImportOptions, ImportSource};
use campaign_core::store::{AttemptQuery, CampaignQuery, ContactQuery, ContactStore, Paging, SqliteStore};
use campaign_tests::AtOnce;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const CONTACTS: usize = 6_000;
/// Lives that end at a random moment, and lives that end at a chosen point.
const RANDOM_LIVES: u64 = 160;
const CHOSEN_LIVES: u64 = 60;

fn worker(directory: &Path, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_crash_worker"))
        .arg(directory.join("campaigns.db"))
        .arg(directory.join("carrier.log"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

async fn prepare(directory: &Path) -> CampaignId {
    let store = SqliteStore::open(directory.join("campaigns.db")).unwrap();
    let kind = |_: &_| Ok(Arc::new(AtOnce) as _);
    let engine = Engine::builder().store(store).dialer(ScriptedDialer::new()).campaign_kind(AtOnce::NAME, kind).build().await.unwrap();
    let spec = CampaignSpec::builder(CampaignType::Custom(AtOnce::NAME.to_owned()), "crash")
        .concurrent_limit(100)
        .with(|spec| spec.rate_limit_per_minute = None)
        .build()
        .unwrap();
    let id = engine.create_campaign(spec).await.unwrap().id;
    let rows = (0..CONTACTS)
        .map(|number| {
            let mut row = serde_json::Map::new();
            row.insert("phone".to_owned(), format!("+1212{:07}", 5_550_000 + number).into());
            row
        })
        .collect();
    let report = engine.import_contacts(id, ImportSource::Rows(rows), ImportOptions::default()).await.unwrap();
    assert_eq!(report.imported, CONTACTS as u64, "{:?}", report.errors);
    engine.close().await.unwrap();
    id
}

#[test]
fn killed_at_any_moment_nobody_is_lost_and_nobody_is_called_twice() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let id = runtime.block_on(prepare(directory.path()));
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    // Lives that found work to do; one that ends by itself found the campaign completed.
    let mut cut_short = 0;
    for life in 0..RANDOM_LIVES {
        let mut child = worker(directory.path(), &[]);
        // Mostly short lives, some long enough to take over what earlier ones left.
        let millis = if life % 20 == 19 { 900 } else { 15 + next(90) };
        std::thread::sleep(Duration::from_millis(millis));
        let _ = child.kill();
        cut_short += u64::from(!child.wait().unwrap().success());
    }
    for life in 0..CHOSEN_LIVES {
        let point = if life % 2 == 0 { "before-hand-off" } else { "after-hand-off" };
        let mut child = worker(directory.path(), &[point, &(1 + next(40)).to_string()]);
        let deadline = Instant::now() + Duration::from_millis(1_500);
        while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = child.kill();
        cut_short += u64::from(!child.wait().unwrap().success());
    }
    assert!(cut_short >= 200, "only {cut_short} lives were cut short; the campaign is too small for the machine");
    let status = worker(directory.path(), &[]).wait().unwrap();
    assert!(status.success(), "the last life must end by itself: {status}");

    // The carrier's own log is the judge.
    let carrier = SimulatedDialer::instant().with_log(directory.path().join("carrier.log")).unwrap();
    let by_key = carrier.hand_offs_by_key();
    let twice: Vec<_> = by_key.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "handed over twice: {twice:?}");

    let mut numbers: BTreeMap<_, u32> = BTreeMap::new();
    for hand_off in carrier.hand_offs() {
        *numbers.entry((hand_off.contact_id, hand_off.attempt_number)).or_default() += 1;
    }
    let repeated: Vec<_> = numbers.iter().filter(|(_, count)| **count > 1).collect();
    assert!(repeated.is_empty(), "the same attempt of a contact reached the carrier twice: {repeated:?}");

    runtime.block_on(async {
        let settled = attempts(directory.path(), id).await;
        let known: BTreeSet<_> = settled.iter().map(|(key, _)| key.clone()).collect();
        for key in by_key.keys() {
            assert!(known.contains(&**key), "the carrier saw {key}, the store has no such attempt");
        }
        assert!(settled.iter().all(|(_, open)| !open), "an attempt was left open");
        let store = SqliteStore::open(directory.path().join("campaigns.db")).unwrap();
        let engine = Engine::builder().store(store).dialer(ScriptedDialer::new()).build().await.unwrap();
        let progress = engine.progress(id).await.unwrap();
        assert_eq!((progress.pending_contacts, progress.in_progress_contacts), (0, 0));
        let query = ContactQuery { paging: Paging { offset: 0, limit: 10_000 }, ..ContactQuery::of(Owner::Campaign(id)) };
        let contacts = engine.list_contacts(query).await.unwrap().items;
        assert_eq!(contacts.len(), CONTACTS, "contacts were lost");
        for contact in &contacts {
            assert!(contact.state.status.is_terminal(), "{contact:?}");
            assert!(contact.state.reason.is_some(), "a contact ended without a reason: {contact:?}");
            assert!(contact.state.attempts <= 3, "{contact:?}");
        }
        assert_eq!(engine.list_campaigns(CampaignQuery::default()).await.unwrap().items[0].status.as_str(), "completed");
        engine.close().await.unwrap();
    });
}

/// Keys of all attempts of the campaign, and whether each is still open.
async fn attempts(directory: &Path, id: CampaignId) -> Vec<(String, bool)> {
    let store = SqliteStore::open(directory.join("campaigns.db")).unwrap();
    let mut all = Vec::new();
    let mut before = None;
    loop {
        let query = AttemptQuery { campaign: Some(id), before, paging: Paging { offset: 0, limit: 5_000 }, ..AttemptQuery::default() };
        let page = store.attempts(query).await.unwrap().items;
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        all.extend(page.iter().map(|attempt| (attempt.key.to_string(), attempt.state.is_open())));
    }
    store.close().await.unwrap();
    all
}
