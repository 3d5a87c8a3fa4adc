//! What a campaign does when people answer back.

use crate::phone::PhoneNumber;
use crate::redact::debug_without;
use serde::{Deserialize, Serialize};

/// What opting out covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum OptOutScope {
    /// Every campaign (of the organisation, when the campaign has one).
    #[default]
    Everything,
    /// The campaign that the person answered.
    Campaign,
}

/// What happens to people who call back.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum ReturnedCalls {
    /// They hear `end_call_message`, or nothing when there is none, and the line is closed.
    #[default]
    Decline,
    /// The assistant talks to them.
    Assistant,
    /// They are put through to this number.
    Forward(PhoneNumber),
}

impl std::fmt::Debug for ReturnedCalls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Decline => "Decline",
            Self::Assistant => "Assistant",
            Self::Forward(_) => "Forward(..)",
        })
    }
}

/// What a campaign does when people answer back. Mixed campaigns branch on a reply with [`super::Condition::replied`] as well.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct ReplySettings {
    /// The assistant answers messages. Default false: they are stored and told to watchers, and nobody answers by itself.
    pub assistant: bool,
    /// What opting out covers. Default: every campaign.
    pub opt_out_scope: OptOutScope,
    /// The confirmation of an opt-out, at most 320 characters. Default: a sentence of the engine. Empty: none.
    pub opt_out_confirmation: Option<String>,
    /// The answer to HELP, at most 320 characters. Default: the campaign's name and how to opt out. Empty: none.
    pub help_message: Option<String>,
    /// Calls that are returned. Default: declined.
    pub returned_calls: ReturnedCalls,
}

debug_without!(ReplySettings { assistant, opt_out_scope, returned_calls } hides { opt_out_confirmation, help_message });
