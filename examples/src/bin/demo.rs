//! A campaign from a messy file to its last call, on SQLite and a simulated carrier, in under a minute. `make demo` runs it.
//!
//! Nothing leaves the machine. The clock goes 600 times as fast as the one on the wall, so calling windows, retries and time zones
//! are all there; see `FastClock`. Kill the demo whenever you like, run it again, and it goes on where it was.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a demo talks to the person who runs it")]

use campaign_core::campaign::{CampaignRecord, CampaignSpec, CampaignStatus, Step};
use campaign_core::dialer::{CallMix, CarrierProfile, SimulatedDialer};
use campaign_core::engine::LintOptions;
use campaign_core::event::{EventKind, Progress};
use campaign_core::executor::Executor;
use campaign_core::id::{CampaignId, Money};
use campaign_core::import::{ImportOptions, ImportReport, ImportSource, MappedColumn};
use campaign_core::outcome::Disposition;
use campaign_core::phone::PhoneNumber;
use campaign_core::schedule::{CallingWindows, TimeWindow};
use campaign_core::simulate::SimulateOptions;
use campaign_core::store::{
    AttemptQuery, CampaignQuery, ContactStore, Paging, SqliteStore, Suppression, SuppressionScope, TimelineBucket, TimelineQuery,
};
use campaign_core::template::Severity;
use campaign_core::{Engine, Error, Kind, Result};
use campaign_examples::FastClock;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Monday, one in the afternoon in New York: the west coast is at work, Europe's evening is near, Honolulu and Sydney still sleep.
const BEGINNING: &str = "2026-03-02T18:00:00Z";
/// Where the campaign is at home.
const HOME: &str = "America/New_York";

/// Runs a campaign over a messy sample of about 1,000 contacts, on SQLite and a simulated carrier.
#[derive(Parser)]
#[command(name = "demo", after_help = "Run it again after Ctrl-C, or after kill -9, and it goes on where it was.")]
struct Arguments {
    /// Start over: removes the database of the last demo.
    #[arg(long)]
    fresh: bool,
    /// Where the database and the rejected rows go.
    #[arg(long, value_name = "FOLDER", default_value = ".build/demo")]
    folder: PathBuf,
    /// A contact file of your own (CSV, TSV, JSON, JSON Lines, XLSX, XLS, ODS) instead of the sample. Nobody is called.
    #[arg(long, value_name = "FILE")]
    contacts: Option<PathBuf>,
    /// The country whose national numbers the file holds.
    #[arg(long, value_name = "COUNTRY", default_value = "US")]
    region: String,
    /// How many times as fast as the clock on the wall.
    #[arg(long, value_name = "TIMES", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    speed: u32,
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    match demo(&Arguments::parse()).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn demo(arguments: &Arguments) -> Result<()> {
    let place = Place::prepare(arguments)?;
    let store = SqliteStore::open(&place.database)?;
    let clock = FastClock::starting_at(latest(&store).await?);
    let dialer = SimulatedDialer::new(carrier(), 7).with_log(&place.carrier)?;
    // What took seconds on the wall takes as many times longer on the fast clock, pauses of this process included.
    let on_the_wall = |seconds: u64| Duration::from_secs(seconds * u64::from(arguments.speed));
    let engine = Engine::builder()
        .store(store)
        .dialer(dialer.clone())
        .executor(clock.clone())
        .options(|options| {
            options.lease = on_the_wall(3);
            options.longest_pause = on_the_wall(2);
            options.poll_interval = Some(on_the_wall(1));
            options.look_ahead = on_the_wall(1) / 20;
        })
        .build()
        .await?;

    println!("A campaign over a messy contact list. The carrier is simulated: nobody is called.");
    let known = engine.list_campaigns(CampaignQuery::default()).await?.items.into_iter().next();
    let campaign = match known {
        Some(campaign) if campaign.status != CampaignStatus::Draft => {
            already_there(&engine, &campaign).await?;
            campaign.id
        }
        draft => {
            if let Some(draft) = draft {
                // The last demo was stopped while it prepared; what it had is made anew.
                engine.delete_campaign(draft.id).await?;
            }
            prepare(&engine, arguments, &place).await?
        }
    };

    if engine.get_campaign(campaign).await?.status != CampaignStatus::Completed {
        title("The campaign");
        println!("Every second is {} minutes. Ctrl-C stops gently; kill -9 does no harm either.", f64::from(arguments.speed) / 60.0);
        clock.set_speed(arguments.speed);
        if engine.get_campaign(campaign).await?.status != CampaignStatus::Running {
            engine.start(campaign).await?;
        }
        let finished = watch(&engine, &clock, arguments.speed, campaign).await?;
        if !finished {
            engine.close().await?;
            println!("Stopped; every call that was on has ended. Run the demo again, and it goes on from here.");
            return Ok(());
        }
    }
    results(&engine, campaign).await?;
    // The carrier's own log, which it writes before anything else: the proof lies with it and not with the engine.
    let carrier = dialer.stats();
    println!(
        "By the carrier's own log {} calls and messages were handed over, {} of them twice.",
        dialer.hand_offs().len(),
        carrier.repeated
    );
    title("Where it is");
    println!("The database: {}   (any SQLite tool reads it)", place.database.display());
    if place.rejected.exists() {
        println!("The rows that were refused: {}", place.rejected.display());
    }
    println!("This campaign is finished. To start over: make demo ARGS=--fresh");
    engine.close().await
}

/// The files of the demo.
struct Place {
    database: PathBuf,
    carrier: PathBuf,
    rejected: PathBuf,
}

impl Place {
    fn prepare(arguments: &Arguments) -> Result<Self> {
        let folder = &arguments.folder;
        std::fs::create_dir_all(folder).map_err(|error| unusable(folder, error))?;
        let place =
            Self { database: folder.join("campaigns.db"), carrier: folder.join("carrier.log"), rejected: folder.join("rejected.csv") };
        if arguments.fresh {
            let with = |suffix: &str| folder.join(format!("campaigns.db{suffix}"));
            for file in [&place.database, &with("-wal"), &with("-shm"), &place.carrier, &place.rejected] {
                match std::fs::remove_file(file) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unusable(file, error)),
                    _ => {}
                }
            }
        }
        Ok(place)
    }
}

