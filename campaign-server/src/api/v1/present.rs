//! From the engine's records to the objects of API 1: the documents' fields and those of the published client together.

use super::dialect::{COMPOSITES, memory, remembered, still_holds};
use campaign_core::campaign::{CampaignRecord, CampaignSpec};
use campaign_core::contact::Contact;
use campaign_core::event::Progress;
use campaign_core::outcome::Attempt;
use campaign_core::schedule::{Schedule, Weekday};
use campaign_core::store::Suppression;
use campaign_core::wire::{self, Object};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Moments as the documents write them: UTC with a `Z`, and whole seconds or microseconds, which is what clients in Python can read.
pub(crate) fn moment(at: Timestamp) -> String {
    if at.subsec_nanosecond() / 1000 == 0 {
        at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    } else {
        at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
    }
}

/// The same with `+00:00`, which the published client's WebSocket half needs.
pub(crate) fn offset_moment(at: Timestamp) -> String {
    let text = moment(at);
    format!("{}+00:00", text.trim_end_matches('Z'))
}

/// Rewrites every moment of a flat record.
fn tidy(record: &mut Object) {
    for (name, value) in record.iter_mut() {
        let names_moment =
            name.ends_with("_at") || matches!(name.as_str(), "last_import_date" | "next_start" | "deadline" | "estimated_completion");
        if names_moment && let Some(at) = value.as_str().and_then(|text| text.parse::<Timestamp>().ok()) {
            *value = moment(at).into();
        }
    }
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

/// A campaign, with its counters and metrics.
pub(crate) fn campaign(record: &CampaignRecord, progress: &Progress) -> Object {
    let spec = &record.spec;
    let mut out = object(wire::campaign(record, Some(progress)));
    tidy(&mut out);
    // The published client needs both as numbers; 0 stands for none.
    for name in ["organization_id", "assistant_id"] {
        if out.get(name).is_none_or(Value::is_null) {
            out.insert(name.to_owned(), 0.into());
        }
    }
    if let Some(metadata) = out.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| key != super::dialect::KEY && !crate::api::owned::KEYS.contains(&key.as_str()));
    }
    out.insert("phone_number_id".to_owned(), Value::Null);
    out.insert("from_phone_number".to_owned(), spec.caller_ids.first().map_or(Value::Null, |caller| caller.number.as_str().into()));
    out.insert("settings".to_owned(), settings(spec));
    out.insert("schedule".to_owned(), schedule(spec));
    out.insert("execution_settings".to_owned(), execution_settings(spec));
    out.insert("advanced_settings".to_owned(), json!(spec.voicemail));
    if let [window] = spec.windows.allowed.as_slice() {
        // The documents have one window, the engine any number.
        out.insert("allowed_hours".to_owned(), json!(window));
    }
    out.insert("time_windows".to_owned(), json!(spec.windows.allowed));
    out.insert(
        "metrics".to_owned(),
        json!({
            "success_rate": progress.success_rate,
            "answer_rate": progress.answer_rate,
            "average_duration_seconds": progress.average_duration,
            "total_duration_seconds": progress.total_duration_seconds,
            "actual_cost": progress.total_cost,
        }),
    );
    for (name, kept) in memory(spec).into_iter().flatten() {
        let Some(value) = kept.get(0) else { continue };
        if COMPOSITES.contains(&name.as_str()) {
            if still_holds(spec, name, value) {
                overlay(&mut out, name, value);
            }
        } else if name == "phone_number_id" || (name != "made_steps" && !out.contains_key(name)) {
            // Nothing that was given stands in place of how things are.
            out.insert(name.clone(), value.clone());
        }
    }
    out
}

/// Where a schedule of the published client says its hours.
const HOURS: [&str; 3] = ["start_time", "end_time", "days_of_week"];

fn says_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

/// What was asked for, over what is so anyway. `schedule` and `settings` are objects whatever was given.
fn overlay(out: &mut Object, name: &str, value: &Value) {
    match (out.get_mut(name), value) {
        // Null was only not given; and a schedule that says nothing of hours does not say that there are none.
        (Some(Value::Object(shown)), Value::Object(given)) => {
            let silent = name == "schedule" && HOURS.iter().all(|key| given.get(*key).is_none_or(says_nothing));
            let said = given.iter().filter(|(key, value)| !shown.contains_key(*key) || !value.is_null());
            let said = said.filter(|(key, _)| !silent || !HOURS.contains(&key.as_str()));
            let said: Object = said.map(|(key, value)| (key.clone(), value.clone())).collect();
            shown.extend(said);
        }
        (_, Value::Null) => {}
        _ => {
            out.insert(name.to_owned(), value.clone());
        }
    }
}

