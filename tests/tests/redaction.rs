//! No phone number and no text of a message reaches `Debug` or `Display` of a public type.

use campaign_core::campaign::{CampaignSpec, VoicemailSettings};
use campaign_core::contact::{Contact, ContactSource, ContactState, NewContact, Owner, PlannedStep, Reason, Variables, ZoneKey};
use campaign_core::dialer::{DialError, DialRequest, FindRequest, Found};
use campaign_core::id::{AttemptId, CampaignId, ContactId, Money, NodeId, NodeToken};
use campaign_core::outcome::{Attempt, AttemptState, Channel, Outcome};
use campaign_core::phone::PhoneNumber;
use campaign_core::policy::limits::{LimitBlock, LimitKind, LimitScope, Slot};
use campaign_core::policy::transition::{self, ContactEvent};
use campaign_core::store::{
    AddContacts, AttemptEnd, Claimed, ContactQuery, Document, DuplicatePolicy, NewCampaign, PutDocument, SettleRequest, Settlement,
    Suppression, SuppressionKey, SuppressionQuery, SuppressionScope, TakenOver,
};
use campaign_core::{Error, Kind};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::time::Duration;

/// Digits of the number that must not be seen; a redacted number shows fewer.
const DIGITS: &str = "46310216";
const NUMBER: &str = "+34631021622";
/// Stands for the text of a message, a transcript, a variable, a token.
const TEXT: &str = "marker-text-of-a-message";

fn check(what: &str, shown: &str) {
    assert!(!shown.is_empty(), "{what} shows nothing at all");
    assert!(!shown.contains(DIGITS), "{what} shows a phone number: {shown}");
    assert!(!shown.contains(TEXT), "{what} shows a text: {shown}");
}

fn debug(value: &impl Debug) {
    let name = std::any::type_name_of_val(value);
    check(name, &format!("{value:?}"));
    check(name, &format!("{value:#?}"));
}

fn display(value: &impl Display) {
    check(std::any::type_name_of_val(value), &value.to_string());
}

fn phone() -> PhoneNumber {
    PhoneNumber::from_e164(NUMBER).expect("a number")
}

fn variables() -> Variables {
    Variables::from_iter([("note".to_owned(), TEXT.into()), ("second_phone".to_owned(), NUMBER.into())])
}

fn person() -> Arc<NewContact> {
    Arc::new(NewContact {
        phone: phone(),
        name: Some(TEXT.to_owned()),
        email: Some(format!("{TEXT}@example.org")),
        company: Some(TEXT.to_owned()),
        zones: ZoneKey::from_names(["Europe/Madrid"]),
        variables: variables(),
        consent: None,
        source: ContactSource::CsvImport,
    })
}

fn contact() -> Contact {
    let state = ContactState::new(1, Timestamp::UNIX_EPOCH);
    Contact { id: ContactId(1), owner: Owner::Campaign(CampaignId(1)), person: person(), state, created_at: Timestamp::UNIX_EPOCH }
}

fn outcome() -> Outcome {
    let mut outcome = Outcome::answered(30).with_detail(TEXT).with_provider_ref(TEXT);
    outcome.data = variables();
    outcome
}

fn attempt() -> Attempt {
    let at = Timestamp::UNIX_EPOCH;
    Attempt {
        id: AttemptId(1),
        key: "store-1".into(),
        campaign: CampaignId(1),
        contact: ContactId(1),
        run: 1,
        number: 1,
        step: PlannedStep { step: 0, channel: Channel::Call },
        from: Some(NUMBER.into()),
        spec_version: 1,
        state: AttemptState::Settled,
        claimed_by: NodeToken { node: NodeId(1), epoch: 1 },
        claimed_at: at,
        start_at: at,
        not_after: at,
        reserved: Money::ZERO,
        provider_ref: None,
        started_at: Some(at),
        finished_at: Some(at),
        outcome: Some(outcome()),
        reason: Some(Reason::new("answered", "A person picked up.")),
    }
}

#[test]
fn people_are_shown_by_their_ids() {
    debug(&phone());
    display(&phone());
    debug(&person());
    debug(&contact());
    debug(&Claimed { attempt: attempt(), contact: contact(), history: vec![attempt()] });
    debug(&TakenOver { attempt: attempt(), contact: contact(), history: Vec::new() });
    debug(&AddContacts {
        request_id: Default::default(),
        owner: Owner::Campaign(CampaignId(1)),
        organization: None,
        contacts: Arc::new([(*person()).clone()]),
        duplicates: DuplicatePolicy::Skip,
        now: Timestamp::UNIX_EPOCH,
    });
}

