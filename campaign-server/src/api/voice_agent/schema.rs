//! Bodies of this API for the OpenAPI document. Answers are made in `present` and beside the handlers and may hold more than is listed;
//! a test checks every documented answer against these schemas.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// That it was done.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentMessage {
    success: bool,
    #[schema(example = "Campaign started")]
    message: String,
}

/// The kinds of campaigns.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AgentType {
    Voice,
    Sms,
    Whatsapp,
}

/// Where a campaign is.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AgentStatus {
    Draft,
    Scheduled,
    Running,
    Paused,
    Completed,
    Failed,
}

/// A campaign to be created.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({
    "name": "Spring", "type": "sms", "config": { "fromNumber": "+15550001111", "messageBody": "Hello" }, "phone_numbers": ["+15551234567"]
}))]
#[expect(dead_code, reason = "describes the body; it is read in `campaigns`")]
pub(crate) struct AgentCampaignInput {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    r#type: AgentType,
    config: Option<AgentConfig>,
    phone_numbers: Option<Vec<String>>,
    /// Whose numbers are taken when `phone_numbers` is empty.
    contact_list_id: Option<String>,
    scheduled_at: Option<String>,
}

/// What is sent, and from where.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; it is read in `spec`")]
pub(crate) struct AgentConfig {
    #[serde(rename = "fromNumber")]
    from_number: Option<String>,
    #[serde(rename = "promptId")]
    prompt_id: Option<String>,
    /// Goes out as it is; needed for messages.
    #[serde(rename = "messageBody")]
    message_body: Option<String>,
    /// The approved template that WhatsApp needs where the person has not written for 24 hours, `HX...`. Also as `content_sid`.
    #[serde(rename = "contentSid")]
    content_sid: Option<String>,
    /// Its variables; names in single braces stand for those of the contact, and `{message}` for the text. Also as `content_variables`.
    #[serde(rename = "contentVariables")]
    #[schema(value_type = Option<Object>)]
    content_variables: Option<Value>,
}

/// The id of what was created.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentCreated {
    success: bool,
    #[schema(example = "00000000000000000000002a")]
    campaign_id: String,
    added: i64,
    duplicates: i64,
    invalid: i64,
}

/// Figures of a campaign.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentStats {
    total: i64,
    pending: i64,
    sent: i64,
    failed: i64,
}

/// A campaign.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentCampaign {
    _id: String,
    id: String,
    name: String,
    r#type: AgentType,
    status: AgentStatus,
    #[schema(value_type = Object)]
    config: Value,
    #[schema(required)]
    contact_list_id: Option<String>,
    #[schema(required)]
    scheduled_at: Option<String>,
    progress_percent: f64,
    #[schema(required)]
    last_processed_at: Option<String>,
    stats: AgentStats,
    #[serde(rename = "userId")]
    #[schema(required)]
    user_id: Option<String>,
    created_at: String,
    updated_at: String,
    #[serde(rename = "isDeleted")]
    is_deleted: bool,
}

/// Campaigns.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentCampaigns {
    success: bool,
    campaigns: Vec<AgentCampaign>,
}

/// One campaign.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentCampaignEnvelope {
    success: bool,
    campaign: AgentCampaign,
}

/// A start.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; it is read in `moves`")]
pub(crate) struct AgentScheduleInput {
    /// A moment; without an offset it is one of UTC.
    #[schema(example = "2030-02-15T09:00:00Z")]
    scheduled_at: String,
}

/// What was sent to somebody, or whom was called.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentExecution {
    id: String,
    campaign_id: String,
    campaign_name: String,
    r#type: AgentType,
    #[schema(required)]
    from_number: Option<String>,
    #[schema(required)]
    to_number: Option<String>,
    #[schema(required)]
    contact_name: Option<String>,
    /// `sent`, `failed` or `called`.
    status: String,
    #[schema(required)]
    message_sid: Option<String>,
    #[schema(required)]
    call_sid: Option<String>,
    #[schema(required)]
    error: Option<String>,
    executed_at: String,
    created_at: String,
}

/// Executions.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentExecutions {
    success: bool,
    executions: Vec<AgentExecution>,
}

/// Executions of a campaign.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentCampaignExecutions {
    success: bool,
    executions: Vec<AgentExecution>,
    #[schema(value_type = Object)]
    stats: Value,
    #[schema(value_type = Object)]
    campaign: Value,
}

