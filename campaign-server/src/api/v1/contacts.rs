//! `/api/v1/campaigns/{campaign_id}/contacts`.

use super::campaigns::{Page, Reply, in_query_said};
use super::extract::{Json, Listing, Own, Params};
use super::present;
use super::schema::{Added, ContactList, ContactsInput, Message};
use crate::error::{Fault, FieldFault};
use crate::state::AppState;
use axum::extract::State;
use campaign_core::contact::{Contact, ContactStatus, Owner};
use campaign_core::id::{CampaignId, ContactId};
use campaign_core::import::{ImportOptions, ImportReport};
use campaign_core::outcome::Attempt;
use campaign_core::store::{ContactQuery, Paging};
use campaign_core::wire::{self, Object};
use campaign_core::{Kind, Result};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Contacts shown in the answer to adding them.
const SHOWN: u64 = 1000;
/// Characters shown of a number that was refused.
const LONGEST_NUMBER: usize = 64;

/// Contacts with their last attempts, as the API shows them.
async fn show(state: &AppState, contacts: Vec<Contact>) -> Result<Vec<Value>> {
    let tried = contacts.iter().filter(|contact| contact.state.last_attempt_at.is_some() || contact.state.attempts > 0);
    let tried: Vec<ContactId> = tried.map(|contact| contact.id).collect();
    let attempts = if tried.is_empty() { Vec::new() } else { state.engine().last_executions(tried).await? };
    let last: HashMap<ContactId, &Attempt> = attempts.iter().map(|attempt| (attempt.contact, attempt)).collect();
    Ok(contacts.iter().map(|contact| present::contact(contact, last.get(&contact.id).copied())).collect())
}

/// Contacts of a campaign.
#[utoipa::path(get, path = "/api/v1/campaigns/{campaign_id}/contacts", operation_id = "list_contacts", tag = "contacts",
    params(
        ("campaign_id" = i64, Path, description = "The campaign"),
        ("status" = Option<String>, Query, description = "Only with this status"),
        ("search" = Option<String>, Query, description = "Whose name, email or number contains this"),
        ("page" = Option<i64>, Query, minimum = 1, description = "From 1"),
        ("per_page" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "50 if not said"),
        ("skip" = Option<i64>, Query, minimum = 0, description = "How many to leave out, instead of `page`"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "As `per_page`"),
    ),
    responses((status = 200, description = "A page of contacts", body = ContactList)))]
pub(crate) async fn list(State(state): State<AppState>, own: Own, params: Params) -> Page {
    let window = params.window()?;
    let mut arguments = Object::new();
    for name in ["status", "search"] {
        if let Some(text) = params.text(name) {
            arguments.insert(name.to_owned(), text.into());
        }
    }
    window.arguments(&mut arguments);
    // The documents answer a status that does not exist with 400.
    let query = wire::contact_query(Owner::Campaign(own.id()), arguments).map_err(in_query_said)?;
    let page = state.engine().list_contacts(query).await?;
    let shown = show(&state, page.items).await?;
    Ok(axum::Json(Listing { name: "contacts", items: shown, total: page.total, window }))
}

/// The rows of a body's `contacts`.
///
/// # Errors
/// 422 when one of them is no object.
pub(super) fn rows(contacts: Option<Value>) -> std::result::Result<Vec<Object>, Fault> {
    let rows = match contacts {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(rows)) => rows,
        Some(_) => return Err(wrong(&[], "Input should be a valid list", "list_type")),
    };
    rows.into_iter()
        .enumerate()
        .map(|(index, row)| match row {
            Value::Object(row) => Ok(row),
            _ => Err(wrong(&[index.into()], "Input should be a valid dictionary", "dict_type")),
        })
        .collect()
}

fn wrong(at: &[Value], message: &str, code: &'static str) -> Fault {
    let loc = [&["body".into(), "contacts".into()], at].concat();
    Fault::fields(vec![FieldFault { loc, message: message.to_owned(), code }])
}

pub(super) fn import_options(state: &AppState) -> ImportOptions {
    ImportOptions { default_region: state.options().default_region.clone(), ..ImportOptions::default() }
}

/// Adds rows along the same path as an import.
pub(super) async fn add_rows(state: &AppState, campaign: CampaignId, rows: Vec<Object>) -> std::result::Result<ImportReport, Fault> {
    state.engine().add_contacts(campaign, rows, import_options(state)).await.map_err(|error| match error.kind() {
        Kind::Invalid | Kind::State => Fault::refused(error.to_string()),
        _ => error.into(),
    })
}

