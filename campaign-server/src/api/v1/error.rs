//! Errors as FastAPI writes them: `{"detail": "..."}`, and for a request that is not acceptable a list of places.

use crate::error::{Failure, Fault, Shape};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{OpenApi, ToSchema};

/// The shape of API 1.
pub(crate) struct FastApi;

/// What handlers of API 1 fail with.
pub(crate) type Fail = Failure<FastApi>;

impl Shape for FastApi {
    fn body(fault: &Fault) -> Value {
        if fault.fields.is_empty() {
            return json!({ "detail": fault.message });
        }
        let detail: Vec<Value> =
            fault.fields.iter().map(|field| json!({ "loc": field.loc, "msg": field.message, "type": field.code })).collect();
        json!({ "detail": detail })
    }
}

/// The schemas of errors.
#[derive(OpenApi)]
#[openapi(components(schemas(Detail, ValidationError)))]
pub(crate) struct Errors;

/// An error in one sentence.
#[derive(Serialize, ToSchema)]
pub(crate) struct Detail {
    /// What went wrong.
    #[schema(example = "Campaign not found")]
    detail: String,
}

/// A request that is not acceptable.
#[derive(Serialize, ToSchema)]
pub(crate) struct ValidationError {
    /// Every place that is to blame, or one sentence.
    detail: ValidationDetail,
}

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the answer; it is made in `FastApi::body`")]
pub(crate) enum ValidationDetail {
    /// The places.
    Places(Vec<Place>),
    /// One sentence, when no place is to blame.
    Sentence(String),
}

/// A place that is to blame.
#[derive(Serialize, ToSchema)]
pub(crate) struct Place {
    /// `body`, `query` or `path`, then names and positions.
    #[schema(example = json!(["body", "name"]))]
    loc: Vec<Value>,
    /// One sentence.
    msg: String,
    /// A stable code.
    r#type: String,
}
