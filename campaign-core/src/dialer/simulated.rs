//! A seeded carrier.

mod book;
mod fate;
mod profile;

pub use book::HandOff;
pub use profile::{CallMix, CarrierProfile, MessageMix, Span, TalkTime};

use super::{Capabilities, DialContext, DialError, DialRequest, Dialer, FindRequest, Found, Idempotency};
use crate::contact::Variables;
use crate::error::{Error, Kind, Result};
use crate::id::ContactId;
use crate::outcome::{Channel, Disposition, Outcome};
use async_trait::async_trait;
use book::Book;
use fate::{Course, Fate};
use futures_util::future::{Either, select};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// A carrier that exists only here. It rings, answers, talks, fails and bills as its [`CarrierProfile`] says.
///
/// What becomes of an attempt is a pure function of the seed, the contact, the number of the attempt and the channel (and of what the
/// request asks for): the same seed gives the same log, whatever the order, the pace and the ids of the store. A new run over the same
/// contacts meets the same people in the same mood; take another seed for another day.
///
/// A request that comes later than its `not_after` is refused as [`DialError::Throttled`] with no wait: nothing was placed, and
/// lateness is not the contact's fault, so it must consume no attempt.
///
/// The carrier goes on when nobody listens: a call whose future was dropped, or whose process died, ends when it would have ended, and
/// [`Dialer::find`] knows how. It remembers every hand-off for that; see [`SimulatedDialer::forgetful`] for long runs.
#[derive(Clone)]
pub struct SimulatedDialer {
    profile: Arc<CarrierProfile>,
    seed: u64,
    capabilities: Arc<Capabilities>,
    remembers: bool,
    state: Arc<Mutex<State>>,
}

/// What a simulated carrier has seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CarrierStats {
    /// Calls and messages that were placed, those in doubt included.
    pub hand_offs: u64,
    /// Of these, how many had a key that was handed over before. An engine that keeps its promises leaves this at 0.
    pub repeated: u64,
    /// Refused because of limits or bad luck.
    pub throttled: u64,
    /// Refused because they came after their `not_after`.
    pub late: u64,
    /// Refused with a transient or permanent error or as suppressed.
    pub refused: u64,
    /// Answers lost, whether something was placed or not.
    pub in_doubt: u64,
    /// Going on now.
    pub in_flight: u32,
    /// The most that ever went on at once.
    pub peak_in_flight: u32,
}

#[derive(Default)]
struct State {
    book: Book,
    stats: CarrierStats,
    /// The last hand-off, so that the log never goes backwards.
    last_at: Option<Timestamp>,
    /// The moment up to which the limit of calls per second is used up.
    busy_until: Option<Timestamp>,
    /// How often each attempt was throttled by luck.
    tries: HashMap<(ContactId, u32, Channel), u32>,
}

impl SimulatedDialer {
    /// A carrier with this profile. Equal seeds give equal carriers.
    pub fn new(profile: CarrierProfile, seed: u64) -> Self {
        let capabilities = Capabilities {
            idempotency: Idempotency::CallbackRef,
            lookup_lag: Duration::from_millis(profile.lookup_lag_millis),
            max_request_time: profile.scaled(Duration::from_millis(profile.request_millis)) + Duration::from_secs(1),
            calls_per_second: profile.calls_per_second,
            max_concurrent: profile.max_concurrent,
            ..Capabilities::default()
        };
        Self { profile: Arc::new(profile), seed, capabilities: Arc::new(capabilities), remembers: true, state: Arc::default() }
    }

    /// [`CarrierProfile::instant`]: everything succeeds at once.
    pub fn instant() -> Self {
        Self::new(CarrierProfile::instant(), 0)
    }

    /// Names the account its limits belong to.
    #[must_use]
    pub fn with_account(mut self, account: impl Into<Arc<str>>) -> Self {
        Arc::make_mut(&mut self.capabilities).account = Some(account.into());
        self
    }

    /// Declares another protection against repetition. The default is [`Idempotency::CallbackRef`]. With [`Idempotency::Native`] a key
    /// that is handed over again joins the call that exists; with [`Idempotency::None`] `find` knows nothing.
    #[must_use]
    pub fn with_idempotency(mut self, idempotency: Idempotency) -> Self {
        Arc::make_mut(&mut self.capabilities).idempotency = idempotency;
        self
    }

