//! How an account is reached, and how its calls and messages are carried.

use crate::error::{Error, Kind, Result};
use crate::redact::debug_without;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

/// Settings of a [`super::TwilioDialer`]. From code with [`TwilioConfig::new`] and the methods below, from data with
/// [`TwilioConfig::from_json`]; there, spans of time are numbers of seconds. No secret is ever shown by `Debug` or in an error.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TwilioConfig {
    /// The account, `AC` and 32 hexadecimal digits.
    pub account_sid: String,
    /// The account's auth token. Callbacks are signed with it, so it is needed for callbacks even beside an API key.
    pub auth_token: Option<String>,
    /// An API key, `SK...`, to send requests with instead of the auth token.
    pub api_key_sid: Option<String>,
    /// The secret of that key.
    pub api_key_secret: Option<String>,
    /// Shared keys that callbacks may be signed with (HMAC-SHA256), by their ids.
    pub webhook_keys: BTreeMap<String, String>,
    /// The caller id of calls and the sender of SMS for campaigns without caller ids of their own: a number in E.164, or for SMS a short
    /// code or a sender name.
    pub from_number: Option<String>,
    /// The messaging service that sends SMS, `MG...`; goes before `from_number` for messages.
    pub messaging_service_sid: Option<String>,
    /// The WhatsApp sender: a number in E.164, with or without `whatsapp:` before it.
    pub whatsapp_from: Option<String>,
    /// The URL by which Twilio reaches the program, for example `https://calls.example.org`, or with the path that a proxy puts before
    /// ours. Without it there are no callbacks: everything is learned by asking, and nobody can write or call back.
    pub public_base_url: Option<String>,
    /// The path below which callbacks come in. Default `/twilio/`. Those that come in below `/webhooks/twilio/` of the same host, as accounts
    /// are often set to already, are taken as well.
    pub callback_path: String,
    /// The WebSocket of the assistant that `<ConversationRelay>` connects to, `wss://...`. Default: `relay` below the callbacks.
    pub relay_url: Option<String>,
    /// Where the REST API is. Default `https://api.twilio.com`, or the host of `edge` and `region`.
    pub api_base: Option<String>,
    /// The region that processes, for example `ie1`.
    pub region: Option<String>,
    /// The edge through which it is reached, for example `dublin`.
    pub edge: Option<String>,
    /// Calls and messages started per second over the whole account. Default 1, which is what an account has at first; Twilio queues what
    /// is faster, and calls would then leave later than they may.
    pub calls_per_second: u32,
    /// Calls and messages at once over the whole account. Default: no limit.
    pub max_concurrent: Option<u32>,
    /// How often a call or message is looked at when there are no callbacks. Default 5 s, at least 100 ms.
    #[serde(deserialize_with = "seconds")]
    pub poll_interval: Duration,
    /// After this long without news from callbacks a call or message is looked at all the same. Default 60 s.
    #[serde(deserialize_with = "seconds")]
    pub callback_patience: Duration,
    /// How long a message is watched for its receipt. Default 30 s; then it counts as sent, and a receipt that comes later is an amendment.
    #[serde(deserialize_with = "seconds")]
    pub receipt_wait: Duration,
    /// How long after the end of a call its price is asked for, once. Default 1 s.
    #[serde(deserialize_with = "seconds")]
    pub price_wait: Duration,
    /// A call that still waits in Twilio's own queue after this long is taken back, so that it does not leave when nobody may be called
    /// any more. Default 30 s.
    #[serde(deserialize_with = "seconds")]
    pub queue_limit: Duration,
    /// A message is not handed over when it could not wait at least this long at Twilio before the contact's window closes. Default 30 s.
    #[serde(deserialize_with = "seconds")]
    pub min_validity: Duration,
    /// How long after a hand-off the lists of the API may not show it yet; Twilio documents none. Default 15 s.
    #[serde(deserialize_with = "seconds")]
    pub lookup_lag: Duration,
    /// Longest time of one request. Default 15 s.
    #[serde(deserialize_with = "seconds")]
    pub request_timeout: Duration,
    /// The language that texts are spoken in, for example `en-GB`; the option `language` of a campaign goes first. Default `en-US`.
    pub language: String,
    /// The voice, for example `Polly.Amy-Neural`; the option `voice` of a campaign goes first. Default: Twilio's.
    pub voice: Option<String>,
}

debug_without!(TwilioConfig {
    callback_path, region, edge, calls_per_second, max_concurrent, poll_interval, callback_patience, receipt_wait, price_wait, queue_limit,
    min_validity, lookup_lag, request_timeout, language, voice
} hides {
    account_sid, auth_token, api_key_sid, api_key_secret, webhook_keys, from_number, messaging_service_sid, whatsapp_from, public_base_url,
    relay_url, api_base
});

