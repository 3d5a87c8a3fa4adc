//! The documents say what is true: names in them are names of the code.

use campaign_core::campaign::{CampaignSpec, CampaignStatus};
use campaign_core::contact::ContactStatus;
use campaign_core::policy::transition::CAMPAIGN;
use campaign_tests::tree::read;

/// The contents of the fenced blocks in this language, with the line they begin on.
fn blocks(document: &str, language: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in read(document).lines().enumerate() {
        match &mut open {
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some((_, text)) => {
                text.push_str(line);
                text.push('\n');
            }
            None if line == format!("```{language}") => open = Some((number + 1, String::new())),
            None => {}
        }
    }
    blocks
}

#[test]
fn json_blocks_of_the_guide_are_campaign_specs() {
    let blocks = blocks("docs/guide.md", "json");
    assert!(blocks.len() >= 5, "the blocks were not found");
    for (line, text) in blocks {
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("docs/guide.md:{line}: {error}"));
        if value.get("name").is_none() {
            value["name"] = "Part of a spec".into();
        }
        let spec: CampaignSpec = serde_json::from_value(value).unwrap_or_else(|error| panic!("docs/guide.md:{line}: {error}"));
        spec.validate().unwrap_or_else(|error| panic!("docs/guide.md:{line}: {error}"));
    }
}

#[test]
fn the_guide_names_every_status() {
    let guide = read("docs/guide.md");
    let names = CampaignStatus::ALL.iter().map(|status| status.as_str()).chain(ContactStatus::ALL.iter().map(|status| status.as_str()));
    for name in names {
        assert!(guide.contains(&format!("| `{name}`")) || guide.contains(&format!(", `{name}`")), "docs/guide.md has no row for `{name}`");
    }
}

#[test]
fn the_guide_names_every_reason_a_gate_gives() {
    let guide = read("docs/guide.md");
    let gates = read("campaign-core/src/policy/gates.rs");
    let calls = gates.split("not_before(").chain(gates.split("never("));
    let mut codes: Vec<&str> = calls
        .filter_map(|call| call.split_once('"').map(|(before, rest)| (before, rest.split('"').next().unwrap_or_default())))
        .filter(|(before, code)| {
            before.len() < 40 && !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        })
        .map(|(_, code)| code)
        .collect();
    codes.sort_unstable();
    codes.dedup();
    assert!(codes.len() >= 10, "the codes were not found: {codes:?}");
    for code in codes {
        assert!(guide.contains(&format!("`{code}`")), "docs/guide.md does not explain the reason `{code}`");
    }
}

#[test]
fn the_guide_says_what_may_follow_a_status() {
    // What the guide's table says follows a status is what the transition table says.
    let guide = read("docs/guide.md");
    for (status, verbs) in [
        (CampaignStatus::Draft, "schedule, start, cancel"),
        (CampaignStatus::Scheduled, "start, unschedule, cancel"),
        (CampaignStatus::Running, "pause, cancel"),
        (CampaignStatus::Paused, "resume, cancel"),
        (CampaignStatus::Completed, "re-execute"),
        (CampaignStatus::Cancelled, "re-execute"),
        (CampaignStatus::Failed, "re-execute"),
    ] {
        let row = guide.lines().find(|line| line.starts_with(&format!("| `{status}` |"))).unwrap_or_default();
        assert!(row.ends_with(&format!("| {verbs} |")), "docs/guide.md: the row of {status} should end with {verbs:?}: {row}");
        for verb in verbs.split(", ") {
            let event = verb.replace('-', "");
            let legal = CAMPAIGN.iter().any(|(from, name, ..)| *from == status && format!("{name:?}").eq_ignore_ascii_case(&event));
            assert!(legal, "{verb} is not legal for a campaign that is {status}");
        }
    }
}
