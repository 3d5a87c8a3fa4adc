//! Contacts: adding, finding, changing, removing.

use super::*;

pub(super) async fn contacts_are_added_in_order(desk: Desk) -> Checked {
    let record = desk.draft("Added").await?;
    for owner in [Owner::Campaign(record.id), Owner::List(ListId(5))] {
        let added = desk.add(owner, vec![person(3, "UTC"), person(1, "Europe/Paris"), person(3, "UTC"), person(2, "UTC")], at(7)).await?;
        let ids: Vec<ContactId> = added.iter().copied().map(id_of).collect();
        let want = vec![Added::New(ids[0]), Added::New(ids[1]), Added::Duplicate(ids[0]), Added::New(ids[3])];
        same("results are in the order of the batch, and a number is unique per owner", added, want)?;
        let contact = desk.contact(ids[1]).await?;
        let seen =
            (contact.owner, contact.state.status, contact.state.due_at, contact.state.run, contact.state.attempts, contact.created_at);
        same(
            "new contacts are pending, due at `now`, in run 1 of a new campaign",
            seen,
            (owner, ContactStatus::Pending, at(7), 1, 0, at(7)),
        )?;
        same("what was added is stored", (*contact.person).clone(), person(1, "Europe/Paris"))?;
    }
    let run = crate::campaign::RunState { number: 4, ..record.run };
    let record = desk.save(CampaignRecord { run, ..record }, at(8)).await?;
    let ids = desk.people(record.id, 70, 1).await?;
    same("new contacts are in the campaign's current run", desk.contact(ids[0]).await?.state.run, 4)?;
    desk.counts(record.id).await?;
    let missing = desk.add(Owner::Campaign(CampaignId(1 << 40)), vec![person(1, "UTC")], at(0)).await;
    fails("add_contacts fails with NotFound for an unknown campaign", missing, Kind::NotFound)
}

pub(super) async fn adding_twice_gives_one(desk: Desk) -> Checked {
    let record = desk.draft("Twice").await?;
    let add = AddContacts {
        request_id: Uuid::new_v4(),
        owner: Owner::Campaign(record.id),
        organization: None,
        contacts: vec![person(1, "UTC"), person(2, "UTC")].into(),
        duplicates: DuplicatePolicy::Skip,
        now: at(0),
    };
    let first = desk.store.add_contacts(add.clone()).await?;
    same("repeating a request_id of add_contacts returns what the first call returned", desk.store.add_contacts(add).await?, first)?;
    same("repeating a request_id adds nothing", desk.counts(record.id).await?.open(), 2)
}

pub(super) async fn an_ended_campaign_takes_nobody(desk: Desk) -> Checked {
    let record = desk.running("Ended").await?;
    let owner = Owner::Campaign(record.id);
    let (contacts, duplicates) = (vec![person(1, "UTC")].into(), DuplicatePolicy::Skip);
    let add = AddContacts { request_id: Uuid::new_v4(), owner, organization: None, contacts, duplicates, now: at(0) };
    let first = desk.store.add_contacts(add.clone()).await?;
    desk.save(CampaignRecord { status: CampaignStatus::Cancelled, ..record.clone() }, at(1)).await?;
    let late = desk.add(owner, vec![person(2, "UTC")], at(2)).await;
    fails("add_contacts fails with State for a campaign that has ended", late, Kind::State)?;
    same("a repeated request_id returns what the first call returned, whatever came after", desk.store.add_contacts(add).await?, first)?;
    same("nobody is added to a campaign that has ended", desk.counts(record.id).await?.open(), 1)
}

