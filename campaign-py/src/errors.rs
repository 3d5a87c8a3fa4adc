//! Errors in both directions: the engine's become exceptions of `campaign`, those of user code stay alive as causes.

use crate::convert;
use campaign_core::dialer::DialError;
use campaign_core::{Error, wire};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::Value;
use std::error::Error as _;
use std::fmt;

/// An exception of user code, kept alive inside an [`Error`]. Shows the name of its class only: its text may hold anything.
pub(crate) struct Raised {
    class: String,
    exception: Py<PyAny>,
}

impl Raised {
    pub(crate) fn new(exception: &Bound<'_, PyAny>) -> Self {
        let class = exception.get_type().name().map_or_else(|_| "an exception".to_owned(), |name| name.to_string());
        Self { class, exception: exception.clone().unbind() }
    }
}

impl fmt::Debug for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.class)
    }
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} raised by user code", self.class)
    }
}

impl std::error::Error for Raised {}

/// The exception for an error, with what user code raised as its cause.
pub(crate) fn exception<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let flat = convert::to_python(py, &wire::error(error))?;
    let mut cause = py.None();
    let mut source = error.source();
    while let Some(found) = source {
        if let Some(raised) = found.downcast_ref::<Raised>() {
            cause = raised.exception.clone_ref(py);
            break;
        }
        source = found.source();
    }
    py.import("campaign._errors")?.getattr("exception_of")?.call1((flat, cause))
}

/// As [`exception`], to be raised.
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    exception(py, error).map_or_else(|failure| failure, PyErr::from_value)
}

/// An argument that cannot be accepted.
pub(crate) fn invalid(py: Python<'_>, message: &str) -> PyErr {
    raise(py, &Error::new(campaign_core::Kind::Invalid, message))
}

/// What user code raised. `form` is what the shell made of it: an object with a `kind` when it was raised on purpose, else nothing.
#[derive(Debug)]
pub(crate) struct Failure {
    form: Value,
    raised: Option<Raised>,
}

impl Failure {
    pub(crate) fn of(form: Option<&Bound<'_, PyAny>>, exception: &Bound<'_, PyAny>) -> PyResult<Self> {
        let form = form.map_or(Ok(Value::Null), convert::to_json)?;
        Ok(Self { form, raised: Some(Raised::new(exception)) })
    }

    /// Nobody answers any more.
    pub(crate) fn gone() -> Self {
        Self { form: Value::Null, raised: None }
    }

    /// A hand-off that was not begun.
    pub(crate) fn late() -> Self {
        Self { form: serde_json::json!({ "kind": "throttled", "retry_after": 0 }), raised: None }
    }

    fn parts(self) -> (Value, Option<Box<dyn std::error::Error + Send + Sync>>, String) {
        let what = self.raised.as_ref().map_or_else(|| "the event loop of user code is closed".to_owned(), Raised::to_string);
        (self.form, self.raised.map(|raised| Box::new(raised) as Box<_>), what)
    }

    pub(crate) fn into_error(self) -> Error {
        let (form, cause, what) = self.parts();
        if form.is_null() { wire::user_error(&what, cause) } else { wire::raised(form, cause) }
    }

    pub(crate) fn into_dial_error(self) -> DialError {
        let (form, cause, what) = self.parts();
        if form.is_null() { wire::user_failure(&what, cause) } else { wire::dial_error(form, cause) }
    }
}

/// The rows of the table of kinds, for the shell and its tests: `(kind, class)`.
pub(crate) fn table(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let table = PyDict::new(py);
    for (_, kind, class, _, _) in campaign_core::Kind::TABLE {
        table.set_item(kind, class)?;
    }
    Ok(table)
}
