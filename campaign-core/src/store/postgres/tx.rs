//! Transactions: begun, carried out, tried again, given up.
//!
//! Every statement is sent whole and unnamed (`query_typed`): nothing is prepared, so a pooler may hand each transaction to another
//! server connection, and statements that wait for nobody's answer go out together.

use super::fault::{Fault, Outcome as Result};
use super::{PostgresOptions, StoreClock};
use crate::error::{Error, Kind};
use deadpool_postgres::{Object, Pool};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use jiff::civil::Date;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

/// How often a transaction that lost against others is begun anew.
const TRIES: u32 = 5;

/// A value with the type it has in the database.
pub(super) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// Rust types and the one type of PostgreSQL each is sent as.
pub(super) trait Typed {
    fn sql_type(&self) -> Type;
}

macro_rules! typed {
    ($($rust:ty => $one:ident, $many:ident;)*) => {$(
        impl Typed for $rust {
            fn sql_type(&self) -> Type { Type::$one }
        }
        impl Typed for Option<$rust> {
            fn sql_type(&self) -> Type { Type::$one }
        }
        impl Typed for Vec<$rust> {
            fn sql_type(&self) -> Type { Type::$many }
        }
        impl Typed for Vec<Option<$rust>> {
            fn sql_type(&self) -> Type { Type::$many }
        }
    )*};
}

typed! {
    bool => BOOL, BOOL_ARRAY;
    i16 => INT2, INT2_ARRAY;
    i32 => INT4, INT4_ARRAY;
    i64 => INT8, INT8_ARRAY;
    String => TEXT, TEXT_ARRAY;
    &str => TEXT, TEXT_ARRAY;
    Timestamp => TIMESTAMPTZ, TIMESTAMPTZ_ARRAY;
    Date => DATE, DATE_ARRAY;
    Uuid => UUID, UUID_ARRAY;
}

/// A value with its type.
pub(super) fn param<T: ToSql + Typed + Sync>(value: &T) -> Param<'_> {
    (value, value.sql_type())
}

/// Values with their types, from expressions.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$($crate::store::postgres::tx::param(&$value)),*]
    };
}
pub(super) use params;

/// Whether a transaction writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Sees one moment of the store and changes nothing.
    Read,
    /// Each statement sees what was committed before it; rows are locked where it matters.
    Write,
    /// The same, for work that takes as long as a campaign is large.
    Long,
}

impl Access {
    /// How long a statement may take.
    fn patience(self, options: &PostgresOptions) -> Duration {
        match self {
            Self::Read | Self::Write => options.timeout,
            Self::Long => 60 * options.timeout,
        }
    }
}

/// What all transactions of a store share.
pub(super) struct Home {
    pub(super) options: PostgresOptions,
    /// Known once the schema is there.
    pub(super) store_id: OnceLock<Uuid>,
}

/// An open transaction. Dropped without an end, it takes its connection along, so that the server rolls it back.
pub(super) struct Tx {
    client: Option<Object>,
    home: Arc<Home>,
    /// The work has sent the COMMIT itself.
    committed: AtomicBool,
}

impl Tx {
    async fn begin(pool: &Pool, home: &Arc<Home>, access: Access) -> Result<Self> {
        let options = &home.options;
        let level = match access {
            Access::Read => "ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Access::Write | Access::Long => "ISOLATION LEVEL READ COMMITTED READ WRITE",
        };
        let millis = access.patience(options).as_millis();
        // Right after an import the statistics know nothing of it; what writes searches by an index, whatever they say.
        let plans = if access == Access::Read { "" } else { "; SET LOCAL enable_seqscan = off" };
        // All settings end with the transaction: behind a pooler the connection is somebody else's next.
        let begin = format!(
            "BEGIN {level}; SET LOCAL search_path = {}; SET LOCAL statement_timeout = {millis}; \
             SET LOCAL idle_in_transaction_session_timeout = {millis}; SET LOCAL jit = off{plans}",
            options.schema
        );
        // A connection that broke while it lay in the pool shows here. After as many as the pool holds, the next one is fresh.
        let mut left = options.pool_size.max(2) + 1;
        loop {
            let tx = Self { client: Some(pool.get().await?), home: Arc::clone(home), committed: AtomicBool::new(false) };
            match tx.client().batch_execute(&begin).await {
                Ok(()) => return Ok(tx),
                Err(error) => {
                    left -= 1;
                    let fault = Fault::from(error);
                    if left == 0 || !fault.spoils_the_connection() {
                        return Err(fault);
                    }
                }
            }
        }
    }

    fn client(&self) -> &Object {
        match &self.client {
            Some(client) => client,
            // Only `finish` and `drop` take it, and both end the transaction.
            None => unreachable!("a transaction that has ended is not used"),
        }
    }

    pub(super) fn options(&self) -> &PostgresOptions {
        &self.home.options
    }

