//! `[tls.NAME]`: certificates and rules for TLS with clients. `server.NAME.tls`: TLS with servers.

use std::path::PathBuf;

/// `[tls.NAME]`: TLS with clients, for the binds that name this table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Name: letters, digits and `-_.:`.
    pub name: String,
    /// Certificates, chosen by SNI; an exact name takes precedence over a wildcard. Can be empty
    /// only if `acme` is set.
    pub certificates: Vec<CertificateFiles>,
    /// Whether clients are refused if their SNI is missing or matches no certificate.
    ///
    /// Default false: such clients get the first certificate.
    pub strict_sni: bool,
    /// Accepted versions of TLS; at least one. Default both.
    pub versions: Vec<TlsVersion>,
    /// Protocols for ALPN, the preferred one first.
    ///
    /// None: `h2` and `http/1.1` in frontends that use HTTP, no protocols in others.
    pub alpn: Option<Vec<String>>,
    /// Client authentication. None: clients are not asked for certificates.
    pub client_certificates: Option<ClientCertificates>,
    /// Settings for a certificate from an ACME server.
    pub acme: Option<Acme>,
}

/// Files of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM: the certificate, followed by its chain.
    pub certificate: PathBuf,
    /// PEM: the private key of the certificate.
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
    /// PEM: the authorities that issue client certificates.
    pub ca: PathBuf,
    /// Whether a client without a certificate is refused. Default true.
    pub is_required: bool,
    /// PEM: revocation lists of those authorities.
    pub crl: Vec<PathBuf>,
}

/// `acme` of a `[tls.NAME]`: a certificate from an ACME server (RFC 8555).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// DNS names of the certificate. The first one also names its files.
    pub names: Vec<String>,
    /// Contact URLs of the operator, such as `mailto:admin@example.org`.
    pub contact: Vec<String>,
    /// URL of the ACME server's directory.
    pub directory: String,
    /// PEM: the authorities against which the ACME server's own certificate is verified. None: the
    /// authorities of the system.
    pub ca: Option<PathBuf>,
    /// Directory that stores accounts and certificates.
    pub storage: PathBuf,
    /// Challenge that proves control of the names. Default [`AcmeChallenge::Http01`].
    pub challenge: AcmeChallenge,
}

/// Challenge that proves control of a name to an ACME server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// A resource on port 80 (RFC 8555, section 8.3).
    #[default]
    Http01,
    /// A certificate on port 443 (RFC 8737).
    TlsAlpn01,
}

/// `server.NAME.tls`: TLS with a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerTls {
    /// PEM: the authorities against which the server's certificate is verified. None: the
    /// authorities of the system.
    pub ca: Option<PathBuf>,
    /// Name that is sent as SNI and that the server's certificate must contain. None: the host of
    /// the address.
    pub server_name: Option<String>,
    /// Client certificate, presented if the server asks for one.
    pub certificate: Option<CertificateFiles>,
    /// Whether any certificate is accepted. If so, an attacker on the network path can read and
    /// change everything. Default false.
    pub danger_accept_invalid: bool,
}

/// HTTP version used with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 over TLS only.
    Http2,
    /// HTTP/2 without TLS, by prior knowledge.
    H2c,
    /// With TLS: HTTP/2 if the server selects it by ALPN, else HTTP/1.1.
    Negotiated,
}

/// Version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    /// Version 1: a line of text.
    V1,
    /// Version 2: binary.
    V2,
}
