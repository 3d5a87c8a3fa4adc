//! Agents of ElevenLabs: calls through Twilio, a SIP trunk or WhatsApp, messages through WhatsApp, and batches.
//!
//! [`ElevenLabsDialer`] carries out single attempts, so limits, windows, retries and the suppression list are the engine's.
//! [`ElevenLabsBatch`] hands a whole list over; what happens then is ElevenLabs' business, and only its states are mirrored.
//!
//! | file | what is in it |
//! |---|---|
//! | `config` | the settings of an account |
//! | `request` | what ElevenLabs is asked to do for an attempt |
//! | `errors` | the table of what its refusals mean |
//! | `conversation` | what a conversation says about its attempt |
//! | `callbacks` | its webhooks |
//! | `batch` | its batch API |
//! | `api` | connections and keys |
//!
//! ElevenLabs knows no idempotency keys. The attempt's key travels in `user_id` and in a dynamic variable; conversations are found by it.

mod api;
mod batch;
mod callbacks;
mod config;
mod conversation;
mod errors;
mod request;

pub use batch::{
    Batch, BatchCall, BatchDetails, BatchPage, BatchQuery, BatchRecipient, BatchStatus, BatchSubmission, BatchWhatsApp, ElevenLabsBatch,
    RecipientChange, RecipientStatus,
};
pub use callbacks::sign_webhook;
pub use config::{CallVia, ElevenLabsConfig, MachineDetection, Region, WhatsAppSettings, WhatsAppTemplate};

use super::{Callbacks, Capabilities, DialContext, DialError, DialRequest, Dialer, FindRequest, Found, Idempotency};
use crate::error::{Error, Kind, Result};
use crate::http::{Exchange, HttpClient, Method};
use crate::outcome::{Channel, Disposition, Outcome};
use api::{Api, escaped};
use async_trait::async_trait;
use conversation::Stage;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// A phone that has been let ring for its time and this much longer rings no more.
const RING_MARGIN: Duration = Duration::from_secs(30);
/// A conversation that has ended is written up within this time, or settled with what is known.
const WRITE_UP: Duration = Duration::from_secs(60);
/// After ring and talk at their longest and this much more the dialer gives up watching; it stays below the engine's own patience.
const TALK_MARGIN: Duration = Duration::from_secs(30);
/// No carrier lets a phone ring for longer (Twilio: 600 s and a buffer). For look-ups, which do not know the campaign's setting.
const LONGEST_RING: SignedDuration = SignedDuration::from_secs(660);
/// Conversations of one attempt that are looked at. More than one is a fault already.
const CANDIDATES: usize = 20;

/// Calls and messages by ElevenLabs agents.
///
/// ```
/// use campaign_core::dialer::elevenlabs::{ElevenLabsConfig, ElevenLabsDialer};
///
/// let config: ElevenLabsConfig = serde_json::from_value(serde_json::json!({
///     "api_key": "your_key",
///     "agent_id": "agent_0123",
///     "agent_phone_number_id": "phnum_0123",
///     "webhook_secrets": ["wsec_0123"],
/// }))?;
/// let dialer = ElevenLabsDialer::new(config)?;
/// # let _ = dialer;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ElevenLabsDialer {
    api: Api,
    config: Arc<ElevenLabsConfig>,
}

impl std::fmt::Debug for ElevenLabsDialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ElevenLabsDialer").field("config", &self.config).finish_non_exhaustive()
    }
}

impl ElevenLabsDialer {
    /// For an account.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when the settings are wrong; see [`ElevenLabsConfig::validate`].
    pub fn new(config: ElevenLabsConfig) -> Result<Self> {
        Ok(Self { api: Api::new(&config)?, config: Arc::new(config) })
    }

    /// With another HTTP client, for example one that [holds](HttpClient::holding) a virtual clock.
    #[must_use]
    pub fn with_http(self, http: HttpClient) -> Self {
        Self { api: self.api.with_http(http), ..self }
    }

    /// The settings.
    pub fn config(&self) -> &ElevenLabsConfig {
        &self.config
    }

