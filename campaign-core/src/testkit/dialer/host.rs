//! What stands around one attempt: its request, its host, and the question about it.

use crate::contact::{ContactSource, NewContact, Variables, ZoneKey};
use crate::dialer::{DialContext, DialHost, DialRequest, FindRequest};
use crate::error::Result;
use crate::executor::SharedExecutor;
use crate::id::{AttemptId, CampaignId, ContactId};
use crate::outcome::Channel;
use crate::phone::PhoneNumber;
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The host of one attempt, as the engine is one: keeps the time, writes down what the dialer says, and can give the attempt up.
pub struct TestHost {
    executor: SharedExecutor,
    references: watch::Sender<Vec<String>>,
    cancelled: watch::Sender<bool>,
    stages: Mutex<Vec<String>>,
}

impl TestHost {
    /// A host on this clock.
    pub fn new(executor: SharedExecutor) -> Arc<Self> {
        Arc::new(Self { executor, references: watch::Sender::default(), cancelled: watch::Sender::default(), stages: Mutex::default() })
    }

    /// The context to dial with.
    pub fn context(self: &Arc<Self>) -> DialContext {
        DialContext::new(self.clone())
    }

    /// Gives the attempt up.
    pub fn cancel(&self) {
        self.cancelled.send_replace(true);
    }

    /// What was said with `placed`, in order.
    pub fn references(&self) -> Vec<String> {
        self.references.borrow().clone()
    }

    /// What was said with `progress`, in order.
    pub fn stages(&self) -> Vec<String> {
        self.stages.lock().clone()
    }

    /// Resolves at the first `placed`.
    pub async fn first_reference(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.references.subscribe().wait_for(|references| !references.is_empty()).await;
    }
}

impl DialHost for TestHost {
    fn now(&self) -> Timestamp {
        self.executor.now()
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        self.executor.sleep_until(until)
    }

    fn placed(&self, provider_ref: String) -> BoxFuture<'static, Result<()>> {
        self.references.send_modify(|references| references.push(provider_ref));
        Box::pin(std::future::ready(Ok(())))
    }

    fn progress(&self, stage: &str) {
        self.stages.lock().push(stage.to_owned());
    }

    fn cancelled(&self) -> BoxFuture<'static, ()> {
        let mut cancelled = self.cancelled.subscribe();
        Box::pin(async move {
            if cancelled.wait_for(|cancelled| *cancelled).await.is_err() {
                // A host that is gone gives nothing up.
                std::future::pending().await
            }
        })
    }

    fn is_cancelled(&self) -> bool {
        *self.cancelled.borrow()
    }
}

/// A request as the engine makes them, to a number kept for fiction. Equal numbers give equal requests; `not_after` is 30 s from `now`.
pub fn sample_request(number: i64, channel: Channel, now: Timestamp) -> DialRequest {
    let phone = PhoneNumber::from_e164("+12025550142").unwrap_or_else(|| unreachable!("the number is E.164"));
    let person = NewContact {
        phone: phone.clone(),
        name: Some("Ada Example".into()),
        email: None,
        company: None,
        zones: ZoneKey::from_names(["America/New_York"]),
        variables: Variables::new(),
        consent: None,
        source: ContactSource::Api,
    };
    let text = |name: &str, text: &str| (Arc::from(name), text.to_owned());
    let texts = match channel {
        Channel::Call => BTreeMap::from([text("first_message", "Hello Ada, this is a test."), text("system_prompt", "Be brief.")]),
        Channel::Sms | Channel::WhatsApp => BTreeMap::from([text("message", "Hello Ada, this is a test.")]),
    };
    DialRequest {
        attempt_id: AttemptId(number),
        key: Arc::from(format!("conformance-{}-{number}", now.as_millisecond())),
        campaign_id: CampaignId(1),
        campaign_name: "Conformance".into(),
        contact_id: ContactId(number),
        attempt_number: 1,
        channel,
        to: phone,
        from: Some("+12025550100".into()),
        contact_name: Some("Ada Example".into()),
        texts,
        variables: Arc::new(person),
        assistant_id: None,
        voicemail: Arc::default(),
        ring_timeout: Duration::from_secs(30),
        max_duration: Duration::from_secs(300),
        not_after: now + SignedDuration::from_secs(30),
        valid_until: None,
        local_hour: 11,
        last_inbound_at: None,
        options: Arc::default(),
    }
}

/// The question about an attempt that was asked for like this.
pub fn find_request(request: &DialRequest, since: Timestamp, now: Timestamp, provider_ref: Option<String>) -> FindRequest {
    FindRequest {
        attempt_id: request.attempt_id,
        key: request.key.clone(),
        channel: request.channel,
        to: request.to.clone(),
        from: request.from.clone(),
        since,
        now,
        provider_ref,
    }
}
