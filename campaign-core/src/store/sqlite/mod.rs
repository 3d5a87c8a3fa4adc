//! One SQLite file: the embedded default.
//!
//! One thread owns the connection that writes and commits everything that waits at once (`writer.rs`), so full durability costs one
//! `fsync` for many calls. A few threads read. Several processes may open the same file: every transaction takes SQLite's write lock
//! first, and nothing is remembered from one transaction to the next that another process could change.
//!
//! - `mod.rs`: the handle, and the trait, method by method.
//! - `schema.rs`, `migrations/`: opening, settings, tables. `../codes.rs`: the numbers of enumerations.
//! - `writer.rs`, `queue.rs`, `db.rs`, `memo.rs`: threads, transactions, connections.
//! - `campaigns.rs`, `contacts.rs`, `suppression.rs`, `documents.rs`, `copy.rs`: what people and imports change.
//! - `nodes.rs`, `claim.rs`, `settle.rs`, `ledgers.rs`: what executes.
//! - `read.rs`, `events.rs`, `filter.rs`, `rows.rs`: what is read, and how rows become values.

mod campaigns;
mod claim;
mod contacts;
mod copy;
mod db;
mod documents;
mod events;
mod fault;
mod filter;
mod ledgers;
mod memo;
mod nodes;
mod queue;
mod read;
mod rows;
mod schema;
mod settle;
mod suppression;
#[cfg(test)]
mod tests;
mod writer;

use super::*;
use crate::contact::Owner;
use crate::error::{Error, Kind};
use crate::outcome::{Attempt, Outcome};
use db::Db;
use fault::Outcome as Answer;
use parking_lot::Mutex;
use queue::Queue;
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use writer::{Job, Request, Writer};

/// How a store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteOptions {
    /// How long to wait for another process that writes. Default 5 s.
    pub busy_timeout: Duration,
    /// Connections that read, each on a thread of its own; 1 to 64. Default 2.
    pub readers: usize,
    /// Memory the writer may use for pages, in KiB, at least 1,024. Default 65,536.
    pub cache_kib: u32,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { busy_timeout: Duration::from_secs(5), readers: 2, cache_kib: 65_536 }
    }
}

/// Keeps everything in one SQLite file, durable before a call returns: `kill -9` and loss of power lose nothing that was answered.
///
/// Its futures need no particular runtime; the work happens on threads of the store. The file belongs to its owner alone (mode
/// 0600). Beside it lie `-wal` and `-shm` while it is open; use [`SqliteStore::backup_to`] rather than copying files.
pub struct SqliteStore {
    path: Arc<Path>,
    writes: Arc<Queue<Box<dyn Job>>>,
    /// `None` in memory: there is one connection then, and the writer reads too.
    reads: Option<Arc<Queue<ReadJob>>>,
    /// Asked before every hand-off, so it is not worth a switch of threads: one row, a few microseconds, never waiting for a lock.
    changes: Option<Mutex<Connection>>,
    /// Resolves when the writer has ended.
    ended: Mutex<Option<oneshot::Receiver<()>>>,
    migrated: Migrated,
}

type ReadJob = Box<dyn FnOnce(&Db) + Send>;

/// Shows the path only.
impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish()
    }
}

/// Ends the threads once they have done what was asked of them.
impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.end();
    }
}

