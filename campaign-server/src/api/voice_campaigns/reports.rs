//! Performance and costs of a company's campaigns over time.

use super::campaigns::all;
use super::company::number;
use super::error::{Reply, Voice};
use super::present::{Figures, rate};
use super::schema::{VoiceCosts, VoicePerformance};
use crate::api::owned::cents;
use crate::api::request::{Caller, Params};
use crate::state::AppState;
use axum::extract::{Path, State};
use campaign_core::Result;
use campaign_core::campaign::CampaignRecord;
use campaign_core::outcome::Disposition;
use campaign_core::store::TimelineQuery;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A day.
pub(super) const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Calls that ended within a span of time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// When the span begins.
    pub(super) start: Timestamp,
    pub(super) calls: u64,
    pub(super) successful: u64,
    pub(super) seconds: u64,
    pub(super) cost: f64,
}

/// The calls of a campaign in spans of so many seconds.
pub(super) async fn history(state: &AppState, record: &CampaignRecord, bucket_seconds: u32) -> Result<Vec<Part>> {
    history_since(state, record, bucket_seconds, record.created_at).await
}

/// As [`history`], of calls that ended since then.
pub(super) async fn history_since(state: &AppState, record: &CampaignRecord, bucket_seconds: u32, from: Timestamp) -> Result<Vec<Part>> {
    let to = state.now().saturating_add(DAY).unwrap_or(Timestamp::MAX);
    let from = from.min(to);
    let buckets = state.engine().timeline(TimelineQuery { campaign: record.id, from, to, bucket_seconds }).await?;
    let part = |bucket: campaign_core::store::TimelineBucket| Part {
        start: bucket.start,
        calls: bucket.dispositions.values().sum(),
        successful: bucket.dispositions.iter().filter(|(ending, _)| Disposition::is_success(**ending)).map(|(_, count)| count).sum(),
        seconds: bucket.duration_seconds,
        cost: bucket.cost.units(),
    };
    Ok(buckets.into_iter().map(part).collect())
}

/// The name of the span that a moment is in: an hour, a day, a week by its Monday, a month.
fn span(at: Timestamp, interval: &str) -> String {
    let local = at.to_zoned(TimeZone::UTC);
    let date = local.date();
    match interval {
        "hourly" => local.strftime("%Y-%m-%dT%H:00:00Z").to_string(),
        "weekly" => {
            let back = i64::from(date.weekday().since(Weekday::Monday));
            date.checked_sub(jiff::Span::new().days(back)).unwrap_or(date).to_string()
        }
        "monthly" => date.strftime("%Y-%m").to_string(),
        _ => date.to_string(),
    }
}

#[derive(Default)]
struct Sum {
    calls: u64,
    successful: u64,
    seconds: u64,
    cost: f64,
}

impl Sum {
    fn add(&mut self, part: &Part) {
        self.calls += part.calls;
        self.successful += part.successful;
        self.seconds += part.seconds;
        self.cost += part.cost;
    }

    fn average_seconds(&self) -> f64 {
        if self.successful == 0 { 0.0 } else { cents(self.seconds as f64 / self.successful as f64) }
    }
}

/// How the voice campaigns of a company do over time, and which do best.
#[utoipa::path(get, path = "/api/voice-campaigns/company/{companyId}/performance", operation_id = "get_company_voice_performance",
    tag = "voice campaigns",
    params(
        ("companyId" = i64, Path, description = "The company"),
        ("interval" = Option<String>, Query, description = "`hourly`, `daily`, `weekly` or `monthly`; daily if not said"),
    ),
    responses((status = 200, description = "The report", body = VoicePerformance)))]
