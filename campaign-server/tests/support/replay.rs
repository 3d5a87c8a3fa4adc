//! Conversations with a server, as data: a list of steps.
//!
//! A step sends (`send`, with `body`, `raw`, `form` or `xlsx`) and says which `status` and `answer` it expects, or waits until a campaign has
//! ended (`wait`). An answer is a part: what is in it must be there; lists must be whole; fields under `exactly` must be equal. `<int>`,
//! `<number>`, `<text>`, `<moment>`, `<any>` and `<starts ...>` stand for values, `{name}` for what an earlier step saved. `headers` are
//! those that the answer must carry. Every answer is checked against the OpenAPI document as well.

use super::{Answer, Server, form};
use campaign_core::id::CampaignId;
use campaign_server::auth::Scope;
use serde_json::{Map, Value, json};

/// What earlier steps saved.
type Saved = Map<String, Value>;

fn filled(value: &Value, saved: &Saved) -> Value {
    match value {
        Value::String(text) => {
            let name = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            name.and_then(|name| saved.get(name)).cloned().unwrap_or_else(|| value.clone())
        }
        Value::Array(items) => items.iter().map(|item| filled(item, saved)).collect(),
        Value::Object(object) => object.iter().map(|(key, value)| (key.clone(), filled(value, saved))).collect::<Map<_, _>>().into(),
        other => other.clone(),
    }
}

fn path(text: &str, saved: &Saved) -> String {
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    saved.iter().fold(text.to_owned(), |path, (name, value)| path.replace(&format!("{{{name}}}"), &shown(value)))
}

/// Where an answer is not what it should be.
fn difference(expected: &Value, found: &Value, at: &str) -> Option<String> {
    let wrong = || Some(format!("{at}: expected {expected}, found {found}"));
    match (expected, found) {
        (Value::String(pattern), _) if pattern.starts_with('<') && pattern.ends_with('>') => {
            let ok = match pattern.as_str() {
                "<any>" => true,
                "<int>" => found.is_i64() || found.is_u64(),
                "<number>" => found.is_number(),
                "<text>" => found.as_str().is_some_and(|text| !text.is_empty()),
                "<moment>" => found.as_str().is_some_and(|text| text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok()),
                other => found
                    .as_str()
                    .zip(other.strip_prefix("<starts "))
                    .is_some_and(|(text, start)| text.starts_with(start.trim_end_matches('>'))),
            };
            if ok { None } else { wrong() }
        }
        (Value::Object(expected), Value::Object(found)) => {
            let exactly: Vec<&str> =
                expected.get("exactly").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
            expected.iter().filter(|(name, _)| *name != "exactly").find_map(|(name, value)| {
                let place = format!("{at}/{name}");
                let Some(found) = found.get(name) else { return Some(format!("{place}: expected {value}, found nothing")) };
                if exactly.contains(&name.as_str()) && value != found {
                    return Some(format!("{place}: expected exactly {value}, found {found}"));
                }
                difference(value, found, &place)
            })
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => expected
            .iter()
            .zip(found)
            .enumerate()
            .find_map(|(index, (expected, found))| difference(expected, found, &format!("{at}/{index}"))),
        (Value::Number(expected), Value::Number(found)) if expected.as_f64() == found.as_f64() => None,
        _ if expected == found => None,
        _ => wrong(),
    }
}

/// The OpenAPI document, to check answers against.
struct Document(Value);

impl Document {
    async fn of(server: &Server) -> Self {
        Self(server.send("GET", "/openapi.json", &[], "").await.json())
    }

    /// The documented path that a path is one of; plain ones before those with names in them.
    fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        let path = path.split('?').next().unwrap_or_default().trim_end_matches('/');
        let fits = |template: &str| {
            let (ours, theirs): (Vec<&str>, Vec<&str>) = (path.split('/').collect(), template.split('/').collect());
            ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(ours, theirs)| theirs.starts_with('{') || ours == theirs)
        };
        let paths = self.0["paths"].as_object()?;
        let mut found: Vec<(&String, &Value)> = paths.iter().filter(|(template, _)| fits(template)).collect();
        found.sort_by_key(|(template, _)| template.matches('{').count());
        found.first()?.1.get(method.to_lowercase())
    }

    fn check(&self, method: &str, path: &str, answer: &Answer) {
        let Some(operation) = self.operation(method, path) else {
            return assert!(matches!(answer.status, 404 | 405), "{method} {path} is not documented: {}", answer.status);
        };
        let response = &operation["responses"][answer.status.to_string()];
        assert!(response.is_object(), "{method} {path}: {} is not documented", answer.status);
        let schema = &response["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{method} {path}: {} has no schema", answer.status);
        let whole = json!({ "allOf": [schema], "components": self.0["components"] });
        let validator = jsonschema::validator_for(&whole).expect("a schema");
        let found = answer.json();
        let faults: Vec<String> = validator.iter_errors(&found).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(faults.is_empty(), "{method} {path}: the answer is not as documented:\n{}\n{found:#}", faults.join("\n"));
    }
}

