//! Any service that takes a signed JSON request and reports back. `docs/webhook-dialer.md` describes the protocol.
//!
//! | file | what is in it |
//! |---|---|
//! | `config` | the settings |
//! | `protocol` | what is said and how answers are read; the table of refusals |

mod config;
mod protocol;

pub use config::{Repetition, WebhookConfig};

use super::{
    CallPlan, Callback, CallbackAnswer, CallbackError, CallbackRequest, CallbackResponse, Callbacks, Capabilities, DialContext, DialError,
    DialRequest, Dialer, FindRequest, Found, Idempotency, InboundCall, News, OutboundMessage, Signal,
};
use crate::error::{Error, Kind, Result};
use crate::http::signature::WebhookSecret;
use crate::http::{Answer, Body, Exchange, HttpClient, Method};
use crate::outcome::{Disposition, Outcome};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use protocol::{Event, Question, Said};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Waits before a request is sent again to a service that ignores repetitions.
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];
/// After ring and talk at their longest and this much more the dialer gives up waiting; it stays below the engine's own patience.
const MARGIN: Duration = Duration::from_secs(30);
/// How long the end of a call is waited for after the wish to hang up.
const HANG_UP: Duration = Duration::from_secs(5);

/// Hands attempts to a service of yours, in whatever language.
///
/// ```
/// use campaign_core::dialer::webhook::{WebhookConfig, WebhookDialer};
///
/// let config: WebhookConfig = serde_json::from_value(serde_json::json!({
///     "url": "https://dialer.example.org/attempts",
///     "status_url": "https://dialer.example.org/attempts/status",
///     "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
///     "callback_url": "https://campaigns.example.org/callbacks/webhook-dialer",
/// }))?;
/// let dialer = WebhookDialer::new(config)?;
/// # let _ = dialer;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct WebhookDialer {
    config: Arc<WebhookConfig>,
    secrets: Arc<[WebhookSecret]>,
    http: HttpClient,
}

impl std::fmt::Debug for WebhookDialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookDialer").field("config", &self.config).finish_non_exhaustive()
    }
}

