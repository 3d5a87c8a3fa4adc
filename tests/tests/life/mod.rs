//! One engine on a virtual clock with a dialer that does what it is told.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]

use campaign_core::campaign::{CampaignRecord, CampaignSpec, CampaignSpecBuilder, CampaignStatus};
use campaign_core::contact::{Contact, ContactStatus, Owner};
use campaign_core::dialer::{Script, ScriptedDialer};
use campaign_core::executor::{Executor, VirtualExecutor};
use campaign_core::id::{CampaignId, ContactId};
use campaign_core::import::ImportOptions;
use campaign_core::store::{ContactQuery, ContactStore, MemoryStore, Paging};
use campaign_core::{Engine, Error, Kind};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// A Monday, 09:00 UTC.
pub const START: &str = "2026-03-02T09:00:00Z";

/// A world of one engine.
pub struct Life {
    pub clock: VirtualExecutor,
    pub store: Arc<dyn ContactStore>,
    pub dialer: Arc<ScriptedDialer>,
    pub engine: Engine,
}

/// Runs a test in a world where everybody does as `otherwise` says.
pub fn live<F: Future<Output = ()> + Send + 'static>(otherwise: Script, test: impl FnOnce(Life) -> F + Send + 'static) {
    live_on(Arc::new(MemoryStore::new()), otherwise, test);
}

pub fn live_on<F: Future<Output = ()> + Send + 'static>(
    store: Arc<dyn ContactStore>,
    otherwise: Script,
    test: impl FnOnce(Life) -> F + Send + 'static,
) {
    let clock = VirtualExecutor::new(at(START));
    let own = clock.clone();
    clock.run(async move {
        let dialer = Arc::new(ScriptedDialer::new().otherwise(otherwise));
        let engine = build(&own, &store, &dialer).await;
        test(Life { clock: own, store, dialer, engine }).await;
    });
}

async fn build(clock: &VirtualExecutor, store: &Arc<dyn ContactStore>, dialer: &Arc<ScriptedDialer>) -> Engine {
    Engine::builder()
        .shared_store(Arc::clone(store))
        .shared_dialer(Arc::clone(dialer) as Arc<dyn campaign_core::dialer::Dialer>)
        .executor(clock.clone())
        .options(|options| {
            options.poll_interval = None;
            options.event_buffer = 64;
        })
        .build()
        .await
        .unwrap()
}

impl Life {
    /// A draft with this many contacts.
    pub async fn draft(&self, spec: CampaignSpecBuilder, contacts: usize) -> CampaignId {
        let id = self.engine.create_campaign(spec.build().unwrap()).await.unwrap().id;
        if contacts > 0 {
            self.add(id, 0..contacts).await;
        }
        id
    }

    pub async fn add(&self, id: CampaignId, which: std::ops::Range<usize>) {
        let count = which.len() as u64;
        let report = self.engine.add_contacts(id, which.map(row).collect(), ImportOptions::default()).await.unwrap();
        assert_eq!(report.imported, count);
    }

    pub async fn sleep(&self, minutes: i64) {
        self.clock.sleep_until(self.clock.now() + SignedDuration::from_mins(minutes)).await;
    }

    pub async fn second(&self) {
        self.clock.sleep_until(self.clock.now() + SignedDuration::from_secs(1)).await;
    }

    /// Half a minute.
    pub async fn step(&self) {
        self.clock.sleep_until(self.clock.now() + SignedDuration::from_secs(30)).await;
    }

    /// A millisecond.
    pub async fn pause(&self) {
        self.clock.sleep_until(self.clock.now() + SignedDuration::from_millis(1)).await;
    }

    pub async fn until(&self, moment: &str) {
        self.clock.sleep_until(at(moment)).await;
    }

    pub async fn record(&self, id: CampaignId) -> CampaignRecord {
        self.engine.get_campaign(id).await.unwrap()
    }

    pub async fn status(&self, id: CampaignId) -> CampaignStatus {
        self.record(id).await.status
    }

    pub async fn contacts(&self, id: CampaignId) -> Vec<Contact> {
        let query = ContactQuery { paging: Paging { offset: 0, limit: 1000 }, ..ContactQuery::of(Owner::Campaign(id)) };
        self.engine.list_contacts(query).await.unwrap().items
    }

    pub async fn ids(&self, id: CampaignId) -> Vec<ContactId> {
        self.contacts(id).await.iter().map(|contact| contact.id).collect()
    }

    pub async fn statuses(&self, id: CampaignId) -> Vec<ContactStatus> {
        self.contacts(id).await.iter().map(|contact| contact.state.status).collect()
    }

    /// The node dies, `minutes` pass, another one starts on the same store.
    pub async fn crash(&mut self, minutes: i64) {
        self.engine.abort();
        self.sleep(minutes).await;
        self.engine = build(&self.clock, &self.store, &self.dialer).await;
    }

    /// When attempts were handed over.
    pub fn handed(&self) -> Vec<Timestamp> {
        self.dialer.requests().iter().map(|request| request.at).collect()
    }
}

pub fn at(moment: &str) -> Timestamp {
    moment.parse().unwrap()
}

/// The number of the n-th contact of every test.
pub fn number(index: usize) -> String {
    format!("+1212{:07}", 5_550_000 + index)
}

pub fn phone(index: usize) -> campaign_core::phone::PhoneNumber {
    campaign_core::phone::PhoneNumber::parse(&number(index), None).unwrap()
}

pub fn row(index: usize) -> serde_json::Map<String, serde_json::Value> {
    let value = serde_json::json!({ "phone": number(index), "time_zone": "America/New_York", "name": format!("Person {index}") });
    value.as_object().unwrap().clone()
}

/// No limits, one attempt.
pub fn plain() -> CampaignSpecBuilder {
    CampaignSpec::call("plain").retries(1, 30).with(|spec| {
        spec.concurrent_limit = None;
        spec.rate_limit_per_minute = None;
    })
}

/// Refused because of the state, with this text in the message.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: Result<T, Error>, text: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), Kind::State, "{error}");
    assert!(error.to_string().contains(text), "{error}");
}
