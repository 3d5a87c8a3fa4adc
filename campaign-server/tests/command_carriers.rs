//! `campaign serve` with real carriers by configuration: the stand-ins of the vendors are called, and call back.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod command_support;

use campaign_core::Engine;
use campaign_core::campaign::{CampaignSpec, CampaignSpecBuilder};
use campaign_core::executor::{Executor, SharedExecutor, TokioExecutor};
use campaign_core::store::open_store;
use campaign_tests::vendors::clock::QuickClock;
use campaign_tests::vendors::elevenlabs::{self, ElevenLabs};
use campaign_tests::vendors::twilio::{self, Twilio};
use command_support::{Desk, free_port, request};
use serde_json::{Value, json};
use std::sync::Arc;

const OURS: &str = "+12025550100";

/// The vendors' clock goes ten times as fast as the wall's; the server knows nothing of it.
fn clock() -> SharedExecutor {
    let now = TokioExecutor::current().unwrap().now();
    Arc::new(QuickClock::starting_at(now, 10))
}

/// A campaign that reaches one person, made beside the server and run to its end by it; its attempts.
async fn reach(desk: &Desk, spec: CampaignSpecBuilder, number: &str) -> Value {
    let store = open_store(&desk.store).await.unwrap();
    let beside = Engine::builder().shared_store(store).options(|options| options.executes = false).build().await.unwrap();
    let id = beside.create_campaign(spec.build().unwrap()).await.unwrap().id;
    desk.write("one.csv", &format!("phone_number,name,time_zone\n{number},Ana,UTC\n"));
    assert_eq!(desk.json(&["import", &id.to_string(), "one.csv"])["imported"], 1);
    beside.start(id).await.unwrap();
    beside.wait(id).await.unwrap();
    beside.close().await.unwrap();
    desk.json(&["export", &id.to_string(), "--what", "attempts"])
}

fn call() -> CampaignSpecBuilder {
    CampaignSpec::call("Calls").template("welcome_message", "Hello {{ name }}")
}

fn text() -> CampaignSpecBuilder {
    CampaignSpec::sms("Texts").template("sms_message", "Hi {{ name }}")
}

fn only<'a>(attempts: &'a Value, dispositions: &[&str]) -> &'a str {
    let attempts = attempts.as_array().unwrap();
    assert_eq!(attempts.len(), 1, "{attempts:?}");
    let disposition = attempts[0]["disposition"].as_str().unwrap_or_default();
    assert!(dispositions.contains(&disposition), "{attempts:?}");
    attempts[0]["provider_ref"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twilio_by_configuration_calls_and_writes_and_its_callbacks_come_in() {
    let vendor = Twilio::start(clock()).await;
    let (desk, port) = (Desk::on_sqlite(), free_port());
    let token = desk.write("token", twilio::TOKEN);
    // What is learned is learned by callbacks: nothing is asked for within an hour.
    desk.write(
        "campaign.toml",
        &format!(
            "listen = \"127.0.0.1:{port}\"\npublic_url = \"http://127.0.0.1:{port}\"\nopen = true\n[dialer.twilio]\n\
             account_sid = \"{}\"\nauth_token = {{ file = {:?} }}\nfrom_number = \"{OURS}\"\napi_base = \"{}\"\n\
             callback_patience = 3600\nreceipt_wait = 3600\ncalls_per_second = 10\n",
            twilio::ACCOUNT,
            token.display().to_string(),
            vendor.url()
        ),
    );
    let (server, address) = desk.serve(&[]);
    let (calls, texts) = (reach(&desk, call(), "+12025550141").await, reach(&desk, text(), "+12025550142").await);
    let (call, text) = (only(&calls, &["answered"]), only(&texts, &["delivered"]));
    let (placed, sent) = (vendor.calls(), vendor.messages());
    assert_eq!((placed.len(), sent.len()), (1, 1));
    assert_eq!((placed[0].sid.as_str(), sent[0].sid.as_str()), (call, text));
    let told: Vec<&str> = placed[0].fields.iter().filter(|(name, _)| name == "StatusCallback").map(|(_, value)| value.as_str()).collect();
    assert!(told[0].starts_with(&format!("http://127.0.0.1:{port}/callbacks/")), "{told:?}");
    assert_eq!(vendor.complaints(), Vec::<String>::new());

    // A callback that is not signed is refused.
    let (status, _) = request(&address, "POST", "/callbacks/twilio/status", &json!({ "CallSid": call }));
    assert_eq!(status, 403);
    let log = {
        let mut server = server;
        server.signal("-TERM");
        assert_eq!(server.end().code(), Some(0));
        server.said.join("\n")
    };
    for secret in [twilio::TOKEN, "+12025550141", "+12025550142", "Hi Ana"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_are_routed_to_several_carriers() {
    let clock = clock();
    let (vendor, agents) = (Twilio::start(Arc::clone(&clock)).await, ElevenLabs::start(clock).unwrap());
    let (desk, port) = (Desk::on_sqlite(), free_port());
    agents.post_to(&format!("http://127.0.0.1:{port}/callbacks/elevenlabs"));
    desk.write(
        "campaign.toml",
        &format!(
            "listen = \"127.0.0.1:{port}\"\npublic_url = \"http://127.0.0.1:{port}\"\nopen = true\n\
             [[dialer.routed]]\nname = \"voice\"\nchannels = \"call\"\n[dialer.routed.dialer.elevenlabs]\nbase_url = \"{}\"\n\
             api_key = \"{}\"\nwebhook_secrets = [\"{}\"]\nagent_id = \"agent_0123\"\n\
             agent_phone_number_id = \"phnum_0123\"\npoll_seconds = 1\nlookup_lag_seconds = 1\n\
             [[dialer.routed]]\nname = \"text\"\nchannels = [\"sms\"]\n[dialer.routed.dialer.twilio]\naccount_sid = \"{}\"\n\
             auth_token = \"{}\"\nfrom_number = \"{OURS}\"\napi_base = \"{}\"\n",
            agents.url(),
            elevenlabs::KEY,
            elevenlabs::SECRET,
            twilio::ACCOUNT,
            twilio::TOKEN,
            vendor.url()
        ),
    );
    let checked = desk.campaign(&["config", "check", "--json"]);
    assert!(checked.code == 0 && !checked.out.contains(elevenlabs::KEY) && !checked.out.contains(elevenlabs::SECRET), "{checked:?}");
    let (_server, _) = desk.serve(&[]);
    let (calls, texts) = (reach(&desk, call(), "+12025550143").await, reach(&desk, text(), "+12025550144").await);
    only(&calls, &["answered"]);
    only(&texts, &["delivered", "sent"]);
    assert_eq!((vendor.calls().len(), vendor.messages().len()), (0, 1), "calls went to the agents");
    assert!(agents.told().iter().all(|status| (200..300).contains(status)), "{:?}", agents.told());
    assert_eq!(vendor.complaints(), Vec::<String>::new());
}
