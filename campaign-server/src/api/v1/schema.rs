//! Bodies of API 1 for the OpenAPI document. Answers are made in [`super::present`] and may hold more than is listed; a test checks
//! every documented answer against these schemas.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// One sentence.
#[derive(Serialize, ToSchema)]
pub(crate) struct Message {
    #[schema(example = "Campaign deleted successfully")]
    message: String,
}

/// Whole pages of a listing.
#[derive(Serialize, ToSchema)]
pub(crate) struct Pagination {
    /// From 1.
    #[schema(minimum = 1)]
    page: i64,
    per_page: i64,
    total_items: i64,
    total_pages: i64,
    has_next: bool,
    has_prev: bool,
}

/// The kinds of campaigns; an own kind has its registered name.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Draft,
    Scheduled,
    Running,
    Paused,
    Completed,
    Cancelled,
    Failed,
}

/// A contact's status.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ContactStatusName {
    Pending,
    InProgress,
    Completed,
    Failed,
    NoAnswer,
    Busy,
    Voicemail,
    Skipped,
    Cancelled,
}

/// When the campaign starts and in which hours it calls, as the published client writes it.
#[derive(Serialize, Deserialize, ToSchema)]
pub(crate) struct ClientSchedule {
    /// `immediate`, `once` (or `scheduled`), `recurring`.
    #[schema(example = "immediate")]
    schedule_type: Option<String>,
    /// A moment, or a local time in `timezone`.
    scheduled_at: Option<String>,
    #[schema(example = "America/New_York")]
    timezone: Option<String>,
    /// 0 is Monday, 6 is Sunday.
    days_of_week: Option<Vec<i64>>,
    /// `HH:MM`.
    start_time: Option<String>,
    /// `HH:MM`.
    end_time: Option<String>,
    recurring_config: Option<RecurringConfig>,
}

/// A recurring start.
#[derive(Serialize, Deserialize, ToSchema)]
pub(crate) struct RecurringConfig {
    /// `daily`, `weekly` or `monthly`.
    frequency: Option<String>,
    /// Every so many days, weeks or months.
    #[schema(minimum = 1, maximum = 1000)]
    interval: Option<i64>,
    /// 1 is Monday, 7 is Sunday.
    days_of_week: Option<Vec<i64>>,
    #[schema(minimum = 1, maximum = 31)]
    day_of_month: Option<i64>,
    /// `HH:MM`.
    time: Option<String>,
    time_zone: Option<String>,
    /// `YYYY-MM-DD`, inclusive; the day on which it is set, if there is none.
    start_date: Option<String>,
    /// `YYYY-MM-DD`, inclusive.
    end_date: Option<String>,
}

/// Limits and texts as the published client writes them.
#[derive(Serialize, Deserialize, ToSchema)]
pub(crate) struct ClientSettings {
    max_concurrent_calls: Option<i64>,
    calls_per_minute: Option<i64>,
    max_attempts: Option<i64>,
    retry_delay_minutes: Option<i64>,
    leave_voicemail: Option<bool>,
    voicemail_message: Option<String>,
    welcome_template: Option<String>,
    agenda_template: Option<String>,
}

/// A calling window.
#[derive(Serialize, Deserialize, ToSchema)]
pub(crate) struct Hours {
    /// `HH:MM`.
    #[schema(example = "09:00")]
    start: String,
    /// `HH:MM`.
    #[schema(example = "17:00")]
    end: String,
    /// `monday` to `sunday`; every day if there is none.
    #[serde(default)]
    days: Vec<String>,
}

/// One calling window or several.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum AllowedHours {
    One(Hours),
    Several(Vec<Hours>),
}

/// Limits and calling hours.
#[derive(Serialize, Deserialize, ToSchema)]
pub(crate) struct ExecutionSettings {
    allowed_hours: Option<AllowedHours>,
    time_zone: Option<String>,
    concurrent_limit: Option<i64>,
    rate_limit_per_minute: Option<i64>,
    max_attempts: Option<i64>,
    retry_delay_minutes: Option<i64>,
}

