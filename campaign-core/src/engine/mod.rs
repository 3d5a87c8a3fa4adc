//! The engine: the handle everybody uses, and the loop behind it.
//!
//! Start reading at `run.rs`: it is the whole loop on one screen, `claim -> gate -> dial -> settle`.

mod active;
mod builder;
mod callbacks;
mod clock;
mod contacts;
mod core;
mod events;
mod explain;
mod handoff;
mod inbound;
mod lifecycle;
mod node;
mod plan;
mod reading;
mod recover;
mod relay;
mod reports;
mod run;
mod settler;
mod starts;
mod talk;
mod trace;

pub use builder::{EngineBuilder, EngineOptions};
pub use contacts::{ContactList, ImportProgress};
pub use events::EventStream;
pub use explain::{CampaignExplanation, ContactExplanation, ReasonShare};
pub use inbound::{ConversationQuery, NewestConversations, SendMessage};
pub use lifecycle::Reexecution;
pub use relay::{RelayCommand, RelaySession};
pub use reports::{ExecutionQuery, LintOptions};

use crate::assistant::Assistant;
use crate::executor::Executor;
use crate::store::{ContactStore, NodeInfo};
use crate::{Error, Kind, Result};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// The campaign engine: a cheap handle to a running node.
///
/// Cloning gives another handle to the same node. When the last handle is dropped without [`Engine::close`], the node stops as
/// if it had crashed, which is safe: what was in flight is recovered by the next start.
#[derive(Clone)]
pub struct Engine {
    core: Arc<core::Core>,
    /// Stops the tasks when the last handle goes; the tasks hold `core`, never this.
    _alive: Arc<core::StopOnDrop>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("node", &self.core.options.node_name).finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts a builder.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// The store behind the engine; for what the engine does not offer itself.
    pub fn store(&self) -> &Arc<dyn ContactStore> {
        &self.core.store
    }

    /// The settings of this node.
    pub fn options(&self) -> &EngineOptions {
        &self.core.options
    }

    /// Who answers people, when there is somebody.
    pub fn assistant(&self) -> Option<&Arc<dyn Assistant>> {
        self.core.assistant.as_ref()
    }

    /// What runs the engine's tasks.
    pub fn executor(&self) -> &Arc<dyn Executor> {
        &self.core.executor
    }

    /// Now, by the engine's clock.
    pub fn now(&self) -> Timestamp {
        self.core.now()
    }

    /// Live nodes on the store, with the attempts each holds. An engine that does not execute ([`EngineOptions::executes`]) is none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn nodes(&self) -> Result<Vec<NodeInfo>> {
        self.core.guarded(self.core.store.nodes(self.core.now())).await
    }

    /// Drains: no new attempt starts, what is claimed but not handed over goes back, and running attempts are waited for.
    /// After `patience` the dialers are asked to hang up, and what has not ended a little later is left to recovery. `None` waits as long as it takes.
    ///
    /// # Errors
    /// When the node cannot be signed off from the store; it is stopped nevertheless.
    pub async fn stop(&self, patience: Option<Duration>) -> Result<()> {
        self.core.drain(patience).await
    }

    /// Stops at once: running attempts are left behind and recovered by the next start, as after a crash.
    pub fn abort(&self) {
        self.core.abort();
    }

    /// Resolves when the engine has stopped, by [`Engine::stop`], [`Engine::close`] or [`Engine::abort`]; for what runs beside it.
    pub async fn stopped(&self) {
        let mut phase = self.core.phase.subscribe();
        // The other end is the engine's own, so it does not go away meanwhile.
        let _ = phase.wait_for(|phase| *phase == core::Phase::Stopped).await;
    }

    /// [`Engine::stop`] without a limit of time, then closes the store.
    ///
    /// # Errors
    /// When the store cannot be closed cleanly.
    pub async fn close(&self) -> Result<()> {
        self.core.drain(None).await?;
        self.core.guarded(self.core.store.close()).await
    }
}

pub(crate) fn closed() -> Error {
    Error::new(Kind::Closed, "the engine is stopped; build a new one")
}
