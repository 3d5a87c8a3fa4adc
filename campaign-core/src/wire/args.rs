//! Queries and options, inwards. What is left out is as the engine's own types say.

use super::dialing::seconds;
use super::{Object, read};
use crate::campaign::{CampaignStatus, CampaignType, TemplateSyntax, check_organization};
use crate::contact::{ContactStatus, Owner, Variables};
use crate::dialer::{CarrierProfile, SimulatedDialer};
use crate::engine::{EngineOptions, LintOptions, Reexecution};
use crate::error::{Error, Result};
use crate::id::{AttemptId, CampaignId, ContactId, Money};
use crate::import::{Format, ImportOptions};
use crate::outcome::Disposition;
use crate::phone::PhoneNumber;
use crate::policy::limits::Rate;
use crate::policy::retry::status_of;
use crate::schedule::Schedule;
use crate::simulate::SimulateOptions;
use crate::store::{
    AttemptQuery, CampaignQuery, ContactQuery, DuplicatePolicy, Paging, Suppression, SuppressionKey, SuppressionQuery, SuppressionScope,
    TimelineQuery,
};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// One or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Several<T> {
    Many(Vec<T>),
    One(T),
}

impl<T> Several<T> {
    fn list(several: Option<Self>) -> Vec<T> {
        match several {
            None => Vec::new(),
            Some(Self::One(one)) => vec![one],
            Some(Self::Many(many)) => many,
        }
    }
}

/// `page` (from 1) with `per_page`, or `offset` (or `skip`) with `limit`.
#[derive(Deserialize)]
struct PagingForm {
    page: Option<u64>,
    #[serde(alias = "per_page")]
    limit: Option<u32>,
    #[serde(alias = "skip")]
    offset: Option<u64>,
}

pub(super) fn paging(arguments: &mut Object) -> Result<Paging> {
    let names = ["page", "per_page", "limit", "skip", "offset"];
    let given: Object = names.into_iter().filter_map(|name| arguments.remove_entry(name)).filter(|(_, value)| !value.is_null()).collect();
    let form: PagingForm = read("paging", Value::Object(given))?;
    let defaults = Paging::default();
    let limit = form.limit.unwrap_or(defaults.limit);
    if !(1..=10_000).contains(&limit) {
        return Err(Error::invalid("limit", "must be 1 to 10000"));
    }
    let offset = match (form.page, form.offset) {
        (Some(0), _) => return Err(Error::invalid("page", "pages are counted from 1")),
        (Some(page), None) => (page - 1).saturating_mul(u64::from(limit)),
        (None, offset) => offset.unwrap_or(defaults.offset),
        (Some(_), Some(_)) => return Err(Error::invalid("page", "give `page` or `offset`, not both")),
    };
    Ok(Paging { offset, limit })
}

/// Reads what is left of the arguments; null means "not given".
fn form<T: DeserializeOwned>(what: &'static str, mut arguments: Object) -> Result<T> {
    arguments.retain(|_, value| !value.is_null());
    read(what, Value::Object(arguments))
}

