//! What is particular to a file: who may read it, who else has it open, and what happens when it is locked, damaged or foreign.
#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a panic is how a test fails, and opening a file blocks")]

use campaign_core::Kind;
use campaign_core::campaign::{CampaignRecord, CampaignSpec, CampaignStatus};
use campaign_core::contact::{ContactSource, ContactStatus, NewContact, Owner, PlannedStep, Variables, ZoneKey};
use campaign_core::id::{ContactId, NodeToken};
use campaign_core::outcome::{Channel, Outcome};
use campaign_core::phone::PhoneNumber;
use campaign_core::policy::gates::ClaimGates;
use campaign_core::policy::limits::{ClaimLimits, LimitRules, LimitScope};
use campaign_core::policy::transition::{self, ContactEvent};
use campaign_core::store::*;
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use uuid::Uuid;

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

async fn running(store: &SqliteStore) -> CampaignRecord {
    let spec = CampaignSpec::call("file").build().unwrap();
    let mut record = store.create_campaign(NewCampaign { request_id: Uuid::new_v4(), spec, now: NOW }).await.unwrap();
    record.status = CampaignStatus::Running;
    let expected_revision = record.revision;
    store.save_campaign(SaveCampaign { record, expected_revision, guard: None, now: NOW }).await.unwrap()
}

async fn add(store: &SqliteStore, campaign: &CampaignRecord, range: std::ops::Range<u32>) {
    let contact = |index: u32| NewContact {
        phone: PhoneNumber::from_e164(&format!("+1555{index:07}")).unwrap(),
        name: None,
        email: None,
        company: None,
        zones: ZoneKey::from_names(["America/New_York"]),
        variables: Variables::new(),
        consent: None,
        source: ContactSource::Api,
    };
    let add = AddContacts {
        request_id: Uuid::new_v4(),
        owner: Owner::Campaign(campaign.id),
        organization: None,
        contacts: range.map(contact).collect(),
        duplicates: DuplicatePolicy::Skip,
        now: NOW,
    };
    store.add_contacts(add).await.unwrap();
}

async fn node(store: &SqliteStore) -> NodeToken {
    let node = NewNode { name: "test".to_owned(), lease: SignedDuration::from_mins(1), now: NOW };
    store.register_node(node).await.unwrap().token
}

async fn claim(store: &SqliteStore, campaign: &CampaignRecord, token: NodeToken, max: u32) -> Claims {
    let mut rules = LimitRules::new(LimitScope::Campaign(campaign.id));
    rules.concurrency = Some(150);
    let request = ClaimRequest {
        request_id: Uuid::new_v4(),
        token,
        campaign: campaign.id,
        expected_revision: campaign.revision,
        max,
        zones: vec![ZoneKey::from_names(["America/New_York"])],
        gates: ClaimGates::default(),
        limits: ClaimLimits { shared: vec![rules], callers: Vec::new(), horizon: NOW },
        account: None,
        first_step: PlannedStep { step: 0, channel: Channel::Call },
        spec_version: 1,
        grace: SignedDuration::from_secs(30),
        now: NOW,
    };
    store.claim(request).await.unwrap()
}

async fn complete(store: &SqliteStore, claims: &Claims, token: NodeToken) -> SettleReply {
    let settlements = claims.claimed.iter().map(|claimed| Settlement {
        attempt: claimed.attempt.id,
        started_at: Some(NOW),
        end: AttemptEnd::Finished(Outcome::answered(10)),
        transition: transition::contact(ContactStatus::InProgress, ContactEvent::Finish(ContactStatus::Completed)).unwrap(),
        reason: None,
        due_at: None,
        step: None,
    });
    store.settle(SettleRequest { token, settlements: settlements.collect(), now: NOW }).await.unwrap()
}

fn open_error(path: &Path) -> campaign_core::Error {
    let error = SqliteStore::open(path).unwrap_err();
    assert!(error.to_string().contains(path.to_str().unwrap()), "names the file: {error}");
    error
}