fn unusable(path: &Path, error: std::io::Error) -> Error {
    Error::new(Kind::Unavailable, format!("{} cannot be used: {error}", path.display()))
}

/// Where the demo's clock goes on: after everything that is in the store, and after the lease of a demo that was killed.
async fn latest(store: &SqliteStore) -> Result<Timestamp> {
    let mut latest: Timestamp = BEGINNING.parse().unwrap_or(Timestamp::UNIX_EPOCH);
    for campaign in store.campaigns(CampaignQuery::default()).await?.items {
        latest = latest.max(campaign.updated_at);
        let last = AttemptQuery { campaign: Some(campaign.id), paging: Paging { offset: 0, limit: 1 }, ..AttemptQuery::default() };
        for attempt in store.attempts(last).await?.items {
            // Calls that began before it have ended by then.
            latest = latest.max(attempt.claimed_at + SignedDuration::from_mins(20));
        }
    }
    for node in store.nodes(Timestamp::UNIX_EPOCH).await? {
        latest = latest.max(node.expires_at);
    }
    Ok(latest)
}

/// How people behave on this Monday.
fn carrier() -> CarrierProfile {
    CarrierProfile {
        calls: CallMix { answered: 46, voicemail: 18, no_answer: 22, busy: 8, rejected: 3, undeliverable: 1, failed: 2 },
        throttled: 0.005,
        in_doubt: 0.002,
        ..CarrierProfile::default()
    }
}

