//! Plugin versions: loaded, tried out, published to the workers, rolled out, retired.
//!
//! Owns which version each stage has, and the order to the workers that changes it. Takes what
//! it needs from `control`, which decides which change is the last word; never runs on a worker's
//! thread.

pub mod backends;
mod bundled;
pub mod loader;
mod publish;
pub mod task;
pub mod ticket;
pub mod versions;

pub use self::publish::{Publication, RolloutError};
