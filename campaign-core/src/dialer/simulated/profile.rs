//! What a simulated carrier is like. Plain data: it can be read from a file.

use crate::error::{Error, Result};
use crate::id::Money;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A carrier in numbers. The default is an ordinary one: six calls in ten are answered, ringing takes 4 to 25 s, talking about a minute.
///
/// Weights are relative to each other; probabilities are 0 to 1 and values outside are taken as the nearest end.
///
/// ```
/// use campaign_core::dialer::{CarrierProfile, CallMix};
///
/// let profile = CarrierProfile {
///     calls: CallMix { answered: 30, no_answer: 70, ..CallMix::none() },
///     throttled: 0.05,
///     ..CarrierProfile::default()
/// };
/// profile.check()?;
/// # Ok::<(), campaign_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CarrierProfile {
    /// How calls end.
    pub calls: CallMix,
    /// Percent of `calls.answered` that holds at each local hour of the contact, from midnight; 100 changes nothing. What is lost
    /// there is not answered instead. `None` means the same at every hour.
    pub answered_percent_by_hour: Option<[u32; 24]>,
    /// How long it rings before somebody or something picks up, in milliseconds.
    pub ring_millis: Span,
    /// How long a person talks.
    pub talk: TalkTime,
    /// How long a machine's greeting lasts, in whole seconds. Leaving a message comes on top.
    pub greeting_seconds: Span,
    /// How SMS end.
    pub sms: MessageMix,
    /// How WhatsApp messages end.
    pub whatsapp: MessageMix,
    /// Probability that a person who was reached asks not to be contacted again. Default 0.005.
    pub opted_out: f64,
    /// Probability that the carrier already knows that the person opted out. Default 0.
    pub suppressed: f64,
    /// Probability that a hand-off is throttled whatever the pace. Every try at an attempt is drawn anew. Default 0.
    pub throttled: f64,
    /// How long to wait after such a throttling, in milliseconds. Default 2,000.
    pub retry_after_millis: u64,
    /// Probability of an error that certainly placed nothing and may pass. Default 0.
    pub transient: f64,
    /// Probability of an error that certainly placed nothing and never will. Default 0.
    pub permanent: f64,
    /// Probability that the answer to the hand-off is lost. Half of those calls and messages exist, half do not. Default 0.
    pub in_doubt: f64,
    /// How long a hand-off takes until the carrier accepts or refuses it, in milliseconds. Default 0.
    pub request_millis: u64,
    /// Price of a minute of talking or of listening to a machine.
    pub cost_per_minute: Money,
    /// Seconds that are billed together: a started increment is paid in full. Default 60; 0 counts as 1.
    pub billing_increment_seconds: u32,
    /// Price of one SMS segment.
    pub cost_per_sms_segment: Money,
    /// Price of one WhatsApp message.
    pub cost_per_whatsapp: Money,
    /// Calls and messages at once; more are throttled. `None` (default): no limit.
    pub max_concurrent: Option<u32>,
    /// Hand-offs per second, with bursts of up to a second's worth; more are throttled. `None` (default): no limit.
    pub calls_per_second: Option<u32>,
    /// How long after a hand-off `find` does not see it, in milliseconds. Default 0.
    pub lookup_lag_millis: u64,
    /// Whether the carrier names a reference at the hand-off. Default true.
    pub gives_reference: bool,
    /// Waits take this fraction of their time: 60 makes a minute a second. What is reported and billed stays as it is. Default 1; 0 counts as 1.
    pub speed: u32,
}

impl Default for CarrierProfile {
    fn default() -> Self {
        Self {
            calls: CallMix::default(),
            answered_percent_by_hour: None,
            ring_millis: Span { min: 4_000, max: 25_000 },
            talk: TalkTime::default(),
            greeting_seconds: Span { min: 4, max: 12 },
            sms: MessageMix::default(),
            whatsapp: MessageMix { delivered: 92, sent: 3, undeliverable: 4, failed: 1, millis: Span { min: 500, max: 8_000 } },
            opted_out: 0.005,
            suppressed: 0.0,
            throttled: 0.0,
            retry_after_millis: 2_000,
            transient: 0.0,
            permanent: 0.0,
            in_doubt: 0.0,
            request_millis: 0,
            cost_per_minute: Money(14_000),
            billing_increment_seconds: 60,
            cost_per_sms_segment: Money(8_000),
            cost_per_whatsapp: Money(5_000),
            max_concurrent: None,
            calls_per_second: None,
            lookup_lag_millis: 0,
            gives_reference: true,
            speed: 1,
        }
    }
}

impl CarrierProfile {
    /// A carrier where everything succeeds at once, free of charge and without limits: for measuring everything but the carrier.
    pub fn instant() -> Self {
        Self {
            calls: CallMix { answered: 1, ..CallMix::none() },
            ring_millis: Span::ZERO,
            talk: TalkTime { min_seconds: 0, mean_seconds: 0, max_seconds: 0 },
            greeting_seconds: Span::ZERO,
            sms: MessageMix { delivered: 1, ..MessageMix::none() },
            whatsapp: MessageMix { delivered: 1, ..MessageMix::none() },
            opted_out: 0.0,
            cost_per_minute: Money::ZERO,
            cost_per_sms_segment: Money::ZERO,
            cost_per_whatsapp: Money::ZERO,
            gives_reference: false,
            ..Self::default()
        }
    }

    /// A carrier with everything that goes wrong in the field: throttling, passing and lasting errors, lost answers, a slow look-up.
    pub fn troubled() -> Self {
        Self {
            throttled: 0.05,
            transient: 0.03,
            permanent: 0.01,
            in_doubt: 0.02,
            suppressed: 0.005,
            request_millis: 300,
            lookup_lag_millis: 5_000,
            ..Self::default()
        }
    }

