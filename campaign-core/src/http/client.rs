//! Requests to providers. What matters is not that one failed but whether it can have had an effect.

use super::guard::{GuardedResolver, Reach, check_url};
use crate::error::{Error, Kind, Result};
use crate::executor::SharedExecutor;
use reqwest::redirect::Policy;
use std::sync::Arc;
use std::time::Duration;

/// The methods that providers' APIs use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates or changes.
    Post,
    /// Replaces.
    Put,
    /// Changes in part.
    Patch,
    /// Removes.
    Delete,
}

/// What is sent.
#[derive(Clone, Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// Fields of a form; a name may come more than once.
    Form(Vec<(String, String)>),
    /// JSON text, exactly as it was signed.
    Json(Vec<u8>),
    /// Bytes whose media type is among the headers.
    Bytes(Vec<u8>),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Form(_) => "Form(..)",
            Self::Json(_) => "Json(..)",
            Self::Bytes(_) => "Bytes(..)",
        })
    }
}

/// Settings of an [`HttpClient`].
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Longest time from the first byte sent to the last byte of the answer. Default 15 s.
    pub timeout: Duration,
    /// Longest time to connect. Default 5 s.
    pub connect_timeout: Duration,
    /// Longest answer in bytes that is read; a longer one counts as lost. Default 1 MiB.
    pub max_answer: usize,
    /// Where URLs may lead. Default [`Reach::Anywhere`]: the program chose them. URLs that come from users need [`Reach::Public`].
    pub reach: Reach,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(15), connect_timeout: Duration::from_secs(5), max_answer: 1 << 20, reach: Reach::Anywhere }
    }
}

/// An answer, read to its end.
#[derive(Clone)]
pub struct Answer {
    /// The status, for example 201.
    pub status: u16,
    /// Headers with lower-case names.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

impl Answer {
    /// The first header of this lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether the status is one of success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What `Retry-After` says in seconds; a date is not understood, which providers do not send.
    pub fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after")
            .and_then(|value| value.trim().parse::<f64>().ok())
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }

    /// The body as JSON.
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// How a request ended. The middle and the last must not be confused.
#[derive(Debug)]
pub enum Exchange {
    /// The other side answered.
    Answered(Answer),
    /// Not one byte of the request was sent: no name, no connection, no TLS. It certainly had no effect.
    NotSent(Error),
    /// It was sent, at least in part, and the answer did not come whole. Nobody knows whether it had an effect.
    Lost(Error),
}

/// A client that keeps connections. Cheap to clone. It follows no redirects, reads no proxy from the environment and repeats nothing.
#[derive(Clone)]
pub struct HttpClient {
    client: reqwest::Client,
    options: HttpOptions,
    clock: Option<SharedExecutor>,
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpClient").field("options", &self.options).finish_non_exhaustive()
    }
}

impl HttpClient {
    /// A client with these settings.
    ///
    /// # Errors
    /// [`Kind::Internal`] when TLS cannot be set up.
    pub fn new(options: HttpOptions) -> Result<Self> {
        let failed = |error: &dyn std::fmt::Display| Error::new(Kind::Internal, format!("the HTTP client cannot be set up: {error}"));
        let mut roots = rustls::RootCertStore::empty();
        // A machine without certificates can still speak to loopback; a call over TLS then fails as not sent, and says why.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .timeout(options.timeout)
            .connect_timeout(options.connect_timeout)
            .user_agent(concat!("campaign-core/", env!("CARGO_PKG_VERSION")));
        if options.reach == Reach::Public {
            builder = builder.dns_resolver(GuardedResolver);
        }
        Ok(Self { client: builder.build().map_err(|error| failed(&error))?, options, clock: None })
    }

    /// Holds this executor while a request is under way, so that virtual time does not run past an answer that comes in real time.
    /// The runtime of tokio that carries the connections must be entered where the executor runs. Real clocks need none of this.
    #[must_use]
    pub fn holding(mut self, executor: SharedExecutor) -> Self {
        self.clock = Some(executor);
        self
    }

    /// Sends one request, once.
    pub async fn send(&self, method: Method, url: &str, headers: &[(&str, &str)], body: Body) -> Exchange {
        let _hold = self.clock.as_ref().map(|clock| clock.hold());
        let parsed = match check_url(url, self.options.reach) {
            Ok(parsed) => parsed,
            Err(error) => return Exchange::NotSent(error),
        };
        let method = match method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut request = self.client.request(method, parsed);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request = match body {
            Body::Empty => request,
            Body::Form(fields) => {
                let text = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
                request.header("content-type", "application/x-www-form-urlencoded").body(text)
            }
            Body::Json(bytes) => request.header("content-type", "application/json").body(bytes),
            Body::Bytes(bytes) => request.body(bytes),
        };
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return failed(&error),
        };
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
            .collect();
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= self.options.max_answer => body.extend_from_slice(&chunk),
                Ok(Some(_)) => return Exchange::Lost(Error::new(Kind::Provider, "the answer is longer than we read")),
                Ok(None) => return Exchange::Answered(Answer { status, headers, body }),
                Err(error) => return failed(&error),
            }
        }
    }

    /// Sends a request whose answer is read piece by piece. The status has been looked at when this returns.
    ///
    /// # Errors
    /// [`Kind::Provider`] when there is no answer of success.
    pub async fn stream(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<impl futures_util::Stream<Item = Result<Vec<u8>>> + Send + use<>> {
        use futures_util::StreamExt as _;
        let parsed = check_url(url, self.options.reach)?;
        let mut request = self.client.post(parsed).header("content-type", "application/json").body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.map_err(|error| explained(&error))?;
        if !response.status().is_success() {
            return Err(Error::new(Kind::Provider, format!("the other side answered {}", response.status().as_u16())));
        }
        Ok(response.bytes_stream().map(|piece| piece.map(|bytes| bytes.to_vec()).map_err(|error| explained(&error))))
    }
}

/// Only what fails while connecting certainly sent nothing.
fn failed(error: &reqwest::Error) -> Exchange {
    let said = explained(error);
    if error.is_connect() || error.is_builder() { Exchange::NotSent(said) } else { Exchange::Lost(said) }
}

/// One sentence without the URL, which may hold a token or a number.
fn explained(error: &reqwest::Error) -> Error {
    let what = if error.is_builder() {
        "the request cannot be built; check the URL and the headers"
    } else if error.is_connect() {
        "no connection to the other side"
    } else if error.is_timeout() {
        "no answer in time"
    } else {
        "the connection broke before the answer was whole"
    };
    Error::new(Kind::Provider, what)
}
