//! Bodies of this API for the OpenAPI document. Answers are made in `present` and beside the handlers and may hold more than is listed;
//! a test checks every documented answer against these schemas.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// One sentence.
#[derive(Serialize, ToSchema)]
pub(crate) struct VoiceMessage {
    #[schema(example = "Voice campaign deleted successfully")]
    message: String,
}

/// Where a campaign is.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum VoiceStatus {
    Draft,
    Active,
    Paused,
    Completed,
}

/// Who goes first.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum VoicePriority {
    Low,
    Medium,
    High,
}

/// A status.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"status": "active"}))]
#[expect(dead_code, reason = "describes the body; it is read in `status`")]
pub(crate) struct VoiceStatusInput {
    status: VoiceStatus,
}

/// A campaign to be created.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({
    "name": "Customer Survey Campaign", "status": "draft", "priority": "high", "calls_per_day": 50, "calling_hours_start": "09:00:00",
    "calling_hours_end": "17:00:00", "system_prompt": "You are a friendly customer service representative",
    "script_template": "Hello {customer_name}, this is a survey call..."
}))]
#[expect(dead_code, reason = "describes the body; it is read in `fields`")]
pub(crate) struct VoiceCampaignInput {
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    status: VoiceStatus,
    #[schema(minimum = 1)]
    calls_per_day: i64,
    /// `HH:MM:SS`. An end before the start is on the next day.
    calling_hours_start: String,
    calling_hours_end: String,
    system_prompt: String,
    /// With `{customer_name}`, `{company_name}` and any other variable of a lead.
    script_template: String,
    #[serde(flatten)]
    rest: VoiceCampaignOptions,
}

/// What may be changed. What is left out stays.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; it is read in `fields`")]
pub(crate) struct VoiceCampaignPatch {
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    status: Option<VoiceStatus>,
    #[schema(minimum = 1)]
    calls_per_day: Option<i64>,
    calling_hours_start: Option<String>,
    calling_hours_end: Option<String>,
    system_prompt: Option<String>,
    script_template: Option<String>,
    #[serde(flatten)]
    rest: VoiceCampaignOptions,
}

/// Everything that need not be said.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; it is read in `fields`")]
pub(crate) struct VoiceCampaignOptions {
    description: Option<String>,
    priority: Option<VoicePriority>,
    /// `outbound` or `inbound`.
    campaign_type: Option<String>,
    time_zone: Option<String>,
    #[schema(example = json!(["Monday", "Tuesday"]))]
    working_days: Option<Vec<String>>,
    ai_voice_id: Option<String>,
    ai_voice_language: Option<String>,
    ai_voice_gender: Option<String>,
    fallback_script: Option<String>,
    #[schema(minimum = 1, maximum = 10)]
    max_attempts_per_lead: Option<i64>,
    #[schema(minimum = 1)]
    retry_delay_minutes: Option<i64>,
    /// Seconds.
    #[schema(minimum = 1)]
    call_duration_limit: Option<i64>,
    success_criteria: Option<String>,
    expected_completion_date: Option<String>,
    budget: Option<f64>,
    cost_per_call: Option<f64>,
    owner_id: Option<i64>,
    team_members: Option<Vec<i64>>,
    tags: Option<Vec<String>>,
    notes: Option<String>,
    start_date: Option<String>,
    end_date: Option<String>,
    /// RFC 5545; each occurrence calls every lead again.
    recurrence_rule: Option<String>,
    company_id: Option<i64>,
    webhook_url: Option<String>,
    webhook_urls: Option<BTreeMap<String, String>>,
    webhook_secret: Option<String>,
    #[schema(minimum = 1, maximum = 100)]
    budget_threshold_percent: Option<i64>,
}

