//! Chat completions as OpenAI streams them, which many services and local models speak as well.
//!
//! What services do differently, and is taken as it comes: comments and blank lines between chunks, letters cut in two by the
//! network, a chunk without choices (the usage), tool arguments in pieces with an id only in the first, an error in the middle of a stream,
//! an end without `[DONE]`.

use super::{Answer, Assistant, Dialogue, Piece, Turn};
use crate::contact::Variables;
use crate::conversation::ToolCall;
use crate::error::{Error, Kind, Result};
use crate::http::{HttpClient, HttpOptions};
use crate::redact::debug_without;
use async_trait::async_trait;
use futures_util::{Stream, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use sse_stream::{Sse, SseByteStream};
use std::collections::{BTreeMap, VecDeque};
use std::io::Cursor;
use std::pin::Pin;
use std::time::Duration;

/// Bytes of one answer that are read, at most.
const LONGEST_ANSWER: usize = 4 << 20;

/// Where and how to ask.
#[derive(Clone)]
pub struct OpenAiOptions {
    /// Before `/chat/completions`, for example `https://api.openai.com/v1`, which is the default.
    pub base_url: String,
    /// The key, if the service wants one.
    pub api_key: Option<String>,
    /// The model. Required.
    pub model: String,
    /// More fields of the request, for example `temperature`; they go before what the engine says.
    pub extra: Variables,
    /// Longest time for a whole answer. Default 60 s.
    pub timeout: Duration,
}

debug_without!(OpenAiOptions { model, timeout } hides { base_url, api_key, extra });

impl Default for OpenAiOptions {
    fn default() -> Self {
        Self {
            base_url: "https://api.openai.com/v1".to_owned(),
            api_key: None,
            model: String::new(),
            extra: Variables::new(),
            timeout: Duration::from_secs(60),
        }
    }
}

/// An assistant behind a service that speaks OpenAI's chat completions.
#[derive(Debug, Clone)]
pub struct OpenAiAssistant {
    client: HttpClient,
    options: OpenAiOptions,
}

impl OpenAiAssistant {
    /// With these options.
    ///
    /// # Errors
    /// [`Kind::Invalid`] without a model or with a base URL that is none.
    pub fn new(options: OpenAiOptions) -> Result<Self> {
        if options.model.trim().is_empty() {
            return Err(Error::invalid("model", "name the model to ask, for example one of the service's list"));
        }
        crate::http::check_url(&options.base_url, crate::http::Reach::Anywhere)?;
        let client = HttpClient::new(HttpOptions { timeout: options.timeout, ..HttpOptions::default() })?;
        Ok(Self { client, options })
    }

    fn request(&self, dialogue: &Dialogue) -> Value {
        let mut messages = vec![json!({ "role": "system", "content": dialogue.instructions() })];
        messages.extend(messages_of(&dialogue.turns));
        let tools: Vec<Value> = dialogue
            .tools
            .iter()
            .map(|tool| {
                let function = json!({ "name": tool.name(), "description": tool.description(), "parameters": tool.parameters() });
                json!({ "type": "function", "function": function })
            })
            .collect();
        let mut request = Variables::new();
        request.insert("model".to_owned(), self.options.model.as_str().into());
        request.insert("messages".to_owned(), messages.into());
        request.insert("stream".to_owned(), true.into());
        request.insert("stream_options".to_owned(), json!({ "include_usage": true }));
        if !tools.is_empty() {
            request.insert("tools".to_owned(), tools.into());
        }
        for (name, value) in &self.options.extra {
            request.insert(name.clone(), value.clone());
        }
        Value::Object(request)
    }
}

/// Turns as messages; tools asked for in one answer belong to one message.
fn messages_of(turns: &[Turn]) -> Vec<Value> {
    let mut messages: Vec<Value> = Vec::new();
    for turn in turns {
        match turn {
            Turn::Person(text) => messages.push(json!({ "role": "user", "content": text })),
            Turn::Assistant(text) => messages.push(json!({ "role": "assistant", "content": text })),
            Turn::Tool(call) => {
                let function = json!({ "name": call.name, "arguments": call.arguments.to_string() });
                let call = json!({ "id": call.id, "type": "function", "function": function });
                match messages.last_mut().filter(|message| message["role"] == "assistant") {
                    Some(message) => match message["tool_calls"].as_array_mut() {
                        Some(calls) => calls.push(call),
                        None => message["tool_calls"] = json!([call]),
                    },
                    None => messages.push(json!({ "role": "assistant", "content": null, "tool_calls": [call] })),
                }
            }
            Turn::Result { id, text } => messages.push(json!({ "role": "tool", "tool_call_id": id, "content": text })),
        }
    }
    messages
}

#[async_trait]
impl Assistant for OpenAiAssistant {
    async fn answer(&self, dialogue: Dialogue) -> Result<Answer> {
        let url = format!("{}/chat/completions", self.options.base_url.trim_end_matches('/'));
        let key = self.options.api_key.as_ref().map(|key| format!("Bearer {key}"));
        let mut headers = vec![("accept", "text/event-stream")];
        headers.extend(key.as_deref().map(|key| ("authorization", key)));
        let body = self.request(&dialogue).to_string().into_bytes();
        let bytes = self.client.stream(&url, &headers, body).await?;
        let mut read = 0;
        let bytes = bytes.map(move |piece: Result<Vec<u8>>| -> Result<Cursor<Vec<u8>>> {
            let piece = piece?;
            read += piece.len();
            if read > LONGEST_ANSWER {
                return Err(Error::new(Kind::Provider, "the answer is longer than we read"));
            }
            Ok(Cursor::new(piece))
        });
        // A last event without the blank line behind it counts, too.
        let bytes = bytes.chain(futures_util::stream::iter([Ok(Cursor::new(b"\n\n".to_vec()))]));
        let reading = Reading { events: Box::pin(SseByteStream::new(bytes)), chunks: Chunks::default(), over: false };
        Ok(futures_util::stream::unfold(reading, Reading::next).boxed())
    }
}

type Events = Pin<Box<dyn Stream<Item = std::result::Result<Sse, sse_stream::Error>> + Send>>;

struct Reading {
    events: Events,
    chunks: Chunks,
    over: bool,
}

impl Reading {
    async fn next(mut self) -> Option<(Result<Piece>, Self)> {
        loop {
            if let Some(piece) = self.chunks.ready.pop_front() {
                return Some((Ok(piece), self));
            }
            if self.over {
                return None;
            }
            let taken = match self.events.next().await {
                Some(Ok(Sse { data: Some(data), .. })) => self.chunks.take(&data),
                Some(Ok(_)) => Ok(false),
                Some(Err(_)) => Err(Error::new(Kind::Provider, "the connection broke in the middle of the answer")),
                None => self.chunks.end().map(|()| true),
            };
            match taken {
                Ok(over) => self.over = over,
                Err(error) => {
                    self.over = true;
                    self.chunks.ready.clear();
                    return Some((Err(error), self));
                }
            }
        }
    }
}

/// Chunks as they come, and the pieces they make.
#[derive(Default)]
struct Chunks {
    ready: VecDeque<Piece>,
    calls: BTreeMap<u64, PartialCall>,
}

#[derive(Default)]
struct PartialCall {
    id: String,
    name: String,
    arguments: String,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Deserialize)]
