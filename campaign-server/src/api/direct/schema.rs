//! Bodies of this API for the OpenAPI document. Answers are made beside the handlers; a test checks every documented answer against these
//! schemas.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A call to be placed.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({
    "from_phone_number": "+15550001111", "to_phone_number": "+15551234567", "welcome_message": "Hi {{name}}!", "variables": { "name": "Ana" }
}))]
#[expect(dead_code, reason = "describes the body; it is read in `calls`")]
pub(crate) struct CallInput {
    from_phone_number: String,
    to_phone_number: String,
    #[schema(minimum = 1)]
    assistant_id: Option<i64>,
    /// What is said first, a template.
    #[schema(max_length = 10000)]
    welcome_message: Option<String>,
    /// What the call is about, a template.
    #[schema(max_length = 10000)]
    agenda: Option<String>,
    /// What the templates are filled with.
    variables: Option<BTreeMap<String, Value>>,
}

/// A call that is under way.
#[derive(Serialize, ToSchema)]
pub(crate) struct CallInitiated {
    success: bool,
    #[schema(example = "Call initiated successfully")]
    message: String,
    /// The provider's id; null when it has not answered within 15 seconds.
    #[schema(required)]
    call_sid: Option<String>,
    /// `queued`, `initiated`, or how it ended.
    status: String,
    /// The campaign of this one call.
    campaign_id: i64,
}

/// A message to be sent.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "from_phone_number": "+15550001111", "to_phone_number": "+15551234567", "message": "Hello!" }))]
#[expect(dead_code, reason = "describes the body; it is read in `messages`")]
pub(crate) struct MessageInput {
    #[schema(min_length = 1, max_length = 64)]
    from_phone_number: String,
    #[schema(min_length = 1, max_length = 64)]
    to_phone_number: String,
    /// Goes out as it is.
    #[schema(min_length = 1, max_length = 1600)]
    message: String,
    /// Addresses of pictures and the like.
    #[schema(max_items = 10)]
    media_urls: Option<Vec<String>>,
    /// Whether the answer comes before the provider has it. Default true.
    queue: Option<bool>,
    /// As the header `Idempotency-Key`, which goes before.
    #[schema(max_length = 256)]
    idempotency_key: Option<String>,
}

/// Where a message is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes the answer")]
pub(crate) enum MessageStatus {
    Queued,
    Sending,
    Sent,
    Failed,
    Cancelled,
}

/// A message that was taken.
#[derive(Serialize, ToSchema)]
pub(crate) struct MessageQueued {
    success: bool,
    #[schema(format = "uuid")]
    message_id: String,
    #[schema(example = "SMS queued successfully via engine")]
    message: String,
    /// `engine`, whichever carrier it uses.
    provider: String,
    status: MessageStatus,
}

/// What has become of a message.
#[derive(Serialize, ToSchema)]
pub(crate) struct MessageState {
    success: bool,
    #[schema(format = "uuid")]
    message_id: String,
    status: MessageStatus,
    provider: String,
    #[schema(required)]
    provider_message_id: Option<String>,
    /// Why it failed.
    #[schema(required)]
    error: Option<String>,
    #[schema(format = "date-time")]
    updated_at: String,
}

/// A message that was taken back.
#[derive(Serialize, ToSchema)]
pub(crate) struct MessageCancelled {
    success: bool,
    #[schema(format = "uuid")]
    message_id: String,
    message: String,
    previous_status: MessageStatus,
    new_status: MessageStatus,
}

/// How many messages wait.
#[derive(Serialize, ToSchema)]
pub(crate) struct QueueStats {
    #[schema(format = "date-time")]
    timestamp: String,
    /// By provider.
    queues: BTreeMap<String, Queue>,
}

/// The messages of one provider.
#[derive(Serialize, ToSchema)]
pub(crate) struct Queue {
    /// They wait.
    pending: u64,
    /// They are being sent.
    active: u64,
    /// They were not taken, of the last 1,000.
    failed: u64,
}

/// What Twilio sends of a message or call; its documentation has all of the fields.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the form; the dialer reads it")]
pub(crate) struct TwilioForm {
    #[serde(rename = "MessageSid")]
    message_sid: Option<String>,
    #[serde(rename = "CallSid")]
    call_sid: Option<String>,
    #[serde(rename = "From")]
    from: Option<String>,
    #[serde(rename = "To")]
    to: Option<String>,
    #[serde(rename = "Body")]
    body: Option<String>,
    #[serde(rename = "CallStatus")]
    call_status: Option<String>,
    #[serde(rename = "CallDuration")]
    call_duration: Option<String>,
    #[serde(rename = "AnsweredBy")]
    answered_by: Option<String>,
}
