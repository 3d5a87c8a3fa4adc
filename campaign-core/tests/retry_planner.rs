//! What follows an outcome.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use campaign_core::campaign::{Backoff, Campaign, CampaignSpec, CampaignSpecBuilder, ContactView, Next, OutcomeRule, SpecCampaign, Step};
use campaign_core::contact::{Contact, ContactSource, ContactState, ContactStatus, NewContact, Owner, PlannedStep, Variables, ZoneKey};
use campaign_core::id::{AttemptId, CampaignId, ContactId, Money, NodeId, NodeToken};
use campaign_core::outcome::{Attempt, AttemptState, Channel, Disposition as D, Outcome};
use campaign_core::phone::PhoneNumber;
use jiff::{SignedDuration, Timestamp, ToSpan};
use proptest::prelude::*;
use std::sync::Arc;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn contact(zones: &str, replied_at: Option<Timestamp>) -> Contact {
    let person = NewContact {
        phone: PhoneNumber::from_e164("+15551234567").unwrap(),
        name: None,
        email: None,
        company: None,
        zones: ZoneKey::from_names(zones.split('|')),
        variables: Variables::new(),
        consent: None,
        source: ContactSource::Api,
    };
    let state = ContactState { replied_at, ..ContactState::new(1, Timestamp::UNIX_EPOCH) };
    Contact { id: ContactId(1), owner: Owner::Campaign(CampaignId(1)), person: Arc::new(person), state, created_at: Timestamp::UNIX_EPOCH }
}

/// An attempt that ended as soon as it began.
fn attempt(number: usize, step: u32, channel: Channel, ended: Timestamp, ending: D) -> Attempt {
    let began = ended;
    Attempt {
        id: AttemptId(number as i64),
        key: Arc::from("key"),
        campaign: CampaignId(1),
        contact: ContactId(1),
        run: 1,
        number: number as u32,
        step: PlannedStep { step, channel },
        from: None,
        spec_version: 1,
        state: AttemptState::Settled,
        claimed_by: NodeToken { node: NodeId(1), epoch: 1 },
        claimed_at: began,
        start_at: began,
        not_after: ended,
        reserved: Money::ZERO,
        provider_ref: None,
        started_at: Some(began),
        finished_at: Some(ended),
        outcome: Some(Outcome::new(ending)),
        reason: None,
    }
}

fn ask(spec: &CampaignSpec, contact: &Contact, history: &[Attempt], now: Timestamp) -> Next {
    let view = ContactView { contact, history, time_zone: &jiff::tz::TimeZone::UTC, seed: 7 };
    SpecCampaign::new(Arc::new(spec.clone())).next(&view, now)
}

fn show(next: &Next) -> String {
    match next {
        Next::Reach(step) => format!("reach {} {}", step.step, step.channel),
        Next::Wait { until, step, reason } => format!("wait {until} {} {}: {}", step.step, step.channel, reason.text),
        Next::Finish { status, reason } => format!("{status} ({}): {}", reason.code, reason.text),
    }
}

/// Attempts one after the other, each at the moment at which the planner wanted it; returns every answer.
fn play(spec: CampaignSpecBuilder, zones: &str, start: &str, endings: &[D]) -> Vec<String> {
    let spec = spec.build().unwrap();
    let contact = contact(zones, None);
    let (mut now, mut history, mut said) = (at(start), Vec::new(), Vec::new());
    for ending in endings {
        let step = match ask(&spec, &contact, &history, now) {
            Next::Reach(step) => step,
            Next::Wait { until, step, .. } => {
                now = until;
                step
            }
            Next::Finish { .. } => panic!("finished too early after {said:?}"),
        };
        history.push(attempt(history.len() + 1, step.step, step.channel, now, *ending));
        said.push(show(&ask(&spec, &contact, &history, now)));
    }
    said
}

const START: &str = "2024-02-15T10:00:00Z";

#[test]
fn defaults_are_three_attempts_thirty_minutes_apart() {
    assert_eq!(
        play(CampaignSpec::call("c"), "", START, &[D::NoAnswer, D::Busy, D::NoAnswer]),
        [
            "wait 2024-02-15T10:30:00Z 0 call: Will retry in 30 minutes",
            "wait 2024-02-15T11:00:00Z 0 call: Will retry in 30 minutes",
            "no_answer (no_answer): No answer after 3 attempts."
        ]
    );
}

