//! Nodes, claim, settle, take-over: what executes.

use super::*;
use crate::event::ContactEnded;
use crate::outcome::AttemptState;
use crate::policy::gates::Verdict;
use crate::policy::limits::{Pacer, Release, Slot};
use crate::policy::transition::{self, ContactEvent};
use std::ops::Bound;

impl State {
    pub(super) fn register_node(&mut self, new: NewNode) -> NodeLease {
        self.last.node += 1;
        let token = NodeToken { node: NodeId(self.last.node), epoch: self.last.node };
        let expires_at = new.now.saturating_add(new.lease).unwrap_or(Timestamp::MAX);
        let node = Node { token, name: new.name, started_at: new.now, expires_at: Some(expires_at), open: BTreeSet::new() };
        self.nodes.insert(token.node, node);
        NodeLease { token, store_id: self.store_id, expires_at, now: new.now }
    }

    pub(super) fn renew_node(&mut self, renew: RenewNode) -> Result<()> {
        let node = self.live_node(renew.token, renew.now)?;
        node.expires_at = Some(renew.now.saturating_add(renew.lease).unwrap_or(Timestamp::MAX));
        Ok(())
    }

    pub(super) fn retire_node(&mut self, token: NodeToken) {
        if let Some(node) = self.nodes.get_mut(&token.node).filter(|node| node.token == token) {
            node.expires_at = None;
            self.answers.claims.retain(|_, answer| answer.token != token);
            self.answers.taken.retain(|_, (holder, _)| *holder != token);
        }
    }

    pub(super) fn live_nodes(&self, now: Timestamp) -> Vec<NodeInfo> {
        self.nodes
            .values()
            .filter_map(|node| {
                let expires_at = node.expires_at.filter(|&end| end > now)?;
                let in_flight = node.open.len() as u64;
                Some(NodeInfo { id: node.token.node, name: node.name.clone(), started_at: node.started_at, expires_at, in_flight })
            })
            .collect()
    }

    fn live_node(&mut self, token: NodeToken, now: Timestamp) -> Result<&mut Node> {
        self.nodes
            .get_mut(&token.node)
            .filter(|node| node.token == token && node.expires_at.is_some_and(|end| end > now))
            .ok_or_else(|| Error::new(Kind::Stale, "the node's lease has run out; register it anew").with("node", token.node))
    }

    // --- claim -----------------------------------------------------------------------------------------------------------

