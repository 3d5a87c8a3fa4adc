//! A sequence of steps: call, then an SMS to those who did not answer, then another call in the morning. Two days pass in an instant,
//! because the engine runs on virtual time.
//!
//! Run it with `cargo run -p campaign-examples --bin mixed`.

#![expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]

use campaign_core::campaign::{CampaignSpec, Step};
use campaign_core::dialer::{CallMix, CarrierProfile, SimulatedDialer};
use campaign_core::engine::ExecutionQuery;
use campaign_core::executor::VirtualExecutor;
use campaign_core::import::ImportOptions;
use campaign_core::outcome::Disposition;
use campaign_core::schedule::{CallingWindows, TimeWindow};
use campaign_core::store::MemoryStore;
use campaign_core::{Engine, Error, Kind, Result};
use jiff::Timestamp;
use serde_json::json;

fn main() -> Result<()> {
    // Monday, ten o'clock in New York.
    let monday: Timestamp = "2026-03-02T15:00:00Z".parse().unwrap_or(Timestamp::UNIX_EPOCH);
    let clock = VirtualExecutor::new(monday);
    clock.clone().run(campaign(clock))
}

async fn campaign(clock: VirtualExecutor) -> Result<()> {
    let nobody_at_home =
        CarrierProfile { calls: CallMix { answered: 25, no_answer: 60, busy: 15, ..CallMix::none() }, ..CarrierProfile::default() };
    let engine =
        Engine::builder().store(MemoryStore::new()).dialer(SimulatedDialer::new(nobody_at_home, 3)).executor(clock).build().await?;

    let missed = [Disposition::NoAnswer, Disposition::Busy];
    let spec = CampaignSpec::mixed("Call, write, call again")
        .template("welcome_message", "Hi {{ name }}.")
        .template("sms_message", "We tried to reach you, {{ name }}. We will call again tomorrow.")
        .step(Step::call().attempts(2))
        .step(Step::sms().after_minutes(60).when_previous(&missed))
        .step(Step::call().next_day_at("10:00").when_replied(false).when_previous(&[Disposition::Delivered, Disposition::Sent]))
        .retries(2, 30)
        .time_zone("America/New_York")
        .windows(CallingWindows::of([TimeWindow::new("09:00", "18:00")]))
        .build()?;
    let id = engine.create_campaign(spec).await?.id;

    let people = ["Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald"].into_iter().enumerate();
    let rows = people.map(|(index, name)| json!({ "name": name, "phone": format!("+1212555010{index}") }));
    let rows = rows.map(|row| row.as_object().cloned().ok_or_else(|| Error::new(Kind::Internal, "a row is an object")));
    engine.add_contacts(id, rows.collect::<Result<_>>()?, ImportOptions::default()).await?;

    engine.start(id).await?;
    let progress = engine.wait(id).await?;
    println!("{} of {} reached", progress.completed_contacts, progress.total_contacts);

    let history = engine.executions(ExecutionQuery { campaign: Some(id), ..ExecutionQuery::default() }).await?;
    for attempt in history.items.iter().rev() {
        let ending = attempt.disposition().map_or("open", Disposition::as_str);
        let at = attempt.started_at.unwrap_or(attempt.start_at).in_tz("America/New_York").map(|at| at.strftime("%a %H:%M").to_string());
        let next = attempt.reason.as_ref().map_or("", |reason| &*reason.text);
        println!("{}  contact {}  {:<4} {ending:<10} {next}", at.unwrap_or_default(), attempt.contact, attempt.step.channel.as_str());
    }
    engine.close().await
}
