//! The data a campaign is made from.

use super::replies::ReplySettings;
use crate::contact::Variables;
use crate::error::Result;
use crate::id::Money;
use crate::outcome::{Channel, Disposition};
use crate::redact::debug_without;
use crate::schedule::{CallingWindows, Schedule};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which kind of campaign.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum CampaignType {
    /// Voice calls.
    #[default]
    Call,
    /// Text messages.
    Sms,
    /// WhatsApp messages.
    WhatsApp,
    /// A sequence of [`Step`]s over several channels.
    Mixed,
    /// A user's own [`crate::campaign::Campaign`], registered with the engine under this name.
    #[serde(untagged)]
    Custom(String),
}

/// Which campaign goes first when the engine-wide cap is short. Shares are 1 : 2 : 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// One share.
    Low,
    /// Two shares.
    #[default]
    Medium,
    /// Four shares.
    High,
}

impl Priority {
    /// Its share against the others.
    pub fn weight(self) -> u32 {
        match self {
            Self::Low => 1,
            Self::Medium => 2,
            Self::High => 4,
        }
    }
}

/// How the templates of a campaign are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum TemplateSyntax {
    /// `{{ name|title_case }}`.
    #[default]
    Jinja,
    /// `{customer_name}`.
    Brace,
}

/// How the delay grows from retry to retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Backoff {
    /// Always the same delay.
    #[default]
    Fixed,
    /// Delay times the number of attempts the step has had.
    Linear,
    /// Delay doubled after each attempt of the step but the first.
    Exponential,
}

/// What one way of ending means for the next attempt. Fields left out take the campaign's defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutcomeRule {
    /// Whether to try again at all. Default true; answered, sent, delivered, opted out and in doubt are never tried again.
    #[serde(default = "yes")]
    pub retry: bool,
    /// How many attempts of a step may end this way before it is final, 1 to 10; capped by `max_attempts`.
    #[serde(default)]
    pub max_attempts: Option<u32>,
    /// Minutes to wait, 1 to 43200.
    #[serde(default)]
    pub delay_minutes: Option<u32>,
    /// How the delay grows.
    #[serde(default)]
    pub backoff: Option<Backoff>,
}

fn yes() -> bool {
    true
}

/// In a merge patch null means "the default", so there is a word for "no limit".
fn limit<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Word {
        Unlimited,
    }
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a whole number of at least 1, or \"unlimited\"")]
    enum Limit {
        Number(Option<u32>),
        Word(Word),
    }
    Ok(match Limit::deserialize(deserializer)? {
        Limit::Number(number) => number,
        Limit::Word(Word::Unlimited) => None,
    })
}

/// When and how often to try again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryPolicy {
    /// Rules per disposition; see [`RetryPolicy::default`] for what holds without one.
    pub rules: BTreeMap<Disposition, OutcomeRule>,
    /// How delays grow where a rule does not say.
    pub backoff: Backoff,
    /// Backoff and jitter make no delay longer than this many minutes, 1 to 43200. Default 1440. A plain delay that is longer stays as it is.
    pub max_delay_minutes: u32,
    /// Delays vary by up to this many percent either way, from the engine's seed. Default 0, at most 50.
    pub jitter_percent: u32,
    /// Spread retries over different times of the day: after its delay, each next attempt waits for the first part of the day (morning
    /// from 8, noon from 11, afternoon from 14, evening from 17 to 21, on the contact's clock) that has not been tried yet. Default false.
    pub spread_over_day: bool,
}

impl Default for OutcomeRule {
    /// Try again, with the campaign's defaults.
    fn default() -> Self {
        Self { retry: true, max_attempts: None, delay_minutes: None, backoff: None }
    }
}

impl Default for RetryPolicy {
    /// Without rules: no answer, busy, voicemail (unless a message was left), rejected and failed are tried again; undeliverable, opted
    /// out, cancelled and in doubt never.
    fn default() -> Self {
        Self { rules: BTreeMap::new(), backoff: Backoff::Fixed, max_delay_minutes: 1440, jitter_percent: 0, spread_over_day: false }
    }
}

/// When a step of a mixed campaign is carried out. All parts that are given must hold.
///
/// `previous` is about the last step that was carried out, steps passed over do not count. Success does not end the sequence: a step
/// without `previous` follows an answered call just as it follows a busy line; name the endings after which it is wanted. `replied` is
/// looked at when the step is due, and again before each retry of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Condition {
    /// The previous step ended (finally, after its retries) in one of these ways. Empty: any.
    pub previous: Vec<Disposition>,
    /// The person has not (`false`) or has (`true`) answered back since the first attempt of the run.
    pub replied: Option<bool>,
}

