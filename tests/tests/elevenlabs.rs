//! Campaigns over a simulated ElevenLabs: whatever the network and the callbacks do, each attempt is handed over once.

#![allow(clippy::unwrap_used, missing_docs)]

use campaign_core::Kind;
use campaign_core::campaign::{CampaignSpec, CampaignSpecBuilder};
use campaign_core::dialer::elevenlabs::{
    BatchRecipient, BatchStatus, BatchSubmission, ElevenLabsBatch, ElevenLabsConfig, ElevenLabsDialer, RecipientStatus, WhatsAppSettings,
    WhatsAppTemplate,
};
use campaign_core::dialer::{DialError, DialRequest, Dialer, Found, RoutedDialer, Script, ScriptedDialer};
use campaign_core::executor::{Executor as _, SharedExecutor, VirtualExecutor};
use campaign_core::outcome::{Channel, Disposition};
use campaign_core::testkit::dialer::{Fixture, Situation, run};
use campaign_tests::stage::phone;
use campaign_tests::vendors::elevenlabs::{Delivery, ElevenLabs, Fate, Fault, KEY, SECRET, pass};
use campaign_tests::vendors::scene::{Program, client, play, question};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn config(vendor: &ElevenLabs, callbacks: bool) -> ElevenLabsConfig {
    let template = |name: &str| WhatsAppTemplate { name: name.into(), language: "en_US".into(), parameters: vec!["message".into()] };
    ElevenLabsConfig {
        api_key: KEY.into(),
        base_url: Some(vendor.url()),
        agent_id: Some("agent_1".into()),
        agent_phone_number_id: Some("phnum_1".into()),
        whatsapp: Some(WhatsAppSettings {
            phone_number_id: "wa_1".into(),
            permission_template: Some(template("may_we")),
            message_template: Some(template("hello")),
        }),
        webhook_secrets: if callbacks { vec![SECRET.into()] } else { Vec::new() },
        ..ElevenLabsConfig::default()
    }
}

fn dialer(vendor: &ElevenLabs, clock: &VirtualExecutor, callbacks: bool) -> ElevenLabsDialer {
    ElevenLabsDialer::new(config(vendor, callbacks)).unwrap().with_http(client(clock))
}

fn vendor(clock: &VirtualExecutor) -> ElevenLabs {
    ElevenLabs::start(Arc::new(clock.clone())).unwrap()
}

fn spec() -> CampaignSpecBuilder {
    CampaignSpec::call("agents").template("welcome_message", "Hello, this is about your {{ plan }} plan.").with(|spec| {
        spec.max_attempts = 1;
        spec.max_duration_seconds = 120;
        (spec.rate_limit_per_minute, spec.concurrent_limit) = (None, None);
    })
}

/// A vendor for each situation, so that none remembers another's.
struct Situations {
    clock: VirtualExecutor,
    routed: bool,
    vendors: Mutex<Vec<ElevenLabs>>,
}

impl Fixture for Situations {
    fn provoke(&self, situation: Situation, _: &mut DialRequest) -> Option<Arc<dyn Dialer>> {
        let vendor = vendor(&self.clock);
        let number = json!({ "detail": [{ "loc": ["body", "to_number"], "msg": "not a number", "type": "value_error" }] });
        let fails = |message: &str| json!({ "success": false, "message": message, "conversation_id": null, "callSid": null });
        match situation {
            Situation::Usual => {}
            Situation::Long => vendor.usually(Fate::answers(60)),
            Situation::Busy => vendor.usually(Fate::not_answered("busy")),
            Situation::Throttled => {
                vendor.fail_next("outbound-call", Fault::Refuse(429, json!({ "detail": { "status": "system_busy" } }), Some(3)))
            }
            Situation::Transient => vendor.fail_next("outbound-call", Fault::Refuse(200, fails("The line is out of order"), None)),
            Situation::Permanent => vendor.fail_next("outbound-call", Fault::Refuse(422, number, None)),
            Situation::Suppressed => vendor.fail_next("outbound-call", Fault::Refuse(200, fails("21610 unsubscribed"), None)),
            Situation::LostAnswer => vendor.fail_next("outbound-call", Fault::BreakAfter),
            _ => return None,
        }
        let dialer = dialer(&vendor, &self.clock, false);
        self.vendors.lock().unwrap().push(vendor);
        if !self.routed {
            return Some(Arc::new(dialer));
        }
        let routed = RoutedDialer::new().route("agents", [Channel::Call], dialer).unwrap();
        Some(Arc::new(
            routed.route("texts", [Channel::Sms], ScriptedDialer::new().otherwise(Script::ends(Disposition::Delivered))).unwrap(),
        ))
    }

