//! Everything in memory, written to be read.
/// Keeps everything in memory.
#[derive(Debug, Default)]
pub struct MemoryStore;
