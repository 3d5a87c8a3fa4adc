//! What a campaign does becomes part of the conversation it happens in, so that a reply finds its way back.

use super::book::{self, Writer};
use crate::Result;
use crate::conversation::{Author, ConversationKey, Direction, Message, MessageState};
use crate::engine::core::Core;
use crate::engine::handoff::{self, Subject};
use crate::outcome::{Attempt, Channel, Disposition, Outcome};
use crate::phone::PhoneNumber;
use jiff::Timestamp;
use parking_lot::Mutex;
use std::sync::Arc;

/// One attempt on its way into its conversation. Errors are logged only: a conversation must not hold up an attempt.
pub(crate) struct Note {
    core: Arc<Core>,
    attempt: Attempt,
    person: PhoneNumber,
    text: Option<String>,
    at: Timestamp,
    /// What has been written: the provider's reference, and how far the message got.
    written: Mutex<Option<(Option<String>, MessageState)>>,
}

impl Note {
    /// `None` when nobody could answer.
    pub(crate) fn begin(core: &Arc<Core>, subject: &Subject, text: Option<&String>, at: Timestamp) -> Option<Arc<Self>> {
        let Subject { attempt, contact, .. } = subject;
        if !is_kept(core, attempt.step.channel) {
            return None;
        }
        let (attempt, person) = (attempt.clone(), contact.person.phone.clone());
        Some(Arc::new(Self { core: Arc::clone(core), attempt, person, text: text.cloned(), at, written: Mutex::new(None) }))
    }

    /// The provider has it: from now on there may be an answer.
    pub(crate) async fn placed(&self, provider_ref: &str) {
        self.write(Some(provider_ref.to_owned()), MessageState::Done).await;
    }

    /// It has ended.
    pub(crate) async fn ended(&self, outcome: &Outcome) {
        let placed = self.written.lock().is_some();
        let failed = fails(self.attempt.step.channel, outcome.disposition);
        if failed && !placed {
            return;
        }
        let state = if failed { MessageState::Failed } else { MessageState::Done };
        let reference = outcome.provider_ref.clone().or_else(|| self.written.lock().as_ref().and_then(|(reference, _)| reference.clone()));
        self.write(reference, state).await;
    }

    async fn write(&self, provider_ref: Option<String>, state: MessageState) {
        let news = (provider_ref, state);
        if self.written.lock().as_ref() == Some(&news) {
            return;
        }
        let provider_ref = news.0.clone();
        let written = written(&self.core, &self.person, &self.attempt, self.text.as_deref(), provider_ref.as_deref(), state, self.at).await;
        match written {
            Ok(()) => *self.written.lock() = Some(news),
            Err(error) => tracing::warn!(%error, attempt = %self.attempt.id, "an attempt was not written into its conversation"),
        }
    }
}

/// Messages always; calls where the provider can tell of one that comes back.
fn is_kept(core: &Core, channel: Channel) -> bool {
    core.options.conversations && (channel != Channel::Call || core.dialer.callbacks().is_some())
}

/// Whether nothing of it reached the person. An unanswered call did: people call back.
fn fails(channel: Channel, disposition: Disposition) -> bool {
    match disposition {
        Disposition::Undeliverable | Disposition::OptedOut | Disposition::Failed | Disposition::Cancelled | Disposition::InDoubt => true,
        Disposition::Answered | Disposition::Voicemail | Disposition::Busy | Disposition::NoAnswer | Disposition::Rejected => {
            channel != Channel::Call
        }
        Disposition::Sent | Disposition::Delivered => false,
    }
}

/// An attempt in doubt happened after all. Its text is made once more, if the campaign has not been edited since.
pub(crate) async fn happened(core: &Arc<Core>, subject: &Subject, outcome: Option<&Outcome>, provider_ref: Option<&str>, at: Timestamp) {
    let channel = subject.attempt.step.channel;
    if !is_kept(core, channel) || outcome.is_some_and(|outcome| fails(channel, outcome.disposition)) {
        return;
    }
    let same = subject.active.record.spec_version == subject.attempt.spec_version;
    let text = if channel == Channel::Call || !same { None } else { handoff::message_text(subject).ok() };
    let provider_ref = outcome.and_then(|outcome| outcome.provider_ref.as_deref()).or(provider_ref);
    let person = &subject.contact.person.phone;
    if let Err(error) = written(core, person, &subject.attempt, text.as_deref(), provider_ref, MessageState::Done, at).await {
        tracing::warn!(%error, attempt = %subject.attempt.id, "an attempt was not written into its conversation");
    }
}

async fn written(
    core: &Arc<Core>,
    person: &PhoneNumber,
    attempt: &Attempt,
    text: Option<&str>,
    provider_ref: Option<&str>,
    state: MessageState,
    at: Timestamp,
) -> Result<()> {
    let ours = book::sender(attempt.from.as_deref().unwrap_or_default());
    let key = ConversationKey { channel: attempt.step.channel, ours, person: person.clone() };
    let writer = Writer { campaign: attempt.campaign, contact: attempt.contact, attempt: attempt.id, at };
    book::change(core, &key, |entry| {
        if entry.writers.contains(&writer) {
            return false;
        }
        entry.wrote(writer);
        entry.conversation.last_outbound_at = entry.conversation.last_outbound_at.max(Some(at));
        true
    })
    .await?;
    let Some(text) = text else { return Ok(()) };
    let message = Message {
        id: provider_ref.unwrap_or(&attempt.key).to_owned(),
        direction: Direction::Outbound,
        author: Author::Campaign,
        at,
        text: text.to_owned(),
        media: Vec::new(),
        keyword: None,
        campaign_id: Some(attempt.campaign),
        contact_id: Some(attempt.contact),
        state,
        tool: None,
    };
    book::put_message(core, &key, &book::went_out(&attempt.key), &message).await
}
