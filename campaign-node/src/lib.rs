//! The native half of the npm package `campaign-node`.
//!
//! | file | role |
//! |---|---|
//! | `engine` | every call of the shell, by its name |
//! | `convert` | arguments of calls |
//! | `adapters` | a user's dialer, store, campaign and stream as the engine's traits |
//! | `errors` | errors in both directions |
//! | `runtime` | the threads, and the bridge to JavaScript |
//! | `suites` | the conformance suites for `campaign-node/testing` |
//!
//! The other half is the shell in `ts/`: it has the names, the types and the classes that users see, converts names and moments,
//! and wraps whatever a user gives, so that nothing in here ever meets a foreign exception.

mod adapters;
mod convert;
mod engine;
mod errors;
mod runtime;
mod suites;

use campaign_core::{Error, wire};
use engine::Host;
use napi::Env;
use napi::bindgen_prelude::{Buffer, Function};
use napi_derive::napi;
use runtime::{Bridge, Reply};
use serde_json::{Value, json};
use std::sync::Arc;

/// One engine as the shell sees it: calls go in by name, messages come out in batches.
#[napi]
pub struct Native {
    host: Arc<Host>,
}

#[napi]
impl Native {
    /// `wake` is called when there are messages to take. It must not throw.
    #[napi(constructor)]
    pub fn new(env: Env, wake: Function<'_, (), ()>) -> napi::Result<Self> {
        let host = Host::new(Bridge::new(&wake)?);
        let weak = Arc::downgrade(&host);
        env.add_env_cleanup_hook(weak, |weak| {
            if let Some(host) = weak.upgrade() {
                host.end();
            }
        })?;
        Ok(Self { host })
    }

    /// Begins a call; its answer comes as a message.
    #[napi]
    pub fn call(&self, id: u32, method: String, arguments: String, bytes: Option<Buffer>) {
        self.host.call(id, method, arguments, bytes.map(|bytes| bytes.to_vec()));
    }

    /// Takes the messages that have gathered, as a JSON array.
    #[napi]
    pub fn take(&self) -> String {
        self.host.bridge.take()
    }

    /// Answers questions: a JSON array of `[id, value, error]`. False when it cannot be read, and none of them is answered: JSON that
    /// JavaScript writes may be nested more deeply than is safe to read.
    #[napi]
    pub fn answer(&self, answers: String) -> bool {
        let Ok(answers) = serde_json::from_str::<Vec<(u32, Value, Option<Value>)>>(&answers) else { return false };
        for (id, value, error) in answers {
            self.host.bridge.answer(id, error.map_or(Ok(Reply::Json(value)), |error| Err(errors::Thrown::new(error))));
        }
        true
    }

    /// Answers a stream's question with its next piece, or with nothing at its end.
    #[napi]
    pub fn piece(&self, id: u32, bytes: Option<Buffer>) {
        self.host.bridge.answer(id, Ok(Reply::Bytes(bytes.map(|bytes| bytes.to_vec()))));
    }

    /// Now by the engine's clock, for a dial that goes on, in milliseconds.
    #[napi]
    pub fn now(&self, id: u32) -> Option<f64> {
        self.host.bridge.context(id).map(|context| context.now().as_microsecond() as f64 / 1e3)
    }

    /// Tells watchers how far a dial is.
    #[napi]
    pub fn stage(&self, id: u32, stage: String) {
        if let Some(context) = self.host.bridge.context(id) {
            context.progress(&stage);
        }
    }

    /// What is to happen in the session of a relay, as JSON; nothing ends it.
    #[napi]
    pub fn command(&self, relay: u32, command: Option<String>) -> String {
        answered(self.host.command(relay, command.as_deref()))
    }

    /// Ends at once, as after a crash.
    #[napi]
    pub fn abort(&self) {
        self.host.end();
    }
}

/// `{"answer": ..}` or `{"error": ..}`.
fn answered(result: campaign_core::Result<Value>) -> String {
    match result {
        Ok(answer) => json!({ "answer": answer }).to_string(),
        Err(error) => json!({ "error": errors::to_shell(&error) }).to_string(),
    }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// A decision of the engine that a store asks for, by its name, with its arguments as a JSON object.
#[napi]
pub fn decide(name: String, arguments: String) -> String {
    let Value::Object(arguments) = parsed(&arguments) else { return answered(Err(Error::invalid("arguments", "must be an object"))) };
    answered(wire::decide(&name, arguments))
}

/// Says what is wrong with the description of a `dialer` or an `assistant`, if anything is.
#[napi]
pub fn check(what: String, description: String) -> String {
    let check = if what == "dialer" { wire::check_dialer } else { wire::check_assistant };
    answered(check(parsed(&description)).map(|()| Value::Null))
}

/// Hands out slots within the limits of one claim.
#[napi]
pub struct Slots {
    pacing: campaign_core::Result<wire::Pacing>,
}

#[napi]
impl Slots {
    /// From the limits of a claim, the ledgers of its scopes and the moment of the claim.
    #[napi(constructor)]
    pub fn new(limits: String, ledgers: String, now: String) -> Self {
        Self { pacing: wire::Pacing::new(parsed(&limits), parsed(&ledgers), parsed(&now)) }
    }

    /// The next slot that is not before this moment, or null.
    #[napi]
    pub fn take(&mut self, due_at: String) -> String {
        answered(self.pacing.as_mut().map_err(|error| error.clone()).and_then(|pacing| pacing.take(parsed(&due_at))))
    }

    /// The limit that was met, and the ledgers as they are now.
    #[napi]
    pub fn state(&self) -> String {
        let state = |pacing: &wire::Pacing| json!({ "block": pacing.block(), "ledgers": pacing.ledgers() });
        answered(self.pacing.as_ref().map_err(Clone::clone).map(state))
    }
}

/// Kinds of errors with their codes, as a JSON object: the classes of the shell are compared with it.
#[napi]
pub fn kinds() -> String {
    let rows = campaign_core::Kind::TABLE.iter().map(|row| (row.1.to_owned(), Value::from(row.3)));
    Value::Object(rows.collect()).to_string()
}
