//! The arguments of creating and changing a campaign, inwards.

use super::{Object, read};
use crate::campaign::CampaignSpec;
use crate::error::{Error, Kind, Result};
use crate::schedule::Weekday;
use serde_json::{Value, json};

/// A spec from flat arguments: the fields of [`CampaignSpec`], and what the REST API calls otherwise (see [`spec_patch`]).
/// What is left out or null keeps its default.
///
/// # Errors
/// [`crate::Kind::Invalid`] for an unknown field or a value of the wrong kind. Ranges are checked when the campaign is created.
pub fn spec(arguments: Object) -> Result<CampaignSpec> {
    let mut patch = spec_patch(arguments)?;
    without_nulls(&mut patch);
    if let Some(Value::Object(schedule)) = patch.get_mut("schedule") {
        schedule.entry("schedule_type").or_insert_with(|| Value::from("immediate"));
    }
    read("campaign", Value::Object(patch.clone())).map_err(|error| blamed(error, patch))
}

/// The reader does not say which field it was at: the first that cannot be read alone.
fn blamed(error: Error, patch: Object) -> Error {
    let alone = |(name, value): (String, Value)| {
        let shown = super::without_digits(&name);
        let error = read::<CampaignSpec>("campaign", Value::Object(Object::from_iter([(name, value)]))).err()?;
        Some(Error::new(Kind::Invalid, error.message()).with("field", shown))
    };
    patch.into_iter().find_map(alone).unwrap_or(error)
}

fn without_nulls(object: &mut Object) {
    object.retain(|_, value| !value.is_null());
    // What is the program's own, or the dialer's, is kept as it was given.
    let ours = object.iter_mut().filter(|(key, _)| !matches!(key.as_str(), "metadata" | "dialer_options"));
    ours.filter_map(|(_, value)| value.as_object_mut()).for_each(without_nulls);
}

/// Flat arguments as a merge patch in the spec's own field names, for [`crate::Engine::patch_campaign`].
///
/// | argument | field of the spec |
/// |---|---|
/// | `welcome_message_template`, and any other `..._template` | `templates.welcome_message`, ... |
/// | `allowed_hours` or `time_windows`: a window, or a list of them | `windows.allowed` |
/// | `timezone` | `time_zone` |
/// | `organization_id` | `organization` |
/// | `execution_settings`: any of these | the same as at the top |
/// | `advanced_settings`: voicemail detection | `voicemail` |
/// | `settings`: `max_concurrent_calls`, `calls_per_minute`, `welcome_template`, `agenda_template`, ... | limits, retries, templates, `voicemail` |
/// | `schedule` with `start_time`, `end_time`, `days_of_week` (0 is Monday) | `schedule`, and `windows.allowed`; its `timezone` is `time_zone` then, unless that is given |
/// | `available_variables`: a list | `available_variables` |
///
/// # Errors
/// [`crate::Kind::Invalid`] when one of them has the wrong kind of value.
pub fn spec_patch(arguments: Object) -> Result<Object> {
    let mut patch = Object::new();
    // The hours in a schedule are those of its zone.
    let hours = arguments.get("schedule").filter(|schedule| schedule.get("start_time").is_some_and(Value::is_string));
    let zone = hours.and_then(|schedule| schedule.get("timezone")).filter(|zone| zone.is_string()).cloned();
    for (key, value) in arguments {
        take(&mut patch, &key, value)?;
    }
    if let Some(zone) = zone {
        patch.entry("time_zone").or_insert(zone);
    }
    Ok(patch)
}

