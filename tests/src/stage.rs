//! A small stage for scenes on virtual time: one engine, one clock, one store, one scripted dialer.

use campaign_core::Engine;
use campaign_core::campaign::{CampaignSpecBuilder, CampaignStatus};
use campaign_core::contact::{Contact, Owner};
use campaign_core::dialer::{Dialer, Recorded, ScriptedDialer};
use campaign_core::engine::EngineBuilder;
use campaign_core::executor::{Executor, VirtualExecutor};
use campaign_core::id::{CampaignId, ContactId};
use campaign_core::import::{ImportOptions, ImportSource};
use campaign_core::outcome::Attempt;
use campaign_core::phone::PhoneNumber;
use campaign_core::store::{AttemptQuery, ContactQuery, ContactStore, MemoryStore, Paging, Suppression, SuppressionScope};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// When every scene begins: a Monday, at noon in `UTC`.
pub const BEGIN: &str = "2026-03-02T12:00:00Z";

type Setup = Arc<dyn Fn(EngineBuilder) -> EngineBuilder + Send + Sync>;

/// What a scene plays on.
pub struct Stage {
    /// The clock.
    pub clock: VirtualExecutor,
    /// The store.
    pub store: Arc<dyn ContactStore>,
    /// The dialer, to be told what to do and asked what it did.
    pub dialer: Arc<ScriptedDialer>,
    /// The engine; another one after [`Stage::crash`].
    pub engine: Engine,
    setup: Setup,
}

