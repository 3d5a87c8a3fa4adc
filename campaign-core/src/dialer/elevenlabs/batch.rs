//! Whole lists handed over to ElevenLabs' batch API, and the states of their recipients mirrored.
//!
//! ElevenLabs calls when it likes within the plan: the engine's windows, limits, retries and caps do not hold for a batch. The calling
//! program leaves suppressed people out before it submits one.

use super::api::{Api, escaped, unreadable};
use super::config::ElevenLabsConfig;
use super::request::{KEY, person_variables};
use super::{errors, later};
use crate::contact::{NewContact, Variables};
use crate::dialer::DialError;
use crate::error::{Error, Kind, Result};
use crate::executor::Executor;
use crate::http::{Exchange, HttpClient, Method};
use crate::redact::debug_without;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;

/// The most recipients of one batch.
pub(super) const MOST_RECIPIENTS: usize = 10_000;
/// [`ElevenLabsBatch::follow`] gives up after so many looks in a row that failed.
const FAILING_LOOKS: u32 = 20;
/// [`ElevenLabsBatch::find`] looks through so many pages at the most.
const PAGES: usize = 20;

/// Where a batch stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchStatus {
    /// Its time has not come.
    Pending,
    /// It calls.
    InProgress,
    /// Every recipient has ended.
    Completed,
    /// It could not be carried out.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// A word that ElevenLabs has invented since.
    #[serde(untagged)]
    Other(String),
}

impl BatchStatus {
    /// Whether nothing more happens by itself; a retry begins it anew.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// Where a recipient stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecipientStatus {
    /// Waits.
    Pending,
    /// Taken up.
    Dispatched,
    /// It rings; or rang, and nobody took the call.
    Initiated,
    /// They talk.
    InProgress,
    /// They have talked.
    Completed,
    /// The call failed.
    Failed,
    /// The batch was cancelled before.
    Cancelled,
    /// A machine answered.
    Voicemail,
    /// A word that ElevenLabs has invented since.
    #[serde(untagged)]
    Other(String),
}

impl RecipientStatus {
    /// How far it is; a recipient never goes back within one round of calls.
    fn rank(&self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Dispatched => 1,
            Self::Initiated | Self::Other(_) => 2,
            Self::InProgress => 3,
            Self::Completed | Self::Failed | Self::Cancelled | Self::Voicemail => 4,
        }
    }

    /// Whether nothing more happens to it in this round.
    pub fn is_terminal(&self) -> bool {
        self.rank() == 4
    }
}

/// Somebody to be called in a batch.
#[derive(Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct BatchRecipient {
    /// An id of the calling program's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The number, in E.164.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_number: Option<String>,
    /// The WhatsApp id, for batches of WhatsApp calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whatsapp_user_id: Option<String>,
    /// `dynamic_variables`, `conversation_config_override` and the like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_initiation_client_data: Option<Value>,
    /// Fields that this version has no place for.
    #[serde(flatten)]
    pub more: Variables,
}

debug_without!(BatchRecipient { id } hides { phone_number, whatsapp_user_id, conversation_initiation_client_data, more });

impl BatchRecipient {
    /// A contact with its variables. `key` is unique for this call and comes back in callbacks and conversations, in `user_id`.
    pub fn from_contact(contact: &NewContact, key: &str) -> Self {
        let mut variables = person_variables(contact);
        variables.insert(KEY.to_owned(), key.into());
        Self {
            phone_number: Some(contact.phone.as_str().to_owned()),
            conversation_initiation_client_data: Some(json!({ "user_id": key, "dynamic_variables": variables })),
            ..Self::default()
        }
    }
}

/// A batch of WhatsApp calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchWhatsApp {
    /// The WhatsApp number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whatsapp_phone_number_id: Option<String>,
    /// The template that asks whether we may call.
    pub whatsapp_call_permission_request_template_name: String,
    /// Its language.
    pub whatsapp_call_permission_request_template_language_code: String,
}

/// A batch to be handed over. Its JSON form is that of ElevenLabs' request.
#[derive(Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct BatchSubmission {
    /// Its name. Unique names make a batch whose submission was in doubt findable.
    pub call_name: String,
    /// The agent; the account's default when it is empty.
    pub agent_id: String,
    /// The line; the account's default when it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_phone_number_id: Option<String>,
    /// Whom to call: 1 to 10,000.
    pub recipients: Vec<BatchRecipient>,
    /// When to begin, in seconds since 1970. Default: at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled_time_unix: Option<i64>,
    /// The zone that the time was meant in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Calls at once. Default: a share of what the workspace may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_concurrency_limit: Option<u32>,
    /// `ringing_timeout_secs`, `twilio_machine_detection` and the like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub telephony_call_config: Option<Value>,
    /// For WhatsApp calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whatsapp_params: Option<BatchWhatsApp>,
    /// Fields that this version has no place for, for example `branch_id` and `environment`.
    #[serde(flatten)]
    pub more: Variables,
}

