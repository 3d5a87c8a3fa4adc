//! From the outbox to the receivers.
//!
//! Each target has its own queue and few deliveries under way at once, so that a receiver which hangs holds up nobody else. Redirects are
//! not followed, and names are looked up by the guarded resolver: an address that leads into a private network is not called.

use super::Webhooks;
use super::endpoint::Stored;
use super::outbox::{Delivery, Failure, Kept, WAITING};
use crate::api::voice_hooks as voice;
use campaign_core::http::signature::WebhookSecret;
use campaign_core::http::{Answer, Body, Exchange, HttpClient, HttpOptions, Method, Reach, is_public};
use campaign_core::{Engine, Kind, Result};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// The pauses after attempts that failed: a day in all. Each is made up to a tenth longer, so that what failed together does not come again
/// together.
pub const RETRY_AFTER: [Duration; 11] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(3600),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(4 * 3600),
    Duration::from_secs(7 * 3600),
    Duration::from_secs(9 * 3600),
];
/// How often a delivery is tried before it is a dead letter.
pub const ATTEMPTS: u32 = RETRY_AFTER.len() as u32 + 1;

/// Deliveries under way at once on this node.
const MOST: usize = 256;
/// Of one target.
const MOST_OF_TARGET: usize = 8;
/// So many failures in a row leave a target one delivery at a time.
const FAILING: u32 = 3;
/// A lease ends so long after the time-out of a delivery.
const LEASE_MARGIN: Duration = Duration::from_secs(10);
/// The outbox is looked at so often when nothing wakes.
const POLL: Duration = Duration::from_secs(2);
/// And not more often than this.
const LEAST: Duration = Duration::from_millis(20);
/// Deliveries read at a time.
const PAGE: u32 = 50;
/// The longest that a receiver's `Retry-After` is heeded.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(6 * 3600);

/// Sends what is due.
#[derive(Clone)]
pub(super) struct Sender(Arc<Inner>);

struct Inner {
    engine: Engine,
    webhooks: Webhooks,
    client: HttpClient,
    reach: Reach,
    lease: Duration,
    flying: Mutex<Flying>,
    landed: Notify,
}

#[derive(Default)]
struct Flying {
    total: usize,
    targets: HashMap<String, Target>,
}

#[derive(Default)]
struct Target {
    under_way: usize,
    failures: u32,
}

/// Where the deliveries of a target go.
#[derive(Clone)]
enum Route {
    Endpoint(Arc<Stored>),
    Voice(Arc<voice::Address>),
}

/// What a receiver made of a delivery.
enum Verdict {
    Taken,
    /// It wants no more.
    Gone(Failure),
    Failed(Failure, Option<Duration>),
}

/// Why nothing was sent to a name that leads into a network of one's own.
const PRIVATE: &str =
    "refused: the name leads to a private or local address; the server's setting webhooks.reach says where webhooks may lead";

/// Whether a name leads to no public address: then nobody was called.
async fn is_private(url: &str) -> bool {
    let Ok(parsed) = url::Url::parse(url) else { return false };
    let (Some(host), Some(port)) = (parsed.host_str(), parsed.port_or_known_default()) else { return false };
    let Ok(addresses) = tokio::net::lookup_host((host, port)).await else { return false };
    let found: Vec<_> = addresses.collect();
    !found.is_empty() && !found.iter().any(|address| is_public(address.ip()))
}

fn later(at: Timestamp, time: Duration) -> Timestamp {
    let span = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    at.saturating_add(span).unwrap_or(Timestamp::MAX)
}

impl Sender {
    pub(super) fn new(engine: Engine, webhooks: Webhooks, reach: Reach, timeout: Duration) -> Result<Self> {
        let options = HttpOptions { timeout, reach, max_answer: 64 * 1024, ..HttpOptions::default() };
        let client = HttpClient::new(options)?.holding(Arc::clone(engine.executor()));
        let lease = timeout + LEASE_MARGIN;
        Ok(Self(Arc::new(Inner { engine, webhooks, client, reach, lease, flying: Mutex::default(), landed: Notify::new() })))
    }

