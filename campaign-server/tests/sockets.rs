//! The WebSockets: who gets in, what they say, and what becomes of a slow reader.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use campaign_core::dialer::{CarrierProfile, SimulatedDialer};
use campaign_server::auth::Scope;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use support::{Server, stores};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

type Socket = WebSocketStream<TcpStream>;

/// The next message, or the code the socket was closed with.
async fn next(socket: &mut Socket) -> Result<Value, u16> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Close(frame))) => return Err(frame.map_or(1005, |frame| frame.code.into())),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Err(1006),
        }
    }
}

/// Messages up to one of this type, with it.
async fn until(socket: &mut Socket, kind: &str) -> Vec<Value> {
    let mut seen = Vec::new();
    loop {
        let message = next(socket).await.unwrap_or_else(|code| panic!("closed with {code} before {kind}; seen: {seen:#?}"));
        seen.push(message);
        if seen.last().unwrap()["type"] == kind {
            return seen;
        }
    }
}

async fn say(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

async fn campaign(server: &Server, key: &str, contacts: usize) -> i64 {
    let contacts: Vec<Value> =
        (0..contacts).map(|n| json!({ "phone_number": format!("+1212{:07}", 5_550_000 + n), "name": format!("N{n}") })).collect();
    let body = json!({ "name": "n", "campaign_type": "call", "assistant_id": 1, "concurrent_limit": "unlimited", "rate_limit_per_minute": "unlimited", "contacts": contacts });
    let answer = server.call(key, "POST", "/api/v1/campaigns", Some(&body)).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    answer.json()["id"].as_i64().unwrap()
}

fn is_offset_moment(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.ends_with("+00:00") && text.parse::<jiff::Timestamp>().is_ok())
}

#[tokio::test]
async fn keys_come_in_every_way_and_the_wrong_are_told_by_code() {
    let server = Server::on("sqlite").await;
    let (key, other) = (server.key(Scope::Read, Some(1)).await, server.key(Scope::Read, Some(2)).await);
    let writer = server.key(Scope::Write, Some(1)).await;
    let id = campaign(&server, &writer, 0).await;
    let path = format!("/ws/campaigns/{id}/progress");
    let bearer = format!("Bearer {key}");
    let protocol = format!("burki-token-{key}");
    for (path, headers) in [
        (format!("{path}?token={key}"), vec![]),
        (format!("{path}/?token={key}"), vec![]),
        (path.clone(), vec![("authorization", bearer.as_str())]),
        (path.clone(), vec![("authorization", key.as_str())]),
        (path.clone(), vec![("sec-websocket-protocol", protocol.as_str())]),
        ("/ws/campaigns/monitor".to_owned(), vec![("authorization", bearer.as_str())]),
    ] {
        let mut socket = server.socket(&path, &headers).await;
        let ack = next(&mut socket).await.unwrap();
        assert_eq!(ack["type"], "connection_ack", "{path}");
        assert!(is_offset_moment(&ack["timestamp"]) && ack["timestamp_unix"].is_f64(), "{ack}");
        socket.close(None).await.unwrap();
    }
    let mut numeric = server.socket(&format!("{path}?token={key}&ack=unix"), &[]).await;
    assert!(next(&mut numeric).await.unwrap()["timestamp"].is_f64());

    for (path, code) in [
        (path.clone(), 1008),
        (format!("{path}?token=cmp_x_y"), 1008),
        ("/ws/campaigns/monitor".to_owned(), 1008),
        (format!("/ws/campaigns/999999/progress?token={key}"), 4004),
        (format!("/ws/campaigns/abc/progress?token={key}"), 4004),
        (format!("{path}?token={other}"), 4004),
    ] {
        assert_eq!(next(&mut server.socket(&path, &[]).await).await, Err(code), "{path}");
    }
    // Not a WebSocket at all.
    assert!((400..500).contains(&server.send("GET", &path, &[], "").await.status));
}

