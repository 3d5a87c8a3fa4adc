//! The assistant behind chat completions, against a service that does whatever services do.

#![allow(clippy::unwrap_used, missing_docs)]

use campaign_core::assistant::{Assistant, Dialogue, OpenAiAssistant, OpenAiOptions, Piece, Tool, Turn};
use campaign_core::contact::{ContactSource, NewContact, Variables, ZoneKey};
use campaign_core::conversation::ToolCall;
use campaign_core::id::{CampaignId, ContactId};
use campaign_core::outcome::Channel;
use campaign_core::phone::PhoneNumber;
use campaign_core::{Kind, Result};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn dialogue() -> Dialogue {
    Dialogue {
        channel: Channel::Sms,
        campaign_id: CampaignId(1),
        campaign_name: "Reminders".into(),
        contact_id: ContactId(2),
        person: Arc::new(NewContact {
            phone: PhoneNumber::from_e164("+12125550123").unwrap(),
            name: Some("Ana".to_owned()),
            email: None,
            company: None,
            zones: ZoneKey::unknown(),
            variables: Variables::new(),
            consent: None,
            source: ContactSource::Api,
        }),
        system_prompt: "You are Eva.".to_owned(),
        agenda: Some("The appointment.".to_owned()),
        turns: vec![
            Turn::Person("A table".to_owned()),
            Turn::Tool(ToolCall { id: "call-1".to_owned(), name: "book".to_owned(), arguments: json!({ "what": "a table" }) }),
            Turn::Result { id: "call-1".to_owned(), text: "Noted".to_owned() },
        ],
        tools: vec![Tool::OptOut, Tool::Book],
        max_characters: Some(459),
        options: Arc::default(),
    }
}

/// Reads one request: its head and its body.
async fn request(stream: &mut TcpStream) -> (String, Value) {
    let mut read = Vec::new();
    let end = loop {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the request ended early");
        read.extend_from_slice(&buffer[..count]);
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8(read[..end].to_vec()).unwrap().to_lowercase();
    let length: usize = head.split("content-length:").nth(1).and_then(|rest| rest.lines().next()).unwrap().trim().parse().unwrap();
    while read.len() < end + length {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.unwrap();
        read.extend_from_slice(&buffer[..count]);
    }
    (head, serde_json::from_slice(&read[end..]).unwrap())
}

/// What one request is answered with.
struct Reply {
    status: &'static str,
    body: String,
    /// Bytes per piece, so that letters are cut in two.
    piece: usize,
    /// Whether the body ends as HTTP says; otherwise the connection breaks.
    whole: bool,
}

fn ok(body: &str) -> Reply {
    Reply { status: "200 OK", body: body.to_owned(), piece: 3, whole: true }
}

async fn reply(mut stream: TcpStream, reply: Reply) -> (String, Value) {
    let asked = request(&mut stream).await;
    let head =
        format!("HTTP/1.1 {}\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n", reply.status);
    stream.write_all(head.as_bytes()).await.unwrap();
    for piece in reply.body.as_bytes().chunks(reply.piece) {
        let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
        chunk.extend_from_slice(piece);
        chunk.extend_from_slice(b"\r\n");
        // Whoever has heard enough hangs up.
        if stream.write_all(&chunk).await.is_err() {
            return asked;
        }
        stream.flush().await.unwrap();
    }
    if reply.whole {
        let _ = stream.write_all(b"0\r\n\r\n").await;
    }
    asked
}

fn assistant(address: std::net::SocketAddr) -> OpenAiAssistant {
    let mut extra = Variables::new();
    extra.insert("temperature".to_owned(), json!(0.2));
    OpenAiAssistant::new(OpenAiOptions {
        base_url: format!("http://{address}/v1/"),
        api_key: Some("sk-secret".to_owned()),
        model: "small".to_owned(),
        extra,
        timeout: Duration::from_secs(10),
    })
    .unwrap()
}

async fn ask(reply_with: Reply) -> (Result<Vec<Piece>>, (String, Value)) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let assistant = assistant(listener.local_addr().unwrap());
    let served = async { reply(listener.accept().await.unwrap().0, reply_with).await };
    let asked = async {
        let mut answer = assistant.answer(dialogue()).await?;
        let mut pieces = Vec::new();
        while let Some(piece) = answer.next().await {
            pieces.push(piece?);
        }
        Ok(pieces)
    };
    tokio::join!(asked, served)
}

