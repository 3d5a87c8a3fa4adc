//! The outside world: who places calls and sends messages.
//!
//! [`Dialer`] is what a provider implements; `docs/write-a-dialer.md` walks through one and [`crate::testkit`] proves it.
//! [`SimulatedDialer`] is a seeded carrier, [`ScriptedDialer`] does what a test tells it, [`RoutedDialer`] gives each channel a dialer.
//! Providers have rooms of their own, each behind a feature.

mod callback;
#[cfg(feature = "elevenlabs")]
pub mod elevenlabs;
mod routed;
mod scripted;
mod simulated;
#[cfg(feature = "twilio")]
pub mod twilio;
#[cfg(feature = "http")]
pub mod webhook;

pub use callback::{
    AttemptRef, CallPlan, Callback, CallbackAnswer, CallbackError, CallbackRequest, CallbackResponse, Callbacks, InboundCall,
    InboundMessage, News, OutboundMessage, SendsOnly, Signal,
};
pub use routed::RoutedDialer;
pub use scripted::{Recorded, Script, ScriptedDialer};
pub use simulated::{CallMix, CarrierProfile, CarrierStats, HandOff, MessageMix, SimulatedDialer, Span, TalkTime};

use crate::campaign::VoicemailSettings;
use crate::contact::Variables;
use crate::error::{Error, Result};
use crate::id::{AttemptId, CampaignId, ContactId};
use crate::outcome::{Channel, Outcome};
use crate::phone::PhoneNumber;
use crate::redact::debug_without;
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What protects a provider from being asked twice for the same attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotency {
    /// The provider accepts the attempt's key and ignores a repetition for this long, so a dialer may send a request again whose answer
    /// was lost. The engine itself never does: an attempt in doubt is asked for with `find`, as with the others.
    Native {
        /// How long the provider remembers a key.
        key_ttl: Duration,
    },
    /// The provider hands the attempt's key back in its callbacks, and can be asked.
    CallbackRef,
    /// The provider can be asked by number and time.
    LookupOnly,
    /// Nothing: an attempt in doubt stays in doubt and is never tried again by itself.
    None,
}

/// What a provider gives. The engine's recovery and pacing follow it.
#[derive(Debug, Clone)]
pub struct Capabilities {
    /// The channels it serves.
    pub channels: Vec<Channel>,
    /// Its protection against repetition.
    pub idempotency: Idempotency,
    /// How long after a hand-off `find` may not see it yet.
    pub lookup_lag: Duration,
    /// How long a request that hands over may take, at the longest.
    pub max_request_time: Duration,
    /// The name of the account its limits belong to.
    pub account: Option<Arc<str>>,
    /// Starts per second of that account.
    pub calls_per_second: Option<u32>,
    /// Attempts at once of that account.
    pub max_concurrent: Option<u32>,
    /// Whether a running call can be hung up.
    pub cancel: bool,
    /// Whether it detects answering machines.
    pub machine_detection: bool,
}

impl Default for Capabilities {
    /// Every channel, look-up without lag, requests up to 30 s, no limits.
    fn default() -> Self {
        Self {
            channels: Channel::ALL.to_vec(),
            idempotency: Idempotency::LookupOnly,
            lookup_lag: Duration::ZERO,
            max_request_time: Duration::from_secs(30),
            account: None,
            calls_per_second: None,
            max_concurrent: None,
            cancel: true,
            machine_detection: true,
        }
    }
}

