//! PostgreSQL: the store that several machines share.
//!
//! Every method is one transaction on a connection of a pool. Nothing is remembered between transactions that another node could
//! change, every time that decides about leases and slots is the database's, and every write can be repeated: what a lost COMMIT had
//! done is found by its request id, its revision or its token.
//!
//! Locks are taken in one order, so that transactions wait for each other but never in a circle: campaign, contacts and open attempts,
//! ledgers, counters, the change counter, the place of events. A claim begins with the ledgers and takes only contacts nobody holds.
//!
//! - `mod.rs`: the handle, and the trait, method by method.
//! - `connect.rs`, `tx.rs`, `fault.rs`: URL, TLS and pool; transactions; errors.
//! - `schema.rs`, `migrations/`: tables, and why they are cut as they are. `zones.rs`, `rows.rs`, `../codes.rs`: how values are stored.
//! - `campaigns.rs`, `contacts.rs`, `bulk.rs`, `copy_in.rs`, `queue.rs`, `suppression.rs`, `documents.rs`, `restore.rs`, `archive.rs`:
//!   what people and imports change.
//! - `nodes.rs`, `claim.rs`, `settle.rs`, `ledgers.rs`, `counts.rs`, `memo.rs`: what executes.
//! - `read.rs`, `filter.rs`, `events.rs`, `listen.rs`: what is read, and who is told to look.

mod archive;
mod bulk;
mod campaigns;
mod claim;
mod connect;
mod contacts;
mod copy_in;
mod counts;
mod documents;
mod events;
mod fault;
mod filter;
mod ledgers;
mod listen;
mod memo;
mod nodes;
mod queue;
mod read;
mod restore;
mod rows;
mod schema;
mod settle;
mod suppression;
mod tx;
mod zones;

use super::codes::unsigned;
use super::*;
use crate::contact::{Owner, ZoneKey};
use crate::outcome::Outcome;
use deadpool_postgres::Pool;
use fault::Outcome as Answer;
use futures_util::future::BoxFuture;
use listen::Wakes;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;
use tx::{Access, Home, Tx};
use zones::{ZoneIds, Zones};

/// Whose clock a store goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StoreClock {
    /// The database's: clocks of nodes may differ, and no node's clock can stretch a lease or a limit.
    #[default]
    Database,
    /// The `now` of each request. For tests that make their own time; with several machines, limits are only as good as their clocks.
    Requests,
}

/// How a store on PostgreSQL is opened. The URL may say some of it, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresOptions {
    /// The schema of the tables, made when it is not there: lower-case letters, digits and underscores, at most 48. Several stores can
    /// share a database this way. Default `campaign`; in the URL `schema=`.
    pub schema: String,
    /// Connections at most, at least 2. One more listens for other nodes. Default 8; in the URL `pool_size=`.
    pub pool_size: usize,
    /// How long a connection, a statement or a lock may take. Default 10 s.
    pub timeout: Duration,
    /// Where to listen for other nodes, when the URL leads to a pooler in transaction mode, which passes no notifications on: the URL of
    /// PostgreSQL itself. Without it, other nodes' changes are noticed by polling. Default: the URL of the store.
    pub listen_url: Option<String>,
    /// Whether to listen for other nodes at all. Default true.
    pub listen: bool,
    /// How long events are kept for readers that were away; `None`: for ever. Default 7 days.
    pub keep_events: Option<Duration>,
    /// Whose clock decides about leases and slots. Default the database's.
    pub clock: StoreClock,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            schema: "campaign".to_owned(),
            pool_size: 8,
            timeout: Duration::from_secs(10),
            listen_url: None,
            listen: true,
            keep_events: Some(Duration::from_secs(7 * 24 * 3600)),
            clock: StoreClock::Database,
        }
    }
}

/// Keeps everything in one schema of a PostgreSQL database (13 or newer), which any number of nodes open at once.
///
/// Needs a Tokio runtime: connections are sockets of Tokio. A connection that breaks is replaced by the next call, and a URL with several
/// hosts and `target_session_attrs=read-write` follows a failover. Durable as the server is: with the default `synchronous_commit`, what was
/// answered survives a crash; with a synchronous standby, the loss of the server, too. See `docs/postgres.md`.
pub struct PostgresStore {
    home: Arc<Home>,
    pool: Pool,
    zones: Zones,
    wakes: Option<Wakes>,
    migrated: Migrated,
}

