//! HTTP to the outside, shared by dialers, assistants and webhooks.
//!
//! | file | what is in it |
//! |---|---|
//! | `client` | requests whose failures say whether anything was sent: certainly not, or nobody knows |
//! | `guard` | addresses that a URL given by a user must not lead to |
//! | `signature` | HMAC signatures, compared in constant time; Standard Webhooks in both directions |

mod client;
mod guard;
pub mod signature;

pub use client::{Answer, Body, Exchange, HttpClient, HttpOptions, Method};
pub use guard::{Reach, check_url, is_public};
