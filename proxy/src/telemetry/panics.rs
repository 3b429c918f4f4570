//! Panics: each is an error in the log, and those who clean up after one can tell why.

use std::cell::RefCell;
use std::panic::{self, PanicHookInfo};
use std::thread;

thread_local! {
    /// The message of this thread's last panic.
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Logs every panic of the process from now on, in place of the lines that the standard library
/// writes to standard error, which is often nobody's.
pub fn log_panics() {
    panic::set_hook(Box::new(log));
}

/// The message of the panic that unwinds this thread; None if there is none.
pub fn current_panic() -> Option<String> {
    thread::panicking().then(|| MESSAGE.with_borrow(String::clone))
}

fn log(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("without a message");
    let location = panic.location().map(ToString::to_string);
    let own = thread::current();
    let thread = own.name().unwrap_or("unnamed");
    tracing::error!(thread, location, "a fault of the proxy itself: {message}");
    // A thread that is ending has no place for it any more.
    let _ = MESSAGE.try_with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            message.clone_into(&mut last);
        }
    });
}
