//! Excel files of numbers: read out, put on a contact list, taken off it. CSV is taken as well.

use super::list_contacts::{import, result};
use super::lists;
use super::schema::{AgentNumbers, AgentRemoved, AgentUpload, AgentUploaded};
use crate::api::files::{self, Form, Upload};
use crate::api::owned;
use crate::api::request::Caller;
use crate::api::v1::error::FastApi;
use crate::auth::Principal;
use crate::error::{Failure, Fault};
use crate::state::AppState;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use campaign_core::contact::Owner;
use campaign_core::id::ContactId;
use campaign_core::import::ImportSource;
use campaign_core::{Error, Kind};
use serde_json::json;
use std::collections::BTreeSet;

/// How many contacts are removed at a time.
const BATCH: usize = 1000;

/// The file of a form, when its name is one of a spreadsheet.
fn spreadsheet(form: &mut Form, message: &str) -> Result<Upload, Fault> {
    let file = form.file.take().ok_or_else(|| Fault::refused("No file uploaded"))?;
    if matches!(file.extension().as_str(), "xlsx" | "xls" | "csv") { Ok(file) } else { Err(Fault::refused(message)) }
}

/// A file that cannot be read; one without a column of numbers has a sentence of its own.
fn unread(error: Error, no_column: &str) -> Fault {
    match error.kind() {
        Kind::Invalid if error.message().contains("no column is recognised") => Fault::refused(no_column),
        Kind::Invalid | Kind::State => Fault::refused(error.message()),
        _ => error.into(),
    }
}

/// Reads the numbers out of a file; nothing is kept.
#[utoipa::path(post, path = "/api/campaigns/upload", operation_id = "read_agent_numbers", tag = "voice agent",
    request_body(content = AgentUpload, content_type = "multipart/form-data"),
    responses((status = 200, description = "The numbers", body = AgentNumbers)))]
pub(crate) async fn numbers(State(state): State<AppState>, _: Caller<FastApi>, request: Request) -> super::Reply {
    let mut form = Form::read(&state, request).await.map_err(Fault::from)?;
    let file = spreadsheet(&mut form, "File must be an Excel file (.xlsx or .xls)")?;
    let name = file.name.clone();
    let read = files::people(&state, file).await;
    let (people, report) = read.map_err(|error| unread(error, "Excel must have a column containing 'phone' in the header"))?;
    let mut seen = BTreeSet::new();
    let numbers: Vec<&str> = people.iter().map(|person| person.phone.as_str()).filter(|number| seen.insert(*number)).collect();
    Ok(axum::Json(
        json!({ "success": true, "count": numbers.len(), "phone_numbers": numbers, "filename": name, "invalid": report.invalid }),
    ))
}

/// Puts the numbers of a file on a contact list.
#[utoipa::path(post, path = "/api/contact-lists/{id}/upload", operation_id = "upload_contact_list", tag = "voice agent",
    params(("id" = String, Path, description = "The list")), request_body(content = AgentUpload, content_type = "multipart/form-data"),
    responses((status = 200, description = "What became of them", body = AgentUploaded)))]
pub(crate) async fn add(
    State(state): State<AppState>,
    Caller(principal, _): Caller<FastApi>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    carry_out(state, principal, id, request, |state, principal, id, form| async move { put_on(&state, &principal, &id, form).await }).await
}

/// Takes the numbers of a file off a contact list.
#[utoipa::path(post, path = "/api/contact-lists/{id}/delete-upload", operation_id = "delete_upload_contact_list", tag = "voice agent",
    params(("id" = String, Path, description = "The list")), request_body(content = AgentUpload, content_type = "multipart/form-data"),
    responses((status = 200, description = "What became of them", body = AgentRemoved)))]
pub(crate) async fn remove(
    State(state): State<AppState>,
    Caller(principal, _): Caller<FastApi>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    carry_out(state, principal, id, request, |state, principal, id, form| async move { take_off(&state, &principal, &id, form).await })
        .await
}

async fn carry_out<W>(
    state: AppState,
    principal: Principal,
    id: String,
    request: Request,
    work: impl FnOnce(AppState, Principal, String, Form) -> W,
) -> Response
where
    W: Future<Output = Result<Response, Fault>> + Send + 'static,
{
    let headers = request.headers().clone();
    let path = request.uri().path().to_owned();
    let form = match Form::read(&state, request).await {
        Ok(form) => form,
        Err(unread) => return Failure::<FastApi>::from(Fault::from(unread)).into_response(),
    };
    let (here, caller) = (state.clone(), principal.clone());
    let work = |form| work(here, caller, id, form);
    files::once::<FastApi, _>(&state, &headers, &principal, &path, form, work).await.unwrap_or_else(Failure::into_response)
}

async fn put_on(state: &AppState, principal: &Principal, id: &str, mut form: Form) -> Result<Response, Fault> {
    let list = lists::own(state, principal, id).await?;
    let file = spreadsheet(&mut form, "File must be Excel (.xlsx)")?;
    let name = file.name.clone();
    let report = import(state, list.id, ImportSource::from(file.bytes), Some(file.name)).await;
    let report = report.map_err(|error| unread(error, "Excel must have a 'phone' column"))?;
    if report.total == 0 || report.total == report.invalid {
        return Err(Fault::refused("No phone numbers found in file"));
    }
    let added = report.imported + report.suppressed;
    Ok(axum::Json(json!({
        "success": true,
        "filename": name,
        "processed": report.total - report.invalid,
        "raw_extracted": report.total,
        "stats": { "total": report.total, "active": added, "invalid": report.invalid, "duplicate": report.duplicates, "suspicious": 0 },
        "result": result(&report),
        "errors": report.errors.iter().map(|error| json!({ "line": error.line, "code": error.code, "error": error.reason })).collect::<Vec<_>>(),
    }))
    .into_response())
}

async fn take_off(state: &AppState, principal: &Principal, id: &str, mut form: Form) -> Result<Response, Fault> {
    let list = lists::own(state, principal, id).await?;
    let file = spreadsheet(&mut form, "File must be Excel (.xlsx)")?;
    let name = file.name.clone();
    let read = files::people(state, file).await;
    let (people, _) = read.map_err(|error| unread(error, "Excel must have a 'phone' column"))?;
    let numbers: BTreeSet<_> = people.into_iter().map(|person| person.phone).collect();
    if numbers.is_empty() {
        return Err(Fault::refused("No phone numbers found in file"));
    }
    let owner = Owner::List(list.id);
    let contacts = owned::contacts(state, owner).await?;
    let found: Vec<ContactId> =
        contacts.iter().filter(|contact| numbers.contains(&contact.person.phone)).map(|contact| contact.id).collect();
    let mut deleted = 0;
    for ids in found.chunks(BATCH) {
        deleted += state.engine().remove_contacts(owner, ids.to_vec()).await?;
    }
    lists::changed(state, list.id).await?;
    Ok(axum::Json(json!({
        "success": true,
        "filename": name,
        "phones_in_file": numbers.len(),
        "deleted": deleted,
        "not_found": (numbers.len() as u64).saturating_sub(deleted),
    }))
    .into_response())
}
