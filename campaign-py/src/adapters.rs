//! What a user's objects are to the engine: a dialer, a store, a kind of campaign, a template. The shell knows them by a number.

use crate::engine::Made;
use crate::runtime::{Answer, Inner, wanted};
use crate::{convert, errors};
use async_trait::async_trait;
use campaign_core::assistant::{self, Assistant, Dialogue};
use campaign_core::campaign::{Campaign, CampaignKind, CampaignRecord, CampaignSpec, ContactView, Next};
use campaign_core::contact::{Contact, Owner, PlannedStep};
use campaign_core::dialer::{self, Callbacks, Capabilities, DialContext, DialError, DialRequest, Dialer, FindRequest, Found, SendsOnly};
use campaign_core::executor::TokioExecutor;
use campaign_core::id::{AttemptId, CampaignId, ContactId, NodeToken};
use campaign_core::outcome::{Attempt, Outcome};
use campaign_core::policy::gates::ContactFacts;
use campaign_core::policy::limits::{Ledger, LimitScope};
use campaign_core::policy::metrics::Counts;
use campaign_core::store::*;
use campaign_core::template::{Template, TemplateInput};
use campaign_core::testkit;
use campaign_core::wire::{self, Object};
use campaign_core::{Error, Kind, Result};
use futures_util::future::{Either, select};
use jiff::Timestamp;
use parking_lot::Mutex;
use pyo3::prelude::*;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// One object of the user's.
#[derive(Clone)]
pub(crate) struct Theirs {
    bridge: Arc<Inner>,
    object: u64,
}

impl Theirs {
    /// Asks where the trait is synchronous.
    fn ask_and_wait(&self, method: &'static str, arguments: Vec<Value>) -> Answer {
        wait(|| self.bridge.ask(self.object, method, arguments).wait())
    }

    /// Its `send`, for messages outside of attempts.
    fn sends(self) -> SendsOnly {
        SendsOnly::new(move |message| {
            let mut question = self.bridge.ask(self.object, "send", vec![Value::Object(wire::outbound_message(&message))]);
            async move { question.answer().await.map_err(errors::Failure::into_dial_error).and_then(wire::sent) }
        })
    }
}

fn value(answer: Answer) -> Result<Value> {
    answer.map_err(errors::Failure::into_error)
}

/// Where an engine's data lives.
pub(crate) enum Place {
    Url(String),
    Theirs(Theirs),
}

/// A URL, or the number of an object.
pub(crate) fn store(bridge: &Arc<Inner>, given: &Bound<'_, PyAny>) -> PyResult<Place> {
    Ok(match given.extract() {
        Ok(object) => Place::Theirs(Theirs { bridge: Arc::clone(bridge), object }),
        Err(_) => Place::Url(given.extract()?),
    })
}

impl Place {
    pub(crate) async fn open(self) -> Result<Arc<dyn ContactStore>> {
        match self {
            Self::Url(url) => open_store(&url).await,
            Self::Theirs(theirs) => Ok(Arc::new(PyStore(theirs))),
        }
    }

    pub(crate) fn is_theirs(&self) -> bool {
        matches!(self, Self::Theirs(_))
    }
}

/// A description in which dialers are named by their place in a list, and that list. Whether user code is among them comes along.
pub(crate) fn dialer(bridge: &Arc<Inner>, given: &Bound<'_, PyAny>) -> PyResult<(Arc<dyn Dialer>, bool)> {
    let (description, all): (Bound<'_, PyAny>, Vec<Bound<'_, PyAny>>) = given.extract()?;
    let all = all.iter().map(|one| one_dialer(bridge, one)).collect::<PyResult<Vec<_>>>()?;
    let mut listed = |place: Object| {
        let found = place.get("place").and_then(Value::as_u64).and_then(|place| all.get(usize::try_from(place).ok()?));
        found.map(|(dialer, _)| Arc::clone(dialer)).ok_or_else(|| Error::new(Kind::Internal, "the shell names a dialer that is not there"))
    };
    let made = wire::dialer(convert::to_json(&description)?, &mut listed).map_err(|error| errors::raise(given.py(), &error))?;
    Ok((made, all.iter().any(|(_, theirs)| *theirs)))
}

