//! The documentation under `docs/`: every example is executed against a running server, and every field is one the server has.
//!
//! `pages/mod.rs` says how pages are written. `UPDATE_DOCS=1` writes the answers that differ into the pages, to be looked at.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod pages;
mod support;

use campaign_core::dialer::SimulatedDialer;
use futures_util::FutureExt;
use pages::fields::Document;
use pages::page::Page;
use pages::{run, site};
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use support::{Server, open};

macro_rules! pages {
    ($($name:ident: $page:literal),* $(,)?) => {
        $(#[tokio::test] async fn $name() { run::run(Page::read($page)).await })*
        #[test]
        fn every_page_is_run() {
            let run = BTreeSet::from([$($page.to_owned()),*]);
            assert_eq!(run, Page::all().into_iter().map(|page| page.name).collect());
        }
    };
}

pages! {
    campaigns: "campaigns",
    introduction: "api-reference/introduction",
    list: "api-reference/campaigns/list",
    create: "api-reference/campaigns/create",
    get: "api-reference/campaigns/get",
    update: "api-reference/campaigns/update",
    delete: "api-reference/campaigns/delete",
    start: "api-reference/campaigns/start",
    pause: "api-reference/campaigns/pause",
    resume: "api-reference/campaigns/resume",
    cancel: "api-reference/campaigns/cancel",
    schedule: "api-reference/campaigns/schedule",
    re_execute: "api-reference/campaigns/re-execute",
    contacts: "api-reference/campaigns/contacts",
    imports: "api-reference/campaigns/imports",
    progress: "api-reference/campaigns/progress",
    executions: "api-reference/campaigns/executions",
    template_preview: "api-reference/campaigns/template-preview",
    do_not_contact: "api-reference/campaigns/do-not-contact",
    campaign_progress: "api-reference/websockets/campaign-progress",
    voice_campaigns_overview: "api-reference/voice-campaigns/overview",
    voice_campaigns_campaigns: "api-reference/voice-campaigns/campaigns",
    voice_campaigns_lifecycle: "api-reference/voice-campaigns/lifecycle",
    voice_campaigns_reports: "api-reference/voice-campaigns/reports",
    voice_campaigns_leads: "api-reference/voice-campaigns/leads",
    batch_calling_overview: "api-reference/batch-calling/overview",
    batch_calling_service: "api-reference/batch-calling/service",
    batch_calling_call_manager: "api-reference/batch-calling/call-manager",
    voice_agent_overview: "api-reference/voice-agent/overview",
    voice_agent_campaigns: "api-reference/voice-agent/campaigns",
    voice_agent_contact_lists: "api-reference/voice-agent/contact-lists",
    voice_agent_messages_and_calls: "api-reference/voice-agent/messages-and-calls",
    single_calls_and_messages: "api-reference/single/calls-and-messages",
    voice_agent_ai_chat: "api-reference/voice-agent/ai-chat",
    webhooks_overview: "api-reference/webhooks/overview",
    webhooks_endpoints: "api-reference/webhooks/endpoints",
}

#[test]
fn the_navigation_lists_every_page() {
    site::check_settings();
}

#[test]
fn pages_have_titles_and_links_lead_somewhere() {
    site::check_pages();
}

#[tokio::test]
async fn every_operation_is_described_once() {
    let server = Server::with("sqlite", SimulatedDialer::instant(), open).await;
    let document = Document(server.send("GET", "/openapi.json", &[], "").await.json());
    let mut described = BTreeSet::new();
    for page in Page::all() {
        for operation in page.endpoints.iter().flat_map(|endpoints| endpoints.operations.clone()) {
            assert!(described.insert(operation.clone()), "{}: {operation:?} is described on another page, too", page.name);
        }
    }
    assert_eq!(described, document.operations());
}

/// A page with one example that works, and something after it.
fn with(more: &str) -> Page {
    let curl = "curl http://127.0.0.1:8080/api/v1/campaigns/9 -H \"Authorization: Bearer $CAMPAIGN_API_KEY\"";
    let works = format!("```bash One\n{curl}\n```\n\n```json 404 One\n{{ \"detail\": \"Campaign not found\" }}\n```");
    Page::parse("a-page-of-the-test", &format!("---\ntitle: \"A page\"\n---\n\n{works}\n\n{more}\n"))
}

#[tokio::test]
async fn nothing_is_skipped_in_silence() {
    run::run(with("Text with `code` may stand anywhere.")).await;
    for wrong in [
        "```sh Two\ncurl http://127.0.0.1:8080/health\n```",
        "```bash Two\ncurl http://127.0.0.1:8080/health\n```",
        "```bash Two\nrm -r /\n```\n\n```json 200 Two\n{}\n```",
        "```bash\ncurl http://127.0.0.1:8080/health\n```",
        "```bash Two\ncurl http://127.0.0.1:8080/health\n```\n\n```json 200 Two\n{ \"status\": \"otherwise\" }\n```",
        "```json 200 Nobody asked\n{}\n```",
        "```json Anything\n{}\n```",
        "```json Part of a campaign\n{ \"max_attempts\": 99 }\n```",
        "```json Event: pong\n{ \"type\": \"other\" }\n```",
        "```csv unused.csv\na,b\n```",
        "```text Output\nhello\n```",
        "```python Python\nprint(\"hello\")\n```",
        "  ```bash Two\n  curl http://127.0.0.1:8080/health\n  ```",
        "~~~bash\ncurl http://127.0.0.1:8080/health\n~~~",
        "    curl http://127.0.0.1:8080/health",
        "<Tabs>\n\n</Tabs>",
        "{/* fixture: draft */}",
        "`GET /api/v1/nothing`",
    ] {
        // What it says is not needed: that it fails is.
        let read = std::panic::catch_unwind(|| with(wrong));
        let Ok(page) = read else { continue };
        assert!(AssertUnwindSafe(run::run(page)).catch_unwind().await.is_err(), "nobody minds this:\n{wrong}");
    }
}
