//! Callbacks of providers: read by the dialer, carried by the engine to whoever waits for them, on whichever node they arrived.
//!
//! News of an attempt goes to the task that carries it; to the store as an amendment when the attempt has ended; and, when another node
//! carries it, into a collection of the store that all nodes look through. Nothing is acknowledged before it is where it belongs.

use super::core::Core;
use super::{Engine, inbound};
use crate::dialer::{AttemptRef, CallbackAnswer, CallbackError, CallbackRequest, CallbackResponse, News, Signal};
use crate::id::AttemptId;
use crate::outcome::{Attempt, AttemptState, Disposition};
use crate::store::{AttemptQuery, DocumentQuery, Paging, PutDocument};
use crate::{Error, Kind, Result};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use uuid::Uuid;

/// News for attempts that another node carries.
const COLLECTION: &str = "news";
/// An attempt that has ended is settled soon after; news waits for that so long.
const SETTLES_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// News looked through at a time.
const PAGE: u32 = 1000;

/// Who waits for news on this node.
#[derive(Default)]
pub(crate) struct Mailboxes(Mutex<HashMap<AttemptId, mpsc::UnboundedSender<News>>>);

impl Mailboxes {
    /// Whether somebody here took it.
    fn put(&self, attempt: AttemptId, news: &News) -> bool {
        self.0.lock().get(&attempt).is_some_and(|mailbox| mailbox.send(news.clone()).is_ok())
    }
}

/// Where an attempt of this node gets its news, for as long as it is carried.
pub(crate) struct Mailbox {
    core: Arc<Core>,
    attempt: AttemptId,
    news: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<News>>>,
}

impl Mailbox {
    pub(crate) fn open(core: &Arc<Core>, attempt: AttemptId) -> Self {
        let (sender, news) = mpsc::unbounded_channel();
        core.mailboxes.0.lock().insert(attempt, sender);
        Self { core: Arc::clone(core), attempt, news: Arc::new(tokio::sync::Mutex::new(news)) }
    }

    /// The next news; pending for ever once the mailbox is closed.
    pub(crate) async fn next(&self) -> News {
        take(&self.news).await
    }

    /// The same for the dialer, which may hold it for longer.
    pub(crate) fn reader(&self) -> NewsReader {
        NewsReader(Arc::clone(&self.news))
    }
}

/// Reads an attempt's news.
#[derive(Clone)]
pub(crate) struct NewsReader(Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<News>>>);

impl NewsReader {
    pub(crate) async fn next(&self) -> News {
        take(&self.0).await
    }
}

async fn take(news: &tokio::sync::Mutex<mpsc::UnboundedReceiver<News>>) -> News {
    match news.lock().await.recv().await {
        Some(news) => news,
        None => std::future::pending().await,
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.core.mailboxes.0.lock().remove(&self.attempt);
        // What nobody read comes late: it is an amendment once the attempt is settled.
        let Ok(mut news) = self.news.try_lock() else { return };
        while let Ok(unread) = news.try_recv() {
            let (core, attempt) = (Arc::clone(&self.core), self.attempt);
            self.core.spawn(async move {
                if let Err(error) = deliver(&core, AttemptRef::Id(attempt), unread).await {
                    tracing::warn!(%error, %attempt, "late news of an attempt was not kept");
                }
            });
        }
    }
}

