//! The `campaign` command as a process, for the tests that use it.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test file uses a part of it")]

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};

/// The program.
pub const CAMPAIGN: &str = env!("CARGO_BIN_EXE_campaign");

/// A folder with a store, in which the command is used.
pub struct Desk {
    pub folder: tempfile::TempDir,
    pub store: String,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Said {
    /// The JSON on the standard output of a command that did what it was asked.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }
}

impl Desk {
    pub fn on_sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = format!("sqlite://{}", folder.path().join("campaigns.db").display());
        Self { folder, store }
    }

    pub fn on_postgres() -> Self {
        let server = campaign_tests::postgres::Server::shared();
        let store = format!("{}?schema={}", server.url(), campaign_tests::postgres::Server::schema());
        Self { folder: tempfile::tempdir().unwrap(), store }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The command with these arguments, in this folder and on this store, with nothing of the environment it could go by.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(CAMPAIGN);
        command.args(arguments).current_dir(self.folder.path()).env_remove("RUST_LOG");
        let ours = |name: &str| ["CAMPAIGN_", "OTEL_"].iter().any(|beginning| name.starts_with(beginning));
        for (name, _) in std::env::vars_os().filter(|(name, _)| ours(&name.to_string_lossy())) {
            command.env_remove(name);
        }
        command.env("CAMPAIGN_STORE", &self.store);
        command
    }

    pub fn campaign(&self, arguments: &[&str]) -> Said {
        self.command(arguments).output().unwrap().into()
    }

    /// The same, as JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        self.campaign(&[arguments, &["--json"]].concat()).json()
    }

    /// Starts it, and reads what it says on the standard error.
    pub fn start(&self, arguments: &[&str]) -> Running {
        self.start_with(arguments, &[])
    }

    /// The same, with variables of the environment.
    pub fn start_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Running {
        let mut command = self.command(arguments);
        let mut child = command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Running { child, lines, said: Vec::new() }
    }

    /// Starts a server with a carrier that reaches everybody at once, and waits until it listens.
    pub fn serve(&self, arguments: &[&str]) -> (Running, String) {
        self.serve_with(arguments, &[])
    }

    /// The same, with variables of the environment.
    pub fn serve_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> (Running, String) {
        let mut server = self.start_with(&[&["serve", "--log-json", "--log-level", "info"], arguments].concat(), variables);
        let line = server.until("\"listening\"");
        let line: Value = serde_json::from_str(&line).unwrap();
        let address = line["fields"]["address"].as_str().unwrap().to_owned();
        (server, address)
    }

    /// A file of so many people.
    pub fn people(&self, name: &str, count: usize) -> PathBuf {
        let rows: String = (0..count).map(|index| format!("+1212555{index:04},Person {index},UTC\n")).collect();
        self.write(name, &format!("phone_number,name,time_zone\n{rows}"))
    }
}

/// A process that ends with the test, however that ends.
pub struct Running {
    child: Child,
    lines: BufReader<ChildStderr>,
    /// What it has said so far.
    pub said: Vec<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Waits for a line with this text on the standard error.
    pub fn until(&mut self, text: &str) -> String {
        self.until_it(|line| line.contains(text), text)
    }

    pub fn until_it(&mut self, fits: impl Fn(&str) -> bool, what: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).unwrap();
            assert!(read > 0, "it ended without saying {what:?}: {:?}", self.said);
            self.said.push(line.trim_end().to_owned());
            if fits(&line) {
                return line;
            }
        }
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub fn end(&mut self) -> ExitStatus {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        self.said.extend(rest.lines().map(str::to_owned));
        self.child.wait().unwrap()
    }

    /// What it wrote to the standard output, after its end.
    pub fn output(&mut self) -> String {
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Sends a request without a key; status and body.
pub fn request(address: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).unwrap();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{answer}"));
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    (status, serde_json::from_str(body).unwrap_or_default())
}

/// Whom a simulated carrier was told to reach, by its log: the contact of every hand-off.
pub fn handed_off(log: &Path) -> Vec<i64> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["event"] == "handed_off")
        .filter_map(|line| line["contact_id"].as_i64())
        .collect()
}
