//! The assistant answers messages and talks on the telephone.

#![allow(clippy::unwrap_used, missing_docs)]

use campaign_core::assistant::{Line, ScriptedAssistant, Tool, Turn};
use campaign_core::campaign::{CampaignSpec, CampaignSpecBuilder};
use campaign_core::conversation::{Author, ConversationKey, Message};
use campaign_core::dialer::{Script, ScriptedDialer};
use campaign_core::engine::{RelayCommand, RelaySession};
use campaign_core::event::{Event, EventKind};
use campaign_core::executor::Executor;
use campaign_core::id::{AttemptId, CampaignId};
use campaign_core::outcome::{Channel, Disposition};
use campaign_core::store::Paging;
use campaign_core::{Error, EventStream, Kind};
use campaign_tests::answering::{AnsweringDialer, Sending, hand_in, sms};
use campaign_tests::stage::{Stage, phone, play_on, row, told};
use futures_util::FutureExt;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

const OURS: &str = "+12125550100";

struct World {
    dialer: Arc<AnsweringDialer>,
    assistant: Arc<ScriptedAssistant>,
}

fn play<F: Future<Output = ()> + Send>(assistant: ScriptedAssistant, scene: impl FnOnce(Stage, World) -> F + Send + 'static) {
    let scripted = ScriptedDialer::new().otherwise(Script::answered(40).after(Duration::from_secs(60)));
    scripted.on(|request| (request.channel != Channel::Call).then(|| Script::ends(Disposition::Delivered)));
    let (dialer, assistant) = (AnsweringDialer::new(scripted), Arc::new(assistant));
    let (given, asked) = (Arc::clone(&dialer), Arc::clone(&assistant));
    play_on(
        ScriptedDialer::new(),
        move |builder| builder.shared_dialer(Arc::clone(&given) as _).shared_assistant(Arc::clone(&asked) as _),
        move |stage| scene(stage, World { dialer, assistant }),
    );
}

fn prompted(spec: CampaignSpecBuilder) -> CampaignSpecBuilder {
    spec.template("system_prompt", "You are Eva. You speak with {{ name }}.")
        .template("agenda", "The appointment is on {{ date }}.")
        .caller_id(OURS)
        .with(|spec| spec.replies.assistant = true)
}

fn campaign() -> CampaignSpecBuilder {
    prompted(CampaignSpec::sms("Reminders").template("sms_message", "Hi {{ name }}, see you on {{ date }}."))
}

fn ana() -> serde_json::Map<String, Value> {
    row(0, json!({ "name": "Ana", "date": "Monday" }))
}

fn with_ana(channel: Channel) -> ConversationKey {
    ConversationKey { channel, ours: OURS.into(), person: phone(0) }
}

async fn said(stage: &Stage, channel: Channel) -> Vec<Message> {
    stage.engine.messages(&with_ana(channel), Paging { offset: 0, limit: 1000 }).await.unwrap().items
}

/// A campaign has written to Ana, and watchers look on.
async fn begin(stage: &Stage) -> (CampaignId, EventStream) {
    let events = stage.engine.all_events().await.unwrap();
    let id = stage.start_of(campaign(), vec![ana()]).await;
    stage.end(id).await;
    stage.pass(Duration::from_secs(1)).await;
    (id, events)
}

async fn writes(stage: &Stage, id: &str, text: &str) {
    hand_in(&stage.engine, &sms(id, &phone(0), OURS, text)).await;
}

fn seen(events: &mut EventStream) -> Vec<Event> {
    std::iter::from_fn(|| events.next().now_or_never().flatten()).collect()
}

fn errors(events: &mut EventStream) -> Vec<String> {
    let codes = seen(events).into_iter().filter_map(|event| match event.kind {
        EventKind::Error { code, .. } => Some(code),
        _ => None,
    });
    codes.collect()
}