impl SqliteStore {
    /// Opens a file, or makes it.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when the file cannot be opened or is locked, [`Kind::Corrupt`] when it is damaged, from a newer version
    /// or another program's, [`Kind::Full`] when the disk is.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, SqliteOptions::default())
    }

    /// Opens a file with these options, or makes it.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn open_with(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self> {
        let path: Arc<Path> = Arc::from(path.as_ref());
        let opened = || -> Answer<_> {
            let (writer, migrated) = schema::open_writer(&path, &options)?;
            let writer = Db::new(writer)?;
            let readers: Vec<Db> =
                (0..options.readers.clamp(1, 64)).map(|_| Db::new(schema::open_reader(&path, &options)?)).collect::<Answer<_>>()?;
            let changes = schema::open_reader(&path, &options)?;
            changes.busy_timeout(Duration::ZERO)?;
            Ok((writer, migrated, readers, changes))
        };
        let (writer, migrated, readers, changes) = opened().map_err(|fault| fault.into_error(&path))?;
        let reads = Arc::new(Queue::<ReadJob>::new());
        let mut store = Self::start(path, writer, migrated)?;
        for db in readers {
            let queue = Arc::clone(&reads);
            thread("campaign-read", move || {
                while let Some(job) = queue.take(1).pop() {
                    job(&db);
                }
            })?;
        }
        store.reads = Some(reads);
        store.changes = Some(Mutex::new(changes));
        Ok(store)
    }

    /// A store in memory, for tests: nothing is durable.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when there is no memory or no thread left.
    pub fn in_memory() -> Result<Self> {
        let path: Arc<Path> = Arc::from(Path::new(":memory:"));
        let opened = schema::open_memory(&SqliteOptions::default()).and_then(|(conn, migrated)| Ok((Db::new(conn)?, migrated)));
        let (db, migrated) = opened.map_err(|fault| fault.into_error(&path))?;
        Self::start(path, db, migrated)
    }

    fn start(path: Arc<Path>, db: Db, migrated: Migrated) -> Result<Self> {
        let writes = Arc::new(Queue::new());
        let (send, ended) = oneshot::channel();
        let (queue, file) = (Arc::clone(&writes), Arc::clone(&path));
        thread("campaign-write", move || {
            Writer::new(db).run(&queue, &file);
            let _ = send.send(());
        })?;
        Ok(Self { path, writes, reads: None, changes: None, ended: Mutex::new(Some(ended)), migrated })
    }

    /// What opening it did to its tables.
    pub fn migrated(&self) -> Migrated {
        self.migrated
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Copies the store, as it is at one moment, into a new file, while it goes on working.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when the file is there already, and what opening and writing a file can meet.
    pub async fn backup_to(&self, path: impl AsRef<Path>) -> Result<()> {
        let target = path.as_ref().to_owned();
        if target.exists() {
            return Err(Error::new(Kind::Conflict, "the file for the backup exists already; name another").with("file", target.display()));
        }
        let shown = target.clone();
        self.read(move |db| {
            let copy = || -> Answer<()> {
                schema::create_private(&target)?;
                let mut copy = Connection::open(&target)?;
                // All pages in one step: the copy is one moment, and in WAL mode nobody waits for it.
                match Backup::new(&db.conn, &mut copy)?.step(-1)? {
                    StepResult::Done => Ok(()),
                    _ => Err(Error::new(Kind::Unavailable, "the store is locked; try the backup again").into()),
                }
            };
            // The target's errors name the target, not the store.
            copy().map_err(|fault| fault.into_error(&shown).into())
        })
        .await
    }

    /// Has the writer carry out `work`; the answer comes after the commit.
    async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Writer) -> Answer<T> + Send + 'static,
    {
        let (request, answer) = Request::new(Arc::clone(&self.path), work);
        self.writes.push(Box::new(request)).map_err(|_| self.closed())?;
        answer.await.map_err(|_| self.closed())?
    }

    /// Has a reader carry out `work` on one snapshot.
    async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Db) -> Answer<T> + Send + 'static,
    {
        let Some(reads) = &self.reads else {
            return self.write(move |w| work(&w.db)).await;
        };
        let (send, answer) = oneshot::channel();
        let path = Arc::clone(&self.path);
        let job: ReadJob = Box::new(move |db| {
            // A caller that is gone does not want to know.
            let _ = send.send(writer::guard(|| db.snapshot(work)).map_err(|fault| fault.into_error(&path)));
        });
        reads.push(job).map_err(|_| self.closed())?;
        answer.await.map_err(|_| self.closed())?
    }

    fn closed(&self) -> Error {
        Error::new(Kind::Closed, "the store is closed").with("file", self.path.display())
    }

    fn end(&self) {
        self.writes.close();
        if let Some(reads) = &self.reads {
            reads.close();
        }
    }
}

