//! The one error type of the engine.
//!
//! A [`Kind`] says what sort of thing went wrong, a separate [`Retry`] says whether trying again can help, and the context names
//! where (file, line, field). Messages are for people and never hold a phone number, a token or the text of a message.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// `Result` with the engine's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of thing went wrong.
///
/// Every kind maps to exactly one exception class in Python, one `code` in JavaScript and one HTTP status; see [`Kind::TABLE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// An argument, a field or a file is not acceptable as it is.
    Invalid,
    /// The thing named does not exist.
    NotFound,
    /// The thing exists already, or somebody else changed it in between.
    Conflict,
    /// The step is not possible in the present state, for example pausing a draft.
    State,
    /// A template does not compile or render.
    Template,
    /// A limit of the engine or of a provider was reached; nothing was done.
    Throttled,
    /// The store cannot be reached or is busy.
    Unavailable,
    /// The store is damaged or from a newer version.
    Corrupt,
    /// The disk (or the quota) is full.
    Full,
    /// This node has lost its lease; its claims belong to others now.
    Stale,
    /// The engine is shutting down.
    Closed,
    /// The provider reported an error.
    Provider,
    /// User code (a dialer, a store, a campaign, a template) failed or panicked.
    User,
    /// A defect of the engine itself.
    Internal,
}

impl Kind {
    /// Every kind with its wire code, Python class, JavaScript code and HTTP status. The bindings read this table; a test walks it.
    pub const TABLE: &'static [(Kind, &'static str, &'static str, &'static str, u16)] = &[
        (Kind::Invalid, "invalid", "InvalidError", "ERR_CAMPAIGN_INVALID", 422),
        (Kind::NotFound, "not_found", "NotFoundError", "ERR_CAMPAIGN_NOT_FOUND", 404),
        (Kind::Conflict, "conflict", "ConflictError", "ERR_CAMPAIGN_CONFLICT", 409),
        (Kind::State, "state", "StateError", "ERR_CAMPAIGN_STATE", 400),
        (Kind::Template, "template", "TemplateError", "ERR_CAMPAIGN_TEMPLATE", 422),
        (Kind::Throttled, "throttled", "ThrottledError", "ERR_CAMPAIGN_THROTTLED", 429),
        (Kind::Unavailable, "unavailable", "UnavailableError", "ERR_CAMPAIGN_UNAVAILABLE", 503),
        (Kind::Corrupt, "corrupt", "CorruptError", "ERR_CAMPAIGN_CORRUPT", 500),
        (Kind::Full, "full", "FullError", "ERR_CAMPAIGN_FULL", 507),
        (Kind::Stale, "stale", "StaleError", "ERR_CAMPAIGN_STALE", 409),
        (Kind::Closed, "closed", "ClosedError", "ERR_CAMPAIGN_CLOSED", 503),
        (Kind::Provider, "provider", "ProviderError", "ERR_CAMPAIGN_PROVIDER", 502),
        (Kind::User, "user", "UserCodeError", "ERR_CAMPAIGN_USER", 500),
        (Kind::Internal, "internal", "InternalError", "ERR_CAMPAIGN_INTERNAL", 500),
    ];

    /// The stable lower-case name, for example `not_found`.
    pub fn as_str(self) -> &'static str {
        Self::TABLE.iter().find(|row| row.0 == self).map_or("internal", |row| row.1)
    }

    /// The HTTP status a server answers with.
    pub fn http_status(self) -> u16 {
        Self::TABLE.iter().find(|row| row.0 == self).map_or(500, |row| row.4)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether trying the same thing again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same call fails the same way.
    Never,
    /// The same call may succeed after the given time (zero: at once).
    After(Duration),
    /// It was worth retrying, and the retries were used up below; do not multiply them.
    Exhausted,
}

/// What went wrong, where, and what to do about it. Cheap to clone.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: Kind,
    retry: Retry,
    message: String,
    context: Vec<(&'static str, String)>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error with a message that a person can act on.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let retry = match kind {
            Kind::Unavailable | Kind::Throttled => Retry::After(Duration::from_millis(100)),
            _ => Retry::Never,
        };
        Self(Arc::new(Inner { kind, retry, message: message.into(), context: Vec::new(), source: None }))
    }

    /// Shorthand for [`Kind::Invalid`] about one field.
    pub fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message).with("field", field)
    }

    /// Shorthand for [`Kind::NotFound`], for example `Error::not_found("campaign", 42)`.
    pub fn not_found(what: &'static str, id: impl fmt::Display) -> Self {
        Self::new(Kind::NotFound, format!("{what} {id} does not exist"))
    }

    /// Adds where it happened; keys are short nouns such as `file`, `line`, `column`, `field`, `campaign`.
    #[must_use]
    pub fn with(self, key: &'static str, value: impl fmt::Display) -> Self {
        self.change(|inner| inner.context.push((key, value.to_string())))
    }

    /// Replaces the retry class.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        self.change(|inner| inner.retry = retry)
    }

    /// Keeps the error that caused this one; a foreign exception stays alive in it.
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let source: Arc<dyn std::error::Error + Send + Sync> = Arc::from(source.into());
        self.change(|inner| inner.source = Some(source))
    }

    fn change(self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Arc::try_unwrap(self.0).unwrap_or_else(|shared| Inner {
            kind: shared.kind,
            retry: shared.retry,
            message: shared.message.clone(),
            context: shared.context.clone(),
            source: shared.source.clone(),
        });
        change(&mut inner);
        Self(Arc::new(inner))
    }

    /// What sort of thing went wrong.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// The message without its context.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where it happened, in the order it was added.
    pub fn context(&self) -> &[(&'static str, String)] {
        &self.0.context
    }
}

/// One line: the message, then the context in brackets.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for (index, (key, value)) in self.0.context.iter().enumerate() {
            write!(f, "{}{key} {value}", if index == 0 { " (" } else { ", " })?;
        }
        if !self.0.context.is_empty() {
            f.write_str(")")?;
        }
        Ok(())
    }
}

/// Several lines: kind, message, context, and every source.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind, self.0.message)?;
        for (key, value) in &self.0.context {
            write!(f, "\n  {key}: {value}")?;
        }
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            write!(f, "\n  caused by: {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_and_many() {
        let error = Error::invalid("rate_limit_per_minute", "must be at least 1").with("campaign", 7).with_source("root cause");
        assert_eq!(error.to_string(), "must be at least 1 (field rate_limit_per_minute, campaign 7)");
        assert_eq!(
            format!("{error:?}"),
            "invalid: must be at least 1\n  field: rate_limit_per_minute\n  campaign: 7\n  caused by: root cause"
        );
    }

    #[test]
    fn every_kind_is_in_the_table_once() {
        for row in Kind::TABLE {
            assert_eq!(Kind::TABLE.iter().filter(|other| other.0 == row.0 || other.1 == row.1).count(), 1, "{}", row.1);
            assert_eq!(row.0.as_str(), row.1);
        }
    }
}
