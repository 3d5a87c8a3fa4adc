//! `/ws/ai-chat`: a conversation with the engine's assistant in a browser, and its sessions under `/api/ai-chat`.
//!
//! A session is a document of the store, so whichever server gets the WebSocket knows it. A WebSocket without one is a conversation with
//! the defaults.

pub(super) mod socket;
mod turns;

use super::Reply;
use super::schema::{AgentChatInput, AgentChatStarted, AgentChats, AgentMessage};
use crate::api::owned::moment;
use crate::api::request::{Body, Caller, given};
use crate::api::v1::check::Check;
use crate::api::v1::error::FastApi;
use crate::auth::Principal;
use crate::error::Fault;
use crate::state::AppState;
use axum::extract::{Path, State};
use campaign_core::Result;
use campaign_core::store::{DocumentQuery, PutDocument};
use campaign_core::{Error, Kind};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

/// The collection of sessions, by id.
const COLLECTION: &str = "ai_chat";
/// The longest prompt, in characters.
const LONGEST_PROMPT: usize = 20_000;
/// Sessions are kept for so long after they were made.
const LIFETIME: SignedDuration = SignedDuration::from_hours(24);
/// Sessions of one listing.
const MOST: u32 = 1000;

/// What a conversation is about, and what it sounds like.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Config {
    #[serde(default)]
    system_prompt: Option<String>,
    #[serde(default)]
    agenda: Option<String>,
    #[serde(default)]
    stt_model: Option<String>,
    #[serde(default)]
    tts_voice: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Session {
    id: String,
    organization: Option<i64>,
    created_at: Timestamp,
    #[serde(default)]
    ended_at: Option<Timestamp>,
    config: Config,
}

impl Session {
    fn shown(&self) -> Value {
        json!({
            "session_id": self.id,
            "status": if self.ended_at.is_some() { "ended" } else { "active" },
            "config": self.config,
            "created_at": moment(self.created_at),
            "ended_at": self.ended_at.map(moment),
        })
    }
}

async fn put(state: &AppState, session: &Session) -> Result<()> {
    let value = serde_json::to_value(session).map_err(|error| Error::new(Kind::Internal, "a session must serialise").with_source(error))?;
    let put = PutDocument { collection: COLLECTION.to_owned(), key: session.id.clone(), value, expected_revision: None };
    state.engine().store().put_document(put).await.map(drop)
}

async fn sessions(state: &AppState, key: Option<String>) -> Result<Vec<Session>> {
    let query = DocumentQuery { collection: COLLECTION.to_owned(), key, after: None, limit: MOST };
    let found = state.engine().store().documents(query).await?;
    let (mut kept, now) = (Vec::new(), state.now());
    for document in found {
        match serde_json::from_value::<Session>(document.value) {
            Ok(session) if now.duration_since(session.created_at) <= LIFETIME => kept.push(session),
            // Too old, whatever is in it.
            _ => drop(state.engine().store().delete_document(COLLECTION.to_owned(), document.key).await?),
        }
    }
    Ok(kept)
}

/// A session of the caller's.
async fn own(state: &AppState, principal: &Principal, id: &str) -> std::result::Result<Session, Fault> {
    let missing = || Fault::not_found("Session");
    let id = Uuid::parse_str(id).map_err(|_| missing())?.to_string();
    let found = sessions(state, Some(id)).await?.into_iter().find(|session| principal.sees(session.organization));
    found.ok_or_else(missing)
}

/// Begins a conversation with the assistant. Its WebSocket is `/ws/ai-chat/{session_id}`.
#[utoipa::path(post, path = "/api/ai-chat", operation_id = "start_ai_chat", tag = "voice agent", request_body = AgentChatInput,
    responses((status = 200, description = "Its id", body = AgentChatStarted)))]
pub(crate) async fn start(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Body(body, _): Body<FastApi>) -> Reply {
    let mut check = Check::new(&body);
    for name in ["system_prompt", "agenda"] {
        check.text(name, 0, LONGEST_PROMPT, true);
    }
    check.text("stt_model", 0, 200, true).text("tts_voice", 0, 200, true);
    check.finish()?;
    if state.engine().assistant().is_none() {
        return Err(Fault::refused("The server has no assistant").into());
    }
    let text = |name: &str| given(&body, name).map(str::to_owned);
    let config =
        Config { system_prompt: text("system_prompt"), agenda: text("agenda"), stt_model: text("stt_model"), tts_voice: text("tts_voice") };
    let session =
        Session { id: Uuid::new_v4().to_string(), organization: principal.organization, created_at: state.now(), ended_at: None, config };
    put(&state, &session).await?;
    let mut shown = session.shown();
    shown["success"] = true.into();
    shown["message"] = "Session created".into();
    Ok(axum::Json(shown))
}

/// Conversations with the assistant of the last day.
#[utoipa::path(get, path = "/api/ai-chat", operation_id = "list_ai_chats", tag = "voice agent",
    responses((status = 200, description = "Sessions, newest first", body = AgentChats)))]
pub(crate) async fn list(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>) -> Reply {
    let mut found = sessions(&state, None).await?;
    found.retain(|session| principal.sees(session.organization));
    found.sort_by_key(|session| std::cmp::Reverse(session.created_at));
    let shown: Vec<Value> = found.iter().map(Session::shown).collect();
    Ok(axum::Json(json!({ "success": true, "sessions": shown })))
}

/// Ends a conversation: its WebSocket is not opened any more.
#[utoipa::path(post, path = "/api/ai-chat/{session_id}/end", operation_id = "end_ai_chat", tag = "voice agent",
    params(("session_id" = String, Path, description = "The session")),
    responses((status = 200, description = "It is over", body = AgentMessage)))]
pub(crate) async fn end(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Path(id): Path<String>) -> Reply {
    let mut session = own(&state, &principal, &id).await?;
    if session.ended_at.is_none() {
        session.ended_at = Some(state.now());
        put(&state, &session).await?;
    }
    Ok(axum::Json(json!({ "success": true, "message": "Session ended" })))
}

/// Forgets a conversation.
#[utoipa::path(delete, path = "/api/ai-chat/{session_id}", operation_id = "delete_ai_chat", tag = "voice agent",
    params(("session_id" = String, Path, description = "The session")),
    responses((status = 200, description = "It is gone", body = AgentMessage)))]
pub(crate) async fn delete(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Path(id): Path<String>) -> Reply {
    let session = own(&state, &principal, &id).await?;
    state.engine().store().delete_document(COLLECTION.to_owned(), session.id).await?;
    Ok(axum::Json(json!({ "success": true, "message": "Session deleted" })))
}
