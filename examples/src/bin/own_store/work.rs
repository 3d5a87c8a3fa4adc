//! Nodes, claim, settle, take-over: what executes.

use crate::people::enter;
use crate::state::{Answer, Change, Node, Series, State, Try};
use campaign_core::campaign::CampaignStatus;
use campaign_core::contact::{Contact, ContactState, ContactStatus};
use campaign_core::event::{ContactEnded, EventKind};
use campaign_core::id::{AttemptId, ContactId, Money, NodeId, NodeToken};
use campaign_core::outcome::{Attempt, AttemptState, Outcome};
use campaign_core::policy::gates::Verdict;
use campaign_core::policy::limits::{LimitScope, Pacer, Release, Slot};
use campaign_core::policy::transition::{self, ContactEvent};
use campaign_core::store::*;
use campaign_core::{Error, Kind, Result};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

impl State {
    pub(crate) fn register_node(&mut self, new: NewNode) -> NodeLease {
        let number = self.next(Series::Node);
        let token = NodeToken { node: NodeId(number), epoch: number };
        let expires_at = later(new.now, new.lease);
        self.put(Change::Node(token.node, Some(Node { token, name: new.name, started_at: new.now, expires_at })));
        NodeLease { token, store_id: self.id, expires_at, now: new.now }
    }

    pub(crate) fn renew_node(&mut self, renew: RenewNode) -> Result<()> {
        let node = self.live_node(renew.token, renew.now)?.clone();
        self.put(Change::Node(renew.token.node, Some(Node { expires_at: later(renew.now, renew.lease), ..node })));
        Ok(())
    }

    pub(crate) fn retire_node(&mut self, token: NodeToken) {
        if self.holder(token).is_some() {
            self.put(Change::Node(token.node, None));
        }
    }

    /// The node with this token, dead or alive; retired ones are gone.
    pub(crate) fn holder(&self, token: NodeToken) -> Option<&Node> {
        self.nodes.get(&token.node).filter(|node| node.token == token)
    }

    fn live_node(&self, token: NodeToken, now: Timestamp) -> Result<&Node> {
        let node = self.holder(token).filter(|node| node.expires_at > now);
        node.ok_or_else(|| Error::new(Kind::Stale, "the node's lease has run out; register it anew").with("node", token.node))
    }

    // --- claim -----------------------------------------------------------------------------------------------------------

    pub(crate) fn claim(&mut self, request: &ClaimRequest) -> Result<Claims> {
        if let Some(Answer::Claimed { attempts, block, passed_over, more, now }) = self.answered(request.request_id) {
            let claimed = attempts.iter().filter_map(|id| self.claimed(*id)).collect();
            let (block, passed_over, more, now) = (block.clone(), *passed_over, *more, *now);
            return Ok(Claims { claimed, campaign_changed: false, block, passed_over, more, now });
        }
        self.live_node(request.token, request.now)?;
        let mut claims =
            Claims { claimed: Vec::new(), campaign_changed: false, block: None, passed_over: 0, more: false, now: request.now };
        let ready = |record: &campaign_core::campaign::CampaignRecord| {
            record.status == CampaignStatus::Running && record.revision == request.expected_revision
        };
        if !self.campaigns.get(&request.campaign).is_some_and(ready) {
            claims.campaign_changed = true;
            return Ok(claims);
        }

        let ledgers = request.limits.scopes().map(|scope| self.ledgers.get(scope).copied().unwrap_or_default()).collect();
        let mut pacer = Pacer::new(&request.limits, ledgers, request.now);
        let since = request.gates.look_back().map(|span| earlier(request.now, span));
        let most = request.max as usize + 1_000;
        let mut begun = Vec::new();
        for (looked_at, (due_at, id)) in self.due(request, most + 1).into_iter().enumerate() {
            if begun.len() >= request.max as usize || looked_at >= most {
                claims.more = true;
                break;
            }
            let contact = self.contact(id)?;
            match request.gates.decide(contact, &self.facts(contact, since, request.now), request.now) {
                Verdict::Allow => match pacer.take(due_at) {
                    Some(slot) => begun.push(self.begin(request, id, slot)?),
                    None => {
                        claims.block = pacer.block().cloned();
                        claims.more = true;
                        break;
                    }
                },
                Verdict::NotBefore { until, reason } => {
                    claims.passed_over += 1;
                    self.change(id, |state| {
                        state.due_at = until.unwrap_or(due_at);
                        state.reason = Some(reason);
                    });
                }
                Verdict::Never { reason } => {
                    claims.passed_over += 1;
                    let to = transition::contact(ContactStatus::Pending, ContactEvent::Finish(ContactStatus::Skipped))?.to();
                    self.change(id, |state| {
                        enter(state, to, request.now);
                        state.reason = Some(reason);
                    });
                }
            }
        }
        if begun.is_empty() {
            return Ok(claims);
        }

        for (scope, ledger) in request.limits.scopes().zip(pacer.ledgers()) {
            self.put(Change::Ledger(scope.clone(), Some(*ledger)));
        }
        // Ledgers without a rule in this claim count its attempts too, so that settling is always the mirror of claiming.
        for id in &begun {
            let scopes = self.attempts.get(id).map(scopes_of).unwrap_or_default();
            for scope in scopes.into_iter().filter(|scope| !request.limits.scopes().any(|limited| limited == scope)) {
                self.ledger(scope, |ledger| ledger.in_flight += 1);
            }
        }
        claims.claimed = begun.iter().filter_map(|id| self.claimed(*id)).collect();
        let (block, passed_over, more, now) = (claims.block.clone(), claims.passed_over, claims.more, claims.now);
        self.answer(request.request_id, Answer::Claimed { attempts: begun, block, passed_over, more, now });
        Ok(claims)
    }

