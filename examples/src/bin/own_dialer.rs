//! A dialer for a provider of your own, from the first line to a green conformance suite. `docs/write-a-dialer.md` walks through it.
//!
//! Run it with `cargo run -p campaign-examples --bin own_dialer`.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "an example talks to the person who runs it, and may stop when it is wrong")]

use campaign_core::async_trait;
use campaign_core::dialer::{Capabilities, DialContext, DialError, DialRequest, Dialer, FindRequest, Found, Idempotency};
use campaign_core::executor::{SharedExecutor, VirtualExecutor};
use campaign_core::id::Money;
use campaign_core::outcome::{Channel, Disposition, Outcome};
use campaign_core::testkit::dialer::{Fixture, Situation, run};
use campaign_core::{Error, Kind, Retry};
use parley::{Api, ApiError, Behaviour, Call, State};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Places calls with Parley.
struct ParleyDialer {
    api: Arc<Api>,
}

/// How often a running call is looked at.
const POLL: Duration = Duration::from_secs(2);

/// The time-out of one HTTP request.
const REQUEST: Duration = Duration::from_secs(10);

#[async_trait]
impl Dialer for ParleyDialer {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            channels: vec![Channel::Call],
            idempotency: Idempotency::CallbackRef,
            lookup_lag: Duration::from_secs(5),
            max_request_time: REQUEST,
            account: Some("parley-main".into()),
            calls_per_second: Some(10),
            max_concurrent: Some(100),
            cancel: true,
            machine_detection: false,
        }
    }

    async fn dial(&self, request: DialRequest, context: DialContext) -> Result<Outcome, DialError> {
        // The last look before the hand-off: given up, or too late? Neither is the contact's fault.
        if context.is_cancelled() || context.now() > request.not_after {
            return Err(DialError::Throttled { retry_after: Duration::ZERO });
        }
        let call_id = self.api.create_call(&request.key, request.to.as_str()).await.map_err(classify)?;
        // The call exists from here on. Its reference becomes durable before anything else can go wrong.
        // When the store does not take it, the call goes on: `find` knows it by its key.
        let _ = context.placed(call_id.as_str()).await;
        context.progress("ringing");

        let longest = request.ring_timeout + request.max_duration;
        let outcome = tokio::select! {
            outcome = self.watch(&call_id, &context) => Some(outcome),
            () = context.cancelled() => None,
            () = context.sleep(longest) => None,
        };
        if let Some(outcome) = outcome {
            return Ok(outcome);
        }
        self.api.hang_up(&call_id).await.map_err(lost)?;
        let call = self.api.get_call(&call_id).await.map_err(lost)?;
        ended(&call).ok_or_else(|| lost(ApiError::TimedOut))
    }

    async fn find(&self, request: FindRequest) -> campaign_core::Result<Found> {
        let asked = match &request.provider_ref {
            Some(call_id) => self.api.get_call(call_id).await.map(Some),
            None => self.api.find_call(&request.key).await,
        };
        // An error here only means "ask again later".
        let Some(call) = asked.map_err(|error| provider_error(&error))? else { return Ok(Found::NeverHappened) };
        Ok(ended(&call).map_or(Found::Running { provider_ref: call.id }, Found::Ended))
    }
}

impl ParleyDialer {
    /// Looks at a call until it has ended. A failing look changes nothing about the call, so it is simply repeated.
    async fn watch(&self, call_id: &str, context: &DialContext) -> Outcome {
        loop {
            context.sleep(POLL).await;
            if let Some(outcome) = self.api.get_call(call_id).await.ok().as_ref().and_then(ended) {
                return outcome;
            }
        }
    }
}

/// How a call ended, if it has. An outcome is data: busy is not an error.
fn ended(call: &Call) -> Option<Outcome> {
    let disposition = match call.state {
        State::Ringing | State::InProgress => return None,
        State::Completed => Disposition::Answered,
        State::Busy => Disposition::Busy,
        State::NoAnswer => Disposition::NoAnswer,
        State::Cancelled => Disposition::Cancelled,
    };
    let outcome = Outcome { duration_seconds: call.seconds, ..Outcome::new(disposition) };
    Some(outcome.with_cost(Money::from_units(call.price)).with_provider_ref(call.id.as_str()))
}

/// The one table of what Parley's errors mean for a call that was to be placed.
fn classify(error: ApiError) -> DialError {
    match error {
        // Refused for now: costs the contact nothing.
        ApiError::Status { code: 429, retry_after } => DialError::Throttled { retry_after: retry_after.unwrap_or(Duration::from_secs(1)) },
        // Parley answers 403 for people on its opt-out list.
        ApiError::Status { code: 403, .. } => DialError::Suppressed,
        // Refused for good.
        ApiError::Status { code: 400..=499, .. } => DialError::Permanent(provider_error(&error)),
        // Nothing was sent, so nothing was placed.
        ApiError::NotConnected => DialError::Transient(provider_error(&error)),
        // Everything else may have placed a call: a server error too, because it may have come after the call was made.
        ApiError::Status { .. } | ApiError::TimedOut => lost(error),
    }
}

/// An error after which nobody knows.
fn lost(error: ApiError) -> DialError {
    DialError::InDoubt(provider_error(&error))
}

/// Says what happened, without the number and without the body of the answer: errors end up in logs.
fn provider_error(error: &ApiError) -> Error {
    let error = match error {
        ApiError::Status { code, .. } => Error::new(Kind::Provider, "Parley refused the request").with("status", code),
        ApiError::NotConnected => Error::new(Kind::Provider, "Parley cannot be reached"),
        ApiError::TimedOut => Error::new(Kind::Provider, "Parley's answer did not come"),
    };
    error.with_retry(Retry::After(Duration::from_secs(5)))
}

