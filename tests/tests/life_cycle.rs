//! Campaigns from draft to end: every step by hand, legal and illegal.

#![allow(clippy::unwrap_used, missing_docs)]

mod life;

use campaign_core::Kind;
use campaign_core::campaign::{CampaignSpec, CampaignStatus, CampaignType, RetryPolicy};
use campaign_core::contact::ContactStatus;
use campaign_core::dialer::Script;
use campaign_core::engine::Reexecution;
use campaign_core::outcome::Disposition;
use campaign_core::store::{CampaignQuery, MemoryStore, Paging};
use campaign_tests::lossy::Lossy;
use life::{live, live_on, plain, refused};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

fn slow() -> Script {
    Script::answered(60).after(Duration::from_secs(60))
}

#[test]
fn a_campaign_goes_from_draft_to_completed() {
    live(slow(), |life| async move {
        let id = life.draft(plain(), 3).await;
        assert_eq!(life.status(id).await, CampaignStatus::Draft);
        let started = life.engine.start(id).await.unwrap();
        assert_eq!(started.status, CampaignStatus::Running);
        assert_eq!(started.started_at, Some(life.engine.now()));
        let progress = life.engine.wait(id).await.unwrap();
        assert_eq!((progress.completed_contacts, progress.completion_rate), (3, 100.0));
        let record = life.record(id).await;
        assert_eq!(record.status, CampaignStatus::Completed);
        assert_eq!(record.completed_at, Some(life.engine.now()));
    });
}

#[test]
fn a_step_that_is_not_possible_is_refused_with_a_reason() {
    live(slow(), |life| async move {
        let engine = &life.engine;
        let id = life.draft(plain(), 0).await;
        refused(engine.start(id).await, "No contacts found");
        for (result, text) in [
            (engine.pause(id).await, "cannot pause a campaign that is draft"),
            (engine.resume(id).await, "cannot resume a campaign that is draft"),
            (engine.unschedule(id).await, "cannot unschedule a campaign that is draft"),
            (engine.complete(id).await, "cannot complete a campaign that is draft"),
        ] {
            refused(result, text);
        }
        refused(engine.re_execute(id, Reexecution::All).await, "cannot reexecute a campaign that is draft");
        life.add(id, 0..2).await;
        engine.start(id).await.unwrap();
        refused(engine.start(id).await, "cannot start a campaign that is running");
        refused(engine.resume(id).await, "cannot resume a campaign that is running");
        refused(engine.schedule(id, campaign_core::schedule::Schedule::once(life::at("2026-04-01T09:00:00Z"))).await, "running");
        refused(engine.complete(id).await, "contacts");
        refused(engine.delete_campaign(id).await, "still reaching people");
        engine.wait(id).await.unwrap();
        refused(engine.start(id).await, "cannot start a campaign that is completed");
        refused(engine.pause(id).await, "cannot pause a campaign that is completed");
        refused(engine.cancel(id).await, "cannot cancel a campaign that is completed");
        engine.delete_campaign(id).await.unwrap();
        assert_eq!(engine.get_campaign(id).await.unwrap_err().kind(), Kind::NotFound);
        assert_eq!(engine.start(id).await.unwrap_err().kind(), Kind::NotFound);
        assert_eq!(engine.wait(id).await.unwrap_err().kind(), Kind::NotFound);
    });
}

#[test]
fn of_two_who_start_a_campaign_at_once_one_does() {
    for later in 0..40 {
        // Answers take a while, so that the second start meets every moment of the first.
        let store = Lossy::new(Arc::new(MemoryStore::new())).by(|_| Box::pin(tokio::task::yield_now()));
        live_on(Arc::new(store), Script::answered(1), move |life| async move {
            let id = life.draft(plain(), 5).await;
            let second = async {
                for _ in 0..later {
                    tokio::task::yield_now().await;
                }
                life.engine.start(id).await
            };
            let (first, second) = futures_util::join!(life.engine.start(id), second);
            assert!(first.is_ok() || second.is_ok());
            let _ = life.engine.wait(id).await.unwrap();
            let record = life.record(id).await;
            assert_eq!((record.run.number, record.run.resetting), (1, false), "{later}: {first:?} and {second:?}");
            assert_eq!(life.handed().len(), 5, "{later}");
        });
    }
}

