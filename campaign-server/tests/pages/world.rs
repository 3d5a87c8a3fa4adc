//! A server of a page's own, and what its fixture names.

use crate::support::{Answer, Server};
use campaign_core::Engine;
use campaign_core::assistant::{Line, ScriptedAssistant};
use campaign_core::dialer::{Capabilities, DialContext, DialError, DialRequest, Dialer, FindRequest, Found, Script, ScriptedDialer};
use campaign_core::id::{CampaignId, Money};
use campaign_core::outcome::{Channel, Disposition, Outcome};
use campaign_core::store::SqliteStore;
use campaign_server::auth::Scope;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::sync::watch;

/// What is answered when the carrier has it.
const AT_ONCE: &[&str] = &["/api/messages/send", "/api/calls/outbound", "/calls/initiate", "/sms/send"];

/// Who the fixtures call: the last four digits say how it ends.
fn people(names: &[&str]) -> Value {
    let all = json!([
        { "phone_number": "+12125550101", "name": "John Smith", "company": "Acme Corp", "appointment_date": "March 9" },
        { "phone_number": "+12125550102", "name": "Jane Doe", "company": "Tech Inc", "appointment_date": "March 10" },
        { "phone_number": "+12125550103", "name": "Ali Khan", "appointment_date": "March 10" },
        { "phone_number": "+12125550104", "name": "Mia Wong", "appointment_date": "March 11" },
        { "phone_number": "+12125550106", "name": "Ola Berg", "appointment_date": "March 11" },
    ]);
    let wanted = |person: &&Value| names.iter().any(|name| person["phone_number"].as_str().is_some_and(|number| number.ends_with(name)));
    all.as_array().into_iter().flatten().filter(wanted).cloned().collect()
}

/// A carrier with one habit for each number: 0103 is busy, 0104 never hangs up, everybody else answers.
fn carrier() -> ScriptedDialer {
    let dialer = ScriptedDialer::new();
    dialer.on(|request: &DialRequest| {
        let ending = request.to.as_str().get(request.to.as_str().len() - 4..);
        let outcome = match ending {
            // Nobody knows what becomes of a message to that number, either.
            Some("0104") => return Some(Script::Hang.placed(reference(request))),
            _ if request.channel != Channel::Call => Outcome::new(Disposition::Delivered).with_cost(Money::from_units(0.008)),
            Some("0103") => Outcome::new(Disposition::Busy).with_detail("The line was busy"),
            Some("0102") => Outcome::answered(63).with_cost(Money::from_units(0.03)),
            _ => Outcome::answered(45).with_cost(Money::from_units(0.02)),
        };
        Some(Script::Outcome(outcome).placed(reference(request)))
    });
    dialer
}

/// A carrier that waits while an example is being answered: what the answer says does not depend on who was faster.
struct Patient {
    carrier: ScriptedDialer,
    quiet: watch::Receiver<bool>,
}

#[campaign_core::async_trait]
impl Dialer for Patient {
    fn capabilities(&self) -> Capabilities {
        self.carrier.capabilities()
    }

    async fn dial(&self, request: DialRequest, context: DialContext) -> Result<Outcome, DialError> {
        let mut quiet = self.quiet.clone();
        // The server is gone when nobody can say any more that it is quiet.
        let _ = quiet.wait_for(|quiet| *quiet).await;
        self.carrier.dial(request, context).await
    }

    async fn find(&self, request: FindRequest) -> campaign_core::Result<Found> {
        self.carrier.find(request).await
    }
}

fn reference(request: &DialRequest) -> String {
    format!("CA{:08}", request.attempt_id.0)
}

pub struct World {
    pub server: Server,
    /// When it began.
    pub began: Timestamp,
    /// What the examples may name with a `$`.
    pub variables: BTreeMap<&'static str, String>,
    quiet: watch::Sender<bool>,
}

