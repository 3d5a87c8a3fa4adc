//! What becomes of calls and messages, and the callbacks about it.

#![expect(clippy::disallowed_methods, reason = "a carrier's calls go on by themselves")]

use super::book::{CallState, MessageState, Wish, rfc2822};
use super::{ACCOUNT, CallEnd, Delivery, Shared, TOKEN};
use campaign_core::http::signature::{base64, hmac_sha1};
use campaign_core::http::{Body, Exchange, Method};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a message on a machine takes to say, whatever it says.
const MESSAGE_TAKES: Duration = Duration::from_secs(4);

/// A callback that is to be sent.
struct Notice {
    url: String,
    fields: Vec<(String, String)>,
}

/// The signature of a form, as Twilio's documentation describes it.
pub(super) fn signature(token: &str, url: &str, fields: &[(String, String)]) -> String {
    let mut sorted: Vec<&(String, String)> = fields.iter().collect();
    sorted.sort();
    sorted.dedup();
    let text = sorted.iter().fold(url.to_owned(), |text, (name, value)| text + name + value);
    base64(&hmac_sha1(token.as_bytes(), text.as_bytes()))
}

/// Sends what has to be told about one call or message.
struct Teller {
    shared: Arc<Shared>,
    delivery: Delivery,
    /// Kept for the end when they go backwards.
    kept: Vec<Notice>,
    sequence: u32,
}

impl Teller {
    fn new(shared: &Arc<Shared>, delivery: Delivery) -> Self {
        Self { shared: Arc::clone(shared), delivery, kept: Vec::new(), sequence: 0 }
    }

    fn tell(&mut self, notice: Notice) {
        if self.delivery.backwards {
            self.kept.push(notice);
        } else {
            self.send(notice);
        }
    }

    fn send(&self, notice: Notice) {
        let (shared, delivery) = (Arc::clone(&self.shared), self.delivery.clone());
        tokio::spawn(async move {
            shared.sleep(delivery.late).await;
            for _ in 0..delivery.times {
                post(&shared, &notice, delivery.forged).await;
            }
        });
    }

    /// What was kept, the last first.
    async fn end(self) {
        for notice in self.kept.iter().rev() {
            for _ in 0..self.delivery.times {
                post(&self.shared, notice, self.delivery.forged).await;
            }
        }
    }
}

async fn post(shared: &Shared, notice: &Notice, forged: bool) {
    let signature = signature(if forged { "another-token" } else { TOKEN }, &notice.url, &notice.fields);
    let headers = [("x-twilio-signature", signature.as_str()), ("user-agent", "TwilioProxy/1.1")];
    let exchange = shared.client.send(Method::Post, &notice.url, &headers, Body::Form(notice.fields.clone())).await;
    match exchange {
        Exchange::Answered(answer) if answer.is_success() && !forged => {}
        Exchange::Answered(answer) if forged && answer.status == 403 => {}
        Exchange::Answered(answer) => shared.book().complaints.push(format!("a callback was answered with {}", answer.status)),
        // The program may be dead.
        Exchange::NotSent(_) | Exchange::Lost(_) => {}
    }
}

/// A call from the queue to its end.
pub(super) fn call(shared: &Arc<Shared>, sid: String) {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let Some(call) = shared.book().call(&sid).cloned() else { return };
        let mut teller = Teller::new(&shared, call.fate.delivery.clone());
        let status = run_call(&shared, &call, &mut teller).await;
        let now = shared.clock.now();
        change(&shared, &sid, |call| {
            call.status = status.to_owned();
            call.ended = Some(now);
        });
        told(&shared, &sid, "completed", &mut teller);
        if call.field("Record") == Some("true") && status == "completed" {
            recorded(&shared, &sid, &mut teller);
        }
        teller.end().await;
    });
}

