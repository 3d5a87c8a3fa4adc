//! Edits, pauses and stops while a campaign runs, and campaigns of a user's own kind.

#![allow(clippy::unwrap_used, missing_docs)]

use campaign_core::campaign::{Campaign, CampaignSpec, CampaignSpecBuilder, CampaignType, ContactView, Next};
use campaign_core::contact::{ContactStatus, PlannedStep, Reason};
use campaign_core::dialer::{Script, ScriptedDialer};
use campaign_core::outcome::{Channel, Disposition};
use campaign_core::schedule::{CallingWindows, TimeWindow};
use campaign_tests::stage::{play, play_on, told};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

fn spec() -> CampaignSpecBuilder {
    CampaignSpec::call("changes").with(|spec| (spec.rate_limit_per_minute, spec.concurrent_limit) = (None, None))
}

fn lasting(seconds: u64) -> ScriptedDialer {
    ScriptedDialer::new().otherwise(Script::answered(1).after(Duration::from_secs(seconds)))
}

#[test]
fn concurrency_is_raised_and_lowered_while_running() {
    play(lasting(60), |stage| async move {
        let id = stage.start(spec().concurrent_limit(1), 12).await;
        stage.until(10).await;
        stage.engine.update_campaign(id, |spec| spec.concurrent_limit = Some(4)).await.unwrap();
        stage.until(70).await;
        stage.engine.update_campaign(id, |spec| spec.concurrent_limit = Some(2)).await.unwrap();
        stage.end(id).await;
        assert_eq!(stage.dialled()[..8], [0, 10, 10, 10, 60, 70, 120, 130]);
    });
}

#[test]
fn a_rate_lowered_takes_effect_at_the_next_hand_off() {
    play(ScriptedDialer::new(), |stage| async move {
        let id = stage.start(spec().rate_limit_per_minute(60), 20).await;
        stage.pass(Duration::from_millis(3500)).await;
        stage.engine.update_campaign(id, |spec| spec.rate_limit_per_minute = Some(2)).await.unwrap();
        stage.end(id).await;
        let dialled = stage.dialled();
        let later: Vec<i64> = dialled.into_iter().filter(|at| *at >= 4).collect();
        assert!(later.windows(2).all(|two| two[1] - two[0] >= 30), "{later:?}");
    });
}

#[test]
fn windows_templates_and_retries_take_effect_at_the_next_hand_off_and_attempts_say_under_which_version() {
    let dialer = ScriptedDialer::new();
    dialer.next([Script::ends(Disposition::Busy)]);
    play(dialer, |stage| async move {
        let id = stage.start(spec().template("welcome_message", "one").retries(2, 60), 1).await;
        stage.until(60).await;
        stage
            .engine
            .update_campaign(id, |spec| {
                spec.templates.insert("welcome_message".to_owned(), "two".to_owned());
                spec.windows = CallingWindows::of([TimeWindow::new("15:00", "16:00")]);
            })
            .await
            .unwrap();
        let contacts = stage.end(id).await;
        assert_eq!(stage.dialled(), [0, 3 * 3600]);
        let texts: Vec<String> = stage.requests().iter().map(|seen| seen.request.texts["welcome_message"].clone()).collect();
        assert_eq!(texts, ["one", "two"]);
        let versions: Vec<u32> = stage.attempts(contacts[0].id).await.iter().map(|attempt| attempt.spec_version).collect();
        assert_eq!(versions, [1, 2]);
    });
}

#[test]
fn an_edit_between_claim_and_hand_off_claims_anew() {
    play(ScriptedDialer::new(), |stage| async move {
        let id = stage.start(spec().template("welcome_message", "one").rate_limit_per_minute(60), 2).await;
        stage.pass(Duration::from_millis(600)).await;
        assert_eq!(told(&stage.contacts(id).await[1]).0, "in_progress", "claimed ahead");
        let two = |spec: &mut CampaignSpec| drop(spec.templates.insert("welcome_message".to_owned(), "two".to_owned()));
        stage.engine.update_campaign(id, two).await.unwrap();
        let contacts = stage.end(id).await;
        assert_eq!(stage.requests()[1].request.texts["welcome_message"], "two");
        let attempts = stage.attempts(contacts[1].id).await;
        assert_eq!(attempts.last().unwrap().spec_version, 2);
        assert_eq!(contacts[1].state.attempts, 1);
    });
}

