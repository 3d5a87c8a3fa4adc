//! Deliveries that wait. A document of the store for each, under `<target>/<when it is due>/<id of the event>`: the deliveries of a target
//! stand together, those that are due first in front, and targets without any cost nothing.
//!
//! A node that sends one takes a lease on it by changing the document it has read; when the node dies, the lease runs out and another sends
//! it. What nobody took within a day is moved to the dead letters.

use super::EventName;
use campaign_core::executor::Executor;
use campaign_core::id::CampaignId;
use campaign_core::store::{ContactStore, Document, DocumentQuery, PutDocument};
use campaign_core::{Error, Kind, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The collection of deliveries that wait.
pub(super) const WAITING: &str = "webhook_outbox";
/// The collection of dead letters, under `<target>/<when it died>/<id of the event>`.
pub(super) const DEAD: &str = "webhook_dead";
/// Above every character of a key behind the target.
const BEHIND: char = '~';

/// A delivery.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Delivery {
    /// Goes out as `webhook-id`.
    pub(super) id: String,
    pub(super) event: EventName,
    #[serde(default)]
    pub(super) campaign: Option<CampaignId>,
    /// When it happened.
    pub(super) at: Timestamp,
    /// Exactly what is signed and sent.
    pub(super) body: String,
    /// When it is due. Part of its key.
    pub(super) due: Timestamp,
    /// How often it was tried.
    #[serde(default)]
    pub(super) attempts: u32,
    /// How the last attempt failed.
    #[serde(default)]
    pub(super) failure: Option<Failure>,
    /// Somebody sends it until then.
    #[serde(default)]
    pub(super) leased_until: Option<Timestamp>,
}

/// How an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) at: Timestamp,
    /// The status of the answer, when there was one.
    pub(super) status: Option<u16>,
    /// One sentence, without the address.
    pub(super) reason: String,
}

/// A delivery as it was read.
pub(super) struct Kept {
    pub(super) key: String,
    pub(super) revision: u64,
    pub(super) delivery: Delivery,
}

/// Where deliveries are kept.
#[derive(Clone)]
pub(super) struct Outbox {
    pub(super) store: Arc<dyn ContactStore>,
    pub(super) executor: Arc<dyn Executor>,
}

/// The target of a key.
pub(super) fn target_of(key: &str) -> &str {
    key.split('/').next().unwrap_or(key)
}

fn key(target: &str, at: Timestamp, id: &str) -> String {
    // Milliseconds since the epoch, padded so that keys sort as moments.
    format!("{target}/{:015}/{id}", at.as_millisecond().max(0))
}

fn corrupt(error: serde_json::Error) -> Error {
    Error::new(Kind::Corrupt, "a stored webhook cannot be read").with_source(error)
}

