//! What a conversation says about its attempt. One form: the answer of `GET /v1/convai/conversations/{id}` and the `data` of the webhook
//! `post_call_transcription` are the same.

use super::request::{CHANNEL, KEY};
use crate::id::Money;
use crate::outcome::{Channel, Disposition, Outcome};
use serde_json::{Map, Value};

/// How far a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It rings, or waits for a line.
    Initiated,
    /// They talk.
    Talking,
    /// They have talked; ElevenLabs writes it up.
    Processing,
    /// Done, or failed.
    Ended,
}

/// In [`Outcome::data`]: nobody said that the attempt ended like this, it was concluded. Whoever says it later is right.
pub(super) const PRESUMED: &str = "presumed";
/// In [`Outcome::data`]: what Twilio's machine detection heard.
pub(super) const ANSWERED_BY: &str = "answered_by";
/// In [`Outcome::data`]: everything else that ElevenLabs says about the conversation.
pub(super) const CONVERSATION: &str = "conversation";
/// In [`Outcome::data`]: the report of a call that did not come about.
pub(super) const FAILURE: &str = "initiation_failure";

pub(super) fn stage(conversation: &Value) -> Stage {
    match conversation["status"].as_str() {
        Some("in-progress") => Stage::Talking,
        Some("processing") => Stage::Processing,
        Some("done" | "failed") => Stage::Ended,
        _ => Stage::Initiated,
    }
}

/// The id of a conversation.
pub(super) fn id(conversation: &Value) -> Option<&str> {
    conversation["conversation_id"].as_str().filter(|id| !id.is_empty())
}

/// The key of the attempt that a conversation belongs to, when we gave it one.
pub(super) fn key(conversation: &Value) -> Option<&str> {
    let data = &conversation["conversation_initiation_client_data"];
    [&data["dynamic_variables"][KEY], &data["user_id"], &conversation["user_id"]]
        .into_iter()
        .find_map(Value::as_str)
        .filter(|key| !key.is_empty())
}

/// Whether it was begun by a message.
pub(super) fn is_message(conversation: &Value) -> bool {
    let channel = &conversation["conversation_initiation_client_data"]["dynamic_variables"][CHANNEL];
    channel.as_str().and_then(Channel::parse).is_some_and(|channel| channel != Channel::Call)
}

/// How it ended. Also of a conversation that goes on, whose end is not waited for any longer.
pub(super) fn outcome(conversation: &Value, credit_price: Option<f64>) -> Outcome {
    let metadata = &conversation["metadata"];
    let seconds = metadata["call_duration_secs"].as_f64().filter(|seconds| *seconds >= 0.0).unwrap_or(0.0);
    let mut outcome = Outcome::new(if is_message(conversation) { Disposition::Sent } else { disposition(conversation, seconds) });
    if outcome.disposition != Disposition::Sent {
        outcome.duration_seconds = if reached(outcome.disposition) { seconds as u32 } else { 0 };
    }
    outcome.provider_ref = id(conversation).map(str::to_owned);
    outcome.cost = cost(metadata, credit_price);
    outcome.detail = detail(conversation, outcome.disposition);
    fill(&mut outcome.data, conversation);
    if outcome.disposition == Disposition::Voicemail {
        outcome.data.insert("voicemail_left".to_owned(), voicemail_message(conversation).into());
    }
    outcome
}

fn reached(disposition: Disposition) -> bool {
    matches!(disposition, Disposition::Answered | Disposition::Voicemail)
}

/// The carrier's word first, unless the agent found out that it was talking to a machine, which the carrier cannot know.
fn disposition(conversation: &Value, seconds: f64) -> Disposition {
    let metadata = &conversation["metadata"];
    let ended_by = metadata["termination_reason"].as_str().unwrap_or_default().to_lowercase();
    if voicemail_tool(conversation).is_some() || ended_by.contains("voicemail") {
        return Disposition::Voicemail;
    }
    match [&metadata["phone_call"]["call_result"], &metadata["whatsapp"]["call_result"]].into_iter().find_map(Value::as_str) {
        Some("answered") => Disposition::Answered,
        Some("voicemail") => Disposition::Voicemail,
        Some("busy") => Disposition::Busy,
        Some("no_answer") => Disposition::NoAnswer,
        Some("failed") => Disposition::Failed,
        _ if conversation["status"] == "failed" && seconds == 0.0 => Disposition::Failed,
        // Older lines name no result: who talked has picked up.
        _ if seconds > 0.0 || talked(conversation) => Disposition::Answered,
        _ => Disposition::NoAnswer,
    }
}

