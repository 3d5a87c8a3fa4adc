//! People who answer back: replies, opting out and in, returned calls, messages that go out at most once.

#![allow(clippy::unwrap_used, missing_docs)]

use campaign_core::Kind;
use campaign_core::campaign::{CampaignSpec, CampaignSpecBuilder, OptOutScope, ReturnedCalls, Step};
use campaign_core::conversation::{Author, Conversation, ConversationKey, Keyword, Message, MessageState};
use campaign_core::dialer::{DialError, Script, ScriptedDialer};
use campaign_core::engine::{ConversationQuery, NewestConversations, SendMessage};
use campaign_core::event::EventKind;
use campaign_core::executor::Executor;
use campaign_core::outcome::{Channel, Disposition};
use campaign_core::phone::PhoneNumber;
use campaign_core::store::{DocumentQuery, Paging, PutDocument, Suppression, SuppressionKey, SuppressionQuery, SuppressionScope};
use campaign_tests::answering::{AnsweringDialer, Sending, callback, hand_in, sms};
use campaign_tests::stage::{Stage, phone, play_on, row, told};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const OURS: &str = "+12125550100";
const OTHER: &str = "+12125550199";

/// Plays a scene in which messages are delivered and calls meet nobody.
fn play<F: Future<Output = ()> + Send>(scene: impl FnOnce(Stage, Arc<AnsweringDialer>) -> F + Send + 'static) {
    let scripted = ScriptedDialer::new().otherwise(Script::ends(Disposition::NoAnswer));
    scripted.on(|request| {
        (request.channel != Channel::Call).then(|| Script::ends(Disposition::Delivered).placed(format!("SM{}", request.attempt_id)))
    });
    let dialer = AnsweringDialer::new(scripted);
    let given = Arc::clone(&dialer);
    play_on(ScriptedDialer::new(), move |builder| builder.shared_dialer(Arc::clone(&given) as _), move |stage| scene(stage, dialer));
}

fn message_campaign() -> CampaignSpecBuilder {
    CampaignSpec::sms("Reminders").template("sms_message", "Hi {{ name }}, see you at nine.").caller_id(OURS)
}

fn with(index: usize) -> ConversationKey {
    ConversationKey { channel: Channel::Sms, ours: OURS.into(), person: phone(index) }
}

async fn said(stage: &Stage, key: &ConversationKey) -> Vec<Message> {
    stage.engine.messages(key, Paging { offset: 0, limit: 1000 }).await.unwrap().items
}

async fn suppressed(stage: &Stage, person: &PhoneNumber) -> Vec<Suppression> {
    let query = SuppressionQuery { phone: Some(person.clone()), ..SuppressionQuery::default() };
    stage.engine.suppressions(query).await.unwrap().items
}