fn settings(spec: &CampaignSpec) -> Value {
    json!({
        "max_concurrent_calls": spec.concurrent_limit,
        "calls_per_minute": spec.rate_limit_per_minute,
        "max_attempts": spec.max_attempts,
        "retry_delay_minutes": spec.retry_delay_minutes,
        "leave_voicemail": spec.voicemail.leave_voicemail,
        "voicemail_message": spec.voicemail.voicemail_message,
        "welcome_template": spec.templates.get("welcome_message"),
        "agenda_template": spec.templates.get("agenda"),
    })
}

fn execution_settings(spec: &CampaignSpec) -> Value {
    let mut out = json!({
        "max_attempts": spec.max_attempts,
        "retry_delay_minutes": spec.retry_delay_minutes,
        "concurrent_limit": spec.concurrent_limit,
        "rate_limit_per_minute": spec.rate_limit_per_minute,
        "time_zone": spec.time_zone,
    });
    if let [window] = spec.windows.allowed.as_slice() {
        out["allowed_hours"] = json!(window);
    }
    out
}

/// The client's schedule: the start, and the one calling window.
fn schedule(spec: &CampaignSpec) -> Value {
    let (kind, at, zone) = match &spec.schedule {
        Schedule::Immediate => ("immediate", None, spec.time_zone.as_str()),
        Schedule::Once { scheduled_at, timezone, .. } => ("once", Some(moment(*scheduled_at)), timezone.as_str()),
        Schedule::Recurring { recurring_config, .. } => ("recurring", None, recurring_config.time_zone.as_str()),
    };
    let window = match spec.windows.allowed.as_slice() {
        [window] => Some(window),
        _ => None,
    };
    let days: Vec<usize> = window
        .map(|window| window.days.iter().filter_map(|day| Weekday::ALL.iter().position(|other| other == day)).collect())
        .unwrap_or_default();
    let mut out = json!({
        "schedule_type": kind,
        "scheduled_at": at,
        "timezone": zone,
        "days_of_week": days,
        "start_time": window.map(|window| &window.start),
        "end_time": window.map(|window| &window.end),
    });
    if let Schedule::Recurring { recurring_config, .. } = &spec.schedule {
        out["recurring_config"] = json!(recurring_config);
    }
    out
}

/// The answer of `GET .../schedule`: the documents call a single start `scheduled`.
pub(crate) fn start(spec: &CampaignSpec) -> Value {
    let full = schedule(spec);
    let asked = remembered(spec, "schedule").filter(|value| still_holds(spec, "schedule", value));
    let get = |name: &str| asked.and_then(|asked| asked.get(name)).or_else(|| full.get(name)).cloned().unwrap_or_default();
    let kind = match asked.and_then(|asked| asked.get("schedule_type")).and_then(Value::as_str) {
        Some(name) => name.to_owned(),
        None => match &spec.schedule {
            Schedule::Immediate => "immediate".to_owned(),
            Schedule::Once { .. } => "scheduled".to_owned(),
            Schedule::Recurring { .. } => "recurring".to_owned(),
        },
    };
    let rule = if matches!(spec.schedule, Schedule::Recurring { .. }) { get("recurring_config") } else { Value::Null };
    json!({ "schedule_type": kind, "scheduled_at": full["scheduled_at"], "timezone": get("timezone"), "recurring_config": rule })
}

/// A contact; `last` is its last attempt, when it has had one.
pub(crate) fn contact(contact: &Contact, last: Option<&Attempt>) -> Value {
    let mut out = object(wire::contact(contact));
    tidy(&mut out);
    let person = &contact.person;
    let mut values = person.variables.clone();
    if let Some(name) = &person.name {
        values.insert("name".to_owned(), name.as_str().into());
    }
    let data = json!({
        "company": person.company,
        "source": person.source,
        "variable_values": values,
        "custom_fields": person.variables,
    });
    out.insert("contact_data".to_owned(), data);
    let shown = last.map(wire::execution).unwrap_or_default();
    out.insert("call_sid".to_owned(), shown["provider_ref"].clone());
    out.insert("call_status".to_owned(), shown["disposition"].clone());
    Value::Object(out)
}

/// An entry of the do-not-contact list.
pub(crate) fn suppression(entry: &Suppression) -> Object {
    let mut out = object(wire::suppression_entry(entry));
    tidy(&mut out);
    out
}