/// One that lives here, or an object's number with its capabilities and whether it has `find` and `send`.
fn one_dialer(bridge: &Arc<Inner>, given: &Bound<'_, PyAny>) -> PyResult<(Arc<dyn Dialer>, bool)> {
    if let Ok(carrier) = given.cast::<SimulatedDialer>() {
        return Ok((Arc::new(carrier.get().0.clone()), false));
    }
    if let Ok(provider) = given.cast::<Provider>() {
        return Ok((Arc::clone(&provider.get().0), false));
    }
    let (object, capabilities, can_find, can_send): (u64, Bound<'_, PyAny>, bool, bool) = given.extract()?;
    let capabilities = wire::capabilities(convert::object(&capabilities)?, can_find);
    let capabilities = capabilities.map_err(|error| errors::raise(given.py(), &error))?;
    let theirs = Theirs { bridge: Arc::clone(bridge), object };
    Ok((Arc::new(PyDialer { sends: can_send.then(|| theirs.clone().sends()), theirs, capabilities, can_find }), true))
}

/// Says what is wrong with the description of a dialer.
#[pyfunction]
pub(crate) fn check_dialer(description: &Bound<'_, PyAny>) -> PyResult<()> {
    wire::check_dialer(convert::to_json(description)?).map_err(|error| errors::raise(description.py(), &error))
}

/// A provider's dialer. Its settings are in it, and cannot be read from outside.
#[pyclass(frozen, subclass)]
pub(crate) struct Provider(Arc<dyn Dialer>);

#[pymethods]
impl Provider {
    #[new]
    fn new(kind: &str, settings: &Bound<'_, PyAny>) -> PyResult<Self> {
        let description = json!({ kind: convert::object(settings)? });
        wire::dialer(description, &mut not_ours).map(Self).map_err(|error| errors::raise(settings.py(), &error))
    }

    /// The channels that it serves.
    fn channels(&self) -> Vec<String> {
        self.0.capabilities().channels.iter().map(ToString::to_string).collect()
    }
}

fn not_ours<T>(_: Object) -> Result<T> {
    Err(Error::new(Kind::Invalid, "there is no such kind"))
}

/// An assistant by configuration. Its settings are in it, and cannot be read from outside.
#[pyclass(frozen, subclass)]
pub(crate) struct ConfiguredAssistant(Arc<dyn Assistant>);

#[pymethods]
impl ConfiguredAssistant {
    #[new]
    fn new(kind: &str, settings: &Bound<'_, PyAny>) -> PyResult<Self> {
        let description = json!({ kind: convert::object(settings)? });
        wire::assistant(description, &mut not_ours).map(Self).map_err(|error| errors::raise(settings.py(), &error))
    }
}

/// One that lives here, or an object's number. Whether it is user code comes along.
pub(crate) fn assistant(bridge: &Arc<Inner>, given: &Bound<'_, PyAny>) -> PyResult<(Arc<dyn Assistant>, bool)> {
    if let Ok(ours) = given.cast::<ConfiguredAssistant>() {
        return Ok((Arc::clone(&ours.get().0), false));
    }
    Ok((Arc::new(PyAssistant(Theirs { bridge: Arc::clone(bridge), object: given.extract()? })), true))
}

/// An assistant written in Python. Its answer is an object of the shell's, which is asked for one piece after the other.
struct PyAssistant(Theirs);

#[async_trait]
impl Assistant for PyAssistant {
    async fn answer(&self, dialogue: Dialogue) -> Result<assistant::Answer> {
        let told = vec![wire::dialogue(&dialogue)];
        let answer = value(self.0.bridge.ask(self.0.object, "answer", told).answer().await)?;
        let object = answer.as_u64().ok_or_else(|| Error::new(Kind::Internal, "the shell made no answer"))?;
        let answer = Arc::new(Discarded(Theirs { bridge: Arc::clone(&self.0.bridge), object }));
        Ok(wire::answer(move || {
            let answer = Arc::clone(&answer);
            async move { value(answer.0.bridge.ask(answer.0.object, "next", Vec::new()).answer().await) }
        }))
    }
}

/// An object that the shell forgets when nobody needs it any more.
struct Discarded(Theirs);

impl Drop for Discarded {
    fn drop(&mut self) {
        self.0.bridge.discard(self.0.object);
    }
}

/// A seeded carrier for simulations and tests.
#[pyclass(frozen, subclass)]
pub(crate) struct SimulatedDialer(dialer::SimulatedDialer);

#[pymethods]
impl SimulatedDialer {
    #[new]
    #[pyo3(signature = (**arguments))]
    fn new(py: Python<'_>, arguments: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let arguments = arguments.map(convert::object).transpose()?.unwrap_or_default();
        wire::carrier(arguments).map(Self).map_err(|error| errors::raise(py, &error))
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let dialer::CarrierStats { hand_offs, repeated, throttled, late, refused, in_doubt, in_flight, peak_in_flight } = self.0.stats();
        let stats = json!({
            "hand_offs": hand_offs, "repeated": repeated, "throttled": throttled, "late": late, "refused": refused,
            "in_doubt": in_doubt, "in_flight": in_flight, "peak_in_flight": peak_in_flight,
        });
        convert::to_python(py, &stats)
    }
}

/// A dialer written in Python.
struct PyDialer {
    theirs: Theirs,
    capabilities: Capabilities,
    can_find: bool,
    sends: Option<SendsOnly>,
}

#[async_trait]
impl Dialer for PyDialer {
    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    async fn dial(&self, request: DialRequest, context: DialContext) -> Result<Outcome, DialError> {
        let mut question = self.theirs.bridge.dial(self.theirs.object, request, context.clone());
        let ended = match select(pin!(question.answer()), pin!(context.cancelled())).await {
            Either::Left((answer, _)) => Some(answer),
            Either::Right(_) => None,
        };
        let answer = match ended {
            Some(answer) => answer,
            None => {
                // The coroutine is cancelled, and may still say how the call ended when it was hung up.
                question.cancel();
                question.answer().await
            }
        };
        match answer {
            Ok(value) => wire::outcome(value).map_err(DialError::InDoubt),
            Err(failure) => Err(failure.into_dial_error()),
        }
    }

    async fn find(&self, request: FindRequest) -> Result<Found> {
        if !self.can_find {
            return Ok(Found::Unknown);
        }
        let arguments = vec![Value::Object(wire::find_request(&request))];
        wire::found(value(self.theirs.bridge.ask(self.theirs.object, "find", arguments).answer().await)?)
    }

    fn callbacks(&self) -> Option<&dyn Callbacks> {
        self.sends.as_ref().map(|sends| sends as &dyn Callbacks)
    }
}

/// A method of a dial's context.
pub(crate) async fn context(context: Option<DialContext>, method: &str, argument: Value) -> Result<Made> {
    let context = context.ok_or_else(|| Error::new(Kind::State, "the dial has ended; its context is of no use any more"))?;
    match (method, argument) {
        ("placed", Value::String(reference)) => context.placed(reference).await?,
        ("sleep", Value::Number(seconds)) => {
            let time = seconds.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok());
            context.sleep(time.ok_or_else(|| Error::invalid("seconds", "is out of range"))?).await;
        }
        ("cancelled", _) => context.cancelled().await,
        _ => return Err(Error::new(Kind::Invalid, "the argument is of the wrong kind")),
    }
    Ok(Made::Value(Value::Null))
}

