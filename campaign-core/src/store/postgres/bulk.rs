//! Contacts changed in bulk, a bounded number per transaction.

use super::counts::Deltas;
use super::fault::Outcome as Result;
use super::rows::{code, stamp, text};
use super::tx::{Tx, params};
use super::{campaigns, contacts, counts, queue};
use crate::contact::{Contact, ContactStatus, Owner, Reason};
use crate::policy::transition::{self, ContactEvent};
use crate::store::codes::Code;
use crate::store::{BulkAction, BulkChange, Selection};

pub(super) async fn change(tx: &Tx, change: &BulkChange) -> Result<u64> {
    campaigns::must_exist(tx, change.campaign).await?;
    let chosen = chosen(tx, change).await?;
    match &change.action {
        BulkAction::Reset { run } => reset(tx, change, &chosen, *run).await?,
        BulkAction::Cancel { reason } => finish(tx, change, &chosen, ContactEvent::Cancel, reason).await?,
        BulkAction::Skip { reason } => finish(tx, change, &chosen, ContactEvent::Finish(ContactStatus::Skipped), reason).await?,
        BulkAction::RemoveUntouched => contacts::remove_all(tx, &chosen).await?,
    }
    campaigns::changed(tx).await?;
    Ok(chosen.len() as u64)
}

/// Up to `limit` contacts the change applies to, locked. Fewer only when there are no more: callers repeat the change until then.
async fn chosen(tx: &Tx, change: &BulkChange) -> Result<Vec<Contact>> {
    let limit = change.limit as usize;
    if let Selection::Ids(ids) = &change.selection {
        let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
        let mut found = contacts::lock(tx, &ids).await?;
        found.retain(|contact| applies(change, contact));
        found.truncate(limit);
        return Ok(found);
    }
    let mut found: Vec<Contact> = Vec::new();
    loop {
        let had: Vec<i64> = found.iter().map(|contact| contact.id.0).collect();
        let wanted = limit - found.len();
        let candidates = candidates(tx, change, &had, wanted).await?;
        if candidates.is_empty() {
            return Ok(found);
        }
        // A claim may have taken some between the look and the lock; others take their place in the next round.
        let locked = contacts::lock(tx, &candidates).await?;
        found.extend(locked.into_iter().filter(|contact| applies(change, contact)));
        if found.len() >= limit || candidates.len() < wanted {
            return Ok(found);
        }
    }
}

/// Ids of contacts the change probably applies to. Each search walks an index that the changed contacts leave, so repeating it to
/// the end of a long list does not get slower; for skipped ones that are removed it walks the list.
async fn candidates(tx: &Tx, change: &BulkChange, had: &[i64], limit: usize) -> Result<Vec<i64>> {
    let wanted = |status: ContactStatus| match &change.selection {
        Selection::Statuses(statuses) => statuses.contains(&status),
        _ => true,
    };
    let (owner, had, mut left) = (change.campaign.0, had.to_vec(), limit);
    let mut ids: Vec<i64> = Vec::new();
    if let BulkAction::Reset { run } = change.action {
        let codes: Vec<i16> = ContactStatus::ALL.into_iter().filter(|status| status.is_terminal() && wanted(*status)).map(code).collect();
        let rows = tx
            .query(
                "SELECT id FROM contacts WHERE owner = $1 AND run < $2 AND status = ANY ($3) AND id <> ALL ($4) LIMIT $5",
                params![owner, run as i32, codes, had, left as i64],
            )
            .await?;
        return rows.iter().map(|row| Ok(row.try_get(0)?)).collect();
    }
    if wanted(ContactStatus::Pending) {
        let rows = tx
            .query(
                "SELECT contact_id FROM queue WHERE owner = $1 AND contact_id <> ALL ($2) ORDER BY zone_id, due_at, contact_id LIMIT $3",
                params![owner, had, left as i64],
            )
            .await?;
        for row in &rows {
            ids.push(row.try_get(0)?);
        }
        left -= ids.len();
    }
    let skipped = matches!(change.action, BulkAction::RemoveUntouched) && wanted(ContactStatus::Skipped);
    if skipped && left > 0 && counts::read(tx, change.campaign).await?.of(ContactStatus::Skipped) > 0 {
        let rows = tx
            .query(
                "SELECT id FROM contacts WHERE owner = $1 AND status = $2 AND id <> ALL ($3) LIMIT $4",
                params![owner, ContactStatus::Skipped.code() as i16, had, left as i64],
            )
            .await?;
        for row in &rows {
            ids.push(row.try_get(0)?);
        }
    }
    Ok(ids)
}

