//! Why a contact is not being reached, and why a campaign does not move.

use super::Engine;
use super::active::Active;
use crate::campaign::CampaignStatus;
use crate::contact::{Contact, ContactStatus, Owner, Reason};
use crate::id::{CampaignId, ContactId};
use crate::policy::gates::{Gate, GateInput, GateReport, Verdict, campaign_state, explain_gates, first_block};
use crate::policy::limits::ClaimLimits;
use crate::schedule::ZoneClock;
use crate::store::ReasonCount;
use crate::{Error, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why a contact is, or is not, being reached now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContactExplanation {
    /// The contact.
    pub contact_id: ContactId,
    /// Where it stands.
    pub status: ContactStatus,
    /// Why it has this status, when something was noted.
    pub reason: Option<Reason>,
    /// Every gate in order, for a pending contact. Empty otherwise.
    pub gates: Vec<GateReport>,
    /// The first gate that blocks; `None` when nothing does.
    pub blocked_by: Option<Gate>,
    /// The earliest moment an attempt may start; `None` when it waits for an event, or for a terminal contact.
    pub earliest: Option<Timestamp>,
    /// The whole in one sentence.
    pub text: String,
}

/// Why a campaign moves as it does: its contacts counted per reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CampaignExplanation {
    /// The campaign.
    pub campaign_id: CampaignId,
    /// Where it stands.
    pub status: CampaignStatus,
    /// Why, when something was noted.
    pub reason: Option<Reason>,
    /// Contacts per reason, most first. Their sum is the number of contacts.
    pub reasons: Vec<ReasonShare>,
    /// When the next attempt may start by itself; `None` when it waits for an event.
    pub earliest: Option<Timestamp>,
    /// The whole in one sentence.
    pub text: String,
}

/// Contacts that have one reason in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonShare {
    /// Their status.
    pub status: ContactStatus,
    /// A machine code: a gate for those that wait, the noted reason for those that have ended.
    pub code: String,
    /// When it may open, for those that wait for a time.
    pub opens_at: Option<Timestamp>,
    /// How many.
    pub contacts: u64,
}

impl Engine {
    /// Names the gates a contact has to pass, in order, the first that blocks, and when it opens.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] for an unknown contact, [`crate::Kind::Invalid`] for one of a contact list.
    pub async fn explain_contact(&self, id: ContactId) -> Result<ContactExplanation> {
        let core = &self.core;
        let contact = self.get_contact(id).await?;
        let Owner::Campaign(campaign) = contact.owner else {
            return Err(Error::invalid("contact", "a contact of a contact list belongs to no campaign; attach the list to one"));
        };
        let active = core.fresh(campaign).await?;
        if contact.state.status != ContactStatus::Pending {
            return Ok(settled(contact));
        }
        let now = core.now();
        let (limits, _) = active.limits(core, now);
        let ledgers = core.guarded(core.store.ledgers(limits.scopes().cloned().collect())).await?;
        let since = active.gates.look_back().and_then(|span| now.checked_sub(span).ok());
        let facts = core.guarded(core.store.facts(id, since, now)).await?;
        let channel = contact.state.step.as_ref().map_or(active.first_step().channel, |step| step.channel);
        let gates = explain_gates(&GateInput {
            spec: &active.record.spec,
            status: active.record.status,
            windows: &active.windows,
            contact: &contact,
            facts: &facts,
            channel,
            limits: &limits,
            ledgers: &ledgers,
            share: self.share(&limits, &ledgers),
            now,
        });
        Ok(waiting(&active, contact, gates, now))
    }

    /// Free places under the engine-wide cap, when there is one.
    fn share(&self, limits: &ClaimLimits, ledgers: &[crate::policy::limits::Ledger]) -> Option<u32> {
        let max = self.core.options.max_in_flight?;
        let index = limits.scopes().position(|scope| *scope == crate::policy::limits::LimitScope::Deployment)?;
        ledgers.get(index).map(|ledger| max.saturating_sub(ledger.in_flight))
    }

    /// Counts the contacts of a campaign per reason, and says when it moves next.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] when it does not exist.
    pub async fn explain_campaign(&self, id: CampaignId) -> Result<CampaignExplanation> {
        let core = &self.core;
        let active = core.fresh(id).await?;
        let now = core.now();
        let counts = core.guarded(core.store.reasons(id, now)).await?;
        let (limits, _) = active.limits(core, now);
        let ledgers = core.guarded(core.store.ledgers(limits.scopes().cloned().collect())).await?;
        let shared = limit_block(&limits, &ledgers, now);
        let mut shares: BTreeMap<(ContactStatus, String, Option<Timestamp>), u64> = BTreeMap::new();
        for group in counts {
            let (code, opens_at) = group_reason(&active, &group, shared.as_ref(), now);
            *shares.entry((group.status, code, opens_at)).or_default() += group.count;
        }
        let mut reasons: Vec<ReasonShare> =
            shares.into_iter().map(|((status, code, opens_at), contacts)| ReasonShare { status, code, opens_at, contacts }).collect();
        reasons.sort_by_key(|share| std::cmp::Reverse(share.contacts));
        let pending = || reasons.iter().filter(|share| share.status == ContactStatus::Pending);
        let earliest = match active.record.status {
            CampaignStatus::Running => pending().filter_map(|share| share.opens_at).min(),
            CampaignStatus::Scheduled => active.record.run.next_start,
            _ => None,
        };
        let text = match pending().next() {
            Some(_) if active.record.status != CampaignStatus::Running => {
                let waiting: u64 = pending().map(|share| share.contacts).sum();
                let state = campaign_state(active.record.status);
                let state = state.reason().map_or_else(String::new, |reason| format!(" {}", reason.text));
                let noted = active.record.reason.as_ref().map_or_else(String::new, |reason| format!(" {}", reason.text));
                let start = earliest.map_or_else(String::new, |at| format!(" It starts at {at}."));
                format!("{waiting} contacts are waiting.{state}{noted}{start}")
            }
            None if reasons.is_empty() => "The campaign has no contacts.".to_owned(),
            None => format!("The campaign is {}; no contact is waiting.", active.record.status),
            Some(most) => {
                let waiting: u64 = pending().map(|share| share.contacts).sum();
                let opens = pending().filter(|share| share.code == most.code).filter_map(|share| share.opens_at).min();
                let when = opens.map(|at| format!(", the first of them until {at}")).unwrap_or_default();
                // One reason may open at many moments, zone by zone; the sentence counts it once.
                let alike: u64 = pending().filter(|share| share.code == most.code).map(|share| share.contacts).sum();
                let share = if alike == waiting { "all".to_owned() } else { format!("{alike} of them") };
                format!("{waiting} contacts are waiting, {share} because of {}{when}.", most.code)
            }
        };
        Ok(CampaignExplanation {
            campaign_id: id,
            status: active.record.status,
            reason: active.record.reason.clone(),
            reasons,
            earliest,
            text,
        })
    }
}

