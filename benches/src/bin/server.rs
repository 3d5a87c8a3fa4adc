//! The server over real HTTP with many campaigns stored: how long progress and the list take, a thousand WebSockets on one running campaign,
//! and a large upload in flat memory.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use campaign_benches::{fill, peak_resident_of, size, spec, timed};
use campaign_core::Engine;
use campaign_core::dialer::SimulatedDialer;
use campaign_core::id::CampaignId;
use campaign_core::store::SqliteStore;
use campaign_server::{Access, ServerOptions, serve};
use futures_util::StreamExt;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

/// Requests of one measurement, on each connection.
const ASKED: usize = 1_000;

/// The server in a process of its own, so that its memory is its own.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(database: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg(database)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().parse().expect("the server's address");
        Self { process, address }
    }

    async fn connect(&self) -> SendRequest<Full<Bytes>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn be_the_server(database: &str) {
    let store = SqliteStore::open(database).unwrap();
    let engine = Engine::builder().store(store).dialer(SimulatedDialer::instant()).build().await.unwrap();
    let options = ServerOptions::default().with(|options| options.access = Access::Open { organization: None });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    std::io::stdout().flush().unwrap();
    serve::serve(listener, engine, options, std::future::pending()).await.unwrap();
}

/// Sends a request and takes the whole answer.
async fn send(sender: &mut SendRequest<Full<Bytes>>, method: &str, path: &str, kind: &str, body: Bytes) -> Bytes {
    let request = hyper::Request::builder().method(method).uri(path).header("host", "localhost").header("content-type", kind);
    sender.ready().await.unwrap();
    let response = sender.send_request(request.body(Full::new(body)).unwrap()).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(status.is_success(), "{method} {path}: {status} {}", String::from_utf8_lossy(&body));
    body
}

async fn ask(sender: &mut SendRequest<Full<Bytes>>, method: &str, path: &str, kind: &str, body: Bytes) -> Value {
    serde_json::from_slice(&send(sender, method, path, kind, body).await).unwrap()
}

/// How long each of many requests took, over so many connections at once.
async fn measure(server: &Server, connections: usize, path: impl Fn(usize) -> String) -> Vec<Duration> {
    let each = size(ASKED, 5);
    let all = (0..connections).map(|connection| {
        let paths: Vec<String> = (0..each).map(|number| path(connection * each + number)).collect();
        async move {
            let mut sender = server.connect().await;
            let mut took = Vec::with_capacity(paths.len());
            for path in &paths {
                let begin = Instant::now();
                // The answer is not read: the client would take as long as the server, and of the same processors.
                send(&mut sender, "GET", path, "application/json", Bytes::new()).await;
                took.push(begin.elapsed());
            }
            took
        }
    });
    let mut took: Vec<Duration> = futures_util::future::join_all(all).await.concat();
    took.sort();
    took
}

fn row(what: &str, connections: usize, took: &[Duration]) {
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    println!("| {what} | {connections} | {:.2} | {:.2} | {:.2} |", at(0.5), at(0.99), at(1.0));
}

/// A reader of a campaign's WebSocket, up to the campaign's end. Says how many messages there were.
async fn watch(address: SocketAddr, id: CampaignId, open: tokio::sync::mpsc::Sender<()>) -> usize {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut socket = client_async(format!("ws://{address}/ws/campaigns/{id}/progress"), stream).await.unwrap().0;
    let mut open = Some(open);
    let mut messages = 0;
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        messages += 1;
        let value: Value = serde_json::from_str(&text).unwrap();
        match value["type"].as_str() {
            Some("initial_progress") => drop(open.take()),
            Some("campaign_completed") => return messages,
            _ => {}
        }
    }
    panic!("a reader did not see the end");
}

