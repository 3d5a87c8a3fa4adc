//! `Idempotency-Key`: a POST that is sent again is answered again, and happens once.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use campaign_core::dialer::SimulatedDialer;
use campaign_server::auth::Scope;
use serde_json::{Value, json};
use support::{Answer, Server, form, stores};

const CAMPAIGNS: &str = "/api/v1/campaigns";

async fn post(server: &Server, key: &str, idempotency: &str, path: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("idempotency-key", idempotency)];
    server.send("POST", path, &headers, body.to_string()).await
}

fn small(name: &str) -> Value {
    json!({ "name": name, "campaign_type": "call", "assistant_id": 1 })
}

#[tokio::test]
async fn the_same_request_happens_once() {
    for store in stores() {
        let server = Server::on(store).await;
        let (key, other) = (server.key(Scope::Write, Some(1)).await, server.key(Scope::Write, Some(1)).await);
        let first = post(&server, &key, "k-1", CAMPAIGNS, &small("one")).await;
        let again = post(&server, &key, "k-1", CAMPAIGNS, &small("one")).await;
        assert_eq!((first.status, again.status), (200, 200));
        assert_eq!(first.json(), again.json());
        assert!(!first.headers.contains_key("idempotency-replayed") && again.headers["idempotency-replayed"] == "true");
        assert_eq!(again.headers["content-type"], "application/json");
        // Another body, another path, another caller.
        assert_eq!(post(&server, &key, "k-1", CAMPAIGNS, &small("two")).await.status, 422);
        let elsewhere = format!("{CAMPAIGNS}/template-preview");
        assert_eq!(post(&server, &key, "k-1", &elsewhere, &small("one")).await.status, 422);
        assert_ne!(post(&server, &other, "k-1", CAMPAIGNS, &small("one")).await.json()["id"], first.json()["id"]);
        // An answer that refuses is an answer.
        let refused = post(&server, &key, "k-2", CAMPAIGNS, &json!({})).await;
        assert_eq!((refused.status, post(&server, &key, "k-2", CAMPAIGNS, &json!({})).await.status), (422, 422));
        assert_eq!(post(&server, &key, &"x".repeat(257), CAMPAIGNS, &small("one")).await.status, 422);
        assert_eq!(server.call(&key, "GET", CAMPAIGNS, None).await.json()["total"], 2);
    }
}

#[tokio::test]
async fn requests_at_the_same_time_happen_once() {
    for store in stores() {
        let server = Server::on(store).await;
        let key = server.key(Scope::Write, Some(1)).await;
        let body = small("one");
        let all = futures_util::future::join_all((0..10).map(|_| post(&server, &key, "k", CAMPAIGNS, &body))).await;
        assert!(all.iter().all(|answer| matches!(answer.status, 200 | 409)), "{all:?}");
        assert!(all.iter().any(|answer| answer.status == 200));
        assert!(all.iter().filter(|answer| answer.status == 409).all(|answer| answer.headers.contains_key("retry-after")));
        assert_eq!(server.call(&key, "GET", CAMPAIGNS, None).await.json()["total"], 1);
    }
}

#[tokio::test]
async fn a_file_that_is_sent_again_is_imported_once() {
    let server = Server::with("sqlite", SimulatedDialer::instant(), support::open).await;
    let id = server.call("", "POST", CAMPAIGNS, Some(&small("one"))).await.json()["id"].clone();
    let path = format!("{CAMPAIGNS}/{id}/import-data");
    let send = async |content: &str| {
        let (kind, body) = form(&[("file", Some("c.csv"), content.as_bytes())]);
        server.send("POST", &path, &[("content-type", &kind), ("idempotency-key", "k")], body).await
    };
    let first = send("phone\n+15551234567\n").await;
    let again = send("phone\n+15551234567\n").await;
    assert_eq!((first.status, first.json()), (200, again.json()));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(send("phone\n+15551234568\n").await.status, 422);
}

#[tokio::test]
async fn answers_end_with_their_time() {
    let server = Server::with("sqlite", SimulatedDialer::instant(), |options| {
        support::open(options);
        options.idempotency_lifetime = std::time::Duration::ZERO;
    })
    .await;
    let first = post(&server, "", "k", CAMPAIGNS, &small("one")).await.json();
    assert_ne!(post(&server, "", "k", CAMPAIGNS, &small("two")).await.json()["id"], first["id"]);
}
