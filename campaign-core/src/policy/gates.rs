//! The gates, in order. Each says allow, not before a moment, or never, with a reason.
//!
//! The order is: campaign state, run deadline, suppression, consent, zone known, calling window, frequency caps, calls per day,
//! budget, concurrency, rate, caller ids, priority and fair share. The first that blocks is the reason `explain` gives.

use crate::campaign::{CampaignSpec, CampaignStatus};
use crate::contact::{Contact, Reason};
use crate::outcome::Channel;
use crate::schedule::{CompiledWindows, ZoneClock};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

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
            not_before(Some(at), "window_closed", format!("The calling window is closed until {at}."))
        }
        ZoneClock::Closed { opens_at: None } => {
            never("window_never_opens", "The calling window does not open within 400 days in every zone the number may be in.")
        }
        ZoneClock::Unknown => {
            not_before(None, "zone_unknown", "The contact's time zone is not known, so its calling hours cannot be checked.")
        }
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
