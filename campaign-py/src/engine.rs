//! What a call does. Every method of the engine is called by its name with one object of arguments.

use crate::adapters::{Place, PyKind};
use crate::runtime::{Inner, wanted};
use crate::{convert, errors};
use campaign_core::assistant::Assistant;
use campaign_core::campaign::CampaignRecord;
use campaign_core::contact::Owner;
use campaign_core::dialer::Dialer;
use campaign_core::event::Event;
use campaign_core::executor::TokioExecutor;
use campaign_core::import::{ImportOptions, ImportReport, ImportSource};
use campaign_core::store::{Copied, Page, copy_store};
use campaign_core::wire::{self, Object};
use campaign_core::{Engine, Error, EventStream, Kind, Result};
use futures_util::FutureExt;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Events that are handed over at once, at most.
const MOST_EVENTS: usize = 512;

/// What a call gives.
pub(crate) enum Made {
    Value(Value),
    Engine(Engine),
    Events(EventStream),
}

/// A running node, as the shell holds it.
#[pyclass(frozen)]
pub(crate) struct EngineHandle {
    engine: Engine,
    process: u32,
}

impl Drop for EngineHandle {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            // The child of a fork only has a copy; connections that the parent uses must not be ended here, so one handle stays for good.
            std::mem::forget(self.engine.clone());
        }
    }
}

impl EngineHandle {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine, process: std::process::id() }
    }

    /// Lets the loop forget it.
    pub(crate) fn forget(&self, bridge: &Inner) {
        if self.process == std::process::id() {
            bridge.forget(&self.engine);
        }
    }

    /// The engine, unless this process is a fork of the one that opened it.
    pub(crate) fn here(&self, py: Python<'_>) -> PyResult<Engine> {
        if self.process == std::process::id() {
            return Ok(self.engine.clone());
        }
        let message = "the engine was opened before this process was forked; open another one in the child";
        Err(errors::raise(py, &Error::new(Kind::State, message).with("opened_by", self.process)))
    }
}

#[pymethods]
impl EngineHandle {
    /// The name of the node.
    fn node_name(&self) -> String {
        self.engine.options().node_name.clone()
    }

    /// Stops at once, as after a crash.
    fn abort(&self, py: Python<'_>) -> PyResult<()> {
        self.here(py)?.abort();
        Ok(())
    }
}

/// A stream of events, as the shell holds it.
#[pyclass(frozen)]
pub(crate) struct EventHandle(Arc<tokio::sync::Mutex<EventStream>>);

impl EventHandle {
    pub(crate) fn new(events: EventStream) -> Self {
        Self(Arc::new(tokio::sync::Mutex::new(events)))
    }

    pub(crate) fn shared(&self) -> Arc<tokio::sync::Mutex<EventStream>> {
        Arc::clone(&self.0)
    }
}

/// At least one event, and what else is there already; none at the end.
pub(crate) async fn next_events(events: Arc<tokio::sync::Mutex<EventStream>>) -> Made {
    let mut events = events.lock().await;
    let mut found: Vec<Event> = events.next().await.into_iter().collect();
    while !found.is_empty() && found.len() < MOST_EVENTS {
        match events.next().now_or_never().flatten() {
            Some(event) => found.push(event),
            None => break,
        }
    }
    Made::Value(found.iter().map(wire::event).collect())
}

/// Hands out slots within the limits of one claim, for stores written in Python.
#[pyclass(frozen)]
pub(crate) struct Pacer(Mutex<wire::Pacing>);

#[pymethods]
impl Pacer {
    #[new]
    fn new(py: Python<'_>, limits: &Bound<'_, PyAny>, ledgers: &Bound<'_, PyAny>, now: &str) -> PyResult<Self> {
        let pacing = wire::Pacing::new(convert::to_json(limits)?, convert::to_json(ledgers)?, json!(now));
        pacing.map(|pacing| Self(Mutex::new(pacing))).map_err(|error| errors::raise(py, &error))
    }

    fn take<'py>(&self, py: Python<'py>, due_at: &str) -> PyResult<Bound<'py, PyAny>> {
        let slot = self.0.lock().take(json!(due_at)).map_err(|error| errors::raise(py, &error))?;
        convert::to_python(py, &slot)
    }

    fn block<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::to_python(py, &self.0.lock().block())
    }

    fn ledgers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::to_python(py, &self.0.lock().ledgers())
    }
}

