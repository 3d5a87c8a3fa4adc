//! Configuration of the `campaign` command: sources, precedence, secrets, mistakes.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod command_support;

use campaign_server::config::KEYS;
use command_support::Desk;
use serde_json::Value;

const SID: &str = "AC0123456789abcdef0123456789abcdef";

fn setting<'a>(checked: &'a Value, key: &str) -> (&'a Value, &'a str) {
    let found = checked["settings"].as_array().unwrap().iter().find(|setting| setting["key"] == key);
    let found = found.unwrap_or_else(|| panic!("no {key} in {checked}"));
    (&found["value"], found["source"].as_str().unwrap())
}

#[test]
fn flags_go_before_the_environment_and_that_before_the_file() {
    let desk = Desk::on_sqlite();
    desk.write("campaign.toml", "region = \"DE\"\nmax_upload_mib = 5\n\n[log]\nlevel = \"error\"\nformat = \"json\"\n");
    let checked = |more: &[&str], variables: &[(&str, &str)]| {
        let mut command = desk.command(&[&["config", "check", "--json"], more].concat());
        command.env_remove("CAMPAIGN_STORE").envs(variables.iter().copied());
        command_support::Said::from(command.output().unwrap()).json()
    };
    let file = checked(&[], &[]);
    assert_eq!(setting(&file, "region"), (&"DE".into(), "campaign.toml:1"));
    assert_eq!(setting(&file, "max_upload_mib"), (&5.into(), "campaign.toml:2"));
    assert_eq!(setting(&file, "log.level"), (&"error".into(), "campaign.toml:5"));
    assert_eq!(setting(&file, "store"), (&"sqlite://campaigns.db".into(), "default"));
    let environment = checked(&[], &[("CAMPAIGN_REGION", "FR"), ("CAMPAIGN_ALLOWED_ORIGINS", "https://a.example, https://b.example")]);
    assert_eq!(setting(&environment, "region"), (&"FR".into(), "CAMPAIGN_REGION"));
    assert_eq!(setting(&environment, "allowed_origins").0, &serde_json::json!(["https://a.example", "https://b.example"]));
    let flags = checked(&["--region", "GB"], &[("CAMPAIGN_REGION", "FR")]);
    assert_eq!(setting(&flags, "region"), (&"GB".into(), "--region"));
    // Another file, named by the environment and by a flag.
    desk.write("other.toml", "region = \"ES\"\n");
    desk.write("third.toml", "region = \"IT\"\n");
    let named = checked(&[], &[("CAMPAIGN_CONFIG", "other.toml")]);
    assert_eq!(setting(&named, "region"), (&"ES".into(), "other.toml:1"));
    let named = checked(&["--config", "third.toml"], &[("CAMPAIGN_CONFIG", "other.toml")]);
    assert_eq!(setting(&named, "region"), (&"IT".into(), "third.toml:1"));
}

