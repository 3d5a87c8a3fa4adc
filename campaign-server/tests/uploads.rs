//! Clients that go away in the middle of an upload, and just after it.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use campaign_core::dialer::SimulatedDialer;
use serde_json::{Value, json};
use std::path::Path;
use support::{Server, form, open};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Lets the server go on until something is so; it works in the same runtime, so no time has to pass.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..1_000_000 {
        if is_so().await {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("never: {what}");
}

async fn campaign(server: &Server) -> i64 {
    let body = json!({ "name": "n", "campaign_type": "call", "assistant_id": 1, "contacts": [{ "phone_number": "+12125550123" }] });
    server.call("", "POST", "/api/v1/campaigns", Some(&body)).await.json()["id"].as_i64().unwrap()
}

fn csv(rows: usize) -> String {
    std::iter::once("phone\n".to_owned()).chain((0..rows).map(|n| format!("+1212{}\n", 5_550_000 + n))).collect()
}

/// The head and the first bytes of an upload.
async fn begin(server: &Server, id: i64, kind: &str, body: &[u8], sent: usize) -> TcpStream {
    begin_at(server, &format!("/api/v1/campaigns/{id}/import-data"), kind, body, sent).await
}

async fn begin_at(server: &Server, path: &str, kind: &str, body: &[u8], sent: usize) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body[..sent]).await.unwrap();
    stream.flush().await.unwrap();
    stream
}

/// How many files of a folder this process has open, those without a name included; `None` where the system does not tell.
fn open_files(folder: &Path) -> Option<impl Fn() -> usize> {
    let all = Path::new("/proc/self/fd");
    let count = move || {
        let links = std::fs::read_dir(all).unwrap().filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
        links.filter(|link| link.starts_with(folder)).count()
    };
    all.exists().then_some(count)
}

async fn total(server: &Server, id: i64) -> Value {
    server.call("", "GET", &format!("/api/v1/campaigns/{id}/contacts?per_page=1"), None).await.json()["total"].clone()
}

#[tokio::test]
async fn half_an_upload_changes_nothing_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::with("sqlite", SimulatedDialer::instant(), |options| {
        open(options);
        options.upload_folder = Some(folder.path().to_owned());
    })
    .await;
    let id = campaign(&server).await;
    let (kind, body) = form(&[("file", Some("c.csv"), csv(1000).as_bytes())]);
    let files = || std::fs::read_dir(folder.path()).unwrap().count();
    let stream = begin(&server, id, &kind, &body, body.len() / 2).await;
    if let Some(open) = open_files(folder.path()) {
        until("the upload has begun", async || open() > 0).await;
        drop(stream);
        until("the file is closed", async || open() == 0).await;
    } else {
        drop(stream);
    }
    // It never had a name, so nothing is left of it even when the process is killed.
    assert_eq!(files(), 0);
    assert_eq!(total(&server, id).await, 1);
    // The campaign works as if nothing had been.
    let (kind, body) = form(&[("file", Some("c.csv"), csv(10).as_bytes())]);
    let answer = server.send("POST", &format!("/api/v1/campaigns/{id}/import-data"), &[("content-type", &kind)], body).await;
    assert_eq!((answer.status, answer.json()["imported_count"].as_u64()), (200, Some(10)));
    assert_eq!(files(), 0);
}

#[tokio::test]
async fn a_whole_upload_is_imported_though_nobody_waits_for_the_answer() {
    let server = Server::with("sqlite", SimulatedDialer::instant(), open).await;
    let id = campaign(&server).await;
    let (kind, body) = form(&[("file", Some("c.csv"), csv(5000).as_bytes())]);
    let stream = begin(&server, id, &kind, &body, body.len()).await;
    let import = format!("/api/v1/campaigns/{id}/imports/1");
    // Once the import has begun, the client goes.
    until("the import has begun", async || server.call("", "GET", &import, None).await.status == 200).await;
    drop(stream);
    until("the import has ended", async || server.call("", "GET", &import, None).await.json()["status"] == "completed").await;
    let told = server.call("", "GET", &import, None).await.json();
    // The contact that was added before stays; the file has its number as well.
    let counted = ["imported_count", "duplicate_count", "total_contacts"].map(|name| told[name].as_u64());
    assert_eq!(counted, [Some(4999), Some(1), Some(5000)]);
    assert_eq!(total(&server, id).await, 5000);
}

#[tokio::test]
async fn half_a_body_is_no_list_anywhere() {
    let server = Server::with("sqlite", SimulatedDialer::instant(), open).await;
    let id = campaign(&server).await;
    let list = server.call("", "POST", "/api/contact-lists", Some(&json!({ "name": "n" }))).await.json()["list_id"].clone();
    let voice = json!({ "name": "n", "status": "draft", "calls_per_day": 5, "calling_hours_start": "00:00", "calling_hours_end": "24:00",
        "system_prompt": "p", "script_template": "s" });
    let voice = server.call("", "POST", "/api/voice-campaigns", Some(&voice)).await.json()["id"].clone();
    let rows: Vec<Value> = (0..500).map(|n| json!({ "phone_number": format!("+1212{}", 5_550_000 + n) })).collect();
    let json_rows = json!(rows).to_string().into_bytes();
    let voice_id = voice.to_string();
    let (form_kind, form_body) = form(&[("campaign_id", None, voice_id.as_bytes()), ("file", Some("c.csv"), csv(500).as_bytes())]);
    let list = list.as_str().unwrap();
    let json_kind = "application/json".to_owned();
    let counts = async |server: &Server| {
        let listed = server.call("", "GET", &format!("/api/contact-lists/{list}/contacts"), None).await.json()["total"].clone();
        let led = server.call("", "GET", &format!("/api/v1/campaigns/{voice}/contacts?per_page=1"), None).await.json()["total"].clone();
        [total(server, id).await, listed, led].map(|count| count.as_u64().unwrap())
    };
    let uploads = [
        (format!("/api/v1/campaigns/{id}/contacts/import"), &json_kind, &json_rows),
        (format!("/api/v1/campaigns/{id}/contacts"), &json_kind, &json_rows),
        (format!("/api/contact-lists/{list}/upload"), &form_kind, &form_body),
        ("/api/company/voice-leads/company/1/import".to_owned(), &form_kind, &form_body),
        ("/api/campaigns/upload".to_owned(), &form_kind, &form_body),
    ];
    for (path, kind, body) in &uploads {
        let mut stream = begin_at(&server, path, kind, body, body.len() / 2).await;
        // Our half is closed; an answer may come, or none. Its end says that the server is done with it.
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(!answer.starts_with("HTTP/1.1 2") && !answer.starts_with("HTTP/1.1 5"), "{path}: {answer}");
    }
    assert_eq!(counts(&server).await, [1, 0, 0]);
    for (path, kind, body) in &uploads {
        if path.ends_with("/contacts") {
            continue;
        }
        let answer = server.send("POST", path, &[("content-type", kind)], (*body).clone()).await;
        assert!((200..300).contains(&answer.status), "{path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    let [imported, listed, led] = counts(&server).await;
    assert_eq!((imported, listed, led), (500, 500, 500));
}
