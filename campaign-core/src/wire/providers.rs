//! Dialers by configuration, inwards; callbacks of providers, in and out.

use super::{Object, capabilities, carrier, read, without_digits};
use crate::dialer::{
    CallbackRequest, CallbackResponse, Capabilities, DialContext, DialError, DialRequest, Dialer, FindRequest, Found, RoutedDialer,
};
use crate::error::{Error, Kind, Result};
use crate::outcome::{Channel, Outcome};
use async_trait::async_trait;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;

/// A dialer from its description, an object with one member:
///
/// | member | content |
/// |---|---|
/// | `simulated` | as for [`carrier`] |
/// | `twilio`, `elevenlabs`, `webhook` | the settings of the provider, see `docs/providers.md` |
/// | `routed` | a list of objects with `name`, `channels` (one or several) and `dialer`, which is a description again |
///
/// Any other description is the calling language's own, and `own` makes the dialer.
///
/// # Errors
/// [`Kind::Invalid`] with the field that is wrong, and never with its value; what `own` reports.
pub fn dialer(description: Value, own: &mut dyn FnMut(Object) -> Result<Arc<dyn Dialer>>) -> Result<Arc<dyn Dialer>> {
    let mut description: Object = read("dialer", description)?;
    let only = description.keys().next().filter(|_| description.len() == 1).cloned().unwrap_or_default();
    let mut content = |name: &str| description.remove(name).unwrap_or_default();
    match only.as_str() {
        "simulated" => Ok(Arc::new(carrier(read("dialer", content("simulated"))?)?)),
        "routed" => routed(content("routed"), own),
        "twilio" | "elevenlabs" | "webhook" => provider(&only, read("dialer", content(&only))?),
        _ => own(description),
    }
}

