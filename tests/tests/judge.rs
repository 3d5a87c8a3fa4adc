//! The judge of the cluster tests finds what it must find: a clean run is clean, and each way to tamper with its book is seen.

#![allow(clippy::unwrap_used, missing_docs)]

use campaign_core::Engine;
use campaign_core::campaign::{CampaignSpec, CampaignType};
use campaign_core::id::CampaignId;
use campaign_core::outcome::Disposition;
use campaign_core::store::MemoryStore;
use campaign_tests::carrier::{self, Book, Calls, Carrier, Entry, What};
use campaign_tests::judge::{Held, Log, Promise, Verdict};
use campaign_tests::witness::Witness;
use campaign_tests::{AtOnce, cluster};
use std::sync::Arc;

const CONTACTS: usize = 60;
const LIMIT: u32 = 20;

/// A small campaign on a store in memory, and its book.
async fn run() -> (Vec<Entry>, Held, CampaignId) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book");
    let book = Arc::new(Book::open(&path, "one").unwrap());
    let calls = Calls { shortest: 5, longest: 20, unanswered: 0.3, refused: 0.05, in_doubt: 0.1, ..Calls::instant() };
    let engine = Engine::builder()
        .store(Witness::new(Arc::new(MemoryStore::new()), Arc::clone(&book)))
        .dialer(Carrier::new(calls, book))
        .campaign_kind(AtOnce::NAME, |_: &_| Ok(Arc::new(AtOnce) as _))
        .build()
        .await
        .unwrap();
    let spec = CampaignSpec::builder(CampaignType::Custom(AtOnce::NAME.to_owned()), "judged").concurrent_limit(LIMIT);
    let id = cluster::draft(&engine, spec.with(|spec| spec.rate_limit_per_minute = None), 0..CONTACTS).await.unwrap();
    engine.start(id).await.unwrap();
    engine.wait(id).await.unwrap();
    let held = Held::read(engine.store().as_ref(), id).await.unwrap();
    engine.close().await.unwrap();
    (carrier::read(&path).unwrap(), held, id)
}

fn judge(entries: &[Entry], held: &Held, id: CampaignId, promise: &Promise) -> Verdict {
    let mut verdict = Verdict::default();
    let log = Log::new(entries, &mut verdict);
    log.keeps(Some(id), promise, &mut verdict);
    log.agrees(std::slice::from_ref(held), CONTACTS, &mut verdict);
    log.remembers(&held.attempts, &mut verdict);
    verdict
}

/// A copy of the first entry that this makes something of.
fn copy(entries: &[Entry], make: impl Fn(&What) -> Option<What>) -> Entry {
    entries.iter().find_map(|entry| Some(Entry { what: make(&entry.what)?, ..entry.clone() })).expect("such a line in the book")
}

fn handed(what: &What) -> Option<What> {
    matches!(what, What::Handed { .. }).then(|| what.clone())
}

fn endless(mut entry: Entry) -> Entry {
    if let What::Handed { ends, .. } = &mut entry.what {
        *ends += 3_600_000_000_000;
    }
    entry
}

#[tokio::test]
async fn a_clean_run_is_clean_and_whatever_is_tampered_with_is_found() {
    let (book, held, id) = run().await;
    let promise = Promise { concurrency: Some(LIMIT.into()), rate: Some((u64::from(u32::MAX), 60)) };
    let clean = judge(&book, &held, id, &promise);
    assert!(clean.is_clean(), "{clean}");

    let calls = book.iter().filter(|entry| handed(&entry.what).is_some()).count() as u64;
    assert!(calls > CONTACTS as u64, "retries are part of it");
    let mut log = Verdict::default();
    let kept = Log::new(&book, &mut log).keeps(Some(id), &promise, &mut log);
    assert_eq!((kept.hand_offs, kept.fullest), (calls, calls));

    let with = |entry: Entry| [&book[..], &[entry]].concat();
    let without = |drop: &dyn Fn(&What) -> bool| {
        let first = book.iter().position(|entry| drop(&entry.what)).unwrap();
        [&book[..first], &book[first + 1..]].concat()
    };
    let edited = |edit: &dyn Fn(&mut What) -> bool| {
        let mut book = book.clone();
        assert!(book.iter_mut().any(|entry| edit(&mut entry.what)));
        book
    };
    let other: Arc<str> = Arc::from("another-key");
    let tampered = [
        ("handed over twice under the same key", with(copy(&book, handed))),
        (
            "the same attempt at a contact handed over twice",
            with(copy(&book, |what| {
                let mut what = handed(what)?;
                if let What::Handed { key, .. } = &mut what {
                    *key = Arc::clone(&other);
                }
                Some(what)
            })),
        ),
        (
            "handed over by a node whose claim belonged to others",
            with(copy(&book, |what| match what {
                What::Handed { key, .. } => Some(What::NeverHappened { key: Arc::clone(key) }),
                _ => None,
            })),
        ),
        ("attempts the carrier knows nothing of", without(&|what| matches!(what, What::Handed { .. }))),
        (
            "hand-offs the store knows nothing of",
            edited(&|what| match what {
                What::Handed { key, .. } => {
                    *key = Arc::clone(&other);
                    true
                }
                _ => false,
            }),
        ),
        (
            "outcomes that differ",
            edited(&|what| match what {
                What::Handed { disposition, .. } => {
                    *disposition = Disposition::Rejected;
                    true
                }
                _ => false,
            }),
        ),
        (
            "attempts at somebody else",
            edited(&|what| match what {
                What::Handed { contact, .. } => {
                    *contact += 1_000_000;
                    true
                }
                _ => false,
            }),
        ),
        ("more at once than the limit", book.iter().cloned().map(endless).collect()),
        ("settled twice", with(copy(&book, |what| matches!(what, What::Settled { disposition: Some(_), .. }).then(|| what.clone())))),
        (
            "acknowledged settlements that are gone",
            with(copy(&book, |_| Some(What::Settled { attempt: 9_999_999, disposition: Some(Disposition::Answered) }))),
        ),
        ("acknowledged claims that are gone", with(copy(&book, |_| Some(What::Claimed { attempt: 9_999_999, key: Arc::clone(&other) })))),
    ];
    for (kind, book) in tampered {
        let found = judge(&book, &held, id, &promise);
        assert!(found.kinds().contains(&kind), "{kind} was not found, but {found}");
    }
    let strict = judge(&book, &held, id, &Promise { concurrency: None, rate: Some((calls - 1, 60)) });
    assert_eq!(strict.kinds(), ["more starts in a window than the rate"]);
}

#[tokio::test]
async fn rows_that_are_missing_or_unfinished_are_found() {
    let (book, mut held, id) = run().await;
    let kinds = |held: &Held| judge(&book, held, id, &Promise::default()).kinds();
    let lost = held.contacts.pop().unwrap();
    assert_eq!(kinds(&held), ["contacts lost", "counters that differ from the rows"]);
    let mut open = lost.clone();
    open.state.status = campaign_core::contact::ContactStatus::Pending;
    open.state.reason = None;
    open.state.attempts += 1;
    held.contacts.push(open);
    let found = ["attempts counted wrongly", "contacts without a reason", "contacts without an end", "counters that differ from the rows"];
    assert_eq!(kinds(&held), found);
    *held.contacts.last_mut().unwrap() = lost;
    held.attempts[0].state = campaign_core::outcome::AttemptState::Placed;
    assert!(kinds(&held).contains(&"attempts left open"));
}
