//! Outcomes become durable, many at a time.

use super::core::{Core, FIRST_WAIT, LONGEST_WAIT, earlier};
use super::{inbound, starts, trace};
use crate::contact::ContactStatus;
use crate::id::{CampaignId, Money, NodeToken};
use crate::outcome::Outcome;
use crate::phone::PhoneNumber;
use crate::policy::limits::LimitKind;
use crate::store::{AttemptEnd, SettleAck, SettleReply, SettleRequest, SettledCampaign, Settlement, Suppression, SuppressionScope};
use crate::{Kind, Result};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// An attempt that is over.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) campaign: CampaignId,
    pub(crate) token: NodeToken,
    pub(crate) settlement: Settlement,
    /// The person does not want to be contacted again: by nobody, or by nobody of the campaign's organisation.
    pub(crate) opted_out: Option<(PhoneNumber, SuppressionScope)>,
    /// Spans that end when it is settled.
    pub(crate) open: trace::Open,
}

impl Core {
    /// Hands an attempt that is over to the settler.
    pub(crate) fn end(&self, mut ended: Ended) {
        ended.open = trace::settle(self, &ended);
        // The settler ends only when the node has stopped; then the attempt is left to recovery.
        let _ = self.ended.send(ended);
    }
}

/// Collects what has ended and settles it in batches: one commit serves all that ended while the last one was written.
pub(crate) async fn settle_outcomes(core: Arc<Core>, mut outcomes: mpsc::UnboundedReceiver<Ended>) {
    let batch = core.options.batch as usize;
    let mut ended = Vec::with_capacity(batch);
    while outcomes.recv_many(&mut ended, batch).await > 0 {
        suppress(&core, &ended).await;
        inbound::left(&core, &ended);
        let mut by_token: BTreeMap<(i64, i64), Vec<Ended>> = BTreeMap::new();
        for ended in ended.drain(..) {
            by_token.entry((ended.token.node.0, ended.token.epoch)).or_default().push(ended);
        }
        for (_, group) in by_token {
            let mut groups = vec![group];
            while let Some(group) = groups.pop() {
                if let Err(mut refused) = settle(&core, group).await {
                    // One that cannot be stored must not hold up the others: halved until it is alone.
                    if refused.len() > 1 {
                        groups.push(refused.split_off(refused.len() / 2));
                        groups.push(refused);
                    } else if let Some(plainer) = refused.pop().and_then(|ended| without_data(&core, ended)) {
                        groups.push(vec![plainer]);
                    }
                }
            }
        }
    }
}

/// What is left of a settlement the store refuses when nothing a provider made up is in it; `None` when that was refused, too.
fn without_data(core: &Core, mut ended: Ended) -> Option<Ended> {
    tracing::error!(attempt = %ended.settlement.attempt, "the store refuses a settlement");
    if let AttemptEnd::Finished(outcome) = &mut ended.settlement.end
        && (outcome.provider_ref.is_some() || outcome.detail.is_some() || !outcome.data.is_empty())
    {
        *outcome = Outcome { provider_ref: None, detail: None, data: Default::default(), ..outcome.clone() };
        return Some(ended);
    }
    // It stays open in the store, for people to look at.
    core.land(ended.campaign);
    None
}

/// Settles a batch, and does not give up while the store is away: what happened must not be forgotten. A batch the store refuses comes
/// back.
async fn settle(core: &Arc<Core>, group: Vec<Ended>) -> std::result::Result<(), Vec<Ended>> {
    let Some(token) = group.first().map(|ended| ended.token) else { return Ok(()) };
    let settlements: Arc<[Settlement]> = group.iter().map(|ended| ended.settlement.clone()).collect();
    let mut failures = 0u32;
    let reply = loop {
        let request = SettleRequest { token, settlements: Arc::clone(&settlements), now: core.now() };
        match core.guarded(core.store.settle(request)).await {
            Ok(reply) => break reply,
            Err(error) if error.kind() == Kind::Closed => return Ok(()),
            // What a store of the user's throws may be a connection that broke; what goes on for longer is taken for a refusal.
            Err(error) if !matches!(error.kind(), Kind::Unavailable | Kind::Full) && (error.kind() != Kind::User || failures >= 5) => {
                tracing::error!(%error, attempts = settlements.len(), "settling was refused");
                return Err(group);
            }
            Err(error) => {
                tracing::error!(%error, attempts = settlements.len(), "settling failed; trying again");
                core.sleep(Duration::from_millis(50) * 2u32.saturating_pow(failures.min(8))).await;
                failures += 1;
            }
        }
    };
    landed(core, &group, &reply);
    for campaign in reply.campaigns {
        if let Err(error) = follow_up(core, campaign).await {
            tracing::warn!(%error, campaign = %campaign.campaign, "after settling");
            if error.kind() == Kind::Unavailable {
                core.spawn(follow_up_later(Arc::clone(core), campaign));
            }
        }
    }
    Ok(())
}