#[tokio::test]
async fn a_watcher_sees_a_campaign_from_beginning_to_end() {
    for store in stores() {
        let server = Server::on(store).await;
        let key = server.key(Scope::Write, Some(1)).await;
        let id = campaign(&server, &key, 3).await;
        let mut socket = server.socket(&format!("/ws/campaigns/{id}/progress?token={key}"), &[]).await;
        let first = until(&mut socket, "initial_progress").await;
        assert_eq!((first[0]["type"].as_str(), first[0]["campaign_id"].as_i64()), (Some("connection_ack"), Some(id)));
        let data = &first[1]["data"];
        assert_eq!((data["campaign_id"].as_i64(), data["status"].as_str()), (Some(id), Some("draft")));
        assert_eq!((data["progress"]["total_contacts"].as_i64(), &data["recent_activity"]), (Some(3), &json!([])));
        let connections = server.call(&key, "GET", &format!("/ws/campaigns/{id}/connections"), None).await.json();
        assert_eq!(connections, json!({ "campaign_id": id, "active_connections": 1 }));

        server.call(&key, "POST", &format!("/api/v1/campaigns/{id}/start"), None).await;
        let seen = until(&mut socket, "campaign_completed").await;
        let of = |kind: &str| seen.iter().filter(|message| message["type"] == kind).collect::<Vec<_>>();
        assert_eq!((of("contact_started").len(), of("contact_completed").len()), (3, 3), "{seen:#?}");
        // The documents nest, the client reads flat keys.
        let completed = of("contact_completed")[0];
        for place in [completed, &completed["data"]] {
            assert_eq!((place["outcome"].as_str(), place["status"].as_str()), (Some("success"), Some("completed")));
            assert!(
                place["phone_number"].as_str().unwrap().starts_with("+1212555")
                    && place["name"].is_string()
                    && place["call_sid"].is_string()
            );
        }
        let update = of("contact_update").into_iter().find(|message| message["status"] == "completed").unwrap();
        assert!(update["contact_id"].is_i64() && update["phone_number"].is_string() && update["call_duration"].is_u64(), "{update}");
        assert!(!of("progress_update").is_empty());
        let progress = of("progress").pop().unwrap();
        assert_eq!((progress["completed_contacts"].as_i64(), progress["data"]["completed_contacts"].as_i64()), (Some(3), Some(3)));
        let end = of("campaign_completed")[0];
        assert_eq!(
            (end["total_contacts"].as_i64(), end["success_rate"].as_f64(), end["data"]["failed_contacts"].as_i64()),
            (Some(3), Some(100.0), Some(0))
        );
        for message in &seen {
            assert!(message.get("timestamp").is_none_or(is_offset_moment), "{message}");
        }

        // Questions.
        say(&mut socket, json!({ "type": "ping" })).await;
        until(&mut socket, "pong").await;
        say(&mut socket, json!({ "type": "request_update" })).await;
        let update = until(&mut socket, "progress_update").await.pop().unwrap();
        assert_eq!((update["data"]["status"].as_str(), update["data"]["progress"]["completed"].as_i64()), (Some("completed"), Some(3)));
        say(&mut socket, json!({ "type": "request_history", "hours": 24 })).await;
        let history = until(&mut socket, "metrics_history").await.pop().unwrap();
        assert_eq!(history["data"].as_array().unwrap().last().unwrap()["completed"], 3);
        say(&mut socket, json!({ "type": "nonsense" })).await;
        until(&mut socket, "error").await;
        socket.send(Message::text("no JSON")).await.unwrap();
        until(&mut socket, "error").await;
        socket.send(Message::Ping(vec![7].into())).await.unwrap();
        let pong = loop {
            if let Some(Ok(Message::Pong(data))) = socket.next().await {
                break data;
            }
        };
        assert_eq!(pong.as_ref(), [7]);
    }
}