/// The status it ends with.
async fn run_call(shared: &Arc<Shared>, call: &CallState, teller: &mut Teller) -> &'static str {
    let fate = &call.fate;
    let sid = call.sid.as_str();
    let mut wish = call.wish.subscribe();
    if let Some(status) = wait(shared, fate.queue, &mut wish).await {
        return status;
    }
    told(shared, sid, "initiated", teller);
    change(shared, sid, |call| call.status = "ringing".to_owned());
    told(shared, sid, "ringing", teller);
    let timeout = Duration::from_secs(call.field("Timeout").and_then(|seconds| seconds.parse().ok()).unwrap_or(60));
    let ring = if fate.end == CallEnd::NoAnswer || fate.ring > timeout { timeout } else { fate.ring };
    if let Some(status) = wait(shared, ring, &mut wish).await {
        return status;
    }
    let (greeting, mut left) = match &fate.end {
        CallEnd::Busy => return "busy",
        CallEnd::Failed(sip) => {
            change(shared, sid, |call| call.sip = Some(*sip));
            return "failed";
        }
        CallEnd::NoAnswer => return "no-answer",
        _ if fate.ring > timeout => return "no-answer",
        CallEnd::Answered(talk) => (Duration::from_secs(1).min(*talk), *talk),
        CallEnd::Machine(_, greeting, listens) => (*greeting, *greeting + *listens),
    };
    let now = shared.clock.now();
    change(shared, sid, |call| {
        call.status = "in-progress".to_owned();
        call.answered = Some(now);
    });
    told(shared, sid, "answered", teller);
    let limit = Duration::from_secs(call.field("TimeLimit").and_then(|seconds| seconds.parse().ok()).unwrap_or(14_400));
    left = left.min(limit);
    if let Some(mode) = call.field("MachineDetection") {
        let takes = greeting.min(left);
        if let Some(status) = wait(shared, takes, &mut wish).await {
            return status;
        }
        left -= takes;
        let by = match (&fate.end, mode) {
            (CallEnd::Machine("fax", ..), _) => "fax",
            (CallEnd::Machine("machine", ..), "DetectMessageEnd") => "machine_end_beep",
            (CallEnd::Machine("machine", ..), _) => "machine_start",
            (CallEnd::Machine(by, ..), _) => by,
            _ => "human",
        };
        change(shared, sid, |call| call.answered_by = Some(by.to_owned()));
        if let Some(url) = call.field("AsyncAmdStatusCallback") {
            let took = takes.as_millis().to_string();
            let fields = [("CallSid", sid), ("AccountSid", ACCOUNT), ("AnsweredBy", by), ("MachineDetectionDuration", &took)];
            teller.tell(Notice { url: url.to_owned(), fields: owned(&fields) });
        }
    }
    wait(shared, left, &mut wish).await.unwrap_or("completed")
}

/// Waits, unless somebody wants something else; then the status to end with, if it is to end.
async fn wait(shared: &Arc<Shared>, duration: Duration, wish: &mut watch::Receiver<Wish>) -> Option<&'static str> {
    tokio::select! {
        () = shared.sleep(duration) => None,
        changed = wish.changed() => {
            changed.ok()?;
            let wanted = wish.borrow_and_update().clone();
            match wanted {
                Wish::End(status) => Some(status),
                Wish::Follow(_) => {
                    shared.sleep(MESSAGE_TAKES).await;
                    Some("completed")
                }
                Wish::None => None,
            }
        }
    }
}

fn change(shared: &Shared, sid: &str, change: impl FnOnce(&mut CallState)) {
    if let Some(call) = shared.book().call(sid) {
        change(call);
    }
}

