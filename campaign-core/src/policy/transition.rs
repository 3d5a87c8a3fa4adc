//! The one table of legal state changes.
//!
//! A [`ContactTransition`] or [`CampaignTransition`] can only be made here, and stores and engine change a status only by one.
//! `docs/state-machine.md` is generated from [`CONTACT`] and [`CAMPAIGN`]; a test fails when they differ.

use crate::campaign::CampaignStatus;
use crate::contact::ContactStatus;
use crate::error::{Error, Kind, Result};
use serde::Serialize;

/// What happens to a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContactEvent {
    /// A node claims it.
    Claim,
    /// The claim is given back, or the attempt ended and another follows.
    Requeue,
    /// The attempt ended, or a gate or the campaign's policy decided, and this is final.
    Finish(ContactStatus),
    /// The campaign is cancelled.
    Cancel,
    /// A new run or a re-execution begins.
    Reset,
}

/// What happens to a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CampaignEvent {
    /// A start in the future is set, or the next occurrence is waited for.
    Schedule,
    /// The start is taken back.
    Unschedule,
    /// It begins.
    Start,
    /// A person or a rule holds it.
    Pause,
    /// It goes on.
    Resume,
    /// Nothing is left to do.
    Complete,
    /// A person ends it.
    Cancel,
    /// An error ends it.
    Fail,
    /// It is made ready for another execution.
    Reexecute,
}

use CampaignEvent as E;
use CampaignStatus as C;
use ContactStatus as S;

/// Every legal change of a contact: from, event, to, who does it.
pub const CONTACT: &[(ContactStatus, &str, ContactStatus, &str)] = &[
    (S::Pending, "claim", S::InProgress, "a node that claims it"),
    (S::InProgress, "requeue", S::Pending, "the settlement of an attempt that another follows, or a claim given back"),
    (S::InProgress, "finish", S::Completed, "the settlement of an attempt that reached the person"),
    (S::InProgress, "finish", S::Failed, "the settlement of the last attempt, or of a permanent error"),
    (S::InProgress, "finish", S::NoAnswer, "the settlement of the last attempt"),
    (S::InProgress, "finish", S::Busy, "the settlement of the last attempt"),
    (S::InProgress, "finish", S::Voicemail, "the settlement of the last attempt"),
    (S::InProgress, "finish", S::Skipped, "a gate that says never"),
    (S::InProgress, "finish", S::Cancelled, "the settlement of an attempt after the campaign was cancelled"),
    (S::Pending, "finish", S::Completed, "a reply, or the campaign's policy"),
    (S::Pending, "finish", S::Failed, "the campaign's policy"),
    (S::Pending, "finish", S::NoAnswer, "the campaign's policy"),
    (S::Pending, "finish", S::Busy, "the campaign's policy"),
    (S::Pending, "finish", S::Voicemail, "the campaign's policy"),
    (S::Pending, "finish", S::Skipped, "a gate that says never"),
    (S::Pending, "cancel", S::Cancelled, "cancelling the campaign"),
    (S::Completed, "reset", S::Pending, "a new run or a re-execution"),
    (S::Failed, "reset", S::Pending, "a new run or a re-execution"),
    (S::NoAnswer, "reset", S::Pending, "a new run or a re-execution"),
    (S::Busy, "reset", S::Pending, "a new run or a re-execution"),
    (S::Voicemail, "reset", S::Pending, "a new run or a re-execution"),
    (S::Skipped, "reset", S::Pending, "a new run or a re-execution"),
    (S::Cancelled, "reset", S::Pending, "a new run or a re-execution"),
];

