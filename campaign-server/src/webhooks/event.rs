//! The names of events, and from the engine's events to what is said of them.

use crate::live::Notice;
use campaign_core::event::{ContactEnded, Event, EventKind};
use campaign_core::id::CampaignId;
use campaign_core::outcome::Channel;
use campaign_core::wire;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The name of an event, as receivers see it in `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EventName {
    /// A call ended, however it ended.
    #[serde(rename = "call.completed")]
    CallCompleted,
    /// A contact is about to be contacted.
    #[serde(rename = "contact.started")]
    ContactStarted,
    /// A contact was reached, by call or message.
    #[serde(rename = "contact.completed")]
    ContactCompleted,
    /// An attempt ended without reaching the contact.
    #[serde(rename = "contact.failed")]
    ContactFailed,
    /// A person asked not to be contacted any more.
    #[serde(rename = "contact.opted_out")]
    ContactOptedOut,
    /// A person wrote.
    #[serde(rename = "message.received")]
    MessageReceived,
    /// A campaign changed its status.
    #[serde(rename = "campaign.status_changed")]
    CampaignStatusChanged,
    /// Every contact of a campaign's run is done with.
    #[serde(rename = "campaign.completed")]
    CampaignCompleted,
    /// A campaign has used up a part of its budget that it was to say, or all of it.
    #[serde(rename = "budget.threshold_reached")]
    BudgetThresholdReached,
    /// Something went wrong that an operator should see.
    #[serde(rename = "error")]
    Error,
    /// Asked for, to see whether deliveries arrive.
    #[serde(rename = "test")]
    Test,
}

impl EventName {
    /// All of them.
    pub const ALL: [EventName; 11] = [
        Self::CallCompleted,
        Self::ContactStarted,
        Self::ContactCompleted,
        Self::ContactFailed,
        Self::ContactOptedOut,
        Self::MessageReceived,
        Self::CampaignStatusChanged,
        Self::CampaignCompleted,
        Self::BudgetThresholdReached,
        Self::Error,
        Self::Test,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CallCompleted => "call.completed",
            Self::ContactStarted => "contact.started",
            Self::ContactCompleted => "contact.completed",
            Self::ContactFailed => "contact.failed",
            Self::ContactOptedOut => "contact.opted_out",
            Self::MessageReceived => "message.received",
            Self::CampaignStatusChanged => "campaign.status_changed",
            Self::CampaignCompleted => "campaign.completed",
            Self::BudgetThresholdReached => "budget.threshold_reached",
            Self::Error => "error",
            Self::Test => "test",
        }
    }

    /// The event with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == name)
    }
}

/// What an event of the engine is told as; an attempt by call has two names.
pub(super) fn names(event: &Event) -> &'static [EventName] {
    match &event.kind {
        EventKind::ContactStarted { .. } => &[EventName::ContactStarted],
        EventKind::ContactCompleted(ContactEnded { channel: Channel::Call, .. }) => {
            &[EventName::CallCompleted, EventName::ContactCompleted]
        }
        EventKind::ContactCompleted(_) => &[EventName::ContactCompleted],
        EventKind::ContactFailed(ContactEnded { channel: Channel::Call, .. }) => &[EventName::CallCompleted, EventName::ContactFailed],
        EventKind::ContactFailed(_) => &[EventName::ContactFailed],
        EventKind::StatusChanged { .. } => &[EventName::CampaignStatusChanged],
        EventKind::CampaignCompleted { .. } => &[EventName::CampaignCompleted],
        EventKind::BudgetThreshold { .. } => &[EventName::BudgetThresholdReached],
        EventKind::MessageReceived { .. } => &[EventName::MessageReceived],
        EventKind::OptedOut { .. } => &[EventName::ContactOptedOut],
        EventKind::Error { .. } => &[EventName::Error],
        _ => &[],
    }
}

/// Whether an event is one of the store's own stream. The others are known to the node only where they happened.
pub(super) fn is_durable(event: &Event) -> bool {
    matches!(
        event.kind,
        EventKind::ContactStarted { .. }
            | EventKind::ContactCompleted(_)
            | EventKind::ContactFailed(_)
            | EventKind::StatusChanged { .. }
            | EventKind::CampaignCompleted { .. }
            | EventKind::BudgetThreshold { .. }
    )
}

/// What tells an event from all others of the store. The same whenever it is read, so that an event which is read again after a crash
/// comes with the id it had.
pub(super) fn identity(event: &Event) -> Option<String> {
    let campaign = event.campaign_id;
    let at = event.at.as_microsecond();
    Some(match &event.kind {
        EventKind::ContactStarted { attempt_id, .. } => format!("started/{attempt_id}"),
        EventKind::ContactCompleted(ended) | EventKind::ContactFailed(ended) => format!("ended/{}", ended.attempt_id),
        EventKind::StatusChanged { from, to } => format!("status/{campaign}/{at}/{from}/{to}"),
        EventKind::CampaignCompleted { run } => format!("completed/{campaign}/{at}/{run}"),
        EventKind::BudgetThreshold { percent, .. } => format!("budget/{campaign}/{at}/{percent}"),
        _ => return None,
    })
}

/// The `data` of an event.
pub(super) fn data(notice: &Notice, organization: Option<i64>, campaign: Option<&str>) -> Value {
    let event = &notice.event;
    let mut data = match wire::event(event) {
        Value::Object(data) => data,
        _ => wire::Object::new(),
    };
    data.remove("type");
    data.remove("at");
    let known = (event.campaign_id != CampaignId(0)).then_some(event.campaign_id);
    data.insert("campaign_id".to_owned(), json!(known));
    data.insert("campaign_name".to_owned(), campaign.into());
    data.insert("organization_id".to_owned(), organization.into());
    if let Some(contact) = &notice.contact {
        data.insert("phone_number".to_owned(), contact.person.phone.as_str().into());
        data.insert("name".to_owned(), contact.person.name.as_deref().into());
    }
    if let Some(attempt) = &notice.attempt {
        let shown = wire::execution(attempt);
        for name in ["provider_ref", "from_number", "executed_at", "error_details", "attempt_number"] {
            if let Some(value) = shown.get(name) {
                data.insert(name.to_owned(), value.clone());
            }
        }
    }
    if let Some(progress) = &notice.progress {
        data.insert("progress".to_owned(), wire::progress(progress));
    }
    Value::Object(data)
}

/// The body of a delivery.
pub(super) fn body(name: EventName, at: Timestamp, data: &Value) -> String {
    json!({ "type": name, "timestamp": at, "data": data }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_wire() {
        for name in EventName::ALL {
            assert_eq!(json!(name), name.as_str());
            assert_eq!(EventName::parse(name.as_str()), Some(name));
        }
        assert_eq!(EventName::parse("call"), None);
    }
}
