//! The gates in order, what they say, and the metric formulas.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use campaign_core::campaign::{CampaignRecord, CampaignSpec, CampaignStatus, RunState};
use campaign_core::contact::{Consent, Contact, ContactSource, ContactState, ContactStatus, NewContact, Owner, Variables, ZoneKey};
use campaign_core::id::{CampaignId, ContactId, Money};
use campaign_core::outcome::Channel;
use campaign_core::phone::PhoneNumber;
use campaign_core::policy::gates::{
    ClaimGates, ContactFacts, Gate, GateInput, Verdict, evaluate_handoff, explain_gates, first_block, frequency,
};
use campaign_core::policy::limits::{Budget, ClaimLimits, DayQuota, Ledger, LimitRules, LimitScope, Rate};
use campaign_core::policy::metrics::{Counts, percentage, progress};
use campaign_core::schedule::{CallingWindows, CompiledWindows, TimeWindow};
use jiff::{Timestamp, ToSpan};
use std::sync::Arc;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const NOW: &str = "2024-02-15T12:00:00Z";

/// Everything that a gate looks at, all of it in favour; each test makes one thing bad.
struct World {
    spec: CampaignSpec,
    status: CampaignStatus,
    contact: Contact,
    facts: ContactFacts,
    limits: ClaimLimits,
    ledgers: Vec<Ledger>,
    share: Option<u32>,
}

impl World {
    fn new() -> Self {
        let person = NewContact {
            phone: PhoneNumber::from_e164("+15551234567").unwrap(),
            name: None,
            email: None,
            company: None,
            zones: ZoneKey::from_names(["UTC"]),
            variables: Variables::new(),
            consent: Some(Consent { given_at: at(NOW), source: None, channels: vec![Channel::Call] }),
            source: ContactSource::Api,
        };
        let mut campaign = LimitRules::new(LimitScope::Campaign(CampaignId(1)));
        campaign.concurrency = Some(5);
        campaign.rate = Some(Rate::per_minute(10));
        campaign.day = Some(DayQuota { max: 100, day: "2024-02-15".parse().unwrap(), ends_at: at("2024-02-16T00:00:00Z") });
        campaign.budget = Some(Budget { limit: Money::from_units(10.0), per_attempt: Money::from_units(0.1) });
        let caller = LimitRules { concurrency: Some(1), ..LimitRules::new(LimitScope::Caller(Arc::from("+15550001111"))) };
        Self {
            spec: CampaignSpec::call("c")
                .consent_required()
                .frequency_cap(2, 24)
                .deadline(at("2024-03-01T00:00:00Z"))
                .windows(CallingWindows::of([TimeWindow::new("09:00", "17:00")]).closed_on("12-25", "Christmas"))
                .build()
                .unwrap(),
            status: CampaignStatus::Running,
            contact: Contact {
                id: ContactId(1),
                owner: Owner::Campaign(CampaignId(1)),
                person: Arc::new(person),
                state: ContactState::new(1, at(NOW)),
                created_at: at(NOW),
            },
            facts: ContactFacts::default(),
            limits: ClaimLimits {
                shared: vec![LimitRules::new(LimitScope::Deployment), campaign],
                callers: vec![caller],
                horizon: at("2024-02-15T12:00:01Z"),
            },
            ledgers: vec![Ledger::default(); 3],
            share: None,
        }
    }

    fn person(&mut self) -> &mut NewContact {
        Arc::make_mut(&mut self.contact.person)
    }

    /// The first gate that blocks, its code and sentence, and when it opens.
    fn blocked(&self, now: Timestamp) -> Option<(Gate, String)> {
        let windows = CompiledWindows::new(&self.spec.windows, &self.spec.time_zone).unwrap();
        let reports = explain_gates(&GateInput {
            spec: &self.spec,
            status: self.status,
            windows: &windows,
            contact: &self.contact,
            facts: &self.facts,
            channel: Channel::Call,
            limits: &self.limits,
            ledgers: &self.ledgers,
            share: self.share,
            now,
        });
        assert_eq!(reports.iter().map(|report| report.gate).collect::<Vec<_>>(), Gate::ALL);
        let block = first_block(&reports).map(|report| {
            let reason = report.verdict.reason().unwrap();
            assert!(!reason.text.contains("+1555"), "{}", reason.text);
            let when = match &report.verdict {
                Verdict::NotBefore { until: Some(until), .. } => until.to_string(),
                Verdict::NotBefore { until: None, .. } => "event".to_owned(),
                _ => "never".to_owned(),
            };
            (report.gate, format!("{} | {} | {when}", reason.code, reason.text))
        });
        // Hand-off looks at the first six gates and says the same about them.
        let handoff = evaluate_handoff(&self.spec, self.status, &windows, &self.contact, &self.facts, Channel::Call, now);
        let early = reports.iter().take(6).find(|report| !report.verdict.is_allow());
        assert_eq!(handoff, early.map_or(Verdict::Allow, |report| report.verdict.clone()));
        block
    }
}

