//! The gates, in order. Each says allow, not before a moment, or never, with a reason.
//!
//! The order is: campaign state, run deadline, suppression, consent, zone known, calling window, frequency caps, calls per day,
//! budget, concurrency, rate, caller ids, priority and fair share. The first that blocks is the reason `explain` gives.

use crate::campaign::{CampaignSpec, CampaignStatus};
use crate::contact::{Contact, Reason};
use crate::outcome::Channel;
use crate::policy::limits::{ClaimLimits, Ledger, LimitKind, LimitRules, LimitScope, earliest};
use crate::schedule::{CompiledWindows, ZoneClock};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The gates, in the order in which they are evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// The campaign runs.
    CampaignState,
    /// The run's deadline has not passed.
    Deadline,
    /// The number is not on the suppression list.
    Suppression,
    /// The contact agreed, where the campaign asks for it.
    Consent,
    /// The contact's time zone is known.
    ZoneKnown,
    /// The calling window is open in every zone the number may be in.
    CallingWindow,
    /// The person has not been contacted too often, over all campaigns.
    FrequencyCap,
    /// Starts per day.
    CallsPerDay,
    /// Money is left.
    Budget,
    /// Attempts at once.
    Concurrency,
    /// Starts per minute.
    Rate,
    /// A caller id is free within its own limits.
    CallerId,
    /// The campaign's share of the engine-wide cap.
    FairShare,
}

impl Gate {
    /// All of them, in order.
    pub const ALL: [Gate; 13] = [
        Self::CampaignState,
        Self::Deadline,
        Self::Suppression,
        Self::Consent,
        Self::ZoneKnown,
        Self::CallingWindow,
        Self::FrequencyCap,
        Self::CallsPerDay,
        Self::Budget,
        Self::Concurrency,
        Self::Rate,
        Self::CallerId,
        Self::FairShare,
    ];

    /// The wire code, for example `calling_window`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CampaignState => "campaign_state",
            Self::Deadline => "deadline",
            Self::Suppression => "suppression",
            Self::Consent => "consent",
            Self::ZoneKnown => "zone_known",
            Self::CallingWindow => "calling_window",
            Self::FrequencyCap => "frequency_cap",
            Self::CallsPerDay => "calls_per_day",
            Self::Budget => "budget",
            Self::Concurrency => "concurrency",
            Self::Rate => "rate",
            Self::CallerId => "caller_id",
            Self::FairShare => "fair_share",
        }
    }

    /// The gate with this wire code.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|gate| gate.as_str() == code)
    }
}

/// What one gate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateReport {
    /// Which gate.
    pub gate: Gate,
    /// What it says.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What a gate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing against it.
    Allow,
    /// Not now. `until` is the earliest moment it may open; `None` when it waits for an event and not for a time.
    NotBefore {
        /// The earliest moment.
        until: Option<Timestamp>,
        /// Why.
        reason: Reason,
    },
    /// Not in this run.
    Never {
        /// Why.
        reason: Reason,
    },
}

impl Verdict {
    /// Why it does not allow.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Allow => None,
            Self::NotBefore { reason, .. } | Self::Never { reason } => Some(reason),
        }
    }

    /// Whether it is [`Verdict::Allow`].
    pub fn is_allow(&self) -> bool {
        matches!(self, Self::Allow)
    }
}

/// What a store knows about a person when a contact is claimed or looked at again. Read in one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ContactFacts {
    /// The suppression entry that covers the number, if any: its reason, never the number.
    pub suppressed: Option<String>,
    /// Hand-offs to this number over all campaigns, newest first, as far back as the longest cap asks.
    pub recent: Vec<(Timestamp, Channel)>,
}

/// The part of the gates that a store evaluates for each candidate inside the claim, so that a suppressed or capped contact
/// takes no slot. Plain data, so that it can cross a process or language border.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct ClaimGates {
    /// Frequency caps.
    pub frequency_caps: Vec<crate::campaign::FrequencyCap>,
    /// Whether consent for the channel is required.
    pub consent_required: bool,
    /// The channel of contacts without a planned step.
    pub first_channel: Option<Channel>,
}

impl ClaimGates {
    /// From a spec.
    pub fn of(spec: &CampaignSpec) -> Self {
        Self {
            frequency_caps: spec.frequency_caps.clone(),
            consent_required: spec.consent_required,
            first_channel: Some(spec.first_channel()),
        }
    }

