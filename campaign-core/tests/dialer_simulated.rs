//! The simulated carrier keeps the rates, prices, limits and memory that its profile states.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use campaign_core::dialer::{
    CallMix, CarrierProfile, CarrierStats, DialError, DialRequest, Dialer, Found, HandOff, MessageMix, SimulatedDialer, Span, TalkTime,
};
use campaign_core::executor::{Executor, VirtualExecutor};
use campaign_core::id::Money;
use campaign_core::outcome::{Channel, Disposition, Outcome};
use campaign_core::testkit::dialer::{TestHost, find_request, sample_request};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

type Dialled = Result<Outcome, DialError>;

fn start() -> Timestamp {
    "2026-03-02T15:00:00Z".parse().unwrap()
}

/// Dials these one after the other on a clock of their own; gives the results in that order.
fn dial_all(dialer: &SimulatedDialer, requests: Vec<DialRequest>) -> Vec<Dialled> {
    dial_all_from(start(), dialer, requests)
}

fn dial_all_from(start: Timestamp, dialer: &SimulatedDialer, requests: Vec<DialRequest>) -> Vec<Dialled> {
    let executor = VirtualExecutor::new(start);
    let clock = Arc::new(executor.clone());
    let dialer = dialer.clone();
    executor.run(async move {
        let mut results = Vec::new();
        for mut request in requests {
            request.not_after = Timestamp::MAX;
            results.push(dialer.dial(request, TestHost::new(clock.clone()).context()).await);
        }
        results
    })
}

fn dial_one(profile: CarrierProfile, change: impl FnOnce(&mut DialRequest)) -> Outcome {
    let mut request = sample_request(1, Channel::Call, start());
    change(&mut request);
    dial_all(&SimulatedDialer::new(profile, 7), vec![request]).remove(0).unwrap()
}

fn calls(count: i64, change: impl Fn(&mut DialRequest)) -> Vec<DialRequest> {
    (1..=count)
        .map(|number| {
            let mut request = sample_request(number, Channel::Call, start());
            change(&mut request);
            request
        })
        .collect()
}

/// Counts per disposition, and per error.
fn counts(results: &[Dialled]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for result in results {
        let name = match result {
            Ok(outcome) => outcome.disposition.as_str(),
            Err(DialError::Throttled { .. }) => "throttled",
            Err(DialError::Transient(_)) => "transient",
            Err(DialError::Permanent(_)) => "permanent",
            Err(DialError::Suppressed) => "suppressed",
            Err(_) => "lost",
        };
        *counts.entry(name).or_default() += 1;
    }
    counts
}

#[track_caller]
fn about(counts: &BTreeMap<&'static str, usize>, name: &str, of: usize, rate: f64) {
    let count = counts.get(name).copied().unwrap_or(0) as f64;
    // Five standard deviations: a fair carrier misses this once in two million seeds.
    let tolerance = 5.0 * (of as f64 * rate * (1.0 - rate)).sqrt();
    assert!((count - of as f64 * rate).abs() <= tolerance, "{name}: {count} of {of}, expected {rate}; {counts:?}");
}

#[test]
fn ten_thousand_calls_keep_the_rates() {
    let profile =
        CarrierProfile { transient: 0.03, permanent: 0.02, suppressed: 0.01, in_doubt: 0.04, throttled: 0.05, ..CarrierProfile::default() };
    let dialer = SimulatedDialer::new(profile, 2026);
    let counts = counts(&dial_all(&dialer, calls(10_000, |_| {})));
    about(&counts, "throttled", 10_000, 0.05);
    for (name, rate) in [("transient", 0.03), ("permanent", 0.02), ("suppressed", 0.01), ("lost", 0.04)] {
        about(&counts, name, 10_000, 0.95 * rate);
    }
    let placed = 0.95 * 0.90;
    for (name, rate) in
        [("voicemail", 0.12), ("no_answer", 0.16), ("busy", 0.06), ("rejected", 0.03), ("undeliverable", 0.01), ("failed", 0.02)]
    {
        about(&counts, name, 10_000, placed * rate);
    }
    about(&counts, "answered", 10_000, placed * 0.6 * 0.995);
    about(&counts, "opted_out", 10_000, placed * 0.6 * 0.005);
    let stats = dialer.stats();
    assert_eq!(stats.throttled as usize, counts["throttled"]);
    assert_eq!(stats.in_doubt as usize, counts["lost"]);
    assert_eq!(stats.refused as usize, counts["transient"] + counts["permanent"] + counts["suppressed"]);
    assert_eq!((stats.in_flight, stats.peak_in_flight, stats.repeated), (0, 1, 0));
    // Half of what is in doubt exists.
    let ghosts = stats.hand_offs as usize - (10_000 - counts["throttled"] - counts["lost"] - stats.refused as usize);
    assert!((counts["lost"] * 4 / 10..=counts["lost"] * 6 / 10).contains(&ghosts), "{ghosts} of {}", counts["lost"]);
}

