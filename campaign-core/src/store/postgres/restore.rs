//! Copying a store: what there is, and writing records as they are.

use super::fault::Outcome as Result;
use super::rows::{code, stamp, text};
use super::tx::{Tx, params};
use super::zones::ZoneIds;
use super::{campaigns, contacts, documents, ledgers, nodes, suppression};
use crate::contact::Owner;
use crate::error::Error;
use crate::id::NodeToken;
use crate::outcome::Attempt;
use crate::store::codes::{attempt_key, json, limit_scope};
use crate::store::{Catalog, Snapshot};
use std::collections::BTreeSet;

pub(super) async fn catalog(tx: &Tx) -> Result<Catalog> {
    let mut catalog = Catalog::default();
    for row in tx.query("SELECT DISTINCT collection FROM documents ORDER BY collection", params![]).await? {
        catalog.collections.push(row.try_get(0)?);
    }
    for row in tx.query("SELECT name, value FROM sequences ORDER BY name", params![]).await? {
        catalog.sequences.push((row.try_get(0)?, row.try_get(1)?));
    }
    for row in tx.query("SELECT scope FROM ledgers", params![]).await? {
        catalog.scopes.push(limit_scope(row.try_get(0)?)?);
    }
    catalog.scopes.sort_unstable();
    Ok(catalog)
}

pub(super) async fn restore(tx: &Tx, snapshot: &Snapshot, zones: &ZoneIds) -> Result<()> {
    for record in &snapshot.campaigns {
        campaigns::restore(tx, record).await?;
    }
    let owners: BTreeSet<Owner> = snapshot.contacts.iter().map(|contact| contact.owner).collect();
    for owner in owners {
        if let Owner::Campaign(id) = owner {
            campaigns::must_exist(tx, id).await?;
        }
    }
    if !snapshot.contacts.is_empty() {
        contacts::restore(tx, &snapshot.contacts, zones).await?;
    }
    if !snapshot.attempts.is_empty() {
        restore_attempts(tx, &snapshot.attempts).await?;
    }
    if !snapshot.suppressions.is_empty() {
        suppression::add(tx, &snapshot.suppressions).await?;
    }
    for (collection, document) in &snapshot.documents {
        documents::write(tx, collection, document).await?;
    }
    for (name, last) in &snapshot.sequences {
        tx.execute(
            "INSERT INTO sequences AS s (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = greatest(s.value, $2)",
            params![text(name), *last],
        )
        .await?;
    }
    for (scope, ledger) in &snapshot.ledgers {
        ledgers::restore(tx, scope, ledger).await?;
    }
    let highest = |ids: &mut dyn Iterator<Item = i64>| ids.max().unwrap_or(0);
    at_least(tx, "campaign_ids", highest(&mut snapshot.campaigns.iter().map(|record| record.id.0))).await?;
    at_least(tx, "contact_ids", highest(&mut snapshot.contacts.iter().map(|contact| contact.id.0))).await?;
    at_least(tx, "attempt_ids", highest(&mut snapshot.attempts.iter().map(|attempt| attempt.id.0))).await?;
    let epochs = &mut snapshot.attempts.iter().map(|attempt| attempt.claimed_by.epoch.max(attempt.claimed_by.node.0));
    at_least(tx, "node_epochs", highest(epochs)).await
}

/// What is given later is higher than this.
async fn at_least(tx: &Tx, sequence: &str, value: i64) -> Result<()> {
    if value > 0 {
        let sql = format!("SELECT setval('{sequence}', $1) FROM {sequence} WHERE last_value < $1 OR NOT is_called");
        tx.query(&sql, params![value]).await?;
    }
    Ok(())
}

