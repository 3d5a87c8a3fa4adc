//! Random sequences of calls against a store and [`MemoryStore`]: every observable answer is equal.

use super::*;
use crate::campaign::FrequencyCap;
use crate::policy::limits::{Budget, DayQuota};
use jiff::civil::Date;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg32;

const EQUAL: &str = "the answers of a store are those of the reference, MemoryStore, for the same calls";

/// The seed of the suite; other seeds can be tried with [`compare`].
pub(super) async fn answers_are_those_of_the_reference(desk: Desk) -> Checked {
    compare(Arc::clone(&desk.store), 1, 600).await
}

/// Sends `steps` random calls made from `seed` to an empty store and to a [`MemoryStore`], and compares what can be seen after each.
/// The same seed makes the same calls.
///
/// # Errors
/// The first difference, with the number of the step.
pub async fn compare(store: Arc<dyn ContactStore>, seed: u64, steps: u32) -> Checked {
    let mut pair = Pair::new(store, seed).await?;
    for number in 0..steps {
        let done = pair.step().await.map_err(|broken| broken_at(broken, seed, number))?;
        pair.look(number % 25 == 0)
            .await
            .map_err(|broken| broken_at(Broken { seen: format!("after {done}: {}", broken.seen), ..broken }, seed, number))?;
    }
    pair.look(true).await
}

fn broken_at(broken: Broken, seed: u64, step: u32) -> Broken {
    Broken { seen: format!("at step {step} of seed {seed} {}", broken.seen), ..broken }
}

/// The store under test and the reference, and what both have said.
struct Pair {
    test: Desk,
    reference: Desk,
    random: Pcg32,
    now: i64,
    campaigns: Vec<CampaignRecord>,
    contacts: Vec<ContactId>,
    /// Tokens under test and of the reference: equal numbers are not promised.
    nodes: Vec<(NodeToken, NodeToken)>,
    open: Vec<(Attempt, Attempt)>,
    settled: Vec<crate::id::AttemptId>,
}

/// An attempt without what may differ between stores: the key and the token.
fn plain(attempt: &Attempt) -> Attempt {
    Attempt { key: "".into(), claimed_by: NodeToken { node: crate::id::NodeId(0), epoch: 0 }, ..attempt.clone() }
}

/// A contact without its version, of which only growth is promised.
fn unversioned(contact: &Contact) -> Contact {
    let mut contact = contact.clone();
    contact.state.version = 0;
    contact
}

/// What a call said, as far as it is promised.
fn said<T: fmt::Debug>(result: Result<T>) -> Result<T, Kind> {
    result.map_err(|error| error.kind())
}

macro_rules! both {
    ($pair:expr, $desk:ident => $call:expr) => {{
        let test = {
            let $desk = &$pair.test;
            said($call.await)
        };
        let reference = {
            let $desk = &$pair.reference;
            said($call.await)
        };
        (test, reference)
    }};
}

impl Pair {
    async fn new(store: Arc<dyn ContactStore>, seed: u64) -> Result<Self, Broken> {
        let reference: Arc<dyn ContactStore> = Arc::new(MemoryStore::new());
        let (test, reference) = (Desk::new(store), Desk::new(reference));
        let random = Pcg32::seed_from_u64(seed);
        let mut pair = Self {
            test,
            reference,
            random,
            now: 0,
            campaigns: Vec::new(),
            contacts: Vec::new(),
            nodes: Vec::new(),
            open: Vec::new(),
            settled: Vec::new(),
        };
        for (name, organization) in [("First", Some(7)), ("Second", None), ("Third", Some(7))] {
            let (test, reference) = both!(pair, desk => desk.running_of(name, organization));
            same(EQUAL, test.clone(), reference)?;
            pair.campaigns.extend(test);
        }
        for _ in 0..2 {
            pair.register().await?;
        }
        Ok(pair)
    }

    fn below(&mut self, end: usize) -> usize {
        self.random.random_range(0..end.max(1))
    }

    fn any_campaign(&mut self) -> CampaignRecord {
        let index = self.below(self.campaigns.len());
        self.campaigns[index].clone()
    }