    pub(super) async fn run(self) {
        let inner = &self.0;
        let executor = inner.engine.executor();
        loop {
            let next = self.round().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "the outbox of webhooks could not be looked through; trying again");
                None
            });
            let now = inner.engine.now();
            let wait = next.map_or(POLL, |next| Duration::try_from(next.duration_since(now)).unwrap_or_default());
            let until = later(executor.now(), wait.clamp(LEAST, POLL));
            tokio::select! {
                () = inner.webhooks.wake.notified() => {}
                () = inner.landed.notified() => {}
                () = executor.sleep_until(until) => {}
            }
        }
    }

    /// Begins everything that is due and has room. Returns when the next is due.
    async fn round(&self) -> Result<Option<Timestamp>> {
        let mut next: Option<Timestamp> = None;
        let mut behind: Option<String> = None;
        while let Some(target) = self.0.webhooks.outbox.next_target(behind.as_deref()).await? {
            // One target that cannot be read is no reason to leave the others waiting.
            match self.target(&target).await {
                Ok(due) => next = next.into_iter().chain(due).min(),
                Err(error) => tracing::warn!(%error, target, "the webhooks of a target could not be begun; trying again"),
            }
            behind = Some(target);
        }
        Ok(next)
    }

    async fn target(&self, target: &str) -> Result<Option<Timestamp>> {
        let outbox = &self.0.webhooks.outbox;
        let now = self.0.engine.now();
        let mut next: Option<Timestamp> = None;
        let mut behind: Option<String> = None;
        let mut route: Option<Route> = None;
        loop {
            let page = outbox.of_target(WAITING, target, behind.as_deref(), PAGE).await?;
            let last = page.len() < PAGE as usize;
            behind = page.last().map(|kept| kept.key.clone());
            for kept in page {
                if kept.delivery.due > now {
                    return Ok(next.into_iter().chain([kept.delivery.due]).min());
                }
                if let Some(until) = kept.delivery.leased_until.filter(|until| *until > now) {
                    next = next.into_iter().chain([until]).min();
                    continue;
                }
                if route.is_none() {
                    route = self.route(target).await?;
                }
                let Some(route) = &route else {
                    // Whom it was for is not there any more.
                    outbox.done(&kept).await?;
                    continue;
                };
                if matches!(route, Route::Endpoint(stored) if !stored.endpoint.enabled) {
                    return Ok(None);
                }
                let Some(place) = self.take_off(target) else {
                    // A landing looks again.
                    return Ok(next);
                };
                let until = later(now, self.0.lease);
                if outbox.lease(&kept, until).await?.is_none() {
                    continue;
                }
                let (sender, route) = (self.clone(), route.clone());
                self.0.engine.executor().spawn(Box::pin(async move { sender.deliver(kept, route, place).await }));
            }
            if last {
                return Ok(next);
            }
        }
    }

    /// One more delivery to a target, when there is room.
    fn take_off(&self, target: &str) -> Option<Place> {
        let mut flying = self.0.flying.lock();
        let total = flying.total;
        let entry = flying.targets.entry(target.to_owned()).or_default();
        let room = if entry.failures >= FAILING { 1 } else { MOST_OF_TARGET };
        if total >= MOST || entry.under_way >= room {
            return None;
        }
        entry.under_way += 1;
        flying.total += 1;
        drop(flying);
        Some(Place { sender: self.clone(), target: target.to_owned(), failed: true })
    }

    async fn route(&self, target: &str) -> Result<Option<Route>> {
        if let Some((campaign, hook)) = voice::of_target(target) {
            return match self.0.engine.get_campaign(campaign).await {
                Ok(record) => Ok(voice::address(&record.spec, hook).map(|address| Route::Voice(Arc::new(address)))),
                Err(error) if error.kind() == Kind::NotFound => Ok(None),
                Err(error) => Err(error),
            };
        }
        Ok(self.0.webhooks.stored(target).await?.map(|(stored, _)| Route::Endpoint(Arc::new(stored))))
    }

    async fn deliver(&self, kept: Kept, route: Route, mut place: Place) {
        let verdict = self.send(&kept.delivery, &route).await;
        place.failed = !matches!(verdict, Verdict::Taken);
        let noted = self.note(&kept, verdict, &route).await;
        if let Err(error) = noted {
            // The lease runs out, and it is sent again.
            tracing::warn!(%error, id = %kept.delivery.id, "what became of a webhook could not be noted");
        }
    }

    async fn send(&self, delivery: &Delivery, route: &Route) -> Verdict {
        let now = self.0.engine.now();
        let seconds = now.as_second().to_string();
        let body = delivery.body.clone().into_bytes();
        let (url, name, signature) = match route {
            Route::Endpoint(stored) => {
                let signed = stored.secrets(now).map(|secret| Ok(WebhookSecret::parse(secret)?.sign(&delivery.id, now, &body)));
                match signed.collect::<Result<Vec<String>>>() {
                    Ok(signatures) => (stored.endpoint.url.as_str(), "webhook-signature", Some(signatures.join(" "))),
                    Err(error) => return failed(now, None, error.message().to_owned(), None),
                }
            }
            Route::Voice(address) => (address.url.as_str(), "x-webhook-signature", address.signature(now, &body)),
        };
        let mut headers = vec![("webhook-id", delivery.id.as_str()), ("webhook-timestamp", seconds.as_str())];
        headers.extend(signature.as_deref().map(|signature| (name, signature)));
        match self.0.client.send(Method::Post, url, &headers, Body::Json(body)).await {
            Exchange::Answered(answer) => judged(self.0.engine.now(), &answer),
            Exchange::NotSent(_) if self.0.reach == Reach::Public && is_private(url).await => {
                failed(self.0.engine.now(), None, PRIVATE.to_owned(), None)
            }
            Exchange::NotSent(error) | Exchange::Lost(error) => failed(self.0.engine.now(), None, error.message().to_owned(), None),
        }
    }

    async fn note(&self, kept: &Kept, verdict: Verdict, route: &Route) -> Result<()> {
        let outbox = &self.0.webhooks.outbox;
        let delivery = kept.delivery.clone();
        let attempts = delivery.attempts + 1;
        match verdict {
            Verdict::Taken => {
                tracing::debug!(id = %delivery.id, attempts, "a webhook was taken");
                outbox.done(kept).await
            }
            Verdict::Gone(failure) => {
                if let Route::Endpoint(stored) = route {
                    let (id, now) = (stored.endpoint.id.as_str(), failure.at);
                    tracing::warn!(webhook = id, "the receiver is gone; the webhook is disabled");
                    let disabled = self.0.webhooks.edit(id, |stored| {
                        stored.endpoint.enabled = false;
                        stored.endpoint.updated_at = now;
                        Ok(())
                    });
                    match disabled.await {
                        Err(error) if error.kind() == Kind::NotFound => {}
                        other => drop(other?),
                    }
                }
                let now = failure.at;
                outbox.bury(kept, Delivery { attempts, failure: Some(failure), ..delivery }, now).await
            }
            Verdict::Failed(failure, retry_after) => {
                let now = failure.at;
                tracing::info!(id = %delivery.id, attempts, status = failure.status, reason = %failure.reason, "a webhook was not taken");
                match pause(attempts, &delivery.id) {
                    Some(pause) => {
                        let due = later(now, pause.max(retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER)));
                        outbox.put_off(kept, Delivery { attempts, due, failure: Some(failure), ..delivery }).await
                    }
                    None => {
                        tracing::warn!(id = %delivery.id, attempts, "a webhook is a dead letter now");
                        outbox.bury(kept, Delivery { attempts, failure: Some(failure), ..delivery }, now).await
                    }
                }
            }
        }
    }
}

