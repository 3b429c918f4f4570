//! The right to use one endpoint's slot, with a connection to it.
//!
//! Made by `checkout`; a response's body or a tunnel owns it to its end.

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

/// Where a lease's connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It has served before: its server may have closed it at any time.
    Pooled,
    /// It is new.
    Dialled,
}

/// A connection for one exchange, and the slot that it takes.
///
/// Dropping it closes the connection; [`Lease::release`] keeps it for the next request.
#[derive(Debug)]
pub struct Lease {
    /// Where the request goes.
    pub stream: ServerStream,
    /// Whether it has served before.
    pub origin: Origin,
    /// With the endpoint that it leads to.
    active: Active,
    /// The settings in force when it was taken.
    settings: Rc<Settings>,
    permit: Permit,
    trial: Option<Trial>,
    /// When it was taken, if that matters.
    begin: Option<Instant>,
    /// In place of the backend's.
    server_timeout: Option<Duration>,
    /// The same.
    tunnel_timeout: Option<Duration>,
}

/// The one request that finds out whether an endpoint serves again.
#[derive(Debug)]
pub(super) struct Trial(Arc<Endpoint>);

impl Trial {
    /// None if another one does so already.
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
    /// `begin` is when it was taken, if that matters.
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

    /// The head of a response has come, with this status.
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

    /// The server has failed at the request.
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

    /// The backend's settings, as they were when the lease was taken.
    pub fn settings(&self) -> &Rc<Settings> {
        &self.settings
    }

    /// The cluster that the endpoint belongs to.
    pub fn cluster(&self) -> &Rc<LocalCluster> {
        &self.active.cluster
    }

    /// Counts a request that is sent again.
    pub fn count_retry(&self) {
        let server = self.active.endpoint.endpoint().server();
        let counts = server.counts(self.active.cluster.worker);
        counts.retried.count();
    }

    /// The endpoint that the connection leads to.
    pub fn endpoint(&self) -> &Rc<LocalEndpoint> {
        &self.active.endpoint
    }

    /// The backend's timeouts, as they were when the lease was taken, or those of this exchange.
    pub fn timeouts(&self) -> BackendTimeouts {
        let timeouts = self.settings.backend.timeouts;
        BackendTimeouts {
            server: self.server_timeout.unwrap_or(timeouts.server),
            tunnel: self.tunnel_timeout.or(timeouts.tunnel),
            ..timeouts
        }
    }

    /// The backend's limits on the head of a response.
    pub fn head_limits(&self) -> HeadLimits {
        self.settings.backend.limits
    }

    /// Gives the connection back, if it can serve again; closes it otherwise. `now` is the
    /// present time.
    pub fn release(self, now: Instant) {
        // One of HTTP/2 stays where it is, for others as well.
        let ServerStream::Http1(mut connection) = self.stream else {
            return;
        };
        // A connection authenticated for one client serves no other.
        if connection.is_reusable() && !connection.is_private() {
            connection.wire.rest();
            self.active.endpoint.pool.put(connection, now);
        }
    }

    /// Takes a connection out that can carry another exchange, with where it leads to; the slot is
    /// given back.
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

    /// Takes the stream out for a tunnel; the slot stays taken while `Hold` lives. None if no
    /// request was sent on it.
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

/// A server's side of a tunnel.
#[derive(Debug)]
pub enum Upgraded {
    /// A connection, with the bytes that came behind the 101.
    Http1(Box<Wire>),
    /// A stream.
    Http2(Box<ByteStream>),
}

/// Keeps a tunnel counted among its server's connections; by default it holds nothing.
#[derive(Debug, Default)]
pub struct Hold {
    _permit: Permit,
    _connected: Option<Connected>,
    _active: Option<Active>,
}

/// Counts one request or tunnel at its cluster and its endpoint while it lives.
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
    /// Where it is.
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

/// Counts a request that waits for a slot while it lives.
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
