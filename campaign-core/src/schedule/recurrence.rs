//! Recurring starts.

use super::local::{at_local, parse_date, parse_time, zone};
use super::rule::Rule;
use crate::error::{Error, Result};
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

/// How often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Frequency {
    /// Every `interval` days.
    #[default]
    Daily,
    /// Every `interval` weeks (Monday to Sunday), on `days_of_week`.
    Weekly,
    /// Every `interval` months, on `day_of_month` (the last day where the month is shorter).
    Monthly,
}

/// A recurring start: a rule in plain fields, or an RFC 5545 `RRULE`.
///
/// Every occurrence is at the local `time` in `time_zone`. On a day on which a clock change leaves that time out, it is the first moment
/// after the change; where the time comes twice, it is the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recurrence {
    /// How often.
    pub frequency: Frequency,
    /// Every so many days, weeks or months, 1 to 1000. Default 1.
    pub interval: u32,
    /// 1 is Monday, 7 is Sunday. For weekly rules; empty means the weekday of the start.
    pub days_of_week: Vec<u8>,
    /// 1 to 31. For monthly rules; `None` means the day of the start.
    pub day_of_month: Option<u8>,
    /// Time of day, `HH:MM`. Default `09:00`.
    pub time: String,
    /// IANA zone of `time`. Default `UTC`.
    pub time_zone: String,
    /// First day, `YYYY-MM-DD`; rules with an interval or a count count from here. Default: the day the schedule is set.
    pub start_date: Option<String>,
    /// Last day, `YYYY-MM-DD`, inclusive.
    pub end_date: Option<String>,
    /// At most this many occurrences, counted from `start_date`.
    pub count: Option<u32>,
    /// An RFC 5545 rule such as `FREQ=DAILY;INTERVAL=2`, at most hourly; replaces the plain fields above but for `time`, `time_zone`,
    /// the dates and `count`. Its first possible occurrence is `start_date` at `time`; it is followed for at most 100,000 occurrences.
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
    /// The first occurrence strictly after `after`; `None` when there is none, or when a field is not valid (see [`Recurrence::check`]).
    ///
    /// A rule without `start_date` starts on the day of `after`; fix it with [`Recurrence::anchored`] so that intervals and counts hold.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let calendar = self.calendar(after).ok()?;
        match &self.rrule {
            Some(text) => self.next_by_rule(&calendar, &Rule::parse(text, calendar.start.to_datetime(calendar.time)).ok()?, after),
            None => self.next_by_fields(&calendar, after),
        }
    }

    /// The same rule with `start_date` filled in: the day of `now` in its zone.
    #[must_use]
    pub fn anchored(mut self, now: Timestamp) -> Self {
        if self.start_date.is_none()
            && let Some(zone) = zone(&self.time_zone)
        {
            self.start_date = Some(zone.to_datetime(now).date().to_string());
        }
        self
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`]; names the field and what it may be.
    pub fn check(&self) -> Result<()> {
        let calendar = self.calendar(Timestamp::UNIX_EPOCH)?;
        if !(1..=1000).contains(&self.interval) {
            return Err(Error::invalid("recurring_config.interval", "must be 1 to 1000"));
        }
        if self.days_of_week.len() > 7 || self.days_of_week.iter().any(|day| !(1..=7).contains(day)) {
            return Err(Error::invalid("recurring_config.days_of_week", "must hold days from 1 (Monday) to 7 (Sunday)"));
        }
        if self.day_of_month.is_some_and(|day| !(1..=31).contains(&day)) {
            return Err(Error::invalid("recurring_config.day_of_month", "must be 1 to 31"));
        }
        if self.count == Some(0) {
            return Err(Error::invalid("recurring_config.count", "must be at least 1"));
        }
        if self.start_date.is_some() && calendar.end.is_some_and(|end| end < calendar.start) {
            return Err(Error::invalid("recurring_config.end_date", "must not be before start_date"));
        }
        if let Some(text) = &self.rrule {
            Rule::parse(text, calendar.start.to_datetime(calendar.time))?;
        }
        Ok(())
    }

    fn calendar(&self, after: Timestamp) -> Result<Calendar> {
        let zone = zone(&self.time_zone).ok_or_else(|| {
            Error::invalid("recurring_config.time_zone", "must be a zone of the tz database, for example America/New_York")
        })?;
        let time = parse_time(&self.time).ok_or_else(|| Error::invalid("recurring_config.time", "must be a time of day such as 09:00"))?;
        let date = |text: &Option<String>, field| match text {
            Some(text) => parse_date(text)
                .filter(|date| (1970..=2999).contains(&date.year()))
                .map(Some)
                .ok_or_else(|| Error::invalid(field, "must be a day such as 2024-12-31, from 1970 to 2999")),
            None => Ok(None),
        };
        let start = date(&self.start_date, "recurring_config.start_date")?.unwrap_or_else(|| zone.to_datetime(after).date());
        let end = date(&self.end_date, "recurring_config.end_date")?;
        Ok(Calendar { zone, time, start, end })
    }

    fn next_by_rule(&self, calendar: &Calendar, rule: &Rule, after: Timestamp) -> Option<Timestamp> {
        let most = self.count.map_or(usize::MAX, |count| count as usize);
        for local in rule.locals().take(most) {
            let at = at_local(&calendar.zone, local)?;
            if calendar.end.is_some_and(|end| local.date() > end) || rule.until().is_some_and(|until| until.is_past(local, at)) {
                return None;
            }
            if at > after {
                return Some(at);
            }
        }
        None
    }

    /// Walks the periods (days, weeks or months, `interval` apart) from just before `after`; each has the same number of days in it, so
    /// how many occurrences came before is known without walking from the start.
    fn next_by_fields(&self, calendar: &Calendar, after: Timestamp) -> Option<Timestamp> {
        let in_period = self.days_per_period();
        let in_first = self.period(calendar.start, 0)?.iter().filter(|date| **date >= calendar.start).count() as u64;
        // Two days earlier than needed: a clock change may have moved an occurrence, at most by a day (Samoa, 2011).
        let from = calendar.zone.to_datetime(after).date().checked_sub(2.days()).ok()?;
        for number in self.period_of(calendar.start, from)..=u64::MAX {
            for (index, date) in self.period(calendar.start, number)?.into_iter().filter(|date| *date >= calendar.start).enumerate() {
                let before = if number == 0 { 0 } else { in_first + (number - 1) * in_period };
                let too_many = self.count.is_some_and(|count| before + index as u64 >= u64::from(count));
                if too_many || calendar.end.is_some_and(|end| date > end) {
                    return None;
                }
                let at = at_local(&calendar.zone, date.to_datetime(calendar.time))?;
                if at > after {
                    return Some(at);
                }
            }
        }
        None
    }

    fn days_per_period(&self) -> u64 {
        let mut days = self.days_of_week.clone();
        days.sort_unstable();
        days.dedup();
        if self.frequency == Frequency::Weekly { days.len().max(1) as u64 } else { 1 }
    }

    /// A period that does not begin after `date`, close to it.
    fn period_of(&self, start: Date, date: Date) -> u64 {
        let days = date.duration_since(start).as_hours() / 24;
        let length = match self.frequency {
            Frequency::Daily => 1,
            Frequency::Weekly => 7,
            Frequency::Monthly => 31,
        };
        // At least 31 days to a month keeps this below the true period; the walk from there is short, see `next_by_fields`.
        let periods = days / (length * i64::from(self.interval.max(1)));
        u64::try_from(periods - 1).unwrap_or(0)
    }

    /// The days of one period, in order. `None` beyond the calendar.
    fn period(&self, start: Date, number: u64) -> Option<Vec<Date>> {
        let step = i64::try_from(number).ok()?.checked_mul(i64::from(self.interval.max(1)))?;
        let plus_days = |date: Date, days: i64| date.checked_add(jiff::Span::new().try_days(days).ok()?).ok();
        match self.frequency {
            Frequency::Daily => Some(vec![plus_days(start, step)?]),
            Frequency::Weekly => {
                let weekday = i64::from(start.weekday().to_monday_zero_offset());
                let monday = plus_days(start, step.checked_mul(7)? - weekday)?;
                let mut days: Vec<i64> = self.days_of_week.iter().map(|day| i64::from(*day) - 1).collect();
                if days.is_empty() {
                    days.push(weekday);
                }
                days.sort_unstable();
                days.dedup();
                days.into_iter().map(|day| plus_days(monday, day)).collect()
            }
            Frequency::Monthly => {
                let months = (i64::from(start.year()) * 12 + i64::from(start.month()) - 1).checked_add(step)?;
                let first = Date::new(i16::try_from(months.div_euclid(12)).ok()?, i8::try_from(months.rem_euclid(12) + 1).ok()?, 1).ok()?;
                let wanted = self.day_of_month.and_then(|day| i8::try_from(day).ok()).unwrap_or_else(|| start.day());
                Some(vec![Date::new(first.year(), first.month(), wanted.clamp(1, first.days_in_month())).ok()?])
            }
        }
    }
}

/// What the fields mean, once read.
struct Calendar {
    zone: TimeZone,
    time: Time,
    start: Date,
    end: Option<Date>,
}
