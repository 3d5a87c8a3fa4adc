//! What people and we write to each other: messages, and the conversations they make.
//!
//! A conversation is between one person and one number (or sender) of ours on one channel. It outlives campaigns.
//!
//! | file | what is in it |
//! |---|---|
//! | `keywords` | whether a message by itself asks to be left alone, to be contacted again, or who is writing |
//! | `words` | the words and phrases of that, by language |
//! | `sentences` | what the engine itself says, by language; how a text is made to fit |

pub mod keywords;
mod sentences;
mod words;

pub(crate) use sentences::{help, opted_in, opted_out};
pub use sentences::{language_of, shorten};

use crate::id::{CampaignId, ContactId};
use crate::outcome::Channel;
use crate::phone::PhoneNumber;
use crate::redact::debug_without;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A message that asks for something by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keyword {
    /// Not to be contacted any more, for example STOP.
    OptOut,
    /// To be contacted again, for example START.
    OptIn,
    /// Who is writing, for example HELP.
    Help,
}

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the person.
    Inbound,
    /// To the person.
    Outbound,
}

/// Who wrote a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    /// The person.
    Person,
    /// A campaign: the text of an attempt.
    Campaign,
    /// The assistant.
    Assistant,
    /// The engine: a confirmation.
    Engine,
    /// The embedding program.
    Program,
}

/// Which conversation.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ConversationKey {
    /// The channel.
    pub channel: Channel,
    /// Our number or sender.
    pub ours: Arc<str>,
    /// The person.
    pub person: PhoneNumber,
}

debug_without!(ConversationKey { channel } hides { ours, person });

/// A conversation as a whole.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Conversation {
    /// Which.
    #[serde(flatten)]
    pub key: ConversationKey,
    /// When the person last wrote. WhatsApp allows free text for 24 hours from then.
    #[serde(default)]
    pub last_inbound_at: Option<Timestamp>,
    /// When we last wrote.
    #[serde(default)]
    pub last_outbound_at: Option<Timestamp>,
    /// The campaign that last wrote here.
    #[serde(default)]
    pub campaign_id: Option<CampaignId>,
    /// Its contact.
    #[serde(default)]
    pub contact_id: Option<ContactId>,
    /// When the person opted out here, unless they opted in again later.
    #[serde(default)]
    pub opted_out_at: Option<Timestamp>,
}

debug_without!(Conversation { last_inbound_at, last_outbound_at, campaign_id, contact_id, opted_out_at } hides { key });

impl Conversation {
    /// One in which nobody has written yet.
    pub fn new(key: ConversationKey) -> Self {
        Self { key, last_inbound_at: None, last_outbound_at: None, campaign_id: None, contact_id: None, opted_out_at: None }
    }

    /// When somebody last wrote, the person or we.
    pub fn newest_at(&self) -> Option<Timestamp> {
        self.last_inbound_at.max(self.last_outbound_at)
    }
}

/// How far a message got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// It came in, or the provider took it.
    #[default]
    Done,
    /// It was handed over and nothing certain was heard: the node died in between, or the answer was lost. It is never sent again.
    InDoubt,
    /// It was certainly not sent.
    Failed,
}

/// Something the assistant wants done.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The id by which its result is given back.
    pub id: String,
    /// The tool, for example `book`.
    pub name: String,
    /// Its arguments, an object.
    #[serde(default)]
    pub arguments: serde_json::Value,
}

debug_without!(ToolCall { id, name } hides { arguments });

/// One message of a conversation.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The provider's id, or our own key while the provider has not named one.
    pub id: String,
    /// Which way it went.
    pub direction: Direction,
    /// Who wrote it.
    pub author: Author,
    /// When it came in or was handed over.
    pub at: Timestamp,
    /// The text.
    pub text: String,
    /// Addresses of pictures and the like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<String>,
    /// What it asks for by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyword: Option<Keyword>,
    /// The campaign it belongs to.
    #[serde(default)]
    pub campaign_id: Option<CampaignId>,
    /// Its contact.
    #[serde(default)]
    pub contact_id: Option<ContactId>,
    /// How far it got.
    #[serde(default)]
    pub state: MessageState,
    /// What the assistant wanted done; such an entry has no text and was sent to nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<ToolCall>,
}

debug_without!(Message { id, direction, author, at, keyword, campaign_id, contact_id, state, tool } hides { text, media });