    fn handed_over(&self, key: &str) -> Option<u64> {
        // The texts of the routed one go to nobody that counts.
        let count = self.vendors.lock().unwrap().iter().map(|vendor| vendor.hand_offs(key)).sum();
        (!self.routed).then_some(count)
    }
}

fn conformance(routed: bool) {
    let report = play(move |clock| async move {
        let shared: SharedExecutor = Arc::new(clock.clone());
        run(shared, &Situations { clock, routed, vendors: Mutex::default() }).await
    });
    report.assert_passed();
    // Its key is none that ElevenLabs knows; everything else is checked.
    let skipped: Vec<&str> = report.skipped.iter().map(|(name, _)| *name).collect();
    assert_eq!(skipped, ["a key the provider knows is not placed again"], "{report}");
}

#[test]
fn the_dialer_keeps_its_contract() {
    conformance(false);
}

#[test]
fn the_dialer_keeps_its_contract_behind_routes() {
    conformance(true);
}

#[test]
fn callbacks_late_twice_and_in_any_order_end_calls_once() {
    for delivery in [
        Delivery::default(),
        Delivery { twice: true, reversed: true, ..Delivery::default() },
        // Later than everything is settled by asking.
        Delivery { late: 900, twice: true, heard: Some("human"), ..Delivery::default() },
    ] {
        play(move |clock| async move {
            let (vendor, program) = (vendor(&clock), Program::new(&clock));
            vendor.tell(program.sink(), delivery);
            let unheard = |result| Fate { stays_initiated: true, ..Fate::not_answered(result) };
            let fates = [
                Fate::answers(30),
                Fate { by_tool: true, ..Fate::answers(9) },
                Fate { result: "voicemail", ..Fate::answers(9) },
                unheard("busy"),
                unheard("no_answer"),
                Fate::not_answered("failed"),
            ];
            for (index, fate) in fates.iter().enumerate() {
                vendor.fate_of(phone(index).as_str(), *fate);
            }
            let engine = program.start(Arc::new(dialer(&vendor, &clock, true))).await;
            let id = program.begin(&engine, spec(), fates.len()).await;
            program.end(&engine, id).await;
            pass(&program.shared(), Duration::from_secs(2_000)).await;
            let ended = program.look(&engine, id).await;
            let ends: Vec<_> = ended.iter().map(|(_, attempts)| attempts[0].disposition().unwrap()).collect();
            use Disposition::{Answered, Busy, Failed, NoAnswer, Voicemail};
            assert_eq!(ends, [Answered, Voicemail, Voicemail, Busy, NoAnswer, Failed], "{delivery:?}");
            for (_, attempts) in &ended {
                assert_eq!((attempts.len(), vendor.hand_offs(&attempts[0].key)), (1, 1));
            }
            let first = ended[0].1[0].outcome.clone().unwrap();
            assert_eq!((first.duration_seconds, first.cost.map(|cost| cost.units())), (30, Some(0.3)));
            assert_eq!((&first.data["success"], &first.data["transcript"][1]["message"]), (&json!("success"), &json!("Yes, gladly.")));
            assert_eq!(ended[1].1[0].outcome.clone().unwrap().data["voicemail_left"], true);
            assert!(vendor.told().len() >= fates.len() && vendor.told().iter().all(|status| *status == 200), "{:?}", vendor.told());
            let (path, body) = vendor.requests().swap_remove(0);
            assert_eq!(path, "/v1/convai/twilio/outbound-call");
            let data = &body["conversation_initiation_client_data"];
            assert_eq!(data["dynamic_variables"]["plan"], "gold");
            assert_eq!(data["conversation_config_override"]["agent"]["first_message"], "Hello, this is about your gold plan.");
        });
    }
}

