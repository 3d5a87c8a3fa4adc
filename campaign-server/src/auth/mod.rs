//! Who calls, and what they may do.
//!
//! | file | what is in it |
//! |---|---|
//! | `keys` | API keys: made, stored as hashes, listed, revoked, recognised |
//! | `principal` | who a request comes from: scope and organisation, and which campaigns those may see |
//! | `gate` | the layer in front of every API, and what WebSockets may carry a key in |

mod gate;
mod keys;
mod organization;
mod principal;

pub(crate) use gate::{Credential, guard, socket_credential, stranger};
pub use keys::{ApiKey, Keys, NewKey};
pub use organization::of_spec;
pub use principal::{Principal, Scope};