#[test]
fn every_ending_of_a_single_attempt() {
    for (ending, want) in [
        (D::Answered, "completed (answered): The person answered."),
        (D::Sent, "completed (sent): The message was sent."),
        (D::Delivered, "completed (delivered): The message was delivered."),
        (D::NoAnswer, "no_answer (no_answer): No answer after 1 attempt."),
        (D::Busy, "busy (busy): Busy after 1 attempt."),
        (D::Voicemail, "voicemail (voicemail): Voicemail after 1 attempt."),
        (D::Rejected, "failed (rejected): Rejected after 1 attempt."),
        (D::Failed, "failed (failed): Failed after 1 attempt."),
        (D::Undeliverable, "failed (undeliverable): The number cannot be reached this way."),
        (D::Cancelled, "failed (cancelled): The attempt was given up before it connected."),
        (D::InDoubt, "failed (in_doubt): Nobody can say whether the person was reached, so they are not contacted again."),
        (D::OptedOut, "skipped (opted_out): The person asked not to be contacted again."),
    ] {
        assert_eq!(play(CampaignSpec::call("c").retries(1, 30), "", START, &[ending]), [want]);
        // With attempts left, only the five that may be tried again are.
        let waits = play(CampaignSpec::call("c"), "", START, &[ending])[0].starts_with("wait");
        assert_eq!(waits, matches!(ending, D::NoAnswer | D::Busy | D::Voicemail | D::Rejected | D::Failed), "{ending}");
    }
}

#[test]
fn a_message_left_is_final_unless_a_rule_says_otherwise() {
    let leaving = || CampaignSpec::call("c").leave_voicemail("Please call back.");
    assert_eq!(play(leaving(), "", START, &[D::Voicemail]), ["voicemail (voicemail): Voicemail after 1 attempt."]);
    let rule = leaving().retry_rule(D::Voicemail, OutcomeRule::default());
    assert_eq!(play(rule, "", START, &[D::Voicemail]), ["wait 2024-02-15T10:30:00Z 0 call: Will retry in 30 minutes"]);
}

#[test]
fn rules_per_outcome() {
    let spec = || {
        CampaignSpec::call("c")
            .retries(5, 60)
            .retry_rule(D::Busy, OutcomeRule { delay_minutes: Some(5), max_attempts: Some(2), ..OutcomeRule::default() })
            .retry_rule(D::Rejected, OutcomeRule { retry: false, ..OutcomeRule::default() })
            .retry_rule(D::Undeliverable, OutcomeRule::default())
    };
    assert_eq!(
        play(spec(), "", START, &[D::Busy, D::NoAnswer, D::Busy]),
        [
            "wait 2024-02-15T10:05:00Z 0 call: Will retry in 5 minutes",
            "wait 2024-02-15T11:05:00Z 0 call: Will retry in 1 hour",
            "busy (busy): Busy after 3 attempts."
        ]
    );
    assert_eq!(play(spec(), "", START, &[D::Rejected]), ["failed (rejected): Rejected after 1 attempt."]);
    assert_eq!(play(spec(), "", START, &[D::Undeliverable]), ["wait 2024-02-15T11:00:00Z 0 call: Will retry in 1 hour"]);
}

/// The delays in minutes between attempts that all end alike.
fn delays(spec: CampaignSpecBuilder, attempts: usize) -> Vec<i64> {
    let spec = spec.build().unwrap();
    let contact = contact("", None);
    let (mut now, mut history, mut delays) = (at(START), Vec::new(), Vec::new());
    for number in 1..=attempts {
        history.push(attempt(number, 0, Channel::Call, now, D::NoAnswer));
        if let Next::Wait { until, .. } = ask(&spec, &contact, &history, now) {
            delays.push(until.duration_since(now).as_mins());
            now = until;
        }
    }
    delays
}

#[test]
fn backoff_with_a_cap() {
    let spec = |backoff, cap| {
        CampaignSpec::call("c").retries(6, 30).with(move |spec| {
            spec.retry.backoff = backoff;
            spec.retry.max_delay_minutes = cap;
        })
    };
    assert_eq!(delays(spec(Backoff::Fixed, 1440), 6), [30, 30, 30, 30, 30]);
    assert_eq!(delays(spec(Backoff::Linear, 100), 6), [30, 60, 90, 100, 100]);
    assert_eq!(delays(spec(Backoff::Exponential, 200), 6), [30, 60, 120, 200, 200]);
    // A plain delay that is longer than the cap is what was asked for.
    assert_eq!(delays(spec(Backoff::Exponential, 10), 4), [30, 30, 30, 30]);
}

