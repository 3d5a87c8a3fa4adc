//! Rejected rows, written back as CSV to be repaired and imported again.

use super::mapping::{Field, Mapping, REJECT_COLUMNS};
use super::report::RowError;
use super::row::{Cells, Row};
use crate::contact::Variables;
use crate::error::{Error, Kind, Result};
use serde_json::Value;
use std::io::Write;

/// Writes the original columns, then the line, the column, the code and the reason.
pub(super) struct Rejects {
    writer: csv::Writer<Box<dyn Write + Send>>,
    headers: Vec<String>,
    begun: bool,
    open_ended: bool,
}

/// Where members go that no earlier object had; read back on import.
const REST: &str = "variables";

impl Rejects {
    /// `headerless`: the headers were made up, so the phone column gets a name it is recognised by. `open_ended`: rows are objects.
    pub(super) fn new(sink: Box<dyn Write + Send>, mapping: &Mapping, headerless: bool, open_ended: bool) -> Self {
        let headers = mapping.columns.iter().map(|column| match column.field {
            Some(Field::PhoneNumber) if headerless => Field::PhoneNumber.as_str().to_owned(),
            _ => column.header.clone(),
        });
        let writer = csv::WriterBuilder::new().flexible(true).from_writer(sink);
        Self { writer, headers: headers.collect(), begun: false, open_ended }
    }

    pub(super) fn write(&mut self, row: Option<&Row>, raw: Option<&str>, error: &RowError) -> Result<()> {
        let rest = self.open_ended && !self.headers.iter().any(|header| header == REST);
        if !self.begun {
            self.begun = true;
            let added = rest.then_some(REST);
            self.record(self.headers.clone().iter().map(String::as_str).chain(added).chain(REJECT_COLUMNS))?;
        }
        let (mut cells, extra) = self.cells(row, raw);
        if !rest && self.open_ended {
            cells.truncate(self.headers.len());
        }
        let column = error.column.clone().unwrap_or_default();
        let why = [error.line.to_string(), column, error.code.clone(), error.reason.clone()];
        self.record(cells.iter().chain(&why).chain(&extra).map(String::as_str))
    }

    /// The cells in the order of the headers, and those beyond the last header.
    fn cells(&self, row: Option<&Row>, raw: Option<&str>) -> (Vec<String>, Vec<String>) {
        let width = self.headers.len() + usize::from(self.open_ended);
        let mut cells = vec![String::new(); width];
        match row.map(|row| &row.cells) {
            Some(Cells::Text(text)) => {
                let mut all: Vec<String> = text.iter().map(str::to_owned).collect();
                let extra = all.split_off(all.len().min(self.headers.len()));
                cells.iter_mut().zip(all).for_each(|(slot, cell)| *slot = cell);
                return (cells, extra);
            }
            Some(Cells::Object(object)) => {
                let mut rest = Variables::new();
                for (key, value) in object {
                    match self.headers.iter().position(|header| header == key) {
                        Some(index) => cells[index] = cell_text(value),
                        None => drop(rest.insert(key.clone(), value.clone())),
                    }
                }
                if !rest.is_empty() {
                    cells[width - 1] = Value::Object(rest).to_string();
                }
            }
            None => {
                if let (Some(first), Some(raw)) = (cells.first_mut(), raw) {
                    *first = raw.to_owned();
                }
            }
        }
        (cells, Vec::new())
    }

    fn record<'a>(&mut self, cells: impl Iterator<Item = &'a str>) -> Result<()> {
        self.writer.write_record(cells).map_err(failed)
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.writer.flush().map_err(failed)
    }
}

fn cell_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Kind::Invalid, "the rejected rows cannot be written").with_source(error)
}
