//! A carrier that many processes share, and its book: one file outside of every store, which judges them.
//!
//! Each line is one `write` to a file that is only appended to, so lines of several processes neither mix nor get lost with the process
//! that wrote them. Times are those of the machine's monotonic clock, which all processes share.

use campaign_core::async_trait;
use campaign_core::dialer::{Capabilities, DialContext, DialError, DialRequest, Dialer, FindRequest, Found, Idempotency};
use campaign_core::outcome::{Disposition, Outcome};
use campaign_core::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One line of the book.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in nanoseconds of the monotonic clock.
    pub at: u64,
    /// Which process wrote it.
    pub node: Arc<str>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// A call was handed over; it goes on whoever listens, and ends by itself.
    Handed {
        /// The idempotency key.
        key: Arc<str>,
        /// The campaign's id.
        campaign: i64,
        /// The contact's id.
        contact: i64,
        /// Which attempt at the contact.
        number: u32,
        /// When it ends, by the monotonic clock.
        ends: u64,
        /// How it ends.
        disposition: Disposition,
    },
    /// The process that handed a call over has seen its end.
    Ended {
        /// The idempotency key.
        key: Arc<str>,
    },
    /// A request was lost on its way: nothing was placed, and the engine was told that nobody knows.
    Lost {
        /// The idempotency key.
        key: Arc<str>,
        /// The campaign's id.
        campaign: i64,
        /// The contact's id.
        contact: i64,
        /// Which attempt at the contact.
        number: u32,
    },
    /// A request was refused without effect.
    Refused {
        /// The idempotency key.
        key: Arc<str>,
    },
    /// Somebody was told that this attempt certainly never happened. It must never happen after that.
    NeverHappened {
        /// The idempotency key.
        key: Arc<str>,
    },
    /// The store has acknowledged a claim; written by [`crate::witness::Witness`].
    Claimed {
        /// The attempt's id.
        attempt: i64,
        /// Its idempotency key.
        key: Arc<str>,
    },
    /// The store is being asked to take back an attempt that was not handed over.
    GivingBack {
        /// The attempt's id.
        attempt: i64,
    },
    /// The store has acknowledged a settlement.
    Settled {
        /// The attempt's id.
        attempt: i64,
        /// How it ended; `None` when it was refused or not used.
        disposition: Option<Disposition>,
    },
    /// The store has refused a settlement, because others hold the attempt.
    Stale {
        /// The attempt's id.
        attempt: i64,
    },
}

/// The book, as one process writes it.
#[derive(Debug)]
pub struct Book {
    node: Arc<str>,
    file: File,
    read: Mutex<Reading>,
}

#[derive(Debug)]
struct Reading {
    /// A handle of its own: writing moves the place of the other one.
    file: File,
    /// The beginning of a line that was being written.
    rest: Vec<u8>,
    calls: HashMap<Arc<str>, (u64, Disposition)>,
}

impl Book {
    /// Opens it, or makes it.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when the file cannot be opened.
    pub fn open(path: &Path, node: &str) -> Result<Self> {
        let file = File::options().append(true).create(true).open(path).map_err(|error| unusable(&error))?;
        let reading = Reading { file: File::open(path).map_err(|error| unusable(&error))?, rest: Vec::new(), calls: HashMap::new() };
        Ok(Self { node: Arc::from(node), file, read: Mutex::new(reading) })
    }

    /// Writes these lines, all with one `write`.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when the file cannot be written.
    pub fn write(&self, at: u64, what: impl IntoIterator<Item = What>) -> Result<()> {
        let mut lines = Vec::with_capacity(256);
        for what in what {
            let entry = Entry { at, node: Arc::clone(&self.node), what };
            serde_json::to_writer(&mut lines, &entry).map_err(|error| unusable(&error.into()))?;
            lines.push(b'\n');
        }
        if lines.is_empty() {
            return Ok(());
        }
        (&self.file).write_all(&lines).map_err(|error| unusable(&error))
    }

    /// When a call ends and how, if it was ever handed over, by whatever process.
    fn find(&self, key: &str) -> Result<Option<(u64, Disposition)>> {
        let mut reading = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let Reading { file, rest, calls } = &mut *reading;
        file.read_to_end(rest).map_err(|error| unusable(&error))?;
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for entry in parse(&rest[..whole])? {
            if let What::Handed { key, ends, disposition, .. } = entry.what {
                calls.insert(key, (ends, disposition));
            }
        }
        rest.drain(..whole);
        Ok(calls.get(key).copied())
    }
}

/// All lines of a book, in the order in which they were written. A last line without its end is left out.
///
/// # Errors
/// [`Kind::Unavailable`] when it cannot be read, [`Kind::Corrupt`] when a line is none.
pub fn read(path: &Path) -> Result<Vec<Entry>> {
    let bytes = std::fs::read(path).map_err(|error| unusable(&error))?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    parse(&bytes[..whole])
}

fn parse(bytes: &[u8]) -> Result<Vec<Entry>> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| {
            serde_json::from_slice(line).map_err(|error| Error::new(Kind::Corrupt, "the carrier's book is damaged").with_source(error))
        })
        .collect()
}

fn unusable(error: &std::io::Error) -> Error {
    Error::new(Kind::Unavailable, format!("the carrier's book cannot be used: {error}"))
}