#[test]
fn messages_keep_their_rates_and_times() {
    let profile = CarrierProfile { opted_out: 0.0, ..CarrierProfile::default() };
    let requests = (1..=5_000).map(|number| sample_request(number, Channel::Sms, start())).collect();
    let dialer = SimulatedDialer::new(profile, 3);
    let counts = counts(&dial_all(&dialer, requests));
    for (name, rate) in [("delivered", 0.90), ("sent", 0.05), ("undeliverable", 0.03), ("failed", 0.02)] {
        about(&counts, name, 5_000, rate);
    }
    for hand_off in dialer.hand_offs() {
        let took = hand_off.ends_at.duration_since(hand_off.at).as_millis();
        assert!((1_000..=20_000).contains(&took), "{took}");
    }
}

#[test]
fn the_same_seed_gives_the_same_log_in_any_order_and_with_any_key() {
    let run = |seed, reversed: bool, key: &str| {
        let mut requests = calls(500, |request| request.key = format!("{key}-{}", request.contact_id).into());
        if reversed {
            requests.reverse();
        }
        let contacts: Vec<_> = requests.iter().map(|request| request.contact_id).collect();
        let results = dial_all(&SimulatedDialer::new(CarrierProfile::troubled(), seed), requests);
        let plain = results.into_iter().map(|result| match result {
            Ok(outcome) => format!("{:?}", Outcome { provider_ref: None, ..outcome }),
            Err(error) => error.to_string(),
        });
        contacts.into_iter().zip(plain).collect::<BTreeMap<_, _>>()
    };
    let first = run(1, false, "store-a");
    assert_eq!(first, run(1, true, "store-b"));
    assert_ne!(first, run(2, false, "store-a"));
}

#[test]
fn another_attempt_is_another_draw() {
    let requests = (1..=200)
        .map(|number| {
            let mut request = sample_request(number, Channel::Call, start());
            request.contact_id.0 = 1;
            request.attempt_number = number as u32;
            request
        })
        .collect();
    let counts = counts(&dial_all(&SimulatedDialer::new(CarrierProfile::default(), 9), requests));
    assert!(counts.len() >= 4, "{counts:?}");
}

#[test]
fn throttling_by_luck_does_not_last() {
    let dialer = SimulatedDialer::new(CarrierProfile { throttled: 0.5, ..CarrierProfile::instant() }, 5);
    let mut left = calls(400, |_| {});
    let mut rounds = Vec::new();
    while !left.is_empty() {
        let results = dial_all(&dialer, left.clone());
        rounds.push(left.len());
        left = left.into_iter().zip(results).filter(|(_, result)| result.is_err()).map(|(request, _)| request).collect();
        assert!(rounds.len() < 30, "{rounds:?}");
    }
    // Half of those left are throttled each time: about 800 tries in all, within five standard deviations.
    assert!((660..=940).contains(&rounds.iter().sum::<usize>()), "{rounds:?}");
}

