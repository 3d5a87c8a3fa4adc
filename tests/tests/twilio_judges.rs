//! Judges by others: Twilio's own clients, signature validators and segment calculator, against the simulator and against us.
//!
//! `scripts/vendors.sh` installs them; without them these tests fail, they are never left out.

#![allow(clippy::unwrap_used, missing_docs)]

use campaign_core::dialer::twilio::{TwilioConfig, TwilioDialer};
use campaign_core::dialer::{CallbackError, CallbackRequest, Dialer as _};
use campaign_core::executor::SharedExecutor;
use campaign_core::http::signature::{hex, sha256};
use campaign_core::template::sms::segments;
use campaign_tests::tree::root;
use campaign_tests::vendors::twilio::{ACCOUNT, CallEnd, Fate, TOKEN, Twilio};
use campaign_tests::vendors::world::quick_clock;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

fn command(judge: &str) -> Command {
    let vendors = root().join(".build/vendors");
    let program = match judge {
        "twilio_judge.py" => vendors.join("py/bin/python"),
        _ => PathBuf::from("node"),
    };
    for needed in [vendors.join("py/ready"), vendors.join("node/ready")] {
        assert!(needed.exists(), "{} is missing: run scripts/vendors.sh, which installs the vendors' own clients", needed.display());
    }
    let mut command = Command::new(program);
    command.env("VENDORS_NODE", vendors.join("node/")).arg(root().join("tests/vendors").join(judge));
    command
}

