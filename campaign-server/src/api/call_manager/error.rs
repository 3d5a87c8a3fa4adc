//! Errors of the two layers. Neither knows a 422.

use crate::error::{Failure, Fault, Shape};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{OpenApi, ToSchema};

/// The shape of the proxy.
pub(crate) struct Proxy;

/// The shape of the service.
pub(crate) struct Service;

/// What handlers of a layer answer.
pub(super) type Reply<S> = Result<axum::Json<Value>, Failure<S>>;

/// What is wrong, in one sentence: these layers have no other place for the name of a field.
pub(super) fn sentence(fault: &Fault) -> String {
    let Some(field) = fault.fields.first() else { return fault.message.clone() };
    let mut place = String::new();
    for part in field.loc.iter().skip(1) {
        match part.as_str() {
            Some(name) if place.is_empty() => place.push_str(name),
            Some(name) => place.extend([".", name]),
            None => place.push_str(&format!("[{part}]")),
        }
    }
    if place.is_empty() { fault.message.clone() } else { format!("{place} {}", fault.message) }
}

fn status(fault: &Fault) -> StatusCode {
    match fault.status {
        StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
        other => other,
    }
}

impl Shape for Proxy {
    fn body(fault: &Fault) -> Value {
        match fault.status {
            // As documented, without `success`.
            StatusCode::UNAUTHORIZED => json!({ "error": "Missing authorization token" }),
            StatusCode::FORBIDDEN => json!({ "error": "No workspace access", "message": fault.message }),
            _ => json!({ "success": false, "error": sentence(fault) }),
        }
    }

    fn status(fault: &Fault) -> StatusCode {
        status(fault)
    }
}

impl Shape for Service {
    fn body(fault: &Fault) -> Value {
        match fault.status {
            StatusCode::UNAUTHORIZED => json!({ "success": false, "error": "Missing authorization token" }),
            _ => json!({ "success": false, "error": sentence(fault) }),
        }
    }

    fn status(fault: &Fault) -> StatusCode {
        status(fault)
    }
}

/// The schemas of errors.
#[derive(OpenApi)]
#[openapi(components(schemas(BatchError)))]
pub(crate) struct Errors;

/// An error: one sentence, or a list of what is wrong with the body.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchError {
    /// False; not there when there is no API key.
    success: Option<bool>,
    /// One sentence.
    error: Option<String>,
    /// What is wrong, field by field.
    errors: Option<Vec<BatchFieldError>>,
    /// What the service behind the proxy said.
    #[schema(value_type = Option<Object>)]
    details: Option<Value>,
}

/// One field that is not acceptable.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchFieldError {
    /// Always `field`.
    r#type: String,
    /// One sentence.
    #[schema(example = "call_name es requerido")]
    msg: String,
    /// Which field.
    path: String,
    /// Always `body`.
    location: String,
}
