//! Settings of the server.

use crate::speech::Speech;
use campaign_core::http::Reach;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Who may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Only who has an API key, within its scope and its organisation.
    Keys,
    /// Everybody, with every right; what they create belongs to this organisation. For a machine of one's own: [`crate::serve`] refuses
    /// to listen on a public address with it, and requests are refused (403) whose `Host` or `Origin` is neither of this machine nor of
    /// [`ServerOptions::allowed_origins`], so that no web page can use it through a browser.
    Open {
        /// The organisation of what is created; `None` sees and does everything without one.
        organization: Option<i64>,
    },
}

/// Settings of [`crate::router`]. The defaults suit a server on the internet behind a proxy that speaks TLS.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerOptions {
    /// Who may call. Default: only who has a key.
    pub access: Access,
    /// Bytes of a request body that is not an uploaded file. Default 2 MiB.
    pub max_body_bytes: usize,
    /// Bytes of an upload, form fields included. Default 256 MiB.
    pub max_upload_bytes: usize,
    /// Where the server is reached from outside, for example `https://campaigns.example.com`: what it tells others to call is below it.
    /// Default: the host that a request was made to.
    pub public_url: Option<String>,
    /// How long a request may take. Default 30 s.
    pub request_timeout: Duration,
    /// How long an upload may take with its import. Default 15 min.
    pub upload_timeout: Duration,
    /// How long a client may be silent in the middle of a request body. Default 30 s.
    pub body_idle_timeout: Duration,
    /// Web pages of these origins may call (CORS), for example `https://dashboard.example.com`. What is no origin, `*` among
    /// it, is left out, and the log says so. Default: none.
    pub allowed_origins: Vec<String>,
    /// The country whose national numbers API 1 understands (`5551234567`), ISO 3166. Default `US`, as its documents say.
    pub default_region: Option<String>,
    /// Events kept for one WebSocket reader before it misses some. Default 256, at least 16.
    pub socket_buffer: usize,
    /// How long a WebSocket reader may take for one message before the connection is given up. Default 30 s.
    pub socket_send_timeout: Duration,
    /// How often an idle WebSocket is pinged. A reader that answers neither of two pings is gone. Default 30 s.
    pub socket_ping_interval: Duration,
    /// WebSockets open at once. Default 10,000.
    pub max_sockets: usize,
    /// Where uploads are kept while they are read. Default: the system's folder for temporary files.
    pub upload_folder: Option<PathBuf>,
    /// How long the answer to an `Idempotency-Key` is kept. Default 24 h.
    pub idempotency_lifetime: Duration,
    /// Where the addresses of webhooks may lead. Default: by `https` to public addresses.
    pub webhook_reach: Reach,
    /// How long the receiver of a webhook may take. Default 15 s.
    pub webhook_timeout: Duration,
    /// Speech into text and back for conversations in a browser. Default: none, so that people write.
    pub speech: Option<Arc<dyn Speech>>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            access: Access::Keys,
            max_body_bytes: 2 << 20,
            max_upload_bytes: 256 << 20,
            public_url: None,
            request_timeout: Duration::from_secs(30),
            upload_timeout: Duration::from_secs(900),
            body_idle_timeout: Duration::from_secs(30),
            allowed_origins: Vec::new(),
            default_region: Some("US".to_owned()),
            socket_buffer: 256,
            socket_send_timeout: Duration::from_secs(30),
            socket_ping_interval: Duration::from_secs(30),
            max_sockets: 10_000,
            upload_folder: None,
            idempotency_lifetime: Duration::from_secs(24 * 3600),
            webhook_reach: Reach::Public,
            webhook_timeout: Duration::from_secs(15),
            speech: None,
        }
    }
}

impl ServerOptions {
    /// Changes settings, in one expression.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}
