//! What ElevenLabs is asked to do for an attempt.

use super::config::{CallVia, ElevenLabsConfig, MachineDetection, WhatsAppTemplate, option};
use crate::contact::{NewContact, Variables};
use crate::dialer::{DialError, DialRequest};
use crate::error::Error;
use crate::outcome::Channel;
use serde_json::{Map, Value, json};

/// The variable that carries the attempt's key, beside `user_id`: callbacks bring it back.
pub(super) const KEY: &str = "campaign_attempt";
/// The variable that carries the attempt's channel: a callback says nothing of a message that it was one.
pub(super) const CHANNEL: &str = "campaign_channel";
/// Names that begin like this are ElevenLabs' own, and refused in a request.
const RESERVED: &str = "system__";

/// A request that hands over.
#[derive(Debug)]
pub(super) struct Placement {
    pub(super) path: &'static str,
    pub(super) body: Value,
}

/// The request for an attempt.
pub(super) fn placement(config: &ElevenLabsConfig, request: &DialRequest) -> Result<Placement, DialError> {
    let agent =
        agent(config, request).ok_or_else(|| missing("agent_id", "no agent is named, neither by the campaign nor by the account"))?;
    let data = client_data(config, request);
    match request.channel {
        Channel::Call => call(config, request, &agent, data),
        Channel::WhatsApp => message(config, request, &agent, data),
        Channel::Sms => Err(missing("channel", "ElevenLabs sends no SMS; route this channel to another dialer")),
    }
}

/// Certainly not placed; the campaign or the account has to be put right.
fn missing(field: &'static str, message: &str) -> DialError {
    DialError::Transient(Error::invalid(field, message))
}

fn call(config: &ElevenLabsConfig, request: &DialRequest, agent: &str, data: Value) -> Result<Placement, DialError> {
    let via = match option(&request.options, "call_via") {
        Some(via) => serde_json::from_value(via.clone()).map_err(|_| missing("call_via", "must be twilio, sip_trunk or whatsapp"))?,
        None => config.call_via,
    };
    let path = match via {
        CallVia::Twilio => "/v1/convai/twilio/outbound-call",
        CallVia::SipTrunk => "/v1/convai/sip-trunk/outbound-call",
        CallVia::WhatsApp => return whatsapp_call(config, request, agent, data),
    };
    let line = line(config, request).ok_or_else(|| missing("agent_phone_number_id", "no line is named for this caller id"))?;
    let mut telephony = json!({ "ringing_timeout_secs": request.ring_timeout.as_secs() });
    let mut body = json!({
        "agent_id": agent,
        "agent_phone_number_id": line,
        "to_number": request.to.as_str(),
        "conversation_initiation_client_data": data,
    });
    if via == CallVia::Twilio {
        body["call_recording_enabled"] = config.record.into();
        if let Some(detection) = machine_detection(config, request) {
            telephony["twilio_machine_detection"] = detection;
        }
    }
    body["telephony_call_config"] = telephony;
    Ok(Placement { path, body })
}

/// Where no message is to be left, Twilio may hang up as soon as it hears a machine.
fn machine_detection(config: &ElevenLabsConfig, request: &DialRequest) -> Option<Value> {
    let mode = match config.machine_detection {
        MachineDetection::Off => return None,
        MachineDetection::Enable => "enable",
        MachineDetection::DetectMessageEnd => "detect_message_end",
    };
    if !request.voicemail.enable_voicemail_detection {
        return None;
    }
    let machines = ["machine_start", "machine_end_beep", "machine_end_silence", "machine_end_other", "fax"];
    let actions = if request.voicemail.leave_voicemail { json!([]) } else { json!([{ "action": "hang_up", "answered_by": machines }]) };
    Some(json!({ "mode": mode, "actions": actions }))
}

fn whatsapp_call(config: &ElevenLabsConfig, request: &DialRequest, agent: &str, data: Value) -> Result<Placement, DialError> {
    let whatsapp = config.whatsapp.as_ref().ok_or_else(|| missing("whatsapp", "no WhatsApp sender is set"))?;
    let template = whatsapp
        .permission_template
        .as_ref()
        .ok_or_else(|| missing("whatsapp.permission_template", "no template asks for the permission to call"))?;
    let body = json!({
        "whatsapp_phone_number_id": whatsapp.phone_number_id,
        "whatsapp_user_id": user_id(request),
        "whatsapp_call_permission_request_template_name": template.name,
        "whatsapp_call_permission_request_template_language_code": template.language,
        "agent_id": agent,
        "conversation_initiation_client_data": data,
    });
    Ok(Placement { path: "/v1/convai/whatsapp/outbound-call", body })
}

fn message(config: &ElevenLabsConfig, request: &DialRequest, agent: &str, data: Value) -> Result<Placement, DialError> {
    let whatsapp = config.whatsapp.as_ref().ok_or_else(|| missing("whatsapp", "no WhatsApp sender is set"))?;
    let named = option(&request.options, "message_template").map(|template| serde_json::from_value::<WhatsAppTemplate>(template.clone()));
    let named = named.transpose().map_err(|_| missing("message_template", "needs name and language"))?;
    let template = named
        .as_ref()
        .or(whatsapp.message_template.as_ref())
        .ok_or_else(|| missing("whatsapp.message_template", "no template is set; ElevenLabs opens a conversation with a template only"))?;
    let mut parameters = Vec::new();
    for name in &template.parameters {
        let text = parameter(request, name).filter(|text| !text.is_empty()).ok_or_else(|| {
            DialError::Permanent(Error::invalid("whatsapp.message_template", "a placeholder has no value for this contact"))
        })?;
        parameters.push(json!({ "type": "text", "text": text }));
    }
    let components = if parameters.is_empty() { json!([]) } else { json!([{ "type": "body", "parameters": parameters }]) };
    let body = json!({
        "whatsapp_phone_number_id": whatsapp.phone_number_id,
        "whatsapp_user_id": user_id(request),
        "template_name": template.name,
        "template_language_code": template.language,
        "template_params": components,
        "agent_id": agent,
        "conversation_initiation_client_data": data,
    });
    Ok(Placement { path: "/v1/convai/whatsapp/outbound-message", body })
}

