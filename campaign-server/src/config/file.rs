//! The file: TOML, read into JSON with the line of everything in it.

use super::{Fault, Source};
use serde_json::{Map, Number, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What a file says, and where.
#[derive(Default)]
pub(super) struct Document {
    pub(super) path: PathBuf,
    pub(super) root: Map<String, Value>,
    /// The line of every key, by its place: `dialer.routed[0].name`.
    pub(super) lines: BTreeMap<String, usize>,
}

impl Document {
    /// Where a place stands; for what is not there, where the table around it begins.
    pub(super) fn line(&self, place: &str) -> usize {
        let mut place = place;
        loop {
            if let Some(line) = self.lines.get(place) {
                return *line;
            }
            match place.rfind(['.', '[']) {
                Some(end) => place = &place[..end],
                None => return 1,
            }
        }
    }

    pub(super) fn source(&self, place: &str) -> Source {
        Source::File(self.path.clone(), self.line(place))
    }
}

/// Reads a file. What can be read of one with mistakes is returned beside them.
pub(super) fn read(path: &Path) -> (Document, Vec<Fault>) {
    let mut document = Document { path: path.to_path_buf(), ..Document::default() };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let source = Source::File(path.to_path_buf(), 0);
            return (document, vec![Fault { key: None, source, message: format!("cannot be read: {error}") }]);
        }
    };
    let line_of = |at: usize| text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1;
    let (table, errors) = DeTable::parse_recoverable(&text);
    let mut faults: Vec<Fault> = errors
        .iter()
        .map(|error| {
            let line = error.span().map_or(1, |span| line_of(span.start));
            Fault { key: None, source: Source::File(path.to_path_buf(), line), message: format!("is no TOML: {}", plain(error.message())) }
        })
        .collect();
    let mut reading = Reading { line_of: &line_of, lines: BTreeMap::new(), wrong: Vec::new() };
    document.root = reading.table(table.get_ref(), "");
    let Reading { lines, wrong, .. } = reading;
    document.lines = lines;
    faults.extend(wrong.into_iter().map(|(place, message)| Fault { source: document.source(&place), key: Some(place), message }));
    (document, faults)
}

/// A message of the parser in one line. It names what it expected, never what it found.
fn plain(message: &str) -> String {
    message.lines().collect::<Vec<_>>().join(", ")
}

struct Reading<'a> {
    line_of: &'a dyn Fn(usize) -> usize,
    lines: BTreeMap<String, usize>,
    wrong: Vec<(String, String)>,
}

impl Reading<'_> {
    fn table(&mut self, table: &DeTable<'_>, place: &str) -> Map<String, Value> {
        let mut out = Map::new();
        let mut entries: Vec<(&Spanned<_>, &Spanned<DeValue<'_>>)> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let name = key.get_ref().to_string();
            let inner = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
            self.lines.insert(inner.clone(), (self.line_of)(key.span().start));
            let value = self.value(value, &inner);
            out.insert(name, value);
        }
        out
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, place: &str) -> Value {
        match value.get_ref() {
            DeValue::String(text) => Value::from(text.to_string()),
            DeValue::Boolean(flag) => Value::from(*flag),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::from(number),
                Err(_) => self.refuse(place, "is too large a number"),
            },
            DeValue::Float(number) => match number.as_str().parse().ok().and_then(Number::from_f64) {
                Some(number) => Value::Number(number),
                None => self.refuse(place, "is no number that can be used"),
            },
            DeValue::Datetime(moment) => Value::from(moment.to_string()),
            DeValue::Array(items) => {
                let items = items.iter().enumerate().map(|(index, item)| {
                    let inner = format!("{place}[{index}]");
                    self.lines.insert(inner.clone(), (self.line_of)(item.span().start));
                    self.value(item, &inner)
                });
                Value::Array(items.collect())
            }
            DeValue::Table(table) => Value::Object(self.table(table, place)),
        }
    }

    fn refuse(&mut self, place: &str, message: &str) -> Value {
        self.wrong.push((place.to_owned(), message.to_owned()));
        Value::Null
    }
}