#[tokio::test]
async fn the_monitor_shows_one_organisation_and_tells_what_was_subscribed() {
    let server = Server::on("sqlite").await;
    let (key, other) = (server.key(Scope::Write, Some(1)).await, server.key(Scope::Write, Some(2)).await);
    let (id, silent, theirs) = (campaign(&server, &key, 2).await, campaign(&server, &key, 2).await, campaign(&server, &other, 1).await);
    let mut socket = server.socket(&format!("/ws/campaigns/monitor?token={key}"), &[]).await;
    let overview = until(&mut socket, "campaigns_overview").await.pop().unwrap();
    let listed: Vec<i64> =
        overview["data"]["campaigns"].as_array().unwrap().iter().map(|one| one["campaign_id"].as_i64().unwrap()).collect();
    assert_eq!(listed, [silent, id]);
    say(&mut socket, json!({ "type": "subscribe", "campaign_id": theirs })).await;
    until(&mut socket, "error").await;
    say(&mut socket, json!({ "type": "subscribe", "campaign_id": id })).await;
    let first = until(&mut socket, "progress_update").await;
    assert_eq!(first[0], json!({ "type": "subscribed", "campaign_id": id }));
    for started in [silent, id] {
        server.call(&key, "POST", &format!("/api/v1/campaigns/{started}/start"), None).await;
        server.engine.wait(campaign_core::id::CampaignId(started)).await.unwrap();
    }
    let seen = until(&mut socket, "campaign_completed").await;
    assert!(
        seen.iter().all(|message| message["campaign_id"].as_i64().or(message["data"]["campaign_id"].as_i64()) == Some(id)),
        "{seen:#?}"
    );
    say(&mut socket, json!({ "type": "unsubscribe", "campaign_id": id })).await;
    until(&mut socket, "unsubscribed").await;
    say(&mut socket, json!({ "type": "request_status" })).await;
    until(&mut socket, "campaigns_overview").await;
}

#[tokio::test]
async fn a_slow_reader_holds_nobody_and_is_told_what_it_missed() {
    let server = Server::with("sqlite", SimulatedDialer::new(CarrierProfile::instant(), 1), |options| {
        support::open(options);
        options.socket_buffer = 16;
    })
    .await;
    let id = campaign(&server, "", 6000).await;
    let mut slow = server.slow_socket(&format!("/ws/campaigns/{id}/progress")).await;
    until(&mut slow, "initial_progress").await;
    server.call("", "POST", &format!("/api/v1/campaigns/{id}/start"), None).await;
    // It reads nothing while the whole campaign runs, and the campaign runs all the same.
    let progress = server.engine.wait(campaign_core::id::CampaignId(id)).await.unwrap();
    assert_eq!(progress.completed_contacts, 6000);
    let seen = until(&mut slow, "missed").await;
    assert!(seen.last().unwrap()["count"].as_u64().unwrap() > 0);
    // Fresh counters follow, and the socket still works.
    let fresh = until(&mut slow, "progress_update").await.pop().unwrap();
    assert!(fresh["data"]["progress"]["completed"].is_u64());
    say(&mut slow, json!({ "type": "ping" })).await;
    until(&mut slow, "pong").await;
}

#[tokio::test]
async fn many_watchers_all_see_the_end() {
    let server = Server::with("sqlite", SimulatedDialer::instant(), support::open).await;
    let id = campaign(&server, "", 20).await;
    let mut sockets = Vec::new();
    for _ in 0..100 {
        let mut socket = server.socket(&format!("/ws/campaigns/{id}/progress"), &[]).await;
        until(&mut socket, "initial_progress").await;
        sockets.push(socket);
    }
    server.call("", "POST", &format!("/api/v1/campaigns/{id}/start"), None).await;
    futures_util::future::join_all(sockets.iter_mut().map(|socket| until(socket, "campaign_completed"))).await;
}

