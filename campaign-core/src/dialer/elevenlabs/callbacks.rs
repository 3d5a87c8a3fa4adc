//! ElevenLabs' webhooks: signed with a moment, sent once, in any order.

use super::conversation::{self, ANSWERED_BY, CONVERSATION, PRESUMED, Stage};
use super::{ElevenLabsDialer, errors};
use crate::dialer::{
    AttemptRef, CallPlan, Callback, CallbackAnswer, CallbackError, CallbackRequest, CallbackResponse, Callbacks, DialError, InboundCall,
    News, OutboundMessage, Signal,
};
use crate::error::{Error, Kind};
use crate::http::Secret;
use crate::http::signature::{hex, hmac_sha256, same};
use crate::outcome::{Disposition, Outcome};
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

/// The header of the signature.
const SIGNATURE: &str = "elevenlabs-signature";
/// How old a signature may be. ElevenLabs' own clients take half an hour.
const OLDEST: i64 = 30 * 60;
/// How far ahead the clock of the other side may be.
const AHEAD: i64 = 5 * 60;

/// Signs a webhook as ElevenLabs does: the value of the header `ElevenLabs-Signature`. For tests and simulators.
pub fn sign_webhook(secret: &Secret, at: Timestamp, body: &[u8]) -> String {
    format!("t={},v0={}", at.as_second(), digest(secret, &at.as_second().to_string(), body))
}

fn digest(secret: &Secret, seconds: &str, body: &[u8]) -> String {
    let mut text = format!("{seconds}.").into_bytes();
    text.extend_from_slice(body);
    hex(&hmac_sha256(secret.expose().as_bytes(), &text))
}

/// Whether one of the secrets signed it, and not too long ago.
fn is_signed(secrets: &[Secret], header: &str, body: &[u8], now: Timestamp) -> bool {
    let parts = || header.split(',').map(str::trim).filter_map(|part| part.split_once('='));
    let Some((_, seconds)) = parts().find(|(name, _)| *name == "t") else { return false };
    if seconds.is_empty() || !seconds.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let Ok(at) = seconds.parse::<i64>() else { return false };
    let age = now.as_second().saturating_sub(at);
    if !(-AHEAD..=OLDEST).contains(&age) {
        return false;
    }
    secrets.iter().fold(false, |signed, secret| {
        let expected = digest(secret, seconds, body);
        parts().filter(|(name, _)| *name == "v0").fold(signed, |signed, (_, given)| same(given.as_bytes(), expected.as_bytes()) | signed)
    })
}

/// What news says about the attempt, as far as it ends it.
pub(super) fn terminal(news: &News, credit_price: Option<f64>) -> Option<Outcome> {
    let data = &news.body["data"];
    match news.body["type"].as_str() {
        Some("post_call_transcription") if conversation::stage(data) == Stage::Ended => Some(conversation::outcome(data, credit_price)),
        Some("call_initiation_failure") => Some(conversation::initiation_failure(data)),
        _ => None,
    }
}

/// What a machine detector heard, when that is the news.
pub(super) fn verdict(news: &News) -> Option<&str> {
    (news.body["type"] == "answering_machine_detection").then(|| conversation::verdict(&news.body["data"])).flatten()
}

/// How sure an outcome is: concluded, reported as not begun, written up.
fn rank(outcome: &Outcome) -> u8 {
    if outcome.data.contains_key(PRESUMED) {
        0
    } else if outcome.data.contains_key(CONVERSATION) {
        2
    } else {
        1
    }
}

/// A settled outcome with what came later. The better informed one wins, whatever came first.
fn amended(old: &Outcome, mut new: Outcome) -> Option<Outcome> {
    if rank(&new) < rank(old) {
        return None;
    }
    // A message was sent however the conversation went on, and who opted out has.
    if matches!(old.disposition, Disposition::Sent | Disposition::Delivered | Disposition::OptedOut) {
        new.disposition = old.disposition;
        new.duration_seconds = old.duration_seconds;
        new.detail.clone_from(&old.detail);
    }
    if let Some(heard) = old.data.get(ANSWERED_BY).and_then(Value::as_str) {
        conversation::hear(&mut new, heard);
    }
    new.cost = new.cost.or(old.cost);
    new.provider_ref = new.provider_ref.or_else(|| old.provider_ref.clone());
    (new != *old).then_some(new)
}

