//! Where a campaign stands.

use serde::{Deserialize, Serialize};
use std::fmt;

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