/// A kind of campaign written in Python.
pub(crate) struct PyKind(Theirs);

impl PyKind {
    pub(crate) fn new(bridge: &Arc<Inner>, object: u64) -> Self {
        Self(Theirs { bridge: Arc::clone(bridge), object })
    }
}

impl CampaignKind for PyKind {
    fn build(&self, spec: &Arc<CampaignSpec>) -> Result<Arc<dyn Campaign>> {
        let spec = serde_json::to_value(&**spec).map_err(|error| Error::new(Kind::Internal, "a spec must serialise").with_source(error))?;
        let built = value(self.0.ask_and_wait("build", vec![spec]))?;
        let Built { campaign, templates } = serde_json::from_value(built).map_err(|error| {
            Error::new(Kind::Internal, "what the shell made of a kind of campaign is not understood").with_source(error)
        })?;
        let theirs = |object| Theirs { bridge: Arc::clone(&self.0.bridge), object };
        let own = |(name, (object, variables)): (String, (u64, Vec<String>))| {
            (name, Arc::new(PyTemplate { theirs: theirs(object), variables }) as Arc<dyn Template>)
        };
        let templates = templates.into_iter().map(own).collect();
        Ok(Arc::new(PyCampaign { theirs: theirs(campaign), templates, names: Mutex::default() }))
    }
}

