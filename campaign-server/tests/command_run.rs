//! `campaign run`: begun, interrupted, killed, begun again; and commands beside a server.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod command_support;

use command_support::{Desk, Running, handed_off, request};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A carrier that writes down whom it reaches, and takes its time: everybody answers, and calls last `millis`.
fn carrier(desk: &Desk, millis: u64) {
    let log = desk.path("carrier.log");
    desk.write(
        "campaign.toml",
        &format!(
            "[dialer.simulated]\nlog = {:?}\n[dialer.simulated.profile]\nopted_out = 0\n\
             calls = {{ answered = 1, no_answer = 0, busy = 0, voicemail = 0, rejected = 0, failed = 0, undeliverable = 0 }}\n\
             sms = {{ delivered = 1, sent = 0, undeliverable = 0, failed = 0, millis = {{ min = 1, max = 1 }} }}\n\
             ring_millis = {{ min = {millis}, max = {millis} }}\n\
             talk = {{ min_seconds = 0, mean_seconds = 0, max_seconds = 0 }}\n\
             [engine]\nlease = 1\nlongest_pause = 0.2\n",
            log.display().to_string()
        ),
    );
}

/// Everybody was reached, and nobody twice.
fn everybody_once(desk: &Desk, count: usize) {
    let reached = handed_off(&desk.path("carrier.log"));
    let different: BTreeSet<&i64> = reached.iter().collect();
    assert_eq!((reached.len(), different.len()), (count, count), "somebody was reached twice, or not at all");
}

/// Without a rate it would be ten people a minute.
const RUN: [&str; 8] = ["run", "people.csv", "--name", "reminders", "--set", "concurrent_limit=20", "--set", "rate_limit_per_minute=60000"];

#[test]
fn a_file_is_run_and_the_same_command_again_reaches_nobody() {
    let desk = Desk::on_sqlite();
    carrier(&desk, 1);
    desk.people("people.csv", 50);
    let said = desk.campaign(&RUN);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("50 of 50 rows imported") && said.err.contains("Campaign 1 is made"), "{said:?}");
    everybody_once(&desk, 50);
    let again = desk.json(&RUN);
    assert_eq!((again["campaign_id"].as_i64(), again["status"].as_str()), (Some(1), Some("completed")));
    assert_eq!(again["progress"]["completed_contacts"], 50);
    everybody_once(&desk, 50);

    // Another plan under the same name is asked about, and not run by itself.
    let other = desk.campaign(&["run", "people.csv", "--name", "reminders", "--set", "concurrent_limit=30"]);
    assert!(other.code == 3 && other.err.contains("--update"), "{other:?}");
    assert_eq!(desk.json(&["status"])["total"], 1);
    // A file that is not there, a plan that is none, a carrier that is none.
    assert_eq!(desk.campaign(&["run", "nobody.csv"]).code, 2);
    let said = desk.campaign(&["run", "people.csv", "--set", "concurent_limit=5"]);
    assert!(said.code == 2 && said.err.contains("concurent_limit"), "{said:?}");
    let said = desk.campaign(&["run", "people.csv", "--set", "concurrent_limit=-1"]);
    assert!(said.code == 2 && said.err.contains("concurrent_limit"), "{said:?}");
    assert_eq!(desk.json(&["status"])["total"], 1, "nothing was made for commands that cannot run");
}

#[test]
fn a_plan_comes_from_a_file_and_people_may_be_added() {
    let desk = Desk::on_sqlite();
    carrier(&desk, 1);
    desk.people("people.csv", 3);
    desk.write(
        "plan.toml",
        "name = \"From a file\"\ncampaign_type = \"sms\"\nsms_message_template = \"Hi {{ name }}\"\nrate_limit_per_minute = 60000\n",
    );
    let run = ["run", "people.csv", "--spec", "plan.toml"];
    assert_eq!(desk.json(&run)["progress"]["total_contacts"], 3);
    let shown = desk.json(&["status", "1"]);
    assert_eq!((shown["name"].as_str(), shown["campaign_type"].as_str()), (Some("From a file"), Some("sms")));
    let texts = desk.json(&["preview", "1", "--count", "1"]);
    assert_eq!(texts[0]["texts"]["sms_message"], "Hi Person 0");
    // The campaign has ended, and the file has more people: that is said, and --again makes another one.
    desk.people("people.csv", 5);
    let said = desk.campaign(&run);
    assert!(said.code == 3 && said.err.contains("--again"), "{said:?}");
    let again = desk.json(&["run", "people.csv", "--spec", "plan.toml", "--again"]);
    assert_eq!((again["campaign_id"].as_i64(), again["progress"]["completed_contacts"].as_i64()), (Some(2), Some(5)));
    desk.write("plan.toml", "name = \"From a file\"\ncampaign_typ = \"sms\"\n");
    let said = desk.campaign(&["run", "people.csv", "--spec", "plan.toml", "--again"]);
    assert!(said.code == 2 && said.err.contains("campaign_typ"), "{said:?}");
}

/// Starts the command, and waits until a part of the people have been reached.
fn half_way(desk: &Desk) -> Running {
    let mut running = desk.start(&RUN);
    running.until_it(
        |line| line.split(" of ").next().and_then(|count| count.trim().parse::<u32>().ok()).is_some_and(|count| count >= 20),
        "that twenty are done",
    );
    running
}