    /// The front of the queue: zones in the order asked for, within a zone by due time.
    fn due(&self, request: &ClaimRequest, most: usize) -> Vec<(Timestamp, ContactId)> {
        let Some(queues) = self.index.queues.get(&request.campaign) else { return Vec::new() };
        let last = (request.limits.horizon, ContactId(i64::MAX));
        request.zones.iter().filter_map(|zone| queues.get(zone)).flat_map(|queue| queue.range(..=last)).take(most).copied().collect()
    }

    /// Writes the intent and marks the contact in progress.
    fn begin(&mut self, request: &ClaimRequest, id: ContactId, slot: Slot) -> Result<AttemptId> {
        let to = transition::contact(self.contact(id)?.state.status, ContactEvent::Claim)?.to();
        self.change(id, |state| {
            enter(state, to, request.now);
            state.reason = None;
        });
        let state = &self.contact(id)?.state;
        let (run, number) = (state.run, state.attempts + 1);
        let step = state.step.clone().unwrap_or_else(|| request.first_step.clone());
        let attempt_id = AttemptId(self.next(Series::Attempt));
        let attempt = Attempt {
            id: attempt_id,
            key: format!("{}-{attempt_id}", self.id.simple()).into(),
            campaign: request.campaign,
            contact: id,
            run,
            number,
            step,
            from: slot.caller,
            spec_version: request.spec_version,
            state: AttemptState::Claimed,
            claimed_by: request.token,
            claimed_at: request.now,
            start_at: slot.start_at,
            not_after: later(slot.start_at, request.grace),
            reserved: slot.reserved,
            provider_ref: None,
            started_at: None,
            finished_at: None,
            outcome: None,
            reason: None,
        };
        let started = EventKind::ContactStarted { contact_id: id, attempt_id, channel: attempt.step.channel };
        self.emit(request.campaign, request.now, started);
        self.put(Change::Attempt(attempt_id, Some(Try { attempt, account: request.account.clone(), day: slot.day })));
        Ok(attempt_id)
    }

    fn claimed(&self, id: AttemptId) -> Option<Claimed> {
        let attempt = self.attempts.get(&id)?.attempt.clone();
        let contact = self.contacts.get(&attempt.contact)?.clone();
        Some(Claimed { history: self.history(&contact), attempt, contact })
    }

    /// Settled attempts of the contact's run, oldest first.
    fn history(&self, contact: &Contact) -> Vec<Attempt> {
        let of_this_run = |attempt: &&Attempt| attempt.run == contact.state.run && attempt.state == AttemptState::Settled;
        self.tries(contact.id).map(|entry| &entry.attempt).filter(of_this_run).cloned().collect()
    }

    // --- settle ----------------------------------------------------------------------------------------------------------

    pub(crate) fn placed(&mut self, placed: Vec<Placed>) {
        for report in placed {
            let Some(mut entry) = self.held(report.attempt, report.token) else { continue };
            entry.attempt.state = AttemptState::Placed;
            entry.attempt.provider_ref = Some(report.provider_ref);
            entry.attempt.started_at = Some(report.at);
            self.put(Change::Attempt(report.attempt, Some(entry)));
        }
    }

    /// An attempt that is open and held under this token: nothing else can be placed or settled.
    fn held(&self, id: AttemptId, token: NodeToken) -> Option<Try> {
        self.attempts.get(&id).filter(|entry| entry.attempt.state.is_open() && entry.attempt.claimed_by == token).cloned()
    }

