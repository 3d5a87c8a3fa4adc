//! Runs every example of a page.

use super::compare::{How, differences, presentable, pretty};
use super::curl::{self, BASE, Body};
use super::fields::{Document, check_answer, check_inputs, check_seen};
use super::page::{Block, Page, Step};
use super::world::World;
use super::{program, socket};
use crate::support::form;
use campaign_core::id::CampaignId;
use campaign_tests::tree::root;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Answers to be written into the page.
#[derive(Default)]
pub struct Updates {
    texts: BTreeMap<usize, (usize, String)>,
}

impl Updates {
    /// Whether answers are to be written instead of compared; then this one is.
    pub fn take(&mut self, block: &Block, text: String) -> bool {
        let wanted = std::env::var_os("UPDATE_DOCS").is_some();
        if wanted {
            self.texts.insert(block.line, (block.text.lines().count(), text));
        }
        wanted
    }

    /// Writes them, from the last to the first, so that lines keep their numbers.
    fn write(self, page: &Page) {
        if self.texts.is_empty() {
            return;
        }
        let path = root().join(format!("docs/{}.mdx", page.name));
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        for (line, (old, new)) in self.texts.iter().rev() {
            lines.splice(*line..line + old, new.lines());
        }
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    }
}

/// A process that ends with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Runner<'a> {
    page: &'a Page,
    world: World,
    document: Document,
    /// Blocks that have been executed, or that an executed one has used.
    done: BTreeSet<usize>,
    /// Answers of the success kind, by the group of operations they answer.
    answers: BTreeMap<usize, Vec<Value>>,
    /// Fields that the page of the campaign object describes.
    known: BTreeSet<String>,
    updates: Updates,
    /// The folder that commands are run in, with the key they have made.
    shell: (tempfile::TempDir, Option<String>),
}

/// Runs a page; panics at the first thing that is not as it says.
pub async fn run(page: Page) {
    let world = World::new(&page.fixture).await;
    let document = Document(world.server.send("GET", "/openapi.json", &[], "").await.json());
    page.endpoints.iter().for_each(|endpoints| check_inputs(&page, endpoints, &document));
    let campaign = Page::read("api-reference/campaigns/get");
    let known = campaign.endpoints[0].fields.iter().filter(|field| field.path.len() == 1).map(|field| field.path[0].clone()).collect();
    let (done, answers) = (BTreeSet::new(), BTreeMap::new());
    let shell = (tempfile::tempdir().unwrap(), None);
    let mut runner = Runner { page: &page, world, document, done, answers, known, updates: Updates::default(), shell };
    for step in &page.steps {
        match step {
            Step::Wait(id) => drop(runner.world.server.engine.wait(CampaignId(*id)).await.unwrap()),
            Step::Block(index) => runner.block(*index).await,
        }
    }
    let programs = program::run(&page).await;
    runner.done.extend(programs);
    let messages = socket::run(&page, &mut runner.updates).await;
    runner.done.extend(messages);
    let skipped: Vec<String> = page
        .blocks
        .iter()
        .enumerate()
        .filter(|(index, _)| !runner.done.contains(index))
        .map(|(_, block)| format!("{}: `{} {}`", page.at(block.line), block.language, block.title))
        .collect();
    assert!(skipped.is_empty(), "nothing has executed these examples:\n{}", skipped.join("\n"));
    for (group, endpoints) in page.endpoints.iter().enumerate() {
        let answers: Vec<&Value> = runner.answers.get(&group).into_iter().flatten().collect();
        let socket_only = endpoints.operations.iter().all(|(_, path)| path.starts_with("/ws/") && !path.ends_with("/connections"));
        assert!(socket_only || !answers.is_empty(), "{}: no example of this endpoint succeeds", page.at(endpoints.line));
        check_seen(&page, endpoints, &answers);
    }
    runner.updates.write(&page);
}