    /// Mostly one that has registered lately, so that its lease may still hold.
    fn any_node(&mut self) -> (NodeToken, NodeToken) {
        let count = self.nodes.len();
        let first = if self.chance(80) { count.saturating_sub(2) } else { 0 };
        let index = first + self.below(count - first);
        self.nodes[index]
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    async fn register(&mut self) -> Checked {
        let new = NewNode { name: format!("node {}", self.now), lease: minutes(10), now: at(self.now) };
        let (test, reference) = both!(self, desk => desk.store.register_node(new.clone()));
        if let (Ok(test), Ok(reference)) = (&test, &reference) {
            same(EQUAL, test.expires_at, reference.expires_at)?;
            self.nodes.push((test.token, reference.token));
        }
        same(EQUAL, test.is_ok(), reference.is_ok())
    }

    /// One random call; says which.
    async fn step(&mut self) -> Result<&'static str, Broken> {
        self.now += self.random.random_range(0..30);
        match self.below(20) {
            0..=3 => self.add().await.map(|()| "add_contacts"),
            4..=8 => self.claim().await.map(|()| "claim"),
            9..=13 => self.settle().await.map(|()| "settle"),
            14 => self.save().await.map(|()| "save_campaign"),
            15 => self.bulk().await.map(|()| "bulk_change"),
            16 => self.suppress().await.map(|()| "suppress"),
            17 => self.update().await.map(|()| "update_contact"),
            18 => self.take_over().await.map(|()| "take_over"),
            _ => match self.below(6) {
                0..=2 => self.register().await.map(|()| "register_node"),
                3 => self.renew().await.map(|()| "renew_node"),
                4 => self.amend().await.map(|()| "amend"),
                _ => self.remove().await.map(|()| "remove_contacts"),
            },
        }
    }

    async fn add(&mut self) -> Checked {
        let owner = match self.below(5) {
            0 => Owner::List(ListId(1)),
            pick => Owner::Campaign(self.campaigns[pick % self.campaigns.len()].id),
        };
        let zones = ["UTC", "Europe/Paris", ""];
        let count = self.below(8);
        let contacts: Vec<NewContact> =
            (0..count).map(|_| person(self.random.random_range(0..120), zones[self.random.random_range(0..3)])).collect();
        let organization = self.chance(30).then_some(7);
        let duplicates = if self.chance(30) { DuplicatePolicy::UpdateVariables } else { DuplicatePolicy::Skip };
        let add = AddContacts { request_id: Uuid::new_v4(), owner, organization, contacts: contacts.into(), duplicates, now: at(self.now) };
        let (test, reference) = both!(self, desk => desk.store.add_contacts(add.clone()));
        if let Ok(added) = &test {
            self.contacts.extend(added.iter().filter(|added| matches!(added, Added::New(_))).copied().map(id_of));
        }
        same(EQUAL, test, reference)
    }

