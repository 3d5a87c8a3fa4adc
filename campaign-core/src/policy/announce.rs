//! What a saved campaign tells its watchers.

use crate::campaign::{CampaignRecord, CampaignStatus};
use crate::event::EventKind;
use crate::id::Money;

/// The events of replacing `before` by `after`, in order. Stores write them in the transaction that saves; `spent` is what the
/// campaign's ledger says then.
pub fn saved(before: &CampaignRecord, after: &CampaignRecord, spent: Money) -> Vec<EventKind> {
    let mut events = Vec::new();
    if before.status != after.status {
        events.push(EventKind::StatusChanged { from: before.status, to: after.status });
    }
    let ended = before.status == CampaignStatus::Running && matches!(after.status, CampaignStatus::Completed | CampaignStatus::Scheduled);
    if ended || before.status != after.status && after.status == CampaignStatus::Completed {
        events.push(EventKind::CampaignCompleted { run: after.run.number });
    }
    if after.budget_announced_percent > before.budget_announced_percent
        && let Some(budget) = after.spec.budget
    {
        events.push(EventKind::BudgetThreshold { percent: after.budget_announced_percent, spent, budget });
    }
    events
}
