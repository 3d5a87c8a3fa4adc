//! Nodes, claim, settle, take-over.

use super::*;
use crate::outcome::AttemptState;
use crate::policy::limits::{Budget, DayQuota, LimitKind};
use jiff::civil::Date;
use std::collections::BTreeSet;

fn utc() -> ZoneKey {
    ZoneKey::from_names(["UTC"])
}

fn rules(campaign: CampaignId, change: impl FnOnce(&mut LimitRules)) -> Vec<LimitRules> {
    let mut own = LimitRules::new(LimitScope::Campaign(campaign));
    change(&mut own);
    vec![LimitRules::new(LimitScope::Deployment), own]
}

fn limited(mut request: ClaimRequest, change: impl FnOnce(&mut LimitRules)) -> ClaimRequest {
    request.limits.shared = rules(request.campaign, change);
    request
}

fn contacts_of(attempts: &[Attempt]) -> Vec<ContactId> {
    attempts.iter().map(|attempt| attempt.contact).collect()
}

pub(super) async fn tokens_grow_and_leases_end(desk: Desk) -> Checked {
    let new = |name: &str, now| NewNode { name: name.to_owned(), lease: minutes(1), now };
    let first = desk.store.register_node(new("first", at(0))).await?;
    let second = desk.store.register_node(new("second", at(0))).await?;
    hold("every registration gets a fencing token higher than every earlier one", second.token.epoch > first.token.epoch, || {
        format!("{} came after {}", second.token.epoch, first.token.epoch)
    })?;
    same("a store has one id", first.store_id, second.store_id)?;
    let names = async |now| -> Result<Vec<String>> {
        let mut names: Vec<String> = desk.store.nodes(now).await?.into_iter().map(|node| node.name).collect();
        names.sort();
        Ok(names)
    };
    const LIVE: &str = "nodes lists registered nodes whose lease has not run out";
    same(LIVE, names(at(30)).await?, vec!["first".to_owned(), "second".to_owned()])?;
    desk.store.renew_node(RenewNode { token: first.token, lease: minutes(5), now: at(30) }).await?;
    same(LIVE, names(at(90)).await?, vec!["first".to_owned()])?;
    const STALE: &str = "a lease that has run out cannot be renewed: Stale";
    fails(STALE, desk.store.renew_node(RenewNode { token: second.token, lease: minutes(5), now: at(90) }).await, Kind::Stale)?;
    let record = desk.running("Leased").await?;
    desk.people(record.id, 1, 2).await?;
    let refused = desk.store.claim(everything(&record, second.token, at(90))).await;
    fails("claim fails with Stale when the node's lease is gone", refused, Kind::Stale)?;
    desk.claim(ClaimRequest { max: 1, ..everything(&record, first.token, at(90)) }).await?;
    let held: Vec<u64> = desk.store.nodes(at(91)).await?.into_iter().map(|node| node.in_flight).collect();
    same("nodes says how many open attempts each holds", held, vec![1])?;
    desk.store.retire_node(first.token).await?;
    desk.store.retire_node(first.token).await?;
    desk.store.retire_node(NodeToken { node: crate::id::NodeId(1 << 40), epoch: 1 << 40 }).await?;
    same("retire_node ends the lease at once", names(at(91)).await?, vec![])?;
    let refused = desk.store.claim(everything(&record, first.token, at(91))).await;
    fails("claim fails with Stale when the node was retired", refused, Kind::Stale)
}

