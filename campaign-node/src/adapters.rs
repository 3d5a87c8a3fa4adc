//! What a user's objects are to the engine: a dialer, a store, a kind of campaign, a file that is read piece by piece.

use crate::convert::{self, without_values};
use crate::errors;
use crate::runtime::{Bridge, Reply};
use async_trait::async_trait;
use campaign_core::assistant::{Answer, Assistant, Dialogue};
use campaign_core::campaign::{Campaign, CampaignKind, CampaignRecord, CampaignSpec, ContactView, Next};
use campaign_core::contact::{Contact, Owner, PlannedStep};
use campaign_core::dialer::{Callbacks, Capabilities, DialContext, DialError, DialRequest, Dialer, FindRequest, Found, SendsOnly};
use campaign_core::executor::SharedExecutor;
use campaign_core::id::{AttemptId, CampaignId, ContactId, NodeToken};
use campaign_core::outcome::{Attempt, Outcome};
use campaign_core::policy::gates::ContactFacts;
use campaign_core::policy::limits::{Ledger, LimitScope};
use campaign_core::policy::metrics::Counts;
use campaign_core::store::*;
use campaign_core::template::{Template, TemplateInput};
use campaign_core::{Error, Kind, Result, wire};
use futures_util::future::{Either, select};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;

/// A value, or an error that says whose answer was wrong.
fn value(reply: Reply, place: &str) -> Result<Value> {
    match reply {
        Reply::Json(value) => Ok(value),
        Reply::Bytes(_) => Err(Error::new(Kind::User, format!("{place} answered with bytes"))),
    }
}

/// One object of the user's.
#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) bridge: Arc<Bridge>,
    pub(crate) id: u32,
}

impl Object {
    pub(crate) async fn call(&self, method: &str, arguments: &Value, place: &str) -> Result<Value> {
        match self.bridge.ask(self.id, method, arguments, None).reply().await {
            Ok(reply) => value(reply, place),
            Err(thrown) => Err(thrown.into_error(&self.bridge, place)),
        }
    }

    /// Tells the shell of an error of user code that no caller waits for: the engine only sees what follows from it.
    fn complain(&self, error: &Error) {
        self.bridge.send(&("complain", errors::to_shell(error)));
    }

    pub(crate) fn call_and_wait(&self, method: &str, arguments: &Value, place: &str) -> Result<Value> {
        match self.bridge.ask(self.id, method, arguments, None).wait() {
            Ok(reply) => value(reply, place),
            Err(thrown) => Err(thrown.into_error(&self.bridge, place)),
        }
    }
}

/// A dialer written in JavaScript.
pub(crate) struct JsDialer {
    pub(crate) object: Object,
    pub(crate) capabilities: Capabilities,
    /// Whether it has `find`.
    pub(crate) can_find: bool,
    /// Its `send`, when it has one.
    pub(crate) sends: Option<SendsOnly>,
    pub(crate) clock: SharedExecutor,
}

#[async_trait]
impl Dialer for JsDialer {
    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    async fn dial(&self, request: DialRequest, context: DialContext) -> Result<Outcome, DialError> {
        let Object { bridge, id } = &self.object;
        let arguments = json!({ "request": wire::dial_request(&request), "cancelled": context.is_cancelled() });
        let mut question = bridge.ask(*id, "dial", &arguments, Some((context.clone(), Arc::clone(&self.clock))));
        let ended = match select(pin!(question.reply()), pin!(context.cancelled())).await {
            Either::Left((reply, _)) => Some(reply),
            Either::Right(_) => None,
        };
        let reply = match ended {
            Some(reply) => reply,
            None => {
                question.abort();
                question.reply().await
            }
        };
        match reply {
            Ok(reply) => value(reply, "the dialer").and_then(wire::outcome).map_err(|error| {
                let (attempt, campaign, contact) = (request.attempt_id, request.campaign_id, request.contact_id);
                self.object.complain(&error.clone().with("campaign", campaign).with("contact", contact).with("attempt", attempt));
                DialError::InDoubt(error)
            }),
            Err(thrown) => Err(thrown.into_dial_error(bridge)),
        }
    }

