//! Spans of what a node does, for whoever watches with `tracing`: at the level of debugging, with ids and words of ours, and never with
//! anything about a person.
//!
//! `claim` stands alone. Each `attempt` does as well, from its claim, which it follows, until it is settled; in it lie `dial` and `settle`.
//! Numbers are signed, which every reader of spans takes for numbers. A dry run has none: nobody is called in it, and its clock is not the world's.

use super::core::Core;
use super::handoff::Dialled;
use super::settler::Ended;
use crate::dialer::DialError;
use crate::id::CampaignId;
use crate::outcome::Attempt;
use crate::store::AttemptEnd;
use tracing::field::Empty;
use tracing::{Span, debug_span};

/// One question to the store for attempts to make.
pub(crate) fn claim(core: &Core, campaign: CampaignId, max: u32) -> Span {
    if !core.traced {
        return Span::none();
    }
    debug_span!(parent: None, "claim", campaign.id = campaign.0, claim.max = i64::from(max), claim.attempts = Empty)
}

/// What a claim brought.
pub(crate) fn claimed(claim: &Span, attempts: usize) {
    claim.record("claim.attempts", attempts as i64);
}

/// One attempt, from its claim until it is settled. What came from a node that is gone was claimed by others.
pub(crate) fn attempt(core: &Core, attempt: &Attempt, claim: Option<&Span>) -> Span {
    if !core.traced {
        return Span::none();
    }
    let span = debug_span!(
        parent: None,
        "attempt",
        campaign.id = attempt.campaign.0,
        contact.id = attempt.contact.0,
        attempt.id = attempt.id.0,
        attempt.number = i64::from(attempt.number),
        attempt.channel = attempt.step.channel.as_str(),
        attempt.taken_over = claim.is_none(),
    );
    span.follows_from(claim.and_then(Span::id));
    span
}

/// The hand-over to the dialer, until it says how the call or message ended.
pub(crate) fn dial(core: &Core, attempt: &Attempt) -> Span {
    if !core.traced {
        return Span::none();
    }
    debug_span!("dial", attempt.id = attempt.id.0, dial.outcome = Empty)
}

/// How it ended: a disposition, or what kind of error.
pub(crate) fn dialled(dial: &Span, result: &Dialled) {
    let outcome = match result {
        Ok(Ok(outcome)) => outcome.disposition.as_str(),
        Ok(Err(DialError::Throttled { .. })) => "throttled",
        Ok(Err(DialError::Transient(_))) => "transient_error",
        Ok(Err(DialError::Permanent(_))) => "permanent_error",
        Ok(Err(DialError::Suppressed)) => "suppressed",
        Ok(Err(DialError::InDoubt(_))) => "in_doubt",
        Err(_) => "panicked",
    };
    dial.record("dial.outcome", outcome);
}

/// What stays open until an attempt is settled: `settle`, and the attempt around it, which ends after it.
#[derive(Debug)]
pub(crate) struct Open {
    settle: Span,
    attempt: Span,
}

impl Open {
    pub(crate) fn nothing() -> Self {
        Self { settle: Span::none(), attempt: Span::none() }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.settle = Span::none();
        // Its end is the last moment somebody was in it, and its task ended before.
        self.attempt.in_scope(|| {});
    }
}

/// From the end of an attempt, by whose task this is called, until that is durable.
pub(crate) fn settle(core: &Core, ended: &Ended) -> Open {
    if !core.traced {
        return Open::nothing();
    }
    let (end, disposition) = match &ended.settlement.end {
        AttemptEnd::Finished(outcome) => ("finished", Some(outcome.disposition.as_str())),
        AttemptEnd::Refused => ("refused", None),
        AttemptEnd::Unused => ("unused", None),
    };
    let settle = debug_span!(
        "settle",
        attempt.id = ended.settlement.attempt.0,
        attempt.end = end,
        attempt.disposition = disposition,
        contact.status = ended.settlement.transition.to().as_str(),
    );
    let attempt = if settle.is_disabled() { Span::none() } else { Span::current() };
    Open { settle, attempt }
}

#[cfg(test)]
mod tests {
    use crate::campaign::CampaignSpec;
    use crate::dialer::SimulatedDialer;
    use crate::engine::Engine;
    use crate::executor::VirtualExecutor;
    use crate::import::ImportSource;
    use crate::store::MemoryStore;
    use parking_lot::Mutex;
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    /// Counts spans by name, and looks at what is in them.
    #[derive(Default)]
    struct Counter {
        names: Arc<Mutex<BTreeMap<&'static str, usize>>>,
        next: AtomicU64,
    }

    impl Subscriber for Counter {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, span: &Attributes<'_>) -> Id {
            assert!(!format!("{span:?}").contains("555"), "{span:?}");
            *self.names.lock().entry(span.metadata().name()).or_default() += 1;
            Id::from_u64(self.next.fetch_add(1, Ordering::Relaxed) + 1)
        }

        fn record(&self, _: &Id, values: &Record<'_>) {
            assert!(!format!("{values:?}").contains("555"), "{values:?}");
        }

        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, _: &Event<'_>) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    fn spans(traced: bool) -> BTreeMap<&'static str, usize> {
        let counter = Counter::default();
        let names = Arc::clone(&counter.names);
        tracing::subscriber::with_default(counter, || {
            let clock = VirtualExecutor::new("2026-03-02T15:00:00Z".parse().unwrap());
            let inner = clock.clone();
            clock.run(async move {
                let builder = Engine::builder().store(MemoryStore::new()).dialer(SimulatedDialer::instant()).executor(inner);
                let engine = if traced { builder } else { builder.untraced() }.build().await.unwrap();
                let id = engine.create_campaign(CampaignSpec::call("Calls").build().unwrap()).await.unwrap().id;
                let rows = "phone_number,time_zone\n+12125550101,UTC\n+12125550102,UTC\n";
                let source = ImportSource::Bytes(rows.as_bytes().into());
                engine.import_contacts(id, source, Default::default()).await.unwrap();
                engine.start(id).await.unwrap();
                engine.wait(id).await.unwrap();
                engine.close().await.unwrap();
            });
        });
        Arc::try_unwrap(names).unwrap().into_inner()
    }

    #[test]
    fn an_attempt_is_watched_from_its_claim_to_its_settlement_and_a_dry_run_is_not() {
        let mut seen = spans(true);
        assert!(seen.remove("claim").is_some_and(|claims| claims >= 1));
        assert_eq!(seen, BTreeMap::from([("attempt", 2), ("dial", 2), ("settle", 2)]));
        assert_eq!(spans(false), BTreeMap::new());
    }
}