pub(super) async fn claims_follow_the_queue(desk: Desk) -> Checked {
    let record = desk.running("Queue").await?;
    let owner = Owner::Campaign(record.id);
    let mut ids = Vec::new();
    for (number, zone, due) in
        [(1, "UTC", 30), (2, "UTC", 10), (3, "Asia/Tokyo", 5), (4, "UTC", 10), (5, "Asia/Tokyo", 1), (6, "Africa/Lagos", 0)]
    {
        ids.push(id_of(desk.add(owner, vec![person(number, zone)], at(due)).await?[0]));
    }
    let token = desk.node(at(0)).await?;
    let zones = vec![ZoneKey::from_names(["Asia/Tokyo"]), utc()];
    let request = || ClaimRequest { zones: zones.clone(), max: 3, account: Some("main".into()), ..everything(&record, token, at(100)) };
    let claims = desk.store.claim(request()).await?;
    let first: Vec<Attempt> = claims.claimed.iter().map(|claimed| claimed.attempt.clone()).collect();
    const ORDER: &str =
        "candidates come by zone in the order given, within a zone by due time, then id; at most `max`, of the given zones only";
    same(ORDER, contacts_of(&first), vec![ids[4], ids[2], ids[1]])?;
    same("`more` says that candidates are left", claims.more, true)?;
    let attempt = &first[0];
    let seen = (
        attempt.campaign,
        attempt.contact,
        attempt.run,
        attempt.number,
        attempt.state,
        attempt.claimed_by,
        attempt.claimed_at,
        attempt.spec_version,
    );
    same(
        "an intent says what it is for and who holds it",
        seen,
        (record.id, ids[4], 1, 1, AttemptState::Claimed, token, at(100), record.spec_version),
    )?;
    same("an attempt without a planned step carries out the first step", attempt.step.clone(), step(0, Channel::Call))?;
    let grace = attempt.start_at.saturating_add(SignedDuration::from_secs(5)).ok();
    same("`not_after` is the slot plus the grace", Some(attempt.not_after), grace)?;
    same("a claimed contact is in progress", claims.claimed[0].contact.state.status, ContactStatus::InProgress)?;
    same("the claimed contact is what is stored", desk.contact(ids[4]).await?, claims.claimed[0].contact.clone())?;
    let keys: BTreeSet<_> = first.iter().map(|attempt| attempt.key.clone()).collect();
    same("idempotency keys are unique", keys.len(), 3)?;
    same("the account's ledger counts the attempts, limited or not", desk.ledger(LimitScope::Account("main".into())).await?.in_flight, 3)?;
    let claims = desk.store.claim(request()).await?;
    let rest: Vec<ContactId> = claims.claimed.iter().map(|claimed| claimed.attempt.contact).collect();
    same(ORDER, rest, vec![ids[3], ids[0]])?;
    same("`more` is false when nothing due is left in the zones", claims.more, false)?;
    same("counts follow a claim", desk.counts(record.id).await?.of(ContactStatus::InProgress), 5)
}

pub(super) async fn claims_stop_at_the_horizon(desk: Desk) -> Checked {
    let record = desk.running("Horizon").await?;
    let owner = Owner::Campaign(record.id);
    for (number, due) in [(1, 10), (2, 11), (3, 12)] {
        desk.add(owner, vec![person(number, "UTC")], at(due)).await?;
    }
    let token = desk.node(at(0)).await?;
    let mut request = everything(&record, token, at(10));
    request.limits.horizon = at(11);
    let attempts = desk.claim(request).await?;
    same("contacts with `due_at` up to the horizon are claimed", attempts.len(), 2)?;
    same(
        "no attempt starts before its contact is due",
        attempts.iter().map(|attempt| attempt.start_at).collect::<Vec<_>>(),
        vec![at(10), at(11)],
    )
}

pub(super) async fn a_claim_is_repeated(desk: Desk) -> Checked {
    let record = desk.running("Repeated").await?;
    desk.people(record.id, 1, 5).await?;
    let token = desk.node(at(0)).await?;
    let request = limited(ClaimRequest { max: 2, ..everything(&record, token, at(0)) }, |own| own.concurrency = Some(4));
    let first = desk.store.claim(request.clone()).await?;
    let second = desk.store.claim(request).await?;
    let attempts = |claims: &Claims| claims.claimed.iter().map(|claimed| claimed.attempt.clone()).collect::<Vec<_>>();
    same("repeating a request_id of claim returns what the first call returned", attempts(&second), attempts(&first))?;
    same("a repeated claim claims nothing more", desk.counts(record.id).await?.of(ContactStatus::InProgress), 2)?;
    same("a repeated claim reserves nothing more", desk.ledger(LimitScope::Campaign(record.id)).await?.in_flight, 2)
}

pub(super) async fn nothing_is_claimed_without_leave(desk: Desk) -> Checked {
    let record = desk.draft("Draft").await?;
    desk.people(record.id, 1, 1).await?;
    let token = desk.node(at(0)).await?;
    let claims = desk.store.claim(everything(&record, token, at(0))).await?;
    const STATE: &str = "nothing is claimed when the campaign is not running, and the answer says so";
    same(STATE, (claims.claimed.len(), claims.campaign_changed), (0, true))?;
    let running = desk.save(CampaignRecord { status: CampaignStatus::Running, ..record.clone() }, at(1)).await?;
    let old = ClaimRequest { expected_revision: record.revision, ..everything(&running, token, at(2)) };
    let claims = desk.store.claim(old).await?;
    const REVISION: &str = "nothing is claimed when the revision is not the expected one, and the answer says so";
    same(REVISION, (claims.claimed.len(), claims.campaign_changed), (0, true))?;
    let claims = desk.store.claim(everything(&running, token, at(2))).await?;
    same("what is due is claimed otherwise", (claims.claimed.len(), claims.campaign_changed), (1, false))
}

