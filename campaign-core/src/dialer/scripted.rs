//! A dialer that does what a test tells it.
pub struct ScriptedDialer;