#[test]
fn answers_follow_the_local_hour() {
    let mut curve = [100; 24];
    (curve[3], curve[19]) = (10, 150);
    let profile = CarrierProfile {
        calls: CallMix { answered: 40, no_answer: 50, busy: 10, ..CallMix::none() },
        answered_percent_by_hour: Some(curve),
        opted_out: 0.0,
        ..CarrierProfile::default()
    };
    for (hour, answered) in [(3, 0.04), (11, 0.40), (19, 0.60)] {
        let requests = calls(4_000, |request| request.local_hour = hour);
        let counts = counts(&dial_all(&SimulatedDialer::new(profile.clone(), 11), requests));
        about(&counts, "answered", 4_000, answered);
        about(&counts, "busy", 4_000, 0.10);
    }
}

#[test]
fn talk_times_have_the_stated_mean_and_ends() {
    let talk = TalkTime { min_seconds: 10, mean_seconds: 90, max_seconds: 1_000 };
    let profile = CarrierProfile { calls: CallMix { answered: 1, ..CallMix::none() }, talk, opted_out: 0.0, ..CarrierProfile::default() };
    let requests = calls(5_000, |request| request.max_duration = Duration::from_secs(3_600));
    let mut seconds: Vec<u32> =
        dial_all(&SimulatedDialer::new(profile, 1), requests).into_iter().map(|result| result.unwrap().duration_seconds).collect();
    seconds.sort_unstable();
    let mean = seconds.iter().map(|seconds| u64::from(*seconds)).sum::<u64>() / 5_000;
    assert!((86..=94).contains(&mean), "{mean}");
    assert!(seconds[2_500] < 75, "most talk briefly: {}", seconds[2_500]);
    assert!(seconds[0] >= 10 && seconds[4_999] > 300, "{} to {}", seconds[0], seconds[4_999]);
}

/// A carrier where every call is answered after `ring` milliseconds and lasts exactly this long.
fn answered_for(seconds: u32, ring: u64) -> CarrierProfile {
    CarrierProfile {
        calls: CallMix { answered: 1, ..CallMix::none() },
        talk: TalkTime { min_seconds: seconds, mean_seconds: seconds, max_seconds: seconds },
        ring_millis: Span { min: ring, max: ring },
        opted_out: 0.0,
        ..CarrierProfile::default()
    }
}

#[test]
fn started_increments_are_billed_in_full() {
    for (seconds, increment, cost) in
        [(0, 60, 0), (1, 60, 60_000), (60, 60, 60_000), (61, 60, 120_000), (7, 6, 12_000), (7, 1, 7_000), (7, 0, 7_000), (61, 30, 90_000)]
    {
        let profile =
            CarrierProfile { cost_per_minute: Money(60_000), billing_increment_seconds: increment, ..answered_for(seconds, 1_000) };
        assert_eq!(dial_one(profile, |_| {}).cost, Some(Money(cost)), "{seconds} s by {increment}");
    }
    let unanswered = CarrierProfile { calls: CallMix { no_answer: 1, ..CallMix::none() }, ..CarrierProfile::default() };
    assert_eq!(dial_one(unanswered, |_| {}).cost, Some(Money::ZERO));
    // A third of a millionth is rounded up.
    let odd = CarrierProfile { cost_per_minute: Money(1), billing_increment_seconds: 20, ..answered_for(5, 0) };
    assert_eq!(dial_one(odd, |_| {}).cost, Some(Money(1)));
}

#[test]
fn messages_are_billed_by_segment() {
    let profile = CarrierProfile {
        sms: MessageMix { delivered: 1, ..MessageMix::none() },
        cost_per_sms_segment: Money(8_000),
        opted_out: 0.0,
        ..CarrierProfile::default()
    };
    for (text, segments) in [("a".repeat(160), 1), ("a".repeat(161), 2), ("a".repeat(306), 2), ("я".repeat(70), 1), ("я".repeat(71), 2)] {
        let outcome = dial_one(profile.clone(), |request| {
            request.channel = Channel::Sms;
            request.texts = BTreeMap::from([("message".into(), text)]);
        });
        assert_eq!((outcome.data["segments"].as_i64(), outcome.cost), (Some(segments), Some(Money(8_000 * segments))));
    }
}

