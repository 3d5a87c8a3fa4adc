//! Progress and executions.

use super::campaigns::{Page, Reply, in_query_said};
use super::extract::{Listing, Own, Params};
use super::present;
use super::schema::{ExecutionList, ProgressObject};
use crate::state::AppState;
use axum::extract::State;
use campaign_core::Result;
use campaign_core::campaign::CampaignRecord;
use campaign_core::contact::{Contact, Variables};
use campaign_core::id::CampaignId;
use campaign_core::outcome::Attempt;
use campaign_core::store::{AttemptQuery, Paging};
use campaign_core::template::TemplateSet;
use campaign_core::wire::{self, Object};
use futures_util::{StreamExt, stream};
use serde_json::Value;

/// Lines of `recent_activity`.
const RECENT: u32 = 10;
/// How many contacts of a page are looked up at once.
const AT_ONCE: usize = 8;

/// Attempts with their contacts; a contact may have been removed meanwhile.
async fn with_contacts(state: &AppState, attempts: Vec<Attempt>) -> Vec<(Attempt, Option<Contact>)> {
    stream::iter(attempts)
        .map(|attempt| async move {
            let contact = state.engine().get_contact(attempt.contact).await.ok();
            (attempt, contact)
        })
        .buffered(AT_ONCE)
        .collect()
        .await
}

/// The newest executions in short.
pub(super) async fn recent(state: &AppState, campaign: CampaignId) -> Result<Vec<Value>> {
    let query =
        AttemptQuery { campaign: Some(campaign), paging: Paging { offset: 0, limit: RECENT }, count: false, ..AttemptQuery::default() };
    let attempts = state.engine().executions(query).await?.items;
    Ok(with_contacts(state, attempts).await.iter().map(|(attempt, contact)| present::activity(attempt, contact.as_ref())).collect())
}

/// How a campaign stands.
#[utoipa::path(get, path = "/api/v1/campaigns/{campaign_id}/progress", operation_id = "get_progress", tag = "monitoring",
    params(("campaign_id" = i64, Path, description = "The campaign")),
    responses((status = 200, description = "Counters, metrics and the newest executions", body = ProgressObject)))]
pub(crate) async fn progress(State(state): State<AppState>, own: Own) -> Reply {
    let progress = state.engine().progress(own.id()).await?;
    let mut shown = present::progress(&own.record, &progress, state.now());
    shown.insert("recent_activity".to_owned(), recent(&state, own.id()).await?.into());
    Ok(axum::Json(Value::Object(shown)))
}

/// Every attempt to reach a contact, newest first.
#[utoipa::path(get, path = "/api/v1/campaigns/{campaign_id}/executions", operation_id = "list_executions", tag = "monitoring",
    params(
        ("campaign_id" = i64, Path, description = "The campaign"),
        ("status" = Option<String>, Query, description = "Only those that came to this"),
        ("contact_id" = Option<i64>, Query, description = "Only of this contact"),
        ("page" = Option<i64>, Query, minimum = 1, description = "From 1"),
        ("per_page" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "50 if not said"),
        ("skip" = Option<i64>, Query, minimum = 0, description = "How many to leave out, instead of `page`"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "As `per_page`"),
    ),
    responses((status = 200, description = "A page of executions", body = ExecutionList)))]
pub(crate) async fn executions(State(state): State<AppState>, own: Own, params: Params) -> Page {
    let window = params.window()?;
    let mut arguments = Object::new();
    if let Some(status) = params.text("status") {
        arguments.insert("status".to_owned(), status.into());
    }
    if let Some(contact) = params.integer("contact_id", 1, i64::MAX)? {
        arguments.insert("contact_id".to_owned(), contact.into());
    }
    arguments.insert("campaign_id".to_owned(), own.id().0.into());
    window.arguments(&mut arguments);
    let query = wire::execution_query(arguments).map_err(in_query_said)?;
    let page = state.engine().executions(query).await?;
    let templates = TemplateSet::compile(&own.record.spec).ok();
    let shown: Vec<Value> = with_contacts(&state, page.items)
        .await
        .iter()
        .map(|(attempt, contact)| {
            let texts = texts(&own.record, templates.as_ref(), attempt, contact.as_ref());
            present::execution(attempt, contact.as_ref(), &texts)
        })
        .collect();
    Ok(axum::Json(Listing { name: "executions", items: shown, total: page.total, window }))
}

/// What was said: the campaign's templates with the contact's values, when the spec is still that of the attempt. Afterwards nobody
/// knows the old texts, and a wrong one would be worse than none.
fn texts(record: &CampaignRecord, templates: Option<&TemplateSet>, attempt: &Attempt, contact: Option<&Contact>) -> Object {
    let (Some(templates), Some(contact)) = (templates, contact) else { return Object::new() };
    if attempt.spec_version != record.spec_version {
        return Object::new();
    }
    let extra = Variables::new();
    let names: Vec<String> = templates.names().map(str::to_owned).collect();
    names.into_iter().filter_map(|name| Some((name.clone(), templates.render(&name, &contact.person, &extra).ok()?.into()))).collect()
}
