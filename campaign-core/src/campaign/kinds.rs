//! The `Campaign` trait and the kinds made from a spec.

use super::spec::CampaignSpec;
use crate::contact::{Contact, ContactStatus, PlannedStep, Reason};
use crate::error::Result;
use crate::outcome::Attempt;
use crate::template::Template;
use jiff::Timestamp;
use std::sync::Arc;

/// What a campaign sees of a contact when it decides.
#[derive(Debug, Clone, Copy)]
pub struct ContactView<'a> {
    /// The contact with its state.
    pub contact: &'a Contact,
    /// Its settled attempts of this run that consumed one, oldest first.
    pub history: &'a [Attempt],
    /// The campaign's zone, for times of day where the contact's own is not known.
    pub time_zone: &'a jiff::tz::TimeZone,
    /// Seed for jitter; equal for equal contacts and attempts.
    pub seed: u64,
}

/// What to do next with a contact.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Reach out now.
    Reach(PlannedStep),
    /// Not before this moment; then the step. Consumes no attempt.
    Wait {
        /// The earliest moment.
        until: Timestamp,
        /// What follows then.
        step: PlannedStep,
        /// Why it waits.
        reason: Reason,
    },
    /// Nothing more.
    Finish {
        /// A terminal status.
        status: ContactStatus,
        /// Why.
        reason: Reason,
    },
}

/// The policy of a campaign: given a contact and its attempts so far, what comes next.
///
/// Pure and synchronous: no I/O, no clock (`now` is passed in), the same answer for the same arguments. It is asked before every
/// hand-off and after every outcome. Gates (windows, limits, suppression, budget) are not its business: they hold whatever it says.
pub trait Campaign: Send + Sync + 'static {
    /// Decides.
    fn next(&self, view: &ContactView<'_>, now: Timestamp) -> Next;

    /// The template that makes the text of a message step, by name. The default is `sms_message`.
    fn message_template(&self, step: &PlannedStep) -> &str {
        let _ = step;
        "sms_message"
    }

    /// Templates of its own, by name, in place of or beside those of the spec. Asked once, when the campaign is made ready to run.
    fn templates(&self) -> Vec<(String, Arc<dyn Template>)> {
        Vec::new()
    }
}

/// Makes a [`Campaign`] from a spec. Registered with the engine under the name of a [`super::CampaignType::Custom`], so that a
/// stored campaign finds its code again after a restart.
pub trait CampaignKind: Send + Sync + 'static {
    /// Builds the policy.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] when the spec does not suit this kind.
    fn build(&self, spec: &Arc<CampaignSpec>) -> Result<Arc<dyn Campaign>>;
}

impl<F> CampaignKind for F
where
    F: Fn(&Arc<CampaignSpec>) -> Result<Arc<dyn Campaign>> + Send + Sync + 'static,
{
    fn build(&self, spec: &Arc<CampaignSpec>) -> Result<Arc<dyn Campaign>> {
        self(spec)
    }
}

/// The built-in kinds: call, SMS and WhatsApp are campaigns of one step, mixed has as many as its spec lists.
#[derive(Debug, Clone)]
pub struct SpecCampaign {
    spec: Arc<CampaignSpec>,
}

impl SpecCampaign {
    /// From a spec.
    pub fn new(spec: Arc<CampaignSpec>) -> Self {
        Self { spec }
    }
}

impl Campaign for SpecCampaign {
    fn next(&self, view: &ContactView<'_>, now: Timestamp) -> Next {
        crate::policy::retry::next(&self.spec, view, now)
    }

    fn message_template(&self, step: &PlannedStep) -> &str {
        self.spec.steps.get(step.step as usize).and_then(|step| step.template.as_deref()).unwrap_or("sms_message")
    }
}
