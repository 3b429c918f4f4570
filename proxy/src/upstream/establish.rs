//! What a new connection to a server begins with, and which HTTP comes of it.

use std::io;
use std::time::Duration;

use crate::config::{self, HeadLimits, Protocol};
use crate::http2::client::{Connection, Driver};
use crate::http2::{self, Settings};
use crate::transport::io::{Io, Socket};

/// How connections to a server are made, beyond its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Handshake {
    protocol: Protocol,
}

/// Whether a request needs a certain version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Any will do.
    Any,
    /// HTTP/1.1 if there is a choice: it asks for another protocol.
    Upgrade,
}

/// A connection that requests can be sent on.
#[derive(Debug)]
pub(super) enum Established {
    Http1(Io),
    Http2(Box<Connection>, Box<Driver>),
}

/// Limits on what the server may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) head: HeadLimits,
    /// `timeout.server`.
    pub(super) stall: Duration,
}

impl Handshake {
    /// As configured.
    pub(super) fn new(server: &config::Server) -> Handshake {
        Handshake {
            protocol: server.protocol,
        }
    }

    /// Whether connections of HTTP/2 may come of it, for such a request.
    pub(super) fn allows_http2(&self, needs: Needs) -> bool {
        match self.protocol {
            Protocol::Http1 => false,
            Protocol::Http2 | Protocol::H2c => true,
            Protocol::Negotiated => needs == Needs::Any,
        }
    }

    /// Makes a connected socket ready for requests.
    ///
    /// # Errors
    /// Those of the socket, and of HTTP/2.
    ///
    /// # Cancel safety
    /// Dropping it closes the socket.
    pub(super) async fn establish(
        &self,
        socket: Socket,
        needs: Needs,
        limits: &Limits,
    ) -> io::Result<Established> {
        let io = Io::plain(socket);
        if !self.allows_http2(needs) || self.protocol == Protocol::Negotiated {
            return Ok(Established::Http1(io));
        }
        let settings = Settings {
            max_concurrent_streams: super::http2::MAX_STREAMS,
            max_header_size: u32::try_from(limits.head.max_header_size).unwrap_or(u32::MAX),
        };
        let connected = http2::client::Connection::connect(io, &settings, limits.stall).await;
        let (connection, driver) = connected.map_err(io::Error::from)?;
        Ok(Established::Http2(Box::new(connection), Box::new(driver)))
    }
}
