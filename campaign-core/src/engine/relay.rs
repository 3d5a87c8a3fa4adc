//! An assistant on the telephone: the conversation behind a carrier's relay.

use super::core::Core;
use super::inbound::{self, Call};
use super::{Engine, talk};
use crate::assistant::relay::{Incoming, Outgoing, Setup, Spoken, heard};
use crate::assistant::{Answer, Assistant, Piece, Tool, Turn, ask};
use crate::contact::Variables;
use crate::conversation::{Author, ConversationKey, ToolCall};
use crate::event::EventKind;
use crate::id::AttemptId;
use crate::outcome::Channel;
use crate::store::{AttemptQuery, Paging};
use crate::{Error, Kind, Result};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Turns of the assistant that only use tools, in one answer.
const ROUNDS: u32 = 3;
/// After so many failures in a row the call is handed on.
const FAILURES: u32 = 2;
/// Turns that an answer is made from.
const HISTORY: usize = 200;

impl Engine {
    /// Begins the conversation of a call whose carrier relays speech as text (Twilio's ConversationRelay and the like).
    ///
    /// `setup` is the first frame of the WebSocket, a text. Its parameter `attempt`, which our instructions for the call put in, says which attempt
    /// it is. Hand every further frame to [`RelaySession::receive`], and send what [`RelaySession::next`] gives. Check the signature of
    /// the WebSocket's handshake before: whoever may open a session speaks as the person.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when it is no setup frame, [`Kind::NotFound`] when it names no attempt of this store, [`Kind::State`] when the
    /// engine has no assistant; when the store cannot be read.
    pub async fn relay(&self, setup: &str) -> Result<RelaySession> {
        let core = &self.core;
        let Some(assistant) = core.assistant.clone() else {
            return Err(Error::new(Kind::State, "the engine has no assistant; give one with `.assistant(...)`"));
        };
        let Incoming::Setup(setup) = Incoming::read(setup) else {
            return Err(Error::invalid("setup", "the first frame of a relay must be a setup frame"));
        };
        let mut query = AttemptQuery { paging: Paging { offset: 0, limit: 1 }, ..AttemptQuery::default() };
        match setup.parameter("attempt").or_else(|| setup.parameter("attempt_id")) {
            Some(id) => {
                query.id = Some(AttemptId(id.trim().parse().map_err(|_| Error::invalid("attempt", "must be the id of an attempt"))?))
            }
            None => query.provider_ref = Some(setup.call_sid.clone()),
        }
        let found = core.guarded(core.store.attempts(query)).await?.items.into_iter().next();
        let attempt = found.ok_or_else(|| Error::new(Kind::NotFound, "the call belongs to no attempt of this store"))?;
        let contact = core.guarded(core.store.contact(attempt.contact)).await?;
        let contact = contact.ok_or_else(|| Error::not_found("contact", attempt.contact))?;
        let active = core.active(attempt.campaign).await?;
        let inbound = setup.direction == "inbound";
        let number = if inbound { setup.to.as_str() } else { attempt.from.as_deref().unwrap_or(&setup.from) };
        let key = ConversationKey { channel: Channel::Call, ours: inbound::sender(number), person: contact.person.phone.clone() };
        let greeting = greeting(&active, &contact);
        let Setup { session_id, call_sid, .. } = setup;
        let session = if session_id.is_empty() { call_sid } else { session_id };
        let call = Arc::new(Call { key, active, contact, attempt: attempt.id, ours: !inbound, session });
        let mut relay = RelaySession {
            core: Arc::clone(core),
            assistant,
            call,
            queue: VecDeque::new(),
            spoken: Vec::new(),
            making: None,
            guess: String::new(),
            in_turn: false,
            failures: 0,
            ended: false,
            kept: false,
        };
        if let Some(text) = greeting {
            relay.spoken.push(Spoken { author: Author::Assistant, at: core.now(), text, tool: None });
        }
        Ok(relay)
    }
}

/// What the carrier says first, as our instructions for the call told it.
fn greeting(active: &super::active::Active, contact: &crate::contact::Contact) -> Option<String> {
    let mut extra = Variables::new();
    extra.insert("campaign_name".to_owned(), (&*active.name).into());
    active.templates.render("welcome_message", &contact.person, &extra).ok().filter(|text| !text.trim().is_empty())
}

