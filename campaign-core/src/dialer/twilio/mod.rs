//! Twilio: voice calls, SMS and WhatsApp.
//!
//! | file | what is in it |
//! |---|---|
//! | `config`, `options` | the settings of an account, and what a campaign sets in its `dialer_options` |
//! | `api` | the few requests of the REST API |
//! | `errors` | the one table of what errors mean |
//! | `facts` | what is known about a call or message, put together whatever the order |
//! | `script`, `twiml` | what is said on a call |
//! | `voice`, `message` | one call, one message, from hand-off to outcome |
//! | `find` | what became of an attempt in doubt |
//! | `callback`, `signature` | what Twilio tells by itself |

mod api;
mod callback;
mod config;
mod errors;
mod facts;
mod find;
mod message;
mod options;
mod script;
mod signature;
mod twiml;
mod voice;

pub use config::TwilioConfig;
pub use errors::{ErrorMatch, ErrorRow, Meaning};

use super::{Callbacks, Capabilities, DialContext, DialError, DialRequest, Dialer, FindRequest, Found, Idempotency};
use crate::error::{Error, Result};
use crate::id::AttemptId;
use crate::outcome::{Channel, Outcome};
use crate::phone::PhoneNumber;
use api::Api;
use async_trait::async_trait;
use config::is_sid;
use std::time::Duration;

/// Places calls and sends SMS and WhatsApp messages with an account at Twilio.
///
/// `docs/providers.md` says what it is set to, what the errors mean, and which callbacks it takes.
///
/// ```
/// use campaign_core::dialer::twilio::{TwilioConfig, TwilioDialer};
///
/// let config = TwilioConfig::new("AC0123456789abcdef0123456789abcdef", "the auth token")
///     .from_number("+12025550100")
///     .public_base_url("https://calls.example.org");
/// let dialer = TwilioDialer::new(config)?;
/// # let _ = dialer;
/// # Ok::<(), campaign_core::Error>(())
/// ```
pub struct TwilioDialer {
    config: TwilioConfig,
    api: Api,
}

impl std::fmt::Debug for TwilioDialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TwilioDialer").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Who calls or writes.
enum Sender {
    /// A number, a short code, a sender name, or a WhatsApp sender with its prefix.
    Number(String),
    /// A messaging service, which picks one.
    Service(String),
}

impl TwilioDialer {
    /// What Twilio's errors mean, in the order in which rows are tried.
    pub const ERRORS: &'static [ErrorRow] = errors::ERRORS;

    /// With these settings. Nothing is sent.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] with the field that is wrong.
    pub fn new(config: TwilioConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self { api: Api::new(&config)?, config })
    }

    /// Whether callbacks are set up.
    fn has_callbacks(&self) -> bool {
        self.config.public_base_url.is_some()
    }

    /// The URL of a callback; `None` when there are none.
    fn callback_url(&self, name: &str, query: Option<(&str, AttemptId)>) -> Option<String> {
        let base = self.config.public_base_url.as_deref()?.trim_end_matches('/');
        let query = query.map(|(key, attempt)| format!("?{key}={attempt}")).unwrap_or_default();
        Some(format!("{base}{}{name}{query}", self.config.callback_path))
    }

    /// The WebSocket of the assistant.
    fn relay_url(&self) -> Option<String> {
        if let Some(url) = &self.config.relay_url {
            return Some(url.clone());
        }
        // `https` becomes `wss`, `http` becomes `ws`.
        self.callback_url("relay", None).and_then(|url| url.strip_prefix("http").map(|rest| format!("ws{rest}")))
    }

    fn sender(&self, channel: Channel, from: Option<&str>) -> Result<Sender> {
        let config = &self.config;
        let own = |own: &Option<String>| own.as_deref().filter(|own| !own.is_empty()).map(str::to_owned);
        let service = own(&config.messaging_service_sid);
        let chosen = from.map(str::to_owned).or_else(|| match channel {
            Channel::Call => own(&config.from_number),
            Channel::Sms => service.or_else(|| own(&config.from_number)),
            Channel::WhatsApp => own(&config.whatsapp_from).or(service),
        });
        match (channel, chosen) {
            (Channel::Sms | Channel::WhatsApp, Some(sid)) if is_sid(&sid, "MG") => Ok(Sender::Service(sid)),
            (Channel::WhatsApp, Some(number)) if !number.starts_with(WHATSAPP) => Ok(Sender::Number(format!("{WHATSAPP}{number}"))),
            (_, Some(number)) => Ok(Sender::Number(number)),
            (Channel::WhatsApp, None) => {
                Err(Error::invalid("whatsapp_from", "a WhatsApp sender is needed; set it, or caller ids of the campaign"))
            }
            (_, None) => {
                Err(Error::invalid("from_number", "a number to call or write from is needed; set it, or caller ids of the campaign"))
            }
        }
    }
}

/// What stands before numbers on WhatsApp.
const WHATSAPP: &str = "whatsapp:";

/// A person's address on a channel.
fn address(channel: Channel, person: &PhoneNumber) -> String {
    match channel {
        Channel::Call | Channel::Sms => person.as_str().to_owned(),
        Channel::WhatsApp => format!("{WHATSAPP}{}", person.as_str()),
    }
}

/// What must hold right before a hand-off.
fn may_hand_over(request: &DialRequest, context: &DialContext) -> Result<(), DialError> {
    if context.is_cancelled() || context.now() > request.not_after {
        // Not placed and nobody's fault: it goes back as it was.
        return Err(DialError::Throttled { retry_after: Duration::ZERO });
    }
    Ok(())
}

#[async_trait]
impl Dialer for TwilioDialer {
    fn capabilities(&self) -> Capabilities {
        let config = &self.config;
        Capabilities {
            channels: Channel::ALL.to_vec(),
            idempotency: if self.has_callbacks() { Idempotency::CallbackRef } else { Idempotency::LookupOnly },
            lookup_lag: config.lookup_lag,
            max_request_time: config.request_timeout,
            account: Some(format!("twilio:{}", config.account_sid).into()),
            calls_per_second: Some(config.calls_per_second),
            max_concurrent: config.max_concurrent,
            cancel: true,
            machine_detection: true,
        }
    }

    async fn dial(&self, request: DialRequest, context: DialContext) -> Result<Outcome, DialError> {
        match request.channel {
            Channel::Call => self.call(&request, &context).await,
            Channel::Sms | Channel::WhatsApp => self.write(&request, &context).await,
        }
    }

    async fn find(&self, request: FindRequest) -> Result<Found> {
        self.look_up(&request).await
    }

    fn callbacks(&self) -> Option<&dyn Callbacks> {
        self.has_callbacks().then_some(self as &dyn Callbacks)
    }
}