pub(super) async fn gates_take_no_slot(desk: Desk) -> Checked {
    let record = desk.running("Gated").await?;
    let owner = Owner::Campaign(record.id);
    let mut people: Vec<NewContact> = (1..=3).map(|number| person(number, "UTC")).collect();
    people[1].consent = Some(crate::contact::Consent { given_at: at(0), source: None, channels: Vec::new() });
    let ids: Vec<ContactId> = desk.add(owner, people, at(0)).await?.into_iter().map(id_of).collect();
    let token = desk.node(at(0)).await?;
    let gates = ClaimGates { consent_required: true, ..ClaimGates::default() };
    let request = ClaimRequest { gates, ..everything(&record, token, at(1)) };
    let claims = desk.store.claim(limited(request, |own| own.concurrency = Some(1))).await?;
    let claimed: Vec<ContactId> = claims.claimed.iter().map(|claimed| claimed.contact.id).collect();
    same("a candidate that is ruled out takes no slot", (claimed, claims.passed_over, claims.block), (vec![ids[1]], 2, None))?;
    let state = desk.contact(ids[0]).await?.state;
    let seen = (state.status, state.reason.map(|reason| reason.code.to_string()), state.completed_at);
    same(
        "a candidate that is ruled out becomes skipped with its reason",
        seen,
        (ContactStatus::Skipped, Some("no_consent".to_owned()), Some(at(1))),
    )?;
    desk.counts(record.id).await?;
    Ok(())
}

pub(super) async fn concurrency_holds(desk: Desk) -> Checked {
    let record = desk.running("Concurrency").await?;
    desk.people(record.id, 1, 5).await?;
    let token = desk.node(at(0)).await?;
    let request = || limited(everything(&record, token, at(0)), |own| own.concurrency = Some(2));
    let claims = desk.store.claim(request()).await?;
    let block = claims.block.as_ref().map(|block| (block.scope.clone(), block.limit));
    const LIMIT: &str = "attempts in flight never exceed a limit, and the answer names the limit that ended the claim";
    same(LIMIT, (claims.claimed.len(), block), (2, Some((LimitScope::Campaign(record.id), LimitKind::Concurrency))))?;
    same(LIMIT, desk.store.claim(request()).await?.claimed.len(), 0)?;
    let other = desk.running("Other").await?;
    desk.people(other.id, 1, 5).await?;
    let mut shared = everything(&other, token, at(0));
    shared.limits.shared[0].concurrency = Some(3);
    same("a limit of the deployment holds over campaigns", desk.store.claim(shared).await?.claimed.len(), 1)?;
    let done = finish(&claims.claimed[0].attempt, Outcome::answered(1), ContactStatus::Completed)?;
    desk.settle(token, vec![done], at(1)).await?;
    same("a settlement gives back its place", desk.store.claim(request()).await?.claimed.len(), 1)
}

pub(super) async fn slots_keep_their_distance(desk: Desk) -> Checked {
    let record = desk.running("Paced").await?;
    desk.people(record.id, 1, 10).await?;
    desk.add(Owner::Campaign(record.id), (11..=16).map(|number| person(number, "Europe/Paris")).collect(), at(3)).await?;
    let token = desk.node(at(0)).await?;
    let rate = Rate::per_minute(60);
    let mut starts = Vec::new();
    // The first claim meets contacts that are all due at the same later moment, while slots before it are free.
    for (now, zone) in [(0, "Europe/Paris"), (1, "UTC"), (2, "UTC"), (9, "UTC")] {
        let zones = vec![ZoneKey::from_names([zone])];
        let mut request = limited(ClaimRequest { zones, ..everything(&record, token, at(now)) }, |own| own.rate = Some(rate));
        request.limits.horizon = at(now + 4);
        let claims = desk.store.claim(request).await?;
        let block = claims.block.map(|block| (block.scope, block.limit));
        same("a rate ends a claim at the horizon", block, Some((LimitScope::Campaign(record.id), LimitKind::Rate)))?;
        for claimed in &claims.claimed {
            let (attempt, due_at) = (&claimed.attempt, claimed.contact.state.due_at);
            hold(
                "an attempt starts at its slot, not before `now`, its contact's due time, or after the horizon",
                attempt.start_at >= at(now).max(due_at) && attempt.start_at <= at(now + 4),
                || format!("it starts at {} while it is {}", attempt.start_at, at(now)),
            )?;
            starts.push(attempt.start_at);
        }
    }
    hold("slots are handed out until the rate ends them", starts.len() >= 6, || format!("only {} were", starts.len()))?;
    starts.sort_unstable();
    for pair in starts.windows(2) {
        let distance = pair[1].duration_since(pair[0]);
        hold("slots of a rate are at least its interval apart, also for contacts that are due later", distance >= rate.interval(), || {
            format!("two are {distance:?} apart")
        })?;
    }
    Ok(())
}

