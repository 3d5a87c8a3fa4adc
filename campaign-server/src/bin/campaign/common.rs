//! What all subcommands share: configuration, the engine beside the nodes, output, exit codes.

use crate::telemetry::Traces;
use campaign_core::executor::TokioExecutor;
use campaign_core::id::CampaignId;
use campaign_core::store::{ContactStore, open_store};
use campaign_core::{Engine, Error, Kind, wire};
use campaign_server::config::{Configuration, Fault, Given};
use clap::Args;
use serde_json::{Value, json};
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

/// For `--help`; `docs/command.md` has the same.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  it failed, or `lint` found something that stands in the way
    2  the command, the configuration, a file or a value is not understood
    3  refused: it does not exist, exists already, or is not possible as things stand
    4  the store or the network is not available
  130  interrupted with work left";

/// Options of every subcommand.
#[derive(Args)]
#[command(next_help_heading = "Options of every subcommand")]
pub(crate) struct Globals {
    /// The configuration file. Default: `CAMPAIGN_CONFIG`, else `campaign.toml` in the working folder when it is there.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where everything durable lives: `sqlite://PATH`, `postgres://USER:PASSWORD@HOST/DATABASE`, or `memory://`.
    #[arg(long, global = true, value_name = "URL")]
    store: Option<String>,
    /// The country whose national numbers are understood, two letters.
    #[arg(long, global = true, value_name = "COUNTRY")]
    region: Option<String>,
    /// Print JSON, for machines.
    #[arg(long, global = true)]
    json: bool,
    /// How much is logged: `error`, `warn`, `info`, `debug`.
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
    /// How the log is written: `text` or `json`.
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
}

/// What was given for all subcommands.
pub(crate) struct Session {
    pub(crate) json: bool,
    given: Given,
    traces: Traces,
}

impl Session {
    pub(crate) fn new(globals: Globals) -> Self {
        let Globals { config, store, region, json, log_level, log_format } = globals;
        let mut given = Given { file: config, ..Given::default() };
        given.text("store", "--store", store.as_deref());
        given.text("region", "--region", region.as_deref());
        given.text("log.level", "--log-level", log_level.as_deref());
        given.text("log.format", "--log-format", log_format.as_deref());
        Self { json, given, traces: Traces::default() }
    }

    /// Reads the configuration of a command that executes, with more flags, and begins log and traces.
    pub(crate) fn executing(&self, more: impl FnOnce(&mut Given), usual_level: &str) -> Done<Configuration> {
        let mut given = self.given.clone();
        more(&mut given);
        let configuration = Configuration::read(&given, &environment)?;
        begin_log(&configuration, usual_level, self.traces.begin(&configuration)?)?;
        Ok(configuration)
    }

    /// Reads the configuration of any other command. The log is quiet unless somebody asked for more.
    pub(crate) fn configuration(&self) -> Done<Configuration> {
        let configuration = Configuration::read(&self.given, &environment)?;
        begin_log(&configuration, QUIET, None)?;
        Ok(configuration)
    }

    /// Sends what is left of the traces.
    pub(crate) async fn end(self) {
        self.traces.end().await;
    }

    pub(crate) fn given(&self) -> &Given {
        &self.given
    }

    /// An engine beside whatever executes on the store; see [`campaign_core::engine::EngineOptions::executes`].
    pub(crate) async fn beside(&self) -> Done<(Configuration, Engine)> {
        let configuration = self.configuration()?;
        let mut options = configuration.engine_options()?;
        options.executes = false;
        let store = open_store(configuration.store()).await?;
        let engine = Engine::builder().shared_store(store).options(|own| *own = options).build().await?;
        Ok((configuration, engine))
    }

    /// The store alone.
    pub(crate) async fn store(&self) -> Done<Arc<dyn ContactStore>> {
        Ok(open_store(self.configuration()?.store()).await?)
    }
}

pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The level of the log of a command that people wait for.
pub(crate) const QUIET: &str = "warn";

fn begin_log(configuration: &Configuration, usual_level: &str, traces: Option<Box<dyn Layer<Registry> + Send + Sync>>) -> Done {
    let level = if configuration.is_given("log.level") { configuration.text("log.level") } else { usual_level };
    let filter = EnvFilter::try_new(level).map_err(|error| Error::invalid("log.level", format!("is not understood: {error}")))?;
    let log = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let log = if configuration.text("log.format") == "json" { log.json().boxed() } else { log.boxed() };
    let layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = traces.into_iter().chain([log.with_filter(filter).boxed()]).collect();
    // A log that has begun already goes on as it is.
    let _ = tracing_subscriber::registry().with(layers).try_init();
    Ok(())
}

