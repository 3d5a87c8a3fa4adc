//! The do-not-contact list, and what is known about a person.

use super::fault::Outcome as Result;
use super::filter::Filter;
use super::rows::{Columns, stamp, text};
use super::tx::{Tx, params};
use super::{campaigns, contacts};
use crate::contact::{Contact, Owner};
use crate::error::Error;
use crate::id::ContactId;
use crate::outcome::{AttemptState, Channel};
use crate::policy::gates::ContactFacts;
use crate::store::codes::{Code, owner_code, suppression_code, suppression_scope};
use crate::store::{Page, Suppression, SuppressionKey, SuppressionQuery, SuppressionScope};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};

pub(super) async fn add(tx: &Tx, entries: &[Suppression]) -> Result<()> {
    // The last one of a number and scope counts.
    let entries: BTreeMap<(&str, i64), &Suppression> =
        entries.iter().map(|entry| ((entry.phone.as_str(), suppression_code(entry.scope)), entry)).collect();
    let (phones, scopes): (Vec<&str>, Vec<i64>) = entries.keys().copied().unzip();
    let reasons: Vec<String> = entries.values().map(|entry| text(&entry.reason)).collect();
    let sources: Vec<Option<String>> = entries.values().map(|entry| entry.source.as_deref().map(text)).collect();
    let created: Vec<Timestamp> = entries.values().map(|entry| stamp(entry.created_at)).collect();
    let expires: Vec<Option<Timestamp>> = entries.values().map(|entry| entry.expires_at.map(stamp)).collect();
    tx.execute(
        "INSERT INTO suppressions (phone, scope, reason, source, created_at, expires_at)
         SELECT * FROM unnest($1, $2, $3, $4, $5, $6)
         ON CONFLICT (phone, scope) DO UPDATE SET reason = excluded.reason, source = excluded.source,
            created_at = excluded.created_at, expires_at = excluded.expires_at",
        params![phones, scopes, reasons, sources, created, expires],
    )
    .await?;
    campaigns::changed(tx).await
}

pub(super) async fn remove(tx: &Tx, keys: &[SuppressionKey]) -> Result<u64> {
    let (phones, scopes): (Vec<&str>, Vec<i64>) = keys.iter().map(|key| (key.phone.as_str(), suppression_code(key.scope))).unzip();
    let sql = "DELETE FROM suppressions s USING unnest($1, $2) AS k (phone, scope) WHERE s.phone = k.phone AND s.scope = k.scope";
    let removed = tx.execute(sql, params![phones, scopes]).await?;
    campaigns::changed(tx).await?;
    Ok(removed)
}

pub(super) async fn list(tx: &Tx, query: &SuppressionQuery) -> Result<Page<Suppression>> {
    let mut filter = Filter::default();
    if let Some(phone) = &query.phone {
        filter.add("phone = ?", phone.as_str().to_owned());
    }
    if let Some(scope) = query.scope {
        filter.add("scope = ?", suppression_code(scope));
    }
    if let Some(after) = &query.after {
        let phone = filter.value(after.phone.as_str().to_owned());
        let scope = filter.value(suppression_code(after.scope));
        filter.must(format!("(phone, scope) > ({phone}, {scope})"));
    }
    let total = filter.count(tx, "suppressions").await?;
    let columns = "phone, scope, reason, source, created_at, expires_at";
    let rows = filter.page(tx, columns, "suppressions", "phone, scope", query.paging).await?;
    let mut items = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut c = Columns::new(row);
        items.push(Suppression {
            phone: c.phone()?,
            scope: suppression_scope(c.get()?),
            reason: c.get()?,
            source: c.get()?,
            created_at: c.get()?,
            expires_at: c.get()?,
        });
    }
    Ok(Page { items, total })
}

/// For each of these numbers that may not be contacted now the reason; an entry for everything comes first, then the organisation's. That
/// of a campaign is looked up in passing; `of_list` is that of a list.
pub(super) async fn suppressed(
    tx: &Tx,
    phones: &[&str],
    owner: Owner,
    of_list: Option<i64>,
    now: Timestamp,
) -> Result<HashMap<String, String>> {
    let (scope, whole) = match owner {
        Owner::Campaign(id) => (id.0, None),
        Owner::List(_) => (0, Some(suppression_code(SuppressionScope::of(of_list)))),
    };
    let rows = tx
        .query(
            "SELECT DISTINCT ON (phone) phone, reason FROM suppressions
             WHERE phone = ANY ($1) AND scope IN (0, $2, coalesce($4, (SELECT -organization FROM campaigns WHERE id = $2)))
                AND (expires_at IS NULL OR expires_at > $3)
             ORDER BY phone, scope <> 0, scope",
            params![phones.to_vec(), scope, stamp(now), whole],
        )
        .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Everything the gates ask about the people behind some contacts of one owner, in their order. An open attempt of another contact
/// may be handed over any moment and counts from its slot; the contact's own is the one being decided on.
pub(super) async fn about(tx: &Tx, contacts: &[Contact], since: Option<Timestamp>, now: Timestamp) -> Result<Vec<ContactFacts>> {
    let Some(first) = contacts.first() else { return Ok(Vec::new()) };
    let phones: Vec<&str> = contacts.iter().map(|contact| contact.person.phone.as_str()).collect();
    let suppressed = suppressed(tx, &phones, first.owner, None, now).await?;
    let mut recent: HashMap<String, Vec<(Timestamp, Channel, Option<i64>)>> = HashMap::new();
    if let Some(since) = since {
        let rows = tx
            .query(
                "SELECT c.phone, coalesce(a.started_at, a.start_at) AS at, a.channel, NULL::bigint AS open
                 FROM contacts c JOIN attempts a ON a.contact_id = c.id JOIN campaigns g ON g.id = c.owner
                 WHERE c.phone = ANY ($1) AND g.organization IS NOT DISTINCT FROM (SELECT organization FROM campaigns WHERE id = $4)
                    AND a.state = $3 AND coalesce(a.started_at, a.start_at) >= $2
                 UNION ALL
                 SELECT c.phone, coalesce(o.started_at, o.start_at), o.channel, c.id
                 FROM contacts c JOIN open_attempts o ON o.contact_id = c.id JOIN campaigns g ON g.id = c.owner
                 WHERE c.phone = ANY ($1) AND g.organization IS NOT DISTINCT FROM (SELECT organization FROM campaigns WHERE id = $4)
                    AND coalesce(o.started_at, o.start_at) >= $2
                 ORDER BY at DESC, channel DESC",
                params![phones, stamp(since), AttemptState::Settled.code() as i16, owner_code(first.owner)],
            )
            .await?;
        for row in &rows {
            let mut c = Columns::new(row);
            recent.entry(c.get()?).or_default().push((c.get()?, c.code()?, c.get()?));
        }
    }
    let facts = contacts.iter().map(|contact| {
        let phone = contact.person.phone.as_str();
        let recent = recent.get(phone).into_iter().flatten();
        ContactFacts {
            suppressed: suppressed.get(phone).cloned(),
            recent: recent.filter(|(_, _, open)| *open != Some(contact.id.0)).map(|(at, channel, _)| (*at, *channel)).collect(),
        }
    });
    Ok(facts.collect())
}

pub(super) async fn facts(tx: &Tx, contact: ContactId, since: Option<Timestamp>, now: Timestamp) -> Result<ContactFacts> {
    let contact = contacts::get(tx, contact).await?.ok_or_else(|| Error::not_found("contact", contact))?;
    Ok(about(tx, &[contact], since, now).await?.pop().unwrap_or_default())
}
