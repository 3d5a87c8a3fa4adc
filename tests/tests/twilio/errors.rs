//! Every row of the error table, over HTTP.

use super::Line;
use Meaning::{Account, InDoubt, OptedOut, Permanent, Throttled, Transient};
use campaign_core::dialer::DialError;
use campaign_core::dialer::twilio::{ErrorMatch, Meaning, TwilioDialer};
use campaign_core::outcome::{Channel, Disposition};
use campaign_tests::vendors::twilio::{Fate, Handling};
use std::collections::BTreeSet;
use std::time::Duration;

/// What an answer with this status and code means; written down once more, so that a change of the table is made twice or not at all.
const EXPECTED: &[(u16, &[u32], Meaning)] = &[
    (500, &[20500], InDoubt),
    (503, &[0, 21211, 21610], InDoubt),
    (408, &[0, 21211], InDoubt),
    (429, &[20429, 0, 10004, 14107, 30022, 63018], Throttled),
    (400, &[20429, 10004], Throttled),
    (401, &[20003, 0], Account),
    (403, &[20006, 0, 10001, 10002, 30002], Account),
    (404, &[20404, 0], Account),
    (401, &[20005], Account),
    (
        400,
        &[
            21211, 21217, 21421, 13223, 21214, 13224, 13225, 21216, 21612, 21614, 21635, 21219, 21608, 30004, 30005, 30006, 63003, 63024,
            21617, 21605, 21602, 21619, 12100,
        ],
        Permanent,
    ),
    (400, &[21610, 63014], OptedOut),
    (403, &[21610], OptedOut),
    (
        400,
        &[
            21210, 21212, 21213, 21603, 21606, 21607, 21659, 21660, 21703, 21701, 21215, 13227, 21408, 21205, 21609, 21620, 21656, 21655,
            63007, 63016, 63027, 63028, 63013, 63021, 63012, 63049, 30001, 30003, 30007, 30008, 30023, 30032, 30034, 30036,
        ],
        Transient,
    ),
    // Codes that nobody has heard of: an answer of 4xx says that nothing was placed.
    (400, &[0, 29999], Transient),
    (422, &[0], Transient),
    // Neither success nor refusal.
    (302, &[0], InDoubt),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_means_what_it_says() {
    let line = Line::silent(|_| {}).await;
    for (status, codes, expected) in EXPECTED {
        for code in *codes {
            let request = line.request(Channel::Sms);
            line.twilio.next(request.to.as_str(), Fate::handled(Handling::Refuse(*status, *code, None)));
            let to = request.to.as_str().to_owned();
            let error = line.dial(request).await.expect_err("a refusal");
            let fits = match (&error, expected) {
                (DialError::Throttled { retry_after }, Throttled) => *retry_after == Duration::from_secs(1),
                (DialError::Throttled { retry_after }, Account) => *retry_after == Duration::from_secs(60),
                (DialError::Transient(_), Transient)
                | (DialError::Permanent(_), Permanent)
                | (DialError::Suppressed, OptedOut)
                | (DialError::InDoubt(_), InDoubt) => true,
                _ => false,
            };
            assert!(fits, "{status} with {code} is {error:?}, expected {expected:?}");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(&to[1..]) && !shown.contains("2025550199"), "a number is in {shown}");
            assert_eq!(line.twilio.hand_offs_to(&to), 0);
        }
    }
    let tested: BTreeSet<u32> = EXPECTED.iter().flat_map(|(_, codes, _)| codes.iter().copied()).collect();
    for row in TwilioDialer::ERRORS {
        match row.on {
            ErrorMatch::Code(code) => assert!(tested.contains(&code), "the row of {code} has no test"),
            ErrorMatch::Status(first, last) => {
                assert!(EXPECTED.iter().any(|(status, ..)| (first..=last).contains(status)), "the row of {first} to {last} has no test");
            }
            _ => panic!("a row of another sort"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twilio_says_how_long_to_wait() {
    let line = Line::silent(|_| {}).await;
    let request = line.request(Channel::Call);
    line.twilio.next(request.to.as_str(), Fate::handled(Handling::Refuse(429, 20429, Some(7))));
    assert!(matches!(line.dial(request).await, Err(DialError::Throttled { retry_after }) if retry_after == Duration::from_secs(7)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_sent_is_not_in_doubt() {
    // A port that nobody listens on.
    let line = Line::silent(|config| config.api_base = Some("http://127.0.0.1:9".to_owned())).await;
    let error = line.dial(line.request(Channel::Call)).await.unwrap_err();
    assert!(matches!(error, DialError::Transient(_)), "{error:?}");
    // The same for a name that does not exist.
    let line = Line::silent(|config| config.api_base = Some("http://nowhere.invalid".to_owned())).await;
    let error = line.dial(line.request(Channel::Sms)).await.unwrap_err();
    assert!(matches!(error, DialError::Transient(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_have_been_placed_is_in_doubt() {
    let line = Line::silent(|config| config.request_timeout = Duration::from_millis(400)).await;
    for handling in [
        Handling::PlaceAndBreakOff,
        Handling::BreakOff,
        Handling::PlaceAndFail(502),
        Handling::PlaceAndFail(200),
        Handling::PlaceAndFail(201),
        Handling::Hang(true),
        Handling::Hang(false),
    ] {
        let request = line.request(Channel::Call);
        line.twilio.next(request.to.as_str(), Fate::handled(handling.clone()));
        let error = line.dial(request).await.unwrap_err();
        assert!(matches!(error, DialError::InDoubt(_)), "{handling:?}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_use_the_same_table() {
    let line = Line::posted(|_| {}).await;
    for (code, expected) in [
        (Some(30003), Disposition::Failed),
        (Some(30005), Disposition::Undeliverable),
        (Some(30006), Disposition::Undeliverable),
        (Some(30007), Disposition::Failed),
        (Some(21610), Disposition::OptedOut),
        (Some(63014), Disposition::OptedOut),
        (Some(63024), Disposition::Undeliverable),
        (Some(29_999), Disposition::Failed),
        (None, Disposition::Failed),
    ] {
        let request = line.request(Channel::Sms);
        let fate = Fate { states: vec![(Duration::from_secs(1), "undelivered")], error_code: code, ..Fate::default() };
        line.twilio.next(request.to.as_str(), fate);
        let outcome = line.dial(request).await.unwrap();
        assert_eq!(outcome.disposition, expected, "{code:?}: {:?}", outcome.detail);
        assert_eq!(outcome.data.get("error_code").and_then(serde_json::Value::as_u64), code.map(u64::from));
    }
}

#[test]
fn the_documents_have_the_same_table() {
    let document = campaign_tests::tree::read("docs/providers.md");
    for row in TwilioDialer::ERRORS {
        let on = match row.on {
            ErrorMatch::Code(code) => code.to_string(),
            ErrorMatch::Status(first, last) if first == last => format!("status {first}"),
            ErrorMatch::Status(first, last) => format!("status {first} to {last}"),
            _ => panic!("a row of another sort"),
        };
        let means = match row.meaning {
            Throttled => "throttled",
            Account => "account",
            Transient => "transient",
            Permanent => "permanent",
            OptedOut => "opted out",
            InDoubt => "in doubt",
            _ => panic!("a meaning of another sort"),
        };
        let line = format!("| {on} | {means} | {} |", row.says);
        assert!(document.contains(&line), "docs/providers.md lacks: {line}");
    }
}
