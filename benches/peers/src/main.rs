//! apalis doing durable no-op jobs: pushed beforehand, then worked off. Jobs per second, on SQLite, and on the PostgreSQL that
//! `DATABASE_URL` names, if it names one.
//!
//! It does less per job than the engine: no limits, no gates, no history of attempts.

use apalis::prelude::*;
use apalis_postgres::{Config as PostgresConfig, PgPool, PostgresStorage};
use apalis_sqlite::{Config, SqliteStorage};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::sync::Notify;

#[tokio::main]
async fn main() {
    let quick = std::env::var_os("CAMPAIGN_BENCH_QUICK").is_some_and(|value| value != "0");
    // Its rate falls with the length of the queue, so one figure would say nothing.
    let (sizes, rounds): (&[usize], usize) = if quick { (&[500], 1) } else { (&[500, 1_000, 2_000, 4_000], 3) };
    println!("| apalis 1.0 on SQLite, WAL, synchronous=FULL, no-op jobs, concurrency 50 | jobs/s |");
    println!("|---|---|");
    for &jobs in sizes {
        let mut rates = Vec::new();
        for _ in 0..rounds {
            rates.push(round(jobs).await);
        }
        report(jobs, rates);
    }
    let Ok(url) = std::env::var("DATABASE_URL") else { return };
    let sizes: &[usize] = if quick { &[500] } else { &[4_000, 20_000] };
    println!("\n| apalis 1.0 on PostgreSQL, default durability, no-op jobs, batches of 500, concurrency 50 | jobs/s |");
    println!("|---|---|");
    for &jobs in sizes {
        let mut rates = Vec::new();
        for number in 0..rounds {
            rates.push(round_on_postgres(&url, jobs, &format!("noop-{jobs}-{number}")).await);
        }
        report(jobs, rates);
    }
}

fn report(jobs: usize, mut rates: Vec<f64>) {
    rates.sort_by(f64::total_cmp);
    println!("| {jobs} jobs | {:.0} |", rates[rates.len() / 2]);
}

/// Each round has a queue of its own.
async fn round_on_postgres(url: &str, jobs: usize, queue: &str) -> f64 {
    let pool = PgPool::connect(url).await.expect("the peer's database opens");
    PostgresStorage::setup(&pool).await.expect("the peer's schema");
    let config = PostgresConfig::default().queue(queue).batch_size(500);
    let items: Vec<_> = (0..jobs).map(|job| TaskBuilder::new(job).build()).collect();
    PostgresStorage::new(&pool)
        .with_config(config.clone())
        .push_all(&mut futures_util::stream::iter(items))
        .await
        .expect("jobs are pushed");
    let storage = PostgresStorage::new(&pool).with_config(config);
    let (work, all) = counted(jobs);
    let begin = Instant::now();
    let worker = WorkerBuilder::new(queue).backend(storage).concurrency(50).build(work);
    tokio::select! {
        result = worker.run() => result.expect("the peer's worker runs"),
        () = all.notified() => {}
    }
    jobs as f64 / begin.elapsed().as_secs_f64()
}

/// A job that does nothing, and who is told when so many have done it.
fn counted(jobs: usize) -> (impl Fn(usize) -> std::future::Ready<Result<(), BoxDynError>> + Clone, Arc<Notify>) {
    let done = Arc::new(AtomicUsize::new(0));
    let all = Arc::new(Notify::new());
    let last = Arc::clone(&all);
    let work = move |_job: usize| {
        if done.fetch_add(1, Ordering::Relaxed) + 1 == jobs {
            last.notify_one();
        }
        std::future::ready(Ok::<(), BoxDynError>(()))
    };
    (work, all)
}

async fn round(jobs: usize) -> f64 {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let options = SqliteConnectOptions::new()
        .filename(directory.path().join("peer.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Off);
    let config = Config::default().queue("noop").batch_size(500);
    // Pushing is one transaction per job and not what is measured, so it need not be durable.
    let pool = SqlitePoolOptions::new().connect_with(options.clone()).await.expect("the peer's database opens");
    SqliteStorage::setup(&pool).await.expect("the peer's schema");
    let mut items = futures_util::stream::iter((0..jobs).map(|job| TaskBuilder::new(job).build()));
    SqliteStorage::new(&pool).with_config(config.clone()).push_all(&mut items).await.expect("jobs are pushed");
    pool.close().await;

    let options = options.synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new().connect_with(options).await.expect("the peer's database opens again");
    let storage = SqliteStorage::new(&pool).with_config(config);

    let (work, all) = counted(jobs);
    let begin = Instant::now();
    let worker = WorkerBuilder::new("noop").backend(storage).concurrency(50).build(work);
    tokio::select! {
        result = worker.run() => result.expect("the peer's worker runs"),
        () = all.notified() => {}
    }
    jobs as f64 / begin.elapsed().as_secs_f64()
}