impl World {
    /// A server with the campaigns of a fixture.
    pub async fn new(fixture: &[String]) -> Self {
        let (quiet, watched) = watch::channel(true);
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("test.db")).unwrap();
        let assistant = ScriptedAssistant::new().otherwise([Line::says("We open at nine.")]);
        let builder = Engine::builder().store(store).dialer(Patient { carrier: carrier(), quiet: watched }).assistant(assistant);
        let server = Server::over(builder.build().await.unwrap(), Some(folder), |_| {}).await;
        let began = server.engine.now();
        let (key, read) = (server.key(Scope::Write, Some(1)).await, server.key(Scope::Read, Some(1)).await);
        let admin = server.key(Scope::Admin, Some(1)).await;
        let variables = BTreeMap::from([("CAMPAIGN_API_KEY", key), ("READ_ONLY_KEY", read), ("ADMIN_API_KEY", admin)]);
        let world = Self { server, began, variables, quiet };
        for (index, name) in fixture.iter().enumerate() {
            world.campaign(CampaignId(index as i64 + 1), name).await;
        }
        world
    }

    pub fn key(&self) -> &str {
        &self.variables["CAMPAIGN_API_KEY"]
    }

    async fn campaign(&self, id: CampaignId, kind: &str) {
        let contacts = match kind {
            "empty" => json!([]),
            "draft" | "scheduled" | "completed" => people(&["0101", "0102", "0103"]),
            // Nobody ends, so nothing moves while an example is answered.
            "held" => people(&["0104", "0106"]),
            "running" | "paused" => people(&["0101", "0102", "0103", "0104", "0106"]),
            other => panic!("no fixture makes a campaign that is {other}"),
        };
        let body = json!({
            "name": "March reminders", "description": "Appointments of next week", "campaign_type": "call", "assistant_id": 123,
            "assistant_name": "Sarah",
            "welcome_message_template": "Hi {{name|title_case}}, this is {{assistant_name}} from {{company}}.",
            "agenda_template": "Your appointment is on {{appointment_date}}.",
            "fallback_values": { "company": "our office" },
            "max_attempts": 1, "concurrent_limit": 1, "rate_limit_per_minute": 6000,
        });
        let made = self.ask("POST", "/api/v1/campaigns", Some(body)).await;
        assert_eq!(made["id"], id.0, "fixtures count from 1");
        if kind != "empty" {
            self.ask("POST", &format!("/api/v1/campaigns/{}/contacts", id.0), Some(json!({ "contacts": contacts }))).await;
        }
        let act = |verb: &str| format!("/api/v1/campaigns/{}/{verb}", id.0);
        match kind {
            "scheduled" => {
                let start = json!({ "schedule_type": "scheduled", "scheduled_at": "2040-03-05T09:00:00", "timezone": "America/New_York" });
                self.ask("POST", &act("schedule"), Some(start)).await;
            }
            "completed" => {
                self.ask("POST", &act("start"), None).await;
                self.server.engine.wait(id).await.unwrap();
            }
            "running" | "paused" => {
                self.ask("POST", &act("start"), None).await;
                self.until_held(id).await;
                if kind == "paused" {
                    self.ask("POST", &act("pause"), None).await;
                }
            }
            _ => {}
        }
    }

    /// Sends an example; nobody is called meanwhile, unless the answer waits for that.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        self.quiet.send_replace(AT_ONCE.contains(&path));
        let answer = self.server.send(method, path, headers, body).await;
        self.quiet.send_replace(true);
        answer
    }

    /// Sends what a fixture needs.
    pub async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let answer = self.server.call(self.key(), method, path, body.as_ref()).await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    /// Everybody before the one who never hangs up has been called, and that one is on the line. The engine works in this runtime, so no
    /// time has to pass.
    async fn until_held(&self, id: CampaignId) {
        for _ in 0..1_000_000 {
            let progress = self.server.engine.progress(id).await.unwrap();
            if (progress.completed_contacts, progress.failed_contacts, progress.in_progress_contacts) == (2, 1, 1) {
                let executions = self.ask("GET", &format!("/api/v1/campaigns/{}/executions", id.0), None).await;
                if executions["items"][0]["state"] == "placed" {
                    return;
                }
            }
            tokio::task::yield_now().await;
        }
        panic!("the call that lasts was never placed");
    }
}
