//! The first bytes of a request's body, for a router that waits for them.
//!
//! The bytes stay on the client's side as the next part of the body: whatever the decision, a
//! server gets the whole body. Called by `request` before it calls the router.

use std::future::poll_fn;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::client::Client;
use super::error::ProxyError;
use super::exchange::ExchangeError;
use crate::config::{RoutingBody, TooLarge};
use crate::http::message::RequestHead;
use crate::http1::body::BodyLength;
use crate::http1::request::{Expectation, Parsed as Request};
use crate::timer::Stall;
use crate::wire::{BodyError, Progress};

/// The part of a request's body that the router can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    length: usize,
    /// Whether this part is the whole body.
    pub(super) is_complete: bool,
}

impl Held {
    /// Returns the bytes, which are available until the first of them is sent to a server.
    pub(super) fn bytes<'c>(&self, client: &'c impl Client) -> &'c [u8] {
        client.data().get(..self.length).unwrap_or_default()
    }
}

/// Returns whether the router waits for the body of this request.
pub(super) fn is_awaited(head: &RequestHead, request: &Request, settings: &RoutingBody) -> bool {
    if request.body.is_empty() || request.upgrade.is_some() {
        return false;
    }
    settings.is_for(head.fields().values(b"Content-Type"))
}

/// Waits until the body is complete, until all bytes have arrived that the router can see, or until
/// `settings.wait` has passed since `since`. First sends `100 Continue` if the client waits for it.
/// `stall` is `timeout.client`.
///
/// # Errors
/// If the body is too large, incomplete or framed incorrectly, or if the client is gone.
///
/// # Cancel safety
/// Data that has been read stays on the client's side.
pub(super) async fn read<C: Client>(
    client: &mut C,
    request: &Request,
    settings: &RoutingBody,
    since: Instant,
    stall: Duration,
) -> Result<Held, ProxyError> {
    let size = settings.size;
    let enough = match request.body {
        BodyLength::Known(length) => {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            check_length(length, settings)?;
            length.min(size)
        }
        // One more byte distinguishes a body of this size from a larger one.
        _ => size.saturating_add(1),
    };
    let mut wait = Wait {
        enough,
        deadline: since + settings.wait,
        stall: Stall::new(stall, client.moved()),
        wants_continue: request.expectation == Expectation::Continue,
    };
    let progress = poll_fn(|task| wait.poll(client, task)).await?;
    let held = client.data().len();
    check_length(held, settings)?;
    let is_whole = match request.body {
        // The end of an HTTP/2 stream can arrive much later than its last byte, so only the length
        // counts.
        BodyLength::Known(length) => held as u64 == length,
        _ => progress == Some(Progress::End),
    };
    Ok(Held {
        length: held.min(size),
        is_complete: is_whole && held <= size,
    })
}

fn check_length(length: usize, settings: &RoutingBody) -> Result<(), ProxyError> {
    if length > settings.size && settings.too_large == TooLarge::Reject {
        return Err(ProxyError::BodyPrefixTooLarge(settings.size));
    }
    Ok(())
}

/// The state of a wait for the first bytes of a body.
struct Wait {
    enough: usize,
    deadline: Instant,
    stall: Stall,
    /// Whether the client waits for a 100 before it sends the body.
    wants_continue: bool,
}

impl Wait {
    /// Waits for enough of the body. Ready with None when the wait has timed out.
    fn poll<C: Client>(
        &mut self,
        client: &mut C,
        task: &mut Task<'_>,
    ) -> Poll<Result<Option<Progress>, ProxyError>> {
        if std::mem::take(&mut self.wants_continue) && !client.has_early_body(task) {
            client.push_continue();
        }
        if !client.is_flushed()
            && let Poll::Ready(Err(error)) = client.poll_flush(task)
        {
            return Poll::Ready(Err(ProxyError::Exchange(ExchangeError::ClientGone(Some(
                error,
            )))));
        }
        match client.poll_prefix(self.enough, task) {
            Poll::Ready(Ok(progress)) => return Poll::Ready(Ok(Some(progress))),
            Poll::Ready(Err(BodyError::TooLarge(limit))) => {
                return Poll::Ready(Err(ProxyError::BodyTooLarge(limit)));
            }
            Poll::Ready(Err(error)) => {
                return Poll::Ready(Err(ProxyError::Exchange(ExchangeError::ClientBody(error))));
            }
            Poll::Pending => {}
        }
        let moved = client.moved();
        if client.timer().poll_until(self.deadline, task).is_ready() {
            Poll::Ready(Ok(None))
        } else if self.stall.poll(client.timer(), moved, task).is_ready() {
            Poll::Ready(Err(ProxyError::Exchange(ExchangeError::ClientTimeout)))
        } else {
            Poll::Pending
        }
    }
}

#[cfg(test)]
mod tests;
