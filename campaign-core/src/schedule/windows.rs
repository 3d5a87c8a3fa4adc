//! Calling windows.

use super::local::{parse_date, parse_seconds, zone};
use crate::contact::ZoneKey;
use crate::error::{Error, Result};
use jiff::Timestamp;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

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

impl Weekday {
    /// Monday to Sunday.
    pub const ALL: [Weekday; 7] =
        [Self::Monday, Self::Tuesday, Self::Wednesday, Self::Thursday, Self::Friday, Self::Saturday, Self::Sunday];
    /// Monday to Friday.
    pub const WORKDAYS: [Weekday; 5] = [Self::Monday, Self::Tuesday, Self::Wednesday, Self::Thursday, Self::Friday];
}

/// Open from `start` to `end` on `days`. An end before the start means the window runs across midnight into the next day.
///
/// `start` and `end` must differ: equal times could mean the whole day or nothing, and a wrong guess would ring people at night.
/// The whole day is `00:00` to `24:00`.
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

impl TimeWindow {
    /// Every day from `start` to `end`.
    pub fn new(start: &str, end: &str) -> Self {
        Self { start: start.to_owned(), end: end.to_owned(), days: Vec::new() }
    }

    /// The same hours on these days only.
    #[must_use]
    pub fn on(mut self, days: &[Weekday]) -> Self {
        self.days = days.to_vec();
        self
    }
}

/// A day on which nobody is contacted, in the zone the windows are read in.
///
/// The whole day is closed, from midnight to midnight: a window that began the evening before ends at that midnight, and a window that
/// would have begun on the day does not take place at all, not even its part after the next midnight.
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
///
/// A moment is open in a zone when the local clock there shows a time inside a window. So a window never runs past its end by the wall
/// clock, whatever the clock does: an hour that is left out is left out of the window, and an hour that comes twice counts twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct CallingWindows {
    /// Open when any of these is, at most 100. Empty: always open, but for holidays.
    pub allowed: Vec<TimeWindow>,
    /// Whose clock.
    pub zone: WindowZone,
    /// Closed days, at most 1,000.
    pub holidays: Vec<Holiday>,
    /// Do not fall back to the campaign's zone: a contact whose zone is not known is not contacted.
    pub require_known_zone: bool,
}

impl CallingWindows {
    /// Open in these windows, on the contact's clock.
    pub fn of(allowed: impl IntoIterator<Item = TimeWindow>) -> Self {
        Self { allowed: allowed.into_iter().collect(), ..Self::default() }
    }

    /// With a closed day: `YYYY-MM-DD`, or `MM-DD` for every year.
    #[must_use]
    pub fn closed_on(mut self, date: &str, name: &str) -> Self {
        self.holidays.push(Holiday { date: date.to_owned(), name: Some(name.to_owned()) });
        self
    }
}