    async fn claim(&mut self) -> Checked {
        let campaign = self.any_campaign();
        let node = self.any_node();
        let mut request = everything(&campaign, node.0, at(self.now));
        request.max = self.random.random_range(0..12);
        request.zones = ["UTC", "", "Europe/Paris"].iter().skip(self.below(2)).map(|zone| ZoneKey::from_names([*zone])).collect();
        request.limits.horizon = at(self.now + self.random.random_range(0..3));
        if self.chance(40) {
            request.account = Some("main".into());
            request.limits.shared.push(LimitRules { concurrency: Some(15), ..LimitRules::new(LimitScope::Account("main".into())) });
        }
        let own = &mut request.limits.shared[1];
        if self.random.random_range(0..100) < 40 {
            own.concurrency = Some(self.random.random_range(1..20));
        }
        if self.random.random_range(0..100) < 40 {
            own.rate = Some(Rate::per_minute(self.random.random_range(30..600)));
        }
        if self.random.random_range(0..100) < 30 {
            let day = (self.now / 2_000).min(20);
            let date = Date::constant(2026, 3, 2 + day as i8);
            own.day = Some(DayQuota { max: 15, day: date, ends_at: at((day + 1) * 2_000) });
        }
        if self.random.random_range(0..100) < 30 {
            own.budget = Some(Budget { limit: Money(5_000), per_attempt: Money(20) });
        }
        if self.chance(40) {
            let caller = |name: &str| LimitRules { concurrency: Some(6), ..LimitRules::new(LimitScope::Caller(name.into())) };
            request.limits.callers = vec![caller("a"), caller("b")];
        }
        if self.chance(30) {
            request.gates.frequency_caps = vec![FrequencyCap { max: 2, hours: 1, channels: Vec::new() }];
        }
        let twin = ClaimRequest { token: node.1, ..request.clone() };
        let test = said(self.test.store.claim(request).await);
        let reference = said(self.reference.store.claim(twin).await);
        let (Ok(test), Ok(reference)) = (&test, &reference) else {
            return same(EQUAL, test.map(|_| ()), reference.map(|_| ()));
        };
        let seen = |claims: &Claims| {
            let claimed: Vec<_> = claims
                .claimed
                .iter()
                .map(|claimed| {
                    (plain(&claimed.attempt), unversioned(&claimed.contact), claimed.history.iter().map(plain).collect::<Vec<_>>())
                })
                .collect();
            (claimed, claims.campaign_changed, claims.block.clone(), claims.passed_over)
        };
        same(EQUAL, seen(test), seen(reference))?;
        self.open.extend(test.claimed.iter().zip(&reference.claimed).map(|(a, b)| (a.attempt.clone(), b.attempt.clone())));
        Ok(())
    }

    async fn settle(&mut self) -> Checked {
        let count = self.below(6);
        let mut chosen = Vec::new();
        for _ in 0..count.min(self.open.len()) {
            let index = self.below(self.open.len());
            chosen.push(self.open.swap_remove(index));
        }
        let Some(holder) = chosen.first().map(|(test, reference)| (test.claimed_by, reference.claimed_by)) else { return Ok(()) };
        let mut batch = Vec::new();
        for (attempt, _) in &chosen {
            let outcome = match self.below(4) {
                0 => Outcome::answered(self.random.random_range(1..90)).with_cost(Money(self.random.random_range(0..50))),
                1 => Outcome::new(Disposition::Busy),
                2 => Outcome::new(Disposition::NoAnswer).with_cost(Money(3)),
                _ => Outcome::new(Disposition::Sent),
            };
            let due = at(self.now + self.random.random_range(0..200));
            let channel = Channel::ALL[self.below(3)];
            let next = step(self.random.random_range(0..3), channel);
            batch.push(match self.below(6) {
                0 => again(attempt, AttemptEnd::Refused, due, next)?,
                1 => again(attempt, AttemptEnd::Unused, due, next)?,
                2 | 3 => again(attempt, AttemptEnd::Finished(outcome), due, next)?,
                _ => finish(attempt, outcome, ContactStatus::Completed)?,
            });
            self.settled.push(attempt.id);
        }
        let now = at(self.now);
        let test = said(self.test.settle(holder.0, batch.clone(), now).await);
        let reference = said(self.reference.settle(holder.1, batch, now).await);
        if let Ok(reply) = &test {
            // Those held under another token are still open.
            self.open.extend(chosen.into_iter().zip(&reply.acks).filter(|(_, ack)| **ack == SettleAck::Stale).map(|(pair, _)| pair));
        }
        let seen = |reply: Result<SettleReply, Kind>| reply.map(|reply| reply.acks);
        same(EQUAL, seen(test), seen(reference))
    }

    async fn save(&mut self) -> Checked {
        let index = self.below(self.campaigns.len());
        let status = if self.chance(80) { CampaignStatus::Running } else { CampaignStatus::Paused };
        let record = CampaignRecord { status, ..self.campaigns[index].clone() };
        let guard = [None, Some(SaveGuard::NoOpenContacts), Some(SaveGuard::SomePendingContacts)][self.below(3)];
        let expected_revision = record.revision;
        let save = SaveCampaign { record, expected_revision, guard, now: at(self.now) };
        let (test, reference) = both!(self, desk => desk.store.save_campaign(save.clone()));
        if let Ok(record) = &test {
            self.campaigns[index] = record.clone();
        }
        same(EQUAL, test, reference)
    }

