//! One attempt: wait for its slot, check the gates at that instant, dial.

use super::active::Active;
use super::callbacks::{Mailbox, NewsReader};
use super::core::{Core, Phase};
use super::inbound::Note;
use super::recover::{self, Doubt};
use super::settler::Ended;
use super::{inbound, plan, trace};
use crate::campaign::{ContactView, Next};
use crate::contact::{Contact, Variables};
use crate::dialer::{DialContext, DialError, DialHost, DialRequest, News};
use crate::event::EventKind;
use crate::id::{AttemptId, CampaignId, ContactId, NodeToken};
use crate::outcome::{Attempt, Channel, Disposition, Outcome};
use crate::policy::gates::{self, ContactFacts, Verdict};
use crate::schedule::ZoneClock;
use crate::store::{AttemptQuery, Claimed, Placed};
use crate::{Error, Kind, Result};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument;

/// A call that lasts this much longer than its longest ring, talk and request time together is given up as lost.
const OVERTIME: Duration = Duration::from_secs(60);
/// A hand-off happens this soon after its last look at the store began, or it looks again.
pub(crate) const LOOK_LASTS: Duration = Duration::from_millis(300);
/// A refused contact waits at least this long.
const LEAST_WAIT: Duration = Duration::from_secs(1);

/// Carries one claimed attempt through.
pub(crate) async fn hand_off(core: Arc<Core>, active: Arc<Active>, claimed: Claimed, changes: u64) {
    let Claimed { attempt, contact, history } = claimed;
    if core.now() < attempt.start_at {
        core.clock.sleep_until(attempt.start_at).await;
    }
    let mut subject = Subject { active, attempt, contact, history };

    // From the last look at the store to the first poll of the dialer; see `Core::admission`.
    let admission = core.admission.read().await;
    let request = match admit_fresh(&core, &mut subject, changes).await {
        Ok(request) => request,
        Err(ended) => {
            drop(admission);
            core.end(*ended);
            return;
        }
    };
    let started_at = core.now();
    let note = Note::begin(&core, &subject, request.texts.get("message"), started_at);
    // Open before the hand-off: a callback can overtake the answer to it.
    let mailbox = Mailbox::open(&core, subject.attempt.id);
    let host = Arc::new(Host {
        core: Arc::clone(&core),
        token: subject.attempt.claimed_by,
        attempt: subject.attempt.id,
        campaign: subject.active.id(),
        contact: subject.contact.id,
        news: mailbox.reader(),
        note: note.clone(),
    });
    let longest = request.ring_timeout + request.max_duration + core.capabilities.max_request_time + OVERTIME;
    let dialer = Arc::clone(&core.dialer);
    let span = trace::dial(&core, &subject.attempt);
    let dial = async move { dialer.dial(request, DialContext::new(host)).await }.instrument(span.clone());
    let mut dial = AssertUnwindSafe(dial).catch_unwind().boxed();
    let first = futures_util::poll!(&mut dial);
    drop(admission);
    let result = match first {
        std::task::Poll::Ready(result) => result,
        std::task::Poll::Pending => {
            let overdue = core.clock.sleep_until(super::core::later(started_at, longest));
            tokio::select! {
                biased;
                result = &mut dial => result,
                () = overdue => Ok(Err(DialError::InDoubt(Error::new(Kind::Provider, "the dialer did not return within the longest time a call can last")))),
            }
        }
    };
    drop(dial);
    trace::dialled(&span, &result);
    drop(span);
    // Taken out first: what a panic carries may not be looked at by two threads, so no reference to it may be held while waiting.
    let outcome = match &result {
        Ok(Ok(outcome)) if note.is_some() => Some(outcome.clone()),
        _ => None,
    };
    if let (Some(note), Some(outcome)) = (note, outcome) {
        note.ended(&outcome).await;
    }
    conclude(&core, subject, started_at, result, &mailbox).await;
}

/// An attempt with everything needed to decide about it.
pub(crate) struct Subject {
    pub(crate) active: Arc<Active>,
    pub(crate) attempt: Attempt,
    pub(crate) contact: Contact,
    pub(crate) history: Vec<Attempt>,
}

