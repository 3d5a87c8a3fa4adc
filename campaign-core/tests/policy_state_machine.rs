//! `docs/state-machine.md` is what the transition tables say. To write it anew after a change of the tables:
//! `UPDATE_DOCS=1 cargo test -p campaign-core --test policy_state_machine`.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use campaign_core::campaign::CampaignStatus;
use campaign_core::contact::ContactStatus;
use campaign_core::policy::transition::{CAMPAIGN, CONTACT, CampaignEvent, ContactEvent, campaign, contact};
use std::fmt::Write;

/// From, event, to, who does it.
type Row = (String, String, String, &'static str);

fn rows() -> (Vec<Row>, Vec<Row>) {
    let contacts = CONTACT.iter().map(|row| (row.0.to_string(), row.1.to_owned(), row.2.to_string(), row.3)).collect();
    let campaigns =
        CAMPAIGN.iter().map(|row| (row.0.to_string(), format!("{:?}", row.1).to_lowercase(), row.2.to_string(), row.3)).collect();
    (contacts, campaigns)
}

fn section(out: &mut String, title: &str, intro: &str, states: &[(String, &str)], rows: &[Row], terminal: impl Fn(&str) -> bool) {
    writeln!(out, "## {title}\n\n{intro}\n\n```mermaid\nstateDiagram-v2\n    [*] --> {}", states[0].0).unwrap();
    for (from, event, to, _) in rows {
        writeln!(out, "    {from} --> {to}: {event}").unwrap();
    }
    for (state, _) in states.iter().filter(|(state, _)| terminal(state)) {
        writeln!(out, "    {state} --> [*]").unwrap();
    }
    writeln!(out, "```").unwrap();
    for (state, meaning) in states {
        writeln!(out, "\n### {state}\n\n{meaning}").unwrap();
        for (heading, inward) in [("In", true), ("Out", false)] {
            let mut lines = rows.iter().filter(|row| if inward { row.2 == *state } else { row.0 == *state }).peekable();
            if lines.peek().is_some() {
                writeln!(out, "\n{heading}:\n").unwrap();
            }
            for (from, event, to, who) in lines {
                let other = if inward { format!("from `{from}`") } else { format!("to `{to}`") };
                writeln!(out, "- {other} by *{event}*: {who}.").unwrap();
            }
        }
    }
}

fn contact_meaning(status: ContactStatus) -> &'static str {
    match status {
        ContactStatus::Pending => {
            "Waiting for its (next) attempt. Every contact begins here, but for those that are suppressed when they are added: they begin as `skipped`."
        }
        ContactStatus::InProgress => "An attempt is claimed, running or in doubt. Counted against the limits until it is settled.",
        ContactStatus::Completed => "Reached: a call was answered, or a message was sent or delivered.",
        ContactStatus::Failed => "Cannot be reached: a permanent error, an attempt in doubt, or every attempt failed.",
        ContactStatus::NoAnswer => "Every attempt is used, and the last was not answered.",
        ContactStatus::Busy => "Every attempt is used, and the last met a busy line.",
        ContactStatus::Voicemail => "Every attempt is used and the last met a voicemail, or a message was left on one.",
        ContactStatus::Skipped => {
            "Not to be contacted: suppressed, opted out, without consent, past the deadline, or ruled out by another gate."
        }
        ContactStatus::Cancelled => "The campaign ended before the contact was reached.",
    }
}

fn campaign_meaning(status: CampaignStatus) -> &'static str {
    match status {
        CampaignStatus::Draft => "Being prepared. Every campaign begins here.",
        CampaignStatus::Scheduled => "Waiting for its start, or for its next occurrence.",
        CampaignStatus::Running => "Reaching people.",
        CampaignStatus::Paused => "Held. Attempts that run finish; no new ones start.",
        CampaignStatus::Completed => "Every contact is terminal and no further run follows.",
        CampaignStatus::Cancelled => "Ended before it was done.",
        CampaignStatus::Failed => "Ended by an error that concerns the whole campaign.",
    }
}

