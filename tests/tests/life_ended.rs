//! An ended campaign takes no contacts that nobody would ever reach.

#![allow(clippy::unwrap_used, missing_docs)]

mod life;

use campaign_core::Kind;
use campaign_core::dialer::Script;
use campaign_core::import::{ImportOptions, ImportSource};
use life::{live, plain};

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