/// What a kind made: its number, and the numbers and variables of its own templates by name.
#[derive(Deserialize)]
struct Built {
    campaign: u64,
    templates: BTreeMap<String, (u64, Vec<String>)>,
}

/// A template written in Python. It gets the variables that it names, each with its value or its fallback.
struct PyTemplate {
    theirs: Theirs,
    variables: Vec<String>,
}

impl Template for PyTemplate {
    fn render(&self, input: TemplateInput<'_>) -> Result<String> {
        let text = |name: &String| input.value(name).map_or_else(|| input.fallback(name).to_owned(), |value| value.text().into_owned());
        let values: BTreeMap<&String, String> = self.variables.iter().map(|name| (name, text(name))).collect();
        match value(self.theirs.ask_and_wait("render", vec![json!(values)]))? {
            Value::String(text) => Ok(text),
            _ => Err(Error::new(Kind::User, "the `render` of a template must return a text")),
        }
    }

    fn variables(&self) -> Vec<String> {
        self.variables.clone()
    }
}

impl Drop for PyTemplate {
    fn drop(&mut self) {
        self.theirs.bridge.discard(self.theirs.object);
    }
}

/// Waits for user code where the trait is synchronous; the runtime's other work goes on elsewhere.
fn wait<T>(work: impl FnOnce() -> T) -> T {
    #[expect(clippy::disallowed_methods, reason = "the one place where a synchronous trait is answered by another language")]
    tokio::task::block_in_place(work)
}

struct PyCampaign {
    theirs: Theirs,
    templates: Vec<(String, Arc<dyn Template>)>,
    names: Mutex<BTreeSet<&'static str>>,
}

/// A campaign has no way to fail but a panic, which ends the attempt. This one prints nothing.
fn fail(error: Error) -> ! {
    std::panic::resume_unwind(Box::new(error.to_string()))
}

impl Campaign for PyCampaign {
    fn next(&self, view: &ContactView<'_>, now: Timestamp) -> Next {
        let view = wire::view(view, now);
        value(self.theirs.ask_and_wait("next", vec![view])).and_then(wire::next).unwrap_or_else(|error| fail(error))
    }

    fn message_template(&self, step: &PlannedStep) -> &str {
        let arguments = vec![json!(step.step), json!(step.channel)];
        match value(self.theirs.ask_and_wait("message_template", arguments)).unwrap_or_else(|error| fail(error)) {
            Value::String(name) => self.keep(name),
            _ => fail(Error::new(Kind::User, "`message_template` must return the name of a template")),
        }
    }

    fn templates(&self) -> Vec<(String, Arc<dyn Template>)> {
        self.templates.clone()
    }
}

impl Drop for PyCampaign {
    fn drop(&mut self) {
        self.theirs.bridge.discard(self.theirs.object);
    }
}

