//! What a simulated carrier does with an attempt: a pure function, independent of order and of everything else that goes on.

use super::profile::{CallMix, CarrierProfile, MessageMix, Span, TalkTime};
use crate::dialer::DialRequest;
use crate::id::Money;
use crate::outcome::{Channel, Disposition, Outcome};
use crate::template::sms;
use serde_json::Value;
use std::time::Duration;

/// What becomes of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fate {
    /// Placed, with this course.
    Placed(Course),
    /// The answer to the hand-off is lost; the course is there when it was placed.
    InDoubt(Option<Course>),
    /// Not placed, may work later.
    Transient,
    /// Not placed, never will be.
    Permanent,
    /// Not placed: known as opted out.
    Suppressed,
}

/// How a placed call or message goes when nobody interferes. Durations are those of the simulated world, before `speed`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Course {
    /// Until somebody picks up, or until the end when nobody does.
    pub(super) ring: Duration,
    /// From picking up to the end.
    pub(super) talk: Duration,
    /// Whether somebody or something picks up.
    pub(super) picked_up: bool,
    /// The end.
    pub(super) outcome: Outcome,
}

/// What each draw decides. A draw of its own for every decision means that changing one rate leaves all others alone.
#[derive(Clone, Copy)]
enum Draw {
    Throttle = 1,
    Error,
    Exists,
    Mix,
    Ring,
    Talk,
    OptOut,
}

/// Draws for one attempt. The store's ids of attempts differ from run to run, so they take no part.
#[derive(Clone, Copy)]
struct Draws(u64);

impl Draws {
    fn new(seed: u64, request: &DialRequest) -> Self {
        let channel = match request.channel {
            Channel::Call => 1,
            Channel::Sms => 2,
            Channel::WhatsApp => 3,
        };
        Self(
            [request.contact_id.0 as u64, u64::from(request.attempt_number), channel]
                .into_iter()
                .fold(mix(seed), |state, word| mix(state ^ word)),
        )
    }

    fn next(self, draw: Draw, salt: u64) -> u64 {
        mix(mix(self.0 ^ draw as u64) ^ salt)
    }

    /// True with this probability.
    fn chance(self, draw: Draw, salt: u64, probability: f64) -> bool {
        // The upper 53 bits are exact in a double, so every platform decides alike.
        ((self.next(draw, salt) >> 11) as f64) < probability * (1u64 << 53) as f64
    }

    /// From 0 to below `bound`; 0 when that is 0.
    fn below(self, draw: Draw, bound: u64) -> u64 {
        ((u128::from(self.next(draw, 0)) * u128::from(bound)) >> 64) as u64
    }

    fn within(self, draw: Draw, span: Span) -> u64 {
        span.min + self.below(draw, span.max.saturating_sub(span.min).saturating_add(1))
    }

    fn pick<T: Copy>(self, weights: &[(T, u64)], fallback: T) -> T {
        let mut left = self.below(Draw::Mix, weights.iter().map(|(_, weight)| weight).sum());
        for (choice, weight) in weights {
            if left < *weight {
                return *choice;
            }
            left -= weight;
        }
        fallback
    }
}

