//! The dialer for Twilio over a simulated Twilio: its contract, what it asks for, what it makes of what comes back, and an engine with it.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "twilio/callbacks.rs"]
mod callbacks;
#[path = "twilio/conformance.rs"]
mod conformance;
#[path = "twilio/dialling.rs"]
mod dialling;
#[path = "twilio/engine.rs"]
mod engine;
#[path = "twilio/errors.rs"]
mod errors;

use campaign_core::dialer::twilio::{TwilioConfig, TwilioDialer};
use campaign_core::dialer::{DialError, DialRequest, Dialer};
use campaign_core::executor::SharedExecutor;
use campaign_core::outcome::{Channel, Outcome};
use campaign_core::phone::PhoneNumber;
use campaign_core::testkit::dialer::{TestHost, sample_request};
use campaign_tests::vendors::twilio::{ACCOUNT, TOKEN, Twilio};
use campaign_tests::vendors::world::{Posted, quick_clock};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// How much faster than the wall's clock it goes here. Calls take seconds, requests take real time.
const SPEED: u32 = 15;

pub(crate) const OURS: &str = "+12025550100";
pub(crate) const WHATSAPP: &str = "+12025550101";

pub(crate) fn config(twilio: &Twilio) -> TwilioConfig {
    TwilioConfig::new(ACCOUNT, TOKEN).api_base(twilio.url()).from_number(OURS).whatsapp_from(WHATSAPP).with(|config| {
        config.poll_interval = Duration::from_millis(500);
        config.callback_patience = Duration::from_secs(20);
        config.lookup_lag = Duration::from_secs(1);
        config.price_wait = Duration::ZERO;
    })
}

/// The number with this index.
pub(crate) fn number(index: i64) -> PhoneNumber {
    PhoneNumber::from_e164(&format!("+1202556{index:04}")).unwrap()
}

/// A simulator, its clock, and what is dialled with.
pub(crate) struct Line {
    pub(crate) clock: SharedExecutor,
    pub(crate) twilio: Twilio,
    pub(crate) dialer: Arc<dyn Dialer>,
    next: AtomicI64,
}

impl Line {
    /// Without callbacks.
    pub(crate) async fn silent(change: impl FnOnce(&mut TwilioConfig)) -> Self {
        let clock: SharedExecutor = Arc::new(quick_clock(SPEED));
        let twilio = Twilio::start(Arc::clone(&clock)).await;
        let dialer = Arc::new(TwilioDialer::new(config(&twilio).with(change)).unwrap());
        Self { clock, twilio, dialer, next: AtomicI64::new(1) }
    }

    /// With callbacks.
    pub(crate) async fn posted(change: impl FnOnce(&mut TwilioConfig)) -> Self {
        let clock: SharedExecutor = Arc::new(quick_clock(SPEED));
        let twilio = Twilio::start(Arc::clone(&clock)).await;
        let config = config(&twilio);
        let dialer = Posted::start(Arc::clone(&clock), &Channel::ALL, |url| {
            Arc::new(TwilioDialer::new(config.public_base_url(url).with(change)).unwrap())
        })
        .await;
        Self { clock, twilio, dialer: Arc::new(dialer), next: AtomicI64::new(1) }
    }

    /// An attempt at a number of its own.
    pub(crate) fn request(&self, channel: Channel) -> DialRequest {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        DialRequest { to: number(id), ..sample_request(id, channel, self.clock.now()) }
    }

    pub(crate) async fn dial(&self, request: DialRequest) -> Result<Outcome, DialError> {
        self.dialer.dial(request, TestHost::new(Arc::clone(&self.clock)).context()).await
    }
}
