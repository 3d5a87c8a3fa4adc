//! Attempts in doubt: lost answers, panics, dialers that never return, nodes that die.

#![allow(clippy::unwrap_used, missing_docs)]

use campaign_core::campaign::{CampaignSpec, CampaignSpecBuilder};
use campaign_core::dialer::{Capabilities, Found, Idempotency, Script, ScriptedDialer};
use campaign_core::outcome::{Disposition, Outcome};
use campaign_core::{Error, Kind};
use campaign_tests::stage::{play, second, told};
use std::time::Duration;

fn spec() -> CampaignSpecBuilder {
    CampaignSpec::call("doubt").with(|spec| (spec.rate_limit_per_minute, spec.concurrent_limit) = (None, None))
}

/// One answer is lost, and `find` says this.
fn lost(found: impl Fn(i64) -> campaign_core::Result<Found> + Send + Sync + 'static) -> ScriptedDialer {
    let dialer = ScriptedDialer::new();
    dialer.next([Script::in_doubt()]);
    dialer.on_find(move |request| Some(found(request.now.duration_since(request.since).as_secs())));
    dialer
}

#[test]
fn what_the_provider_found_is_the_outcome() {
    play(lost(|_| Ok(Found::Ended(Outcome::answered(12)))), |stage| async move {
        let id = stage.start(spec(), 1).await;
        let contacts = stage.end(id).await;
        assert_eq!(told(&contacts[0]), ("completed", "answered"));
        assert_eq!(contacts[0].state.duration_seconds, 12);
        assert_eq!(stage.requests().len(), 1);
    });
}

#[test]
fn a_call_that_still_runs_is_asked_for_until_it_has_ended() {
    let found = |after| {
        if after < 200 { Ok(Found::Running { provider_ref: "call-9".to_owned() }) } else { Ok(Found::Ended(Outcome::answered(180))) }
    };
    play(lost(found), |stage| async move {
        let id = stage.start(spec(), 1).await;
        let contacts = stage.end(id).await;
        assert_eq!(told(&contacts[0]), ("completed", "answered"));
        assert_eq!(stage.attempts(contacts[0].id).await[0].provider_ref.as_deref(), Some("call-9"));
        assert!(contacts[0].state.completed_at.unwrap() >= second(200));
        assert_eq!(stage.requests().len(), 1);
    });
}

#[test]
fn what_never_happened_is_tried_again_and_consumed_an_attempt() {
    play(lost(|_| Ok(Found::NeverHappened)), |stage| async move {
        let id = stage.start(spec().retries(2, 10), 1).await;
        let contacts = stage.end(id).await;
        assert_eq!((told(&contacts[0]), contacts[0].state.attempts), (("completed", "answered"), 2));
        assert_eq!(stage.dialled(), [0, 600]);
        stage.dialer.assert_no_repeats();
    });
}

#[test]
fn what_nobody_knows_ends_in_doubt_after_patience_and_is_never_tried_again() {
    let cases: [fn(i64) -> campaign_core::Result<Found>; 2] = [|_| Ok(Found::Unknown), |_| Err(Error::new(Kind::Provider, "away"))];
    for found in cases {
        play(lost(found), |stage| async move {
            let id = stage.start(spec().retries(5, 1), 1).await;
            let contacts = stage.end(id).await;
            assert_eq!(told(&contacts[0]), ("failed", "in_doubt"));
            assert_eq!(contacts[0].state.last_disposition, Some(Disposition::InDoubt));
            // Ring, talk and request at their longest, and ten minutes of patience.
            assert_eq!(contacts[0].state.completed_at, Some(second(30 + 900 + 30 + 600)));
            assert_eq!(stage.requests().len(), 1);
            assert!(stage.dialer.finds().len() < 100);
        });
    }
}

#[test]
fn a_provider_that_can_never_know_is_not_waited_for() {
    let dialer = lost(|_| Ok(Found::Unknown));
    let capabilities = Capabilities { idempotency: Idempotency::None, ..Capabilities::default() };
    play(dialer.with_capabilities(capabilities), |stage| async move {
        let id = stage.start(spec().retries(5, 1), 1).await;
        let contacts = stage.end(id).await;
        assert_eq!(told(&contacts[0]), ("failed", "in_doubt"));
        assert_eq!(contacts[0].state.completed_at, Some(second(0)));
    });
}