debug_without!(BatchSubmission { call_name, agent_id, agent_phone_number_id, scheduled_time_unix, timezone, target_concurrency_limit, whatsapp_params }
    hides { recipients, telephony_call_config, more });

/// A batch, as ElevenLabs describes it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// ElevenLabs' id (`btcal_...`).
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// The agent.
    #[serde(default)]
    pub agent_id: String,
    /// Where it stands.
    pub status: BatchStatus,
    /// When it was made, in seconds since 1970.
    #[serde(default)]
    pub created_at_unix: i64,
    /// When it begins.
    #[serde(default)]
    pub scheduled_time_unix: Option<i64>,
    /// When it last changed.
    #[serde(default)]
    pub last_updated_at_unix: i64,
    /// Calls begun.
    #[serde(default)]
    pub total_calls_dispatched: u64,
    /// Calls planned.
    #[serde(default)]
    pub total_calls_scheduled: u64,
    /// Calls ended.
    #[serde(default)]
    pub total_calls_finished: u64,
    /// How often it was begun anew.
    #[serde(default)]
    pub retry_count: u32,
    /// Everything else: `phone_number_id`, `phone_provider`, `agent_name`, and what ElevenLabs invents later.
    #[serde(flatten)]
    pub more: Variables,
}

debug_without!(Batch { id, agent_id, status, created_at_unix, scheduled_time_unix, last_updated_at_unix, total_calls_dispatched,
    total_calls_scheduled, total_calls_finished, retry_count } hides { name, more });

/// A recipient, as ElevenLabs describes it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchCall {
    /// ElevenLabs' id of the recipient.
    pub id: String,
    /// The number.
    #[serde(default)]
    pub phone_number: Option<String>,
    /// The WhatsApp id.
    #[serde(default)]
    pub whatsapp_user_id: Option<String>,
    /// Where it stands.
    pub status: RecipientStatus,
    /// When it was added, in seconds since 1970.
    #[serde(default)]
    pub created_at_unix: i64,
    /// When it last changed.
    #[serde(default)]
    pub updated_at_unix: i64,
    /// The conversation, once there is one.
    #[serde(default)]
    pub conversation_id: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub more: Variables,
}

debug_without!(BatchCall { id, status, created_at_unix, updated_at_unix, conversation_id } hides { phone_number, whatsapp_user_id, more });

/// A batch with its recipients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchDetails {
    /// The recipients.
    #[serde(default)]
    pub recipients: Vec<BatchCall>,
    /// The batch.
    #[serde(flatten)]
    pub batch: Batch,
}

/// A recipient that is further than before.
#[derive(Debug, Clone, PartialEq)]
pub struct RecipientChange {
    /// The recipient's id.
    pub id: String,
    /// Where it stood; `None` when it was not known.
    pub from: Option<RecipientStatus>,
    /// Where it stands.
    pub to: RecipientStatus,
    /// Its conversation.
    pub conversation_id: Option<String>,
}

impl BatchDetails {
    /// Takes in a later look at the same batch and says what has changed. A look that is older than what is known already (answers may
    /// overtake each other) takes no recipient back; only a retry does.
    pub fn update(&mut self, seen: BatchDetails) -> Vec<RecipientChange> {
        let again = seen.batch.retry_count > self.batch.retry_count;
        let mut known: HashMap<&str, usize> = HashMap::with_capacity(self.recipients.len());
        known.extend(self.recipients.iter().enumerate().map(|(index, call)| (call.id.as_str(), index)));
        let places: Vec<Option<usize>> = seen.recipients.iter().map(|call| known.get(call.id.as_str()).copied()).collect();
        drop(known);
        let mut changes = Vec::new();
        for (call, place) in seen.recipients.into_iter().zip(places) {
            let change = |from| RecipientChange {
                id: call.id.clone(),
                from,
                to: call.status.clone(),
                conversation_id: call.conversation_id.clone(),
            };
            match place {
                None => {
                    changes.push(change(None));
                    self.recipients.push(call);
                }
                Some(place) => {
                    let old = &mut self.recipients[place];
                    if !again && call.status.rank() < old.status.rank() {
                        continue;
                    }
                    if call.status != old.status || call.conversation_id != old.conversation_id {
                        changes.push(change(Some(old.status.clone())));
                    }
                    *old = call;
                }
            }
        }
        if again || seen.batch.last_updated_at_unix >= self.batch.last_updated_at_unix {
            self.batch = seen.batch;
        }
        changes
    }