/// Says what is wrong with a description of [`dialer`], before there is anything to open. For a dialer of the calling language's own it has
/// `capabilities` and `can_find`.
///
/// # Errors
/// As [`dialer`].
pub fn check_dialer(description: Value) -> Result<()> {
    let mut own = |mut given: Object| {
        let form = given.remove("capabilities").unwrap_or_else(|| json!({}));
        let can_find = given.remove("can_find").and_then(|can| can.as_bool()).unwrap_or(true);
        Ok(Arc::new(StandIn(capabilities(read("capabilities", form)?, can_find)?)) as Arc<dyn Dialer>)
    };
    dialer(description, &mut own).map(drop)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteForm {
    name: String,
    channels: Channels,
    dialer: Value,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Channels {
    One(Channel),
    Several(Vec<Channel>),
}

fn routed(routes: Value, own: &mut dyn FnMut(Object) -> Result<Arc<dyn Dialer>>) -> Result<Arc<dyn Dialer>> {
    let routes: Vec<RouteForm> = read("routes", routes)?;
    if routes.is_empty() {
        return Err(Error::invalid("routes", "name a dialer for a channel"));
    }
    let mut routed = RoutedDialer::new();
    for RouteForm { name, channels, dialer: description } in routes {
        let channels = match channels {
            Channels::One(channel) => vec![channel],
            Channels::Several(channels) => channels,
        };
        let inner = dialer(description, own).map_err(|error| error.with("route", &name))?;
        routed = routed.route_shared(&name, channels, inner).map_err(|error| error.with("route", &name))?;
    }
    Ok(Arc::new(routed))
}

/// Stands where a dialer will be; nothing is ever dialled with it.
struct StandIn(Capabilities);

#[async_trait]
impl Dialer for StandIn {
    fn capabilities(&self) -> Capabilities {
        self.0.clone()
    }

    async fn dial(&self, _: DialRequest, _: DialContext) -> Result<Outcome, DialError> {
        Err(DialError::Transient(Error::new(Kind::Internal, "nobody dials with a stand-in")))
    }

    async fn find(&self, _: FindRequest) -> Result<Found> {
        Ok(Found::NeverHappened)
    }
}

fn provider(name: &str, settings: Object) -> Result<Arc<dyn Dialer>> {
    match name {
        #[cfg(feature = "twilio")]
        "twilio" => Ok(Arc::new(crate::dialer::twilio::TwilioDialer::new(self::settings(settings)?)?)),
        #[cfg(feature = "elevenlabs")]
        "elevenlabs" => Ok(Arc::new(crate::dialer::elevenlabs::ElevenLabsDialer::new(self::settings(settings)?)?)),
        #[cfg(feature = "http")]
        "webhook" => Ok(Arc::new(crate::dialer::webhook::WebhookDialer::new(self::settings(settings)?)?)),
        _ => {
            drop(settings);
            Err(Error::new(Kind::Invalid, "this build has no such provider").with("provider", name))
        }
    }
}

/// Settings from an object. Null is "not given". What is wrong is found by reading one setting after the other, because a reader of JSON
/// does not say where it was; a value is never shown, because it may be a secret.
#[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only providers that speak HTTP have settings"))]
pub(super) fn settings<T: DeserializeOwned>(mut given: Object) -> Result<T> {
    given.retain(|_, value| !value.is_null());
    serde_json::from_value(Value::Object(given.clone())).map_err(|error| {
        let alone = |name: &String, value: &Value| serde_json::from_value::<T>(json!({ name: value })).err();
        let found = given.iter().find_map(|(name, value)| Some((name, alone(name, value)?)));
        match found {
            Some((name, error)) => Error::new(Kind::Invalid, what_is_wrong(&error)).with("field", without_digits(name)),
            None => Error::new(Kind::Invalid, what_is_wrong(&error)),
        }
    })
}

fn what_is_wrong(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // "invalid type: string \"...\", expected u32": what was found stands first, and may be a secret.
    match text.rsplit_once(", expected ") {
        Some((found, expected)) if found.starts_with("unknown field") => format!("is no setting; there are {}", without_digits(expected)),
        Some((_, expected)) => format!("is not as expected, which is {}", without_digits(expected)),
        None => without_digits(text.split('"').step_by(2).collect::<Vec<_>>().join("…").as_str()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestForm {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
}

/// A request of a provider: `method`, `url`, `headers` as a list of pairs, and `body`, a text of which every character stands for a byte.
///
/// # Errors
/// [`Kind::Invalid`] when it is none.
pub fn callback_request(arguments: Object) -> Result<CallbackRequest> {
    let RequestForm { method, url, headers, body } = read("request", Value::Object(arguments))?;
    let body = body.chars().map(u8::try_from).collect::<Result<_, _>>();
    Ok(CallbackRequest { method, url, headers, body: body.map_err(|_| Error::invalid("body", "must be the bytes as they came in"))? })
}

/// What the provider gets back: `status`, `headers` as an object, and `body`, a text of which every character stands for a byte.
pub fn callback_response(response: &CallbackResponse) -> Value {
    let CallbackResponse { status, content_type, body } = response;
    let body: String = body.iter().copied().map(char::from).collect();
    json!({ "status": status, "headers": { "content-type": content_type }, "body": body })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(error: &Error) -> &str {
        error.context().iter().find(|(name, _)| *name == "field").map_or("", |(_, value)| value)
    }

    #[test]
    fn dialers_come_from_their_description() {
        let route = |name: &str, channels: Value, dialer: Value| json!({ "name": name, "channels": channels, "dialer": dialer });
        let simulated = json!({ "simulated": { "profile": "instant" } });
        let text = json!({ "object": 7, "capabilities": { "channels": ["sms"] }, "can_find": false });
        let both = json!({ "routed": [route("voice", json!("call"), simulated.clone()), route("text", json!(["sms"]), text.clone())] });
        check_dialer(both.clone()).unwrap();
        let mut asked = Vec::new();
        let mut own = |given: Object| {
            asked.push(given["object"].clone());
            Ok(Arc::new(StandIn(Capabilities::default())) as Arc<dyn Dialer>)
        };
        let made = dialer(both, &mut own).unwrap();
        assert_eq!((made.capabilities().channels, asked), (vec![Channel::Call, Channel::Sms], vec![json!(7)]));
        for (wrong, says) in [
            (json!({ "routed": [] }), "routes"),
            (json!({ "routed": [route("a", json!("call"), simulated.clone()), route("a", json!("sms"), simulated.clone())] }), "name"),
            (json!({ "routed": [route("a", json!("call"), simulated.clone()), route("b", json!("call"), simulated.clone())] }), "channels"),
            (json!({ "routed": [route("a", json!("call"), text)] }), "channels"),
            (json!({ "routed": [route("a", json!("fax"), simulated)] }), "routes"),
        ] {
            let error = check_dialer(wrong).unwrap_err();
            assert_eq!((error.kind(), field(&error)), (Kind::Invalid, says), "{error}");
        }
    }

    #[cfg(feature = "twilio")]
    #[test]
    fn what_is_wrong_with_settings_is_named_and_not_shown() {
        const SID: &str = "AC0123456789abcdef0123456789abcdef";
        for (provider, wrong, expected) in [
            ("twilio", json!({ "account_sid": SID, "auth_token": "t", "calls_per_second": "secret-7" }), "calls_per_second"),
            ("twilio", json!({ "account_sid": SID, "auth_token": 12_345_678 }), "auth_token"),
            ("twilio", json!({ "account_sid": SID, "auth_token": "t", "poll_interval": -1 }), "poll_interval"),
            ("twilio", json!({ "account_sid": SID, "auth_tokn": "secret-7" }), "auth_tokn"),
            ("twilio", json!({ "account_sid": "secret-7", "auth_token": "t" }), "account_sid"),
            ("webhook", json!({ "url": "https://a.example", "secret": "secret-7" }), "secret"),
            ("webhook", json!({ "url": "https://a.example", "secret": "secret-7", "channels": ["fax, expected secret-7"] }), "channels"),
        ] {
            let error = check_dialer(json!({ provider: wrong })).unwrap_err();
            assert_eq!(field(&error), expected, "{error}");
            assert!(!format!("{error:?}{error}").contains("secret-7") && !error.to_string().contains("345678"), "{error}");
        }
        check_dialer(json!({ "twilio": { "account_sid": SID, "auth_token": "t", "from_number": null } })).unwrap();
    }

    #[test]
    fn callbacks_cross_byte_for_byte() {
        let bytes: Vec<u8> = (0..=255).collect();
        let body: String = bytes.iter().copied().map(char::from).collect();
        let given = json!({ "method": "POST", "url": "/x?y", "headers": [["A", "b"], ["a", "c"]], "body": body });
        let request = callback_request(given.as_object().cloned().unwrap()).unwrap();
        assert_eq!((request.body, request.headers.len()), (bytes.clone(), 2));
        let back = callback_response(&CallbackResponse { status: 200, content_type: "text/xml", body: bytes });
        assert_eq!((back["body"].as_str(), back["headers"]["content-type"].as_str()), (Some(body.as_str()), Some("text/xml")));
        let given = json!({ "method": "POST", "url": "/x?y", "headers": [], "body": "€" });
        assert_eq!(field(&callback_request(given.as_object().cloned().unwrap()).unwrap_err()), "body");
    }
}
