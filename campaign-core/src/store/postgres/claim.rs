//! Claiming: due contacts, decided on by the gates, each with a slot of its limits and a durable intent.
//!
//! The ledgers are locked first: claims come one after the other wherever they are made, and each sees what the one before it took.
//! Candidates that another transaction holds are passed by, so a claim waits for nothing else.

use super::counts::Deltas;
use super::fault::Outcome as Result;
use super::ledgers::Ledgers;
use super::rows::{self, ATTEMPT, CONTACT, code, stamp, text};
use super::tx::{Tx, params};
use super::zones::ZoneIds;
use super::{campaigns, contacts, events, ledgers, memo, nodes, queue, read, suppression};
use crate::campaign::CampaignStatus;
use crate::contact::{Contact, ContactStatus, Reason};
use crate::event::{Event, EventKind};
use crate::id::{AttemptId, CampaignId, ContactId};
use crate::outcome::{Attempt, AttemptState};
use crate::policy::gates::Verdict;
use crate::policy::limits::{LimitBlock, LimitScope, Pacer, Slot};
use crate::policy::transition::{self, ContactEvent};
use crate::store::codes::{attempt_key, scopes_of};
use crate::store::{ClaimRequest, Claimed, Claims};
use futures_util::try_join;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};

/// Candidates read at once.
const CHUNK: u32 = 1_024;

/// What a claim answered; the rows are read again when it is repeated.
#[derive(Serialize, Deserialize)]
struct Memo {
    attempts: Vec<i64>,
    block: Option<LimitBlock>,
    passed_over: u32,
    more: bool,
    now: Timestamp,
}

/// A candidate with its slot.
struct Chosen {
    contact: Contact,
    slot: Slot,
}

/// A candidate the gates do not let through now, or ever.
struct PassedOver {
    id: ContactId,
    status: ContactStatus,
    due_at: Timestamp,
    completed_at: Option<Timestamp>,
    reason: Reason,
}

pub(super) async fn claim(tx: &Tx, request: &ClaimRequest, zones: &ZoneIds) -> Result<Claims> {
    let mut claims = Claims { claimed: Vec::new(), campaign_changed: false, block: None, passed_over: 0, more: false, now: request.now };
    let account = request.account.as_deref();
    let limited: BTreeSet<LimitScope> = request.limits.scopes().cloned().collect();
    let counted: BTreeSet<LimitScope> = scopes_of(request.campaign, account, None).collect();
    let keys = ledgers::keys(limited.union(&counted).cloned());
    let (mut ledgers, memo, now, lease, standing) = loop {
        // All others wait from the first of these until the end, so they go out together; the server answers them one after the other.
        let (ledgers, memo, now, lease, standing) = try_join!(
            Ledgers::lock_all(tx, &keys),
            // A call that was given up while it committed has an answer by now.
            memo::find::<Memo>(tx, request.request_id),
            // After the lock, so that time has not passed between a slot and the moment it is reckoned from.
            tx.now(request.now),
            nodes::lease(tx, request.token),
            campaigns::hold(tx, request.campaign),
        )?;
        match ledgers {
            Some(ledgers) => break (ledgers, memo, now, lease, standing),
            None => ledgers::make(tx, &keys).await?,
        }
    };
    if let Some(memo) = memo {
        return repeat(tx, memo).await;
    }
    claims.now = now;
    nodes::in_lease(request.token, lease, now)?;
    if standing != Some((CampaignStatus::Running, request.expected_revision)) {
        claims.campaign_changed = true;
        return Ok(claims);
    }

    let mut pacer = Pacer::new(&request.limits, request.limits.scopes().map(|scope| *ledgers.get(scope)).collect(), now);
    let mut deltas = Deltas::default();
    let chosen = pick(tx, request, zones, now, &mut pacer, &mut claims, &mut deltas).await?;
    for (scope, ledger) in request.limits.scopes().zip(pacer.ledgers()) {
        *ledgers.get(scope) = *ledger;
    }
    // Ledgers without a rule in this claim count its attempts all the same, so that settling mirrors claiming.
    for scope in counted.difference(&limited) {
        ledgers.get(scope).in_flight += chosen.len() as u32;
    }
    if chosen.is_empty() {
        deltas.write(tx).await?;
        return Ok(claims);
    }
    let (claimed, days) = intents(tx, request, now, chosen).await?;
    claims.claimed = claimed;
    deltas.of(request.campaign).add(ContactStatus::Pending, -(claims.claimed.len() as i64));
    deltas.of(request.campaign).add(ContactStatus::InProgress, claims.claimed.len() as i64);
    let attempts = claims.claimed.iter().map(|claimed| claimed.attempt.id.0).collect();
    let memo = Memo { attempts, block: claims.block.clone(), passed_over: claims.passed_over, more: claims.more, now };
    let told: Vec<Event> = claims.claimed.iter().map(|claimed| started(&claimed.attempt)).collect();
    try_join!(
        write(tx, request, now, &claims.claimed, &days),
        ledgers.write(tx),
        memo::keep(tx, request.request_id, &memo),
        deltas.write(tx),
        events::write(tx, now, &told),
        tx.commit(),
    )?;
    Ok(claims)
}

