//! `/api/v1/dnc`: the do-not-contact list of the caller's organisation.

use super::campaigns::{Reply, in_query};
use super::check::Check;
use super::extract::{Caller, Json, Params};
use super::present;
use super::schema::{DncAdded, DncInput, DncList, DncNumber, DncRemoved};
use crate::auth::Principal;
use crate::error::{Fault, FieldFault};
use crate::state::AppState;
use axum::extract::State;
use campaign_core::id::CampaignId;
use campaign_core::wire::{self, Object};
use serde_json::{Value, json};

/// What names a number: the list of the organisation, and the country that national numbers are of.
fn named(state: &AppState, principal: &Principal, number: &Value) -> Object {
    let mut arguments = Object::new();
    arguments.insert("phone_number".to_owned(), number.clone());
    if let Some(region) = &state.options().default_region {
        arguments.insert("default_region".to_owned(), region.as_str().into());
    }
    if let Some(organization) = principal.organization {
        arguments.insert("organization_id".to_owned(), organization.into());
    }
    arguments
}

/// As [`named`], within one campaign when one is given: one that the caller may see.
async fn covered(state: &AppState, principal: &Principal, number: &Value, campaign: Option<i64>) -> Result<Object, Fault> {
    let mut arguments = named(state, principal, number);
    if let Some(id) = campaign {
        let id = principal.own_campaign(state, CampaignId(id)).await?.id;
        arguments.remove("organization_id");
        arguments.insert("campaign_id".to_owned(), json!(id));
    }
    Ok(arguments)
}

fn missing() -> Fault {
    let loc = vec!["body".into(), "phone_number".into()];
    Fault::fields(vec![FieldFault { loc, message: "Field required".to_owned(), code: "missing" }])
}

/// Numbers that must not be contacted, by number.
#[utoipa::path(get, path = "/api/v1/dnc", operation_id = "list_dnc", tag = "do not contact",
    params(
        ("phone_number" = Option<String>, Query, description = "Only this number"),
        ("campaign_id" = Option<i64>, Query, minimum = 1, description = "Entries of this campaign instead of those of the organization"),
        ("page" = Option<i64>, Query, minimum = 1, description = "From 1"),
        ("per_page" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "50 if not said"),
        ("skip" = Option<i64>, Query, minimum = 0, description = "How many to leave out, instead of `page`"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "As `per_page`"),
    ),
    responses((status = 200, description = "A page of numbers", body = DncList)))]
pub(crate) async fn list(State(state): State<AppState>, Caller(principal): Caller, params: Params) -> Reply {
    let window = params.window()?;
    let campaign = params.integer("campaign_id", 1, i64::MAX)?;
    let mut arguments = covered(&state, &principal, &params.text("phone_number").into(), campaign).await?;
    window.arguments(&mut arguments);
    let query = wire::suppression_query(arguments).map_err(in_query)?;
    let page = state.engine().suppressions(query).await?;
    let shown: Vec<Value> = page.items.iter().map(|entry| Value::Object(present::suppression(entry))).collect();
    Ok(axum::Json(json!({
        "items": shown,
        "total": page.total,
        "skip": window.offset,
        "limit": window.limit,
        "pagination": window.pagination(page.total),
    })))
}

/// Puts a number on the list. From now on nobody rings it or writes to it; contacts that wait with it are skipped.
#[utoipa::path(post, path = "/api/v1/dnc", operation_id = "add_dnc", tag = "do not contact", request_body = DncInput,
    responses((status = 200, description = "The entry", body = DncAdded)))]
pub(crate) async fn add(State(state): State<AppState>, Caller(principal): Caller, Json(body): Json) -> Reply {
    let mut check = Check::new(&body);
    check.required("phone_number").text("phone_number", 1, 64, false).text("reason", 0, 500, true).integer(
        "campaign_id",
        1,
        i64::MAX,
        true,
    );
    check.finish()?;
    let campaign = body.get("campaign_id").and_then(Value::as_i64);
    let mut arguments = covered(&state, &principal, body.get("phone_number").unwrap_or(&Value::Null), campaign).await?;
    for name in ["reason", "expires_at"] {
        if let Some(value) = body.get(name) {
            arguments.insert(name.to_owned(), value.clone());
        }
    }
    arguments.insert("source".to_owned(), "api".into());
    let entry = wire::suppression(arguments, state.now())?;
    let shown = present::suppression(&entry);
    state.engine().suppress(vec![entry]).await?;
    let mut reply = json!({ "success": true, "message": "The number is on the do-not-contact list" });
    if let Some(reply) = reply.as_object_mut() {
        reply.extend(shown);
    }
    Ok(axum::Json(reply))
}

/// Takes a number off the list: `phone_number` in the body, or in the query. Contacts that were skipped stay so.
#[utoipa::path(delete, path = "/api/v1/dnc", operation_id = "remove_dnc", tag = "do not contact",
    params(("phone_number" = Option<String>, Query, description = "The number, when there is no body"),
           ("campaign_id" = Option<i64>, Query, minimum = 1, description = "The entry of this campaign instead of that of the organization")),
    request_body = Option<DncNumber>,
    responses((status = 200, description = "It is off the list", body = DncRemoved)))]
pub(crate) async fn remove(State(state): State<AppState>, Caller(principal): Caller, params: Params, body: Option<Json>) -> Reply {
    let body = body.map(|Json(body)| body).unwrap_or_default();
    let mut check = Check::new(&body);
    check.integer("campaign_id", 1, i64::MAX, true);
    check.finish()?;
    let given = body.get("phone_number").cloned().or_else(|| params.text("phone_number").map(Value::from));
    let number = given.filter(|value| !value.is_null()).ok_or_else(missing)?;
    let campaign = body.get("campaign_id").and_then(Value::as_i64).or(params.integer("campaign_id", 1, i64::MAX)?);
    let key = wire::suppression_key(covered(&state, &principal, &number, campaign).await?)?;
    let removed = state.engine().unsuppress(vec![key]).await?;
    if removed == 0 {
        return Err(Fault::not_found("Number").into());
    }
    Ok(axum::Json(json!({ "success": true, "message": "The number is off the do-not-contact list", "removed_count": removed })))
}