    async fn find(&self, request: FindRequest) -> Result<Found> {
        if !self.can_find {
            return Ok(Found::Unknown);
        }
        let _hold = self.clock.hold();
        let arguments = Value::Object(wire::find_request(&request));
        let found = self.object.call("find", &arguments, "the dialer's `find`").await.and_then(wire::found);
        found.inspect_err(|error| self.object.complain(&error.clone().with("attempt", request.attempt_id)))
    }

    fn callbacks(&self) -> Option<&dyn Callbacks> {
        self.sends.as_ref().map(|sends| sends as &dyn Callbacks)
    }
}

impl Object {
    /// Its `send`, for messages outside of attempts.
    pub(crate) fn sends(self) -> SendsOnly {
        SendsOnly::new(move |message| {
            let Self { bridge, id } = self.clone();
            let mut question = bridge.ask(id, "send", &Value::Object(wire::outbound_message(&message)), None);
            async move {
                let sent = match question.reply().await {
                    Ok(reply) => value(reply, "the dialer's `send`").map_err(DialError::InDoubt).and_then(wire::sent),
                    Err(thrown) => Err(thrown.into_dial_error(&bridge)),
                };
                sent.inspect_err(|error| {
                    if let DialError::InDoubt(error) = error {
                        Self { bridge: Arc::clone(&bridge), id }.complain(error);
                    }
                })
            }
        })
    }
}

/// An assistant written in JavaScript. Its answer is an object of the shell's, which is asked for one piece after the other.
pub(crate) struct JsAssistant(pub(crate) Object);

#[async_trait]
impl Assistant for JsAssistant {
    async fn answer(&self, dialogue: Dialogue) -> Result<Answer> {
        let made = self.0.call("answer", &wire::dialogue(&dialogue), "the assistant's `answer`").await;
        let id = convert::read("answer", made.inspect_err(|error| self.0.complain(error))?)?;
        let answer = Arc::new(Dropped(Object { bridge: Arc::clone(&self.0.bridge), id }));
        Ok(wire::answer(move || {
            let answer = Arc::clone(&answer);
            async move {
                let piece = answer.0.call("next", &Value::Null, "the assistant's answer").await;
                piece.inspect_err(|error| answer.0.complain(error))
            }
        }))
    }
}

/// An object that the shell forgets when nobody needs it any more.
struct Dropped(Object);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.bridge.send(&("drop", self.0.id));
    }
}

/// A kind of campaign written in JavaScript.
pub(crate) struct JsKind(pub(crate) Object);

impl CampaignKind for JsKind {
    fn build(&self, spec: &Arc<CampaignSpec>) -> Result<Arc<dyn Campaign>> {
        let spec = serde_json::to_value(&**spec).map_err(|error| Error::new(Kind::Internal, "a spec must serialise").with_source(error))?;
        let built = self.0.call_and_wait("build", &spec, "the kind of campaign").inspect_err(|error| self.0.complain(error))?;
        let Built { campaign, templates } = convert::read("campaign", built)?;
        let object = |id| Object { bridge: Arc::clone(&self.0.bridge), id };
        let own = |(name, (id, variables)): (String, (u32, Vec<String>))| {
            (name, Arc::new(JsTemplate { object: object(id), variables }) as Arc<dyn Template>)
        };
        let templates = templates.into_iter().map(own).collect();
        Ok(Arc::new(JsCampaign { object: object(campaign), templates, names: Mutex::default() }))
    }
}

/// What a kind made: its number, and the numbers and variables of its own templates by name.
#[derive(Deserialize)]
struct Built {
    campaign: u32,
    templates: BTreeMap<String, (u32, Vec<String>)>,
}

