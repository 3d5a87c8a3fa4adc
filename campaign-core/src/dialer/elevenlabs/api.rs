//! The account behind dialer and batches: address, key, connections.

use super::config::ElevenLabsConfig;
use crate::error::{Error, Result};
use crate::http::{Body, Exchange, HttpClient, Method};
use serde_json::Value;

/// Requests to one account. Cheap to clone.
#[derive(Clone)]
pub(super) struct Api {
    http: HttpClient,
    base: String,
    key: crate::http::Secret,
}

impl Api {
    pub(super) fn new(config: &ElevenLabsConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self { http: HttpClient::new(config.http())?, base: config.base(), key: config.api_key.clone() })
    }

    pub(super) fn with_http(self, http: HttpClient) -> Self {
        Self { http, ..self }
    }

    pub(super) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Exchange {
        let headers = [("xi-api-key", self.key.expose()), ("accept", "application/json")];
        let body = body.map_or(Body::Empty, |body| Body::Json(body.to_string().into_bytes()));
        self.http.send(method, &format!("{}{path}", self.base), &headers, body).await
    }

    /// Asks for something. `None`: there is no such thing.
    ///
    /// # Errors
    /// When ElevenLabs cannot be reached or refuses.
    pub(super) async fn get(&self, path: &str) -> Result<Option<Value>> {
        match self.send(Method::Get, path, None).await {
            Exchange::NotSent(error) | Exchange::Lost(error) => Err(error),
            Exchange::Answered(answer) if answer.status == 404 => Ok(None),
            Exchange::Answered(answer) if answer.is_success() => answer.json().map(Some).ok_or_else(unreadable),
            Exchange::Answered(answer) => Err(super::errors::failure(&answer)),
        }
    }
}

pub(super) fn unreadable() -> Error {
    Error::new(crate::error::Kind::Provider, "ElevenLabs answered something that cannot be read")
}

/// A part of a path or a value of a query; everything that could mean something there is written in percent.
pub(super) fn escaped(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}