/// The conversation of one call behind a carrier's relay. It does nothing by itself: whoever holds the WebSocket hands frames in and takes
/// frames out, and dropping a future of it loses nothing.
///
/// A sentence of the person stops what the assistant is saying (barge-in): its answer is dropped where it is made, and what was not
/// heard is taken out of what was said. Whatever was said is kept in the conversation when the session ends, and in the outcome of its attempt
/// under `transcript`.
pub struct RelaySession {
    core: Arc<Core>,
    assistant: Arc<dyn Assistant>,
    call: Arc<Call>,
    /// Frames that wait to be sent.
    queue: VecDeque<Outgoing>,
    spoken: Vec<Spoken>,
    making: Option<Making>,
    /// A sentence that is not over yet.
    guess: String,
    /// Whether the last of `spoken` is the assistant's and goes on.
    in_turn: bool,
    failures: u32,
    ended: bool,
    kept: bool,
}

/// What is to happen in a session that is [carried](RelaySession::carry); each is the method of its name.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RelayCommand {
    /// A frame of the carrier came in.
    Receive(String),
    /// This is said, whatever the assistant does.
    Say(String),
    /// A sound is played.
    Play {
        /// Where it is.
        source: String,
        /// How often. Default 1.
        #[serde(default = "once")]
        times: u32,
    },
    /// Keys are pressed.
    SendDigits(String),
    /// The languages change.
    Language {
        /// The one that is spoken.
        #[serde(default)]
        spoken: Option<String>,
        /// The one that is understood.
        #[serde(default)]
        understood: Option<String>,
    },
    /// The session ends, and the carrier's next instructions get this.
    End(Value),
}

fn once() -> u32 {
    1
}

impl std::fmt::Debug for RelayCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Receive(_) => "Receive(..)",
            Self::Say(_) => "Say(..)",
            Self::Play { .. } => "Play(..)",
            Self::SendDigits(_) => "SendDigits(..)",
            Self::Language { .. } => "Language(..)",
            Self::End(_) => "End(..)",
        })
    }
}

/// An answer being made.
struct Making {
    answer: Answer,
    /// What was asked for in this round, with the results.
    tools: Vec<Turn>,
    calls: Vec<(ToolCall, Option<Tool>)>,
    rounds: u32,
    said: bool,
    /// The session ends with this answer.
    handoff: Option<Value>,
}

impl RelaySession {
    /// Takes a frame of the carrier. What it does not know it ignores.
    pub fn receive(&mut self, frame: &str) {
        if self.ended {
            return;
        }
        match Incoming::read(frame) {
            Incoming::Prompt { text, last: false } => self.guess = text,
            Incoming::Prompt { text, last: true } => {
                let guess = std::mem::take(&mut self.guess);
                let text = if text.trim().is_empty() { guess } else { text };
                if !text.trim().is_empty() {
                    self.heard(text);
                }
            }
            Incoming::Digit(digit) if !digit.trim().is_empty() => self.heard(format!("[pressed {}]", digit.trim())),
            Incoming::Interrupt { said } => {
                self.silence();
                if let Some(index) = self.spoken.iter().rposition(|spoken| spoken.author == Author::Assistant && spoken.tool.is_none()) {
                    let turn = &mut self.spoken[index];
                    turn.text = heard(&turn.text, &said);
                    if turn.text.trim().is_empty() {
                        self.spoken.remove(index);
                    }
                }
            }
            Incoming::Error => {
                let message = "The carrier's relay reported an error.".to_owned();
                self.tell(EventKind::Error { code: "relay".to_owned(), message });
            }
            Incoming::Setup(_) | Incoming::Digit(_) | Incoming::Other => {}
        }
    }