impl Outbox {
    /// Awaits the store while a virtual clock stands still.
    pub(super) async fn held<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let _hold = self.executor.hold();
        work.await
    }

    pub(super) async fn documents(&self, collection: &str, after: Option<String>, limit: u32) -> Result<Vec<Document>> {
        let query = DocumentQuery { collection: collection.to_owned(), key: None, after, limit };
        self.held(self.store.documents(query)).await
    }

    pub(super) async fn document(&self, collection: &str, key: &str) -> Result<Option<Document>> {
        let query = DocumentQuery { collection: collection.to_owned(), key: Some(key.to_owned()), after: None, limit: 1 };
        Ok(self.held(self.store.documents(query)).await?.into_iter().next())
    }

    /// Stores a value under a key, if its revision is as expected; `None` when it is not.
    pub(super) async fn put(&self, collection: &str, key: &str, value: &impl Serialize, expected: Option<u64>) -> Result<Option<u64>> {
        let value =
            serde_json::to_value(value).map_err(|error| Error::new(Kind::Internal, "a webhook must serialise").with_source(error))?;
        let put = PutDocument { collection: collection.to_owned(), key: key.to_owned(), value, expected_revision: expected };
        match self.held(self.store.put_document(put)).await {
            Ok(revision) => Ok(Some(revision)),
            Err(error) if error.kind() == Kind::Conflict => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn delete(&self, collection: &str, key: &str) -> Result<bool> {
        self.held(self.store.delete_document(collection.to_owned(), key.to_owned())).await
    }

    /// Queues a delivery; one that is queued already is left as it is.
    pub(super) async fn queue(&self, target: &str, delivery: &Delivery) -> Result<()> {
        self.put(WAITING, &key(target, delivery.due, &delivery.id), delivery, Some(0)).await.map(drop)
    }

    /// The first target that has deliveries, behind the one given.
    pub(super) async fn next_target(&self, behind: Option<&str>) -> Result<Option<String>> {
        let after = behind.map(|target| format!("{target}/{BEHIND}"));
        let first = self.documents(WAITING, after, 1).await?;
        Ok(first.first().map(|document| target_of(&document.key).to_owned()))
    }

    /// Deliveries of a target in one of the collections, behind a key, the first ones first.
    pub(super) async fn of_target(&self, collection: &str, target: &str, behind: Option<&str>, limit: u32) -> Result<Vec<Kept>> {
        let after = behind.map_or_else(|| format!("{target}/"), str::to_owned);
        let found = self.documents(collection, Some(after), limit).await?;
        let own = found.into_iter().take_while(|document| target_of(&document.key) == target);
        own.map(|document| {
            let delivery = serde_json::from_value(document.value).map_err(corrupt)?;
            Ok(Kept { key: document.key, revision: document.revision, delivery })
        })
        .collect()
    }

    /// Takes a lease; `None` when somebody else was faster.
    pub(super) async fn lease(&self, kept: &Kept, until: Timestamp) -> Result<Option<u64>> {
        let leased = Delivery { leased_until: Some(until), ..kept.delivery.clone() };
        self.put(WAITING, &kept.key, &leased, Some(kept.revision)).await
    }

    /// It arrived.
    pub(super) async fn done(&self, kept: &Kept) -> Result<()> {
        self.delete(WAITING, &kept.key).await.map(drop)
    }

    /// It is tried again later. Stored anew before the old is removed: a crash in between sends it twice, and never not at all.
    pub(super) async fn put_off(&self, kept: &Kept, delivery: Delivery) -> Result<()> {
        let later = Delivery { leased_until: None, ..delivery };
        let place = key(target_of(&kept.key), later.due, &later.id);
        self.put(WAITING, &place, &later, None).await?;
        if place != kept.key {
            self.delete(WAITING, &kept.key).await?;
        }
        Ok(())
    }

    /// Nobody took it in time.
    pub(super) async fn bury(&self, kept: &Kept, delivery: Delivery, now: Timestamp) -> Result<()> {
        let dead = Delivery { leased_until: None, ..delivery };
        self.put(DEAD, &key(target_of(&kept.key), now, &dead.id), &dead, None).await?;
        self.delete(WAITING, &kept.key).await.map(drop)
    }

    /// Queues a dead letter anew; it is tried as often as a new one.
    pub(super) async fn revive(&self, kept: &Kept, now: Timestamp) -> Result<()> {
        let again = Delivery { due: now, attempts: 0, leased_until: None, ..kept.delivery.clone() };
        self.queue(target_of(&kept.key), &again).await?;
        self.delete(DEAD, &kept.key).await.map(drop)
    }

    /// Removes everything of a target.
    pub(super) async fn forget(&self, target: &str) -> Result<()> {
        for collection in [WAITING, DEAD] {
            loop {
                let found = self.of_target(collection, target, None, 500).await?;
                if found.is_empty() {
                    break;
                }
                for kept in found {
                    self.delete(collection, &kept.key).await?;
                }
            }
        }
        Ok(())
    }
}
