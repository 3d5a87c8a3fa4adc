//! Calling windows: examples at clock changes and holidays, and an independent oracle that walks minute by minute.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use campaign_core::contact::ZoneKey;
use campaign_core::schedule::{CallingWindows, CompiledWindows, Holiday, TimeWindow, Weekday, WindowZone, ZoneClock};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn show(clock: ZoneClock) -> String {
    let moment = |at: Option<Timestamp>| at.map_or("ever".to_owned(), |at| at.to_string());
    match clock {
        ZoneClock::Open { until } => format!("open until {}", moment(until)),
        ZoneClock::Closed { opens_at } => format!("closed until {}", moment(opens_at)),
        ZoneClock::Unknown => "unknown".to_owned(),
    }
}

/// Windows as `days start-end`, holidays as dates; zones joined by `|`.
fn check(windows: &CallingWindows, zones: &str, cases: &[(&str, &str)]) {
    let compiled = CompiledWindows::new(windows, "Europe/Berlin").unwrap();
    let key = ZoneKey::from_names(zones.split('|'));
    // Twice and in both directions, so that a remembered answer is tried as well.
    for (now, want) in cases.iter().chain(cases.iter().rev()).chain(cases) {
        assert_eq!(&show(compiled.at(&key, at(now))), want, "{zones} at {now}");
    }
}

fn office() -> CallingWindows {
    CallingWindows::of([TimeWindow::new("09:00", "17:00").on(&Weekday::WORKDAYS)])
}

#[test]
fn office_hours_to_the_second() {
    check(
        &office(),
        "America/New_York",
        &[
            ("2024-02-15T13:59:59.999Z", "closed until 2024-02-15T14:00:00Z"),
            ("2024-02-15T14:00:00Z", "open until 2024-02-15T22:00:00Z"),
            ("2024-02-15T21:59:59.999Z", "open until 2024-02-15T22:00:00Z"),
            ("2024-02-15T22:00:00Z", "closed until 2024-02-16T14:00:00Z"),
            ("2024-02-16T22:00:00Z", "closed until 2024-02-19T14:00:00Z"),
            // The clock moves forward on Sunday the 10th.
            ("2024-03-08T23:00:00Z", "closed until 2024-03-11T13:00:00Z"),
        ],
    );
}

#[test]
fn several_zones_must_all_be_open() {
    check(
        &office(),
        "America/Los_Angeles|America/New_York",
        &[
            ("2024-02-15T14:00:00Z", "closed until 2024-02-15T17:00:00Z"),
            ("2024-02-15T17:00:00Z", "open until 2024-02-15T22:00:00Z"),
            ("2024-02-15T22:00:00Z", "closed until 2024-02-16T17:00:00Z"),
        ],
    );
    // Never open together: nine hours apart, one hour a day.
    let narrow = CallingWindows::of([TimeWindow::new("09:00", "10:00")]);
    check(&narrow, "Asia/Tokyo|Europe/London", &[("2024-02-15T00:30:00Z", "closed until ever")]);
    check(&office(), "America/New_York|Mars/Phobos", &[("2024-02-15T15:00:00Z", "unknown")]);
}

#[test]
fn several_a_day_touching_and_across_midnight() {
    let windows = CallingWindows::of([
        TimeWindow::new("09:00", "12:00"),
        TimeWindow::new("12:00", "13:00"),
        TimeWindow::new("22:00", "02:00").on(&[Weekday::Friday]),
        TimeWindow::new("18:00", "24:00").on(&[Weekday::Saturday]),
    ]);
    check(
        &windows,
        "UTC",
        &[
            ("2024-02-15T09:00:00Z", "open until 2024-02-15T13:00:00Z"),
            ("2024-02-16T13:00:00Z", "closed until 2024-02-16T22:00:00Z"),
            ("2024-02-16T23:30:00Z", "open until 2024-02-17T02:00:00Z"),
            ("2024-02-17T02:00:00Z", "closed until 2024-02-17T09:00:00Z"),
            ("2024-02-17T20:00:00Z", "open until 2024-02-18T00:00:00Z"),
            ("2024-02-18T23:00:00Z", "closed until 2024-02-19T09:00:00Z"),
        ],
    );
    let to_midnight = CallingWindows::of([TimeWindow::new("18:00", "00:00")]);
    check(&to_midnight, "UTC", &[("2024-02-15T23:59:59Z", "open until 2024-02-16T00:00:00Z")]);
}

