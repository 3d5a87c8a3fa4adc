//! Clients that go away in the middle of an upload, and just after it.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use campaign_core::dialer::SimulatedDialer;
use serde_json::{Value, json};
use support::{Server, form, open};
use tokio::io::AsyncWriteExt;
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
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /api/v1/campaigns/{id}/import-data HTTP/1.1\r\nhost: test\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body[..sent]).await.unwrap();
    stream.flush().await.unwrap();
    stream
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
    until("the upload has begun", async || files() == 1).await;
    drop(stream);
    until("the file is gone", async || files() == 0).await;
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
    assert_eq!((told["imported_count"].as_u64(), told["total_contacts"].as_u64()), (Some(5000), Some(5000)));
    assert_eq!(total(&server, id).await, 5000);
}
