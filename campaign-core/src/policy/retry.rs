//! What follows an outcome, for the built-in kinds of campaign.
//!
//! A campaign is a sequence of steps (call, SMS and WhatsApp campaigns have one). A step has attempts; it ends when one succeeds or
//! when none is left, and then the next step whose condition holds follows. Everything is a function of the settled attempts and of `now`,
//! so a retry survives any restart: nothing is planned that could be lost. Gates (windows, limits, suppression) are applied afterwards.

use crate::campaign::{Backoff, CampaignSpec, CampaignType, ContactView, Next, Step};
use crate::contact::{ContactStatus, PlannedStep, Reason};
use crate::outcome::{Attempt, Channel, Disposition};
use crate::schedule::{at_local, parse_time, zone};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use rand::{RngExt, SeedableRng};

/// Parts of the day by their first and last hour (exclusive), for [`crate::campaign::RetryPolicy::spread_over_day`].
const PARTS_OF_DAY: [(i8, i8); 4] = [(8, 11), (11, 14), (14, 17), (17, 21)];

/// Decides the next step of a contact from its history.
///
/// Reach out when it is time, wait when it is not yet, finish when nothing more follows. The statuses: `completed` when a step reached
/// the person; else as the last attempt ended, `no_answer`, `busy`, `voicemail` or `failed`; `skipped` when the person opted out.
pub fn next(spec: &CampaignSpec, view: &ContactView<'_>, now: Timestamp) -> Next {
    let Some(last) = view.history.last() else {
        return Next::Reach(PlannedStep { step: 0, channel: spec.first_channel() });
    };
    // A settled attempt has an outcome; without one nobody can say what happened.
    let ending = last.disposition().unwrap_or(Disposition::InDoubt);
    if ending == Disposition::OptedOut {
        return finish(ContactStatus::Skipped, "opted_out", "The person asked not to be contacted again.".to_owned());
    }
    let current = last.step.step;
    let tries = view.history.iter().rev().take_while(|attempt| attempt.step.step == current).count();
    let tries = &view.history[view.history.len() - tries..];
    if let Some(due) = retry_at(spec, view, tries, ending) {
        let planned = PlannedStep { step: current, channel: channel_of(spec, current).unwrap_or(last.step.channel) };
        return wait_or_reach(planned, due, now, "retry", || format!("Will retry in {}", in_words(due.duration_since(ended(last)))));
    }
    if spec.campaign_type == CampaignType::Mixed {
        for (index, step) in spec.steps.iter().enumerate().skip(current as usize + 1) {
            if !step.when.previous.is_empty() && !step.when.previous.contains(&ending) {
                continue;
            }
            let due = step_due(step, view, ended(last));
            // Whether the person answers back is open until the step is due; that they did is never taken back.
            let passed_over = match step.when.replied {
                Some(true) => due <= now && !replied(view),
                Some(false) => replied(view),
                None => false,
            };
            if passed_over {
                continue;
            }
            let planned = PlannedStep { step: index as u32, channel: step.channel };
            return wait_or_reach(planned, due, now, "next_step", || {
                format!("Step {} follows in {}", index + 1, in_words(due.duration_since(ended(last))))
            });
        }
    }
    finish_as(view.history, tries.len(), ending)
}

