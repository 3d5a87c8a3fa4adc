//! Every answer of the store can be lost after what was asked for has happened. Each is lost once, and nothing goes wrong for it.

#![allow(clippy::unwrap_used, missing_docs)]

use campaign_core::campaign::CampaignSpec;
use campaign_core::dialer::{Script, ScriptedDialer, SimulatedDialer};
use campaign_core::import::{ImportOptions, ImportSource};
use campaign_core::outcome::Disposition;
use campaign_core::store::MemoryStore;
use campaign_core::{Engine, Kind};
use campaign_tests::lossy::Lossy;
use campaign_tests::stage::{play_on, row, told};
use serde_json::json;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A node dies with calls on and others claimed; the next one takes over, finishes, and does not get these answers. Returns the methods
/// that gave them.
fn finish_without(answers: Range<u64>) -> Vec<&'static str> {
    let dialer = ScriptedDialer::new();
    let long = || Script::answered(20).after(Duration::from_secs(60));
    dialer.next([long(), long(), Script::ends(Disposition::Busy), Script::throttled(Duration::from_secs(2))]);
    let store = Lossy::new(Arc::new(MemoryStore::new()));
    let (engines, name) = (store.clone(), format!("without {answers:?}"));
    play_on(
        dialer,
        move |builder| builder.store(engines.clone()),
        move |mut stage| async move {
            let spec = CampaignSpec::call("lost answers").rate_limit_per_minute(120).concurrent_limit(4).retries(2, 1);
            let id = stage.start(spec, 8).await;
            stage.until(1).await;
            stage.crash().await;
            store.lose(answers);
            // Whoever waits hears that the store is away, and waits again.
            loop {
                tokio::select! {
                    biased;
                    waited = stage.engine.wait(id) => match waited {
                        Ok(_) => break,
                        Err(error) => assert_eq!(error.kind(), Kind::Unavailable, "{name}: {error}"),
                    },
                    () = stage.until(24 * 3600) => {
                        panic!("{name}, which are {:?}, the campaign does not end: {:?}", store.lost(), stage.contacts(id).await)
                    }
                }
            }
            let lost = store.lost();
            store.lose(0..0);
            let contacts = stage.end(id).await;
            assert!(contacts.iter().all(|contact| told(contact) == ("completed", "answered")), "{name}: {contacts:?}");
            stage.dialer.assert_no_repeats();
            let peak = stage.peak();
            assert!(peak <= 4, "{name}: {peak} at once");
            lost
        },
    )
}

#[test]
fn each_answer_is_lost_once_and_nobody_is_skipped_or_called_twice() {
    let mut methods = BTreeSet::new();
    let mut failed = Vec::new();
    for length in [1, 3] {
        for first in 0.. {
            let answers = first..first + length;
            match std::panic::catch_unwind(|| finish_without(answers.clone())) {
                Ok(lost) if lost.is_empty() => break,
                Ok(lost) => methods.extend(lost),
                Err(_) => failed.push(answers),
            }
        }
    }
    // Each has said above what was lost and what came of it.
    assert!(failed.is_empty(), "without these answers it goes wrong: {failed:?}");
    // A test that never lost what it is about would prove nothing.
    for method in ["claim", "settle", "take_over", "save_campaign", "renew_node", "changes", "campaign"] {
        assert!(methods.contains(method), "no answer of {method} was lost, only of {methods:?}");
    }
}

/// Hand-offs ask the store together whether anything has changed: some of them wait for its answer, others for their turn to ask.
#[tokio::test]
async fn an_engine_whose_store_never_answers_is_gone_once_it_is_dropped() {
    let silent = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(tokio::sync::Notify::new());
    let (is_silent, is_asked) = (Arc::clone(&silent), Arc::clone(&asked));
    let store = Lossy::new(Arc::new(MemoryStore::new())).by(move |method| {
        let (silent, asked) = (Arc::clone(&is_silent), Arc::clone(&is_asked));
        Box::pin(async move {
            match method {
                "claim" => silent.store(true, Ordering::SeqCst),
                "changes" if silent.load(Ordering::SeqCst) => {
                    asked.notify_one();
                    std::future::pending().await
                }
                _ => {}
            }
        })
    });
    let dialer = Arc::new(SimulatedDialer::instant());
    let held = Arc::downgrade(&dialer);
    let engine = Engine::builder().store(store).shared_dialer(dialer).build().await.unwrap();
    let spec = CampaignSpec::call("silence").with(|spec| spec.rate_limit_per_minute = None).build().unwrap();
    let id = engine.create_campaign(spec).await.unwrap().id;
    let rows = (0..10).map(|index| row(index, json!({}))).collect();
    engine.import_contacts(id, ImportSource::Rows(rows), ImportOptions::default()).await.unwrap();
    engine.start(id).await.unwrap();
    asked.notified().await;
    // Everybody who is going to wait does.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    engine.abort();
    drop(engine);
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert!(held.upgrade().is_none(), "somebody still holds the engine");
}
