//! People who answer back: messages and calls that come in, and what is said to them.
//!
//! | file | what is in it |
//! |---|---|
//! | `book` | conversations and messages as documents of the store |
//! | `newest` | conversations by their newest message |
//! | `note` | what campaigns send becomes part of its conversation |
//! | `optout` | STOP, START and HELP |
//! | `outgoing` | messages outside of attempts, handed over at most once |
//! | `calls` | calls that are returned |
//! | `answer` | the assistant answers messages |
//!
//! A message is taken in steps that may each be done again: a crash in between is healed when the provider sends it once more.

mod answer;
mod book;
mod calls;
mod newest;
mod note;
pub(super) mod optout;
mod outgoing;
mod spoken;

pub(crate) use answer::keep_answering;
pub(crate) use book::sender;
pub(crate) use calls::call;
pub use newest::NewestConversations;
pub(crate) use note::{Note, happened};
pub(crate) use spoken::{Call, keep as keep_spoken};

use self::book::{APART, Writer};
use super::Engine;
use super::contacts;
use super::core::Core;
use super::settler::Ended;
use crate::campaign::{CampaignRecord, CampaignStatus};
use crate::contact::Contact;
use crate::conversation::{Author, Conversation, ConversationKey, Direction, Keyword, Message, MessageState, keywords};
use crate::dialer::InboundMessage;
use crate::event::EventKind;
use crate::id::CampaignId;
use crate::outcome::{Attempt, Channel};
use crate::phone::PhoneNumber;
use crate::redact::debug_without;
use crate::store::{DocumentQuery, Page, Paging};
use crate::{Error, Kind, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// One document per message that ever came in, by the provider's id.
const RECEIPTS: &str = "inbound";

/// That a message came in, and whether everything that follows from it has been done.
#[derive(Serialize, Deserialize)]
struct Receipt {
    at: Timestamp,
    done: bool,
}

/// Which conversations.
#[derive(Clone, Default)]
pub struct ConversationQuery {
    /// With this person.
    pub person: Option<PhoneNumber>,
    /// On this channel.
    pub channel: Option<Channel>,
    /// In which this campaign wrote last.
    pub campaign: Option<CampaignId>,
    /// Only those behind this one; for walking through all of them.
    pub after: Option<ConversationKey>,
    /// At most so many, 1 to 1,000. 0 stands for 50.
    pub limit: u32,
}

debug_without!(ConversationQuery { channel, campaign, limit } hides { person, after });

/// A message to be sent in a conversation.
#[derive(Clone)]
pub struct SendMessage {
    /// In which. `ours` must be a number or sender of the dialer's account.
    pub conversation: ConversationKey,
    /// The text, 1 to 4,096 characters.
    pub text: String,
    /// Unique for this message: with a key a call may be repeated when its answer was lost, and sends nothing twice. `None`: a new one.
    pub key: Option<String>,
    /// It must leave within this time. Default 10 minutes.
    pub valid_for: Option<Duration>,
}

debug_without!(SendMessage { key, valid_for } hides { conversation, text });

impl Engine {
    /// Takes a message from a person, for programs that receive messages themselves; those of the dialer's callbacks come in by
    /// [`Engine::callback`].
    ///
    /// It is stored once, however often it is handed in. Opt-out words suppress the number before this returns, mixed campaigns branch on the
    /// reply, and the assistant answers if the campaign says so. An engine that does not execute says nothing back: hand messages to a node.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for a message without an id, or on the channel of calls; when the store fails: hand it in again.
    pub async fn receive_message(&self, message: InboundMessage) -> Result<Message> {
        take(&self.core, message).await
    }

    /// Sends a message in a conversation, at most once. Not to people who have opted out, and by WhatsApp only within 24 hours of
    /// their last message.
    ///
    /// # Errors
    /// [`Kind::State`] when it must not be sent, the dialer cannot or the engine does not execute, [`Kind::Conflict`] when a message with
    /// this key was begun before, [`Kind::Provider`] when it was not sent or nobody knows; it is not sent again by itself.
    pub async fn send_message(&self, send: SendMessage) -> Result<Message> {
        let core = &self.core;
        let SendMessage { conversation, text, key, valid_for } = send;
        let length = text.chars().count();
        if text.trim().is_empty() || length > 4_096 {
            return Err(Error::invalid("text", "must have 1 to 4096 characters"));
        }
        if conversation.channel == Channel::Call {
            return Err(Error::invalid("channel", "must be sms or whatsapp"));
        }
        if key.as_ref().is_some_and(|key| key.is_empty() || key.len() > 200) {
            return Err(Error::invalid("key", "must have 1 to 200 characters"));
        }
        let conversation = ConversationKey { ours: book::sender(&conversation.ours), ..conversation };
        let entry = book::read(core, &conversation).await?;
        let (campaign, contact) = entry.map_or((None, None), |entry| (entry.conversation.campaign_id, entry.conversation.contact_id));
        let draft = outgoing::Draft {
            key: conversation,
            unique: format!("program-{}", key.unwrap_or_else(|| Uuid::new_v4().to_string())),
            author: Author::Program,
            text,
            campaign,
            contact,
            valid_for: valid_for.unwrap_or(Duration::from_secs(600)),
            to_opted_out: false,
        };
        outgoing::send(core, draft).await
    }

    /// Conversations, by the person's number.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for a limit out of range; when the store cannot be read.
    pub async fn conversations(&self, query: ConversationQuery) -> Result<Vec<Conversation>> {
        let core = &self.core;
        let limit = match query.limit {
            0 => 50,
            limit @ 1..=1_000 => limit as usize,
            _ => return Err(Error::invalid("limit", "must be at most 1000")),
        };
        let wanted = |conversation: &Conversation| {
            query.channel.is_none_or(|channel| conversation.key.channel == channel)
                && query.campaign.is_none_or(|campaign| conversation.campaign_id == Some(campaign))
        };
        let after = query.after.as_ref().map(|key| book::id(&ConversationKey { ours: book::sender(&key.ours), ..key.clone() }));
        let mut found = Vec::new();
        if let Some(person) = &query.person {
            let all = book::with_person(core, person, query.channel).await?.into_iter().map(|entry| entry.conversation);
            let behind = |conversation: &Conversation| after.as_ref().is_none_or(|after| book::id(&conversation.key) > *after);
            found.extend(all.filter(|conversation| wanted(conversation) && behind(conversation)).take(limit));
            return Ok(found);
        }
        let mut after = after;
        loop {
            let query = DocumentQuery { collection: book::CONVERSATIONS.to_owned(), key: None, after: after.take(), limit: 1_000 };
            let page = core.guarded(core.store.documents(query)).await?;
            let last = page.len() < 1_000;
            after = page.last().map(|document| document.key.clone());
            for document in page {
                let conversation = book::parse::<book::Entry>(document)?.conversation;
                if wanted(&conversation) {
                    found.push(conversation);
                }
                if found.len() >= limit {
                    return Ok(found);
                }
            }
            if last {
                return Ok(found);
            }
        }
    }

    /// The last messages of a conversation, oldest first, at most so many.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn last_messages(&self, conversation: &ConversationKey, most: usize) -> Result<Vec<Message>> {
        let key = ConversationKey { ours: book::sender(&conversation.ours), ..conversation.clone() };
        book::last(&self.core, &key, most, None).await
    }

    /// The messages of a conversation, oldest first; of a call, what was said.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn messages(&self, conversation: &ConversationKey, paging: Paging) -> Result<Page<Message>> {
        let key = ConversationKey { ours: book::sender(&conversation.ours), ..conversation.clone() };
        let all = book::messages(&self.core, &key, None).await?;
        let total = all.len() as u64;
        let first = usize::try_from(paging.offset).unwrap_or(usize::MAX);
        Ok(Page { items: all.into_iter().skip(first).take(paging.limit as usize).collect(), total })
    }
}

