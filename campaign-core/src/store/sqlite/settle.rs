//! Settling: outcomes stored, contacts moved on, limits given back.

use super::db::Db;
use super::fault::{Fault, Outcome as Result};
use super::ledgers::Ledgers;
use super::rows::micros;
use super::writer::Writer;
use super::{campaigns, read};
use crate::contact::ContactStatus;
use crate::error::{Error, Kind};
use crate::id::{AttemptId, CampaignId, Money, NodeId, NodeToken};
use crate::outcome::{Attempt, AttemptState, Channel, Outcome};
use crate::policy::limits::{Ledger, LimitScope, Release};
use crate::store::codes::Code;
use crate::store::codes::json;
use crate::store::codes::scopes_of;
use crate::store::{AttemptEnd, Placed, SettleAck, SettleReply, SettleRequest, SettledCampaign, Settlement, call_counts};
use jiff::Timestamp;
use jiff::civil::Date;
use rusqlite::{OptionalExtension, params};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What settling has to know of an attempt.
struct Held {
    campaign: CampaignId,
    contact: i64,
    channel: Channel,
    open: bool,
    token: NodeToken,
    reserved: Money,
    account: Option<Arc<str>>,
    caller: Option<Arc<str>>,
    day: Option<Date>,
    started_at: Option<i64>,
    start_at: i64,
}

fn held(db: &Db, id: AttemptId) -> Result<Option<Held>> {
    let mut statement = db.conn.prepare_cached(
        "SELECT campaign_id, contact_id, channel, finished_at IS NULL, node_id, epoch, reserved, account, caller, claimed_day, started_at,
            start_at
         FROM attempts WHERE id = ?1",
    )?;
    let mut rows = statement.query([id.0])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let day: Option<String> = row.get(9)?;
    Ok(Some(Held {
        campaign: CampaignId(row.get(0)?),
        contact: row.get(1)?,
        channel: Channel::decode(row.get(2)?)?,
        open: row.get(3)?,
        token: NodeToken { node: NodeId(row.get(4)?), epoch: row.get(5)? },
        reserved: Money(row.get(6)?),
        account: row.get(7)?,
        caller: row.get(8)?,
        day: day.map(|day| day.parse()).transpose().map_err(|_| Fault::damaged("the day of an attempt"))?,
        started_at: row.get(10)?,
        start_at: row.get(11)?,
    }))
}

pub(super) fn placed(w: &mut Writer, placed: &[Placed]) -> Result<()> {
    let mut statement = w.db.conn.prepare_cached(
        "UPDATE attempts SET state = ?4, provider_ref = ?5, started_at = ?6
         WHERE id = ?1 AND node_id = ?2 AND epoch = ?3 AND finished_at IS NULL",
    )?;
    for report in placed {
        let token = report.token;
        let state = AttemptState::Placed.code();
        statement.execute(params![report.attempt.0, token.node.0, token.epoch, state, report.provider_ref, micros(report.at)])?;
    }
    Ok(())
}

/// What names the ledgers of an attempt: its campaign, account and caller.
type Scopes = (CampaignId, Option<Arc<str>>, Option<Arc<str>>);

/// What a batch gives back: many attempts share few ledgers, so it is summed up before any ledger is touched.
#[derive(Default)]
struct Returns {
    groups: BTreeMap<Scopes, Vec<(Money, Option<Date>, Release)>>,
}

impl Returns {
    fn add(&mut self, held: &Held, release: Release) {
        let key = (held.campaign, held.account.clone(), held.caller.clone());
        self.groups.entry(key).or_default().push((held.reserved, held.day, release));
    }

    fn write(self, db: &Db) -> Result<()> {
        let mut ledgers = Ledgers::new(db);
        for ((campaign, account, caller), returned) in self.groups {
            for scope in scopes_of(campaign, account.as_deref(), caller.as_deref()) {
                // Money is reserved in the campaign's ledger only.
                let of_campaign = matches!(scope, LimitScope::Campaign(_));
                let ledger: &mut Ledger = ledgers.get(scope)?;
                for &(reserved, day, release) in &returned {
                    ledger.settle(if of_campaign { reserved } else { Money::ZERO }, day, release);
                }
            }
        }
        ledgers.write()
    }
}

