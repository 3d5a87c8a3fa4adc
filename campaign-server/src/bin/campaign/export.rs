//! `campaign export`: results, contact by contact or attempt by attempt, as a stream.

use crate::common::{Done, Session, campaign_id, remark, written};
use campaign_core::contact::{Contact, ContactStatus, Owner};
use campaign_core::id::{AttemptId, CampaignId, ContactId};
use campaign_core::store::{AttemptQuery, ContactQuery, Paging};
use campaign_core::{Engine, Error, Kind, wire};
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

/// Records per page.
const PAGE: u32 = 1000;

#[derive(Clone, Copy, ValueEnum, PartialEq)]
enum Form {
    /// One row per record.
    Csv,
    /// An array of objects.
    Json,
    /// An object per line.
    Jsonl,
}

#[derive(Clone, Copy, ValueEnum, PartialEq)]
enum What {
    /// Contacts with what they came to.
    Contacts,
    /// Every attempt.
    Attempts,
}

/// Arguments of `export`.
#[derive(Args)]
pub(crate) struct Export {
    /// The campaign.
    #[arg(value_parser = campaign_id)]
    campaign: CampaignId,
    /// How it is written. Default: by the name of the output, else CSV, or JSON with `--json`.
    #[arg(long, value_enum)]
    format: Option<Form>,
    /// Contacts, or every attempt.
    #[arg(long, value_enum, default_value = "contacts")]
    what: What,
    /// Only contacts in this status, for example `completed`; several times.
    #[arg(long = "status", value_name = "STATUS")]
    statuses: Vec<String>,
    /// The file to write. Default: the standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Leaves cells that a spreadsheet would take for a formula as they are. Without it they get an apostrophe in front.
    #[arg(long)]
    raw: bool,
}

/// The columns of contacts; a column for each variable of the campaign follows.
const CONTACTS: [&str; 15] = [
    "id",
    "phone_number",
    "name",
    "email",
    "company",
    "status",
    "reason",
    "reason_text",
    "attempts",
    "channel",
    "last_disposition",
    "last_attempt_at",
    "completed_at",
    "call_duration",
    "cost",
];
/// The columns of attempts.
const ATTEMPTS: [&str; 15] = [
    "id",
    "contact_id",
    "attempt_number",
    "run",
    "channel",
    "status",
    "state",
    "disposition",
    "provider_ref",
    "from_number",
    "executed_at",
    "finished_at",
    "duration_seconds",
    "cost",
    "error_details",
];

impl Export {
    pub(crate) async fn run(self, session: &Session) -> Done {
        let statuses = self.statuses.iter().map(|name| {
            ContactStatus::parse(name).ok_or_else(|| {
                Error::invalid("status", format!("must be one of {}", ContactStatus::ALL.map(ContactStatus::as_str).join(", ")))
            })
        });
        let statuses: Vec<ContactStatus> = statuses.collect::<Result<_, _>>()?;
        if self.what == What::Attempts && !statuses.is_empty() {
            return Err(Error::invalid("status", "contacts have a status; attempts are exported as a whole").into());
        }
        let (_, engine) = session.beside().await?;
        let record = engine.get_campaign(self.campaign).await?;
        let mut columns: Vec<String> = if self.what == What::Contacts { CONTACTS } else { ATTEMPTS }.map(str::to_owned).to_vec();
        if self.what == What::Contacts {
            columns.extend(record.spec.available_variables.keys().map(|name| format!("{VARIABLES}{name}")));
        }
        let target: Box<dyn Write + Send> =
            match &self.output {
                Some(path) => Box::new(File::create(path).map_err(|error| {
                    Error::new(Kind::Invalid, format!("the file cannot be written: {error}")).with("file", path.display())
                })?),
                None => Box::new(std::io::stdout()),
            };
        let mut sink = Sink::new(self.form(session.json), BufWriter::new(target), columns, self.raw)?;
        let count = match self.what {
            What::Contacts => contacts(&engine, self.campaign, statuses, &mut sink).await?,
            What::Attempts => attempts(&engine, self.campaign, &mut sink).await?,
        };
        sink.end()?;
        if let Some(path) = &self.output {
            remark(format!("{count} records are in {}.", path.display()));
        }
        Ok(engine.close().await?)
    }

