//! `campaign serve` and `campaign run` with a service of one's own for a carrier, and with every kind of assistant, by configuration.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod command_support;

use campaign_core::Engine;
use campaign_core::campaign::{CampaignSpec, CampaignSpecBuilder};
use campaign_core::executor::{Executor, TokioExecutor};
use campaign_core::http::signature::WebhookSecret;
use campaign_core::id::CampaignId;
use campaign_core::store::open_store;
use campaign_tests::vendors::loopback::{Reply, Request, Server};
use command_support::{Desk, Running, Said, free_port};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use tokio::sync::mpsc;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OURS: &str = "+12025550100";
const ANA: &str = "+12025550151";

/// Somebody's service, which says what it is told.
struct Service {
    server: Server,
    told: mpsc::UnboundedReceiver<Value>,
}

impl Service {
    /// `answer`: what it says to a hand-over.
    fn start(answer: fn(&str) -> Value) -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        let server = Server::start(move |request| {
            let reply = if genuine(&request) {
                let message = request.json();
                let answer = answer(message["data"]["key"].as_str().unwrap_or_default());
                tell.send(message).unwrap();
                Reply::json(200, &answer)
            } else {
                Reply::json(401, &json!({}))
            };
            async move { reply }
        });
        Self { server: server.unwrap(), told }
    }

    /// What it is told next; it must be of this kind.
    async fn next(&mut self, kind: &str) -> Value {
        let message = self.told.recv().await.unwrap();
        assert_eq!(message["type"], kind, "{message}");
        message["data"].clone()
    }

    /// The table of a configuration that leads here.
    fn table(&self) -> String {
        format!(
            "[dialer.webhook]\nurl = \"{}/attempts\"\nsecret = {{ env = \"SERVICE_SECRET\" }}\nheaders = {{ authorization = \"Bearer own\" }}\n",
            self.server.url()
        )
    }
}