#[test]
fn find_is_not_asked_before_the_lag_is_over() {
    let dialer = lost(|_| Ok(Found::Ended(Outcome::answered(1))));
    let capabilities = Capabilities { lookup_lag: Duration::from_secs(45), ..Capabilities::default() };
    play(dialer.with_capabilities(capabilities), |stage| async move {
        let id = stage.start(spec(), 1).await;
        stage.end(id).await;
        assert_eq!(stage.dialer.finds()[0].now, second(45));
    });
}

#[test]
fn the_lag_counts_from_when_the_dialer_gave_up_on_its_request() {
    let dialer = ScriptedDialer::new();
    dialer.next([Script::in_doubt().after(Duration::from_secs(20))]);
    dialer.on_find(|_| Some(Ok(Found::Ended(Outcome::answered(1)))));
    let capabilities = Capabilities { lookup_lag: Duration::from_secs(15), ..Capabilities::default() };
    play(dialer.with_capabilities(capabilities), |stage| async move {
        let id = stage.start(spec(), 1).await;
        stage.end(id).await;
        assert_eq!(stage.dialer.finds()[0].now, second(20 + 15));
    });
}

#[test]
fn a_panic_in_the_dialer_ends_that_attempt_only() {
    let dialer = ScriptedDialer::new();
    dialer.next([Script::answered(1), Script::Panic]);
    play(dialer, |stage| async move {
        let id = stage.start(spec(), 4).await;
        let contacts = stage.end(id).await;
        let ends: Vec<_> = contacts.iter().map(|contact| told(contact).1).collect();
        assert_eq!(ends, ["answered", "in_doubt", "answered", "answered"]);
    });
}

#[test]
fn a_panic_in_find_means_ask_again() {
    play(lost(|after| if after < 5 { panic!("find") } else { Ok(Found::Ended(Outcome::answered(3))) }), |stage| async move {
        let id = stage.start(spec(), 1).await;
        assert_eq!(told(&stage.end(id).await[0]), ("completed", "answered"));
    });
}

#[test]
fn a_dialer_that_never_returns_is_given_up_after_the_longest_time() {
    let dialer = ScriptedDialer::new();
    dialer.next([Script::Hang]);
    dialer.on_find(|_| Some(Ok(Found::Unknown)));
    play(dialer, |stage| async move {
        let id = stage.start(spec().concurrent_limit(1), 2).await;
        let contacts = stage.end(id).await;
        assert_eq!(told(&contacts[0]), ("failed", "in_doubt"));
        assert_eq!(told(&contacts[1]), ("completed", "answered"));
        assert!(contacts[0].state.completed_at.unwrap() <= second(3600));
    });
}

#[test]
fn the_attempts_of_a_dead_node_are_asked_for_after_lease_and_quarantine() {
    let dialer = ScriptedDialer::new();
    dialer.next([Script::answered(20).after(Duration::from_secs(60)), Script::answered(20).after(Duration::from_secs(60))]);
    play(dialer, |mut stage| async move {
        let id = stage.start(spec().concurrent_limit(2), 4).await;
        stage.until(5).await;
        stage.crash().await;
        let contacts = stage.end(id).await;
        assert!(contacts.iter().all(|contact| told(contact) == ("completed", "answered")), "{contacts:?}");
        assert!(contacts.iter().all(|contact| contact.state.attempts == 1));
        stage.dialer.assert_no_repeats();
        assert_eq!(stage.requests().len(), 4);
        let finds = stage.dialer.finds();
        // The lease was taken at the beginning and renewed at five seconds at the latest; longest pause and request come on top.
        assert!(finds.iter().all(|find| find.now >= second(15 + 10 + 30)), "{finds:?}");
        assert!(finds.iter().all(|find| find.now <= second(5 + 15 + 10 + 30 + 200)));
        assert!(!finds.is_empty());
    });
}

#[test]
fn what_a_dead_node_never_handed_over_consumes_no_attempt() {
    play(ScriptedDialer::new(), |mut stage| async move {
        let id = stage.start(spec().rate_limit_per_minute(60).retries(1, 1), 3).await;
        // The next one is claimed, its slot has not come.
        stage.pass(Duration::from_millis(700)).await;
        stage.crash().await;
        let contacts = stage.end(id).await;
        assert!(contacts.iter().all(|contact| told(contact) == ("completed", "answered")), "{contacts:?}");
        assert_eq!(stage.requests().len(), 3);
        stage.dialer.assert_no_repeats();
    });
}
