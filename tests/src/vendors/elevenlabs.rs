//! ElevenLabs' agents API: conversations, batches and webhooks that live on a clock. Its judge is the vendor's own client.

use super::loopback::{Reply, Request, Server, unescaped};
use campaign_core::dialer::CallbackRequest;
use campaign_core::dialer::elevenlabs::sign_webhook;
use campaign_core::executor::SharedExecutor;
use campaign_core::http::{Body, Exchange, HttpClient, HttpOptions, Method, Secret};
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The key that is taken.
pub const KEY: &str = "xi-simulated-key";
/// Signs webhooks.
pub const SECRET: &str = "wsec_simulated";

/// What a person (or a machine, or nobody) does with a call.
#[derive(Debug, Clone, Copy)]
pub struct Fate {
    /// Seconds it rings.
    pub ring: i64,
    /// Seconds they talk; 0 when nobody picks up.
    pub talk: i64,
    /// Seconds ElevenLabs takes to write it up.
    pub write_up: i64,
    /// `answered`, `voicemail`, `busy`, `no_answer` or `failed`.
    pub result: &'static str,
    /// The agent found the machine out with its tool; the carrier says `answered`.
    pub by_tool: bool,
    /// A conversation that nobody took stays as it began, as the real ones do; only the webhook tells.
    pub stays_initiated: bool,
}

impl Fate {
    /// Somebody picks up after four seconds and talks.
    pub fn answers(talk: i64) -> Self {
        Self { ring: 4, talk, write_up: 2, result: "answered", by_tool: false, stays_initiated: false }
    }

    /// Nobody talks.
    pub fn not_answered(result: &'static str) -> Self {
        Self { talk: 0, write_up: 0, result, ..Self::answers(0) }
    }
}

/// What goes wrong with one request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It is refused with this status and body; a 429 may name seconds to wait.
    Refuse(u16, Value, Option<u32>),
    /// The connection breaks off before anything was done.
    BreakBefore,
    /// It is carried out, and the connection breaks off before the answer.
    BreakAfter,
    /// It is carried out, and the answer cannot be read.
    Unreadable,
}

/// How webhooks are delivered.
#[derive(Debug, Clone, Copy, Default)]
pub struct Delivery {
    /// Seconds later than usual.
    pub late: i64,
    /// Each comes twice.
    pub twice: bool,
    /// The last first, and a recording before everything.
    pub reversed: bool,
    /// What Twilio's machine detection heard, told as well.
    pub heard: Option<&'static str>,
}

/// Takes a webhook and answers with a status.
pub type Sink = Arc<dyn Fn(CallbackRequest) -> BoxFuture<'static, u16> + Send + Sync>;

#[derive(Clone)]
struct Conversation {
    id: String,
    at: Timestamp,
    fate: Fate,
    line: &'static str,
    request: Value,
}

#[derive(Clone)]
struct Recipient {
    id: String,
    body: Value,
    begins: Timestamp,
    fate: Fate,
    cancelled: bool,
}

#[derive(Clone)]
struct BatchState {
    id: String,
    at: Timestamp,
    body: Value,
    recipients: Vec<Recipient>,
    cancelled: bool,
    retries: u32,
}

#[derive(Default)]
struct State {
    conversations: Vec<Conversation>,
    batches: Vec<BatchState>,
    faults: VecDeque<(String, Fault)>,
    fates: HashMap<String, Fate>,
    usual: Option<Fate>,
    requests: Vec<(String, Value)>,
    answers_of_sink: Vec<u16>,
    list_lag: i64,
    sink: Option<(Sink, Delivery)>,
    ignores_filter: bool,
}

/// One workspace. Cheap to clone; serves until the last clone is dropped.
#[derive(Clone)]
pub struct ElevenLabs {
    inner: Arc<Inner>,
    server: Arc<Server>,
}

struct Inner {
    clock: SharedExecutor,
    state: Mutex<State>,
}

