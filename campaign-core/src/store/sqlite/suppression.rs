//! The do-not-contact list, and what is known about a person.

use super::db::Db;
use super::fault::{Fault, Outcome as Result};
use super::filter::Filter;
use super::rows::{micros, moment};
use super::writer::Writer;
use crate::contact::{Contact, Owner};
use crate::error::Error;
use crate::id::ContactId;
use crate::outcome::Channel;
use crate::phone::PhoneNumber;
use crate::policy::gates::ContactFacts;
use crate::store::codes::Code;
use crate::store::codes::{owner_code, suppression_code, suppression_scope};
use crate::store::{Page, Suppression, SuppressionKey, SuppressionQuery, SuppressionScope};
use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, params, params_from_iter};

pub(super) fn add(w: &mut Writer, entries: &[Suppression]) -> Result<()> {
    let mut statement = w.db.conn.prepare_cached(
        "INSERT INTO suppressions (phone, scope, reason, source, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (phone, scope) DO UPDATE SET reason = excluded.reason, source = excluded.source,
            created_at = excluded.created_at, expires_at = excluded.expires_at",
    )?;
    for entry in entries {
        statement.execute(params![
            entry.phone.as_str(),
            suppression_code(entry.scope),
            entry.reason,
            entry.source,
            micros(entry.created_at),
            entry.expires_at.map(micros),
        ])?;
    }
    drop(statement);
    w.changed();
    Ok(())
}

pub(super) fn remove(w: &mut Writer, keys: &[SuppressionKey]) -> Result<u64> {
    let mut statement = w.db.conn.prepare_cached("DELETE FROM suppressions WHERE phone = ?1 AND scope = ?2")?;
    let mut removed = 0;
    for key in keys {
        removed += statement.execute(params![key.phone.as_str(), suppression_code(key.scope)])? as u64;
    }
    drop(statement);
    w.changed();
    Ok(removed)
}

pub(super) fn list(db: &Db, query: &SuppressionQuery) -> Result<Page<Suppression>> {
    let mut filter = Filter::default();
    if let Some(phone) = &query.phone {
        filter.add("phone = ?", [Value::from(phone.as_str().to_owned())]);
    }
    if let Some(scope) = query.scope {
        filter.add("scope = ?", [Value::from(suppression_code(scope))]);
    }
    if let Some(after) = &query.after {
        filter.add("(phone, scope) > (?, ?)", [Value::from(after.phone.as_str().to_owned()), Value::from(suppression_code(after.scope))]);
    }
    let total = filter.count(db, "suppressions")?;
    let columns = "phone, scope, reason, source, created_at, expires_at";
    let (sql, values) = filter.page(columns, "suppressions", "phone, scope", query.paging);
    let mut statement = db.conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        let phone: String = row.get(0)?;
        items.push(Suppression {
            phone: PhoneNumber::from_e164(&phone).ok_or_else(|| Fault::damaged("a suppressed number that is not E.164"))?,
            scope: suppression_scope(row.get(1)?),
            reason: row.get(2)?,
            source: row.get(3)?,
            created_at: moment(row.get(4)?)?,
            expires_at: row.get::<_, Option<i64>>(5)?.map(moment).transpose()?,
        });
    }
    Ok(Page { items, total })
}

/// Hand-offs to a number by campaigns of one organisation. Joined in this order (`CROSS` says so), because a person is in few campaigns
/// and an organisation may have thousands.
pub(super) const RECENT: &str = "SELECT coalesce(a.started_at, a.start_at) AS at, a.channel
    FROM contacts c CROSS JOIN campaigns g ON g.id = c.owner CROSS JOIN attempts a ON a.contact_id = c.id
    WHERE c.phone = ?1 AND g.organization IS ?4 AND (a.state = 2 OR (a.state IN (0, 1) AND c.id <> ?2)) AND at >= ?3
    ORDER BY at DESC, a.channel DESC";

/// Looks people up for the gates, for contacts of one owner. Made once per batch, because it asks nothing of an empty list and looks
/// the owner's organisation up only once.
#[derive(Clone, Copy)]
pub(super) struct Facts {
    any_suppression: bool,
    owner: Owner,
    /// None of a list, of which only the engine knows.
    organization: Option<i64>,
}

impl Facts {
    pub(super) fn new(db: &Db, owner: Owner) -> Result<Self> {
        let mut statement =
            db.conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM suppressions), (SELECT organization FROM campaigns WHERE id = ?1)")?;
        let (any_suppression, organization) = statement.query_row([owner_code(owner)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Self { any_suppression, owner, organization })
    }

    /// The same for a list of this organisation; a campaign's own stays.
    pub(super) fn or_of(self, organization: Option<i64>) -> Self {
        match self.owner {
            Owner::Campaign(_) => self,
            Owner::List(_) => Self { organization, ..self },
        }
    }

    /// The reason of the entry that covers this number now: the one for everything first, then the organisation's.
    pub(super) fn suppressed(self, db: &Db, phone: &PhoneNumber, now: Timestamp) -> Result<Option<String>> {
        if !self.any_suppression {
            return Ok(None);
        }
        let mut statement = db.conn.prepare_cached(
            "SELECT reason FROM suppressions WHERE phone = ?1 AND scope IN (0, ?2, ?3) AND (expires_at IS NULL OR expires_at > ?4)
             ORDER BY scope <> 0, scope LIMIT 1",
        )?;
        let own = match self.owner {
            Owner::Campaign(id) => id.0,
            Owner::List(_) => 0,
        };
        let whole = suppression_code(SuppressionScope::of(self.organization));
        Ok(statement.query_row(params![phone.as_str(), own, whole, micros(now)], |row| row.get(0)).optional()?)
    }

    /// Everything the gates ask about the person behind a contact. An open attempt of another contact may be handed over any moment
    /// and counts from its slot; the contact's own is the one being decided on.
    pub(super) fn about(self, db: &Db, contact: &Contact, since: Option<Timestamp>, now: Timestamp) -> Result<ContactFacts> {
        let phone = &contact.person.phone;
        let suppressed = self.suppressed(db, phone, now)?;
        let mut recent = Vec::new();
        if let Some(since) = since {
            let mut statement = db.conn.prepare_cached(RECENT)?;
            let mut rows = statement.query(params![phone.as_str(), contact.id.0, micros(since), self.organization])?;
            while let Some(row) = rows.next()? {
                recent.push((moment(row.get(0)?)?, Channel::decode(row.get(1)?)?));
            }
        }
        Ok(ContactFacts { suppressed, recent })
    }
}

pub(super) fn facts(db: &Db, contact: ContactId, since: Option<Timestamp>, now: Timestamp) -> Result<ContactFacts> {
    let contact = super::contacts::get(db, contact)?.ok_or_else(|| Error::not_found("contact", contact))?;
    Facts::new(db, contact.owner)?.about(db, &contact, since, now)
}
