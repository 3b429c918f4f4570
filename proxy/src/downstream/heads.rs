//! The wait for a request's head, and its limits.

use std::pin::Pin;
use std::task::{Context as Task, Poll, ready};

use tokio::time::Instant;

use super::resources::Resources;
use crate::config::FrontendTimeouts;
use crate::http::message::RequestHead;
use crate::http1::request::{self, Parsed as Request, RequestError};
use crate::http1::{Limits, Progress};
use crate::request::Place;
use crate::shutdown::Shutdown;
use crate::wire::Wire;

/// Reads the heads of one connection, one after another.
#[derive(Debug)]
pub(super) struct HeadReader {
    /// Requests so far. A client that has just connected has one to send: its wait counts
    /// as part of the head.
    served: u64,
    idle_since: Instant,
    /// When the first byte of the head came.
    started: Option<Instant>,
    head: Option<RequestHead>,
    /// A part of the head was there before the last read.
    is_partial: bool,
}

/// How a wait for a request ended.
#[derive(Debug)]
pub(super) enum Read {
    /// A request.
    Request(Box<Head>),
    /// Something that is none, as far as it was read, since then.
    Refused(RequestError, RequestHead, Instant),
    /// A head whose rest did not come in time.
    TimedOut(Instant),
    /// The client left, or had nothing to ask for too long.
    Closed,
}

/// A request's head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) request: Request,
    pub(super) fields: RequestHead,
    pub(super) started: Instant,
    /// When its last byte was there.
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

    /// After a response: waits for the next request.
    pub(super) fn begin_next(&mut self, now: Instant) {
        self.served += 1;
        self.idle_since = now;
        self.started = None;
        self.is_partial = false;
    }

    /// Where the present request stands among those of its connection.
    pub(super) fn place(&self) -> Place {
        if self.served == 0 {
            Place::First
        } else {
            Place::Later
        }
    }

    /// Ready with the next head, or with why there is none.
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
                        // Empty lines behind a body begin no head (RFC 9112, section 2.2).
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

    /// Ready when the wait has lasted too long.
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
            // For its wake-up of this task.
            let _ = stopping.poll(task);
        }
        if let Some(drain_deadline) = shutdown.drain_deadline() {
            deadline = deadline.min(drain_deadline);
        }
        ready!(wire.timer.poll_until(deadline, task));
        Poll::Ready(Read::Closed)
    }

    /// The clock is read again only if the head did not come as a whole.
    fn completed(&self, started: Instant) -> Instant {
        if self.is_partial {
            Instant::now()
        } else {
            started
        }
    }

    /// Gives back what is held for a head that has not begun.
    pub(super) fn rest(&mut self, resources: &Resources) {
        if self.started.is_none()
            && let Some(head) = self.head.take()
        {
            resources.put_request_head(head);
        }
    }
}