#[test]
fn calls_end_at_their_limits() {
    assert_eq!(dial_one(answered_for(500, 1_000), |request| request.max_duration = Duration::from_secs(45)).duration_seconds, 45);
    let unheard = dial_one(answered_for(20, 25_000), |request| request.ring_timeout = Duration::from_secs(15));
    assert_eq!((unheard.disposition, unheard.detail.as_deref()), (Disposition::NoAnswer, Some("No answer after 15 seconds")));
}

#[test]
fn leaving_a_voicemail_takes_longer() {
    let machine = CarrierProfile { calls: CallMix { voicemail: 1, ..CallMix::none() }, ..CarrierProfile::default() };
    let hung_up = dial_one(machine.clone(), |_| {});
    let left = dial_one(machine, |request| {
        let settings = Arc::make_mut(&mut request.voicemail);
        settings.enable_voicemail_detection = true;
        settings.leave_voicemail = true;
        settings.voicemail_message = Some("x".repeat(150));
    });
    assert_eq!((&hung_up.data["voicemail_left"], &left.data["voicemail_left"]), (&false.into(), &true.into()));
    assert_eq!(left.duration_seconds, hung_up.duration_seconds + 11);
    assert_eq!(left.disposition, Disposition::Voicemail);
}

#[test]
fn progress_and_reference_come_in_order() {
    let executor = VirtualExecutor::new(start());
    let host = TestHost::new(Arc::new(executor.clone()));
    let (context, request) = (host.context(), sample_request(1, Channel::Call, start()));
    let outcome = executor.run(async move { SimulatedDialer::new(answered_for(20, 5_000), 1).dial(request, context).await.unwrap() });
    assert_eq!(host.stages(), ["ringing", "answered"]);
    assert_eq!(host.references(), [outcome.provider_ref.unwrap()]);
    assert_eq!(executor.now(), start() + SignedDuration::from_secs(25));
}

#[test]
fn speed_shortens_waits_but_not_bills() {
    let executor = VirtualExecutor::new(start());
    let host = TestHost::new(Arc::new(executor.clone()));
    let request = sample_request(1, Channel::Call, start());
    let dialer = SimulatedDialer::new(answered_for(120, 5_000).with_speed(100), 1);
    let outcome = executor.run(async move { dialer.dial(request, host.context()).await.unwrap() });
    assert_eq!((outcome.duration_seconds, outcome.cost), (120, Some(Money(28_000))));
    assert_eq!(executor.now(), start() + SignedDuration::from_millis(1_250));
}

#[test]
fn hanging_up_bills_what_was_talked() {
    for (after, expected, seconds, cost) in [(2, Disposition::Cancelled, 0, None), (10, Disposition::Answered, 5, Some(Money(14_000)))] {
        let executor = VirtualExecutor::new(start());
        let clock = Arc::new(executor.clone());
        let dialer = SimulatedDialer::new(answered_for(300, 5_000), 1);
        let carrier = dialer.clone();
        let outcome = executor.run(async move {
            let host = TestHost::new(clock.clone());
            let canceller = host.clone();
            let at = clock.now() + SignedDuration::from_secs(after);
            let alarm = clock.sleep_until(at);
            clock.spawn(Box::pin(async move {
                alarm.await;
                canceller.cancel();
            }));
            carrier.dial(sample_request(1, Channel::Call, start()), host.context()).await.unwrap()
        });
        assert_eq!((outcome.disposition, outcome.duration_seconds, outcome.cost), (expected, seconds, cost));
        assert_eq!(executor.now(), start() + SignedDuration::from_secs(after));
        assert_eq!(dialer.hand_offs()[0].ended.as_ref().map(|(_, outcome)| outcome.disposition), Some(expected));
    }
}

#[test]
fn a_message_is_not_delivered_after_its_validity() {
    let slow = MessageMix { delivered: 1, millis: Span { min: 60_000, max: 60_000 }, ..MessageMix::none() };
    let profile = CarrierProfile { sms: slow, opted_out: 0.0, ..CarrierProfile::default() };
    for (valid, expected) in [(59, Disposition::Failed), (60, Disposition::Delivered)] {
        let outcome = dial_one(profile.clone(), |request| {
            request.channel = Channel::Sms;
            request.valid_until = Some(start() + SignedDuration::from_secs(valid));
        });
        assert_eq!(outcome.disposition, expected);
    }
}