/// Plays a scene with this dialer, on an engine with default settings.
pub fn play<T, F>(dialer: ScriptedDialer, scene: impl FnOnce(Stage) -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + Send,
{
    play_on(dialer, |builder| builder, scene)
}

/// As [`play`], on an engine set up by `setup`.
pub fn play_on<T, F>(
    dialer: ScriptedDialer,
    setup: impl Fn(EngineBuilder) -> EngineBuilder + Send + Sync + 'static,
    scene: impl FnOnce(Stage) -> F + Send + 'static,
) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + Send,
{
    let clock = VirtualExecutor::new(begin());
    let setup: Setup = Arc::new(setup);
    let store: Arc<dyn ContactStore> = Arc::new(MemoryStore::new());
    let dialer = Arc::new(dialer);
    clock.clone().run(async move {
        let engine = build(&clock, &store, &dialer, &setup).await;
        scene(Stage { clock, store, dialer, engine, setup }).await
    })
}

async fn build(clock: &VirtualExecutor, store: &Arc<dyn ContactStore>, dialer: &Arc<ScriptedDialer>, setup: &Setup) -> Engine {
    let builder = Engine::builder()
        .shared_store(Arc::clone(store))
        .shared_dialer(Arc::clone(dialer) as Arc<dyn Dialer>)
        .executor(clock.clone())
        .options(|options| options.poll_interval = None);
    setup(builder).build().await.expect("the engine starts")
}

/// The moment every scene begins.
pub fn begin() -> Timestamp {
    BEGIN.parse().expect("a moment")
}

/// So many seconds after the beginning.
pub fn second(seconds: i64) -> Timestamp {
    begin() + SignedDuration::from_secs(seconds)
}

/// The number of the contact with this index.
pub fn phone(index: usize) -> PhoneNumber {
    PhoneNumber::from_e164(&format!("+1212{}", 5_550_000 + index)).expect("a number")
}

/// A row for the contact with this index, in `UTC`, with more columns.
pub fn row(index: usize, more: Value) -> Map<String, Value> {
    let mut row = json!({ "phone": phone(index).as_str(), "time_zone": "UTC" });
    let fields = row.as_object_mut().expect("an object");
    fields.extend(more.as_object().cloned().unwrap_or_default());
    fields.clone()
}

impl Stage {
    /// A campaign of these contacts, as a draft.
    pub async fn draft_of(&self, spec: CampaignSpecBuilder, rows: Vec<Map<String, Value>>) -> CampaignId {
        let id = self.engine.create_campaign(spec.build().expect("a valid spec")).await.expect("created").id;
        let count = rows.len() as u64;
        let report = self.engine.import_contacts(id, ImportSource::Rows(rows), ImportOptions::default()).await.expect("imported");
        assert_eq!(report.imported + report.suppressed, count, "{report:?}");
        id
    }

    /// A campaign of so many contacts, started.
    pub async fn start(&self, spec: CampaignSpecBuilder, contacts: usize) -> CampaignId {
        self.start_of(spec, (0..contacts).map(|index| row(index, json!({}))).collect()).await
    }

    /// A campaign of these contacts, started.
    pub async fn start_of(&self, spec: CampaignSpecBuilder, rows: Vec<Map<String, Value>>) -> CampaignId {
        let id = self.draft_of(spec, rows).await;
        self.engine.start(id).await.expect("started");
        id
    }

    /// Waits for the end of a campaign, at most four weeks, and returns its contacts in the order in which they were added.
    pub async fn end(&self, id: CampaignId) -> Vec<Contact> {
        let patience = self.clock.now() + SignedDuration::from_hours(28 * 24);
        tokio::select! {
            biased;
            ended = self.engine.wait(id) => { ended.expect("waited"); }
            () = self.clock.sleep_until(patience) => panic!("the campaign does not end: {:?}", self.contacts(id).await),
        }
        assert_eq!(self.status(id).await, CampaignStatus::Completed);
        self.contacts(id).await
    }

    /// Where a campaign stands.
    pub async fn status(&self, id: CampaignId) -> CampaignStatus {
        self.engine.get_campaign(id).await.expect("a campaign").status
    }

    /// The contacts of a campaign, in the order in which they were added.
    pub async fn contacts(&self, id: CampaignId) -> Vec<Contact> {
        let paging = Paging { offset: 0, limit: 10_000 };
        let query = ContactQuery { paging, ..ContactQuery::of(Owner::Campaign(id)) };
        self.engine.list_contacts(query).await.expect("contacts").items
    }

    /// The attempts at a contact, oldest first.
    pub async fn attempts(&self, contact: ContactId) -> Vec<Attempt> {
        let query = AttemptQuery { contact: Some(contact), ..AttemptQuery::default() };
        let mut attempts = self.engine.executions(query).await.expect("attempts").items;
        attempts.sort_by_key(|attempt| attempt.id);
        attempts
    }

    /// What the dialer was asked for, in order.
    pub fn requests(&self) -> Vec<Recorded> {
        self.dialer.requests()
    }

    /// When the dialer was asked, in whole seconds after the beginning.
    pub fn dialled(&self) -> Vec<i64> {
        self.requests().iter().map(|recorded| recorded.at.duration_since(begin()).as_secs()).collect()
    }

    /// Whole seconds since the beginning.
    pub fn clock_seconds(&self) -> i64 {
        self.clock.now().duration_since(begin()).as_secs()
    }

    /// The most attempts that ever went on at once.
    pub fn peak(&self) -> u32 {
        self.dialer.in_flight().1
    }

    /// Lets the time pass until so many seconds after the beginning.
    pub async fn until(&self, seconds: i64) {
        self.clock.sleep_until(second(seconds)).await;
    }

    /// Lets this much time pass.
    pub async fn pass(&self, duration: Duration) {
        self.clock.sleep_until(self.clock.now() + SignedDuration::try_from(duration).expect("a short time")).await;
    }

    /// The process dies, and another starts on the same store.
    pub async fn crash(&mut self) {
        self.engine.abort();
        self.engine = build(&self.clock, &self.store, &self.dialer, &self.setup).await;
    }

    /// Puts the number of a contact on the suppression list.
    pub async fn suppress(&self, index: usize) {
        let entry = Suppression {
            phone: phone(index),
            scope: SuppressionScope::Everything,
            reason: "asked".to_owned(),
            source: None,
            created_at: self.clock.now(),
            expires_at: None,
        };
        self.engine.suppress(vec![entry]).await.expect("suppressed");
    }
}

/// A contact's status and the code of its reason, for comparisons.
pub fn told(contact: &Contact) -> (&'static str, &str) {
    (contact.state.status.as_str(), contact.state.reason.as_ref().map_or("", |reason| &reason.code))
}