/// What could not be done because the store was away: after the last settlement of a campaign nothing else would come round to it.
async fn follow_up_later(core: Arc<Core>, campaign: SettledCampaign) {
    let mut wait = FIRST_WAIT;
    loop {
        core.sleep(wait).await;
        wait = (2 * wait).min(LONGEST_WAIT);
        match follow_up(&core, campaign).await {
            Err(error) if error.kind() == Kind::Unavailable => {}
            Err(error) => return tracing::warn!(%error, campaign = %campaign.campaign, "after settling"),
            Ok(()) => return,
        }
    }
}

/// Counts the attempts out, and tells the loop when to look at their campaigns.
fn landed(core: &Arc<Core>, group: &[Ended], reply: &SettleReply) {
    let now = core.now();
    let mut due: BTreeMap<CampaignId, Timestamp> = BTreeMap::new();
    let mut stale = 0;
    for (ended, ack) in group.iter().zip(&reply.acks) {
        core.land(ended.campaign);
        if *ack == SettleAck::Stale {
            stale += 1;
        }
        let requeued = match ended.settlement.transition.to() {
            ContactStatus::Pending => ended.settlement.due_at.unwrap_or(now),
            _ => Timestamp::MAX,
        };
        due.entry(ended.campaign).and_modify(|at| *at = (*at).min(requeued)).or_insert(requeued);
    }
    if stale > 0 {
        tracing::warn!(stale, "settlements refused: another node has taken these attempts over");
    }
    let blocks: Vec<(CampaignId, Option<LimitKind>, bool)> = core
        .agenda
        .lock()
        .iter_mut()
        .map(|(id, agenda)| {
            agenda.freed = true;
            // What comes back after the deadline is skipped at once, not when it would be due.
            let overdue = agenda.active.record.spec.deadline.is_some_and(|deadline| deadline <= now);
            (*id, agenda.block.as_ref().map(|block| block.limit), overdue)
        })
        .collect();
    for (id, block, overdue) in blocks {
        let at = match (block, due.get(&id)) {
            // A freed place may serve any campaign that waits for one.
            (Some(LimitKind::Concurrency | LimitKind::CallerIds | LimitKind::Budget), _) => now,
            (Some(LimitKind::Rate | LimitKind::CallsPerDay), _) | (_, None) => continue,
            (None, Some(_)) if overdue => now,
            (None, Some(at)) => earlier(*at, core.options.look_ahead / 2).max(now),
        };
        core.look_by(id, at);
    }
    core.hub.committed();
}

/// Completion, budget, and the remains of a cancelled campaign.
async fn follow_up(core: &Arc<Core>, settled: SettledCampaign) -> Result<()> {
    let SettledCampaign { campaign, open, spent } = settled;
    if open == 0 {
        starts::complete_if_done(core, campaign).await?;
    }
    let Some(active) = core.agenda.lock().get(&campaign).map(|agenda| Arc::clone(&agenda.active)) else {
        // Paused, cancelled or ended meanwhile. A contact that came back after the cancellation must not stay behind.
        return if open > 0 { starts::cancel_rest(core, campaign).await } else { Ok(()) };
    };
    if let Some(budget) = active.record.spec.budget
        && budget > Money::ZERO
    {
        let percent = u32::try_from((spent.0.max(0) as u128 * 100 / budget.0 as u128).min(1000)).unwrap_or(1000);
        let threshold = active.record.spec.budget_threshold_percent;
        let announced = active.record.budget_announced_percent;
        let reached = [threshold, 100].into_iter().filter(|step| percent >= *step && announced < *step).max();
        if let Some(reached) = reached {
            core.change(campaign, None, |record| {
                record.budget_announced_percent = record.budget_announced_percent.max(reached);
                Ok(())
            })
            .await?;
        }
    }
    Ok(())
}

/// People who opted out are suppressed before their attempt is settled, so that a crash in between cannot forget them.
async fn suppress(core: &Arc<Core>, ended: &[Ended]) {
    let now = core.now();
    let entries: Vec<Suppression> = ended
        .iter()
        .filter_map(|ended| ended.opted_out.clone())
        .map(|(phone, scope)| Suppression {
            phone,
            scope,
            reason: "opted_out".to_owned(),
            source: Some("outcome".to_owned()),
            created_at: now,
            expires_at: None,
        })
        .collect();
    let mut failures = 0u32;
    while !entries.is_empty() {
        match core.guarded(core.store.suppress(entries.clone())).await {
            Ok(()) => return,
            Err(error) if error.kind() == Kind::Closed => return,
            Err(error) => {
                tracing::error!(%error, "suppressing failed; trying again");
                core.sleep(Duration::from_millis(50) * 2u32.saturating_pow(failures.min(8))).await;
                failures += 1;
            }
        }
    }
}
