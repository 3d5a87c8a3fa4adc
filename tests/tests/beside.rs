//! An engine that does not execute, beside nodes that do: it manages and watches, they dial.

#![allow(clippy::unwrap_used, missing_docs)]

use campaign_core::campaign::{CampaignSpec, CampaignStatus};
use campaign_core::contact::{ContactStatus, Owner};
use campaign_core::conversation::ConversationKey;
use campaign_core::dialer::{Dialer, Script, ScriptedDialer};
use campaign_core::engine::SendMessage;
use campaign_core::event::EventKind;
use campaign_core::import::{ImportOptions, ImportSource};
use campaign_core::outcome::Channel;
use campaign_core::schedule::Schedule;
use campaign_core::store::{ContactQuery, Suppression, SuppressionScope, open_store};
use campaign_core::{Engine, Kind};
use campaign_tests::Recorder;
use campaign_tests::postgres::Server;
use campaign_tests::stage::{begin, phone, play_on, row, second};
use serde_json::json;
use std::sync::Arc;

#[test]
fn nothing_is_executed_until_there_is_a_node() {
    let setup = |builder: campaign_core::engine::EngineBuilder| builder.options(|options| options.executes = false);
    play_on(ScriptedDialer::new().otherwise(Script::answered(5)), setup, |stage| async move {
        let running = stage.start(CampaignSpec::call("running"), 3).await;
        let waiting = stage.draft_of(CampaignSpec::call("waiting"), (3..5).map(|index| row(index, json!({}))).collect()).await;
        let at = Schedule::once(second(3600));
        assert_eq!(stage.engine.schedule(waiting, at).await.unwrap().status, CampaignStatus::Scheduled);
        stage.until(48 * 3600).await;
        assert!(stage.dialled().is_empty(), "nobody executes");
        assert!(stage.engine.nodes().await.unwrap().is_empty(), "it is no node");
        assert_eq!((stage.status(running).await, stage.status(waiting).await), (CampaignStatus::Running, CampaignStatus::Scheduled));
        assert!(stage.contacts(running).await.iter().all(|contact| contact.state.status == ContactStatus::Pending));

        // A node comes: everything goes on there, and here it is seen.
        let dialer = Arc::new(ScriptedDialer::new().otherwise(Script::answered(5)));
        let node = Engine::builder()
            .shared_store(Arc::clone(&stage.store))
            .shared_dialer(Arc::clone(&dialer) as Arc<dyn Dialer>)
            .executor(stage.clock.clone())
            .build()
            .await
            .unwrap();
        assert_eq!(stage.engine.nodes().await.unwrap().len(), 1);
        node.wait(running).await.unwrap();
        node.wait(waiting).await.unwrap();
        assert_eq!((dialer.requests().len(), stage.dialled().len()), (5, 0));
        assert!(dialer.requests().iter().all(|recorded| recorded.at > begin()));
        node.stop(None).await.unwrap();
    });
}

#[test]
fn it_sends_nothing_and_needs_no_dialer() {
    play_on(
        ScriptedDialer::new().otherwise(Script::answered(5)),
        |builder| builder,
        |stage| async move {
            let beside = Engine::builder()
                .shared_store(Arc::clone(&stage.store))
                .executor(stage.clock.clone())
                .options(|options| options.executes = false)
                .build()
                .await
                .unwrap();
            let conversation = ConversationKey { channel: Channel::Sms, ours: Arc::from("+12025550100"), person: phone(1) };
            let message = SendMessage { conversation, text: "Hello".to_owned(), key: None, valid_for: None };
            assert_eq!(beside.send_message(message).await.unwrap_err().kind(), Kind::State);
            let missing = Engine::builder().shared_store(Arc::clone(&stage.store)).executor(stage.clock.clone()).build().await;
            assert_eq!(missing.err().unwrap().kind(), Kind::Invalid, "a node needs a dialer");
            beside.stop(None).await.unwrap();
        },
    );
}

async fn manages_what_another_runs(url: &str) {
    let reached = || Recorder::new(ScriptedDialer::new().otherwise(Script::answered(0)));
    let (ours, theirs) = (reached(), reached());
    let beside = Engine::builder()
        .shared_store(open_store(url).await.unwrap())
        .dialer(ours.clone())
        .options(|options| options.executes = false)
        .build()
        .await
        .unwrap();
    let id = beside.create_campaign(CampaignSpec::call("beside").rate_limit_per_minute(60_000).build().unwrap()).await.unwrap().id;
    let rows = (0..40).map(|index| row(index, json!({}))).collect();
    assert_eq!(beside.import_contacts(id, ImportSource::Rows(rows), ImportOptions::default()).await.unwrap().imported, 40);
    beside.start(id).await.unwrap();
    assert_eq!(beside.pause(id).await.unwrap().status, CampaignStatus::Paused);
    let entry = Suppression {
        phone: phone(7),
        scope: SuppressionScope::Everything,
        reason: "asked".to_owned(),
        source: None,
        created_at: beside.now(),
        expires_at: None,
    };
    beside.suppress(vec![entry]).await.unwrap();

    let node = Engine::builder()
        .shared_store(open_store(url).await.unwrap())
        .dialer(theirs.clone())
        .options(|options| options.node_name = "the node".to_owned())
        .build()
        .await
        .unwrap();
    let mut events = beside.events(id).await.unwrap();
    beside.resume(id).await.unwrap();
    let mut last = None;
    while let Some(event) = events.next().await {
        last = Some(event.kind);
    }
    let Some(EventKind::Progress(last)) = last else { panic!("the stream ends with counters") };
    assert_eq!((last.status, last.completed_contacts), (CampaignStatus::Completed, 39));
    let counters = beside.wait(id).await.unwrap();
    assert_eq!(counters.completed_contacts, 39);
    let names: Vec<String> = beside.nodes().await.unwrap().into_iter().map(|node| node.name).collect();
    assert_eq!(names, ["the node"]);
    assert_eq!((ours.log().len(), theirs.log().len()), (0, 39));
    let contacts = beside.list_contacts(ContactQuery { count: false, ..ContactQuery::of(Owner::Campaign(id)) }).await.unwrap().items;
    assert_eq!(contacts.iter().filter(|contact| contact.state.status == ContactStatus::Skipped).count(), 1);
    beside.close().await.unwrap();
    node.close().await.unwrap();
}

#[tokio::test]
async fn on_sqlite_it_manages_what_another_process_runs() {
    let folder = tempfile::tempdir().unwrap();
    manages_what_another_runs(&format!("sqlite://{}", folder.path().join("campaigns.db").display())).await;
}

#[tokio::test]
async fn on_postgresql_it_manages_what_another_process_runs() {
    manages_what_another_runs(&format!("{}?schema={}", Server::shared().url(), Server::schema())).await;
}