    /// How many recipients stand where.
    pub fn counts(&self) -> HashMap<RecipientStatus, u64> {
        let mut counts = HashMap::new();
        for call in &self.recipients {
            *counts.entry(call.status.clone()).or_insert(0) += 1;
        }
        counts
    }
}

/// A page of batches, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchPage {
    /// The batches.
    pub batch_calls: Vec<Batch>,
    /// Where the next page begins.
    #[serde(default)]
    pub next_doc: Option<String>,
    /// Whether there is one.
    #[serde(default)]
    pub has_more: Option<bool>,
}

/// Which batches to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BatchQuery {
    /// At most so many, 1 to 100.
    pub limit: Option<u32>,
    /// From where on: `next_doc` of the page before.
    pub last_doc: Option<String>,
    /// Of this agent.
    pub agent_id: Option<String>,
}

/// ElevenLabs' batch API. Cheap to clone.
#[derive(Clone)]
pub struct ElevenLabsBatch {
    api: Api,
    agent_id: Option<String>,
    line: Option<String>,
}

impl std::fmt::Debug for ElevenLabsBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ElevenLabsBatch").field("agent_id", &self.agent_id).finish_non_exhaustive()
    }
}

impl ElevenLabsBatch {
    /// For an account.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when the settings are wrong.
    pub fn new(config: &ElevenLabsConfig) -> Result<Self> {
        Ok(Self { api: Api::new(config)?, agent_id: config.agent_id.clone(), line: config.agent_phone_number_id.clone() })
    }

    /// With another HTTP client.
    #[must_use]
    pub fn with_http(self, http: HttpClient) -> Self {
        Self { api: self.api.with_http(http), ..self }
    }

    /// Hands a list over, once. When it is [`DialError::InDoubt`] the batch may exist: ask with [`ElevenLabsBatch::find`] before anything
    /// is submitted again.
    ///
    /// # Errors
    /// As [`crate::dialer::Dialer::dial`]; what is wrong with the list itself is [`DialError::Permanent`], and nothing was sent.
    pub async fn submit(&self, mut batch: BatchSubmission) -> Result<Batch, DialError> {
        if batch.agent_id.is_empty() {
            batch.agent_id = self.agent_id.clone().unwrap_or_default();
        }
        if batch.agent_phone_number_id.is_none() && batch.whatsapp_params.is_none() {
            batch.agent_phone_number_id = self.line.clone();
        }
        check(&batch).map_err(DialError::Permanent)?;
        let body =
            serde_json::to_value(&batch).map_err(|_| DialError::Permanent(Error::new(Kind::Internal, "the batch cannot be written")))?;
        match self.api.send(Method::Post, "/v1/convai/batch-calling/submit", Some(&body)).await {
            Exchange::NotSent(error) => Err(errors::not_sent(&error)),
            Exchange::Lost(error) => Err(DialError::InDoubt(error)),
            Exchange::Answered(answer) if answer.is_success() => {
                let read = answer.json().and_then(|value| serde_json::from_value(value).ok());
                read.ok_or_else(|| DialError::InDoubt(unreadable()))
            }
            Exchange::Answered(answer) => Err(errors::refused(&answer)),
        }
    }

    /// A batch whose submission was in doubt: the newest with this name that was made since then (seconds since 1970, by ElevenLabs' clock;
    /// allow for the difference).
    ///
    /// # Errors
    /// As [`ElevenLabsBatch::list`]; an error means "ask again later".
    pub async fn find(&self, call_name: &str, since_unix: i64) -> Result<Option<Batch>> {
        let mut query = BatchQuery { limit: Some(100), ..BatchQuery::default() };
        for _ in 0..PAGES {
            let page = self.list(&query).await?;
            let oldest = page.batch_calls.iter().map(|batch| batch.created_at_unix).min();
            let mut fits = page.batch_calls.into_iter().filter(|batch| batch.name == call_name && batch.created_at_unix >= since_unix);
            if let Some(found) = fits.next() {
                return Ok(Some(found));
            }
            query.last_doc = page.next_doc;
            if query.last_doc.is_none() || page.has_more == Some(false) || oldest.is_some_and(|oldest| oldest < since_unix) {
                break;
            }
        }
        Ok(None)
    }

