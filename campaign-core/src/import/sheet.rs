//! Spreadsheets, read cell by cell into a compact copy of one sheet.
//!
//! The reader of the sheet borrows the workbook, so rows cannot be handed out one by one without a copy; the copy is text with
//! offsets, a fraction of what a sheet of values would take, and bounded.

use super::guard;
use super::row::{Facts, Next, Rejection, Row, Rows};
use super::{Format, Limits};
use crate::error::{Error, Kind, Result};
use calamine::{Data, DataRef, ExcelDateTime, Ods, Reader, SheetType, SheetVisible, Xls, Xlsx};
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

type Bytes = Cursor<Vec<u8>>;

pub(super) struct Sheet {
    name: String,
    text: String,
    /// Per cell: where it ends in `text`, and whether it is a number or boolean.
    cells: Vec<(u32, bool)>,
    /// Per row: its number, where its cells end, and whether it is kept at all.
    rows: Vec<(u32, usize, bool)>,
    next: usize,
    limits: Limits,
}

impl Sheet {
    /// Reads the sheet named, or the first visible one.
    pub(super) fn open(bytes: Vec<u8>, format: Format, wanted: Option<&str>, limits: Limits) -> Result<Self> {
        guard::check(&bytes, format, &limits)?;
        // The workbook reader is foreign code on foreign bytes: should it ever panic, the import fails and nothing else does.
        catch_unwind(AssertUnwindSafe(|| Self::read(Cursor::new(bytes), format, wanted, limits))).unwrap_or_else(|_| Err(damaged(None)))
    }

    fn read(bytes: Bytes, format: Format, wanted: Option<&str>, limits: Limits) -> Result<Self> {
        match format {
            Format::Xls => {
                let mut book: Xls<Bytes> = Xls::new(bytes).map_err(|error| damaged(Some(Box::new(error))))?;
                Self::range(&mut book, wanted, limits)
            }
            Format::Ods => {
                let mut book: Ods<Bytes> = Ods::new(bytes).map_err(|error| damaged(Some(Box::new(error))))?;
                Self::range(&mut book, wanted, limits)
            }
            _ => {
                let mut book: Xlsx<Bytes> = Xlsx::new(bytes).map_err(|error| damaged(Some(Box::new(error))))?;
                let name = choose(&book, wanted)?;
                let mut reader = book.worksheet_cells_reader(&name).map_err(|error| damaged(Some(Box::new(error))))?;
                let mut sheet = Self::empty(name, limits);
                while let Some(cell) = reader.next_cell().map_err(|error| damaged(Some(Box::new(error))))? {
                    let (row, column) = cell.get_position();
                    match cell.get_value() {
                        DataRef::Empty | DataRef::Error(_) => {}
                        DataRef::SharedString(text) => sheet.put(row, column, text, false)?,
                        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => {
                            sheet.put(row, column, text, false)?
                        }
                        DataRef::Int(number) => sheet.put(row, column, &number.to_string(), true)?,
                        DataRef::Float(number) => sheet.put(row, column, &number_text(*number), true)?,
                        DataRef::Bool(truth) => sheet.put(row, column, if *truth { "true" } else { "false" }, true)?,
                        DataRef::DateTime(moment) => sheet.put(row, column, &date_text(moment), false)?,
                    }
                }
                Ok(sheet)
            }
        }
    }

