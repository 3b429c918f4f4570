//! Establishment of a new connection to a server: PROXY protocol, TLS, and the choice of HTTP
//! version.

use std::io;
use std::time::Duration;

use tokio::io::Interest;

use super::server_tls::{ServerTls, ServerTlsError};
use crate::config::{self, HeadLimits, Protocol, ProxyVersion};
use crate::http::message::Scheme;
use crate::http2::Settings;
use crate::http2::client::{Connection, Driver};
use crate::transport::io::{Io, Socket};
use crate::transport::proxy_protocol::{self, Checksum, Header};

/// All settings for connections to a server, except for the address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Handshake {
    /// Version of the PROXY protocol header, which names the client. `None`: no header is sent.
    proxy_protocol: Option<ProxyVersion>,
    protocol: Protocol,
    tls: Option<ServerTls>,
}

/// The purpose of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Requests, over any version of HTTP.
    Any,
    /// A request for another protocol. It uses HTTP/1.1 if either version is possible.
    Upgrade,
    /// A tunnel without HTTP. It needs the connection for itself, from the first byte.
    Bytes,
}

/// A connection that is ready for requests.
#[derive(Debug)]
pub(super) enum Established {
    Http1(Io),
    Http2(Box<Connection>, Box<Driver>),
}

/// Limits that apply to the server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) head: HeadLimits,
    /// `timeout.server`.
    pub(super) stall: Duration,
}

impl Handshake {
    /// Loads the handshake from the configuration, and reads the files that it needs.
    ///
    /// # Errors
    /// [`ServerTlsError`].
    pub(super) fn load(server: &config::Server) -> Result<Handshake, ServerTlsError> {
        let tls = server.tls.as_ref();
        Ok(Handshake {
            proxy_protocol: server.proxy_protocol,
            protocol: server.protocol,
            tls: tls
                .map(|tls| ServerTls::load(tls, &server.address))
                .transpose()?,
        })
    }

    /// Returns a copy for one worker. The copy shares no TLS sessions with other workers, so the
    /// worker never waits for them.
    pub(super) fn for_worker(&self) -> Handshake {
        Handshake {
            proxy_protocol: self.proxy_protocol,
            protocol: self.protocol,
            tls: self.tls.as_ref().map(ServerTls::for_worker),
        }
    }

    /// Returns whether a connection names the client for which it is established. Such a connection
    /// serves only that client.
    pub(super) fn names_clients(&self) -> bool {
        self.proxy_protocol.is_some()
    }

    /// Sends the PROXY protocol header, which names the client, if one is configured.
    async fn introduce(&self, socket: &Socket, client: &Header<'_>) -> io::Result<()> {
        let mut header = Vec::new();
        match self.proxy_protocol {
            None => return Ok(()),
            Some(ProxyVersion::V1) => proxy_protocol::push_v1(client, &mut header),
            Some(ProxyVersion::V2) => proxy_protocol::push_v2(client, Checksum::Omit, &mut header),
        }
        let mut rest = &header[..];
        while !rest.is_empty() {
            socket.ready(Interest::WRITABLE).await?;
            match socket.try_write(rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Returns whether a connection that is established for these needs can use HTTP/2.
    pub(super) fn allows_http2(&self, needs: Needs) -> bool {
        match self.protocol {
            _ if needs == Needs::Bytes => false,
            Protocol::Http1 => false,
            Protocol::Http2 | Protocol::H2c => true,
            Protocol::Negotiated => needs == Needs::Any,
        }
    }

    /// Returns the protocols to offer in ALPN.
    fn offered(&self, needs: Needs) -> &'static [&'static [u8]] {
        match self.protocol {
            _ if needs == Needs::Bytes => &[],
            Protocol::Http2 => &[b"h2"],
            Protocol::Negotiated if needs == Needs::Any => &[b"h2", b"http/1.1"],
            Protocol::Http1 | Protocol::H2c | Protocol::Negotiated => &[b"http/1.1"],
        }
    }

    /// Sends the header that names the client on a connected socket. Then, if TLS is configured,
    /// performs the TLS handshake and offers these protocols. Returns whether the server has chosen
    /// HTTP/2.
    ///
    /// # Errors
    /// Errors of the socket and of TLS.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket.
    pub(super) async fn secure(
        &self,
        socket: Socket,
        client: &Header<'_>,
        offered: &'static [&'static [u8]],
    ) -> io::Result<(Io, bool)> {
        self.introduce(&socket, client).await?;
        match &self.tls {
            Some(tls) => {
                let stream = tls.connect(socket, offered).await?;
                let is_http2 = stream.alpn() == Some(b"h2");
                Ok((Io::tls(stream), is_http2))
            }
            None => Ok((Io::plain(socket), false)),
        }
    }

    /// Returns the configured protocol.
    pub(super) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Returns whether connections use TLS.
    pub(super) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Prepares a connected socket for requests of `client`.
    ///
    /// # Errors
    /// Errors of the socket, of TLS and of HTTP/2.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket.
    pub(super) async fn establish(
        &self,
        socket: Socket,
        client: &Header<'_>,
        needs: Needs,
        limits: &Limits,
    ) -> io::Result<Established> {
        let (io, alpn_is_http2) = self.secure(socket, client, self.offered(needs)).await?;
        let is_http2 = match self.protocol {
            _ if needs == Needs::Bytes => false,
            Protocol::Http1 => false,
            Protocol::H2c => true,
            Protocol::Negotiated => alpn_is_http2,
            Protocol::Http2 if alpn_is_http2 => true,
            Protocol::Http2 => {
                let text = "the server did not negotiate HTTP/2 (ALPN)";
                return Err(io::Error::other(text));
            }
        };
        if !is_http2 {
            return Ok(Established::Http1(io));
        }
        let settings = Settings {
            max_concurrent_streams: super::http2::MAX_STREAMS,
            max_header_size: u32::try_from(limits.head.max_header_size).unwrap_or(u32::MAX),
        };
        let scheme = if self.tls.is_some() {
            Scheme::Https
        } else {
            Scheme::Http
        };
        let connected = Connection::connect(io, &settings, scheme, limits.stall).await;
        // The kind of the error is hidden, so that it is not taken for a failure to connect: the
        // server was reached.
        let (connection, driver) = connected.map_err(io::Error::other)?;
        Ok(Established::Http2(Box::new(connection), Box::new(driver)))
    }
}
