//! The engine behind the shell: one method that takes every call by its name.

use crate::adapters::{JsAssistant, JsDialer, JsKind, JsReader, JsStore, Object};
use crate::convert::{self, Arguments, read};
use crate::runtime::{Bridge, runtime};
use campaign_core::assistant::Assistant;
use campaign_core::assistant::relay::Spoken;
use campaign_core::dialer::Dialer;
use campaign_core::engine::RelayCommand;
use campaign_core::executor::{SharedExecutor, TokioExecutor};
use campaign_core::id::{AttemptId, CampaignId, ContactId, ListId};
use campaign_core::import::{ImportOptions, ImportSource};
use campaign_core::store::{ContactStore, Copied, copy_store, open_store};
use campaign_core::{Engine, Error, EventStream, Kind, Result, wire};
use futures_util::FutureExt;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// Events handed over at once, so that a burst costs few crossings.
const EVENTS_AT_ONCE: usize = 256;

/// A reader of events, and how it is told to stop.
type Reader = (Arc<tokio::sync::Mutex<EventStream>>, Arc<Notify>);

/// How the session of a relay is told what to do, until it is over, and where it hears of it, until it begins.
type Relay = (Option<mpsc::UnboundedSender<RelayCommand>>, Option<mpsc::UnboundedReceiver<RelayCommand>>);

fn told() -> Relay {
    let (commands, obeyed) = mpsc::unbounded_channel();
    (Some(commands), Some(obeyed))
}

/// One engine of one JavaScript thread.
pub(crate) struct Host {
    pub(crate) bridge: Arc<Bridge>,
    engine: Mutex<Option<Engine>>,
    readers: Mutex<HashMap<u32, Reader>>,
    /// The sessions of relays, by the numbers of their watchers.
    relays: Mutex<HashMap<u32, Relay>>,
}

impl Host {
    pub(crate) fn new(bridge: Arc<Bridge>) -> Arc<Self> {
        Arc::new(Self { bridge, engine: Mutex::default(), readers: Mutex::default(), relays: Mutex::default() })
    }

    /// Carries out a call and sends what it came to.
    pub(crate) fn call(self: &Arc<Self>, id: u32, method: String, arguments: String, bytes: Option<Vec<u8>>) {
        let host = Arc::clone(self);
        runtime().spawn(async move {
            let work = AssertUnwindSafe(async {
                let arguments =
                    serde_json::from_str(&arguments).map_err(|error| Error::invalid("arguments", convert::without_values(&error)))?;
                host.carry_out(&method, Arguments(arguments), bytes).await
            });
            let result = work.catch_unwind().await.unwrap_or_else(|_| Err(Error::new(Kind::Internal, "the call panicked")));
            match result {
                Ok(value) => host.bridge.send(&("reply", id, value)),
                Err(error) => host.bridge.send(&("fail", id, crate::errors::to_shell(&error))),
            }
        });
    }

    /// Ends without waiting for anything: the JavaScript thread is going.
    pub(crate) fn end(&self) {
        // First of all, so that nothing is settled on the grounds that user code does not answer any more.
        if let Some(engine) = self.engine.lock().take() {
            engine.abort();
        }
        self.bridge.end();
        self.readers.lock().clear();
        self.relays.lock().clear();
    }

    fn engine(&self) -> Result<Engine> {
        self.engine.lock().clone().ok_or_else(|| Error::new(Kind::Closed, "the engine is not open"))
    }

    fn object(&self, id: u32) -> Object {
        Object { bridge: Arc::clone(&self.bridge), id }
    }

    /// The store that is meant: a URL, or an object of the user's.
    async fn store(&self, store: Value) -> Result<Arc<dyn ContactStore>> {
        match store {
            Value::String(url) => open_store(&url).await,
            object => Ok(Arc::new(JsStore(self.object(read("store", object)?)))),
        }
    }

    /// The dialer that is meant: one by configuration, or an object of the user's.
    pub(crate) fn dialer(&self, dialer: Value, clock: &SharedExecutor) -> Result<Arc<dyn Dialer>> {
        let mut own = |dialer| {
            let mut dialer = Arguments(dialer);
            let can_find = dialer.take("can_find")?;
            let capabilities = wire::capabilities(dialer.object("capabilities")?, can_find)?;
            let object = self.object(dialer.take("object")?);
            let sends = dialer.take::<bool>("can_send")?.then(|| object.clone().sends());
            Ok(Arc::new(JsDialer { object, capabilities, can_find, sends, clock: Arc::clone(clock) }) as Arc<dyn Dialer>)
        };
        wire::dialer(dialer, &mut own)
    }

