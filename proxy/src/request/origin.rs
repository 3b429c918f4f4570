//! What a server learns of a client by the PROXY protocol.

use std::net::{IpAddr, SocketAddr};

use super::context::ConnectionFacts;
use crate::http::message::Scheme;
use crate::transport::proxy_protocol::{Address, Extensions, Header, Tls};

/// The header for a connection that is made for the peer of `facts`. `local` is this proxy's end of
/// the peer's connection, unless a proxy before it has named another.
///
/// Without both addresses, as for a peer on a Unix socket, the server gets to know that the
/// connection's own count.
pub(super) fn describe(facts: &ConnectionFacts, local: Option<SocketAddr>) -> Header<'static> {
    let destination = facts.destination.as_deref().copied().or(local);
    let source = facts.peer.address.parse::<IpAddr>();
    let (Ok(source), Some(destination)) = (source, destination) else {
        return Header::Local;
    };
    Header::Proxied {
        source: Address::Tcp(SocketAddr::new(source, facts.peer.port)),
        destination: Address::Tcp(destination),
        extensions: Extensions {
            tls: (facts.scheme == Scheme::Https).then(Tls::default),
            ..Extensions::default()
        },
    }
}
