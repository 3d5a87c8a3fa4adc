//! A Twilio of our own: keeps calls and messages, carries them through their states, signs and sends callbacks, and has bad days when it
//! is told to.
//!
//! What happens to a request and to what comes of it is a [`Fate`], by the number that is called or for all. The book of the simulator is
//! the judge: it counts what was handed over, by the attempt in the URL of the status callback and by number.

mod api;
mod book;
mod life;

pub use book::{CallState, MessageState};

use super::http::{Request, Server};
use book::Book;
use campaign_core::dialer::CallbackRequest;
use campaign_core::executor::SharedExecutor;
use campaign_core::http::{Exchange, HttpClient, HttpOptions, Method};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// The account of every simulator.
pub const ACCOUNT: &str = "AC00112233445566778899aabbccddeeff";
/// Its auth token.
pub const TOKEN: &str = "a-token-for-tests-only";

/// What becomes of a request that places something.
#[derive(Debug, Clone, PartialEq)]
pub enum Handling {
    /// It is done and answered.
    Accept,
    /// It is refused with this status and code, and with a `Retry-After` of so many seconds.
    Refuse(u16, u32, Option<u32>),
    /// It is done, and the connection broken off before the answer.
    PlaceAndBreakOff,
    /// The connection is broken off, and nothing is done.
    BreakOff,
    /// It is done, and the answer is this status with something unreadable.
    PlaceAndFail(u16),
    /// It is done when true, then somebody outside is told, and the connection hangs.
    Hang(bool),
}

/// How a call ends.
#[derive(Debug, Clone, PartialEq)]
pub enum CallEnd {
    /// Somebody picks up and hangs up after this long, unless it is ended before.
    Answered(Duration),
    /// A machine or fax picks up; its greeting takes the first span, then it listens for the second.
    Machine(&'static str, Duration, Duration),
    /// The line is busy.
    Busy,
    /// It rings until Twilio gives up.
    NoAnswer,
    /// It fails with this SIP code.
    Failed(u16),
}

/// How callbacks are sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// So much later than what they tell.
    pub late: Duration,
    /// So many times each; 0: never.
    pub times: u32,
    /// All of a call at its end, the last first.
    pub backwards: bool,
    /// With a wrong signature.
    pub forged: bool,
}

/// What happens to a request and what comes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fate {
    /// What becomes of the request.
    pub handling: Handling,
    /// How long a call waits in the queue.
    pub queue: Duration,
    /// How long it rings before it ends as `end` says.
    pub ring: Duration,
    /// How a call ends.
    pub end: CallEnd,
    /// The states of a message after it was queued, each so long after the one before.
    pub states: Vec<(Duration, &'static str)>,
    /// The error code of a message that fails.
    pub error_code: Option<u32>,
    /// How callbacks are sent.
    pub delivery: Delivery,
    /// The price, and how long after the end it is known.
    pub price: Option<(&'static str, Duration)>,
}

impl Default for Fate {
    /// Accepted; answered after two seconds for eight; a message is delivered after two.
    fn default() -> Self {
        Self {
            handling: Handling::Accept,
            queue: Duration::from_millis(100),
            ring: Duration::from_secs(2),
            end: CallEnd::Answered(Duration::from_secs(8)),
            states: vec![(Duration::from_secs(1), "sent"), (Duration::from_secs(1), "delivered")],
            error_code: None,
            delivery: Delivery { late: Duration::ZERO, times: 1, backwards: false, forged: false },
            price: Some(("-0.01300", Duration::ZERO)),
        }
    }
}

impl Fate {
    /// The default with this end of the call.
    pub fn ends(end: CallEnd) -> Self {
        Self { end, ..Self::default() }
    }

    /// The default with this handling of the request.
    pub fn handled(handling: Handling) -> Self {
        Self { handling, ..Self::default() }
    }

    /// With callbacks sent like this.
    #[must_use]
    pub fn delivered(self, change: impl FnOnce(&mut Delivery)) -> Self {
        let mut fate = self;
        change(&mut fate.delivery);
        fate
    }
}

/// A webhook of Twilio's as a program gets it: a form, signed over this URL.
pub fn signed(url: &str, fields: &[(&str, &str)]) -> CallbackRequest {
    let fields: Vec<(String, String)> = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    CallbackRequest {
        method: "POST".to_owned(),
        url: url.to_owned(),
        headers: vec![
            header("Content-Type", "application/x-www-form-urlencoded"),
            header("X-Twilio-Signature", &life::signature(TOKEN, url, &fields)),
        ],
        body: body.into_bytes(),
    }
}

/// A simulator. Cheap to clone; ends with its last clone.
#[derive(Clone)]
pub struct Twilio {
    shared: Arc<Shared>,
    server: Arc<Server>,
}

impl std::fmt::Debug for Twilio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Twilio").field("url", &self.server.url()).finish_non_exhaustive()
    }
}

