//! A dialer that does what a test tells it.

use super::{Capabilities, DialContext, DialError, DialRequest, Dialer, FindRequest, Found};
use crate::error::{Error, Kind, Result};
use crate::id::ContactId;
use crate::outcome::{Disposition, Outcome};
use crate::phone::PhoneNumber;
use async_trait::async_trait;
use futures_util::future::{Either, select};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// What happens to one attempt. Steps nest: `Script::answered(20).after(Duration::from_secs(5)).placed("ref")` is placed, rings for
/// five seconds and is answered.
#[derive(Debug, Clone)]
pub enum Script {
    /// It ends like this.
    Outcome(Outcome),
    /// It fails like this.
    Error(DialError),
    /// Time passes, then the rest. An attempt given up meanwhile ends as cancelled.
    Wait(Duration, Box<Script>),
    /// The provider names its reference, then the rest.
    Placed(String, Box<Script>),
    /// The dialer's code panics.
    Panic,
    /// Nothing ever happens, not even when the attempt is given up.
    Hang,
}

impl Script {
    /// Answered by a person who talked this long.
    pub fn answered(seconds: u32) -> Self {
        Self::Outcome(Outcome::answered(seconds))
    }

    /// Ends with this disposition and nothing else.
    pub fn ends(disposition: Disposition) -> Self {
        Self::Outcome(Outcome::new(disposition))
    }

    /// Throttled: nothing is placed.
    pub fn throttled(retry_after: Duration) -> Self {
        Self::Error(DialError::Throttled { retry_after })
    }

    /// An error that placed nothing and may pass.
    pub fn transient() -> Self {
        Self::Error(DialError::Transient(Error::new(Kind::Provider, "scripted transient error")))
    }

    /// An error that placed nothing and never will.
    pub fn permanent() -> Self {
        Self::Error(DialError::Permanent(Error::new(Kind::Provider, "scripted permanent error")))
    }

    /// The answer is lost.
    pub fn in_doubt() -> Self {
        Self::Error(DialError::InDoubt(Error::new(Kind::Provider, "scripted loss of the answer")))
    }

    /// The same, this much later.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self::Wait(wait, Box::new(self))
    }

    /// The same, after the provider named this reference.
    #[must_use]
    pub fn placed(self, provider_ref: impl Into<String>) -> Self {
        Self::Placed(provider_ref.into(), Box::new(self))
    }

    /// The waits, the reference and the last step.
    fn summary(&self) -> (Duration, Option<&str>, &Script) {
        match self {
            Self::Wait(wait, rest) => {
                let (waits, provider_ref, last) = rest.summary();
                (wait.saturating_add(waits), provider_ref, last)
            }
            Self::Placed(provider_ref, rest) => {
                let (waits, inner, last) = rest.summary();
                (waits, inner.or(Some(provider_ref)), last)
            }
            last => (Duration::ZERO, None, last),
        }
    }

    /// Whether something is placed: every error but the one in doubt says that nothing was.
    fn places(&self) -> bool {
        !matches!(self.summary().2, Script::Error(error) if !matches!(error, DialError::InDoubt(_)))
    }
}

/// One request as it came in.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// When.
    pub at: Timestamp,
    /// What was asked for.
    pub request: DialRequest,
    /// What it met.
    pub script: Script,
    /// How it ended, once it has.
    pub outcome: Option<Outcome>,
}

type Rule = Arc<dyn Fn(&DialRequest) -> Option<Script> + Send + Sync>;
type FindRule = Arc<dyn Fn(&FindRequest) -> Option<Result<Found>> + Send + Sync>;

/// A dialer for tests: it does what it is told, writes everything down, and never forgets a hand-off.
///
/// An attempt meets the first that has something for it: the rules in the order they were given, the queue of its phone number, the
/// queue of its contact, the common queue, the default. A request after its `not_after` is refused as throttled with no wait.
///
/// ```
/// use campaign_core::dialer::{Script, ScriptedDialer};
/// use campaign_core::id::ContactId;
/// use campaign_core::outcome::Disposition;
///
/// let dialer = ScriptedDialer::new().otherwise(Script::answered(45));
/// dialer.on_contact(ContactId(7), [Script::ends(Disposition::Busy), Script::ends(Disposition::NoAnswer)]);
/// dialer.on(|request| (request.attempt_number == 3).then(Script::permanent));
/// # assert!(dialer.requests().is_empty());
/// ```
pub struct ScriptedDialer {
    capabilities: Capabilities,
    state: Mutex<State>,
}

