//! What a campaign sets for this dialer in its `dialer_options`.

use super::config::without_values;
use super::twiml::is_name;
use crate::campaign::TemplateSyntax;
use crate::contact::Variables;
use crate::dialer::DialRequest;
use crate::error::{Error, Kind, Result};
use crate::redact::debug_without;
use crate::template::{CampaignValues, TemplateInput, compile};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Options of a campaign. What is not named here is left to others.
#[derive(Clone, Deserialize, Default)]
#[serde(default)]
pub(super) struct Options {
    /// The language texts are spoken in.
    pub(super) language: Option<String>,
    /// The voice that speaks.
    pub(super) voice: Option<String>,
    /// Instructions for the call come from here instead.
    pub(super) url: Option<String>,
    /// A recording that is played instead of the welcome.
    pub(super) play: Option<String>,
    /// A recording that is left on machines instead of the text.
    pub(super) voicemail_play: Option<String>,
    /// The assistant talks over `<ConversationRelay>`: `true`, `false`, or an object with its attributes. Default: when the campaign has an
    /// assistant.
    pub(super) relay: Option<Relay>,
    /// Record the call.
    pub(super) record: bool,
    /// `mono` or `dual`.
    pub(super) recording_channels: Option<String>,
    /// Digits to dial once the call is answered.
    pub(super) send_digits: Option<String>,
    /// Seconds in which a machine is to be detected, 3 to 59.
    pub(super) machine_detection_timeout: Option<u32>,
    /// Milliseconds of speech after which it is a machine, 1000 to 6000.
    pub(super) machine_detection_speech_threshold: Option<u32>,
    /// Milliseconds of silence after speech that end a greeting, 500 to 5000.
    pub(super) machine_detection_speech_end_threshold: Option<u32>,
    /// Milliseconds of silence at first after which it is unknown, 2000 to 10000.
    pub(super) machine_detection_silence_timeout: Option<u32>,
    /// Why we call, shown on some phones.
    pub(super) call_reason: Option<String>,
    /// A trunk of one's own, `BY...`.
    pub(super) byoc: Option<String>,
    /// Addresses of up to ten pictures and the like.
    pub(super) media_url: Media,
    /// Seconds a message may wait at most; 1 to 36000.
    pub(super) validity_period: Option<u32>,
    /// Replace characters that would turn the whole text into UCS-2.
    pub(super) smart_encoded: Option<bool>,
    /// Shorten links, with a messaging service that has a domain for it.
    pub(super) shorten_urls: Option<bool>,
    /// The approved WhatsApp template, `HX...`.
    pub(super) content_sid: Option<String>,
    /// Its variables; in single braces, the contact's variables and the rendered `{message}`.
    pub(super) content_variables: Map<String, Value>,
}

debug_without!(Options {
    record, machine_detection_timeout, machine_detection_speech_threshold, machine_detection_speech_end_threshold,
    machine_detection_silence_timeout, validity_period, smart_encoded, shorten_urls
} hides {
    language, voice, url, play, voicemail_play, relay, recording_channels, send_digits, call_reason, byoc, media_url, content_sid,
    content_variables
});

#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Relay {
    Switch(bool),
    Attributes(BTreeMap<String, Value>),
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Media {
    One(String),
    Many(Vec<String>),
}

impl Default for Media {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Media {
    pub(super) fn all(&self) -> &[String] {
        match self {
            Self::One(url) => std::slice::from_ref(url),
            Self::Many(urls) => urls,
        }
    }
}

impl Options {
    /// # Errors
    /// [`Kind::Invalid`] with what is wrong, without the value.
    pub(super) fn read(options: &Variables) -> Result<Self> {
        let invalid = |message: String| Error::new(Kind::Invalid, format!("the campaign's dialer_options are not valid: {message}"));
        let read: Self =
            serde_json::from_value(Value::Object(options.clone())).map_err(|error| invalid(without_values(&error.to_string())))?;
        if let Some(Relay::Attributes(attributes)) = &read.relay {
            for (name, value) in attributes {
                let fits = match name.as_str() {
                    "parameters" => value.is_object(),
                    "languages" => value.as_array().is_some_and(|languages| languages.iter().all(is_flat)),
                    _ => is_name(name) && attribute(value).is_some(),
                };
                if !fits {
                    return Err(invalid("relay has an attribute that is none".to_owned()));
                }
            }
        }
        Ok(read)
    }

    /// The variables of the WhatsApp template, filled in for a contact, as the JSON text that Twilio wants.
    ///
    /// # Errors
    /// [`Kind::Template`] when a value names a variable that nobody knows.
    pub(super) fn content_variables(&self, request: &DialRequest) -> Result<Option<String>> {
        if self.content_variables.is_empty() {
            return Ok(None);
        }
        let values = CampaignValues::default();
        let mut extra = Variables::new();
        extra.insert("attempt_number".to_owned(), request.attempt_number.into());
        extra.insert("campaign_name".to_owned(), (*request.campaign_name).into());
        for (name, text) in &request.texts {
            extra.insert((**name).to_owned(), text.as_str().into());
        }
        let mut filled = Map::new();
        for (name, source) in &self.content_variables {
            let text = match source {
                Value::String(source) => compile("content_variables", source, TemplateSyntax::Brace)?
                    .render(TemplateInput::new(&values).contact(&request.variables).values(&extra))?,
                other => other.to_string(),
            };
            filled.insert(name.clone(), text.into());
        }
        Ok(Some(Value::Object(filled).to_string()))
    }
}

/// An object whose values can all be attributes.
fn is_flat(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.iter().all(|(name, value)| is_name(name) && attribute(value).is_some()))
}

/// A value as an attribute.
pub(super) fn attribute(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}