pub(super) fn settle(w: &mut Writer, request: &SettleRequest) -> Result<SettleReply> {
    let mut acks = Vec::with_capacity(request.settlements.len());
    let mut campaigns = BTreeSet::new();
    let mut returns = Returns::default();
    for settlement in request.settlements.iter() {
        let from = settlement.transition.from();
        if from != ContactStatus::InProgress {
            let error = Error::new(Kind::State, format!("an attempt cannot be settled from {from}"));
            return Err(error.with("attempt", settlement.attempt).into());
        }
        let held = held(&w.db, settlement.attempt)?;
        campaigns.extend(held.as_ref().map(|held| held.campaign));
        match held.filter(|held| held.open && held.token == request.token) {
            Some(held) => {
                let release = settle_one(w, &held, settlement, request.now)?;
                returns.add(&held, release);
                acks.push(SettleAck::Settled);
            }
            None => acks.push(SettleAck::Stale),
        }
    }
    returns.write(&w.db)?;
    w.flush_counts()?;
    let mut reply = SettleReply { acks, campaigns: Vec::with_capacity(campaigns.len()) };
    for campaign in campaigns {
        let open = campaigns::counts(&w.db, campaign)?.open();
        reply.campaigns.push(SettledCampaign { campaign, open, spent: campaigns::spent(&w.db, campaign)? });
    }
    Ok(reply)
}

fn settle_one(w: &mut Writer, held: &Held, settlement: &Settlement, now: Timestamp) -> Result<Release> {
    let finished = match &settlement.end {
        AttemptEnd::Finished(outcome) => Some(outcome),
        AttemptEnd::Refused | AttemptEnd::Unused => None,
    };
    let charged = finished.map(|outcome| outcome.cost.unwrap_or(held.reserved));
    move_contact(w, held, settlement, finished, charged, now)?;
    match &settlement.end {
        AttemptEnd::Unused => {
            w.db.conn.prepare_cached("DELETE FROM attempts WHERE id = ?1")?.execute([settlement.attempt.0])?;
        }
        _ => end_attempt(w, settlement, finished, charged, now)?,
    }
    Ok(charged.map_or(Release::Unused, Release::Used))
}

/// The contact after the attempt. What the attempt did not change stays as it is stored.
fn move_contact(
    w: &mut Writer,
    held: &Held,
    settlement: &Settlement,
    finished: Option<&Outcome>,
    charged: Option<Money>,
    now: Timestamp,
) -> Result<()> {
    let to = settlement.transition.to();
    let pending = to == ContactStatus::Pending;
    let step = settlement.step.as_ref().filter(|_| pending);
    let (calls, answered) = finished.map_or((0, 0), |outcome| call_counts(held.channel, outcome.disposition));
    let duration = finished.map_or(0, |outcome| i64::from(outcome.duration_seconds));
    let handed_over = settlement.started_at.map(micros).or(held.started_at).unwrap_or(held.start_at);
    let moved =
        w.db.conn
            .prepare_cached(
                "UPDATE contacts SET status = ?2, completed_at = ?3, reason_code = ?4, reason_text = ?5, due_at = coalesce(?6, due_at),
                step = coalesce(?7, step), step_channel = coalesce(?8, step_channel), attempts = attempts + ?9,
                last_disposition = coalesce(?10, last_disposition), last_attempt_at = coalesce(?11, last_attempt_at),
                call_attempts = call_attempts + ?12, answered_calls = answered_calls + ?13, duration_seconds = duration_seconds + ?14,
                cost = cost + ?15, version = version + 1
             WHERE id = ?1 AND status = 1",
            )?
            .execute(params![
                held.contact,
                to.code(),
                to.is_terminal().then(|| micros(now)),
                settlement.reason.as_ref().map(|reason| &reason.code),
                settlement.reason.as_ref().map(|reason| &reason.text),
                settlement.due_at.filter(|_| pending).map(micros),
                step.map(|step| step.step),
                step.map(|step| step.channel.code()),
                i64::from(finished.is_some()),
                finished.map(|outcome| outcome.disposition.code()),
                finished.map(|_| handed_over),
                calls as i64,
                answered as i64,
                duration,
                charged.map_or(0, |cost| cost.0),
            ])?;
    if moved != 1 {
        return Err(Fault::damaged(format!("contact {} of an open attempt is not in progress", held.contact)));
    }
    let counts = w.counts(held.campaign);
    counts.moved(ContactStatus::InProgress, to);
    counts.call_attempts += calls as i64;
    counts.answered_calls += answered as i64;
    counts.duration_seconds += duration;
    counts.cost += charged.unwrap_or(Money::ZERO);
    Ok(())
}

