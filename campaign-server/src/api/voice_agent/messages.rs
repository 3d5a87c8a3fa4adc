//! `/api/messages`: single messages, and the conversations they are part of.

use super::schema::{AgentConversationEnvelope, AgentConversations, AgentMessageInput, AgentMessageSent};
use super::spec::{CONTENT_SID, CONTENT_VARIABLES, KEY, Purpose, is_whatsapp};
use super::{Reply, ids};
use crate::api::owned::{self, moment};
use crate::api::request::{Body, Caller, Params, given, wrong};
use crate::api::v1::error::FastApi;
use crate::auth::{Principal, of_spec};
use crate::error::Fault;
use crate::state::AppState;
use axum::extract::{Path, State};
use campaign_core::Kind;
use campaign_core::campaign::CampaignRecord;
use campaign_core::conversation::{Author, Conversation, ConversationKey, Direction, Message, MessageState};
use campaign_core::engine::{ConversationQuery, NewestConversations};
use campaign_core::http::signature::hex;
use campaign_core::id::CampaignId;
use campaign_core::outcome::Channel;
use campaign_core::phone::PhoneNumber;
use campaign_core::wire::Object;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Conversations read at a time.
const PAGE: u32 = 1000;
/// Messages shown of a conversation: the newest.
const MESSAGES: usize = 1000;
/// Conversations that are looked at for those of one prompt: the newest.
const LOOKED_AT: usize = 5000;

/// Sends one message; over WhatsApp when a number begins with `whatsapp:`.
#[utoipa::path(post, path = "/api/messages/send", operation_id = "send_agent_message", tag = "voice agent", request_body = AgentMessageInput,
    responses((status = 200, description = "It is on its way", body = AgentMessageSent)))]
pub(crate) async fn send(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Body(body, _): Body<FastApi>) -> Reply {
    let text = |name: &'static str| given(&body, name).ok_or_else(|| wrong("body", name, "is required"));
    let (from, to, message) = (text("from")?, text("to")?, text("body")?);
    let kind = if is_whatsapp(from) || is_whatsapp(to) { "whatsapp" } else { "sms" };
    let mut config = Object::from_iter([("fromNumber".to_owned(), from.into()), ("messageBody".to_owned(), message.into())]);
    for name in CONTENT_SID.into_iter().chain(CONTENT_VARIABLES) {
        config.extend(body.get(name).map(|value| (name.to_owned(), value.clone())));
    }
    let sent = super::send(&state, &principal, Purpose::Message, kind, to, config).await?;
    Ok(axum::Json(json!({
        "success": true,
        "message_sid": sent.reference(),
        "message": if kind == "sms" { "SMS sent successfully" } else { "WhatsApp message sent successfully" },
        "from": Value::from(from),
        "to": to,
        "status": sent.status(),
        "campaign_id": ids::write(sent.record.id.0),
    })))
}

/// A conversation's id: its channel and both numbers, in hexadecimal digits.
fn id_of(key: &ConversationKey) -> String {
    hex(format!("{}/{}/{}", key.channel, key.ours, key.person.as_str()).as_bytes())
}

fn key_of(id: &str) -> Option<ConversationKey> {
    let digits = id.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes = digits.chunks(2).map(|pair| byte(pair).filter(|_| pair.len() == 2)).collect::<Option<Vec<u8>>>()?;
    let text = String::from_utf8(bytes).ok()?;
    let (channel, rest) = text.split_once('/')?;
    let (ours, person) = rest.rsplit_once('/')?;
    let channel: Channel = serde_json::from_value(channel.into()).ok()?;
    Some(ConversationKey { channel, ours: ours.into(), person: PhoneNumber::parse(person, None).ok()? })
}

/// The campaigns that are met in conversations, each looked up once.
struct Campaigns<'a> {
    state: &'a AppState,
    known: HashMap<CampaignId, Option<CampaignRecord>>,
}

impl Campaigns<'_> {
    async fn get(&mut self, id: CampaignId) -> Result<Option<&CampaignRecord>, Fault> {
        if !self.known.contains_key(&id) {
            let record = match self.state.engine().get_campaign(id).await {
                Ok(record) => Some(record),
                Err(error) if error.kind() == Kind::NotFound => None,
                Err(error) => return Err(error.into()),
            };
            self.known.insert(id, record);
        }
        Ok(self.known.get(&id).and_then(Option::as_ref))
    }

    /// Whether something of this campaign may be seen: the caller's is. What belongs to none, or to one that is gone, is the operator's: our
    /// number may be shared, so nobody else can say whom a person meant who wrote before any campaign did.
    async fn sees(&mut self, principal: &Principal, campaign: Option<CampaignId>) -> Result<bool, Fault> {
        if principal.organization.is_none() {
            return Ok(true);
        }
        let Some(id) = campaign else { return Ok(false) };
        Ok(self.get(id).await?.is_some_and(|record| principal.sees(of_spec(&record.spec))))
    }

    /// The prompt that a campaign of this API was given.
    async fn prompt(&mut self, campaign: Option<CampaignId>) -> Result<Option<String>, Fault> {
        let Some(id) = campaign else { return Ok(None) };
        let record = self.get(id).await?;
        let config = record.and_then(|record| owned::remembered(&record.spec, KEY, "config"));
        Ok(config.and_then(|config| config["promptId"].as_str()).map(str::to_owned))
    }
}

