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

/// Whether this is an origin as browsers send it: a scheme, a host, a port when it is not the usual one, and nothing else.
pub(crate) fn is_origin(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else { return false };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    url.host_str().is_some_and(|host| !host.is_empty() && !host.contains('*') && text == format!("{}://{host}{port}", url.scheme()))
}

/// Headers of every answer, and CORS when origins are named.
pub(crate) fn headers(mut router: Router, options: &ServerOptions) -> Router {
    for (name, value) in HEADERS {
        router = router.layer(SetResponseHeaderLayer::if_not_present(name.clone(), HeaderValue::from_static(value)));
    }
    let (origins, others): (Vec<&String>, Vec<&String>) = options.allowed_origins.iter().partition(|origin| is_origin(origin));
    for origin in others {
        tracing::warn!(origin, "this is no origin, so nobody may call from it; an origin is https://host or https://host:port");
    }
    let origins: Vec<HeaderValue> = origins.into_iter().filter_map(|origin| origin.parse().ok()).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_browsers_send() {
        for fine in ["https://a.example", "http://localhost:3000", "https://[::1]:8443", "capacitor://localhost"] {
            assert!(is_origin(fine), "{fine}");
        }
        for wrong in
            ["*", "", "null", "a.example", "https://", "https://a.example/", "https://A.example", "https://a.example:443", "https://*"]
        {
            assert!(!is_origin(wrong), "{wrong}");
        }
    }
}
