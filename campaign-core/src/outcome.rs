//! Channels, attempts and how they end.

use crate::contact::{PlannedStep, Reason};
use crate::id::{AttemptId, CampaignId, ContactId, Money, NodeToken};
use crate::redact::debug_without;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// How a person is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// A voice call.
    Call,
    /// A text message.
    Sms,
    /// A WhatsApp message.
    WhatsApp,
}

impl Channel {
    /// All of them.
    pub const ALL: [Channel; 3] = [Self::Call, Self::Sms, Self::WhatsApp];

    /// The wire name: `call`, `sms` or `whatsapp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Sms => "sms",
            Self::WhatsApp => "whatsapp",
        }
    }

    /// The channel with this wire name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.as_str() == name)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// A person picked up.
    Answered,
    /// A machine picked up.
    Voicemail,
    /// The line was busy.
    Busy,
    /// Nobody picked up.
    NoAnswer,
    /// The person or the network refused the call.
    Rejected,
    /// A message was accepted by the carrier; no receipt (yet).
    Sent,
    /// A message was delivered.
    Delivered,
    /// The number or handset cannot be reached this way, for good.
    Undeliverable,
    /// The person asked not to be contacted again; the engine suppresses the number.
    OptedOut,
    /// The attempt failed for a technical reason.
    Failed,
    /// The attempt was given up before it connected.
    Cancelled,
    /// Nobody can say whether the person was reached; never redialled blindly.
    InDoubt,
}

impl Disposition {
    /// All of them.
    pub const ALL: [Disposition; 12] = [
        Self::Answered,
        Self::Voicemail,
        Self::Busy,
        Self::NoAnswer,
        Self::Rejected,
        Self::Sent,
        Self::Delivered,
        Self::Undeliverable,
        Self::OptedOut,
        Self::Failed,
        Self::Cancelled,
        Self::InDoubt,
    ];

    /// The wire name, for example `no_answer`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Voicemail => "voicemail",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Rejected => "rejected",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Undeliverable => "undeliverable",
            Self::OptedOut => "opted_out",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::InDoubt => "in_doubt",
        }
    }

    /// The disposition with this wire name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|disposition| disposition.as_str() == name)
    }

    /// Whether the person was reached: answered, sent or delivered.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Answered | Self::Sent | Self::Delivered)
    }
}

impl fmt::Display for Disposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a dialer reports when an attempt has ended. Plain data.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it ended.
    pub disposition: Disposition,
    /// Seconds talked; 0 for messages and unanswered calls.
    #[serde(default)]
    pub duration_seconds: u32,
    /// What it cost, when the provider says so. The campaign's estimate is used otherwise.
    #[serde(default)]
    pub cost: Option<Money>,
    /// The provider's own reference of the call or message.
    #[serde(default)]
    pub provider_ref: Option<String>,
    /// One sentence for a person, for example `No answer after 30 seconds`. No personal data.
    #[serde(default)]
    pub detail: Option<String>,
    /// Anything else worth keeping: transcript, analysis, segments, SIP code. Kept in the history, never logged.
    #[serde(default)]
    pub data: serde_json::Map<String, serde_json::Value>,
}

impl Outcome {
    /// An outcome with nothing but its disposition.
    pub fn new(disposition: Disposition) -> Self {
        Self { disposition, duration_seconds: 0, cost: None, provider_ref: None, detail: None, data: serde_json::Map::new() }
    }

    /// Answered by a person who talked this long.
    pub fn answered(duration_seconds: u32) -> Self {
        Self { duration_seconds, ..Self::new(Disposition::Answered) }
    }

    /// With a sentence about it.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// With what it cost.
    #[must_use]
    pub fn with_cost(mut self, cost: Money) -> Self {
        self.cost = Some(cost);
        self
    }

    /// With the provider's reference.
    #[must_use]
    pub fn with_provider_ref(mut self, provider_ref: impl Into<String>) -> Self {
        self.provider_ref = Some(provider_ref.into());
        self
    }
}

debug_without!(Outcome { disposition, duration_seconds, cost } hides { provider_ref, detail, data });

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptState {
    /// The intent is durable; the hand-off may or may not have happened.
    Claimed,
    /// The provider's reference is durable; the call or message exists.
    Placed,
    /// Ended, with an outcome.
    Settled,
    /// Handed over and refused without effect (throttled); consumed nothing.
    Refused,
}

impl AttemptState {
    /// The wire name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Placed => "placed",
            Self::Settled => "settled",
            Self::Refused => "refused",
        }
    }

    /// Whether it still waits for its settlement.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Claimed | Self::Placed)
    }
}

/// One attempt: the intent written before hand-off, and what came of it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its id; with the store's id it makes the idempotency key.
    pub id: AttemptId,
    /// The idempotency key given to the provider: unique over all stores.
    pub key: Arc<str>,
    /// The campaign.
    pub campaign: CampaignId,
    /// The contact.
    pub contact: ContactId,
    /// The run.
    pub run: u32,
    /// Which attempt at this contact in this run it is, from 1.
    pub number: u32,
    /// Which step it carries out, on which channel.
    pub step: PlannedStep,
    /// The caller id or sender reserved for it.
    #[serde(default)]
    pub from: Option<Arc<str>>,
    /// The revision of the campaign's spec it was claimed under.
    pub spec_version: u32,
    /// Where it stands.
    pub state: AttemptState,
    /// The node that holds it, with the fencing token.
    pub claimed_by: NodeToken,
    /// When the intent was written.
    pub claimed_at: Timestamp,
    /// The slot at which it starts.
    pub start_at: Timestamp,
    /// It must not be handed over later than this.
    pub not_after: Timestamp,
    /// Cost reserved from the budget.
    pub reserved: Money,
    /// The provider's reference, as soon as known.
    #[serde(default)]
    pub provider_ref: Option<String>,
    /// When it was handed over, when known.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// When it was settled.
    #[serde(default)]
    pub finished_at: Option<Timestamp>,
    /// How it ended.
    #[serde(default)]
    pub outcome: Option<Outcome>,
    /// Why what follows follows, for example "Will retry in 30 minutes".
    #[serde(default)]
    pub reason: Option<Reason>,
}

debug_without!(Attempt {
    id, key, campaign, contact, run, number, step, spec_version, state, claimed_by, claimed_at, start_at, not_after, reserved,
    provider_ref, started_at, finished_at, outcome, reason
} hides { from });

impl Attempt {
    /// How it ended, when it has.
    pub fn disposition(&self) -> Option<Disposition> {
        self.outcome.as_ref().map(|outcome| outcome.disposition)
    }
}
