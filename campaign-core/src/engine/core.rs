//! What all tasks of a node share.

use super::active::Active;
use super::builder::EngineOptions;
use super::callbacks::{self, Mailboxes};
use super::clock::Clock;
use super::events::Hub;
use super::settler::Ended;
use super::{Engine, closed, inbound, node, recover, run, settler};
use crate::assistant::Assistant;
use crate::campaign::{CampaignKind, CampaignRecord};
use crate::dialer::{Capabilities, Dialer};
use crate::executor::Executor;
use crate::id::{CampaignId, NodeToken};
use crate::policy::limits::LimitBlock;
use crate::store::{ContactStore, SaveCampaign, SaveGuard};
use crate::{Error, Kind, Result};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, RwLock, mpsc, watch};

/// How long something that needs the store waits for it before it tries again: twice as long each time, up to the longest.
pub(crate) const FIRST_WAIT: Duration = Duration::from_millis(100);
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How far the node is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Working.
    Running,
    /// Nothing new starts; what runs may end.
    Draining,
    /// Dialers are asked to hang up.
    HangingUp,
    /// Everything is dropped.
    Stopped,
}

/// The lease as the node sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease {
    pub(crate) token: NodeToken,
    /// By the machine's own clock, counted from before the last renewal was asked for: moving the engine's clock stretches no lease.
    pub(crate) valid_until: Timestamp,
}

/// One running campaign, as the loop sees it.
#[derive(Debug, Clone)]
pub(crate) struct Agenda {
    pub(crate) active: Arc<Active>,
    /// When to look for due contacts next. While a claim is on, only what came up since it began.
    pub(crate) look_at: Timestamp,
    /// The limit met by the last claim; none while the next one is on.
    pub(crate) block: Option<LimitBlock>,
    /// Whether an attempt has ended since the last claim began: the claim may have been refused a place that is free by now.
    pub(crate) freed: bool,
    /// Attempts of this node in flight.
    pub(crate) in_flight: u32,
    /// Attempts this node has started lately; halved from time to time.
    pub(crate) served: u32,
    /// Errors of the store in a row; each doubles the wait.
    pub(crate) failures: u32,
}

impl Agenda {
    /// A claim begins. It answers for what is known now, so whatever comes up while it is on stands beside its answer.
    pub(crate) fn begin_claim(&mut self) {
        self.look_at = Timestamp::MAX;
        self.block = None;
        self.freed = false;
    }

    /// `at`, but not past a deadline that is still to come: at the deadline the rest is skipped, whatever it waits for.
    pub(crate) fn by_deadline(&self, at: Timestamp, now: Timestamp) -> Timestamp {
        self.active.record.spec.deadline.filter(|deadline| *deadline > now).map_or(at, |deadline| at.min(deadline))
    }
}

pub(crate) struct Core {
    pub(crate) store: Arc<dyn ContactStore>,
    pub(crate) dialer: Arc<dyn Dialer>,
    pub(crate) capabilities: Capabilities,
    /// Whose limits those of the provider are; set whenever it has any, named or not.
    pub(crate) account: Option<Arc<str>>,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) clock: Clock,
    pub(crate) options: EngineOptions,
    pub(crate) kinds: HashMap<String, Arc<dyn CampaignKind>>,
    pub(crate) hub: Hub,
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) lease: Mutex<Option<Lease>>,
    /// Wakes the loop.
    pub(crate) wake: Notify,
    /// Moves whenever a campaign was saved or settled here; for `wait`.
    pub(crate) pulse: watch::Sender<u64>,
    pub(crate) agenda: Mutex<BTreeMap<CampaignId, Agenda>>,
    /// Scheduled campaigns and when they start.
    pub(crate) starts: Mutex<BTreeMap<CampaignId, Timestamp>>,
    /// Runs being begun by a task of this node.
    pub(crate) beginning: Mutex<BTreeSet<CampaignId>>,
    /// The store's change counter that `agenda` and `starts` were read at.
    pub(crate) read_at_change: Mutex<Option<u64>>,
    /// The provider refuses everything until then.
    pub(crate) throttled_until: Mutex<Option<Timestamp>>,
    /// Held for reading from the last look at the change counter to the first poll of the dialer, for writing while a pause
    /// or cancellation is acknowledged: no hand-off follows an acknowledged pause.
    pub(crate) admission: RwLock<()>,
    /// Who waits for news from callbacks.
    pub(crate) mailboxes: Mailboxes,
    /// Who answers people, if anybody.
    pub(crate) assistant: Option<Arc<dyn Assistant>>,
    /// Conversations that a task of this node looks after, and whether it is to look once more.
    pub(crate) answering: Mutex<BTreeMap<String, bool>>,
    pub(crate) ended: mpsc::UnboundedSender<Ended>,
    /// Attempts claimed and not yet settled by this node.
    pub(crate) in_flight: AtomicUsize,
    /// Signalled whenever `in_flight` falls.
    pub(crate) landed: Notify,
    /// Whether what happens is for people to watch; a dry run is not.
    pub(crate) traced: bool,
}

