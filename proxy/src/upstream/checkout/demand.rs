//! A request's demands on its connection.

use std::time::Duration;

use crate::config::{Backend, HttpReuse};
use crate::transport::proxy_protocol::Header;
use crate::upstream::connection::Check;
use crate::upstream::endpoint::EndpointId;
use crate::upstream::establish::Needs;
use crate::upstream::http2::Sharing;

/// Whether a request may use a connection that its server may close at any moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// Nothing: it can be sent again.
    Replayable,
    /// A failure that its client is prepared for, which has had an answer over its own
    /// connection before.
    Safe,
    /// An error that its client does not expect: it is the first on its client's connection
    /// and cannot be sent again.
    Risky,
    /// A second failure: an idle connection has just turned out to be dead. It gets a new one.
    Fresh,
}

impl Reuse {
    pub(super) fn is_allowed(self, by: HttpReuse) -> bool {
        match (self, by) {
            (Reuse::Fresh, _) | (_, HttpReuse::Never) | (Reuse::Risky, HttpReuse::Safe) => false,
            (Reuse::Replayable | Reuse::Safe, _) | (Reuse::Risky, HttpReuse::Always) => true,
        }
    }

    /// Which connections of HTTP/2 it may share. One that nobody uses may end at any moment, as one
    /// of HTTP/1.1; the others of one in use are at risk with it.
    pub(super) fn sharing(self, by: HttpReuse) -> Sharing {
        match (self, by) {
            (Reuse::Fresh, _) | (_, HttpReuse::Never) => Sharing::None,
            (Reuse::Risky, HttpReuse::Safe) => Sharing::InUse,
            _ => Sharing::Any,
        }
    }

    /// How closely to look at an idle connection: a system call more is nothing beside a
    /// request that fails.
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
    /// Which connections it may use.
    pub reuse: Reuse,
    /// The use that it is for.
    pub needs: Needs,
    /// Its client, for servers that want to know.
    pub client: &'a Header<'a>,
    /// Where it is to go before any other endpoint is considered.
    pub bound: Option<Bound<'a>>,
    /// The hash of the part of it that `balance` goes by.
    pub key: Option<u64>,
    /// Longest wait for a free slot; None: that of the backend.
    pub queue_timeout: Option<Duration>,
    /// Longest time for a connection to be made; None: that of the backend.
    pub connect_timeout: Option<Duration>,
    /// Endpoints where it has failed: others are tried first.
    pub avoid: &'a [EndpointId],
}

/// Where a request is to go, if it can.
#[derive(Debug, Clone, Copy)]
pub enum Bound<'a> {
    /// The endpoint of its session, while that keeps its sessions.
    Session(EndpointId),
    /// The endpoint that a key with this hash prefers among those that are usable.
    Key(u64),
    /// An endpoint of this server, if one is usable.
    Server(&'a str),
    /// The same, and nowhere else.
    OnlyServer(&'a str),
}

impl Demand<'_> {
    /// Of a request that may go anywhere.
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
