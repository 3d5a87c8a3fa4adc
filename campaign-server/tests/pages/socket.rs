//! The messages of a page, said and heard on the WebSockets of a live campaign.

use super::compare::{How, differences, presentable, pretty};
use super::page::Page;
use super::run::Updates;
use super::world::World;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

type Socket = WebSocketStream<TcpStream>;

async fn next(socket: &mut Socket) -> Value {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
            Some(Ok(_)) => {}
            other => panic!("the WebSocket ended: {other:?}"),
        }
    }
}

/// Reads up to a message of this type.
async fn until(socket: &mut Socket, kind: &str, heard: &mut Vec<Value>) {
    loop {
        let message = next(socket).await;
        let found = message["type"] == kind;
        heard.push(message);
        if found {
            return;
        }
    }
}

/// Says everything, and `ping` after each: its answer comes after the other.
async fn say(socket: &mut Socket, messages: &[Value], heard: &mut Vec<Value>) {
    for message in messages {
        socket.send(Message::text(message.to_string())).await.unwrap();
        if message["type"] != "ping" {
            socket.send(Message::text(r#"{"type": "ping"}"#)).await.unwrap();
        }
        until(socket, "pong", heard).await;
    }
}

/// The messages with this prefix in their titles.
fn blocks(page: &Page, prefix: &str) -> Vec<(usize, Value)> {
    let ours = page.blocks.iter().enumerate().filter(|(_, block)| block.language == "json");
    ours.filter_map(|(index, block)| {
        let kind = block.title.strip_prefix(prefix)?;
        let text = if block.text.is_empty() { "null" } else { &block.text };
        let message: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{}: {error}", page.at(block.line)));
        assert!(message.is_null() || message["type"] == kind, "{}: the title says {kind}", page.at(block.line));
        Some((index, message))
    })
    .collect()
}

/// Carries out a page's conversation; gives the blocks that were part of it.
pub async fn run(page: &Page, updates: &mut Updates) -> Vec<usize> {
    let mut done = Vec::new();
    for (path, sends, events) in
        [("/ws/campaigns/1/progress", "Send: ", "Event: "), ("/ws/campaigns/monitor", "Monitor send: ", "Monitor event: ")]
    {
        let (sends, events) = (blocks(page, sends), blocks(page, events));
        if sends.is_empty() && events.is_empty() {
            continue;
        }
        let world = World::new(&page.fixture).await;
        let bearer = format!("Bearer {}", world.key());
        let mut socket = world.server.socket(path, &[("authorization", &bearer)]).await;
        let said: Vec<Value> = sends.iter().map(|(_, message)| message.clone()).collect();
        let mut heard = Vec::new();
        say(&mut socket, &said, &mut heard).await;
        let complaint = heard.iter().find(|message| message["type"] == "error");
        assert!(complaint.is_none(), "{}: {complaint:?}", page.name);
        world.ask("POST", "/api/v1/campaigns/1/start", None).await;
        world.server.engine.wait(campaign_core::id::CampaignId(1)).await.unwrap();
        if path.ends_with("progress") {
            until(&mut socket, "campaign_completed", &mut heard).await;
        }
        say(&mut socket, &said, &mut heard).await;
        for (index, documented) in &events {
            let block = &page.blocks[*index];
            let kind = block.title.rsplit(' ').next().unwrap_or_default();
            // What a history holds depends on the time of day.
            let how = if kind == "metrics_history" { How::Form } else { How::Exactly };
            let alike: Vec<&Value> = heard.iter().filter(|message| message["type"] == kind).collect();
            assert!(!alike.is_empty(), "{}: no message of this type came", page.at(block.line));
            let closest = alike.iter().map(|message| differences(documented, message, how)).min_by_key(Vec::len).unwrap_or_default();
            if !closest.is_empty() && !updates.take(block, pretty(&presentable(alike[alike.len() - 1], world.began))) {
                panic!("{}: no message is like this:\n{}", page.at(block.line), closest.join("\n"));
            }
        }
        done.extend(sends.iter().chain(&events).map(|(index, _)| *index));
    }
    done
}
