//! The life of one engine process of a cluster. Whoever wants several starts its own program again with [`Life::command`] and lets that
//! call [`Life::from_arguments`] first.

#![expect(clippy::disallowed_methods, reason = "waits for a database that may be away for a moment")]

use crate::AtOnce;
use crate::carrier::{Book, Calls, Carrier};
use crate::witness::Witness;
use campaign_core::campaign::CampaignStatus;
use campaign_core::dialer::SimulatedDialer;
use campaign_core::store::{CampaignQuery, ContactStore, open_store};
use campaign_core::{Engine, Kind, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The argument that makes a program a worker.
const WORKER: &str = "--worker";
/// How long the database may be away.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one process is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Life {
    /// The URL of the store.
    pub store: String,
    /// The carrier's book.
    pub book: PathBuf,
    /// Its name.
    pub node: String,
    /// The carrier; `None`: one that answers at once and keeps no book.
    pub calls: Option<Calls>,
    /// Whether acknowledgements of the store go into the book, too.
    pub witnessed: bool,
    /// [`campaign_core::EngineOptions::lease`].
    pub lease: Duration,
    /// [`campaign_core::EngineOptions::longest_pause`].
    pub longest_pause: Duration,
    /// [`campaign_core::EngineOptions::look_ahead`].
    pub look_ahead: Duration,
    /// [`campaign_core::EngineOptions::max_in_flight`].
    pub max_in_flight: Option<u32>,
    /// A draft is started once so many processes are there.
    pub together: usize,
}

impl Life {
    /// With the engine's defaults.
    pub fn new(store: String, book: PathBuf, calls: Calls) -> Self {
        let defaults = campaign_core::EngineOptions::default();
        Self {
            store,
            book,
            node: defaults.node_name,
            calls: Some(calls),
            witnessed: false,
            lease: defaults.lease,
            longest_pause: defaults.longest_pause,
            look_ahead: defaults.look_ahead,
            max_in_flight: None,
            together: 1,
        }
    }

    /// This program as a worker; its error output is ours.
    ///
    /// # Panics
    /// Never: a life is plain data.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let life = serde_json::to_string(self).expect("plain data");
        command.arg(WORKER).arg(life).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// What this process is told, when it is a worker.
    ///
    /// # Panics
    /// When the argument is not one of [`Life::command`].
    pub fn from_arguments() -> Option<Self> {
        let mut arguments = std::env::args().skip(1);
        let life = (arguments.next()? == WORKER).then(|| arguments.next().unwrap_or_default())?;
        Some(serde_json::from_str(&life).expect("the life of a worker"))
    }

    /// Starts every campaign that is a draft, and works until all of them are completed.
    ///
    /// # Errors
    /// What the store reports, except that it cannot be reached for a moment.
    pub async fn live(self) -> Result<()> {
        let book = Arc::new(Book::open(&self.book, &self.node)?);
        let engine = patiently(async || {
            let opened = open_store(&self.store).await?;
            let store: Arc<dyn ContactStore> = if self.witnessed { Arc::new(Witness::new(opened, Arc::clone(&book))) } else { opened };
            Engine::builder()
                .shared_store(store)
                .shared_dialer(match &self.calls {
                    Some(calls) => Arc::new(Carrier::new(calls.clone(), Arc::clone(&book))),
                    None => Arc::new(SimulatedDialer::instant().forgetful()),
                })
                .campaign_kind(AtOnce::NAME, |_: &_| Ok(Arc::new(AtOnce) as _))
                .options(|options| {
                    options.node_name.clone_from(&self.node);
                    options.lease = self.lease;
                    options.longest_pause = self.longest_pause;
                    options.look_ahead = self.look_ahead;
                    options.max_in_flight = self.max_in_flight;
                })
                .build()
                .await
        })
        .await?;
        for campaign in patiently(async || engine.list_campaigns(CampaignQuery::default()).await).await?.items {
            if campaign.status == CampaignStatus::Draft {
                while patiently(async || engine.nodes().await).await?.len() < self.together {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                patiently(async || match engine.start(campaign.id).await {
                    // Another worker was faster, or the answer to the first try was lost.
                    Err(error) if error.kind() == Kind::State => Ok(()),
                    result => result.map(drop),
                })
                .await?;
            }
        }
        for campaign in patiently(async || engine.list_campaigns(CampaignQuery::default()).await).await?.items {
            patiently(async || engine.wait(campaign.id).await).await?;
        }
        engine.close().await
    }
}

/// Tries again while the store cannot be reached; every try that got somewhere begins the patience anew.
async fn patiently<T>(attempt: impl AsyncFn() -> Result<T>) -> Result<T> {
    let mut away_since = Instant::now();
    loop {
        let begin = Instant::now();
        let result = attempt().await;
        if begin.elapsed() > Duration::from_secs(1) {
            away_since = Instant::now();
        }
        match result {
            Err(error) if error.kind() == Kind::Unavailable && away_since.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            result => return result,
        }
    }
}
