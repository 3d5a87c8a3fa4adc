//! Campaigns of a company: listed, summed up, those that are active.

use super::campaigns::all;
use super::error::{Reply, Voice, bad};
use super::fields;
use super::present::{self, Figures, rate};
use super::reports::{DAY, history};
use super::schema::{VoiceActive, VoiceCompanyStats, VoicePage};
use crate::api::owned::cents;
use crate::api::request::{Caller, Params};
use crate::state::AppState;
use axum::extract::{Path, State};
use campaign_core::wire::Object;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The company of the path.
pub(super) fn number(id: &str) -> Result<i64, crate::error::Fault> {
    id.parse().map_err(|_| bad("companyId must be a whole number"))
}

/// The voice campaigns of a company, page by page.
#[utoipa::path(get, path = "/api/voice-campaigns/company/{companyId}", operation_id = "list_company_voice_campaigns", tag = "voice campaigns",
    params(
        ("companyId" = i64, Path, description = "The company"),
        ("status" = Option<String>, Query, description = "Only with this status"),
        ("priority" = Option<String>, Query, description = "Only with this priority"),
        ("start_date" = Option<String>, Query, description = "Created at this moment or later"),
        ("end_date" = Option<String>, Query, description = "Created at this moment or earlier; a plain date is the whole day"),
        ("is_active" = Option<bool>, Query, description = "Only active ones, or all others"),
        ("search" = Option<String>, Query, description = "Whose name or description contains this"),
        ("sort" = Option<String>, Query, description = "`created_at`, `name`, `status` or `priority`"),
        ("order" = Option<String>, Query, description = "`asc` or `desc`"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "50 if not said"),
        ("offset" = Option<i64>, Query, minimum = 0, description = "How many to leave out"),
    ),
    responses((status = 200, description = "A page of campaigns", body = VoicePage)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    Caller(principal, _): Caller<Voice>,
    Path(company): Path<String>,
    params: Params,
) -> Reply {
    let company = number(&company)?;
    let limit = params.integer("limit", 1, 1000)?.unwrap_or(50);
    let offset = params.integer("offset", 0, i64::MAX)?.unwrap_or(0);
    let sort = params.one_of("sort", &["created_at", "name", "status", "priority"])?.unwrap_or("created_at");
    let descending = params.one_of("order", &["asc", "desc", "ASC", "DESC"])?.is_none_or(|order| order.eq_ignore_ascii_case("desc"));
    let active = params.one_of("is_active", &["true", "false"])?.map(|text| text == "true");
    let from = params.text("start_date").map(|text| fields::moment(text, "UTC", "start_date")).transpose()?;
    let to = params.text("end_date").map(|text| fields::end_of(text, "UTC", "end_date")).transpose()?;
    let search = params.text("search").map(str::to_lowercase);
    let mut found: Vec<Object> = all(&state, &principal, Some(company))
        .await?
        .iter()
        .filter(|(record, _)| from.is_none_or(|from| record.created_at >= from) && to.is_none_or(|to| record.created_at <= to))
        .map(|(record, progress)| present::campaign(record, progress))
        .filter(|campaign| {
            let is = |name: &str| params.text(name).is_none_or(|text| campaign[name] == text);
            let has = |name: &str, text: &str| campaign[name].as_str().is_some_and(|value| value.to_lowercase().contains(text));
            is("status")
                && is("priority")
                && active.is_none_or(|active| (campaign["status"] == "active") == active)
                && search.as_deref().is_none_or(|text| has("name", text) || has("description", text))
        })
        .collect();
    // They come newest first, and the order of equal ones stays.
    match sort {
        "created_at" if descending => {}
        "created_at" => found.reverse(),
        _ => found.sort_by(|a, b| order(sort, a, b, descending)),
    }
    let page: Vec<Value> = found
        .iter()
        .skip(usize::try_from(offset).unwrap_or(usize::MAX))
        .take(usize::try_from(limit).unwrap_or(50))
        .cloned()
        .map(Value::Object)
        .collect();
    Ok(axum::Json(json!({ "total": found.len(), "offset": offset, "limit": limit, "data": page })))
}

fn order(sort: &str, a: &Object, b: &Object, descending: bool) -> Ordering {
    let rank = |campaign: &Object| match campaign["priority"].as_str() {
        Some("low") => 0,
        Some("high") => 2,
        _ => 1,
    };
    let ascending = match sort {
        "priority" => rank(a).cmp(&rank(b)),
        name => a[name].as_str().map(str::to_lowercase).cmp(&b[name].as_str().map(str::to_lowercase)),
    };
    if descending { ascending.reverse() } else { ascending }
}

