//! When campaigns start: once, again and again, too late.

#![allow(clippy::unwrap_used, missing_docs)]

mod life;

use campaign_core::Kind;
use campaign_core::campaign::{CampaignSpec, CampaignStatus};
use campaign_core::contact::ContactStatus;
use campaign_core::dialer::Script;
use campaign_core::engine::Reexecution;
use campaign_core::event::EventKind;
use campaign_core::outcome::Disposition;
use campaign_core::schedule::{Frequency, PastDue, Recurrence, Schedule};
use campaign_core::store::{AttemptQuery, BulkAction, BulkChange, SaveCampaign, Selection};
use life::{Life, at, live, plain, refused};
use std::time::Duration;

fn answered() -> Script {
    Script::answered(10)
}

fn once(moment: &str, past_due: PastDue) -> Schedule {
    Schedule::Once { scheduled_at: at(moment), timezone: "UTC".to_owned(), past_due }
}

fn daily(count: u32) -> Recurrence {
    Recurrence { time: "12:00".to_owned(), count: Some(count), ..Recurrence::default() }
}

#[test]
fn a_scheduled_campaign_starts_at_its_moment() {
    live(answered(), |life| async move {
        let id = life.draft(plain(), 2).await;
        let scheduled = life.engine.schedule(id, once("2026-03-02T15:00:00Z", PastDue::Run)).await.unwrap();
        assert_eq!((scheduled.status, scheduled.run.next_start), (CampaignStatus::Scheduled, Some(at("2026-03-02T15:00:00Z"))));
        let started = life.engine.start(id).await.unwrap();
        assert_eq!(started.status, CampaignStatus::Scheduled, "start waits for the moment");
        life.engine.wait(id).await.unwrap();
        assert_eq!(life.handed(), [at("2026-03-02T15:00:00Z"); 2]);
        assert_eq!(life.record(id).await.run.next_start, None);
    });
}

#[test]
fn a_start_with_a_schedule_in_the_future_waits_for_it() {
    live(answered(), |life| async move {
        let id = life.draft(plain().schedule(once("2026-03-03T08:00:00Z", PastDue::Run)), 1).await;
        assert_eq!(life.engine.start(id).await.unwrap().status, CampaignStatus::Scheduled);
        life.engine.wait(id).await.unwrap();
        assert_eq!(life.handed(), [at("2026-03-03T08:00:00Z")]);
    });
}

#[test]
fn a_start_that_is_edited_is_obeyed() {
    live(answered(), |life| async move {
        let engine = &life.engine;
        let moved = |moment: &'static str| move |spec: &mut CampaignSpec| spec.schedule = once(moment, PastDue::Run);
        let later = life.draft(plain(), 1).await;
        engine.schedule(later, once("2026-03-02T15:00:00Z", PastDue::Run)).await.unwrap();
        let edited = engine.update_campaign(later, moved("2026-03-02T18:00:00Z")).await.unwrap();
        assert_eq!((edited.status, edited.run.next_start), (CampaignStatus::Scheduled, Some(at("2026-03-02T18:00:00Z"))));
        engine.wait(later).await.unwrap();
        assert_eq!(life.handed(), [at("2026-03-02T18:00:00Z")]);

        let sooner = life.draft(plain(), 1).await;
        engine.schedule(sooner, once("2030-01-01T00:00:00Z", PastDue::Run)).await.unwrap();
        engine.update_campaign(sooner, moved("2026-03-02T20:00:00Z")).await.unwrap();
        engine.wait(sooner).await.unwrap();
        assert_eq!(life.handed()[1], at("2026-03-02T20:00:00Z"));

        let now = life.draft(plain(), 1).await;
        engine.schedule(now, once("2030-01-01T00:00:00Z", PastDue::Run)).await.unwrap();
        engine.update_campaign(now, |spec| spec.schedule = Schedule::Immediate).await.unwrap();
        engine.wait(now).await.unwrap();
        assert_eq!(life.handed().len(), 3, "one whose start was taken out begins");

        let rule = life.draft(plain(), 1).await;
        engine.schedule(rule, Schedule::recurring(daily(2))).await.unwrap();
        let over = Recurrence { end_date: Some("2026-03-01".to_owned()), ..daily(2) };
        let refused = engine.update_campaign(rule, |spec| spec.schedule = Schedule::recurring(over.clone())).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Invalid);
    });
}

