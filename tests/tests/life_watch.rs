//! What an engine tells: counters, executions, the event stream, and why nothing happens.

#![allow(clippy::unwrap_used, missing_docs)]

mod life;

use campaign_core::campaign::{CallerId, CampaignSpecBuilder, CampaignStatus};
use campaign_core::contact::ContactStatus;
use campaign_core::dialer::Script;
use campaign_core::event::{Event, EventKind};
use campaign_core::id::{CampaignId, Money};
use campaign_core::outcome::{Disposition, Outcome};
use campaign_core::policy::gates::{Gate, Verdict};
use campaign_core::schedule::{CallingWindows, Schedule, TimeWindow};
use campaign_core::store::{AttemptQuery, Paging, SqliteStore, Suppression, SuppressionScope, TimelineQuery};
use campaign_core::{Kind, engine::ContactExplanation};
use futures_util::FutureExt;
use jiff::SignedDuration;
use life::{Life, at, live, plain};
use std::sync::Arc;
use std::time::Duration;

fn slow() -> Script {
    Script::answered(60).after(Duration::from_secs(60))
}

// --- progress -----------------------------------------------------------------------------------------------------------------

#[test]
fn the_counters_of_a_live_campaign_equal_a_recount() {
    live(slow(), |life| async move {
        let id = life.draft(plain().retries(2, 10).concurrent_limit(3), 12).await;
        let ends = [Disposition::Busy, Disposition::NoAnswer, Disposition::Voicemail, Disposition::Undeliverable];
        for (index, end) in ends.into_iter().enumerate() {
            life.dialer.on_phone(&life::phone(index), [Script::ends(end), Script::ends(end)]);
        }
        life.dialer.on_phone(&life::phone(5), [Script::Outcome(Outcome::answered(90).with_cost(Money(30_000)))]);
        life.engine.start(id).await.unwrap();
        for _ in 0..30 {
            life.step().await;
            let progress = life.engine.progress(id).await.unwrap();
            let contacts = life.contacts(id).await;
            let count = |status| contacts.iter().filter(|contact| contact.state.status == status).count() as u64;
            let failed = contacts.iter().filter(|contact| contact.state.status.counts_as_failed()).count() as u64;
            let completed = count(ContactStatus::Completed);
            assert_eq!(progress.completed_contacts, completed);
            assert_eq!(progress.failed_contacts, failed);
            assert_eq!(progress.pending_contacts, count(ContactStatus::Pending));
            assert_eq!(progress.in_progress_contacts, count(ContactStatus::InProgress));
            assert_eq!((progress.no_answer_contacts, progress.busy_contacts), (count(ContactStatus::NoAnswer), count(ContactStatus::Busy)));
            assert_eq!(progress.total_contacts, 12);
            let percent = |part: u64, whole: u64| if whole == 0 { 0.0 } else { (part as f64 * 10_000.0 / whole as f64).round() / 100.0 };
            assert_eq!(progress.completion_percentage, percent(completed + failed, 12));
            assert_eq!(progress.success_rate, percent(completed, completed + failed));
            let attempts = life.engine.executions(AttemptQuery { campaign: Some(id), ..AttemptQuery::default() }).await.unwrap().items;
            let settled: Vec<_> = attempts.iter().filter_map(|attempt| attempt.outcome.as_ref()).collect();
            let answered = settled.iter().filter(|outcome| outcome.disposition == Disposition::Answered).count() as u64;
            assert_eq!(progress.answer_rate, percent(answered, settled.len() as u64));
            let seconds: u64 = settled.iter().map(|outcome| u64::from(outcome.duration_seconds)).sum();
            assert_eq!(progress.total_duration_seconds, seconds);
            let cost = settled.iter().filter_map(|outcome| outcome.cost).fold(Money::ZERO, |sum, cost| sum + cost);
            assert_eq!(progress.total_cost, cost);
        }
        assert_eq!(life.status(id).await, CampaignStatus::Completed);
    });
}

#[test]
fn the_end_is_estimated_from_the_rate_limit_and_then_from_the_pace() {
    live(slow(), |life| async move {
        let id = life.draft(plain().rate_limit_per_minute(2), 40).await;
        assert_eq!(life.engine.progress(id).await.unwrap().estimated_completion, None);
        life.engine.start(id).await.unwrap();
        life.second().await;
        let first = life.engine.progress(id).await.unwrap().estimated_completion.unwrap();
        assert!(first.duration_since(at(life::START)).abs() < SignedDuration::from_mins(25));
        life.sleep(10).await;
        let later = life.engine.progress(id).await.unwrap().estimated_completion.unwrap();
        life.engine.wait(id).await.unwrap();
        assert!(later.duration_since(life.engine.now()).abs() < SignedDuration::from_mins(5), "{later} and not {}", life.engine.now());
        assert_eq!(life.engine.progress(id).await.unwrap().estimated_completion, None);
    });
}

