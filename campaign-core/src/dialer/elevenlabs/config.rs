//! Settings of an ElevenLabs account.

use crate::contact::Variables;
use crate::error::{Error, Result};
use crate::http::{HttpOptions, Reach, Secret, check_url};
use crate::redact::debug_without;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Where the account's data lives. Each region is an API of its own with keys of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Region {
    /// `api.elevenlabs.io`.
    #[default]
    Global,
    /// `api.us.elevenlabs.io`.
    Us,
    /// `api.eu.residency.elevenlabs.io`.
    Eu,
    /// `api.in.residency.elevenlabs.io`.
    In,
    /// `api.sg.residency.elevenlabs.io`.
    Sg,
}

impl Region {
    /// The address of the API.
    pub fn base_url(self) -> &'static str {
        match self {
            Self::Global => "https://api.elevenlabs.io",
            Self::Us => "https://api.us.elevenlabs.io",
            Self::Eu => "https://api.eu.residency.elevenlabs.io",
            Self::In => "https://api.in.residency.elevenlabs.io",
            Self::Sg => "https://api.sg.residency.elevenlabs.io",
        }
    }
}

/// Over which line an agent calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum CallVia {
    /// A Twilio number that was connected to the account.
    #[default]
    Twilio,
    /// A SIP trunk.
    SipTrunk,
    /// A WhatsApp call. The person is asked for permission by a template message first.
    #[serde(rename = "whatsapp")]
    WhatsApp,
}

/// Whether Twilio listens for answering machines, beside the agent itself. Twilio bills for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum MachineDetection {
    /// No: the agent's own `voicemail_detection` tool decides.
    #[default]
    Off,
    /// As soon as it is known.
    Enable,
    /// After the greeting.
    DetectMessageEnd,
}

/// A template that WhatsApp has approved.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhatsAppTemplate {
    /// Its name.
    pub name: String,
    /// Its language, for example `en_US`.
    pub language: String,
    /// What its placeholders are filled with, in order: `message` is the rendered text of the step, every other name a variable of the
    /// contact (or `name`, `email`, `company`). Default: `message` alone.
    #[serde(default = "message_alone")]
    pub parameters: Vec<String>,
}

fn message_alone() -> Vec<String> {
    vec!["message".to_owned()]
}

/// The WhatsApp sender.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhatsAppSettings {
    /// ElevenLabs' id of the WhatsApp number.
    pub phone_number_id: String,
    /// The template that asks whether we may call; needed for WhatsApp calls.
    #[serde(default)]
    pub permission_template: Option<WhatsAppTemplate>,
    /// The template of messages; needed for WhatsApp messages. ElevenLabs opens a conversation with a template only.
    #[serde(default)]
    pub message_template: Option<WhatsAppTemplate>,
}

