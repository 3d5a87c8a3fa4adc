//! Every key, in one table: what the file, the environment, `campaign config check` and `docs/command.md` go by.

use crate::limits::is_origin;
use axum::http::{HeaderName, HeaderValue};
use campaign_core::phone::{PhoneErrorCode, PhoneNumber};
use serde_json::{Value, json};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Form {
    /// A text.
    Text,
    /// A URL that begins with one of these schemes and a colon.
    Url(&'static [&'static str]),
    /// An address and a port, for example `127.0.0.1:8080`.
    Address,
    /// Two letters of a country whose numbers are known, for example `US`.
    Country,
    /// `true` or `false`.
    Flag,
    /// A whole number in this range.
    Whole(u64, u64),
    /// Seconds, fractions allowed, of at least 0.
    Seconds,
    /// A part of a whole, 0 to 1.
    Fraction,
    /// Headers of HTTP by their names. As a text: `name=value`, separated by commas, values percent-encoded; or JSON.
    Headers,
    /// A list of origins of web pages, for example `https://dashboard.example.com`; in the environment they are separated by commas.
    Origins,
    /// A level of the log, or directives as in `RUST_LOG`.
    Level,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A table, checked where it is used; in the environment it is JSON.
    Table,
}

/// A key of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name; a dot stands between a table and what is in it.
    pub name: &'static str,
    /// What its value looks like.
    pub form: Form,
    /// Its default as JSON; empty for none.
    pub default: &'static str,
    /// What it is, for people.
    pub about: &'static str,
}

impl Key {
    /// The environment variable that sets it, for example `CAMPAIGN_LOG_LEVEL`.
    pub fn variable(&self) -> String {
        format!("CAMPAIGN_{}", self.name.replace('.', "_").to_uppercase())
    }

    /// Variables that other programs go by as well; the first that is set stands for [`Key::variable`] where that is not set.
    pub fn usual_variables(&self) -> &'static [&'static str] {
        match self.name {
            "log.level" => &["RUST_LOG"],
            "telemetry.endpoint" => &[TRACES_ENDPOINT, "OTEL_EXPORTER_OTLP_ENDPOINT"],
            "telemetry.headers" => &["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"],
            "telemetry.service_name" => &["OTEL_SERVICE_NAME"],
            "telemetry.sample_ratio" => &["OTEL_TRACES_SAMPLER_ARG"],
            _ => &[],
        }
    }

    pub(super) fn default_value(&self) -> Option<Value> {
        serde_json::from_str(self.default).ok()
    }

    /// The value, if it fits; otherwise what it must be.
    pub(super) fn fit(&self, value: &Value) -> Result<(), String> {
        let text = value.as_str();
        let number = value.as_f64();
        let (fits, must) = match self.form {
            Form::Text => (text.is_some_and(|text| !text.trim().is_empty()), "must be a text that is not empty".to_owned()),
            Form::Url(schemes) => {
                let known = |text: &str| schemes.iter().any(|scheme| text.split_once(':').is_some_and(|(before, _)| before == *scheme));
                (text.is_some_and(known), format!("must be a URL that begins with {}", listed(schemes, ":")))
            }
            Form::Address => {
                let fits = text.is_some_and(|text| text.parse::<std::net::SocketAddr>().is_ok());
                (fits, "must be an address and a port, for example 127.0.0.1:8080".to_owned())
            }
            Form::Country => (text.is_some_and(is_country), "must be a country of two capital letters, for example US".to_owned()),
            Form::Flag => (value.is_boolean(), "must be true or false".to_owned()),
            Form::Whole(least, most) => {
                let fits = value.as_u64().is_some_and(|number| (least..=most).contains(&number));
                let must = if most == u64::MAX { format!("of at least {least}") } else { format!("from {least} to {most}") };
                (fits, format!("must be a whole number {must}"))
            }
            Form::Seconds => (number.is_some_and(|number| (0.0..=1e9).contains(&number)), "must be seconds, 0 or more".to_owned()),
            Form::Fraction => (number.is_some_and(|number| (0.0..=1.0).contains(&number)), "must be a number from 0 to 1".to_owned()),
            Form::Headers => (headers(value).is_some(), "must be headers of HTTP by their names, each a text".to_owned()),
            Form::Origins => {
                let all: Option<Vec<&str>> = value.as_array().and_then(|all| all.iter().map(Value::as_str).collect());
                let must = if all.as_ref().is_some_and(|all| all.contains(&"*")) {
                    "must name the origins: `*` would let every web page call"
                } else {
                    "must be a list of origins without a path, for example https://dashboard.example.com"
                };
                (all.is_some_and(|all| all.into_iter().all(is_origin)), must.to_owned())
            }
            Form::Level => (text.is_some_and(is_level), LEVELS.to_owned()),
            Form::Choice(words) => (text.is_some_and(|text| words.contains(&text)), format!("must be one of {}", listed(words, ""))),
            Form::Table => (value.is_object(), "must be a table".to_owned()),
        };
        if fits { Ok(()) } else { Err(must) }
    }

    /// A text of the environment or of a flag as a value of this form. What is no such thing stays a text, and does not fit.
    pub(super) fn parse(&self, text: &str) -> Value {
        let as_json = || serde_json::from_str(text).unwrap_or_else(|_| json!(text));
        match self.form {
            Form::Text | Form::Url(_) | Form::Address | Form::Country | Form::Level | Form::Choice(_) => json!(text),
            Form::Origins => text.split(',').map(str::trim).filter(|text| !text.is_empty()).collect(),
            Form::Headers if !text.trim_start().starts_with('{') => header_list(text).unwrap_or_else(|| json!(text)),
            Form::Flag | Form::Whole(..) | Form::Seconds | Form::Fraction | Form::Headers | Form::Table => as_json(),
        }
    }
}