/// A status callback, when this event was asked for.
fn told(shared: &Arc<Shared>, sid: &str, event: &str, teller: &mut Teller) {
    let now = shared.clock.now();
    let Some(call) = shared.book().call(sid).cloned() else { return };
    let Some(url) = call.field("StatusCallback") else { return };
    let wanted: Vec<&str> = call.fields.iter().filter(|(name, _)| name == "StatusCallbackEvent").map(|(_, event)| event.as_str()).collect();
    if !wanted.contains(&event) && (event != "completed" || !wanted.is_empty()) {
        return;
    }
    let status = match event {
        "initiated" => "initiated",
        "answered" => "in-progress",
        _ => call.status.as_str(),
    };
    let sequence = teller.sequence.to_string();
    teller.sequence += 1;
    let (at, to, from) = (rfc2822(now), call.field("To").unwrap_or_default(), call.field("From").unwrap_or_default());
    let mut fields = owned(&[
        ("CallSid", sid),
        ("AccountSid", ACCOUNT),
        ("ApiVersion", "2010-04-01"),
        ("Direction", "outbound-api"),
        ("CallStatus", status),
        ("SequenceNumber", &sequence),
        ("Timestamp", &at),
        ("CallbackSource", "call-progress-events"),
        ("To", to),
        ("Called", to),
        ("From", from),
        ("Caller", from),
        ("CalledCountry", "US"),
        ("ToCity", ""),
        ("SomethingNew", "that nobody knows yet"),
    ]);
    let mut put = |name: &str, value: String| fields.push((name.to_owned(), value));
    if event == "completed" {
        let seconds = call.duration().unwrap_or(0);
        put("CallDuration", seconds.to_string());
        put("Duration", seconds.div_euclid(60).max(i64::from(seconds > 0)).to_string());
        let sip = match (&call.status[..], call.sip) {
            (_, Some(sip)) => sip.to_string(),
            ("busy", _) => "486".to_owned(),
            ("no-answer", _) => "487".to_owned(),
            _ => "200".to_owned(),
        };
        put("SipResponseCode", sip);
        if let Some(by) = &call.answered_by {
            put("AnsweredBy", by.clone());
        }
    }
    teller.tell(Notice { url: url.to_owned(), fields });
}

fn recorded(shared: &Arc<Shared>, sid: &str, teller: &mut Teller) {
    let Some(call) = shared.book().call(sid).cloned() else { return };
    let Some(url) = call.field("RecordingStatusCallback") else { return };
    let recording = format!("RE{}", &sid[2..]);
    let address = format!("https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Recordings/{recording}");
    let seconds = call.duration().unwrap_or(0).to_string();
    let fields = [
        ("CallSid", sid),
        ("AccountSid", ACCOUNT),
        ("RecordingSid", recording.as_str()),
        ("RecordingUrl", address.as_str()),
        ("RecordingStatus", "completed"),
        ("RecordingDuration", seconds.as_str()),
    ];
    teller.tell(Notice { url: url.to_owned(), fields: owned(&fields) });
}

/// A message from the queue to its last state.
pub(super) fn message(shared: &Arc<Shared>, sid: String) {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let Some(message) = shared.book().message(&sid).cloned() else { return };
        let mut teller = Teller::new(&shared, message.fate.delivery.clone());
        for (after, status) in &message.fate.states {
            shared.sleep(*after).await;
            let now = shared.clock.now();
            let Some(message) = shared.book().message(&sid).map(|message| {
                message.status = (*status).to_owned();
                message.sent = message.sent.or((*status != "failed").then_some(now));
                message.ended = Some(now);
                if matches!(*status, "failed" | "undelivered") {
                    message.error_code = message.fate.error_code;
                }
                message.clone()
            }) else {
                return;
            };
            told_of_message(&message, &mut teller);
        }
        teller.end().await;
    });
}

fn told_of_message(message: &MessageState, teller: &mut Teller) {
    let Some(url) = message.field("StatusCallback") else { return };
    let (to, from) = (message.field("To").unwrap_or_default(), message.field("From").unwrap_or_default());
    let sid = message.sid.as_str();
    let mut fields = owned(&[
        ("MessageSid", sid),
        ("SmsSid", sid),
        ("AccountSid", ACCOUNT),
        ("MessageStatus", &message.status),
        ("SmsStatus", &message.status),
        ("To", to),
        ("From", from),
        ("ApiVersion", "2010-04-01"),
    ]);
    if let Some(code) = message.error_code {
        fields.push(("ErrorCode".to_owned(), code.to_string()));
    }
    teller.tell(Notice { url: url.to_owned(), fields });
}

fn owned(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
