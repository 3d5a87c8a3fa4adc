//! The OpenAPI document, made from the handlers, and the page that shows it to people.

use crate::page;
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::Arc;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
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

/// Says in every operation of an API what it answers when it cannot: `sentence` is the schema of an error, `places` that of a request
/// that is not acceptable. Operations without a key have none of it.
pub(crate) fn add_failures(document: &mut utoipa::openapi::OpenApi, sentence: &str, places: &str) {
    const FAILURES: &[(&str, &str)] = &[
        ("400", "It is not possible as things are"),
        ("401", "There is no API key, or it does not work"),
        ("403", "The API key does not reach so far"),
        ("404", "There is no such thing"),
        ("409", "Somebody else is changing it, or the same request is being carried out"),
        ("413", "The body is too large"),
        ("422", "The request is not acceptable"),
        ("429", "Too much at once; `Retry-After` says when to try again"),
        ("500", "The server failed"),
        ("503", "It cannot be done now; try again"),
        ("507", "The disk is full"),
    ];
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in operations.into_iter().flatten().filter(|operation| operation.security.is_none()) {
            for (status, description) in FAILURES {
                let schema = if *status == "422" { places } else { sentence };
                let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
                let response = ResponseBuilder::new().description(*description).content("application/json", content).build();
                operation.responses.responses.entry((*status).to_owned()).or_insert_with(|| RefOr::T(response));
            }
        }
    }
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