/// Sets Parley up for each situation. Against a real provider these are its test numbers.
struct ParleyFixture {
    clock: SharedExecutor,
    /// Every account made so far, to look at the provider's side.
    accounts: Mutex<Vec<Arc<Api>>>,
}

impl Fixture for ParleyFixture {
    fn provoke(&self, situation: Situation, _request: &mut DialRequest) -> Option<Arc<dyn Dialer>> {
        let behaviour = match situation {
            Situation::Usual => Behaviour::Answers { seconds: 20 },
            Situation::Long => Behaviour::Answers { seconds: 120 },
            Situation::Busy => Behaviour::Busy,
            Situation::Throttled => Behaviour::Refuses(429),
            Situation::Permanent => Behaviour::Refuses(404),
            Situation::Suppressed => Behaviour::Refuses(403),
            Situation::Transient => Behaviour::Unreachable,
            Situation::LostAnswer => Behaviour::LosesAnswer,
            _ => return None,
        };
        let api = Arc::new(Api::new(self.clock.clone(), behaviour));
        self.accounts.lock().unwrap().push(api.clone());
        Some(Arc::new(ParleyDialer { api }))
    }

    fn handed_over(&self, key: &str) -> Option<u64> {
        Some(self.accounts.lock().unwrap().iter().map(|api| api.calls_with_key(key)).sum())
    }
}

fn main() {
    let executor = VirtualExecutor::new("2026-03-02T15:00:00Z".parse().unwrap());
    let clock: SharedExecutor = Arc::new(executor.clone());
    let fixture = ParleyFixture { clock: clock.clone(), accounts: Mutex::default() };
    let report = executor.run(async move { run(clock, &fixture).await });
    print!("{report}");
    report.assert_passed();
}

/// Stands for the provider: in your crate, this is an HTTP client.
#[expect(unreachable_pub, reason = "the module is written as the client crate it stands for")]
mod parley {
    use super::*;

    /// What can go wrong with a request.
    pub enum ApiError {
        /// An answer that is not 2xx.
        Status { code: u16, retry_after: Option<Duration> },
        /// The connection was never made.
        NotConnected,
        /// The request was sent, and no answer came.
        TimedOut,
    }

    #[derive(Clone, Copy, PartialEq)]
    pub enum State {
        Ringing,
        InProgress,
        Completed,
        Busy,
        NoAnswer,
        Cancelled,
    }

    #[derive(Clone)]
    pub struct Call {
        pub id: String,
        pub state: State,
        pub seconds: u32,
        pub price: f64,
    }

    /// What this account does with calls.
    #[derive(Clone, Copy)]
    pub enum Behaviour {
        Answers { seconds: i64 },
        Busy,
        Refuses(u16),
        Unreachable,
        LosesAnswer,
    }

    pub struct Api {
        clock: SharedExecutor,
        behaviour: Behaviour,
        /// By idempotency key.
        calls: Mutex<HashMap<String, Record>>,
    }

    /// The id, the second it began and the second it was hung up.
    type Record = (String, i64, Option<i64>);

    /// How long phones ring at Parley, in seconds.
    const RINGS: i64 = 4;

    impl Api {
        pub fn new(clock: SharedExecutor, behaviour: Behaviour) -> Self {
            Self { clock, behaviour, calls: Mutex::default() }
        }

        pub async fn create_call(&self, key: &str, _to: &str) -> Result<String, ApiError> {
            match self.behaviour {
                Behaviour::Refuses(code) => return Err(ApiError::Status { code, retry_after: Some(Duration::from_secs(3)) }),
                Behaviour::Unreachable => return Err(ApiError::NotConnected),
                _ => {}
            }
            let mut calls = self.calls.lock().unwrap();
            let id = format!("PC{:04}", calls.len() + 1);
            calls.insert(key.to_owned(), (id.clone(), self.clock.now().as_second(), None));
            if matches!(self.behaviour, Behaviour::LosesAnswer) { Err(ApiError::TimedOut) } else { Ok(id) }
        }

        pub async fn get_call(&self, id: &str) -> Result<Call, ApiError> {
            let calls = self.calls.lock().unwrap();
            let found = calls.values().find(|(known, ..)| known == id);
            found.map(|call| self.look(call)).ok_or(ApiError::Status { code: 404, retry_after: None })
        }

        pub async fn find_call(&self, key: &str) -> Result<Option<Call>, ApiError> {
            Ok(self.calls.lock().unwrap().get(key).map(|call| self.look(call)))
        }

        pub async fn hang_up(&self, id: &str) -> Result<(), ApiError> {
            let now = self.clock.now().as_second();
            for (known, _, hung_up) in self.calls.lock().unwrap().values_mut() {
                if known == id {
                    hung_up.get_or_insert(now);
                }
            }
            Ok(())
        }

        pub fn calls_with_key(&self, key: &str) -> u64 {
            self.calls.lock().unwrap().contains_key(key).into()
        }

        fn look(&self, (id, began, hung_up): &Record) -> Call {
            let until = hung_up.unwrap_or(i64::MAX).min(self.clock.now().as_second());
            let passed = until - began - RINGS;
            let (state, talked) = match self.behaviour {
                _ if passed < 0 && hung_up.is_some() => (State::Cancelled, 0),
                _ if passed < 0 => (State::Ringing, 0),
                Behaviour::Busy => (State::Busy, 0),
                Behaviour::Answers { seconds } if passed >= seconds => (State::Completed, seconds),
                _ if hung_up.is_some() => (State::Completed, passed),
                Behaviour::Answers { .. } => (State::InProgress, passed),
                _ => (State::NoAnswer, 0),
            };
            Call { id: id.clone(), state, seconds: talked as u32, price: 0.014 * f64::from(talked.div_euclid(60) as u32 + 1) }
        }
    }
}
