//! The WebSocket of a conversation with the assistant.
//!
//! The client sends `audio` (PCM of 16 bits, 16 kHz, one channel, in base64), `text_input`, `config`, `ping` and `end`; it hears `transcript`,
//! `conversation_response`, `audio`, `inactivity_reminder`, `inactivity_end`, `pong` and `error`. A pause of a second and a half ends what
//! somebody says; whoever speaks while the assistant is answering interrupts it. Close codes: 1000 at the end, 1008 without a key that
//! works, 1011 without an assistant, 1013 when there are too many sockets, 4004 when there is no such session.

use super::turns::{PAUSE, Turn as Speaking};
use super::{Config, own};
use crate::api::v1::error::FastApi;
use crate::auth::{Principal, socket_credential, stranger};
use crate::error::Failure;
use crate::state::AppState;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use campaign_core::assistant::{Assistant, Dialogue, Piece, Turn};
use campaign_core::contact::{ContactSource, NewContact, ZoneKey};
use campaign_core::id::{CampaignId, ContactId};
use campaign_core::outcome::Channel;
use campaign_core::phone::PhoneNumber;
use campaign_core::{Kind, Result};
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, Either, select};
use serde_json::{Value, json};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// The longest message of a client: a few seconds of sound.
const LONGEST: usize = 1 << 20;
/// The longest text.
const LONGEST_TEXT: usize = 8 * 1024;
/// After so long a silence the person is reminded...
const REMINDER: Duration = Duration::from_secs(10);
/// ...so often, and then it is over.
const REMINDERS: u32 = 3;
/// Turns that an answer is made from.
const HISTORY: usize = 200;
/// A number that nobody has: in a browser there is no other.
const NOBODY: &str = "+12025550100";
const PROMPT: &str = "You are a friendly assistant. Be brief and honest, and say so when you do not know something.";

struct Closing(u16, &'static str);

/// A conversation with the assistant. The key comes in `Authorization`, as `?token=`, or as the subprotocol `burki-token-<key>`.
#[utoipa::path(get, path = "/ws/ai-chat", operation_id = "ai_chat", tag = "voice agent", security(()),
    params(("token" = Option<String>, Query, description = "An API key")),
    responses((status = 101, description = "A WebSocket"), (status = 400, description = "No WebSocket was asked for"), (status = 426, description = "No WebSocket was asked for")))]
pub(crate) async fn plain(State(state): State<AppState>, upgrade: WebSocketUpgrade, request: Request) -> Response {
    open(state, None, upgrade, &request)
}

/// The conversation of a session.
#[utoipa::path(get, path = "/ws/ai-chat/{session_id}", operation_id = "ai_chat_session", tag = "voice agent", security(()),
    params(("session_id" = String, Path, description = "The session"), ("token" = Option<String>, Query, description = "An API key")),
    responses((status = 101, description = "A WebSocket"), (status = 400, description = "No WebSocket was asked for"), (status = 426, description = "No WebSocket was asked for")))]
pub(crate) async fn named(State(state): State<AppState>, Path(id): Path<String>, upgrade: WebSocketUpgrade, request: Request) -> Response {
    open(state, Some(id), upgrade, &request)
}

fn open(state: AppState, id: Option<String>, upgrade: WebSocketUpgrade, request: &Request) -> Response {
    if let Err(fault) = stranger(state.options(), request.headers()) {
        return Failure::<FastApi>::from(fault).into_response();
    }
    let (credential, agreed) = socket_credential(request.headers(), request.uri());
    let mut upgrade = upgrade.max_message_size(LONGEST).max_frame_size(LONGEST);
    if let Some(name) = agreed {
        upgrade = upgrade.protocols([name]);
    }
    upgrade
        .on_upgrade(move |mut socket| async move {
            let principal = Principal::of(&state, credential).await;
            let Closing(code, reason) = match principal {
                Ok(principal) => converse(&state, &principal, id.as_deref(), &mut socket).await,
                Err(fault) if fault.status == StatusCode::UNAUTHORIZED => Closing(1008, "authentication failed"),
                Err(_) => Closing(4000, "internal error"),
            };
            let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
            let farewell = pin!(async {
                let _ = socket.send(Message::Close(Some(frame))).await;
                while let Some(Ok(_)) = socket.recv().await {}
            });
            select(farewell, pin!(state.sleep(Duration::from_secs(1)))).await;
        })
        .into_response()
}

