//! Listings and sums: what only looks.

use super::*;
use crate::outcome::{AttemptState, Channel};

type ReasonKey = (ContactStatus, ZoneKey, Option<Arc<str>>, bool);

impl State {
    pub(super) fn counts(&self, id: CampaignId) -> Result<Counts> {
        let campaign = self.campaign(id)?;
        let by_status = campaign.by_status.iter().filter(|(_, ids)| !ids.is_empty()).map(|(status, ids)| (*status, ids.len() as u64));
        Ok(Counts { by_status: by_status.collect(), ..campaign.sums.clone() })
    }

    pub(super) fn list_contacts(&self, query: &ContactQuery) -> Page<Contact> {
        let members = match query.owner {
            Owner::Campaign(id) => self.campaigns.get(&id).map(|campaign| &campaign.contacts),
            Owner::List(id) => self.lists.get(&id),
        };
        let first = query.after.map_or(ContactId(i64::MIN), |after| ContactId(after.0.saturating_add(1)));
        let matches = members.into_iter().flat_map(|ids| ids.range(first..)).filter_map(|id| self.contacts.get(id)).filter(|person| {
            let contact = &person.contact;
            (query.statuses.is_empty() || query.statuses.contains(&contact.state.status))
                && query.search.as_ref().is_none_or(|search| {
                    let found = |text: &Option<String>| text.as_ref().is_some_and(|text| contains(text, search));
                    found(&contact.person.name) || found(&contact.person.email) || contains(contact.person.phone.as_str(), search)
                })
        });
        let Page { items, total } = page(matches, query.paging, query.count);
        Page { items: items.into_iter().map(|person| person.contact.clone()).collect(), total }
    }

    pub(super) fn list_attempts(&self, query: &AttemptQuery) -> Page<Attempt> {
        let end = query.before.unwrap_or(AttemptId(i64::MAX));
        // The narrowest index that fits: one attempt, those of one contact, or all.
        let candidates: Box<dyn Iterator<Item = &Attempt>> = match (query.id, query.contact) {
            (Some(id), _) => Box::new(self.attempts.get(&id).map(|entry| &entry.attempt).into_iter()),
            (None, Some(contact)) => {
                let ids = self.contacts.get(&contact).map(|person| person.attempts.as_slice()).unwrap_or_default();
                Box::new(ids.iter().rev().filter_map(|id| self.attempts.get(id)).map(|entry| &entry.attempt))
            }
            (None, None) => Box::new(self.attempts.range(..end).rev().map(|(_, entry)| &entry.attempt)),
        };
        let matches = candidates.filter(|attempt| {
            attempt.id < end
                && query.campaign.is_none_or(|id| attempt.campaign == id)
                && query.contact.is_none_or(|id| attempt.contact == id)
                && query.run.is_none_or(|run| attempt.run == run)
                && query.provider_ref.as_ref().is_none_or(|wanted| attempt.provider_ref.as_ref() == Some(wanted))
                && (query.dispositions.is_empty() || attempt.disposition().is_some_and(|ended| query.dispositions.contains(&ended)))
                && (!query.open_only || attempt.state.is_open())
        });
        let Page { items, total } = page(matches, query.paging, query.count);
        Page { items: items.into_iter().cloned().collect(), total }
    }

    pub(super) fn pending_zones(&self, id: CampaignId) -> Result<Vec<PendingZone>> {
        let queues = self.campaign(id)?.pending.iter();
        let first = queues.filter_map(|(zones, queue)| Some(PendingZone { zones: zones.clone(), first_due: queue.first()?.0 }));
        Ok(first.collect())
    }

    pub(super) fn reasons(&self, id: CampaignId, now: Timestamp) -> Result<Vec<ReasonCount>> {
        let mut groups: BTreeMap<ReasonKey, (u64, Option<Timestamp>)> = BTreeMap::new();
        for person in self.campaign(id)?.contacts.iter().filter_map(|id| self.contacts.get(id)) {
            let state = &person.contact.state;
            let code = state.reason.as_ref().map(|reason| Arc::clone(&reason.code));
            let pending = state.status == ContactStatus::Pending;
            let zones = if pending { person.contact.person.zones.clone() } else { ZoneKey::unknown() };
            let (count, first_due) = groups.entry((state.status, zones, code, pending && state.due_at <= now)).or_default();
            *count += 1;
            if pending {
                *first_due = Some(first_due.map_or(state.due_at, |first| first.min(state.due_at)));
            }
        }
        let rows = groups.into_iter().map(|((status, zones, code, due), (count, first_due))| ReasonCount {
            status,
            zones,
            code,
            due,
            first_due,
            count,
        });
        Ok(rows.collect())
    }

