//! Outgoing webhooks: who is told of what, signed how; receivers that hang, redirect or fail; and crashes in between.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use campaign_core::dialer::{CarrierProfile, SimulatedDialer};
use campaign_core::executor::{Executor, VirtualExecutor};
use campaign_core::http::Reach;
use campaign_core::store::{ContactStore, MemoryStore, SqliteStore};
use campaign_core::{Engine, Kind, wire};
use campaign_server::auth::Scope;
use campaign_server::webhooks::{ATTEMPTS, EventName, NewEndpoint, RETRY_AFTER, Webhooks, verify};
use campaign_server::{ServerOptions, router};
use campaign_tests::vendors::http::{Reply, Request, Server as Receiver};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Prompt, Server};
use tokio::sync::watch;

const HOOKS: &str = "/api/v1/webhooks";
/// A Monday, 15:00 UTC.
const BEGIN: &str = "2026-03-02T15:00:00Z";

/// What a receiver was sent, in order.
#[derive(Clone)]
struct Inbox(Arc<Mutex<Vec<Request>>>, watch::Sender<usize>);

impl Inbox {
    fn new() -> Self {
        Self(Arc::default(), watch::Sender::new(0))
    }

    fn put(&self, request: Request) {
        let mut all = self.0.lock().unwrap();
        all.push(request);
        self.1.send_replace(all.len());
    }

    fn all(&self) -> Vec<Request> {
        self.0.lock().unwrap().clone()
    }

    /// Waits until what has come in so far is enough.
    async fn until(&self, enough: impl Fn(&[Request]) -> bool) -> Vec<Request> {
        self.1.subscribe().wait_for(|_| enough(&self.0.lock().unwrap())).await.unwrap();
        self.all()
    }

