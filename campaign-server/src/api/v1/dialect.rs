//! From a body of API 1 to the engine's own arguments, and what has to be remembered so that the echo is exact.
//!
//! The documents, the plan and the published client write the same things in different places. Composites (`schedule`, `settings`,
//! `execution_settings`, ...) are remembered as they came; [`super::present`] gives them back as long as they still say what the campaign
//! does. Fields the engine has no place for are remembered too. All of it is kept in [`KEY`] of the campaign's metadata.

use campaign_core::campaign::{CampaignSpec, CampaignType, Step};
use campaign_core::error::{Error, Kind, Result};
use campaign_core::schedule::Schedule;
use campaign_core::wire::{self, Object};
use serde_json::{Map, Value, json};

/// The key of the metadata that is this API's own.
pub(crate) const KEY: &str = "rest_v1";

/// Inputs that are given back as they came while they still hold.
pub(crate) const COMPOSITES: &[&str] =
    &["settings", "schedule", "execution_settings", "advanced_settings", "allowed_hours", "time_windows", "available_variables"];

/// What the engine calls otherwise or has no field for, known to this API besides the fields of a spec.
const ALIASES: &[&str] = &[
    "settings",
    "schedule",
    "execution_settings",
    "advanced_settings",
    "allowed_hours",
    "time_windows",
    "timezone",
    "welcome_message_template",
    "agenda_template",
    "end_call_message_template",
    "sms_message_template",
    "voicemail_message_template",
    "system_prompt_template",
];

/// What `settings` of the client holds.
const SETTINGS: &[&str] = &[
    "max_concurrent_calls",
    "calls_per_minute",
    "max_attempts",
    "retry_delay_minutes",
    "leave_voicemail",
    "voicemail_message",
    "welcome_template",
    "agenda_template",
    "concurrent_limit",
    "rate_limit_per_minute",
    "end_call_message_template",
    "sms_message_template",
];

/// What `execution_settings` holds.
const EXECUTION: &[&str] = &[
    "allowed_hours",
    "time_windows",
    "time_zone",
    "timezone",
    "max_attempts",
    "retry_delay_minutes",
    "concurrent_limit",
    "rate_limit_per_minute",
    "calls_per_day",
];

/// What `advanced_settings` holds.
const ADVANCED: &[&str] = &["enable_voicemail_detection", "leave_voicemail", "voicemail_message"];

/// Fields whose null means "nothing"; of all others null means "not given".
const NULLABLE: &[&str] = &[
    "description",
    "welcome_message_template",
    "agenda_template",
    "end_call_message_template",
    "sms_message_template",
    "phone_number_id",
    "from_phone_number",
    "pending_import",
    "budget",
    "deadline",
    "calls_per_day",
];

/// What answers hold besides what can be given: a client that sends a whole object back changes nothing by these.
const READ_ONLY: &[&str] = &[
    "id",
    "campaign_id",
    "status",
    "current_status",
    "reason",
    "reason_text",
    "run",
    "next_start",
    "spec_version",
    "revision",
    "last_import_file_name",
    "last_import_date",
    "last_import_row_count",
    "created_at",
    "updated_at",
    "started_at",
    "completed_at",
    "total_contacts",
    "completed_contacts",
    "failed_contacts",
    "metrics",
    "message",
    "success",
    "task_id",
    "scheduled_time",
    "contacts_added",
    "contact_errors",
];

/// Maps that an update replaces as a whole.
const REPLACED: &[&str] = &["fallback_values", "variable_mappings", "available_variables"];

/// A body taken apart.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// Arguments of [`wire::spec_patch`].
    pub(crate) arguments: Object,
    /// What is remembered, each as a list of one, so that a merge replaces it as a whole.
    pub(crate) remembered: Object,
}