#[test]
fn a_campaign_that_waits_for_its_start_is_not_paused() {
    live(answered(), |life| async move {
        let id = life.draft(plain(), 1).await;
        life.engine.schedule(id, once("2030-01-01T00:00:00Z", PastDue::Run)).await.unwrap();
        refused(life.engine.pause(id).await, "cannot pause a campaign that is scheduled; unschedule it");
        assert_eq!(life.status(id).await, CampaignStatus::Scheduled);
    });
}

#[test]
fn a_moment_in_the_past_and_a_rule_without_future_are_refused() {
    live(answered(), |life| async move {
        let id = life.draft(plain(), 1).await;
        let error = life.engine.schedule(id, Schedule::once(at("2026-03-01T09:00:00Z"))).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::Invalid, "Scheduled time is in the past"));
        let over =
            Recurrence { end_date: Some("2020-01-01".to_owned()), start_date: Some("2019-01-01".to_owned()), ..Recurrence::default() };
        let error = life.engine.schedule(id, Schedule::recurring(over)).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::Invalid, "has no occurrence in the future"));
        let wrong = Recurrence { interval: 0, ..Recurrence::default() };
        let error = life.engine.schedule(id, Schedule::recurring(wrong)).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::Invalid, "must be 1 to 1000"));
        assert_eq!(life.status(id).await, CampaignStatus::Draft);
    });
}

#[test]
fn a_start_is_taken_back_by_unscheduling_or_by_scheduling_immediately() {
    live(answered(), |life| async move {
        let id = life.draft(plain(), 1).await;
        for _ in 0..2 {
            life.engine.schedule(id, once("2026-03-02T15:00:00Z", PastDue::Run)).await.unwrap();
            let record = life.engine.schedule(id, Schedule::Immediate).await.unwrap();
            assert_eq!((record.status, record.run.next_start), (CampaignStatus::Draft, None));
        }
        assert_eq!(life.engine.schedule(id, Schedule::Immediate).await.unwrap().status, CampaignStatus::Draft);
        life.engine.schedule(id, once("2026-03-02T15:00:00Z", PastDue::Run)).await.unwrap();
        assert_eq!(life.engine.unschedule(id).await.unwrap().status, CampaignStatus::Draft);
        life.until("2026-03-02T18:00:00Z").await;
        assert!(life.handed().is_empty());
        life.engine.start(id).await.unwrap();
        life.engine.wait(id).await.unwrap();
        assert_eq!(life.handed(), [at("2026-03-02T18:00:00Z")]);
    });
}

#[test]
fn a_scheduled_campaign_can_be_cancelled() {
    live(answered(), |life| async move {
        let id = life.draft(plain(), 2).await;
        life.engine.schedule(id, once("2026-03-02T15:00:00Z", PastDue::Run)).await.unwrap();
        life.engine.cancel(id).await.unwrap();
        life.sleep(2000).await;
        assert_eq!((life.statuses(id).await, life.handed().len()), (vec![ContactStatus::Cancelled; 2], 0));
    });
}

/// Scheduled for 10:00; the node is down from 09:00 to 12:00.
async fn late(life: &mut Life, past_due: PastDue) -> campaign_core::id::CampaignId {
    let id = life.draft(plain(), 2).await;
    life.engine.schedule(id, once("2026-03-02T10:00:00Z", past_due)).await.unwrap();
    life.crash(180).await;
    life.second().await;
    id
}

#[test]
fn a_past_start_runs_after_an_outage() {
    live(answered(), |mut life| async move {
        let id = late(&mut life, PastDue::Run).await;
        life.engine.wait(id).await.unwrap();
        assert_eq!(life.handed(), [at("2026-03-02T12:00:00Z"); 2]);
    });
}

#[test]
fn a_past_start_is_left_out_when_so_asked() {
    live(answered(), |mut life| async move {
        let id = late(&mut life, PastDue::Skip).await;
        let record = life.record(id).await;
        assert_eq!((record.status, record.run.next_start), (CampaignStatus::Draft, None));
        assert_eq!(&*record.reason.unwrap().code, "past_due");
        assert!(life.handed().is_empty());
    });
}

#[test]
fn a_past_start_is_held_for_a_person_when_so_asked() {
    live(answered(), |mut life| async move {
        let id = late(&mut life, PastDue::Hold).await;
        let record = life.record(id).await;
        assert_eq!((record.status, &*record.reason.unwrap().code), (CampaignStatus::Paused, "past_due"));
        life.engine.resume(id).await.unwrap();
        let progress = life.engine.wait(id).await.unwrap();
        assert_eq!((progress.run, progress.completed_contacts), (1, 2));
        assert_eq!(life.record(id).await.run.next_start, None);
    });
}