    /// Waits for the end of a call: told by a callback, or asked for.
    async fn watch(&self, request: &DialRequest, context: &DialContext, mut known: Option<String>) -> Result<Outcome, DialError> {
        let began = context.now();
        let rings_until = later(began, request.ring_timeout + RING_MARGIN);
        let talks_until = later(began, request.ring_timeout + request.max_duration + TALK_MARGIN);
        let (mut heard, mut written_up_by, mut stage) = (None::<String>, None::<Timestamp>, Stage::Initiated);
        let conclude = |mut outcome: Outcome, heard: &Option<String>, presumed: bool| {
            if let Some(verdict) = heard {
                conversation::hear(&mut outcome, verdict);
            }
            if presumed {
                outcome.data.insert(conversation::PRESUMED.to_owned(), true.into());
            }
            outcome
        };
        loop {
            let news = tokio::select! {
                biased;
                news = context.news() => Some(news),
                // The API has no way to hang up, so the call goes on; whoever asks later finds its end.
                () = context.cancelled() => return Err(DialError::InDoubt(Error::new(Kind::Provider, "given up while the call goes on; ElevenLabs cannot hang it up"))),
                () = context.sleep(self.config.poll()) => None,
            };
            let seen = match news {
                Some(news) => {
                    if let Some(outcome) = callbacks::terminal(&news, self.config.credit_price) {
                        return Ok(conclude(Outcome { provider_ref: outcome.provider_ref.or(known), ..outcome }, &heard, false));
                    }
                    if let Some(verdict) = callbacks::verdict(&news) {
                        heard = Some(verdict.to_owned());
                    }
                    self.learn(context, &mut known, news.provider_ref).await;
                    continue;
                }
                // A failing look changes nothing about the call; the next one follows.
                None => self.look(&request.key, known.as_deref()).await.unwrap_or_default(),
            };
            let now = context.now();
            if let Some(seen) = &seen {
                self.learn(context, &mut known, conversation::id(seen).map(str::to_owned)).await;
                let before = std::mem::replace(&mut stage, conversation::stage(seen));
                match stage {
                    Stage::Ended => return Ok(conclude(conversation::outcome(seen, self.config.credit_price), &heard, false)),
                    Stage::Processing => {
                        let by = *written_up_by.get_or_insert_with(|| later(now, WRITE_UP));
                        if now >= by {
                            return Ok(conclude(conversation::outcome(seen, self.config.credit_price), &heard, true));
                        }
                    }
                    Stage::Talking if before == Stage::Initiated => context.progress("answered"),
                    Stage::Talking | Stage::Initiated => {}
                }
            }
            // ElevenLabs leaves the conversation of a call that nobody took as it began.
            if now >= rings_until && stage == Stage::Initiated && (seen.is_some() || known.is_none()) {
                return match known {
                    Some(id) => Ok(conclude(unanswered(&id), &heard, true)),
                    None => {
                        Err(DialError::InDoubt(Error::new(Kind::Provider, "ElevenLabs accepted the call and shows no conversation of it")))
                    }
                };
            }
            if now >= talks_until {
                return Err(DialError::InDoubt(Error::new(Kind::Provider, "the conversation goes on for longer than a call may last")));
            }
        }
    }

    /// Makes the conversation's id durable as soon as it is known.
    async fn learn(&self, context: &DialContext, known: &mut Option<String>, id: Option<String>) {
        if let (None, Some(id)) = (&known, id) {
            // When the store does not take it the call goes on nevertheless; `find` knows it by its key.
            if let Err(error) = context.placed(id.as_str()).await {
                tracing::warn!(%error, "the id of a conversation was not stored");
            }
            *known = Some(id);
        }
    }

    /// The conversation of an attempt: by its id, or by the attempt's key.
    async fn look(&self, key: &str, id: Option<&str>) -> Result<Option<Value>> {
        match id {
            Some(id) => self.api.get(&format!("/v1/convai/conversations/{}", escaped(id))).await,
            None => match self.search(key).await? {
                Search::Found(conversation) => Ok(Some(conversation)),
                Search::Nothing | Search::Unclear => Ok(None),
            },
        }
    }

    /// Looks for an attempt's conversation by its key, which is in `user_id`. Nothing is filtered by time: a call that waits for a line
    /// may have no time yet, and would be taken for one that never happened.
    async fn search(&self, key: &str) -> Result<Search> {
        let path = format!("/v1/convai/conversations?user_id={}&page_size=100&summary_mode=exclude", escaped(key));
        let list = self.api.get(&path).await?.ok_or_else(api::unreadable)?;
        let rows = list["conversations"].as_array().ok_or_else(api::unreadable)?;
        let mut oldest: Option<(i64, Value)> = None;
        let mut count = 0;
        for id in rows.iter().filter_map(conversation::id).take(CANDIDATES) {
            let Some(found) = self.api.get(&format!("/v1/convai/conversations/{}", escaped(id))).await? else { continue };
            if conversation::key(&found) != Some(key) {
                continue;
            }
            count += 1;
            let at = found["metadata"]["start_time_unix_secs"].as_i64().unwrap_or(i64::MAX);
            if oldest.as_ref().is_none_or(|(earliest, _)| at < *earliest) {
                oldest = Some((at, found));
            }
        }
        if count > 1 {
            tracing::error!(count, "ElevenLabs has several conversations of one attempt; the oldest is taken");
        }
        Ok(match oldest {
            Some((_, found)) => Search::Found(found),
            None if rows.is_empty() => Search::Nothing,
            // Conversations of others: the filter was not understood, so nothing follows from it.
            None => Search::Unclear,
        })
    }
}

