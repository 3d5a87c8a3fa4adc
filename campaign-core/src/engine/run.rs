//! The loop: what is due, claimed; what is claimed, handed over.
//!
//! One task per node. It sleeps until the next contact is due, the next window opens or the next slot is free, and is woken
//! by settlements and changes. What follows a claim happens in a task per attempt (`handoff.rs`); what follows an outcome in
//! `settler.rs`.

use super::active::Active;
use super::core::{Agenda, Core, FIRST_WAIT, LONGEST_WAIT, Phase, earlier, later};
use super::{handoff, starts, trace};
use crate::campaign::{CampaignRecord, CampaignStatus};
use crate::contact::{Reason, ZoneKey};
use crate::event::EventKind;
use crate::id::CampaignId;
use crate::outcome::{Attempt, AttemptState};
use crate::policy::limits::{LimitBlock, LimitKind, LimitScope};
use crate::policy::share::{Demand, divide};
use crate::policy::transition::CampaignEvent;
use crate::schedule::ZoneClock;
use crate::store::{BulkAction, CampaignQuery, ClaimRequest, Claimed, Claims, Paging};
use crate::{Kind, Result};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tracing::{Instrument, Span};
use uuid::Uuid;

/// Where several processes may share the store, a campaign is looked at this often even when nothing is expected to happen.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Runs until the node drains.
pub(crate) async fn run(core: Arc<Core>) {
    loop {
        if core.phase() != Phase::Running {
            return;
        }
        if let Err(error) = refresh(&core).await {
            tracing::warn!(%error, "the store cannot be read; nothing is started meanwhile");
            core.sleep(Duration::from_millis(200)).await;
            continue;
        }
        starts::begin_due(&core);
        for (active, max) in ready(&core).await {
            if let Some(agenda) = core.agenda.lock().get_mut(&active.id()) {
                agenda.begin_claim();
            }
            let next = match claim(&core, &active, max).await {
                Ok(next) => next,
                Err(error) => back_off(&core, &active, &error),
            };
            schedule(&core, active.id(), next);
        }
        let until = wake_at(&core);
        tokio::select! {
            biased;
            () = core.wake.notified() => {}
            () = core.clock.sleep_until(until) => {}
        }
    }
}

/// When and why to look at a campaign again.
struct Next {
    at: Timestamp,
    block: Option<LimitBlock>,
    failed: bool,
}

impl Next {
    fn at(at: Timestamp) -> Self {
        Self { at, block: None, failed: false }
    }
}

/// Reads which campaigns run and which wait for their start, when something changed since the last time.
async fn refresh(core: &Arc<Core>) -> Result<()> {
    let changes = core.guarded(core.store.changes()).await?;
    if *core.read_at_change.lock() == Some(changes) {
        return Ok(());
    }
    let mut records: Vec<CampaignRecord> = Vec::new();
    loop {
        let query = CampaignQuery {
            statuses: vec![CampaignStatus::Running, CampaignStatus::Scheduled],
            paging: Paging { offset: records.len() as u64, limit: 1000 },
            ..CampaignQuery::default()
        };
        let page = core.guarded(core.store.campaigns(query)).await?;
        let last = page.items.len() < 1000;
        records.extend(page.items);
        if last {
            break;
        }
    }
    let now = core.now();
    let mut failed = Vec::new();
    let gone: Vec<CampaignId> = {
        let mut agenda = core.agenda.lock();
        let mut waiting = core.starts.lock();
        waiting.clear();
        let mut old = std::mem::take(&mut *agenda);
        for record in records {
            let id = record.id;
            if record.status == CampaignStatus::Scheduled {
                waiting.insert(id, if record.run.resetting { now } else { record.run.next_start.unwrap_or(now) });
                continue;
            }
            match old.remove(&id) {
                Some(mut kept) if kept.active.record.revision == record.revision => {
                    kept.look_at = now;
                    agenda.insert(id, kept);
                }
                previous => match core.activate(record) {
                    Ok(active) => {
                        let (in_flight, served) = previous.map_or((0, 0), |previous| (previous.in_flight, previous.served));
                        let active = Arc::new(active);
                        agenda.insert(id, Agenda { active, look_at: now, block: None, freed: false, in_flight, served, failures: 0 });
                    }
                    Err(error) => failed.push((id, error)),
                },
            }
        }
        old.into_keys().collect()
    };
    for id in gone {
        // What was settled while the loop still had the campaign, see `settler::follow_up`.
        core.spawn(starts::cancel_rest_later(Arc::clone(core), id));
    }
    for (id, error) in failed {
        // A campaign that does not compile here (a kind that is not registered, say) is nobody else's trouble.
        tracing::error!(campaign = %id, %error, "the campaign cannot run on this node");
        core.hub.send(id, now, EventKind::Error { code: error.kind().to_string(), message: error.to_string() });
    }
    *core.read_at_change.lock() = Some(changes);
    Ok(())
}

