//! Campaigns of one contact: a message or a call that is sent at once.

use super::campaigns::{add, refused};
use super::present;
use super::spec::{self, Given, Purpose};
use crate::api::owned;
use crate::auth::Principal;
use crate::error::Fault;
use crate::state::AppState;
use axum::http::StatusCode;
use campaign_core::campaign::CampaignRecord;
use campaign_core::contact::{Contact, ContactStatus, Owner};
use campaign_core::outcome::Attempt;
use campaign_core::wire::Object;
use serde_json::Value;
use std::time::Duration;

/// How long is waited for the provider's reference.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often is looked for it.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// What became of a single message or call by now.
pub(super) struct Sent {
    pub(super) record: CampaignRecord,
    pub(super) attempt: Option<Attempt>,
}

impl Sent {
    /// The provider's reference.
    pub(super) fn reference(&self) -> Option<&str> {
        self.attempt.as_ref().and_then(present::reference)
    }

    /// As Twilio calls it; `queued` while nothing is known.
    pub(super) fn status(&self) -> &'static str {
        match self.attempt.as_ref().and_then(Attempt::disposition) {
            Some(ending) => ending.as_str(),
            None if self.reference().is_some() => "initiated",
            None => "queued",
        }
    }
}

/// Sends one message, or begins one call, and waits until the provider has it.
///
/// # Errors
/// 422 for a number that is none, 400 when it may not be contacted or the provider does not take it.
pub(super) async fn send(
    state: &AppState,
    principal: &Principal,
    purpose: Purpose,
    kind: &str,
    to: &str,
    config: Object,
) -> Result<Sent, Fault> {
    let engine = state.engine();
    let name = format!("{} by API", if purpose == Purpose::Call { "Call" } else { "Message" });
    let spec = spec::make(Given { purpose, name: &name, kind, config, organization: principal.organization })?;
    let record = engine.create_campaign(spec).await.map_err(refused)?;
    let row = Object::from_iter([("phone_number".to_owned(), Value::from(spec::bare(to)))]);
    let report = add(state, record.id, vec![row]).await?;
    if report.imported == 0 {
        // Nobody is there to be contacted, so nothing is left behind.
        engine.delete_campaign(record.id).await?;
        return Err(match report.errors.first() {
            Some(error) => crate::api::request::wrong("body", "to", error.reason.clone()),
            None => Fault::refused("The number is on the do-not-contact list"),
        });
    }
    engine.start(record.id).await.map_err(refused)?;
    let mut waited = Duration::ZERO;
    loop {
        let attempt = owned::attempts(state, record.id, 1, |_| true).await?.into_iter().next();
        let known = attempt.as_ref().is_some_and(|attempt| present::reference(attempt).is_some() || attempt.disposition().is_some());
        if !known && waited < PATIENCE {
            // Not carried out for a reason of its own: a gate closed meanwhile.
            if let Some(contact) = contact(state, &record).await?
                && contact.state.status == ContactStatus::Skipped
            {
                let reason = contact.state.reason.map_or_else(|| "It may not be sent".to_owned(), |reason| reason.text.to_string());
                return Err(Fault::refused(reason));
            }
            state.sleep(LOOK_EVERY).await;
            waited += LOOK_EVERY;
            continue;
        }
        if let Some(attempt) = &attempt
            && let Some(outcome) = &attempt.outcome
            && present::reference(attempt).is_none()
            && !outcome.disposition.is_success()
        {
            // The provider did not take it at all.
            let reason = outcome.detail.clone().unwrap_or_else(|| format!("It was not sent: {}", outcome.disposition));
            return Err(Fault::new(StatusCode::BAD_REQUEST, reason));
        }
        return Ok(Sent { record, attempt });
    }
}

/// The one contact of such a campaign.
async fn contact(state: &AppState, record: &CampaignRecord) -> Result<Option<Contact>, Fault> {
    Ok(owned::newest(state, Owner::Campaign(record.id), 1).await?.into_iter().next())
}
