//! From a row to a contact, or to the reason why not.

use super::mapping::{Builder, Field, Mapping};
use super::row::{Cells, Rejection, Row};
use crate::contact::{Consent, ContactSource, NewContact, Variables, ZoneKey};
use crate::phone::{PhoneErrorCode, PhoneNumber};
use crate::schedule::zones;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

/// Turns rows into contacts by a mapping.
pub(super) struct Converter {
    pub(super) mapping: Mapping,
    builder: Builder,
    /// Columns of objects by their key; columns of tables go by position.
    by_key: HashMap<String, usize>,
    /// For each column, the field it fills where an object has not the field's own column, and how sure that is.
    stand_ins: Vec<Option<(Field, f32)>>,
    region: Option<String>,
    source: ContactSource,
    consent_moment: Option<Timestamp>,
    max_columns: usize,
    /// Names of variables that came in a nested object; no column has them.
    pub(super) nested: BTreeSet<String>,
}

/// Text for every field, as far as a row has it.
#[derive(Default)]
struct Fields<'a> {
    texts: [Option<Cow<'a, str>>; Field::ALL.len()],
    /// Columns that stand in for a field's own.
    from: [Option<usize>; Field::ALL.len()],
}

impl Fields<'_> {
    fn take(&mut self, field: Field) -> Option<String> {
        self.texts[field as usize].take().map(Cow::into_owned)
    }

    fn get(&self, field: Field) -> Option<&str> {
        self.texts[field as usize].as_deref()
    }
}

impl Converter {
    pub(super) fn new(
        mapping: Mapping,
        builder: Builder,
        region: Option<String>,
        source: ContactSource,
        consent_moment: Option<Timestamp>,
        max_columns: usize,
    ) -> Self {
        let by_key = mapping.columns.iter().enumerate().map(|(index, column)| (column.header.clone(), index)).collect();
        let stand_ins = mapping.columns.iter().map(|column| builder.stand_in(column)).collect();
        Self { mapping, builder, by_key, stand_ins, region, source, consent_moment, max_columns, nested: BTreeSet::new() }
    }

    /// The contact of a row.
    pub(super) fn contact(&mut self, row: &Row) -> Result<NewContact, Rejection> {
        match &row.cells {
            Cells::Text(cells) => {
                let mut fields = Fields::default();
                let mut variables = Variables::new();
                if cells.has_nul() {
                    return Err(Rejection::new("nul_byte", "the row contains a zero byte; the file may be damaged"));
                }
                let columns = self.mapping.columns.len();
                if let Some(extra) = (columns..cells.len()).find(|index| cells.get(*index).is_some_and(|cell| !cell.is_empty())) {
                    let reason = format!(
                        "the row has a cell in position {} but the header has {columns} columns; a cell may need quotes",
                        extra + 1
                    );
                    return Err(Rejection::new("extra_cells", reason));
                }
                let mut nested = None;
                for (index, column) in self.mapping.columns.iter().enumerate() {
                    let Some(cell) = cells.get(index) else { break };
                    if cell.is_empty() {
                        continue;
                    }
                    if let Some(field) = column.field {
                        fields.texts[field as usize] = Some(Cow::Borrowed(cell));
                    }
                    if let Some(name) = &column.variable
                        && let Some(value) = cells.value(index)
                    {
                        match object_in(name, cell) {
                            Some(object) => nested = Some(object),
                            None => drop(variables.insert(name.clone(), value)),
                        }
                    }
                }
                self.note(nested.as_ref());
                merge(&mut variables, nested)?;
                self.finish(fields, variables)
            }
            Cells::Object(object) => self.object(object),
        }
    }

    fn object(&mut self, object: &Variables) -> Result<NewContact, Rejection> {
        let mut fields = Fields::default();
        let mut variables = Variables::new();
        let mut nested = None;
        let mut spare: Vec<(Field, f32, usize, String)> = Vec::new();
        if object.iter().any(|(key, value)| key.contains('\0') || has_nul(value)) {
            return Err(Rejection::new("nul_byte", "the contact contains a zero byte; the file may be damaged"));
        }
        for (key, value) in object {
            let index = match self.by_key.get(key) {
                Some(index) => *index,
                None => self.add_column(key)?,
            };
            let column = &self.mapping.columns[index];
            let value = match value {
                Value::Null => continue,
                Value::String(text) if text.trim().is_empty() => continue,
                Value::String(text) if text.trim().len() < text.len() => Value::String(text.trim().to_owned()),
                other => other.clone(),
            };
            if let Some(field) = column.field {
                let Some(text) = scalar_text(&value) else {
                    let reason = format!("{} must be text or a number, not a list or an object", field.as_str());
                    return Err(Rejection::new("not_text", reason).column(&column.header));
                };
                fields.texts[field as usize] = Some(Cow::Owned(text));
            }
            if let (Some((field, sure)), Some(text)) = (self.stand_ins[index], scalar_text(&value)) {
                spare.push((field, sure, index, text));
            }
            match (&column.variable, value) {
                (Some(name), Value::Object(object)) if name == "variables" => nested = Some(object),
                (Some(name), value) => drop(variables.insert(name.clone(), value)),
                (None, _) => {}
            }
        }
        self.stand_in(object, spare, &mut fields, &mut variables);
        self.note(nested.as_ref());
        merge(&mut variables, nested)?;
        self.finish(fields, variables)
    }