struct CallDelta {
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<FunctionDelta>,
}

#[derive(Deserialize)]
struct FunctionDelta {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
}

impl Chunks {
    /// Takes the data of one event; whether it was the last.
    fn take(&mut self, data: &str) -> Result<bool> {
        let data = data.trim();
        if data.is_empty() {
            return Ok(false);
        }
        if data == "[DONE]" {
            return self.end().map(|()| true);
        }
        let chunk: Chunk =
            serde_json::from_str(data).map_err(|_| Error::new(Kind::Provider, "the service sent something that is no chunk"))?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(refused(&error));
        }
        for choice in chunk.choices.into_iter().take(1) {
            if let Some(delta) = choice.delta {
                // A refusal is what the model says.
                let text = [delta.content, delta.refusal].into_iter().flatten().filter(|text| !text.is_empty());
                self.ready.extend(text.map(Piece::Text));
                for call in delta.tool_calls.into_iter().flatten() {
                    self.part(call);
                }
            }
            match choice.finish_reason.as_deref() {
                Some("content_filter") => return Err(Error::new(Kind::Provider, "the service's filter held the answer back")),
                Some(_) => self.end()?,
                None => {}
            }
        }
        Ok(false)
    }

    fn part(&mut self, delta: CallDelta) {
        let last = self.calls.last_key_value().map(|(index, _)| *index);
        let index = delta.index.unwrap_or_else(|| match (last, &delta.id) {
            // Without an index, a new id begins another call.
            (Some(last), Some(id)) if self.calls.get(&last).is_some_and(|call| call.id != *id) => last + 1,
            (last, _) => last.unwrap_or(0),
        });
        let call = self.calls.entry(index).or_default();
        if let Some(id) = delta.id.filter(|id| !id.is_empty()) {
            call.id = id;
        }
        if let Some(function) = delta.function {
            call.name.push_str(function.name.as_deref().unwrap_or_default());
            call.arguments.push_str(function.arguments.as_deref().unwrap_or_default());
        }
    }

    /// Tool calls are whole now.
    fn end(&mut self) -> Result<()> {
        for (index, call) in std::mem::take(&mut self.calls) {
            let arguments = match call.arguments.trim() {
                "" => Value::Object(Variables::new()),
                text => serde_json::from_str(text)
                    .map_err(|_| Error::new(Kind::Provider, "the arguments of a tool are not whole").with("tool", index))?,
            };
            let id = if call.id.is_empty() { format!("call-{index}") } else { call.id };
            self.ready.push_back(Piece::Tool(ToolCall { id, name: call.name, arguments }));
        }
        Ok(())
    }
}

/// An error in the stream. Its message may repeat what was asked, so only its code is shown.
fn refused(error: &Value) -> Error {
    let word = |key: &str| {
        let word = error[key].as_str()?;
        let plain = word.len() <= 64 && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        plain.then_some(word)
    };
    let code = word("code").or_else(|| word("type")).unwrap_or("unknown");
    Error::new(Kind::Provider, "the service reported an error in the middle of the answer").with("code", code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_of_one_answer_are_one_message() {
        let call = |id: &str| Turn::Tool(ToolCall { id: id.to_owned(), name: "book".to_owned(), arguments: json!({ "what": "a table" }) });
        let result = |id: &str| Turn::Result { id: id.to_owned(), text: "Noted".to_owned() };
        let turns = [Turn::Person("Hi".to_owned()), call("a"), call("b"), result("a"), result("b"), Turn::Assistant("Done".to_owned())];
        let messages = messages_of(&turns);
        let roles: Vec<&str> = messages.iter().filter_map(|message| message["role"].as_str()).collect();
        assert_eq!(roles, ["user", "assistant", "tool", "tool", "assistant"]);
        assert_eq!(messages[1]["tool_calls"].as_array().map(Vec::len), Some(2));
        assert_eq!(messages[1]["tool_calls"][0]["function"]["arguments"], "{\"what\":\"a table\"}");
    }
}
