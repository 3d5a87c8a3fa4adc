//! Import: a file of contacts read, mapped, normalised, deduplicated and stored, fully durable.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use campaign_benches::{median, peak_resident, quick, size, spec, timed};
use campaign_core::Engine;
use campaign_core::dialer::SimulatedDialer;
use campaign_core::import::{ImportOptions, ImportSource};
use campaign_core::store::SqliteStore;
use std::io::Write;
use std::path::Path;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [kind, rows] = arguments.as_slice() {
        // One measurement in a process of its own, so that its peak memory is its own.
        return one(kind, rows.parse().unwrap()).await;
    }
    println!("| file | rows | rows/s | seconds | peak memory |");
    println!("|---|---|---|---|---|");
    let sizes: &[(&str, usize)] = if quick() {
        &[("csv", 2_000), ("xlsx", 1_000)]
    } else {
        &[("csv", 100_000), ("csv", 1_000_000), ("csv", 2_000_000), ("jsonl", 1_000_000), ("xlsx", 100_000)]
    };
    for (kind, rows) in sizes {
        let mut seconds = Vec::new();
        let mut peak: f64 = 0.0;
        for _ in 0..size(3, 1) {
            let output =
                std::process::Command::new(std::env::current_exe().unwrap()).args([kind, rows.to_string().as_str()]).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout).unwrap();
            let (took, memory) = text.trim().split_once(' ').unwrap();
            seconds.push(took.parse().unwrap());
            peak = peak.max(memory.parse().unwrap());
        }
        let seconds = median(seconds);
        println!("| {kind} | {rows} | {:.0} | {seconds:.2} | {:.0} MB |", *rows as f64 / seconds, peak / 1e6);
    }
}

async fn one(kind: &str, rows: usize) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(format!("contacts.{kind}"));
    // Written by a child, so that writing it leaves no memory behind here.
    if kind == "xlsx" {
        write_xlsx(&file, rows);
    } else {
        write_text(&file, kind, rows);
    }
    let store = SqliteStore::open(directory.path().join("bench.db")).unwrap();
    let engine = Engine::builder().store(store).dialer(SimulatedDialer::instant()).build().await.unwrap();
    let id = engine.create_campaign(spec("import", 1)).await.unwrap().id;
    let options = ImportOptions { default_region: Some("US".to_owned()), ..ImportOptions::default() };
    let (report, took) = timed(engine.import_contacts(id, ImportSource::Path(file), options)).await;
    let report = report.unwrap();
    assert_eq!(report.imported + report.duplicates, rows as u64, "{:?}", report.errors);
    println!("{} {}", took.as_secs_f64(), peak_resident());
    engine.close().await.unwrap();
}

/// National and international forms, three variables; one row in a hundred repeats an earlier number.
fn fields(number: usize) -> [String; 6] {
    let own = if number % 100 == 99 { number - 50 } else { number };
    let (area, exchange, line) = (AREAS[own % AREAS.len()], 200 + own / AREAS.len() / 10_000 % 800, own / AREAS.len() % 10_000);
    let phone = match number % 4 {
        0 => format!("({area}) {exchange:03}-{line:04}"),
        1 => format!("+1{area}{exchange:03}{line:04}"),
        2 => format!("{area}-{exchange:03}-{line:04}"),
        _ => format!("1 {area} {exchange:03} {line:04}"),
    };
    [
        phone,
        format!("John Smith {number}"),
        format!("john{number}@example.com"),
        "Acme Corp".to_owned(),
        "2026-02-15".to_owned(),
        format!("C-{number}"),
    ]
}

const AREAS: [u32; 12] = [212, 213, 214, 303, 305, 312, 404, 415, 503, 602, 617, 713];
const HEADERS: [&str; 6] = ["Phone Number", "Full Name", "Email", "Company", "Appointment Date", "Customer ID"];

fn write_text(path: &Path, kind: &str, rows: usize) {
    let mut out = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    if kind == "csv" {
        writeln!(out, "{}", HEADERS.join(",")).unwrap();
    }
    for number in 0..rows {
        let fields = fields(number);
        if kind == "csv" {
            writeln!(out, "{}", fields.join(",")).unwrap();
        } else {
            let row: serde_json::Map<_, _> =
                HEADERS.iter().zip(fields).map(|(header, field)| ((*header).to_owned(), field.into())).collect();
            writeln!(out, "{}", serde_json::Value::Object(row)).unwrap();
        }
    }
}

fn write_xlsx(path: &Path, rows: usize) {
    let mut book = rust_xlsxwriter::Workbook::new();
    let sheet = book.add_worksheet_with_low_memory().unwrap();
    for (column, header) in HEADERS.iter().enumerate() {
        sheet.write(0, column as u16, *header).unwrap();
    }
    for number in 0..rows {
        for (column, field) in fields(number).into_iter().enumerate() {
            sheet.write(number as u32 + 1, column as u16, field).unwrap();
        }
    }
    book.save(path).unwrap();
}
