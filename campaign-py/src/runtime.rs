//! The runtime that the package owns, and the bridge between its threads and a Python event loop.

use crate::engine::{self, EngineHandle, EventHandle, Made};
use crate::errors::{self, Failure};
use crate::{adapters, convert};
use campaign_core::dialer::{DialContext, DialRequest};
use campaign_core::engine::RelayCommand;
use campaign_core::schedule::pause_zone_lookups;
use campaign_core::wire::{self, Object};
use campaign_core::{Error, Kind};
use jiff::Timestamp;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLockWriteGuard};
use std::time::Duration;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{mpsc, oneshot};

/// How long the end of the interpreter waits for work that stops by itself.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// One runtime per process: a fork leaves its threads behind, so a child makes its own.
static OWNED: Mutex<Option<(u32, Runtime)>> = Mutex::new(None);

/// The runtime of this process.
pub(crate) fn handle() -> Result<Handle, Error> {
    let mut owned = OWNED.lock();
    let here = std::process::id();
    if let Some((process, _)) = &*owned
        && *process != here
    {
        // Its threads do not exist here, so it can neither be used nor ended.
        std::mem::forget(owned.take());
    }
    if owned.is_none() {
        let made = tokio::runtime::Builder::new_multi_thread().thread_name("campaign").enable_all().build();
        let made = made.map_err(|error| Error::new(Kind::Unavailable, "the engine's threads cannot be started").with_source(error))?;
        *owned = Some((here, made));
    }
    owned.as_ref().map(|(_, runtime)| runtime.handle().clone()).ok_or_else(|| Error::new(Kind::Closed, "the interpreter is going away"))
}

/// Ends the runtime: engines stop as if they had crashed, which is safe. Registered with `atexit`.
#[pyfunction]
pub(crate) fn shutdown(py: Python<'_>) {
    py.detach(|| {
        let owned = OWNED.lock().take();
        match owned {
            Some((process, runtime)) if process == std::process::id() => runtime.shutdown_timeout(LAST_WAIT),
            other => std::mem::forget(other),
        }
    });
}

thread_local! {
    /// Keeps the engines' threads out of the tz database while this thread forks.
    static FORKING: RefCell<Option<RwLockWriteGuard<'static, ()>>> = const { RefCell::new(None) };
}

/// Registered with `os.register_at_fork`, as is [`after_fork`]: a lock that a thread of the parent holds is never given back in the child.
#[pyfunction]
pub(crate) fn before_fork(py: Python<'_>) {
    py.detach(|| FORKING.with_borrow_mut(|pause| _ = pause.get_or_insert_with(pause_zone_lookups)));
}

#[pyfunction]
pub(crate) fn after_fork() {
    FORKING.take();
}

/// What the event loop has to do.
enum Item {
    /// A method of a user's object.
    Call { token: u64, object: u64, method: &'static str, arguments: Vec<Value> },
    /// The same for the one that is called most.
    Dial { token: u64, object: u64, request: Box<DialRequest> },
    /// Nobody waits for the answer any more.
    Cancel { token: u64 },
    /// The engine is done with an object.
    Discard { object: u64 },
    /// A call of the engine has ended.
    Done { token: u64, result: Result<Made, Error> },
    /// How far it is.
    Progress { token: u64, value: Value },
}

/// Who waits for what an item leads to, by token.
enum Waiting {
    Python(u64),
    Engine(u64),
    Nobody,
}

impl Item {
    fn token(&self) -> Waiting {
        match self {
            Self::Done { token, .. } => Waiting::Python(*token),
            Self::Call { token, .. } | Self::Dial { token, .. } => Waiting::Engine(*token),
            Self::Cancel { .. } | Self::Discard { .. } | Self::Progress { .. } => Waiting::Nobody,
        }
    }
}

/// What user code answered.
pub(crate) type Answer = Result<Value, Failure>;

pub(crate) struct Inner {
    queue: Mutex<Vec<Item>>,
    /// A byte is in the pipe.
    woken: AtomicBool,
    writer: PipeWriter,
    reader: PipeReader,
    next: AtomicU64,
    answers: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
    /// Of the dials that go on, with the moment after which they must not be begun.
    contexts: Mutex<HashMap<u64, (DialContext, Timestamp)>>,
    running: Mutex<HashMap<u64, tokio::task::AbortHandle>>,
    /// How the sessions of relays are told what to do.
    relays: Mutex<HashMap<u64, mpsc::UnboundedSender<RelayCommand>>>,
    engines: Mutex<Vec<campaign_core::Engine>>,
    closed: AtomicBool,
    process: u32,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            // A child of a fork only has copies; connections that the parent uses must not be ended here.
            std::mem::forget((
                std::mem::take(self.engines.get_mut()),
                std::mem::take(self.contexts.get_mut()),
                std::mem::take(self.answers.get_mut()),
                std::mem::take(self.running.get_mut()),
                std::mem::take(self.relays.get_mut()),
                std::mem::take(self.queue.get_mut()),
            ));
        }
    }
}

