//! Exact limits: concurrency, rate, calls per day and budget, reserved slot by slot.
//!
//! A store keeps one [`Ledger`] per [`LimitScope`]. In the transaction that claims it loads the ledgers a claim needs, lets a
//! [`Pacer`] hand out [`Slot`]s one by one, and writes the ledgers back; in the transaction that settles it calls
//! [`Ledger::settle`]. Because both happen in the store's transactions, the limits hold over every process that shares it.

use crate::id::{CampaignId, Money};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a limit is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
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
