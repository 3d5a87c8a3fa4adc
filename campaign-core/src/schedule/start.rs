//! When a campaign starts.

use super::recurrence::Recurrence;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// When a campaign starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(tag = "schedule_type", rename_all = "snake_case")]
pub enum Schedule {
    /// As soon as `start` is called.
    #[default]
    Immediate,
    /// At one moment.
    #[serde(alias = "scheduled")]
    Once {
        /// The moment.
        scheduled_at: Timestamp,
        /// The zone it was meant in, for display.
        #[serde(default = "utc")]
        timezone: String,
        /// What to do when the moment has passed, for example after an outage.
        #[serde(default)]
        past_due: PastDue,
    },
    /// Again and again; each occurrence is a numbered run over the whole list.
    Recurring {
        /// The rule.
        recurring_config: Recurrence,
        /// What to do with an occurrence whose moment has passed.
        #[serde(default)]
        past_due: PastDue,
    },
}

fn utc() -> String {
    "UTC".to_owned()
}

/// What to do with a start whose moment has passed by more than a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum PastDue {
    /// Start now.
    #[default]
    Run,
    /// Leave this occurrence out; a single start goes back to draft.
    Skip,
    /// Pause the campaign and wait for a person.
    Hold,
}

impl Schedule {
    /// The next start strictly after `after`, or `None` when there is none. `Immediate` has none of its own.
    pub fn next_start(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Immediate => None,
            Self::Once { scheduled_at, .. } => (*scheduled_at > after).then_some(*scheduled_at),
            Self::Recurring { recurring_config, .. } => recurring_config.next_after(after),
        }
    }

    /// What to do with a start that has passed.
    pub fn past_due(&self) -> PastDue {
        match self {
            Self::Immediate => PastDue::Run,
            Self::Once { past_due, .. } | Self::Recurring { past_due, .. } => *past_due,
        }
    }
}