#[test]
fn contacts_reached_by_earlier_runs_make_no_pace() {
    live(slow(), |life| async move {
        let id = life.draft(plain(), 100).await;
        for index in 0..10 {
            life.dialer.on_phone(&life::phone(index), [Script::ends(Disposition::Busy)]);
        }
        life.engine.start(id).await.unwrap();
        life.engine.wait(id).await.unwrap();
        life.engine.re_execute(id, campaign_core::engine::Reexecution::FailedOnly).await.unwrap();
        life.engine.update_campaign(id, |spec| spec.rate_limit_per_minute = Some(1)).await.unwrap();
        let start = life.engine.now();
        life.engine.start(id).await.unwrap();
        life.sleep(1).await;
        let estimate = life.engine.progress(id).await.unwrap().estimated_completion.unwrap();
        assert!(estimate.duration_since(start) > SignedDuration::from_mins(8), "{estimate}");
    });
}

#[test]
fn the_timeline_counts_settled_attempts_per_bucket() {
    live(slow(), |life| async move {
        let id = life.draft(plain().rate_limit_per_minute(1), 3).await;
        life.dialer.on_phone(&life::phone(1), [Script::ends(Disposition::Busy)]);
        life.engine.start(id).await.unwrap();
        life.engine.wait(id).await.unwrap();
        let query = TimelineQuery { campaign: id, from: at(life::START), to: at("2026-03-02T10:00:00Z"), bucket_seconds: 60 };
        let buckets = life.engine.timeline(query).await.unwrap();
        let told: Vec<_> = buckets.iter().map(|bucket| (bucket.start, bucket.dispositions.clone(), bucket.duration_seconds)).collect();
        let one = |disposition| [(disposition, 1)].into();
        assert_eq!(
            told,
            [
                (at("2026-03-02T09:01:00Z"), [(Disposition::Answered, 1), (Disposition::Busy, 1)].into(), 60),
                (at("2026-03-02T09:03:00Z"), one(Disposition::Answered), 60)
            ]
        );
        for wrong in [TimelineQuery { bucket_seconds: 0, ..query }, TimelineQuery { to: at("2026-01-01T00:00:00Z"), ..query }] {
            assert_eq!(life.engine.timeline(wrong).await.unwrap_err().kind(), Kind::Invalid);
        }
    });
}

#[test]
fn executions_are_found_by_campaign_contact_run_and_disposition_in_pages() {
    live(Script::answered(5), |life| async move {
        let id = life.draft(plain().retries(2, 10), 4).await;
        let other = life.draft(plain(), 1).await;
        life.dialer.on_phone(&life::phone(1), [Script::ends(Disposition::Busy)]);
        for campaign in [id, other] {
            life.engine.start(campaign).await.unwrap();
            life.engine.wait(campaign).await.unwrap();
        }
        let ids = life.ids(id).await;
        let count = async |query| life.engine.executions(AttemptQuery { count: true, ..query }).await.unwrap().total;
        let of = |campaign| AttemptQuery { campaign: Some(campaign), ..AttemptQuery::default() };
        assert_eq!((count(AttemptQuery::default()).await, count(of(id)).await, count(of(other)).await), (6, 5, 1));
        assert_eq!(count(AttemptQuery { contact: Some(ids[1]), ..AttemptQuery::default() }).await, 2);
        assert_eq!(count(AttemptQuery { run: Some(2), ..of(id) }).await, 0);
        assert_eq!(count(AttemptQuery { dispositions: vec![Disposition::Busy], ..of(id) }).await, 1);
        let page = async |offset| {
            let paging = Paging { offset, limit: 2 };
            let items = life.engine.executions(AttemptQuery { paging, ..of(id) }).await.unwrap().items;
            items.iter().map(|attempt| attempt.id).collect::<Vec<_>>()
        };
        let all = [page(0).await, page(2).await, page(4).await].concat();
        assert_eq!(all.len(), 5);
        assert!(all.windows(2).all(|pair| pair[0] > pair[1]), "newest first: {all:?}");
    });
}