/// When the step is tried again; `None` when its last attempt was final.
fn retry_at(spec: &CampaignSpec, view: &ContactView<'_>, tries: &[Attempt], ending: Disposition) -> Option<Timestamp> {
    let last = tries.last()?;
    let step = step_of(spec, last.step.step);
    if spec.campaign_type == CampaignType::Mixed && step.is_none() {
        // The step was edited away.
        return None;
    }
    let rule = spec.retry.rules.get(&ending);
    let again = match ending {
        Disposition::Answered | Disposition::Sent | Disposition::Delivered | Disposition::OptedOut | Disposition::InDoubt => false,
        Disposition::Undeliverable | Disposition::Cancelled => rule.is_some_and(|rule| rule.retry),
        Disposition::Voicemail => rule.map_or(!spec.voicemail.leave_voicemail, |rule| rule.retry),
        Disposition::Busy | Disposition::NoAnswer | Disposition::Rejected | Disposition::Failed => rule.is_none_or(|rule| rule.retry),
    };
    let most = match step {
        Some(step) => step.max_attempts.unwrap_or(if step.channel == Channel::Call { spec.max_attempts } else { 1 }),
        None => spec.max_attempts,
    };
    let same = tries.iter().filter(|attempt| attempt.disposition() == Some(ending)).count();
    let used_up = tries.len() >= most as usize || rule.and_then(|rule| rule.max_attempts).is_some_and(|most| same >= most as usize);
    let answered_back = step.is_some_and(|step| step.when.replied == Some(false)) && replied(view);
    if !again || used_up || answered_back {
        return None;
    }
    let base = u64::from(rule.and_then(|rule| rule.delay_minutes).unwrap_or(spec.retry_delay_minutes)) * 60;
    let nth = tries.len() as u32;
    let grown = match rule.and_then(|rule| rule.backoff).unwrap_or(spec.retry.backoff) {
        Backoff::Fixed => base,
        Backoff::Linear => base.saturating_mul(u64::from(nth)),
        Backoff::Exponential => base.saturating_mul(2u64.saturating_pow(nth - 1)),
    };
    let cap = base.max(u64::from(spec.retry.max_delay_minutes) * 60);
    let seconds = jittered(grown.min(cap), spec.retry.jitter_percent, view.seed ^ view.history.len() as u64).min(cap);
    let due = after(ended(last), i64::try_from(seconds).unwrap_or(i64::MAX));
    Some(if spec.retry.spread_over_day { untried_part(view, tries, due) } else { due })
}

/// The step of a mixed campaign; other kinds have none.
fn step_of(spec: &CampaignSpec, step: u32) -> Option<&Step> {
    if spec.campaign_type == CampaignType::Mixed { spec.steps.get(step as usize) } else { None }
}

fn channel_of(spec: &CampaignSpec, step: u32) -> Option<Channel> {
    step_of(spec, step).map(|step| step.channel)
}

/// When a later step is due.
fn step_due(step: &Step, view: &ContactView<'_>, previous_ended: Timestamp) -> Timestamp {
    let at_time = step.next_day_at.as_deref().and_then(parse_time).and_then(|time| {
        let zone = clock_of(view);
        let tomorrow = zone.to_datetime(previous_ended).date().checked_add(1.day()).ok()?;
        at_local(&zone, tomorrow.to_datetime(time))
    });
    at_time.unwrap_or_else(|| after(previous_ended, i64::from(step.delay_minutes) * 60))
}

/// Whether the person has answered back since the first attempt of the run.
fn replied(view: &ContactView<'_>) -> bool {
    view.contact.state.replied_at.is_some_and(|at| view.history.first().is_none_or(|first| at >= began(first)))
}

/// The first moment from `due` on that lies in a part of the day in which no attempt of the step began; `due` itself when all
/// parts have been tried.
fn untried_part(view: &ContactView<'_>, tries: &[Attempt], due: Timestamp) -> Timestamp {
    let zone = clock_of(view);
    let part_of = |local: DateTime| PARTS_OF_DAY.iter().position(|(from, to)| (*from..*to).contains(&local.hour()));
    let tried: Vec<usize> = tries.iter().filter_map(|attempt| part_of(zone.to_datetime(began(attempt)))).collect();
    let local = zone.to_datetime(due);
    if part_of(local).is_some_and(|part| !tried.contains(&part)) {
        return due;
    }
    let starts = [Some(local.date()), local.date().tomorrow().ok()].into_iter().flatten().flat_map(|day| {
        let open = PARTS_OF_DAY.iter().enumerate().filter(|(part, _)| !tried.contains(part));
        open.map(move |(_, (from, _))| day.at(*from, 0, 0, 0))
    });
    starts.filter_map(|start| at_local(&zone, start)).find(|start| *start >= due).unwrap_or(due)
}

