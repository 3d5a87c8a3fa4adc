//! One row of a file, whatever its format, and the trait that reads them.

use crate::contact::Variables;
use crate::error::Result;
use serde_json::Value;
use std::borrow::Cow;

/// Reads rows one at a time into the same buffer.
pub(super) trait Rows: Send {
    /// The next row.
    ///
    /// # Errors
    /// What makes reading on impossible. Rows before it are good.
    fn next(&mut self, row: &mut Row) -> Result<Next>;

    /// What was found out about the source.
    fn facts(&self) -> Facts {
        Facts::default()
    }
}

/// What became of a read.
pub(super) enum Next {
    /// A row.
    Row,
    /// A row that cannot be read; reading goes on behind it.
    Bad(Rejection),
    /// There are no more.
    End,
}

/// What a source knows of itself.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) encoding: Option<&'static str>,
    pub(super) delimiter: Option<char>,
    pub(super) sheet: Option<String>,
}

/// Why a row is rejected.
pub(super) struct Rejection {
    /// Where the row begins, when the row itself could not be read.
    pub(super) line: u64,
    pub(super) column: Option<String>,
    pub(super) code: Cow<'static, str>,
    pub(super) reason: String,
    /// The text of a row that could not be split into cells.
    pub(super) raw: Option<String>,
}

impl Rejection {
    pub(super) fn new(code: impl Into<Cow<'static, str>>, reason: impl Into<String>) -> Self {
        Self { line: 0, column: None, code: code.into(), reason: reason.into(), raw: None }
    }

    pub(super) fn line(mut self, line: u64) -> Self {
        self.line = line;
        self
    }

    pub(super) fn column(mut self, header: impl Into<String>) -> Self {
        self.column = Some(header.into());
        self
    }

    pub(super) fn raw(mut self, raw: &[u8]) -> Self {
        self.raw = Some(String::from_utf8_lossy(raw).into_owned());
        self
    }
}

/// One row.
#[derive(Default, Clone)]
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) cells: Cells,
}

/// The cells of a row.
#[derive(Clone)]
pub(super) enum Cells {
    /// By position.
    Text(TextCells),
    /// By name.
    Object(Variables),
}

impl Default for Cells {
    fn default() -> Self {
        Self::Text(TextCells::default())
    }
}

impl Row {
    /// Lets `fill` write the cells by position. The buffers of the row before are used again.
    pub(super) fn fill(&mut self, fill: impl FnOnce(&mut TextCells)) {
        let mut cells = match std::mem::take(&mut self.cells) {
            Cells::Text(cells) => cells,
            Cells::Object(_) => TextCells::default(),
        };
        cells.clear();
        fill(&mut cells);
        self.cells = Cells::Text(cells);
    }

    /// Whether no cell holds anything.
    pub(super) fn is_blank(&self) -> bool {
        match &self.cells {
            Cells::Text(cells) => cells.text.trim().is_empty(),
            Cells::Object(map) => map.is_empty(),
        }
    }

    /// About how many bytes the row holds.
    pub(super) fn size(&self) -> usize {
        match &self.cells {
            Cells::Text(cells) => cells.text.len(),
            Cells::Object(map) => map.iter().map(|(key, value)| key.len() + weight(value)).sum(),
        }
    }
}

fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => 32 + items.iter().map(weight).sum::<usize>(),
        Value::Object(map) => 32 + map.iter().map(|(key, value)| key.len() + weight(value)).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 16,
    }
}

/// Cells one behind the other in one buffer.
#[derive(Default, Clone)]
pub(super) struct TextCells {
    text: String,
    ends: Vec<usize>,
    /// Which cells are JSON scalars (numbers and booleans of spreadsheets); empty when none is.
    typed: Vec<bool>,
}

impl TextCells {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.typed.clear();
    }

    /// One more cell.
    pub(super) fn push(&mut self, cell: &str) {
        self.text.push_str(cell);
        self.ends.push(self.text.len());
    }

    /// One more cell that is a JSON number or boolean.
    #[cfg(feature = "spreadsheet")]
    pub(super) fn push_typed(&mut self, json: &str) {
        self.typed.resize(self.ends.len(), false);
        self.typed.push(true);
        self.push(json);
    }

    /// All cells at once, from unescaped bytes. Bytes that are not UTF-8 are taken for Windows-1252: that is what a file is whose
    /// first accent comes after the part the encoding was guessed from.
    pub(super) fn set(&mut self, bytes: &[u8], ends: &[usize]) {
        if let Ok(text) = std::str::from_utf8(bytes)
            && ends.iter().all(|end| text.is_char_boundary(*end))
        {
            self.text.push_str(text);
            self.ends.extend_from_slice(ends);
            return;
        }
        let mut start = 0;
        for &end in ends {
            let cell = &bytes[start..end];
            match std::str::from_utf8(cell) {
                Ok(text) => self.push(text),
                Err(_) => self.push(&encoding_rs::WINDOWS_1252.decode_without_bom_handling(cell).0),
            }
            start = end;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// One cell without the spaces around it.
    pub(super) fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(self.text[start..end].trim())
    }

    /// One cell as a value: typed cells as they are, all others as text.
    pub(super) fn value(&self, index: usize) -> Option<Value> {
        let text = self.get(index)?;
        let typed = self.typed.get(index).copied().unwrap_or(false);
        typed.then(|| serde_json::from_str(text).ok()).flatten().or_else(|| Some(Value::String(text.to_owned())))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    pub(super) fn has_nul(&self) -> bool {
        self.text.as_bytes().contains(&0)
    }
}

/// Rows added by a call.
pub(super) struct Given {
    rows: std::vec::IntoIter<Variables>,
    line: u64,
}

impl Given {
    pub(super) fn new(rows: Vec<Variables>) -> Self {
        Self { rows: rows.into_iter(), line: 0 }
    }
}

impl Rows for Given {
    fn next(&mut self, row: &mut Row) -> Result<Next> {
        let Some(object) = self.rows.next() else { return Ok(Next::End) };
        self.line += 1;
        row.line = self.line;
        row.cells = Cells::Object(object);
        Ok(Next::Row)
    }
}