#[test]
fn a_reply_is_answered_from_prompt_agenda_and_history() {
    play(ScriptedAssistant::new().otherwise([Line::says("On Monday at nine.")]), |stage, world| async move {
        let (id, _) = begin(&stage).await;
        writes(&stage, "in-1", "When is it?").await;
        stage.pass(Duration::from_secs(1)).await;
        writes(&stage, "in-2", "And where?").await;
        stage.pass(Duration::from_secs(1)).await;
        assert_eq!(world.dialer.texts(), ["On Monday at nine.", "On Monday at nine."]);
        let dialogues = world.assistant.dialogues();
        let first = &dialogues[0];
        assert_eq!((first.campaign_id, first.channel, first.person.name.as_deref()), (id, Channel::Sms, Some("Ana")));
        assert_eq!(
            (first.system_prompt.as_str(), first.agenda.as_deref()),
            ("You are Eva. You speak with Ana.", Some("The appointment is on Monday."))
        );
        assert!(first.tools.contains(&Tool::Book) && !first.tools.contains(&Tool::EndCall));
        let instructions = first.instructions();
        assert!(instructions.contains("Eva") && instructions.contains("Monday") && instructions.contains("459 characters"));
        let turns = [
            Turn::Assistant("Hi Ana, see you on Monday.".to_owned()),
            Turn::Person("When is it?".to_owned()),
            Turn::Assistant("On Monday at nine.".to_owned()),
            Turn::Person("And where?".to_owned()),
        ];
        assert!(first.turns == turns[..2] && dialogues[1].turns == turns);
        assert_eq!(said(&stage, Channel::Sms).await.last().unwrap().author, Author::Assistant);
        // A word that asks for something by itself is not for the assistant; a campaign that does not want it neither.
        writes(&stage, "in-3", "HELP").await;
        let quiet = stage.start_of(campaign().with(|spec| spec.replies.assistant = false), vec![ana()]).await;
        stage.end(quiet).await;
        writes(&stage, "in-4", "Hello?").await;
        stage.pass(Duration::from_secs(1)).await;
        assert_eq!(world.assistant.dialogues().len(), 2);
    });
}

#[test]
fn answers_fit_into_a_text_message() {
    let long = "This is a sentence of some length. ".repeat(40);
    play(ScriptedAssistant::new().otherwise([Line::Says(long)]), |stage, world| async move {
        begin(&stage).await;
        writes(&stage, "in-1", "Tell me everything").await;
        stage.pass(Duration::from_secs(1)).await;
        let text = &world.dialer.texts()[0];
        assert!(text.chars().count() <= 459 && text.ends_with("length."), "{text}");
    });
}

#[test]
fn what_it_asks_for_is_carried_out_and_kept() {
    play(ScriptedAssistant::new(), |stage, world| async move {
        let (id, mut events) = begin(&stage).await;
        // A tool without a word: its result is given back, and then it speaks.
        world.assistant.next([Line::Does("book".to_owned(), json!({ "what": "a table", "when": "nine" }))]);
        world.assistant.next([Line::says("I have noted it.")]);
        writes(&stage, "in-1", "A table at nine please").await;
        stage.pass(Duration::from_secs(1)).await;
        let dialogues = world.assistant.dialogues();
        assert!(matches!(&dialogues[1].turns[2..], [Turn::Tool(call), Turn::Result { id, .. }] if call.name == "book" && *id == call.id));
        let tool = said(&stage, Channel::Sms).await.into_iter().find_map(|message| message.tool).unwrap();
        assert_eq!((tool.name.as_str(), &tool.arguments["when"]), ("book", &json!("nine")));
        let contact = stage.contacts(id).await[0].id;
        let used = EventKind::ToolUsed { contact_id: contact, channel: Channel::Sms, tool: "book".to_owned() };
        assert!(seen(&mut events).iter().any(|event| event.kind == used && event.campaign_id == id));
        assert_eq!(world.dialer.texts(), ["I have noted it."]);
        // The tools are no part of what is told next time, and unknown ones do nothing.
        world.assistant.next([Line::Does("launch".to_owned(), json!({})), Line::says("Fine.")]);
        writes(&stage, "in-2", "Thanks").await;
        stage.pass(Duration::from_secs(1)).await;
        assert!(world.assistant.dialogues().last().unwrap().turns.iter().all(|turn| !matches!(turn, Turn::Tool(_))));
        assert_eq!(world.dialer.texts().last().unwrap(), "Fine.");
    });
}