#[test]
fn every_mistake_is_told_at_once_with_its_place() {
    let desk = Desk::on_sqlite();
    desk.write(
        "campaign.toml",
        &format!(
            "regoin = \"US\"\nlisten = \"here\"\n[log]\nformat = \"xml\"\n[dialer.twilio]\naccount_sid = \"{SID}\"\nauth_tokn = \"secret-7\"\n\
             calls_per_second = \"secret-7\"\n[engine]\nbatch = 0\n[nothing]\nlike = 1\n[assistant.openai]\ntimeout = 5\n"
        ),
    );
    let said = desk.campaign(&["config", "check", "--json"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(!said.err.contains("secret-7") && said.out.is_empty(), "{said:?}");
    let error: Value = serde_json::from_str(said.err.lines().last().unwrap()).unwrap();
    let faults = error["error"]["faults"].as_array().unwrap();
    let of = |key: &str| {
        let fault = faults.iter().find(|fault| fault["key"] == key).unwrap_or_else(|| panic!("no {key} in {faults:#?}"));
        (fault["source"].as_str().unwrap(), fault["message"].as_str().unwrap())
    };
    let (place, message) = of("regoin");
    assert!(place == "campaign.toml:1" && message.contains("did you mean `region`"), "{place} {message}");
    assert_eq!(of("listen").0, "campaign.toml:2");
    assert_eq!(of("log.format").0, "campaign.toml:4");
    let (place, message) = of("dialer.twilio.auth_tokn");
    assert!(place == "campaign.toml:7" && message.contains("did you mean `auth_token`"), "{place} {message}");
    assert_eq!(of("dialer.twilio.calls_per_second").0, "campaign.toml:8");
    assert_eq!(of("engine.batch").0, "campaign.toml:10");
    assert_eq!(of("nothing").0, "campaign.toml:11");
    assert_eq!(of("assistant.openai.model").0, "campaign.toml:13");
    // People get a sentence for each.
    let said = desk.campaign(&["config", "check"]);
    assert!(said.err.lines().filter(|line| line.starts_with("campaign: campaign.toml:")).count() >= 7, "{}", said.err);

    // Every other command refuses as well, and so does a file that is no TOML or is not there.
    assert_eq!(desk.campaign(&["status"]).code, 2);
    desk.write("broken.toml", "region = \"US\"\nstore = \n");
    let said = desk.campaign(&["status", "--config", "broken.toml"]);
    assert!(said.code == 2 && said.err.contains("broken.toml:2") && said.err.lines().count() == 1, "{said:?}");
    let said = desk.campaign(&["status", "--config", "missing.toml"]);
    assert!(said.code == 2 && said.err.contains("missing.toml: cannot be read"), "{said:?}");
}

#[test]
fn secrets_come_from_elsewhere_and_are_not_shown() {
    let desk = Desk::on_sqlite();
    let token = desk.write("token", "secret-from-a-file\n");
    desk.write(
        "campaign.toml",
        &format!(
            "store = {{ env = \"DATABASE\" }}\npublic_url = \"https://campaigns.example.com\"\n[[dialer.routed]]\nname = \"voice\"\n\
             channels = \"call\"\ndialer.twilio = {{ account_sid = \"{SID}\", auth_token = {{ file = {:?} }}, from_number = \"+12025550100\" }}\n\
             [[dialer.routed]]\nname = \"text\"\nchannels = [\"sms\"]\n[dialer.routed.dialer.webhook]\nurl = \"https://a.example/hook\"\n\
             secret = {{ env = \"HOOK_SECRET\" }}\nchannels = [\"sms\"]\n",
            token.display().to_string()
        ),
    );
    let check = |secret: Option<&str>| {
        let mut command = desk.command(&["config", "check"]);
        command.env_remove("CAMPAIGN_STORE").env("DATABASE", "postgres://me:secret-of-the-store@db.example/campaigns");
        if let Some(secret) = secret {
            command.env("HOOK_SECRET", secret);
        }
        command_support::Said::from(command.output().unwrap())
    };
    let said = check(Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    assert_eq!(said.code, 0, "{said:?}");
    assert!(!said.out.contains("secret-") && !said.out.contains("MfKQ9r8") && said.out.contains("•••"), "{}", said.out);
    assert!(said.out.contains("db.example") && said.out.contains(SID), "what is no secret is shown: {}", said.out);
    let said = check(None);
    assert!(said.code == 2 && said.err.contains("HOOK_SECRET") && said.err.contains("campaign.toml:12"), "{said:?}");
    let said = check(Some("secret-that-is-none"));
    assert!(said.code == 2 && said.err.contains("dialer.routed[1].dialer.webhook.secret") && !said.err.contains("secret-that"), "{said:?}");
}

#[test]
fn secrets_of_tables_in_the_environment_come_from_elsewhere_as_well() {
    let desk = Desk::on_sqlite();
    let dialer = format!(r#"{{"twilio": {{"account_sid": "{SID}", "auth_token": {{"env": "TOKEN"}}, "from_number": "+12025550100"}}}}"#);
    let check = |arguments: &[&str], variables: &[(&str, &str)]| -> command_support::Said {
        desk.command(arguments).envs(variables.iter().copied()).output().unwrap().into()
    };
    let said = check(&["config", "check"], &[("CAMPAIGN_DIALER", &dialer), ("TOKEN", "secret-7")]);
    assert!(said.code == 0 && said.out.contains(SID) && !said.out.contains("secret-7"), "{said:?}");
    let said = check(&["config", "check"], &[("CAMPAIGN_DIALER", &dialer)]);
    assert!(said.code == 2 && said.err.contains("CAMPAIGN_DIALER: `dialer.twilio.auth_token`") && said.err.contains("TOKEN"), "{said:?}");
    // Who does not dial need not know it.
    assert_eq!(check(&["status"], &[("CAMPAIGN_DIALER", &dialer)]).code, 0);
    let said = check(&["serve", "--dialer", &dialer], &[]);
    assert!(said.code == 2 && said.err.contains("--dialer: `dialer.twilio.auth_token`"), "{said:?}");
}

#[test]
fn what_nobody_could_mean_is_refused() {
    let desk = Desk::on_sqlite();
    for (arguments, told) in [
        (&["config", "check", "--log-level", "inof"][..], "log.level"),
        (&["status", "--log-level", "inof"], "log.level"),
        (&["config", "check", "--region", "XX"], "region"),
        (&["serve", "--open", "--allow-origin", "*"], "every web page"),
        (&["serve", "--open", "--allow-origin", "dashboard.example"], "allowed_origins"),
    ] {
        let said = desk.campaign(arguments);
        assert!(said.code == 2 && said.err.contains(told) && said.err.lines().count() == 1, "{arguments:?}: {said:?}");
    }
    // What `RUST_LOG` names for other programs stands in nobody's way.
    let said: command_support::Said = desk.command(&["status"]).env("RUST_LOG", "another_program").output().unwrap().into();
    assert_eq!(said.code, 0, "{said:?}");
    desk.write("campaign.toml", "[assistant.openai]\nmodel = \"small\"\nbase_url = \"nonsense\"\n");
    let said = desk.campaign(&["config", "check"]);
    assert!(said.code == 2 && said.err.contains("campaign.toml:3: `assistant.openai.base_url`"), "{said:?}");
}

#[test]
fn secrets_in_addresses_and_extra_fields_are_not_shown() {
    let desk = Desk::on_sqlite();
    desk.write(
        "campaign.toml",
        "store = \"postgres://me@db.example/campaigns?sslpassword=secret-1\"\n[dialer.webhook]\nurl = \"https://a.example/hook?key=secret-2\"\n\
         secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n[assistant.openai]\nmodel = \"small\"\n\
         base_url = \"https://b.example/v1\"\nextra = { Authorization = \"Bearer secret-3\", apikey = \"secret-4\" }\n\
         [telemetry]\nendpoint = \"https://c.example/?tok=secret-5\"\n",
    );
    let mut command = desk.command(&["config", "check"]);
    let said = command_support::Said::from(command.env_remove("CAMPAIGN_STORE").output().unwrap());
    assert!(!said.out.contains("secret-") && !said.err.contains("secret-"), "{said:?}");
    let said = desk.campaign(&["config", "check", "--store", "postgres://me:P/secret-6@h/db"]);
    assert!(!said.out.contains("secret-") && !said.err.contains("secret-"), "{said:?}");
}

#[test]
fn commands_that_never_dial_need_no_secret_of_those_that_do() {
    let desk = Desk::on_sqlite();
    desk.people("people.csv", 2);
    desk.write(
        "campaign.toml",
        &format!(
            "[[dialer.routed]]\nname = \"voice\"\nchannels = \"call\"\n\
             dialer.twilio = {{ account_sid = \"{SID}\", auth_token = {{ env = \"TWILIO_TOKEN\" }}, from_number = \"+12025550100\" }}\n\
             [[dialer.routed]]\nname = \"agents\"\nchannels = \"whatsapp\"\n\
             dialer.elevenlabs = {{ api_key = {{ file = \"elevenlabs.key\" }}, agent_id = \"a\", agent_phone_number_id = \"p\" }}\n\
             [assistant.openai]\nmodel = \"small\"\napi_key = {{ env = \"MODEL_KEY\" }}\n\
             [telemetry]\nheaders = {{ authorization = {{ env = \"COLLECTOR_KEY\" }} }}\n"
        ),
    );
    let run = ["run", "people.csv", "--message", "Hi {{ name }}", "--set", "rate_limit_per_minute=60000"];
    let carrier = r#"{"simulated": {"profile": "instant"}}"#;
    // Another carrier has been named, which needs none of it; the assistant is still the one of the file.
    let with = |variables: &[(&str, &str)]| -> command_support::Said {
        desk.command(&run).env("CAMPAIGN_DIALER", carrier).envs(variables.iter().copied()).output().unwrap().into()
    };
    let said = with(&[]);
    assert!(said.code == 2 && said.err.contains("MODEL_KEY") && !said.err.contains("TWILIO_TOKEN"), "{said:?}");
    let said = with(&[("MODEL_KEY", "sk-1")]);
    assert_eq!(said.code, 0, "{said:?}");

    let key = desk.json(&["keys", "create", "--name", "a", "--scope", "read", "--organization", "1"]);
    let hook = desk.json(&["webhooks", "create", "--url", "https://example.com/hook", "--event", "call.completed"]);
    let (key, hook) = (key["id"].as_str().unwrap(), hook["id"].as_str().unwrap());
    for arguments in [
        &["status"][..],
        &["status", "1"],
        &["explain", "1"],
        &["explain", "--contact", "1"],
        &["export", "1"],
        &["preview", "1"],
        &["lint", "1"],
        &["suppress", "add", "+12125550123"],
        &["suppress", "check", "+12125550123"],
        &["suppress", "list"],
        &["suppress", "remove", "+12125550123"],
        &["keys", "list"],
        &["keys", "revoke", key],
        &["webhooks", "list"],
        &["webhooks", "dead", hook],
        &["webhooks", "replay", hook],
        &["webhooks", "delete", hook],
        &["migrate"],
        &["copy-store", &desk.store, "memory://"],
    ] {
        let said = desk.campaign(arguments);
        assert_eq!(said.code, 0, "{arguments:?}: {said:?}");
        assert!(!said.err.contains("_KEY") && !said.err.contains("TWILIO"), "{arguments:?}: {said:?}");
    }
    // These get as far as the campaign, which has ended.
    for arguments in [&["simulate", "1"][..], &["import", "1", "people.csv"]] {
        let said = desk.campaign(arguments);
        assert!(said.code == 3 && said.err.contains("re-execute it"), "{arguments:?}: {said:?}");
    }

    // Who dials is told everything that is missing, and so is who checks.
    for arguments in [&run[..], &["serve", "--open"], &["config", "check"]] {
        let said = desk.campaign(arguments);
        assert!(said.code == 2 && said.err.contains("TWILIO_TOKEN") && said.err.contains("elevenlabs.key"), "{arguments:?}: {said:?}");
        assert!(said.err.contains("campaign.toml:"), "{said:?}");
    }
    let said = desk.campaign(&["config", "check"]);
    assert!(said.err.contains("MODEL_KEY") && said.err.contains("COLLECTOR_KEY"), "{said:?}");
}

#[test]
fn variables_that_mean_nothing_are_remarked_and_keys_are_listed() {
    let desk = Desk::on_sqlite();
    let mut command = desk.command(&["config", "check"]);
    let said = command_support::Said::from(command.env("CAMPAIGN_REGOIN", "US").output().unwrap());
    assert!(said.code == 0 && said.err.contains("CAMPAIGN_REGOIN"), "{said:?}");
    let listed = desk.json(&["config", "keys"]);
    assert_eq!(listed.as_array().unwrap().len(), KEYS.len());
    assert_eq!(listed[0]["variable"], "CAMPAIGN_STORE");
}

#[test]
fn the_page_names_every_key() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/command.md")).unwrap();
    for key in KEYS {
        assert!(page.contains(&format!("| `{}` |", key.name)), "docs/command.md has no row for `{}`", key.name);
    }
}
