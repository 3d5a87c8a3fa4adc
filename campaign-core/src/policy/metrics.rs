//! The metric formulas.

use crate::campaign::CampaignRecord;
use crate::contact::ContactStatus;
use crate::event::Progress;
use crate::id::Money;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a store counts per campaign, in the same transactions that change the contacts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Contacts per status.
    pub by_status: BTreeMap<ContactStatus, u64>,
    /// Call attempts handed over.
    pub call_attempts: u64,
    /// Call attempts a person answered.
    pub answered_calls: u64,
    /// Seconds talked.
    pub duration_seconds: u64,
    /// Money spent on the contacts' current runs.
    pub cost: Money,
}

impl Counts {
    /// Contacts with this status.
    pub fn of(&self, status: ContactStatus) -> u64 {
        self.by_status.get(&status).copied().unwrap_or(0)
    }

    /// Contacts with one of these statuses; all when none is named.
    pub fn with(&self, statuses: &[ContactStatus]) -> u64 {
        self.by_status.iter().filter(|(status, _)| statuses.is_empty() || statuses.contains(status)).map(|(_, count)| count).sum()
    }

    /// Contacts that are pending or in progress.
    pub fn open(&self) -> u64 {
        self.of(ContactStatus::Pending) + self.of(ContactStatus::InProgress)
    }
}

/// `100 part / whole`, rounded to two decimals; 0 when there is nothing to divide by.
pub fn percentage(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 * 10_000.0 / whole as f64).round() / 100.0 }
}

/// The progress of a campaign from its counts. `estimated_completion` is left to the engine.
pub fn progress(record: &CampaignRecord, counts: &Counts) -> Progress {
    let completed = counts.of(ContactStatus::Completed);
    let failed: u64 = ContactStatus::ALL.into_iter().filter(|status| status.counts_as_failed()).map(|status| counts.of(status)).sum();
    let pending = counts.of(ContactStatus::Pending);
    let in_progress = counts.of(ContactStatus::InProgress);
    let total = completed + failed + pending + in_progress;
    let done = percentage(completed + failed, total);
    Progress {
        campaign_id: record.id,
        status: record.status,
        run: record.run.number,
        total_contacts: total,
        completed_contacts: completed,
        failed_contacts: failed,
        pending_contacts: pending,
        in_progress_contacts: in_progress,
        no_answer_contacts: counts.of(ContactStatus::NoAnswer),
        busy_contacts: counts.of(ContactStatus::Busy),
        voicemail_contacts: counts.of(ContactStatus::Voicemail),
        skipped_contacts: counts.of(ContactStatus::Skipped),
        cancelled_contacts: counts.of(ContactStatus::Cancelled),
        completion_percentage: done,
        completion_rate: done,
        success_rate: percentage(completed, completed + failed),
        answer_rate: percentage(counts.answered_calls, counts.call_attempts),
        total_duration_seconds: counts.duration_seconds,
        average_duration: if completed == 0 { 0.0 } else { (counts.duration_seconds as f64 * 100.0 / completed as f64).round() / 100.0 },
        total_cost: counts.cost,
        started_at: record.started_at,
        completed_at: record.completed_at,
        estimated_completion: None,
    }
}