    pub(super) fn store_id(&self) -> Uuid {
        self.home.store_id.get().copied().unwrap_or_default()
    }

    /// The moment it is now, by the clock this store goes by.
    pub(super) async fn now(&self, asked_at: Timestamp) -> Result<Timestamp> {
        match self.options().clock {
            StoreClock::Requests => Ok(asked_at),
            StoreClock::Database => Ok(self.query_one("SELECT clock_timestamp()", &[]).await?.try_get(0)?),
        }
    }

    pub(super) async fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>> {
        Ok(self.client().query_typed(sql, params).await?)
    }

    pub(super) async fn query_opt(&self, sql: &str, params: &[Param<'_>]) -> Result<Option<Row>> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    pub(super) async fn query_one(&self, sql: &str, params: &[Param<'_>]) -> Result<Row> {
        self.query_opt(sql, params).await?.ok_or_else(|| crate::store::codes::damaged("a row is missing").into())
    }

    pub(super) async fn execute(&self, sql: &str, params: &[Param<'_>]) -> Result<u64> {
        Ok(self.client().execute_typed(sql, params).await?)
    }

    pub(super) async fn batch(&self, sql: &str) -> Result<()> {
        Ok(self.client().batch_execute(sql).await?)
    }

    /// Begins to copy rows in. This one statement is prepared by name, and its name given back before the transaction ends.
    pub(super) async fn copy_in(&self, sql: &str, types: &[Type]) -> Result<BinaryCopyInWriter> {
        Ok(BinaryCopyInWriter::new(self.client().copy_in(sql).await?, types))
    }

    /// Commits together with the last statements, as the last of a `try_join!`: nobody's answer is waited for before it goes out, so what
    /// is locked is free a round trip sooner. When one of those statements fails, the server rolls back instead.
    ///
    /// Each of the others must send all it has to send when it is first polled, and nothing may follow: it would not be part of the transaction.
    /// Nor may what they answer be a reason to roll back.
    pub(super) async fn commit(&self) -> Result<()> {
        self.client().batch_execute("COMMIT").await?;
        self.committed.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn finish(mut self, sql: &str) -> Result<()> {
        if !self.committed.load(Ordering::Relaxed) {
            self.client().batch_execute(sql).await?;
        }
        // From here on the connection may go back to the pool.
        drop(self.client.take());
        Ok(())
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            // Out of the pool, and closed.
            drop(Object::take(client));
        }
    }
}

/// Runs `work` in one transaction, and again when it lost a race.
///
/// The answer to COMMIT can be lost: the caller then sees [`Kind::Unavailable`] and repeats the call, which is safe.
pub(super) async fn transact<A, T>(
    pool: &Pool,
    home: &Arc<Home>,
    access: Access,
    args: &A,
    work: for<'t> fn(&'t Tx, &'t A) -> BoxFuture<'t, Result<T>>,
) -> Result<T> {
    let mut tries = 0;
    loop {
        let once = async {
            let tx = Tx::begin(pool, home, access).await?;
            match work(&tx, args).await {
                Ok(value) => {
                    tx.finish("COMMIT").await?;
                    Ok(value)
                }
                Err(fault) => {
                    if !fault.spoils_the_connection() {
                        tx.finish("ROLLBACK").await?;
                    }
                    Err(fault)
                }
            }
        };
        match in_time(access.patience(&home.options), once).await {
            Err(fault) if fault.lost_a_race() && tries < TRIES => tries += 1,
            result => return result,
        }
    }
}

/// Gives up when the server or the network does not answer; what was begun is rolled back with its connection.
async fn in_time<T>(patience: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    #[expect(clippy::disallowed_methods, reason = "a socket that nobody answers is real time, whatever clock the engine runs on")]
    let result = tokio::time::timeout(2 * patience, work).await;
    result.unwrap_or_else(|_| {
        Err(Error::new(Kind::Unavailable, "PostgreSQL did not answer in time; look at the server, the network, and for locks").into())
    })
}

/// One number, asked for by one statement that is a transaction of its own.
pub(super) async fn ask(pool: &Pool, home: &Home, sql: &str) -> Result<i64> {
    let once = async {
        let mut left = home.options.pool_size.max(2) + 1;
        loop {
            let client = pool.get().await?;
            match client.query_typed(sql, &[]).await {
                Ok(rows) => {
                    let row = rows.first().ok_or_else(|| crate::store::codes::damaged("a row is missing"))?;
                    return Ok(row.try_get(0)?);
                }
                Err(error) => {
                    let fault = Fault::from(error);
                    left -= 1;
                    if fault.spoils_the_connection() {
                        drop(Object::take(client));
                    }
                    if left == 0 || !fault.spoils_the_connection() {
                        return Err(fault);
                    }
                }
            }
        }
    };
    in_time(home.options.timeout, once).await
}