/// Takes a body apart. What the server deals with itself (`contacts`, `organization_id`) has been taken out before.
///
/// # Errors
/// [`Kind::Invalid`] for composites that make no sense.
pub(crate) fn parts(mut body: Object) -> Result<Parts> {
    let mut parts = Parts::default();
    body.retain(|name, value| !READ_ONLY.contains(&name.as_str()) && (!value.is_null() || NULLABLE.contains(&name.as_str())));
    body.remove("metadata").into_iter().for_each(|mut metadata| {
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.retain(|key, _| key != KEY && !crate::api::owned::KEYS.contains(&key.as_str()));
        }
        parts.arguments.insert("metadata".to_owned(), metadata);
    });
    let fields = spec_fields();
    // Composites first: what is said at the top of the body goes before what a default of the client says inside of one.
    for name in COMPOSITES {
        let Some(value) = body.remove(*name) else { continue };
        parts.remembered.insert((*name).to_owned(), json!([value]));
        if let Some(argument) = composite(name, value)? {
            parts.arguments.insert((*name).to_owned(), argument);
        }
    }
    if let Some(number) = body.remove("from_phone_number")
        && !body.contains_key("caller_ids")
    {
        let callers = if number.is_null() { json!([]) } else { json!([{ "number": number }]) };
        parts.arguments.insert("caller_ids".to_owned(), callers);
    }
    for (name, value) in body {
        if fields.contains_key(&name) || ALIASES.contains(&name.as_str()) {
            parts.arguments.insert(name, value);
        } else {
            parts.remembered.insert(name, json!([value]));
        }
    }
    Ok(parts)
}

/// The names of a spec's own fields.
fn spec_fields() -> Object {
    match serde_json::to_value(CampaignSpec::default()) {
        Ok(Value::Object(mut fields)) => {
            fields.remove("organization");
            fields
        }
        _ => Object::new(),
    }
}

/// A composite as the engine's arguments; what it has no place for is only remembered.
fn composite(name: &str, value: Value) -> Result<Option<Value>> {
    let Value::Object(mut object) = value else {
        return Ok(Some(lower_days(value)));
    };
    let known = match name {
        "settings" => SETTINGS,
        "execution_settings" => EXECUTION,
        "advanced_settings" => ADVANCED,
        "schedule" => return schedule(object).map(|schedule| Some(Value::Object(schedule))),
        _ => return Ok(Some(lower_days(Value::Object(object)))),
    };
    object.retain(|name, value| known.contains(&name.as_str()) && !value.is_null());
    for name in ["allowed_hours", "time_windows"] {
        if let Some(hours) = object.remove(name) {
            object.insert(name.to_owned(), lower_days(hours));
        }
    }
    Ok(Some(Value::Object(object)))
}

/// Days of windows by their names in whatever case.
fn lower_days(value: Value) -> Value {
    match value {
        Value::Array(windows) => Value::Array(windows.into_iter().map(lower_days).collect()),
        Value::Object(mut window) => {
            for day in window.get_mut("days").and_then(Value::as_array_mut).into_iter().flatten() {
                if let Value::String(name) = day {
                    name.make_ascii_lowercase();
                }
            }
            Value::Object(window)
        }
        other => other,
    }
}

/// The client's schedule: days without hours are whole days, and a recurring one may say its rule by days and hours.
fn schedule(mut schedule: Object) -> Result<Object> {
    schedule.retain(|_, value| !value.is_null());
    let days: Vec<i64> = match schedule.get("days_of_week") {
        None => Vec::new(),
        Some(days) => serde_json::from_value(days.clone())
            .map_err(|_| Error::invalid("schedule.days_of_week", "must hold days from 0 (Monday) to 6 (Sunday)"))?,
    };
    let recurring = schedule.get("schedule_type").and_then(Value::as_str) == Some("recurring");
    if recurring && !schedule.contains_key("recurring_config") {
        let rule = json!({
            "frequency": if days.is_empty() { "daily" } else { "weekly" },
            "days_of_week": days.iter().map(|day| day + 1).collect::<Vec<_>>(),
            "time": schedule.get("start_time").cloned().unwrap_or_else(|| "09:00".into()),
            "time_zone": schedule.get("timezone").cloned().unwrap_or_else(|| "UTC".into()),
        });
        schedule.insert("recurring_config".to_owned(), rule);
    }
    let hours = schedule.contains_key("start_time") || schedule.contains_key("end_time");
    if hours || !days.is_empty() {
        schedule.entry("start_time").or_insert_with(|| "00:00".into());
        schedule.entry("end_time").or_insert_with(|| "24:00".into());
    }
    Ok(schedule)
}