struct State {
    default: Script,
    rules: Vec<Rule>,
    by_phone: HashMap<PhoneNumber, VecDeque<Script>>,
    by_contact: HashMap<ContactId, VecDeque<Script>>,
    queue: VecDeque<Script>,
    find_rules: Vec<FindRule>,
    finds: Vec<FindRequest>,
    recorded: Vec<Recorded>,
    /// How often each key was handed over, and its last entry in `recorded`.
    handed: BTreeMap<Arc<str>, (u32, usize)>,
    in_flight: u32,
    peak_in_flight: u32,
}

impl Default for ScriptedDialer {
    fn default() -> Self {
        Self::new()
    }
}

impl ScriptedDialer {
    /// A dialer that answers everything at once when nothing else is said; calls last 30 s on paper.
    pub fn new() -> Self {
        Self {
            capabilities: Capabilities::default(),
            state: Mutex::new(State {
                default: Script::answered(30),
                rules: Vec::new(),
                by_phone: HashMap::new(),
                by_contact: HashMap::new(),
                queue: VecDeque::new(),
                find_rules: Vec::new(),
                finds: Vec::new(),
                recorded: Vec::new(),
                handed: BTreeMap::new(),
                in_flight: 0,
                peak_in_flight: 0,
            }),
        }
    }

    /// Does this when nothing else is said.
    #[must_use]
    pub fn otherwise(self, script: Script) -> Self {
        self.state.lock().default = script;
        self
    }

    /// Declares these capabilities.
    #[must_use]
    pub fn with_capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Adds a rule: what happens to the requests it has an answer for.
    pub fn on(&self, rule: impl Fn(&DialRequest) -> Option<Script> + Send + Sync + 'static) -> &Self {
        self.state.lock().rules.push(Arc::new(rule));
        self
    }

    /// Queues what happens to the next attempts at this number.
    pub fn on_phone(&self, phone: &PhoneNumber, scripts: impl IntoIterator<Item = Script>) -> &Self {
        self.state.lock().by_phone.entry(phone.clone()).or_default().extend(scripts);
        self
    }

    /// Queues what happens to the next attempts at this contact.
    pub fn on_contact(&self, contact: ContactId, scripts: impl IntoIterator<Item = Script>) -> &Self {
        self.state.lock().by_contact.entry(contact).or_default().extend(scripts);
        self
    }

    /// Queues what happens to the next attempts at anybody.
    pub fn next(&self, scripts: impl IntoIterator<Item = Script>) -> &Self {
        self.state.lock().queue.extend(scripts);
        self
    }

    /// Adds a rule for `find`. Without an answer from any rule, it tells the truth as the script has it.
    pub fn on_find(&self, rule: impl Fn(&FindRequest) -> Option<Result<Found>> + Send + Sync + 'static) -> &Self {
        self.state.lock().find_rules.push(Arc::new(rule));
        self
    }

    /// Every request so far, refused ones included, in order.
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.lock().recorded.clone()
    }

    /// Every question asked with `find`, in order.
    pub fn finds(&self) -> Vec<FindRequest> {
        self.state.lock().finds.clone()
    }

    /// How often each key was handed over, sorted by key. Requests that certainly placed nothing do not count.
    pub fn hand_offs(&self) -> BTreeMap<Arc<str>, u32> {
        self.state.lock().handed.iter().map(|(key, (count, _))| (key.clone(), *count)).collect()
    }

    /// The keys that were handed over more than once.
    pub fn repeated(&self) -> Vec<Arc<str>> {
        self.state.lock().handed.iter().filter(|(_, (count, _))| *count > 1).map(|(key, _)| key.clone()).collect()
    }

    /// # Panics
    /// When a key was handed over more than once.
    pub fn assert_no_repeats(&self) {
        let repeated = self.repeated();
        assert!(repeated.is_empty(), "handed over more than once: {repeated:?}");
    }

    /// Attempts that go on now, and the most that ever went on at once.
    pub fn in_flight(&self) -> (u32, u32) {
        let state = self.state.lock();
        (state.in_flight, state.peak_in_flight)
    }

    /// Picks the script. Rules are user code: they run without the lock, so that they may ask this dialer.
    fn script_for(&self, request: &DialRequest) -> Script {
        let rules = self.state.lock().rules.clone();
        if let Some(script) = rules.iter().find_map(|rule| rule(request)) {
            return script;
        }
        let mut state = self.state.lock();
        let state = &mut *state;
        let phone = state.by_phone.get_mut(&request.to).and_then(VecDeque::pop_front);
        phone
            .or_else(|| state.by_contact.get_mut(&request.contact_id).and_then(VecDeque::pop_front))
            .or_else(|| state.queue.pop_front())
            .unwrap_or_else(|| state.default.clone())
    }

    /// Writes the request down and gives its place in the record.
    fn record(&self, request: &DialRequest, at: Timestamp, script: &Script) -> usize {
        let mut state = self.state.lock();
        let index = state.recorded.len();
        state.recorded.push(Recorded { at, request: request.clone(), script: script.clone(), outcome: None });
        if script.places() {
            let entry = state.handed.entry(request.key.clone()).or_insert((0, index));
            *entry = (entry.0 + 1, index);
        }
        state.in_flight += 1;
        state.peak_in_flight = state.peak_in_flight.max(state.in_flight);
        index
    }
}

