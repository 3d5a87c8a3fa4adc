//! The frames of a conversation relay: the carrier turns speech into text and text into speech, and we exchange JSON over a WebSocket.
//!
//! Twilio's ConversationRelay and Telnyx's offer of the same speak these frames. Only translation here; the conversation itself is
//! [`crate::engine::RelaySession`].

use crate::conversation::{Author, ToolCall};
use crate::redact::debug_without;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fmt;

/// The first frame: which call it is.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Setup {
    /// The carrier's id of the session.
    pub session_id: String,
    /// The carrier's id of the call.
    pub call_sid: String,
    /// Who calls.
    pub from: String,
    /// Who is called.
    pub to: String,
    /// `inbound`, or `outbound-api` and the like.
    pub direction: String,
    /// What our instructions for the call put in.
    pub custom_parameters: Map<String, Value>,
}

debug_without!(Setup { session_id, call_sid, direction } hides { from, to, custom_parameters });

impl Setup {
    /// One of our parameters.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.custom_parameters.get(name).and_then(Value::as_str)
    }
}

/// A frame from the carrier.
#[derive(Clone)]
pub enum Incoming {
    /// The first.
    Setup(Setup),
    /// The person said this.
    Prompt {
        /// What.
        text: String,
        /// Whether the sentence is over; otherwise a guess that the next frame replaces.
        last: bool,
    },
    /// The person began to speak while we did.
    Interrupt {
        /// What had been spoken of our text by then.
        said: String,
    },
    /// A key was pressed.
    Digit(String),
    /// The carrier reports an error.
    Error,
    /// Anything else, which is ignored.
    Other,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Setup(_) => "Setup(..)",
            Self::Prompt { .. } => "Prompt(..)",
            Self::Interrupt { .. } => "Interrupt(..)",
            Self::Digit(_) => "Digit(..)",
            Self::Error => "Error",
            Self::Other => "Other",
        })
    }
}

impl Incoming {
    /// Reads a frame. What is no frame of this protocol is [`Incoming::Other`]: carriers add kinds without notice.
    pub fn read(frame: &str) -> Self {
        let Ok(value) = serde_json::from_str::<Value>(frame) else { return Self::Other };
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        match value["type"].as_str() {
            Some("setup") => serde_json::from_value(value).map_or(Self::Other, Self::Setup),
            // Without the field it is whole.
            Some("prompt") => Self::Prompt { text: text("voicePrompt"), last: value["last"].as_bool().unwrap_or(true) },
            Some("interrupt") => Self::Interrupt { said: text("utteranceUntilInterrupt") },
            Some("dtmf") => Self::Digit(text("digit")),
            Some("error") => Self::Error,
            _ => Self::Other,
        }
    }
}

/// A frame to the carrier.
#[derive(Clone, PartialEq)]
pub enum Outgoing {
    /// To be spoken.
    Text {
        /// A word or less; spaces are part of it.
        token: String,
        /// Whether our turn is over.
        last: bool,
        /// In this language, when it is not the call's.
        language: Option<String>,
    },
    /// To be played.
    Play {
        /// Where the sound is.
        source: String,
        /// How often.
        times: u32,
    },
    /// Keys to be pressed.
    SendDigits(String),
    /// From now on in these languages.
    Language {
        /// Spoken.
        spoken: Option<String>,
        /// Understood.
        understood: Option<String>,
    },
    /// The session is over; the carrier goes on with our next instructions.
    End {
        /// For whoever gives them.
        handoff: Value,
    },
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text { .. } => "Text(..)",
            Self::Play { .. } => "Play(..)",
            Self::SendDigits(_) => "SendDigits(..)",
            Self::Language { .. } => "Language(..)",
            Self::End { .. } => "End(..)",
        })
    }
}

impl Outgoing {
    /// As the carrier reads it.
    pub fn to_json(&self) -> String {
        let mut frame = match self {
            Self::Text { token, last, language } => json!({ "type": "text", "token": token, "last": last, "lang": language }),
            Self::Play { source, times } => json!({ "type": "play", "source": source, "loop": times }),
            Self::SendDigits(digits) => json!({ "type": "sendDigits", "digits": digits }),
            Self::Language { spoken, understood } => {
                json!({ "type": "language", "ttsLanguage": spoken, "transcriptionLanguage": understood })
            }
            Self::End { handoff } => json!({ "type": "end", "handoffData": handoff.to_string() }),
        };
        if let Value::Object(fields) = &mut frame {
            fields.retain(|_, value| !value.is_null());
        }
        frame.to_string()
    }
}

/// Something that was said, or done, in a call.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Spoken {
    /// By whom.
    pub author: Author,
    /// When it began.
    pub at: Timestamp,
    /// What.
    pub text: String,
    /// What the assistant asked for; then there is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<ToolCall>,
}

debug_without!(Spoken { author, at, tool } hides { text });

/// What was heard of a text when the person interrupted after `said`, which is what the carrier had spoken by then.
pub fn heard(text: &str, said: &str) -> String {
    let said = said.trim();
    match text.find(said) {
        Some(index) => text[..index + said.len()].to_owned(),
        // The carrier spells some things as it speaks them ("5" as "five"): then its word is the nearest to the truth.
        None => said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_and_unknown_ones_ignored() {
        let setup = r#"{"type":"setup","sessionId":"VX1","callSid":"CA1","from":"+1","to":"+2","direction":"outbound-api","callType":"PSTN","customParameters":{"attempt":"7"},"new":1}"#;
        let Incoming::Setup(setup) = Incoming::read(setup) else { panic!("a setup") };
        assert_eq!((setup.parameter("attempt"), setup.session_id.as_str()), (Some("7"), "VX1"));
        assert!(matches!(
            Incoming::read(r#"{"type":"prompt","voicePrompt":"Hi","lang":"en-US","last":false}"#),
            Incoming::Prompt { last: false, .. }
        ));
        // The duration comes as a number or as a text.
        let interrupt = r#"{"type":"interrupt","utteranceUntilInterrupt":"We open","durationUntilInterruptMs":"460"}"#;
        assert!(matches!(Incoming::read(interrupt), Incoming::Interrupt { said } if said == "We open"));
        for frame in ["", "{", "[]", "{}", r#"{"type":"info","name":"agentSpeaking"}"#, r#"{"type":7}"#] {
            assert!(matches!(Incoming::read(frame), Incoming::Other), "{frame}");
        }
    }

    #[test]
    fn frames_are_written_as_the_carrier_reads_them() {
        let text = Outgoing::Text { token: "Hi ".to_owned(), last: false, language: None };
        assert_eq!(text.to_json(), r#"{"type":"text","token":"Hi ","last":false}"#);
        let end = Outgoing::End { handoff: json!({ "reason": "transfer" }) };
        assert_eq!(end.to_json(), r#"{"type":"end","handoffData":"{\"reason\":\"transfer\"}"}"#);
    }

    #[test]
    fn what_was_heard_is_what_was_spoken() {
        assert_eq!(heard("We open at nine. Do you want a table?", " at nine. "), "We open at nine.");
        assert_eq!(heard("We open at 9.", "We open at nine"), "We open at nine");
        assert_eq!(heard("We open at 9.", ""), "");
    }
}
