//! Who answers people: text in, a stream of text and of things to be done out.
//!
//! [`Assistant`] is what a model or a bot implements. [`ScriptedAssistant`] says what a test tells it; `OpenAiAssistant` (feature
//! `openai`) speaks with any service that has OpenAI's chat completions. `docs/assistant.md` walks through all of it.
//!
//! | file | what is in it |
//! |---|---|
//! | `scripted` | an assistant for tests |
//! | `openai` | streaming chat completions |
//! | `relay` | the frames of a carrier's conversation relay: speech in as text, text out as speech |

#[cfg(feature = "openai")]
mod openai;
pub mod relay;
mod scripted;

#[cfg(feature = "openai")]
pub use openai::{OpenAiAssistant, OpenAiOptions};
pub use scripted::{Line, ScriptedAssistant};

use crate::contact::{NewContact, Variables};
use crate::conversation::ToolCall;
use crate::error::Result;
use crate::id::{CampaignId, ContactId};
use crate::outcome::Channel;
use crate::redact::debug_without;
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde_json::{Value, json};
use std::sync::Arc;

/// What the assistant may ask for besides saying something. The engine carries it out, or tells watchers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tool {
    /// The person wants to be left alone: the engine suppresses the number.
    OptOut,
    /// A human being takes over.
    Transfer,
    /// The call is over.
    EndCall,
    /// An appointment or the like is wanted.
    Book,
}

impl Tool {
    /// All of them.
    pub const ALL: [Tool; 4] = [Self::OptOut, Self::Transfer, Self::EndCall, Self::Book];

    /// Those that make sense on a channel.
    pub fn of(channel: Channel) -> Vec<Self> {
        Self::ALL.into_iter().filter(|tool| channel == Channel::Call || *tool != Self::EndCall).collect()
    }

    /// Its name, for example `opt_out`.
    pub fn name(self) -> &'static str {
        match self {
            Self::OptOut => "opt_out",
            Self::Transfer => "transfer",
            Self::EndCall => "end_call",
            Self::Book => "book",
        }
    }

    /// The tool with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }

    /// When to use it, for a model.
    pub fn description(self) -> &'static str {
        match self {
            Self::OptOut => {
                "The person asks, in whatever words, not to be contacted any more. Use it at once, before anything else is said."
            }
            Self::Transfer => "The person wants to speak with a human being, or asks for something that you cannot do.",
            Self::EndCall => "The conversation has come to its end. Say goodbye first.",
            Self::Book => "The person wants an appointment, a reservation or a call back. Give everything they said about it.",
        }
    }

    /// Its arguments as a JSON Schema.
    pub fn parameters(self) -> Value {
        let (properties, required) = match self {
            Self::OptOut => (json!({}), json!([])),
            Self::Transfer => (json!({ "reason": { "type": "string", "description": "Why, in one sentence." } }), json!(["reason"])),
            Self::EndCall => (json!({ "reason": { "type": "string", "description": "How it ended, in one sentence." } }), json!([])),
            Self::Book => (
                json!({
                    "what": { "type": "string", "description": "What is wanted." },
                    "when": { "type": "string", "description": "Day and time as the person said, or as ISO 8601 when they are certain." },
                    "notes": { "type": "string", "description": "Anything else." },
                }),
                json!(["what"]),
            ),
        };
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
    }

    /// What the assistant is told after it was used.
    pub fn result(self) -> &'static str {
        match self {
            Self::OptOut => "Done: the person is not contacted any more. Say nothing but goodbye.",
            Self::Transfer => "Done: a colleague takes over. Say so in one short sentence.",
            Self::EndCall => "Done.",
            Self::Book => "Noted: a colleague confirms it. Say so in one short sentence, and promise nothing more.",
        }
    }
}

/// One turn of a dialogue.
#[derive(Clone, PartialEq)]
pub enum Turn {
    /// The person said or wrote this.
    Person(String),
    /// We said or wrote this.
    Assistant(String),
    /// The assistant asked for this.
    Tool(ToolCall),
    /// What came of it.
    Result {
        /// The id of the call.
        id: String,
        /// For the assistant to read.
        text: String,
    },
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Person(_) => "Person(..)",
            Self::Assistant(_) => "Assistant(..)",
            Self::Tool(_) => "Tool(..)",
            Self::Result { .. } => "Result(..)",
        })
    }
}