/// A form with a file.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the form; it is read in `uploads`")]
pub(crate) struct AgentUpload {
    /// XLSX, XLS or CSV, at most 10 MB, with a column of phone numbers.
    #[schema(format = Binary, value_type = String)]
    file: Vec<u8>,
}

/// Numbers of a file.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentNumbers {
    success: bool,
    count: i64,
    phone_numbers: Vec<String>,
    filename: String,
    invalid: i64,
}

/// A contact list to be created.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; it is read in `lists`")]
pub(crate) struct AgentListInput {
    #[schema(min_length = 1)]
    name: String,
    description: Option<String>,
}

/// What may be changed of a contact list.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; it is read in `lists`")]
pub(crate) struct AgentListPatch {
    name: Option<String>,
    description: Option<String>,
}

/// The id of a list.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentList {
    success: bool,
    list_id: String,
}

/// A contact list.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentListObject {
    id: String,
    name: String,
    #[schema(required)]
    description: Option<String>,
    contact_count: i64,
    version: i64,
    created_at: String,
    updated_at: String,
}

/// Contact lists.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentLists {
    success: bool,
    lists: Vec<AgentListObject>,
}

/// One contact list.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentListEnvelope {
    success: bool,
    list: AgentListObject,
}

/// A contact of a list.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentContact {
    id: String,
    list_id: String,
    phone_number: String,
    normalized_phone: String,
    #[schema(required)]
    name: Option<String>,
    /// `active`.
    status: String,
}

/// Contacts of a list.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentContacts {
    success: bool,
    contacts: Vec<AgentContact>,
    total: i64,
}

/// One contact, or several.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; it is read in `list_contacts`")]
pub(crate) struct AgentContactsInput {
    #[schema(example = "+15551234567")]
    phone_number: Option<String>,
    name: Option<String>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
    /// Each with `original`, `name` and `metadata`.
    #[schema(value_type = Option<Vec<Object>>)]
    contacts: Option<Vec<Value>>,
}

/// How many contacts were added.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentAdded {
    added: i64,
    duplicates: i64,
    invalid: i64,
}

/// What became of contacts.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentListResult {
    success: bool,
    result: AgentAdded,
}

/// What became of a file.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentUploaded {
    success: bool,
    filename: String,
    processed: i64,
    raw_extracted: i64,
    #[schema(value_type = Object)]
    stats: Value,
    result: AgentAdded,
}

/// What was taken off a list.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentRemoved {
    success: bool,
    filename: String,
    phones_in_file: i64,
    deleted: i64,
    not_found: i64,
}

/// A message to be sent.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"from": "+15550001111", "to": "+15551234567", "body": "Hello"}))]
#[expect(dead_code, reason = "describes the body; it is read in `messages`")]
pub(crate) struct AgentMessageInput {
    from: String,
    to: String,
    body: String,
    /// The approved template that WhatsApp needs where the person has not written for 24 hours, `HX...`. Also as `content_sid`.
    #[serde(rename = "contentSid")]
    content_sid: Option<String>,
    /// Its variables. Also as `content_variables`.
    #[serde(rename = "contentVariables")]
    #[schema(value_type = Option<Object>)]
    content_variables: Option<Value>,
}

/// A message that is on its way.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentMessageSent {
    success: bool,
    /// Null while the provider has not answered.
    #[schema(required)]
    message_sid: Option<String>,
    message: String,
    from: String,
    to: String,
    status: String,
}

/// One message of a conversation.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentConversationMessage {
    message_sid: String,
    /// `user` or `assistant`.
    role: String,
    /// `inbound` or `outbound`.
    direction: String,
    text: String,
    /// `received`, `sent` or `failed`.
    status: String,
    timestamp: String,
    #[schema(required)]
    campaign_id: Option<String>,
}

/// A conversation by SMS or WhatsApp.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentConversation {
    id: String,
    conversation_id: String,
    #[serde(rename = "phoneNumberId")]
    phone_number_id: String,
    #[serde(rename = "callerNumber")]
    caller_number: String,
    #[serde(rename = "agentNumber")]
    agent_number: String,
    /// `sms` or `whatsapp`.
    channel: String,
    /// That of the newest message.
    status: String,
    #[schema(required)]
    timestamp: Option<String>,
    #[schema(required)]
    latest_message: Option<String>,
    message_count: i64,
    /// The oldest first.
    conversation: Vec<AgentConversationMessage>,
}

/// Conversations, those with the newest message first.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentConversations {
    success: bool,
    messages: Vec<AgentConversation>,
}

/// One conversation.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentConversationEnvelope {
    success: bool,
    conversation: AgentConversation,
}

