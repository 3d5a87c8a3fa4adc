//! Conversations and messages as the store keeps them: documents whose keys sort by person, channel, our number and time.

use super::newest::{self, Place};
use crate::conversation::{Conversation, ConversationKey, Message};
use crate::engine::core::{Core, earlier};
use crate::id::{AttemptId, CampaignId, ContactId, NodeToken};
use crate::outcome::Channel;
use crate::phone::PhoneNumber;
use crate::store::{Document, DocumentQuery, PutDocument};
use crate::{Error, Kind, Result};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// One document per conversation.
pub(super) const CONVERSATIONS: &str = "conversation";
/// One document per message.
const MESSAGES: &str = "message";
/// Between the parts of a key. Sorts before whatever a part may hold.
pub(super) const APART: char = '\u{1f}';
/// Documents per read.
const PAGE: u32 = 1_000;
/// Writers remembered per conversation, the newest.
const WRITERS: usize = 8;

/// A conversation as it is stored.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    #[serde(flatten)]
    pub(super) conversation: Conversation,
    /// The message that opted out; it alone is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) opted_out_by: Option<String>,
    /// When, and by which message, the person opted in again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) opted_in: Option<(Timestamp, String)>,
    /// Attempts that went out here, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) writers: Vec<Writer>,
    /// Whose the campaign is that last wrote here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) organization: Option<i64>,
    /// Who is making an answer, and until when others leave it alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) answering: Option<(NodeToken, Timestamp)>,
}

/// An attempt that went out in a conversation.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Writer {
    pub(super) campaign: CampaignId,
    pub(super) contact: ContactId,
    pub(super) attempt: AttemptId,
    pub(super) at: Timestamp,
}

impl Entry {
    fn new(key: ConversationKey) -> Self {
        Self {
            conversation: Conversation::new(key),
            opted_out_by: None,
            opted_in: None,
            writers: Vec::new(),
            organization: None,
            answering: None,
        }
    }

    /// Remembers an attempt.
    pub(super) fn wrote(&mut self, writer: Writer) {
        self.writers.retain(|other| other.attempt != writer.attempt);
        self.writers.push(writer);
        self.writers.sort_by_key(|writer| (writer.at, writer.attempt));
        let surplus = self.writers.len().saturating_sub(WRITERS);
        self.writers.drain(..surplus);
        if let Some(newest) = self.writers.last() {
            self.conversation.campaign_id = Some(newest.campaign);
            self.conversation.contact_id = Some(newest.contact);
        }
    }
}

/// Our number or sender in one spelling: `whatsapp:+1 212 555 0100` and `+12125550100` are the same.
pub(crate) fn sender(ours: &str) -> Arc<str> {
    let plain = ours.trim().trim_start_matches("whatsapp:").trim();
    match PhoneNumber::parse(plain, None) {
        Ok(number) => Arc::from(number.as_str()),
        Err(_) => plain.chars().filter(|character| !character.is_control()).collect::<String>().into(),
    }
}

/// The key of a conversation's document.
pub(super) fn id(key: &ConversationKey) -> String {
    format!("{}{APART}{}{APART}{}", key.person.as_str(), key.channel, key.ours)
}

pub(super) fn to_value(value: &impl Serialize) -> Result<serde_json::Value> {
    serde_json::to_value(value).map_err(|error| Error::new(Kind::Internal, "a record must serialise").with_source(error))
}

pub(super) fn parse<T: DeserializeOwned>(document: Document) -> Result<T> {
    serde_json::from_value(document.value)
        .map_err(|error| Error::new(Kind::Corrupt, "a stored conversation cannot be read").with_source(error))
}

/// Writes a document. `Ok(false)`: the expected revision is not the stored one.
pub(super) async fn put(core: &Arc<Core>, collection: &str, key: String, value: serde_json::Value, expected: Option<u64>) -> Result<bool> {
    let put = PutDocument { collection: collection.to_owned(), key, value, expected_revision: expected };
    match core.guarded(core.store.put_document(put)).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == Kind::Conflict && expected.is_some() => Ok(false),
        Err(error) => Err(error),
    }
}

/// One document.
pub(super) async fn get(core: &Arc<Core>, collection: &str, key: &str) -> Result<Option<Document>> {
    let query = DocumentQuery { collection: collection.to_owned(), key: Some(key.to_owned()), after: None, limit: 1 };
    Ok(core.guarded(core.store.documents(query)).await?.into_iter().next())
}

/// Every document whose key begins so, and not before `from`.
pub(super) async fn beginning(core: &Arc<Core>, collection: &str, start: &str, from: Option<&str>) -> Result<Vec<Document>> {
    let mut found = Vec::new();
    let mut after = from.unwrap_or(start).to_owned();
    loop {
        let query = DocumentQuery { collection: collection.to_owned(), key: None, after: Some(after), limit: PAGE };
        let page = core.guarded(core.store.documents(query)).await?;
        let full = page.len() as u32 >= PAGE;
        let last = page.last().map(|document| document.key.clone());
        let before = page.len();
        let own: Vec<Document> = page.into_iter().take_while(|document| document.key.starts_with(start)).collect();
        let all_own = own.len() == before;
        found.extend(own);
        match last {
            Some(last) if full && all_own => after = last,
            _ => return Ok(found),
        }
    }
}

