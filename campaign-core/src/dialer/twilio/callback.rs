//! What Twilio tells by itself: progress, machines, receipts, messages and calls from people.

use super::facts;
use super::options::Options;
use super::signature::{self, Signed};
use super::twiml::Twiml;
use super::{TwilioDialer, WHATSAPP};
use crate::conversation::Keyword;
use crate::dialer::{
    AttemptRef, CallPlan, Callback, CallbackAnswer, CallbackError, CallbackRequest, CallbackResponse, Callbacks, DialError, InboundCall,
    InboundMessage, News, OutboundMessage, Signal,
};
use crate::error::{Error, Kind};
use crate::id::AttemptId;
use crate::outcome::{Channel, Outcome};
use crate::phone::PhoneNumber;
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use url::Url;

/// The names below [`super::TwilioConfig::callback_path`], and what they are about. Some have other names beside them that accounts are often
/// set to already.
const NAMES: &[(&str, About)] = &[
    ("status", About::Call),
    ("amd", About::Call),
    ("amd-status", About::Call),
    ("recording", About::Call),
    ("message", About::Message),
    ("inbound", About::Inbound),
    ("sms", About::Inbound),
    ("whatsapp", About::Inbound),
    ("voice", About::Voice),
    ("incoming", About::Voice),
    ("relay-end", About::RelayEnd),
];

/// Where accounts are often set to already: served beside the public base URL, on the same host.
const BESIDE: &str = "/webhooks/twilio/";

#[derive(Clone, Copy)]
enum About {
    Call,
    Message,
    Inbound,
    Voice,
    RelayEnd,
}

/// Whose numbers and whereabouts are in a callback; news do not need them.
const PERSONAL: &[&str] = &["From", "To", "Caller", "Called", "ForwardedFrom", "CallerName", "Body"];
const WHEREABOUTS: &[&str] = &["City", "State", "Zip", "Country"];

impl TwilioDialer {
    /// Whether a request comes from Twilio, for paths that are not callbacks: the handshake of a WebSocket that `<ConversationRelay>`
    /// opens is signed as well.
    pub fn is_signed(&self, request: &CallbackRequest) -> bool {
        let mut urls = self.urls(request);
        let is_socket = request.header("upgrade").is_some_and(|to| to.eq_ignore_ascii_case("websocket"));
        if is_socket && !urls.is_empty() {
            let sockets: Vec<String> = urls.iter().filter_map(|url| Some(format!("ws{}", url.strip_prefix("http")?))).collect();
            urls.extend(sockets);
            urls.extend(self.config.relay_url.clone().filter(|relay| relay.ends_with(request.path_and_query())));
        }
        urls.iter().any(|url| signature::check(&self.config, url, request).is_some())
    }

    /// The URLs that Twilio may have called: below the public base URL, or beside it on the same host. None without a public base URL.
    fn urls(&self, request: &CallbackRequest) -> Vec<String> {
        let beside = self.origin().map(|origin| format!("{origin}{}", request.path_and_query()));
        self.public_url(request.path_and_query()).into_iter().chain(beside).collect()
    }

    /// The public base URL without its path.
    fn origin(&self) -> Option<&str> {
        let base = self.config.public_base_url.as_deref()?.trim_end_matches('/');
        base.strip_suffix(self.base_path().as_str())
    }

    /// The URL that Twilio called, whatever a proxy made of it.
    fn public_url(&self, path_and_query: &str) -> Option<String> {
        let base = self.config.public_base_url.as_deref()?.trim_end_matches('/');
        let prefix = self.base_path();
        let origin = base.strip_suffix(prefix.as_str()).unwrap_or(base);
        // A proxy may pass its own part of the path on, or take it away.
        let kept = !prefix.is_empty() && path_and_query.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('/'));
        Some(format!("{}{path_and_query}", if kept { origin } else { base }))
    }

    /// The path of the public base URL, without the slash at its end.
    fn base_path(&self) -> String {
        let parsed = self.config.public_base_url.as_deref().and_then(|base| Url::parse(base).ok());
        parsed.map(|url| url.path().trim_end_matches('/').to_owned()).unwrap_or_default()
    }

    /// What a path is about.
    fn about(&self, path: &str) -> Option<About> {
        let inside = path.strip_prefix(self.base_path().as_str()).and_then(|rest| rest.strip_prefix(self.config.callback_path.as_str()));
        let name = inside.or_else(|| path.strip_prefix(self.config.callback_path.as_str())).or_else(|| path.strip_prefix(BESIDE))?;
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, about)| *about)
    }
}