/// Calls, then a text message to those who could not be reached.
fn spec() -> Result<CampaignSpec> {
    CampaignSpec::mixed("Appointment reminders")
        .template("welcome_message", "Hi {{ name|title_case }}, this is {{ assistant_name }} from {{ company }}.")
        .template("agenda", "I'm calling about your appointment on {{ appointment_date }} at {{ appointment_time }}.")
        .template("sms_message", "Hi {{ name|first_name }}, we could not reach you about {{ appointment_date }}. Reply STOP to opt out.")
        .fallback("appointment_date", "your next visit")
        .fallback("appointment_time", "the usual time")
        .step(Step::call().attempts(3))
        .step(Step::sms().after_minutes(10).when_previous(&[Disposition::NoAnswer, Disposition::Busy, Disposition::Voicemail]))
        .retries(3, 15)
        .time_zone(HOME)
        .windows(CallingWindows::of([TimeWindow::new("09:00", "20:00")]))
        .concurrent_limit(16)
        .budget(Money::from_units(150.0), Money::from_units(0.03))
        // A minute lasts a tenth of a second here, so a limit per minute would be finer than the timers of this machine.
        .with(|spec| spec.rate_limit_per_minute = None)
        .build()
}

/// Import, lint, forecast.
async fn prepare(engine: &Engine, arguments: &Arguments, place: &Place) -> Result<CampaignId> {
    let campaign = engine.create_campaign(spec()?).await?.id;
    // Somebody has asked before not to be called.
    if let Ok(phone) = PhoneNumber::parse("+1 (206) 555-0106", None) {
        let suppression = Suppression {
            phone,
            scope: SuppressionScope::Everything,
            reason: "opted_out".to_owned(),
            source: Some("demo".to_owned()),
            created_at: engine.now(),
            expires_at: None,
        };
        engine.suppress(vec![suppression]).await?;
    }

    title("Contacts");
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/appointments.csv");
    let file = arguments.contacts.as_deref().unwrap_or(&sample);
    let rejected = File::create(&place.rejected).map_err(|error| unusable(&place.rejected, error))?;
    let options = ImportOptions {
        default_region: Some(arguments.region.clone()),
        rejects: Some(Box::new(rejected)),
        max_errors: 5,
        ..ImportOptions::default()
    };
    let report = engine.import_contacts(campaign, ImportSource::Path(file.to_owned()), options).await?;
    show_import(&report, place);

    title("Templates");
    let lint = engine
        .lint_template(campaign, LintOptions { segment_price: Some(carrier().cost_per_sms_segment), ..LintOptions::default() })
        .await?;
    for finding in lint.findings.iter().filter(|finding| finding.severity != Severity::Info) {
        println!("{}: {}", finding.template.as_deref().unwrap_or("campaign"), finding.message);
    }
    let notes = lint.findings.iter().filter(|finding| finding.severity == Severity::Info).count();
    println!(
        "{} can be sent; {notes} notes, such as columns that no template uses.",
        if lint.is_ok() { "All of it" } else { "Not all of it" }
    );
    for message in &lint.messages {
        println!("The longest {} has {} characters in {} segment(s).", message.template, message.characters, message.segments);
    }

    title("Forecast");
    let options = SimulateOptions { profile: carrier(), ..SimulateOptions::default() };
    let forecast = engine.simulate(campaign, options).await?;
    match forecast.finished_at {
        Some(at) => println!("Finished on {}, after {} attempts.", moment(at), forecast.attempts),
        None => println!("It does not finish by itself."),
    }
    println!(
        "Cost {:.2}, most probably between {:.2} and {:.2}; at most {} at once; {:.0} % reached.",
        forecast.cost.expected.units(),
        forecast.cost.low.units(),
        forecast.cost.high.units(),
        forecast.peak_concurrency,
        forecast.progress.success_rate
    );
    for group in &forecast.unreachable {
        println!("Not reached: {} because of {}.", group.contacts, group.code);
    }
    Ok(campaign)
}

