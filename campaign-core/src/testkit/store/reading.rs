//! Attempts, queues, reasons, timeline, changes, events.

use super::*;
use crate::event::EventKind;
use crate::id::AttemptId;

pub(super) async fn attempts_are_listed_newest_first(desk: Desk) -> Checked {
    let (one, two) = (desk.running("One").await?, desk.running("Two").await?);
    desk.people(one.id, 1, 4).await?;
    desk.people(two.id, 1, 1).await?;
    let token = desk.node(at(0)).await?;
    let mine = desk.claim(everything(&one, token, at(0))).await?;
    desk.claim(everything(&two, token, at(0))).await?;
    let batch = vec![
        finish(&mine[0], Outcome::answered(1), ContactStatus::Completed)?,
        finish(&mine[1], Outcome::new(Disposition::Busy).with_provider_ref("ref-2"), ContactStatus::Busy)?,
    ];
    desk.settle(token, batch, at(1)).await?;
    let list = async |query: AttemptQuery| -> Result<(Vec<AttemptId>, u64)> {
        let page = desk.store.attempts(query).await?;
        Ok((page.items.iter().map(|attempt| attempt.id).collect(), page.total))
    };
    let base = || AttemptQuery { campaign: Some(one.id), count: true, ..AttemptQuery::default() };
    let ids: Vec<AttemptId> = mine.iter().rev().map(|attempt| attempt.id).collect();
    same("attempts come newest first", list(base()).await?, (ids.clone(), 4))?;
    same("without filters all attempts come", list(AttemptQuery { count: true, ..Default::default() }).await?.1, 5)?;
    same("without `count` the total is 0", list(AttemptQuery { count: false, ..base() }).await?, (ids.clone(), 0))?;
    let paging = Paging { offset: 1, limit: 2 };
    same("a page leaves out `offset` and has `limit` items", list(AttemptQuery { paging, ..base() }).await?, (ids[1..3].to_vec(), 4))?;
    same("only ids below `before` come", list(AttemptQuery { before: Some(ids[1]), ..base() }).await?.0, ids[2..].to_vec())?;
    same(
        "attempts are filtered by contact",
        list(AttemptQuery { contact: Some(mine[2].contact), ..base() }).await?,
        (vec![mine[2].id], 1),
    )?;
    same("attempts are filtered by id", list(AttemptQuery { id: Some(mine[1].id), ..base() }).await?, (vec![mine[1].id], 1))?;
    same("attempts are filtered by run", list(AttemptQuery { run: Some(2), ..base() }).await?, (vec![], 0))?;
    same("open_only leaves out settled attempts", list(AttemptQuery { open_only: true, ..base() }).await?, (ids[..2].to_vec(), 2))?;
    let dispositions = vec![Disposition::Busy, Disposition::NoAnswer];
    same("attempts are filtered by disposition", list(AttemptQuery { dispositions, ..base() }).await?, (vec![mine[1].id], 1))?;
    let provider_ref = Some("ref-2".to_owned());
    same("attempts are filtered by provider reference", list(AttemptQuery { provider_ref, ..base() }).await?, (vec![mine[1].id], 1))
}