/// Now, in nanoseconds of the clock that all processes of this machine share.
pub fn monotonic() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// How a shared carrier behaves. What becomes of an attempt follows from the seed, the contact and the number of the attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calls {
    /// Equal seeds give equal people.
    pub seed: u64,
    /// The shortest call, in milliseconds.
    pub shortest: u64,
    /// The longest call, in milliseconds.
    pub longest: u64,
    /// The share of calls that are not answered.
    pub unanswered: f64,
    /// The share of requests that are refused as too fast.
    pub refused: f64,
    /// The share of requests whose answer is lost; every second of them had no effect.
    pub in_doubt: f64,
    /// Whether calls have a reference, which the store then keeps.
    pub gives_reference: bool,
    /// Starts per second of the account.
    pub calls_per_second: Option<u32>,
}

impl Calls {
    /// Everybody answers, and the call is over at once.
    pub fn instant() -> Self {
        Self {
            seed: 0,
            shortest: 0,
            longest: 0,
            unanswered: 0.0,
            refused: 0.0,
            in_doubt: 0.0,
            gives_reference: false,
            calls_per_second: None,
        }
    }
}

/// The carrier, as one process reaches it.
#[derive(Debug, Clone)]
pub struct Carrier {
    calls: Calls,
    book: Arc<Book>,
}

impl Carrier {
    /// Writes to this book.
    pub fn new(calls: Calls, book: Arc<Book>) -> Self {
        Self { calls, book }
    }

    fn outcome(disposition: Disposition, key: &str, referred: bool) -> Outcome {
        let outcome = Outcome::new(disposition);
        if referred { outcome.with_provider_ref(format!("call-{key}")) } else { outcome }
    }
}

#[async_trait]
impl Dialer for Carrier {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            idempotency: Idempotency::CallbackRef,
            max_request_time: Duration::from_millis(200),
            calls_per_second: self.calls.calls_per_second,
            ..Capabilities::default()
        }
    }

    async fn dial(&self, request: DialRequest, context: DialContext) -> Result<Outcome, DialError> {
        let calls = &self.calls;
        // A refusal is bad luck of this request, the rest is the person's.
        let mut luck = Draw::new(calls.seed, request.attempt_id.0 as u64, 0);
        let mut person = Draw::new(calls.seed, request.contact_id.0 as u64, request.attempt_number.into());
        let length = calls.shortest + (person.share() * (calls.longest - calls.shortest) as f64) as u64;
        let disposition = match person.share() {
            share if share >= calls.unanswered => Disposition::Answered,
            share if share >= calls.unanswered / 2.0 => Disposition::NoAnswer,
            _ => Disposition::Busy,
        };
        let refused = luck.share() < calls.refused;
        let in_doubt = person.share() < calls.in_doubt;
        let lost = in_doubt && person.share() < 0.5;
        let (campaign, contact, number) = (request.campaign_id.0, request.contact_id.0, request.attempt_number);
        let key = Arc::clone(&request.key);
        // From here to the `write` nothing is awaited: what is checked is what is written.
        let at = monotonic();
        let late = context.now() > request.not_after;
        let ends = at + length * 1_000_000;
        let what = match () {
            () if late || refused => What::Refused { key },
            () if lost => What::Lost { key, campaign, contact, number },
            () => What::Handed { key, campaign, contact, number, ends, disposition },
        };
        self.book.write(at, [what]).map_err(DialError::Transient)?;
        if late || refused {
            let retry_after = if late { Duration::ZERO } else { Duration::from_millis(5) };
            return Err(DialError::Throttled { retry_after });
        }
        if in_doubt {
            return Err(DialError::InDoubt(Error::new(Kind::Provider, "the carrier's answer was lost")));
        }
        if calls.gives_reference {
            // When the store does not take it, the call goes on nevertheless.
            let _ = context.placed(format!("call-{}", request.key)).await;
        }
        let left = ends.saturating_sub(monotonic());
        if left > 0 {
            context.sleep(Duration::from_nanos(left)).await;
        }
        // An end that cannot be written is no harm: the hand-off says when it is.
        let _ = self.book.write(monotonic(), [What::Ended { key: Arc::clone(&request.key) }]);
        Ok(Self::outcome(disposition, &request.key, calls.gives_reference))
    }

    async fn find(&self, request: FindRequest) -> Result<Found> {
        match self.book.find(&request.key)? {
            Some((ends, disposition)) if monotonic() >= ends => {
                Ok(Found::Ended(Self::outcome(disposition, &request.key, self.calls.gives_reference)))
            }
            Some(_) => Ok(Found::Running { provider_ref: format!("call-{}", request.key) }),
            None => {
                self.book.write(monotonic(), [What::NeverHappened { key: Arc::clone(&request.key) }])?;
                Ok(Found::NeverHappened)
            }
        }
    }
}

/// Numbers that follow from other numbers (`SplitMix64`); also for schedules of failures.
#[derive(Debug, Clone)]
pub struct Draw(u64);

impl Draw {
    /// From three numbers.
    pub fn new(a: u64, b: u64, c: u64) -> Self {
        let mut draw = Self(a);
        draw.0 ^= draw.next().wrapping_add(b);
        draw.0 ^= draw.next().wrapping_add(c);
        draw
    }

    /// The next one.
    #[expect(clippy::should_implement_trait, reason = "it never ends, so it is no iterator that anybody should collect")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// The next one, from 0 up to but not 1.
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The next one below a number.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}
