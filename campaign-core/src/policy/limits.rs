//! Exact limits: concurrency, rate, calls per day and budget, reserved slot by slot.
//!
//! A store keeps one [`Ledger`] per [`LimitScope`]. In the transaction that claims it loads the ledgers a claim needs, lets a
//! [`Pacer`] hand out [`Slot`]s one by one, and writes the ledgers back; in the transaction that settles it calls
//! [`Ledger::settle`]. Because both happen in the store's transactions, the limits hold over every process that shares it.

use crate::id::{CampaignId, Money};
use crate::redact::debug_without;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// What a limit is about.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitScope {
    /// Everything that runs on the store.
    Deployment,
    /// A provider account, by the name its dialer gives.
    Account(Arc<str>),
    /// One campaign.
    Campaign(CampaignId),
    /// One caller id or sender.
    Caller(Arc<str>),
}

impl LimitScope {
    /// A stable text, for stores that want a key: `deployment`, `account:main`, `campaign:42`, `caller:+1555...`.
    pub fn key(&self) -> String {
        match self {
            Self::Deployment => "deployment".to_owned(),
            Self::Account(name) => format!("account:{name}"),
            Self::Campaign(id) => format!("campaign:{id}"),
            Self::Caller(number) => format!("caller:{number}"),
        }
    }
}

/// Its key, without the number of a caller.
impl fmt::Debug for LimitScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caller(_) => f.write_str("caller:…"),
            other => f.write_str(&other.key()),
        }
    }
}

/// At most `starts` starts in any window of `per_seconds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// How many.
    pub starts: u32,
    /// In how many seconds; 60 for a limit per minute, 1 for calls per second.
    pub per_seconds: u32,
}

impl Rate {
    /// Starts per minute.
    pub fn per_minute(starts: u32) -> Self {
        Self { starts, per_seconds: 60 }
    }

    /// The distance of two slots. Half a percent wider than the limit asks: a window then holds one slot less than its length
    /// allows when timers fire up to [`Rate::tolerance`] late, so the limit holds for the real starts and not only for the plan.
    pub fn interval(self) -> SignedDuration {
        let starts = u64::from(self.starts.max(1));
        // Rounded up: `starts` intervals must not be shorter than the window with its tolerance.
        let micros = (u64::from(self.per_seconds) * 1_005_000).div_ceil(starts);
        SignedDuration::from_micros(i64::try_from(micros.max(1)).unwrap_or(i64::MAX))
    }

    /// How late a start may be without breaking the limit: half a percent of the window.
    pub fn tolerance(self) -> SignedDuration {
        SignedDuration::from_micros(i64::from(self.per_seconds) * 5_000)
    }
}

/// A daily quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayQuota {
    /// How many starts.
    pub max: u32,
    /// The day it is now in the zone of the quota.
    pub day: Date,
    /// When that day ends.
    pub ends_at: Timestamp,
}

/// Money that may be spent, and what one attempt is reckoned to cost until its price is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// The end.
    pub limit: Money,
    /// Reserved per attempt.
    pub per_attempt: Money,
}

/// The limits of one scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitRules {
    /// What they are about.
    pub scope: LimitScope,
    /// Attempts at once.
    pub concurrency: Option<u32>,
    /// Starts per time.
    pub rate: Option<Rate>,
    /// Starts per day.
    pub day: Option<DayQuota>,
    /// Money. Reckoned for campaigns only; other scopes have none.
    pub budget: Option<Budget>,
}

impl LimitRules {
    /// No limits yet.
    pub fn new(scope: LimitScope) -> Self {
        Self { scope, concurrency: None, rate: None, day: None, budget: None }
    }
}

/// What a store keeps per scope. Changed only by [`Pacer`] and [`Ledger::settle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// Attempts claimed and not yet settled.
    pub in_flight: u32,
    /// No start before this moment. Kept for scopes without a rate too: callers without one take turns by it.
    pub next_slot: Option<Timestamp>,
    /// The day `day_starts` is about.
    pub day: Option<Date>,
    /// Starts on that day. Once a day is kept, every start of the scope counts, also those of campaigns without a quota of their own.
    pub day_starts: u32,
    /// Money spent.
    pub spent: Money,
    /// Money reserved by attempts in flight.
    pub reserved: Money,
}

