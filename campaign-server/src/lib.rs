#![doc = include_str!("../README.md")]

pub mod api;
pub mod auth;
pub mod config;
pub mod error;
pub mod idempotency;
pub mod limits;
pub mod live;
pub mod metrics;
pub mod openapi;
pub mod options;
mod page;
mod router;
pub mod serve;
pub mod speech;
pub mod state;
pub mod telemetry;
pub mod webhooks;

pub use options::{Access, ServerOptions};
pub use router::router;
pub use speech::Speech;