fn spreadsheet(rows: &Value) -> Vec<u8> {
    let mut book = rust_xlsxwriter::Workbook::new();
    let sheet = book.add_worksheet();
    for (row, cells) in rows.as_array().unwrap().iter().enumerate() {
        for (column, cell) in cells.as_array().unwrap().iter().enumerate() {
            sheet.write(row as u32, column as u16, cell.as_str().unwrap()).unwrap();
        }
    }
    book.save_to_buffer().unwrap()
}

async fn step(server: &Server, document: &Document, key: &str, step: &Value, saved: &mut Saved) {
    if let Some(id) = step.get("wait") {
        // Ids of some APIs are hexadecimal digits.
        let id = filled(id, saved);
        let id = id.as_i64().or_else(|| i64::from_str_radix(id.as_str()?, 16).ok()).expect("an id");
        server.engine.wait(CampaignId(id)).await.unwrap();
        return;
    }
    let (method, target) = step["send"].as_str().and_then(|send| send.split_once(' ')).expect("a request");
    let target = path(target, saved);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, body) = if let Some(parts) = step.get("form").and_then(Value::as_array) {
        let content = |part: &Value| match part.get("xlsx") {
            Some(rows) => spreadsheet(rows),
            None => path(&text(&part["content"]), saved).into_bytes(),
        };
        let parts: Vec<(String, Option<String>, Vec<u8>)> =
            parts.iter().map(|part| (text(&part["name"]), part.get("file").map(text), content(part))).collect();
        let parts: Vec<(&str, Option<&str>, &[u8])> =
            parts.iter().map(|(name, file, content)| (name.as_str(), file.as_deref(), content.as_slice())).collect();
        form(&parts)
    } else if let Some(rows) = step.get("xlsx") {
        form(&[("file", Some("book.xlsx"), &spreadsheet(rows))])
    } else if let Some(raw) = step.get("raw") {
        ("application/json".to_owned(), text(raw).into_bytes())
    } else {
        let body = step.get("body").map(|body| filled(body, saved).to_string()).unwrap_or_default();
        ("application/json".to_owned(), body.into_bytes())
    };
    let bearer = format!("Bearer {key}");
    let answer = server.send(method, &target, &[("authorization", &bearer), ("content-type", &kind)], body).await;
    let shown = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(u64::from(answer.status), step["status"].as_u64().expect("a status"), "{method} {target}: {shown}");
    document.check(method, &target, &answer);
    let found = answer.json();
    if let Some(expected) = step.get("answer")
        && let Some(difference) = difference(&filled(expected, saved), &found, "")
    {
        panic!("{method} {target}: {difference}\n{found:#}");
    }
    for (name, expected) in step.get("headers").and_then(Value::as_object).into_iter().flatten() {
        let found = answer.headers.get(name.as_str()).and_then(|value| value.to_str().ok()).map(Value::from).unwrap_or_default();
        if let Some(difference) = difference(expected, &found, name) {
            panic!("{method} {target}: {difference}");
        }
    }
    for (name, pointer) in step.get("save").and_then(Value::as_object).into_iter().flatten() {
        let value = found.pointer(pointer.as_str().unwrap_or_default()).unwrap_or_else(|| panic!("no {pointer} in {found}"));
        saved.insert(name.clone(), value.clone());
    }
}

pub async fn replay(store: &str, conversation: &str) {
    replay_on(Server::on(store).await, conversation).await;
}

/// As [`replay`], on a server of one's own.
pub async fn replay_on(server: Server, conversation: &str) {
    let document = Document::of(&server).await;
    let key = server.key(Scope::Write, Some(7)).await;
    let steps: Vec<Value> = serde_json::from_str(conversation).unwrap();
    let mut saved = Saved::new();
    for one in &steps {
        step(&server, &document, &key, one, &mut saved).await;
    }
}