pub(super) async fn days_and_money_run_out(desk: Desk) -> Checked {
    let record = desk.running("Bounded").await?;
    desk.people(record.id, 1, 20).await?;
    let token = desk.node(at(0)).await?;
    let quota = DayQuota { max: 3, day: Date::constant(2026, 3, 2), ends_at: at(40_000) };
    let daily = |now| limited(everything(&record, token, now), |own| own.day = Some(quota));
    let claims = desk.store.claim(daily(at(0))).await?;
    let block = claims.block.map(|block| (block.limit, block.opens_at));
    same("starts per day are never exceeded", (claims.claimed.len(), block), (3, Some((LimitKind::CallsPerDay, Some(at(40_000))))))?;
    let done = finish(&claims.claimed[0].attempt, Outcome::answered(1).with_cost(Money(40)), ContactStatus::Completed)?;
    desk.settle(token, vec![done], at(1)).await?;
    same("a finished attempt does not give back its start", desk.store.claim(daily(at(2))).await?.claimed.len(), 0)?;
    let budget = Budget { limit: Money(100), per_attempt: Money(25) };
    let claims = desk.store.claim(limited(everything(&record, token, at(3)), |own| own.budget = Some(budget))).await?;
    let limit = claims.block.map(|block| block.limit);
    same("money spent and reserved never exceeds the budget", (claims.claimed.len(), limit), (2, Some(LimitKind::Budget)))?;
    same("an attempt records what it reserved", claims.claimed[0].attempt.reserved, Money(25))?;
    let ledger = desk.ledger(LimitScope::Campaign(record.id)).await?;
    same("the ledger knows money spent and reserved", (ledger.spent, ledger.reserved), (Money(40), Money(50)))?;
    let done = finish(&claims.claimed[0].attempt, Outcome::answered(1), ContactStatus::Completed)?;
    let reply = desk.settle(token, vec![done], at(4)).await?;
    same("an outcome that names no cost cost what was reserved", reply.campaigns.first().map(|campaign| campaign.spent), Some(Money(65)))?;
    same("an outcome that names no cost cost what was reserved", desk.counts(record.id).await?.cost, Money(65))?;
    let ledger = desk.ledger(LimitScope::Campaign(record.id)).await?;
    same("a settlement gives back what was reserved", (ledger.spent, ledger.reserved), (Money(65), Money(25)))
}

pub(super) async fn callers_take_turns(desk: Desk) -> Checked {
    let record = desk.running("Callers").await?;
    desk.people(record.id, 1, 10).await?;
    let token = desk.node(at(0)).await?;
    let caller =
        |name: &str, concurrency| LimitRules { concurrency: Some(concurrency), ..LimitRules::new(LimitScope::Caller(name.into())) };
    let mut request = everything(&record, token, at(0));
    request.limits.callers = vec![caller("a", 1), caller("b", 2), caller("c", 2)];
    let claims = desk.store.claim(request).await?;
    let mut used: Vec<String> = claims.claimed.iter().filter_map(|claimed| claimed.attempt.from.as_deref().map(str::to_owned)).collect();
    same("attempts are spread over the callers", used.iter().take(3).cloned().collect::<BTreeSet<_>>().len(), 3)?;
    used.sort();
    same("each caller holds its own limit", used, ["a", "b", "b", "c", "c"].map(str::to_owned).to_vec())?;
    same("when every caller is at its limit the answer says so", claims.block.map(|block| block.limit), Some(LimitKind::CallerIds))?;
    same("a caller's ledger counts its attempts", desk.ledger(LimitScope::Caller("b".into())).await?.in_flight, 2)
}

