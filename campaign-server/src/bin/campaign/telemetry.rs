//! Traces of `serve` and `run`: the flags, the beginning, and the end.

use campaign_server::config::Given;
use clap::Args;

/// Flags of the subcommands that execute. Headers have none: whoever lists processes would read them.
#[derive(Args)]
#[command(next_help_heading = "Traces")]
pub(crate) struct TelemetryArgs {
    /// Sends traces to this collector of OpenTelemetry, for example `http://127.0.0.1:4318`.
    #[arg(long, value_name = "URL")]
    telemetry_endpoint: Option<String>,
    /// What this service is called in traces. Default: campaign.
    #[arg(long, value_name = "NAME")]
    telemetry_service_name: Option<String>,
    /// Which part of the traces is sent, 0 to 1. Default: 1.
    #[arg(long, value_name = "PART")]
    telemetry_sample_ratio: Option<String>,
}

impl TelemetryArgs {
    pub(crate) fn give(&self, given: &mut Given) {
        given.text("telemetry.endpoint", "--telemetry-endpoint", self.telemetry_endpoint.as_deref());
        given.text("telemetry.service_name", "--telemetry-service-name", self.telemetry_service_name.as_deref());
        given.text("telemetry.sample_ratio", "--telemetry-sample-ratio", self.telemetry_sample_ratio.as_deref());
    }
}

#[cfg(feature = "otel")]
pub(crate) use sending::Traces;

#[cfg(feature = "otel")]
mod sending {
    use crate::common::{Done, clock, environment};
    use campaign_server::config::Configuration;
    use campaign_server::telemetry::Telemetry;
    use std::sync::{Arc, OnceLock};
    use std::time::Duration;
    use tracing_subscriber::{Layer, Registry};

    /// How long the command waits for the collector at its end.
    const PATIENCE: Duration = Duration::from_secs(3);

    /// What is to be sent before the command ends.
    #[derive(Default)]
    pub(crate) struct Traces(OnceLock<Telemetry>);

    impl Traces {
        /// What sees spans, if the configuration asks for it.
        pub(crate) fn begin(&self, configuration: &Configuration) -> Done<Option<Box<dyn Layer<Registry> + Send + Sync>>> {
            let Some(options) = configuration.telemetry(&environment)? else { return Ok(None) };
            let telemetry = Telemetry::begin(options, Arc::new(clock()?))?;
            Ok(Some(self.0.get_or_init(|| telemetry).layer().boxed()))
        }

        /// Sends what is left.
        pub(crate) async fn end(self) {
            if let Some(telemetry) = self.0.into_inner() {
                telemetry.end(PATIENCE).await;
            }
        }
    }
}

#[cfg(not(feature = "otel"))]
pub(crate) use nothing::Traces;

#[cfg(not(feature = "otel"))]
mod nothing {
    use crate::common::{Done, environment};
    use campaign_server::config::Configuration;
    use tracing_subscriber::{Layer, Registry};

    /// A build that sends nothing refuses to be asked for it.
    #[derive(Default)]
    pub(crate) struct Traces;

    impl Traces {
        pub(crate) fn begin(&self, configuration: &Configuration) -> Done<Option<Box<dyn Layer<Registry> + Send + Sync>>> {
            configuration.telemetry(&environment)?;
            Ok(None)
        }

        pub(crate) async fn end(self) {}
    }
}
