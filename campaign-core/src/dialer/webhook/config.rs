//! Settings of a webhook dialer.

use crate::error::{Error, Result};
use crate::http::signature::WebhookSecret;
use crate::http::{HttpOptions, Reach, Secret, check_url};
use crate::outcome::Channel;
use crate::redact::debug_without;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// What the service does with a request that it gets twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Repetition {
    /// It ignores the second one and answers as to the first. Requests whose answer was lost are sent again.
    Native,
    /// It may carry it out twice, but keeps the key and names it in callbacks. Nothing is sent twice.
    #[default]
    CallbackRef,
}

/// Settings of a [`super::WebhookDialer`]. `url` and `secret` are needed, every other field has a default.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookConfig {
    /// Where attempts are handed over.
    pub url: String,
    /// Where the service is asked what became of an attempt. Without it the end is learned from callbacks only.
    pub status_url: Option<String>,
    /// Where the service is asked to hang up. Without it calls cannot be hung up.
    pub cancel_url: Option<String>,
    /// Signs requests and checks callbacks: `whsec_` and base64.
    pub secret: Secret,
    /// Secrets that are being replaced: requests are signed with them as well, and callbacks may be.
    pub old_secrets: Vec<Secret>,
    /// More headers of requests, for example `authorization`.
    pub headers: BTreeMap<String, Secret>,
    /// The channels that the service serves. Default: all.
    pub channels: Vec<Channel>,
    /// What it does with a request that it gets twice. Default [`Repetition::CallbackRef`].
    pub idempotency: Repetition,
    /// For [`Repetition::Native`]: how long it remembers a key, in seconds. Default 86400.
    pub key_ttl_seconds: u32,
    /// Seconds after which `status_url` certainly knows an attempt. Default 5.
    pub lookup_lag_seconds: u32,
    /// Longest time of one request in seconds, 1 to 120. Default 15.
    pub request_timeout_seconds: u32,
    /// Seconds between two questions at `status_url` while an attempt goes on, 1 to 600. Default 10.
    pub poll_seconds: u32,
    /// The end of the path at which callbacks arrive. Default `/webhook-dialer`.
    pub callback_path: String,
    /// The public address of that path; the service is told it with each attempt.
    pub callback_url: Option<String>,
    /// The name of the account that limits belong to. Default none.
    pub account: Option<String>,
    /// Starts per second. Default none.
    pub calls_per_second: Option<u32>,
    /// Attempts at once. Default none.
    pub max_concurrent: Option<u32>,
    /// Whether the service detects answering machines. Default false.
    pub machine_detection: bool,
    /// The addresses come from users: only HTTPS to public addresses. Default false.
    pub public_only: bool,
}

debug_without!(WebhookConfig {
    channels, idempotency, key_ttl_seconds, lookup_lag_seconds, request_timeout_seconds, poll_seconds, callback_path, account,
    calls_per_second, max_concurrent, machine_detection, public_only
} hides { url, status_url, cancel_url, secret, old_secrets, headers, callback_url });

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            status_url: None,
            cancel_url: None,
            secret: Secret::default(),
            old_secrets: Vec::new(),
            headers: BTreeMap::new(),
            channels: Channel::ALL.to_vec(),
            idempotency: Repetition::CallbackRef,
            key_ttl_seconds: 86_400,
            lookup_lag_seconds: 5,
            request_timeout_seconds: 15,
            poll_seconds: 10,
            callback_path: "/webhook-dialer".to_owned(),
            callback_url: None,
            account: None,
            calls_per_second: None,
            max_concurrent: None,
            machine_detection: false,
            public_only: false,
        }
    }
}

impl WebhookConfig {
    /// Says what is wrong with it.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`], with the field.
    pub fn validate(&self) -> Result<()> {
        let urls = [("url", Some(&self.url)), ("status_url", self.status_url.as_ref()), ("cancel_url", self.cancel_url.as_ref())];
        for (field, url) in urls {
            if let Some(url) = url {
                check_url(url, self.reach()).map_err(|error| Error::invalid(field, error.message()))?;
            }
        }
        self.secrets()?;
        if self.channels.is_empty() {
            return Err(Error::invalid("channels", "must name a channel"));
        }
        for (field, value, most) in [
            ("request_timeout_seconds", self.request_timeout_seconds, 120),
            ("poll_seconds", self.poll_seconds, 600),
            ("key_ttl_seconds", self.key_ttl_seconds, u32::MAX),
        ] {
            if !(1..=most).contains(&value) {
                return Err(Error::invalid(field, format!("must be 1 to {most}")));
            }
        }
        if self.calls_per_second == Some(0) || self.max_concurrent == Some(0) {
            return Err(Error::invalid("calls_per_second", "limits must be at least 1; leave them out for none"));
        }
        if !self.callback_path.starts_with('/') || self.callback_path.len() < 2 {
            return Err(Error::invalid("callback_path", "must begin with / and name something"));
        }
        Ok(())
    }

    /// The secrets, the new one first.
    pub(super) fn secrets(&self) -> Result<Vec<WebhookSecret>> {
        std::iter::once(&self.secret).chain(&self.old_secrets).map(|secret| WebhookSecret::parse(secret.expose())).collect()
    }

    fn reach(&self) -> Reach {
        if self.public_only { Reach::Public } else { Reach::Anywhere }
    }

    pub(super) fn http(&self) -> HttpOptions {
        HttpOptions { timeout: self.request_time(), reach: self.reach(), ..HttpOptions::default() }
    }

    pub(super) fn request_time(&self) -> Duration {
        Duration::from_secs(self.request_timeout_seconds.into())
    }
}