/// What a level of the log must be.
const LEVELS: &str = "must be error, warn, info, debug, trace or off, or directives `target=level` separated by commas";

/// A country whose numbers can be read. Which they are is the phone library's to say.
fn is_country(text: &str) -> bool {
    let two = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    two && !PhoneNumber::parse("0", Some(text)).is_err_and(|error| error.code == PhoneErrorCode::UnknownRegion)
}

/// A word by itself is a level: `RUST_LOG` would take any other one for the name of a target, and log nothing.
fn is_level(text: &str) -> bool {
    let bare = |part: &str| !part.contains(['=', '[', ']', '{', '}']);
    let known = |part: &str| part.is_empty() || !bare(part) || part.parse::<LevelFilter>().is_ok();
    !text.trim().is_empty() && text.split(',').map(str::trim).all(known) && is_filter(text)
}

/// Directives of any kind.
pub(super) fn is_filter(text: &str) -> bool {
    EnvFilter::try_new(text).is_ok()
}

fn listed(words: &[&str], end: &str) -> String {
    words.iter().map(|word| format!("{word}{end}")).collect::<Vec<_>>().join(", ")
}

/// Headers that can be sent.
pub(super) fn headers(value: &Value) -> Option<Vec<(&str, &str)>> {
    let sendable = |name: &str, value: &str| HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_str(value).is_ok();
    let pair = |(name, value)| Some((String::as_str(name), Value::as_str(value)?)).filter(|(name, value)| sendable(name, value));
    value.as_object()?.iter().map(pair).collect()
}

/// `name=value,name=value`, as W3C's baggage without properties: what `OTEL_EXPORTER_OTLP_HEADERS` holds.
fn header_list(text: &str) -> Option<Value> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let read = |entry: &str| {
        let (name, value) = entry.split_once('=')?;
        Some((name.trim().to_lowercase(), json!(percent_decoded(value.trim())?)))
    };
    entries.map(read).collect::<Option<serde_json::Map<_, _>>>().map(Value::Object)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

const fn key(name: &'static str, form: Form, default: &'static str, about: &'static str) -> Key {
    Key { name, form, default, about }
}

/// Unlike its neighbours it names the whole address.
pub(super) const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

/// The schemes of stores.
const STORES: &[&str] = &["sqlite", "postgres", "postgresql", "memory"];

