//! The four webhooks of this API: to addresses that a campaign brings, in the words and with the signature of this API. What they have in
//! common with all other webhooks (queue, retries, dead letters) is there.

use super::fields::KEY;
use super::status;
use crate::api::owned;
use crate::webhooks::{EventName, sign_v0};
use campaign_core::campaign::{CampaignRecord, CampaignSpec};
use campaign_core::event::{Event, EventKind};
use campaign_core::id::CampaignId;
use jiff::Timestamp;
use serde_json::{Value, json};

/// What targets of this API begin with.
const PREFIX: &str = "voice-";

/// An address, and the secret that deliveries to it are signed with.
pub(crate) struct Address {
    /// Where to.
    pub(crate) url: String,
    secret: Option<String>,
}

impl Address {
    /// The header of a delivery; none when the campaign has no secret.
    pub(crate) fn signature(&self, at: Timestamp, body: &[u8]) -> Option<String> {
        self.secret.as_deref().map(|secret| sign_v0(secret, at, body))
    }
}

/// The name of an event in `webhook_urls`.
fn hook(name: EventName) -> Option<&'static str> {
    match name {
        EventName::CallCompleted => Some("call_completed"),
        EventName::CampaignStatusChanged => Some("campaign_status_change"),
        EventName::BudgetThresholdReached => Some("budget_threshold_reached"),
        EventName::Error => Some("error"),
        _ => None,
    }
}

fn url<'a>(spec: &'a CampaignSpec, hook: &str) -> Option<&'a str> {
    let named = owned::remembered(spec, KEY, "webhook_urls").and_then(|urls| urls.get(hook)).and_then(Value::as_str);
    named.or_else(|| owned::remembered(spec, KEY, "webhook_url").and_then(Value::as_str)).filter(|url| !url.is_empty())
}

/// Whether a campaign has any address.
pub(super) fn any(spec: &CampaignSpec) -> bool {
    ["call_completed", "campaign_status_change", "budget_threshold_reached", "error"].iter().any(|hook| url(spec, hook).is_some())
}

/// Every address that a body brings.
pub(super) fn addresses(read: &campaign_core::wire::Object) -> impl Iterator<Item = (&'static str, &str)> {
    let one = read.get("webhook_url").and_then(Value::as_str).map(|url| ("webhook_url", url));
    let named = read.get("webhook_urls").and_then(Value::as_object).into_iter().flatten();
    one.into_iter().chain(named.filter_map(|(_, url)| Some(("webhook_urls", url.as_str()?))))
}

/// Where deliveries of this event of a campaign are queued; `None` when it has no address for it.
pub(crate) fn target(record: &CampaignRecord, name: EventName) -> Option<String> {
    let hook = hook(name)?;
    url(&record.spec, hook)?;
    Some(format!("{PREFIX}{:016}-{hook}", record.id.0))
}

/// The campaign and the name in `webhook_urls` of such a target.
pub(crate) fn of_target(target: &str) -> Option<(CampaignId, &str)> {
    let (id, hook) = target.strip_prefix(PREFIX)?.split_once('-')?;
    Some((CampaignId(id.parse().ok()?), hook))
}

/// Where deliveries go now.
pub(crate) fn address(spec: &CampaignSpec, hook: &str) -> Option<Address> {
    let secret = owned::remembered(spec, KEY, "webhook_secret").and_then(Value::as_str).filter(|secret| !secret.is_empty());
    Some(Address { url: url(spec, hook)?.to_owned(), secret: secret.map(str::to_owned) })
}

/// The body of a delivery; `None` when there is nothing to say in the words of this API.
pub(crate) fn body(event: &Event, id: &str, data: &Value) -> Option<String> {
    let mut data = data.clone();
    let name = match &event.kind {
        EventKind::ContactCompleted(_) | EventKind::ContactFailed(_) => "call.completed",
        EventKind::StatusChanged { from, to } => {
            let (from, to) = (status::named(*from), status::named(*to));
            if from == to {
                return None;
            }
            data["from"] = from.into();
            data["to"] = to.into();
            data["status"] = to.into();
            "campaign.status_changed"
        }
        EventKind::BudgetThreshold { .. } => "budget.threshold_reached",
        EventKind::Error { .. } => "error",
        _ => return None,
    };
    let at = owned::moment(event.at);
    Some(json!({ "event": name, "event_id": id, "campaign_id": event.campaign_id, "timestamp": at, "data": data }).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use campaign_core::campaign::CampaignStatus;

    #[test]
    fn targets_name_campaign_and_hook() {
        assert_eq!(of_target("voice-0000000000000042-call_completed"), Some((CampaignId(42), "call_completed")));
        assert_eq!(of_target("whe_0000"), None);
    }

    #[test]
    fn statuses_are_those_of_this_api() {
        let event = |from, to| Event { campaign_id: CampaignId(1), at: Timestamp::UNIX_EPOCH, kind: EventKind::StatusChanged { from, to } };
        let said = body(&event(CampaignStatus::Running, CampaignStatus::Cancelled), "evt_1", &json!({})).unwrap();
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((said["event"].as_str(), said["data"]["from"].as_str()), (Some("campaign.status_changed"), Some("active")));
        assert_eq!((said["data"]["to"].as_str(), said["timestamp"].as_str()), (Some("completed"), Some("1970-01-01T00:00:00Z")));
        assert_eq!(body(&event(CampaignStatus::Scheduled, CampaignStatus::Running), "evt_1", &json!({})), None);
    }
}
