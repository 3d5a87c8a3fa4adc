//! Errors as this API writes them: `error`, and the same or more of it as `message`. It knows no 422.

use crate::error::{Failure, Fault, Shape};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{OpenApi, ToSchema};

/// The shape of this API.
pub(crate) struct Voice;

/// What its handlers fail with.
pub(crate) type Fail = Failure<Voice>;

/// What its handlers answer.
pub(crate) type Reply = Result<axum::Json<Value>, Fail>;

impl Shape for Voice {
    fn body(fault: &Fault) -> Value {
        match fault.status {
            StatusCode::UNAUTHORIZED => {
                json!({ "error": "No valid authentication token provided", "message": "Authentication required" })
            }
            StatusCode::UNPROCESSABLE_ENTITY => json!({ "error": "Invalid request parameters", "message": spoken(fault) }),
            _ => json!({ "error": fault.message, "message": fault.message }),
        }
    }

    fn status(fault: &Fault) -> StatusCode {
        match fault.status {
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            other => other,
        }
    }
}

/// What is wrong, with the name of the field in front.
pub(super) fn spoken(fault: &Fault) -> String {
    let Some(field) = fault.fields.first() else { return fault.message.clone() };
    let names: Vec<String> = field.loc.iter().skip(1).map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned)).collect();
    format!("{} {}", names.join("."), field.message)
}

/// A request that is not acceptable, in this sentence.
pub(super) fn bad(message: impl Into<String>) -> Fault {
    Fault::new(StatusCode::UNPROCESSABLE_ENTITY, message)
}

/// The schemas of errors.
#[derive(OpenApi)]
#[openapi(components(schemas(VoiceError)))]
pub(crate) struct Errors;

/// An error.
#[derive(Serialize, ToSchema)]
pub(crate) struct VoiceError {
    /// What went wrong.
    #[schema(example = "Voice campaign not found")]
    error: String,
    /// The same, or more of it.
    message: String,
}
