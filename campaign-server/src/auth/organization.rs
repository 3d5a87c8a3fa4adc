//! The organisation of a campaign, read and written in one place.

use campaign_core::campaign::CampaignSpec;

/// The organisation a campaign belongs to.
pub fn of_spec(spec: &CampaignSpec) -> Option<i64> {
    spec.metadata.get("organization_id").and_then(serde_json::Value::as_i64)
}

/// Gives a campaign that is about to be created to an organisation.
pub fn set(spec: &mut CampaignSpec, organization: Option<i64>) {
    if let Some(organization) = organization {
        spec.metadata.insert("organization_id".to_owned(), organization.into());
    }
}
