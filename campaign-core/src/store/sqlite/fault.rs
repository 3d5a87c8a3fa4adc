//! What goes wrong inside the store, and the error a caller sees.

use crate::error::{Error, Kind};
use rusqlite::ErrorCode;
use std::path::Path;

/// An error of SQLite, or one this store found itself.
#[derive(Debug)]
pub(super) enum Fault {
    Sql(rusqlite::Error),
    Engine(Error),
}

/// What the functions of this room return.
pub(super) type Outcome<T> = std::result::Result<T, Fault>;

impl Fault {
    /// A row that this version cannot read.
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Engine(Error::new(Kind::Corrupt, format!("the store holds a value it should not: {}", what.into())))
    }

    /// The error for people: what happened, in which file, what to do.
    pub(super) fn into_error(self, path: &Path) -> Error {
        match self {
            Self::Engine(error) => error,
            Self::Sql(error) => {
                let (kind, message) = describe(&error);
                Error::new(kind, message).with("file", path.display()).with_source(error)
            }
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl From<serde_json::Error> for Fault {
    /// Only the place is kept: the text may hold personal data.
    fn from(error: serde_json::Error) -> Self {
        Self::damaged(format!("JSON that cannot be read at column {}", error.column()))
    }
}

impl From<jiff::Error> for Fault {
    fn from(_: jiff::Error) -> Self {
        Self::damaged("a moment outside the calendar")
    }
}

fn describe(error: &rusqlite::Error) -> (Kind, &'static str) {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => (
            Kind::Full,
            "the disk or the quota of the store is full; what was settled before is safe. Free some space: the engine goes on by itself",
        ),
        Some(ErrorCode::DatabaseCorrupt) => (
            Kind::Corrupt,
            "the store's file is damaged. Stop every process that uses it, keep a copy, and restore a backup (or try `sqlite3 FILE .recover`)",
        ),
        Some(ErrorCode::NotADatabase) => {
            (Kind::Corrupt, "the file is not an SQLite database, or it is damaged; name another file, or restore a backup")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            Kind::Unavailable,
            "the store is locked by another process; try again, and look for a long transaction or a backup tool that holds it",
        ),
        Some(ErrorCode::SystemIoFailure) => {
            (Kind::Unavailable, "the disk of the store cannot be read or written; look at the disk and the system's log")
        }
        Some(ErrorCode::CannotOpen) => {
            (Kind::Unavailable, "the store's file cannot be opened; look at the path, its folder and the permissions of both")
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            (Kind::Unavailable, "the store's file may not be written; look at the permissions of the file and of its folder")
        }
        Some(ErrorCode::OutOfMemory) => (Kind::Unavailable, "no memory was left for the store"),
        Some(ErrorCode::OperationInterrupted) => (Kind::Unavailable, "the operation on the store was interrupted"),
        _ => match error {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..) => {
                (Kind::Corrupt, "the store holds a value it should not; it is damaged or was changed by hand")
            }
            _ => (Kind::Internal, "the store could not run a statement"),
        },
    }
}
