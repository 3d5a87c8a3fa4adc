//! `campaign serve`.

use crate::StoreArgs;
use campaign_core::store::open_store;
use campaign_core::{Engine, Error, Kind, Result, wire};
use campaign_server::{Access, ServerOptions, serve};
use clap::Args;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// How long running attempts are waited for when the server stops.
const PATIENCE: Duration = Duration::from_secs(60);

/// Arguments of `serve`.
#[derive(Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    store: StoreArgs,
    /// The address to listen on. Speak TLS in a proxy in front of it.
    #[arg(long, env = "CAMPAIGN_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Serve everybody on this machine without keys; refused on any other address.
    #[arg(long)]
    open: bool,
    /// The organisation of what is created on an open server.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..))]
    open_organization: i64,
    /// Web pages of this origin may call; may be given several times.
    #[arg(long = "allow-origin")]
    allowed_origins: Vec<String>,
    /// The largest upload, in MiB.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4096))]
    max_upload_mib: u32,
    /// The country whose national numbers are understood, two letters.
    #[arg(long, default_value = "US")]
    region: String,
    /// The simulated carrier as JSON, for example `{"profile": "instant"}`.
    #[arg(long, default_value = "{}")]
    simulated: String,
    /// Log JSON lines instead of text.
    #[arg(long)]
    pub(crate) log_json: bool,
}

impl Serve {
    pub(crate) async fn run(self) -> Result<()> {
        let carrier: wire::Object = serde_json::from_str(&self.simulated)
            .map_err(|error| Error::invalid("simulated", format!("must be a JSON object: {error}")))?;
        let store = open_store(&self.store.store).await?;
        let engine = Engine::builder().shared_store(store).dialer(wire::carrier(carrier)?).build().await?;
        let options = ServerOptions::default().with(|options| {
            if self.open {
                options.access = Access::Open { organization: Some(self.open_organization) };
            }
            options.allowed_origins = self.allowed_origins;
            options.max_upload_bytes = self.max_upload_mib as usize * 1024 * 1024;
            options.default_region = Some(self.region);
        });
        let served = listen(self.listen, &engine, options).await;
        tracing::info!("stopping: waiting for running attempts");
        let stopped = engine.stop(Some(PATIENCE)).await;
        let closed = engine.store().close().await;
        served.and(stopped).and(closed)
    }
}

async fn listen(address: SocketAddr, engine: &Engine, options: ServerOptions) -> Result<()> {
    // Looked at before the port is opened: nobody gets in meanwhile.
    serve::check(engine, &options, address).await?;
    let failed = |error: std::io::Error| Error::new(Kind::Unavailable, format!("cannot listen on {address}: {error}"));
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tracing::info!(%address, "listening");
    serve::serve(listener, engine.clone(), options, stopped()).await
}

/// Ctrl-C, or the signal of a service manager.
async fn stopped() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        // Without a handler the signal ends the process, which is safe.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
