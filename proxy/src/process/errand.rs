//! One piece of work on a thread of its own.

use std::{io, thread};

use tokio::sync::oneshot;

/// Does `work` with the rights of the calling thread; the receiver fails if that panics. Nobody has
/// to wait for it.
///
/// # Errors
/// The system has no thread to give.
pub(super) fn start<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<oneshot::Receiver<T>> {
    let (done, result) = oneshot::channel();
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // Its sender may be gone.
            let _ = done.send(work());
        })?;
    Ok(result)
}
