//! A mixed campaign over simulated carriers, whose people answer back: calls by one provider, messages by another, callbacks over a web
//! server. The same scene is played from Python and Node.js.

#![allow(clippy::unwrap_used, missing_docs)]

use campaign_core::assistant::{Line, ScriptedAssistant};
use campaign_core::campaign::{CampaignSpec, Condition, Step};
use campaign_core::contact::Owner;
use campaign_core::conversation::{Author, ConversationKey};
use campaign_core::dialer::RoutedDialer;
use campaign_core::dialer::elevenlabs::{ElevenLabsConfig, ElevenLabsDialer};
use campaign_core::dialer::twilio::{TwilioConfig, TwilioDialer};
use campaign_core::event::EventKind;
use campaign_core::executor::SharedExecutor;
use campaign_core::http::{Body, Exchange, HttpClient, HttpOptions, Method};
use campaign_core::import::{ImportOptions, ImportSource};
use campaign_core::outcome::{Channel, Disposition};
use campaign_core::phone::PhoneNumber;
use campaign_core::store::{AttemptQuery, ContactQuery, Paging};
use campaign_tests::stage::told;
use campaign_tests::vendors::elevenlabs::{self, ElevenLabs};
use campaign_tests::vendors::twilio::{ACCOUNT, TOKEN, Twilio, signed};
use campaign_tests::vendors::world::{World, quick_clock};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

const OURS: &str = "+12025550100";
const ANA: &str = "+12025550140";
const BEN: &str = "+12025550141";
const EVE: &str = "+12025550142";

