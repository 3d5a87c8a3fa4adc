//! Attempts handed to a service over the webhook protocol: signed both ways, once, and found again whatever gets lost.

#![allow(clippy::unwrap_used, missing_docs)]

use campaign_core::campaign::{CampaignSpec, CampaignSpecBuilder};
use campaign_core::dialer::webhook::{Repetition, WebhookConfig, WebhookDialer};
use campaign_core::dialer::{CallbackRequest, Callbacks as _, DialError, DialRequest, Dialer, OutboundMessage};
use campaign_core::executor::{Executor as _, SharedExecutor, VirtualExecutor};
use campaign_core::http::signature::WebhookSecret;
use campaign_core::outcome::{Channel, Disposition};
use campaign_core::testkit::dialer::{Fixture, Situation, TestHost, run, sample_request};
use campaign_tests::vendors::elevenlabs::{Sink, pass};
use campaign_tests::vendors::loopback::{Reply, Request, Server};
use campaign_tests::vendors::scene::{Program, client, play};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What goes wrong with the next hand-off.
#[derive(Clone)]
enum Fault {
    Answer(u16, Value),
    BreakBefore,
    BreakAfter,
}

#[derive(Clone)]
struct Taken {
    at: Timestamp,
    seconds: i64,
    outcome: Value,
    hung_up: Option<Timestamp>,
    carried_out: u64,
}

struct State {
    taken: BTreeMap<String, Taken>,
    requests: Vec<Value>,
    faults: VecDeque<Fault>,
    seconds: i64,
    outcome: Value,
    at_once: bool,
    sink: Option<Sink>,
    twice: bool,
}

/// Somebody's service.
#[derive(Clone)]
struct Service {
    clock: VirtualExecutor,
    secret: WebhookSecret,
    native: bool,
    state: Arc<Mutex<State>>,
    url: String,
    server: Option<Arc<Server>>,
}

impl Service {
    fn start(clock: &VirtualExecutor, native: bool) -> Self {
        let state = State {
            taken: BTreeMap::new(),
            requests: Vec::new(),
            faults: VecDeque::new(),
            seconds: 8,
            outcome: json!({ "disposition": "answered", "duration_seconds": 6, "cost": 0.01, "data": { "answers": { "q1": 5 } } }),
            at_once: false,
            sink: None,
            twice: false,
        };
        let secret = WebhookSecret::parse(SECRET).unwrap();
        let mut service =
            Self { clock: clock.clone(), secret, native, state: Arc::new(Mutex::new(state)), url: String::new(), server: None };
        let serving = service.clone();
        let server = Server::start(move |request| {
            let reply = serving.handle(&request);
            async move { reply }
        });
        let server = Arc::new(server.unwrap());
        service.url = server.url();
        service.server = Some(server);
        service
    }

    fn config(&self) -> WebhookConfig {
        WebhookConfig {
            url: format!("{}/attempts", self.url),
            status_url: Some(format!("{}/status", self.url)),
            cancel_url: Some(format!("{}/cancel", self.url)),
            secret: SECRET.into(),
            idempotency: if self.native { Repetition::Native } else { Repetition::CallbackRef },
            headers: BTreeMap::from([("authorization".to_owned(), "Bearer own-token".into())]),
            callback_url: Some("https://campaigns.example.org/webhook-dialer".into()),
            ..WebhookConfig::default()
        }
    }