impl WebhookDialer {
    /// For a service.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when the settings are wrong; see [`WebhookConfig::validate`].
    pub fn new(config: WebhookConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self { secrets: config.secrets()?.into(), http: HttpClient::new(config.http())?, config: Arc::new(config) })
    }

    /// With another HTTP client, for example one that [holds](HttpClient::holding) a virtual clock.
    #[must_use]
    pub fn with_http(self, http: HttpClient) -> Self {
        Self { http, ..self }
    }

    /// The settings.
    pub fn config(&self) -> &WebhookConfig {
        &self.config
    }

    /// Sends a signed message. `id` is its `webhook-id`, `key` its idempotency key.
    async fn post(&self, url: &str, id: &str, key: &str, message: &Value, now: Timestamp) -> Exchange {
        let body = message.to_string().into_bytes();
        let signatures: Vec<String> = self.secrets.iter().map(|secret| secret.sign(id, now, &body)).collect();
        let (signature, seconds) = (signatures.join(" "), now.as_second().to_string());
        let mut headers = vec![
            ("webhook-id", id),
            ("webhook-timestamp", seconds.as_str()),
            ("webhook-signature", signature.as_str()),
            ("idempotency-key", key),
        ];
        headers.extend(self.config.headers.iter().map(|(name, value)| (name.as_str(), value.expose())));
        self.http.send(Method::Post, url, &headers, Body::Json(body)).await
    }

    /// Hands over. A service that ignores repetitions gets the request again when its answer was lost.
    async fn hand_over(&self, request: &DialRequest, context: &DialContext) -> Result<Said, DialError> {
        let message = protocol::dial(request, self.config.callback_url.as_deref());
        let mut waits = AGAIN.iter().take(if self.config.idempotency == Repetition::Native { AGAIN.len() } else { 0 });
        let mut lost = false;
        loop {
            let error = match self.post(&self.config.url, &request.key, &request.key, &message, context.now()).await {
                Exchange::Answered(answer) => match protocol::answer(&answer) {
                    // What was said to a repetition is said about the first request too, unless it only puts us off.
                    Err(DialError::Throttled { .. }) if lost => Error::new(Kind::Provider, "the service put off a repeated request"),
                    Err(DialError::InDoubt(error)) => error,
                    said => return said,
                },
                Exchange::NotSent(error) if !lost => {
                    tracing::warn!(%error, "the service cannot be reached; hand-offs wait");
                    return Err(DialError::Throttled { retry_after: protocol::WAIT });
                }
                Exchange::NotSent(error) | Exchange::Lost(error) => error,
            };
            lost = true;
            match waits.next() {
                Some(wait) => context.sleep(*wait).await,
                None => return Err(DialError::InDoubt(error)),
            }
            // The first request may never have arrived, so the second one is a hand-off too.
            if context.now() > request.not_after || context.is_cancelled() {
                return Err(DialError::InDoubt(error));
            }
        }
    }

    /// Asks what became of an attempt.
    async fn ask(&self, question: &Question<'_>) -> Result<Found> {
        let Some(url) = &self.config.status_url else { return Ok(Found::Unknown) };
        let id = format!("{}.find.{}", question.key, question.now.as_millisecond());
        match self.post(url, &id, &id, &protocol::find(question), question.now).await {
            Exchange::Answered(answer) => protocol::found(&answer),
            Exchange::NotSent(error) | Exchange::Lost(error) => Err(error),
        }
    }

    /// Waits for the end: told by a callback, or asked for.
    async fn wait(
        &self,
        request: &DialRequest,
        context: &DialContext,
        known: &mut Option<String>,
        until: Timestamp,
        give_up: bool,
    ) -> Result<Outcome, DialError> {
        let since = context.now();
        loop {
            let left = Duration::try_from(until.duration_since(context.now())).unwrap_or(Duration::ZERO);
            let pause =
                if self.config.status_url.is_some() { left.min(Duration::from_secs(self.config.poll_seconds.into())) } else { left };
            tokio::select! {
                biased;
                news = context.news() => {
                    if let Some(outcome) = protocol::terminal(&news) {
                        return Ok(self.ended(outcome, known));
                    }
                    if let Some(stage) = protocol::stage(&news) {
                        context.progress(stage);
                    }
                    learn(context, known, news.provider_ref).await;
                    continue;
                }
                () = context.cancelled(), if give_up => return self.hang_up(request, context, known).await,
                () = context.sleep(pause) => {}
            }
            let question = Question {
                attempt_id: request.attempt_id,
                key: &request.key,
                channel: request.channel,
                to: &request.to,
                from: request.from.as_deref(),
                since,
                now: context.now(),
                provider_ref: known.as_deref(),
            };
            let answer = self.ask(&question).await;
            match answer {
                Ok(Found::Ended(outcome)) => return Ok(self.ended(outcome, known)),
                Ok(Found::Running { provider_ref }) => learn(context, known, Some(provider_ref).filter(|text| !text.is_empty())).await,
                // It accepted the attempt, so it cannot mean that; the callback or a later answer says more.
                Ok(Found::NeverHappened | Found::Unknown) => {}
                Err(error) => tracing::debug!(%error, attempt = %request.attempt_id, "the service could not be asked; trying again"),
            }
            if context.now() >= until {
                return Err(DialError::InDoubt(Error::new(Kind::Provider, "the service did not say how the attempt ended")));
            }
        }
    }

    async fn hang_up(&self, request: &DialRequest, context: &DialContext, known: &mut Option<String>) -> Result<Outcome, DialError> {
        let goes_on = || DialError::InDoubt(Error::new(Kind::Provider, "given up, and nobody knows whether the service hung up"));
        let Some(url) = &self.config.cancel_url else { return Err(goes_on()) };
        let id = format!("{}.cancel", request.key);
        let message = protocol::cancel(request, known.as_deref());
        if let Exchange::Answered(answer) = self.post(url, &id, &id, &message, context.now()).await
            && let Ok(Said::Ended(outcome)) = protocol::answer(&answer)
        {
            return Ok(self.ended(outcome, known));
        }
        let until = later(context.now(), HANG_UP);
        Box::pin(self.wait(request, context, known, until, false)).await.map_err(|_| goes_on())
    }

    /// The reference that was made durable stays the attempt's.
    fn ended(&self, mut outcome: Outcome, known: &Option<String>) -> Outcome {
        outcome.provider_ref = known.clone().or(outcome.provider_ref);
        outcome
    }
}

async fn learn(context: &DialContext, known: &mut Option<String>, reference: Option<String>) {
    if let (None, Some(reference)) = (&known, reference) {
        // When the store does not take it the attempt goes on nevertheless; `find` knows it by its key.
        if let Err(error) = context.placed(reference.as_str()).await {
            tracing::warn!(%error, "the reference of an attempt was not stored");
        }
        *known = Some(reference);
    }
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.saturating_add(SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX)
}

#[async_trait]
impl Dialer for WebhookDialer {
    fn capabilities(&self) -> Capabilities {
        let once = self.config.request_time();
        let (idempotency, longest) = match self.config.idempotency {
            Repetition::Native => {
                let again: Duration = AGAIN.iter().sum();
                (
                    Idempotency::Native { key_ttl: Duration::from_secs(self.config.key_ttl_seconds.into()) },
                    once * (1 + AGAIN.len() as u32) + again,
                )
            }
            Repetition::CallbackRef => (Idempotency::CallbackRef, once),
        };
        Capabilities {
            channels: self.config.channels.clone(),
            idempotency,
            lookup_lag: Duration::from_secs(self.config.lookup_lag_seconds.into()),
            max_request_time: longest,
            account: self.config.account.as_deref().map(Arc::from),
            calls_per_second: self.config.calls_per_second,
            max_concurrent: self.config.max_concurrent,
            cancel: self.config.cancel_url.is_some(),
            machine_detection: self.config.machine_detection,
        }
    }

