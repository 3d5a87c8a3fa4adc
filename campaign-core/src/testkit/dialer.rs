//! The conformance suite for anybody's [`Dialer`].
//!
//! [`run`] drives a dialer through everything its contract promises and gives a [`Report`]. It needs no runtime of its own: time
//! comes from the [`Executor`](crate::executor::Executor) that is passed in, so a suite over a simulated provider takes no time at all.
//!
//! ```
//! use campaign_core::dialer::{DialRequest, Dialer, Script, ScriptedDialer};
//! use campaign_core::executor::VirtualExecutor;
//! use campaign_core::testkit::dialer::{Situation, run};
//! use std::sync::Arc;
//!
//! let executor = VirtualExecutor::new("2026-03-02T15:00:00Z".parse().unwrap());
//! let clock = Arc::new(executor.clone());
//! let report = executor.run(async move {
//!     let provoke = |situation, _: &mut DialRequest| -> Option<Arc<dyn Dialer>> {
//!         (situation == Situation::Usual).then(|| Arc::new(ScriptedDialer::new().otherwise(Script::ends(
//!             campaign_core::outcome::Disposition::Failed,
//!         ))) as Arc<dyn Dialer>)
//!     };
//!     run(clock, &provoke).await
//! });
//! report.assert_passed();
//! ```

mod host;

pub use host::{TestHost, find_request, sample_request};

use crate::dialer::{Capabilities, DialError, DialRequest, Dialer, Found, Idempotency};
use crate::executor::SharedExecutor;
use crate::outcome::{Channel, Disposition, Outcome};
use futures_util::FutureExt as _;
use futures_util::future::{Either, select};
use jiff::{SignedDuration, Timestamp};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// What an attempt is meant to meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Situation {
    /// Anything that ends with an outcome. The only one that every fixture must be able to provoke.
    Usual,
    /// The line is busy.
    Busy,
    /// The provider says that it is too fast.
    Throttled,
    /// The provider refuses, and may not refuse later.
    Transient,
    /// The provider refuses for good.
    Permanent,
    /// The provider knows that the person opted out.
    Suppressed,
    /// The answer to the hand-off is lost.
    LostAnswer,
    /// A call that goes on for at least ten seconds after it was placed, unless it is hung up.
    Long,
}

/// What the suite needs to know about the dialer under test. Closures of the shape of [`Fixture::provoke`] are fixtures.
pub trait Fixture: Send + Sync {
    /// A dialer, with its provider set up for this situation. The request may be changed (another number, an option, a variable), but not
    /// its `key`, `channel` and `not_after`. `None` when this situation cannot be provoked; what depends on it is skipped.
    fn provoke(&self, situation: Situation, request: &mut DialRequest) -> Option<Arc<dyn Dialer>>;

    /// How often the provider got this key, when the fixture can see the provider's side. `None` when it cannot.
    fn handed_over(&self, key: &str) -> Option<u64> {
        let _ = key;
        None
    }
}

impl<F> Fixture for F
where
    F: Fn(Situation, &mut DialRequest) -> Option<Arc<dyn Dialer>> + Send + Sync,
{
    fn provoke(&self, situation: Situation, request: &mut DialRequest) -> Option<Arc<dyn Dialer>> {
        self(situation, request)
    }
}

/// What the suite found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Names of the checks that passed.
    pub passed: Vec<&'static str>,
    /// Checks that could not be made, with the reason.
    pub skipped: Vec<(&'static str, String)>,
    /// Checks that failed, with what was wrong.
    pub failed: Vec<(&'static str, String)>,
}

impl Report {
    /// # Panics
    /// When a check failed. The message is the whole report.
    pub fn assert_passed(&self) {
        assert!(self.failed.is_empty(), "the dialer breaks its contract\n{self}");
    }

    fn add(&mut self, name: &'static str, verdict: Verdict) {
        match verdict {
            Ok(Checked::Passed) => self.passed.push(name),
            Ok(Checked::Skipped(why)) => self.skipped.push((name, why)),
            Err(why) => self.failed.push((name, why)),
        }
    }
}

/// One line per check.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in &self.passed {
            writeln!(f, "  ok      {name}")?;
        }
        for (name, why) in &self.skipped {
            writeln!(f, "  skipped {name}: {why}")?;
        }
        for (name, why) in &self.failed {
            writeln!(f, "  FAILED  {name}: {why}")?;
        }
        Ok(())
    }
}