/// How an attempt gives back what it had reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Release {
    /// It was handed over and cost this much.
    Used(Money),
    /// It was not handed over, or refused without effect: its start and its money are given back. Its rate slot is not.
    Unused,
}

impl Ledger {
    /// Gives back what one attempt had reserved when it was claimed: `reserved` is [`Slot::reserved`] for the campaign's ledger and
    /// zero for all others, `claimed_day` is [`Slot::day`].
    pub fn settle(&mut self, reserved: Money, claimed_day: Option<Date>, release: Release) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.reserved -= reserved;
        match release {
            Release::Used(cost) => self.spent += cost,
            Release::Unused => {
                if self.day.is_some() && self.day == claimed_day {
                    self.day_starts = self.day_starts.saturating_sub(1);
                }
            }
        }
    }
}

/// Which limit a claim met, and when it opens again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitBlock {
    /// Whose limit.
    pub scope: LimitScope,
    /// Which one.
    pub limit: LimitKind,
    /// When it opens; `None` when only a settlement, an edit or more money opens it.
    pub opens_at: Option<Timestamp>,
}

/// The kinds of limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// Attempts at once.
    Concurrency,
    /// Starts per time.
    Rate,
    /// Starts per day.
    CallsPerDay,
    /// Money.
    Budget,
    /// Every caller id is at a limit of its own.
    CallerIds,
}

/// One start that has been reserved.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// When it starts.
    pub start_at: Timestamp,
    /// The caller id it starts from.
    pub caller: Option<Arc<str>>,
    /// Money reserved in the campaign's budget.
    pub reserved: Money,
    /// The day it was counted on, to be kept with the attempt for [`Ledger::settle`].
    pub day: Option<Date>,
}

debug_without!(Slot { start_at, reserved, day } hides { caller });

/// The limits of one claim: those every attempt must hold, and caller ids of which one must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimLimits {
    /// Deployment, account and campaign.
    pub shared: Vec<LimitRules>,
    /// Caller ids to choose from; empty: the dialer's own default.
    pub callers: Vec<LimitRules>,
    /// No slot later than this.
    pub horizon: Timestamp,
}

impl ClaimLimits {
    /// Every scope, shared ones first, in the order [`Pacer::new`] wants their ledgers.
    pub fn scopes(&self) -> impl Iterator<Item = &LimitScope> {
        self.shared.iter().chain(&self.callers).map(|rules| &rules.scope)
    }
}

/// Hands out slots within the limits of one claim.
#[derive(Debug, Clone)]
pub struct Pacer<'a> {
    limits: &'a ClaimLimits,
    ledgers: Vec<Ledger>,
    now: Timestamp,
    block: Option<LimitBlock>,
}

impl<'a> Pacer<'a> {
    /// From limits and the ledgers of [`ClaimLimits::scopes`], in that order.
    pub fn new(limits: &'a ClaimLimits, ledgers: Vec<Ledger>, now: Timestamp) -> Self {
        debug_assert_eq!(ledgers.len(), limits.shared.len() + limits.callers.len());
        Self { limits, ledgers, now, block: None }
    }

    /// The next slot that is not before `due_at`; `None` when a limit is met, see [`Pacer::block`].
    ///
    /// The slot itself moves behind `due_at`: moving only the start would let starts of several contacts meet, and break the rate.
    pub fn take(&mut self, due_at: Timestamp) -> Option<Slot> {
        match self.find(self.now.max(due_at)) {
            Ok((start, caller)) => Some(self.reserve(start, caller)),
            Err(block) => {
                self.block = Some(block);
                None
            }
        }
    }