#[tokio::main]
async fn main() {
    if let [database] = std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        return be_the_server(database).await;
    }
    // Both ends of a WebSocket are files of some process.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    rustix::process::setrlimit(rustix::process::Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit }).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("bench.db");
    let (campaigns, contacts) = (size(1_000, 20), size(1_000_000, 4_000));
    // One campaign has half of the contacts, the others share the rest.
    let small = contacts / 2 / (campaigns - 1);
    let large = contacts - small * (campaigns - 1);
    let (ids, filled) = timed(async {
        let store = SqliteStore::open(&database).unwrap();
        let engine = Engine::builder().store(store).dialer(SimulatedDialer::instant()).build().await.unwrap();
        let mut ids = Vec::new();
        for number in 0..campaigns {
            let id = engine.create_campaign(spec(&format!("campaign {number}"), 100)).await.unwrap().id;
            fill(&**engine.store(), id, 0, if number == 0 { large } else { small }).await;
            ids.push(id);
        }
        engine.close().await.unwrap();
        ids
    })
    .await;
    println!("{campaigns} campaigns with {contacts} contacts were stored in {:.0} s.\n", filled.as_secs_f64());

    let server = Server::start(&database);
    println!("| request | connections | p50 ms | p99 ms | most ms |");
    println!("|---|---|---|---|---|");
    for connections in [1, 8] {
        let progress = |id: CampaignId| format!("/api/v1/campaigns/{id}/progress");
        row("progress of a small campaign", connections, &measure(&server, connections, |n| progress(ids[1 + n % (ids.len() - 1)])).await);
        row("progress of the large campaign", connections, &measure(&server, connections, |_| progress(ids[0])).await);
        let list = |page: usize| format!("/api/v1/campaigns?page={page}&per_page=50");
        row("list, the newest 50", connections, &measure(&server, connections, |_| list(1)).await);
        row("list, any 50", connections, &measure(&server, connections, |n| list(1 + n % campaigns.div_ceil(50))).await);
        let people = |rest: String| format!("/api/v1/campaigns/{}/contacts?{rest}", ids[0]);
        row("contacts of the large campaign, the first 50", connections, &measure(&server, connections, |_| people(String::new())).await);
        let any = |n: usize| people(format!("page={}", 1 + n * 7_919 % large.div_ceil(50)));
        row("contacts of the large campaign, any 50", connections, &measure(&server, connections, any).await);
        let failed = |_| people("status=failed".to_owned());
        row("contacts of the large campaign that failed, none", connections, &measure(&server, connections, failed).await);
    }

    // Readers of one running campaign.
    let readers = size(1_000, 20);
    let watched = ids[1];
    let (open, mut opened) = tokio::sync::mpsc::channel(1);
    let address = server.address;
    let watching: Vec<_> = (0..readers).map(|_| tokio::spawn(watch(address, watched, open.clone()))).collect();
    drop(open);
    // Each drops its end once it is told how the campaign stands.
    assert!(opened.recv().await.is_none());
    let mut sender = server.connect().await;
    let before = peak_resident_of(server.process.id());
    let (messages, took) = timed(async {
        ask(&mut sender, "POST", &format!("/api/v1/campaigns/{watched}/start"), "application/json", Bytes::new()).await;
        let mut messages = 0;
        for reader in watching {
            messages += reader.await.unwrap();
        }
        messages
    })
    .await;
    println!(
        "\n{readers} WebSocket readers of one running campaign of {small} contacts: every one saw its end, the last {:.2} s after the start; \
         {messages} messages in all; peak memory of the server {:.0} MB before and {:.0} MB after.",
        took.as_secs_f64(),
        before as f64 / 1e6,
        peak_resident_of(server.process.id()) as f64 / 1e6
    );
    drop(server);

    // An upload, on a server that has done nothing else yet.
    let rows = size(100_000, 1_000);
    let server = Server::start(&database);
    let mut sender = server.connect().await;
    let campaign = r#"{"name": "upload", "campaign_type": "call", "assistant_id": 1}"#;
    let id = ask(&mut sender, "POST", "/api/v1/campaigns", "application/json", campaign.into()).await["id"].clone();
    let import = async |sender: &mut SendRequest<Full<Bytes>>, rows: usize| {
        let mut csv = String::from("Phone Number,Full Name,Email,Company,Appointment Date,Customer ID\r\n");
        for n in 0..rows {
            csv.push_str(&format!("+1{},John Smith {n},john{n}@example.com,Acme Corp,2026-02-15,C-{n}\r\n", 2_122_000_000_u64 + n as u64));
        }
        let body = format!("--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"c.csv\"\r\n\r\n{csv}\r\n--b--\r\n");
        let bytes = body.len();
        let path = format!("/api/v1/campaigns/{id}/import-data");
        let (answer, took) = timed(ask(sender, "POST", &path, "multipart/form-data; boundary=b", body.into())).await;
        assert_eq!(answer["imported_count"].as_u64(), Some(rows as u64), "{answer}");
        (bytes, took)
    };
    println!("\n| upload | size | rows/s | peak memory before | after |");
    println!("|---|---|---|---|---|");
    // What is taken is SQLite's page cache up to its limit, and no more however long the file; each replaces those before it.
    for rows in [rows / 10, rows, 4 * rows, 10 * rows] {
        let before = peak_resident_of(server.process.id());
        let (bytes, took) = import(&mut sender, rows).await;
        let after = peak_resident_of(server.process.id());
        println!(
            "| {rows} rows of CSV | {:.1} MB | {:.0} | {:.0} MB | {:.0} MB |",
            bytes as f64 / 1e6,
            rows as f64 / took.as_secs_f64(),
            before as f64 / 1e6,
            after as f64 / 1e6
        );
    }
}
