//! What a simulated carrier remembers: its hand-offs, in memory and in a file that survives `kill -9`.

use crate::error::{Error, Kind, Result};
use crate::id::ContactId;
use crate::outcome::{Channel, Outcome};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

/// One hand-off to a simulated carrier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HandOff {
    /// The idempotency key of the attempt.
    pub key: Arc<str>,
    /// The contact.
    pub contact_id: ContactId,
    /// Which attempt at the contact it was, from 1.
    pub attempt_number: u32,
    /// The channel.
    pub channel: Channel,
    /// When it was handed over. Never earlier than the hand-off before.
    pub at: Timestamp,
    /// The carrier's reference.
    pub provider_ref: String,
    /// When it ends if nobody hangs up.
    pub ends_at: Timestamp,
    /// How it ends if nobody hangs up.
    pub outcome: Outcome,
    /// When and how it ended, once the dialer has seen the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<(Timestamp, Outcome)>,
}

/// One line of the log, as it is read.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line {
    HandedOff(Box<HandOff>),
    Ended { key: Arc<str>, at: Timestamp, outcome: Outcome },
}

/// One line of the log, as it is written.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Written<'a> {
    HandedOff(&'a HandOff),
    Ended { key: &'a str, at: Timestamp, outcome: &'a Outcome },
}

/// The hand-offs in their order, found by key.
#[derive(Default)]
pub(super) struct Book {
    hand_offs: Vec<HandOff>,
    /// The last hand-off of each key.
    by_key: HashMap<Arc<str>, usize>,
    repeated: u64,
    log: Option<File>,
}

impl Book {
    /// Opens or creates the log and reads what is in it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let failed = |what: &str, error: std::io::Error| {
            Error::new(Kind::Unavailable, format!("the carrier's log cannot be {what}")).with("file", path.display()).with_source(error)
        };
        let mut log = File::options().read(true).append(true).create(true).open(path).map_err(|error| failed("opened", error))?;
        let mut bytes = Vec::new();
        log.read_to_end(&mut bytes).map_err(|error| failed("read", error))?;
        // A line without its end was being written when the process died, so its hand-off did not go on; the next line must not join it.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole < bytes.len() {
            log.set_len(whole as u64).map_err(|error| failed("mended", error))?;
        }
        let mut book = Book::default();
        for (number, line) in bytes[..whole].split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
            let line = serde_json::from_slice(line).map_err(|error| {
                Error::new(Kind::Corrupt, "the carrier's log is damaged; remove it to start anew")
                    .with("file", path.display())
                    .with("line", number + 1)
                    .with_source(error)
            })?;
            match line {
                Line::HandedOff(hand_off) => book.remember(*hand_off),
                Line::Ended { key, at, outcome } => book.close(&key, at, &outcome),
            }
        }
        book.log = Some(log);
        Ok(book)
    }

    /// Records a hand-off, in the file first. When this fails, nothing was handed over.
    pub(super) fn hand_off(&mut self, hand_off: HandOff) -> Result<()> {
        self.write(&Written::HandedOff(&hand_off))?;
        self.remember(hand_off);
        Ok(())
    }

    /// Records an end. An end that cannot be written is not lost: it follows from the hand-off.
    pub(super) fn end(&mut self, key: &str, at: Timestamp, outcome: &Outcome) {
        self.close(key, at, outcome);
        if let Err(error) = self.write(&Written::Ended { key, at, outcome }) {
            tracing::warn!(%error, "the end of a simulated attempt was not written");
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&HandOff> {
        self.by_key.get(key).map(|index| &self.hand_offs[*index])
    }

    pub(super) fn all(&self) -> &[HandOff] {
        &self.hand_offs
    }

    /// How many hand-offs had a key that was handed over before.
    pub(super) fn repeated(&self) -> u64 {
        self.repeated
    }

    fn remember(&mut self, hand_off: HandOff) {
        if self.by_key.insert(hand_off.key.clone(), self.hand_offs.len()).is_some() {
            self.repeated += 1;
        }
        self.hand_offs.push(hand_off);
    }

    fn close(&mut self, key: &str, at: Timestamp, outcome: &Outcome) {
        if let Some(index) = self.by_key.get(key) {
            self.hand_offs[*index].ended = Some((at, outcome.clone()));
        }
    }

    /// Writes a line, if there is a log. One `write` for the whole of it: the operating system keeps it even when this process is killed the next moment.
    fn write(&mut self, line: &Written<'_>) -> Result<()> {
        let Some(log) = &mut self.log else { return Ok(()) };
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(Kind::Unavailable, "the carrier's log cannot be written").with_source(error)
        };
        let mut bytes = serde_json::to_vec(line).map_err(|error| failed(error.into()))?;
        bytes.push(b'\n');
        log.write_all(&bytes).map_err(|error| failed(error.into()))
    }
}
