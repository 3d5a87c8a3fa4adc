//! Helpers of the cross-cutting tests.