    /// How far back [`ContactFacts::recent`] must reach; `None` when no cap asks for it.
    pub fn look_back(&self) -> Option<SignedDuration> {
        self.frequency_caps.iter().map(|cap| SignedDuration::from_hours(i64::from(cap.hours))).max()
    }

    /// Suppression, consent and frequency caps for one candidate.
    pub fn decide(&self, contact: &Contact, facts: &ContactFacts, now: Timestamp) -> Verdict {
        let channel = contact.state.step.as_ref().map(|step| step.channel).or(self.first_channel).unwrap_or(Channel::Call);
        for verdict in
            [suppression(facts), consent(self.consent_required, contact, channel), frequency(&self.frequency_caps, facts, channel, now)]
        {
            if !verdict.is_allow() {
                return verdict;
            }
        }
        Verdict::Allow
    }
}

fn not_before(until: Option<Timestamp>, code: &str, text: impl Into<String>) -> Verdict {
    Verdict::NotBefore { until, reason: Reason::new(code, text.into()) }
}

fn never(code: &str, text: impl Into<String>) -> Verdict {
    Verdict::Never { reason: Reason::new(code, text.into()) }
}

/// Gate 1: the campaign runs.
pub fn campaign_state(status: CampaignStatus) -> Verdict {
    match status {
        CampaignStatus::Running => Verdict::Allow,
        CampaignStatus::Cancelled => never("campaign_cancelled", "The campaign was cancelled."),
        CampaignStatus::Completed | CampaignStatus::Failed => never("campaign_ended", format!("The campaign is {status}.")),
        CampaignStatus::Draft => not_before(None, "campaign_draft", "The campaign has not been started."),
        CampaignStatus::Scheduled => not_before(None, "campaign_scheduled", "The campaign waits for its start."),
        CampaignStatus::Paused => not_before(None, "campaign_paused", "The campaign is paused."),
    }
}

/// Gate 2: the run's deadline.
pub fn deadline(deadline: Option<Timestamp>, now: Timestamp) -> Verdict {
    match deadline {
        Some(at) if now >= at => never("deadline", format!("The campaign's deadline {at} has passed.")),
        _ => Verdict::Allow,
    }
}

/// Gate 3: the suppression list.
pub fn suppression(facts: &ContactFacts) -> Verdict {
    match &facts.suppressed {
        Some(reason) => never("suppressed", format!("The number is on the suppression list ({reason}).")),
        None => Verdict::Allow,
    }
}

/// Gate 4: consent where required.
pub fn consent(required: bool, contact: &Contact, channel: Channel) -> Verdict {
    if !required {
        return Verdict::Allow;
    }
    match &contact.person.consent {
        Some(consent) if consent.channels.is_empty() || consent.channels.contains(&channel) => Verdict::Allow,
        Some(_) => never("no_consent", format!("The contact's consent does not cover {channel}.")),
        None => never("no_consent", "The campaign requires consent and the contact has none."),
    }
}

/// Gates 5 and 6: a known zone, and an open calling window in every candidate zone.
pub fn window(windows: &CompiledWindows, contact: &Contact, now: Timestamp) -> Verdict {
    match windows.at(&contact.person.zones, now) {
        ZoneClock::Open { .. } => Verdict::Allow,
        ZoneClock::Closed { opens_at: Some(at) } => {
            let text = match windows.holiday(&contact.person.zones, now) {
                Some("") => format!("It is a holiday; the calling window is closed until {at}."),
                Some(name) => format!("It is a holiday ({name}); the calling window is closed until {at}."),
                None => format!("The calling window is closed until {at}."),
            };
            not_before(Some(at), "window_closed", text)
        }
        ZoneClock::Closed { opens_at: None } => {
            never("window_never_opens", "The calling window does not open within 400 days in every zone the number may be in.")
        }
        ZoneClock::Unknown => never("zone_unknown", "The contact's time zone is not known, so its calling hours cannot be checked."),
    }
}