#[test]
fn a_campaign_whose_contacts_are_all_processed_does_not_start() {
    live(slow(), |life| async move {
        let id = life.draft(plain(), 0).await;
        let entry = campaign_core::store::Suppression {
            phone: life::phone(0),
            scope: campaign_core::store::SuppressionScope::Everything,
            reason: "asked".to_owned(),
            source: None,
            created_at: life.engine.now(),
            expires_at: None,
        };
        life.engine.suppress(vec![entry]).await.unwrap();
        let report = life.engine.add_contacts(id, vec![life::row(0)], Default::default()).await.unwrap();
        assert_eq!((report.imported, report.suppressed), (0, 1));
        refused(life.engine.start(id).await, "All contacts have already been processed");
    });
}

#[test]
fn campaigns_are_listed_newest_first_by_filter_search_and_page() {
    live(slow(), |life| async move {
        let engine = &life.engine;
        for index in 0..5 {
            let spec = CampaignSpec::sms(format!("Reminder {index}")).with(|spec| spec.assistant_id = Some(index % 2));
            engine.create_campaign(spec.build().unwrap()).await.unwrap();
        }
        let other = life.draft(plain(), 1).await;
        engine.start(other).await.unwrap();
        let names = async |query: CampaignQuery| {
            let page = engine.list_campaigns(query).await.unwrap();
            (page.items.iter().map(|record| record.spec.name.clone()).collect::<Vec<_>>(), page.total)
        };
        let (all, total) = names(CampaignQuery { paging: Paging { offset: 1, limit: 2 }, ..CampaignQuery::default() }).await;
        assert_eq!((all, total), (vec!["Reminder 4".to_owned(), "Reminder 3".to_owned()], 6));
        let running = CampaignQuery { statuses: vec![CampaignStatus::Running], ..CampaignQuery::default() };
        assert_eq!(names(running).await, (vec!["plain".to_owned()], 1));
        let odd = CampaignQuery {
            campaign_type: Some(CampaignType::Sms),
            assistant_id: Some(1),
            search: Some("REMINDER".to_owned()),
            ..CampaignQuery::default()
        };
        assert_eq!(names(odd).await, (vec!["Reminder 3".to_owned(), "Reminder 1".to_owned()], 2));
    });
}

#[test]
fn a_patch_replaces_what_it_names_and_null_resets() {
    live(slow(), |life| async move {
        let engine = &life.engine;
        let id = life.draft(plain().template("agenda", "Hello").fallback("name", "you"), 1).await;
        let patch = json!({ "description": "new", "max_attempts": null, "templates": { "agenda": null, "welcome_message": "Hi" }, "budget": 5_000_000 });
        let record = engine.patch_campaign(id, &patch).await.unwrap();
        assert_eq!(record.spec_version, 2);
        assert_eq!(record.spec.description.as_deref(), Some("new"));
        assert_eq!(record.spec.max_attempts, CampaignSpec::default().max_attempts);
        assert_eq!(record.spec.templates.keys().collect::<Vec<_>>(), ["welcome_message"]);
        assert_eq!(record.spec.fallback_values["name"], "you");
        assert_eq!(record.spec.name, "plain");
        for (patch, kind) in [
            (json!({ "colour": "red" }), Kind::Invalid),
            (json!({ "max_attempts": 99 }), Kind::Invalid),
            (json!({ "name": null }), Kind::Invalid),
            (json!([1]), Kind::Invalid),
            (json!({ "templates": { "agenda": "{{ name" } }), Kind::Template),
        ] {
            assert_eq!(engine.patch_campaign(id, &patch).await.unwrap_err().kind(), kind, "{patch}");
        }
        assert_eq!(life.record(id).await.revision, record.revision);
        engine.start(id).await.unwrap();
        let changed = engine.update_campaign(id, |spec| spec.retry = RetryPolicy { jitter_percent: 5, ..RetryPolicy::default() }).await;
        assert_eq!(changed.unwrap().spec_version, 3);
        let kind = engine.update_campaign(id, |spec| spec.campaign_type = CampaignType::Sms).await.unwrap_err();
        assert_eq!((kind.kind(), kind.context()[0].1.as_str()), (Kind::Invalid, "campaign_type"));
    });
}

