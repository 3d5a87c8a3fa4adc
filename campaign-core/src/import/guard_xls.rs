//! The look at an XLS file. Its sheets are read as whole rectangles, and a few bytes can claim one of four billion cells; so the
//! cells of every sheet are walked first, the same way the reader will.

use super::guard::{MAX_CELLS, damaged};
use crate::error::{Error, Kind, Result};
use std::io::{Cursor, Read};

const BOUND_SHEET: u16 = 0x0085;
const END: u16 = 0x000A;
const DIMENSIONS: u16 = 0x0200;
const MANY_NUMBERS: u16 = 0x00BD;

/// Records that hold one cell: formula, RK, shared text, number, text, boolean, rich text.
const CELLS: [u16; 7] = [0x0006, 0x027E, 0x00FD, 0x0203, 0x0204, 0x0205, 0x00D6];

pub(super) fn check(bytes: &[u8]) -> Result<()> {
    let mut file = cfb::CompoundFile::open(Cursor::new(bytes)).map_err(|error| damaged().with_source(error))?;
    if file.exists("/EncryptedPackage") {
        return Err(Error::new(Kind::Invalid, "the workbook is protected by a password; save it without one"));
    }
    let name = if file.exists("/Workbook") { "/Workbook" } else { "/Book" };
    let mut stream = Vec::new();
    let opened = file.open_stream(name).map_err(|error| damaged().with_source(error))?;
    // No stream is longer than its file, whatever its directory entry says.
    opened.take(bytes.len() as u64).read_to_end(&mut stream).map_err(|error| damaged().with_source(error))?;
    let mut room = MAX_CELLS;
    for sheet in records(&stream).take_while(|(kind, _)| *kind != END).filter(|(kind, _)| *kind == BOUND_SHEET) {
        let at = u32_at(sheet.1, 0) as usize;
        room = stream.get(at..).and_then(|sheet| room.checked_sub(area(sheet))).ok_or_else(|| {
            Error::new(Kind::Invalid, format!("the sheets of the workbook span more than {MAX_CELLS} cells; save the list as CSV"))
        })?;
    }
    Ok(())
}

/// How many cells a sheet spans: as it claims, or as its cells lie, whatever is more; and at least a little, so that the same sheet
/// cannot be named over and over.
fn area(sheet: &[u8]) -> u64 {
    let (mut rows, mut columns, mut claimed, mut count) = (0u64, 0u64, 0u64, 1000u64);
    for (kind, data) in records(sheet) {
        let mut cell = |row: u16, column: u16| {
            rows = rows.max(u64::from(row) + 1);
            columns = columns.max(u64::from(column) + 1);
        };
        match kind {
            END => break,
            DIMENSIONS if data.len() == 10 => claimed = claimed.max(u64::from(u16_at(data, 2)) * u64::from(u16_at(data, 6))),
            DIMENSIONS => claimed = claimed.max(u64::from(u32_at(data, 4)) * u64::from(u16_at(data, 10))),
            MANY_NUMBERS => cell(u16_at(data, 0), u16_at(data, data.len().saturating_sub(2))),
            kind if CELLS.contains(&kind) => cell(u16_at(data, 0), u16_at(data, 2)),
            _ => {}
        }
        count += 1 + data.len() as u64 / 6;
    }
    // Values and formulas are a rectangle each.
    claimed.max(rows * columns * 2).max(count)
}

fn records(stream: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = stream;
    std::iter::from_fn(move || {
        let (head, tail) = rest.split_at_checked(4)?;
        let (data, tail) = tail.split_at_checked(usize::from(u16_at(head, 2)))?;
        rest = tail;
        Some((u16_at(head, 0), data))
    })
}

fn u16_at(data: &[u8], at: usize) -> u16 {
    data.get(at..at + 2).map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn u32_at(data: &[u8], at: usize) -> u32 {
    u32::from(u16_at(data, at)) | u32::from(u16_at(data, at + 2)) << 16
}
