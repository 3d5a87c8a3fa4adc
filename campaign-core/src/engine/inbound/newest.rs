//! The conversations by their newest message: an index beside them, so that a list reads no more than it shows.
//!
//! One document per conversation by SMS or WhatsApp. Its key begins with the organisation and the time of the newest message, counted down, so
//! that within an organisation the newest come first. An entry is written before the conversation it stands for, and the one before
//! it goes afterwards; what a crash leaves behind does not agree with its conversation, and is passed over.

use super::book::{self, APART, CONVERSATIONS, Entry};
use crate::conversation::{Conversation, ConversationKey};
use crate::engine::Engine;
use crate::engine::core::Core;
use crate::id::CampaignId;
use crate::outcome::Channel;
use crate::redact::debug_without;
use crate::store::{Document, DocumentQuery};
use crate::{Error, Result};
use futures_util::future::ready;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use serde_json::json;
use std::sync::Arc;

/// The entries.
const NEWEST: &str = "conversation_newest";
/// One document, once there are entries for the conversations of a store that is older than they are.
const READY: &str = "conversation_newest_ready";
/// Stands for the organisation of those that belong to none; sorts before every number.
const NOBODY: &str = "-";
/// Sorts behind whatever follows [`APART`] in a key.
const BEHIND: char = '\u{20}';

/// Conversations looked up at once.
const AT_ONCE: usize = 8;

/// Which conversations, of those by SMS and WhatsApp.
#[derive(Clone, Default)]
pub struct NewestConversations {
    /// Of this organisation: in which a campaign of it wrote last. `None`: of any and of none; it is no filter.
    pub organization: Option<i64>,
    /// Only those behind this one; for walking through all of them.
    pub after: Option<Conversation>,
    /// At most so many, 1 to 1,000. 0 stands for 50.
    pub limit: u32,
}

debug_without!(NewestConversations { organization, limit } hides { after });

/// Where a conversation stands in the index.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Place(String);

impl Place {
    /// `None`: it stands nowhere, since it is one of calls or nobody has written yet.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        let conversation = &entry.conversation;
        let at = conversation.newest_at().filter(|_| conversation.key.channel != Channel::Call)?;
        Some(Self(format!("{}{APART}{}", group(entry.organization), order(at, &book::id(&conversation.key)))))
    }

    pub(super) async fn put(&self, core: &Arc<Core>) -> Result<()> {
        book::put(core, NEWEST, self.0.clone(), json!({}), None).await.map(drop)
    }

    pub(super) async fn remove(&self, core: &Arc<Core>) -> Result<()> {
        core.guarded(core.store.delete_document(NEWEST.to_owned(), self.0.clone())).await.map(drop)
    }
}

fn group(organization: Option<i64>) -> String {
    organization.map_or_else(|| NOBODY.to_owned(), |id| id.to_string())
}

/// Sorts the newest first, and those of the same moment by their id.
fn order(at: Timestamp, id: &str) -> String {
    format!("{:020}{APART}{id}", i64::MAX - at.as_microsecond().max(0))
}

/// The organisation, the order within it and the conversation's id that a key is made of.
fn parts(key: &str) -> Option<(&str, &str, &str)> {
    let (group, order) = key.split_once(APART)?;
    Some((group, order, order.split_once(APART)?.1))
}

/// Whose a campaign is. One that is gone is nobody's any more.
pub(super) async fn organization(core: &Arc<Core>, campaign: Option<CampaignId>) -> Result<Option<i64>> {
    let Some(campaign) = campaign else { return Ok(None) };
    Ok(core.guarded(core.store.campaign(campaign)).await?.and_then(|record| record.spec.organization))
}

