//! People who answer back: conversations and messages, outwards and inwards.

use super::args::paging;
use super::{Object, flat, read};
use crate::contact::Variables;
use crate::conversation::{Conversation, ConversationKey, Keyword, Message};
use crate::dialer::InboundMessage;
use crate::engine::{ConversationQuery, SendMessage};
use crate::error::{Error, Result};
use crate::id::CampaignId;
use crate::outcome::Channel;
use crate::phone::PhoneNumber;
use crate::store::Paging;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// A conversation: `channel`, `our_number`, `phone_number`, when either side last wrote, whose it is, and since when the person is opted out.
pub fn conversation(conversation: &Conversation) -> Value {
    let Conversation { key, last_inbound_at, last_outbound_at, campaign_id, contact_id, opted_out_at } = conversation;
    let ConversationKey { channel, ours, person } = key;
    json!({
        "channel": channel,
        "our_number": ours,
        "phone_number": person,
        "last_inbound_at": last_inbound_at,
        "last_outbound_at": last_outbound_at,
        "campaign_id": campaign_id,
        "contact_id": contact_id,
        "opted_out_at": opted_out_at,
    })
}

/// A message; `tool` is what the assistant asked for, with `arguments`.
pub fn message(message: &Message) -> Value {
    let Message { id, direction, author, at, text, media, keyword, campaign_id, contact_id, state, tool } = message;
    json!({
        "id": id,
        "direction": direction,
        "author": author,
        "at": at,
        "text": text,
        "media": media,
        "keyword": keyword,
        "campaign_id": campaign_id,
        "contact_id": contact_id,
        "state": state,
        "tool": tool.as_ref().map(|call| json!({ "name": call.name, "arguments": flat(&call.arguments) })),
    })
}

fn person(text: &str) -> Result<PhoneNumber> {
    PhoneNumber::parse(text, None).map_err(|error| Error::invalid("phone_number", error.to_string()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyForm {
    channel: Channel,
    our_number: String,
    phone_number: String,
}

impl KeyForm {
    fn key(self) -> Result<ConversationKey> {
        Ok(ConversationKey { channel: self.channel, ours: Arc::from(self.our_number), person: person(&self.phone_number)? })
    }
}

/// Which conversation: `channel`, `our_number`, `phone_number`.
///
/// # Errors
/// [`crate::Kind::Invalid`] for an unknown argument or value.
pub fn conversation_key(arguments: Object) -> Result<ConversationKey> {
    read::<KeyForm>("conversation", Value::Object(arguments))?.key()
}

/// Which messages: a conversation, and a page of it (`page` and `per_page`, or `offset` and `limit`).
///
/// # Errors
/// [`crate::Kind::Invalid`] for an unknown argument or value.
pub fn message_query(mut arguments: Object) -> Result<(ConversationKey, Paging)> {
    let paging = paging(&mut arguments)?;
    Ok((conversation_key(arguments)?, paging))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QueryForm {
    phone_number: Option<String>,
    channel: Option<Channel>,
    campaign_id: Option<CampaignId>,
    after: Option<KeyForm>,
    #[serde(default)]
    limit: u32,
}

/// Which conversations: `phone_number`, `channel`, `campaign_id`, `after` (a conversation's `channel`, `our_number` and
/// `phone_number`), `limit`.
///
/// # Errors
/// [`crate::Kind::Invalid`] for an unknown argument or value.
pub fn conversation_query(mut arguments: Object) -> Result<ConversationQuery> {
    arguments.retain(|_, value| !value.is_null());
    let given: QueryForm = read("query", Value::Object(arguments))?;
    Ok(ConversationQuery {
        person: given.phone_number.as_deref().map(person).transpose()?,
        channel: given.channel,
        campaign: given.campaign_id,
        after: given.after.map(KeyForm::key).transpose()?,
        limit: given.limit,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SendForm {
    channel: Channel,
    our_number: String,
    phone_number: String,
    text: String,
    key: Option<String>,
    valid_for: Option<f64>,
}

/// A message to be sent: `channel`, `our_number`, `phone_number`, `text`, `key`, `valid_for` (seconds).
///
/// # Errors
/// [`crate::Kind::Invalid`] for an unknown argument or value.
pub fn send_message(mut arguments: Object) -> Result<SendMessage> {
    arguments.retain(|_, value| !value.is_null());
    let SendForm { channel, our_number, phone_number, text, key, valid_for } = read("message", Value::Object(arguments))?;
    let valid_for = valid_for
        .map(|seconds| {
            Duration::try_from_secs_f64(seconds).map_err(|_| Error::invalid("valid_for", "must be a number of seconds of at least 0"))
        })
        .transpose()?;
    Ok(SendMessage { conversation: KeyForm { channel, our_number, phone_number }.key()?, text, key, valid_for })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InboundForm {
    id: String,
    channel: Channel,
    phone_number: String,
    our_number: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    media: Vec<String>,
    keyword: Option<Keyword>,
    #[serde(default)]
    confirmed_by_carrier: bool,
    #[serde(default)]
    data: Variables,
}

/// A message that came in: `id` (the provider's), `channel`, `phone_number`, `our_number`, `text`, `media`, `keyword` and
/// `confirmed_by_carrier` (what the carrier made of it), `data`.
///
/// # Errors
/// [`crate::Kind::Invalid`] for an unknown argument or value.
pub fn inbound_message(mut arguments: Object) -> Result<InboundMessage> {
    arguments.retain(|_, value| !value.is_null());
    let given: InboundForm = read("message", Value::Object(arguments))?;
    Ok(InboundMessage {
        provider_ref: given.id,
        channel: given.channel,
        from: person(&given.phone_number)?,
        to: Arc::from(given.our_number),
        text: given.text,
        media: given.media,
        keyword: given.keyword,
        confirmed_by_carrier: given.confirmed_by_carrier,
        data: given.data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Object {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn messages_cross_in_both_directions() {
        let inbound = json!({"id": "SM1", "channel": "sms", "phone_number": "+1 212-555-0123", "our_number": "+12125550100", "text": "Hi", "media": null});
        let inbound = inbound_message(object(inbound)).unwrap();
        assert_eq!((inbound.from.as_str(), inbound.keyword, inbound.confirmed_by_carrier), ("+12125550123", None, false));
        let send = json!({"channel": "whatsapp", "phone_number": "+12125550123", "our_number": "x", "text": "Hi", "valid_for": 1.5});
        let send = send_message(object(send)).unwrap();
        assert_eq!((send.conversation.channel, send.valid_for), (Channel::WhatsApp, Some(Duration::from_millis(1500))));
        let key = send.conversation.clone();
        let out = conversation(&Conversation::new(key));
        assert_eq!((out["our_number"].as_str(), out["opted_out_at"].is_null()), (Some("x"), true));
        let error =
            conversation_key(object(json!({"channel": "sms", "our_number": "x", "phone_number": "12345678901234567890"}))).unwrap_err();
        assert!(!format!("{error:?}").contains("1234567"), "{error:?}");
        assert_eq!(conversation_query(object(json!({"limit": 7, "channel": null}))).unwrap().limit, 7);
        assert!(conversation_query(object(json!({"nonsense": 7}))).is_err());
    }
}