#[test]
fn a_held_occurrence_of_a_recurring_campaign_reaches_everybody_when_resumed() {
    live(answered(), |mut life| async move {
        let id = life.draft(plain(), 2).await;
        let schedule = Schedule::Recurring { recurring_config: daily(2), past_due: PastDue::Hold };
        life.engine.schedule(id, schedule).await.unwrap();
        life.until("2026-03-02T13:00:00Z").await;
        assert_eq!(life.handed().len(), 2);
        life.crash(2 * 24 * 60).await;
        life.second().await;
        assert_eq!(life.status(id).await, CampaignStatus::Paused);
        life.engine.resume(id).await.unwrap();
        let progress = life.engine.wait(id).await.unwrap();
        assert_eq!((progress.run, progress.completed_contacts, life.handed().len()), (2, 2, 4));
    });
}

#[test]
fn past_occurrences_are_left_out_and_the_next_one_runs() {
    live(answered(), |mut life| async move {
        let id = life.draft(plain(), 1).await;
        let schedule = Schedule::Recurring { recurring_config: daily(4), past_due: PastDue::Skip };
        life.engine.schedule(id, schedule).await.unwrap();
        life.until("2026-03-02T13:00:00Z").await;
        // The second and the third occurrence pass.
        life.crash(2 * 24 * 60).await;
        life.engine.wait(id).await.unwrap();
        assert_eq!(life.handed(), [at("2026-03-02T12:00:00Z"), at("2026-03-05T12:00:00Z")]);
    });
}

#[test]
fn each_occurrence_is_a_numbered_run_over_the_whole_list() {
    live(answered(), |life| async move {
        let id = life.draft(plain(), 2).await;
        life.dialer.on_phone(&life::phone(0), [Script::ends(Disposition::Busy)]);
        let mut events = life.engine.events(id).await.unwrap();
        life.engine.schedule(id, Schedule::recurring(daily(3))).await.unwrap();
        life.until("2026-03-02T18:00:00Z").await;
        let record = life.record(id).await;
        assert_eq!((record.status, record.run.number), (CampaignStatus::Scheduled, 1));
        assert_eq!(record.run.next_start, Some(at("2026-03-03T12:00:00Z")));
        assert_eq!(life.statuses(id).await, [ContactStatus::Busy, ContactStatus::Completed], "as run 1 left them");
        let progress = life.engine.wait(id).await.unwrap();
        assert_eq!((progress.run, progress.completed_contacts, progress.failed_contacts), (3, 2, 0));
        assert_eq!(life.status(id).await, CampaignStatus::Completed);
        let noons = ["2026-03-02T12:00:00Z", "2026-03-03T12:00:00Z", "2026-03-04T12:00:00Z"].map(at);
        assert_eq!(life.handed(), noons.map(|noon| [noon; 2]).concat());
        for run in 1..=3 {
            let query = AttemptQuery { campaign: Some(id), run: Some(run), ..AttemptQuery::default() };
            let attempts = life.engine.executions(query).await.unwrap().items;
            assert_eq!(attempts.len(), 2);
            assert!(attempts.iter().all(|attempt| attempt.number == 1), "every run counts its own attempts");
        }
        let mut runs = Vec::new();
        while let Some(event) = events.next().await {
            if let EventKind::CampaignCompleted { run } = event.kind {
                runs.push(run);
            }
        }
        assert_eq!(runs, [1, 2, 3], "the stream goes on from run to run");
    });
}

#[test]
fn weekly_and_rrule_campaigns_end_with_their_rule() {
    live(answered(), |life| async move {
        let weekly = Recurrence {
            frequency: Frequency::Weekly,
            days_of_week: vec![2, 4],
            time: "10:00".to_owned(),
            time_zone: "America/New_York".to_owned(),
            end_date: Some("2026-03-12".to_owned()),
            ..Recurrence::default()
        };
        let rule =
            Recurrence { rrule: Some("FREQ=DAILY;INTERVAL=2;COUNT=3".to_owned()), time: "20:00".to_owned(), ..Recurrence::default() };
        let first = life.draft(plain().schedule(Schedule::recurring(weekly)), 1).await;
        let second = life.draft(plain().schedule(Schedule::recurring(rule)), 1).await;
        let starts = async |id| {
            life.engine.start(id).await.unwrap();
            life.engine.wait(id).await.unwrap();
            let query = AttemptQuery { campaign: Some(id), ..AttemptQuery::default() };
            let mut starts: Vec<_> =
                life.engine.executions(query).await.unwrap().items.iter().map(|attempt| attempt.started_at.unwrap()).collect();
            starts.reverse();
            starts
        };
        // The clocks change in New York on the 8th.
        let days = ["2026-03-03T15:00:00Z", "2026-03-05T15:00:00Z", "2026-03-10T14:00:00Z", "2026-03-12T14:00:00Z"];
        assert_eq!(starts(first).await, days.map(at));
        let days = starts(second).await;
        assert_eq!(days.len(), 3);
        assert!(days.windows(2).all(|pair| pair[1].duration_since(pair[0]) == jiff::SignedDuration::from_hours(48)), "{days:?}");
        assert_eq!(life.status(first).await, CampaignStatus::Completed);
    });
}