#[test]
fn no_hand_off_follows_a_pause_and_resume_goes_on() {
    play(ScriptedDialer::new(), |stage| async move {
        let id = stage.start(spec().rate_limit_per_minute(60), 10).await;
        stage.pass(Duration::from_millis(2500)).await;
        stage.engine.pause(id).await.unwrap();
        let before = stage.requests().len();
        stage.until(600).await;
        assert_eq!(stage.requests().len(), before);
        stage.engine.resume(id).await.unwrap();
        let contacts = stage.end(id).await;
        assert!(contacts.iter().all(|contact| contact.state.attempts == 1));
        assert_eq!(stage.requests().len(), 10);
    });
}

#[test]
fn stop_waits_for_calls_and_gives_back_what_was_claimed() {
    play(lasting(30), |mut stage| async move {
        let id = stage.start(spec().rate_limit_per_minute(60).concurrent_limit(2), 4).await;
        stage.pass(Duration::from_millis(600)).await;
        stage.engine.stop(None).await.unwrap();
        let statuses: Vec<_> = stage.contacts(id).await.iter().map(|contact| contact.state.status.as_str()).collect();
        assert_eq!(statuses, ["completed", "pending", "pending", "pending"]);
        stage.crash().await;
        let contacts = stage.end(id).await;
        assert!(contacts.iter().all(|contact| contact.state.attempts == 1));
        assert!(stage.dialer.finds().is_empty(), "nothing was in doubt");
    });
}

/// Calls until it was busy once, then leaves it at that. Asked about a contact whose name is `panic`, it does.
struct OnceBusy;

impl Campaign for OnceBusy {
    fn next(&self, view: &ContactView<'_>, _: Timestamp) -> Next {
        assert!(view.contact.person.name.as_deref() != Some("panic"));
        match view.history.last().and_then(|attempt| attempt.disposition()) {
            Some(Disposition::Busy) => Next::Finish { status: ContactStatus::Busy, reason: Reason::new("left_alone", "Busy once.") },
            _ => {
                let channel = if view.contact.person.name.as_deref() == Some("message") { Channel::Sms } else { Channel::Call };
                Next::Reach(PlannedStep { step: 0, channel })
            }
        }
    }

    fn message_template(&self, _: &PlannedStep) -> &str {
        panic!("no templates")
    }
}

#[test]
fn a_users_own_kind_plugs_in_survives_a_restart_and_its_panics_end_one_contact() {
    let dialer = ScriptedDialer::new().otherwise(Script::ends(Disposition::NoAnswer));
    dialer.on(|request| (request.attempt_number == 3).then(|| Script::ends(Disposition::Busy)));
    let setup = |builder: campaign_core::engine::EngineBuilder| {
        builder.campaign_kind("once_busy", |_: &Arc<CampaignSpec>| Ok(Arc::new(OnceBusy) as Arc<dyn Campaign>))
    };
    play_on(dialer, setup, |mut stage| async move {
        let spec = spec().with(|spec| {
            spec.campaign_type = CampaignType::Custom("once_busy".to_owned());
            spec.rate_limit_per_minute = Some(6);
        });
        let row = |index, name: &str| campaign_tests::stage::row(index, serde_json::json!({ "name": name }));
        let id = stage.start_of(spec, vec![row(0, "Ana"), row(1, "panic"), row(2, "message"), row(3, "Ben")]).await;
        stage.until(25).await;
        stage.crash().await;
        let contacts = stage.end(id).await;
        let ends: Vec<_> = contacts.iter().map(told).collect();
        assert_eq!(ends, [("busy", "left_alone"), ("failed", "policy_panicked"), ("failed", "policy_panicked"), ("busy", "left_alone")]);
        assert_eq!(contacts[0].state.attempts, 3);
    });
}
