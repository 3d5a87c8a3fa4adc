//! A campaign made ready to run: policy built, windows and templates compiled. Immutable; an edit makes a new one.

use super::core::Core;
use crate::campaign::{Campaign, CampaignRecord, CampaignType, SpecCampaign};
use crate::contact::{PlannedStep, ZoneKey};
use crate::id::CampaignId;
use crate::policy::gates::ClaimGates;
use crate::policy::limits::{Budget, ClaimLimits, DayQuota, LimitRules, LimitScope, Rate};
use crate::schedule::{self, CompiledWindows};
use crate::template::TemplateSet;
use crate::{Error, Kind, Result};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// Starts of limits per second may be this late; carriers queue what comes a little early.
const LEAST_GRACE: SignedDuration = SignedDuration::from_millis(100);
/// Without a rate limit nothing breaks when a start is a little late. What is later was held up by something worth a second claim.
const MOST_GRACE: SignedDuration = SignedDuration::from_secs(1);

pub(crate) struct Active {
    pub(crate) record: CampaignRecord,
    pub(crate) policy: Arc<dyn Campaign>,
    pub(crate) windows: CompiledWindows,
    pub(crate) templates: TemplateSet,
    pub(crate) zone: TimeZone,
    pub(crate) gates: ClaimGates,
    pub(crate) name: Arc<str>,
    pub(crate) options: Arc<crate::contact::Variables>,
    /// Zones of contacts, looked up once.
    zones: Mutex<HashMap<ZoneKey, TimeZone>>,
}

impl Active {
    pub(crate) fn id(&self) -> CampaignId {
        self.record.id
    }

    pub(crate) fn first_step(&self) -> PlannedStep {
        PlannedStep { step: 0, channel: self.record.spec.first_channel() }
    }

    /// The zone whose clock the contact lives by: the first candidate, or the campaign's.
    pub(crate) fn zone_of(&self, key: &ZoneKey) -> TimeZone {
        let mut zones = self.zones.lock();
        if let Some(zone) = zones.get(key) {
            return zone.clone();
        }
        let zone = key.names().next().and_then(schedule::zone).unwrap_or_else(|| self.zone.clone());
        zones.insert(key.clone(), zone.clone());
        zone
    }

    /// Every limit a claim at `now` must hold, and how late its starts may be.
    pub(crate) fn limits(&self, core: &Core, now: Timestamp) -> (ClaimLimits, SignedDuration) {
        let spec = &self.record.spec;
        let day = |max: Option<u32>| max.and_then(|max| self.quota(max, now));
        let mut campaign = LimitRules::new(LimitScope::Campaign(self.id()));
        campaign.concurrency = spec.concurrent_limit;
        campaign.rate = spec.rate_limit_per_minute.map(Rate::per_minute);
        campaign.day = day(spec.calls_per_day);
        campaign.budget = spec.budget.map(|limit| Budget { limit, per_attempt: spec.cost_per_attempt });
        let mut shared = vec![campaign];
        if core.options.max_in_flight.is_some() || core.options.max_rate.is_some() {
            let mut deployment = LimitRules::new(LimitScope::Deployment);
            deployment.concurrency = core.options.max_in_flight;
            deployment.rate = core.options.max_rate;
            shared.push(deployment);
        }
        if let Some(account) = &core.account {
            let mut rules = LimitRules::new(LimitScope::Account(Arc::clone(account)));
            rules.concurrency = core.capabilities.max_concurrent;
            rules.rate = core.capabilities.calls_per_second.map(|starts| Rate { starts, per_seconds: 1 });
            shared.push(rules);
        }
        let callers: Vec<LimitRules> = spec
            .caller_ids
            .iter()
            .map(|caller| {
                let mut rules = LimitRules::new(LimitScope::Caller(Arc::from(caller.number.as_str())));
                rules.concurrency = caller.concurrent_limit;
                rules.rate = caller.rate_limit_per_minute.map(Rate::per_minute);
                rules.day = day(caller.calls_per_day);
                rules
            })
            .collect();
        let mut horizon = super::core::later(now, core.options.look_ahead);
        for quota in shared.iter().chain(&callers).filter_map(|rules| rules.day) {
            // A start is counted on the day it is claimed, so nothing is claimed across midnight.
            horizon = horizon.min(super::core::earlier(quota.ends_at, Duration::from_micros(1)));
        }
        let grace = shared.iter().chain(&callers).filter_map(|rules| rules.rate).map(|rate| rate.tolerance().max(LEAST_GRACE)).min();
        // A dead node's attempts are left alone until their grace is over, so a short lease asks for a short one.
        let lease = SignedDuration::try_from(core.options.lease / 2).unwrap_or(MOST_GRACE);
        (ClaimLimits { shared, callers, horizon }, grace.unwrap_or(MOST_GRACE).min(MOST_GRACE).min(lease))
    }