#[test]
fn retries_move_to_parts_of_the_day_not_yet_tried() {
    let spec = || CampaignSpec::call("c").retries(6, 30).with(|spec| spec.retry.spread_over_day = true);
    // New York: 10:00, then noon, afternoon, evening, then plain delays.
    let mut said = play(spec(), "America/New_York", "2024-02-15T15:00:00Z", &[D::NoAnswer; 5]);
    said.iter_mut().for_each(|line| *line = line.split(' ').nth(1).unwrap().to_owned());
    assert_eq!(
        said,
        ["2024-02-15T16:00:00Z", "2024-02-15T19:00:00Z", "2024-02-15T22:00:00Z", "2024-02-15T22:30:00Z", "2024-02-15T23:00:00Z"]
    );
    // Late in the evening the morning of the next day comes first.
    assert_eq!(
        play(spec(), "", "2024-02-15T20:45:00Z", &[D::NoAnswer]),
        ["wait 2024-02-16T08:00:00Z 0 call: Will retry in 11 hours 15 minutes"]
    );
}

#[test]
fn messages_are_retried_when_they_fail() {
    assert_eq!(
        play(CampaignSpec::sms("c"), "", START, &[D::Failed, D::Delivered]),
        ["wait 2024-02-15T10:30:00Z 0 sms: Will retry in 30 minutes", "completed (delivered): The message was delivered."]
    );
    assert_eq!(play(CampaignSpec::whatsapp("c").retries(1, 5), "", START, &[D::Failed]), ["failed (failed): Failed after 1 attempt."]);
}

#[test]
fn no_answer_then_an_sms_two_hours_later() {
    let spec = || {
        CampaignSpec::mixed("c").retries(2, 30).step(Step::call()).step(Step::sms().after_minutes(120).when_previous(&[
            D::NoAnswer,
            D::Busy,
            D::Voicemail,
        ]))
    };
    assert_eq!(
        play(spec(), "", START, &[D::NoAnswer, D::NoAnswer, D::Sent]),
        [
            "wait 2024-02-15T10:30:00Z 0 call: Will retry in 30 minutes",
            "wait 2024-02-15T12:30:00Z 1 sms: Step 2 follows in 2 hours",
            "completed (sent): The message was sent."
        ]
    );
    assert_eq!(play(spec(), "", START, &[D::Answered]), ["completed (answered): The person answered."]);
    assert_eq!(play(spec(), "", START, &[D::Undeliverable]), ["failed (undeliverable): The number cannot be reached this way."]);
    // A message has one attempt of its own; the contact ends as the last attempt did.
    assert_eq!(play(spec(), "", START, &[D::NoAnswer, D::Busy, D::Failed])[2], "failed (failed): Failed after 1 attempt.");
}

fn sms_then_call() -> CampaignSpec {
    CampaignSpec::mixed("c").step(Step::sms()).step(Step::call().next_day_at("09:30").when_replied(false)).build().unwrap()
}

#[test]
fn sms_first_then_a_call_next_morning_without_a_reply() {
    let spec = sms_then_call();
    // 23:30 in New York is already the next day in UTC; the contact's day counts.
    let sent = at("2024-03-10T03:30:00Z");
    let history = [attempt(1, 0, Channel::Sms, sent, D::Sent)];
    let morning = at("2024-03-10T13:30:00Z");
    let quiet = contact("America/New_York", None);
    assert_eq!(show(&ask(&spec, &quiet, &history, sent)), "wait 2024-03-10T13:30:00Z 1 call: Step 2 follows in 10 hours");
    assert_eq!(show(&ask(&spec, &quiet, &history, morning)), "reach 1 call");
    // A reply while the call waits, even just before it is handed over, ends the contact.
    let replied = contact("America/New_York", Some(sent + 1.hour()));
    for now in [sent + 1.hour(), morning] {
        assert_eq!(show(&ask(&spec, &replied, &history, now)), "completed (sent): The message was sent.");
    }
    // A reply from before this run does not count.
    let long_ago = contact("America/New_York", Some(sent - 24.hours()));
    assert_eq!(show(&ask(&spec, &long_ago, &history, morning)), "reach 1 call");
    // Nor is the call retried once they have answered back.
    let called = [history[0].clone(), attempt(2, 1, Channel::Call, morning, D::NoAnswer)];
    assert_eq!(show(&ask(&spec, &replied, &called, morning)), "completed (sent): The message was sent.");
    assert!(show(&ask(&spec, &quiet, &called, morning)).starts_with("wait"));
}

