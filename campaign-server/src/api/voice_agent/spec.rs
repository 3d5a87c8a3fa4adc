//! From a body of this API to a spec.

use crate::api::owned;
use crate::api::request::{given, literal, wrong};
use crate::api::single::sender;
use crate::error::{Fault, FieldFault};
use crate::state::AppState;
use campaign_core::campaign::{CallerId, CampaignSpec, CampaignType, ReturnedCalls, TemplateSyntax};
use campaign_core::schedule::Schedule;
use campaign_core::wire::Object;
use jiff::Timestamp;
use serde_json::{Value, json};

/// The key of the metadata that is this API's own.
pub(super) const KEY: &str = owned::KEYS[2];
/// The kinds of campaigns.
pub(super) const TYPES: &[&str] = &["voice", "sms", "whatsapp"];
/// Contacts that are reached at once: the documents' batch.
const AT_ONCE: u32 = 10;
/// Starts a minute: a batch every five seconds.
const PER_MINUTE: u32 = 120;
/// What WhatsApp's numbers begin with on Twilio.
const WHATSAPP: &str = "whatsapp:";
/// The template that is sent: as this API writes names, and as Twilio's libraries do.
pub(super) const CONTENT_SID: [&str; 2] = ["contentSid", "content_sid"];
/// Its variables.
pub(super) const CONTENT_VARIABLES: [&str; 2] = ["contentVariables", "content_variables"];
/// The longest name of a campaign, in characters.
const NAME: usize = 200;
/// The longest text, in bytes.
const TEXT: usize = 64 * 1024;

/// What a campaign of this API was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A campaign.
    Campaign,
    /// A single message.
    Message,
    /// A single call.
    Call,
    /// Calls at a time.
    Scheduled,
}

impl Purpose {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Campaign => "campaign",
            Self::Message => "message",
            Self::Call => "call",
            Self::Scheduled => "scheduled",
        }
    }
}

/// What a campaign says of itself.
pub(super) struct Given<'a> {
    pub(super) purpose: Purpose,
    pub(super) name: &'a str,
    /// One of [`TYPES`].
    pub(super) kind: &'a str,
    /// `fromNumber`, `promptId`, `messageBody`, and whatever else comes with them.
    pub(super) config: Object,
    pub(super) organization: Option<i64>,
    /// Where the body has what is in `config`.
    pub(super) places: &'static Places,
}

/// Where a body has what its campaign is made from: names, with a dot between the parts of a path.
pub(super) struct Places {
    /// The number or sender.
    pub(super) from: &'static str,
    /// The text.
    pub(super) text: &'static str,
    /// What stands in front of the other names.
    pub(super) before: &'static str,
}

/// Of a campaign.
pub(super) const IN_CONFIG: &Places = &Places { from: "config.fromNumber", text: "config.messageBody", before: "config." };
/// Of a single message or call.
pub(super) const SINGLE: &Places = &Places { from: "from", text: "body", before: "" };
/// Of calls at a time.
pub(super) const SCHEDULED: &Places = &Places { from: "fromPhoneNumber", text: "messageBody", before: "" };

/// What the server that makes a campaign has.
#[derive(Clone, Copy)]
pub(super) struct Here<'a> {
    /// The country whose national numbers are understood.
    pub(super) region: Option<&'a str>,
    /// Whether somebody answers people.
    pub(super) assistant: bool,
}

impl<'a> Here<'a> {
    pub(super) fn of(state: &'a AppState) -> Self {
        Self { region: state.options().default_region.as_deref(), assistant: state.engine().assistant().is_some() }
    }
}

/// A part of the body that is not acceptable, by its path.
fn at(path: &str, message: impl Into<String>) -> Fault {
    let loc = std::iter::once("body").chain(path.split('.')).map(Value::from).collect();
    Fault::fields(vec![FieldFault { loc, message: message.into(), code: "value_error" }])
}

