//! Judges by others: ElevenLabs' own client and verifier, and the reference implementations of Standard Webhooks in Python and JavaScript.
//!
//! `scripts/vendors.sh` installs them; without them these tests fail, they are never left out.

#![allow(clippy::unwrap_used, missing_docs)]
#![expect(clippy::disallowed_methods, reason = "the judges look at the wall clock, so what they judge is signed by it")]

use campaign_core::Engine;
use campaign_core::campaign::CampaignSpec;
use campaign_core::dialer::elevenlabs::sign_webhook;
use campaign_core::dialer::webhook::{WebhookConfig, WebhookDialer};
use campaign_core::dialer::{CallbackResponse, Dialer as _};
use campaign_core::executor::TokioExecutor;
use campaign_core::http::signature::WebhookSecret;
use campaign_core::import::{ImportOptions, ImportSource};
use campaign_core::outcome::Disposition;
use campaign_core::store::{AttemptQuery, MemoryStore};
use campaign_core::testkit::dialer::{find_request, sample_request};
use campaign_tests::tree::root;
use campaign_tests::vendors::elevenlabs::{ElevenLabs, KEY};
use campaign_tests::vendors::loopback::{Reply, Server};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn judge(script: &str, arguments: &[&str]) -> Value {
    let vendors = root().join(".build/vendors");
    for needed in [vendors.join("py/ready"), vendors.join("node/ready")] {
        assert!(needed.exists(), "{} is missing: run scripts/vendors.sh, which installs the vendors' own clients", needed.display());
    }
    let program = if script.ends_with(".py") { vendors.join("py/bin/python") } else { PathBuf::from("node") };
    let mut command = Command::new(program);
    command.env("VENDORS_NODE", vendors.join("node/")).arg(root().join("tests/vendors").join(script)).args(arguments);
    let output = command.output().unwrap_or_else(|error| panic!("{script} does not run: {error}"));
    assert!(output.status.success(), "{script} finds fault:\n{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn about(script: &str, verb: &[&str], cases: &Value) -> Vec<Value> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cases.json");
    std::fs::write(&file, cases.to_string()).unwrap();
    let said = judge(script, &[verb, &[file.to_str().unwrap()]].concat());
    assert_eq!(said.as_array().unwrap().len(), cases.as_array().unwrap().len());
    said.as_array().unwrap().clone()
}

#[test]
fn their_client_works_with_the_simulator() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let vendor = ElevenLabs::start(Arc::new(TokioExecutor::current().unwrap())).unwrap();
    let said = judge("elevenlabs_judge.py", &[&vendor.url(), KEY]);
    // Listed only after the lag, as the real ones may be.
    assert_eq!((&said["conversation_id"], &said["listed"]), (&json!("conv_0001"), &json!([])));
    assert_eq!(vendor.hand_offs("judge-1"), 1);
}

#[test]
fn their_verifier_takes_our_signatures_and_refuses_what_we_refuse() {
    let now = Timestamp::now();
    let body = json!({ "type": "post_call_transcription", "data": { "said": "¿Qué tal? ☎" } }).to_string();
    let of = |secret: &str, at: Timestamp, signed: &str, body: &str| json!({ "secret": secret, "signature": sign_webhook(&signed.into(), at, body.as_bytes()), "body": body });
    let cases = json!([
        of("wsec_1", now, "wsec_1", &body),
        of("wsec_1", now - SignedDuration::from_mins(29), "wsec_1", &body),
        of("wsec_1", now - SignedDuration::from_mins(31), "wsec_1", &body),
        of("wsec_1", now, "wsec_2", &body),
        { "secret": "wsec_1", "signature": sign_webhook(&"wsec_1".into(), now, b"{}"), "body": body },
    ]);
    let verified: Vec<bool> = about("webhook_judge.py", &["elevenlabs"], &cases).iter().map(|said| said["verified"] == true).collect();
    assert_eq!(verified, [true, true, false, false, false]);
}

