//! People who answer back: messages and calls that come in.

use super::core::Core;
use crate::Result;
use crate::dialer::{CallPlan, InboundCall, InboundMessage};
use crate::id::CampaignId;
use crate::outcome::{Attempt, Channel};
use crate::phone::PhoneNumber;
use crate::store::{Suppression, SuppressionScope};
use jiff::Timestamp;
use std::sync::Arc;

/// A person wrote.
pub(crate) async fn message(core: &Arc<Core>, message: InboundMessage) -> Result<()> {
    let _ = (core, message);
    Ok(())
}

/// A person calls.
pub(crate) async fn call(core: &Arc<Core>, call: &InboundCall) -> Result<CallPlan> {
    let _ = (core, call);
    Ok(CallPlan::Say(String::new()))
}

/// A provider says, after the attempt was settled, that the person had opted out.
pub(crate) async fn opted_out(core: &Arc<Core>, attempt: &Attempt) -> Result<()> {
    let Some(contact) = core.guarded(core.store.contact(attempt.contact)).await? else { return Ok(()) };
    let entry = Suppression {
        phone: contact.person.phone.clone(),
        scope: SuppressionScope::Everything,
        reason: "opted_out".to_owned(),
        source: Some("outcome".to_owned()),
        created_at: core.now(),
        expires_at: None,
    };
    core.guarded(core.store.suppress(vec![entry])).await
}

/// When the person last wrote to this number or sender of ours on this channel; to any of them when none is named.
pub(crate) async fn last_inbound_at(
    core: &Arc<Core>,
    channel: Channel,
    ours: Option<&str>,
    person: &PhoneNumber,
) -> Result<Option<Timestamp>> {
    let _ = (core, channel, ours, person);
    Ok(None)
}

/// What a campaign's message belongs to in a conversation.
pub(crate) async fn written(core: &Arc<Core>, campaign: CampaignId, attempt: &Attempt, text: &str) -> Result<()> {
    let _ = (core, campaign, attempt, text);
    Ok(())
}
