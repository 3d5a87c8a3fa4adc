//! 1000 requests per hour and API key. Every answer of this API says how many are left, those that no route gives too.
//!
//! Each process counts by itself, so several on one store let a key send 1000 requests each. Counting together would put a write into every
//! request, reading ones too. What must hold over all processes are the limits of campaigns, and those are in the store.

use super::error::Voice;
use crate::auth::{Credential, Principal};
use crate::error::{Failure, Fault};
use crate::state::AppState;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;

/// Requests per hour and key.
const LIMIT: u32 = 1000;
const HOUR: i64 = 3600;
/// Keys remembered before those of past hours are forgotten.
const KEPT: usize = 10_000;

/// What every path of this API begins with.
const PATHS: &[&str] = &["/api/voice-campaigns", "/api/voice-leads", "/api/company/voice-leads"];
/// The header that tells an answer that was counted.
const REMAINING: &str = "x-ratelimit-remaining";

/// How many requests each key has made within its hour, which begins with its first. Counted by this process alone: with several nodes each
/// lets through so many.
#[derive(Default)]
pub(crate) struct Hourly(Mutex<HashMap<String, Counted>>);

#[derive(Clone, Copy)]
struct Counted {
    /// When the hour began, in seconds since the epoch.
    since: i64,
    requests: u32,
}

/// What a key may still do.
#[derive(Debug, PartialEq, Eq)]
struct Allowance {
    allowed: bool,
    remaining: u32,
    /// When the hour ends, in seconds since the epoch.
    reset: i64,
}

impl Hourly {
    fn take(&self, key: &str, now: i64) -> Allowance {
        let mut keys = self.0.lock();
        if keys.len() >= KEPT {
            keys.retain(|_, counted| now - counted.since < HOUR);
        }
        let counted = keys.entry(key.to_owned()).or_insert(Counted { since: now, requests: 0 });
        if now - counted.since >= HOUR {
            *counted = Counted { since: now, requests: 0 };
        }
        let allowed = counted.requests < LIMIT;
        counted.requests += u32::from(allowed);
        Allowance { allowed, remaining: LIMIT - counted.requests, reset: counted.since + HOUR }
    }
}

/// The layer: counts, refuses what is too much, and says so in the headers of either.
pub(super) async fn layer(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let key = request.extensions().get::<Principal>().and_then(|principal| principal.key.clone()).unwrap_or_default();
    let now = state.now().as_second();
    let allowance = state.voice_hourly().take(&key, now);
    let mut response = if allowance.allowed {
        next.run(request).await
    } else {
        let wait = Duration::from_secs((allowance.reset - now).unsigned_abs());
        Failure::<Voice>::from(Fault::new(StatusCode::TOO_MANY_REQUESTS, "Rate limit exceeded").retry_after(wait)).into_response()
    };
    write(response.headers_mut(), &allowance, now);
    response
}

/// The layer around all routes: what was answered below the paths of this API without one of its handlers (no key, no such path or method,
/// too late) is counted and written as its other answers are. A caller without a key has an hour before it.
pub(crate) async fn around(State(state): State<AppState>, request: Request, next: Next) -> Response {
    if !is_ours(request.uri().path()) {
        return next.run(request).await;
    }
    let credential = Credential::bearer(request.headers());
    let mut response = next.run(request).await;
    if response.headers().contains_key(REMAINING) {
        return response;
    }
    let now = state.now().as_second();
    let allowance = match Principal::of(&state, credential).await {
        Ok(principal) => state.voice_hourly().take(&principal.key.unwrap_or_default(), now),
        Err(_) => Allowance { allowed: true, remaining: LIMIT, reset: now + HOUR },
    };
    // What the guard refuses has its shape already.
    if !matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        response = reshaped(response);
    }
    write(response.headers_mut(), &allowance, now);
    response
}

fn is_ours(path: &str) -> bool {
    PATHS.iter().any(|start| path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// The same status and headers, with an error of this API as the body. What is no error stays as it is.
fn reshaped(response: Response) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let sentence = match status {
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::METHOD_NOT_ALLOWED => "Method not allowed",
        StatusCode::INTERNAL_SERVER_ERROR => "Internal server error",
        other => other.canonical_reason().unwrap_or("The request failed"),
    };
    let mut shaped = Failure::<Voice>::from(Fault::new(status, sentence)).into_response();
    for (name, value) in response.headers() {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            shaped.headers_mut().append(name, value.clone());
        }
    }
    shaped
}

/// The names in use for it: with `X-` the reset is a moment, without it the seconds until then.
fn write(headers: &mut HeaderMap, allowance: &Allowance, now: i64) {
    for (name, value) in [
        ("x-ratelimit-limit", i64::from(LIMIT)),
        (REMAINING, i64::from(allowance.remaining)),
        ("x-ratelimit-reset", allowance.reset),
        ("ratelimit-limit", i64::from(LIMIT)),
        ("ratelimit-remaining", i64::from(allowance.remaining)),
        ("ratelimit-reset", allowance.reset - now),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_this_api_are_its_own() {
        assert!(is_ours("/api/voice-campaigns") && is_ours("/api/voice-leads/1/x") && is_ours("/api/company/voice-leads/company/1"));
        assert!(!is_ours("/api/voice-campaigns-of-others") && !is_ours("/api/campaigns") && !is_ours("/api/v1/voice-leads"));
    }

    #[test]
    fn an_hour_has_a_thousand_requests_and_each_key_its_own() {
        let hourly = Hourly::default();
        for request in 1..=LIMIT {
            assert_eq!(hourly.take("a", 100), Allowance { allowed: true, remaining: LIMIT - request, reset: 3700 });
        }
        assert_eq!(hourly.take("a", 3699), Allowance { allowed: false, remaining: 0, reset: 3700 });
        assert!(hourly.take("b", 3699).allowed);
        assert_eq!(hourly.take("a", 3700), Allowance { allowed: true, remaining: LIMIT - 1, reset: 7300 });
    }
}
