//! What an assistant is told, and what it may ask for.

use super::active::Active;
use super::core::Core;
use crate::assistant::{Dialogue, Tool, Turn};
use crate::contact::{Contact, Variables};
use crate::conversation::{Author, Direction, Message, MessageState, ToolCall};
use crate::event::EventKind;
use crate::outcome::Channel;
use crate::{Kind, Result};
use std::sync::Arc;

/// An answer by SMS has at most so many characters: three segments of plain text.
const SMS_CHARACTERS: usize = 459;
/// And by WhatsApp.
const WHATSAPP_CHARACTERS: usize = 4_096;

/// How long an answer may be.
pub(crate) fn most_characters(channel: Channel) -> Option<usize> {
    match channel {
        Channel::Call => None,
        Channel::Sms => Some(SMS_CHARACTERS),
        Channel::WhatsApp => Some(WHATSAPP_CHARACTERS),
    }
}

/// The campaign's prompt, agenda and contact, and what was said so far.
///
/// # Errors
/// [`Kind::Template`] when prompt or agenda cannot be rendered for this contact.
pub(crate) fn dialogue(active: &Active, contact: &Contact, channel: Channel, turns: Vec<Turn>) -> Result<Dialogue> {
    let mut extra = Variables::new();
    extra.insert("campaign_name".to_owned(), (&*active.name).into());
    let rendered = |name: &str| match active.templates.render(name, &contact.person, &extra) {
        Ok(text) => Ok(Some(text).filter(|text| !text.trim().is_empty())),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let system_prompt = rendered("system_prompt")?.unwrap_or_else(|| {
        let values = active.templates.values();
        let name = values.assistant_name.as_deref().unwrap_or_else(|| values.fallback("assistant_name"));
        format!(
            "You are {name} and answer people who were contacted for \"{}\". Be friendly, brief and honest, answer in the person's language, \
             and say so when you do not know something.",
            active.name
        )
    });
    Ok(Dialogue {
        channel,
        campaign_id: active.id(),
        campaign_name: Arc::clone(&active.name),
        contact_id: contact.id,
        person: Arc::clone(&contact.person),
        system_prompt,
        agenda: rendered("agenda")?,
        turns,
        tools: Tool::of(channel),
        max_characters: most_characters(channel),
        options: Arc::clone(&active.options),
    })
}

/// Messages as turns. What was certainly not sent was never read.
pub(crate) fn turns(messages: &[Message]) -> Vec<Turn> {
    messages
        .iter()
        .filter(|message| message.tool.is_none() && message.state != MessageState::Failed)
        .map(|message| {
            let mut text = message.text.clone();
            if !message.media.is_empty() {
                text.push_str(&format!(" [{} attached]", message.media.len()));
            }
            match message.direction {
                Direction::Inbound => Turn::Person(text),
                Direction::Outbound => Turn::Assistant(text),
            }
        })
        .collect()
}

/// What an assistant asked for, with what it is told about it. `None` for a tool that does not exist.
pub(crate) fn result_of(call: &ToolCall, known: Option<Tool>) -> Turn {
    Turn::Result { id: call.id.clone(), text: known.map_or("There is no such tool.", Tool::result).to_owned() }
}

/// Tells watchers that a tool was used; its arguments stand in the conversation.
pub(crate) fn announce(core: &Core, active: &Active, contact: &Contact, channel: Channel, tool: Tool) {
    let kind = EventKind::ToolUsed { contact_id: contact.id, channel, tool: tool.name().to_owned() };
    core.hub.send(active.id(), core.now(), kind);
}

/// The entry of a conversation that keeps a tool's arguments.
pub(crate) fn entry(active: &Active, contact: &Contact, at: jiff::Timestamp, id: String, call: &ToolCall) -> Message {
    Message {
        id,
        direction: Direction::Outbound,
        author: Author::Assistant,
        at,
        text: String::new(),
        media: Vec::new(),
        keyword: None,
        campaign_id: Some(active.id()),
        contact_id: Some(contact.id),
        state: MessageState::Done,
        tool: Some(call.clone()),
    }
}