#[test]
fn stop_holds_everywhere_at_once_and_is_confirmed_once() {
    play(|stage, dialer| async move {
        let mut events = stage.engine.all_events().await.unwrap();
        let id = stage.start_of(message_campaign(), vec![row(0, json!({ "name": "Ana" })), row(1, json!({}))]).await;
        let waiting = stage.draft_of(CampaignSpec::call("Later"), vec![row(0, json!({})), row(2, json!({}))]).await;
        stage.end(id).await;
        stage.pass(Duration::from_secs(1)).await;
        for (id, text) in [("in-1", "Stop"), ("in-1", "Stop"), ("in-2", "STOP!!"), ("in-1", "Stop")] {
            hand_in(&stage.engine, &sms(id, &phone(0), OURS, text)).await;
            stage.pass(Duration::from_secs(1)).await;
        }
        stage.pass(Duration::from_secs(1)).await;
        assert!(stage.engine.is_suppressed(&phone(0), None).await.unwrap() && !stage.engine.is_suppressed(&phone(1), None).await.unwrap());
        let sent = dialer.sent();
        assert_eq!(sent.len(), 1, "one confirmation");
        assert_eq!((&*sent[0].from, &sent[0].to, sent[0].text.contains("START")), (OURS, &phone(0), true));
        assert_eq!(stage.contacts(waiting).await.iter().map(told).collect::<Vec<_>>(), [("skipped", "opted_out"), ("pending", "")]);

        let said = said(&stage, &with(0)).await;
        let told: Vec<_> = said.iter().map(|message| (message.author, message.id.as_str(), message.state)).collect();
        let campaign = (Author::Campaign, stage.attempts(stage.contacts(id).await[0].id).await[0].provider_ref.clone().unwrap());
        assert_eq!(said[0].text, "Hi Ana, see you at nine.");
        assert_eq!(told[0], (campaign.0, campaign.1.as_str(), MessageState::Done));
        let rest: Vec<_> = told[1..].iter().map(|(author, id, _)| (*author, *id)).collect();
        assert_eq!(rest, [(Author::Person, "in-1"), (Author::Engine, "out-1"), (Author::Person, "in-2")], "by the moment they came");
        assert_eq!((said[1].keyword, said[1].campaign_id), (Some(Keyword::OptOut), Some(id)));

        let mut seen = Vec::new();
        while let Some(event) = futures_util::FutureExt::now_or_never(events.next()).flatten() {
            seen.push(match event.kind {
                EventKind::MessageReceived { message_id, .. } => format!("received {message_id}"),
                EventKind::MessageSent { message_id, .. } => format!("sent {message_id}"),
                EventKind::OptedOut { .. } => "opted out".to_owned(),
                _ => continue,
            });
        }
        assert_eq!(seen, ["received in-1", "opted out", "sent out-1", "received in-2"]);

        // Nothing more goes to them, from nobody.
        let send = SendMessage { conversation: with(0), text: "Wait!".to_owned(), key: None, valid_for: None };
        assert_eq!(stage.engine.send_message(send).await.unwrap_err().kind(), Kind::State);
        stage.engine.start(waiting).await.unwrap();
        stage.pass(Duration::from_secs(5)).await;
        assert!(
            dialer.scripted().requests().iter().all(|recorded| recorded.request.channel == Channel::Sms || recorded.request.to != phone(0))
        );
        assert_eq!(dialer.sent().len(), 1);
    });
}

#[test]
fn an_opt_in_takes_back_what_the_opt_out_did_and_nothing_else() {
    play(|stage, dialer| async move {
        let id = stage.start_of(message_campaign(), (0..2).map(|index| row(index, json!({}))).collect()).await;
        stage.end(id).await;
        // Somebody else's entry stays theirs.
        stage.suppress(1).await;
        for index in 0..2 {
            hand_in(&stage.engine, &sms(&format!("stop-{index}"), &phone(index), OURS, "stop")).await;
            stage.pass(Duration::from_secs(60)).await;
            hand_in(&stage.engine, &sms(&format!("start-{index}"), &phone(index), OURS, "START")).await;
        }
        assert!(!stage.engine.is_suppressed(&phone(0), None).await.unwrap());
        assert_eq!(suppressed(&stage, &phone(1)).await.iter().map(|entry| entry.reason.as_str()).collect::<Vec<_>>(), ["asked"]);
        let to_first: Vec<String> =
            dialer.sent().into_iter().filter(|message| message.to == phone(0)).map(|message| message.text).collect();
        assert!(to_first.len() == 2 && to_first[0].contains("START") && to_first[1].contains("STOP"), "{to_first:?}");
        assert_eq!(dialer.sent().iter().filter(|message| message.to == phone(1)).count(), 1, "still suppressed: no welcome back");
        // An old STOP that comes once more changes nothing, a new one does, and is confirmed again.
        hand_in(&stage.engine, &sms("stop-0", &phone(0), OURS, "stop")).await;
        assert!(!stage.engine.is_suppressed(&phone(0), None).await.unwrap());
        hand_in(&stage.engine, &sms("stop-again", &phone(0), OURS, "stop")).await;
        assert!(stage.engine.is_suppressed(&phone(0), None).await.unwrap());
        assert_eq!(dialer.sent().iter().filter(|message| message.to == phone(0)).count(), 3);
        // "Yes" of somebody who has not opted out is an answer, not a subscription.
        let before = dialer.sent().len();
        hand_in(&stage.engine, &sms("yes", &phone(5), OURS, "YES")).await;
        assert_eq!(dialer.sent().len(), before);
    });
}