    /// Objects of one file may name the same thing differently: where the key of a field's own column is not there at all, the surest other
    /// name of it stands in; the first of equals.
    fn stand_in(
        &self,
        object: &Variables,
        mut spare: Vec<(Field, f32, usize, String)>,
        fields: &mut Fields<'_>,
        variables: &mut Variables,
    ) {
        spare.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (field, _, index, text) in spare {
            let own = self.mapping.column_of(field).is_some_and(|column| object.contains_key(&column.header));
            if own || fields.get(field).is_some() {
                continue;
            }
            fields.texts[field as usize] = Some(Cow::Owned(text));
            fields.from[field as usize] = Some(index);
            if let Some(name) = self.mapping.columns[index].variable.as_ref().filter(|_| !field.is_variable_too()) {
                variables.remove(name);
            }
        }
    }

    /// Remembers the names in a nested object, as many as a file may have columns.
    fn note(&mut self, nested: Option<&Variables>) {
        for name in nested.into_iter().flat_map(Variables::keys).map(|key| super::mapping::variable_name(key)) {
            if !name.is_empty() && self.nested.len() < self.max_columns {
                self.nested.insert(name);
            }
        }
    }

    /// A key no earlier object had.
    fn add_column(&mut self, key: &str) -> Result<usize, Rejection> {
        let index = self.mapping.columns.len();
        if index >= self.max_columns {
            return Err(Rejection::new("too_many_columns", format!("the file has more than {} different keys", self.max_columns)));
        }
        let column = self.builder.add(key, index);
        self.stand_ins.push(self.builder.stand_in(&column));
        self.mapping.columns.push(column);
        self.by_key.insert(key.to_owned(), index);
        Ok(index)
    }

    fn finish(&self, mut fields: Fields<'_>, mut variables: Variables) -> Result<NewContact, Rejection> {
        let from = fields.from;
        let reject = |field: Field, code: &'static str, reason: String| {
            let rejection = Rejection::new(code, reason);
            match from[field as usize].map(|index| &self.mapping.columns[index]).or_else(|| self.mapping.column_of(field)) {
                Some(column) => rejection.column(&column.header),
                None => rejection,
            }
        };
        let Some(text) = fields.get(Field::PhoneNumber) else {
            return Err(reject(Field::PhoneNumber, "missing_phone", "The phone number is missing.".to_owned()));
        };
        let (phone, extension) = PhoneNumber::parse_with_extension(text, self.region.as_deref()).map_err(|error| match error.code {
            PhoneErrorCode::Empty => reject(Field::PhoneNumber, "missing_phone", error.message().to_owned()),
            code => reject(Field::PhoneNumber, code.as_str(), error.message().to_owned()),
        })?;
        if let Some(extension) = extension.filter(|_| !variables.contains_key("extension")) {
            variables.insert("extension".to_owned(), Value::String(extension));
        }
        let zones = match fields.get(Field::TimeZone) {
            Some(text) => match zones::normalise_zone(text) {
                Some(name) => ZoneKey::from_names([name.as_str()]),
                None => {
                    let reason = "This is not an IANA time zone such as America/New_York; offsets such as -5 are refused because they are \
                                  wrong for half of the year.";
                    return Err(reject(Field::TimeZone, "unknown_time_zone", reason.to_owned()));
                }
            },
            None => zones::zones_of(&phone),
        };
        let consent = self.consent(&mut fields).map_err(|field| {
            let reason = "This is neither yes or no nor a date such as 2026-02-15 or 2026-02-15T14:30:00Z.";
            reject(field, "invalid_consent", reason.to_owned())
        })?;
        let name = fields.take(Field::Name).or_else(|| match (fields.take(Field::FirstName), fields.take(Field::LastName)) {
            (Some(first), Some(last)) => Some(format!("{first} {last}")),
            (first, last) => first.or(last),
        });
        Ok(NewContact {
            phone,
            name,
            email: fields.take(Field::Email),
            company: fields.take(Field::Company),
            zones,
            variables,
            consent,
            source: self.source,
        })
    }

    /// Consent needs a moment: that of its own column, that in the yes-or-no column, or else the moment of the import.
    fn consent(&self, fields: &mut Fields<'_>) -> Result<Option<Consent>, Field> {
        let given_at = fields.get(Field::ConsentAt).map(|text| moment(text).ok_or(Field::ConsentAt)).transpose()?;
        let given_at = match fields.get(Field::Consent) {
            None => given_at,
            Some(text) => match (yes_or_no(text), moment(text)) {
                (Some(false), _) => None,
                (Some(true), _) => given_at.or(self.consent_moment),
                (None, Some(moment)) => given_at.or(Some(moment)),
                (None, None) => return Err(Field::Consent),
            },
        };
        let source = fields.take(Field::ConsentSource);
        Ok(given_at.map(|given_at| Consent { given_at, source, channels: Vec::new() }))
    }
}

