//! The right to use one slot of an endpoint, with a connection to it.
//!
//! `checkout` creates a lease. The body of a response, or a tunnel, owns the lease until it ends.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::connection::Connection;
use super::endpoint::{Endpoint, Permit};
use super::failure::Failure;
use super::health::Tried;
use super::local::{LocalCluster, LocalEndpoint};
use super::server::Connected;
use super::settings::Settings;
use super::stream::ServerStream;
use crate::config::{BackendTimeouts, HeadLimits};
use crate::http2::ByteStream;
use crate::wire::Wire;

/// Origin of a lease's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The connection was used before, so the server can have closed it in the meantime.
    Pooled,
    /// The connection is new.
    Dialled,
}

/// A connection for one exchange, with the slot that it occupies.
///
/// Dropping the lease closes the connection; [`Lease::release`] keeps it for the next request.
#[derive(Debug)]
pub struct Lease {
    /// The stream for the request and its response.
    pub stream: ServerStream,
    /// Whether the connection was used before.
    pub origin: Origin,
    /// Guard that counts the exchange, with a reference to its endpoint.
    active: Active,
    /// The settings in force when the lease was created.
    settings: Rc<Settings>,
    permit: Permit,
    trial: Option<Trial>,
    /// Time when the lease was created, if response times are measured.
    begin: Option<Instant>,
    /// Timeout that replaces the backend's `timeout.server`.
    server_timeout: Option<Duration>,
    /// Timeout that replaces the backend's `timeout.tunnel`.
    tunnel_timeout: Option<Duration>,
}

/// Marks the one request that tests whether an endpoint serves again.
#[derive(Debug)]
pub(super) struct Trial(Arc<Endpoint>);

impl Trial {
    /// Starts a trial. Returns `None` if the endpoint is not on trial, or if another request is
    /// already testing it.
    pub(super) fn begin(endpoint: &Arc<Endpoint>) -> Option<Trial> {
        let is_first = endpoint.health().try_trial();
        is_first.then(|| Trial(Arc::clone(endpoint)))
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.0.health().end_trial();
    }
}

impl Lease {
    /// Creates a lease. `begin` is the current time if response times are measured, otherwise
    /// `None`.
    pub(super) fn new(
        stream: ServerStream,
        origin: Origin,
        active: Active,
        settings: Rc<Settings>,
        (permit, trial): (Permit, Option<Trial>),
        begin: Option<Instant>,
    ) -> Lease {
        Lease {
            stream,
            origin,
            active,
            settings,
            permit,
            trial,
            begin,
            server_timeout: None,
            tunnel_timeout: None,
        }
    }

    /// Replaces timeouts of the backend for this exchange.
    pub fn set_timeouts(&mut self, server: Option<Duration>, tunnel: Option<Duration>) {
        self.server_timeout = server;
        self.tunnel_timeout = tunnel;
    }

    /// Records that the head of a response with this status has arrived.
    pub fn answered(&mut self, status: u16) {
        let failure = Failure::Status(status);
        if failure.is_among(&self.settings.backend.outlier.on) {
            self.failed(failure);
        } else {
            if let Some(begin) = self.begin {
                let now = Instant::now();
                let latency = &self.active.endpoint.latency;
                latency.observe(now.duration_since(begin), now);
                let server = self.active.endpoint.endpoint().server();
                server.observe(now.duration_since(begin));
            }
            self.active.endpoint.endpoint().answered(self.tried());
            self.trial = None;
        }
    }

    /// Records that the request has failed at the server.
    pub fn failed(&mut self, failure: Failure) {
        if let Some(begin) = self.begin {
            let now = Instant::now();
            let latency = &self.active.endpoint.latency;
            latency.observe_failure(now.duration_since(begin), now);
        }
        let outlier = &self.settings.backend.outlier;
        if failure.is_among(&outlier.on) {
            let endpoint = self.active.endpoint.endpoint();
            let cluster = &self.active.cluster.cluster;
            cluster.fail(endpoint, outlier, failure, self.tried());
        }
        self.trial = None;
    }

    fn tried(&self) -> Tried {
        match self.trial {
            Some(_) => Tried::Trial,
            None => Tried::Request,
        }
    }

    /// Returns the backend's settings that were in force when the lease was created.
    pub fn settings(&self) -> &Rc<Settings> {
        &self.settings
    }

    /// Returns the cluster to which the endpoint belongs.
    pub fn cluster(&self) -> &Rc<LocalCluster> {
        &self.active.cluster
    }