    async fn open(&self, mut arguments: Arguments) -> Result<Value> {
        let options = wire::options(arguments.object("options")?)?;
        let store = self.store(arguments.take("store")?).await?;
        let executor = TokioExecutor::on(runtime().handle().clone());
        let clock: SharedExecutor = Arc::new(executor.clone());
        let dialer = self.dialer(arguments.take("dialer")?, &clock)?;
        let mut own = |mut object: wire::Object| {
            let object = self.object(read("assistant", object.remove("object").unwrap_or_default())?);
            Ok(Arc::new(JsAssistant(object)) as Arc<dyn Assistant>)
        };
        let assistant = arguments.take::<Option<Value>>("assistant")?.map(|given| wire::assistant(given, &mut own)).transpose()?;
        let kinds: BTreeMap<String, u32> = arguments.take("kinds")?;
        let mut builder = Engine::builder().shared_store(store).shared_dialer(dialer).executor(executor).options(|own| *own = options);
        for (name, id) in kinds {
            builder = builder.campaign_kind(name, JsKind(self.object(id)));
        }
        if let Some(assistant) = assistant {
            builder = builder.shared_assistant(assistant);
        }
        *self.engine.lock() = Some(builder.build().await?);
        Ok(Value::Null)
    }

    async fn copy(&self, mut arguments: Arguments) -> Result<Value> {
        let stores: [Value; 2] = [arguments.take("from")?, arguments.take("to")?];
        let own = stores.each_ref().map(Value::is_string);
        let [from, to] = stores;
        let (from, to) = (self.store(from).await?, self.store(to).await?);
        let copied = copy_store(&*from, &*to).await;
        // What was opened here is closed here; an object of the user's stays open.
        for (store, own) in [&from, &to].into_iter().zip(own) {
            if own {
                store.close().await?;
            }
        }
        let Copied { campaigns, contacts, attempts, suppressions, documents } = copied?;
        Ok(json!({
            "campaigns": campaigns, "contacts": contacts, "attempts": attempts, "suppressions": suppressions, "documents": documents,
        }))
    }

    fn source(&self, arguments: &mut Arguments, bytes: Option<Vec<u8>>) -> Result<ImportSource> {
        if let Some(bytes) = bytes {
            return Ok(ImportSource::from(bytes));
        }
        if let Some(path) = arguments.take::<Option<PathBuf>>("path")? {
            return Ok(ImportSource::Path(path));
        }
        if let Some(stream) = arguments.take::<Option<u32>>("stream")? {
            return Ok(ImportSource::Reader(Box::new(JsReader::new(self.object(stream)))));
        }
        Ok(ImportSource::Rows(arguments.take::<Vec<Map<String, Value>>>("rows")?))
    }