enum Search {
    Found(Value),
    Nothing,
    Unclear,
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.saturating_add(SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX)
}

/// Nobody took the call, as far as can be concluded.
fn unanswered(id: &str) -> Outcome {
    Outcome::new(Disposition::NoAnswer).with_detail("The phone rang out without an answer.").with_provider_ref(id)
}

#[async_trait]
impl Dialer for ElevenLabsDialer {
    fn capabilities(&self) -> Capabilities {
        let sends = self.config.whatsapp.as_ref().is_some_and(|whatsapp| whatsapp.message_template.is_some());
        Capabilities {
            channels: if sends { vec![Channel::Call, Channel::WhatsApp] } else { vec![Channel::Call] },
            idempotency: Idempotency::CallbackRef,
            lookup_lag: Duration::from_secs(self.config.lookup_lag_seconds.into()),
            max_request_time: self.config.request_time(),
            account: Some(self.config.account.as_str().into()),
            calls_per_second: self.config.calls_per_second,
            max_concurrent: self.config.max_concurrent,
            cancel: false,
            machine_detection: true,
        }
    }

    async fn dial(&self, request: DialRequest, context: DialContext) -> Result<Outcome, DialError> {
        if context.is_cancelled() || context.now() > request.not_after {
            return Err(DialError::Throttled { retry_after: Duration::ZERO });
        }
        let placement = request::placement(&self.config, &request)?;
        let answer = match self.api.send(Method::Post, placement.path, Some(&placement.body)).await {
            Exchange::NotSent(error) => return Err(errors::not_sent(&error)),
            Exchange::Lost(error) => return Err(DialError::InDoubt(error)),
            Exchange::Answered(answer) => answer,
        };
        let placed = errors::placed(&answer)?;
        let mut known = None;
        self.learn(&context, &mut known, placed.conversation_id).await;
        if request.channel != Channel::Call {
            context.progress("sent");
            let mut outcome = Outcome::new(Disposition::Sent);
            outcome.provider_ref = known;
            return Ok(outcome);
        }
        context.progress("ringing");
        let mut outcome = self.watch(&request, &context, known).await?;
        if let Some(call_id) = placed.call_id {
            outcome.data.insert("call_id".to_owned(), json!(call_id));
        }
        Ok(outcome)
    }

    async fn find(&self, request: FindRequest) -> Result<Found> {
        let seen = match &request.provider_ref {
            // It was placed, so whatever is not found is not seen, and not absent.
            Some(id) => match self.look(&request.key, Some(id)).await? {
                Some(seen) => seen,
                None => return Ok(Found::Unknown),
            },
            None => match self.search(&request.key).await? {
                Search::Found(seen) => seen,
                Search::Nothing => return Ok(Found::NeverHappened),
                Search::Unclear => return Ok(Found::Unknown),
            },
        };
        let id = conversation::id(&seen).map(str::to_owned).or(request.provider_ref).unwrap_or_default();
        if request.channel != Channel::Call {
            // A message has left when it has a conversation; how that goes on is another matter.
            return Ok(Found::Ended(Outcome::new(Disposition::Sent).with_provider_ref(id)));
        }
        Ok(match conversation::stage(&seen) {
            Stage::Ended => Found::Ended(conversation::outcome(&seen, self.config.credit_price)),
            Stage::Initiated if request.now.duration_since(request.since) > LONGEST_RING => {
                let mut outcome = unanswered(&id);
                outcome.data.insert(conversation::PRESUMED.to_owned(), true.into());
                Found::Ended(outcome)
            }
            Stage::Initiated | Stage::Talking | Stage::Processing => Found::Running { provider_ref: id },
        })
    }

    fn callbacks(&self) -> Option<&dyn Callbacks> {
        Some(self)
    }
}
