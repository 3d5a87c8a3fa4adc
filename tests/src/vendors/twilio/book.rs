//! What the simulator knows.

use super::{ACCOUNT, Fate};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::watch;

/// What somebody wants of a call that goes on.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Wish {
    #[default]
    None,
    /// To end with this status.
    End(&'static str),
    /// Other instructions.
    Follow(String),
}

/// A call.
#[derive(Debug, Clone)]
pub struct CallState {
    /// Its sid.
    pub sid: String,
    /// The fields it was asked for with.
    pub fields: Vec<(String, String)>,
    /// Where it stands.
    pub status: String,
    /// When it was made.
    pub created: Timestamp,
    /// When somebody picked up.
    pub answered: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// What picked up, once detected.
    pub answered_by: Option<String>,
    /// The SIP code of a failure.
    pub sip: Option<u16>,
    /// Instructions it was given while it went on.
    pub redirects: Vec<String>,
    pub(super) fate: Fate,
    pub(super) wish: watch::Sender<Wish>,
}

/// A message.
#[derive(Debug, Clone)]
pub struct MessageState {
    /// Its sid.
    pub sid: String,
    /// The fields it was asked for with.
    pub fields: Vec<(String, String)>,
    /// Where it stands.
    pub status: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it left.
    pub sent: Option<Timestamp>,
    /// When nothing more happened.
    pub ended: Option<Timestamp>,
    /// Why it failed.
    pub error_code: Option<u32>,
    pub(super) fate: Fate,
}

/// The value of a field.
pub(super) fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// The attempt in the URL of the status callback.
pub(super) fn attempt_of(fields: &[(String, String)]) -> Option<i64> {
    let query = field(fields, "StatusCallback")?.split_once('?')?.1;
    url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "attempt").and_then(|(_, id)| id.parse().ok())
}

impl CallState {
    /// The value of a field of the request.
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.fields, name)
    }

    /// The attempt it was placed for.
    pub fn attempt(&self) -> Option<i64> {
        attempt_of(&self.fields)
    }

    /// Seconds talked.
    pub(super) fn duration(&self) -> Option<i64> {
        Some(self.ended?.duration_since(self.answered?).as_secs().max(1))
    }

    pub(super) fn json(&self, now: Timestamp) -> Value {
        let ended = self.ended.is_some();
        json!({
            "sid": self.sid, "account_sid": ACCOUNT, "api_version": "2010-04-01", "parent_call_sid": null, "group_sid": null,
            "to": self.field("To"), "to_formatted": self.field("To"), "from": self.field("From"), "from_formatted": self.field("From"),
            "phone_number_sid": null, "status": self.status, "direction": "outbound-api", "answered_by": self.answered_by,
            "start_time": self.answered.or(self.ended).map(rfc2822), "end_time": self.ended.map(rfc2822),
            "duration": ended.then(|| self.duration().unwrap_or(0).to_string()),
            "price": self.ended.and_then(|at| price(&self.fate, at, now)).filter(|_| self.answered.is_some()), "price_unit": "USD",
            "date_created": rfc2822(self.created), "date_updated": rfc2822(self.ended.unwrap_or(self.created)),
            "forwarded_from": null, "caller_name": null, "queue_time": self.fate.queue.as_millis().to_string(), "trunk_sid": null,
            "annotation": null, "uri": format!("/2010-04-01/Accounts/{ACCOUNT}/Calls/{}.json", self.sid), "subresource_uris": {},
        })
    }
}

impl MessageState {
    /// The value of a field of the request.
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.fields, name)
    }

    /// The attempt it was sent for.
    pub fn attempt(&self) -> Option<i64> {
        attempt_of(&self.fields)
    }

    pub(super) fn json(&self, now: Timestamp) -> Value {
        let body = self.field("Body").unwrap_or_default();
        json!({
            "sid": self.sid, "account_sid": ACCOUNT, "api_version": "2010-04-01", "body": body,
            "to": self.field("To"), "from": self.field("From"), "messaging_service_sid": self.field("MessagingServiceSid"),
            "status": self.status, "direction": "outbound-api", "error_code": self.error_code, "error_message": null,
            "num_segments": campaign_core::template::sms::segments(body).segments.to_string(),
            "num_media": self.fields.iter().filter(|(name, _)| name == "MediaUrl").count().to_string(),
            "price": self.sent.and_then(|at| price(&self.fate, at, now)), "price_unit": "USD",
            "date_created": rfc2822(self.created), "date_sent": self.sent.map(rfc2822), "date_updated": rfc2822(self.ended.unwrap_or(self.created)),
            "uri": format!("/2010-04-01/Accounts/{ACCOUNT}/Messages/{}.json", self.sid), "subresource_uris": {},
        })
    }
}

fn price(fate: &Fate, since: Timestamp, now: Timestamp) -> Option<&'static str> {
    let (price, lag) = fate.price?;
    (Duration::try_from(now.duration_since(since)).unwrap_or_default() >= lag).then_some(price)
}

/// A moment as in mails, which is how Twilio tells them.
pub(super) fn rfc2822(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// Everything.
#[derive(Default)]
pub(super) struct Book {
    pub(super) calls: Vec<CallState>,
    pub(super) messages: Vec<MessageState>,
    pub(super) complaints: Vec<String>,
    /// Requests that place something.
    pub(super) creates: u64,
    /// When they came, for the limit per second.
    pub(super) starts: Vec<Timestamp>,
    sids: u64,
}

impl Book {
    /// A new sid.
    pub(super) fn sid(&mut self, prefix: &str) -> String {
        self.sids += 1;
        format!("{prefix}{:032x}", self.sids)
    }

    /// Attempt and number of everything that was placed.
    pub(super) fn placed(&self) -> impl Iterator<Item = (Option<i64>, &str)> {
        let calls = self.calls.iter().map(|call| &call.fields);
        calls
            .chain(self.messages.iter().map(|message| &message.fields))
            .map(|fields| (attempt_of(fields), field(fields, "To").unwrap_or_default()))
    }

    pub(super) fn call(&mut self, sid: &str) -> Option<&mut CallState> {
        self.calls.iter_mut().find(|call| call.sid == sid)
    }

    pub(super) fn message(&mut self, sid: &str) -> Option<&mut MessageState> {
        self.messages.iter_mut().find(|message| message.sid == sid)
    }
}