/// Gate 7: frequency caps over all campaigns.
pub fn frequency(caps: &[crate::campaign::FrequencyCap], facts: &ContactFacts, channel: Channel, now: Timestamp) -> Verdict {
    let mut latest: Option<(Timestamp, &crate::campaign::FrequencyCap)> = None;
    for cap in caps {
        if !cap.channels.is_empty() && !cap.channels.contains(&channel) {
            continue;
        }
        let span = SignedDuration::from_hours(i64::from(cap.hours));
        let counted: Vec<Timestamp> = facts
            .recent
            .iter()
            .filter(|(at, on)| (cap.channels.is_empty() || cap.channels.contains(on)) && at.saturating_add(span).is_ok_and(|end| end > now))
            .map(|(at, _)| *at)
            .collect();
        if counted.len() < cap.max as usize {
            continue;
        }
        if cap.max == 0 {
            return never("frequency_cap", format!("At most 0 attempts in {} hours are allowed.", cap.hours));
        }
        // Newest first: the one that must leave the window is the `max`-th newest.
        let opens = counted[cap.max as usize - 1].saturating_add(span).unwrap_or(Timestamp::MAX);
        if latest.is_none_or(|(at, _)| opens > at) {
            latest = Some((opens, cap));
        }
    }
    match latest {
        Some((until, cap)) => {
            not_before(Some(until), "frequency_cap", format!("At most {} attempts in {} hours are allowed.", cap.max, cap.hours))
        }
        None => Verdict::Allow,
    }
}

/// The gates that are looked at once more at the instant of hand-off, on the time it is then: 1 to 6.
///
/// The others hold already and cannot close in between: limits, budget and caller id are reserved in the transaction that claimed
/// the attempt, and the claimed attempt itself counts towards the frequency caps by now, so asking again would hold it against itself.
/// The first gate that does not allow is the answer.
pub fn evaluate_handoff(
    spec: &CampaignSpec,
    status: CampaignStatus,
    windows: &CompiledWindows,
    contact: &Contact,
    facts: &ContactFacts,
    channel: Channel,
    now: Timestamp,
) -> Verdict {
    let checks: [&dyn Fn() -> Verdict; 5] = [
        &|| campaign_state(status),
        &|| deadline(spec.deadline, now),
        &|| suppression(facts),
        &|| consent(spec.consent_required, contact, channel),
        &|| window(windows, contact, now),
    ];
    checks.into_iter().map(|check| check()).find(|verdict| !verdict.is_allow()).unwrap_or(Verdict::Allow)
}

/// What [`explain_gates`] looks at. Everything as it is at `now`.
#[derive(Debug, Clone, Copy)]
pub struct GateInput<'a> {
    /// The campaign's spec.
    pub spec: &'a CampaignSpec,
    /// Where the campaign stands.
    pub status: CampaignStatus,
    /// Its windows.
    pub windows: &'a CompiledWindows,
    /// The contact.
    pub contact: &'a Contact,
    /// What the store knows about the person.
    pub facts: &'a ContactFacts,
    /// The channel of the next attempt.
    pub channel: Channel,
    /// The limits a claim would have to hold.
    pub limits: &'a ClaimLimits,
    /// Their ledgers, in the order of [`ClaimLimits::scopes`].
    pub ledgers: &'a [Ledger],
    /// How many starts the engine-wide cap leaves to this campaign now (see [`crate::policy::share::divide`]); `None`: there is no cap.
    pub share: Option<u32>,
    /// The time.
    pub now: Timestamp,
}

/// Every gate with its verdict, in order. The first that does not allow is the reason why the contact is not reached now.
pub fn explain_gates(input: &GateInput<'_>) -> Vec<GateReport> {
    let GateInput { spec, status, windows, contact, facts, channel, now, .. } = *input;
    Gate::ALL
        .into_iter()
        .map(|gate| {
            let verdict = match gate {
                Gate::CampaignState => campaign_state(status),
                Gate::Deadline => deadline(spec.deadline, now),
                Gate::Suppression => suppression(facts),
                Gate::Consent => consent(spec.consent_required, contact, channel),
                Gate::ZoneKnown if windows.at(&contact.person.zones, now) == ZoneClock::Unknown => window(windows, contact, now),
                Gate::ZoneKnown => Verdict::Allow,
                // Without a zone there is nothing to read the window on; the gate before has said so.
                Gate::CallingWindow => window(windows, contact, now),
                Gate::FrequencyCap => frequency(&spec.frequency_caps, facts, channel, now),
                Gate::CallsPerDay => shared(input, LimitKind::CallsPerDay),
                Gate::Budget => shared(input, LimitKind::Budget),
                Gate::Concurrency => shared(input, LimitKind::Concurrency),
                Gate::Rate => shared(input, LimitKind::Rate),
                Gate::CallerId => callers(input),
                Gate::FairShare if input.share == Some(0) => {
                    not_before(None, "fair_share", "Other campaigns have the free places under the engine-wide cap.")
                }
                Gate::FairShare => Verdict::Allow,
            };
            GateReport { gate, verdict }
        })
        .collect()
}