fn document() -> String {
    let (contacts, campaigns) = rows();
    let mut out = String::from(
        "<!-- Generated from the tables in campaign-core/src/policy/transition.rs.\n     Write it anew: UPDATE_DOCS=1 cargo test -p campaign-core --test policy_state_machine -->\n\n# State machines\n\nA status changes only along these tables; there is no other way to make a change of status.\n\n",
    );
    section(
        &mut out,
        "Contacts",
        "`pending` and `in_progress` are open, all others are terminal: nothing more happens in this run.\nA new run or a re-execution takes terminal contacts back to `pending`.",
        &ContactStatus::ALL.map(|status| (status.to_string(), contact_meaning(status))),
        &contacts,
        |state| ContactStatus::parse(state).is_some_and(ContactStatus::is_terminal),
    );
    out.push('\n');
    section(
        &mut out,
        "Campaigns",
        "`completed`, `cancelled` and `failed` are the ends; a re-execution begins anew from `draft`.",
        &CampaignStatus::ALL.map(|status| (status.to_string(), campaign_meaning(status))),
        &campaigns,
        |state| ["completed", "cancelled", "failed"].contains(&state),
    );
    out
}

#[test]
fn the_document_is_what_the_tables_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/state-machine.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, document()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default().replace("\r\n", "\n");
    assert!(
        written == document(),
        "docs/state-machine.md differs from the tables; run UPDATE_DOCS=1 cargo test -p campaign-core --test policy_state_machine"
    );
}

const CAMPAIGN_EVENTS: [CampaignEvent; 9] = [
    CampaignEvent::Schedule,
    CampaignEvent::Unschedule,
    CampaignEvent::Start,
    CampaignEvent::Pause,
    CampaignEvent::Resume,
    CampaignEvent::Complete,
    CampaignEvent::Cancel,
    CampaignEvent::Fail,
    CampaignEvent::Reexecute,
];

#[test]
fn every_pair_is_either_in_the_table_or_refused() {
    for from in CampaignStatus::ALL {
        for event in CAMPAIGN_EVENTS {
            let rows: Vec<_> = CAMPAIGN.iter().filter(|row| row.0 == from && row.1 == event).collect();
            assert!(rows.len() <= 1, "{from} {event:?} is there twice");
            match campaign(from, event) {
                Ok(change) => assert_eq!((change.from(), change.to()), (from, rows[0].2)),
                Err(error) => assert!(rows.is_empty() && error.to_string().contains(&from.to_string()), "{error}"),
            }
        }
    }
    let finishes = ContactStatus::ALL.map(ContactEvent::Finish);
    let others = [ContactEvent::Claim, ContactEvent::Requeue, ContactEvent::Cancel, ContactEvent::Reset];
    for from in ContactStatus::ALL {
        for event in finishes.into_iter().chain(others) {
            if let Ok(change) = contact(from, event) {
                assert_eq!(change.from(), from);
                assert!(CONTACT.iter().any(|row| row.0 == from && row.2 == change.to()));
                // A terminal contact leaves only by a reset, and only to the beginning.
                assert!(!from.is_terminal() || (event == ContactEvent::Reset && change.to() == ContactStatus::Pending));
                // Nothing that is finished ends open.
                assert!(!matches!(event, ContactEvent::Finish(_)) || change.to().is_terminal());
            }
        }
    }
}

#[test]
fn every_state_can_be_reached_and_left() {
    let reached = |start: usize, edges: &[(usize, usize)]| {
        let mut seen = std::collections::BTreeSet::from([start]);
        while let Some((_, to)) = edges.iter().find(|(from, to)| seen.contains(from) && !seen.contains(to)) {
            seen.insert(*to);
        }
        seen.len()
    };
    let contacts: Vec<_> = CONTACT.iter().map(|row| (row.0 as usize, row.2 as usize)).collect();
    let campaigns: Vec<_> = CAMPAIGN.iter().map(|row| (row.0 as usize, row.2 as usize)).collect();
    for start in 0..ContactStatus::ALL.len() {
        assert_eq!(reached(start, &contacts), ContactStatus::ALL.len(), "from contact state {start}");
    }
    for start in 0..CampaignStatus::ALL.len() {
        assert_eq!(reached(start, &campaigns), CampaignStatus::ALL.len(), "from campaign state {start}");
    }
}

#[test]
fn a_refused_change_says_what_is_possible() {
    let error = campaign(CampaignStatus::Draft, CampaignEvent::Pause).unwrap_err();
    assert_eq!(error.to_string(), "cannot pause a campaign that is draft; possible now: schedule, start, cancel");
}
