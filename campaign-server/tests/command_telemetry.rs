//! Traces of `campaign serve` and `campaign run`, as a collector gets them: what is in them, what never is, and what a bad collector costs.

#![cfg(feature = "otel")]
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod command_support;

use campaign_core::executor::{Executor, TokioExecutor};
use campaign_tests::vendors::loopback::{Reply, Request, Server};
use command_support::{Desk, Said, free_port};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value as Kind};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

const KEY: &str = "Bearer secret-of-the-collector";

/// A collector that keeps what it is sent.
struct Collector {
    server: Server,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Collector {
    fn start() -> Self {
        Self::answering(200)
    }

    fn answering(status: u16) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        let server = Server::start(move |request| {
            kept.lock().unwrap().push(request);
            async move { Reply::Answer { status, headers: Vec::new(), body: Vec::new() } }
        });
        Self { server: server.unwrap(), requests }
    }

    fn url(&self) -> String {
        self.server.url()
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    fn batches(&self) -> Vec<ExportTraceServiceRequest> {
        self.requests().iter().map(|request| ExportTraceServiceRequest::decode(&*request.body).unwrap()).collect()
    }

    fn spans(&self) -> Vec<Span> {
        let resources = self.batches().into_iter().flat_map(|batch| batch.resource_spans);
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }

    fn named(&self, name: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.name == name).collect()
    }

    /// None of these texts was sent, in whatever place.
    fn never_heard_of(&self, secrets: &[&str]) {
        let sent: Vec<Vec<u8>> = self.requests().into_iter().map(|request| request.body).collect();
        assert!(!sent.is_empty());
        for secret in secrets {
            let there = sent.iter().any(|body| body.windows(secret.len()).any(|part| part == secret.as_bytes()));
            assert!(!there, "{secret:?} was sent to the collector");
        }
    }
}

fn of(attributes: &[KeyValue], name: &str) -> Option<Value> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    Some(match found.value.as_ref()?.value.as_ref()? {
        Kind::StringValue(text) => text.as_str().into(),
        Kind::IntValue(number) => (*number).into(),
        Kind::BoolValue(flag) => (*flag).into(),
        other => panic!("{name} is {other:?}"),
    })
}

fn attribute(span: &Span, name: &str) -> Value {
    of(&span.attributes, name).unwrap_or_else(|| panic!("{} has no {name}: {:?}", span.name, span.attributes))
}

/// Three people, one of them with a secret of his own, and a plan that says something to each.
fn people(desk: &Desk) -> [&'static str; 5] {
    desk.write(
        "people.csv",
        "phone_number,name,time_zone,email\n+12125550101,Anastasia,UTC,ana@private.example\n+12125550102,Bonifaz,UTC,\n+12125550103,Cyprian,UTC,\n",
    );
    ["125550", "Anastasia", "private.example", "Good news", "secret-of"]
}

const RUN: [&str; 8] =
    ["run", "people.csv", "--message", "Good news for {{ name }}", "--set", "rate_limit_per_minute=60000", "--name", "News"];