fn started(attempt: &Attempt) -> Event {
    let kind = EventKind::ContactStarted { contact_id: attempt.contact, attempt_id: attempt.id, channel: attempt.step.channel };
    Event { campaign_id: attempt.campaign, at: attempt.claimed_at, kind }
}

async fn pick(
    tx: &Tx,
    request: &ClaimRequest,
    zones: &ZoneIds,
    now: Timestamp,
    pacer: &mut Pacer<'_>,
    claims: &mut Claims,
    deltas: &mut Deltas,
) -> Result<Vec<Chosen>> {
    let since = request.gates.look_back().map(|span| now.saturating_sub(span).unwrap_or(Timestamp::MIN));
    let most = u64::from(request.max) + 1_000;
    let horizon = stamp(request.limits.horizon);
    let (mut chosen, mut passed) = (Vec::new(), Vec::new());
    let mut looked_at = 0;
    // Reading locks, so no more is read than the limits have room for.
    let mut chunk = pacer.room(request.max).saturating_add(1).min(CHUNK);
    for zone in &request.zones {
        let Some(zone) = zones.get(zone) else { continue };
        let mut place: Option<(Timestamp, ContactId)> = None;
        'chunks: loop {
            // One more than can be claimed says whether more are left.
            let wanted = (request.max - chosen.len() as u32).saturating_add(1).min(chunk);
            chunk = CHUNK;
            let candidates = due(tx, request.campaign, zone, place, horizon, wanted).await?;
            let last_chunk = (candidates.len() as u32) < wanted;
            let facts = suppression::about(tx, &candidates, since, now).await?;
            for (contact, facts) in candidates.into_iter().zip(facts) {
                if chosen.len() >= request.max as usize || looked_at >= most {
                    claims.more = true;
                    pass_over(tx, request.campaign, &mut passed, claims, deltas).await?;
                    return Ok(chosen);
                }
                let here = (contact.state.due_at, contact.id);
                place = Some(here);
                looked_at += 1;
                match request.gates.decide(&contact, &facts, now) {
                    Verdict::Allow => match pacer.take(contact.state.due_at) {
                        Some(slot) => chosen.push(Chosen { contact, slot }),
                        None => {
                            claims.block = pacer.block().cloned();
                            claims.more = true;
                            pass_over(tx, request.campaign, &mut passed, claims, deltas).await?;
                            return Ok(chosen);
                        }
                    },
                    Verdict::NotBefore { until, reason } => {
                        let due_at = stamp(until.unwrap_or(contact.state.due_at));
                        passed.push(PassedOver { id: contact.id, status: ContactStatus::Pending, due_at, completed_at: None, reason });
                        // It comes up once more when it is due before the horizon, perhaps in the chunk at hand.
                        if due_at <= horizon && (due_at, contact.id) > here {
                            pass_over(tx, request.campaign, &mut passed, claims, deltas).await?;
                            continue 'chunks;
                        }
                    }
                    Verdict::Never { reason } => {
                        let status = transition::contact(ContactStatus::Pending, ContactEvent::Finish(ContactStatus::Skipped))?.to();
                        let due_at = contact.state.due_at;
                        passed.push(PassedOver { id: contact.id, status, due_at, completed_at: Some(now), reason });
                    }
                }
            }
            pass_over(tx, request.campaign, &mut passed, claims, deltas).await?;
            if last_chunk {
                break;
            }
        }
    }
    Ok(chosen)
}

