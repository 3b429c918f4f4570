//! Facts about the client for a server that expects the PROXY protocol.

use std::net::{IpAddr, SocketAddr};

use super::context::ConnectionFacts;
use crate::http::message::Scheme;
use crate::transport::proxy_protocol::{
    Address, ClientCertificate, Extensions, Header, Presented, Tls,
};

/// Returns the header for a connection on behalf of the peer of `facts`. `local` is the local
/// address of the peer's connection. It is the destination unless a proxy in front of this one has
/// named another.
///
/// If one of the two addresses is unknown, as for a peer on a Unix socket, the header tells the
/// server to use the connection's own addresses.
pub(super) fn describe(facts: &ConnectionFacts, local: Option<SocketAddr>) -> Header<'_> {
    let destination = facts.destination.as_deref().copied().or(local);
    let source = facts.peer.address.parse::<IpAddr>();
    let (Ok(source), Some(destination)) = (source, destination) else {
        return Header::Local;
    };
    Header::Proxied {
        source: Address::Tcp(SocketAddr::new(source, facts.peer.port)),
        destination: Address::Tcp(destination),
        extensions: extensions(facts),
    }
}

/// Returns the facts about the TLS session between the peer and this proxy. If a proxy in front of
/// this one has terminated TLS, only the use of TLS is known.
fn extensions(facts: &ConnectionFacts) -> Extensions<'_> {
    let Some(session) = facts.tls.as_deref() else {
        return Extensions {
            tls: (facts.scheme == Scheme::Https).then(Tls::default),
            ..Extensions::default()
        };
    };
    let certificate = session.client_certificate.as_ref();
    Extensions {
        alpn: session.alpn.as_deref(),
        authority: session.server_name.as_deref(),
        unique_id: None,
        tls: Some(Tls {
            version: Some(session.version),
            certificate: certificate.map(|_| ClientCertificate {
                presented: if session.resumed {
                    Presented::InSession
                } else {
                    Presented::OnConnection
                },
                // An unverified certificate would have failed the handshake.
                is_verified: true,
                common_name: None,
            }),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::Arc;

    use super::*;
    use crate::http::forwarded::Trust;
    use crate::http::head::{Client, TlsFacts};

    fn facts(peer: &str, tls: Option<TlsFacts>) -> ConnectionFacts {
        let peer = peer.parse::<SocketAddr>();
        ConnectionFacts {
            frontend: Rc::from("f"),
            peer: Arc::new(peer.map(Client::from).unwrap_or_default()),
            scheme: tls.as_ref().map_or(Scheme::Http, |_| Scheme::Https),
            tls: tls.map(Arc::new),
            trust: Trust::Untrusted,
            destination: None,
            redirect: None,
        }
    }

    #[test]
    fn addresses_and_sessions() {
        let local = "127.0.0.1:80".parse().ok();
        assert_eq!(describe(&facts("unix", None), local), Header::Local);
        assert_eq!(describe(&facts("192.0.2.7:5", None), None), Header::Local);
        let plain = facts("[::ffff:192.0.2.7]:5", None);
        let address = |text: &str| Address::Tcp(text.parse().unwrap());
        let expected = |extensions| Header::Proxied {
            source: address("192.0.2.7:5"),
            destination: address("127.0.0.1:80"),
            extensions,
        };
        assert_eq!(describe(&plain, local), expected(Extensions::default()));
        let session = TlsFacts {
            server_name: Some("www.test.tld".into()),
            alpn: Some(b"h2".as_slice().into()),
            version: "TLSv1.3",
            cipher: "TLS13_AES_128_GCM_SHA256".into(),
            resumed: true,
            client_certificate: None,
        };
        assert_eq!(
            describe(&facts("192.0.2.7:5", Some(session)), local),
            expected(Extensions {
                alpn: Some(b"h2"),
                authority: Some("www.test.tld"),
                unique_id: None,
                tls: Some(Tls {
                    version: Some("TLSv1.3"),
                    certificate: None,
                }),
            })
        );
    }
}
