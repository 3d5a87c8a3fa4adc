//! From the headers of a file to fields and template variables.

use super::aliases;
use crate::error::{Error, Kind, Result};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::{BTreeMap, HashSet};

/// A column is taken for a field from this confidence on.
const ACCEPT: f32 = 0.5;

/// Columns the rejects file adds; a repaired rejects file is imported without them.
pub(super) const REJECT_COLUMNS: [&str; 4] = ["rejected_line", "rejected_column", "rejected_code", "rejected_reason"];

/// What a contact has besides its template variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// Where to reach the person. The only field a file must have.
    PhoneNumber,
    /// Full name.
    Name,
    /// Given name; the name is first and last name when there is no name column. Also a variable.
    FirstName,
    /// Family name. Also a variable.
    LastName,
    /// Email address.
    Email,
    /// Company.
    Company,
    /// IANA time zone of the person.
    TimeZone,
    /// When consent was given: a date or a moment.
    ConsentAt,
    /// Whether consent was given: yes or no, or the moment.
    Consent,
    /// Where the proof of consent lies.
    ConsentSource,
}

impl Field {
    /// All of them.
    pub const ALL: [Field; 10] = [
        Self::PhoneNumber,
        Self::Name,
        Self::FirstName,
        Self::LastName,
        Self::Email,
        Self::Company,
        Self::TimeZone,
        Self::ConsentAt,
        Self::Consent,
        Self::ConsentSource,
    ];

    /// The name used in explicit mappings, for example `phone_number`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PhoneNumber => "phone_number",
            Self::Name => "name",
            Self::FirstName => "first_name",
            Self::LastName => "last_name",
            Self::Email => "email",
            Self::Company => "company",
            Self::TimeZone => "time_zone",
            Self::ConsentAt => "consent_at",
            Self::Consent => "consent",
            Self::ConsentSource => "consent_source",
        }
    }

    /// The field with this name; `phone` and `timezone` are understood too.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "phone" => Some(Self::PhoneNumber),
            "timezone" => Some(Self::TimeZone),
            _ => Self::ALL.into_iter().find(|field| field.as_str() == name),
        }
    }

    pub(super) fn is_variable_too(self) -> bool {
        matches!(self, Self::FirstName | Self::LastName)
    }
}

/// What a column of the file becomes. A column with neither field nor variable is ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MappedColumn {
    /// The header as it stands in the file; `column_3` where the third column has none.
    pub header: String,
    /// The field it fills.
    #[serde(default)]
    pub field: Option<Field>,
    /// The template variable it becomes.
    #[serde(default)]
    pub variable: Option<String>,
    /// How sure the mapping is, from 0 to 1. Explicit mappings are 1.
    #[serde(serialize_with = "in_hundredths")]
    pub confidence: f32,
    /// Why, for a person.
    pub why: String,
}

/// 0.85 is written as such, not as the nearest number of 32 bits.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn in_hundredths<S: Serializer>(value: &f32, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_f64((f64::from(*value) * 100.0).round() / 100.0)
}

/// What every column of a file becomes, in the order of the file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Mapping {
    /// One entry per column.
    pub columns: Vec<MappedColumn>,
}

impl Mapping {
    /// The column that fills a field.
    pub fn column_of(&self, field: Field) -> Option<&MappedColumn> {
        self.columns.iter().find(|column| column.field == Some(field))
    }

    /// The names of all template variables, in the order of the file.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().filter_map(|column| column.variable.as_deref())
    }
}

/// The template variable a header becomes: transliterated to ASCII, lower case, everything but letters and digits one `_`.
/// A leading digit gets a `_` in front, because template variables cannot begin with one. May be empty.
pub fn slug(header: &str) -> String {
    let mut slug = String::with_capacity(header.len());
    for c in deunicode::deunicode_with_tofu(header, " ").chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('_') {
            slug.push('_');
        }
    }
    slug.truncate(slug.trim_end_matches('_').len());
    if slug.starts_with(|c: char| c.is_ascii_digit()) {
        slug.insert(0, '_');
    }
    slug
}

