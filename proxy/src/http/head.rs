//! The sender of a request, which its head does not name.
//!
//! Read by the plugin and the log.

use std::net::{IpAddr, SocketAddr};

// Plain data, for those who must know nothing of connections.
pub use crate::transport::tls::{CertificateFacts, TlsFacts};

/// The sender of a request: the peer of its connection, or the client that a trusted proxy
/// names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// An IP address in the text form of RFC 5952, IPv4-mapped IPv6 as IPv4, without zone and
    /// port. Empty for the peer of a Unix socket.
    pub address: String,
    /// 0 where it is not known: for a Unix socket, and for a client that a proxy names.
    pub port: u16,
}

impl Client {
    /// The one that a trusted proxy names.
    pub fn named(address: IpAddr) -> Client {
        Client {
            address: address.to_canonical().to_string(),
            port: 0,
        }
    }
}

impl From<SocketAddr> for Client {
    fn from(address: SocketAddr) -> Client {
        Client {
            // An IPv4 client of a dual-stack socket is an IPv4 client.
            address: address.ip().to_canonical().to_string(),
            port: address.port(),
        }
    }
}
