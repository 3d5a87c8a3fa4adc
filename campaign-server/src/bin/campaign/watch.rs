//! What is seen of an import and of a campaign that runs: a bar on a terminal, plain lines elsewhere.

use campaign_core::engine::ImportProgress;
use campaign_core::event::{EventKind, Progress};
use campaign_core::id::CampaignId;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, stderr};

/// A plain line is worth it when so many percent more are done.
const STEP: u64 = 5;

/// Shows progress on the standard error.
pub(crate) struct Watch {
    bar: Option<ProgressBar>,
    /// What the plain lines said last.
    said: Option<(u64, String)>,
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Watch {
    fn new(template: &str) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            bar.set_style(style(template));
            bar
        });
        Self { bar, said: None }
    }

    /// Of an import.
    pub(crate) fn importing() -> Self {
        Self::new("importing {bar:30} {msg}")
    }

    /// Of a campaign.
    pub(crate) fn running(id: CampaignId) -> Self {
        Self::new(&format!("campaign {id} {{bar:30}} {{pos}}/{{len}} {{msg}}"))
    }

    /// How far an import is.
    pub(crate) fn read(&mut self, progress: &ImportProgress) {
        if let Some(bar) = &self.bar {
            bar.set_length(progress.total_bytes.unwrap_or(progress.bytes_read));
            bar.set_position(progress.bytes_read);
            bar.set_message(format!("{} rows", progress.rows));
        }
    }

    /// Something happened to the campaign.
    pub(crate) fn see(&mut self, event: &EventKind) {
        match event {
            EventKind::Progress(progress) => self.count(progress),
            EventKind::StatusChanged { from, to } => self.note(&format!("The campaign was {from} and is {to}.")),
            EventKind::BudgetThreshold { percent, .. } => self.note(&format!("{percent} % of the budget are used.")),
            EventKind::Error { message, .. } => self.note(message),
            _ => {}
        }
    }

    fn count(&mut self, progress: &Progress) {
        let Progress { total_contacts, completed_contacts, failed_contacts, pending_contacts, in_progress_contacts, .. } = progress;
        let ended = total_contacts.saturating_sub(pending_contacts + in_progress_contacts);
        let message = format!("{completed_contacts} completed, {failed_contacts} failed, {in_progress_contacts} in progress");
        if let Some(bar) = &self.bar {
            bar.set_length(*total_contacts);
            bar.set_position(ended);
            bar.set_message(message);
            return;
        }
        let percent = 100 * ended / (*total_contacts).max(1);
        let worth = self
            .said
            .as_ref()
            .is_none_or(|(before, text)| percent >= before + STEP || percent < *before || percent == 100 && *text != message);
        if worth {
            crate::common::remark(format!("{ended} of {total_contacts} done: {message}"));
            self.said = Some((percent, message));
        }
    }

    /// A sentence in between.
    pub(crate) fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => crate::common::remark(text),
        }
    }

    /// Nothing more is shown.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