// --- events -------------------------------------------------------------------------------------------------------------------

/// One word per event.
fn word(event: &Event) -> String {
    match &event.kind {
        EventKind::Progress(_) => "progress".to_owned(),
        EventKind::ContactStarted { .. } => "started".to_owned(),
        EventKind::ContactCompleted(_) => "completed".to_owned(),
        EventKind::ContactFailed(ended) => format!("failed:{}", ended.status),
        EventKind::ContactProgress { .. } => "stage".to_owned(),
        EventKind::StatusChanged { from, to } => format!("{from}>{to}"),
        EventKind::CampaignCompleted { run } => format!("end:{run}"),
        EventKind::BudgetThreshold { percent, .. } => format!("budget:{percent}"),
        EventKind::Missed { count } => format!("missed:{count}"),
        other => format!("{other:?}"),
    }
}

async fn words(events: &mut campaign_core::EventStream) -> Vec<String> {
    let mut words = Vec::new();
    while let Some(event) = events.next().await {
        words.push(word(&event));
    }
    words
}

#[test]
fn the_stream_of_a_campaign_tells_everything_in_order_and_ends() {
    live(slow(), |life| async move {
        let id = life.draft(plain().retries(2, 10).concurrent_limit(1), 2).await;
        let other = life.draft(plain(), 1).await;
        life.dialer.on_phone(&life::phone(0), [Script::ends(Disposition::Busy).after(Duration::from_secs(9))]);
        let mut events = life.engine.events(id).await.unwrap();
        assert_eq!(word(&events.next().await.unwrap()), "progress");
        life.engine.start(id).await.unwrap();
        life.engine.start(other).await.unwrap();
        life.engine.wait(id).await.unwrap();
        let mut told = words(&mut events).await;
        assert_eq!(told.last().unwrap(), "progress");
        told.retain(|word| word != "progress" && word != "stage");
        let expected =
            ["draft>running", "started", "failed:pending", "started", "completed", "started", "completed", "running>completed", "end:1"];
        assert_eq!(told, expected);
        assert!(events.next().await.is_none(), "an ended stream stays ended");
    });
}

#[test]
fn a_stream_opened_on_an_ended_campaign_gives_the_counters_and_ends() {
    live(Script::answered(5), |life| async move {
        let id = life.draft(plain(), 2).await;
        life.engine.start(id).await.unwrap();
        life.engine.wait(id).await.unwrap();
        let mut events = life.engine.events(id).await.unwrap();
        let Some(Event { kind: EventKind::Progress(progress), .. }) = events.next().await else { panic!("no progress") };
        assert_eq!((progress.status, progress.completed_contacts), (CampaignStatus::Completed, 2));
        assert!(events.next().await.is_none());
        assert_eq!(life.engine.events(CampaignId(999)).await.unwrap_err().kind(), Kind::NotFound);
    });
}

#[test]
fn a_cancelled_campaign_ends_its_stream() {
    live(slow(), |life| async move {
        let id = life.draft(plain(), 1).await;
        let mut events = life.engine.events(id).await.unwrap();
        life.engine.cancel(id).await.unwrap();
        assert_eq!(words(&mut events).await, ["progress", "draft>cancelled", "progress"]);
    });
}

#[test]
fn each_step_of_the_budget_is_told_once() {
    live(Script::Outcome(Outcome::answered(30).with_cost(Money(1_000_000))), |life| async move {
        let id = life.draft(plain().concurrent_limit(1).budget(Money(5_000_000), Money(1_000_000)), 9).await;
        let mut events = life.engine.events(id).await.unwrap();
        life.engine.start(id).await.unwrap();
        life.sleep(5).await;
        let record = life.record(id).await;
        assert_eq!((record.status, &*record.reason.unwrap().code), (CampaignStatus::Paused, "budget_spent"));
        life.engine.cancel(id).await.unwrap();
        let mut told = words(&mut events).await;
        told.retain(|word| word.starts_with("budget") || word.contains('>') || word.starts_with("end"));
        assert_eq!(told, ["draft>running", "budget:80", "budget:100", "running>paused", "paused>cancelled"]);
    });
}

