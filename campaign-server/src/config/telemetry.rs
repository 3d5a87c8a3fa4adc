//! Where traces are sent, by the keys of `[telemetry]` and by the variables that every program with OpenTelemetry goes by.

use super::keys::{TRACES_ENDPOINT, headers};
use super::{Configuration, Environment, Fault, Source, TELEMETRY};
use crate::telemetry::{Sampling, TelemetryOptions};
use campaign_core::http::{Reach, Secret, check_url};
use serde_json::Value;
use std::time::Duration;

/// Below a collector's address.
const TRACES: &str = "/v1/traces";
/// How long a collector may take, when nobody says.
const TIMEOUT_MILLIS: u64 = 10_000;

impl Configuration {
    /// How traces are sent; `None` when nobody asked for it, or `OTEL_SDK_DISABLED` or `OTEL_TRACES_EXPORTER` says no.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn telemetry(&self, environment: &Environment<'_>) -> Result<Option<TelemetryOptions>, Vec<Fault>> {
        let set = |name: &str| environment(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let disabled = set("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let elsewhere = set("OTEL_TRACES_EXPORTER").is_some_and(|list| !list.split(',').any(|name| name.trim() == "otlp"));
        if disabled || elsewhere {
            return Ok(None);
        }
        let endpoint = self.text("telemetry.endpoint");
        if endpoint.is_empty() && self.told_later("telemetry.endpoint").is_ok() {
            return Ok(None);
        }
        self.told_later(TELEMETRY)?;
        let mut faults = Vec::new();
        let source = self.source("telemetry.endpoint");
        let mut wrong = |name: &str, message: &str| {
            faults.push(Fault { key: None, source: Source::Environment(name.to_owned()), message: message.to_owned() });
        };
        // What others are told says nothing about an address that was given to us alone.
        if matches!(&source, Source::Environment(name) if name.starts_with("OTEL_")) {
            let (name, protocol) = first(&set, &["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]);
            if protocol.is_some_and(|protocol| protocol != "http/protobuf") {
                wrong(
                    name,
                    "must be http/protobuf, which is all that is spoken here; give the collector's port for HTTP (usually 4318) with it",
                );
            }
        }
        let (name, compression) = first(&set, &["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"]);
        if compression.is_some_and(|compression| compression != "none") {
            wrong(name, "must be none or not set: traces are sent as they are");
        }
        let (name, millis) = first(&set, &["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"]);
        let millis = millis.map_or(Some(TIMEOUT_MILLIS), |millis| millis.parse().ok().filter(|millis| *millis > 0));
        if millis.is_none() {
            wrong(name, "must be a whole number of milliseconds above 0");
        }
        let sampling = self.sampling(set("OTEL_TRACES_SAMPLER"));
        if sampling.is_none() {
            wrong("OTEL_TRACES_SAMPLER", "must be always_on, always_off or traceidratio, or one of them after parentbased_");
        }
        if !cfg!(feature = "otel") {
            let message = "cannot be used: this build sends no traces; build it with the feature `otel`, or set OTEL_SDK_DISABLED=true";
            faults.push(Fault { key: Some("telemetry.endpoint".to_owned()), source: source.clone(), message: message.to_owned() });
        }
        let address = whole(endpoint, &source);
        if let Err(error) = check_url(&address, Reach::Anywhere) {
            faults.push(Fault { key: Some("telemetry.endpoint".to_owned()), source, message: error.message().to_owned() });
        }
        let (Some(sampling), true) = (sampling, faults.is_empty()) else { return Err(faults) };
        let own = self.value("telemetry.headers").and_then(headers).unwrap_or_default();
        Ok(Some(TelemetryOptions {
            endpoint: address,
            headers: own.into_iter().map(|(name, value)| (name.to_owned(), Secret::from(value))).collect(),
            service_name: self.service_name(set("OTEL_RESOURCE_ATTRIBUTES")),
            sampling,
            timeout: Duration::from_millis(millis.unwrap_or(TIMEOUT_MILLIS)),
        }))
    }

    fn sampling(&self, named: Option<String>) -> Option<Sampling> {
        let part = self.value("telemetry.sample_ratio").and_then(Value::as_f64).unwrap_or(1.0);
        let ours = match self.source("telemetry.sample_ratio") {
            Source::Flag(_) => true,
            Source::Environment(name) => !name.starts_with("OTEL_"),
            Source::Default | Source::File(..) => false,
        };
        match named.filter(|_| !ours) {
            Some(name) => Sampling::named(&name, part),
            None => Some(Sampling::part(part)),
        }
    }

    /// Our own name gives way to one among the attributes that somebody set, but no name that was asked for does.
    fn service_name(&self, attributes: Option<String>) -> Option<String> {
        let named = attributes.is_some_and(|list| list.split(',').any(|one| one.trim_start().starts_with("service.name=")));
        Some(self.text("telemetry.service_name").to_owned()).filter(|_| !named || self.is_given("telemetry.service_name"))
    }
}

/// The first of these variables that is set; the first name when none is.
fn first<'a>(set: &dyn Fn(&str) -> Option<String>, names: &[&'a str; 2]) -> (&'a str, Option<String>) {
    let found = names.iter().find_map(|name| Some((*name, set(name)?)));
    found.map_or((names[0], None), |(name, value)| (name, Some(value)))
}

/// The address of traces: below that of the collector, unless it was given as a whole.
fn whole(endpoint: &str, source: &Source) -> String {
    if *source == Source::Environment(TRACES_ENDPOINT.to_owned()) {
        return endpoint.to_owned();
    }
    format!("{}{TRACES}", endpoint.trim_end_matches('/'))
}

#[cfg(feature = "otel")]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Given;
    use crate::telemetry::Root;