/// Aborts the node when the last handle is dropped.
pub(crate) struct StopOnDrop(Arc<Core>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Core {
    pub(crate) async fn start(
        store: Arc<dyn ContactStore>,
        dialer: Arc<dyn Dialer>,
        executor: Arc<dyn Executor>,
        options: EngineOptions,
        kinds: HashMap<String, Arc<dyn CampaignKind>>,
        assistant: Option<Arc<dyn Assistant>>,
        traced: bool,
    ) -> Result<Engine> {
        let (ended, outcomes) = mpsc::unbounded_channel();
        let capabilities = dialer.capabilities();
        let executes = options.executes;
        let limited = capabilities.calls_per_second.is_some() || capabilities.max_concurrent.is_some();
        let core = Arc::new(Core {
            account: capabilities.account.clone().or_else(|| limited.then(|| Arc::from("default"))),
            capabilities,
            hub: Hub::new(options.event_buffer),
            store,
            dialer,
            clock: Clock::new(Arc::clone(&executor)),
            executor,
            options,
            kinds,
            phase: watch::Sender::new(Phase::Running),
            lease: Mutex::new(None),
            wake: Notify::new(),
            pulse: watch::Sender::new(0),
            agenda: Mutex::default(),
            starts: Mutex::default(),
            beginning: Mutex::default(),
            read_at_change: Mutex::new(None),
            throttled_until: Mutex::new(None),
            admission: RwLock::new(()),
            mailboxes: Mailboxes::default(),
            // Only a node answers people.
            assistant: assistant.filter(|_| executes),
            answering: Mutex::default(),
            ended,
            in_flight: AtomicUsize::new(0),
            landed: Notify::new(),
            traced,
        });
        if executes {
            core.execute(outcomes).await?;
        }
        core.spawn(super::events::pump(Arc::clone(&core)));
        if let Some(wakes) = core.store.wakes() {
            core.spawn(super::events::heed(Arc::clone(&core), wakes));
        }
        let alive = Arc::new(StopOnDrop(Arc::clone(&core)));
        Ok(Engine { core, _alive: alive })
    }

    /// Makes this process a node: it takes a lease, and everything that claims, dials, recovers, starts and answers begins.
    async fn execute(self: &Arc<Self>, outcomes: mpsc::UnboundedReceiver<Ended>) -> Result<()> {
        node::register(self).await?;
        self.spawn(settler::settle_outcomes(Arc::clone(self), outcomes));
        self.spawn(node::keep_lease(Arc::clone(self)));
        self.spawn(recover::take_over(Arc::clone(self)));
        self.spawn(super::starts::finish_cancellations(Arc::clone(self)));
        self.spawn(run::run(Arc::clone(self)));
        if self.dialer.callbacks().is_some() {
            self.spawn(callbacks::collect(Arc::clone(self)));
        }
        if self.assistant.is_some() {
            self.spawn(inbound::keep_answering(Arc::clone(self)));
        }
        Ok(())
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Runs a task until it ends or the node stops.
    pub(crate) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let mut phase = self.phase.subscribe();
        self.executor.spawn(Box::pin(async move {
            let stopped = phase.wait_for(|phase| *phase == Phase::Stopped);
            tokio::select! {
                biased;
                _ = stopped => {}
                () = task => {}
            }
        }));
    }

    /// Awaits the store while a virtual clock stands still.
    pub(crate) async fn guarded<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let _hold = self.executor.hold();
        work.await
    }

    pub(crate) async fn sleep(&self, duration: Duration) {
        self.clock.sleep_until(later(self.now(), duration)).await;
    }

    /// Whether this node still holds the lease under this token.
    pub(crate) fn holds(&self, token: NodeToken) -> bool {
        let now = self.clock.own();
        self.lease.lock().is_some_and(|lease| lease.token == token && now < lease.valid_until)
    }

    pub(crate) fn token(&self) -> Result<NodeToken> {
        let now = self.clock.own();
        self.lease
            .lock()
            .filter(|lease| now < lease.valid_until)
            .map(|lease| lease.token)
            .ok_or_else(|| Error::new(Kind::Stale, "this node has lost its lease on the store and is registering anew"))
    }

    /// Changes a campaign: reads it, lets `change` edit the record, and saves it if nobody else did in between; repeats otherwise.
    pub(crate) async fn change(
        self: &Arc<Self>,
        id: CampaignId,
        guard: Option<SaveGuard>,
        mut change: impl FnMut(&mut CampaignRecord) -> Result<()>,
    ) -> Result<CampaignRecord> {
        if self.phase() == Phase::Stopped {
            return Err(closed());
        }
        for _ in 0..100 {
            let mut record = self.record(id).await?;
            let expected_revision = record.revision;
            change(&mut record)?;
            let save = SaveCampaign { record, expected_revision, guard, now: self.now() };
            match self.guarded(self.store.save_campaign(save)).await {
                Ok(saved) => {
                    self.changed();
                    return Ok(saved);
                }
                Err(error) if error.kind() == Kind::Conflict => {}
                Err(error) => {
                    // It may have been saved and the answer lost: whoever waits for it looks.
                    if error.kind() == Kind::Unavailable {
                        self.changed();
                    }
                    return Err(error.with("campaign", id));
                }
            }
        }
        Err(Error::new(Kind::Conflict, "the campaign is being changed by too many others at once; try again").with("campaign", id))
    }

    pub(crate) async fn record(&self, id: CampaignId) -> Result<CampaignRecord> {
        self.guarded(self.store.campaign(id)).await?.ok_or_else(|| Error::not_found("campaign", id))
    }

    /// Something changed here: the loop, the events and whoever waits look again.
    pub(crate) fn changed(&self) {
        self.pulse.send_modify(|count| *count += 1);
        self.wake.notify_one();
        self.hub.committed();
    }

    /// Makes the loop look at a campaign by this moment.
    pub(crate) fn look_by(&self, campaign: CampaignId, at: Timestamp) {
        let now = self.now();
        if let Some(agenda) = self.agenda.lock().get_mut(&campaign) {
            let at = agenda.by_deadline(at, now);
            if at < agenda.look_at {
                agenda.look_at = at;
                self.wake.notify_one();
            }
        }
    }

    /// Another node has written something: whatever waits for more than the passing of time is looked at.
    pub(crate) fn look_around(&self) {
        let now = self.now();
        for agenda in self.agenda.lock().values_mut() {
            let only_time = agenda.block.as_ref().is_some_and(|block| block.opens_at.is_some());
            if !only_time {
                agenda.look_at = agenda.look_at.min(now);
            }
        }
    }

    /// One attempt less in flight here.
    pub(crate) fn land(&self, campaign: CampaignId) {
        if let Some(agenda) = self.agenda.lock().get_mut(&campaign) {
            agenda.in_flight = agenda.in_flight.saturating_sub(1);
        }
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
        self.landed.notify_waiters();
    }

    /// One attempt more in flight here.
    pub(crate) fn take_off(&self, campaign: CampaignId) {
        if let Some(agenda) = self.agenda.lock().get_mut(&campaign) {
            agenda.in_flight += 1;
            agenda.served = agenda.served.saturating_add(1);
        }
        self.in_flight.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) async fn drain(self: &Arc<Self>, patience: Option<Duration>) -> Result<()> {
        self.advance(Phase::Draining);
        self.changed();
        let empty = async {
            loop {
                let landed = self.landed.notified();
                tokio::pin!(landed);
                landed.as_mut().enable();
                if self.in_flight.load(Ordering::Acquire) == 0 || self.phase() == Phase::Stopped {
                    return;
                }
                landed.await;
            }
        };
        tokio::pin!(empty);
        if let Some(patience) = patience {
            let done = tokio::select! { biased; () = &mut empty => true, () = self.sleep(patience) => false };
            if !done {
                self.advance(Phase::HangingUp);
                tokio::select! { biased; () = &mut empty => {}, () = self.sleep(Duration::from_secs(5)) => {} }
            }
        } else {
            empty.await;
        }
        let lease = self.lease.lock().take();
        self.advance(Phase::Stopped);
        self.changed();
        match lease {
            Some(lease) => self.guarded(self.store.retire_node(lease.token)).await,
            None => Ok(()),
        }
    }

    pub(crate) fn abort(&self) {
        self.advance(Phase::Stopped);
        self.changed();
    }

    fn advance(&self, to: Phase) {
        self.phase.send_modify(|phase| *phase = (*phase).max(to));
    }
}

/// `at` plus `duration`, at most the end of time.
pub(crate) fn later(at: Timestamp, duration: Duration) -> Timestamp {
    SignedDuration::try_from(duration).ok().and_then(|duration| at.checked_add(duration).ok()).unwrap_or(Timestamp::MAX)
}

/// `at` minus `duration`, at least the beginning of time.
pub(crate) fn earlier(at: Timestamp, duration: Duration) -> Timestamp {
    SignedDuration::try_from(duration).ok().and_then(|duration| at.checked_sub(duration).ok()).unwrap_or(Timestamp::MIN)
}
