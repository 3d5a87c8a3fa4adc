//! Carrier, assistant, settings of the node and of the server.

use super::{Configuration, Environment, Fault, Given, Source, keys};
use crate::{Access, ServerOptions};
use campaign_core::assistant::Assistant;
use campaign_core::dialer::Dialer;
use campaign_core::dialer::webhook::WebhookConfig;
use campaign_core::engine::EngineOptions;
use campaign_core::http::Reach;
use campaign_core::{Error, Kind, wire};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;

/// Below the public URL: where providers call, see `api::callbacks`.
const CALLBACKS: &str = "/callbacks";
/// Mistakes told about one table, at most.
const MOST: usize = 50;

impl Configuration {
    /// Reads a configuration and tries everything that can be tried without the world: carrier, assistant, settings of the node.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn check(given: &Given, environment: &Environment<'_>) -> Result<Self, Vec<Fault>> {
        let (configuration, mut faults) = Self::read_what_can_be(given, environment);
        faults.extend(configuration.later.iter().map(|(_, fault)| fault.clone()));
        let of = |key: &str| faults.iter().any(|fault| fault.key.as_deref().is_some_and(|place| place.starts_with(key)));
        let (no_dialer, no_assistant, of_telemetry) = (of("dialer"), of("assistant"), of("telemetry"));
        // What is wrong with a table as such is told already.
        if !no_dialer {
            faults.extend(configuration.dialer_faults());
        }
        if !no_assistant {
            faults.extend(configuration.assistant_faults());
        }
        faults.extend(configuration.engine_options().err().into_iter().flatten());
        if !of_telemetry {
            faults.extend(configuration.telemetry(environment).err().into_iter().flatten());
        }
        if faults.is_empty() { Ok(configuration) } else { Err(faults) }
    }

    /// The store's URL; it may hold a password.
    pub fn store(&self) -> &str {
        self.text("store")
    }

    /// Where the server listens.
    pub fn listen(&self) -> SocketAddr {
        self.text("listen").parse().unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 8080)))
    }

    /// The country whose national numbers are understood.
    pub fn region(&self) -> &str {
        self.text("region")
    }

    /// The carrier. `called_back` says whether this process can be called: where the carrier's description does not say where, that is below
    /// the public URL.
    ///
    /// # Errors
    /// Everything that is wrong with its description.
    pub fn dialer(&self, called_back: bool) -> Result<Arc<dyn Dialer>, Vec<Fault>> {
        self.told_later("dialer")?;
        let description = self.dialer_description(called_back);
        wire::dialer(description, &mut |_| Err(no_carrier())).map_err(|error| {
            let faults = self.dialer_faults();
            if faults.is_empty() { vec![self.fault("dialer", &error)] } else { faults }
        })
    }

    fn dialer_description(&self, called_back: bool) -> Value {
        let mut description = self.value("dialer").cloned().unwrap_or_default();
        let public = self.text("public_url").trim_end_matches('/');
        if called_back && !public.is_empty() {
            name_callbacks(&mut description, &format!("{public}{CALLBACKS}"));
        }
        description
    }

    fn dialer_faults(&self) -> Vec<Fault> {
        let try_it = |description: Value| wire::dialer(description, &mut |_| Err(no_carrier())).err();
        self.faults_of("dialer", &self.dialer_description(true), &try_it)
    }

    /// Who answers people, if anybody.
    ///
    /// # Errors
    /// Everything that is wrong with its description.
    pub fn assistant(&self) -> Result<Option<Arc<dyn Assistant>>, Vec<Fault>> {
        self.told_later("assistant")?;
        let Some(description) = self.value("assistant").cloned() else { return Ok(None) };
        wire::assistant(description, &mut |_| Err(no_assistant())).map(Some).map_err(|error| {
            let faults = self.assistant_faults();
            if faults.is_empty() { vec![self.fault("assistant", &error)] } else { faults }
        })
    }

    fn assistant_faults(&self) -> Vec<Fault> {
        let Some(description) = self.value("assistant") else { return Vec::new() };
        let try_it = |description: Value| wire::assistant(description, &mut |_| Err(no_assistant())).err();
        self.faults_of("assistant", description, &try_it)
    }

    /// Settings of a node.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn engine_options(&self) -> Result<EngineOptions, Vec<Fault>> {
        let mut given = wire::Object::new();
        for (name, setting) in &self.settings {
            if let Some(field) = name.strip_prefix("engine.") {
                given.insert(field.to_owned(), setting.value.clone());
            }
        }
        wire::options(given).map_err(|error| {
            let field = field(&error).map_or_else(|| "engine.max_rate".to_owned(), |field| format!("engine.{field}"));
            vec![self.fault(&field, &error)]
        })
    }

    /// Settings of the server.
    pub fn server_options(&self) -> ServerOptions {
        ServerOptions::default().with(|options| {
            if self.flag("open") {
                options.access = Access::Open { organization: self.whole("organization").and_then(|id| i64::try_from(id).ok()) };
            }
            let origins = self.value("allowed_origins").and_then(Value::as_array);
            options.allowed_origins = origins.into_iter().flatten().filter_map(|origin| origin.as_str().map(str::to_owned)).collect();
            let mib = self.whole("max_upload_mib").and_then(|mib| usize::try_from(mib).ok());
            options.max_upload_bytes = mib.map_or(options.max_upload_bytes, |mib| mib << 20);
            options.public_url = Some(self.text("public_url").to_owned()).filter(|url| !url.is_empty());
            options.default_region = Some(self.region().to_owned());
            options.webhook_timeout = self.seconds("webhooks.timeout").unwrap_or(options.webhook_timeout);
            options.webhook_reach = if self.text("webhooks.reach") == "anywhere" { Reach::Anywhere } else { Reach::Public };
        })
    }

    /// Everything that is wrong with a table whose reader tells one thing at a time: what is wrong is taken out, and it is read again.
    fn faults_of(&self, key: &str, description: &Value, try_it: &dyn Fn(Value) -> Option<Error>) -> Vec<Fault> {
        let mut description = description.clone();
        let mut faults: Vec<Fault> = Vec::new();
        while let Some(error) = try_it(description.clone()) {
            let route = error.context().iter().rev().find(|(name, _)| *name == "route").map(|(_, route)| route.clone());
            let (place, table) = innermost(key, &mut description, route.as_deref());
            let named = field(&error).filter(|_| table.is_object()).map(|field| written(field, table));
            let wrong = named.filter(|field| table.as_object().is_some_and(|table| table.contains_key(*field)));
            let place = named.map_or_else(|| place.clone(), |field| format!("{place}.{field}"));
            let fault = self.fault(&place, &error);
            // Something taken out may be missed by its reader: that is not a second mistake.
            if faults.contains(&fault) || !faults.is_empty() && wrong.is_none() {
                break;
            }
            faults.push(fault);
            let (Some(wrong), true) = (wrong, faults.len() < MOST) else { break };
            if let Some(table) = table.as_object_mut() {
                table.remove(wrong);
            }
        }
        faults
    }

    fn fault(&self, place: &str, error: &Error) -> Fault {
        let key = keys::KEYS
            .iter()
            .find(|key| place == key.name || place.starts_with(&format!("{}.", key.name)) || place.starts_with(&format!("{}[", key.name)));
        let source = match key.map(|key| self.source(key.name)) {
            Some(Source::File(..)) => self.document.source(place),
            Some(source) => source,
            None => Source::Default,
        };
        Fault { key: Some(place.to_owned()), source, message: with_nearest(place, error.message()) }
    }
}

