//! A small HTTP server on the loopback interface that can also break a connection off.

#![expect(clippy::disallowed_methods, reason = "a network runs on tasks of its own")]

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// A request, read to its end.
#[derive(Debug, Clone)]
pub struct Request {
    /// For example `POST`.
    pub method: String,
    /// Path and query.
    pub url: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Byte for byte.
    pub body: Vec<u8>,
}

impl Request {
    /// The first header of this lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The path alone.
    pub fn path(&self) -> &str {
        self.url.split('?').next().unwrap_or_default()
    }

    /// The fields of the query.
    pub fn query(&self) -> Vec<(String, String)> {
        let query = self.url.split_once('?').map_or("", |(_, query)| query);
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    /// The fields of a form.
    pub fn form(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(&self.body).into_owned().collect()
    }
}

/// What becomes of a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// An answer.
    Answer {
        /// The status.
        status: u16,
        /// Headers beside the length.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// The connection is closed without an answer.
    BreakOff,
}

impl Reply {
    /// An answer in JSON.
    pub fn json(status: u16, value: &serde_json::Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self::Answer { status, headers, body: value.to_string().into_bytes() }
    }
}

type Handler = Arc<dyn Fn(Request) -> BoxFuture<'static, Reply> + Send + Sync>;

/// Serves until it is dropped; connections end with it.
#[derive(Debug)]
pub struct Server {
    port: u16,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Starts one on a free port. Call it inside of a tokio runtime.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start<F: Future<Output = Reply> + Send + 'static>(
        handle: impl Fn(Request) -> F + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::start_at(0, handle).await
    }

    /// Starts one on this port.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn start_at<F: Future<Output = Reply> + Send + 'static>(
        port: u16,
        handle: impl Fn(Request) -> F + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let port = listener.local_addr()?.port();
        let handler: Handler = Arc::new(move |request| Box::pin(handle(request)));
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let handler = Arc::clone(&handler);
                let service = service_fn(move |request| answer(Arc::clone(&handler), request));
                connections.spawn(async move {
                    // Whoever breaks off on the other side does not matter here.
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { port, accepting })
    }

    /// Its URL, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn answer(handler: Handler, request: hyper::Request<Incoming>) -> Result<hyper::Response<Full<Bytes>>, io::Error> {
    let (head, body) = request.into_parts();
    let broken = |what: &str| io::Error::other(what.to_owned());
    let body = body.collect().await.map_err(|_| broken("the body broke off"))?.to_bytes().to_vec();
    let headers =
        head.headers.iter().filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))).collect();
    let url = head.uri.path_and_query().map_or_else(|| head.uri.path().to_owned(), ToString::to_string);
    match handler(Request { method: head.method.to_string(), url, headers, body }).await {
        Reply::Answer { status, headers, body } => {
            let mut response = hyper::Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response.body(Full::new(Bytes::from(body))).map_err(|_| broken("an answer that is none"))
        }
        // An error of the service closes the connection without a byte.
        Reply::BreakOff => Err(broken("broken off on purpose")),
    }
}
