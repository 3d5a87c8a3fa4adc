#![doc = include_str!("../../README.md")]

pub mod campaign;
pub mod contact;
pub mod conversation;
pub mod dialer;
pub mod engine;
pub mod error;
pub mod event;
pub mod executor;
#[cfg(feature = "http")]
pub mod http;
pub mod id;
pub mod import;
pub mod outcome;
pub mod phone;
pub mod policy;
mod redact;
pub mod schedule;
pub mod simulate;
pub mod status;
pub mod store;
pub mod template;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod wire;

pub use engine::{Engine, EngineBuilder, EngineOptions, EventStream};
pub use error::{Error, Kind, Result, Retry};

/// The macro that the async traits of this crate are written with; implementers need the same one.
pub use async_trait::async_trait;
