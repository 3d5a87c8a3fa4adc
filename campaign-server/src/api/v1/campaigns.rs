//! `/api/v1/campaigns` and `/api/v1/campaigns/{campaign_id}`.

use super::check::Check;
use super::error::Fail;
use super::extract::{Caller, Json, Listing, Own, Params};
use super::schema::{CampaignInput, CampaignList, CampaignObject, CampaignPatch, CampaignReply, Message};
use super::{contacts, dialect, present};
use crate::auth::Principal;
use crate::error::Fault;
use crate::state::AppState;
use axum::extract::State;
use axum::http::StatusCode;
use campaign_core::Result;
use campaign_core::campaign::{CampaignRecord, CampaignStatus};
use campaign_core::wire::{self, Object};
use serde_json::{Value, json};

pub(super) type Reply = std::result::Result<axum::Json<Value>, Fail>;
/// A page of something.
pub(super) type Page = std::result::Result<axum::Json<Listing>, Fail>;

/// A campaign as the API shows it.
pub(super) async fn show(state: &AppState, record: &CampaignRecord) -> Result<Object> {
    let progress = state.engine().progress(record.id).await?;
    Ok(present::campaign(record, &progress))
}

/// Campaigns, newest first.
#[utoipa::path(get, path = "/api/v1/campaigns", operation_id = "list_campaigns", tag = "campaigns",
    params(
        ("status" = Option<String>, Query, description = "Only with this status"),
        ("campaign_type" = Option<String>, Query, description = "Only of this kind"),
        ("assistant_id" = Option<i64>, Query, description = "Only with this assistant"),
        ("search" = Option<String>, Query, description = "Whose name or description contains this"),
        ("page" = Option<i64>, Query, minimum = 1, description = "From 1"),
        ("per_page" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "50 if not said"),
        ("skip" = Option<i64>, Query, minimum = 0, description = "How many to leave out, instead of `page`"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "As `per_page`"),
    ),
    responses((status = 200, description = "A page of campaigns", body = CampaignList)))]
pub(crate) async fn list(State(state): State<AppState>, Caller(principal): Caller, params: Params) -> Page {
    let window = params.window()?;
    let mut arguments = Object::new();
    for name in ["status", "campaign_type", "search"] {
        if let Some(text) = params.text(name) {
            arguments.insert(name.to_owned(), text.into());
        }
    }
    if let Some(id) = params.integer("assistant_id", i64::MIN, i64::MAX)? {
        arguments.insert("assistant_id".to_owned(), id.into());
    }
    window.arguments(&mut arguments);
    let mut query = wire::campaign_query(arguments).map_err(in_query)?;
    query.organization = principal.organization;
    let page = state.engine().list_campaigns(query).await?;
    // A campaign that is deleted while the page is made is not on it.
    let counted = state.engine().progress_of(page.items).await?;
    let shown: Vec<Value> = counted.iter().map(|(record, progress)| present::campaign(record, progress).into()).collect();
    Ok(axum::Json(Listing { name: "campaigns", items: shown, total: page.total, window }))
}

/// What the engine finds wrong with a filter is wrong with the query.
pub(super) fn in_query(error: campaign_core::Error) -> Fault {
    let mut fault = Fault::from(error);
    for field in &mut fault.fields {
        field.loc[0] = "query".into();
    }
    fault
}

/// As [`in_query`], where the documents answer with 400 and a sentence: it names the filter.
pub(super) fn in_query_said(error: campaign_core::Error) -> Fault {
    let mut fault = in_query(error).status(StatusCode::BAD_REQUEST);
    if let Some(name) = fault.fields.first().and_then(|field| field.loc.last()).and_then(Value::as_str) {
        fault.message = format!("{name} {}", fault.message);
    }
    fault.fields.clear();
    fault
}

/// What the documents say about the fields of create and update.
fn check(body: &Object, create: bool) -> std::result::Result<(), Fault> {
    let mut check = Check::new(body);
    if create {
        check.required("name").required("campaign_type").required("assistant_id");
        check.text("campaign_type", 1, 64, false).integer("assistant_id", i64::MIN, i64::MAX, false);
    }
    check.text("name", 1, 200, false).text("description", 0, 10_000, true);
    for name in ["welcome_message_template", "agenda_template", "end_call_message_template", "sms_message_template", "from_phone_number"] {
        check.text(name, 0, usize::MAX, true);
    }
    let attempts = |check: &mut Check<'_>| {
        check.integer("max_attempts", 1, 10, true).integer("retry_delay_minutes", 5, 1440, true);
    };
    attempts(&mut check);
    check
        .within("settings", attempts)
        .within("execution_settings", attempts)
        .within("schedule", |schedule| {
            schedule.zone("timezone", true).list("days_of_week", false);
        })
        .integer("phone_number_id", i64::MIN, i64::MAX, true)
        .texts("fallback_values")
        .texts("variable_mappings")
        .list("contacts", false);
    if body.get("available_variables").is_some_and(Value::is_array) {
        check.list("available_variables", true);
    }
    for name in ["settings", "schedule", "execution_settings", "advanced_settings", "metadata", "pending_import"] {
        check.object(name);
    }
    check.finish()
}

