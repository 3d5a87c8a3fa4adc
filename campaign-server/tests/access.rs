//! Who may call, what they may do, and whose data they see.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use campaign_core::Kind;
use campaign_core::dialer::SimulatedDialer;
use campaign_server::auth::{NewKey, Scope};
use campaign_server::{Access, ServerOptions, serve};
use serde_json::{Value, json};
use support::{Server, form, stores};

const CAMPAIGNS: &str = "/api/v1/campaigns";

fn small() -> Value {
    json!({ "name": "n", "campaign_type": "call", "assistant_id": 1, "rate_limit_per_minute": 6000 })
}

async fn created(server: &Server, key: &str) -> i64 {
    let answer = server.call(key, "POST", CAMPAIGNS, Some(&small())).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    answer.json()["id"].as_i64().unwrap()
}

/// Every operation of the document that takes a campaign, with a path for this one.
async fn operations(server: &Server, id: i64) -> Vec<(String, String, bool)> {
    let document = server.send("GET", "/openapi.json", &[], "").await.json();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let public = operation.get("security").is_some_and(|needs| needs == &json!([{}]));
            // Whatever else is named in a path need not be there.
            let target: Vec<String> = path
                .split('/')
                .map(|part| {
                    if part == "{campaign_id}" {
                        id.to_string()
                    } else if part.starts_with('{') {
                        "1".to_owned()
                    } else {
                        part.to_owned()
                    }
                })
                .collect();
            if !public {
                found.push((method.to_uppercase(), target.join("/"), path.contains("{campaign_id}")));
            }
        }
    }
    assert!(found.len() > 90, "{}", found.len());
    found
}

