//! JSON and JSON Lines, one contact in memory at a time.
//!
//! The records of an array are cut out of the stream by counting brackets outside strings, and parsed one by one. So memory stays
//! flat, a record that is not valid costs only itself, and depth is bounded by the parser of each record.

use super::Limits;
use super::input::Input;
use super::row::{Cells, Facts, Next, Rejection, Row, Rows};
use crate::error::{Error, Kind, Result};
use serde_json::Value;

const CHUNK: usize = 64 * 1024;

/// Where the reader stands.
#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Before the first byte of an array or of an object around it.
    Start,
    /// Inside the array, before a record; the first needs no comma.
    Record { first: bool },
    /// Between lines.
    Line,
    /// Behind the last record.
    Done,
}

pub(super) struct Json {
    input: Input,
    buf: Vec<u8>,
    pos: usize,
    line: u64,
    state: State,
    /// The text of the present record.
    raw: Vec<u8>,
    limits: Limits,
}

/// How a value was cut out.
#[derive(PartialEq)]
enum Cut {
    Whole,
    TooLong,
    /// The input ended inside.
    Short,
}

impl Json {
    pub(super) fn open(input: Input, lines: bool, limits: Limits) -> Self {
        let state = if lines { State::Line } else { State::Start };
        Self { input, buf: Vec::new(), pos: 0, line: 1, state, raw: Vec::new(), limits }
    }

    /// The unread bytes at hand; empty at the end of the input.
    fn window(&mut self) -> Result<&[u8]> {
        if self.pos == self.buf.len() {
            self.buf.resize(CHUNK, 0);
            self.pos = 0;
            let read = self.input.read(&mut self.buf);
            self.buf.truncate(*read.as_ref().unwrap_or(&0));
            read?;
        }
        Ok(&self.buf[self.pos..])
    }

    fn peek(&mut self) -> Result<Option<u8>> {
        Ok(self.window()?.first().copied())
    }

    fn advance(&mut self, by: usize) {
        self.line += self.buf[self.pos..self.pos + by].iter().filter(|byte| **byte == b'\n').count() as u64;
        self.pos += by;
    }

    /// The next byte that is no white space.
    fn token(&mut self) -> Result<Option<u8>> {
        loop {
            let window = self.window()?;
            let blank = window.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let next = window.get(blank).copied();
            let more = !window.is_empty();
            self.advance(blank);
            if next.is_some() || !more {
                return Ok(next);
            }
        }
    }

    fn damaged(&self, what: impl Into<String>) -> Error {
        Error::new(Kind::Invalid, what).with("line", self.line)
    }