    fn quota(&self, max: u32, now: Timestamp) -> Option<DayQuota> {
        let day = now.to_zoned(self.zone.clone()).date();
        let ends_at = day.tomorrow().ok()?.to_zoned(self.zone.clone()).ok()?.timestamp();
        Some(DayQuota { max, day, ends_at })
    }
}

impl std::fmt::Debug for Active {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Active").field("id", &self.record.id).field("revision", &self.record.revision).finish_non_exhaustive()
    }
}

impl Core {
    /// Compiles a campaign.
    pub(crate) fn activate(&self, record: CampaignRecord) -> Result<Active> {
        let spec = &record.spec;
        let policy = self.policy(spec)?;
        let own = catch_unwind(AssertUnwindSafe(|| policy.templates()))
            .map_err(|_| Error::new(Kind::User, "the campaign panicked when it was asked for its templates"))?;
        let templates = own.into_iter().fold(TemplateSet::compile(spec)?, |set, (name, template)| set.with(&name, template));
        Ok(Active {
            policy,
            windows: CompiledWindows::new(&spec.windows, &spec.time_zone)?,
            templates,
            zone: schedule::look_up(|| TimeZone::get(&spec.time_zone)).map_err(|error| {
                Error::invalid("time_zone", format!("{:?} is not an IANA time zone", spec.time_zone)).with_source(error)
            })?,
            gates: ClaimGates::of(spec),
            name: Arc::from(spec.name.as_str()),
            options: Arc::new(spec.dialer_options.clone()),
            zones: Mutex::default(),
            record,
        })
    }

    /// The policy of a spec: a built-in kind, or the user's own.
    pub(crate) fn policy(&self, spec: &Arc<crate::campaign::CampaignSpec>) -> Result<Arc<dyn Campaign>> {
        match &spec.campaign_type {
            CampaignType::Custom(name) => match self.kinds.get(name) {
                Some(kind) => catch_unwind(AssertUnwindSafe(|| kind.build(spec)))
                    .unwrap_or_else(|_| Err(Error::new(Kind::User, format!("the campaign kind {name:?} panicked")))),
                None => {
                    let mut known: Vec<&str> = self.kinds.keys().map(String::as_str).collect();
                    known.sort_unstable();
                    let message = format!(
                        "no campaign kind {name:?} is registered with this engine; built in are call, sms, whatsapp and mixed, registered are: {}",
                        if known.is_empty() { "none".to_owned() } else { known.join(", ") }
                    );
                    Err(Error::new(Kind::Invalid, message).with("field", "campaign_type"))
                }
            },
            _ => Ok(Arc::new(SpecCampaign::new(Arc::clone(spec)))),
        }
    }

    /// The campaign as the loop has it, or read anew when it is not running here.
    pub(crate) async fn active(&self, id: CampaignId) -> Result<Arc<Active>> {
        if let Some(agenda) = self.agenda.lock().get(&id) {
            return Ok(Arc::clone(&agenda.active));
        }
        self.activate(self.record(id).await?).map(Arc::new)
    }

    /// The campaign as it is in the store now; the loop's own is replaced when it is older.
    pub(crate) async fn fresh(&self, id: CampaignId) -> Result<Arc<Active>> {
        let record = self.record(id).await?;
        if let Some(agenda) = self.agenda.lock().get(&id)
            && agenda.active.record.revision == record.revision
        {
            return Ok(Arc::clone(&agenda.active));
        }
        let active = Arc::new(self.activate(record)?);
        if let Some(agenda) = self.agenda.lock().get_mut(&id)
            && agenda.active.record.revision < active.record.revision
        {
            agenda.active = Arc::clone(&active);
        }
        Ok(active)
    }
}