    /// Remembers no hand-off, so that memory does not grow; counts only. Its idempotency becomes [`Idempotency::None`].
    #[must_use]
    pub fn forgetful(mut self) -> Self {
        self.remembers = false;
        self.with_idempotency(Idempotency::None)
    }

    /// Keeps the hand-offs in this file as well, and takes up what is in it. A line is written before anything else happens to an
    /// attempt, and another at its end; both survive `kill -9`. A last line that was cut off is dropped: its hand-off did not happen.
    /// One process at a time.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when the file cannot be opened, [`Kind::Corrupt`] when it is not such a log.
    pub fn with_log(mut self, path: impl AsRef<Path>) -> Result<Self> {
        let book = Book::open(path.as_ref())?;
        let last_at = book.all().last().map(|hand_off| hand_off.at);
        self.state = Arc::new(Mutex::new(State { book, last_at, ..State::default() }));
        self.remembers = true;
        Ok(self)
    }

    /// Every hand-off it remembers, in order; `at` never decreases.
    pub fn hand_offs(&self) -> Vec<HandOff> {
        self.state.lock().book.all().to_vec()
    }

    /// How often each key was handed over, sorted by key.
    pub fn hand_offs_by_key(&self) -> std::collections::BTreeMap<Arc<str>, u32> {
        let mut counts = std::collections::BTreeMap::new();
        for hand_off in self.state.lock().book.all() {
            *counts.entry(hand_off.key.clone()).or_default() += 1;
        }
        counts
    }

    /// What it has seen since it was made; `repeated` also counts what its log held.
    pub fn stats(&self) -> CarrierStats {
        let state = self.state.lock();
        CarrierStats { repeated: state.book.repeated(), ..state.stats }
    }

    /// Whether the hand-off may happen; counts it as in flight if so.
    fn admit(&self, state: &mut State, request: &DialRequest, now: Timestamp) -> Result<(), DialError> {
        if now > request.not_after {
            state.stats.late += 1;
            return Err(DialError::Throttled { retry_after: Duration::ZERO });
        }
        let retry_after = self.limited(state, now).or_else(|| self.unlucky(state, request));
        if let Some(retry_after) = retry_after {
            state.stats.throttled += 1;
            return Err(DialError::Throttled { retry_after });
        }
        state.stats.in_flight += 1;
        state.stats.peak_in_flight = state.stats.peak_in_flight.max(state.stats.in_flight);
        Ok(())
    }

    /// How long the limits say to wait.
    fn limited(&self, state: &mut State, now: Timestamp) -> Option<Duration> {
        if self.profile.max_concurrent.is_some_and(|most| state.stats.in_flight >= most) {
            return Some(Duration::from_millis(self.profile.retry_after_millis));
        }
        let per_second = self.profile.calls_per_second?.max(1);
        let slot = SignedDuration::from_nanos(1_000_000_000 / i64::from(per_second));
        let used_until = state.busy_until.map_or(now, |until| until.max(now)) + slot;
        let over = used_until.duration_since(now) - SignedDuration::from_secs(1);
        if over.is_positive() {
            return Some(over.unsigned_abs());
        }
        state.busy_until = Some(used_until);
        None
    }

    /// How long bad luck says to wait. Each try is drawn anew, or an attempt throttled once would be throttled for ever.
    fn unlucky(&self, state: &mut State, request: &DialRequest) -> Option<Duration> {
        if self.profile.throttled <= 0.0 {
            return None;
        }
        let attempt = (request.contact_id, request.attempt_number, request.channel);
        let tries = state.tries.get(&attempt).copied().unwrap_or(0);
        if fate::throttled(&self.profile, self.seed, request, tries) {
            state.tries.insert(attempt, tries + 1);
            return Some(Duration::from_millis(self.profile.retry_after_millis));
        }
        state.tries.remove(&attempt);
        None
    }