pub(super) async fn read(core: &Arc<Core>, key: &ConversationKey) -> Result<Option<Entry>> {
    get(core, CONVERSATIONS, &id(key)).await?.map(parse).transpose()
}

/// Changes a conversation, which begins if there is none; repeats when somebody else was faster. `change` says whether there is anything to
/// write. Its place among the newest follows.
pub(super) async fn change(core: &Arc<Core>, key: &ConversationKey, mut change: impl FnMut(&mut Entry) -> bool) -> Result<Entry> {
    let id = id(key);
    // Places that it had, or was about to have.
    let mut left: Vec<Place> = Vec::new();
    for _ in 0..100 {
        let stored = get(core, CONVERSATIONS, &id).await?;
        let revision = stored.as_ref().map_or(0, |document| document.revision);
        let mut entry: Entry = stored.map(parse).transpose()?.unwrap_or_else(|| Entry::new(key.clone()));
        let (was, by) = (Place::of(&entry), entry.conversation.campaign_id);
        let done = if change(&mut entry) {
            if entry.conversation.campaign_id != by {
                entry.organization = newest::organization(core, entry.conversation.campaign_id).await?;
            }
            let place = Place::of(&entry);
            if place != was
                && let Some(place) = &place
            {
                place.put(core).await?;
            }
            left.extend(was);
            let written = put(core, CONVERSATIONS, id.clone(), to_value(&entry)?, Some(revision)).await?;
            if !written {
                left.extend(place);
            }
            written
        } else {
            true
        };
        if done {
            let place = Place::of(&entry);
            for stale in left.iter().filter(|stale| place.as_ref() != Some(stale)) {
                // The conversation is written, and readers pass over what is left.
                if let Err(error) = stale.remove(core).await {
                    tracing::debug!(%error, "a place that a conversation had was not given up");
                }
            }
            return Ok(entry);
        }
    }
    Err(Error::new(Kind::Conflict, "the conversation is being changed by too many others at once; try again"))
}

/// Every conversation with a person, on one channel or on all.
pub(super) async fn with_person(core: &Arc<Core>, person: &PhoneNumber, channel: Option<Channel>) -> Result<Vec<Entry>> {
    let mut start = format!("{}{APART}", person.as_str());
    if let Some(channel) = channel {
        start.push_str(channel.as_str());
        start.push(APART);
    }
    beginning(core, CONVERSATIONS, &start, None).await?.into_iter().map(parse).collect()
}

fn moment(at: Timestamp) -> String {
    // Padded, so that keys sort as moments.
    format!("{:020}", at.as_microsecond().max(0))
}

/// The place of a message from a person. Of the same moment, what came in stands before what went out.
pub(super) fn came_in(id: &str) -> String {
    format!("0{id}")
}

/// The place of a message to a person.
pub(super) fn went_out(unique: &str) -> String {
    format!("1{unique}")
}

/// Writes a message into its conversation; `place` tells messages of the same moment apart and stays the same when one is written again.
pub(super) async fn put_message(core: &Arc<Core>, key: &ConversationKey, place: &str, message: &Message) -> Result<()> {
    let own = format!("{}{APART}{}{APART}{place}", id(key), moment(message.at));
    put(core, MESSAGES, own, to_value(message)?, None).await.map(drop)
}

/// Messages of a conversation, oldest first.
pub(super) async fn messages(core: &Arc<Core>, key: &ConversationKey, since: Option<Timestamp>) -> Result<Vec<Message>> {
    let start = format!("{}{APART}", id(key));
    let from = since.map(|since| format!("{start}{}", moment(since)));
    beginning(core, MESSAGES, &start, from.as_deref()).await?.into_iter().map(parse).collect()
}

/// The last messages of a conversation that are at most so many days old, oldest first. Looks back further and further, so that of a long
/// conversation little more than its end is read.
pub(super) async fn last(core: &Arc<Core>, key: &ConversationKey, most: usize, days: Option<u64>) -> Result<Vec<Message>> {
    const STEPS: [u64; 3] = [1, 10, 100];
    let steps = STEPS.into_iter().filter(|step| days.is_none_or(|days| *step < days)).map(Some);
    for step in steps.chain([days]) {
        let since = step.map(|days| earlier(core.now(), Duration::from_secs(days * 86_400)));
        let mut messages = messages(core, key, since).await?;
        let surplus = messages.len().saturating_sub(most);
        if messages.len() >= most || step == days {
            messages.drain(..surplus);
            return Ok(messages);
        }
    }
    Ok(Vec::new())
}

/// The last messages of a conversation: what an answer is made from.
pub(super) async fn recent(core: &Arc<Core>, key: &ConversationKey, most: usize) -> Result<Vec<Message>> {
    const DAYS: u64 = 30;
    last(core, key, most, Some(DAYS)).await
}
