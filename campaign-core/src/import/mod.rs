//! Files of contacts: read, mapped, normalised, reported.
//!
//! [`Importer`] reads a source of any size row by row and hands out [`Batch`]es of [`NewContact`]s. It is synchronous, and knows
//! neither the store nor the clock: whoever drives it adds each batch to a store and tells the report what became of it. Numbers
//! that occur twice, in the file or in the campaign, are found by the store, so memory does not grow with the file.
//!
//! ```
//! use campaign_core::import::{Importer, ImportOptions, ImportSource};
//!
//! let file = "Full Name;Teléfono;Cita\nAda;+34 912 345 678;lunes\nBob;none;martes\n";
//! let mut importer = Importer::open(ImportSource::from(file.as_bytes()), ImportOptions::default())?;
//! let batch = importer.next_batch(1000)?.expect("the file has rows");
//! assert_eq!(batch.contacts[0].phone.as_str(), "+34912345678");
//! assert_eq!(batch.contacts[0].variables["cita"], "lunes");
//! assert!(importer.next_batch(1000)?.is_none());
//! assert_eq!(importer.report().errors[0].line, 3);
//! # Ok::<(), campaign_core::Error>(())
//! ```

mod aliases;
mod convert;
mod delimited;
#[cfg(feature = "spreadsheet")]
mod guard;
#[cfg(feature = "spreadsheet")]
mod guard_xls;
mod importer;
mod input;
mod json;
mod mapping;
mod rejects;
mod report;
mod row;
#[cfg(feature = "spreadsheet")]
mod sheet;
mod sniff;

pub use importer::{Batch, Importer};
pub use mapping::{Field, MappedColumn, Mapping, slug, suggest_mapping, variable_name};
pub use report::{ImportReport, Progress, RowError};

use crate::Result;
use crate::contact::{ContactSource, Variables};
use crate::store::DuplicatePolicy;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

#[cfg(doc)]
use crate::contact::NewContact;

/// Where the rows come from.
pub enum ImportSource {
    /// A file.
    Path(PathBuf),
    /// An open file, read from its beginning.
    File(File),
    /// A file in memory.
    Bytes(Arc<[u8]>),
    /// A stream, for example an upload. Spreadsheets are collected in memory first, up to [`Limits::max_file_bytes`].
    Reader(Box<dyn Read + Send>),
    /// Rows added by a call: column to value.
    Rows(Vec<Variables>),
}

impl fmt::Debug for ImportSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::File(_) => f.write_str("File"),
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Self::Reader(_) => f.write_str("Reader"),
            Self::Rows(rows) => write!(f, "Rows({} rows)", rows.len()),
        }
    }
}

impl ImportSource {
    /// The same source once more, where it can be read more than once. Two open files share one place, so one is read after the other.
    pub(crate) fn again(&self) -> Result<Option<Self>> {
        Ok(match self {
            Self::Path(path) => Some(Self::Path(path.clone())),
            Self::File(file) => Some(Self::File(file.try_clone().map_err(input::unreadable)?)),
            Self::Bytes(bytes) => Some(Self::Bytes(Arc::clone(bytes))),
            Self::Reader(_) => None,
            Self::Rows(rows) => Some(Self::Rows(rows.clone())),
        })
    }
}

impl From<&[u8]> for ImportSource {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(Arc::from(bytes))
    }
}

impl From<Vec<u8>> for ImportSource {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(Arc::from(bytes))
    }
}

impl From<PathBuf> for ImportSource {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

impl From<&std::path::Path> for ImportSource {
    fn from(path: &std::path::Path) -> Self {
        Self::Path(path.to_owned())
    }
}

/// A format of contact files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Text with separators.
    Csv,
    /// Text separated by tabs.
    Tsv,
    /// An array of objects, or an object with a `contacts` array.
    Json,
    /// One object per line.
    JsonLines,
    /// A workbook of Excel 2007 or later.
    Xlsx,
    /// A workbook of earlier versions of Excel.
    Xls,
    /// A workbook of LibreOffice and others.
    Ods,
}

impl Format {
    /// The wire name, for example `json_lines`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Json => "json",
            Self::JsonLines => "json_lines",
            Self::Xlsx => "xlsx",
            Self::Xls => "xls",
            Self::Ods => "ods",
        }
    }

    /// How contacts of this format are marked.
    pub fn contact_source(self) -> ContactSource {
        match self {
            Self::Csv | Self::Tsv => ContactSource::CsvImport,
            Self::Json | Self::JsonLines => ContactSource::JsonImport,
            Self::Xlsx | Self::Xls | Self::Ods => ContactSource::SpreadsheetImport,
        }
    }
}