fn show_import(report: &ImportReport, place: &Place) {
    let ImportReport { total, imported, duplicates, invalid, suppressed, .. } = report;
    let file = report.file_name.as_deref().unwrap_or("the file");
    let format = report.format.map_or("rows", |format| format.as_str());
    let encoding = report.encoding.as_deref().map(|encoding| format!(", {encoding}")).unwrap_or_default();
    println!("{file} ({format}{encoding}): {total} rows");
    println!("{imported} imported, {duplicates} duplicates, {invalid} refused, {suppressed} on the suppression list");
    let columns = report.mapping.columns.iter().map(|column| format!("  {:<18} is {}", column.header, target(column)));
    println!("{}", columns.collect::<Vec<_>>().join("\n"));
    if report.errors.is_empty() {
        return;
    }
    println!("Refused, the first {} of {invalid}:", report.errors.len());
    for error in &report.errors {
        let column = error.column.as_deref().map(|column| format!(", {column}")).unwrap_or_default();
        println!("  line {}{column}: {} [{}]", error.line, error.reason, error.code);
    }
    println!("All of them are in {}, to be mended and imported again.", place.rejected.display());
}

fn target(column: &MappedColumn) -> String {
    match (column.field, &column.variable) {
        (Some(field), _) => field.as_str().to_owned(),
        (None, Some(variable)) => format!("{{{{ {variable} }}}}"),
        (None, None) => "ignored".to_owned(),
    }
}

async fn already_there(engine: &Engine, campaign: &CampaignRecord) -> Result<()> {
    let progress = engine.progress(campaign.id).await?;
    match campaign.status {
        CampaignStatus::Completed | CampaignStatus::Cancelled | CampaignStatus::Failed => {
            println!("The last demo has finished; here is what became of it.");
        }
        _ => {
            let done = progress.completed_contacts + progress.failed_contacts;
            println!("A demo that was stopped goes on: {done} of {} contacts are done.", progress.total_contacts);
            if progress.in_progress_contacts > 0 {
                println!(
                    "{} calls were on when it died. The carrier is asked what became of them; none is called again by guessing.",
                    progress.in_progress_contacts
                );
            }
        }
    }
    Ok(())
}

/// Shows the progress until the campaign has ended (`true`) or somebody presses Ctrl-C (`false`, with the engine drained).
async fn watch(engine: &Engine, clock: &FastClock, mut speed: u32, campaign: CampaignId) -> Result<bool> {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar:.cyan} {pos}/{len}  {msg}") {
        bar.set_style(style);
    }
    let lines = !std::io::stderr().is_terminal();
    let mut events = engine.events(campaign).await?;
    let mut next_line = clock.now();
    let mut last_outcome = LastOutcome::default();
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            _ = &mut interrupted => {
                bar.suspend(|| println!("Stopping: no new call starts, those that are on end. Ctrl-C again stops at once."));
                tokio::select! {
                    stopped = engine.stop(None) => stopped?,
                    _ = tokio::signal::ctrl_c() => engine.abort(),
                }
                bar.finish_and_clear();
                return Ok(false);
            }
        };
        let Some(event) = event else { break };
        match event.kind {
            EventKind::Progress(progress) => {
                let at = event.at;
                show_progress(&bar, &progress, at);
                if last_outcome.is_long_ago(&progress, at) && speed > 1 {
                    speed /= 2;
                    clock.set_speed(speed);
                    let minutes = f64::from(speed) / 60.0;
                    bar.suspend(|| {
                        println!("This machine is busy and comes too late for the calls: from here on every second is {minutes} minutes.")
                    });
                }
                if lines && at >= next_line {
                    next_line = at + SignedDuration::from_mins(30);
                    println!("{}", sentence(&progress, at));
                }
            }
            EventKind::BudgetThreshold { percent, spent, budget } => {
                bar.suspend(|| println!("{percent} % of the budget is spent: {:.2} of {:.2}", spent.units(), budget.units()));
            }
            EventKind::Error { message, .. } => bar.suspend(|| println!("{message}")),
            EventKind::StatusChanged { to: CampaignStatus::Paused, .. } => {
                bar.suspend(|| println!("The campaign was paused."));
                bar.finish_and_clear();
                return Ok(false);
            }
            _ => {}
        }
    }
    bar.finish_and_clear();
    Ok(true)
}

