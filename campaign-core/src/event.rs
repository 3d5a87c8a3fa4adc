//! What a campaign tells its watchers.

use crate::contact::ContactStatus;
use crate::id::{AttemptId, CampaignId, ContactId, Money};
use crate::outcome::{Channel, Disposition};
use crate::status::CampaignStatus;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One event. Carries ids, never a phone number or the text of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The campaign.
    pub campaign_id: CampaignId,
    /// When it happened, by the store's clock.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// Fresh counters; sent after changes, at most a few times a second, and after every gap.
    Progress(Box<Progress>),
    /// An attempt was claimed and is about to be handed over.
    ContactStarted {
        /// The contact.
        contact_id: ContactId,
        /// The attempt.
        attempt_id: AttemptId,
        /// The channel.
        channel: Channel,
    },
    /// An attempt ended and the contact was reached.
    ContactCompleted(ContactEnded),
    /// An attempt ended without reaching the contact; `status` says whether another follows (`pending`) or not.
    ContactFailed(ContactEnded),
    /// The dialer reports that the phone rings, was answered, and so on. Not durable: seen only on the node that dials.
    ContactProgress {
        /// The contact.
        contact_id: ContactId,
        /// The attempt.
        attempt_id: AttemptId,
        /// What the dialer said, for example `ringing`.
        stage: String,
    },
    /// The campaign changed its status.
    StatusChanged {
        /// Before.
        from: CampaignStatus,
        /// After.
        to: CampaignStatus,
    },
    /// Every contact of the run is terminal.
    CampaignCompleted {
        /// The run that ended.
        run: u32,
    },
    /// The budget passed the configured percentage, or its end.
    BudgetThreshold {
        /// Percent used.
        percent: u32,
        /// Money spent.
        spent: Money,
        /// The budget.
        budget: Money,
    },
    /// A person wrote. Not durable: seen only on the node that took the message; `campaign_id` is 0 when nobody of ours had written to them.
    MessageReceived {
        /// The contact of the campaign that wrote last, when there is one.
        contact_id: Option<ContactId>,
        /// The channel.
        channel: Channel,
        /// The provider's id of the message.
        message_id: String,
    },
    /// A message outside of attempts went out: a confirmation, an answer, a message of the program. Not durable either.
    MessageSent {
        /// The contact, when there is one.
        contact_id: Option<ContactId>,
        /// The channel.
        channel: Channel,
        /// The provider's id of the message.
        message_id: String,
    },
    /// A person asked not to be contacted any more, and is suppressed. Not durable; the suppression is.
    OptedOut {
        /// The contact, when there is one.
        contact_id: Option<ContactId>,
    },
    /// The assistant used a tool; its arguments stand in the conversation. Not durable; the arguments are.
    ToolUsed {
        /// The contact.
        contact_id: ContactId,
        /// The channel.
        channel: Channel,
        /// The tool, for example `book`.
        tool: String,
    },
    /// Something went wrong that an operator should see.
    Error {
        /// A machine code.
        code: String,
        /// One sentence.
        message: String,
    },
    /// The reader was too slow; this many events were dropped for it. A fresh `Progress` follows.
    Missed {
        /// How many.
        count: u64,
    },
}

/// How an attempt ended, for the event stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContactEnded {
    /// The contact.
    pub contact_id: ContactId,
    /// The attempt.
    pub attempt_id: AttemptId,
    /// The channel.
    pub channel: Channel,
    /// How it ended.
    pub disposition: Disposition,
    /// Where the contact stands now.
    pub status: ContactStatus,
    /// Seconds talked.
    pub duration_seconds: u32,
    /// What it cost.
    pub cost: Money,
}

/// The counters of a campaign, with the metric formulas applied. Percentages have two decimals.
///
/// `total = completed + failed + in_progress + pending`: skipped and cancelled contacts are counted apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The campaign.
    pub campaign_id: CampaignId,
    /// Its status.
    pub status: CampaignStatus,
    /// The current run, from 1.
    pub run: u32,
    /// All contacts that are neither skipped nor cancelled.
    pub total_contacts: u64,
    /// Reached.
    pub completed_contacts: u64,
    /// Failed, no answer, busy and voicemail together.
    pub failed_contacts: u64,
    /// Waiting.
    pub pending_contacts: u64,
    /// Being contacted.
    pub in_progress_contacts: u64,
    /// Of the failed: every attempt used, last one not answered.
    pub no_answer_contacts: u64,
    /// Of the failed: last one busy.
    pub busy_contacts: u64,
    /// Of the failed: last one met a voicemail.
    pub voicemail_contacts: u64,
    /// Ruled out by a gate (suppression, consent, ...).
    pub skipped_contacts: u64,
    /// Given up when the campaign was cancelled.
    pub cancelled_contacts: u64,
    /// `100 (completed + failed) / total`.
    pub completion_percentage: f64,
    /// The same figure under its other name.
    pub completion_rate: f64,
    /// `100 completed / (completed + failed)`.
    pub success_rate: f64,
    /// `100 answered calls / call attempts`.
    pub answer_rate: f64,
    /// Seconds talked in all.
    pub total_duration_seconds: u64,
    /// `total duration / completed`, in seconds.
    pub average_duration: f64,
    /// Money spent.
    pub total_cost: Money,
    /// When the campaign started.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default)]
    pub completed_at: Option<Timestamp>,
    /// When it will probably end: remaining contacts at the pace of the last minutes or at the rate limit. `None` when not running.
    #[serde(default)]
    pub estimated_completion: Option<Timestamp>,
}