impl Inner {
    fn token(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn push(&self, item: Item) {
        self.queue.lock().push(item);
        // One byte for any number of items: the loop takes them all at once.
        if !self.woken.swap(true, Ordering::AcqRel) {
            // A pipe that is closed belongs to a loop that is gone, and nobody waits there.
            let _ = (&self.writer).write(&[1]);
        }
    }

    /// Asks user code, and tells it when the answer is not wanted any more.
    pub(crate) fn ask(self: &Arc<Self>, object: u64, method: &'static str, arguments: Vec<Value>) -> Question {
        self.question(None, |token| Item::Call { token, object, method, arguments })
    }

    /// Asks a dialer.
    pub(crate) fn dial(self: &Arc<Self>, object: u64, request: DialRequest, context: DialContext) -> Question {
        self.question(Some((context, request.not_after)), |token| Item::Dial { token, object, request: Box::new(request) })
    }

    /// Tells the loop that an object is not needed any more.
    pub(crate) fn discard(&self, object: u64) {
        if !self.closed.load(Ordering::Acquire) {
            self.push(Item::Discard { object });
        }
    }

    fn question(self: &Arc<Self>, context: Option<(DialContext, Timestamp)>, item: impl FnOnce(u64) -> Item) -> Question {
        let (send, answer) = oneshot::channel();
        let token = self.token();
        self.answers.lock().insert(token, send);
        if let Some(context) = context {
            self.contexts.lock().insert(token, context);
        }
        // Looked at last: what `close` did not find here to give up sees that it has begun, so that no thread waits for good.
        if self.closed.load(Ordering::Acquire) {
            self.answers.lock().remove(&token);
            self.contexts.lock().remove(&token);
        } else {
            self.push(item(token));
        }
        Question { bridge: Arc::clone(self), token, answer: Some(answer) }
    }

    /// Remembers an engine that needs the loop, so that it stops with it.
    pub(crate) fn keep(&self, engine: &campaign_core::Engine) {
        self.engines.lock().push(engine.clone());
    }

    pub(crate) fn forget(&self, engine: &campaign_core::Engine) {
        self.engines.lock().retain(|kept| !Arc::ptr_eq(kept.store(), engine.store()));
    }
}

/// A question to user code. Dropping it cancels the coroutine that works on the answer.
pub(crate) struct Question {
    bridge: Arc<Inner>,
    token: u64,
    answer: Option<oneshot::Receiver<Answer>>,
}

impl Question {
    /// The answer.
    pub(crate) async fn answer(&mut self) -> Answer {
        let Some(answer) = &mut self.answer else { return Err(Failure::gone()) };
        let answer = answer.await.unwrap_or_else(|_| Err(Failure::gone()));
        self.answer = None;
        answer
    }

    /// The answer, on a thread that may wait.
    pub(crate) fn wait(mut self) -> Answer {
        let Some(answer) = self.answer.take() else { return Err(Failure::gone()) };
        answer.blocking_recv().unwrap_or_else(|_| Err(Failure::gone()))
    }

