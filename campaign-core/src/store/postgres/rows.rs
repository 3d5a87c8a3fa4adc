//! Rows to values.

use super::fault::Outcome as Result;
use crate::contact::{Contact, ContactState, NewContact, PlannedStep, Reason, ZoneKey};
use crate::id::{AttemptId, CampaignId, ContactId, Money, NodeId, NodeToken};
use crate::outcome::{Attempt, Outcome};
use crate::phone::PhoneNumber;
use crate::policy::limits::Ledger;
use crate::store::codes::{self, Code, damaged, unsigned};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

/// Columns of [`contact`], in its order, of `contacts` as `c` and `zones` as `z`.
pub(super) const CONTACT: &str = "c.id, c.owner, z.key, c.status, c.due_at, c.run, c.attempts, c.version, c.step, c.step_channel, \
    c.last_disposition, c.last_attempt_at, c.replied_at, c.completed_at, c.answered_calls, c.call_attempts, c.duration_seconds, c.cost, \
    c.source, c.created_at, c.reason_code, c.reason_text, c.phone, c.name, c.email, c.company, c.consent, c.variables";

/// What [`CONTACT`] is read from.
pub(super) const CONTACT_FROM: &str = "contacts c JOIN zones z ON z.id = c.zone_id";

/// Columns of [`attempt`], in its order.
pub(super) const ATTEMPT: &str = "id, campaign_id, contact_id, run, number, step, channel, spec_version, state, node_id, epoch, claimed_at, \
    start_at, not_after, reserved, caller, provider_ref, started_at, restored_key, finished_at, disposition, duration_seconds, cost, \
    outcome_ref, detail, data, reason_code, reason_text";

/// Columns of [`ledger`], in its order.
pub(super) const LEDGER: &str = "scope, in_flight, next_slot, day, day_starts, spent, reserved";

/// The earliest moment the database can hold is later than the earliest of the clock.
pub(super) fn stamp(at: Timestamp) -> Timestamp {
    const EARLIEST: Timestamp = Timestamp::constant(-62_135_596_800, 0);
    at.max(EARLIEST)
}

/// PostgreSQL keeps no NUL in texts.
pub(super) fn text(text: &str) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text.to_owned() }
}

/// A code as the column has it.
pub(super) fn code<T: Code>(value: T) -> i16 {
    // Codes are small by design.
    value.code() as i16
}

/// Walks over the columns of a row in the order of its statement.
pub(super) struct Columns<'a> {
    row: &'a Row,
    next: usize,
}

impl<'a> Columns<'a> {
    pub(super) fn new(row: &'a Row) -> Self {
        Self { row, next: 0 }
    }

    pub(super) fn get<T: FromSql<'a>>(&mut self) -> Result<T> {
        let value = self.row.try_get(self.next)?;
        self.next += 1;
        Ok(value)
    }

    /// A column of four bytes that was stored from an unsigned number.
    pub(super) fn number<T: TryFrom<i64>>(&mut self) -> Result<T> {
        Ok(unsigned(self.get::<i32>()?.into())?)
    }

    /// The same, of eight bytes.
    pub(super) fn large<T: TryFrom<i64>>(&mut self) -> Result<T> {
        Ok(unsigned(self.get::<i64>()?)?)
    }

    pub(super) fn code<T: Code>(&mut self) -> Result<T> {
        Ok(T::decode(self.get::<i16>()?.into())?)
    }

    pub(super) fn maybe_code<T: Code>(&mut self) -> Result<Option<T>> {
        Ok(self.get::<Option<i16>>()?.map(|code| T::decode(code.into())).transpose()?)
    }

    pub(super) fn shared(&mut self) -> Result<Option<Arc<str>>> {
        Ok(self.get::<Option<&str>>()?.map(Arc::from))
    }

    pub(super) fn reason(&mut self) -> Result<Option<Reason>> {
        let (code, text) = (self.shared()?, self.shared()?);
        Ok(code.map(|code| Reason { code, text: text.unwrap_or_else(|| Arc::from("")) }))
    }

    pub(super) fn phone(&mut self) -> Result<PhoneNumber> {
        Ok(PhoneNumber::from_e164(self.get()?).ok_or_else(|| damaged("a phone number that is not E.164"))?)
    }

    pub(super) fn json<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        Ok(self.get::<Option<&str>>()?.map(serde_json::from_str).transpose()?)
    }
}

