//! The reader everything else of this room serves.

use super::convert::{Converter, scalar_text};
use super::delimited::Delimited;
use super::input::Raw;
use super::json::Json;
use super::mapping::{self, Builder, Field, looks_like_phone, names_phone};
use super::rejects::Rejects;
use super::report::{ImportReport, Progress, RowError};
use super::row::{Cells, Given, Next, Rejection, Row, Rows};
use super::sniff::{self, Container};
use super::{Format, ImportOptions, ImportSource, Limits};
use crate::contact::{ContactSource, NewContact};
use crate::error::{Error, Kind, Result};
use crate::phone::{PhoneErrorCode, PhoneNumber};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Rows looked at before the mapping is decided.
const SAMPLE_ROWS: usize = 100;

/// Sheets often begin with a title; the header is looked for in so many rows.
const HEADER_ROWS: usize = 10;

/// Contacts of consecutive rows.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Normalised contacts in the order of the file.
    pub contacts: Vec<NewContact>,
    /// The line of each.
    pub lines: Vec<u64>,
}

/// Reads contacts out of a file, a stream or given rows. Blocking: run it where blocking is fine.
pub struct Importer {
    rows: Box<dyn Rows>,
    /// Rows read ahead to decide the mapping.
    ahead: VecDeque<Result<Row, Rejection>>,
    converter: Converter,
    rejects: Option<Rejects>,
    report: ImportReport,
    max_errors: usize,
    limits: Limits,
    /// The error that ends the import, kept until the good rows before it are handed out.
    failure: Option<Error>,
    done: bool,
    /// Empty lines of a file are nothing; an empty object that somebody gave is a contact without a number.
    blank_rows_are_nothing: bool,
    read: Arc<AtomicU64>,
    total_bytes: Option<u64>,
}

impl std::fmt::Debug for Importer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Importer").field("file_name", &self.report.file_name).field("rows", &self.report.total).finish_non_exhaustive()
    }
}

impl Importer {
    /// Opens a source: finds format, encoding, separator and header, and decides what each column becomes.
    ///
    /// # Errors
    /// A file that is missing, empty, damaged or of another kind; no phone column; a mapping that does not fit. The message says
    /// what was seen and what to do.
    pub fn open(source: ImportSource, options: ImportOptions) -> Result<Self> {
        let file_name = options.file_name.clone().or_else(|| match &source {
            ImportSource::Path(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()),
            _ => None,
        });
        Self::open_named(source, options, file_name.clone()).map_err(|error| match file_name {
            Some(name) => error.with("file", mapping::shown(&name)),
            None => error,
        })
    }

    fn open_named(source: ImportSource, options: ImportOptions, file_name: Option<String>) -> Result<Self> {
        check_region(options.default_region.as_deref())?;
        let mut opened = Opened::open(source, &options, file_name.as_deref())?;
        let (mut ahead, failure) = read_ahead(opened.rows.as_mut());
        let explicit = options.mapping.unwrap_or_default();
        let objects = matches!(opened.format, None | Some(Format::Json | Format::JsonLines));
        let header = if objects { object_header(&ahead) } else { table_header(&mut ahead, &explicit)? };
        if header.names.is_empty() && opened.format.is_some() {
            // Unless rows that cannot be read explain it, there is nothing in the file.
            if let Some(error) = failure {
                return Err(error);
            }
            return Err(match ahead.front() {
                Some(Err(rejection)) => Error::new(Kind::Invalid, rejection.reason.clone()).with("line", rejection.line),
                _ => Error::new(Kind::Invalid, "the file is empty"),
            });
        }
        let sample = sample_of(&ahead, &header.names);
        let shares = mapping::phone_shares(header.names.len(), &sample);
        let open_ended = objects && (opened.format.is_none() || ahead.len() >= SAMPLE_ROWS);
        let mut decided = mapping::resolve(&explicit, &header.names, open_ended)?;
        if let Some(phone) = header.phone
            && !decided.values().any(|target| Field::parse(&mapping::slug(target)) == Some(Field::PhoneNumber))
        {
            decided.entry(phone).or_insert_with(|| Field::PhoneNumber.as_str().to_owned());
        }
        let mut builder = Builder::default();
        let mapped = builder.build(&header.names, &shares, &decided);
        if mapped.column_of(Field::PhoneNumber).is_none() && opened.format.is_some() {
            return Err(mapping::no_phone_column(&header.names, &shares));
        }
        let contact_source = opened.format.map_or(ContactSource::Api, Format::contact_source);
        let rejects = options.rejects.map(|sink| Rejects::new(sink, &mapped, header.made_up, objects));
        let facts = opened.rows.facts();
        let report = ImportReport {
            file_name,
            format: opened.format,
            encoding: facts.encoding.map(str::to_owned),
            delimiter: facts.delimiter,
            sheet: facts.sheet,
            ..ImportReport::default()
        };
        let max_columns = options.limits.max_columns;
        Ok(Self {
            rows: opened.rows,
            ahead,
            converter: Converter::new(mapped, builder, options.default_region, contact_source, options.consent_moment, max_columns),
            rejects,
            report,
            max_errors: options.max_errors,
            limits: options.limits,
            failure,
            done: false,
            blank_rows_are_nothing: opened.format.is_some(),
            read: opened.read,
            total_bytes: opened.total_bytes,
        })
    }