#[test]
fn an_opt_out_in_other_words_is_understood_and_confirmed_by_the_engine() {
    let lines = [Line::Does("opt_out".to_owned(), json!({})), Line::says("Sorry to see you go! Here is an offer.")];
    play(ScriptedAssistant::new().otherwise(lines), |stage, world| async move {
        begin(&stage).await;
        writes(&stage, "in-1", "You people are getting on my nerves, enough of it").await;
        stage.pass(Duration::from_secs(1)).await;
        assert!(stage.engine.is_suppressed(&phone(0), None).await.unwrap());
        let texts = world.dialer.texts();
        assert!(texts.len() == 1 && texts[0].contains("unsubscribed"), "{texts:?}");
        writes(&stage, "in-2", "Hello?").await;
        stage.pass(Duration::from_secs(1)).await;
        assert_eq!((world.dialer.texts().len(), world.assistant.dialogues().len()), (1, 1), "nothing more");
    });
}

#[test]
fn whoever_writes_on_gets_one_answer_to_everything() {
    play(ScriptedAssistant::new(), |stage, world| async move {
        begin(&stage).await;
        world.assistant.on(|dialogue| {
            let questions = dialogue.turns.iter().filter(|turn| matches!(turn, Turn::Person(_))).count();
            Some(vec![Line::Says(format!("{questions} answered"))])
        });
        // The provider takes its time with the first answer: the second must wait for it.
        world.dialer.next([Sending::Fails(campaign_core::dialer::DialError::Throttled { retry_after: Duration::from_secs(5) })]);
        writes(&stage, "in-1", "One").await;
        stage.pass(Duration::from_secs(1)).await;
        writes(&stage, "in-2", "Two").await;
        writes(&stage, "in-3", "Three").await;
        stage.pass(Duration::from_secs(1)).await;
        assert_eq!(world.dialer.sent().len(), 1, "one answer at a time");
        stage.pass(Duration::from_secs(10)).await;
        let texts = world.dialer.texts();
        assert_eq!(texts, ["1 answered", "1 answered", "3 answered"], "the first was tried again, the others are answered together");
    });
}

#[test]
fn a_failing_assistant_is_asked_again_then_watchers_are_told_and_nothing_is_lost() {
    let fails = || Line::Fails(Error::new(Kind::Provider, "scripted"));
    play(ScriptedAssistant::new(), move |stage, world| async move {
        let (_, mut events) = begin(&stage).await;
        world.assistant.next([Line::says("Half an ans"), fails()]);
        world.assistant.next([Line::Panics]);
        world.assistant.next([Line::says("Here I am.")]);
        writes(&stage, "in-1", "Hello?").await;
        stage.pass(Duration::from_secs(30)).await;
        assert_eq!((world.dialer.texts(), errors(&mut events).len()), (vec!["Here I am.".to_owned()], 0));
        for lines in [[fails()], [Line::Panics], [Line::Waits]] {
            world.assistant.next(lines);
        }
        writes(&stage, "in-2", "Are you there?").await;
        stage.pass(Duration::from_secs(120)).await;
        assert_eq!(errors(&mut events), ["assistant"]);
        assert_eq!(world.dialer.texts().len(), 1);
        assert_eq!(said(&stage, Channel::Sms).await.last().unwrap().text, "Are you there?");
        assert!(world.assistant.dropped() >= 2, "an answer that takes too long is dropped");
    });
}

#[test]
fn an_answer_that_a_crash_interrupts_is_made_by_the_next_process() {
    play(ScriptedAssistant::new(), |mut stage, world| async move {
        begin(&stage).await;
        world.assistant.next([Line::Waits]);
        writes(&stage, "in-1", "Hello?").await;
        stage.pass(Duration::from_secs(5)).await;
        world.assistant.next([Line::says("Here.")]);
        stage.crash().await;
        stage.pass(Duration::from_secs(300)).await;
        assert_eq!(world.dialer.texts(), ["Here."]);
        // A crash in the hand-off: nobody knows, so it is not said again.
        world.dialer.next([Sending::Hangs]);
        world.assistant.next([Line::says("Once.")]);
        writes(&stage, "in-2", "And now?").await;
        stage.pass(Duration::from_secs(5)).await;
        world.assistant.next([Line::says("Once more.")]);
        stage.crash().await;
        stage.pass(Duration::from_secs(600)).await;
        assert_eq!(world.dialer.texts(), ["Here.", "Once."]);
    });
}

