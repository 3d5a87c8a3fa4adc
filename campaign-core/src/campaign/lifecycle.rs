//! A stored campaign and where it stands.

use super::spec::CampaignSpec;
use crate::contact::Reason;
use crate::id::CampaignId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Where a campaign stands. Legal changes are in [`crate::policy::transition`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CampaignStatus {
    /// Being prepared.
    Draft,
    /// Waiting for its start.
    Scheduled,
    /// Reaching people.
    Running,
    /// Held; running attempts finish, no new ones start.
    Paused,
    /// Every contact is terminal and no further run follows.
    Completed,
    /// Ended before it was done.
    Cancelled,
    /// Ended by an error that concerns the whole campaign.
    Failed,
}

impl CampaignStatus {
    /// All of them.
    pub const ALL: [CampaignStatus; 7] =
        [Self::Draft, Self::Scheduled, Self::Running, Self::Paused, Self::Completed, Self::Cancelled, Self::Failed];

    /// The wire name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// The status with this wire name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

impl fmt::Display for CampaignStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which occurrence of the campaign is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct RunState {
    /// The current run, from 1.
    pub number: u32,
    /// When the next occurrence of a recurring or scheduled campaign starts.
    #[serde(default)]
    pub next_start: Option<Timestamp>,
    /// The contacts of this run are still being reset; the run starts when that is done. Makes a crash in between harmless.
    #[serde(default)]
    pub resetting: bool,
}

/// A stored campaign. Changed as a whole, compare-and-set on `revision`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CampaignRecord {
    /// Its id.
    pub id: CampaignId,
    /// What it is made from.
    pub spec: Arc<CampaignSpec>,
    /// Grows with every edit of the spec; attempts record it.
    pub spec_version: u32,
    /// Grows with every change of this record.
    pub revision: u64,
    /// Where it stands.
    pub status: CampaignStatus,
    /// Why, when there is something to say (held, failed, budget spent).
    #[serde(default)]
    pub reason: Option<Reason>,
    /// Which run is on.
    pub run: RunState,
    /// Highest budget percentage already announced, so that it is announced once.
    #[serde(default)]
    pub budget_announced_percent: u32,
    /// Name of the last imported file.
    #[serde(default)]
    pub last_import_file_name: Option<String>,
    /// When it was imported.
    #[serde(default)]
    pub last_import_date: Option<Timestamp>,
    /// How many rows it had.
    #[serde(default)]
    pub last_import_row_count: Option<u64>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When the current run started.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default)]
    pub completed_at: Option<Timestamp>,
}