pub(crate) async fn performance(
    State(state): State<AppState>,
    Caller(principal, _): Caller<Voice>,
    Path(company): Path<String>,
    params: Params,
) -> Reply {
    let interval = params.one_of("interval", &["hourly", "daily", "weekly", "monthly"])?.unwrap_or("daily");
    let found = all(&state, &principal, Some(number(&company)?)).await?;
    let mut spans: BTreeMap<String, Sum> = BTreeMap::new();
    let mut whole = Sum::default();
    let mut ranked = Vec::new();
    for (record, _) in &found {
        let mut own = Sum::default();
        for part in history(&state, record, if interval == "hourly" { 3600 } else { 86_400 }).await? {
            spans.entry(span(part.start, interval)).or_default().add(&part);
            whole.add(&part);
            own.add(&part);
        }
        ranked.push((record, own));
    }
    ranked
        .sort_by(|(_, a), (_, b)| rate(b.successful, b.calls).total_cmp(&rate(a.successful, a.calls)).then_with(|| b.calls.cmp(&a.calls)));
    let calls: Vec<Value> = spans
        .iter()
        .map(|(interval, sum)| {
            json!({ "interval": interval, "total_calls": sum.calls, "successful_calls": sum.successful,
                    "failed_calls": sum.calls - sum.successful, "average_duration": sum.average_seconds() })
        })
        .collect();
    let rates: Vec<Value> =
        spans.iter().map(|(interval, sum)| json!({ "interval": interval, "rate": rate(sum.successful, sum.calls) })).collect();
    let rankings: Vec<Value> = ranked
        .iter()
        .map(|(record, sum)| {
            json!({ "campaign_id": record.id, "name": record.spec.name, "success_rate": rate(sum.successful, sum.calls),
                    "total_calls": sum.calls })
        })
        .collect();
    Ok(axum::Json(json!({
        "summary": {
            "total_campaigns": found.len(),
            "total_calls": whole.calls,
            "success_rate": rate(whole.successful, whole.calls),
            "average_call_duration": whole.average_seconds(),
        },
        "trends": { "calls_by_interval": calls, "success_rate_trend": rates },
        "campaign_rankings": rankings,
    })))
}

/// What the voice campaigns of a company cost.
#[utoipa::path(get, path = "/api/voice-campaigns/company/{companyId}/cost-analysis", operation_id = "get_company_voice_costs",
    tag = "voice campaigns", params(("companyId" = i64, Path, description = "The company")),
    responses((status = 200, description = "The report", body = VoiceCosts)))]
pub(crate) async fn cost_analysis(
    State(state): State<AppState>,
    Caller(principal, _): Caller<Voice>,
    Path(company): Path<String>,
) -> Reply {
    let found = all(&state, &principal, Some(number(&company)?)).await?;
    let mut trends: BTreeMap<String, Sum> = BTreeMap::new();
    let mut campaigns = Vec::new();
    let (mut budgets, mut spent, mut calls, mut successes) = (0.0, 0.0, 0, 0);
    let has_budget = found.iter().any(|(record, _)| record.spec.budget.is_some());
    let each = |amount: f64, count: u64| if count == 0 { 0.0 } else { cents(amount / count as f64) };
    for (record, progress) in &found {
        let figures = Figures::of(progress);
        let cost = figures.cost(record);
        let budget = record.spec.budget.unwrap_or_default().units();
        for part in history(&state, record, 86_400).await? {
            trends.entry(span(part.start, "daily")).or_default().add(&part);
        }
        budgets += budget;
        spent += cost;
        calls += figures.completed;
        successes += figures.successful;
        campaigns.push(json!({
            "campaign_id": record.id,
            "name": record.spec.name,
            "budget": record.spec.budget,
            "spent": cost,
            "remaining": record.spec.budget.map(|budget| cents(budget.units() - cost)),
            "cost_per_call": record.spec.cost_per_attempt,
            // Successes per 100 units of money.
            "cost_effectiveness_score": if cost > 0.0 { cents(figures.successful as f64 * 100.0 / cost) } else { 0.0 },
        }));
    }
    let trends: Vec<Value> = trends
        .iter()
        .map(|(date, sum)| {
            json!({ "date": date, "total_spent": cents(sum.cost), "calls_made": sum.calls, "average_cost": each(sum.cost, sum.calls) })
        })
        .collect();
    Ok(axum::Json(json!({
        "overall_costs": {
            "total_budget_allocated": cents(budgets),
            "total_spent": cents(spent),
            "remaining_budget": has_budget.then(|| cents(budgets - spent)),
            "average_cost_per_call": each(spent, calls),
            "average_cost_per_success": each(spent, successes),
        },
        "campaign_costs": campaigns,
        "cost_trends": trends,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_their_names() {
        let at: Timestamp = "2026-03-05T14:30:00Z".parse().unwrap();
        assert_eq!(span(at, "hourly"), "2026-03-05T14:00:00Z");
        assert_eq!(span(at, "daily"), "2026-03-05");
        assert_eq!(span(at, "weekly"), "2026-03-02");
        assert_eq!(span(at, "monthly"), "2026-03");
    }
}