async fn converse(state: &AppState, principal: &Principal, id: Option<&str>, socket: &mut WebSocket) -> Closing {
    let Some(_ticket) = state.sockets().enter(None) else { return Closing(1013, "too many connections; try again later") };
    let Some(assistant) = state.engine().assistant().cloned() else { return Closing(1011, "there is no assistant") };
    let config = match id {
        None => Config::default(),
        Some(id) => match own(state, principal, id).await {
            Ok(session) if session.ended_at.is_none() => session.config,
            Ok(_) => return Closing(4004, "the session has ended"),
            Err(fault) if fault.status == StatusCode::NOT_FOUND => return Closing(4004, "session not found"),
            Err(_) => return Closing(4000, "internal error"),
        },
    };
    let Ok(nobody) = PhoneNumber::parse(NOBODY, None) else { return Closing(4000, "internal error") };
    let person = NewContact {
        phone: nobody,
        name: None,
        email: None,
        company: None,
        zones: ZoneKey::unknown(),
        variables: Default::default(),
        consent: None,
        source: ContactSource::Api,
    };
    let mut talk = Talk {
        state,
        socket,
        assistant,
        person: Arc::new(person),
        config,
        turns: Vec::new(),
        speaking: Speaking::default(),
        work: None,
        reminders: 0,
    };
    let hello = json!({ "type": "connection_established", "session_id": id });
    if talk.say(hello).await.is_none() {
        return Closing(1001, "the client is gone");
    }
    talk.run().await
}

/// What is being worked on.
enum Done {
    /// The person said this.
    Heard(Result<String>),
    /// The assistant says this, and sounds so.
    Answered(Result<(String, Option<Vec<u8>>)>),
}

struct Talk<'a> {
    state: &'a AppState,
    socket: &'a mut WebSocket,
    assistant: Arc<dyn Assistant>,
    person: Arc<NewContact>,
    config: Config,
    turns: Vec<Turn>,
    speaking: Speaking,
    /// Dropping it stops it.
    work: Option<BoxFuture<'static, Done>>,
    reminders: u32,
}

