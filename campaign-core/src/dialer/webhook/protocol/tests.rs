use super::*;

fn of(status: u16, body: Value) -> Answer {
    Answer { status, headers: Vec::new(), body: body.to_string().into_bytes() }
}

fn bare(status: u16) -> Answer {
    Answer { status, headers: Vec::new(), body: Vec::new() }
}

fn meaning_of(result: Result<Said, DialError>) -> Option<Meaning> {
    Some(match result.err()? {
        DialError::Throttled { retry_after } if retry_after >= WAIT_FOR_PEOPLE => Meaning::Account,
        DialError::Throttled { .. } => Meaning::Throttle,
        DialError::Transient(_) => Meaning::Transient,
        DialError::Permanent(_) => Meaning::Permanent,
        DialError::Suppressed => Meaning::Suppress,
        DialError::InDoubt(_) => Meaning::InDoubt,
    })
}

#[test]
fn every_status_means_something() {
    for (status, expected) in [
        (302, Meaning::Account),
        (400, Meaning::Permanent),
        (401, Meaning::Account),
        (402, Meaning::Transient),
        (403, Meaning::Account),
        (404, Meaning::Account),
        (405, Meaning::Account),
        (408, Meaning::InDoubt),
        (409, Meaning::InDoubt),
        (410, Meaning::Account),
        (413, Meaning::Permanent),
        (415, Meaning::Permanent),
        (418, Meaning::Transient),
        (422, Meaning::Permanent),
        (425, Meaning::Throttle),
        (429, Meaning::Throttle),
        (500, Meaning::InDoubt),
        (503, Meaning::InDoubt),
        (700, Meaning::InDoubt),
    ] {
        assert_eq!(meaning_of(answer(&bare(status))), Some(expected), "{status}");
    }
    let unmet = STATUSES.iter().position(|(statuses, _)| statuses.is_empty());
    assert_eq!(unmet, None);
}

#[test]
fn the_service_may_say_itself_what_a_refusal_means() {
    for (kind, expected) in KINDS {
        for status in [200, 400, 503] {
            let said = answer(&of(status, json!({ "state": "refused", "kind": kind, "message": "no" })));
            assert_eq!(meaning_of(said), Some(*expected), "{status} {kind}");
        }
    }
    assert_eq!(meaning_of(answer(&of(200, json!({ "state": "refused" })))), Some(Meaning::InDoubt), "what is not understood is in doubt");
    let waits = |body: Value| match answer(&of(429, body)) {
        Err(DialError::Throttled { retry_after }) => retry_after,
        other => panic!("{other:?}"),
    };
    assert_eq!(waits(json!({ "state": "refused", "kind": "throttled", "retry_after": 2.5 })), Duration::from_millis(2500));
    assert_eq!(waits(json!({})), WAIT);
    let mut told = bare(429);
    told.headers.push(("retry-after".into(), "7".into()));
    assert!(matches!(answer(&told), Err(DialError::Throttled { retry_after }) if retry_after == Duration::from_secs(7)));
    let Err(DialError::Permanent(error)) =
        answer(&of(400, json!({ "state": "refused", "kind": "permanent", "message": "no +12025550142" })))
    else {
        panic!("permanent")
    };
    assert!(!error.to_string().contains("2025550142"), "{error}");
}

#[test]
fn answers_are_read() {
    assert!(matches!(answer(&bare(202)), Ok(Said::Accepted(None))));
    assert!(matches!(answer(&of(200, json!({ "provider_ref": "r" }))), Ok(Said::Accepted(Some(reference))) if reference == "r"));
    assert!(matches!(answer(&of(200, json!({ "state": "accepted" }))), Ok(Said::Accepted(None))));
    let ended = answer(&of(
        200,
        json!({ "state": "ended", "outcome": { "disposition": "answered", "duration_seconds": 61.9, "cost": 0.02, "mood": "good" } }),
    ));
    let Ok(Said::Ended(outcome)) = ended else { panic!("{ended:?}") };
    assert_eq!((outcome.duration_seconds, outcome.cost, &outcome.data["mood"]), (61, Some(Money(20_000)), &json!("good")));
    for wrong in [json!({ "state": "ended" }), json!({ "state": "ended", "outcome": "in_doubt" }), json!({ "state": "perhaps" })] {
        assert_eq!(meaning_of(answer(&of(200, wrong.clone()))), Some(Meaning::InDoubt), "{wrong}");
    }
    let html = Answer { status: 200, headers: Vec::new(), body: b"<html>".to_vec() };
    assert_eq!(meaning_of(answer(&html)), Some(Meaning::InDoubt));
}