#[async_trait]
impl Callbacks for ElevenLabsDialer {
    fn serves(&self, path: &str) -> bool {
        path.trim_end_matches('/').ends_with(self.config().callback_path.trim_end_matches('/'))
    }

    fn read(&self, request: &CallbackRequest, now: Timestamp) -> Result<Callback, CallbackError> {
        let signed = request.header(SIGNATURE).is_some_and(|header| is_signed(&self.config().webhook_secrets, header, &request.body, now));
        if !signed {
            return Err(CallbackError::Unsigned);
        }
        let malformed = |message: &str| CallbackError::Malformed(Error::new(Kind::Invalid, message));
        let mut event: Value = serde_json::from_slice(&request.body).map_err(|_| malformed("the body is not JSON"))?;
        let kind = event["type"].as_str().ok_or_else(|| malformed("the body has no type"))?.to_owned();
        let mut signals = Vec::new();
        // Recordings, and whatever ElevenLabs invents later, are taken and left alone: a refusal would end all callbacks in the long run.
        if ["post_call_transcription", "call_initiation_failure", "answering_machine_detection"].contains(&kind.as_str()) {
            let data = event["data"].take();
            let id = conversation::id(&data).map(str::to_owned);
            // All stores that use a workspace get the callbacks of all, and those of calls that no campaign made.
            let attempt =
                conversation::key(&data).map(|key| AttemptRef::Key(key.to_owned())).or_else(|| id.clone().map(AttemptRef::Provider));
            let attempt = attempt.ok_or_else(|| malformed("the event names no conversation"))?;
            let body = json!({ "type": kind, "data": data });
            signals.push(Signal::Attempt { attempt, news: News { provider_ref: id, body } });
        }
        Ok(Callback { signals, answer: CallbackAnswer::Ready(CallbackResponse::status(200)) })
    }

    fn apply(&self, outcome: Option<&Outcome>, news: &News) -> Option<Outcome> {
        let price = self.config().credit_price;
        let Some(old) = outcome else { return terminal(news, price) };
        if let Some(heard) = verdict(news) {
            let mut new = old.clone();
            conversation::hear(&mut new, heard);
            return (new != *old).then_some(new);
        }
        terminal(news, price).and_then(|new| amended(old, new))
    }

    /// Calls to an agent's number go to the agent at once; ElevenLabs asks nobody.
    fn answer_call(&self, _call: &InboundCall, _plan: &CallPlan) -> CallbackResponse {
        CallbackResponse::status(200)
    }