fn person(phone: &str, name: &str) -> Map<String, Value> {
    json!({ "phone": phone, "name": name }).as_object().cloned().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mixed_campaign_whose_people_answer() {
    let clock = quick_clock(15);
    let shared: SharedExecutor = Arc::new(clock.clone());
    let twilio = Twilio::start(Arc::clone(&shared)).await;
    let eleven = ElevenLabs::start(shared).unwrap();
    let voice = ElevenLabsDialer::new(ElevenLabsConfig {
        api_key: elevenlabs::KEY.into(),
        base_url: Some(eleven.url()),
        agent_id: Some("agent_1".to_owned()),
        phone_numbers: [(OURS.to_owned(), "phnum_1".to_owned())].into(),
        webhook_secrets: vec![elevenlabs::SECRET.into()],
        ..ElevenLabsConfig::default()
    });
    let settings = TwilioConfig::new(ACCOUNT, TOKEN).api_base(twilio.url()).from_number(OURS).with(|config| config.calls_per_second = 50);
    let dialer = |url: &str| {
        let text = TwilioDialer::new(settings.public_base_url(url)).unwrap();
        let routed = RoutedDialer::new().route("voice", [Channel::Call], voice.unwrap()).unwrap();
        Arc::new(routed.route("text", [Channel::Sms], text).unwrap()) as _
    };
    let assistant = Arc::new(ScriptedAssistant::new().otherwise([Line::says("On Monday at nine.")]));
    let talks = Arc::clone(&assistant);
    let world = World::start(clock, dialer, |builder| builder.shared_assistant(talks)).await;
    let engine = &world.engine;
    eleven.post_to(&format!("{}/elevenlabs", world.porch.url()));
    for missed in [ANA, BEN] {
        eleven.fate_of(missed, elevenlabs::Fate::not_answered("no_answer"));
    }

    let spec = CampaignSpec::mixed("Reminders")
        .template("welcome_message", "Hi {{ name }}")
        .template("sms_message", "Hi {{ name }}, see you on Monday.")
        .template("agenda", "The appointment is on Monday at nine.")
        .caller_id(OURS)
        .with(|spec| {
            let missed = Condition { previous: vec![Disposition::NoAnswer], ..Condition::default() };
            spec.steps = vec![Step::call(), Step { when: missed, ..Step::sms() }];
            (spec.max_attempts, spec.rate_limit_per_minute, spec.replies.assistant) = (1, None, true);
        });
    let people = [person(ANA, "Ana"), person(BEN, "Ben"), person(EVE, "Eve")];
    let id = engine.create_campaign(spec.build().unwrap()).await.unwrap().id;
    engine.import_contacts(id, ImportSource::Rows(people.to_vec()), ImportOptions::default()).await.unwrap();
    let later = engine.create_campaign(CampaignSpec::call("Later").build().unwrap()).await.unwrap().id;
    engine.import_contacts(later, ImportSource::Rows(people[..2].to_vec()), ImportOptions::default()).await.unwrap();
    engine.start(id).await.unwrap();
    assert_eq!(engine.wait(id).await.unwrap().completed_contacts, 3);
    let query = AttemptQuery { campaign: Some(id), ..AttemptQuery::default() };
    let ended = engine.executions(query).await.unwrap().items;
    let ended: BTreeSet<_> =
        ended.iter().filter_map(|attempt| Some((attempt.step.channel.as_str(), attempt.disposition()?.as_str()))).collect();
    assert_eq!(ended, [("call", "answered"), ("call", "no_answer"), ("sms", "delivered")].into());
    let mut texts: Vec<String> = twilio.messages().iter().filter_map(|message| message.field("Body").map(str::to_owned)).collect();
    texts.sort();
    assert_eq!(texts, ["Hi Ana, see you on Monday.", "Hi Ben, see you on Monday."]);

    let mut events = engine.all_events().await.unwrap();
    let url = format!("{}/twilio/sms", world.porch.url());
    let stop = [("MessageSid", "SM1"), ("From", ANA), ("To", OURS), ("Body", "STOP")];
    let forged = signed(&url, &[("Body", "something else")]);
    let client = HttpClient::new(HttpOptions::default()).unwrap();
    let headers = [("x-twilio-signature", forged.header("x-twilio-signature").unwrap())];
    let fields = stop.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let Exchange::Answered(refused) = client.send(Method::Post, &url, &headers, Body::Form(fields)).await else { panic!("no answer") };
    let ana = PhoneNumber::from_e164(ANA).unwrap();
    assert!(refused.status == 403 && !engine.is_suppressed(&ana, None).await.unwrap());
    for _ in 0..2 {
        let (status, body) = twilio.webhook(&url, &stop).await;
        assert!(status == 200 && body.contains("<Response"), "{status} {body}");
    }
    let question = [("MessageSid", "SM2"), ("From", BEN), ("To", OURS), ("Body", "When is it?")];
    assert_eq!(twilio.webhook(&url, &question).await.0, 200);
    let mut sent = 0;
    while sent < 2 {
        sent += usize::from(matches!(events.next().await.unwrap().kind, EventKind::MessageSent { .. }));
    }

    let ben = PhoneNumber::from_e164(BEN).unwrap();
    assert!(engine.is_suppressed(&ana, None).await.unwrap() && !engine.is_suppressed(&ben, None).await.unwrap());
    let waiting = engine.list_contacts(ContactQuery::of(Owner::Campaign(later))).await.unwrap().items;
    assert_eq!(waiting.iter().map(told).collect::<Vec<_>>(), [("skipped", "opted_out"), ("pending", "")]);
    let answers = twilio.messages().split_off(2);
    let to = |person: &str| {
        let found: Vec<_> = answers.iter().filter(|message| message.field("To") == Some(person)).collect();
        assert_eq!((found.len(), found[0].field("From")), (1, Some(OURS)));
        found[0].field("Body").unwrap().to_owned()
    };
    assert!(to(ANA).contains("START"), "one confirmation");
    assert_eq!(to(BEN), "On Monday at nine.");
    let asked = assistant.dialogues();
    assert_eq!((asked.len(), asked[0].person.name.as_deref()), (1, Some("Ben")));
    assert!(asked[0].instructions().contains("Monday at nine"));
    let key = ConversationKey { channel: Channel::Sms, ours: OURS.into(), person: ben };
    let talked = engine.messages(&key, Paging { offset: 0, limit: 10 }).await.unwrap().items;
    assert_eq!(talked.iter().map(|message| message.author).collect::<Vec<_>>(), [Author::Campaign, Author::Person, Author::Assistant]);
    assert_eq!(twilio.complaints(), Vec::<String>::new());
    assert!(eleven.told().iter().all(|status| *status == 200));
    engine.close().await.unwrap();
}
