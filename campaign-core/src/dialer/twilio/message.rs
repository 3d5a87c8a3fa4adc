//! One message, from hand-off to its receipt, or until nobody waits for it any longer.

use super::api::{Fields, Resource, put};
use super::facts::{self, Facts};
use super::options::Options;
use super::{Sender, TwilioDialer, address, may_hand_over};
use crate::dialer::{DialContext, DialError, DialRequest, OutboundMessage};
use crate::error::{Error, Kind};
use crate::outcome::{Channel, Outcome};
use crate::template::sms::segments;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::time::Duration;

/// The longest that Twilio keeps a message, in seconds.
const LONGEST_VALIDITY: u32 = 36_000;
/// How long after a person's message WhatsApp takes free text, less what a request may take to arrive.
const FREE_TEXT: SignedDuration = SignedDuration::from_mins(24 * 60 - 1);

impl TwilioDialer {
    pub(super) async fn write(&self, request: &DialRequest, context: &DialContext) -> Result<Outcome, DialError> {
        let options = Options::read(&request.options).map_err(DialError::Transient)?;
        let mut fields = Fields::new();
        put(&mut fields, "To", address(request.channel, &request.to));
        let text = request.texts.get("message").map(String::as_str).unwrap_or_default();
        self.put_sender(&mut fields, request.channel, request.from.as_deref()).map_err(DialError::Transient)?;
        put_content(&mut fields, request, &options, text, context)?;
        if let Some(url) = self.callback_url("message", Some(("attempt", request.attempt_id))) {
            put(&mut fields, "StatusCallback", url);
        }
        if let Some(seconds) = self.validity(request, &options, context)? {
            put(&mut fields, "ValidityPeriod", seconds.to_string());
        }
        for (name, value) in [("SmartEncoded", options.smart_encoded), ("ShortenUrls", options.shorten_urls)] {
            if let Some(value) = value {
                put(&mut fields, name, value.to_string());
            }
        }
        let is_text = request.channel == Channel::Sms && fields.iter().any(|(name, _)| name == "Body");
        may_hand_over(request, context)?;
        let resource = self.api.create(Resource::Messages, fields).await?;
        let facts = Facts::of_resource(facts::Kind::Message, &resource);
        if let Err(error) = context.placed(facts.sid.clone().unwrap_or_default()).await {
            tracing::warn!(%error, "the reference of a message was not stored");
        }
        let mut outcome = self.receipt(facts, context).await.accepted();
        if is_text {
            let size = segments(text);
            outcome.data.insert("encoding".to_owned(), json!(size.encoding));
            // What Twilio counts goes before our own count; 0 is what it says before it has chosen a sender.
            if outcome.data.get("segments").is_none_or(|known| known == &json!(0)) {
                outcome.data.insert("segments".to_owned(), json!(size.segments));
            }
        }
        Ok(outcome)
    }

    /// Waits for the receipt, for a bounded time; what comes later is an amendment.
    async fn receipt(&self, mut facts: Facts, context: &DialContext) -> Facts {
        let sid = facts.sid.clone().unwrap_or_default();
        let config = &self.config;
        let patience = if self.has_callbacks() { config.callback_patience } else { config.poll_interval };
        let mut left = config.receipt_wait;
        while !facts.has_ended() && !left.is_zero() {
            let since = context.now();
            let wait = patience.min(left);
            let mut look = false;
            tokio::select! {
                biased;
                // A message that was taken cannot be called back; what is known is told.
                () = context.cancelled() => return facts,
                news = context.news() => {
                    if let Some(told) = Facts::of_news(&news) {
                        facts.take(told);
                    }
                }
                () = context.sleep(wait) => look = true,
            }
            if look {
                match self.api.fetch(Resource::Messages, &sid).await {
                    Ok(Some(resource)) => facts.take(Facts::of_resource(facts::Kind::Message, &resource)),
                    Ok(None) => {}
                    Err(error) => tracing::debug!(%error, "a message could not be looked at; trying again"),
                }
            }
            left = left.saturating_sub(Duration::try_from(context.now().duration_since(since)).unwrap_or_default());
        }
        if facts.has_ended()
            && !facts.is_priced()
            && let Ok(Some(resource)) = self.api.fetch(Resource::Messages, &sid).await
        {
            facts.take(Facts::of_resource(facts::Kind::Message, &resource));
        }
        facts
    }