/// The name that a variable has which somebody named on purpose: as it was given when a template can use it so, or else its [`slug`].
pub fn variable_name(given: &str) -> String {
    let given = given.trim();
    let starts = given.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if starts && given.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') { given.to_owned() } else { slug(given) }
}

/// Proposes what each column becomes, from its header and some rows. `sample` may be empty; rows may be shorter than `headers`.
///
/// At most one column is taken for each field: the one whose header is the surest name of it and, for phones, whose cells look
/// like numbers. Every other column becomes a variable.
pub fn suggest_mapping(headers: &[String], sample: &[Vec<String>]) -> Mapping {
    let shares = phone_shares(headers.len(), sample);
    Builder::default().build(headers, &shares, &BTreeMap::new())
}

/// How many of the filled cells of each column look like phone numbers, from 0 to 1; `None` for a column without filled cells.
pub(super) fn phone_shares<S: AsRef<str>>(columns: usize, sample: &[Vec<S>]) -> Vec<Option<f32>> {
    let mut counts = vec![(0u32, 0u32); columns];
    for row in sample {
        for (cell, (filled, phones)) in row.iter().zip(&mut counts) {
            let cell = cell.as_ref().trim();
            *filled += u32::from(!cell.is_empty());
            *phones += u32::from(looks_like_phone(cell));
        }
    }
    counts.into_iter().map(|(filled, phones)| (filled > 0).then(|| phones as f32 / filled as f32)).collect()
}

/// A cheap look without a numbering plan: 7 to 15 digits, and little else.
pub(super) fn looks_like_phone(cell: &str) -> bool {
    let cell = deunicode::deunicode(cell);
    let digits = cell.bytes().filter(u8::is_ascii_digit).count();
    let letters = cell.bytes().filter(u8::is_ascii_alphabetic).count();
    // Up to nine letters leave room for "tel:" and "ext"; dates and times have `/` or `:` between digits.
    (7..=20).contains(&digits) && letters <= 9 && letters < digits && !cell.contains('/') && !cell.contains('@')
}

/// Builds a mapping column by column; JSON files show new columns as they go.
#[derive(Debug, Default)]
pub(super) struct Builder {
    fields: HashSet<Field>,
    variables: HashSet<String>,
    /// Columns and fields that the caller has decided on.
    given: HashSet<String>,
    given_fields: HashSet<Field>,
}

