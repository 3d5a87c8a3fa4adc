//! Leads from files and lists: at most 1000, all or none.

use super::super::error::{Voice, spoken};
use super::super::schema::{VoiceLeadsImported, VoiceLeadsInput, VoiceUpload};
use super::super::{campaigns, company};
use super::{add, campaign, refuse, show};
use crate::api::files::{self, Form, Unread, Upload};
use crate::api::owned;
use crate::api::request::{Body, Caller};
use crate::auth::Principal;
use crate::error::{Failure, Fault};
use crate::state::AppState;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use campaign_core::contact::{NewContact, Owner};
use campaign_core::phone::PhoneErrorCode;
use campaign_core::store::DuplicatePolicy;
use campaign_core::wire::Object;
use serde_json::{Value, json};

/// Leads in one import.
const MOST: usize = 1000;

/// Imports have their own kind of error: one message for all, and what it was.
fn failed(fault: Fault) -> Response {
    if !matches!(fault.status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY) {
        return Failure::<Voice>::from(fault).into_response();
    }
    let body = json!({ "message": "Error importing leads", "error": spoken(&fault) });
    (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
}

/// Imports leads from a CSV or Excel file.
#[utoipa::path(post, path = "/api/company/voice-leads/company/{companyId}/import", operation_id = "import_voice_leads", tag = "voice leads",
    params(("companyId" = i64, Path, description = "The company")),
    request_body(content = VoiceUpload, content_type = "multipart/form-data"),
    responses((status = 201, description = "The leads", body = VoiceLeadsImported)))]
pub(crate) async fn file(
    State(state): State<AppState>,
    Caller(principal, _): Caller<Voice>,
    Path(company): Path<String>,
    request: Request,
) -> Response {
    let headers = request.headers().clone();
    let path = request.uri().path().to_owned();
    let form = match Form::read(&state, request).await {
        Ok(form) => form,
        Err(Unread::TooLarge) => return failed(refuse("File size exceeds 10MB limit")),
        Err(Unread::Fault(fault)) => return failed(fault),
    };
    let here = (state.clone(), principal.clone());
    let work = move |form: Form| async move {
        let (state, principal) = here;
        Ok(from_form(&state, &principal, &company, form).await.unwrap_or_else(failed))
    };
    files::once::<Voice, _>(&state, &headers, &principal, &path, form, work).await.unwrap_or_else(Failure::into_response)
}

async fn from_form(state: &AppState, principal: &Principal, company: &str, mut form: Form) -> Result<Response, Fault> {
    let file = form.file.take().ok_or_else(|| refuse("No file uploaded"))?;
    if !matches!(file.extension().as_str(), "csv" | "xlsx" | "xls") {
        return Err(refuse("Invalid file type. Only CSV and Excel files are allowed."));
    }
    let campaign = form.fields.remove("campaign_id").map(Value::from);
    let defaults = match form.fields.remove("default_values").filter(|text| !text.trim().is_empty()) {
        None => Object::new(),
        Some(text) => serde_json::from_str(&text).map_err(|_| refuse("default_values must be a JSON object"))?,
    };
    let leads = leads_of(state, file).await?;
    if leads.is_empty() {
        return Err(refuse("No valid leads found in the file"));
    }
    import(state, principal, company, campaign.as_ref(), leads, &defaults).await
}

/// The rows of a file as leads.
async fn leads_of(state: &AppState, file: Upload) -> Result<Vec<Object>, Fault> {
    let (people, report) = files::people(state, file).await.map_err(|error| refuse(error.message()))?;
    if let Some(error) = report.errors.first() {
        let reason = match error.code.as_str() {
            "missing_phone" => "Missing required fields: phone".to_owned(),
            code if PhoneErrorCode::all().any(|known| known.as_str() == code) => {
                format!("Invalid phone number format: line {}", error.line)
            }
            _ => format!("line {}: {}", error.line, error.reason),
        };
        return Err(refuse(&reason));
    }
    Ok(people.into_iter().map(lead).collect())
}