pub(super) async fn known_numbers_follow_the_policy(desk: Desk) -> Checked {
    let record = desk.running("Known").await?;
    let owner = Owner::Campaign(record.id);
    let mut old = person(1, "UTC");
    old.email = Some("old@example.org".to_owned());
    old.variables.insert("plan".to_owned(), "gold".into());
    old.variables.insert("city".to_owned(), "Rome".into());
    let id = id_of(desk.add(owner, vec![old.clone()], at(0)).await?[0]);
    let mut new = person(1, "Europe/Rome");
    new.name = None;
    new.email = Some("new@example.org".to_owned());
    new.variables.insert("city".to_owned(), "Milan".into());
    same("Skip keeps the old contact as it is", desk.add(owner, vec![new.clone()], at(1)).await?, vec![Added::Duplicate(id)])?;
    same("Skip keeps the old contact as it is", (*desk.contact(id).await?.person).clone(), old.clone())?;
    let duplicates = DuplicatePolicy::UpdateVariables;
    let add = AddContacts { request_id: Uuid::new_v4(), owner, organization: None, contacts: vec![new].into(), duplicates, now: at(2) };
    same("UpdateVariables answers Updated", desk.store.add_contacts(add).await?, vec![Added::Updated(id)])?;
    let contact = desk.contact(id).await?;
    const TAKEN: &str =
        "UpdateVariables takes over name, email, company, zones, consent and variables that the new row has, and keeps the rest";
    let seen = (contact.person.name.clone(), contact.person.email.clone(), contact.person.zones.clone());
    same(TAKEN, seen, (old.name, Some("new@example.org".to_owned()), ZoneKey::from_names(["Europe/Rome"])))?;
    let variable = |name: &str| contact.person.variables.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    same(TAKEN, (variable("plan"), variable("city")), (Some("gold".to_owned()), Some("Milan".to_owned())))?;
    let token = desk.node(at(0)).await?;
    same("a contact with another zone waits in that zone's queue", desk.claim(everything(&record, token, at(3))).await?.len(), 0)?;
    let zones = vec![ZoneKey::from_names(["Europe/Rome"])];
    same(
        "a contact with another zone waits in that zone's queue",
        desk.claim(ClaimRequest { zones, ..everything(&record, token, at(3)) }).await?.len(),
        1,
    )?;
    desk.counts(record.id).await?;
    Ok(())
}

pub(super) async fn contacts_are_found(desk: Desk) -> Checked {
    let record = desk.draft("Found").await?;
    let owner = Owner::Campaign(record.id);
    let mut people: Vec<NewContact> = (1..=5).map(|number| person(number, "UTC")).collect();
    people[1].name = Some("Ada Lovelace".to_owned());
    people[2].email = Some("ada@example.org".to_owned());
    people[3].name = Some("50% off_".to_owned());
    let ids: Vec<ContactId> = desk.add(owner, people, at(0)).await?.into_iter().map(id_of).collect();
    desk.add(Owner::List(ListId(1)), vec![person(1, "UTC")], at(0)).await?;
    let find = async |query: ContactQuery| -> Result<(Vec<ContactId>, u64)> {
        let page = desk.store.contacts(query).await?;
        Ok((page.items.iter().map(|contact| contact.id).collect(), page.total))
    };
    let base = ContactQuery::of(owner);
    same("contacts of an owner come by ascending id", find(base.clone()).await?, (ids.clone(), 5))?;
    let paging = Paging { offset: 1, limit: 2 };
    same(
        "a page leaves out `offset` and has `limit` items",
        find(ContactQuery { paging, ..base.clone() }).await?,
        (vec![ids[1], ids[2]], 5),
    )?;
    same("without `count` the total is 0", find(ContactQuery { paging, count: false, ..base.clone() }).await?, (vec![ids[1], ids[2]], 0))?;
    let after = find(ContactQuery { after: Some(ids[2]), count: false, ..base.clone() }).await?;
    same("`after` leaves ids above it", after.0, vec![ids[3], ids[4]])?;
    for (search, want) in
        [("aDA", vec![ids[1], ids[2]]), ("0000005", vec![ids[4]]), ("50%", vec![ids[3]]), ("f_", vec![ids[3]]), ("zzz", vec![])]
    {
        let total = want.len() as u64;
        let found = find(ContactQuery { search: Some(search.to_owned()), ..base.clone() }).await?;
        same("search finds a part of name, email or number, whatever the case, and has no wildcards", found, (want, total))?;
    }
    let change = BulkChange {
        campaign: record.id,
        selection: Selection::Ids(vec![ids[4]]),
        action: BulkAction::Cancel { reason: reason("stop") },
        limit: 9,
        now: at(1),
    };
    desk.store.bulk_change(change).await?;
    let statuses = vec![ContactStatus::Cancelled];
    same("contacts are filtered by status", find(ContactQuery { statuses, ..base.clone() }).await?, (vec![ids[4]], 1))?;
    same("an unknown owner has no contacts", find(ContactQuery::of(Owner::List(ListId(99)))).await?, (vec![], 0))?;
    same("an unknown contact is none", desk.store.contact(ContactId(1 << 40)).await?.is_none(), true)
}

