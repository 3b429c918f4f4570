//! A connection that has become a tunnel, with its access log record.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as Task, Poll, ready};

use crate::request::context::Context;
use crate::shutdown::ConnectionGuard;
use crate::telemetry::End;
use crate::tunnel::Tunnel;

/// Runs a tunnel to its end. This is a separate task, so that the memory for HTTP is freed while
/// the tunnel is open.
pub(super) struct TunnelTask {
    tunnel: Tunnel,
    /// Logged when dropped. None if access logging is disabled: a tunnel can last for days, and the
    /// record needs memory.
    record: Option<Box<Context>>,
    /// Counts the client's connection; None for a stream of HTTP/2, whose connection has its own
    /// task.
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
    /// A tunnel that is dropped before its end has been aborted by a stopping worker.
    fn drop(&mut self) {
        let (inward, outward) = (self.tunnel.inward(), self.tunnel.outward());
        if let Some(cx) = &mut self.record {
            cx.record.finish(End::Drain);
            cx.record.bytes_in += inward;
            cx.record.bytes_out += outward;
        }
    }
}
