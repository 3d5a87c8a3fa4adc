//! CSV and its relatives: rows of delimited text, with every record bounded.
//!
//! The record splitter of the csv crate is used directly, because it lets this reader look at the raw bytes of a record: a quote
//! that is never closed then costs one row, and not the rest of the file.

use super::Limits;
use super::input::Input;
use super::row::{Facts, Next, Rejection, Row, Rows};
use crate::error::{Error, Kind, Result};
use csv_core::ReadRecordResult;

/// How much is read at a time.
const CHUNK: usize = 64 * 1024;

/// Rows cut off by bad quoting are read again from their second line. A file made to do that for every line would take for ever,
/// so there is an end to it.
const MAX_REREAD: usize = 64 * 1024 * 1024;

pub(super) struct Delimited {
    input: Input,
    delimiter: u8,
    core: csv_core::Reader,
    buf: Vec<u8>,
    /// Where the present record begins in `buf`.
    start: usize,
    /// Up to where `buf` has been split.
    pos: usize,
    eof: bool,
    out: Vec<u8>,
    ends: Vec<usize>,
    /// The line at `start`.
    line: u64,
    /// Whether the byte before `start` is a carriage return, so that a line feed at `start` ends no line of its own.
    after_cr: bool,
    reread: usize,
    limits: Limits,
}

impl Delimited {
    /// `skip_line`: the first line is an Excel `sep=` line and no data.
    pub(super) fn open(input: Input, delimiter: u8, skip_line: bool, limits: Limits) -> Result<Self> {
        let mut reader = Self {
            input,
            delimiter,
            core: csv_core::ReaderBuilder::new().delimiter(delimiter).build(),
            buf: Vec::new(),
            start: 0,
            pos: 0,
            eof: false,
            out: vec![0; 4096],
            ends: vec![0; 64],
            line: 1,
            after_cr: false,
            reread: 0,
            limits,
        };
        if skip_line {
            reader.skip_line()?;
        }
        Ok(reader)
    }

    fn fill(&mut self) -> Result<()> {
        if self.start > 0 {
            self.buf.drain(..self.start);
            self.pos -= self.start;
            self.start = 0;
        }
        let filled = self.buf.len();
        self.buf.resize(filled + CHUNK, 0);
        let read = self.input.read(&mut self.buf[filled..]);
        self.buf.truncate(filled + *read.as_ref().unwrap_or(&0));
        self.eof = read? == 0;
        Ok(())
    }

    /// Takes everything up to `end` as read.
    fn consume(&mut self, end: usize) {
        let bytes = &self.buf[self.start..end];
        self.line += count_lines(bytes, self.after_cr);
        self.after_cr = bytes.last().map_or(self.after_cr, |last| *last == b'\r');
        self.start = end;
    }

    /// Goes on behind the end of the line at `start`, without keeping it.
    fn skip_line(&mut self) -> Result<()> {
        loop {
            if let Some(length) = first_line(&self.buf[self.start..]) {
                self.consume(self.start + length);
                break;
            }
            self.consume(self.buf.len());
            if self.eof {
                break;
            }
            self.pos = self.start;
            self.fill()?;
        }
        self.pos = self.start;
        self.core.reset();
        Ok(())
    }

    /// Rejects the line at `start` and goes on behind it.
    fn give_up(&mut self, code: &'static str, reason: String) -> Result<Next> {
        let line = self.line;
        self.reread += self.pos - self.start;
        let raw = first_line(&self.buf[self.start..]).map(|length| self.buf[self.start..self.start + length].to_vec());
        self.skip_line()?;
        if self.reread > MAX_REREAD {
            let message = "the quotes of the file do not match up; too many rows are cut off by quotes that are never closed";
            return Err(Error::new(Kind::Invalid, message).with("line", line));
        }
        let rejection = Rejection::new(code, reason).line(line);
        Ok(Next::Bad(match raw {
            Some(raw) => rejection.raw(raw.trim_ascii_end()),
            None => rejection,
        }))
    }

    fn too_long(&mut self) -> Result<Next> {
        if first_line(&self.buf[self.start..]).is_some() {
            let reason = format!("a quote that opens in this row is not closed within {} bytes", self.limits.max_record_bytes);
            return self.give_up("unterminated_quote", reason);
        }
        let reason = format!("the line is longer than {} bytes", self.limits.max_record_bytes);
        self.give_up("row_too_long", reason)
    }
}