/// WhatsApp's id of a person is the number without its plus sign.
fn user_id(request: &DialRequest) -> &str {
    request.to.as_str().trim_start_matches('+')
}

fn parameter(request: &DialRequest, name: &str) -> Option<String> {
    let person = &request.variables;
    match name {
        "name" => person.name.clone(),
        "email" => person.email.clone(),
        "company" => person.company.clone(),
        _ => request.texts.get(name).cloned().or_else(|| person.variables.get(name).and_then(plain).map(|value| text_of(&value))),
    }
}

/// The agent: the campaign's option, the agent of its assistant, the account's default.
fn agent(config: &ElevenLabsConfig, request: &DialRequest) -> Option<String> {
    let named = option(&request.options, "agent_id").and_then(Value::as_str).map(str::to_owned);
    named.or_else(|| request.assistant_id.and_then(|id| config.agents.get(&id).cloned())).or_else(|| config.agent_id.clone())
}

/// The line: the one of the reserved caller id, the campaign's option, the account's default.
fn line(config: &ElevenLabsConfig, request: &DialRequest) -> Option<String> {
    if let Some(from) = request.from.as_deref() {
        if let Some(line) = config.phone_numbers.get(from) {
            return Some(line.clone());
        }
        if from.starts_with("phnum_") {
            return Some(from.to_owned());
        }
        if !config.phone_numbers.is_empty() {
            // Caller ids have limits of their own: another line than the reserved one would break them.
            return None;
        }
    }
    let named = option(&request.options, "agent_phone_number_id").and_then(Value::as_str).map(str::to_owned);
    named.or_else(|| config.agent_phone_number_id.clone())
}

/// What the agent is told about the person, and what is changed about the agent for this call.
fn client_data(config: &ElevenLabsConfig, request: &DialRequest) -> Value {
    let mut data = json!({ "user_id": &*request.key, "dynamic_variables": dynamic_variables(request) });
    let overrides = overrides(config, request);
    if !overrides.is_empty() {
        data["conversation_config_override"] = Value::Object(overrides);
    }
    if let Some(body @ Value::Object(_)) = option(&request.options, "custom_llm_extra_body") {
        data["custom_llm_extra_body"] = body.clone();
    }
    data
}

fn dynamic_variables(request: &DialRequest) -> Variables {
    let mut variables = person_variables(&request.variables);
    let mut put = |name: &str, value: Value| {
        if !variables.contains_key(name) {
            variables.insert(name.to_owned(), value);
        }
    };
    put("campaign_name", (&*request.campaign_name).into());
    put("attempt_number", request.attempt_number.into());
    // Prompts of agents refer to rendered templates by name, for example `{{agenda}}` or, in the voicemail tool, `{{voicemail_message}}`.
    for (name, text) in &request.texts {
        if !name.starts_with(RESERVED) {
            put(name, text.as_str().into());
        }
    }
    variables.insert(KEY.to_owned(), (&*request.key).into());
    variables.insert(CHANNEL.to_owned(), request.channel.as_str().into());
    variables
}

/// The variables of a contact, in the forms that ElevenLabs takes: texts, numbers and booleans, under names that are not its own.
pub(super) fn person_variables(person: &NewContact) -> Variables {
    let mut variables = Variables::new();
    for (name, value) in [("name", &person.name), ("email", &person.email), ("company", &person.company)] {
        if let Some(value) = value {
            variables.insert(name.to_owned(), value.as_str().into());
        }
    }
    for (name, value) in &person.variables {
        if let Some(value) = plain(value).filter(|_| !name.starts_with(RESERVED)) {
            variables.insert(name.clone(), value);
        }
    }
    variables
}

fn plain(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(_) | Value::Number(_) | Value::Bool(_) => Some(value.clone()),
        Value::Array(_) | Value::Object(_) => Some(value.to_string().into()),
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn overrides(config: &ElevenLabsConfig, request: &DialRequest) -> Map<String, Value> {
    let mut agent = Map::new();
    let text = |names: [&str; 2]| names.into_iter().find_map(|name| request.texts.get(name)).filter(|text| !text.trim().is_empty());
    if request.channel == Channel::Call
        && config.override_first_message
        && let Some(first) = text(["welcome_message", "first_message"])
    {
        agent.insert("first_message".to_owned(), first.as_str().into());
    }
    if config.override_prompt {
        let parts: Vec<&str> =
            [text(["system_prompt", "prompt"]), text(["agenda", "agenda"])].into_iter().flatten().map(String::as_str).collect();
        if !parts.is_empty() {
            agent.insert("prompt".to_owned(), json!({ "prompt": parts.join("\n\n") }));
        }
    }
    if let Some(language) = option(&request.options, "language").and_then(Value::as_str) {
        agent.insert("language".to_owned(), language.into());
    }
    let mut overrides = Map::new();
    if !agent.is_empty() {
        overrides.insert("agent".to_owned(), Value::Object(agent));
    }
    if let Some(voice) = option(&request.options, "voice_id").and_then(Value::as_str) {
        overrides.insert("tts".to_owned(), json!({ "voice_id": voice }));
    }
    if config.override_max_duration && request.channel == Channel::Call {
        overrides.insert("conversation".to_owned(), json!({ "max_duration_seconds": request.max_duration.as_secs() }));
    }
    overrides
}

#[cfg(test)]
mod tests;
