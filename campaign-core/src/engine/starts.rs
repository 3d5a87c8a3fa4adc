//! Runs begin, end and follow each other.

use super::core::{Core, FIRST_WAIT, LONGEST_WAIT};
use crate::campaign::{CampaignRecord, CampaignStatus, RunState};
use crate::contact::Reason;
use crate::event::EventKind;
use crate::id::CampaignId;
use crate::policy::transition::{self, CampaignEvent};
use crate::schedule::{PastDue, Schedule};
use crate::store::{BulkAction, BulkChange, CampaignQuery, Paging, SaveGuard, Selection};
use crate::{Error, Kind, Result};
use jiff::SignedDuration;
use std::sync::Arc;

/// A start that is this late counts as past due.
const PAST_DUE_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// Contacts per bulk change: large enough to be fast, small enough to hold up nobody.
const BULK: u32 = 5_000;

/// Begins the runs whose moment has come, each in a task of its own.
pub(crate) fn begin_due(core: &Arc<Core>) {
    let now = core.now();
    let due: Vec<CampaignId> = core.starts.lock().iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
    for id in due {
        if !core.beginning.lock().insert(id) {
            continue;
        }
        let here = Arc::clone(core);
        core.spawn(async move {
            if let Err(error) = begin(&here, id).await {
                tracing::error!(campaign = %id, %error, "the run did not begin; trying again");
                here.hub.send(id, here.now(), EventKind::Error { code: error.kind().to_string(), message: error.to_string() });
                here.sleep(std::time::Duration::from_secs(1)).await;
            }
            here.beginning.lock().remove(&id);
            here.changed();
        });
    }
}

/// Begins the next run of a scheduled campaign, or does what its policy for past starts says.
async fn begin(core: &Arc<Core>, id: CampaignId) -> Result<()> {
    let now = core.now();
    let record = core.record(id).await?;
    // Another node may have begun this run, and even ended it, since it was found due.
    if record.status != CampaignStatus::Scheduled || !record.run.resetting && record.run.next_start.is_some_and(|at| at > now) {
        return Ok(());
    }
    let seen = (record.status, record.run);
    let late = record.run.next_start.is_some_and(|at| now.duration_since(at) > PAST_DUE_AFTER);
    if late && !record.run.resetting {
        match record.spec.schedule.past_due() {
            PastDue::Run => {}
            PastDue::Skip => return skip(core, id, &seen).await,
            PastDue::Hold => {
                return core
                    .change(id, None, |record| {
                        unchanged(record, &seen)?;
                        record.status = transition::campaign(record.status, CampaignEvent::Pause)?.to();
                        record.reason = Some(Reason::new("past_due", "The start has passed; resume the campaign to run it now."));
                        Ok(())
                    })
                    .await
                    .map(drop)
                    .or_else(done_by_others);
            }
        }
    }
    start_run(core, id, &seen).await.or_else(done_by_others)
}

/// What a run is begun from: where the campaign stood when it was found due.
pub(crate) type Seen = (CampaignStatus, RunState);

fn unchanged(record: &CampaignRecord, seen: &Seen) -> Result<()> {
    if (record.status, &record.run) == (seen.0, &seen.1) {
        return Ok(());
    }
    Err(Error::new(Kind::State, "the run was begun or changed by somebody else"))
}

fn done_by_others(error: Error) -> Result<()> {
    if error.kind() == Kind::State { Ok(()) } else { Err(error) }
}

/// Leaves a past occurrence out.
async fn skip(core: &Arc<Core>, id: CampaignId, seen: &Seen) -> Result<()> {
    let now = core.now();
    core.change(id, None, |record| {
        unchanged(record, seen)?;
        record.run.next_start = record.spec.schedule.next_start(now);
        record.reason = Some(Reason::new("past_due", "A start whose moment had passed was left out."));
        let event = match (record.run.next_start, &record.spec.schedule) {
            (Some(_), _) => CampaignEvent::Schedule,
            (None, Schedule::Recurring { .. }) => CampaignEvent::Complete,
            (None, _) => CampaignEvent::Unschedule,
        };
        record.status = transition::campaign(record.status, event)?.to();
        Ok(())
    })
    .await
    .map(drop)
    .or_else(done_by_others)
}