/// One step of a mixed campaign. The first is carried out at once and has no delay and no condition; a mixed campaign has 1 to 20.
///
/// A step ends when an attempt succeeds or none is left; then the next step whose condition holds follows, and when there is none
/// the contact is finished: `completed` if any step reached the person, otherwise as the last attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The channel.
    pub channel: Channel,
    /// The template of the text for message steps; defaults to `sms_message`. Call steps use the call templates.
    #[serde(default)]
    pub template: Option<String>,
    /// Minutes after the end of the last step that was carried out, at most 527040 (366 days). Default 0.
    #[serde(default)]
    pub delay_minutes: u32,
    /// Instead of a plain delay: the next day (in the contact's zone) at this time of day, `HH:MM`; "call next morning".
    #[serde(default)]
    pub next_day_at: Option<String>,
    /// When it is carried out; otherwise it is passed over.
    #[serde(default)]
    pub when: Condition,
    /// Attempts for this step, 1 to 10; defaults to the campaign's `max_attempts` for calls and to 1 for messages.
    #[serde(default)]
    pub max_attempts: Option<u32>,
}

impl Step {
    /// A call, at once and whatever came before.
    pub fn call() -> Self {
        Self { channel: Channel::Call, template: None, delay_minutes: 0, next_day_at: None, when: Condition::default(), max_attempts: None }
    }

    /// A text message from `sms_message`, at once and whatever came before.
    pub fn sms() -> Self {
        Self { channel: Channel::Sms, ..Self::call() }
    }

    /// A WhatsApp message from `sms_message`, at once and whatever came before.
    pub fn whatsapp() -> Self {
        Self { channel: Channel::WhatsApp, ..Self::call() }
    }

    /// With the text of this template.
    #[must_use]
    pub fn template(mut self, name: &str) -> Self {
        self.template = Some(name.to_owned());
        self
    }

    /// This many minutes after the end of the previous step.
    #[must_use]
    pub fn after_minutes(mut self, minutes: u32) -> Self {
        self.delay_minutes = minutes;
        self
    }

    /// On the day after the end of the previous step, at this time of day on the contact's clock.
    #[must_use]
    pub fn next_day_at(mut self, time: &str) -> Self {
        self.next_day_at = Some(time.to_owned());
        self
    }

    /// Only when the previous step ended in one of these ways.
    #[must_use]
    pub fn when_previous(mut self, endings: &[Disposition]) -> Self {
        self.when.previous = endings.to_vec();
        self
    }

    /// Only when the person has (or has not) answered back.
    #[must_use]
    pub fn when_replied(mut self, replied: bool) -> Self {
        self.when.replied = Some(replied);
        self
    }

    /// With this many attempts.
    #[must_use]
    pub fn attempts(mut self, max_attempts: u32) -> Self {
        self.max_attempts = Some(max_attempts);
        self
    }
}

/// Voicemail detection, handed to the dialer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct VoicemailSettings {
    /// Detect answering machines.
    pub enable_voicemail_detection: bool,
    /// Leave `voicemail_message` after the beep; needs detection. A voicemail is then final at once, unless a retry rule for it says otherwise.
    pub leave_voicemail: bool,
    /// The message, a template; the template named `voicemail_message` otherwise.
    pub voicemail_message: Option<String>,
}

debug_without!(VoicemailSettings { enable_voicemail_detection, leave_voicemail } hides { voicemail_message });

/// A number or sender the campaign may use, with its own limits. What is used of them is counted over all campaigns that name the number,
/// of whatever organisation: it is one line.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallerId {
    /// The number or sender name, 1 to 64 printable characters; each only once in a campaign.
    pub number: String,
    /// At most this many attempts at once.
    #[serde(default)]
    pub concurrent_limit: Option<u32>,
    /// At most this many starts in any 60 s.
    #[serde(default)]
    pub rate_limit_per_minute: Option<u32>,
    /// At most this many starts per day in the campaign's zone.
    #[serde(default)]
    pub calls_per_day: Option<u32>,
}

debug_without!(CallerId { concurrent_limit, rate_limit_per_minute, calls_per_day } hides { number });