/// One delivery under way; lands when it is dropped.
struct Place {
    sender: Sender,
    target: String,
    failed: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        let inner = &self.sender.0;
        let mut flying = inner.flying.lock();
        flying.total -= 1;
        if let Some(entry) = flying.targets.get_mut(&self.target) {
            entry.under_way -= 1;
            entry.failures = if self.failed { entry.failures.saturating_add(1) } else { 0 };
            if entry.under_way == 0 && entry.failures == 0 {
                flying.targets.remove(&self.target);
            }
        }
        drop(flying);
        inner.landed.notify_one();
    }
}

fn judged(now: Timestamp, answer: &Answer) -> Verdict {
    let reason = match answer.status {
        200..300 => return Verdict::Taken,
        300..400 => "the receiver answered with a redirect, which is not followed".to_owned(),
        status => format!("the receiver answered {status}"),
    };
    let failure = Failure { at: now, status: Some(answer.status), reason };
    if answer.status == 410 { Verdict::Gone(failure) } else { Verdict::Failed(failure, answer.retry_after()) }
}

fn failed(at: Timestamp, status: Option<u16>, reason: String, retry_after: Option<Duration>) -> Verdict {
    Verdict::Failed(Failure { at, status, reason }, retry_after)
}

/// The pause after so many attempts; `None` when they were enough.
fn pause(attempts: u32, id: &str) -> Option<Duration> {
    let pause = *RETRY_AFTER.get(attempts.checked_sub(1)? as usize)?;
    let spread = id.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))) % 100;
    Some(pause + pause * spread / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_over_a_day() {
        let total: Duration = (1..ATTEMPTS).map(|attempts| pause(attempts, "").unwrap()).sum();
        assert!(total > Duration::from_secs(23 * 3600) && total < Duration::from_secs(24 * 3600), "{total:?}");
        assert_eq!((pause(ATTEMPTS, ""), pause(0, "")), (None, None));
        for attempts in 1..ATTEMPTS {
            let (least, some) = (RETRY_AFTER[attempts as usize - 1], pause(attempts, "evt_1").unwrap());
            assert!(some >= least && some <= least + least / 10, "{attempts}: {some:?}");
        }
    }
}