#[test]
fn clock_changes_follow_the_wall_clock() {
    let night = CallingWindows::of([TimeWindow::new("01:00", "02:30")]);
    check(
        &night,
        "America/New_York",
        &[
            // 02:00 to 03:00 does not exist: the window ends when the clock jumps.
            ("2024-03-10T06:10:00Z", "open until 2024-03-10T07:00:00Z"),
            // 01:00 to 02:00 comes twice: the window lasts an hour longer.
            ("2024-11-03T05:10:00Z", "open until 2024-11-03T07:30:00Z"),
        ],
    );
    let inside_gap = CallingWindows::of([TimeWindow::new("02:10", "02:50")]);
    check(&inside_gap, "America/New_York", &[("2024-03-10T00:00:00Z", "closed until 2024-03-11T06:10:00Z")]);
    let inside_fold = CallingWindows::of([TimeWindow::new("01:10", "01:40")]);
    check(
        &inside_fold,
        "America/New_York",
        &[
            ("2024-11-03T05:10:00Z", "open until 2024-11-03T05:40:00Z"),
            ("2024-11-03T05:40:00Z", "closed until 2024-11-03T06:10:00Z"),
            ("2024-11-03T06:10:00Z", "open until 2024-11-03T06:40:00Z"),
            ("2024-11-03T06:40:00Z", "closed until 2024-11-04T06:10:00Z"),
        ],
    );
}

#[test]
fn holidays_close_the_whole_day_and_the_night_that_begins_on_it() {
    let windows =
        CallingWindows::of([TimeWindow::new("22:00", "06:00")]).closed_on("2024-12-25", "Christmas").closed_on("01-01", "New Year");
    check(
        &windows,
        "UTC",
        &[
            // The night before ends at midnight.
            ("2024-12-24T23:00:00Z", "open until 2024-12-25T00:00:00Z"),
            // The night that would have begun on the 25th does not take place.
            ("2024-12-25T00:00:00Z", "closed until 2024-12-26T22:00:00Z"),
            ("2024-12-26T01:00:00Z", "closed until 2024-12-26T22:00:00Z"),
            ("2024-12-31T23:00:00Z", "open until 2025-01-01T00:00:00Z"),
            ("2025-12-31T23:00:00Z", "open until 2026-01-01T00:00:00Z"),
            ("2025-12-25T23:00:00Z", "open until 2025-12-26T06:00:00Z"),
        ],
    );
    let always = CallingWindows::default().closed_on("2024-02-29", "Leap day");
    check(
        &always,
        "America/New_York",
        &[("2024-02-29T04:59:59Z", "open until 2024-02-29T05:00:00Z"), ("2024-02-29T05:00:00Z", "closed until 2024-03-01T05:00:00Z")],
    );
    let compiled = CompiledWindows::new(&windows, "UTC").unwrap();
    assert_eq!(compiled.holiday(&ZoneKey::unknown(), at("2024-12-25T12:00:00Z")), Some("Christmas"));
    assert_eq!(compiled.holiday(&ZoneKey::unknown(), at("2024-12-26T12:00:00Z")), None);
    let zones = ZoneKey::from_names(["Asia/Tokyo"]);
    assert_eq!(compiled.holiday(&zones, at("2024-12-24T15:00:00Z")), Some("Christmas"));
}