/// Names of statuses; an unknown one is an error that lists the known ones.
fn named<T>(field: &'static str, names: Option<Several<String>>, parse: impl Fn(&str) -> Option<T>, known: &[&str]) -> Result<Vec<T>> {
    Several::list(names)
        .iter()
        .map(|name| parse(name).ok_or_else(|| Error::invalid(field, format!("must be one of {}", known.join(", ")))))
        .collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CampaignForm {
    #[serde(alias = "statuses")]
    status: Option<Several<String>>,
    campaign_type: Option<CampaignType>,
    organization_id: Option<i64>,
    assistant_id: Option<i64>,
    search: Option<String>,
}

/// Which campaigns: `status` (one or several), `campaign_type`, `organization_id`, `assistant_id`, `search`, and a page (`page` and
/// `per_page`, or `offset` and `limit`).
///
/// # Errors
/// [`crate::Kind::Invalid`] for an unknown argument or value.
pub fn campaign_query(mut arguments: Object) -> Result<CampaignQuery> {
    let paging = paging(&mut arguments)?;
    let given: CampaignForm = form("query", arguments)?;
    let statuses = named("status", given.status, CampaignStatus::parse, &CampaignStatus::ALL.map(CampaignStatus::as_str))?;
    Ok(CampaignQuery {
        statuses,
        campaign_type: given.campaign_type,
        organization: organization(given.organization_id)?,
        assistant_id: given.assistant_id,
        search: given.search,
        paging,
        count: true,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ContactForm {
    #[serde(alias = "statuses")]
    status: Option<Several<String>>,
    search: Option<String>,
    after: Option<ContactId>,
    count: Option<bool>,
}

/// An organisation, under the name it has here.
fn organization(id: Option<i64>) -> Result<Option<i64>> {
    check_organization(id).map_err(|error| Error::invalid("organization_id", error.message().to_owned()))?;
    Ok(id)
}

/// Which contacts of an owner: `status` (one or several), `search`, `after` (an id, for walking through a long list), `count` (whether
/// the total is wanted), and a page.
///
/// # Errors
/// [`crate::Kind::Invalid`] for an unknown argument or value.
pub fn contact_query(owner: Owner, mut arguments: Object) -> Result<ContactQuery> {
    let paging = paging(&mut arguments)?;
    let given: ContactForm = form("query", arguments)?;
    let defaults = ContactQuery::of(owner);
    Ok(ContactQuery {
        statuses: named("status", given.status, ContactStatus::parse, &ContactStatus::ALL.map(ContactStatus::as_str))?,
        search: given.search,
        after: given.after,
        paging,
        count: given.count.unwrap_or(defaults.count),
        owner,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExecutionForm {
    campaign_id: Option<CampaignId>,
    contact_id: Option<ContactId>,
    run: Option<u32>,
    id: Option<AttemptId>,
    provider_ref: Option<String>,
    #[serde(alias = "statuses")]
    status: Option<Several<String>>,
    #[serde(alias = "dispositions")]
    disposition: Option<Several<String>>,
    open_only: Option<bool>,
    before: Option<AttemptId>,
    count: Option<bool>,
}

/// Which executions: `campaign_id`, `contact_id`, `run`, `id`, `provider_ref`, `disposition` (one or several), `status` (what the attempt
/// came to, as contact statuses), `open_only`, `before` (an id), `count` (whether the total is wanted; yes if not said), and a page.
///
/// # Errors
/// [`crate::Kind::Invalid`] for an unknown argument or value.
pub fn execution_query(mut arguments: Object) -> Result<AttemptQuery> {
    let paging = paging(&mut arguments)?;
    let given: ExecutionForm = form("query", arguments)?;
    let statuses = named("status", given.status, ContactStatus::parse, &ContactStatus::ALL.map(ContactStatus::as_str))?;
    let mut dispositions = named("disposition", given.disposition, Disposition::parse, &Disposition::ALL.map(Disposition::as_str))?;
    let open_only = given.open_only.unwrap_or(statuses == [ContactStatus::InProgress]);
    if !open_only && !statuses.is_empty() {
        let ended: Vec<Disposition> = Disposition::ALL.into_iter().filter(|ending| statuses.contains(&status_of(*ending))).collect();
        if dispositions.is_empty() {
            dispositions = ended;
        } else {
            dispositions.retain(|ending| ended.contains(ending));
        }
        if dispositions.is_empty() {
            // No execution comes to this, and no list of endings says "none": ids begin with 1.
            return Ok(AttemptQuery { before: Some(AttemptId(1)), paging, ..AttemptQuery::default() });
        }
    }
    Ok(AttemptQuery {
        campaign: given.campaign_id,
        contact: given.contact_id,
        run: given.run,
        id: given.id,
        provider_ref: given.provider_ref,
        dispositions,
        open_only,
        before: given.before,
        paging,
        count: given.count.unwrap_or(true),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImportForm {
    format: Option<Format>,
    default_region: Option<String>,
    #[serde(alias = "mapping")]
    column_mappings: Option<BTreeMap<String, String>>,
    duplicates: Option<DuplicatePolicy>,
    file_name: Option<String>,
    max_errors: Option<usize>,
    delimiter: Option<char>,
    encoding: Option<String>,
    sheet: Option<String>,
    consent_moment: Option<Timestamp>,
    replace_untouched: Option<bool>,
}

/// How a file is read: the fields of [`ImportOptions`], `column_mappings` for `mapping`. Where rejected rows are written is left to the
/// caller.
///
/// # Errors
/// [`crate::Kind::Invalid`] for an unknown argument or value.
pub fn import_options(arguments: Object) -> Result<ImportOptions> {
    let given: ImportForm = form("options", arguments)?;
    let defaults = ImportOptions::default();
    Ok(ImportOptions {
        format: given.format,
        default_region: given.default_region,
        mapping: given.column_mappings,
        duplicates: given.duplicates.unwrap_or(defaults.duplicates),
        file_name: given.file_name,
        max_errors: given.max_errors.unwrap_or(defaults.max_errors),
        delimiter: given.delimiter,
        encoding: given.encoding,
        sheet: given.sheet,
        rejects: None,
        consent_moment: given.consent_moment,
        replace_untouched: given.replace_untouched.unwrap_or(defaults.replace_untouched),
        limits: defaults.limits,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OptionsForm {
    node_name: Option<String>,
    lease: Option<f64>,
    longest_pause: Option<f64>,
    poll_interval: Option<f64>,
    look_ahead: Option<f64>,
    batch: Option<u32>,
    max_in_flight: Option<u32>,
    max_rate: Option<Rate>,
    doubt_patience: Option<f64>,
    event_buffer: Option<usize>,
    seed: Option<u64>,
    conversations: Option<bool>,
    executes: Option<bool>,
    alone: Option<bool>,
}

/// Settings of a node: the fields of [`EngineOptions`], times in seconds, `max_rate` as `{"starts": 20, "per_seconds": 1}`. `alone` says
/// that no other process uses the store, so that nothing is polled for.
///
/// # Errors
/// [`crate::Kind::Invalid`] for an unknown argument or value.
pub fn options(arguments: Object) -> Result<EngineOptions> {
    let given: OptionsForm = form("options", arguments)?;
    let mut options = EngineOptions::default();
    for (field, value, target) in [
        ("lease", given.lease, &mut options.lease),
        ("longest_pause", given.longest_pause, &mut options.longest_pause),
        ("look_ahead", given.look_ahead, &mut options.look_ahead),
        ("doubt_patience", given.doubt_patience, &mut options.doubt_patience),
    ] {
        if let Some(value) = value {
            *target = time(field, value)?;
        }
    }
    if let Some(value) = given.poll_interval {
        options.poll_interval = Some(time("poll_interval", value)?);
    }
    if given.alone == Some(true) {
        options.poll_interval = None;
    }
    options.node_name = given.node_name.unwrap_or(options.node_name);
    options.batch = given.batch.unwrap_or(options.batch);
    options.max_in_flight = given.max_in_flight.or(options.max_in_flight);
    options.max_rate = given.max_rate.or(options.max_rate);
    options.event_buffer = given.event_buffer.unwrap_or(options.event_buffer);
    options.seed = given.seed.unwrap_or(options.seed);
    options.conversations = given.conversations.unwrap_or(options.conversations);
    options.executes = given.executes.unwrap_or(options.executes);
    Ok(options)
}

fn time(field: &'static str, value: f64) -> Result<Duration> {
    seconds(value).ok_or_else(|| Error::invalid(field, "must be a number of seconds of at least 0"))
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ProfileName {
    Default,
    Instant,
    Troubled,
}

fn profile(value: Option<Value>) -> Result<CarrierProfile> {
    let profile = match value.filter(|value| !value.is_null()) {
        None => CarrierProfile::default(),
        Some(value @ Value::String(_)) => match read("profile", value)? {
            ProfileName::Default => CarrierProfile::default(),
            ProfileName::Instant => CarrierProfile::instant(),
            ProfileName::Troubled => CarrierProfile::troubled(),
        },
        Some(value) => read("profile", value)?,
    };
    profile.check()?;
    Ok(profile)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CarrierForm {
    profile: Option<Value>,
    seed: Option<u64>,
    speed: Option<u32>,
    account: Option<String>,
    log: Option<PathBuf>,
    forgetful: Option<bool>,
}

/// A simulated carrier: `profile` (`default`, `instant`, `troubled`, or the fields of [`CarrierProfile`]), `seed`, `speed` (60 makes a
/// minute a second), `account`, `log` (a file of hand-offs that outlives the process), `forgetful` (remember no hand-off).
///
/// # Errors
/// [`crate::Kind::Invalid`] for a profile that makes no sense; what opening the log can meet.
pub fn carrier(arguments: Object) -> Result<SimulatedDialer> {
    let given: CarrierForm = form("dialer", arguments)?;
    let mut profile = profile(given.profile)?;
    profile.speed = given.speed.unwrap_or(profile.speed);
    let mut dialer = SimulatedDialer::new(profile, given.seed.unwrap_or_default());
    if let Some(account) = given.account {
        dialer = dialer.with_account(account);
    }
    if given.forgetful == Some(true) {
        dialer = dialer.forgetful();
    }
    match given.log {
        Some(path) => dialer.with_log(path),
        None => Ok(dialer),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SimulateForm {
    profile: Option<Value>,
    seed: Option<u64>,
    start: Option<Timestamp>,
    max_days: Option<u32>,
}

/// How to simulate: `profile` as for [`carrier`], `seed`, `start`, `max_days`.
///
/// # Errors
/// [`crate::Kind::Invalid`] for an unknown argument or value.
pub fn simulate_options(arguments: Object) -> Result<SimulateOptions> {
    let given: SimulateForm = form("options", arguments)?;
    let defaults = SimulateOptions::default();
    Ok(SimulateOptions {
        profile: profile(given.profile)?,
        seed: given.seed.unwrap_or(defaults.seed),
        start: given.start,
        max_days: given.max_days.unwrap_or(defaults.max_days),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LintForm {
    sample: Option<u32>,
    segment_price: Option<Money>,
}

/// What lint looks at: `sample`, `segment_price`.
///
/// # Errors
/// [`crate::Kind::Invalid`] for an unknown argument or value.
pub fn lint_options(arguments: Object) -> Result<LintOptions> {
    let given: LintForm = form("options", arguments)?;
    let defaults = LintOptions::default();
    Ok(LintOptions { sample: given.sample.unwrap_or(defaults.sample), segment_price: given.segment_price.or(defaults.segment_price) })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PreviewForm {
    template: String,
    #[serde(alias = "template_syntax")]
    syntax: Option<TemplateSyntax>,
    variables: Option<Variables>,
    fallback_values: Option<BTreeMap<String, String>>,
}

/// Renders `template` with `variables` and `fallback_values`; `syntax` is `jinja` or `brace`.
///
/// # Errors
/// [`crate::Kind::Template`] with line and column, [`crate::Kind::Invalid`] for an unknown argument.
pub fn preview(arguments: Object) -> Result<String> {
    let given: PreviewForm = form("preview", arguments)?;
    crate::template::preview(
        &given.template,
        given.syntax.unwrap_or_default(),
        &given.variables.unwrap_or_default(),
        &given.fallback_values.unwrap_or_default(),
    )
}

/// Which contacts a re-execution reaches again: `all`, `failed_only`, or a list of ids.
///
/// # Errors
/// [`crate::Kind::Invalid`] for anything else.
pub fn reexecution(value: Value) -> Result<Reexecution> {
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        All,
        FailedOnly,
    }
    match value {
        Value::Array(_) => read("contact_selection", value).map(Reexecution::Contacts),
        value => Ok(match read("contact_selection", value)? {
            Word::All => Reexecution::All,
            Word::FailedOnly => Reexecution::FailedOnly,
        }),
    }
}

/// A schedule: `schedule_type` with `scheduled_at` and `timezone`, or with `recurring_config`, whose zone `timezone` is when it names none.
///
/// # Errors
/// [`crate::Kind::Invalid`] for an unknown type or value.
pub fn schedule(mut arguments: Object) -> Result<Schedule> {
    super::spec::tidy_schedule(&mut arguments);
    read("schedule", Value::Object(arguments))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimelineForm {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    bucket_seconds: u32,
}

/// Which part of a timeline: `bucket_seconds`, and `from` and `to`, which are everything up to `now` when left out.
///
/// # Errors
/// [`crate::Kind::Invalid`] for an unknown argument or value.
pub fn timeline_query(campaign: CampaignId, arguments: Object, now: Timestamp) -> Result<TimelineQuery> {
    let given: TimelineForm = form("timeline", arguments)?;
    Ok(TimelineQuery {
        campaign,
        from: given.from.unwrap_or(Timestamp::UNIX_EPOCH),
        to: given.to.unwrap_or(now.saturating_add(jiff::SignedDuration::from_secs(1)).unwrap_or(now)),
        bucket_seconds: given.bucket_seconds,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SuppressionForm {
    phone_number: String,
    default_region: Option<String>,
    campaign_id: Option<CampaignId>,
    organization_id: Option<i64>,
    reason: Option<String>,
    source: Option<String>,
    expires_at: Option<Timestamp>,
}

/// An entry of the suppression list: `phone_number` as people write it (with `default_region` for national ones), `campaign_id` or
/// `organization_id` (all campaigns without them), `reason` (`suppressed` if not said), `source`, `expires_at`.
///
/// # Errors
/// [`crate::Kind::Invalid`] for a number that cannot be read (it is not repeated), and for an unknown argument.
pub fn suppression(arguments: Object, now: Timestamp) -> Result<Suppression> {
    let given: SuppressionForm = form("suppression", arguments)?;
    Ok(Suppression {
        phone: phone(&given.phone_number, given.default_region.as_deref())?,
        scope: suppression_scope(given.campaign_id, given.organization_id)?,
        reason: given.reason.unwrap_or_else(|| "suppressed".to_owned()),
        source: given.source,
        created_at: now,
        expires_at: given.expires_at,
    })
}

/// Names one suppression: `phone_number` (and `default_region`), `campaign_id` or `organization_id`.
///
/// # Errors
/// As [`suppression`].
pub fn suppression_key(arguments: Object) -> Result<SuppressionKey> {
    let given: SuppressionForm = form("suppression", arguments)?;
    let scope = suppression_scope(given.campaign_id, given.organization_id)?;
    Ok(SuppressionKey { phone: phone(&given.phone_number, given.default_region.as_deref())?, scope })
}

/// What `campaign_id` or `organization_id` cover; everything without them.
///
/// # Errors
/// [`crate::Kind::Invalid`] when both are given, or the organisation is not at least 1.
pub fn suppression_scope(campaign: Option<CampaignId>, of: Option<i64>) -> Result<SuppressionScope> {
    match (campaign, organization(of)?) {
        (Some(_), Some(_)) => Err(Error::invalid("organization_id", "give `campaign_id` or `organization_id`, not both")),
        (Some(campaign), None) => Ok(SuppressionScope::Campaign(campaign)),
        (None, of) => Ok(SuppressionScope::of(of)),
    }
}

fn phone(text: &str, region: Option<&str>) -> Result<PhoneNumber> {
    PhoneNumber::parse(text, region).map_err(|error| Error::invalid("phone_number", error.to_string()).with_source(error))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SuppressionQueryForm {
    phone_number: Option<String>,
    default_region: Option<String>,
    campaign_id: Option<CampaignId>,
    organization_id: Option<i64>,
}

/// Which suppressions: `phone_number`, `campaign_id` or `organization_id` (only those of this campaign, or that cover the whole of this
/// organisation), and a page.
///
/// # Errors
/// As [`suppression`].
pub fn suppression_query(mut arguments: Object) -> Result<SuppressionQuery> {
    let paging = paging(&mut arguments)?;
    let given: SuppressionQueryForm = form("query", arguments)?;
    let phone = given.phone_number.map(|text| phone(&text, given.default_region.as_deref())).transpose()?;
    let scope = suppression_scope(given.campaign_id, given.organization_id)?;
    Ok(SuppressionQuery { phone, scope: Some(scope).filter(|scope| *scope != SuppressionScope::Everything), after: None, paging })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use serde_json::json;

    fn object(value: Value) -> Object {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn pages_are_counted_in_two_ways() {
        let query = |value| campaign_query(object(value)).map(|query| query.paging);
        assert_eq!(query(json!({})).unwrap(), Paging::default());
        assert_eq!(query(json!({"page": 3, "per_page": 20})).unwrap(), Paging { offset: 40, limit: 20 });
        assert_eq!(query(json!({"skip": 7, "limit": 9, "page": null})).unwrap(), Paging { offset: 7, limit: 9 });
        for wrong in
            [json!({"page": 0}), json!({"limit": 0}), json!({"limit": 10_001}), json!({"page": 1, "offset": 3}), json!({"pages": 1})]
        {
            assert_eq!(query(wrong).unwrap_err().kind(), Kind::Invalid);
        }
    }

    #[test]
    fn statuses_are_one_or_several() {
        let query = campaign_query(object(json!({"status": ["running", "paused"], "campaign_type": "sms", "search": "x"}))).unwrap();
        assert_eq!(query.statuses, [CampaignStatus::Running, CampaignStatus::Paused]);
        let owner = Owner::Campaign(CampaignId(1));
        let query = contact_query(owner, object(json!({"status": "busy", "count": false}))).unwrap();
        assert_eq!((query.statuses, query.count), (vec![ContactStatus::Busy], false));
        let error = contact_query(owner, object(json!({"status": "bussy"}))).unwrap_err();
        assert!(error.message().contains("no_answer"), "{error}");
    }

    #[test]
    fn executions_are_found_by_what_they_came_to() {
        let query = |value| execution_query(object(value)).unwrap();
        assert_eq!(query(json!({"status": "completed"})).dispositions, [Disposition::Answered, Disposition::Sent, Disposition::Delivered]);
        assert!(query(json!({"status": "in_progress"})).open_only);
        assert_eq!(query(json!({"status": "failed", "disposition": ["rejected", "busy"]})).dispositions, [Disposition::Rejected]);
        for none in [json!({"status": "cancelled"}), json!({"status": "pending"}), json!({"status": "failed", "disposition": "answered"})] {
            assert_eq!(query(none).before, Some(AttemptId(1)), "no execution comes to this");
        }
        assert!(execution_query(object(json!({"status": "bussy"}))).is_err());
    }

    #[test]
    fn options_keep_the_engines_defaults() {
        assert_eq!(format!("{:?}", options(Object::new()).unwrap()), format!("{:?}", EngineOptions::default()));
        let given =
            options(object(json!({"lease": 2.5, "max_rate": {"starts": 20, "per_seconds": 1}, "alone": true, "executes": false}))).unwrap();
        assert_eq!((given.lease, given.poll_interval, given.executes), (Duration::from_millis(2500), None, false));
        assert!(options(object(json!({"lease": -1}))).is_err());
        assert!(options(object(json!({"laese": 1}))).unwrap_err().message().contains("laese"));
        assert_eq!(format!("{:?}", import_options(Object::new()).unwrap()), format!("{:?}", ImportOptions::default()));
        let given =
            import_options(object(json!({"format": "json_lines", "column_mappings": {"A": "name"}, "duplicates": "update_variables"})));
        assert_eq!(given.unwrap().duplicates, DuplicatePolicy::UpdateVariables);
        assert_eq!(simulate_options(Object::new()).unwrap().max_days, SimulateOptions::default().max_days);
        assert_eq!(lint_options(object(json!({"segment_price": 0.01}))).unwrap().segment_price, Some(Money(10_000)));
    }

    #[test]
    fn carriers_come_from_a_name_or_from_numbers() {
        assert!(carrier(object(json!({"profile": "instant", "seed": 7}))).is_ok());
        assert!(carrier(object(json!({"profile": {"calls": {"answered": 1}, "throttled": 0.5}, "speed": 60}))).is_ok());
        assert!(carrier(object(json!({"profile": "instnat"}))).is_err());
        assert!(carrier(object(json!({"profile": {"throttled": 5}}))).is_err());
    }

    #[test]
    fn suppressions_are_read_as_people_write_them() {
        let now = Timestamp::UNIX_EPOCH;
        let entry = suppression(object(json!({"phone_number": "(212) 555-0123", "default_region": "US", "campaign_id": 3})), now).unwrap();
        assert_eq!((entry.phone.as_str(), entry.scope), ("+12125550123", SuppressionScope::Campaign(CampaignId(3))));
        let error = suppression(object(json!({"phone_number": "12345678901234567890"})), now).unwrap_err();
        assert!(!format!("{error:?}").contains("1234567"), "{error:?}");
        let scope = |value| suppression_key(object(value)).map(|key| key.scope);
        assert_eq!(scope(json!({"phone_number": "+12125550123"})).unwrap(), SuppressionScope::Everything);
        assert_eq!(scope(json!({"phone_number": "+12125550123", "organization_id": 7})).unwrap(), SuppressionScope::Organization(7));
        for wrong in [json!({"campaign_id": 3, "organization_id": 7}), json!({"organization_id": 0})] {
            let error = suppression_query(object(wrong)).unwrap_err();
            assert!(error.to_string().contains("organization_id"), "{error}");
        }
        assert_eq!(suppression_query(object(json!({"organization_id": 7}))).unwrap().scope, Some(SuppressionScope::Organization(7)));
        assert_eq!(suppression_query(Object::new()).unwrap().scope, None);
    }

    #[test]
    fn organisations_are_at_least_one() {
        assert_eq!(campaign_query(object(json!({"organization_id": 7}))).unwrap().organization, Some(7));
        let error = campaign_query(object(json!({"organization_id": -7}))).unwrap_err();
        assert!(error.kind() == Kind::Invalid && error.to_string().contains("organization_id"), "{error}");
    }

    #[test]
    fn selections_schedules_and_previews() {
        assert_eq!(reexecution(json!("failed_only")).unwrap(), Reexecution::FailedOnly);
        assert_eq!(reexecution(json!([1, 2])).unwrap(), Reexecution::Contacts(vec![ContactId(1), ContactId(2)]));
        assert!(reexecution(json!("some")).is_err());
        assert_eq!(schedule(object(json!({"schedule_type": "immediate", "scheduled_at": null}))).unwrap(), Schedule::Immediate);
        let text = preview(object(json!({"template": "Hi {{ name|title_case }}", "variables": {"name": "ada"}}))).unwrap();
        assert_eq!(text, "Hi Ada");
        assert_eq!(preview(object(json!({"template": "{{ name"}))).unwrap_err().kind(), Kind::Template);
    }
}
