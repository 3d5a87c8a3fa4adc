//! Settling: outcomes stored, contacts moved on, limits given back.

use super::counts::{self, Deltas};
use super::fault::Outcome as Result;
use super::ledgers::{Ledgers, Returns};
use super::rows::{Columns, code, stamp, text};
use super::tx::{Tx, params};
use super::{events, ledgers, queue, read};
use crate::contact::ContactStatus;
use crate::error::{Error, Kind};
use crate::event::{ContactEnded, Event, EventKind};
use crate::id::{AttemptId, CampaignId, ContactId, Money};
use crate::outcome::{Attempt, AttemptState, Channel, Outcome};
use crate::policy::limits::{LimitScope, Release};
use crate::store::codes::{damaged, json, scopes_of};
use crate::store::{AttemptEnd, Placed, SettleAck, SettleReply, SettleRequest, SettledCampaign, Settlement, call_counts};
use futures_util::try_join;
use jiff::Timestamp;
use jiff::civil::Date;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tokio_postgres::Row;

/// What settling has to know of an open attempt.
pub(super) struct Held {
    id: i64,
    campaign: CampaignId,
    contact: i64,
    channel: Channel,
    pub(super) reserved: Money,
    account: Option<Arc<str>>,
    caller: Option<Arc<str>>,
    pub(super) day: Option<Date>,
    started_at: Option<Timestamp>,
    start_at: Timestamp,
}

/// Columns of [`held`], in its order.
pub(super) const HELD: &str = "id, campaign_id, contact_id, channel, reserved, account, caller, claimed_day, started_at, start_at";

pub(super) fn held(row: &Row) -> Result<Held> {
    let mut c = Columns::new(row);
    Ok(Held {
        id: c.get()?,
        campaign: CampaignId(c.get()?),
        contact: c.get()?,
        channel: c.code()?,
        reserved: Money(c.get()?),
        account: c.shared()?,
        caller: c.shared()?,
        day: c.get()?,
        started_at: c.get()?,
        start_at: c.get()?,
    })
}

impl Held {
    /// What names its ledgers.
    pub(super) fn scopes(&self) -> (CampaignId, Option<Arc<str>>, Option<Arc<str>>) {
        (self.campaign, self.account.clone(), self.caller.clone())
    }
}

pub(super) async fn placed(tx: &Tx, placed: &[Placed]) -> Result<()> {
    let ids: Vec<i64> = placed.iter().map(|placed| placed.attempt.0).collect();
    let nodes: Vec<i64> = placed.iter().map(|placed| placed.token.node.0).collect();
    let epochs: Vec<i64> = placed.iter().map(|placed| placed.token.epoch).collect();
    let refs: Vec<String> = placed.iter().map(|placed| text(&placed.provider_ref)).collect();
    let at: Vec<Timestamp> = placed.iter().map(|placed| stamp(placed.at)).collect();
    tx.execute(
        "UPDATE open_attempts o SET state = $6, provider_ref = n.ref, started_at = n.at
         FROM unnest($1, $2, $3, $4, $5) AS n (id, node, epoch, ref, at)
         WHERE o.id = ANY ($1) AND o.id = n.id AND o.node_id = n.node AND o.epoch = n.epoch",
        params![ids, nodes, epochs, refs, at, code(AttemptState::Placed)],
    )
    .await?;
    Ok(())
}

/// One settlement that is accepted, with the attempt it ends.
struct Ended<'a> {
    held: Held,
    settlement: &'a Settlement,
    /// How it ended, when it was carried out.
    outcome: Option<&'a Outcome>,
    /// What it cost, when it was carried out.
    charged: Option<Money>,
}

