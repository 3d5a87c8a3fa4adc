//! Listings and sums: what only looks.

use crate::state::State;
use crate::work::{cost_of, handed_over_at};
use campaign_core::Result;
use campaign_core::campaign::CampaignRecord;
use campaign_core::contact::{Contact, ContactStatus, Owner, ZoneKey};
use campaign_core::id::{AttemptId, CampaignId, ContactId, Money};
use campaign_core::outcome::{Attempt, AttemptState, Channel};
use campaign_core::policy::gates::ContactFacts;
use campaign_core::policy::metrics::Counts;
use campaign_core::store::*;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest page of a listing.
const PAGE_LIMIT: usize = 10_000;

impl State {
    pub(crate) fn list_campaigns(&self, query: &CampaignQuery) -> Page<CampaignRecord> {
        let fits = |record: &&CampaignRecord| {
            let spec = &record.spec;
            (query.statuses.is_empty() || query.statuses.contains(&record.status))
                && query.campaign_type.as_ref().is_none_or(|kind| spec.campaign_type == *kind)
                && query.organization.is_none_or(|id| spec.organization == Some(id))
                && query.assistant_id.is_none_or(|id| spec.assistant_id == Some(id))
                && found(&query.search, [Some(spec.name.as_str()), spec.description.as_deref()])
        };
        page(self.campaigns.values().rev().filter(fits), query.paging, true)
    }

    pub(crate) fn list_contacts(&self, query: &ContactQuery) -> Page<Contact> {
        let fits = |contact: &&Contact| {
            let person = &contact.person;
            query.after.is_none_or(|after| contact.id > after)
                && (query.statuses.is_empty() || query.statuses.contains(&contact.state.status))
                && found(&query.search, [person.name.as_deref(), person.email.as_deref(), Some(person.phone.as_str())])
        };
        page(self.members(query.owner).filter(fits), query.paging, query.count)
    }

    pub(crate) fn list_attempts(&self, query: &AttemptQuery) -> Page<Attempt> {
        let fits = |attempt: &&Attempt| {
            query.campaign.is_none_or(|id| attempt.campaign == id)
                && query.run.is_none_or(|run| attempt.run == run)
                && query.id.is_none_or(|id| attempt.id == id)
                && query.before.is_none_or(|before| attempt.id < before)
                && query.provider_ref.as_ref().is_none_or(|wanted| attempt.provider_ref.as_ref() == Some(wanted))
                && (query.dispositions.is_empty() || attempt.disposition().is_some_and(|ended| query.dispositions.contains(&ended)))
                && (!query.open_only || attempt.state.is_open())
        };
        match query.contact {
            Some(id) => page(self.tries(id).rev().map(|entry| &entry.attempt).filter(fits), query.paging, query.count),
            None => {
                let below = query.before.unwrap_or(AttemptId(i64::MAX));
                let all = self.attempts.range(..below).rev().map(|(_, entry)| &entry.attempt);
                page(all.filter(fits), query.paging, query.count)
            }
        }
    }

    pub(crate) fn list_suppressions(&self, query: &SuppressionQuery) -> Page<Suppression> {
        let fits = |entry: &&Suppression| {
            query.phone.as_ref().is_none_or(|phone| entry.phone == *phone)
                && query.scope.is_none_or(|scope| entry.scope == scope)
                && query.after.as_ref().is_none_or(|after| (&entry.phone, entry.scope) > (&after.phone, after.scope))
        };
        page(self.suppressions.values().filter(fits), query.paging, true)
    }

    pub(crate) fn list_documents(&self, query: &DocumentQuery) -> Vec<Document> {
        let first = (query.collection.clone(), query.after.clone().unwrap_or_default());
        let of_collection = self.documents.range(first..).take_while(|((collection, _), _)| *collection == query.collection);
        let fits = |key: &String| query.key.as_ref().is_none_or(|wanted| key == wanted) && query.after.as_ref() != Some(key);
        of_collection
            .filter(|((_, key), _)| fits(key))
            .map(|((_, key), (revision, value))| Document { key: key.clone(), value: value.clone(), revision: *revision })
            .take(query.limit as usize)
            .collect()
    }

    pub(crate) fn live_nodes(&self, now: Timestamp) -> Vec<NodeInfo> {
        let live = self.nodes.values().filter(|node| node.expires_at > now);
        let held =
            |token| self.index.open.iter().filter_map(|id| self.attempts.get(id)).filter(|entry| entry.attempt.claimed_by == token).count();
        live.map(|node| NodeInfo {
            id: node.token.node,
            name: node.name.clone(),
            started_at: node.started_at,
            expires_at: node.expires_at,
            in_flight: held(node.token) as u64,
        })
        .collect()
    }

    pub(crate) fn counts(&self, id: CampaignId) -> Result<Counts> {
        self.campaign(id)?;
        Ok(self.index.counts.get(&id).cloned().unwrap_or_default())
    }

    pub(crate) fn pending_zones(&self, id: CampaignId) -> Result<Vec<PendingZone>> {
        self.campaign(id)?;
        let queues = self.index.queues.get(&id).into_iter().flatten();
        Ok(queues.filter_map(|(zones, queue)| Some(PendingZone { zones: zones.clone(), first_due: queue.first()?.0 })).collect())
    }

