//! Plugin versions: how they are loaded, tried out, published to the workers, rolled out and
//! retired.
//!
//! Owns the state of which versions each stage has, and sends the workers the commands that change
//! it. `control` calls this module and decides which of several changes takes precedence. Never
//! runs on a worker's thread.

pub mod backends;
mod bundled;
pub mod loader;
mod publish;
pub mod task;
pub mod ticket;
pub mod versions;

pub use self::publish::{Publication, RolloutError};
