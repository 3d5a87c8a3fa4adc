//! Campaigns: create, read, change, start, hold, end.

use super::core::Core;
use super::{Engine, starts};
use crate::campaign::{CampaignRecord, CampaignSpec, CampaignStatus};
use crate::contact::{ContactStatus, Owner, Reason};
use crate::event::Progress;
use crate::id::{CampaignId, ContactId};
use crate::policy::transition::{self, CampaignEvent};
use crate::schedule::Schedule;
use crate::store::{BulkAction, CampaignQuery, NewCampaign, Page, SaveGuard, Selection};
use crate::template::TemplateSet;
use crate::{Error, Kind, Result};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Which contacts a re-execution reaches again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reexecution {
    /// All.
    All,
    /// Those that count as failed: failed, no answer, busy and voicemail.
    FailedOnly,
    /// These, when they are terminal.
    Contacts(Vec<ContactId>),
}

impl Engine {
    /// Creates a campaign in status `draft`.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for a field out of range, [`Kind::Template`] for a template that does not compile; both name the field.
    pub async fn create_campaign(&self, spec: CampaignSpec) -> Result<CampaignRecord> {
        let core = &self.core;
        let spec = Arc::new(check(core, spec)?);
        let request_id = Uuid::new_v4();
        core.guarded(core.store.create_campaign(NewCampaign { request_id, spec: Arc::unwrap_or_clone(spec), now: core.now() })).await
    }

    /// One campaign.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it does not exist.
    pub async fn get_campaign(&self, id: CampaignId) -> Result<CampaignRecord> {
        self.core.record(id).await
    }