/// Settings of an [`super::ElevenLabsDialer`] and of an [`super::ElevenLabsBatch`]. Every field but `api_key` has a default.
///
/// A campaign's `dialer_options` may name `agent_id`, `agent_phone_number_id`, `call_via`, `language`, `voice_id` and
/// `custom_llm_extra_body`, at the top or in an object `elevenlabs`, and go before what is set here.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ElevenLabsConfig {
    /// The key of the workspace.
    pub api_key: Secret,
    /// The region. Default [`Region::Global`].
    pub region: Region,
    /// The address of the API instead of the region's, for a proxy or a simulator.
    pub base_url: Option<String>,
    /// The agent that talks when nothing else names one.
    pub agent_id: Option<String>,
    /// The agent for each `assistant_id` of a campaign.
    pub agents: BTreeMap<i64, String>,
    /// The line that is called from when nothing else names one (`phnum_...`).
    pub agent_phone_number_id: Option<String>,
    /// The line for each caller id of a campaign, for example `+12025550100` to `phnum_...`.
    pub phone_numbers: BTreeMap<String, String>,
    /// Over which line agents call. Default [`CallVia::Twilio`].
    pub call_via: CallVia,
    /// The WhatsApp sender; without one there is no WhatsApp.
    pub whatsapp: Option<WhatsAppSettings>,
    /// `welcome_message` becomes the agent's first message. Default true. The agent must allow the override.
    pub override_first_message: bool,
    /// `system_prompt` and `agenda` become the agent's prompt. Default true. The agent must allow the override.
    pub override_prompt: bool,
    /// The campaign's `max_duration_seconds` becomes the agent's. Default false. The agent must allow the override.
    pub override_max_duration: bool,
    /// Twilio records the call. Default false.
    pub record: bool,
    /// Whether Twilio listens for machines in campaigns that detect voicemail. Default [`MachineDetection::Off`].
    pub machine_detection: MachineDetection,
    /// The secret of the webhook, and while it is being changed the old one too. Without one every callback is refused, and the ends of
    /// calls are learned by asking.
    pub webhook_secrets: Vec<Secret>,
    /// The end of the path at which callbacks arrive. Default `/elevenlabs`.
    pub callback_path: String,
    /// Seconds between two looks at a running call, 1 to 600. Default 5, or 30 when callbacks are taken.
    pub poll_seconds: Option<u32>,
    /// Seconds after which a conversation is certainly in the list of conversations. ElevenLabs does not state it. Default 30.
    pub lookup_lag_seconds: u32,
    /// The longest time of one request in seconds, 1 to 120. Default 15.
    pub request_timeout_seconds: u32,
    /// The name of the account that limits belong to. Default `elevenlabs`.
    pub account: String,
    /// Calls per second of the account. Default none.
    pub calls_per_second: Option<u32>,
    /// Calls at once that the plan allows. Default none.
    pub max_concurrent: Option<u32>,
    /// What one credit costs in the campaign's currency. Without it the price in US dollars is taken, where ElevenLabs names one.
    pub credit_price: Option<f64>,
}

debug_without!(ElevenLabsConfig {
    region, agent_id, agents, agent_phone_number_id, call_via, whatsapp, override_first_message, override_prompt, override_max_duration,
    record, machine_detection, callback_path, poll_seconds, lookup_lag_seconds, request_timeout_seconds, account, calls_per_second,
    max_concurrent, credit_price
} hides { api_key, base_url, phone_numbers, webhook_secrets });

impl Default for ElevenLabsConfig {
    fn default() -> Self {
        Self {
            api_key: Secret::default(),
            region: Region::Global,
            base_url: None,
            agent_id: None,
            agents: BTreeMap::new(),
            agent_phone_number_id: None,
            phone_numbers: BTreeMap::new(),
            call_via: CallVia::Twilio,
            whatsapp: None,
            override_first_message: true,
            override_prompt: true,
            override_max_duration: false,
            record: false,
            machine_detection: MachineDetection::Off,
            webhook_secrets: Vec::new(),
            callback_path: "/elevenlabs".to_owned(),
            poll_seconds: None,
            lookup_lag_seconds: 30,
            request_timeout_seconds: 15,
            account: "elevenlabs".to_owned(),
            calls_per_second: None,
            max_concurrent: None,
            credit_price: None,
        }
    }
}

