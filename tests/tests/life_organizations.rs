//! Organisations on one engine: each sees and stops only its own.

#![allow(clippy::unwrap_used, missing_docs)]

mod life;

use campaign_core::Kind;
use campaign_core::campaign::{CampaignSpec, CampaignSpecBuilder};
use campaign_core::contact::{ContactStatus, Owner};
use campaign_core::dialer::Script;
use campaign_core::import::{ImportOptions, ImportSource};
use campaign_core::outcome::Disposition;
use campaign_core::store::{CampaignQuery, Suppression, SuppressionKey, SuppressionQuery, SuppressionScope};
use life::{at, live, phone, plain};

fn of(organization: Option<i64>) -> CampaignSpecBuilder {
    plain().with(|spec| spec.organization = organization)
}

fn entry(index: usize, scope: SuppressionScope) -> Suppression {
    Suppression { phone: phone(index), scope, reason: "asked".to_owned(), source: None, created_at: at(life::START), expires_at: None }
}

#[test]
fn a_campaign_stays_with_its_organisation() {
    live(Script::answered(5), |life| async move {
        let engine = &life.engine;
        for wrong in [0, -7] {
            let spec = CampaignSpec { name: "n".to_owned(), organization: Some(wrong), ..CampaignSpec::default() };
            let error = engine.create_campaign(spec).await.unwrap_err();
            assert!(error.kind() == Kind::Invalid && error.to_string().contains("organization"), "{error}");
        }
        let (mine, none) = (life.draft(of(Some(7)), 0).await, life.draft(of(None), 0).await);
        for (id, to) in [(mine, Some(8)), (mine, None), (none, Some(7))] {
            let error = engine.update_campaign(id, |spec| spec.organization = to).await.unwrap_err();
            assert!(error.kind() == Kind::Invalid && error.to_string().contains("organization"), "{error}");
        }
        let patched = engine.patch_campaign(mine, &serde_json::json!({ "organization": null })).await;
        assert_eq!(patched.unwrap_err().kind(), Kind::Invalid);
        let record = engine.patch_campaign(mine, &serde_json::json!({ "organization": 7, "description": "edited" })).await.unwrap();
        assert_eq!((record.spec.organization, record.spec.description.as_deref()), (Some(7), Some("edited")));
        let page = engine.list_campaigns(CampaignQuery { organization: Some(7), ..CampaignQuery::default() }).await.unwrap();
        assert_eq!((page.total, page.items[0].id), (1, mine));
    });
}

#[test]
fn who_opts_out_of_an_organisation_is_still_reached_by_others() {
    live(Script::ends(Disposition::OptedOut), |life| async move {
        let engine = &life.engine;
        let first = life.draft(of(Some(7)), 1).await;
        engine.start(first).await.unwrap();
        engine.wait(first).await.unwrap();
        let entries = engine.suppressions(SuppressionQuery::default()).await.unwrap().items;
        let seen: Vec<_> = entries.iter().map(|entry| (entry.scope, entry.reason.as_str())).collect();
        assert_eq!(seen, [(SuppressionScope::Organization(7), "opted_out")]);
        let suppressed = async |of| engine.is_suppressed(&phone(0), of).await.unwrap();
        assert_eq!((suppressed(Some(7)).await, suppressed(Some(8)).await, suppressed(None).await), (true, false, false));

        let before = life.handed().len();
        let again = engine.create_campaign(of(Some(7)).build().unwrap()).await.unwrap().id;
        let report = engine.add_contacts(again, vec![life::row(0)], ImportOptions::default()).await.unwrap();
        assert_eq!((report.imported, report.suppressed), (0, 1));
        let (other, none) = (life.draft(of(Some(8)), 1).await, life.draft(of(None), 1).await);
        for id in [other, none] {
            engine.start(id).await.unwrap();
            engine.wait(id).await.unwrap();
        }
        assert_eq!(life.handed().len() - before, 2, "both reached the person");
        assert!(suppressed(Some(9)).await, "who opts out of a campaign without an organisation opts out of everything");
    });
}

#[test]
fn lists_and_suppressions_belong_to_an_organisation() {
    live(Script::answered(5), |life| async move {
        let engine = &life.engine;
        assert_eq!(engine.create_list("Clients", None, Some(0)).await.unwrap_err().kind(), Kind::Invalid);
        let list = engine.create_list("Clients", None, Some(7)).await.unwrap();
        let shared = engine.create_list("Everybody", None, None).await.unwrap();
        assert_eq!(engine.lists(Some(7)).await.unwrap(), std::slice::from_ref(&list));
        assert_eq!((engine.lists(Some(8)).await.unwrap().len(), engine.lists(None).await.unwrap().len()), (0, 2));
        assert_eq!(engine.get_list(list.id).await.unwrap().organization, Some(7));

        engine.suppress(vec![entry(0, SuppressionScope::Organization(7))]).await.unwrap();
        for (list, suppressed) in [(&list, 1), (&shared, 0)] {
            let rows = ImportSource::Rows((0..3).map(life::row).collect());
            let report = engine.import_with_progress(Owner::List(list.id), rows, ImportOptions::default(), |_| {}).await.unwrap();
            assert_eq!(report.suppressed, suppressed, "{}", list.name);
        }
        let (mine, other) = (life.draft(of(Some(7)), 0).await, life.draft(of(Some(8)), 0).await);
        let report = engine.attach_list(list.id, mine).await.unwrap();
        assert_eq!((report.imported, report.suppressed), (2, 1));
        for (list, campaign) in [(list.id, other), (shared.id, mine)] {
            let error = engine.attach_list(list, campaign).await.unwrap_err();
            assert!(error.kind() == Kind::Invalid && error.to_string().contains("organisations"), "{error}");
        }
        use ContactStatus::{Pending, Skipped};
        assert_eq!(life.statuses(mine).await, [Skipped, Pending, Pending]);
        assert_eq!(life.statuses(other).await, []);

        let wrong = SuppressionScope::Organization(0);
        assert_eq!(engine.suppress(vec![entry(1, wrong)]).await.unwrap_err().kind(), Kind::Invalid);
        let key = SuppressionKey { phone: phone(1), scope: SuppressionScope::Organization(-7) };
        assert_eq!(engine.unsuppress(vec![key]).await.unwrap_err().kind(), Kind::Invalid);
        let query = SuppressionQuery { scope: Some(wrong), ..SuppressionQuery::default() };
        assert_eq!(engine.suppressions(query).await.unwrap_err().kind(), Kind::Invalid);
        let query = SuppressionQuery { scope: Some(SuppressionScope::of(Some(7))), ..SuppressionQuery::default() };
        assert_eq!(engine.suppressions(query).await.unwrap().total, 1);
        let mut file = Vec::new();
        engine.export_suppressions(&mut file).await.unwrap();
        assert!(String::from_utf8(file).unwrap().contains(",organization:7,"));
    });
}