    /// Cuts one value out of the stream into `raw`.
    fn cut_value(&mut self) -> Result<Cut> {
        self.raw.clear();
        let (mut depth, mut in_string, mut escaped, mut too_long) = (0usize, false, false, false);
        let nested = matches!(self.peek()?, Some(b'{' | b'[' | b'"'));
        loop {
            let window = self.window()?;
            if window.is_empty() {
                return Ok(if nested || self.raw.is_empty() { Cut::Short } else { Cut::Whole });
            }
            let mut taken = 0;
            let mut ended = false;
            for &byte in window {
                if !nested && matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n') {
                    ended = true;
                    break;
                }
                taken += 1;
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' if in_string => escaped = true,
                    b'"' => in_string = !in_string,
                    _ if in_string => {}
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                if nested && depth == 0 && !in_string {
                    ended = true;
                    break;
                }
            }
            if self.raw.len() + taken <= self.limits.max_record_bytes {
                self.raw.extend_from_slice(&self.buf[self.pos..self.pos + taken]);
            } else {
                too_long = true;
            }
            self.advance(taken);
            if ended {
                return Ok(if too_long { Cut::TooLong } else { Cut::Whole });
            }
        }
    }

    fn cut_line(&mut self) -> Result<Cut> {
        self.raw.clear();
        let mut too_long = false;
        loop {
            let window = self.window()?;
            if window.is_empty() {
                return Ok(if too_long {
                    Cut::TooLong
                } else if self.raw.is_empty() {
                    Cut::Short
                } else {
                    Cut::Whole
                });
            }
            let end = window.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(window.len());
            if self.raw.len() + taken <= self.limits.max_record_bytes {
                self.raw.extend_from_slice(&self.buf[self.pos..self.pos + taken]);
            } else {
                too_long = true;
            }
            self.advance(taken + usize::from(end.is_some()));
            if end.is_some() {
                return Ok(if too_long { Cut::TooLong } else { Cut::Whole });
            }
        }
    }

    /// Goes to the first record: into the array, or into the array under `contacts`.
    fn enter(&mut self) -> Result<()> {
        match self.token()? {
            Some(b'[') => {
                self.advance(1);
                self.state = State::Record { first: true };
                return Ok(());
            }
            Some(b'{') => self.advance(1),
            None => {
                self.state = State::Done;
                return Ok(());
            }
            Some(_) => {
                return Err(self.damaged("the file is not JSON: it must be an array of contacts, or an object with a `contacts` array"));
            }
        }
        let lost = "the JSON object has no `contacts` array";
        loop {
            match self.token()? {
                Some(b'"') => {}
                Some(b',') => {
                    self.advance(1);
                    continue;
                }
                _ => return Err(self.damaged(lost)),
            }
            if self.cut_value()? != Cut::Whole {
                return Err(self.damaged(lost));
            }
            let found = serde_json::from_slice::<String>(&self.raw).is_ok_and(|key| key == "contacts");
            if self.token()? != Some(b':') {
                return Err(self.damaged("the file is not valid JSON: a `:` is missing"));
            }
            self.advance(1);
            let value = self.token()?;
            if found {
                if value != Some(b'[') {
                    return Err(self.damaged("`contacts` must be an array of objects"));
                }
                self.advance(1);
                self.state = State::Record { first: true };
                return Ok(());
            }
            if value.is_none() || self.cut_value()? == Cut::Short {
                return Err(self.damaged(lost));
            }
        }
    }

    /// Steps over the comma to the next record. `false` at the end of the array.
    fn step(&mut self, first: bool) -> Result<bool> {
        let cut_off = "the file ends in the middle of the array of contacts; it may be cut off";
        let mut next = self.token()?;
        if next == Some(b']') {
            self.state = State::Done;
            return Ok(false);
        }
        if !first {
            match next {
                Some(b',') => self.advance(1),
                Some(_) => return Err(self.damaged("the file is not valid JSON: a `,` between contacts is missing")),
                None => return Err(self.damaged(cut_off)),
            }
            next = self.token()?;
            // A comma behind the last record is a common slip, and harmless.
            if next == Some(b']') {
                self.state = State::Done;
                return Ok(false);
            }
        }
        match next {
            Some(b',' | b'}' | b':') => Err(self.damaged("the file is not valid JSON: a contact is missing between two commas")),
            Some(_) => Ok(true),
            None => Err(self.damaged(cut_off)),
        }
    }

    fn parse(&self, row: &mut Row, line: u64) -> Next {
        match serde_json::from_slice::<Value>(&self.raw) {
            Ok(Value::Object(object)) => {
                row.line = line;
                row.cells = Cells::Object(object);
                Next::Row
            }
            Ok(_) => Next::Bad(
                Rejection::new("not_an_object", "a contact must be a JSON object with one member per column").line(line).raw(&self.raw),
            ),
            Err(error) => Next::Bad(
                Rejection::new("invalid_json", format!("the contact is not valid JSON: {}", sentence(&error))).line(line).raw(&self.raw),
            ),
        }
    }

    fn too_long(&self, line: u64) -> Next {
        let reason = format!("the contact is longer than {} bytes", self.limits.max_record_bytes);
        Next::Bad(Rejection::new("row_too_long", reason).line(line))
    }
}

/// The parser's words without its position, which counts from the beginning of the record.
fn sentence(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split_once(" at line ").map_or(text.clone(), |(words, _)| words.to_owned())
}

impl Rows for Json {
    fn next(&mut self, row: &mut Row) -> Result<Next> {
        loop {
            match self.state {
                State::Start => self.enter()?,
                State::Done => return Ok(Next::End),
                State::Line => {
                    let line = self.line;
                    match self.cut_line()? {
                        Cut::TooLong => return Ok(self.too_long(line)),
                        Cut::Short => {
                            self.state = State::Done;
                        }
                        Cut::Whole if self.raw.trim_ascii().is_empty() => {}
                        Cut::Whole => return Ok(self.parse(row, line)),
                    }
                }
                State::Record { first } => {
                    if !self.step(first)? {
                        continue;
                    }
                    self.state = State::Record { first: false };
                    let line = self.line;
                    return match self.cut_value()? {
                        Cut::Whole => Ok(self.parse(row, line)),
                        Cut::TooLong => Ok(self.too_long(line)),
                        Cut::Short => {
                            self.state = State::Done;
                            let message = "the file ends in the middle of a contact; it may be cut off";
                            Err(Error::new(Kind::Invalid, message).with("line", line))
                        }
                    };
                }
            }
        }
    }

    fn facts(&self) -> Facts {
        Facts { encoding: Some(self.input.encoding), ..Facts::default() }
    }
}