#[test]
fn the_scope_the_words_and_the_confirmation_are_the_campaigns() {
    play(|stage, dialer| async move {
        let spec = message_campaign().with(|spec| {
            spec.replies.opt_out_scope = OptOutScope::Campaign;
            spec.replies.opt_out_confirmation = Some("Bye.".to_owned());
            spec.replies.help_message = Some("Ask the front desk.".to_owned());
        });
        let id = stage.start_of(spec, (0..4).map(|index| row(index, json!({}))).collect()).await;
        let other = stage.draft_of(CampaignSpec::call("Other"), vec![row(0, json!({}))]).await;
        stage.end(id).await;
        hand_in(&stage.engine, &sms("a", &phone(0), OURS, "no me escriban más")).await;
        hand_in(&stage.engine, &sms("b", &phone(1), OURS, "HELP")).await;
        // What the carrier has confirmed is not confirmed again; what it understood goes before our reading.
        let mut carrier = sms("c", &phone(2), OURS, "basta cosi");
        carrier["message"]["keyword"] = "opt_out".into();
        carrier["message"]["confirmed_by_carrier"] = true.into();
        hand_in(&stage.engine, &carrier).await;
        hand_in(&stage.engine, &sms("d", &phone(3), OURS, "I'll stop by at 5")).await;
        stage.pass(Duration::from_secs(1)).await;
        assert_eq!(dialer.texts(), ["Bye.", "Ask the front desk."]);
        for (index, scopes) in [(0, vec![SuppressionScope::Campaign(id)]), (2, vec![SuppressionScope::Campaign(id)]), (3, vec![])] {
            assert_eq!(suppressed(&stage, &phone(index)).await.iter().map(|entry| entry.scope).collect::<Vec<_>>(), scopes);
        }
        assert_eq!(told(&stage.contacts(other).await[0]), ("pending", ""), "another campaign is not covered");
    });
}

#[test]
fn confirmations_speak_the_persons_language() {
    play(|stage, dialer| async move {
        let madrid = PhoneNumber::from_e164("+34631021622").unwrap();
        hand_in(&stage.engine, &sms("a", &madrid, OURS, "STOP")).await;
        hand_in(&stage.engine, &sms("b", &phone(0), OURS, "Bitte keine SMS mehr")).await;
        let texts = dialer.texts();
        assert!(texts[0].contains("mensajes") && texts[1].contains("Nachrichten"), "{texts:?}");
    });
}

#[test]
fn a_crash_before_the_confirmation_is_healed_when_the_message_comes_again() {
    let scripted = ScriptedDialer::new().otherwise(Script::ends(Disposition::Delivered));
    let dialer = AnsweringDialer::new(scripted);
    let given = Arc::clone(&dialer);
    let setup = move |builder: campaign_core::EngineBuilder| {
        // Other processes live on the store, so taking an opt-out waits for them: time enough to die in.
        builder.shared_dialer(Arc::clone(&given) as _).options(|options| options.poll_interval = Some(Duration::from_secs(1)))
    };
    play_on(ScriptedDialer::new(), setup, move |mut stage| async move {
        let id = stage.start_of(message_campaign(), vec![row(0, json!({}))]).await;
        stage.end(id).await;
        let other = campaign_core::Engine::builder()
            .shared_store(Arc::clone(&stage.store))
            .shared_dialer(Arc::clone(&dialer) as _)
            .executor(stage.clock.clone())
            .build()
            .await
            .unwrap();
        let stop = sms("in-1", &phone(0), OURS, "STOP");
        tokio::select! {
            biased;
            _ = stage.engine.callback(callback(&stop)) => panic!("it was taken too soon"),
            () = stage.clock.sleep_until(stage.clock.now() + jiff::SignedDuration::from_millis(100)) => {}
        }
        stage.crash().await;
        assert!(dialer.sent().is_empty());
        for _ in 0..2 {
            hand_in(&stage.engine, &stop).await;
        }
        assert_eq!(dialer.sent().len(), 1);
        assert!(stage.engine.is_suppressed(&phone(0), None).await.unwrap());
        assert_eq!(said(&stage, &with(0)).await.iter().filter(|message| message.author == Author::Person).count(), 1);
        drop(other);
    });
}

