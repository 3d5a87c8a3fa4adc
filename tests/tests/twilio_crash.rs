//! `kill -9` while a request to Twilio is on its way: nobody is called twice, by the simulator's book, and nobody is left out.

#![allow(clippy::unwrap_used, missing_docs)]

use campaign_core::Engine;
use campaign_core::campaign::{CampaignSpec, CampaignType};
use campaign_core::contact::Owner;
use campaign_core::dialer::ScriptedDialer;
use campaign_core::executor::TokioExecutor;
use campaign_core::import::{ImportOptions, ImportSource};
use campaign_core::store::{AttemptQuery, ContactQuery, Paging, SqliteStore};
use campaign_tests::AtOnce;
use campaign_tests::vendors::http::{Reply, Server};
use campaign_tests::vendors::twilio::{CallEnd, Fate, Twilio};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::{Child, Command};

const CONTACTS: i64 = 60;
const LIVES: u64 = 24;

async fn engine(database: &Path) -> Engine {
    let kind = |_: &_| Ok(Arc::new(AtOnce) as _);
    let store = SqliteStore::open(database).unwrap();
    Engine::builder().store(store).dialer(ScriptedDialer::new()).campaign_kind(AtOnce::NAME, kind).build().await.unwrap()
}

fn worker(database: &Path, twilio: &Twilio, port: Option<u16>) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twilio_worker"));
    command.arg(database).arg(twilio.url()).args(port.map(|port| port.to_string()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true).spawn().unwrap()
}

async fn killed_in_mid_request(callbacks: bool) {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("campaigns.db");
    let twilio = Twilio::start(Arc::new(TokioExecutor::current().unwrap())).await;
    twilio.set_list_lag(Duration::from_millis(100));
    twilio.otherwise(Fate {
        queue: Duration::from_millis(5),
        ring: Duration::from_millis(30),
        ..Fate::ends(CallEnd::Answered(Duration::from_millis(60)))
    });
    // A port that is free now; every life takes callbacks at the same one.
    let port = if callbacks { Some(Server::start(async |_| Reply::BreakOff).await.unwrap().port()) } else { None };

    let setup = engine(&database).await;
    let spec = CampaignSpec::builder(CampaignType::Custom(AtOnce::NAME.to_owned()), "crash")
        .template("welcome_message", "Hello")
        .concurrent_limit(8)
        .with(|spec| spec.rate_limit_per_minute = None);
    let id = setup.create_campaign(spec.build().unwrap()).await.unwrap().id;
    let rows = (0..CONTACTS).map(|index| json!({"phone": format!("+1202556{index:04}")}).as_object().unwrap().clone()).collect();
    let report = setup.import_contacts(id, ImportSource::Rows(rows), ImportOptions::default()).await.unwrap();
    assert_eq!(report.imported as i64, CONTACTS, "{:?}", report.errors);
    setup.close().await.unwrap();

    let mut killed = 0;
    for life in 0..LIVES {
        // Half of the requests were carried out before their sender died, half were not.
        twilio.hang_after(life % 5, life % 2 == 0);
        let mut child = worker(&database, &twilio, port);
        tokio::select! {
            hanging = twilio.hangs() => {
                assert_eq!(hanging.is_some_and(|attempt| attempt > 0), callbacks);
                killed += 1;
            }
            status = child.wait() => assert!(status.unwrap().success(), "a life that is not killed ends well"),
        }
        child.kill().await.unwrap();
    }
    assert!(killed >= LIVES / 2, "only {killed} lives were killed in the middle of a request; there are too few contacts");
    twilio.hang_no_more();
    let status = worker(&database, &twilio, port).wait().await.unwrap();
    assert!(status.success(), "the last life ends by itself: {status}");

    // The simulator's book is the judge.
    for index in 0..CONTACTS {
        assert_eq!(twilio.hand_offs_to(&format!("+1202556{index:04}")), 1, "contact {index}");
    }
    if callbacks {
        assert!(twilio.hand_offs_by_attempt().values().all(|count| *count == 1));
    }
    let judge = engine(&database).await;
    let query = ContactQuery { paging: Paging { offset: 0, limit: 1000 }, ..ContactQuery::of(Owner::Campaign(id)) };
    for contact in judge.list_contacts(query).await.unwrap().items {
        assert_eq!(contact.state.status.as_str(), "completed", "{contact:?}");
    }
    let query = AttemptQuery { campaign: Some(id), paging: Paging { offset: 0, limit: 1000 }, ..AttemptQuery::default() };
    let attempts = judge.executions(query).await.unwrap().items;
    assert!(attempts.iter().all(|attempt| !attempt.state.is_open()));
    let known: BTreeSet<String> = attempts.iter().filter_map(|attempt| attempt.provider_ref.clone()).collect();
    for call in twilio.calls() {
        assert!(known.contains(&call.sid), "Twilio has a call that the store does not know");
    }
    judge.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_callbacks() {
    killed_in_mid_request(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_callbacks() {
    killed_in_mid_request(false).await;
}
