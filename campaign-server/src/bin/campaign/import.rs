//! `campaign import`, and the options of files that other subcommands have as well.

use crate::common::{Done, Session, json_line, line, remark};
use campaign_core::contact::Owner;
use campaign_core::id::{CampaignId, ListId};
use campaign_core::import::{ImportOptions, ImportReport, ImportSource};
use campaign_core::{Error, Kind, wire};
use clap::Args;
use serde_json::{Value, json};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How a file is read.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "How the file is read")]
pub(crate) struct FileArgs {
    /// `csv`, `tsv`, `json`, `json_lines`, `xlsx`, `xls` or `ods`. Default: found by content and name.
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Takes a column as a field or a variable, for example `--map "Phone No=phone_number"`; `--map Notes=` leaves it out. Several times.
    #[arg(long = "map", value_name = "COLUMN=FIELD", value_parser = pair)]
    mapping: Vec<(String, String)>,
    /// The separator of a CSV file. Default: found by looking.
    #[arg(long, value_name = "CHARACTER")]
    delimiter: Option<char>,
    /// The encoding by its web name, for example `windows-1252`. Default: found by looking.
    #[arg(long, value_name = "NAME")]
    encoding: Option<String>,
    /// The sheet of a spreadsheet by its name. Default: the first.
    #[arg(long, value_name = "NAME")]
    sheet: Option<String>,
    /// Writes rejected rows to this file, each with the reason.
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Rejected rows that are listed; all are counted. Default: 100.
    #[arg(long, value_name = "NUMBER")]
    max_errors: Option<u64>,
    /// What happens to numbers that are there already: `skip` or `update_variables`. Default: `skip`.
    #[arg(long, value_name = "POLICY")]
    duplicates: Option<String>,
    /// The moment a bare "yes" in a consent column counts from, RFC 3339. Default: such a "yes" is no consent.
    #[arg(long, value_name = "MOMENT")]
    consent_moment: Option<String>,
}

/// `NAME=VALUE` on the command line.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    if name.trim().is_empty() { Err("must be NAME=VALUE".to_owned()) } else { Ok((name.trim().to_owned(), value.to_owned())) }
}

impl FileArgs {
    /// Refuses what cannot be done with this file, before anything is made or written for it.
    pub(crate) fn check(&self, file: &Path) -> Done {
        let Some(rejects) = &self.rejects else { return Ok(()) };
        let Ok(there) = std::fs::metadata(rejects) else {
            let folder = rejects.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            return std::fs::read_dir(folder).map(drop).map_err(|error| unusable(rejects, "written", &error).into());
        };
        if is_same_file(&there, &metadata(file).map_err(|error| unusable(file, "read", &error))?) {
            return Err(Error::invalid("rejects", "is the file that is read; name another one for the rejected rows").into());
        }
        if there.is_file() {
            OpenOptions::new().write(true).open(rejects).map_err(|error| unusable(rejects, "written", &error))?;
        }
        Ok(())
    }

    /// How this file is read.
    pub(crate) fn options(&self, file: &Path, region: &str) -> Done<ImportOptions> {
        self.check(file)?;
        let mut given = wire::Object::new();
        let mut put = |name: &str, value: Value| drop(given.insert(name.to_owned(), value));
        put("default_region", json!(region));
        put("format", json!(self.format));
        put("delimiter", json!(self.delimiter));
        put("encoding", json!(self.encoding));
        put("sheet", json!(self.sheet));
        put("max_errors", json!(self.max_errors));
        put("duplicates", json!(self.duplicates));
        put("consent_moment", json!(self.consent_moment));
        if !self.mapping.is_empty() {
            let mapping: wire::Object = self.mapping.iter().map(|(column, field)| (column.clone(), json!(field))).collect();
            put("column_mappings", mapping.into());
        }
        let mut options = wire::import_options(given)?;
        if let Some(path) = &self.rejects {
            options.rejects = Some(Box::new(BufWriter::new(Rejects::To(path.clone()))));
        }
        Ok(options)
    }

