//! From a body of this API to a spec. A field that the engine has is written there and read from there again, so that a change made
//! through another API shows here; all others are remembered as they came.

use super::error::bad;
use crate::api::owned;
use crate::api::request::wrong;
use crate::error::Fault;
use campaign_core::campaign::{CampaignSpec, Priority, TemplateSyntax};
use campaign_core::id::Money;
use campaign_core::schedule::{PastDue, Recurrence, Schedule, TimeWindow, Weekday};
use campaign_core::template::TemplateSet;
use campaign_core::wire::Object;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// The key of the metadata that is this API's own.
pub(super) const KEY: &str = owned::KEYS[0];
/// The four places a campaign can be in.
pub(super) const STATUSES: &[&str] = &["draft", "active", "paused", "completed"];
/// What must be there on creation.
const REQUIRED: &[&str] =
    &["name", "status", "calls_per_day", "calling_hours_start", "calling_hours_end", "system_prompt", "script_template"];
/// Whose name has to be known to somebody: where `webhook_urls` may point to.
const WEBHOOKS: &[&str] = &["call_completed", "campaign_status_change", "budget_threshold_reached", "error"];

/// What a field may hold.
enum Holds {
    /// A text with this many characters at least and at most.
    Text(usize, usize),
    /// A whole number in this range.
    Whole(i64, i64),
    /// An amount of at least 0.
    Amount,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// `HH:MM` or `HH:MM:SS`.
    Clock,
    /// `YYYY-MM-DD`.
    Day,
    /// A moment, or a local time in the campaign's zone.
    Moment,
    /// A zone of the tz database.
    Zone,
    /// Names of weekdays.
    Days,
    /// A list of texts.
    Texts,
    /// A list of whole numbers.
    Numbers,
    /// An `https` or `http` address.
    Address,
    /// Addresses by the name of the event.
    Addresses,
}

use Holds::{Address, Addresses, Amount, Clock, Day, Days, Moment, Numbers, OneOf, Text, Texts, Whole, Zone};

/// Every field of a campaign, in the order of the documents. What is not listed is read over.
const FIELDS: &[(&str, Holds)] = &[
    ("name", Text(1, 100)),
    ("description", Text(0, 10_000)),
    ("status", OneOf(STATUSES)),
    ("priority", OneOf(&["low", "medium", "high"])),
    ("campaign_type", OneOf(&["outbound", "inbound"])),
    ("calls_per_day", Whole(1, 1_000_000)),
    ("calling_hours_start", Clock),
    ("calling_hours_end", Clock),
    ("time_zone", Zone),
    ("working_days", Days),
    ("ai_voice_id", Text(0, 200)),
    ("ai_voice_language", Text(2, 35)),
    ("ai_voice_gender", Text(0, 20)),
    ("system_prompt", Text(1, 60_000)),
    ("script_template", Text(1, 60_000)),
    ("fallback_script", Text(0, 60_000)),
    ("max_attempts_per_lead", Whole(1, 10)),
    ("retry_delay_minutes", Whole(1, 43_200)),
    ("call_duration_limit", Whole(1, 86_400)),
    ("success_criteria", Text(0, 1000)),
    ("expected_completion_date", Day),
    ("budget", Amount),
    ("cost_per_call", Amount),
    ("owner_id", Whole(i64::MIN, i64::MAX)),
    ("team_members", Numbers),
    ("tags", Texts),
    ("notes", Text(0, 10_000)),
    ("start_date", Moment),
    ("end_date", Moment),
    ("recurrence_rule", Text(0, 1000)),
    ("company_id", Whole(1, i64::MAX)),
    ("webhook_url", Address),
    ("webhook_urls", Addresses),
    ("webhook_secret", Text(0, 500)),
    ("budget_threshold_percent", Whole(1, 100)),
];

/// Fields that the engine has, under whatever name; they are not remembered besides.
const ENGINES: &[&str] = &[
    "name",
    "description",
    "priority",
    "calls_per_day",
    "calling_hours_start",
    "calling_hours_end",
    "time_zone",
    "working_days",
    "script_template",
    "max_attempts_per_lead",
    "retry_delay_minutes",
    "call_duration_limit",
    "budget",
    "cost_per_call",
    "budget_threshold_percent",
    "status",
];