#[test]
fn the_first_interrupt_drains_and_the_same_command_goes_on() {
    let desk = Desk::on_sqlite();
    carrier(&desk, 100);
    desk.people("people.csv", 200);
    let mut running = half_way(&desk);
    running.signal("-INT");
    assert_eq!(running.end().code(), Some(130), "{:?}", running.said);
    assert!(running.said.iter().any(|line| line.starts_with("Stopping")), "{:?}", running.said);
    let shown = desk.json(&["status", "1"]);
    assert_eq!((shown["status"].as_str(), shown["progress"]["in_progress_contacts"].as_i64()), (Some("running"), Some(0)));
    let reached = handed_off(&desk.path("carrier.log")).len();
    assert!((20..200).contains(&reached), "{reached}");

    let said = desk.campaign(&RUN);
    assert!(said.code == 0 && said.err.contains("Campaign 1 goes on"), "{said:?}");
    everybody_once(&desk, 200);
    assert_eq!(desk.json(&["status", "1"])["progress"]["completed_contacts"], 200);
}

#[test]
fn an_interrupt_during_the_import_is_heard_as_well() {
    for signal in ["-INT", "-TERM"] {
        let desk = Desk::on_sqlite();
        carrier(&desk, 1);
        let rows: String = (0..300_000).map(|index| format!("+1212{},UTC\n", 2_300_000 + index)).collect();
        desk.write("people.csv", &format!("phone_number,time_zone\n{rows}"));
        let mut running = desk.start(&[&RUN[..], &["--json"]].concat());
        running.until("Campaign 1 is made");
        running.signal(signal);
        assert_eq!(running.end().code(), Some(130), "{:?}", running.said);
        assert!(running.said.iter().any(|line| line.starts_with("Stopping")), "{:?}", running.said);
        let error: Value = serde_json::from_str(running.said.last().unwrap()).unwrap();
        assert_eq!((error["error"]["kind"].as_str(), error["error"]["exit_code"].as_i64()), (Some("interrupted"), Some(130)));
        let said: Value = serde_json::from_str(&running.output()).unwrap();
        assert_eq!((said["campaign_id"].as_i64(), said["status"].as_str(), &said["import"]), (Some(1), Some("draft"), &Value::Null));
        assert!(handed_off(&desk.path("carrier.log")).is_empty(), "nobody is called");
    }
}

#[test]
fn the_second_interrupt_ends_at_once() {
    let desk = Desk::on_sqlite();
    // Calls that nobody waits for.
    carrier(&desk, 3_600_000);
    desk.people("people.csv", 30);
    let mut running = desk.start(&RUN);
    running.until("Campaign 1 is made");
    while handed_off(&desk.path("carrier.log")).len() < 20 {
        assert_eq!(desk.json(&["status", "1"])["id"], 1);
    }
    running.signal("-INT");
    running.until("Stopping");
    running.signal("-INT");
    assert_eq!(running.end().code(), Some(130), "{:?}", running.said);
    let shown = desk.json(&["status", "1"]);
    // They are left to recovery, but for those whose hanging up was still written down.
    let count = |status: &str| shown["progress"][format!("{status}_contacts")].as_u64().unwrap();
    assert_eq!(count("in_progress") + count("pending"), 30, "{shown}");
}

#[test]
fn after_a_kill_the_same_command_goes_on_and_calls_nobody_twice() {
    let desk = Desk::on_sqlite();
    carrier(&desk, 100);
    desk.people("people.csv", 120);
    half_way(&desk).kill();
    let reached = handed_off(&desk.path("carrier.log")).len();
    assert!((20..120).contains(&reached), "{reached}");
    let said = desk.campaign(&RUN);
    assert_eq!(said.code, 0, "{said:?}");
    everybody_once(&desk, 120);
    assert_eq!(desk.json(&["status", "1"])["progress"]["completed_contacts"], 120);
}

#[test]
fn commands_stand_beside_a_server_and_leave_the_calling_to_it() {
    let desk = Desk::on_sqlite();
    carrier(&desk, 1);
    let (server, address) = desk.serve(&["--listen", "127.0.0.1:0", "--open"]);
    let made = request(
        &address,
        "POST",
        "/api/v1/campaigns",
        &json!({ "name": "Beside", "campaign_type": "call", "assistant_id": 1, "rate_limit_per_minute": 60000 }),
    );
    assert!((200..300).contains(&made.0), "{made:?}");
    let id = made.1["id"].as_i64().unwrap().to_string();
    desk.people("people.csv", 40);
    let report = desk.json(&["import", &id, "people.csv"]);
    assert_eq!((report["imported"].as_i64(), report["total"].as_i64()), (Some(40), Some(40)));
    let report = desk.json(&["import", &id, "people.csv"]);
    assert_eq!((report["imported"].as_i64(), report["duplicates"].as_i64()), (Some(0), Some(40)));
    assert_eq!(desk.json(&["suppress", "add", "+12125550007"])["suppressed"], 1);
    let started = request(&address, "POST", &format!("/api/v1/campaigns/{id}/start"), &Value::Null);
    assert!((200..300).contains(&started.0), "{started:?}");
    // A process of its own each time: it reads, and waits in reading.
    let ended = std::iter::repeat_with(|| desk.json(&["status", &id])).find(|shown| shown["status"] == "completed").unwrap();
    assert_eq!((ended["progress"]["completed_contacts"].as_i64(), ended["progress"]["skipped_contacts"].as_i64()), (Some(39), Some(1)));
    everybody_once(&desk, 39);
    assert_eq!(desk.json(&["status"])["nodes"].as_array().unwrap().len(), 1, "the server is the only node");
    let refused = desk.campaign(&["copy-store", &desk.store, "memory://"]);
    assert!(refused.code == 3 && refused.err.contains("stop it first"), "{refused:?}");
    server.signal("-TERM");
}