pub(super) async fn pages_are_looked_up_at_once(desk: Desk) -> Checked {
    let (one, two, unknown) = (desk.running("One").await?, desk.running("Two").await?, CampaignId(1 << 40));
    let ids = desk.people(one.id, 1, 3).await?;
    desk.people(two.id, 1, 1).await?;
    let token = desk.node(at(0)).await?;
    let first = desk.claim(ClaimRequest { max: 1, ..everything(&one, token, at(0)) }).await?;
    let busy = AttemptEnd::Finished(Outcome::new(Disposition::Busy));
    // Before the others, so that it is tried again and one of them is not.
    desk.settle(token, vec![again(&first[0], busy, at(-1), step(0, Channel::Call))?], at(1)).await?;
    let next = desk.claim(ClaimRequest { max: 2, ..everything(&one, token, at(1)) }).await?;
    let counts = async |campaigns: Vec<CampaignId>| desk.store.counts_of(campaigns).await;
    let (of_one, of_two) = (desk.counts(one.id).await?, desk.counts(two.id).await?);
    same(
        "counts_of tells what counts tells of each, in the order asked for, and leaves out those that do not exist",
        counts(vec![two.id, unknown, one.id]).await?,
        vec![(two.id, of_two), (one.id, of_one.clone())],
    )?;
    same("counts_of of no campaign is empty", counts(Vec::new()).await?.len(), 0)?;
    let mut newest = Vec::new();
    for contact in ids.iter().rev() {
        let of = AttemptQuery { contact: Some(*contact), paging: Paging { offset: 0, limit: 1 }, ..AttemptQuery::default() };
        newest.extend(desk.store.attempts(of).await?.items);
    }
    same("a contact that is due first is claimed first", newest.len(), next.len())?;
    let asked = ids.iter().rev().copied().chain([ContactId(1 << 40)]).collect();
    same(
        "last_attempts tells the newest of each contact, in the order asked for, and leaves out those without one",
        desk.store.last_attempts(asked).await?,
        newest,
    )?;
    same("last_attempts of no contact is empty", desk.store.last_attempts(Vec::new()).await?.len(), 0)?;
    // Of a listing by status, everything behind its last contact is looked at by nobody.
    for statuses in [vec![ContactStatus::Pending], vec![ContactStatus::InProgress, ContactStatus::Pending], vec![ContactStatus::Failed]] {
        for offset in 0..4 {
            let paging = Paging { offset, limit: 2 };
            let query = ContactQuery { statuses: statuses.clone(), paging, ..ContactQuery::of(Owner::Campaign(one.id)) };
            let page = desk.store.contacts(query).await?;
            let total = of_one.with(&statuses);
            same("a listing of contacts has the total of their status", page.total, total)?;
            same("a page has what is left", page.items.len() as u64, total.saturating_sub(offset).min(2))?;
        }
    }
    let page = desk.store.campaigns(CampaignQuery { count: false, ..CampaignQuery::default() }).await?;
    same("without `count` the same campaigns come", page.items.len(), 2)
}

pub(super) async fn queues_and_reasons_are_counted(desk: Desk) -> Checked {
    let record = desk.running("Counted").await?;
    let owner = Owner::Campaign(record.id);
    for (number, zone, due) in [(1, "UTC", 30), (2, "UTC", 20), (3, "Asia/Tokyo", 50), (4, "Asia/Tokyo", 5)] {
        desk.add(owner, vec![person(number, zone)], at(due)).await?;
    }
    let token = desk.node(at(0)).await?;
    let zones = vec![ZoneKey::from_names(["Asia/Tokyo"])];
    desk.claim(ClaimRequest { zones, ..everything(&record, token, at(5)) }).await?;
    let tokyo = desk.store.pending_zones(record.id).await?;
    let mut seen: Vec<(String, Timestamp)> = tokyo.iter().map(|zone| (zone.zones.0.to_string(), zone.first_due)).collect();
    seen.sort();
    same(
        "pending_zones has for each zone of pending contacts the earliest due time",
        seen,
        vec![("Asia/Tokyo".to_owned(), at(50)), ("UTC".to_owned(), at(20))],
    )?;
    let mut rows: Vec<_> = desk.store.reasons(record.id, at(25)).await?;
    rows.sort_by(|a, b| (a.status, &a.zones, a.due).cmp(&(b.status, &b.zones, b.due)));
    let row = |status, zone: &str, due, first_due| ReasonCount {
        status,
        zones: ZoneKey::from_names([zone]),
        code: None,
        due,
        first_due,
        count: 1,
    };
    let want = vec![
        row(ContactStatus::Pending, "Asia/Tokyo", false, Some(at(50))),
        row(ContactStatus::Pending, "UTC", false, Some(at(30))),
        row(ContactStatus::Pending, "UTC", true, Some(at(20))),
        row(ContactStatus::InProgress, "", false, None),
    ];
    same("reasons counts contacts by status, zone, reason and whether they are due; zones and due only for pending ones", rows, want)?;
    let cancel = BulkAction::Cancel { reason: reason("stopped") };
    desk.store.bulk_change(BulkChange { campaign: record.id, selection: Selection::All, action: cancel, limit: 10, now: at(30) }).await?;
    let rows = desk.store.reasons(record.id, at(25)).await?;
    let cancelled = rows.iter().find(|row| row.status == ContactStatus::Cancelled).map(|row| (row.code.as_deref(), row.count));
    same("reasons counts terminal contacts by the code of their reason", cancelled, Some((Some("stopped"), 3)))?;
    same("a campaign without pending contacts has no pending zone", desk.store.pending_zones(record.id).await?.len(), 0)
}

