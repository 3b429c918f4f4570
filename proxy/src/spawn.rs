//! Starts child processes, one at a time.
//!
//! A leaf. A descriptor that is made inheritable for one child would be inherited by every child
//! that starts at the same moment. If a compiler inherited a listening socket, connections to that
//! socket could be queued but never accepted.

use std::sync::{Mutex, PoisonError};

/// Runs `start` while no other thread runs this function.
pub fn exclusive<T>(start: impl FnOnce() -> T) -> T {
    static LOCK: Mutex<()> = Mutex::new(());
    let _guard = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    start()
}
