//! The way of spans to the collector: collected in a bounded queue, sent in batches by a thread of their own, dropped when the collector does
//! not keep up. Nothing that makes a span ever waits.

use super::options::{Root, TelemetryOptions};
use campaign_core::executor::SharedExecutor;
use campaign_core::http::{Body, Exchange, HttpClient, HttpOptions, Method, Secret};
use campaign_core::{Error, Kind, Result, async_trait};
use futures_util::future::{Either, select};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter};
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::registry::LookupSpan;

/// Spans come from here.
const OURS: [&str; 2] = ["campaign_core", "campaign_server"];

/// Traces on their way to a collector.
///
/// The variables of OpenTelemetry's SDK that say how spans are collected (`OTEL_BSP_*`, `OTEL_SPAN_*_LIMIT`) and what else this
/// service is called (`OTEL_RESOURCE_ATTRIBUTES`) hold. Nothing global is set.
#[derive(Clone)]
pub struct Telemetry {
    provider: SdkTracerProvider,
    executor: SharedExecutor,
    account: Arc<Account>,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").field("account", &self.account).finish_non_exhaustive()
    }
}

impl Telemetry {
    /// Begins to send what [`Telemetry::layer`] sees. Requests are carried by the executor, within the runtime of the caller.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when the address or a header is none, or the environment asks for what this build does not do.
    pub fn begin(options: TelemetryOptions, executor: SharedExecutor) -> Result<Self> {
        let TelemetryOptions { endpoint, headers, service_name, sampling, timeout } = options;
        let account = Arc::new(Account::of(&endpoint));
        let client = HttpClient::new(HttpOptions { timeout, ..HttpOptions::default() })?;
        let sender = Sender { client, headers: headers.into(), executor: Arc::clone(&executor) };
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_timeout(timeout)
            .with_http_client(sender)
            .build()
            // What it says can hold the address.
            .map_err(|_| Error::new(Kind::Invalid, "traces cannot be sent with these settings; look at the address of the collector and at OTEL_EXPORTER_OTLP_COMPRESSION, which must not be set"))?;
        let root = match sampling.root {
            Root::All => Sampler::AlwaysOn,
            Root::None => Sampler::AlwaysOff,
            Root::Part(part) => Sampler::TraceIdRatioBased(part),
        };
        let resource = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let resource = match service_name {
            Some(name) => resource.with_service_name(name),
            None => resource,
        };
        let provider = SdkTracerProvider::builder()
            .with_sampler(if sampling.follow { Sampler::ParentBased(Box::new(root)) } else { root })
            .with_resource(resource.build())
            .with_batch_exporter(Counting { exporter, account: Arc::clone(&account) })
            .build();
        Ok(Self { provider, executor, account })
    }

    /// What sees spans. It takes those of server and engine, and no entries of the log.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("campaign"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(FilterFn::new(ours).with_max_level_hint(LevelFilter::DEBUG))
    }

    /// Sends what is left, for at most so long.
    pub async fn end(self, patience: Duration) {
        let Self { provider, executor, account } = self;
        let (done, ended) = oneshot::channel();
        executor.spawn_blocking(Box::new(move || {
            let _ = done.send(provider.shutdown_with_timeout(patience));
        }));
        let until = executor.now().saturating_add(patience.try_into().unwrap_or(jiff::SignedDuration::MAX));
        let late = executor.sleep_until(until.unwrap_or(jiff::Timestamp::MAX));
        let in_time = match select(pin!(ended), late).await {
            Either::Left((ended, _)) => matches!(ended, Ok(Ok(()))),
            Either::Right(_) => false,
        };
        account.close(in_time);
    }
}

fn ours(metadata: &Metadata<'_>) -> bool {
    let room = metadata.target().split("::").next().unwrap_or_default();
    metadata.is_span() && OURS.contains(&room)
}

/// What did not arrive.
#[derive(Debug)]
struct Account {
    /// Host and port, for people: the rest of an address can hold a token.
    collector: String,
    lost: AtomicU64,
    away: AtomicBool,
}

impl Account {
    fn of(endpoint: &str) -> Self {
        let url = url::Url::parse(endpoint).ok();
        let host = url.as_ref().and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?)));
        Self { collector: host.unwrap_or_default(), lost: AtomicU64::new(0), away: AtomicBool::new(false) }
    }

    /// Says once that the collector is away, and once that it is there again.
    fn note(&self, spans: u64, sent: &OTelSdkResult) {
        let collector = &self.collector;
        match sent {
            Ok(()) if self.away.swap(false, Ordering::Relaxed) => {
                tracing::warn!(collector, lost = self.lost.load(Ordering::Relaxed), "the collector takes traces again");
            }
            Ok(()) => {}
            Err(error) => {
                self.lost.fetch_add(spans, Ordering::Relaxed);
                if !self.away.swap(true, Ordering::Relaxed) {
                    tracing::warn!(collector, %error, "the collector does not take traces; look at its address and headers; nothing else waits for it");
                }
            }
        }
    }

    fn close(&self, in_time: bool) {
        let (collector, lost) = (&self.collector, self.lost.load(Ordering::Relaxed));
        if !in_time {
            tracing::warn!(collector, lost, "the collector did not take the last traces in time; they are lost");
        } else if lost > 0 {
            tracing::warn!(collector, lost, "spans were lost, because the collector did not take them");
        }
    }
}

/// An exporter whose failures are told once, and not with every batch.
#[derive(Debug)]
struct Counting {
    exporter: opentelemetry_otlp::SpanExporter,
    account: Arc<Account>,
}

impl SpanExporter for Counting {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        self.account.note(spans, &self.exporter.export(batch).await);
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// The client of everything else, for an exporter whose thread knows no runtime.
struct Sender {
    client: HttpClient,
    headers: Arc<[(String, Secret)]>,
    executor: SharedExecutor,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

#[async_trait]
impl opentelemetry_http::HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (client, own) = (self.client.clone(), Arc::clone(&self.headers));
        let (send, answer) = oneshot::channel();
        self.executor.spawn(Box::pin(async move {
            let (head, body) = request.into_parts();
            // Of the exporter's headers, what the body is. The others are those of the environment, which the configuration has weighed already.
            let kind = head.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
            let mut headers: Vec<(&str, &str)> = vec![("content-type", kind)];
            headers.extend(own.iter().map(|(name, value)| (name.as_str(), value.expose())));
            let url = head.uri.to_string();
            let _ = send.send(client.send(Method::Post, &url, &headers, Body::Bytes(body.to_vec())).await);
        }));
        match answer.await? {
            Exchange::Answered(answer) => {
                let mut response = Response::builder().status(answer.status);
                if let Some(wait) = answer.header("retry-after") {
                    response = response.header("retry-after", wait);
                }
                Ok(response.body(answer.body.into())?)
            }
            Exchange::NotSent(error) | Exchange::Lost(error) => Err(error.into()),
        }
    }
}