fn no_carrier() -> Error {
    Error::new(Kind::Invalid, "must be exactly one of simulated, twilio, elevenlabs, webhook and routed")
}

fn no_assistant() -> Error {
    Error::new(Kind::Invalid, "must be exactly one of openai and scripted")
}

/// A field as the table has it: what is looked at as a URL may be called otherwise there.
fn written<'a>(field: &'a str, table: &Value) -> &'a str {
    if field == "url" && table.get("url").is_none() && table.get("base_url").is_some() { "base_url" } else { field }
}

fn field(error: &Error) -> Option<&str> {
    error.context().iter().find(|(name, _)| *name == "field").map(|(_, field)| field.as_str())
}

/// Within the description of a dialer or an assistant: the table of settings, of this route when there are several.
fn innermost<'a>(place: &str, description: &'a mut Value, route: Option<&str>) -> (String, &'a mut Value) {
    let only = description.as_object().filter(|table| table.len() == 1).and_then(|table| table.keys().next().cloned());
    let Some(only) = only else { return (place.to_owned(), description) };
    let place = format!("{place}.{only}");
    let inner = &mut description[only.as_str()];
    let index = route.and_then(|route| inner.as_array()?.iter().position(|one| one["name"] == route));
    match index {
        Some(index) => innermost(&format!("{place}[{index}].dialer"), &mut inner[index]["dialer"], None),
        None => (place, inner),
    }
}

/// Says to carriers that can be called back where, unless their description does.
fn name_callbacks(description: &mut Value, base: &str) {
    let Some(description) = description.as_object_mut() else { return };
    for (name, settings) in description.iter_mut() {
        match (name.as_str(), settings) {
            ("twilio", Value::Object(settings)) => {
                settings.entry("public_base_url").or_insert_with(|| json!(base));
            }
            ("webhook", Value::Object(settings)) => {
                let usual = WebhookConfig::default().callback_path;
                let path = settings.get("callback_path").and_then(Value::as_str).unwrap_or(&usual).to_owned();
                settings.entry("callback_url").or_insert_with(|| json!(format!("{base}{path}")));
            }
            ("routed", Value::Array(routes)) => routes.iter_mut().for_each(|route| name_callbacks(&mut route["dialer"], base)),
            _ => {}
        }
    }
}

/// Where a reader lists what it knows, which of it is meant.
fn with_nearest(place: &str, message: &str) -> String {
    let Some(known) = message.strip_prefix("is no setting; there are ") else { return message.to_owned() };
    let name = place.rsplit('.').next().unwrap_or(place);
    match keys::nearest(name, known.split('`').skip(1).step_by(2)) {
        Some(near) => format!("is no setting; did you mean `{near}`?"),
        None => message.to_owned(),
    }
}
