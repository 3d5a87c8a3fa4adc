//! Building an engine.

use super::Engine;
use super::core::Core;
use crate::assistant::Assistant;
use crate::campaign::CampaignKind;
use crate::dialer::{Capabilities, DialContext, DialError, DialRequest, Dialer, FindRequest, Found};
use crate::executor::{Executor, TokioExecutor};
use crate::outcome::Outcome;
use crate::policy::limits::Rate;
use crate::store::ContactStore;
use crate::{Error, Kind, Result};
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Settings of a node. The defaults suit one process on SQLite as well as many on a shared store.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// A name for people. Default: `node-` and the process id.
    pub node_name: String,
    /// How long this node may be silent before others take over its attempts. At least 100 ms. Default 15 s.
    pub lease: Duration,
    /// The longest time the process may stand still between the last check and the hand-off (a debugger, a suspended machine).
    /// Attempts of a dead node are left alone for this long. Default 10 s.
    pub longest_pause: Duration,
    /// How often the node looks for changes made by other processes on the same store. `None`: there are none. Default 500 ms.
    pub poll_interval: Option<Duration>,
    /// How far ahead attempts are claimed. Default 1 s.
    pub look_ahead: Duration,
    /// At most so many contacts per claim, and outcomes per settlement. Default 1000.
    pub batch: u32,
    /// Attempts at once over all campaigns and nodes; shared fairly by priority. Default: no cap.
    pub max_in_flight: Option<u32>,
    /// Starts per time over all campaigns and nodes. Default: no limit.
    pub max_rate: Option<Rate>,
    /// How long a provider that knows nothing is asked about an attempt in doubt, after the longest time the attempt can have lasted. Default 10 min.
    pub doubt_patience: Duration,
    /// Events kept for a slow reader before it misses some. Default 4096.
    pub event_buffer: usize,
    /// Seed of retry jitter. Default 0.
    pub seed: u64,
    /// Whether messages that campaigns send become part of conversations, so that replies find their campaign. Default true.
    pub conversations: bool,
    /// Whether this process executes campaigns, that is, whether it is a node. Default true.
    ///
    /// With `false` it stands beside the nodes on the same store: it creates, imports, starts, pauses, suppresses, explains and watches, but
    /// claims nothing, dials nothing, recovers nothing, starts nothing that is scheduled and answers nobody; the nodes do. It holds no lease,
    /// so [`Engine::nodes`] does not list it, and it needs no dialer. What it explains knows the limits of the account only when it is
    /// given the nodes' dialer.
    pub executes: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            node_name: format!("node-{}", std::process::id()),
            lease: Duration::from_secs(15),
            longest_pause: Duration::from_secs(10),
            poll_interval: Some(Duration::from_millis(500)),
            look_ahead: Duration::from_secs(1),
            batch: 1000,
            max_in_flight: None,
            max_rate: None,
            doubt_patience: Duration::from_secs(600),
            event_buffer: 4096,
            seed: 0,
            conversations: true,
            executes: true,
        }
    }
}

/// Collects the parts of an [`Engine`].
#[derive(Default)]
pub struct EngineBuilder {
    store: Option<Arc<dyn ContactStore>>,
    dialer: Option<Arc<dyn Dialer>>,
    executor: Option<Arc<dyn Executor>>,
    options: EngineOptions,
    kinds: HashMap<String, Arc<dyn CampaignKind>>,
    assistant: Option<Arc<dyn Assistant>>,
    untraced: bool,
}

impl EngineBuilder {
    /// Where everything durable lives. Required.
    #[must_use]
    pub fn store(self, store: impl ContactStore) -> Self {
        self.shared_store(Arc::new(store))
    }

    /// A store that is shared already.
    #[must_use]
    pub fn shared_store(mut self, store: Arc<dyn ContactStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// Who places calls and sends messages. Required where [`EngineOptions::executes`] is true.
    #[must_use]
    pub fn dialer(self, dialer: impl Dialer) -> Self {
        self.shared_dialer(Arc::new(dialer))
    }

    /// A dialer that is shared already.
    #[must_use]
    pub fn shared_dialer(mut self, dialer: Arc<dyn Dialer>) -> Self {
        self.dialer = Some(dialer);
        self
    }

    /// What runs the tasks. Default: the tokio runtime of the caller.
    #[must_use]
    pub fn executor(mut self, executor: impl Executor) -> Self {
        self.executor = Some(Arc::new(executor));
        self
    }

    /// Changes the settings.
    #[must_use]
    pub fn options(mut self, change: impl FnOnce(&mut EngineOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// Registers a user's own kind of campaign under the name that [`crate::campaign::CampaignType::Custom`] carries.
    #[must_use]
    pub fn campaign_kind(mut self, name: impl Into<String>, kind: impl CampaignKind) -> Self {
        self.kinds.insert(name.into(), Arc::new(kind));
        self
    }

    /// Who answers people: messages where a campaign's `replies.assistant` is set, and calls behind a relay. Default: nobody.
    #[must_use]
    pub fn assistant(self, assistant: impl Assistant) -> Self {
        self.shared_assistant(Arc::new(assistant))
    }

    /// An assistant that is shared already.
    #[must_use]
    pub fn shared_assistant(mut self, assistant: Arc<dyn Assistant>) -> Self {
        self.assistant = Some(assistant);
        self
    }

    /// Makes no spans of what the engine does: nobody is called, so whoever looks at them must not think so.
    pub(crate) fn untraced(mut self) -> Self {
        self.untraced = true;
        self
    }

    /// Registers the node on the store and starts it. Campaigns that were running go on. Where [`EngineOptions::executes`] is false, there is
    /// no node, and nothing but what watches the store starts.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] when the store or the dialer is missing or a setting is out of range, or there is neither an
    /// executor nor a tokio runtime; whatever the store reports.
    pub async fn build(self) -> Result<Engine> {
        let store = self.store.ok_or_else(|| Error::invalid("store", "an engine needs a store; give one with `.store(...)`"))?;
        let dialer = match self.dialer {
            Some(dialer) => dialer,
            None if !self.options.executes => Arc::new(NoDialer) as Arc<dyn Dialer>,
            None => return Err(Error::invalid("dialer", "an engine needs a dialer; give one with `.dialer(...)`")),
        };
        let executor = match self.executor {
            Some(executor) => executor,
            None => Arc::new(TokioExecutor::current().ok_or_else(|| {
                Error::invalid("executor", "build the engine inside of a tokio runtime, or give an executor with `.executor(...)`")
            })?),
        };
        if self.options.lease < Duration::from_millis(100) {
            return Err(Error::invalid("lease", "must be at least 100 ms"));
        }
        if self.options.batch == 0 {
            return Err(Error::invalid("batch", "must be at least 1"));
        }
        Core::start(store, dialer, executor, self.options, self.kinds, self.assistant, !self.untraced).await
    }
}

/// Stands where the dialer of an engine would be that dials nothing.
struct NoDialer;

#[async_trait]
impl Dialer for NoDialer {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn dial(&self, _: DialRequest, _: DialContext) -> Result<Outcome, DialError> {
        Err(DialError::Transient(Error::new(Kind::State, "this process does not execute campaigns")))
    }

    async fn find(&self, _: FindRequest) -> Result<Found> {
        Ok(Found::Unknown)
    }
}

impl std::fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}
