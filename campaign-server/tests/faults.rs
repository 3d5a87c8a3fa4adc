//! Servers that are killed under load, with webhooks pending and uploads under way.
//!
//! The server that dies is this test in a process of its own.

#![allow(clippy::print_stderr, clippy::unwrap_used, reason = "a failed test may panic, and the server says where it listens")]

mod support;

use campaign_core::dialer::{
    Capabilities, CarrierProfile, DialContext, DialError, DialRequest, Dialer, FindRequest, Found, SimulatedDialer,
};
use campaign_core::event::{Event, EventKind};
use campaign_core::http::Reach;
use campaign_core::outcome::{Channel, Outcome};
use campaign_core::store::{EventCursor, EventQuery, open_store};
use campaign_core::{Engine, wire};
use campaign_server::{ServerOptions, serve};
use campaign_tests::vendors::http::{Reply, Request, Server as Receiver};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Client, form, open};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Says to the process that it is the server, and on which store.
const STORE: &str = "CAMPAIGN_TEST_STORE";
/// Where it keeps uploads.
const UPLOADS: &str = "CAMPAIGN_TEST_UPLOADS";
/// How often a server is killed.
const LIVES: usize = 6;
const CONTACTS: usize = 400;

/// A carrier whose requests are short, so that what was in doubt is soon known.
struct Brief(SimulatedDialer);

#[campaign_core::async_trait]
impl Dialer for Brief {
    fn capabilities(&self) -> Capabilities {
        Capabilities { max_request_time: Duration::from_millis(20), ..self.0.capabilities() }
    }

    async fn dial(&self, request: DialRequest, context: DialContext) -> Result<Outcome, DialError> {
        self.0.dial(request, context).await
    }

    async fn find(&self, request: FindRequest) -> campaign_core::Result<Found> {
        self.0.find(request).await
    }
}