    pub(super) fn claim(&mut self, request: &ClaimRequest) -> Result<Claims> {
        if let Some(answer) = self.answers.claims.get(&request.request_id) {
            return Ok(self.repeat(answer));
        }
        self.live_node(request.token, request.now)?;
        let mut claims =
            Claims { claimed: Vec::new(), campaign_changed: false, block: None, passed_over: 0, more: false, now: request.now };
        let ready = self.campaigns.get(&request.campaign).is_some_and(|campaign| {
            campaign.record.status == crate::campaign::CampaignStatus::Running && campaign.record.revision == request.expected_revision
        });
        if !ready {
            claims.campaign_changed = true;
            return Ok(claims);
        }

        let ledgers = request.limits.scopes().map(|scope| self.ledgers.get(scope).copied().unwrap_or_default()).collect();
        let mut pacer = Pacer::new(&request.limits, ledgers, request.now);
        let since = request.gates.look_back().map(|span| request.now.saturating_sub(span).unwrap_or(Timestamp::MIN));
        let mut looked_at = 0;
        let mut place = None;
        while let Some((zone, key)) = self.next_due(request, place) {
            if claims.claimed.len() >= request.max as usize || looked_at >= u64::from(request.max) + 1_000 {
                claims.more = true;
                break;
            }
            place = Some((zone, key));
            looked_at += 1;
            let (due_at, id) = key;
            let Some(person) = self.contacts.get(&id) else { continue };
            let facts = self.facts(&person.contact, since, request.now);
            match request.gates.decide(&person.contact, &facts, request.now) {
                Verdict::Allow => match pacer.take(due_at) {
                    Some(slot) => claims.claimed.push(self.begin(request, id, slot)?),
                    None => {
                        claims.block = pacer.block().cloned();
                        claims.more = true;
                        break;
                    }
                },
                // A contact deferred to a moment before the horizon comes up once more and stays where it is then.
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
                        state.enter(to, request.now);
                        state.reason = Some(reason);
                    });
                }
            }
        }

        for (scope, ledger) in request.limits.scopes().zip(pacer.ledgers()) {
            self.ledgers.insert(scope.clone(), *ledger);
        }
        self.count_unlimited(request, &claims.claimed);
        if !claims.claimed.is_empty() {
            let attempts = claims.claimed.iter().map(|claimed| claimed.attempt.id).collect();
            let (block, passed_over) = (claims.block.clone(), claims.passed_over);
            let answer = ClaimAnswer { token: request.token, attempts, block, passed_over, more: claims.more, now: claims.now };
            self.answers.claims.insert(request.request_id, answer);
        }
        Ok(claims)
    }

    /// The first due contact behind a place in the queue: `(index into request.zones, (due, id))`.
    #[allow(clippy::type_complexity)]
    fn next_due(&self, request: &ClaimRequest, place: Option<(usize, (Timestamp, ContactId))>) -> Option<(usize, (Timestamp, ContactId))> {
        let campaign = self.campaigns.get(&request.campaign)?;
        let first = place.map_or(0, |(zone, _)| zone);
        (first..request.zones.len()).find_map(|zone| {
            let queue = campaign.pending.get(request.zones.get(zone)?)?;
            let from = match place {
                Some((at, key)) if at == zone => Bound::Excluded(key),
                _ => Bound::Unbounded,
            };
            let key = *queue.range((from, Bound::Unbounded)).next()?;
            (key.0 <= request.limits.horizon).then_some((zone, key))
        })
    }

    /// Writes the intent and marks the contact in progress.
    fn begin(&mut self, request: &ClaimRequest, id: ContactId, slot: Slot) -> Result<Claimed> {
        let to = transition::contact(ContactStatus::Pending, ContactEvent::Claim)?.to();
        self.change(id, |state| {
            state.enter(to, request.now);
            state.reason = None;
        });
        let contact = self.person(id)?.contact.clone();
        self.last.attempt += 1;
        let attempt = Attempt {
            id: AttemptId(self.last.attempt),
            key: format!("{}-{}", self.store_id.simple(), self.last.attempt).into(),
            campaign: request.campaign,
            contact: id,
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
        let history = self.history(&contact);
        let started = EventKind::ContactStarted { contact_id: id, attempt_id: attempt.id, channel: attempt.step.channel };
        self.emit(request.campaign, request.now, started);
        let entry = Try { attempt: attempt.clone(), account: request.account.clone(), day: slot.day };
        self.attempts.insert(attempt.id, Box::new(entry));
        if let Some(person) = self.contacts.get_mut(&id) {
            person.attempts.push(attempt.id);
        }
        if let Some(node) = self.nodes.get_mut(&request.token.node) {
            node.open.insert(attempt.id);
        }
        Ok(Claimed { attempt, contact, history })
    }

    /// Ledgers that have no rule in this claim count its attempts all the same, so that settling is always the mirror of claiming.
    fn count_unlimited(&mut self, request: &ClaimRequest, claimed: &[Claimed]) {
        let limited: BTreeSet<&LimitScope> = request.limits.scopes().collect();
        for claimed in claimed {
            for scope in scopes_of(&claimed.attempt, request.account.as_ref()) {
                if !limited.contains(&scope) {
                    self.ledgers.entry(scope).or_default().in_flight += 1;
                }
            }
        }
    }

    fn repeat(&self, answer: &ClaimAnswer) -> Claims {
        let claimed = answer.attempts.iter().filter_map(|id| {
            let attempt = self.attempts.get(id)?.attempt.clone();
            let contact = self.contacts.get(&attempt.contact)?.contact.clone();
            Some(Claimed { history: self.history(&contact), attempt, contact })
        });
        Claims {
            claimed: claimed.collect(),
            campaign_changed: false,
            block: answer.block.clone(),
            passed_over: answer.passed_over,
            more: answer.more,
            now: answer.now,
        }
    }

    /// Settled attempts of the contact's run, oldest first.
    fn history(&self, contact: &Contact) -> Vec<Attempt> {
        if contact.state.attempts == 0 {
            return Vec::new();
        }
        let ids = self.contacts.get(&contact.id).map(|person| person.attempts.as_slice()).unwrap_or_default();
        ids.iter()
            .filter_map(|id| self.attempts.get(id))
            .map(|entry| &entry.attempt)
            .filter(|attempt| attempt.run == contact.state.run && attempt.state == AttemptState::Settled)
            .cloned()
            .collect()
    }

    // --- settle ----------------------------------------------------------------------------------------------------------

    pub(super) fn placed(&mut self, placed: Vec<Placed>) {
        for report in placed {
            let Some(entry) = self.attempts.get_mut(&report.attempt) else { continue };
            let attempt = &mut entry.attempt;
            if attempt.state.is_open() && attempt.claimed_by == report.token {
                attempt.state = AttemptState::Placed;
                attempt.provider_ref = Some(report.provider_ref);
                attempt.started_at = Some(report.at);
            }
        }
    }

    pub(super) fn settle(&mut self, request: &SettleRequest) -> Result<SettleReply> {
        // Refused before anything is written: the batch happens whole or not at all.
        for settlement in request.settlements.iter() {
            if settlement.transition.from() != ContactStatus::InProgress {
                let message = format!("an attempt cannot be settled from {}", settlement.transition.from());
                return Err(Error::new(Kind::State, message).with("attempt", settlement.attempt));
            }
        }
        let mut acks = Vec::with_capacity(request.settlements.len());
        let mut campaigns = BTreeSet::new();
        for settlement in request.settlements.iter() {
            let attempt = self.attempts.get(&settlement.attempt).map(|entry| &entry.attempt);
            campaigns.extend(attempt.map(|attempt| attempt.campaign));
            let held = attempt.is_some_and(|attempt| attempt.state.is_open() && attempt.claimed_by == request.token);
            acks.push(if held { SettleAck::Settled } else { SettleAck::Stale });
            if held {
                self.settle_one(settlement, request.now);
            }
        }
        let campaigns = campaigns.into_iter().map(|id| SettledCampaign {
            campaign: id,
            open: self.campaigns.get(&id).map_or(0, Campaign::open),
            spent: self.ledgers.get(&LimitScope::Campaign(id)).map_or(Money::ZERO, |ledger| ledger.spent),
        });
        Ok(SettleReply { acks, campaigns: campaigns.collect() })
    }

    fn settle_one(&mut self, settlement: &Settlement, now: Timestamp) {
        let Some(mut entry) = self.attempts.remove(&settlement.attempt) else { return };
        if let Some(node) = self.nodes.get_mut(&entry.attempt.claimed_by.node) {
            node.open.remove(&settlement.attempt);
        }
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
            state.enter(to, now);
            state.reason.clone_from(&settlement.reason);
            if to == ContactStatus::Pending {
                state.due_at = settlement.due_at.unwrap_or(state.due_at);
                state.step = settlement.step.clone().or(state.step.take());
            }
            if let AttemptEnd::Finished(outcome) = &settlement.end {
                state.attempts += 1;
                state.last_disposition = Some(outcome.disposition);
                state.last_attempt_at = Some(attempt.started_at.unwrap_or(attempt.start_at));
                add_to_sums(state, attempt, outcome);
            }
        });
        match &settlement.end {
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
                self.emit(campaign, now, if reached { EventKind::ContactCompleted(ended) } else { EventKind::ContactFailed(ended) });
            }
            AttemptEnd::Refused => attempt.state = AttemptState::Refused,
            AttemptEnd::Unused => {
                if let Some(person) = self.contacts.get_mut(&attempt.contact) {
                    person.attempts.retain(|id| *id != settlement.attempt);
                }
                return;
            }
        }
        let contact = attempt.contact;
        self.attempts.insert(settlement.attempt, entry);
        if self.lean && to.is_terminal() {
            self.forget(contact);
        }
    }

    /// Drops a contact's attempts, keeping the moments of their hand-offs.
    fn forget(&mut self, contact: ContactId) {
        let Some(person) = self.contacts.get_mut(&contact) else { return };
        for id in std::mem::take(&mut person.attempts) {
            if let Some(entry) = self.attempts.remove(&id)
                && entry.attempt.state == AttemptState::Settled
            {
                person.forgotten.push((read::handed_over_at(&entry.attempt), entry.attempt.step.channel));
            }
        }
    }

    pub(super) fn amend(&mut self, id: AttemptId, outcome: Outcome) -> Result<Attempt> {
        let attempt = &self.attempt(id)?.attempt;
        let (AttemptState::Settled, Some(old)) = (attempt.state, attempt.outcome.clone()) else {
            return Err(Error::new(Kind::State, "only a settled attempt can be amended").with("attempt", id));
        };
        let mut attempt = attempt.clone();
        let difference = cost_of(&attempt, &outcome) - cost_of(&attempt, &old);
        for scope in scopes_of(&attempt, self.attempt(id)?.account.as_ref()) {
            self.ledgers.entry(scope).or_default().spent += difference;
        }
        if self.person(attempt.contact)?.contact.state.run == attempt.run {
            self.change(attempt.contact, |state| {
                take_from_sums(state, &attempt, &old);
                add_to_sums(state, &attempt, &outcome);
            });
        }
        attempt.provider_ref = outcome.provider_ref.clone().or(attempt.provider_ref);
        attempt.outcome = Some(outcome);
        if let Some(entry) = self.attempts.get_mut(&id) {
            entry.attempt = attempt.clone();
        }
        Ok(attempt)
    }

    // --- take-over -------------------------------------------------------------------------------------------------------

    pub(super) fn take_over(&mut self, request: &TakeOver) -> Result<Vec<TakenOver>> {
        self.live_node(request.token, request.now)?;
        if let Some((_, ids)) = self.answers.taken.get(&request.request_id) {
            let open = ids.iter().filter_map(|id| self.attempts.get(id)).map(|entry| entry.attempt.clone());
            let held = open.filter(|attempt| attempt.state.is_open() && attempt.claimed_by == request.token);
            return held.map(|attempt| self.taken_over(attempt)).collect();
        }
        let long_ago = |moment: Timestamp| moment.saturating_add(request.quarantine).is_ok_and(|end| end <= request.now);
        let dead = self.nodes.values().filter(|node| node.expires_at.is_none_or(|end| end <= request.now && long_ago(end)));
        let mut ids: Vec<AttemptId> = dead
            .flat_map(|node| &node.open)
            .copied()
            .filter(|id| self.attempts.get(id).is_some_and(|entry| long_ago(entry.attempt.not_after)))
            .collect();
        ids.sort_unstable();
        ids.truncate(request.limit as usize);
        if !ids.is_empty() {
            self.changes += 1;
            self.answers.taken.insert(request.request_id, (request.token, ids.clone()));
        }
        let mut taken = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(entry) = self.attempts.get_mut(&id) else { continue };
            let before = std::mem::replace(&mut entry.attempt.claimed_by, request.token);
            let attempt = entry.attempt.clone();
            if let Some(node) = self.nodes.get_mut(&before.node) {
                node.open.remove(&id);
            }
            if let Some(node) = self.nodes.get_mut(&request.token.node) {
                node.open.insert(id);
            }
            taken.push(self.taken_over(attempt)?);
        }
        Ok(taken)
    }

    fn taken_over(&self, attempt: Attempt) -> Result<TakenOver> {
        let contact = self.person(attempt.contact)?.contact.clone();
        Ok(TakenOver { history: self.history(&contact), attempt, contact })
    }
}

impl Node {
    /// A node that is only known from what it left.
    pub(super) fn gone(token: NodeToken) -> Self {
        Self { token, name: String::new(), started_at: Timestamp::UNIX_EPOCH, expires_at: None, open: BTreeSet::new() }
    }
}

impl ContactState {
    /// Changes the status; the moment a contact becomes terminal is kept. `to` comes from [`transition`].
    pub(super) fn enter(&mut self, to: ContactStatus, now: Timestamp) {
        self.status = to;
        self.completed_at = to.is_terminal().then_some(now);
    }
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
    state.call_attempts = state.call_attempts.saturating_sub(calls as u32);
    state.answered_calls = state.answered_calls.saturating_sub(answered as u32);
    state.duration_seconds = state.duration_seconds.saturating_sub(u64::from(outcome.duration_seconds));
    state.cost -= cost_of(attempt, outcome);
}
