//! Three engine processes share one PostgreSQL and a campaign of 20,000 contacts; one of them is killed on the way, and in the end the
//! carrier's own book says whether every promise was kept. `make demo-cluster` runs it.
//!
//! Nothing leaves the machine: the PostgreSQL is a private one on a free port, and the carrier is simulated. Everything is gone when the
//! demo ends, however it ends.

// args: --contacts 3000

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a demo talks to the person who runs it")]
#![expect(clippy::disallowed_methods, reason = "watches other processes, on the wall clock")]

use campaign_core::contact::ContactStatus;
use campaign_core::id::CampaignId;
use campaign_core::policy::metrics::Counts;
use campaign_core::store::{ContactStore, open_store};
use campaign_core::{Error, Kind, Result};
use campaign_tests::carrier::{self, Calls};
use campaign_tests::cluster::{self, Process};
use campaign_tests::judge::{Held, Log, Promise, Verdict};
use campaign_tests::postgres::Server;
use campaign_tests::worker::Life;
use clap::Parser;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::Timestamp;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Several engine processes on one private PostgreSQL, one of which is killed on the way.
#[derive(Parser)]
#[command(name = "demo-cluster")]
struct Arguments {
    /// How many people to call.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    contacts: u32,
    /// How many processes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=16))]
    nodes: u8,
    /// Calls at once, over all processes.
    #[arg(long, default_value_t = 150, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    concurrency: u32,
    /// The kill comes when this share of the contacts is done.
    #[arg(long, value_name = "PERCENT", default_value_t = 35, value_parser = clap::value_parser!(u8).range(1..=90))]
    kill_at: u8,
}