/// To whom a new campaign belongs: the caller's organisation, or one that an operator names.
fn organization(principal: &Principal, body: &mut Object) -> std::result::Result<Option<i64>, Fault> {
    let named = match body.remove("organization_id") {
        None | Some(Value::Null) => None,
        Some(value) => {
            Some(value.as_i64().ok_or_else(|| Fault::new(StatusCode::UNPROCESSABLE_ENTITY, "organization_id must be a number"))?)
        }
    };
    match (principal.organization, named) {
        (Some(own), Some(named)) if own != named => Err(Fault::new(StatusCode::FORBIDDEN, "This API key belongs to another organization")),
        (own, named) => Ok(own.or(named)),
    }
}

/// Creates a campaign in status `draft`; `contacts` are added to it.
#[utoipa::path(post, path = "/api/v1/campaigns", operation_id = "create_campaign", tag = "campaigns", request_body = CampaignInput,
    responses((status = 200, description = "The campaign", body = CampaignObject)))]
pub(crate) async fn create(State(state): State<AppState>, Caller(principal): Caller, Json(mut body): Json) -> Reply {
    check(&body, true)?;
    let organization = organization(&principal, &mut body)?;
    let rows = contacts::rows(body.remove("contacts"))?;
    let numbers = contacts::numbers(&rows);
    let record = state.engine().create_campaign(dialect::create(body, organization)?).await?;
    let added = match rows.is_empty() {
        true => None,
        false => Some(contacts::add_rows(&state, record.id, rows).await?),
    };
    let record = state.engine().get_campaign(record.id).await?;
    let mut shown = show(&state, &record).await?;
    if let Some(report) = added {
        shown.insert("contacts_added".to_owned(), report.imported.into());
        shown.insert("contact_errors".to_owned(), contacts::row_errors(&report, &numbers));
    }
    Ok(axum::Json(Value::Object(shown)))
}

/// One campaign.
#[utoipa::path(get, path = "/api/v1/campaigns/{campaign_id}", operation_id = "get_campaign", tag = "campaigns",
    params(("campaign_id" = i64, Path, description = "The campaign")),
    responses((status = 200, description = "The campaign", body = CampaignObject)))]
pub(crate) async fn get(State(state): State<AppState>, own: Own) -> Reply {
    Ok(axum::Json(Value::Object(show(&state, &own.record).await?)))
}

/// Changes a draft or a paused campaign; fields that are left out stay.
#[utoipa::path(put, path = "/api/v1/campaigns/{campaign_id}", operation_id = "update_campaign", tag = "campaigns",
    params(("campaign_id" = i64, Path, description = "The campaign")), request_body = CampaignPatch,
    responses((status = 200, description = "The campaign, and a message", body = CampaignReply)))]
pub(crate) async fn put(state: State<AppState>, own: Own, body: Json) -> Reply {
    update(state, own, body).await
}

/// As PUT: both leave out what is not given.
#[utoipa::path(patch, path = "/api/v1/campaigns/{campaign_id}", operation_id = "patch_campaign", tag = "campaigns",
    params(("campaign_id" = i64, Path, description = "The campaign")), request_body = CampaignPatch,
    responses((status = 200, description = "The campaign, and a message", body = CampaignReply)))]
pub(crate) async fn patch(state: State<AppState>, own: Own, body: Json) -> Reply {
    update(state, own, body).await
}

async fn update(State(state): State<AppState>, own: Own, Json(mut body): Json) -> Reply {
    check(&body, false)?;
    if !matches!(own.record.status, CampaignStatus::Draft | CampaignStatus::Paused) {
        return Err(Fault::refused(format!("Only draft or paused campaigns can be updated; this one is {}", own.record.status)).into());
    }
    let spec = &own.record.spec;
    let fixed = [
        ("campaign_type", json!(spec.campaign_type)),
        ("assistant_id", json!(spec.assistant_id)),
        ("organization_id", json!(spec.organization)),
        ("contacts", json!([])),
    ];
    for (name, now) in fixed {
        // A client that sends the whole object back changes nothing by it.
        if body.remove(name).is_some_and(|given| !given.is_null() && given != now && !(given == 0 && now.is_null())) {
            return Err(Fault::refused(format!("{name} cannot be changed here")).into());
        }
    }
    let record = state.engine().edit_campaign(own.id(), |spec| dialect::update(spec, body.clone())).await?;
    let shown = show(&state, &record).await?;
    Ok(axum::Json(present::with(shown, json!({ "message": "Campaign updated successfully" }))))
}

/// Deletes a campaign with its contacts and executions.
#[utoipa::path(delete, path = "/api/v1/campaigns/{campaign_id}", operation_id = "delete_campaign", tag = "campaigns",
    params(("campaign_id" = i64, Path, description = "The campaign")),
    responses((status = 200, description = "It is gone", body = Message)))]
pub(crate) async fn delete(State(state): State<AppState>, own: Own) -> Reply {
    if own.record.status == CampaignStatus::Running {
        return Err(Fault::refused("Cannot delete a running campaign; stop it first").into());
    }
    state.engine().delete_campaign(own.id()).await?;
    Ok(axum::Json(json!({ "message": "Campaign deleted successfully" })))
}
