//! A program around an engine: it takes callbacks over HTTP and hands them on, as an embedding program does.

use super::clock::QuickClock;
use super::http::{Reply, Request, Server};
use campaign_core::async_trait;
use campaign_core::dialer::{
    AttemptRef, CallbackRequest, CallbackResponse, Callbacks, Capabilities, DialContext, DialError, DialHost, DialRequest, Dialer,
    FindRequest, Found, News, Signal,
};
use campaign_core::engine::EngineBuilder;
use campaign_core::executor::SharedExecutor;
use campaign_core::id::AttemptId;
use campaign_core::outcome::{Channel, Outcome};
use campaign_core::store::{ContactStore, MemoryStore};
use campaign_core::{Engine, Result};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::mpsc;

/// A Monday, 15:00 UTC.
pub const BEGIN: &str = "2026-03-02T15:00:00Z";

/// A clock for vendors, this many times as fast as the wall's. Call it inside of a tokio runtime.
///
/// # Panics
/// Never.
pub fn quick_clock(speed: u32) -> QuickClock {
    QuickClock::starting_at(BEGIN.parse().expect("a moment"), speed)
}

/// A callback as the engine takes it.
pub fn callback_request(request: Request) -> CallbackRequest {
    CallbackRequest { method: request.method, url: request.url, headers: request.headers, body: request.body }
}

/// What the engine answers, as it goes back.
pub fn reply(response: CallbackResponse) -> Reply {
    let headers = vec![("content-type".to_owned(), response.content_type.to_owned())];
    Reply::Answer { status: response.status, headers, body: response.body }
}

/// The web server of a program; first there is its address, then the engine that answers.
pub struct Porch {
    server: Server,
    engine: Arc<OnceLock<Engine>>,
}

impl Porch {
    /// Opens it. Until there is an engine, callbacks are answered with 503.
    ///
    /// # Panics
    /// When there is no such port.
    pub async fn open(port: u16) -> Self {
        let engine: Arc<OnceLock<Engine>> = Arc::default();
        let asked = Arc::clone(&engine);
        let server = Server::start_at(port, move |request| {
            let engine = asked.get().cloned();
            async move {
                match engine {
                    Some(engine) => reply(engine.callback(callback_request(request)).await),
                    None => reply(CallbackResponse::status(503)),
                }
            }
        })
        .await
        .expect("a free port");
        Self { server, engine }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Who answers from now on.
    pub fn belongs_to(&self, engine: &Engine) {
        let _ = self.engine.set(engine.clone());
    }
}

/// An engine with its porch.
pub struct World {
    /// The clock of everything.
    pub clock: SharedExecutor,
    /// The store.
    pub store: Arc<dyn ContactStore>,
    /// The engine.
    pub engine: Engine,
    /// The dialer.
    pub dialer: Arc<dyn Dialer>,
    /// Its web server.
    pub porch: Porch,
}

impl World {
    /// On this clock, with the dialer that is made for the address of the porch.
    ///
    /// # Panics
    /// When the engine does not start.
    pub async fn start(
        clock: QuickClock,
        dialer: impl FnOnce(&str) -> Arc<dyn Dialer>,
        setup: impl FnOnce(EngineBuilder) -> EngineBuilder,
    ) -> Self {
        let porch = Porch::open(0).await;
        let dialer = dialer(&porch.url());
        let store: Arc<dyn ContactStore> = Arc::new(MemoryStore::new());
        let builder = Engine::builder().shared_store(Arc::clone(&store)).shared_dialer(Arc::clone(&dialer)).executor(clock.clone());
        let engine = setup(builder).build().await.expect("the engine starts");
        porch.belongs_to(&engine);
        Self { clock: Arc::new(clock), store, engine, dialer, porch }
    }
}

type Letters = Arc<Mutex<HashMap<AttemptId, mpsc::UnboundedSender<News>>>>;

/// A dialer with a web server of its own that brings callbacks to whoever waits for them, for suites that have no engine.
#[derive(Clone)]
pub struct Posted {
    inner: Arc<dyn Dialer>,
    letters: Letters,
    channels: Vec<Channel>,
    #[expect(dead_code, reason = "serves as long as the dialer lives")]
    server: Arc<Server>,
}

impl Posted {
    /// The dialer that is made for the address of the server, on these channels only.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(clock: SharedExecutor, channels: &[Channel], dialer: impl FnOnce(&str) -> Arc<dyn Dialer>) -> Self {
        let letters: Letters = Arc::default();
        let made: Arc<OnceLock<Arc<dyn Dialer>>> = Arc::default();
        let (reads, delivers) = (Arc::clone(&made), Arc::clone(&letters));
        let server = Server::start(move |request| {
            let status = match reads.get().and_then(|dialer| dialer.callbacks()) {
                Some(callbacks) => deliver(callbacks, &delivers, &callback_request(request), clock.now()),
                None => 404,
            };
            async move { reply(CallbackResponse::status(status)) }
        })
        .await
        .expect("a free port");
        let inner = dialer(&server.url());
        let _ = made.set(Arc::clone(&inner));
        Self { inner, letters, channels: channels.to_vec(), server: Arc::new(server) }
    }
}

fn deliver(callbacks: &dyn Callbacks, letters: &Letters, request: &CallbackRequest, now: Timestamp) -> u16 {
    let Ok(callback) = callbacks.read(request, now) else { return 403 };
    for signal in callback.signals {
        if let Signal::Attempt { attempt: AttemptRef::Id(id), news } = signal
            && let Some(waiting) = letters.lock().unwrap_or_else(PoisonError::into_inner).get(&id)
        {
            let _ = waiting.send(news);
        }
    }
    204
}

#[async_trait]
impl Dialer for Posted {
    fn capabilities(&self) -> Capabilities {
        Capabilities { channels: self.channels.clone(), ..self.inner.capabilities() }
    }

    async fn dial(&self, request: DialRequest, context: DialContext) -> Result<Outcome, DialError> {
        let (sender, news) = mpsc::unbounded_channel();
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).insert(request.attempt_id, sender);
        let host = Host { context, news: Arc::new(tokio::sync::Mutex::new(news)) };
        self.inner.dial(request, DialContext::new(Arc::new(host))).await
    }

    async fn find(&self, request: FindRequest) -> Result<Found> {
        self.inner.find(request).await
    }
}

/// Another host, with news.
struct Host {
    context: DialContext,
    news: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<News>>>,
}

impl DialHost for Host {
    fn now(&self) -> Timestamp {
        self.context.now()
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        let context = self.context.clone();
        let left = until.duration_since(context.now()).try_into().unwrap_or_default();
        Box::pin(async move { context.sleep(left).await })
    }

    fn placed(&self, provider_ref: String) -> BoxFuture<'static, Result<()>> {
        let context = self.context.clone();
        Box::pin(async move { context.placed(provider_ref).await })
    }

    fn progress(&self, stage: &str) {
        self.context.progress(stage);
    }

    fn news(&self) -> BoxFuture<'static, News> {
        let news = Arc::clone(&self.news);
        Box::pin(async move {
            match news.lock().await.recv().await {
                Some(news) => news,
                None => std::future::pending().await,
            }
        })
    }

    fn cancelled(&self) -> BoxFuture<'static, ()> {
        let context = self.context.clone();
        Box::pin(async move { context.cancelled().await })
    }

    fn is_cancelled(&self) -> bool {
        self.context.is_cancelled()
    }
}