    async fn dial(&self, request: DialRequest, context: DialContext) -> Result<Outcome, DialError> {
        if context.is_cancelled() || context.now() > request.not_after {
            return Err(DialError::Throttled { retry_after: Duration::ZERO });
        }
        let mut known = None;
        match self.hand_over(&request, &context).await? {
            Said::Ended(outcome) => {
                learn(&context, &mut known, outcome.provider_ref.clone()).await;
                Ok(outcome)
            }
            Said::Accepted(reference) => {
                learn(&context, &mut known, reference).await;
                let until = later(context.now(), request.ring_timeout + request.max_duration + MARGIN);
                self.wait(&request, &context, &mut known, until, true).await
            }
        }
    }

    async fn find(&self, request: FindRequest) -> Result<Found> {
        let question = Question {
            attempt_id: request.attempt_id,
            key: &request.key,
            channel: request.channel,
            to: &request.to,
            from: request.from.as_deref(),
            since: request.since,
            now: request.now,
            provider_ref: request.provider_ref.as_deref(),
        };
        Ok(match self.ask(&question).await? {
            Found::Ended(outcome) => Found::Ended(self.ended(outcome, &request.provider_ref)),
            // Without a name of its own the attempt goes by its key.
            Found::Running { provider_ref } if provider_ref.is_empty() => {
                Found::Running { provider_ref: request.provider_ref.unwrap_or_else(|| request.key.to_string()) }
            }
            other => other,
        })
    }

    fn callbacks(&self) -> Option<&dyn Callbacks> {
        Some(self)
    }
}

#[async_trait]
impl Callbacks for WebhookDialer {
    fn serves(&self, path: &str) -> bool {
        path.trim_end_matches('/').ends_with(self.config.callback_path.trim_end_matches('/'))
    }

    fn read(&self, request: &CallbackRequest, now: Timestamp) -> Result<Callback, CallbackError> {
        let header = |name: &str| request.header(name).unwrap_or_default();
        let (id, at, signatures) = (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
        let signed = !id.is_empty()
            && self.secrets.iter().fold(false, |signed, secret| secret.verify(id, at, signatures, &request.body, now).is_ok() | signed);
        if !signed {
            return Err(CallbackError::Unsigned);
        }
        let ready = || CallbackAnswer::Ready(CallbackResponse::json(&serde_json::json!({ "ok": true })));
        Ok(match protocol::event(&request.body)? {
            Event::Attempt(attempt, news) => Callback { signals: vec![Signal::Attempt { attempt, news }], answer: ready() },
            Event::Message(message) => Callback { signals: vec![Signal::Message(message)], answer: ready() },
            Event::Call(call) => Callback { signals: Vec::new(), answer: CallbackAnswer::Call(call) },
            Event::Other => Callback { signals: Vec::new(), answer: ready() },
        })
    }

    fn apply(&self, outcome: Option<&Outcome>, news: &News) -> Option<Outcome> {
        let new = protocol::terminal(news)?;
        match outcome {
            None => Some(new),
            Some(old) => protocol::amended(old, new),
        }
    }

    fn answer_call(&self, _call: &InboundCall, plan: &CallPlan) -> CallbackResponse {
        CallbackResponse::json(&protocol::call_plan(plan))
    }

    async fn send(&self, message: OutboundMessage) -> Result<String, DialError> {
        match self.post(&self.config.url, &message.key, &message.key, &protocol::send(&message), message.now).await {
            Exchange::NotSent(_) => Err(DialError::Throttled { retry_after: protocol::WAIT }),
            Exchange::Lost(error) => Err(DialError::InDoubt(error)),
            Exchange::Answered(answer) => sent(&message, &answer),
        }
    }
}

fn sent(message: &OutboundMessage, answer: &Answer) -> Result<String, DialError> {
    let unnamed = || message.key.to_string();
    match protocol::answer(answer)? {
        Said::Accepted(reference) => Ok(reference.unwrap_or_else(unnamed)),
        Said::Ended(outcome) if matches!(outcome.disposition, Disposition::Sent | Disposition::Delivered) => {
            Ok(outcome.provider_ref.unwrap_or_else(unnamed))
        }
        Said::Ended(outcome) if outcome.disposition == Disposition::OptedOut => Err(DialError::Suppressed),
        Said::Ended(_) => Err(DialError::Permanent(Error::new(Kind::Provider, "the service did not send the message"))),
    }
}