#[test]
fn nothing_blocks_a_good_contact() {
    assert_eq!(World::new().blocked(at(NOW)), None);
}

type Case = (Gate, fn(&mut World), &'static str, &'static str);

/// In reverse order of the gates: each change is added to those before it, and must become the first to block.
const CASES: &[Case] = &[
    (Gate::FairShare, |w| w.share = Some(0), NOW, "fair_share | Other campaigns have the free places under the engine-wide cap. | event"),
    (Gate::CallerId, |w| w.ledgers[2].in_flight = 1, NOW, "caller_ids | Every caller id is at a limit of its own. | event"),
    (
        Gate::Rate,
        |w| w.ledgers[1].next_slot = Some(at("2024-02-15T12:00:04Z")),
        NOW,
        "rate | The starts per time of the campaign are used up for the moment. | 2024-02-15T12:00:04Z",
    ),
    (
        Gate::Concurrency,
        |w| w.ledgers[1].in_flight = 5,
        NOW,
        "concurrency | As many attempts are in flight as the campaign may have. | event",
    ),
    (
        Gate::Budget,
        |w| w.ledgers[1].spent = Money::from_units(9.95),
        NOW,
        "budget | The budget of the campaign is spent or reserved. | event",
    ),
    (
        Gate::CallsPerDay,
        |w| (w.ledgers[1].day, w.ledgers[1].day_starts) = (Some("2024-02-15".parse().unwrap()), 100),
        NOW,
        "calls_per_day | The starts of the day of the campaign are used up. | 2024-02-16T00:00:00Z",
    ),
    (
        Gate::FrequencyCap,
        |w| w.facts.recent = vec![(at("2024-02-15T10:00:00Z"), Channel::Sms), (at("2024-02-14T13:00:00Z"), Channel::Call)],
        NOW,
        "frequency_cap | At most 2 attempts in 24 hours are allowed. | 2024-02-15T13:00:00Z",
    ),
    (
        Gate::CallingWindow,
        |_| {},
        "2024-02-15T17:00:00Z",
        "window_closed | The calling window is closed until 2024-02-16T09:00:00Z. | 2024-02-16T09:00:00Z",
    ),
    (
        Gate::ZoneKnown,
        |w| w.person().zones = ZoneKey::from_names(["Mars/Phobos"]),
        NOW,
        "zone_unknown | The contact's time zone is not known, so its calling hours cannot be checked. | never",
    ),
    (Gate::Consent, |w| w.person().consent = None, NOW, "no_consent | The campaign requires consent and the contact has none. | never"),
    (
        Gate::Suppression,
        |w| w.facts.suppressed = Some("opted_out".to_owned()),
        NOW,
        "suppressed | The number is on the suppression list (opted_out). | never",
    ),
    (Gate::Deadline, |_| {}, "2024-03-01T12:00:00Z", "deadline | The campaign's deadline 2024-03-01T00:00:00Z has passed. | never"),
    (Gate::CampaignState, |w| w.status = CampaignStatus::Paused, NOW, "campaign_paused | The campaign is paused. | event"),
];

#[test]
fn each_gate_blocks_before_all_that_follow_it() {
    let mut world = World::new();
    for (gate, change, now, want) in CASES {
        change(&mut world);
        assert_eq!(world.blocked(at(now)), Some((*gate, (*want).to_owned())));
    }
    assert_eq!(CASES.iter().rev().map(|case| case.0).collect::<Vec<_>>(), Gate::ALL);
}

#[test]
fn wire_codes() {
    for gate in Gate::ALL {
        assert_eq!(serde_json::to_value(gate).unwrap(), gate.as_str());
        assert_eq!(Gate::parse(gate.as_str()), Some(gate));
    }
}

#[test]
fn a_holiday_is_named() {
    let mut world = World::new();
    world.spec.deadline = None;
    let (gate, text) = world.blocked(at("2024-12-25T12:00:00Z")).unwrap();
    assert_eq!(gate, Gate::CallingWindow);
    assert!(text.contains("It is a holiday (Christmas); the calling window is closed until 2024-12-26T09:00:00Z."), "{text}");
}