/// What a judge prints.
fn judged(judge: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Value {
    let output = command(judge).args(arguments).output().unwrap_or_else(|error| panic!("{judge} does not run: {error}"));
    read(judge, &output)
}

fn read(judge: &str, output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{judge} finds fault:\n{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What it says about each case.
fn about(judge: &str, verb: &str, cases: &Value) -> Vec<Value> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cases.json");
    std::fs::write(&file, cases.to_string()).unwrap();
    let said = judged(judge, [OsStr::new(verb), file.as_os_str()]);
    assert_eq!(said.as_array().unwrap().len(), cases.as_array().unwrap().len());
    said.as_array().unwrap().clone()
}

async fn client_works(judge: &'static str) {
    let clock: SharedExecutor = Arc::new(quick_clock(10));
    let twilio = Twilio::start(clock).await;
    twilio.otherwise(Fate { ring: Duration::from_secs(2), ..Fate::ends(CallEnd::Answered(Duration::from_secs(3))) });
    // Nobody picks up at this number, so that there is time to take the call back.
    for number in ["+12025550112", "+12025550121"] {
        let ends = if number.ends_with("21") { CallEnd::Answered(Duration::from_secs(3)) } else { CallEnd::NoAnswer };
        twilio.next(number, Fate::ends(ends));
    }
    twilio.next("+12025550121", Fate::ends(CallEnd::NoAnswer));
    let mut command = command(judge);
    command.args(["client", &twilio.url(), ACCOUNT, TOKEN]);
    let output = tokio::process::Command::from(command).output().await.unwrap();
    assert_eq!(read(judge, &output), json!({"client": "ok"}));
    assert_eq!(twilio.complaints(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_python_client_works_against_the_simulator() {
    client_works("twilio_judge.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_node_client_works_against_the_simulator() {
    client_works("twilio_judge.mjs").await;
}

/// Numbers that follow from a seed.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.next(of.len())]
    }
}

/// A request as it was signed, and as it came in.
#[derive(Clone)]
struct Case {
    base: &'static str,
    tail: String,
    fields: Option<Vec<(String, String)>>,
    body: String,
    secret: &'static str,
    settings: Option<&'static str>,
    signature: String,
}

impl Case {
    fn json(&self) -> Value {
        json!({
            "url": format!("{}{}", self.base, self.tail), "fields": self.fields, "body": self.body, "secret": self.secret,
            "settings": self.settings, "signature": self.signature,
        })
    }
}

const BASES: &[&str] = &[
    "https://calls.example.org",
    "https://calls.example.org:8443",
    "http://calls.example.org",
    "http://calls.example.org:80",
    "https://calls.example.org/a/path",
];
const SECRETS: &[&str] = &["a-token", "another-token"];
const SHARED_KEY: &str = "key=key1,algorithm=HMAC_SHA256";
const NAMES: &[&str] = &["CallSid", "From", "To", "Body", "a", "A", "Zoë", "MediaUrl0", "_", "ErrorCode"];
const VALUES: &[&str] = &["", "CA123", "+34 631", "Hola, ¿qué tal?", "a&b=c", "😀", "100%", "line\nbreak", "0", "z", "Ω"];

fn random_case(random: &mut Random) -> Case {
    let mut tail = format!("/twilio/{}", random.one(&["status", "message", "inbound", "voice", "amd", "relay-end"]));
    let mut query = vec![format!("attempt={}", random.next(1_000_000))];
    if random.next(3) == 0 {
        query.push((*random.one(&["x=%20y", "empty=", "a=1&a=2", "q=%C3%A9"])).to_owned());
    }
    let mut fields = None;
    let mut body = String::new();
    if random.next(4) == 0 {
        body = format!("{{\"text\": \"{}\"}}", random.one(&["Hola", "é", "x"]));
        query.push(format!("bodySHA256={}", hex(&sha256(body.as_bytes()))));
    } else {
        fields = Some((0..random.next(9)).map(|_| ((*random.one(NAMES)).to_owned(), (*random.one(VALUES)).to_owned())).collect());
    }
    tail = format!("{tail}?{}", query.join("&"));
    let settings = (random.next(4) == 0).then_some(SHARED_KEY);
    Case { base: random.one::<&str>(BASES), tail, fields, body, secret: random.one::<&str>(SECRETS), settings, signature: String::new() }
}

/// The request with one thing changed; 0 leaves it alone.
fn change(case: &Case, how: usize, random: &mut Random) -> Case {
    let mut case = case.clone();
    match how {
        1 => case.tail.push_str("&more=1"),
        2 => case.tail = case.tail.replacen("attempt=", "attempt=9", 1),
        3 => case.secret = if case.secret == SECRETS[0] { SECRETS[1] } else { SECRETS[0] },
        4 => drop(case.signature.pop()),
        5 => case.signature = case.signature.to_lowercase(),
        6 => match &mut case.fields {
            Some(fields) => fields.push(("New".to_owned(), (*random.one(VALUES)).to_owned())),
            None => case.body.push(' '),
        },
        7 => match &mut case.fields {
            Some(fields) if !fields.is_empty() => drop(fields.remove(0)),
            _ => case.body.clear(),
        },
        8 => match &mut case.fields {
            // The same field twice: left out by everybody.
            Some(fields) if !fields.is_empty() => fields.push(fields[0].clone()),
            _ => case.body = case.body.replace('x', "y"),
        },
        // The same address with and without its usual port, and another port.
        9 => {
            case.base = match case.base {
                "http://calls.example.org" => "http://calls.example.org:80",
                "http://calls.example.org:80" => "http://calls.example.org",
                "https://calls.example.org:8443" => "https://calls.example.org",
                "https://calls.example.org" => "https://calls.example.org:8443",
                other => other,
            }
        }
        10 => case.settings = if case.settings.is_some() { None } else { Some(SHARED_KEY) },
        11 => case.settings = Some("key=key1,algorithm=HMAC_SHA512"),
        _ => {}
    }
    case
}

/// What we say.
fn ours(dialers: &mut HashMap<(&'static str, &'static str), TwilioDialer>, case: &Case) -> bool {
    let dialer = dialers.entry((case.base, case.secret)).or_insert_with(|| {
        let config = TwilioConfig::new(ACCOUNT, case.secret).public_base_url(case.base);
        TwilioDialer::new(config.with(|config| drop(config.webhook_keys.insert("key1".to_owned(), case.secret.to_owned())))).unwrap()
    });
    let form = |fields: &Vec<(String, String)>| url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let kind = if case.fields.is_some() { "application/x-www-form-urlencoded" } else { "application/json" };
    let mut headers = vec![("Content-Type".to_owned(), kind.to_owned()), ("X-Twilio-Signature".to_owned(), case.signature.clone())];
    headers.extend(case.settings.map(|settings| ("X-Twilio-Webhooks-Signature-Settings".to_owned(), settings.to_owned())));
    let body = case.fields.as_ref().map_or_else(|| case.body.clone(), form).into_bytes();
    let request = CallbackRequest { method: "POST".to_owned(), url: case.tail.clone(), headers, body };
    !matches!(dialer.callbacks().unwrap().read(&request, Timestamp::UNIX_EPOCH), Err(CallbackError::Unsigned))
}

#[test]
fn the_official_validators_accept_and_reject_what_we_do() {
    let mut random = Random(0x5DEE_CE66_D1CE_4E5B);
    let mut signed: Vec<Case> = (0..250).map(|_| random_case(&mut random)).collect();
    let signatures = about("twilio_judge.py", "sign", &signed.iter().map(Case::json).collect());
    for (case, signature) in signed.iter_mut().zip(signatures) {
        case.signature = signature.as_str().unwrap().to_owned();
    }
    let cases: Vec<Case> = signed
        .iter()
        .flat_map(|case| (0..12).map(|how| (case, how)).collect::<Vec<_>>())
        .map(|(case, how)| change(case, how, &mut random))
        .collect();
    let described: Value = cases.iter().map(Case::json).collect();
    let python = about("twilio_judge.py", "signatures", &described);
    // The official Node.js package does not know shared keys yet.
    let plain: Vec<usize> = (0..cases.len()).filter(|index| cases[*index].settings.is_none()).collect();
    let node = about("twilio_judge.mjs", "signatures", &plain.iter().map(|index| cases[*index].json()).collect());
    let mut dialers = HashMap::new();
    let own: Vec<bool> = cases.iter().map(|case| ours(&mut dialers, case)).collect();
    for (index, case) in cases.iter().enumerate() {
        assert_eq!(own[index], python[index].as_bool().unwrap(), "Python differs on change {}: {}", index % 12, case.json());
    }
    for (index, said) in plain.iter().zip(&node) {
        assert_eq!(own[*index], said.as_bool().unwrap(), "Node.js differs on change {}: {}", index % 12, cases[*index].json());
    }
    let accepted = own.iter().filter(|fits| **fits).count();
    assert!(accepted >= 500 && own.len() - accepted >= 1_500, "{accepted} of {} were accepted", own.len());
    assert!(plain.len() > 1_500, "{}", plain.len());
}

#[test]
fn segments_are_those_of_twilios_calculator() {
    // Each kind of character by itself and all of them mixed, in lengths around every boundary.
    const KINDS: &[&[&str]] = &[
        &["a", "Z", "0", " ", "!", "\n"],
        &["€", "^", "{", "}", "[", "]", "~", "|", "\\", "\u{c}"],
        &["é", "ñ", "Ω", "ß", "ü", "¿", "Å"],
        &["ç", "’", "á", "ж", "中", "`", "\t"],
        &["😀", "🎉", "𝒳", "🇪🇸"],
        &["\r\n", "\r"],
        &["e\u{301}", "👩‍👩‍👧", "👍🏽"],
    ];
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let mut texts: Vec<String> = Vec::new();
    for kind in KINDS {
        for character in *kind {
            texts.extend(
                [1, 33, 34, 35, 36, 66, 67, 68, 70, 71, 76, 77, 80, 81, 134, 135, 152, 153, 154, 160, 161, 306, 307]
                    .map(|count| character.repeat(count)),
            );
        }
    }
    while texts.len() < 20_000 {
        let kinds: Vec<usize> = (0..=random.next(3)).map(|_| random.next(KINDS.len())).collect();
        let length = 1 + if random.next(2) == 0 { *random.one(&[69, 70, 133, 134, 152, 159, 305, 458]) } else { random.next(500) };
        let mut text = String::new();
        for _ in 0..length {
            // Mostly plain, so that one rare character falls at every place.
            let kind = if random.next(8) == 0 { kinds[random.next(kinds.len())] } else { kinds[0] };
            text.push_str(random.one::<&str>(KINDS[kind]));
        }
        texts.push(text);
    }
    let theirs = about("twilio_judge.mjs", "segments", &json!(texts));
    let mut encodings = HashMap::new();
    for (text, said) in texts.iter().zip(&theirs) {
        let size = segments(text);
        assert_eq!(json!([size.encoding, size.segments]), *said, "{} characters: {text:?}", text.chars().count());
        *encodings.entry(size.encoding).or_insert(0) += 1;
    }
    assert!(encodings.values().all(|count| *count > 2_000), "{encodings:?}");
}
