//! The span of a request: method, route and status. Never the path as it was asked for, a query, a header or a body.

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use tracing::field::Empty;
use tracing::{Instrument, Span, debug_span};

/// Puts a request into a span of its own, within the trace that its `traceparent` names.
pub(crate) async fn trace(request: Request, next: Next) -> Response {
    let method = known(request.method());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let name = route.as_ref().map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
    let span = debug_span!(
        parent: None,
        "request",
        otel.name = name,
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
    );
    within_theirs(&span, &request);
    let response = next.run(request).instrument(span.clone()).await;
    let status = response.status();
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    response
}

/// A method by its name. Anybody can make one up, and write anything into it.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "_OTHER",
    }
}

/// Of what came along, the ids are taken; `tracestate` and `baggage` can hold anything, and are not passed on.
#[cfg(feature = "otel")]
fn within_theirs(span: &Span, request: &Request) {
    use opentelemetry::Context;
    use opentelemetry::propagation::TextMapPropagator;
    use opentelemetry::trace::{SpanContext, TraceContextExt, TraceState};
    use opentelemetry_http::HeaderExtractor;
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    if span.is_disabled() {
        return;
    }
    let theirs = TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(request.headers()));
    let theirs = theirs.span().span_context().clone();
    if theirs.is_valid() {
        let bare = SpanContext::new(theirs.trace_id(), theirs.span_id(), theirs.trace_flags(), true, TraceState::NONE);
        // Where nobody sends spans there is nothing to be a part of.
        let _ = span.set_parent(Context::new().with_remote_span_context(bare));
    }
}

#[cfg(not(feature = "otel"))]
fn within_theirs(_: &Span, _: &Request) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_that_somebody_made_up_have_no_name() {
        assert_eq!(known(&Method::PATCH), "PATCH");
        assert_eq!(known(&Method::from_bytes(b"+12125550123").unwrap()), "_OTHER");
    }
}
