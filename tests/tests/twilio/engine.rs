//! An engine that calls through Twilio, on its bad days.

use super::{OURS, SPEED, config, number};
use campaign_core::campaign::{CampaignSpec, CampaignSpecBuilder};
use campaign_core::contact::{Contact, Owner};
use campaign_core::dialer::Dialer;
use campaign_core::dialer::twilio::{TwilioConfig, TwilioDialer};
use campaign_core::executor::SharedExecutor;
use campaign_core::id::CampaignId;
use campaign_core::import::{ImportOptions, ImportSource};
use campaign_core::outcome::{Attempt, Disposition};
use campaign_core::store::{AttemptQuery, ContactQuery, Paging};
use campaign_tests::vendors::twilio::{CallEnd, Delivery, Fate, Handling, Twilio};
use campaign_tests::vendors::world::{World, quick_clock};
use jiff::SignedDuration;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const CONTACTS: i64 = 12;

async fn world(callbacks: bool, change: impl FnOnce(&mut TwilioConfig)) -> (World, Twilio) {
    let clock = quick_clock(SPEED);
    let shared: SharedExecutor = Arc::new(clock.clone());
    let twilio = Twilio::start(shared).await;
    let settings = config(&twilio);
    let dialer = |url: &str| {
        let settings = if callbacks { settings.public_base_url(url) } else { settings };
        Arc::new(TwilioDialer::new(settings.with(|config| config.calls_per_second = 50).with(change)).unwrap()) as Arc<dyn Dialer>
    };
    (World::start(clock, dialer, |builder| builder).await, twilio)
}

fn spec(sms: bool) -> CampaignSpecBuilder {
    let spec = if sms { CampaignSpec::sms("Twilio").template("sms_message", "Hello {{ name }}") } else { CampaignSpec::call("Twilio") };
    spec.template("welcome_message", "Hello {{ name }}").with(|spec| (spec.rate_limit_per_minute, spec.concurrent_limit) = (None, None))
}

async fn start(world: &World, spec: CampaignSpecBuilder, contacts: std::ops::Range<i64>) -> CampaignId {
    let id = world.engine.create_campaign(spec.build().unwrap()).await.unwrap().id;
    let rows = contacts.map(|index| json!({"phone": number(index).as_str(), "time_zone": "UTC"}).as_object().unwrap().clone()).collect();
    let report = world.engine.import_contacts(id, ImportSource::Rows(rows), ImportOptions::default()).await.unwrap();
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    world.engine.start(id).await.unwrap();
    id
}

async fn contacts(world: &World, id: CampaignId) -> Vec<Contact> {
    let query = ContactQuery { paging: Paging { offset: 0, limit: 1000 }, ..ContactQuery::of(Owner::Campaign(id)) };
    world.engine.list_contacts(query).await.unwrap().items
}

async fn attempts(world: &World, id: CampaignId) -> Vec<Attempt> {
    let query = AttemptQuery { campaign: Some(id), paging: Paging { offset: 0, limit: 1000 }, ..AttemptQuery::default() };
    world.engine.executions(query).await.unwrap().items
}