#[test]
fn a_crash_in_the_hand_off_never_sends_twice() {
    play(|mut stage, dialer| async move {
        let id = stage.start_of(message_campaign(), vec![row(0, json!({}))]).await;
        stage.end(id).await;
        dialer.next([Sending::Hangs]);
        let stop = sms("in-1", &phone(0), OURS, "STOP");
        tokio::select! {
            biased;
            _ = stage.engine.callback(callback(&stop)) => panic!("nothing was heard"),
            () = stage.clock.sleep_until(stage.clock.now() + jiff::SignedDuration::from_secs(20)) => {}
        }
        stage.crash().await;
        hand_in(&stage.engine, &stop).await;
        assert_eq!(dialer.sent().len(), 1, "nobody knows, so nothing is sent again");
        let last = said(&stage, &with(0)).await.pop().unwrap();
        assert_eq!((last.author, last.state), (Author::Engine, MessageState::InDoubt));
    });
}

#[test]
fn what_was_certainly_not_sent_is_tried_again_and_what_may_have_been_is_not() {
    let error = || campaign_core::Error::new(Kind::Provider, "scripted");
    play(move |stage, dialer| async move {
        let mut events = stage.engine.all_events().await.unwrap();
        hand_in(&stage.engine, &sms("in-1", &phone(0), OURS, "hello")).await;
        let send = |key: &str| {
            let send = SendMessage { conversation: with(0), text: "Hi".to_owned(), key: Some(key.to_owned()), valid_for: None };
            stage.engine.send_message(send)
        };
        dialer.next([
            Sending::Fails(DialError::Throttled { retry_after: Duration::from_secs(7) }),
            Sending::Fails(DialError::Transient(error())),
        ]);
        assert_eq!(send("a").await.unwrap().state, MessageState::Done);
        assert_eq!((dialer.sent().len(), stage.clock_seconds() >= 7), (3, true));
        assert_eq!(send("a").await.unwrap_err().kind(), Kind::Conflict, "a key sends once");
        dialer.next([Sending::Fails(DialError::InDoubt(error())), Sending::Fails(DialError::Permanent(error()))]);
        assert_eq!(send("b").await.unwrap_err().kind(), Kind::Provider);
        assert_eq!(send("c").await.unwrap_err().kind(), Kind::Provider);
        assert_eq!(dialer.sent().len(), 5);
        let states: Vec<_> = said(&stage, &with(0)).await[1..].iter().map(|message| message.state).collect();
        assert_eq!(states, [MessageState::Done, MessageState::InDoubt, MessageState::Failed]);
        // The carrier knows that they opted out: so do we from now on.
        dialer.next([Sending::Fails(DialError::Suppressed)]);
        assert!(send("d").await.is_err());
        assert!(stage.engine.is_suppressed(&phone(0), None).await.unwrap());
        let mut codes = Vec::new();
        while let Some(event) = futures_util::FutureExt::now_or_never(events.next()).flatten() {
            if let EventKind::Error { code, .. } = event.kind {
                codes.push(code);
            }
        }
        assert_eq!(codes, ["message_in_doubt", "message_not_sent", "message_not_sent"]);
    });
}

#[test]
fn a_reply_branches_a_mixed_campaign() {
    play(|stage, _| async move {
        let spec = CampaignSpec::mixed("mixed")
            .template("sms_message", "Please answer")
            .template("thanks", "Thank you")
            .caller_id(OURS)
            .step(Step::sms())
            .step(Step::sms().template("thanks").after_minutes(60).when_replied(true))
            .step(Step::call().after_minutes(60).when_replied(false).attempts(1));
        let id = stage.start_of(spec, (0..2).map(|index| row(index, json!({}))).collect()).await;
        stage.until(600).await;
        // By another spelling of our number.
        hand_in(&stage.engine, &sms("in-1", &phone(0), "whatsapp:+1 212 555 0100", "What is it about?")).await;
        let contacts = stage.end(id).await;
        let steps = |attempts: Vec<campaign_core::outcome::Attempt>| attempts.iter().map(|attempt| attempt.step.step).collect::<Vec<_>>();
        assert_eq!(steps(stage.attempts(contacts[0].id).await), [0, 1], "a word of thanks to whoever answered");
        assert_eq!(steps(stage.attempts(contacts[1].id).await), [0, 2], "a call to whoever did not");
        assert!(contacts[0].state.replied_at.is_some() && contacts[1].state.replied_at.is_none());
    });
}

