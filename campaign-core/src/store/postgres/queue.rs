//! The queue: which contacts are pending, in the order they are due. Whoever changes a contact's status, due time or zone takes it
//! out before and puts it back after.

use super::fault::Outcome as Result;
use super::tx::{Tx, params};

/// Takes contacts out, as they stand in `contacts` now.
pub(super) async fn take_out(tx: &Tx, ids: &[i64]) -> Result<()> {
    let ids = ids.to_vec();
    tx.execute(
        "DELETE FROM queue q USING contacts c
         WHERE c.id = ANY ($1) AND q.owner = c.owner AND q.zone_id = c.zone_id AND q.due_at = c.due_at AND q.contact_id = c.id",
        params![ids],
    )
    .await?;
    Ok(())
}

/// Puts those of them in that are pending in a campaign now.
pub(super) async fn put_in(tx: &Tx, ids: &[i64]) -> Result<()> {
    let ids = ids.to_vec();
    tx.execute(
        "INSERT INTO queue (owner, zone_id, due_at, contact_id)
         SELECT owner, zone_id, due_at, id FROM contacts WHERE id = ANY ($1) AND status = 0 AND owner > 0",
        params![ids],
    )
    .await?;
    Ok(())
}
