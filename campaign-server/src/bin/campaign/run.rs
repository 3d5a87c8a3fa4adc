//! `campaign run`: a file imported and run. The same command again goes on where it was.
//!
//! Which campaign a command means is a document of the store, under a digest of the file's path, the name and the organisation. Contacts are
//! known by their numbers, so a file that was imported in part is imported again without doubling anybody.

use crate::common::{Done, Failure, QUIET, Session, campaign_id, json_line, line, remark};
use crate::import::{self, FileArgs, pair};
use crate::serve::{Signals, node};
use crate::status;
use crate::telemetry::TelemetryArgs;
use crate::watch::Watch;
use campaign_core::campaign::{CampaignRecord, CampaignSpec, CampaignStatus};
use campaign_core::contact::Owner;
use campaign_core::id::CampaignId;
use campaign_core::import::{ImportReport, ImportSource};
use campaign_core::store::{DocumentQuery, PutDocument};
use campaign_core::{Engine, Error, Kind, wire};
use campaign_server::config::{self, Configuration};
use clap::Args;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};

/// What `run` has begun.
const COLLECTION: &str = "command_run";

/// Arguments of `run`.
#[derive(Args)]
pub(crate) struct Run {
    /// The file of contacts.
    #[arg(required_unless_present = "campaign", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Runs this campaign, which is there already, instead of making one.
    #[arg(long, value_name = "NUMBER", value_parser = campaign_id, conflicts_with_all = ["spec", "name", "kind", "message", "fields", "file"])]
    campaign: Option<CampaignId>,
    /// What the campaign is: a file of JSON or TOML with the fields of the guide.
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,
    /// Its name. Default: that of the spec, else that of the file of contacts.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// `call`, `sms`, `whatsapp` or `mixed`. Default: that of the spec, else `call`.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// What is said or written: the template `welcome_message` of calls, `sms_message` of messages.
    #[arg(long, value_name = "TEMPLATE")]
    message: Option<String>,
    /// Any other field, for example `--set concurrent_limit=5` or `--set timezone=Europe/Berlin`; values are JSON or texts. Several times.
    #[arg(long = "set", value_name = "FIELD=VALUE", value_parser = pair)]
    fields: Vec<(String, String)>,
    /// Changes the campaign of an earlier command to what this one says.
    #[arg(long, conflicts_with_all = ["again", "campaign"])]
    update: bool,
    /// Makes another campaign of the same file: people are reached once more.
    #[arg(long, conflicts_with = "campaign")]
    again: bool,
    #[command(flatten)]
    how: FileArgs,
    #[command(flatten)]
    telemetry: TelemetryArgs,
}

/// What a command has begun.
#[derive(Serialize, Deserialize, Clone)]
struct Begun {
    campaign: CampaignId,
    /// What it was asked to be, in the flat form.
    plan: wire::Object,
    /// The digest of the file that was imported to its end, if one was.
    imported: Option<String>,
    /// What became of its rows.
    report: Option<ImportReport>,
}

impl Run {
    pub(crate) async fn run(self, session: &Session) -> Done {
        let configuration = session.executing(|given| self.telemetry.give(given), QUIET)?;
        let plan = if self.campaign.is_some() { wire::Object::new() } else { self.plan()? };
        let digest = self.file.as_deref().map(digest).transpose()?;
        // Read before anything starts: a mistake in it costs nothing.
        wire::spec(plan.clone())?;
        self.file.as_deref().map_or(Ok(()), |file| self.how.check(file))?;
        let engine = node(&configuration, false).await?;
        // From here on something is begun: no moment is left in which Ctrl-C would end the process unheard.
        let mut signals = Signals::listen();
        let done = self.with(&engine, &configuration, (plan, digest), session.json, &mut signals).await;
        let closed = if matches!(done, Err(Failure::Said(_))) { Ok(()) } else { engine.close().await };
        done.and_then(|()| Ok(closed?))
    }

