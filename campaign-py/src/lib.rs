//! The campaign engine for Python: the native half of the package `campaign`.
//!
//! It converts, adapts and maps errors; it never decides. Five files: `runtime` (the runtime the package owns, and the bridge between
//! its threads and a Python event loop), `engine` (what a call does), `adapters` (what a user's objects are to the engine), `convert`
//! (JSON and Python values), `errors`. The shell around it is `python/campaign`.
//!
//! No thread of the runtime ever touches the interpreter: what Python must do is put into a queue, and a byte in a pipe wakes the
//! event loop, which empties it. So nothing can go wrong between these threads and an interpreter that is going away.

mod adapters;
mod convert;
mod engine;
mod errors;
mod runtime;

use pyo3::prelude::*;

/// The native module.
#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::adapters::{ConfiguredAssistant, Provider, SimulatedDialer, check_dialer};
    #[pymodule_export]
    use crate::engine::{EngineHandle, EventHandle, Pacer, decide, kinds};
    #[pymodule_export]
    use crate::runtime::{Bridge, after_fork, before_fork, shutdown};
}
