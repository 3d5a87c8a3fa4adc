//! What becomes of an attempt and its contact: from an outcome or a closed gate to a settlement.

use super::core::Core;
use super::handoff::{Subject, view};
use super::settler::Ended;
use super::trace;
use crate::campaign::{CampaignStatus, Next};
use crate::contact::{ContactStatus, PlannedStep, Reason};
use crate::error::Error;
use crate::outcome::{AttemptState, Disposition, Outcome};
use crate::policy::gates::Verdict;
use crate::policy::transition::{self, ContactEvent, ContactTransition};
use crate::store::{AttemptEnd, Settlement, SuppressionScope, call_counts};
use jiff::{SignedDuration, Timestamp};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A gate that waits for an event and not for a time is looked at again after this long, at the latest.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_mins(15);

/// What the campaign's policy says. It is user code: a panic ends the contact, not the engine.
pub(crate) fn next(core: &Core, subject: &Subject, now: Timestamp) -> Next {
    let Subject { active, contact, history, .. } = subject;
    let ask = || active.policy.next(&view(core, active, contact, history), now);
    catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|_| {
        tracing::error!(campaign = %active.id(), contact = %contact.id, "the campaign's policy panicked");
        Next::Finish { status: ContactStatus::Failed, reason: policy_panicked() }
    })
}

fn policy_panicked() -> Reason {
    Reason::new("policy_panicked", "The campaign's policy panicked.")
}

/// Never handed over: the policy panicked while it was asked for the text.
pub(crate) fn panicked(subject: &Subject) -> Ended {
    finish(subject, ContactStatus::Failed, policy_panicked())
}

/// The attempt ended with an outcome: the policy says what follows.
pub(crate) fn outcome(core: &Arc<Core>, subject: &Subject, started_at: Option<Timestamp>, outcome: Outcome, now: Timestamp) -> Ended {
    let scope = SuppressionScope::of(subject.active.record.spec.organization);
    let opted_out = (outcome.disposition == Disposition::OptedOut).then(|| (subject.contact.person.phone.clone(), scope));
    let ended = after(subject, started_at, &outcome, now);
    let (event, due_at, step, mut reason) = match next(core, &ended, now) {
        Next::Reach(step) => (ContactEvent::Requeue, Some(now), Some(step), None),
        Next::Wait { until, step, reason } => (ContactEvent::Requeue, Some(until), Some(step), Some(reason)),
        Next::Finish { status, reason } => (ContactEvent::Finish(status), None, None, Some(reason)),
    };
    let event = if subject.active.record.status == CampaignStatus::Cancelled && event == ContactEvent::Requeue {
        reason = Some(Reason::new("campaign_cancelled", "The campaign was cancelled."));
        ContactEvent::Finish(ContactStatus::Cancelled)
    } else {
        event
    };
    let mut ended = settlement(subject, AttemptEnd::Finished(outcome), event, reason);
    ended.settlement.started_at = started_at;
    if ended.settlement.transition.to() == ContactStatus::Pending {
        ended.settlement.due_at = due_at;
        ended.settlement.step = step;
    }
    ended.opted_out = opted_out;
    ended
}

/// The contact as it will be once this outcome is settled.
fn after(subject: &Subject, started_at: Option<Timestamp>, outcome: &Outcome, now: Timestamp) -> Subject {
    let mut attempt = subject.attempt.clone();
    attempt.state = AttemptState::Settled;
    attempt.started_at = started_at;
    attempt.finished_at = Some(now);
    attempt.outcome = Some(outcome.clone());
    let mut contact = subject.contact.clone();
    let (calls, answered) = call_counts(attempt.step.channel, outcome.disposition);
    let state = &mut contact.state;
    state.attempts += 1;
    state.last_disposition = Some(outcome.disposition);
    state.last_attempt_at = started_at.or(Some(now));
    state.call_attempts += calls as u32;
    state.answered_calls += answered as u32;
    state.duration_seconds += u64::from(outcome.duration_seconds);
    let mut history = subject.history.clone();
    history.push(attempt.clone());
    Subject { active: Arc::clone(&subject.active), attempt, contact, history }
}

/// The provider refused without effect: back into the queue, no attempt consumed.
pub(crate) fn refused(subject: &Subject, started_at: Timestamp, until: Timestamp) -> Ended {
    without_effect(subject, started_at, until, Reason::new("throttled", "The provider asked to wait; no attempt is consumed."))
}