#[async_trait]
impl Callbacks for TwilioDialer {
    fn serves(&self, path: &str) -> bool {
        self.about(path).is_some()
    }

    fn read(&self, request: &CallbackRequest, _now: Timestamp) -> Result<Callback, CallbackError> {
        let about = self.about(request.path()).ok_or(CallbackError::Unknown)?;
        let urls = self.urls(request);
        if urls.is_empty() {
            return Err(CallbackError::Unknown);
        }
        let signed = urls.iter().find_map(|url| signature::check(&self.config, url, request)).ok_or(CallbackError::Unsigned)?;
        let fields = Fields::of(&signed);
        let silence = CallbackAnswer::Ready(CallbackResponse::xml(Twiml::new().finish()));
        Ok(match about {
            // Some accounts have one address for news of both.
            About::Call if fields.text("CallSid").is_none() && fields.text("MessageSid").is_some() => {
                Callback { signals: fields.news("message", "MessageSid")?, answer: CallbackAnswer::Ready(CallbackResponse::status(204)) }
            }
            About::Call => {
                Callback { signals: fields.news("call", "CallSid")?, answer: CallbackAnswer::Ready(CallbackResponse::status(204)) }
            }
            About::Message => {
                Callback { signals: fields.news("message", "MessageSid")?, answer: CallbackAnswer::Ready(CallbackResponse::status(204)) }
            }
            // An empty document: the answer, if there is one, is a message of its own.
            About::Inbound => Callback { signals: fields.message()?.into_iter().map(Signal::Message).collect(), answer: silence },
            About::Voice => Callback { signals: Vec::new(), answer: CallbackAnswer::Call(fields.call()?) },
            About::RelayEnd => {
                // A call that was returned is none of the attempt's own.
                let signals = if fields.attempt.is_some() { fields.news("call", "CallSid")? } else { Vec::new() };
                Callback { signals, answer: CallbackAnswer::Ready(CallbackResponse::xml(self.after_relay(&fields))) }
            }
        })
    }

    fn apply(&self, outcome: Option<&Outcome>, news: &News) -> Option<Outcome> {
        facts::apply(outcome, news)
    }

    fn answer_call(&self, call: &InboundCall, plan: &CallPlan) -> CallbackResponse {
        let twiml = match plan {
            CallPlan::Assistant { attempt, welcome, options } => {
                let end = self.callback_url("relay-end", Some(("returned", *attempt)));
                let options = Options::read(options).unwrap_or_else(|error| {
                    tracing::warn!(%error, "a call is answered without the options of its campaign");
                    Options::default()
                });
                self.relay(&options, welcome, *attempt, end, &[("direction", "inbound")]).unwrap_or_else(|error| {
                    tracing::error!(%error, "a call that was returned cannot be handed to the assistant");
                    self.say_and_close(welcome)
                })
            }
            CallPlan::Forward(number) => self.forward(number, Some(&call.to)),
            CallPlan::Say(text) => self.say_and_close(text),
        };
        CallbackResponse::xml(twiml)
    }

    fn is_signed(&self, request: &CallbackRequest) -> bool {
        Self::is_signed(self, request)
    }

    async fn send(&self, message: OutboundMessage) -> Result<String, DialError> {
        self.send_message(&message).await
    }
}

impl TwilioDialer {
    /// What follows on the line when the assistant has ended the conversation: its hand-off data may ask to put the call through,
    /// `{"transfer": "+12025550123"}`, or to say something, `{"say": "..."}`.
    fn after_relay(&self, fields: &Fields) -> String {
        let asked: Value = fields.text("HandoffData").and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default();
        if let Some(number) = asked["transfer"].as_str().and_then(PhoneNumber::from_e164) {
            let ours = if fields.text("Direction") == Some("inbound") { "To" } else { "From" };
            return self.forward(&number, fields.text(ours));
        }
        if let Some(text) = asked["say"].as_str().filter(|text| !text.trim().is_empty()) {
            return self.say_and_close(text);
        }
        let mut twiml = Twiml::new();
        twiml.empty("Hangup", &[]);
        twiml.finish()
    }
}