impl ElevenLabsConfig {
    /// Says what is wrong with it.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`], with the field.
    pub fn validate(&self) -> Result<()> {
        if self.api_key.is_empty() || !self.api_key.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::invalid("api_key", "must be the key of the workspace, without spaces"));
        }
        check_url(&self.base(), Reach::Anywhere).map_err(|error| Error::invalid("base_url", error.message()))?;
        if self.poll_seconds.is_some_and(|seconds| !(1..=600).contains(&seconds)) {
            return Err(Error::invalid("poll_seconds", "must be 1 to 600"));
        }
        if !(1..=120).contains(&self.request_timeout_seconds) {
            return Err(Error::invalid("request_timeout_seconds", "must be 1 to 120"));
        }
        if self.calls_per_second == Some(0) || self.max_concurrent == Some(0) {
            return Err(Error::invalid("calls_per_second", "limits must be at least 1; leave them out for none"));
        }
        if !self.callback_path.starts_with('/') || self.callback_path.len() < 2 {
            return Err(Error::invalid("callback_path", "must begin with / and name something"));
        }
        if self.webhook_secrets.iter().any(Secret::is_empty) {
            return Err(Error::invalid("webhook_secrets", "must not be empty texts"));
        }
        if self.credit_price.is_some_and(|price| !(0.0..1e6).contains(&price)) {
            return Err(Error::invalid("credit_price", "must be a price of at least 0"));
        }
        let asks = self.whatsapp.as_ref().is_some_and(|whatsapp| whatsapp.permission_template.is_some());
        if self.call_via == CallVia::WhatsApp && !asks {
            return Err(Error::invalid("whatsapp.permission_template", "is needed for WhatsApp calls"));
        }
        Ok(())
    }

    /// The address of the API, without a slash at the end.
    pub(super) fn base(&self) -> String {
        self.base_url.as_deref().unwrap_or(self.region.base_url()).trim_end_matches('/').to_owned()
    }

    pub(super) fn http(&self) -> HttpOptions {
        // A long call's transcript is more than the usual answer.
        HttpOptions { timeout: self.request_time(), max_answer: 16 << 20, ..HttpOptions::default() }
    }

    pub(super) fn request_time(&self) -> Duration {
        Duration::from_secs(self.request_timeout_seconds.into())
    }

    pub(super) fn poll(&self) -> Duration {
        let default = if self.webhook_secrets.is_empty() { 5 } else { 30 };
        Duration::from_secs(self.poll_seconds.unwrap_or(default).into())
    }
}

/// An option of a campaign: in its object `elevenlabs`, or at the top.
pub(super) fn option<'a>(options: &'a Variables, name: &str) -> Option<&'a Value> {
    let own = options.get("elevenlabs").and_then(|own| own.get(name));
    own.or_else(|| options.get(name)).filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> ElevenLabsConfig {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn settings_come_from_json_and_show_no_secret() {
        let config = read(json!({
            "api_key": "xi-secret", "region": "eu", "agents": {"7": "agent_x"}, "call_via": "whatsapp", "webhook_secrets": ["wsec_secret"],
            "whatsapp": {"phone_number_id": "wa1", "permission_template": {"name": "may_we", "language": "es"}},
        }));
        config.validate().unwrap();
        assert_eq!(config.base(), "https://api.eu.residency.elevenlabs.io");
        assert_eq!((config.agents[&7].as_str(), config.call_via), ("agent_x", CallVia::WhatsApp));
        assert_eq!(config.poll(), Duration::from_secs(30));
        assert!(!format!("{config:?}").contains("secret\""), "{config:?}");
        assert!(!format!("{config:?}").contains("xi-"), "{config:?}");
        assert!(serde_json::from_value::<ElevenLabsConfig>(json!({"api_kee": "x"})).is_err());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (config, field) in [
            (json!({}), "api_key"),
            (json!({"api_key": "a b"}), "api_key"),
            (json!({"api_key": "k", "base_url": "ftp://x"}), "base_url"),
            (json!({"api_key": "k", "poll_seconds": 0}), "poll_seconds"),
            (json!({"api_key": "k", "request_timeout_seconds": 0}), "request_timeout_seconds"),
            (json!({"api_key": "k", "max_concurrent": 0}), "calls_per_second"),
            (json!({"api_key": "k", "callback_path": "x"}), "callback_path"),
            (json!({"api_key": "k", "webhook_secrets": [""]}), "webhook_secrets"),
            (json!({"api_key": "k", "credit_price": -1.0}), "credit_price"),
            (json!({"api_key": "k", "call_via": "whatsapp"}), "whatsapp.permission_template"),
        ] {
            let error = read(config).validate().unwrap_err();
            assert!(error.context().contains(&("field", field.to_owned())), "{error}");
        }
    }
}
