//! A real server on loopback over each store, and a client that reads what it says.

#![allow(dead_code, unreachable_pub, unused_imports, unused_macros, clippy::unwrap_used, reason = "each test file uses a part of it")]

pub mod replay;

use campaign_core::Engine;
use campaign_core::dialer::{
    Capabilities, CarrierProfile, DialContext, DialError, DialRequest, Dialer, FindRequest, Found, SimulatedDialer,
};
use campaign_core::outcome::{Channel, Disposition, Outcome};
use campaign_core::store::{ContactStore, open_store};
use campaign_server::auth::{Keys, NewKey, Scope};
use campaign_server::{Access, ServerOptions, serve};
use futures_util::future::{BoxFuture, Either, select};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async};

/// A running server. Stops when it is dropped.
pub struct Server {
    pub engine: Engine,
    pub address: SocketAddr,
    pub keys: Keys,
    stop: Option<oneshot::Sender<()>>,
    _folder: Option<tempfile::TempDir>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: hyper::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {}", String::from_utf8_lossy(&self.body)))
    }
}

/// Asks a server.
#[derive(Clone, Copy)]
pub struct Client {
    pub address: SocketAddr,
}

impl Client {
    /// Sends a request and reads the answer.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let mut request = hyper::Request::builder().method(method).uri(path).header("host", self.address.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let asked = async {
            let response = sender.send_request(request.body(Full::new(body.into())).unwrap()).await.unwrap();
            let (parts, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes().to_vec();
            Answer { status: parts.status.as_u16(), headers: parts.headers, body }
        };
        let mut asked = pin!(asked);
        match select(asked.as_mut(), pin!(connection)).await {
            Either::Left((answer, _)) => answer,
            // What came before the connection ended is still to be read.
            Either::Right(_) => asked.await,
        }
    }

    /// Sends JSON with a key.
    pub async fn call(&self, key: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        self.send(method, path, &headers, body.map(Value::to_string).unwrap_or_default()).await
    }
}

/// The stores every promise is tested on.
pub fn stores() -> [&'static str; 2] {
    ["sqlite", "postgres"]
}

/// A store of one's own, and the folder it lies in.
pub async fn new_store(store: &str) -> (Arc<dyn ContactStore>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let url = match store {
        "sqlite" => format!("sqlite://{}", folder.path().join("test.db").display()),
        "postgres" => {
            let server = campaign_tests::postgres::Server::shared();
            format!("{}?schema={}", server.url(), campaign_tests::postgres::Server::schema())
        }
        other => panic!("no store {other}"),
    };
    (open_store(&url).await.unwrap(), folder)
}

/// Makes tests of functions that take the name of a store.
macro_rules! on_each_store {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $name() { super::$name("sqlite").await })*
        }
        mod postgres {
            $(#[tokio::test] async fn $name() { super::$name("postgres").await })*
        }
    };
}
pub(crate) use on_each_store;

impl Server {
    /// On a store of its own, with keys, and a carrier that answers at once and names its calls.
    pub async fn on(store: &str) -> Self {
        let carrier = CarrierProfile { gives_reference: true, ..CarrierProfile::instant() };
        Self::with(store, SimulatedDialer::new(carrier, 1), |_| {}).await
    }

    pub async fn with(store: &str, dialer: impl campaign_core::dialer::Dialer, change: impl FnOnce(&mut ServerOptions)) -> Self {
        let (store, folder) = new_store(store).await;
        let engine = Engine::builder().shared_store(store).dialer(dialer).build().await.unwrap();
        Self::over(engine, Some(folder), change).await
    }

    /// Over an engine of one's own.
    pub async fn over(engine: Engine, folder: Option<tempfile::TempDir>, change: impl FnOnce(&mut ServerOptions)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let options = ServerOptions::default().with(change);
        let keys = Keys::new(Arc::clone(engine.store()), Arc::clone(engine.executor()));
        let served: BoxFuture<'static, ()> = {
            let engine = engine.clone();
            Box::pin(async move {
                serve::serve(listener, engine, options, async {
                    let _ = stopped.await;
                })
                .await
                .unwrap();
            })
        };
        engine.executor().spawn(served);
        Self { engine, address, keys, stop: Some(stop), _folder: folder }
    }

    /// A key of an organisation.
    pub async fn key(&self, scope: Scope, organization: Option<i64>) -> String {
        let new = NewKey { name: "test".to_owned(), scopes: vec![scope], organization_id: organization };
        self.keys.create(new).await.unwrap().1
    }

    /// Sends a request and reads the answer.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        Client { address: self.address }.send(method, path, headers, body).await
    }

    /// Sends JSON with a key.
    pub async fn call(&self, key: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        Client { address: self.address }.call(key, method, path, body).await
    }

    /// Opens a WebSocket with little room for what is not read.
    pub async fn slow_socket(&self, path: &str) -> WebSocketStream<TcpStream> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        client_async(format!("ws://{}{path}", self.address), stream).await.unwrap().0
    }

    /// Opens a WebSocket.
    pub async fn socket(&self, path: &str, headers: &[(&'static str, &str)]) -> WebSocketStream<TcpStream> {
        self.try_socket(path, headers).await.unwrap()
    }

    /// Opens a WebSocket, when it is not refused.
    pub async fn try_socket(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<WebSocketStream<TcpStream>, tokio_tungstenite::tungstenite::Error> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let mut request = format!("ws://{}{path}", self.address).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
        }
        Ok(client_async(request, stream).await?.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        self.engine.abort();
    }
}

/// A carrier that reaches everybody at once, names each call and message, and leaves the price open.
pub struct Prompt;

#[campaign_core::async_trait]
impl Dialer for Prompt {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn dial(&self, request: DialRequest, context: DialContext) -> Result<Outcome, DialError> {
        let reference = format!("ref-{}", request.attempt_id);
        context.placed(reference.clone()).await.map_err(DialError::InDoubt)?;
        let outcome = if request.channel == Channel::Call { Outcome::answered(12) } else { Outcome::new(Disposition::Delivered) };
        Ok(outcome.with_provider_ref(reference))
    }

    async fn find(&self, _: FindRequest) -> campaign_core::Result<Found> {
        Ok(Found::Unknown)
    }
}

/// A form with files and texts: name, file name, content.
pub fn form(parts: &[(&str, Option<&str>, &[u8])]) -> (String, Vec<u8>) {
    let boundary = "a-boundary-that-nobody-writes";
    let mut body = Vec::new();
    for (name, file, content) in parts {
        let file = file.map(|file| format!("; filename=\"{file}\"")).unwrap_or_default();
        body.extend_from_slice(format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n").as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={boundary}"), body)
}

/// A server that needs no keys.
pub fn open(options: &mut ServerOptions) {
    options.access = Access::Open { organization: Some(1) };
}