/// The gates, on a look at the store that is recent enough for [`Core::acknowledge`] to reckon with on other nodes.
async fn admit_fresh(core: &Arc<Core>, subject: &mut Subject, changes: u64) -> Result<DialRequest, Box<Ended>> {
    loop {
        let looked_at = core.clock.own();
        let request = admit(core, subject, changes).await?;
        if core.clock.own() <= super::core::later(looked_at, LOOK_LASTS) {
            return Ok(request);
        }
    }
}

/// The gates at the instant of hand-off. `Err` is the settlement of an attempt that must not be handed over.
async fn admit(core: &Arc<Core>, subject: &mut Subject, changes: u64) -> Result<DialRequest, Box<Ended>> {
    let back = |subject: &Subject, code: &str, text: &str| Box::new(plan::give_back(subject, core.now(), code, text));
    if core.phase() != Phase::Running {
        return Err(back(subject, "node_stopping", "The node is stopping; another attempt follows."));
    }
    let mut facts = ContactFacts::default();
    match core.hub.fresh_changes(core).await {
        Ok(now) if now == changes => {}
        // Somebody changed something since the claim: look at this attempt again with the store's own eyes.
        Ok(_) => match look_again(core, subject).await {
            Err(error) if error.kind() == Kind::Stale => {
                return Err(back(subject, "lease_lost", error.message()));
            }
            // What was claimed under the old limits and caller ids is claimed anew under the new ones.
            Ok(_) if subject.active.record.spec_version != subject.attempt.spec_version => {
                return Err(back(subject, "edited", "The campaign was edited; another attempt follows."));
            }
            Ok(found) => facts = found,
            Err(error) => return Err(back(subject, "store_unavailable", error.message())),
        },
        Err(error) => return Err(back(subject, "store_unavailable", error.message())),
    }
    let now = core.now();
    if now > subject.attempt.not_after {
        return Err(back(subject, "late", "The node was late for the slot; another one is taken."));
    }
    if !core.holds(subject.attempt.claimed_by) {
        // The claim belongs to others now; the settlement will be refused, which is how it should be.
        return Err(back(subject, "lease_lost", "The node lost its lease."));
    }
    if let Some(until) = *core.throttled_until.lock()
        && now < until
    {
        return Err(Box::new(plan::wait(subject, until, "throttled", "The provider asked to wait.")));
    }
    match plan::next(core, subject, now) {
        Next::Reach(step) if step == subject.attempt.step => {}
        Next::Reach(step) => return Err(Box::new(plan::replan(subject, now, step))),
        Next::Wait { until, step, reason } => return Err(Box::new(plan::postpone(subject, until, step, reason))),
        Next::Finish { status, reason } => return Err(Box::new(plan::finish(subject, status, reason))),
    }
    let spec = &subject.active.record.spec;
    let verdict = gates::evaluate_handoff(
        spec,
        subject.active.record.status,
        &subject.active.windows,
        &subject.contact,
        &facts,
        subject.attempt.step.channel,
        now,
    );
    match verdict {
        Verdict::Allow => {}
        verdict => return Err(Box::new(plan::blocked(subject, now, verdict))),
    }
    // The policy names the template: user code, whose panic ends the contact, not the engine.
    let mut request = match catch_unwind(AssertUnwindSafe(|| compose(subject, now))) {
        Ok(composed) => composed.map_err(|error| Box::new(plan::unusable(subject, &error)))?,
        Err(_) => return Err(Box::new(plan::panicked(subject))),
    };
    if request.channel == Channel::WhatsApp {
        // Free text or a template: decided now, not when the campaign was planned.
        let known = inbound::last_inbound_at(core, request.channel, request.from.as_deref(), &request.to).await;
        request.last_inbound_at = known.map_err(|error| back(subject, "store_unavailable", error.message()))?;
    }
    Ok(request)
}