    /// A receiver that answers everything so.
    async fn answering(&self, status: u16, headers: Vec<(String, String)>) -> Receiver {
        let inbox = self.clone();
        Receiver::start(move |request| {
            inbox.put(request);
            let headers = headers.clone();
            async move { Reply::Answer { status, headers, body: Vec::new() } }
        })
        .await
        .unwrap()
    }
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

fn kinds(requests: &[Request]) -> Vec<String> {
    requests.iter().map(|request| body(request)["type"].as_str().unwrap_or_default().to_owned()).collect()
}

fn has(requests: &[Request], kind: &str) -> bool {
    kinds(requests).iter().any(|known| known == kind)
}

async fn server(store: &str) -> Server {
    let carrier = CarrierProfile { gives_reference: true, ..CarrierProfile::instant() };
    Server::with(store, SimulatedDialer::new(carrier, 1), |options| options.webhook_reach = Reach::Anywhere).await
}

async fn hook(server: &Server, key: &str, more: Value) -> Value {
    let answer = server.call(key, "POST", HOOKS, Some(&more)).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    answer.json()
}

/// A campaign that is run to its end.
async fn run(server: &Server, key: &str, contacts: usize) -> i64 {
    let contacts: Vec<Value> =
        (0..contacts).map(|n| json!({ "phone_number": format!("+1212{:07}", 5_550_000 + n), "name": format!("N{n}") })).collect();
    let body = json!({ "name": "Reminders", "campaign_type": "call", "assistant_id": 1, "concurrent_limit": "unlimited",
                       "rate_limit_per_minute": "unlimited", "contacts": contacts });
    let id = server.call(key, "POST", "/api/v1/campaigns", Some(&body)).await.json()["id"].as_i64().unwrap();
    assert_eq!(server.call(key, "POST", &format!("/api/v1/campaigns/{id}/start"), None).await.status, 200);
    server.engine.wait(campaign_core::id::CampaignId(id)).await.unwrap();
    id
}

#[tokio::test]
async fn a_receiver_is_told_everything_and_can_check_it() {
    for store in support::stores() {
        let server = server(store).await;
        let key = server.key(Scope::Admin, Some(1)).await;
        let (all, some) = (Inbox::new(), Inbox::new());
        let (receiver, other) = (all.answering(200, Vec::new()).await, some.answering(204, Vec::new()).await);
        let made = hook(&server, &key, json!({ "url": receiver.url(), "description": "everything" })).await;
        hook(&server, &key, json!({ "url": other.url(), "events": ["campaign.completed"] })).await;
        let id = run(&server, &key, 2).await;
        let seen = all
            .until(|seen| {
                let count = |kind: &str| kinds(seen).iter().filter(|known| *known == kind).count();
                let people = ["contact.started", "call.completed", "contact.completed"].iter().all(|kind| count(kind) >= 2);
                people && count("campaign.status_changed") >= 2 && count("campaign.completed") >= 1
            })
            .await;
        let of = |kind: &str| seen.iter().filter(|request| body(request)["type"] == kind).collect::<Vec<_>>();
        assert_eq!((of("contact.completed").len(), of("contact.started").len(), of("contact.failed").len()), (2, 2, 0));
        assert!(of("campaign.status_changed").len() >= 2);
        let call = body(of("call.completed")[0]);
        let data = &call["data"];
        assert_eq!(
            (data["campaign_id"].as_i64(), data["campaign_name"].as_str(), data["organization_id"].as_i64()),
            (Some(id), Some("Reminders"), Some(1))
        );
        assert!(data["phone_number"].as_str().unwrap().starts_with("+1212555") && data["name"].is_string(), "{call}");
        assert_eq!((data["status"].as_str(), data["disposition"].as_str()), (Some("completed"), Some("answered")));
        assert!(data["provider_ref"].is_string() && call["timestamp"].as_str().unwrap().parse::<Timestamp>().is_ok(), "{call}");
        assert_eq!(body(of("campaign.completed")[0])["data"]["progress"]["completed_contacts"], 2);
        let secret = made["secret"].as_str().unwrap();
        let mut ids = BTreeSet::new();
        for request in &seen {
            let header = |name: &str| request.header(name).unwrap_or_else(|| panic!("no {name}"));
            let (id, at, signature) = (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
            let now = server.engine.now();
            verify(secret, id, at, signature, &request.body, now).unwrap();
            assert_eq!(verify(secret, id, at, signature, b"{}", now).unwrap_err().kind(), Kind::Invalid);
            assert!(ids.insert(id.to_owned()), "{id} came twice");
            assert_eq!((request.method.as_str(), header("content-type")), ("POST", "application/json"));
        }
        let seen = some.until(|seen| !seen.is_empty()).await;
        assert_eq!(kinds(&seen), ["campaign.completed"]);
        // The secret is told once.
        let shown = server.call(&key, "GET", &format!("{HOOKS}/{}", made["id"].as_str().unwrap()), None).await;
        assert!(!String::from_utf8(shown.body).unwrap().contains(secret));
    }
}

#[tokio::test]
async fn a_webhook_of_one_campaign_is_told_of_that_one() {
    let server = server("sqlite").await;
    let key = server.key(Scope::Admin, Some(1)).await;
    let inbox = Inbox::new();
    let receiver = inbox.answering(200, Vec::new()).await;
    let draft = json!({ "name": "n", "campaign_type": "call", "assistant_id": 1, "contacts": [{ "phone_number": "+12125550123" }] });
    let id = server.call(&key, "POST", "/api/v1/campaigns", Some(&draft)).await.json()["id"].as_i64().unwrap();
    hook(&server, &key, json!({ "url": receiver.url(), "campaign_id": id, "events": ["campaign.completed"] })).await;
    run(&server, &key, 1).await;
    assert_eq!(server.call(&key, "POST", &format!("/api/v1/campaigns/{id}/start"), None).await.status, 200);
    let seen = inbox.until(|seen| !seen.is_empty()).await;
    // Its own comes, though another was completed before.
    assert_eq!(body(&seen[0])["data"]["campaign_id"], id);
    let unknown = json!({ "url": receiver.url(), "campaign_id": 999_999 });
    assert_eq!(server.call(&key, "POST", HOOKS, Some(&unknown)).await.status, 404);
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_up_nobody() {
    let server = Server::with("sqlite", SimulatedDialer::instant(), |options| {
        options.webhook_reach = Reach::Anywhere;
        options.webhook_timeout = Duration::from_millis(300);
    })
    .await;
    let key = server.key(Scope::Admin, Some(1)).await;
    let (hanging, quick) = (Inbox::new(), Inbox::new());
    let asked = hanging.clone();
    let stuck = Receiver::start(move |request| {
        asked.put(request);
        std::future::pending()
    });
    let (stuck, receiver) = (stuck.await.unwrap(), quick.answering(200, Vec::new()).await);
    let made = hook(&server, &key, json!({ "url": stuck.url(), "events": ["contact.completed"] })).await;
    hook(&server, &key, json!({ "url": receiver.url(), "events": ["contact.completed"] })).await;
    run(&server, &key, 50).await;
    let told =
        |seen: &[Request]| seen.iter().filter_map(|request| request.header("webhook-id").map(str::to_owned)).collect::<BTreeSet<_>>();
    quick.until(|seen| told(seen).len() == 50).await;
    // What nobody answered waits, with the reason. The quick one may have run into the same short time-out and been asked again.
    let path = format!("{HOOKS}/{}/deliveries?state=waiting&limit=500", made["id"].as_str().unwrap());
    let waiting = loop {
        let found = server.call(&key, "GET", &path, None).await.json()["deliveries"].clone();
        if found.as_array().unwrap().iter().any(|delivery| delivery["attempts"] == 1) {
            break found;
        }
        tokio::task::yield_now().await;
    };
    // One that is being put off may be there twice for a moment.
    let ids: BTreeSet<&str> = waiting.as_array().unwrap().iter().filter_map(|delivery| delivery["event_id"].as_str()).collect();
    assert_eq!(ids.len(), 50);
    let tried = waiting.as_array().unwrap().iter().find(|delivery| delivery["attempts"] == 1).unwrap();
    assert_eq!((tried["last_error"].as_str(), &tried["last_status"]), (Some("no answer in time"), &Value::Null));
    assert!(tried["due_at"].is_string());
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let server = server("sqlite").await;
    let key = server.key(Scope::Admin, Some(1)).await;
    let (asked, inside) = (Inbox::new(), Inbox::new());
    let secret_place = inside.answering(200, Vec::new()).await;
    let receiver = asked.answering(307, vec![("location".to_owned(), format!("{}/admin", secret_place.url()))]).await;
    let made = hook(&server, &key, json!({ "url": receiver.url() })).await;
    let id = made["id"].as_str().unwrap();
    let tested = server.call(&key, "POST", &format!("{HOOKS}/{id}/test"), None).await.json();
    let seen = asked.until(|seen| !seen.is_empty()).await;
    assert_eq!(seen[0].header("webhook-id"), tested["event_id"].as_str());
    let path = format!("{HOOKS}/{id}/deliveries?state=waiting");
    let found = loop {
        let found = server.call(&key, "GET", &path, None).await.json();
        if found["deliveries"][0]["attempts"] == 1 {
            break found;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(found["deliveries"][0]["last_status"], 307);
    assert_eq!(found["deliveries"][0]["last_error"], "the receiver answered with a redirect, which is not followed");
    assert!(inside.all().is_empty(), "the redirect was followed");
}

#[tokio::test]
async fn private_networks_are_not_called() {
    let server = Server::on("sqlite").await;
    let key = server.key(Scope::Admin, Some(1)).await;
    for url in [
        "http://hooks.example.com/x",
        "https://127.0.0.1/x",
        "https://[::1]/",
        "https://10.1.2.3/",
        "https://169.254.169.254/",
        "https://2130706433/",
    ] {
        let answer = server.call(&key, "POST", HOOKS, Some(&json!({ "url": url }))).await;
        assert_eq!((answer.status, &answer.json()["detail"][0]["loc"]), (422, &json!(["body", "url"])), "{url}");
    }
    let voice = json!({ "name": "n", "status": "draft", "calls_per_day": 5, "calling_hours_start": "00:00", "calling_hours_end": "24:00",
        "system_prompt": "p", "script_template": "s", "webhook_url": "https://192.168.0.1/" });
    assert_eq!(server.call(&key, "POST", "/api/voice-campaigns", Some(&voice)).await.status, 400);
    // A name says nothing about where it leads; that is seen when it is looked up.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/hook", listener.local_addr().unwrap().port());
    let made = hook(&server, &key, json!({ "url": url })).await;
    let id = made["id"].as_str().unwrap();
    server.call(&key, "POST", &format!("{HOOKS}/{id}/test"), None).await;
    let path = format!("{HOOKS}/{id}/deliveries?state=waiting");
    let refused = async {
        loop {
            let found = server.call(&key, "GET", &path, None).await.json();
            if found["deliveries"][0]["attempts"] == 1 {
                return found["deliveries"][0]["last_error"].clone();
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = listener.accept() => panic!("a private address was called"),
        error = refused => assert!(error.as_str().is_some_and(|error| error.contains("private or local address")), "{error}"),
    }
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_left_alone() {
    let server = server("sqlite").await;
    let key = server.key(Scope::Admin, Some(1)).await;
    let inbox = Inbox::new();
    let receiver = inbox.answering(410, Vec::new()).await;
    let made = hook(&server, &key, json!({ "url": receiver.url() })).await;
    let path = format!("{HOOKS}/{}", made["id"].as_str().unwrap());
    server.call(&key, "POST", &format!("{path}/test"), None).await;
    while server.call(&key, "GET", &path, None).await.json()["enabled"] == true {
        tokio::task::yield_now().await;
    }
    let dead = loop {
        let found = server.call(&key, "GET", &format!("{path}/deliveries"), None).await.json();
        if found["deliveries"] != json!([]) {
            break found;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((dead["deliveries"][0]["last_status"].as_i64(), &dead["deliveries"][0]["due_at"]), (Some(410), &Value::Null));
    let enabled =
        server.call(&key, "PATCH", &path, Some(&json!({ "enabled": true, "events": ["test"], "description": "back" }))).await.json();
    assert_eq!((&enabled["enabled"], &enabled["events"], enabled["description"].as_str()), (&json!(true), &json!(["test"]), Some("back")));
}

#[tokio::test]
async fn webhooks_are_the_admins_of_one_organisation() {
    let server = server("sqlite").await;
    let (ours, theirs) = (server.key(Scope::Admin, Some(1)).await, server.key(Scope::Admin, Some(2)).await);
    let (writer, operator) = (server.key(Scope::Write, Some(1)).await, server.key(Scope::Admin, None).await);
    let (inbox, others) = (Inbox::new(), Inbox::new());
    let (receiver, other) = (inbox.answering(200, Vec::new()).await, others.answering(200, Vec::new()).await);
    let made = hook(&server, &ours, json!({ "url": receiver.url() })).await;
    hook(&server, &theirs, json!({ "url": other.url(), "events": ["campaign.completed"] })).await;
    let path = format!("{HOOKS}/{}", made["id"].as_str().unwrap());
    let all = [
        ("GET", path.clone()),
        ("PATCH", path.clone()),
        ("POST", format!("{path}/rotate-secret")),
        ("POST", format!("{path}/test")),
        ("GET", format!("{path}/deliveries")),
        ("POST", format!("{path}/replay")),
        ("DELETE", path.clone()),
    ];
    for (method, path) in &all {
        assert_eq!(server.call(&theirs, method, path, Some(&json!({}))).await.status, 404, "{method} {path}");
        assert_eq!(server.call(&writer, method, path, Some(&json!({}))).await.status, 403, "{method} {path}");
    }
    assert_eq!(server.call(&writer, "GET", HOOKS, None).await.status, 403);
    assert_eq!(server.call(&theirs, "GET", HOOKS, None).await.json()["webhooks"].as_array().unwrap().len(), 1);
    assert_eq!(server.call(&operator, "GET", HOOKS, None).await.json()["webhooks"].as_array().unwrap().len(), 2);
    // A campaign of one is not told to the other.
    run(&server, &ours, 1).await;
    inbox.until(|seen| has(seen, "campaign.completed")).await;
    run(&server, &theirs, 1).await;
    let seen = others.until(|seen| !seen.is_empty()).await;
    assert_eq!(body(&seen[0])["data"]["organization_id"], 2);
    for (name, wrong) in [("events", json!(["call"])), ("secret", json!("whsec_short")), ("url", json!(7)), ("url", json!("nowhere"))] {
        let mut body = json!({ "url": receiver.url() });
        body[name] = wrong;
        assert_eq!(server.call(&ours, "POST", HOOKS, Some(&body)).await.status, 422, "{body}");
    }
    for (method, path) in &all {
        let status = server.call(&ours, method, path, Some(&json!({}))).await.status;
        assert!((200..300).contains(&status), "{method} {path}: {status}");
    }
    assert_eq!(server.call(&ours, "GET", &path, None).await.status, 404);
}

#[tokio::test]
async fn a_new_secret_signs_beside_the_old() {
    let server = server("sqlite").await;
    let key = server.key(Scope::Admin, Some(1)).await;
    let inbox = Inbox::new();
    let receiver = inbox.answering(200, Vec::new()).await;
    let made = hook(&server, &key, json!({ "url": receiver.url() })).await;
    let path = format!("{HOOKS}/{}", made["id"].as_str().unwrap());
    let rotated = server.call(&key, "POST", &format!("{path}/rotate-secret"), None).await.json();
    server.call(&key, "POST", &format!("{path}/test"), None).await;
    let seen = inbox.until(|seen| !seen.is_empty()).await;
    let header = |name: &str| seen[0].header(name).unwrap();
    for secret in [&made["secret"], &rotated["secret"]] {
        let (id, at, signature) = (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
        verify(secret.as_str().unwrap(), id, at, signature, &seen[0].body, server.engine.now()).unwrap();
    }
    assert_ne!(made["secret"], rotated["secret"]);
}

#[tokio::test]
async fn campaigns_of_api_2_have_webhooks_of_their_own() {
    // It leaves the price of a call to the campaign.
    let server = Server::with("sqlite", Prompt, |options| options.webhook_reach = Reach::Anywhere).await;
    let key = server.key(Scope::Write, Some(7)).await;
    let (calls, rest) = (Inbox::new(), Inbox::new());
    let (call_receiver, receiver) = (calls.answering(200, Vec::new()).await, rest.answering(200, Vec::new()).await);
    let voice = json!({ "name": "n", "status": "draft", "calls_per_day": 50, "calling_hours_start": "00:00", "calling_hours_end": "24:00",
        "system_prompt": "p", "script_template": "Hello {customer_name}", "budget": 1.0, "cost_per_call": 0.5,
        "webhook_url": receiver.url(), "webhook_urls": { "call_completed": call_receiver.url() }, "webhook_secret": "s3cret" });
    let id = server.call(&key, "POST", "/api/voice-campaigns", Some(&voice)).await.json()["id"].clone();
    for last in 0..4 {
        let lead = json!({ "campaign_id": id, "phone": format!("+1212555012{last}") });
        assert_eq!(server.call(&key, "POST", "/api/voice-leads", Some(&lead)).await.status, 201);
    }
    assert_eq!(server.call(&key, "POST", &format!("/api/voice-campaigns/{id}/start"), None).await.status, 200);
    let seen = calls.until(|seen| !seen.is_empty()).await;
    let call = body(&seen[0]);
    assert_eq!((call["event"].as_str(), &call["campaign_id"]), (Some("call.completed"), &id));
    assert!(call["event_id"].as_str().unwrap().starts_with("evt_") && call["timestamp"].as_str().unwrap().ends_with('Z'));
    assert!(call["data"]["phone_number"].as_str().unwrap().starts_with("+1212555012"));
    let events = |seen: &[Request]| seen.iter().map(|request| body(request)["event"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let seen = rest.until(|seen| events(seen).contains(&"budget.threshold_reached".to_owned()) && seen.len() >= 3).await;
    let said = |from: &str, to: &str| {
        seen.iter()
            .map(body)
            .any(|body| body["event"] == "campaign.status_changed" && body["data"]["from"] == from && body["data"]["to"] == to)
    };
    assert!(said("draft", "active"), "{:?}", events(&seen));
    for request in &seen {
        let signature = request.header("x-webhook-signature").unwrap();
        verify("s3cret", "", "", signature, &request.body, server.engine.now()).unwrap();
        assert!(verify("wrong", "", "", signature, &request.body, server.engine.now()).is_err());
    }
}

/// A runtime for receivers, and a virtual clock for everything else.
struct Lab {
    runtime: tokio::runtime::Runtime,
    clock: VirtualExecutor,
}

impl Lab {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { runtime, clock: VirtualExecutor::new(BEGIN.parse().unwrap()) }
    }

    /// A receiver that answers 500 until this long after the beginning.
    fn failing_for(&self, inbox: &Inbox, time: SignedDuration) -> Receiver {
        let (inbox, clock) = (inbox.clone(), self.clock.clone());
        let heals: Timestamp = BEGIN.parse::<Timestamp>().unwrap() + time;
        let receiver = Receiver::start(move |request| {
            let status = if clock.now() < heals { 500 } else { 200 };
            if status == 200 {
                inbox.put(request);
            }
            async move { Reply::Answer { status, headers: Vec::new(), body: Vec::new() } }
        });
        self.runtime.block_on(receiver).unwrap()
    }
}

async fn engine(clock: &VirtualExecutor, store: Arc<dyn ContactStore>) -> Engine {
    let builder = Engine::builder().shared_store(store).dialer(SimulatedDialer::instant()).executor(clock.clone());
    // A day of looking for other nodes twice a second would only take time.
    builder.options(|options| options.poll_interval = Some(Duration::from_secs(60))).build().await.unwrap()
}

/// Runs a campaign of one contact to its end.
async fn campaign(engine: &Engine) -> campaign_core::id::CampaignId {
    let spec = json!({ "name": "n", "campaign_type": "call" });
    let record = engine.create_campaign(wire::spec(spec.as_object().unwrap().clone()).unwrap()).await.unwrap();
    let row = json!({ "phone_number": "+12125550123" });
    engine.add_contacts(record.id, vec![row.as_object().unwrap().clone()], Default::default()).await.unwrap();
    engine.start(record.id).await.unwrap();
    engine.wait(record.id).await.unwrap();
    record.id
}

async fn pass(clock: &VirtualExecutor, time: SignedDuration) {
    clock.sleep_until(clock.now() + time).await;
}

fn options() -> ServerOptions {
    ServerOptions::default().with(|options| options.webhook_reach = Reach::Anywhere)
}

#[test]
fn an_hour_of_failures_loses_nothing() {
    let lab = Lab::new();
    let _entered = lab.runtime.enter();
    let inbox = Inbox::new();
    let receiver = lab.failing_for(&inbox, SignedDuration::from_hours(1));
    let (clock, seen, url) = (lab.clock.clone(), inbox.clone(), receiver.url());
    lab.clock.run(async move {
        let store: Arc<dyn ContactStore> = Arc::new(MemoryStore::new());
        let engine = engine(&clock, Arc::clone(&store)).await;
        let _router = router(engine.clone(), options());
        let hooks = Webhooks::new(store, Arc::new(clock.clone()), Reach::Anywhere);
        let new = NewEndpoint { url, events: vec![EventName::CallCompleted, EventName::CampaignCompleted], ..NewEndpoint::default() };
        let (endpoint, _) = hooks.create(new).await.unwrap();
        campaign(&engine).await;
        pass(&clock, SignedDuration::from_mins(59)).await;
        assert!(seen.all().is_empty());
        let waiting = hooks.waiting(&endpoint.id, None, 100).await.unwrap();
        assert_eq!(waiting.iter().map(|letter| (letter.attempts, letter.status)).collect::<Vec<_>>(), [(7, Some(500)), (7, Some(500))]);
        pass(&clock, SignedDuration::from_mins(70)).await;
        let mut found = kinds(&seen.all());
        found.sort();
        assert_eq!(found, ["call.completed", "campaign.completed"]);
        assert!(hooks.waiting(&endpoint.id, None, 100).await.unwrap().is_empty());
        assert!(hooks.dead(&endpoint.id, None, 100).await.unwrap().is_empty());
        engine.abort();
    });
}

#[test]
fn what_nobody_takes_for_a_day_is_a_dead_letter_that_can_be_sent_again() {
    let lab = Lab::new();
    let _entered = lab.runtime.enter();
    let inbox = Inbox::new();
    let receiver = lab.failing_for(&inbox, SignedDuration::from_hours(27));
    let (clock, seen, url) = (lab.clock.clone(), inbox.clone(), receiver.url());
    lab.clock.run(async move {
        let store: Arc<dyn ContactStore> = Arc::new(MemoryStore::new());
        let engine = engine(&clock, Arc::clone(&store)).await;
        let _router = router(engine.clone(), options());
        let hooks = Webhooks::new(store, Arc::new(clock.clone()), Reach::Anywhere);
        let new = NewEndpoint { url, events: vec![EventName::CallCompleted, EventName::CampaignCompleted], ..NewEndpoint::default() };
        let (endpoint, _) = hooks.create(new).await.unwrap();
        let began = clock.now();
        campaign(&engine).await;
        let day: Duration = RETRY_AFTER.iter().sum();
        pass(&clock, SignedDuration::try_from(day).unwrap() - SignedDuration::from_mins(1)).await;
        assert!(hooks.dead(&endpoint.id, None, 100).await.unwrap().is_empty());
        pass(&clock, SignedDuration::from_hours(27) - clock.now().duration_since(began)).await;
        let dead = hooks.dead(&endpoint.id, None, 100).await.unwrap();
        assert_eq!(dead.iter().map(|letter| (letter.attempts, letter.status)).collect::<Vec<_>>(), [(ATTEMPTS, Some(500)); 2]);
        assert!(hooks.waiting(&endpoint.id, None, 100).await.unwrap().is_empty() && seen.all().is_empty());
        // One by its id, then whatever is left.
        assert_eq!(hooks.replay(&endpoint.id, Some(&[dead[0].id.clone()])).await.unwrap(), 1);
        pass(&clock, SignedDuration::from_secs(10)).await;
        assert_eq!(seen.all().iter().filter_map(|request| request.header("webhook-id")).collect::<Vec<_>>(), [dead[0].id.as_str()]);
        assert_eq!(hooks.replay(&endpoint.id, None).await.unwrap(), 1);
        pass(&clock, SignedDuration::from_secs(10)).await;
        assert_eq!(seen.all().len(), 2);
        assert_eq!(hooks.replay("whe_nobody", None).await.unwrap_err().kind(), Kind::NotFound);
        engine.abort();
    });
}

#[test]
fn a_crash_loses_nothing() {
    let lab = Lab::new();
    let _entered = lab.runtime.enter();
    let inbox = Inbox::new();
    let receiver = lab.failing_for(&inbox, SignedDuration::from_mins(1));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.db");
    let (clock, seen, url) = (lab.clock.clone(), inbox.clone(), receiver.url());
    lab.clock.run(async move {
        let open = || -> Arc<dyn ContactStore> { Arc::new(SqliteStore::open(&path).unwrap()) };
        let store = open();
        let hooks = Webhooks::new(Arc::clone(&store), Arc::new(clock.clone()), Reach::Anywhere);
        let new = NewEndpoint { url, events: vec![EventName::CampaignCompleted], ..NewEndpoint::default() };
        let (endpoint, _) = hooks.create(new).await.unwrap();
        // A process that dies while deliveries wait...
        let first = engine(&clock, store).await;
        let served = router(first.clone(), options());
        let one = campaign(&first).await;
        pass(&clock, SignedDuration::from_secs(20)).await;
        assert!(!hooks.waiting(&endpoint.id, None, 100).await.unwrap().is_empty());
        first.abort();
        drop(served);
        // ...one that dies before anything was queued...
        let second = engine(&clock, open()).await;
        let two = campaign(&second).await;
        second.abort();
        assert!(seen.all().is_empty());
        // ...and one that lives.
        let third = engine(&clock, open()).await;
        let _router = router(third.clone(), options());
        pass(&clock, SignedDuration::from_mins(5)).await;
        let mut found: Vec<i64> = seen.all().iter().map(|request| body(request)["data"]["campaign_id"].as_i64().unwrap()).collect();
        found.sort_unstable();
        assert_eq!(found, [one.0, two.0]);
        third.abort();
    });
}

#[test]
fn two_servers_on_one_store_tell_everything_once() {
    let lab = Lab::new();
    let _entered = lab.runtime.enter();
    let inbox = Inbox::new();
    let receiver = lab.failing_for(&inbox, SignedDuration::ZERO);
    let (clock, seen, url) = (lab.clock.clone(), inbox.clone(), receiver.url());
    lab.clock.run(async move {
        let store: Arc<dyn ContactStore> = Arc::new(MemoryStore::new());
        let (one, two) = (engine(&clock, Arc::clone(&store)).await, engine(&clock, Arc::clone(&store)).await);
        let _routers = (router(one.clone(), options()), router(two.clone(), options()));
        let hooks = Webhooks::new(store, Arc::new(clock.clone()), Reach::Anywhere);
        let new = NewEndpoint { url, events: vec![EventName::CallCompleted, EventName::CampaignCompleted], ..NewEndpoint::default() };
        hooks.create(new).await.unwrap();
        for _ in 0..5 {
            campaign(&one).await;
            campaign(&two).await;
        }
        pass(&clock, SignedDuration::from_mins(2)).await;
        let mut found = kinds(&seen.all());
        found.sort();
        assert_eq!(found, [["call.completed"; 10], ["campaign.completed"; 10]].concat());
        one.abort();
        two.abort();
    });
}
