//! `[tls.NAME]`: certificates and rules for TLS with clients; `server.NAME.tls` for servers.

use std::path::PathBuf;

/// `[tls.NAME]`: TLS with the clients of the binds that name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Letters, digits and `-_.:`.
    pub name: String,
    /// Chosen by SNI, an exact name before a wildcard. May be empty only with `acme`.
    pub certificates: Vec<CertificateFiles>,
    /// Whether a client that asks for a name of no certificate, or for none, is refused.
    ///
    /// Default false: the first certificate is presented.
    pub strict_sni: bool,
    /// At least one. Default both.
    pub versions: Vec<TlsVersion>,
    /// Protocols for ALPN, the preferred one first.
    ///
    /// None: `h2` and `http/1.1` in frontends that speak HTTP, none in others.
    pub alpn: Option<Vec<String>>,
    /// Whether clients present certificates. None: they are not asked.
    pub client_certificates: Option<ClientCertificates>,
    /// Certificates from an ACME server.
    pub acme: Option<Acme>,
}

/// A certificate on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM: the certificate, then those that certify it.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
    /// DER: an OCSP response to staple.
    pub ocsp: Option<PathBuf>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// `client_certificates` of a `[tls.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// PEM: the authorities that certify clients.
    pub ca: PathBuf,
    /// Whether a client without a certificate is refused. Default true.
    pub is_required: bool,
    /// PEM: revocation lists of those authorities.
    pub crl: Vec<PathBuf>,
}

/// `acme` of a `[tls.NAME]`: certificates from an ACME server (RFC 8555).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// DNS names of the one certificate, the first of which names its files.
    pub names: Vec<String>,
    /// URLs of the operator, such as `mailto:admin@example.org`.
    pub contact: Vec<String>,
    /// URL of the server's directory.
    pub directory: String,
    /// PEM: the authorities that certify the server itself. None: those of the system.
    pub ca: Option<PathBuf>,
    /// Directory of accounts and certificates.
    pub storage: PathBuf,
    /// How control of the names is shown. Default [`AcmeChallenge::Http01`].
    pub challenge: AcmeChallenge,
}

/// How an ACME server is shown who controls a name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// By a resource on port 80 (RFC 8555, section 8.3).
    #[default]
    Http01,
    /// By a certificate on port 443 (RFC 8737).
    TlsAlpn01,
}

/// `server.NAME.tls`: TLS with a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerTls {
    /// PEM: the authorities that certify the server. None: those of the system.
    pub ca: Option<PathBuf>,
    /// Name that is sent as SNI, and that the certificate must have. None: the address's host.
    pub server_name: Option<String>,
    /// Presented if the server asks for it.
    pub certificate: Option<CertificateFiles>,
    /// Accepts any certificate: whoever is on the way can read and change everything. Default
    /// false.
    pub danger_accept_invalid: bool,
}

/// Which HTTP a server is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 over TLS, and nothing else.
    Http2,
    /// HTTP/2 without TLS, by prior knowledge.
    H2c,
    /// Over TLS: HTTP/2 if the server agrees to it by ALPN, else HTTP/1.1.
    Negotiated,
}

/// A version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}
