//! Organisations that share a store and never see each other.

use super::people::entry;
use super::*;
use crate::campaign::FrequencyCap;

const ORGANISATION: SuppressionScope = SuppressionScope::Organization(7);

pub(super) async fn campaigns_of_an_organisation_are_listed(desk: Desk) -> Checked {
    let mut ids = Vec::new();
    for (name, organization) in [("One", Some(7)), ("Two", Some(8)), ("Three", None), ("Four", Some(7))] {
        ids.push(desk.draft_of(name, organization).await?);
    }
    same("the organisation of a campaign is stored", desk.store.campaign(ids[0].id).await?, Some(ids[0].clone()))?;
    desk.save(CampaignRecord { status: CampaignStatus::Running, ..ids[3].clone() }, at(1)).await?;
    let list = async |organization, statuses| -> Result<(Vec<CampaignId>, u64)> {
        let page = desk.store.campaigns(CampaignQuery { organization, statuses, ..Default::default() }).await?;
        Ok((page.items.iter().map(|record| record.id).collect(), page.total))
    };
    const FILTERED: &str = "campaigns are filtered by organisation, newest first";
    same(FILTERED, list(Some(7), vec![]).await?, (vec![ids[3].id, ids[0].id], 2))?;
    same(FILTERED, list(Some(8), vec![]).await?, (vec![ids[1].id], 1))?;
    same(FILTERED, list(Some(9), vec![]).await?, (vec![], 0))?;
    same("filters of campaigns hold together", list(Some(7), vec![CampaignStatus::Running]).await?, (vec![ids[3].id], 1))?;
    same("without an organisation campaigns of all come", list(None, vec![]).await?.1, 4)
}

pub(super) async fn an_organisation_suppresses_its_own(desk: Desk) -> Checked {
    let (mine, too) = (desk.running_of("Mine", Some(7)).await?, desk.running_of("Mine, too", Some(7)).await?);
    let (other, none) = (desk.running_of("Another's", Some(8)).await?, desk.running("Nobody's").await?);
    desk.store.suppress(vec![entry(1, ORGANISATION, "mine", None), entry(2, SuppressionScope::Everything, "all", None)]).await?;
    let kinds = async |owner, organization| -> Result<Vec<bool>> {
        let contacts: Arc<[NewContact]> = Arc::new([person(1, "UTC"), person(2, "UTC"), person(3, "UTC")]);
        let duplicates = DuplicatePolicy::Skip;
        let add = AddContacts { request_id: Uuid::new_v4(), owner, organization, contacts, duplicates, now: at(1) };
        Ok(desk.store.add_contacts(add).await?.iter().map(|added| matches!(added, Added::Suppressed(_))).collect())
    };
    const ADDED: &str = "a suppression of an organisation covers all of its campaigns and no others, one for everything covers all";
    for record in [&mine, &too] {
        same(ADDED, kinds(Owner::Campaign(record.id), None).await?, vec![true, true, false])?;
    }
    for record in [&other, &none] {
        same(ADDED, kinds(Owner::Campaign(record.id), None).await?, vec![false, true, false])?;
    }
    const CAMPAIGN: &str = "the organisation of a campaign is that of its record, whatever `AddContacts` says";
    let late = desk.running_of("Late", Some(8)).await?;
    same(CAMPAIGN, kinds(Owner::Campaign(late.id), Some(7)).await?, vec![false, true, false])?;
    const LIST: &str = "a suppression of an organisation covers its contact lists, which `AddContacts` names";
    same(LIST, kinds(Owner::List(ListId(1)), Some(7)).await?, vec![true, true, false])?;
    same(LIST, kinds(Owner::List(ListId(2)), Some(8)).await?, vec![false, true, false])?;
    same(LIST, kinds(Owner::List(ListId(3)), None).await?, vec![false, true, false])?;

    // The same holds inside a claim, for numbers suppressed after they were added.
    desk.store.suppress(vec![entry(3, ORGANISATION, "later", Some(at(100)))]).await?;
    let token = desk.node(at(0)).await?;
    let claimed = async |record: &CampaignRecord| -> Result<(usize, u32)> {
        let claims = desk.store.claim(everything(record, token, at(2))).await?;
        Ok((claims.claimed.len(), claims.passed_over))
    };
    const CLAIM: &str = "a suppression of an organisation rules its own candidates out inside a claim, and no others";
    same(CLAIM, claimed(&mine).await?, (0, 1))?;
    same(CLAIM, claimed(&other).await?, (2, 0))?;
    same(CLAIM, claimed(&none).await?, (2, 0))?;

    let ids: Vec<ContactId> = desk.all(Owner::Campaign(too.id)).await?.iter().map(|contact| contact.id).collect();
    let theirs = desk.all(Owner::Campaign(other.id)).await?[0].id;
    let says = async |id, now| -> Result<Option<String>> { Ok(desk.store.facts(id, None, now).await?.suppressed) };
    const FACTS: &str = "facts name the suppression that covers the contact";
    same(FACTS, says(ids[0], at(5)).await?, Some("mine".to_owned()))?;
    same(FACTS, says(theirs, at(5)).await?, None)?;
    same("a suppression holds until it expires", says(ids[2], at(99)).await?, Some("later".to_owned()))?;
    same("a suppression that has expired does not hold", says(ids[2], at(101)).await?, None)?;
    let everywhere = entry(1, SuppressionScope::Everything, "all", None);
    desk.store.suppress(vec![entry(1, SuppressionScope::Campaign(too.id), "own", None), everywhere]).await?;
    const FIRST: &str = "when several suppressions hold, the reason is that of everything, then of the organisation, then of the campaign";
    let gone = async |scope| desk.store.unsuppress(vec![SuppressionKey { phone: phone(1), scope }]).await;
    same(FIRST, says(ids[0], at(5)).await?, Some("all".to_owned()))?;
    gone(SuppressionScope::Everything).await?;
    same(FIRST, says(ids[0], at(5)).await?, Some("mine".to_owned()))?;
    same("a suppression is removed by number and scope", gone(SuppressionScope::Organization(8)).await?, 0)?;
    same("a suppression is removed by number and scope", gone(ORGANISATION).await?, 1)?;
    same(FIRST, says(ids[0], at(5)).await?, Some("own".to_owned()))
}

