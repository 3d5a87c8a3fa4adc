//! What the `campaign` command is configured with: a file, the environment, flags; a later one goes before an earlier one.
//!
//! | file | what is in it |
//! |---|---|
//! | `keys` | every key in one table: its form, default and explanation |
//! | `file` | TOML, with the line of everything in it |
//! | `secrets` | `{ env = ... }` and `{ file = ... }`; what is not shown |
//! | `parts` | carrier, assistant, settings of the node and of the server, made from it |
//! | `telemetry` | where traces are sent |
//!
//! Nothing here is read by the router or the engine: who embeds them gives them settings of his own.

mod file;
mod keys;
mod parts;
mod secrets;
mod telemetry;

pub use keys::{Form, KEYS, Key, find};

use file::Document;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The file that is read when none is named and it is there.
pub const FILE: &str = "campaign.toml";

/// Keys whose secrets only those need who dial, answer or send traces.
const MAY_MISS_SECRETS: [&str; 3] = ["dialer", "assistant", "telemetry.headers"];
/// How the names of the keys of telemetry begin.
const TELEMETRY: &str = "telemetry.";

/// Looks up an environment variable.
pub type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// A file and a line; line 0 stands for the file as a whole.
    File(PathBuf, usize),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, 0) => write!(f, "{}", path.display()),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// Something wrong with a configuration. Never holds the value: it may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which key, when it is one.
    pub key: Option<String>,
    /// Where it was said.
    pub source: Source,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, source, message } = self;
        match key {
            Some(key) => write!(f, "{source}: `{key}` {message}"),
            None => write!(f, "{source}: {message}"),
        }
    }
}

/// A value and where it comes from.
struct Setting {
    value: Value,
    source: Source,
}

/// What was given on the command line.
#[derive(Clone, Default)]
pub struct Given {
    /// The file that was named.
    pub file: Option<PathBuf>,
    /// Values by key, each with the flag that gave it.
    pub flags: Vec<(&'static str, Value, &'static str)>,
}

// Values may be secrets.
impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given")
            .field("file", &self.file)
            .field("keys", &self.flags.iter().map(|(key, ..)| *key).collect::<Vec<_>>())
            .finish()
    }
}

impl Given {
    /// Adds a flag when it was given.
    pub fn flag(&mut self, key: &'static str, flag: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.flags.push((key, value.into(), flag));
        }
    }

    /// As [`Given::flag`], for what the command line gives as a text.
    pub fn text(&mut self, key: &'static str, flag: &'static str, text: Option<&str>) {
        if let (Some(text), Some(known)) = (text, find(key)) {
            self.flags.push((key, known.parse(text), flag));
        }
    }
}

/// A configuration that was read, and whose values have the right form.
#[derive(Default)]
pub struct Configuration {
    settings: BTreeMap<&'static str, Setting>,
    document: Document,
    /// What is wrong with keys that only some commands go by: told to those.
    later: Vec<(&'static str, Fault)>,
}

// Values may be secrets.
impl fmt::Debug for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Configuration").field("keys", &self.settings.keys().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

impl Configuration {
    /// Reads the file, the environment and the flags.
    ///
    /// Secrets of the carrier, of the assistant and of telemetry may be missing: who never uses those need not know them. Whoever asks for
    /// one of them is told.
    ///
    /// # Errors
    /// Everything that is wrong, at once: unknown keys, values of the wrong form, other secrets that are not where they should be.
    pub fn read(given: &Given, environment: &Environment<'_>) -> Result<Self, Vec<Fault>> {
        let (configuration, faults) = Self::read_what_can_be(given, environment);
        if faults.is_empty() { Ok(configuration) } else { Err(faults) }
    }

