//! The event stream: what the store says happened, and what dialers say meanwhile.
//!
//! One task reads the store's events whenever something was committed here (or, for other nodes, now and then), but only while
//! somebody listens. A slow reader never holds up anybody: it is told how many events it missed and gets fresh counters.

use super::core::{Core, Phase, later};
use super::{Engine, reports};
use crate::Result;
use crate::campaign::CampaignStatus;
use crate::event::{Event, EventKind};
use crate::id::CampaignId;
use crate::store::{EventCursor, EventQuery};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use jiff::Timestamp;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, broadcast, watch};

/// Counters of a campaign are sent at most once in this time.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// Commits that follow each other closely are read together.
const COALESCE: Duration = Duration::from_millis(20);
/// Other nodes' commits make this node look at most this often.
const BETWEEN_WAKES: Duration = Duration::from_millis(100);
/// Events per read.
const PAGE: u32 = 1000;

/// A read of the change counter that has not begun, shared by all who ask before it does.
type FreshRead = Shared<BoxFuture<'static, Result<u64>>>;

pub(crate) struct Hub {
    events: broadcast::Sender<Arc<Event>>,
    committed: Notify,
    /// Where the pump is; `None` while nobody listens.
    cursor: tokio::sync::Mutex<Option<EventCursor>>,
    waiting: Mutex<Option<FreshRead>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Hub {
    pub(crate) fn new(buffer: usize) -> Self {
        Self {
            events: broadcast::Sender::new(buffer.max(16)),
            committed: Notify::new(),
            cursor: tokio::sync::Mutex::new(None),
            waiting: Mutex::new(None),
            turn: Arc::default(),
        }
    }

    /// Something was written to the store.
    pub(crate) fn committed(&self) {
        if self.events.receiver_count() > 0 {
            self.committed.notify_one();
        }
    }

    /// Sends an event that is not in the store.
    pub(crate) fn send(&self, campaign_id: CampaignId, at: Timestamp, kind: EventKind) {
        // Without listeners there is nobody to tell.
        let _ = self.events.send(Arc::new(Event { campaign_id, at, kind }));
    }

    /// The store's change counter, from a read that began after this call. Hand-offs that ask at the same time share one read.
    pub(crate) async fn fresh_changes(&self, core: &Arc<Core>) -> Result<u64> {
        let read = self
            .waiting
            .lock()
            .get_or_insert_with(|| {
                let (core, turn) = (Arc::downgrade(core), Arc::clone(&self.turn));
                async move {
                    // The hub holds what waits here, which must not hold the engine in turn: nobody may come back to it.
                    let _turn = turn.lock().await;
                    let core = core.upgrade().ok_or_else(super::closed)?;
                    // From here on others must start a read of their own.
                    core.hub.waiting.lock().take();
                    core.guarded(core.store.changes()).await
                }
                .boxed()
                .shared()
            })
            .clone();
        read.await
    }

    /// Stops reading when nobody listens. Looked at under the lock, so that whoever begins to listen meanwhile is not forgotten.
    async fn forget(&self) -> bool {
        let mut cursor = self.cursor.lock().await;
        let alone = self.events.receiver_count() == 0;
        if alone {
            *cursor = None;
        }
        alone
    }

    /// Makes sure that everything committed from now on is read.
    async fn listen(&self, core: &Arc<Core>) -> Result<()> {
        let mut cursor = self.cursor.lock().await;
        if cursor.is_none() {
            let page = core.guarded(core.store.events(EventQuery { after: None, campaign: None, limit: 0 })).await?;
            *cursor = Some(page.next);
        }
        Ok(())
    }
}

/// Reads events from the store and passes them on.
pub(crate) async fn pump(core: Arc<Core>) {
    let mut sent: BTreeMap<CampaignId, Timestamp> = BTreeMap::new();
    let mut dirty: BTreeSet<CampaignId> = BTreeSet::new();
    loop {
        let listened = core.hub.events.receiver_count() > 0;
        let due = dirty.iter().map(|id| sent.get(id).map_or(core.now(), |at| later(*at, PROGRESS_EVERY))).min();
        let poll = core.options.poll_interval.filter(|_| listened).map(|interval| later(core.now(), interval));
        let until = due.into_iter().chain(poll).min();
        tokio::select! {
            biased;
            () = core.hub.committed.notified() => {}
            () = core.clock.sleep_until(until.unwrap_or(Timestamp::MAX)), if until.is_some() => {}
        }
        if core.hub.forget().await {
            dirty.clear();
            continue;
        }
        if let Err(error) = read(&core, &mut dirty).await {
            tracing::warn!(%error, "events could not be read; trying again");
        }
        let now = core.now();
        let ready: Vec<CampaignId> =
            dirty.iter().copied().filter(|id| sent.get(id).is_none_or(|at| later(*at, PROGRESS_EVERY) <= now)).collect();
        for id in ready {
            dirty.remove(&id);
            sent.insert(id, now);
            if let Ok(progress) = reports::progress(&core, id).await {
                core.hub.send(id, now, EventKind::Progress(Box::new(progress)));
            }
        }
        core.sleep(COALESCE).await;
    }
}

/// Looks when another node has written something, not only every `poll_interval`.
pub(crate) async fn heed(core: Arc<Core>, mut wakes: watch::Receiver<u64>) {
    let mut known = None;
    while wakes.changed().await.is_ok() {
        core.look_around();
        core.wake.notify_one();
        core.hub.committed();
        // What others settle moves no campaign; whoever waits for one need not look.
        let changes = core.guarded(core.store.changes()).await.ok();
        if changes.is_none() || changes != known {
            core.changed();
        }
        known = changes;
        // A busy cluster says so all the time; a node looks a few times a second.
        core.sleep(BETWEEN_WAKES).await;
    }
}

async fn read(core: &Arc<Core>, dirty: &mut BTreeSet<CampaignId>) -> Result<()> {
    let mut cursor = core.hub.cursor.lock().await;
    while let Some(after) = *cursor {
        let page = core.guarded(core.store.events(EventQuery { after: Some(after), campaign: None, limit: PAGE })).await?;
        *cursor = Some(page.next);
        for event in page.events {
            dirty.insert(event.campaign_id);
            let _ = core.hub.events.send(Arc::new(event));
        }
        if !page.more {
            break;
        }
    }
    Ok(())
}

/// Events of one campaign or of all, from the moment it was opened. The first is always a `Progress` for a single campaign.
///
/// The stream of a single campaign ends after the campaign was completed, cancelled or failed, with a last `Progress`; the
/// stream of all campaigns ends when the engine stops.
pub struct EventStream {
    core: Arc<Core>,
    events: broadcast::Receiver<Arc<Event>>,
    campaign: Option<CampaignId>,
    /// Taken from `events` and not dealt with yet: what is read about it can be begun anew when the reader drops the future.
    held: Option<Held>,
    queued: VecDeque<Event>,
    /// The campaign is completed; `CampaignCompleted` follows, with which the stream ends. Between two runs it is scheduled instead.
    completing: bool,
    /// The campaign has ended and the event that says so may be among the missed ones.
    end_missed: bool,
    ended: bool,
}

enum Held {
    Event(Arc<Event>),
    Missed(u64),
    /// Nothing follows any more.
    End,
}

impl EventStream {
    /// The next event; `None` when the stream has ended. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.queued.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            let held = match self.held.take() {
                Some(held) => held,
                None => self.receive().await,
            };
            self.deal_with(held).await;
        }
    }

    /// As a [`futures_util::Stream`].
    pub fn into_stream(self) -> impl futures_util::Stream<Item = Event> + Send {
        futures_util::stream::unfold(self, |mut events| async move { events.next().await.map(|event| (event, events)) })
    }

    async fn receive(&mut self) -> Held {
        let mut phase = self.core.phase.subscribe();
        tokio::select! {
            biased;
            received = self.events.recv() => match received {
                Ok(event) => Held::Event(event),
                Err(broadcast::error::RecvError::Lagged(count)) => Held::Missed(count),
                Err(broadcast::error::RecvError::Closed) => Held::End,
            },
            _ = phase.wait_for(|phase| *phase == Phase::Stopped) => Held::End,
            // What is on its way arrives within this time.
            () = self.core.sleep(2 * PROGRESS_EVERY), if self.end_missed => Held::End,
        }
    }

    /// Reads first and changes afterwards, so that nothing is half done when the future is dropped.
    async fn deal_with(&mut self, held: Held) {
        match held {
            Held::Event(event) if self.campaign.is_some_and(|campaign| campaign != event.campaign_id) => {}
            Held::Event(event) => {
                self.held = Some(Held::Event(Arc::clone(&event)));
                // What the events say, not how the campaign stands by now: a reader may be several runs behind.
                let over = self.campaign.is_some()
                    && match &event.kind {
                        EventKind::CampaignCompleted { .. } => self.completing,
                        EventKind::StatusChanged { to, .. } => matches!(to, CampaignStatus::Cancelled | CampaignStatus::Failed),
                        _ => false,
                    };
                let progress = if over { self.progress().await } else { None };
                if let EventKind::StatusChanged { to, .. } = event.kind {
                    self.completing = to == CampaignStatus::Completed;
                }
                self.queued.push_back(Arc::unwrap_or_clone(event));
                self.queued.extend(progress);
                self.ended = over;
            }
            Held::Missed(count) => {
                self.held = Some(Held::Missed(count));
                let progress = self.progress().await;
                let status = self.status().await;
                // The lost events may be of other campaigns; saying so once too often does no harm.
                let campaign_id = self.campaign.unwrap_or(CampaignId(0));
                self.queued.push_back(Event { campaign_id, at: self.core.now(), kind: EventKind::Missed { count } });
                self.queued.extend(progress);
                self.end_missed = status.is_some_and(has_ended);
            }
            Held::End => self.ended = true,
        }
        self.held = None;
    }

    async fn progress(&self) -> Option<Event> {
        let campaign_id = self.campaign?;
        let progress = reports::progress(&self.core, campaign_id).await.ok()?;
        Some(Event { campaign_id, at: self.core.now(), kind: EventKind::Progress(Box::new(progress)) })
    }

    async fn status(&self) -> Option<CampaignStatus> {
        self.core.record(self.campaign?).await.ok().map(|record| record.status)
    }
}

fn has_ended(status: CampaignStatus) -> bool {
    matches!(status, CampaignStatus::Completed | CampaignStatus::Cancelled | CampaignStatus::Failed)
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventStream").field("campaign", &self.campaign).finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens the event stream of one campaign; see [`EventStream`].
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] when the campaign does not exist.
    pub async fn events(&self, campaign: CampaignId) -> Result<EventStream> {
        let mut stream = self.open_stream(Some(campaign)).await?;
        let status = self.core.record(campaign).await?.status;
        stream.queued.extend(stream.progress().await);
        stream.ended = has_ended(status);
        Ok(stream)
    }

    /// Opens the event stream of all campaigns.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn all_events(&self) -> Result<EventStream> {
        self.open_stream(None).await
    }

    async fn open_stream(&self, campaign: Option<CampaignId>) -> Result<EventStream> {
        let core = Arc::clone(&self.core);
        let events = core.hub.events.subscribe();
        core.hub.listen(&core).await?;
        Ok(EventStream { core, events, campaign, held: None, queued: VecDeque::new(), completing: false, end_missed: false, ended: false })
    }
}