/// Due contacts of one zone behind a place in the queue, in order, locked; those that others hold are left out.
async fn due(
    tx: &Tx,
    campaign: CampaignId,
    zone: i32,
    place: Option<(Timestamp, ContactId)>,
    horizon: Timestamp,
    limit: u32,
) -> Result<Vec<Contact>> {
    let (due_at, id) = place.map(|(due_at, id)| (due_at, id.0)).unzip();
    let sql = format!(
        "SELECT {CONTACT} FROM queue q JOIN contacts c ON c.id = q.contact_id JOIN zones z ON z.id = c.zone_id
         WHERE q.owner = $1 AND q.zone_id = $2 AND q.due_at <= $5 AND ($3 IS NULL OR (q.due_at, q.contact_id) > ($3, $4))
         ORDER BY q.due_at, q.contact_id LIMIT $6 FOR UPDATE OF q, c SKIP LOCKED"
    );
    rows::contacts(&tx.query(&sql, params![campaign.0, zone, due_at, id, horizon, i64::from(limit)]).await?)
}

/// Writes down what the gates said of those they did not let through, and forgets them.
async fn pass_over(tx: &Tx, campaign: CampaignId, passed: &mut Vec<PassedOver>, claims: &mut Claims, deltas: &mut Deltas) -> Result<()> {
    if passed.is_empty() {
        return Ok(());
    }
    claims.passed_over += passed.len() as u32;
    let ids: Vec<i64> = passed.iter().map(|passed| passed.id.0).collect();
    let statuses: Vec<i16> = passed.iter().map(|passed| code(passed.status)).collect();
    let due_at: Vec<Timestamp> = passed.iter().map(|passed| passed.due_at).collect();
    let completed_at: Vec<Option<Timestamp>> = passed.iter().map(|passed| passed.completed_at).collect();
    let reasons: Vec<String> = passed.iter().map(|passed| text(&passed.reason.code)).collect();
    let words: Vec<String> = passed.iter().map(|passed| text(&passed.reason.text)).collect();
    queue::take_out(tx, &ids).await?;
    tx.execute(
        "UPDATE contacts c SET status = n.status, due_at = n.due_at, completed_at = n.completed_at, reason_code = n.code,
            reason_text = n.words, version = version + 1
         FROM unnest($1, $2, $3, $4, $5, $6) AS n (id, status, due_at, completed_at, code, words) WHERE c.id = ANY ($1) AND c.id = n.id",
        params![ids, statuses, due_at, completed_at, reasons, words],
    )
    .await?;
    queue::put_in(tx, &ids).await?;
    for passed in passed.drain(..) {
        deltas.of(campaign).moved(ContactStatus::Pending, passed.status);
    }
    Ok(())
}

/// The intents, with the days of quotas they count for; not written yet.
async fn intents(tx: &Tx, request: &ClaimRequest, now: Timestamp, chosen: Vec<Chosen>) -> Result<(Vec<Claimed>, Vec<Option<Date>>)> {
    let (people, slots): (Vec<Contact>, Vec<Slot>) = chosen.into_iter().map(|chosen| (chosen.contact, chosen.slot)).unzip();
    let (ids, mut histories) = try_join!(contacts::next_ids(tx, "attempt_ids", people.len()), read::histories(tx, &people))?;
    let to = transition::contact(ContactStatus::Pending, ContactEvent::Claim)?.to();
    let mut days = Vec::with_capacity(ids.len());
    let mut claimed = Vec::with_capacity(ids.len());
    for ((id, mut contact), slot) in ids.into_iter().zip(people).zip(slots) {
        contact.state.status = to;
        contact.state.reason = None;
        contact.state.completed_at = None;
        contact.state.version += 1;
        let id = AttemptId(id);
        days.push(slot.day);
        let attempt = Attempt {
            id,
            key: attempt_key(tx.store_id(), id),
            campaign: request.campaign,
            contact: contact.id,
            run: contact.state.run,
            number: contact.state.attempts + 1,
            step: contact.state.step.clone().unwrap_or_else(|| request.first_step.clone()),
            from: slot.caller,
            spec_version: request.spec_version,
            state: AttemptState::Claimed,
            claimed_by: request.token,
            claimed_at: now,
            start_at: slot.start_at,
            not_after: slot.start_at.saturating_add(request.grace).unwrap_or(Timestamp::MAX),
            reserved: slot.reserved,
            provider_ref: None,
            started_at: None,
            finished_at: None,
            outcome: None,
            reason: None,
        };
        let history = histories.remove(&contact.id).unwrap_or_default();
        claimed.push(Claimed { attempt, contact, history });
    }
    Ok((claimed, days))
}

