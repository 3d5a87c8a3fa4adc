//! The quickstart of the README as a program: a file of contacts, a campaign, SQLite, and a carrier that answers at once.
//!
//! Run it with `cargo run -p campaign-examples --bin quickstart`. It leaves `campaigns.db` and `contacts.csv` in the current folder.

#![expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]

use campaign_core::campaign::{CampaignSpec, CampaignStatus};
use campaign_core::dialer::SimulatedDialer;
use campaign_core::id::CampaignId;
use campaign_core::import::{ImportOptions, ImportSource};
use campaign_core::store::{CampaignQuery, SqliteStore};
use campaign_core::{Engine, Error, Kind, Result};

const CONTACTS: &str = "\
Name,Phone,Time Zone,Appointment Date
Ada Lovelace,(212) 555-0123,America/New_York,Monday
grace hopper,213-555-0187,Pacific,Tuesday
Alan Turing,+44 20 7946 0958,,Wednesday
Ada again,+1 212 555 0123,,Monday
Nobody,call the office,,Friday
";

#[tokio::main]
async fn main() -> Result<()> {
    std::fs::write("contacts.csv", CONTACTS)
        .map_err(|error| Error::new(Kind::Unavailable, "contacts.csv cannot be written").with_source(error))?;

    let engine = Engine::builder()
        .store(SqliteStore::open("campaigns.db")?)
        // For real calls, implement `Dialer`; the example `own_dialer` shows how.
        .dialer(SimulatedDialer::instant())
        .build()
        .await?;

    // A campaign that was interrupted goes on by itself as soon as the engine is built; a second one would call everybody again.
    let query = CampaignQuery { statuses: vec![CampaignStatus::Running], ..CampaignQuery::default() };
    let id = match engine.list_campaigns(query).await?.items.first() {
        Some(interrupted) => interrupted.id,
        None => reminders(&engine).await?,
    };
    println!("{:.1} % reached", engine.wait(id).await?.success_rate);
    engine.close().await
}

/// Creates the campaign, imports its contacts, and starts it.
async fn reminders(engine: &Engine) -> Result<CampaignId> {
    let spec = CampaignSpec::call("Reminders")
        .template("welcome_message", "Hi {{ name|title_case }}, this is {{ assistant_name }}.")
        .template("agenda", "I'm calling about your appointment on {{ appointment_date }}.")
        .concurrent_limit(50)
        .rate_limit_per_minute(600)
        .time_zone("America/New_York")
        .build()?;
    let id = engine.create_campaign(spec).await?.id;

    let options = ImportOptions { default_region: Some("US".to_owned()), ..ImportOptions::default() };
    let report = engine.import_contacts(id, ImportSource::Path("contacts.csv".into()), options).await?;
    println!("{} imported, {} duplicates, {} invalid", report.imported, report.duplicates, report.invalid);
    for row in &report.errors {
        println!("  line {}: {}", row.line, row.reason);
    }

    engine.start(id).await?;
    Ok(id)
}