    async fn carry_out(self: &Arc<Self>, method: &str, mut arguments: Arguments, bytes: Option<Vec<u8>>) -> Result<Value> {
        match method {
            "open" => return self.open(arguments).await,
            "copy_store" => return self.copy(arguments).await,
            "conformance_store" => return crate::suites::store(self, arguments).await,
            "conformance_dialer" => return crate::suites::dialer(self, arguments).await,
            "placed" => {
                let context = self.bridge.context(arguments.take("dial")?).ok_or_else(dial_over)?;
                context.placed(arguments.take::<String>("provider_ref")?).await?;
                return Ok(Value::Null);
            }
            "sleep" => {
                let dial = arguments.take("dial")?;
                let time = Duration::try_from_secs_f64(arguments.take("seconds")?);
                let time = time.map_err(|_| Error::invalid("seconds", "must be a time of at least 0"))?;
                self.bridge.sleep(dial, time).await.ok_or_else(dial_over)?;
                return Ok(Value::Null);
            }
            _ => {}
        }
        let engine = self.engine()?;
        if let Some(answer) = self.events(&engine, method, &mut arguments).await? {
            return Ok(answer);
        }
        if let Some(answer) = self.people(&engine, method, &mut arguments).await? {
            return Ok(answer);
        }
        if let Some(answer) = self.contacts(&engine, method, &mut arguments, bytes).await? {
            return Ok(answer);
        }
        let id = |arguments: &mut Arguments| arguments.take::<CampaignId>("campaign_id");
        Ok(match method {
            "create_campaign" => {
                let record = engine.create_campaign(wire::spec(arguments.object("campaign")?)?).await?;
                wire::campaign(&record, None)
            }
            "get_campaign" => {
                let id = id(&mut arguments)?;
                wire::campaign(&engine.get_campaign(id).await?, Some(&engine.progress(id).await?))
            }
            "list_campaigns" => {
                let page = engine.list_campaigns(wire::campaign_query(arguments.object("query")?)?).await?;
                wire::page(&page, |record| wire::campaign(record, None))
            }
            "update_campaign" => {
                let patch = Value::Object(wire::spec_patch(arguments.object("changes")?)?);
                wire::campaign(&engine.patch_campaign(id(&mut arguments)?, &patch).await?, None)
            }
            "delete_campaign" => plain(engine.delete_campaign(id(&mut arguments)?).await?)?,
            "start" => wire::campaign(&engine.start(id(&mut arguments)?).await?, None),
            "schedule" => {
                let schedule = wire::schedule(arguments.object("schedule")?)?;
                wire::campaign(&engine.schedule(id(&mut arguments)?, schedule).await?, None)
            }
            "unschedule" => wire::campaign(&engine.unschedule(id(&mut arguments)?).await?, None),
            "pause" => wire::campaign(&engine.pause(id(&mut arguments)?).await?, None),
            "resume" => wire::campaign(&engine.resume(id(&mut arguments)?).await?, None),
            "cancel" => wire::campaign(&engine.cancel(id(&mut arguments)?).await?, None),
            "complete" => wire::campaign(&engine.complete(id(&mut arguments)?).await?, None),
            "re_execute" => {
                let contacts = wire::reexecution(arguments.take("contacts")?)?;
                plain(engine.re_execute(id(&mut arguments)?, contacts).await?)?
            }
            "wait" => wire::progress(&engine.wait(id(&mut arguments)?).await?),
            "progress" => wire::progress(&engine.progress(id(&mut arguments)?).await?),
            "executions" => wire::page(&engine.executions(wire::execution_query(arguments.object("query")?)?).await?, wire::execution),
            "timeline" => {
                let id = id(&mut arguments)?;
                let query = wire::timeline_query(id, arguments.object("query")?, engine.now())?;
                engine.timeline(query).await?.iter().map(wire::timeline).collect()
            }
            "amend" => {
                let outcome = wire::outcome(arguments.take("outcome")?)?;
                wire::execution(&engine.amend(AttemptId(arguments.take("execution_id")?), outcome).await?)
            }
            "explain_campaign" => wire::campaign_explanation(&engine.explain_campaign(id(&mut arguments)?).await?),
            "simulate" => {
                let options = wire::simulate_options(arguments.object("options")?)?;
                wire::simulation(&engine.simulate(id(&mut arguments)?, options).await?)
            }
            "preview_template" => wire::preview(arguments.0)?.into(),
            "preview_contact" => {
                let contact = ContactId(arguments.take("contact_id")?);
                plain(engine.preview_contact(id(&mut arguments)?, contact).await?)?
            }
            "lint_template" => {
                let options = wire::lint_options(arguments.object("options")?)?;
                wire::lint_report(&engine.lint_template(id(&mut arguments)?, options).await?)
            }
            "nodes" => engine.nodes().await?.iter().map(wire::node).collect(),
            "now" => json!({ "now": engine.now() }),
            "stop" => plain(engine.stop(patience(&mut arguments)?).await?)?,
            "close" => {
                let stopped = engine.stop(patience(&mut arguments)?).await;
                engine.close().await.and(stopped)?;
                Value::Null
            }
            _ => return Err(Error::new(Kind::Internal, format!("there is no method {method}"))),
        })
    }

