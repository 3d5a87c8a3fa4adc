//! People and where they are kept: imports, lists, suppressions, previews, simulations over a copy, copies.

#![allow(clippy::unwrap_used, missing_docs)]

mod life;

use campaign_core::Kind;
use campaign_core::campaign::CampaignStatus;
use campaign_core::contact::{ContactStatus, Owner};
use campaign_core::dialer::Script;
use campaign_core::engine::{LintOptions, Reexecution};
use campaign_core::id::Money;
use campaign_core::import::{ImportOptions, ImportSource};
use campaign_core::schedule::{CallingWindows, Recurrence, Schedule, TimeWindow};
use campaign_core::simulate::SimulateOptions;
use campaign_core::store::{
    AttemptQuery, ContactQuery, ContactStore, DuplicatePolicy, MemoryStore, SqliteStore, Suppression, SuppressionKey, SuppressionQuery,
    SuppressionScope, copy_store,
};
use jiff::Timestamp;
use life::{at, live, number, phone, plain};
use std::sync::Arc;

fn entry(index: usize, scope: SuppressionScope, expires_at: Option<Timestamp>) -> Suppression {
    let created_at = at(life::START);
    Suppression { phone: phone(index), scope, reason: "asked".to_owned(), source: Some("api".to_owned()), created_at, expires_at }
}

fn csv(lines: &[&str]) -> ImportSource {
    ImportSource::from(lines.join("\n").into_bytes())
}