impl Talk<'_> {
    async fn run(&mut self) -> Closing {
        loop {
            // Somebody who stops sending sound in the middle of a turn has paused; somebody who does nothing is reminded.
            let wait = if self.speaking.goes_on() { PAUSE } else { REMINDER };
            let next = {
                let Self { state, socket, work, .. } = &mut *self;
                let done = async {
                    match work {
                        Some(work) => work.await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    message = socket.recv() => Next::Client(message.and_then(std::result::Result::ok)),
                    done = done => Next::Done(done),
                    () = state.sleep(wait) => Next::Quiet,
                    () = state.engine().stopped() => return Closing(1001, "the server is going away"),
                }
            };
            let went_on = match next {
                Next::Client(None | Some(Message::Close(_))) => return Closing(1000, ""),
                Next::Client(Some(Message::Text(text))) => match self.told(&text).await {
                    Some(true) => Some(()),
                    Some(false) => return Closing(1000, "the conversation is over"),
                    None => None,
                },
                Next::Client(Some(_)) => Some(()),
                Next::Done(done) => {
                    self.work = None;
                    self.done(done).await
                }
                Next::Quiet if self.speaking.goes_on() => {
                    self.turn_is_over();
                    Some(())
                }
                // Whoever waits for an answer is not silent.
                Next::Quiet if self.work.is_some() => Some(()),
                Next::Quiet if self.reminders < REMINDERS => {
                    self.reminders += 1;
                    let count = self.reminders;
                    self.say(json!({ "type": "inactivity_reminder", "count": count })).await
                }
                Next::Quiet => {
                    self.say(json!({ "type": "inactivity_end" })).await;
                    return Closing(1000, "nobody said anything");
                }
            };
            if went_on.is_none() {
                return Closing(1001, "the client does not read");
            }
        }
    }

    /// Takes a message; false when it is the last. `None` when the client does not read.
    async fn told(&mut self, text: &str) -> Option<bool> {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        let field = |name: &str| message[name].as_str().map(str::to_owned).filter(|text| !text.trim().is_empty());
        match message["type"].as_str().unwrap_or_default() {
            "ping" => self.say(json!({ "type": "pong" })).await?,
            "end" | "end_session" => return Some(false),
            "config" => {
                self.config.stt_model = field("stt_model").or(self.config.stt_model.take());
                self.config.tts_voice = field("tts_voice").or(self.config.tts_voice.take());
            }
            "text_input" => match field("text").filter(|text| text.len() <= LONGEST_TEXT) {
                Some(text) => self.person_said(text),
                None => self.complain("text must be a text of at most 8192 bytes").await?,
            },
            "audio" | "audio_chunk" if self.state.options().speech.is_none() => {
                self.complain("this server does not understand speech; send text_input").await?;
            }
            "audio" | "audio_chunk" => {
                let sound = field("data").or_else(|| field("audio_data")).and_then(|data| STANDARD.decode(data.trim()).ok());
                match sound {
                    Some(sound) => self.hear(&sound),
                    None => self.complain("data must be sound in base64").await?,
                }
            }
            // The client's own opinion of where a turn ends.
            "silence_detected" => self.turn_is_over(),
            _ => self.complain("this message is not understood").await?,
        }
        Some(true)
    }

    fn hear(&mut self, sound: &[u8]) {
        let over = self.speaking.hear(sound);
        if self.speaking.goes_on() {
            // Whoever speaks interrupts the assistant.
            self.work = None;
            self.reminders = 0;
        }
        if let Some(sound) = over {
            self.recognise(sound);
        }
    }

    fn turn_is_over(&mut self) {
        if let Some(sound) = self.speaking.end() {
            self.recognise(sound);
        }
    }

    fn recognise(&mut self, sound: Vec<u8>) {
        let Some(speech) = self.state.options().speech.clone() else { return };
        let model = self.config.stt_model.clone();
        self.work = Some(Box::pin(async move { Done::Heard(speech.transcribe(sound, model.as_deref()).await) }));
    }

    /// The person's turn; the assistant's follows.
    fn person_said(&mut self, text: String) {
        self.reminders = 0;
        self.turns.push(Turn::Person(text));
        let surplus = self.turns.len().saturating_sub(HISTORY);
        let dialogue = Dialogue {
            channel: Channel::Call,
            campaign_id: CampaignId(0),
            campaign_name: Arc::from("AI chat"),
            contact_id: ContactId(0),
            person: Arc::clone(&self.person),
            system_prompt: self.config.system_prompt.clone().unwrap_or_else(|| PROMPT.to_owned()),
            agenda: self.config.agenda.clone(),
            turns: self.turns.iter().skip(surplus).cloned().collect(),
            tools: Vec::new(),
            max_characters: None,
            options: Arc::default(),
        };
        let (assistant, speech) = (Arc::clone(&self.assistant), self.state.options().speech.clone());
        let voice = self.config.tts_voice.clone();
        self.work = Some(Box::pin(async move {
            Done::Answered(
                async {
                    let mut answer = assistant.answer(dialogue).await?;
                    let mut text = String::new();
                    while let Some(piece) = answer.next().await {
                        if let Piece::Text(more) = piece? {
                            text.push_str(&more);
                        }
                    }
                    let sound = match &speech {
                        Some(speech) if !text.trim().is_empty() => Some(speech.speak(&text, voice.as_deref()).await?),
                        _ => None,
                    };
                    Ok((text, sound))
                }
                .await,
            )
        }));
    }

    async fn done(&mut self, done: Done) -> Option<()> {
        match done {
            Done::Heard(Ok(text)) if text.trim().is_empty() => Some(()),
            Done::Heard(Ok(text)) => {
                self.say(json!({ "type": "transcript", "text": text })).await?;
                self.person_said(text);
                Some(())
            }
            Done::Answered(Ok((text, sound))) => {
                self.turns.push(Turn::Assistant(text.clone()));
                self.say(json!({ "type": "conversation_response", "text": text })).await?;
                match sound {
                    Some(sound) => self.say(json!({ "type": "audio", "data": STANDARD.encode(sound) })).await,
                    None => Some(()),
                }
            }
            Done::Heard(Err(error)) | Done::Answered(Err(error)) => {
                tracing::warn!(%error, "a conversation in a browser got no answer");
                let message = if error.kind() == Kind::Invalid { error.message() } else { "the assistant cannot answer now; try again" };
                self.complain(message).await
            }
        }
    }

    async fn complain(&mut self, message: &str) -> Option<()> {
        self.say(json!({ "type": "error", "message": message })).await
    }

    async fn say(&mut self, value: Value) -> Option<()> {
        let late = self.state.sleep(self.state.options().socket_send_timeout);
        match select(pin!(self.socket.send(Message::Text(value.to_string().into()))), pin!(late)).await {
            Either::Left((Ok(()), _)) => Some(()),
            Either::Left((Err(_), _)) | Either::Right(_) => None,
        }
    }
}

enum Next {
    /// The client said something; `None`: it is gone.
    Client(Option<Message>),
    Done(Done),
    Quiet,
}
