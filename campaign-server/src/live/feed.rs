//! What happens, told to whoever watches: one reader of the engine's events for the whole process, however many sockets are open.
//!
//! Each event is looked up once (whose number, which call) and put into the queue of its campaign. A watcher that is slower than its
//! queue is told how much it missed; nothing waits for it, the engine least of all.

use campaign_core::contact::Contact;
use campaign_core::event::{Event, EventKind, Progress};
use campaign_core::id::{AttemptId, CampaignId, ContactId};
use campaign_core::outcome::Attempt;
use campaign_core::store::AttemptQuery;
use campaign_core::{Engine, Result};
use futures_util::future::{Either, select};
use parking_lot::Mutex;
use std::any::Any;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use tokio::sync::{Notify, broadcast};

/// An event with what its watchers want to know besides.
pub(crate) struct Notice {
    pub(crate) event: Event,
    /// The contact of a contact's event, when it is still there.
    pub(crate) contact: Option<Contact>,
    /// The attempt of a contact's event that has ended.
    pub(crate) attempt: Option<Attempt>,
    /// The counters, with events after which nothing follows.
    pub(crate) progress: Option<Progress>,
    /// What an API makes of it, made by the first of its watchers for all of them.
    rendered: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Notice {
    fn plain(event: Event) -> Self {
        Self { event, contact: None, attempt: None, progress: None, rendered: OnceLock::new() }
    }

    /// What `render` makes of it; made once.
    pub(crate) fn rendered<T: Clone + Send + Sync + 'static>(&self, render: impl FnOnce(&Self) -> T) -> Option<T> {
        self.rendered.get_or_init(|| Box::new(render(self))).downcast_ref::<T>().cloned()
    }
}

/// The campaigns that are being watched.
#[derive(Clone)]
pub struct Feeds(Arc<Inner>);

struct Inner {
    buffer: usize,
    state: Mutex<State>,
    /// One watcher at a time begins, so that nobody goes on before the engine's events are read.
    beginning: tokio::sync::Mutex<()>,
    /// A watcher has gone.
    left: Notify,
}

#[derive(Default)]
struct State {
    running: bool,
    campaigns: BTreeMap<CampaignId, broadcast::Sender<Arc<Notice>>>,
}

impl std::fmt::Debug for Feeds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Feeds")
    }
}

/// The events of one campaign from the moment of subscribing.
pub(crate) struct Subscription {
    notices: Option<broadcast::Receiver<Arc<Notice>>>,
    feeds: Feeds,
}

/// What a watcher gets.
pub(crate) enum Heard {
    Notice(Arc<Notice>),
    /// It was too slow for so many notices.
    Missed(u64),
    /// The engine has stopped.
    End,
}

impl Subscription {
    /// The next notice. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Heard {
        let Some(notices) = &mut self.notices else { return Heard::End };
        match notices.recv().await {
            Ok(notice) => Heard::Notice(notice),
            Err(broadcast::error::RecvError::Lagged(count)) => Heard::Missed(count),
            Err(broadcast::error::RecvError::Closed) => Heard::End,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // The receiver first, so that the reader sees one less.
        self.notices = None;
        self.feeds.0.left.notify_one();
    }
}

impl Feeds {
    pub(crate) fn new(buffer: usize) -> Self {
        Self(Arc::new(Inner {
            buffer: buffer.max(16),
            state: Mutex::default(),
            beginning: tokio::sync::Mutex::new(()),
            left: Notify::new(),
        }))
    }