    /// Cancels the coroutine, whose answer is still awaited.
    pub(crate) fn cancel(&self) {
        self.bridge.push(Item::Cancel { token: self.token });
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.bridge.contexts.lock().remove(&self.token);
        if self.answer.is_some() && self.bridge.answers.lock().remove(&self.token).is_some() {
            self.cancel();
        }
    }
}

/// The way between the runtime and one event loop.
#[pyclass(frozen)]
pub(crate) struct Bridge(Arc<Inner>);

impl Bridge {
    /// Starts a task; its end is told to the loop. Returns the token of the call.
    fn start(&self, py: Python<'_>, work: impl Future<Output = Result<Made, Error>> + Send + 'static, token: u64) -> PyResult<u64> {
        let bridge = Arc::clone(&self.0);
        let runtime = handle().map_err(|error| errors::raise(py, &error))?;
        // Held until the task is in it, so that one that ends at once finds itself.
        let mut running = self.0.running.lock();
        #[expect(clippy::disallowed_methods, reason = "a call from Python begins here; there is no task of the engine above it")]
        let task = runtime.spawn(async move {
            let result = work.await;
            bridge.running.lock().remove(&token);
            bridge.push(Item::Done { token, result });
        });
        running.insert(token, task.abort_handle());
        Ok(token)
    }
}

#[pymethods]
impl Bridge {
    #[new]
    fn new() -> PyResult<Self> {
        let (reader, writer) = std::io::pipe()?;
        Ok(Self(Arc::new(Inner {
            queue: Mutex::default(),
            woken: AtomicBool::new(false),
            writer,
            reader,
            next: AtomicU64::new(1),
            answers: Mutex::default(),
            contexts: Mutex::default(),
            running: Mutex::default(),
            relays: Mutex::default(),
            engines: Mutex::default(),
            closed: AtomicBool::new(false),
            process: std::process::id(),
        })))
    }

    /// What the loop listens to.
    fn fileno(&self) -> i32 {
        self.0.reader.as_raw_fd()
    }

    /// Everything that waits to be done, as tuples that begin with what it is. Called when `fileno` can be read.
    fn drain<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        // A byte is there: the loop saw it. Taken before the queue, so that what comes later wakes the loop again.
        let _ = (&self.0.reader).read(&mut [0]);
        self.0.woken.store(false, Ordering::Release);
        let items = std::mem::take(&mut *self.0.queue.lock());
        let list = PyList::empty(py);
        for item in items {
            if self.is_wanted(&item) {
                let token = item.token();
                // What cannot be told ends what waits for it, and nothing else.
                match (self.item(py, item), token) {
                    (Ok(item), _) => list.append(item)?,
                    (Err(error), Waiting::Python(token)) => list.append(("done", token, py.None(), error.into_value(py)))?,
                    (Err(error), Waiting::Engine(token)) => {
                        let failure = Failure::of(None, error.value(py).as_any())?;
                        if let Some(send) = self.0.answers.lock().remove(&token) {
                            let _ = send.send(Err(failure));
                        }
                    }
                    (Err(error), Waiting::Nobody) => return Err(error),
                }
            }
        }
        Ok(list)
    }

    /// The answer of user code to a call: a value, or what it raised with the form the shell made of it.
    #[pyo3(signature = (token, value, form=None, exception=None))]
    fn answer(
        &self,
        token: u64,
        value: &Bound<'_, PyAny>,
        form: Option<&Bound<'_, PyAny>>,
        exception: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let answer = match (form, exception) {
            (form, Some(exception)) => Err(Failure::of(form, exception)?),
            _ => Ok(convert::to_json(value)?),
        };
        // Taken last: where reading an answer fails, another one follows.
        let Some(send) = self.0.answers.lock().remove(&token) else { return Ok(()) };
        let _ = send.send(answer);
        Ok(())
    }