/// Shows the schema only.
impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore").field("schema", &self.home.options.schema).finish_non_exhaustive()
    }
}

/// What a transaction of a store does with its arguments.
type Work<A, T> = for<'t> fn(&'t Tx, &'t A) -> BoxFuture<'t, Answer<T>>;

/// Names a function of this room as work: `work!(campaigns::get, *id)`.
macro_rules! work {
    (|$tx:ident, $args:pat_param| $body:expr) => {
        |$tx, $args| Box::pin(async move { $body.await })
    };
}

impl PostgresStore {
    /// Opens a store, and makes or updates its schema.
    ///
    /// The URL is that of `libpq`: `postgres://user:password@host:port/database?key=value`, with several hosts separated by commas. Beside
    /// `libpq`'s keys it takes `schema`, `pool_size` and `sslrootcert`. With TLS the server's certificate and name are always checked.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] when the URL or an option is not in order, [`crate::Kind::Unavailable`] when the server cannot be reached or refuses,
    /// [`crate::Kind::Corrupt`] when the schema is from a newer version or damaged.
    pub async fn connect(url: &str) -> Result<Self> {
        Self::connect_with(url, PostgresOptions::default()).await
    }

    /// Opens a store with these options; what the URL says about them wins.
    ///
    /// # Errors
    /// As [`PostgresStore::connect`].
    pub async fn connect_with(url: &str, mut options: PostgresOptions) -> Result<Self> {
        let target = connect::target(url, &mut options)?;
        schema::check_name(&options.schema)?;
        let pool = connect::pool(&target, &options)?;
        let heard_at = match &options.listen_url {
            Some(url) => connect::target(url, &mut options.clone())?,
            None => target,
        };
        let home = Arc::new(Home { options, store_id: OnceLock::new() });
        let mut store = Self { home, pool, zones: Zones::default(), wakes: None, migrated: Migrated { from: 0, to: 0 } };
        store.migrated = store.run(Access::Write, (), work!(|tx, ()| schema::migrate(tx))).await?;
        let id = store.run(Access::Read, (), work!(|tx, ()| schema::store_id(tx))).await?;
        let _ = store.home.store_id.set(id);
        store.wakes = store.home.options.listen.then(|| Wakes::start(heard_at, &store.home.options.schema));
        Ok(store)
    }

    /// What opening it did to its tables.
    pub fn migrated(&self) -> Migrated {
        self.migrated
    }

    /// The schema of the tables.
    pub fn schema(&self) -> &str {
        &self.home.options.schema
    }

    /// Moves attempts that ended before `before`, of campaigns that have ended, into the table `archived_attempts`, where nothing reads
    /// them but people; returns how many. At most `limit` in one transaction: repeat it until it returns less.
    ///
    /// The counters of campaigns and contacts stay; `attempts` and `timeline` no longer show what was moved, and frequency caps no longer
    /// see it, so `before` should be older than the longest cap.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn archive(&self, before: Timestamp, limit: u32) -> Result<u64> {
        self.write((before, limit), work!(|tx, (before, limit)| archive::archive(tx, *before, *limit))).await
    }

    /// Runs a transaction.
    async fn run<A: Send + Sync, T>(&self, access: Access, args: A, work: Work<A, T>) -> Result<T> {
        tx::transact(&self.pool, &self.home, access, &args, work).await.map_err(fault::Fault::into_error)
    }

    /// Runs a transaction that only reads, on one moment of the store.
    async fn read<A: Send + Sync, T>(&self, args: A, work: Work<A, T>) -> Result<T> {
        self.run(Access::Read, args, work).await
    }

    /// Runs a transaction that writes, and has other nodes told to look.
    async fn write<A: Send + Sync, T>(&self, args: A, work: Work<A, T>) -> Result<T> {
        let result = self.run(Access::Write, args, work).await;
        if result.is_ok() {
            self.tell();
        }
        result
    }

    /// Has other nodes told to look.
    fn tell(&self) {
        if let Some(wakes) = &self.wakes {
            wakes.committed.notify_one();
        }
    }

    /// The numbers of zones; with `make`, every zone has one afterwards.
    async fn zone_ids<'a>(&self, zones: impl IntoIterator<Item = &'a ZoneKey>, make: bool) -> Result<ZoneIds> {
        let (mut ids, unknown) = self.zones.known(zones);
        if !unknown.is_empty() {
            let access = if make { Access::Write } else { Access::Read };
            let keys: Vec<String> = unknown.into_iter().collect();
            let found = self.run(access, (keys, make), work!(|tx, (keys, make)| zones::look_up(tx, keys, *make))).await?;
            self.zones.learn(&mut ids, found);
        }
        Ok(ids)
    }
}