pub(super) async fn settling_ends_an_attempt(desk: Desk) -> Checked {
    let record = desk.running("Settled").await?;
    desk.people(record.id, 1, 3).await?;
    let token = desk.node(at(0)).await?;
    let attempts = desk.claim(everything(&record, token, at(0))).await?;
    let unknown = Attempt { id: crate::id::AttemptId(1 << 40), ..attempts[0].clone() };
    let outcome = Outcome::answered(42).with_cost(Money(9)).with_detail("Fine").with_provider_ref("ref-1");
    let mut first = finish(&attempts[1], outcome.clone(), ContactStatus::Completed)?;
    first.started_at = Some(at(1));
    let batch = vec![
        first.clone(),
        finish(&unknown, Outcome::answered(1), ContactStatus::Completed)?,
        again(&attempts[0], AttemptEnd::Finished(Outcome::new(Disposition::NoAnswer)), at(300), step(1, Channel::Sms))?,
        first,
    ];
    let reply = desk.settle(token, batch, at(50)).await?;
    let want = vec![SettleAck::Settled, SettleAck::Stale, SettleAck::Settled, SettleAck::Stale];
    same("answers are in the order of the batch, and what is settled already or unknown is Stale", reply.acks, want)?;
    let standing = reply.campaigns.iter().find(|campaign| campaign.campaign == record.id).map(|campaign| (campaign.open, campaign.spent));
    same("the reply says for each campaign how many contacts are open and what was spent", standing, Some((2, Money(9))))?;
    let stored = desk.store.attempts(AttemptQuery { id: Some(attempts[1].id), ..Default::default() }).await?.items;
    let seen = stored.first().map(|attempt| {
        (
            attempt.state,
            attempt.started_at,
            attempt.finished_at,
            attempt.outcome.clone(),
            attempt.reason.clone(),
            attempt.provider_ref.clone(),
        )
    });
    let want = (AttemptState::Settled, Some(at(1)), Some(at(50)), Some(outcome), Some(reason("reached")), Some("ref-1".to_owned()));
    same("a settled attempt keeps its outcome, moments and reason", seen, Some(want))?;
    let state = desk.contact(attempts[1].contact).await?.state;
    let seen = (state.status, state.attempts, state.last_disposition, state.last_attempt_at, state.completed_at);
    same("a settlement changes the contact", seen, (ContactStatus::Completed, 1, Some(Disposition::Answered), Some(at(1)), Some(at(50))))?;
    let seen = (state.answered_calls, state.call_attempts, state.duration_seconds, state.cost);
    same("a settlement adds to the sums of the contact", seen, (1, 1, 42, Money(9)))?;
    let state = desk.contact(attempts[0].contact).await?.state;
    let seen = (state.status, state.attempts, state.due_at, state.step, state.completed_at);
    same(
        "a contact that is tried again is pending with the new due time and step",
        seen,
        (ContactStatus::Pending, 1, at(300), Some(step(1, Channel::Sms)), None),
    )?;
    let counts = desk.counts(record.id).await?;
    same(
        "counts follow a settlement",
        (counts.call_attempts, counts.answered_calls, counts.duration_seconds, counts.cost),
        (2, 1, 42, Money(9)),
    )?;
    same("a settlement gives back its place", desk.ledger(LimitScope::Campaign(record.id)).await?.in_flight, 1)?;
    same("nothing is due before its time", desk.claim(everything(&record, token, at(299))).await?.len(), 0)?;
    let next = desk.claim(everything(&record, token, at(300))).await?;
    let seen: Vec<_> = next.iter().map(|attempt| (attempt.contact, attempt.number, attempt.step.clone())).collect();
    same("the next attempt has the next number and the planned step", seen, vec![(attempts[0].contact, 2, step(1, Channel::Sms))])?;
    let sent = finish(&next[0], Outcome::new(Disposition::Sent), ContactStatus::Completed)?;
    desk.settle(token, vec![sent], at(301)).await?;
    same("messages are no call attempts", desk.counts(record.id).await?.call_attempts, 2)
}

pub(super) async fn refused_and_unused_consume_nothing(desk: Desk) -> Checked {
    let record = desk.running("Unused").await?;
    desk.people(record.id, 1, 2).await?;
    let token = desk.node(at(0)).await?;
    let quota = DayQuota { max: 10, day: Date::constant(2026, 3, 2), ends_at: at(40_000) };
    let budget = Budget { limit: Money(1_000), per_attempt: Money(10) };
    let request = limited(everything(&record, token, at(0)), |own| (own.day, own.budget) = (Some(quota), Some(budget)));
    let attempts = desk.claim(request).await?;
    let batch = vec![
        again(&attempts[0], AttemptEnd::Refused, at(60), step(0, Channel::Call))?,
        again(&attempts[1], AttemptEnd::Unused, at(70), step(0, Channel::Call))?,
    ];
    desk.settle(token, batch, at(1)).await?;
    for (attempt, due) in attempts.iter().zip([60, 70]) {
        let state = desk.contact(attempt.contact).await?.state;
        let seen = (state.status, state.attempts, state.due_at, state.last_disposition, state.cost);
        same("refused and unused attempts consume nothing", seen, (ContactStatus::Pending, 0, at(due), None, Money::ZERO))?;
    }
    let ledger = desk.ledger(LimitScope::Campaign(record.id)).await?;
    same(
        "refused and unused attempts give back everything but their rate slot",
        (ledger.in_flight, ledger.day_starts, ledger.spent, ledger.reserved),
        (0, 0, Money::ZERO, Money::ZERO),
    )?;
    let left = desk.store.attempts(AttemptQuery { campaign: Some(record.id), ..Default::default() }).await?.items;
    let seen: Vec<_> = left.iter().map(|attempt| (attempt.id, attempt.state)).collect();
    same("a refused attempt stays in the history, an unused one leaves no trace", seen, vec![(attempts[0].id, AttemptState::Refused)])?;
    let next = desk.claim(everything(&record, token, at(80))).await?;
    same("the next attempt is still the first", next.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), vec![1, 1])?;
    desk.counts(record.id).await?;
    Ok(())
}