/// The spec of a new campaign.
///
/// # Errors
/// [`Kind::Invalid`] for a value of the wrong kind.
pub(crate) fn create(body: Object, organization: Option<i64>) -> Result<CampaignSpec> {
    let Parts { arguments, remembered } = parts(body)?;
    let mut spec = wire::spec(arguments)?;
    spec.organization = organization;
    remember(&mut spec, remembered);
    steps(&mut spec);
    Ok(spec)
}

/// The spec after an update: fields that are given replace.
///
/// # Errors
/// As [`create`].
pub(crate) fn update(spec: &CampaignSpec, body: Object) -> Result<CampaignSpec> {
    let Parts { arguments, remembered } = parts(body)?;
    let mut changed = apply(spec, arguments)?;
    remember(&mut changed, remembered);
    steps(&mut changed);
    Ok(changed)
}

/// The spec with these arguments on top of it.
///
/// # Errors
/// [`Kind::Invalid`] for a value of the wrong kind.
pub(crate) fn apply(spec: &CampaignSpec, arguments: Object) -> Result<CampaignSpec> {
    let mut patch = wire::spec_patch(arguments)?;
    let mut value = to_value(spec)?;
    for name in REPLACED {
        if patch.get(*name).is_some_and(Value::is_object)
            && let Some(field) = value.get_mut(*name)
        {
            *field = json!({});
        }
    }
    // A rule that names no first day keeps the one it was given when it was set.
    if let Some(rule) = patch.get_mut("schedule").and_then(|schedule| schedule.get_mut("recurring_config")).and_then(Value::as_object_mut)
        && !rule.contains_key("start_date")
        && let Schedule::Recurring { recurring_config, .. } = &spec.schedule
        && let Some(first) = &recurring_config.start_date
    {
        rule.insert("start_date".to_owned(), first.clone().into());
    }
    // A schedule that does not say which it is changes the one that is there.
    if patch.get("schedule").is_some_and(|schedule| schedule.get("schedule_type").is_some())
        && let Some(schedule) = patch.remove("schedule")
    {
        value["schedule"] = schedule;
    }
    merge(&mut value, Value::Object(patch));
    serde_json::from_value(value).map_err(|error| Error::new(Kind::Invalid, format!("the change does not fit a campaign: {error}")))
}

fn to_value(spec: &CampaignSpec) -> Result<Value> {
    serde_json::to_value(spec).map_err(|error| Error::new(Kind::Internal, "a spec must serialise").with_source(error))
}