impl Engine {
    /// Takes a callback of the provider: hand it the request as it came in, and send back what it answers.
    ///
    /// Everything is in the answer: 2xx when the callback was taken (again, if it came twice), 400, 403 and 404 when it is none of ours
    /// (see [`CallbackError`]), 503 when it could not be taken right now and should come again.
    pub async fn callback(&self, request: CallbackRequest) -> CallbackResponse {
        let core = &self.core;
        let Some(callbacks) = core.dialer.callbacks() else { return CallbackResponse::status(404) };
        let callback = match callbacks.read(&request, core.now()) {
            Ok(callback) => callback,
            Err(error) => {
                tracing::warn!(%error, path = %without_digits(request.path()), "a callback was refused");
                return CallbackResponse::status(match error {
                    CallbackError::Unsigned => 403,
                    CallbackError::Malformed(_) => 400,
                    CallbackError::Unknown => 404,
                });
            }
        };
        for signal in callback.signals {
            let taken = match signal {
                Signal::Attempt { attempt, news } => deliver(core, attempt, news).await,
                Signal::Message(message) => inbound::message(core, message).await,
            };
            if let Err(error) = taken {
                tracing::warn!(%error, "a callback was not taken; the provider is asked to send it again");
                return CallbackResponse::status(503);
            }
        }
        match callback.answer {
            CallbackAnswer::Ready(response) => response,
            CallbackAnswer::Call(call) => match inbound::call(core, &call).await {
                Ok(plan) => callbacks.answer_call(&call, &plan),
                Err(error) => {
                    tracing::warn!(%error, "nobody could say what to do with a call that came in");
                    CallbackResponse::status(503)
                }
            },
        }
    }

    /// Whether a request that is no callback comes from the dialer's provider. Ask before a WebSocket that the provider opens for the assistant
    /// is accepted and handed to [`Engine::relay`]: whoever may open one speaks as the person.
    pub fn is_signed(&self, request: &CallbackRequest) -> bool {
        self.core.dialer.callbacks().is_some_and(|callbacks| callbacks.is_signed(request))
    }
}

/// A path may hold anything; long numbers in it do not get into a log.
fn without_digits(path: &str) -> String {
    path.chars().map(|character| if character.is_ascii_digit() { '#' } else { character }).take(200).collect()
}

/// Brings news to where it belongs. Returns when it is there.
async fn deliver(core: &Arc<Core>, attempt: AttemptRef, news: News) -> Result<()> {
    let mut waited = Duration::ZERO;
    loop {
        if let AttemptRef::Id(id) = attempt
            && core.mailboxes.put(id, &news)
        {
            return Ok(());
        }
        let Some(found) = find(core, &attempt).await? else {
            // Of another store, or deleted meanwhile: coming again would not help.
            tracing::debug!("a callback is about an attempt that is not here");
            return Ok(());
        };
        if core.mailboxes.put(found.id, &news) {
            return Ok(());
        }
        match found.state {
            AttemptState::Settled => return amend(core, &found, &news).await,
            AttemptState::Refused => return Ok(()),
            AttemptState::Claimed | AttemptState::Placed => {}
        }
        if !core.token().is_ok_and(|token| token == found.claimed_by) {
            return pass_on(core, found.id, &news).await;
        }
        // Ours, and between its end and its settlement.
        if waited >= SETTLES_WITHIN {
            return Err(Error::new(Kind::Unavailable, "the attempt is being settled").with("attempt", found.id));
        }
        core.sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
    }
}

async fn find(core: &Arc<Core>, attempt: &AttemptRef) -> Result<Option<Attempt>> {
    let mut query = AttemptQuery { paging: Paging { offset: 0, limit: 1 }, ..AttemptQuery::default() };
    match attempt {
        AttemptRef::Id(id) => query.id = Some(*id),
        AttemptRef::Provider(reference) => query.provider_ref = Some(reference.clone()),
        // A key ends with the id; whether the attempt has this very key is looked at below, because the key may be another store's.
        AttemptRef::Key(key) => match key.rsplit_once('-').and_then(|(_, id)| id.parse().ok()) {
            Some(id) => query.id = Some(AttemptId(id)),
            None => return Ok(None),
        },
    }
    let found = core.guarded(core.store.attempts(query)).await?.items.into_iter().next();
    Ok(match attempt {
        AttemptRef::Key(key) => found.filter(|found| *found.key == **key),
        AttemptRef::Id(_) | AttemptRef::Provider(_) => found,
    })
}

