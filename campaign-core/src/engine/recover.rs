//! Attempts nobody knows the end of: taken over from dead nodes, or left in doubt by the dialer.
//!
//! Never redialled blindly. The provider is asked; only when it says that the attempt never happened does the contact go back
//! into the queue, and when nobody can ever say, the contact ends as failed with the reason `in_doubt`.

use super::callbacks::Mailbox;
use super::core::{Core, Phase, later};
use super::handoff::Subject;
use super::plan;
use crate::dialer::{FindRequest, Found, Idempotency, News};
use crate::outcome::{Disposition, Outcome};
use crate::store::{Placed, TakeOver, TakenOver};
use crate::{Error, Kind, Result};
use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

/// Looks for attempts of dead nodes, at the start and then twice in the length of a lease.
pub(crate) async fn take_over(core: Arc<Core>) {
    loop {
        if core.phase() == Phase::Running {
            match take(&core).await {
                // A full batch: there may be more.
                Ok(taken) if taken >= core.options.batch as usize => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "looking for attempts of dead nodes failed; trying again"),
            }
        }
        if core.phase() == Phase::Stopped {
            return;
        }
        core.sleep(core.options.lease / 2).await;
    }
}

async fn take(core: &Arc<Core>) -> Result<usize> {
    let quarantine = core.options.longest_pause + core.capabilities.max_request_time + core.capabilities.lookup_lag;
    let request = TakeOver {
        token: core.token()?,
        quarantine: SignedDuration::try_from(quarantine).unwrap_or(SignedDuration::MAX),
        limit: core.options.batch,
        now: core.now(),
    };
    let taken = core.guarded(core.store.take_over(request)).await?;
    let count = taken.len();
    if count > 0 {
        tracing::info!(count, "took over attempts of a node that is gone; the provider is asked about each");
    }
    for TakenOver { attempt, contact, history } in taken {
        let id = attempt.campaign;
        core.take_off(id);
        match core.active(id).await {
            Ok(active) => {
                let since = attempt.start_at;
                let core = Arc::clone(core);
                let mailbox = Mailbox::open(&core, attempt.id);
                let subject = Subject { active, attempt, contact, history };
                Arc::clone(&core).spawn(async move { resolve(&core, subject, since, Doubt::Crash, &mailbox).await });
            }
            Err(error) => {
                tracing::error!(campaign = %id, %error, "an attempt that was taken over cannot be looked at");
                core.land(id);
            }
        }
    }
    Ok(count)
}

/// Where a doubt comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// The node died between the intent and the settlement.
    Crash,
    /// The dialer handed over and lost the answer.
    Dialer,
}

/// Asks the provider until it knows, or until nobody can know any more. `since` is the last moment the attempt can have been handed over.
/// A callback that comes meanwhile proves that it was, and may say how it ended.
pub(crate) async fn resolve(core: &Arc<Core>, subject: Subject, since: Timestamp, doubt: Doubt, mailbox: &Mailbox) {
    let capabilities = &core.capabilities;
    let mut news = hear(core, mailbox, later(since, capabilities.lookup_lag)).await;
    let spec = &subject.active.record.spec;
    let longest =
        Duration::from_secs(u64::from(spec.ring_timeout_seconds) + u64::from(spec.max_duration_seconds)) + capabilities.max_request_time;
    let give_up = later(since, longest + capabilities.lookup_lag + core.options.doubt_patience);
    let mut request = FindRequest {
        attempt_id: subject.attempt.id,
        key: Arc::clone(&subject.attempt.key),
        channel: subject.attempt.step.channel,
        to: subject.contact.person.phone.clone(),
        from: subject.attempt.from.clone(),
        since: subject.attempt.claimed_at,
        now: core.now(),
        provider_ref: subject.attempt.provider_ref.clone(),
    };
    let mut delay = Duration::from_secs(1);
    loop {
        if let Some(news) = news.take() {
            if let Some(outcome) = core.dialer.callbacks().and_then(|callbacks| callbacks.apply(None, &news)) {
                return core.end(plan::outcome(core, &subject, Some(since), outcome, core.now()));
            }
            if let Some(provider_ref) = news.provider_ref {
                learn(core, &subject, &mut request, provider_ref, since).await;
            }
        }
        let now = core.now();
        request.now = now;
        // The dialer is user code: a panic counts as "ask again later".
        let asked = AssertUnwindSafe(async { core.dialer.find(request.clone()).await }).catch_unwind().await;
        match asked.unwrap_or_else(|_| Err(Error::new(Kind::User, "the dialer panicked"))) {
            Ok(Found::Ended(outcome)) => return core.end(plan::outcome(core, &subject, Some(since), outcome, core.now())),
            Ok(Found::NeverHappened) => {
                return core.end(match doubt {
                    // Nobody knows whether the dead node tried at all, so nothing is held against the contact.
                    Doubt::Crash => {
                        plan::give_back(&subject, now, "never_happened", "The provider never saw the attempt; another follows.")
                    }
                    // The dialer tried and its request was lost: certainly not placed, which consumes an attempt, so that this too ends.
                    Doubt::Dialer => {
                        let outcome = Outcome::new(Disposition::Failed).with_detail("The request never reached the provider.");
                        plan::outcome(core, &subject, Some(since), outcome, now)
                    }
                });
            }
            Ok(Found::Running { provider_ref }) => {
                learn(core, &subject, &mut request, provider_ref, since).await;
            }
            Ok(Found::Unknown) if capabilities.idempotency == Idempotency::None => return core.end(in_doubt(core, &subject, since)),
            Ok(Found::Unknown) => {}
            Err(error) => tracing::debug!(%error, attempt = %subject.attempt.id, "the provider could not be asked; trying again"),
        }
        if now >= give_up {
            return core.end(in_doubt(core, &subject, since));
        }
        news = hear(core, mailbox, later(now, delay).min(give_up)).await;
        delay = (delay * 2).min(Duration::from_secs(60));
    }
}

/// Waits until then, or for news.
async fn hear(core: &Arc<Core>, mailbox: &Mailbox, until: Timestamp) -> Option<News> {
    tokio::select! {
        biased;
        news = mailbox.next() => Some(news),
        () = core.clock.sleep_until(until) => None,
    }
}

/// Makes a reference durable that was not known before.
async fn learn(core: &Arc<Core>, subject: &Subject, request: &mut FindRequest, provider_ref: String, since: Timestamp) {
    if request.provider_ref.as_deref() == Some(provider_ref.as_str()) {
        return;
    }
    request.provider_ref = Some(provider_ref.clone());
    let placed = Placed { attempt: subject.attempt.id, token: subject.attempt.claimed_by, provider_ref, at: since };
    if let Err(error) = core.guarded(core.store.placed(vec![placed])).await {
        tracing::warn!(%error, "the provider's reference was not stored");
    }
}

fn in_doubt(core: &Arc<Core>, subject: &Subject, since: Timestamp) -> super::settler::Ended {
    let outcome =
        Outcome::new(Disposition::InDoubt).with_detail("Nobody can say whether the person was reached, so nobody is called again.");
    plan::outcome(core, subject, Some(since), outcome, core.now())
}