/// The campaigns to claim for now, with how many each may start: a fair share when they compete for the same limits.
async fn ready(core: &Arc<Core>) -> Vec<(Arc<Active>, u32)> {
    let now = core.now();
    if core.token().is_err() {
        return Vec::new();
    }
    if let Some(until) = *core.throttled_until.lock()
        && now < until
    {
        return Vec::new();
    }
    let batch = core.options.batch;
    let mut due: Vec<(Arc<Active>, Demand, u32)> = core
        .agenda
        .lock()
        .values()
        .filter(|agenda| agenda.look_at <= now)
        .map(|agenda| {
            let spec = &agenda.active.record.spec;
            let wants = spec.concurrent_limit.map_or(batch, |limit| limit.saturating_sub(agenda.in_flight).clamp(1, batch));
            let demand = Demand { campaign: agenda.active.id(), weight: spec.priority.weight(), in_flight: agenda.in_flight, wants };
            (Arc::clone(&agenda.active), demand, agenda.served)
        })
        .collect();
    let free = if due.len() > 1 { free_for_all(core).await } else { None };
    if free.is_some_and(|free| free.by_rate) {
        // Short calls leave nothing in flight to compare; what was started lately says who had his turn.
        due.iter_mut().for_each(|(_, demand, served)| demand.in_flight = *served);
        forget_turns(core);
    }
    let demands: Vec<Demand> = due.iter().map(|(_, demand, _)| *demand).collect();
    let shares = match free {
        Some(free) => divide(&demands, free.starts),
        None => demands.iter().map(|demand| demand.wants).collect(),
    };
    // Who has no share comes last and asks for one all the same: the store tells when to look again.
    let mut shared: Vec<(Arc<Active>, u32)> = due.into_iter().map(|(active, _, _)| active).zip(shares).collect();
    shared.sort_by_key(|(_, share)| *share == 0);
    shared.into_iter().map(|(active, share)| (active, share.max(1))).collect()
}

/// Halves what was started lately, once it is many turns, so that who comes late need not make up for hours.
fn forget_turns(core: &Arc<Core>) {
    let mut agenda = core.agenda.lock();
    if agenda.values().any(|agenda| agenda.served > 32 * agenda.active.record.spec.priority.weight()) {
        agenda.values_mut().for_each(|agenda| agenda.served /= 2);
    }
}

/// How many attempts may start, and whether a rate or free places say so.
#[derive(Clone, Copy)]
struct Free {
    starts: u32,
    by_rate: bool,
}

impl Free {
    fn at_most(free: Option<Self>, starts: u32, by_rate: bool) -> Option<Self> {
        Some(free.filter(|free| free.starts <= starts).unwrap_or(Self { starts, by_rate }))
    }
}

/// How many attempts all campaigns together may start at once under the limits they share; `None` when they share none.
async fn free_for_all(core: &Arc<Core>) -> Option<Free> {
    let look_ahead = core.options.look_ahead.as_secs_f64();
    let mut free: Option<Free> = None;
    for rate in [core.options.max_rate.map(|rate| (rate.starts, rate.per_seconds)), core.capabilities.calls_per_second.map(|cps| (cps, 1))]
        .into_iter()
        .flatten()
    {
        free = Free::at_most(free, (f64::from(rate.0) / f64::from(rate.1.max(1)) * look_ahead / 2.0).ceil() as u32, true);
    }
    let caps = [
        core.options.max_in_flight.map(|max| (LimitScope::Deployment, max)),
        core.account.clone().zip(core.capabilities.max_concurrent).map(|(account, max)| (LimitScope::Account(account), max)),
    ];
    let (scopes, maxima): (Vec<LimitScope>, Vec<u32>) = caps.into_iter().flatten().unzip();
    if !scopes.is_empty()
        && let Ok(ledgers) = core.guarded(core.store.ledgers(scopes)).await
    {
        for (ledger, max) in ledgers.iter().zip(maxima) {
            free = Free::at_most(free, max.saturating_sub(ledger.in_flight), false);
        }
    }
    free
}

