//! Claiming: due contacts, decided on by the gates, each with a slot of its limits and a durable intent.

use super::fault::Outcome as Result;
use super::ledgers::Ledgers;
use super::memo::ClaimMemo;
use super::rows::{self, micros};
use super::suppression::Facts;
use super::writer::Writer;
use super::{campaigns, contacts, nodes, read};
use crate::campaign::CampaignStatus;
use crate::contact::{Contact, ContactStatus, Owner, Reason};
use crate::id::{AttemptId, CampaignId, ContactId};
use crate::outcome::{Attempt, AttemptState};
use crate::policy::gates::Verdict;
use crate::policy::limits::{LimitScope, Pacer, Slot};
use crate::policy::transition::{self, ContactEvent};
use crate::store::codes::Code;
use crate::store::codes::scopes_of;
use crate::store::{ClaimRequest, Claimed, Claims};
use jiff::Timestamp;
use rusqlite::params;
use std::collections::BTreeSet;

/// Candidates read at once; they are read before the index they come from is changed. The first look is short, because a limit often
/// ends a claim after a few.
const FIRST_CHUNK: u32 = 16;
const CHUNK: u32 = 512;

pub(super) fn claim(w: &mut Writer, request: &ClaimRequest) -> Result<Claims> {
    if let Some(memo) = w.memo.claim(request.request_id).cloned() {
        return repeat(w, memo);
    }
    nodes::check_lease(&w.db, request.token, request.now)?;
    let mut claims = Claims { claimed: Vec::new(), campaign_changed: false, block: None, passed_over: 0, more: false, now: request.now };
    if campaigns::standing(&w.db, request.campaign)? != Some((CampaignStatus::Running, request.expected_revision)) {
        claims.campaign_changed = true;
        return Ok(claims);
    }

    let mut ledgers = Vec::new();
    for scope in request.limits.scopes() {
        ledgers.push(super::ledgers::ledger_of(&w.db, &scope.key())?);
    }
    let mut pacer = Pacer::new(&request.limits, ledgers, request.now);
    pick(w, request, &mut pacer, &mut claims)?;

    let mut written = Ledgers::new(&w.db);
    for (scope, ledger) in request.limits.scopes().zip(pacer.ledgers()) {
        *written.get(scope.clone())? = *ledger;
    }
    // Ledgers without a rule in this claim count its attempts all the same, so that settling mirrors claiming.
    let limited: BTreeSet<&LimitScope> = request.limits.scopes().collect();
    for claimed in &claims.claimed {
        for scope in scopes_of(request.campaign, request.account.as_deref(), claimed.attempt.from.as_deref()) {
            if !limited.contains(&scope) {
                written.get(scope)?.in_flight += 1;
            }
        }
    }
    written.write()?;
    w.flush_counts()?;
    if !claims.claimed.is_empty() {
        let attempts = claims.claimed.iter().map(|claimed| claimed.attempt.id).collect();
        let memo = ClaimMemo { attempts, block: claims.block.clone(), passed_over: claims.passed_over, more: claims.more, now: claims.now };
        w.memo.keep_claim(request.request_id, memo);
    }
    Ok(claims)
}

fn pick(w: &mut Writer, request: &ClaimRequest, pacer: &mut Pacer<'_>, claims: &mut Claims) -> Result<()> {
    let since = request.gates.look_back().map(|span| request.now.saturating_sub(span).unwrap_or(Timestamp::MIN));
    let most = u64::from(request.max) + 1_000;
    let horizon = micros(request.limits.horizon);
    let mut looked_at = 0;
    let people = Facts::new(&w.db, Owner::Campaign(request.campaign))?;
    let mut chunk = FIRST_CHUNK;
    for zone in &request.zones {
        let Some(zone) = w.db.zone_id(zone)? else { continue };
        let mut place = (i64::MIN, i64::MIN);
        'chunks: loop {
            // One more than can be claimed says whether more are left.
            let wanted = (request.max - claims.claimed.len() as u32).saturating_add(1).min(chunk);
            chunk = (chunk * 4).min(CHUNK);
            let candidates = due(w, request.campaign, zone, place, horizon, wanted)?;
            let last_chunk = (candidates.len() as u32) < wanted;
            for contact in candidates {
                if claims.claimed.len() >= request.max as usize || looked_at >= most {
                    claims.more = true;
                    return Ok(());
                }
                place = (micros(contact.state.due_at), contact.id.0);
                looked_at += 1;
                let facts = people.about(&w.db, &contact, since, request.now)?;
                match request.gates.decide(&contact, &facts, request.now) {
                    Verdict::Allow => match pacer.take(contact.state.due_at) {
                        Some(slot) => claims.claimed.push(begin(w, request, contact, slot)?),
                        None => {
                            claims.block = pacer.block().cloned();
                            claims.more = true;
                            return Ok(());
                        }
                    },
                    Verdict::NotBefore { until, reason } => {
                        claims.passed_over += 1;
                        let due_at = micros(until.unwrap_or(contact.state.due_at));
                        pass_over(w, contact.id, ContactStatus::Pending, due_at, None, &reason)?;
                        // It comes up once more when it is due before the horizon, perhaps in the chunk at hand.
                        if due_at <= horizon && (due_at, contact.id.0) > place {
                            continue 'chunks;
                        }
                    }
                    Verdict::Never { reason } => {
                        claims.passed_over += 1;
                        let to = transition::contact(ContactStatus::Pending, ContactEvent::Finish(ContactStatus::Skipped))?.to();
                        pass_over(w, contact.id, to, micros(contact.state.due_at), Some(micros(request.now)), &reason)?;
                        w.counts(request.campaign).moved(ContactStatus::Pending, to);
                    }
                }
            }
            if last_chunk {
                break;
            }
        }
    }
    Ok(())
}

