//! What tests, demo and benches of several processes share: campaigns to run, and processes that end with their owner.

use crate::AtOnce;
use crate::worker::Life;
use campaign_core::campaign::{CampaignSpec, CampaignSpecBuilder, CampaignType};
use campaign_core::dialer::ScriptedDialer;
use campaign_core::id::CampaignId;
use campaign_core::import::{ImportOptions, ImportSource};
use campaign_core::store::open_store;
use campaign_core::{Engine, Error, Kind, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::sync::Arc;

/// A campaign that tries everybody at once, up to three times, without limits yet.
pub fn spec(name: &str) -> CampaignSpecBuilder {
    CampaignSpec::builder(CampaignType::Custom(AtOnce::NAME.to_owned()), name).concurrent_limit(10_000).with(|spec| {
        spec.rate_limit_per_minute = None;
    })
}

/// Makes a campaign of these contacts, as a draft.
///
/// # Errors
/// What the engine reports; [`Kind::Internal`] when a contact was refused.
pub async fn draft(engine: &Engine, spec: CampaignSpecBuilder, contacts: Range<usize>) -> Result<CampaignId> {
    let id = engine.create_campaign(spec.build()?).await?.id;
    let count = contacts.len() as u64;
    let rows = contacts
        .map(|number| {
            let mut row = serde_json::Map::new();
            row.insert("phone".to_owned(), format!("+1212{:07}", 2_000_000 + number).into());
            row.insert("name".to_owned(), format!("Person {number}").into());
            row.insert("time_zone".to_owned(), "UTC".into());
            row
        })
        .collect();
    let report = engine.import_contacts(id, ImportSource::Rows(rows), ImportOptions::default()).await?;
    match report.imported {
        imported if imported == count => Ok(id),
        imported => Err(Error::new(Kind::Internal, format!("only {imported} of {count} contacts were imported"))),
    }
}

/// Makes campaigns on the store with this URL, as drafts; workers start them.
///
/// # Errors
/// As [`draft`].
pub async fn prepare(url: &str, campaigns: Vec<(CampaignSpecBuilder, Range<usize>)>) -> Result<Vec<CampaignId>> {
    let kind = |_: &_| Ok(Arc::new(AtOnce) as _);
    let store = open_store(url).await?;
    let engine = Engine::builder().shared_store(store).dialer(ScriptedDialer::new()).campaign_kind(AtOnce::NAME, kind).build().await?;
    let mut ids = Vec::new();
    for (spec, contacts) in campaigns {
        ids.push(draft(&engine, spec, contacts).await?);
    }
    engine.close().await?;
    Ok(ids)
}

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts this program, or the given one, as a worker.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when it cannot be started.
    pub fn start(program: Option<PathBuf>, life: &Life) -> Result<Self> {
        let failed = |error: std::io::Error| Error::new(Kind::Unavailable, format!("a worker cannot be started: {error}"));
        let program = program.map_or_else(std::env::current_exe, Ok).map_err(failed)?;
        life.command(&program).spawn().map(Self).map_err(failed)
    }

    /// Its end, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().ok().flatten()
    }

    /// Waits for its end; blocks.
    pub fn wait(&mut self) -> Option<ExitStatus> {
        self.0.wait().ok()
    }

    /// Ends it without a chance to do anything about it (SIGKILL).
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Stops it (SIGSTOP), as a debugger or a machine that is suspended does.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        // A process that has ended and was not waited for keeps its id, so nobody else is met.
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
