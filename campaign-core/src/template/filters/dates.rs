//! `date`, `time` and `datetime`: moments in words, with the directives of strftime and English names.

use super::{fault, text};
use crate::schedule::look_up;
use jiff::civil::{Date, Time};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};
use minijinja::Error;
use minijinja::value::Value;
use std::borrow::Cow;
use std::sync::LazyLock;

/// The tz database within the binary: rendering reads no files.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Longest format and longest text that is looked at.
const MAX_FORMAT: usize = 100;
const MAX_TEXT: usize = 80;

/// `date("%d %B %Y", "America/New_York")`. Default format `%-d %B %Y`.
pub(super) fn date(value: &Value, format: Option<Cow<'_, str>>, zone: Option<Cow<'_, str>>) -> Result<String, Error> {
    write(value, format.as_deref().unwrap_or("%-d %B %Y"), zone.as_deref())
}

/// `time("%I:%M %p")`. Default format `%H:%M`.
pub(super) fn time(value: &Value, format: Option<Cow<'_, str>>, zone: Option<Cow<'_, str>>) -> Result<String, Error> {
    write(value, format.as_deref().unwrap_or("%H:%M"), zone.as_deref())
}

/// `datetime("%d %B, %H:%M")`. Default format `%-d %B %Y, %H:%M`.
pub(super) fn datetime(value: &Value, format: Option<Cow<'_, str>>, zone: Option<Cow<'_, str>>) -> Result<String, Error> {
    write(value, format.as_deref().unwrap_or("%-d %B %Y, %H:%M"), zone.as_deref())
}

/// What is not a date, or lacks what the format asks for (the hour of a plain date), stays as it is.
///
/// `zone` moves a value that carries an offset (`2024-02-15T09:00:00Z`) to that zone's clock; a value without one is local already.
fn write(value: &Value, format: &str, zone: Option<&str>) -> Result<String, Error> {
    // A format that cannot print a complete moment is wrong for every value.
    let sample = || Zoned::new(Timestamp::UNIX_EPOCH, TimeZone::UTC);
    let zone = zone
        .map(|name| look_up(|| ZONES.get(name)).map_err(|_| fault("the time zone is not known; write it like `Europe/Madrid`")))
        .transpose()?;
    if format.len() > MAX_FORMAT {
        return Err(fault(format!("the format is longer than {MAX_FORMAT} bytes")));
    }
    let text = text(value);
    let parsed = if text.len() > MAX_TEXT { None } else { read(text.trim(), zone) };
    match parsed.and_then(|moment| moment.to_string(format).ok()) {
        Some(words) => Ok(words),
        None if BrokenDownTime::from(&sample()).to_string(format).is_err() => {
            Err(fault("the format is not one of strftime's, like `%d %B %Y`"))
        }
        None => Ok(text.into_owned()),
    }
}

fn read(text: &str, zone: Option<TimeZone>) -> Option<BrokenDownTime> {
    if let Ok(pieces) = Pieces::parse(text) {
        return match (pieces.time(), pieces.to_numeric_offset()) {
            (None, _) => Some(BrokenDownTime::from(pieces.date())),
            (Some(time), None) => Some(BrokenDownTime::from(pieces.date().to_datetime(time))),
            (Some(time), Some(offset)) => {
                let instant = offset.to_timestamp(pieces.date().to_datetime(time)).ok()?;
                Some(BrokenDownTime::from(&instant.to_zoned(zone.unwrap_or_else(|| TimeZone::fixed(offset)))))
            }
        };
    }
    if let Some(time) = read_time(text) {
        return Some(BrokenDownTime::from(time));
    }
    let (date, rest) = read_date(text)?;
    let rest = rest.trim_start_matches([',', ' ']);
    let rest = rest.strip_prefix("at ").unwrap_or(rest).trim();
    if rest.is_empty() {
        return Some(BrokenDownTime::from(date));
    }
    Some(BrokenDownTime::from(date.to_datetime(read_time(rest)?)))
}

/// Dates as people and spreadsheets write them.
fn read_date(text: &str) -> Option<(Date, &str)> {
    const FORMATS: [&str; 9] =
        ["%Y/%m/%d", "%d.%m.%Y", "%B %d, %Y", "%B %d %Y", "%d %B %Y", "%b %d, %Y", "%b %d %Y", "%d %b %Y", "%d-%b-%Y"];
    let with = |format: &str| {
        let (parsed, used) = BrokenDownTime::parse_prefix(format, text).ok()?;
        let (date, rest) = (parsed.to_date().ok()?, text.get(used..)?);
        // Without four digits a year is a guess, and a number that goes on was something else.
        (date.year() >= 1000 && !rest.starts_with(char::is_alphanumeric)).then_some((date, rest))
    };
    if let Some(found) = FORMATS.into_iter().find_map(with) {
        return Some(found);
    }
    // 03/04/2024 is the third of April or the fourth of March; only what can be read in one way is read.
    match (with("%m/%d/%Y"), with("%d/%m/%Y")) {
        (Some(month_first), Some(day_first)) => (month_first.0 == day_first.0).then_some(month_first),
        (one, other) => one.or(other),
    }
}

fn read_time(text: &str) -> Option<Time> {
    const FORMATS: [&str; 6] = ["%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M%p", "%I %p", "%I%p"];
    FORMATS.into_iter().find_map(|format| BrokenDownTime::parse(format, text).ok()?.to_time().ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn common_forms_are_read() {
        for (given, expected) in [
            ("2024-02-15", "Thursday 15 February 2024"),
            ("2024-02-15T09:00:00Z", "Thursday 15 February 2024"),
            ("2024-02-15 09:00", "Thursday 15 February 2024"),
            ("2024/02/15", "Thursday 15 February 2024"),
            ("15.02.2024", "Thursday 15 February 2024"),
            ("15.02.2024 14:30", "Thursday 15 February 2024"),
            ("02/15/2024", "Thursday 15 February 2024"),
            ("15/02/2024", "Thursday 15 February 2024"),
            ("February 15, 2024 at 2:30 PM", "Thursday 15 February 2024"),
            ("15 Feb 2024", "Thursday 15 February 2024"),
            ("04/04/2024", "Thursday 04 April 2024"),
            // Either month could be meant, so nothing is claimed.
            ("03/04/2024", "03/04/2024"),
            ("next Tuesday", "next Tuesday"),
            ("2024-02-30", "2024-02-30"),
            ("15/02/24", "15/02/24"),
            ("", ""),
        ] {
            assert_eq!(date(&Value::from(given), Some("%A %d %B %Y".into()), None).unwrap(), expected, "{given}");
        }
    }

    #[test]
    fn times_and_zones() {
        for (given, zone, expected) in [
            ("2024-02-15T09:00:00Z", None, "09:00 AM"),
            ("2024-02-15T09:00:00Z", Some("America/New_York"), "04:00 AM"),
            ("2024-07-15T09:00:00+02:00", Some("America/New_York"), "03:00 AM"),
            ("2024-02-15T09:00:00", Some("America/New_York"), "09:00 AM"),
            ("14:30", None, "02:30 PM"),
            ("2:30 pm", None, "02:30 PM"),
            ("2024-02-15", None, "2024-02-15"),
        ] {
            assert_eq!(time(&Value::from(given), Some("%I:%M %p".into()), zone.map(Cow::Borrowed)).unwrap(), expected, "{given}");
        }
        assert!(time(&Value::from("14:30"), None, Some("Mars/Olympus".into())).is_err());
        assert!(time(&Value::from("14:30"), Some("%!".into()), None).is_err());
    }
}