/// What all tasks of a simulator share.
pub(crate) struct Shared {
    clock: SharedExecutor,
    client: HttpClient,
    book: Mutex<Book>,
    habits: Mutex<Habits>,
    hanging: mpsc::UnboundedSender<i64>,
    waiting: tokio::sync::Mutex<mpsc::UnboundedReceiver<i64>>,
}

#[derive(Default)]
struct Habits {
    otherwise: Fate,
    by_number: HashMap<String, VecDeque<Fate>>,
    /// Created things are in lists only after this long.
    list_lag: Duration,
    /// So many are taken per second; more are refused with 429.
    per_second: Option<usize>,
    /// After so many more requests one hangs, and it is done when true.
    hang_in: Option<(u64, bool)>,
    /// Who wrote on WhatsApp within a day.
    open_windows: HashSet<String>,
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn habits(&self) -> MutexGuard<'_, Habits> {
        self.habits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.clock.now() + jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::ZERO);
        self.clock.sleep_until(until).await;
    }
}

impl Twilio {
    /// Starts one on this clock. Call it inside of a tokio runtime.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(clock: SharedExecutor) -> Self {
        let (hanging, waiting) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            clock,
            client: HttpClient::new(HttpOptions::default()).expect("an HTTP client"),
            book: Mutex::default(),
            habits: Mutex::default(),
            hanging,
            waiting: tokio::sync::Mutex::new(waiting),
        });
        let serving = Arc::clone(&shared);
        let handle = move |request: Request| {
            let shared = Arc::clone(&serving);
            async move { api::handle(&shared, request).await }
        };
        let server = Arc::new(Server::start(handle).await.expect("a free port"));
        Self { shared, server }
    }

    /// Its URL: what `api_base` is set to.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// What happens to numbers that have no fate of their own.
    pub fn otherwise(&self, fate: Fate) {
        self.shared.habits().otherwise = fate;
    }

    /// What happens next to this number; once for each time it is said.
    pub fn next(&self, to: &str, fate: Fate) {
        self.shared.habits().by_number.entry(to.to_owned()).or_default().push_back(fate);
    }

    /// Lists show things only after this long.
    pub fn set_list_lag(&self, lag: Duration) {
        self.shared.habits().list_lag = lag;
    }

    /// More starts per second than this are refused.
    pub fn set_per_second(&self, starts: Option<usize>) {
        self.shared.habits().per_second = starts;
    }

    /// The person wrote on WhatsApp, so free text is allowed.
    pub fn open_window(&self, person: &str) {
        self.shared.habits().open_windows.insert(format!("whatsapp:{person}"));
    }

    /// After so many more requests that place something one hangs; what it asks for is done when `placed`.
    pub fn hang_after(&self, requests: u64, placed: bool) {
        self.shared.habits().hang_in = Some((requests, placed));
    }

    /// No request hangs from now on.
    pub fn hang_no_more(&self) {
        self.shared.habits().hang_in = None;
    }

    /// The next request that hangs, by the number of its attempt; 0 when it named none.
    pub async fn hangs(&self) -> Option<i64> {
        self.shared.waiting.lock().await.recv().await
    }

    /// How many calls and messages were placed for this attempt, by the URL of the status callback.
    pub fn hand_offs(&self, attempt: i64) -> u64 {
        self.shared.book().placed().filter(|(id, _)| *id == Some(attempt)).count() as u64
    }

    /// How many were placed per attempt.
    pub fn hand_offs_by_attempt(&self) -> HashMap<i64, u64> {
        let mut counts = HashMap::new();
        self.shared.book().placed().filter_map(|(id, _)| id).for_each(|id| *counts.entry(id).or_default() += 1);
        counts
    }

    /// How many calls and messages were placed to this number.
    pub fn hand_offs_to(&self, to: &str) -> u64 {
        self.shared.book().placed().filter(|(_, number)| number.trim_start_matches("whatsapp:") == to).count() as u64
    }

    /// The calls, oldest first.
    pub fn calls(&self) -> Vec<CallState> {
        self.shared.book().calls.clone()
    }

    /// The messages, oldest first.
    pub fn messages(&self) -> Vec<MessageState> {
        self.shared.book().messages.clone()
    }

    /// Requests that Twilio would have found fault with, and callbacks that were answered with something else than 2xx.
    pub fn complaints(&self) -> Vec<String> {
        self.shared.book().complaints.clone()
    }

    /// So many requests placed something or asked to.
    pub fn requests(&self) -> u64 {
        self.shared.book().creates
    }

    /// Sends a webhook as Twilio does, signed, and returns status and body.
    pub async fn webhook(&self, url: &str, fields: &[(&str, &str)]) -> (u16, String) {
        let fields: Vec<(String, String)> = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let signature = life::signature(TOKEN, url, &fields);
        let headers = [("x-twilio-signature", signature.as_str())];
        match self.shared.client.send(Method::Post, url, &headers, campaign_core::http::Body::Form(fields)).await {
            Exchange::Answered(answer) => (answer.status, String::from_utf8_lossy(&answer.body).into_owned()),
            Exchange::NotSent(_) | Exchange::Lost(_) => (0, String::new()),
        }
    }
}
