//! Errors in both directions.

use crate::runtime::{self, Bridge};
use campaign_core::dialer::DialError;
use campaign_core::{Error, wire};
use serde::Deserialize;
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// What a user's function threw, as the shell describes it.
#[derive(Debug)]
pub(crate) struct Thrown(Option<Box<Description>>);

#[derive(Debug, Deserialize)]
struct Description {
    /// The number the shell keeps the original under.
    error: u64,
    /// The name of its class.
    name: String,
    /// What it says, when it is an error of the package itself: those are made to be read.
    raised: Option<Value>,
    /// What it says about a hand-off, when it is a `DialError`.
    dial: Option<Value>,
}

impl Thrown {
    /// From the shell's description.
    pub(crate) fn new(description: Value) -> Self {
        Self(serde_json::from_value(description).ok())
    }

    /// Nobody is there any more who could throw.
    pub(crate) fn gone() -> Self {
        Self(None)
    }

    /// As an error of the engine; `place` says whose method it was.
    pub(crate) fn into_error(self, bridge: &Arc<Bridge>, place: &str) -> Error {
        let Some(thrown) = self.0 else { return runtime::gone() };
        let original = Original { number: thrown.error, bridge: Arc::clone(bridge) };
        match thrown.raised {
            Some(raised) => wire::raised(raised, Some(Box::new(original))),
            None => wire::user_error(&format!("{place} threw {}", thrown.name), Some(Box::new(original))),
        }
    }

    /// As the end of a hand-off.
    pub(crate) fn into_dial_error(mut self, bridge: &Arc<Bridge>) -> DialError {
        match self.0.as_mut().and_then(|thrown| Some((thrown.error, thrown.dial.take()?))) {
            Some((number, dial)) => wire::dial_error(dial, Some(Box::new(Original { number, bridge: Arc::clone(bridge) }))),
            None => DialError::InDoubt(self.into_error(bridge, "the dialer's `dial`")),
        }
    }
}

/// Stands for an error object that the shell keeps, until nobody in Rust can ask for it any more.
struct Original {
    number: u64,
    bridge: Arc<Bridge>,
}

impl Drop for Original {
    fn drop(&mut self) {
        self.bridge.send(&("forget", self.number));
    }
}

impl fmt::Debug for Original {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Original {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an error thrown in JavaScript")
    }
}

impl std::error::Error for Original {}

/// An error for the shell, which makes an object of the fitting class from it. `error` is the number of the original behind it,
/// `cause` the text of a source that comes from elsewhere.
pub(crate) fn to_shell(error: &Error) -> Value {
    let mut fields = wire::error(error);
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(original) = cause.downcast_ref::<Original>() {
            fields["error"] = original.number.into();
            break;
        }
        if fields.get("cause").is_none() {
            fields["cause"] = cause.to_string().into();
        }
        source = cause.source();
    }
    fields
}