#[tokio::main]
async fn main() -> ExitCode {
    // The processes of the cluster are this program again.
    let result = match Life::from_arguments() {
        Some(life) => life.live().await.map(|()| true),
        None => {
            let arguments = Arguments::parse();
            tokio::select! {
                result = demo(&arguments) => result,
                _ = tokio::signal::ctrl_c() => Err(Error::new(Kind::Closed, "stopped; nothing is left behind")),
            }
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every promise was kept.
async fn demo(arguments: &Arguments) -> Result<bool> {
    println!("{} processes share a PostgreSQL of their own. The carrier is simulated: nobody is called.\n", arguments.nodes);
    let begin = Instant::now();
    let server = Server::start()?;
    println!("{:>5.1} s  a private PostgreSQL is up", begin.elapsed().as_secs_f64());
    let folder = tempfile::tempdir().map_err(|error| Error::new(Kind::Unavailable, format!("no temporary folder: {error}")))?;
    let book = folder.path().join("book");
    let contacts = arguments.contacts as usize;
    let spec = cluster::spec("Appointment reminders").concurrent_limit(arguments.concurrency);
    let campaign = cluster::prepare(&server.url(), vec![(spec, 0..contacts)]).await?[0];
    println!("{:>5.1} s  {contacts} contacts are in it", begin.elapsed().as_secs_f64());

    let calls = Calls { seed: 7, shortest: 20, longest: 200, unanswered: 0.2, in_doubt: 0.002, gives_reference: true, ..Calls::instant() };
    let mut nodes = Vec::new();
    for number in 1..=arguments.nodes {
        let life = Life {
            node: format!("node-{number}"),
            lease: Duration::from_secs(3),
            longest_pause: Duration::from_secs(1),
            ..Life::new(server.url(), book.clone(), calls.clone())
        };
        nodes.push((life.node.clone(), Process::start(None, &life)?));
    }
    println!("{:>5.1} s  {} processes started\n", begin.elapsed().as_secs_f64(), nodes.len());
    let store = open_store(&server.url()).await?;
    watch(arguments, store.as_ref(), campaign, &mut nodes, begin).await?;
    let held = Held::read(store.as_ref(), campaign).await?;
    result(arguments, &book, campaign, &held)
}

/// Shows the progress until all processes have ended, and kills one on the way.
async fn watch(
    arguments: &Arguments,
    store: &dyn ContactStore,
    campaign: CampaignId,
    nodes: &mut [(String, Process)],
    begin: Instant,
) -> Result<()> {
    let bars = Bars::new(arguments, nodes);
    let mut killed = false;
    let mut next_line = Instant::now();
    loop {
        let counts = store.counts(campaign).await?;
        let done = contacts(&counts) - counts.open();
        let load = store.nodes(Timestamp::now()).await?;
        bars.show(&counts, nodes, |name| load.iter().find(|node| node.name == name).map(|node| node.in_flight));
        if !bars.live && Instant::now() >= next_line {
            next_line += Duration::from_secs(2);
            bars.say(&format!("{:>5.1} s  {done} of {} done, {}", begin.elapsed().as_secs_f64(), contacts(&counts), loads(&load)));
        }
        if !killed && done * 100 >= contacts(&counts) * u64::from(arguments.kill_at) {
            killed = true;
            let (name, process) = &mut nodes[1];
            process.kill();
            let held = load.iter().find(|node| node.name == *name).map_or(0, |node| node.in_flight);
            bars.say(&format!(
                "{:>5.1} s  {name} was killed (SIGKILL) with about {held} calls in hand; the others ask the carrier what became of them",
                begin.elapsed().as_secs_f64()
            ));
        }
        let mut all = true;
        for (index, (name, process)) in nodes.iter_mut().enumerate() {
            match process.ended() {
                Some(status) if !status.success() && (index != 1 || !killed) => {
                    return Err(Error::new(Kind::Internal, format!("{name} gave up: {status}")));
                }
                Some(_) => {}
                None => all = false,
            }
        }
        if all {
            bars.clear();
            println!("{:>5.1} s  the campaign has ended, and the other processes with it", begin.elapsed().as_secs_f64());
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn contacts(counts: &Counts) -> u64 {
    counts.by_status.values().sum()
}

fn loads(load: &[campaign_core::store::NodeInfo]) -> String {
    load.iter().map(|node| format!("{} has {} calls on", node.name, node.in_flight)).collect::<Vec<_>>().join(", ")
}

/// A bar for the campaign and a line for each process, where there is a terminal.
struct Bars {
    all: MultiProgress,
    campaign: ProgressBar,
    nodes: Vec<ProgressBar>,
    live: bool,
}

impl Bars {
    fn new(arguments: &Arguments, nodes: &[(String, Process)]) -> Self {
        let all = MultiProgress::new();
        let campaign = all.add(ProgressBar::new(arguments.contacts.into()));
        if let Ok(style) = ProgressStyle::with_template("{wide_bar:.cyan} {pos}/{len}  {per_sec:.0}  {msg}") {
            campaign.set_style(style);
        }
        let line = |(name, _): &(String, Process)| {
            let bar = all.add(ProgressBar::new(arguments.concurrency.into()));
            if let Ok(style) = ProgressStyle::with_template("{prefix}  {bar:30} {msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(name.clone());
            bar
        };
        let nodes = nodes.iter().map(line).collect();
        Self { all, campaign, nodes, live: std::io::stderr().is_terminal() }
    }

    fn show(&self, counts: &Counts, nodes: &[(String, Process)], in_flight: impl Fn(&str) -> Option<u64>) {
        self.campaign.set_position(contacts(counts) - counts.open());
        self.campaign.set_message(format!("{} calls on", counts.of(ContactStatus::InProgress)));
        for ((name, _), bar) in nodes.iter().zip(&self.nodes) {
            let calls = in_flight(name);
            bar.set_position(calls.unwrap_or(0));
            bar.set_message(calls.map_or("gone".to_owned(), |calls| format!("{calls} calls on")));
        }
    }

    fn say(&self, line: &str) {
        self.all.suspend(|| println!("{line}"));
    }

    fn clear(&self) {
        self.nodes.iter().for_each(ProgressBar::finish_and_clear);
        self.campaign.finish_and_clear();
    }
}

/// Judges by the carrier's book, in which every hand-off was written down before anything else happened.
fn result(arguments: &Arguments, book: &Path, campaign: CampaignId, held: &Held) -> Result<bool> {
    let mut verdict = Verdict::default();
    let log = Log::new(&carrier::read(book)?, &mut verdict);
    let promise = Promise { concurrency: Some(arguments.concurrency.into()), rate: None };
    let kept = log.keeps(Some(campaign), &promise, &mut verdict);
    log.agrees(std::slice::from_ref(held), arguments.contacts as usize, &mut verdict);
    println!("\nWhat became of everybody\n------------------------");
    for (status, count) in held.counts.by_status.iter().filter(|(_, count)| **count > 0) {
        println!("{count:>7}  {}", status.as_str());
    }
    println!("\nBy the carrier's own book, which the engine does not write\n----------------------------------------------------------");
    println!("{:>7}  calls handed over in {:.1} s, by {} processes", kept.hand_offs, kept.seconds, arguments.nodes);
    println!(
        "{:>7}  of them twice",
        verdict.count("handed over twice under the same key") + verdict.count("the same attempt at a contact handed over twice")
    );
    println!("{:>7}  on at once at most, of {} allowed over all processes", kept.peak, arguments.concurrency);
    println!("{:>7}  claimed by the killed process and never handed over; the contacts went back into the queue", log.never_happened());
    println!(
        "\n{}",
        if verdict.is_clean() {
            "Checked: nobody lost, nobody twice, never more at once than allowed.".to_owned()
        } else {
            verdict.to_string()
        }
    );
    Ok(verdict.is_clean())
}
