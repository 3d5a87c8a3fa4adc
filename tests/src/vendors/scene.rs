//! Scenes with real sockets on virtual time: the clock stands still while a request is under way, so nothing depends on how fast the
//! machine is.

use super::elevenlabs::Sink;
use crate::stage::{begin, row};
use campaign_core::Engine;
use campaign_core::campaign::CampaignSpecBuilder;
use campaign_core::contact::{Contact, Owner};
use campaign_core::dialer::{Dialer, FindRequest};
use campaign_core::executor::{Executor as _, SharedExecutor, VirtualExecutor};
use campaign_core::http::{HttpClient, HttpOptions};
use campaign_core::id::CampaignId;
use campaign_core::import::{ImportOptions, ImportSource};
use campaign_core::outcome::Attempt;
use campaign_core::store::{AttemptQuery, ContactQuery, ContactStore, MemoryStore, Paging};
use jiff::SignedDuration;
use serde_json::json;
use std::sync::{Arc, OnceLock};

/// Plays a scene on a clock of its own; sockets live on a runtime beside it.
///
/// # Panics
/// When there is no runtime.
pub fn play<T, F>(scene: impl FnOnce(VirtualExecutor) -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + Send,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let _inside = runtime.enter();
    let clock = VirtualExecutor::new(begin());
    clock.clone().run(async move { scene(clock).await })
}

/// A client that holds this clock while it waits.
///
/// # Panics
/// When TLS cannot be set up.
pub fn client(clock: &VirtualExecutor) -> HttpClient {
    HttpClient::new(HttpOptions::default()).expect("a client").holding(Arc::new(clock.clone()))
}

/// The question about an attempt.
pub fn question(attempt: &Attempt, contact: &Contact, clock: &VirtualExecutor) -> FindRequest {
    let request = campaign_core::testkit::dialer::sample_request(attempt.id.0, attempt.step.channel, attempt.claimed_at);
    let mut question = campaign_core::testkit::dialer::find_request(&request, attempt.claimed_at, clock.now(), None);
    question.key = Arc::clone(&attempt.key);
    question.to = contact.person.phone.clone();
    question
}

/// A program with an engine: callbacks that come before it is there are put off.
#[derive(Clone)]
pub struct Program {
    /// The clock.
    pub clock: VirtualExecutor,
    /// The store; survives the engine.
    pub store: Arc<dyn ContactStore>,
    engine: Arc<OnceLock<Engine>>,
}

impl Program {
    /// Without an engine yet.
    pub fn new(clock: &VirtualExecutor) -> Self {
        Self { clock: clock.clone(), store: Arc::new(MemoryStore::new()), engine: Arc::default() }
    }

    /// Another process on the same store.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { engine: Arc::default(), ..self.clone() }
    }

    /// Where providers deliver callbacks: to the engine, as an embedding program does it.
    pub fn sink(&self) -> Sink {
        let engine = Arc::clone(&self.engine);
        Arc::new(move |request| {
            let engine = engine.get().cloned();
            Box::pin(async move {
                match engine {
                    Some(engine) => engine.callback(request).await.status,
                    None => 503,
                }
            })
        })
    }

    /// Starts the engine with this dialer.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(&self, dialer: Arc<dyn Dialer>) -> Engine {
        let builder = Engine::builder().shared_store(Arc::clone(&self.store)).shared_dialer(dialer).executor(self.clock.clone());
        let engine = builder.build().await.expect("the engine starts");
        let _ = self.engine.set(engine.clone());
        engine
    }

    /// A campaign over the first so many numbers of the stage, begun.
    ///
    /// # Panics
    /// When the spec is not valid.
    pub async fn begin(&self, engine: &Engine, spec: CampaignSpecBuilder, contacts: usize) -> CampaignId {
        let id = engine.create_campaign(spec.build().expect("a valid spec")).await.expect("created").id;
        let rows = (0..contacts).map(|index| row(index, json!({ "plan": "gold" }))).collect();
        engine.import_contacts(id, ImportSource::Rows(rows), ImportOptions::default()).await.expect("imported");
        engine.start(id).await.expect("started");
        id
    }

    /// Waits for its end, at most a week, and gives its contacts in order, each with its attempts.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn end(&self, engine: &Engine, id: CampaignId) -> Vec<(Contact, Vec<Attempt>)> {
        let patience = self.clock.now() + SignedDuration::from_hours(7 * 24);
        tokio::select! {
            biased;
            ended = engine.wait(id) => { ended.expect("waited"); }
            () = self.clock.sleep_until(patience) => panic!("the campaign does not end"),
        }
        self.look(engine, id).await
    }

    /// Its contacts in order, each with its attempts.
    ///
    /// # Panics
    /// When the store is not there.
    pub async fn look(&self, engine: &Engine, id: CampaignId) -> Vec<(Contact, Vec<Attempt>)> {
        let paging = Paging { offset: 0, limit: 1000 };
        let contacts =
            engine.list_contacts(ContactQuery { paging, ..ContactQuery::of(Owner::Campaign(id)) }).await.expect("contacts").items;
        let mut all = Vec::new();
        for contact in contacts {
            let query = AttemptQuery { contact: Some(contact.id), ..AttemptQuery::default() };
            let mut attempts = engine.executions(query).await.expect("attempts").items;
            attempts.sort_by_key(|attempt| attempt.id);
            all.push((contact, attempts));
        }
        all
    }

    /// The clock, shared.
    pub fn shared(&self) -> SharedExecutor {
        Arc::new(self.clock.clone())
    }
}