/// Voicemail.
#[derive(Serialize, Deserialize, ToSchema)]
pub(crate) struct AdvancedSettings {
    enable_voicemail_detection: Option<bool>,
    leave_voicemail: Option<bool>,
    voicemail_message: Option<String>,
}

/// A campaign to be created. Every field of the engine's campaigns is taken as well; what is not known is kept and given back.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({
    "name": "February Appointment Reminders", "campaign_type": "call", "assistant_id": 123,
    "welcome_message_template": "Hi {{name|title_case}}, this is {{assistant_name}} calling from {{company}}.",
    "fallback_values": {"name": "there", "company": "our office"}, "max_attempts": 3, "retry_delay_minutes": 60
}))]
#[expect(dead_code, reason = "describes the body; it is read in `dialect`")]
pub(crate) struct CampaignInput {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// `call`, `sms`, `mixed`, `whatsapp`, or a kind registered with the engine.
    #[schema(example = "call")]
    campaign_type: String,
    assistant_id: i64,
    #[serde(flatten)]
    rest: CampaignPatch,
    contacts: Option<Vec<ContactInput>>,
    organization_id: Option<i64>,
}

/// What may be changed. What is left out stays.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; it is read in `dialect`")]
pub(crate) struct CampaignPatch {
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    description: Option<String>,
    welcome_message_template: Option<String>,
    agenda_template: Option<String>,
    end_call_message_template: Option<String>,
    sms_message_template: Option<String>,
    #[schema(minimum = 1, maximum = 10)]
    max_attempts: Option<i64>,
    #[schema(minimum = 5, maximum = 1440)]
    retry_delay_minutes: Option<i64>,
    fallback_values: Option<BTreeMap<String, String>>,
    variable_mappings: Option<BTreeMap<String, String>>,
    available_variables: Option<Vec<String>>,
    #[schema(value_type = Option<Object>)]
    pending_import: Option<Value>,
    phone_number_id: Option<i64>,
    from_phone_number: Option<String>,
    concurrent_limit: Option<i64>,
    rate_limit_per_minute: Option<i64>,
    schedule: Option<ClientSchedule>,
    settings: Option<ClientSettings>,
    execution_settings: Option<ExecutionSettings>,
    advanced_settings: Option<AdvancedSettings>,
}

/// What a campaign came to.
#[derive(Serialize, ToSchema)]
pub(crate) struct CampaignMetrics {
    success_rate: f64,
    answer_rate: f64,
    average_duration_seconds: f64,
    total_duration_seconds: i64,
    actual_cost: f64,
}

/// A campaign.
#[derive(Serialize, ToSchema)]
pub(crate) struct CampaignObject {
    id: i64,
    /// 0 when it belongs to none.
    organization_id: i64,
    name: String,
    #[schema(required)]
    description: Option<String>,
    campaign_type: String,
    status: Status,
    /// 0 when it has none.
    assistant_id: i64,
    #[schema(required)]
    assistant_name: Option<String>,
    #[schema(required)]
    welcome_message_template: Option<String>,
    #[schema(required)]
    agenda_template: Option<String>,
    #[schema(required)]
    end_call_message_template: Option<String>,
    #[schema(required)]
    sms_message_template: Option<String>,
    fallback_values: BTreeMap<String, String>,
    variable_mappings: BTreeMap<String, String>,
    available_variables: Vec<String>,
    max_attempts: i64,
    retry_delay_minutes: i64,
    #[schema(required)]
    concurrent_limit: Option<i64>,
    #[schema(required)]
    rate_limit_per_minute: Option<i64>,
    total_contacts: i64,
    completed_contacts: i64,
    failed_contacts: i64,
    metrics: CampaignMetrics,
    #[schema(value_type = Object)]
    schedule: Value,
    #[schema(value_type = Object)]
    settings: Value,
    #[schema(value_type = Object)]
    execution_settings: Value,
    #[schema(value_type = Object)]
    advanced_settings: Value,
    #[schema(required)]
    phone_number_id: Option<i64>,
    #[schema(required)]
    from_phone_number: Option<String>,
    #[schema(required)]
    last_import_file_name: Option<String>,
    #[schema(required)]
    last_import_date: Option<String>,
    #[schema(required)]
    last_import_row_count: Option<i64>,
    created_at: String,
    updated_at: String,
    #[schema(required)]
    started_at: Option<String>,
    #[schema(required)]
    completed_at: Option<String>,
}