fn turns(conversation: &Value) -> impl Iterator<Item = &Value> {
    conversation["transcript"].as_array().into_iter().flatten()
}

fn talked(conversation: &Value) -> bool {
    turns(conversation).any(|turn| turn["message"].as_str().is_some_and(|message| !message.is_empty()))
}

/// The result of the tool `voicemail_detection`, or its call where results are not kept.
fn voicemail_tool(conversation: &Value) -> Option<&Value> {
    let of = |turn: &'_ Value, list: &str| -> Vec<Value> { turn[list].as_array().cloned().unwrap_or_default() };
    let is_tool = |tool: &Value| tool["tool_name"] == "voicemail_detection";
    let refused = turns(conversation).flat_map(|turn| of(turn, "tool_results")).any(|tool| is_tool(&tool) && tool["is_error"] == true);
    if refused {
        return None;
    }
    let results = turns(conversation).filter_map(|turn| turn["tool_results"].as_array()).flatten();
    let calls = turns(conversation).filter_map(|turn| turn["tool_calls"].as_array()).flatten();
    results.chain(calls).find(|tool| is_tool(tool))
}

/// Whether a message was left. The tool says which; without its word none is presumed.
fn voicemail_message(conversation: &Value) -> bool {
    let Some(tool) = voicemail_tool(conversation) else { return false };
    if tool["result"]["voicemail_message"].as_str().is_some_and(|message| !message.is_empty()) {
        return true;
    }
    let value: Option<Value> = tool["result_value"].as_str().and_then(|text| serde_json::from_str(text).ok());
    value.is_some_and(|value| value["voicemail_message"].as_str().is_some_and(|message| !message.is_empty()))
}

fn cost(metadata: &Value, credit_price: Option<f64>) -> Option<Money> {
    let units = match credit_price {
        Some(price) => metadata["cost"].as_f64()? * price,
        None => metadata["cost_fiat"].as_f64()?,
    };
    (units.is_finite() && units >= 0.0).then(|| Money::from_units(units))
}

/// One sentence of our own: ElevenLabs' reasons are free texts.
fn detail(conversation: &Value, disposition: Disposition) -> Option<String> {
    let code = conversation["metadata"]["error"]["code"].as_i64();
    match (disposition, code) {
        (Disposition::Failed, Some(code)) => Some(format!("The conversation failed with code {code}.")),
        (Disposition::Failed, None) => Some("The conversation failed.".to_owned()),
        _ => None,
    }
}

/// Keeps what ElevenLabs says, the usual parts under names of their own.
fn fill(data: &mut Map<String, Value>, conversation: &Value) {
    let Some(conversation) = conversation.as_object() else { return };
    let mut rest = conversation.clone();
    // What we sent ourselves.
    rest.remove("conversation_initiation_client_data");
    if let Some(transcript) = rest.remove("transcript").filter(|transcript| transcript.as_array().is_some_and(|turns| !turns.is_empty())) {
        data.insert("transcript".to_owned(), transcript);
    }
    let analysis = &conversation.get("analysis").cloned().unwrap_or_default();
    for (name, value) in [("summary", &analysis["transcript_summary"]), ("success", &analysis["call_successful"])] {
        if !value.is_null() {
            data.insert(name.to_owned(), value.clone());
        }
    }
    data.insert(CONVERSATION.to_owned(), Value::Object(rest));
}

/// The outcome of a call that did not come about, from the webhook `call_initiation_failure`.
pub(super) fn initiation_failure(data: &Value) -> Outcome {
    let body = &data["metadata"]["body"];
    let disposition = match data["failure_reason"].as_str() {
        Some("busy") => Disposition::Busy,
        Some("no-answer") => Disposition::NoAnswer,
        _ => by_carrier(body),
    };
    let mut outcome = Outcome::new(disposition);
    outcome.provider_ref = id(data).map(str::to_owned);
    if disposition == Disposition::Failed {
        let sip = sip_code(body);
        outcome.detail = Some(
            sip.map_or_else(|| "The call could not be begun.".to_owned(), |code| format!("The call could not be begun (SIP {code}).")),
        );
    }
    outcome.data.insert(FAILURE.to_owned(), data.clone());
    outcome
}

fn sip_code(body: &Value) -> Option<u64> {
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
    number(&body["sip_status_code"]).or_else(|| number(&body["SipResponseCode"]))
}

