//! An ended campaign takes no contacts that nobody would ever reach.

#![allow(clippy::unwrap_used, missing_docs)]

mod life;

use campaign_core::Kind;
use campaign_core::contact::ContactStatus;
use campaign_core::dialer::Script;
use campaign_core::executor::Executor;
use campaign_core::import::{ImportOptions, ImportSource};
use life::{live, plain};
use std::time::Duration;

#[test]
fn contacts_are_not_added_to_a_campaign_that_has_ended() {
    live(Script::answered(5), |life| async move {
        let id = life.draft(plain(), 2).await;
        life.engine.start(id).await.unwrap();
        life.engine.wait(id).await.unwrap();
        let rows = || ImportSource::Rows(vec![life::row(7)]);
        let error = life.engine.import_contacts(id, rows(), ImportOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::State);
        assert!(error.to_string().contains("re-execute"), "{error}");
        life.engine.re_execute(id, campaign_core::engine::Reexecution::All).await.unwrap();
        assert_eq!(life.engine.import_contacts(id, rows(), ImportOptions::default()).await.unwrap().imported, 1);
    });
}

#[test]
fn a_call_hung_up_because_the_node_stops_costs_the_contact_nothing() {
    live(Script::answered(600).after(Duration::from_secs(600)), |life| async move {
        let id = life.draft(plain(), 1).await;
        life.engine.start(id).await.unwrap();
        life.clock.sleep_until(life.engine.now() + jiff::SignedDuration::from_secs(5)).await;
        assert_eq!(life.contacts(id).await[0].state.status, ContactStatus::InProgress);
        life.engine.stop(Some(Duration::from_secs(1))).await.unwrap();
        let contact = life.contacts(id).await.remove(0);
        assert_eq!((contact.state.status, contact.state.attempts), (ContactStatus::Pending, 0), "{contact:?}");
        assert_eq!(contact.state.reason.map(|reason| reason.code.to_string()).as_deref(), Some("node_stopping"));
    });
}