pub(super) async fn settle(tx: &Tx, request: &SettleRequest) -> Result<SettleReply> {
    for settlement in request.settlements.iter() {
        let from = settlement.transition.from();
        if from != ContactStatus::InProgress {
            let error = Error::new(Kind::State, format!("an attempt cannot be settled from {from}"));
            return Err(error.with("attempt", settlement.attempt).into());
        }
    }
    // Statistics that are older than the rows at hand make the planner expect one where there are hundreds, and compare each with each.
    // Everything here is found by its id and joined by a hash instead.
    let ((), mut open) = try_join!(tx.batch("SET LOCAL enable_nestloop = off"), end_attempts(tx, request))?;
    let mut acks = Vec::with_capacity(request.settlements.len());
    let mut ended = Vec::with_capacity(open.len());
    let mut stale = Vec::new();
    for settlement in request.settlements.iter() {
        // A second settlement of the same attempt finds nothing, too.
        let Some(held) = open.remove(&settlement.attempt.0) else {
            acks.push(SettleAck::Stale);
            stale.push(settlement.attempt.0);
            continue;
        };
        let outcome = finished(settlement);
        let charged = outcome.map(|outcome| outcome.cost.unwrap_or(held.reserved));
        acks.push(SettleAck::Settled);
        ended.push(Ended { held, settlement, outcome, charged });
    }
    let mut campaigns: BTreeSet<CampaignId> = ended.iter().map(|ended| ended.held.campaign).collect();
    if !stale.is_empty() {
        let rows = tx.query("SELECT DISTINCT campaign_id FROM all_attempts WHERE id = ANY ($1)", params![stale]).await?;
        for row in &rows {
            campaigns.insert(CampaignId(row.try_get(0)?));
        }
    }

    let mut deltas = Deltas::default();
    let mut returns = Returns::default();
    for ended in &ended {
        returns.add(ended.held.scopes(), ended.held.reserved, ended.held.day, ended.charged.map_or(Release::Unused, Release::Used));
    }
    let told: Vec<Event> = ended.iter().filter_map(|ended| told(ended, request.now)).collect();
    let scopes: Vec<LimitScope> = campaigns.iter().copied().map(LimitScope::Campaign).collect();
    let ids: Vec<CampaignId> = campaigns.into_iter().collect();
    let mut ledgers = Ledgers::default();
    if !ended.is_empty() {
        move_contacts(tx, &ended, &mut deltas, request.now).await?;
        // Claims wait from here on, so everything that is left goes out together.
        ledgers = returns.settle(tx).await?;
    }
    let ((), (), counts, spent, (), ()) = try_join!(
        ledgers.write(tx),
        deltas.write(tx),
        counts::read_of(tx, &ids),
        ledgers::read(tx, &scopes),
        events::write(tx, request.now, &told),
        tx.commit(),
    )?;
    let spent: HashMap<CampaignId, Money> = ids.into_iter().zip(spent.iter().map(|ledger| ledger.spent)).collect();
    let campaigns = counts.into_iter().map(|(campaign, counts)| {
        let spent = spent.get(&campaign).copied().unwrap_or(Money::ZERO);
        SettledCampaign { campaign, open: counts.open(), spent }
    });
    Ok(SettleReply { acks, campaigns: campaigns.collect() })
}

/// How an attempt ended, when it was carried out.
fn finished(settlement: &Settlement) -> Option<&Outcome> {
    match &settlement.end {
        AttemptEnd::Finished(outcome) => Some(outcome),
        AttemptEnd::Refused | AttemptEnd::Unused => None,
    }
}

/// Moves attempts from the open ones into the history; those that were never handed over leave no trace. Deleting is the look, the
/// lock and the fence in one: only what this token still holds is found and returned.
async fn end_attempts(tx: &Tx, request: &SettleRequest) -> Result<HashMap<i64, Held>> {
    let mut seen = BTreeSet::new();
    let first: Vec<&Settlement> = request.settlements.iter().filter(|settlement| seen.insert(settlement.attempt)).collect();
    let states = first.iter().map(|settlement| match settlement.end {
        AttemptEnd::Finished(_) => Some(code(AttemptState::Settled)),
        AttemptEnd::Refused => Some(code(AttemptState::Refused)),
        AttemptEnd::Unused => None,
    });
    let states: Vec<Option<i16>> = states.collect();
    let ids: Vec<i64> = first.iter().map(|settlement| settlement.attempt.0).collect();
    let started: Vec<Option<Timestamp>> = first.iter().map(|settlement| settlement.started_at.map(stamp)).collect();
    let reasons: Vec<Option<String>> = first.iter().map(|s| s.reason.as_ref().map(|reason| text(&reason.code))).collect();
    let words: Vec<Option<String>> = first.iter().map(|s| s.reason.as_ref().map(|reason| text(&reason.text))).collect();
    let outcomes: Vec<Option<&Outcome>> = first.iter().map(|settlement| finished(settlement)).collect();
    let dispositions: Vec<Option<i16>> = outcomes.iter().map(|o| o.map(|outcome| code(outcome.disposition))).collect();
    let durations: Vec<Option<i64>> = outcomes.iter().map(|o| o.map(|outcome| i64::from(outcome.duration_seconds))).collect();
    let costs: Vec<Option<i64>> = outcomes.iter().map(|o| o.and_then(|outcome| outcome.cost).map(|cost| cost.0)).collect();
    let refs: Vec<Option<String>> = outcomes.iter().map(|o| o.and_then(|outcome| outcome.provider_ref.as_deref()).map(text)).collect();
    let details: Vec<Option<String>> = outcomes.iter().map(|o| o.and_then(|outcome| outcome.detail.as_deref()).map(text)).collect();
    let mut data: Vec<Option<String>> = Vec::with_capacity(outcomes.len());
    for outcome in &outcomes {
        data.push(outcome.map(|outcome| json(&outcome.data, outcome.data.is_empty())).transpose()?.flatten());
    }
    let sql = format!(
        "WITH ended AS (
            DELETE FROM open_attempts WHERE id = ANY ($1) AND node_id = $2 AND epoch = $3 RETURNING *
         ), kept AS (
            INSERT INTO attempts (id, campaign_id, contact_id, run, number, step, channel, spec_version, state, node_id, epoch, claimed_at,
                start_at, not_after, reserved, caller, provider_ref, started_at, account, restored_key, finished_at, disposition,
                duration_seconds, charged, cost, outcome_ref, detail, data, reason_code, reason_text)
            SELECT e.id, e.campaign_id, e.contact_id, e.run, e.number, e.step, e.channel, e.spec_version, n.state, e.node_id, e.epoch,
                e.claimed_at, e.start_at, e.not_after, e.reserved, e.caller, coalesce(n.ref, e.provider_ref),
                coalesce(n.started_at, e.started_at), e.account, e.restored_key, $4, n.disposition, n.duration,
                CASE WHEN n.disposition IS NOT NULL THEN coalesce(n.cost, e.reserved) END, n.cost, n.ref, n.detail, n.data, n.reason, n.words
            FROM ended e
            JOIN unnest($1, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
                AS n (id, state, started_at, disposition, duration, cost, ref, detail, data, reason, words) ON n.id = e.id
            WHERE n.state IS NOT NULL ORDER BY e.id
         )
         SELECT {HELD} FROM ended"
    );
    let (node, epoch, now) = (request.token.node.0, request.token.epoch, stamp(request.now));
    let found = tx
        .query(&sql, params![ids, node, epoch, now, states, started, dispositions, durations, costs, refs, details, data, reasons, words])
        .await?;
    found.iter().map(|row| held(row).map(|held| (held.id, held))).collect()
}