pub(super) async fn the_timeline_has_buckets(desk: Desk) -> Checked {
    let record = desk.running("Timeline").await?;
    desk.people(record.id, 1, 4).await?;
    let token = desk.node(at(0)).await?;
    let attempts = desk.claim(everything(&record, token, at(0))).await?;
    let base = at(0).as_second().div_euclid(60) * 60;
    let moment = |seconds: i64| Timestamp::from_second(base + seconds).unwrap_or(Timestamp::MAX);
    for (attempt, (second, outcome)) in attempts.iter().zip([
        (60, Outcome::answered(10).with_cost(Money(1))),
        (119, Outcome::answered(5).with_cost(Money(2))),
        (180, Outcome::new(Disposition::Busy).with_cost(Money(4))),
        (240, Outcome::answered(100)),
    ]) {
        desk.settle(token, vec![finish(attempt, outcome, ContactStatus::Completed)?], moment(second)).await?;
    }
    let query = TimelineQuery { campaign: record.id, from: moment(60), to: moment(240), bucket_seconds: 60 };
    let bucket = |second, disposition, count, duration_seconds, cost| TimelineBucket {
        start: moment(second),
        dispositions: [(disposition, count)].into(),
        duration_seconds,
        cost: Money(cost),
    };
    let want = vec![bucket(60, Disposition::Answered, 2, 15, 3), bucket(180, Disposition::Busy, 1, 0, 4)];
    same(
        "the timeline counts settled attempts per bucket, aligned to the epoch, `to` exclusive, empty ones left out",
        desk.store.timeline(query).await?,
        want,
    )
}

