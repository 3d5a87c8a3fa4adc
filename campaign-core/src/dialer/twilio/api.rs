//! The few requests of Twilio's REST API that are needed.

use super::config::TwilioConfig;
use super::errors::{refusal, told};
use crate::dialer::DialError;
use crate::error::{Error, Kind, Result};
use crate::http::signature::base64;
use crate::http::{Answer, Body, Exchange, HttpClient, HttpOptions, Method};
use serde_json::Value;

/// Fields of a form, in order; a name may come more than once.
pub(super) type Fields = Vec<(String, String)>;

/// Adds a field.
pub(super) fn put(fields: &mut Fields, name: &str, value: impl Into<String>) {
    fields.push((name.to_owned(), value.into()));
}

/// What is created and asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resource {
    Calls,
    Messages,
}

impl Resource {
    /// The name in paths.
    fn path(self) -> &'static str {
        match self {
            Self::Calls => "Calls",
            Self::Messages => "Messages",
        }
    }

    /// The name of a list in its answer.
    fn list(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Messages => "messages",
        }
    }
}

/// Entries of a page of a list; a page must fit into [`HttpOptions::max_answer`].
const PAGE_SIZE: u32 = 100;
/// Pages of a list that are read at most.
const PAGES: usize = 50;

/// The API of one account.
pub(super) struct Api {
    http: HttpClient,
    origin: String,
    /// The path of the account.
    account: String,
    /// The header `Authorization`.
    authorization: String,
}

impl Api {
    pub(super) fn new(config: &TwilioConfig) -> Result<Self> {
        let options = HttpOptions {
            timeout: config.request_timeout,
            connect_timeout: HttpOptions::default().connect_timeout.min(config.request_timeout),
            ..HttpOptions::default()
        };
        let (user, secret) = match (&config.api_key_sid, &config.api_key_secret) {
            (Some(sid), Some(secret)) => (sid.as_str(), secret.as_str()),
            _ => (config.account_sid.as_str(), config.auth_token.as_deref().unwrap_or_default()),
        };
        Ok(Self {
            http: HttpClient::new(options)?,
            origin: config.origin(),
            account: format!("/2010-04-01/Accounts/{}", config.account_sid),
            authorization: format!("Basic {}", base64(format!("{user}:{secret}").as_bytes())),
        })
    }

    /// Places a call or sends a message, once. The resource has a sid.
    pub(super) async fn create(&self, resource: Resource, fields: Fields) -> Result<Value, DialError> {
        let path = format!("{}/{}.json", self.account, resource.path());
        match self.send(Method::Post, &path, Body::Form(fields)).await {
            Exchange::NotSent(error) => Err(DialError::Transient(error)),
            Exchange::Lost(error) => Err(DialError::InDoubt(error)),
            Exchange::Answered(answer) if answer.is_success() => answer
                .json()
                .filter(|resource| resource["sid"].as_str().is_some_and(|sid| !sid.is_empty()))
                .ok_or_else(|| DialError::InDoubt(told("Twilio's answer cannot be read.", answer.status, None))),
            Exchange::Answered(answer) => Err(refusal(answer.status, error_code(&answer), answer.retry_after())),
        }
    }

    /// A call or message as it is now; `None` when Twilio has none with this sid.
    pub(super) async fn fetch(&self, resource: Resource, sid: &str) -> Result<Option<Value>> {
        let answer = answered(self.send(Method::Get, &self.path_of(resource, sid)?, Body::Empty).await)?;
        if answer.status == 404 {
            return Ok(None);
        }
        read(&answer).map(Some)
    }

    /// Changes a call: ends it, or gives it other instructions. The resource as it is after that.
    pub(super) async fn update_call(&self, sid: &str, fields: Fields) -> Result<Value> {
        let path = self.path_of(Resource::Calls, sid)?;
        read(&answered(self.send(Method::Post, &path, Body::Form(fields)).await)?)
    }

    /// Everything that fits a query, whatever its order; `None` when that is more than can be read.
    pub(super) async fn list(&self, resource: Resource, query: &[(&str, &str)]) -> Result<Option<Vec<Value>>> {
        let size = PAGE_SIZE.to_string();
        let asked = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).append_pair("PageSize", &size).finish();
        let mut path = format!("{}/{}.json?{asked}", self.account, resource.path());
        let mut found = Vec::new();
        for _ in 0..PAGES {
            let page = read(&answered(self.send(Method::Get, &path, Body::Empty).await)?)?;
            let Some(entries) = page[resource.list()].as_array() else {
                return Err(Error::new(Kind::Provider, "Twilio's list cannot be read"));
            };
            found.extend(entries.iter().cloned());
            match page["next_page_uri"].as_str() {
                // Only paths of the API: the credentials go along.
                Some(next) if next.starts_with("/2010-04-01/") => path = next.to_owned(),
                _ => return Ok(Some(found)),
            }
        }
        Ok(None)
    }

    fn path_of(&self, resource: Resource, sid: &str) -> Result<String> {
        // A sid from a callback or a store becomes a part of a path.
        if sid.is_empty() || !sid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Error::new(Kind::Provider, "the reference is not one of Twilio's"));
        }
        Ok(format!("{}/{}/{sid}.json", self.account, resource.path()))
    }

    async fn send(&self, method: Method, path: &str, body: Body) -> Exchange {
        let headers = [("authorization", self.authorization.as_str()), ("accept", "application/json")];
        self.http.send(method, &format!("{}{path}", self.origin), &headers, body).await
    }
}

/// The answer to a request that may be repeated.
fn answered(exchange: Exchange) -> Result<Answer> {
    match exchange {
        Exchange::Answered(answer) => Ok(answer),
        Exchange::NotSent(error) | Exchange::Lost(error) => Err(error),
    }
}

fn read(answer: &Answer) -> Result<Value> {
    if !answer.is_success() {
        return Err(told("Twilio refused the request", answer.status, error_code(answer)));
    }
    answer.json().ok_or_else(|| told("Twilio's answer cannot be read", answer.status, None))
}

fn error_code(answer: &Answer) -> Option<u32> {
    answer.json()?["code"].as_u64().and_then(|code| u32::try_from(code).ok())
}