/// Since when calls have been on without any of them coming to an end, and what had been done by then.
#[derive(Default)]
struct LastOutcome {
    since: Option<Timestamp>,
    done: (u64, Money),
}

impl LastOutcome {
    /// Calls take minutes. When none of them comes to an end in an hour, they are not placed: a moment of the machine is many seconds of the
    /// clock, and a call that comes later than its slot is not made.
    fn is_long_ago(&mut self, progress: &Progress, at: Timestamp) -> bool {
        let done = (progress.completed_contacts + progress.failed_contacts, progress.total_cost);
        if done != self.done {
            *self = Self { since: None, done };
        }
        if progress.in_progress_contacts == 0 {
            return false;
        }
        let long_ago = at.duration_since(*self.since.get_or_insert(at)) > SignedDuration::from_hours(1);
        if long_ago {
            self.since = None;
        }
        long_ago
    }
}

fn show_progress(bar: &ProgressBar, progress: &Progress, at: Timestamp) {
    bar.set_length(progress.total_contacts);
    bar.set_position(progress.completed_contacts + progress.failed_contacts);
    bar.set_message(format!(
        "{}  {} on, {:.2} spent",
        local(at).strftime("%H:%M"),
        progress.in_progress_contacts,
        progress.total_cost.units()
    ));
}

fn sentence(progress: &Progress, at: Timestamp) -> String {
    format!(
        "{}  {} of {} done ({:.0} %), {} calls on, {:.2} spent",
        local(at).strftime("%H:%M"),
        progress.completed_contacts + progress.failed_contacts,
        progress.total_contacts,
        progress.completion_percentage,
        progress.in_progress_contacts,
        progress.total_cost.units()
    )
}

async fn results(engine: &Engine, campaign: CampaignId) -> Result<()> {
    let progress = engine.progress(campaign).await?;
    let explanation = engine.explain_campaign(campaign).await?;
    title("What became of everybody");
    println!("{}", explanation.text);
    for share in &explanation.reasons {
        println!("  {:>5}  {:<10} {}", share.contacts, share.status.as_str(), share.code);
    }
    println!(
        "Reached {:.1} %; {:.1} % of the calls were answered, {:.0} s on average; cost {:.2}.",
        progress.success_rate,
        progress.answer_rate,
        progress.average_duration,
        progress.total_cost.units()
    );

    let (Some(from), Some(to)) = (progress.started_at, progress.completed_at) else { return Ok(()) };
    let to = to + SignedDuration::from_hours(1);
    let hours = engine.timeline(TimelineQuery { campaign, from: from - SignedDuration::from_hours(1), to, bucket_seconds: 3_600 }).await?;
    title("Attempts per hour, New York");
    let most = hours.iter().map(attempts).max().unwrap_or(1).max(1);
    for hour in hours.iter().filter(|hour| attempts(hour) > 0) {
        let bar = "#".repeat(usize::try_from(attempts(hour) * 40 / most).unwrap_or(40).max(1));
        println!("  {}  {:>5}  {bar}", local(hour.start).strftime("%a %H:%M"), attempts(hour));
    }
    let mut endings: BTreeMap<Disposition, u64> = BTreeMap::new();
    for (ending, count) in hours.iter().flat_map(|hour| &hour.dispositions) {
        *endings.entry(*ending).or_default() += count;
    }
    let endings: Vec<String> = endings.iter().map(|(ending, count)| format!("{count} {ending}")).collect();
    println!("In all: {}.", endings.join(", "));
    Ok(())
}

fn attempts(bucket: &TimelineBucket) -> u64 {
    bucket.dispositions.values().sum()
}

fn title(text: &str) {
    println!("\n{text}\n{}", "-".repeat(text.len()));
}

fn local(at: Timestamp) -> jiff::Zoned {
    at.to_zoned(TimeZone::get(HOME).unwrap_or(TimeZone::UTC))
}

fn moment(at: Timestamp) -> String {
    local(at).strftime("%A at %H:%M in New York").to_string()
}