/// Fields that may not be taken away by a null.
const NEVER_NULL: &[&str] = &[
    "name",
    "status",
    "priority",
    "campaign_type",
    "company_id",
    "calls_per_day",
    "calling_hours_start",
    "calling_hours_end",
    "time_zone",
    "system_prompt",
    "script_template",
    "max_attempts_per_lead",
    "retry_delay_minutes",
    "call_duration_limit",
    "budget_threshold_percent",
];

/// Looks at a body: the known fields that are given, in their canonical form.
///
/// # Errors
/// 400, with the field.
pub(super) fn read(body: &Object, create: bool) -> Result<Object, Fault> {
    if create {
        let missing: Vec<&str> = REQUIRED.iter().copied().filter(|name| is_blank(body.get(*name))).collect();
        if !missing.is_empty() {
            return Err(bad(format!("Missing required fields: {}", missing.join(", "))));
        }
    }
    let mut read = Object::new();
    for (name, holds) in FIELDS {
        match body.get(*name) {
            None => {}
            Some(value) if is_nothing(name, value) && NEVER_NULL.contains(name) => {}
            Some(value) if is_nothing(name, value) => drop(read.insert((*name).to_owned(), Value::Null)),
            Some(value) => drop(read.insert((*name).to_owned(), canonical(name, holds, value)?)),
        }
    }
    Ok(read)
}

/// Whether a value says nothing: null, or the empty text that a form sends for what was left open. An empty text where one has to be is
/// looked at as any other.
fn is_nothing(name: &str, value: &Value) -> bool {
    value.is_null() || !REQUIRED.contains(&name) && is_blank(Some(value))
}

fn is_blank(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.trim().is_empty(),
        Some(_) => false,
    }
}

fn canonical(name: &str, holds: &Holds, value: &Value) -> Result<Value, Fault> {
    let fault = |message: String| wrong("body", name, message);
    let text = || value.as_str().ok_or_else(|| fault("must be a text".to_owned()));
    Ok(match holds {
        Text(least, most) => {
            let length = text()?.chars().count();
            if length < *least || length > *most {
                return Err(fault(format!("must have {least} to {most} characters")));
            }
            value.clone()
        }
        Whole(least, most) => {
            let number = whole(value).filter(|number| (least..=most).contains(&number));
            number.ok_or_else(|| fault(format!("must be a whole number from {least} to {most}")))?.into()
        }
        Amount => {
            let amount = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
            let amount = amount.filter(|amount| (0.0..=1e12).contains(amount));
            amount.ok_or_else(|| fault("must be an amount of 0 or more".to_owned()))?.into()
        }
        OneOf(names) => {
            let given = text()?.to_ascii_lowercase();
            if !names.contains(&given.as_str()) {
                return Err(fault(format!("must be one of {}", names.join(", "))));
            }
            given.into()
        }
        Clock => clock(text()?).ok_or_else(|| fault("must be a time of day, HH:MM:SS".to_owned()))?.into(),
        Day => {
            let day = text()?;
            let day: Date = day.get(..10).unwrap_or(day).parse().map_err(|_| fault("must be a date, YYYY-MM-DD".to_owned()))?;
            day.to_string().into()
        }
        Moment => {
            let given = text()?.trim();
            if given.parse::<Timestamp>().is_err() && given.parse::<jiff::civil::DateTime>().is_err() {
                return Err(fault("must be a moment, YYYY-MM-DD HH:MM:SS or ISO 8601".to_owned()));
            }
            given.into()
        }
        Zone => {
            let given = text()?;
            if TimeZone::get(given).is_err() {
                return Err(fault("must be a zone of the tz database, for example America/New_York".to_owned()));
            }
            given.into()
        }
        Days => days(value).ok_or_else(|| fault("must be a list of weekdays, for example [\"Monday\"]".to_owned()))?,
        Texts => list(value, Value::is_string).ok_or_else(|| fault("must be a list of texts".to_owned()))?,
        Numbers => list(value, Value::is_i64).ok_or_else(|| fault("must be a list of whole numbers".to_owned()))?,
        Address => {
            if !is_address(text()?) {
                return Err(fault("must be an https address".to_owned()));
            }
            value.clone()
        }
        Addresses => {
            let fits = value.as_object().is_some_and(|urls| {
                urls.iter().all(|(event, url)| WEBHOOKS.contains(&event.as_str()) && url.as_str().is_some_and(is_address))
            });
            if !fits {
                return Err(fault(format!("must be an object of addresses; its names are {}", WEBHOOKS.join(", "))));
            }
            value.clone()
        }
    })
}