    pub(crate) fn settle(&mut self, request: &SettleRequest) -> Result<SettleReply> {
        let mut reply = SettleReply { acks: Vec::new(), campaigns: Vec::new() };
        let mut campaigns = BTreeSet::new();
        for settlement in request.settlements.iter() {
            if settlement.transition.from() != ContactStatus::InProgress {
                // Earlier settlements of the batch are taken back with the rest of the transaction.
                let message = format!("an attempt cannot be settled from {}", settlement.transition.from());
                return Err(Error::new(Kind::State, message).with("attempt", settlement.attempt));
            }
            campaigns.extend(self.attempts.get(&settlement.attempt).map(|entry| entry.attempt.campaign));
            reply.acks.push(match self.held(settlement.attempt, request.token) {
                Some(entry) => {
                    self.settle_one(entry, settlement, request.now);
                    SettleAck::Settled
                }
                None => SettleAck::Stale,
            });
        }
        reply.campaigns.extend(campaigns.into_iter().map(|campaign| SettledCampaign {
            campaign,
            open: self.index.counts.get(&campaign).map_or(0, |counts| counts.open()),
            spent: self.ledgers.get(&LimitScope::Campaign(campaign)).map_or(Money::ZERO, |ledger| ledger.spent),
        }));
        Ok(reply)
    }

    fn settle_one(&mut self, mut entry: Try, settlement: &Settlement, now: Timestamp) {
        let release = match &settlement.end {
            AttemptEnd::Finished(outcome) => Release::Used(cost_of(&entry.attempt, outcome)),
            AttemptEnd::Refused | AttemptEnd::Unused => Release::Unused,
        };
        self.give_back(&entry, release);

        let attempt = &mut entry.attempt;
        attempt.started_at = settlement.started_at.or(attempt.started_at);
        attempt.finished_at = Some(now);
        attempt.reason.clone_from(&settlement.reason);
        let to = settlement.transition.to();
        self.change(attempt.contact, |state| {
            enter(state, to, now);
            state.reason.clone_from(&settlement.reason);
            if to == ContactStatus::Pending {
                state.due_at = settlement.due_at.unwrap_or(state.due_at);
                state.step = settlement.step.clone().or(state.step.take());
            }
            if let AttemptEnd::Finished(outcome) = &settlement.end {
                state.attempts += 1;
                state.last_disposition = Some(outcome.disposition);
                state.last_attempt_at = Some(handed_over_at(attempt));
                add_to_sums(state, attempt, outcome);
            }
        });
        match &settlement.end {
            AttemptEnd::Unused => self.put(Change::Attempt(settlement.attempt, None)),
            AttemptEnd::Refused => {
                attempt.state = AttemptState::Refused;
                self.put(Change::Attempt(settlement.attempt, Some(entry)));
            }
            AttemptEnd::Finished(outcome) => {
                attempt.state = AttemptState::Settled;
                attempt.provider_ref = outcome.provider_ref.clone().or(attempt.provider_ref.take());
                attempt.outcome = Some(outcome.clone());
                let ended = ContactEnded {
                    contact_id: attempt.contact,
                    attempt_id: attempt.id,
                    channel: attempt.step.channel,
                    disposition: outcome.disposition,
                    status: to,
                    duration_seconds: outcome.duration_seconds,
                    cost: cost_of(attempt, outcome),
                };
                let reached = outcome.disposition.is_success();
                let campaign = attempt.campaign;
                self.put(Change::Attempt(settlement.attempt, Some(entry)));
                self.emit(campaign, now, if reached { EventKind::ContactCompleted(ended) } else { EventKind::ContactFailed(ended) });
            }
        }
    }

    /// Tells the ledgers of an attempt that it has ended.
    pub(crate) fn give_back(&mut self, entry: &Try, release: Release) {
        for scope in scopes_of(entry) {
            let reserved = if matches!(scope, LimitScope::Campaign(_)) { entry.attempt.reserved } else { Money::ZERO };
            self.ledger(scope, |ledger| ledger.settle(reserved, entry.day, release));
        }
    }

