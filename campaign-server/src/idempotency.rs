//! `Idempotency-Key`: a POST that is sent again is answered again, and happens once.
//!
//! The answer is kept as a document of the store, so it holds over restarts and over all processes. A key belongs to the API key that
//! sent it. The same key with another request is refused with 422; with a request that is still being carried out, with 409.
//!
//! What is kept has three moments: *begun* (a mark, so that a second request sees the first), *answered*, and *expired*. A mark whose
//! process died is taken over after half an hour. Answers of the kind "the server failed" are not kept: trying again may help.

use crate::auth::Principal;
use crate::error::{Failure, Fault, Shape};
use crate::state::AppState;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use campaign_core::store::{DocumentQuery, PutDocument};
use campaign_core::{Engine, Error, Kind};
use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::sync::oneshot;

const COLLECTION: &str = "idempotency";
/// The header of the request.
const KEY: &str = "idempotency-key";
/// The header of an answer that was given before.
const REPLAYED: &str = "idempotency-replayed";
/// Longest key.
const LONGEST: usize = 256;
/// A request that has not been answered for so long died with its process; longer than the longest time-out.
const ABANDONED: SignedDuration = SignedDuration::from_mins(30);
/// Expired answers are removed at most this often.
const TIDY_EVERY: i64 = 3600;

#[derive(Serialize, Deserialize)]
struct Kept {
    fingerprint: String,
    begun_at: Timestamp,
    #[serde(default)]
    answer: Option<Answer>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Answer {
    status: u16,
    body: String,
}

/// A request with a key that nobody has carried out yet.
pub(crate) struct Begun {
    engine: Engine,
    key: String,
    kept: Kept,
    revision: u64,
}

/// What a key says about a request.
pub(crate) enum Verdict {
    /// Carry it out; no key was sent.
    Plain,
    /// Carry it out, then say how it ended.
    First(Box<Begun>),
    /// It was answered before.
    Again(Response),
}

/// Looks at the key of a request. `fingerprint` tells requests apart.
///
/// # Errors
/// 422 for another request under the same key or a key that is too long, 409 while the first is being carried out.
pub(crate) async fn begin(
    state: &AppState,
    headers: &HeaderMap,
    principal: &Principal,
    fingerprint: impl FnOnce() -> String,
) -> Result<Verdict, Fault> {
    let Some(given) = headers.get(KEY) else { return Ok(Verdict::Plain) };
    if given.is_empty() || given.len() > LONGEST {
        let message = format!("Idempotency-Key must have 1 to {LONGEST} characters");
        return Err(Fault::new(StatusCode::UNPROCESSABLE_ENTITY, message));
    }
    let engine = state.engine().clone();
    tidy(state);
    let owner = principal.key.as_deref().unwrap_or_default();
    let key = digest([owner.as_bytes(), given.as_bytes()]);
    let now = engine.now();
    let kept = Kept { fingerprint: fingerprint(), begun_at: now, answer: None };
    match put(&engine, &key, &kept, 0).await {
        Ok(revision) => return Ok(Verdict::First(Box::new(Begun { engine, key, kept, revision }))),
        Err(error) if error.kind() == Kind::Conflict => {}
        Err(error) => return Err(error.into()),
    }
    let busy =
        || Fault::new(StatusCode::CONFLICT, "A request with this Idempotency-Key is being carried out").retry_after(Duration::from_secs(1));
    let query = DocumentQuery { collection: COLLECTION.to_owned(), key: Some(key.clone()), after: None, limit: 1 };
    let Some(document) = engine.store().documents(query).await?.into_iter().next() else { return Err(busy()) };
    let earlier: Kept = serde_json::from_value(document.value)
        .map_err(|error| Error::new(Kind::Corrupt, "a kept answer cannot be read").with_source(error))?;
    let age = now.duration_since(earlier.begun_at);
    let lifetime = SignedDuration::try_from(state.options().idempotency_lifetime).unwrap_or(SignedDuration::MAX);
    let over = age > lifetime || (earlier.answer.is_none() && age > ABANDONED);
    if over {
        let revision = put(&engine, &key, &kept, document.revision).await.map_err(|error| match error.kind() {
            Kind::Conflict => busy(),
            _ => error.into(),
        })?;
        return Ok(Verdict::First(Box::new(Begun { engine, key, kept, revision })));
    }
    if earlier.fingerprint != kept.fingerprint {
        let message = "This Idempotency-Key was used with another request; use a new key for a new request";
        return Err(Fault::new(StatusCode::UNPROCESSABLE_ENTITY, message));
    }
    let Answer { status, body } = earlier.answer.ok_or_else(busy)?;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(Verdict::Again(response))
}

impl Begun {
    /// Keeps the answer, and gives it on. A failure of the server is forgotten instead, so that the next request tries again.
    pub(crate) async fn end(self, response: Response) -> Response {
        let (parts, body) = response.into_parts();
        let Self { engine, key, mut kept, revision } = self;
        let bytes = match to_bytes(body, usize::MAX).await {
            Ok(bytes) => bytes,
            Err(_) => Bytes::new(),
        };
        let text = std::str::from_utf8(&bytes).ok();
        let written = match text.filter(|_| !parts.status.is_server_error() && parts.status != StatusCode::TOO_MANY_REQUESTS) {
            Some(text) => {
                kept.answer = Some(Answer { status: parts.status.as_u16(), body: text.to_owned() });
                put(&engine, &key, &kept, revision).await.map(drop)
            }
            None => engine.store().delete_document(COLLECTION.to_owned(), key).await.map(drop),
        };
        if let Err(error) = written {
            tracing::error!(?error, "the answer to an Idempotency-Key could not be kept");
        }
        Response::from_parts(parts, Body::from(bytes))
    }
}

/// Put into a request by a layer around the route: its handler asks [`begin`] itself.
#[derive(Clone, Copy)]
pub(crate) struct LooksItself;

pub(crate) fn is_multipart(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.get(..10).is_some_and(|start| start.eq_ignore_ascii_case("multipart/"))
}

/// The layer of the APIs: what is begun under a key is carried out to its end, also when the client has gone meanwhile.
///
/// Forms are left alone, and so are routes that say they [look themselves](LooksItself): a file is not read into memory. Their handlers
/// ask [`begin`] once it is on the disk.
pub(crate) async fn layer<S: Shape>(State(state): State<AppState>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST || !request.headers().contains_key(KEY) || is_multipart(request.headers()) {
        return next.run(request).await;
    }
    if request.extensions().get::<LooksItself>().is_some() {
        return next.run(request).await;
    }
    let Some(principal) = request.extensions().get::<Principal>().cloned() else { return next.run(request).await };
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, state.options().max_body_bytes).await else {
        return Failure::<S>::from(Fault::new(StatusCode::PAYLOAD_TOO_LARGE, "The request body is too large")).into_response();
    };
    let fingerprint = || digest([parts.method.as_str().as_bytes(), parts.uri.to_string().as_bytes(), &body]);
    let begun = match begin(&state, &parts.headers, &principal, fingerprint).await {
        Ok(Verdict::Plain) => return next.run(Request::from_parts(parts, Body::from(body))).await,
        Ok(Verdict::First(begun)) => begun,
        Ok(Verdict::Again(response)) => return response,
        Err(fault) => return Failure::<S>::from(fault).into_response(),
    };
    let request = Request::from_parts(parts, Body::from(body));
    to_the_end::<S>(&state, Some(begun), async move { next.run(request).await }).await
}