/// A template written in JavaScript. It gets the variables that it names, each with its value or its fallback.
struct JsTemplate {
    object: Object,
    variables: Vec<String>,
}

impl Template for JsTemplate {
    fn render(&self, input: TemplateInput<'_>) -> Result<String> {
        let text = |name: &String| input.value(name).map_or_else(|| input.fallback(name).to_owned(), |value| value.text().into_owned());
        let values: BTreeMap<&String, String> = self.variables.iter().map(|name| (name, text(name))).collect();
        let text = match self.object.call_and_wait("render", &json!(values), "the template's `render`") {
            Ok(Value::String(text)) => Ok(text),
            Ok(_) => Err(Error::new(Kind::User, "the template's `render` must return a text")),
            Err(error) => Err(error),
        };
        text.inspect_err(|error| self.object.complain(error))
    }

    fn variables(&self) -> Vec<String> {
        self.variables.clone()
    }
}

impl Drop for JsTemplate {
    fn drop(&mut self) {
        self.object.bridge.send(&("drop", self.object.id));
    }
}

/// A campaign that such a kind made.
struct JsCampaign {
    object: Object,
    templates: Vec<(String, Arc<dyn Template>)>,
    names: Mutex<BTreeSet<&'static str>>,
}

impl JsCampaign {
    /// The trait hands out names that live as long as the campaign; there are as few as there are templates, so they are kept for good.
    fn keep(&self, name: String) -> &'static str {
        let mut names = self.names.lock();
        match names.get(name.as_str()) {
            Some(kept) => kept,
            None => {
                let kept: &'static str = Box::leak(name.into_boxed_str());
                names.insert(kept);
                kept
            }
        }
    }
}

impl Object {
    /// A campaign has no way to fail but a panic, which ends the attempt; this one is silent, the shell is told.
    fn fail(&self, error: &Error) -> ! {
        self.complain(error);
        std::panic::resume_unwind(Box::new(error.to_string()))
    }
}

impl Campaign for JsCampaign {
    fn next(&self, view: &ContactView<'_>, now: Timestamp) -> Next {
        let answer = self.object.call_and_wait("next", &wire::view(view, now), "the campaign's `next`").and_then(wire::next);
        answer.unwrap_or_else(|error| self.object.fail(&error.with("contact", view.contact.id)))
    }

    fn message_template(&self, step: &PlannedStep) -> &str {
        let arguments = json!({ "step": step.step, "channel": step.channel });
        let answer = self.object.call_and_wait("message_template", &arguments, "the campaign's `messageTemplate`");
        match answer.unwrap_or_else(|error| self.object.fail(&error)) {
            Value::String(name) => self.keep(name),
            _ => self.object.fail(&Error::new(Kind::User, "the campaign's `messageTemplate` must return the name of a template")),
        }
    }

    fn templates(&self) -> Vec<(String, Arc<dyn Template>)> {
        self.templates.clone()
    }
}

impl Drop for JsCampaign {
    fn drop(&mut self) {
        self.object.bridge.send(&("drop", self.object.id));
    }
}

/// A stream of bytes that JavaScript reads, piece by piece, as they are wanted.
pub(crate) struct JsReader {
    object: Object,
    piece: std::io::Cursor<Vec<u8>>,
}

impl JsReader {
    pub(crate) fn new(object: Object) -> Self {
        Self { object, piece: std::io::Cursor::default() }
    }
}

impl std::io::Read for JsReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let read = self.piece.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let bridge = &self.object.bridge;
            match bridge.ask(self.object.id, "read", &Value::Null, None).wait() {
                Ok(Reply::Bytes(Some(piece))) => self.piece = std::io::Cursor::new(piece),
                Ok(_) => return Ok(0),
                Err(thrown) => return Err(std::io::Error::other(thrown.into_error(bridge, "the stream"))),
            }
        }
    }
}