/// What the windows say about one group of zones at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZoneClock {
    /// Open in every zone, and stays so until the given moment (exclusive). `None`: for ever.
    Open {
        /// When it closes. Where it does not close within 400 days, a moment beyond them at which to ask again.
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

const DAY: i64 = 86_400;
/// How far ahead is looked: at least 400 days, counted in whole days of UTC so that the answer does not depend on when it was kept.
const SEARCH_DAYS: i64 = 401;
/// Groups of zones whose answers are kept. Real lists have some hundreds; beyond this the memory starts afresh.
const KEPT_GROUPS: usize = 4096;

/// Windows ready to be asked, with the zones already looked up. Cheap to clone; clones share what they remember.
///
/// An answer is remembered for its group of zones until the moment at which it changes, so that asking again costs one look-up.
#[derive(Debug, Clone)]
pub struct CompiledWindows(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rules: Rules,
    zone: WindowZone,
    require_known_zone: bool,
    campaign_zone: TimeZone,
    answers: RwLock<HashMap<ZoneKey, Answer>>,
}

/// The answer for one group of zones, good for the seconds `from..to`. `zones` is `None` when one of them is not known.
#[derive(Debug, Clone)]
struct Answer {
    zones: Option<Arc<[TimeZone]>>,
    from: i64,
    to: i64,
    clock: ZoneClock,
}

impl CompiledWindows {
    /// Checks and compiles.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for a time, date or zone that cannot be read; names the field, and which entry of it (from 1).
    pub fn new(windows: &CallingWindows, campaign_zone: &str) -> Result<Self> {
        let campaign_zone = zone(campaign_zone)
            .ok_or_else(|| Error::invalid("time_zone", "must be a zone of the tz database, for example America/New_York"))?;
        Ok(Self(Arc::new(Inner {
            rules: Rules::new(windows)?,
            zone: windows.zone,
            require_known_zone: windows.require_known_zone,
            campaign_zone,
            answers: RwLock::default(),
        })))
    }

    /// Whether people in these zones may be contacted at `now`. Exact to the second.
    pub fn at(&self, zones: &ZoneKey, now: Timestamp) -> ZoneClock {
        let inner = &*self.0;
        let second = now.as_nanosecond().div_euclid(1_000_000_000) as i64;
        let campaign = ZoneKey::unknown();
        // Read on the campaign's clock, all contacts are one group.
        let key = if inner.zone == WindowZone::Campaign && !inner.require_known_zone { &campaign } else { zones };
        let known = match inner.answers.read().get(key) {
            Some(answer) if (answer.from..answer.to).contains(&second) => return answer.clock,
            Some(answer) => Some(answer.zones.clone()),
            None => None,
        };
        let zones = known.unwrap_or_else(|| inner.zones(key));
        let (clock, to) = match &zones {
            Some(zones) => inner.rules.clock(zones, second),
            None => (ZoneClock::Unknown, i64::MAX),
        };
        let mut answers = inner.answers.write();
        if answers.len() >= KEPT_GROUPS && !answers.contains_key(key) {
            answers.clear();
        }
        answers.insert(key.clone(), Answer { zones, from: second, to, clock });
        clock
    }

    /// Whether people in these zones may be contacted at `now`.
    pub fn is_open(&self, zones: &ZoneKey, now: Timestamp) -> bool {
        matches!(self.at(zones, now), ZoneClock::Open { .. })
    }

    /// The first moment from `at_or_after` on at which all zones are open; `None` when there is none within 400 days or a zone is not known.
    pub fn next_open(&self, zones: &ZoneKey, at_or_after: Timestamp) -> Option<Timestamp> {
        match self.at(zones, at_or_after) {
            ZoneClock::Open { .. } => Some(at_or_after),
            ZoneClock::Closed { opens_at } => opens_at,
            ZoneClock::Unknown => None,
        }
    }

    /// The name of the holiday that it is at `now` in one of the zones; empty when it has none. `None` when it is no holiday.
    pub fn holiday(&self, zones: &ZoneKey, now: Timestamp) -> Option<&str> {
        let zones = self.0.zones(zones)?;
        zones.iter().find_map(|zone| self.0.rules.holiday(days_since_epoch(zone.to_datetime(now).date())))
    }
}

impl Inner {
    /// The zones that decide for a group; `None` when one is not known, or none is and one is required.
    fn zones(&self, key: &ZoneKey) -> Option<Arc<[TimeZone]>> {
        if key.is_unknown() {
            return (!self.require_known_zone).then(|| Arc::from([self.campaign_zone.clone()]));
        }
        match self.zone {
            WindowZone::Campaign if !self.require_known_zone => Some(Arc::from([self.campaign_zone.clone()])),
            WindowZone::Campaign => key.names().all(|name| zone(name).is_some()).then(|| Arc::from([self.campaign_zone.clone()])),
            WindowZone::Contact => key.names().map(zone).collect::<Option<Vec<_>>>().map(Arc::from),
        }
    }
}

/// The open parts of one local day, as seconds since midnight: sorted, apart from each other, end exclusive.
type DayParts = Vec<(i64, i64)>;

/// The windows as a weekly pattern and a calendar of closed days, without any zone.
#[derive(Debug)]
struct Rules {
    /// Per weekday from Monday: without and with what the evening before brings along.
    week: [[DayParts; 2]; 7],
    /// Closed days by days since 1970-01-01, with their names.
    dates: HashMap<i64, String>,
    /// Days closed every year, by month and day.
    yearly: HashMap<(i8, i8), String>,
    /// Nothing ever closes.
    always: bool,
}

impl Rules {
    fn new(windows: &CallingWindows) -> Result<Self> {
        let mut own: [DayParts; 7] = Default::default();
        let mut carried: [DayParts; 7] = Default::default();
        if windows.allowed.len() > 100 {
            return Err(Error::invalid("windows.allowed", "must have at most 100 entries"));
        }
        for (index, window) in windows.allowed.iter().enumerate() {
            let invalid = |field, message: &str| Error::invalid(field, message).with("entry", index + 1);
            let start = parse_seconds(&window.start)
                .filter(|start| i64::from(*start) < DAY)
                .ok_or_else(|| invalid("windows.allowed.start", "must be a time of day such as 09:00"))?;
            let end = parse_seconds(&window.end)
                .ok_or_else(|| invalid("windows.allowed.end", "must be a time of day such as 17:00, or 24:00"))?;
            if start == end {
                return Err(invalid("windows.allowed", "start and end are the same; write 00:00 to 24:00 for the whole day"));
            }
            let (start, end) = (i64::from(start), i64::from(end));
            let end = if end < start { end + DAY } else { end };
            let days: &[Weekday] = if window.days.is_empty() { &Weekday::ALL } else { &window.days };
            for day in days {
                own[*day as usize].push((start, end.min(DAY)));
                if end > DAY {
                    carried[(*day as usize + 1) % 7].push((0, end - DAY));
                }
            }
        }
        if windows.allowed.is_empty() {
            own.fill(vec![(0, DAY)]);
        }
        let week: [[DayParts; 2]; 7] = std::array::from_fn(|day| {
            let both = own[day].iter().chain(&carried[day]).copied().collect();
            [merged(own[day].clone()), merged(both)]
        });
        let (dates, yearly) = holidays(&windows.holidays)?;
        let always = dates.is_empty() && yearly.is_empty() && week.iter().all(|day| day[1] == [(0, DAY)]);
        Ok(Self { week, dates, yearly, always })
    }

    fn holiday(&self, day: i64) -> Option<&str> {
        if let Some(name) = self.dates.get(&day) {
            return Some(name);
        }
        if self.yearly.is_empty() {
            return None;
        }
        let date = date(1970, 1, 1).checked_add(jiff::Span::new().try_days(day).ok()?).ok()?;
        self.yearly.get(&(date.month(), date.day())).map(String::as_str)
    }

    /// The open parts of a local day.
    fn day(&self, day: i64) -> &[(i64, i64)] {
        if self.holiday(day).is_some() {
            return &[];
        }
        // 1970-01-01 was a Thursday.
        let weekday = (day + 3).rem_euclid(7) as usize;
        &self.week[weekday][usize::from(self.holiday(day - 1).is_none())]
    }

    /// Whether it is open at second `from` in the zone, and until when that stays so, at most until `limit`.
    ///
    /// Time is walked in stretches in which the zone's offset does not change; inside one, the local clock is plain arithmetic. So
    /// gaps and folds need no case of their own.
    fn span(&self, zone: &TimeZone, from: i64, limit: i64) -> (bool, i64) {
        let (mut at, mut first) = (from, None);
        let (mut offset, mut stretch_ends) = stretch(zone, at);
        while at < limit {
            if at >= stretch_ends {
                (offset, stretch_ends) = stretch(zone, at);
            }
            let (day, second) = ((at + offset).div_euclid(DAY), (at + offset).rem_euclid(DAY));
            let (open, until) = match self.day(day).iter().find(|(_, end)| *end > second) {
                Some((start, end)) if *start <= second => (true, *end),
                Some((start, _)) => (false, *start),
                None => (false, DAY),
            };
            if *first.get_or_insert(open) != open {
                return (!open, at);
            }
            at = (day * DAY + until - offset).min(stretch_ends);
        }
        (first.unwrap_or(false), limit)
    }

    /// The answer for these zones, and until when it may be kept.
    fn clock(&self, zones: &[TimeZone], now: i64) -> (ZoneClock, i64) {
        if self.always {
            return (ZoneClock::Open { until: None }, i64::MAX);
        }
        let tomorrow = (now.div_euclid(DAY) + 1) * DAY;
        let limit = (tomorrow + (SEARCH_DAYS - 1) * DAY).min(Timestamp::MAX.as_second());
        let moment = |second| Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
        let mut at = now;
        while at < limit {
            let (mut closes, mut opens) = (limit, None);
            for zone in zones {
                let (open, end) = self.span(zone, at, limit);
                if open {
                    closes = closes.min(end);
                } else {
                    opens = opens.max(Some(end));
                }
            }
            match opens {
                Some(later) => at = later,
                None if at == now => {
                    return (ZoneClock::Open { until: Some(moment(closes)) }, if closes < limit { closes } else { tomorrow });
                }
                None => return (ZoneClock::Closed { opens_at: Some(moment(at)) }, at),
            }
        }
        (ZoneClock::Closed { opens_at: None }, tomorrow)
    }
}

/// The offset of the zone from UTC at a second, and when it next may change.
fn stretch(zone: &TimeZone, second: i64) -> (i64, i64) {
    let at = Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
    let ends = zone.following(at).next().map_or(i64::MAX, |change| change.timestamp().as_second());
    (i64::from(zone.to_offset(at).seconds()), ends)
}

fn days_since_epoch(day: Date) -> i64 {
    day.duration_since(date(1970, 1, 1)).as_secs().div_euclid(DAY)
}

fn merged(mut parts: DayParts) -> DayParts {
    parts.sort_unstable();
    let mut apart: DayParts = Vec::with_capacity(parts.len());
    for (start, end) in parts {
        match apart.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => apart.push((start, end)),
        }
    }
    apart
}

type Calendar = (HashMap<i64, String>, HashMap<(i8, i8), String>);

fn holidays(holidays: &[Holiday]) -> Result<Calendar> {
    if holidays.len() > 1000 {
        return Err(Error::invalid("windows.holidays", "must have at most 1000 entries"));
    }
    let (mut dates, mut yearly) = (HashMap::new(), HashMap::new());
    for (index, holiday) in holidays.iter().enumerate() {
        let name = holiday.name.clone().unwrap_or_default();
        if let Some(date) = parse_date(&holiday.date) {
            dates.insert(days_since_epoch(date), name);
        } else if let Some(date) = parse_date(&format!("2000-{}", holiday.date)) {
            // 2000 was a leap year, so that 02-29 can be named.
            yearly.insert((date.month(), date.day()), name);
        } else {
            return Err(Error::invalid("windows.holidays.date", "must be a day such as 2024-12-25, or 12-25 for every year")
                .with("entry", index + 1));
        }
    }
    Ok((dates, yearly))
}
