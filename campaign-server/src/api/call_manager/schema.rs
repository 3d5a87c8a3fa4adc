//! Bodies of this API for the OpenAPI document. Answers are made beside the handlers and may hold more than is listed; a test checks every
//! documented answer against these schemas.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// That the service answers.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchHealth {
    #[schema(example = "ok")]
    status: String,
    timestamp: String,
    #[schema(example = "call-manager")]
    service: String,
}

/// A batch to be submitted.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({
    "call_name": "Campaña de octubre", "agent_id": "agent_2401k62pf0zdfbdbatjs81prh8ka",
    "agent_phone_number_id": "phnum_5501k6qntkmyfq69yfj3xs8rw4kh", "phone_provider": "sip_trunk",
    "recipients": [{ "phone_number": "+34631021622", "conversation_initiation_client_data": { "dynamic_variables": { "name": "Ada" } } }]
}))]
#[expect(dead_code, reason = "describes the body; it is read in `check` and `batch`")]
pub(crate) struct BatchInput {
    #[schema(min_length = 1)]
    call_name: String,
    #[schema(min_length = 1)]
    agent_id: String,
    #[schema(min_length = 1)]
    agent_phone_number_id: String,
    #[schema(min_items = 1)]
    recipients: Vec<BatchRecipientInput>,
    /// When to begin; at once if not said.
    scheduled_time_unix: Option<i64>,
    /// Through which kind of line; as the dialer is set up if not said.
    phone_provider: Option<PhoneProvider>,
    /// False leaves the dynamic variables out.
    include_dynamic_variables: Option<bool>,
    /// Calls at once.
    #[schema(minimum = 1)]
    target_concurrency_limit: Option<i64>,
    timezone: Option<String>,
}

/// A kind of line.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PhoneProvider {
    Twilio,
    SipTrunk,
}

/// Somebody to be called.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; it is read in `recipients`")]
pub(crate) struct BatchRecipientInput {
    /// E.164.
    #[schema(example = "+34631021622")]
    phone_number: String,
    /// A number is taken as a text.
    id: Option<String>,
    conversation_initiation_client_data: Option<BatchClientData>,
}

/// What the agent is told. Whatever else an agent platform takes for a single recipient is refused.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; it is read in `recipients`")]
pub(crate) struct BatchClientData {
    #[schema(value_type = Option<Object>)]
    dynamic_variables: Option<Value>,
}

/// Where a batch is.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BatchStatus {
    Pending,
    InProgress,
    Completed,
    Failed,
    Cancelled,
}

/// Where a recipient is.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RecipientStatus {
    Pending,
    InProgress,
    Completed,
    Failed,
    Cancelled,
    Voicemail,
}

/// A batch.
#[derive(Serialize, ToSchema)]
pub(crate) struct Batch {
    #[schema(example = "btcal_7601k6qjf6dgecgbc9hkq9gtw977")]
    id: String,
    phone_number_id: String,
    #[schema(required)]
    phone_provider: Option<PhoneProvider>,
    name: String,
    agent_id: String,
    created_at_unix: i64,
    scheduled_time_unix: i64,
    /// Calls that the provider was asked for.
    total_calls_dispatched: i64,
    total_calls_scheduled: i64,
    total_calls_finished: i64,
    /// Recipients whose number came before in the batch; they are not called again. Only there when there are some.
    duplicate_recipients: Option<i64>,
    last_updated_at_unix: i64,
    status: BatchStatus,
    agent_name: String,
}

/// A recipient.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchRecipient {
    id: String,
    phone_number: String,
    status: RecipientStatus,
    created_at_unix: i64,
    updated_at_unix: i64,
    conversation_id: Option<String>,
    /// Whose number came before: the recipient that is called.
    duplicate_of: Option<String>,
}

/// A batch with its recipients.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchWhole {
    #[serde(flatten)]
    batch: Batch,
    recipients: Vec<BatchRecipient>,
}

/// An answer of the service.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchEnvelope {
    success: bool,
    message: Option<String>,
    data: Batch,
}

/// An answer of the service, with recipients.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchWholeEnvelope {
    success: bool,
    data: BatchWhole,
}

/// A batch under its two ids.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProxyBatch {
    batch_id: i64,
    external_batch_id: String,
    call_manager_response: Batch,
}

/// An answer of the proxy.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProxyEnvelope {
    success: bool,
    data: ProxyBatch,
}

/// The row of a batch.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchRecord {
    id: i64,
    #[schema(required)]
    workspace_id: Option<i64>,
    name: String,
    phone_external_id: String,
    agent_external_id: String,
    status: BatchStatus,
    total_recipients: i64,
    processed_recipients: i64,
    #[schema(required)]
    file_url: Option<String>,
    campaign_id: i64,
    external_batch_id: String,
    #[schema(required)]
    phone_provider: Option<PhoneProvider>,
    #[schema(required)]
    scheduled_time: Option<i64>,
    created_at: String,
    updated_at: String,
    #[schema(required)]
    expires_at: Option<String>,
}

/// A batch under its two ids, with its recipients and its row.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProxyBatchStatus {
    batch_id: i64,
    external_batch_id: String,
    call_manager_response: BatchWhole,
    database_record: BatchRecord,
}

/// An answer of the proxy about how a batch stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProxyStatusEnvelope {
    success: bool,
    data: ProxyBatchStatus,
}

/// How recipients ended.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecipientsStats {
    total_recipients: i64,
    completed: i64,
    failed: i64,
    pending: i64,
    in_progress: i64,
    voicemail: i64,
    /// Whole percent.
    success_rate: i64,
    failure_rate: i64,
}

/// An answer of the proxy about recipients.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProxyStatsEnvelope {
    success: bool,
    data: RecipientsStats,
}