pub(super) async fn updates_compare_the_version(desk: Desk) -> Checked {
    let record = desk.running("Updated").await?;
    let id = desk.people(record.id, 1, 1).await?[0];
    let before = desk.contact(id).await?;
    let update = UpdateContact {
        id,
        expected_version: before.state.version,
        transition: None,
        reason: Some(reason("moved")),
        due_at: Some(at(600)),
        step: Some(step(1, Channel::Sms)),
        replied_at: Some(at(5)),
        now: at(6),
    };
    let after = desk.store.update_contact(update.clone()).await?;
    let seen = (after.state.reason.clone(), after.state.due_at, after.state.step.clone(), after.state.replied_at, after.state.status);
    let want = (Some(reason("moved")), at(600), Some(step(1, Channel::Sms)), Some(at(5)), ContactStatus::Pending);
    same("update_contact changes what it names", seen, want)?;
    hold("the version grows with every change", after.state.version > before.state.version, || {
        format!("it stayed {}", after.state.version)
    })?;
    same("update_contact returns what is stored", desk.contact(id).await?, after.clone())?;
    fails("update_contact fails with Conflict when the version differs", desk.store.update_contact(update.clone()).await, Kind::Conflict)?;
    let gone = UpdateContact { id: ContactId(1 << 40), ..update };
    fails("update_contact fails with NotFound for an unknown id", desk.store.update_contact(gone).await, Kind::NotFound)?;
    let token = desk.node(at(0)).await?;
    same("a contact is not claimed before its new due time", desk.claim(everything(&record, token, at(599))).await?.len(), 0)?;
    let transition = Some(legal(ContactStatus::Pending, ContactEvent::Finish(ContactStatus::Completed))?);
    let expected_version = after.state.version;
    let reply = UpdateContact { id, expected_version, transition, reason: None, due_at: None, step: None, replied_at: None, now: at(700) };
    let done = desk.store.update_contact(reply).await?;
    let seen = (done.state.status, done.state.completed_at, done.state.reason, done.state.due_at);
    same(
        "a transition changes the status, and what is not named stays",
        seen,
        (ContactStatus::Completed, Some(at(700)), Some(reason("moved")), at(600)),
    )?;
    same("counts follow an update", desk.counts(record.id).await?.of(ContactStatus::Completed), 1)?;
    same("a terminal contact is not claimed", desk.claim(everything(&record, token, at(800))).await?.len(), 0)
}

pub(super) async fn illegal_changes_are_refused(desk: Desk) -> Checked {
    let record = desk.running("Illegal").await?;
    let ids = desk.people(record.id, 1, 2).await?;
    let token = desk.node(at(0)).await?;
    let attempts = desk.claim(ClaimRequest { max: 1, ..everything(&record, token, at(0)) }).await?;
    same("a due contact is claimed", attempts.len(), 1)?;
    let before = desk.all(Owner::Campaign(record.id)).await?;
    let done = ContactEvent::Finish(ContactStatus::Completed);
    for (id, from, event, sentence) in [
        (
            ids[1],
            ContactStatus::Completed,
            ContactEvent::Reset,
            "a transition is refused with State when `from` is not what the store holds",
        ),
        (ids[1], ContactStatus::Pending, ContactEvent::Claim, "update_contact refuses a transition into in_progress with State"),
        (ids[0], ContactStatus::InProgress, done, "update_contact refuses a transition out of in_progress with State"),
    ] {
        let expected_version = desk.contact(id).await?.state.version;
        let transition = Some(legal(from, event)?);
        let update =
            UpdateContact { id, expected_version, transition, reason: None, due_at: None, step: None, replied_at: None, now: at(1) };
        fails(sentence, desk.store.update_contact(update).await, Kind::State)?;
    }
    let mut settlement = finish(&attempts[0], Outcome::answered(1), ContactStatus::Completed)?;
    settlement.transition = legal(ContactStatus::Pending, done)?;
    fails(
        "a settlement whose transition does not start from in_progress is refused with State",
        desk.settle(token, vec![settlement], at(1)).await,
        Kind::State,
    )?;
    same("what is refused changes nothing", desk.all(Owner::Campaign(record.id)).await?, before)?;
    desk.counts(record.id).await?;
    Ok(())
}