#[test]
fn a_slow_reader_is_told_how_much_it_missed_and_holds_up_nobody() {
    live(Script::answered(5), |life| async move {
        let id = life.draft(plain(), 300).await;
        let mut events = life.engine.events(id).await.unwrap();
        let mut eager = life.engine.all_events().await.unwrap();
        life.engine.start(id).await.unwrap();
        life.engine.wait(id).await.unwrap();
        life.second().await;
        let Some(Event { kind: EventKind::Missed { count }, .. }) = eager.next().await else { panic!("nothing missed") };
        let mut rest = 0;
        while eager.next().now_or_never().flatten().is_some() {
            rest += 1;
        }
        assert_eq!(rest, 64, "as many as the buffer holds");
        let told = words(&mut events).await;
        assert_eq!(told[..3], ["progress".to_owned(), format!("missed:{count}"), "progress".to_owned()]);
        assert_eq!(told[told.len() - 3..told.len() - 1], ["running>completed", "end:1"], "what is in the buffer is not lost");
        // Each attempt starts and ends, the campaign starts, ends and is completed; the rest are counters.
        assert!((603..620).contains(&(count + rest)), "{}", count + rest);
    });
}

#[test]
fn a_stream_of_a_campaign_whose_end_was_missed_ends_nevertheless() {
    live(Script::answered(5), |life| async move {
        let id = life.draft(plain(), 1).await;
        let other = life.draft(plain(), 300).await;
        let mut events = life.engine.events(id).await.unwrap();
        for campaign in [id, other] {
            life.engine.start(campaign).await.unwrap();
            life.engine.wait(campaign).await.unwrap();
            life.second().await;
        }
        let told = words(&mut events).await;
        assert_eq!((told[0].as_str(), told[2].as_str(), told.len()), ("progress", "progress", 3), "{told:?}");
        assert!(told[1].starts_with("missed:"));
    });
}

#[test]
fn the_stream_of_all_campaigns_goes_on_until_the_engine_stops() {
    live(Script::answered(5), |life| async move {
        let mut events = life.engine.all_events().await.unwrap();
        let first = life.draft(plain(), 1).await;
        let second = life.draft(plain(), 1).await;
        for id in [first, second] {
            life.engine.start(id).await.unwrap();
            life.engine.wait(id).await.unwrap();
        }
        life.second().await;
        let mut one = life.engine.events(life.draft(plain(), 1).await).await.unwrap();
        life.engine.stop(None).await.unwrap();
        let mut ended = Vec::new();
        while let Some(event) = events.next().await {
            if matches!(event.kind, EventKind::CampaignCompleted { .. }) {
                ended.push(event.campaign_id);
            }
        }
        assert_eq!(ended, [first, second]);
        assert_eq!(words(&mut one).await, ["progress"]);
    });
}

#[test]
fn dropping_the_future_of_the_next_event_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(directory.path().join("life.db")).unwrap());
    live_on_store(store, |life| async move {
        let id = life.draft(plain(), 20).await;
        let mut events = life.engine.events(id).await.unwrap();
        life.engine.start(id).await.unwrap();
        let (mut starts, mut ends, mut last) = (0, 0, None);
        loop {
            // Polled once and dropped; the store answers from threads of its own, always later. Then waited for.
            let event = match events.next().now_or_never() {
                Some(event) => event,
                None => events.next().await,
            };
            let Some(event) = event else { break };
            starts += u32::from(matches!(event.kind, EventKind::ContactStarted { .. }));
            ends += u32::from(matches!(event.kind, EventKind::ContactCompleted(_)));
            last = Some(word(&event));
        }
        assert_eq!((starts, ends, last.as_deref()), (20, 20, Some("progress")));
    });
}

fn live_on_store<F: Future<Output = ()> + Send + 'static>(store: Arc<SqliteStore>, test: impl FnOnce(Life) -> F + Send + 'static) {
    life::live_on(store, Script::answered(5), test);
}

// --- explain ------------------------------------------------------------------------------------------------------------------

async fn explain(life: &Life, id: CampaignId, index: usize) -> ContactExplanation {
    let contact = life.ids(id).await[index];
    life.engine.explain_contact(contact).await.unwrap()
}

/// Starts a campaign of three, lets a second pass, and asks about the last contact.
async fn started(life: &Life, spec: CampaignSpecBuilder) -> (CampaignId, ContactExplanation) {
    let id = life.draft(spec, 3).await;
    life.engine.start(id).await.unwrap();
    life.second().await;
    let last = explain(life, id, 2).await;
    (id, last)
}

fn workdays_in_new_york() -> CallingWindows {
    CallingWindows::of([TimeWindow::new("09:00", "17:00")])
}