/// The fields of a callback, each once.
struct Fields {
    map: Map<String, Value>,
    attempt: Option<AttemptId>,
}

impl Fields {
    fn of(signed: &Signed) -> Self {
        let mut map = Map::new();
        for (name, value) in &signed.fields {
            map.entry(name.clone()).or_insert_with(|| json!(value));
        }
        let attempt = signed.query.iter().find(|(name, _)| name == "attempt").and_then(|(_, id)| id.parse().ok()).map(AttemptId);
        Self { map, attempt }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.map.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    fn needed(&self, name: &'static str) -> Result<&str, CallbackError> {
        self.text(name).ok_or_else(|| CallbackError::Malformed(Error::new(Kind::Invalid, "a field is missing").with("field", name)))
    }

    /// News of an attempt; by its id, or for calls and messages that were placed without one by their sid.
    fn news(&self, about: &str, sid: &'static str) -> Result<Vec<Signal>, CallbackError> {
        let sid = self.needed(sid)?.to_owned();
        let attempt = self.attempt.map_or_else(|| AttemptRef::Provider(sid.clone()), AttemptRef::Id);
        let fields: Map<String, Value> = self.kept(PERSONAL).filter(|(name, _)| !is_whereabouts(name)).collect();
        let news = News { provider_ref: Some(sid), body: json!({ "about": about, "fields": fields }) };
        Ok(vec![Signal::Attempt { attempt, news }])
    }

    /// A message; `None` when whoever wrote it has no number, as short codes and sender names have none.
    fn message(&self) -> Result<Option<InboundMessage>, CallbackError> {
        let sid = self.text("MessageSid").map_or_else(|| self.needed("SmsSid"), Ok)?.to_owned();
        let (from, to) = (self.needed("From")?, self.needed("To")?);
        let channel = if from.starts_with(WHATSAPP) { Channel::WhatsApp } else { Channel::Sms };
        let Some(from) = PhoneNumber::from_e164(plain(from)) else {
            tracing::debug!("a message came from something that is no number");
            return Ok(None);
        };
        let keyword = match self.text("OptOutType") {
            Some("STOP") => Some(Keyword::OptOut),
            Some("START") => Some(Keyword::OptIn),
            Some("HELP") => Some(Keyword::Help),
            _ => None,
        };
        let count = self.text("NumMedia").and_then(|count| count.parse().ok()).unwrap_or(0).min(10);
        let media = (0..count).filter_map(|index: u32| self.text(&format!("MediaUrl{index}")).map(str::to_owned)).collect();
        Ok(Some(InboundMessage {
            provider_ref: sid,
            channel,
            from,
            to: Arc::from(plain(to)),
            text: self.text("Body").unwrap_or_default().to_owned(),
            media,
            keyword,
            // With advanced opt-out the messaging service answers the words itself.
            confirmed_by_carrier: keyword.is_some(),
            data: self.kept(&["Body", "From", "To"]).collect(),
        }))
    }

    fn call(&self) -> Result<InboundCall, CallbackError> {
        Ok(InboundCall {
            provider_ref: self.needed("CallSid")?.to_owned(),
            from: self.text("From").and_then(PhoneNumber::from_e164),
            to: Arc::from(plain(self.needed("To")?)),
            data: self.kept(&["From", "To"]).collect(),
        })
    }

    /// All fields but these.
    fn kept<'a>(&'a self, without: &'a [&str]) -> impl Iterator<Item = (String, Value)> + use<'a> {
        self.map.iter().filter(|(name, _)| !without.contains(&name.as_str())).map(|(name, value)| (name.clone(), value.clone()))
    }
}

/// For example `CallerCity` and `ToZip`.
fn is_whereabouts(name: &str) -> bool {
    PERSONAL.iter().any(|person| name.strip_prefix(person).is_some_and(|rest| WHEREABOUTS.contains(&rest)))
}

/// A number without the channel before it.
fn plain(address: &str) -> &str {
    address.strip_prefix(WHATSAPP).unwrap_or(address)
}
