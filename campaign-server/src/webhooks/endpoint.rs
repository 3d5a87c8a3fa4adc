//! Who is told, of what, under which secret.

use super::EventName;
use campaign_core::http::signature::{WebhookSecret, base64};
use campaign_core::http::{Reach, check_url};
use campaign_core::id::CampaignId;
use campaign_core::{Error, Kind, Result};
use jiff::{SignedDuration, Timestamp};
use ring::rand::SecureRandom;
use serde::{Deserialize, Serialize};

/// Bytes of a secret: those that Standard Webhooks recommends.
const SECRET_BYTES: usize = 32;
/// How long a secret that was replaced signs beside its successor, so that receivers have time to change it.
pub(super) const OVERLAP: SignedDuration = SignedDuration::from_hours(24);
/// The longest address.
const LONGEST_URL: usize = 2000;
/// The longest description, in characters.
const LONGEST_DESCRIPTION: usize = 500;

/// An address that is told of events. Its secret is not known here.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its id, `whe_` and 16 hexadecimal digits.
    pub id: String,
    /// Whose events it is told; `None`: those of every organisation.
    #[serde(default)]
    pub organization_id: Option<i64>,
    /// Of which campaign; `None`: of all.
    #[serde(default)]
    pub campaign_id: Option<CampaignId>,
    /// Where events are sent, `https://...`.
    pub url: String,
    /// For people, at most 500 characters.
    #[serde(default)]
    pub description: Option<String>,
    /// Of which events; empty: of all.
    #[serde(default)]
    pub events: Vec<EventName>,
    /// Whether it is told anything. What happens while it is not is not told later. A receiver that answers 410 Gone makes it false.
    pub enabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl std::fmt::Debug for Endpoint {
    // Addresses may hold tokens.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("id", &self.id).field("enabled", &self.enabled).finish_non_exhaustive()
    }
}

/// An endpoint to be made.
#[derive(Clone, Default)]
pub struct NewEndpoint {
    /// Whose events it is told, at least 1; `None`: those of every organisation.
    pub organization_id: Option<i64>,
    /// Of which campaign; `None`: of all.
    pub campaign_id: Option<CampaignId>,
    /// Where events are sent.
    pub url: String,
    /// For people, at most 500 characters.
    pub description: Option<String>,
    /// Of which events; empty: of all.
    pub events: Vec<EventName>,
    /// `whsec_` and base64 of 16 to 64 bytes; `None`: a random one.
    pub secret: Option<String>,
}

impl std::fmt::Debug for NewEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewEndpoint").field("organization_id", &self.organization_id).field("events", &self.events).finish_non_exhaustive()
    }
}

/// What is changed of an endpoint; `None` stays.
#[derive(Clone, Default)]
pub struct EndpointPatch {
    /// Where events are sent.
    pub url: Option<String>,
    /// For people; empty takes it away.
    pub description: Option<String>,
    /// Of which events; empty: of all.
    pub events: Option<Vec<EventName>>,
    /// Whether it is told anything.
    pub enabled: Option<bool>,
}

impl std::fmt::Debug for EndpointPatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndpointPatch").field("events", &self.events).field("enabled", &self.enabled).finish_non_exhaustive()
    }
}

/// An endpoint as it is stored.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Stored {
    #[serde(flatten)]
    pub(super) endpoint: Endpoint,
    pub(super) secret: String,
    #[serde(default)]
    pub(super) replaced: Option<Replaced>,
}

/// A secret that was replaced.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Replaced {
    pub(super) secret: String,
    pub(super) until: Timestamp,
}

impl Stored {
    /// The secrets that a delivery is signed with now.
    pub(super) fn secrets(&self, now: Timestamp) -> impl Iterator<Item = &str> {
        let old = self.replaced.as_ref().filter(|old| old.until > now).map(|old| old.secret.as_str());
        std::iter::once(self.secret.as_str()).chain(old)
    }

    /// Whether it is told of this event.
    pub(super) fn wants(&self, name: EventName, campaign: CampaignId, organization: Option<i64>) -> bool {
        let Endpoint { organization_id, campaign_id, events, .. } = &self.endpoint;
        (organization_id.is_none() || *organization_id == organization)
            && campaign_id.is_none_or(|own| own == campaign)
            && (events.is_empty() || events.contains(&name))
    }
}