/// Writes attempts as they are. They have no place in the stream of events: what they tell happened elsewhere.
async fn restore_attempts(tx: &Tx, attempts: &[Attempt]) -> Result<()> {
    let of: Vec<i64> = attempts.iter().map(|attempt| attempt.contact.0).collect();
    let there: BTreeSet<i64> = contacts::by_ids(tx, &of).await?.iter().map(|contact| contact.id.0).collect();
    if let Some(attempt) = attempts.iter().find(|attempt| !there.contains(&attempt.contact.0)) {
        return Err(Error::not_found("contact", attempt.contact).into());
    }
    let tokens: Vec<NodeToken> = attempts.iter().map(|attempt| attempt.claimed_by).collect();
    nodes::restore_gone(tx, &tokens).await?;
    let ids: Vec<i64> = attempts.iter().map(|attempt| attempt.id.0).collect();
    tx.execute("DELETE FROM attempts WHERE id = ANY ($1)", params![ids]).await?;
    tx.execute("DELETE FROM open_attempts WHERE id = ANY ($1)", params![ids]).await?;
    for attempt in attempts {
        restore_attempt(tx, attempt).await?;
    }
    Ok(())
}

async fn restore_attempt(tx: &Tx, attempt: &Attempt) -> Result<()> {
    // The provider knows the attempt by the key it was handed over with.
    let restored_key = (attempt.key != attempt_key(tx.store_id(), attempt.id)).then_some(&*attempt.key);
    let shared = "id, campaign_id, contact_id, run, number, step, channel, spec_version, state, node_id, epoch, claimed_at, start_at,
        not_after, reserved, caller, provider_ref, started_at, restored_key";
    let places: Vec<String> = (1..=19).map(|place| format!("${place}")).collect();
    let places = places.join(", ");
    let step = attempt.step.step as i32;
    let (run, number, version) = (attempt.run as i32, attempt.number as i32, attempt.spec_version as i32);
    let (channel, state) = (code(attempt.step.channel), code(attempt.state));
    let (claimed_at, start_at, not_after) = (stamp(attempt.claimed_at), stamp(attempt.start_at), stamp(attempt.not_after));
    let (from, provider_ref) = (attempt.from.as_deref().map(text), attempt.provider_ref.as_deref().map(text));
    let started_at = attempt.started_at.map(stamp);
    let mut values = params![
        attempt.id.0,
        attempt.campaign.0,
        attempt.contact.0,
        run,
        number,
        step,
        channel,
        version,
        state,
        attempt.claimed_by.node.0,
        attempt.claimed_by.epoch,
        claimed_at,
        start_at,
        not_after,
        attempt.reserved.0,
        from,
        provider_ref,
        started_at,
        restored_key,
    ]
    .to_vec();
    let Some(finished_at) = attempt.finished_at.map(stamp) else {
        tx.execute(&format!("INSERT INTO open_attempts ({shared}) VALUES ({places})"), &values).await?;
        return Ok(());
    };
    let outcome = attempt.outcome.as_ref();
    let data = outcome.map(|outcome| json(&outcome.data, outcome.data.is_empty())).transpose()?.flatten();
    let disposition = outcome.map(|outcome| code(outcome.disposition));
    let duration = outcome.map(|outcome| i64::from(outcome.duration_seconds));
    let charged = outcome.map(|outcome| outcome.cost.unwrap_or(attempt.reserved).0);
    let cost = outcome.and_then(|outcome| outcome.cost).map(|cost| cost.0);
    let outcome_ref = outcome.and_then(|outcome| outcome.provider_ref.as_deref()).map(text);
    let detail = outcome.and_then(|outcome| outcome.detail.as_deref()).map(text);
    let (reason, words) = attempt.reason.as_ref().map(|reason| (text(&reason.code), text(&reason.text))).unzip();
    values.extend_from_slice(params![finished_at, disposition, duration, charged, cost, outcome_ref, detail, data, reason, words]);
    tx.execute(
        &format!(
            "INSERT INTO attempts ({shared}, finished_at, disposition, duration_seconds, charged, cost, outcome_ref, detail, data,
                reason_code, reason_text)
             VALUES ({places}, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29)"
        ),
        &values,
    )
    .await?;
    Ok(())
}