impl Engine {
    /// Conversations by SMS and WhatsApp, those with the newest message first. What it costs depends on how many are asked for, and without an
    /// organisation on how many there are of these; not on how many conversations there are.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for a limit out of range; when the store cannot be read.
    pub async fn newest_conversations(&self, query: NewestConversations) -> Result<Vec<Conversation>> {
        let core = &self.core;
        let limit = match query.limit {
            0 => 50,
            limit @ 1..=1_000 => limit,
            _ => return Err(Error::invalid("limit", "must be at most 1000")),
        };
        make_ready(core).await?;
        let mut after = query.after.as_ref().and_then(|last| Some(order(last.newest_at()?, &book::id(&last.key))));
        let mut found: Vec<Conversation> = Vec::new();
        // Again only when entries were out of date.
        while found.len() < limit as usize {
            let entries = match query.organization {
                Some(id) => of_group(core, &group(Some(id)), after.as_deref(), limit).await?,
                None => of_all(core, after.as_deref(), limit).await?,
            };
            let last = (entries.len() as u32) < limit;
            let order = |document: &Document| parts(&document.key).map(|(_, order, _)| order.to_owned());
            after = entries.last().and_then(order).or(after);
            let looked_up = stream::iter(entries).map(|document| entered(core, document.key)).buffered(AT_ONCE);
            found.extend(looked_up.try_filter_map(|entry| ready(Ok(entry))).try_collect::<Vec<Conversation>>().await?);
            if last {
                break;
            }
        }
        found.truncate(limit as usize);
        Ok(found)
    }
}

/// The conversation that an entry stands for, if it still does.
async fn entered(core: &Arc<Core>, key: String) -> Result<Option<Conversation>> {
    let Some((_, _, id)) = parts(&key) else { return Ok(None) };
    let Some(stored) = book::get(core, CONVERSATIONS, id).await? else { return Ok(None) };
    let entry: Entry = book::parse(stored)?;
    Ok(Place::of(&entry).filter(|place| place.0 == key).map(|_| entry.conversation))
}

async fn read(core: &Arc<Core>, after: String, limit: u32) -> Result<Vec<Document>> {
    let query = DocumentQuery { collection: NEWEST.to_owned(), key: None, after: Some(after), limit };
    core.guarded(core.store.documents(query)).await
}

/// Entries of one organisation, the newest first.
async fn of_group(core: &Arc<Core>, group: &str, after: Option<&str>, limit: u32) -> Result<Vec<Document>> {
    let start = format!("{group}{APART}");
    let mut entries = read(core, format!("{start}{}", after.unwrap_or_default()), limit).await?;
    entries.retain(|document| document.key.starts_with(&start));
    Ok(entries)
}

/// Entries of all organisations, the newest first: the newest of each, and of those the newest.
async fn of_all(core: &Arc<Core>, after: Option<&str>, limit: u32) -> Result<Vec<Document>> {
    let mut found: Vec<Document> = Vec::new();
    let mut at = String::new();
    while let Some(first) = read(core, at, 1).await?.pop() {
        let Some((group, _, _)) = parts(&first.key) else { break };
        found.extend(of_group(core, group, after, limit).await?);
        at = format!("{group}{BEHIND}");
        found.sort_by(|a, b| parts(&a.key).map(|parts| parts.1).cmp(&parts(&b.key).map(|parts| parts.1)));
        found.truncate(limit as usize);
    }
    Ok(found)
}

/// Makes the entries of a store that has conversations from before there were any. Once for a store; somebody else may do the same meanwhile.
async fn make_ready(core: &Arc<Core>) -> Result<()> {
    if book::get(core, READY, READY).await?.is_some() {
        return Ok(());
    }
    let mut after = None;
    loop {
        let query = DocumentQuery { collection: CONVERSATIONS.to_owned(), key: None, after: after.take(), limit: 1_000 };
        let page = core.guarded(core.store.documents(query)).await?;
        after = page.last().map(|document| document.key.clone());
        for document in page {
            let Conversation { key, campaign_id, .. } = book::parse::<Entry>(document)?.conversation;
            enter(core, &key, campaign_id).await?;
        }
        if after.is_none() {
            return book::put(core, READY, READY.to_owned(), json!({}), None).await.map(drop);
        }
    }
}

async fn enter(core: &Arc<Core>, key: &ConversationKey, campaign: Option<CampaignId>) -> Result<()> {
    let organization = organization(core, campaign).await?;
    let entry = book::change(core, key, |entry| {
        // Another campaign that has written meanwhile has said whose it is.
        let differs = entry.conversation.campaign_id == campaign && entry.organization != organization;
        if differs {
            entry.organization = organization;
        }
        differs
    })
    .await?;
    match Place::of(&entry) {
        Some(place) => place.put(core).await,
        None => Ok(()),
    }
}
