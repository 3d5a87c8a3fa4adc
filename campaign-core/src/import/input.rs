//! Sources of bytes, and decoded text on top of them.

use crate::error::{Error, Kind, Result};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use encoding_rs_io::DecodeReaderBytesBuilder;
use std::fs::File;
use std::io::{Cursor, Read, Seek};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much of a source is looked at before it is read.
const SAMPLE: usize = 128 * 1024;

/// A source of bytes with its beginning looked at.
pub(super) struct Raw {
    pub(super) sample: Vec<u8>,
    /// Whether the sample is all there is.
    pub(super) complete: bool,
    rest: Box<dyn Read + Send>,
    pub(super) read: Arc<AtomicU64>,
    pub(super) total: Option<u64>,
}

impl Raw {
    pub(super) fn open(reader: Box<dyn Read + Send>, total: Option<u64>) -> Result<Self> {
        let read = Arc::new(AtomicU64::new(0));
        let mut rest: Box<dyn Read + Send> = Box::new(Counting { inner: reader, read: Arc::clone(&read) });
        let sample = head(&mut rest, SAMPLE)?;
        Ok(Self { complete: sample.len() < SAMPLE, sample, rest, read, total })
    }

    pub(super) fn file(path: &std::path::Path) -> Result<Self> {
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::new(Kind::NotFound, "the file does not exist").with_source(error),
            _ => unreadable(error),
        };
        Self::of(File::open(path).map_err(failed)?)
    }

    /// An open file, from its beginning.
    pub(super) fn open_file(mut file: File) -> Result<Self> {
        file.rewind().map_err(unreadable)?;
        Self::of(file)
    }

    fn of(file: File) -> Result<Self> {
        let meta = file.metadata().map_err(unreadable)?;
        if meta.is_dir() {
            return Err(Error::new(Kind::Invalid, "this is a folder, not a file"));
        }
        Self::open(Box::new(file), meta.is_file().then_some(meta.len()))
    }

    pub(super) fn bytes(bytes: Arc<[u8]>) -> Result<Self> {
        let total = bytes.len() as u64;
        Self::open(Box::new(Cursor::new(bytes)), Some(total))
    }

    /// Everything in memory, for formats that need to jump about.
    #[cfg(feature = "spreadsheet")]
    pub(super) fn into_bytes(self, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = self.sample;
        let room = limit.saturating_sub(bytes.len() as u64);
        let more = self.rest.take(room.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
        if more as u64 > room {
            return Err(Error::new(
                Kind::Invalid,
                format!("the spreadsheet is larger than {limit} bytes; save it as CSV, which may be of any size"),
            ));
        }
        Ok(bytes)
    }

    /// Text of this source.
    ///
    /// # Errors
    /// An encoding label nobody knows, or bytes that are no text at all.
    pub(super) fn into_text(self, label: Option<&str>) -> Result<(Input, Vec<u8>)> {
        let encoding = match label {
            Some(label) => Encoding::for_label(label.trim().as_bytes()).ok_or_else(|| {
                Error::invalid("encoding", "this encoding is not known; examples are utf-8, utf-16le, windows-1252 and iso-8859-1")
            })?,
            None => guess_encoding(&self.sample, self.complete)?,
        };
        let bom: &[u8] = if encoding == UTF_8 { b"\xEF\xBB\xBF" } else { b"" };
        let skip = if self.sample.starts_with(bom) { bom.len() } else { 0 };
        let mut sample = Cursor::new(self.sample);
        sample.set_position(skip as u64);
        let bytes = sample.chain(self.rest);
        // UTF-8 passes as it is: bytes that are not UTF-8 are judged cell by cell.
        let mut reader: Box<dyn Read + Send> = if encoding == UTF_8 {
            Box::new(bytes)
        } else {
            Box::new(DecodeReaderBytesBuilder::new().encoding(Some(encoding)).bom_override(label.is_none()).strip_bom(true).build(bytes))
        };
        let sample = head(&mut reader, SAMPLE / 2)?;
        let reader = Box::new(Cursor::new(sample.clone()).chain(reader));
        Ok((Input { reader, encoding: encoding.name() }, sample))
    }
}

/// Decoded text.
pub(super) struct Input {
    reader: Box<dyn Read + Send>,
    pub(super) encoding: &'static str,
}

impl Input {
    pub(super) fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        loop {
            match self.reader.read(buf) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                result => return result.map_err(unreadable),
            }
        }
    }
}

struct Counting {
    inner: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
}

impl Read for Counting {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

fn head(reader: &mut Box<dyn Read + Send>, limit: usize) -> Result<Vec<u8>> {
    let mut sample = Vec::new();
    reader.take(limit as u64).read_to_end(&mut sample).map_err(unreadable)?;
    Ok(sample)
}

pub(super) fn unreadable(error: std::io::Error) -> Error {
    Error::new(Kind::Invalid, "the file cannot be read").with_source(error)
}

/// UTF-8 unless a byte order mark, zero bytes in every other place, or bytes that are not UTF-8 speak against it.
fn guess_encoding(sample: &[u8], complete: bool) -> Result<&'static Encoding> {
    match sample {
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => {
            return Err(Error::new(Kind::Invalid, "the file is UTF-32 text; save it as UTF-8"));
        }
        [0xFF, 0xFE, ..] => return Ok(UTF_16LE),
        [0xFE, 0xFF, ..] => return Ok(UTF_16BE),
        _ => {}
    }
    let zeros = |offset: usize| sample.iter().skip(offset).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd, half) = (zeros(0), zeros(1), sample.len() / 2);
    // Separators, digits and line ends have a zero byte in UTF-16 in every script.
    if half > 0 && odd * 5 > half && even * 20 <= half {
        return Ok(UTF_16LE);
    }
    if half > 0 && even * 5 > half && odd * 20 <= half {
        return Ok(UTF_16BE);
    }
    // A few zero bytes are damage, reported row by row; many mean that this is no text.
    if (even + odd) * 20 > sample.len() {
        return Err(Error::new(Kind::Invalid, "the file is not text: it is full of zero bytes"));
    }
    match std::str::from_utf8(sample) {
        Ok(_) => Ok(UTF_8),
        // The last character may be cut off by the end of the sample.
        Err(error) if error.error_len().is_none() && !complete => Ok(UTF_8),
        Err(_) => Ok(WINDOWS_1252),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings() {
        let utf16 = |text: &str, big: bool| -> Vec<u8> {
            text.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
        };
        let cases: [(Vec<u8>, &str); 8] = [
            (b"name,phone".to_vec(), "UTF-8"),
            ("José,1".as_bytes().to_vec(), "UTF-8"),
            (b"Jos\xE9,1".to_vec(), "windows-1252"),
            (utf16("name,phone\n电话,1\n", false), "UTF-16LE"),
            (utf16("name,phone\n电话,1\n", true), "UTF-16BE"),
            ([b"\xFF\xFE".to_vec(), utf16("a", false)].concat(), "UTF-16LE"),
            ([b"\xFE\xFF".to_vec(), utf16("a", true)].concat(), "UTF-16BE"),
            (Vec::new(), "UTF-8"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(guess_encoding(&bytes, true).map(Encoding::name).ok(), Some(expected), "{bytes:?}");
        }
        assert!(guess_encoding(&[0; 64], true).is_err());
        assert_eq!(guess_encoding(&"é".as_bytes()[..1], false).map(Encoding::name).ok(), Some("UTF-8"), "cut off by the sample");
    }
}