fn take(patch: &mut Object, key: &str, value: Value) -> Result<()> {
    match key {
        "allowed_hours" | "time_windows" => {
            let windows = match value {
                Value::Object(_) => json!([value]),
                other => other,
            };
            put(patch, "windows", "allowed", windows);
        }
        "timezone" => merge(patch, "time_zone", value),
        "organization_id" => merge(patch, "organization", value),
        "execution_settings" => {
            for (key, value) in parts("execution_settings", value)? {
                take(patch, &key, value)?;
            }
        }
        "advanced_settings" => {
            for (key, value) in parts("advanced_settings", value)? {
                put(patch, "voicemail", &key, value);
            }
        }
        "settings" => {
            for (key, value) in parts("settings", value)? {
                match key.as_str() {
                    "max_concurrent_calls" => merge(patch, "concurrent_limit", value),
                    "calls_per_minute" => merge(patch, "rate_limit_per_minute", value),
                    "welcome_template" => put(patch, "templates", "welcome_message", value),
                    "leave_voicemail" => {
                        // A message can only be left where a machine is told from a person.
                        if value == Value::Bool(true) {
                            put(patch, "voicemail", "enable_voicemail_detection", Value::Bool(true));
                        }
                        put(patch, "voicemail", &key, value);
                    }
                    "voicemail_message" => put(patch, "voicemail", &key, value),
                    _ => take(patch, &key, value)?,
                }
            }
        }
        "schedule" => scheduled(patch, value)?,
        "available_variables" => {
            let variables = match value {
                Value::Array(names) => {
                    Value::Object(names.into_iter().filter_map(|name| Some((name.as_str()?.to_owned(), name))).collect())
                }
                other => other,
            };
            merge(patch, key, variables);
        }
        _ => match key.strip_suffix("_template") {
            Some(name) => put(patch, "templates", name, value),
            None => merge(patch, key, value),
        },
    }
    Ok(())
}

/// A schedule that names its type is replaced as a whole; the client library also writes calling hours into it.
fn scheduled(patch: &mut Object, value: Value) -> Result<()> {
    let Value::Object(mut schedule) = value else {
        merge(patch, "schedule", value);
        return Ok(());
    };
    let (start, end) = (schedule.remove("start_time"), schedule.remove("end_time"));
    let days = schedule.remove("days_of_week");
    if let (Some(Value::String(start)), Some(Value::String(end))) = (start, end) {
        let days: Vec<u64> = days.filter(|days| !days.is_null()).map_or(Ok(Vec::new()), |days| read("schedule.days_of_week", days))?;
        let days: Vec<Weekday> = days
            .into_iter()
            .map(|day| {
                let day = usize::try_from(day).ok().and_then(|day| Weekday::ALL.get(day));
                day.copied().ok_or_else(|| Error::invalid("schedule.days_of_week", "must hold days from 0 (Monday) to 6 (Sunday)"))
            })
            .collect::<Result<_>>()?;
        put(patch, "windows", "allowed", json!([{ "start": start, "end": end, "days": days }]));
    }
    tidy_schedule(&mut schedule);
    if !schedule.is_empty() {
        patch.insert("schedule".to_owned(), Value::Object(schedule));
    }
    Ok(())
}

/// Null says nothing, here and in the rule; a rule without a zone is read in that of the schedule; and what a schedule without a type holds
/// tells which it is. One that tells nothing changes the schedule that is there.
pub(super) fn tidy_schedule(schedule: &mut Object) {
    without_nulls(schedule);
    let zone = schedule.get("timezone").filter(|zone| zone.is_string()).cloned();
    if let (Some(zone), Some(Value::Object(rule))) = (zone, schedule.get_mut("recurring_config")) {
        rule.entry("time_zone").or_insert(zone);
    }
    let told = ["recurring_config", "scheduled_at"].into_iter().zip(["recurring", "once"]).find(|(key, _)| schedule.contains_key(*key));
    if let Some((_, kind)) = told {
        schedule.entry("schedule_type").or_insert_with(|| kind.into());
    }
}

fn parts(what: &'static str, value: Value) -> Result<Object> {
    if value.is_null() { Ok(Object::new()) } else { read(what, value) }
}

fn put(patch: &mut Object, field: &str, key: &str, value: Value) {
    merge(patch, field, json!({ key: value }));
}

