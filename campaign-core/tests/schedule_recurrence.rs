//! Recurring and single starts at exact local times.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use campaign_core::schedule::{Frequency, PastDue, Recurrence, Schedule};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn rule(json: &str) -> Recurrence {
    serde_json::from_str(json).unwrap()
}

/// The first occurrences after a moment.
fn check(json: &str, after: &str, want: &[&str]) {
    let rule = rule(json);
    rule.check().unwrap();
    let mut now = at(after);
    let mut got = Vec::new();
    while got.len() < want.len().max(1) {
        let Some(next) = rule.next_after(now) else { break };
        got.push(next.to_string());
        now = next;
    }
    assert_eq!(got, want, "{json}");
}

#[test]
fn plain_fields() {
    check(
        r#"{"frequency":"weekly","interval":1,"days_of_week":[1,2,3,4,5],"time":"09:00","time_zone":"America/New_York","start_date":"2024-02-01","end_date":"2024-02-19"}"#,
        "2024-02-15T14:00:00Z",
        &["2024-02-16T14:00:00Z", "2024-02-19T14:00:00Z"],
    );
    check(
        r#"{"frequency":"daily","interval":3,"time":"08:30","start_date":"2024-02-27"}"#,
        "2024-02-20T00:00:00Z",
        &["2024-02-27T08:30:00Z", "2024-03-01T08:30:00Z", "2024-03-04T08:30:00Z"],
    );
    check(
        r#"{"frequency":"weekly","interval":2,"days_of_week":[7,1],"time":"10:00","start_date":"2024-02-14"}"#,
        "2024-02-01T00:00:00Z",
        &["2024-02-18T10:00:00Z", "2024-02-26T10:00:00Z", "2024-03-03T10:00:00Z", "2024-03-11T10:00:00Z"],
    );
    check(r#"{"frequency":"weekly","time":"10:00","start_date":"2024-02-14"}"#, "2024-02-14T10:00:00Z", &["2024-02-21T10:00:00Z"]);
    check(
        r#"{"frequency":"monthly","day_of_month":31,"start_date":"2024-01-15"}"#,
        "2024-01-01T00:00:00Z",
        &["2024-01-31T09:00:00Z", "2024-02-29T09:00:00Z", "2024-03-31T09:00:00Z", "2024-04-30T09:00:00Z"],
    );
    check(
        r#"{"frequency":"monthly","interval":5,"day_of_month":5,"start_date":"2024-11-20","count":2}"#,
        "2020-01-01T00:00:00Z",
        &["2025-04-05T09:00:00Z", "2025-09-05T09:00:00Z"],
    );
}

#[test]
fn counts_are_counted_from_the_start() {
    let three = r#"{"frequency":"weekly","days_of_week":[1,3],"start_date":"2024-02-14","count":4}"#;
    check(three, "2024-02-01T00:00:00Z", &["2024-02-14T09:00:00Z", "2024-02-19T09:00:00Z", "2024-02-21T09:00:00Z", "2024-02-26T09:00:00Z"]);
    assert_eq!(rule(three).next_after(at("2024-02-26T09:00:00Z")), None);
    let daily = rule(r#"{"start_date":"2024-02-14","count":10,"interval":2}"#);
    assert_eq!(daily.next_after(at("2024-03-02T00:00:00Z")), Some(at("2024-03-03T09:00:00Z")));
    assert_eq!(daily.next_after(at("2024-03-03T09:00:00Z")), None);
}

#[test]
fn clock_changes() {
    check(
        r#"{"time":"02:30","time_zone":"America/New_York","start_date":"2024-01-01"}"#,
        "2024-03-08T12:00:00Z",
        &["2024-03-09T07:30:00Z", "2024-03-10T07:00:00Z", "2024-03-11T06:30:00Z"],
    );
    check(
        r#"{"time":"01:30","time_zone":"America/New_York","start_date":"2024-01-01"}"#,
        "2024-11-02T12:00:00Z",
        &["2024-11-03T05:30:00Z", "2024-11-04T06:30:00Z"],
    );
}

#[test]
fn rfc_5545_rules() {
    check(
        r#"{"rrule":"RRULE:FREQ=MONTHLY;BYDAY=-1FR","time":"16:00","time_zone":"Europe/Berlin","start_date":"2024-02-01"}"#,
        "2024-02-01T00:00:00Z",
        &["2024-02-23T15:00:00Z", "2024-03-29T15:00:00Z", "2024-04-26T14:00:00Z"],
    );
    check(
        r#"{"rrule":"freq=daily;interval=2;count=3","time":"02:30","time_zone":"America/New_York","start_date":"2024-03-08"}"#,
        "2024-03-01T00:00:00Z",
        &["2024-03-08T07:30:00Z", "2024-03-10T07:00:00Z", "2024-03-12T06:30:00Z"],
    );
    for (until, last) in [
        ("20240303", "2024-03-03T14:00:00Z"),
        ("20240303T090000", "2024-03-03T14:00:00Z"),
        ("20240303T135959Z", "2024-03-02T14:00:00Z"),
        ("20240303T140000Z", "2024-03-03T14:00:00Z"),
    ] {
        let json = format!(r#"{{"rrule":"FREQ=DAILY;UNTIL={until}","time_zone":"America/New_York","start_date":"2024-03-01"}}"#);
        let rule = rule(&json);
        let all: Vec<_> = std::iter::successors(rule.next_after(at("2024-01-01T00:00:00Z")), |now| rule.next_after(*now)).collect();
        assert_eq!(all.last(), Some(&at(last)), "{until}");
    }
    check(
        r#"{"rrule":"FREQ=DAILY","start_date":"2024-03-01","end_date":"2024-03-02","count":9}"#,
        "2024-01-01T00:00:00Z",
        &["2024-03-01T09:00:00Z", "2024-03-02T09:00:00Z"],
    );
}

#[test]
fn invalid_fields_are_named() {
    for (json, field) in [
        (r#"{"interval":0}"#, "interval"),
        (r#"{"frequency":"weekly","days_of_week":[0]}"#, "days_of_week"),
        (r#"{"day_of_month":32}"#, "day_of_month"),
        (r#"{"time":"24:00"}"#, "time"),
        (r#"{"time_zone":"Berlin"}"#, "time_zone"),
        (r#"{"start_date":"2024-02-30"}"#, "start_date"),
        (r#"{"start_date":"2024-02-02","end_date":"2024-02-01"}"#, "end_date"),
        (r#"{"count":0}"#, "count"),
        (r#"{"rrule":"FREQ=SECONDLY"}"#, "rrule"),
        (r#"{"rrule":"FREQ=DAILY;BYHOUR=77"}"#, "rrule"),
        (r#"{"rrule":"FREQ=DAILY\nRDATE:20240101"}"#, "rrule"),
        (r#"{"rrule":"FREQ=DAILY;UNTIL=tomorrow"}"#, "rrule"),
        (r#"{"rrule":"täglich"}"#, "rrule"),
        (r#"{"rrule":""}"#, "rrule"),
    ] {
        let error = rule(json).check().expect_err(json);
        assert_eq!(error.context(), [("field", format!("recurring_config.{field}"))], "{json}: {error}");
    }
}

#[test]
fn a_rule_that_never_comes_ends() {
    for json in [
        r#"{"rrule":"FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30","start_date":"2024-01-01"}"#,
        r#"{"rrule":"FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30","start_date":"2024-01-01"}"#,
    ] {
        assert_eq!(rule(json).next_after(at("2024-01-01T00:00:00Z")), None);
    }
}

#[test]
fn schedules_as_json() {
    let parse = |json: &str| serde_json::from_str::<Schedule>(json);
    let want = Schedule::once_local("2024-02-15T09:00:00", "America/New_York").unwrap();
    assert_eq!(want.next_start(Timestamp::UNIX_EPOCH), Some(at("2024-02-15T14:00:00Z")));
    for name in ["once", "scheduled"] {
        let json = format!(r#"{{"schedule_type":"{name}","scheduled_at":"2024-02-15T09:00:00","timezone":"America/New_York"}}"#);
        assert_eq!(parse(&json).unwrap(), want);
    }
    let utc = parse(r#"{"schedule_type":"scheduled","scheduled_at":"2024-02-15T09:00:00Z","timezone":"America/New_York"}"#).unwrap();
    assert_eq!(utc.next_start(Timestamp::UNIX_EPOCH), Some(at("2024-02-15T09:00:00Z")));
    assert_eq!(parse(r#"{"schedule_type":"immediate"}"#).unwrap(), Schedule::Immediate);
    assert!(parse(r#"{"schedule_type":"once","scheduled_at":"soon"}"#).unwrap_err().to_string().contains("scheduled_at"));
    assert!(Schedule::once_local("2024-02-15T09:00:00Z", "Mars/Phobos").is_err());

    let held = r#"{"schedule_type":"recurring","recurring_config":{"frequency":"daily"},"past_due":"hold"}"#;
    let anchored = parse(held).unwrap().anchored(at("2024-02-15T14:00:00Z"));
    assert_eq!(anchored.past_due(), PastDue::Hold);
    let Schedule::Recurring { recurring_config, .. } = &anchored else { panic!() };
    assert_eq!(recurring_config.start_date.as_deref(), Some("2024-02-15"));
    for schedule in [want, utc, anchored, Schedule::Immediate] {
        assert_eq!(parse(&serde_json::to_string(&schedule).unwrap()).unwrap(), schedule);
    }
}

#[test]
fn a_schedule_lies_ahead_when_it_is_set() {
    let now = at("2024-02-15T14:00:00Z");
    let once = Schedule::once(now);
    assert_eq!(once.check().map_err(|error| error.to_string()), Ok(()));
    assert_eq!(once.validate(now).unwrap_err().message(), "Scheduled time is in the past");
    let over = Schedule::recurring(Recurrence {
        end_date: Some("2024-02-14".to_owned()),
        start_date: Some("2024-02-01".to_owned()),
        ..Recurrence::default()
    });
    assert!(over.validate(now).is_err());
    assert!(Schedule::recurring(Recurrence::default()).validate(now).is_ok());
}

const ZONES: [&str; 6] =
    ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Africa/Casablanca", "America/Santiago", "Pacific/Apia"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Occurrences increase strictly, show the right local time but for gaps, keep to their days, and asking from any moment in
    /// between gives the same next one.
    #[test]
    fn occurrences_are_in_order_at_the_right_local_time(
        frequency in prop::sample::select(vec![Frequency::Daily, Frequency::Weekly, Frequency::Monthly]),
        interval in 1u32..5,
        days in prop::collection::vec(1u8..=7, 0..4),
        day in prop::option::of(1u8..=31),
        (hour, minute) in (0u32..24, 0u32..60),
        zone in prop::sample::select(ZONES.to_vec()),
        count in prop::option::of(1u32..30),
        between in 0.0f64..1.0,
    ) {
        let rule = Recurrence {
            frequency, interval, days_of_week: days.clone(), day_of_month: day, time: format!("{hour:02}:{minute:02}"), time_zone: zone.to_owned(),
            start_date: Some("2023-12-31".to_owned()), count, ..Recurrence::default()
        };
        prop_assert!(rule.check().is_ok());
        let clock = TimeZone::get(zone).unwrap();
        let first: Vec<Timestamp> = std::iter::successors(rule.next_after(at("2023-12-29T00:00:00Z")), |now| rule.next_after(*now)).take(40).collect();
        prop_assert_eq!(first.len(), count.map_or(40, |count| count as usize));
        for pair in first.windows(2) {
            prop_assert!(pair[0] < pair[1]);
            let middle = pair[0] + jiff::SignedDuration::from_secs((pair[1].duration_since(pair[0]).as_secs() as f64 * between) as i64);
            prop_assert_eq!(rule.next_after(middle.min(pair[1] - jiff::SignedDuration::from_secs(1))), Some(pair[1]));
        }
        for moment in &first {
            let local = clock.to_datetime(*moment);
            let exact = (local.hour() as u32, local.minute() as u32) == (hour, minute);
            let before = clock.to_offset(*moment - jiff::SignedDuration::from_secs(1));
            prop_assert!(exact || before != clock.to_offset(*moment), "{} shows {}", moment, local);
            if frequency == Frequency::Weekly && !days.is_empty() && exact {
                prop_assert!(days.contains(&(local.weekday().to_monday_one_offset() as u8)));
            }
        }
    }
}