#[test]
fn a_step_that_needs_a_reply_waits_for_it_until_it_is_due() {
    let spec = CampaignSpec::mixed("c")
        .step(Step::sms())
        .step(Step::call().after_minutes(60).when_replied(true))
        .step(Step::whatsapp().after_minutes(120))
        .build()
        .unwrap();
    let sent = at(START);
    let history = [attempt(1, 0, Channel::Sms, sent, D::Sent)];
    let (quiet, replied) = (contact("", None), contact("", Some(sent + 5.minutes())));
    assert_eq!(show(&ask(&spec, &quiet, &history, sent)), "wait 2024-02-15T11:00:00Z 1 call: Step 2 follows in 1 hour");
    assert_eq!(show(&ask(&spec, &replied, &history, sent + 1.hour())), "reach 1 call");
    assert_eq!(show(&ask(&spec, &quiet, &history, sent + 1.hour())), "wait 2024-02-15T12:00:00Z 2 whatsapp: Step 3 follows in 2 hours");
}

#[test]
fn success_does_not_end_the_sequence() {
    let spec = || CampaignSpec::mixed("c").step(Step::call()).step(Step::sms()).step(Step::whatsapp().when_previous(&[D::Failed]));
    assert_eq!(play(spec(), "", START, &[D::Answered, D::Sent]), ["reach 1 sms", "completed (sent): The message was sent."]);
    // The last success decides, whatever failed after it; and nothing follows an opt-out.
    assert_eq!(play(spec(), "", START, &[D::Answered, D::Failed, D::Undeliverable])[2], "completed (answered): The person answered.");
    assert_eq!(play(spec(), "", START, &[D::OptedOut]), ["skipped (opted_out): The person asked not to be contacted again."]);
}

#[test]
fn a_step_that_was_edited_away_ends() {
    let contact = contact("", None);
    let history = [attempt(1, 4, Channel::Call, at(START), D::NoAnswer)];
    assert_eq!(show(&ask(&sms_then_call(), &contact, &history, at(START))), "no_answer (no_answer): No answer after 1 attempt.");
}

proptest! {
    /// Whatever happens: the same question has the same answer, no step has more attempts than it may, steps never go back, waiting ends
    /// in reaching, and every contact finishes.
    #[test]
    fn planning_is_bounded_and_deterministic(
        endings in prop::collection::vec(prop::sample::select(D::ALL.to_vec()), 60),
        steps in prop::collection::vec((0u32..3, 0u32..200, prop::option::of(any::<bool>()), 1u32..=10), 1..5),
        (max_attempts, jitter, spread) in (1u32..=10, 0u32..=50, any::<bool>()),
        backoff in prop::sample::select(vec![Backoff::Fixed, Backoff::Linear, Backoff::Exponential]),
        reply in prop::option::of(0i64..5000),
    ) {
        let mut builder = CampaignSpec::mixed("c").retries(max_attempts, 30);
        for (index, (channel, delay, replied, attempts)) in steps.iter().enumerate() {
            let mut step = [Step::call(), Step::sms(), Step::whatsapp()][*channel as usize].clone().attempts(*attempts);
            if index > 0 {
                step = step.after_minutes(*delay);
                step.when.replied = *replied;
            }
            builder = builder.step(step);
        }
        let spec = builder.with(|spec| {
            spec.retry.jitter_percent = jitter;
            spec.retry.spread_over_day = spread;
            spec.retry.backoff = backoff;
        }).build().unwrap();
        let (mut now, mut history) = (at(START), Vec::<Attempt>::new());
        let replies = reply.map(|minutes| now + SignedDuration::from_mins(minutes));
        loop {
            let contact = contact("Europe/Berlin", replies.filter(|at| *at <= now));
            let next = ask(&spec, &contact, &history, now);
            prop_assert_eq!(&next, &ask(&spec, &contact, &history, now));
            match next {
                Next::Finish { status, .. } => {
                    prop_assert!(status.is_terminal() && status != ContactStatus::Cancelled);
                    break;
                }
                Next::Wait { until, .. } => {
                    prop_assert!(until > now);
                    now = until;
                }
                Next::Reach(step) => {
                    prop_assert!(history.last().is_none_or(|last| last.step.step <= step.step));
                    let used = history.iter().filter(|attempt| attempt.step.step == step.step).count();
                    prop_assert!(used < steps[step.step as usize].3 as usize);
                    prop_assert_eq!(step.channel, spec.steps[step.step as usize].channel);
                    now += 10.seconds();
                    history.push(attempt(history.len() + 1, step.step, step.channel, now, endings[history.len()]));
                }
            }
        }
    }
}