/// A whole number, also as a text or with a fraction of nothing: forms send both.
pub(super) fn whole(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_str()?.trim().parse().ok())
        .or_else(|| value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 9e15).map(|number| number as i64))
}

fn list(value: &Value, fits: impl Fn(&Value) -> bool) -> Option<Value> {
    value.as_array().filter(|items| items.iter().all(fits)).map(|items| items.clone().into())
}

fn is_address(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !text.chars().any(|c| c.is_whitespace() || c.is_control()))
}

/// A time of day as `HH:MM:SS`; `24:00` is the end of the day.
fn clock(text: &str) -> Option<String> {
    if matches!(text, "24:00" | "24:00:00") {
        return Some("24:00:00".to_owned());
    }
    let shaped = matches!(text.len(), 5 | 8)
        && text.bytes().enumerate().all(|(at, byte)| if at % 3 == 2 { byte == b':' } else { byte.is_ascii_digit() });
    let time: Time = shaped.then(|| text.parse().ok())??;
    Some(time.strftime("%H:%M:%S").to_string())
}

fn days(value: &Value) -> Option<Value> {
    let mut names = Vec::new();
    for day in value.as_array()? {
        let day = weekday(day.as_str()?)?;
        if !names.contains(&day) {
            names.push(day);
        }
    }
    // No day at all would never call anybody.
    (!names.is_empty()).then(|| names.into_iter().map(|day| Value::from(day_name(day))).collect())
}

fn weekday(name: &str) -> Option<Weekday> {
    serde_json::from_value(Value::String(name.trim().to_ascii_lowercase())).ok()
}

/// A weekday as this API writes it: `Monday`.
pub(super) fn day_name(day: Weekday) -> String {
    let name = json!(day).as_str().unwrap_or_default().to_owned();
    let (first, rest) = name.split_at(1);
    first.to_ascii_uppercase() + rest
}

/// The spec of a new campaign.
///
/// # Errors
/// 400, with the field.
pub(super) fn create(read: &Object, organization: Option<i64>) -> Result<CampaignSpec, Fault> {
    let mut spec = CampaignSpec { organization, template_syntax: TemplateSyntax::Brace, ..CampaignSpec::default() };
    // The defaults of this API, where they are not the engine's.
    spec.retry_delay_minutes = 60;
    spec.max_duration_seconds = 300;
    let defaults = json!({
        "campaign_type": "outbound",
        "company_id": organization.unwrap_or(1),
        "wanted": "draft",
    });
    if let Value::Object(defaults) = defaults {
        owned::remember(&mut spec, KEY, defaults);
    }
    apply(&mut spec, read)?;
    Ok(spec)
}

/// Writes fields that were read into a spec.
///
/// # Errors
/// 400, with the field.
pub(super) fn apply(spec: &mut CampaignSpec, read: &Object) -> Result<(), Fault> {
    let remembered: Object =
        read.iter().filter(|(name, _)| !ENGINES.contains(&name.as_str())).map(|(name, value)| (name.clone(), value.clone())).collect();
    owned::remember(spec, KEY, remembered);
    for (name, value) in read {
        set(spec, name, value);
    }
    hours(spec, read)?;
    texts(spec, read)?;
    voice(spec);
    if ["start_date", "end_date", "recurrence_rule", "time_zone", "calling_hours_start"].iter().any(|name| read.contains_key(*name)) {
        dates(spec)?;
    }
    Ok(())
}

/// Fields that are one value in the engine as well.
fn set(spec: &mut CampaignSpec, name: &str, value: &Value) {
    let number = || value.as_i64().and_then(|number| u32::try_from(number).ok());
    let text = || value.as_str().map(str::to_owned);
    match name {
        "name" => spec.name = text().unwrap_or_default(),
        "description" => spec.description = text(),
        "priority" => {
            spec.priority = match value.as_str() {
                Some("low") => Priority::Low,
                Some("high") => Priority::High,
                _ => Priority::Medium,
            }
        }
        "calls_per_day" => spec.calls_per_day = number(),
        "time_zone" => spec.time_zone = text().unwrap_or_default(),
        "max_attempts_per_lead" => spec.max_attempts = number().unwrap_or(spec.max_attempts),
        "retry_delay_minutes" => spec.retry_delay_minutes = number().unwrap_or(spec.retry_delay_minutes),
        "call_duration_limit" => spec.max_duration_seconds = number().unwrap_or(spec.max_duration_seconds),
        "budget" => spec.budget = value.as_f64().map(Money::from_units),
        "cost_per_call" => spec.cost_per_attempt = Money::from_units(value.as_f64().unwrap_or_default()),
        "budget_threshold_percent" => spec.budget_threshold_percent = number().unwrap_or(spec.budget_threshold_percent),
        _ => {}
    }
}

