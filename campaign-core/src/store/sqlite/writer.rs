//! The one thread that writes: it takes everything that waits, carries it out in one transaction, and answers after the commit.
//!
//! One `fsync` serves every request that came in while the last one ran. Each request has a savepoint of its own, so that one
//! that fails undoes only itself.

use super::db::Db;
use super::fault::Outcome as Result;
use super::memo::Memo;
use super::queue::Queue;
use crate::contact::{ContactStatus, ZoneKey};
use crate::error::{Error, Kind};
use crate::id::CampaignId;
use crate::store::tally::CountsDelta;
use rusqlite::params;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::oneshot;

/// A request that waits for the writer.
pub(super) trait Job: Send {
    /// Does the work; whether its changes are to be kept.
    fn run(&mut self, writer: &mut Writer) -> bool;

    /// Answers the caller; `lost` says why the transaction did not happen, if it did not.
    fn answer(self: Box<Self>, lost: Option<&Error>);
}

/// Work on the writer, with the caller that waits for it.
pub(super) struct Request<T, F> {
    work: Option<F>,
    result: Option<crate::Result<T>>,
    send: oneshot::Sender<crate::Result<T>>,
    path: Arc<Path>,
}

impl<T, F> Request<T, F> {
    pub(super) fn new(path: Arc<Path>, work: F) -> (Self, oneshot::Receiver<crate::Result<T>>) {
        let (send, receive) = oneshot::channel();
        (Self { work: Some(work), result: None, send, path }, receive)
    }
}

impl<T: Send, F: FnOnce(&mut Writer) -> Result<T> + Send> Job for Request<T, F> {
    fn run(&mut self, writer: &mut Writer) -> bool {
        let Some(work) = self.work.take() else { return false };
        writer.deltas.clear();
        let result = guard(|| {
            let value = work(writer)?;
            writer.flush_counts()?;
            Ok(value)
        });
        let keep = result.is_ok();
        self.result = Some(result.map_err(|fault| fault.into_error(&self.path)));
        keep
    }

    fn answer(self: Box<Self>, lost: Option<&Error>) {
        let answer = match (self.result, lost) {
            (Some(Err(own)), _) => Err(own),
            (_, Some(lost)) => Err(lost.clone()),
            (Some(Ok(value)), None) => Ok(value),
            (None, None) => Err(Error::new(Kind::Internal, "the store did not carry out the call")),
        };
        // A caller that is gone does not want to know.
        let _ = self.send.send(answer);
    }
}

/// A panic anywhere must cost one request and not a thread of the store.
pub(super) fn guard<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Error::new(Kind::Internal, "the store panicked; nothing of this call was kept").into()))
}

/// Requests of one transaction. More would only make the first wait.
const BATCH: usize = 64;

/// The counters of `store_state`, in memory while a transaction runs.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counters {
    pub(super) changes: i64,
    pub(super) seq: i64,
    pub(super) epoch: i64,
    pub(super) last_campaign: i64,
    pub(super) last_contact: i64,
    pub(super) last_attempt: i64,
}

impl Counters {
    /// The next place in the stream of events.
    pub(super) fn next_seq(&mut self) -> i64 {
        self.seq += 1;
        self.seq
    }
}

/// The writing connection with what one transaction needs.
pub(super) struct Writer {
    pub(super) db: Db,
    pub(super) counters: Counters,
    pub(super) memo: Memo,
    deltas: BTreeMap<CampaignId, CountsDelta>,
}

impl Writer {
    pub(super) fn new(db: Db) -> Self {
        Self { db, counters: Counters::default(), memo: Memo::default(), deltas: BTreeMap::new() }
    }

    /// The counters of a campaign, to be moved; written by [`Writer::flush_counts`] or at the end of the request.
    pub(super) fn counts(&mut self, campaign: CampaignId) -> &mut CountsDelta {
        self.deltas.entry(campaign).or_default()
    }

    /// The number of a zone key; gives it one when it is new.
    pub(super) fn zone(&self, zone: &ZoneKey) -> Result<i64> {
        if let Some(id) = self.db.zone_id(zone)? {
            return Ok(id);
        }
        self.db.conn.prepare_cached("INSERT INTO zones (key) VALUES (?1)")?.execute([&zone.0])?;
        Ok(self.db.conn.last_insert_rowid())
    }

    /// Notes that something a gate depends on has changed.
    pub(super) fn changed(&mut self) {
        self.counters.changes += 1;
    }