/// The contact's own clock (the first of its zones), else the campaign's.
fn clock_of(view: &ContactView<'_>) -> TimeZone {
    view.contact.person.zones.names().find_map(zone).unwrap_or_else(|| view.time_zone.clone())
}

fn began(attempt: &Attempt) -> Timestamp {
    attempt.started_at.unwrap_or(attempt.start_at)
}

fn ended(attempt: &Attempt) -> Timestamp {
    attempt.finished_at.unwrap_or_else(|| began(attempt))
}

fn after(moment: Timestamp, seconds: i64) -> Timestamp {
    moment.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// The delay moved by up to `percent` either way, the same for the same seed.
fn jittered(seconds: u64, percent: u32, seed: u64) -> u64 {
    let reach = seconds * u64::from(percent.min(100)) / 100;
    if reach == 0 {
        return seconds;
    }
    rand_pcg::Pcg32::seed_from_u64(seed).random_range(seconds - reach..=seconds + reach)
}

fn wait_or_reach(step: PlannedStep, due: Timestamp, now: Timestamp, code: &str, text: impl FnOnce() -> String) -> Next {
    if due <= now { Next::Reach(step) } else { Next::Wait { until: due, step, reason: Reason::new(code, text()) } }
}

fn finish(status: ContactStatus, code: &str, text: String) -> Next {
    Next::Finish { status, reason: Reason::new(code, text) }
}

/// The end of a contact for which nothing more follows: the last success if there was one, else the last ending.
fn finish_as(history: &[Attempt], tries: usize, ending: Disposition) -> Next {
    let success = history.iter().rev().filter_map(Attempt::disposition).find(|ending| ending.is_success());
    let ending = success.unwrap_or(ending);
    let attempts = if tries == 1 { "1 attempt".to_owned() } else { format!("{tries} attempts") };
    let text = match ending {
        Disposition::Answered => "The person answered.".to_owned(),
        Disposition::Sent => "The message was sent.".to_owned(),
        Disposition::Delivered => "The message was delivered.".to_owned(),
        Disposition::NoAnswer => format!("No answer after {attempts}."),
        Disposition::Busy => format!("Busy after {attempts}."),
        Disposition::Voicemail => format!("Voicemail after {attempts}."),
        Disposition::Rejected => format!("Rejected after {attempts}."),
        Disposition::Failed => format!("Failed after {attempts}."),
        Disposition::Undeliverable => "The number cannot be reached this way.".to_owned(),
        Disposition::Cancelled => "The attempt was given up before it connected.".to_owned(),
        Disposition::InDoubt => "Nobody can say whether the person was reached, so they are not contacted again.".to_owned(),
        Disposition::OptedOut => "The person asked not to be contacted again.".to_owned(),
    };
    finish(status_of(ending), ending.as_str(), text)
}

/// What a contact becomes when nothing follows an attempt that ended like this.
pub fn status_of(ending: Disposition) -> ContactStatus {
    match ending {
        Disposition::Answered | Disposition::Sent | Disposition::Delivered => ContactStatus::Completed,
        Disposition::NoAnswer => ContactStatus::NoAnswer,
        Disposition::Busy => ContactStatus::Busy,
        Disposition::Voicemail => ContactStatus::Voicemail,
        Disposition::Rejected | Disposition::Failed | Disposition::Undeliverable | Disposition::Cancelled | Disposition::InDoubt => {
            ContactStatus::Failed
        }
        Disposition::OptedOut => ContactStatus::Skipped,
    }
}

/// A delay in words, to the minute: `30 minutes`, `1 hour 5 minutes`, `2 days`.
fn in_words(delay: SignedDuration) -> String {
    let minutes = ((delay.as_secs() + 30) / 60).max(1);
    let parts = [(minutes / 1440, "day"), (minutes / 60 % 24, "hour"), (minutes % 60, "minute")];
    let words: Vec<String> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}{}", if count == 1 { "" } else { "s" }))
        .collect();
    words.join(" ")
}