#[test]
fn outcomes_are_shown_without_what_was_said() {
    debug(&outcome());
    debug(&attempt());
    debug(&Found::Ended(outcome()));
    debug(&AttemptEnd::Finished(outcome()));
    let transition = transition::contact(
        campaign_core::contact::ContactStatus::InProgress,
        ContactEvent::Finish(campaign_core::contact::ContactStatus::Completed),
    );
    debug(&SettleRequest {
        token: NodeToken { node: NodeId(1), epoch: 1 },
        settlements: Arc::new([Settlement {
            attempt: AttemptId(1),
            started_at: None,
            end: AttemptEnd::Finished(outcome()),
            transition: transition.expect("a legal change"),
            reason: None,
            due_at: None,
            step: None,
        }]),
        now: Timestamp::UNIX_EPOCH,
    });
}

#[test]
fn suppressions_are_shown_without_the_number() {
    debug(&Suppression {
        phone: phone(),
        scope: SuppressionScope::Everything,
        reason: "opted_out".to_owned(),
        source: None,
        created_at: Timestamp::UNIX_EPOCH,
        expires_at: None,
    });
    debug(&SuppressionKey { phone: phone(), scope: SuppressionScope::Everything });
    debug(&SuppressionQuery { phone: Some(phone()), ..SuppressionQuery::default() });
}

#[test]
fn requests_to_a_provider_are_shown_without_number_and_text() {
    debug(&DialRequest {
        attempt_id: AttemptId(1),
        key: "store-1".into(),
        campaign_id: CampaignId(1),
        campaign_name: "Reminders".into(),
        contact_id: ContactId(1),
        attempt_number: 1,
        channel: Channel::Sms,
        to: phone(),
        from: Some(NUMBER.into()),
        contact_name: Some(TEXT.into()),
        texts: BTreeMap::from([("message".into(), TEXT.to_owned())]),
        variables: person(),
        assistant_id: None,
        voicemail: Arc::new(VoicemailSettings { voicemail_message: Some(TEXT.to_owned()), ..VoicemailSettings::default() }),
        ring_timeout: Duration::from_secs(30),
        max_duration: Duration::from_secs(900),
        not_after: Timestamp::UNIX_EPOCH,
        valid_until: None,
        local_hour: 9,
        last_inbound_at: None,
        options: Arc::new(variables()),
    });
    debug(&FindRequest {
        attempt_id: AttemptId(1),
        key: "store-1".into(),
        channel: Channel::Sms,
        to: phone(),
        from: Some(NUMBER.into()),
        since: Timestamp::UNIX_EPOCH,
        now: Timestamp::UNIX_EPOCH,
        provider_ref: None,
    });
}

#[test]
fn campaigns_are_shown_without_texts_and_senders() {
    let spec = CampaignSpec::call("Reminders")
        .template("welcome_message", TEXT)
        .fallback("name", TEXT)
        .caller_id(NUMBER)
        .leave_voicemail(TEXT)
        .with(|spec| {
            spec.dialer_options = variables();
            spec.metadata = variables();
        })
        .build()
        .expect("a valid spec");
    debug(&spec);
    assert!(format!("{spec:?}").contains("Reminders"), "what is harmless is shown");
    debug(&NewCampaign { request_id: Default::default(), spec, now: Timestamp::UNIX_EPOCH });
    let caller = LimitScope::Caller(NUMBER.into());
    debug(&caller);
    debug(&LimitBlock { scope: caller, limit: LimitKind::Rate, opens_at: None });
    debug(&Slot { start_at: Timestamp::UNIX_EPOCH, caller: Some(NUMBER.into()), reserved: Money::ZERO, day: None });
}

#[test]
fn questions_and_documents_are_shown_without_what_is_in_them() {
    debug(&ContactQuery { search: Some(NUMBER.to_owned()), ..ContactQuery::of(Owner::Campaign(CampaignId(1))) });
    let value = serde_json::Value::Object(variables());
    debug(&Document { key: "1".to_owned(), value: value.clone(), revision: 1 });
    debug(&PutDocument { collection: "contact_list".to_owned(), key: "1".to_owned(), value, expected_revision: None });
}

#[test]
fn errors_name_the_field_and_not_the_number() {
    let unreadable = serde_json::from_value::<PhoneNumber>(NUMBER.trim_start_matches('+').into()).expect_err("no plus");
    display(&unreadable);
    let error = Error::new(Kind::Invalid, "the row cannot be imported").with("line", 7).with_source(unreadable);
    debug(&error);
    display(&error);
    display(&DialError::Permanent(error.clone()));
    debug(&DialError::InDoubt(error));
}

#[test]
fn the_check_itself_finds_what_it_looks_for() {
    for leak in [NUMBER, TEXT] {
        assert!(std::panic::catch_unwind(|| check("a leak", leak)).is_err(), "{leak} went unnoticed");
    }
}