/// Reads attempt, campaign, contact and suppression anew. [`Kind::Stale`] when the attempt belongs to others now: this node's clock stood
/// still longer than it knows, as that of a suspended machine does.
async fn look_again(core: &Arc<Core>, subject: &mut Subject) -> Result<ContactFacts> {
    let attempt = AttemptQuery { id: Some(subject.attempt.id), ..AttemptQuery::default() };
    let stored = core.guarded(core.store.attempts(attempt)).await?.items.pop();
    if !stored.is_some_and(|stored| stored.state.is_open() && stored.claimed_by == subject.attempt.claimed_by) {
        return Err(Error::new(Kind::Stale, "Another node has taken the attempt over."));
    }
    subject.active = core.fresh(subject.active.id()).await?;
    let id = subject.contact.id;
    subject.contact = core.guarded(core.store.contact(id)).await?.ok_or_else(|| Error::not_found("contact", id))?;
    core.guarded(core.store.facts(id, None, core.now())).await
}

/// Values of this one attempt.
fn extra(subject: &Subject) -> Variables {
    let mut extra = Variables::new();
    extra.insert("attempt_number".to_owned(), subject.attempt.number.into());
    extra.insert("campaign_name".to_owned(), subject.active.record.spec.name.as_str().into());
    extra
}

/// The text of a message.
pub(crate) fn message_text(subject: &Subject) -> Result<String> {
    let Subject { active, attempt, contact, .. } = subject;
    let name = active.policy.message_template(&attempt.step);
    active.templates.render(name, &contact.person, &extra(subject))
}

/// Everything the dialer needs.
fn compose(subject: &Subject, now: Timestamp) -> Result<DialRequest> {
    let Subject { active, attempt, contact, .. } = subject;
    let spec = &active.record.spec;
    let person = &contact.person;
    let extra = extra(subject);
    let mut texts: BTreeMap<Arc<str>, String> = BTreeMap::new();
    let channel = attempt.step.channel;
    let mut voicemail = spec.voicemail.clone();
    match channel {
        Channel::Call => {
            for name in active.templates.names() {
                texts.insert(Arc::from(name), active.templates.render(name, person, &extra)?);
            }
            voicemail.voicemail_message = texts.get("voicemail_message").cloned();
        }
        Channel::Sms | Channel::WhatsApp => {
            texts.insert(Arc::from("message"), message_text(subject)?);
        }
    }
    let valid_until = match (channel, active.windows.at(&person.zones, now)) {
        (Channel::Call, _) => None,
        (_, ZoneClock::Open { until }) => until,
        (_, ZoneClock::Closed { .. } | ZoneClock::Unknown) => Some(now),
    };
    let local = now.to_zoned(active.zone_of(&person.zones));
    Ok(DialRequest {
        attempt_id: attempt.id,
        key: Arc::clone(&attempt.key),
        campaign_id: active.id(),
        campaign_name: Arc::clone(&active.name),
        contact_id: contact.id,
        attempt_number: attempt.number,
        channel,
        to: person.phone.clone(),
        from: attempt.from.clone(),
        contact_name: person.name.as_deref().map(Arc::from),
        texts,
        variables: Arc::clone(person),
        assistant_id: spec.assistant_id,
        voicemail: Arc::new(voicemail),
        ring_timeout: Duration::from_secs(spec.ring_timeout_seconds.into()),
        max_duration: Duration::from_secs(spec.max_duration_seconds.into()),
        not_after: attempt.not_after,
        valid_until,
        local_hour: u8::try_from(local.hour()).unwrap_or(0),
        last_inbound_at: None,
        options: Arc::clone(&active.options),
    })
}

/// What a dial came to.
pub(crate) type Dialled = std::result::Result<Result<Outcome, DialError>, Box<dyn std::any::Any + Send>>;

