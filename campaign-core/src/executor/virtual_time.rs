//! Virtual time.
pub struct VirtualExecutor;
