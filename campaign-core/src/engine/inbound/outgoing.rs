//! Messages outside of attempts: confirmations, answers of the assistant, what the program says. Handed over at most once.
//!
//! As with attempts, the intent is durable before the hand-off: it stands in the conversation as in doubt until the provider has said
//! otherwise. A crash leaves it there, and it is never sent again.

use super::{book, optout};
use crate::conversation::{Author, ConversationKey, Direction, Message, MessageState};
use crate::dialer::{DialError, OutboundMessage};
use crate::engine::core::{Core, later};
use crate::event::EventKind;
use crate::id::{CampaignId, ContactId};
use crate::outcome::Channel;
use crate::{Error, Kind, Result};
use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

/// One document per message that was ever begun, by its key.
const OUTGOING: &str = "outgoing";
/// WhatsApp allows free text for so long after the person last wrote.
const WHATSAPP_WINDOW: SignedDuration = SignedDuration::from_hours(24);
/// Hand-offs that certainly did not happen are tried again so often.
const TRIES: u32 = 4;

/// A message to be sent.
pub(crate) struct Draft {
    pub(crate) key: ConversationKey,
    /// Unique for this message, whatever is repeated.
    pub(crate) unique: String,
    pub(crate) author: Author,
    pub(crate) text: String,
    pub(crate) campaign: Option<CampaignId>,
    pub(crate) contact: Option<ContactId>,
    /// How long it may take to leave.
    pub(crate) valid_for: Duration,
    /// Whether it goes to people who have opted out: only the confirmation does.
    pub(crate) to_opted_out: bool,
}

/// Sends a message, once.
///
/// # Errors
/// [`Kind::Conflict`] when it was begun before, [`Kind::State`] when it must not be sent, [`Kind::Provider`] when it was not, or nobody knows.
pub(crate) async fn send(core: &Arc<Core>, draft: Draft) -> Result<Message> {
    if !core.options.executes {
        return Err(Error::new(Kind::State, "this process does not execute campaigns, so it sends nothing; a node does"));
    }
    if core.dialer.callbacks().is_none() {
        return Err(Error::new(Kind::State, "this dialer sends messages in campaigns only, not in conversations"));
    }
    let now = core.now();
    admit(core, &draft, now).await?;
    let mut message = Message {
        id: draft.unique.clone(),
        direction: Direction::Outbound,
        author: draft.author,
        at: now,
        text: draft.text.clone(),
        media: Vec::new(),
        keyword: None,
        campaign_id: draft.campaign,
        contact_id: draft.contact,
        state: MessageState::InDoubt,
        tool: None,
    };
    if !book::put(core, OUTGOING, draft.unique.clone(), json!({ "at": now }), Some(0)).await? {
        return Err(Error::new(Kind::Conflict, "a message with this key was handed over before; it is not sent again"));
    }
    book::put_message(core, &draft.key, &book::went_out(&draft.unique), &message).await?;
    let result = hand_over(core, &draft, later(now, draft.valid_for)).await;
    message.state = match &result {
        Ok(reference) => {
            message.id.clone_from(reference);
            MessageState::Done
        }
        Err(DialError::InDoubt(_)) => MessageState::InDoubt,
        Err(_) => MessageState::Failed,
    };
    keep(core, &draft, &message).await;
    let campaign = draft.campaign.unwrap_or(CampaignId(0));
    match result {
        Ok(_) => {
            let sent = EventKind::MessageSent { contact_id: draft.contact, channel: draft.key.channel, message_id: message.id.clone() };
            core.hub.send(campaign, core.now(), sent);
            Ok(message)
        }
        Err(error) => {
            if matches!(error, DialError::Suppressed) {
                optout::leave(core, &draft.key.person, draft.campaign, draft.contact, optout::CARRIER).await?;
            }
            let in_doubt = message.state == MessageState::InDoubt;
            let code = if in_doubt { "message_in_doubt" } else { "message_not_sent" };
            core.hub.send(campaign, core.now(), EventKind::Error { code: code.to_owned(), message: error.to_string() });
            Err(Error::new(Kind::Provider, error.to_string()).with("message", &message.id))
        }
    }
}

/// What became of it, durably: the message has left, so this does not give up while the store is away for a moment.
async fn keep(core: &Arc<Core>, draft: &Draft, message: &Message) {
    for wait in [0u64, 1, 2, 4, 8] {
        if wait > 0 {
            core.sleep(Duration::from_secs(wait)).await;
        }
        let kept = async {
            book::put_message(core, &draft.key, &book::went_out(&draft.unique), message).await?;
            if message.state == MessageState::Failed {
                return Ok(());
            }
            let change = book::change(core, &draft.key, |entry| {
                entry.conversation.last_outbound_at = entry.conversation.last_outbound_at.max(Some(message.at));
                true
            });
            change.await.map(drop)
        };
        match kept.await {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, "what became of a message was not stored; it stands as in doubt"),
        }
    }
}

/// What must hold at the moment of the hand-off.
async fn admit(core: &Arc<Core>, draft: &Draft, now: Timestamp) -> Result<()> {
    if !draft.to_opted_out && optout::is_out(core, &draft.key.person, draft.campaign, now).await? {
        return Err(Error::new(Kind::State, "the person has opted out and gets no more messages"));
    }
    if draft.key.channel == Channel::WhatsApp {
        let last = book::read(core, &draft.key).await?.and_then(|entry| entry.conversation.last_inbound_at);
        if last.is_none_or(|last| now.duration_since(last) >= WHATSAPP_WINDOW) {
            let message = "WhatsApp takes free text only within 24 hours of the person's last message; use a campaign with a template";
            return Err(Error::new(Kind::State, message));
        }
    }
    Ok(())
}

async fn hand_over(core: &Arc<Core>, draft: &Draft, valid_until: Timestamp) -> Result<String, DialError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let result = match core.dialer.callbacks() {
            Some(callbacks) => {
                let message = OutboundMessage {
                    key: Arc::from(draft.unique.as_str()),
                    channel: draft.key.channel,
                    from: Arc::clone(&draft.key.ours),
                    to: draft.key.person.clone(),
                    text: draft.text.clone(),
                    valid_until: Some(valid_until),
                    now: core.now(),
                };
                // The dialer is user code: a panic may have come after the hand-off.
                let sent = AssertUnwindSafe(async { callbacks.send(message).await }).catch_unwind().await;
                sent.unwrap_or_else(|_| Err(DialError::InDoubt(Error::new(Kind::User, "the dialer panicked"))))
            }
            None => Err(DialError::Transient(Error::new(Kind::State, "the dialer sends no messages in conversations"))),
        };
        let wait = match &result {
            Err(DialError::Throttled { retry_after }) => (*retry_after).max(Duration::from_secs(1)),
            Err(DialError::Transient(_)) => Duration::from_secs(1 << tries.min(5)),
            _ => return result,
        };
        if tries >= TRIES || later(core.now(), wait) >= valid_until {
            return result;
        }
        core.sleep(wait).await;
        // Much may have happened meanwhile, an opt-out above all.
        if let Err(error) = admit(core, draft, core.now()).await {
            return Err(DialError::Permanent(error));
        }
    }
}
