//! What was said in a call becomes part of its conversation, and of the outcome of its attempt.

use super::book;
use crate::assistant::relay::Spoken;
use crate::contact::Contact;
use crate::conversation::{Author, ConversationKey, Direction, Message, MessageState};
use crate::engine::active::Active;
use crate::engine::core::{Core, later};
use crate::id::AttemptId;
use crate::outcome::AttemptState;
use crate::store::{AttemptQuery, Paging};
use crate::{Kind, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// After a call the provider says how it ended within this time.
const SETTLED_WITHIN: Duration = Duration::from_secs(1_800);

/// A call that a relay carries.
pub(crate) struct Call {
    pub(crate) key: ConversationKey,
    pub(crate) active: Arc<Active>,
    pub(crate) contact: Contact,
    pub(crate) attempt: AttemptId,
    /// Whether it is the attempt's own call, not one that is returned.
    pub(crate) ours: bool,
    /// The carrier's id of the session.
    pub(crate) session: String,
}

/// Writes down what was said. May be done again.
pub(crate) async fn keep(core: &Arc<Core>, call: &Arc<Call>, spoken: &[Spoken]) -> Result<()> {
    for (index, said) in spoken.iter().enumerate() {
        let place = format!("{}-{index:05}", call.session);
        let message = Message {
            id: place.clone(),
            direction: if said.author == Author::Person { Direction::Inbound } else { Direction::Outbound },
            author: said.author,
            at: said.at,
            text: said.text.clone(),
            media: Vec::new(),
            keyword: None,
            campaign_id: Some(call.active.id()),
            contact_id: Some(call.contact.id),
            state: MessageState::Done,
            tool: said.tool.clone(),
        };
        book::put_message(core, &call.key, &place, &message).await?;
    }
    let last = |person: bool| spoken.iter().filter(|said| (said.author == Author::Person) == person).map(|said| said.at).max();
    book::change(core, &call.key, |entry| {
        let conversation = &mut entry.conversation;
        conversation.last_inbound_at = conversation.last_inbound_at.max(last(true));
        conversation.last_outbound_at = conversation.last_outbound_at.max(last(false));
        conversation.campaign_id = conversation.campaign_id.or(Some(call.active.id()));
        conversation.contact_id = conversation.contact_id.or(Some(call.contact.id));
        true
    })
    .await?;
    if call.ours && !spoken.is_empty() {
        let (core, call, transcript) = (Arc::clone(core), Arc::clone(call), transcript(spoken));
        Arc::clone(&core).spawn(async move {
            if let Err(error) = amend(&core, call.attempt, transcript).await {
                tracing::warn!(%error, attempt = %call.attempt, "the transcript is in the conversation only, not in the outcome");
            }
        });
    }
    Ok(())
}

fn transcript(spoken: &[Spoken]) -> Value {
    let lines = spoken.iter().map(|said| match &said.tool {
        Some(call) => json!({ "role": "tool", "name": call.name, "arguments": call.arguments, "at": said.at }),
        None if said.author == Author::Person => json!({ "role": "person", "text": said.text, "at": said.at }),
        None => json!({ "role": "assistant", "text": said.text, "at": said.at }),
    });
    lines.collect()
}

/// The attempt is settled when the provider says how the call ended, on whichever node carries it; then the transcript joins its outcome.
async fn amend(core: &Arc<Core>, id: AttemptId, transcript: Value) -> Result<()> {
    let patience = later(core.now(), SETTLED_WITHIN);
    let mut wait = Duration::from_secs(1);
    loop {
        let query = AttemptQuery { id: Some(id), paging: Paging { offset: 0, limit: 1 }, ..AttemptQuery::default() };
        let Some(attempt) = core.guarded(core.store.attempts(query)).await?.items.into_iter().next() else { return Ok(()) };
        if attempt.state == AttemptState::Refused || core.now() > patience {
            return Ok(());
        }
        if let (AttemptState::Settled, Some(mut outcome)) = (attempt.state, attempt.outcome) {
            // One that the provider made stays.
            if outcome.data.contains_key("transcript") {
                return Ok(());
            }
            outcome.data.insert("transcript".to_owned(), transcript);
            return match core.guarded(core.store.amend(id, outcome)).await {
                Err(error) if !matches!(error.kind(), Kind::State | Kind::NotFound) => Err(error),
                _ => {
                    core.changed();
                    Ok(())
                }
            };
        }
        core.sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(30));
    }
}
