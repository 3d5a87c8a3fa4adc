use super::*;
use crate::campaign::VoicemailSettings;
use crate::contact::{ContactSource, ZoneKey};
use crate::id::{AttemptId, CampaignId, ContactId};
use crate::phone::PhoneNumber;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

fn config(value: Value) -> ElevenLabsConfig {
    let mut all = json!({ "api_key": "k", "agent_id": "agent_default", "agent_phone_number_id": "phnum_default" });
    all.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
    serde_json::from_value(all).unwrap()
}

fn request(channel: Channel, texts: Value, options: Value) -> DialRequest {
    let phone = PhoneNumber::from_e164("+12025550142").unwrap();
    let variables = json!({ "plan": "gold", "visits": 3, "vip": true, "tags": ["a"], "none": null, "system__time": "x", "name": "Column" });
    let person = NewContact {
        phone: phone.clone(),
        name: Some("Ada".into()),
        email: None,
        company: Some("Acme".into()),
        zones: ZoneKey::unknown(),
        variables: variables.as_object().unwrap().clone(),
        consent: None,
        source: ContactSource::Api,
    };
    let texts: BTreeMap<Arc<str>, String> =
        texts.as_object().unwrap().iter().map(|(name, text)| (Arc::from(name.as_str()), text.as_str().unwrap().to_owned())).collect();
    DialRequest {
        attempt_id: AttemptId(9),
        key: "store-9".into(),
        campaign_id: CampaignId(1),
        campaign_name: "Spring".into(),
        contact_id: ContactId(2),
        attempt_number: 2,
        channel,
        to: phone,
        from: None,
        contact_name: None,
        texts,
        variables: Arc::new(person),
        assistant_id: Some(7),
        voicemail: Arc::default(),
        ring_timeout: Duration::from_secs(25),
        max_duration: Duration::from_secs(300),
        not_after: Timestamp::UNIX_EPOCH,
        valid_until: None,
        local_hour: 9,
        last_inbound_at: None,
        options: Arc::new(options.as_object().unwrap().clone()),
    }
}

#[test]
fn a_call_carries_the_contact_the_texts_and_the_attempt() {
    let request = request(
        Channel::Call,
        json!({ "welcome_message": "Hello Ada", "system_prompt": "Be brief.", "agenda": "Ask for a date.", "voicemail_message": "Call us." }),
        json!({ "language": "es", "voice_id": "v", "custom_llm_extra_body": { "t": 1 } }),
    );
    let Placement { path, body } = placement(&config(json!({ "record": true, "override_max_duration": true })), &request).unwrap();
    assert_eq!(path, "/v1/convai/twilio/outbound-call");
    assert_eq!(
        body,
        json!({
            "agent_id": "agent_default",
            "agent_phone_number_id": "phnum_default",
            "to_number": "+12025550142",
            "call_recording_enabled": true,
            "telephony_call_config": { "ringing_timeout_secs": 25 },
            "conversation_initiation_client_data": {
                "user_id": "store-9",
                "dynamic_variables": {
                    "name": "Column", "company": "Acme", "plan": "gold", "visits": 3, "vip": true, "tags": "[\"a\"]",
                    "campaign_name": "Spring", "attempt_number": 2, "welcome_message": "Hello Ada", "system_prompt": "Be brief.",
                    "agenda": "Ask for a date.", "voicemail_message": "Call us.", "campaign_attempt": "store-9", "campaign_channel": "call",
                },
                "conversation_config_override": {
                    "agent": { "first_message": "Hello Ada", "prompt": { "prompt": "Be brief.\n\nAsk for a date." }, "language": "es" },
                    "tts": { "voice_id": "v" },
                    "conversation": { "max_duration_seconds": 300 },
                },
                "custom_llm_extra_body": { "t": 1 },
            },
        })
    );
}

#[test]
fn overrides_are_sent_only_where_wanted() {
    let texts = json!({ "welcome_message": "Hello", "agenda": "Ask." });
    let quiet = config(json!({ "override_first_message": false, "override_prompt": false }));
    let body = placement(&quiet, &request(Channel::Call, texts.clone(), json!({}))).unwrap().body;
    assert!(body["conversation_initiation_client_data"].get("conversation_config_override").is_none());
    let body = placement(&config(json!({})), &request(Channel::Call, texts, json!({}))).unwrap().body;
    let agent = &body["conversation_initiation_client_data"]["conversation_config_override"]["agent"];
    assert_eq!(agent, &json!({ "first_message": "Hello", "prompt": { "prompt": "Ask." } }));
}

