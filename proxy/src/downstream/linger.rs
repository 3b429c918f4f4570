//! Lingering close: closes a connection without losing the last response.
//!
//! If a connection is closed while the client is still sending, it is reset, and the reset can
//! overtake the response (RFC 9112, section 9.6). Therefore only the sending side is closed first,
//! and received bytes are read and discarded, within limits.

use std::future::{Future as _, poll_fn};
use std::io::ErrorKind;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::Connection;
use crate::timer::{Stall, Timer};
use crate::wire::Wire;

/// How long to read from a client whose request was refused.
pub(super) const MAX_REFUSED: Duration = Duration::from_secs(2);

/// How long to read from a client that received its response before it had sent the whole request.
/// Long enough for 64 MiB at 9 Mbit/s.
pub(super) const MAX_EARLY: Duration = Duration::from_mins(1);

/// Reads and discards until the client closes its side, `bytes` have arrived, nothing has moved for
/// `timeout.client`, or `limit` has passed. Stops earlier if too many other connections linger.
pub(super) async fn linger(connection: &Connection, wire: Box<Wire>, bytes: u64, limit: Duration) {
    let (mut io, input) = wire.into_parts();
    // Returns the buffer to the pool at once.
    drop(input);
    let place = connection.resources.linger();
    let mut recalled = pin!(place.recalled());
    let client = connection.frontend.rules().config.timeouts.client;
    let deadline = Instant::now() + limit;
    let first = io.read();
    let mut stall = Stall::new(client, io.moved());
    let mut timer = Timer::default();
    let mut is_shut_down = false;
    poll_fn(|task| {
        if !is_shut_down && let Poll::Ready(result) = io.poll_shutdown(task) {
            if result.is_err() {
                return Poll::Ready(());
            }
            is_shut_down = true;
        }
        while io.poll_read_ready(task).is_ready() {
            match connection.scratch.discard(&mut io) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) if io.read() - first >= bytes => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
        if recalled.as_mut().poll(task).is_ready() || timer.poll_until(deadline, task).is_ready() {
            return Poll::Ready(());
        }
        stall.poll(&mut timer, io.moved(), task)
    })
    .await;
}
