//! What became of a cluster, judged by the carrier's book and by what the store holds in the end.

use crate::carrier::{Entry, What};
use campaign_core::Result;
use campaign_core::contact::{Contact, Owner};
use campaign_core::id::CampaignId;
use campaign_core::outcome::{Attempt, AttemptState, Disposition};
use campaign_core::policy::metrics::Counts;
use campaign_core::store::{AttemptQuery, ContactQuery, ContactStore, Paging};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

/// What was promised about one campaign, or about all of them together.
#[derive(Debug, Clone, Default)]
pub struct Promise {
    /// Calls at once.
    pub concurrency: Option<u64>,
    /// Starts in any window of so many seconds.
    pub rate: Option<(u64, u64)>,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// Calls handed over.
    pub hand_offs: u64,
    /// The most that were on at once.
    pub peak: u64,
    /// The most that started in one window of the promised rate.
    pub fullest: u64,
    /// From the first hand-off to the last end, in seconds.
    pub seconds: f64,
}

/// A campaign as the store holds it, read whole.
pub struct Held {
    /// Its contacts.
    pub contacts: Vec<Contact>,
    /// Its attempts.
    pub attempts: Vec<Attempt>,
    /// Its counters.
    pub counts: Counts,
}

impl Held {
    /// Reads a campaign page by page.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn read(store: &dyn ContactStore, campaign: CampaignId) -> Result<Self> {
        let paging = Paging { offset: 0, limit: 5_000 };
        let (mut contacts, mut attempts): (Vec<Contact>, Vec<Attempt>) = (Vec::new(), Vec::new());
        loop {
            let after = contacts.last().map(|contact| contact.id);
            let query = ContactQuery { after, paging, count: false, ..ContactQuery::of(Owner::Campaign(campaign)) };
            let page = store.contacts(query).await?.items;
            if page.is_empty() {
                break;
            }
            contacts.extend(page);
        }
        loop {
            let before = attempts.last().map(|attempt| attempt.id);
            let page = store.attempts(AttemptQuery { campaign: Some(campaign), before, paging, ..AttemptQuery::default() }).await?.items;
            if page.is_empty() {
                break;
            }
            attempts.extend(page);
        }
        Ok(Self { contacts, attempts, counts: store.counts(campaign).await? })
    }
}

/// Collects what is wrong: a few examples of each kind, and how many there are.
#[derive(Clone, Default)]
pub struct Verdict {
    broken: BTreeMap<&'static str, (u64, Vec<String>)>,
}

/// How many examples of each kind are kept.
const EXAMPLES: usize = 3;

impl Verdict {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.broken.is_empty()
    }

    /// The kinds of what is wrong.
    pub fn kinds(&self) -> Vec<&'static str> {
        self.broken.keys().copied().collect()
    }

    /// How often this kind of thing went wrong.
    pub fn count(&self, kind: &str) -> u64 {
        self.broken.get(kind).map_or(0, |(count, _)| *count)
    }

    fn hold(&mut self, kind: &'static str, holds: bool, seen: impl FnOnce() -> String) {
        if !holds {
            let (count, examples) = self.broken.entry(kind).or_default();
            *count += 1;
            if examples.len() < EXAMPLES {
                examples.push(seen());
            }
        }
    }
}

/// One line per kind.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return f.write_str("every promise was kept");
        }
        self.broken.iter().try_for_each(|(kind, (count, examples))| writeln!(f, "{kind}: {count} times, as in {}", examples.join("; ")))
    }
}

impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A call of the book.
#[derive(Clone, Copy)]
struct Call {
    campaign: i64,
    at: u64,
    ends: u64,
}

/// The book, sorted out.
pub struct Log {
    calls: Vec<Call>,
    /// Which contact and which attempt each key belongs to, how it ended, and whether it was handed over or lost on its way.
    keys: HashMap<Arc<str>, (i64, u32, Disposition, bool)>,
    claimed: HashMap<i64, Arc<str>>,
    given_back: HashSet<i64>,
    never: HashSet<Arc<str>>,
    settled: HashMap<i64, Disposition>,
    stale: u64,
}