fn end_attempt(w: &mut Writer, settlement: &Settlement, finished: Option<&Outcome>, charged: Option<Money>, now: Timestamp) -> Result<()> {
    let state = if finished.is_some() { AttemptState::Settled } else { AttemptState::Refused };
    let seq = finished.map(|_| w.counters.next_seq());
    w.db.conn
        .prepare_cached(
            "UPDATE attempts SET state = ?2, started_at = coalesce(?3, started_at), finished_at = ?4, settled_seq = ?5, disposition = ?6,
                status_after = ?7, duration_seconds = ?8, charged = ?9, cost = ?10, outcome_ref = ?11,
                provider_ref = coalesce(?11, provider_ref), detail = ?12, data = ?13, reason_code = ?14, reason_text = ?15
             WHERE id = ?1",
        )?
        .execute(params![
            settlement.attempt.0,
            state.code(),
            settlement.started_at.map(micros),
            micros(now),
            seq,
            finished.map(|outcome| outcome.disposition.code()),
            settlement.transition.to().code(),
            finished.map(|outcome| outcome.duration_seconds),
            charged.map(|cost| cost.0),
            finished.and_then(|outcome| outcome.cost).map(|cost| cost.0),
            finished.and_then(|outcome| outcome.provider_ref.as_ref()),
            finished.and_then(|outcome| outcome.detail.as_ref()),
            finished.map(data).transpose()?.flatten(),
            settlement.reason.as_ref().map(|reason| &reason.code),
            settlement.reason.as_ref().map(|reason| &reason.text),
        ])?;
    Ok(())
}

fn data(outcome: &Outcome) -> Result<Option<String>> {
    Ok(json(&outcome.data, outcome.data.is_empty())?)
}

/// Replaces the outcome of a settled attempt, and corrects every sum it is part of.
pub(super) fn amend(w: &mut Writer, id: AttemptId, outcome: Outcome) -> Result<Attempt> {
    let attempt = read::must_get_attempt(&w.db, id)?;
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

    let account: Option<Arc<str>> =
        w.db.conn.prepare_cached("SELECT account FROM attempts WHERE id = ?1")?.query_row([id.0], |row| row.get(0)).optional()?.flatten();
    let mut ledgers = Ledgers::new(&w.db);
    for scope in scopes_of(attempt.campaign, account.as_deref(), attempt.from.as_deref()) {
        ledgers.get(scope)?.spent += more_cost;
    }
    ledgers.write()?;
    let sums = params![attempt.contact.0, attempt.run, more_calls, more_answered, more_seconds, more_cost.0];
    let current =
        w.db.conn
            .prepare_cached(
                "UPDATE contacts SET call_attempts = call_attempts + ?3, answered_calls = answered_calls + ?4,
                duration_seconds = duration_seconds + ?5, cost = cost + ?6, version = version + 1
             WHERE id = ?1 AND run = ?2",
            )?
            .execute(sums)?;
    if current > 0 {
        let counts = w.counts(attempt.campaign);
        counts.call_attempts += more_calls;
        counts.answered_calls += more_answered;
        counts.duration_seconds += more_seconds;
        counts.cost += more_cost;
    } else {
        w.db.conn
            .prepare_cached(
                "UPDATE run_results SET call_attempts = call_attempts + ?3, answered_calls = answered_calls + ?4,
                    duration_seconds = duration_seconds + ?5, cost = cost + ?6
                 WHERE contact_id = ?1 AND run = ?2",
            )?
            .execute(sums)?;
    }
    w.db.conn
        .prepare_cached(
            "UPDATE attempts SET disposition = ?2, duration_seconds = ?3, charged = ?4, cost = ?5, outcome_ref = ?6,
                provider_ref = coalesce(?6, provider_ref), detail = ?7, data = ?8
             WHERE id = ?1",
        )?
        .execute(params![
            id.0,
            outcome.disposition.code(),
            outcome.duration_seconds,
            charged.0,
            outcome.cost.map(|cost| cost.0),
            outcome.provider_ref,
            outcome.detail,
            data(&outcome)?,
        ])?;
    read::must_get_attempt(&w.db, id)
}

/// Gives back what the open attempts of a campaign hold, before they are deleted. Whether they were handed over is not known, so
/// their starts stay counted.
pub(super) fn forget_open(w: &mut Writer, campaign: CampaignId) -> Result<()> {
    let mut statement =
        w.db.conn.prepare_cached("SELECT id FROM attempts INDEXED BY attempts_campaign WHERE campaign_id = ?1 AND finished_at IS NULL")?;
    let mut rows = statement.query([campaign.0])?;
    let mut returns = Returns::default();
    while let Some(row) = rows.next()? {
        if let Some(held) = held(&w.db, AttemptId(row.get(0)?))? {
            returns.add(&held, Release::Used(Money::ZERO));
        }
    }
    returns.write(&w.db)
}