    /// Watches a campaign. Everything committed after this returns is heard.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn subscribe(&self, engine: &Engine, campaign: CampaignId) -> Result<Subscription> {
        let _turn = self.0.beginning.lock().await;
        let (notices, start) = {
            let mut state = self.0.state.lock();
            let sender = state.campaigns.entry(campaign).or_insert_with(|| broadcast::Sender::new(self.0.buffer));
            let notices = sender.subscribe();
            (notices, !std::mem::replace(&mut state.running, true))
        };
        let subscription = Subscription { notices: Some(notices), feeds: self.clone() };
        if start {
            let stream = match engine.all_events().await {
                Ok(stream) => stream,
                Err(error) => {
                    let mut state = self.0.state.lock();
                    state.running = false;
                    // Whoever came meanwhile hears that it is over, and may try again.
                    state.campaigns.clear();
                    return Err(error);
                }
            };
            engine.executor().spawn(Box::pin(read(engine.clone(), stream, self.clone())));
        }
        Ok(subscription)
    }

    /// Whether anybody watches any campaign; when not, the reader ends. Looked at under the lock, so nobody who comes is forgotten.
    fn forget(&self) -> bool {
        let mut state = self.0.state.lock();
        state.campaigns.retain(|_, sender| sender.receiver_count() > 0);
        state.running = !state.campaigns.is_empty();
        !state.running
    }

    fn watched(&self, campaign: CampaignId) -> bool {
        self.0.state.lock().campaigns.get(&campaign).is_some_and(|sender| sender.receiver_count() > 0)
    }

    fn send(&self, campaign: CampaignId, notice: Notice) {
        if let Some(sender) = self.0.state.lock().campaigns.get(&campaign) {
            // Nobody listens any more: then nobody is told.
            let _ = sender.send(Arc::new(notice));
        }
    }

    fn all(&self) -> Vec<CampaignId> {
        self.0.state.lock().campaigns.keys().copied().collect()
    }

    fn end(&self) {
        let mut state = self.0.state.lock();
        state.campaigns.clear();
        state.running = false;
    }
}

/// Reads the engine's events while anybody watches.
async fn read(engine: Engine, mut events: campaign_core::EventStream, feeds: Feeds) {
    loop {
        let event = match select(pin!(events.next()), pin!(feeds.0.left.notified())).await {
            Either::Left((Some(event), _)) => event,
            Either::Left((None, _)) => return feeds.end(),
            Either::Right(_) => {
                if feeds.forget() {
                    return;
                }
                continue;
            }
        };
        match event.kind {
            // Of whom it was is not known, so everybody is told, with fresh counters.
            EventKind::Missed { count } => {
                for campaign in feeds.all() {
                    let progress = engine.progress(campaign).await.ok();
                    let event = Event { campaign_id: campaign, at: event.at, kind: EventKind::Missed { count } };
                    feeds.send(campaign, Notice { progress, ..Notice::plain(event) });
                }
            }
            _ if feeds.watched(event.campaign_id) => {
                let campaign = event.campaign_id;
                let notice = look_up(&engine, event).await;
                feeds.send(campaign, notice);
            }
            _ => {}
        }
    }
}

/// An event with what can be read about it now.
pub(crate) async fn look_up(engine: &Engine, event: Event) -> Notice {
    let (who, attempt, over): (Option<ContactId>, Option<AttemptId>, bool) = match &event.kind {
        EventKind::ContactStarted { contact_id, .. } | EventKind::ContactProgress { contact_id, .. } => (Some(*contact_id), None, false),
        EventKind::ContactCompleted(ended) | EventKind::ContactFailed(ended) => (Some(ended.contact_id), Some(ended.attempt_id), false),
        EventKind::CampaignCompleted { .. } | EventKind::StatusChanged { .. } => (None, None, true),
        _ => (None, None, false),
    };
    let mut notice = Notice::plain(event);
    // What cannot be read is left out: the event itself says what happened.
    if let Some(contact) = who {
        notice.contact = engine.get_contact(contact).await.ok();
    }
    if let Some(id) = attempt {
        let query = AttemptQuery { id: Some(id), count: false, ..AttemptQuery::default() };
        notice.attempt = engine.executions(query).await.ok().and_then(|page| page.items.into_iter().next());
    }
    if over {
        notice.progress = engine.progress(notice.event.campaign_id).await.ok();
    }
    notice
}
