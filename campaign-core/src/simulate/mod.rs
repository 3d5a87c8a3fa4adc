//! A dry run: the real engine over a copy of a campaign, on virtual time and a simulated carrier.

mod copy;
mod observer;

use crate::campaign::{CampaignStatus, CampaignType};
use crate::dialer::{CarrierProfile, SimulatedDialer};
use crate::engine::Engine;
use crate::event::Progress;
use crate::executor::{Executor, VirtualExecutor};
use crate::id::{CampaignId, Money};
use crate::store::MemoryStore;
use crate::{Error, Kind, Result};
use jiff::{SignedDuration, Timestamp};
use observer::Observer;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How to simulate.
#[derive(Debug, Clone)]
pub struct SimulateOptions {
    /// How the carrier and the people behave.
    pub profile: CarrierProfile,
    /// The same seed gives the same report.
    pub seed: u64,
    /// When the dry run begins. Default: now.
    pub start: Option<Timestamp>,
    /// Days after which it is given up. Default 400.
    pub max_days: u32,
}

impl Default for SimulateOptions {
    fn default() -> Self {
        Self { profile: CarrierProfile::default(), seed: 1, start: None, max_days: 400 }
    }
}

/// What would happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SimulationReport {
    /// When it would begin.
    pub started_at: Timestamp,
    /// When the last contact would be terminal; `None` when that does not happen by itself (see `unreachable`).
    pub finished_at: Option<Timestamp>,
    /// The counters at the end.
    pub progress: Progress,
    /// Attempts handed over.
    pub attempts: u64,
    /// Attempts handed over per hour, by the beginning of the hour (UTC).
    pub attempts_per_hour: BTreeMap<Timestamp, u64>,
    /// Most attempts at once.
    pub peak_concurrency: u32,
    /// What it would cost.
    pub cost: CostBand,
    /// Contacts that are not reached, by reason.
    pub unreachable: Vec<Unreachable>,
}

/// A cost and how far it may be off: 19 of 20 campaigns end within the band, if people behave as the profile says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CostBand {
    /// The lower end.
    pub low: Money,
    /// What this run cost.
    pub expected: Money,
    /// The upper end.
    pub high: Money,
}

/// Contacts that are not reached, for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreachable {
    /// The reason's code, for example `suppressed` or `window_never_opens`.
    pub code: String,
    /// How many contacts.
    pub contacts: u64,
    /// Whether they are terminal, or still wait for something that does not come by itself.
    pub terminal: bool,
}

impl Engine {
    /// Simulates a campaign from where it stands: the real planner, gates, limits and loop over a copy in memory, on virtual
    /// time. The campaign itself, its store and its dialer are not touched. Attempts in flight are simulated anew; hand-offs of
    /// other campaigns do not count against frequency caps; of a recurring campaign the next occurrence is simulated.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when the campaign does not exist, [`Kind::State`] when it has ended or has no contacts,
    /// [`Kind::Invalid`] for a custom kind, whose policy is not plain data.
    pub async fn simulate(&self, campaign: CampaignId, options: SimulateOptions) -> Result<SimulationReport> {
        let record = self.get_campaign(campaign).await?;
        if matches!(record.spec.campaign_type, CampaignType::Custom(_)) {
            return Err(Error::invalid("campaign_type", "a campaign of a custom kind cannot be simulated"));
        }
        if matches!(record.status, CampaignStatus::Completed | CampaignStatus::Cancelled | CampaignStatus::Failed) {
            return Err(Error::new(Kind::State, "the campaign has ended; re-execute it to simulate another run").with("campaign", campaign));
        }
        let start = options.start.unwrap_or_else(|| self.now());
        let store = Arc::new(MemoryStore::new().lean());
        copy::campaign(self, record, &*store, start).await?;
        let engine_options = self.options().clone();
        let (send, receive) = tokio::sync::oneshot::channel();
        self.executor().spawn_blocking(Box::new(move || {
            let clock = VirtualExecutor::new(start);
            let inner = clock.clone();
            let report = clock.run(async move { run(campaign, store, inner, engine_options, options, start).await });
            let _ = send.send(report);
        }));
        receive.await.unwrap_or_else(|_| Err(Error::new(Kind::Internal, "the simulation ended unexpectedly")))
    }
}

async fn run(
    campaign: CampaignId,
    store: Arc<MemoryStore>,
    clock: VirtualExecutor,
    engine_options: crate::engine::EngineOptions,
    options: SimulateOptions,
    start: Timestamp,
) -> Result<SimulationReport> {
    let observer = Arc::new(Observer::new(SimulatedDialer::new(options.profile, options.seed).forgetful()));
    let engine = Engine::builder()
        .shared_store(store)
        .shared_dialer(Arc::clone(&observer) as Arc<dyn crate::dialer::Dialer>)
        .executor(clock.clone())
        .untraced()
        .options(|own| {
            *own = engine_options;
            // One process, no others: nothing to poll for, and a lease longer than the simulation needs no heartbeat.
            own.poll_interval = None;
            // Whoever stands beside the nodes may ask, too.
            own.executes = true;
            own.lease = Duration::from_secs(u64::from(options.max_days.max(1)) * 86_400 * 4);
            own.seed = options.seed;
            // Nobody answers back in a simulation.
            own.conversations = false;
        })
        .build()
        .await?;
    if engine.get_campaign(campaign).await?.status != CampaignStatus::Scheduled {
        engine.start(campaign).await?;
    }
    let end = start.checked_add(SignedDuration::from_hours(24 * i64::from(options.max_days))).unwrap_or(Timestamp::MAX);
    let finished = tokio::select! {
        biased;
        done = engine.wait(campaign) => done.map(|_| true)?,
        () = clock.sleep_until(end) => false,
    };
    let finished_at = finished.then(|| clock.now());
    let progress = engine.progress(campaign).await?;
    let unreachable = engine
        .store()
        .reasons(campaign, clock.now())
        .await?
        .into_iter()
        .filter(|group| !group.status.is_terminal() || group.status == crate::contact::ContactStatus::Skipped)
        .fold(BTreeMap::new(), |mut all: BTreeMap<(String, bool), u64>, group| {
            let code = group.code.as_deref().unwrap_or("not_reached_in_time").to_owned();
            *all.entry((code, group.status.is_terminal())).or_default() += group.count;
            all
        })
        .into_iter()
        .map(|((code, terminal), contacts)| Unreachable { code, contacts, terminal })
        .collect();
    engine.abort();
    Ok(observer.report(start, finished_at, progress, unreachable))
}