/// A person wrote.
pub(crate) async fn message(core: &Arc<Core>, message: InboundMessage) -> Result<()> {
    take(core, message).await.map(drop)
}

async fn take(core: &Arc<Core>, inbound: InboundMessage) -> Result<Message> {
    if inbound.provider_ref.trim().is_empty() {
        return Err(Error::invalid("provider_ref", "a message needs the provider's id, by which it is known again"));
    }
    if inbound.channel == Channel::Call {
        return Err(Error::invalid("channel", "must be sms or whatsapp"));
    }
    let key = ConversationKey { channel: inbound.channel, ours: book::sender(&inbound.to), person: inbound.from.clone() };
    let reading = keywords::read(&inbound.text);
    // The carrier's word goes before ours: it has acted on it already.
    let keyword = inbound.keyword.or(reading.map(|reading| reading.keyword));
    let place = format!("{}{APART}{}", inbound.channel, inbound.provider_ref);
    let mut receipt = Receipt { at: core.now(), done: false };
    let mut revision = 1;
    if !book::put(core, RECEIPTS, place.clone(), book::to_value(&receipt)?, Some(0)).await? {
        let seen = book::get(core, RECEIPTS, &place)
            .await?
            .ok_or_else(|| Error::new(Kind::Unavailable, "the message is being taken; try again"))?;
        revision = seen.revision;
        receipt = book::parse(seen)?;
    }
    let found = matched(core, &key.person, key.channel, &key.ours, Pick::OpenFirst).await?;
    let message = Message {
        id: inbound.provider_ref.clone(),
        direction: Direction::Inbound,
        author: Author::Person,
        at: receipt.at,
        text: inbound.text,
        media: inbound.media,
        keyword,
        campaign_id: found.as_ref().map(|found| found.record.id),
        contact_id: found.as_ref().map(|found| found.contact.id),
        state: MessageState::Done,
        tool: None,
    };
    if receipt.done {
        return Ok(message);
    }
    book::put_message(core, &key, &book::came_in(&inbound.provider_ref), &message).await?;
    book::change(core, &key, |entry| {
        let newer = entry.conversation.last_inbound_at < Some(message.at);
        entry.conversation.last_inbound_at = entry.conversation.last_inbound_at.max(Some(message.at));
        newer
    })
    .await?;
    let received = EventKind::MessageReceived { contact_id: message.contact_id, channel: key.channel, message_id: message.id.clone() };
    core.hub.send(message.campaign_id.unwrap_or(CampaignId(0)), message.at, received);
    let asked = optout::Asked {
        key: &key,
        id: &message.id,
        at: message.at,
        language: reading.filter(|reading| Some(reading.keyword) == keyword).and_then(|reading| reading.language),
        confirmed_by_carrier: inbound.confirmed_by_carrier,
        record: found.as_ref().map(|found| &found.record),
        contact: message.contact_id,
    };
    let answered = match keyword {
        Some(Keyword::OptOut) => {
            optout::out(core, &asked).await?;
            true
        }
        Some(Keyword::OptIn) => optout::back(core, &asked).await?,
        Some(Keyword::Help) => {
            optout::help(core, &asked).await?;
            true
        }
        None => false,
    };
    if let Some(found) = &found
        && keyword != Some(Keyword::OptOut)
    {
        match contacts::reply(core, found.contact.id).await {
            // Removed meanwhile, or its campaign cannot be made ready: the message is kept all the same.
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Invalid | Kind::Template | Kind::State | Kind::User) => {
                tracing::warn!(%error, "a reply was not counted");
            }
            Err(error) => return Err(error),
            Ok(_) => {}
        }
    }
    if !answered && let Some(found) = &found {
        answer::due(core, &key, &message, &found.record, &found.contact).await?;
    }
    // Somebody else may have been handed the same message and be done first.
    book::put(core, RECEIPTS, place, book::to_value(&Receipt { done: true, ..receipt })?, Some(revision)).await?;
    if !answered {
        answer::wake(core, &key);
    }
    Ok(message)
}