/// A page of campaigns; `items` is the same list.
#[derive(Serialize, ToSchema)]
pub(crate) struct CampaignList {
    campaigns: Vec<CampaignObject>,
    items: Vec<CampaignObject>,
    total: i64,
    skip: i64,
    limit: i64,
    pagination: Pagination,
}

/// A campaign, with a message about what was done to it.
#[derive(Serialize, ToSchema)]
pub(crate) struct CampaignReply {
    message: String,
    #[serde(flatten)]
    campaign: CampaignObject,
}

/// The campaign, and what its start means.
#[derive(Serialize, ToSchema)]
pub(crate) struct Started {
    success: bool,
    #[schema(example = "Campaign execution started immediately")]
    message: String,
    task_id: String,
    campaign_id: i64,
    /// How the campaign stands by now; `status` says `scheduled` as the documents have it.
    current_status: Status,
    /// When it starts, for a start in the future.
    scheduled_time: Option<String>,
    #[serde(flatten)]
    campaign: CampaignObject,
}

/// Which contacts, and when.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"contact_selection": "failed_only", "schedule_settings": {"schedule_type": "immediate"}}))]
#[expect(dead_code, reason = "describes the body; it is read in `lifecycle`")]
pub(crate) struct ReexecuteInput {
    contact_selection: Option<ContactSelection>,
    schedule_settings: Option<ScheduleInput>,
}

/// `all`, `failed_only`, or ids of contacts.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the body; it is read in `lifecycle`")]
pub(crate) enum ContactSelection {
    Name(String),
    Ids(Vec<i64>),
}

/// What a re-execution came to.
#[derive(Serialize, ToSchema)]
pub(crate) struct Reexecuted {
    success: bool,
    message: String,
    campaign_id: i64,
    contacts_reset: i64,
    /// `immediate`, `once` or `recurring`.
    schedule_type: String,
    status: Status,
    scheduled_time: Option<String>,
}

/// A start.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"schedule_type": "scheduled", "scheduled_at": "2030-02-15T09:00:00", "timezone": "America/New_York"}))]
#[expect(dead_code, reason = "describes the body; it is read in `lifecycle`")]
pub(crate) struct ScheduleInput {
    /// `immediate`, `scheduled` (or `once`), `recurring`.
    schedule_type: String,
    /// A moment, or a local time in `timezone`; for `scheduled`.
    scheduled_at: Option<String>,
    timezone: Option<String>,
    /// For `recurring`.
    recurring_config: Option<RecurringConfig>,
}

/// When a campaign starts.
#[derive(Serialize, ToSchema)]
pub(crate) struct ScheduleObject {
    schedule_type: String,
    #[schema(required)]
    scheduled_at: Option<String>,
    timezone: String,
    #[schema(required)]
    recurring_config: Option<RecurringConfig>,
}

/// A schedule that was saved.
#[derive(Serialize, ToSchema)]
pub(crate) struct Saved {
    success: bool,
    #[schema(example = "Schedule saved")]
    message: String,
    campaign_id: i64,
    status: Status,
}

/// A contact to be added. Every other key becomes a variable.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; it is read by the import")]
pub(crate) struct ContactInput {
    #[schema(example = "+15551234567")]
    phone_number: String,
    name: Option<String>,
    email: Option<String>,
    company: Option<String>,
    #[schema(value_type = Option<Object>)]
    variables: Option<Value>,
}

/// Contacts to be added.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; it is read by the import")]
pub(crate) struct ContactsInput {
    contacts: Vec<ContactInput>,
}

/// What the documents say of a contact.
#[derive(Serialize, ToSchema)]
pub(crate) struct ContactData {
    #[schema(required)]
    company: Option<String>,
    /// `csv_import`, `json_import`, `spreadsheet_import`, `list` or `api`.
    source: String,
    #[schema(value_type = Object)]
    variable_values: Value,
    #[schema(value_type = Object)]
    custom_fields: Value,
}

