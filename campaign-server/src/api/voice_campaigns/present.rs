//! From the engine's records to the objects of this API.

use super::fields::{self, KEY};
use super::status;
use crate::api::owned::{self, cents, moment};
use campaign_core::campaign::CampaignRecord;
use campaign_core::event::Progress;
use campaign_core::schedule::Weekday;
use campaign_core::wire::Object;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// What each campaign is shown with whether it was given or not.
const OPTIONAL: &[&str] = &[
    "campaign_type",
    "ai_voice_id",
    "ai_voice_language",
    "ai_voice_gender",
    "system_prompt",
    "fallback_script",
    "success_criteria",
    "expected_completion_date",
    "owner_id",
    "team_members",
    "tags",
    "notes",
    "start_date",
    "end_date",
    "recurrence_rule",
    "company_id",
    "webhook_url",
    "webhook_urls",
];

/// The figures that the documents derive from counters.
pub(super) struct Figures {
    /// Leads, those that were ruled out too.
    pub(super) total: u64,
    /// Leads that are done.
    pub(super) completed: u64,
    /// Of those, who was reached.
    pub(super) successful: u64,
    /// Of those, who was not.
    pub(super) failed: u64,
}

impl Figures {
    pub(super) fn of(progress: &Progress) -> Self {
        let (successful, failed) = (progress.completed_contacts, progress.failed_contacts);
        let total = progress.total_contacts + progress.skipped_contacts + progress.cancelled_contacts;
        Self { total, completed: successful + failed, successful, failed }
    }

    /// `100 successful / completed`, with two decimals.
    pub(super) fn success_rate(&self) -> f64 {
        rate(self.successful, self.completed)
    }

    /// What the completed calls cost by the price of a call.
    pub(super) fn cost(&self, record: &CampaignRecord) -> f64 {
        cents(self.completed as f64 * record.spec.cost_per_attempt.units())
    }
}

/// A percentage with two decimals.
pub(super) fn rate(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { cents(part as f64 * 100.0 / whole as f64) }
}

/// A campaign.
pub(super) fn campaign(record: &CampaignRecord, progress: &Progress) -> Object {
    let spec = &record.spec;
    let figures = Figures::of(progress);
    let window = spec.windows.allowed.first();
    let days = window.map(|window| if window.days.is_empty() { Weekday::ALL.to_vec() } else { window.days.clone() });
    let mut out = Object::new();
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    put("id", json!(record.id));
    put("name", json!(spec.name));
    put("description", json!(spec.description));
    put("status", status::shown(record).into());
    put("priority", json!(spec.priority));
    put("calls_per_day", json!(spec.calls_per_day));
    put("total_leads", figures.total.into());
    put("completed_calls", figures.completed.into());
    put("successful_calls", figures.successful.into());
    put("failed_calls", figures.failed.into());
    put("calling_hours_start", window.map(|window| clock(&window.start)).into());
    put("calling_hours_end", window.map(|window| clock(&window.end)).into());
    put("time_zone", json!(spec.time_zone));
    put("working_days", days.unwrap_or_default().into_iter().map(fields::day_name).collect());
    put("script_template", json!(spec.templates.get("welcome_message")));
    put("max_attempts_per_lead", spec.max_attempts.into());
    put("retry_delay_minutes", spec.retry_delay_minutes.into());
    put("call_duration_limit", spec.max_duration_seconds.into());
    put("budget", json!(spec.budget));
    put("cost_per_call", json!(spec.cost_per_attempt));
    put("budget_threshold_percent", spec.budget_threshold_percent.into());
    let memory = fields::memory(spec);
    for name in OPTIONAL {
        put(name, memory.get(*name).cloned().unwrap_or_default());
    }
    if memory.get("ai_voice_language").is_none_or(Value::is_null) {
        put("ai_voice_language", "en-US".into());
    }
    let date = |name: &str| memory.get(name).and_then(Value::as_str);
    let start = date("start_date").and_then(|text| fields::moment(text, &spec.time_zone, "start_date").ok());
    let end = date("end_date").and_then(|text| fields::end_of(text, &spec.time_zone, "end_date").ok());
    for (name, at) in [("start_date", start), ("end_date", end)] {
        put(name, at.and_then(|at| Timestamp::from_millisecond(at.as_millisecond()).ok()).map(moment).into());
    }
    // Whether there is one may be known; what it is, not.
    put("webhook_secret_set", owned::remembered(spec, KEY, "webhook_secret").is_some().into());
    put("status_reason", json!(record.reason.as_ref().map(|reason| &reason.text)));
    put("created_at", moment(record.created_at).into());
    put("updated_at", moment(record.updated_at).into());
    out
}

/// A time of day with its seconds.
fn clock(text: &str) -> String {
    if text.len() == 5 { format!("{text}:00") } else { text.to_owned() }
}

/// The answer to a change: a message, the campaign as `data`, and its fields beside them for clients that look there.
pub(super) fn replied(campaign: Map<String, Value>, message: &str) -> Value {
    let mut out = campaign.clone();
    out.insert("message".to_owned(), message.into());
    out.insert("data".to_owned(), campaign.into());
    out.into()
}

/// The priority of a campaign by its name.
pub(super) fn priority(record: &CampaignRecord) -> &'static str {
    match record.spec.priority {
        campaign_core::campaign::Priority::Low => "low",
        campaign_core::campaign::Priority::Medium => "medium",
        campaign_core::campaign::Priority::High => "high",
    }
}