impl ElevenLabs {
    /// Starts one on this clock. Call it inside of a tokio runtime.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start(clock: SharedExecutor) -> io::Result<Self> {
        let inner = Arc::new(Inner { clock, state: Mutex::new(State { list_lag: 10, ..State::default() }) });
        let serving = Arc::clone(&inner);
        let server = Server::start(move |request| {
            let reply = serving.handle(&request);
            async move { reply }
        })?;
        Ok(Self { inner, server: Arc::new(server) })
    }

    /// Where it is.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// What everybody does who is not in [`ElevenLabs::fate_of`].
    pub fn usually(&self, fate: Fate) {
        self.inner.state().usual = Some(fate);
    }

    /// What the person with this number does.
    pub fn fate_of(&self, number: &str, fate: Fate) {
        self.inner.state().fates.insert(number.trim_start_matches('+').to_owned(), fate);
    }

    /// What goes wrong with the next request whose path contains this text.
    pub fn fail_next(&self, path: &str, fault: Fault) {
        self.inner.state().faults.push_back((path.to_owned(), fault));
    }

    /// Webhooks go there.
    pub fn tell(&self, sink: Sink, delivery: Delivery) {
        self.inner.state().sink = Some((sink, delivery));
    }

    /// Webhooks are posted to this URL.
    ///
    /// # Panics
    /// When there can be no HTTP client.
    pub fn post_to(&self, url: &str) {
        let client = HttpClient::new(HttpOptions::default()).expect("an HTTP client");
        let url: Arc<str> = url.into();
        let post = move |request: CallbackRequest| -> BoxFuture<'static, u16> {
            let (client, url) = (client.clone(), Arc::clone(&url));
            Box::pin(async move {
                let headers: Vec<(&str, &str)> = request
                    .headers
                    .iter()
                    .filter(|(name, _)| !name.eq_ignore_ascii_case("content-type"))
                    .map(|(name, value)| (name.as_str(), value.as_str()))
                    .collect();
                match client.send(Method::Post, &url, &headers, Body::Json(request.body)).await {
                    Exchange::Answered(answer) => answer.status,
                    Exchange::NotSent(_) | Exchange::Lost(_) => 0,
                }
            })
        };
        self.tell(Arc::new(post), Delivery::default());
    }

    /// The list of conversations takes no notice of `user_id`, as an older region might.
    pub fn ignore_filter(&self) {
        self.inner.state().ignores_filter = true;
    }

    /// How often this key was handed over and carried out.
    pub fn hand_offs(&self, key: &str) -> u64 {
        self.inner.state().conversations.iter().filter(|one| user_id(&one.request) == Some(key)).count() as u64
    }

    /// Every request that asked for something to be done, with its path.
    pub fn requests(&self) -> Vec<(String, Value)> {
        self.inner.state().requests.clone()
    }

    /// What the other side answered to webhooks.
    pub fn told(&self) -> Vec<u16> {
        self.inner.state().answers_of_sink.clone()
    }

    /// Begins a conversation that nobody of ours asked for, as an incoming call does.
    pub fn call_from_elsewhere(&self) {
        self.inner.place("twilio", json!({ "agent_id": "agent_1", "to_number": "+12025550199" }));
    }
}

fn user_id(request: &Value) -> Option<&str> {
    request["conversation_initiation_client_data"]["user_id"].as_str()
}