impl NewEndpoint {
    /// Checks it and fills in what was left out.
    pub(super) fn stored(self, reach: Reach, now: Timestamp) -> Result<Stored> {
        let Self { organization_id, campaign_id, url, description, events, secret } = self;
        if organization_id.is_some_and(|id| id < 1) {
            return Err(Error::invalid("organization_id", "must be at least 1"));
        }
        let secret = match secret {
            Some(secret) => checked_secret(secret)?,
            None => random_secret()?,
        };
        let endpoint = Endpoint {
            id: format!("whe_{}", campaign_core::http::signature::hex(&random::<8>()?)),
            organization_id,
            campaign_id,
            url: checked_url(url, reach)?,
            description: checked_description(description)?,
            events,
            enabled: true,
            created_at: now,
            updated_at: now,
        };
        Ok(Stored { endpoint, secret, replaced: None })
    }
}

impl EndpointPatch {
    /// Changes an endpoint.
    pub(super) fn apply(&self, endpoint: &mut Endpoint, reach: Reach, now: Timestamp) -> Result<()> {
        if let Some(url) = &self.url {
            endpoint.url = checked_url(url.clone(), reach)?;
        }
        if let Some(description) = &self.description {
            endpoint.description = checked_description(Some(description.clone()))?;
        }
        if let Some(events) = &self.events {
            endpoint.events.clone_from(events);
        }
        endpoint.enabled = self.enabled.unwrap_or(endpoint.enabled);
        endpoint.updated_at = now;
        Ok(())
    }
}

fn checked_url(url: String, reach: Reach) -> Result<String> {
    if url.len() > LONGEST_URL {
        return Err(Error::invalid("url", format!("must have at most {LONGEST_URL} characters")));
    }
    check_url(&url, reach)?;
    Ok(url)
}

fn checked_description(description: Option<String>) -> Result<Option<String>> {
    let description = description.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    if description.as_ref().is_some_and(|text| text.chars().count() > LONGEST_DESCRIPTION || text.contains('\0')) {
        return Err(Error::invalid("description", format!("must have at most {LONGEST_DESCRIPTION} characters")));
    }
    Ok(description)
}

fn checked_secret(secret: String) -> Result<String> {
    WebhookSecret::parse(&secret)?;
    if secret.len() > 100 {
        return Err(Error::invalid("secret", "must stand for at most 64 bytes"));
    }
    Ok(secret)
}

pub(super) fn random_secret() -> Result<String> {
    Ok(format!("whsec_{}", base64(&random::<SECRET_BYTES>()?)))
}

pub(super) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::new(Kind::Internal, "the system gives no random numbers, so nothing can be named or signed"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_secrets_and_descriptions_are_checked() {
        let made = |url: &str, secret: Option<&str>, description: &str| {
            let new = NewEndpoint {
                url: url.to_owned(),
                secret: secret.map(str::to_owned),
                description: Some(description.to_owned()),
                ..NewEndpoint::default()
            };
            new.stored(Reach::Public, Timestamp::UNIX_EPOCH).map(|stored| stored.secret)
        };
        assert!(made("https://example.com/hook", None, "").unwrap().starts_with("whsec_"));
        for (url, secret, description) in [
            ("http://example.com/hook", None, String::new()),
            ("https://127.0.0.1/hook", None, String::new()),
            ("https://example.com", Some("whsec_x"), String::new()),
            ("https://example.com", None, "x".repeat(501)),
        ] {
            assert_eq!(made(url, secret, &description).unwrap_err().kind(), Kind::Invalid, "{url}");
        }
    }

    #[test]
    fn an_old_secret_signs_for_a_day_beside_the_new() {
        let mut stored = NewEndpoint { url: "https://example.com".to_owned(), ..NewEndpoint::default() }
            .stored(Reach::Public, Timestamp::UNIX_EPOCH)
            .unwrap();
        let until = Timestamp::UNIX_EPOCH + OVERLAP;
        stored.replaced = Some(Replaced { secret: "old".to_owned(), until });
        assert_eq!((stored.secrets(Timestamp::UNIX_EPOCH).count(), stored.secrets(until).count()), (2, 1));
    }
}
