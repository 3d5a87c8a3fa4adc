//! Who is on a contact list.

use super::schema::{AgentContacts, AgentContactsInput, AgentListResult, AgentMessage};
use super::{Reply, ids, lists, spec};
use crate::api::request::{Body, Caller, Params, wrong};
use crate::api::v1::error::FastApi;
use crate::error::Fault;
use crate::state::AppState;
use axum::extract::{Path, State};
use campaign_core::contact::{Contact, Owner};
use campaign_core::id::{ContactId, ListId};
use campaign_core::import::{ImportOptions, ImportReport, ImportSource};
use campaign_core::store::{ContactQuery, Paging};
use campaign_core::wire::Object;
use serde_json::{Value, json};

fn show(contact: &Contact, list: ListId) -> Value {
    let number = contact.person.phone.as_str();
    let id = ids::write(contact.id.0);
    json!({
        "_id": id,
        "id": id,
        "list_id": ids::write(list.0),
        "phone_number": number,
        "normalized_phone": number,
        "name": contact.person.name,
        "metadata": contact.person.variables,
        // Numbers that are none are not kept at all.
        "status": "active",
        "created_at": crate::api::owned::moment(contact.created_at),
    })
}

/// Contacts of a list.
#[utoipa::path(get, path = "/api/contact-lists/{id}/contacts", operation_id = "list_contact_list_contacts", tag = "voice agent",
    params(
        ("id" = String, Path, description = "The list"),
        ("status" = Option<String>, Query, description = "`active` or `invalid`"),
        ("search" = Option<String>, Query, description = "Whose name or number contains this"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "100 if not said"),
        ("offset" = Option<i64>, Query, minimum = 0, description = "How many to leave out"),
    ),
    responses((status = 200, description = "A page of contacts", body = AgentContacts)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    Caller(principal, _): Caller<FastApi>,
    Path(id): Path<String>,
    params: Params,
) -> Reply {
    let list = lists::own(&state, &principal, &id).await?;
    let limit = params.integer("limit", 1, 1000)?.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(100);
    let offset = params.integer("offset", 0, i64::MAX)?.unwrap_or(0).unsigned_abs();
    if params.one_of("status", &["active", "invalid"])? == Some("invalid") {
        return Ok(axum::Json(json!({ "success": true, "contacts": [], "total": 0 })));
    }
    let search = params.text("search").map(str::to_owned);
    let query = ContactQuery { search, paging: Paging { offset, limit }, ..ContactQuery::of(Owner::List(list.id)) };
    let page = state.engine().list_contacts(query).await?;
    let shown: Vec<Value> = page.items.iter().map(|contact| show(contact, list.id)).collect();
    Ok(axum::Json(json!({ "success": true, "contacts": shown, "total": page.total })))
}

/// Imports into a list along the same path as every import.
pub(super) async fn import(
    state: &AppState,
    list: ListId,
    source: ImportSource,
    file_name: Option<String>,
) -> campaign_core::Result<ImportReport> {
    let options = ImportOptions { default_region: state.options().default_region.clone(), file_name, ..ImportOptions::default() };
    let report = state.engine().import_with_progress(Owner::List(list), source, options, |_| {}).await?;
    lists::changed(state, list).await?;
    Ok(report)
}

/// What became of contacts that were to be added.
pub(super) fn result(report: &ImportReport) -> Value {
    json!({ "added": report.imported + report.suppressed, "duplicates": report.duplicates, "invalid": report.invalid })
}

fn row(contact: &Object) -> Option<Object> {
    let number = contact.get("phone_number").or_else(|| contact.get("original")).or_else(|| contact.get("phone"))?;
    let number = number.as_str().map(|text| Value::from(spec::bare(text))).or_else(|| number.is_number().then(|| number.clone()))?;
    let mut row = Object::from_iter([("phone_number".to_owned(), number)]);
    for (name, field) in [("name", "name"), ("metadata", "variables")] {
        if let Some(value) = contact.get(name).filter(|value| !value.is_null()) {
            row.insert(field.to_owned(), value.clone());
        }
    }
    Some(row)
}

/// Adds one contact, or several as `contacts`.
#[utoipa::path(post, path = "/api/contact-lists/{id}/contacts", operation_id = "add_contact_list_contacts", tag = "voice agent",
    params(("id" = String, Path, description = "The list")), request_body = AgentContactsInput,
    responses((status = 200, description = "What became of them", body = AgentListResult)))]
pub(crate) async fn add(
    State(state): State<AppState>,
    Caller(principal, _): Caller<FastApi>,
    Path(id): Path<String>,
    Body(body, _): Body<FastApi>,
) -> Reply {
    let list = lists::own(&state, &principal, &id).await?;
    let rows: Option<Vec<Object>> = match body.get("contacts") {
        Some(Value::Array(contacts)) => contacts.iter().map(|contact| contact.as_object().and_then(row)).collect(),
        Some(Value::Null) | None => row(&body).map(|row| vec![row]),
        Some(_) => None,
    };
    let rows = rows.filter(|rows| !rows.is_empty());
    let rows = rows.ok_or_else(|| wrong("body", "phone_number", "is required, or contacts, each with a number"))?;
    let report = import(&state, list.id, ImportSource::Rows(rows), None).await?;
    Ok(axum::Json(json!({ "success": true, "result": result(&report) })))
}

/// Takes a contact off a list.
#[utoipa::path(delete, path = "/api/contact-lists/{id}/contacts/{contactId}", operation_id = "remove_contact_list_contact",
    tag = "voice agent", params(("id" = String, Path, description = "The list"), ("contactId" = String, Path, description = "The contact")),
    responses((status = 200, description = "It is gone", body = AgentMessage)))]
pub(crate) async fn remove(
    State(state): State<AppState>,
    Caller(principal, _): Caller<FastApi>,
    Path((id, contact)): Path<(String, String)>,
) -> Reply {
    let list = lists::own(&state, &principal, &id).await?;
    let missing = || Fault::not_found("Contact");
    let contact = ContactId(ids::read(&contact).ok_or_else(missing)?);
    if state.engine().remove_contacts(Owner::List(list.id), vec![contact]).await? == 0 {
        return Err(missing().into());
    }
    lists::changed(&state, list.id).await?;
    Ok(axum::Json(json!({ "success": true, "message": "Contact deleted" })))
}