    /// A batch with its recipients.
    ///
    /// # Errors
    /// [`Kind::NotFound`], and what is said at [`ElevenLabsBatch::cancel`].
    pub async fn get(&self, id: &str) -> Result<BatchDetails> {
        self.ask(Method::Get, &path(id, "")).await
    }

    /// A page of batches, newest first.
    ///
    /// # Errors
    /// As [`ElevenLabsBatch::cancel`].
    pub async fn list(&self, query: &BatchQuery) -> Result<BatchPage> {
        let mut path = format!("/v1/convai/batch-calling/workspace?limit={}", query.limit.unwrap_or(100));
        for (name, value) in [("last_doc", &query.last_doc), ("agent_id", &query.agent_id)] {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", escaped(value)));
            }
        }
        self.ask(Method::Get, &path).await
    }

    /// Ends a batch that waits or calls; who was not called yet is cancelled.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; [`Kind::State`] when it has ended already; [`Kind::Throttled`]; [`Kind::Provider`] when ElevenLabs cannot be
    /// reached or fails. The context `status` is the status of its answer.
    pub async fn cancel(&self, id: &str) -> Result<Batch> {
        self.ask(Method::Post, &path(id, "/cancel")).await
    }

    /// Begins it anew for those who failed or did not answer.
    ///
    /// # Errors
    /// As [`ElevenLabsBatch::cancel`]. A lost answer is no reason to repeat it: look at `retry_count` first.
    pub async fn retry(&self, id: &str) -> Result<Batch> {
        self.ask(Method::Post, &path(id, "/retry")).await
    }

    /// Deletes a batch and its recipients for good; conversations stay.
    ///
    /// # Errors
    /// As [`ElevenLabsBatch::cancel`].
    pub async fn delete(&self, id: &str) -> Result<()> {
        self.answer(Method::Delete, &path(id, "")).await.map(|_| ())
    }

    /// Mirrors a batch to its end: looks every so often and tells what has changed. Looks that fail are repeated; twenty in a row are an
    /// error.
    ///
    /// # Errors
    /// As [`ElevenLabsBatch::get`].
    pub async fn follow(
        &self,
        id: &str,
        clock: &dyn Executor,
        every: Duration,
        mut tell: impl FnMut(RecipientChange) + Send,
    ) -> Result<BatchDetails> {
        let mut mirror: Option<BatchDetails> = None;
        let mut failures = 0;
        loop {
            match self.get(id).await {
                Ok(seen) => {
                    failures = 0;
                    let known = mirror.get_or_insert_with(|| BatchDetails { recipients: Vec::new(), batch: seen.batch.clone() });
                    known.update(seen).into_iter().for_each(&mut tell);
                    if known.batch.status.is_terminal() {
                        return Ok(known.clone());
                    }
                }
                Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Invalid) => return Err(error),
                Err(error) => {
                    failures += 1;
                    if failures >= FAILING_LOOKS {
                        return Err(error);
                    }
                    tracing::debug!(%error, "a batch could not be looked at; trying again");
                }
            }
            clock.sleep_until(later(clock.now(), every)).await;
        }
    }

    async fn ask<T: serde::de::DeserializeOwned>(&self, method: Method, path: &str) -> Result<T> {
        let value = self.answer(method, path).await?.ok_or_else(unreadable)?;
        serde_json::from_value(value).map_err(|_| unreadable())
    }

    async fn answer(&self, method: Method, path: &str) -> Result<Option<Value>> {
        match self.api.send(method, path, None).await {
            Exchange::NotSent(error) | Exchange::Lost(error) => Err(error),
            Exchange::Answered(answer) if answer.is_success() => Ok(answer.json()),
            Exchange::Answered(answer) => Err(errors::failure(&answer)),
        }
    }
}

fn path(id: &str, then: &str) -> String {
    format!("/v1/convai/batch-calling/{}{then}", escaped(id))
}

