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
        let micros = i64::from(self.per_seconds) * 1_005_000 / i64::from(self.starts.max(1));
        SignedDuration::from_micros(micros.max(1))
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
    /// Money.
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
    /// No start before this moment.
    pub next_slot: Option<Timestamp>,
    /// The day `day_starts` is about.
    pub day: Option<Date>,
    /// Starts on that day.
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
    /// Gives back what one attempt had reserved when it was claimed.
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

    /// The next slot; `None` when a limit is met, see [`Pacer::block`].
    pub fn take(&mut self) -> Option<Slot> {
        let shared = self.limits.shared.len();
        let mut start = self.now;
        for index in 0..shared {
            match earliest(&self.limits.shared[index], &self.ledgers[index], self.now) {
                Ok(at) => start = start.max(at),
                Err(block) => return self.stop(block),
            }
        }
        let mut caller = None;
        if !self.limits.callers.is_empty() {
            let mut best: Option<(Timestamp, u32, usize)> = None;
            let mut first_block: Option<LimitBlock> = None;
            for (index, rules) in self.limits.callers.iter().enumerate() {
                let ledger = &self.ledgers[shared + index];
                match earliest(rules, ledger, self.now) {
                    Ok(at) => {
                        let candidate = (start.max(at), ledger.in_flight, index);
                        if best.is_none_or(|found| candidate < found) {
                            best = Some(candidate);
                        }
                    }
                    Err(block) => {
                        let sooner = first_block.as_ref().is_none_or(|found| match (block.opens_at, found.opens_at) {
                            (Some(new), Some(old)) => new < old,
                            (Some(_), None) => true,
                            _ => false,
                        });
                        if sooner {
                            first_block = Some(block);
                        }
                    }
                }
            }
            match (best, first_block) {
                (Some((at, _, index)), _) => {
                    start = at;
                    caller = Some(index);
                }
                (None, block) => {
                    let block =
                        block.unwrap_or_else(|| LimitBlock { scope: LimitScope::Deployment, limit: LimitKind::CallerIds, opens_at: None });
                    return self.stop(LimitBlock { limit: LimitKind::CallerIds, ..block });
                }
            }
        }
        if start > self.limits.horizon {
            // The slot is too far ahead to claim now; it opens when it comes within reach.
            let scope = self.slowest(start).clone();
            return self.stop(LimitBlock { scope, limit: LimitKind::Rate, opens_at: Some(start) });
        }
        let mut reserved = Money::ZERO;
        for index in 0..shared {
            reserved += reserve(&self.limits.shared[index], &mut self.ledgers[index], start);
        }
        let caller = caller.map(|index| {
            let rules = &self.limits.callers[index];
            reserve(rules, &mut self.ledgers[shared + index], start);
            match &rules.scope {
                LimitScope::Caller(number) => Arc::clone(number),
                other => Arc::from(other.key()),
            }
        });
        Some(Slot { start_at: start, caller, reserved })
    }

    /// The limit that ended the claim, when one did.
    pub fn block(&self) -> Option<&LimitBlock> {
        self.block.as_ref()
    }

    /// The ledgers as they are now, to be written back, in the order of [`ClaimLimits::scopes`].
    pub fn ledgers(&self) -> &[Ledger] {
        &self.ledgers
    }

    fn stop(&mut self, block: LimitBlock) -> Option<Slot> {
        self.block = Some(block);
        None
    }

    fn slowest(&self, start: Timestamp) -> &LimitScope {
        let all = self.limits.shared.iter().chain(&self.limits.callers);
        all.zip(&self.ledgers)
            .find(|(_, ledger)| ledger.next_slot == Some(start))
            .map_or(&LimitScope::Deployment, |(rules, _)| &rules.scope)
    }
}

/// When the scope allows one more start, or why it does not.
pub fn earliest(rules: &LimitRules, ledger: &Ledger, now: Timestamp) -> Result<Timestamp, LimitBlock> {
    let block = |limit, opens_at| LimitBlock { scope: rules.scope.clone(), limit, opens_at };
    if rules.concurrency.is_some_and(|max| ledger.in_flight >= max) {
        return Err(block(LimitKind::Concurrency, None));
    }
    if let Some(quota) = rules.day {
        let used = if ledger.day == Some(quota.day) { ledger.day_starts } else { 0 };
        if used >= quota.max {
            return Err(block(LimitKind::CallsPerDay, Some(quota.ends_at)));
        }
    }
    if let Some(budget) = rules.budget {
        let committed = ledger.spent + ledger.reserved;
        if committed >= budget.limit || committed + budget.per_attempt > budget.limit {
            return Err(block(LimitKind::Budget, None));
        }
    }
    Ok(match (rules.rate, ledger.next_slot) {
        (Some(_), Some(next)) => next.max(now),
        _ => now,
    })
}

fn reserve(rules: &LimitRules, ledger: &mut Ledger, start: Timestamp) -> Money {
    ledger.in_flight += 1;
    if let Some(rate) = rules.rate {
        ledger.next_slot = Some(start.saturating_add(rate.interval()).unwrap_or(start));
    }
    if let Some(quota) = rules.day {
        if ledger.day != Some(quota.day) {
            ledger.day = Some(quota.day);
            ledger.day_starts = 0;
        }
        ledger.day_starts += 1;
    }
    match rules.budget {
        Some(budget) => {
            ledger.reserved += budget.per_attempt;
            budget.per_attempt
        }
        None => Money::ZERO,
    }
}