fn settled(contact: Contact) -> ContactExplanation {
    let state = contact.state;
    let text = match (&state.reason, state.status) {
        (_, ContactStatus::InProgress) => "The contact is being reached right now.".to_owned(),
        (Some(reason), status) => format!("The contact is {status}: {}", reason.text),
        (None, status) => format!("The contact is {status}."),
    };
    ContactExplanation {
        contact_id: contact.id,
        status: state.status,
        reason: state.reason,
        gates: Vec::new(),
        blocked_by: None,
        earliest: None,
        text,
    }
}

fn waiting(active: &Active, contact: Contact, gates: Vec<GateReport>, now: Timestamp) -> ContactExplanation {
    let due_at = contact.state.due_at;
    // Whatever is waited for, the window may open later still.
    let opens = |at: Timestamp| match active.windows.at(&contact.person.zones, at) {
        ZoneClock::Closed { opens_at } => opens_at,
        ZoneClock::Open { .. } | ZoneClock::Unknown => Some(at),
    };
    let (blocked_by, earliest, text) = match first_block(&gates) {
        Some(GateReport { gate, verdict: Verdict::NotBefore { until, reason } }) => {
            // A campaign that waits for its start says when.
            let starts = active.record.run.next_start.filter(|_| active.record.status == CampaignStatus::Scheduled);
            let until = until.or(starts);
            (Some(*gate), until.and_then(|until| opens(until.max(due_at))), reason.text.to_string())
        }
        Some(GateReport { gate, verdict: Verdict::Never { reason } }) => (Some(*gate), None, reason.text.to_string()),
        _ if due_at > now => {
            let why = contact.state.reason.as_ref().map(|reason| format!(" {}", reason.text)).unwrap_or_default();
            (None, opens(due_at), format!("The contact is not due before {due_at}.{why}"))
        }
        _ => (None, Some(now), "Nothing blocks the contact; it is reached as soon as its turn comes.".to_owned()),
    };
    ContactExplanation {
        contact_id: contact.id,
        status: contact.state.status,
        reason: contact.state.reason,
        gates,
        blocked_by,
        earliest,
        text,
    }
}

/// The first shared limit that is met, with the moment it opens.
fn limit_block(limits: &ClaimLimits, ledgers: &[crate::policy::limits::Ledger], now: Timestamp) -> Option<(Gate, Option<Timestamp>)> {
    let mut pacer = crate::policy::limits::Pacer::new(limits, ledgers.to_vec(), now);
    if pacer.take(now).is_some() {
        return None;
    }
    use crate::policy::limits::LimitKind;
    pacer.block().map(|block| {
        let gate = match block.limit {
            LimitKind::Concurrency => Gate::Concurrency,
            LimitKind::Rate => Gate::Rate,
            LimitKind::CallsPerDay => Gate::CallsPerDay,
            LimitKind::Budget => Gate::Budget,
            LimitKind::CallerIds => Gate::CallerId,
        };
        (gate, block.opens_at)
    })
}

/// The reason a group of contacts has in common.
fn group_reason(
    active: &Active,
    group: &ReasonCount,
    shared: Option<&(Gate, Option<Timestamp>)>,
    now: Timestamp,
) -> (String, Option<Timestamp>) {
    let noted = || group.code.as_deref().map(str::to_owned);
    if group.status != ContactStatus::Pending {
        return (noted().unwrap_or_else(|| group.status.as_str().to_owned()), None);
    }
    if active.record.status != CampaignStatus::Running {
        return (Gate::CampaignState.as_str().to_owned(), None);
    }
    if !group.due {
        return (noted().unwrap_or_else(|| "not_due".to_owned()), group.first_due);
    }
    match active.windows.at(&group.zones, now) {
        ZoneClock::Closed { opens_at } => (Gate::CallingWindow.as_str().to_owned(), opens_at),
        ZoneClock::Unknown => (Gate::ZoneKnown.as_str().to_owned(), None),
        ZoneClock::Open { .. } => match shared {
            Some((gate, opens_at)) => (gate.as_str().to_owned(), *opens_at),
            None => ("next_in_line".to_owned(), Some(now)),
        },
    }
}