/// The store's own threads: SQLite blocks, and the store must work on any executor, so it cannot borrow one's threads. They carry out
/// transactions one by one and run no tasks of the engine.
#[expect(clippy::disallowed_methods, reason = "the store blocks, and knows no executor")]
fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map(drop).map_err(|error| Error::new(Kind::Unavailable, "no thread is left for the store").with_source(error))
}

fn read_changes(conn: &Connection) -> Answer<u64> {
    Ok(codes::unsigned(conn.prepare_cached("SELECT changes FROM store_state")?.query_row([], |row| row.get(0))?)?)
}

#[async_trait]
impl ContactStore for SqliteStore {
    async fn create_campaign(&self, new: NewCampaign) -> Result<CampaignRecord> {
        self.write(move |w| campaigns::create(w, new)).await
    }

    async fn campaign(&self, id: CampaignId) -> Result<Option<CampaignRecord>> {
        self.read(move |db| campaigns::get(db, id)).await
    }

    async fn campaigns(&self, query: CampaignQuery) -> Result<Page<CampaignRecord>> {
        self.read(move |db| campaigns::list(db, &query)).await
    }

    async fn save_campaign(&self, save: SaveCampaign) -> Result<CampaignRecord> {
        self.write(move |w| campaigns::save(w, save)).await
    }

    async fn delete_campaign(&self, id: CampaignId) -> Result<()> {
        self.write(move |w| campaigns::delete(w, id)).await
    }

    async fn add_contacts(&self, add: AddContacts) -> Result<Vec<Added>> {
        self.write(move |w| contacts::add(w, &add)).await
    }

    async fn contact(&self, id: ContactId) -> Result<Option<Contact>> {
        self.read(move |db| contacts::get(db, id)).await
    }

    async fn contacts(&self, query: ContactQuery) -> Result<Page<Contact>> {
        self.read(move |db| contacts::list(db, &query)).await
    }

    async fn update_contact(&self, update: UpdateContact) -> Result<Contact> {
        self.write(move |w| contacts::update(w, update)).await
    }

    async fn remove_contacts(&self, owner: Owner, ids: Vec<ContactId>) -> Result<u64> {
        self.write(move |w| contacts::remove(w, owner, &ids)).await
    }

    async fn bulk_change(&self, change: BulkChange) -> Result<u64> {
        self.write(move |w| contacts::bulk_change(w, &change)).await
    }

    async fn suppress(&self, entries: Vec<Suppression>) -> Result<()> {
        self.write(move |w| suppression::add(w, &entries)).await
    }

    async fn unsuppress(&self, keys: Vec<SuppressionKey>) -> Result<u64> {
        self.write(move |w| suppression::remove(w, &keys)).await
    }

    async fn suppressions(&self, query: SuppressionQuery) -> Result<Page<Suppression>> {
        self.read(move |db| suppression::list(db, &query)).await
    }

    async fn register_node(&self, node: NewNode) -> Result<NodeLease> {
        self.write(move |w| nodes::register(w, node)).await
    }

    async fn renew_node(&self, renew: RenewNode) -> Result<()> {
        self.write(move |w| nodes::renew(w, renew)).await
    }

    async fn retire_node(&self, token: NodeToken) -> Result<()> {
        self.write(move |w| nodes::retire(w, token)).await
    }

