//! API keys. The store has their hashes only: whoever reads it cannot call with them.

use super::Scope;
use campaign_core::executor::Executor;
use campaign_core::store::{ContactStore, DocumentQuery, PutDocument};
use campaign_core::{Error, Kind, Result};
use jiff::{SignedDuration, Timestamp};
use ring::rand::SecureRandom;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// The collection of documents that keys are kept in.
const COLLECTION: &str = "api_key";
/// What every key begins with, so that scanners of source code recognise one that was leaked.
const PREFIX: &str = "cmp_";
/// Bytes of the public half, by which a key is found and named.
const ID_BYTES: usize = 8;
/// Bytes of the secret half: 256 random bits cannot be guessed, so a plain hash is enough to store.
const SECRET_BYTES: usize = 32;
/// `last_used_at` is written at most this often, so that a busy key costs no write per request.
const TOUCH_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// A key as it is listed. Its secret is not known here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// The public half.
    pub id: String,
    /// For people.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Whose data it sees; `None` sees everything.
    #[serde(default)]
    pub organization_id: Option<i64>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    #[serde(default)]
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default)]
    pub revoked_at: Option<Timestamp>,
}

impl ApiKey {
    /// The strongest of its scopes.
    pub fn scope(&self) -> Option<Scope> {
        self.scopes.iter().copied().max()
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    key: ApiKey,
    /// SHA-256 of the whole key, in hexadecimal digits.
    hash: String,
}

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// For people, 1 to 100 characters.
    pub name: String,
    /// At least one.
    pub scopes: Vec<Scope>,
    /// Whose data it sees, at least 1; `None` sees everything.
    pub organization_id: Option<i64>,
}

/// The API keys of a store.
#[derive(Clone)]
pub struct Keys {
    store: Arc<dyn ContactStore>,
    executor: Arc<dyn Executor>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// The keys of a store, with moments from this clock. No engine is needed, so managing keys beside a running server starts no node.
    pub fn new(store: Arc<dyn ContactStore>, executor: Arc<dyn Executor>) -> Self {
        Self { store, executor }
    }

    /// Makes a key. The text is told this once and never again.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for an empty name, no scope, or an organisation below 1; what the store reports.
    pub async fn create(&self, new: NewKey) -> Result<(ApiKey, String)> {
        if new.name.trim().is_empty() || new.name.chars().count() > 100 {
            return Err(Error::invalid("name", "must have 1 to 100 characters"));
        }
        if new.scopes.is_empty() {
            return Err(Error::invalid("scopes", "a key needs at least one of read, write and admin"));
        }
        if new.organization_id.is_some_and(|id| id < 1) {
            return Err(Error::invalid("organization_id", "must be at least 1"));
        }
        let mut random = [0; ID_BYTES + SECRET_BYTES];
        ring::rand::SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| Error::new(Kind::Internal, "the system gives no random numbers, so no key can be made"))?;
        let id = hex(&random[..ID_BYTES]);
        let text = format!("{PREFIX}{id}_{}", hex(&random[ID_BYTES..]));
        let key = ApiKey {
            id,
            name: new.name.trim().to_owned(),
            scopes: new.scopes,
            organization_id: new.organization_id,
            created_at: self.executor.now(),
            last_used_at: None,
            revoked_at: None,
        };
        self.put(&Stored { key: key.clone(), hash: hash(&text) }, 0).await?;
        Ok((key, text))
    }

    /// Every key, revoked ones too.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn list(&self) -> Result<Vec<ApiKey>> {
        let mut keys = Vec::new();
        let mut after = None;
        loop {
            let query = DocumentQuery { collection: COLLECTION.to_owned(), key: None, after: after.take(), limit: 1000 };
            let page = self.store.documents(query).await?;
            after = page.last().map(|document| document.key.clone());
            if after.is_none() {
                keys.sort_by_key(|key: &ApiKey| key.created_at);
                return Ok(keys);
            }
            for document in page {
                keys.push(read(document.value)?.key);
            }
        }
    }

    /// Whether there is a key that works.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn any(&self) -> Result<bool> {
        Ok(self.list().await?.iter().any(|key| key.revoked_at.is_none()))
    }

    /// Revokes a key by its id; from then on it is refused everywhere. Revoking it again changes nothing.
    ///
    /// # Errors
    /// [`Kind::NotFound`], and what the store reports.
    pub async fn revoke(&self, id: &str) -> Result<ApiKey> {
        for _ in 0..100 {
            let (mut stored, revision) = self.find(id).await?.ok_or_else(|| Error::not_found("API key", id))?;
            if stored.key.revoked_at.is_some() {
                return Ok(stored.key);
            }
            stored.key.revoked_at = Some(self.executor.now());
            match self.put(&stored, revision).await {
                Ok(_) => return Ok(stored.key),
                // It was used meanwhile.
                Err(error) if error.kind() == Kind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(Kind::Conflict, "the key is being changed by others; try again").with("key", id))
    }

    /// The key with this text, when it works. The store is asked each time, so a key that is revoked anywhere is refused at once.
    ///
    /// # Errors
    /// What the store reports; a text that is no key is `None`.
    pub async fn recognise(&self, text: &str) -> Result<Option<ApiKey>> {
        let Some(id) = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).map(|(id, _)| id) else { return Ok(None) };
        if id.len() != 2 * ID_BYTES {
            return Ok(None);
        }
        let Some((stored, revision)) = self.find(id).await? else { return Ok(None) };
        if !bool::from(hash(text).as_bytes().ct_eq(stored.hash.as_bytes())) || stored.key.revoked_at.is_some() {
            return Ok(None);
        }
        let key = stored.key.clone();
        let now = self.executor.now();
        if key.last_used_at.is_none_or(|at| now.duration_since(at) >= TOUCH_EVERY) {
            let touched = Stored { key: ApiKey { last_used_at: Some(now), ..stored.key }, hash: stored.hash };
            // Somebody else may have noted the use, or revoked the key: their word stands. A store that cannot write now can still read.
            if let Err(error) = self.put(&touched, revision).await
                && error.kind() != Kind::Conflict
            {
                tracing::warn!(%error, "the use of a key could not be noted");
            }
        }
        Ok(Some(key))
    }

    async fn find(&self, id: &str) -> Result<Option<(Stored, u64)>> {
        let query = DocumentQuery { collection: COLLECTION.to_owned(), key: Some(id.to_owned()), after: None, limit: 1 };
        let found = self.store.documents(query).await?;
        found.into_iter().next().map(|document| Ok((read(document.value)?, document.revision))).transpose()
    }

    async fn put(&self, stored: &Stored, revision: u64) -> Result<u64> {
        let value = serde_json::to_value(stored).map_err(|error| Error::new(Kind::Internal, "a key must serialise").with_source(error))?;
        let put = PutDocument { collection: COLLECTION.to_owned(), key: stored.key.id.clone(), value, expected_revision: Some(revision) };
        self.store.put_document(put).await
    }
}

fn read(value: serde_json::Value) -> Result<Stored> {
    serde_json::from_value(value).map_err(|error| Error::new(Kind::Corrupt, "a stored API key cannot be read").with_source(error))
}

fn hash(text: &str) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}
