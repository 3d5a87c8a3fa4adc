//! Leads of a campaign and of a company, and what a campaign's leads have come to.

use super::super::error::{Reply, Voice, bad};
use super::super::schema::{VoiceLead, VoiceLeadStats};
use super::super::{campaigns, company};
use super::{STATUSES, score_of, show, shown_status};
use crate::api::owned::{self, cents};
use crate::api::request::{Caller, Params};
use crate::error::Fault;
use crate::state::AppState;
use axum::extract::{Path, State};
use campaign_core::campaign::CampaignRecord;
use campaign_core::contact::{Contact, Owner};
use serde_json::{Value, json};

/// The leads of a campaign that the query asks for.
async fn wanted(state: &AppState, record: &CampaignRecord, params: &Params, most: usize) -> Result<Vec<Value>, Fault> {
    if let Some(status) = params.text("status")
        && !STATUSES.contains(&status)
    {
        return Err(bad("Invalid status value"));
    }
    let equal = |contact: &Contact, name: &str| {
        let Some(wanted) = params.text(name) else { return true };
        contact.person.variables.get(name).is_some_and(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned) == wanted)
    };
    Ok(owned::contacts(state, Owner::Campaign(record.id))
        .await?
        .iter()
        .filter(|contact| params.text("status").is_none_or(|status| shown_status(contact) == status))
        .filter(|contact| equal(contact, "priority") && equal(contact, "assigned_to"))
        .take(most)
        .map(|contact| show(contact, record))
        .collect())
}

/// Leads in one answer, at most.
const MOST: usize = 10_000;

/// The leads of a campaign, at most 10,000.
#[utoipa::path(get, path = "/api/voice-leads/campaign/{campaignId}", operation_id = "list_campaign_voice_leads", tag = "voice leads",
    params(
        ("campaignId" = i64, Path, description = "The campaign"),
        ("status" = Option<String>, Query, description = "Only with this status"),
        ("priority" = Option<i64>, Query, description = "Only with this priority"),
    ),
    responses((status = 200, description = "The leads", body = Vec<VoiceLead>)))]
pub(crate) async fn of_campaign(
    State(state): State<AppState>,
    Caller(principal, _): Caller<Voice>,
    Path(id): Path<String>,
    params: Params,
) -> Reply {
    let record = campaigns::own(&state, &principal, &id).await?;
    Ok(axum::Json(wanted(&state, &record, &params, MOST).await?.into()))
}

/// The leads of a company's campaigns, at most 10,000.
#[utoipa::path(get, path = "/api/voice-leads/company/{companyId}", operation_id = "list_company_voice_leads", tag = "voice leads",
    params(
        ("companyId" = i64, Path, description = "The company"),
        ("campaign_id" = Option<i64>, Query, description = "Only of this campaign"),
        ("status" = Option<String>, Query, description = "Only with this status"),
        ("assigned_to" = Option<i64>, Query, description = "Only assigned to this person"),
    ),
    responses((status = 200, description = "The leads", body = Vec<VoiceLead>)))]
pub(crate) async fn of_company(
    State(state): State<AppState>,
    Caller(principal, _): Caller<Voice>,
    Path(id): Path<String>,
    params: Params,
) -> Reply {
    let company = company::number(&id)?;
    let campaign = params.integer("campaign_id", 1, i64::MAX)?;
    let mut found = Vec::new();
    for record in owned::all(&state, &principal, super::super::fields::KEY, &[]).await? {
        if campaigns::company_of(&record) == Some(company) && campaign.is_none_or(|id| record.id.0 == id) && found.len() < MOST {
            found.extend(wanted(&state, &record, &params, MOST - found.len()).await?);
        }
    }
    Ok(axum::Json(found.into()))
}

/// What the leads of a campaign have come to.
#[utoipa::path(get, path = "/api/voice-leads/campaign/{campaignId}/stats", operation_id = "get_voice_lead_stats", tag = "voice leads",
    params(("campaignId" = i64, Path, description = "The campaign")),
    responses((status = 200, description = "The figures", body = VoiceLeadStats)))]
pub(crate) async fn stats(State(state): State<AppState>, Caller(principal, _): Caller<Voice>, Path(id): Path<String>) -> Reply {
    let record = campaigns::own(&state, &principal, &id).await?;
    let contacts = owned::contacts(&state, Owner::Campaign(record.id)).await?;
    let with = |status: &str| contacts.iter().filter(|contact| shown_status(contact) == status).count();
    let scores: Vec<f64> = contacts.iter().filter_map(|contact| contact.person.variables.get("lead_score").and_then(score_of)).collect();
    let progress = state.engine().progress(record.id).await?;
    Ok(axum::Json(json!({
        "total_leads": contacts.len(),
        "completed_leads": with("completed"),
        "failed_leads": with("failed"),
        "average_lead_score": if scores.is_empty() { 0.0 } else { cents(scores.iter().sum::<f64>() / scores.len() as f64) },
        "average_call_duration": progress.average_duration,
    })))
}