    /// What the gates need to know about the person behind a contact.
    pub(super) fn facts(&self, contact: &Contact, since: Option<Timestamp>, now: Timestamp) -> ContactFacts {
        let phone = &contact.person.phone;
        let organization = self.organization(contact.owner);
        let suppressed = self.suppressed(phone, contact.owner, organization, now);
        let mut recent: Vec<(Timestamp, Channel)> = Vec::new();
        if let Some(since) = since {
            let first = (phone.clone(), Owner::Campaign(CampaignId(i64::MIN)));
            let people = self.numbers.range(first..).take_while(|((number, _), _)| number == phone);
            let own = people.filter(|((_, owner), _)| self.organization(*owner) == organization);
            for person in own.filter_map(|(_, id)| self.contacts.get(id)) {
                recent.extend(person.forgotten.iter().filter(|(at, _)| *at >= since));
                let attempts = person.attempts.iter().filter_map(|id| self.attempts.get(id)).map(|entry| &entry.attempt);
                // An open attempt of another contact may be handed over any moment; the contact's own is the one being decided on.
                let counted = attempts.filter(|attempt| match attempt.state {
                    AttemptState::Settled => true,
                    AttemptState::Claimed | AttemptState::Placed => attempt.contact != contact.id,
                    AttemptState::Refused => false,
                });
                recent.extend(counted.map(|attempt| (handed_over_at(attempt), attempt.step.channel)).filter(|(at, _)| *at >= since));
            }
            recent.sort_unstable_by(|a, b| b.cmp(a));
        }
        ContactFacts { suppressed, recent }
    }

    pub(super) fn timeline(&self, query: &TimelineQuery) -> Result<Vec<TimelineBucket>> {
        let length = i64::from(query.bucket_seconds.max(1));
        let mut buckets: BTreeMap<i64, TimelineBucket> = BTreeMap::new();
        for contact in self.campaign(query.campaign)?.contacts.iter().filter_map(|id| self.contacts.get(id)) {
            for attempt in contact.attempts.iter().filter_map(|id| self.attempts.get(id)).map(|entry| &entry.attempt) {
                let (Some(at), Some(outcome)) = (attempt.finished_at, &attempt.outcome) else { continue };
                if at < query.from || at >= query.to {
                    continue;
                }
                let start = at.as_second().div_euclid(length) * length;
                let bucket = buckets.entry(start).or_insert_with(|| TimelineBucket {
                    start: Timestamp::from_second(start).unwrap_or(Timestamp::MIN),
                    dispositions: BTreeMap::new(),
                    duration_seconds: 0,
                    cost: Money::ZERO,
                });
                *bucket.dispositions.entry(outcome.disposition).or_default() += 1;
                bucket.duration_seconds += u64::from(outcome.duration_seconds);
                bucket.cost += cost_of(attempt, outcome);
            }
        }
        Ok(buckets.into_values().collect())
    }

    pub(super) fn list_events(&self, query: &EventQuery) -> EventPage {
        let cursor = |seq| EventCursor { claimed: seq, settled: seq, saved: seq };
        let Some(after) = query.after else {
            return EventPage { events: Vec::new(), next: cursor(self.last_event), more: false };
        };
        let oldest = self.last_event - self.events.len() as i64 + 1;
        let mut seq = after.saved.max(oldest - 1);
        let skip = usize::try_from(seq + 1 - oldest).unwrap_or(0);
        let mut events = Vec::new();
        for event in self.events.iter().skip(skip) {
            if events.len() >= query.limit as usize {
                break;
            }
            seq += 1;
            if query.campaign.is_none_or(|id| event.campaign_id == id) {
                events.push(event.clone());
            }
        }
        EventPage { events, next: cursor(seq), more: seq < self.last_event }
    }
}

/// When a settled attempt was handed over, or when an open one is going to be.
pub(super) fn handed_over_at(attempt: &Attempt) -> Timestamp {
    attempt.started_at.unwrap_or(attempt.start_at)
}
