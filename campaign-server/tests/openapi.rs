//! The OpenAPI document: complete, valid, and the one that is checked in.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use serde_json::Value;
use std::collections::BTreeSet;
use support::{Server, open};

const CHECKED_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

async fn served() -> (Server, String) {
    let server = Server::with("sqlite", campaign_core::dialer::SimulatedDialer::instant(), open).await;
    let answer = server.send("GET", "/openapi.json", &[], "").await;
    assert_eq!(answer.status, 200);
    let text = String::from_utf8(answer.body).unwrap();
    (server, text)
}

#[tokio::test]
async fn the_document_is_the_one_checked_in() {
    let (_server, text) = served().await;
    let text = text.trim_end().to_owned() + "\n";
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(CHECKED_IN, &text).unwrap();
    }
    let checked_in = std::fs::read_to_string(CHECKED_IN).unwrap_or_default();
    assert!(text == checked_in, "openapi.json is not what the server says; run this test with UPDATE_OPENAPI=1 and look at the difference");
}

#[tokio::test]
async fn the_document_is_whole() {
    let (_server, text) = served().await;
    let document: Value = serde_json::from_str(&text).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut ids = BTreeSet::new();
    let mut count = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(method, _)| *method != "parameters") {
            count += 1;
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
            for name in path.split('/').filter_map(|part| part.strip_prefix('{')).map(|part| part.trim_end_matches('}')) {
                let parameters = operation["parameters"].as_array().unwrap();
                assert!(
                    parameters.iter().any(|parameter| parameter["name"] == name && parameter["in"] == "path"),
                    "{method} {path}: {name}"
                );
            }
        }
    }
    assert!(count > 30, "{count}");
    // Every reference leads somewhere.
    for target in text.split("\"$ref\": \"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(document.pointer(target).is_some(), "{target}");
    }
    // Every schema is one.
    for (name, _) in document["components"]["schemas"].as_object().unwrap() {
        let schema = serde_json::json!({ "$ref": format!("#/components/schemas/{name}"), "components": document["components"] });
        jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let (server, _) = served().await;
    let answer = server.send("GET", "/docs/", &[], "").await;
    let html = String::from_utf8(answer.body).unwrap();
    assert_eq!(answer.status, 200);
    assert!(html.contains("/api/v1/campaigns/{campaign_id}/start") && html.contains("CampaignObject"));
    assert!(!html.contains("<script") && !html.contains("src=") && !html.contains("https://"), "the page loads something");
    assert!(answer.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
}
