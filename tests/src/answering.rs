//! A dialer with callbacks for scenes in which people answer back. What it is told it does; what it is given it writes down.

use campaign_core::dialer::{
    AttemptRef, CallPlan, Callback, CallbackAnswer, CallbackError, CallbackRequest, CallbackResponse, Callbacks, Capabilities, DialContext,
    DialError, DialRequest, Dialer, FindRequest, Found, InboundCall, News, OutboundMessage, ScriptedDialer, Signal,
};
use campaign_core::id::AttemptId;
use campaign_core::outcome::{Disposition, Outcome};
use campaign_core::phone::PhoneNumber;
use campaign_core::{Engine, Error, Kind, Result, async_trait, wire};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

/// What becomes of a message outside of attempts.
pub enum Sending {
    /// The provider takes it.
    Taken,
    /// It does not come to that.
    Fails(DialError),
    /// Nothing is ever heard.
    Hangs,
}

/// A [`ScriptedDialer`] that people can answer.
pub struct AnsweringDialer {
    scripted: ScriptedDialer,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sendings: VecDeque<Sending>,
    sent: Vec<OutboundMessage>,
}

impl AnsweringDialer {
    /// One that does in campaigns what `scripted` says, and sends whatever it is given.
    pub fn new(scripted: ScriptedDialer) -> Arc<Self> {
        Arc::new(Self { scripted, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What it does in campaigns.
    pub fn scripted(&self) -> &ScriptedDialer {
        &self.scripted
    }

    /// What becomes of the next messages.
    pub fn next(&self, sendings: impl IntoIterator<Item = Sending>) {
        self.state().sendings.extend(sendings);
    }

    /// Every message it was given, in order, whatever became of it.
    pub fn sent(&self) -> Vec<OutboundMessage> {
        self.state().sent.clone()
    }

    /// Their texts.
    pub fn texts(&self) -> Vec<String> {
        self.sent().into_iter().map(|message| message.text).collect()
    }
}

/// A callback as this dialer reads it.
pub fn callback(body: &Value) -> CallbackRequest {
    CallbackRequest { method: "POST".to_owned(), url: "/answering".to_owned(), headers: Vec::new(), body: body.to_string().into_bytes() }
}

/// A text message from a person to a number of ours.
pub fn sms(id: &str, from: &PhoneNumber, to: &str, text: &str) -> Value {
    json!({ "message": { "id": id, "channel": "sms", "phone_number": from, "our_number": to, "text": text } })
}

/// Hands a callback in; it must be taken.
pub async fn hand_in(engine: &Engine, body: &Value) -> CallbackResponse {
    let response = engine.callback(callback(body)).await;
    assert_eq!(response.status, 200, "the callback was not taken");
    response
}

#[async_trait]
impl Dialer for AnsweringDialer {
    fn capabilities(&self) -> Capabilities {
        self.scripted.capabilities()
    }

    async fn dial(&self, request: DialRequest, context: DialContext) -> Result<Outcome, DialError> {
        self.scripted.dial(request, context).await
    }

    async fn find(&self, request: FindRequest) -> Result<Found> {
        self.scripted.find(request).await
    }

    fn callbacks(&self) -> Option<&dyn Callbacks> {
        Some(self)
    }
}

#[async_trait]
impl Callbacks for AnsweringDialer {
    fn serves(&self, path: &str) -> bool {
        path == "/answering"
    }

    fn read(&self, request: &CallbackRequest, _: Timestamp) -> Result<Callback, CallbackError> {
        let malformed = |message: &str| CallbackError::Malformed(Error::new(Kind::Invalid, message));
        let body: Value = serde_json::from_slice(&request.body).map_err(|_| malformed("no JSON"))?;
        let ready = CallbackAnswer::Ready(CallbackResponse::status(200));
        if let Some(message) = body["message"].as_object() {
            let message = wire::inbound_message(message.clone()).map_err(CallbackError::Malformed)?;
            return Ok(Callback { signals: vec![Signal::Message(message)], answer: ready });
        }
        if let Some(attempt) = body["opted_out"].as_i64() {
            let news = News { provider_ref: None, body: body.clone() };
            let signal = Signal::Attempt { attempt: AttemptRef::Id(AttemptId(attempt)), news };
            return Ok(Callback { signals: vec![signal], answer: ready });
        }
        let from = body["from"].as_str().and_then(PhoneNumber::from_e164);
        let to = body["to"].as_str().ok_or_else(|| malformed("nobody is called"))?;
        let call = InboundCall { provider_ref: "in-1".to_owned(), from, to: Arc::from(to), data: Default::default() };
        Ok(Callback { signals: Vec::new(), answer: CallbackAnswer::Call(call) })
    }

    fn apply(&self, outcome: Option<&Outcome>, _: &News) -> Option<Outcome> {
        outcome.map(|outcome| Outcome { disposition: Disposition::OptedOut, ..outcome.clone() })
    }

    fn answer_call(&self, _: &InboundCall, plan: &CallPlan) -> CallbackResponse {
        CallbackResponse::json(&match plan {
            CallPlan::Assistant { attempt, welcome, .. } => json!({ "assistant": attempt, "welcome": welcome }),
            CallPlan::Forward(number) => json!({ "forward": number }),
            CallPlan::Say(text) => json!({ "say": text }),
        })
    }

    async fn send(&self, message: OutboundMessage) -> Result<String, DialError> {
        let (sending, number) = {
            let mut state = self.state();
            state.sent.push(message);
            (state.sendings.pop_front().unwrap_or(Sending::Taken), state.sent.len())
        };
        match sending {
            Sending::Taken => Ok(format!("out-{number}")),
            Sending::Fails(error) => Err(error),
            Sending::Hangs => std::future::pending().await,
        }
    }
}