    async fn contacts(
        self: &Arc<Self>,
        engine: &Engine,
        method: &str,
        arguments: &mut Arguments,
        bytes: Option<Vec<u8>>,
    ) -> Result<Option<Value>> {
        Ok(Some(match method {
            "import_contacts" => {
                let options = import_options(arguments)?;
                let owner = arguments.owner()?;
                let watcher: Option<u32> = arguments.take("watcher")?;
                let source = self.source(arguments, bytes)?;
                let tell = |progress| {
                    if let Some(watcher) = watcher {
                        self.bridge.send(&("tell", watcher, wire::import_progress(&progress)));
                    }
                };
                wire::import_report(&engine.import_with_progress(owner, source, options, tell).await?)
            }
            "get_contact" => wire::contact(&engine.get_contact(ContactId(arguments.take("contact_id")?)).await?),
            "list_contacts" => {
                let query = wire::contact_query(arguments.owner()?, arguments.object("query")?)?;
                wire::page(&engine.list_contacts(query).await?, wire::contact)
            }
            "remove_contacts" => plain(engine.remove_contacts(arguments.owner()?, arguments.take("contact_ids")?).await?)?,
            "record_reply" => wire::contact(&engine.record_reply(ContactId(arguments.take("contact_id")?)).await?),
            "explain_contact" => wire::contact_explanation(&engine.explain_contact(ContactId(arguments.take("contact_id")?)).await?),
            "create_list" => {
                let (name, description) = (arguments.take::<String>("name")?, arguments.take::<Option<String>>("description")?);
                let organization = arguments.take::<Option<i64>>("organization_id")?;
                wire::contact_list(&engine.create_list(&name, description.as_deref(), organization).await?)
            }
            "update_list" => {
                let (list, name) = (ListId(arguments.take("list_id")?), arguments.take::<Option<String>>("name")?);
                let description = arguments.take::<Option<String>>("description")?;
                wire::contact_list(&engine.update_list(list, name.as_deref(), description.as_deref()).await?)
            }
            "get_list" => wire::contact_list(&engine.get_list(ListId(arguments.take("list_id")?)).await?),
            "lists" => {
                let lists = engine.lists(arguments.take::<Option<i64>>("organization_id")?).await?;
                lists.iter().map(wire::contact_list).collect()
            }
            "delete_list" => plain(engine.delete_list(ListId(arguments.take("list_id")?)).await?)?,
            "attach_list" => {
                let list = ListId(arguments.take("list_id")?);
                wire::import_report(&engine.attach_list(list, CampaignId(arguments.take("campaign_id")?)).await?)
            }
            "suppress" => {
                let entries = arguments.take::<Vec<wire::Object>>("entries")?;
                let entries = entries.into_iter().map(|entry| wire::suppression(entry, engine.now())).collect::<Result<_>>()?;
                plain(engine.suppress(entries).await?)?
            }
            "unsuppress" => {
                let keys = arguments.take::<Vec<wire::Object>>("keys")?.into_iter().map(wire::suppression_key).collect::<Result<_>>()?;
                plain(engine.unsuppress(keys).await?)?
            }
            "suppressions" => {
                let page = engine.suppressions(wire::suppression_query(arguments.object("query")?)?).await?;
                wire::page(&page, wire::suppression_entry)
            }
            "is_suppressed" => {
                let key = wire::suppression_key(arguments.object("key")?)?;
                plain(engine.is_suppressed(&key.phone, key.scope.organization()).await?)?
            }
            "import_suppressions" => {
                let options = import_options(arguments)?;
                let scope = arguments.take::<Option<CampaignId>>("campaign_id")?;
                let scope = wire::suppression_scope(scope, arguments.take("organization_id")?)?;
                let reason: String = arguments.take("reason")?;
                let source = self.source(arguments, bytes)?;
                wire::import_report(&engine.import_suppressions(source, options, scope, &reason).await?)
            }
            "export_suppressions" => {
                let mut csv = Vec::new();
                engine.export_suppressions(&mut csv).await?;
                String::from_utf8_lossy(&csv).into_owned().into()
            }
            _ => return Ok(None),
        }))
    }

    /// What is to happen in the session of a relay; nothing ends it. Told before it has begun, it waits.
    pub(crate) fn command(&self, relay: u32, command: Option<&str>) -> Result<Value> {
        let command = command.map(|text| wire::relay_command(serde_json::from_str(text).unwrap_or_default())).transpose()?;
        let mut relays = self.relays.lock();
        let (commands, _) = relays.entry(relay).or_insert_with(told);
        match (commands.as_ref(), command) {
            // A session that has just ended obeys no more.
            (Some(commands), Some(command)) => drop(commands.send(command)),
            (_, None) => *commands = None,
            (None, Some(_)) => {}
        }
        Ok(Value::Null)
    }

