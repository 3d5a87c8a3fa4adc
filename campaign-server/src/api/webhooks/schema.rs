//! Bodies for the OpenAPI document. Answers are made in [`super::handlers`]; a test checks them against these schemas.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The events that may be told of.
#[derive(Serialize, Deserialize, ToSchema)]
pub(crate) enum WebhookEvent {
    #[serde(rename = "call.completed")]
    CallCompleted,
    #[serde(rename = "contact.started")]
    ContactStarted,
    #[serde(rename = "contact.completed")]
    ContactCompleted,
    #[serde(rename = "contact.failed")]
    ContactFailed,
    #[serde(rename = "contact.opted_out")]
    ContactOptedOut,
    #[serde(rename = "message.received")]
    MessageReceived,
    #[serde(rename = "campaign.status_changed")]
    CampaignStatusChanged,
    #[serde(rename = "campaign.completed")]
    CampaignCompleted,
    #[serde(rename = "budget.threshold_reached")]
    BudgetThresholdReached,
    #[serde(rename = "error")]
    Error,
    #[serde(rename = "test")]
    Test,
}

/// A webhook to be made.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "url": "https://example.com/hooks/campaigns", "events": ["call.completed", "campaign.status_changed"] }))]
#[expect(dead_code, reason = "describes the body; it is read in `handlers`")]
pub(crate) struct WebhookInput {
    /// Where events are sent: `https`, to a public address.
    url: String,
    /// Of which events; of all if there is none.
    events: Option<Vec<WebhookEvent>>,
    /// Of which campaign; of all if not said.
    campaign_id: Option<i64>,
    #[schema(max_length = 500)]
    description: Option<String>,
    /// `whsec_` and base64 of 16 to 64 bytes; a random one if not said.
    secret: Option<String>,
}

/// What is changed of a webhook; fields that are left out stay.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; it is read in `handlers`")]
pub(crate) struct WebhookPatch {
    url: Option<String>,
    events: Option<Vec<WebhookEvent>>,
    #[schema(max_length = 500)]
    description: Option<String>,
    /// False: it is told nothing.
    enabled: Option<bool>,
}

/// A webhook.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookObject {
    #[schema(example = "whe_0123456789abcdef")]
    id: String,
    #[schema(required)]
    organization_id: Option<i64>,
    #[schema(required)]
    campaign_id: Option<i64>,
    url: String,
    #[schema(required)]
    description: Option<String>,
    /// Empty: all.
    events: Vec<WebhookEvent>,
    enabled: bool,
    created_at: String,
    updated_at: String,
}

/// A webhook with its secret, which is told this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookCreated {
    #[serde(flatten)]
    webhook: WebhookObject,
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    secret: String,
}

/// Webhooks, the oldest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookList {
    webhooks: Vec<WebhookObject>,
}

/// A test is on its way.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookTested {
    success: bool,
    /// The `webhook-id` it comes with.
    event_id: String,
}

/// A delivery that waits, or that nobody took.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookDelivery {
    /// The `webhook-id`.
    event_id: String,
    event: WebhookEvent,
    #[schema(required)]
    campaign_id: Option<i64>,
    /// When it happened.
    at: String,
    /// How often it was tried.
    attempts: i64,
    /// When it is tried next; null for a dead letter.
    #[schema(required)]
    due_at: Option<String>,
    #[schema(required)]
    failed_at: Option<String>,
    /// The status of the last answer, when there was one.
    #[schema(required)]
    last_status: Option<i64>,
    #[schema(required)]
    last_error: Option<String>,
    /// What is sent.
    #[schema(value_type = Object)]
    body: serde_json::Value,
}

/// Deliveries.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookDeliveries {
    deliveries: Vec<WebhookDelivery>,
    /// Give it as `after` for those that follow; null at the end.
    #[schema(required)]
    next: Option<String>,
}

/// Which dead letters are sent again.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; it is read in `handlers`")]
pub(crate) struct ReplayInput {
    /// Their `webhook-id`s; all if not said.
    event_ids: Option<Vec<String>>,
}

/// How many are sent again.
#[derive(Serialize, ToSchema)]
pub(crate) struct Replayed {
    success: bool,
    replayed_count: i64,
}