#[test]
fn whose_clock() {
    let campaign = CallingWindows { zone: WindowZone::Campaign, ..office() };
    check(&campaign, "America/New_York", &[("2024-02-15T08:00:00Z", "open until 2024-02-15T16:00:00Z")]);
    check(&office(), "", &[("2024-02-15T08:00:00Z", "open until 2024-02-15T16:00:00Z")]);
    let strict = CallingWindows { require_known_zone: true, ..office() };
    check(&strict, "", &[("2024-02-15T08:00:00Z", "unknown")]);
    check(&CallingWindows { require_known_zone: true, ..campaign }, "Mars/Phobos", &[("2024-02-15T08:00:00Z", "unknown")]);
    check(&CallingWindows::default(), "America/New_York", &[("2024-02-15T08:00:00Z", "open until ever")]);
    check(&CallingWindows::default(), "Mars/Phobos", &[("2024-02-15T08:00:00Z", "unknown")]);
}

#[test]
fn next_open_and_is_open() {
    let compiled = CompiledWindows::new(&office(), "UTC").unwrap();
    let unknown = ZoneKey::unknown();
    let (inside, outside) = (at("2024-02-15T12:00:00.5Z"), at("2024-02-15T20:00:00.5Z"));
    assert_eq!(compiled.next_open(&unknown, inside), Some(inside));
    assert_eq!(compiled.next_open(&unknown, outside), Some(at("2024-02-16T09:00:00Z")));
    assert!(compiled.is_open(&unknown, inside) && !compiled.is_open(&unknown, outside));
    assert_eq!(compiled.next_open(&ZoneKey::from_names(["Mars/Phobos"]), inside), None);
}

#[test]
fn the_ends_of_time_do_not_panic() {
    let compiled = CompiledWindows::new(&office().closed_on("02-29", ""), "Pacific/Apia").unwrap();
    for now in [Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH] {
        assert_ne!(compiled.at(&ZoneKey::unknown(), now), ZoneClock::Unknown);
    }
}

#[test]
fn errors_name_field_and_entry() {
    let window = |start: &str, end: &str| CallingWindows::of([TimeWindow::new("09:00", "17:00"), TimeWindow::new(start, end)]);
    for (windows, want) in [
        (window("25:00", "17:00"), "must be a time of day such as 09:00 (field windows.allowed.start, entry 2)"),
        (window("24:00", "17:00"), "must be a time of day such as 09:00 (field windows.allowed.start, entry 2)"),
        (window("09:00", "5pm"), "must be a time of day such as 17:00, or 24:00 (field windows.allowed.end, entry 2)"),
        (window("09:00", "9:00"), "start and end are the same; write 00:00 to 24:00 for the whole day (field windows.allowed, entry 2)"),
        (
            office().closed_on("2023-02-29", ""),
            "must be a day such as 2024-12-25, or 12-25 for every year (field windows.holidays.date, entry 1)",
        ),
    ] {
        assert_eq!(CompiledWindows::new(&windows, "UTC").unwrap_err().to_string(), want);
    }
    let error = CompiledWindows::new(&office(), "Berlin").unwrap_err();
    assert_eq!(error.to_string(), "must be a zone of the tz database, for example America/New_York (field time_zone)");
}

/// The same rules said once more, as plainly as possible: is this moment open in this zone?
fn oracle(windows: &CallingWindows, zone: &TimeZone, now: Timestamp) -> bool {
    let local = zone.to_datetime(now);
    let closed = |day: Date| {
        windows.holidays.iter().any(|holiday| day.to_string() == holiday.date || day.strftime("%m-%d").to_string() == holiday.date)
    };
    let (today, yesterday) = (local.date(), local.date().yesterday().unwrap());
    if closed(today) {
        return false;
    }
    if windows.allowed.is_empty() {
        return true;
    }
    let time = local.time().strftime("%H:%M").to_string();
    let runs_on = |window: &TimeWindow, day: Date| {
        let weekday = Weekday::ALL[day.weekday().to_monday_zero_offset() as usize];
        window.days.is_empty() || window.days.contains(&weekday)
    };
    windows.allowed.iter().any(|window| {
        let across = window.end < window.start;
        let begun_today = runs_on(window, today) && time >= window.start && (across || time < window.end);
        let carried = across && runs_on(window, yesterday) && !closed(yesterday) && time < window.end;
        begun_today || carried
    })
}