/// A call to be made.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"from": "+15550001111", "to": "+15551234567"}))]
#[expect(dead_code, reason = "describes the body; it is read in `calls`")]
pub(crate) struct AgentCallInput {
    from: String,
    to: String,
    /// What the assistant is told about this call.
    context: Option<String>,
}

/// A call that is under way.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentCallStarted {
    success: bool,
    /// Null while the provider has not answered.
    #[schema(required)]
    call_sid: Option<String>,
    message: String,
    from: String,
    to: String,
    status: String,
    custom_context_provided: bool,
}

/// A call.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentCall {
    id: String,
    #[schema(required)]
    call_sid: Option<String>,
    #[schema(required)]
    from_number: Option<String>,
    #[schema(required)]
    to_number: Option<String>,
    #[schema(required)]
    agent_id: Option<String>,
    session_id: String,
    /// `ongoing` or `finished`.
    status: String,
    timestamp: String,
    duration: i64,
    #[schema(value_type = Vec<Object>)]
    conversation: Vec<Value>,
}

/// Calls.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentCalls {
    calls: Vec<AgentCall>,
}

/// One call.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentCallEnvelope {
    call: AgentCall,
}

/// A number to be registered.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; it is read in `phones`")]
pub(crate) struct AgentPhoneInput {
    #[serde(rename = "phoneNumber")]
    phone_number: String,
    provider: Option<String>,
    #[serde(rename = "twilioAccountSid")]
    account_sid: Option<String>,
    /// Not kept: the server calls with the credentials of its dialer.
    #[serde(rename = "twilioAuthToken")]
    auth_token: Option<String>,
    #[serde(rename = "twilioAccountName")]
    account_name: Option<String>,
    /// `calls` or `messages`.
    r#type: Option<String>,
}

/// A number that was registered.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentPhoneRegistered {
    success: bool,
    phone_id: String,
    #[serde(rename = "phoneNumber")]
    phone_number: String,
    #[serde(rename = "webhookConfiguration")]
    #[schema(value_type = Object)]
    webhooks: Value,
}

/// Numbers.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentPhones {
    success: bool,
    #[schema(value_type = Vec<Object>)]
    phones: Vec<Value>,
    count: i64,
}

/// Calls to be made at a moment.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; it is read in `scheduled`")]
pub(crate) struct AgentScheduledInput {
    #[serde(rename = "toPhoneNumbers")]
    #[schema(min_items = 1)]
    numbers: Vec<String>,
    #[serde(rename = "promptId")]
    prompt_id: Option<String>,
    #[serde(rename = "fromPhoneNumber")]
    from: Option<String>,
    #[serde(rename = "scheduledDateTime")]
    at: String,
}

/// Calls that were scheduled.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentScheduledCalls {
    success: bool,
    #[schema(value_type = Vec<Object>)]
    scheduled_calls: Vec<Value>,
}

/// Calls that were scheduled together.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentScheduledCall {
    success: bool,
    #[schema(value_type = Object)]
    scheduled_call: Value,
}

/// A conversation with the assistant to be begun.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "system_prompt": "You are the receptionist of a practice." }))]
#[expect(dead_code, reason = "describes the body; it is read in `chat`")]
pub(crate) struct AgentChatInput {
    /// What the assistant is told.
    #[schema(max_length = 20000)]
    system_prompt: Option<String>,
    /// What the conversation is about.
    #[schema(max_length = 20000)]
    agenda: Option<String>,
    /// Which model understands speech, where the server has speech.
    #[schema(max_length = 200)]
    stt_model: Option<String>,
    /// Which voice answers, where the server has speech.
    #[schema(max_length = 200)]
    tts_voice: Option<String>,
}

/// What a conversation is about, and what it sounds like.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentChatConfig {
    #[schema(required)]
    system_prompt: Option<String>,
    #[schema(required)]
    agenda: Option<String>,
    #[schema(required)]
    stt_model: Option<String>,
    #[schema(required)]
    tts_voice: Option<String>,
}

/// A conversation with the assistant.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentChat {
    #[schema(format = "uuid")]
    session_id: String,
    /// `active` or `ended`.
    status: String,
    config: AgentChatConfig,
    created_at: String,
    #[schema(required)]
    ended_at: Option<String>,
}

/// A conversation that was begun.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentChatStarted {
    success: bool,
    message: String,
    #[serde(flatten)]
    session: AgentChat,
}

/// Conversations with the assistant.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentChats {
    success: bool,
    sessions: Vec<AgentChat>,
}
