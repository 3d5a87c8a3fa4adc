//! Suppressions, and what is known about a person over all campaigns.

use super::*;
use crate::campaign::FrequencyCap;

pub(super) fn entry(number: u64, scope: SuppressionScope, code: &str, expires_at: Option<Timestamp>) -> Suppression {
    Suppression { phone: phone(number), scope, reason: code.to_owned(), source: Some("api".to_owned()), created_at: at(0), expires_at }
}

pub(super) async fn suppressed_numbers_are_skipped(desk: Desk) -> Checked {
    let (one, two) = (desk.running("One").await?, desk.running("Two").await?);
    let only_one = SuppressionScope::Campaign(one.id);
    desk.store.suppress(vec![entry(1, SuppressionScope::Everything, "asked", None), entry(2, only_one, "asked", None)]).await?;
    let kinds = async |owner| -> Result<Vec<bool>> {
        let added = desk.add(owner, vec![person(1, "UTC"), person(2, "UTC"), person(3, "UTC")], at(1)).await?;
        Ok(added.iter().map(|added| matches!(added, Added::Suppressed(_))).collect())
    };
    const ADDED: &str = "suppressed numbers are added with status skipped, and a campaign's own suppressions cover that campaign only";
    same(ADDED, kinds(Owner::Campaign(one.id)).await?, vec![true, true, false])?;
    same(ADDED, kinds(Owner::Campaign(two.id)).await?, vec![true, false, false])?;
    same(ADDED, kinds(Owner::List(ListId(1))).await?, vec![true, false, false])?;
    let skipped = &desk.all(Owner::Campaign(one.id)).await?[0];
    let seen = (skipped.state.status, skipped.state.reason.as_ref().map(|reason| reason.code.to_string()));
    same(ADDED, seen, (ContactStatus::Skipped, Some("suppressed".to_owned())))?;
    desk.counts(one.id).await?;
    desk.store.suppress(vec![entry(3, SuppressionScope::Everything, "asked", None)]).await?;
    let token = desk.node(at(0)).await?;
    let claims = desk.store.claim(everything(&one, token, at(2))).await?;
    same("a number suppressed after it was added is not claimed", (claims.claimed.len(), claims.passed_over), (0, 1))?;
    same("a candidate that is ruled out becomes skipped", desk.counts(one.id).await?.of(ContactStatus::Skipped), 3)
}

pub(super) async fn suppressions_expire_and_are_replaced(desk: Desk) -> Checked {
    let record = desk.running("Expiring").await?;
    let id = desk.people(record.id, 1, 1).await?[0];
    let reason_at = async |now| -> Result<Option<String>> { Ok(desk.store.facts(id, None, now).await?.suppressed) };
    desk.store.suppress(vec![entry(1, SuppressionScope::Everything, "first", Some(at(100)))]).await?;
    same("a suppression holds until it expires", reason_at(at(99)).await?, Some("first".to_owned()))?;
    same("a suppression that has expired does not hold", reason_at(at(101)).await?, None)?;
    desk.store.suppress(vec![entry(1, SuppressionScope::Everything, "second", None)]).await?;
    same("suppress replaces by number and scope", reason_at(at(500)).await?, Some("second".to_owned()))?;
    same("suppress replaces by number and scope", desk.store.suppressions(SuppressionQuery::default()).await?.total, 1)?;
    let key = |scope| SuppressionKey { phone: phone(1), scope };
    let gone = desk.store.unsuppress(vec![key(SuppressionScope::Everything), key(SuppressionScope::Campaign(record.id))]).await?;
    same("unsuppress returns how many went", gone, 1)?;
    same("a removed suppression does not hold", reason_at(at(500)).await?, None)
}

pub(super) async fn suppressions_are_listed(desk: Desk) -> Checked {
    let own = SuppressionScope::Campaign(CampaignId(3));
    let entries = vec![
        entry(5, SuppressionScope::Everything, "e", None),
        entry(1, own, "b", Some(at(9))),
        entry(1, SuppressionScope::Everything, "a", None),
        entry(3, own, "c", None),
    ];
    desk.store.suppress(entries).await?;
    let list = async |query| -> Result<(String, u64)> {
        let page = desk.store.suppressions(query).await?;
        Ok((page.items.into_iter().map(|entry| entry.reason).collect(), page.total))
    };
    let want = |text: &str, total| (text.to_owned(), total);
    same("suppressions come by number, ascending", list(SuppressionQuery::default()).await?, want("abce", 4))?;
    let paging = Paging { offset: 1, limit: 2 };
    same(
        "a page leaves out `offset` and has `limit` items",
        list(SuppressionQuery { paging, ..Default::default() }).await?,
        want("bc", 4),
    )?;
    let query = SuppressionQuery { phone: Some(phone(1)), ..Default::default() };
    same("suppressions are filtered by number", list(query).await?, want("ab", 2))?;
    let query = SuppressionQuery { scope: Some(own), ..Default::default() };
    same("suppressions are filtered by scope", list(query).await?, want("bc", 2))?;
    let after = Some(SuppressionKey { phone: phone(1), scope: SuppressionScope::Everything });
    same("only suppressions above `after` come", list(SuppressionQuery { after, ..Default::default() }).await?.0, "bce".to_owned())?;
    let stored = desk.store.suppressions(SuppressionQuery { phone: Some(phone(1)), scope: Some(own), ..Default::default() }).await?.items;
    same("a suppression is stored as it was given", stored, vec![entry(1, own, "b", Some(at(9)))])
}

