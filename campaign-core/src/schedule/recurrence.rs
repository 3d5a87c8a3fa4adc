//! Recurring starts.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Frequency {
    /// Every `interval` days.
    #[default]
    Daily,
    /// Every `interval` weeks, on `days_of_week`.
    Weekly,
    /// Every `interval` months, on `day_of_month` (the last day where the month is shorter).
    Monthly,
}

/// A recurring start: a rule in plain fields, or an RFC 5545 `RRULE`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recurrence {
    /// How often.
    pub frequency: Frequency,
    /// Every so many days, weeks or months. Default 1.
    pub interval: u32,
    /// 1 is Monday, 7 is Sunday. For weekly rules; empty means the weekday of the start.
    pub days_of_week: Vec<u8>,
    /// 1 to 31. For monthly rules.
    pub day_of_month: Option<u8>,
    /// Time of day, `HH:MM`. Default `09:00`.
    pub time: String,
    /// IANA zone of `time`. Default `UTC`.
    pub time_zone: String,
    /// First day, `YYYY-MM-DD`; rules with an interval count from here. Default: the day the schedule is set.
    pub start_date: Option<String>,
    /// Last day, `YYYY-MM-DD`, inclusive.
    pub end_date: Option<String>,
    /// At most this many occurrences, counted from `start_date`.
    pub count: Option<u32>,
    /// An RFC 5545 rule such as `FREQ=DAILY;INTERVAL=2`; replaces the plain fields above but for `time`, `time_zone` and the dates.
    pub rrule: Option<String>,
}

impl Default for Recurrence {
    fn default() -> Self {
        Self {
            frequency: Frequency::Daily,
            interval: 1,
            days_of_week: Vec::new(),
            day_of_month: None,
            time: "09:00".to_owned(),
            time_zone: "UTC".to_owned(),
            start_date: None,
            end_date: None,
            count: None,
            rrule: None,
        }
    }
}

impl Recurrence {
    /// The first occurrence strictly after `after`.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let _ = after;
        None
    }
}