    /// Opens an engine.
    #[pyo3(signature = (store, dialer, options, kinds, assistant=None))]
    fn open(
        &self,
        py: Python<'_>,
        store: &Bound<'_, PyAny>,
        dialer: &Bound<'_, PyAny>,
        options: &Bound<'_, PyAny>,
        kinds: HashMap<String, u64>,
        assistant: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        let store = adapters::store(&self.0, store)?;
        let dialer = adapters::dialer(&self.0, dialer)?;
        let assistant = assistant.map(|assistant| adapters::assistant(&self.0, assistant)).transpose()?;
        let options = convert::object(options)?;
        let bridge = Arc::clone(&self.0);
        let token = self.0.token();
        self.start(py, async move { engine::open(bridge, store, dialer, assistant, options, kinds).await }, token)
    }

    /// Carries the session of a relay; the frames that go out are its progress.
    fn relay(&self, py: Python<'_>, engine: &EngineHandle, setup: String) -> PyResult<u64> {
        let (engine, token, bridge) = (engine.here(py)?, self.0.token(), Arc::clone(&self.0));
        let (commands, obeyed) = mpsc::unbounded_channel();
        self.0.relays.lock().insert(token, commands);
        let carried = async move {
            let session = engine.relay(&setup).await?;
            drop(engine);
            let tell = |frame: String| bridge.push(Item::Progress { token, value: Value::String(frame) });
            let spoken = session.carry(obeyed, tell).await?;
            Ok(Made::Value(spoken.iter().map(wire::spoken).collect()))
        };
        let bridge = Arc::clone(&self.0);
        let work = async move {
            let carried = carried.await;
            bridge.relays.lock().remove(&token);
            carried
        };
        self.start(py, work, token)
    }

    /// What is to happen in such a session; nothing more once it is none.
    #[pyo3(signature = (token, command=None))]
    fn command(&self, py: Python<'_>, token: u64, command: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let Some(command) = command else {
            self.0.relays.lock().remove(&token);
            return Ok(());
        };
        let command = wire::relay_command(convert::to_json(command)?).map_err(|error| errors::raise(py, &error))?;
        if let Some(commands) = self.0.relays.lock().get(&token) {
            // A session that has just ended obeys no more.
            let _ = commands.send(command);
        }
        Ok(())
    }

    /// Copies one store into another.
    fn copy_store(&self, py: Python<'_>, source: &Bound<'_, PyAny>, target: &Bound<'_, PyAny>) -> PyResult<u64> {
        let (source, target) = (adapters::store(&self.0, source)?, adapters::store(&self.0, target)?);
        self.start(py, engine::copy(source, target), self.0.token())
    }

    /// Calls a method of an engine by name.
    fn call(&self, py: Python<'_>, engine: &EngineHandle, method: String, arguments: &Bound<'_, PyAny>) -> PyResult<u64> {
        let arguments = convert::object(arguments)?;
        let engine = engine.here(py)?;
        let token = self.0.token();
        let bridge = Arc::clone(&self.0);
        self.start(
            py,
            async move {
                let tell = |value: Value| bridge.push(Item::Progress { token, value });
                let result = engine::call(&engine, &method, arguments, &tell).await;
                if method == "close" || method == "stop" {
                    bridge.forget(&engine);
                }
                result
            },
            token,
        )
    }

    /// The next events of a stream, at least one; none when it has ended.
    fn next_events(&self, py: Python<'_>, events: &EventHandle) -> PyResult<u64> {
        let events = events.shared();
        self.start(py, async move { Ok(engine::next_events(events).await) }, self.0.token())
    }

    /// Asked right before user code dials. A hand-off that was given up meanwhile, or for which the loop or a thread came too late, does
    /// not happen, and has its answer.
    fn begin(&self, dial: u64) -> bool {
        let Some((context, not_after)) = self.0.contexts.lock().get(&dial).cloned() else { return false };
        let in_time = context.now() <= not_after && !context.is_cancelled();
        if !in_time && let Some(send) = self.0.answers.lock().remove(&dial) {
            let _ = send.send(Err(Failure::late()));
        }
        in_time
    }

    /// A method of the context of a dial that is going on: `placed`, `sleep` or `cancelled`.
    fn context(&self, py: Python<'_>, dial: u64, method: String, argument: &Bound<'_, PyAny>) -> PyResult<u64> {
        let context = self.0.contexts.lock().get(&dial).map(|(context, _)| context.clone());
        let argument = convert::to_json(argument)?;
        self.start(py, async move { adapters::context(context, &method, argument).await }, self.0.token())
    }

    /// Tells watchers how far a call is.
    fn progress(&self, dial: u64, stage: &str) {
        if let Some((context, _)) = self.0.contexts.lock().get(&dial) {
            context.progress(stage);
        }
    }

    /// The engine's clock for a dial, and whether it is to be given up.
    fn clock(&self, dial: u64) -> Option<(String, bool)> {
        self.0.contexts.lock().get(&dial).map(|(context, _)| (context.now().to_string(), context.is_cancelled()))
    }

    /// An engine that is done with does not hold up the end of the loop.
    fn forget(&self, engine: &EngineHandle) {
        engine.forget(&self.0);
    }

    /// Runs a conformance suite, `store` or `dialer`, on what an object's `make` gives.
    fn suite(&self, py: Python<'_>, kind: String, maker: u64, arguments: &Bound<'_, PyAny>) -> PyResult<u64> {
        let bridge = Arc::clone(&self.0);
        let arguments = convert::object(arguments)?;
        self.start(py, async move { adapters::suite(bridge, &kind, maker, arguments).await }, self.0.token())
    }

    /// Gives a call up.
    fn abort(&self, token: u64) {
        self.0.relays.lock().remove(&token);
        if let Some(task) = self.0.running.lock().remove(&token) {
            task.abort();
        }
    }

    /// The loop ends: engines that need it stop, and nobody waits for answers any more.
    fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        for engine in self.0.engines.lock().drain(..) {
            engine.abort();
        }
        self.0.answers.lock().clear();
        self.0.contexts.lock().clear();
        self.0.relays.lock().clear();
        self.0.queue.lock().clear();
    }
}