pub(super) async fn stale_settlements_change_nothing(desk: Desk) -> Checked {
    let record = desk.running("Stale").await?;
    desk.people(record.id, 1, 1).await?;
    let (holder, other) = (desk.node(at(0)).await?, desk.node(at(0)).await?);
    let attempts = desk.claim(everything(&record, holder, at(0))).await?;
    let before = (desk.contact(attempts[0].contact).await?, desk.ledger(LimitScope::Deployment).await?, desk.counts(record.id).await?);
    let settlement = finish(&attempts[0], Outcome::answered(5).with_cost(Money(5)), ContactStatus::Completed)?;
    let reply = desk.settle(other, vec![settlement.clone()], at(1)).await?;
    same("a settlement under another token answers Stale", reply.acks, vec![SettleAck::Stale])?;
    let after = (desk.contact(attempts[0].contact).await?, desk.ledger(LimitScope::Deployment).await?, desk.counts(record.id).await?);
    same("a stale settlement changes nothing", after, before)?;
    desk.settle(holder, vec![settlement.clone()], at(2)).await?;
    let before = desk.contact(attempts[0].contact).await?;
    let reply = desk.settle(holder, vec![settlement], at(3)).await?;
    same("settle answers Stale for what is settled already", reply.acks, vec![SettleAck::Stale])?;
    same("a repeated settlement changes nothing", desk.contact(attempts[0].contact).await?, before)
}

pub(super) async fn a_placed_attempt_keeps_its_reference(desk: Desk) -> Checked {
    let record = desk.running("Placed").await?;
    desk.people(record.id, 1, 2).await?;
    let (token, other) = (desk.node(at(0)).await?, desk.node(at(0)).await?);
    let attempts = desk.claim(everything(&record, token, at(0))).await?;
    let placed = |attempt: &Attempt, token, provider_ref: &str| Placed {
        attempt: attempt.id,
        token,
        provider_ref: provider_ref.to_owned(),
        at: at(1),
    };
    let unknown = Attempt { id: crate::id::AttemptId(1 << 40), ..attempts[0].clone() };
    desk.store
        .placed(vec![placed(&attempts[0], token, "call-1"), placed(&attempts[1], other, "call-2"), placed(&unknown, token, "x")])
        .await?;
    let found = desk.store.attempts(AttemptQuery { provider_ref: Some("call-1".to_owned()), ..Default::default() }).await?.items;
    let seen: Vec<_> = found.iter().map(|attempt| (attempt.id, attempt.state, attempt.started_at)).collect();
    same("placed makes a provider's reference durable", seen, vec![(attempts[0].id, AttemptState::Placed, Some(at(1)))])?;
    let open = desk.store.attempts(AttemptQuery { id: Some(attempts[1].id), ..Default::default() }).await?.items;
    same("stale attempts are passed over", open.first().map(|attempt| attempt.state), Some(AttemptState::Claimed))?;
    desk.settle(token, vec![finish(&attempts[0], Outcome::answered(1), ContactStatus::Completed)?], at(2)).await?;
    desk.store.placed(vec![placed(&attempts[0], token, "late")]).await?;
    let settled = desk.store.attempts(AttemptQuery { id: Some(attempts[0].id), ..Default::default() }).await?.items;
    let seen = settled.first().map(|attempt| (attempt.state, attempt.provider_ref.clone()));
    same("settled attempts are passed over, and keep their reference", seen, Some((AttemptState::Settled, Some("call-1".to_owned()))))
}