/// The contacts after their attempts. What an attempt did not change stays as it is stored.
async fn move_contacts(tx: &Tx, ended: &[Ended<'_>], deltas: &mut Deltas, now: Timestamp) -> Result<()> {
    let count = ended.len();
    let mut ids = Vec::with_capacity(count);
    let (mut statuses, mut completed_at) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let (mut reasons, mut words) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let (mut due_at, mut steps, mut channels) = (Vec::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count));
    let (mut consumed, mut dispositions, mut attempted_at) =
        (Vec::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count));
    let (mut calls, mut answered) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let (mut durations, mut costs) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let mut requeued = Vec::new();
    for Ended { held, settlement, outcome, charged } in ended {
        let to = settlement.transition.to();
        let pending = to == ContactStatus::Pending;
        let step = settlement.step.as_ref().filter(|_| pending);
        let (called, reached) = outcome.map_or((0, 0), |outcome| call_counts(held.channel, outcome.disposition));
        let duration = outcome.map_or(0, |outcome| i64::from(outcome.duration_seconds));
        let cost = charged.unwrap_or(Money::ZERO);
        let handed_over = settlement.started_at.or(held.started_at).unwrap_or(held.start_at);
        ids.push(held.contact);
        statuses.push(code(to));
        completed_at.push(to.is_terminal().then_some(stamp(now)));
        reasons.push(settlement.reason.as_ref().map(|reason| text(&reason.code)));
        words.push(settlement.reason.as_ref().map(|reason| text(&reason.text)));
        due_at.push(settlement.due_at.filter(|_| pending).map(stamp));
        steps.push(step.map(|step| step.step as i32));
        channels.push(step.map(|step| code(step.channel)));
        consumed.push(i32::from(outcome.is_some()));
        dispositions.push(outcome.map(|outcome| code(outcome.disposition)));
        attempted_at.push(outcome.map(|_| stamp(handed_over)));
        calls.push(called as i32);
        answered.push(reached as i32);
        durations.push(duration);
        costs.push(cost.0);
        if pending {
            requeued.push(held.contact);
        }
        let counts = deltas.of(held.campaign);
        counts.moved(ContactStatus::InProgress, to);
        counts.call_attempts += called as i64;
        counts.answered_calls += reached as i64;
        counts.duration_seconds += duration;
        counts.cost += cost;
    }
    let moved = tx
        .execute(
            "UPDATE contacts c SET status = n.status, completed_at = n.completed_at, reason_code = n.reason, reason_text = n.words,
                due_at = coalesce(n.due_at, c.due_at), step = coalesce(n.step, c.step), step_channel = coalesce(n.channel, c.step_channel),
                attempts = c.attempts + n.consumed, last_disposition = coalesce(n.disposition, c.last_disposition),
                last_attempt_at = coalesce(n.attempted_at, c.last_attempt_at), call_attempts = c.call_attempts + n.calls,
                answered_calls = c.answered_calls + n.answered, duration_seconds = c.duration_seconds + n.duration,
                cost = c.cost + n.cost, version = c.version + 1
             FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
                AS n (id, status, completed_at, reason, words, due_at, step, channel, consumed, disposition, attempted_at, calls, answered,
                    duration, cost)
             WHERE c.id = ANY ($1) AND c.id = n.id AND c.status = $16",
            params![
                ids,
                statuses,
                completed_at,
                reasons,
                words,
                due_at,
                steps,
                channels,
                consumed,
                dispositions,
                attempted_at,
                calls,
                answered,
                durations,
                costs,
                code(ContactStatus::InProgress),
            ],
        )
        .await?;
    if moved != count as u64 {
        return Err(damaged("a contact of an open attempt is not in progress").into());
    }
    if requeued.is_empty() { Ok(()) } else { queue::put_in(tx, &requeued).await }
}