/// One conversation with those of its messages that the caller may see; `None` when the caller has no part in it.
///
/// Each message is its own campaign's, whoever wrote last: organisations may share a number.
async fn show(campaigns: &mut Campaigns<'_>, principal: &Principal, conversation: &Conversation) -> Result<Option<Value>, Fault> {
    let key = &conversation.key;
    let engine = campaigns.state.engine();
    let mut shown = Vec::new();
    let mut last: Option<Message> = None;
    for message in engine.last_messages(key, MESSAGES).await? {
        // What the assistant did besides is no message.
        if message.tool.is_some() {
            continue;
        }
        if campaigns.sees(principal, message.campaign_id).await? {
            shown.push(json!({
                "message_sid": message.id,
                "role": if message.author == Author::Person { "user" } else { "assistant" },
                "direction": message.direction,
                "text": message.text,
                "status": status(&message),
                "timestamp": moment(message.at),
                "campaign_id": message.campaign_id.map(|id| ids::write(id.0)),
            }));
            last = Some(message);
        }
    }
    if shown.is_empty() && !campaigns.sees(principal, conversation.campaign_id).await? {
        return Ok(None);
    }
    let id = id_of(key);
    Ok(Some(json!({
        "id": id,
        "conversation_id": id,
        "phoneNumberId": &*key.ours,
        "callerNumber": key.person,
        "agentNumber": &*key.ours,
        "channel": key.channel,
        "status": last.as_ref().map_or("received", status),
        "timestamp": last.as_ref().map(|message| message.at).or_else(|| conversation.newest_at()).map(moment),
        "latest_message": last.as_ref().map(|message| message.text.as_str()),
        "message_count": shown.len(),
        "conversation": shown,
    })))
}

fn status(message: &Message) -> &'static str {
    match (message.direction, message.state) {
        (Direction::Inbound, _) => "received",
        (Direction::Outbound, MessageState::Failed) => "failed",
        (Direction::Outbound, _) => "sent",
    }
}

/// Conversations by SMS and WhatsApp, those with the newest message first.
#[utoipa::path(get, path = "/api/messages", operation_id = "list_agent_messages", tag = "voice agent",
    params(
        ("agent_id" = Option<String>, Query, description = "Only those of campaigns with this prompt, among the newest 5000"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "50 if not said"),
    ),
    responses((status = 200, description = "Conversations", body = AgentConversations)))]
pub(crate) async fn list(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, params: Params) -> Reply {
    let limit = usize::try_from(params.integer("limit", 1, 1000)?.unwrap_or(50)).unwrap_or(50);
    let agent = params.text("agent_id");
    let mut campaigns = Campaigns { state: &state, known: HashMap::new() };
    let mut found: Vec<Conversation> = Vec::new();
    let (mut after, mut looked_at) = (None, 0);
    while found.len() < limit && looked_at < LOOKED_AT {
        let size = if agent.is_some() { PAGE } else { limit as u32 };
        let query = NewestConversations { organization: principal.organization, after: after.take(), limit: size };
        let page = state.engine().newest_conversations(query).await?;
        looked_at += page.len();
        let last = page.len() < size as usize;
        after = page.last().cloned();
        for conversation in page {
            let campaign = conversation.campaign_id;
            if found.len() < limit
                && campaigns.sees(&principal, campaign).await?
                && (agent.is_none() || campaigns.prompt(campaign).await?.as_deref() == agent)
            {
                found.push(conversation);
            }
        }
        if last {
            break;
        }
    }
    let mut shown = Vec::with_capacity(found.len());
    for conversation in &found {
        shown.extend(show(&mut campaigns, &principal, conversation).await?);
    }
    Ok(axum::Json(json!({ "success": true, "messages": shown })))
}

/// One conversation, with its newest messages.
#[utoipa::path(get, path = "/api/messages/{conversation_id}", operation_id = "get_agent_conversation", tag = "voice agent",
    params(("conversation_id" = String, Path, description = "The conversation")),
    responses((status = 200, description = "The conversation", body = AgentConversationEnvelope)))]
pub(crate) async fn get(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Path(id): Path<String>) -> Reply {
    let missing = || Fault::not_found("Conversation");
    let key = key_of(&id).ok_or_else(missing)?;
    let query =
        ConversationQuery { person: Some(key.person.clone()), channel: Some(key.channel), limit: PAGE, ..ConversationQuery::default() };
    let all = state.engine().conversations(query).await?;
    let conversation = all.into_iter().find(|conversation| conversation.key == key).ok_or_else(missing)?;
    let mut campaigns = Campaigns { state: &state, known: HashMap::new() };
    let shown = show(&mut campaigns, &principal, &conversation).await?.ok_or_else(missing)?;
    Ok(axum::Json(json!({ "success": true, "conversation": shown })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_name_conversations() {
        let key = ConversationKey {
            channel: Channel::WhatsApp,
            ours: "whatsapp/x".into(),
            person: PhoneNumber::parse("+12125550123", None).unwrap(),
        };
        assert!(key_of(&id_of(&key)).unwrap() == key);
        for wrong in ["", "0", "zz", "666178", "€"] {
            assert!(key_of(wrong).is_none(), "{wrong}");
        }
    }
}