pub(super) async fn facts_reach_over_campaigns(desk: Desk) -> Checked {
    let (one, two) = (desk.running("One").await?, desk.running("Two").await?);
    let mine = desk.people(one.id, 1, 1).await?[0];
    let theirs = desk.people(two.id, 1, 2).await?[0];
    let token = desk.node(at(0)).await?;
    let recent = async |id, since| -> Result<Vec<(Timestamp, Channel)>> { Ok(desk.store.facts(id, since, at(100)).await?.recent) };
    let first = desk.claim(everything(&one, token, at(10))).await?;
    const OPEN: &str = "open attempts of other contacts with this number count as recent hand-offs, the contact's own does not";
    same(OPEN, recent(mine, Some(at(0))).await?, vec![])?;
    same(OPEN, recent(theirs, Some(at(0))).await?, vec![(at(10), Channel::Call)])?;
    desk.settle(token, vec![finish(&first[0], Outcome::answered(1), ContactStatus::Completed)?], at(20)).await?;
    let second = desk.claim(ClaimRequest { max: 1, first_step: step(0, Channel::Sms), ..everything(&two, token, at(30)) }).await?;
    let refused = again(&second[0], AttemptEnd::Refused, at(40), step(0, Channel::Sms))?;
    desk.settle(token, vec![refused], at(31)).await?;
    same("refused attempts are no hand-offs", recent(theirs, Some(at(0))).await?, vec![(at(10), Channel::Call)])?;
    let third = desk.claim(ClaimRequest { max: 1, zones: vec![ZoneKey::from_names(["UTC"])], ..everything(&two, token, at(40)) }).await?;
    let done: Vec<Settlement> =
        third.iter().map(|attempt| finish(attempt, Outcome::new(Disposition::Sent), ContactStatus::Completed)).collect::<Result<_>>()?;
    desk.settle(token, done, at(41)).await?;
    let waiting = desk.claim(everything(&two, token, at(42))).await?;
    let done: Vec<Settlement> =
        waiting.iter().map(|attempt| finish(attempt, Outcome::new(Disposition::Sent), ContactStatus::Completed)).collect::<Result<_>>()?;
    desk.settle(token, done, at(43)).await?;
    let seen = recent(mine, Some(at(0))).await?;
    let newest_first = seen.len() == 2 && seen[0].0 > seen[1].0 && seen[1] == (at(10), Channel::Call);
    hold("recent hand-offs to a number are those of all campaigns of the organisation, newest first", newest_first, || {
        format!("{seen:?} came")
    })?;
    same("recent hand-offs reach back to `since`", recent(mine, Some(at(15))).await?.len(), 1)?;
    same("without `since` no hand-offs are looked up", recent(mine, None).await?, vec![])?;
    // The same facts decide inside a claim.
    let three = desk.running("Three").await?;
    let id = desk.people(three.id, 1, 1).await?[0];
    let cap = FrequencyCap { max: 1, hours: 1, channels: Vec::new() };
    let gates = ClaimGates { frequency_caps: vec![cap], ..ClaimGates::default() };
    let claims = desk.store.claim(ClaimRequest { gates, ..everything(&three, token, at(100)) }).await?;
    same("a capped contact is deferred inside the claim", (claims.claimed.len(), claims.passed_over), (0, 1))?;
    let state = desk.contact(id).await?.state;
    let seen = (state.status, state.due_at, state.reason.map(|reason| reason.code.to_string()));
    same(
        "a deferred candidate gets the new due time and reason",
        seen,
        (ContactStatus::Pending, seen_end(&recent(mine, Some(at(0))).await?), Some("frequency_cap".to_owned())),
    )
}

fn seen_end(recent: &[(Timestamp, Channel)]) -> Timestamp {
    recent.first().map_or(at(0), |(newest, _)| newest.saturating_add(minutes(60)).unwrap_or(Timestamp::MAX))
}
