//! Every field of a spec: what it may be, and the error when it is not.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use campaign_core::campaign::{CampaignSpec, CampaignType, FrequencyCap, OutcomeRule, Step};
use campaign_core::id::Money;
use campaign_core::outcome::Disposition;
use campaign_core::schedule::{CallingWindows, Recurrence, Schedule, TimeWindow};

fn base() -> CampaignSpec {
    CampaignSpec::call("February reminders").build().unwrap()
}

#[test]
fn defaults_are_those_of_the_rest_api() {
    let spec = base();
    assert_eq!(
        (spec.max_attempts, spec.retry_delay_minutes, spec.concurrent_limit, spec.rate_limit_per_minute),
        (3, 30, Some(5), Some(10))
    );
    let json = serde_json::to_string(&spec).unwrap();
    assert_eq!(serde_json::from_str::<CampaignSpec>(&json).unwrap(), spec);
    assert_eq!(serde_json::from_str::<CampaignSpec>(r#"{"name":"February reminders"}"#).unwrap(), spec);
}

#[test]
fn builder_covers_the_usual_fields() {
    let spec = CampaignSpec::mixed("m")
        .template("late", "Hi")
        .step(Step::sms().template("late"))
        .step(Step::call().next_day_at("09:00").when_replied(false))
        .budget(Money::from_units(10.0), Money::from_units(0.05))
        .calls_per_day(100)
        .frequency_cap(3, 168)
        .caller_id("+15550001111")
        .consent_required()
        .deadline("2030-01-01T00:00:00Z".parse().unwrap())
        .build()
        .unwrap();
    assert_eq!((spec.steps.len(), spec.frequency_caps.len(), spec.caller_ids.len()), (2, 1, 1));
}

/// One change that makes a good spec bad, and the error it must give.
type Case = (fn(&mut CampaignSpec), &'static str);

const CASES: &[Case] = &[
    (|s| s.name = " ".to_owned(), "must have 1 to 200 characters (field name)"),
    (|s| s.name = "x".repeat(201), "must have 1 to 200 characters (field name)"),
    (|s| s.description = Some("x".repeat(10_001)), "must have at most 10000 characters (field description)"),
    (|s| s.max_attempts = 0, "must be 1 to 10 (field max_attempts)"),
    (|s| s.max_attempts = 11, "must be 1 to 10 (field max_attempts)"),
    (|s| s.retry_delay_minutes = 0, "must be 1 to 43200 (field retry_delay_minutes)"),
    (|s| s.retry_delay_minutes = 43_201, "must be 1 to 43200 (field retry_delay_minutes)"),
    (|s| s.retry.max_delay_minutes = 0, "must be 1 to 43200 (field retry.max_delay_minutes)"),
    (|s| s.retry.jitter_percent = 51, "must be 0 to 50 (field retry.jitter_percent)"),
    (
        |s| _ = s.retry.rules.insert(Disposition::InDoubt, OutcomeRule::default()),
        "cannot try again after this ending (field retry.rules, rule in_doubt)",
    ),
    (
        |s| _ = s.retry.rules.insert(Disposition::Busy, OutcomeRule { delay_minutes: Some(0), ..OutcomeRule::default() }),
        "must be 1 to 43200 (field retry.rules.delay_minutes, rule busy)",
    ),
    (
        |s| _ = s.retry.rules.insert(Disposition::Busy, OutcomeRule { max_attempts: Some(11), ..OutcomeRule::default() }),
        "must be 1 to 10 (field retry.rules.max_attempts, rule busy)",
    ),
    (|s| s.concurrent_limit = Some(0), "must be at least 1 (field concurrent_limit)"),
    (|s| s.rate_limit_per_minute = Some(0), "must be at least 1 (field rate_limit_per_minute)"),
    (|s| s.calls_per_day = Some(0), "must be at least 1 (field calls_per_day)"),
    (|s| s.time_zone = "Berlin".to_owned(), "must be a zone of the tz database, for example America/New_York (field time_zone)"),
    (
        |s| s.windows = CallingWindows::of([TimeWindow::new("9", "17:00")]),
        "must be a time of day such as 09:00 (field windows.allowed.start, entry 1)",
    ),
    (
        |s| s.schedule = Schedule::recurring(Recurrence { interval: 0, ..Recurrence::default() }),
        "must be 1 to 1000 (field recurring_config.interval)",
    ),
    (
        |s| {
            s.schedule = Schedule::once("2030-01-01T00:00:00Z".parse().unwrap());
            s.deadline = Some("2030-01-01T00:00:00Z".parse().unwrap());
        },
        "must be after the start in schedule.scheduled_at (field deadline)",
    ),
    (
        |s| s.frequency_caps = vec![FrequencyCap { max: 0, hours: 24, channels: vec![] }],
        "must be at least 1 (field frequency_caps.max, entry 1)",
    ),
    (
        |s| s.frequency_caps = vec![FrequencyCap { max: 1, hours: 8785, channels: vec![] }],
        "must be 1 to 8784 (field frequency_caps.hours, entry 1)",
    ),
    (|s| s.budget = Some(Money(-1)), "must be 0 or more (field budget)"),
    (|s| s.cost_per_attempt = Money(-1), "must be 0 or more (field cost_per_attempt)"),
    (|s| s.budget_threshold_percent = 101, "must be 1 to 100 (field budget_threshold_percent)"),
    (|s| *s = twice(s), "is there twice (field caller_ids.number, entry 2)"),
    (|s| s.voicemail.leave_voicemail = true, "needs enable_voicemail_detection (field voicemail.leave_voicemail)"),
    (
        |s| (s.voicemail.leave_voicemail, s.voicemail.enable_voicemail_detection) = (true, true),
        "needs voicemail_message (field voicemail.leave_voicemail)",
    ),
    (|s| s.ring_timeout_seconds = 0, "must be 1 to 600 (field ring_timeout_seconds)"),
    (|s| s.max_duration_seconds = 86_401, "must be 1 to 86400 (field max_duration_seconds)"),
    (|s| _ = s.templates.insert("big".to_owned(), "x".repeat(65_537)), "must be at most 64 KiB each (field templates, template big)"),
    (|s| s.templates = (0..101).map(|n| (n.to_string(), String::new())).collect(), "must be at most 100 (field templates)"),
    (|s| s.steps = vec![Step::call()], "belong to mixed campaigns only; set campaign_type to mixed, or leave them out (field steps)"),
    (|s| s.campaign_type = CampaignType::Mixed, "must be 1 to 20 in a mixed campaign (field steps)"),
    (|s| mixed(s, vec![Step::call(); 21]), "must be 1 to 20 in a mixed campaign (field steps)"),
    (
        |s| mixed(s, vec![Step::call().when_replied(true)]),
        "must begin with a step that has no delay_minutes, next_day_at or when (field steps, entry 1)",
    ),
    (
        |s| mixed(s, vec![Step::call(), Step::sms().next_day_at("tomorrow")]),
        "must be a time of day such as 09:00 (field steps.next_day_at, entry 2)",
    ),
    (
        |s| mixed(s, vec![Step::call(), Step::sms().next_day_at("09:00").after_minutes(5)]),
        "stands instead of delay_minutes; give one of them (field steps.next_day_at, entry 2)",
    ),
    (
        |s| mixed(s, vec![Step::call(), Step::sms().template("gone")]),
        "must name one of templates (field steps.template, template gone, entry 2)",
    ),
    (|s| mixed(s, vec![Step::call().attempts(0)]), "must be 1 to 10 (field steps.max_attempts, entry 1)"),
    (
        |s| s.campaign_type = CampaignType::Custom(String::new()),
        "must be call, sms, whatsapp, mixed, or the name of a registered kind (field campaign_type)",
    ),
];

fn mixed(spec: &mut CampaignSpec, steps: Vec<Step>) {
    spec.campaign_type = CampaignType::Mixed;
    spec.steps = steps;
}

fn twice(spec: &CampaignSpec) -> CampaignSpec {
    let mut spec = spec.clone();
    let one = CampaignSpec::call("c").caller_id("+15550001111").build().unwrap().caller_ids;
    spec.caller_ids = [one.clone(), one].concat();
    spec
}

#[test]
fn each_field_out_of_range_is_named() {
    for (change, want) in CASES {
        let mut spec = base();
        change(&mut spec);
        let error = spec.validate().expect_err(want).to_string();
        assert_eq!(&error, want);
    }
}

#[test]
fn errors_never_hold_a_number() {
    let mut spec = twice(&base());
    spec.caller_ids[1].concurrent_limit = Some(0);
    assert!(!format!("{:?}", spec.validate().unwrap_err()).contains("0001111"));
}