    /// ElevenLabs opens conversations with templates only, and its agent answers by itself; free text cannot be sent.
    async fn send(&self, _message: OutboundMessage) -> Result<String, DialError> {
        Err(DialError::Permanent(Error::new(Kind::Invalid, errors::NO_FREE_TEXT)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialer::elevenlabs::ElevenLabsConfig;

    const SECRET: &str = "wsec_0123456789";

    fn dialer() -> ElevenLabsDialer {
        ElevenLabsDialer::new(ElevenLabsConfig {
            api_key: "key".into(),
            webhook_secrets: vec!["wsec_new".into(), SECRET.into()],
            ..ElevenLabsConfig::default()
        })
        .unwrap()
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn request(header: &str, body: &str) -> CallbackRequest {
        CallbackRequest {
            method: "POST".into(),
            url: "https://example.org/hooks/elevenlabs".into(),
            headers: vec![("ElevenLabs-Signature".into(), header.into())],
            body: body.as_bytes().to_vec(),
        }
    }

    fn event(kind: &str, data: Value) -> News {
        News { provider_ref: None, body: json!({ "type": kind, "data": data }) }
    }

    #[test]
    fn signatures_are_checked() {
        let body = r#"{"type":"post_call_audio","data":{}}"#;
        let seconds = |offset: i64| Timestamp::from_second(now().as_second() + offset).unwrap();
        let sign = |offset: i64| sign_webhook(&SECRET.into(), seconds(offset), body.as_bytes());
        let taken = |header: &str, body: &str| dialer().read(&request(header, body), now()).is_ok();
        // The digest that Python's hmac gives for the same.
        let known = "t=1,v0=1122767b193110cfec322b6f199b599edbf608ed087f2d27afb0b97d99523908";
        assert_eq!(sign_webhook(&"secret".into(), Timestamp::from_second(1).unwrap(), b"{}"), known);
        for (offset, expected) in [(0, true), (-1800, true), (-1801, false), (300, true), (301, false)] {
            assert_eq!(taken(&sign(offset), body), expected, "{offset}");
        }
        let good = sign(0);
        assert!(taken(&format!("v0=00,{good}"), body), "one of several suffices");
        assert!(taken(&good.replace(',', ", "), body), "spaces are harmless");
        assert!(!taken(&good, &body.replace("audio", "Audio")), "another body");
        assert!(!taken(&sign_webhook(&"wsec_other".into(), now(), body.as_bytes()), body), "another secret");
        for wrong in ["", "t=", "v0=abc", "t=x,v0=abc", &good.replace("t=18", "t=+18"), &good.replace("v0", "v1"), &good[..good.len() - 1]]
        {
            assert!(!taken(wrong, body), "{wrong}");
        }
        let none = ElevenLabsDialer::new(ElevenLabsConfig { api_key: "key".into(), ..ElevenLabsConfig::default() }).unwrap();
        assert!(matches!(none.read(&request(&good, body), now()), Err(CallbackError::Unsigned)), "no secret, no callback");
    }

    #[test]
    fn events_name_their_attempt() {
        let read = |body: Value| {
            let body = body.to_string();
            dialer().read(&request(&sign_webhook(&SECRET.into(), now(), body.as_bytes()), &body), now())
        };
        let attempt = |body: Value| match read(body).unwrap().signals.into_iter().next() {
            Some(Signal::Attempt { attempt, .. }) => Some(attempt),
            _ => None,
        };
        let data = json!({ "conversation_id": "conv_1", "conversation_initiation_client_data": { "user_id": "store-9" } });
        assert_eq!(attempt(json!({ "type": "post_call_transcription", "data": data })), Some(AttemptRef::Key("store-9".into())));
        let failure = json!({ "type": "call_initiation_failure", "data": { "conversation_id": "conv_1" } });
        assert_eq!(attempt(failure), Some(AttemptRef::Provider("conv_1".into())));
        assert_eq!(attempt(json!({ "type": "post_call_audio", "data": {} })), None);
        assert_eq!(attempt(json!({ "type": "invented_next_year" })), None);
        assert!(matches!(read(json!({ "no": "type" })), Err(CallbackError::Malformed(_))));
        assert!(matches!(read(json!({ "type": "call_initiation_failure", "data": {} })), Err(CallbackError::Malformed(_))));
        assert!(dialer().serves("/hooks/elevenlabs/") && !dialer().serves("/hooks/twilio"));
    }

    #[test]
    fn the_order_of_events_does_not_matter() {
        let done = json!({ "conversation_id": "c", "status": "done", "metadata": { "call_duration_secs": 8 } });
        let events = [
            event("post_call_transcription", done.clone()),
            event("answering_machine_detection", json!({ "answered_by": "machine_end_beep" })),
            event("call_initiation_failure", json!({ "conversation_id": "c", "failure_reason": "busy" })),
        ];
        let mut presumed = Outcome::new(Disposition::NoAnswer);
        presumed.data.insert(PRESUMED.into(), true.into());
        let dialer = dialer();
        let mut ends = Vec::new();
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut outcome = presumed.clone();
            for index in order.into_iter().chain(order) {
                outcome = dialer.apply(Some(&outcome), &events[index]).unwrap_or(outcome);
            }
            ends.push((outcome.disposition, outcome.duration_seconds, outcome.provider_ref.clone()));
        }
        assert!(ends.iter().all(|end| *end == (Disposition::Voicemail, 8, Some("c".into()))), "{ends:?}");
        let settled = dialer.apply(None, &events[0]).unwrap();
        assert_eq!(dialer.apply(Some(&settled), &events[0]), None, "the same again changes nothing");
        assert!(dialer.apply(None, &events[1]).is_none(), "a verdict ends nothing");
        let running = json!({ "conversation_id": "c", "status": "processing" });
        assert!(dialer.apply(None, &event("post_call_transcription", running)).is_none());
    }

    #[test]
    fn a_message_that_was_sent_stays_sent() {
        let chat = json!({ "conversation_id": "c", "status": "done", "transcript": [{ "role": "user", "message": "Yes" }], "metadata": { "call_duration_secs": 60 } });
        let sent = Outcome::new(Disposition::Sent).with_provider_ref("c");
        let later = dialer().apply(Some(&sent), &event("post_call_transcription", chat)).unwrap();
        assert_eq!((later.disposition, later.duration_seconds), (Disposition::Sent, 0));
        assert_eq!(later.data["transcript"][0]["message"], "Yes");
    }
}
