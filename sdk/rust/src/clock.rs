//! The time. A decision that looks at it is not cached, and where `configure` does, none of the
//! plugin's is.
//!
//! `wasm32-unknown-unknown` has no clock of its own: `SystemTime::now` panics there.

use std::time::SystemTime;

/// The time now.
pub fn now() -> SystemTime {
    #[cfg(target_family = "wasm")]
    return crate::guest::now();
    #[cfg(not(target_family = "wasm"))]
    SystemTime::now()
}