#[test]
fn agent_and_line_come_from_the_nearest_place() {
    let both = config(json!({ "agents": { "7": "agent_seven" }, "phone_numbers": { "+1999": "phnum_999" } }));
    let mut plain = request(Channel::Call, json!({}), json!({}));
    let body = placement(&both, &plain).unwrap().body;
    assert_eq!((&body["agent_id"], &body["agent_phone_number_id"]), (&json!("agent_seven"), &json!("phnum_default")));
    plain.options = Arc::new(json!({ "elevenlabs": { "agent_id": "own" }, "agent_id": "top" }).as_object().unwrap().clone());
    plain.from = Some("+1999".into());
    let body = placement(&both, &plain).unwrap().body;
    assert_eq!((&body["agent_id"], &body["agent_phone_number_id"]), (&json!("own"), &json!("phnum_999")));
    plain.from = Some("phnum_direct".into());
    assert_eq!(placement(&both, &plain).unwrap().body["agent_phone_number_id"], "phnum_direct");
    plain.from = Some("+1000".into());
    assert!(matches!(placement(&both, &plain), Err(DialError::Transient(_))), "a caller id without a line");
    assert_eq!(placement(&config(json!({})), &plain).unwrap().body["agent_phone_number_id"], "phnum_default");
    let nobody: ElevenLabsConfig = serde_json::from_value(json!({ "api_key": "k" })).unwrap();
    assert!(matches!(placement(&nobody, &plain), Err(DialError::Permanent(_) | DialError::Transient(_))));
}

#[test]
fn twilio_listens_for_machines_only_when_asked() {
    let listening = config(json!({ "machine_detection": "detect_message_end" }));
    let mut call = request(Channel::Call, json!({}), json!({}));
    assert!(placement(&listening, &call).unwrap().body["telephony_call_config"].get("twilio_machine_detection").is_none());
    call.voicemail = Arc::new(VoicemailSettings { enable_voicemail_detection: true, ..VoicemailSettings::default() });
    let detection = placement(&listening, &call).unwrap().body["telephony_call_config"]["twilio_machine_detection"].clone();
    assert_eq!((&detection["mode"], &detection["actions"][0]["action"]), (&json!("detect_message_end"), &json!("hang_up")));
    call.voicemail = Arc::new(VoicemailSettings { leave_voicemail: true, ..(*call.voicemail).clone() });
    let detection = placement(&listening, &call).unwrap().body["telephony_call_config"]["twilio_machine_detection"].clone();
    assert_eq!(detection["actions"], json!([]), "the message is to be left");
}

#[test]
fn other_lines_have_their_own_requests() {
    let sip =
        placement(&config(json!({ "call_via": "sip_trunk", "record": true })), &request(Channel::Call, json!({}), json!({}))).unwrap();
    assert_eq!(sip.path, "/v1/convai/sip-trunk/outbound-call");
    assert!(sip.body.get("call_recording_enabled").is_none());

    let sender = json!({
        "whatsapp": {
            "phone_number_id": "wa1",
            "permission_template": { "name": "may_we", "language": "es" },
            "message_template": { "name": "hello", "language": "en_US", "parameters": ["name", "plan", "message"] },
        },
    });
    let call = placement(&config(sender.clone()), &request(Channel::Call, json!({}), json!({ "call_via": "whatsapp" }))).unwrap();
    assert_eq!(call.path, "/v1/convai/whatsapp/outbound-call");
    assert_eq!(call.body["whatsapp_user_id"], "12025550142");
    assert_eq!(call.body["whatsapp_call_permission_request_template_name"], "may_we");

    let message = request(Channel::WhatsApp, json!({ "message": "See you" }), json!({}));
    let sent = placement(&config(sender.clone()), &message).unwrap();
    assert_eq!(sent.path, "/v1/convai/whatsapp/outbound-message");
    let text = |text: &str| json!({ "type": "text", "text": text });
    assert_eq!(sent.body["template_params"], json!([{ "type": "body", "parameters": [text("Ada"), text("gold"), text("See you")] }]));
    assert_eq!(sent.body["conversation_initiation_client_data"]["dynamic_variables"]["campaign_channel"], "whatsapp");

    let empty = request(Channel::WhatsApp, json!({ "message": "" }), json!({}));
    assert!(matches!(placement(&config(sender), &empty), Err(DialError::Permanent(_))), "a placeholder without a value");
    assert!(matches!(placement(&config(json!({})), &message), Err(DialError::Transient(_))), "no sender");
    assert!(matches!(placement(&config(json!({})), &request(Channel::Sms, json!({}), json!({}))), Err(DialError::Transient(_))));
}
