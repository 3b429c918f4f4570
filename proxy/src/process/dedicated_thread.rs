//! Individual jobs on dedicated threads.

use std::{io, thread};

use tokio::sync::oneshot;

/// Runs `work` on a dedicated thread with the privileges of the calling thread. The receiver
/// returns an error if `work` panics. The caller can drop the receiver.
///
/// # Errors
/// If the system cannot create a thread.
pub(super) fn run<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<oneshot::Receiver<T>> {
    let (done, result) = oneshot::channel();
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // The receiver may have been dropped.
            let _ = done.send(work());
        })?;
    Ok(result)
}
