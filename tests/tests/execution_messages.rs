//! Messages, mixed campaigns and what the dialer is given.

#![allow(clippy::unwrap_used, missing_docs)]

use campaign_core::campaign::{CampaignSpec, CampaignSpecBuilder, Step};
use campaign_core::dialer::{Script, ScriptedDialer};
use campaign_core::outcome::{Channel, Disposition};
use campaign_core::schedule::{CallingWindows, TimeWindow};
use campaign_tests::stage::{Stage, play, row, second, told};
use serde_json::json;
use std::time::Duration;

fn message(stage: &Stage, index: usize) -> String {
    stage.requests()[index].request.texts["message"].clone()
}

fn channels(stage: &Stage) -> Vec<(Channel, i64)> {
    stage.requests().iter().map(|recorded| recorded.request.channel).zip(stage.dialled()).collect()
}

#[test]
fn messages_are_rendered_for_each_contact_and_valid_until_the_window_closes() {
    for (spec, channel) in [(CampaignSpec::sms("m"), Channel::Sms), (CampaignSpec::whatsapp("m"), Channel::WhatsApp)] {
        play(ScriptedDialer::new().otherwise(Script::ends(Disposition::Delivered)), move |stage| async move {
            let spec = spec.template("sms_message", "Hello {{ name }}").windows(CallingWindows::of([TimeWindow::new("09:00", "17:00")]));
            let id = stage.start_of(spec, vec![row(0, json!({ "name": "Ana" })), row(1, json!({ "name": "Ben" }))]).await;
            assert!(stage.end(id).await.iter().all(|contact| told(contact) == ("completed", "delivered")));
            assert_eq!((message(&stage, 0), message(&stage, 1)), ("Hello Ana".to_owned(), "Hello Ben".to_owned()));
            for recorded in stage.requests() {
                assert_eq!(recorded.request.channel, channel);
                assert_eq!(recorded.request.valid_until, Some(second(5 * 3600)));
            }
        });
    }
}

fn call_then_message() -> CampaignSpecBuilder {
    CampaignSpec::mixed("mixed")
        .template("sms_message", "We tried to call you")
        .retries(1, 1)
        .step(Step::call())
        .step(Step::sms().after_minutes(120).when_previous(&[Disposition::NoAnswer]))
}

#[test]
fn if_no_answer_a_message_two_hours_later() {
    let dialer = ScriptedDialer::new().otherwise(Script::ends(Disposition::Sent));
    dialer.next([Script::ends(Disposition::NoAnswer)]);
    play(dialer, |stage| async move {
        let id = stage.start(call_then_message(), 1).await;
        assert_eq!(told(&stage.end(id).await[0]), ("completed", "sent"));
        assert_eq!(channels(&stage), [(Channel::Call, 0), (Channel::Sms, 7200)]);
    });
}

#[test]
fn if_answered_no_message() {
    play(ScriptedDialer::new(), |stage| async move {
        let id = stage.start(call_then_message(), 1).await;
        assert_eq!(told(&stage.end(id).await[0]), ("completed", "answered"));
        assert_eq!(channels(&stage), [(Channel::Call, 0)]);
    });
}

fn message_then_call() -> CampaignSpecBuilder {
    CampaignSpec::mixed("mixed")
        .template("sms_message", "Please answer")
        .step(Step::sms())
        .step(Step::call().next_day_at("09:30").when_replied(false))
}

fn sends() -> ScriptedDialer {
    let dialer = ScriptedDialer::new();
    dialer.on(|request| (request.channel == Channel::Sms).then(|| Script::ends(Disposition::Delivered)));
    dialer
}

#[test]
fn a_call_the_next_morning_without_a_reply() {
    play(sends(), |stage| async move {
        let id = stage.start(message_then_call(), 1).await;
        assert_eq!(told(&stage.end(id).await[0]), ("completed", "answered"));
        assert_eq!(channels(&stage), [(Channel::Sms, 0), (Channel::Call, 21 * 3600 + 1800)]);
    });
}

#[test]
fn no_call_after_a_reply_and_the_campaign_completes() {
    play(sends(), |stage| async move {
        let id = stage.start(message_then_call(), 1).await;
        stage.until(600).await;
        stage.engine.record_reply(stage.contacts(id).await[0].id).await.unwrap();
        let contacts = stage.end(id).await;
        assert_eq!(told(&contacts[0]), ("completed", "delivered"));
        assert!(stage.clock_seconds() <= 601, "{}", stage.clock_seconds());
        assert_eq!(channels(&stage), [(Channel::Sms, 0)]);
    });
}

#[test]
fn voicemail_settings_reach_the_dialer_with_the_message_rendered() {
    let settings = |given: bool| {
        let spec = CampaignSpec::call("voicemail");
        if given {
            spec.leave_voicemail("Call us, {{ name }}")
        } else {
            spec.template("voicemail_message", "Call us, {{ name }}").with(|spec| {
                spec.voicemail.enable_voicemail_detection = true;
                spec.voicemail.leave_voicemail = true;
            })
        }
    };
    for given in [true, false] {
        play(ScriptedDialer::new().otherwise(Script::ends(Disposition::Voicemail)), move |stage| async move {
            let id = stage.start_of(settings(given), vec![row(0, json!({ "name": "Ana" }))]).await;
            // The message was left: nobody calls again.
            assert_eq!(told(&stage.end(id).await[0]), ("voicemail", "voicemail"));
            let requests = stage.requests();
            assert_eq!(requests.len(), 1);
            let voicemail = &requests[0].request.voicemail;
            assert!(voicemail.leave_voicemail && voicemail.enable_voicemail_detection);
            assert_eq!(voicemail.voicemail_message.as_deref(), Some("Call us, Ana"), "given as a setting: {given}");
        });
    }
}

#[test]
fn a_template_that_fails_for_one_contact_ends_that_contact_only() {
    play(ScriptedDialer::new().otherwise(Script::ends(Disposition::Sent)), |stage| async move {
        let spec = CampaignSpec::sms("m").template("sms_message", "You owe {{ amount }}");
        let id = stage
            .start_of(
                spec,
                vec![
                    row(0, json!({ "amount": "12" })),
                    row(1, json!({ "amount": "much".repeat(10_000) })),
                    row(2, json!({ "amount": "7" })),
                ],
            )
            .await;
        let contacts = stage.end(id).await;
        let ends: Vec<_> = contacts.iter().map(told).collect();
        assert_eq!(ends, [("completed", "sent"), ("failed", "template_error"), ("completed", "sent")]);
        assert_eq!(stage.requests().len(), 2);
    });
}

#[test]
fn a_message_waits_for_its_window_like_a_call() {
    play(ScriptedDialer::new().otherwise(Script::ends(Disposition::Sent).after(Duration::from_secs(1))), |stage| async move {
        let spec = CampaignSpec::sms("m").template("sms_message", "Hi").windows(CallingWindows::of([TimeWindow::new("15:00", "16:00")]));
        let id = stage.start(spec, 1).await;
        stage.end(id).await;
        assert_eq!(stage.dialled(), [3 * 3600]);
    });
}
