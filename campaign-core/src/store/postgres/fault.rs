//! What goes wrong inside the store, and the error a caller sees.

use crate::error::{Error, Kind};
use deadpool_postgres::{PoolError, TimeoutType};
use std::error::Error as _;
use tokio_postgres::error::SqlState;

/// An error of PostgreSQL, or one this store found itself.
#[derive(Debug)]
pub(super) enum Fault {
    Sql(tokio_postgres::Error),
    Engine(Error),
}

/// What the functions of this room return.
pub(super) type Outcome<T> = std::result::Result<T, Fault>;

impl Fault {
    /// Whether the same transaction may succeed when it is begun anew: it lost against another one.
    pub(super) fn lost_a_race(&self) -> bool {
        matches!(self, Self::Sql(error) if matches!(error.code(), Some(&(SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED))))
    }

    /// Whether the connection is of no use any more: it is broken, or leads to a server that may not be written to.
    pub(super) fn spoils_the_connection(&self) -> bool {
        match self {
            Self::Engine(_) => false,
            Self::Sql(error) => error.code().is_none_or(|code| {
                matches!(code.code().get(..2), Some("08" | "57" | "58" | "XX"))
                    || timed_out(code.code())
                    || *code == SqlState::READ_ONLY_SQL_TRANSACTION
            }),
        }
    }

    /// The error for people. The server's own words are left out: they may repeat a row.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Engine(error) => error,
            Self::Sql(error) => describe(&error),
        }
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::Engine(crate::store::codes::unreadable(&error))
    }
}

impl From<PoolError> for Fault {
    fn from(error: PoolError) -> Self {
        let unavailable = |message: &str| Self::Engine(Error::new(Kind::Unavailable, message));
        match error {
            PoolError::Backend(error) => Self::Sql(error),
            PoolError::Closed => Self::Engine(closed()),
            PoolError::Timeout(TimeoutType::Wait) => unavailable(
                "every connection to PostgreSQL is busy; try again, and if this goes on, raise `pool_size` or look for slow statements",
            ),
            PoolError::Timeout(_) => unavailable("PostgreSQL did not accept a connection in time; look at the server and the network"),
            PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => unavailable("no connection to PostgreSQL could be set up"),
        }
    }
}

/// The server ended a transaction, and the connection with it, because this process stood still in the middle. It says so whenever the next
/// statement comes, COMMIT included.
fn timed_out(code: &str) -> bool {
    matches!(code, "25P03" | "25P04")
}

pub(super) fn closed() -> Error {
    Error::new(Kind::Closed, "the store is closed")
}

/// Error codes: PostgreSQL documentation, appendix A.
fn describe(error: &tokio_postgres::Error) -> Error {
    let Some(code) = error.code() else {
        // Everything without a code went wrong on the way: the socket, TLS, or the conversation with the server.
        let cause = error.source().map(|source| without_values(&source.to_string())).unwrap_or_default();
        let message = if cause.to_ascii_lowercase().contains("certificate") {
            "the certificate of PostgreSQL is not trusted; name the authority with `sslrootcert=FILE` in the URL, or, on a network that you \
             trust, use `sslmode=disable`"
        } else {
            "the connection to PostgreSQL failed; look at the server, the address and the network"
        };
        let error = Error::new(Kind::Unavailable, message);
        return if cause.is_empty() { error } else { error.with("cause", cause) };
    };
    let (kind, message) = match code.code() {
        "53100" => {
            (Kind::Full, "the disk of PostgreSQL is full; what was settled before is safe. Free some space: the engine goes on by itself")
        }
        "53300" => (Kind::Unavailable, "PostgreSQL has no connection left; lower `pool_size` or raise `max_connections`"),
        "28000" | "28P01" => (Kind::Unavailable, "PostgreSQL refused the user or the password; look at the URL and at pg_hba.conf"),
        "3D000" => (Kind::Unavailable, "there is no such database; create it, or name another in the URL"),
        "42501" => (Kind::Unavailable, "the database user may not do this; docs/postgres.md lists the rights a node needs"),
        "25006" => {
            (Kind::Unavailable, "this PostgreSQL is a standby and cannot be written to; add `target_session_attrs=read-write` to the URL")
        }
        "26000" | "42P05" => (
            Kind::Unavailable,
            "the pooler between the store and PostgreSQL mixes up prepared statements; update it or name PostgreSQL itself in the URL",
        ),
        "3F000" | "42P01" | "42703" | "42883" => {
            (Kind::Corrupt, "the schema of the store is not complete; it was changed by hand, or removed while in use")
        }
        code if timed_out(code) => (
            Kind::Unavailable,
            "PostgreSQL ended a transaction that stood still for too long; if this process was not stopped, the machine is overloaded",
        ),
        "57014" => (Kind::Unavailable, "a statement took too long and was cancelled; look for locks and for missing vacuums"),
        "55P03" => (Kind::Unavailable, "a row was locked by another transaction for too long; look for one that is idle in transaction"),
        code => match code.get(..2) {
            Some("08" | "53" | "57" | "58") => {
                (Kind::Unavailable, "PostgreSQL is stopping, starting or out of resources; trying again helps")
            }
            Some("40") => (Kind::Unavailable, "the transaction lost against others several times; trying again helps"),
            Some("XX") => (Kind::Corrupt, "PostgreSQL reports damaged data or a fault of its own; look at its log"),
            _ => (Kind::Internal, "PostgreSQL refused a statement of the store"),
        },
    };
    Error::new(kind, message).with("sqlstate", code.code())
}

/// Causes of the network name addresses and reasons; anything in quotes might be more than that.
fn without_values(text: &str) -> String {
    text.split('"').step_by(2).collect::<Vec<_>>().join("…")
}