    async fn carry(&self, engine: &Engine, relay: u32, setup: &str) -> Result<Vec<Spoken>> {
        let obeyed = self.relays.lock().entry(relay).or_insert_with(told).1.take();
        let obeyed = obeyed.ok_or_else(|| Error::new(Kind::Internal, "a relay is carried once"))?;
        engine.relay(setup).await?.carry(obeyed, |frame| self.bridge.send(&("tell", relay, frame))).await
    }

    /// People who answer back.
    async fn people(&self, engine: &Engine, method: &str, arguments: &mut Arguments) -> Result<Option<Value>> {
        Ok(Some(match method {
            "callback" => wire::callback_response(&engine.callback(wire::callback_request(arguments.object("request")?)?).await),
            "is_signed" => engine.is_signed(&wire::callback_request(arguments.object("request")?)?).into(),
            "receive_message" => wire::message(&engine.receive_message(wire::inbound_message(arguments.object("message")?)?).await?),
            "send_message" => wire::message(&engine.send_message(wire::send_message(arguments.object("message")?)?).await?),
            "conversations" => {
                let found = engine.conversations(wire::conversation_query(arguments.object("query")?)?).await?;
                found.iter().map(wire::conversation).collect()
            }
            "messages" => {
                let (conversation, paging) = wire::message_query(arguments.object("query")?)?;
                wire::page(&engine.messages(&conversation, paging).await?, wire::message)
            }
            "relay" => {
                let (relay, setup) = (arguments.take::<u32>("relay")?, arguments.take::<String>("setup")?);
                let spoken = self.carry(engine, relay, &setup).await;
                self.relays.lock().remove(&relay);
                spoken?.iter().map(wire::spoken).collect()
            }
            _ => return Ok(None),
        }))
    }

    /// Readers of events are asked for the next ones; who asks slowly is told how many were missed.
    async fn events(&self, engine: &Engine, method: &str, arguments: &mut Arguments) -> Result<Option<Value>> {
        let reader = |arguments: &mut Arguments| arguments.take::<u32>("reader");
        Ok(Some(match method {
            "events" => {
                let stream = match arguments.take::<Option<CampaignId>>("campaign_id")? {
                    Some(id) => engine.events(id).await?,
                    None => engine.all_events().await?,
                };
                let entry = (Arc::new(tokio::sync::Mutex::new(stream)), Arc::default());
                self.readers.lock().insert(reader(arguments)?, entry);
                Value::Null
            }
            "next_events" => {
                let found = self.readers.lock().get(&reader(arguments)?).cloned();
                let Some((stream, stop)) = found else { return Ok(Some(json!([]))) };
                let mut stream = stream.lock().await;
                let first = tokio::select! { biased; () = stop.notified() => None, event = stream.next() => event };
                let mut events: Vec<Value> = first.iter().map(wire::event).collect();
                while !events.is_empty() && events.len() < EVENTS_AT_ONCE {
                    let Some(Some(event)) = stream.next().now_or_never() else { break };
                    events.push(wire::event(&event));
                }
                events.into()
            }
            "end_events" => {
                if let Some((_, stop)) = self.readers.lock().remove(&reader(arguments)?) {
                    stop.notify_one();
                }
                Value::Null
            }
            _ => return Ok(None),
        }))
    }
}

/// The options of an import; `rejects` among them is the path of a file for rejected rows.
fn import_options(arguments: &mut Arguments) -> Result<ImportOptions> {
    let mut given = arguments.object("options")?;
    let rejects: Option<PathBuf> = read("rejects", given.remove("rejects").unwrap_or_default())?;
    let mut options = wire::import_options(given)?;
    if let Some(path) = rejects {
        let file = std::fs::File::create(path)
            .map_err(|error| Error::invalid("rejects", "the file for rejected rows cannot be written").with_source(error))?;
        options.rejects = Some(Box::new(std::io::BufWriter::new(file)));
    }
    Ok(options)
}

fn plain(value: impl Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|error| Error::new(Kind::Internal, "an answer must have a JSON form").with_source(error))
}

fn patience(arguments: &mut Arguments) -> Result<Option<Duration>> {
    let seconds = arguments.take::<Option<f64>>("patience")?;
    seconds
        .map(|seconds| Duration::try_from_secs_f64(seconds).map_err(|_| Error::invalid("patience", "must be a time of at least 0")))
        .transpose()
}

fn dial_over() -> Error {
    Error::new(Kind::State, "this dial has ended; its context can do nothing any more")
}
