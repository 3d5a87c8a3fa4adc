//! What is said on a call, in TwiML.

use super::TwilioDialer;
use super::options::{Options, Relay, attribute};
use super::twiml::{LONGEST, Twiml};
use crate::dialer::DialRequest;
use crate::error::{Error, Kind, Result};
use crate::id::AttemptId;
use crate::phone::PhoneNumber;
use serde_json::Value;

/// Templates that open a call; the first that there is.
const WELCOMES: &[&str] = &["welcome_message", "first_message", "message"];
/// What is said before the line is closed.
const FAREWELL: &str = "end_call_message";

/// What a call is told to do.
pub(super) enum Instructions {
    /// What is at this URL.
    Url(String),
    /// This.
    Twiml(String),
}

impl TwilioDialer {
    /// Instructions for a call that is to be placed.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when there is nothing to say, or too much.
    pub(super) fn instructions(&self, request: &DialRequest, options: &Options) -> Result<Instructions> {
        if let Some(url) = &options.url {
            return Ok(Instructions::Url(url.clone()));
        }
        let welcome = WELCOMES.iter().find_map(|name| request.texts.get(*name)).map(String::as_str).filter(|text| !text.trim().is_empty());
        let relay = match &options.relay {
            Some(Relay::Switch(on)) => *on,
            Some(Relay::Attributes(_)) => true,
            None => request.assistant_id.is_some() && options.play.is_none(),
        };
        let twiml = if relay {
            let end = self.callback_url("relay-end", Some(("attempt", request.attempt_id)));
            self.relay(options, welcome.unwrap_or_default(), request.attempt_id, end, &[("key", &request.key), ("direction", "outbound")])?
        } else {
            let mut twiml = Twiml::new();
            match (&options.play, welcome) {
                (Some(url), _) => {
                    twiml.text("Play", &[], url);
                }
                (None, Some(text)) => self.say(&mut twiml, options, text),
                (None, None) => {
                    return Err(Error::invalid(
                        "templates",
                        "a call needs something to say: write the template welcome_message, or set the option play, url or relay",
                    ));
                }
            }
            if let Some(text) = request.texts.get(FAREWELL).filter(|text| !text.trim().is_empty()) {
                self.say(&mut twiml, options, text);
            }
            twiml.empty("Hangup", &[]);
            twiml.finish()
        };
        short_enough(twiml).map(Instructions::Twiml)
    }

    /// What is left on a machine; `None` when nothing is to be.
    pub(super) fn voicemail(&self, request: &DialRequest, options: &Options) -> Result<Option<String>> {
        let message = request.voicemail.voicemail_message.as_deref().filter(|text| !text.trim().is_empty());
        if !request.voicemail.leave_voicemail {
            return Ok(None);
        }
        let mut twiml = Twiml::new();
        match (&options.voicemail_play, message) {
            (Some(url), _) => {
                twiml.text("Play", &[], url);
            }
            (None, Some(text)) => self.say(&mut twiml, options, text),
            (None, None) => return Ok(None),
        }
        twiml.empty("Hangup", &[]);
        short_enough(twiml.finish()).map(Some)
    }

    /// A connection to the assistant. `end` is asked what follows when it is over.
    pub(super) fn relay(
        &self,
        options: &Options,
        welcome: &str,
        attempt: AttemptId,
        end: Option<String>,
        parameters: &[(&str, &str)],
    ) -> Result<String> {
        let none = std::collections::BTreeMap::new();
        let attributes = match &options.relay {
            Some(Relay::Attributes(attributes)) => attributes,
            _ => &none,
        };
        let named = |name: &str| attributes.get(name).and_then(attribute);
        let url = named("url").or_else(|| self.relay_url()).ok_or_else(|| {
            Error::invalid("relay_url", "the assistant needs a WebSocket: set relay_url, or public_base_url with the server behind it")
        })?;
        let language = named("language").or_else(|| options.language.clone()).unwrap_or_else(|| self.config.language.clone());
        let voice = named("voice").or_else(|| options.voice.clone()).or_else(|| self.config.voice.clone());
        let mut all: Vec<(&str, Option<String>)> = vec![
            ("url", Some(url)),
            ("welcomeGreeting", Some(welcome.to_owned()).filter(|text| !text.is_empty())),
            ("language", Some(language)),
            ("voice", voice),
        ];
        for (name, value) in attributes {
            if !["url", "welcomeGreeting", "language", "voice", "parameters", "languages"].contains(&name.as_str()) {
                all.push((name, attribute(value)));
            }
        }
        let all: Vec<(&str, Option<&str>)> = all.iter().map(|(name, value)| (*name, value.as_deref())).collect();
        let mut twiml = Twiml::new();
        twiml.open("Connect", &[("action", end.as_deref())]).open("ConversationRelay", &all);
        for language in attributes.get("languages").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object) {
            let owned: Vec<(&str, Option<String>)> = language.iter().map(|(name, value)| (name.as_str(), attribute(value))).collect();
            let shown: Vec<(&str, Option<&str>)> = owned.iter().map(|(name, value)| (*name, value.as_deref())).collect();
            twiml.empty("Language", &shown);
        }
        let attempt = attempt.to_string();
        let mut give = |name: &str, value: &str| {
            twiml.empty("Parameter", &[("name", Some(name)), ("value", Some(value))]);
        };
        give("attempt", &attempt);
        parameters.iter().for_each(|(name, value)| give(name, value));
        for (name, value) in attributes.get("parameters").and_then(Value::as_object).into_iter().flatten() {
            if let Some(value) = attribute(value).filter(|_| name != "attempt" && parameters.iter().all(|(taken, _)| taken != name)) {
                give(name, &value);
            }
        }
        Ok(twiml.finish())
    }

    /// A call is put through.
    pub(super) fn forward(&self, to: &PhoneNumber, caller_id: Option<&str>) -> String {
        let mut twiml = Twiml::new();
        twiml.open("Dial", &[("callerId", caller_id)]).text("Number", &[], to.as_str());
        twiml.finish()
    }

    /// Something is said, and the line is closed. Without a text the call is refused.
    pub(super) fn say_and_close(&self, text: &str) -> String {
        let mut twiml = Twiml::new();
        if text.trim().is_empty() {
            twiml.empty("Reject", &[]);
        } else {
            self.say(&mut twiml, &Options::default(), text);
            twiml.empty("Hangup", &[]);
        }
        twiml.finish()
    }

    fn say(&self, twiml: &mut Twiml, options: &Options, text: &str) {
        let language = options.language.as_deref().unwrap_or(&self.config.language);
        let voice = options.voice.as_deref().or(self.config.voice.as_deref());
        twiml.text("Say", &[("language", Some(language)), ("voice", voice)], text);
    }
}

fn short_enough(twiml: String) -> Result<String> {
    if twiml.chars().count() > LONGEST {
        return Err(Error::new(
            Kind::Invalid,
            format!(
                "the instructions of the call are longer than {LONGEST} characters; shorten the templates, or set the option url or play"
            ),
        ));
    }
    Ok(twiml)
}
