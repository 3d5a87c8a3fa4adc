//! Campaigns of one contact: a message or a call that is sent at once.

use super::owned;
use crate::error::Fault;
use crate::state::AppState;
use axum::http::StatusCode;
use campaign_core::campaign::{CampaignRecord, CampaignSpec};
use campaign_core::contact::{Contact, ContactStatus, Owner};
use campaign_core::import::ImportOptions;
use campaign_core::outcome::Attempt;
use campaign_core::phone::PhoneNumber;
use campaign_core::wire::Object;
use campaign_core::{Error, Kind};
use std::time::Duration;

/// How long is waited for the provider's reference.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often is looked for it.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// What became of a single message or call by now.
pub(crate) struct Sent {
    pub(crate) record: CampaignRecord,
    pub(crate) attempt: Option<Attempt>,
}

impl Sent {
    /// The provider's reference.
    pub(crate) fn reference(&self) -> Option<&str> {
        self.attempt.as_ref().and_then(reference)
    }

    /// As Twilio calls it; `queued` while nothing is known.
    pub(crate) fn status(&self) -> &'static str {
        match self.attempt.as_ref().and_then(Attempt::disposition) {
            Some(ending) => ending.as_str(),
            None if self.reference().is_some() => "initiated",
            None => "queued",
        }
    }
}

/// The provider's reference of an attempt.
pub(crate) fn reference(attempt: &Attempt) -> Option<&str> {
    attempt.outcome.as_ref().and_then(|outcome| outcome.provider_ref.as_deref()).or(attempt.provider_ref.as_deref())
}

/// Where messages and calls come from: a phone number; for messages a short code, the name of a sender or a messaging service as well; for
/// calls (`kind` is `voice`) a line of an agent platform.
///
/// # Errors
/// What it must be, to follow the name of the field; without the value.
pub(crate) fn sender(text: &str, kind: &str, region: Option<&str>) -> Result<String, &'static str> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let letters = text.bytes().any(|byte| byte.is_ascii_alphabetic());
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ');
    let behind = |start: &str, many: std::ops::RangeInclusive<usize>| {
        text.strip_prefix(start).is_some_and(|rest| many.contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    };
    let known = if kind == "voice" {
        behind("phnum_", 1..=58)
    } else {
        digits && (3..=8).contains(&text.len()) || letters && plain && text.len() <= 11 || behind("MG", 32..=32)
    };
    if known || PhoneNumber::from_e164(text).is_some() {
        return Ok(text.to_owned());
    }
    // A name must not be taken for a number that has letters for digits.
    let number = PhoneNumber::parse(text, region).ok().filter(|_| !letters);
    number.map(|number| number.as_str().to_owned()).ok_or(if kind == "voice" {
        "must be a phone number such as +12125550100"
    } else {
        "must be a phone number such as +12125550100, a short code of 3 to 8 digits, or a sender name of 1 to 11 letters, digits and spaces"
    })
}

/// What the engine finds wrong with a campaign: 400 with a sentence, which begins with the name of the field that is to blame.
pub(crate) fn refused(error: Error) -> Fault {
    if !matches!(error.kind(), Kind::State | Kind::Invalid) {
        return error.into();
    }
    let field = error.context().iter().find(|(name, _)| *name == "field").map(|(_, field)| field);
    // What begins with a capital is a sentence already.
    match field.filter(|_| error.message().starts_with(char::is_lowercase)) {
        Some(field) => Fault::refused(format!("{field} {}", error.message())),
        None => Fault::refused(error.message()),
    }
}

/// Creates and starts a campaign for one contact. `field` is where the body has the number.
///
/// # Errors
/// 422 for a number that is none, 400 when it may not be contacted.
pub(crate) async fn begin(state: &AppState, spec: CampaignSpec, row: Object, field: &str) -> Result<CampaignRecord, Fault> {
    let engine = state.engine();
    let record = engine.create_campaign(spec).await.map_err(refused)?;
    let options = ImportOptions { default_region: state.options().default_region.clone(), ..ImportOptions::default() };
    let report = engine.add_contacts(record.id, vec![row], options).await.map_err(refused)?;
    if report.imported == 0 {
        // Nobody is there to be contacted, so nothing is left behind.
        engine.delete_campaign(record.id).await?;
        return Err(match report.errors.first() {
            Some(error) => super::request::wrong("body", field, error.reason.clone()),
            None => Fault::refused("The number is on the do-not-contact list"),
        });
    }
    engine.start(record.id).await.map_err(refused)
}

/// Waits until the provider has the message or call.
///
/// # Errors
/// 400 when the provider does not take it, or it may not be sent after all.
pub(crate) async fn handed_over(state: &AppState, record: CampaignRecord) -> Result<Sent, Fault> {
    let mut waited = Duration::ZERO;
    loop {
        let attempt = owned::attempts(state, record.id, 1, |_| true).await?.into_iter().next();
        let known = attempt.as_ref().is_some_and(|attempt| reference(attempt).is_some() || attempt.disposition().is_some());
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
            && reference(attempt).is_none()
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
pub(crate) async fn contact(state: &AppState, record: &CampaignRecord) -> Result<Option<Contact>, Fault> {
    Ok(owned::newest(state, Owner::Campaign(record.id), 1).await?.into_iter().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_are_numbers_codes_or_names() {
        for (text, kind, expected) in [
            ("+12125550123", "voice", Some("+12125550123")),
            ("(212) 555-0123", "voice", Some("+12125550123")),
            ("phnum_5501", "voice", Some("phnum_5501")),
            ("abc", "voice", None),
            ("12345", "voice", None),
            ("12345", "sms", Some("12345")),
            ("My Shop 24", "sms", Some("My Shop 24")),
            ("MG0123456789abcdef0123456789abcdef", "sms", Some("MG0123456789abcdef0123456789abcdef")),
            ("A much too long name", "sms", None),
            ("+12", "sms", None),
            ("12", "sms", None),
            ("Shop\0", "sms", None),
            ("Tienda ñ", "sms", None),
        ] {
            assert_eq!(sender(text, kind, Some("US")).ok().as_deref(), expected, "{text} for {kind}");
        }
    }
}