impl Default for TwilioConfig {
    fn default() -> Self {
        Self {
            account_sid: String::new(),
            auth_token: None,
            api_key_sid: None,
            api_key_secret: None,
            webhook_keys: BTreeMap::new(),
            from_number: None,
            messaging_service_sid: None,
            whatsapp_from: None,
            public_base_url: None,
            callback_path: "/twilio/".to_owned(),
            relay_url: None,
            api_base: None,
            region: None,
            edge: None,
            calls_per_second: 1,
            max_concurrent: None,
            poll_interval: Duration::from_secs(5),
            callback_patience: Duration::from_secs(60),
            receipt_wait: Duration::from_secs(30),
            price_wait: Duration::from_secs(1),
            queue_limit: Duration::from_secs(30),
            min_validity: Duration::from_secs(30),
            lookup_lag: Duration::from_secs(15),
            request_timeout: Duration::from_secs(15),
            language: "en-US".to_owned(),
            voice: None,
        }
    }
}

impl TwilioConfig {
    /// An account with its auth token, and the defaults.
    pub fn new(account_sid: impl Into<String>, auth_token: impl Into<String>) -> Self {
        Self { account_sid: account_sid.into(), auth_token: Some(auth_token.into()), ..Self::default() }
    }

    /// From an object with the names of the fields; what is left out has its default.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for an unknown field or a value of the wrong type. The message holds no value.
    pub fn from_json(value: Value) -> Result<Self> {
        serde_json::from_value(value).map_err(|error| Error::new(Kind::Invalid, without_values(&error.to_string())))
    }

    /// With an API key to send requests with.
    #[must_use]
    pub fn api_key(mut self, sid: impl Into<String>, secret: impl Into<String>) -> Self {
        (self.api_key_sid, self.api_key_secret) = (Some(sid.into()), Some(secret.into()));
        self
    }

    /// With a caller id and sender.
    #[must_use]
    pub fn from_number(mut self, number: impl Into<String>) -> Self {
        self.from_number = Some(number.into());
        self
    }

    /// With a messaging service.
    #[must_use]
    pub fn messaging_service(mut self, sid: impl Into<String>) -> Self {
        self.messaging_service_sid = Some(sid.into());
        self
    }

    /// With a WhatsApp sender.
    #[must_use]
    pub fn whatsapp_from(mut self, number: impl Into<String>) -> Self {
        self.whatsapp_from = Some(number.into());
        self
    }

    /// With callbacks to this URL.
    #[must_use]
    pub fn public_base_url(mut self, url: impl Into<String>) -> Self {
        self.public_base_url = Some(url.into());
        self
    }

    /// With the REST API at this URL.
    #[must_use]
    pub fn api_base(mut self, url: impl Into<String>) -> Self {
        self.api_base = Some(url.into());
        self
    }