    /// Makes the hand-off durable and counts it. Fails before anything is placed, or not at all.
    fn hand_off(&self, state: &mut State, request: &DialRequest, now: Timestamp, course: &Course) -> Result<(), DialError> {
        let at = state.last_at.map_or(now, |last| last.max(now));
        state.last_at = Some(at);
        if self.remembers {
            let waits = self.profile.scaled(Duration::from_millis(self.profile.request_millis)) + self.wait_of(course);
            let hand_off = HandOff {
                key: request.key.clone(),
                contact_id: request.contact_id,
                attempt_number: request.attempt_number,
                channel: request.channel,
                at,
                provider_ref: reference(request),
                ends_at: later(at, waits),
                outcome: course.outcome.clone(),
                ended: None,
            };
            state.book.hand_off(hand_off).map_err(DialError::Transient)?;
        }
        state.stats.hand_offs += 1;
        Ok(())
    }

    fn wait_of(&self, course: &Course) -> Duration {
        self.profile.scaled(course.ring) + self.profile.scaled(course.talk)
    }

    /// A message that would arrive after its validity fails when that ends.
    fn expire(&self, request: &DialRequest, now: Timestamp, course: &mut Course) {
        let Some(valid_until) = request.valid_until else { return };
        let request_time = self.profile.scaled(Duration::from_millis(self.profile.request_millis));
        if request.channel != Channel::Call && later(now, request_time + self.wait_of(course)) > valid_until {
            let left = Duration::try_from(valid_until.duration_since(now)).unwrap_or(Duration::ZERO);
            course.ring = left.saturating_sub(request_time) * self.profile.speed.max(1);
            course.outcome.disposition = Disposition::Failed;
            course.outcome.detail = Some("Not delivered before it expired".into());
        }
    }

    /// Lives through a call or message, and says how it ended.
    async fn live(&self, request: &DialRequest, context: &DialContext, course: Course) -> Outcome {
        let is_call = request.channel == Channel::Call;
        let given_up = |disposition| Outcome { data: Variables::new(), cost: None, ..Outcome::new(disposition) };
        if !wait(context, self.profile.scaled(Duration::from_millis(self.profile.request_millis))).await && is_call {
            return given_up(Disposition::Cancelled);
        }
        if self.profile.gives_reference {
            // When the store does not take it the call goes on nevertheless; `find` knows it by its key.
            if let Err(error) = context.placed(reference(request)).await {
                tracing::warn!(%error, "the reference of a simulated attempt was not stored");
            }
        }
        context.progress(if is_call { "ringing" } else { "sent" });
        if !wait(context, self.profile.scaled(course.ring)).await {
            // A message that left cannot be called back; only its receipt is given up.
            return given_up(if is_call { Disposition::Cancelled } else { Disposition::Sent });
        }
        if !course.picked_up {
            return course.outcome;
        }
        context.progress(if course.outcome.disposition == Disposition::Voicemail { "voicemail" } else { "answered" });
        let picked_up_at = context.now();
        if wait(context, self.profile.scaled(course.talk)).await {
            return course.outcome;
        }
        let talked = Duration::try_from(context.now().duration_since(picked_up_at)).unwrap_or(Duration::ZERO) * self.profile.speed.max(1);
        let seconds = u32::try_from(talked.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).min(course.outcome.duration_seconds);
        let mut outcome = Outcome {
            duration_seconds: seconds,
            cost: Some(fate::call_cost(&self.profile, seconds)),
            detail: Some("Hung up by the campaign".into()),
            ..course.outcome
        };
        // Who was cut off has not left a message, nor had the time to opt out.
        outcome.data.remove("voicemail_left");
        if outcome.disposition == Disposition::OptedOut {
            outcome.disposition = Disposition::Answered;
        }
        outcome
    }

    fn finish(&self, request: &DialRequest, context: &DialContext, mut outcome: Outcome) -> Outcome {
        if self.profile.gives_reference {
            outcome.provider_ref = Some(reference(request));
        }
        if self.remembers {
            let now = context.now();
            self.state.lock().book.end(&request.key, now, &outcome);
        }
        outcome
    }
}

#[async_trait]
impl Dialer for SimulatedDialer {
    fn capabilities(&self) -> Capabilities {
        Capabilities::clone(&self.capabilities)
    }

