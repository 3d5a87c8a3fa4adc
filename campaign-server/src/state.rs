//! What every handler has at hand.

use crate::api::voice_rate::Hourly;
use crate::auth::Keys;
use crate::live::{Feeds, Sockets};
use crate::metrics::Metrics;
use crate::options::ServerOptions;
use crate::webhooks::{self, Webhooks};
use axum::extract::FromRef;
use campaign_core::Engine;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Shared by all handlers; cheap to clone.
#[derive(Clone)]
pub struct AppState(Arc<Parts>);

struct Parts {
    engine: Engine,
    options: ServerOptions,
    keys: Keys,
    metrics: Metrics,
    sockets: Sockets,
    feeds: Feeds,
    webhooks: Webhooks,
    voice_hourly: Hourly,
    /// What works beside the requests ends when this goes.
    _alive: watch::Sender<()>,
    /// When expired answers were last removed, in seconds since the epoch.
    tidied: AtomicI64,
}

impl std::fmt::Debug for AppState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppState").field("engine", &self.0.engine).finish_non_exhaustive()
    }
}

impl AppState {
    /// The state of a server over this engine; begins to send webhooks.
    pub fn new(engine: Engine, options: ServerOptions) -> Self {
        let keys = Keys::new(Arc::clone(engine.store()), Arc::clone(engine.executor()));
        let sockets = Sockets::new(options.max_sockets);
        let feeds = Feeds::new(options.socket_buffer);
        let webhooks = Webhooks::new(Arc::clone(engine.store()), Arc::clone(engine.executor()), options.webhook_reach);
        let (alive, watched) = watch::channel(());
        webhooks::start(&engine, &webhooks, &options, watched);
        let metrics = Metrics::new();
        let (voice_hourly, tidied) = (Hourly::default(), AtomicI64::new(0));
        Self(Arc::new(Parts { keys, metrics, sockets, feeds, webhooks, voice_hourly, _alive: alive, tidied, engine, options }))
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// The settings.
    pub fn options(&self) -> &ServerOptions {
        &self.0.options
    }

    /// The API keys of the store.
    pub fn keys(&self) -> &Keys {
        &self.0.keys
    }

    /// The figures of `/metrics`.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Open WebSockets.
    pub fn sockets(&self) -> &Sockets {
        &self.0.sockets
    }

    /// What campaigns tell their watchers.
    pub fn feeds(&self) -> &Feeds {
        &self.0.feeds
    }

    /// Outgoing webhooks.
    pub fn webhooks(&self) -> &Webhooks {
        &self.0.webhooks
    }

    /// How often each key has called the voice-campaign API within its hour.
    pub(crate) fn voice_hourly(&self) -> &Hourly {
        &self.0.voice_hourly
    }

    /// Whether expired answers are to be removed now: at most once in `every` seconds, and by one request only.
    pub(crate) fn is_time_to_tidy(&self, now: i64, every: i64) -> bool {
        let last = self.0.tidied.load(Ordering::Relaxed);
        now - last >= every && self.0.tidied.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Now, by the engine's clock: the only one the server has.
    pub fn now(&self) -> Timestamp {
        self.0.engine.now()
    }

    /// Resolves after this time, by the engine's clock.
    pub async fn sleep(&self, time: Duration) {
        let span = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
        let until = self.now().saturating_add(span).unwrap_or(Timestamp::MAX);
        self.0.engine.executor().sleep_until(until).await;
    }
}

impl FromRef<AppState> for Engine {
    fn from_ref(state: &AppState) -> Self {
        state.0.engine.clone()
    }
}
