//! What happened: progress, executions, metrics over time; and what would happen: lint and preview.

use super::Engine;
use super::core::Core;
use crate::campaign::{CampaignRecord, CampaignStatus, TemplateSyntax};
use crate::contact::{Owner, Variables};
use crate::event::Progress;
use crate::id::{CampaignId, ContactId, Money};
use crate::outcome::{Attempt, Outcome};
use crate::policy::metrics::{self, Counts};
use crate::store::{AttemptQuery, ContactQuery, Page, Paging, TimelineBucket, TimelineQuery};
use crate::template::LintReport;
use crate::{Error, Result};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which executions.
pub type ExecutionQuery = AttemptQuery;

/// What lint looks at besides the templates.
#[derive(Debug, Clone, Copy)]
pub struct LintOptions {
    /// Contacts to look at for the longest message, at most. Default 10,000.
    pub sample: u32,
    /// Price of one message segment, for the cost.
    pub segment_price: Option<Money>,
}

impl Default for LintOptions {
    fn default() -> Self {
        Self { sample: 10_000, segment_price: None }
    }
}

impl Engine {
    /// The counters of a campaign with the metric formulas applied.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] when it does not exist.
    pub async fn progress(&self, id: CampaignId) -> Result<Progress> {
        progress(&self.core, id).await
    }

    /// A page of campaigns with their counters, as [`Engine::progress`] tells them, in one read. A campaign that was deleted meanwhile is
    /// left out.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn progress_of(&self, records: Vec<CampaignRecord>) -> Result<Vec<(CampaignRecord, Progress)>> {
        let ids = records.iter().map(|record| record.id).collect();
        let counts: BTreeMap<CampaignId, Counts> = self.core.guarded(self.core.store.counts_of(ids)).await?.into_iter().collect();
        let now = self.core.now();
        let counted = records.into_iter().filter_map(|record| {
            let progress = of_record(&record, counts.get(&record.id)?, now);
            Some((record, progress))
        });
        Ok(counted.collect())
    }

    /// The newest attempt of each of these contacts, for a page of contacts in one read; those without one are left out.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn last_executions(&self, contacts: Vec<ContactId>) -> Result<Vec<Attempt>> {
        self.core.guarded(self.core.store.last_attempts(contacts)).await
    }

    /// The attempt history, newest first: of a campaign, a contact, a run, or with certain outcomes.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn executions(&self, query: ExecutionQuery) -> Result<Page<Attempt>> {
        self.core.guarded(self.core.store.attempts(query)).await
    }

    /// Settled attempts of a campaign per bucket of time.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for a bucket of no length or an end before the beginning.
    pub async fn timeline(&self, query: TimelineQuery) -> Result<Vec<TimelineBucket>> {
        if query.bucket_seconds == 0 || query.to < query.from {
            return Err(Error::invalid("bucket_seconds", "a timeline needs buckets of at least one second and an end after its beginning"));
        }
        self.core.guarded(self.core.store.timeline(query)).await
    }

    /// Adds what a provider says after the settlement (price, transcript, receipt) to an attempt.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] for an unknown attempt, [`crate::Kind::State`] for one that is not settled.
    pub async fn amend(&self, attempt: crate::id::AttemptId, outcome: Outcome) -> Result<Attempt> {
        let amended = self.core.guarded(self.core.store.amend(attempt, outcome)).await?;
        self.core.changed();
        Ok(amended)
    }

    /// Renders a template with the given values, free of any campaign.
    ///
    /// # Errors
    /// [`crate::Kind::Template`] with line and column.
    pub fn preview_template(
        &self,
        source: &str,
        syntax: TemplateSyntax,
        values: &Variables,
        fallbacks: &BTreeMap<String, String>,
    ) -> Result<String> {
        crate::template::preview(source, syntax, values, fallbacks)
    }

    /// Renders every template of a campaign for one of its contacts, those that its kind brings along too.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] for an unknown campaign or contact, [`crate::Kind::Template`] when one fails, [`crate::Kind::Invalid`]
    /// when the campaign's kind is not registered with this engine.
    pub async fn preview_contact(&self, campaign: CampaignId, contact: ContactId) -> Result<BTreeMap<String, String>> {
        let active = self.core.fresh(campaign).await?;
        let contact = self.get_contact(contact).await?;
        if contact.owner != Owner::Campaign(campaign) {
            return Err(Error::not_found("contact", contact.id).with("campaign", campaign));
        }
        let templates = &active.templates;
        let extra = Variables::new();
        templates.names().map(|name| Ok((name.to_owned(), templates.render(name, &contact.person, &extra)?))).collect()
    }

    /// Looks for mistakes in the templates of a campaign: unknown variables, unused columns, syntax, long messages.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] when the campaign does not exist.
    pub async fn lint_template(&self, id: CampaignId, options: LintOptions) -> Result<LintReport> {
        let record = self.core.record(id).await?;
        let mut sample = Vec::new();
        let mut after = None;
        while (sample.len() as u32) < options.sample {
            let limit = (options.sample - sample.len() as u32).min(1000);
            let query = ContactQuery { after, paging: Paging { offset: 0, limit }, count: false, ..ContactQuery::of(Owner::Campaign(id)) };
            let page = self.list_contacts(query).await?.items;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            sample.extend(page.into_iter().map(|contact| contact.person));
        }
        let columns: Vec<&str> = record.spec.available_variables.keys().map(String::as_str).collect();
        Ok(crate::template::lint(&record.spec, &columns, sample.iter().map(AsRef::as_ref), options.segment_price))
    }
}

/// The counters, with an estimate of the end.
pub(crate) async fn progress(core: &Arc<Core>, id: CampaignId) -> Result<Progress> {
    let record = core.record(id).await?;
    let counts = core.guarded(core.store.counts(id)).await?;
    Ok(of_record(&record, &counts, core.now()))
}

fn of_record(record: &CampaignRecord, counts: &Counts, now: Timestamp) -> Progress {
    let mut progress = metrics::progress(record, counts);
    if record.status == CampaignStatus::Running {
        progress.estimated_completion = estimate(record, &progress, now);
    }
    progress
}

/// Remaining contacts at the pace of this run so far, or at the rate limit before there is one. Contacts that an earlier run
/// has reached make the pace look better than it is; the rate limit bounds that.
fn estimate(record: &CampaignRecord, progress: &Progress, now: Timestamp) -> Option<Timestamp> {
    let open = progress.pending_contacts + progress.in_progress_contacts;
    let done = progress.completed_contacts + progress.failed_contacts;
    let elapsed = now.duration_since(record.started_at?).as_secs_f64();
    let limit = record.spec.rate_limit_per_minute.map(|rate| f64::from(rate) / 60.0);
    let per_second = if done > 0 && elapsed >= 1.0 { (done as f64 / elapsed).min(limit.unwrap_or(f64::MAX)) } else { limit? };
    now.checked_add(SignedDuration::try_from_secs_f64(open as f64 / per_second).ok()?).ok()
}
