//! Attempts nobody knows the end of: taken over from dead nodes, or left in doubt by the dialer.
//!
//! Never redialled blindly. The provider is asked; only when it says that the attempt never happened does the contact go back
//! into the queue, and when nobody can ever say, the contact ends as failed with the reason `in_doubt`.

use super::callbacks::Mailbox;
use super::core::{Core, FIRST_WAIT, LONGEST_WAIT, Phase, later};
use super::handoff::Subject;
use super::{inbound, plan, trace};
use crate::dialer::{FindRequest, Found, Idempotency, News};
use crate::outcome::{Disposition, Outcome};
use crate::store::{AttemptQuery, Paging, Placed, TakeOver, TakenOver};
use crate::{Error, Kind, Result};
use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument;
use uuid::Uuid;

/// Looks for attempts of dead nodes, at the start and then twice in the length of a lease.
pub(crate) async fn take_over(core: Arc<Core>) {
    let mut request_id = Uuid::new_v4();
    loop {
        if core.phase() == Phase::Running {
            let taken = take(&core, request_id).await;
            // The answer may have been lost after the store took something for this node: the same request names it again, and nobody else
            // would ever look at it.
            if !taken.as_ref().is_err_and(|error| error.kind() == Kind::Unavailable) {
                request_id = Uuid::new_v4();
            }
            match taken {
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

async fn take(core: &Arc<Core>, request_id: Uuid) -> Result<usize> {
    let quarantine = core.options.longest_pause + core.capabilities.max_request_time + core.capabilities.lookup_lag;
    let request = TakeOver {
        request_id,
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
    for taken in taken {
        core.take_off(taken.attempt.campaign);
        let span = trace::attempt(core, &taken.attempt, None);
        core.spawn(look_into(Arc::clone(core), taken).instrument(span));
    }
    Ok(count)
}

/// Finds out what became of an attempt that is this node's business now. A store that cannot be reached is waited for: nobody else
/// would look at it while this node lives.
async fn look_into(core: Arc<Core>, taken: TakenOver) {
    let TakenOver { attempt, contact, history } = taken;
    let id = attempt.campaign;
    let mut wait = FIRST_WAIT;
    let active = loop {
        match core.active(id).await {
            Ok(active) => break active,
            Err(error) if error.kind() == Kind::Unavailable => core.sleep(wait).await,
            Err(error) => {
                tracing::error!(campaign = %id, %error, "an attempt that was taken over cannot be looked at");
                return core.land(id);
            }
        }
        wait = (2 * wait).min(LONGEST_WAIT);
    };
    let since = attempt.start_at;
    let mailbox = Mailbox::open(&core, attempt.id);
    resolve(&core, Subject { active, attempt, contact, history }, since, Doubt::Crash, &mailbox).await;
}

/// Where a doubt comes from.
#[derive(Debug)]
pub(crate) enum Doubt {
    /// The node died between the intent and the settlement.
    Crash,
    /// The dialer handed over and lost the answer; what it said of it.
    Dialer(String),
}

/// Asks the provider until it knows, or until nobody can know any more. `since` is the last moment the attempt can have been handed over.
/// A callback that comes meanwhile proves that it was, and may say how it ended.
pub(crate) async fn resolve(core: &Arc<Core>, subject: Subject, since: Timestamp, doubt: Doubt, mailbox: &Mailbox) {
    let capabilities = &core.capabilities;
    // A request may have had its effect at any moment until the dialer gave up on it. Attempts of dead nodes come out of their quarantine.
    let last_effect = if matches!(doubt, Doubt::Dialer(_)) { core.now() } else { since };
    let mut news = hear(core, mailbox, later(last_effect, capabilities.lookup_lag)).await;
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
        others: subject.history.iter().filter_map(|attempt| attempt.provider_ref.clone()).collect(),
    };
    let mut delay = Duration::from_secs(1);
    loop {
        if let Some(news) = news.take() {
            if let Some(outcome) = core.dialer.callbacks().and_then(|callbacks| callbacks.apply(None, &news)) {
                inbound::happened(core, &subject, Some(&outcome), news.provider_ref.as_deref(), since).await;
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
        let mut found = asked.unwrap_or_else(|_| Err(Error::new(Kind::User, "the dialer panicked")));
        match of_another(core, &request, &found).await {
            Ok(None) => {}
            // Found by number and time, and it belongs to somebody else: what else is there?
            Ok(Some(other)) if !request.others.contains(&other) => {
                request.others.push(other);
                continue;
            }
            Ok(Some(_)) => found = Ok(Found::Unknown),
            Err(error) => found = Err(error),
        }
        match found {
            Ok(Found::Ended(outcome)) => {
                inbound::happened(core, &subject, Some(&outcome), None, since).await;
                return core.end(plan::outcome(core, &subject, Some(since), outcome, core.now()));
            }
            Ok(Found::NeverHappened) => {
                return core.end(match &doubt {
                    // Nobody knows whether the dead node tried at all, so nothing is held against the contact.
                    Doubt::Crash => {
                        plan::give_back(&subject, now, "never_happened", "The provider never saw the attempt; another follows.")
                    }
                    // The dialer tried and its request was lost: certainly not placed, which consumes an attempt, so that this too ends.
                    Doubt::Dialer(_) => {
                        let outcome = Outcome::new(Disposition::Failed).with_detail("The request never reached the provider.");
                        plan::outcome(core, &subject, Some(since), outcome, now)
                    }
                });
            }
            Ok(Found::Running { provider_ref }) => {
                learn(core, &subject, &mut request, provider_ref, since).await;
            }
            Ok(Found::Unknown) if capabilities.idempotency == Idempotency::None => {
                return core.end(in_doubt(core, &subject, since, &doubt));
            }
            Ok(Found::Unknown) => {}
            Err(error) => tracing::debug!(%error, attempt = %subject.attempt.id, "the provider could not be asked; trying again"),
        }
        if now >= give_up {
            return core.end(in_doubt(core, &subject, since, &doubt));
        }
        news = hear(core, mailbox, later(now, delay).min(give_up)).await;
        delay = (delay * 2).min(Duration::from_secs(60));
    }
}

/// The reference that was found, when another attempt has it: a look-up by number and time cannot tell them apart.
async fn of_another(core: &Arc<Core>, request: &FindRequest, found: &Result<Found>) -> Result<Option<String>> {
    let named = match found {
        Ok(Found::Ended(outcome)) => outcome.provider_ref.as_ref(),
        Ok(Found::Running { provider_ref }) => Some(provider_ref),
        _ => None,
    };
    let Some(named) = named.filter(|_| request.provider_ref.is_none()) else { return Ok(None) };
    let paging = Paging { offset: 0, limit: 2 };
    let query = AttemptQuery { provider_ref: Some(named.clone()), paging, ..AttemptQuery::default() };
    let holders = core.guarded(core.store.attempts(query)).await?.items;
    Ok(holders.iter().any(|holder| holder.id != request.attempt_id).then(|| named.clone()))
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
    inbound::happened(core, subject, None, Some(&provider_ref), since).await;
    let placed = Placed { attempt: subject.attempt.id, token: subject.attempt.claimed_by, provider_ref, at: since };
    if let Err(error) = core.guarded(core.store.placed(vec![placed])).await {
        tracing::warn!(%error, "the provider's reference was not stored");
    }
}

fn in_doubt(core: &Arc<Core>, subject: &Subject, since: Timestamp, doubt: &Doubt) -> super::settler::Ended {
    let mut detail = "Nobody can say whether the person was reached, so nobody is called again.".to_owned();
    if let Doubt::Dialer(said) = doubt {
        detail.push_str(" The dialer said: ");
        detail.push_str(said);
    }
    plan::outcome(core, subject, Some(since), Outcome::new(Disposition::InDoubt).with_detail(detail), core.now())
}