/// Which of several campaigns is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pick {
    /// The newest that has not ended, else the newest.
    OpenFirst,
    /// The newest.
    Last,
}

/// Whose attempt a person answers.
struct Found {
    writer: Writer,
    record: CampaignRecord,
    contact: Contact,
}

/// Finds the attempt that a person answers: of those that went out from the number that was written to or called; where a
/// provider chose the number itself, of those whose number is not known, or of any.
async fn matched(core: &Arc<Core>, person: &PhoneNumber, channel: Channel, ours: &str, pick: Pick) -> Result<Option<Found>> {
    let mut candidates: Vec<(u8, Writer)> = Vec::new();
    for entry in book::with_person(core, person, None).await? {
        let key = &entry.conversation.key;
        let number = if *key.ours == *ours {
            4
        } else if key.ours.is_empty() {
            2
        } else {
            0
        };
        let rank = number + u8::from(key.channel == channel);
        candidates.extend(entry.writers.iter().map(|writer| (rank, *writer)));
    }
    // Of our numbers the nearest; which channel matters only where the number says nothing.
    let exact = candidates.iter().any(|(rank, _)| *rank >= 4);
    if exact {
        candidates.retain(|(rank, _)| *rank >= 4);
    } else if let Some(best) = candidates.iter().map(|(rank, _)| *rank).max() {
        candidates.retain(|(rank, _)| *rank == best);
    }
    candidates.sort_by_key(|(_, writer)| std::cmp::Reverse((writer.at, writer.attempt)));
    let mut newest = None;
    for (_, writer) in candidates {
        let Some(record) = core.guarded(core.store.campaign(writer.campaign)).await? else { continue };
        let open = matches!(record.status, CampaignStatus::Running | CampaignStatus::Paused | CampaignStatus::Scheduled);
        if newest.is_some() && !open {
            continue;
        }
        let Some(contact) = core.guarded(core.store.contact(writer.contact)).await? else { continue };
        let found = Found { writer, record, contact };
        if open || pick == Pick::Last {
            return Ok(Some(found));
        }
        newest = Some(found);
    }
    Ok(newest)
}