    async fn bulk(&mut self) -> Checked {
        let mut record = self.any_campaign();
        let action = match self.below(8) {
            0 => BulkAction::Cancel { reason: reason("stop") },
            1 => BulkAction::Skip { reason: reason("deadline") },
            2 => BulkAction::RemoveUntouched,
            _ => {
                record.run.number = self.random.random_range(1..5);
                BulkAction::Reset { run: record.run.number }
            }
        };
        let ids: Vec<ContactId> =
            (0..6).filter_map(|_| self.contacts.get(self.random.random_range(0..self.contacts.len().max(1))).copied()).collect();
        let selection = match self.below(3) {
            0 if !matches!(action, BulkAction::RemoveUntouched) => Selection::All,
            1 => Selection::Statuses(vec![ContactStatus::Completed, ContactStatus::Skipped]),
            _ => Selection::Ids(ids),
        };
        let change = BulkChange { campaign: record.id, selection, action, limit: 10_000, now: at(self.now) };
        let (test, reference) = both!(self, desk => desk.store.bulk_change(change.clone()));
        same(EQUAL, test, reference)
    }

    async fn suppress(&mut self) -> Checked {
        let scope = match self.below(3) {
            0 => SuppressionScope::Everything,
            1 => SuppressionScope::Organization(7 + i64::from(self.chance(20))),
            _ => SuppressionScope::Campaign(self.any_campaign().id),
        };
        let number = phone(self.random.random_range(0..120));
        if self.chance(50) {
            let keys = vec![SuppressionKey { phone: number, scope }];
            let (test, reference) = both!(self, desk => desk.store.unsuppress(keys.clone()));
            return same(EQUAL, test, reference);
        }
        let expires_at = self.chance(50).then(|| at(self.now + 300));
        let entry = Suppression { phone: number, scope, reason: "asked".to_owned(), source: None, created_at: at(self.now), expires_at };
        let (test, reference) = both!(self, desk => desk.store.suppress(vec![entry.clone()]));
        same(EQUAL, test, reference)
    }

    async fn update(&mut self) -> Checked {
        if self.contacts.is_empty() {
            return Ok(());
        }
        let index = self.below(self.contacts.len());
        let id = self.contacts[index];
        let due_at = self.chance(60).then(|| at(self.now + 60));
        let finish = self.chance(30);
        let mut answers = Vec::new();
        for desk in [&self.test, &self.reference] {
            let Some(contact) = desk.store.contact(id).await? else {
                answers.push(Err(Kind::NotFound));
                continue;
            };
            let transition = match finish {
                true => Some(legal(ContactStatus::Pending, ContactEvent::Finish(ContactStatus::Completed))?),
                false => None,
            };
            let expected_version = contact.state.version;
            let update = UpdateContact {
                id,
                expected_version,
                transition,
                reason: None,
                due_at,
                step: None,
                replied_at: Some(at(self.now)),
                now: at(self.now),
            };
            answers.push(said(desk.store.update_contact(update).await).map(|contact| unversioned(&contact)));
        }
        let reference = answers.pop();
        same(EQUAL, answers.pop(), reference)
    }

    async fn take_over(&mut self) -> Checked {
        let node = self.any_node();
        let take = TakeOver { token: node.0, quarantine: minutes(1), limit: self.random.random_range(1..6), now: at(self.now) };
        let test = said(self.test.store.take_over(take).await);
        let reference = said(self.reference.store.take_over(TakeOver { token: node.1, ..take }).await);
        for (test, reference) in test.iter().flatten().zip(reference.iter().flatten()) {
            self.open.retain(|(open, _)| open.id != test.attempt.id);
            self.open.push((test.attempt.clone(), reference.attempt.clone()));
        }
        let seen = |taken: Result<Vec<TakenOver>, Kind>| {
            taken.map(|taken| taken.iter().map(|taken| (plain(&taken.attempt), unversioned(&taken.contact))).collect::<Vec<_>>())
        };
        same(EQUAL, seen(test), seen(reference))
    }

    async fn renew(&mut self) -> Checked {
        let node = self.any_node();
        let renew = RenewNode { token: node.0, lease: minutes(10), now: at(self.now) };
        let test = said(self.test.store.renew_node(renew).await);
        same(EQUAL, test, said(self.reference.store.renew_node(RenewNode { token: node.1, ..renew }).await))
    }

