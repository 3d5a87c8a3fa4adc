//! A machine that stood still, its clock included: a suspended virtual machine wakes up and knows of no pause. By its own clock its lease
//! holds and its slot has just come; others have had its work for a while.

#![allow(clippy::unwrap_used, missing_docs)]

use campaign_core::Engine;
use campaign_core::campaign::CampaignSpec;
use campaign_core::dialer::{Dialer, Script, ScriptedDialer};
use campaign_core::executor::{Executor, Hold, VirtualExecutor};
use campaign_core::import::{ImportOptions, ImportSource};
use campaign_core::store::{ContactStore, MemoryStore};
use campaign_tests::stage::{begin, row, second};
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A machine that can be suspended.
#[derive(Clone)]
struct Machine {
    clock: VirtualExecutor,
    /// How long it has stood still so far, and since when it does.
    stood: Arc<Mutex<(SignedDuration, Option<Timestamp>)>>,
}

impl Machine {
    fn new(clock: &VirtualExecutor) -> Self {
        Self { clock: clock.clone(), stood: Arc::default() }
    }

    /// It and its clock stand still.
    fn suspend(&self) {
        self.stood.lock().unwrap().1 = Some(self.clock.now());
    }

    fn wake(&self) {
        let mut stood = self.stood.lock().unwrap();
        if let Some(since) = stood.1.take() {
            stood.0 += self.clock.now().duration_since(since);
        }
    }
}

impl Executor for Machine {
    fn now(&self) -> Timestamp {
        let (stood, since) = *self.stood.lock().unwrap();
        since.unwrap_or_else(|| self.clock.now()) - stood
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        let machine = self.clone();
        Box::pin(async move {
            // Timers do not run while the machine stands still.
            while machine.now() < until {
                let left = Duration::try_from(until.duration_since(machine.now())).unwrap();
                let wait = left.min(Duration::from_millis(50));
                machine.clock.sleep_until(machine.clock.now() + SignedDuration::try_from(wait).unwrap()).await;
            }
        })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.clock.spawn(task);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>) {
        self.clock.spawn_blocking(work);
    }

    fn hold(&self) -> Hold {
        self.clock.hold()
    }
}

#[test]
fn a_machine_that_was_suspended_hands_over_nothing_that_others_took() {
    let clock = VirtualExecutor::new(begin());
    let run = clock.clone();
    run.run(async move {
        let store: Arc<dyn ContactStore> = Arc::new(MemoryStore::new());
        let node = |dialer: &Arc<ScriptedDialer>| {
            let (store, dialer) = (Arc::clone(&store), Arc::clone(dialer) as Arc<dyn Dialer>);
            Engine::builder().shared_store(store).shared_dialer(dialer)
        };
        let (machine, dialers) = (Machine::new(&clock), [(); 2].map(|()| Arc::new(ScriptedDialer::new())));
        let first = node(&dialers[0]).executor(machine.clone()).build().await.unwrap();
        let spec = CampaignSpec::call("suspended").rate_limit_per_minute(60).build().unwrap();
        let id = first.create_campaign(spec).await.unwrap().id;
        let rows = (0..3).map(|index| row(index, json!({}))).collect();
        first.import_contacts(id, ImportSource::Rows(rows), ImportOptions::default()).await.unwrap();
        first.start(id).await.unwrap();
        // The first call is made, the second claimed; its slot comes a second after the first.
        clock.sleep_until(begin() + SignedDuration::from_millis(800)).await;
        assert_eq!(dialers[0].requests().len(), 1);
        machine.suspend();

        // The other node talks to the same people for long: nothing about them or the campaign tells the first one to keep off.
        let long = || Script::answered(20).after(Duration::from_secs(600));
        dialers[1].next([long(), long()]);
        let second_node = node(&dialers[1]).executor(clock.clone()).build().await.unwrap();
        clock.sleep_until(second(120)).await;
        assert_eq!(dialers[1].requests().len(), 2, "the other two were reached by the other node");
        let taken_over = dialers[1].requests().iter().filter(|seen| seen.at > second(20)).count();
        assert_eq!(taken_over, 1, "one of them had been claimed, and only came free after lease and quarantine");
        machine.wake();
        clock.sleep_until(clock.now() + SignedDuration::from_secs(5)).await;
        assert_eq!(dialers[0].requests().len(), 1, "and by it alone");
        first.abort();
        second_node.abort();
    });
}