fn applies(change: &BulkChange, contact: &Contact) -> bool {
    let status = contact.state.status;
    let selected = match &change.selection {
        Selection::Statuses(statuses) => statuses.contains(&status),
        Selection::All | Selection::Ids(_) => true,
    };
    selected
        && contact.owner == Owner::Campaign(change.campaign)
        && match change.action {
            BulkAction::Reset { run } => status.is_terminal() && contact.state.run < run,
            BulkAction::Cancel { .. } | BulkAction::Skip { .. } => status == ContactStatus::Pending,
            BulkAction::RemoveUntouched => matches!(status, ContactStatus::Pending | ContactStatus::Skipped),
        }
}

/// Keeps what the run came to, and begins the next one.
async fn reset(tx: &Tx, change: &BulkChange, chosen: &[Contact], run: u32) -> Result<()> {
    let ids: Vec<i64> = chosen.iter().map(|contact| contact.id.0).collect();
    let mut deltas = Deltas::default();
    let mut to = ContactStatus::Pending;
    for contact in chosen {
        to = transition::contact(contact.state.status, ContactEvent::Reset)?.to();
        deltas.of(change.campaign).contact(&contact.state, -1);
        deltas.of(change.campaign).add(to, 1);
    }
    tx.execute(
        "INSERT INTO run_results (contact_id, run, owner, status, reason_code, reason_text, attempts, last_disposition, completed_at,
            answered_calls, call_attempts, duration_seconds, cost)
         SELECT id, run, owner, status, reason_code, reason_text, attempts, last_disposition, completed_at, answered_calls, call_attempts,
            duration_seconds, cost
         FROM contacts WHERE id = ANY ($1)
         ON CONFLICT (contact_id, run) DO UPDATE SET status = excluded.status, reason_code = excluded.reason_code,
            reason_text = excluded.reason_text, attempts = excluded.attempts, last_disposition = excluded.last_disposition,
            completed_at = excluded.completed_at, answered_calls = excluded.answered_calls, call_attempts = excluded.call_attempts,
            duration_seconds = excluded.duration_seconds, cost = excluded.cost",
        params![ids],
    )
    .await?;
    tx.execute(
        "UPDATE contacts SET status = $2, due_at = $3, run = $4, attempts = 0, version = version + 1, step = NULL, step_channel = NULL,
            last_disposition = NULL, last_attempt_at = NULL, replied_at = NULL, completed_at = NULL, answered_calls = 0,
            call_attempts = 0, duration_seconds = 0, cost = 0, reason_code = NULL, reason_text = NULL
         WHERE id = ANY ($1)",
        params![ids, code(to), stamp(change.now), run as i32],
    )
    .await?;
    queue::put_in(tx, &ids).await?;
    deltas.write(tx).await
}

async fn finish(tx: &Tx, change: &BulkChange, chosen: &[Contact], event: ContactEvent, reason: &Reason) -> Result<()> {
    let ids: Vec<i64> = chosen.iter().map(|contact| contact.id.0).collect();
    let mut deltas = Deltas::default();
    let mut to = ContactStatus::Pending;
    for contact in chosen {
        let transition = transition::contact(contact.state.status, event)?;
        to = transition.to();
        deltas.of(change.campaign).moved(transition.from(), to);
    }
    queue::take_out(tx, &ids).await?;
    tx.execute(
        "UPDATE contacts SET status = $2, reason_code = $3, reason_text = $4, completed_at = $5, version = version + 1
         WHERE id = ANY ($1)",
        params![ids, code(to), text(&reason.code), text(&reason.text), change.now],
    )
    .await?;
    deltas.write(tx).await
}
