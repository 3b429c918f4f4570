//! Final steps of a request, shared by both versions of HTTP.

use super::Connection;
use crate::request::context::Context;
use crate::request::exchange::DownloadError;
use crate::telemetry::{AccessRecord, End};
use crate::tunnel::{self, Downstream, Tunnel, Upstream};
use crate::upstream::{Lease, Upgraded};
use crate::wire::BodyError;

/// Records and counts the status that the client receives.
pub(super) fn record_status(cx: &mut Context, status: u16) {
    cx.record.status = Some(status);
    cx.rules.response_counts.count(cx.rules.worker, status);
}

/// Returns the end that the log shows for a response that was not sent completely.
pub(super) fn download_end(error: &DownloadError) -> End {
    match error {
        DownloadError::Server(BodyError::Chunk(_)) => End::ServerInvalid,
        DownloadError::Server(_) => End::ServerClosed,
        DownloadError::ServerTimeout => End::ServerTimeout,
        DownloadError::ClientTimeout => End::ClientTimeout,
        DownloadError::BodyTooLarge(_) | DownloadError::ClientBody(BodyError::Chunk(_)) => {
            End::Refused
        }
        DownloadError::ClientBody(_) | DownloadError::ClientGone(_) => End::ClientClosed,
    }
}

impl Connection {
    /// Creates a tunnel from the client to the lease's server. Also returns the request's record if
    /// access logging is enabled. `client` includes the bytes that the client sent early.
    pub(super) fn tunnel(
        &self,
        cx: Context,
        (client, early): (tunnel::End, Box<[u8]>),
        lease: Lease,
    ) -> Option<(Tunnel, Option<Box<Context>>)> {
        let limits = lease.timeouts();
        let (server, hold) = lease.into_tunnel()?;
        let (server, server_early) = match server {
            Upgraded::Http1(wire) => {
                let (io, input) = wire.into_parts();
                (tunnel::End::Io(io), input.filled().into())
            }
            Upgraded::Http2(stream) => (tunnel::End::Http2(stream), Box::default()),
        };
        let timeouts = &cx.rules.config.timeouts;
        let downstream = Downstream {
            stream: client,
            early,
            client: timeouts.client,
            client_fin: timeouts.client_fin,
        };
        let upstream = Upstream {
            stream: server,
            early: server_early,
            hold,
            idle: limits.tunnel,
            server: limits.server,
            server_fin: limits.server_fin,
        };
        let tunnel = Tunnel::new(downstream, upstream, self.scratch.clone());
        let record = if AccessRecord::enabled() {
            Some(Box::new(cx))
        } else {
            cx.discard();
            None
        };
        Some((tunnel, record))
    }
}
