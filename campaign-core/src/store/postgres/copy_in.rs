//! Rows in bulk, by `COPY` in its binary form.

use super::fault::Outcome as Result;
use super::rows::{code, stamp, text};
use super::tx::Tx;
use crate::contact::{ContactState, ContactStatus, NewContact};
use crate::store::codes::{Code, json};
use jiff::Timestamp;
use std::pin::pin;
use tokio_postgres::types::Type;

/// A contact to be written as it is.
pub(super) struct NewRow<'a> {
    pub(super) id: i64,
    pub(super) owner: i64,
    pub(super) zone: i32,
    pub(super) person: &'a NewContact,
    pub(super) state: &'a ContactState,
    pub(super) created_at: Timestamp,
}

const CONTACTS: &str = "COPY contacts (id, owner, zone_id, status, due_at, run, attempts, version, step, step_channel, last_disposition, \
    last_attempt_at, replied_at, completed_at, answered_calls, call_attempts, duration_seconds, cost, source, created_at, reason_code, \
    reason_text, phone, name, email, company, consent, variables) FROM STDIN (FORMAT binary)";
const CONTACT_TYPES: &[Type] = &[
    Type::INT8,
    Type::INT8,
    Type::INT4,
    Type::INT2,
    Type::TIMESTAMPTZ,
    Type::INT4,
    Type::INT4,
    Type::INT8,
    Type::INT4,
    Type::INT2,
    Type::INT2,
    Type::TIMESTAMPTZ,
    Type::TIMESTAMPTZ,
    Type::TIMESTAMPTZ,
    Type::INT4,
    Type::INT4,
    Type::INT8,
    Type::INT8,
    Type::INT2,
    Type::TIMESTAMPTZ,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
];
const QUEUE: &str = "COPY queue (owner, zone_id, due_at, contact_id) FROM STDIN (FORMAT binary)";
const QUEUE_TYPES: &[Type] = &[Type::INT8, Type::INT4, Type::TIMESTAMPTZ, Type::INT8];

/// Writes contacts, and those that are pending in a campaign into the queue.
pub(super) async fn contacts(tx: &Tx, rows: &[NewRow<'_>]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut writer = pin!(tx.copy_in(CONTACTS, CONTACT_TYPES).await?);
    for row in rows {
        let (person, state) = (row.person, row.state);
        let (step, channel) = state.step.as_ref().map(|step| (step.step as i32, code(step.channel))).unzip();
        let (reason, words) = state.reason.as_ref().map(|reason| (text(&reason.code), text(&reason.text))).unzip();
        writer
            .as_mut()
            .write(&[
                &row.id,
                &row.owner,
                &row.zone,
                &code(state.status),
                &stamp(state.due_at),
                &(state.run as i32),
                &(state.attempts as i32),
                &(state.version as i64),
                &step,
                &channel,
                &state.last_disposition.map(|disposition| disposition.code() as i16),
                &state.last_attempt_at,
                &state.replied_at,
                &state.completed_at,
                &(state.answered_calls as i32),
                &(state.call_attempts as i32),
                &(state.duration_seconds as i64),
                &state.cost.0,
                &code(person.source),
                &stamp(row.created_at),
                &reason,
                &words,
                &person.phone.as_str(),
                &person.name.as_deref().map(text),
                &person.email.as_deref().map(text),
                &person.company.as_deref().map(text),
                &json(&person.consent, person.consent.is_none())?,
                &json(&person.variables, person.variables.is_empty())?,
            ])
            .await?;
    }
    writer.finish().await?;
    let mut writer = pin!(tx.copy_in(QUEUE, QUEUE_TYPES).await?);
    for row in rows.iter().filter(|row| row.owner > 0 && row.state.status == ContactStatus::Pending) {
        writer.as_mut().write(&[&row.owner, &row.zone, &stamp(row.state.due_at), &row.id]).await?;
    }
    writer.finish().await?;
    Ok(())
}