impl Drop for JsReader {
    fn drop(&mut self) {
        self.object.bridge.send(&("drop", self.object.id));
    }
}

/// A store written in JavaScript: every method is asked for by its name, with its arguments in an array.
pub(crate) struct JsStore(pub(crate) Object);

impl JsStore {
    async fn ask<T: DeserializeOwned>(&self, method: &'static str, arguments: Value) -> Result<T> {
        let answer = self.0.call(method, &arguments, &format!("the store's `{method}`")).await.and_then(|answer| {
            serde_json::from_value(answer).map_err(|error| {
                let problem = format!("the answer of the store's `{method}` is not understood: {}", without_values(&error));
                Error::new(Kind::User, problem)
            })
        });
        // What a store throws on purpose has its consequences; anything else would only show as work that is tried again and again.
        answer.inspect_err(|error| {
            if error.kind() == Kind::User {
                self.0.complain(error);
            }
        })
    }
}

macro_rules! store {
    ($(fn $method:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)+) => {
        #[async_trait]
        impl ContactStore for JsStore {
            $(async fn $method(&self, $($argument: $kind),*) -> Result<$answer> {
                self.ask(stringify!($method), json!([$($argument),*])).await
            })+
        }
    };
}

store! {
    fn create_campaign(new: NewCampaign) -> CampaignRecord;
    fn campaign(id: CampaignId) -> Option<CampaignRecord>;
    fn campaigns(query: CampaignQuery) -> Page<CampaignRecord>;
    fn save_campaign(save: SaveCampaign) -> CampaignRecord;
    fn delete_campaign(id: CampaignId) -> ();
    fn add_contacts(add: AddContacts) -> Vec<Added>;
    fn contact(id: ContactId) -> Option<Contact>;
    fn contacts(query: ContactQuery) -> Page<Contact>;
    fn update_contact(update: UpdateContact) -> Contact;
    fn remove_contacts(owner: Owner, ids: Vec<ContactId>) -> u64;
    fn bulk_change(change: BulkChange) -> u64;
    fn suppress(entries: Vec<Suppression>) -> ();
    fn unsuppress(keys: Vec<SuppressionKey>) -> u64;
    fn suppressions(query: SuppressionQuery) -> Page<Suppression>;
    fn register_node(node: NewNode) -> NodeLease;
    fn renew_node(renew: RenewNode) -> ();
    fn retire_node(token: NodeToken) -> ();
    fn nodes(now: Timestamp) -> Vec<NodeInfo>;
    fn claim(request: ClaimRequest) -> Claims;
    fn placed(placed: Vec<Placed>) -> ();
    fn settle(request: SettleRequest) -> SettleReply;
    fn amend(attempt: AttemptId, outcome: Outcome) -> Attempt;
    fn take_over(request: TakeOver) -> Vec<TakenOver>;
    fn counts(campaign: CampaignId) -> Counts;
    fn attempts(query: AttemptQuery) -> Page<Attempt>;
    fn pending_zones(campaign: CampaignId) -> Vec<PendingZone>;
    fn reasons(campaign: CampaignId, now: Timestamp) -> Vec<ReasonCount>;
    fn facts(contact: ContactId, since: Option<Timestamp>, now: Timestamp) -> ContactFacts;
    fn ledgers(scopes: Vec<LimitScope>) -> Vec<Ledger>;
    fn timeline(query: TimelineQuery) -> Vec<TimelineBucket>;
    fn changes() -> u64;
    fn events(query: EventQuery) -> EventPage;
    fn put_document(put: PutDocument) -> u64;
    fn documents(query: DocumentQuery) -> Vec<Document>;
    fn delete_document(collection: String, key: String) -> bool;
    fn next_number(sequence: String) -> i64;
    fn catalog() -> Catalog;
    fn restore(snapshot: Snapshot) -> ();
    fn close() -> ();
}