fn genuine(request: &Request) -> bool {
    let header = |name: &str| request.header(name).unwrap_or_default();
    let (id, at, signature) = (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
    let secret = WebhookSecret::parse(SECRET).unwrap();
    header("authorization") == "Bearer own"
        && secret.verify(id, at, signature, &request.body, TokioExecutor::current().unwrap().now()).is_ok()
}

/// Reports something to the server, signed with this secret; the status.
fn report(address: &str, url: &str, id: &str, message: &Value, secret: &str) -> u16 {
    let path = url.strip_prefix(&format!("http://{address}")).unwrap_or_else(|| panic!("{url} does not lead to {address}"));
    let (body, now) = (message.to_string(), TokioExecutor::current().unwrap().now());
    let signature = WebhookSecret::parse(secret).unwrap().sign(id, now, body.as_bytes());
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\nwebhook-id: {id}\r\nwebhook-timestamp: {}\r\n\
         webhook-signature: {signature}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        now.as_second(),
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}

/// A server with this configuration, which can be called back.
fn serve(desk: &Desk, tables: &str) -> (Running, String) {
    let port = free_port();
    desk.write("campaign.toml", &format!("listen = \"127.0.0.1:{port}\"\npublic_url = \"http://127.0.0.1:{port}\"\nopen = true\n{tables}"));
    desk.serve_with(&[], &[("SERVICE_SECRET", SECRET), ("MODEL_KEY", "sk-secret-7")])
}

/// A campaign for one person, made beside the server and started; the server carries it out.
async fn started(desk: &Desk, spec: CampaignSpecBuilder) -> (Engine, CampaignId) {
    let store = open_store(&desk.store).await.unwrap();
    let beside = Engine::builder().shared_store(store).options(|options| options.executes = false).build().await.unwrap();
    let id = beside.create_campaign(spec.build().unwrap()).await.unwrap().id;
    desk.write("one.csv", &format!("phone_number,name,time_zone\n{ANA},Ana,UTC\n"));
    assert_eq!(desk.json(&["import", &id.to_string(), "one.csv"])["imported"], 1);
    beside.start(id).await.unwrap();
    (beside, id)
}

/// Stops a server; what it logged holds none of these.
fn stopped(mut server: Running, secrets: &[&str]) {
    server.signal("-TERM");
    assert_eq!(server.end().code(), Some(0), "{:?}", server.said);
    let log = server.said.join("\n");
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_handed_to_a_service() {
    let mut service = Service::start(|key| {
        let outcome = json!({ "disposition": "answered", "duration_seconds": 61, "cost": 0.02, "provider_ref": format!("svc-{key}") });
        json!({ "state": "ended", "outcome": outcome })
    });
    let desk = Desk::on_sqlite();
    desk.people("people.csv", 3);
    // Nobody can answer back to a run; an assistant in the same configuration stands in nobody's way.
    desk.write("campaign.toml", &format!("{}[assistant.scripted]\notherwise = \"Yes.\"\n", service.table()));
    let run = ["run", "people.csv", "--message", "Hello {{ name }}", "--set", "rate_limit_per_minute=60000"];
    let said: Said = desk.command(&run).env("SERVICE_SECRET", SECRET).output().unwrap().into();
    assert_eq!(said.code, 0, "{said:?}");
    let mut people = Vec::new();
    for _ in 0..3 {
        let attempt = service.next("attempt.dial").await;
        assert_eq!((attempt["channel"].as_str(), &attempt["callback_url"]), (Some("call"), &Value::Null), "nobody listens");
        people.push((attempt["to"].as_str().unwrap().to_owned(), attempt["texts"]["welcome_message"].as_str().unwrap().to_owned()));
    }
    people.sort();
    let told: Vec<(String, String)> = (0..3).map(|index| (format!("+1212555000{index}"), format!("Hello Person {index}"))).collect();
    assert_eq!(people, told);
    assert!(service.told.try_recv().is_err(), "nobody is handed over twice");
    let attempts = desk.json(&["export", "1", "--what", "attempts"]);
    for attempt in attempts.as_array().unwrap() {
        assert_eq!((attempt["disposition"].as_str(), attempt["duration_seconds"].as_i64()), (Some("answered"), Some(61)));
        assert!(attempt["provider_ref"].as_str().unwrap().starts_with("svc-"), "{attempt}");
    }
    let said = desk.campaign(&run);
    assert!(said.code == 2 && said.err.contains("SERVICE_SECRET"), "without its secret nobody dials: {said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_reports_to_the_server() {
    let mut service = Service::start(|key| json!({ "state": "accepted", "provider_ref": format!("svc-{key}") }));
    let desk = Desk::on_sqlite();
    let (server, address) = serve(&desk, &service.table());
    let spec = CampaignSpec::call("Calls").template("welcome_message", "Hello {{ name }}").with(|spec| spec.max_attempts = 1);
    let (beside, id) = started(&desk, spec).await;
    let attempt = service.next("attempt.dial").await;
    let (key, url) = (attempt["key"].as_str().unwrap(), attempt["callback_url"].as_str().unwrap());
    assert_eq!(url, format!("http://{address}/callbacks/webhook-dialer"));
    let ended =
        json!({ "type": "attempt.ended", "data": { "key": key, "outcome": { "disposition": "voicemail", "duration_seconds": 9 } } });
    let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    assert_eq!(report(&address, url, "m-1", &ended, other), 403, "signed by somebody else");
    assert_eq!(report(&address, url, "m-1", &ended, SECRET), 200);
    beside.wait(id).await.unwrap();
    beside.close().await.unwrap();
    let attempts = desk.json(&["export", &id.to_string(), "--what", "attempts"]);
    assert_eq!((attempts.as_array().unwrap().len(), attempts[0]["disposition"].as_str()), (1, Some("voicemail")), "{attempts}");
    assert_eq!(attempts[0]["provider_ref"], format!("svc-{key}"));
    stopped(server, &[SECRET, "Bearer own", ANA, "Hello Ana"]);
}

/// Ana gets a message, writes back, and is answered; what she was answered with.
async fn answered(tables: &str, writes: &str) -> String {
    let mut service = Service::start(|key| json!({ "state": "accepted", "provider_ref": format!("svc-{key}") }));
    let desk = Desk::on_sqlite();
    let (server, address) = serve(&desk, &format!("{}{tables}", service.table()));
    let spec = CampaignSpec::sms("Texts").template("sms_message", "Hi {{ name }}").caller_id(OURS);
    let spec = spec.with(|spec| spec.replies.assistant = true);
    let (beside, id) = started(&desk, spec).await;
    let attempt = service.next("attempt.dial").await;
    assert_eq!((attempt["message"].as_str(), attempt["from_number"].as_str()), (Some("Hi Ana"), Some(OURS)));
    let url = attempt["callback_url"].as_str().unwrap();
    let delivered = json!({ "type": "attempt.ended", "data": { "key": attempt["key"], "outcome": "delivered" } });
    assert_eq!(report(&address, url, "m-1", &delivered, SECRET), 200);
    beside.wait(id).await.unwrap();
    beside.close().await.unwrap();
    let data = json!({ "provider_ref": "in-1", "channel": "sms", "from": ANA, "to": OURS, "text": writes });
    assert_eq!(report(&address, url, "m-2", &json!({ "type": "message.received", "data": data }), SECRET), 200);
    let answer = service.next("message.send").await;
    assert_eq!((answer["to"].as_str(), answer["from"].as_str().or(answer["from_number"].as_str())), (Some(ANA), Some(OURS)), "{answer}");
    stopped(server, &[SECRET, "sk-secret-7", ANA, writes]);
    answer["message"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_answers_people() {
    let script = "[assistant.scripted]\notherwise = \"A colleague will write to you.\"\n[[assistant.scripted.rules]]\ncontains = \"open\"\nsays = \"At nine.\"\n";
    assert_eq!(answered(script, "When do you OPEN tomorrow?").await, "At nine.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_answers_people() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let model = Server::start(move |request| {
        tell.send(request).unwrap();
        let piece = |text: &str| format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": { "content": text } }] }));
        let body = format!("{}{}data: [DONE]\n\n", piece("At half "), piece("past nine."));
        let headers = vec![("content-type".to_owned(), "text/event-stream".to_owned())];
        async move { Reply::Answer { status: 200, headers, body: body.into_bytes() } }
    });
    let model = model.unwrap();
    let table = format!(
        "[assistant.openai]\nmodel = \"small\"\nbase_url = \"{}/v1\"\napi_key = {{ env = \"MODEL_KEY\" }}\nextra = {{ temperature = 0.2 }}\ntimeout = 20\n",
        model.url()
    );
    assert_eq!(answered(&table, "When do you start tomorrow?").await, "At half past nine.");
    let asked = told.recv().await.unwrap();
    assert_eq!((asked.path(), asked.header("authorization")), ("/v1/chat/completions", Some("Bearer sk-secret-7")));
    let body = asked.json();
    assert_eq!((&body["model"], &body["temperature"]), (&json!("small"), &json!(0.2)));
    let last = body["messages"].as_array().unwrap().last().unwrap();
    assert_eq!((last["role"].as_str(), last["content"].as_str()), (Some("user"), Some("When do you start tomorrow?")));
    assert!(told.try_recv().is_err(), "it is asked once");
}
