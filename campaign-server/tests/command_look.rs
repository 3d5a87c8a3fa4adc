//! What the `campaign` command shows, writes and copies, on SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod command_support;

use command_support::{Desk, Said};
use serde_json::Value;
use std::process::{Command, Stdio};

const INSTANT: &str = "[dialer.simulated]\nprofile = \"instant\"\n";

/// A campaign that has been run: three people, one of them with a formula for a name, and one whose number is none.
fn ran(desk: &Desk) {
    desk.write("campaign.toml", INSTANT);
    desk.write(
        "people.csv",
        "phone_number,name,time_zone,plan\n+12125550001,=HYPERLINK(\"http://a.example\"),UTC,-gold\n+12125550002,Bo,UTC,silver\n\
         +12125550003,Cy,UTC,gold\nnonsense,Di,UTC,gold\n",
    );
    let said = desk.campaign(&[
        "run",
        "people.csv",
        "--message",
        "Hello {{ name }}, your plan is {{ plan }}",
        "--rejects",
        "rejects.csv",
        "--set",
        "rate_limit_per_minute=60000",
    ]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.err.contains("line 5"), "{said:?}");
    assert!(std::fs::read_to_string(desk.path("rejects.csv")).unwrap().contains("nonsense"));
}

fn csv_of(said: &Said) -> Vec<Vec<String>> {
    assert_eq!(said.code, 0, "{said:?}");
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(said.out.as_bytes());
    reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
}

