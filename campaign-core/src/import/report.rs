//! What became of a file.

use super::Format;
use super::mapping::Mapping;
use crate::store::Added;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One rejected row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowError {
    /// Physical line where the row begins, from 1; the row number in a spreadsheet; the position among rows added by a call.
    pub line: u64,
    /// The header of the offending column, when one is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// A stable snake_case code, for example `missing_phone`.
    pub code: String,
    /// One sentence for a person; never holds a cell of the file.
    pub reason: String,
}

/// What became of the rows of a file. `total` is the sum of the other five counts once every batch has been recorded.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ImportReport {
    /// Contacts stored.
    pub imported: u64,
    /// Contacts there already whose data was updated.
    pub updated: u64,
    /// Rows whose number was there already, in the file or in the campaign; nothing changed.
    pub duplicates: u64,
    /// Rows rejected.
    pub invalid: u64,
    /// Contacts stored as skipped, because the number is on the suppression list.
    pub suppressed: u64,
    /// Rows read. Blank rows do not count.
    pub total: u64,
    /// The first rejected rows, as many as [`super::ImportOptions::max_errors`].
    pub errors: Vec<RowError>,
    /// Whether there were more rejected rows than `errors` holds.
    pub errors_truncated: bool,
    /// What each column became.
    pub mapping: Mapping,
    /// The name of the file, as given or from its path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// The format found; `None` for rows added by a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// The encoding found, for text formats, for example `UTF-8` or `windows-1252`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// The separator found, for delimited text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// The sheet read, for spreadsheets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sheet: Option<String>,
    /// Names of variables that came in nested objects instead of columns of their own.
    #[serde(skip)]
    pub(crate) nested: BTreeSet<String>,
}

impl ImportReport {
    /// Counts what the store made of one batch.
    pub fn record(&mut self, added: &[Added]) {
        for answer in added {
            match answer {
                Added::New(_) => self.imported += 1,
                Added::Suppressed(_) => self.suppressed += 1,
                Added::Duplicate(_) => self.duplicates += 1,
                Added::Updated(_) => self.updated += 1,
            }
        }
    }

    /// Counts one rejected row and keeps it while there is room.
    pub(super) fn reject(&mut self, error: RowError, max_errors: usize) {
        self.invalid += 1;
        if self.errors.len() < max_errors {
            self.errors.push(error);
        } else {
            self.errors_truncated = true;
        }
    }
}

/// How far an import has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes of the source read so far. A spreadsheet is read whole when it is opened.
    pub bytes_read: u64,
    /// Size of the source, when it is known beforehand.
    pub total_bytes: Option<u64>,
    /// Rows read so far.
    pub rows: u64,
}
