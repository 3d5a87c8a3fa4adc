//! Bounds on what a request may take, and the headers every answer carries.

use crate::options::ServerOptions;
use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::{RequestBodyTimeoutLayer, TimeoutLayer};

/// What every answer carries unless it says otherwise: nothing is to be guessed, framed, cached or passed on.
const HEADERS: &[(HeaderName, &str)] = &[
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::CACHE_CONTROL, "no-store"),
];

/// A request that takes longer is answered with 503: what it began may still be carried out, so the client asks how things stand.
pub(crate) fn time(time: Duration) -> TimeoutLayer {
    TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, time)
}

/// A client that stops sending in the middle of a body is not waited for.
pub(crate) fn body_idle(options: &ServerOptions) -> RequestBodyTimeoutLayer {
    RequestBodyTimeoutLayer::new(options.body_idle_timeout)
}

/// Headers of every answer, and CORS when origins are named.
pub(crate) fn headers(mut router: Router, options: &ServerOptions) -> Router {
    for (name, value) in HEADERS {
        router = router.layer(SetResponseHeaderLayer::if_not_present(name.clone(), HeaderValue::from_static(value)));
    }
    let origins: Vec<HeaderValue> = options.allowed_origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    if origins.is_empty() {
        return router;
    }
    router.layer(
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
            .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, HeaderName::from_static("idempotency-key")])
            .max_age(Duration::from_secs(600)),
    )
}