    /// Campaigns, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list_campaigns(&self, query: CampaignQuery) -> Result<Page<CampaignRecord>> {
        self.core.guarded(self.core.store.campaigns(query)).await
    }

    /// Edits the spec. While the campaign runs, the edit takes effect at the next hand-off; attempts record which version they ran under.
    ///
    /// # Errors
    /// [`Kind::Invalid`] and [`Kind::Template`] as for a new campaign, when the kind of the campaign is changed after the draft,
    /// and when its organisation is changed at all.
    pub async fn update_campaign(&self, id: CampaignId, edit: impl Fn(&mut CampaignSpec)) -> Result<CampaignRecord> {
        self.edit_campaign(id, |spec| {
            let mut spec = spec.clone();
            edit(&mut spec);
            Ok(spec)
        })
        .await
    }

    /// Edits the spec by a JSON merge patch (RFC 7396) in the spec's own field names: given fields replace, `null` resets to the default.
    ///
    /// # Errors
    /// As [`Engine::update_campaign`]; unknown fields are errors.
    pub async fn patch_campaign(&self, id: CampaignId, patch: &serde_json::Value) -> Result<CampaignRecord> {
        self.edit_campaign(id, |spec| {
            let mut value =
                serde_json::to_value(spec).map_err(|error| Error::new(Kind::Internal, "a spec must serialise").with_source(error))?;
            merge(&mut value, patch);
            serde_json::from_value(value).map_err(|error| Error::new(Kind::Invalid, format!("the change does not fit a campaign: {error}")))
        })
        .await
    }

    /// Edits the spec by a function that may refuse; it is called again when somebody else changed the campaign in between.
    ///
    /// # Errors
    /// As [`Engine::update_campaign`], and what the function answers.
    pub async fn edit_campaign(&self, id: CampaignId, edit: impl Fn(&CampaignSpec) -> Result<CampaignSpec>) -> Result<CampaignRecord> {
        let core = &self.core;
        let now = core.now();
        let saved = core
            .change(id, None, |record| {
                let mut spec = check(core, edit(&record.spec)?)?;
                if record.status == CampaignStatus::Scheduled {
                    spec.schedule = spec.schedule.anchored(now);
                }
                if spec.campaign_type != record.spec.campaign_type && record.status != CampaignStatus::Draft {
                    return Err(Error::invalid("campaign_type", "the kind of a campaign can only be changed while it is a draft"));
                }
                if spec.organization != record.spec.organization {
                    return Err(Error::invalid("organization", "a campaign stays with the organisation it was created for"));
                }
                if spec.budget != record.spec.budget {
                    record.budget_announced_percent = 0;
                }
                if record.status == CampaignStatus::Scheduled && spec.schedule != record.spec.schedule {
                    record.run.next_start = Some(next_or_now(&spec.schedule, now)?);
                }
                replace_spec(record, spec);
                Ok(())
            })
            .await?;
        core.acknowledge().await;
        Ok(saved)
    }

    /// Deletes a campaign with its contacts and attempts.
    ///
    /// # Errors
    /// [`Kind::State`] while it runs: cancel or pause it first, and wait for the attempts in flight.
    pub async fn delete_campaign(&self, id: CampaignId) -> Result<()> {
        let core = &self.core;
        let record = core.record(id).await?;
        let in_progress = core.guarded(core.store.counts(id)).await?.of(ContactStatus::InProgress);
        if record.status == CampaignStatus::Running || in_progress > 0 {
            return Err(Error::new(Kind::State, "the campaign is still reaching people; cancel it and wait for its attempts to end")
                .with("campaign", id));
        }
        core.guarded(core.store.delete_campaign(id)).await?;
        core.changed();
        Ok(())
    }

    /// Starts a campaign: at once, or at its moment when the schedule lies in the future. Also resumes a paused one.
    ///
    /// # Errors
    /// [`Kind::State`] when there is no contact to reach, a message has no template or the campaign is not startable.
    pub async fn start(&self, id: CampaignId) -> Result<CampaignRecord> {
        let core = &self.core;
        let record = core.record(id).await?;
        if record.status == CampaignStatus::Paused {
            return self.resume(id).await;
        }
        // The state is checked before the contacts, so that "already running" is not reported as "no contacts".
        transition::campaign(record.status, CampaignEvent::Start).map_err(|error| error.with("campaign", id))?;
        let counts = core.guarded(core.store.counts(id)).await?;
        if counts.by_status.values().sum::<u64>() == 0 {
            return Err(Error::new(Kind::State, "No contacts found: import or add contacts before starting").with("campaign", id));
        }
        let first = record.started_at.is_none();
        if first && counts.of(ContactStatus::Pending) == 0 {
            return Err(Error::new(Kind::State, "All contacts have already been processed").with("campaign", id));
        }
        check_texts(&record.spec).map_err(|error| error.with("campaign", id))?;
        let now = core.now();
        if let Some(next) = record.spec.schedule.clone().anchored(now).next_start(now) {
            return core
                .change(id, None, |record| {
                    record.status = transition::campaign(record.status, CampaignEvent::Schedule)?.to();
                    anchor(record, now);
                    record.run.next_start = Some(next);
                    record.reason = None;
                    Ok(())
                })
                .await;
        }
        if matches!(record.spec.schedule, Schedule::Recurring { .. }) {
            return Err(Error::new(Kind::State, "the recurring schedule has no occurrence left").with("campaign", id));
        }
        starts::start_run(core, id, &(record.status, record.run)).await?;
        core.record(id).await
    }

    /// Sets when the campaign starts, and schedules it: a draft becomes `scheduled`. `Immediate` takes the schedule back.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when the moment has passed or no occurrence lies in the future, [`Kind::State`] when it runs or has ended.
    pub async fn schedule(&self, id: CampaignId, schedule: Schedule) -> Result<CampaignRecord> {
        let now = self.core.now();
        let schedule = schedule.anchored(now);
        schedule.validate(now)?;
        let next = schedule.next_start(now);
        self.core
            .change(id, None, |record| {
                // The table lets a run that is over wait for the next occurrence; a person may not cut a run short this way.
                if record.status == CampaignStatus::Running {
                    return Err(Error::new(Kind::State, "cannot schedule a campaign that is running; cancel it or wait for its end"));
                }
                let event = if next.is_some() { CampaignEvent::Schedule } else { CampaignEvent::Unschedule };
                if next.is_some() || record.status != CampaignStatus::Draft {
                    record.status = transition::campaign(record.status, event)?.to();
                }
                let mut spec = CampaignSpec::clone(&record.spec);
                spec.schedule = schedule.clone();
                replace_spec(record, spec);
                record.run.next_start = next;
                record.reason = None;
                Ok(())
            })
            .await
    }

    /// Takes the start back: a scheduled campaign becomes a draft.
    ///
    /// # Errors
    /// [`Kind::State`] when it is not scheduled.
    pub async fn unschedule(&self, id: CampaignId) -> Result<CampaignRecord> {
        self.core
            .change(id, None, |record| {
                record.status = transition::campaign(record.status, CampaignEvent::Unschedule)?.to();
                record.run.next_start = None;
                Ok(())
            })
            .await
    }

    /// Holds a running campaign. When this returns, no further hand-off of it happens, on any node; running attempts finish.
    ///
    /// # Errors
    /// [`Kind::State`] when it is not running.
    pub async fn pause(&self, id: CampaignId) -> Result<CampaignRecord> {
        self.hold(id, CampaignEvent::Pause, Reason::new("paused", "Paused by hand.")).await
    }

    /// Lets a paused campaign go on.
    ///
    /// # Errors
    /// [`Kind::State`] when it is not paused.
    pub async fn resume(&self, id: CampaignId) -> Result<CampaignRecord> {
        let core = &self.core;
        let record = core.record(id).await?;
        transition::campaign(record.status, CampaignEvent::Resume).map_err(|error| error.with("campaign", id))?;
        if record.run.next_start.is_some() || record.run.resetting {
            // A past start was held: this run has not begun yet.
            starts::start_run(core, id, &(record.status, record.run)).await?;
            return core.record(id).await;
        }
        core.change(id, None, |record| {
            record.status = transition::campaign(record.status, CampaignEvent::Resume)?.to();
            record.reason = None;
            Ok(())
        })
        .await
    }

    /// Ends a campaign: remaining contacts become `cancelled`, running attempts finish and are kept.
    ///
    /// # Errors
    /// [`Kind::State`] when it has ended already.
    pub async fn cancel(&self, id: CampaignId) -> Result<CampaignRecord> {
        let record = self.hold(id, CampaignEvent::Cancel, Reason::new("cancelled", "Cancelled by hand.")).await?;
        let reason = Reason::new("campaign_cancelled", "The campaign was cancelled.");
        starts::bulk(&self.core, id, BulkAction::Cancel { reason }).await?;
        Ok(record)
    }

    /// Closes a campaign none of whose contacts is open as `completed`: a paused one, or a recurring one between two occurrences.
    ///
    /// # Errors
    /// [`Kind::State`] when contacts are pending or in progress, or the campaign is a draft or has ended.
    pub async fn complete(&self, id: CampaignId) -> Result<CampaignRecord> {
        let now = self.core.now();
        self.core
            .change(id, Some(SaveGuard::NoOpenContacts), |record| {
                record.status = transition::campaign(record.status, CampaignEvent::Complete)?.to();
                record.completed_at = Some(now);
                record.run.next_start = None;
                Ok(())
            })
            .await
    }

    async fn hold(&self, id: CampaignId, event: CampaignEvent, reason: Reason) -> Result<CampaignRecord> {
        let now = self.core.now();
        let saved = self
            .core
            .change(id, None, |record| {
                // The table lets a start that has passed be held; a person takes a start back instead.
                if event == CampaignEvent::Pause && record.status == CampaignStatus::Scheduled {
                    return Err(Error::new(Kind::State, "cannot pause a campaign that is scheduled; unschedule it"));
                }
                record.status = transition::campaign(record.status, event)?.to();
                record.reason = Some(reason.clone());
                if record.status == CampaignStatus::Cancelled {
                    record.completed_at = Some(now);
                    record.run.next_start = None;
                }
                Ok(())
            })
            .await?;
        self.core.acknowledge().await;
        Ok(saved)
    }

    /// Makes an ended campaign ready to reach contacts again: they become pending in a new run, the campaign a draft. Returns how
    /// many contacts were reset; `start` (or `schedule`) does the rest.
    ///
    /// # Errors
    /// [`Kind::State`] when the campaign has not ended, attempts of it are still running, or no contact fits the selection.
    pub async fn re_execute(&self, id: CampaignId, contacts: Reexecution) -> Result<u64> {
        let core = &self.core;
        let record = core.record(id).await?;
        transition::campaign(record.status, CampaignEvent::Reexecute).map_err(|error| error.with("campaign", id))?;
        let counts = core.guarded(core.store.counts(id)).await?;
        if counts.of(ContactStatus::InProgress) > 0 {
            return Err(Error::new(Kind::State, "attempts of the campaign are still running; wait for them to end").with("campaign", id));
        }
        let failed: Vec<ContactStatus> = ContactStatus::ALL.into_iter().filter(|status| status.counts_as_failed()).collect();
        let (fits, selection) = match contacts {
            Reexecution::All => (counts.by_status.values().sum::<u64>() > 0, Selection::All),
            Reexecution::FailedOnly => (failed.iter().any(|status| counts.of(*status) > 0), Selection::Statuses(failed)),
            Reexecution::Contacts(ids) => (core.any_ended(id, &ids).await?, Selection::Ids(ids)),
        };
        if !fits {
            return Err(Error::new(Kind::State, "no contact fits the selection").with("campaign", id));
        }
        let run = record.run.number + 1;
        core.change(id, None, |record| {
            record.status = transition::campaign(record.status, CampaignEvent::Reexecute)?.to();
            record.run = crate::campaign::RunState { number: run, next_start: None, resetting: false };
            // The contacts are made ready below: the next start begins this run as it is.
            record.started_at = None;
            record.completed_at = None;
            record.reason = None;
            Ok(())
        })
        .await?;
        starts::bulk_of(core, id, selection, BulkAction::Reset { run }).await
    }

    /// Waits until the campaign is completed, cancelled or failed, and returns its last counters. A paused campaign is waited for.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it does not exist (any more), [`Kind::Closed`] when the engine stops first.
    pub async fn wait(&self, id: CampaignId) -> Result<Progress> {
        let core = &self.core;
        let mut pulse = core.pulse.subscribe();
        loop {
            let status = core.record(id).await?.status;
            if matches!(status, CampaignStatus::Completed | CampaignStatus::Cancelled | CampaignStatus::Failed) {
                return self.progress(id).await;
            }
            if core.phase() == super::core::Phase::Stopped {
                return Err(super::closed());
            }
            let poll = core.options.poll_interval;
            tokio::select! {
                biased;
                _ = pulse.changed() => {}
                () = core.sleep(poll.unwrap_or_default()), if poll.is_some() => {}
            }
        }
    }
}