/// The server, until it is killed.
async fn be_the_server(store: &str) {
    let folder = std::env::var_os(UPLOADS).map(PathBuf::from).unwrap();
    let profile = CarrierProfile { gives_reference: true, ..CarrierProfile::instant() };
    // The carrier's memory is longer than the server's.
    let dialer = Brief(SimulatedDialer::new(profile, 1).with_log(folder.with_extension("calls")).unwrap());
    let builder = Engine::builder().shared_store(open_store(store).await.unwrap()).dialer(dialer);
    let quick = builder.options(|options| {
        options.lease = Duration::from_millis(500);
        options.longest_pause = Duration::from_millis(100);
    });
    let engine = quick.build().await.unwrap();
    let options = ServerOptions::default().with(|options| {
        open(options);
        options.webhook_reach = Reach::Anywhere;
        options.webhook_timeout = Duration::from_secs(1);
        options.upload_folder = Some(folder);
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    eprintln!("listening on {}", listener.local_addr().unwrap());
    serve::serve(listener, engine, options, std::future::pending()).await.unwrap();
}

/// One life of the server.
struct Life {
    process: Child,
    client: Client,
}

impl Life {
    fn begin(test: &str, store: &str, uploads: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(STORE, store)
            .env(UPLOADS, uploads)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("the server ended").unwrap();
            if let Some(address) = line.strip_prefix("listening on ") {
                break address.parse().unwrap();
            }
        };
        Self { process, client: Client { address } }
    }
}

impl Drop for Life {
    /// `kill -9`.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A store of its own; the folder is kept while it is used.
fn store(kind: &str, folder: &Path) -> String {
    match kind {
        "sqlite" => format!("sqlite://{}", folder.join("test.db").display()),
        _ => {
            let server = campaign_tests::postgres::Server::shared();
            format!("{}?schema={}", server.url(), campaign_tests::postgres::Server::schema())
        }
    }
}

fn contacts(count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({ "phone_number": format!("+1212{:07}", 5_550_000 + n) })).collect()
}

async fn campaign(client: &Client, contacts: &[Value]) -> i64 {
    let body = json!({ "name": "n", "campaign_type": "call", "assistant_id": 1, "concurrent_limit": "unlimited",
                       "rate_limit_per_minute": "unlimited", "contacts": contacts });
    client.call("", "POST", "/api/v1/campaigns", Some(&body)).await.json()["id"].as_i64().unwrap()
}

/// What the receiver has seen, by `webhook-id`.
#[derive(Default)]
struct Seen {
    tried: BTreeSet<String>,
    taken: BTreeMap<String, Vec<Request>>,
}

/// What an event of the store is to be told as: names, and what tells it from others.
fn told_as(event: &Event) -> Vec<(&'static str, String)> {
    let flat = wire::event(event);
    let attempt = flat["attempt_id"].to_string();
    match &event.kind {
        EventKind::ContactStarted { .. } => vec![("contact.started", attempt)],
        EventKind::ContactCompleted(ended) | EventKind::ContactFailed(ended) => {
            assert_eq!(ended.channel, Channel::Call);
            let reached = matches!(event.kind, EventKind::ContactCompleted(_));
            vec![(if reached { "contact.completed" } else { "contact.failed" }, attempt.clone()), ("call.completed", attempt)]
        }
        EventKind::StatusChanged { from, to } => vec![("campaign.status_changed", format!("{from} {to}"))],
        EventKind::CampaignCompleted { run } => vec![("campaign.completed", run.to_string())],
        other => panic!("{other:?}"),
    }
}

/// The same of a delivery.
fn told(request: &Request) -> (String, String) {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let data = &body["data"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = text(&body["type"]);
    let what = match name.as_str() {
        "campaign.status_changed" => format!("{} {}", text(&data["from"]), text(&data["to"])),
        "campaign.completed" => data["run"].to_string(),
        _ => data["attempt_id"].to_string(),
    };
    (name, what)
}

fn killed_with_webhooks_pending(test: &str, kind: &str) {
    let runtime = runtime();
    if let Ok(store) = std::env::var(STORE) {
        return runtime.block_on(be_the_server(&store));
    }
    let folder = tempfile::tempdir().unwrap();
    let url = store(kind, folder.path());
    runtime.block_on(async {
        // By id, what was taken; and how often anything was sent.
        let taken: Arc<Mutex<Seen>> = Arc::default();
        let (count, mut counted) = watch::channel(0_usize);
        let keep = Arc::clone(&taken);
        let receiver = Receiver::start(move |request| {
            let number = *count.borrow() + 1;
            let id = request.header("webhook-id").unwrap().to_owned();
            let mut seen = keep.lock().unwrap();
            // Some are not taken at first, of some the answer is lost.
            let fate = if seen.tried.insert(id.clone()) { number % 10 } else { 0 };
            if fate != 3 {
                seen.taken.entry(id).or_default().push(request);
            }
            drop(seen);
            count.send_replace(number);
            async move {
                match fate {
                    3 => Reply::Answer { status: 503, headers: Vec::new(), body: Vec::new() },
                    7 => Reply::BreakOff,
                    _ => Reply::Answer { status: 200, headers: Vec::new(), body: Vec::new() },
                }
            }
        })
        .await
        .unwrap();

        let uploads = folder.path().join("uploads");
        std::fs::create_dir(&uploads).unwrap();
        let mut life = Life::begin(test, &url, &uploads);
        let hook = json!({ "url": receiver.url() });
        let hook = life.client.call("", "POST", "/api/v1/webhooks", Some(&hook)).await.json()["id"].as_str().unwrap().to_owned();
        let waiting = format!("/api/v1/webhooks/{hook}/deliveries?state=waiting&limit=500");
        let id = campaign(&life.client, &contacts(CONTACTS)).await;
        assert_eq!(life.client.call("", "POST", &format!("/api/v1/campaigns/{id}/start"), None).await.status, 200);
        let mut pending_at_the_end = 0;
        for lived in 1..=LIVES {
            let enough = *counted.borrow() + 20 * lived;
            counted.wait_for(|count| *count >= enough).await.unwrap();
            pending_at_the_end += life.client.call("", "GET", &waiting, None).await.json()["deliveries"].as_array().unwrap().len();
            drop(life);
            life = Life::begin(test, &url, &uploads);
        }
        assert!(pending_at_the_end > 0, "nothing was pending when the server was killed");

        // The campaign goes on to its end.
        while life.client.call("", "GET", &format!("/api/v1/campaigns/{id}"), None).await.json()["status"] != "completed" {
            let seen = *counted.borrow();
            counted.wait_for(|count| *count > seen).await.unwrap();
        }
        let progress = life.client.call("", "GET", &format!("/api/v1/campaigns/{id}/progress"), None).await.json();
        assert_eq!(progress["completed_contacts"].as_u64(), Some(CONTACTS as u64), "{progress}");

        // What the store knows is what has to be told, each under one id.
        let store = open_store(&url).await.unwrap();
        let mut expected = BTreeSet::new();
        let mut after = EventCursor::default();
        loop {
            let page = store.events(EventQuery { after: Some(after), campaign: None, limit: 1000 }).await.unwrap();
            for event in &page.events {
                for (name, what) in told_as(event) {
                    assert!(expected.insert((name.to_owned(), what)), "{event:?} is there twice");
                }
            }
            after = page.next;
            if !page.more {
                break;
            }
        }
        assert!(expected.len() > 3 * CONTACTS, "{}", expected.len());
        counted.wait_for(|_| taken.lock().unwrap().taken.len() >= expected.len()).await.unwrap();
        let taken = &taken.lock().unwrap().taken;
        let mut ids: BTreeMap<(String, String), &String> = BTreeMap::new();
        for (id, requests) in taken.iter() {
            assert!(requests.iter().all(|request| request.body == requests[0].body), "{id} said two things");
            let what = told(&requests[0]);
            assert!(expected.contains(&what), "{what:?} did not happen");
            if let Some(other) = ids.insert(what.clone(), id) {
                panic!("{what:?} came as {id} and as {other}");
            }
        }
        assert_eq!(ids.len(), expected.len());
    });
}

#[test]
fn killed_with_webhooks_pending_on_sqlite() {
    killed_with_webhooks_pending("killed_with_webhooks_pending_on_sqlite", "sqlite");
}

#[test]
fn killed_with_webhooks_pending_on_postgres() {
    killed_with_webhooks_pending("killed_with_webhooks_pending_on_postgres", "postgres");
}

#[test]
fn killed_in_an_import() {
    const ROWS: usize = 60_000;
    let runtime = runtime();
    if let Ok(store) = std::env::var(STORE) {
        return runtime.block_on(be_the_server(&store));
    }
    let folder = tempfile::tempdir().unwrap();
    let uploads = folder.path().join("uploads");
    std::fs::create_dir(&uploads).unwrap();
    let files = || std::fs::read_dir(&uploads).unwrap().count();
    let url = store("sqlite", folder.path());
    runtime.block_on(async {
        let life = Life::begin("killed_in_an_import", &url, &uploads);
        let id = campaign(&life.client, &[]).await;
        let csv: String = std::iter::once("phone\n".to_owned()).chain((0..ROWS).map(|n| format!("+1212{:07}\n", 2_000_000 + n))).collect();
        let (kind, body) = form(&[("file", Some("c.csv"), csv.as_bytes())]);
        let path = format!("/api/v1/campaigns/{id}/import-data");
        let mut stream = TcpStream::connect(life.client.address).await.unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        // Killed when a part of the rows is there.
        let contacts = format!("/api/v1/campaigns/{id}/contacts?per_page=1");
        let total = async |client: &Client| client.call("", "GET", &contacts, None).await.json()["total"].as_u64().unwrap();
        while total(&life.client).await == 0 {}
        drop(life);

        let life = Life::begin("killed_in_an_import", &url, &uploads);
        let kept = total(&life.client).await;
        assert!(kept > 0 && kept < ROWS as u64, "{kept} rows were there");
        // Somebody who asks is told that it did not end.
        let told = async || life.client.call("", "GET", &format!("/api/v1/campaigns/{id}/imports/1"), None).await.json();
        let mut import = told().await;
        // The killed server's lease lasts for half a second more.
        while import["status"] == "processing" {
            import = told().await;
        }
        assert_eq!((import["status"].as_str(), import["success"].as_bool()), (Some("failed"), Some(false)), "{import}");
        assert_eq!(files(), 0, "the killed server's upload is still there");
        // The same file again brings the rest.
        let answer = life.client.send("POST", &path, &[("content-type", &kind)], body).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        assert_eq!(total(&life.client).await, ROWS as u64);
        assert_eq!(files(), 0);
        assert_eq!(life.client.call("", "POST", &format!("/api/v1/campaigns/{id}/start"), None).await.status, 200);
    });
}