/// How a source is read. The default finds out everything by looking.
pub struct ImportOptions {
    /// The format; found by content and name when not given.
    pub format: Option<Format>,
    /// Two-letter country whose national numbers the file holds, for example `US`. Without it every number needs a country code.
    pub default_region: Option<String>,
    /// Header to field name or variable, for example `{"Phone Number": "phone_number", "Appt Date": "appointment_date"}`; an empty
    /// text ignores the column. Columns that are not mentioned are mapped as [`suggest_mapping`] proposes.
    pub mapping: Option<BTreeMap<String, String>>,
    /// What whoever drives the import asks of the store for known numbers.
    pub duplicates: DuplicatePolicy,
    /// The file's name for the report and for finding the format; taken from the path when not given.
    pub file_name: Option<String>,
    /// How many rejected rows the report keeps; all are counted. Default 100.
    pub max_errors: usize,
    /// The separator; found by looking when not given. One ASCII character.
    pub delimiter: Option<char>,
    /// The encoding by its web name, for example `windows-1252`; found by looking when not given.
    pub encoding: Option<String>,
    /// The sheet by name; the first visible one when not given.
    pub sheet: Option<String>,
    /// Rejected rows are written here as CSV: the original columns, then `rejected_line`, `rejected_column`, `rejected_code` and
    /// `rejected_reason`, which a later import ignores.
    pub rejects: Option<Box<dyn Write + Send>>,
    /// The moment a bare "yes" in a consent column counts from. Without it a "yes" without a date is no consent.
    pub consent_moment: Option<Timestamp>,
    /// Contacts that earlier files brought and nobody has tried to reach (`pending` and `skipped`) are removed from the campaign before
    /// the first contact of this one is stored; given rows replace given rows as well. What came from a list stays. A source without a
    /// good row replaces nothing, nor does one that cannot be read to its end, unless it is a [`ImportSource::Reader`], which cannot be
    /// read twice. Default false.
    pub replace_untouched: bool,
    /// Bounds for hostile files.
    pub limits: Limits,
}

impl ImportOptions {
    /// The same, for a reading of which nothing is kept.
    pub(crate) fn trial(&self) -> Self {
        Self {
            format: self.format,
            default_region: self.default_region.clone(),
            mapping: self.mapping.clone(),
            duplicates: self.duplicates,
            file_name: self.file_name.clone(),
            max_errors: 0,
            delimiter: self.delimiter,
            encoding: self.encoding.clone(),
            sheet: self.sheet.clone(),
            rejects: None,
            consent_moment: self.consent_moment,
            replace_untouched: self.replace_untouched,
            limits: self.limits,
        }
    }
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            format: None,
            default_region: None,
            mapping: None,
            duplicates: DuplicatePolicy::default(),
            file_name: None,
            max_errors: 100,
            delimiter: None,
            encoding: None,
            sheet: None,
            rejects: None,
            consent_moment: None,
            replace_untouched: false,
            limits: Limits::default(),
        }
    }
}

impl fmt::Debug for ImportOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportOptions")
            .field("format", &self.format)
            .field("default_region", &self.default_region)
            .field("mapping", &self.mapping)
            .field("duplicates", &self.duplicates)
            .field("file_name", &self.file_name)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Bounds that keep a hostile file from taking all memory or time. Rows beyond them are rejected; files beyond them end the import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Columns of a file. Default 10,000.
    pub max_columns: usize,
    /// Bytes of one row. Default 1 MiB.
    pub max_record_bytes: usize,
    /// Bytes of a spreadsheet file. Default 256 MiB.
    pub max_file_bytes: u64,
    /// Bytes a spreadsheet may unpack to, and memory its sheet may take. Default 512 MiB.
    pub max_unzipped_bytes: u64,
    /// Bytes of rows in one batch, so that a batch of huge rows is cut short. Default 8 MiB.
    pub max_batch_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_columns: 10_000,
            max_record_bytes: 1 << 20,
            max_file_bytes: 256 << 20,
            max_unzipped_bytes: 512 << 20,
            max_batch_bytes: 8 << 20,
        }
    }
}