pub(crate) fn clock() -> Done<TokioExecutor> {
    Ok(TokioExecutor::current().ok_or_else(|| Error::new(Kind::Internal, "there is no runtime"))?)
}

/// A campaign's number on the command line.
pub(crate) fn campaign_id(text: &str) -> Result<CampaignId, String> {
    let id = text.parse().ok().filter(|id| *id >= 1_i64);
    id.map(CampaignId).ok_or_else(|| "must be the number of a campaign, as `campaign status` shows it".to_owned())
}

// --- what is said -----------------------------------------------------------------------------------------------------------

/// A line on the standard output.
pub(crate) fn line(text: impl Display) -> Done {
    writeln!(io::stdout().lock(), "{text}").map_err(written)
}

/// A value on the standard output.
pub(crate) fn json_line(value: &Value) -> Done {
    line(value)
}

/// A remark for people on the standard error, where it stands in nobody's way.
pub(crate) fn remark(text: impl Display) {
    // A terminal that is gone needs no remarks.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Rows under their headings, each column as wide as it must be.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> Done {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(headings.get(column).map(|heading| heading.chars().count())).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let written = |cells: Vec<&str>| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    line(written(headings.to_vec()))?;
    rows.iter().try_for_each(|row| line(written(row.iter().map(String::as_str).collect())))
}

/// A moment for people: seconds are enough.
pub(crate) fn moment(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

// --- what goes wrong --------------------------------------------------------------------------------------------------------

/// How a subcommand ends.
pub(crate) type Done<T = ()> = Result<T, Failure>;

/// Why a subcommand did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The engine or the store says so.
    Engine(Error),
    /// The configuration is wrong.
    Faults(Vec<Fault>),
    /// Somebody pressed Ctrl-C, or the process was told to end.
    Interrupted(String),
    /// Everything has been said already.
    Said(u8),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl From<Vec<Fault>> for Failure {
    fn from(faults: Vec<Fault>) -> Self {
        Self::Faults(faults)
    }
}

/// The standard output is gone: whoever read it has had enough, which is no failure.
pub(crate) fn written(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::Said(0);
    }
    Failure::Engine(Error::new(Kind::Unavailable, format!("the output cannot be written: {error}")))
}

fn code_of(kind: Kind) -> u8 {
    match kind {
        Kind::Invalid | Kind::Template => 2,
        Kind::NotFound | Kind::Conflict | Kind::State | Kind::Throttled | Kind::Stale => 3,
        Kind::Unavailable => 4,
        _ => 1,
    }
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Engine(error) => code_of(error.kind()),
            Self::Faults(_) => 2,
            Self::Interrupted(_) => 130,
            Self::Said(code) => *code,
        }
    }

    /// Says it on the standard error, and gives the exit code.
    pub(crate) fn told(&self, as_json: bool) -> ExitCode {
        let code = self.code();
        let (kind, sentences, mut detail) = match self {
            Self::Engine(error) => (error.kind().as_str(), vec![error.to_string()], wire::error(error)),
            Self::Faults(faults) => {
                let all = faults
                    .iter()
                    .map(|Fault { key, source, message }| json!({ "key": key, "source": source.to_string(), "message": message }));
                let sentences: Vec<String> = faults.iter().map(ToString::to_string).collect();
                ("configuration", sentences, json!({ "faults": all.collect::<Vec<_>>() }))
            }
            Self::Interrupted(sentence) => ("interrupted", vec![sentence.clone()], json!({})),
            Self::Said(_) => return ExitCode::from(code),
        };
        if as_json {
            let message = sentences.join("; ");
            for (name, value) in [("kind", json!(kind)), ("message", json!(message)), ("exit_code", json!(code))] {
                detail[name] = value;
            }
            for python_and_such in ["python", "code", "http_status", "text"] {
                if let Some(detail) = detail.as_object_mut() {
                    detail.remove(python_and_such);
                }
            }
            remark(json!({ "error": detail }));
        } else {
            sentences.iter().for_each(|sentence| remark(format!("campaign: {sentence}")));
        }
        ExitCode::from(code)
    }
}

/// The command line was not understood, or asked for help.
pub(crate) fn misunderstood(error: &clap::Error) -> ExitCode {
    let as_json = std::env::args().any(|argument| argument == "--json");
    if error.use_stderr() && as_json {
        let text = error.to_string();
        let said = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"));
        let message = said.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        let message = message.trim_start_matches("error: ");
        remark(json!({ "error": { "kind": "usage", "message": message, "exit_code": 2 } }));
    } else {
        let _ = error.print();
    }
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}