/// One decision of the engine's policy by name.
#[pyfunction]
pub(crate) fn decide<'py>(py: Python<'py>, name: &str, arguments: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let decided = wire::decide(name, convert::object(arguments)?).map_err(|error| errors::raise(py, &error))?;
    convert::to_python(py, &decided)
}

/// The kinds of error with the name of their class.
#[pyfunction]
pub(crate) fn kinds(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    errors::table(py)
}

/// Copies everything from one store to another. Those that were opened for it are closed afterwards.
pub(crate) async fn copy(from: Place, to: Place) -> Result<Made> {
    let theirs = (from.is_theirs(), to.is_theirs());
    let (from, to) = (from.open().await?, to.open().await?);
    let copied = copy_store(&*from, &*to).await;
    for (store, theirs) in [(from, theirs.0), (to, theirs.1)] {
        if !theirs {
            store.close().await?;
        }
    }
    let Copied { campaigns, contacts, attempts, suppressions, documents } = copied?;
    Ok(Made::Value(json!({
        "campaigns": campaigns, "contacts": contacts, "attempts": attempts, "suppressions": suppressions, "documents": documents,
    })))
}

/// Starts a node.
pub(crate) async fn open(
    bridge: Arc<Inner>,
    store: Place,
    (dialer, dialer_is_theirs): (Arc<dyn Dialer>, bool),
    assistant: Option<(Arc<dyn Assistant>, bool)>,
    options: Object,
    kinds: HashMap<String, u64>,
) -> Result<Made> {
    let options = wire::options(options)?;
    let talks = assistant.as_ref().is_some_and(|(_, theirs)| *theirs);
    let theirs = dialer_is_theirs || store.is_theirs() || !kinds.is_empty() || talks;
    let executor = TokioExecutor::current().ok_or_else(|| Error::new(Kind::Internal, "an engine is opened on the runtime"))?;
    let mut builder =
        Engine::builder().shared_store(store.open().await?).shared_dialer(dialer).executor(executor).options(|own| *own = options);
    for (name, object) in kinds {
        builder = builder.campaign_kind(name, PyKind::new(&bridge, object));
    }
    if let Some((assistant, _)) = assistant {
        builder = builder.shared_assistant(assistant);
    }
    let engine = builder.build().await?;
    if theirs {
        bridge.keep(&engine);
    }
    Ok(Made::Engine(engine))
}

fn read<T: DeserializeOwned>(name: &'static str, value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|_| Error::invalid(name, "is of the wrong kind"))
}

/// A campaign with its counters.
async fn with_counters(engine: &Engine, record: CampaignRecord) -> Result<Value> {
    let progress = engine.progress(record.id).await?;
    Ok(wire::campaign(&record, Some(&progress)))
}

/// Where rows come from: `path`, `text` or `rows`; the options beside it, `rejects` as a path.
fn source(arguments: &mut Object) -> Result<(ImportSource, ImportOptions)> {
    let path: Option<PathBuf> = read("path", arguments.remove("path").unwrap_or_default())?;
    let text: Option<String> = read("text", arguments.remove("text").unwrap_or_default())?;
    let rejects: Option<PathBuf> = read("rejects", arguments.remove("rejects").unwrap_or_default())?;
    let source = match (path, text) {
        (Some(path), _) => ImportSource::Path(path),
        (None, Some(text)) => ImportSource::from(text.into_bytes()),
        (None, None) => ImportSource::Rows(read("rows", wanted(arguments, "rows")?)?),
    };
    let mut options = wire::import_options(std::mem::take(arguments))?;
    if let Some(path) = rejects {
        let file = File::create(&path);
        let file = file.map_err(|error| Error::invalid("rejects", "the file for rejected rows cannot be written").with_source(error))?;
        options.rejects = Some(Box::new(std::io::BufWriter::new(file)));
    }
    Ok((source, options))
}

async fn import(engine: &Engine, owner: Owner, mut arguments: Object, tell: &(impl Fn(Value) + Sync)) -> Result<ImportReport> {
    let (source, options) = source(&mut arguments)?;
    engine.import_with_progress(owner, source, options, |progress| tell(wire::import_progress(&progress))).await
}