/// The first report that does not allow: the reason to give.
pub fn first_block(reports: &[GateReport]) -> Option<&GateReport> {
    reports.iter().find(|report| !report.verdict.is_allow())
}

/// One kind of limit over all shared scopes: the one that opens last decides.
fn shared(input: &GateInput<'_>, kind: LimitKind) -> Verdict {
    let verdicts = input.limits.shared.iter().zip(input.ledgers).map(|(rules, ledger)| limit(rules, ledger, kind, input.now));
    verdicts.filter(|verdict| !verdict.is_allow()).max_by_key(opening).unwrap_or(Verdict::Allow)
}

/// When a verdict that does not allow may change; what waits for an event sorts last.
fn opening(verdict: &Verdict) -> Timestamp {
    match verdict {
        Verdict::NotBefore { until: Some(until), .. } => *until,
        _ => Timestamp::MAX,
    }
}

/// Gate 12: one caller id within all its limits is enough; otherwise the one that opens first decides.
fn callers(input: &GateInput<'_>) -> Verdict {
    let ledgers = input.ledgers.get(input.limits.shared.len()..).unwrap_or_default();
    let kinds = [LimitKind::CallsPerDay, LimitKind::Budget, LimitKind::Concurrency, LimitKind::Rate];
    let mut soonest: Option<Verdict> = None;
    for (rules, ledger) in input.limits.callers.iter().zip(ledgers) {
        let verdicts = kinds.map(|kind| limit(rules, ledger, kind, input.now));
        match verdicts.into_iter().filter(|verdict| !verdict.is_allow()).max_by_key(opening) {
            None => return Verdict::Allow,
            Some(verdict) if soonest.as_ref().is_none_or(|found| opening(&verdict) < opening(found)) => soonest = Some(verdict),
            Some(_) => {}
        }
    }
    match soonest {
        Some(Verdict::NotBefore { until, .. }) => not_before(until, "caller_ids", "Every caller id is at a limit of its own."),
        _ => Verdict::Allow,
    }
}

/// One kind of limit of one scope, asked of [`earliest`] so that a claim and its explanation cannot differ.
fn limit(rules: &LimitRules, ledger: &Ledger, kind: LimitKind, now: Timestamp) -> Verdict {
    let mut only = LimitRules::new(rules.scope.clone());
    match kind {
        LimitKind::Concurrency => only.concurrency = rules.concurrency,
        LimitKind::Rate => only.rate = rules.rate,
        LimitKind::CallsPerDay => only.day = rules.day,
        LimitKind::Budget => only.budget = rules.budget,
        LimitKind::CallerIds => {}
    }
    match earliest(&only, ledger, now) {
        Ok(at) if at > now => limit_reached(&rules.scope, LimitKind::Rate, Some(at)),
        Ok(_) => Verdict::Allow,
        Err(block) => limit_reached(&block.scope, block.limit, block.opens_at),
    }
}

/// The verdict for a limit that a claim met; see [`crate::policy::limits::LimitBlock`]. Never names a caller id.
pub fn limit_reached(scope: &LimitScope, kind: LimitKind, opens_at: Option<Timestamp>) -> Verdict {
    let whose = match scope {
        LimitScope::Deployment => "the whole deployment".to_owned(),
        LimitScope::Account(name) => format!("the provider account {name}"),
        LimitScope::Campaign(_) => "the campaign".to_owned(),
        LimitScope::Caller(_) => "the caller id".to_owned(),
    };
    let (code, text) = match kind {
        LimitKind::Concurrency => ("concurrency", format!("As many attempts are in flight as {whose} may have.")),
        LimitKind::Rate => ("rate", format!("The starts per time of {whose} are used up for the moment.")),
        LimitKind::CallsPerDay => ("calls_per_day", format!("The starts of the day of {whose} are used up.")),
        LimitKind::Budget => ("budget", format!("The budget of {whose} is spent or reserved.")),
        LimitKind::CallerIds => ("caller_ids", "Every caller id is at a limit of its own.".to_owned()),
    };
    not_before(opens_at, code, text)
}