    fn dialer(&self) -> WebhookDialer {
        WebhookDialer::new(self.config()).unwrap().with_http(client(&self.clock))
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    fn carried_out(&self, key: &str) -> u64 {
        self.state.lock().unwrap().taken.get(key).map_or(0, |taken| taken.carried_out)
    }

    fn handle(&self, request: &Request) -> Reply {
        let header = |name: &str| request.header(name).unwrap_or_default().to_owned();
        let (id, at, signature) = (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
        if self.secret.verify(&id, &at, &signature, &request.body, self.clock.now()).is_err()
            || header("authorization") != "Bearer own-token"
        {
            return Reply::json(401, &json!({}));
        }
        let message = request.json();
        let key = message["data"]["key"].as_str().unwrap_or_default().to_owned();
        match (request.path(), message["type"].as_str().unwrap_or_default()) {
            ("/attempts", "attempt.dial") => {
                assert_eq!((id.as_str(), header("idempotency-key").as_str()), (key.as_str(), key.as_str()));
                self.dial(&key, message)
            }
            ("/attempts", "message.send") => {
                self.change(|state| state.requests.push(message));
                Reply::json(200, &json!({ "state": "accepted", "provider_ref": "msg-1" }))
            }
            ("/status", "attempt.find") => Reply::json(200, &self.status(&key)),
            ("/cancel", "attempt.cancel") => {
                let now = self.clock.now();
                self.change(|state| {
                    if let Some(taken) = state.taken.get_mut(&key) {
                        taken.hung_up.get_or_insert(now);
                    }
                });
                Reply::json(200, &self.status(&key))
            }
            _ => Reply::json(404, &json!({})),
        }
    }

    fn dial(&self, key: &str, message: Value) -> Reply {
        let (fault, at_once, outcome) = {
            let mut state = self.state.lock().unwrap();
            state.requests.push(message);
            (state.faults.pop_front(), state.at_once, state.outcome.clone())
        };
        match fault {
            Some(Fault::BreakBefore) => return Reply::BreakOff,
            Some(Fault::Answer(status, body)) => return Reply::json(status, &body),
            _ => {}
        }
        let new = {
            let mut state = self.state.lock().unwrap();
            let (at, seconds, outcome) = (self.clock.now(), if at_once { 0 } else { state.seconds }, state.outcome.clone());
            let new = !state.taken.contains_key(key);
            let taken = state.taken.entry(key.to_owned()).or_insert(Taken { at, seconds, outcome, hung_up: None, carried_out: 0 });
            if new || !self.native {
                taken.carried_out += 1;
            }
            new
        };
        if new {
            self.report(key.to_owned());
        }
        if matches!(fault, Some(Fault::BreakAfter)) {
            return Reply::BreakOff;
        }
        let named = with_reference(outcome, key);
        Reply::json(
            200,
            &if at_once {
                json!({ "state": "ended", "outcome": named })
            } else {
                json!({ "state": "accepted", "provider_ref": format!("svc-{key}") })
            },
        )
    }

    fn status(&self, key: &str) -> Value {
        let state = self.state.lock().unwrap();
        let Some(taken) = state.taken.get(key) else { return json!({ "state": "never_happened" }) };
        let reference = format!("svc-{key}");
        if self.clock.now() >= taken.at + SignedDuration::from_secs(taken.seconds) {
            json!({ "state": "ended", "outcome": with_reference(taken.outcome.clone(), key) })
        } else if taken.hung_up.is_some() {
            json!({ "state": "ended", "outcome": { "disposition": "cancelled", "provider_ref": reference } })
        } else {
            json!({ "state": "running", "provider_ref": reference })
        }
    }

    /// Reports the end by a callback.
    fn report(&self, key: String) {
        let Some(sink) = self.state.lock().unwrap().sink.clone() else { return };
        let this = self.clone();
        self.clock.spawn(Box::pin(async move {
            let (seconds, outcome, twice) = {
                let state = this.state.lock().unwrap();
                (state.taken[&key].seconds, state.taken[&key].outcome.clone(), state.twice)
            };
            let said = json!({ "type": "attempt.progress", "data": { "key": key, "stage": "ringing" } });
            sink(this.signed("m1", said)).await;
            pass(&(Arc::new(this.clock.clone()) as SharedExecutor), Duration::from_secs(seconds.unsigned_abs())).await;
            let ended =
                json!({ "type": "attempt.ended", "data": { "key": key, "provider_ref": format!("svc-{key}"), "outcome": outcome } });
            for _ in 0..if twice { 2 } else { 1 } {
                assert_eq!(sink(this.signed("m2", ended.clone())).await, 200);
            }
        }));
    }

    fn signed(&self, id: &str, message: Value) -> CallbackRequest {
        let (body, now) = (message.to_string().into_bytes(), self.clock.now());
        let headers = [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", now.as_second().to_string()),
            ("webhook-signature", self.secret.sign(id, now, &body)),
        ];
        CallbackRequest {
            method: "POST".into(),
            url: "/callbacks/webhook-dialer".into(),
            headers: headers.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            body,
        }
    }
}

fn with_reference(mut outcome: Value, key: &str) -> Value {
    outcome["provider_ref"] = format!("svc-{key}").into();
    outcome
}

fn spec() -> CampaignSpecBuilder {
    CampaignSpec::call("webhook").with(|spec| {
        spec.max_attempts = 1;
        (spec.rate_limit_per_minute, spec.concurrent_limit) = (None, None);
    })
}

struct Situations {
    clock: VirtualExecutor,
    native: bool,
    services: Mutex<Vec<Service>>,
}

impl Fixture for Situations {
    fn provoke(&self, situation: Situation, request: &mut DialRequest) -> Option<Arc<dyn Dialer>> {
        let service = Service::start(&self.clock, self.native);
        let refused = |kind: &str| Fault::Answer(200, json!({ "state": "refused", "kind": kind, "retry_after": 2 }));
        service.change(|state| {
            if request.channel != Channel::Call {
                state.outcome = json!({ "disposition": "delivered" });
            }
            match situation {
                Situation::Long => state.seconds = 60,
                Situation::Busy => state.outcome = json!({ "disposition": "busy" }),
                Situation::Throttled => state.faults.push_back(refused("throttled")),
                Situation::Transient => state.faults.push_back(refused("transient")),
                Situation::Permanent => state.faults.push_back(refused("permanent")),
                Situation::Suppressed => state.faults.push_back(refused("suppressed")),
                Situation::LostAnswer => state.faults.extend(vec![Fault::BreakAfter; if self.native { 3 } else { 1 }]),
                _ => {}
            }
        });
        let dialer = service.dialer();
        self.services.lock().unwrap().push(service);
        Some(Arc::new(dialer))
    }

    fn handed_over(&self, key: &str) -> Option<u64> {
        Some(self.services.lock().unwrap().iter().map(|service| service.carried_out(key)).sum())
    }
}

#[test]
fn the_dialer_keeps_its_contract() {
    for native in [false, true] {
        let report = play(move |clock| async move {
            let shared: SharedExecutor = Arc::new(clock.clone());
            run(shared, &Situations { clock, native, services: Mutex::default() }).await
        });
        report.assert_passed();
        assert_eq!(report.skipped.len(), usize::from(!native), "{report}");
    }
}

#[test]
fn a_request_has_the_fields_that_dialers_in_other_languages_get() {
    play(|clock| async move {
        let service = Service::start(&clock, false);
        service.change(|state| state.at_once = true);
        let host = TestHost::new(Arc::new(clock.clone()));
        let request = sample_request(3, Channel::Call, clock.now());
        let outcome = service.dialer().dial(request.clone(), host.context()).await.unwrap();
        assert_eq!((outcome.disposition, outcome.data["answers"]["q1"].clone()), (Disposition::Answered, json!(5)));
        assert_eq!(host.references(), [outcome.provider_ref.unwrap()]);
        let mut sent = service.state.lock().unwrap().requests[0]["data"].clone();
        let url = sent.as_object_mut().unwrap().shift_remove("callback_url");
        assert_eq!(url, Some(json!("https://campaigns.example.org/webhook-dialer")));
        assert_eq!(sent, Value::Object(campaign_core::wire::dial_request(&request)));
    });
}

#[test]
fn callbacks_end_attempts_once_however_often_they_come() {
    for (twice, at_once) in [(false, false), (true, false), (true, true)] {
        play(move |clock| async move {
            let (service, program) = (Service::start(&clock, false), Program::new(&clock));
            service.change(|state| (state.sink, state.twice, state.at_once) = (Some(program.sink()), twice, at_once));
            let engine = program.start(Arc::new(service.dialer())).await;
            let id = program.begin(&engine, spec(), 5).await;
            program.end(&engine, id).await;
            pass(&program.shared(), Duration::from_secs(60)).await;
            for (_, attempts) in program.look(&engine, id).await {
                let outcome = attempts[0].outcome.clone().unwrap();
                assert_eq!((attempts.len(), outcome.disposition, outcome.duration_seconds), (1, Disposition::Answered, 6));
                assert_eq!(outcome.data["answers"], json!({ "q1": 5 }));
                assert_eq!(service.carried_out(&attempts[0].key), 1);
            }
        });
    }
}

#[test]
fn a_lost_answer_is_healed_by_the_callback_or_by_asking() {
    for told in [true, false] {
        play(move |clock| async move {
            let (service, program) = (Service::start(&clock, false), Program::new(&clock));
            service.change(|state| {
                state.seconds = 3;
                state.sink = told.then(|| program.sink());
                state.faults.push_back(Fault::BreakAfter);
            });
            let mut config = service.config();
            if told {
                // Nobody can be asked; only the callback can tell.
                config.status_url = None;
            }
            let dialer = WebhookDialer::new(config).unwrap().with_http(client(&clock));
            let engine = program.start(Arc::new(dialer)).await;
            let id = program.begin(&engine, spec(), 1).await;
            let (_, attempts) = program.end(&engine, id).await.swap_remove(0);
            assert_eq!((attempts.len(), attempts[0].disposition()), (1, Some(Disposition::Answered)));
            assert_eq!(service.carried_out(&attempts[0].key), 1);
        });
    }
}

#[test]
fn only_a_service_that_ignores_repetitions_gets_one() {
    for native in [true, false] {
        play(move |clock| async move {
            let service = Service::start(&clock, native);
            service.change(|state| state.faults.push_back(Fault::BreakAfter));
            let host = TestHost::new(Arc::new(clock.clone()));
            let request = sample_request(1, Channel::Call, clock.now());
            let result = service.dialer().dial(request.clone(), host.context()).await;
            assert_eq!(service.carried_out(&request.key), 1);
            let sent = service.state.lock().unwrap().requests.len();
            match result {
                Ok(outcome) => assert!(native && sent == 2 && outcome.disposition == Disposition::Answered),
                Err(error) => assert!(!native && sent == 1 && matches!(error, DialError::InDoubt(_))),
            }
            // Not after its time, though: the first one may never have arrived.
            service.change(|state| state.faults.push_back(Fault::BreakBefore));
            let mut late = sample_request(2, Channel::Call, clock.now());
            late.not_after = clock.now();
            let result = service.dialer().dial(late.clone(), TestHost::new(Arc::new(clock.clone())).context()).await;
            assert!(matches!(result, Err(DialError::InDoubt(_))), "{result:?}");
            assert_eq!(service.carried_out(&late.key), 0);
        });
    }
}

#[test]
fn a_service_that_knows_nothing_of_us_costs_no_attempt() {
    play(|clock| async move {
        let (service, program) = (Service::start(&clock, false), Program::new(&clock));
        service.change(|state| {
            state.faults.push_back(Fault::Answer(404, json!({})));
            state.faults.push_back(Fault::Answer(429, json!({ "state": "refused", "kind": "throttled", "retry_after": 11 })));
        });
        let engine = program.start(Arc::new(service.dialer())).await;
        let id = program.begin(&engine, spec(), 1).await;
        let (contact, _) = program.end(&engine, id).await.swap_remove(0);
        assert_eq!((contact.state.attempts, contact.state.last_disposition), (1, Some(Disposition::Answered)));
        assert!(contact.state.last_attempt_at.unwrap() >= campaign_tests::stage::second(60 + 11));
    });
}

#[test]
fn messages_go_out_and_come_in() {
    play(|clock| async move {
        let service = Service::start(&clock, false);
        let dialer = service.dialer();
        let to = campaign_tests::stage::phone(0);
        let received = json!({ "type": "message.received", "data": { "provider_ref": "in-1", "channel": "sms", "from": to.as_str(), "to": "+1999", "text": "STOP" } });
        let read = dialer.read(&service.signed("m", received), clock.now()).unwrap();
        let campaign_core::dialer::Signal::Message(message) = &read.signals[0] else { panic!("a message") };
        assert_eq!((message.text.as_str(), &message.from), ("STOP", &to));
        let answer = OutboundMessage {
            key: "confirm-1".into(),
            channel: Channel::Sms,
            from: "+1999".into(),
            to,
            text: "You will hear from us no more.".into(),
            valid_until: None,
            now: clock.now(),
        };
        assert_eq!(dialer.send(answer).await.unwrap(), "msg-1");
        assert_eq!(service.state.lock().unwrap().requests[0]["data"]["message"], "You will hear from us no more.");
    });
}

#[test]
fn a_callback_that_is_not_signed_is_refused() {
    play(|clock| async move {
        let service = Service::start(&clock, false);
        let dialer = service.dialer();
        let good = service.signed("m", json!({ "type": "attempt.ended", "data": { "key": "k-1", "outcome": "busy" } }));
        assert!(dialer.read(&good, clock.now()).is_ok());
        let mut unsigned = good.clone();
        unsigned.headers.retain(|(name, _)| name != "webhook-signature");
        let mut changed = good.clone();
        changed.body.push(b' ');
        for wrong in [unsigned, changed] {
            assert!(dialer.read(&wrong, clock.now()).is_err());
        }
        assert!(dialer.read(&good, clock.now() + SignedDuration::from_secs(301)).is_err(), "too old");
        // While a secret is replaced the old one is good as well, and requests carry both signatures.
        let rotated =
            WebhookConfig { secret: "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into(), old_secrets: vec![SECRET.into()], ..service.config() };
        let dialer = WebhookDialer::new(rotated).unwrap().with_http(client(&clock));
        assert!(dialer.read(&good, clock.now()).is_ok());
        service.change(|state| state.at_once = true);
        let host = TestHost::new(Arc::new(clock.clone()));
        assert!(dialer.dial(sample_request(9, Channel::Call, clock.now()), host.context()).await.is_ok());
        let shown = format!("{dialer:?}");
        assert!(!shown.contains("AAAA") && !shown.contains("own-token") && !shown.contains("MfKQ"), "{shown}");
    });
}