/// At most `max` attempts at a person within a rolling time, over all campaigns of the same organisation; those without one are a group of
/// their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrequencyCap {
    /// How many, at least 1.
    pub max: u32,
    /// Within how many hours, 1 to 8784. 168 is a week.
    pub hours: u32,
    /// Only attempts on these channels count. Empty: all.
    #[serde(default)]
    pub channels: Vec<Channel>,
}

/// Everything that makes a campaign. Names and defaults are those of the REST API.
///
/// Every field can be changed while the campaign runs or is paused, except `campaign_type` and `organization`; what changes takes effect at the
/// next hand-off.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CampaignSpec {
    /// 1 to 200 characters.
    pub name: String,
    /// Free text, at most 10,000 characters.
    pub description: Option<String>,
    /// The kind.
    pub campaign_type: CampaignType,
    /// The organisation it belongs to, at least 1; never changed once the campaign is there. `None`, the default: the program's own.
    /// Suppressions of an organisation and frequency caps reach over its campaigns and no others.
    pub organization: Option<i64>,
    /// The assistant that talks, handed to the dialer.
    pub assistant_id: Option<i64>,
    /// Its name, the system variable `assistant_name`.
    pub assistant_name: Option<String>,
    /// Templates by name: `welcome_message`, `agenda`, `end_call_message`, `sms_message`, `voicemail_message`, `system_prompt`, and any other.
    /// At most 100, each of at most 64 KiB.
    pub templates: BTreeMap<String, String>,
    /// How the templates are written.
    pub template_syntax: TemplateSyntax,
    /// What a variable without a value renders to.
    pub fallback_values: BTreeMap<String, String>,
    /// Column to field of the last import, as given.
    pub variable_mappings: BTreeMap<String, String>,
    /// Variables known to exist, slug to original header.
    pub available_variables: BTreeMap<String, String>,
    /// Steps of a mixed campaign, in order, 1 to 20. Call, SMS and WhatsApp campaigns have none.
    pub steps: Vec<Step>,
    /// Attempts per contact, 1 to 10. Default 3.
    pub max_attempts: u32,
    /// Minutes between attempts, 1 to 43200. Default 30.
    pub retry_delay_minutes: u32,
    /// Finer rules for retries.
    pub retry: RetryPolicy,
    /// Attempts at once. Default 5. `None` (written `null` or `"unlimited"`): no limit of its own.
    #[serde(deserialize_with = "limit")]
    pub concurrent_limit: Option<u32>,
    /// Starts in any 60 s. Default 10. `None` (written `null` or `"unlimited"`): no limit of its own.
    #[serde(deserialize_with = "limit")]
    pub rate_limit_per_minute: Option<u32>,
    /// Starts per calendar day in `time_zone`, at least 1.
    pub calls_per_day: Option<u32>,
    /// Who goes first.
    pub priority: Priority,
    /// The campaign's IANA zone. Default `UTC`.
    pub time_zone: String,
    /// When people may be contacted. Default: always.
    pub windows: CallingWindows,
    /// When the campaign starts.
    pub schedule: Schedule,
    /// No attempt starts after this moment; what is left ends as `skipped`, reason `deadline`.
    pub deadline: Option<Timestamp>,
    /// Only contacts with consent for the channel are contacted.
    pub consent_required: bool,
    /// Caps over all campaigns of the organisation.
    pub frequency_caps: Vec<FrequencyCap>,
    /// Money to spend. At 100 % nothing more starts.
    pub budget: Option<Money>,
    /// What one attempt is reckoned to cost until its price is known.
    pub cost_per_attempt: Money,
    /// Percent of the budget at which an event is sent, 1 to 100. Default 80.
    pub budget_threshold_percent: u32,
    /// Numbers to send from, taken in turn within their limits; at most 1,000.
    pub caller_ids: Vec<CallerId>,
    /// Voicemail detection.
    pub voicemail: VoicemailSettings,
    /// What happens when people answer back.
    pub replies: ReplySettings,
    /// Seconds to let it ring, 1 to 600. Default 30.
    pub ring_timeout_seconds: u32,
    /// Longest call in seconds, 1 to 86400. Default 900. A call not settled by then plus a grace time is asked for with `find`.
    pub max_duration_seconds: u32,
    /// Anything for the dialer: voice, language, provider options.
    pub dialer_options: Variables,
    /// Anything of the embedding program; the engine does not look at it.
    pub metadata: Variables,
}

