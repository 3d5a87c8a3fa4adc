//! A store by its URL: one text in a configuration file instead of a type.

use super::{ContactStore, MemoryStore};
use crate::error::{Error, Kind, Result};
use std::sync::Arc;

/// What opening a store did to its tables. Every version of this library that changes them gives them the next number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The version they had; 0 when there were none.
    pub from: u32,
    /// The version they have now: that of this library.
    pub to: u32,
}

/// Opens the store a URL names.
///
/// | URL | store |
/// |---|---|
/// | `memory://` | [`MemoryStore`], gone with the process |
/// | `sqlite://campaigns.db`, `sqlite:///var/lib/campaigns.db` | [`SqliteStore`](super::SqliteStore): what follows the two slashes is the path, so three make it absolute (feature `sqlite`) |
/// | `sqlite::memory:`, `sqlite://:memory:` | SQLite in memory, for tests |
/// | `postgres://user:password@host/database?schema=campaign` | `PostgresStore`, shared by any number of nodes (feature `postgres`; its `connect` says what a URL may hold) |
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> campaign_core::Result<()> {
/// let store = campaign_core::store::open_store("memory://").await?;
/// assert_eq!(store.changes().await?, 0);
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Kind::Invalid`] for a scheme that is not known or was not built in, and what opening the store can meet. The URL itself is
/// never repeated: it may hold a password.
pub async fn open_store(url: &str) -> Result<Arc<dyn ContactStore>> {
    Ok(migrate_store(url).await?.0)
}

/// As [`open_store`], and says what was done to its tables; a store that has none, [`MemoryStore`], says nothing.
///
/// # Errors
/// As [`open_store`].
pub async fn migrate_store(url: &str) -> Result<(Arc<dyn ContactStore>, Option<Migrated>)> {
    let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    match scheme {
        "memory" if rest.is_empty() => Ok((Arc::new(MemoryStore::new()), None)),
        #[cfg(feature = "sqlite")]
        "sqlite" if !rest.is_empty() => {
            let store = if rest == ":memory:" { super::SqliteStore::in_memory() } else { super::SqliteStore::open(rest) }?;
            let migrated = store.migrated();
            Ok((Arc::new(store), Some(migrated)))
        }
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => {
            let store = super::PostgresStore::connect(url).await?;
            let migrated = store.migrated();
            Ok((Arc::new(store), Some(migrated)))
        }
        _ => Err(unknown()),
    }
}

fn unknown() -> Error {
    let known: &[&str] = &[
        "memory://",
        #[cfg(feature = "sqlite")]
        "sqlite://PATH",
        #[cfg(feature = "postgres")]
        "postgres://USER:PASSWORD@HOST:PORT/DATABASE",
    ];
    Error::new(Kind::Invalid, format!("the store's URL is not understood; it must be one of {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn urls_name_stores() {
        for url in ["memory://", "memory:"] {
            assert!(open_store(url).await.is_ok(), "{url}");
        }
        #[cfg(feature = "sqlite")]
        {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a store.db");
            open_store(&format!("sqlite://{}", path.display())).await.unwrap();
            assert!(path.exists());
            let (_, again) = migrate_store(&format!("sqlite://{}", path.display())).await.unwrap();
            assert!(again.is_some_and(|again| again.from == again.to && again.to > 0), "{again:?}");
            open_store("sqlite::memory:").await.unwrap();
        }
        for url in ["", "memory://x", "sqlite://", "redis://user:secret@host", "campaigns.db"] {
            let error = open_store(url).await.err().unwrap();
            assert_eq!(error.kind(), Kind::Invalid, "{url}");
            assert!(!format!("{error:?}").contains("secret"));
        }
    }
}