#[test]
fn without_callbacks_the_end_is_asked_for() {
    play(|clock| async move {
        let (vendor, program) = (vendor(&clock), Program::new(&clock));
        vendor.fate_of(phone(1).as_str(), Fate { stays_initiated: true, ..Fate::not_answered("no_answer") });
        vendor.fate_of(phone(2).as_str(), Fate { write_up: 500, ..Fate::answers(20) });
        // A look that fails is repeated.
        vendor.fail_next("conversations/", Fault::Refuse(500, json!({}), None));
        vendor.fail_next("conversations/", Fault::BreakBefore);
        let engine = program.start(Arc::new(dialer(&vendor, &clock, false))).await;
        let id = program.begin(&engine, spec(), 3).await;
        let ended = program.end(&engine, id).await;
        let outcomes: Vec<_> = ended.iter().map(|(_, attempts)| attempts[0].outcome.clone().unwrap()).collect();
        let ends: Vec<_> = outcomes.iter().map(|outcome| outcome.disposition).collect();
        assert_eq!(ends, [Disposition::Answered, Disposition::NoAnswer, Disposition::Answered]);
        let presumed: Vec<bool> = outcomes.iter().map(|outcome| outcome.data.contains_key("presumed")).collect();
        assert_eq!(presumed, [false, true, true], "what was concluded says so");
        assert!(program.clock.now() < campaign_tests::stage::second(200), "nobody waited for the write-up");
    });
}

#[test]
fn a_late_transcript_completes_what_was_concluded() {
    play(|clock| async move {
        let (vendor, program) = (vendor(&clock), Program::new(&clock));
        vendor.tell(program.sink(), Delivery::default());
        vendor.usually(Fate { write_up: 500, ..Fate::answers(20) });
        let engine = program.start(Arc::new(dialer(&vendor, &clock, true))).await;
        let id = program.begin(&engine, spec(), 1).await;
        let before = program.end(&engine, id).await[0].1[0].outcome.clone().unwrap();
        assert!(before.data.contains_key("presumed") && !before.data.contains_key("summary"));
        pass(&program.shared(), Duration::from_secs(1_000)).await;
        let after = program.look(&engine, id).await[0].1[0].outcome.clone().unwrap();
        assert!(!after.data.contains_key("presumed") && after.data.contains_key("summary"));
        assert_eq!((before.provider_ref, after.disposition), (after.provider_ref, Disposition::Answered));
    });
}

#[test]
fn a_lost_answer_is_healed_by_the_callback() {
    for fault in [Fault::BreakAfter, Fault::Unreadable] {
        play(move |clock| async move {
            let (vendor, program) = (vendor(&clock), Program::new(&clock));
            vendor.tell(program.sink(), Delivery::default());
            vendor.usually(Fate::answers(10));
            vendor.fail_next("outbound-call", fault);
            let engine = program.start(Arc::new(dialer(&vendor, &clock, true))).await;
            let id = program.begin(&engine, spec(), 1).await;
            let (contact, attempts) = program.end(&engine, id).await.swap_remove(0);
            assert_eq!((attempts.len(), attempts[0].disposition()), (1, Some(Disposition::Answered)));
            assert_eq!(attempts[0].outcome.clone().unwrap().provider_ref.as_deref(), Some("conv_0001"));
            assert_eq!(vendor.hand_offs(&attempts[0].key), 1);
            // Before a look-up was even due.
            assert!(contact.state.completed_at.unwrap() < campaign_tests::stage::second(30), "{contact:?}");
        });
    }
}

#[test]
fn a_lost_answer_is_healed_by_looking_it_up() {
    play(|clock| async move {
        let (vendor, program) = (vendor(&clock), Program::new(&clock));
        vendor.usually(Fate::answers(60));
        vendor.fail_next("outbound-call", Fault::BreakAfter);
        // Somebody else's call must not be taken for ours.
        vendor.call_from_elsewhere();
        let engine = program.start(Arc::new(dialer(&vendor, &clock, false))).await;
        let id = program.begin(&engine, spec(), 1).await;
        let (_, attempts) = program.end(&engine, id).await.swap_remove(0);
        let outcome = attempts[0].outcome.clone().unwrap();
        assert_eq!((attempts.len(), outcome.disposition, outcome.duration_seconds), (1, Disposition::Answered, 60));
        assert_eq!((outcome.provider_ref.as_deref(), attempts[0].provider_ref.as_deref()), (Some("conv_0002"), Some("conv_0002")));
        assert_eq!(vendor.hand_offs(&attempts[0].key), 1);
    });
}

