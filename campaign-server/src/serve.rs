//! Listening: HTTP/1 with limits that a plain accept loop has not.

use crate::options::{Access, ServerOptions};
use crate::router::with_state;
use crate::state::AppState;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use campaign_core::{Engine, Error, Kind, Result};
use futures_util::future::{Either, select};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt;

/// How long a client may take for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Connections at once.
const MOST_CONNECTIONS: u32 = 20_000;
/// How long open requests are waited for when the server stops.
const DRAIN: Duration = Duration::from_secs(30);

/// Checks that these settings may listen here: a server without keys is for this machine only.
///
/// # Errors
/// [`Kind::Invalid`] for an open server on an address that others can reach, or when keys are needed and there is none.
pub async fn check(engine: &Engine, options: &ServerOptions, address: SocketAddr) -> Result<()> {
    if let Access::Open { .. } = options.access {
        if address.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        return Err(Error::new(
            Kind::Invalid,
            "a server without API keys may only listen on this machine (127.0.0.1 or ::1); create a key with `campaign keys create`",
        ));
    }
    let keys = crate::auth::Keys::new(Arc::clone(engine.store()), Arc::clone(engine.executor()));
    if is_loopback(address.ip()) || keys.any().await? {
        return Ok(());
    }
    let none = if keys.list().await?.is_empty() { "there is no API key yet" } else { "every API key is revoked" };
    Err(Error::new(Kind::Invalid, format!("{none}, so nobody could call; create one with `campaign keys create`")))
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Serves until `stop` resolves, then finishes what is being answered (for at most half a minute). The engine is left running.
///
/// # Errors
/// As [`check`], and when the address of the listener cannot be read.
pub async fn serve(listener: TcpListener, engine: Engine, options: ServerOptions, stop: impl Future<Output = ()> + Send) -> Result<()> {
    let address = listener.local_addr().map_err(unreachable_address)?;
    check(&engine, &options, address).await?;
    let state = AppState::new(engine, options);
    let router = with_state(state.clone());
    accept(listener, router, state, stop).await;
    Ok(())
}

fn unreachable_address(error: std::io::Error) -> Error {
    Error::new(Kind::Unavailable, "the listening address cannot be read").with_source(error)
}

async fn accept(listener: TcpListener, router: Router, state: AppState, stop: impl Future<Output = ()> + Send) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS as usize));
    let (stopping, stopped) = watch::channel(false);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(64 * 1024);
    let mut stop = pin!(stop);
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { break };
        let accepted = match select(pin!(listener.accept()), stop.as_mut()).await {
            Either::Left((accepted, _)) => accepted,
            Either::Right(_) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely; the connections that end give some back.
                tracing::warn!(%error, "a connection could not be accepted");
                state.sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Small answers at once: progress messages are small.
        let _ = stream.set_nodelay(true);
        let service = router.clone().map_request(|request: Request<Incoming>| request.map(Body::new));
        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).with_upgrades();
        let mut stopped = stopped.clone();
        state.engine().executor().spawn(Box::pin(async move {
            let mut connection = pin!(connection);
            // What it gives is a lock of the channel, which must not be held while the connection goes on.
            let told = async { drop(stopped.wait_for(|stopped| *stopped).await) };
            let ended = match select(connection.as_mut(), pin!(told)).await {
                Either::Left((ended, _)) => ended,
                Either::Right(_) => {
                    // What is being answered is answered; the next request is not taken.
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        }));
    }
    drop(listener);
    let _ = stopping.send(true);
    // Every place is free again when every connection has ended; WebSockets have left theirs already.
    let all = room.acquire_many(MOST_CONNECTIONS);
    select(pin!(all), pin!(state.sleep(DRAIN))).await;
}