pub(super) async fn suppressions_of_organisations_are_listed(desk: Desk) -> Checked {
    // A campaign and an organisation of one number must not be taken for each other.
    let campaign = SuppressionScope::Campaign(CampaignId(7));
    let eight = SuppressionScope::Organization(8);
    let entries = vec![
        entry(1, campaign, "d", None),
        entry(1, SuppressionScope::Everything, "c", None),
        entry(1, ORGANISATION, "b", None),
        entry(2, ORGANISATION, "e", None),
        entry(1, eight, "a", None),
    ];
    desk.store.suppress(entries).await?;
    let list = async |query| -> Result<(String, u64)> {
        let page = desk.store.suppressions(query).await?;
        Ok((page.items.into_iter().map(|entry| entry.reason).collect(), page.total))
    };
    let want = |text: &str| (text.to_owned(), text.len() as u64);
    same("suppressions come by number, within a number by the place of their scope", list(Default::default()).await?, want("abcde"))?;
    const FILTERED: &str = "suppressions are filtered by scope";
    let of = |scope| SuppressionQuery { scope: Some(scope), ..Default::default() };
    same(FILTERED, list(of(ORGANISATION)).await?, want("be"))?;
    same(FILTERED, list(of(eight)).await?, want("a"))?;
    same(FILTERED, list(of(campaign)).await?, want("d"))?;
    same(FILTERED, list(of(SuppressionScope::Everything)).await?, want("c"))?;
    let after = Some(SuppressionKey { phone: phone(1), scope: ORGANISATION });
    same("only suppressions above `after` come", list(SuppressionQuery { after, ..Default::default() }).await?, want("cde"))?;
    let stored = desk.store.suppressions(SuppressionQuery { phone: Some(phone(2)), ..Default::default() }).await?.items;
    same("a suppression is stored as it was given", stored, vec![entry(2, ORGANISATION, "e", None)])
}

pub(super) async fn recent_hand_offs_stay_within_an_organisation(desk: Desk) -> Checked {
    let (mine, too) = (desk.running_of("Mine", Some(7)).await?, desk.running_of("Mine, too", Some(7)).await?);
    let (other, none) = (desk.running_of("Another's", Some(8)).await?, desk.running("Nobody's").await?);
    desk.people(mine.id, 1, 1).await?;
    let mut ids = Vec::new();
    for record in [&too, &other, &none] {
        ids.push(desk.people(record.id, 1, 1).await?[0]);
    }
    let token = desk.node(at(0)).await?;
    let recent = async || -> Result<Vec<usize>> {
        let mut counts = Vec::new();
        for id in &ids {
            counts.push(desk.store.facts(*id, Some(at(0)), at(100)).await?.recent.len());
        }
        Ok(counts)
    };
    const RECENT: &str = "recent hand-offs are those of campaigns of the same organisation; those without one are a group of their own";
    let open = desk.claim(everything(&mine, token, at(10))).await?;
    same(RECENT, recent().await?, vec![1, 0, 0])?;
    desk.settle(token, vec![finish(&open[0], Outcome::answered(1), ContactStatus::Completed)?], at(20)).await?;
    same(RECENT, recent().await?, vec![1, 0, 0])?;

    let cap = FrequencyCap { max: 1, hours: 1, channels: Vec::new() };
    let capped = async |record: &CampaignRecord| -> Result<(usize, u32)> {
        let gates = ClaimGates { frequency_caps: vec![cap.clone()], ..ClaimGates::default() };
        let claims = desk.store.claim(ClaimRequest { gates, ..everything(record, token, at(30)) }).await?;
        Ok((claims.claimed.len(), claims.passed_over))
    };
    const CAPPED: &str = "frequency caps look at campaigns of the same organisation only";
    same(CAPPED, capped(&too).await?, (0, 1))?;
    same(CAPPED, capped(&none).await?, (1, 0))?;
    same(CAPPED, capped(&other).await?, (1, 0))?;
    let nobodys = desk.running("Nobody's, too").await?;
    desk.people(nobodys.id, 1, 1).await?;
    same(CAPPED, capped(&nobodys).await?, (0, 1))
}

pub(super) async fn a_callers_ledger_is_one_for_all(desk: Desk) -> Checked {
    let (mine, other) = (desk.running_of("Mine", Some(7)).await?, desk.running_of("Another's", Some(8)).await?);
    let token = desk.node(at(0)).await?;
    let mut claimed = Vec::new();
    for record in [&mine, &other] {
        desk.people(record.id, 1, 2).await?;
        let mut request = everything(record, token, at(1));
        request.limits.callers = vec![LimitRules { concurrency: Some(3), ..LimitRules::new(LimitScope::Caller("line".into())) }];
        claimed.push(desk.claim(request).await?.len());
    }
    const ONE: &str = "a caller's ledger is one for all organisations: it is one line, whoever calls from it";
    same(ONE, claimed, vec![2, 1])?;
    same(ONE, desk.ledger(LimitScope::Caller("line".into())).await?.in_flight, 3)
}
