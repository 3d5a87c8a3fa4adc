//! Calls that are returned.

use super::{Pick, matched};
use crate::campaign::ReturnedCalls;
use crate::contact::Variables;
use crate::dialer::{CallPlan, InboundCall};
use crate::engine::contacts;
use crate::engine::core::Core;
use crate::outcome::Channel;
use crate::{Kind, Result};
use std::sync::Arc;

/// A person calls: what happens is what the campaign says whose call (or message) they return.
pub(crate) async fn call(core: &Arc<Core>, call: &InboundCall) -> Result<CallPlan> {
    // A stranger, or a number withheld: nobody of ours has called.
    let refused = Ok(CallPlan::Say(String::new()));
    let Some(person) = &call.from else { return refused };
    let Some(found) = matched(core, person, Channel::Call, &super::book::sender(&call.to), Pick::Last).await? else { return refused };
    match contacts::reply(core, found.contact.id).await {
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::User | Kind::State) => {
            tracing::warn!(%error, "a returned call was not counted as a reply");
        }
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    let active = core.active(found.record.id).await?;
    let spec = &active.record.spec;
    let mut extra = Variables::new();
    extra.insert("campaign_name".to_owned(), spec.name.as_str().into());
    // A template that fails must not leave somebody on the line without an answer.
    let rendered = |name: &str| match active.templates.render(name, &found.contact.person, &extra) {
        Ok(text) => text,
        Err(error) if error.kind() == Kind::NotFound => String::new(),
        Err(error) => {
            tracing::warn!(%error, campaign = %active.id(), "a text for a returned call could not be made");
            String::new()
        }
    };
    Ok(match &spec.replies.returned_calls {
        ReturnedCalls::Decline => CallPlan::Say(rendered("end_call_message")),
        ReturnedCalls::Forward(number) => CallPlan::Forward(number.clone()),
        ReturnedCalls::Assistant => CallPlan::Assistant {
            attempt: found.writer.attempt,
            welcome: rendered("welcome_message"),
            options: Arc::clone(&active.options),
        },
    })
}
