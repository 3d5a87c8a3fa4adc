//! From the store's events to the outbox.
//!
//! How far the events were read is a document of the store. It moves on only when everything up to there is in the outbox, under ids that
//! are the same whenever an event is read; so a crash in between repeats a little and loses nothing. One node reads at a time, for so long
//! as it holds a lease. What is not in the store's events (messages that come in, opt-outs, errors) is queued by the node where it happened.

use super::Webhooks;
use super::endpoint::{Stored, random};
use super::event::{self, EventName};
use super::outbox::Delivery;
use crate::api::voice_hooks as voice;
use crate::live::look_up;
use campaign_core::campaign::CampaignRecord;
use campaign_core::event::{Event, EventKind};
use campaign_core::http::signature::{hex, sha256};
use campaign_core::id::CampaignId;
use campaign_core::store::EventQuery;
use campaign_core::{Engine, EventStream, Kind, Result};
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

/// Events read at a time.
const PAGE: u32 = 200;
/// Events are looked for so often when nothing wakes.
const POLL: Duration = Duration::from_secs(2);
/// Commits that follow each other closely are read together.
const COALESCE: Duration = Duration::from_millis(50);
/// A node that has read keeps the place for so long.
const LEASE: Duration = Duration::from_secs(10);

fn later(at: Timestamp, time: Duration) -> Timestamp {
    at.saturating_add(SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX)
}

struct Pump {
    engine: Engine,
    webhooks: Webhooks,
    /// This reader among those of the store.
    name: String,
}

/// Reads for ever.
pub(super) async fn run(engine: Engine, webhooks: Webhooks) {
    let name = match random::<8>() {
        Ok(bytes) => hex(&bytes),
        Err(error) => return tracing::error!(%error, "webhooks cannot be queued"),
    };
    let pump = Pump { engine, webhooks, name };
    pump.wait_for_use().await;
    pump.work().await;
}

impl Pump {
    /// Until the first endpoint is made nothing has to be read.
    async fn wait_for_use(&self) {
        loop {
            match self.webhooks.place().await {
                Ok(Some(_)) => return,
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "whether there are webhooks could not be read; trying again"),
            }
            tokio::select! {
                () = self.webhooks.begun.notified() => {}
                () = self.sleep(POLL) => {}
            }
        }
    }

    async fn sleep(&self, time: Duration) {
        let executor = self.engine.executor();
        executor.sleep_until(later(executor.now(), time)).await;
    }

    async fn work(&self) {
        let executor = self.engine.executor();
        let mut stream: Option<EventStream> = None;
        // What was committed while nobody read comes first.
        let mut look_at = executor.now();
        loop {
            if stream.is_none() {
                match self.engine.all_events().await {
                    Ok(opened) => stream = Some(opened),
                    Err(error) => tracing::warn!(%error, "the engine's events could not be opened; trying again"),
                }
            }
            tokio::select! {
                event = next(&mut stream) => match event {
                    Some(event) => {
                        if event::is_durable(&event) || matches!(event.kind, EventKind::Missed { .. }) {
                            look_at = look_at.min(later(executor.now(), COALESCE));
                        } else if !event::names(&event).is_empty()
                            && let Err(error) = self.queue(None, vec![event]).await
                        {
                            tracing::error!(%error, "an event could not be queued for webhooks, and is lost");
                        }
                    }
                    // The engine has stopped.
                    None => return,
                },
                () = executor.sleep_until(look_at) => {
                    if let Err(error) = self.read().await {
                        tracing::warn!(%error, "events could not be queued for webhooks; trying again");
                    }
                    look_at = later(executor.now(), POLL);
                }
            }
        }
    }

    /// Reads what there is, unless another node does.
    async fn read(&self) -> Result<()> {
        loop {
            let Some((mut place, revision)) = self.webhooks.place().await? else { return Ok(()) };
            let now = self.engine.now();
            let another = place.reader.as_ref().is_some_and(|reader| *reader != self.name);
            if another && place.until.is_some_and(|until| until > now) {
                return Ok(());
            }
            let query = EventQuery { after: Some(place.cursor), campaign: None, limit: PAGE };
            let outbox = &self.webhooks.outbox;
            let page = outbox.held(outbox.store.events(query)).await?;
            if page.events.is_empty() && !page.more {
                return Ok(());
            }
            place.reader = Some(self.name.clone());
            place.until = Some(later(now, LEASE));
            // Somebody else has begun to read: look again.
            let Some(revision) = self.webhooks.save_place(&place, revision).await? else { continue };
            self.queue(Some(&place.store), page.events).await?;
            place.cursor = page.next;
            if self.webhooks.save_place(&place, revision).await?.is_some() && !page.more {
                return Ok(());
            }
        }
    }

    /// Queues events for whoever is to be told. `store` makes their ids those of the store; without it they are random.
    async fn queue(&self, store: Option<&str>, events: Vec<Event>) -> Result<()> {
        let mut endpoints = self.webhooks.all().await?;
        endpoints.retain(|stored| stored.endpoint.enabled);
        let mut campaigns: HashMap<CampaignId, Option<CampaignRecord>> = HashMap::new();
        for event in events {
            let campaign = event.campaign_id;
            let record = match campaigns.entry(campaign) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(self.campaign(campaign).await?),
            };
            let record = record.as_ref();
            self.queue_one(store, event, record, &endpoints).await?;
        }
        self.webhooks.wake.notify_one();
        Ok(())
    }

    async fn campaign(&self, id: CampaignId) -> Result<Option<CampaignRecord>> {
        match self.engine.get_campaign(id).await {
            Ok(record) => Ok(Some(record)),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn queue_one(&self, store: Option<&str>, event: Event, record: Option<&CampaignRecord>, endpoints: &[Stored]) -> Result<()> {
        let organization = record.and_then(|record| record.spec.organization);
        let campaign = event.campaign_id;
        let names = event::names(&event);
        let wanted = |name: EventName| endpoints.iter().filter(move |stored| stored.wants(name, campaign, organization));
        let hooked = |name: EventName| record.and_then(|record| voice::target(record, name));
        if names.iter().all(|name| wanted(*name).next().is_none() && hooked(*name).is_none()) {
            return Ok(());
        }
        let notice = look_up(&self.engine, event).await;
        let event = &notice.event;
        let data = event::data(&notice, organization, record.map(|record| record.spec.name.as_str()));
        for name in names.iter().copied() {
            let id = match (store, event::identity(event)) {
                (Some(store), Some(identity)) => {
                    let digest = sha256(format!("{store}/{identity}/{}", name.as_str()).as_bytes());
                    format!("evt_{}", hex(&digest[..16]))
                }
                _ => format!("evt_{}", hex(&random::<16>()?)),
            };
            let delivery = |body: String| Delivery {
                id: id.clone(),
                event: name,
                campaign: (campaign != CampaignId(0)).then_some(campaign),
                at: event.at,
                body,
                due: event.at,
                attempts: 0,
                failure: None,
                leased_until: None,
            };
            for stored in wanted(name) {
                self.webhooks.outbox.queue(&stored.endpoint.id, &delivery(event::body(name, event.at, &data))).await?;
            }
            if let Some(target) = hooked(name)
                && let Some(body) = voice::body(event, &id, &data)
            {
                self.webhooks.outbox.queue(&target, &delivery(body)).await?;
            }
        }
        Ok(())
    }
}

async fn next(stream: &mut Option<EventStream>) -> Option<Event> {
    match stream {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}
