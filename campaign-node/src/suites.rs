//! The conformance suites, run on a store or a dialer written in JavaScript.

use crate::adapters::{JsStore, Object};
use crate::convert::{Arguments, read};
use crate::engine::Host;
use crate::runtime::runtime;
use campaign_core::dialer::{DialRequest, Dialer};
use campaign_core::executor::{SharedExecutor, VirtualExecutor};
use campaign_core::store::ContactStore;
use campaign_core::testkit::dialer::{Fixture, Situation};
use campaign_core::testkit::store::checks;
use campaign_core::{Error, Kind, Result};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

/// Every check on a store of its own, which the user's function makes.
pub(crate) async fn store(host: &Arc<Host>, mut arguments: Arguments) -> Result<Value> {
    let factory = Object { bridge: Arc::clone(&host.bridge), id: arguments.take("factory")? };
    let (mut passed, mut failed) = (Vec::new(), Vec::new());
    for check in checks() {
        let id = read("store", factory.call("make", &Value::Null, "the function that makes stores").await?)?;
        let store: Arc<dyn ContactStore> = Arc::new(JsStore(Object { bridge: Arc::clone(&host.bridge), id }));
        match check.run(store).await {
            Ok(()) => passed.push(check.name),
            Err(broken) => failed.push(json!({ "check": check.name, "problem": broken.to_string() })),
        }
        host.bridge.send(&("drop", id));
    }
    Ok(json!({ "passed": passed, "skipped": [], "failed": failed }))
}

/// What the user's fixture provokes.
struct JsFixture {
    host: Arc<Host>,
    object: Object,
    clock: VirtualExecutor,
    /// Whether it can count hand-offs.
    counts: bool,
}

impl Fixture for JsFixture {
    fn provoke(&self, situation: Situation, request: &mut DialRequest) -> Option<Arc<dyn Dialer>> {
        let arguments = json!({ "situation": situation_name(situation), "request": campaign_core::wire::dial_request(request) });
        let answer = self.object.call_and_wait("provoke", &arguments, "the fixture's `provoke`").ok()?;
        let mut answer = Arguments(read("dialer", answer).ok()?);
        if let Some(options) = answer.take("options").ok()? {
            request.options = Arc::new(options);
        }
        let clock: SharedExecutor = Arc::new(self.clock.clone());
        self.host.dialer(answer.take("dialer").ok()?, &clock).ok()
    }

    fn handed_over(&self, key: &str) -> Option<u64> {
        let answer = self.counts.then(|| self.object.call_and_wait("handed_over", &key.into(), "the fixture's `handedOver`"))?;
        answer.ok()?.as_u64()
    }
}

fn situation_name(situation: Situation) -> String {
    let mut name = String::new();
    for letter in format!("{situation:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

/// The suite runs on virtual time, which stands still while JavaScript works and goes on while it waits with `context.sleep`.
pub(crate) async fn dialer(host: &Arc<Host>, mut arguments: Arguments) -> Result<Value> {
    let object = Object { bridge: Arc::clone(&host.bridge), id: arguments.take("fixture")? };
    let (start, counts) = (arguments.take::<Timestamp>("start")?, arguments.take("counts")?);
    let clock = VirtualExecutor::new(start);
    let fixture = JsFixture { host: Arc::clone(host), object, clock: clock.clone(), counts };
    let (send, receive) = tokio::sync::oneshot::channel();
    let executor = Arc::new(clock.clone());
    let work = move || {
        let report = clock.run(async move { campaign_core::testkit::dialer::run(executor, &fixture).await });
        // Whoever asked may have gone.
        let _ = send.send(report);
    };
    runtime().spawn_blocking(work);
    let report = receive.await.map_err(|_| Error::new(Kind::User, "the suite could not go on: a dial neither ended nor waited"))?;
    let list = |entries: Vec<(&str, String)>| -> Vec<Value> {
        entries.into_iter().map(|(check, problem)| json!({ "check": check, "problem": problem })).collect()
    };
    Ok(json!({ "passed": report.passed, "skipped": list(report.skipped), "failed": list(report.failed) }))
}
