//! The copy a simulation runs on.

use crate::Result;
use crate::campaign::{CampaignRecord, CampaignSpec, CampaignStatus, RunState};
use crate::contact::{Contact, ContactStatus, Owner};
use crate::engine::Engine;
use crate::outcome::Attempt;
use crate::policy::limits::LimitScope;
use crate::schedule::Schedule;
use crate::store::{AttemptQuery, ContactQuery, ContactStore, Paging, Snapshot};
use jiff::Timestamp;
use std::sync::Arc;

const PAGE: u32 = 5_000;

/// Copies one campaign: its record as a draft (or scheduled), its contacts with their histories, suppressions and its ledger.
pub(super) async fn campaign(engine: &Engine, mut record: CampaignRecord, to: &impl ContactStore, start: Timestamp) -> Result<()> {
    let from = engine.store();
    let id = record.id;
    let mut spec = CampaignSpec::clone(&record.spec);
    let started = record.started_at.is_some() && matches!(record.status, CampaignStatus::Running | CampaignStatus::Paused);
    // Of a recurring campaign one occurrence is simulated: the one that runs, or the next.
    spec.schedule = match &spec.schedule {
        _ if started => Schedule::Immediate,
        Schedule::Recurring { .. } => spec.schedule.clone().anchored(start).next_start(start).map_or(Schedule::Immediate, Schedule::once),
        other => other.clone(),
    };
    let repeats = record.status == CampaignStatus::Scheduled && record.started_at.is_some();
    record.spec = Arc::new(spec);
    record.status = CampaignStatus::Draft;
    record.run = RunState { number: record.run.number, next_start: None, resetting: false };
    record.started_at = None;
    record.completed_at = None;
    to.restore(Snapshot { campaigns: vec![record], ..Snapshot::default() }).await?;

    let mut after = None;
    loop {
        let query =
            ContactQuery { after, paging: Paging { offset: 0, limit: PAGE }, count: false, ..ContactQuery::of(Owner::Campaign(id)) };
        let mut contacts = from.contacts(query).await?.items;
        let Some(last) = contacts.last() else { break };
        after = Some(last.id);
        let mut attempts = Vec::new();
        for contact in &mut contacts {
            if repeats {
                let fresh = crate::contact::ContactState::new(contact.state.run, start);
                contact.state = fresh;
            }
            if contact.state.status == ContactStatus::InProgress {
                contact.state.status = ContactStatus::Pending;
            }
            if contact.state.status == ContactStatus::Pending && contact.state.attempts > 0 {
                attempts.extend(history(from.as_ref(), contact).await?);
            }
        }
        to.restore(Snapshot { contacts, attempts, ..Snapshot::default() }).await?;
    }

    crate::store::copy::suppressions(from.as_ref(), to).await?;

    let scope = LimitScope::Campaign(id);
    if let Some(mut ledger) = from.ledgers(vec![scope.clone()]).await?.into_iter().next() {
        ledger.in_flight = 0;
        ledger.reserved = crate::id::Money::ZERO;
        ledger.next_slot = None;
        to.restore(Snapshot { ledgers: vec![(scope, ledger)], ..Snapshot::default() }).await?;
    }
    Ok(())
}

async fn history(from: &dyn ContactStore, contact: &Contact) -> Result<Vec<Attempt>> {
    let query = AttemptQuery {
        contact: Some(contact.id),
        run: Some(contact.state.run),
        paging: Paging { offset: 0, limit: 100 },
        ..AttemptQuery::default()
    };
    let mut attempts = from.attempts(query).await?.items;
    attempts.retain(|attempt| attempt.outcome.is_some());
    Ok(attempts)
}
