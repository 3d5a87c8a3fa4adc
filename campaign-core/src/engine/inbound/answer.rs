//! The assistant answers messages: one answer at a time per conversation, from everything that was written in it.
//!
//! What waits for an answer is a document of its own, so that it outlives a crash; who makes the answer holds the conversation for a while,
//! so that no two nodes do; and the answer is handed over at most once, under a key made of the message it answers.

use super::book::{self, APART};
use super::optout;
use super::outgoing::{self, Draft};
use crate::assistant::{Assistant, Piece, Tool, Turn, ask};
use crate::campaign::CampaignRecord;
use crate::contact::Contact;
use crate::conversation::{Author, ConversationKey, Message, ToolCall, shorten};
use crate::engine::active::Active;
use crate::engine::core::{Core, later};
use crate::engine::talk;
use crate::event::EventKind;
use crate::id::{CampaignId, ContactId};
use crate::{Error, Kind, Result};
use futures_util::StreamExt;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Messages that wait for an answer.
const DUE: &str = "answer_due";
/// Whoever makes an answer is left alone for so long. Longer than everything below together.
const HELD_FOR: Duration = Duration::from_secs(240);
/// An answer takes at most so long to be made.
const MADE_WITHIN: Duration = Duration::from_secs(60);
/// And to leave.
const LEAVES_WITHIN: Duration = Duration::from_secs(600);
/// Nobody waits for an answer for longer than this.
const STALE_AFTER: SignedDuration = SignedDuration::from_hours(1);
/// A failing assistant is asked so often.
const TRIES: u32 = 3;
/// Whoever writes on while an answer is made is waited for so often.
const FRESH_STARTS: u32 = 3;
/// Answers within an hour to one person; more means that two machines talk to each other.
const PER_HOUR: usize = 40;
/// Messages that an answer is made from.
const HISTORY: usize = 60;
/// Turns of the assistant that only use tools, in one answer.
const ROUNDS: u32 = 3;
/// Bytes of one answer.
const LONGEST: usize = 64 * 1024;

#[derive(Clone, Serialize, Deserialize)]
struct Due {
    key: ConversationKey,
    /// The message to be answered.
    id: String,
    at: Timestamp,
    campaign: CampaignId,
    contact: ContactId,
}

/// Notes that a message waits for an answer, when its campaign wants one.
pub(super) async fn due(
    core: &Arc<Core>,
    key: &ConversationKey,
    message: &Message,
    record: &CampaignRecord,
    contact: &Contact,
) -> Result<()> {
    if core.assistant.is_none() || !record.spec.replies.assistant || message.text.trim().is_empty() && message.media.is_empty() {
        return Ok(());
    }
    let due = Due { key: key.clone(), id: message.id.clone(), at: message.at, campaign: record.id, contact: contact.id };
    let place = format!("{}{APART}{:020}{APART}{}", book::id(key), message.at.as_microsecond().max(0), message.id);
    book::put(core, DUE, place, book::to_value(&due)?, None).await.map(drop)
}

/// Makes sure that somebody here looks at the conversation.
pub(super) fn wake(core: &Arc<Core>, key: &ConversationKey) {
    if core.assistant.is_none() {
        return;
    }
    let id = book::id(key);
    {
        let mut looking = core.answering.lock();
        if let Some(again) = looking.get_mut(&id) {
            *again = true;
            return;
        }
        looking.insert(id.clone(), false);
    }
    let (here, key) = (Arc::clone(core), key.clone());
    core.spawn(async move { look_after(&here, &key, &id).await });
}