pub(super) async fn removing_spares_what_is_in_progress(desk: Desk) -> Checked {
    let record = desk.running("Removed").await?;
    let owner = Owner::Campaign(record.id);
    let ids = desk.people(record.id, 1, 4).await?;
    let token = desk.node(at(0)).await?;
    let attempts = desk.claim(ClaimRequest { max: 2, ..everything(&record, token, at(0)) }).await?;
    desk.settle(token, vec![finish(&attempts[1], Outcome::answered(9), ContactStatus::Completed)?], at(1)).await?;
    let other = id_of(desk.add(Owner::List(ListId(1)), vec![person(1, "UTC")], at(0)).await?[0]);
    let chosen = vec![ids[0], ids[1], ids[2], other, ContactId(1 << 40)];
    same(
        "remove_contacts removes contacts of the owner that are not in progress and returns how many went",
        desk.store.remove_contacts(owner, chosen).await?,
        2,
    )?;
    let left: Vec<ContactId> = desk.all(owner).await?.iter().map(|contact| contact.id).collect();
    same("only those are gone", left, vec![ids[0], ids[3]])?;
    let query = AttemptQuery { campaign: Some(record.id), count: true, ..Default::default() };
    same("their attempts are gone with them", desk.store.attempts(query).await?.total, 1)?;
    desk.counts(record.id).await?;
    let again = desk.add(owner, vec![person(2, "UTC")], at(2)).await?;
    hold("a removed number can be added anew", matches!(again[0], Added::New(_)), || format!("{again:?} came"))?;
    same("a contact of a list is removed", desk.store.remove_contacts(Owner::List(ListId(1)), vec![other]).await?, 1)
}

pub(super) async fn bulk_changes_keep_to_their_limit(desk: Desk) -> Checked {
    let record = desk.running("Bulk").await?;
    let ids = desk.people(record.id, 1, 10).await?;
    let token = desk.node(at(0)).await?;
    desk.claim(ClaimRequest { max: 1, ..everything(&record, token, at(0)) }).await?;
    let bulk = |selection, action, limit| BulkChange { campaign: record.id, selection, action, limit, now: at(5) };
    let skip = BulkAction::Skip { reason: reason("deadline") };
    let chosen = Selection::Ids(vec![ids[0], ids[1], ids[2]]);
    same(
        "only selected contacts with a status the change can start from change",
        desk.store.bulk_change(bulk(chosen, skip, 100)).await?,
        2,
    )?;
    let contact = desk.contact(ids[1]).await?;
    let seen = (contact.state.status, contact.state.reason, contact.state.completed_at);
    same("Skip makes pending contacts skipped, with the reason", seen, (ContactStatus::Skipped, Some(reason("deadline")), Some(at(5))))?;
    let cancel = BulkAction::Cancel { reason: reason("stopped") };
    same("at most `limit` contacts change", desk.store.bulk_change(bulk(Selection::All, cancel.clone(), 4)).await?, 4)?;
    desk.counts(record.id).await?;
    same("a bulk change returns how many it changed", desk.store.bulk_change(bulk(Selection::All, cancel.clone(), 4)).await?, 3)?;
    same("a bulk change that is repeated finds nothing more", desk.store.bulk_change(bulk(Selection::All, cancel, 4)).await?, 0)?;
    let counts = desk.counts(record.id).await?;
    let seen = (counts.of(ContactStatus::Skipped), counts.of(ContactStatus::Cancelled), counts.of(ContactStatus::InProgress));
    same("Cancel makes pending contacts cancelled, and nothing else", seen, (2, 7, 1))?;
    same("a cancelled contact is not claimed", desk.claim(everything(&record, token, at(6))).await?.len(), 0)
}

