//! Starting other processes: one at a time.
//!
//! A leaf. What one of them is to inherit is open to all that are started at that moment: a compiler
//! that held a listening socket would keep connections that nobody accepts.

use std::sync::{Mutex, PoisonError};

/// Does `start`, while no other process is started in here.
pub fn alone<T>(start: impl FnOnce() -> T) -> T {
    static ALONE: Mutex<()> = Mutex::new(());
    let _guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    start()
}
