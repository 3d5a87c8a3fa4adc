//! What happens, and why nothing happens: the event stream of a campaign, and `explain` for a contact that has to wait.
//!
//! Run it with `cargo run -p campaign-examples --bin watch`.

#![expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]

use campaign_core::campaign::CampaignSpec;
use campaign_core::contact::{ContactStatus, Owner};
use campaign_core::dialer::{CarrierProfile, SimulatedDialer};
use campaign_core::event::EventKind;
use campaign_core::executor::{Executor, VirtualExecutor};
use campaign_core::import::{ImportOptions, ImportSource};
use campaign_core::schedule::{CallingWindows, TimeWindow};
use campaign_core::store::{ContactQuery, MemoryStore};
use campaign_core::{Engine, Result};
use jiff::{SignedDuration, Timestamp};

const CONTACTS: &str = "name,phone\nNew York,+12125550101\nChicago,+13125550102\nLos Angeles,+12135550103\nHonolulu,+18085550104\n";

fn main() -> Result<()> {
    // Half past nine in New York; half past four in Honolulu.
    let morning: Timestamp = "2026-03-02T14:30:00Z".parse().unwrap_or(Timestamp::UNIX_EPOCH);
    let clock = VirtualExecutor::new(morning);
    clock.clone().run(campaign(clock))
}

async fn campaign(clock: VirtualExecutor) -> Result<()> {
    let engine = Engine::builder()
        .store(MemoryStore::new())
        .dialer(SimulatedDialer::new(CarrierProfile::default(), 1))
        .executor(clock.clone())
        .build()
        .await?;
    let spec = CampaignSpec::call("Good morning")
        .template("welcome_message", "Good morning, {{ name }}!")
        .windows(CallingWindows::of([TimeWindow::new("09:00", "18:00")]))
        .build()?;
    let id = engine.create_campaign(spec).await?.id;
    engine.import_contacts(id, ImportSource::from(CONTACTS.as_bytes()), ImportOptions::default()).await?;

    let mut events = engine.events(id).await?;
    engine.start(id).await?;
    clock.sleep_until(clock.now() + SignedDuration::from_mins(5)).await;

    println!("Why does nothing happen? {}", engine.explain_campaign(id).await?.text);
    let waiting = ContactQuery { statuses: vec![ContactStatus::Pending], ..ContactQuery::of(Owner::Campaign(id)) };
    for contact in engine.list_contacts(waiting).await?.items {
        let explanation = engine.explain_contact(contact.id).await?;
        let gate = explanation.blocked_by.map_or("nothing", |gate| gate.as_str());
        let opens = explanation.earliest.map_or_else(|| "an event".to_owned(), |at| at.to_string());
        println!("  {}: {gate} until {opens}. {}", contact.person.name.as_deref().unwrap_or("?"), explanation.text);
    }

    // What the dialer reports comes at once, what the store holds comes after its commit: hence "ringing" before the attempt itself.
    println!("What happens:");
    while let Some(event) = events.next().await {
        let what = match event.kind {
            EventKind::ContactStarted { contact_id, channel, .. } => format!("{channel} to contact {contact_id}"),
            EventKind::ContactProgress { contact_id, stage, .. } => format!("contact {contact_id}: {stage}"),
            EventKind::ContactCompleted(ended) => format!("contact {} reached, {} s", ended.contact_id, ended.duration_seconds),
            EventKind::ContactFailed(ended) => format!("contact {}: {}, now {}", ended.contact_id, ended.disposition, ended.status),
            EventKind::StatusChanged { from, to } => format!("the campaign was {from} and is {to}"),
            EventKind::CampaignCompleted { run } => format!("run {run} is complete"),
            _ => continue,
        };
        println!("  {}  {what}", event.at.strftime("%H:%M:%S"));
    }
    engine.close().await
}
