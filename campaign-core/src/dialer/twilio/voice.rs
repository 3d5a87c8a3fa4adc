//! One call, from hand-off to outcome.

use super::api::{Fields, Resource, put};
use super::facts::{Facts, Kind, LEFT_THE_QUEUE, ON_THE_LINE};
use super::options::Options;
use super::script::Instructions;
use super::{Sender, TwilioDialer, may_hand_over};
use crate::dialer::{DialContext, DialError, DialRequest};
use crate::error::Error;
use crate::outcome::{Channel, Outcome};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::time::Duration;

/// The longest that Twilio lets a phone ring.
const LONGEST_RING: u64 = 600;
/// What a call may take beyond ringing and talking before it is ended by us.
const MARGIN: Duration = Duration::from_secs(30);
/// How often, and how long apart, a call that was told to end is looked at.
const LOOKS_AT_THE_END: u32 = 5;
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What goes on with one call.
struct Call<'a> {
    twilio: &'a TwilioDialer,
    context: &'a DialContext,
    sid: String,
    facts: Facts,
    /// What is left on a machine, until it is.
    voicemail: Option<String>,
    /// Whether the machine or fax was dealt with.
    dealt_with: bool,
    voicemail_left: bool,
}

impl TwilioDialer {
    pub(super) async fn call(&self, request: &DialRequest, context: &DialContext) -> Result<Outcome, DialError> {
        // What the campaign is set to can be put right, so it does not end the contact.
        let options = Options::read(&request.options).map_err(DialError::Transient)?;
        let voicemail = self.voicemail(request, &options).map_err(DialError::Transient)?;
        let fields = self.call_fields(request, &options, voicemail.is_some()).map_err(DialError::Transient)?;
        may_hand_over(request, context)?;
        let resource = self.api.create(Resource::Calls, fields).await?;
        let facts = Facts::of_resource(Kind::Call, &resource);
        let sid = facts.sid.clone().unwrap_or_default();
        if let Err(error) = context.placed(sid.as_str()).await {
            // The call goes on nevertheless.
            tracing::warn!(%error, "the reference of a call was not stored");
        }
        let mut call = Call { twilio: self, context, sid, facts, voicemail, dealt_with: false, voicemail_left: false };
        call.follow(request.ring_timeout + request.max_duration + MARGIN).await
    }

    fn call_fields(&self, request: &DialRequest, options: &Options, leave_message: bool) -> Result<Fields, Error> {
        let mut fields = Fields::new();
        put(&mut fields, "To", request.to.as_str());
        match self.sender(Channel::Call, request.from.as_deref())? {
            Sender::Number(number) | Sender::Service(number) => put(&mut fields, "From", number),
        }
        match self.instructions(request, options)? {
            Instructions::Url(url) => put(&mut fields, "Url", url),
            Instructions::Twiml(twiml) => put(&mut fields, "Twiml", twiml),
        }
        put(&mut fields, "Timeout", request.ring_timeout.as_secs().clamp(1, LONGEST_RING).to_string());
        put(&mut fields, "TimeLimit", request.max_duration.as_secs().max(1).to_string());
        let attempt = Some(("attempt", request.attempt_id));
        if let Some(url) = self.callback_url("status", attempt) {
            put(&mut fields, "StatusCallback", url);
            for event in ["initiated", "ringing", "answered", "completed"] {
                put(&mut fields, "StatusCallbackEvent", event);
            }
        }
        if request.voicemail.enable_voicemail_detection {
            // A message is left after the beep; without one, knowing that it is a machine is enough.
            put(&mut fields, "MachineDetection", if leave_message { "DetectMessageEnd" } else { "Enable" });
            // People do not wait in silence until it is known who they are.
            put(&mut fields, "AsyncAmd", "true");
            if let Some(url) = self.callback_url("amd", attempt) {
                put(&mut fields, "AsyncAmdStatusCallback", url);
            }
            for (name, value) in [
                ("MachineDetectionTimeout", options.machine_detection_timeout),
                ("MachineDetectionSpeechThreshold", options.machine_detection_speech_threshold),
                ("MachineDetectionSpeechEndThreshold", options.machine_detection_speech_end_threshold),
                ("MachineDetectionSilenceTimeout", options.machine_detection_silence_timeout),
            ] {
                if let Some(value) = value {
                    put(&mut fields, name, value.to_string());
                }
            }
        }
        if options.record {
            put(&mut fields, "Record", "true");
            if let Some(url) = self.callback_url("recording", attempt) {
                put(&mut fields, "RecordingStatusCallback", url);
            }
        }
        for (name, value) in [
            ("RecordingChannels", &options.recording_channels),
            ("SendDigits", &options.send_digits),
            ("CallReason", &options.call_reason),
            ("Byoc", &options.byoc),
        ] {
            if let Some(value) = value {
                put(&mut fields, name, value.as_str());
            }
        }
        Ok(fields)
    }
}