    /// After an import that rejected nothing the file of rejected rows is empty, whatever an earlier one wrote there.
    pub(crate) fn ended(&self, report: &ImportReport) -> Done {
        match &self.rejects {
            Some(path) if report.invalid == 0 => Ok(File::create(path).map(drop).map_err(|error| unusable(path, "written", &error))?),
            _ => Ok(()),
        }
    }
}

/// The file of rejected rows: made, or emptied, with the first of them. An import that is refused leaves it as it is.
enum Rejects {
    To(PathBuf),
    Into(File),
}

impl Rejects {
    fn file(&mut self) -> io::Result<&mut File> {
        if let Self::To(path) = self {
            let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
            *self = Self::Into(File::create(&path).map_err(named)?);
        }
        match self {
            Self::Into(file) => Ok(file),
            Self::To(_) => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Write for Rejects {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Into(file) => file.flush(),
            Self::To(_) => Ok(()),
        }
    }
}

/// Of a file, or of what the standard input is for `-`.
fn metadata(path: &Path) -> io::Result<Metadata> {
    if path == Path::new("-") {
        return File::from(io::stdin().as_fd().try_clone_to_owned()?).metadata();
    }
    std::fs::metadata(path)
}

/// Whether both are one file, whatever its names are. Terminals and pipes are read and written at once.
pub(crate) fn is_same_file(one: &Metadata, other: &Metadata) -> bool {
    one.is_file() && (one.dev(), one.ino()) == (other.dev(), other.ino())
}

fn unusable(path: &Path, what: &str, error: &io::Error) -> Error {
    Error::new(Kind::Invalid, format!("the file cannot be {what}: {error}")).with("file", path.display())
}

/// A file of contacts, or the standard input for `-`.
pub(crate) fn source(path: &Path) -> Done<ImportSource> {
    if path == Path::new("-") {
        return Ok(ImportSource::Reader(Box::new(io::stdin())));
    }
    // Told here, with its name, before anything is made for it.
    File::open(path).map_err(|error| unusable(path, "read", &error))?;
    Ok(ImportSource::Path(path.to_path_buf()))
}

/// Arguments of `import`.
#[derive(Args)]
pub(crate) struct Import {
    /// The campaign; with `--list`, the contact list.
    #[arg(value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..))]
    owner: i64,
    /// The file; `-` is the standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Into a contact list instead of a campaign.
    #[arg(long)]
    list: bool,
    /// Replaces the contacts of earlier files that nobody has tried to reach.
    #[arg(long)]
    replace_untouched: bool,
    #[command(flatten)]
    how: FileArgs,
}

impl Import {
    pub(crate) async fn run(self, session: &Session) -> Done {
        let owner = if self.list { Owner::List(ListId(self.owner)) } else { Owner::Campaign(CampaignId(self.owner)) };
        let (configuration, engine) = session.beside().await?;
        let mut options = self.how.options(&self.file, configuration.region())?;
        options.replace_untouched = self.replace_untouched;
        let report = engine.import_with_progress(owner, source(&self.file)?, options, |_| {}).await?;
        engine.close().await?;
        self.how.ended(&report)?;
        if session.json {
            return json_line(&wire::import_report(&report));
        }
        told(&report)
    }
}

/// A report for people: the counts, and what is wrong with rows.
pub(crate) fn told(report: &ImportReport) -> Done {
    line(counts(report))?;
    for error in &report.errors {
        let column = error.column.as_ref().map(|column| format!(", column {column:?}")).unwrap_or_default();
        remark(format!("line {}{column}: {}", error.line, error.reason));
    }
    if report.errors_truncated {
        remark("There are more; --rejects FILE writes all of them.");
    }
    Ok(())
}

/// The counts of a report in one sentence.
pub(crate) fn counts(report: &ImportReport) -> String {
    let ImportReport { imported, updated, duplicates, invalid, suppressed, total, .. } = report;
    let mut parts = vec![format!("{imported} of {total} rows imported")];
    for (count, what) in [(updated, "updated"), (duplicates, "there already"), (invalid, "rejected"), (suppressed, "suppressed")] {
        if *count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    format!("{}.", parts.join(", "))
}