    async fn amend(&mut self) -> Checked {
        if self.settled.is_empty() {
            return Ok(());
        }
        let index = self.below(self.settled.len());
        let id = self.settled[index];
        let outcome = Outcome::answered(self.random.random_range(0..50)).with_cost(Money(self.random.random_range(0..50)));
        let (test, reference) = both!(self, desk => desk.store.amend(id, outcome.clone()));
        same(EQUAL, test.map(|attempt| plain(&attempt)), reference.map(|attempt| plain(&attempt)))
    }

    async fn remove(&mut self) -> Checked {
        let owner = Owner::Campaign(self.any_campaign().id);
        let ids: Vec<ContactId> =
            (0..3).filter_map(|_| self.contacts.get(self.random.random_range(0..self.contacts.len().max(1))).copied()).collect();
        let (test, reference) = both!(self, desk => desk.store.remove_contacts(owner, ids.clone()));
        same(EQUAL, test, reference)
    }

    /// Compares what can be seen: counts and ledgers every time, every record now and then.
    async fn look(&self, whole: bool) -> Checked {
        let own = self.campaigns.iter().map(|record| LimitScope::Campaign(record.id));
        let others =
            [LimitScope::Deployment, LimitScope::Account("main".into()), LimitScope::Caller("a".into()), LimitScope::Caller("b".into())];
        let scopes: Vec<LimitScope> = own.chain(others).collect();
        same(EQUAL, self.test.store.ledgers(scopes.clone()).await?, self.reference.store.ledgers(scopes).await?)?;
        for record in &self.campaigns {
            same(EQUAL, self.test.counts(record.id).await?, self.reference.counts(record.id).await?)?;
        }
        if !whole {
            return Ok(());
        }
        for owner in self.campaigns.iter().map(|record| Owner::Campaign(record.id)).chain([Owner::List(ListId(1))]) {
            let plain = |contacts: Vec<Contact>| contacts.iter().map(unversioned).collect::<Vec<_>>();
            same(EQUAL, plain(self.test.all(owner).await?), plain(self.reference.all(owner).await?))?;
        }
        let paging = Paging { offset: 0, limit: 10_000 };
        let query = AttemptQuery { paging, count: true, ..AttemptQuery::default() };
        let (test, reference) = (self.test.store.attempts(query.clone()).await?, self.reference.store.attempts(query).await?);
        same(EQUAL, test.items.iter().map(plain).collect::<Vec<_>>(), reference.items.iter().map(plain).collect())?;
        let suppressions = SuppressionQuery { paging, ..SuppressionQuery::default() };
        same(EQUAL, self.test.store.suppressions(suppressions.clone()).await?, self.reference.store.suppressions(suppressions).await?)?;
        for record in &self.campaigns {
            let zones = |mut zones: Vec<PendingZone>| {
                zones.sort_by(|a, b| a.zones.cmp(&b.zones));
                zones
            };
            same(
                EQUAL,
                zones(self.test.store.pending_zones(record.id).await?),
                zones(self.reference.store.pending_zones(record.id).await?),
            )?;
            let reasons = |mut rows: Vec<ReasonCount>| {
                rows.sort_by(|a, b| (a.status, &a.zones, &a.code, a.due).cmp(&(b.status, &b.zones, &b.code, b.due)));
                rows
            };
            let now = at(self.now);
            same(
                EQUAL,
                reasons(self.test.store.reasons(record.id, now).await?),
                reasons(self.reference.store.reasons(record.id, now).await?),
            )?;
            let timeline = TimelineQuery { campaign: record.id, from: at(0), to: at(1_000_000), bucket_seconds: 600 };
            same(EQUAL, self.test.store.timeline(timeline).await?, self.reference.store.timeline(timeline).await?)?;
        }
        let since = Some(at(self.now - 600));
        for &id in self.contacts.iter().rev().take(40) {
            let (test, reference) = both!(self, desk => desk.store.facts(id, since, at(self.now)));
            same(EQUAL, test, reference)?;
        }
        Ok(())
    }
}
