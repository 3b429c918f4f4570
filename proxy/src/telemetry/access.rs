//! The access record: one line for each request, and one for the end of each tunnel.
//!
//! This module defines the fields and their meaning; `record` writes them.

use std::fmt;
use std::time::Duration;

/// Outcome of one request or of one tunnel.
///
/// Absent fields are left out of the line. Bytes that come from the client are escaped when they
/// are written, so that no client can forge a line.
#[derive(Debug, Clone, Copy)]
pub struct AccessRecord<'a> {
    /// Number that identifies the request across log lines, written in hexadecimal digits.
    pub id: Option<u64>,
    /// The frontend that received the request.
    pub frontend: &'a str,
    /// The client that sent the request.
    pub client: ClientAddress<'a>,
    /// The peer of the connection, if it is not the client.
    pub peer: Option<ClientAddress<'a>>,
    /// The method as sent. Absent if the request head could not be read.
    pub method: Option<&'a str>,
    /// The Host field, or the target's authority.
    pub host: Option<&'a [u8]>,
    /// The request target.
    pub target: Option<&'a [u8]>,
    /// The status that was sent to the client. Absent if no response was sent.
    pub status: Option<u16>,
    /// Bytes of the request body, or bytes that a tunnel received from the client.
    pub bytes_in: u64,
    /// Bytes of the response body, or bytes that a tunnel sent to the client.
    pub bytes_out: u64,
    /// The chosen backend.
    pub backend: Option<&'a str>,
    /// The server of that backend to which the proxy connected.
    pub server: Option<&'a str>,
    /// The router stage that made the decision.
    pub stage: Option<&'a str>,
    /// The plugin that this stage runs.
    pub plugin: Option<&'a str>,
    /// The version of that plugin, counted from 1.
    pub version: Option<u32>,
    /// Whether the decision came from the cache. Absent if there was no decision.
    pub cached: Option<bool>,
    /// Names and values that plugins have attached: at most 16 for each plugin, with values of at
    /// most 256 bytes.
    pub tags: &'a [(&'a str, &'a [u8])],
    /// The kind of the plugin's fault, if there was one.
    pub fault: Option<&'a str>,
    /// How the request or tunnel ended.
    pub end: End,
    /// Description of the failure, if there was one.
    pub reason: Option<&'a str>,
    /// Durations of the request's phases.
    pub times: Times,
}

/// A request's number, formatted as in access records and other log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// The address of a client or peer. It is shown as `address:port` or `[address]:port`. If the port
/// is unknown, it is shown as the address alone, and for a Unix socket as `unix`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress<'a> {
    /// An IP address in text form; empty for the peer of a Unix socket.
    pub address: &'a str,
    /// The port; 0 if it is unknown.
    pub port: u16,
}

impl<'a> ClientAddress<'a> {
    /// Returns the complete string to show if there is no port.
    pub(super) fn without_port(&self) -> Option<&'a str> {
        match (self.port, self.address) {
            (0, "") => Some("unix"),
            (0, address) => Some(address),
            _ => None,
        }
    }

    /// Returns whether the address needs brackets because it contains colons.
    pub(super) fn is_bracketed(&self) -> bool {
        self.address.bytes().any(|byte| byte == b':')
    }
}

impl fmt::Display for ClientAddress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.without_port() {
            Some(text) => f.write_str(text),
            None if self.is_bracketed() => write!(f, "[{}]:{}", self.address, self.port),
            None => write!(f, "{}:{}", self.address, self.port),
        }
    }
}

/// The phases of a request's time, as `HAProxy` defines them. A phase is absent if the request did
/// not reach it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// From the first byte of the request head to its end (`HAProxy`'s `TR`).
    pub head: Option<Duration>,
    /// From the end of the request head until enough of the body for the router had arrived. Absent
    /// if the router does not wait for the body.
    pub body: Option<Duration>,
    /// Time that the router took to decide. Written with nanosecond precision, because a cached
    /// decision takes only a few hundred nanoseconds. All other times are written with microsecond
    /// precision.
    pub decision: Option<Duration>,
    /// From the decision to an established connection (`Tc`, and `Tw` before it).
    pub connect: Option<Duration>,
    /// From the established connection to the end of the response head (`Tr`).
    pub response: Option<Duration>,
    /// From the first byte of the request head to the end of the response or tunnel (`Ta`).
    pub total: Option<Duration>,
}

/// How a request or a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// The whole response was sent.
    Ok,
    /// The response was a local reply, decided by a plugin or by the proxy itself.
    LocalReply,
    /// The proxy refused the request: it was not HTTP, too large, or not allowed.
    Refused,
    /// The router named no backend, and there is no default backend.
    NoRoute,
    /// The client closed the connection first.
    ClientClosed,
    /// The client was too slow.
    ClientTimeout,
    /// No server could be reached, and the attempts failed for different reasons.
    NoServer,
    /// Nothing listens at the server's address.
    ConnectRefused,
    /// No connection to the server, including its TLS handshake, was established in time.
    ConnectTimeout,
    /// There is no route to the server.
    ConnectFailed,
    /// This machine has no descriptors, ports or memory left for a connection.
    NoResources,
    /// No server slot became free in time.
    QueueTimeout,
    /// The queue of requests that wait for a slot was full.
    QueueFull,
    /// The server closed the connection before its response was complete.
    ServerClosed,
    /// The server's response is not HTTP.
    ServerInvalid,
    /// The server was too slow.
    ServerTimeout,
    /// The plugin trapped, overran its deadline, or returned an invalid decision.
    PluginFault,
    /// Both sides closed the tunnel.
    Tunnel,
    /// The tunnel was idle for too long.
    TunnelTimeout,
    /// The request or tunnel was cut off because the proxy is stopping.
    Drain,
    /// The proxy failed because of a bug in it.
    Internal,
}

impl End {
    /// Every variant, in the order of `docs/run/logs.md`.
    pub const ALL: [End; 21] = [
        End::Ok,
        End::LocalReply,
        End::Refused,
        End::NoRoute,
        End::ClientClosed,
        End::ClientTimeout,
        End::NoServer,
        End::ConnectRefused,
        End::ConnectTimeout,
        End::ConnectFailed,
        End::NoResources,
        End::QueueTimeout,
        End::QueueFull,
        End::ServerClosed,
        End::ServerInvalid,
        End::ServerTimeout,
        End::PluginFault,
        End::Tunnel,
        End::TunnelTimeout,
        End::Drain,
        End::Internal,
    ];

    /// Returns the word that the log shows.
    pub const fn as_str(self) -> &'static str {
        match self {
            End::Ok => "ok",
            End::LocalReply => "local-reply",
            End::Refused => "refused",
            End::NoRoute => "no-route",
            End::ClientClosed => "client-closed",
            End::ClientTimeout => "client-timeout",
            End::NoServer => "no-server",
            End::ConnectRefused => "connect-refused",
            End::ConnectTimeout => "connect-timeout",
            End::ConnectFailed => "connect-failed",
            End::NoResources => "no-resources",
            End::QueueTimeout => "queue-timeout",
            End::QueueFull => "queue-full",
            End::ServerClosed => "server-closed",
            End::ServerInvalid => "server-invalid",
            End::ServerTimeout => "server-timeout",
            End::PluginFault => "plugin-fault",
            End::Tunnel => "tunnel",
            End::TunnelTimeout => "tunnel-timeout",
            End::Drain => "drain",
            End::Internal => "internal",
        }
    }
}