/// Turns what the dialer said into a settlement, or asks the provider when it is not certain.
pub(crate) async fn conclude(core: &Arc<Core>, subject: Subject, started_at: Timestamp, result: Dialled, mailbox: &Mailbox) {
    let now = core.now();
    match result {
        Ok(Ok(outcome)) if outcome.disposition == Disposition::Cancelled && core.phase() >= Phase::HangingUp => {
            core.end(plan::hung_up(&subject, started_at, now));
        }
        Ok(Ok(outcome)) => core.end(plan::outcome(core, &subject, Some(started_at), outcome, now)),
        Ok(Err(DialError::Throttled { retry_after })) => {
            let until = super::core::later(now, retry_after);
            if retry_after > Duration::ZERO {
                let mut throttled = core.throttled_until.lock();
                *throttled = Some(throttled.map_or(until, |old| old.max(until)));
            }
            // A provider that names no time is not asked again at once.
            core.end(plan::refused(&subject, started_at, until.max(super::core::later(now, LEAST_WAIT))));
        }
        Ok(Err(DialError::Transient(error))) => {
            let outcome = Outcome::new(Disposition::Failed).with_detail(error.message());
            core.end(plan::outcome(core, &subject, Some(started_at), outcome, now));
        }
        Ok(Err(DialError::Permanent(error))) => {
            let outcome = Outcome::new(Disposition::Undeliverable).with_detail(error.message());
            core.end(plan::outcome(core, &subject, Some(started_at), outcome, now));
        }
        Ok(Err(DialError::Suppressed)) => {
            core.end(plan::outcome(core, &subject, Some(started_at), Outcome::new(Disposition::OptedOut), now));
        }
        Ok(Err(DialError::InDoubt(error))) => {
            tracing::warn!(attempt = %subject.attempt.id, %error, "in doubt; the provider is asked");
            let said = error.message().to_owned();
            recover::resolve(core, subject, started_at, Doubt::Dialer(said), mailbox).await;
        }
        Err(panic) => {
            let what = panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
            tracing::error!(attempt = %subject.attempt.id, panic = what.as_deref().unwrap_or("?"), "the dialer panicked; the provider is asked");
            let message = "The dialer panicked.".to_owned();
            core.hub.send(subject.active.id(), now, EventKind::Error { code: Kind::User.to_string(), message });
            recover::resolve(core, subject, started_at, Doubt::Dialer("It panicked.".to_owned()), mailbox).await;
        }
    }
}

/// The engine behind a [`DialContext`].
struct Host {
    core: Arc<Core>,
    token: NodeToken,
    attempt: AttemptId,
    campaign: CampaignId,
    contact: ContactId,
    news: NewsReader,
    note: Option<Arc<Note>>,
}

impl DialHost for Host {
    fn now(&self) -> Timestamp {
        self.core.now()
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        self.core.clock.sleep_until(until)
    }

    fn placed(&self, provider_ref: String) -> BoxFuture<'static, Result<()>> {
        let core = Arc::clone(&self.core);
        let note = self.note.clone();
        let placed = Placed { attempt: self.attempt, token: self.token, provider_ref: provider_ref.clone(), at: core.now() };
        Box::pin(async move {
            let stored = core.guarded(core.store.placed(vec![placed])).await;
            // Before the dialer waits for the end: an answer can come before the receipt.
            if let Some(note) = note {
                note.placed(&provider_ref).await;
            }
            stored
        })
    }

    fn progress(&self, stage: &str) {
        let kind = EventKind::ContactProgress { contact_id: self.contact, attempt_id: self.attempt, stage: stage.to_owned() };
        self.core.hub.send(self.campaign, self.core.now(), kind);
    }

    fn news(&self) -> BoxFuture<'static, News> {
        let news = self.news.clone();
        Box::pin(async move { news.next().await })
    }

    fn cancelled(&self) -> BoxFuture<'static, ()> {
        let mut phase = self.core.phase.subscribe();
        Box::pin(async move {
            let _ = phase.wait_for(|phase| *phase >= Phase::HangingUp).await;
        })
    }

    fn is_cancelled(&self) -> bool {
        self.core.phase() >= Phase::HangingUp
    }
}

/// What a contact view needs, made in one place.
pub(crate) fn view<'a>(core: &Core, active: &'a Active, contact: &'a Contact, history: &'a [Attempt]) -> ContactView<'a> {
    let seed = core.options.seed ^ (contact.id.0 as u64).rotate_left(20) ^ u64::from(contact.state.attempts);
    ContactView { contact, history, time_zone: &active.zone, seed }
}
