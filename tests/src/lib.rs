//! What the tests across rooms share. The documents whose Rust blocks are compiled as doctests are listed here.

pub mod answering;
pub mod carrier;
pub mod cluster;
pub mod judge;
pub mod lossy;
pub mod postgres;
pub mod proxy;
pub mod stage;
pub mod tree;
pub mod vendors;
pub mod witness;
pub mod worker;

use campaign_core::async_trait;
use campaign_core::campaign::{Campaign, ContactView, Next};
use campaign_core::contact::{ContactStatus, PlannedStep, Reason};
use campaign_core::dialer::{Capabilities, DialContext, DialError, DialRequest, Dialer, FindRequest, Found};
use campaign_core::id::ContactId;
use campaign_core::outcome::{Channel, Outcome};
use campaign_core::phone::PhoneNumber;
use jiff::Timestamp;
use std::sync::{Arc, Mutex, PoisonError};

/// One hand-off, as the outside world saw it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The idempotency key.
    pub key: Arc<str>,
    /// The contact.
    pub contact: ContactId,
    /// Which attempt at the contact.
    pub number: u32,
    /// The channel.
    pub channel: Channel,
    /// Whom it went to.
    pub to: PhoneNumber,
    /// The caller id.
    pub from: Option<Arc<str>>,
    /// When it was handed over.
    pub start: Timestamp,
    /// When it ended; `None` while it goes on, or for ever when nobody listened.
    pub end: Option<Timestamp>,
    /// Whether it was refused without effect.
    pub refused: bool,
}

/// Writes down what another dialer is asked to do. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    inner: Arc<dyn Dialer>,
    log: Arc<Mutex<Vec<Seen>>>,
}

impl Recorder {
    /// Around this dialer.
    pub fn new(inner: impl Dialer) -> Self {
        Self { inner: Arc::new(inner), log: Arc::default() }
    }

    /// What was handed over, in order.
    pub fn log(&self) -> Vec<Seen> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Dialer for Recorder {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn dial(&self, request: DialRequest, context: DialContext) -> Result<Outcome, DialError> {
        let seen = Seen {
            key: Arc::clone(&request.key),
            contact: request.contact_id,
            number: request.attempt_number,
            channel: request.channel,
            to: request.to.clone(),
            from: request.from.clone(),
            start: context.now(),
            end: None,
            refused: false,
        };
        let index = {
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push(seen);
            log.len() - 1
        };
        let result = self.inner.dial(request, context.clone()).await;
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log[index].end = Some(context.now());
        log[index].refused = !matches!(result, Ok(_) | Err(DialError::InDoubt(_)));
        result
    }

    async fn find(&self, request: FindRequest) -> campaign_core::Result<Found> {
        self.inner.find(request).await
    }
}

/// A campaign that tries again at once, up to three times: crashes are tested without waiting for retries.
#[derive(Debug, Clone, Copy)]
pub struct AtOnce;

impl AtOnce {
    /// The name it is registered under.
    pub const NAME: &'static str = "at_once";
}

impl Campaign for AtOnce {
    fn next(&self, view: &ContactView<'_>, _now: Timestamp) -> Next {
        let finish = |status| Next::Finish { status, reason: Reason::new("at_once", "Tried at once, and at last done.") };
        match view.history.last().and_then(|attempt| attempt.disposition()) {
            Some(disposition) if disposition.is_success() => finish(ContactStatus::Completed),
            _ if view.history.len() >= 3 => finish(ContactStatus::Failed),
            _ => Next::Reach(PlannedStep { step: 0, channel: Channel::Call }),
        }
    }
}