// --- on the telephone ------------------------------------------------------------------------------------------------------

fn call_campaign() -> CampaignSpecBuilder {
    prompted(CampaignSpec::call("Calls").template("welcome_message", "Hi {{ name }}, this is Eva."))
}

fn setup(attempt: AttemptId) -> String {
    let parameters = json!({ "attempt": attempt.to_string() });
    json!({ "type": "setup", "sessionId": "VX1", "callSid": "CA1", "from": OURS, "to": phone(0), "direction": "outbound-api", "customParameters": parameters })
        .to_string()
}

fn prompt(text: &str) -> String {
    json!({ "type": "prompt", "voicePrompt": text, "lang": "en-US", "last": true }).to_string()
}

/// A call to Ana goes on, and its relay opens a session.
async fn calls(stage: &Stage) -> (CampaignId, AttemptId, RelaySession) {
    let id = stage.start_of(call_campaign(), vec![ana()]).await;
    stage.pass(Duration::from_secs(5)).await;
    let attempt = stage.attempts(stage.contacts(id).await[0].id).await[0].id;
    (id, attempt, stage.engine.relay(&setup(attempt)).await.unwrap())
}

/// What is sent until there is nothing to say for now.
fn frames(session: &mut RelaySession) -> Vec<Value> {
    std::iter::from_fn(|| session.next().now_or_never().flatten()).map(|frame| serde_json::from_str(&frame).unwrap()).collect()
}

fn spoken(frames: &[Value]) -> String {
    frames.iter().filter(|frame| frame["type"] == "text").filter_map(|frame| frame["token"].as_str()).collect()
}

#[test]
fn a_call_is_a_conversation_and_its_transcript_is_kept() {
    play(ScriptedAssistant::new(), |stage, world| async move {
        let (id, attempt, mut session) = calls(&stage).await;
        assert!(frames(&mut session).is_empty(), "the carrier speaks the welcome itself");
        world.assistant.next([Line::says("On Monday at nine.")]);
        session.receive(&json!({ "type": "prompt", "voicePrompt": "When", "last": false }).to_string());
        assert!(frames(&mut session).is_empty());
        session.receive(&prompt("When is it?"));
        let sent = frames(&mut session);
        assert_eq!(spoken(&sent), "On Monday at nine.");
        assert_eq!((sent.len(), &sent[0]["last"], &sent.last().unwrap()["last"]), (5, &json!(false), &json!(true)));
        let dialogue = &world.assistant.dialogues()[0];
        assert!(dialogue.turns == [Turn::Assistant("Hi Ana, this is Eva.".to_owned()), Turn::Person("When is it?".to_owned())]);
        assert!(dialogue.tools.contains(&Tool::EndCall) && dialogue.max_characters.is_none());

        // Keys are part of what was said; frames nobody knows are not.
        world.assistant.next([Line::Does("book".to_owned(), json!({ "what": "two" }))]);
        world.assistant.next([Line::says("Two it is. Goodbye."), Line::Does("end_call".to_owned(), json!({ "reason": "done" }))]);
        for frame in ["{", r#"{"type":"info","name":"tokensPlayed","value":"x"}"#, r#"{"type":"dtmf","digit":"2"}"#] {
            session.receive(frame);
        }
        let sent = frames(&mut session);
        assert_eq!(spoken(&sent), "Two it is. Goodbye.");
        let handoff: Value = serde_json::from_str(sent.last().unwrap()["handoffData"].as_str().unwrap()).unwrap();
        assert_eq!((&handoff["reason"], &handoff["attempt"]), (&json!("end_call"), &json!(attempt.to_string())));
        assert_eq!(session.next().await, None, "it is over");
        session.close().await.unwrap();

        let contacts = stage.end(id).await;
        assert_eq!(told(&contacts[0]).0, "completed");
        stage.pass(Duration::from_secs(60)).await;
        let outcome = stage.attempts(contacts[0].id).await[0].outcome.clone().unwrap();
        let lines: Vec<&str> = outcome.data["transcript"].as_array().unwrap().iter().filter_map(|line| line["role"].as_str()).collect();
        assert_eq!(lines, ["assistant", "person", "assistant", "person", "tool", "assistant", "tool"]);
        assert_eq!(outcome.duration_seconds, 40);
        let kept: Vec<_> = said(&stage, Channel::Call).await.into_iter().map(|message| (message.author, message.text)).collect();
        assert_eq!(kept[1], (Author::Person, "When is it?".to_owned()));
        assert_eq!(kept.len(), 7);
    });
}