/// How a campaign stands, nested as in the documents and flat as the published client reads it.
pub(crate) fn progress(record: &CampaignRecord, progress: &Progress, now: Timestamp) -> Object {
    let mut out = object(wire::progress(progress));
    tidy(&mut out);
    let open = progress.pending_contacts + progress.in_progress_contacts;
    let ahead = record.spec.cost_per_attempt.units() * open as f64;
    out.insert("progress".to_owned(), counters(progress));
    out.insert(
        "metrics".to_owned(),
        json!({
            "total_duration_seconds": progress.total_duration_seconds,
            "average_duration_seconds": progress.average_duration,
            "success_rate": progress.success_rate,
            "answer_rate": progress.answer_rate,
            "completion_rate": progress.completion_rate,
            "cost_estimate": cents(progress.total_cost.units() + ahead),
            "actual_cost": progress.total_cost,
            "last_updated": moment(now),
        }),
    );
    out
}

/// The nested counters.
fn counters(progress: &Progress) -> Value {
    json!({
        "total_contacts": progress.total_contacts,
        "completed": progress.completed_contacts,
        "failed": progress.failed_contacts,
        "processing": progress.in_progress_contacts,
        "pending": progress.pending_contacts,
        "progress_percentage": progress.completion_percentage,
        "success_rate": progress.success_rate,
    })
}

/// What the WebSocket says of a campaign: the nested form.
pub(crate) fn live(progress: &Progress) -> Value {
    json!({
        "campaign_id": progress.campaign_id,
        "status": progress.status,
        "progress": counters(progress),
        "started_at": progress.started_at.map(moment),
        "completed_at": progress.completed_at.map(moment),
    })
}

fn cents(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}

/// One line of `recent_activity`.
pub(crate) fn activity(attempt: &Attempt, contact: Option<&Contact>) -> Value {
    let shown = wire::execution(attempt);
    json!({
        "execution_id": shown["execution_id"],
        "contact_id": shown["contact_id"],
        "contact_phone": contact.map(|contact| contact.person.phone.as_str()),
        "status": shown["status"],
        "executed_at": moment(attempt.started_at.unwrap_or(attempt.claimed_at)),
        "call_id": shown["call_id"],
    })
}

/// An execution; `texts` are what the campaign's templates make of the contact, when they are still those of the attempt.
pub(crate) fn execution(attempt: &Attempt, contact: Option<&Contact>, texts: &Object) -> Value {
    let mut out = object(wire::execution(attempt));
    tidy(&mut out);
    let person = contact.map(|contact| &contact.person);
    let provider = out.remove("data").unwrap_or_default();
    let text = |name: &str| texts.get(name).cloned().unwrap_or_default();
    let mut data = json!({
        "from_number": out.get("from_number"),
        "to_number": person.map(|person| person.phone.as_str()),
        "personalized_welcome_message": text("welcome_message"),
        "personalized_agenda": text("agenda"),
        "template_variables_used": person.map(|person| {
            let mut values = person.variables.clone();
            if let Some(name) = &person.name {
                values.insert("name".to_owned(), name.as_str().into());
            }
            values
        }),
        "duration_seconds": out.get("duration_seconds"),
        "error_details": out.get("error_details"),
        "retry_reason": out.get("retry_reason"),
        "voice_analytics": provider.get("voice_analytics"),
    });
    if let Some(message) = texts.get("sms_message") {
        data["personalized_message"] = message.clone();
    }
    out.insert("contact_name".to_owned(), person.and_then(|person| person.name.as_deref()).into());
    out.insert("contact_phone".to_owned(), person.map(|person| person.phone.as_str()).into());
    out.insert("execution_data".to_owned(), data);
    out.insert("provider_data".to_owned(), provider);
    if out.get("executed_at").is_none_or(Value::is_null) {
        out.insert("executed_at".to_owned(), moment(attempt.claimed_at).into());
    }
    Value::Object(out)
}

/// The documented keys on top of an object.
pub(crate) fn with(mut object: Object, more: Value) -> Value {
    if let Value::Object(more) = more {
        object.extend(more);
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_as_python_reads_them() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(moment(at("2024-02-15T09:00:00Z")), "2024-02-15T09:00:00Z");
        assert_eq!(moment(at("2024-02-15T09:00:00.5Z")), "2024-02-15T09:00:00.500000Z");
        assert_eq!(offset_moment(at("2024-02-15T09:00:00.123456789Z")), "2024-02-15T09:00:00.123456+00:00");
    }
}