fn after(at: Timestamp, seconds: i64) -> Timestamp {
    at + SignedDuration::from_secs(seconds)
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(self: &Arc<Self>, request: &Request) -> Reply {
        let path = request.path().to_owned();
        if request.header("xi-api-key") != Some(KEY) {
            return Reply::json(401, &json!({ "detail": { "status": "invalid_api_key", "message": "Invalid API key" } }));
        }
        let fault = {
            let mut state = self.state();
            let place = state.faults.iter().position(|(part, _)| path.contains(part.as_str()));
            place.and_then(|place| state.faults.remove(place)).map(|(_, fault)| fault)
        };
        match &fault {
            Some(Fault::Refuse(status, body, wait)) => {
                let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
                headers.extend(wait.map(|seconds| ("retry-after".to_owned(), seconds.to_string())));
                return Reply::Answer { status: *status, headers, body: body.to_string().into_bytes() };
            }
            Some(Fault::BreakBefore) => return Reply::BreakOff,
            _ => {}
        }
        let reply = self.answer(request, &path);
        match fault {
            Some(Fault::BreakAfter) => Reply::BreakOff,
            Some(Fault::Unreadable) => Reply::Answer { status: 200, headers: Vec::new(), body: b"<html>".to_vec() },
            _ => reply,
        }
    }

    fn answer(self: &Arc<Self>, request: &Request, path: &str) -> Reply {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (request.method.as_str(), parts.as_slice()) {
            ("POST", ["v1", "convai", line @ ("twilio" | "sip-trunk" | "whatsapp"), what @ ("outbound-call" | "outbound-message")]) => {
                self.hand_off(line, what, request)
            }
            ("GET", ["v1", "convai", "conversations"]) => self.list(request),
            ("GET", ["v1", "convai", "conversations", id]) => {
                let id = unescaped(id);
                let found = self.state().conversations.iter().find(|one| one.id == id).cloned();
                found.map_or_else(|| missing("conversation"), |one| Reply::json(200, &self.describe(&one)))
            }
            ("POST", ["v1", "convai", "batch-calling", "submit"]) => self.submit(request),
            ("GET", ["v1", "convai", "batch-calling", "workspace"]) => self.batches(request),
            (method, ["v1", "convai", "batch-calling", id, rest @ ..]) => self.batch(method, &unescaped(id), rest),
            _ => missing("route"),
        }
    }

    fn hand_off(self: &Arc<Self>, line: &str, what: &str, request: &Request) -> Reply {
        let body = request.json();
        self.state().requests.push((request.path().to_owned(), body.clone()));
        let needed: &[&str] = match (line, what) {
            ("whatsapp", "outbound-message") => {
                &["whatsapp_phone_number_id", "whatsapp_user_id", "template_name", "template_language_code", "template_params", "agent_id"]
            }
            ("whatsapp", _) => &[
                "whatsapp_phone_number_id",
                "whatsapp_user_id",
                "whatsapp_call_permission_request_template_name",
                "whatsapp_call_permission_request_template_language_code",
                "agent_id",
            ],
            _ => &["agent_id", "agent_phone_number_id", "to_number"],
        };
        if let Some(field) = needed.iter().find(|field| body[**field].is_null()) {
            return invalid(field);
        }
        let variables = &body["conversation_initiation_client_data"]["dynamic_variables"];
        let plain = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
        if variables.as_object().is_some_and(|all| all.iter().any(|(name, value)| name.starts_with("system__") || !plain(value))) {
            return invalid("dynamic_variables");
        }
        if what == "outbound-message" {
            let id = self.place("message", body);
            return Reply::json(200, &json!({ "conversation_id": id }));
        }
        let line = match line {
            "twilio" => "twilio",
            "sip-trunk" => "sip_trunking",
            _ => "whatsapp",
        };
        let id = self.place(line, body);
        let mut answer = json!({ "success": true, "message": "Outbound call initiated", "conversation_id": id });
        match line {
            "twilio" => answer["callSid"] = format!("CA{id}").into(),
            "sip_trunking" => answer["sip_call_id"] = format!("SIP{id}").into(),
            _ => {}
        }
        Reply::json(200, &answer)
    }

    fn place(self: &Arc<Self>, line: &'static str, request: Value) -> String {
        let at = self.clock.now();
        let conversation = {
            let mut state = self.state();
            let to = request["to_number"].as_str().or(request["whatsapp_user_id"].as_str()).unwrap_or_default().trim_start_matches('+');
            let fate = state.fates.get(to).copied().or(state.usual).unwrap_or(Fate::answers(20));
            let id = format!("conv_{:04}", state.conversations.len() + 1);
            let conversation = Conversation { id, at, fate, line, request };
            state.conversations.push(conversation.clone());
            conversation
        };
        let id = conversation.id.clone();
        self.announce(conversation);
        id
    }

    fn describe(&self, one: &Conversation) -> Value {
        let Conversation { id, at, fate, line, request } = one;
        let passed = self.clock.now().duration_since(*at).as_secs();
        let taken = matches!(fate.result, "answered" | "voicemail");
        let talked = (passed - fate.ring).clamp(0, fate.talk);
        let ended = if taken { passed >= fate.ring + fate.talk + fate.write_up } else { passed >= fate.ring && !fate.stays_initiated };
        let status = match () {
            _ if *line == "message" => "in-progress",
            _ if ended && fate.result == "failed" => "failed",
            _ if ended => "done",
            _ if passed < fate.ring || !taken => "initiated",
            _ if passed < fate.ring + fate.talk => "in-progress",
            _ => "processing",
        };
        let mut transcript = vec![];
        if taken && passed >= fate.ring {
            transcript.push(json!({ "role": "agent", "message": "Hello, this is a simulated agent.", "time_in_call_secs": 0 }));
        }
        if ended && taken {
            if fate.by_tool {
                transcript.push(json!({
                    "role": "agent", "message": null, "time_in_call_secs": 2,
                    "tool_calls": [{ "request_id": "t1", "tool_name": "voicemail_detection", "params_as_json": "{}", "tool_has_been_called": true, "type": "system" }],
                    "tool_results": [{
                        "request_id": "t1", "tool_name": "voicemail_detection", "result_value": "{}", "is_error": false,
                        "tool_has_been_called": true, "type": "system",
                        "result": { "result_type": "voicemail_detection_success", "status": "success", "voicemail_message": "Please call us.", "reason": "greeting" },
                    }],
                }));
            } else {
                transcript.push(json!({ "role": "user", "message": "Yes, gladly.", "time_in_call_secs": 3 }));
            }
        }
        let call_result = if ended { json!(fate.result) } else { Value::Null };
        let phone_call = match *line {
            "message" | "whatsapp" => Value::Null,
            line => json!({
                "type": line, "direction": "outbound", "phone_number_id": request["agent_phone_number_id"].as_str().unwrap_or("phnum_1"),
                "agent_number": "+12025550100", "external_number": request["to_number"], "call_result": call_result,
                "stream_sid": format!("MZ{id}"), "call_sid": format!("CA{id}"), "call_id": format!("SIP{id}"),
            }),
        };
        let whatsapp = match *line {
            "message" | "whatsapp" => json!({
                "direction": "outbound", "whatsapp_phone_number_id": request["whatsapp_phone_number_id"],
                "whatsapp_user_id": request["whatsapp_user_id"], "call_result": if *line == "whatsapp" { call_result } else { Value::Null },
            }),
            _ => Value::Null,
        };
        let analysis = if ended {
            json!({
                "evaluation_criteria_results": {}, "data_collection_results": {},
                "call_successful": if fate.result == "answered" && !fate.by_tool { "success" } else { "failure" },
                "transcript_summary": "A simulated conversation.", "call_summary_title": "Simulated",
            })
        } else {
            Value::Null
        };
        json!({
            "agent_id": request["agent_id"], "agent_name": "Simulated", "conversation_id": id, "status": status,
            "user_id": user_id(request), "branch_id": null, "version_id": null, "environment": "production",
            "has_audio": ended && taken, "has_user_audio": ended && taken, "has_response_audio": ended && taken, "has_auxiliary_audio": false,
            "transcript": transcript,
            "metadata": {
                "start_time_unix_secs": at.as_second(), "accepted_time_unix_secs": if talked > 0 { json!(after(*at, fate.ring).as_second()) } else { Value::Null },
                "call_duration_secs": talked, "cost": talked * 10, "cost_fiat": talked as f64 / 100.0,
                "termination_reason": if ended { "end_call tool was called" } else { "" },
                "error": if status == "failed" { json!({ "code": 1011, "reason": "simulated" }) } else { Value::Null },
                "phone_call": phone_call, "whatsapp": whatsapp, "main_language": "en", "authorization_method": "signed_url",
            },
            "analysis": analysis,
            "conversation_initiation_client_data": request["conversation_initiation_client_data"],
        })
    }

    fn list(&self, request: &Request) -> Reply {
        let now = self.clock.now();
        let state = self.state();
        let wanted = if state.ignores_filter { None } else { request.query("user_id") };
        let number = |name: &str| request.query(name).and_then(|value| value.parse::<i64>().ok());
        let fits = |one: &&Conversation| {
            now >= after(one.at, state.list_lag)
                && wanted.as_deref().is_none_or(|wanted| user_id(&one.request) == Some(wanted))
                && number("call_start_after_unix").is_none_or(|at| one.at.as_second() >= at)
                && number("call_start_before_unix").is_none_or(|at| one.at.as_second() <= at)
                && request.query("agent_id").is_none_or(|agent| one.request["agent_id"] == *agent)
        };
        let all: Vec<Conversation> = state.conversations.iter().rev().filter(fits).cloned().collect();
        drop(state);
        let from = number("cursor").unwrap_or(0) as usize;
        let size = number("page_size").unwrap_or(30).clamp(1, 100) as usize;
        let rows: Vec<Value> = all
            .iter()
            .skip(from)
            .take(size)
            .map(|one| {
                let full = self.describe(one);
                json!({
                    "agent_id": full["agent_id"], "agent_name": full["agent_name"], "conversation_id": one.id,
                    "start_time_unix_secs": one.at.as_second(), "call_duration_secs": full["metadata"]["call_duration_secs"],
                    "message_count": full["transcript"].as_array().map_or(0, Vec::len), "status": full["status"],
                    "call_successful": full["analysis"]["call_successful"].as_str().unwrap_or("unknown"), "direction": "outbound",
                })
            })
            .collect();
        let more = all.len() > from + size;
        Reply::json(
            200,
            &json!({ "conversations": rows, "has_more": more, "next_cursor": if more { json!((from + size).to_string()) } else { Value::Null } }),
        )
    }

    /// Sends the webhooks of a call when their time has come.
    fn announce(self: &Arc<Self>, one: Conversation) {
        let Some((sink, delivery)) = self.state().sink.clone() else { return };
        if one.line == "message" {
            return;
        }
        let fate = one.fate;
        let taken = matches!(fate.result, "answered" | "voicemail");
        let ends = after(one.at, if taken { fate.ring + fate.talk + fate.write_up } else { fate.ring } + delivery.late);
        let this = Arc::clone(self);
        self.clock.clone().spawn(Box::pin(async move {
            this.clock.sleep_until(ends).await;
            let mut events = Vec::new();
            if let Some(heard) = delivery.heard {
                events.push(json!({ "type": "answering_machine_detection", "data": { "agent_id": one.request["agent_id"], "conversation_id": one.id, "answered_by": heard } }));
            }
            if taken {
                events.push(json!({ "type": "post_call_transcription", "data": this.describe(&one) }));
            } else {
                let reason = match fate.result {
                    "busy" => "busy",
                    "no_answer" => "no-answer",
                    _ => "unknown",
                };
                let body = if one.line == "sip_trunking" {
                    json!({ "type": "sip", "body": { "sip_status_code": 500, "error_reason": "simulated", "call_sid": format!("SIP{}", one.id) } })
                } else {
                    json!({ "type": "twilio", "body": { "CallSid": format!("CA{}", one.id), "CallStatus": reason, "Duration": "0" } })
                };
                events.push(json!({ "type": "call_initiation_failure", "data": {
                    "agent_id": one.request["agent_id"], "conversation_id": one.id, "failure_reason": reason, "metadata": body,
                } }));
            }
            if delivery.reversed {
                events.push(json!({ "type": "post_call_audio", "data": { "conversation_id": one.id, "full_audio": "AAAA" } }));
                events.reverse();
            }
            for event in events {
                for _ in 0..if delivery.twice { 2 } else { 1 } {
                    let status = sink(this.signed(event.clone())).await;
                    this.state().answers_of_sink.push(status);
                }
            }
        }));
    }

    /// A webhook as it goes over the wire.
    fn signed(&self, mut event: Value) -> CallbackRequest {
        let now = self.clock.now();
        event["event_timestamp"] = now.as_second().into();
        let body = event.to_string().into_bytes();
        let signature = sign_webhook(&Secret::from(SECRET), now, &body);
        CallbackRequest {
            method: "POST".to_owned(),
            url: "/callbacks/elevenlabs".to_owned(),
            headers: vec![("elevenlabs-signature".to_owned(), signature), ("content-type".to_owned(), "application/json".to_owned())],
            body,
        }
    }

    fn submit(&self, request: &Request) -> Reply {
        let body = request.json();
        let at = self.clock.now();
        for field in ["call_name", "agent_id", "recipients"] {
            if body[field].is_null() {
                return invalid(field);
            }
        }
        let rows = body["recipients"].as_array().cloned().unwrap_or_default();
        if rows.is_empty() || rows.len() > 10_000 {
            return invalid("recipients");
        }
        let begins =
            body["scheduled_time_unix"].as_i64().and_then(|seconds| Timestamp::from_second(seconds).ok()).map_or(at, |then| then.max(at));
        let mut state = self.state();
        state.requests.push((request.path().to_owned(), body.clone()));
        let number = state.batches.len() + 1;
        let recipients = rows
            .into_iter()
            .enumerate()
            .map(|(index, row)| {
                let to = row["phone_number"]
                    .as_str()
                    .or(row["whatsapp_user_id"].as_str())
                    .unwrap_or_default()
                    .trim_start_matches('+')
                    .to_owned();
                let fate = state.fates.get(&to).copied().or(state.usual).unwrap_or(Fate::answers(20));
                let id = row["id"].as_str().map_or_else(|| format!("rcpt_{number}_{index}"), str::to_owned);
                Recipient { id, body: row, begins: after(begins, 1 + index as i64), fate, cancelled: false }
            })
            .collect();
        let batch = BatchState { id: format!("btcal_{number:04}"), at, body, recipients, cancelled: false, retries: 0 };
        state.batches.push(batch.clone());
        drop(state);
        Reply::json(200, &self.describe_batch(&batch, false))
    }

    fn recipient_status(&self, one: &Recipient) -> &'static str {
        let passed = self.clock.now().duration_since(one.begins).as_secs();
        let taken = matches!(one.fate.result, "answered" | "voicemail");
        match one.fate.result {
            _ if one.cancelled => "cancelled",
            _ if passed < 0 => "pending",
            _ if passed < 1 => "dispatched",
            _ if passed < one.fate.ring => "initiated",
            _ if taken && passed < one.fate.ring + one.fate.talk => "in_progress",
            "voicemail" => "voicemail",
            "answered" if one.fate.by_tool => "voicemail",
            "answered" => "completed",
            // As the real one leaves it.
            "no_answer" => "initiated",
            _ => "failed",
        }
    }

    fn has_ended(&self, one: &Recipient) -> bool {
        let passed = self.clock.now().duration_since(one.begins).as_secs();
        one.cancelled || (passed >= 1 && passed >= one.fate.ring + one.fate.talk)
    }

    fn describe_batch(&self, batch: &BatchState, whole: bool) -> Value {
        let now = self.clock.now();
        let count = |fits: &dyn Fn(&Recipient) -> bool| batch.recipients.iter().filter(|one| fits(one)).count();
        let ended = count(&|one| self.has_ended(one));
        let dispatched = count(&|one| !one.cancelled && now >= one.begins);
        let status = match () {
            _ if batch.cancelled => "cancelled",
            _ if ended == batch.recipients.len() => "completed",
            _ if dispatched == 0 => "pending",
            _ => "in_progress",
        };
        let optional = |name: &str| batch.body[name].clone();
        let mut all = json!({
            "id": batch.id, "phone_number_id": optional("agent_phone_number_id"), "phone_provider": "twilio", "whatsapp_params": optional("whatsapp_params"),
            "name": optional("call_name"), "agent_id": optional("agent_id"), "branch_id": null, "environment": null,
            "created_at_unix": batch.at.as_second(), "scheduled_time_unix": optional("scheduled_time_unix").as_i64().unwrap_or(batch.at.as_second()),
            "timezone": optional("timezone"), "total_calls_dispatched": dispatched, "total_calls_scheduled": batch.recipients.len(),
            "total_calls_finished": ended, "last_updated_at_unix": now.as_second(), "status": status, "retry_count": batch.retries,
            "telephony_call_config": { "ringing_timeout_secs": 60 }, "target_concurrency_limit": optional("target_concurrency_limit"),
            "agent_name": "Simulated", "branch_name": null,
        });
        if whole {
            let rows: Vec<Value> = batch
                .recipients
                .iter()
                .map(|one| {
                    let status = self.recipient_status(one);
                    let conversation = if matches!(status, "pending" | "dispatched" | "cancelled") { Value::Null } else { json!(format!("conv_{}", one.id)) };
                    json!({
                        "id": one.id, "phone_number": one.body["phone_number"], "whatsapp_user_id": one.body["whatsapp_user_id"], "status": status,
                        "created_at_unix": batch.at.as_second(), "updated_at_unix": now.as_second(), "conversation_id": conversation,
                        "conversation_initiation_client_data": one.body["conversation_initiation_client_data"],
                    })
                })
                .collect();
            all["recipients"] = rows.into();
        }
        all
    }

    fn batches(&self, request: &Request) -> Reply {
        let all = self.state().batches.clone();
        let fits = |batch: &&BatchState| request.query("agent_id").is_none_or(|agent| batch.body["agent_id"] == *agent);
        let from: usize = request.query("last_doc").and_then(|text| text.parse().ok()).unwrap_or(0);
        let limit: usize = request.query("limit").and_then(|text| text.parse().ok()).unwrap_or(100);
        let fitting: Vec<&BatchState> = all.iter().rev().filter(fits).collect();
        let rows: Vec<Value> = fitting.iter().skip(from).take(limit).map(|batch| self.describe_batch(batch, false)).collect();
        let more = fitting.len() > from + limit;
        Reply::json(
            200,
            &json!({ "batch_calls": rows, "has_more": more, "next_doc": if more { json!((from + limit).to_string()) } else { Value::Null } }),
        )
    }

    fn batch(&self, method: &str, id: &str, rest: &[&str]) -> Reply {
        let now = self.clock.now();
        let Some(mut batch) = self.state().batches.iter().find(|batch| batch.id == id).cloned() else { return missing("batch") };
        let ended = batch.cancelled || batch.recipients.iter().all(|one| self.has_ended(one));
        match (method, rest) {
            ("GET", []) => return Reply::json(200, &self.describe_batch(&batch, true)),
            ("DELETE", []) => {
                self.state().batches.retain(|batch| batch.id != id);
                return Reply::json(200, &json!({}));
            }
            ("POST", ["cancel"]) if ended => {
                let message = "Batch cannot be cancelled in current state";
                return Reply::json(400, &json!({ "detail": { "status": "invalid_state", "message": message } }));
            }
            ("POST", ["cancel"]) => {
                batch.cancelled = true;
                for one in batch.recipients.iter_mut().filter(|one| now < one.begins) {
                    one.cancelled = true;
                }
            }
            ("POST", ["retry"]) => {
                batch.retries += 1;
                batch.cancelled = false;
                for one in &mut batch.recipients {
                    if matches!(self.recipient_status(one), "failed" | "initiated" | "cancelled") {
                        one.begins = after(now, 1);
                        one.cancelled = false;
                        one.fate = Fate::answers(5);
                    }
                }
            }
            _ => return missing("route"),
        }
        for known in self.state().batches.iter_mut().filter(|known| known.id == id) {
            *known = batch.clone();
        }
        Reply::json(200, &self.describe_batch(&batch, false))
    }
}

fn missing(what: &str) -> Reply {
    Reply::json(404, &json!({ "detail": { "status": format!("{what}_not_found"), "message": format!("No such {what}") } }))
}

fn invalid(field: &str) -> Reply {
    Reply::json(422, &json!({ "detail": [{ "loc": ["body", field], "msg": "Field required", "type": "missing" }] }))
}

/// Waits a little on a clock; for tests that let time pass.
pub async fn pass(clock: &SharedExecutor, duration: Duration) {
    let until = clock.now().saturating_add(SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX);
    clock.sleep_until(until).await;
}