#[test]
fn a_session_can_be_carried_between_ends_that_others_hold() {
    play(ScriptedAssistant::new().otherwise([Line::says("Yes.")]), |stage, _| async move {
        let (_, _, session) = calls(&stage).await;
        let (commands, obeyed) = mpsc::unbounded_channel();
        let sent: Arc<Mutex<Vec<Value>>> = Arc::default();
        let frames = Arc::clone(&sent);
        let send = move |frame: String| frames.lock().unwrap().push(serde_json::from_str(&frame).unwrap());
        commands.send(RelayCommand::Receive(prompt("Hello?"))).unwrap();
        let rest = async {
            stage.pass(Duration::from_secs(1)).await;
            commands.send(RelayCommand::SendDigits("1w2".to_owned())).unwrap();
            commands.send(RelayCommand::Say("By the way".to_owned())).unwrap();
            stage.pass(Duration::from_secs(1)).await;
            // The socket closes.
            drop(commands);
        };
        let (spoken, ()) = futures_util::join!(session.carry(obeyed, send), rest);
        let said: Vec<String> = spoken.unwrap().into_iter().map(|spoken| spoken.text).collect();
        assert_eq!(said, ["Hi Ana, this is Eva.", "Hello?", "Yes.", "By the way"]);
        let sent = sent.lock().unwrap();
        assert_eq!(self::spoken(&sent), "Yes.By the way");
        assert!(sent.iter().any(|frame| frame["type"] == "sendDigits" && frame["digits"] == "1w2"));
    });
}

#[test]
fn whoever_interrupts_is_listened_to() {
    play(ScriptedAssistant::new(), |stage, world| async move {
        let (_, _, mut session) = calls(&stage).await;
        world.assistant.next([Line::says("We open at nine and close at "), Line::Waits]);
        session.receive(&prompt("When do you open?"));
        assert_eq!(spoken(&frames(&mut session)), "We open at nine and close at ");
        session.receive(
            &json!({ "type": "interrupt", "utteranceUntilInterrupt": "We open at nine", "durationUntilInterruptMs": "460" }).to_string(),
        );
        assert_eq!(world.assistant.dropped(), 1, "it stops making the answer");
        world.assistant.next([Line::says("Yes.")]);
        session.receive(&prompt("On Sunday, too?"));
        assert_eq!(spoken(&frames(&mut session)), "Yes.");
        let turns = world.assistant.dialogues().pop().unwrap().turns;
        assert!(turns[2] == Turn::Assistant("We open at nine".to_owned()), "only what was heard was said");

        // A sentence without an interrupt frame (nothing was being spoken yet) does the same.
        world.assistant.next([Line::Waits]);
        session.receive(&prompt("Wait"));
        assert!(frames(&mut session).is_empty());
        world.assistant.next([Line::says("I am here.")]);
        session.receive(&prompt("Are you there?"));
        assert_eq!(spoken(&frames(&mut session)), "I am here.");
        assert_eq!(world.assistant.dropped(), 2);

        // What waited to be sent was never said.
        world.assistant.next([Line::says("One two three four")]);
        session.receive(&prompt("Count"));
        let first = session.next().await.unwrap();
        assert!(first.contains("One "));
        session.receive(&json!({ "type": "interrupt", "utteranceUntilInterrupt": "One" }).to_string());
        assert!(frames(&mut session).is_empty());
        assert_eq!(session.transcript().last().unwrap().text, "One");
    });
}

