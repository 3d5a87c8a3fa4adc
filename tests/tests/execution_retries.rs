//! What follows an outcome: retries, final statuses, errors of the provider.

#![allow(clippy::unwrap_used, missing_docs)]

use campaign_core::campaign::{CampaignSpec, CampaignSpecBuilder, OutcomeRule};
use campaign_core::dialer::{DialError, Script, ScriptedDialer};
use campaign_core::outcome::{AttemptState, Disposition, Outcome};
use campaign_core::schedule::{CallingWindows, TimeWindow};
use campaign_tests::stage::{begin, play, second, told};
use jiff::SignedDuration;
use std::time::Duration;

fn spec() -> CampaignSpecBuilder {
    CampaignSpec::call("retries")
}

#[test]
fn every_final_status_says_why() {
    let cases = [
        (Disposition::Answered, "completed", "answered", 1),
        (Disposition::NoAnswer, "no_answer", "no_answer", 2),
        (Disposition::Busy, "busy", "busy", 2),
        (Disposition::Voicemail, "voicemail", "voicemail", 2),
        (Disposition::Rejected, "failed", "rejected", 2),
        (Disposition::Failed, "failed", "failed", 2),
        (Disposition::Undeliverable, "failed", "undeliverable", 1),
        (Disposition::OptedOut, "skipped", "opted_out", 1),
        (Disposition::Cancelled, "failed", "cancelled", 1),
    ];
    for (ending, status, reason, attempts) in cases {
        play(ScriptedDialer::new().otherwise(Script::ends(ending)), move |stage| async move {
            let id = stage.start(spec().retries(2, 10), 1).await;
            let contacts = stage.end(id).await;
            assert_eq!(told(&contacts[0]), (status, reason));
            assert_eq!(contacts[0].state.attempts, attempts, "{ending:?}");
            assert_eq!(contacts[0].state.last_disposition, Some(ending));
            assert_eq!(stage.requests().len() as u32, attempts);
        });
    }
}

#[test]
fn a_retry_follows_after_the_delay_counted_from_the_end_of_the_call() {
    let dialer = ScriptedDialer::new();
    dialer.next([Script::ends(Disposition::NoAnswer).after(Duration::from_secs(25))]);
    play(dialer, |stage| async move {
        let id = stage.start(spec().retries(3, 30), 1).await;
        stage.until(60).await;
        let waiting = &stage.contacts(id).await[0];
        assert_eq!(told(waiting), ("pending", "retry"));
        assert_eq!(waiting.state.due_at, second(25 + 1800));
        assert_eq!(told(&stage.end(id).await[0]), ("completed", "answered"));
        assert_eq!(stage.dialled(), [0, 25 + 1800]);
    });
}

#[test]
fn each_outcome_has_its_own_rule() {
    let dialer = ScriptedDialer::new().otherwise(Script::ends(Disposition::NoAnswer));
    dialer.next([Script::ends(Disposition::Busy), Script::ends(Disposition::Busy), Script::ends(Disposition::NoAnswer)]);
    play(dialer, |stage| async move {
        let busy = OutcomeRule { delay_minutes: Some(5), ..OutcomeRule::default() };
        let no_answer = OutcomeRule { retry: false, ..OutcomeRule::default() };
        let spec = spec().retries(5, 60).retry_rule(Disposition::Busy, busy).retry_rule(Disposition::NoAnswer, no_answer);
        let id = stage.start(spec, 1).await;
        assert_eq!(told(&stage.end(id).await[0]), ("no_answer", "no_answer"));
        assert_eq!(stage.dialled(), [0, 300, 600]);
    });
}

#[test]
fn a_retry_that_falls_outside_of_the_window_waits_for_the_next_one() {
    let dialer = ScriptedDialer::new();
    dialer.next([Script::ends(Disposition::Busy)]);
    play(dialer, |stage| async move {
        let spec = spec().retries(2, 60).windows(CallingWindows::of([TimeWindow::new("09:00", "12:30")]));
        let id = stage.start(spec, 1).await;
        stage.end(id).await;
        // Noon, and nine the next morning.
        assert_eq!(stage.dialled(), [0, 21 * 3600]);
    });
}