#[test]
fn a_waiting_campaign_says_what_it_waits_for() {
    live(slow(), |life| async move {
        let id = life.draft(plain(), 2).await;
        let told = explain(&life, id, 0).await;
        assert_eq!(
            (told.blocked_by, told.earliest, told.text.as_str()),
            (Some(Gate::CampaignState), None, "The campaign has not been started.")
        );
        assert_eq!(told.gates.iter().map(|report| report.gate).collect::<Vec<_>>(), Gate::ALL);
        let campaign = life.engine.explain_campaign(id).await.unwrap();
        assert_eq!(campaign.text, "2 contacts are waiting. The campaign has not been started.");

        life.engine.schedule(id, Schedule::once(at("2026-03-03T10:00:00Z"))).await.unwrap();
        let campaign = life.engine.explain_campaign(id).await.unwrap();
        assert_eq!(campaign.earliest, Some(at("2026-03-03T10:00:00Z")));
        assert_eq!(campaign.text, "2 contacts are waiting. The campaign waits for its start. It starts at 2026-03-03T10:00:00Z.");
        let told = explain(&life, id, 0).await;
        assert_eq!((told.blocked_by, told.earliest), (Some(Gate::CampaignState), Some(at("2026-03-03T10:00:00Z"))));

        life.engine.unschedule(id).await.unwrap();
        life.engine.update_campaign(id, |spec| (spec.schedule, spec.concurrent_limit) = (Schedule::Immediate, Some(1))).await.unwrap();
        life.engine.start(id).await.unwrap();
        life.second().await;
        life.engine.pause(id).await.unwrap();
        let campaign = life.engine.explain_campaign(id).await.unwrap();
        assert_eq!(campaign.text, "1 contacts are waiting. The campaign is paused. Paused by hand.");
        assert_eq!(explain(&life, id, 0).await.text, "The contact is being reached right now.");
        assert_eq!(explain(&life, id, 1).await.text, "The campaign is paused.");
        life.engine.cancel(id).await.unwrap();
        assert_eq!(explain(&life, id, 1).await.text, "The contact is cancelled: The campaign was cancelled.");
        life.sleep(5).await;
        assert!(explain(&life, id, 0).await.text.starts_with("The contact is completed"));
    });
}

#[test]
fn each_limit_names_its_gate() {
    live(slow(), |life| async move {
        let (_, told) = started(&life, plain().concurrent_limit(1)).await;
        assert_eq!((told.blocked_by, told.earliest), (Some(Gate::Concurrency), None));
        let (_, told) = started(&life, plain().rate_limit_per_minute(1)).await;
        assert_eq!(told.blocked_by, Some(Gate::Rate));
        assert!(told.earliest.unwrap() > life.engine.now());
        let (_, told) = started(&life, plain().calls_per_day(1)).await;
        assert_eq!((told.blocked_by, told.earliest), (Some(Gate::CallsPerDay), Some(at("2026-03-03T00:00:00Z"))));
        let (_, told) = started(&life, plain().budget(Money(1_500_000), Money(1_000_000))).await;
        assert_eq!((told.blocked_by, told.earliest), (Some(Gate::Budget), None));
        let caller =
            CallerId { number: "+12125550100".to_owned(), concurrent_limit: Some(1), rate_limit_per_minute: None, calls_per_day: None };
        let (_, told) = started(&life, plain().with(|spec| spec.caller_ids = vec![caller])).await;
        assert_eq!(told.blocked_by, Some(Gate::CallerId));
    });
}