    /// The next frame to be sent; `None` when the session is over. Pending while there is nothing to say: race it with the WebSocket.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(frame) = self.queue.pop_front() {
                self.sent(&frame);
                return Some(frame.to_json());
            }
            if self.ended {
                return None;
            }
            let Some(making) = &mut self.making else { return std::future::pending().await };
            // The answer stays in `self`, so dropping this future loses nothing of it.
            match making.answer.next().await {
                Some(Ok(Piece::Text(token))) => {
                    if !token.is_empty() {
                        making.said |= !token.trim().is_empty();
                        self.queue.push_back(Outgoing::Text { token, last: false, language: None });
                    }
                }
                Some(Ok(Piece::Tool(call))) => self.asked_for(call),
                Some(Err(error)) => self.failed(&error),
                None => self.made(),
            }
        }
    }

    /// What was said so far.
    pub fn transcript(&self) -> &[Spoken] {
        &self.spoken
    }

    /// Says something, whatever the assistant does.
    pub fn say(&mut self, text: &str) {
        self.queue.push_back(Outgoing::Text { token: text.to_owned(), last: true, language: None });
    }

    /// Plays a sound so many times.
    pub fn play(&mut self, source: &str, times: u32) {
        self.queue.push_back(Outgoing::Play { source: source.to_owned(), times });
    }

    /// Presses keys.
    pub fn send_digits(&mut self, digits: &str) {
        self.queue.push_back(Outgoing::SendDigits(digits.to_owned()));
    }

    /// Changes the languages that are spoken and understood.
    pub fn language(&mut self, spoken: Option<&str>, understood: Option<&str>) {
        self.queue.push_back(Outgoing::Language { spoken: spoken.map(str::to_owned), understood: understood.map(str::to_owned) });
    }

    /// Ends the session after what waits to be said; the carrier goes on with our next instructions, which get `handoff`.
    pub fn end(&mut self, handoff: Value) {
        self.making = None;
        self.queue.push_back(Outgoing::End { handoff });
    }

    /// The WebSocket is closed: writes down what was said.
    ///
    /// # Errors
    /// When the store cannot be written; the session is tried to be kept once more in the background.
    pub async fn close(mut self) -> Result<()> {
        self.making = None;
        let (core, call, spoken) = (Arc::clone(&self.core), Arc::clone(&self.call), self.spoken.clone());
        inbound::keep_spoken(&core, &call, &spoken).await?;
        self.kept = true;
        Ok(())
    }

    /// Carries the session between two ends that somebody else holds, as the bindings do: commands are obeyed in their order, and each
    /// frame goes to `send` as soon as there is one. Ends with the session, or when nobody can give commands any more because the WebSocket is
    /// closed. Then what was said is written down, and returned.
    ///
    /// # Errors
    /// As [`RelaySession::close`].
    pub async fn carry(mut self, mut commands: mpsc::UnboundedReceiver<RelayCommand>, send: impl Fn(String)) -> Result<Vec<Spoken>> {
        loop {
            tokio::select! {
                // Whoever interrupts is heard before anything else is said.
                biased;
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => break,
                },
                frame = self.next() => match frame {
                    Some(frame) => send(frame),
                    None => break,
                },
            }
        }
        let spoken = self.spoken.clone();
        self.close().await?;
        Ok(spoken)
    }

    fn obey(&mut self, command: RelayCommand) {
        match command {
            RelayCommand::Receive(frame) => self.receive(&frame),
            RelayCommand::Say(text) => self.say(&text),
            RelayCommand::Play { source, times } => self.play(&source, times),
            RelayCommand::SendDigits(digits) => self.send_digits(&digits),
            RelayCommand::Language { spoken, understood } => self.language(spoken.as_deref(), understood.as_deref()),
            RelayCommand::End(handoff) => self.end(handoff),
        }
    }

    /// The person said something: what the assistant was saying is over.
    fn heard(&mut self, text: String) {
        self.silence();
        let at = self.core.now();
        self.spoken.push(Spoken { author: Author::Person, at, text, tool: None });
        self.make(Vec::new(), 0, None);
    }

    /// Stops the answer, and what of it has not been sent.
    fn silence(&mut self) {
        self.making = None;
        self.in_turn = false;
        self.queue.retain(|frame| !matches!(frame, Outgoing::Text { .. }));
    }

    /// Begins an answer.
    fn make(&mut self, tools: Vec<Turn>, rounds: u32, handoff: Option<Value>) {
        let surplus = self.spoken.len().saturating_sub(HISTORY);
        let mut turns: Vec<Turn> = self
            .spoken
            .iter()
            .skip(surplus)
            .filter(|spoken| spoken.tool.is_none())
            .map(|spoken| match spoken.author {
                Author::Person => Turn::Person(spoken.text.clone()),
                _ => Turn::Assistant(spoken.text.clone()),
            })
            .collect();
        turns.extend(tools.iter().cloned());
        match talk::dialogue(&self.call.active, &self.call.contact, Channel::Call, turns) {
            Ok(dialogue) => {
                let answer = ask(Arc::clone(&self.assistant), dialogue);
                self.making = Some(Making { answer, tools, calls: Vec::new(), rounds, said: false, handoff });
            }
            Err(error) => self.failed(&error),
        }
    }

    /// A frame goes out: only now it counts as said.
    fn sent(&mut self, frame: &Outgoing) {
        match frame {
            Outgoing::Text { token, last, .. } => {
                let goes_on =
                    self.in_turn && self.spoken.last().is_some_and(|spoken| spoken.author == Author::Assistant && spoken.tool.is_none());
                match self.spoken.last_mut().filter(|_| goes_on) {
                    Some(turn) => turn.text.push_str(token),
                    None if !token.is_empty() => {
                        self.spoken.push(Spoken { author: Author::Assistant, at: self.core.now(), text: token.clone(), tool: None });
                    }
                    None => {}
                }
                self.in_turn = !last;
            }
            Outgoing::End { .. } => self.ended = true,
            Outgoing::Play { .. } | Outgoing::SendDigits(_) | Outgoing::Language { .. } => {}
        }
    }

    fn asked_for(&mut self, call: ToolCall) {
        let tool = Tool::parse(&call.name);
        let Some(making) = &mut self.making else { return };
        making.calls.push((call.clone(), tool));
        let Some(tool) = tool else { return };
        match tool {
            Tool::EndCall | Tool::Transfer => {
                making.handoff =
                    Some(json!({ "reason": tool.name(), "arguments": call.arguments, "attempt": self.call.attempt.to_string() }));
            }
            Tool::OptOut => {
                let (core, held) = (Arc::clone(&self.core), Arc::clone(&self.call));
                let at = core.now();
                // In a task of its own: a WebSocket that closes now must not take it along.
                self.core.spawn(async move {
                    let left = inbound::optout::understood(&core, &held.key, &held.active.record, held.contact.id, &held.session, at).await;
                    if let Err(error) = left {
                        let message = format!("An opt-out on the telephone could not be stored: {}", error.message());
                        core.hub.send(held.active.id(), core.now(), EventKind::Error { code: "opt_out_lost".to_owned(), message });
                    }
                });
            }
            Tool::Book => {}
        }
        talk::announce(&self.core, &self.call.active, &self.call.contact, Channel::Call, tool);
        self.spoken.push(Spoken { author: Author::Assistant, at: self.core.now(), text: String::new(), tool: Some(call) });
        self.in_turn = false;
    }

    /// The answer is whole: tools get their results, or the turn is over.
    fn made(&mut self) {
        let Some(making) = self.making.take() else { return };
        self.failures = 0;
        let Making { mut tools, calls, rounds, said, handoff, .. } = making;
        let ends = calls.iter().any(|(_, tool)| *tool == Some(Tool::EndCall));
        if !calls.is_empty() && !said && !ends && rounds + 1 < ROUNDS {
            tools.extend(calls.iter().map(|(call, _)| Turn::Tool(call.clone())));
            tools.extend(calls.iter().map(|(call, tool)| talk::result_of(call, *tool)));
            self.make(tools, rounds + 1, handoff);
            return;
        }
        self.queue.push_back(Outgoing::Text { token: String::new(), last: true, language: None });
        if let Some(handoff) = handoff {
            self.queue.push_back(Outgoing::End { handoff });
        }
    }

    fn failed(&mut self, error: &Error) {
        self.making = None;
        self.failures += 1;
        let message = format!("The assistant did not answer on the telephone: {}", error.message());
        self.tell(EventKind::Error { code: "assistant".to_owned(), message });
        self.queue.push_back(Outgoing::Text { token: String::new(), last: true, language: None });
        if self.failures >= FAILURES {
            self.queue
                .push_back(Outgoing::End { handoff: json!({ "reason": "assistant_failed", "attempt": self.call.attempt.to_string() }) });
        }
    }

    fn tell(&self, kind: EventKind) {
        self.core.hub.send(self.call.active.id(), self.core.now(), kind);
    }
}

impl Drop for RelaySession {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let (core, call, spoken) = (Arc::clone(&self.core), Arc::clone(&self.call), std::mem::take(&mut self.spoken));
        self.core.spawn(async move {
            if let Err(error) = inbound::keep_spoken(&core, &call, &spoken).await {
                tracing::warn!(%error, attempt = %call.attempt, "what was said in a call was not kept");
            }
        });
    }
}

impl std::fmt::Debug for RelaySession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RelaySession").field("attempt", &self.call.attempt).field("turns", &self.spoken.len()).finish_non_exhaustive()
    }
}