/// The command with a carrier that reaches everybody at once.
fn run(desk: &Desk, variables: &[(&str, &str)]) -> Said {
    let dialer = r#"{"simulated": {"profile": "instant"}}"#;
    desk.command(&RUN).env("CAMPAIGN_DIALER", dialer).envs(variables.iter().copied()).output().unwrap().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_a_trace_for_each_attempt_and_names_nobody() {
    let (desk, collector) = (Desk::on_sqlite(), Collector::start());
    let secrets = people(&desk);
    desk.write(
        "campaign.toml",
        &format!(
            "[telemetry]\nendpoint = \"{}\"\nservice_name = \"outreach\"\nheaders = {{ authorization = {{ env = \"COLLECTOR_KEY\" }} }}\n",
            collector.url()
        ),
    );
    let said = run(&desk, &[("COLLECTOR_KEY", KEY)]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(!said.err.contains("secret-of") && !said.err.contains("collector"), "{said:?}");

    for request in collector.requests() {
        assert_eq!((request.method.as_str(), request.path()), ("POST", "/v1/traces"));
        assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
        assert_eq!(request.header("authorization"), Some(KEY));
    }
    for batch in collector.batches() {
        let resource = batch.resource_spans[0].resource.as_ref().unwrap();
        assert_eq!(of(&resource.attributes, "service.name"), Some("outreach".into()));
        assert_eq!(of(&resource.attributes, "service.version"), Some(env!("CARGO_PKG_VERSION").into()));
    }
    let (claims, attempts) = (collector.named("claim"), collector.named("attempt"));
    assert_eq!(attempts.len(), 3, "{:?}", collector.spans());
    assert_eq!(claims.iter().map(|claim| attribute(claim, "claim.attempts").as_i64().unwrap()).sum::<i64>(), 3);
    let traces: BTreeSet<_> = attempts.iter().map(|attempt| attempt.trace_id.clone()).collect();
    assert_eq!(traces.len(), 3, "a trace for each");
    for attempt in &attempts {
        assert!(attempt.parent_span_id.is_empty());
        assert!(claims.iter().any(|claim| attempt.links.iter().any(|link| link.span_id == claim.span_id)), "{attempt:?}");
        assert_eq!((attribute(attempt, "campaign.id"), attribute(attempt, "attempt.number")), (1.into(), 1.into()));
        assert_eq!((attribute(attempt, "attempt.channel"), attribute(attempt, "attempt.taken_over")), ("call".into(), false.into()));
        let within: Vec<Span> = collector.spans().into_iter().filter(|span| span.parent_span_id == attempt.span_id).collect();
        let only = |name: &str| {
            let found: Vec<&Span> = within.iter().filter(|span| span.name == name).collect();
            assert_eq!(found.len(), 1, "{name} in {within:?}");
            assert_eq!(found[0].trace_id, attempt.trace_id);
            assert_eq!(attribute(found[0], "attempt.id"), attribute(attempt, "attempt.id"));
            assert!(
                found[0].start_time_unix_nano >= attempt.start_time_unix_nano && found[0].end_time_unix_nano <= attempt.end_time_unix_nano
            );
            found[0].clone()
        };
        assert_eq!(attribute(&only("dial"), "dial.outcome"), "answered");
        let settled = only("settle");
        assert_eq!(
            (attribute(&settled, "attempt.end"), attribute(&settled, "attempt.disposition")),
            ("finished".into(), "answered".into())
        );
        assert_eq!(attribute(&settled, "contact.status"), "completed");
        assert!(attempt.events.is_empty(), "entries of the log are no part of it");
    }
    collector.never_heard_of(&secrets);
    // Nor is anything about the machine it was built on.
    collector.never_heard_of(&["src/", ".rs"]);
}

#[test]
fn nothing_is_sent_unless_somebody_asks() {
    let desk = Desk::on_sqlite();
    people(&desk);
    // Nobody listens there: whoever tried would say so.
    let elsewhere = format!("http://127.0.0.1:{}", free_port());
    let said = run(&desk, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &elsewhere), ("OTEL_SDK_DISABLED", "true")]);
    assert!(said.code == 0 && !said.err.contains("collector"), "{said:?}");
}

/// Sends a request with these headers; its status.
fn ask(address: &str, method: &str, path: &str, headers: &str) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: {address}\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_spans_by_their_routes_within_the_callers_trace() {
    let (desk, collector) = (Desk::on_sqlite(), Collector::start());
    let address_of_collector = collector.url();
    // As every program with OpenTelemetry is told.
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", address_of_collector.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20secret-of-the-collector"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging"),
    ];
    let (mut server, address) = desk.serve_with(&["--listen", "127.0.0.1:0", "--open"], &variables);
    let trace = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: vendor=12125550177\r\nbaggage: phone=12125550177\r\n";
    assert_eq!(ask(&address, "GET", "/api/v1/campaigns/4711?phone=12125550177", trace), 404);
    let not_taken = "traceparent: 00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\r\n";
    assert_eq!(ask(&address, "GET", "/health", not_taken), 200);
    assert_eq!(ask(&address, "GET", "/health", "authorization: Bearer cmp_secret-of-somebody\r\n"), 200);
    assert_eq!(ask(&address, "GET", "/people/+12125550177", ""), 404);
    ask(&address, "CALL-12125550177", "/health", "");
    server.signal("-TERM");
    assert_eq!(server.end().code(), Some(0));

    assert!(collector.requests().iter().all(|request| request.header("authorization") == Some(KEY)));
    let resource = collector.batches()[0].resource_spans[0].resource.clone().unwrap();
    assert_eq!(of(&resource.attributes, "service.name"), Some("campaign".into()));
    assert_eq!(of(&resource.attributes, "deployment.environment.name"), Some("staging".into()));
    let spans: Vec<Span> = collector.spans().into_iter().filter(|span| of(&span.attributes, "http.request.method").is_some()).collect();
    let mut names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["GET", "GET /api/v1/campaigns/{campaign_id}", "GET /health", "_OTHER /health"],
        "what the caller does not take is not taken"
    );
    let asked = spans.iter().find(|span| span.name.contains("campaigns")).unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(
        (hex(&asked.trace_id).as_str(), hex(&asked.parent_span_id).as_str()),
        ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    );
    assert_eq!(attribute(asked, "http.request.method"), "GET");
    assert_eq!(attribute(asked, "http.route"), "/api/v1/campaigns/{campaign_id}");
    assert_eq!((attribute(asked, "http.response.status_code"), asked.kind), (404.into(), 2));
    assert_eq!(asked.trace_state, "", "what came along besides ids is not passed on");
    let unknown = spans.iter().find(|span| span.name == "GET").unwrap();
    assert_eq!((of(&unknown.attributes, "http.route"), attribute(unknown, "http.response.status_code")), (None, 404.into()));
    collector.never_heard_of(&["12125550177", "4711", "secret-of", "people"]);
}