    fn with(flags: &[(&'static str, Value)], variables: &[(&str, &str)]) -> Result<Option<TelemetryOptions>, Vec<Fault>> {
        let given = Given { file: None, flags: flags.iter().map(|(key, value)| (*key, value.clone(), "--flag")).collect() };
        let environment = |name: &str| variables.iter().find(|(variable, _)| *variable == name).map(|(_, text)| (*text).to_owned());
        Configuration::read(&given, &environment).unwrap().telemetry(&environment)
    }

    #[test]
    fn nothing_is_sent_unless_somebody_asks() {
        assert!(with(&[], &[]).unwrap().is_none());
        assert!(with(&[], &[("OTEL_SERVICE_NAME", "a"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).unwrap().is_none());
        let asked = ("telemetry.endpoint", Value::from("http://a.example"));
        for off in [("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_TRACES_EXPORTER", "none"), ("OTEL_TRACES_EXPORTER", "console,zipkin")] {
            assert!(with(std::slice::from_ref(&asked), &[off]).unwrap().is_none(), "{off:?}");
        }
        assert!(with(&[asked], &[("OTEL_TRACES_EXPORTER", "console, otlp")]).unwrap().is_some());
    }

    #[test]
    fn addresses_are_those_of_the_collector_but_for_one() {
        let at = |variables: &[(&str, &str)]| with(&[], variables).unwrap().unwrap().endpoint;
        assert_eq!(at(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a.example:4318/")]), "http://a.example:4318/v1/traces");
        assert_eq!(at(&[("CAMPAIGN_TELEMETRY_ENDPOINT", "https://a.example/otlp")]), "https://a.example/otlp/v1/traces");
        let both = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a.example"), ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b.example/in")];
        assert_eq!(at(&both), "http://b.example/in");
        let three = [both[0], both[1], ("CAMPAIGN_TELEMETRY_ENDPOINT", "http://c.example")];
        assert_eq!(at(&three), "http://c.example/v1/traces");
    }

    #[test]
    fn names_and_samplers_come_from_the_usual_variables() {
        let asked = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a.example");
        let options = |variables: &[(&str, &str)]| with(&[], &[&[asked], variables].concat()).unwrap().unwrap();
        assert_eq!(options(&[]).service_name.as_deref(), Some("campaign"));
        assert_eq!(options(&[("OTEL_RESOURCE_ATTRIBUTES", "a=b, service.name=c")]).service_name, None);
        let named = options(&[("OTEL_RESOURCE_ATTRIBUTES", "service.name=c"), ("OTEL_SERVICE_NAME", "d")]);
        assert_eq!(named.service_name.as_deref(), Some("d"));
        assert_eq!(options(&[("OTEL_TRACES_SAMPLER_ARG", "0.25")]).sampling, Sampling::part(0.25));
        let off = options(&[("OTEL_TRACES_SAMPLER", "always_off"), ("OTEL_TRACES_SAMPLER_ARG", "0.25")]).sampling;
        assert_eq!(off, Sampling { root: Root::None, follow: false });
        let ours = options(&[("OTEL_TRACES_SAMPLER", "always_off"), ("CAMPAIGN_TELEMETRY_SAMPLE_RATIO", "0.5")]).sampling;
        assert_eq!(ours, Sampling::part(0.5));
        assert_eq!(options(&[("OTEL_EXPORTER_OTLP_TIMEOUT", "250")]).timeout, Duration::from_millis(250));
    }

    #[test]
    fn what_cannot_be_done_is_told_with_its_variable() {
        let asked = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a.example");
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
            ("OTEL_TRACES_SAMPLER_ARG", "2"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret-7"),
        ] {
            let faults = with(&[], &[asked, (name, value)]).unwrap_err();
            let told = format!("{faults:?}");
            assert!(faults.len() == 1 && told.contains(name) && !told.contains("secret-7"), "{told}");
        }
        let faults = with(&[("telemetry.endpoint", Value::from("http://me:secret-7@a.example"))], &[]).unwrap_err();
        assert!(!format!("{faults:?}").contains("secret-7"), "{faults:?}");
        // Ours alone: what others are told is none of its business.
        with(&[("telemetry.endpoint", Value::from("http://a.example"))], &[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).unwrap().unwrap();
    }
}
