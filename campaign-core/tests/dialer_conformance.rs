//! Both dialers of the crate pass the suite, and the suite finds each way to break the contract.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use async_trait::async_trait;
use campaign_core::dialer::{
    CallMix, Capabilities, CarrierProfile, DialContext, DialError, DialRequest, Dialer, FindRequest, Found, Idempotency, Script,
    ScriptedDialer, SimulatedDialer, TalkTime,
};
use campaign_core::executor::VirtualExecutor;
use campaign_core::outcome::{Channel, Disposition, Outcome};
use campaign_core::testkit::dialer::{Fixture, Report, Situation, TestHost, run, sample_request};
use campaign_core::{Error, Kind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn check(fixture: impl Fixture + 'static) -> Report {
    let executor = VirtualExecutor::new("2026-03-02T15:00:00Z".parse().unwrap());
    let clock = Arc::new(executor.clone());
    executor.run(async move { run(clock, &fixture).await })
}

/// Sets the carrier up for each situation, and looks at its side.
struct Simulated {
    base: CarrierProfile,
    change: fn(SimulatedDialer) -> SimulatedDialer,
    made: Mutex<Vec<SimulatedDialer>>,
}

impl Simulated {
    fn new(base: CarrierProfile, change: fn(SimulatedDialer) -> SimulatedDialer) -> Self {
        Self { base, change, made: Mutex::default() }
    }
}

impl Fixture for Simulated {
    fn provoke(&self, situation: Situation, _: &mut DialRequest) -> Option<Arc<dyn Dialer>> {
        let base = self.base.clone();
        let profile = match situation {
            Situation::Usual => base,
            Situation::Busy => CarrierProfile { calls: CallMix { busy: 1, ..CallMix::none() }, ..base },
            Situation::Throttled => CarrierProfile { throttled: 1.0, ..base },
            Situation::Transient => CarrierProfile { transient: 1.0, ..base },
            Situation::Permanent => CarrierProfile { permanent: 1.0, ..base },
            Situation::Suppressed => CarrierProfile { suppressed: 1.0, ..base },
            Situation::LostAnswer => CarrierProfile { in_doubt: 1.0, ..base },
            Situation::Long => CarrierProfile {
                calls: CallMix { answered: 1, ..CallMix::none() },
                talk: TalkTime { min_seconds: 60, mean_seconds: 60, max_seconds: 60 },
                ..base
            },
            _ => return None,
        };
        let dialer = (self.change)(SimulatedDialer::new(profile, 42));
        self.made.lock().unwrap().push(dialer.clone());
        Some(Arc::new(dialer))
    }

    fn handed_over(&self, key: &str) -> Option<u64> {
        let made = self.made.lock().unwrap();
        Some(
            made.iter()
                .flat_map(|dialer| dialer.hand_offs_by_key())
                .filter(|(handed, _)| &**handed == key)
                .map(|(_, count)| u64::from(count))
                .sum(),
        )
    }
}

#[test]
fn the_simulated_carrier_passes() {
    let report = check(Simulated::new(CarrierProfile::default(), |dialer| dialer));
    report.assert_passed();
    let skipped: Vec<_> = report.skipped.iter().map(|(name, _)| *name).collect();
    assert_eq!(skipped, ["a key the provider knows is not placed again"], "{report}");
}

#[test]
fn a_slow_and_lagging_carrier_passes() {
    let base = CarrierProfile { request_millis: 800, lookup_lag_millis: 20_000, ..CarrierProfile::default() };
    check(Simulated::new(base, |dialer| dialer)).assert_passed();
}

#[test]
fn a_carrier_with_native_keys_passes_everything() {
    let native = |dialer: SimulatedDialer| dialer.with_idempotency(Idempotency::Native { key_ttl: Duration::from_secs(86_400) });
    let report = check(Simulated::new(CarrierProfile::default(), native));
    report.assert_passed();
    assert!(report.skipped.is_empty(), "{report}");
}

#[test]
fn a_forgetful_carrier_passes_without_look_up() {
    // It sees no keys, so its side cannot be looked at either.
    let simulated = Simulated::new(CarrierProfile::default(), SimulatedDialer::forgetful);
    let report = check(move |situation: Situation, request: &mut DialRequest| simulated.provoke(situation, request));
    report.assert_passed();
    assert!(report.skipped.iter().any(|(name, _)| *name == "find agrees with the outcome"), "{report}");
}

#[test]
fn an_instant_carrier_passes() {
    let profile = |situation| match situation {
        Situation::Usual => Some(CarrierProfile::instant()),
        Situation::Throttled => Some(CarrierProfile { throttled: 1.0, ..CarrierProfile::instant() }),
        _ => None,
    };
    let fixture = move |situation: Situation, _: &mut DialRequest| -> Option<Arc<dyn Dialer>> {
        Some(Arc::new(SimulatedDialer::new(profile(situation)?, 1)))
    };
    check(fixture).assert_passed();
}

#[test]
fn the_scripted_dialer_passes() {
    let fixture = |situation: Situation, request: &mut DialRequest| -> Option<Arc<dyn Dialer>> {
        let usual = if request.channel == Channel::Call { Script::answered(20) } else { Script::ends(Disposition::Delivered) };
        let script = match situation {
            Situation::Usual => usual.after(Duration::from_secs(25)).placed("ref"),
            Situation::Busy => Script::ends(Disposition::Busy),
            Situation::Throttled => Script::throttled(Duration::from_secs(2)),
            Situation::Transient => Script::transient(),
            Situation::Permanent => Script::permanent(),
            Situation::Suppressed => Script::Error(DialError::Suppressed),
            Situation::LostAnswer => Script::in_doubt().after(Duration::from_secs(3)),
            Situation::Long => usual.after(Duration::from_secs(60)).placed("ref"),
            _ => return None,
        };
        let dialer = ScriptedDialer::default();
        dialer.on(move |_| Some(script.clone()));
        Some(Arc::new(dialer))
    };
    let report = check(fixture);
    report.assert_passed();
    assert_eq!(report.skipped.len(), 1, "{report}");
}

/// One way to break the contract.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Broken {
    IgnoresNotAfter,
    IgnoresCancellation,
    DialsWhenGivenUp,
    PlacesTwice,
    OtherReference,
    Panics,
    NeverReturns,
    MessageIsAnswered,
    LookUpLies,
    LookUpInvents,
    ForgetsDropped,
    ShowsNumber,
    BusyIsAnError,
    PlacedButCertain,
    NoChannels,
    InDoubtIsAnOutcome,
}

