//! What providers tell us by themselves: callbacks about attempts, messages and calls from people.
//!
//! Framework-free. A web framework hands a [`CallbackRequest`] to [`crate::Engine::callback`] and sends the [`CallbackResponse`] back; that
//! is all it has to do. The dialer only translates ([`Callbacks::read`]); what follows is the engine's business, on whichever
//! node the callback arrived.

use super::{DialError, Result};
use crate::contact::Variables;
use crate::conversation::Keyword;
use crate::id::AttemptId;
use crate::outcome::{Channel, Outcome};
use crate::phone::PhoneNumber;
use crate::redact::debug_without;
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;
use std::sync::Arc;

/// An HTTP request of a provider.
#[derive(Clone, Default)]
pub struct CallbackRequest {
    /// The method, for example `POST`.
    pub method: String,
    /// The URL as it came in: whole, or path and query only. A dialer that checks signatures over the URL puts its own public base
    /// URL before path and query, because behind a proxy the host that came in is not the one that was signed.
    pub url: String,
    /// The headers; names in any case.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte.
    pub body: Vec<u8>,
}

debug_without!(CallbackRequest { method } hides { url, headers, body });

impl CallbackRequest {
    /// The first header of this name, in whatever case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Path and query: what follows the host.
    pub fn path_and_query(&self) -> &str {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest.find('/').map_or("/", |slash| &rest[slash..]));
        rest.split('#').next().unwrap_or(rest)
    }

    /// The path alone.
    pub fn path(&self) -> &str {
        self.path_and_query().split('?').next().unwrap_or_default()
    }
}

/// What the provider gets back.
#[derive(Clone, PartialEq, Eq)]
pub struct CallbackResponse {
    /// The status.
    pub status: u16,
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

debug_without!(CallbackResponse { status, content_type } hides { body });

impl CallbackResponse {
    /// An answer without a body.
    pub fn status(status: u16) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: Vec::new() }
    }

    /// An answer of success with JSON.
    pub fn json(value: &Value) -> Self {
        Self { status: 200, content_type: "application/json", body: value.to_string().into_bytes() }
    }

    /// An answer of success with XML, which instructs telephone providers.
    pub fn xml(text: impl Into<String>) -> Self {
        Self { status: 200, content_type: "text/xml; charset=utf-8", body: text.into().into_bytes() }
    }
}

/// A callback, read.
#[derive(Debug, Clone)]
pub struct Callback {
    /// What it says, in order.
    pub signals: Vec<Signal>,
    /// What the provider gets back once the engine has taken the signals in.
    pub answer: CallbackAnswer,
}

/// What the provider gets back.
#[derive(Debug, Clone)]
pub enum CallbackAnswer {
    /// This.
    Ready(CallbackResponse),
    /// Instructions for a call that has come in; the engine decides, and [`Callbacks::answer_call`] puts it into the provider's words.
    Call(InboundCall),
}

/// One thing that a callback says.
#[derive(Debug, Clone)]
pub enum Signal {
    /// News of an attempt.
    Attempt {
        /// Which.
        attempt: AttemptRef,
        /// What.
        news: News,
    },
    /// A person wrote.
    Message(InboundMessage),
}

/// How a callback names an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptRef {
    /// By its id, which the dialer put into the URL or the request.
    Id(AttemptId),
    /// By its idempotency key, where one account of the provider sends the callbacks of several stores, whose ids are not unique.
    Key(String),
    /// By the provider's reference.
    Provider(String),
}

/// News of an attempt, in the dialer's own terms. It may come twice, late, or before what it follows.
#[derive(Clone, PartialEq)]
pub struct News {
    /// The provider's reference, when the callback names it: so a lost answer to the hand-off is healed.
    pub provider_ref: Option<String>,
    /// What the dialer made of the callback; only its own [`super::Dialer::dial`] and [`Callbacks::apply`] read it.
    pub body: Value,
}

debug_without!(News { provider_ref } hides { body });

/// A message from a person.
#[derive(Clone)]
pub struct InboundMessage {
    /// The provider's id of the message; the same message twice is one.
    pub provider_ref: String,
    /// SMS or WhatsApp.
    pub channel: Channel,
    /// Who wrote.
    pub from: PhoneNumber,
    /// Our number or sender.
    pub to: Arc<str>,
    /// The text.
    pub text: String,
    /// Addresses of pictures and the like.
    pub media: Vec<String>,
    /// What the carrier itself took the message for, when it says so; goes before our own reading of the text.
    pub keyword: Option<Keyword>,
    /// Whether the carrier has answered the keyword already, so that a confirmation of ours would be a second one.
    pub confirmed_by_carrier: bool,
    /// Fields the dialer has no place for.
    pub data: Variables,
}

debug_without!(InboundMessage { provider_ref, channel, keyword, confirmed_by_carrier } hides { from, to, text, media, data });

/// A call from a person.
#[derive(Clone)]
pub struct InboundCall {
    /// The provider's reference.
    pub provider_ref: String,
    /// Who calls; `None` when the number is withheld or no number.
    pub from: Option<PhoneNumber>,
    /// The number that was called.
    pub to: Arc<str>,
    /// Fields the dialer has no place for.
    pub data: Variables,
}

