//! A person to be reached, and how far the campaign has come with them.

use crate::id::{CampaignId, ContactId, ListId, Money};
use crate::outcome::{Channel, Disposition};
use crate::phone::PhoneNumber;
use crate::redact::debug_without;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Template variables of a contact: slug of the column to its value. Order is that of the file.
pub type Variables = serde_json::Map<String, serde_json::Value>;

/// Whom a contact belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// A campaign: the contact will be reached.
    Campaign(CampaignId),
    /// A reusable contact list: the contact is only stored.
    List(ListId),
}

/// Where a contact stands. `Pending` and `InProgress` are open; all others are terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContactStatus {
    /// Waiting for its (next) attempt.
    Pending,
    /// An attempt is claimed, running or in doubt.
    InProgress,
    /// Reached.
    Completed,
    /// Cannot be reached: a permanent error, or every attempt failed.
    Failed,
    /// Every attempt used; the last one was not answered.
    NoAnswer,
    /// Every attempt used; the last one was busy.
    Busy,
    /// Every attempt used, or enough of them; the last one met a voicemail.
    Voicemail,
    /// Not to be contacted: suppressed, without consent, or ruled out by a gate.
    Skipped,
    /// The campaign ended before the contact was reached.
    Cancelled,
}

impl ContactStatus {
    /// All of them, in the order of the documentation.
    pub const ALL: [ContactStatus; 9] = [
        Self::Pending,
        Self::InProgress,
        Self::Completed,
        Self::Failed,
        Self::NoAnswer,
        Self::Busy,
        Self::Voicemail,
        Self::Skipped,
        Self::Cancelled,
    ];

    /// The wire name, for example `no_answer`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::NoAnswer => "no_answer",
            Self::Busy => "busy",
            Self::Voicemail => "voicemail",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status with this wire name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Whether nothing more will happen to the contact in this run.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Pending | Self::InProgress)
    }

    /// Whether this is one of the statuses the metric formulas count as failed: failed, no answer, busy and voicemail.
    pub fn counts_as_failed(self) -> bool {
        matches!(self, Self::Failed | Self::NoAnswer | Self::Busy | Self::Voicemail)
    }
}

impl fmt::Display for ContactStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why something is as it is: a machine code and a sentence. The sentence never holds personal data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// A stable snake_case code, for example `window_closed`.
    pub code: Arc<str>,
    /// One sentence for a person.
    pub text: Arc<str>,
}

impl Reason {
    /// From a code and a sentence.
    pub fn new(code: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { code: code.into(), text: text.into() }
    }
}

/// The time zones a contact may be in: IANA names in order, joined by `|`. The calling window must be open in every one of them.
///
/// Empty means "not known"; the campaign's zone is used then. Contacts with equal keys open and close together, which is what
/// lets a store pick due contacts without looking at those whose window is closed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ZoneKey(pub Arc<str>);

impl ZoneKey {
    /// Not known: the campaign's own zone decides.
    pub fn unknown() -> Self {
        Self(Arc::from(""))
    }

    /// From candidate zones; sorts and deduplicates.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut names: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        names.dedup();
        Self(Arc::from(names.join("|")))
    }

    /// The candidate zones; none when not known.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('|').filter(|name| !name.is_empty())
    }

    /// Whether no zone is known.
    pub fn is_unknown(&self) -> bool {
        self.0.is_empty()
    }
}

/// Proof that a person agreed to be contacted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// When it was given.
    pub given_at: Timestamp,
    /// Where the proof lies, for example a form or a recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Channels it covers; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<Channel>,
}

/// How a contact came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum ContactSource {
    /// A CSV, TSV or other delimited text.
    CsvImport,
    /// JSON or JSON Lines.
    JsonImport,
    /// XLSX, XLS, XLSB or ODS.
    SpreadsheetImport,
    /// Attached from a contact list.
    List,
    /// Added by a call of the API.
    #[default]
    Api,
}

impl ContactSource {
    /// Whether a file brought it.
    pub fn is_file(self) -> bool {
        match self {
            Self::CsvImport | Self::JsonImport | Self::SpreadsheetImport => true,
            Self::List | Self::Api => false,
        }
    }
}

/// A contact as it is added: already normalised, not yet stored.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct NewContact {
    /// Where to reach the person.
    pub phone: PhoneNumber,
    /// Full name.
    #[serde(default)]
    pub name: Option<String>,
    /// Email address, kept as given.
    #[serde(default)]
    pub email: Option<String>,
    /// Company.
    #[serde(default)]
    pub company: Option<String>,
    /// Candidate time zones.
    pub zones: ZoneKey,
    /// Every other column.
    #[serde(default)]
    pub variables: Variables,
    /// Consent, when known.
    #[serde(default)]
    pub consent: Option<Consent>,
    /// How it came in.
    #[serde(default)]
    pub source: ContactSource,
}

/// A stored contact: who it is, and where it stands in its campaign.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Contact {
    /// Its id.
    pub id: ContactId,
    /// Whom it belongs to.
    pub owner: Owner,
    /// Who it is.
    #[serde(flatten)]
    pub person: Arc<NewContact>,
    /// Where it stands.
    #[serde(flatten)]
    pub state: ContactState,
    /// When it was added.
    pub created_at: Timestamp,
}

debug_without!(Contact { id, owner, state } hides { person, created_at });

debug_without!(NewContact { phone, zones, source } hides { name, email, company, variables, consent });

/// The step planned for a contact: what the next attempt will be.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Index into the campaign's steps, from 0. One-step campaigns have only step 0.
    pub step: u32,
    /// The channel it goes out on.
    pub channel: Channel,
}

/// Where a contact stands in its campaign. Sums (`duration_seconds`, `cost`, ...) are those of the current run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContactState {
    /// The status; changes only along [`crate::policy::transition`].
    pub status: ContactStatus,
    /// Why it has this status, or why it waits.
    #[serde(default)]
    pub reason: Option<Reason>,
    /// The run the contact was last part of, from 1.
    pub run: u32,
    /// Attempts consumed in this run.
    pub attempts: u32,
    /// Not to be claimed before this moment.
    pub due_at: Timestamp,
    /// What the next attempt will be; `None` means the campaign's first step.
    #[serde(default)]
    pub step: Option<PlannedStep>,
    /// How the last attempt ended.
    #[serde(default)]
    pub last_disposition: Option<Disposition>,
    /// When the last attempt was handed over.
    #[serde(default)]
    pub last_attempt_at: Option<Timestamp>,
    /// When the person last answered back (a message, a returned call).
    #[serde(default)]
    pub replied_at: Option<Timestamp>,
    /// When the contact became terminal.
    #[serde(default)]
    pub completed_at: Option<Timestamp>,
    /// Call attempts that were answered by a person.
    #[serde(default)]
    pub answered_calls: u32,
    /// Call attempts handed over.
    #[serde(default)]
    pub call_attempts: u32,
    /// Seconds talked.
    #[serde(default)]
    pub duration_seconds: u64,
    /// What the attempts cost.
    #[serde(default)]
    pub cost: Money,
    /// Grows with every change; compare-and-set.
    pub version: u64,
}

impl ContactState {
    /// The state of a contact that has just been added.
    pub fn new(run: u32, due_at: Timestamp) -> Self {
        Self {
            status: ContactStatus::Pending,
            reason: None,
            run,
            attempts: 0,
            due_at,
            step: None,
            last_disposition: None,
            last_attempt_at: None,
            replied_at: None,
            completed_at: None,
            answered_calls: 0,
            call_attempts: 0,
            duration_seconds: 0,
            cost: Money::ZERO,
            version: 0,
        }
    }
}