debug_without!(CampaignSpec {
    name, description, campaign_type, organization, assistant_id, assistant_name, template_syntax, variable_mappings, available_variables, steps,
    max_attempts, retry_delay_minutes, retry, concurrent_limit, rate_limit_per_minute, calls_per_day, priority, time_zone, windows,
    schedule, deadline, consent_required, frequency_caps, budget, cost_per_attempt, budget_threshold_percent, caller_ids, voicemail, replies,
    ring_timeout_seconds, max_duration_seconds
} hides { templates, fallback_values, dialer_options, metadata });

impl Default for CampaignSpec {
    fn default() -> Self {
        Self {
            name: String::new(),
            description: None,
            campaign_type: CampaignType::Call,
            organization: None,
            assistant_id: None,
            assistant_name: None,
            templates: BTreeMap::new(),
            template_syntax: TemplateSyntax::Jinja,
            fallback_values: BTreeMap::new(),
            variable_mappings: BTreeMap::new(),
            available_variables: BTreeMap::new(),
            steps: Vec::new(),
            max_attempts: 3,
            retry_delay_minutes: 30,
            retry: RetryPolicy::default(),
            concurrent_limit: Some(5),
            rate_limit_per_minute: Some(10),
            calls_per_day: None,
            priority: Priority::Medium,
            time_zone: "UTC".to_owned(),
            windows: CallingWindows::default(),
            schedule: Schedule::Immediate,
            deadline: None,
            consent_required: false,
            frequency_caps: Vec::new(),
            budget: None,
            cost_per_attempt: Money::ZERO,
            budget_threshold_percent: 80,
            caller_ids: Vec::new(),
            voicemail: VoicemailSettings::default(),
            replies: ReplySettings::default(),
            ring_timeout_seconds: 30,
            max_duration_seconds: 900,
            dialer_options: Variables::new(),
            metadata: Variables::new(),
        }
    }
}

impl CampaignSpec {
    /// Starts a builder for a campaign of this kind and name.
    pub fn builder(campaign_type: CampaignType, name: impl Into<String>) -> CampaignSpecBuilder {
        CampaignSpecBuilder { spec: CampaignSpec { campaign_type, name: name.into(), ..CampaignSpec::default() } }
    }

    /// A call campaign.
    pub fn call(name: impl Into<String>) -> CampaignSpecBuilder {
        Self::builder(CampaignType::Call, name)
    }

    /// An SMS campaign.
    pub fn sms(name: impl Into<String>) -> CampaignSpecBuilder {
        Self::builder(CampaignType::Sms, name)
    }

    /// A WhatsApp campaign.
    pub fn whatsapp(name: impl Into<String>) -> CampaignSpecBuilder {
        Self::builder(CampaignType::WhatsApp, name)
    }

    /// A campaign of several steps; add them with [`CampaignSpecBuilder::step`].
    pub fn mixed(name: impl Into<String>) -> CampaignSpecBuilder {
        Self::builder(CampaignType::Mixed, name)
    }

    /// The channel of the first step.
    pub fn first_channel(&self) -> Channel {
        match &self.campaign_type {
            CampaignType::Call | CampaignType::Custom(_) => Channel::Call,
            CampaignType::Sms => Channel::Sms,
            CampaignType::WhatsApp => Channel::WhatsApp,
            CampaignType::Mixed => self.steps.first().map_or(Channel::Call, |step| step.channel),
        }
    }

    /// The templates that its messages are made from. A kind of its own decides for itself, so none are known of it.
    pub fn message_templates(&self) -> impl Iterator<Item = &str> {
        let plain = matches!(self.campaign_type, CampaignType::Sms | CampaignType::WhatsApp).then_some("sms_message");
        let steps = if self.campaign_type == CampaignType::Mixed { self.steps.as_slice() } else { &[] };
        let messages = steps.iter().filter(|step| step.channel != Channel::Call);
        plain.into_iter().chain(messages.map(|step| step.template.as_deref().unwrap_or("sms_message")))
    }
}

/// Builds a [`CampaignSpec`] field by field; what is not set keeps its default.
#[derive(Debug, Clone)]
pub struct CampaignSpecBuilder {
    spec: CampaignSpec,
}