#[async_trait]
impl ContactStore for PostgresStore {
    async fn create_campaign(&self, new: NewCampaign) -> Result<CampaignRecord> {
        self.write(new, work!(|tx, new| campaigns::create(tx, new))).await
    }

    async fn campaign(&self, id: CampaignId) -> Result<Option<CampaignRecord>> {
        self.read(id, work!(|tx, id| campaigns::get(tx, *id))).await
    }

    async fn campaigns(&self, query: CampaignQuery) -> Result<Page<CampaignRecord>> {
        self.read(query, work!(|tx, query| campaigns::list(tx, query))).await
    }

    async fn save_campaign(&self, save: SaveCampaign) -> Result<CampaignRecord> {
        self.write(save, work!(|tx, save| campaigns::save(tx, save))).await
    }

    async fn delete_campaign(&self, id: CampaignId) -> Result<()> {
        let deleted = self.run(Access::Long, id, work!(|tx, id| campaigns::delete(tx, *id))).await;
        self.tell();
        deleted
    }

    async fn add_contacts(&self, add: AddContacts) -> Result<Vec<Added>> {
        let zones = self.zone_ids(add.contacts.iter().map(|new| &new.zones), true).await?;
        self.write((add, zones), work!(|tx, (add, zones)| contacts::add(tx, add, zones))).await
    }

    async fn contact(&self, id: ContactId) -> Result<Option<Contact>> {
        self.read(id, work!(|tx, id| contacts::get(tx, *id))).await
    }

    async fn contacts(&self, query: ContactQuery) -> Result<Page<Contact>> {
        self.read(query, work!(|tx, query| contacts::list(tx, query))).await
    }

    async fn update_contact(&self, update: UpdateContact) -> Result<Contact> {
        self.write(update, work!(|tx, update| contacts::update(tx, update))).await
    }

    async fn remove_contacts(&self, owner: Owner, ids: Vec<ContactId>) -> Result<u64> {
        self.write((owner, ids), work!(|tx, (owner, ids)| contacts::remove(tx, *owner, ids))).await
    }

    async fn bulk_change(&self, change: BulkChange) -> Result<u64> {
        self.write(change, work!(|tx, change| bulk::change(tx, change))).await
    }

    async fn suppress(&self, entries: Vec<Suppression>) -> Result<()> {
        self.write(entries, work!(|tx, entries| suppression::add(tx, entries))).await
    }

    async fn unsuppress(&self, keys: Vec<SuppressionKey>) -> Result<u64> {
        self.write(keys, work!(|tx, keys| suppression::remove(tx, keys))).await
    }

    async fn suppressions(&self, query: SuppressionQuery) -> Result<Page<Suppression>> {
        self.read(query, work!(|tx, query| suppression::list(tx, query))).await
    }

    async fn register_node(&self, node: NewNode) -> Result<NodeLease> {
        self.write(node, work!(|tx, node| nodes::register(tx, node))).await
    }

    async fn renew_node(&self, renew: RenewNode) -> Result<()> {
        // Nobody has to look because of a heartbeat.
        self.run(Access::Write, renew, work!(|tx, renew| nodes::renew(tx, renew))).await?;
        if let Err(error) = self.run(Access::Write, renew.now, work!(|tx, now| nodes::tidy(tx, *now))).await {
            tracing::debug!(%error, "old answers and events stay a little longer");
        }
        Ok(())
    }

    async fn retire_node(&self, token: NodeToken) -> Result<()> {
        self.write(token, work!(|tx, token| nodes::retire(tx, *token))).await
    }

