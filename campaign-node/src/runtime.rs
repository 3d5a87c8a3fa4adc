//! The runtime that the package owns, and the bridge between its threads and one JavaScript thread.
//!
//! Everything crosses as text, the flat form in JSON, and in batches. Rust never calls a user's function: it puts messages into an
//! outbox and wakes the JavaScript thread once, which takes all that have gathered; answers come back many at a time as well.
//! The one function that wakes is weak, so that an idle engine does not keep the process open, and nothing is called any more once
//! the JavaScript thread is going.

use crate::errors::Thrown;
use campaign_core::dialer::DialContext;
use campaign_core::executor::{Hold, SharedExecutor};
use campaign_core::{Error, Kind, Result};
use futures_util::future::poll_immediate;
use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use std::mem;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// Never shut down: its threads hold nothing that a process must give back, and end with it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("campaign").enable_all().build();
    runtime.unwrap_or_else(|error| panic!("the threads of the engine cannot be started: {error}"))
});

/// The threads that the engines of this process run on.
pub(crate) fn runtime() -> &'static Runtime {
    &RUNTIME
}

/// Wakes the JavaScript thread; takes nothing, gives nothing, is weak.
type Wake = ThreadsafeFunction<(), (), (), napi::Status, false, true>;

/// What JavaScript answered.
pub(crate) enum Reply {
    /// A value.
    Json(Value),
    /// A piece of a stream; `None` at its end.
    Bytes(Option<Vec<u8>>),
}

type Answer = Result<Reply, Thrown>;

/// A question that JavaScript has not answered yet.
struct Open {
    answer: oneshot::Sender<Answer>,
    dial: Option<Dialling>,
}

/// A dial that goes on. The hold keeps a virtual clock where it is while JavaScript works.
struct Dialling {
    context: DialContext,
    clock: SharedExecutor,
    hold: Hold,
}

#[derive(Default)]
struct Outbox {
    /// Messages in JSON, joined by commas.
    text: String,
    /// The JavaScript thread has been woken and has not taken the messages yet.
    woken: bool,
}

/// What stands between the engine's threads and one JavaScript thread.
pub(crate) struct Bridge {
    wake: Mutex<Option<Wake>>,
    outbox: Mutex<Outbox>,
    /// `None` once the bridge has ended.
    open: Mutex<Option<HashMap<u32, Open>>>,
    next: AtomicU32,
}

impl Bridge {
    /// A bridge that wakes JavaScript with this function.
    pub(crate) fn new(wake: &Function<'_, (), ()>) -> napi::Result<Arc<Self>> {
        let wake = wake.build_threadsafe_function::<()>().callee_handled::<false>().weak::<true>().build()?;
        let open = Mutex::new(Some(HashMap::new()));
        Ok(Arc::new(Self { wake: Mutex::new(Some(wake)), outbox: Mutex::default(), open, next: AtomicU32::new(1) }))
    }

    /// Ends it: nothing is sent any more, and nobody waits for an answer that cannot come.
    pub(crate) fn end(&self) {
        let wake = self.wake.lock().take();
        let open = self.open.lock().take();
        drop((wake, open));
    }

    /// Takes all messages, as a JSON array.
    pub(crate) fn take(&self) -> String {
        let Outbox { text, .. } = mem::take(&mut *self.outbox.lock());
        format!("[{text}]")
    }

