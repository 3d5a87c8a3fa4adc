//! What the benches share: quick mode, medians, memory of the process, campaigns to run.
//!
//! `CAMPAIGN_BENCH_QUICK=1` makes every bench one small iteration, so that CI proves that they still run.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used)]

pub mod floor;
pub mod raw_postgres;

use campaign_core::campaign::CampaignSpec;
use campaign_core::contact::{ContactSource, NewContact, Owner, Variables, ZoneKey};
use campaign_core::id::CampaignId;
use campaign_core::phone::PhoneNumber;
use campaign_core::store::{AddContacts, ContactStore, DuplicatePolicy};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whether only one small iteration is wanted.
pub fn quick() -> bool {
    std::env::var_os("CAMPAIGN_BENCH_QUICK").is_some_and(|value| value != "0")
}

/// `full`, or `small` in quick mode.
pub fn size(full: usize, small: usize) -> usize {
    if quick() { small } else { full }
}

/// The middle value.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Resident memory of this process in bytes, now.
pub fn resident() -> u64 {
    status_field("VmRSS:")
}

/// The most this process ever had resident, in bytes.
pub fn peak_resident() -> u64 {
    status_field("VmHWM:")
}

/// The most another process ever had resident, in bytes.
pub fn peak_resident_of(process: u32) -> u64 {
    field_of(&process.to_string(), "VmHWM:")
}

fn status_field(name: &str) -> u64 {
    field_of("self", name)
}

fn field_of(process: &str, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or_default() * 1024
}

/// Processor time used by this process so far, in clock ticks of 10 ms.
pub fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<u64> = after.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    Duration::from_millis(fields.iter().sum::<u64>() * 10)
}

/// Runs and returns how long it took.
pub async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let begin = Instant::now();
    let value = work.await;
    (value, begin.elapsed())
}

/// A call campaign without limits of its own but concurrency.
pub fn spec(name: &str, concurrency: u32) -> CampaignSpec {
    CampaignSpec::call(name)
        .template("welcome_message", "Hi {{name|title_case}}, this is {{assistant_name}} from {{company}}.")
        .concurrent_limit(concurrency)
        .with(|spec| spec.rate_limit_per_minute = None)
        .build()
        .unwrap()
}

/// Fictitious contacts `from..to` with three variables, as an import leaves them.
pub async fn fill(store: &dyn ContactStore, campaign: CampaignId, from: usize, to: usize) {
    let zones = [ZoneKey::from_names(["America/New_York"]), ZoneKey::from_names(["America/Chicago"]), ZoneKey::unknown()];
    let mut at = from;
    while at < to {
        let end = (at + 10_000).min(to);
        let contacts: Arc<[NewContact]> = (at..end)
            .map(|number| {
                let mut variables = Variables::new();
                variables.insert("appointment_date".to_owned(), "February 15th".into());
                variables.insert("customer_id".to_owned(), number.into());
                variables.insert("plan".to_owned(), "gold".into());
                NewContact {
                    phone: PhoneNumber::from_e164(&format!("+1{:010}", 2_000_000_000 + number)).unwrap(),
                    name: Some(format!("john smith {number}")),
                    email: None,
                    company: Some("Acme".to_owned()),
                    zones: zones[number % zones.len()].clone(),
                    variables,
                    consent: None,
                    source: ContactSource::CsvImport,
                }
            })
            .collect();
        let add = AddContacts {
            request_id: uuid::Uuid::new_v4(),
            owner: Owner::Campaign(campaign),
            organization: None,
            contacts,
            duplicates: DuplicatePolicy::Skip,
            now: Timestamp::now(),
        };
        store.add_contacts(add).await.unwrap();
        at = end;
    }
}