enum Checked {
    Passed,
    Skipped(String),
}

type Verdict = Result<Checked, String>;

/// Runs every check, one after the other. On a real clock it takes as long as the situations take.
pub async fn run(executor: SharedExecutor, fixture: &dyn Fixture) -> Report {
    let suite = Suite { executor, fixture, number: AtomicI64::new(1) };
    let mut report = Report::default();
    report.add("capabilities make sense", suite.capabilities());
    report.add("an attempt ends with a fitting outcome on every channel", suite.ends().await);
    report.add("placed is said at most once, and the outcome has the same reference", suite.places_once().await);
    report.add("find agrees with the outcome", suite.find_agrees().await);
    report.add("find does not invent attempts", suite.find_invents_nothing().await);
    report.add("nothing is handed over after not_after", suite.late().await);
    report.add("nothing is handed over when given up before", suite.cancelled_before().await);
    report.add("giving up ends the attempt soon", suite.cancelled_midway().await);
    report.add("find knows an attempt whose future was dropped", suite.dropped().await);
    report.add("busy is an outcome, not an error", suite.busy().await);
    report.add("throttled is Throttled", suite.refused(Situation::Throttled, |error| matches!(error, DialError::Throttled { .. })).await);
    report
        .add("a passing refusal is Transient", suite.refused(Situation::Transient, |error| matches!(error, DialError::Transient(_))).await);
    report
        .add("a lasting refusal is Permanent", suite.refused(Situation::Permanent, |error| matches!(error, DialError::Permanent(_))).await);
    report.add("a known opt-out is Suppressed", suite.refused(Situation::Suppressed, |error| matches!(error, DialError::Suppressed)).await);
    report.add("a lost answer is InDoubt", suite.lost_answer().await);
    report.add("a key the provider knows is not placed again", suite.native_key().await);
    report
}

/// How long after a cancellation a dialer may take to hang up, on top of its longest request.
const GRACE: Duration = Duration::from_secs(10);

struct Suite<'a> {
    executor: SharedExecutor,
    fixture: &'a dyn Fixture,
    number: AtomicI64,
}

/// One attempt, ready to be dialled.
struct Trial {
    dialer: Arc<dyn Dialer>,
    capabilities: Capabilities,
    request: DialRequest,
    host: Arc<TestHost>,
    since: Timestamp,
}

type Dialled = Result<Outcome, DialError>;