    pub(crate) fn amend(&mut self, id: AttemptId, outcome: Outcome) -> Result<Attempt> {
        let mut entry = self.attempts.get(&id).cloned().ok_or_else(|| Error::not_found("attempt", id))?;
        let (AttemptState::Settled, Some(old)) = (entry.attempt.state, entry.attempt.outcome.clone()) else {
            return Err(Error::new(Kind::State, "only a settled attempt can be amended").with("attempt", id));
        };
        let difference = cost_of(&entry.attempt, &outcome) - cost_of(&entry.attempt, &old);
        for scope in scopes_of(&entry) {
            self.ledger(scope, |ledger| ledger.spent += difference);
        }
        // The sums of a contact are those of its current run.
        if self.contact(entry.attempt.contact)?.state.run == entry.attempt.run {
            self.change(entry.attempt.contact, |state| {
                take_from_sums(state, &entry.attempt, &old);
                add_to_sums(state, &entry.attempt, &outcome);
            });
        }
        entry.attempt.provider_ref = outcome.provider_ref.clone().or(entry.attempt.provider_ref);
        entry.attempt.outcome = Some(outcome);
        self.put(Change::Attempt(id, Some(entry.clone())));
        Ok(entry.attempt)
    }

    // --- take-over -------------------------------------------------------------------------------------------------------

    pub(crate) fn take_over(&mut self, request: &TakeOver) -> Result<Vec<TakenOver>> {
        self.live_node(request.token, request.now)?;
        if let Some(Answer::TakenOver(ids)) = self.answered(request.request_id) {
            let attempts = ids.iter().filter_map(|id| self.attempts.get(id)).map(|entry| entry.attempt.clone());
            let held = attempts.filter(|attempt| attempt.state.is_open() && attempt.claimed_by == request.token);
            return held.map(|attempt| self.taken_over(attempt)).collect();
        }
        let long_ago = |moment: Timestamp| moment.saturating_add(request.quarantine).is_ok_and(|end| end <= request.now);
        let abandoned = |entry: &&Try| {
            // A node that is not there any more has retired; its attempts need not wait for a lease.
            let dead = self.holder(entry.attempt.claimed_by).is_none_or(|node| long_ago(node.expires_at));
            dead && long_ago(entry.attempt.not_after)
        };
        let open = self.index.open.iter().filter_map(|id| self.attempts.get(id));
        let found: Vec<Try> = open.filter(abandoned).take(request.limit as usize).cloned().collect();
        if !found.is_empty() {
            self.changes += 1;
            self.answer(request.request_id, Answer::TakenOver(found.iter().map(|entry| entry.attempt.id).collect()));
        }
        let mut taken = Vec::with_capacity(found.len());
        for mut entry in found {
            entry.attempt.claimed_by = request.token;
            self.put(Change::Attempt(entry.attempt.id, Some(entry.clone())));
            taken.push(self.taken_over(entry.attempt)?);
        }
        Ok(taken)
    }

    fn taken_over(&self, attempt: Attempt) -> Result<TakenOver> {
        let contact = self.contact(attempt.contact)?.clone();
        Ok(TakenOver { history: self.history(&contact), attempt, contact })
    }
}

/// The ledgers that count an attempt, limited or not: deployment, campaign, account and caller.
fn scopes_of(entry: &Try) -> Vec<LimitScope> {
    let mut scopes = vec![LimitScope::Deployment, LimitScope::Campaign(entry.attempt.campaign)];
    scopes.extend(entry.account.clone().map(LimitScope::Account));
    scopes.extend(entry.attempt.from.clone().map(LimitScope::Caller));
    scopes
}

/// What an attempt cost: what the provider said, else what was reserved.
pub(crate) fn cost_of(attempt: &Attempt, outcome: &Outcome) -> Money {
    outcome.cost.unwrap_or(attempt.reserved)
}

/// When a settled attempt was handed over, or when an open one is going to be.
pub(crate) fn handed_over_at(attempt: &Attempt) -> Timestamp {
    attempt.started_at.unwrap_or(attempt.start_at)
}

fn add_to_sums(state: &mut ContactState, attempt: &Attempt, outcome: &Outcome) {
    let (calls, answered) = call_counts(attempt.step.channel, outcome.disposition);
    state.call_attempts += calls as u32;
    state.answered_calls += answered as u32;
    state.duration_seconds += u64::from(outcome.duration_seconds);
    state.cost += cost_of(attempt, outcome);
}

fn take_from_sums(state: &mut ContactState, attempt: &Attempt, outcome: &Outcome) {
    let (calls, answered) = call_counts(attempt.step.channel, outcome.disposition);
    state.call_attempts -= calls as u32;
    state.answered_calls -= answered as u32;
    state.duration_seconds -= u64::from(outcome.duration_seconds);
    state.cost -= cost_of(attempt, outcome);
}

fn later(moment: Timestamp, span: SignedDuration) -> Timestamp {
    moment.saturating_add(span).unwrap_or(Timestamp::MAX)
}

fn earlier(moment: Timestamp, span: SignedDuration) -> Timestamp {
    moment.saturating_sub(span).unwrap_or(Timestamp::MIN)
}
