//! The documentation under `docs/`: every example is executed against a running server, and every field is one the server has.
//!
//! `pages/mod.rs` says how pages are written. `UPDATE_DOCS=1` writes the answers that differ into the pages, to be looked at.

mod pages;
mod support;

use campaign_core::dialer::SimulatedDialer;
use pages::fields::Document;
use pages::page::Page;
use pages::{run, site};
use std::collections::BTreeSet;
use support::{Server, open};

macro_rules! pages {
    ($($name:ident: $page:literal),* $(,)?) => {
        $(#[tokio::test] async fn $name() { run::run($page).await })*
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