impl PyCampaign {
    /// The trait lends a name that lives as long as the campaign. There are as few as there are templates, so they are kept for good.
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

/// A store written in Python: every method is called by its name.
struct PyStore(Theirs);

impl PyStore {
    async fn ask<T: DeserializeOwned>(&self, method: &'static str, arguments: Vec<Value>) -> Result<T> {
        let answer = value(self.0.bridge.ask(self.0.object, method, arguments).answer().await)?;
        serde_json::from_value(answer)
            .map_err(|error| Error::new(Kind::User, format!("the answer of the store's `{method}` is not understood")).with_source(error))
    }
}

macro_rules! store {
    ($(fn $method:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)+) => {
        #[async_trait]
        impl ContactStore for PyStore {
            $(async fn $method(&self, $($argument: $kind),*) -> Result<$answer> {
                let arguments = vec![$(serde_json::to_value($argument)
                    .map_err(|error| Error::new(Kind::Internal, "a request must serialise").with_source(error))?),*];
                self.ask(stringify!($method), arguments).await
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

/// Runs a conformance suite; the answer is the list of what failed, and for dialers what passed and was skipped.
pub(crate) async fn suite(bridge: Arc<Inner>, kind: &str, maker: u64, mut arguments: Object) -> Result<Made> {
    let theirs = Theirs { bridge, object: maker };
    match kind {
        "store" => {
            let only = arguments.remove("only").and_then(|only| only.as_str().map(str::to_owned));
            let (mut failed, mut passed) = (Vec::new(), Vec::new());
            for check in testkit::store::checks().into_iter().filter(|check| only.as_deref().is_none_or(|only| only == check.name)) {
                let object = value(theirs.bridge.ask(maker, "make", Vec::new()).answer().await)?;
                let object = object.as_u64().ok_or_else(|| Error::new(Kind::User, "no store was made"))?;
                match check.run(Arc::new(PyStore(Theirs { bridge: Arc::clone(&theirs.bridge), object }))).await {
                    Ok(()) => passed.push(json!(check.name)),
                    Err(broken) => failed.push(json!([check.name, broken.to_string()])),
                }
            }
            Ok(Made::Value(json!({ "passed": passed, "skipped": [], "failed": failed })))
        }
        _ => {
            let form = wanted(&mut arguments, "capabilities")?;
            let form = form.as_object().cloned().unwrap_or_default();
            let can_find = arguments.get("can_find").and_then(Value::as_bool).unwrap_or_default();
            let capabilities = wire::capabilities(form, can_find)?;
            let executor = TokioExecutor::current().ok_or_else(|| Error::new(Kind::Internal, "a suite runs on the runtime"))?;
            let broken: Mutex<Option<Error>> = Mutex::default();
            let provoke = |situation: testkit::dialer::Situation, request: &mut DialRequest| -> Option<Arc<dyn Dialer>> {
                let arguments = vec![json!(snake(&format!("{situation:?}"))), Value::Object(wire::dial_request(request))];
                let answer = match value(theirs.ask_and_wait("provoke", arguments)) {
                    Ok(answer) => answer,
                    Err(error) => {
                        // What cannot be provoked is skipped; what fails at it must not pass for that.
                        broken.lock().get_or_insert(error);
                        return None;
                    }
                };
                let made = Theirs { bridge: Arc::clone(&theirs.bridge), object: answer.as_u64()? };
                Some(Arc::new(PyDialer { theirs: made, capabilities: capabilities.clone(), can_find, sends: None }))
            };
            let report = testkit::dialer::run(Arc::new(executor), &provoke).await;
            if let Some(error) = broken.into_inner() {
                return Err(error);
            }
            Ok(Made::Value(json!({ "passed": report.passed, "skipped": report.skipped, "failed": report.failed })))
        }
    }
}

/// `LostAnswer` is `lost_answer`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(character.to_ascii_lowercase());
    }
    out
}