#[test]
fn what_never_arrived_is_tried_again_and_nothing_is_called_twice() {
    play(|clock| async move {
        let (vendor, program) = (vendor(&clock), Program::new(&clock));
        vendor.fail_next("outbound-call", Fault::BreakBefore);
        let engine = program.start(Arc::new(dialer(&vendor, &clock, false))).await;
        let id = program.begin(&engine, spec().retries(2, 1), 1).await;
        let (_, attempts) = program.end(&engine, id).await.swap_remove(0);
        let ends: Vec<_> = attempts.iter().map(|attempt| attempt.disposition().unwrap()).collect();
        assert_eq!(ends, [Disposition::Failed, Disposition::Answered]);
        assert_eq!((vendor.hand_offs(&attempts[0].key), vendor.hand_offs(&attempts[1].key)), (0, 1));
    });
}

#[test]
fn a_node_that_dies_after_the_hand_off_calls_nobody_twice() {
    play(|clock| async move {
        let (vendor, first) = (vendor(&clock), Program::new(&clock));
        vendor.usually(Fate::answers(40));
        let engine = first.start(Arc::new(dialer(&vendor, &clock, false))).await;
        let id = first.begin(&engine, spec(), 3).await;
        // The calls are on their way when the node dies.
        pass(&first.shared(), Duration::from_secs(10)).await;
        engine.abort();
        let second = first.another();
        let engine = second.start(Arc::new(dialer(&vendor, &clock, false))).await;
        for (_, attempts) in second.end(&engine, id).await {
            assert_eq!((attempts.len(), attempts[0].disposition()), (1, Some(Disposition::Answered)));
            assert_eq!(vendor.hand_offs(&attempts[0].key), 1);
        }
    });
}

#[test]
fn throttled_is_not_failed() {
    play(|clock| async move {
        let (vendor, program) = (vendor(&clock), Program::new(&clock));
        for _ in 0..2 {
            vendor
                .fail_next("outbound-call", Fault::Refuse(429, json!({ "detail": { "status": "too_many_concurrent_requests" } }), Some(7)));
        }
        vendor.fail_next("outbound-call", Fault::Refuse(401, json!({ "detail": { "status": "invalid_api_key" } }), None));
        let engine = program.start(Arc::new(dialer(&vendor, &clock, false))).await;
        let id = program.begin(&engine, spec(), 1).await;
        let (contact, attempts) = program.end(&engine, id).await.swap_remove(0);
        assert_eq!((contact.state.attempts, contact.state.last_disposition), (1, Some(Disposition::Answered)));
        assert_eq!(vendor.hand_offs(&attempts.last().unwrap().key), 1);
        // Twice the seconds it asked for, and a minute until somebody has put the key right.
        assert!(contact.state.last_attempt_at.unwrap() >= campaign_tests::stage::second(7 + 7 + 60), "{contact:?}");
    });
}

#[test]
fn find_says_nothing_that_it_cannot_know() {
    play(|clock| async move {
        let (vendor, program) = (vendor(&clock), Program::new(&clock));
        let dialer = Arc::new(dialer(&vendor, &clock, false));
        let engine = program.start(dialer.clone()).await;
        let id = program.begin(&engine, spec(), 1).await;
        let (contact, attempts) = program.end(&engine, id).await.swap_remove(0);
        let ask = question(&attempts[0], &contact, &clock);
        assert!(matches!(dialer.find(ask.clone()).await.unwrap(), Found::Ended(outcome) if outcome.disposition == Disposition::Answered));
        let mut other = ask.clone();
        other.key = "somebody-else-1".into();
        assert!(matches!(dialer.find(other.clone()).await.unwrap(), Found::NeverHappened));
        other.provider_ref = Some("conv_9999".into());
        assert!(matches!(dialer.find(other.clone()).await.unwrap(), Found::Unknown), "what was placed cannot have never happened");
        vendor.ignore_filter();
        other.provider_ref = None;
        assert!(matches!(dialer.find(other).await.unwrap(), Found::Unknown), "a list of others says nothing");
        vendor.fail_next("conversations", Fault::Refuse(503, json!({}), None));
        assert!(dialer.find(ask).await.is_err(), "asked again later");
    });
}