/// The numbers of rows as they were given, so that a refused one can be shown to whoever sent it.
pub(super) fn numbers(rows: &[Object]) -> Vec<Option<String>> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.chars().take(LONGEST_NUMBER).collect()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    rows.iter().map(|row| ["phone_number", "phone"].iter().find_map(|key| row.get(*key)).and_then(text)).collect()
}

/// Rows that were rejected, by their position from 0.
pub(super) fn row_errors(report: &ImportReport, numbers: &[Option<String>]) -> Value {
    let errors = report.errors.iter().map(|error| {
        let index = error.line.saturating_sub(1);
        let number = usize::try_from(index).ok().and_then(|index| numbers.get(index));
        json!({ "index": index, "phone_number": number, "field": error.column, "code": error.code, "error": error.reason })
    });
    errors.collect()
}

/// Adds contacts. Numbers that the campaign has already are left as they are.
#[utoipa::path(post, path = "/api/v1/campaigns/{campaign_id}/contacts", operation_id = "add_contacts", tag = "contacts",
    params(("campaign_id" = i64, Path, description = "The campaign")), request_body = ContactsInput,
    responses((status = 200, description = "What became of them", body = Added)))]
pub(crate) async fn add(State(state): State<AppState>, own: Own, Json(mut body): Json) -> Reply {
    let rows = match body.remove("contacts") {
        None if body.contains_key("phone_number") => vec![body],
        None => return Err(wrong(&[], "Field required", "missing").into()),
        given => rows(given)?,
    };
    if rows.is_empty() {
        return Err(wrong(&[], "List should have at least 1 item after validation, not 0", "too_short").into());
    }
    let numbers = numbers(&rows);
    let report = add_rows(&state, own.id(), rows).await?;
    let added = report.imported + report.suppressed;
    let owner = Owner::Campaign(own.id());
    let total =
        state.engine().list_contacts(ContactQuery { paging: Paging { offset: 0, limit: 1 }, ..ContactQuery::of(owner) }).await?.total;
    // Ids grow, so the newest contacts are at the end of the list.
    let wanted = added.min(SHOWN);
    let shown = match wanted {
        0 => Vec::new(),
        wanted => {
            let paging = Paging { offset: total.saturating_sub(wanted), limit: wanted as u32 };
            let newest = state.engine().list_contacts(ContactQuery { paging, count: false, ..ContactQuery::of(owner) }).await?;
            show(&state, newest.items).await?
        }
    };
    Ok(axum::Json(json!({
        "success": true,
        "message": format!("Successfully added {added} contacts"),
        "campaign_id": own.id(),
        "added_count": added,
        "duplicate_count": report.duplicates,
        "invalid_count": report.invalid,
        "suppressed_count": report.suppressed,
        "errors": row_errors(&report, &numbers),
        "errors_truncated": report.errors_truncated,
        "total_contacts": total,
        "contacts": shown,
        "items": shown,
    })))
}

/// Removes a contact that is not being contacted right now.
#[utoipa::path(delete, path = "/api/v1/campaigns/{campaign_id}/contacts/{contact_id}", operation_id = "remove_contact", tag = "contacts",
    params(("campaign_id" = i64, Path, description = "The campaign"), ("contact_id" = i64, Path, description = "The contact")),
    responses((status = 200, description = "It is gone", body = Message)))]
pub(crate) async fn remove(State(state): State<AppState>, own: Own) -> Reply {
    let id = ContactId(own.number("contact_id")?);
    let owner = Owner::Campaign(own.id());
    let gone = || Fault::not_found("Contact");
    let contact = state.engine().get_contact(id).await.map_err(|error| match error.kind() {
        Kind::NotFound => gone(),
        _ => error.into(),
    })?;
    if contact.owner != owner {
        return Err(gone().into());
    }
    let removed = state.engine().remove_contacts(owner, vec![id]).await?;
    if removed == 0 {
        let busy = state.engine().get_contact(id).await.is_ok_and(|contact| contact.state.status == ContactStatus::InProgress);
        return Err(if busy { Fault::refused("Cannot remove a contact that is being contacted") } else { gone() }.into());
    }
    Ok(axum::Json(json!({ "success": true, "message": "Contact removed successfully" })))
}