/// Carries out what was begun to its end, whether or not somebody waits for it, and keeps the answer. A panic is an answer too: the
/// server failed.
pub(crate) async fn to_the_end<S: Shape>(
    state: &AppState,
    begun: Option<Box<Begun>>,
    work: impl Future<Output = Response> + Send + 'static,
) -> Response {
    let failed = || Failure::<S>::from(Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")).into_response();
    let (send, receive) = oneshot::channel();
    state.engine().executor().spawn(Box::pin(async move {
        let answer = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!("a handler panicked");
            failed()
        });
        let answer = match begun {
            Some(begun) => begun.end(answer).await,
            None => answer,
        };
        // Nobody waits any more when the client has gone.
        let _ = send.send(answer);
    }));
    receive.await.unwrap_or_else(|_| failed())
}

/// SHA-256 over parts with their lengths, in hexadecimal digits.
pub(crate) fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn put(engine: &Engine, key: &str, kept: &Kept, revision: u64) -> campaign_core::Result<u64> {
    let value = serde_json::to_value(kept).map_err(|error| Error::new(Kind::Internal, "an answer must serialise").with_source(error))?;
    let put = PutDocument { collection: COLLECTION.to_owned(), key: key.to_owned(), value, expected_revision: Some(revision) };
    engine.store().put_document(put).await
}

/// Removes expired answers now and then, beside the requests.
fn tidy(state: &AppState) {
    let now = state.now();
    if !state.is_time_to_tidy(now.as_second(), TIDY_EVERY) {
        return;
    }
    let engine = state.engine().clone();
    let lifetime = SignedDuration::try_from(state.options().idempotency_lifetime).unwrap_or(SignedDuration::MAX);
    state.engine().executor().spawn(Box::pin(async move {
        if let Err(error) = remove_expired(&engine, now, lifetime).await {
            tracing::warn!(%error, "expired answers could not be removed");
        }
    }));
}

async fn remove_expired(engine: &Engine, now: Timestamp, lifetime: SignedDuration) -> campaign_core::Result<()> {
    let mut after = None;
    loop {
        let query = DocumentQuery { collection: COLLECTION.to_owned(), key: None, after: after.take(), limit: 1000 };
        let page = engine.store().documents(query).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.key.clone());
        for document in page {
            let old = serde_json::from_value::<Kept>(document.value).map_or(true, |kept| now.duration_since(kept.begun_at) > lifetime);
            if old {
                engine.store().delete_document(COLLECTION.to_owned(), document.key).await?;
            }
        }
    }
}