impl CampaignSpecBuilder {
    /// Changes the spec directly; the way to fields without a method of their own.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut CampaignSpec)) -> Self {
        change(&mut self.spec);
        self
    }

    /// Sets the organisation the campaign belongs to.
    #[must_use]
    pub fn organization(self, id: i64) -> Self {
        self.with(|spec| spec.organization = Some(id))
    }

    /// Adds a template.
    #[must_use]
    pub fn template(self, name: &str, source: &str) -> Self {
        self.with(|spec| {
            spec.templates.insert(name.to_owned(), source.to_owned());
        })
    }

    /// Sets what a variable without a value renders to.
    #[must_use]
    pub fn fallback(self, variable: &str, value: &str) -> Self {
        self.with(|spec| {
            spec.fallback_values.insert(variable.to_owned(), value.to_owned());
        })
    }

    /// Sets how many attempts run at once.
    #[must_use]
    pub fn concurrent_limit(self, limit: u32) -> Self {
        self.with(|spec| spec.concurrent_limit = Some(limit))
    }

    /// Sets how many attempts start in any 60 s.
    #[must_use]
    pub fn rate_limit_per_minute(self, limit: u32) -> Self {
        self.with(|spec| spec.rate_limit_per_minute = Some(limit))
    }

    /// Sets attempts per contact and minutes between them.
    #[must_use]
    pub fn retries(self, max_attempts: u32, retry_delay_minutes: u32) -> Self {
        self.with(|spec| {
            spec.max_attempts = max_attempts;
            spec.retry_delay_minutes = retry_delay_minutes;
        })
    }

    /// Sets the campaign's IANA zone.
    #[must_use]
    pub fn time_zone(self, zone: &str) -> Self {
        self.with(|spec| spec.time_zone = zone.to_owned())
    }

    /// Sets the calling windows.
    #[must_use]
    pub fn windows(self, windows: CallingWindows) -> Self {
        self.with(|spec| spec.windows = windows)
    }

    /// Sets when the campaign starts.
    #[must_use]
    pub fn schedule(self, schedule: Schedule) -> Self {
        self.with(|spec| spec.schedule = schedule)
    }

    /// Adds a step of a mixed campaign.
    #[must_use]
    pub fn step(self, step: Step) -> Self {
        self.with(|spec| spec.steps.push(step))
    }

    /// Sets what follows an attempt that ended in this way.
    #[must_use]
    pub fn retry_rule(self, ending: Disposition, rule: OutcomeRule) -> Self {
        self.with(|spec| {
            spec.retry.rules.insert(ending, rule);
        })
    }

    /// Sets who goes first.
    #[must_use]
    pub fn priority(self, priority: Priority) -> Self {
        self.with(|spec| spec.priority = priority)
    }

    /// Sets how many attempts start per day in the campaign's zone.
    #[must_use]
    pub fn calls_per_day(self, limit: u32) -> Self {
        self.with(|spec| spec.calls_per_day = Some(limit))
    }

    /// Sets the moment after which no attempt starts.
    #[must_use]
    pub fn deadline(self, at: Timestamp) -> Self {
        self.with(|spec| spec.deadline = Some(at))
    }

    /// Only contacts with consent for the channel are contacted.
    #[must_use]
    pub fn consent_required(self) -> Self {
        self.with(|spec| spec.consent_required = true)
    }

    /// Adds a cap: at most `max` attempts at a person within `hours`, over all campaigns of the organisation and all channels.
    #[must_use]
    pub fn frequency_cap(self, max: u32, hours: u32) -> Self {
        self.with(|spec| spec.frequency_caps.push(FrequencyCap { max, hours, channels: Vec::new() }))
    }

    /// Sets the budget, and what one attempt is reckoned to cost until its price is known.
    #[must_use]
    pub fn budget(self, total: Money, per_attempt: Money) -> Self {
        self.with(|spec| {
            spec.budget = Some(total);
            spec.cost_per_attempt = per_attempt;
        })
    }

    /// Adds a number or sender to use, without limits of its own.
    #[must_use]
    pub fn caller_id(self, number: &str) -> Self {
        self.with(|spec| {
            spec.caller_ids.push(CallerId {
                number: number.to_owned(),
                concurrent_limit: None,
                rate_limit_per_minute: None,
                calls_per_day: None,
            });
        })
    }

    /// Detects answering machines, and leaves this message (a template) on them.
    #[must_use]
    pub fn leave_voicemail(self, message: &str) -> Self {
        self.with(|spec| {
            spec.voicemail =
                VoicemailSettings { enable_voicemail_detection: true, leave_voicemail: true, voicemail_message: Some(message.to_owned()) };
        })
    }

    /// The checked spec.
    ///
    /// # Errors
    /// As [`CampaignSpec::validate`].
    pub fn build(self) -> Result<CampaignSpec> {
        self.spec.validate()?;
        Ok(self.spec)
    }
}