/// Calls one method.
pub(crate) async fn call(engine: &Engine, method: &str, mut arguments: Object, tell: &(impl Fn(Value) + Sync)) -> Result<Made> {
    let given = &mut arguments;
    let campaign = match given.remove("campaign") {
        Some(value) => Some(read("campaign", value)?),
        None => None,
    };
    let the_campaign = || campaign.ok_or_else(|| Error::invalid("campaign", "is missing"));
    let list = match given.remove("list") {
        Some(value) => Some(read("list", value)?),
        None => None,
    };
    let the_list = || list.ok_or_else(|| Error::invalid("list", "is missing"));
    let owner = || match list {
        Some(list) => Ok(Owner::List(list)),
        None => the_campaign().map(Owner::Campaign),
    };
    let value = match method {
        "create_campaign" => {
            let record = engine.create_campaign(wire::spec(arguments)?).await?;
            with_counters(engine, record).await?
        }
        "get_campaign" => with_counters(engine, engine.get_campaign(the_campaign()?).await?).await?,
        "list_campaigns" => {
            let Page { items, total } = engine.list_campaigns(wire::campaign_query(arguments)?).await?;
            let mut flat = Vec::with_capacity(items.len());
            for record in items {
                flat.push(with_counters(engine, record).await?);
            }
            json!({ "items": flat, "total": total })
        }
        "update_campaign" => {
            let patch = Value::Object(wire::spec_patch(arguments)?);
            with_counters(engine, engine.patch_campaign(the_campaign()?, &patch).await?).await?
        }
        "delete_campaign" => json!(engine.delete_campaign(the_campaign()?).await?),
        "start" => with_counters(engine, engine.start(the_campaign()?).await?).await?,
        "schedule" => with_counters(engine, engine.schedule(the_campaign()?, wire::schedule(arguments)?).await?).await?,
        "unschedule" => with_counters(engine, engine.unschedule(the_campaign()?).await?).await?,
        "pause" => with_counters(engine, engine.pause(the_campaign()?).await?).await?,
        "resume" => with_counters(engine, engine.resume(the_campaign()?).await?).await?,
        "cancel" => with_counters(engine, engine.cancel(the_campaign()?).await?).await?,
        "complete" => with_counters(engine, engine.complete(the_campaign()?).await?).await?,
        "re_execute" => json!(engine.re_execute(the_campaign()?, wire::reexecution(wanted(given, "contacts")?)?).await?),
        "wait" => wire::progress(&engine.wait(the_campaign()?).await?),
        "progress" => wire::progress(&engine.progress(the_campaign()?).await?),
        "import_contacts" => wire::import_report(&import(engine, owner()?, arguments, tell).await?),
        "get_contact" => wire::contact(&engine.get_contact(read("contact", wanted(given, "contact")?)?).await?),
        "list_contacts" => wire::page(&engine.list_contacts(wire::contact_query(owner()?, arguments)?).await?, wire::contact),
        "remove_contacts" => json!(engine.remove_contacts(owner()?, read("ids", wanted(given, "ids")?)?).await?),
        "record_reply" => wire::contact(&engine.record_reply(read("contact", wanted(given, "contact")?)?).await?),
        "executions" => wire::page(&engine.executions(wire::execution_query(arguments)?).await?, wire::execution),
        "timeline" => {
            let query = wire::timeline_query(the_campaign()?, arguments, engine.now())?;
            engine.timeline(query).await?.iter().map(wire::timeline).collect()
        }
        "amend" => {
            let attempt = read("execution", wanted(given, "execution")?)?;
            wire::execution(&engine.amend(attempt, wire::outcome(Value::Object(arguments))?).await?)
        }
        "explain_contact" => wire::contact_explanation(&engine.explain_contact(read("contact", wanted(given, "contact")?)?).await?),
        "explain_campaign" => wire::campaign_explanation(&engine.explain_campaign(the_campaign()?).await?),
        "simulate" => wire::simulation(&engine.simulate(the_campaign()?, wire::simulate_options(arguments)?).await?),
        "preview_template" => Value::String(wire::preview(arguments)?),
        "preview_contact" => {
            json!(engine.preview_contact(the_campaign()?, read("contact", wanted(given, "contact")?)?).await?)
        }
        "lint_template" => wire::lint_report(&engine.lint_template(the_campaign()?, wire::lint_options(arguments)?).await?),
        "create_list" => {
            let description: Option<String> = read("description", given.remove("description").unwrap_or_default())?;
            let name: String = read("name", wanted(given, "name")?)?;
            let organization: Option<i64> = read("organization_id", given.remove("organization_id").unwrap_or_default())?;
            wire::contact_list(&engine.create_list(&name, description.as_deref(), organization).await?)
        }
        "update_list" => {
            let name: Option<String> = read("name", given.remove("name").unwrap_or_default())?;
            let description: Option<String> = read("description", given.remove("description").unwrap_or_default())?;
            wire::contact_list(&engine.update_list(the_list()?, name.as_deref(), description.as_deref()).await?)
        }
        "get_list" => wire::contact_list(&engine.get_list(the_list()?).await?),
        "lists" => {
            let organization: Option<i64> = read("organization_id", given.remove("organization_id").unwrap_or_default())?;
            engine.lists(organization).await?.iter().map(wire::contact_list).collect()
        }
        "delete_list" => json!(engine.delete_list(the_list()?).await?),
        "attach_list" => wire::import_report(&engine.attach_list(the_list()?, the_campaign()?).await?),
        "suppress" => {
            let entries: Vec<Object> = read("entries", wanted(given, "entries")?)?;
            let entries = entries.into_iter().map(|entry| wire::suppression(entry, engine.now())).collect::<Result<Vec<_>>>()?;
            json!(engine.suppress(entries).await?)
        }
        "unsuppress" => {
            let keys: Vec<Object> = read("entries", wanted(given, "entries")?)?;
            json!(engine.unsuppress(keys.into_iter().map(wire::suppression_key).collect::<Result<Vec<_>>>()?).await?)
        }
        "suppressions" => wire::page(&engine.suppressions(wire::suppression_query(arguments)?).await?, wire::suppression_entry),
        "is_suppressed" => {
            let key = wire::suppression_key(arguments)?;
            json!(engine.is_suppressed(&key.phone, key.scope.organization()).await?)
        }
        "import_suppressions" => {
            let reason: String = read("reason", wanted(given, "reason")?)?;
            let organization: Option<i64> = read("organization_id", given.remove("organization_id").unwrap_or_default())?;
            let scope = wire::suppression_scope(campaign, organization)?;
            let (source, options) = source(given)?;
            wire::import_report(&engine.import_suppressions(source, options, scope, &reason).await?)
        }
        "export_suppressions" => {
            let mut csv = Vec::new();
            engine.export_suppressions(&mut csv).await?;
            Value::String(String::from_utf8(csv).map_err(|error| Error::new(Kind::Internal, "CSV must be text").with_source(error))?)
        }
        "callback" => wire::callback_response(&engine.callback(wire::callback_request(arguments)?).await),
        "is_signed" => json!(engine.is_signed(&wire::callback_request(arguments)?)),
        "receive_message" => wire::message(&engine.receive_message(wire::inbound_message(arguments)?).await?),
        "send_message" => wire::message(&engine.send_message(wire::send_message(arguments)?).await?),
        "conversations" => engine.conversations(wire::conversation_query(arguments)?).await?.iter().map(wire::conversation).collect(),
        "messages" => {
            let (conversation, paging) = wire::message_query(arguments)?;
            wire::page(&engine.messages(&conversation, paging).await?, wire::message)
        }
        "nodes" => engine.nodes().await?.iter().map(wire::node).collect(),
        "now" => json!(engine.now()),
        "events" => {
            return Ok(Made::Events(match campaign {
                Some(campaign) => engine.events(campaign).await?,
                None => engine.all_events().await?,
            }));
        }
        "stop" => {
            let patience: Option<f64> = read("patience", given.remove("patience").unwrap_or_default())?;
            let patience = patience.map(Duration::try_from_secs_f64).transpose();
            json!(engine.stop(patience.map_err(|_| Error::invalid("patience", "must be seconds of at least 0"))?).await?)
        }
        "close" => json!(engine.close().await?),
        _ => return Err(Error::new(Kind::Internal, "the shell asks for a method that the engine has not")),
    };
    Ok(Made::Value(value))
}