/// Claims for one campaign and hands what it got to tasks of their own.
async fn claim(core: &Arc<Core>, active: &Arc<Active>, max: u32) -> Result<Next> {
    let now = core.now();
    let id = active.id();
    let spec = &active.record.spec;
    if spec.deadline.is_some_and(|deadline| now >= deadline) {
        let reason = Reason::new("deadline", "The campaign's deadline has passed.");
        starts::bulk(core, id, BulkAction::Skip { reason }).await?;
    }
    let pending = core.guarded(core.store.pending_zones(id)).await?;
    if pending.is_empty() {
        starts::complete_if_done(core, id).await?;
        return Ok(Next::at(Timestamp::MAX));
    }
    let horizon = later(now, core.options.look_ahead);
    let mut open: Vec<(Timestamp, Timestamp, ZoneKey)> = Vec::new();
    let mut next = spec.deadline.unwrap_or(Timestamp::MAX);
    for group in pending {
        let (closes, opens) = match active.windows.at(&group.zones, now) {
            ZoneClock::Open { until } => (until.unwrap_or(Timestamp::MAX), now),
            ZoneClock::Closed { opens_at: Some(at) } => {
                next = next.min(at.max(group.first_due));
                continue;
            }
            // Closed for good: claimed all the same, so that the gate at hand-off ends these contacts with its reason.
            ZoneClock::Closed { opens_at: None } | ZoneClock::Unknown => (Timestamp::MAX, now),
        };
        if group.first_due.max(opens) <= horizon {
            open.push((closes, group.first_due, group.zones));
        } else {
            next = next.min(earlier(group.first_due, core.options.look_ahead / 2));
        }
    }
    if open.is_empty() {
        return Ok(Next::at(next));
    }
    // Where the window closes first, people are reached first.
    open.sort();
    let (limits, grace) = active.limits(core, now);
    let changes = core.guarded(core.store.changes()).await?;
    let request = ClaimRequest {
        request_id: Uuid::new_v4(),
        token: core.token()?,
        campaign: id,
        expected_revision: active.record.revision,
        max,
        zones: open.into_iter().map(|(_, _, zones)| zones).collect(),
        gates: active.gates.clone(),
        limits,
        account: core.account.clone(),
        first_step: active.first_step(),
        spec_version: active.record.spec_version,
        grace,
        now,
    };
    let asked_at = core.clock.own();
    let span = trace::claim(core, id, max);
    let claims = match core.guarded(core.store.claim(request.clone())).instrument(span.clone()).await {
        // The answer may have been lost after the claim was stored; nobody else would ever look at what it took.
        Err(error) if error.kind() == Kind::Unavailable => {
            core.spawn(claim_again(Arc::clone(core), Arc::clone(active), request, changes, span));
            return Err(error);
        }
        claims => claims?,
    };
    core.clock.heard(asked_at, claims.now);
    let Claims { claimed, campaign_changed, block, passed_over, more, now: _ } = claims;
    let (some, passed) = (!claimed.is_empty(), passed_over > 0);
    hand_over(core, active, claimed, changes, &span);
    if some || passed {
        core.hub.committed();
    }
    if campaign_changed {
        *core.read_at_change.lock() = None;
        return Ok(Next::at(now));
    }
    if let Some(block) = block {
        return after_block(core, active, block, now).await;
    }
    Ok(Next::at(match (some, more) {
        (true, _) => now,
        (false, true) if !passed => now,
        // A gate that opens within the look-ahead is met again until it does; time must pass in between.
        (false, true) => later(now, Duration::from_millis(1)),
        (false, false) => next.min(later(now, core.options.look_ahead / 2)),
    }))
}

fn hand_over(core: &Arc<Core>, active: &Arc<Active>, claimed: Vec<Claimed>, changes: u64, claim: &Span) {
    trace::claimed(claim, claimed.len());
    for claimed in claimed {
        core.take_off(active.id());
        let span = trace::attempt(core, &claimed.attempt, Some(claim));
        core.spawn(handoff::hand_off(Arc::clone(core), Arc::clone(active), claimed, changes).instrument(span));
    }
}