/// One attempt to be carried out. Everything a provider needs; nothing must be looked up.
#[derive(Clone)]
pub struct DialRequest {
    /// The attempt.
    pub attempt_id: AttemptId,
    /// The idempotency key: unique over all stores, the same when the same attempt is handed over again.
    pub key: Arc<str>,
    /// The campaign.
    pub campaign_id: CampaignId,
    /// Its name.
    pub campaign_name: Arc<str>,
    /// The contact.
    pub contact_id: ContactId,
    /// Which attempt at this contact it is, from 1.
    pub attempt_number: u32,
    /// The channel.
    pub channel: Channel,
    /// Whom to reach.
    pub to: PhoneNumber,
    /// The caller id or sender reserved for it.
    pub from: Option<Arc<str>>,
    /// Name, if known.
    pub contact_name: Option<Arc<str>>,
    /// The rendered templates by name. Calls get all of them; messages have their text under `message`.
    pub texts: BTreeMap<Arc<str>, String>,
    /// The contact's variables.
    pub variables: Arc<crate::contact::NewContact>,
    /// The assistant that talks.
    pub assistant_id: Option<i64>,
    /// Voicemail detection; the message is rendered.
    pub voicemail: Arc<VoicemailSettings>,
    /// How long to let it ring.
    pub ring_timeout: Duration,
    /// How long a call may last.
    pub max_duration: Duration,
    /// The hand-off must not happen later than this.
    pub not_after: Timestamp,
    /// A message must not leave the provider later than this: the end of the contact's calling window. Goes into the provider's validity period.
    pub valid_until: Option<Timestamp>,
    /// The local hour at the contact, 0 to 23, when the hand-off happens.
    pub local_hour: u8,
    /// For WhatsApp: when the person last wrote to us; free text is allowed for 24 hours from then.
    pub last_inbound_at: Option<Timestamp>,
    /// Options of the campaign for this dialer.
    pub options: Arc<Variables>,
}

debug_without!(DialRequest {
    attempt_id, key, campaign_id, campaign_name, contact_id, attempt_number, channel, to, assistant_id, ring_timeout, max_duration,
    not_after, valid_until, local_hour, last_inbound_at
} hides { from, contact_name, texts, variables, voicemail, options });

/// Why a hand-off did not lead to an outcome. Two kinds that must not be confused: certainly not placed, or unknown.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// Certainly not placed: too fast, or out of capacity. Consumes no attempt; all hand-offs of the account wait until then.
    #[error("throttled by the provider")]
    Throttled {
        /// How long to wait.
        retry_after: Duration,
    },
    /// Certainly not placed, and may work later. Consumes an attempt.
    #[error("not placed: {0}")]
    Transient(Error),
    /// Certainly not placed, and never will be for this contact. Ends the contact.
    #[error("not placed, for good: {0}")]
    Permanent(Error),
    /// Certainly not placed: the provider knows that the person opted out. Ends the contact and suppresses the number.
    #[error("the provider knows that the person opted out")]
    Suppressed,
    /// Nobody knows whether it was placed: the answer was lost. The engine asks with `find` before anything else happens.
    #[error("in doubt: {0}")]
    InDoubt(Error),
}

/// What a provider knows about an attempt in doubt.
#[derive(Debug, Clone)]
pub enum Found {
    /// It happened and has ended like this.
    Ended(Outcome),
    /// It happened and still goes on.
    Running {
        /// The provider's reference.
        provider_ref: String,
    },
    /// It certainly never happened.
    NeverHappened,
    /// The provider cannot say.
    Unknown,
}

/// An attempt to be asked about.
#[derive(Clone)]
pub struct FindRequest {
    /// The attempt.
    pub attempt_id: AttemptId,
    /// Its idempotency key.
    pub key: Arc<str>,
    /// Its channel.
    pub channel: Channel,
    /// Whom it went to.
    pub to: PhoneNumber,
    /// Where it came from.
    pub from: Option<Arc<str>>,
    /// When the intent was written; a hand-off cannot be older.
    pub since: Timestamp,
    /// When the question is asked, by the engine's clock; a dialer has no other.
    pub now: Timestamp,
    /// The provider's reference, when it is known.
    pub provider_ref: Option<String>,
    /// References that belong to other attempts: what is found by number and time must be none of these.
    pub others: Vec<String>,
}

debug_without!(FindRequest { attempt_id, key, channel, to, since, now, provider_ref, others } hides { from });

