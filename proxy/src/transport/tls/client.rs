//! TLS connections to servers.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{
    ClientConfig, ClientConnection, Connection, DigitallySignedStruct, Error as RustlsError,
    RootCertStore, SignatureScheme,
};
use thiserror::Error;

use super::certificate::Identity;
use super::handshake::Handshake;
use super::server::roots;
use super::{Version, provider, versions};
use crate::transport::socket::Socket;

/// Maximum number of servers whose sessions are remembered. Each has one session of TLS 1.2 and at
/// most eight tickets of TLS 1.3.
const MAX_REMEMBERED: usize = 256;

/// Settings for TLS connections to servers.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Authorities that are trusted to certify servers.
    pub roots: Roots,
    /// The certificate for servers that request one.
    pub identity: Option<Identity>,
    /// Oldest version to offer.
    pub min_version: Version,
    /// Newest version to offer.
    pub max_version: Version,
    /// Protocols to offer, such as `h2`, in order of preference.
    pub alpn: Vec<Vec<u8>>,
}

/// Authorities that are trusted to certify servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// The authorities of the system.
    System,
    /// These authorities, in PEM.
    Pem(Vec<u8>),
    /// Any certificate is accepted, so connections can be intercepted.
    DangerAcceptInvalid,
}

/// Reason why the settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ClientTlsError {
    /// The system has no authorities, or they cannot be read.
    #[error("the system's certificate authorities cannot be read: {0}")]
    System(String),
    /// The configured authorities are invalid.
    #[error("the certificates of authorities cannot be read: {0}")]
    Ca(String),
    /// The oldest version is newer than the newest.
    #[error("no version of TLS is allowed: the oldest is newer than the newest")]
    NoVersion,
    /// No certificate can have this name.
    #[error("\"{0}\" is neither a DNS name nor an IP address")]
    Name(String),
}

/// The name that a server's certificate must have. The name can differ from the server's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerName(ServerName<'static>);

impl PeerName {
    /// Parses a DNS name or an IP address. An address is verified, but not sent to the server (RFC
    /// 6066, section 3).
    ///
    /// # Errors
    /// [`ClientTlsError::Name`].
    pub fn parse(name: &str) -> Result<PeerName, ClientTlsError> {
        ServerName::try_from(name.to_owned())
            .map(PeerName)
            .map_err(|_| ClientTlsError::Name(name.to_owned()))
    }
}

/// Factory of TLS connections to servers.
#[derive(Debug, Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
}

impl ClientTls {
    /// Creates the configuration. Reads the authorities, so it must not run on a worker.
    ///
    /// # Errors
    /// [`ClientTlsError`].
    pub fn new(settings: &ClientSettings) -> Result<ClientTls, ClientTlsError> {
        let versions = versions(settings.min_version, settings.max_version);
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&versions)
            .map_err(|_| ClientTlsError::NoVersion)?
            .dangerous()
            .with_custom_certificate_verifier(verifier(&settings.roots)?);
        let mut config = match &settings.identity {
            Some(identity) => {
                let resolver = SingleCertAndKey::from(Arc::clone(&identity.key));
                builder.with_client_cert_resolver(Arc::new(resolver))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&settings.alpn);
        config.resumption = Resumption::in_memory_sessions(MAX_REMEMBERED);
        Ok(ClientTls {
            config: Arc::new(config),
        })
    }

    /// Returns a copy with a separate session cache. A worker with its own copy never waits for
    /// another worker.
    #[must_use]
    pub fn with_own_sessions(&self) -> ClientTls {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::in_memory_sessions(MAX_REMEMBERED);
        ClientTls {
            config: Arc::new(config),
        }
    }

    /// Starts a handshake with a server whose certificate must have `name`.
    pub fn connect(&self, socket: Socket, name: &PeerName) -> Handshake {
        let session = ClientConnection::new(Arc::clone(&self.config), name.0.clone());
        Handshake::connect(socket, session.map(Connection::Client))
    }

    /// Like [`ClientTls::connect`], but offers `protocols` instead of those in the settings.
    pub fn connect_offering(
        &self,
        socket: Socket,
        name: &PeerName,
        protocols: &[&[u8]],
    ) -> Handshake {
        let protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let config = Arc::clone(&self.config);
        let session = ClientConnection::new_with_alpn(config, name.0.clone(), protocols);
        Handshake::connect(socket, session.map(Connection::Client))
    }
}

fn verifier(roots: &Roots) -> Result<Arc<dyn ServerCertVerifier>, ClientTlsError> {
    let roots = match roots {
        Roots::DangerAcceptInvalid => return Ok(Arc::new(DangerAcceptInvalid)),
        Roots::System => system_roots()?,
        Roots::Pem(pem) => self::roots(pem).map_err(ClientTlsError::Ca)?,
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
    let verifier = verifier.build();
    Ok(verifier.map_err(|error| ClientTlsError::Ca(error.to_string()))?)
}

fn system_roots() -> Result<RootCertStore, ClientTlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Certificates that rustls cannot parse are skipped, as other programs do.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reason = found.errors.first().map(ToString::to_string);
        let reason = reason.unwrap_or_else(|| "there are none".to_owned());
        return Err(ClientTlsError::System(reason));
    }
    Ok(roots)
}

/// Verifier that accepts any certificate. The peer must still prove that it has the certificate's
/// key.
#[derive(Debug)]
struct DangerAcceptInvalid;

impl ServerCertVerifier for DangerAcceptInvalid {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests;