#[test]
fn what_became_of_an_attempt_is_read() {
    assert!(
        matches!(found(&of(200, json!({ "state": "ended", "outcome": "busy" }))), Ok(Found::Ended(outcome)) if outcome.disposition == Disposition::Busy)
    );
    assert!(
        matches!(found(&of(200, json!({ "state": "running", "provider_ref": "r" }))), Ok(Found::Running { provider_ref }) if provider_ref == "r")
    );
    assert!(matches!(found(&of(200, json!({ "state": "never_happened" }))), Ok(Found::NeverHappened)));
    assert!(matches!(found(&of(200, json!({ "state": "unknown" }))), Ok(Found::Unknown)));
    for wrong in [of(200, json!({})), of(404, json!({ "state": "never_happened" })), of(200, json!({ "state": "ended" })), bare(200)] {
        assert!(found(&wrong).is_err(), "asked again later");
    }
}

#[test]
fn callbacks_are_read() {
    let read = |value: Value| event(value.to_string().as_bytes());
    let attempt = |data: Value| match read(json!({ "type": "attempt.ended", "data": data })) {
        Ok(Event::Attempt(attempt, news)) => Some((attempt, terminal(&news))),
        _ => None,
    };
    let (by, outcome) =
        attempt(json!({ "key": "s-1", "attempt_id": 1, "provider_ref": "r", "outcome": "busy", "answers": { "q1": 5 } })).unwrap();
    let outcome = outcome.unwrap();
    assert_eq!((by, outcome.disposition, outcome.provider_ref.as_deref()), (AttemptRef::Key("s-1".into()), Disposition::Busy, Some("r")));
    assert_eq!(outcome.data["answers"]["q1"], 5);
    assert_eq!(attempt(json!({ "attempt_id": 1, "outcome": "busy" })).unwrap().0, AttemptRef::Id(AttemptId(1)));
    assert_eq!(attempt(json!({ "provider_ref": "r", "outcome": { "disposition": "busy" } })).unwrap().0, AttemptRef::Provider("r".into()));
    assert!(attempt(json!({ "outcome": "busy" })).is_none() && attempt(json!({ "key": "k" })).is_none());
    let progress = read(json!({ "type": "attempt.progress", "data": { "key": "k", "stage": "ringing" } }));
    assert!(matches!(progress, Ok(Event::Attempt(_, news)) if stage(&news) == Some("ringing") && terminal(&news).is_none()));
    let loud = News { provider_ref: None, body: json!({ "stage": "calling +12025550142" }) };
    assert_eq!(stage(&loud), None, "only a word is shown");
    let message = json!({ "provider_ref": "m", "channel": "sms", "from": "+12025550142", "to": "+1999", "text": "STOP", "keyword": "opt_out", "carrier": "x" });
    let Ok(Event::Message(message)) = read(json!({ "type": "message.received", "data": message })) else { panic!("a message") };
    assert_eq!((message.keyword.is_some(), &message.data["carrier"], message.data.len()), (true, &json!("x"), 1));
    let Ok(Event::Call(call)) =
        read(json!({ "type": "call.received", "data": { "provider_ref": "c", "to": "+1999", "from": "anonymous" } }))
    else {
        panic!("a call")
    };
    assert!(call.from.is_none());
    assert!(matches!(read(json!({ "type": "invented.later" })), Ok(Event::Other)));
    assert!(read(json!({ "no": "type" })).is_err() && event(b"x").is_err());
    assert!(read(json!({ "type": "message.received", "data": { "channel": "call" } })).is_err());
}

#[test]
fn the_order_of_reports_does_not_matter() {
    let of = |name: &str, sequence: i64, data: Value| {
        let mut value = json!({ "disposition": name, "data": data });
        if sequence > 0 {
            value[SEQUENCE] = sequence.into();
        }
        outcome(&value).unwrap()
    };
    let sets = [
        vec![of("sent", 0, json!({})), of("delivered", 0, json!({ "receipt": 1 })), of("opted_out", 0, json!({}))],
        vec![of("answered", 1, json!({})), of("voicemail", 2, json!({})), of("answered", 3, json!({ "survey": 5 }))],
        vec![of("opted_out", 1, json!({})), of("answered", 2, json!({})), of("failed", 3, json!({}))],
        vec![of("busy", 0, json!({})), of("no_answer", 0, json!({})), of("failed", 0, json!({}))],
    ];
    for reports in sets {
        let mut ends = Vec::new();
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut settled = reports[order[0]].clone();
            for index in order.into_iter().chain(order) {
                settled = amended(&settled, reports[index].clone()).unwrap_or(settled);
            }
            ends.push(settled.disposition);
        }
        assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
    }
    let same = of("busy", 0, json!({}));
    assert_eq!(amended(&same, same.clone()), None);
}