/// Every key.
pub const KEYS: &[Key] = &[
    key("store", Form::Url(STORES), "\"sqlite://campaigns.db\"", "Where everything durable lives."),
    key("region", Form::Country, "\"US\"", "The country whose national numbers are understood."),
    key("listen", Form::Address, "\"127.0.0.1:8080\"", "Where `serve` listens. TLS is left to a proxy in front of it."),
    key("public_url", Form::Url(&["https", "http"]), "", "Where the server is reached from outside; carriers call back below it."),
    key("open", Form::Flag, "false", "Serve everybody on this machine without keys; refused on any other address."),
    key("organization", Form::Whole(1, i64::MAX as u64), "1", "The organisation of what is created on an open server."),
    key("allowed_origins", Form::Origins, "[]", "Web pages of these origins may call the server (CORS)."),
    key("max_upload_mib", Form::Whole(1, 4096), "256", "The largest upload, in MiB."),
    key("patience", Form::Seconds, "60", "How long `serve` waits for running attempts when it stops, in seconds."),
    key("dialer", Form::Table, r#"{"simulated": {}}"#, "The carrier: `simulated`, `twilio`, `elevenlabs`, `webhook`, or `routed`."),
    key("assistant", Form::Table, "", "Who answers people: `openai` or `scripted`. Without it nobody does."),
    key("log.format", Form::Choice(&["text", "json"]), "\"text\"", "How the log is written."),
    key("log.level", Form::Level, "\"info\"", "How much is logged: `error`, `warn`, `info`, `debug`, or directives as in `RUST_LOG`."),
    key("engine.node_name", Form::Text, "", "A name of this node for people; `node-` and the process id without it."),
    key("engine.lease", Form::Seconds, "", "Seconds this node may be silent before others take over its attempts; 15 without it."),
    key("engine.longest_pause", Form::Seconds, "", "Seconds the process may stand still before a hand-off; 10 without it."),
    key("engine.poll_interval", Form::Seconds, "", "Seconds between looks for changes of other processes; 0.5 without it."),
    key("engine.look_ahead", Form::Seconds, "", "Seconds that attempts are claimed ahead; 1 without it."),
    key("engine.batch", Form::Whole(1, 100_000), "", "Contacts per claim, and outcomes per settlement; 1000 without it."),
    key("engine.max_in_flight", Form::Whole(1, u32::MAX as u64), "", "Attempts at once over all campaigns and nodes; no cap without it."),
    key(
        "engine.max_rate",
        Form::Table,
        "",
        "Starts over all campaigns and nodes: `{ starts = 20, per_seconds = 1 }`; no limit without it.",
    ),
    key(
        "engine.doubt_patience",
        Form::Seconds,
        "",
        "Seconds a provider that knows nothing is asked about an attempt in doubt; 600 without it.",
    ),
    key("engine.event_buffer", Form::Whole(16, 10_000_000), "", "Events kept for a slow reader; 4096 without it."),
    key("engine.seed", Form::Whole(0, u64::MAX), "", "Seed of the jitter of retries; 0 without it."),
    key("engine.conversations", Form::Flag, "", "Whether messages become part of conversations; true without it."),
    key("webhooks.timeout", Form::Seconds, "15", "How long the receiver of a webhook may take, in seconds."),
    key(
        "webhooks.reach",
        Form::Choice(&["public", "anywhere"]),
        "\"public\"",
        "Where webhooks may lead: public addresses by https, or anywhere.",
    ),
    key(
        "telemetry.endpoint",
        Form::Url(&["http", "https"]),
        "",
        "Where `serve` and `run` send traces: a collector of OpenTelemetry that takes HTTP, for example `http://127.0.0.1:4318`.",
    ),
    key("telemetry.headers", Form::Headers, "", "Headers of what is sent there, such as a key."),
    key("telemetry.service_name", Form::Text, "\"campaign\"", "What this service is called in traces."),
    key("telemetry.sample_ratio", Form::Fraction, "1", "Which part of the traces that begin here is sent, 0 to 1."),
];

/// The key of this name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Of these names the one that is meant, if it is near enough.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.into_iter().map(|known| (strsim::damerau_levenshtein(name, known), known));
    scored.min_by_key(|(distance, _)| *distance).filter(|(distance, known)| *distance <= 1 + known.len() / 3).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_and_levels_are_known_ones() {
        let fits = |name: &str, value: Value| find(name).unwrap().fit(&value).is_ok();
        for country in ["US", "DE", "GB"] {
            assert!(fits("region", json!(country)), "{country}");
        }
        for country in ["XX", "ZZ", "us", "USA", "", "49"] {
            assert!(!fits("region", json!(country)), "{country}");
        }
        for level in ["info", "WARN", "off", "warn,campaign_core=debug", "campaign_core[attempt]=trace,info"] {
            assert!(fits("log.level", json!(level)), "{level}");
        }
        for level in ["inof", "", " ", "verbose", "info,campaign_core=inof", "campaign_core"] {
            assert!(!fits("log.level", json!(level)), "{level}");
        }
        for origins in [json!(["*"]), json!(["https://a.example/"]), json!(["nonsense"]), json!("https://a.example"), json!([1])] {
            assert!(!fits("allowed_origins", origins.clone()), "{origins}");
        }
        assert!(find("allowed_origins").unwrap().fit(&json!(["*"])).unwrap_err().contains("every web page"));
    }

    #[test]
    fn headers_have_two_forms() {
        let key = find("telemetry.headers").unwrap();
        let listed = key.parse("Authorization=Bearer%20abc%3D, x-team = calls,");
        assert_eq!(listed, json!({ "authorization": "Bearer abc=", "x-team": "calls" }));
        assert_eq!(headers(&listed), Some(vec![("authorization", "Bearer abc="), ("x-team", "calls")]));
        assert_eq!(key.parse(r#"{"a": "b"}"#), json!({ "a": "b" }));
        for text in ["authorization", "a b=c", "a=%0a", "a=%2", "a=%zz", r#"{"a": 1}"#, "=b"] {
            assert!(key.fit(&key.parse(text)).is_err(), "{text}");
        }
        assert!(key.fit(&key.parse("")).is_ok(), "no headers are fine");
    }
}