impl Suite<'_> {
    /// An attempt in this situation, or why there is none.
    fn trial_on(&self, situation: Situation, channel: Channel, change: impl FnOnce(&mut DialRequest)) -> Result<Trial, Checked> {
        let since = self.executor.now();
        let mut request = sample_request(self.number.fetch_add(1, Ordering::Relaxed), channel, since);
        change(&mut request);
        let dialer = self
            .fixture
            .provoke(situation, &mut request)
            .ok_or_else(|| Checked::Skipped(format!("the fixture cannot provoke {situation:?}")))?;
        let host = TestHost::new(self.executor.clone());
        Ok(Trial { capabilities: dialer.capabilities(), dialer, request, host, since })
    }

    /// The same on the first channel the dialer serves.
    fn trial(&self, situation: Situation, change: impl FnOnce(&mut DialRequest)) -> Result<Trial, Checked> {
        let channel = match self.trial_on(Situation::Usual, Channel::Call, |_| {}) {
            Ok(usual) => usual.capabilities.channels.first().copied().unwrap_or(Channel::Call),
            Err(skipped) => return Err(skipped),
        };
        self.trial_on(situation, channel, change)
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.executor.now().saturating_add(SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX));
        self.executor.sleep_until(until.unwrap_or(Timestamp::MAX)).await;
    }

    /// The result, or `None` when it takes longer.
    async fn within<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        match select(pin!(future), pin!(self.sleep(limit))).await {
            Either::Left((value, _)) => Some(value),
            Either::Right(_) => None,
        }
    }

    /// Dials to the end; checks what must hold whatever happens.
    async fn dial(&self, trial: &Trial) -> Result<Dialled, String> {
        let limit = trial.longest();
        let result = self.within(limit, trial.dial()).await.ok_or_else(|| format!("dial did not return within {limit:?}"))??;
        trial.check_result(&result)?;
        Ok(result)
    }

    /// Asks after the look-up lag; "ask again later" is taken at its word a few times.
    async fn find(&self, trial: &Trial, with_reference: bool) -> Result<Found, String> {
        self.sleep(trial.capabilities.lookup_lag).await;
        let provider_ref = with_reference.then(|| trial.host.references().into_iter().next()).flatten();
        let mut answer = Err("find was not asked".to_owned());
        for _ in 0..5 {
            let question = find_request(&trial.request, trial.since, self.executor.now(), provider_ref.clone());
            let asked = AssertUnwindSafe(trial.dialer.find(question)).catch_unwind();
            let limit = trial.capabilities.max_request_time + GRACE;
            answer = match self.within(limit, asked).await {
                None => return Err(format!("find did not return within {limit:?}")),
                Some(Err(_)) => return Err("find panicked".into()),
                Some(Ok(Ok(found))) => return trial.check_found(found),
                Some(Ok(Err(error))) => {
                    trial.check_text("the error of find", &format!("{error} {error:?}"))?;
                    Err(format!("find still fails after several tries: {error}"))
                }
            };
            self.sleep(Duration::from_secs(1)).await;
        }
        answer
    }

    fn capabilities(&self) -> Verdict {
        let trial = match self.trial_on(Situation::Usual, Channel::Call, |_| {}) {
            Ok(trial) => trial,
            Err(_) => return Err("the fixture must be able to provoke Situation::Usual".into()),
        };
        let Capabilities { channels, idempotency, max_request_time, calls_per_second, max_concurrent, .. } = &trial.capabilities;
        ensure(!channels.is_empty(), "channels is empty")?;
        ensure(channels.iter().enumerate().all(|(index, channel)| !channels[..index].contains(channel)), "channels names a channel twice")?;
        ensure(!max_request_time.is_zero(), "max_request_time is zero; recovery could not wait for it")?;
        ensure(*calls_per_second != Some(0), "calls_per_second is 0; use None for no limit")?;
        ensure(*max_concurrent != Some(0), "max_concurrent is 0; use None for no limit")?;
        if let Idempotency::Native { key_ttl } = idempotency {
            ensure(!key_ttl.is_zero(), "a native key that is forgotten at once protects from nothing")?;
        }
        trial.check_text("Debug of the request", &format!("{:?}", trial.request))?;
        trial.check_text("Debug of the capabilities", &format!("{:?}", trial.capabilities))?;
        Ok(Checked::Passed)
    }

    async fn ends(&self) -> Verdict {
        let channels = match self.trial(Situation::Usual, |_| {}) {
            Ok(trial) => trial.capabilities.channels,
            Err(skipped) => return Ok(skipped),
        };
        for channel in channels {
            let trial = match self.trial_on(Situation::Usual, channel, |_| {}) {
                Ok(trial) => trial,
                Err(skipped) => return Ok(skipped),
            };
            let outcome = self.dial(&trial).await?.map_err(|error| format!("{channel}: an error instead of an outcome: {error}"))?;
            ensure(fits(channel, outcome.disposition), format!("{channel}: {} does not fit the channel", outcome.disposition))?;
            let longest = trial.request.max_duration + GRACE;
            ensure(
                Duration::from_secs(u64::from(outcome.duration_seconds)) <= longest,
                format!("{channel}: lasted {} s, above max_duration", outcome.duration_seconds),
            )?;
            ensure(outcome.cost.is_none_or(|cost| cost.0 >= 0), format!("{channel}: the cost is negative"))?;
            if let Some(handed_over) = self.fixture.handed_over(&trial.request.key) {
                ensure(handed_over == 1, format!("{channel}: one dial made {handed_over} hand-offs"))?;
            }
        }
        Ok(Checked::Passed)
    }

    async fn places_once(&self) -> Verdict {
        let trial = match self.trial(Situation::Usual, |_| {}) {
            Ok(trial) => trial,
            Err(skipped) => return Ok(skipped),
        };
        let outcome = self.dial(&trial).await?.map_err(|error| error.to_string())?;
        let references = trial.host.references();
        // Time for a task that was left behind to say something it must not.
        self.sleep(GRACE).await;
        ensure(trial.host.references().len() == references.len(), "placed was said after dial had returned")?;
        match references.as_slice() {
            [] => Ok(Checked::Skipped("the dialer names no reference".into())),
            [reference] => {
                ensure(!reference.is_empty(), "the reference is empty")?;
                ensure(outcome.provider_ref.as_ref() == Some(reference), "placed and the outcome have different references")?;
                Ok(Checked::Passed)
            }
            more => Err(format!("placed was said {} times", more.len())),
        }
    }

    async fn find_agrees(&self) -> Verdict {
        let trial = match self.trial(Situation::Usual, |_| {}) {
            Ok(trial) => trial,
            Err(skipped) => return Ok(skipped),
        };
        let outcome = self.dial(&trial).await?.map_err(|error| error.to_string())?;
        for with_reference in [true, false] {
            match self.find(&trial, with_reference).await? {
                Found::Ended(found) => {
                    ensure(
                        found.disposition == outcome.disposition,
                        format!("dial said {}, find says {}", outcome.disposition, found.disposition),
                    )?;
                    ensure(
                        found.provider_ref.is_none() || outcome.provider_ref.is_none() || found.provider_ref == outcome.provider_ref,
                        "dial and find name different references",
                    )?;
                }
                Found::Unknown if trial.capabilities.idempotency == Idempotency::None => {
                    return Ok(Checked::Skipped("the dialer has no look-up".into()));
                }
                other => return Err(format!("dial ended with {}, find says {}", outcome.disposition, name(&other))),
            }
        }
        Ok(Checked::Passed)
    }

    async fn find_invents_nothing(&self) -> Verdict {
        let trial = match self.trial(Situation::Usual, |_| {}) {
            Ok(trial) => trial,
            Err(skipped) => return Ok(skipped),
        };
        self.not_there(&trial).await
    }

    /// Fails when `find` knows an attempt that was not handed over.
    async fn not_there(&self, trial: &Trial) -> Verdict {
        match self.find(trial, true).await? {
            Found::NeverHappened | Found::Unknown => {}
            other => return Err(format!("nothing was handed over, and find says {}", name(&other))),
        }
        if let Some(handed_over) = self.fixture.handed_over(&trial.request.key) {
            ensure(handed_over == 0, format!("the provider got {handed_over} hand-offs"))?;
        }
        Ok(Checked::Passed)
    }

    async fn late(&self) -> Verdict {
        let trial = match self.trial(Situation::Usual, |request| request.not_after -= SignedDuration::from_secs(31)) {
            Ok(trial) => trial,
            Err(skipped) => return Ok(skipped),
        };
        match self.dial(&trial).await? {
            Err(DialError::Throttled { .. }) => {}
            Err(DialError::Transient(_)) => {}
            Err(error) => return Err(format!("a late request is Throttled (or Transient), not: {error}")),
            Ok(outcome) => return Err(format!("a late request ended with {}", outcome.disposition)),
        }
        self.not_there(&trial).await
    }

    async fn cancelled_before(&self) -> Verdict {
        let trial = match self.trial(Situation::Usual, |_| {}) {
            Ok(trial) => trial,
            Err(skipped) => return Ok(skipped),
        };
        trial.host.cancel();
        let limit = trial.capabilities.max_request_time + GRACE;
        let result = self.within(limit, trial.dial()).await.ok_or_else(|| format!("dial did not return within {limit:?}"))??;
        trial.check_result(&result)?;
        match result {
            Err(DialError::InDoubt(_) | DialError::Permanent(_) | DialError::Suppressed) => Err("the error blames the contact".into()),
            Ok(outcome) if outcome.disposition != Disposition::Cancelled => Err(format!("it ended with {}", outcome.disposition)),
            _ => self.not_there(&trial).await,
        }
    }

    async fn cancelled_midway(&self) -> Verdict {
        let trial = match self.trial(Situation::Long, |_| {}) {
            Ok(trial) => trial,
            Err(skipped) => return Ok(skipped),
        };
        let mut dial = Box::pin(trial.dial());
        if self.until_placed(&trial, &mut dial).await?.is_some() {
            return Err("the call ended before it could be given up; is the fixture's Long long?".into());
        }
        trial.host.cancel();
        let limit = trial.capabilities.max_request_time + GRACE;
        let result = self.within(limit, dial).await.ok_or_else(|| format!("dial did not return within {limit:?} of giving up"))??;
        trial.check_result(&result)?;
        Ok(Checked::Passed)
    }

    async fn dropped(&self) -> Verdict {
        let trial = match self.trial(Situation::Long, |_| {}) {
            Ok(trial) => trial,
            Err(skipped) => return Ok(skipped),
        };
        let mut dial = Box::pin(trial.dial());
        if self.until_placed(&trial, &mut dial).await?.is_some() {
            return Err("the call ended before it could be dropped; is the fixture's Long long?".into());
        }
        drop(dial);
        let was_placed = !trial.host.references().is_empty();
        match self.find(&trial, true).await? {
            Found::NeverHappened if was_placed => Err("placed was said, and find says that it never happened".into()),
            Found::Unknown if was_placed && trial.capabilities.idempotency != Idempotency::None => {
                Err("placed was said, and find does not know it".into())
            }
            _ => Ok(Checked::Passed),
        }
    }

    /// Dials until `placed` is said, or for as long as a request may take when it is not. Gives the result when it ended meanwhile.
    async fn until_placed(
        &self,
        trial: &Trial,
        dial: &mut (impl Future<Output = Result<Dialled, String>> + Unpin),
    ) -> Result<Option<Dialled>, String> {
        let placed = async {
            let limit = trial.capabilities.max_request_time;
            self.within(limit, trial.host.first_reference()).await;
            // A moment more, so that what follows `placed` has begun.
            self.sleep(Duration::from_secs(1)).await;
        };
        match select(dial, pin!(placed)).await {
            Either::Left((result, _)) => result.map(Some),
            Either::Right(_) => Ok(None),
        }
    }

    async fn busy(&self) -> Verdict {
        let trial = match self.trial_on(Situation::Busy, Channel::Call, |_| {}) {
            Ok(trial) => trial,
            Err(skipped) => return Ok(skipped),
        };
        match self.dial(&trial).await? {
            Ok(outcome) if outcome.disposition == Disposition::Busy => Ok(Checked::Passed),
            Ok(outcome) => Err(format!("it ended with {}", outcome.disposition)),
            Err(error) => Err(format!("it failed: {error}")),
        }
    }

    async fn refused(&self, situation: Situation, expected: fn(&DialError) -> bool) -> Verdict {
        let trial = match self.trial(situation, |_| {}) {
            Ok(trial) => trial,
            Err(skipped) => return Ok(skipped),
        };
        match self.dial(&trial).await? {
            Ok(outcome) => return Err(format!("it ended with {}", outcome.disposition)),
            Err(error) if !expected(&error) => return Err(format!("it is another error: {error}")),
            Err(DialError::Throttled { retry_after }) => {
                ensure(retry_after <= Duration::from_secs(86_400), format!("retry_after is {retry_after:?}; nobody waits that long"))?;
            }
            Err(_) => {}
        }
        // The provider may have seen the request; what counts is that nothing was placed.
        match self.find(&trial, true).await? {
            Found::NeverHappened | Found::Unknown => Ok(Checked::Passed),
            other => Err(format!("the error says that nothing was placed, and find says {}", name(&other))),
        }
    }

    async fn lost_answer(&self) -> Verdict {
        let trial = match self.trial(Situation::LostAnswer, |_| {}) {
            Ok(trial) => trial,
            Err(skipped) => return Ok(skipped),
        };
        match self.dial(&trial).await? {
            Err(DialError::InDoubt(_)) => {}
            Err(error) => return Err(format!("it is another error: {error}")),
            Ok(outcome) => return Err(format!("it ended with {}", outcome.disposition)),
        }
        let found = self.find(&trial, true).await?;
        let really = self.fixture.handed_over(&trial.request.key);
        match found {
            Found::NeverHappened => ensure(really.unwrap_or(0) == 0, "it was handed over, and find says that it never happened")?,
            Found::Ended(_) | Found::Running { .. } => ensure(really.unwrap_or(1) > 0, "it was not handed over, and find knows it")?,
            Found::Unknown => {}
        }
        Ok(Checked::Passed)
    }

    async fn native_key(&self) -> Verdict {
        let trial = match self.trial(Situation::Usual, |_| {}) {
            Ok(trial) => trial,
            Err(skipped) => return Ok(skipped),
        };
        if !matches!(trial.capabilities.idempotency, Idempotency::Native { .. }) {
            return Ok(Checked::Skipped("the provider takes no key".into()));
        }
        let first = self.dial(&trial).await?.map_err(|error| error.to_string())?;
        // Handed over anew, as recovery does it: the same key, a later deadline, nobody who remembers the first time.
        let request = DialRequest { not_after: self.executor.now() + SignedDuration::from_secs(30), ..trial.request.clone() };
        let again = Trial { host: TestHost::new(self.executor.clone()), request, ..trial };
        let second = self.dial(&again).await?.map_err(|error| format!("the second time it failed: {error}"))?;
        ensure(first.disposition == second.disposition, "the same key ended in two ways")?;
        ensure(first.provider_ref == second.provider_ref, "the same key has two references")?;
        if let Some(handed_over) = self.fixture.handed_over(&again.request.key) {
            ensure(handed_over == 1, format!("the provider placed it {handed_over} times"))?;
        }
        Ok(Checked::Passed)
    }
}