impl Builder {
    /// The mapping of all headers. `explicit` has one entry per column index it decides: a field or variable, or nothing.
    pub(super) fn build(&mut self, headers: &[String], shares: &[Option<f32>], explicit: &BTreeMap<usize, String>) -> Mapping {
        let mut columns: Vec<Option<MappedColumn>> = vec![None; headers.len()];
        for (&index, target) in explicit {
            columns[index] = Some(self.explicit(&headers[index], target));
        }
        let named: Vec<_> = headers.iter().map(|header| aliases::field_of(&slug(header))).collect();
        // The surest column of each field wins; the first of equals.
        let mut best: BTreeMap<usize, (Field, f32, &'static str)> = BTreeMap::new();
        for field in Field::ALL {
            let mut winner: Option<(usize, f32, &'static str)> = None;
            for (index, named) in named.iter().enumerate().filter(|(index, _)| columns[*index].is_none()) {
                let Some((found, sure, why)) = *named else { continue };
                let share = shares.get(index).copied().flatten();
                let sure = if found == Field::PhoneNumber { weigh(sure, share) } else { sure };
                if found == field && sure >= ACCEPT && winner.is_none_or(|(_, other, _)| sure > other) {
                    winner = Some((index, sure, why));
                }
            }
            if let Some((index, sure, why)) = winner.filter(|_| !self.fields.contains(&field)) {
                self.fields.insert(field);
                best.insert(index, (field, sure, why));
            }
        }
        let columns = headers.iter().zip(columns).enumerate().map(|(index, (header, column))| match (column, best.get(&index)) {
            (Some(column), _) => column,
            (None, Some(&(field, confidence, why))) => MappedColumn {
                header: header.clone(),
                field: Some(field),
                variable: field.is_variable_too().then(|| self.unique(header)),
                confidence,
                why: why.to_owned(),
            },
            (None, None) => self.rest(header, index, shares.get(index).copied().flatten()),
        });
        Mapping { columns: columns.collect() }
    }

    /// One more column, found after the others.
    pub(super) fn add(&mut self, header: &str, index: usize) -> MappedColumn {
        match aliases::field_of(&slug(header)) {
            Some((field, confidence, why)) if confidence >= ACCEPT && self.fields.insert(field) => MappedColumn {
                header: header.to_owned(),
                field: Some(field),
                variable: field.is_variable_too().then(|| self.unique(header)),
                confidence,
                why: why.to_owned(),
            },
            _ => self.rest(header, index, None),
        }
    }

    /// The field that a column without one fills in objects which do not have the key of that field's own column, and how sure that is.
    /// What the caller has decided stays decided.
    pub(super) fn stand_in(&self, column: &MappedColumn) -> Option<(Field, f32)> {
        let slug = slug(&column.header);
        let (field, sure, _) = aliases::field_of(&slug)?;
        let free = column.field.is_none() && !self.given.contains(&column.header) && !REJECT_COLUMNS.contains(&slug.as_str());
        (free && sure >= ACCEPT && !self.given_fields.contains(&field)).then_some((field, sure))
    }

    fn explicit(&mut self, header: &str, target: &str) -> MappedColumn {
        let field = Field::parse(&slug(target));
        let target = variable_name(target);
        self.given.insert(header.to_owned());
        if let Some(field) = field {
            self.fields.insert(field);
            self.given_fields.insert(field);
        }
        let variable = match field {
            Some(field) => field.is_variable_too().then(|| self.unique(field.as_str())),
            None => (!target.is_empty()).then(|| self.unique_name(target)),
        };
        let why = if field.is_none() && variable.is_none() { "ignored by the mapping given" } else { "the mapping given says so" };
        MappedColumn { header: header.to_owned(), field, variable, confidence: 1.0, why: why.to_owned() }
    }

    fn rest(&mut self, header: &str, index: usize, share: Option<f32>) -> MappedColumn {
        let slug = slug(header);
        if REJECT_COLUMNS.contains(&slug.as_str()) {
            let why = "written by an earlier import".to_owned();
            return MappedColumn { header: header.to_owned(), field: None, variable: None, confidence: 1.0, why };
        }
        let why = match (aliases::field_of(&slug), share) {
            (Some((field, ..)), _) if self.fields.contains(&field) => format!("another column is the surer {}", field.as_str()),
            (_, Some(share)) if share >= 0.8 => "the header names no field, though the cells look like phone numbers".to_owned(),
            _ => "every other column is a template variable".to_owned(),
        };
        let named = if slug.is_empty() { format!("column_{}", index + 1) } else { slug };
        MappedColumn { header: header.to_owned(), field: None, variable: Some(self.unique(&named)), confidence: 1.0, why }
    }

    fn unique(&mut self, header: &str) -> String {
        self.unique_name(slug(header))
    }

    fn unique_name(&mut self, base: String) -> String {
        let mut name = base.clone();
        let mut n = 2;
        while !self.variables.insert(name.clone()) {
            name = format!("{base}_{n}");
            n += 1;
        }
        name
    }
}

/// A certain header stays a phone column even when its cells look bad, so that its rows are reported one by one.
fn weigh(sure: f32, share: Option<f32>) -> f32 {
    let weighed = share.map_or(sure, |share| (sure * (0.4 + 0.6 * share) * 100.0).round() / 100.0);
    if sure >= 0.9 { weighed.max(ACCEPT) } else { weighed }
}

/// Whether this header (not its cells) names a phone column.
pub(super) fn names_phone(header: &str) -> bool {
    matches!(aliases::field_of(&slug(header)), Some((Field::PhoneNumber, sure, _)) if sure >= ACCEPT)
}

/// The columns an explicit mapping decides. A header matches as it is written, or else by its slug.
///
/// # Errors
/// A header that is not in the file (unless `open_ended`: more columns may follow), or a field given to two columns.
pub(super) fn resolve(explicit: &BTreeMap<String, String>, headers: &[String], open_ended: bool) -> Result<BTreeMap<usize, String>> {
    let mut decided = BTreeMap::new();
    let mut fields: BTreeMap<&'static str, &str> = BTreeMap::new();
    for (wanted, target) in explicit {
        let index = position(headers, wanted);
        if let Some(field) = Field::parse(&slug(target))
            && let Some(other) = fields.insert(field.as_str(), wanted)
        {
            let message =
                format!("the mapping gives both “{}” and “{}” to {}; map one of them", shown(other), shown(wanted), field.as_str());
            return Err(Error::invalid("mapping", message));
        }
        match index {
            Some(index) => drop(decided.insert(index, target.clone())),
            None if open_ended => {}
            None => return Err(unknown_header(wanted, headers)),
        }
    }
    Ok(decided)
}

/// Where a header stands, by its text or else by its slug.
pub(super) fn position(headers: &[String], wanted: &str) -> Option<usize> {
    let by_slug = || {
        let wanted = slug(wanted);
        headers.iter().position(|header| !wanted.is_empty() && slug(header) == wanted)
    };
    headers.iter().position(|header| header.trim() == wanted.trim()).or_else(by_slug)
}

fn unknown_header(wanted: &str, headers: &[String]) -> Error {
    let closest =
        headers.iter().map(|header| (strsim::jaro_winkler(&slug(header), &slug(wanted)), header)).max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = match closest {
        Some((close, header)) if close > 0.75 => format!("; did you mean “{}”?", shown(header)),
        _ => format!("; the headers are {}", listed(headers)),
    };
    Error::invalid("mapping", format!("the file has no column “{}”{hint}", shown(wanted)))
}

/// The error for a file without a phone column: what was seen, and what is accepted.
pub(super) fn no_phone_column(headers: &[String], shares: &[Option<f32>]) -> Error {
    let likely = headers.iter().zip(shares).find(|(_, share)| share.is_some_and(|share| share >= 0.8)).map(|(header, _)| header);
    let example = shown(likely.or(headers.first()).map_or("Header", String::as_str));
    let likely = likely.map(|header| format!(" “{}” looks like it.", shown(header))).unwrap_or_default();
    Error::new(
        Kind::Invalid,
        format!(
            "no column is recognised as the phone number. The headers are {}.{likely} Name one phone, phone_number, mobile, cell, telephone, \
             msisdn or whatsapp, or give a mapping such as {{\"{example}\": \"phone_number\"}}",
            listed(headers)
        ),
    )
}

fn listed(headers: &[String]) -> String {
    let mut list = headers.iter().take(20).map(|header| format!("“{}”", shown(header))).collect::<Vec<_>>().join(", ");
    if headers.len() > 20 {
        list += &format!(" and {} more", headers.len() - 20);
    }
    list
}

/// A header as it may stand in a message: short, and without anything that could be a phone number.
pub(super) fn shown(header: &str) -> String {
    if header.bytes().filter(u8::is_ascii_digit).count() >= 7 || looks_like_phone(header) {
        return "(a number)".to_owned();
    }
    let mut short: String = header.trim().chars().filter(|c| !c.is_control()).take(40).collect();
    if header.trim().chars().count() > 40 {
        short.push('…');
    }
    short
}
