//! Campaigns, documents, sequences, copies.

use super::*;
use crate::campaign::CampaignType;

pub(super) async fn a_campaign_begins_as_a_draft(desk: Desk) -> Checked {
    const NEW: &str = "a new campaign has status draft, run 1, revision 1, spec version 1";
    let record = desk.draft("Spring").await?;
    let seen = (record.status, record.run.number, record.revision, record.spec_version, record.spec.name.as_str(), record.created_at);
    same(NEW, seen, (CampaignStatus::Draft, 1, 1, 1, "Spring", at(0)))?;
    same("campaign returns what was stored", desk.store.campaign(record.id).await?, Some(record))?;
    same("an unknown campaign is none", desk.store.campaign(CampaignId(1 << 40)).await?, None)
}

pub(super) async fn creating_twice_gives_one(desk: Desk) -> Checked {
    let spec = CampaignSpec { name: "Once".to_owned(), ..CampaignSpec::default() };
    let new = NewCampaign { request_id: Uuid::new_v4(), spec, now: at(0) };
    let first = desk.store.create_campaign(new.clone()).await?;
    let second = desk.store.create_campaign(new).await?;
    same("repeating a request_id of create_campaign returns the first", second.id, first.id)?;
    same("repeating a request_id creates nothing", desk.store.campaigns(CampaignQuery::default()).await?.total, 1)
}

pub(super) async fn campaigns_are_listed_newest_first(desk: Desk) -> Checked {
    let mut ids = Vec::new();
    for (name, kind, assistant_id) in
        [("Alpha", CampaignType::Call, None), ("Beta sale", CampaignType::Sms, Some(7)), ("Gamma", CampaignType::Call, Some(7))]
    {
        let spec = CampaignSpec { name: name.to_owned(), campaign_type: kind, assistant_id, ..CampaignSpec::default() };
        ids.push(desk.store.create_campaign(NewCampaign { request_id: Uuid::new_v4(), spec, now: at(0) }).await?.id);
    }
    let with_text = desk.draft("Delta").await?;
    let mut spec = (*with_text.spec).clone();
    spec.description = Some("The big SALE".to_owned());
    desk.save(CampaignRecord { spec: Arc::new(spec), status: CampaignStatus::Running, ..with_text }, at(1)).await?;
    ids.push(with_text_id(&desk).await?);
    let list = async |query: CampaignQuery| -> Result<(Vec<CampaignId>, u64)> {
        let page = desk.store.campaigns(query).await?;
        Ok((page.items.iter().map(|record| record.id).collect(), page.total))
    };
    let [a, b, c, d] = [ids[0], ids[1], ids[2], ids[3]];
    same("campaigns come newest first", list(CampaignQuery::default()).await?, (vec![d, c, b, a], 4))?;
    let paging = Paging { offset: 1, limit: 2 };
    same(
        "a page leaves out `offset`, has `limit` items and the total of all pages",
        list(CampaignQuery { paging, ..Default::default() }).await?,
        (vec![c, b], 4),
    )?;
    let statuses = vec![CampaignStatus::Running];
    same("campaigns are filtered by status", list(CampaignQuery { statuses, ..Default::default() }).await?, (vec![d], 1))?;
    let campaign_type = Some(CampaignType::Sms);
    same("campaigns are filtered by kind", list(CampaignQuery { campaign_type, ..Default::default() }).await?, (vec![b], 1))?;
    same(
        "campaigns are filtered by assistant",
        list(CampaignQuery { assistant_id: Some(7), ..Default::default() }).await?,
        (vec![c, b], 2),
    )?;
    for (search, want) in [("sale", vec![d, b]), ("ALPHA", vec![a]), ("%", vec![]), ("_eta", vec![])] {
        let total = want.len() as u64;
        let query = CampaignQuery { search: Some(search.to_owned()), ..Default::default() };
        same("search finds a part of name or description, whatever the case, and has no wildcards", list(query).await?, (want, total))?;
    }
    Ok(())
}

async fn with_text_id(desk: &Desk) -> Result<CampaignId> {
    let statuses = vec![CampaignStatus::Running];
    let page = desk.store.campaigns(CampaignQuery { statuses, ..Default::default() }).await?;
    page.items.first().map(|record| record.id).ok_or_else(|| Error::not_found("campaign", "that runs"))
}

pub(super) async fn saving_compares_the_revision(desk: Desk) -> Checked {
    let record = desk.draft("Saved").await?;
    let saved = desk.save(CampaignRecord { reason: Some(reason("edited")), revision: record.revision, ..record.clone() }, at(9)).await?;
    same("the stored revision becomes one higher", saved.revision, 2)?;
    same("`now` becomes `updated_at`", saved.updated_at, at(9))?;
    same("save_campaign returns the stored record", desk.store.campaign(record.id).await?, Some(saved.clone()))?;
    fails("save_campaign fails with Conflict when the revision differs", desk.save(record.clone(), at(10)).await, Kind::Conflict)?;
    same("a refused save changes nothing", desk.store.campaign(record.id).await?, Some(saved))?;
    let gone = CampaignRecord { id: CampaignId(1 << 40), ..record };
    fails("save_campaign fails with NotFound for an unknown id", desk.save(gone, at(10)).await, Kind::NotFound)
}