/// Two arguments may fill one field: objects are joined, everything else replaces.
fn merge(patch: &mut Object, key: &str, value: Value) {
    match (patch.get_mut(key), value) {
        (Some(Value::Object(old)), Value::Object(new)) => old.extend(new),
        (_, value) => {
            patch.insert(key.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Schedule;

    fn made(arguments: Value) -> Result<CampaignSpec> {
        spec(arguments.as_object().unwrap().clone())
    }

    #[test]
    fn the_examples_of_the_api_are_specs() {
        let spec = made(json!({
            "name": "February", "description": null, "campaign_type": "call", "assistant_id": 123,
            "welcome_message_template": "Hi {{ name }}", "agenda_template": "About {{ topic }}", "sms_message_template": null,
            "fallback_values": {"name": "there"}, "max_attempts": 2, "retry_delay_minutes": 60,
            "concurrent_limit": 50, "rate_limit_per_minute": 600, "time_zone": "America/New_York",
            "allowed_hours": {"start": "09:00", "end": "17:00", "days": ["monday", "tuesday"]},
            "advanced_settings": {"enable_voicemail_detection": true, "leave_voicemail": true, "voicemail_message": "Bye"},
            "available_variables": ["topic"], "organization_id": 7,
        }))
        .unwrap();
        spec.validate().unwrap();
        assert_eq!(spec.templates.keys().collect::<Vec<_>>(), ["agenda", "welcome_message"]);
        assert_eq!((spec.concurrent_limit, spec.max_attempts, spec.assistant_id), (Some(50), 2, Some(123)));
        assert_eq!((spec.windows.allowed.len(), spec.windows.allowed[0].days.len()), (1, 2));
        assert!(spec.voicemail.leave_voicemail && spec.organization == Some(7));
        assert_eq!(spec.available_variables["topic"], "topic");
    }

    #[test]
    fn the_client_library_is_understood() {
        let spec = made(json!({
            "name": "n", "campaign_type": "call",
            "settings": {"max_concurrent_calls": 7, "calls_per_minute": 20, "max_attempts": 4, "retry_delay_minutes": 15,
                         "leave_voicemail": true, "voicemail_message": "Bye", "welcome_template": "Hi", "agenda_template": null},
            "schedule": {"schedule_type": "once", "scheduled_at": "2026-02-15T09:00:00", "timezone": "America/New_York",
                         "days_of_week": [0, 6], "start_time": "08:00", "end_time": "12:00"},
            "execution_settings": {"time_windows": [{"start": "13:00", "end": "14:00"}], "time_zone": "Europe/Berlin"},
        }))
        .unwrap();
        spec.validate().unwrap();
        assert_eq!((spec.concurrent_limit, spec.rate_limit_per_minute, spec.max_attempts), (Some(7), Some(20), 4));
        assert_eq!(spec.templates["welcome_message"], "Hi");
        assert_eq!(spec.time_zone, "Europe/Berlin");
        assert!(matches!(spec.schedule, Schedule::Once { scheduled_at, .. } if scheduled_at.to_string() == "2026-02-15T14:00:00Z"));
        let plain = made(json!({"name": "n", "schedule": {"start_time": "08:00", "end_time": "12:00", "days_of_week": [0, 6]}})).unwrap();
        assert_eq!(plain.windows.allowed[0].days, [Weekday::Monday, Weekday::Sunday]);
        assert_eq!(plain.schedule, Schedule::Immediate);
    }

    #[test]
    fn what_is_left_out_keeps_the_engines_default() {
        assert_eq!(made(json!({})).unwrap(), CampaignSpec::default());
        assert_eq!(made(json!({"concurrent_limit": "unlimited"})).unwrap().concurrent_limit, None);
        assert_eq!(made(json!({"concurrent_limit": null})).unwrap().concurrent_limit, CampaignSpec::default().concurrent_limit);
    }

    #[test]
    fn mistakes_are_named() {
        for (arguments, says) in [
            (json!({"nmae": "x"}), "nmae"),
            (json!({"max_attempts": "many"}), "many"),
            (json!({"settings": 3}), "settings"),
            (json!({"schedule": {"start_time": "1", "end_time": "2", "days_of_week": [9]}}), "0 (Monday)"),
        ] {
            let error = made(arguments).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid);
            assert!(error.to_string().contains(says), "{error}");
        }
        for (arguments, field) in [
            (json!({"name": "n", "max_attempts": "many"}), "max_attempts"),
            (json!({"name": "n", "settings": {"max_concurrent_calls": -1}}), "concurrent_limit"),
            (json!({"nmae": "x"}), "nmae"),
        ] {
            let error = made(arguments).unwrap_err();
            assert!(error.context().iter().any(|(key, value)| *key == "field" && value == field), "{error:?}");
        }
    }
}