    async fn with(
        self,
        engine: &Engine,
        configuration: &Configuration,
        (plan, digest): (wire::Object, Option<String>),
        as_json: bool,
        signals: &mut Signals,
    ) -> Done {
        let (id, report, mut ended) = match (self.campaign, &self.file, digest) {
            (None, Some(file), Some(digest)) => {
                let key = self.key(file, &plan)?;
                let (begun, revision) = self.begun(engine, &key, plan).await?;
                match self.imported(engine, configuration, (file, digest), (key, begun.clone(), revision), signals).await {
                    Err(interrupted @ Failure::Interrupted(_)) => (begun.campaign, None, Err(interrupted)),
                    report => (begun.campaign, report?, Ok(())),
                }
            }
            (Some(id), ..) => (id, None, Ok(())),
            _ => return Err(Error::invalid("file", "give a file of contacts, or a campaign with --campaign").into()),
        };
        if let (Some(report), false) = (&report, as_json) {
            import::told(report)?;
        }
        if ended.is_ok() {
            start(engine, id).await?;
            ended = attend(engine, id, signals).await;
        }
        let record = engine.get_campaign(id).await?;
        let progress = engine.progress(id).await?;
        if as_json {
            json_line(&json!({
                "campaign_id": id,
                "status": record.status,
                "import": report.as_ref().map(wire::import_report),
                "progress": wire::progress(&progress),
            }))?;
        } else {
            line(format!("Campaign {id}, {:?}: {}", record.spec.name, record.status))?;
            status::told(&progress)?;
        }
        ended?;
        outcome(&record)
    }

    /// The campaign in the flat form.
    fn plan(&self) -> Done<wire::Object> {
        let mut plan = self.spec.as_deref().map(config::table).transpose()?.unwrap_or_default();
        for (field, value) in &self.fields {
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value.as_str()));
            plan.insert(field.clone(), value);
        }
        if let Some(kind) = &self.kind {
            plan.insert("campaign_type".to_owned(), json!(kind));
        }
        if let Some(message) = &self.message {
            let call = plan.get("campaign_type").is_none_or(|kind| kind == "call");
            plan.insert(if call { "welcome_message_template" } else { "sms_message_template" }.to_owned(), json!(message));
        }
        if let Some(name) = &self.name {
            plan.insert("name".to_owned(), json!(name));
        }
        if !plan.contains_key("name") {
            let stem = self.file.as_deref().and_then(Path::file_stem).map(|stem| stem.to_string_lossy().into_owned());
            plan.insert("name".to_owned(), json!(stem));
        }
        Ok(plan)
    }

    /// Under which key the store remembers this command.
    fn key(&self, file: &Path, plan: &wire::Object) -> Done<String> {
        let path = std::fs::canonicalize(file).map_err(|error| unread(file, &error))?;
        let mut context = Context::new(&SHA256);
        for part in [path.to_string_lossy().as_ref(), &plan["name"].to_string(), &json!(plan.get("organization_id")).to_string()] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        Ok(hex(context))
    }

    /// The campaign of this command: the one that an earlier one made, or a new one.
    async fn begun(&self, engine: &Engine, key: &str, plan: wire::Object) -> Done<(Begun, u64)> {
        let found = remembered(engine, key).await?;
        if let Some((mut begun, revision)) = found.clone()
            && !self.again
        {
            let id = begun.campaign;
            if begun.plan != plan {
                if !self.update {
                    let message = "the campaign of an earlier command with this file and name was made otherwise; --update changes it, --again makes another one and reaches people once more";
                    return Err(Error::new(Kind::Conflict, message).with("campaign", id).into());
                }
                let spec = wire::spec(plan.clone())?;
                engine.edit_campaign(id, |_| Ok(spec.clone())).await?;
                begun.plan = plan;
                let revision = remember(engine, key, &begun, revision).await?;
                return Ok((begun, revision));
            }
            engine.get_campaign(id).await?;
            remark(format!("Campaign {id} goes on."));
            return Ok((begun, revision));
        }
        let spec: CampaignSpec = wire::spec(plan.clone())?;
        let record = engine.create_campaign(spec).await?;
        let begun = Begun { campaign: record.id, plan, imported: None, report: None };
        match remember(engine, key, &begun, found.map_or(0, |(_, revision)| revision)).await {
            Ok(revision) => {
                remark(format!("Campaign {} is made.", record.id));
                Ok((begun, revision))
            }
            Err(error) => {
                // The same command at the same time was faster; what nobody knows of must not stay.
                engine.delete_campaign(record.id).await?;
                Err(error.into())
            }
        }
    }

    /// Imports the file, unless it was imported to its end as it is.
    async fn imported(
        &self,
        engine: &Engine,
        configuration: &Configuration,
        file: (&Path, String),
        known: (String, Begun, u64),
        signals: &mut Signals,
    ) -> Done<Option<ImportReport>> {
        let ((file, digest), (key, mut begun, revision)) = (file, known);
        if begun.imported.as_ref() == Some(&digest) {
            return Ok(begun.report);
        }
        let id = begun.campaign;
        let status = engine.get_campaign(id).await?.status;
        if matches!(status, CampaignStatus::Completed | CampaignStatus::Cancelled | CampaignStatus::Failed) && begun.imported.is_some() {
            let message = "the campaign has ended, and the file has changed since; --again makes another campaign of it";
            return Err(Error::new(Kind::State, message).with("campaign", id).into());
        }
        let options = self.how.options(file, configuration.region())?;
        let mut watch = Watch::importing();
        let source = ImportSource::Path(file.to_path_buf());
        let importing = engine.import_with_progress(Owner::Campaign(id), source, options, |progress| watch.read(&progress));
        let report = tokio::select! {
            biased;
            () = signals.next() => None,
            report = importing => Some(report),
        };
        watch.end();
        let Some(report) = report else {
            remark("Stopping: the rest of the file is not imported, and nobody is called.");
            return Err(left());
        };
        let report = report?;
        self.how.ended(&report)?;
        begun.imported = Some(digest);
        begun.report = Some(report.clone());
        remember(engine, &key, &begun, revision).await?;
        Ok(Some(report))
    }
}