#[test]
fn a_reply_belongs_to_the_campaign_that_is_open_else_to_the_last() {
    play(|stage, _| async move {
        let open = CampaignSpec::mixed("open")
            .template("sms_message", "Please answer")
            .caller_id(OURS)
            .step(Step::sms())
            .step(Step::call().after_minutes(600).when_replied(false).attempts(1));
        let open = stage.start_of(open, vec![row(0, json!({}))]).await;
        stage.until(60).await;
        let closed = stage.start_of(message_campaign(), vec![row(0, json!({})), row(1, json!({}))]).await;
        stage.end(closed).await;
        let elsewhere =
            stage.start_of(message_campaign().with(|spec| spec.caller_ids[0].number = OTHER.to_owned()), vec![row(0, json!({}))]).await;
        stage.end(elsewhere).await;
        for (id, person, ours, campaign) in [
            ("a", 0, OURS, Some(open)),
            ("b", 1, OURS, Some(closed)),
            ("c", 0, OTHER, Some(elsewhere)),
            // Once the open one is over, the last one that wrote from this number.
            ("d", 0, OURS, Some(closed)),
            ("e", 7, OURS, None),
        ] {
            hand_in(&stage.engine, &sms(id, &phone(person), ours, "Hello?")).await;
            let key = ConversationKey { channel: Channel::Sms, ours: ours.into(), person: phone(person) };
            assert_eq!(said(&stage, &key).await.pop().unwrap().campaign_id, campaign, "{id}");
            stage.pass(Duration::from_secs(5)).await;
        }
        let all = stage.engine.conversations(ConversationQuery::default()).await.unwrap();
        assert_eq!(all.len(), 4);
        let first = ConversationQuery { limit: 1, ..ConversationQuery::default() };
        let first = stage.engine.conversations(first).await.unwrap();
        let rest = ConversationQuery { after: Some(first[0].key.clone()), ..ConversationQuery::default() };
        assert_eq!(stage.engine.conversations(rest).await.unwrap(), all[1..]);
        let own = ConversationQuery { person: Some(phone(0)), campaign: Some(elsewhere), ..ConversationQuery::default() };
        assert_eq!(stage.engine.conversations(own).await.unwrap().len(), 1);
    });
}

#[test]
fn the_newest_conversations_come_first_and_each_organisation_sees_its_own() {
    play(|stage, _| async move {
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        for index in 0..6 {
            let spec = message_campaign().organization(1 + i64::from(index % 2 == 1));
            let id = stage.start_of(spec, vec![row(index, json!({}))]).await;
            stage.end(id).await;
            stage.pass(Duration::from_secs(5)).await;
            if index % 2 == 1 { &mut theirs } else { &mut mine }.insert(0, phone(index));
        }
        // Of nobody's campaign.
        hand_in(&stage.engine, &sms("stranger", &phone(9), OURS, "Hello?")).await;
        stage.pass(Duration::from_secs(5)).await;
        // It moves to the front, and is not there twice.
        hand_in(&stage.engine, &sms("again", &phone(0), OURS, "Hello?")).await;
        stage.pass(Duration::from_secs(5)).await;
        mine.rotate_right(1);
        let list = async |organization, limit| {
            let mut found: Vec<Conversation> = Vec::new();
            loop {
                let after = found.last().cloned();
                let page = stage.engine.newest_conversations(NewestConversations { organization, after, limit }).await.unwrap();
                found.extend(page.iter().cloned());
                if page.is_empty() {
                    break;
                }
            }
            found.into_iter().map(|conversation| conversation.key.person).collect::<Vec<_>>()
        };
        for limit in [1, 2, 50] {
            assert_eq!(list(Some(1), limit).await, mine, "{limit}");
            assert_eq!(list(Some(2), limit).await, theirs, "{limit}");
            assert!(list(Some(3), limit).await.is_empty());
            let all = list(None, limit).await;
            assert_eq!(all[..4], [phone(0), phone(9), phone(5), phone(4)], "{limit}");
            assert_eq!(all.len(), 7, "{limit}");
        }
        // Another organisation writes to somebody: from now on it is in its list.
        let taken = stage.start_of(message_campaign().organization(2), vec![row(2, json!({}))]).await;
        stage.end(taken).await;
        stage.pass(Duration::from_secs(5)).await;
        assert_eq!(list(Some(1), 50).await, [phone(0), phone(4)]);
        assert_eq!(list(Some(2), 50).await[0], phone(2));
        let last = stage.engine.last_messages(&with(0), 1).await.unwrap();
        assert_eq!(last.iter().map(|message| message.text.as_str()).collect::<Vec<_>>(), ["Hello?"]);
        assert_eq!(stage.engine.last_messages(&with(0), 9).await.unwrap(), said(&stage, &with(0)).await);
    });
}

