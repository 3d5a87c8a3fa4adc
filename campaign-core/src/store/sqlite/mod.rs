//! One SQLite file.
/// Keeps everything in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore;