    fn find(&self, from: Timestamp) -> Result<(Timestamp, Option<usize>), LimitBlock> {
        let (shared, callers) = self.ledgers.split_at(self.limits.shared.len());
        let mut start = from;
        let mut slowest = None;
        for (rules, ledger) in self.limits.shared.iter().zip(shared) {
            let at = earliest(rules, ledger, from)?;
            if at > start {
                (start, slowest) = (at, Some(&rules.scope));
            }
        }
        let caller = match self.limits.callers.is_empty() {
            true => None,
            false => {
                let (at, index) = choose_caller(&self.limits.callers, callers, start)?;
                if at > start {
                    (start, slowest) = (at, Some(&self.limits.callers[index].scope));
                }
                Some(index)
            }
        };
        if start > self.limits.horizon {
            // The slot is too far ahead to claim now; it opens when it comes within reach.
            let scope = slowest.unwrap_or(&LimitScope::Deployment).clone();
            return Err(LimitBlock { scope, limit: LimitKind::Rate, opens_at: Some(start) });
        }
        // A start after midnight belongs to the next day's quota, which this claim does not know.
        match self.limits.shared.iter().find_map(|rules| past_day(rules, start)) {
            Some(block) => Err(block),
            None => Ok((start, caller)),
        }
    }

    fn reserve(&mut self, start: Timestamp, caller: Option<usize>) -> Slot {
        let mut slot = Slot { start_at: start, caller: None, reserved: Money::ZERO, day: None };
        let (shared, callers) = self.ledgers.split_at_mut(self.limits.shared.len());
        let caller = caller.and_then(|index| self.limits.callers.get(index).zip(callers.get_mut(index)));
        if let Some((rules, _)) = &caller {
            slot.caller = Some(match &rules.scope {
                LimitScope::Caller(number) => Arc::clone(number),
                other => Arc::from(other.key()),
            });
        }
        for (rules, ledger) in self.limits.shared.iter().zip(shared).chain(caller) {
            slot.reserved += reserve(rules, ledger, start);
            slot.day = slot.day.or(rules.day.and(ledger.day));
        }
        slot
    }

    /// How many more contacts that are due by now could start, at most `max`.
    pub fn room(&self, max: u32) -> u32 {
        let mut trial = Pacer { limits: self.limits, ledgers: self.ledgers.clone(), now: self.now, block: None };
        let mut room = 0;
        while room < max && trial.take(self.now).is_some() {
            room += 1;
        }
        room
    }

    /// The limit that ended the claim, when one did.
    pub fn block(&self) -> Option<&LimitBlock> {
        self.block.as_ref()
    }

    /// The ledgers as they are now, to be written back, in the order of [`ClaimLimits::scopes`].
    pub fn ledgers(&self) -> &[Ledger] {
        &self.ledgers
    }
}

/// The caller that can start first from `start` on; among equals the one with the fewest attempts in flight, then the one that has
/// rested longest. Without one, the block that opens first.
fn choose_caller(rules: &[LimitRules], ledgers: &[Ledger], start: Timestamp) -> Result<(Timestamp, usize), LimitBlock> {
    let mut best = None;
    let mut block: Option<LimitBlock> = None;
    for (index, (rules, ledger)) in rules.iter().zip(ledgers).enumerate() {
        match earliest(rules, ledger, start) {
            Ok(at) => {
                let candidate = (at, ledger.in_flight, ledger.next_slot, index);
                if best.is_none_or(|found| candidate < found) {
                    best = Some(candidate);
                }
            }
            Err(new) => {
                let sooner = |old: &LimitBlock| new.opens_at.is_some_and(|at| old.opens_at.is_none_or(|before| at < before));
                if block.as_ref().is_none_or(sooner) {
                    block = Some(new);
                }
            }
        }
    }
    let none = || LimitBlock { scope: LimitScope::Deployment, limit: LimitKind::CallerIds, opens_at: None };
    match best {
        Some((at, _, _, index)) => Ok((at, index)),
        None => Err(LimitBlock { limit: LimitKind::CallerIds, ..block.unwrap_or_else(none) }),
    }
}