/// A campaign.
#[derive(Serialize, ToSchema)]
pub(crate) struct VoiceCampaign {
    id: i64,
    name: String,
    #[schema(required)]
    description: Option<String>,
    status: VoiceStatus,
    priority: VoicePriority,
    campaign_type: String,
    calls_per_day: i64,
    total_leads: i64,
    completed_calls: i64,
    successful_calls: i64,
    failed_calls: i64,
    calling_hours_start: String,
    calling_hours_end: String,
    time_zone: String,
    working_days: Vec<String>,
    #[schema(required)]
    ai_voice_id: Option<String>,
    #[schema(required)]
    ai_voice_language: Option<String>,
    #[schema(required)]
    ai_voice_gender: Option<String>,
    system_prompt: String,
    script_template: String,
    #[schema(required)]
    fallback_script: Option<String>,
    max_attempts_per_lead: i64,
    retry_delay_minutes: i64,
    call_duration_limit: i64,
    #[schema(required)]
    budget: Option<f64>,
    cost_per_call: f64,
    #[schema(required)]
    start_date: Option<String>,
    #[schema(required)]
    end_date: Option<String>,
    company_id: i64,
    created_at: String,
    updated_at: String,
}

/// A campaign with a message: its fields, and the same as `data`.
#[derive(Serialize, ToSchema)]
pub(crate) struct VoiceReply {
    message: String,
    data: VoiceCampaign,
    #[serde(flatten)]
    campaign: VoiceCampaign,
}

/// What a campaign has come to.
#[derive(Serialize, ToSchema)]
pub(crate) struct VoiceStats {
    total_leads: i64,
    completed_calls: i64,
    successful_calls: i64,
    failed_calls: i64,
    cost_per_call: f64,
    #[schema(required)]
    budget: Option<f64>,
    #[schema(example = "90.00")]
    success_rate: String,
    /// `completed_calls` by `cost_per_call`.
    total_cost: f64,
    /// `budget` less `total_cost`; null without a budget.
    #[schema(required)]
    remaining_budget: Option<f64>,
    /// By the provider's prices where it names them, else by `cost_per_call`, retries included. The budget is held against this.
    actual_cost: f64,
}

/// A page of campaigns.
#[derive(Serialize, ToSchema)]
pub(crate) struct VoicePage {
    total: i64,
    offset: i64,
    limit: i64,
    data: Vec<VoiceCampaign>,
}

/// What a company's campaigns have come to.
#[derive(Serialize, ToSchema)]
pub(crate) struct VoiceCompanyStats {
    total_campaigns: i64,
    active_campaigns: i64,
    completed_campaigns: i64,
    paused_campaigns: i64,
    total_leads: i64,
    total_calls: i64,
    successful_calls: i64,
    failed_calls: i64,
    average_success_rate: f64,
    total_call_duration: i64,
    average_call_duration: f64,
    /// Completed calls by the price of a call.
    total_cost: f64,
    /// All budgets less `total_cost`; null when no campaign has a budget.
    #[schema(required)]
    remaining_budget: Option<f64>,
    campaigns_by_priority: BTreeMap<String, i64>,
    calls_by_hour: BTreeMap<String, i64>,
    daily_stats: Vec<VoiceDay>,
}

/// A day.
#[derive(Serialize, ToSchema)]
pub(crate) struct VoiceDay {
    date: String,
    total_calls: i64,
    successful_calls: i64,
    failed_calls: i64,
    success_rate: f64,
}

/// Active campaigns.
#[derive(Serialize, ToSchema)]
pub(crate) struct VoiceActive {
    total: i64,
    data: Vec<VoiceActiveCampaign>,
}

/// An active campaign in short.
#[derive(Serialize, ToSchema)]
pub(crate) struct VoiceActiveCampaign {
    id: i64,
    name: String,
    status: VoiceStatus,
    priority: VoicePriority,
    total_leads: i64,
    completed_calls: i64,
    success_rate: f64,
    today_calls: i64,
    remaining_calls: i64,
}