#[test]
fn opting_out_transferring_and_failing_on_the_telephone() {
    play(ScriptedAssistant::new(), |stage, world| async move {
        let mut events = stage.engine.all_events().await.unwrap();
        let (_, _, mut session) = calls(&stage).await;
        world.assistant.next([Line::Does("opt_out".to_owned(), json!({}))]);
        world.assistant.next([Line::says("You are off our list.")]);
        session.receive(&prompt("Take me off your list"));
        assert_eq!(spoken(&frames(&mut session)), "You are off our list.");
        // The WebSocket breaks without a word; nothing is lost.
        drop(session);
        stage.pass(Duration::from_secs(1)).await;
        assert!(stage.engine.is_suppressed(&phone(0), None).await.unwrap());
        assert!(said(&stage, Channel::Call).await.iter().any(|message| message.text == "Take me off your list"));
        assert!(world.dialer.sent().is_empty(), "nobody writes to somebody who was on the phone");
        let kinds: Vec<Event> = seen(&mut events);
        assert!(kinds.iter().any(|event| matches!(event.kind, EventKind::OptedOut { contact_id: Some(_) })));

        let attempt = stage.engine.executions(Default::default()).await.unwrap().items[0].id;
        let mut session = stage.engine.relay(&setup(attempt)).await.unwrap();
        world.assistant.next([Line::says("One moment."), Line::Does("transfer".to_owned(), json!({ "reason": "a bill" }))]);
        session.receive(&prompt("I want to speak with somebody"));
        let last = frames(&mut session).pop().unwrap();
        let handoff: Value = serde_json::from_str(last["handoffData"].as_str().unwrap()).unwrap();
        assert_eq!((&handoff["reason"], &handoff["arguments"]["reason"]), (&json!("transfer"), &json!("a bill")));

        let mut session = stage.engine.relay(&setup(attempt)).await.unwrap();
        for (round, ends) in [(1, false), (2, true)] {
            world.assistant.next([Line::Fails(Error::new(Kind::Provider, "scripted"))]);
            session.receive(&prompt("Hello?"));
            assert_eq!(frames(&mut session).last().unwrap()["type"] == "end", ends, "round {round}");
        }
        assert_eq!(errors(&mut events), ["assistant", "assistant"]);
        assert!(session.next().now_or_never().flatten().is_none());
        // What a program says and does is in the same stream.
        let mut session = stage.engine.relay(&setup(attempt)).await.unwrap();
        session.say("Hold on");
        session.play("https://example.com/a.mp3", 2);
        session.send_digits("1w2");
        session.language(Some("es-ES"), None);
        session.end(json!({}));
        let kinds: Vec<_> = frames(&mut session).iter().map(|frame| frame["type"].as_str().unwrap().to_owned()).collect();
        assert_eq!(kinds, ["text", "play", "sendDigits", "language", "end"]);
    });
}

#[test]
fn a_session_belongs_to_an_attempt_and_needs_an_assistant() {
    play(ScriptedAssistant::new(), |stage, _| async move {
        calls(&stage).await;
        let kind = async |frame: &str| stage.engine.relay(frame).await.unwrap_err().kind();
        assert_eq!(kind("{}").await, Kind::Invalid);
        assert_eq!(kind(&setup(AttemptId(99))).await, Kind::NotFound);
        assert_eq!(kind(r#"{"type":"setup","customParameters":{"attempt":"x"}}"#).await, Kind::Invalid);
        assert_eq!(kind(r#"{"type":"setup","callSid":"CA404"}"#).await, Kind::NotFound);
    });
    campaign_tests::stage::play(ScriptedDialer::new(), |stage| async move {
        assert_eq!(stage.engine.relay(&setup(AttemptId(1))).await.unwrap_err().kind(), Kind::State);
        let _ = stage.clock.now();
    });
}