pub(super) async fn guards_hold(desk: Desk) -> Checked {
    let record = desk.running("Guarded").await?;
    let token = desk.node(at(0)).await?;
    let save = async |guard| {
        let record = desk.store.campaign(record.id).await?.ok_or_else(|| Error::not_found("campaign", record.id))?;
        let expected_revision = record.revision;
        desk.store.save_campaign(SaveCampaign { record, expected_revision, guard: Some(guard), now: at(1) }).await
    };
    const SOME: &str = "SomePendingContacts holds when at least one contact is pending, else save_campaign fails with State";
    const NONE: &str = "NoOpenContacts holds when no contact is pending or in progress, else save_campaign fails with State";
    fails(SOME, save(SaveGuard::SomePendingContacts).await, Kind::State)?;
    hold(NONE, save(SaveGuard::NoOpenContacts).await.is_ok(), || "it was refused without a contact".to_owned())?;
    desk.people(record.id, 1, 1).await?;
    fails(NONE, save(SaveGuard::NoOpenContacts).await, Kind::State)?;
    let current = save(SaveGuard::SomePendingContacts).await?;
    let attempts = desk.claim(everything(&current, token, at(1))).await?;
    same("a due contact is claimed", attempts.len(), 1)?;
    fails(SOME, save(SaveGuard::SomePendingContacts).await, Kind::State)?;
    fails(NONE, save(SaveGuard::NoOpenContacts).await, Kind::State)?;
    desk.settle(token, vec![finish(&attempts[0], Outcome::answered(1), ContactStatus::Completed)?], at(2)).await?;
    save(SaveGuard::NoOpenContacts).await?;
    Ok(())
}

pub(super) async fn deleting_takes_everything_along(desk: Desk) -> Checked {
    let (gone, stays) = (desk.running("Gone").await?, desk.running("Stays").await?);
    let ids = desk.people(gone.id, 1, 3).await?;
    desk.people(stays.id, 1, 1).await?;
    let token = desk.node(at(0)).await?;
    let attempts = desk.claim(ClaimRequest { max: 1, ..everything(&gone, token, at(0)) }).await?;
    let entry = Suppression {
        phone: phone(9),
        scope: SuppressionScope::Campaign(gone.id),
        reason: "asked".to_owned(),
        source: None,
        created_at: at(0),
        expires_at: None,
    };
    desk.store.suppress(vec![entry]).await?;
    desk.store.delete_campaign(gone.id).await?;
    desk.store.delete_campaign(gone.id).await?;
    const ALL: &str = "delete_campaign deletes a campaign with its contacts and attempts";
    same(ALL, desk.store.campaign(gone.id).await?, None)?;
    same(ALL, desk.store.contact(ids[0]).await?, None)?;
    same(ALL, desk.all(Owner::Campaign(gone.id)).await?.len(), 0)?;
    let query = AttemptQuery { campaign: Some(gone.id), count: true, ..Default::default() };
    same(ALL, desk.store.attempts(query).await?.total, 0)?;
    same("suppressions stay", desk.store.suppressions(SuppressionQuery::default()).await?.total, 1)?;
    same("other campaigns stay", desk.all(Owner::Campaign(stays.id)).await?.len(), 1)?;
    let deployment = desk.ledger(LimitScope::Deployment).await?;
    same("open attempts of a deleted campaign give back what they hold of shared limits", deployment.in_flight, 0)?;
    let reply = desk.settle(token, vec![finish(&attempts[0], Outcome::answered(1), ContactStatus::Completed)?], at(1)).await?;
    same("an attempt that is gone settles as Stale", reply.acks, vec![SettleAck::Stale])?;
    same("a stale settlement changes no ledger", desk.ledger(LimitScope::Deployment).await?, deployment)?;
    let next = desk.people(stays.id, 50, 1).await?;
    hold("ids are never reused", !ids.contains(&next[0]), || format!("contact {} was given again", next[0]))
}