    fn put_sender(&self, fields: &mut Fields, channel: Channel, from: Option<&str>) -> Result<(), Error> {
        match self.sender(channel, from)? {
            Sender::Number(number) => put(fields, "From", number),
            Sender::Service(sid) => put(fields, "MessagingServiceSid", sid),
        }
        Ok(())
    }

    /// How long Twilio may keep the message: never past the end of the contact's window, even when the request itself takes long.
    fn validity(&self, request: &DialRequest, options: &Options, context: &DialContext) -> Result<Option<u32>, DialError> {
        let chosen = options.validity_period.map(|seconds| seconds.clamp(1, LONGEST_VALIDITY));
        let Some(until) = request.valid_until else { return Ok(chosen) };
        let left = self.left(until, context.now());
        if left < self.config.min_validity || left < Duration::from_secs(1) {
            // The window is all but closed: the message waits for the next one, and that is nobody's fault.
            return Err(DialError::Throttled { retry_after: Duration::ZERO });
        }
        let seconds = u32::try_from(left.as_secs()).unwrap_or(LONGEST_VALIDITY).min(LONGEST_VALIDITY);
        Ok(Some(chosen.map_or(seconds, |chosen| chosen.min(seconds))))
    }

    /// How long a message may wait at Twilio, when its request takes as long as it may.
    fn left(&self, until: Timestamp, now: Timestamp) -> Duration {
        Duration::try_from(until.duration_since(now)).unwrap_or_default().saturating_sub(self.config.request_timeout)
    }

    /// A message outside of attempts, once.
    pub(super) async fn send_message(&self, message: &OutboundMessage) -> Result<String, DialError> {
        let mut fields = Fields::new();
        put(&mut fields, "To", address(message.channel, &message.to));
        self.put_sender(&mut fields, message.channel, Some(&message.from)).map_err(DialError::Transient)?;
        put(&mut fields, "Body", message.text.as_str());
        if let Some(until) = message.valid_until {
            let seconds = self.left(until, message.now).as_secs().min(LONGEST_VALIDITY.into());
            if seconds == 0 {
                return Err(DialError::Transient(Error::new(Kind::Provider, "the message could not leave in time any more")));
            }
            put(&mut fields, "ValidityPeriod", seconds.to_string());
        }
        let resource = self.api.create(Resource::Messages, fields).await?;
        Ok(Facts::of_resource(facts::Kind::Message, &resource).sid.unwrap_or_default())
    }
}

/// The text with its media, or the template: on WhatsApp free text is for people who wrote within 24 hours.
fn put_content(fields: &mut Fields, request: &DialRequest, options: &Options, text: &str, context: &DialContext) -> Result<(), DialError> {
    let now = context.now();
    let may_write = match request.channel {
        Channel::Call | Channel::Sms => true,
        Channel::WhatsApp => request.last_inbound_at.is_some_and(|at| now.duration_since(at) < FREE_TEXT),
    };
    if may_write {
        if text.is_empty() && options.media_url.all().is_empty() {
            return Err(DialError::Permanent(Error::invalid("templates", "the text of the message is empty for this contact")));
        }
        if !text.is_empty() {
            put(fields, "Body", text);
        }
        for url in options.media_url.all() {
            put(fields, "MediaUrl", url.as_str());
        }
        return Ok(());
    }
    let Some(content) = &options.content_sid else {
        return Err(DialError::Permanent(Error::invalid(
            "dialer_options.content_sid",
            "this person did not write within the last 24 hours, so WhatsApp takes an approved template only; set the options content_sid and content_variables",
        )));
    };
    put(fields, "ContentSid", content.as_str());
    if let Some(variables) = options.content_variables(request).map_err(DialError::Permanent)? {
        put(fields, "ContentVariables", variables);
    }
    Ok(())
}