/// A contact.
#[derive(Serialize, ToSchema)]
pub(crate) struct ContactObject {
    id: i64,
    campaign_id: i64,
    phone_number: String,
    #[schema(required)]
    name: Option<String>,
    #[schema(required)]
    email: Option<String>,
    #[schema(value_type = Object)]
    variables: Value,
    contact_data: ContactData,
    status: ContactStatusName,
    attempts: i64,
    #[schema(required)]
    call_sid: Option<String>,
    #[schema(required)]
    call_status: Option<String>,
    call_duration: i64,
    #[schema(required)]
    error_message: Option<String>,
    created_at: String,
    #[schema(required)]
    last_attempt_at: Option<String>,
    #[schema(required)]
    completed_at: Option<String>,
}

/// A page of contacts; `items` is the same list.
#[derive(Serialize, ToSchema)]
pub(crate) struct ContactList {
    contacts: Vec<ContactObject>,
    items: Vec<ContactObject>,
    total: i64,
    skip: i64,
    limit: i64,
    pagination: Pagination,
}

/// A row that was rejected.
#[derive(Serialize, ToSchema)]
pub(crate) struct RowFault {
    /// Its position in the body, from 0.
    index: Option<i64>,
    /// Its line in the file, from 1.
    line: Option<i64>,
    /// The number as it was given, in the body.
    phone_number: Option<String>,
    code: String,
    error: String,
}

/// What became of contacts that were to be added.
#[derive(Serialize, ToSchema)]
pub(crate) struct Added {
    success: bool,
    #[schema(example = "Successfully added 2 contacts")]
    message: String,
    added_count: i64,
    duplicate_count: i64,
    invalid_count: i64,
    errors: Vec<RowFault>,
    /// Whether more rows were rejected than `errors` shows.
    errors_truncated: bool,
    total_contacts: i64,
    contacts: Vec<ContactObject>,
    items: Vec<ContactObject>,
}

/// A form with a file.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the form; it is read in `imports`")]
pub(crate) struct UploadInput {
    /// CSV, TSV, JSON, JSON Lines, XLSX, XLS or ODS.
    #[schema(format = Binary, value_type = String)]
    file: Vec<u8>,
    /// A JSON object: column to field or variable.
    #[schema(example = "{\"Phone Number\": \"phone_number\"}")]
    column_mappings: Option<String>,
}

/// What became of a file.
#[derive(Serialize, ToSchema)]
pub(crate) struct Imported {
    success: bool,
    #[schema(example = "Successfully imported 250 contacts")]
    message: String,
    import_id: i64,
    /// `processing`, `completed` or `failed`.
    status: String,
    /// Not while it is processing.
    imported_count: Option<i64>,
    total_contacts: Option<i64>,
    duplicate_count: Option<i64>,
    invalid_count: Option<i64>,
    #[schema(required)]
    file_name: Option<String>,
    import_date: String,
    errors: Option<Vec<RowFault>>,
    /// Whether more rows were rejected than `errors` shows.
    errors_truncated: Option<bool>,
}

/// The documents' counters.
#[derive(Serialize, ToSchema)]
pub(crate) struct Counters {
    total_contacts: i64,
    completed: i64,
    failed: i64,
    processing: i64,
    pending: i64,
    progress_percentage: f64,
    success_rate: f64,
}

/// The documents' metrics.
#[derive(Serialize, ToSchema)]
pub(crate) struct Metrics {
    total_duration_seconds: i64,
    average_duration_seconds: f64,
    success_rate: f64,
    answer_rate: f64,
    completion_rate: f64,
    cost_estimate: f64,
    actual_cost: f64,
    last_updated: String,
}

/// An execution in short.
#[derive(Serialize, ToSchema)]
pub(crate) struct Activity {
    execution_id: i64,
    #[schema(required)]
    contact_phone: Option<String>,
    status: ContactStatusName,
    executed_at: String,
    #[schema(required)]
    call_id: Option<String>,
}