#[test]
fn an_import_counts_every_row_once_and_keeps_what_was_touched() {
    live(Script::answered(5), |life| async move {
        let engine = &life.engine;
        let id = life.draft(plain(), 0).await;
        engine.suppress(vec![entry(3, SuppressionScope::Everything, None)]).await.unwrap();
        let lines = ["phone,name,city", "+12125550000,Ann,Rome", "+12125550001,Bo,Oslo", "+12125550000,Ann,Rome", "nonsense,Cy,Bonn"];
        let suppressed = format!("{},Di,Kyiv", number(3));
        let file = csv(&[&lines[..], &[&suppressed]].concat());
        let mut calls = 0;
        let options = ImportOptions { file_name: Some("people.csv".to_owned()), ..ImportOptions::default() };
        let report = engine.import_with_progress(Owner::Campaign(id), file, options, |_| calls += 1).await.unwrap();
        assert_eq!((report.imported, report.duplicates, report.invalid, report.suppressed, report.total), (2, 1, 1, 1, 5));
        assert_eq!((calls, report.errors[0].line), (1, 5));
        let record = life.record(id).await;
        assert_eq!((record.last_import_file_name.as_deref(), record.last_import_row_count), (Some("people.csv"), Some(5)));
        assert!(record.spec.available_variables.contains_key("city"));

        let update = ImportOptions { duplicates: DuplicatePolicy::UpdateVariables, ..ImportOptions::default() };
        let report = engine.import_contacts(id, csv(&["phone,city", "+12125550001,Bergen"]), update).await.unwrap();
        assert_eq!((report.updated, report.imported), (1, 0));
        let contact = &life.contacts(id).await[1];
        assert_eq!((contact.person.variables["city"].as_str(), contact.person.name.as_deref()), (Some("Bergen"), Some("Bo")));

        engine.start(id).await.unwrap();
        engine.wait(id).await.unwrap();
        let skipped = life.ids(id).await[2];
        engine.re_execute(id, Reexecution::Contacts(vec![skipped])).await.unwrap();
        let replace = || ImportOptions { replace_untouched: true, ..ImportOptions::default() };
        let report = engine.import_contacts(id, csv(&["phone", &number(9)]), replace()).await.unwrap();
        assert_eq!(report.imported, 1);
        use ContactStatus::{Completed, Pending};
        assert_eq!(life.statuses(id).await, [Completed, Completed, Pending], "the suppressed one is gone, the reached ones stay");
        let unreadable = engine.import_contacts(id, csv(&["colour", "red"]), replace()).await;
        assert_eq!((unreadable.unwrap_err().kind(), life.contacts(id).await.len()), (Kind::Invalid, 3), "nothing was replaced");
        life.add(id, 20..22).await;
        for (name, bad) in
            [("cut.json", r#"[{"phone": "+12125550030"}, {"phone": "+1212"#), ("head.csv", "phone"), ("bad.csv", "phone\nabc")]
        {
            let options = ImportOptions { file_name: Some(name.to_owned()), ..replace() };
            let done = engine.import_contacts(id, ImportSource::from(bad.as_bytes()), options).await;
            assert_eq!((done.is_err(), life.contacts(id).await.len()), (name == "cut.json", 5), "{name} replaced nothing");
        }
        assert_eq!(engine.import_contacts(id, csv(&["phone", &number(31)]), replace()).await.unwrap().imported, 1);
        assert_eq!(life.contacts(id).await.len(), 5, "what was added by a call stays, what the last file brought is gone");
        let ids = life.ids(id).await;
        assert_eq!(engine.remove_contacts(Owner::Campaign(id), vec![ids[2]]).await.unwrap(), 1);
        assert_eq!(engine.get_contact(ids[2]).await.unwrap_err().kind(), Kind::NotFound);
    });
}

#[test]
fn a_list_is_filled_attached_and_deleted() {
    live(Script::answered(5), |life| async move {
        let engine = &life.engine;
        assert_eq!(engine.create_list(" ", None, None).await.unwrap_err().kind(), Kind::Invalid);
        let list = engine.create_list("Clients", Some("all"), None).await.unwrap();
        let rows = ImportSource::Rows((0..3).map(life::row).collect());
        engine.import_with_progress(Owner::List(list.id), rows, ImportOptions::default(), |_| {}).await.unwrap();
        let id = life.draft(plain(), 1).await;
        let report = engine.attach_list(list.id, id).await.unwrap();
        assert_eq!((report.imported, report.duplicates, report.total), (2, 1, 3));
        let member = engine.list_contacts(ContactQuery::of(Owner::List(list.id))).await.unwrap().items[0].id;
        assert_eq!(engine.explain_contact(member).await.unwrap_err().kind(), Kind::Invalid);
        assert_eq!(engine.lists(None).await.unwrap(), std::slice::from_ref(&list));
        let renamed = engine.update_list(list.id, Some(" Customers "), None).await.unwrap();
        assert_eq!((renamed.name.as_str(), renamed.description.as_deref()), ("Customers", Some("all")));
        assert_eq!(engine.update_list(list.id, None, Some("some")).await.unwrap(), engine.get_list(list.id).await.unwrap());
        assert_eq!(engine.update_list(list.id, Some(" "), None).await.unwrap_err().kind(), Kind::Invalid);
        engine.delete_list(list.id).await.unwrap();
        assert_eq!(engine.attach_list(list.id, id).await.unwrap_err().kind(), Kind::NotFound);
        assert_eq!(engine.update_list(list.id, None, None).await.unwrap_err().kind(), Kind::NotFound);
        assert_eq!(life.contacts(id).await.len(), 3);
        assert!(life.engine.record_reply(life.ids(id).await[0]).await.unwrap().state.replied_at.is_some());
    });
}

#[test]
fn suppressions_have_scope_and_expiry_and_survive_a_round_trip() {
    live(Script::answered(5), |life| async move {
        let engine = &life.engine;
        let first = life.draft(plain(), 3).await;
        let second = life.draft(plain(), 3).await;
        let soon = Some(at("2026-03-02T10:00:00Z"));
        let entries = vec![
            entry(0, SuppressionScope::Everything, None),
            entry(1, SuppressionScope::Campaign(first), None),
            entry(2, SuppressionScope::Everything, soon),
        ];
        engine.suppress(entries).await.unwrap();
        assert!(engine.is_suppressed(&phone(0), None).await.unwrap() && !engine.is_suppressed(&phone(1), None).await.unwrap());
        let mut file = Vec::new();
        assert_eq!(engine.export_suppressions(&mut file).await.unwrap(), 3);
        life.sleep(61).await;
        assert!(!engine.is_suppressed(&phone(2), None).await.unwrap());
        for id in [first, second] {
            engine.start(id).await.unwrap();
            engine.wait(id).await.unwrap();
        }
        use ContactStatus::{Completed, Skipped};
        assert_eq!(life.statuses(first).await, [Skipped, Skipped, Completed]);
        assert_eq!(life.statuses(second).await, [Skipped, Completed, Completed]);
        let key = |index| SuppressionKey { phone: phone(index), scope: SuppressionScope::Everything };
        assert_eq!(engine.unsuppress(vec![key(0), key(1), key(2)]).await.unwrap(), 2);
        let report = engine
            .import_suppressions(ImportSource::from(file), ImportOptions::default(), SuppressionScope::Everything, "imported")
            .await
            .unwrap();
        assert_eq!(report.imported, 3);
        let all = engine.suppressions(SuppressionQuery { scope: Some(SuppressionScope::Everything), ..SuppressionQuery::default() }).await;
        assert!(all.unwrap().items.iter().all(|entry| entry.reason == "asked"), "the reason comes along");
    });
}

#[test]
fn templates_are_previewed_and_linted_for_the_contacts_there_are() {
    live(Script::answered(5), |life| async move {
        let engine = &life.engine;
        let id = life.draft(plain().template("agenda", "Hello {{ name }}, {{ citty }}").fallback("citty", "you"), 2).await;
        let ids = life.ids(id).await;
        assert_eq!(engine.preview_contact(id, ids[1]).await.unwrap()["agenda"], "Hello Person 1, you");
        let other = life.draft(plain(), 1).await;
        assert_eq!(engine.preview_contact(other, ids[1]).await.unwrap_err().kind(), Kind::NotFound);
        let values = life::row(4);
        assert_eq!(engine.preview_template("{{ name }}!", Default::default(), &values, &Default::default()).unwrap(), "Person 4!");
        assert_eq!(
            engine.preview_template("{{ name", Default::default(), &values, &Default::default()).unwrap_err().kind(),
            Kind::Template
        );
        // With a fallback the name is known; without one it is a slip of the pen.
        assert!(engine.lint_template(id, LintOptions::default()).await.unwrap().findings.is_empty());
        let slip = life.draft(plain().template("agenda", "Hello {{ citty }}"), 2).await;
        let report = engine.lint_template(slip, LintOptions::default()).await.unwrap();
        assert!(report.findings.iter().any(|finding| format!("{finding:?}").contains("citty")), "{report:?}");
    });
}

#[test]
fn a_simulation_foretells_and_touches_nothing() {
    live(Script::answered(5), |life| async move {
        let engine = &life.engine;
        let windows = CallingWindows::of([TimeWindow::new("09:00", "17:00")]);
        let id = life.draft(plain().windows(windows).concurrent_limit(3), 30).await;
        engine.suppress(vec![entry(0, SuppressionScope::Everything, None)]).await.unwrap();
        let before = (life.record(id).await, life.contacts(id).await);
        let report = engine.simulate(id, SimulateOptions::default()).await.unwrap();
        assert_eq!(report, engine.simulate(id, SimulateOptions::default()).await.unwrap(), "the same seed, the same report");
        let other = engine.simulate(id, SimulateOptions { seed: 7, ..SimulateOptions::default() }).await.unwrap();
        assert_ne!(report.attempts_per_hour.values().sum::<u64>(), 0);
        assert!(report.cost.low <= other.cost.expected && other.cost.expected <= report.cost.high, "{:?} {:?}", report.cost, other.cost);
        assert_eq!((life.record(id).await, life.contacts(id).await), before);
        assert!(life.handed().is_empty());
        assert!(report.peak_concurrency <= 3 && report.attempts == 29);
        assert!(report.attempts_per_hour.keys().all(|hour| *hour >= at("2026-03-02T14:00:00Z")));
        assert!(report.finished_at.unwrap() < at("2026-03-02T22:00:00Z"));
        assert_eq!((report.unreachable[0].code.as_str(), report.unreachable[0].contacts), ("suppressed", 1));

        engine.schedule(id, Schedule::recurring(Recurrence { time: "15:00".to_owned(), ..Recurrence::default() })).await.unwrap();
        let report = engine.simulate(id, SimulateOptions::default()).await.unwrap();
        assert_eq!(report.attempts_per_hour.keys().next(), Some(&at("2026-03-02T15:00:00Z")));
        life.until("2026-03-02T15:00:01Z").await;
        let report = engine.simulate(id, SimulateOptions::default()).await.unwrap();
        assert!(report.attempts < 30 && report.finished_at.is_some());
        let broke = life.draft(plain().concurrent_limit(1).budget(Money(3_000_000), Money(1_000_000)), 0).await;
        life.add(broke, 50..60).await;
        let short = SimulateOptions { max_days: 2, ..SimulateOptions::default() };
        engine.update_campaign(broke, |spec| spec.budget = Some(Money(20_000))).await.unwrap();
        let report = engine.simulate(broke, short).await.unwrap();
        assert_eq!((report.finished_at, report.progress.status), (None, CampaignStatus::Paused));
        assert!(report.unreachable.iter().any(|group| !group.terminal), "{:?}", report.unreachable);
    });
}

#[test]
fn a_copy_through_another_store_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let sqlite = SqliteStore::open(directory.path().join("copy.db")).unwrap();
    let memory: Arc<dyn ContactStore> = Arc::new(MemoryStore::new());
    life::live_on(memory, Script::answered(5), |life| async move {
        let engine = &life.engine;
        let list = engine.create_list("Clients", None, None).await.unwrap();
        let rows = ImportSource::Rows((0..3).map(life::row).collect());
        engine.import_with_progress(Owner::List(list.id), rows, ImportOptions::default(), |_| {}).await.unwrap();
        let id = life.draft(plain().budget(Money(9_000_000), Money(1)), 5).await;
        life.draft(plain(), 2).await;
        engine.suppress(vec![entry(8, SuppressionScope::Campaign(id), Some(at("2027-01-01T00:00:00Z")))]).await.unwrap();
        engine.start(id).await.unwrap();
        engine.wait(id).await.unwrap();
        let there = {
            let _hold = campaign_core::executor::Executor::hold(&life.clock);
            copy_store(life.store.as_ref(), &sqlite).await.unwrap()
        };
        let back = MemoryStore::new();
        let here = {
            let _hold = campaign_core::executor::Executor::hold(&life.clock);
            copy_store(&sqlite, &back).await.unwrap()
        };
        assert_eq!(there, here);
        assert_eq!((there.campaigns, there.contacts, there.attempts, there.suppressions, there.documents), (2, 10, 5, 1, 1));
        assert_eq!(life.store.catalog().await.unwrap(), back.catalog().await.unwrap());
        let scopes = back.catalog().await.unwrap().scopes;
        assert_eq!(life.store.ledgers(scopes.clone()).await.unwrap(), back.ledgers(scopes).await.unwrap());
        assert_eq!(life.store.counts(id).await.unwrap(), back.counts(id).await.unwrap());
        for owner in [Owner::Campaign(id), Owner::List(list.id)] {
            let query = || ContactQuery::of(owner);
            assert_eq!(life.store.contacts(query()).await.unwrap(), back.contacts(query()).await.unwrap());
        }
        let query = AttemptQuery::default;
        assert_eq!(life.store.attempts(query()).await.unwrap().items, back.attempts(query()).await.unwrap().items);
        let query = SuppressionQuery::default;
        assert_eq!(life.store.suppressions(query()).await.unwrap(), back.suppressions(query()).await.unwrap());
        assert_eq!(life.store.campaign(id).await.unwrap(), back.campaign(id).await.unwrap());
    });
}
