//! The organisation of a campaign, read and written in one place.

use campaign_core::campaign::CampaignSpec;

/// The organisation a campaign belongs to; `None`: the program's own.
pub fn of_spec(spec: &CampaignSpec) -> Option<i64> {
    spec.organization
}