/// A contact from the columns [`CONTACT`].
pub(super) fn contact(row: &Row) -> Result<Contact> {
    let mut c = Columns::new(row);
    let id = ContactId(c.get()?);
    let owner = codes::owner(c.get()?);
    let zones = ZoneKey(Arc::from(c.get::<&str>()?));
    let mut state = ContactState {
        status: c.code()?,
        due_at: c.get()?,
        run: c.number()?,
        attempts: c.number()?,
        version: c.large()?,
        step: match (c.get::<Option<i32>>()?, c.maybe_code()?) {
            (Some(step), Some(channel)) => Some(PlannedStep { step: unsigned(step.into())?, channel }),
            _ => None,
        },
        last_disposition: c.maybe_code()?,
        last_attempt_at: c.get()?,
        replied_at: c.get()?,
        completed_at: c.get()?,
        answered_calls: c.number()?,
        call_attempts: c.number()?,
        duration_seconds: c.large()?,
        cost: Money(c.get()?),
        reason: None,
    };
    let source = c.code()?;
    let created_at = c.get()?;
    state.reason = c.reason()?;
    let person = NewContact {
        phone: c.phone()?,
        name: c.get()?,
        email: c.get()?,
        company: c.get()?,
        zones,
        consent: c.json()?,
        variables: c.json()?.unwrap_or_default(),
        source,
    };
    Ok(Contact { id, owner, person: Arc::new(person), state, created_at })
}

/// Contacts from rows of the columns [`CONTACT`].
pub(super) fn contacts(rows: &[Row]) -> Result<Vec<Contact>> {
    rows.iter().map(contact).collect()
}

/// An attempt from the columns [`ATTEMPT`].
pub(super) fn attempt(store: Uuid, row: &Row) -> Result<Attempt> {
    let mut c = Columns::new(row);
    let id = AttemptId(c.get()?);
    let mut attempt = Attempt {
        id,
        key: codes::attempt_key(store, id),
        campaign: CampaignId(c.get()?),
        contact: ContactId(c.get()?),
        run: c.number()?,
        number: c.number()?,
        step: PlannedStep { step: c.number()?, channel: c.code()? },
        spec_version: c.number()?,
        state: c.code()?,
        claimed_by: NodeToken { node: NodeId(c.get()?), epoch: c.get()? },
        claimed_at: c.get()?,
        start_at: c.get()?,
        not_after: c.get()?,
        reserved: Money(c.get()?),
        from: c.shared()?,
        provider_ref: c.get()?,
        started_at: c.get()?,
        finished_at: None,
        outcome: None,
        reason: None,
    };
    if let Some(key) = c.shared()? {
        attempt.key = key;
    }
    attempt.finished_at = c.get()?;
    let disposition = c.maybe_code()?;
    let (duration, cost): (Option<i64>, Option<i64>) = (c.get()?, c.get()?);
    let (provider_ref, detail) = (c.get()?, c.get()?);
    let data = c.json()?.unwrap_or_default();
    if let Some(disposition) = disposition {
        let duration_seconds = unsigned(duration.unwrap_or(0))?;
        attempt.outcome = Some(Outcome { disposition, duration_seconds, cost: cost.map(Money), provider_ref, detail, data });
    }
    attempt.reason = c.reason()?;
    Ok(attempt)
}

/// Attempts from rows of the columns [`ATTEMPT`].
pub(super) fn attempts(store: Uuid, rows: &[Row]) -> Result<Vec<Attempt>> {
    rows.iter().map(|row| attempt(store, row)).collect()
}

/// A ledger with its key, from the columns [`LEDGER`].
pub(super) fn ledger(row: &Row) -> Result<(String, Ledger)> {
    let mut c = Columns::new(row);
    let scope = c.get()?;
    let ledger = Ledger {
        in_flight: c.number()?,
        next_slot: c.get()?,
        day: c.get()?,
        day_starts: c.number()?,
        spent: Money(c.get()?),
        reserved: Money(c.get()?),
    };
    Ok((scope, ledger))
}