    pub(crate) fn reasons(&self, id: CampaignId, now: Timestamp) -> Result<Vec<ReasonCount>> {
        self.campaign(id)?;
        let mut groups: BTreeMap<_, ReasonCount> = BTreeMap::new();
        for Contact { person, state, .. } in self.members(Owner::Campaign(id)) {
            let pending = state.status == ContactStatus::Pending;
            let zones = if pending { person.zones.clone() } else { ZoneKey::unknown() };
            let code = state.reason.as_ref().map(|reason| Arc::clone(&reason.code));
            let due = pending && state.due_at <= now;
            let key = (state.status, zones.clone(), code.clone(), due);
            let empty = ReasonCount { status: state.status, zones, code, due, first_due: None, count: 0 };
            let group = groups.entry(key).or_insert(empty);
            group.count += 1;
            if pending {
                group.first_due = Some(group.first_due.map_or(state.due_at, |first| first.min(state.due_at)));
            }
        }
        Ok(groups.into_values().collect())
    }

    /// What the gates need to know about the person behind a contact.
    pub(crate) fn facts(&self, contact: &Contact, since: Option<Timestamp>, now: Timestamp) -> ContactFacts {
        let phone = &contact.person.phone;
        let organization = self.organization(contact.owner);
        let mut recent: Vec<(Timestamp, Channel)> = Vec::new();
        if let Some(since) = since {
            let first = (phone.clone(), Owner::Campaign(CampaignId(i64::MIN)));
            let same_number = self.index.numbers.range(first..).take_while(|((number, _), _)| number == phone);
            // What happens in one organisation must not show in another.
            let own = same_number.filter(|((_, owner), _)| self.organization(*owner) == organization);
            let attempts = own.flat_map(|(_, id)| self.tries(*id)).map(|entry| &entry.attempt);
            // An open attempt of another contact may be handed over any moment; the contact's own is the one being decided on.
            let counted = attempts.filter(|attempt| match attempt.state {
                AttemptState::Settled => true,
                AttemptState::Claimed | AttemptState::Placed => attempt.contact != contact.id,
                AttemptState::Refused => false,
            });
            recent.extend(counted.map(|attempt| (handed_over_at(attempt), attempt.step.channel)).filter(|(at, _)| *at >= since));
            recent.sort_unstable_by(|a, b| b.cmp(a));
        }
        ContactFacts { suppressed: self.suppressed(phone, contact.owner, organization, now), recent }
    }

    pub(crate) fn facts_of(&self, id: ContactId, since: Option<Timestamp>, now: Timestamp) -> Result<ContactFacts> {
        Ok(self.facts(self.contact(id)?, since, now))
    }

    pub(crate) fn timeline(&self, query: &TimelineQuery) -> Result<Vec<TimelineBucket>> {
        self.campaign(query.campaign)?;
        let length = i64::from(query.bucket_seconds.max(1));
        let mut buckets: BTreeMap<i64, TimelineBucket> = BTreeMap::new();
        let attempts = self.members(Owner::Campaign(query.campaign)).flat_map(|contact| self.tries(contact.id));
        for attempt in attempts.map(|entry| &entry.attempt) {
            let (Some(at), Some(outcome)) = (attempt.finished_at, &attempt.outcome) else { continue };
            if at < query.from || at >= query.to {
                continue;
            }
            let second = at.as_second().div_euclid(length) * length;
            let start = Timestamp::from_second(second).unwrap_or(Timestamp::MIN);
            let empty = TimelineBucket { start, dispositions: BTreeMap::new(), duration_seconds: 0, cost: Money::ZERO };
            let bucket = buckets.entry(second).or_insert(empty);
            *bucket.dispositions.entry(outcome.disposition).or_default() += 1;
            bucket.duration_seconds += u64::from(outcome.duration_seconds);
            bucket.cost += cost_of(attempt, outcome);
        }
        Ok(buckets.into_values().collect())
    }

    /// Events are numbered through, so the three numbers of a cursor are one.
    pub(crate) fn list_events(&self, query: &EventQuery) -> EventPage {
        let cursor = |number| EventCursor { claimed: number, settled: number, saved: number };
        let last = self.last.get(&crate::state::Series::Event).copied().unwrap_or(0);
        let Some(after) = query.after else { return EventPage { events: Vec::new(), next: cursor(last), more: false } };
        let mut place = after.saved;
        let mut events = Vec::new();
        for (number, event) in self.events.range(after.saved + 1..) {
            if events.len() >= query.limit as usize {
                break;
            }
            place = *number;
            if query.campaign.is_none_or(|id| event.campaign_id == id) {
                events.push(event.clone());
            }
        }
        EventPage { events, next: cursor(place), more: place < last }
    }
}

/// Whether one of these texts contains what is searched for, whatever the case.
fn found<const N: usize>(search: &Option<String>, texts: [Option<&str>; N]) -> bool {
    search.as_ref().is_none_or(|search| {
        let search = search.to_ascii_lowercase();
        texts.into_iter().flatten().any(|text| text.to_ascii_lowercase().contains(&search))
    })
}

/// Cuts one page out of everything that matches.
fn page<'a, T: Clone + 'a>(matches: impl Iterator<Item = &'a T>, paging: Paging, count: bool) -> Page<T> {
    let offset = usize::try_from(paging.offset).unwrap_or(usize::MAX);
    let limit = (paging.limit as usize).min(PAGE_LIMIT);
    let mut page = Page { items: Vec::new(), total: 0 };
    for (index, item) in matches.enumerate() {
        if index >= offset && page.items.len() < limit {
            page.items.push(item.clone());
        } else if !count && page.items.len() >= limit {
            break;
        }
        page.total += u64::from(count);
    }
    page
}