#[test]
fn limits_throttle_exactly() {
    let executor = VirtualExecutor::new(start());
    let clock = Arc::new(executor.clone());
    let limited = CarrierProfile { max_concurrent: Some(3), calls_per_second: Some(5), ..answered_for(20, 0) };
    let dialer = SimulatedDialer::new(limited, 1);
    assert_eq!((dialer.capabilities().max_concurrent, dialer.capabilities().calls_per_second), (Some(3), Some(5)));
    let carrier = dialer.clone();
    let results = executor.run(async move {
        let all =
            (1..=10).map(|number| carrier.dial(sample_request(number, Channel::Call, start()), TestHost::new(clock.clone()).context()));
        futures_util::future::join_all(all).await
    });
    assert_eq!(counts(&results), BTreeMap::from([("answered", 3), ("throttled", 7)]));
    assert_eq!(dialer.stats(), CarrierStats { hand_offs: 3, throttled: 7, peak_in_flight: 3, ..CarrierStats::default() });

    // Five at once, then one every 200 ms; the wait that is named is enough, and no shorter one is.
    let dialer = SimulatedDialer::new(CarrierProfile { calls_per_second: Some(5), ..CarrierProfile::instant() }, 1);
    let executor = VirtualExecutor::new(start());
    let clock = Arc::new(executor.clone());
    executor.run(async move {
        let mut number = 0;
        let mut dial = || {
            number += 1;
            dialer.dial(sample_request(number, Channel::Call, start()), TestHost::new(clock.clone()).context())
        };
        for _ in 0..5 {
            dial().await.unwrap();
        }
        let Err(DialError::Throttled { retry_after }) = dial().await else { panic!("not throttled") };
        assert_eq!(retry_after, Duration::from_millis(200));
        clock.sleep_until(start() + SignedDuration::from_millis(199)).await;
        assert!(dial().await.is_err());
        clock.sleep_until(start() + SignedDuration::from_millis(200)).await;
        dial().await.unwrap();
        assert!(dial().await.is_err());
    });
}

/// Begins calls to contacts 1 to `count`, one each second, and drops them all as a dying process does.
fn die_while_calling(dialer: &SimulatedDialer, count: i64) -> Vec<DialRequest> {
    let executor = VirtualExecutor::new(start());
    let clock = Arc::new(executor.clone());
    let requests: Vec<_> = (1..=count).map(|number| sample_request(number, Channel::Call, start())).collect();
    let (carrier, to_dial) = (dialer.clone(), requests.clone());
    executor.run(async move {
        for request in to_dial {
            let (carrier, context) = (carrier.clone(), TestHost::new(clock.clone()).context());
            clock.spawn(Box::pin(async move {
                let _ = carrier.dial(request, context).await;
            }));
            clock.sleep_until(clock.now() + SignedDuration::from_secs(1)).await;
        }
    });
    requests
}

fn ask(dialer: &SimulatedDialer, request: &DialRequest, now: Timestamp) -> Found {
    let question = find_request(request, start(), now, None);
    let dialer = dialer.clone();
    VirtualExecutor::new(now).run(async move { dialer.find(question).await.unwrap() })
}

