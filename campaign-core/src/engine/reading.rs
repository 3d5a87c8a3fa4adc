//! Files of contacts, read where reading holds up nobody.

use super::core::Core;
use crate::import::{Batch, ImportOptions, ImportReport, ImportSource, Importer, Progress};
use crate::{Error, Kind, Result};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Rows read and stored at a time.
pub(super) const BATCH: usize = 2_000;

/// Reads a source once without keeping anything, where it can be read again.
pub(super) async fn check_to_the_end(core: &Core, source: ImportSource, options: ImportOptions) -> Result<()> {
    let (send, receive) = tokio::sync::oneshot::channel();
    core.executor.spawn_blocking(Box::new(move || {
        let read = || -> Result<()> {
            let mut importer = Importer::open(source, options)?;
            while importer.next_batch(BATCH)?.is_some() {}
            Ok(())
        };
        let _ = send.send(read());
    }));
    receive.await.unwrap_or_else(|_| Err(Error::new(Kind::Internal, "reading the file ended unexpectedly")))
}

/// What the reading thread gives.
pub(super) enum Step {
    Batch(Batch, Progress),
    Done(Box<ImportReport>),
}

/// A file being read on a thread of its own, two batches ahead of the store.
pub(super) struct Reading {
    steps: mpsc::Receiver<Result<Step>>,
}

impl Reading {
    pub(super) fn start(core: &Arc<Core>, source: ImportSource, mut options: ImportOptions) -> Self {
        // A bare "yes" in a consent column was given by now at the latest.
        options.consent_moment = options.consent_moment.or(Some(core.now()));
        let (send, steps) = mpsc::channel(2);
        core.executor.spawn_blocking(Box::new(move || {
            let read = || -> Result<Option<Step>> {
                let mut importer = Importer::open(source, options)?;
                while let Some(batch) = importer.next_batch(BATCH)? {
                    let progress = importer.progress();
                    if send.blocking_send(Ok(Step::Batch(batch, progress))).is_err() {
                        // Nobody waits for the rest.
                        return Ok(None);
                    }
                }
                Ok(Some(Step::Done(Box::new(importer.into_report()))))
            };
            if let Some(last) = read().transpose() {
                let _ = send.blocking_send(last);
            }
        }));
        Self { steps }
    }

    pub(super) async fn next(&mut self) -> Result<Step> {
        self.steps.recv().await.unwrap_or_else(|| Err(Error::new(Kind::Internal, "reading the file ended unexpectedly")))
    }
}
