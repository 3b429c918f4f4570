//! Plugin versions: loaded, tried out, published to the workers, rolled out, retired.
//!
//! Owns the state of which versions each stage has, and sends workers the commands that change it.
//! Receives its inputs from `control`, which decides which of several changes takes precedence;
//! never runs on a worker's thread.

pub mod backends;
mod bundled;
pub mod loader;
mod publish;
pub mod task;
pub mod ticket;
pub mod versions;

pub use self::publish::{Publication, RolloutError};