#[test]
fn one_free_caller_id_is_enough() {
    let mut world = World::new();
    world.limits.callers.push(LimitRules::new(LimitScope::Caller(Arc::from("+15550002222"))));
    world.ledgers.push(Ledger::default());
    world.ledgers[2].in_flight = 1;
    assert_eq!(world.blocked(at(NOW)), None);
}

#[test]
fn every_state_but_running_blocks() {
    for status in CampaignStatus::ALL {
        let mut world = World::new();
        world.status = status;
        assert_eq!(world.blocked(at(NOW)).is_none(), status == CampaignStatus::Running, "{status}");
    }
}

#[test]
fn the_latest_of_several_caps_decides_and_channels_count_apart() {
    let spec = CampaignSpec::call("c").frequency_cap(1, 1).frequency_cap(2, 48).build().unwrap();
    let facts =
        ContactFacts { suppressed: None, recent: vec![(at(NOW) - 10.minutes(), Channel::Call), (at(NOW) - 30.hours(), Channel::Call)] };
    let Verdict::NotBefore { until, .. } = frequency(&spec.frequency_caps, &facts, Channel::Call, at(NOW)) else { panic!() };
    assert_eq!(until, Some(at(NOW) + 18.hours()));
    let mut caps = spec.frequency_caps.clone();
    caps.iter_mut().for_each(|cap| cap.channels = vec![Channel::Sms]);
    assert!(frequency(&caps, &facts, Channel::Call, at(NOW)).is_allow());
    assert!(frequency(&caps, &facts, Channel::Sms, at(NOW)).is_allow());
    // Exactly at its end an attempt no longer counts.
    let hour = &spec.frequency_caps[..1];
    assert!(!frequency(hour, &facts, Channel::Call, at(NOW) + 50.minutes() - 1.seconds()).is_allow());
    assert!(frequency(hour, &facts, Channel::Call, at(NOW) + 50.minutes()).is_allow());
    assert_eq!(ClaimGates::of(&spec).look_back(), Some(jiff::SignedDuration::from_hours(48)));
}

fn record() -> CampaignRecord {
    CampaignRecord {
        id: CampaignId(42),
        spec: Arc::new(CampaignSpec::call("c").build().unwrap()),
        spec_version: 1,
        revision: 1,
        status: CampaignStatus::Running,
        reason: None,
        run: RunState { number: 1, next_start: None, resetting: false },
        budget_announced_percent: 0,
        last_import_file_name: None,
        last_import_date: None,
        last_import_row_count: None,
        created_at: at(NOW),
        updated_at: at(NOW),
        started_at: None,
        completed_at: None,
    }
}

#[test]
fn metrics_are_those_of_the_rest_api() {
    use ContactStatus as S;
    let counts = Counts {
        by_status: [
            (S::Completed, 325),
            (S::Failed, 10),
            (S::NoAnswer, 8),
            (S::Busy, 4),
            (S::Voicemail, 3),
            (S::InProgress, 5),
            (S::Pending, 145),
            (S::Skipped, 17),
            (S::Cancelled, 9),
        ]
        .into(),
        call_attempts: 400,
        answered_calls: 340,
        duration_seconds: 14_625,
        cost: Money::from_units(18.75),
    };
    let sample = progress(&record(), &counts);
    assert_eq!((sample.total_contacts, sample.completed_contacts, sample.failed_contacts), (500, 325, 25));
    assert_eq!((sample.in_progress_contacts, sample.pending_contacts), (5, 145));
    assert_eq!((sample.no_answer_contacts, sample.busy_contacts, sample.voicemail_contacts), (8, 4, 3));
    assert_eq!((sample.skipped_contacts, sample.cancelled_contacts), (17, 9));
    assert_eq!((sample.completion_percentage, sample.completion_rate), (70.0, 70.0));
    assert_eq!((sample.success_rate, sample.answer_rate), (92.86, 85.0));
    assert_eq!((sample.total_duration_seconds, sample.average_duration), (14_625, 45.0));
    assert_eq!(sample.total_cost.units(), 18.75);
    assert_eq!(counts.open(), 150);

    let empty = progress(&record(), &Counts::default());
    assert_eq!((empty.total_contacts, empty.completion_rate, empty.success_rate, empty.average_duration), (0, 0.0, 0.0, 0.0));
    assert_eq!((percentage(1, 3), percentage(2, 3), percentage(1, 1)), (33.33, 66.67, 100.0));
}
