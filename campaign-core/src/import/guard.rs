//! A look at a spreadsheet before it is opened: archives that unfold to far more than they weigh, and sheets that claim to be
//! larger than memory, are refused here.

use super::{Format, Limits};
use crate::error::{Error, Kind, Result};
use std::io::{Cursor, Read};

/// Parts smaller than this may be as repetitive as they like.
const SMALL: u64 = 16 * 1024 * 1024;

/// Sheets reach 20 to 40, never this.
const MAX_RATIO: u64 = 200;

pub(super) fn check(bytes: &[u8], format: Format, limits: &Limits) -> Result<()> {
    match format {
        Format::Xls => super::guard_xls::check(bytes),
        _ => archive(bytes, format, limits),
    }
}

/// The spreadsheet format of an archive, from its directory.
pub(super) fn format_of_archive(bytes: &[u8]) -> Result<Format> {
    let archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| damaged().with_source(error))?;
    let names: Vec<String> = archive.file_names().flatten().map(|name| name.to_ascii_lowercase()).collect();
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    if has("content.xml") {
        Ok(Format::Ods)
    } else if names.iter().any(|name| name.starts_with("xl/worksheets/") && name.ends_with(".bin")) {
        Err(Error::new(Kind::Invalid, "XLSB workbooks are not read; save the file as XLSX or CSV"))
    } else if names.iter().any(|name| name.starts_with("xl/")) {
        Ok(Format::Xlsx)
    } else {
        Err(Error::new(Kind::Invalid, "the file is an archive, not a spreadsheet; unpack it first"))
    }
}

fn archive(bytes: &[u8], format: Format, limits: &Limits) -> Result<()> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| damaged().with_source(error))?;
    let bomb = || {
        let message =
            format!("the spreadsheet unpacks to more than is reasonable (at most {} bytes); save it as CSV", limits.max_unzipped_bytes);
        Error::new(Kind::Invalid, message)
    };
    let mut room = limits.max_unzipped_bytes;
    let mut chunk = vec![0; 64 * 1024];
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|error| damaged().with_source(error))?;
        let claimed = entry.size();
        if claimed > room || (claimed > SMALL && claimed / entry.compressed_size().max(1) > MAX_RATIO) {
            return Err(bomb());
        }
        // The directory may lie, so every part is unpacked once, to nowhere.
        let name = entry.name().map_err(|error| damaged().with_source(error))?.to_ascii_lowercase();
        let mut scan = Scan::of(&name, format);
        let mut unpacked = 0;
        loop {
            let read = entry.read(&mut chunk).map_err(|error| damaged().with_source(error))?;
            if read == 0 {
                break;
            }
            unpacked += read as u64;
            if unpacked > claimed || unpacked > room {
                return Err(bomb());
            }
            scan.feed(&chunk[..read]);
        }
        if scan.is_too_large(unpacked) {
            return Err(bomb());
        }
        room -= unpacked;
    }
    Ok(())
}

pub(super) fn damaged() -> Error {
    Error::new(Kind::Invalid, "the spreadsheet is damaged or cut off")
}

/// What to look for inside a part, because the reader would believe it and reserve memory.
enum Scan {
    Nothing,
    /// `uniqueCount` of the shared strings; the beginning of the part.
    Strings(Vec<u8>),
    /// Repeated cells and rows of an ODS sheet.
    Repeats(Repeats),
}

impl Scan {
    fn of(name: &str, format: Format) -> Self {
        if name.ends_with("sharedstrings.xml") {
            Self::Strings(Vec::new())
        } else if format == Format::Ods && name == "content.xml" {
            Self::Repeats(Repeats::default())
        } else {
            Self::Nothing
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        match self {
            Self::Nothing => {}
            Self::Strings(head) => {
                let room = 64 * 1024 - head.len().min(64 * 1024);
                head.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Self::Repeats(repeats) => repeats.feed(bytes),
        }
    }

    fn is_too_large(&self, unpacked: u64) -> bool {
        match self {
            Self::Nothing => false,
            // Each string takes at least `<si/>`.
            Self::Strings(head) => attribute(head, b"uniqueCount").is_some_and(|count| count > unpacked / 5 + 1),
            Self::Repeats(repeats) => repeats.width.saturating_mul(repeats.height) > MAX_CELLS,
        }
    }
}

/// Cells of a sheet that is read as a whole: 640 MB at worst.
pub(super) const MAX_CELLS: u64 = 20_000_000;

/// Adds up how wide and high the largest sheet of an ODS file becomes once its repeated cells are written out.
#[derive(Default)]
struct Repeats {
    tag: Vec<u8>,
    in_tag: bool,
    row_repeat: u64,
    row_width: u64,
    row_filled: u64,
    rows: u64,
    width: u64,
    height: u64,
}

impl Repeats {
    fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'<' => {
                    self.in_tag = true;
                    self.tag.clear();
                }
                b'>' if self.in_tag => {
                    self.in_tag = false;
                    self.tag_done();
                }
                // Tags of sheets are short; the end of a longer one does not matter.
                _ if self.in_tag && self.tag.len() < 4096 => self.tag.push(byte),
                _ => {}
            }
        }
    }

    fn tag_done(&mut self) {
        let tag = std::mem::take(&mut self.tag);
        let empty = tag.ends_with(b"/");
        if tag.starts_with(b"table:table-row") {
            self.row_repeat = attribute(&tag, b"number-rows-repeated").unwrap_or(1);
            (self.row_width, self.row_filled) = (0, 0);
        } else if tag.starts_with(b"table:table-cell") || tag.starts_with(b"table:covered-table-cell") {
            self.row_width = self.row_width.saturating_add(attribute(&tag, b"number-columns-repeated").unwrap_or(1));
            if !empty || tag.windows(5).any(|part| part == b"value") {
                self.row_filled = self.row_width;
            }
        } else if tag.starts_with(b"/table:table-row") {
            self.rows = self.rows.saturating_add(self.row_repeat);
            if self.row_filled > 0 {
                self.width = self.width.max(self.row_filled);
                self.height = self.height.max(self.rows);
            }
        } else if tag.starts_with(b"/table:table") {
            self.rows = 0;
        }
        self.tag = tag;
    }
}

/// The number behind `name="` in a tag or at the beginning of a part.
fn attribute(text: &[u8], name: &[u8]) -> Option<u64> {
    let at = text.windows(name.len()).position(|part| part == name)? + name.len();
    let mut digits =
        text[at..].iter().skip_while(|byte| matches!(byte, b'=' | b'"' | b'\'' | b' ')).take_while(|byte| byte.is_ascii_digit()).peekable();
    digits.peek()?;
    Some(digits.fold(0u64, |number, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}