/// Places calls and sends messages.
///
/// # Contract
///
/// **Span.** `dial` returns when the call or message has ended, not when it was accepted. Waiting costs a task only.
///
/// **One hand-off.** `dial` hands over at most once per call, and not after `request.not_after`. It calls
/// [`DialContext::placed`] as soon as the provider's reference is known, before anything else can fail.
///
/// **Errors.** [`DialError::Transient`], [`DialError::Permanent`], [`DialError::Throttled`] and [`DialError::Suppressed`] mean
/// *certainly not placed*. Whenever that is not certain (a time-out after the first byte, a broken connection, an answer that
/// cannot be read), it is [`DialError::InDoubt`]. An outcome is data; busy is not an error.
///
/// **Cancellation.** When [`DialContext::cancelled`] resolves, the dialer hangs up if it can and returns. When the future is
/// dropped (abort, crash), the attempt is in doubt.
///
/// **Clock.** Waits go through [`DialContext::sleep`], so that simulations run on virtual time.
///
/// **Conformance.** `campaign_core::testkit::dialer` (feature `testkit`).
#[async_trait]
pub trait Dialer: Send + Sync + 'static {
    /// What this provider gives. Asked once, when the engine is built.
    fn capabilities(&self) -> Capabilities;

    /// Carries out one attempt, to its end.
    ///
    /// # Errors
    /// See the contract above.
    async fn dial(&self, request: DialRequest, context: DialContext) -> Result<Outcome, DialError>;

    /// Says what became of an attempt in doubt. Asked only after `lookup_lag` has passed since the last moment it can have been handed over.
    ///
    /// # Errors
    /// An error means "ask again later".
    async fn find(&self, request: FindRequest) -> Result<Found>;

    /// What the provider tells by itself. `None`: it has no callbacks, everything is learned by asking.
    fn callbacks(&self) -> Option<&dyn Callbacks> {
        None
    }
}

/// What the engine gives a dialer for one attempt. Cheap to clone.
#[derive(Clone)]
pub struct DialContext(Arc<dyn DialHost>);

impl DialContext {
    /// From a host; the engine and the testkit make these.
    pub fn new(host: Arc<dyn DialHost>) -> Self {
        Self(host)
    }

    /// Now, by the engine's clock.
    pub fn now(&self) -> Timestamp {
        self.0.now()
    }

    /// Waits, by the engine's clock.
    pub async fn sleep(&self, duration: Duration) {
        let until = self.now().saturating_add(SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX);
        self.0.sleep_until(until).await;
    }

    /// Makes the provider's reference durable. Returns when it is.
    ///
    /// # Errors
    /// When the store does not take it; the call goes on nevertheless.
    pub async fn placed(&self, provider_ref: impl Into<String>) -> Result<()> {
        self.0.placed(provider_ref.into()).await
    }

    /// Tells watchers how far the call is, for example `ringing`. Not durable.
    pub fn progress(&self, stage: &str) {
        self.0.progress(stage);
    }

    /// The next news of this attempt from the provider's callbacks, whichever node they reached, from before the hand-off on. Never
    /// resolves when there is none. Only a hint that saves asking: callbacks get lost, come twice and out of order.
    pub async fn news(&self) -> News {
        self.0.news().await
    }

    /// Resolves when the attempt is to be given up.
    pub async fn cancelled(&self) {
        self.0.cancelled().await;
    }

    /// Whether the attempt is to be given up.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}

/// What stands behind a [`DialContext`].
pub trait DialHost: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
    /// Waits until then.
    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()>;
    /// Makes the reference durable.
    fn placed(&self, provider_ref: String) -> BoxFuture<'static, Result<()>>;
    /// Tells watchers.
    fn progress(&self, stage: &str);
    /// The next news from callbacks; pending for ever where there are none.
    fn news(&self) -> BoxFuture<'static, News> {
        Box::pin(std::future::pending())
    }
    /// Resolves when the attempt is to be given up.
    fn cancelled(&self) -> BoxFuture<'static, ()>;
    /// Whether the attempt is to be given up.
    fn is_cancelled(&self) -> bool;
}