#[test]
fn each_rule_about_people_names_its_gate() {
    live(slow(), |life| async move {
        let rule = async |spec: CampaignSpecBuilder| {
            let id = life.draft(spec.concurrent_limit(1), 3).await;
            life.engine.start(id).await.unwrap();
            explain(&life, id, 2).await
        };
        // The first second of 09:00 UTC is the night in New York.
        let told = rule(plain().windows(workdays_in_new_york())).await;
        assert_eq!((told.blocked_by, told.earliest), (Some(Gate::CallingWindow), Some(at("2026-03-02T14:00:00Z"))));
        let told = rule(plain().consent_required()).await;
        assert_eq!((told.blocked_by, told.earliest), (Some(Gate::Consent), None));
        assert!(matches!(told.gates[3].verdict, Verdict::Never { .. }));
        let told = rule(plain().deadline(at("2026-01-01T00:00:00Z"))).await;
        assert_eq!((told.blocked_by, told.earliest), (Some(Gate::Deadline), None));

        let id = life.draft(plain().concurrent_limit(1), 3).await;
        life.engine.start(id).await.unwrap();
        let entry = Suppression {
            phone: life::phone(2),
            scope: SuppressionScope::Campaign(id),
            reason: "asked".to_owned(),
            source: None,
            created_at: life.engine.now(),
            expires_at: None,
        };
        life.engine.suppress(vec![entry]).await.unwrap();
        let told = explain(&life, id, 2).await;
        assert_eq!((told.blocked_by, told.text.as_str()), (Some(Gate::Suppression), "The number is on the suppression list (asked)."));

        let id = life.draft(plain().concurrent_limit(1).frequency_cap(1, 24), 0).await;
        life.add(id, 50..53).await;
        let earlier = life.draft(plain(), 0).await;
        life.add(earlier, 52..53).await;
        life.engine.start(earlier).await.unwrap();
        life.engine.wait(earlier).await.unwrap();
        let handed = life.dialer.requests().iter().find(|request| request.request.to == life::phone(52)).unwrap().at;
        life.engine.start(id).await.unwrap();
        let told = explain(&life, id, 2).await;
        assert_eq!((told.blocked_by, told.earliest), (Some(Gate::FrequencyCap), Some(handed + SignedDuration::from_hours(24))));

        let unknown = life.draft(plain().windows(CallingWindows { require_known_zone: true, ..workdays_in_new_york() }), 0).await;
        let mut row = life::row(90);
        row.remove("time_zone");
        row.insert("phone".to_owned(), "+80012345678".into());
        let report = life.engine.add_contacts(unknown, vec![row], Default::default()).await.unwrap();
        assert_eq!(report.imported, 1, "{:?}", report.errors);
        life.engine.start(unknown).await.unwrap();
        let told = explain(&life, unknown, 0).await;
        assert_eq!((told.blocked_by, told.earliest), (Some(Gate::ZoneKnown), None));
    });
}

#[test]
fn a_retry_due_in_the_night_may_start_when_the_window_opens() {
    live(Script::ends(Disposition::Busy), |life| async move {
        let id = life.draft(plain().retries(3, 240).windows(workdays_in_new_york()), 1).await;
        life.engine.start(id).await.unwrap();
        life.until("2026-03-02T19:00:00Z").await;
        // Handed over at 14:00 and 18:00; the next is due at 22:00, when the window closes.
        assert_eq!(life.handed().len(), 2);
        let told = explain(&life, id, 0).await;
        assert_eq!((told.blocked_by, told.earliest), (None, Some(at("2026-03-03T14:00:00Z"))));
        assert!(told.text.starts_with("The contact is not due before 2026-03-02T22:00:00"), "{}", told.text);
        life.until("2026-03-02T22:30:00Z").await;
        let told = explain(&life, id, 0).await;
        assert_eq!((told.blocked_by, told.earliest), (Some(Gate::CallingWindow), Some(at("2026-03-03T14:00:00Z"))));
        life.engine.wait(id).await.unwrap();
        assert_eq!(life.handed()[2], at("2026-03-03T14:00:00Z"));
    });
}

#[test]
fn the_reasons_of_a_campaign_sum_to_its_contacts() {
    live(slow(), |life| async move {
        let id = life.draft(plain().concurrent_limit(2).retries(2, 30), 9).await;
        life.dialer.on_phone(&life::phone(0), [Script::ends(Disposition::Busy)]);
        life.dialer.on_phone(&life::phone(1), [Script::permanent()]);
        life.engine.start(id).await.unwrap();
        for _ in 0..12 {
            life.step().await;
            let told = life.engine.explain_campaign(id).await.unwrap();
            assert_eq!(told.reasons.iter().map(|share| share.contacts).sum::<u64>(), 9, "{told:?}");
        }
        let told = life.engine.explain_campaign(id).await.unwrap();
        let share = told.reasons.iter().find(|share| share.status == ContactStatus::Pending).unwrap();
        assert_eq!((share.contacts, share.opens_at), (1, told.earliest));
        assert!(told.text.starts_with("1 contacts are waiting"), "{}", told.text);
        life.engine.wait(id).await.unwrap();
        assert_eq!(life.engine.explain_campaign(id).await.unwrap().text, "The campaign is completed; no contact is waiting.");
        let empty = life.draft(plain(), 0).await;
        assert_eq!(life.engine.explain_campaign(empty).await.unwrap().text, "The campaign has no contacts.");
    });
}