#[test]
fn a_permanent_error_ends_the_contact_at_once() {
    play(ScriptedDialer::new().otherwise(Script::permanent()), |stage| async move {
        let id = stage.start(spec().retries(5, 1), 1).await;
        assert_eq!(told(&stage.end(id).await[0]), ("failed", "undeliverable"));
        assert_eq!(stage.requests().len(), 1);
    });
}

#[test]
fn a_transient_error_consumes_an_attempt() {
    play(ScriptedDialer::new().otherwise(Script::transient()), |stage| async move {
        let id = stage.start(spec().retries(3, 1), 1).await;
        let contacts = stage.end(id).await;
        assert_eq!(told(&contacts[0]), ("failed", "failed"));
        assert_eq!(contacts[0].state.attempts, 3);
        assert_eq!(stage.dialled(), [0, 60, 120]);
    });
}

#[test]
fn throttled_consumes_no_attempt_and_holds_back_every_hand_off() {
    let dialer = ScriptedDialer::new();
    dialer.next([Script::throttled(Duration::from_secs(40))]);
    play(dialer, |stage| async move {
        let first = stage.start(spec().retries(1, 1).concurrent_limit(1), 1).await;
        let second_campaign = stage.start(spec().retries(1, 1), 4).await;
        let contacts = stage.end(first).await;
        stage.end(second_campaign).await;
        assert_eq!(contacts[0].state.attempts, 1);
        let dialled = stage.dialled();
        assert_eq!(dialled[0], 0);
        assert!(dialled[1..].iter().all(|at| *at >= 40), "{dialled:?}");
        assert_eq!(dialled.len(), 6);
        let attempts = stage.attempts(contacts[0].id).await;
        assert_eq!(attempts[0].state, AttemptState::Refused);
        assert_eq!(attempts[1].number, 1);
    });
}

#[test]
fn a_provider_that_throttles_without_a_wait_is_not_asked_in_a_frenzy() {
    let dialer = ScriptedDialer::new();
    dialer.on(|request| (request.attempt_id.0 < 1000).then(|| Script::throttled(Duration::ZERO)));
    play(dialer, |stage| async move {
        stage.start(spec().with(|spec| (spec.rate_limit_per_minute, spec.concurrent_limit) = (None, None)), 1).await;
        stage.pass(Duration::from_secs(10)).await;
        assert!(stage.requests().len() <= 100, "{}", stage.requests().len());
    });
}

#[test]
fn who_opts_out_is_suppressed_for_later_campaigns() {
    for script in [Script::ends(Disposition::OptedOut), Script::Error(DialError::Suppressed)] {
        let dialer = ScriptedDialer::new();
        dialer.next([script]);
        play(dialer, |stage| async move {
            let first = stage.start(spec(), 1).await;
            assert_eq!(told(&stage.end(first).await[0]), ("skipped", "opted_out"));
            let later = stage
                .draft_of(
                    spec(),
                    vec![campaign_tests::stage::row(0, serde_json::json!({})), campaign_tests::stage::row(1, serde_json::json!({}))],
                )
                .await;
            stage.engine.start(later).await.unwrap();
            let contacts = stage.end(later).await;
            assert_eq!(told(&contacts[0]), ("skipped", "suppressed"));
            assert_eq!(told(&contacts[1]), ("completed", "answered"));
            assert_eq!(stage.requests().len(), 2);
        });
    }
}

#[test]
fn an_attempt_keeps_what_happened() {
    let dialer = ScriptedDialer::new();
    dialer.next([Script::Outcome(Outcome::answered(75)).after(Duration::from_secs(80)).placed("call-1")]);
    play(dialer, |stage| async move {
        let id = stage.start(spec(), 1).await;
        let contacts = stage.end(id).await;
        let attempts = stage.attempts(contacts[0].id).await;
        assert_eq!(attempts.len(), 1);
        assert_eq!(attempts[0].provider_ref.as_deref(), Some("call-1"));
        assert_eq!(attempts[0].started_at, Some(begin()));
        assert_eq!(attempts[0].finished_at, Some(begin() + SignedDuration::from_secs(80)));
        assert_eq!(contacts[0].state.duration_seconds, 75);
    });
}