/// The event of an attempt that was carried out.
fn told(ended: &Ended<'_>, now: Timestamp) -> Option<Event> {
    let outcome = ended.outcome?;
    let contact = ContactEnded {
        contact_id: ContactId(ended.held.contact),
        attempt_id: AttemptId(ended.held.id),
        channel: ended.held.channel,
        disposition: outcome.disposition,
        status: ended.settlement.transition.to(),
        duration_seconds: outcome.duration_seconds,
        cost: ended.charged.unwrap_or(Money::ZERO),
    };
    let kind = if outcome.disposition.is_success() { EventKind::ContactCompleted(contact) } else { EventKind::ContactFailed(contact) };
    Some(Event { campaign_id: ended.held.campaign, at: now, kind })
}

/// Replaces the outcome of a settled attempt, and corrects every sum it is part of.
pub(super) async fn amend(tx: &Tx, id: AttemptId, outcome: &Outcome) -> Result<Attempt> {
    // The contact is locked before its attempt, as everywhere; a second correction waits here.
    let seen = read::must_get_attempt(tx, id).await?;
    tx.query("SELECT 1 FROM contacts WHERE id = $1 FOR UPDATE", params![seen.contact.0]).await?;
    let attempt = read::must_get_attempt(tx, id).await?;
    let (AttemptState::Settled, Some(old)) = (attempt.state, &attempt.outcome) else {
        return Err(Error::new(Kind::State, "only a settled attempt can be amended").with("attempt", id).into());
    };
    let (calls_before, answered_before) = call_counts(attempt.step.channel, old.disposition);
    let (calls, answered) = call_counts(attempt.step.channel, outcome.disposition);
    let more_calls = calls as i64 - calls_before as i64;
    let more_answered = answered as i64 - answered_before as i64;
    let more_seconds = i64::from(outcome.duration_seconds) - i64::from(old.duration_seconds);
    let charged = outcome.cost.unwrap_or(attempt.reserved);
    let more_cost = charged - old.cost.unwrap_or(attempt.reserved);

    let row = tx
        .query_one(
            "UPDATE attempts SET disposition = $2, duration_seconds = $3, charged = $4, cost = $5, outcome_ref = $6,
                provider_ref = coalesce($6, provider_ref), detail = $7, data = $8
             WHERE id = $1 RETURNING account",
            params![
                id.0,
                code(outcome.disposition),
                i64::from(outcome.duration_seconds),
                charged.0,
                outcome.cost.map(|cost| cost.0),
                outcome.provider_ref.as_deref().map(text),
                outcome.detail.as_deref().map(text),
                json(&outcome.data, outcome.data.is_empty())?,
            ],
        )
        .await?;
    let account: Option<&str> = row.try_get(0)?;
    let sums = "call_attempts = call_attempts + $3, answered_calls = answered_calls + $4, duration_seconds = duration_seconds + $5,
        cost = cost + $6";
    let (contact, run, calls, answered) = (attempt.contact.0, attempt.run as i32, more_calls as i32, more_answered as i32);
    let values = params![contact, run, calls, answered, more_seconds, more_cost.0];
    let current = tx.execute(&format!("UPDATE contacts SET {sums}, version = version + 1 WHERE id = $1 AND run = $2"), values).await?;
    let mut deltas = Deltas::default();
    if current > 0 {
        let counts = deltas.of(attempt.campaign);
        counts.call_attempts += more_calls;
        counts.answered_calls += more_answered;
        counts.duration_seconds += more_seconds;
        counts.cost += more_cost;
    } else {
        tx.execute(&format!("UPDATE run_results SET {sums} WHERE contact_id = $1 AND run = $2"), values).await?;
    }
    let scopes: Vec<LimitScope> = scopes_of(attempt.campaign, account, attempt.from.as_deref()).collect();
    let mut ledgers = Ledgers::lock(tx, scopes.iter().cloned()).await?;
    for scope in &scopes {
        ledgers.get(scope).spent += more_cost;
    }
    ledgers.write(tx).await?;
    deltas.write(tx).await?;
    read::must_get_attempt(tx, id).await
}