/// The node hung up before the call connected, because it stops: back into the queue, no attempt consumed.
pub(crate) fn hung_up(subject: &Subject, started_at: Timestamp, now: Timestamp) -> Ended {
    let reason = Reason::new("node_stopping", "The node stopped before the call connected; no attempt is consumed.");
    without_effect(subject, started_at, now, reason)
}

fn without_effect(subject: &Subject, started_at: Timestamp, until: Timestamp, reason: Reason) -> Ended {
    let mut ended = settlement(subject, AttemptEnd::Refused, ContactEvent::Requeue, Some(reason));
    ended.settlement.started_at = Some(started_at);
    ended.settlement.due_at = Some(until);
    ended
}

/// Never handed over: due again at once.
pub(crate) fn give_back(subject: &Subject, now: Timestamp, code: &str, text: &str) -> Ended {
    wait(subject, now, code, text)
}

/// Never handed over: due again at `until`.
pub(crate) fn wait(subject: &Subject, until: Timestamp, code: &str, text: &str) -> Ended {
    postpone(subject, until, subject.attempt.step.clone(), Reason::new(code, text))
}

/// Never handed over: the policy wants another step now.
pub(crate) fn replan(subject: &Subject, now: Timestamp, step: PlannedStep) -> Ended {
    postpone(subject, now, step, Reason::new("replanned", "The campaign changed what comes next."))
}

/// Never handed over: due at `until` with this step.
pub(crate) fn postpone(subject: &Subject, until: Timestamp, step: PlannedStep, reason: Reason) -> Ended {
    if subject.active.record.status == CampaignStatus::Cancelled {
        return finish(subject, ContactStatus::Cancelled, Reason::new("campaign_cancelled", "The campaign was cancelled."));
    }
    let mut ended = settlement(subject, AttemptEnd::Unused, ContactEvent::Requeue, Some(reason));
    ended.settlement.due_at = Some(until);
    ended.settlement.step = Some(step);
    ended
}

/// Never handed over, and final.
pub(crate) fn finish(subject: &Subject, status: ContactStatus, reason: Reason) -> Ended {
    settlement(subject, AttemptEnd::Unused, ContactEvent::Finish(status), Some(reason))
}

/// Never handed over: a gate is closed.
pub(crate) fn blocked(subject: &Subject, now: Timestamp, verdict: Verdict) -> Ended {
    match verdict {
        Verdict::Never { reason } if &*reason.code == "campaign_cancelled" => finish(subject, ContactStatus::Cancelled, reason),
        Verdict::Never { reason } => finish(subject, ContactStatus::Skipped, reason),
        Verdict::NotBefore { until, reason } => {
            // A paused campaign keeps its contacts due, so that they go on when it is resumed; they are not claimed meanwhile.
            let waits_for_event = subject.active.record.status != CampaignStatus::Running;
            let until = until.unwrap_or(if waits_for_event { now } else { now.saturating_add(LOOK_AGAIN).unwrap_or(now) });
            postpone(subject, until, subject.attempt.step.clone(), reason)
        }
        Verdict::Allow => give_back(subject, now, "given_back", "Given back unused."),
    }
}

/// Never handed over: the contact cannot be addressed, for example because a template fails for it.
pub(crate) fn unusable(subject: &Subject, error: &Error) -> Ended {
    finish(subject, ContactStatus::Failed, Reason::new("template_error", error.to_string()))
}

fn settlement(subject: &Subject, end: AttemptEnd, event: ContactEvent, reason: Option<Reason>) -> Ended {
    let transition = legal(event);
    Ended {
        campaign: subject.active.id(),
        token: subject.attempt.claimed_by,
        settlement: Settlement { attempt: subject.attempt.id, started_at: None, end, transition, reason, due_at: None, step: None },
        opted_out: None,
        open: trace::Open::nothing(),
    }
}

/// The transition of a contact in progress. A policy that finishes with a status that is not terminal has failed.
fn legal(event: ContactEvent) -> ContactTransition {
    transition::contact(ContactStatus::InProgress, event)
        .or_else(|_| transition::contact(ContactStatus::InProgress, ContactEvent::Finish(ContactStatus::Failed)))
        .expect("the table lets every contact in progress fail; a test walks it")
}
