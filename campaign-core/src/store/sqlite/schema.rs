//! Opening the file: its permissions, its settings, its schema.

use super::SqliteOptions;
use super::fault::{Fault, Outcome as Result};
use crate::error::{Error, Kind};
use crate::store::Migrated;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use rusqlite_migration::{M, MigrationDefinitionError, Migrations};
use std::path::Path;
use uuid::Uuid;

/// "CAMP": tells our files from other programs' databases. The first migration sets it.
const APPLICATION_ID: i32 = 0x4341_4D50;

/// Every version of the schema. Two processes may open an old file at once, so a migration must fail when it runs a second time:
/// begin it with a `CREATE` or an `ALTER TABLE .. ADD`.
const MIGRATIONS: Migrations<'static> = Migrations::from_slice(STEPS);
const STEPS: &[M<'static>] = &[
    M::up(include_str!("migrations/0001_initial.sql")),
    M::up(include_str!("migrations/0002_organizations.sql")),
    M::up(include_str!("migrations/0003_campaign_lists.sql")),
];

/// Opens the connection that writes, and brings the schema up to date.
pub(super) fn open_writer(path: &Path, options: &SqliteOptions) -> Result<(Connection, Migrated)> {
    create_private(path)?;
    let mut conn = Connection::open_with_flags(path, flags())?;
    conn.busy_timeout(options.busy_timeout)?;
    refuse_foreign(&conn, path)?;
    switch_to_wal(&conn)?;
    settings(&conn, options)?;
    let migrated = migrate(&mut conn, path)?;
    Ok((conn, migrated))
}

/// Opens a database in memory; used by one connection only.
pub(super) fn open_memory(options: &SqliteOptions) -> Result<(Connection, Migrated)> {
    let mut conn = Connection::open_in_memory()?;
    settings(&conn, options)?;
    let migrated = migrate(&mut conn, Path::new(":memory:"))?;
    Ok((conn, migrated))
}

/// Opens a connection that only reads. Not with SQLite's read-only flag: such a connection cannot make the shared-memory file
/// of the write-ahead log when it is the first to need it.
pub(super) fn open_reader(path: &Path, options: &SqliteOptions) -> Result<Connection> {
    let conn = Connection::open_with_flags(path, flags() - OpenFlags::SQLITE_OPEN_CREATE)?;
    conn.busy_timeout(options.busy_timeout)?;
    conn.set_prepared_statement_cache_capacity(64);
    conn.execute_batch("PRAGMA query_only = 1; PRAGMA cache_size = -8192;")?;
    Ok(conn)
}

fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// Makes a new file readable for its owner only; it will hold people's numbers. SQLite gives the log files the same permissions.
pub(super) fn create_private(path: &Path) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    match options.open(path) {
        Ok(_) => Ok(()),
        // An existing file is not touched: closing any handle of it would drop the locks another store of this process holds.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => {
            let kind = if error.kind() == std::io::ErrorKind::StorageFull { Kind::Full } else { Kind::Unavailable };
            Err(Error::new(kind, "the store's file cannot be created; look at the folder and its permissions")
                .with("file", path.display())
                .with_source(error)
                .into())
        }
    }
}

fn refuse_foreign(conn: &Connection, path: &Path) -> Result<()> {
    let id: i32 = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if id == APPLICATION_ID || (id == 0 && tables == 0) {
        return Ok(());
    }
    Err(Error::new(Kind::Corrupt, "the file is an SQLite database of another program; name another file")
        .with("file", path.display())
        .into())
}

/// The switch needs the file for itself for a moment and does not wait for it by the busy timeout.
fn switch_to_wal(conn: &Connection) -> Result<()> {
    let mut tries = 0;
    loop {
        match conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0)) {
            Ok(_) => return Ok(()),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && tries < 100 => {
                tries += 1;
                // A lock makes the next try wait by the busy timeout instead of in a loop of our own.
                let _ = conn.execute_batch("BEGIN IMMEDIATE; COMMIT;");
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn settings(conn: &Connection, options: &SqliteOptions) -> Result<()> {
    conn.set_prepared_statement_cache_capacity(128);
    // FULL loses nothing at a power cut, and group commit makes it nearly free. A rare, large checkpoint costs less than many small ones.
    conn.execute_batch(&format!(
        "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 16384; PRAGMA journal_size_limit = 67108864;
         PRAGMA temp_store = MEMORY; PRAGMA cache_size = -{};",
        options.cache_kib.max(1024)
    ))?;
    Ok(())
}

fn migrate(conn: &mut Connection, path: &Path) -> Result<Migrated> {
    let from = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    conn.set_transaction_behavior(TransactionBehavior::Immediate);
    let mut tries = 0;
    loop {
        match MIGRATIONS.to_latest(conn) {
            Ok(()) => break,
            Err(rusqlite_migration::Error::MigrationDefinition(MigrationDefinitionError::DatabaseTooFarAhead)) => {
                return Err(Error::new(Kind::Corrupt, "the store was written by a newer version of this program; update the program")
                    .with("file", path.display())
                    .into());
            }
            // Another process was faster: the second look finds its work done.
            Err(_) if tries < 3 && MIGRATIONS.pending_migrations(conn).is_ok_and(|pending| pending == 0) => tries += 1,
            Err(rusqlite_migration::Error::RusqliteError { err, .. }) => return Err(Fault::Sql(err)),
            Err(error) => {
                return Err(Error::new(Kind::Internal, "the store's schema could not be brought up to date")
                    .with("file", path.display())
                    .with_source(error)
                    .into());
            }
        }
    }
    // Looked at first, so that opening a file that is ready takes no write lock.
    if conn.query_row("SELECT count(*) FROM store_state", [], |row| row.get::<_, i64>(0))? == 0 {
        conn.execute(
            "INSERT INTO store_state (id, store_id, changes, seq, epoch, last_campaign, last_contact, last_attempt)
             VALUES (1, ?1, 0, 0, 0, 0, 0, 0) ON CONFLICT (id) DO NOTHING",
            [Uuid::new_v4().to_string()],
        )?;
    }
    Ok(Migrated { from, to: STEPS.len() as u32 })
}