    fn range<B: Reader<Bytes>>(book: &mut B, wanted: Option<&str>, limits: Limits) -> Result<Self>
    where
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let name = choose(book, wanted)?;
        let range = book.worksheet_range(&name).map_err(|error| damaged(Some(Box::new(error))))?;
        let (top, left) = range.start().unwrap_or_default();
        let mut sheet = Self::empty(name, limits);
        for (row, column, value) in range.used_cells() {
            // Positions are relative to the first used cell, line numbers are those a person sees.
            let (row, column) = (row as u32 + top, column as u32 + left);
            match value {
                Data::Empty | Data::Error(_) => {}
                Data::String(text) | Data::DateTimeIso(text) | Data::DurationIso(text) => sheet.put(row, column, text, false)?,
                Data::Int(number) => sheet.put(row, column, &number.to_string(), true)?,
                Data::Float(number) => sheet.put(row, column, &number_text(*number), true)?,
                Data::Bool(truth) => sheet.put(row, column, if *truth { "true" } else { "false" }, true)?,
                Data::DateTime(moment) => sheet.put(row, column, &date_text(moment), false)?,
            }
        }
        Ok(sheet)
    }

    fn empty(name: String, limits: Limits) -> Self {
        Self { name, text: String::new(), cells: Vec::new(), rows: Vec::new(), next: 0, limits }
    }

    fn put(&mut self, row: u32, column: u32, text: &str, typed: bool) -> Result<()> {
        let number = row.saturating_add(1);
        match self.rows.last() {
            Some((last, ..)) if *last > number => return Err(damaged(None)),
            Some((last, ..)) if *last == number => {}
            _ => self.rows.push((number, self.cells.len(), true)),
        }
        let begin = if self.rows.len() > 1 { self.rows[self.rows.len() - 2].1 } else { 0 };
        let Some((_, end, kept)) = self.rows.last_mut() else { return Ok(()) };
        let text_begin = if begin == 0 { 0 } else { self.cells[begin - 1].0 as usize };
        let column = column as usize;
        if column >= self.limits.max_columns || self.text.len() - text_begin + text.len() > self.limits.max_record_bytes {
            *kept = false;
        }
        if !*kept {
            return Ok(());
        }
        let filled = *end - begin;
        if column < filled {
            return Err(damaged(None));
        }
        let room = (self.text.len() + text.len() + (self.cells.len() + column - filled) * size_of::<(u32, bool)>()) as u64;
        if room > self.limits.max_unzipped_bytes {
            let message =
                format!("the sheet holds more than {} bytes; save it as CSV, which may be of any size", self.limits.max_unzipped_bytes);
            return Err(Error::new(Kind::Invalid, message));
        }
        self.cells.resize(begin + column, (self.text.len() as u32, false));
        self.text.push_str(text);
        self.cells.push((self.text.len() as u32, typed));
        *end = self.cells.len();
        Ok(())
    }
}

impl Rows for Sheet {
    fn next(&mut self, row: &mut Row) -> Result<Next> {
        let Some(&(number, end, kept)) = self.rows.get(self.next) else { return Ok(Next::End) };
        let begin = if self.next == 0 { 0 } else { self.rows[self.next - 1].1 };
        self.next += 1;
        row.line = u64::from(number);
        if !kept {
            let reason = format!("the row has more than {} cells or {} bytes", self.limits.max_columns, self.limits.max_record_bytes);
            return Ok(Next::Bad(Rejection::new("row_too_long", reason).line(row.line)));
        }
        let mut start = if begin == 0 { 0 } else { self.cells[begin - 1].0 as usize };
        row.fill(|cells| {
            for &(cell_end, typed) in &self.cells[begin..end] {
                let text = &self.text[start..cell_end as usize];
                if typed {
                    cells.push_typed(text);
                } else {
                    cells.push(text);
                }
                start = cell_end as usize;
            }
        });
        Ok(Next::Row)
    }

    fn facts(&self) -> Facts {
        Facts { sheet: Some(self.name.clone()), ..Facts::default() }
    }
}

fn choose<B: Reader<Bytes>>(book: &B, wanted: Option<&str>) -> Result<String> {
    let sheets = book.sheets_metadata();
    let found = match wanted {
        Some(wanted) => sheets.iter().find(|sheet| sheet.name.trim().eq_ignore_ascii_case(wanted.trim())),
        None => sheets.iter().find(|sheet| sheet.visible == SheetVisible::Visible && sheet.typ == SheetType::WorkSheet),
    };
    found.or(sheets.first().filter(|_| wanted.is_none())).map(|sheet| sheet.name.clone()).ok_or_else(|| {
        let names = sheets.iter().take(20).map(|sheet| format!("“{}”", super::mapping::shown(&sheet.name))).collect::<Vec<_>>().join(", ");
        match wanted {
            Some(_) => Error::invalid("sheet", format!("the workbook has no sheet of this name; it has {names}")),
            None => Error::new(Kind::Invalid, "the workbook has no sheet"),
        }
    })
}

fn damaged(source: Option<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let error = Error::new(Kind::Invalid, "the spreadsheet cannot be read: it is damaged, cut off or protected by a password");
    match source {
        Some(source) => error.with_source(source),
        None => error,
    }
}

/// Whole numbers without a fraction, so that a phone number stored as a float keeps its digits.
pub(super) fn number_text(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 { format!("{}", number as i64) } else { format!("{number}") }
}

/// A date, a time of day, or both, in ISO 8601; durations in hours, minutes and seconds.
fn date_text(moment: &ExcelDateTime) -> String {
    let (year, month, day, hour, minute, second, _) = moment.to_ymd_hms_milli();
    let serial = moment.as_f64();
    if moment.is_duration() {
        let seconds = (serial * 86_400.0).round() as i64;
        return format!("{}:{:02}:{:02}", seconds / 3600, (seconds / 60 % 60).abs(), (seconds % 60).abs());
    }
    if (0.0..1.0).contains(&serial) {
        return format!("{hour:02}:{minute:02}:{second:02}");
    }
    if serial.fract() == 0.0 {
        format!("{year:04}-{month:02}-{day:02}")
    } else {
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    }
}