/// When the scope allows one more start, not before `from`, or why it does not.
pub fn earliest(rules: &LimitRules, ledger: &Ledger, from: Timestamp) -> Result<Timestamp, LimitBlock> {
    let block = |limit, opens_at| LimitBlock { scope: rules.scope.clone(), limit, opens_at };
    if rules.concurrency.is_some_and(|max| ledger.in_flight >= max) {
        return Err(block(LimitKind::Concurrency, None));
    }
    if rules.rate.is_some_and(|rate| rate.starts == 0) {
        return Err(block(LimitKind::Rate, None));
    }
    if let Some(quota) = rules.day {
        // A ledger that is a day ahead was moved on by a campaign in an eastern zone; its count is the safe one.
        let used = if ledger.day >= Some(quota.day) { ledger.day_starts } else { 0 };
        if used >= quota.max {
            return Err(block(LimitKind::CallsPerDay, Some(quota.ends_at)));
        }
    }
    if let Some(budget) = campaign_budget(rules) {
        let committed = ledger.spent + ledger.reserved;
        if committed >= budget.limit || committed + budget.per_attempt > budget.limit {
            return Err(block(LimitKind::Budget, None));
        }
    }
    let start = match (rules.rate, ledger.next_slot) {
        (Some(_), Some(next)) => next.max(from),
        _ => from,
    };
    past_day(rules, start).map_or(Ok(start), Err)
}

fn past_day(rules: &LimitRules, start: Timestamp) -> Option<LimitBlock> {
    let ends_at = rules.day.map(|quota| quota.ends_at).filter(|&ends_at| start >= ends_at)?;
    Some(LimitBlock { scope: rules.scope.clone(), limit: LimitKind::CallsPerDay, opens_at: Some(ends_at) })
}

/// An attempt is settled with one amount, so only one of its scopes can reckon money.
fn campaign_budget(rules: &LimitRules) -> Option<Budget> {
    rules.budget.filter(|_| matches!(rules.scope, LimitScope::Campaign(_)))
}