pub(super) async fn documents_compare_revisions(desk: Desk) -> Checked {
    let put = |key: &str, value: i64, expected_revision| {
        let (collection, key) = ("things".to_owned(), key.to_owned());
        desk.store.put_document(PutDocument { collection, key, value: value.into(), expected_revision })
    };
    let first = put("b", 1, Some(0)).await?;
    fails("expected revision 0: the document must not exist yet", put("b", 2, Some(0)).await, Kind::Conflict)?;
    let second = put("b", 2, Some(first)).await?;
    hold("the revision grows with every change", second > first, || format!("it went from {first} to {second}"))?;
    fails("put_document fails with Conflict when the revision differs", put("b", 3, Some(first)).await, Kind::Conflict)?;
    fails("put_document fails with Conflict when a revision is expected and there is none", put("x", 3, Some(1)).await, Kind::Conflict)?;
    put("b", 4, None).await?;
    put("a", 5, None).await?;
    put("c", 6, None).await?;
    let other = PutDocument { collection: "other".to_owned(), key: "b".to_owned(), value: 9.into(), expected_revision: None };
    desk.store.put_document(other).await?;
    let read = async |key: Option<&str>, after: Option<&str>, limit| -> Result<Vec<(String, i64)>> {
        let (key, after) = (key.map(str::to_owned), after.map(str::to_owned));
        let found = desk.store.documents(DocumentQuery { collection: "things".to_owned(), key, after, limit }).await?;
        Ok(found.into_iter().map(|document| (document.key, document.value.as_i64().unwrap_or(-1))).collect())
    };
    let row = |key: &str, value: i64| (key.to_owned(), value);
    same("documents of a collection come by key, ascending", read(None, None, 10).await?, vec![row("a", 5), row("b", 4), row("c", 6)])?;
    same("at most `limit` documents come", read(None, None, 2).await?, vec![row("a", 5), row("b", 4)])?;
    same("only keys above `after` come", read(None, Some("a"), 10).await?, vec![row("b", 4), row("c", 6)])?;
    same("only the key asked for comes", read(Some("b"), None, 10).await?, vec![row("b", 4)])?;
    let delete = || desk.store.delete_document("things".to_owned(), "b".to_owned());
    same("delete_document says whether it was there", (delete().await?, delete().await?), (true, false))?;
    same("a deleted document is gone", read(Some("b"), None, 10).await?, vec![])
}

pub(super) async fn numbers_are_never_given_twice(desk: Desk) -> Checked {
    let mut last = 0;
    for _ in 0..20 {
        let next = desk.store.next_number("lists".to_owned()).await?;
        hold("numbers of a sequence start from 1 and are never given twice", next > last, || format!("{next} came after {last}"))?;
        last = next;
    }
    same("sequences are apart", desk.store.next_number("others".to_owned()).await?, 1)
}

pub(super) async fn a_closed_store_says_so(desk: Desk) -> Checked {
    let record = desk.draft("Closed").await?;
    desk.store.close().await?;
    const CLOSED: &str = "calls after close fail with Closed";
    fails(CLOSED, desk.store.campaign(record.id).await, Kind::Closed)?;
    fails(CLOSED, desk.draft("Later").await, Kind::Closed)?;
    fails(CLOSED, desk.store.changes().await, Kind::Closed)
}

pub(super) async fn a_copy_is_restored_as_it_was(desk: Desk) -> Checked {
    const COPY: &str = "restore writes records as they are, ids included, and counters follow";
    let record = desk.running("Original").await?;
    let ids = desk.people(record.id, 1, 3).await?;
    let token = desk.node(at(0)).await?;
    let attempts = desk.claim(ClaimRequest { max: 2, ..everything(&record, token, at(0)) }).await?;
    let cost = Outcome::answered(30).with_cost(Money(7));
    desk.settle(token, vec![finish(&attempts[0], cost, ContactStatus::Completed)?], at(1)).await?;
    desk.store.next_number("seq".to_owned()).await?;
    let counts = desk.counts(record.id).await?;
    let contacts = desk.all(Owner::Campaign(record.id)).await?;
    let history = desk.store.attempts(AttemptQuery { campaign: Some(record.id), ..Default::default() }).await?.items;
    let catalog = desk.store.catalog().await?;
    same("catalog names the sequences with the last number given", catalog.sequences.clone(), vec![("seq".to_owned(), 1)])?;
    let ledgers = desk.store.ledgers(catalog.scopes.clone()).await?;
    let snapshot = Snapshot {
        campaigns: vec![record.clone()],
        contacts: contacts.clone(),
        attempts: history.clone(),
        sequences: catalog.sequences,
        ledgers: catalog.scopes.into_iter().zip(ledgers).collect(),
        ..Snapshot::default()
    };
    desk.store.delete_campaign(record.id).await?;
    desk.store.restore(snapshot).await?;
    same(COPY, desk.store.campaign(record.id).await?, Some(record.clone()))?;
    same(COPY, desk.all(Owner::Campaign(record.id)).await?, contacts)?;
    same(COPY, desk.store.attempts(AttemptQuery { campaign: Some(record.id), ..Default::default() }).await?.items, history)?;
    same(COPY, desk.counts(record.id).await?, counts)?;
    let more = desk.people(record.id, 100, 1).await?;
    hold("ids given later are higher than any restored one", more[0] > ids[2], || format!("{} came", more[0]))?;
    let claimed = desk.claim(ClaimRequest { max: 1, ..everything(&record, token, at(2)) }).await?;
    same("a restored pending contact is claimed", claimed.iter().map(|attempt| attempt.contact).collect::<Vec<_>>(), vec![ids[2]])
}