const ZONES: [&str; 13] = [
    "America/New_York",
    "America/St_Johns",
    "America/Santiago",
    "Europe/Berlin",
    "Europe/Dublin",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Asia/Gaza",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Apia",
    "America/Sao_Paulo",
    "UTC",
];

fn any_window() -> impl Strategy<Value = TimeWindow> {
    let time = (0..24u32, prop::sample::select(vec![0u32, 1, 29, 30, 59])).prop_map(|(hour, minute)| format!("{hour:02}:{minute:02}"));
    (time.clone(), time, prop::sample::subsequence(Weekday::ALL.to_vec(), 0..=4))
        .prop_filter("start and end differ", |(start, end, _)| start != end)
        .prop_map(|(start, end, days)| TimeWindow::new(&start, &end).on(&days))
}

fn any_windows() -> impl Strategy<Value = CallingWindows> {
    let holiday = prop::sample::select(vec!["03-31", "2024-03-10", "2024-11-03", "10-27", "2024-11-04"]);
    (prop::collection::vec(any_window(), 0..4), prop::collection::vec(holiday, 0..3))
        .prop_map(|(allowed, days)| days.into_iter().fold(CallingWindows::of(allowed), |windows, day| windows.closed_on(day, "closed")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Never open outside, never closed inside, and every moment named is the exact one: walked minute by minute.
    #[test]
    fn agrees_with_a_minute_by_minute_walk(
        windows in any_windows(),
        zones in prop::sample::subsequence(ZONES.to_vec(), 1..=2),
        near in prop::sample::select(vec!["2024-03-10T04:00:00Z", "2024-03-31T00:00:00Z", "2024-04-06T12:00:00Z", "2024-11-02T20:00:00Z", "2024-10-26T20:00:00Z", "2024-09-08T00:00:00Z"]),
        minutes in 0i64..2000,
    ) {
        let compiled = CompiledWindows::new(&windows, "UTC").unwrap();
        let key = ZoneKey::from_names(zones.iter().copied());
        let clocks: Vec<TimeZone> = zones.iter().map(|name| TimeZone::get(name).unwrap()).collect();
        let open = |now: Timestamp| clocks.iter().all(|zone| oracle(&windows, zone, now));
        let start = at(near) + minutes.minutes();
        let answer = compiled.at(&key, start);
        let (is_open, changes) = match answer {
            ZoneClock::Open { until } => (true, until),
            ZoneClock::Closed { opens_at } => (false, opens_at),
            ZoneClock::Unknown => panic!("zones are known"),
        };
        for step in 0..4 * 24 * 60 {
            let now = start + i64::from(step).minutes();
            if changes == Some(now) {
                prop_assert_ne!(open(now), is_open, "nothing changes at {}", now);
                break;
            }
            prop_assert_eq!(open(now), is_open, "at {} of {}, {:?}", now, start, answer);
        }
    }

    /// What is remembered never differs from a fresh answer, in whatever order it is asked.
    #[test]
    fn memory_changes_nothing(windows in any_windows(), zone in prop::sample::select(ZONES.to_vec()), seconds in prop::collection::vec(0i64..40_000_000, 1..40)) {
        let kept = CompiledWindows::new(&windows, "UTC").unwrap();
        let key = ZoneKey::from_names([zone]);
        for second in seconds {
            let now = at("2024-01-01T00:00:00Z") + second.seconds();
            let fresh = CompiledWindows::new(&windows, "UTC").unwrap();
            prop_assert_eq!(kept.at(&key, now), fresh.at(&key, now));
        }
    }
}

#[test]
fn holiday_without_a_name_is_still_one() {
    let windows = CallingWindows { holidays: vec![Holiday { date: "05-01".to_owned(), name: None }], ..CallingWindows::default() };
    let compiled = CompiledWindows::new(&windows, "UTC").unwrap();
    assert_eq!(compiled.holiday(&ZoneKey::unknown(), at("2031-05-01T00:00:00Z")), Some(""));
}