impl Rows for Delimited {
    fn next(&mut self, row: &mut Row) -> Result<Next> {
        let (mut written, mut fields) = (0, 0);
        let at_end = loop {
            if self.pos == self.buf.len() && !self.eof {
                self.fill()?;
            }
            let at_end = self.pos == self.buf.len();
            let (result, read, wrote, ended) =
                self.core.read_record(&self.buf[self.pos..], &mut self.out[written..], &mut self.ends[fields..]);
            self.pos += read;
            written += wrote;
            fields += ended;
            match result {
                ReadRecordResult::Record => break at_end,
                ReadRecordResult::End => return Ok(Next::End),
                ReadRecordResult::OutputFull => self.out.resize(self.out.len() * 2, 0),
                ReadRecordResult::OutputEndsFull if self.ends.len() > self.limits.max_columns => {
                    let reason = format!("the row has more than {} cells", self.limits.max_columns);
                    return self.give_up("too_many_columns", reason);
                }
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::InputEmpty => {
                    // Blank lines before the record are no part of it.
                    let blank = leading_newlines(&self.buf[self.start..self.pos]);
                    self.consume(self.start + blank);
                    if self.pos - self.start > self.limits.max_record_bytes {
                        return self.too_long();
                    }
                }
            }
        };
        let blank = leading_newlines(&self.buf[self.start..self.pos]);
        self.consume(self.start + blank);
        let raw = &self.buf[self.start..self.pos];
        if fields > self.limits.max_columns {
            let reason = format!("the row has {fields} cells; at most {} are read", self.limits.max_columns);
            return self.give_up("too_many_columns", reason);
        }
        let many_lines = first_line(raw).is_some_and(|length| !raw[length..].trim_ascii().is_empty());
        if many_lines || at_end {
            match check_quotes(raw, self.delimiter) {
                Quotes::Fine => {}
                Quotes::Open => return self.give_up("unterminated_quote", "a quote that opens in this row is never closed".to_owned()),
                Quotes::Stray if many_lines => {
                    let reason = "a quote that opens in this row closes in a later row, in the middle of a cell".to_owned();
                    return self.give_up("unterminated_quote", reason);
                }
                Quotes::Stray => {}
            }
        }
        row.line = self.line;
        row.fill(|cells| cells.set(&self.out[..written], &self.ends[..fields]));
        self.consume(self.pos);
        Ok(Next::Row)
    }

    fn facts(&self) -> Facts {
        Facts { encoding: Some(self.input.encoding), delimiter: Some(char::from(self.delimiter)), sheet: None }
    }
}

fn leading_newlines(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count()
}

/// The length of the first line with its end, if it has one.
fn first_line(bytes: &[u8]) -> Option<usize> {
    let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
    Some(if bytes[end..].starts_with(b"\r\n") { end + 2 } else { end + 1 })
}

/// Ends of lines: `\n`, `\r\n` or `\r`.
fn count_lines(bytes: &[u8], after_cr: bool) -> u64 {
    let feeds = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    let returns = bytes.iter().filter(|byte| **byte == b'\r').count() as u64;
    if returns == 0 && !after_cr {
        return feeds;
    }
    let pairs = bytes.windows(2).filter(|pair| pair == b"\r\n").count() as u64 + u64::from(after_cr && bytes.first() == Some(&b'\n'));
    feeds + returns - pairs
}

#[derive(Debug, PartialEq)]
enum Quotes {
    Fine,
    /// A quoted cell is still open at the end.
    Open,
    /// Something follows a closing quote.
    Stray,
}

fn check_quotes(raw: &[u8], delimiter: u8) -> Quotes {
    let mut bytes = raw.iter().copied().peekable();
    let (mut cell_begins, mut quoted) = (true, false);
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if quoted => match bytes.peek() {
                Some(b'"') => drop(bytes.next()),
                Some(next) if *next != delimiter && !matches!(next, b'\r' | b'\n') => return Quotes::Stray,
                _ => quoted = false,
            },
            _ if quoted => {}
            b'"' if cell_begins => quoted = true,
            _ => {}
        }
        cell_begins = !quoted && (byte == delimiter || matches!(byte, b'\r' | b'\n'));
    }
    if quoted { Quotes::Open } else { Quotes::Fine }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes() {
        for (raw, expected) in [
            ("a,b\n", Quotes::Fine),
            ("\"a\nb\",c\n", Quotes::Fine),
            ("\"a \"\"b\"\"\",c", Quotes::Fine),
            ("a \"b\" c,d", Quotes::Fine),
            ("\"a,b\nc,d", Quotes::Open),
            ("\"a,b\n\"c\",d", Quotes::Stray),
        ] {
            assert_eq!(check_quotes(raw.as_bytes(), b','), expected, "{raw:?}");
        }
    }

    #[test]
    fn lines() {
        for (text, after_cr, expected) in [
            ("", false, 0),
            ("a\nb\n", false, 2),
            ("a\r\nb\r\n", false, 2),
            ("a\rb\r", false, 2),
            ("\na\n", true, 1),
            ("a\r\n\n", false, 2),
        ] {
            assert_eq!(count_lines(text.as_bytes(), after_cr), expected, "{text:?}");
        }
    }
}
