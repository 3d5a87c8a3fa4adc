//! What follows an outcome, for the built-in kinds of campaign.

use crate::campaign::{CampaignSpec, ContactView, Next};
use crate::contact::PlannedStep;
use jiff::Timestamp;

/// Decides the next step of a contact from its history.
pub fn next(spec: &CampaignSpec, view: &ContactView<'_>, now: Timestamp) -> Next {
    let _ = (view, now);
    Next::Reach(PlannedStep { step: 0, channel: spec.first_channel() })
}