/// The opcodes of the frames that come, and the code that the last one closes with; nothing is ever answered.
async fn listen_only(server: &Server, path: &str) -> (Vec<u8>, u16) {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    let mut opcodes = Vec::new();
    loop {
        opcodes.push(stream.read_u8().await.unwrap() & 0x0f);
        let length = match stream.read_u8().await.unwrap() {
            126 => u64::from(stream.read_u16().await.unwrap()),
            127 => stream.read_u64().await.unwrap(),
            length => u64::from(length),
        };
        let mut body = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        if opcodes.last() == Some(&8) {
            return (opcodes, u16::from_be_bytes([body[0], body[1]]));
        }
    }
}

#[tokio::test]
async fn a_reader_that_answers_pings_stays_and_one_that_does_not_is_closed() {
    let server = Server::with("sqlite", SimulatedDialer::instant(), |options| {
        support::open(options);
        options.socket_ping_interval = std::time::Duration::from_millis(100);
    })
    .await;
    let id = campaign(&server, "", 1).await;
    let path = format!("/ws/campaigns/{id}/progress");
    let (opcodes, code) = listen_only(&server, &path).await;
    let pings = opcodes.iter().filter(|opcode| **opcode == 9).count();
    assert_eq!((pings, code), (2, 1001), "two pings without an answer, then the end");
    // A library answers by itself, as long as the socket is read.
    let mut reader = server.socket(&path, &[]).await;
    until(&mut reader, "initial_progress").await;
    let mut pings = 0;
    while pings < 12 {
        match reader.next().await.unwrap().unwrap() {
            Message::Ping(_) => pings += 1,
            message => panic!("{message:?}"),
        }
    }
    server.call("", "POST", &format!("/api/v1/campaigns/{id}/start"), None).await;
    until(&mut reader, "campaign_completed").await;
}

#[tokio::test]
async fn a_revoked_key_and_a_stopped_engine_end_sockets() {
    let server = Server::with("sqlite", SimulatedDialer::instant(), |options| {
        options.socket_ping_interval = std::time::Duration::from_millis(50);
        options.max_sockets = 2;
    })
    .await;
    let (key, second) = (server.key(Scope::Write, Some(1)).await, server.key(Scope::Write, Some(1)).await);
    let id = campaign(&server, &key, 1).await;
    let path = |key: &str| format!("/ws/campaigns/{id}/progress?token={key}");
    let mut one = server.socket(&path(&key), &[]).await;
    let mut two = server.socket(&path(&second), &[]).await;
    until(&mut one, "initial_progress").await;
    until(&mut two, "initial_progress").await;
    assert_eq!(next(&mut server.socket(&path(&key), &[]).await).await, Err(1013));
    let listed = server.keys.list().await.unwrap();
    server.keys.revoke(&listed[0].id).await.unwrap();
    assert_eq!(next(&mut one).await, Err(1008));
    server.engine.stop(None).await.unwrap();
    let end = loop {
        if let Err(code) = next(&mut two).await {
            break code;
        }
    };
    assert_eq!(end, 1001);
}

#[tokio::test]
async fn a_deleted_campaign_and_a_stopped_engine_end_sockets_that_hear_nothing() {
    let server = Server::with("sqlite", SimulatedDialer::instant(), |options| {
        options.socket_ping_interval = std::time::Duration::from_millis(50);
    })
    .await;
    let key = server.key(Scope::Write, Some(1)).await;
    let id = campaign(&server, &key, 1).await;
    let mut watcher = server.socket(&format!("/ws/campaigns/{id}/progress?token={key}"), &[]).await;
    let mut monitor = server.socket(&format!("/ws/campaigns/monitor?token={key}"), &[]).await;
    until(&mut watcher, "initial_progress").await;
    until(&mut monitor, "campaigns_overview").await;
    assert_eq!(server.call(&key, "DELETE", &format!("/api/v1/campaigns/{id}"), None).await.status, 200);
    assert_eq!(next(&mut watcher).await, Err(4004));
    server.engine.stop(None).await.unwrap();
    assert_eq!(next(&mut monitor).await, Err(1001));
}