    /// With anything else changed.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The origin of the REST API.
    pub(super) fn origin(&self) -> String {
        match (&self.api_base, &self.edge, &self.region) {
            (Some(base), ..) => base.trim_end_matches('/').to_owned(),
            (None, None, None) => "https://api.twilio.com".to_owned(),
            (None, None, Some(region)) => format!("https://api.{region}.twilio.com"),
            (None, Some(edge), region) => format!("https://api.{edge}.{}.twilio.com", region.as_deref().unwrap_or("us1")),
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        let needs = |field: &'static str, holds: bool, message: &str| if holds { Ok(()) } else { Err(Error::invalid(field, message)) };
        needs("account_sid", is_sid(&self.account_sid, "AC"), "must be AC and 32 hexadecimal digits, as the console shows it")?;
        needs(
            "api_key_secret",
            self.api_key_sid.is_some() == self.api_key_secret.is_some(),
            "an API key has a sid and a secret; give both",
        )?;
        needs("auth_token", self.auth_token.is_some() || self.api_key_sid.is_some(), "an auth token or an API key is needed")?;
        let signed = self.auth_token.is_some() || !self.webhook_keys.is_empty();
        needs(
            "auth_token",
            self.public_base_url.is_none() || signed,
            "is needed beside public_base_url, to check the signatures of callbacks",
        )?;
        needs(
            "messaging_service_sid",
            self.messaging_service_sid.as_deref().is_none_or(|sid| is_sid(sid, "MG")),
            "must be MG and 32 hexadecimal digits",
        )?;
        needs("calls_per_second", self.calls_per_second > 0, "must be at least 1")?;
        needs("max_concurrent", self.max_concurrent != Some(0), "must be at least 1; leave it out for no limit")?;
        needs("poll_interval", self.poll_interval >= Duration::from_millis(100), "must be at least 0.1 seconds")?;
        needs("callback_patience", self.callback_patience >= Duration::from_millis(100), "must be at least 0.1 seconds")?;
        needs("request_timeout", self.request_timeout >= Duration::from_millis(100), "must be at least 0.1 seconds")?;
        let path = &self.callback_path;
        needs("callback_path", path.len() > 1 && path.starts_with('/') && path.ends_with('/'), "must begin and end with a slash")?;
        for (field, url, schemes) in [
            ("public_base_url", &self.public_base_url, ["https", "http"]),
            ("api_base", &self.api_base, ["https", "http"]),
            ("relay_url", &self.relay_url, ["wss", "ws"]),
        ] {
            let Some(url) = url else { continue };
            let parsed = Url::parse(url).ok().filter(|url| schemes.contains(&url.scheme()));
            let host = parsed.as_ref().and_then(Url::host_str).unwrap_or_default();
            needs(field, !host.is_empty(), &format!("must be a URL that begins with {}://", schemes[0]))?;
            let plain = parsed.as_ref().is_some_and(|url| url.query().is_none() && url.fragment().is_none());
            needs(field, field == "relay_url" || plain, "must have neither a query nor a fragment")?;
            needs(field, !host.contains('_'), "must not have an underscore in its host; Twilio refuses such URLs")?;
        }
        for (field, text) in [("region", &self.region), ("edge", &self.edge)] {
            let plain = |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            needs(field, text.as_ref().is_none_or(plain), "must be a name of letters, digits and dashes")?;
        }
        Ok(())
    }
}

/// Whether a text is a sid: its two letters and 32 hexadecimal digits.
pub(super) fn is_sid(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The reader of JSON repeats what it found in quotes, which may be a secret that stands in the wrong place.
pub(super) fn without_values(text: &str) -> String {
    text.split('"').enumerate().map(|(index, part)| if index % 2 == 0 { part } else { "…" }).collect()
}

fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Duration::try_from_secs_f64(f64::deserialize(deserializer)?)
        .map_err(|_| serde::de::Error::custom("a span of time is a number of seconds of at least 0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SID: &str = "AC0123456789abcdef0123456789abcdef";

    #[test]
    fn data_and_code_make_the_same() {
        let data = json!({"account_sid": SID, "auth_token": "t", "from_number": "+12025550100", "poll_interval": 0.5, "edge": "dublin"});
        let config = TwilioConfig::from_json(data).unwrap();
        assert_eq!(config.poll_interval, Duration::from_millis(500));
        assert_eq!(config.origin(), "https://api.dublin.us1.twilio.com");
        assert_eq!(config.clone().with(|config| config.region = Some("ie1".into())).origin(), "https://api.dublin.ie1.twilio.com");
        assert_eq!(TwilioConfig::new(SID, "t").origin(), "https://api.twilio.com");
        assert_eq!(TwilioConfig::new(SID, "t").with(|config| config.region = Some("au1".into())).origin(), "https://api.au1.twilio.com");
        config.validate().unwrap();
    }

    #[test]
    fn mistakes_are_named_and_secrets_are_not() {
        for (field, wrong) in [
            ("account_sid", json!({"account_sid": "AC1", "auth_token": "t"})),
            ("auth_token", json!({"account_sid": SID})),
            ("api_key_secret", json!({"account_sid": SID, "api_key_sid": "SK1"})),
            (
                "auth_token",
                json!({"account_sid": SID, "api_key_sid": "SK1", "api_key_secret": "x", "public_base_url": "https://a.example"}),
            ),
            ("public_base_url", json!({"account_sid": SID, "auth_token": "t", "public_base_url": "a.example"})),
            ("public_base_url", json!({"account_sid": SID, "auth_token": "t", "public_base_url": "https://my_host.example"})),
            ("relay_url", json!({"account_sid": SID, "auth_token": "t", "relay_url": "https://a.example"})),
            ("messaging_service_sid", json!({"account_sid": SID, "auth_token": "t", "messaging_service_sid": "MG1"})),
            ("calls_per_second", json!({"account_sid": SID, "auth_token": "t", "calls_per_second": 0})),
            ("callback_path", json!({"account_sid": SID, "auth_token": "t", "callback_path": "hooks"})),
            ("region", json!({"account_sid": SID, "auth_token": "t", "region": "evil.example/"})),
        ] {
            let error = TwilioConfig::from_json(wrong).unwrap().validate().unwrap_err();
            assert_eq!(error.context()[0], ("field", field.to_owned()), "{error}");
        }
        let error = TwilioConfig::from_json(json!({"account_sid": SID, "calls_per_second": "my-secret"})).unwrap_err();
        assert!(!error.to_string().contains("my-secret"), "{error}");
        assert!(TwilioConfig::from_json(json!({"acount_sid": SID})).unwrap_err().to_string().contains("acount_sid"));
        let config = TwilioConfig::new(SID, "tok-secret").api_key("SK9", "key-secret").from_number("+12025550100");
        let shown = format!("{config:?}");
        for hidden in [SID, "secret", "SK9", "2025550100"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }
}