    /// Counts a request that is sent again.
    pub fn count_retry(&self) {
        let server = self.active.endpoint.endpoint().server();
        let counts = server.counts(self.active.cluster.worker);
        counts.retried.count();
    }

    /// Returns the endpoint to which the connection leads.
    pub fn endpoint(&self) -> &Rc<LocalEndpoint> {
        &self.active.endpoint
    }

    /// Returns the timeouts of this exchange. Timeouts that it does not replace are the backend's
    /// from when the lease was created.
    pub fn timeouts(&self) -> BackendTimeouts {
        let timeouts = self.settings.backend.timeouts;
        BackendTimeouts {
            server: self.server_timeout.unwrap_or(timeouts.server),
            tunnel: self.tunnel_timeout.or(timeouts.tunnel),
            ..timeouts
        }
    }

    /// Returns the backend's limits for the head of a response.
    pub fn head_limits(&self) -> HeadLimits {
        self.settings.backend.limits
    }

    /// Returns the connection to the pool if it can carry another exchange, otherwise closes it.
    /// `now` is the current time.
    pub fn release(self, now: Instant) {
        // An HTTP/2 connection is shared, and never leaves its `SharedConnections`.
        let ServerStream::Http1(mut connection) = self.stream else {
            return;
        };
        // A connection that the server has authenticated for one client serves no other client.
        if connection.is_reusable() && !connection.is_private() {
            connection.wire.release_buffers();
            self.active.endpoint.pool.put(connection, now);
        }
    }

    /// Extracts the connection, with its cluster and endpoint, if it can carry another exchange.
    /// Releases the slot.
    pub(super) fn into_reusable(
        self,
    ) -> Option<(Box<Connection>, Rc<LocalCluster>, Rc<LocalEndpoint>)> {
        let ServerStream::Http1(connection) = self.stream else {
            return None;
        };
        let cluster = Rc::clone(&self.active.cluster);
        let endpoint = Rc::clone(&self.active.endpoint);
        connection
            .is_reusable()
            .then_some((connection, cluster, endpoint))
    }

    /// Extracts the stream for a tunnel. The slot stays occupied while the [`Hold`] lives. Returns
    /// `None` for an HTTP/2 stream on which no request was sent.
    pub fn into_tunnel(self) -> Option<(Upgraded, Hold)> {
        let (upgraded, connected) = match self.stream {
            ServerStream::Http1(connection) => {
                let (wire, connected) = connection.into_parts();
                (Upgraded::Http1(Box::new(wire)), Some(connected))
            }
            ServerStream::Http2(stream) => (Upgraded::Http2(Box::new(stream.into_bytes()?)), None),
        };
        let hold = Hold {
            _permit: self.permit,
            _connected: connected,
            _active: Some(self.active),
        };
        Some((upgraded, hold))
    }
}

/// The server's side of a tunnel.
#[derive(Debug)]
pub enum Upgraded {
    /// A connection, with the bytes that followed the 101 response.
    Http1(Box<Wire>),
    /// A stream of an HTTP/2 connection.
    Http2(Box<ByteStream>),
}

/// A guard that counts a tunnel among its server's connections. Empty by default.
#[derive(Debug, Default)]
pub struct Hold {
    _permit: Permit,
    _connected: Option<Connected>,
    _active: Option<Active>,
}

/// A guard that counts one request or tunnel at its cluster and endpoint for as long as the guard
/// lives.
#[derive(Debug)]
pub(super) struct Active {
    cluster: Rc<LocalCluster>,
    endpoint: Rc<LocalEndpoint>,
}

impl Active {
    pub(super) fn new(cluster: &Rc<LocalCluster>, endpoint: &Rc<LocalEndpoint>) -> Active {
        let worker = cluster.worker;
        cluster.cluster.load(worker).active.raise();
        endpoint.endpoint().active_of(worker).raise();
        Active {
            cluster: Rc::clone(cluster),
            endpoint: Rc::clone(endpoint),
        }
    }
}

impl Active {
    /// Returns the endpoint.
    pub(super) fn endpoint(&self) -> &Rc<LocalEndpoint> {
        &self.endpoint
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let worker = self.cluster.worker;
        self.cluster.cluster.load(worker).active.lower();
        self.endpoint.endpoint().active_of(worker).lower();
    }
}

/// A guard that counts a request that waits for a slot.
#[derive(Debug)]
pub(super) struct Queued<'a>(&'a LocalCluster);

impl Queued<'_> {
    pub(super) fn new(cluster: &LocalCluster) -> Queued<'_> {
        cluster.cluster.load(cluster.worker).queued.raise();
        Queued(cluster)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.cluster.load(self.0.worker).queued.lower();
    }
}