/// The object in a cell of a column called `variables`, as the rejects file writes it.
fn object_in(name: &str, cell: &str) -> Option<Variables> {
    (name == "variables" && cell.starts_with('{')).then(|| serde_json::from_str(cell).ok()).flatten()
}

/// Members of a nested `variables` object stand beside the columns; a column of the same name wins.
fn merge(variables: &mut Variables, nested: Option<Variables>) -> Result<(), Rejection> {
    for (key, value) in nested.unwrap_or_default() {
        let name = super::mapping::variable_name(&key);
        if has_nul(&value) {
            return Err(Rejection::new("nul_byte", "the contact contains a zero byte; the file may be damaged"));
        }
        if !name.is_empty() && !value.is_null() && !variables.contains_key(&name) {
            variables.insert(name, value);
        }
    }
    Ok(())
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(map) => map.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The text of a JSON value that is no list and no object.
pub(super) fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => Some(match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) => float_text(float),
            None => number.to_string(),
        }),
        Value::Null => Some(String::new()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// A float without its fraction when it is whole. Many zeros at the end mean that digits were lost before it became a number
/// (`3.46E+10`), so it stays in scientific notation, which the phone parser refuses.
fn float_text(float: f64) -> String {
    let whole = float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0;
    if whole && float % 100_000.0 != 0.0 {
        format!("{}", float as i64)
    } else if whole {
        format!("{float:E}")
    } else {
        float.to_string()
    }
}

fn yes_or_no(text: &str) -> Option<bool> {
    match deunicode::deunicode(text).to_ascii_lowercase().as_str() {
        "yes" | "y" | "true" | "t" | "1" | "x" | "si" | "s" | "oui" | "ja" | "sim" | "opt-in" | "opted in" | "granted" => Some(true),
        "no" | "n" | "false" | "f" | "0" | "non" | "nein" | "nao" | "nee" | "opt-out" | "opted out" | "denied" | "revoked" => Some(false),
        _ => None,
    }
}

/// A moment, or a civil time taken as UTC.
fn moment(text: &str) -> Option<Timestamp> {
    let civil = |at: DateTime| at.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    text.parse::<Timestamp>()
        .ok()
        .or_else(|| text.parse::<DateTime>().ok().and_then(civil))
        .or_else(|| text.parse::<Date>().ok().and_then(|date| civil(date.at(0, 0, 0, 0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_keep_their_digits_or_show_that_they_lost_them() {
        for (float, expected) in [
            (5_551_234_567.0, "5551234567"),
            (5_551_230_000.0, "5551230000"),
            (34_600_000_000.0, "3.46E10"),
            (34_631_021_622.0, "34631021622"),
            (1.5, "1.5"),
        ] {
            assert_eq!(float_text(float), expected);
        }
    }

    #[test]
    fn moments() {
        for (text, expected) in [
            ("2026-02-15", Some("2026-02-15T00:00:00Z")),
            ("2026-02-15 14:30:00", Some("2026-02-15T14:30:00Z")),
            ("2026-02-15T14:30:00-05:00", Some("2026-02-15T19:30:00Z")),
            ("15/02/2026", None),
            ("soon", None),
        ] {
            assert_eq!(moment(text).map(|at| at.to_string()).as_deref(), expected, "{text}");
        }
    }
}