/// The one window that this API has.
fn hours(spec: &mut CampaignSpec, read: &Object) -> Result<(), Fault> {
    if !["calling_hours_start", "calling_hours_end", "working_days"].iter().any(|name| read.contains_key(*name)) {
        return Ok(());
    }
    let old = spec.windows.allowed.first();
    let text = |name: &str| read.get(name).and_then(Value::as_str).map(str::to_owned);
    let start = text("calling_hours_start").or_else(|| old.map(|window| window.start.clone()));
    let end = text("calling_hours_end").or_else(|| old.map(|window| window.end.clone()));
    let (Some(start), Some(end)) = (start, end) else { return Ok(()) };
    if start == end {
        return Err(wrong("body", "calling_hours_end", "must differ from calling_hours_start; the whole day is 00:00:00 to 24:00:00"));
    }
    let days = match read.get("working_days") {
        Some(Value::Array(days)) => days.iter().filter_map(Value::as_str).filter_map(weekday).collect(),
        Some(_) => Vec::new(),
        None => old.map(|window| window.days.clone()).unwrap_or_default(),
    };
    spec.windows.allowed = vec![TimeWindow { start, end, days }];
    Ok(())
}

/// Scripts and prompts. In the script a brace opens a variable; in prompts those that open none stand for themselves.
fn texts(spec: &mut CampaignSpec, read: &Object) -> Result<(), Fault> {
    if let Some(script) = read.get("script_template").and_then(Value::as_str) {
        spec.templates.insert("welcome_message".to_owned(), script.to_owned());
        TemplateSet::compile(spec).map_err(|error| wrong("body", "script_template", error.message()))?;
    }
    for name in ["system_prompt", "fallback_script"] {
        match read.get(name) {
            Some(Value::String(text)) => drop(spec.templates.insert(name.to_owned(), lenient(text).into_owned())),
            Some(_) => drop(spec.templates.remove(name)),
            None => {}
        }
    }
    Ok(())
}