pub(super) async fn changes_move_when_gates_may(desk: Desk) -> Checked {
    let record = desk.running("Changes").await?;
    let owner = Owner::Campaign(record.id);
    let token = desk.node(at(0)).await?;
    let short = desk.store.register_node(NewNode { name: "short".to_owned(), lease: minutes(1), now: at(0) }).await?.token;
    desk.people(record.id, 9, 1).await?;
    desk.claim(everything(&record, short, at(0))).await?;
    let mut last = desk.store.changes().await?;
    let mut moved = async |what: &str, want: bool| -> Checked {
        let now = desk.store.changes().await?;
        let sentence = match want {
            true => format!("changes moves with {what}"),
            false => format!("changes does not move with {what}"),
        };
        let before = std::mem::replace(&mut last, now);
        hold(&sentence, if want { now > before } else { now == before }, || format!("it went from {before} to {now}"))
    };
    let ids = desk.people(record.id, 1, 4).await?;
    moved("add_contacts", false).await?;
    let attempts = desk.claim(ClaimRequest { max: 1, ..everything(&record, token, at(0)) }).await?;
    moved("claim", false).await?;
    desk.settle(token, vec![finish(&attempts[0], Outcome::answered(1), ContactStatus::Completed)?], at(1)).await?;
    moved("settle", false).await?;
    let record = desk.save(record, at(2)).await?;
    moved("save_campaign", true).await?;
    let take = |now| TakeOver { request_id: Uuid::new_v4(), token, quarantine: minutes(2), limit: 10, now };
    desk.store.take_over(take(at(100))).await?;
    moved("take_over of nothing", false).await?;
    same("an attempt of a dead node is taken over", desk.store.take_over(take(at(300))).await?.len(), 1)?;
    moved("take_over", true).await?;
    let expected_version = desk.contact(ids[1]).await?.state.version;
    let update = UpdateContact {
        id: ids[1],
        expected_version,
        transition: None,
        reason: None,
        due_at: Some(at(9)),
        step: None,
        replied_at: None,
        now: at(3),
    };
    desk.store.update_contact(update).await?;
    moved("update_contact", true).await?;
    desk.store.remove_contacts(owner, vec![ids[2]]).await?;
    moved("remove_contacts", true).await?;
    let cancel = BulkAction::Cancel { reason: reason("stop") };
    desk.store.bulk_change(BulkChange { campaign: record.id, selection: Selection::All, action: cancel, limit: 10, now: at(4) }).await?;
    moved("bulk_change", true).await?;
    let entry = Suppression {
        phone: phone(1),
        scope: SuppressionScope::Everything,
        reason: "asked".to_owned(),
        source: None,
        created_at: at(0),
        expires_at: None,
    };
    desk.store.suppress(vec![entry]).await?;
    moved("suppress", true).await?;
    desk.store.unsuppress(vec![SuppressionKey { phone: phone(1), scope: SuppressionScope::Everything }]).await?;
    moved("unsuppress", true).await?;
    desk.store.delete_campaign(record.id).await?;
    moved("delete_campaign", true).await
}

pub(super) async fn events_are_in_order_and_none_is_lost(desk: Desk) -> Checked {
    let start = desk.store.events(EventQuery { after: None, campaign: None, limit: 10 }).await?;
    same("without a cursor the answer has no events, only the cursor", start.events.len(), 0)?;
    let (one, two) = (desk.running("One").await?, desk.running("Two").await?);
    desk.people(one.id, 1, 2).await?;
    desk.people(two.id, 1, 1).await?;
    let token = desk.node(at(0)).await?;
    let attempts = desk.claim(everything(&one, token, at(1))).await?;
    let other = desk.claim(everything(&two, token, at(2))).await?;
    desk.settle(token, vec![finish(&attempts[0], Outcome::answered(3), ContactStatus::Completed)?], at(3)).await?;
    desk.settle(
        token,
        vec![again(&attempts[1], AttemptEnd::Finished(Outcome::new(Disposition::Busy)), at(99), step(0, Channel::Call))?],
        at(4),
    )
    .await?;
    desk.save(CampaignRecord { status: CampaignStatus::Paused, ..one.clone() }, at(5)).await?;
    let read = async |campaign, limit: u32| -> Result<Vec<String>> {
        let mut cursor = start.next;
        let mut seen = Vec::new();
        for _ in 0..100 {
            let page = desk.store.events(EventQuery { after: Some(cursor), campaign, limit }).await?;
            seen.extend(page.events.iter().map(|event| name_of(&event.kind)));
            cursor = page.next;
            if !page.more {
                break;
            }
        }
        Ok(seen)
    };
    let (a, b, c) = (attempts[0].id, attempts[1].id, other[0].id);
    let mine = [
        "draft to running".to_owned(),
        format!("started {a}"),
        format!("started {b}"),
        format!("completed {a} completed"),
        format!("failed {b} pending"),
        "running to paused".to_owned(),
    ];
    const ORDER: &str = "events come in the order they were committed, and none is lost";
    same(ORDER, read(Some(one.id), 100).await?, mine.to_vec())?;
    same("a reader that takes few at a time sees the same events", read(Some(one.id), 1).await?, mine.to_vec())?;
    same("a reader that takes few at a time sees the same events", read(None, 2).await?, read(None, 100).await?)?;
    same("events are filtered by campaign", read(Some(two.id), 100).await?, vec!["draft to running".to_owned(), format!("started {c}")])?;
    same("without a filter events of all campaigns come", read(None, 100).await?.len(), 8)?;
    let end = desk.store.events(EventQuery { after: None, campaign: None, limit: 10 }).await?.next;
    let page = desk.store.events(EventQuery { after: Some(end), campaign: None, limit: 10 }).await?;
    same("after the newest event there is none", (page.events.len(), page.more), (0, false))
}

