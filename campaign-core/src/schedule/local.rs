//! Local clocks: texts of times and dates, and the moment at which a local clock shows them.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

/// Read by every lookup of a zone, so that [`pause_zone_lookups`] can wait for them.
static LOOKUPS: RwLock<()> = RwLock::new(());

/// Waits until no thread is looking up a time zone, and lets none begin until the guard is dropped.
///
/// For a binding whose process can be forked: hold it around the fork, in parent and child. The tz database has a lock of its own for
/// the whole process; a child that is forked while a thread of its parent has that lock can never look up a zone. A thread must
/// not look up zones itself while it holds the guard.
pub fn pause_zone_lookups() -> RwLockWriteGuard<'static, ()> {
    LOOKUPS.write().unwrap_or_else(PoisonError::into_inner)
}

/// What a lookup in a tz database gives, when nobody has paused them.
pub(crate) fn look_up<T>(lookup: impl FnOnce() -> T) -> T {
    let _turn = LOOKUPS.read().unwrap_or_else(PoisonError::into_inner);
    lookup()
}

/// The zone of this name; `None` when the tz database does not have it (or has it as "unknown").
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    look_up(|| TimeZone::get(name)).ok().filter(|zone| !zone.is_unknown())
}

/// Seconds since midnight of `HH:MM` or `HH:MM:SS`; `24:00` is 86,400.
pub(crate) fn parse_seconds(text: &str) -> Option<u32> {
    let mut parts = text.split(':');
    let mut part = |digits: std::ops::RangeInclusive<usize>| -> Option<u32> {
        let part = parts.next()?;
        (digits.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse().ok())?
    };
    let (hour, minute) = (part(1..=2)?, part(2..=2)?);
    let second = if text.matches(':').count() == 2 { part(2..=2)? } else { 0 };
    let seconds = hour * 3600 + minute * 60 + second;
    (parts.next().is_none() && minute < 60 && second < 60 && seconds <= 86_400).then_some(seconds)
}

/// The time of day of `HH:MM` or `HH:MM:SS`, below `24:00`.
pub(crate) fn parse_time(text: &str) -> Option<Time> {
    let seconds = parse_seconds(text)?;
    let part = |value: u32| i8::try_from(value).ok();
    Time::new(part(seconds / 3600)?, part(seconds / 60 % 60)?, part(seconds % 60)?, 0).ok()
}

/// The day of `YYYY-MM-DD`, written exactly so.
pub(crate) fn parse_date(text: &str) -> Option<Date> {
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() });
    if !shape {
        return None;
    }
    Date::new(text[..4].parse().ok()?, text[5..7].parse().ok()?, text[8..].parse().ok()?).ok()
}

/// When the clock of `zone` shows `local`. A time that a clock change leaves out becomes the first moment after the change; of
/// a time that comes twice it is the first. `None` only beyond the years that timestamps reach.
pub(crate) fn at_local(zone: &TimeZone, local: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => offset.to_timestamp(local).ok(),
        AmbiguousOffset::Gap { before, after } => {
            // Read on the clock after the change, the missing time lies before the change: the change is the next one from there
            // that moves the clock. A transition that changes only a name is passed over.
            let earlier = after.to_timestamp(local).ok()?;
            zone.following(earlier)
                .map(|change| change.timestamp())
                .find(|at| zone.to_offset(*at) == after)
                .or_else(|| before.to_timestamp(local).ok())
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn times_of_day() {
        for (text, want) in [
            ("09:00", Some(32_400)),
            ("9:00", Some(32_400)),
            ("23:59:59", Some(86_399)),
            ("24:00", Some(86_400)),
            ("24:00:00", Some(86_400)),
            ("00:00", Some(0)),
            ("24:01", None),
            ("09:60", None),
            ("09:00:60", None),
            ("9", None),
            ("09:00:00:00", None),
            ("+9:00", None),
            ("09:0", None),
            ("", None),
            ("０9:00", None),
        ] {
            assert_eq!(parse_seconds(text), want, "{text:?}");
        }
        assert_eq!(parse_time("24:00"), None);
    }

    #[test]
    fn dates() {
        for (text, ok) in [("2024-02-29", true), ("2023-02-29", false), ("2024-2-29", false), ("2024-02-2é", false), ("+024-01-01", false)]
        {
            assert_eq!(parse_date(text).is_some(), ok, "{text}");
        }
    }

    #[test]
    fn gaps_move_to_the_change_and_folds_to_the_first() {
        for (name, local, utc) in [
            ("America/New_York", "2024-03-10T02:30:00", "2024-03-10T07:00:00Z"),
            ("America/New_York", "2024-11-03T01:30:00", "2024-11-03T05:30:00Z"),
            ("Europe/Berlin", "2024-03-31T02:00:00", "2024-03-31T01:00:00Z"),
            // Lord Howe moves by half an hour, Samoa left out a whole day.
            ("Australia/Lord_Howe", "2024-10-06T02:15:00", "2024-10-05T15:30:00Z"),
            ("Pacific/Apia", "2011-12-30T09:00:00", "2011-12-30T10:00:00Z"),
            ("Africa/Casablanca", "2024-04-14T02:10:00", "2024-04-14T02:00:00Z"),
        ] {
            let moment = at_local(&zone(name).unwrap(), local.parse().unwrap()).unwrap();
            assert_eq!(moment.to_string(), utc, "{name} {local}");
        }
    }

    #[test]
    fn unknown_zones() {
        for name in ["", "Mars/Phobos", "Etc/Unknown", "America/New_York|Europe/Berlin", "../etc/passwd"] {
            assert!(zone(name).is_none(), "{name}");
        }
    }
}
