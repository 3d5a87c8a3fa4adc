//! Endpoints and dead letters, as they are managed: by the API, and by the command beside a running server.

use super::endpoint::{OVERLAP, Replaced, Stored, random, random_secret};
use super::event::{self, EventName};
use super::outbox::{DEAD, Delivery, Kept, Outbox, WAITING};
use super::{Endpoint, EndpointPatch, NewEndpoint};
use campaign_core::executor::Executor;
use campaign_core::http::Reach;
use campaign_core::http::signature::hex;
use campaign_core::id::CampaignId;
use campaign_core::store::{ContactStore, EventCursor, EventQuery};
use campaign_core::{Error, Kind, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::Notify;

/// The collection of endpoints, by id.
const ENDPOINTS: &str = "webhook_endpoint";
/// The collection of the one document that says how far the store's events were read.
const PLACE: &str = "webhook_place";
/// Its key.
const PLACE_KEY: &str = "place";
/// Documents read at a time.
const PAGE: u32 = 500;

/// How far the store's events were read, by whom, and what makes ids of this store's events unique.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) cursor: EventCursor,
    /// 16 random hexadecimal digits.
    pub(super) store: String,
    /// The node that reads, until then.
    #[serde(default)]
    pub(super) reader: Option<String>,
    #[serde(default)]
    pub(super) until: Option<Timestamp>,
}

/// A delivery that nobody took within a day, or one that still waits.
#[derive(Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its place in the list; goes on from there.
    pub key: String,
    /// What went out as `webhook-id`.
    pub id: String,
    /// Which event.
    pub event: EventName,
    /// Of which campaign.
    pub campaign_id: Option<CampaignId>,
    /// When it happened.
    pub at: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next; for a dead letter when it would have been.
    pub due: Timestamp,
    /// When the last attempt failed.
    pub failed_at: Option<Timestamp>,
    /// The status of the last answer, when there was one.
    pub status: Option<u16>,
    /// Why the last attempt failed, in one sentence.
    pub reason: Option<String>,
    /// What was sent.
    pub body: String,
}

impl std::fmt::Debug for DeadLetter {
    // The body holds numbers and names.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadLetter")
            .field("id", &self.id)
            .field("event", &self.event)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

/// The webhooks of a store.
#[derive(Clone)]
pub struct Webhooks {
    pub(super) outbox: Outbox,
    reach: Reach,
    /// Something was queued, or there is something to read now.
    pub(super) wake: Arc<Notify>,
    /// Webhooks were first used.
    pub(super) begun: Arc<Notify>,
}

impl std::fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Webhooks")
    }
}

impl Webhooks {
    /// The webhooks of a store, with moments from this clock. `reach` says where addresses may lead. No engine is needed, so managing
    /// webhooks beside a running server starts no node.
    pub fn new(store: Arc<dyn ContactStore>, executor: Arc<dyn Executor>, reach: Reach) -> Self {
        Self { outbox: Outbox { store, executor }, reach, wake: Arc::default(), begun: Arc::default() }
    }

    /// Where addresses may lead.
    pub(crate) fn reach(&self) -> Reach {
        self.reach
    }

    fn now(&self) -> Timestamp {
        self.outbox.executor.now()
    }

    /// Everything that is committed after this returns is told to whoever is to be told of it.
    ///
    /// # Errors
    /// What the store reports.
    pub(crate) async fn begin(&self) -> Result<()> {
        if self.place().await?.is_some() {
            return Ok(());
        }
        let query = EventQuery { after: None, campaign: None, limit: 0 };
        let cursor = self.outbox.held(self.outbox.store.events(query)).await?.next;
        let place = Place { cursor, store: hex(&random::<8>()?), reader: None, until: None };
        // Somebody else may have begun at the same time: either place is before everything that follows.
        self.outbox.put(PLACE, PLACE_KEY, &place, Some(0)).await?;
        self.begun.notify_one();
        Ok(())
    }

    pub(super) async fn place(&self) -> Result<Option<(Place, u64)>> {
        let Some(found) = self.outbox.document(PLACE, PLACE_KEY).await? else { return Ok(None) };
        let place = serde_json::from_value(found.value)
            .map_err(|error| Error::new(Kind::Corrupt, "the place in the store's events cannot be read").with_source(error))?;
        Ok(Some((place, found.revision)))
    }

    pub(super) async fn save_place(&self, place: &Place, revision: u64) -> Result<Option<u64>> {
        self.outbox.put(PLACE, PLACE_KEY, place, Some(revision)).await
    }

    /// Makes an endpoint. Its secret is told this once.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for an address that is not `https` or leads to a private network, a secret that is none, a description that is too
    /// long; what the store reports.
    pub async fn create(&self, new: NewEndpoint) -> Result<(Endpoint, String)> {
        let stored = new.stored(self.reach, self.now())?;
        self.begin().await?;
        self.outbox.put(ENDPOINTS, &stored.endpoint.id, &stored, Some(0)).await?;
        Ok((stored.endpoint, stored.secret))
    }

