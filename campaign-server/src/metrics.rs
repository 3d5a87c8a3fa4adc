//! `/metrics`: what the server does, in Prometheus's text format. No label holds an id, a number or a name.

use crate::state::AppState;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use campaign_core::campaign::CampaignStatus;
use campaign_core::store::{CampaignQuery, Paging};
use prometheus::{Encoder, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder};

/// The figures of one server.
pub struct Metrics {
    registry: Registry,
    requests: Option<IntCounterVec>,
    seconds: Option<HistogramVec>,
    sockets: Option<IntGauge>,
    campaigns: Option<IntGaugeVec>,
    in_flight: Option<IntGauge>,
    nodes: Option<IntGauge>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        // Names are fixed and each is registered once, so none of these fails; a figure that did would be missing, not fatal.
        let add = |collector: Box<dyn prometheus::core::Collector>| drop(registry.register(collector));
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let made = IntCounterVec::new(prometheus::Opts::new(name, help), labels).ok()?;
            add(Box::new(made.clone()));
            Some(made)
        };
        let gauge = |name: &str, help: &str| {
            let made = IntGauge::new(name, help).ok()?;
            add(Box::new(made.clone()));
            Some(made)
        };
        let requests =
            counter("campaign_http_requests_total", "Requests answered, by method, route and status.", &["method", "route", "status"]);
        let seconds = HistogramVec::new(
            prometheus::HistogramOpts::new("campaign_http_request_seconds", "Time to the head of the answer, by method and route."),
            &["method", "route"],
        )
        .ok();
        if let Some(seconds) = &seconds {
            add(Box::new(seconds.clone()));
        }
        let campaigns =
            IntGaugeVec::new(prometheus::Opts::new("campaign_campaigns", "Campaigns in the store, by status."), &["status"]).ok();
        if let Some(campaigns) = &campaigns {
            add(Box::new(campaigns.clone()));
        }
        let sockets = gauge("campaign_websockets", "WebSockets open on this process.");
        let in_flight = gauge("campaign_attempts_in_flight", "Open attempts over all live nodes of the store.");
        let nodes = gauge("campaign_nodes", "Live nodes on the store.");
        Self { registry, requests, seconds, sockets, campaigns, in_flight, nodes }
    }

    /// Reads the store's figures and writes everything out.
    async fn text(&self, state: &AppState) -> campaign_core::Result<Vec<u8>> {
        let engine = state.engine();
        for status in CampaignStatus::ALL {
            let query = CampaignQuery { statuses: vec![status], paging: Paging { offset: 0, limit: 1 }, ..CampaignQuery::default() };
            let total = engine.list_campaigns(query).await?.total;
            if let Some(campaigns) = &self.campaigns {
                campaigns.with_label_values(&[status.as_str()]).set(i64::try_from(total).unwrap_or(i64::MAX));
            }
        }
        if let Some(sockets) = &self.sockets {
            sockets.set(i64::try_from(state.sockets().total()).unwrap_or(i64::MAX));
        }
        let nodes = engine.nodes().await?;
        if let (Some(count), Some(in_flight)) = (&self.nodes, &self.in_flight) {
            count.set(nodes.len() as i64);
            in_flight.set(nodes.iter().map(|node| node.in_flight as i64).sum());
        }
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out).map_err(|error| {
            campaign_core::Error::new(campaign_core::Kind::Internal, "the figures cannot be written").with_source(error)
        })?;
        Ok(out)
    }
}

/// Counts requests; a layer inside of the routes, where the route is known.
pub(crate) async fn count(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let began = state.now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let response = next.run(request).await;
    let metrics = state.metrics();
    if let (Some(requests), Some(seconds)) = (&metrics.requests, &metrics.seconds) {
        requests.with_label_values(&[method.as_str(), route.as_str(), response.status().as_str()]).inc();
        let took = state.now().duration_since(began).as_secs_f64().max(0.0);
        seconds.with_label_values(&[method.as_str(), route.as_str()]).observe(took);
    }
    tracing::info!(%method, route, status = response.status().as_u16(), "answered");
    response
}

/// Figures in Prometheus's text format.
#[utoipa::path(get, path = "/metrics", tag = "operations", security(()),
    responses((status = 200, description = "Prometheus text format 0.0.4", content_type = "text/plain", body = String),
              (status = 503, description = "The store cannot be read")))]
pub(crate) async fn metrics(State(state): State<AppState>) -> Response {
    match state.metrics().text(&state).await {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(?error, "the figures cannot be read");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}