/// Takes up what waited when a node died, at the start and then now and then.
pub(crate) async fn keep_answering(core: Arc<Core>) {
    loop {
        match book::beginning(&core, DUE, "", None).await {
            Ok(waiting) => {
                let mut seen = BTreeSet::new();
                for due in waiting.into_iter().filter_map(|document| book::parse::<Due>(document).ok()) {
                    if seen.insert(book::id(&due.key)) {
                        wake(&core, &due.key);
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "messages that wait for an answer could not be read; trying again"),
        }
        if core.options.poll_interval.is_none() {
            return;
        }
        core.sleep(core.options.lease).await;
    }
}

enum Looked {
    Answered,
    Nothing,
    /// Somebody else makes the answer until then.
    Held(Timestamp),
}

async fn look_after(core: &Arc<Core>, key: &ConversationKey, id: &str) {
    let mut failures = 0u32;
    loop {
        match look(core, key).await {
            Ok(Looked::Answered) => failures = 0,
            Ok(Looked::Held(until)) => core.clock.sleep_until(until).await,
            Ok(Looked::Nothing) => {
                let mut looking = core.answering.lock();
                match looking.get_mut(id) {
                    Some(again) if *again => *again = false,
                    _ => {
                        looking.remove(id);
                        return;
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a message waits for its answer; trying again");
                failures += 1;
                core.sleep(Duration::from_secs(1 << failures.min(6))).await;
            }
        }
    }
}

async fn waiting(core: &Arc<Core>, key: &ConversationKey) -> Result<Vec<(String, Due)>> {
    let start = format!("{}{APART}", book::id(key));
    let found = book::beginning(core, DUE, &start, None).await?;
    found.into_iter().map(|document| Ok((document.key.clone(), book::parse(document)?))).collect()
}

/// Answers what waits in a conversation.
async fn look(core: &Arc<Core>, key: &ConversationKey) -> Result<Looked> {
    if waiting(core, key).await?.is_empty() {
        return Ok(Looked::Nothing);
    }
    let (token, now) = (core.token()?, core.now());
    let mut held = None;
    book::change(core, key, |entry| {
        held = entry.answering.filter(|(node, until)| *node != token && *until > now).map(|(_, until)| until);
        if held.is_none() {
            entry.answering = Some((token, later(now, HELD_FOR)));
        }
        held.is_none()
    })
    .await?;
    if let Some(until) = held {
        return Ok(Looked::Held(until));
    }
    let answered = answer(core, key).await;
    let released = book::change(core, key, |entry| {
        let own = entry.answering.is_some_and(|(node, _)| node == token);
        if own {
            entry.answering = None;
        }
        own
    });
    released.await?;
    answered.map(|()| Looked::Answered)
}

async fn answer(core: &Arc<Core>, key: &ConversationKey) -> Result<()> {
    let Some(assistant) = core.assistant.clone() else { return Ok(()) };
    let mut starts = 0;
    let (covered, newest, made, active, contact) = loop {
        let covered = waiting(core, key).await?;
        let Some((_, newest)) = covered.last().cloned() else { return Ok(()) };
        let active = match core.active(newest.campaign).await {
            Ok(active) => active,
            Err(error) if error.kind() == Kind::NotFound => return forget(core, &covered).await,
            Err(error) => return Err(error),
        };
        let Some(contact) = core.guarded(core.store.contact(newest.contact)).await? else { return forget(core, &covered).await };
        let out = optout::is_out(core, &key.person, Some(newest.campaign), core.now()).await?;
        if out || !active.record.spec.replies.assistant {
            return forget(core, &covered).await;
        }
        if core.now().duration_since(newest.at) > STALE_AFTER {
            fail(core, &newest, "assistant_late", "A message waited too long for its answer; somebody should look at the conversation.");
            return forget(core, &covered).await;
        }
        let history = book::recent(core, key, HISTORY).await?;
        let hour_ago = core.now().saturating_sub(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MIN);
        if history.iter().filter(|message| message.author == Author::Assistant && message.at > hour_ago).count() >= PER_HOUR {
            fail(core, &newest, "assistant_loop", "The assistant has answered one person too often within an hour and is silent now.");
            return forget(core, &covered).await;
        }
        match make_patiently(core, &assistant, &active, &contact, key, talk::turns(&history)).await {
            Ok(made) => {
                starts += 1;
                // The person wrote on: the answer is made anew, from everything.
                let written_on = waiting(core, key).await?.last().is_some_and(|(_, last)| last.id != newest.id);
                if !written_on || starts >= FRESH_STARTS {
                    break (covered, newest, made, active, contact);
                }
            }
            Err(error) => {
                fail(core, &newest, "assistant", &format!("The assistant did not answer a message: {}", error.message()));
                return forget(core, &covered).await;
            }
        }
    };
    carry_out(core, key, &newest, &active, &contact, made).await?;
    forget(core, &covered).await
}

/// What the assistant wants said and done.
#[derive(Default)]
struct Made {
    text: String,
    calls: Vec<ToolCall>,
}

async fn make_patiently(
    core: &Arc<Core>,
    assistant: &Arc<dyn Assistant>,
    active: &Active,
    contact: &Contact,
    key: &ConversationKey,
    turns: Vec<Turn>,
) -> Result<Made> {
    let mut tries = 0;
    loop {
        let made = tokio::select! {
            biased;
            made = make(assistant, active, contact, key, turns.clone()) => made,
            () = core.sleep(MADE_WITHIN) => Err(Error::new(Kind::Provider, "no answer in time")),
        };
        tries += 1;
        match made {
            // What is wrong with a template is not mended by asking again.
            Err(error) if tries < TRIES && error.kind() != Kind::Template => {
                tracing::warn!(%error, "the assistant failed; asking again");
                core.sleep(Duration::from_secs(1 << tries)).await;
            }
            made => return made,
        }
    }
}

async fn make(
    assistant: &Arc<dyn Assistant>,
    active: &Active,
    contact: &Contact,
    key: &ConversationKey,
    mut turns: Vec<Turn>,
) -> Result<Made> {
    let mut made = Made::default();
    for _ in 0..ROUNDS {
        let mut answer = ask(Arc::clone(assistant), talk::dialogue(active, contact, key.channel, turns.clone())?);
        let mut calls = Vec::new();
        while let Some(piece) = answer.next().await {
            match piece? {
                Piece::Text(text) if made.text.len() + text.len() > LONGEST => {
                    return Err(Error::new(Kind::User, "the assistant does not stop talking"));
                }
                Piece::Text(text) => made.text.push_str(&text),
                Piece::Tool(call) => calls.push(call),
            }
        }
        let over = calls.is_empty() || calls.iter().any(|call| Tool::parse(&call.name) == Some(Tool::OptOut));
        turns.extend(calls.iter().cloned().map(Turn::Tool));
        turns.extend(calls.iter().map(|call| talk::result_of(call, Tool::parse(&call.name))));
        made.calls.extend(calls);
        if over || !made.text.trim().is_empty() {
            break;
        }
    }
    Ok(made)
}

async fn carry_out(core: &Arc<Core>, key: &ConversationKey, newest: &Due, active: &Active, contact: &Contact, made: Made) -> Result<()> {
    let mut leaves = false;
    for (index, call) in made.calls.iter().enumerate() {
        let Some(tool) = Tool::parse(&call.name) else { continue };
        let id = format!("tool-{}-{}-{index}", key.channel, newest.id);
        book::put_message(core, key, &book::went_out(&id), &talk::entry(active, contact, newest.at, id.clone(), call)).await?;
        talk::announce(core, active, contact, key.channel, tool);
        if tool == Tool::OptOut {
            leaves = true;
            optout::understood(core, key, &active.record, contact.id, &newest.id, newest.at).await?;
        }
    }
    let most = talk::most_characters(key.channel).unwrap_or(usize::MAX);
    let text = shorten(&made.text, most);
    if leaves || text.is_empty() {
        return Ok(());
    }
    let draft = Draft {
        key: key.clone(),
        unique: format!("answer-{}-{}", key.channel, newest.id),
        author: Author::Assistant,
        text,
        campaign: Some(newest.campaign),
        contact: Some(newest.contact),
        valid_for: LEAVES_WITHIN,
        to_opted_out: false,
    };
    match outgoing::send(core, draft).await {
        Ok(_) => Ok(()),
        // Handed over before a crash; not allowed any more; or told to watchers already.
        Err(error) if matches!(error.kind(), Kind::Conflict | Kind::State | Kind::Provider) => Ok(()),
        Err(error) => Err(error),
    }
}

fn fail(core: &Core, due: &Due, code: &str, message: &str) {
    core.hub.send(due.campaign, core.now(), EventKind::Error { code: code.to_owned(), message: message.to_owned() });
}

/// These wait no longer. Messages that came in meanwhile still do.
async fn forget(core: &Arc<Core>, covered: &[(String, Due)]) -> Result<()> {
    for (place, _) in covered {
        core.guarded(core.store.delete_document(DUE.to_owned(), place.clone())).await?;
    }
    Ok(())
}
