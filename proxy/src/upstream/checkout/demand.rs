//! A request's demands on its connection.

use std::time::Duration;

use crate::config::{Backend, HttpReuse};
use crate::transport::proxy_protocol::Header;
use crate::upstream::connection::Check;
use crate::upstream::endpoint::EndpointId;
use crate::upstream::establish::Needs;
use crate::upstream::http2::Sharing;

/// Consequence for a request if the server closes the pooled connection that the request uses. A
/// close is possible at any moment, so this determines whether the request can use a pooled
/// connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// A close does no harm: the request can be sent again.
    Replayable,
    /// A close causes a failure that the client is prepared for: the client has already received a
    /// response over its connection to the proxy.
    Safe,
    /// A close causes an error that the client does not expect: the request is the first on the
    /// client's connection, and cannot be sent again.
    Risky,
    /// A close would be the request's second failure: the idle connection that it was sent on has
    /// just turned out to be dead. The request gets a new connection.
    Fresh,
}

impl Reuse {
    pub(super) fn is_allowed(self, by: HttpReuse) -> bool {
        match (self, by) {
            (Reuse::Fresh, _) | (_, HttpReuse::Never) | (Reuse::Risky, HttpReuse::Safe) => false,
            (Reuse::Replayable | Reuse::Safe, _) | (Reuse::Risky, HttpReuse::Always) => true,
        }
    }

    /// Returns which HTTP/2 connections the request can share. An unused connection can end at any
    /// moment, as with HTTP/1.1. The risk on a connection in use is one that its other requests
    /// take already.
    pub(super) fn sharing(self, by: HttpReuse) -> Sharing {
        match (self, by) {
            (Reuse::Fresh, _) | (_, HttpReuse::Never) => Sharing::None,
            (Reuse::Risky, HttpReuse::Safe) => Sharing::InUse,
            _ => Sharing::Any,
        }
    }

    /// Returns how closely to check an idle connection. An additional system call is cheap compared
    /// to a failed request.
    pub(super) fn check(self) -> Check {
        match self {
            Reuse::Replayable => Check::Events,
            Reuse::Safe | Reuse::Risky | Reuse::Fresh => Check::Socket,
        }
    }
}

/// A request's demands on its connection.
#[derive(Debug, Clone, Copy)]
pub struct Demand<'a> {
    /// Which connections the request can use.
    pub reuse: Reuse,
    /// The purpose of the connection.
    pub needs: Needs,
    /// The client of the request, for servers that receive the PROXY protocol.
    pub client: &'a Header<'a>,
    /// The destination that the request tries before any other endpoint.
    pub bound: Option<Bound<'a>>,
    /// Hash of the part of the request that `balance` uses.
    pub key: Option<u64>,
    /// Longest wait for a free slot. `None`: the backend's timeout applies.
    pub queue_timeout: Option<Duration>,
    /// Longest time to establish a connection. `None`: the backend's timeout applies.
    pub connect_timeout: Option<Duration>,
    /// Endpoints where the request has failed. Other endpoints are tried first.
    pub avoid: &'a [EndpointId],
}

/// The preferred destination of a request.
#[derive(Debug, Clone, Copy)]
pub enum Bound<'a> {
    /// The endpoint of the request's session, as long as that endpoint keeps its sessions.
    Session(EndpointId),
    /// The endpoint that a key with this hash prefers among the usable ones.
    Key(u64),
    /// An endpoint of this server, if one is usable.
    Server(&'a str),
    /// Like [`Bound::Server`], but the request goes nowhere else.
    OnlyServer(&'a str),
}

impl Demand<'_> {
    /// Returns the demands of a request that can go anywhere.
    pub fn new(reuse: Reuse, needs: Needs) -> Demand<'static> {
        Demand {
            reuse,
            needs,
            client: &Header::Local,
            bound: None,
            key: None,
            queue_timeout: None,
            connect_timeout: None,
            avoid: &[],
        }
    }

    pub(in crate::upstream) fn queue_timeout(&self, backend: &Backend) -> Duration {
        self.queue_timeout.unwrap_or(backend.timeouts.queue)
    }

    pub(in crate::upstream) fn connect_timeout(&self, backend: &Backend) -> Duration {
        self.connect_timeout.unwrap_or(backend.timeouts.connect)
    }
}
