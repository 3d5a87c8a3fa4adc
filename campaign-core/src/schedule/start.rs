//! When a campaign starts.

use super::local::{at_local, zone};
use super::recurrence::Recurrence;
use crate::error::{Error, Result};
use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

/// When a campaign starts.
///
/// As JSON it is an object with `schedule_type` `immediate`, `once` (or its synonym `scheduled`) or `recurring`. `scheduled_at` may be a
/// moment (`2024-02-15T09:00:00Z`, or with an offset) or a local time without one, which is then read in `timezone`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(tag = "schedule_type", rename_all = "snake_case", try_from = "Wire")]
pub enum Schedule {
    /// As soon as `start` is called.
    #[default]
    Immediate,
    /// At one moment.
    Once {
        /// The moment.
        scheduled_at: Timestamp,
        /// The zone it was meant in, for display.
        timezone: String,
        /// What to do when the moment has passed, for example after an outage.
        past_due: PastDue,
    },
    /// Again and again; each occurrence is a numbered run over the whole list.
    Recurring {
        /// The rule.
        recurring_config: Recurrence,
        /// What to do with an occurrence whose moment has passed.
        past_due: PastDue,
    },
}

/// How a schedule is written: as [`Schedule`], but the moment may be a local time.
#[derive(Deserialize)]
#[serde(tag = "schedule_type", rename_all = "snake_case")]
enum Wire {
    Immediate,
    #[serde(alias = "scheduled")]
    Once {
        scheduled_at: String,
        #[serde(default = "utc")]
        timezone: String,
        #[serde(default)]
        past_due: PastDue,
    },
    Recurring {
        recurring_config: Recurrence,
        #[serde(default)]
        past_due: PastDue,
    },
}

fn utc() -> String {
    "UTC".to_owned()
}

impl TryFrom<Wire> for Schedule {
    type Error = Error;

    fn try_from(wire: Wire) -> Result<Self> {
        Ok(match wire {
            Wire::Immediate => Self::Immediate,
            Wire::Once { scheduled_at, timezone, past_due } => {
                Self::Once { scheduled_at: moment(&scheduled_at, &timezone)?, timezone, past_due }
            }
            Wire::Recurring { recurring_config, past_due } => Self::Recurring { recurring_config, past_due },
        })
    }
}

/// A moment as it is written: with an offset as it stands, without one on the clock of `timezone`.
fn moment(text: &str, timezone: &str) -> Result<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let field = "schedule.scheduled_at";
    let local: DateTime =
        text.parse().map_err(|_| Error::invalid(field, "must be a moment such as 2024-02-15T09:00:00Z, or a local time without Z"))?;
    let zone = zone(timezone).ok_or_else(|| unknown_zone("schedule.timezone"))?;
    at_local(&zone, local).ok_or_else(|| Error::invalid(field, "is out of range"))
}

fn unknown_zone(field: &'static str) -> Error {
    Error::invalid(field, "must be a zone of the tz database, for example America/New_York")
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
    /// At one moment, late starts run.
    pub fn once(at: Timestamp) -> Self {
        Self::Once { scheduled_at: at, timezone: utc(), past_due: PastDue::Run }
    }

    /// At one local time, for example `2024-02-15T09:00:00` in `America/New_York`. A time that a clock change leaves out becomes the first
    /// moment after the change; of a time that comes twice it is the first. A text with `Z` or an offset is taken as it stands.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] when the time cannot be read or the zone is not known.
    pub fn once_local(at: &str, timezone: &str) -> Result<Self> {
        if zone(timezone).is_none() {
            return Err(unknown_zone("schedule.timezone"));
        }
        Ok(Self::Once { scheduled_at: moment(at, timezone)?, timezone: timezone.to_owned(), past_due: PastDue::Run })
    }

    /// Again and again by this rule, late occurrences run.
    pub fn recurring(rule: Recurrence) -> Self {
        Self::Recurring { recurring_config: rule, past_due: PastDue::Run }
    }

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

    /// The schedule as it is stored: a recurring one without `start_date` starts on the day of `now`, see [`Recurrence::anchored`].
    #[must_use]
    pub fn anchored(self, now: Timestamp) -> Self {
        match self {
            Self::Recurring { recurring_config, past_due } => {
                Self::Recurring { recurring_config: recurring_config.anchored(now), past_due }
            }
            other => other,
        }
    }

    /// Checks every field, whatever the time.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`]; names the field and what it may be.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Immediate => Ok(()),
            Self::Once { timezone, .. } => zone(timezone).map(|_| ()).ok_or_else(|| unknown_zone("schedule.timezone")),
            Self::Recurring { recurring_config, .. } => recurring_config.check(),
        }
    }

    /// Checks every field, and that a start lies ahead; for the moment at which a schedule is set.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] as [`Schedule::check`], or when the time is in the past or no occurrence follows.
    pub fn validate(&self, now: Timestamp) -> Result<()> {
        self.check()?;
        match self {
            Self::Once { scheduled_at, .. } if *scheduled_at <= now => {
                Err(Error::invalid("schedule.scheduled_at", "Scheduled time is in the past"))
            }
            Self::Recurring { recurring_config, .. } if recurring_config.next_after(now).is_none() => {
                Err(Error::invalid("schedule.recurring_config", "has no occurrence in the future"))
            }
            _ => Ok(()),
        }
    }
}