impl Broken {
    /// The checks that must find it; others may fail too.
    fn found_by(self) -> &'static str {
        match self {
            Self::IgnoresNotAfter => "nothing is handed over after not_after",
            Self::IgnoresCancellation => "giving up ends the attempt soon",
            Self::DialsWhenGivenUp => "nothing is handed over when given up before",
            Self::PlacesTwice | Self::OtherReference => "placed is said at most once, and the outcome has the same reference",
            Self::Panics | Self::NeverReturns | Self::MessageIsAnswered | Self::ShowsNumber | Self::InDoubtIsAnOutcome => {
                "an attempt ends with a fitting outcome on every channel"
            }
            Self::LookUpLies => "find agrees with the outcome",
            Self::LookUpInvents => "find does not invent attempts",
            Self::ForgetsDropped => "find knows an attempt whose future was dropped",
            Self::BusyIsAnError => "busy is an outcome, not an error",
            Self::PlacedButCertain => "a passing refusal is Transient",
            Self::NoChannels => "capabilities make sense",
        }
    }

    const ALL: [Broken; 16] = [
        Self::IgnoresNotAfter,
        Self::IgnoresCancellation,
        Self::DialsWhenGivenUp,
        Self::PlacesTwice,
        Self::OtherReference,
        Self::Panics,
        Self::NeverReturns,
        Self::MessageIsAnswered,
        Self::LookUpLies,
        Self::LookUpInvents,
        Self::ForgetsDropped,
        Self::ShowsNumber,
        Self::BusyIsAnError,
        Self::PlacedButCertain,
        Self::NoChannels,
        Self::InDoubtIsAnOutcome,
    ];
}

/// A dialer that is right in everything but one; `None` is right in all.
struct Dubious {
    broken: Option<Broken>,
    situation: Situation,
    /// Key to its end, `None` while it goes on.
    seen: Mutex<std::collections::HashMap<Arc<str>, Option<Outcome>>>,
}

#[async_trait]
impl Dialer for Dubious {
    fn capabilities(&self) -> Capabilities {
        let channels = if self.broken == Some(Broken::NoChannels) { Vec::new() } else { Channel::ALL.to_vec() };
        Capabilities { channels, ..Capabilities::default() }
    }

