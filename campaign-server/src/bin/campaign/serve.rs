//! `campaign serve`.

use crate::common::{Done, Session};
use crate::telemetry::TelemetryArgs;
use campaign_core::store::open_store;
use campaign_core::{Engine, Error, Kind, Result};
use campaign_server::config::Configuration;
use campaign_server::{ServerOptions, serve};
use clap::Args;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Arguments of `serve`. Each stands for a key of the configuration.
#[derive(Args)]
pub(crate) struct Serve {
    /// The address to listen on. Speak TLS in a proxy in front of it. Default: 127.0.0.1:8080.
    #[arg(long)]
    listen: Option<String>,
    /// Where the server is reached from outside, for example `https://campaigns.example.com`; carriers call back below it.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Serve everybody on this machine without keys; refused on any other address.
    #[arg(long)]
    open: bool,
    /// The organisation of what is created on an open server. Default: 1.
    #[arg(long, alias = "open-organization", value_name = "NUMBER")]
    organization: Option<String>,
    /// Web pages of this origin may call; may be given several times.
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    allowed_origins: Vec<String>,
    /// The largest upload, in MiB. Default: 256.
    #[arg(long, value_name = "MIB")]
    max_upload_mib: Option<String>,
    /// How long running attempts are waited for when the server stops. Default: 60.
    #[arg(long, value_name = "SECONDS")]
    patience: Option<String>,
    /// The carrier as JSON, for example `{"simulated": {"profile": "instant"}}`.
    #[arg(long, value_name = "JSON", conflicts_with = "simulated")]
    dialer: Option<String>,
    /// The simulated carrier as JSON, for example `{"profile": "instant"}`.
    #[arg(long, value_name = "JSON")]
    simulated: Option<String>,
    /// Log JSON lines instead of text; as `--log-format json`.
    #[arg(long)]
    log_json: bool,
    #[command(flatten)]
    telemetry: TelemetryArgs,
}

impl Serve {
    pub(crate) async fn run(self, session: &Session) -> Done {
        let simulated = self.simulated.as_deref().map(|text| {
            let carrier: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
            if carrier.is_object() {
                Ok(serde_json::json!({ "simulated": carrier }))
            } else {
                Err(Error::invalid("simulated", "must be a JSON object"))
            }
        });
        let simulated = simulated.transpose()?;
        let configuration = session.executing(
            |given| {
                given.text("listen", "--listen", self.listen.as_deref());
                given.text("public_url", "--public-url", self.public_url.as_deref());
                given.flag("open", "--open", self.open.then_some(true));
                given.text("organization", "--organization", self.organization.as_deref());
                given.flag("allowed_origins", "--allow-origin", (!self.allowed_origins.is_empty()).then(|| self.allowed_origins.clone()));
                given.text("max_upload_mib", "--max-upload-mib", self.max_upload_mib.as_deref());
                given.text("patience", "--patience", self.patience.as_deref());
                given.text("dialer", "--dialer", self.dialer.as_deref());
                given.flag("dialer", "--simulated", simulated);
                given.flag("log.format", "--log-json", self.log_json.then_some("json"));
                self.telemetry.give(given);
            },
            "info",
        )?;
        let engine = node(&configuration, true).await?;
        let served = listen(configuration.listen(), &engine, configuration.server_options()).await;
        tracing::info!("stopping: waiting for running attempts");
        let stopped = engine.stop(configuration.seconds("patience")).await;
        let closed = engine.store().close().await;
        Ok(served.and(stopped).and(closed)?)
    }
}

/// A node with the carrier and the assistant of the configuration. `called_back` says whether carriers can call this process.
pub(crate) async fn node(configuration: &Configuration, called_back: bool) -> Done<Engine> {
    let (dialer, assistant) = (configuration.dialer(called_back)?, configuration.assistant()?);
    let options = configuration.engine_options()?;
    let store = open_store(configuration.store()).await?;
    let mut builder = Engine::builder().shared_store(store).shared_dialer(dialer).options(|own| *own = options);
    if let Some(assistant) = assistant {
        builder = builder.shared_assistant(assistant);
    }
    Ok(builder.build().await?)
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
pub(crate) async fn stopped() {
    Signals::listen().next().await;
}

/// Hears Ctrl-C and the signal of a service manager from when it is made, so that none is lost between two waits.
pub(crate) struct Signals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
}

impl Signals {
    /// What cannot be heard ends the process, which is safe.
    pub(crate) fn listen() -> Self {
        Self { interrupt: signal(SignalKind::interrupt()).ok(), terminate: signal(SignalKind::terminate()).ok() }
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            () = heard(&mut self.interrupt) => {}
            () = heard(&mut self.terminate) => {}
        }
    }
}

async fn heard(signal: &mut Option<Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending().await
}