#[test]
fn the_log_answers_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("carrier.log");
    let open = || SimulatedDialer::new(CarrierProfile { lookup_lag_millis: 1_000, ..answered_for(30, 5_000) }, 1).with_log(&path).unwrap();
    let requests = die_while_calling(&open(), 3);
    // Killed in the middle of a line: that hand-off did not happen.
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(whole.iter().filter(|byte| **byte == b'\n').count(), 3);
    let cut = |bytes: usize| std::fs::write(&path, &whole[..whole.len() - bytes]).unwrap();
    for bytes in [1, 20, 100] {
        cut(bytes);
        let restarted = open();
        assert_eq!(restarted.hand_offs().len(), 2);
        let later = start() + SignedDuration::from_secs(10);
        assert!(matches!(ask(&restarted, &requests[0], later), Found::Running { .. }));
        assert!(matches!(ask(&restarted, &requests[2], later), Found::NeverHappened));
    }
    // The next line starts on a line of its own, and the end is that of the schedule: 35 s after the hand-off.
    let restarted = open();
    let again = sample_request(9, Channel::Call, start());
    dial_all_from(start() + SignedDuration::from_secs(60), &restarted, vec![again.clone()]).remove(0).unwrap();
    let restarted = open();
    assert_eq!(restarted.hand_offs().len(), 3);
    for (second, ended) in [(34, false), (35, true)] {
        let found = ask(&restarted, &requests[0], start() + SignedDuration::from_secs(second));
        match found {
            Found::Ended(outcome) => assert!(ended && outcome.disposition == Disposition::Answered && outcome.duration_seconds == 30),
            Found::Running { .. } => assert!(!ended),
            other => panic!("{other:?}"),
        }
    }
    // A finished one has its end from the log; before the lag the look-up does not see it.
    let hand_off: HandOff = restarted.hand_offs().pop().unwrap();
    assert_eq!(hand_off.ended.as_ref().map(|(at, _)| *at), Some(hand_off.ends_at));
    assert!(matches!(ask(&restarted, &again, hand_off.at + SignedDuration::from_millis(999)), Found::NeverHappened));
    assert!(matches!(ask(&restarted, &again, hand_off.at + SignedDuration::from_millis(1_000)), Found::Running { .. } | Found::Ended(_)));
}

#[test]
fn a_damaged_log_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("carrier.log");
    let open = || SimulatedDialer::instant().with_log(&path);
    dial_all(&open().unwrap(), calls(3, |_| {}));
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("2025550142"), "no number in the log");
    std::fs::write(&path, text.replacen("handed_off", "handed", 2)).unwrap();
    let error = open().map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), campaign_core::Kind::Corrupt);
    assert!(error.context().contains(&("line", "1".into())), "{error}");
}

#[test]
fn a_repeated_hand_off_shows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("carrier.log");
    let dialer = SimulatedDialer::instant().with_log(&path).unwrap();
    let request = sample_request(1, Channel::Call, start());
    dial_all(&dialer, vec![request.clone(), request.clone(), sample_request(2, Channel::Call, start())]);
    for dialer in [dialer, SimulatedDialer::instant().with_log(&path).unwrap()] {
        assert_eq!(dialer.stats().repeated, 1);
        assert_eq!(dialer.hand_offs_by_key().into_values().collect::<Vec<_>>(), [2, 1]);
        assert!(dialer.hand_offs().is_sorted_by_key(|hand_off| hand_off.at));
    }
}

#[test]
fn profiles_read_from_a_file_are_checked() {
    for (json, field) in [
        (r#"{"throttled": 1.5}"#, "throttled"),
        (r#"{"ring_millis": {"min": 9, "max": 3}}"#, "ring_millis"),
        (r#"{"talk": {"min_seconds": 90}}"#, "talk"),
        (
            r#"{"calls": {"answered": 0, "voicemail": 0, "no_answer": 0, "busy": 0, "rejected": 0, "undeliverable": 0, "failed": 0}}"#,
            "calls",
        ),
        (r#"{"calls_per_second": 0}"#, "calls_per_second"),
    ] {
        let profile: CarrierProfile = serde_json::from_str(json).unwrap();
        let error = profile.check().unwrap_err();
        assert_eq!(error.context()[0], ("field", field.to_owned()), "{error}");
    }
    for profile in
        [CarrierProfile::default(), CarrierProfile::instant(), CarrierProfile::troubled(), CarrierProfile::default().with_daily_curve()]
    {
        profile.check().unwrap();
        assert_eq!(serde_json::from_str::<CarrierProfile>(&serde_json::to_string(&profile).unwrap()).unwrap(), profile);
    }
    // Whatever is in it, nothing panics.
    let absurd = CarrierProfile {
        throttled: f64::NAN,
        in_doubt: -3.0,
        ring_millis: Span { min: 5, max: 0 },
        calls: CallMix::none(),
        speed: 0,
        ..CarrierProfile::default()
    };
    assert_eq!(dial_one(absurd, |_| {}).disposition, Disposition::Failed);
}
