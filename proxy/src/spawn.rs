//! Starts child processes, one at a time.
//!
//! A leaf. A descriptor that one child must inherit is inherited by every child that starts at that
//! moment. If a compiler inherited a listening socket, connections to it would never be accepted.

use std::sync::{Mutex, PoisonError};

/// Runs `start` while no other call of this function runs.
pub fn exclusive<T>(start: impl FnOnce() -> T) -> T {
    static LOCK: Mutex<()> = Mutex::new(());
    let _guard = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    start()
}
