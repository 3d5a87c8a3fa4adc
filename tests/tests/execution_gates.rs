//! The gates and limits at the instant of hand-off.

#![allow(clippy::unwrap_used, missing_docs)]

use campaign_core::campaign::{CallerId, CampaignSpec, CampaignSpecBuilder, CampaignStatus, Priority};
use campaign_core::contact::{ContactSource, NewContact, Owner, ZoneKey};
use campaign_core::dialer::{Capabilities, Script, ScriptedDialer};
use campaign_core::event::EventKind;
use campaign_core::id::{CampaignId, Money};
use campaign_core::outcome::{Disposition, Outcome};
use campaign_core::policy::limits::Rate;
use campaign_core::schedule::{CallingWindows, TimeWindow};
use campaign_core::store::{AddContacts, DuplicatePolicy};
use campaign_tests::stage::{Stage, begin, phone, play, play_on, row, second, told};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Calls as fast as can be.
fn fast(name: &str) -> CampaignSpecBuilder {
    CampaignSpec::call(name).with(|spec| (spec.rate_limit_per_minute, spec.concurrent_limit) = (None, None))
}

fn lasting(seconds: u64) -> Script {
    Script::answered(1).after(Duration::from_secs(seconds))
}

/// A draft of one contact in these zones, as only a store can have it.
async fn zoned(stage: &Stage, spec: CampaignSpecBuilder, zones: ZoneKey) -> CampaignId {
    let id = stage.draft_of(spec, vec![]).await;
    let contact = NewContact {
        phone: phone(0),
        name: None,
        email: None,
        company: None,
        zones,
        variables: Default::default(),
        consent: None,
        source: ContactSource::Api,
    };
    let request_id = format!("00000000-0000-4000-8000-{:012}", id.0).parse().unwrap();
    let add = AddContacts {
        request_id,
        owner: Owner::Campaign(id),
        organization: None,
        contacts: Arc::from([contact]),
        duplicates: DuplicatePolicy::Skip,
        now: begin(),
    };
    stage.store.add_contacts(add).await.unwrap();
    stage.engine.start(id).await.unwrap();
    id
}

#[test]
fn a_window_that_closes_between_claim_and_slot_holds_the_contact_back() {
    play(ScriptedDialer::new(), |stage| async move {
        let spec = fast("late").rate_limit_per_minute(60).windows(CallingWindows::of([TimeWindow::new("09:00", "12:30")]));
        let id = stage.draft_of(spec, (0..2).map(|index| row(index, json!({}))).collect()).await;
        stage.pass(Duration::from_millis(1_799_500)).await;
        stage.engine.start(id).await.unwrap();
        let contacts = stage.end(id).await;
        assert_eq!(stage.dialled(), [1_799, 21 * 3600]);
        assert!(contacts.iter().all(|contact| contact.state.attempts == 1));
    });
}

#[test]
fn a_suppression_between_claim_and_hand_off_holds() {
    play(ScriptedDialer::new(), |stage| async move {
        let id = stage.start(fast("suppressed").rate_limit_per_minute(60), 2).await;
        stage.pass(Duration::from_millis(700)).await;
        assert_eq!(stage.contacts(id).await[1].state.status.as_str(), "in_progress", "claimed ahead");
        stage.suppress(1).await;
        let contacts = stage.end(id).await;
        assert_eq!(told(&contacts[1]), ("skipped", "suppressed"));
        assert_eq!(stage.requests().len(), 1);
    });
}

#[test]
fn the_deadline_skips_the_rest_and_completes_the_campaign_then_and_there() {
    play(ScriptedDialer::new(), |stage| async move {
        let id = stage.start(fast("deadline").rate_limit_per_minute(1).deadline(second(90)), 5).await;
        let contacts = stage.end(id).await;
        assert_eq!(stage.dialled(), [0, 60]);
        assert!(contacts[2..].iter().all(|contact| told(contact) == ("skipped", "deadline")), "{contacts:?}");
        assert_eq!(stage.engine.get_campaign(id).await.unwrap().completed_at, Some(second(90)));
    });
}

