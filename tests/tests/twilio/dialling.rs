//! What is asked for, and what comes of it.

use super::{Line, OURS, SPEED, WHATSAPP, config, number};
use campaign_core::campaign::VoicemailSettings;
use campaign_core::dialer::twilio::TwilioDialer;
use campaign_core::dialer::{DialError, DialRequest, Dialer as _, FindRequest, Found, OutboundMessage};
use campaign_core::executor::SharedExecutor;
use campaign_core::id::Money;
use campaign_core::outcome::{Channel, Disposition};
use campaign_core::testkit::dialer::{TestHost, find_request};
use campaign_tests::vendors::twilio::{CallEnd, Fate, Handling, Twilio};
use campaign_tests::vendors::world::quick_clock;
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

fn with_options(mut request: DialRequest, options: Value) -> DialRequest {
    request.options = Arc::new(options.as_object().unwrap().clone());
    request
}

fn voicemail(mut request: DialRequest, message: Option<&str>) -> DialRequest {
    request.voicemail = Arc::new(VoicemailSettings {
        enable_voicemail_detection: true,
        leave_voicemail: message.is_some(),
        voicemail_message: message.map(str::to_owned),
    });
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_asked_for_as_the_campaign_wants_it() {
    let line = Line::posted(|config| config.language = "en-GB".to_owned()).await;
    let mut request =
        with_options(line.request(Channel::Call), json!({"voice": "Polly.Amy", "record": true, "recording_channels": "dual"}));
    request.texts.insert("welcome_message".into(), "Tom & Ada <hello>".to_owned());
    request.texts.insert("end_call_message".into(), "Bye".to_owned());
    let attempt = request.attempt_id;
    let outcome = line.dial(request).await.unwrap();
    assert_eq!((outcome.disposition, outcome.cost), (Disposition::Answered, Some(Money(13_000))));
    assert!(outcome.duration_seconds >= 7, "{}", outcome.duration_seconds);
    let call = &line.twilio.calls()[0];
    assert_eq!(outcome.provider_ref.as_deref(), Some(call.sid.as_str()));
    assert_eq!((call.field("From"), call.field("Timeout"), call.field("TimeLimit")), (Some(OURS), Some("30"), Some("300")));
    assert_eq!(
        call.field("Twiml").unwrap(),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Say language=\"en-GB\" voice=\"Polly.Amy\">Tom &amp; Ada &lt;hello&gt;</Say>\
         <Say language=\"en-GB\" voice=\"Polly.Amy\">Bye</Say><Hangup/></Response>"
    );
    assert_eq!((call.field("Record"), call.field("RecordingChannels")), (Some("true"), Some("dual")));
    assert!(call.field("StatusCallback").unwrap().ends_with(&format!("/twilio/status?attempt={attempt}")));
    let events: Vec<_> = call.fields.iter().filter(|(name, _)| name == "StatusCallbackEvent").map(|(_, event)| event.as_str()).collect();
    assert_eq!(events, ["initiated", "ringing", "answered", "completed"]);
    assert_eq!(call.field("MachineDetection"), None);
    assert_eq!(outcome.data["sip_response_code"], 200);
    assert_eq!(line.twilio.complaints(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instructions_come_from_a_url_a_recording_or_the_assistant() {
    let line = Line::posted(|_| {}).await;
    let brief = Fate::ends(CallEnd::Answered(Duration::from_secs(1)));
    line.twilio.otherwise(brief);
    line.dial(with_options(line.request(Channel::Call), json!({"url": "https://a.example/twiml"}))).await.unwrap();
    line.dial(with_options(line.request(Channel::Call), json!({"play": "https://a.example/a.mp3"}))).await.unwrap();
    let relay = json!({"relay": {
        "ttsProvider": "ElevenLabs", "interruptible": "any", "dtmfDetection": true, "parameters": {"plan": "gold", "attempt": "999"},
        "languages": [{"code": "es-ES", "voice": "Lucia"}],
    }});
    line.dial(with_options(line.request(Channel::Call), relay)).await.unwrap();
    let mut assisted = line.request(Channel::Call);
    assisted.assistant_id = Some(7);
    line.dial(assisted).await.unwrap();
    let calls = line.twilio.calls();
    assert_eq!((calls[0].field("Url"), calls[0].field("Twiml")), (Some("https://a.example/twiml"), None));
    assert!(calls[1].field("Twiml").unwrap().contains("<Play>https://a.example/a.mp3</Play>"));
    let twiml = calls[2].field("Twiml").unwrap();
    for part in [
        "<Connect action=\"http://127.0.0.1:",
        "/twilio/relay-end?attempt=3\">",
        "<ConversationRelay url=\"ws://127.0.0.1:",
        "/twilio/relay\" welcomeGreeting=\"Hello Ada, this is a test.\" language=\"en-US\" dtmfDetection=\"true\" interruptible=\"any\" ttsProvider=\"ElevenLabs\">",
        "<Language code=\"es-ES\" voice=\"Lucia\"/>",
        "<Parameter name=\"attempt\" value=\"3\"/>",
        "<Parameter name=\"direction\" value=\"outbound\"/><Parameter name=\"plan\" value=\"gold\"/></ConversationRelay></Connect>",
    ] {
        assert!(twiml.contains(part), "{part} is not in {twiml}");
    }
    assert!(!twiml.contains("999"), "the attempt is ours");
    assert!(calls[3].field("Twiml").unwrap().contains("<ConversationRelay"), "a campaign with an assistant");
    // What is wrong with a campaign can be put right, so it does not end the contact.
    for options in
        [json!({"record": "yes"}), json!({"relay": {"bad name": "x"}}), json!({"relay": {"languages": "x"}}), json!({"media_url": 3})]
    {
        let error = line.dial(with_options(line.request(Channel::Call), options.clone())).await.unwrap_err();
        assert!(matches!(error, DialError::Transient(_)), "{options}: {error:?}");
    }
    let mut silent = line.request(Channel::Call);
    silent.texts.clear();
    assert!(matches!(line.dial(silent).await, Err(DialError::Transient(error)) if error.to_string().contains("welcome_message")));
    assert_eq!(line.twilio.requests(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_of_calls_are_outcomes() {
    for posted in [true, false] {
        let line = if posted { Line::posted(|_| {}).await } else { Line::silent(|_| {}).await };
        for (end, expected) in [
            (CallEnd::Busy, Disposition::Busy),
            (CallEnd::Failed(404), Disposition::Failed),
            (CallEnd::Answered(Duration::from_secs(2)), Disposition::Answered),
            (CallEnd::NoAnswer, Disposition::NoAnswer),
        ] {
            let mut request = line.request(Channel::Call);
            request.ring_timeout = Duration::from_secs(4);
            line.twilio.next(request.to.as_str(), Fate::ends(end.clone()));
            let outcome = line.dial(request).await.unwrap();
            assert_eq!(outcome.disposition, expected, "{end:?}, callbacks: {posted}");
            if posted && end == CallEnd::Failed(404) {
                assert_eq!(outcome.detail.as_deref(), Some("The call failed (SIP 404)."));
            }
        }
        // No longer than the campaign allows.
        let mut request = line.request(Channel::Call);
        request.max_duration = Duration::from_secs(3);
        line.twilio.next(request.to.as_str(), Fate::ends(CallEnd::Answered(Duration::from_secs(500))));
        let outcome = line.dial(request).await.unwrap();
        assert!((2..=5).contains(&outcome.duration_seconds), "{}", outcome.duration_seconds);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_get_a_message_after_the_beep_or_none() {
    for posted in [true, false] {
        let line = if posted { Line::posted(|_| {}).await } else { Line::silent(|_| {}).await };
        let machine = |by| Fate::ends(CallEnd::Machine(by, Duration::from_secs(3), Duration::from_secs(60)));
        line.twilio.otherwise(machine("machine"));
        let outcome = line.dial(voicemail(line.request(Channel::Call), Some("Call us back & soon"))).await.unwrap();
        assert_eq!(outcome.disposition, Disposition::Voicemail);
        assert_eq!((&outcome.data["answered_by"], &outcome.data["voicemail_left"]), (&json!("machine_end_beep"), &json!(true)));
        let call = line.twilio.calls().pop().unwrap();
        assert_eq!((call.field("MachineDetection"), call.field("AsyncAmd")), (Some("DetectMessageEnd"), Some("true")));
        assert_eq!(call.field("AsyncAmdStatusCallback").is_some(), posted);
        assert_eq!(call.redirects.len(), 1, "a message is left once");
        assert!(call.redirects[0].contains(">Call us back &amp; soon</Say><Hangup/>"), "{}", call.redirects[0]);

        let outcome = line.dial(voicemail(line.request(Channel::Call), None)).await.unwrap();
        let call = line.twilio.calls().pop().unwrap();
        assert_eq!((outcome.disposition, call.field("MachineDetection")), (Disposition::Voicemail, Some("Enable")));
        assert!(call.redirects.is_empty() && outcome.duration_seconds < 40, "hung up at once, not after {} s", outcome.duration_seconds);

        line.twilio.otherwise(machine("fax"));
        let outcome = line.dial(voicemail(line.request(Channel::Call), Some("Beep"))).await.unwrap();
        let call = line.twilio.calls().pop().unwrap();
        assert_eq!((outcome.disposition, &outcome.data["answered_by"]), (Disposition::Undeliverable, &json!("fax")));
        assert!(call.redirects.is_empty(), "nothing is said to a fax");

        line.twilio.otherwise(Fate::ends(CallEnd::Answered(Duration::from_secs(4))));
        let outcome = line.dial(voicemail(line.request(Channel::Call), Some("Beep"))).await.unwrap();
        assert_eq!((outcome.disposition, line.twilio.calls().pop().unwrap().redirects.len()), (Disposition::Answered, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callbacks_may_come_late_twice_backwards_forged_or_never() {
    let line = Line::posted(|_| {}).await;
    type Change = fn(&mut campaign_tests::vendors::twilio::Delivery);
    let changes: [(&str, Change); 5] = [
        ("late", |delivery| delivery.late = Duration::from_secs(3)),
        ("twice", |delivery| delivery.times = 2),
        ("backwards", |delivery| delivery.backwards = true),
        ("forged", |delivery| delivery.forged = true),
        ("never", |delivery| delivery.times = 0),
    ];
    for (what, change) in changes {
        for (end, expected) in [(CallEnd::Answered(Duration::from_secs(3)), Disposition::Answered), (CallEnd::Busy, Disposition::Busy)] {
            let request = line.request(Channel::Call);
            line.twilio.next(request.to.as_str(), Fate::ends(end).delivered(change));
            let outcome = line.dial(request).await.unwrap();
            assert_eq!(outcome.disposition, expected, "{what}");
        }
        let request = line.request(Channel::Sms);
        line.twilio.next(request.to.as_str(), Fate::default().delivered(change));
        assert_eq!(line.dial(request).await.unwrap().disposition, Disposition::Delivered, "{what}");
    }
    assert_eq!(line.twilio.complaints(), Vec::<String>::new(), "forged callbacks are refused, all others taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_waits_too_long_at_twilio_is_taken_back() {
    let line = Line::posted(|config| config.queue_limit = Duration::from_secs(5)).await;
    let request = line.request(Channel::Call);
    line.twilio.next(request.to.as_str(), Fate { queue: Duration::from_secs(3_600), ..Fate::default() });
    let outcome = line.dial(request).await.unwrap();
    assert_eq!(outcome.disposition, Disposition::Cancelled);
    assert_eq!(line.twilio.calls()[0].status, "canceled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn giving_up_hangs_up_whatever_the_call_does() {
    let line = Line::silent(|_| {}).await;
    for (end, ring, expected) in
        [(CallEnd::NoAnswer, 25, Disposition::Cancelled), (CallEnd::Answered(Duration::from_secs(200)), 0, Disposition::Answered)]
    {
        let request = line.request(Channel::Call);
        line.twilio.next(request.to.as_str(), Fate { ring: Duration::from_secs(ring), ..Fate::ends(end) });
        let host = TestHost::new(Arc::clone(&line.clock));
        let (dialer, context) = (Arc::clone(&line.dialer), host.context());
        let dial = dialer.dial(request, context.clone());
        let giving_up = async {
            host.first_reference().await;
            context.sleep(Duration::from_secs(3)).await;
            host.cancel();
        };
        let (outcome, ()) = futures_util::join!(dial, giving_up);
        assert_eq!(outcome.unwrap().disposition, expected);
    }
    assert!(line.twilio.calls().iter().all(|call| call.ended.is_some()), "nobody is left on the line");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_sent_as_the_campaign_wants_it() {
    let line = Line::posted(|_| {}).await;
    let mut request = with_options(
        line.request(Channel::Sms),
        json!({"media_url": ["https://a.example/1.png", "https://a.example/2.png"], "smart_encoded": false}),
    );
    request.texts.insert("message".into(), "€".repeat(81));
    let attempt = request.attempt_id;
    let outcome = line.dial(request).await.unwrap();
    assert_eq!((outcome.disposition, outcome.cost), (Disposition::Delivered, Some(Money(13_000))));
    assert_eq!(
        (&outcome.data["segments"], &outcome.data["encoding"], &outcome.data["status"]),
        (&json!(2), &json!("GSM-7"), &json!("delivered"))
    );
    let message = &line.twilio.messages()[0];
    assert_eq!((message.field("From"), message.field("MessagingServiceSid")), (Some(OURS), None));
    assert_eq!(message.fields.iter().filter(|(name, _)| name == "MediaUrl").count(), 2);
    assert!(message.field("StatusCallback").unwrap().ends_with(&format!("/twilio/message?attempt={attempt}")));
    assert_eq!((message.field("ValidityPeriod"), message.field("SmartEncoded")), (None, Some("false")));

    // A messaging service, from the settings and from the caller ids of a campaign.
    const SERVICE: &str = "MG00112233445566778899aabbccddeeff";
    let mut request = line.request(Channel::Sms);
    request.from = Some(SERVICE.into());
    line.dial(request).await.unwrap();
    let message = line.twilio.messages().pop().unwrap();
    assert_eq!((message.field("From"), message.field("MessagingServiceSid")), (None, Some(SERVICE)));
    assert_eq!(line.twilio.complaints(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_never_outlives_its_window() {
    let line = Line::silent(|config| config.request_timeout = Duration::from_secs(10)).await;
    for (left, options, expected) in [
        (3_610, json!({}), Some(3_590..=3_600)),
        (3_610, json!({"validity_period": 600}), Some(600..=600)),
        (200_000, json!({}), Some(36_000..=36_000)),
        (35, json!({}), None),
        (-5, json!({}), None),
    ] {
        let mut request = with_options(line.request(Channel::Sms), options);
        request.valid_until = Some(line.clock.now() + SignedDuration::from_secs(left));
        let result = line.dial(request).await;
        match expected {
            Some(range) => {
                let message = line.twilio.messages().pop().unwrap();
                let period: i64 = message.field("ValidityPeriod").unwrap().parse().unwrap();
                assert!(range.contains(&period), "{period} s of {left}");
                result.unwrap();
            }
            None => assert!(matches!(result, Err(DialError::Throttled { retry_after }) if retry_after.is_zero()), "{left}: {result:?}"),
        }
    }
    assert_eq!(line.twilio.requests(), 3, "what is too late is not sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_in_a_conversation_does_not_outlive_its_time() {
    let clock: SharedExecutor = Arc::new(quick_clock(SPEED));
    let twilio = Twilio::start(Arc::clone(&clock)).await;
    let settings =
        config(&twilio).public_base_url("https://calls.example.org").with(|config| config.request_timeout = Duration::from_secs(10));
    let dialer = TwilioDialer::new(settings).unwrap();
    for (left, expected) in [(Some(610), Some("600")), (Some(200_000), Some("36000")), (None, None), (Some(10), Some("late"))] {
        let now = clock.now();
        let message = OutboundMessage {
            key: "k".into(),
            channel: Channel::Sms,
            from: OURS.into(),
            to: number(1),
            text: "Hi".to_owned(),
            valid_until: left.map(|left| now + SignedDuration::from_secs(left)),
            now,
        };
        let result = dialer.callbacks().unwrap().send(message).await;
        if expected == Some("late") {
            assert!(matches!(result, Err(DialError::Transient(_))), "{result:?}");
            continue;
        }
        let sent = twilio.messages().pop().unwrap();
        assert_eq!((result.unwrap(), sent.field("ValidityPeriod")), (sent.sid.clone(), expected));
    }
    assert_eq!(twilio.requests(), 3, "what is too late is not sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatsapp_takes_free_text_for_a_day_and_templates_always() {
    let line = Line::posted(|_| {}).await;
    let template = json!({"content_sid": "HX0011", "content_variables": {"1": "{first_name}", "2": "{message}", "3": 7}});
    for (hours, options, expected) in [
        (Some(23), json!({}), Some("Body")),
        (Some(23), template.clone(), Some("Body")),
        (Some(25), template.clone(), Some("ContentSid")),
        (None, template, Some("ContentSid")),
        (Some(24), json!({}), None),
        (None, json!({}), None),
    ] {
        let mut request = with_options(line.request(Channel::WhatsApp), options);
        request.last_inbound_at = hours.map(|hours| line.clock.now() - SignedDuration::from_hours(hours));
        if hours == Some(23) {
            line.twilio.open_window(request.to.as_str());
        }
        let to = request.to.as_str().to_owned();
        let result = line.dial(request).await;
        let Some(expected) = expected else {
            assert!(matches!(&result, Err(DialError::Permanent(error)) if error.to_string().contains("content_sid")), "{result:?}");
            continue;
        };
        assert_eq!(result.unwrap().disposition, Disposition::Delivered);
        let message = line.twilio.messages().pop().unwrap();
        assert_eq!((message.field("To"), message.field("From")), (Some(&*format!("whatsapp:{to}")), Some(&*format!("whatsapp:{OURS}"))));
        assert!(message.field(expected).is_some(), "{expected}");
        if expected == "ContentSid" {
            let variables: Value = serde_json::from_str(message.field("ContentVariables").unwrap()).unwrap();
            assert_eq!(variables, json!({"1": "Ada", "2": "Hello Ada, this is a test.", "3": "7"}));
            assert_eq!(message.field("Body"), None);
        }
    }
    // Without a caller id of the campaign, the sender of the settings.
    let mut request = with_options(line.request(Channel::WhatsApp), json!({"content_sid": "HX0011"}));
    request.from = None;
    line.dial(request).await.unwrap();
    assert_eq!(line.twilio.messages().pop().unwrap().field("From"), Some(&*format!("whatsapp:{WHATSAPP}")));
    // A variable that nobody knows does not go out as an empty place.
    let request = with_options(line.request(Channel::WhatsApp), json!({"content_sid": "HX0011", "content_variables": {"1": "{nmae}"}}));
    assert!(matches!(line.dial(request).await, Err(DialError::Permanent(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_that_takes_too_long_is_not_waited_for() {
    let line = Line::posted(|config| config.receipt_wait = Duration::from_secs(2)).await;
    let request = line.request(Channel::Sms);
    let states = vec![(Duration::from_millis(100), "sending"), (Duration::from_secs(600), "delivered")];
    line.twilio.next(request.to.as_str(), Fate { states, ..Fate::default() });
    let before = line.clock.now();
    let outcome = line.dial(request).await.unwrap();
    assert_eq!(outcome.disposition, Disposition::Sent);
    assert!(line.clock.now().duration_since(before) < SignedDuration::from_secs(60));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_price_that_is_not_known_yet_is_left_out() {
    let line = Line::silent(|_| {}).await;
    for price in [None, Some(("-0.01300", Duration::from_secs(3_600)))] {
        let request = line.request(Channel::Call);
        line.twilio.next(request.to.as_str(), Fate { price, ..Fate::ends(CallEnd::Answered(Duration::from_secs(1))) });
        assert_eq!(line.dial(request).await.unwrap().cost, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_in_doubt_is_found_by_number_and_time() {
    let line = Line::silent(|_| {}).await;
    let ask = |request: &FindRequest| line.dialer.find(request.clone());
    let request = line.request(Channel::Call);
    let since = line.clock.now();
    let question = find_request(&request, since, since, None);
    assert!(matches!(ask(&question).await.unwrap(), Found::NeverHappened));
    // Many calls to the same number from the same number, so that the list has several pages; all but the last are older.
    for _ in 0..230 {
        line.twilio.next(request.to.as_str(), Fate::handled(Handling::PlaceAndBreakOff));
    }
    let attempts: Vec<DialRequest> = (0..230)
        .map(|_| {
            let mut other = line.request(Channel::Call);
            other.to = request.to.clone();
            other
        })
        .collect();
    for other in attempts {
        let _ = line.dial(DialRequest { not_after: line.clock.now() + SignedDuration::from_secs(30), ..other }).await;
    }
    assert_eq!(line.twilio.calls().len(), 230);
    let oldest = line.twilio.calls()[0].sid.clone();
    match ask(&question).await.unwrap() {
        Found::Running { provider_ref } => assert_eq!(provider_ref, oldest),
        Found::Ended(outcome) => assert_eq!(outcome.provider_ref, Some(oldest.clone())),
        other => panic!("{other:?}"),
    }
    // Of what belongs to others, none.
    let others: Vec<String> = line.twilio.calls().iter().take(229).map(|call| call.sid.clone()).collect();
    let last = line.twilio.calls()[229].sid.clone();
    let question = FindRequest { others, ..question };
    match ask(&question).await.unwrap() {
        Found::Running { provider_ref } => assert_eq!(provider_ref, last),
        Found::Ended(outcome) => assert_eq!(outcome.provider_ref, Some(last)),
        other => panic!("{other:?}"),
    }
    // Of what is older than the intent, none.
    let later = line.clock.now() + SignedDuration::from_secs(60);
    let question = FindRequest { since: later, now: later, others: Vec::new(), ..question };
    assert!(matches!(ask(&question).await.unwrap(), Found::NeverHappened));
    // A sid that Twilio does not know any more.
    let question = FindRequest { provider_ref: Some("CA404".to_owned()), ..question };
    assert!(matches!(ask(&question).await.unwrap(), Found::Unknown));
    let question = FindRequest { provider_ref: Some("../Accounts".to_owned()), ..question };
    assert!(ask(&question).await.is_err(), "a reference becomes a part of a path");
}