pub(super) async fn a_quota_is_given_back_on_its_day_only(desk: Desk) -> Checked {
    let record = desk.running("Quota").await?;
    desk.people(record.id, 1, 10).await?;
    let token = desk.node(at(0)).await?;
    let claim = |day, ends_at, now, max| {
        let request = ClaimRequest { max, ..everything(&record, token, now) };
        desk.claim(limited(request, |own| own.day = Some(DayQuota { max: 5, day, ends_at })))
    };
    let first = claim(Date::constant(2026, 3, 2), at(1_000), at(0), 3).await?;
    let give_back = |attempt: &Attempt| again(attempt, AttemptEnd::Unused, at(90_000), step(0, Channel::Call));
    let starts = async || -> Result<u32> { Ok(desk.ledger(LimitScope::Campaign(record.id)).await?.day_starts) };
    desk.settle(token, vec![give_back(&first[0])?], at(1)).await?;
    same("an unused start is given back to its day", starts().await?, 2)?;
    claim(Date::constant(2026, 3, 3), at(100_000), at(2_000), 1).await?;
    same("a new day begins at zero", starts().await?, 1)?;
    desk.settle(token, vec![give_back(&first[1])?], at(2_001)).await?;
    same("an unused start of yesterday is not given back to today", starts().await?, 1)
}

pub(super) async fn dead_nodes_are_taken_over(desk: Desk) -> Checked {
    let record = desk.running("Orphans").await?;
    desk.people(record.id, 1, 6).await?;
    let node = |name: &str, lease, now| desk.store.register_node(NewNode { name: name.to_owned(), lease, now });
    let (dead, gone, live) =
        (node("dead", minutes(1), at(0)).await?.token, node("gone", minutes(60), at(0)).await?.token, desk.node(at(0)).await?);
    let one = |token, now| desk.claim(ClaimRequest { max: 2, ..everything(&record, token, now) });
    let lost = one(dead, at(10)).await?;
    let left = one(gone, at(10)).await?;
    let held = one(live, at(10)).await?;
    desk.store.retire_node(gone).await?;
    let take_as = |request_id, now, limit| {
        let take = TakeOver { request_id, token: live, quarantine: minutes(2), limit, now };
        desk.store.take_over(take)
    };
    let take = |now, limit| take_as(Uuid::new_v4(), now, limit);
    let none: Vec<_> = take(at(100), 100).await?.iter().map(|taken| taken.attempt.id).collect();
    same("nothing is taken over before the quarantine is over", none, vec![])?;
    let taken = take(at(140), 100).await?;
    let ids: Vec<_> = taken.iter().map(|taken| taken.attempt.id).collect();
    same(
        "a retired node's attempts need not wait for its lease, only for the quarantine after `not_after`",
        ids,
        left.iter().map(|attempt| attempt.id).collect(),
    )?;
    let request = Uuid::new_v4();
    let taken = take_as(request, at(200), 1).await?;
    same("at most `limit` are taken over", taken.len(), 1)?;
    let attempts = |taken: &[TakenOver]| taken.iter().map(|taken| taken.attempt.clone()).collect::<Vec<_>>();
    let again = take_as(request, at(200), 1).await?;
    same("repeating a request_id of take_over returns what the first call returned", attempts(&again), attempts(&taken))?;
    same("an attempt taken over is held under the caller's token", taken[0].attempt.claimed_by, live)?;
    same("an attempt taken over comes with its contact", taken[0].contact.clone(), desk.contact(taken[0].attempt.contact).await?)?;
    same("a second take-over finds the rest", take(at(200), 100).await?.len(), 1)?;
    same("what was taken over is not taken again, and live nodes are left alone", take(at(200), 100).await?.len(), 0)?;
    let reply = desk.settle(dead, vec![finish(&lost[0], Outcome::answered(1), ContactStatus::Completed)?], at(201)).await?;
    same("the old token is stale after a take-over", reply.acks, vec![SettleAck::Stale])?;
    let all = lost
        .iter()
        .chain(&left)
        .chain(&held)
        .map(|attempt| finish(attempt, Outcome::answered(1), ContactStatus::Completed))
        .collect::<Result<Vec<_>>>()?;
    let reply = desk.settle(live, all, at(202)).await?;
    same("the new holder settles what it took over", reply.acks, vec![SettleAck::Settled; 6])?;
    same("every place is given back exactly once", desk.ledger(LimitScope::Campaign(record.id)).await?.in_flight, 0)?;
    same("a repeated take_over leaves out what is settled", take_as(request, at(203), 1).await?.len(), 0)?;
    let refused =
        desk.store.take_over(TakeOver { request_id: Uuid::new_v4(), token: dead, quarantine: minutes(2), limit: 1, now: at(300) }).await;
    fails("take_over fails with Stale when the caller's lease is gone", refused, Kind::Stale)
}