impl Runner<'_> {
    async fn block(&mut self, index: usize) {
        let block = &self.page.blocks[index];
        let done = match block.language.as_str() {
            "bash" if block.text.starts_with("curl ") => self.request(block).await,
            "bash" => self.command(block).await,
            "json" if block.title.starts_with("Part of a campaign") => self.part(block).await,
            _ => return,
        };
        self.done.insert(index);
        self.done.extend(done);
    }

    fn wrong(&self, block: &Block, what: &str) -> ! {
        panic!("{}: {what}", self.page.at(block.line))
    }

    /// The answer that the page gives to a command: its block, and the status.
    fn documented(&self, block: &Block) -> (usize, u16) {
        let answers: Vec<(usize, u16)> = self
            .page
            .blocks
            .iter()
            .enumerate()
            .filter(|(_, other)| other.language == "json")
            .filter_map(|(index, other)| {
                let (status, title) = other.title.split_once(' ')?;
                (title == block.title).then_some((index, status.parse().ok()?))
            })
            .collect();
        match answers.as_slice() {
            [answer] => *answer,
            _ => self.wrong(block, &format!("a command needs one answer, `json <status> {}`", block.title)),
        }
    }

    /// A file of the page.
    fn file(&self, block: &Block, name: &str) -> (usize, String) {
        let found =
            self.page.blocks.iter().enumerate().find(|(_, file)| file.title == name && ["csv", "json"].contains(&file.language.as_str()));
        match found {
            Some((index, file)) => (index, format!("{}\n", file.text)),
            None => self.wrong(block, &format!("the page has no file {name}")),
        }
    }

    async fn request(&mut self, block: &Block) -> Vec<usize> {
        let request = curl::request(&block.text, &self.world.variables).unwrap_or_else(|what| self.wrong(block, &what));
        let (answer, status) = self.documented(block);
        let mut used = vec![answer];
        let mut headers = request.headers.clone();
        let body = match &request.body {
            Body::None => Vec::new(),
            Body::Text(text) => text.clone().into_bytes(),
            Body::File(name) => {
                let (index, text) = self.file(block, name);
                used.push(index);
                text.into_bytes()
            }
            Body::Form(parts) => {
                let mut contents = Vec::new();
                for part in parts {
                    let (file, text) = match part.is_file {
                        true => {
                            let (index, text) = self.file(block, &part.text);
                            used.push(index);
                            (Some(part.text.as_str()), text)
                        }
                        false => (None, part.text.clone()),
                    };
                    contents.push((part.name.as_str(), file, text));
                }
                let parts: Vec<(&str, Option<&str>, &[u8])> =
                    contents.iter().map(|(name, file, text)| (*name, *file, text.as_bytes())).collect();
                let (kind, body) = form(&parts);
                headers.push(("content-type".to_owned(), kind));
                body
            }
        };
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let found = self.world.send(&request.method, &request.path, &headers, body).await;
        let shown = String::from_utf8_lossy(&found.body).into_owned();
        if found.status != status {
            self.wrong(block, &format!("the page says {status}, the server {}: {shown}", found.status));
        }
        // 204 has no body. The server has another port than the pages give it.
        let shown = shown.replace(&self.world.server.address.to_string(), BASE.trim_start_matches("http://"));
        let found = match shown.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|error| self.wrong(block, &error.to_string())),
        };
        self.compare(answer, &found);
        // Ids that are random can be named by the examples behind it.
        for (name, start) in [("WEBHOOK_ID", "whe_"), ("BATCH_ID", "btcal_")] {
            if let Some(id) = beginning(&found, start) {
                self.world.variables.insert(name, id.to_owned());
            }
        }
        if let Some(id) = found["session_id"].as_str() {
            self.world.variables.insert("SESSION_ID", id.to_owned());
        }
        self.remember(&request.method, &request.path, status, &found, block);
        used
    }

    fn compare(&mut self, answer: usize, found: &Value) {
        let block = &self.page.blocks[answer];
        let documented: Value = match block.text.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|error| self.wrong(block, &error.to_string())),
        };
        let differences = differences(&documented, found, How::Exactly);
        if !differences.is_empty() && !self.updates.take(block, pretty(&presentable(found, self.world.began))) {
            panic!("{}: the server answers otherwise:\n{}\n{found:#}", self.page.at(block.line), differences.join("\n"));
        }
    }

    /// Checks a request and its answer against the documented fields of its operation.
    fn remember(&mut self, method: &str, path: &str, status: u16, answer: &Value, block: &Block) {
        let Some((template, _)) = self.document.operation(method, path) else {
            // Unknown paths answer 404, and that is all that can be said.
            return assert_eq!(status, 404, "{}: {method} {path} is not in the OpenAPI document", self.page.at(block.line));
        };
        let of = |(known, name): &(String, String)| known == method && *name == template;
        let group = self.page.endpoints.iter().position(|endpoints| endpoints.operations.iter().any(of));
        if let Some(group) = group.filter(|_| status < 300) {
            check_answer(self.page, &self.page.endpoints[group], answer, &self.known);
            self.answers.entry(group).or_default().push(answer.clone());
        }
    }

    /// Fields of a campaign: one is made with them on a server of its own, and gives them back.
    async fn part(&mut self, block: &Block) -> Vec<usize> {
        let part: Value = serde_json::from_str(&block.text).unwrap_or_else(|error| self.wrong(block, &error.to_string()));
        let mut body = json!({ "name": "Part", "campaign_type": "call", "assistant_id": 123 });
        body.as_object_mut().into_iter().for_each(|body| body.extend(part.as_object().cloned().unwrap_or_default()));
        let world = World::new(&[]).await;
        let made = world.ask("POST", "/api/v1/campaigns", Some(body)).await;
        let kept = world.ask("GET", &format!("/api/v1/campaigns/{}", made["id"]), None).await;
        let differences = differences(&part, &kept, How::Part);
        assert!(differences.is_empty(), "{}: the campaign is otherwise:\n{}", self.page.at(block.line), differences.join("\n"));
        Vec::new()
    }

    /// A `campaign` command: one that makes a key, or one that serves.
    async fn command(&mut self, block: &Block) -> Vec<usize> {
        let inner = block.text.strip_prefix("export CAMPAIGN_API_KEY=$(").and_then(|rest| rest.strip_suffix(')'));
        let words = curl::words(inner.unwrap_or(&block.text), &self.world.variables).unwrap_or_else(|what| self.wrong(block, &what));
        let Some(("campaign", arguments)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) else {
            self.wrong(block, "a command is `curl` or `campaign`")
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_campaign"));
        command.current_dir(self.shell.0.path()).env_remove("CAMPAIGN_STORE").env("RUST_LOG", "info");
        if inner.is_some() {
            let output = command.args(arguments).output().unwrap();
            let key = String::from_utf8(output.stdout).unwrap().trim().to_owned();
            if !output.status.success() || !key.starts_with("cmp_") {
                self.wrong(block, &format!("no key was made: {}", String::from_utf8_lossy(&output.stderr)));
            }
            self.shell.1 = Some(key);
            return Vec::new();
        }
        if arguments.first().is_none_or(|verb| verb != "serve") {
            self.wrong(block, "a command without `export` serves");
        }
        // Any free port, and a log that says which.
        let address = BASE.trim_start_matches("http://");
        assert!(arguments.iter().any(|argument| argument == address), "{}: it listens elsewhere", self.page.at(block.line));
        command.args(arguments.iter().map(|argument| if argument == address { "127.0.0.1:0" } else { argument }));
        let mut serving = Running(command.arg("--log-json").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
        let mut lines = BufReader::new(serving.0.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().unwrap_or_else(|| self.wrong(block, "the server ended")).unwrap();
            let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| self.wrong(block, &line));
            if line["fields"]["message"] == "listening" {
                break line["fields"]["address"].as_str().unwrap().to_owned();
            }
        };
        let key = self.shell.1.clone().unwrap_or_else(|| self.wrong(block, "a key is made first"));
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        let request =
            format!("GET /api/v1/campaigns HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n");
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{}: {answer}", self.page.at(block.line));
        Vec::new()
    }
}

/// The first text of an answer that begins so.
fn beginning<'a>(value: &'a Value, start: &str) -> Option<&'a str> {
    match value {
        Value::String(text) => Some(text.as_str()).filter(|text| text.starts_with(start)),
        Value::Array(items) => items.iter().find_map(|item| beginning(item, start)),
        Value::Object(object) => object.values().find_map(|value| beginning(value, start)),
        _ => None,
    }
}