fn chunk(delta: Value, finish: Option<&str>) -> String {
    format!("data: {}\n\n", json!({ "id": "x", "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] }))
}

fn text(pieces: &[Piece]) -> String {
    pieces.iter().filter_map(|piece| if let Piece::Text(text) = piece { Some(text.as_str()) } else { None }).collect()
}

#[tokio::test]
async fn a_stream_in_every_shape_makes_one_answer() {
    let usage = "data: {\"id\":\"x\",\"choices\":[],\"usage\":{\"total_tokens\":9}}\n\n";
    let hello = [
        chunk(json!({ "role": "assistant", "content": "" }), None),
        chunk(json!({ "content": "¡Añ" }), None),
        chunk(json!({ "content": "o 😀!" }), None),
    ];
    let hello = hello.concat();
    let stop = chunk(json!({}), Some("stop"));
    for (what, body) in [
        ("as documented", format!("{hello}{stop}{usage}data: [DONE]\n\n")),
        ("comments and blank lines", format!(": OPENROUTER PROCESSING\n\n\n{hello}: keep-alive\n\n{stop}data: [DONE]\n\n")),
        ("no end", format!("{hello}{stop}")),
        ("no end and no finish", hello.clone()),
        ("no blank line at the end", format!("{hello}{}", stop.trim_end())),
        ("other line endings", format!("{hello}{stop}data: [DONE]\n\n").replace('\n', "\r\n")),
        ("what follows the end", format!("{hello}data: [DONE]\n\ndata: nonsense\n\n")),
        ("fields of others", hello.replace("\"id\":\"x\"", "\"id\":\"x\",\"provider\":{\"a\":1},\"error\":null") + &stop),
        (
            "a refusal",
            [chunk(json!({ "refusal": "¡Año" }), None), chunk(json!({ "content": null, "refusal": " 😀!" }), Some("stop"))].concat(),
        ),
    ] {
        let (pieces, (head, request)) = ask(ok(&body)).await;
        let pieces = pieces.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(text(&pieces), "¡Año 😀!", "{what}");
        assert!(head.starts_with("post /v1/chat/completions ") && head.contains("authorization: bearer sk-secret"));
        assert_eq!((&request["stream"], &request["stream_options"]["include_usage"]), (&json!(true), &json!(true)));
        assert_eq!((&request["model"], &request["temperature"]), (&json!("small"), &json!(0.2)));
        let roles: Vec<_> = request["messages"].as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["system", "user", "assistant", "tool"]);
        assert_eq!(request["messages"][3]["tool_call_id"], request["messages"][2]["tool_calls"][0]["id"]);
        let tools: Vec<_> = request["tools"].as_array().unwrap().iter().map(|tool| tool["function"]["name"].as_str().unwrap()).collect();
        assert_eq!(tools, ["opt_out", "book"]);
    }
}

#[tokio::test]
async fn tools_come_in_pieces() {
    let part = |index: u64, id: Option<&str>, name: Option<&str>, arguments: &str| json!({ "tool_calls": [{ "index": index, "id": id, "type": "function", "function": { "name": name, "arguments": arguments } }] });
    let body = [
        chunk(json!({ "content": "One moment." }), None),
        chunk(part(0, Some("a"), Some("book"), ""), None),
        chunk(part(0, None, None, "{\"what\":\"a ta"), None),
        chunk(part(1, Some("b"), Some("opt_out"), ""), None),
        chunk(part(0, None, None, "ble\"}"), None),
        chunk(json!({}), Some("tool_calls")),
        "data: [DONE]\n\n".to_owned(),
    ];
    let (pieces, _) = ask(ok(&body.concat())).await;
    let call = |id: &str, name: &str, arguments: Value| Piece::Tool(ToolCall { id: id.to_owned(), name: name.to_owned(), arguments });
    let expected =
        [Piece::Text("One moment.".to_owned()), call("a", "book", json!({ "what": "a table" })), call("b", "opt_out", json!({}))];
    assert!(pieces.unwrap() == expected);
    // Arguments that are never whole are not guessed.
    let (pieces, _) =
        ask(ok(&[chunk(part(0, Some("a"), Some("book"), "{\"what\":"), None), chunk(json!({}), Some("length"))].concat())).await;
    assert_eq!(pieces.unwrap_err().kind(), Kind::Provider);
}

#[tokio::test]
async fn what_goes_wrong_is_an_error_without_what_was_said() {
    let begun = chunk(json!({ "content": "marker-text" }), None);
    let error = "data: {\"error\":{\"message\":\"marker-text\",\"type\":\"server_error\",\"code\":\"overloaded\"}}\n\n";
    for (what, reply, says) in [
        ("an error in the stream", ok(&format!("{begun}{error}")), "overloaded"),
        ("no chunk", ok(&format!("{begun}data: marker-text\n\n")), "no chunk"),
        ("filtered", ok(&(begun.clone() + &chunk(json!({}), Some("content_filter")))), "filter"),
        ("broken", Reply { whole: false, ..ok(&begun) }, "broke"),
        ("no UTF-8", Reply { body: begun.clone() + "data: ", ..ok("") }, ""),
        ("refused", Reply { status: "429 Too Many Requests", ..ok("{\"error\":\"marker-text\"}") }, "429"),
    ] {
        let (pieces, _) = ask(reply).await;
        match pieces {
            // Half a field at the end is no event.
            Ok(pieces) => assert!(what == "no UTF-8" && text(&pieces) == "marker-text", "{what}"),
            Err(error) => {
                let shown = format!("{error} {error:?}");
                assert!(shown.contains(says) && !shown.contains("marker-text") && !shown.contains("sk-secret"), "{what}: {shown}");
            }
        }
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = assistant(nobody).answer(dialogue()).await.err().unwrap();
    assert_eq!(refused.kind(), Kind::Provider);
}

#[tokio::test]
async fn dropping_the_answer_hangs_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let assistant = assistant(listener.local_addr().unwrap());
    let endless = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        let piece = chunk(json!({ "content": "on and " }), None);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        // Until the other side is gone.
        while stream.write_all(piece.as_bytes()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    let heard = async {
        let mut answer = assistant.answer(dialogue()).await.unwrap();
        for _ in 0..3 {
            assert!(answer.next().await.unwrap().is_ok());
        }
        drop(answer);
    };
    tokio::join!(endless, heard);
}

#[test]
fn options_are_checked_and_not_shown() {
    let options = OpenAiOptions { api_key: Some("sk-secret".to_owned()), ..OpenAiOptions::default() };
    assert!(!format!("{options:?}").contains("sk-secret"));
    assert_eq!(OpenAiAssistant::new(options.clone()).unwrap_err().kind(), Kind::Invalid);
    let options = OpenAiOptions { model: "small".to_owned(), ..options };
    let no_url = OpenAiOptions { base_url: "nowhere".to_owned(), ..options.clone() };
    assert_eq!(OpenAiAssistant::new(no_url).unwrap_err().kind(), Kind::Invalid);
    assert!(!format!("{:?}", OpenAiAssistant::new(options).unwrap()).contains("sk-secret"));
}
