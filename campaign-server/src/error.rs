//! What goes wrong with a request, before the API it was made to gives it its shape.
//!
//! Handlers return [`Failure<S>`]; `S` is the API's [`Shape`]. An engine's error becomes a [`Fault`] in one place, by the status that
//! [`campaign_core::Kind`] carries, so that the APIs differ in words and never in meaning.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use campaign_core::{Error, Kind, Retry};
use serde_json::Value;
use std::marker::PhantomData;
use std::time::Duration;

/// What is wrong with one part of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFault {
    /// Where: `body`, `query` or `path`, then names and positions.
    pub loc: Vec<Value>,
    /// One sentence; never holds what was given.
    pub message: String,
    /// A stable code, for example `missing`.
    pub code: &'static str,
}

/// What went wrong with a request.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The HTTP status.
    pub status: StatusCode,
    /// One sentence for a person; never holds a number, a token or a text.
    pub message: String,
    /// The parts that are to blame, when they are known.
    pub fields: Vec<FieldFault>,
    /// When trying again may help.
    pub retry_after: Option<Duration>,
    /// The engine's kind, when it was the engine that refused.
    pub kind: Option<Kind>,
}

impl Fault {
    /// With a status and a sentence.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), fields: Vec::new(), retry_after: None, kind: None }
    }

    /// Something that does not exist, or is another organisation's: callers cannot tell.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("{what} not found"))
    }

    /// A request that cannot be carried out as things are.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Parts of the request that are not acceptable.
    pub fn fields(fields: Vec<FieldFault>) -> Self {
        let message = fields.first().map_or("The request is not valid", |field| field.message.as_str()).to_owned();
        Self { fields, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, message) }
    }

    /// With a time after which it may work.
    #[must_use]
    pub fn retry_after(mut self, time: Duration) -> Self {
        self.retry_after = Some(time);
        self
    }

    /// With another status.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let status = StatusCode::from_u16(error.kind().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            // The client learns what kind of thing failed; only the log says how.
            tracing::error!(error = ?error, "a request failed");
        }
        let of = |name: &str| error.context().iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone());
        let template = of("template").filter(|_| error.kind() == Kind::Template);
        let field = of("field").or_else(|| template.as_deref().map(field_of_template));
        let message = match error.kind() {
            Kind::Corrupt | Kind::Internal | Kind::User => "Internal server error".to_owned(),
            Kind::Template if template.is_some() => match (of("line"), of("column")) {
                (Some(line), Some(column)) => format!("{} (line {line}, column {column})", error.message()),
                _ => error.message().to_owned(),
            },
            // Where it happened is said in `loc` already.
            _ if field.is_some() => error.message().to_owned(),
            _ => error.to_string(),
        };
        let fields = match field {
            Some(field) if status == StatusCode::UNPROCESSABLE_ENTITY => {
                let loc = std::iter::once(Value::from("body")).chain(field.split('.').map(Value::from)).collect();
                vec![FieldFault { loc, message: message.clone(), code: "value_error" }]
            }
            _ => Vec::new(),
        };
        let retry_after = match error.retry() {
            Retry::After(time) => Some(time.max(Duration::from_secs(1))),
            Retry::Never | Retry::Exhausted => None,
        };
        Self { status, message, fields, retry_after, kind: Some(error.kind()) }
    }
}

/// The field of a body that a template came in: `welcome_message` in `welcome_message_template`; those of steps have paths already.
fn field_of_template(name: &str) -> String {
    if name.contains('.') || name.ends_with("_template") { name.to_owned() } else { format!("{name}_template") }
}

/// How an API writes its errors.
pub trait Shape: Send + Sync + 'static {
    /// The body of the answer.
    fn body(fault: &Fault) -> Value;

    /// The status of the answer, for an API that knows fewer of them.
    fn status(fault: &Fault) -> StatusCode {
        fault.status
    }
}

/// A fault in the shape of an API.
pub struct Failure<S>(pub Fault, PhantomData<S>);

impl<S> std::fmt::Debug for Failure<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl<S, E: Into<Fault>> From<E> for Failure<S> {
    fn from(error: E) -> Self {
        Self(error.into(), PhantomData)
    }
}

impl<S: Shape> IntoResponse for Failure<S> {
    fn into_response(self) -> Response {
        let fault = self.0;
        let mut response = (S::status(&fault), axum::Json(S::body(&fault))).into_response();
        if let Some(time) = fault.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(time.as_secs().max(1)));
        }
        if fault.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_status_and_inner_matters_stay_inside() {
        for row in Kind::TABLE {
            let fault = Fault::from(Error::new(row.0, "the secret reason"));
            assert_eq!(fault.status.as_u16(), row.4, "{}", row.1);
            assert_eq!(fault.message.contains("secret"), !matches!(row.0, Kind::Corrupt | Kind::Internal | Kind::User), "{}", row.1);
        }
    }

    #[test]
    fn fields_say_where() {
        let fault = Fault::from(Error::invalid("schedule.timezone", "must be a zone"));
        assert_eq!(fault.fields[0].loc, ["body", "schedule", "timezone"]);
        assert_eq!((fault.fields[0].message.as_str(), fault.fields[0].code), ("must be a zone", "value_error"));
        let template = Error::new(Kind::Template, "unexpected `}`").with("template", "agenda").with("line", 2).with("column", 7);
        let fault = Fault::from(template);
        assert_eq!((fault.status.as_u16(), &fault.fields[0].loc), (422, &vec!["body".into(), "agenda_template".into()]));
        assert_eq!(fault.message, "unexpected `}` (line 2, column 7)");
        assert_eq!(Fault::from(Error::new(Kind::Unavailable, "busy")).retry_after, Some(Duration::from_secs(1)));
    }
}