    async fn dial(&self, request: DialRequest, context: DialContext) -> Result<Outcome, DialError> {
        let is = |broken| self.broken == Some(broken);
        let late = context.now() > request.not_after && !is(Broken::IgnoresNotAfter);
        if late || (context.is_cancelled() && !is(Broken::DialsWhenGivenUp)) {
            return Err(DialError::Throttled { retry_after: Duration::ZERO });
        }
        let refusal = || DialError::Transient(Error::new(Kind::Provider, "no"));
        if self.situation == Situation::Transient {
            if is(Broken::PlacedButCertain) {
                let _ = context.placed("a").await;
            }
            return Err(refusal());
        }
        self.seen.lock().unwrap().insert(request.key.clone(), None);
        let _ = context.placed("a").await;
        if is(Broken::PlacesTwice) {
            let _ = context.placed("a").await;
        }
        assert!(!is(Broken::Panics), "broken on purpose");
        if is(Broken::NeverReturns) {
            std::future::pending::<()>().await;
        }
        let call = request.channel == Channel::Call;
        let mut outcome = Outcome::new(if call || is(Broken::MessageIsAnswered) { Disposition::Answered } else { Disposition::Delivered })
            .with_provider_ref(if is(Broken::OtherReference) { "b" } else { "a" });
        match self.situation {
            Situation::Busy if is(Broken::BusyIsAnError) => return Err(refusal()),
            Situation::Busy => outcome.disposition = Disposition::Busy,
            Situation::Long => {
                let wait = context.sleep(Duration::from_secs(60));
                tokio::select! {
                    () = wait => {}
                    () = context.cancelled(), if !is(Broken::IgnoresCancellation) => outcome.disposition = Disposition::Cancelled,
                }
            }
            _ => context.sleep(Duration::from_secs(5)).await,
        }
        if is(Broken::ShowsNumber) {
            outcome.detail = Some(format!("called {}", request.to.as_str()));
        }
        if is(Broken::InDoubtIsAnOutcome) {
            outcome.disposition = Disposition::InDoubt;
        }
        self.seen.lock().unwrap().insert(request.key.clone(), Some(outcome.clone()));
        Ok(outcome)
    }

    async fn find(&self, request: FindRequest) -> campaign_core::Result<Found> {
        let seen = self.seen.lock().unwrap();
        Ok(match seen.get(&request.key) {
            None if self.broken == Some(Broken::LookUpInvents) => Found::Running { provider_ref: "a".into() },
            None => Found::NeverHappened,
            Some(None) if self.broken == Some(Broken::ForgetsDropped) => Found::NeverHappened,
            Some(None) => Found::Running { provider_ref: "a".into() },
            Some(Some(_)) if self.broken == Some(Broken::LookUpLies) => Found::Ended(Outcome::new(Disposition::Failed)),
            Some(Some(outcome)) => Found::Ended(outcome.clone()),
        })
    }
}

fn dubious(broken: Option<Broken>) -> Report {
    check(move |situation: Situation, _: &mut DialRequest| -> Option<Arc<dyn Dialer>> {
        let can = matches!(situation, Situation::Usual | Situation::Busy | Situation::Transient | Situation::Long);
        can.then(|| Arc::new(Dubious { broken, situation, seen: Mutex::default() }) as Arc<dyn Dialer>)
    })
}

#[test]
fn the_suite_finds_every_way_to_break_the_contract() {
    dubious(None).assert_passed();
    for broken in Broken::ALL {
        let report = dubious(Some(broken));
        assert!(report.failed.iter().any(|(name, _)| *name == broken.found_by()), "{broken:?} was not found\n{report}");
    }
}

#[test]
fn debug_of_a_request_shows_neither_number_nor_text() {
    let request = sample_request(1, Channel::Sms, "2026-03-02T15:00:00Z".parse().unwrap());
    let text = format!("{request:?}");
    assert!(!text.contains("2025550142") && !text.contains("Ada"), "{text}");
}

#[test]
fn a_scripted_dialer_flags_a_second_hand_off() {
    let executor = VirtualExecutor::new("2026-03-02T15:00:00Z".parse().unwrap());
    let host = TestHost::new(Arc::new(executor.clone()));
    let request = sample_request(1, Channel::Call, "2026-03-02T15:00:00Z".parse().unwrap());
    let dialer = Arc::new(ScriptedDialer::default());
    dialer.next([Script::throttled(Duration::ZERO), Script::ends(Disposition::Busy)]);
    let shared = dialer.clone();
    executor.run(async move {
        assert!(matches!(shared.dial(request.clone(), host.context()).await, Err(DialError::Throttled { .. })));
        assert_eq!(shared.dial(request.clone(), host.context()).await.unwrap().disposition, Disposition::Busy);
        // What was throttled was not handed over.
        shared.assert_no_repeats();
        assert_eq!(shared.dial(request, host.context()).await.unwrap().disposition, Disposition::Answered);
    });
    assert_eq!(dialer.repeated().len(), 1);
    assert_eq!(dialer.requests().len(), 3);
    assert_eq!(dialer.in_flight(), (0, 1));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| dialer.assert_no_repeats())).is_err());
}