/// Doubles the braces that do not stand around a name.
fn lenient(text: &str) -> Cow<'_, str> {
    if !text.contains(['{', '}']) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let name = rest.strip_prefix('{').and_then(|inner| inner.split_once('}')).map(|(name, _)| name);
        let is_name = name.is_some_and(|name| {
            name.starts_with(|first: char| first.is_alphabetic() || first == '_') && name.chars().all(|c| c.is_alphanumeric() || c == '_')
        });
        match name.filter(|_| is_name) {
            Some(name) => {
                out.push_str(&rest[..name.len() + 2]);
                rest = &rest[name.len() + 2..];
            }
            None => {
                out.push_str(&rest[..1].repeat(2));
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out.into()
}

/// The voice, and what counts as a success, for whoever carries out the calls.
fn voice(spec: &mut CampaignSpec) {
    let names = [
        ("ai_voice_id", "voice"),
        ("ai_voice_id", "voice_id"),
        ("ai_voice_language", "language"),
        ("ai_voice_gender", "voice_gender"),
        ("success_criteria", "success_criteria"),
    ];
    for (field, option) in names {
        match owned::remembered(spec, KEY, field).cloned() {
            Some(value) if value.as_str() != Some("") => drop(spec.dialer_options.insert(option.to_owned(), value)),
            _ => drop(spec.dialer_options.remove(option)),
        }
    }
}

/// Lets the server's assistant hold the calls, where there is one: `system_prompt` is what it is told, the script what it says first. What
/// was said of it already stays, and carriers with agents of their own read over it.
pub(super) fn relay(spec: &mut CampaignSpec, has_assistant: bool) {
    let said = ["relay", "url", "play"].iter().any(|option| spec.dialer_options.contains_key(*option));
    if has_assistant && !said && spec.templates.contains_key("system_prompt") {
        spec.dialer_options.insert("relay".to_owned(), true.into());
    }
}

/// When it starts, comes again and ends.
fn dates(spec: &mut CampaignSpec) -> Result<(), Fault> {
    let text = |name: &str| owned::remembered(spec, KEY, name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let (start, end, rule) = (text("start_date"), text("end_date"), text("recurrence_rule"));
    let start = start.map(|start| moment(&start, &spec.time_zone, "start_date")).transpose()?;
    let end = end.map(|day| end_of(&day, &spec.time_zone, "end_date")).transpose()?;
    if let (Some(start), Some(end)) = (start, end)
        && end <= start
    {
        return Err(wrong("body", "end_date", "must be after start_date"));
    }
    let zone = TimeZone::get(&spec.time_zone).unwrap_or(TimeZone::UTC);
    let schedule = match (rule, start) {
        (Some(rule), start) => {
            let opens = spec.windows.allowed.first().map_or("09:00", |window| window.start.get(..5).unwrap_or("09:00"));
            let local = start.map(|at| at.to_zoned(zone.clone()));
            Schedule::Recurring {
                recurring_config: Recurrence {
                    time: local.as_ref().map_or_else(|| opens.to_owned(), |at| at.strftime("%H:%M").to_string()),
                    time_zone: spec.time_zone.clone(),
                    start_date: local.map(|at| at.date().to_string()),
                    end_date: end.map(|at| at.to_zoned(zone).date().to_string()),
                    rrule: Some(rule),
                    ..Recurrence::default()
                },
                past_due: PastDue::Run,
            }
        }
        (None, Some(at)) => Schedule::Once { scheduled_at: at, timezone: spec.time_zone.clone(), past_due: PastDue::Run },
        (None, None) => Schedule::Immediate,
    };
    schedule.check().map_err(|error| wrong("body", "recurrence_rule", error.message()))?;
    spec.schedule = schedule;
    spec.deadline = end;
    Ok(())
}

/// A moment, or a local time in the campaign's zone.
pub(super) fn moment(text: &str, zone: &str, name: &str) -> Result<Timestamp, Fault> {
    match Schedule::once_local(text, zone) {
        Ok(Schedule::Once { scheduled_at, .. }) => Ok(scheduled_at),
        _ => Err(wrong("body", name, "must be a moment, YYYY-MM-DD HH:MM:SS or ISO 8601")),
    }
}

/// As [`moment`], where a span ends: a plain date is part of it to its last instant.
pub(super) fn end_of(text: &str, zone: &str, name: &str) -> Result<Timestamp, Fault> {
    // A date has ten characters; what is longer has a time.
    let day = if text.trim().len() == 10 { text.trim().parse::<Date>().ok() } else { None };
    let Some(day) = day else { return moment(text, zone, name) };
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    let next = day.tomorrow().and_then(|next| next.to_zoned(zone));
    let last = next.and_then(|next| next.timestamp().checked_sub(SignedDuration::from_nanos(1)));
    last.map_err(|_| wrong("body", name, "must be a date before the year 9999"))
}

/// What was remembered, as one map.
pub(super) fn memory(spec: &CampaignSpec) -> Map<String, Value> {
    owned::memory(spec, KEY).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(more: Value) -> Result<CampaignSpec, Fault> {
        let mut body = json!({"name": "n", "status": "draft", "calls_per_day": 50, "calling_hours_start": "09:00",
            "calling_hours_end": "17:00:00", "system_prompt": "Be kind", "script_template": "Hello {customer_name}"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        create(&read(body.as_object().unwrap(), true)?, Some(3))
    }

    #[test]
    fn the_seeds_example_is_a_spec() {
        let spec = made(json!({"priority": "HIGH", "working_days": ["monday", "FRIDAY"], "budget": "1000", "cost_per_call": 0.5,
            "ai_voice_id": "v1", "max_attempts_per_lead": 4}))
        .unwrap();
        spec.validate().unwrap();
        assert_eq!((spec.calls_per_day, spec.priority, spec.max_attempts, spec.organization), (Some(50), Priority::High, 4, Some(3)));
        assert_eq!((spec.windows.allowed[0].start.as_str(), spec.windows.allowed[0].days.len()), ("09:00:00", 2));
        assert_eq!((spec.budget, spec.cost_per_attempt), (Some(Money::from_units(1000.0)), Money::from_units(0.5)));
        // What was not said is left to the agent.
        assert_eq!((spec.dialer_options["voice_id"].as_str(), spec.dialer_options.get("language")), (Some("v1"), None));
        assert_eq!(memory(&spec)["company_id"], 3);
    }

    #[test]
    fn windows_may_cross_midnight_but_not_be_empty() {
        let spec = made(json!({"calling_hours_start": "22:00", "calling_hours_end": "06:00:00"})).unwrap();
        spec.validate().unwrap();
        assert_eq!((spec.windows.allowed[0].start.as_str(), spec.windows.allowed[0].end.as_str()), ("22:00:00", "06:00:00"));
        assert!(made(json!({"calling_hours_start": "09:00", "calling_hours_end": "09:00:00"})).is_err());
        let mut changed = spec;
        apply(&mut changed, &read(json!({"calling_hours_end": "07:00"}).as_object().unwrap(), false).unwrap()).unwrap();
        assert_eq!((changed.windows.allowed[0].start.as_str(), changed.windows.allowed[0].end.as_str()), ("22:00:00", "07:00:00"));
    }

    #[test]
    fn dates_and_rules_become_the_engines() {
        let spec =
            made(json!({"start_date": "2030-02-15 09:00:00", "end_date": "2030-03-01 18:00:00", "time_zone": "America/New_York"})).unwrap();
        assert!(matches!(&spec.schedule, Schedule::Once { scheduled_at, .. } if scheduled_at.to_string() == "2030-02-15T14:00:00Z"));
        assert_eq!(spec.deadline.unwrap().to_string(), "2030-03-01T23:00:00Z");
        let spec = made(json!({"start_date": "2030-02-15 10:30:00", "recurrence_rule": "FREQ=DAILY;INTERVAL=1"})).unwrap();
        spec.validate().unwrap();
        let Schedule::Recurring { recurring_config, .. } = &spec.schedule else { panic!("recurring") };
        assert_eq!((recurring_config.time.as_str(), recurring_config.start_date.as_deref()), ("10:30", Some("2030-02-15")));
        assert!(made(json!({"recurrence_rule": "sometimes"})).is_err());
        assert!(made(json!({"start_date": "2030-02-15", "end_date": "2030-02-14"})).is_err());
    }

    #[test]
    fn the_last_day_is_a_day_of_calls() {
        let spec = made(json!({"start_date": "2030-02-15", "end_date": "2030-02-15", "time_zone": "America/New_York"})).unwrap();
        spec.validate().unwrap();
        assert_eq!(spec.deadline.unwrap().to_string(), "2030-02-16T04:59:59.999999999Z");
        let spec = made(json!({"start_date": "2030-02-15", "end_date": "2030-02-20", "recurrence_rule": "FREQ=DAILY"})).unwrap();
        let Schedule::Recurring { recurring_config, .. } = &spec.schedule else { panic!("recurring") };
        assert_eq!(recurring_config.end_date.as_deref(), Some("2030-02-20"));
    }

    #[test]
    fn what_a_form_leaves_open_is_not_given() {
        let spec = made(json!({"start_date": "", "end_date": "", "expected_completion_date": "", "webhook_url": "", "budget": "",
            "ai_voice_language": " ", "time_zone": "", "priority": ""}))
        .unwrap();
        assert_eq!((spec.deadline, spec.budget, spec.time_zone.as_str()), (None, None, CampaignSpec::default().time_zone.as_str()));
        assert!(read(json!({"name": ""}).as_object().unwrap(), false).is_err());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (more, field) in [
            (json!({"calls_per_day": 0}), "calls_per_day"),
            (json!({"status": "running"}), "status"),
            (json!({"working_days": []}), "working_days"),
            (json!({"working_days": ["Funday"]}), "working_days"),
            (json!({"time_zone": "Mars"}), "time_zone"),
            (json!({"calling_hours_end": "5 pm"}), "calling_hours_end"),
            (json!({"script_template": "Hello {customer name"}), "script_template"),
            (json!({"webhook_urls": {"other": "https://a.example"}}), "webhook_urls"),
            (json!({"budget": -1}), "budget"),
        ] {
            assert_eq!(made(more).unwrap_err().fields[0].loc[1], field);
        }
        assert!(read(&Object::new(), true).unwrap_err().message.contains("script_template"));
    }

    #[test]
    fn braces_of_prompts_stand_for_themselves() {
        assert_eq!(lenient("Answer {\"a\": 1} to {customer_name}"), "Answer {{\"a\": 1}} to {customer_name}");
        assert_eq!(lenient("{{x}} {"), "{{{x}}} {{");
    }
}