/// How campaigns do.
#[derive(Serialize, ToSchema)]
pub(crate) struct VoicePerformance {
    #[schema(value_type = Object)]
    summary: Value,
    #[schema(value_type = Object)]
    trends: Value,
    #[schema(value_type = Vec<Object>)]
    campaign_rankings: Vec<Value>,
}

/// What campaigns cost.
#[derive(Serialize, ToSchema)]
pub(crate) struct VoiceCosts {
    #[schema(value_type = Object)]
    overall_costs: Value,
    #[schema(value_type = Vec<Object>)]
    campaign_costs: Vec<Value>,
    #[schema(value_type = Vec<Object>)]
    cost_trends: Vec<Value>,
}

/// A lead to be added.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; it is read in `leads`")]
pub(crate) struct VoiceLeadInput {
    campaign_id: i64,
    #[schema(example = "+15551234567")]
    phone: String,
    #[serde(flatten)]
    rest: VoiceLeadPatch,
}

/// What may be known of a lead.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; it is read in `leads`")]
pub(crate) struct VoiceLeadPatch {
    first_name: Option<String>,
    last_name: Option<String>,
    alternate_phone: Option<String>,
    email: Option<String>,
    company_name: Option<String>,
    job_title: Option<String>,
    industry: Option<String>,
    /// `blacklisted` keeps it from being called. A new lead may be `pending` or `scheduled` as well; any other status is what calls came to,
    /// and is refused.
    status: Option<String>,
    /// 1 (highest) to 5.
    #[schema(minimum = 1, maximum = 5)]
    priority: Option<i64>,
    best_time_to_call: Option<String>,
    /// Calling hours are read on this clock.
    timezone: Option<String>,
    preferred_language: Option<String>,
    #[schema(minimum = 0, maximum = 100)]
    lead_score: Option<f64>,
    interest_level: Option<String>,
    pain_points: Option<Vec<String>>,
    requirements: Option<Vec<String>>,
    #[schema(value_type = Option<Object>)]
    custom_fields: Option<Value>,
    assigned_to: Option<i64>,
    notes: Option<String>,
    tags: Option<Vec<String>>,
}

/// A lead.
#[derive(Serialize, ToSchema)]
pub(crate) struct VoiceLead {
    id: i64,
    campaign_id: i64,
    phone: String,
    #[schema(required)]
    first_name: Option<String>,
    #[schema(required)]
    last_name: Option<String>,
    #[schema(required)]
    email: Option<String>,
    #[schema(required)]
    company_name: Option<String>,
    status: String,
    #[schema(required)]
    sub_status: Option<String>,
    timezone: String,
    created_at: String,
}

/// A lead, with a message.
#[derive(Serialize, ToSchema)]
pub(crate) struct VoiceLeadReply {
    message: String,
    data: VoiceLead,
}

/// What a campaign's leads have come to.
#[derive(Serialize, ToSchema)]
pub(crate) struct VoiceLeadStats {
    total_leads: i64,
    completed_leads: i64,
    failed_leads: i64,
    average_lead_score: f64,
    average_call_duration: f64,
}

/// A form with a file of leads.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the form; it is read in `leads::import`")]
pub(crate) struct VoiceUpload {
    /// CSV, XLSX or XLS, at most 10 MB, with a column of phone numbers.
    #[schema(format = Binary, value_type = String)]
    file: Vec<u8>,
    campaign_id: i64,
    /// A JSON object: what leads get that do not say otherwise.
    default_values: Option<String>,
}

/// Leads to be added.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; it is read in `leads::import`")]
pub(crate) struct VoiceLeadsInput {
    campaign_id: i64,
    #[schema(value_type = Vec<Object>, min_items = 1, max_items = 1000)]
    leads: Vec<Value>,
    #[schema(value_type = Option<Object>)]
    default_values: Option<Value>,
}

/// What became of an import.
#[derive(Serialize, ToSchema)]
pub(crate) struct VoiceLeadsImported {
    message: String,
    imported_count: i64,
    duplicate_count: i64,
    leads: Vec<VoiceLead>,
}