    /// Writes the moved counters, so that the request can read them.
    pub(super) fn flush_counts(&mut self) -> Result<()> {
        while let Some((campaign, delta)) = self.deltas.pop_first() {
            let of = |status| delta.of(status);
            self.db
                .conn
                .prepare_cached(
                    "UPDATE campaign_counts SET pending = pending + ?2, in_progress = in_progress + ?3, completed = completed + ?4,
                        failed = failed + ?5, no_answer = no_answer + ?6, busy = busy + ?7, voicemail = voicemail + ?8,
                        skipped = skipped + ?9, cancelled = cancelled + ?10, call_attempts = call_attempts + ?11,
                        answered_calls = answered_calls + ?12, duration_seconds = duration_seconds + ?13, cost = cost + ?14
                     WHERE campaign_id = ?1",
                )?
                .execute(params![
                    campaign.0,
                    of(ContactStatus::Pending),
                    of(ContactStatus::InProgress),
                    of(ContactStatus::Completed),
                    of(ContactStatus::Failed),
                    of(ContactStatus::NoAnswer),
                    of(ContactStatus::Busy),
                    of(ContactStatus::Voicemail),
                    of(ContactStatus::Skipped),
                    of(ContactStatus::Cancelled),
                    delta.call_attempts,
                    delta.answered_calls,
                    delta.duration_seconds,
                    delta.cost.0,
                ])?;
        }
        Ok(())
    }

    /// Carries out jobs until the queue is closed and empty.
    pub(super) fn run(mut self, queue: &Queue<Box<dyn Job>>, path: &Path) {
        loop {
            let jobs = queue.take(BATCH);
            if jobs.is_empty() {
                break;
            }
            self.transact(jobs, path);
        }
        // What is in the log goes into the file, so that a copy of the one file is whole. Failing is harmless: the log stays.
        let _ = self.db.conn.execute_batch("PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE);");
    }

    fn transact(&mut self, mut jobs: Vec<Box<dyn Job>>, path: &Path) {
        let lost = self.attempt(&mut jobs).err().map(|fault| fault.into_error(path));
        if lost.is_some() {
            if !self.db.conn.is_autocommit() {
                let _ = self.db.conn.execute_batch("ROLLBACK");
            }
            self.db.forget();
            self.memo.clear();
        }
        for job in jobs {
            job.answer(lost.as_ref());
        }
    }

    /// All jobs in one transaction. An error means that nothing of it happened.
    fn attempt(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<()> {
        self.execute("BEGIN IMMEDIATE")?;
        self.load_counters()?;
        let before = self.counters;
        // A savepoint makes SQLite keep copies of pages; a request on its own needs none.
        let alone = jobs.len() == 1;
        for job in jobs {
            let counters = self.counters;
            if !alone {
                self.execute("SAVEPOINT request")?;
            }
            let keep = job.run(self);
            // A full disk and the like end the whole transaction, not only the statement.
            if self.db.conn.is_autocommit() {
                return Err(Error::new(Kind::Unavailable, "another call of the same transaction made it fail; try again").into());
            }
            if !keep {
                self.counters = counters;
                self.db.forget();
            }
            match (keep, alone) {
                (true, true) => {}
                (true, false) => self.execute("RELEASE request")?,
                (false, true) => return self.execute("ROLLBACK"),
                (false, false) => self.execute("ROLLBACK TO request; RELEASE request")?,
            }
        }
        if self.counters != before {
            self.store_counters()?;
        }
        self.execute("COMMIT")
    }

    fn execute(&self, sql: &str) -> Result<()> {
        Ok(self.db.conn.execute_batch(sql)?)
    }

    fn load_counters(&mut self) -> Result<()> {
        self.counters = self
            .db
            .conn
            .prepare_cached("SELECT changes, seq, epoch, last_campaign, last_contact, last_attempt FROM store_state")?
            .query_row([], |row| {
                Ok(Counters {
                    changes: row.get(0)?,
                    seq: row.get(1)?,
                    epoch: row.get(2)?,
                    last_campaign: row.get(3)?,
                    last_contact: row.get(4)?,
                    last_attempt: row.get(5)?,
                })
            })?;
        Ok(())
    }

    fn store_counters(&self) -> Result<()> {
        let c = &self.counters;
        self.db
            .conn
            .prepare_cached(
                "UPDATE store_state SET changes = ?1, seq = ?2, epoch = ?3, last_campaign = ?4, last_contact = ?5, last_attempt = ?6",
            )?
            .execute([c.changes, c.seq, c.epoch, c.last_campaign, c.last_contact, c.last_attempt])?;
        Ok(())
    }
}