/// Starts a campaign, or lets it go on. One that has ended stays as it is.
async fn start(engine: &Engine, id: CampaignId) -> Done {
    match engine.get_campaign(id).await?.status {
        CampaignStatus::Draft => engine.start(id).await.map(drop)?,
        CampaignStatus::Paused => engine.resume(id).await.map(drop)?,
        _ => {}
    }
    Ok(())
}

/// Watches until the campaign has ended or somebody does not want to wait. The first Ctrl-C drains, the second ends at once.
async fn attend(engine: &Engine, id: CampaignId, signals: &mut Signals) -> Done {
    let mut events = engine.events(id).await?;
    let mut watch = Watch::running(id);
    let watched = async {
        while let Some(event) = events.next().await {
            watch.see(&event.kind);
        }
    };
    let interrupted = tokio::select! {
        biased;
        () = signals.next() => true,
        () = watched => false,
    };
    if !interrupted {
        watch.end();
        return Ok(());
    }
    watch.note("Stopping: nothing new starts, and what is running is waited for. Ctrl-C once more ends at once.");
    tokio::select! {
        biased;
        () = signals.next() => {
            watch.end();
            engine.abort();
            remark("campaign: ended at once; the same command again asks the carrier what became of what was running, and goes on");
            Err(Failure::Said(130))
        }
        drained = engine.stop(None) => {
            watch.end();
            drained?;
            Ok(())
        }
    }
}

fn outcome(record: &CampaignRecord) -> Done {
    let (id, because) = (record.id, record.reason.as_ref().map_or("", |reason| &*reason.text));
    match record.status {
        CampaignStatus::Completed => Ok(()),
        CampaignStatus::Cancelled | CampaignStatus::Failed => {
            Err(Error::new(Kind::State, format!("the campaign is {}. {because}", record.status).trim_end().to_owned())
                .with("campaign", id)
                .into())
        }
        _ => Err(left()),
    }
}

fn left() -> Failure {
    Failure::Interrupted("stopped with work left; the same command again goes on".to_owned())
}

async fn remembered(engine: &Engine, key: &str) -> Done<Option<(Begun, u64)>> {
    let query = DocumentQuery { collection: COLLECTION.to_owned(), key: Some(key.to_owned()), after: None, limit: 1 };
    let Some(document) = engine.store().documents(query).await?.into_iter().next() else { return Ok(None) };
    let begun = serde_json::from_value(document.value)
        .map_err(|error| Error::new(Kind::Corrupt, "what an earlier `run` left in the store cannot be read").with_source(error))?;
    Ok(Some((begun, document.revision)))
}

async fn remember(engine: &Engine, key: &str, begun: &Begun, revision: u64) -> campaign_core::Result<u64> {
    let value = serde_json::to_value(begun).map_err(|error| Error::new(Kind::Internal, "a document must serialise").with_source(error))?;
    let put = PutDocument { collection: COLLECTION.to_owned(), key: key.to_owned(), value, expected_revision: Some(revision) };
    engine.store().put_document(put).await.map_err(|error| {
        if error.kind() == Kind::Conflict {
            return Error::new(
                Kind::Conflict,
                "the same command is running at the same time; wait for it, or watch it with `campaign status`",
            );
        }
        error
    })
}

fn unread(file: &Path, error: &std::io::Error) -> Error {
    Error::new(Kind::Invalid, format!("the file cannot be read: {error}")).with("file", file.display())
}

/// The digest of a file's content.
fn digest(file: &Path) -> Done<String> {
    let failed = |error: std::io::Error| unread(file, &error);
    let mut open = std::fs::File::open(file).map_err(failed)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match open.read(&mut buffer).map_err(failed)? {
            0 => return Ok(hex(context)),
            read => context.update(&buffer[..read]),
        }
    }
}

fn hex(context: Context) -> String {
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
