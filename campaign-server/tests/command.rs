//! The `campaign` command as a person uses it.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

const CAMPAIGN: &str = env!("CARGO_BIN_EXE_campaign");

/// A process that ends with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn campaign(arguments: &[&str], store: &str) -> Output {
    Command::new(CAMPAIGN).args(arguments).env("CAMPAIGN_STORE", store).env_remove("RUST_LOG").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The status of a request with a key.
fn status(address: &str, key: &str) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /api/v1/campaigns HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn a_server_is_started_used_and_stopped_and_its_keys_are_managed_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}", folder.path().join("campaigns.db").display());

    // Nobody could call yet, so a public address is refused; so is an open server there.
    let refused = campaign(&["serve", "--listen", "0.0.0.0:0"], &store);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("campaign keys create"), "{}", text(&refused.stderr));
    let refused = campaign(&["serve", "--listen", "0.0.0.0:0", "--open"], &store);
    assert_eq!(refused.status.code(), Some(2));

    let created = campaign(&["keys", "create", "--name", "test", "--scope", "read", "--organization", "1"], &store);
    let key = text(&created.stdout).trim().to_owned();
    assert!(created.status.success() && key.starts_with("cmp_"), "{created:?}");

    let mut server = Running(
        Command::new(CAMPAIGN)
            .args(["serve", "--listen", "127.0.0.1:0", "--log-json"])
            .env("CAMPAIGN_STORE", &store)
            .env("RUST_LOG", "info")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut log = BufReader::new(server.0.stderr.take().unwrap()).lines();
    let address = loop {
        let line: Value = serde_json::from_str(&log.next().expect("the server ended").unwrap()).unwrap();
        if line["fields"]["message"] == "listening" {
            break line["fields"]["address"].as_str().unwrap().to_owned();
        }
    };
    assert_eq!(status(&address, &key), 200);
    assert_eq!(status(&address, "cmp_wrong"), 401);

    let listed = campaign(&["keys", "list", "--json"], &store);
    let keys: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!((keys[0]["name"].as_str(), keys[0]["organization_id"].as_i64()), (Some("test"), Some(1)));
    assert!(keys[0]["last_used_at"].is_string() && keys[0].get("hash").is_none() && !text(&listed.stdout).contains(&key));
    let shown = campaign(&["keys", "list"], &store);
    assert!(text(&shown.stdout).contains("works"));
    let revoked = campaign(&["keys", "revoke", keys[0]["id"].as_str().unwrap()], &store);
    assert!(revoked.status.success());
    assert_eq!(status(&address, &key), 401, "a revoked key is refused at once");
    assert_eq!(campaign(&["keys", "revoke", "nobody"], &store).status.code(), Some(3));
    assert_eq!(campaign(&["keys", "create"], &store).status.code(), Some(2));

    // A service manager stops it.
    let stopped = Command::new("kill").args(["-TERM", &server.0.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    assert_eq!(server.0.wait().unwrap().code(), Some(0));
    let rest: Vec<String> = log.map_while(Result::ok).collect();
    assert!(!rest.iter().any(|line| line.contains(&key)), "the key is in the log");
}

#[tokio::test]
async fn webhooks_are_managed_and_deliveries_checked() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}", folder.path().join("campaigns.db").display());
    let made = campaign(&["webhooks", "create", "--url", "https://example.com/hook", "--event", "call.completed", "--json"], &store);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap_or_else(|_| panic!("{}", text(&made.stderr)));
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let listed = campaign(&["webhooks", "list", "--json"], &store);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!((listed[0]["id"].as_str(), listed[0]["events"][0].as_str()), (Some(id), Some("call.completed")));
    assert!(listed[0].get("secret").is_none());
    assert!(text(&campaign(&["webhooks", "list"], &store).stdout).contains("https://example.com/hook"));
    for refused in [["--url", "http://example.com"], ["--url", "https://127.0.0.1/"]] {
        assert_eq!(campaign(&[&["webhooks", "create"], &refused[..]].concat(), &store).status.code(), Some(2));
    }
    assert_eq!(campaign(&["webhooks", "create", "--url", "https://example.com", "--event", "call"], &store).status.code(), Some(2));

    // A receiver checks what it got.
    let now = campaign_core::executor::Executor::now(&campaign_core::executor::TokioExecutor::current().unwrap());
    let body = folder.path().join("body.json");
    std::fs::write(&body, "{}").unwrap();
    let signature = campaign_core::http::signature::WebhookSecret::parse(secret).unwrap().sign("evt_1", now, b"{}");
    let check = |id: &str| {
        let (at, body) = (now.as_second().to_string(), body.display().to_string());
        let arguments = ["--secret", secret, "--id", id, "--timestamp", &at, "--signature", &signature, "--body", &body];
        campaign(&[&["webhooks", "verify"], &arguments[..]].concat(), &store)
    };
    let genuine = check("evt_1");
    assert!(genuine.status.success() && text(&genuine.stdout).trim() == "genuine", "{}", text(&genuine.stderr));
    let forged = check("evt_2");
    assert!(forged.status.code() == Some(2) && text(&forged.stderr).contains("does not fit"), "{}", text(&forged.stderr));

    assert!(campaign(&["webhooks", "dead", id], &store).status.success());
    assert!(campaign(&["webhooks", "replay", id], &store).status.success());
    assert!(campaign(&["webhooks", "delete", id], &store).status.success());
    assert_eq!(campaign(&["webhooks", "delete", id], &store).status.code(), Some(3));
}