#[test]
fn callbacks_of_others_change_nothing() {
    play(|clock| async move {
        let (vendor, program) = (vendor(&clock), Program::new(&clock));
        vendor.tell(program.sink(), Delivery::default());
        let engine = program.start(Arc::new(dialer(&vendor, &clock, true))).await;
        let id = program.begin(&engine, spec(), 1).await;
        let ended = program.end(&engine, id).await;
        vendor.call_from_elsewhere();
        // Another deployment on the same workspace: its store counts its attempts from 1 as well.
        let other = Program::new(&clock);
        let others = other.start(Arc::new(dialer(&vendor, &clock, true))).await;
        let id_of_others = other.begin(&others, spec(), 1).await;
        let of_others = other.end(&others, id_of_others).await;
        assert_eq!(ended[0].1[0].id, of_others[0].1[0].id, "the ids are the same, the keys are not");
        pass(&program.shared(), Duration::from_secs(600)).await;
        assert_eq!(program.look(&engine, id).await[0].1, ended[0].1, "nothing was amended");
        assert!(vendor.told().iter().all(|status| *status == 200), "taken and left alone: {:?}", vendor.told());
        let forged = vendor_forges(&clock);
        assert_eq!(engine.callback(forged).await.status, 403);
    });
}

fn vendor_forges(clock: &VirtualExecutor) -> campaign_core::dialer::CallbackRequest {
    let body = br#"{"type":"post_call_transcription","data":{"conversation_id":"conv_0001","status":"done"}}"#.to_vec();
    let signature = campaign_core::dialer::elevenlabs::sign_webhook(&"wsec_guessed".into(), clock.now(), &body);
    campaign_core::dialer::CallbackRequest {
        method: "POST".into(),
        url: "/elevenlabs".into(),
        headers: vec![("ElevenLabs-Signature".into(), signature)],
        body,
    }
}

#[test]
fn messages_and_calls_go_over_whatsapp_and_trunks() {
    play(|clock| async move {
        let (vendor, program) = (vendor(&clock), Program::new(&clock));
        let engine = program.start(Arc::new(dialer(&vendor, &clock, false))).await;
        let message = CampaignSpec::whatsapp("news").template("sms_message", "News about your {{ plan }} plan.");
        let id = program.begin(&engine, message, 1).await;
        let (_, attempts) = program.end(&engine, id).await.swap_remove(0);
        assert_eq!(attempts[0].disposition(), Some(Disposition::Sent));
        assert_eq!(attempts[0].provider_ref.as_deref(), Some("conv_0001"));
        for (via, path) in [("sip_trunk", "/v1/convai/sip-trunk/outbound-call"), ("whatsapp", "/v1/convai/whatsapp/outbound-call")] {
            let call = spec().with(|spec| {
                spec.dialer_options.insert("call_via".into(), via.into());
            });
            let id = program.begin(&engine, call, 1).await;
            let (_, attempts) = program.end(&engine, id).await.swap_remove(0);
            assert_eq!(attempts[0].disposition(), Some(Disposition::Answered), "{via}");
            assert_eq!(vendor.requests().last().unwrap().0, path);
        }
        assert_eq!(vendor.requests()[0].1["template_params"][0]["parameters"][0]["text"], "News about your gold plan.");
    });
}