impl Call<'_> {
    /// Until the call has ended. Callbacks say what happens; without them, and when they fall silent, the call is looked at.
    async fn follow(&mut self, longest: Duration) -> Result<Outcome, DialError> {
        let config = &self.twilio.config;
        let patience = if self.twilio.has_callbacks() { config.callback_patience } else { config.poll_interval };
        let placed_at = self.context.now();
        let (leaves_queue_by, ends_by) = (later(placed_at, config.queue_limit), later(placed_at, longest));
        let mut look_at = later(placed_at, patience);
        while !self.facts.has_ended() {
            let mut wake_at = look_at.min(ends_by);
            if self.facts.rank() < LEFT_THE_QUEUE {
                wake_at = wake_at.min(leaves_queue_by);
            }
            tokio::select! {
                biased;
                () = self.context.cancelled() => return self.hang_up().await,
                news = self.context.news() => {
                    if let Some(told) = Facts::of_news(&news) {
                        self.learn(told);
                        look_at = later(self.context.now(), patience);
                    }
                }
                () = self.context.sleep(until(self.context.now(), wake_at)) => {
                    self.look().await;
                    let now = self.context.now();
                    look_at = later(now, patience);
                    let stuck = now >= leaves_queue_by && self.facts.rank() < LEFT_THE_QUEUE;
                    if !self.facts.has_ended() && (stuck || now >= ends_by) {
                        return self.hang_up().await;
                    }
                }
            }
            self.deal_with_machines().await;
        }
        self.conclude().await
    }

    fn learn(&mut self, told: Facts) {
        let before = self.facts.status().map(str::to_owned);
        self.facts.take(told);
        if self.facts.status() != before.as_deref()
            && let Some(status) = self.facts.status()
        {
            self.context.progress(status);
        }
    }

    /// Asks how the call is. A failing look changes nothing about it, so the next one comes in its time.
    async fn look(&mut self) {
        match self.twilio.api.fetch(Resource::Calls, &self.sid).await {
            Ok(Some(resource)) => self.learn(Facts::of_resource(Kind::Call, &resource)),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "a call could not be looked at; trying again"),
        }
    }

    /// Leaves the message after the beep, or hangs up when there is none and on fax machines. Once.
    async fn deal_with_machines(&mut self) {
        if self.dealt_with || self.facts.has_ended() {
            return;
        }
        let is_fax = self.facts.answered_by() == Some("fax");
        let greeting_over = self.facts.answered_by().is_some_and(|by| by.starts_with("machine_end"));
        let fields = match &self.voicemail {
            _ if is_fax => vec![("Status".to_owned(), "completed".to_owned())],
            None if self.facts.is_machine() => vec![("Status".to_owned(), "completed".to_owned())],
            Some(twiml) if greeting_over => vec![("Twiml".to_owned(), twiml.clone())],
            _ => return,
        };
        self.dealt_with = true;
        let leaves_message = fields[0].0 == "Twiml";
        match self.twilio.api.update_call(&self.sid, fields).await {
            Ok(resource) => {
                self.voicemail_left = leaves_message;
                self.learn(Facts::of_resource(Kind::Call, &resource));
            }
            // The machine may have hung up meanwhile. A message is not left twice, so this is not repeated.
            Err(error) => tracing::debug!(%error, "a call answered by a machine could not be changed"),
        }
    }

    /// Ends the call, whatever it does.
    async fn hang_up(&mut self) -> Result<Outcome, DialError> {
        // `canceled` leaves a call alone that was answered meanwhile; `completed` ends that one, too.
        let words: &[&str] = if self.facts.rank() < ON_THE_LINE { &["canceled", "completed"] } else { &["completed"] };
        for word in words {
            if self.facts.has_ended() {
                break;
            }
            match self.twilio.api.update_call(&self.sid, vec![("Status".to_owned(), (*word).to_owned())]).await {
                Ok(resource) => self.learn(Facts::of_resource(Kind::Call, &resource)),
                Err(error) => tracing::debug!(%error, "a call could not be ended; looking at it"),
            }
        }
        for _ in 0..LOOKS_AT_THE_END {
            if self.facts.has_ended() {
                return self.conclude().await;
            }
            self.context.sleep(LOOK_AGAIN).await;
            self.look().await;
        }
        if self.facts.has_ended() { self.conclude().await } else { Err(self.unknown()) }
    }

    /// The outcome of a call that has ended; asks once for its price and length.
    async fn conclude(&mut self) -> Result<Outcome, DialError> {
        if self.facts.status() == Some("completed") && !self.facts.is_priced() {
            self.context.sleep(self.twilio.config.price_wait).await;
            self.look().await;
        }
        let mut outcome = self.facts.outcome().ok_or_else(|| self.unknown())?;
        if self.voicemail_left {
            outcome.data.insert("voicemail_left".to_owned(), json!(true));
        }
        Ok(outcome)
    }

    fn unknown(&self) -> DialError {
        DialError::InDoubt(Error::new(crate::Kind::Provider, "the call was told to end, and Twilio does not say that it has"))
    }
}

fn later(moment: Timestamp, by: Duration) -> Timestamp {
    moment.saturating_add(SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX)
}

fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or_default()
}