pub(super) async fn saves_announce_what_they_mean(desk: Desk) -> Checked {
    let start = desk.store.events(EventQuery { after: None, campaign: None, limit: 10 }).await?.next;
    let draft = desk.draft("Announced").await?;
    let spec = Arc::new(CampaignSpec { budget: Some(Money(100)), ..(*draft.spec).clone() });
    let record = desk.save(CampaignRecord { spec, status: CampaignStatus::Running, ..draft.clone() }, at(0)).await?;
    desk.people(record.id, 1, 1).await?;
    let token = desk.node(at(0)).await?;
    let attempts = desk.claim(everything(&record, token, at(1))).await?;
    let paid = Outcome::answered(3).with_cost(Money(80));
    desk.settle(token, vec![finish(&attempts[0], paid, ContactStatus::Completed)?], at(2)).await?;
    let record = desk.save(CampaignRecord { budget_announced_percent: 80, ..record }, at(3)).await?;
    let record = desk.save(CampaignRecord { reason: Some(reason("edited")), ..record }, at(4)).await?;
    let late = CampaignRecord { status: CampaignStatus::Cancelled, ..draft };
    fails("save_campaign fails with Conflict when the revision differs", desk.save(late, at(5)).await, Kind::Conflict)?;
    let run = record.run.number;
    let record = desk.save(CampaignRecord { status: CampaignStatus::Completed, ..record }, at(6)).await?;
    let page = desk.store.events(EventQuery { after: Some(start), campaign: Some(record.id), limit: 100 }).await?;
    let of_contacts = |kind: &EventKind| matches!(kind, EventKind::ContactStarted { .. } | EventKind::ContactCompleted(_));
    let seen: Vec<EventKind> = page.events.into_iter().map(|event| event.kind).filter(|kind| !of_contacts(kind)).collect();
    let want = vec![
        EventKind::StatusChanged { from: CampaignStatus::Draft, to: CampaignStatus::Running },
        EventKind::BudgetThreshold { percent: 80, spent: Money(80), budget: Money(100) },
        EventKind::StatusChanged { from: CampaignStatus::Running, to: CampaignStatus::Completed },
        EventKind::CampaignCompleted { run },
    ];
    same("a save announces what policy::announce::saved says, with the money spent by then, and a refused one nothing", seen, want)
}

/// What the checks compare of an event.
pub(super) fn name_of(kind: &EventKind) -> String {
    match kind {
        EventKind::ContactStarted { attempt_id, .. } => format!("started {attempt_id}"),
        EventKind::ContactCompleted(ended) => format!("completed {} {}", ended.attempt_id, ended.status),
        EventKind::ContactFailed(ended) => format!("failed {} {}", ended.attempt_id, ended.status),
        EventKind::StatusChanged { from, to } => format!("{from} to {to}"),
        other => format!("{other:?}"),
    }
}

pub(super) async fn unknown_ids_are_said(desk: Desk) -> Checked {
    let unknown = CampaignId(1 << 40);
    fails("counts fails with NotFound for an unknown id", desk.store.counts(unknown).await, Kind::NotFound)?;
    fails("facts fails with NotFound for an unknown id", desk.store.facts(ContactId(1 << 40), None, at(0)).await, Kind::NotFound)?;
    let empty = desk.store.ledgers(vec![LimitScope::Caller("nobody".into()), LimitScope::Deployment]).await?;
    same("an unknown scope has an empty ledger", empty, vec![Default::default(); 2])
}
