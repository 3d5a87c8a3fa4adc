//! A stored campaign and where it stands.

use super::spec::CampaignSpec;
use crate::contact::Reason;
use crate::id::CampaignId;
use crate::status::CampaignStatus;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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