/// A receipt, a price, a transcript: comes after the attempt was settled and changes its outcome.
async fn amend(core: &Arc<Core>, attempt: &Attempt, news: &News) -> Result<()> {
    let Some(callbacks) = core.dialer.callbacks() else { return Ok(()) };
    let Some(outcome) = attempt.outcome.as_ref().and_then(|outcome| callbacks.apply(Some(outcome), news)) else { return Ok(()) };
    if outcome.disposition == Disposition::OptedOut {
        inbound::opted_out(core, attempt).await?;
    }
    match core.guarded(core.store.amend(attempt.id, outcome)).await {
        // Re-executed or deleted meanwhile.
        Err(error) if matches!(error.kind(), Kind::State | Kind::NotFound) => Ok(()),
        Err(error) => Err(error),
        Ok(_) => {
            core.changed();
            Ok(())
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Passed {
    attempt: AttemptId,
    provider_ref: Option<String>,
    body: Value,
}

/// Leaves news where the node that carries the attempt finds it.
async fn pass_on(core: &Arc<Core>, attempt: AttemptId, news: &News) -> Result<()> {
    let passed = Passed { attempt, provider_ref: news.provider_ref.clone(), body: news.body.clone() };
    let value = serde_json::to_value(passed).map_err(|error| Error::new(Kind::Internal, "news must serialise").with_source(error))?;
    let put = PutDocument { collection: COLLECTION.to_owned(), key: Uuid::new_v4().to_string(), value, expected_revision: Some(0) };
    core.guarded(core.store.put_document(put)).await.map(|_| ())
}

/// Collects what other nodes left for attempts of this one, and keeps what nobody carries any more as amendments.
pub(crate) async fn collect(core: Arc<Core>) {
    let Some(interval) = core.options.poll_interval else { return };
    // News that no node has taken, with how often it was seen.
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    loop {
        core.sleep(interval).await;
        match look_through(&core, &seen).await {
            Ok(left) => {
                seen = left.into_iter().map(|key| (seen.get(&key).map_or(1, |times| times + 1), key)).map(|(n, key)| (key, n)).collect()
            }
            Err(error) => tracing::warn!(%error, "news from other nodes could not be read; trying again"),
        }
    }
}

/// After being seen this often by a node, news has no taker and is looked at more closely.
const UNCLAIMED_AFTER: u32 = 3;

async fn look_through(core: &Arc<Core>, seen: &BTreeMap<String, u32>) -> Result<Vec<String>> {
    let mut left = Vec::new();
    let mut after = None;
    loop {
        let query = DocumentQuery { collection: COLLECTION.to_owned(), key: None, after, limit: PAGE };
        let page = core.guarded(core.store.documents(query)).await?;
        let full = page.len() as u32 >= PAGE;
        after = page.last().map(|document| document.key.clone());
        for document in page {
            let Ok(Passed { attempt, provider_ref, body }) = serde_json::from_value(document.value) else {
                core.guarded(core.store.delete_document(COLLECTION.to_owned(), document.key)).await?;
                continue;
            };
            let news = News { provider_ref, body };
            let taken = core.mailboxes.put(attempt, &news)
                || (seen.get(&document.key).is_some_and(|times| *times >= UNCLAIMED_AFTER) && has_ended(core, attempt, &news).await?);
            if taken {
                core.guarded(core.store.delete_document(COLLECTION.to_owned(), document.key)).await?;
            } else {
                left.push(document.key);
            }
        }
        if !full {
            return Ok(left);
        }
    }
}

/// Whether nobody carries the attempt any more; what is settled is amended.
async fn has_ended(core: &Arc<Core>, attempt: AttemptId, news: &News) -> Result<bool> {
    match find(core, &AttemptRef::Id(attempt)).await? {
        None => Ok(true),
        Some(found) if found.state == AttemptState::Refused => Ok(true),
        Some(found) if found.state == AttemptState::Settled => amend(core, &found, news).await.map(|()| true),
        Some(_) => Ok(false),
    }
}
