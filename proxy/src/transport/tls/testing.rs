//! Certificates and connected streams for tests.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Poll, ready};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};
use tokio::net::{TcpListener, TcpStream};

use super::{Handshake, TlsStream};
use crate::transport::io::{Io, Socket};

/// Both versions of TLS.
pub(crate) const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A certificate authority.
pub(crate) struct Authority {
    pub(crate) issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate: rcgen::Certificate,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        Authority {
            issuer,
            certificate,
        }
    }

    /// Issues a certificate for `names`, with its key.
    pub(crate) fn issue(&self, names: &[&str]) -> (rcgen::Certificate, KeyPair) {
        let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
        self.issue_with(&CertificateParams::new(names).unwrap())
    }

    pub(crate) fn issue_with(&self, params: &CertificateParams) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        roots
    }
}

/// Returns the two ends of a TCP connection.
pub(crate) async fn sockets() -> (Socket, Socket) {
    let (near, far) = tcp_pair().await;
    (Socket::Tcp(near), Socket::Tcp(far))
}

pub(crate) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

/// Returns a matching pair of sessions: client and server.
pub(crate) fn sessions(version: &'static SupportedProtocolVersion) -> (Connection, Connection) {
    let authority = Authority::new();
    let (certificate, key) = authority.issue(&["localhost"]);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private_key(&key))
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(authority.roots())
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    (
        Connection::Client(ClientConnection::new(Arc::new(client), name).unwrap()),
        Connection::Server(ServerConnection::new(Arc::new(server)).unwrap()),
    )
}

pub(crate) fn private_key(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}

/// Returns the streams of both sides after their handshake: client and server.
pub(crate) async fn streams(
    version: &'static SupportedProtocolVersion,
) -> (Box<TlsStream>, Box<TlsStream>) {
    let (near, far) = sockets().await;
    let (client, server) = sessions(version);
    let (client, server) = tokio::join!(
        Handshake::connect(near, Ok(client)),
        Handshake::connect(far, Ok(server))
    );
    (client.unwrap(), server.unwrap())
}

/// Returns TLS 1.3 streams in the form that HTTP uses.
pub(crate) async fn tls13() -> (Io, Io) {
    ios(&TLS13).await
}

/// Like [`streams`], in the form that HTTP uses.
pub(crate) async fn ios(version: &'static SupportedProtocolVersion) -> (Io, Io) {
    let (client, server) = streams(version).await;
    (Io::tls(client), Io::tls(server))
}

/// Writes all bytes, and waits until the socket has accepted them.
pub(crate) async fn write_all(io: &mut Io, mut bytes: &[u8]) -> io::Result<()> {
    poll_fn(|cx| {
        while !bytes.is_empty() {
            match io.try_write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(io.poll_write_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        io.poll_flush(cx)
    })
    .await
}

/// Reads once.
pub(crate) async fn read(io: &mut Io, buffer: &mut [u8]) -> io::Result<usize> {
    poll_fn(|cx| {
        loop {
            ready!(io.poll_read_ready(cx))?;
            match io.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    })
    .await
}

/// Reads to the end.
pub(crate) async fn read_to_end(io: &mut Io) -> io::Result<Vec<u8>> {
    let mut seen = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match read(io, &mut buffer).await? {
            0 => return Ok(seen),
            count => seen.extend_from_slice(&buffer[..count]),
        }
    }
}

pub(crate) async fn shutdown(io: &mut Io) -> io::Result<()> {
    poll_fn(|cx| io.poll_shutdown(cx)).await
}

/// Returns bytes that are not all the same.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}