debug_without!(InboundCall { provider_ref } hides { from, to, data });

/// What happens to a call that has come in.
#[derive(Clone, PartialEq)]
pub enum CallPlan {
    /// The assistant talks, in the name of the campaign whose call is being returned.
    Assistant {
        /// The attempt that is being returned: names campaign and contact.
        attempt: AttemptId,
        /// The first sentence, rendered.
        welcome: String,
        /// Options of the campaign for the dialer.
        options: Arc<Variables>,
    },
    /// It is put through to this number.
    Forward(PhoneNumber),
    /// This is said, and the line is closed. Empty: the call is refused.
    Say(String),
}

impl std::fmt::Debug for CallPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Assistant { .. } => "Assistant(..)",
            Self::Forward(_) => "Forward(..)",
            Self::Say(_) => "Say(..)",
        })
    }
}

/// A message in a conversation, outside of any attempt: a confirmation, an answer of the assistant.
#[derive(Clone)]
pub struct OutboundMessage {
    /// Unique for this message; the provider is never given the same twice.
    pub key: Arc<str>,
    /// SMS or WhatsApp.
    pub channel: Channel,
    /// Our number or sender: the one that was written to.
    pub from: Arc<str>,
    /// The person.
    pub to: PhoneNumber,
    /// The text.
    pub text: String,
    /// The message must not leave later than this.
    pub valid_until: Option<Timestamp>,
    /// When it is handed over, by the engine's clock; a dialer has no other.
    pub now: Timestamp,
}

debug_without!(OutboundMessage { key, channel, valid_until, now } hides { from, to, text });

/// Why a callback is not taken.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CallbackError {
    /// Its signature is missing or wrong. Answered with 403.
    #[error("the callback is not signed by the provider; check the secret and the public base URL")]
    Unsigned,
    /// It cannot be read. Answered with 400.
    #[error("the callback cannot be read: {0}")]
    Malformed(crate::Error),
    /// Its path is none that this dialer knows. Answered with 404.
    #[error("no dialer takes callbacks at this path")]
    Unknown,
}

/// What a provider tells us by itself, and how it is spoken to outside of attempts.
///
/// # Contract
///
/// **Translation only.** [`Callbacks::read`] checks the signature and says what the callback means. It decides nothing and remembers
/// nothing: the same callback may come again, on another node, or after later ones.
///
/// **Order.** [`Callbacks::apply`] gives the same result in whatever order news comes and however often: states have ranks, and the
/// terminal state wins.
#[async_trait]
pub trait Callbacks: Send + Sync + 'static {
    /// Whether callbacks at this path are this dialer's.
    fn serves(&self, path: &str) -> bool;

    /// Reads a callback. `now` judges timestamps of signatures.
    ///
    /// # Errors
    /// See [`CallbackError`].
    fn read(&self, request: &CallbackRequest, now: Timestamp) -> Result<Callback, CallbackError>;

    /// The outcome of an attempt with this news: of a settled one (`Some`, a receipt or price that comes late), or of one in doubt (`None`;
    /// only terminal news makes an outcome of it). `None` when the news changes nothing.
    fn apply(&self, outcome: Option<&Outcome>, news: &News) -> Option<Outcome>;

    /// Whether a request that is no callback comes from the provider: the handshake of a WebSocket that it opens for the assistant. A provider
    /// that opens none says no.
    fn is_signed(&self, request: &CallbackRequest) -> bool {
        let _ = request;
        false
    }

    /// Puts what the engine decided about a call into the provider's words.
    fn answer_call(&self, call: &InboundCall, plan: &CallPlan) -> CallbackResponse;

    /// Sends a message outside of attempts, once. Returns the provider's reference.
    ///
    /// # Errors
    /// As [`super::Dialer::dial`]; the engine does not repeat what is in doubt.
    async fn send(&self, message: OutboundMessage) -> Result<String, DialError>;
}

/// What a dialer without callbacks of its own offers to conversations: it sends messages outside of attempts, and learns nothing by itself.
pub struct SendsOnly(Box<dyn Fn(OutboundMessage) -> BoxFuture<'static, Result<String, DialError>> + Send + Sync>);

impl SendsOnly {
    /// With the function that sends, once, and gives the provider's reference; see [`Callbacks::send`].
    pub fn new<F>(send: impl Fn(OutboundMessage) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, DialError>> + Send + 'static,
    {
        Self(Box::new(move |message| Box::pin(send(message))))
    }
}

impl std::fmt::Debug for SendsOnly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SendsOnly(..)")
    }
}

#[async_trait]
impl Callbacks for SendsOnly {
    fn serves(&self, _: &str) -> bool {
        false
    }

    fn read(&self, _: &CallbackRequest, _: Timestamp) -> Result<Callback, CallbackError> {
        Err(CallbackError::Unknown)
    }

    fn apply(&self, _: Option<&Outcome>, _: &News) -> Option<Outcome> {
        None
    }

    fn answer_call(&self, _: &InboundCall, _: &CallPlan) -> CallbackResponse {
        CallbackResponse::status(404)
    }

    async fn send(&self, message: OutboundMessage) -> Result<String, DialError> {
        (self.0)(message).await
    }
}