    /// The next contacts, at most `max`; `None` at the end. Rejected rows go into the report.
    ///
    /// # Errors
    /// What makes reading on impossible, for example a file that is cut off. All good rows before it have been handed out then, and
    /// the next call answers `None`.
    pub fn next_batch(&mut self, max: usize) -> Result<Option<Batch>> {
        let mut batch = Batch::default();
        let mut size = 0;
        let mut row = Row::default();
        while !self.done && batch.contacts.len() < max.max(1) && size < self.limits.max_batch_bytes {
            match self.next_row(&mut row) {
                Ok(Next::Row) if self.blank_rows_are_nothing && row.is_blank() => {}
                Ok(Next::Row) => {
                    self.report.total += 1;
                    match self.converter.contact(&row) {
                        Ok(contact) => {
                            // Rejected rows do not count: a batch without a contact would be taken for the end.
                            size += row.size();
                            batch.contacts.push(contact);
                            batch.lines.push(row.line);
                        }
                        Err(rejection) => self.reject(rejection, Some(&row))?,
                    }
                }
                Ok(Next::Bad(rejection)) => {
                    self.report.total += 1;
                    self.reject(rejection, None)?;
                }
                Ok(Next::End) => self.done = true,
                Err(error) => {
                    self.done = true;
                    self.failure = Some(error);
                }
            }
        }
        if !batch.contacts.is_empty() {
            return Ok(Some(batch));
        }
        if let Some(rejects) = &mut self.rejects {
            rejects.flush()?;
        }
        match self.failure.take() {
            Some(error) if self.done => Err(match &self.report.file_name {
                Some(name) => error.with("file", mapping::shown(name)),
                None => error,
            }),
            failure => {
                self.failure = failure;
                Ok(None)
            }
        }
    }

    fn next_row(&mut self, row: &mut Row) -> Result<Next> {
        match self.ahead.pop_front() {
            Some(Ok(ready)) => {
                *row = ready;
                Ok(Next::Row)
            }
            Some(Err(rejection)) => Ok(Next::Bad(rejection)),
            None => match self.failure.take() {
                Some(error) => Err(error),
                None => self.rows.next(row),
            },
        }
    }

    fn reject(&mut self, rejection: Rejection, row: Option<&Row>) -> Result<()> {
        let line = row.map_or(rejection.line, |row| row.line);
        let column = rejection.column.map(|header| mapping::shown(&header));
        let error = RowError { line, column, code: rejection.code.into_owned(), reason: rejection.reason };
        if let Some(rejects) = &mut self.rejects {
            rejects.write(row, rejection.raw.as_deref(), &error)?;
        }
        self.report.reject(error, self.max_errors);
        Ok(())
    }

    /// What became of the rows so far. Counts of stored contacts come from [`ImportReport::record`], to be called with what the
    /// store answered to each batch.
    pub fn report(&mut self) -> &mut ImportReport {
        // JSON shows new columns as it goes.
        if self.report.mapping.columns.len() != self.converter.mapping.columns.len() {
            self.report.mapping = self.converter.mapping.clone();
        }
        if self.report.nested.len() != self.converter.nested.len() {
            self.report.nested.clone_from(&self.converter.nested);
        }
        &mut self.report
    }