#[test]
fn the_reference_implementations_take_our_signatures_and_we_take_theirs() {
    let secret = WebhookSecret::parse(SECRET).unwrap();
    let now = Timestamp::now();
    let of = |seconds: i64, body: &str, tampered: bool| {
        let at = Timestamp::from_second(now.as_second() + seconds).unwrap();
        let signature = secret.sign("msg_1", at, if tampered { b"{}" } else { body.as_bytes() });
        json!({ "secret": SECRET, "id": "msg_1", "seconds": at.as_second(), "body": body, "signature": signature })
    };
    let cases = json!([
        of(0, r#"{"said":"¿Qué tal? ☎"}"#, false),
        of(-290, "{}", false),
        of(-310, "{}", false),
        of(310, "{}", false),
        of(0, "{ }", true)
    ]);
    for (script, verb) in [("webhook_judge.py", &["standard"] as &[&str]), ("webhook_judge.mjs", &[])] {
        let said = about(script, verb, &cases);
        let verified: Vec<bool> = said.iter().map(|said| said["verified"] == true).collect();
        assert_eq!(verified, [true, true, false, false, false], "{script}");
        for (case, said) in cases.as_array().unwrap().iter().zip(&said) {
            let (seconds, body) = (case["seconds"].as_i64().unwrap(), case["body"].as_str().unwrap());
            let theirs = said["signature"].as_str().unwrap();
            let at = Timestamp::from_second(seconds).unwrap();
            secret.verify("msg_1", &seconds.to_string(), theirs, body.as_bytes(), at).unwrap_or_else(|error| panic!("{script}: {error}"));
        }
    }
}

/// The example, as a program of its own; ends when its input does.
struct Receiver(Child);

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_receiver_of_the_documentation_works() {
    let mut command = Command::new("python3");
    command.arg(root().join("examples/python/webhook_receiver.py")).arg(SECRET).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut receiver = Receiver(command.spawn().unwrap());
    let mut url = String::new();
    BufReader::new(receiver.0.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let url = url.trim().to_owned();

    let engine: Arc<OnceLock<Engine>> = Arc::default();
    let slot = Arc::clone(&engine);
    let program = Server::start(move |request| {
        let engine = slot.get().cloned();
        async move {
            let CallbackResponse { status, body, .. } = match engine {
                Some(engine) => engine.callback(request.into_callback()).await,
                None => CallbackResponse::status(503),
            };
            Reply::Answer { status, headers: Vec::new(), body }
        }
    })
    .unwrap();
    let config = WebhookConfig {
        url: url.clone(),
        status_url: Some(url),
        secret: SECRET.into(),
        callback_url: Some(format!("{}/webhook-dialer", program.url())),
        // Only the callback can be quick enough for the patience of a test.
        poll_seconds: 600,
        ..WebhookConfig::default()
    };
    let dialer = WebhookDialer::new(config).unwrap();
    let built = Engine::builder().store(MemoryStore::new()).dialer(dialer.clone()).build().await.unwrap();
    let built = engine.get_or_init(|| built);
    let spec = CampaignSpec::call("receiver").with(|spec| (spec.max_attempts, spec.rate_limit_per_minute) = (1, None));
    let id = built.create_campaign(spec.build().unwrap()).await.unwrap().id;
    let rows = ["+12025550141", "+12025550149"].map(|phone| json!({ "phone": phone }).as_object().cloned().unwrap()).to_vec();
    built.import_contacts(id, ImportSource::Rows(rows), ImportOptions::default()).await.unwrap();
    built.start(id).await.unwrap();
    built.wait(id).await.unwrap();
    let attempts = built.executions(AttemptQuery { campaign: Some(id), ..AttemptQuery::default() }).await.unwrap().items;
    let mut ends: Vec<Disposition> = attempts.iter().filter_map(|attempt| attempt.disposition()).collect();
    ends.sort();
    assert_eq!(ends, [Disposition::Answered, Disposition::Busy]);
    let answered = attempts.iter().find(|attempt| attempt.disposition() == Some(Disposition::Answered)).unwrap();
    assert_eq!(answered.outcome.clone().unwrap().data["answers"]["satisfied"], true);

    let now = Timestamp::now();
    let mut question = find_request(&sample_request(1, answered.step.channel, now), now, now, None);
    question.key = Arc::clone(&answered.key);
    let found = dialer.find(question.clone()).await.unwrap();
    assert!(matches!(found, campaign_core::dialer::Found::Ended(outcome) if outcome.duration_seconds == 12));
    question.key = "nobody-1".into();
    assert!(matches!(dialer.find(question).await.unwrap(), campaign_core::dialer::Found::NeverHappened));
}
