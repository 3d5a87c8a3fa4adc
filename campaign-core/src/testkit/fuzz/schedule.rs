//! Whatever a spec says, checking it, compiling its windows and asking for its next start ends without a panic, and what was
//! accepted behaves: starts lie ahead, windows open when they say so.

use crate::campaign::CampaignSpec;
use crate::contact::ZoneKey;
use crate::schedule::{CallingWindows, CompiledWindows, Schedule, ZoneClock};
use jiff::Timestamp;

/// `text` is the JSON of a spec, a schedule or calling windows; anything else is refused by the parser.
///
/// # Panics
/// When something does not hold.
pub fn schedule(text: &str) {
    let now = Timestamp::constant(1_710_000_000, 0);
    if let Ok(spec) = serde_json::from_str::<CampaignSpec>(text) {
        if spec.validate().is_ok() {
            windows(&spec.windows, &spec.time_zone, now);
            starts(spec.schedule.clone(), now);
        }
        windows(&spec.windows, &spec.time_zone, now);
        starts(spec.schedule, now);
    }
    if let Ok(parsed) = serde_json::from_str::<Schedule>(text) {
        starts(parsed, now);
    }
    if let Ok(parsed) = serde_json::from_str::<CallingWindows>(text) {
        windows(&parsed, "America/New_York", now);
    }
}

fn starts(schedule: Schedule, now: Timestamp) {
    let schedule = schedule.anchored(now);
    let valid = schedule.validate(now).is_ok();
    let mut after = now;
    for _ in 0..3 {
        let Some(next) = schedule.next_start(after) else { break };
        assert!(next > after, "a start does not lie ahead");
        after = next;
    }
    assert!(!valid || schedule == Schedule::Immediate || after > now, "a valid schedule never starts");
}

fn windows(windows: &CallingWindows, zone: &str, now: Timestamp) {
    let Ok(compiled) = CompiledWindows::new(windows, zone) else { return };
    for key in [ZoneKey::unknown(), ZoneKey::from_names(["Australia/Lord_Howe", "Europe/Berlin"])] {
        match compiled.at(&key, now) {
            ZoneClock::Open { until } => assert!(until.is_none_or(|until| until > now)),
            ZoneClock::Closed { opens_at: Some(at) } => assert!(at > now && compiled.is_open(&key, at), "it does not open when it says"),
            ZoneClock::Closed { opens_at: None } | ZoneClock::Unknown => {}
        }
    }
}