/// What all voice campaigns of a company have come to.
#[utoipa::path(get, path = "/api/voice-campaigns/company/{companyId}/stats", operation_id = "get_company_voice_stats", tag = "voice campaigns",
    params(("companyId" = i64, Path, description = "The company")),
    responses((status = 200, description = "The figures", body = VoiceCompanyStats)))]
pub(crate) async fn stats(State(state): State<AppState>, Caller(principal, _): Caller<Voice>, Path(company): Path<String>) -> Reply {
    let found = all(&state, &principal, Some(number(&company)?)).await?;
    let (mut leads, mut calls, mut successful, mut failed, mut seconds) = (0, 0, 0, 0, 0);
    let (mut cost, mut budget) = (0.0, None);
    let mut statuses: BTreeMap<&str, u64> = BTreeMap::new();
    let mut priorities = BTreeMap::from([("high", 0), ("medium", 0), ("low", 0)]);
    let mut hours: BTreeMap<String, u64> = BTreeMap::new();
    let mut days: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (record, progress) in &found {
        let figures = Figures::of(progress);
        leads += figures.total;
        calls += figures.completed;
        successful += figures.successful;
        failed += figures.failed;
        seconds += progress.total_duration_seconds;
        cost += figures.cost(record);
        if let Some(own) = record.spec.budget {
            budget = Some(budget.unwrap_or(0.0) + own.units());
        }
        *statuses.entry(super::status::shown(record)).or_default() += 1;
        *priorities.entry(present::priority(record)).or_default() += 1;
        let zone = TimeZone::get(&record.spec.time_zone).unwrap_or(TimeZone::UTC);
        for part in history(&state, record, 3600).await? {
            let local = part.start.to_zoned(zone.clone());
            *hours.entry(local.strftime("%H:00").to_string()).or_default() += part.calls;
            let day = days.entry(local.date().to_string()).or_default();
            day.0 += part.calls;
            day.1 += part.successful;
        }
    }
    let of = |status: &str| statuses.get(status).copied().unwrap_or(0);
    let daily: Vec<Value> = days
        .iter()
        .map(|(date, (calls, successful))| {
            json!({ "date": date, "total_calls": calls, "successful_calls": successful, "failed_calls": calls - successful,
                    "success_rate": rate(*successful, *calls) })
        })
        .collect();
    Ok(axum::Json(json!({
        "total_campaigns": found.len(),
        "active_campaigns": of("active"),
        "completed_campaigns": of("completed"),
        "paused_campaigns": of("paused"),
        "total_leads": leads,
        "total_calls": calls,
        "successful_calls": successful,
        "failed_calls": failed,
        "average_success_rate": rate(successful, calls),
        "total_call_duration": seconds,
        "average_call_duration": if successful == 0 { 0.0 } else { cents(seconds as f64 / successful as f64) },
        "total_cost": cents(cost),
        "remaining_budget": budget.map(|budget| cents(budget - cost)),
        "campaigns_by_priority": priorities,
        "calls_by_hour": hours,
        "daily_stats": daily,
    })))
}

/// The active voice campaigns of a company.
#[utoipa::path(get, path = "/api/voice-campaigns/company/{companyId}/active", operation_id = "list_company_active_voice_campaigns",
    tag = "voice campaigns", params(("companyId" = i64, Path, description = "The company")),
    responses((status = 200, description = "The active ones", body = VoiceActive)))]
pub(crate) async fn active(State(state): State<AppState>, Caller(principal, _): Caller<Voice>, Path(company): Path<String>) -> Reply {
    let mut data: Vec<Value> = Vec::new();
    for (record, progress) in all(&state, &principal, Some(number(&company)?)).await? {
        if super::status::shown(&record) != "active" {
            continue;
        }
        let zone = TimeZone::get(&record.spec.time_zone).unwrap_or(TimeZone::UTC);
        let today = state.now().to_zoned(zone.clone()).date();
        let since = state.now().saturating_sub(DAY * 2).unwrap_or(jiff::Timestamp::MIN);
        let parts = super::reports::history_since(&state, &record, 3600, since).await?;
        let calls: u64 = parts.iter().filter(|part| part.start.to_zoned(zone.clone()).date() == today).map(|part| part.calls).sum();
        let figures = Figures::of(&progress);
        data.push(json!({
            "id": record.id,
            "name": record.spec.name,
            "status": "active",
            "priority": record.spec.priority,
            "total_leads": figures.total,
            "completed_calls": figures.completed,
            "success_rate": figures.success_rate(),
            "today_calls": calls,
            "remaining_calls": figures.total - figures.completed,
        }));
    }
    Ok(axum::Json(json!({ "total": data.len(), "data": data })))
}