/// A row that was read, under this API's names again.
fn lead(person: NewContact) -> Object {
    let mut out = person.variables;
    out.insert("phone".to_owned(), person.phone.as_str().into());
    for (name, value) in [("email", person.email), ("company_name", person.company)] {
        if let Some(value) = value {
            out.insert(name.to_owned(), value.into());
        }
    }
    if let (Some(name), false) = (person.name, out.contains_key("first_name")) {
        let (first, last) = name.split_once(' ').map_or((name.as_str(), None), |(first, last)| (first, Some(last)));
        out.insert("first_name".to_owned(), first.into());
        if let Some(last) = last {
            out.insert("last_name".to_owned(), last.into());
        }
    }
    let mut zones = person.zones.names();
    if let (Some(zone), None) = (zones.next(), zones.next()) {
        out.insert("timezone".to_owned(), zone.into());
    }
    out
}

/// Imports leads from a JSON list.
#[utoipa::path(post, path = "/api/company/voice-leads/company/{companyId}/import-json", operation_id = "import_voice_leads_json",
    tag = "voice leads", params(("companyId" = i64, Path, description = "The company")), request_body = VoiceLeadsInput,
    responses((status = 201, description = "The leads", body = VoiceLeadsImported)))]
pub(crate) async fn json(
    State(state): State<AppState>,
    Caller(principal, _): Caller<Voice>,
    Path(company): Path<String>,
    Body(body, _): Body<Voice>,
) -> Response {
    from_json(&state, &principal, &company, body).await.unwrap_or_else(failed)
}

async fn from_json(state: &AppState, principal: &Principal, company: &str, mut body: Object) -> Result<Response, Fault> {
    let campaign = body.remove("campaign_id");
    if campaign.as_ref().is_none_or(Value::is_null) {
        return Err(refuse("campaign_id is required"));
    }
    let leads = match body.remove("leads") {
        Some(Value::Array(leads)) if !leads.is_empty() => leads,
        _ => return Err(refuse("leads must be a non-empty array")),
    };
    let defaults = match body.remove("default_values") {
        Some(Value::Object(defaults)) => defaults,
        _ => Object::new(),
    };
    let leads: Option<Vec<Object>> = leads.into_iter().map(|lead| if let Value::Object(lead) = lead { Some(lead) } else { None }).collect();
    let leads = leads.ok_or_else(|| refuse("leads must hold objects"))?;
    import(state, principal, company, campaign.as_ref(), leads, &defaults).await
}

async fn import(
    state: &AppState,
    principal: &Principal,
    company: &str,
    id: Option<&Value>,
    mut leads: Vec<Object>,
    defaults: &Object,
) -> Result<Response, Fault> {
    let company = company::number(company)?;
    let record = campaign(state, principal, id).await?;
    if campaigns::company_of(&record) != Some(company) {
        return Err(refuse("Invalid campaign_id or campaign does not belong to company"));
    }
    if leads.len() > MOST {
        return Err(refuse("Too many leads; at most 1000 can be imported at once"));
    }
    for lead in &mut leads {
        for (name, value) in defaults {
            if lead.get(name).is_none_or(|given| given.is_null() || given == "") {
                lead.insert(name.clone(), value.clone());
            }
        }
    }
    let report = add(state, record.id, &leads, DuplicatePolicy::Skip).await?;
    let added = report.imported + report.suppressed;
    let shown: Vec<Value> =
        owned::newest(state, Owner::Campaign(record.id), added).await?.iter().map(|contact| show(contact, &record)).collect();
    let body = json!({
        "message": "Leads imported successfully",
        "imported_count": added,
        "duplicate_count": report.duplicates,
        "leads": shown,
    });
    Ok((StatusCode::CREATED, axum::Json(body)).into_response())
}