impl Log {
    /// Sorts out a book and judges what can be seen from it alone: nothing was handed over twice, nor after somebody was told that it
    /// had not been.
    pub fn new(entries: &[Entry], verdict: &mut Verdict) -> Self {
        let mut log = Log {
            calls: Vec::new(),
            keys: HashMap::new(),
            claimed: HashMap::new(),
            given_back: HashSet::new(),
            never: HashSet::new(),
            settled: HashMap::new(),
            stale: 0,
        };
        let mut numbers = HashSet::new();
        let mut handed = HashSet::new();
        for entry in entries {
            match &entry.what {
                What::Handed { key, campaign, contact, number, ends, disposition } => {
                    log.calls.push(Call { campaign: *campaign, at: entry.at, ends: *ends });
                    let first = log.keys.insert(Arc::clone(key), (*contact, *number, *disposition, true)).is_none();
                    verdict.hold("handed over twice under the same key", first, || key.to_string());
                    let first = numbers.insert((*contact, *number));
                    verdict.hold("the same attempt at a contact handed over twice", first, || format!("contact {contact}, {number}"));
                    handed.insert(Arc::clone(key));
                }
                What::Lost { key, contact, number, .. } => {
                    log.keys.insert(Arc::clone(key), (*contact, *number, Disposition::Failed, false));
                }
                What::NeverHappened { key } => {
                    log.never.insert(Arc::clone(key));
                }
                What::Claimed { attempt, key } => {
                    log.claimed.insert(*attempt, Arc::clone(key));
                }
                What::GivingBack { attempt } => {
                    log.given_back.insert(*attempt);
                }
                What::Settled { attempt, disposition } => {
                    if let Some(disposition) = disposition {
                        let first = log.settled.insert(*attempt, *disposition).is_none();
                        verdict.hold("settled twice", first, || format!("attempt {attempt}"));
                    }
                }
                What::Stale { .. } => log.stale += 1,
                What::Ended { .. } | What::Refused { .. } => {}
            }
        }
        for key in log.never.intersection(&handed) {
            verdict.hold("handed over by a node whose claim belonged to others", false, || key.to_string());
        }
        log.calls.sort_by_key(|call| call.at);
        log
    }

    /// Settlements that came too late and were refused.
    pub fn stale(&self) -> u64 {
        self.stale
    }

    /// How often somebody asked about an attempt that was never handed over.
    pub fn never_happened(&self) -> usize {
        self.never.len()
    }

    /// Judges the limits of one campaign, or of all of them.
    pub fn keeps(&self, campaign: Option<CampaignId>, promise: &Promise, verdict: &mut Verdict) -> Kept {
        let calls: Vec<Call> = self.calls.iter().copied().filter(|call| campaign.is_none_or(|id| id.0 == call.campaign)).collect();
        let mut moments: Vec<(u64, i64)> = calls.iter().flat_map(|call| [(call.at, 1), (call.ends, -1)]).collect();
        // Ends come before starts at the same moment.
        moments.sort_unstable();
        let (mut now, mut peak) = (0, 0);
        for (_, step) in moments {
            now += step;
            peak = peak.max(now);
        }
        let peak = u64::try_from(peak).unwrap_or(0);
        if let Some(limit) = promise.concurrency {
            verdict.hold("more at once than the limit", peak <= limit, || format!("{peak} instead of {limit}"));
        }
        let mut fullest = 0;
        if let Some((limit, seconds)) = promise.rate {
            let mut first = 0;
            for (index, call) in calls.iter().enumerate() {
                while calls[first].at + seconds * 1_000_000_000 <= call.at {
                    first += 1;
                }
                fullest = fullest.max(index as u64 + 1 - first as u64);
            }
            verdict.hold("more starts in a window than the rate", fullest <= limit, || format!("{fullest} instead of {limit}"));
        }
        let begin = calls.first().map_or(0, |call| call.at);
        let end = calls.iter().map(|call| call.ends).max().unwrap_or(begin);
        Kept { hand_offs: calls.len() as u64, peak, fullest, seconds: (end - begin) as f64 / 1e9 }
    }