/// Repeats a claim whose answer was lost until the store says what became of it: the same request names the same attempts. They are
/// handed over or given back like any others; most are too late by now.
async fn claim_again(core: Arc<Core>, active: Arc<Active>, request: ClaimRequest, changes: u64, span: Span) {
    let mut wait = FIRST_WAIT;
    while core.phase() == Phase::Running {
        core.sleep(wait).await;
        wait = (2 * wait).min(LONGEST_WAIT);
        match core.guarded(core.store.claim(request.clone())).await {
            Ok(claims) => {
                // What has been settled or taken over since is not this node's business any more.
                let mine = |attempt: &Attempt| attempt.state == AttemptState::Claimed && attempt.claimed_by == request.token;
                let open = claims.claimed.into_iter().filter(|claimed| mine(&claimed.attempt)).collect();
                hand_over(&core, &active, open, changes, &span);
                core.changed();
                return;
            }
            Err(error) if error.kind() == Kind::Unavailable => {}
            // A lost lease leaves them to recovery, and what is refused was not stored.
            Err(_) => return,
        }
    }
}

/// When a limit that was met is worth another try.
async fn after_block(core: &Arc<Core>, active: &Arc<Active>, block: LimitBlock, now: Timestamp) -> Result<Next> {
    if block.limit == LimitKind::Budget {
        spent_out(core, active).await?;
    }
    let at = match (block.limit, block.opens_at) {
        // Slots come within reach one by one; half a look-ahead later a batch of them is.
        (LimitKind::Rate | LimitKind::CallerIds, Some(at)) => {
            earlier(at, core.options.look_ahead / 2).max(later(now, Duration::from_millis(1)))
        }
        (_, Some(at)) => at,
        // Only a settlement opens it; one of another process is noticed by polling.
        (_, None) => core.options.poll_interval.map_or(Timestamp::MAX, |interval| later(now, interval)),
    };
    Ok(Next { at, block: Some(block), failed: false })
}

/// Pauses a campaign whose budget is spent, once nothing in flight can give money back.
async fn spent_out(core: &Arc<Core>, active: &Arc<Active>) -> Result<()> {
    let ledgers = core.guarded(core.store.ledgers(vec![LimitScope::Campaign(active.id())])).await?;
    if ledgers.first().is_some_and(|ledger| ledger.in_flight > 0) {
        return Ok(());
    }
    let paused = core.change(active.id(), None, |record| {
        record.status = crate::policy::transition::campaign(record.status, CampaignEvent::Pause)?.to();
        record.reason = Some(Reason::new("budget_spent", "The budget is spent; raise it and resume to go on."));
        record.budget_announced_percent = record.budget_announced_percent.max(100);
        Ok(())
    });
    match paused.await {
        Err(error) if error.kind() != Kind::State => Err(error),
        _ => Ok(()),
    }
}

fn schedule(core: &Arc<Core>, id: CampaignId, next: Next) {
    if let Some(agenda) = core.agenda.lock().get_mut(&id) {
        // Other nodes add and settle contacts, too, and may be gone before they say so.
        let at = core.options.poll_interval.map_or(next.at, |_| next.at.min(later(core.now(), LOOK_AGAIN)));
        // Only the end of an attempt opens these.
        let place = |block: &LimitBlock| matches!(block.limit, LimitKind::Concurrency | LimitKind::CallerIds | LimitKind::Budget);
        let at = if agenda.freed && next.block.as_ref().is_some_and(place) { core.now() } else { at };
        agenda.look_at = agenda.look_at.min(agenda.by_deadline(at, core.now()));
        agenda.block = next.block;
        agenda.failures = if next.failed { agenda.failures.saturating_add(1) } else { 0 };
    }
}

fn back_off(core: &Arc<Core>, active: &Arc<Active>, error: &crate::Error) -> Next {
    let now = core.now();
    let failures = core.agenda.lock().get(&active.id()).map_or(0, |agenda| agenda.failures);
    let wait = Duration::from_millis(100) * 2u32.saturating_pow(failures.min(8));
    tracing::warn!(campaign = %active.id(), %error, "claiming failed; trying again");
    core.hub.send(active.id(), now, EventKind::Error { code: error.kind().to_string(), message: error.to_string() });
    Next { at: later(now, wait), block: None, failed: true }
}

/// The next moment anything can happen by itself.
fn wake_at(core: &Arc<Core>) -> Timestamp {
    let now = core.now();
    let mut at = core.agenda.lock().values().map(|agenda| agenda.look_at).min().unwrap_or(Timestamp::MAX);
    if let Some(until) = *core.throttled_until.lock() {
        at = at.max(until);
    }
    {
        let beginning = core.beginning.lock();
        let starts = core.starts.lock();
        at = starts.iter().filter(|(id, _)| !beginning.contains(id)).map(|(_, at)| *at).fold(at, Timestamp::min);
    }
    match core.options.poll_interval {
        Some(interval) => at.min(later(now, interval)),
        None => at,
    }
}