#[test]
fn a_retry_due_after_the_deadline_is_skipped_at_the_deadline() {
    play(ScriptedDialer::new().otherwise(Script::ends(Disposition::NoAnswer)), |stage| async move {
        let id = stage.start(fast("deadline").retries(3, 30).deadline(second(600)), 1).await;
        let contacts = stage.end(id).await;
        assert_eq!(told(&contacts[0]), ("skipped", "deadline"));
        assert_eq!(contacts[0].state.completed_at, Some(second(600)));
    });
}

#[test]
fn the_deadline_holds_while_the_quota_of_the_day_is_used_up() {
    play(ScriptedDialer::new(), |stage| async move {
        let id = stage.start(fast("quota").calls_per_day(1).deadline(second(600)), 2).await;
        assert_eq!(told(&stage.end(id).await[1]), ("skipped", "deadline"));
        assert_eq!(stage.engine.get_campaign(id).await.unwrap().completed_at, Some(second(600)));
    });
}

#[test]
fn without_consent_nobody_is_called_where_it_is_required() {
    play(ScriptedDialer::new(), |stage| async move {
        let rows = vec![row(0, json!({ "consent": "yes", "consent_at": "2026-01-01" })), row(1, json!({}))];
        let id = stage.start_of(fast("consent").consent_required(), rows).await;
        let contacts = stage.end(id).await;
        assert_eq!(told(&contacts[0]), ("completed", "answered"));
        assert_eq!(told(&contacts[1]), ("skipped", "no_consent"));
    });
}

#[test]
fn an_unknown_zone_ends_as_skipped_where_a_known_one_is_required() {
    play(ScriptedDialer::new(), |stage| async move {
        let id = zoned(&stage, fast("unknown").with(|spec| spec.windows.require_known_zone = true), ZoneKey::unknown()).await;
        assert_eq!(told(&stage.end(id).await[0]), ("skipped", "zone_unknown"));
        assert!(stage.requests().is_empty());
    });
}

#[test]
fn an_unknown_zone_takes_the_campaigns_where_that_is_allowed() {
    play(ScriptedDialer::new(), |stage| async move {
        let windows = CallingWindows::of([TimeWindow::new("09:00", "17:00")]);
        let id = zoned(&stage, fast("unknown").time_zone("America/New_York").windows(windows), ZoneKey::unknown()).await;
        stage.end(id).await;
        // Noon in UTC is seven in the morning in New York.
        assert_eq!(stage.dialled(), [2 * 3600]);
    });
}

#[test]
fn a_contact_whose_zones_never_open_together_ends_as_skipped() {
    play(ScriptedDialer::new(), |stage| async move {
        let spec = fast("apart").windows(CallingWindows::of([TimeWindow::new("09:00", "12:00")]));
        let id = zoned(&stage, spec, ZoneKey::from_names(["America/New_York", "Asia/Kolkata"])).await;
        assert_eq!(told(&stage.end(id).await[0]), ("skipped", "window_never_opens"));
    });
}

#[test]
fn frequency_caps_hold_over_campaigns_until_the_oldest_attempt_leaves() {
    play(ScriptedDialer::new(), |stage| async move {
        let capped = || fast("capped").frequency_cap(2, 24);
        stage.start(capped(), 1).await;
        stage.until(3600).await;
        stage.start(capped(), 1).await;
        stage.until(7200).await;
        let third = stage.start(capped(), 1).await;
        stage.until(7300).await;
        assert_eq!(told(&stage.contacts(third).await[0]), ("pending", "frequency_cap"));
        stage.end(third).await;
        assert_eq!(stage.dialled(), [0, 3600, 24 * 3600]);
    });
}

#[test]
fn calls_per_day_are_counted_in_the_campaigns_zone() {
    play(ScriptedDialer::new(), |stage| async move {
        let id = stage.start(fast("quota").calls_per_day(2).time_zone("America/New_York"), 5).await;
        stage.end(id).await;
        let midnight = 17 * 3600;
        assert_eq!(stage.dialled(), [0, 0, midnight, midnight, midnight + 86_400]);
    });
}