    fn read_what_can_be(given: &Given, environment: &Environment<'_>) -> (Self, Vec<Fault>) {
        let named = given.file.clone().or_else(|| environment("CAMPAIGN_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from));
        let path = named.or_else(|| Some(PathBuf::from(FILE)).filter(|path| path.is_file()));
        let (document, mut faults) = path.map_or_else(Default::default, |path| file::read(&path));
        let mut configuration = Self { settings: BTreeMap::new(), document, later: Vec::new() };
        for key in KEYS {
            if let Some(value) = key.default_value() {
                configuration.settings.insert(key.name, Setting { value, source: Source::Default });
            }
        }
        let broken: Vec<Source> = faults.iter().filter(|fault| fault.key.is_none()).map(|fault| fault.source.clone()).collect();
        configuration.take_file(environment, &mut faults);
        // What was made of a line that is no TOML is no mistake of its own.
        faults.retain(|fault| fault.key.is_none() || !broken.contains(&fault.source));
        configuration.take_environment(environment, &mut faults);
        for (name, value, flag) in &given.flags {
            if let Some(key) = find(name) {
                let source = Source::Flag((*flag).to_owned());
                let fetched = fetched(key, value.clone(), &|_| source.clone(), environment);
                configuration.take_fetched(key, fetched, source, &mut faults);
            }
        }
        (configuration, faults)
    }

    fn take_file(&mut self, environment: &Environment<'_>, faults: &mut Vec<Fault>) {
        let mut found: Vec<(String, Value)> = Vec::new();
        flatten(&self.document.root, "", &mut found);
        for (place, value) in found {
            let source = |place: &str| self.document.source(place);
            let Some(key) = find(&place) else {
                let message = unknown(&place);
                faults.push(Fault { source: source(&place), key: Some(place), message });
                continue;
            };
            let fetched = fetched(key, value, &source, environment);
            let source = source(&place);
            self.take_fetched(key, fetched, source, faults);
        }
    }

    fn take_environment(&mut self, environment: &Environment<'_>, faults: &mut Vec<Fault>) {
        for key in KEYS {
            let own = key.variable();
            let usual = key.usual_variables().iter().map(|name| (*name).to_owned());
            let set = |name: String| Some((environment(&name).filter(|text| !text.is_empty())?, name));
            let Some((text, name)) = std::iter::once(own.clone()).chain(usual).find_map(set) else { continue };
            let source = Source::Environment(name.clone());
            let value = key.parse(&text);
            // A list of headers is no table: one of them may be called `env`.
            let is_table = text.trim_start().starts_with('{');
            let fetched = if is_table { fetched(key, value, &|_| source.clone(), environment) } else { Ok(value) };
            // What others understand otherwise than we do must not stand in the way of commands that have nothing to do with it.
            match fetched.as_ref().ok().and_then(|value| key.fit(value).err()) {
                Some(message) if name != own && key.name.starts_with(TELEMETRY) => {
                    self.later.push((key.name, Fault { key: Some(key.name.to_owned()), source, message }));
                }
                // Of other programs `RUST_LOG` may name targets alone.
                Some(_) if name == "RUST_LOG" && keys::is_filter(&text) => {
                    self.settings.insert(key.name, Setting { value: text.into(), source });
                }
                _ => self.take_fetched(key, fetched, source, faults),
            }
        }
    }

    fn take_fetched(&mut self, key: &'static Key, fetched: Result<Value, Vec<Fault>>, source: Source, faults: &mut Vec<Fault>) {
        match fetched {
            Ok(value) => self.take(key, value, source, faults),
            Err(missing) if MAY_MISS_SECRETS.contains(&key.name) => {
                self.later.retain(|(name, _)| *name != key.name);
                self.later.extend(missing.into_iter().map(|fault| (key.name, fault)));
            }
            Err(missing) => faults.extend(missing),
        }
    }

    fn take(&mut self, key: &'static Key, value: Value, source: Source, faults: &mut Vec<Fault>) {
        let value = match (key.form, &value) {
            // The whole list can lie elsewhere: `headers = { env = "NAME" }`.
            (Form::Headers, Value::String(text)) => key.parse(text),
            _ => value,
        };
        match key.fit(&value) {
            Ok(()) => {
                // What it replaces need not be in order.
                self.later.retain(|(name, _)| *name != key.name);
                self.settings.insert(key.name, Setting { value, source });
            }
            Err(message) => faults.push(Fault { key: Some(key.name.to_owned()), source, message }),
        }
    }

    /// What is wrong with these keys and was not told yet.
    fn told_later(&self, of: &str) -> Result<(), Vec<Fault>> {
        let faults: Vec<Fault> = self.later.iter().filter(|(name, _)| name.starts_with(of)).map(|(_, fault)| fault.clone()).collect();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// The file that was read.
    pub fn file(&self) -> Option<&Path> {
        Some(self.document.path.as_path()).filter(|path| !path.as_os_str().is_empty())
    }

    /// Whether somebody said something about this key.
    pub fn is_given(&self, key: &str) -> bool {
        self.settings.get(key).is_some_and(|setting| setting.source != Source::Default)
    }

    fn value(&self, key: &str) -> Option<&Value> {
        debug_assert!(find(key).is_some(), "no key {key}");
        self.settings.get(key).map(|setting| &setting.value)
    }

    fn source(&self, key: &str) -> Source {
        self.settings.get(key).map_or(Source::Default, |setting| setting.source.clone())
    }

    /// A text; empty when there is none.
    pub fn text(&self, key: &str) -> &str {
        self.value(key).and_then(Value::as_str).unwrap_or_default()
    }

    fn whole(&self, key: &str) -> Option<u64> {
        self.value(key).and_then(Value::as_u64)
    }

    /// Seconds as a span of time.
    pub fn seconds(&self, key: &str) -> Option<std::time::Duration> {
        self.value(key).and_then(Value::as_f64).and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok())
    }

    fn flag(&self, key: &str) -> bool {
        self.value(key).and_then(Value::as_bool).unwrap_or_default()
    }

    /// Every key with its value, secrets replaced by dots, and its source; keys that have no value are left out.
    pub fn shown(&self) -> Vec<(&'static str, Value, String)> {
        let of = |key: &'static Key| {
            let Setting { value, source } = self.settings.get(key.name)?;
            Some((key.name, secrets::shown(key.name, value), source.to_string()))
        };
        KEYS.iter().filter_map(of).collect()
    }

    /// Environment variables that begin like ours and mean nothing to us: slips of the pen, most likely. No fault, because others choose
    /// names for our environment as well (an orchestrator that calls a service `campaign`, say).
    pub fn strangers(names: impl Iterator<Item = String>) -> Vec<String> {
        let known: Vec<String> = KEYS.iter().map(Key::variable).collect();
        let ours = ["CAMPAIGN_CONFIG", "CAMPAIGN_WEBHOOK_SECRET"];
        names.filter(|name| name.starts_with("CAMPAIGN_") && !known.contains(name) && !ours.contains(&name.as_str())).collect()
    }
}

/// A table from a file of TOML, or of JSON when its name ends so: for what is no configuration, a campaign say.
///
/// # Errors
/// Everything that is wrong with it.
pub fn table(path: &Path) -> Result<Map<String, Value>, Vec<Fault>> {
    if path.extension().is_none_or(|end| end != "json") {
        let (document, faults) = file::read(path);
        return if faults.is_empty() { Ok(document.root) } else { Err(faults) };
    }
    let fault = |line: usize, message: String| vec![Fault { key: None, source: Source::File(path.to_path_buf(), line), message }];
    let text = std::fs::read_to_string(path).map_err(|error| fault(0, format!("cannot be read: {error}")))?;
    // What was found is not repeated: it may be anything.
    serde_json::from_str(&text).map_err(|error| fault(error.line(), "is no JSON object".to_owned()))
}

/// A value with what lies elsewhere in its place, or what is missing.
fn fetched(key: &Key, mut value: Value, source: &dyn Fn(&str) -> Source, environment: &Environment<'_>) -> Result<Value, Vec<Fault>> {
    let mut missing = Vec::new();
    secrets::fetch(&mut value, key.name, source, environment, &mut missing);
    if missing.is_empty() { Ok(value) } else { Err(missing) }
}

/// Keys by their whole names. A table that is a value of its own is not looked into.
fn flatten(table: &Map<String, Value>, place: &str, found: &mut Vec<(String, Value)>) {
    for (name, value) in table {
        let inner = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
        let section = KEYS.iter().any(|key| key.name.strip_prefix(&inner).is_some_and(|rest| rest.starts_with('.')));
        match value {
            Value::Object(table) if section => flatten(table, &inner, found),
            _ => found.push((inner, value.clone())),
        }
    }
}

fn unknown(place: &str) -> String {
    if KEYS.iter().any(|key| key.name.starts_with(&format!("{place}."))) {
        return "is a table of keys, not a key".to_owned();
    }
    match keys::nearest(place, KEYS.iter().map(|key| key.name)) {
        Some(near) => format!("is no key; did you mean `{near}`?"),
        None => "is no key; `campaign config keys` lists them".to_owned(),
    }
}