/// Writes the intents and marks the contacts in progress.
async fn write(tx: &Tx, request: &ClaimRequest, now: Timestamp, claimed: &[Claimed], days: &[Option<Date>]) -> Result<()> {
    let contact_ids: Vec<i64> = claimed.iter().map(|claimed| claimed.contact.id.0).collect();
    let Some(to) = claimed.first().map(|claimed| claimed.contact.state.status) else { return Ok(()) };
    let of = |take: fn(&Attempt) -> i64| -> Vec<i64> { claimed.iter().map(|claimed| take(&claimed.attempt)).collect() };
    let small = |take: fn(&Attempt) -> u32| -> Vec<i32> { claimed.iter().map(|claimed| take(&claimed.attempt) as i32).collect() };
    let (ids, reserved) = (of(|attempt| attempt.id.0), of(|attempt| attempt.reserved.0));
    let (runs, numbers, steps) = (small(|attempt| attempt.run), small(|attempt| attempt.number), small(|attempt| attempt.step.step));
    let channels: Vec<i16> = claimed.iter().map(|claimed| code(claimed.attempt.step.channel)).collect();
    let starts: Vec<Timestamp> = claimed.iter().map(|claimed| stamp(claimed.attempt.start_at)).collect();
    let ends: Vec<Timestamp> = claimed.iter().map(|claimed| claimed.attempt.not_after).collect();
    let callers: Vec<Option<&str>> = claimed.iter().map(|claimed| claimed.attempt.from.as_deref()).collect();
    let days = days.to_vec();
    let token = request.token;
    let take_out = queue::take_out(tx, &contact_ids);
    let insert = async {
        tx.execute(
            "INSERT INTO open_attempts (id, campaign_id, contact_id, run, number, step, channel, spec_version, state, node_id, epoch,
            claimed_at, start_at, not_after, reserved, caller, account, claimed_day)
         SELECT n.id, $1, n.contact, n.run, n.number, n.step, n.channel, $2, $3, $4, $5, $6, n.start_at, n.not_after, n.reserved,
            n.caller, $7, n.day
         FROM unnest($8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
            AS n (id, contact, run, number, step, channel, start_at, not_after, reserved, caller, day)",
            params![
                request.campaign.0,
                request.spec_version as i32,
                code(AttemptState::Claimed),
                token.node.0,
                token.epoch,
                now,
                request.account.as_deref(),
                ids,
                contact_ids,
                runs,
                numbers,
                steps,
                channels,
                starts,
                ends,
                reserved,
                callers,
                days,
            ],
        )
        .await
    };
    let mark = async {
        tx.execute(
            "UPDATE contacts SET status = $2, reason_code = NULL, reason_text = NULL, completed_at = NULL, version = version + 1
         WHERE id = ANY ($1)",
            params![contact_ids, code(to)],
        )
        .await
    };
    try_join!(take_out, insert, mark)?;
    Ok(())
}

/// The first answer again; the rows are read as they are now.
async fn repeat(tx: &Tx, memo: Memo) -> Result<Claims> {
    let found = tx.query(&format!("SELECT {ATTEMPT} FROM all_attempts WHERE id = ANY ($1) ORDER BY id"), params![memo.attempts]).await?;
    let attempts = rows::attempts(tx.store_id(), &found)?;
    let of: Vec<i64> = attempts.iter().map(|attempt| attempt.contact.0).collect();
    let people = contacts::by_ids(tx, &of).await?;
    let mut histories = read::histories(tx, &people).await?;
    let people: HashMap<ContactId, Contact> = people.into_iter().map(|contact| (contact.id, contact)).collect();
    let mut claimed = Vec::with_capacity(attempts.len());
    for attempt in attempts {
        if let Some(contact) = people.get(&attempt.contact).cloned() {
            claimed.push(Claimed { history: histories.remove(&contact.id).unwrap_or_default(), attempt, contact });
        }
    }
    Ok(Claims { claimed, campaign_changed: false, block: memo.block, passed_over: memo.passed_over, more: memo.more, now: memo.now })
}
