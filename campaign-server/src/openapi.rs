//! The OpenAPI document, made from the handlers, and the page that shows it to people.

use crate::page;
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::Arc;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Campaign engine",
        description = "Outbound campaigns over HTTP. Every path is served with and without a trailing slash. A POST may carry an \
                       `Idempotency-Key`: sent again, it is answered again and happens once.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    modifiers(&Bearer),
    security(("bearer" = []))
)]
struct Frame;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("An API key, `campaign keys create`.")).build();
        document.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The frame that the APIs put their paths into.
pub(crate) fn frame() -> utoipa::openapi::OpenApi {
    Frame::openapi()
}

/// `/openapi.json` and the API page under `/docs`, without a key: they hold nothing of anybody.
pub(crate) fn routes(document: &utoipa::openapi::OpenApi) -> Router {
    // The document is made of texts and numbers, so it always serialises.
    let json: Arc<str> = document.to_pretty_json().unwrap_or_default().into();
    let html: Arc<str> = page::render(&serde_json::to_value(document).unwrap_or_default()).into();
    let json = get(move || {
        let json = Arc::clone(&json);
        async move { ([(header::CONTENT_TYPE, "application/json")], json.to_string()) }
    });
    let html = get(move || {
        let html = Arc::clone(&html);
        async move {
            let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
            (
                [(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")), (header::CONTENT_SECURITY_POLICY, policy)],
                html.to_string(),
            )
                .into_response()
        }
    });
    Router::new().route("/openapi.json", json).route("/docs", html)
}
