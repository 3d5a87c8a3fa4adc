//! Rows to values and back.

use super::db::Db;
use super::fault::{Fault, Outcome as Result};
use crate::contact::{Consent, Contact, ContactState, NewContact, PlannedStep, Reason};
use crate::id::{AttemptId, CampaignId, ContactId, Money, NodeId, NodeToken};
use crate::outcome::{Attempt, Outcome};
use crate::phone::PhoneNumber;
use crate::policy::limits::Ledger;
use crate::store::codes::{self, Code, unsigned};
use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::FromSql;
use std::sync::Arc;

/// Columns of [`contact`], in its order. A macro, so that statements can be put together at compile time.
macro_rules! contact_columns {
    () => {
        "id, owner, zone_id, status, due_at, run, attempts, version, step, step_channel, last_disposition, last_attempt_at, replied_at, \
         completed_at, answered_calls, call_attempts, duration_seconds, cost, source, created_at, reason_code, reason_text, phone, name, \
         email, company, consent, variables"
    };
}

/// Columns of [`attempt`], in its order.
macro_rules! attempt_columns {
    () => {
        "id, campaign_id, contact_id, run, number, step, channel, spec_version, state, node_id, epoch, claimed_at, start_at, not_after, \
         reserved, caller, provider_ref, started_at, finished_at, disposition, duration_seconds, cost, outcome_ref, detail, data, \
         reason_code, reason_text, restored_key"
    };
}

pub(super) use {attempt_columns, contact_columns};

/// A moment as it is stored.
pub(super) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// A stored moment.
pub(super) fn moment(micros: i64) -> Result<Timestamp> {
    Ok(Timestamp::from_microsecond(micros)?)
}

fn maybe_moment(micros: Option<i64>) -> Result<Option<Timestamp>> {
    micros.map(moment).transpose()
}

/// Walks over the columns of a row in the order of its statement.
struct Columns<'a> {
    row: &'a Row<'a>,
    next: usize,
}

impl<'a> Columns<'a> {
    fn get<T: FromSql>(&mut self) -> Result<T> {
        let value = self.row.get(self.next)?;
        self.next += 1;
        Ok(value)
    }

    fn number<T: TryFrom<i64>>(&mut self) -> Result<T> {
        Ok(unsigned(self.get()?)?)
    }

    fn code<T: Code>(&mut self) -> Result<T> {
        Ok(T::decode(self.get()?)?)
    }

    fn maybe_code<T: Code>(&mut self) -> Result<Option<T>> {
        Ok(self.get::<Option<i64>>()?.map(T::decode).transpose()?)
    }

    fn moment(&mut self) -> Result<Timestamp> {
        moment(self.get()?)
    }

    fn maybe_moment(&mut self) -> Result<Option<Timestamp>> {
        maybe_moment(self.get()?)
    }

    fn reason(&mut self) -> Result<Option<Reason>> {
        let (code, text): (Option<Arc<str>>, Option<Arc<str>>) = (self.get()?, self.get()?);
        Ok(code.map(|code| Reason { code, text: text.unwrap_or_else(|| Arc::from("")) }))
    }

    fn phone(&mut self) -> Result<PhoneNumber> {
        let text = self.row.get_ref(self.next)?.as_str().ok();
        self.next += 1;
        text.and_then(PhoneNumber::from_e164).ok_or_else(|| Fault::damaged("a phone number that is not E.164"))
    }

    fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<Option<T>> {
        let text = self.row.get_ref(self.next)?;
        self.next += 1;
        match text.as_str_or_null().map_err(|_| Fault::damaged("a JSON column that is not text"))? {
            Some(text) => Ok(Some(serde_json::from_str(text)?)),
            None => Ok(None),
        }
    }
}

/// A contact from the columns [`CONTACT`].
pub(super) fn contact(db: &Db, row: &Row<'_>) -> Result<Contact> {
    let mut c = Columns { row, next: 0 };
    let id = ContactId(c.get()?);
    let owner = codes::owner(c.get()?);
    let zones = db.zone(c.get()?)?;
    let mut state = ContactState {
        status: c.code()?,
        due_at: c.moment()?,
        run: c.number()?,
        attempts: c.number()?,
        version: c.number()?,
        step: match (c.get::<Option<i64>>()?, c.maybe_code()?) {
            (Some(step), Some(channel)) => Some(PlannedStep { step: unsigned(step)?, channel }),
            _ => None,
        },
        last_disposition: c.maybe_code()?,
        last_attempt_at: c.maybe_moment()?,
        replied_at: c.maybe_moment()?,
        completed_at: c.maybe_moment()?,
        answered_calls: c.number()?,
        call_attempts: c.number()?,
        duration_seconds: c.number()?,
        cost: Money(c.get()?),
        reason: None,
    };
    let source = c.code()?;
    let created_at = c.moment()?;
    state.reason = c.reason()?;
    let person = NewContact {
        phone: c.phone()?,
        name: c.get()?,
        email: c.get()?,
        company: c.get()?,
        zones,
        consent: c.json::<Consent>()?,
        variables: c.json()?.unwrap_or_default(),
        source,
    };
    Ok(Contact { id, owner, person: Arc::new(person), state, created_at })
}

/// An attempt from the columns [`ATTEMPT`].
pub(super) fn attempt(db: &Db, row: &Row<'_>) -> Result<Attempt> {
    let mut c = Columns { row, next: 0 };
    let id = AttemptId(c.get()?);
    let mut attempt = Attempt {
        id,
        key: db.key(id),
        campaign: CampaignId(c.get()?),
        contact: ContactId(c.get()?),
        run: c.number()?,
        number: c.number()?,
        step: PlannedStep { step: c.number()?, channel: c.code()? },
        spec_version: c.number()?,
        state: c.code()?,
        claimed_by: NodeToken { node: NodeId(c.get()?), epoch: c.get()? },
        claimed_at: c.moment()?,
        start_at: c.moment()?,
        not_after: c.moment()?,
        reserved: Money(c.get()?),
        from: c.get()?,
        provider_ref: c.get()?,
        started_at: c.maybe_moment()?,
        finished_at: c.maybe_moment()?,
        outcome: None,
        reason: None,
    };
    let disposition = c.maybe_code()?;
    let (duration, cost): (Option<i64>, Option<i64>) = (c.get()?, c.get()?);
    let (provider_ref, detail) = (c.get()?, c.get()?);
    let data = c.json()?.unwrap_or_default();
    if let Some(disposition) = disposition {
        let duration_seconds = unsigned(duration.unwrap_or(0))?;
        attempt.outcome = Some(Outcome { disposition, duration_seconds, cost: cost.map(Money), provider_ref, detail, data });
    }
    attempt.reason = c.reason()?;
    if let Some(key) = c.get()? {
        attempt.key = key;
    }
    Ok(attempt)
}

/// A ledger from the columns `in_flight, next_slot, day, day_starts, spent, reserved`.
pub(super) fn ledger(row: &Row<'_>) -> Result<Ledger> {
    let mut c = Columns { row, next: 0 };
    Ok(Ledger {
        in_flight: c.number()?,
        next_slot: c.maybe_moment()?,
        day: c.get::<Option<String>>()?.map(|day| day.parse().map_err(|_| Fault::damaged("the day of a ledger"))).transpose()?,
        day_starts: c.number()?,
        spent: Money(c.get()?),
        reserved: Money(c.get()?),
    })
}