#[async_trait]
impl Dialer for ScriptedDialer {
    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    async fn dial(&self, request: DialRequest, context: DialContext) -> Result<Outcome, DialError> {
        if context.is_cancelled() {
            return Ok(Outcome::new(Disposition::Cancelled));
        }
        let now = context.now();
        let script = if now > request.not_after { Script::throttled(Duration::ZERO) } else { self.script_for(&request) };
        let index = self.record(&request, now, &script);
        let _in_flight = InFlight(self);
        let result = play(script, &context).await;
        if let Ok(outcome) = &result {
            self.state.lock().recorded[index].outcome = Some(outcome.clone());
        }
        result
    }

    async fn find(&self, request: FindRequest) -> Result<Found> {
        let rules = {
            let mut state = self.state.lock();
            state.finds.push(request.clone());
            state.find_rules.clone()
        };
        if let Some(answer) = rules.iter().find_map(|rule| rule(&request)) {
            return answer;
        }
        let state = self.state.lock();
        let Some((_, index)) = state.handed.get(&request.key) else { return Ok(Found::NeverHappened) };
        let recorded = &state.recorded[*index];
        if let Some(outcome) = &recorded.outcome {
            return Ok(Found::Ended(outcome.clone()));
        }
        let (waits, provider_ref, last) = recorded.script.summary();
        let waits = SignedDuration::try_from(waits).unwrap_or(SignedDuration::MAX);
        let over = request.now.duration_since(recorded.at) >= waits;
        Ok(match last {
            Script::Outcome(outcome) if over => {
                let provider_ref = outcome.provider_ref.clone().or(provider_ref.map(String::from));
                Found::Ended(Outcome { provider_ref, ..outcome.clone() })
            }
            Script::Outcome(_) | Script::Hang => Found::Running { provider_ref: provider_ref.unwrap_or(&request.key).to_owned() },
            _ => Found::Unknown,
        })
    }
}

/// Carries out a script.
async fn play(mut script: Script, context: &DialContext) -> Result<Outcome, DialError> {
    let mut reference = None;
    loop {
        script = match script {
            Script::Outcome(mut outcome) => {
                outcome.provider_ref = outcome.provider_ref.or(reference);
                return Ok(outcome);
            }
            Script::Error(error) => return Err(error),
            Script::Wait(duration, rest) => {
                let (sleep, cancelled) = (pin!(context.sleep(duration)), pin!(context.cancelled()));
                if let Either::Right(_) = select(sleep, cancelled).await {
                    return Ok(Outcome { provider_ref: reference, ..Outcome::new(Disposition::Cancelled) });
                }
                *rest
            }
            Script::Placed(provider_ref, rest) => {
                // The call goes on when the store does not take the reference.
                let _ = context.placed(provider_ref.clone()).await;
                reference = Some(provider_ref);
                *rest
            }
            Script::Panic => panic!("scripted panic"),
            Script::Hang => std::future::pending().await,
        };
    }
}

/// Counts an attempt as in flight until it ends, is dropped or panics.
struct InFlight<'a>(&'a ScriptedDialer);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.state.lock().in_flight -= 1;
    }
}

impl fmt::Debug for ScriptedDialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("ScriptedDialer")
            .field("requests", &state.recorded.len())
            .field("in_flight", &state.in_flight)
            .finish_non_exhaustive()
    }
}