/// The spec of a campaign.
///
/// # Errors
/// 422 for a message without a text, and for what is no sender, too long, or no template.
pub(super) fn make(campaign: Given<'_>, here: Here<'_>) -> Result<CampaignSpec, Fault> {
    let Given { purpose, name, kind, config, organization, places } = campaign;
    if name.chars().count() > NAME {
        return Err(wrong("body", "name", format!("must have 1 to {NAME} characters")));
    }
    let mut spec = CampaignSpec { name: name.to_owned(), organization, template_syntax: TemplateSyntax::Brace, ..CampaignSpec::default() };
    spec.campaign_type = match kind {
        "sms" => CampaignType::Sms,
        "whatsapp" => CampaignType::WhatsApp,
        _ => CampaignType::Call,
    };
    spec.max_attempts = 1;
    spec.concurrent_limit = Some(AT_ONCE);
    spec.rate_limit_per_minute = Some(PER_MINUTE);
    if let Some(number) = from(&config, kind, here.region).map_err(|message| at(places.from, message))? {
        spec.caller_ids = vec![CallerId { number, concurrent_limit: None, rate_limit_per_minute: None, calls_per_day: None }];
    }
    // The text goes out as it is.
    let text = given(&config, "messageBody").map(literal);
    for (text, place) in [(text.as_deref(), places.text.to_owned()), (given(&config, "context"), format!("{}context", places.before))] {
        if text.is_some_and(|text| text.len() > TEXT) {
            return Err(at(&place, "must be at most 64 KiB"));
        }
    }
    let talks = spec.campaign_type != CampaignType::Call || text.is_none();
    if spec.campaign_type == CampaignType::Call {
        voice(&mut spec, &config, text);
    } else {
        let text = text.ok_or_else(|| wrong("body", "config", "needs a messageBody"))?;
        spec.templates.insert("sms_message".to_owned(), text);
        approved(&mut spec, &config, places)?;
    }
    if let Some(context) = given(&config, "context") {
        spec.templates.insert("system_prompt".to_owned(), literal(context));
    }
    if talks && here.assistant {
        spec.replies.assistant = true;
        spec.replies.returned_calls = ReturnedCalls::Assistant;
    }
    let memory = json!({ "purpose": purpose.as_str(), "type": kind, "config": config });
    if let Value::Object(memory) = memory {
        owned::remember(&mut spec, KEY, memory);
    }
    Ok(spec)
}

/// A call with a text says it; one without is the assistant's, who is told which prompt to follow and what this call is about.
fn voice(spec: &mut CampaignSpec, config: &Object, text: Option<String>) {
    spec.voicemail.enable_voicemail_detection = true;
    let mut parameters = Object::new();
    for (field, option) in [("promptId", "prompt_id"), ("context", "context")] {
        if let Some(value) = config.get(field).filter(|value| !value.is_null()) {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            spec.dialer_options.insert(option.to_owned(), value.clone().into());
            parameters.insert(field.to_owned(), value.into());
        }
    }
    match text {
        Some(text) => {
            // A machine hears it after the beep.
            spec.voicemail.leave_voicemail = true;
            spec.templates.insert("voicemail_message".to_owned(), text.clone());
            spec.templates.insert("welcome_message".to_owned(), text);
        }
        None => {
            let relay = if parameters.is_empty() { json!(true) } else { json!({ "parameters": parameters }) };
            spec.dialer_options.insert("relay".to_owned(), relay);
        }
    }
}

/// The template that WhatsApp needs where the person has not written for 24 hours, and its variables.
fn approved(spec: &mut CampaignSpec, config: &Object, places: &Places) -> Result<(), Fault> {
    let found = |names: [&'static str; 2]| {
        let there = |name: &&'static str| config.get(*name).is_some_and(|value| !value.is_null());
        names.into_iter().find(there).map(|name| (format!("{}{name}", places.before), &config[name]))
    };
    let content = found(CONTENT_SID);
    if let Some((place, sid)) = &content {
        let is_sid =
            |text: &&str| text.strip_prefix("HX").is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_hexdigit()));
        let sid = sid.as_str().map(str::trim).filter(is_sid).ok_or_else(|| at(place, "must be the id of a template, HX and 32 digits"))?;
        spec.dialer_options.insert("content_sid".to_owned(), sid.into());
    }
    if let Some((place, given)) = found(CONTENT_VARIABLES) {
        if content.is_none() {
            return Err(at(&place, "needs a contentSid"));
        }
        // As Twilio takes them: an object, or the text of one.
        let read = given.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
        let variables = read
            .as_ref()
            .unwrap_or(given)
            .as_object()
            .filter(|variables| variables.values().all(|value| value.is_string() || value.is_number() || value.is_boolean()));
        let variables = variables.ok_or_else(|| at(&place, "must be an object of texts, numbers and booleans"))?;
        spec.dialer_options.insert("content_variables".to_owned(), variables.clone().into());
    }
    Ok(())
}

/// The number or sender that a campaign uses, if it names one.
///
/// # Errors
/// What it must be; without the value.
fn from(config: &Object, kind: &str, region: Option<&str>) -> Result<Option<String>, &'static str> {
    match config.get("fromNumber") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => sender(bare(text), kind, region).map(Some),
        Some(_) => Err("must be a text, a phone number such as +12125550100"),
    }
}

/// A start in the future, at a moment or a local time of UTC.
///
/// # Errors
/// 400 when it cannot be read, or has passed.
pub(super) fn start(text: &str, now: Timestamp) -> Result<Schedule, Fault> {
    let schedule = Schedule::once_local(text, "UTC").and_then(|schedule| schedule.validate(now).map(|()| schedule));
    schedule.map_err(|error| Fault::refused(error.message()))
}

/// What this campaign was made for.
pub(super) fn is_for(spec: &CampaignSpec, purpose: Purpose) -> bool {
    owned::remembered(spec, KEY, "purpose").is_some_and(|known| known == purpose.as_str())
}