    /// Sends a message: a tuple that begins with its kind.
    pub(crate) fn send(&self, message: &impl Serialize) {
        // Messages are made of texts, numbers and JSON values: they always have a JSON form.
        let Ok(message) = serde_json::to_string(message) else { return };
        if self.wake.lock().is_none() {
            return;
        }
        let mut outbox = self.outbox.lock();
        if !outbox.text.is_empty() {
            outbox.text.push(',');
        }
        outbox.text.push_str(&message);
        if mem::replace(&mut outbox.woken, true) {
            return;
        }
        drop(outbox);
        if let Some(wake) = &*self.wake.lock() {
            wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }

    /// Asks JavaScript to call a method of one of its objects.
    pub(crate) fn ask(
        self: &Arc<Self>,
        object: u32,
        method: &str,
        arguments: &Value,
        dial: Option<(DialContext, SharedExecutor)>,
    ) -> Question {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        let dial = dial.map(|(context, clock)| Dialling { context, hold: clock.hold(), clock });
        if let Some(open) = &mut *self.open.lock() {
            open.insert(id, Open { answer, dial });
            self.send(&("ask", id, object, method, arguments));
        }
        Question { bridge: Arc::clone(self), id, answered, done: false }
    }

    /// Passes on what JavaScript answered.
    pub(crate) fn answer(self: &Arc<Self>, id: u32, answer: Answer) {
        let open = self.remove(id);
        let unheard = match open {
            Some(open) => open.answer.send(answer).err(),
            None => Some(answer),
        };
        // Whoever asked may have gone meanwhile; the shell need not keep for them what was thrown.
        if let Some(Err(thrown)) = unheard {
            drop(thrown.into_error(self, "nobody"));
        }
    }

    fn remove(&self, id: u32) -> Option<Open> {
        self.open.lock().as_mut()?.remove(&id)
    }

    /// The context of a dial that goes on.
    pub(crate) fn context(&self, id: u32) -> Option<DialContext> {
        Some(self.open.lock().as_ref()?.get(&id)?.dial.as_ref()?.context.clone())
    }

    /// Holds the clock of a dial, or lets it go.
    fn hold(&self, id: u32, held: bool) {
        let mut open = self.open.lock();
        let Some(dial) = open.as_mut().and_then(|open| open.get_mut(&id)).and_then(|open| open.dial.as_mut()) else { return };
        let hold = if held { dial.clock.hold() } else { Hold::none() };
        let old = mem::replace(&mut dial.hold, hold);
        // A hold that ends wakes others, which must not find the lock taken.
        drop(open);
        drop(old);
    }

    /// Waits by the clock of a dial. Whoever waits by a clock must let it go on; it stands still again before it can move past the end.
    pub(crate) async fn sleep(self: &Arc<Self>, id: u32, time: Duration) -> Option<()> {
        let clock = Arc::clone(&self.open.lock().as_ref()?.get(&id)?.dial.as_ref()?.clock);
        let context = self.context(id)?;
        let (done, wait) = oneshot::channel();
        let bridge = Arc::clone(self);
        clock.spawn(Box::pin(async move {
            let mut sleep = pin!(context.sleep(time));
            // The timer is set before the clock is let go.
            if poll_immediate(&mut sleep).await.is_none() {
                bridge.hold(id, false);
                sleep.await;
                bridge.hold(id, true);
            }
            // The dial may have ended meanwhile.
            let _ = done.send(());
        }));
        wait.await.ok()
    }
}

/// A question on its way. When it is dropped before its answer, JavaScript is told to give it up.
pub(crate) struct Question {
    bridge: Arc<Bridge>,
    id: u32,
    answered: oneshot::Receiver<Answer>,
    done: bool,
}

impl Question {
    /// Asks JavaScript to give up; the answer is still waited for.
    pub(crate) fn abort(&self) {
        self.bridge.hold(self.id, true);
        self.bridge.send(&("abort", self.id));
    }

    /// The answer.
    pub(crate) async fn reply(&mut self) -> Answer {
        let answer = (&mut self.answered).await;
        self.done = true;
        answer.unwrap_or_else(|_| Err(Thrown::gone()))
    }

    /// The answer, on a thread that waits for it: what asks is not asynchronous.
    #[expect(clippy::disallowed_methods, reason = "a campaign and a template are synchronous in Rust; their code runs on another thread")]
    pub(crate) fn wait(mut self) -> Answer {
        tokio::task::block_in_place(|| runtime().block_on(self.reply()))
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if !self.done {
            let open = self.bridge.remove(self.id);
            if open.is_some() {
                self.abort();
            }
        }
    }
}

/// What everything says once the JavaScript thread is going.
pub(crate) fn gone() -> Error {
    Error::new(Kind::Closed, "the JavaScript thread of the engine has ended")
}