    async fn nodes(&self, now: Timestamp) -> Result<Vec<NodeInfo>> {
        self.read(move |db| nodes::live(db, now)).await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claims> {
        self.write(move |w| claim::claim(w, &request)).await
    }

    async fn placed(&self, placed: Vec<Placed>) -> Result<()> {
        self.write(move |w| settle::placed(w, &placed)).await
    }

    async fn settle(&self, request: SettleRequest) -> Result<SettleReply> {
        self.write(move |w| settle::settle(w, &request)).await
    }

    async fn amend(&self, attempt: AttemptId, outcome: Outcome) -> Result<Attempt> {
        self.write(move |w| settle::amend(w, attempt, outcome)).await
    }

    async fn take_over(&self, request: TakeOver) -> Result<Vec<TakenOver>> {
        self.write(move |w| nodes::take_over(w, &request)).await
    }

    async fn counts(&self, campaign: CampaignId) -> Result<Counts> {
        self.read(move |db| campaigns::counts(db, campaign)).await
    }

    async fn counts_of(&self, campaigns: Vec<CampaignId>) -> Result<Vec<(CampaignId, Counts)>> {
        self.read(move |db| campaigns::counts_of(db, &campaigns)).await
    }

    async fn attempts(&self, query: AttemptQuery) -> Result<Page<Attempt>> {
        self.read(move |db| read::attempts(db, &query)).await
    }

    async fn last_attempts(&self, contacts: Vec<ContactId>) -> Result<Vec<Attempt>> {
        self.read(move |db| read::last_attempts(db, &contacts)).await
    }

    async fn pending_zones(&self, campaign: CampaignId) -> Result<Vec<PendingZone>> {
        self.read(move |db| read::pending_zones(db, campaign)).await
    }

    async fn reasons(&self, campaign: CampaignId, now: Timestamp) -> Result<Vec<ReasonCount>> {
        self.read(move |db| read::reasons(db, campaign, now)).await
    }

    async fn facts(&self, contact: ContactId, since: Option<Timestamp>, now: Timestamp) -> Result<ContactFacts> {
        self.read(move |db| suppression::facts(db, contact, since, now)).await
    }

    async fn ledgers(&self, scopes: Vec<LimitScope>) -> Result<Vec<Ledger>> {
        self.read(move |db| scopes.iter().map(|scope| ledgers::ledger_of(db, &scope.key())).collect()).await
    }

    async fn timeline(&self, query: TimelineQuery) -> Result<Vec<TimelineBucket>> {
        self.read(move |db| read::timeline(db, &query)).await
    }

    async fn changes(&self) -> Result<u64> {
        let at_once = match &self.changes {
            _ if self.writes.is_closed() => return Err(self.closed()),
            Some(conn) => conn.try_lock().and_then(|conn| read_changes(&conn).ok()),
            None => None,
        };
        match at_once {
            Some(changes) => Ok(changes),
            // Somebody else asks, or the file is locked: the readers may wait.
            None => self.read(|db| read_changes(&db.conn)).await,
        }
    }

    async fn events(&self, query: EventQuery) -> Result<EventPage> {
        self.read(move |db| events::events(db, &query)).await
    }

    async fn put_document(&self, put: PutDocument) -> Result<u64> {
        self.write(move |w| documents::put(w, &put)).await
    }

    async fn documents(&self, query: DocumentQuery) -> Result<Vec<Document>> {
        self.read(move |db| documents::list(db, &query)).await
    }

    async fn delete_document(&self, collection: String, key: String) -> Result<bool> {
        self.write(move |w| documents::delete(w, &collection, &key)).await
    }

    async fn next_number(&self, sequence: String) -> Result<i64> {
        self.write(move |w| documents::next_number(w, &sequence)).await
    }

    async fn catalog(&self) -> Result<Catalog> {
        self.read(copy::catalog).await
    }

    async fn restore(&self, snapshot: Snapshot) -> Result<()> {
        self.write(move |w| copy::restore(w, &snapshot)).await
    }

    async fn close(&self) -> Result<()> {
        self.end();
        let ended = self.ended.lock().take();
        if let Some(ended) = ended {
            // An error means that the writer is gone already.
            let _ = ended.await;
        }
        Ok(())
    }
}