#[test]
fn conversations_from_before_there_was_an_order_are_put_in_it() {
    play(|stage, _| async move {
        for index in 0..3 {
            let id = stage.start_of(message_campaign().organization(1), vec![row(index, json!({}))]).await;
            stage.end(id).await;
            stage.pass(Duration::from_secs(5)).await;
        }
        // As an earlier version left it: conversations that know no organisation, and no entries.
        let store = stage.engine.store();
        let all = |collection: &str| DocumentQuery { collection: collection.to_owned(), key: None, after: None, limit: 100 };
        for document in store.documents(all("conversation_newest")).await.unwrap() {
            store.delete_document("conversation_newest".to_owned(), document.key).await.unwrap();
        }
        for mut document in store.documents(all("conversation")).await.unwrap() {
            document.value.as_object_mut().unwrap().remove("organization").unwrap();
            let put = PutDocument {
                collection: "conversation".to_owned(),
                key: document.key,
                value: document.value,
                expected_revision: Some(document.revision),
            };
            store.put_document(put).await.unwrap();
        }
        let query = NewestConversations { organization: Some(1), ..NewestConversations::default() };
        let people: Vec<_> = stage.engine.newest_conversations(query.clone()).await.unwrap().into_iter().map(|c| c.key.person).collect();
        assert_eq!(people, [phone(2), phone(1), phone(0)]);
        let none = NewestConversations { organization: Some(2), ..query };
        assert!(stage.engine.newest_conversations(none).await.unwrap().is_empty());
    });
}

#[test]
fn a_receipt_that_says_opted_out_suppresses_and_a_settled_one_too() {
    play(|stage, dialer| async move {
        let id = stage.start_of(message_campaign(), (0..2).map(|index| row(index, json!({}))).collect()).await;
        let other = stage.draft_of(CampaignSpec::call("Other"), (0..3).map(|index| row(index, json!({}))).collect()).await;
        let contacts = stage.end(id).await;
        let attempt = stage.attempts(contacts[0].id).await[0].id;
        hand_in(&stage.engine, &json!({ "opted_out": attempt })).await;
        dialer.scripted().on_phone(&phone(2), [Script::ends(Disposition::OptedOut)]);
        let third = stage.start_of(CampaignSpec::call("Third"), vec![row(2, json!({}))]).await;
        stage.end(third).await;
        stage.pass(Duration::from_secs(1)).await;
        let ends: Vec<_> = stage.contacts(other).await.iter().map(|contact| told(contact).1.to_owned()).collect();
        assert_eq!(ends, ["opted_out", "", "opted_out"]);
        let key = SuppressionKey { phone: phone(0), scope: SuppressionScope::Everything };
        assert_eq!(stage.engine.unsuppress(vec![key]).await.unwrap(), 1);
    });
}

