//! Tokio.
pub struct TokioExecutor;