fn reserve(rules: &LimitRules, ledger: &mut Ledger, start: Timestamp) -> Money {
    ledger.in_flight = ledger.in_flight.saturating_add(1);
    // Without a rate the moment only grows, by the least a store keeps, so that callers take turns even at one instant.
    let after = match rules.rate {
        Some(rate) => start.saturating_add(rate.interval()),
        None => ledger.next_slot.map_or(start, |next| next.max(start)).saturating_add(SignedDuration::from_micros(1)),
    };
    ledger.next_slot = Some(after.unwrap_or(start));
    if let Some(quota) = rules.day
        && ledger.day < Some(quota.day)
    {
        ledger.day = Some(quota.day);
        ledger.day_starts = 0;
    }
    if ledger.day.is_some() {
        ledger.day_starts = ledger.day_starts.saturating_add(1);
    }
    let reserved = campaign_budget(rules).map_or(Money::ZERO, |budget| budget.per_attempt);
    ledger.reserved += reserved;
    reserved
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// The suite's midnight, plus so many microseconds.
    fn at(micros: i64) -> Timestamp {
        Timestamp::from_microsecond(1_772_409_600_000_000 + micros).unwrap()
    }

    fn day_of(moment: Timestamp) -> (Date, Timestamp) {
        let index = (moment.as_second() - at(0).as_second()).div_euclid(86_400);
        (Date::constant(2026, 3, 2) + jiff::Span::new().days(index), at((index + 1) * 86_400_000_000))
    }

    fn limits(shared: Vec<LimitRules>, callers: Vec<LimitRules>, horizon: Timestamp) -> ClaimLimits {
        ClaimLimits { shared, callers, horizon }
    }

    fn named(scope: LimitScope, change: impl FnOnce(&mut LimitRules)) -> LimitRules {
        let mut rules = LimitRules::new(scope);
        change(&mut rules);
        rules
    }

    /// The most starts that any window of this length holds; `starts` ascending.
    fn fullest_window(starts: &[Timestamp], length: SignedDuration) -> usize {
        let mut first = 0;
        let mut most = 0;
        for (last, start) in starts.iter().enumerate() {
            while start.duration_since(starts[first]) >= length {
                first += 1;
            }
            most = most.max(last - first + 1);
        }
        most
    }

    #[derive(Debug, Clone)]
    struct Plan {
        concurrency: Option<u32>,
        rate: Option<(u32, u32)>,
        day: Option<u32>,
        budget: Option<(i64, i64)>,
    }

    fn plan() -> impl Strategy<Value = Plan> {
        use proptest::option::of;
        let rate = of((1u32..40, prop_oneof![Just(1u32), Just(60)]));
        (of(1u32..8), rate, of(1u32..30), of((0i64..500, 0i64..40))).prop_map(|(concurrency, rate, day, budget)| Plan {
            concurrency,
            rate,
            day,
            budget,
        })
    }

    fn rules_of(plan: &Plan, scope: LimitScope, now: Timestamp) -> LimitRules {
        let (day, ends_at) = day_of(now);
        LimitRules {
            scope,
            concurrency: plan.concurrency,
            rate: plan.rate.map(|(starts, per_seconds)| Rate { starts, per_seconds }),
            day: plan.day.map(|max| DayQuota { max, day, ends_at }),
            budget: plan.budget.map(|(limit, per_attempt)| Budget { limit: Money(limit), per_attempt: Money(per_attempt) }),
        }
    }

    /// What happens between two claims: how long it takes, how many are wanted, how far ahead they are due, how many end, and how.
    type Turn = (i64, usize, i64, usize, u8);

    fn turns() -> impl Strategy<Value = Vec<Turn>> {
        let pause = prop_oneof![0i64..3_000_000, 0i64..60_000_000, Just(20_000_000_000i64)];
        proptest::collection::vec((pause, 0usize..20, 0i64..1_500_000, 0usize..20, any::<u8>()), 1..80)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn limits_hold_over_any_sequence(
            plans in [plan(), plan(), plan(), plan()],
            callers in 0usize..3,
            turns in turns(),
            late in any::<u64>(),
        ) {
            let campaign = LimitScope::Campaign(CampaignId(1));
            let scopes = [LimitScope::Deployment, campaign.clone(), LimitScope::Caller("a".into()), LimitScope::Caller("b".into())];
            let mut ledgers: BTreeMap<LimitScope, Ledger> = BTreeMap::new();
            let mut open: Vec<(Slot, Vec<LimitScope>)> = Vec::new();
            let mut starts: BTreeMap<LimitScope, Vec<Timestamp>> = BTreeMap::new();
            let mut days: BTreeMap<(LimitScope, Date), u32> = BTreeMap::new();
            let mut spent = Money::ZERO;
            let mut now = at(0);
            for (pause, wanted, ahead, ended, how) in turns {
                now = now.checked_add(SignedDuration::from_micros(pause)).unwrap();
                let rules: Vec<LimitRules> = scopes.iter().zip(&plans).map(|(scope, plan)| rules_of(plan, scope.clone(), now)).collect();
                let horizon = now.checked_add(SignedDuration::from_secs(1)).unwrap();
                let limits = limits(rules[..2].to_vec(), rules[2..2 + callers].to_vec(), horizon);
                let loaded = limits.scopes().map(|scope| ledgers.get(scope).copied().unwrap_or_default()).collect();
                let mut pacer = Pacer::new(&limits, loaded, now);
                for _ in 0..wanted {
                    let due_at = now.checked_add(SignedDuration::from_micros(ahead.min(1_000_000))).unwrap();
                    let Some(slot) = pacer.take(due_at) else {
                        prop_assert!(pacer.block().is_some());
                        break;
                    };
                    prop_assert!(slot.start_at >= due_at && slot.start_at <= horizon);
                    let held: Vec<LimitScope> =
                        scopes[..2].iter().cloned().chain(slot.caller.clone().map(LimitScope::Caller)).collect();
                    for scope in &held {
                        starts.entry(scope.clone()).or_default().push(slot.start_at);
                        *days.entry((scope.clone(), day_of(slot.start_at).0)).or_default() += 1;
                    }
                    open.push((slot, held));
                }
                for (scope, ledger) in limits.scopes().zip(pacer.ledgers()) {
                    ledgers.insert(scope.clone(), *ledger);
                }
                for (scope, plan) in scopes.iter().zip(&plans) {
                    let ledger = ledgers.get(scope).copied().unwrap_or_default();
                    let in_flight = open.iter().filter(|(_, held)| held.contains(scope)).count();
                    prop_assert_eq!(ledger.in_flight as usize, in_flight);
                    prop_assert!(plan.concurrency.is_none_or(|max| in_flight <= max as usize), "more in flight than allowed");
                    let today = days.get(&(scope.clone(), day_of(now).0)).copied().unwrap_or(0);
                    prop_assert!(plan.day.is_none_or(|max| today <= max), "{today} starts on a day of {:?}", plan.day);
                    if plan.day.is_some() && ledger.day == Some(day_of(now).0) {
                        prop_assert_eq!(ledger.day_starts, today, "give-back is exact");
                    }
                }
                let reserved: Money = open.iter().fold(Money::ZERO, |sum, (slot, _)| sum + slot.reserved);
                let own = ledgers.get(&campaign).copied().unwrap_or_default();
                prop_assert_eq!((own.spent, own.reserved), (spent, reserved));
                if let Some((limit, _)) = plans[1].budget {
                    prop_assert!(spent + reserved <= Money(limit), "more money committed than there is");
                }
                for _ in 0..ended.min(open.len()) {
                    let (slot, held) = open.swap_remove(how as usize % open.len());
                    let used = how % 3 != 0;
                    let release = if used { Release::Used(slot.reserved) } else { Release::Unused };
                    for scope in &held {
                        let reserved = if *scope == campaign { slot.reserved } else { Money::ZERO };
                        ledgers.entry(scope.clone()).or_default().settle(reserved, slot.day, release);
                        if !used {
                            *days.entry((scope.clone(), day_of(slot.start_at).0)).or_default() -= 1;
                        }
                    }
                    if used {
                        spent += slot.reserved;
                    }
                }
            }
            // Every start may fire late, each by another part of what the rate tolerates.
            for (scope, plan) in scopes.iter().zip(&plans) {
                let (Some((count, per_seconds)), Some(starts)) = (plan.rate, starts.get_mut(scope)) else { continue };
                let rate = Rate { starts: count, per_seconds };
                let most = rate.tolerance().as_micros() as u64;
                for (index, start) in starts.iter_mut().enumerate() {
                    let delay = late.wrapping_mul(index as u64 * 2 + 1).rotate_left(17) % (most + 1);
                    let delay = if late % 2 == 0 { delay } else { most * (index as u64 % 2) };
                    *start = start.checked_add(SignedDuration::from_micros(delay as i64)).unwrap();
                }
                starts.sort_unstable();
                let found = fullest_window(starts, SignedDuration::from_secs(i64::from(per_seconds)));
                prop_assert!(found <= count as usize, "{found} starts in {per_seconds} s at a rate of {count}");
            }
        }
    }

    #[test]
    fn a_saturated_rate_is_used_and_never_exceeded_when_all_starts_are_as_late_as_can_be() {
        for rate in [Rate::per_minute(7), Rate::per_minute(600), Rate::per_minute(6_000), Rate { starts: 3, per_seconds: 1 }] {
            let own = named(LimitScope::Campaign(CampaignId(1)), |rules| rules.rate = Some(rate));
            let mut ledger = Ledger::default();
            let mut starts = Vec::new();
            for tick in 0..2_400 {
                let now = at(tick * 250_000);
                let limits = limits(vec![own.clone()], vec![], now.checked_add(SignedDuration::from_secs(1)).unwrap());
                let mut pacer = Pacer::new(&limits, vec![ledger], now);
                while let Some(slot) = pacer.take(now) {
                    starts.push(slot.start_at);
                }
                assert_eq!(pacer.block().unwrap().limit, LimitKind::Rate);
                ledger = pacer.ledgers()[0];
            }
            let length = SignedDuration::from_secs(i64::from(rate.per_seconds));
            let possible = 600.0 * f64::from(rate.starts) / f64::from(rate.per_seconds);
            assert!(starts.len() as f64 >= possible * 0.99, "{} of {possible}", starts.len());
            // The worst case: the first start of a window is as late as can be, all others are on time.
            let longer = length.checked_add(rate.tolerance()).unwrap();
            assert!(fullest_window(&starts, longer) <= rate.starts as usize, "{rate:?}");
        }
    }

    #[test]
    fn callers_take_turns_with_and_without_a_rate() {
        let caller = |name: &str, rate| named(LimitScope::Caller(name.into()), |rules| rules.rate = rate);
        for rate in [None, Some(Rate::per_minute(600))] {
            let callers = vec![caller("a", rate), caller("b", rate), caller("c", rate)];
            let mut ledgers = vec![Ledger::default(); 3];
            let mut used = Vec::new();
            for turn in 0..9 {
                let limits = limits(vec![], callers.clone(), at(turn + 1_000_000));
                let mut pacer = Pacer::new(&limits, ledgers, at(turn / 3));
                used.push(pacer.take(at(0)).unwrap().caller.unwrap());
                ledgers = pacer.ledgers().to_vec();
                // Each ends before the next begins, so that nothing is in flight to tell them apart.
                ledgers
                    .iter_mut()
                    .filter(|ledger| ledger.in_flight > 0)
                    .for_each(|ledger| ledger.settle(Money::ZERO, None, Release::Unused));
            }
            assert_eq!(used.concat(), "abcabcabc", "{rate:?}");
        }
    }

    #[test]
    fn a_shared_quota_counts_campaigns_without_one_and_in_other_zones() {
        let quota = |day, ends_at| Some(DayQuota { max: 3, day, ends_at });
        let (monday, tuesday) = (Date::constant(2026, 3, 2), Date::constant(2026, 3, 3));
        let caller = |day| vec![named(LimitScope::Caller("a".into()), |rules| rules.day = day)];
        let mut ledger = Ledger::default();
        let mut take = |day| {
            let limits = limits(vec![], caller(day), at(1_000_000));
            let mut pacer = Pacer::new(&limits, vec![ledger], at(0));
            let slot = pacer.take(at(0));
            ledger = pacer.ledgers()[0];
            slot.map(|slot| slot.day)
        };
        assert_eq!(take(quota(tuesday, at(9_000_000))), Some(Some(tuesday)));
        assert_eq!(take(None), Some(None), "counts on the day the others keep, and gives nothing back");
        assert_eq!(take(quota(monday, at(5_000_000))), Some(Some(tuesday)), "a western campaign does not set the day back");
        assert_eq!(take(quota(tuesday, at(9_000_000))), None);
        assert_eq!(take(quota(monday, at(5_000_000))), None);
    }

    #[test]
    fn no_start_crosses_midnight_on_the_old_quota() {
        let ends_at = at(500_000);
        let own = named(LimitScope::Campaign(CampaignId(1)), |rules| {
            rules.rate = Some(Rate { starts: 10, per_seconds: 1 });
            rules.day = Some(DayQuota { max: 100, day: Date::constant(2026, 3, 2), ends_at });
        });
        let limits = limits(vec![own], vec![], at(1_000_000));
        let mut pacer = Pacer::new(&limits, vec![Ledger::default()], at(0));
        while let Some(slot) = pacer.take(at(0)) {
            assert!(slot.start_at < ends_at);
        }
        assert_eq!(pacer.block().map(|block| (block.limit, block.opens_at)), Some((LimitKind::CallsPerDay, Some(ends_at))));
    }
}
