//! The schema: made, brought up to date, checked.

use super::fault::Outcome as Result;
use super::tx::{Tx, params};
use crate::error::{Error, Kind};
use crate::store::Migrated;
use uuid::Uuid;

/// Every version of the schema, in order. Each is applied once, in one transaction.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0002_organizations.sql"),
    include_str!("migrations/0003_campaign_lists.sql"),
];

/// Names that need no quotes anywhere, and leave room for `campaign_` in the name of a channel.
pub(super) fn check_name(schema: &str) -> crate::Result<()> {
    let mut letters = schema.chars();
    let first = letters.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_');
    if first
        && schema.len() <= 48
        && !schema.starts_with("pg_")
        && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    {
        return Ok(());
    }
    let message = "a schema is named with lower-case letters, digits and underscores, begins with a letter, and has at most 48 of them";
    Err(Error::new(Kind::Invalid, message).with("field", "schema"))
}

/// The version in the database; 0 when there is none. Needs no right but to look.
async fn version(tx: &Tx, schema: &str) -> Result<usize> {
    let table = format!("{schema}.schema_version");
    // Not `to_regclass`: within a transaction it remembers that something was not there.
    let there = "SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = 'schema_version'";
    if tx.query_opt(there, params![schema]).await?.is_none() {
        return Ok(0);
    }
    let version: i32 =
        tx.query_one(&format!("SELECT max(version) FROM {table}"), params![]).await?.try_get::<_, Option<i32>>(0)?.unwrap_or(0);
    Ok(usize::try_from(version).unwrap_or(0))
}

/// Brings the schema up to date. Any number of nodes may do so at once: one does the work, the others wait for it.
pub(super) async fn migrate(tx: &Tx) -> Result<Migrated> {
    let schema = tx.options().schema.as_str();
    let mut version_now = version(tx, schema).await?;
    if version_now > MIGRATIONS.len() {
        let message = "the store was written by a newer version of this program; update the program";
        return Err(Error::new(Kind::Corrupt, message).with("schema", schema).into());
    }
    let done = |from: usize| Migrated { from: from as u32, to: MIGRATIONS.len() as u32 };
    if version_now == MIGRATIONS.len() {
        return Ok(done(version_now));
    }
    // Held to the end of the transaction; the number only has to be the same for every node of this schema.
    tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('campaign schema ' || $1, 0))", params![schema]).await?;
    // Somebody else may have done it while we waited. A new statement sees it: the transaction is READ COMMITTED.
    version_now = version(tx, schema).await?;
    if version_now == 0 {
        // Asked first: a user that may not create schemas can be given one.
        if tx.query_opt("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1", params![schema]).await?.is_none() {
            tx.batch(&format!("CREATE SCHEMA {schema}")).await?;
        }
        tx.batch("CREATE TABLE schema_version (version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())").await?;
    }
    for (index, sql) in MIGRATIONS.iter().enumerate().skip(version_now) {
        tx.batch(sql).await?;
        tx.execute("INSERT INTO schema_version (version) VALUES ($1)", params![index as i32 + 1]).await?;
    }
    Ok(done(version_now))
}

/// Who the store is.
pub(super) async fn store_id(tx: &Tx) -> Result<Uuid> {
    Ok(tx.query_one("SELECT store_id FROM store_state", params![]).await?.try_get(0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_have_plain_names() {
        for name in ["campaign", "_a1", "tenant_7"] {
            check_name(name).unwrap();
        }
        for name in ["", "Campaign", "a-b", "1a", "a\"; DROP TABLE x; --", "pg_catalog", "ä", &"x".repeat(49)] {
            assert_eq!(check_name(name).unwrap_err().kind(), Kind::Invalid, "{name}");
        }
    }
}
