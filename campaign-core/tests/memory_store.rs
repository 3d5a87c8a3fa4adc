//! The memory store passes the suite that every store passes, and its lean form still counts right.

use campaign_core::campaign::{CampaignRecord, CampaignSpec, CampaignStatus};
use campaign_core::store::{ContactStore, EventQuery, MemoryStore, NewCampaign, SaveCampaign};
use campaign_core::testkit::store;
use jiff::Timestamp;
use std::sync::Arc;

fn memory() -> Arc<dyn ContactStore> {
    Arc::new(MemoryStore::new())
}

#[tokio::test]
async fn conforms() {
    store::run(|| Box::pin(async { Ok(memory()) })).await.unwrap();
}

#[tokio::test]
async fn counts_hold_over_long_random_sequences() {
    for seed in 2..6 {
        store::compare(memory(), seed, 1_500).await.unwrap();
    }
}

/// A lean store knows less of the past, and nothing else: these checks ask for no attempt of a terminal contact.
#[tokio::test]
async fn a_lean_store_keeps_every_limit_and_count() {
    for name in
        ["concurrency_holds", "slots_keep_their_distance", "days_and_money_run_out", "facts_reach_over_campaigns", "a_reset_begins_anew"]
    {
        let check = store::checks().into_iter().find(|check| check.name == name).unwrap();
        let outcome = check.run(Arc::new(MemoryStore::new().lean())).await;
        match outcome {
            Err(broken) => assert_eq!(broken.sentence, "attempts stay after a reset", "{broken}"),
            Ok(()) => assert_ne!(name, "a_reset_begins_anew"),
        }
    }
}

/// A reader that asks for events older than the store keeps gets what is there.
#[tokio::test]
async fn old_events_make_room() {
    let store = MemoryStore::new();
    let now = Timestamp::UNIX_EPOCH;
    let start = store.events(EventQuery { after: None, campaign: None, limit: 0 }).await.unwrap().next;
    let spec = CampaignSpec { name: "Busy".to_owned(), ..CampaignSpec::default() };
    let mut record = store.create_campaign(NewCampaign { request_id: uuid::Uuid::new_v4(), spec, now }).await.unwrap();
    for round in 0..100_010 {
        let status = if round % 2 == 0 { CampaignStatus::Running } else { CampaignStatus::Paused };
        let save = SaveCampaign { expected_revision: record.revision, record: CampaignRecord { status, ..record }, guard: None, now };
        record = store.save_campaign(save).await.unwrap();
    }
    let page = store.events(EventQuery { after: Some(start), campaign: None, limit: 200_000 }).await.unwrap();
    assert_eq!((page.events.len(), page.more), (100_000, false));
}