#[test]
fn whatsapp_knows_when_the_person_last_wrote() {
    play(|stage, dialer| async move {
        let spec = || CampaignSpec::whatsapp("w").template("sms_message", "Hi").caller_id(OURS);
        let first = stage.start_of(spec(), vec![row(0, json!({}))]).await;
        stage.end(first).await;
        let key = ConversationKey { channel: Channel::WhatsApp, ..with(0) };
        let send = |text: &str| {
            stage.engine.send_message(SendMessage { conversation: key.clone(), text: text.to_owned(), key: None, valid_for: None })
        };
        assert_eq!(send("Free text").await.unwrap_err().kind(), Kind::State, "nobody wrote yet");
        let mut message = sms("in-1", &phone(0), "whatsapp:+12125550100", "Hello");
        message["message"]["channel"] = "whatsapp".into();
        let wrote_at = stage.clock.now();
        hand_in(&stage.engine, &message).await;
        send("Free text").await.unwrap();
        stage.pass(Duration::from_secs(3600)).await;
        let second = stage.start_of(spec(), vec![row(0, json!({})), row(1, json!({}))]).await;
        stage.end(second).await;
        let known: Vec<_> = dialer.scripted().requests().iter().map(|recorded| recorded.request.last_inbound_at).collect();
        assert_eq!(known, [None, Some(wrote_at), None]);
        stage.pass(Duration::from_secs(24 * 3600)).await;
        assert_eq!(send("Too late").await.unwrap_err().kind(), Kind::State);
    });
}

#[test]
fn returned_calls_are_answered_as_their_campaign_says() {
    play(|stage, _| async move {
        let spec = |name: &str, returned: ReturnedCalls| {
            CampaignSpec::call(name)
                .template("welcome_message", "Hi {{ name }}, you call about {{ campaign_name }}.")
                .template("end_call_message", "Goodbye {{ name }}.")
                .caller_id(OURS)
                .retries(3, 600)
                .with(|spec| spec.replies.returned_calls = returned)
        };
        let call = |from: Value, to: &str| callback(&json!({ "from": from, "to": to }));
        let told = async |from: Value, to: &str| -> Value {
            let response = stage.engine.callback(call(from, to)).await;
            assert_eq!(response.status, 200);
            serde_json::from_slice(&response.body).unwrap()
        };
        let people = || vec![row(0, json!({ "name": "Ana" }))];
        let declined = stage.start_of(spec("one", ReturnedCalls::Decline), people()).await;
        stage.pass(Duration::from_secs(60)).await;
        assert_eq!(told(phone(0).as_str().into(), OURS).await, json!({ "say": "Goodbye Ana." }));
        let contact = &stage.contacts(declined).await[0];
        assert!(contact.state.replied_at.is_some(), "a returned call is a reply");
        let forwarded = stage.start_of(spec("two", ReturnedCalls::Forward(PhoneNumber::from_e164(OTHER).unwrap())), people()).await;
        stage.pass(Duration::from_secs(60)).await;
        assert_eq!(told(phone(0).as_str().into(), OURS).await, json!({ "forward": OTHER }), "the last call counts");
        let assisted = stage.start_of(spec("three", ReturnedCalls::Assistant), people()).await;
        stage.pass(Duration::from_secs(60)).await;
        let attempt = stage.attempts(stage.contacts(assisted).await[0].id).await[0].id;
        let expected = json!({ "assistant": attempt, "welcome": "Hi Ana, you call about three." });
        assert_eq!(told(phone(0).as_str().into(), OURS).await, expected);
        for stranger in [json!(phone(9).as_str()), Value::Null] {
            assert_eq!(told(stranger, OURS).await, json!({ "say": "" }));
        }
        let _ = forwarded;
    });
}

#[test]
fn a_dialer_without_callbacks_takes_replies_from_the_program() {
    campaign_tests::stage::play(ScriptedDialer::new().otherwise(Script::ends(Disposition::Sent)), |stage| async move {
        let id = stage.start_of(message_campaign(), vec![row(0, json!({}))]).await;
        stage.end(id).await;
        let arguments = |id: &str, text: &str| sms(id, &phone(0), OURS, text)["message"].as_object().unwrap().clone();
        let receive = async |id: &str, text: &str| {
            stage.engine.receive_message(campaign_core::wire::inbound_message(arguments(id, text)).unwrap()).await
        };
        let message = receive("a", "unsubscribe").await.unwrap();
        assert_eq!((message.keyword, message.campaign_id), (Some(Keyword::OptOut), Some(id)));
        assert!(stage.engine.is_suppressed(&phone(0), None).await.unwrap());
        assert_eq!(receive("", "x").await.unwrap_err().kind(), Kind::Invalid);
        let send = SendMessage { conversation: with(1), text: "Hi".to_owned(), key: None, valid_for: None };
        assert_eq!(stage.engine.send_message(send).await.unwrap_err().kind(), Kind::State);
    });
}
