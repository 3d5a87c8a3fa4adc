//! The body of the fuzz target on specs that look real but are wrong somewhere.

use campaign_core::testkit::fuzz;
use proptest::prelude::*;
use serde_json::{Value, json};

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "09:00",
            "24:00",
            "23:59:59",
            "2024-02-29",
            "9999-12-31",
            "2999-12-31",
            "-001-01-01",
            "02-29",
            "12-31",
            "Europe/Berlin",
            "UTC",
            "Mars/Phobos",
            "America/New_York",
            "FREQ=DAILY",
            "FREQ=HOURLY;INTERVAL=7;BYMINUTE=0,30",
            "FREQ=YEARLY;BYYEARDAY=366",
            "FREQ=MONTHLY;BYDAY=5MO;BYSETPOS=-1",
            "FREQ=DAILY;COUNT=0",
            "FREQ=WEEKLY;UNTIL=20240101T000000Z",
            "FREQ=DAILY;INTERVAL=65535",
            "FREQ=YEARLY;BYWEEKNO=53;WKST=SU",
            "2024-03-10T02:30:00",
            "9999-12-31T23:59:59Z",
        ])
        .prop_map(str::to_owned),
        "[0-9:TZ-]{0,12}",
        "FREQ=[A-Z]{5,7};BY[A-Z]{3,8}=[0-9,-]{1,6}",
        ".{0,8}",
    ]
}

fn any_spec() -> impl Strategy<Value = Value> {
    let texts = prop::collection::vec(any_text(), 8);
    let numbers = prop::collection::vec(prop_oneof![0u32..40, any::<u32>()], 5);
    (texts, numbers, prop::sample::select(vec!["daily", "weekly", "monthly"]), 0u8..4).prop_map(|(text, number, frequency, kind)| {
        let rule = if kind == 2 { Value::String(text[0].clone()) } else { Value::Null };
        let schedule = match kind {
            0 => json!({"schedule_type": "once", "scheduled_at": text[1], "timezone": text[2]}),
            _ => json!({"schedule_type": "recurring", "recurring_config": {
                "frequency": frequency, "interval": number[0], "days_of_week": [number[1] % 9], "day_of_month": number[2] % 33, "time": text[1],
                "time_zone": if kind == 1 { "Pacific/Apia" } else { text[2].as_str() }, "start_date": text[3], "end_date": null, "count": number[3], "rrule": rule,
            }}),
        };
        json!({
            "name": "fuzz", "time_zone": "Europe/Dublin", "max_attempts": number[4], "schedule": schedule,
            "windows": {"allowed": [{"start": text[4], "end": text[5]}, {"start": "22:00", "end": "03:00", "days": ["sunday"]}], "holidays": [{"date": text[6]}]},
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn specs_never_panic(spec in any_spec()) {
        fuzz::schedule(&spec.to_string());
        fuzz::schedule(&spec["schedule"].to_string());
        fuzz::schedule(&spec["windows"].to_string());
    }

    #[test]
    fn text_never_panics(text in ".{0,200}") {
        fuzz::schedule(&text);
    }
}