/// Due contacts of one zone behind a place in the queue, in order.
pub(super) const DUE: &str = concat!(
    "SELECT ",
    rows::contact_columns!(),
    " FROM contacts INDEXED BY contacts_due
      WHERE owner = ?1 AND zone_id = ?2 AND status = 0 AND due_at <= ?5 AND (due_at, id) > (?3, ?4) ORDER BY due_at, id LIMIT ?6"
);

fn due(w: &Writer, campaign: CampaignId, zone: i64, (due_at, id): (i64, i64), horizon: i64, limit: u32) -> Result<Vec<Contact>> {
    let mut statement = w.db.conn.prepare_cached(DUE)?;
    let mut rows = statement.query(params![campaign.0, zone, due_at, id, horizon, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(rows::contact(&w.db, row)?);
    }
    Ok(found)
}

fn pass_over(w: &Writer, id: ContactId, status: ContactStatus, due_at: i64, completed_at: Option<i64>, reason: &Reason) -> Result<()> {
    w.db.conn
        .prepare_cached(
            "UPDATE contacts SET status = ?2, due_at = ?3, completed_at = ?4, reason_code = ?5, reason_text = ?6, version = version + 1
             WHERE id = ?1",
        )?
        .execute(params![id.0, status.code(), due_at, completed_at, reason.code, reason.text])?;
    Ok(())
}

/// Writes the intent and marks the contact in progress.
fn begin(w: &mut Writer, request: &ClaimRequest, mut contact: Contact, slot: Slot) -> Result<Claimed> {
    let history = if contact.state.attempts == 0 { Vec::new() } else { read::history(&w.db, &contact)? };
    let to = transition::contact(ContactStatus::Pending, ContactEvent::Claim)?.to();
    contact.state.status = to;
    contact.state.reason = None;
    contact.state.completed_at = None;
    contact.state.version += 1;
    w.counters.last_attempt += 1;
    let id = AttemptId(w.counters.last_attempt);
    let attempt = Attempt {
        id,
        key: w.db.key(id),
        campaign: request.campaign,
        contact: contact.id,
        run: contact.state.run,
        number: contact.state.attempts + 1,
        step: contact.state.step.clone().unwrap_or_else(|| request.first_step.clone()),
        from: slot.caller,
        spec_version: request.spec_version,
        state: AttemptState::Claimed,
        claimed_by: request.token,
        claimed_at: request.now,
        start_at: slot.start_at,
        not_after: slot.start_at.saturating_add(request.grace).unwrap_or(Timestamp::MAX),
        reserved: slot.reserved,
        provider_ref: None,
        started_at: None,
        finished_at: None,
        outcome: None,
        reason: None,
    };
    let seq = w.counters.next_seq();
    w.db.conn
        .prepare_cached(
            "UPDATE contacts SET status = ?2, reason_code = NULL, reason_text = NULL, completed_at = NULL, version = ?3 WHERE id = ?1",
        )?
        .execute(params![contact.id.0, to.code(), contact.state.version as i64])?;
    w.db.conn
        .prepare_cached(
            "INSERT INTO attempts (id, campaign_id, contact_id, run, number, step, channel, spec_version, state, node_id, epoch, claimed_at,
                start_at, not_after, reserved, claimed_seq, account, caller, claimed_day)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
        )?
        .execute(params![
            id.0,
            attempt.campaign.0,
            attempt.contact.0,
            attempt.run,
            attempt.number,
            attempt.step.step,
            attempt.step.channel.code(),
            attempt.spec_version,
            attempt.state.code(),
            attempt.claimed_by.node.0,
            attempt.claimed_by.epoch,
            micros(attempt.claimed_at),
            micros(attempt.start_at),
            micros(attempt.not_after),
            attempt.reserved.0,
            seq,
            request.account,
            attempt.from,
            slot.day.map(|day| day.to_string()),
        ])?;
    w.counts(request.campaign).moved(ContactStatus::Pending, to);
    Ok(Claimed { attempt, contact, history })
}

/// The first answer again; the rows are read as they are now.
fn repeat(w: &Writer, memo: ClaimMemo) -> Result<Claims> {
    let mut claimed = Vec::with_capacity(memo.attempts.len());
    for id in memo.attempts {
        let Some(attempt) = read::attempt(&w.db, id)? else { continue };
        let Some(contact) = contacts::get(&w.db, attempt.contact)? else { continue };
        let history = if contact.state.attempts == 0 { Vec::new() } else { read::history(&w.db, &contact)? };
        claimed.push(Claimed { attempt, contact, history });
    }
    Ok(Claims { claimed, campaign_changed: false, block: memo.block, passed_over: memo.passed_over, more: memo.more, now: memo.now })
}
