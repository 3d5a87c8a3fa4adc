//! The WebSocket of a carrier's conversation relay: the engine's assistant on the telephone.
//!
//! Twilio opens it as it is told in the instructions for the call, either where the documents say, `/webhooks/twilio/stream`, or below the
//! callbacks, where the dialer looks for it by itself. Whoever may open it speaks as the person, so its handshake must be signed by the
//! provider. Close codes: 1000 when the conversation is over, 1001 when the server goes away, 1008 when the call is none of ours, 1011 when
//! the engine has no assistant, 1013 when there are too many sockets, 4000 when the server failed.

use crate::state::AppState;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{OriginalUri, Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use campaign_core::Kind;
use campaign_core::dialer::CallbackRequest;
use campaign_core::engine::RelaySession;
use futures_util::future::{Either, select};
use std::pin::pin;
use std::time::Duration;

/// The longest frame of the carrier.
const LONGEST: usize = 256 * 1024;
/// How long the carrier may take for the first frame, which says which call it is.
const SETUP: Duration = Duration::from_secs(15);

struct Closing(u16, &'static str);

/// The assistant's side of a call that Twilio relays as text (`<ConversationRelay>`). The handshake is signed by Twilio.
#[utoipa::path(get, path = "/webhooks/twilio/stream", operation_id = "twilio_stream", tag = "callbacks", security(()),
    responses(
        (status = 101, description = "A WebSocket"),
        (status = 400, description = "No WebSocket was asked for"),
        (status = 403, description = "It is not signed by Twilio"),
        (status = 426, description = "No WebSocket was asked for"),
    ))]
pub(crate) async fn stream(State(state): State<AppState>, upgrade: WebSocketUpgrade, request: Request) -> Response {
    open(state, upgrade, &request)
}

/// Opens the socket when its handshake is the provider's.
pub(crate) fn open(state: AppState, upgrade: WebSocketUpgrade, request: &Request) -> Response {
    let url = request.extensions().get::<OriginalUri>().map_or(request.uri(), |OriginalUri(uri)| uri).to_string();
    let headers = request.headers().iter().filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
    let handshake = CallbackRequest { method: Method::GET.to_string(), url, headers: headers.collect(), body: Vec::new() };
    if !state.engine().is_signed(&handshake) {
        tracing::warn!("a relay was refused: its handshake is not signed by the provider");
        return StatusCode::FORBIDDEN.into_response();
    }
    upgrade.max_message_size(LONGEST).max_frame_size(LONGEST).on_upgrade(move |socket| run(state, socket))
}

async fn run(state: AppState, mut socket: WebSocket) {
    let Closing(code, reason) = converse(&state, &mut socket).await;
    let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
    // A carrier that is gone cannot be told; one that is there answers the closing.
    let farewell = pin!(async {
        let _ = socket.send(Message::Close(Some(frame))).await;
        while let Some(Ok(_)) = socket.recv().await {}
    });
    select(farewell, pin!(state.sleep(Duration::from_secs(1)))).await;
}

async fn converse(state: &AppState, socket: &mut WebSocket) -> Closing {
    let Some(_ticket) = state.sockets().enter(None) else { return Closing(1013, "too many connections; try again later") };
    let setup = {
        let first = pin!(first_text(socket));
        match select(first, pin!(state.sleep(SETUP))).await {
            Either::Left((Some(text), _)) => text,
            Either::Left((None, _)) | Either::Right(_) => return Closing(1008, "the first frame must be a setup"),
        }
    };
    let mut session = match state.engine().relay(&setup).await {
        Ok(session) => session,
        Err(error) => {
            tracing::warn!(%error, "a relay could not begin");
            return match error.kind() {
                Kind::NotFound | Kind::Invalid => Closing(1008, "this call is not known"),
                Kind::State => Closing(1011, "there is no assistant"),
                Kind::Closed => Closing(1001, "the server is going away"),
                _ => Closing(4000, "internal error"),
            };
        }
    };
    let closing = carry(state, socket, &mut session).await;
    // What was said becomes part of the conversation, and of the attempt's outcome.
    if let Err(error) = session.close().await {
        tracing::error!(%error, "what was said in a call could not be written down yet");
    }
    closing
}

async fn first_text(socket: &mut WebSocket) -> Option<String> {
    loop {
        match socket.recv().await?.ok()? {
            Message::Text(text) => return Some(text.to_string()),
            Message::Close(_) => return None,
            Message::Ping(_) | Message::Pong(_) | Message::Binary(_) => {}
        }
    }
}

/// Frames of the carrier in, frames for it out, until either side ends it.
async fn carry(state: &AppState, socket: &mut WebSocket, session: &mut RelaySession) -> Closing {
    let interval = state.options().socket_ping_interval;
    let mut silent = 0;
    let mut tick = Box::pin(state.sleep(interval));
    loop {
        tokio::select! {
            // Whoever interrupts is heard before anything else is said.
            biased;
            frame = socket.recv() => {
                silent = 0;
                match frame {
                    Some(Ok(Message::Text(text))) => session.receive(&text),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return Closing(1000, ""),
                    Some(Ok(_)) => {}
                }
            }
            frame = session.next() => {
                let Some(frame) = frame else { return Closing(1000, "the conversation is over") };
                let late = state.sleep(state.options().socket_send_timeout);
                if !matches!(select(pin!(socket.send(Message::Text(frame.into()))), pin!(late)).await, Either::Left((Ok(()), _))) {
                    return Closing(1001, "the carrier does not read");
                }
            }
            () = &mut tick => {
                if silent >= 2 || socket.send(Message::Ping(Default::default())).await.is_err() {
                    return Closing(1001, "the carrier is silent");
                }
                silent += 1;
                tick = Box::pin(state.sleep(interval));
            }
            () = state.engine().stopped() => return Closing(1001, "the server is going away"),
        }
    }
}