impl Bridge {
    /// Whether user code is still to be called: what was given up while it waited for the event loop is not begun any more.
    fn is_wanted(&self, item: &Item) -> bool {
        match item {
            Item::Call { token, .. } | Item::Dial { token, .. } => self.0.answers.lock().contains_key(token),
            Item::Cancel { .. } | Item::Discard { .. } | Item::Done { .. } | Item::Progress { .. } => true,
        }
    }

    fn item<'py>(&self, py: Python<'py>, item: Item) -> PyResult<Bound<'py, PyTuple>> {
        match item {
            Item::Call { token, object, method, arguments } => {
                let arguments = convert::to_python(py, &Value::Array(arguments))?;
                ("call", token, object, method, arguments).into_pyobject(py)
            }
            Item::Dial { token, object, request } => {
                ("dial", token, object, convert::dict(py, &wire::dial_request(&request))?).into_pyobject(py)
            }
            Item::Cancel { token } => ("cancel", token).into_pyobject(py),
            Item::Discard { object } => ("discard", object).into_pyobject(py),
            Item::Progress { token, value } => ("progress", token, convert::to_python(py, &value)?).into_pyobject(py),
            Item::Done { token, result } => match result {
                Ok(Made::Value(value)) => ("done", token, convert::to_python(py, &value)?, py.None()).into_pyobject(py),
                Ok(Made::Engine(engine)) => ("done", token, Py::new(py, EngineHandle::new(engine))?, py.None()).into_pyobject(py),
                Ok(Made::Events(events)) => ("done", token, Py::new(py, EventHandle::new(events))?, py.None()).into_pyobject(py),
                Err(error) => ("done", token, py.None(), errors::exception(py, &error)?).into_pyobject(py),
            },
        }
    }
}

/// Arguments that must be there.
pub(crate) fn wanted(arguments: &mut Object, name: &'static str) -> Result<Value, Error> {
    arguments.remove(name).filter(|value| !value.is_null()).ok_or_else(|| Error::invalid(name, "is missing"))
}