/// A file of the first version of the schema: what came later is taken out again.
#[tokio::test]
async fn a_file_of_an_earlier_version_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.db");
    let store = SqliteStore::open(&path).unwrap();
    let campaign = running(&store).await;
    add(&store, &campaign, 0..3).await;
    store.close().await.unwrap();
    drop(store);
    let old = "DROP INDEX campaigns_organization; DROP INDEX campaigns_organization_type; DROP INDEX campaigns_type;
        DROP INDEX campaigns_status; ALTER TABLE campaigns DROP COLUMN organization;
        UPDATE campaigns SET record = json_remove(record, '$.spec.organization'); PRAGMA user_version = 1;";
    rusqlite::Connection::open(&path).unwrap().execute_batch(old).unwrap();

    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.migrated(), Migrated { from: 1, to: 3 });
    assert_eq!(SqliteStore::open(&path).unwrap().migrated(), Migrated { from: 3, to: 3 });
    assert_eq!(store.campaign(campaign.id).await.unwrap(), Some(campaign.clone()), "it is of no organisation");
    let token = node(&store).await;
    assert_eq!(claim(&store, &campaign, token, 9).await.claimed.len(), 3);
    let spec = CampaignSpec::call("new").organization(7).build().unwrap();
    let new = store.create_campaign(NewCampaign { request_id: Uuid::new_v4(), spec, now: NOW }).await.unwrap();
    let query = CampaignQuery { organization: Some(7), ..CampaignQuery::default() };
    assert_eq!(store.campaigns(query).await.unwrap().items, [new]);
    assert_eq!(store.campaigns(CampaignQuery::default()).await.unwrap().total, 2);
}

#[tokio::test]
async fn what_was_answered_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let store = SqliteStore::open(&path).unwrap();
    let campaign = running(&store).await;
    add(&store, &campaign, 0..10).await;
    let token = node(&store).await;
    let claims = claim(&store, &campaign, token, 4).await;
    complete(&store, &claims, token).await;
    store.close().await.unwrap();
    store.close().await.unwrap();
    assert_eq!(store.counts(campaign.id).await.unwrap_err().kind(), Kind::Closed);
    assert_eq!(store.changes().await.unwrap_err().kind(), Kind::Closed);
    assert_eq!(store.next_number("n".to_owned()).await.unwrap_err().kind(), Kind::Closed);

    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.campaign(campaign.id).await.unwrap().unwrap(), campaign);
    let counts = store.counts(campaign.id).await.unwrap();
    assert_eq!((counts.of(ContactStatus::Completed), counts.of(ContactStatus::Pending)), (4, 6));
    assert_eq!(store.attempts(AttemptQuery { count: true, ..Default::default() }).await.unwrap().total, 4);
    assert!(node(&store).await.epoch > token.epoch, "a fencing token is never given twice");
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let store = SqliteStore::open(&path).unwrap();
    running(&store).await;
    store.backup_to(folder.path().join("copy.db")).await.unwrap();
    for name in ["a.db", "a.db-wal", "a.db-shm", "copy.db"] {
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(format!("{store:?}"), format!("SqliteStore {{ path: {path:?} }}"));
}

#[tokio::test]
async fn two_handles_share_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let (one, two) = (SqliteStore::open(&path).unwrap(), SqliteStore::open(&path).unwrap());
    let campaign = running(&one).await;
    add(&one, &campaign, 0..200).await;
    let (first, second) = (node(&one).await, node(&two).await);
    let mut seen = BTreeSet::new();
    let (mut of_one, mut of_two) = (0, 0);
    for _ in 0..20 {
        let (a, b) = futures_util::join!(claim(&one, &campaign, first, 10), claim(&two, &campaign, second, 10));
        of_one += a.claimed.len();
        of_two += b.claimed.len();
        for claimed in a.claimed.iter().chain(&b.claimed) {
            assert!(seen.insert(claimed.contact.id), "{} claimed twice", claimed.contact.id);
        }
    }
    assert_eq!(of_one + of_two, 150, "the limit holds over both");
    assert!(of_one > 0 && of_two > 0);
    let ledgers = one.ledgers(vec![LimitScope::Campaign(campaign.id)]).await.unwrap();
    assert_eq!(ledgers[0].in_flight, 150);

    let before = (one.changes().await.unwrap(), two.changes().await.unwrap());
    let entry = Suppression {
        phone: PhoneNumber::from_e164("+15550000001").unwrap(),
        scope: SuppressionScope::Everything,
        reason: "opted_out".to_owned(),
        source: None,
        created_at: NOW,
        expires_at: None,
    };
    one.suppress(vec![entry]).await.unwrap();
    assert_eq!((one.changes().await.unwrap(), two.changes().await.unwrap()), (before.0 + 1, before.1 + 1));
}

