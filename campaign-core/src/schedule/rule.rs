//! RFC 5545 rules through the `rrule` crate. The only file in which its calendar types appear.
//!
//! The rule is unrolled on a clock without a zone (the crate is told UTC), and each local time is then placed in the zone the way
//! every other local time is: so an RRULE and the plain fields meet the same clock changes in the same way.

use super::local::{parse_date, parse_seconds};
use crate::error::{Error, Result};
use jiff::civil::{Date, DateTime, Time};
use jiff::{Timestamp, tz::TimeZone};
use rrule::RRuleSet;

/// A rule that has been read, bound to its first local time.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    set: RRuleSet,
    until: Option<Until>,
}

/// The end of a rule. Taken out of its text, because the crate would read it on the wrong clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Until {
    Day(Date),
    Local(DateTime),
    Moment(Timestamp),
}

impl Until {
    /// Whether an occurrence lies after the end; the end itself is still in.
    pub(crate) fn is_past(self, local: DateTime, at: Timestamp) -> bool {
        match self {
            Self::Day(day) => local.date() > day,
            Self::Local(end) => local > end,
            Self::Moment(end) => at > end,
        }
    }
}

/// No rule is followed further than so many occurrences: a bound on the work that a text can ask for.
const MOST: usize = 100_000;

impl Rule {
    /// Reads a rule whose first possible occurrence is `first`.
    pub(crate) fn parse(text: &str, first: DateTime) -> Result<Self> {
        let invalid = |why: String| Error::invalid("recurring_config.rrule", why);
        let text = text.strip_prefix("RRULE:").unwrap_or(text).to_ascii_uppercase();
        if text.len() > 500 || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"=;,+-".contains(&byte)) {
            return Err(invalid("is one RFC 5545 rule of at most 500 characters, such as FREQ=WEEKLY;BYDAY=MO,WE".to_owned()));
        }
        let (mut kept, mut until, mut frequency) = (Vec::new(), None, "");
        for part in text.split(';').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("UNTIL", end)) => {
                    until = Some(
                        parse_until(end).ok_or_else(|| invalid("has an UNTIL that is not like 20241231 or 20241231T235959Z".to_owned()))?,
                    );
                }
                Some(("FREQ", name)) => {
                    frequency = name;
                    kept.push(part);
                }
                _ => kept.push(part),
            }
        }
        if !["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY"].contains(&frequency) {
            return Err(invalid("needs a FREQ of YEARLY, MONTHLY, WEEKLY, DAILY or HOURLY".to_owned()));
        }
        let source = format!("DTSTART:{}Z\nRRULE:{}", first.strftime("%Y%m%dT%H%M%S"), kept.join(";"));
        let set: RRuleSet = source
            .parse()
            .map_err(|error: rrule::RRuleError| invalid("cannot be read as an RFC 5545 rule".to_owned()).with_source(error))?;
        Ok(Self { set: set.limit(), until })
    }

    /// Its local times in order, at most [`MOST`].
    pub(crate) fn locals(&self) -> impl Iterator<Item = DateTime> + '_ {
        let to_local = |seconds: i64| Timestamp::from_second(seconds).ok().map(|at| TimeZone::UTC.to_datetime(at));
        self.set.into_iter().take(MOST).map_while(move |at| to_local(at.timestamp()))
    }

    /// The end of the rule.
    pub(crate) fn until(&self) -> Option<Until> {
        self.until
    }
}

fn parse_until(text: &str) -> Option<Until> {
    if !text.is_ascii() || text.len() < 8 {
        return None;
    }
    let day = parse_date(&format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..8]))?;
    let Some(time) = text[8..].strip_prefix('T') else {
        return text[8..].is_empty().then_some(Until::Day(day));
    };
    let digits = time.strip_suffix('Z').unwrap_or(time);
    if digits.len() != 6 {
        return None;
    }
    let seconds = parse_seconds(&format!("{}:{}:{}", &digits[..2], &digits[2..4], &digits[4..])).filter(|seconds| *seconds < 86_400)?;
    let local = day.to_datetime(Time::midnight()).checked_add(jiff::SignedDuration::from_secs(i64::from(seconds))).ok()?;
    if time.len() == 7 { TimeZone::UTC.to_timestamp(local).ok().map(Until::Moment) } else { Some(Until::Local(local)) }
}