/// RFC 7396.
fn merge(target: &mut Value, patch: Value) {
    match patch {
        Value::Object(patch) => {
            if !target.is_object() {
                *target = Value::Object(Map::new());
            }
            let Value::Object(target) = target else { return };
            for (key, value) in patch {
                if value.is_null() {
                    target.remove(&key);
                } else {
                    merge(target.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        other => *target = other,
    }
}

/// What this API has remembered about a campaign.
pub(crate) fn memory(spec: &CampaignSpec) -> Option<&Object> {
    spec.metadata.get(KEY)?.as_object()
}

/// One thing that was remembered.
pub(crate) fn remembered<'a>(spec: &'a CampaignSpec, name: &str) -> Option<&'a Value> {
    memory(spec)?.get(name)?.get(0)
}

/// Adds to what is remembered.
pub(crate) fn remember(spec: &mut CampaignSpec, more: Object) {
    if more.is_empty() {
        return;
    }
    let memory = spec.metadata.entry(KEY).or_insert_with(|| json!({}));
    if let Some(memory) = memory.as_object_mut() {
        memory.extend(more);
    }
}

/// The documents know mixed campaigns without steps: a call, and an SMS after it when there is a text for one.
fn steps(spec: &mut CampaignSpec) {
    const MADE: &str = "made_steps";
    let made = remembered(spec, MADE).is_some();
    if spec.campaign_type != CampaignType::Mixed || (!spec.steps.is_empty() && !made) {
        return;
    }
    spec.steps = vec![Step::call()];
    if spec.templates.contains_key("sms_message") {
        spec.steps.push(Step::sms());
    }
    remember(spec, Object::from_iter([(MADE.to_owned(), json!([true]))]));
}

/// Whether something remembered still says what the campaign does: applied again, it changes nothing.
pub(crate) fn still_holds(spec: &CampaignSpec, name: &str, value: &Value) -> bool {
    let Ok(Some(argument)) = composite(name, value.clone()) else { return false };
    apply(spec, Object::from_iter([(name.to_owned(), argument)])).is_ok_and(|applied| applied == *spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Object {
        value.as_object().unwrap().clone()
    }

    fn made(value: Value) -> CampaignSpec {
        let spec = create(object(value), Some(3)).unwrap();
        spec.validate().unwrap();
        spec
    }

    #[test]
    fn the_top_of_the_body_goes_before_the_clients_defaults() {
        let spec = made(json!({"name": "n", "campaign_type": "call", "max_attempts": 7, "welcome_message_template": "Hi",
            "settings": {"max_attempts": 3, "max_concurrent_calls": 9, "welcome_template": null, "colour": "red"}}));
        assert_eq!((spec.max_attempts, spec.concurrent_limit, spec.organization), (7, Some(9), Some(3)));
        assert_eq!(spec.templates["welcome_message"], "Hi");
        assert_eq!(remembered(&spec, "settings").unwrap()["colour"], "red");
    }

    #[test]
    fn what_the_engine_has_no_place_for_is_remembered() {
        let spec = made(
            json!({"name": "n", "phone_number_id": null, "pending_import": {"a": [1]}, "shade": 1, "from_phone_number": "+12125550123"}),
        );
        assert_eq!(remembered(&spec, "pending_import"), Some(&json!({"a": [1]})));
        assert_eq!((remembered(&spec, "phone_number_id"), remembered(&spec, "shade")), (Some(&Value::Null), Some(&json!(1))));
        assert_eq!(spec.caller_ids[0].number, "+12125550123");
        let spec = update(&spec, object(json!({"pending_import": {"b": 2}, "from_phone_number": null}))).unwrap();
        assert_eq!(remembered(&spec, "pending_import"), Some(&json!({"b": 2})));
        assert!(spec.caller_ids.is_empty());
    }

    #[test]
    fn updates_replace_maps_and_leave_out_nulls() {
        let spec = made(json!({"name": "n", "fallback_values": {"a": "1", "b": "2"}, "description": "d", "max_attempts": 4}));
        let spec = update(&spec, object(json!({"fallback_values": {"c": "3"}, "description": null, "max_attempts": null}))).unwrap();
        assert_eq!(spec.fallback_values.keys().collect::<Vec<_>>(), ["c"]);
        assert_eq!((spec.description, spec.max_attempts), (None, 4));
    }

    #[test]
    fn the_clients_schedules_are_understood() {
        let spec = made(json!({"name": "n", "schedule": {"schedule_type": "recurring", "days_of_week": [0, 4], "start_time": "10:00",
            "end_time": null, "timezone": "Europe/Berlin", "scheduled_at": null}}));
        let Schedule::Recurring { recurring_config, .. } = &spec.schedule else { panic!("recurring") };
        assert_eq!((recurring_config.days_of_week.as_slice(), recurring_config.time.as_str()), ([1, 5].as_slice(), "10:00"));
        assert_eq!((spec.windows.allowed[0].start.as_str(), spec.windows.allowed[0].end.as_str()), ("10:00", "24:00"));
        let value = remembered(&spec, "schedule").unwrap().clone();
        assert!(still_holds(&spec, "schedule", &value));
        let moved = CampaignSpec { schedule: Schedule::Immediate, ..spec };
        assert!(!still_holds(&moved, "schedule", &value));
    }

    #[test]
    fn mixed_campaigns_get_their_steps() {
        let spec = made(json!({"name": "n", "campaign_type": "mixed"}));
        assert_eq!(spec.steps, [Step::call()]);
        let spec = update(&spec, object(json!({"sms_message_template": "Hi"}))).unwrap();
        assert_eq!(spec.steps, [Step::call(), Step::sms()]);
        let own = made(json!({"name": "n", "campaign_type": "mixed", "steps": [{"channel": "sms"}], "sms_message_template": "Hi"}));
        assert_eq!(own.steps, [Step::sms()]);
    }
}
