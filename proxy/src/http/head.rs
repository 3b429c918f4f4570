//! The sender of a request, which the head does not name.
//!
//! Plugins and the log read this type.

use std::net::{IpAddr, SocketAddr};

// Plain data for code that must not depend on connections.
pub use crate::transport::tls::{CertificateFacts, TlsFacts};

/// The sender of a request: the peer of its connection, or the client that a trusted proxy
/// names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// IP address in the text form of RFC 5952, with IPv4-mapped IPv6 as IPv4, and without zone and
    /// port. Empty for the peer of a Unix socket.
    pub address: String,
    /// Port, or 0 if unknown: for a Unix socket and for a client that a proxy names.
    pub port: u16,
}

impl Client {
    /// Creates the client that a trusted proxy names.
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
            // A dual-stack socket reports an IPv4 client as an IPv4-mapped address.
            address: address.ip().to_canonical().to_string(),
            port: address.port(),
        }
    }
}