#[test]
fn a_spent_budget_pauses_and_more_money_goes_on() {
    let dialer = ScriptedDialer::new().otherwise(Script::Outcome(Outcome::answered(10).with_cost(Money::from_units(1.0))));
    play(dialer, |stage| async move {
        let spec = fast("budget").concurrent_limit(3).budget(Money::from_units(10.0), Money::from_units(1.0));
        let id = stage.draft_of(spec, (0..15).map(|index| row(index, json!({}))).collect()).await;
        let mut events = stage.engine.events(id).await.unwrap();
        stage.engine.start(id).await.unwrap();
        stage.pass(Duration::from_secs(60)).await;
        let record = stage.engine.get_campaign(id).await.unwrap();
        assert_eq!(record.status, CampaignStatus::Paused);
        assert_eq!(&*record.reason.unwrap().code, "budget_spent");
        assert_eq!(stage.requests().len(), 10);
        stage.engine.update_campaign(id, |spec| spec.budget = Some(Money::from_units(20.0))).await.unwrap();
        stage.engine.resume(id).await.unwrap();
        stage.end(id).await;
        assert_eq!(stage.requests().len(), 15);
        let mut percents = Vec::new();
        while let Some(event) = events.next().await {
            if let EventKind::BudgetThreshold { percent, .. } = event.kind {
                percents.push(percent);
            }
        }
        assert_eq!(percents, [80, 100]);
    });
}

#[test]
fn money_reserved_but_not_spent_is_spent_on_others() {
    let dialer = ScriptedDialer::new().otherwise(Script::Outcome(Outcome::answered(10).with_cost(Money::from_units(0.5))));
    play(dialer, |stage| async move {
        let spec = fast("budget").budget(Money::from_units(4.0), Money::from_units(1.0));
        let id = stage.start(spec, 20).await;
        stage.pass(Duration::from_secs(60)).await;
        assert_eq!(stage.status(id).await, CampaignStatus::Paused);
        // The last half cannot pay for an attempt that may cost one.
        assert_eq!(stage.requests().len(), 7);
    });
}

#[test]
fn no_more_calls_go_on_at_once_than_allowed() {
    play(ScriptedDialer::new().otherwise(lasting(60)), |stage| async move {
        let id = stage.start(fast("three").concurrent_limit(3), 9).await;
        stage.end(id).await;
        assert_eq!(stage.peak(), 3);
        assert_eq!(stage.dialled(), [0, 0, 0, 60, 60, 60, 120, 120, 120]);
    });
}

#[test]
fn the_rate_holds_in_every_minute() {
    play(ScriptedDialer::new(), |stage| async move {
        let id = stage.start(fast("six").rate_limit_per_minute(6), 20).await;
        stage.end(id).await;
        let dialled = stage.dialled();
        assert!(dialled.windows(7).all(|seven| seven[6] - seven[0] >= 60), "{dialled:?}");
        assert!(*dialled.last().unwrap() <= 200, "and is used: {dialled:?}");
    });
}

fn callers(stage: &Stage) -> Vec<String> {
    stage.requests().iter().map(|recorded| recorded.request.from.as_deref().unwrap().to_owned()).collect()
}

#[test]
fn caller_ids_take_turns() {
    play(ScriptedDialer::new(), |stage| async move {
        let id = stage.start(fast("turns").rate_limit_per_minute(60).caller_id("a").caller_id("b").caller_id("c"), 9).await;
        stage.end(id).await;
        let used = callers(&stage);
        let mut counts = BTreeMap::new();
        used.iter().for_each(|caller| *counts.entry(caller.as_str()).or_insert(0) += 1);
        assert_eq!(counts, BTreeMap::from([("a", 3), ("b", 3), ("c", 3)]), "{used:?}");
        assert!(used.windows(2).all(|two| two[0] != two[1]), "{used:?}");
    });
}

