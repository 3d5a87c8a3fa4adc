//! What was sent, and whom was called.

use super::campaigns::{all_made, made};
use super::schema::{AgentCampaignExecutions, AgentExecutions};
use super::spec::Purpose;
use super::{Reply, ids, present};
use crate::api::owned;
use crate::api::request::{Caller, Params};
use crate::api::v1::error::FastApi;
use crate::error::Fault;
use crate::state::AppState;
use axum::extract::{Path, State};
use campaign_core::campaign::CampaignRecord;
use campaign_core::contact::Contact;
use campaign_core::outcome::Attempt;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

/// How many things are looked up at once.
const AT_ONCE: usize = 8;

/// Attempts with their contacts; a contact may have been removed meanwhile.
pub(super) async fn with_contacts(
    state: &AppState,
    attempts: Vec<(Attempt, CampaignRecord)>,
) -> Vec<(Attempt, CampaignRecord, Option<Contact>)> {
    stream::iter(attempts)
        .map(|(attempt, record)| async move {
            let contact = state.engine().get_contact(attempt.contact).await.ok();
            (attempt, record, contact)
        })
        .buffered(AT_ONCE)
        .collect()
        .await
}

/// The newest attempts of several campaigns that `wanted` takes, newest first. Each organisation pays for its own only.
pub(super) async fn newest(
    state: &AppState,
    records: Vec<CampaignRecord>,
    limit: usize,
    wanted: impl Fn(&Attempt) -> bool,
) -> Result<Vec<(Attempt, CampaignRecord)>, Fault> {
    let mut found = Vec::new();
    for record in records.into_iter().filter(|record| record.started_at.is_some()) {
        let attempts = owned::attempts(state, record.id, limit, &wanted).await?;
        found.extend(attempts.into_iter().map(|attempt| (attempt, record.clone())));
    }
    found.sort_by_key(|(attempt, _)| std::cmp::Reverse(attempt.id));
    found.truncate(limit);
    Ok(found)
}

fn has_ended(attempt: &Attempt, status: Option<&str>) -> bool {
    present::execution_status(attempt).is_some_and(|known| status.is_none_or(|status| status == known))
}

const TYPES: &[&str] = super::spec::TYPES;
const STATUSES: &[&str] = &["sent", "failed", "called"];

async fn shown(state: &AppState, attempts: Vec<(Attempt, CampaignRecord)>) -> Vec<Value> {
    let found = with_contacts(state, attempts).await;
    found.iter().map(|(attempt, record, contact)| present::execution(attempt, record, contact.as_ref())).collect()
}

/// What a campaign has sent, newest first.
#[utoipa::path(get, path = "/api/campaigns/{id}/executions", operation_id = "list_agent_campaign_executions", tag = "voice agent",
    params(
        ("id" = String, Path, description = "The campaign"),
        ("exec_type" = Option<String>, Query, description = "`voice`, `sms` or `whatsapp`"),
        ("status" = Option<String>, Query, description = "`sent`, `failed` or `called`"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "100 if not said"),
        ("offset" = Option<i64>, Query, minimum = 0, description = "How many to leave out"),
    ),
    responses((status = 200, description = "Executions, and figures", body = AgentCampaignExecutions)))]
pub(crate) async fn of_campaign(
    State(state): State<AppState>,
    Caller(principal, _): Caller<FastApi>,
    Path(id): Path<String>,
    params: Params,
) -> Reply {
    let record = made(&state, &principal, &id, Purpose::Campaign).await?;
    let limit = usize::try_from(params.integer("limit", 1, 1000)?.unwrap_or(100)).unwrap_or(100);
    let offset = usize::try_from(params.integer("offset", 0, 1_000_000)?.unwrap_or(0)).unwrap_or(0);
    let kind = params.one_of("exec_type", TYPES)?;
    let status = params.one_of("status", STATUSES)?;
    let progress = state.engine().progress(record.id).await?;
    let attempts = match kind.is_none_or(|kind| present::kind(&record) == kind) {
        true => owned::attempts(&state, record.id, offset + limit, |attempt| has_ended(attempt, status)).await?,
        false => Vec::new(),
    };
    let page = attempts.into_iter().skip(offset).map(|attempt| (attempt, record.clone())).collect();
    let campaign = present::campaign(&record, &progress);
    let reached = progress.completed_contacts;
    let (sent, called) = if present::kind(&record) == "voice" { (0, reached) } else { (reached, 0) };
    Ok(axum::Json(json!({
        "success": true,
        "executions": shown(&state, page).await,
        "stats": { "sent": sent, "failed": present::lost(&progress), "called": called, "total": campaign["stats"]["total"] },
        "campaign": { "id": ids::write(record.id.0), "name": record.spec.name, "status": campaign["status"],
                      "progress_percent": campaign["progress_percent"] },
    })))
}

/// What all campaigns have sent, newest first.
#[utoipa::path(get, path = "/api/campaign-executions", operation_id = "list_agent_executions", tag = "voice agent",
    params(
        ("exec_type" = Option<String>, Query, description = "`voice`, `sms` or `whatsapp`"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "100 if not said"),
    ),
    responses((status = 200, description = "Executions", body = AgentExecutions)))]
pub(crate) async fn all(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, params: Params) -> Reply {
    let limit = usize::try_from(params.integer("limit", 1, 1000)?.unwrap_or(100)).unwrap_or(100);
    let kind = params.one_of("exec_type", TYPES)?;
    let mut records = all_made(&state, &principal, &[Purpose::Campaign]).await?;
    records.retain(|record| kind.is_none_or(|kind| present::kind(record) == kind));
    let found = newest(&state, records, limit, |attempt| has_ended(attempt, None)).await?;
    Ok(axum::Json(json!({ "success": true, "executions": shown(&state, found).await })))
}