/// The finaliser of SplitMix64. A keyed draw needs a hash, not a stream of random numbers, and this one is the same everywhere for ever.
fn mix(word: u64) -> u64 {
    let mut word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Whether this try at the attempt is throttled by bad luck; `tries` counts those that were before.
pub(super) fn throttled(profile: &CarrierProfile, seed: u64, request: &DialRequest, tries: u32) -> bool {
    profile.throttled > 0.0 && Draws::new(seed, request).chance(Draw::Throttle, u64::from(tries), profile.throttled)
}

/// What becomes of the attempt.
pub(super) fn fate(profile: &CarrierProfile, seed: u64, request: &DialRequest) -> Fate {
    let draws = Draws::new(seed, request);
    let mut reached = 0.0;
    let mut unlucky = |probability: f64| {
        reached += probability.clamp(0.0, 1.0);
        draws.chance(Draw::Error, 0, reached)
    };
    // One draw against growing sums: the rates add up instead of hiding behind each other.
    if unlucky(profile.permanent) {
        Fate::Permanent
    } else if unlucky(profile.suppressed) {
        Fate::Suppressed
    } else if unlucky(profile.transient) {
        Fate::Transient
    } else if unlucky(profile.in_doubt) {
        Fate::InDoubt(draws.chance(Draw::Exists, 0, 0.5).then(|| course(profile, draws, request)))
    } else {
        Fate::Placed(course(profile, draws, request))
    }
}

fn course(profile: &CarrierProfile, draws: Draws, request: &DialRequest) -> Course {
    match request.channel {
        Channel::Call => call(profile, draws, request),
        Channel::Sms => {
            let segments = request.texts.get("message").map_or(1, |text| sms::segments(text).segments.max(1));
            message(profile, draws, profile.sms, segments, profile.cost_per_sms_segment)
        }
        Channel::WhatsApp => message(profile, draws, profile.whatsapp, 1, profile.cost_per_whatsapp),
    }
}

fn call(profile: &CarrierProfile, draws: Draws, request: &DialRequest) -> Course {
    let percent = profile.answered_percent_by_hour.and_then(|curve| curve.get(usize::from(request.local_hour)).copied());
    let mut disposition = draws.pick(&profile.calls.weights(percent), Disposition::Failed);
    let rings = Duration::from_millis(draws.within(Draw::Ring, profile.ring_millis));
    let ring = match disposition {
        Disposition::NoAnswer => request.ring_timeout,
        Disposition::Busy | Disposition::Undeliverable | Disposition::Failed => rings.min(Duration::from_secs(2)),
        // A phone that would ring longer than the campaign lets it is not answered.
        _ if rings > request.ring_timeout => {
            disposition = Disposition::NoAnswer;
            request.ring_timeout
        }
        _ => rings,
    };
    let longest = u32::try_from(request.max_duration.as_secs()).unwrap_or(u32::MAX);
    let mut outcome = Outcome::new(disposition);
    match disposition {
        Disposition::Answered => {
            outcome.duration_seconds = talk_seconds(draws, profile.talk).min(longest);
            if draws.chance(Draw::OptOut, 0, profile.opted_out) {
                outcome.disposition = Disposition::OptedOut;
            }
        }
        Disposition::Voicemail => {
            let leaves = request.voicemail.enable_voicemail_detection && request.voicemail.leave_voicemail;
            let greeting = u32::try_from(draws.within(Draw::Talk, profile.greeting_seconds)).unwrap_or(u32::MAX);
            // People speak about 15 characters a second.
            let message = request.voicemail.voicemail_message.as_ref().map_or(10, |text| text.chars().count() / 15 + 1);
            let message = if leaves { u32::try_from(message).unwrap_or(u32::MAX) } else { 0 };
            outcome.duration_seconds = greeting.saturating_add(message).min(longest);
            outcome.data.insert("voicemail_left".into(), Value::Bool(leaves));
        }
        Disposition::NoAnswer => outcome.detail = Some(format!("No answer after {} seconds", ring.as_secs())),
        _ => {}
    }
    let picked_up = matches!(outcome.disposition, Disposition::Answered | Disposition::Voicemail | Disposition::OptedOut);
    outcome.cost = Some(call_cost(profile, if picked_up { outcome.duration_seconds } else { 0 }));
    Course { ring, talk: Duration::from_secs(u64::from(outcome.duration_seconds)), picked_up, outcome }
}

fn message(profile: &CarrierProfile, draws: Draws, mix: MessageMix, segments: u32, price: Money) -> Course {
    let mut disposition = draws.pick(&mix.weights(), Disposition::Failed);
    if disposition == Disposition::Delivered && draws.chance(Draw::OptOut, 0, profile.opted_out) {
        disposition = Disposition::OptedOut;
    }
    let mut outcome = Outcome::new(disposition);
    // Carriers charge for what they accept, delivered or not; a technical failure is theirs.
    let billed = if disposition == Disposition::Failed { 0 } else { segments };
    outcome.cost = Some(Money(price.0.saturating_mul(i64::from(billed))));
    outcome.data.insert("segments".into(), Value::from(segments));
    Course { ring: Duration::from_millis(draws.within(Draw::Ring, mix.millis)), talk: Duration::ZERO, picked_up: false, outcome }
}

/// What that many seconds cost: every started increment in full.
pub(super) fn call_cost(profile: &CarrierProfile, seconds: u32) -> Money {
    let increment = i64::from(profile.billing_increment_seconds.max(1));
    let increments = (i64::from(seconds) + increment - 1) / increment;
    // Rounded up to a millionth, as bills are.
    let price = (i128::from(profile.cost_per_minute.0.max(0)) * i128::from(increments * increment) + 59) / 60;
    Money(i64::try_from(price).unwrap_or(i64::MAX))
}

/// Log-normal quantiles (sigma 0.75) at equal steps, in thousandths of their mean. A table of integers is the same on every platform;
/// logarithms are not.
const QUANTILES: [u64; 33] = [
    87, 187, 239, 281, 319, 354, 389, 422, 456, 490, 524, 559, 595, 633, 672, 713, 756, 802, 851, 903, 960, 1022, 1091, 1167, 1254, 1354,
    1471, 1613, 1792, 2032, 2389, 3057, 5219,
];

fn talk_seconds(draws: Draws, talk: TalkTime) -> u32 {
    const STEPS: u64 = 1_000;
    let at = draws.below(Draw::Talk, (QUANTILES.len() as u64 - 1) * STEPS);
    let (left, within) = ((at / STEPS) as usize, at % STEPS);
    let factor = (QUANTILES[left] * (STEPS - within) + QUANTILES[left + 1] * within) / STEPS;
    let above = u64::from(talk.mean_seconds.saturating_sub(talk.min_seconds));
    let seconds = u64::from(talk.min_seconds) + (above * factor + 500) / 1_000;
    u32::try_from(seconds).unwrap_or(u32::MAX).min(talk.max_seconds.max(talk.min_seconds))
}

impl CallMix {
    /// The weights, in hundredths, with this percentage of the answered ones.
    pub(super) fn weights(&self, answered_percent: Option<u32>) -> [(Disposition, u64); 7] {
        let full = u64::from(self.answered) * 100;
        let answered = u64::from(self.answered) * u64::from(answered_percent.unwrap_or(100));
        let no_answer = (u64::from(self.no_answer) * 100 + full).saturating_sub(answered);
        [
            (Disposition::Answered, answered),
            (Disposition::NoAnswer, no_answer),
            (Disposition::Voicemail, u64::from(self.voicemail) * 100),
            (Disposition::Busy, u64::from(self.busy) * 100),
            (Disposition::Rejected, u64::from(self.rejected) * 100),
            (Disposition::Undeliverable, u64::from(self.undeliverable) * 100),
            (Disposition::Failed, u64::from(self.failed) * 100),
        ]
    }
}

impl MessageMix {
    /// The weights.
    pub(super) fn weights(&self) -> [(Disposition, u64); 4] {
        [
            (Disposition::Delivered, u64::from(self.delivered)),
            (Disposition::Sent, u64::from(self.sent)),
            (Disposition::Undeliverable, u64::from(self.undeliverable)),
            (Disposition::Failed, u64::from(self.failed)),
        ]
    }
}