#[test]
fn caller_ids_keep_their_own_limits() {
    play(ScriptedDialer::new().otherwise(lasting(10)), |stage| async move {
        let caller = |number: &str, day: Option<u32>, at_once: Option<u32>| CallerId {
            number: number.to_owned(),
            concurrent_limit: at_once,
            rate_limit_per_minute: None,
            calls_per_day: day,
        };
        let spec = fast("own").with(|spec| spec.caller_ids = vec![caller("a", Some(1), None), caller("b", None, Some(2))]);
        let id = stage.start(spec, 6).await;
        stage.end(id).await;
        assert_eq!(callers(&stage).iter().filter(|caller| *caller == "a").count(), 1);
        assert_eq!(stage.dialled(), [0, 0, 0, 10, 10, 20]);
    });
}

/// How often each of three campaigns (low, medium, high) was served between two moments.
fn served(stage: &Stage, ids: &[CampaignId], from: i64, to: i64) -> Vec<usize> {
    let between = |at| (second(from)..second(to)).contains(&at);
    ids.iter().map(|id| stage.requests().iter().filter(|seen| seen.request.campaign_id == *id && between(seen.at)).count()).collect()
}

async fn three(stage: &Stage, contacts: usize) -> Vec<CampaignId> {
    let mut ids = Vec::new();
    for (index, priority) in [Priority::Low, Priority::Medium, Priority::High].into_iter().enumerate() {
        let rows = (0..contacts).map(|contact| row(index * contacts + contact, json!({}))).collect();
        ids.push(stage.start_of(fast("share").priority(priority), rows).await);
    }
    ids
}

/// One to two to four, give or take a seventh.
fn assert_shares(served: &[usize]) {
    let unit = served.iter().sum::<usize>() as f64 / 7.0;
    for (count, share) in served.iter().zip([1.0, 2.0, 4.0]) {
        let off = (*count as f64 - share * unit).abs();
        assert!(off <= (share * unit / 7.0).max(2.0), "{served:?}");
    }
}

#[test]
fn campaigns_share_the_places_of_the_engine_by_priority() {
    let dialer = ScriptedDialer::new();
    dialer.on(|request| Some(lasting(30 + request.contact_id.0 as u64 * 7919 % 60)));
    play_on(
        dialer,
        |builder| builder.options(|options| options.max_in_flight = Some(14)),
        |stage| async move {
            let ids = three(&stage, 1000).await;
            stage.until(3600).await;
            assert_eq!(stage.peak(), 14);
            assert_shares(&served(&stage, &ids, 300, 3600));
        },
    );
}

#[test]
fn campaigns_share_the_rate_of_the_engine_by_priority() {
    play_on(
        ScriptedDialer::new(),
        |builder| builder.options(|options| options.max_rate = Some(Rate::per_minute(60))),
        |stage| async move {
            let ids = three(&stage, 1000).await;
            stage.until(1200).await;
            let served = served(&stage, &ids, 100, 1200);
            assert!(served.iter().sum::<usize>() >= 1080, "{served:?}");
            assert_shares(&served);
        },
    );
}

#[test]
fn the_accounts_calls_per_second_hold_over_campaigns() {
    for account in [Some(Arc::from("main")), None] {
        let capabilities = Capabilities { account, calls_per_second: Some(2), ..Capabilities::default() };
        play(ScriptedDialer::new().with_capabilities(capabilities), |stage| async move {
            let ids = three(&stage, 10).await;
            for id in ids {
                stage.end(id).await;
            }
            let requests = stage.requests();
            let at: Vec<i64> = requests.iter().map(|seen| seen.at.as_millisecond()).collect();
            assert!(at.windows(3).all(|three| three[2] - three[0] >= 1000), "{at:?}");
        });
    }
}

#[test]
fn the_accounts_places_hold_over_campaigns() {
    let capabilities = Capabilities { max_concurrent: Some(4), ..Capabilities::default() };
    play(ScriptedDialer::new().otherwise(lasting(20)).with_capabilities(capabilities), |stage| async move {
        for id in three(&stage, 10).await {
            stage.end(id).await;
        }
        assert_eq!(stage.peak(), 4);
    });
}