/// Where ElevenLabs has no word of its own the carrier's body is read: Twilio's `CallStatus`, a trunk's SIP status.
fn by_carrier(body: &Value) -> Disposition {
    match body["CallStatus"].as_str() {
        Some("busy") => return Disposition::Busy,
        Some("no-answer") => return Disposition::NoAnswer,
        Some("canceled") => return Disposition::Cancelled,
        _ => {}
    }
    match sip_code(body) {
        Some(486 | 600) => Disposition::Busy,
        Some(408 | 480 | 487) => Disposition::NoAnswer,
        Some(403 | 603 | 607 | 608) => Disposition::Rejected,
        Some(404 | 410 | 484 | 604) => Disposition::Undeliverable,
        _ => Disposition::Failed,
    }
}

/// What Twilio's machine detection heard, from the webhook `answering_machine_detection`. Its form is not published; the verdict is looked
/// for under the names that Twilio and ElevenLabs use elsewhere.
pub(super) fn verdict(data: &Value) -> Option<&str> {
    let places = [data, &data["metadata"], &data["metadata"]["body"], &data["result"]];
    places.into_iter().find_map(|place| place["answered_by"].as_str().or_else(|| place["AnsweredBy"].as_str()))
}

/// Puts a verdict into an outcome: who was answered by a machine was not answered by a person.
pub(super) fn hear(outcome: &mut Outcome, verdict: &str) {
    outcome.data.insert(ANSWERED_BY.to_owned(), verdict.into());
    if outcome.disposition == Disposition::Answered && (verdict.starts_with("machine") || verdict == "fax") {
        outcome.disposition = Disposition::Voicemail;
        outcome.data.entry("voicemail_left").or_insert(Value::Bool(false));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn conversation(status: &str, seconds: i64, more: Value) -> Value {
        let mut all = json!({ "conversation_id": "conv_1", "agent_id": "a", "status": status, "transcript": [], "metadata": { "call_duration_secs": seconds } });
        for (name, value) in more.as_object().unwrap() {
            match value {
                Value::Object(inner) if name == "metadata" => all["metadata"].as_object_mut().unwrap().extend(inner.clone()),
                _ => all[name] = value.clone(),
            }
        }
        all
    }

    #[test]
    fn every_ending_is_read() {
        let result = |result: &str| json!({ "metadata": { "phone_call": { "type": "twilio", "call_result": result } } });
        let said = json!({ "transcript": [{ "role": "agent", "message": "Hi" }] });
        let tool = |is_error: bool| json!({ "transcript": [{ "role": "agent", "message": null, "tool_calls": [{ "tool_name": "voicemail_detection" }], "tool_results": [{ "tool_name": "voicemail_detection", "is_error": is_error }] }] });
        for (status, seconds, more, expected) in [
            ("done", 20, result("answered"), Disposition::Answered),
            ("done", 20, result("voicemail"), Disposition::Voicemail),
            ("done", 0, result("busy"), Disposition::Busy),
            ("done", 0, result("no_answer"), Disposition::NoAnswer),
            ("failed", 0, result("failed"), Disposition::Failed),
            ("failed", 0, json!({}), Disposition::Failed),
            ("failed", 12, json!({}), Disposition::Answered),
            ("done", 20, json!({}), Disposition::Answered),
            ("done", 0, said, Disposition::Answered),
            ("done", 0, json!({}), Disposition::NoAnswer),
            ("done", 20, json!({ "metadata": { "termination_reason": "Voicemail detected" } }), Disposition::Voicemail),
            ("done", 20, tool(false), Disposition::Voicemail),
            ("done", 20, tool(true), Disposition::Answered),
            ("done", 0, json!({ "metadata": { "whatsapp": { "call_result": "no_answer" } } }), Disposition::NoAnswer),
        ] {
            let read = outcome(&conversation(status, seconds, more.clone()), None);
            assert_eq!(read.disposition, expected, "{status} {seconds} {more}");
            assert_eq!(read.duration_seconds > 0, seconds > 0 && reached(expected), "{status} {seconds} {more}");
        }
    }

    #[test]
    fn transcript_price_and_success_are_kept() {
        let full = conversation(
            "done",
            31,
            json!({
                "transcript": [{ "role": "user", "message": "Hello", "time_in_call_secs": 1 }],
                "analysis": { "call_successful": "success", "transcript_summary": "They spoke.", "new_field": 1 },
                "metadata": { "cost": 400, "cost_fiat": 0.11, "termination_reason": "end_call" },
                "conversation_initiation_client_data": { "user_id": "k" }, "brand_new": true,
            }),
        );
        let read = outcome(&full, None);
        assert_eq!((read.cost, read.provider_ref.as_deref()), (Some(Money::from_units(0.11)), Some("conv_1")));
        assert_eq!((&read.data["summary"], &read.data["success"]), (&json!("They spoke."), &json!("success")));
        assert_eq!(read.data["transcript"][0]["message"], "Hello");
        assert_eq!(read.data[CONVERSATION]["brand_new"], true, "unknown fields are kept");
        assert!(read.data[CONVERSATION].get("transcript").is_none());
        assert_eq!(outcome(&full, Some(0.001)).cost, Some(Money::from_units(0.4)));
        assert_eq!(outcome(&conversation("done", 1, json!({})), None).cost, None);
    }

    #[test]
    fn a_message_left_is_known_from_the_tool() {
        let left = |result: Value| {
            let results = json!([{ "tool_name": "voicemail_detection", "is_error": false, "result": result }]);
            outcome(&conversation("done", 9, json!({ "transcript": [{ "role": "agent", "tool_results": results }] })), None).data["voicemail_left"].clone()
        };
        assert_eq!(left(json!({ "status": "success", "voicemail_message": "Call us." })), true);
        assert_eq!(left(json!({ "status": "success", "reason": "greeting" })), false);
    }

    #[test]
    fn a_message_stays_a_message() {
        let data = json!({ "dynamic_variables": { "campaign_channel": "whatsapp", "campaign_attempt": "s-4" } });
        let chat = conversation("done", 300, json!({ "conversation_initiation_client_data": data }));
        let read = outcome(&chat, None);
        assert_eq!((read.disposition, read.duration_seconds, key(&chat)), (Disposition::Sent, 0, Some("s-4")));
    }

    #[test]
    fn calls_that_did_not_come_about_are_read() {
        for (data, expected) in [
            (json!({ "failure_reason": "busy" }), Disposition::Busy),
            (json!({ "failure_reason": "no-answer" }), Disposition::NoAnswer),
            (json!({ "failure_reason": "unknown" }), Disposition::Failed),
            (json!({ "failure_reason": "unknown", "metadata": { "type": "twilio", "body": { "CallStatus": "busy" } } }), Disposition::Busy),
            (
                json!({ "failure_reason": "unknown", "metadata": { "type": "twilio", "body": { "CallStatus": "failed", "SipResponseCode": "404" } } }),
                Disposition::Undeliverable,
            ),
            (json!({ "failure_reason": "unknown", "metadata": { "type": "sip", "body": { "sip_status_code": 486 } } }), Disposition::Busy),
            (
                json!({ "failure_reason": "unknown", "metadata": { "type": "sip", "body": { "sip_status_code": 480 } } }),
                Disposition::NoAnswer,
            ),
            (
                json!({ "failure_reason": "unknown", "metadata": { "type": "sip", "body": { "sip_status_code": 603 } } }),
                Disposition::Rejected,
            ),
            (
                json!({ "failure_reason": "unknown", "metadata": { "type": "sip", "body": { "sip_status_code": 500 } } }),
                Disposition::Failed,
            ),
            (
                json!({ "failure_reason": "unknown", "metadata": { "type": "twilio", "body": { "CallStatus": "canceled" } } }),
                Disposition::Cancelled,
            ),
        ] {
            assert_eq!(initiation_failure(&data).disposition, expected, "{data}");
        }
        let read = initiation_failure(&json!({ "conversation_id": "conv_7", "failure_reason": "new-word", "more": 1 }));
        assert_eq!((read.disposition, read.provider_ref.as_deref()), (Disposition::Failed, Some("conv_7")));
        assert_eq!(read.data[FAILURE]["more"], 1);
    }

    #[test]
    fn a_machine_is_not_a_person() {
        for (heard, expected) in
            [("human", Disposition::Answered), ("machine_end_beep", Disposition::Voicemail), ("unknown", Disposition::Answered)]
        {
            let mut read = Outcome::answered(3);
            hear(&mut read, heard);
            assert_eq!(read.disposition, expected, "{heard}");
        }
        assert_eq!(verdict(&json!({ "metadata": { "body": { "AnsweredBy": "fax" } } })), Some("fax"));
        assert_eq!(verdict(&json!({ "answered_by": "human" })), Some("human"));
        assert_eq!(verdict(&json!({})), None);
    }
}