    /// The report, at the end.
    pub fn into_report(mut self) -> ImportReport {
        self.report();
        self.report
    }

    /// How far the import has come.
    pub fn progress(&self) -> Progress {
        Progress { bytes_read: self.read.load(Ordering::Relaxed), total_bytes: self.total_bytes, rows: self.report.total }
    }
}

/// A wrong default region would reject every row, so it is one error instead.
fn check_region(region: Option<&str>) -> Result<()> {
    match PhoneNumber::parse("2125550123", region) {
        Err(error) if error.code == PhoneErrorCode::UnknownRegion => Err(Error::invalid("default_region", error.message())),
        _ => Ok(()),
    }
}

/// A source with its rows.
struct Opened {
    rows: Box<dyn Rows>,
    format: Option<Format>,
    read: Arc<AtomicU64>,
    total_bytes: Option<u64>,
}

impl Opened {
    fn open(source: ImportSource, options: &ImportOptions, file_name: Option<&str>) -> Result<Self> {
        let raw = match source {
            ImportSource::Path(path) => Raw::file(&path)?,
            ImportSource::File(file) => Raw::open_file(file)?,
            ImportSource::Bytes(bytes) => Raw::bytes(bytes)?,
            ImportSource::Reader(reader) => Raw::open(reader, None)?,
            ImportSource::Rows(rows) => {
                let rows = Box::new(Given::new(rows));
                return Ok(Self { rows, format: None, read: Arc::default(), total_bytes: None });
            }
        };
        if raw.sample.is_empty() {
            return Err(Error::new(Kind::Invalid, "the file is empty"));
        }
        let (read, total_bytes) = (Arc::clone(&raw.read), raw.total);
        let (rows, format) = match sniff::by_magic(&raw.sample)? {
            Some(container) => spreadsheet(raw, container, options)?,
            None => text(raw, options, file_name)?,
        };
        Ok(Self { rows, format: Some(format), read, total_bytes })
    }
}