    fn form(&self, as_json: bool) -> Form {
        let by_name = self.output.as_deref().and_then(|path| path.extension()).and_then(|end| end.to_str());
        self.format.unwrap_or(match by_name {
            Some("json") => Form::Json,
            Some("jsonl" | "ndjson") => Form::Jsonl,
            Some("csv") => Form::Csv,
            _ if as_json => Form::Json,
            _ => Form::Csv,
        })
    }
}

/// Columns of variables are found below this member.
const VARIABLES: &str = "variables.";

async fn contacts(engine: &Engine, campaign: CampaignId, statuses: Vec<ContactStatus>, sink: &mut Sink) -> Done<u64> {
    let (mut count, mut after): (u64, Option<ContactId>) = (0, None);
    loop {
        let paging = Paging { offset: 0, limit: PAGE };
        let query = ContactQuery { after, statuses: statuses.clone(), paging, count: false, ..ContactQuery::of(Owner::Campaign(campaign)) };
        let page: Vec<Contact> = engine.list_contacts(query).await?.items;
        let Some(last) = page.last() else { return Ok(count) };
        after = Some(last.id);
        count += page.len() as u64;
        page.iter().try_for_each(|contact| sink.put(&wire::contact(contact)))?;
    }
}

async fn attempts(engine: &Engine, campaign: CampaignId, sink: &mut Sink) -> Done<u64> {
    let (mut count, mut before): (u64, Option<AttemptId>) = (0, None);
    loop {
        let paging = Paging { offset: 0, limit: PAGE };
        let query = AttemptQuery { campaign: Some(campaign), before, paging, count: false, ..AttemptQuery::default() };
        let page = engine.executions(query).await?.items;
        let Some(last) = page.last() else { return Ok(count) };
        before = Some(last.id);
        count += page.len() as u64;
        page.iter().try_for_each(|attempt| sink.put(&wire::execution(attempt)))?;
    }
}

type Target = BufWriter<Box<dyn Write + Send>>;

/// Writes records one by one.
enum Sink {
    Csv { csv: Box<csv::Writer<Target>>, columns: Vec<String>, raw: bool },
    Json { target: Target, first: bool },
    Lines(Target),
}

fn unwritten(error: csv::Error) -> crate::common::Failure {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => written(error),
        _ => Error::new(Kind::Internal, "a row of the export is not as long as its heading").into(),
    }
}

impl Sink {
    fn new(form: Form, mut target: Target, columns: Vec<String>, raw: bool) -> Done<Self> {
        Ok(match form {
            Form::Csv => {
                let mut csv = csv::Writer::from_writer(target);
                csv.write_record(columns.iter().map(|column| guarded(column.strip_prefix(VARIABLES).unwrap_or(column), raw)))
                    .map_err(unwritten)?;
                Self::Csv { csv: Box::new(csv), columns, raw }
            }
            Form::Json => {
                target.write_all(b"[").map_err(written)?;
                Self::Json { target, first: true }
            }
            Form::Jsonl => Self::Lines(target),
        })
    }

    fn put(&mut self, record: &Value) -> Done {
        match self {
            Self::Csv { csv, columns, raw } => {
                let cell = |column: &String| {
                    let value = match column.strip_prefix(VARIABLES) {
                        Some(variable) => &record["variables"][variable],
                        None => &record[column.as_str()],
                    };
                    match value {
                        Value::Null => String::new(),
                        // A number is no formula, even one below zero, and numbers of people begin with a plus.
                        Value::String(text) if column == "phone_number" || column == "from_number" => text.clone(),
                        Value::String(text) => guarded(text, *raw),
                        other => other.to_string(),
                    }
                };
                csv.write_record(columns.iter().map(cell)).map_err(unwritten)
            }
            Self::Json { target, first } => {
                let between = if std::mem::take(first) { "\n" } else { ",\n" };
                write!(target, "{between}{record}").map_err(written)
            }
            Self::Lines(target) => writeln!(target, "{record}").map_err(written),
        }
    }

    fn end(self) -> Done {
        match self {
            Self::Csv { mut csv, .. } => csv.flush().map_err(written),
            Self::Json { mut target, .. } => target.write_all(b"\n]\n").and_then(|()| target.flush()).map_err(written),
            Self::Lines(mut target) => target.flush().map_err(written),
        }
    }
}

/// A text that no spreadsheet takes for a formula.
fn guarded(text: &str, raw: bool) -> String {
    let looks_like_one = text.trim_start().starts_with(['=', '+', '-', '@', '\t', '\r']) || text.starts_with(['\t', '\r']);
    if looks_like_one && !raw { format!("'{text}") } else { text.to_owned() }
}