/// How a campaign stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProgressObject {
    campaign_id: i64,
    status: Status,
    progress: Counters,
    metrics: Metrics,
    #[schema(required)]
    started_at: Option<String>,
    #[schema(required)]
    completed_at: Option<String>,
    recent_activity: Vec<Activity>,
    total_contacts: i64,
    completed_contacts: i64,
    failed_contacts: i64,
    pending_contacts: i64,
    in_progress_contacts: i64,
    completion_percentage: f64,
    completion_rate: f64,
    success_rate: f64,
    answer_rate: f64,
    average_duration: f64,
    total_cost: f64,
    #[schema(required)]
    estimated_completion: Option<String>,
}

/// An attempt to reach a contact.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExecutionObject {
    id: i64,
    execution_id: i64,
    contact_id: i64,
    #[schema(required)]
    contact_name: Option<String>,
    #[schema(required)]
    contact_phone: Option<String>,
    status: ContactStatusName,
    #[schema(required)]
    call_id: Option<String>,
    #[schema(required)]
    sms_id: Option<String>,
    executed_at: String,
    #[schema(value_type = Object)]
    execution_data: Value,
}

/// A page of executions; `items` is the same list.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExecutionList {
    executions: Vec<ExecutionObject>,
    items: Vec<ExecutionObject>,
    total: i64,
    pagination: Pagination,
}

/// A template to be rendered.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"template": "Hi {{name|default('there')}}!", "variables": {"name": "John"}}))]
#[expect(dead_code, reason = "describes the body; it is read in `templates`")]
pub(crate) struct PreviewInput {
    template: String,
    #[schema(value_type = Option<Object>)]
    variables: Option<Value>,
    fallback_values: Option<BTreeMap<String, String>>,
}

/// A campaign's template to be rendered.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"template_type": "welcome_message", "variables": {"name": "John"}}))]
#[expect(dead_code, reason = "describes the body; it is read in `templates`")]
pub(crate) struct NamedPreviewInput {
    /// `welcome_message`, `agenda`, `end_call_message`, `sms_message`, with or without `_template`.
    template_type: Option<String>,
    /// A text to be rendered instead.
    template: Option<String>,
    #[schema(value_type = Option<Object>)]
    variables: Option<Value>,
}

/// A rendered template.
#[derive(Serialize, ToSchema)]
pub(crate) struct Preview {
    /// False when the template is wrong.
    success: bool,
    rendered_template: String,
}

/// A number that must not be contacted.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; it is read in `dnc`")]
pub(crate) struct DncInput {
    #[schema(example = "+15551234567")]
    phone_number: String,
    /// Only in this campaign; in all of the organization if not said.
    campaign_id: Option<i64>,
    reason: Option<String>,
    /// When the entry ends; never if not said.
    expires_at: Option<String>,
}

/// A number to be taken off the do-not-contact list.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; it is read in `dnc`")]
pub(crate) struct DncNumber {
    #[schema(example = "+15551234567")]
    phone_number: Option<String>,
    /// The entry of this campaign; that of the organization if not said.
    campaign_id: Option<i64>,
}

/// An entry of the do-not-contact list.
#[derive(Serialize, ToSchema)]
pub(crate) struct DncEntry {
    phone_number: String,
    reason: String,
    #[schema(required)]
    source: Option<String>,
    created_at: String,
    #[schema(required)]
    expires_at: Option<String>,
}

/// A page of the do-not-contact list.
#[derive(Serialize, ToSchema)]
pub(crate) struct DncList {
    items: Vec<DncEntry>,
    total: i64,
    pagination: Pagination,
}

/// An entry that was added.
#[derive(Serialize, ToSchema)]
pub(crate) struct DncAdded {
    success: bool,
    message: String,
    #[serde(flatten)]
    entry: DncEntry,
}

/// An entry that was taken off.
#[derive(Serialize, ToSchema)]
pub(crate) struct DncRemoved {
    success: bool,
    message: String,
    removed_count: i64,
}

/// Open WebSockets.
#[derive(Serialize, ToSchema)]
pub(crate) struct Connections {
    campaign_id: i64,
    active_connections: i64,
}