#[test]
fn batches_are_handed_over_mirrored_cancelled_and_begun_anew() {
    play(|clock| async move {
        let vendor = vendor(&clock);
        let batches = ElevenLabsBatch::new(&config(&vendor, false)).unwrap().with_http(client(&clock));
        let recipient = |index: usize| BatchRecipient {
            id: Some(format!("r{index}")),
            phone_number: Some(phone(index).as_str().to_owned()),
            ..BatchRecipient::default()
        };
        let submission = |name: &str, count: usize| BatchSubmission {
            call_name: name.into(),
            recipients: (0..count).map(recipient).collect(),
            ..BatchSubmission::default()
        };
        vendor.fate_of(phone(1).as_str(), Fate::not_answered("busy"));
        vendor.fate_of(phone(2).as_str(), Fate { by_tool: true, ..Fate::answers(5) });

        let made = batches.submit(submission("first", 3)).await.unwrap();
        assert_eq!(
            (made.status.clone(), made.total_calls_scheduled, made.more["agent_name"].as_str()),
            (BatchStatus::Pending, 3, Some("Simulated"))
        );
        vendor.fail_next(&made.id, Fault::Refuse(500, json!({}), None));
        let mut told = Vec::new();
        let ended = batches.follow(&made.id, &clock, Duration::from_secs(2), |change| told.push((change.id, change.to))).await.unwrap();
        assert_eq!(ended.batch.status, BatchStatus::Completed);
        use RecipientStatus::{Completed, Failed, InProgress, Voicemail};
        let last = |id: &str| told.iter().rev().find(|(known, _)| known == id).map(|(_, status)| status.clone()).unwrap();
        assert_eq!((last("r0"), last("r1"), last("r2")), (Completed, Failed, Voicemail));
        assert!(told.contains(&("r0".into(), InProgress)), "{told:?}");
        let error = batches.cancel(&made.id).await.unwrap_err();
        assert_eq!((error.kind(), error.context()[0].clone()), (Kind::State, ("status", "400".into())));

        let again = batches.retry(&made.id).await.unwrap();
        assert_eq!((again.retry_count, again.status), (1, BatchStatus::InProgress));
        let mut mirror = ended;
        pass(&(Arc::new(clock.clone()) as SharedExecutor), Duration::from_secs(60)).await;
        let changes = mirror.update(batches.get(&made.id).await.unwrap());
        assert_eq!(changes.iter().map(|change| (change.id.as_str(), &change.to)).collect::<Vec<_>>(), [("r1", &Completed)]);

        let late = BatchSubmission { scheduled_time_unix: Some(clock.now().as_second() + 3600), ..submission("second", 2) };
        let planned = batches.submit(late).await.unwrap();
        assert_eq!(batches.cancel(&planned.id).await.unwrap().status, BatchStatus::Cancelled);
        let cancelled = batches.get(&planned.id).await.unwrap();
        assert!(cancelled.recipients.iter().all(|one| one.status == RecipientStatus::Cancelled));

        let began = clock.now().as_second();
        vendor.fail_next("submit", Fault::BreakAfter);
        assert!(matches!(batches.submit(submission("third", 1)).await, Err(DialError::InDoubt(_))));
        let found = batches.find("third", began).await.unwrap().unwrap();
        assert_eq!(found.name, "third");
        assert!(batches.find("first", began + 1).await.unwrap().is_none(), "an older one of that name is not it");
        vendor.fail_next("submit", Fault::BreakBefore);
        assert!(matches!(batches.submit(submission("fourth", 1)).await, Err(DialError::InDoubt(_))));
        assert!(batches.find("fourth", began).await.unwrap().is_none(), "nothing was submitted");
        vendor.fail_next("submit", Fault::Refuse(429, json!({}), Some(9)));
        let refused = batches.submit(submission("fifth", 1)).await;
        assert!(matches!(refused, Err(DialError::Throttled { retry_after }) if retry_after == Duration::from_secs(9)));
        let many = batches.submit(submission("many", 10_000)).await.unwrap();
        assert_eq!(many.total_calls_scheduled, 10_000);
        assert!(matches!(batches.submit(submission("too many", 10_001)).await, Err(DialError::Permanent(_))));

        let page = batches.list(&Default::default()).await.unwrap();
        let names: Vec<&str> = page.batch_calls.iter().map(|batch| batch.name.as_str()).collect();
        assert_eq!(names, ["many", "third", "second", "first"]);
        batches.delete(&many.id).await.unwrap();
        assert_eq!(batches.get(&many.id).await.unwrap_err().kind(), Kind::NotFound);
        let wrong = ElevenLabsConfig { api_key: "wrong".into(), ..config(&vendor, false) };
        let refused = ElevenLabsBatch::new(&wrong).unwrap().with_http(client(&clock)).get(&made.id).await.unwrap_err();
        assert!(refused.context().contains(&("status", "401".into())), "{refused}");
    });
}