/// A provider says, after the attempt was settled, that the person had opted out.
pub(crate) async fn opted_out(core: &Arc<Core>, attempt: &Attempt) -> Result<()> {
    let Some(contact) = core.guarded(core.store.contact(attempt.contact)).await? else { return Ok(()) };
    optout::leave(core, &contact.person.phone, Some(attempt.campaign), Some(attempt.contact), optout::OUTCOME).await
}

/// People opted out on their attempt and are suppressed: watchers are told, and what waits for them elsewhere ends.
pub(crate) fn left(core: &Arc<Core>, ended: &[Ended]) {
    for ended in ended {
        let Some((person, scope)) = &ended.opted_out else { continue };
        core.hub.send(ended.campaign, core.now(), EventKind::OptedOut { contact_id: None });
        optout::spread(core, person.clone(), *scope);
    }
}

/// When the person last wrote to this number or sender of ours on this channel; to any of them when none is named.
pub(crate) async fn last_inbound_at(
    core: &Arc<Core>,
    channel: Channel,
    ours: Option<&str>,
    person: &PhoneNumber,
) -> Result<Option<Timestamp>> {
    if let Some(ours) = ours {
        let key = ConversationKey { channel, ours: book::sender(ours), person: person.clone() };
        return Ok(book::read(core, &key).await?.and_then(|entry| entry.conversation.last_inbound_at));
    }
    let all = book::with_person(core, person, Some(channel)).await?;
    Ok(all.into_iter().filter_map(|entry| entry.conversation.last_inbound_at).max())
}