#[test]
fn cancelling_keeps_running_attempts_and_gives_up_the_rest() {
    live(Script::ends(Disposition::Busy).after(Duration::from_secs(60)), |life| async move {
        let id = life.draft(plain().concurrent_limit(2).retries(3, 1), 5).await;
        life.engine.start(id).await.unwrap();
        life.second().await;
        let cancelled = life.engine.cancel(id).await.unwrap();
        assert_eq!(cancelled.status, CampaignStatus::Cancelled);
        assert_eq!(cancelled.completed_at, Some(life.engine.now()));
        use ContactStatus::{Cancelled, InProgress};
        assert_eq!(life.statuses(id).await, [InProgress, InProgress, Cancelled, Cancelled, Cancelled]);
        refused(life.engine.delete_campaign(id).await, "still reaching people");
        refused(life.engine.re_execute(id, Reexecution::All).await, "still running");
        refused(life.engine.cancel(id).await, "cannot cancel a campaign that is cancelled");
        life.sleep(60).await;
        assert_eq!(life.statuses(id).await, [Cancelled; 5]);
        assert_eq!(life.dialer.requests().len(), 2, "a retry after the cancellation");
        let contacts = life.contacts(id).await;
        assert_eq!(contacts[0].state.attempts, 1);
        assert_eq!(contacts[0].state.last_disposition, Some(Disposition::Busy));
        assert!(contacts.iter().all(|contact| &*contact.state.reason.as_ref().unwrap().code == "campaign_cancelled"));
        assert_eq!(life.engine.executions(Default::default()).await.unwrap().items.len(), 2);
    });
}

#[test]
fn an_attempt_due_later_does_not_survive_a_cancellation() {
    live(Script::ends(Disposition::NoAnswer), |life| async move {
        let id = life.draft(plain().retries(3, 30), 1).await;
        life.engine.start(id).await.unwrap();
        life.sleep(10).await;
        life.engine.cancel(id).await.unwrap();
        life.sleep(600).await;
        assert_eq!((life.statuses(id).await, life.handed().len()), (vec![ContactStatus::Cancelled], 1));
    });
}

#[test]
fn a_cancellation_that_a_crash_cut_short_is_finished_by_the_next_node() {
    live(slow(), |mut life| async move {
        let id = life.draft(plain(), 3).await;
        let mut record = life.record(id).await;
        let expected_revision = record.revision;
        record.status = CampaignStatus::Cancelled;
        let save = campaign_core::store::SaveCampaign { record, expected_revision, guard: None, now: life.engine.now() };
        life.store.save_campaign(save).await.unwrap();
        life.crash(1).await;
        life.sleep(1).await;
        assert_eq!(life.statuses(id).await, [ContactStatus::Cancelled; 3]);
    });
}

#[test]
fn pausing_holds_and_resuming_goes_on() {
    live(slow(), |life| async move {
        let id = life.draft(plain().concurrent_limit(1), 3).await;
        life.engine.start(id).await.unwrap();
        life.second().await;
        let paused = life.engine.pause(id).await.unwrap();
        assert_eq!(&*paused.reason.unwrap().code, "paused");
        refused(life.engine.pause(id).await, "cannot pause a campaign that is paused");
        refused(life.engine.complete(id).await, "contacts");
        life.sleep(60).await;
        assert_eq!(life.handed().len(), 1);
        let resumed = life.engine.start(id).await.unwrap();
        assert_eq!((resumed.status, resumed.reason, resumed.run.number), (CampaignStatus::Running, None, 1));
        life.engine.wait(id).await.unwrap();
        assert_eq!(life.handed().len(), 3);
    });
}

#[test]
fn a_paused_campaign_without_open_contacts_is_completed_by_hand() {
    live(slow(), |life| async move {
        let id = life.draft(plain(), 1).await;
        life.engine.start(id).await.unwrap();
        life.second().await;
        life.engine.pause(id).await.unwrap();
        life.sleep(5).await;
        assert_eq!(life.statuses(id).await, [ContactStatus::Completed]);
        assert_eq!(life.status(id).await, CampaignStatus::Paused, "a person paused it; a person ends it");
        assert_eq!(life.engine.complete(id).await.unwrap().status, CampaignStatus::Completed);
    });
}