    /// Every endpoint, the oldest first.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn list(&self) -> Result<Vec<Endpoint>> {
        let mut all: Vec<Endpoint> = self.all().await?.into_iter().map(|stored| stored.endpoint).collect();
        all.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(all)
    }

    pub(super) async fn all(&self) -> Result<Vec<Stored>> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = self.outbox.documents(ENDPOINTS, after.take(), PAGE).await?;
            let last = page.len() < PAGE as usize;
            after = page.last().map(|document| document.key.clone());
            for document in page {
                all.push(parse(document.value)?);
            }
            if last {
                return Ok(all);
            }
        }
    }

    pub(super) async fn stored(&self, id: &str) -> Result<Option<(Stored, u64)>> {
        let Some(found) = self.outbox.document(ENDPOINTS, id).await? else { return Ok(None) };
        Ok(Some((parse(found.value)?, found.revision)))
    }

    /// One endpoint.
    ///
    /// # Errors
    /// [`Kind::NotFound`], and what the store reports.
    pub async fn get(&self, id: &str) -> Result<Endpoint> {
        self.stored(id).await?.map(|(stored, _)| stored.endpoint).ok_or_else(|| unknown(id))
    }

    pub(super) async fn edit(&self, id: &str, change: impl Fn(&mut Stored) -> Result<()>) -> Result<Stored> {
        for _ in 0..100 {
            let (mut stored, revision) = self.stored(id).await?.ok_or_else(|| unknown(id))?;
            change(&mut stored)?;
            if self.outbox.put(ENDPOINTS, id, &stored, Some(revision)).await?.is_some() {
                self.wake.notify_one();
                return Ok(stored);
            }
        }
        Err(Error::new(Kind::Conflict, "the webhook is being changed by others; try again").with("webhook", id))
    }

    /// Changes an endpoint.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; as [`Webhooks::create`].
    pub async fn update(&self, id: &str, patch: EndpointPatch) -> Result<Endpoint> {
        let now = self.now();
        Ok(self.edit(id, |stored| patch.apply(&mut stored.endpoint, self.reach, now)).await?.endpoint)
    }

    /// Gives an endpoint a new secret, which is told this once. The old one signs beside it for a day.
    ///
    /// # Errors
    /// [`Kind::NotFound`], and what the store reports.
    pub async fn rotate(&self, id: &str) -> Result<(Endpoint, String)> {
        let (now, secret) = (self.now(), random_secret()?);
        let until = now.saturating_add(OVERLAP).unwrap_or(Timestamp::MAX);
        let stored = self
            .edit(id, |stored| {
                let old = std::mem::replace(&mut stored.secret, secret.clone());
                stored.replaced = Some(Replaced { secret: old, until });
                stored.endpoint.updated_at = now;
                Ok(())
            })
            .await?;
        Ok((stored.endpoint, secret))
    }

    /// Removes an endpoint, with what waits for it and its dead letters.
    ///
    /// # Errors
    /// [`Kind::NotFound`], and what the store reports.
    pub async fn delete(&self, id: &str) -> Result<()> {
        if !self.outbox.delete(ENDPOINTS, id).await? {
            return Err(unknown(id));
        }
        self.outbox.forget(id).await
    }

    /// Queues an event `test` for an endpoint. Returns its `webhook-id`.
    ///
    /// # Errors
    /// [`Kind::NotFound`], and what the store reports.
    pub async fn test(&self, id: &str) -> Result<String> {
        let endpoint = self.get(id).await?;
        let now = self.now();
        let event = format!("evt_{}", hex(&random::<16>()?));
        let data = json!({ "webhook_id": id, "organization_id": endpoint.organization_id, "message": "This is a test." });
        let delivery = Delivery {
            id: event.clone(),
            event: EventName::Test,
            campaign: None,
            at: now,
            body: event::body(EventName::Test, now, &data),
            due: now,
            attempts: 0,
            failure: None,
            leased_until: None,
        };
        self.outbox.queue(id, &delivery).await?;
        self.wake.notify_one();
        Ok(event)
    }

    /// Dead letters of an endpoint, the oldest first, behind a key; at most `limit`.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn dead(&self, id: &str, behind: Option<&str>, limit: u32) -> Result<Vec<DeadLetter>> {
        self.letters(DEAD, id, behind, limit).await
    }

    /// Deliveries that wait for an endpoint, those that are due next first, behind a key; at most `limit`.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn waiting(&self, id: &str, behind: Option<&str>, limit: u32) -> Result<Vec<DeadLetter>> {
        self.letters(WAITING, id, behind, limit).await
    }

    async fn letters(&self, collection: &str, id: &str, behind: Option<&str>, limit: u32) -> Result<Vec<DeadLetter>> {
        let behind = behind.filter(|key| super::outbox::target_of(key) == id);
        Ok(self.outbox.of_target(collection, id, behind, limit).await?.into_iter().map(letter).collect())
    }

    /// Queues dead letters of an endpoint anew: those with these ids, or all when none are named. They are tried for another day. Returns
    /// how many.
    ///
    /// # Errors
    /// [`Kind::NotFound`] for an endpoint that does not exist, and what the store reports.
    pub async fn replay(&self, id: &str, events: Option<&[String]>) -> Result<u64> {
        self.get(id).await?;
        let now = self.now();
        let mut behind: Option<String> = None;
        let mut count = 0;
        loop {
            let page = self.outbox.of_target(DEAD, id, behind.as_deref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            behind = Some(last.key.clone());
            for kept in page.iter().filter(|kept| events.is_none_or(|events| events.contains(&kept.delivery.id))) {
                self.outbox.revive(kept, now).await?;
                count += 1;
            }
        }
        self.wake.notify_one();
        Ok(count)
    }
}

fn letter(kept: Kept) -> DeadLetter {
    let Delivery { id, event, campaign, at, body, due, attempts, failure, .. } = kept.delivery;
    let (failed_at, status, reason) = match failure {
        Some(failure) => (Some(failure.at), failure.status, Some(failure.reason)),
        None => (None, None, None),
    };
    DeadLetter { key: kept.key, id, event, campaign_id: campaign, at, attempts, due, failed_at, status, reason, body }
}

fn parse(value: serde_json::Value) -> Result<Stored> {
    serde_json::from_value(value).map_err(|error| Error::new(Kind::Corrupt, "a stored webhook cannot be read").with_source(error))
}

fn unknown(id: &str) -> Error {
    Error::not_found("webhook", id)
}