/// How long a change waits for the other nodes: [`handoff::LOOK_LASTS`], and as long again and more for the way from there to the dialer.
const OTHERS_LOOK: Duration = Duration::from_millis(600);

impl Core {
    /// Whether one of these is a terminal contact of the campaign.
    async fn any_ended(&self, campaign: CampaignId, ids: &[ContactId]) -> Result<bool> {
        for id in ids {
            if let Some(contact) = self.guarded(self.store.contact(*id)).await?
                && contact.owner == Owner::Campaign(campaign)
                && contact.state.status.is_terminal()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Waits until every hand-off that was admitted before the last change has happened: what the caller is told next is true.
    ///
    /// On this node a lock says so. Other nodes are not asked: each hands over within [`handoff::LOOK_LASTS`] of its last look at the
    /// store or looks again, so after that time, and some for a busy machine, none acts on what was true before.
    pub(crate) async fn acknowledge(&self) {
        drop(self.admission.write().await);
        if self.options.poll_interval.is_some() && self.others_live().await {
            self.sleep(OTHERS_LOOK).await;
        }
    }

    /// Whether other nodes live on the store; when that cannot be known, yes.
    async fn others_live(&self) -> bool {
        let own = self.lease.lock().map(|lease| lease.token.node);
        match self.guarded(self.store.nodes(self.now())).await {
            Ok(nodes) => nodes.iter().any(|node| Some(node.id) != own),
            Err(_) => true,
        }
    }
}

/// Checks a spec whole: fields, policy and templates.
fn check(core: &Core, spec: CampaignSpec) -> Result<CampaignSpec> {
    spec.validate()?;
    TemplateSet::compile(&spec)?;
    let spec = Arc::new(spec);
    core.policy(&spec)?;
    Ok(Arc::unwrap_or_clone(spec))
}

/// Puts another spec in place; the version moves only when it says something else.
fn replace_spec(record: &mut CampaignRecord, spec: CampaignSpec) {
    if *record.spec != spec {
        record.spec = Arc::new(spec);
        record.spec_version += 1;
    }
}

/// When a campaign that waits begins by this schedule: a start that was taken out or has passed is due.
fn next_or_now(schedule: &Schedule, now: jiff::Timestamp) -> Result<jiff::Timestamp> {
    match schedule.next_start(now) {
        Some(next) => Ok(next),
        None if matches!(schedule, Schedule::Recurring { .. }) => {
            Err(Error::invalid("schedule", "has no occurrence left; unschedule the campaign to take its start back"))
        }
        None => Ok(now),
    }
}

/// Whether every message that the campaign is going to send has a text.
fn check_texts(spec: &CampaignSpec) -> Result<()> {
    let templates = TemplateSet::compile(spec)?;
    let missing = spec.message_templates().find(|name| templates.get(name).is_none());
    match missing {
        Some(name) => Err(Error::new(Kind::State, format!("the campaign has no template `{name}`, from which its messages are made"))),
        None => Ok(()),
    }
}

/// Fixes the first day of a recurring schedule, so that intervals and counts have something to count from.
fn anchor(record: &mut CampaignRecord, now: jiff::Timestamp) {
    let anchored = record.spec.schedule.clone().anchored(now);
    if anchored != record.spec.schedule {
        let mut spec = CampaignSpec::clone(&record.spec);
        spec.schedule = anchored;
        record.spec = Arc::new(spec);
        record.spec_version += 1;
    }
}

/// RFC 7396: objects are merged, `null` removes (the field takes its default), everything else replaces.
fn merge(target: &mut serde_json::Value, patch: &serde_json::Value) {
    let serde_json::Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = serde_json::Value::Object(serde_json::Map::new());
    }
    let serde_json::Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(serde_json::Value::Null), value);
        }
    }
}