impl Trial {
    /// The dial, with a panic turned into a failure.
    async fn dial(&self) -> Result<Dialled, String> {
        let dial = AssertUnwindSafe(self.dialer.dial(self.request.clone(), self.host.context()));
        dial.catch_unwind().await.map_err(|_| "dial panicked".to_owned())
    }

    /// How long an attempt may take to its end.
    fn longest(&self) -> Duration {
        self.capabilities.max_request_time + self.request.ring_timeout + self.request.max_duration + GRACE
    }

    /// What holds for every result of `dial`.
    fn check_result(&self, result: &Dialled) -> Result<(), String> {
        let placed = !self.host.references().is_empty();
        match result {
            Err(error) => {
                self.check_text("the error", &format!("{error} {error:?}"))?;
                let certain = !matches!(error, DialError::InDoubt(_));
                ensure(!(placed && certain), format!("placed was said, and then that nothing was placed: {error}"))
            }
            Ok(outcome) => {
                ensure(outcome.disposition != Disposition::InDoubt, "in doubt is DialError::InDoubt, not an outcome")?;
                self.check_text("the outcome", &format!("{outcome:?} {}", outcome.detail.as_deref().unwrap_or_default()))
            }
        }
    }

    fn check_found(&self, found: Found) -> Result<Found, String> {
        self.check_text("the answer of find", &format!("{found:?}"))?;
        Ok(found)
    }

    /// Neither the number nor what is said may be in something that ends up in a log.
    fn check_text(&self, what: &str, text: &str) -> Result<(), String> {
        let digits = self.request.to.as_str().trim_start_matches('+');
        ensure(!text.contains(digits), format!("{what} shows the phone number"))?;
        ensure(self.request.texts.values().all(|said| !text.contains(said.as_str())), format!("{what} shows a text"))
    }
}

fn ensure(holds: bool, otherwise: impl Into<String>) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

/// Whether a channel can end like this.
fn fits(channel: Channel, disposition: Disposition) -> bool {
    use Disposition::{Answered, Busy, Delivered, NoAnswer, Sent, Voicemail};
    match channel {
        Channel::Call => !matches!(disposition, Sent | Delivered),
        Channel::Sms | Channel::WhatsApp => !matches!(disposition, Answered | Voicemail | Busy | NoAnswer),
    }
}

fn name(found: &Found) -> &'static str {
    match found {
        Found::Ended(_) => "ended",
        Found::Running { .. } => "running",
        Found::NeverHappened => "never happened",
        Found::Unknown => "unknown",
    }
}