/// Whether it was deleted: it is kept, and not shown any more.
pub(super) fn is_deleted(spec: &CampaignSpec) -> bool {
    owned::remembered(spec, KEY, "deleted").is_some_and(|deleted| *deleted == true)
}

/// A number as it came in, without what WhatsApp puts in front.
pub(super) fn bare(number: &str) -> &str {
    number.trim().trim_start_matches(WHATSAPP)
}

/// Whether a number is one of WhatsApp's.
pub(super) fn is_whatsapp(number: &str) -> bool {
    number.trim().starts_with(WHATSAPP)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Here<'static> = Here { region: Some("US"), assistant: false };

    fn made_here(kind: &str, config: Value, here: Here<'_>) -> Result<CampaignSpec, Fault> {
        let config = config.as_object().unwrap().clone();
        make(Given { purpose: Purpose::Campaign, name: "n", kind, config, organization: Some(2), places: IN_CONFIG }, here)
    }

    fn made(kind: &str, config: Value) -> Result<CampaignSpec, Fault> {
        made_here(kind, config, HERE)
    }

    #[test]
    fn senders_are_checked() {
        let error = made("sms", json!({"fromNumber": "+12", "messageBody": "Hi"})).unwrap_err();
        assert_eq!(error.fields[0].loc, ["body", "config", "fromNumber"]);
        assert!(made("voice", json!({"fromNumber": 12_125_550_123_i64})).is_err());
    }

    #[test]
    fn templates_of_whatsapp_are_handed_to_the_dialer() {
        let sid = "HX0123456789abcdef0123456789abcdef";
        for config in [
            json!({"messageBody": "Hi", "contentSid": sid, "contentVariables": {"1": "{name}", "2": 7}}),
            json!({"messageBody": "Hi", "content_sid": sid, "content_variables": r#"{"1": "{name}", "2": 7}"#}),
        ] {
            let spec = made("whatsapp", config).unwrap();
            assert_eq!(
                (&spec.dialer_options["content_sid"], &spec.dialer_options["content_variables"]),
                (&json!(sid), &json!({"1": "{name}", "2": 7}))
            );
        }
        for (config, field) in [
            (json!({"messageBody": "Hi", "contentSid": "HX1"}), "contentSid"),
            (json!({"messageBody": "Hi", "content_sid": 7}), "content_sid"),
            (json!({"messageBody": "Hi", "contentVariables": {"1": "x"}}), "contentVariables"),
            (json!({"messageBody": "Hi", "contentSid": sid, "contentVariables": ["x"]}), "contentVariables"),
            (json!({"messageBody": "Hi", "contentSid": sid, "contentVariables": {"1": {}}}), "contentVariables"),
        ] {
            assert_eq!(made("whatsapp", config).unwrap_err().fields[0].loc, ["body", "config", field]);
        }
    }

    #[test]
    fn an_assistant_answers_where_campaigns_talk() {
        let here = Here { assistant: true, ..HERE };
        for (kind, config, talks) in [
            ("sms", json!({"messageBody": "Hi", "context": "Mornings only."}), true),
            ("whatsapp", json!({"messageBody": "Hi"}), true),
            ("voice", json!({"promptId": "p1"}), true),
            ("voice", json!({"messageBody": "Hi"}), false),
        ] {
            let spec = made_here(kind, config.clone(), here).unwrap();
            assert_eq!((spec.replies.assistant, spec.replies.returned_calls == ReturnedCalls::Assistant), (talks, talks), "{config}");
            assert_eq!(spec.templates.contains_key("system_prompt"), config["context"].is_string());
            assert!(!made(kind, config).unwrap().replies.assistant);
        }
    }

    #[test]
    fn messages_go_out_as_they_are() {
        let spec = made("sms", json!({"fromNumber": "+12125550123", "messageBody": "50 % {off} {{today}}"})).unwrap();
        spec.validate().unwrap();
        assert_eq!(spec.templates["sms_message"], "50 % {{off}} {{{{today}}}}");
        assert_eq!((spec.caller_ids[0].number.as_str(), spec.max_attempts, spec.organization), ("+12125550123", 1, Some(2)));
        assert_eq!(made("whatsapp", json!({"fromNumber": "whatsapp:+12125550123"})).unwrap_err().fields[0].loc[1], "config");
    }

    #[test]
    fn calls_say_a_text_or_are_the_assistants() {
        let spec = made("voice", json!({"promptId": "p1"})).unwrap();
        spec.validate().unwrap();
        assert_eq!(spec.dialer_options["relay"], json!({"parameters": {"promptId": "p1"}}));
        assert_eq!(made("voice", json!({})).unwrap().dialer_options["relay"], true);
        let spec = made("voice", json!({"messageBody": "Hi"})).unwrap();
        spec.validate().unwrap();
        assert!(spec.templates.contains_key("welcome_message") && !spec.dialer_options.contains_key("relay"));
        assert!(spec.voicemail.leave_voicemail && spec.templates["voicemail_message"] == "Hi");
    }
}