#[test]
fn a_run_that_takes_longer_than_the_interval_overlaps_no_other() {
    let talk = Duration::from_secs(30 * 3600);
    live(Script::answered(60).after(talk), |life| async move {
        let spec = plain().concurrent_limit(1).with(|spec| spec.max_duration_seconds = 86_400);
        let id = life.draft(spec, 2).await;
        life.engine.schedule(id, Schedule::recurring(daily(6))).await.unwrap();
        life.until("2026-03-03T13:00:00Z").await;
        let record = life.record(id).await;
        assert_eq!((record.status, record.run.number), (CampaignStatus::Running, 1), "the second occurrence passes over the first run");
        life.engine.wait(id).await.unwrap();
        let attempts = life.engine.executions(AttemptQuery { campaign: Some(id), ..AttemptQuery::default() }).await.unwrap().items;
        let mut spans: Vec<_> =
            attempts.iter().map(|attempt| (attempt.started_at.unwrap(), attempt.finished_at.unwrap(), attempt.run)).collect();
        spans.sort();
        assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0 && pair[0].2 <= pair[1].2), "{spans:?}");
        assert!(spans.iter().filter(|span| span.2 == 1).count() == 2);
        assert_eq!(life.status(id).await, CampaignStatus::Completed);
    });
}

#[test]
fn a_recurring_campaign_can_be_ended_between_two_occurrences() {
    live(answered(), |life| async move {
        let id = life.draft(plain(), 1).await;
        life.engine.schedule(id, Schedule::recurring(daily(9))).await.unwrap();
        life.until("2026-03-02T18:00:00Z").await;
        assert_eq!(life.engine.complete(id).await.unwrap().status, CampaignStatus::Completed);
        life.sleep(3 * 24 * 60).await;
        assert_eq!(life.handed().len(), 1);
    });
}

#[test]
fn a_crash_while_contacts_are_reset_goes_on_where_it_was() {
    live(answered(), |mut life| async move {
        let id = life.draft(plain(), 3).await;
        life.engine.schedule(id, Schedule::recurring(daily(2))).await.unwrap();
        life.until("2026-03-03T11:59:00Z").await;
        // What a node leaves behind that dies after the first bulk change of the second run.
        let mut record = life.record(id).await;
        let expected_revision = record.revision;
        record.run.number = 2;
        record.run.resetting = true;
        let now = life.engine.now();
        life.engine.abort();
        life.store.save_campaign(SaveCampaign { record, expected_revision, guard: None, now }).await.unwrap();
        let change = BulkChange { campaign: id, selection: Selection::All, action: BulkAction::Reset { run: 2 }, limit: 1, now };
        assert_eq!(life.store.bulk_change(change).await.unwrap(), 1);
        life.crash(10).await;
        let progress = life.engine.wait(id).await.unwrap();
        assert_eq!((progress.run, progress.completed_contacts), (2, 3));
        assert_eq!(life.handed().len(), 6, "everybody once in each run");
    });
}

#[test]
fn an_ended_campaign_is_scheduled_for_another_execution() {
    live(answered(), |life| async move {
        let id = life.draft(plain(), 2).await;
        life.engine.start(id).await.unwrap();
        life.engine.wait(id).await.unwrap();
        refused(life.engine.schedule(id, once("2026-03-05T10:00:00Z", PastDue::Run)).await, "cannot schedule a campaign that is completed");
        life.engine.re_execute(id, Reexecution::All).await.unwrap();
        life.engine.schedule(id, once("2026-03-05T10:00:00Z", PastDue::Run)).await.unwrap();
        let progress = life.engine.wait(id).await.unwrap();
        assert_eq!((progress.run, progress.completed_contacts), (2, 2));
        assert_eq!(life.handed()[2..], [at("2026-03-05T10:00:00Z"); 2]);
    });
}