#[test]
fn a_campaign_is_completed_only_when_nothing_is_open() {
    live(slow(), |life| async move {
        let id = life.draft(plain().retries(2, 60), 2).await;
        life.dialer.on_phone(&life::phone(0), [Script::ends(Disposition::Busy)]);
        life.engine.start(id).await.unwrap();
        life.sleep(59).await;
        assert_eq!(life.statuses(id).await, [ContactStatus::Pending, ContactStatus::Completed]);
        assert_eq!(life.status(id).await, CampaignStatus::Running);
        life.engine.wait(id).await.unwrap();
        assert_eq!(life.statuses(id).await, [ContactStatus::Completed; 2]);
    });
}

#[test]
fn contacts_added_while_it_runs_are_reached() {
    live(slow(), |life| async move {
        let id = life.draft(plain(), 1).await;
        life.engine.start(id).await.unwrap();
        life.second().await;
        life.add(id, 1..4).await;
        assert_eq!(life.engine.wait(id).await.unwrap().completed_contacts, 4);
        assert_eq!(life.handed().len(), 4);
    });
}

#[test]
fn re_execution_reaches_all_failed_or_given_contacts_in_a_new_run() {
    live(Script::answered(10), |life| async move {
        let engine = &life.engine;
        let id = life.draft(plain(), 4).await;
        life.dialer.on_phone(&life::phone(0), [Script::ends(Disposition::Busy), Script::ends(Disposition::NoAnswer)]);
        life.dialer.on_phone(&life::phone(1), [Script::permanent()]);
        engine.start(id).await.unwrap();
        assert_eq!(engine.wait(id).await.unwrap().failed_contacts, 2);

        assert_eq!(engine.re_execute(id, Reexecution::FailedOnly).await.unwrap(), 2);
        let record = life.record(id).await;
        assert_eq!((record.status, record.run.number, record.completed_at), (CampaignStatus::Draft, 2, None));
        use ContactStatus::{Completed, NoAnswer, Pending};
        assert_eq!(life.statuses(id).await, [Pending, Pending, Completed, Completed]);
        let before = engine.progress(id).await.unwrap();
        assert_eq!((before.pending_contacts, before.completed_contacts, before.failed_contacts), (2, 2, 0));
        engine.start(id).await.unwrap();
        let progress = engine.wait(id).await.unwrap();
        assert_eq!((progress.run, progress.completed_contacts, progress.no_answer_contacts), (2, 3, 1));
        assert_eq!(life.statuses(id).await, [NoAnswer, Completed, Completed, Completed]);
        assert_eq!(life.contacts(id).await.iter().map(|contact| contact.state.run).collect::<Vec<_>>(), [2, 2, 1, 1]);

        let ids = life.ids(id).await;
        let stranger = life.draft(plain(), 1).await;
        let foreign = life.ids(stranger).await;
        refused(engine.re_execute(id, Reexecution::Contacts(vec![])).await, "no contact fits");
        refused(engine.re_execute(id, Reexecution::Contacts(foreign)).await, "no contact fits");
        assert_eq!(life.status(id).await, CampaignStatus::Completed);
        assert_eq!(engine.re_execute(id, Reexecution::Contacts(vec![ids[3]])).await.unwrap(), 1);
        engine.start(id).await.unwrap();
        engine.wait(id).await.unwrap();
        assert_eq!(engine.re_execute(id, Reexecution::All).await.unwrap(), 4);
        engine.start(id).await.unwrap();
        let progress = engine.wait(id).await.unwrap();
        assert_eq!((progress.run, progress.completed_contacts, progress.total_duration_seconds), (4, 4, 40));
        refused(engine.re_execute(id, Reexecution::FailedOnly).await, "no contact fits");

        let runs = async |run| {
            let query = campaign_core::store::AttemptQuery { campaign: Some(id), run: Some(run), count: true, ..Default::default() };
            engine.executions(query).await.unwrap().total
        };
        // A permanent error is an outcome, too.
        assert_eq!((runs(1).await, runs(2).await, runs(3).await, runs(4).await), (4, 2, 1, 4));
    });
}