pub(super) async fn a_reset_begins_anew(desk: Desk) -> Checked {
    let record = desk.running("Reset").await?;
    let ids = desk.people(record.id, 1, 3).await?;
    let token = desk.node(at(0)).await?;
    let attempts = desk.claim(ClaimRequest { max: 2, ..everything(&record, token, at(0)) }).await?;
    let first = finish(&attempts[0], Outcome::answered(60).with_cost(Money(500)), ContactStatus::Completed)?;
    let second = finish(&attempts[1], Outcome::new(Disposition::Busy).with_cost(Money(20)), ContactStatus::Busy)?;
    desk.settle(token, vec![first, second], at(1)).await?;
    let reset = |selection, run| BulkChange { campaign: record.id, selection, action: BulkAction::Reset { run }, limit: 100, now: at(50) };
    same("Reset leaves contacts alone whose run is not below the new one", desk.store.bulk_change(reset(Selection::All, 1)).await?, 0)?;
    let busy = Selection::Statuses(vec![ContactStatus::Busy]);
    same("a bulk change keeps to the statuses selected", desk.store.bulk_change(reset(busy, 2)).await?, 1)?;
    same("Reset changes terminal contacts", desk.store.bulk_change(reset(Selection::All, 2)).await?, 1)?;
    const ANEW: &str = "a reset contact is pending in the new run, state as new, sums zero";
    let state = desk.contact(ids[0]).await?.state;
    let version = state.version;
    same(ANEW, state, crate::contact::ContactState { version, ..crate::contact::ContactState::new(2, at(50)) })?;
    let counts = desk.counts(record.id).await?;
    same("counters follow a reset", (counts.call_attempts, counts.duration_seconds, counts.cost), (0, 0, Money::ZERO))?;
    let query = AttemptQuery { contact: Some(ids[0]), run: Some(1), count: true, ..Default::default() };
    same("attempts stay after a reset", desk.store.attempts(query).await?.total, 1)?;
    let spent = desk.ledger(LimitScope::Campaign(record.id)).await?.spent;
    same("money spent is over all runs", spent, Money(520))?;
    let again = desk.claim(everything(&record, token, at(60))).await?;
    let numbers: Vec<(u32, u32)> = again.iter().map(|attempt| (attempt.run, attempt.number)).collect();
    same("attempts of a new run are numbered from 1", numbers, vec![(1, 1), (2, 1), (2, 1)])
}

pub(super) async fn the_untouched_are_removed(desk: Desk) -> Checked {
    let record = desk.running("Untouched").await?;
    let ids = desk.people(record.id, 1, 4).await?;
    let token = desk.node(at(0)).await?;
    let attempts = desk.claim(ClaimRequest { max: 2, ..everything(&record, token, at(0)) }).await?;
    desk.settle(token, vec![finish(&attempts[0], Outcome::answered(1), ContactStatus::Completed)?], at(1)).await?;
    let bulk = |selection, action| BulkChange { campaign: record.id, selection, action, limit: 100, now: at(5) };
    desk.store.bulk_change(bulk(Selection::Ids(vec![ids[2]]), BulkAction::Skip { reason: reason("x") })).await?;
    same(
        "RemoveUntouched removes pending and skipped contacts",
        desk.store.bulk_change(bulk(Selection::All, BulkAction::RemoveUntouched)).await?,
        2,
    )?;
    let left: Vec<ContactId> = desk.all(Owner::Campaign(record.id)).await?.iter().map(|contact| contact.id).collect();
    same("RemoveUntouched spares all others", left, vec![ids[0], ids[1]])?;
    desk.counts(record.id).await?;
    Ok(())
}