/// What ElevenLabs would refuse, said before ten thousand people's data go over the wire.
fn check(batch: &BatchSubmission) -> Result<()> {
    if batch.call_name.is_empty() {
        return Err(Error::invalid("call_name", "must not be empty"));
    }
    if batch.agent_id.is_empty() {
        return Err(Error::invalid("agent_id", "no agent is named, neither by the batch nor by the account"));
    }
    if !(1..=MOST_RECIPIENTS).contains(&batch.recipients.len()) {
        return Err(Error::invalid("recipients", format!("must be 1 to {MOST_RECIPIENTS}, not {}", batch.recipients.len())));
    }
    for (index, recipient) in batch.recipients.iter().enumerate() {
        if recipient.phone_number.is_none() && recipient.whatsapp_user_id.is_none() {
            return Err(Error::invalid("recipients", "each must have a phone_number or a whatsapp_user_id").with("index", index));
        }
        let variables = recipient.conversation_initiation_client_data.as_ref().map(|data| &data["dynamic_variables"]);
        if variables.and_then(Value::as_object).is_some_and(|variables| variables.keys().any(|name| name.starts_with("system__"))) {
            return Err(Error::invalid("recipients", "names that begin with system__ are ElevenLabs' own").with("index", index));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(retry_count: u32, at: i64, recipients: &[(&str, &str)]) -> BatchDetails {
        let recipients: Vec<Value> = recipients.iter().map(|(id, status)| json!({ "id": id, "status": status, "new_field": 1 })).collect();
        let batch = json!({ "id": "btcal_1", "status": "in_progress", "retry_count": retry_count, "last_updated_at_unix": at, "agent_name": "A", "recipients": recipients });
        serde_json::from_value(batch).unwrap()
    }

    #[test]
    fn recipients_never_go_back_but_by_a_retry() {
        let mut mirror = details(0, 10, &[("a", "pending"), ("b", "initiated")]);
        let of = |changes: Vec<RecipientChange>| changes.into_iter().map(|change| (change.id, change.from, change.to)).collect::<Vec<_>>();
        use RecipientStatus::{Completed, InProgress, Initiated, Pending};
        let changes = mirror.update(details(0, 12, &[("a", "in_progress"), ("b", "completed"), ("c", "pending")]));
        let expected = [("a", Some(Pending), InProgress), ("b", Some(Initiated), Completed), ("c", None, Pending)];
        assert_eq!(of(changes), expected.map(|(id, from, to)| (id.to_owned(), from, to)));
        assert_eq!(mirror.update(details(0, 11, &[("a", "dispatched"), ("b", "in_progress")])), [], "an older look");
        assert_eq!((mirror.recipients[0].status.clone(), mirror.batch.last_updated_at_unix), (InProgress, 12));
        assert_eq!(of(mirror.update(details(1, 20, &[("b", "pending")]))), [("b".to_owned(), Some(Completed), Pending)], "a retry");
        assert_eq!(mirror.counts()[&Pending], 2);
    }

    #[test]
    fn unknown_words_and_fields_are_kept() {
        let seen = details(0, 1, &[("a", "teleported")]);
        assert_eq!(seen.recipients[0].status, RecipientStatus::Other("teleported".into()));
        assert!(!seen.recipients[0].status.is_terminal());
        let back = serde_json::to_value(&seen).unwrap();
        assert_eq!(
            (&back["agent_name"], &back["recipients"][0]["new_field"], &back["recipients"][0]["status"]),
            (&json!("A"), &json!(1), &json!("teleported"))
        );
    }

    #[test]
    fn what_is_wrong_with_a_list_is_said_before_it_is_sent() {
        let someone = |variable: &str| BatchRecipient {
            phone_number: Some("+12025550142".into()),
            conversation_initiation_client_data: Some(json!({ "dynamic_variables": { variable: 1 } })),
            ..BatchRecipient::default()
        };
        let batch = |recipients| BatchSubmission { call_name: "n".into(), agent_id: "a".into(), recipients, ..BatchSubmission::default() };
        assert!(check(&batch(vec![someone("x")])).is_ok());
        assert!(check(&batch(vec![])).is_err());
        assert!(check(&batch(vec![someone("x"); MOST_RECIPIENTS])).is_ok());
        assert!(check(&batch(vec![someone("x"); MOST_RECIPIENTS + 1])).is_err());
        assert!(check(&batch(vec![BatchRecipient::default()])).is_err());
        assert!(check(&batch(vec![someone("system__time")])).is_err());
        assert!(check(&BatchSubmission { agent_id: String::new(), ..batch(vec![someone("x")]) }).is_err());
        assert!(!format!("{:?}", batch(vec![someone("x")])).contains("2025550142"));
        assert!(!format!("{:?}", someone("x")).contains("2025550142"));
    }
}
