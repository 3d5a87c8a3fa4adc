//! `/api/voice-campaigns/{id}/stats`.

use super::campaigns;
use super::error::{Reply, Voice};
use super::present::Figures;
use super::schema::VoiceStats;
use crate::api::owned::cents;
use crate::api::request::Caller;
use crate::state::AppState;
use axum::extract::{Path, State};
use serde_json::json;

/// What a voice campaign has come to.
#[utoipa::path(get, path = "/api/voice-campaigns/{id}/stats", operation_id = "get_voice_campaign_stats", tag = "voice campaigns",
    params(("id" = i64, Path, description = "The campaign")),
    responses((status = 200, description = "The figures", body = VoiceStats)))]
pub(crate) async fn get(State(state): State<AppState>, Caller(principal, _): Caller<Voice>, Path(id): Path<String>) -> Reply {
    let record = campaigns::own(&state, &principal, &id).await?;
    let progress = state.engine().progress(record.id).await?;
    let figures = Figures::of(&progress);
    let cost = figures.cost(&record);
    Ok(axum::Json(json!({
        "total_leads": figures.total,
        "completed_calls": figures.completed,
        "successful_calls": figures.successful,
        "failed_calls": figures.failed,
        "cost_per_call": record.spec.cost_per_attempt,
        "budget": record.spec.budget,
        // A text, as in the documents.
        "success_rate": format!("{:.2}", figures.success_rate()),
        "total_cost": cost,
        "remaining_budget": record.spec.budget.map(|budget| cents(budget.units() - cost)),
        // What the calls cost by the provider's prices where it names them, retries included; the budget is held against this.
        "actual_cost": progress.total_cost,
    })))
}