/// Starts the first run as it is; for a later one, puts every contact back to pending first. A crash in between goes on where it was.
///
/// `seen` is what it was decided on: of two who decide at once, one starts it and the other is refused.
pub(crate) async fn start_run(core: &Arc<Core>, id: CampaignId, seen: &Seen) -> Result<()> {
    let marked = core
        .change(id, None, |record| {
            unchanged(record, seen)?;
            if record.started_at.is_some() && !record.run.resetting {
                record.run.number += 1;
                record.run.resetting = true;
            }
            Ok(())
        })
        .await?;
    if marked.run.resetting {
        bulk(core, id, BulkAction::Reset { run: marked.run.number }).await?;
    }
    let now = core.now();
    let seen = (marked.status, marked.run);
    core.change(id, None, |record| {
        unchanged(record, &seen)?;
        record.status = transition::campaign(record.status, CampaignEvent::Start)?.to();
        record.reason = None;
        record.run.resetting = false;
        record.run.next_start = None;
        record.started_at = Some(now);
        record.completed_at = None;
        Ok(())
    })
    .await
    .map(drop)
}

/// Repeats a bulk change until nothing is left to change; returns how many contacts it changed.
pub(crate) async fn bulk(core: &Arc<Core>, campaign: CampaignId, action: BulkAction) -> Result<u64> {
    bulk_of(core, campaign, Selection::All, action).await
}

/// As [`bulk`], for some of the contacts.
pub(crate) async fn bulk_of(core: &Arc<Core>, campaign: CampaignId, selection: Selection, action: BulkAction) -> Result<u64> {
    let mut changed = 0;
    loop {
        let change = BulkChange { campaign, selection: selection.clone(), action: action.clone(), limit: BULK, now: core.now() };
        let count = core.guarded(core.store.bulk_change(change)).await?;
        changed += count;
        if count < u64::from(BULK) {
            return Ok(changed);
        }
    }
}

/// Contacts of a cancelled campaign that are pending nevertheless (an attempt came back, or a node died halfway) become cancelled.
pub(crate) async fn cancel_rest(core: &Arc<Core>, id: CampaignId) -> Result<()> {
    if core.record(id).await?.status != CampaignStatus::Cancelled || core.guarded(core.store.counts(id)).await?.open() == 0 {
        return Ok(());
    }
    let reason = Reason::new("campaign_cancelled", "The campaign was cancelled.");
    bulk(core, id, BulkAction::Cancel { reason }).await.map(drop)
}

/// As [`cancel_rest`], as a task.
pub(crate) async fn cancel_rest_later(core: Arc<Core>, id: CampaignId) {
    let mut wait = FIRST_WAIT;
    loop {
        match cancel_rest(&core, id).await {
            Err(error) if error.kind() == Kind::Unavailable => core.sleep(wait).await,
            Err(error) if error.kind() != Kind::NotFound => {
                return tracing::warn!(%error, campaign = %id, "contacts of a cancelled campaign may be pending still");
            }
            _ => return,
        }
        wait = (2 * wait).min(LONGEST_WAIT);
    }
}

/// Cancellations that a node began and did not finish, once at the start.
pub(crate) async fn finish_cancellations(core: Arc<Core>) {
    let mut offset = 0;
    loop {
        let paging = Paging { offset, limit: 1000 };
        let query = CampaignQuery { statuses: vec![CampaignStatus::Cancelled], paging, ..CampaignQuery::default() };
        let page = match core.guarded(core.store.campaigns(query)).await {
            Ok(page) => page,
            Err(error) if error.kind() == Kind::Unavailable => {
                core.sleep(LONGEST_WAIT).await;
                continue;
            }
            Err(_) => return,
        };
        for record in &page.items {
            cancel_rest_later(Arc::clone(&core), record.id).await;
        }
        offset += 1000;
        if page.items.len() < 1000 {
            return;
        }
    }
}

/// Ends the run when no contact is pending or in progress: on to the next occurrence, or completed.
pub(crate) async fn complete_if_done(core: &Arc<Core>, id: CampaignId) -> Result<()> {
    if core.guarded(core.store.counts(id)).await?.open() > 0 {
        return Ok(());
    }
    let now = core.now();
    let ended = core
        .change(id, Some(SaveGuard::NoOpenContacts), |record| {
            if record.status != CampaignStatus::Running {
                return Err(crate::Error::new(Kind::State, "the campaign is not running"));
            }
            let next = match &record.spec.schedule {
                Schedule::Recurring { .. } => record.spec.schedule.next_start(now),
                Schedule::Immediate | Schedule::Once { .. } => None,
            };
            let event = if next.is_some() { CampaignEvent::Schedule } else { CampaignEvent::Complete };
            record.status = transition::campaign(record.status, event)?.to();
            record.run.next_start = next;
            record.completed_at = Some(now);
            Ok(())
        })
        .await;
    match ended {
        // Somebody added a contact, or somebody else was faster.
        Err(error) if error.kind() == Kind::State => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Ok(()),
    }
}
