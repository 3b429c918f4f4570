//! A connection that has become a tunnel, with its line in the log.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as Task, Poll, ready};

use crate::request::context::Context;
use crate::shutdown::ConnectionGuard;
use crate::telemetry::End;
use crate::tunnel::Tunnel;

/// A tunnel until its end. A task of its own: what HTTP needed is given back while it lives.
pub(super) struct TunnelTask {
    tunnel: Tunnel,
    /// Logs its line when it is dropped; None if nobody reads it, since a tunnel may last
    /// for days.
    record: Option<Box<Context>>,
    /// Of the connection, unless that has a task of its own.
    _guard: Option<ConnectionGuard>,
}

impl TunnelTask {
    pub(super) fn new(
        tunnel: Tunnel,
        record: Option<Box<Context>>,
        guard: Option<ConnectionGuard>,
    ) -> TunnelTask {
        TunnelTask {
            tunnel,
            record,
            _guard: guard,
        }
    }
}

impl Future for TunnelTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<()> {
        let end = ready!(self.tunnel.poll(task));
        if let Some(cx) = &mut self.record {
            cx.record.finish(end);
        }
        Poll::Ready(())
    }
}

impl Drop for TunnelTask {
    /// One that is dropped in the middle is cut off by a worker that stops.
    fn drop(&mut self) {
        let (inward, outward) = (self.tunnel.inward(), self.tunnel.outward());
        if let Some(cx) = &mut self.record {
            cx.record.finish(End::Drain);
            cx.record.bytes_in += inward;
            cx.record.bytes_out += outward;
        }
    }
}
