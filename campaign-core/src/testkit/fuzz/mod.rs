//! The bodies of the fuzz targets: what must hold whatever comes in. Property tests run them on stable Rust too.

mod import;
mod phone;
mod schedule;
mod template;

pub use import::import;
pub use phone::phone;
pub use schedule::schedule;
pub use template::template;