    async fn nodes(&self, now: Timestamp) -> Result<Vec<NodeInfo>> {
        self.read(now, work!(|tx, now| nodes::live(tx, *now))).await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claims> {
        // A zone nobody has a contact in has no number, and nothing to claim.
        let zones = self.zone_ids(&request.zones, false).await?;
        self.write((request, zones), work!(|tx, (request, zones)| claim::claim(tx, request, zones))).await
    }

    async fn placed(&self, placed: Vec<Placed>) -> Result<()> {
        self.write(placed, work!(|tx, placed| settle::placed(tx, placed))).await
    }

    async fn settle(&self, request: SettleRequest) -> Result<SettleReply> {
        self.write(request, work!(|tx, request| settle::settle(tx, request))).await
    }

    async fn amend(&self, attempt: AttemptId, outcome: Outcome) -> Result<Attempt> {
        self.write((attempt, outcome), work!(|tx, (attempt, outcome)| settle::amend(tx, *attempt, outcome))).await
    }

    async fn take_over(&self, request: TakeOver) -> Result<Vec<TakenOver>> {
        self.run(Access::Write, request, work!(|tx, request| nodes::take_over(tx, request))).await
    }

    async fn counts(&self, campaign: CampaignId) -> Result<Counts> {
        self.read(campaign, work!(|tx, campaign| counts::read(tx, *campaign))).await
    }

    async fn counts_of(&self, campaigns: Vec<CampaignId>) -> Result<Vec<(CampaignId, Counts)>> {
        self.read(campaigns, work!(|tx, campaigns| counts::read_of(tx, campaigns))).await
    }

    async fn attempts(&self, query: AttemptQuery) -> Result<Page<Attempt>> {
        self.read(query, work!(|tx, query| read::attempts(tx, query))).await
    }

    async fn last_attempts(&self, contacts: Vec<ContactId>) -> Result<Vec<Attempt>> {
        self.read(contacts, work!(|tx, contacts| read::last_attempts(tx, contacts))).await
    }

    async fn pending_zones(&self, campaign: CampaignId) -> Result<Vec<PendingZone>> {
        self.read(campaign, work!(|tx, campaign| read::pending_zones(tx, *campaign))).await
    }

    async fn reasons(&self, campaign: CampaignId, now: Timestamp) -> Result<Vec<ReasonCount>> {
        self.read((campaign, now), work!(|tx, (campaign, now)| read::reasons(tx, *campaign, *now))).await
    }

    async fn facts(&self, contact: ContactId, since: Option<Timestamp>, now: Timestamp) -> Result<ContactFacts> {
        self.read((contact, since, now), work!(|tx, (contact, since, now)| suppression::facts(tx, *contact, *since, *now))).await
    }

    async fn ledgers(&self, scopes: Vec<LimitScope>) -> Result<Vec<Ledger>> {
        self.read(scopes, work!(|tx, scopes| ledgers::read(tx, scopes))).await
    }

    async fn timeline(&self, query: TimelineQuery) -> Result<Vec<TimelineBucket>> {
        self.read(query, work!(|tx, query| read::timeline(tx, query))).await
    }

    async fn changes(&self) -> Result<u64> {
        // Asked before every hand-off, so it is one statement and one round trip.
        let changes = tx::ask(&self.pool, &self.home, &format!("SELECT changes FROM {}.store_state", self.schema())).await;
        changes.and_then(|changes| Ok(unsigned(changes)?)).map_err(fault::Fault::into_error)
    }

    fn wakes(&self) -> Option<watch::Receiver<u64>> {
        self.wakes.as_ref().map(|wakes| wakes.heard.clone())
    }

    async fn events(&self, query: EventQuery) -> Result<EventPage> {
        self.read(query, work!(|tx, query| events::read(tx, query))).await
    }

    async fn put_document(&self, put: PutDocument) -> Result<u64> {
        self.write(put, work!(|tx, put| documents::put(tx, put))).await
    }

    async fn documents(&self, query: DocumentQuery) -> Result<Vec<Document>> {
        self.read(query, work!(|tx, query| documents::list(tx, query))).await
    }

    async fn delete_document(&self, collection: String, key: String) -> Result<bool> {
        self.write((collection, key), work!(|tx, (collection, key)| documents::delete(tx, collection, key))).await
    }

    async fn next_number(&self, sequence: String) -> Result<i64> {
        self.write(sequence, work!(|tx, sequence| documents::next_number(tx, sequence))).await
    }

    async fn catalog(&self) -> Result<Catalog> {
        self.read((), work!(|tx, ()| restore::catalog(tx))).await
    }

    async fn restore(&self, snapshot: Snapshot) -> Result<()> {
        let zones = self.zone_ids(snapshot.contacts.iter().map(|contact| &contact.person.zones), true).await?;
        self.write((snapshot, zones), work!(|tx, (snapshot, zones)| restore::restore(tx, snapshot, zones))).await
    }

    async fn close(&self) -> Result<()> {
        if let Some(wakes) = &self.wakes {
            wakes.stop();
        }
        self.pool.close();
        Ok(())
    }
}