    /// Answers most readily in the evening, least in the early morning; see [`CarrierProfile::answered_percent_by_hour`].
    #[must_use]
    pub fn with_daily_curve(mut self) -> Self {
        self.answered_percent_by_hour =
            Some([10, 5, 5, 5, 5, 10, 30, 55, 75, 85, 95, 100, 90, 85, 90, 95, 105, 115, 125, 130, 120, 90, 50, 25]);
        self
    }

    /// Makes waits shorter by this factor; see [`CarrierProfile::speed`].
    #[must_use]
    pub fn with_speed(mut self, speed: u32) -> Self {
        self.speed = speed;
        self
    }

    /// Checks a profile that somebody wrote by hand. A dialer runs with any profile; what makes no sense is read as the nearest that does.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] that names the first field that makes no sense.
    pub fn check(&self) -> Result<()> {
        let probabilities = [
            ("opted_out", self.opted_out),
            ("suppressed", self.suppressed),
            ("throttled", self.throttled),
            ("transient", self.transient),
            ("permanent", self.permanent),
            ("in_doubt", self.in_doubt),
        ];
        for (field, value) in probabilities {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::invalid(field, "must be a probability from 0 to 1"));
            }
        }
        let spans = [
            ("ring_millis", self.ring_millis),
            ("greeting_seconds", self.greeting_seconds),
            ("sms", self.sms.millis),
            ("whatsapp", self.whatsapp.millis),
        ];
        for (field, span) in spans {
            if span.min > span.max {
                return Err(Error::invalid(field, "min must not be above max"));
            }
        }
        if !(self.talk.min_seconds..=self.talk.max_seconds).contains(&self.talk.mean_seconds) {
            return Err(Error::invalid("talk", "mean_seconds must lie between min_seconds and max_seconds"));
        }
        let weights = [
            ("calls", self.calls.weights(None).to_vec()),
            ("sms", self.sms.weights().to_vec()),
            ("whatsapp", self.whatsapp.weights().to_vec()),
        ];
        for (field, weights) in weights {
            if weights.iter().all(|(_, weight)| *weight == 0) {
                return Err(Error::invalid(field, "at least one weight must be above 0"));
            }
        }
        if self.max_concurrent == Some(0) || self.calls_per_second == Some(0) {
            return Err(Error::invalid(
                if self.max_concurrent == Some(0) { "max_concurrent" } else { "calls_per_second" },
                "must be at least 1; leave it out for no limit",
            ));
        }
        Ok(())
    }

    /// A wait as it is waited for, after `speed`; in whole microseconds, which is what clocks and stores keep.
    pub(super) fn scaled(&self, wait: Duration) -> Duration {
        Duration::from_micros(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX) / u64::from(self.speed.max(1)))
    }
}

/// How calls end: weights relative to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallMix {
    /// A person picks up.
    pub answered: u32,
    /// A machine picks up. This carrier recognises every machine, whether the campaign asked for detection or not.
    pub voicemail: u32,
    /// Nobody picks up before the ring time-out.
    pub no_answer: u32,
    /// The line is busy.
    pub busy: u32,
    /// The call is refused.
    pub rejected: u32,
    /// The number does not exist.
    pub undeliverable: u32,
    /// A technical failure.
    pub failed: u32,
}

impl CallMix {
    /// All weights 0, to start from.
    pub const fn none() -> Self {
        Self { answered: 0, voicemail: 0, no_answer: 0, busy: 0, rejected: 0, undeliverable: 0, failed: 0 }
    }
}

impl Default for CallMix {
    /// 60 answered, 12 voicemail, 16 no answer, 6 busy, 3 rejected, 1 undeliverable, 2 failed.
    fn default() -> Self {
        Self { answered: 60, voicemail: 12, no_answer: 16, busy: 6, rejected: 3, undeliverable: 1, failed: 2 }
    }
}

/// How messages end: weights relative to each other, and how long it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MessageMix {
    /// Delivered, with a receipt.
    pub delivered: u32,
    /// Accepted by the carrier, and no receipt ever comes.
    pub sent: u32,
    /// The handset cannot be reached this way.
    pub undeliverable: u32,
    /// A technical failure.
    pub failed: u32,
    /// Milliseconds until the end is known.
    pub millis: Span,
}

impl MessageMix {
    /// All weights 0 and no time, to start from.
    pub const fn none() -> Self {
        Self { delivered: 0, sent: 0, undeliverable: 0, failed: 0, millis: Span::ZERO }
    }
}

impl Default for MessageMix {
    /// 90 delivered, 5 sent, 3 undeliverable, 2 failed, within 1 to 20 s.
    fn default() -> Self {
        Self { delivered: 90, sent: 5, undeliverable: 3, failed: 2, millis: Span { min: 1_000, max: 20_000 } }
    }
}

/// From `min` to `max`, both included, all equally likely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// The least.
    pub min: u64,
    /// The most.
    pub max: u64,
}

impl Span {
    /// Nothing.
    pub const ZERO: Span = Span { min: 0, max: 0 };
}

/// How long people talk: most briefly, a few at length, as call records show (log-normal).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TalkTime {
    /// Seconds at least.
    pub min_seconds: u32,
    /// Seconds on average, as long as `max_seconds` cuts little off.
    pub mean_seconds: u32,
    /// Seconds at most.
    pub max_seconds: u32,
}

impl Default for TalkTime {
    /// 5 s at least, 70 s on average, 600 s at most.
    fn default() -> Self {
        Self { min_seconds: 5, mean_seconds: 70, max_seconds: 600 }
    }
}