#[test]
fn the_configuration_shows_where_traces_go_and_no_header() {
    let desk = Desk::on_sqlite();
    desk.write(
        "campaign.toml",
        "[telemetry]\nendpoint = \"http://file.example:4318\"\nheaders = { env = \"COLLECTOR_HEADERS\" }\nsample_ratio = 0.5\n",
    );
    let checked = |arguments: &[&str], variables: &[(&str, &str)]| -> Said {
        let all = [&["config", "check"], arguments].concat();
        desk.command(&all).env("COLLECTOR_HEADERS", "authorization=secret-7").envs(variables.iter().copied()).output().unwrap().into()
    };
    let settings = |variables: &[(&str, &str)]| {
        let said = checked(&["--json"], variables);
        assert!(!said.out.contains("secret-7") && !said.out.contains("secret-8"), "{said:?}");
        let all = said.json()["settings"].clone();
        move |key: &str| {
            let found = all.as_array().unwrap().iter().find(|setting| setting["key"] == key).unwrap_or_else(|| panic!("no {key} in {all}"));
            (found["value"].clone(), found["source"].as_str().unwrap().to_owned())
        }
    };
    let file = settings(&[]);
    assert_eq!(file("telemetry.endpoint"), ("http://file.example:4318".into(), "campaign.toml:2".to_owned()));
    assert_eq!(file("telemetry.headers"), ("•••".into(), "campaign.toml:3".to_owned()));
    assert_eq!(file("telemetry.service_name"), ("campaign".into(), "default".to_owned()));
    let usual = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://usual.example"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=secret-8"),
    ];
    let environment = settings(&usual);
    assert_eq!(environment("telemetry.endpoint"), ("http://usual.example".into(), "OTEL_EXPORTER_OTLP_ENDPOINT".to_owned()));
    assert_eq!(environment("telemetry.sample_ratio"), (0.25.into(), "OTEL_TRACES_SAMPLER_ARG".to_owned()));
    assert_eq!(environment("telemetry.headers").1, "OTEL_EXPORTER_OTLP_HEADERS");
    let own = settings(&[usual[0], ("CAMPAIGN_TELEMETRY_ENDPOINT", "http://own.example")]);
    assert_eq!(own("telemetry.endpoint"), ("http://own.example".into(), "CAMPAIGN_TELEMETRY_ENDPOINT".to_owned()));

    // What cannot be done is said by whoever would do it, and by nobody else.
    let grpc = [usual[0], ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
    let said = checked(&[], &grpc);
    assert!(said.code == 2 && said.err.contains("OTEL_EXPORTER_OTLP_PROTOCOL: must be http/protobuf"), "{said:?}");
    people(&desk);
    let said = run(&desk, &[("COLLECTOR_HEADERS", "a=b"), grpc[0], grpc[1]]);
    assert!(said.code == 2 && said.err.contains("OTEL_EXPORTER_OTLP_PROTOCOL"), "{said:?}");
    assert_eq!(
        desk.command(&["status"]).envs([("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"), grpc[1]]).output().unwrap().status.code(),
        Some(0)
    );
    desk.write("campaign.toml", "[telemetry]\nendpoint = \"http://a.example\"\nsample_ratio = 7\nheader = \"secret-7\"\n");
    let said = checked(&[], &[]);
    assert!(said.code == 2 && said.err.contains("from 0 to 1") && said.err.contains("did you mean `telemetry.headers`"), "{said:?}");
    assert!(!said.err.contains("secret-7"), "{said:?}");
}

/// Runs the command against this collector; how long it took, and what it said.
fn timed(collector: &str) -> (f64, Said) {
    let desk = Desk::on_sqlite();
    desk.people("people.csv", 300);
    let clock = TokioExecutor::current().unwrap();
    let began = clock.now();
    // A queue that is full at once, and a collector that may take a minute.
    let variables = [
        ("CAMPAIGN_TELEMETRY_ENDPOINT", collector),
        ("CAMPAIGN_TELEMETRY_HEADERS", r#"{"authorization": "secret-of-the-collector"}"#),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "60000"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "16"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "16"),
    ];
    let said = run(&desk, &variables);
    let took = clock.now().duration_since(began).as_secs_f64();
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(desk.json(&["status", "1"])["progress"]["completed_contacts"], 300);
    assert!(!said.err.contains("secret-of"), "{said:?}");
    (took, said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_refuses_or_hangs_delays_nobody() {
    let told = |said: &Said, what: &str| said.err.lines().filter(|line| line.contains(what)).count();
    let refusing = format!("http://127.0.0.1:{}", free_port());
    let (_, said) = timed(&refusing);
    assert_eq!((told(&said, "does not take traces"), told(&said, "spans were lost")), (1, 1), "once, and at the end: {said:?}");

    let unwilling = Collector::answering(401);
    let url = unwilling.url();
    let (_, said) = timed(&url);
    assert_eq!(told(&said, "does not take traces"), 1, "{said:?}");

    // It takes connections, and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let hanging = format!("http://{}", listener.local_addr().unwrap());
    let (took, said) = timed(&hanging);
    assert!(took < 40.0, "it waited for the collector: {took} s");
    assert_eq!(told(&said, "in time"), 1, "{said:?}");
    assert!(told(&said, "SpanDroppingStarted") == 1, "what does not fit is dropped, and that is said once: {said:?}");
}