fn shown_and_exported(desk: &Desk) {
    ran(desk);
    let all = desk.json(&["status"]);
    assert_eq!((all["total"].as_i64(), all["campaigns"][0]["status"].as_str()), (Some(1), Some("completed")));
    assert_eq!(all["nodes"].as_array().unwrap().len(), 0);
    let people = desk.campaign(&["status"]);
    assert!(people.code == 0 && people.out.contains("people") && people.out.contains("completed"), "{people:?}");
    assert_eq!(desk.json(&["status", "--status", "running"])["total"], 0);
    assert_eq!(desk.json(&["status", "1"])["progress"]["completed_contacts"], 3);
    assert!(desk.campaign(&["status", "1"]).out.contains("100.0 %"));
    assert_eq!(desk.campaign(&["status", "7"]).code, 3);

    let rows = csv_of(&desk.campaign(&["export", "1"]));
    assert_eq!(rows.len(), 4, "a heading and three people");
    let column = |name: &str| rows[0].iter().position(|heading| heading == name).unwrap_or_else(|| panic!("no {name} in {:?}", rows[0]));
    let first = rows.iter().find(|row| row[column("phone_number")] == "+12125550001").unwrap();
    assert_eq!(first[column("name")], "'=HYPERLINK(\"http://a.example\")", "no formula reaches a spreadsheet");
    assert_eq!((first[column("plan")].as_str(), first[column("status")].as_str()), ("'-gold", "completed"));
    let raw = csv_of(&desk.campaign(&["export", "1", "--raw"]));
    assert!(raw.iter().any(|row| row[column("name")] == "=HYPERLINK(\"http://a.example\")"));
    let json = desk.json(&["export", "1"]);
    assert_eq!((json.as_array().unwrap().len(), json[0]["variables"]["plan"].as_str()), (3, Some("-gold")));
    let lines = desk.campaign(&["export", "1", "--what", "attempts", "--format", "jsonl"]);
    let attempts: Vec<Value> = lines.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(attempts.len() == 3 && attempts.iter().all(|attempt| attempt["disposition"] == "answered"), "{lines:?}");
    assert_eq!(csv_of(&desk.campaign(&["export", "1", "--what", "attempts"])).len(), 4);
    assert_eq!(desk.campaign(&["export", "1", "--output", "out.json"]).code, 0);
    let written: Value = serde_json::from_str(&std::fs::read_to_string(desk.path("out.json")).unwrap()).unwrap();
    assert_eq!(written, json);
    assert_eq!(desk.json(&["export", "1", "--status", "failed"]).as_array().unwrap().len(), 0);
    assert_eq!(desk.campaign(&["export", "1", "--status", "fine"]).code, 2);
    assert_eq!(desk.campaign(&["export", "9"]).code, 3);
    // A reader that has had enough is no failure.
    let mut child = desk.command(&["export", "1"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(Said::from(child.wait_with_output().unwrap()).code, 0);
}

#[test]
fn results_are_shown_and_exported_on_sqlite() {
    shown_and_exported(&Desk::on_sqlite());
}

#[test]
fn results_are_shown_and_exported_on_postgresql() {
    shown_and_exported(&Desk::on_postgres());
}

#[test]
fn texts_are_previewed_and_checked_and_campaigns_simulated_and_explained() {
    let desk = Desk::on_sqlite();
    ran(&desk);
    let text = desk.json(&["preview", "1", "--contact", "2"]);
    assert_eq!(text["texts"]["welcome_message"], "Hello Bo, your plan is silver");
    assert!(desk.campaign(&["preview", "1"]).out.contains("Hello Cy, your plan is gold"));
    let said = desk.campaign(&["preview", "--template", "Hi {{ name|upper }}", "--value", "name=ada"]);
    assert_eq!((said.code, said.out.as_str()), (0, "Hi ADA\n"));
    let said = desk.campaign(&["preview", "--template", "Hi {{ name"]);
    assert!(said.code == 2 && said.err.starts_with("campaign: ") && said.err.lines().count() == 1, "{said:?}");
    assert_eq!(desk.campaign(&["preview", "1", "--contact", "99"]).code, 3);
    let all = desk.json(&["preview", "1"]);
    let ids: Vec<i64> = all.as_array().unwrap().iter().filter_map(|one| one["contact_id"].as_i64()).collect();
    assert_eq!(ids, [1, 2, 3]);

    assert_eq!(desk.json(&["lint", "1"])["ok"], true);
    assert_eq!(desk.campaign(&["lint", "1"]).code, 0);

    // Another campaign that nobody runs: a server would.
    desk.write("more.csv", "phone_number,time_zone\n+12125550010,UTC\n+12125550011,UTC\n");
    let (server, address) = desk.serve(&["--listen", "127.0.0.1:0", "--open"]);
    let made = command_support::request(
        &address,
        "POST",
        "/api/v1/campaigns",
        &serde_json::json!({ "name": "Next", "campaign_type": "sms", "assistant_id": 1, "sms_message_template": "Hi {{ nobody }}" }),
    );
    let id = made.1["id"].as_i64().unwrap().to_string();
    server.kill();
    assert_eq!(desk.json(&["import", &id, "more.csv"])["imported"], 2);
    let dry = desk.json(&["simulate", &id, "--profile", "instant"]);
    assert_eq!((dry["progress"]["completed_contacts"].as_i64(), dry["attempts"].as_i64()), (Some(2), Some(2)), "{dry}");
    assert!(desk.campaign(&["simulate", &id, "--profile", "instant"]).out.contains("attempts"));
    assert_eq!(desk.campaign(&["simulate", &id, "--profile", "instnat"]).code, 2);
    let lint = desk.campaign(&["lint", &id]);
    assert!(lint.out.contains("nobody"), "{lint:?}");
    let why = desk.json(&["explain", &id]);
    assert_eq!((why["campaign_id"].to_string(), why["status"].as_str()), (id.clone(), Some("draft")));
    assert_eq!(desk.campaign(&["explain", &id]).code, 0);
    assert_eq!(desk.json(&["explain", "--contact", "1"])["status"], "completed");
    assert_eq!(desk.campaign(&["explain", "99"]).code, 3);
}

#[test]
fn the_file_of_rejected_rows_takes_the_place_of_nothing_that_is_read() {
    let desk = Desk::on_sqlite();
    ran(&desk);
    let kept = |name: &str, text: &str| assert_eq!(std::fs::read_to_string(desk.path(name)).unwrap(), text, "{name}");
    let rows = "phone_number\n+12125550777\nnonsense\n";
    desk.write("more.csv", rows);
    std::fs::hard_link(desk.path("more.csv"), desk.path("same.csv")).unwrap();
    for arguments in [
        &["import", "1", "more.csv", "--rejects", "./more.csv"][..],
        &["import", "1", "more.csv", "--rejects", "same.csv"],
        &["run", "more.csv", "--rejects", "more.csv"],
        &["suppress", "import", "more.csv", "--rejects", "more.csv"],
    ] {
        let said = desk.campaign(arguments);
        assert!(said.code == 2 && said.err.contains("rejects"), "{arguments:?}: {said:?}");
        kept("more.csv", rows);
    }
    assert_eq!(desk.json(&["status"])["total"], 1, "nothing was made for a command that is refused");
    // Refused for another reason: the file of an earlier import stays.
    desk.write("old.csv", "old\n");
    for arguments in [
        &["import", "99", "more.csv", "--rejects", "old.csv"][..],
        &["import", "1", "nobody.csv", "--rejects", "old.csv"],
        &["import", "1", "more.csv", "--rejects", "no/such/folder.csv"],
    ] {
        assert!([2, 3].contains(&desk.campaign(arguments).code), "{arguments:?}");
        kept("old.csv", "old\n");
    }
    assert_eq!(desk.json(&["suppress", "import", "more.csv", "--rejects", "old.csv"])["invalid"], 1);
    assert!(std::fs::read_to_string(desk.path("old.csv")).unwrap().contains("nonsense"));
    desk.write("more.csv", "phone_number\n+12125550777\n");
    assert_eq!(desk.json(&["suppress", "import", "more.csv", "--rejects", "old.csv"])["invalid"], 0);
    kept("old.csv", "");
}

#[test]
fn numbers_are_suppressed_and_freed() {
    let desk = Desk::on_sqlite();
    assert_eq!(desk.json(&["suppress", "add", "(212) 555-0123", "+12125550124", "--reason", "asked"])["suppressed"], 2);
    assert_eq!(desk.json(&["suppress", "list", "--campaign", "9"]), serde_json::json!([]));
    for missing in [
        &["suppress", "add", "+12125550123", "--campaign", "999"][..],
        &["webhooks", "create", "--url", "https://example.com/hook", "--campaign", "999"],
    ] {
        let said = desk.campaign(missing);
        assert!(said.code == 3 && said.err.contains("999 does not exist"), "{said:?}");
    }
    let checked = desk.json(&["suppress", "check", "+12125550123", "+12125550999"]);
    assert_eq!((&checked[0]["suppressed"], &checked[1]["suppressed"]), (&true.into(), &false.into()));
    assert_eq!(desk.json(&["suppress", "add", "+12125550200", "--organization", "7"])["suppressed"], 1);
    assert_eq!(desk.json(&["suppress", "check", "+12125550200"])[0]["suppressed"], false);
    assert_eq!(desk.json(&["suppress", "check", "+12125550200", "--organization", "7"])[0]["suppressed"], true);
    desk.write("numbers.csv", "phone_number,reason\n+12125550300,moved\n+12125550301,\n");
    assert_eq!(desk.json(&["suppress", "import", "numbers.csv", "--reason", "file"])["imported"], 2);
    let listed = desk.campaign(&["suppress", "list", "--json"]);
    let reasons: Vec<Value> = listed.json().as_array().unwrap().iter().map(|entry| entry["reason"].clone()).collect();
    assert!(reasons.len() == 5 && reasons.contains(&"moved".into()), "{listed:?}");
    assert!(desk.campaign(&["suppress", "list"]).out.contains("organisation 7"));
    assert_eq!(desk.json(&["suppress", "remove", "+12125550123", "+12125550999"])["removed"], 1);
    assert_eq!(desk.json(&["suppress", "check", "+12125550123"])[0]["suppressed"], false);
    let said = desk.campaign(&["suppress", "add", "12"]);
    assert!(said.code == 2 && said.err.lines().count() == 1, "{said:?}");
    assert_eq!(desk.campaign(&["suppress", "add"]).code, 2);
}

#[test]
fn stores_are_made_ready_and_copied() {
    let (from, to) = (Desk::on_sqlite(), Desk::on_postgres());
    ran(&from);
    for (desk, campaigns) in [(&from, 1), (&to, 0)] {
        let first = desk.json(&["migrate"]);
        let now = first["to_version"].as_u64().unwrap();
        assert!(now >= 2 && first["campaigns"] == campaigns, "{first}");
        // What `run` has opened is ready; the other one is made by this command.
        assert_eq!(first["from_version"], if campaigns == 0 { 0 } else { now });
        assert_eq!(desk.json(&["migrate"])["from_version"], now);
        let said = desk.campaign(&["migrate"]);
        assert!(said.out.contains(&format!("at schema version {now} already")), "{said:?}");
    }
    let said = Desk::on_sqlite().campaign(&["migrate"]);
    assert!(said.out.starts_with("The store was new"), "{said:?}");
    let copied = from.json(&["copy-store", &from.store, &to.store]);
    assert_eq!((copied["campaigns"].as_i64(), copied["contacts"].as_i64(), copied["attempts"].as_i64()), (Some(1), Some(3), Some(3)));
    assert_eq!(to.json(&["export", "1"]), from.json(&["export", "1"]));
    let again = from.campaign(&["copy-store", &from.store, &to.store]);
    assert!(again.code == 3 && again.err.contains("--overwrite"), "{again:?}");
    assert_eq!(from.campaign(&["copy-store", &from.store, &to.store, "--overwrite"]).code, 0);
    // And back again.
    let back = Desk::on_sqlite();
    assert_eq!(back.json(&["copy-store", &to.store, &back.store])["contacts"], 3);
    assert_eq!(back.campaign(&["copy-store", &back.store, &back.store]).code, 2);
    let gone = back.campaign(&["status", "--store", "postgres://nobody:secret-7@127.0.0.1:1/none"]);
    assert!(gone.code == 4 && !gone.err.contains("secret-7"), "{gone:?}");
}

#[test]
fn what_is_overwritten_holds_what_the_source_holds_or_stays_as_it_is() {
    let from = Desk::on_sqlite();
    ran(&from);
    let other = |people: &[(&str, usize)]| {
        let desk = Desk::on_sqlite();
        desk.write("campaign.toml", INSTANT);
        for (name, count) in people {
            desk.people(name, *count);
            assert_eq!(desk.campaign(&["run", name, "--set", "rate_limit_per_minute=60000"]).code, 0);
        }
        desk
    };
    // More people, and some of the same under other numbers.
    let to = other(&[("people.csv", 6)]);
    assert_eq!(to.json(&["export", "1"]).as_array().unwrap().len(), 6);
    assert_eq!(from.campaign(&["copy-store", &from.store, &to.store, "--overwrite"]).code, 0);
    for what in ["contacts", "attempts"] {
        assert_eq!(to.json(&["export", "1", "--what", what]), from.json(&["export", "1", "--what", what]));
    }
    assert_eq!(to.json(&["status", "1"])["progress"]["total_contacts"], 3);

    // Another campaign holds contacts of the same numbers: nothing is changed.
    let to = other(&[("one.csv", 1), ("more.csv", 2)]);
    let before: Vec<Value> = ["1", "2"].iter().map(|id| to.json(&["export", id])).collect();
    let said = from.campaign(&["copy-store", &from.store, &to.store, "--overwrite"]);
    assert!(said.code == 3 && said.err.contains("nothing was copied"), "{said:?}");
    assert_eq!(["1", "2"].iter().map(|id| to.json(&["export", id])).collect::<Vec<_>>(), before);

    // A source that is not there, and one that is the target by another name.
    let (missing, new) = (from.path("missing.db"), from.path("new.db"));
    let said = from.campaign(&["copy-store", &format!("sqlite://{}", missing.display()), &format!("sqlite://{}", new.display())]);
    assert!(said.code == 3 && !missing.exists() && !new.exists(), "{said:?}");
    assert_eq!(from.campaign(&["copy-store", &from.store, "sqlite://./campaigns.db", "--overwrite"]).code, 2);
    assert_eq!(from.json(&["status"])["total"], 1);
}

#[test]
fn what_is_not_understood_is_said_in_one_sentence_or_in_json() {
    let desk = Desk::on_sqlite();
    let said = desk.campaign(&["status", "7", "--json"]);
    let error: Value = serde_json::from_str(&said.err).unwrap();
    assert_eq!((said.code, error["error"]["kind"].as_str(), error["error"]["exit_code"].as_i64()), (3, Some("not_found"), Some(3)));
    let said = desk.campaign(&["status", "seven", "--json"]);
    let error: Value = serde_json::from_str(&said.err).unwrap();
    assert_eq!((said.code, error["error"]["kind"].as_str()), (2, Some("usage")));
    let said = desk.campaign(&["run", "--json"]);
    let error: Value = serde_json::from_str(&said.err).unwrap();
    assert!(error["error"]["message"].as_str().is_some_and(|message| message.contains("<FILE>")), "{error}");
    assert_eq!(desk.campaign(&["dance"]).code, 2);
    assert_eq!(desk.campaign(&["status", "--store", "redis://host"]).code, 2);
}

/// Every subcommand, by the help of the command itself.
fn subcommands(desk: &Desk, above: &[&str]) -> Vec<Vec<String>> {
    let help = desk.campaign(&[above, &["--help"]].concat());
    assert_eq!(help.code, 0, "{above:?}: {help:?}");
    let Some((_, commands)) = help.out.split_once("Commands:\n") else {
        return vec![above.iter().map(|name| (*name).to_owned()).collect()];
    };
    let names = commands.lines().map_while(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let names: Vec<String> = names.filter(|name| *name != "help").map(str::to_owned).collect();
    names.iter().flat_map(|name| subcommands(desk, &[above, &[name.as_str()]].concat())).collect()
}

#[test]
fn every_subcommand_explains_itself_and_is_in_the_page() {
    let desk = Desk::on_sqlite();
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/command.md")).unwrap();
    let all = subcommands(&desk, &[]);
    assert!(all.len() > 20, "{all:?}");
    for name in all {
        let whole = format!("campaign {}", name.join(" "));
        assert!(page.lines().any(|line| line.starts_with(&whole)), "docs/command.md has no example of `{whole}`");
        let name: Vec<&str> = name.iter().map(String::as_str).collect();
        let help = desk.campaign(&[&name[..], &["-h"]].concat());
        let first = help.out.lines().next().unwrap_or_default();
        assert!(help.code == 0 && first.len() > 10 && help.out.contains("--json"), "{whole}: {help:?}");
    }
    let help = desk.campaign(&["--help"]);
    let codes = help.out.split_once("Exit codes:").unwrap().1;
    for code in ["0", "1", "2", "3", "4", "130"] {
        assert!(codes.lines().any(|line| line.trim_start().starts_with(&format!("{code}  "))), "{codes}");
        assert!(page.contains(&format!("| {code} |")), "docs/command.md does not explain exit code {code}");
    }
}

#[test]
fn completions_are_scripts() {
    let desk = Desk::on_sqlite();
    for shell in ["bash", "zsh", "fish"] {
        let said = desk.campaign(&["completions", shell]);
        assert!(said.code == 0 && said.out.contains("copy-store"), "{shell}");
        let script = desk.write(&format!("completions.{shell}"), &said.out);
        if shell == "bash" {
            let parsed = Command::new("bash").arg("-n").arg(script).output().unwrap();
            assert!(parsed.status.success(), "{parsed:?}");
        }
    }
    assert_eq!(desk.campaign(&["completions", "cmd"]).code, 2);
}