#[tokio::test]
async fn many_may_make_the_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let opened: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            tokio::task::spawn_blocking(move || SqliteStore::open(path).unwrap())
        })
        .collect();
    let mut ids = BTreeSet::new();
    let mut epochs = BTreeSet::new();
    for store in join_all(opened).await {
        let node = NewNode { name: "test".to_owned(), lease: SignedDuration::from_mins(1), now: NOW };
        let lease = store.unwrap().register_node(node).await.unwrap();
        ids.insert(lease.store_id);
        epochs.insert(lease.token.epoch);
    }
    assert_eq!((ids.len(), epochs.len()), (1, 8));
}

#[tokio::test]
async fn a_locked_file_is_unavailable_until_it_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let store = SqliteStore::open_with(&path, SqliteOptions { busy_timeout: Duration::ZERO, ..Default::default() }).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.next_number("n".to_owned()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("locked") && error.to_string().contains("a.db"), "{error}");
    assert_eq!(store.changes().await.unwrap(), 0, "reading needs no lock");
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(store.next_number("n".to_owned()).await.unwrap(), 1);
}

#[tokio::test]
async fn one_call_that_fails_harms_no_other() {
    let store = SqliteStore::in_memory().unwrap();
    let put = |key: u32, expected: u64| PutDocument {
        collection: "c".to_owned(),
        key: format!("{key:03}"),
        value: serde_json::json!({ "key": key }),
        expected_revision: Some(expected),
    };
    // Every third wants a revision that is not there.
    let answers = join_all((0..300).map(|key| store.put_document(put(key, u64::from(key % 3 == 0))))).await;
    for (key, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(revision) => assert!(key % 3 != 0 && revision == 1),
            Err(error) => assert!(key % 3 == 0 && error.kind() == Kind::Conflict),
        }
    }
    let query = DocumentQuery { collection: "c".to_owned(), key: None, after: None, limit: 1_000 };
    assert_eq!(store.documents(query).await.unwrap().len(), 200);
}

#[tokio::test]
async fn a_file_that_is_no_store_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage.db");
    let bytes: Vec<u8> = (0..20_000_u32).map(|index| (index * 7 % 251) as u8).collect();
    std::fs::write(&garbage, &bytes).unwrap();
    assert_eq!(open_error(&garbage).kind(), Kind::Corrupt);
    assert_eq!(std::fs::read(&garbage).unwrap(), bytes, "not touched");

    let foreign = folder.path().join("foreign.db");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE notes (text)").unwrap();
    let error = open_error(&foreign);
    assert!(error.kind() == Kind::Corrupt && error.message().contains("another program"), "{error}");

    let newer = folder.path().join("newer.db");
    SqliteStore::open(&newer).unwrap().close().await.unwrap();
    rusqlite::Connection::open(&newer).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = open_error(&newer);
    assert!(error.kind() == Kind::Corrupt && error.message().contains("newer version"), "{error}");

    assert_eq!(open_error(&folder.path().join("no/such/folder.db")).kind(), Kind::Unavailable);
}

#[tokio::test]
async fn a_damaged_file_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let store = SqliteStore::open(&path).unwrap();
    let campaign = running(&store).await;
    add(&store, &campaign, 0..5_000).await;
    store.close().await.unwrap();
    let length = std::fs::metadata(&path).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length / 8192 * 4096).unwrap();
    let error = match SqliteStore::open(&path) {
        Err(error) => error,
        Ok(store) => {
            let all = ContactQuery { paging: Paging { offset: 0, limit: 10_000 }, ..ContactQuery::of(Owner::Campaign(campaign.id)) };
            store.contacts(all).await.unwrap_err()
        }
    };
    assert_eq!(error.kind(), Kind::Corrupt, "{error:?}");
    assert!(error.message().contains("restore a backup"), "{error}");
}

#[tokio::test]
async fn a_backup_is_a_store_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("a.db")).unwrap();
    let campaign = running(&store).await;
    add(&store, &campaign, 0..100).await;
    let target = folder.path().join("copy.db");
    store.backup_to(&target).await.unwrap();
    assert_eq!(store.backup_to(&target).await.unwrap_err().kind(), Kind::Conflict);
    add(&store, &campaign, 100..200).await;
    let copy = SqliteStore::open(&target).unwrap();
    assert_eq!(copy.counts(campaign.id).await.unwrap().open(), 100);
    assert!(copy.contact(ContactId(100)).await.unwrap().is_some());
}
