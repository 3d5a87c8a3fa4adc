//! What people and we write to each other: messages, and the conversations they make.
//!
//! A conversation is between one person and one number (or sender) of ours on one channel. It outlives campaigns.

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
}

debug_without!(Conversation { last_inbound_at, last_outbound_at, campaign_id, contact_id } hides { key });

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
}

debug_without!(Message { id, direction, author, at, keyword, campaign_id, contact_id } hides { text, media });
