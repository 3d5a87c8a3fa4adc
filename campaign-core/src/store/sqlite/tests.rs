//! What can only be seen from inside: a disk that is full, and how statements find their rows.

use super::*;
use crate::campaign::CampaignSpec;
use crate::contact::{ContactSource, NewContact, Variables, ZoneKey};
use crate::phone::PhoneNumber;
use uuid::Uuid;

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn contacts(owner: Owner, range: std::ops::Range<u32>) -> AddContacts {
    let contact = |index: u32| NewContact {
        phone: PhoneNumber::from_e164(&format!("+1555{index:07}")).unwrap(),
        name: Some("Dana Scully".to_owned()),
        email: None,
        company: None,
        zones: ZoneKey::unknown(),
        variables: Variables::new(),
        consent: None,
        source: ContactSource::Api,
    };
    let (request_id, duplicates) = (Uuid::new_v4(), DuplicatePolicy::Skip);
    AddContacts { request_id, owner, organization: None, contacts: range.map(contact).collect(), duplicates, now: NOW }
}

#[tokio::test]
async fn a_full_disk_is_said_and_survived() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("a.db")).unwrap();
    let spec = CampaignSpec::call("full").build().unwrap();
    let campaign = store.create_campaign(NewCampaign { request_id: Uuid::new_v4(), spec, now: NOW }).await.unwrap();
    let owner = Owner::Campaign(campaign.id);
    store.add_contacts(contacts(owner, 0..100)).await.unwrap();
    let limit = |pages: i64| store.write(move |w| Ok(w.db.conn.pragma_update(None, "max_page_count", pages)?));
    let used: i64 = store.read(|db| Ok(db.conn.query_row("PRAGMA page_count", [], |row| row.get(0))?)).await.unwrap();
    limit(used + 2).await.unwrap();

    let request = contacts(owner, 100..5_000);
    let error = store.add_contacts(request.clone()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Full);
    assert!(error.to_string().contains("a.db") && error.message().contains("Free some space"), "{error}");
    assert_eq!(store.counts(campaign.id).await.unwrap().open(), 100, "nothing of the failed call, everything of the one before");
    store.next_number("small".to_owned()).await.unwrap();

    limit(1_000_000).await.unwrap();
    let added = store.add_contacts(request).await.unwrap();
    assert!(added.iter().all(|added| matches!(added, Added::New(_))), "the failed call left no answer behind");
    assert_eq!(store.counts(campaign.id).await.unwrap().open(), 5_000);
}

#[tokio::test]
async fn a_panic_costs_one_call() {
    let store = SqliteStore::in_memory().unwrap();
    let error = store.write(|_| -> Answer<()> { panic!("on purpose") }).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    let folder = tempfile::tempdir().unwrap();
    let file = SqliteStore::open_with(folder.path().join("a.db"), SqliteOptions { readers: 1, ..Default::default() }).unwrap();
    let error = file.read(|_| -> Answer<()> { panic!("on purpose") }).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    assert_eq!(file.nodes(NOW).await.unwrap(), []);
    assert_eq!(store.next_number("n".to_owned()).await.unwrap(), 1);
}

/// As `campaigns` lists those of one organisation.
const OF_AN_ORGANISATION: &str = "SELECT record FROM campaigns WHERE organization = ? ORDER BY id DESC LIMIT ? OFFSET ?";

/// The statements that must not get slower with the store seek in an index and sort nothing.
#[tokio::test]
async fn hot_statements_neither_scan_nor_sort() {
    let store = SqliteStore::in_memory().unwrap();
    for (sql, expected) in [
        (claim::DUE, "USING INDEX contacts_due (owner=? AND zone_id=? AND due_at>? AND due_at<?)"),
        (read::NEXT_ZONE, "USING COVERING INDEX contacts_due (owner=? AND zone_id>?)"),
        (nodes::DEAD, "USING INDEX attempts_open (node_id=?)"),
        (events::SETTLED, "USING INDEX attempts_settled (settled_seq>?)"),
        (events::CLAIMED, "USING INTEGER PRIMARY KEY (rowid>?)"),
        (OF_AN_ORGANISATION, "USING INDEX campaigns_organization (organization=?)"),
        (
            suppression::RECENT,
            "contacts_phone (phone=?); SEARCH g USING INTEGER PRIMARY KEY (rowid=?); SEARCH a USING INDEX attempts_contact",
        ),
    ] {
        let plan: Vec<String> = store
            .read(move |db| {
                let mut statement = db.conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                let rows = statement.raw_query().mapped(|row| row.get(3));
                Ok(rows.collect::<std::result::Result<_, _>>()?)
            })
            .await
            .unwrap();
        let plan = plan.join("; ");
        assert!(plan.contains(expected), "{sql}\n{plan}");
        // Taking over sorts the few attempts it takes, and facts the few of a person.
        assert!([nodes::DEAD, suppression::RECENT].contains(&sql) || !plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
    }
}