    /// Judges that all contacts of finished campaigns have ended and that store and book tell the same.
    pub fn agrees(&self, campaigns: &[Held], contacts: usize, verdict: &mut Verdict) {
        let found: usize = campaigns.iter().map(|held| held.contacts.len()).sum();
        verdict.hold("contacts lost", found == contacts, || format!("{found} instead of {contacts}"));
        let mut known = BTreeSet::new();
        for held in campaigns {
            let mut tally = BTreeMap::new();
            let mut attempts: HashMap<i64, u32> = HashMap::new();
            for attempt in &held.attempts {
                self.agrees_about(attempt, verdict);
                known.insert(&attempt.key);
                *attempts.entry(attempt.contact.0).or_default() += u32::from(attempt.state == AttemptState::Settled);
            }
            for contact in &held.contacts {
                let (id, state) = (contact.id, &contact.state);
                *tally.entry(state.status).or_insert(0) += 1;
                verdict.hold("contacts without an end", state.status.is_terminal(), || format!("contact {id}, {}", state.status.as_str()));
                verdict.hold("contacts without a reason", state.reason.is_some(), || format!("contact {id}"));
                let made = attempts.get(&id.0).copied().unwrap_or(0);
                let counted = state.attempts;
                verdict.hold("attempts counted wrongly", counted == made, || format!("contact {id}: {counted} instead of {made}"));
            }
            let counts: BTreeMap<_, _> = held.counts.by_status.iter().filter(|(_, count)| **count > 0).map(|(s, c)| (*s, *c)).collect();
            verdict.hold("counters that differ from the rows", counts == tally, || format!("{counts:?} instead of {tally:?}"));
        }
        // What was lost on its way may have been given back since: nobody was called.
        for (key, _) in self.keys.iter().filter(|(_, (.., handed))| *handed) {
            verdict.hold("hand-offs the store knows nothing of", known.contains(key), || key.to_string());
        }
    }

    fn agrees_about(&self, attempt: &Attempt, verdict: &mut Verdict) {
        let (id, key) = (attempt.id, &attempt.key);
        verdict.hold("attempts left open", !attempt.state.is_open(), || format!("attempt {id}"));
        if attempt.state != AttemptState::Settled {
            return;
        }
        let booked = self.keys.get(key);
        verdict.hold("attempts the carrier knows nothing of", booked.is_some(), || format!("attempt {id}"));
        if let Some((contact, number, disposition, _)) = booked {
            let same = (*contact, *number) == (attempt.contact.0, attempt.number);
            verdict.hold("attempts at somebody else", same, || format!("attempt {id}"));
            let ended = attempt.disposition();
            verdict.hold("outcomes that differ", ended == Some(*disposition), || format!("attempt {id}: {ended:?}, not {disposition}"));
        }
    }

    /// Judges that what a store has acknowledged is what it holds.
    pub fn remembers(&self, attempts: &[Attempt], verdict: &mut Verdict) {
        let rows: HashMap<i64, &Attempt> = attempts.iter().map(|attempt| (attempt.id.0, attempt)).collect();
        for (id, disposition) in &self.settled {
            let held = rows.get(id).is_some_and(|row| row.state == AttemptState::Settled && row.disposition() == Some(*disposition));
            verdict.hold("acknowledged settlements that are gone", held, || format!("attempt {id}"));
        }
        for (id, key) in &self.claimed {
            let held = rows.get(id).is_some_and(|row| row.key == *key) || self.given_back.contains(id) || self.never.contains(key);
            verdict.hold("acknowledged claims that are gone", held, || format!("attempt {id}"));
        }
    }

    /// Whether anything was acknowledged; a test of it that saw nothing proves nothing.
    pub fn acknowledged(&self) -> (usize, usize) {
        (self.claimed.len(), self.settled.len())
    }
}
