//! Where traces go, and which.

use campaign_core::http::Secret;
use std::fmt;
use std::time::Duration;

/// How traces are sent.
#[derive(Clone)]
pub struct TelemetryOptions {
    /// The whole address, for example `http://127.0.0.1:4318/v1/traces`.
    pub endpoint: String,
    /// Headers of every request there.
    pub headers: Vec<(String, Secret)>,
    /// What this service is called; `None`: as `OTEL_RESOURCE_ATTRIBUTES` says.
    pub service_name: Option<String>,
    /// Which traces are taken.
    pub sampling: Sampling,
    /// How long the collector may take for one request.
    pub timeout: Duration,
}

// An address can hold a token.
impl fmt::Debug for TelemetryOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("TelemetryOptions")
            .field("headers", &names)
            .field("service_name", &self.service_name)
            .field("sampling", &self.sampling)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Which traces are taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Of those that begin here.
    pub root: Root,
    /// Whether a trace that began elsewhere is taken when it was taken there, and not otherwise.
    pub follow: bool,
}

/// Which traces that begin here are taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Root {
    /// All.
    All,
    /// None.
    None,
    /// This part of them, 0 to 1.
    Part(f64),
}

impl Sampling {
    /// By a name that `OTEL_TRACES_SAMPLER` may have, and the part of those that take a part; `None` for any other name.
    pub fn named(name: &str, part: f64) -> Option<Self> {
        let (follow, kind) = match name.strip_prefix("parentbased_") {
            Some(kind) => (true, kind),
            None => (false, name),
        };
        let root = match kind {
            "always_on" => Root::All,
            "always_off" => Root::None,
            "traceidratio" => Root::Part(part),
            _ => return None,
        };
        Some(Self { root, follow })
    }

    /// This part of the traces that begin here, and of others what was taken where they began.
    pub fn part(part: f64) -> Self {
        Self { root: Root::Part(part), follow: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samplers_have_names() {
        assert_eq!(Sampling::named("parentbased_traceidratio", 0.5), Some(Sampling::part(0.5)));
        assert_eq!(Sampling::named("traceidratio", 0.5), Some(Sampling { root: Root::Part(0.5), follow: false }));
        assert_eq!(Sampling::named("always_on", 0.5), Some(Sampling { root: Root::All, follow: false }));
        assert_eq!(Sampling::named("parentbased_always_off", 0.5), Some(Sampling { root: Root::None, follow: true }));
        for name in ["", "jaeger_remote", "parentbased_", "parentbased_parentbased_always_on"] {
            assert_eq!(Sampling::named(name, 1.0), None, "{name}");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let options = TelemetryOptions {
            endpoint: "https://a.example/secret-path".to_owned(),
            headers: vec![("authorization".to_owned(), Secret::from("Bearer secret-7"))],
            service_name: Some("campaign".to_owned()),
            sampling: Sampling::part(1.0),
            timeout: Duration::from_secs(10),
        };
        let shown = format!("{options:?}");
        assert!(!shown.contains("secret-") && shown.contains("authorization"), "{shown}");
    }
}