#[tokio::test]
async fn nothing_is_answered_without_a_key_that_works() {
    let server = Server::on("sqlite").await;
    let key = server.key(Scope::Admin, Some(1)).await;
    let id = created(&server, &key).await;
    let revoked = server.key(Scope::Admin, Some(1)).await;
    let list = server.keys.list().await.unwrap();
    server.keys.revoke(&list[1].id).await.unwrap();
    let mut other = key.clone();
    let last = if other.pop() == Some('0') { '1' } else { '0' };
    other.push(last);
    for (method, path, _) in operations(&server, id).await {
        for bad in ["", "cmp_", "Bearer", "cmp_0000000000000000_x", revoked.as_str(), other.as_str()] {
            let answer = server.call(bad, &method, &path, Some(&json!({}))).await;
            assert_eq!(answer.status, 401, "{method} {path} with {bad:?}");
            assert!(answer.json().is_object());
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
        let answer = server.send(&method, &path, &[], "").await;
        assert_eq!(answer.status, 401, "{method} {path} without a header");
    }
}

#[tokio::test]
async fn a_key_that_reads_changes_nothing() {
    let server = Server::on("sqlite").await;
    let (reader, writer) = (server.key(Scope::Read, Some(1)).await, server.key(Scope::Write, Some(1)).await);
    let id = created(&server, &writer).await;
    for (method, path, _) in operations(&server, id).await {
        let status = server.call(&reader, &method, &path, Some(&json!({}))).await.status;
        let refused = method != "GET" || path.starts_with("/api/v1/webhooks");
        assert_eq!(status == 403, refused, "{method} {path}: {status}");
    }
    assert_eq!(server.call(&reader, "GET", &format!("{CAMPAIGNS}/{id}"), None).await.status, 200);
}

#[tokio::test]
async fn one_organisation_never_sees_another() {
    for store in stores() {
        let server = Server::on(store).await;
        let (ours, theirs) = (server.key(Scope::Admin, Some(1)).await, server.key(Scope::Admin, Some(2)).await);
        let operator = server.key(Scope::Admin, None).await;
        let id = created(&server, &ours).await;
        let contact = json!({ "contacts": [{ "phone_number": "+15551234567" }] });
        assert_eq!(server.call(&ours, "POST", &format!("{CAMPAIGNS}/{id}/contacts"), Some(&contact)).await.status, 200);
        // Whatever route names the campaign: for the other organisation it does not exist.
        let mut named = 0;
        for (method, path, names) in operations(&server, id).await {
            if !names {
                continue;
            }
            named += 1;
            let answer = server.call(&theirs, &method, &path, Some(&json!({ "name": "taken" }))).await;
            assert_eq!((answer.status, answer.json()), (404, json!({ "detail": "Campaign not found" })), "{method} {path}");
        }
        assert!(named > 20, "{named}");
        let (kind, body) = form(&[("file", Some("c.csv"), b"phone\n+15551234568\n")]);
        let bearer = format!("Bearer {theirs}");
        let upload = format!("{CAMPAIGNS}/{id}/import-data");
        let answer = server.send("POST", &upload, &[("authorization", &bearer), ("content-type", &kind)], body).await;
        assert_eq!(answer.status, 404);
        let campaign = server.call(&ours, "GET", &format!("{CAMPAIGNS}/{id}"), None).await.json();
        assert_eq!((campaign["name"].as_str(), campaign["total_contacts"].as_i64()), (Some("n"), Some(1)));

        // Listings, and the do-not-contact list.
        assert_eq!(server.call(&theirs, "GET", CAMPAIGNS, None).await.json()["total"], 0);
        assert_eq!(server.call(&ours, "GET", CAMPAIGNS, None).await.json()["total"], 1);
        assert_eq!(server.call(&operator, "GET", CAMPAIGNS, None).await.json()["total"], 1);
        let number = json!({ "phone_number": "+12125550123" });
        assert_eq!(server.call(&ours, "POST", "/api/v1/dnc", Some(&number)).await.status, 200);
        assert_eq!(server.call(&theirs, "GET", "/api/v1/dnc", None).await.json()["total"], 0);
        assert_eq!(server.call(&theirs, "DELETE", "/api/v1/dnc", Some(&number)).await.status, 404);
        assert_eq!(server.call(&ours, "GET", "/api/v1/dnc", None).await.json()["total"], 1);

        // Within one campaign, which is the caller's.
        let within = json!({ "phone_number": "+12125550124", "campaign_id": id });
        assert_eq!(server.call(&theirs, "POST", "/api/v1/dnc", Some(&within)).await.status, 404);
        let added = server.call(&ours, "POST", "/api/v1/dnc", Some(&within)).await.json();
        assert_eq!((&added["campaign_id"], &added["organization_id"]), (&json!(id), &Value::Null));
        assert_eq!(server.call(&ours, "GET", "/api/v1/dnc", None).await.json()["total"], 1, "no more than was asked for is covered");
        let listed = format!("/api/v1/dnc?campaign_id={id}");
        assert_eq!(server.call(&ours, "GET", &listed, None).await.json()["items"][0]["phone_number"], "+12125550124");
        assert_eq!(server.call(&theirs, "GET", &listed, None).await.status, 404);
        assert_eq!(server.call(&ours, "DELETE", &listed, Some(&within)).await.json()["removed_count"], 1);
        let nonsense = json!({ "phone_number": "+12125550124", "campaign_id": "all" });
        assert_eq!(server.call(&ours, "POST", "/api/v1/dnc", Some(&nonsense)).await.status, 422);

        // Nobody gives a campaign to somebody else, but for the operator.
        let named = |organization: i64| {
            let mut body = small();
            body["organization_id"] = organization.into();
            body
        };
        assert_eq!(server.call(&ours, "POST", CAMPAIGNS, Some(&named(2))).await.status, 403);
        assert_eq!(server.call(&ours, "POST", CAMPAIGNS, Some(&named(1))).await.status, 200);
        let answer = server.call(&operator, "POST", CAMPAIGNS, Some(&named(2))).await.json();
        assert_eq!(answer["organization_id"], 2);
        assert_eq!(server.call(&theirs, "GET", &format!("{CAMPAIGNS}/{}", answer["id"]), None).await.status, 200);
    }
}

#[tokio::test]
async fn keys_are_stored_as_hashes_and_remember_their_use() {
    let server = Server::on("sqlite").await;
    let new = NewKey { name: " dashboard ".to_owned(), scopes: vec![Scope::Read, Scope::Write], organization_id: Some(3) };
    let (key, text) = server.keys.create(new).await.unwrap();
    assert!(text.starts_with(&format!("cmp_{}_", key.id)) && text.len() > 60, "{text}");
    let query = campaign_core::store::DocumentQuery { collection: "api_key".to_owned(), key: None, after: None, limit: 10 };
    let stored = serde_json::to_string(&server.engine.store().documents(query).await.unwrap()).unwrap();
    let secret = text.rsplit('_').next().unwrap();
    assert!(!stored.contains(secret) && !stored.contains(&text), "the secret is in the store");
    assert_eq!((key.name.as_str(), key.last_used_at), ("dashboard", None));
    assert_eq!(server.call(&text, "GET", CAMPAIGNS, None).await.status, 200);
    let used = server.keys.list().await.unwrap();
    assert!(used[0].last_used_at.is_some());
    server.keys.revoke(&key.id).await.unwrap();
    assert_eq!(server.call(&text, "GET", CAMPAIGNS, None).await.status, 401);
    assert_eq!(server.keys.revoke("nobody").await.unwrap_err().kind(), Kind::NotFound);
    for (name, scopes, organization_id) in [("", vec![Scope::Read], None), ("n", vec![], None), ("n", vec![Scope::Read], Some(0))] {
        let new = NewKey { name: name.to_owned(), scopes, organization_id };
        assert_eq!(server.keys.create(new).await.unwrap_err().kind(), Kind::Invalid);
    }
}

#[tokio::test]
async fn an_open_server_is_for_this_machine_only() {
    let server = Server::with("sqlite", SimulatedDialer::instant(), support::open).await;
    assert_eq!(server.send("GET", CAMPAIGNS, &[], "").await.status, 200);
    let open = ServerOptions::default().with(support::open);
    let keyed = ServerOptions::default();
    for public in ["0.0.0.0:0", "192.0.2.1:80", "[::]:0"] {
        let error = serve::check(&server.engine, &open, public.parse().unwrap()).await.unwrap_err();
        assert!(error.to_string().contains("campaign keys create"), "{error}");
        assert!(serve::check(&server.engine, &keyed, public.parse().unwrap()).await.is_err(), "no key was made yet");
    }
    for own in ["127.0.0.1:0", "[::1]:0"] {
        serve::check(&server.engine, &open, own.parse().unwrap()).await.unwrap();
    }
    server.key(Scope::Read, None).await;
    serve::check(&server.engine, &keyed, "0.0.0.0:0".parse().unwrap()).await.unwrap();
    assert_eq!(open.access, Access::Open { organization: Some(1) });
}

#[tokio::test]
async fn no_web_page_uses_an_open_server() {
    let server = Server::with("sqlite", SimulatedDialer::instant(), |options| {
        support::open(options);
        options.allowed_origins = vec!["https://dashboard.example".to_owned()];
    })
    .await;
    let status = async |method: &str, headers: &[(&str, &str)]| {
        let headers = [headers, &[("content-type", "application/json")]].concat();
        server.send(method, CAMPAIGNS, &headers, small().to_string()).await
    };
    for fine in [
        ("origin", "http://localhost:3000"),
        ("origin", "http://127.0.0.1:8080"),
        ("origin", "https://dashboard.example"),
        ("host", "localhost"),
        ("host", "[::1]:8080"),
        ("host", "dashboard.example"),
    ] {
        assert_eq!(status("POST", &[fine]).await.status, 200, "{fine:?}");
    }
    for foreign in
        [("origin", "https://evil.example"), ("origin", "null"), ("origin", "http://localhost.evil.example"), ("host", "evil.example:80")]
    {
        for method in ["GET", "POST"] {
            let answer = status(method, &[foreign]).await;
            assert_eq!(answer.status, 403, "{method} {foreign:?}");
            assert!(answer.json()["detail"].as_str().is_some_and(|detail| detail.contains("localhost")), "{}", answer.json());
        }
        for path in ["/ws/campaigns/monitor", "/ws/campaigns/1/progress", "/ws/ai-chat"] {
            assert!(server.try_socket(path, &[foreign]).await.is_err(), "{path} {foreign:?}");
        }
    }
    server.try_socket("/ws/campaigns/monitor", &[("origin", "http://localhost:3000")]).await.unwrap();
    // Keys are what a page has not; where they are asked for, nothing else is.
    let keyed = Server::on("sqlite").await;
    let bearer = format!("Bearer {}", keyed.key(Scope::Read, None).await);
    let headers = [("authorization", bearer.as_str()), ("origin", "https://evil.example"), ("host", "campaigns.example")];
    assert_eq!(keyed.send("GET", CAMPAIGNS, &headers, "").await.status, 200);
}

#[tokio::test]
async fn every_answer_has_its_headers_and_origins_are_named() {
    let server = Server::on("sqlite").await;
    for path in ["/health", "/nothing", CAMPAIGNS, "/docs"] {
        let answer = server.send("GET", path, &[("origin", "https://evil.example")], "").await;
        for name in ["x-content-type-options", "x-frame-options", "referrer-policy", "content-security-policy", "cache-control"] {
            assert!(answer.headers.contains_key(name), "{path} has no {name}");
        }
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
    let named = Server::with("sqlite", SimulatedDialer::instant(), |options| {
        options.allowed_origins = vec!["https://dashboard.example".to_owned()];
    })
    .await;
    let ask = async |origin: &str| {
        let headers = [("origin", origin), ("access-control-request-method", "PATCH")];
        named.send("OPTIONS", CAMPAIGNS, &headers, "").await.headers.get("access-control-allow-origin").cloned()
    };
    assert_eq!(ask("https://dashboard.example").await.unwrap(), "https://dashboard.example");
    assert_eq!(ask("https://evil.example").await, None);
    let everybody = Server::with("sqlite", SimulatedDialer::instant(), |options| {
        options.allowed_origins = vec!["*".to_owned(), "nonsense".to_owned()];
    })
    .await;
    let answer = everybody.send("GET", "/health", &[("origin", "https://evil.example")], "").await;
    assert_eq!((answer.status, answer.headers.get("access-control-allow-origin")), (200, None), "origins are named");
}

#[tokio::test]
async fn bodies_and_files_have_limits() {
    let server = Server::with("sqlite", SimulatedDialer::instant(), |options| {
        support::open(options);
        options.max_body_bytes = 10_000;
        options.max_upload_bytes = 20_000;
    })
    .await;
    let mut body = small();
    body["description"] = "x".repeat(20_000).into();
    assert_eq!(server.call("", "POST", CAMPAIGNS, Some(&body)).await.status, 413);
    let bearer = [("idempotency-key", "k"), ("content-type", "application/json")];
    assert_eq!(server.send("POST", CAMPAIGNS, &bearer, body.to_string()).await.status, 413);
    let id = created(&server, "").await;
    let csv = format!("phone,note\n+15551234567,{}\n", "x".repeat(30_000));
    let (kind, form) = form(&[("file", Some("c.csv"), csv.as_bytes())]);
    let answer = server.send("POST", &format!("{CAMPAIGNS}/{id}/import-data"), &[("content-type", &kind)], form).await;
    assert_eq!((answer.status, answer.json()["detail"].as_str()), (413, Some("The file is too large")));
    let rows: Vec<Value> = (0..1000).map(|n| json!({ "phone_number": format!("+1212555{n:04}") })).collect();
    let answer = server.call("", "POST", &format!("{CAMPAIGNS}/{id}/contacts/import"), Some(&json!(rows))).await;
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn operations_are_open_and_say_nothing_of_anybody() {
    let server = Server::on("sqlite").await;
    let key = server.key(Scope::Write, Some(1)).await;
    created(&server, &key).await;
    assert_eq!(server.send("GET", "/health", &[], "").await.json()["status"], "ok");
    let ready = server.send("GET", "/ready/", &[], "").await;
    assert_eq!((ready.status, ready.json()["status"].as_str()), (200, Some("ready")));
    let answer = server.send("GET", "/metrics", &[], "").await;
    let text = String::from_utf8(answer.body).unwrap();
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    assert!(text.contains("campaign_campaigns{status=\"draft\"} 1") && text.contains("campaign_nodes 1"), "{text}");
    let counted = "campaign_http_requests_total{method=\"POST\",route=\"/api/v1/campaigns\",status=\"200\"} 1";
    assert!(text.contains(counted), "{text}");
    server.engine.stop(None).await.unwrap();
    assert_eq!(server.send("GET", "/ready", &[], "").await.status, 503);
}