pub(super) async fn amending_corrects_the_sums(desk: Desk) -> Checked {
    let record = desk.running("Amended").await?;
    desk.people(record.id, 1, 1).await?;
    let token = desk.node(at(0)).await?;
    let attempts = desk.claim(everything(&record, token, at(0))).await?;
    fails("an open attempt cannot be amended", desk.store.amend(attempts[0].id, Outcome::answered(1)).await, Kind::State)?;
    let first = Outcome::answered(10).with_cost(Money(100));
    desk.settle(token, vec![finish(&attempts[0], first, ContactStatus::Completed)?], at(1)).await?;
    let better = Outcome::new(Disposition::Voicemail).with_cost(Money(70)).with_detail("A machine");
    let amended = desk.store.amend(attempts[0].id, better.clone()).await?;
    same("amend replaces the outcome", amended.outcome.clone(), Some(better))?;
    let stored = desk.store.attempts(AttemptQuery { id: Some(attempts[0].id), ..Default::default() }).await?.items;
    same("amend returns what is stored", stored, vec![amended])?;
    let state = desk.contact(attempts[0].contact).await?.state;
    let seen = (state.status, state.answered_calls, state.call_attempts, state.duration_seconds, state.cost, state.attempts);
    same("amend corrects the sums, and the status stays", seen, (ContactStatus::Completed, 0, 1, 0, Money(70), 1))?;
    desk.counts(record.id).await?;
    same("amend corrects the money spent", desk.ledger(LimitScope::Campaign(record.id)).await?.spent, Money(70))?;
    let unknown = desk.store.amend(crate::id::AttemptId(1 << 40), Outcome::answered(1)).await;
    fails("amend fails with NotFound for an unknown id", unknown, Kind::NotFound)
}

pub(super) async fn many_claims_hand_out_each_once(desk: Desk) -> Checked {
    let record = desk.running("Crowded").await?;
    let ids = desk.people(record.id, 1, 200).await?;
    let tokens = [desk.node(at(0)).await?, desk.node(at(0)).await?];
    let claims = (0..60).map(|index| {
        let request = ClaimRequest { max: 7, ..everything(&record, tokens[index % 2], at(0)) };
        desk.store.claim(limited(request, |own| own.concurrency = Some(150)))
    });
    let mut seen = BTreeSet::new();
    for claims in futures_util::future::join_all(claims).await {
        for claimed in claims?.claimed {
            hold("concurrent claims hand out each contact once", seen.insert(claimed.contact.id), || {
                format!("contact {} came twice", claimed.contact.id)
            })?;
        }
    }
    same("concurrent claims keep to a limit and lose nobody", seen.len(), 150)?;
    hold("concurrent claims hand out contacts of the campaign", seen.iter().all(|id| ids.contains(id)), || "another came".to_owned())?;
    same("counts follow concurrent claims", desk.counts(record.id).await?.of(ContactStatus::InProgress), 150)
}

pub(super) async fn history_is_of_this_run(desk: Desk) -> Checked {
    let record = desk.running("History").await?;
    let ids = desk.people(record.id, 1, 1).await?;
    let token = desk.node(at(0)).await?;
    let mut settled = Vec::new();
    let ends = [
        AttemptEnd::Finished(Outcome::new(Disposition::Busy)),
        AttemptEnd::Refused,
        AttemptEnd::Finished(Outcome::new(Disposition::NoAnswer)),
    ];
    for (index, end) in (0..).zip(ends) {
        let claims = desk.store.claim(everything(&record, token, at(index * 10))).await?;
        let history: Vec<_> = claims.claimed[0].history.iter().map(|attempt| attempt.id).collect();
        same("a claim brings the settled attempts of this run that consumed one, oldest first", history, settled.clone())?;
        let attempt = &claims.claimed[0].attempt;
        if matches!(end, AttemptEnd::Finished(_)) {
            settled.push(attempt.id);
        }
        desk.settle(token, vec![again(attempt, end, at(index * 10 + 10), step(0, Channel::Call))?], at(index * 10 + 1)).await?;
    }
    let cancel = |selection, action| BulkChange { campaign: record.id, selection, action, limit: 10, now: at(40) };
    desk.store.bulk_change(cancel(Selection::All, BulkAction::Cancel { reason: reason("stop") })).await?;
    desk.store.bulk_change(cancel(Selection::Ids(ids), BulkAction::Reset { run: 2 })).await?;
    let claims = desk.store.claim(everything(&record, token, at(50))).await?;
    same("earlier runs are not in the history", claims.claimed[0].history.len(), 0)
}
