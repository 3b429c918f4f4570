//! Waits for a request's head, within size and time limits.

use std::pin::Pin;
use std::task::{Context as Task, Poll, ready};

use tokio::time::Instant;

use super::resources::Resources;
use crate::config::FrontendTimeouts;
use crate::http::message::RequestHead;
use crate::http1::request::{self, Parsed as Request, RequestError};
use crate::http1::{Limits, Progress};
use crate::request::RequestPosition;
use crate::shutdown::Shutdown;
use crate::wire::Wire;

/// Reads the heads of one connection, one after another.
#[derive(Debug)]
pub(super) struct HeadReader {
    /// Number of requests so far. A new client is expected to send a request at once, so the wait
    /// for the first one counts toward `timeout.request_header`.
    served: u64,
    idle_since: Instant,
    /// When the first byte of the head arrived.
    started: Option<Instant>,
    head: Option<RequestHead>,
    /// `true` if part of the head had arrived before the last read.
    is_partial: bool,
}

/// How a wait for a request ended.
#[derive(Debug)]
pub(super) enum Read {
    /// The head of a request.
    Request(Box<Head>),
    /// An invalid request: the error, the head as far as it was parsed, and when its first byte
    /// arrived.
    Refused(RequestError, RequestHead, Instant),
    /// The rest of a head did not arrive in time; with the time of its first byte.
    TimedOut(Instant),
    /// The client closed the connection, or sent no request for too long.
    Closed,
}

/// A request's head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) request: Request,
    pub(super) fields: RequestHead,
    pub(super) started: Instant,
    /// When the last byte of the head arrived.
    pub(super) completed: Instant,
}

impl HeadReader {
    pub(super) fn new() -> HeadReader {
        HeadReader {
            served: 0,
            idle_since: Instant::now(),
            started: None,
            head: None,
            is_partial: false,
        }
    }

    /// Starts the wait for the next request, after a response.
    pub(super) fn begin_next(&mut self, now: Instant) {
        self.served += 1;
        self.idle_since = now;
        self.started = None;
        self.is_partial = false;
    }

    /// Returns the position of the current request: the first one of its connection, or a later
    /// one.
    pub(super) fn position(&self) -> RequestPosition {
        if self.served == 0 {
            RequestPosition::First
        } else {
            RequestPosition::Later
        }
    }

    /// Reads the next head. Ready with the head, or with the reason why there is none.
    pub(super) fn poll(
        &mut self,
        wire: &mut Wire,
        limits: &Limits,
        resources: &Resources,
        task: &mut Task<'_>,
    ) -> Poll<Read> {
        loop {
            if !wire.input().is_empty() {
                let started = *self.started.get_or_insert_with(Instant::now);
                let head = self.head.get_or_insert_with(|| resources.request_head());
                let mut scan = wire.scan;
                let parsed = request::parse(wire.input(), limits, &mut scan, head);
                wire.scan = scan;
                match parsed {
                    Ok(Progress::Complete(request)) => {
                        wire.consume_input(request.consumed);
                        return Poll::Ready(Read::Request(Box::new(Head {
                            request,
                            fields: self.head.take().unwrap_or_default(),
                            started,
                            completed: self.completed(started),
                        })));
                    }
                    Ok(Progress::Partial { skip }) => {
                        wire.consume_input(skip);
                        // Empty lines after a body do not start a head (RFC 9112, section 2.2).
                        self.is_partial = !wire.input().is_empty();
                        if !self.is_partial {
                            self.started = None;
                        }
                    }
                    Err(error) => {
                        let head = self.head.take().unwrap_or_default();
                        return Poll::Ready(Read::Refused(error, head, started));
                    }
                }
            }
            match ready!(wire.poll_fill(limits.max_header_size, task)) {
                Ok(0) | Err(_) => return Poll::Ready(Read::Closed),
                Ok(_) => {}
            }
        }
    }

    /// Ready when the wait has exceeded its limit.
    pub(super) fn poll_limit(
        &mut self,
        wire: &mut Wire,
        timeouts: &FrontendTimeouts,
        shutdown: &Shutdown,
        stopping: Pin<&mut impl Future<Output = ()>>,
        task: &mut Task<'_>,
    ) -> Poll<Read> {
        if let Some(started) = self.started {
            ready!(
                wire.timer
                    .poll_until(started + timeouts.request_header, task)
            );
            return Poll::Ready(Read::TimedOut(started));
        }
        let patience = if self.served > 0 {
            timeouts.keep_alive
        } else {
            timeouts.request_header
        };
        let mut deadline = self.idle_since + patience;
        if shutdown.drain_deadline().is_none() {
            // Polled only to wake this task when the worker stops.
            let _ = stopping.poll(task);
        }
        if let Some(drain_deadline) = shutdown.drain_deadline() {
            deadline = deadline.min(drain_deadline);
        }
        ready!(wire.timer.poll_until(deadline, task));
        Poll::Ready(Read::Closed)
    }

    /// Returns when the head was complete. Reads the clock again only if the head arrived in
    /// several reads.
    fn completed(&self, started: Instant) -> Instant {
        if self.is_partial {
            Instant::now()
        } else {
            started
        }
    }

    /// Returns the head buffer to the pool if no head has begun.
    pub(super) fn release_buffers(&mut self, resources: &Resources) {
        if self.started.is_none()
            && let Some(head) = self.head.take()
        {
            resources.put_request_head(head);
        }
    }
}