/// Everything an assistant needs for its next turn; nothing must be looked up.
#[derive(Clone)]
pub struct Dialogue {
    /// How the person is spoken with.
    pub channel: Channel,
    /// In the name of which campaign.
    pub campaign_id: CampaignId,
    /// Its name.
    pub campaign_name: Arc<str>,
    /// Which contact.
    pub contact_id: ContactId,
    /// Who it is: name, company, variables.
    pub person: Arc<NewContact>,
    /// The campaign's `system_prompt`, rendered; a sentence of the engine when there is none.
    pub system_prompt: String,
    /// The campaign's `agenda`, rendered.
    pub agenda: Option<String>,
    /// What was said so far, oldest first.
    pub turns: Vec<Turn>,
    /// What may be asked for.
    pub tools: Vec<Tool>,
    /// The answer is cut to so many characters; `None`: it is not.
    pub max_characters: Option<usize>,
    /// Options of the campaign for dialers and assistants.
    pub options: Arc<Variables>,
}

debug_without!(Dialogue {
    channel, campaign_id, campaign_name, contact_id, turns, tools, max_characters
} hides { person, system_prompt, agenda, options });

impl Dialogue {
    /// Prompt, agenda and the rules of the channel as one text: what a model gets as its system message.
    pub fn instructions(&self) -> String {
        let mut text = self.system_prompt.trim().to_owned();
        if let Some(agenda) = self.agenda.as_deref().map(str::trim).filter(|agenda| !agenda.is_empty()) {
            text.push_str("\n\nWhat this is about:\n");
            text.push_str(agenda);
        }
        text.push_str(match self.channel {
            Channel::Call => "\n\nYou are on the phone: everything you write is spoken. Use short sentences, no lists and no markup.",
            Channel::Sms => "\n\nYou write text messages. Use plain text without markup.",
            Channel::WhatsApp => "\n\nYou write WhatsApp messages. Use plain text without markup.",
        });
        if let Some(most) = self.max_characters {
            text.push_str(&format!(" Answer in at most {most} characters."));
        }
        text
    }
}

/// A piece of an answer.
#[derive(Clone, PartialEq)]
pub enum Piece {
    /// The next bit of text, a word or less; spaces are part of it.
    Text(String),
    /// Something to be done.
    Tool(ToolCall),
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(..)"),
            Self::Tool(call) => f.debug_tuple("Tool").field(call).finish(),
        }
    }
}

/// An answer as it is made. Dropping it stops making it.
pub type Answer = BoxStream<'static, Result<Piece>>;

/// Answers people.
///
/// # Contract
///
/// **Once.** One call makes one turn. What it was told is all in the [`Dialogue`]; it need not remember anything.
///
/// **Cancellation.** The future and the stream may be dropped at any moment (the person speaks, the call ends); the assistant then
/// stops working on it.
///
/// **Errors.** An error ends the turn, and nothing of it is sent as a message. The engine tries again or tells watchers; it never loses what
/// the person wrote. A panic counts as an error.
#[async_trait]
pub trait Assistant: Send + Sync + 'static {
    /// Begins the next turn.
    ///
    /// # Errors
    /// When the assistant cannot be reached or refuses.
    async fn answer(&self, dialogue: Dialogue) -> Result<Answer>;
}

/// Asks an assistant; what is user code cannot bring anything down.
pub(crate) fn ask(assistant: Arc<dyn Assistant>, dialogue: Dialogue) -> Answer {
    use futures_util::{FutureExt, StreamExt};
    use std::panic::AssertUnwindSafe;
    let panicked = || crate::Error::new(crate::Kind::User, "the assistant panicked");
    let opened = async move {
        let opened = AssertUnwindSafe(async { assistant.answer(dialogue).await }).catch_unwind().await;
        match opened.unwrap_or_else(|_| Err(panicked())) {
            Ok(answer) => AssertUnwindSafe(answer).catch_unwind().map(move |piece| piece.unwrap_or_else(|_| Err(panicked()))).boxed(),
            Err(error) => futures_util::stream::iter([Err(error)]).boxed(),
        }
    };
    opened.flatten_stream().boxed()
}