fn text(raw: Raw, options: &ImportOptions, file_name: Option<&str>) -> Result<(Box<dyn Rows>, Format)> {
    let named = options.format.or_else(|| file_name.and_then(sniff::by_extension));
    let (input, sample) = raw.into_text(options.encoding.as_deref())?;
    if sample.trim_ascii().is_empty() {
        return Err(Error::new(Kind::Invalid, "the file is empty"));
    }
    let format = match options.format {
        Some(format @ (Format::Csv | Format::Tsv | Format::Json | Format::JsonLines)) => format,
        _ => sniff::text_format(named, &sample)?,
    };
    let rows: Box<dyn Rows> = match format {
        Format::Json | Format::JsonLines => Box::new(Json::open(input, format == Format::JsonLines, options.limits)),
        _ => {
            let announced = sniff::sep_line(&sample);
            let delimiter = match options.delimiter {
                Some(delimiter) => u8::try_from(delimiter)
                    .ok()
                    .filter(|byte| byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n' | 0))
                    .ok_or_else(|| Error::invalid("delimiter", "the separator must be one ASCII character, and no quote or line end"))?,
                None => announced.unwrap_or_else(|| sniff::delimiter(&sample, named)),
            };
            Box::new(Delimited::open(input, delimiter, announced.is_some(), options.limits)?)
        }
    };
    Ok((rows, format))
}

#[cfg(feature = "spreadsheet")]
fn spreadsheet(raw: Raw, container: Container, options: &ImportOptions) -> Result<(Box<dyn Rows>, Format)> {
    let bytes = raw.into_bytes(options.limits.max_file_bytes)?;
    let format = match container {
        Container::Zip => super::guard::format_of_archive(&bytes)?,
        Container::Compound => Format::Xls,
    };
    Ok((Box::new(super::sheet::Sheet::open(bytes, format, options.sheet.as_deref(), options.limits)?), format))
}

#[cfg(not(feature = "spreadsheet"))]
fn spreadsheet(_raw: Raw, _container: Container, _options: &ImportOptions) -> Result<(Box<dyn Rows>, Format)> {
    Err(Error::new(Kind::Invalid, "this build reads no spreadsheets; save the file as CSV"))
}

fn read_ahead(rows: &mut dyn Rows) -> (VecDeque<Result<Row, Rejection>>, Option<Error>) {
    let mut ahead = VecDeque::new();
    let mut size = 0;
    while ahead.len() < SAMPLE_ROWS && size < 4 << 20 {
        let mut row = Row::default();
        match rows.next(&mut row) {
            Ok(Next::Row) if row.is_blank() && !matches!(row.cells, Cells::Object(_)) => {}
            Ok(Next::Row) => {
                size += row.size();
                ahead.push_back(Ok(row));
            }
            Ok(Next::Bad(rejection)) => {
                size += rejection.raw.as_ref().map_or(0, String::len);
                ahead.push_back(Err(rejection));
            }
            Ok(Next::End) => break,
            Err(error) => return (ahead, Some(error)),
        }
    }
    (ahead, None)
}

/// The names of the columns.
#[derive(Default)]
struct Header {
    names: Vec<String>,
    /// The column of the phone, where the header does not say so because there is none.
    phone: Option<usize>,
    /// The names were made up, because the first row is data.
    made_up: bool,
}

fn object_header(ahead: &VecDeque<Result<Row, Rejection>>) -> Header {
    let mut names: Vec<String> = Vec::new();
    let mut known = std::collections::HashSet::new();
    for row in ahead.iter().flatten() {
        if let Cells::Object(object) = &row.cells {
            names.extend(object.keys().filter(|key| known.insert((*key).clone())).cloned());
        }
    }
    Header { names, ..Header::default() }
}

/// Finds the header among the first rows and takes it, and what stands above it, out of `ahead`.
fn table_header(ahead: &mut VecDeque<Result<Row, Rejection>>, explicit: &BTreeMap<String, String>) -> Result<Header> {
    if let Some(Err(rejection)) = ahead.front() {
        return Err(Error::new(Kind::Invalid, format!("the header cannot be read: {}", rejection.reason)).with("line", rejection.line));
    }
    let cells = |row: &Result<Row, Rejection>| -> Vec<String> {
        match row {
            Ok(Row { cells: Cells::Text(cells), .. }) => cells.iter().map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    };
    let candidates: Vec<Vec<String>> = ahead.iter().take(HEADER_ROWS).map(cells).collect();
    let Some(first) = candidates.first() else { return Ok(Header::default()) };
    let fits = |row: &&Vec<String>| match explicit.is_empty() {
        true => row.iter().any(|cell| names_phone(cell)),
        false => explicit.keys().all(|wanted| mapping::position(row, wanted).is_some()),
    };
    if let Some(index) = candidates.iter().position(|row| fits(&row)) {
        ahead.drain(..=index);
        return Ok(Header { names: named(&candidates[index]), ..Header::default() });
    }
    // A file without a header: its first row holds a number itself.
    let numbers = first.iter().position(|cell| looks_like_phone(cell));
    if let Some(phone) = numbers {
        let width = candidates.iter().map(Vec::len).max().unwrap_or_default();
        return Ok(Header { names: named(&vec![String::new(); width]), phone: Some(phone), made_up: true });
    }
    ahead.pop_front();
    Ok(Header { names: named(first), ..Header::default() })
}

/// Headers, with `column_3` where the third column has none. Columns at the end without a header are none.
fn named(cells: &[String]) -> Vec<String> {
    cells.iter().enumerate().map(|(index, cell)| if cell.is_empty() { format!("column_{}", index + 1) } else { cell.clone() }).collect()
}

fn sample_of(ahead: &VecDeque<Result<Row, Rejection>>, headers: &[String]) -> Vec<Vec<String>> {
    let cells = |row: &Row| match &row.cells {
        Cells::Text(cells) => cells.iter().map(str::to_owned).collect(),
        Cells::Object(object) => headers.iter().map(|key| object.get(key).and_then(scalar_text).unwrap_or_default()).collect(),
    };
    // Enough to judge by; a file of ten thousand columns is not copied whole.
    let rows = (200_000 / headers.len().max(1)).clamp(1, SAMPLE_ROWS);
    ahead.iter().flatten().take(rows).map(cells).collect()
}