/// Everybody was reached, by one call each.
async fn all_reached_once(world: &World, twilio: &Twilio, id: CampaignId) {
    let contacts = contacts(world, id).await;
    assert_eq!(contacts.len() as i64, CONTACTS);
    for contact in &contacts {
        let reason = contact.state.reason.as_ref().map(|reason| &*reason.code);
        assert_eq!(contact.state.status.as_str(), "completed", "{reason:?}");
        assert_eq!(twilio.hand_offs_to(contact.person.phone.as_str()), 1, "{contact:?}");
    }
    let sids: std::collections::BTreeSet<_> = attempts(world, id).await.into_iter().filter_map(|attempt| attempt.provider_ref).collect();
    assert_eq!(sids.len() as i64, CONTACTS, "each attempt has its own call");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_are_healed_by_callbacks() {
    // A look-up comes too late to be what helps.
    let (world, twilio) = world(true, |config| config.lookup_lag = Duration::from_secs(7_200)).await;
    let bad_days = [Handling::PlaceAndBreakOff, Handling::PlaceAndFail(502), Handling::PlaceAndFail(201), Handling::Accept];
    for index in 0..CONTACTS {
        twilio.next(number(index).as_str(), Fate::handled(bad_days[index as usize % 4].clone()));
    }
    let before = world.clock.now();
    let id = start(&world, spec(false), 0..CONTACTS).await;
    world.engine.wait(id).await.unwrap();
    assert!(world.clock.now().duration_since(before) < SignedDuration::from_secs(600), "healed at once, not by looking");
    all_reached_once(&world, &twilio, id).await;
    assert!(twilio.hand_offs_by_attempt().values().all(|count| *count == 1));
    assert_eq!(twilio.complaints(), Vec::<String>::new());
    world.engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_are_healed_by_looking() {
    let (world, twilio) = world(false, |config| config.lookup_lag = Duration::from_secs(4)).await;
    twilio.set_list_lag(Duration::from_secs(2));
    for index in 0..CONTACTS {
        let handling = if index % 3 == 0 { Handling::Accept } else { Handling::PlaceAndBreakOff };
        twilio.next(number(index).as_str(), Fate::handled(handling));
    }
    let id = start(&world, spec(false), 0..CONTACTS).await;
    world.engine.wait(id).await.unwrap();
    all_reached_once(&world, &twilio, id).await;
    world.engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_to_messages_are_healed_both_ways() {
    for callbacks in [true, false] {
        let (world, twilio) = world(callbacks, |config| config.lookup_lag = Duration::from_secs(4)).await;
        twilio.otherwise(Fate::handled(Handling::PlaceAndBreakOff));
        let id = start(&world, spec(true), 0..CONTACTS).await;
        world.engine.wait(id).await.unwrap();
        all_reached_once(&world, &twilio, id).await;
        world.engine.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_lost_on_its_way_is_tried_again() {
    let (world, twilio) = world(true, |config| config.lookup_lag = Duration::from_secs(2)).await;
    for index in 0..CONTACTS {
        twilio.next(number(index).as_str(), Fate::handled(Handling::BreakOff));
    }
    let id = start(&world, spec(false).retries(3, 1), 0..CONTACTS).await;
    world.engine.wait(id).await.unwrap();
    all_reached_once(&world, &twilio, id).await;
    assert!(contacts(&world, id).await.iter().all(|contact| contact.state.attempts == 2));
    world.engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_call_of_another_attempt_is_not_taken_for_ones_own() {
    // Two campaigns call the same person from the same number at the same time. One request is lost before it has an effect.
    let (world, twilio) = world(false, |config| config.lookup_lag = Duration::from_secs(3)).await;
    twilio.next(number(0).as_str(), Fate::ends(CallEnd::Answered(Duration::from_secs(30))));
    twilio.next(number(0).as_str(), Fate::handled(Handling::BreakOff));
    let first = start(&world, spec(false), 0..1).await;
    while twilio.calls().is_empty() {
        world.clock.sleep_until(world.clock.now() + SignedDuration::from_millis(100)).await;
    }
    let second = start(&world, spec(false).retries(2, 1), 0..1).await;
    world.engine.wait(first).await.unwrap();
    world.engine.wait(second).await.unwrap();
    assert_eq!(twilio.hand_offs_to(number(0).as_str()), 2);
    let own = |attempts: Vec<Attempt>| attempts.into_iter().filter_map(|attempt| attempt.provider_ref).collect::<Vec<_>>();
    let (of_first, of_second) = (own(attempts(&world, first).await), own(attempts(&world, second).await));
    assert_eq!((of_first.len(), of_second.len()), (1, 1));
    assert_ne!(of_first, of_second);
    world.engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_callbacks_change_nothing_about_the_end() {
    let (world, twilio) = world(true, |_| {}).await;
    let deliveries: [fn(&mut Delivery); 4] = [
        |delivery| delivery.late = Duration::from_secs(5),
        |delivery| delivery.times = 3,
        |delivery| delivery.backwards = true,
        |delivery| delivery.times = 0,
    ];
    for index in 0..CONTACTS {
        let end = if index % 2 == 0 { CallEnd::Answered(Duration::from_secs(4)) } else { CallEnd::Busy };
        twilio.next(number(index).as_str(), Fate::ends(end).delivered(deliveries[index as usize % 4]));
    }
    let id = start(&world, spec(false).with(|spec| spec.max_attempts = 1), 0..CONTACTS).await;
    world.engine.wait(id).await.unwrap();
    for contact in contacts(&world, id).await {
        let index: i64 = contact.person.phone.as_str()[8..].parse().unwrap();
        let expected = if index % 2 == 0 { "completed" } else { "busy" };
        assert_eq!(contact.state.status.as_str(), expected, "{index}");
        assert_eq!((contact.state.attempts, twilio.hand_offs_to(contact.person.phone.as_str())), (1, 1));
    }
    assert_eq!(twilio.complaints(), Vec::<String>::new());
    world.engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttled_account_fails_nobody() {
    let (world, twilio) = world(true, |_| {}).await;
    twilio.set_per_second(Some(2));
    let id = start(&world, spec(true), 0..CONTACTS).await;
    world.engine.wait(id).await.unwrap();
    all_reached_once(&world, &twilio, id).await;
    assert!(twilio.requests() > CONTACTS as u64, "the limit was met");
    assert!(contacts(&world, id).await.iter().all(|contact| contact.state.attempts == 1), "being too fast uses up no attempt");
    world.engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_that_comes_late_amends_the_outcome() {
    let (world, twilio) = world(true, |config| config.receipt_wait = Duration::from_secs(1)).await;
    twilio
        .otherwise(Fate { states: vec![(Duration::from_millis(500), "sent"), (Duration::from_secs(20), "delivered")], ..Fate::default() });
    let id = start(&world, spec(true), 0..3).await;
    world.engine.wait(id).await.unwrap();
    let of = |attempts: Vec<Attempt>, wanted: Disposition| attempts.iter().filter(|attempt| attempt.disposition() == Some(wanted)).count();
    assert_eq!(of(attempts(&world, id).await, Disposition::Sent), 3);
    let patience = world.clock.now() + SignedDuration::from_secs(300);
    while of(attempts(&world, id).await, Disposition::Delivered) < 3 {
        assert!(world.clock.now() < patience, "the receipts are not kept");
        world.clock.sleep_until(world.clock.now() + SignedDuration::from_secs(1)).await;
    }
    assert!(twilio.messages().iter().all(|message| message.field("From") == Some(OURS)));
    world.engine.close().await.unwrap();
}