/// Every legal change of a campaign: from, event, to, who does it.
pub const CAMPAIGN: &[(CampaignStatus, CampaignEvent, CampaignStatus, &str)] = &[
    (C::Draft, E::Schedule, C::Scheduled, "schedule, or start with a schedule in the future"),
    (C::Draft, E::Start, C::Running, "start"),
    (C::Draft, E::Cancel, C::Cancelled, "cancel"),
    (C::Scheduled, E::Schedule, C::Scheduled, "schedule with another moment"),
    (C::Scheduled, E::Unschedule, C::Draft, "unschedule, or a past start that is skipped"),
    (C::Scheduled, E::Start, C::Running, "the moment is reached, or start"),
    (C::Scheduled, E::Pause, C::Paused, "a past start that is held"),
    (C::Scheduled, E::Complete, C::Completed, "no further occurrence"),
    (C::Scheduled, E::Cancel, C::Cancelled, "cancel"),
    (C::Running, E::Pause, C::Paused, "pause, or the budget is spent"),
    (C::Running, E::Schedule, C::Scheduled, "the run is over and another occurrence follows"),
    (C::Running, E::Complete, C::Completed, "no open contact is left and no occurrence follows"),
    (C::Running, E::Cancel, C::Cancelled, "cancel"),
    (C::Running, E::Fail, C::Failed, "an error that concerns the whole campaign"),
    (C::Paused, E::Resume, C::Running, "resume, or start"),
    (C::Paused, E::Start, C::Running, "start"),
    (C::Paused, E::Cancel, C::Cancelled, "cancel"),
    (C::Paused, E::Complete, C::Completed, "complete by hand, when no open contact is left"),
    (C::Completed, E::Reexecute, C::Draft, "re-execute"),
    (C::Cancelled, E::Reexecute, C::Draft, "re-execute"),
    (C::Failed, E::Reexecute, C::Draft, "re-execute"),
];

/// A legal change of a contact's status. Made by [`contact`] only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct ContactTransition {
    from: ContactStatus,
    to: ContactStatus,
}

impl ContactTransition {
    /// Before.
    pub fn from(self) -> ContactStatus {
        self.from
    }

    /// After.
    pub fn to(self) -> ContactStatus {
        self.to
    }
}

/// A legal change of a campaign's status. Made by [`campaign`] only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CampaignTransition {
    from: CampaignStatus,
    to: CampaignStatus,
}

impl CampaignTransition {
    /// Before.
    pub fn from(self) -> CampaignStatus {
        self.from
    }

    /// After.
    pub fn to(self) -> CampaignStatus {
        self.to
    }
}

/// The change of a contact's status that `event` causes.
///
/// # Errors
/// [`Kind::State`] when the table has no such row.
pub fn contact(from: ContactStatus, event: ContactEvent) -> Result<ContactTransition> {
    let (name, to) = match event {
        ContactEvent::Claim => ("claim", S::InProgress),
        ContactEvent::Requeue => ("requeue", S::Pending),
        ContactEvent::Finish(status) => ("finish", status),
        ContactEvent::Cancel => ("cancel", S::Cancelled),
        ContactEvent::Reset => ("reset", S::Pending),
    };
    CONTACT
        .iter()
        .find(|row| row.0 == from && row.1 == name && row.2 == to)
        .map(|row| ContactTransition { from, to: row.2 })
        .ok_or_else(|| Error::new(Kind::State, format!("a contact that is {from} cannot become {to} by {name}")))
}

/// The change of a campaign's status that `event` causes.
///
/// # Errors
/// [`Kind::State`] when the table has no such row; says what the campaign is and what it may do.
pub fn campaign(from: CampaignStatus, event: CampaignEvent) -> Result<CampaignTransition> {
    CAMPAIGN.iter().find(|row| row.0 == from && row.1 == event).map(|row| CampaignTransition { from, to: row.2 }).ok_or_else(|| {
        let legal: Vec<String> = CAMPAIGN.iter().filter(|row| row.0 == from).map(|row| format!("{:?}", row.1).to_lowercase()).collect();
        let legal = if legal.is_empty() { "nothing".to_owned() } else { legal.join(", ") };
        Error::new(Kind::State, format!("cannot {} a campaign that is {from}; possible now: {legal}", format!("{event:?}").to_lowercase()))
    })
}
