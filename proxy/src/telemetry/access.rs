//! The access record: one line for each request and for each tunnel's end.
//!
//! Owns the fields and their meaning. How they are written is in `record`.

use std::fmt;
use std::time::Duration;

/// Outcome of one request, or of one tunnel.
///
/// Absent fields are left out of the line. Bytes of the client's are escaped when they are
/// written, so that no line can be forged.
#[derive(Debug, Clone, Copy)]
pub struct AccessRecord<'a> {
    /// Identifies the request across log lines, where it is written in hexadecimal digits.
    pub id: Option<u64>,
    /// The frontend that took the request.
    pub frontend: &'a str,
    /// Its sender.
    pub client: ClientAddress<'a>,
    /// The peer of the connection, where that is not the sender.
    pub peer: Option<ClientAddress<'a>>,
    /// As sent; absent where the head could not be read.
    pub method: Option<&'a str>,
    /// The Host field, or the target's authority.
    pub host: Option<&'a [u8]>,
    /// The request target.
    pub target: Option<&'a [u8]>,
    /// The status that the client got; absent where it got none.
    pub status: Option<u16>,
    /// Bytes of the request's body, or of a tunnel from the client on.
    pub bytes_in: u64,
    /// Bytes of the response's body, or of a tunnel towards the client.
    pub bytes_out: u64,
    /// The backend that was chosen.
    pub backend: Option<&'a str>,
    /// The server of that backend which was reached.
    pub server: Option<&'a str>,
    /// The stage of the router that decided.
    pub stage: Option<&'a str>,
    /// Its plugin.
    pub plugin: Option<&'a str>,
    /// The plugin's version, counted from 1.
    pub version: Option<u32>,
    /// Whether the decision came from the cache; absent where there was none.
    pub cached: Option<bool>,
    /// Names and values that plugins have given it, at most 16 of 256 bytes for each plugin.
    pub tags: &'a [(&'a str, &'a [u8])],
    /// The kind of the plugin's fault, if it had one.
    pub fault: Option<&'a str>,
    /// How it ended.
    pub end: End,
    /// The failure, if there was one.
    pub reason: Option<&'a str>,
    /// How long each part took.
    pub times: Times,
}

/// A request's number as the log shows it, in access records and elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// A client or a peer. Shown as `address:port` or `[address]:port`, as the address alone where
/// the port is not known, or as `unix`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress<'a> {
    /// An IP address in text form; empty for the peer of a Unix socket.
    pub address: &'a str,
    /// 0 where it is not known.
    pub port: u16,
}

impl<'a> ClientAddress<'a> {
    /// All that is shown where there is no port.
    pub(super) fn without_port(&self) -> Option<&'a str> {
        match (self.port, self.address) {
            (0, "") => Some("unix"),
            (0, address) => Some(address),
            _ => None,
        }
    }

    /// Whether the address would run into the port without brackets.
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

/// The parts of a request's time, in `HAProxy`'s sense. Each is absent where the request did
/// not get so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// From a head's first byte to its end (`HAProxy`'s `TR`).
    pub head: Option<Duration>,
    /// From there until the router had as much of the body as it waits for, if it does.
    pub body: Option<Duration>,
    /// What the router took to decide. Written in nanoseconds' precision, because a cached
    /// decision takes some hundred of them; all others in that of microseconds.
    pub decision: Option<Duration>,
    /// From the decision to an established connection (`Tc`, and `Tw` before it).
    pub connect: Option<Duration>,
    /// From there to the end of the response's head (`Tr`).
    pub response: Option<Duration>,
    /// From a head's first byte to the end of the response, or of the tunnel (`Ta`).
    pub total: Option<Duration>,
}

/// How a request or a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// The whole response was sent.
    Ok,
    /// The plugin answered by itself.
    LocalReply,
    /// The proxy refused the request: not HTTP, too large, or not allowed.
    Refused,
    /// The router named no backend, and there is no default.
    NoRoute,
    /// The client left first.
    ClientClosed,
    /// The client was too slow.
    ClientTimeout,
    /// No server could be reached, each for a reason of its own.
    NoServer,
    /// Nothing listens at the server's address.
    ConnectRefused,
    /// The server did not answer the attempt to connect in time.
    ConnectTimeout,
    /// No way leads to the server.
    ConnectFailed,
    /// This machine has no descriptors, ports or memory left for a connection.
    NoResources,
    /// No slot of a server came free in time.
    QueueTimeout,
    /// As many requests wait for a slot as may.
    QueueFull,
    /// The server closed before its response was whole.
    ServerClosed,
    /// The server's answer is not HTTP.
    ServerInvalid,
    /// The server was too slow.
    ServerTimeout,
    /// The plugin trapped, overran its deadline, or gave a decision that is none.
    PluginFault,
    /// A tunnel that both sides closed.
    Tunnel,
    /// A tunnel that was idle for too long.
    TunnelTimeout,
    /// Cut off because the proxy is stopping.
    Drain,
    /// A fault of the proxy itself.
    Internal,
}

impl End {
    /// Every way to end, in the order of `docs/logs.md`.
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

    /// The word in the log.
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
