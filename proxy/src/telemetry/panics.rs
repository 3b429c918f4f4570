//! Panics: each is logged as an error, and code that cleans up during the unwinding can read its
//! message.

use std::cell::RefCell;
use std::panic::{self, PanicHookInfo};
use std::thread;

thread_local! {
    /// The message of this thread's last panic.
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Logs every panic of the process from now on. The log lines replace the standard library's output
/// to standard error, which is often not read.
pub fn log_panics() {
    panic::set_hook(Box::new(log));
}

/// Returns the message of the panic that is unwinding this thread, or `None` if there is none.
pub fn current_panic() -> Option<String> {
    thread::panicking().then(|| MESSAGE.with_borrow(String::clone))
}

fn log(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("without a message");
    let location = panic.location().map(ToString::to_string);
    let own = thread::current();
    let thread = own.name().unwrap_or("unnamed");
    tracing::error!(thread, location, "internal error: {message}");
    // The thread-local is gone if the thread is ending.
    let _ = MESSAGE.try_with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            message.clone_into(&mut last);
        }
    });
}