    async fn dial(&self, request: DialRequest, context: DialContext) -> Result<Outcome, DialError> {
        if context.is_cancelled() {
            return Ok(Outcome::new(Disposition::Cancelled).with_detail("Given up before the hand-off"));
        }
        if let Some(known) = self.joins(&request) {
            if wait(&context, Duration::try_from(known.ends_at.duration_since(context.now())).unwrap_or(Duration::ZERO)).await {
                return Ok(known.ended.map_or(known.outcome, |(_, outcome)| outcome));
            }
            return Ok(self.finish(&request, &context, Outcome::new(Disposition::Cancelled)));
        }
        let mut fate = fate::fate(&self.profile, self.seed, &request);
        let _in_flight = {
            let mut state = self.state.lock();
            // Read under the lock, so that the order of the book is the order of time.
            let now = context.now();
            self.admit(&mut state, &request, now)?;
            // From here on the guard gives the place back, also when something below fails.
            let in_flight = InFlight(self.state.clone());
            let handed = match &mut fate {
                Fate::Placed(course) | Fate::InDoubt(Some(course)) => {
                    self.expire(&request, now, course);
                    if self.profile.gives_reference {
                        course.outcome.provider_ref = Some(reference(&request));
                    }
                    self.hand_off(&mut state, &request, now, course)
                }
                _ => Ok(()),
            };
            match fate {
                Fate::Placed(_) => {}
                Fate::InDoubt(_) => state.stats.in_doubt += 1,
                Fate::Transient | Fate::Permanent | Fate::Suppressed => state.stats.refused += 1,
            }
            drop(state);
            handed?;
            in_flight
        };
        let request_time = self.profile.scaled(Duration::from_millis(self.profile.request_millis));
        let error = match fate {
            Fate::Placed(course) => {
                let outcome = self.live(&request, &context, course).await;
                return Ok(self.finish(&request, &context, outcome));
            }
            Fate::InDoubt(_) => DialError::InDoubt(Error::new(Kind::Provider, "the carrier's answer was lost")),
            Fate::Transient => DialError::Transient(Error::new(Kind::Provider, "the carrier is out of order for a moment")),
            Fate::Permanent => DialError::Permanent(Error::new(Kind::Provider, "the carrier does not serve this number")),
            Fate::Suppressed => DialError::Suppressed,
        };
        // The answer comes after the request time even when the attempt is given up meanwhile: it decides what is known.
        if !request_time.is_zero() {
            context.sleep(request_time).await;
        }
        Err(error)
    }

    async fn find(&self, request: FindRequest) -> Result<Found> {
        if !self.remembers || self.capabilities.idempotency == Idempotency::None {
            return Ok(Found::Unknown);
        }
        let state = self.state.lock();
        let Some(hand_off) = state.book.get(&request.key) else { return Ok(Found::NeverHappened) };
        if request.now < later(hand_off.at, self.capabilities.lookup_lag) {
            return Ok(Found::NeverHappened);
        }
        Ok(match &hand_off.ended {
            Some((_, outcome)) => Found::Ended(outcome.clone()),
            None if request.now >= hand_off.ends_at => Found::Ended(hand_off.outcome.clone()),
            None => Found::Running { provider_ref: hand_off.provider_ref.clone() },
        })
    }
}

impl SimulatedDialer {
    /// The hand-off a repeated key belongs to, when this carrier accepts keys.
    fn joins(&self, request: &DialRequest) -> Option<HandOff> {
        matches!(self.capabilities.idempotency, Idempotency::Native { .. })
            .then(|| self.state.lock().book.get(&request.key).cloned())
            .flatten()
    }
}

impl fmt::Debug for SimulatedDialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedDialer").field("seed", &self.seed).field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// A place among the calls in flight, given back when the attempt ends or is dropped.
struct InFlight(Arc<Mutex<State>>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.lock().stats.in_flight -= 1;
    }
}

/// The carrier's reference. Derived from the key, so that a look-up by either means the same call.
fn reference(request: &DialRequest) -> String {
    format!("sim-{}", request.key)
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.saturating_add(SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX)
}

/// Waits; false when the attempt was given up meanwhile.
async fn wait(context: &DialContext, duration: Duration) -> bool {
    if duration.is_zero() {
        return !context.is_cancelled();
    }
    let (sleep, cancelled) = (pin!(context.sleep(duration)), pin!(context.cancelled()));
    matches!(select(sleep, cancelled).await, Either::Left(_))
}
