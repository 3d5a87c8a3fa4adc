//! Traces of what server and engine do, for a collector that speaks OpenTelemetry's protocol (OTLP) over HTTP.
//!
//! | file | what is in it |
//! |---|---|
//! | `options` | where they go, under which name, and which are taken |
//! | `request` | the span of a request |
//! | `export` | the way to the collector (feature `otel`) |
//!
//! Server and engine make spans of `tracing` whether anybody looks or not; they hold ids, routes and words of ours, and never anything
//! about a person. Who embeds the router may send them anywhere. `Telemetry` is what the command `campaign` does with them.

#[cfg(feature = "otel")]
mod export;
mod options;
mod request;

#[cfg(feature = "otel")]
pub use export::Telemetry;
pub use options::{Root, Sampling, TelemetryOptions};
pub(crate) use request::trace;
