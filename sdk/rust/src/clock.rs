//! The time. A decision that reads the time is not cached. If `configure` reads it, none of the
//! plugin's decisions is cached.
//!
//! `wasm32-unknown-unknown` has no clock: `SystemTime::now` panics there.

use std::time::SystemTime;

/// Returns the current time.
pub fn now() -> SystemTime {
    #[cfg(target_family = "wasm")]
    return crate::guest::now();
    #[cfg(not(target_family = "wasm"))]
    SystemTime::now()
}
