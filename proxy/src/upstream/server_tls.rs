//! TLS to one server: the certificate authorities and the name for verifying the server, and the
//! client certificate.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use thiserror::Error;

use crate::config::{self, ServerAddress};
use crate::transport::io::Socket;
use crate::transport::tls::{
    CertificateError, ClientSettings, ClientTls, ClientTlsError, Identity, PeerName, Role, Roots,
    TlsStream, Version,
};

/// Maximum length of a certificate file. The files that operating systems provide are a quarter of
/// that length.
const MAX_FILE: u64 = 4 << 20;

/// TLS settings for a server. Two values are equal if they were created from the same settings and
/// files.
#[derive(Debug)]
pub(super) struct ServerTls {
    inputs: Inputs,
    name: PeerName,
    tls: ClientTls,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inputs {
    settings: config::ServerTls,
    ca: Option<Vec<u8>>,
    /// The client certificate and its key, both in PEM.
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl PartialEq for ServerTls {
    fn eq(&self, other: &ServerTls) -> bool {
        self.inputs == other.inputs && self.name == other.name
    }
}

impl Eq for ServerTls {}

/// Reason why TLS to a server cannot be set up.
#[derive(Debug, Error)]
#[error("{reason}")]
pub struct ServerTlsError {
    /// The invalid key of `tls`; empty for `tls` itself.
    pub key: &'static str,
    /// The reason.
    #[source]
    pub reason: ServerTlsReason,
}

/// Reason of a [`ServerTlsError`].
#[derive(Debug, Error)]
pub enum ServerTlsReason {
    /// A file cannot be read.
    #[error("cannot be read: {0}")]
    File(io::Error),
    /// The client certificate, or its key, is unusable.
    #[error("{0}")]
    Certificate(CertificateError),
    /// The certificate authorities or the server's name are unusable.
    #[error("{0}")]
    Tls(ClientTlsError),
}

fn wrong<T>(key: &'static str) -> impl FnOnce(T) -> ServerTlsError
where
    ServerTlsReason: From<T>,
{
    move |reason| ServerTlsError {
        key,
        reason: reason.into(),
    }
}

impl From<io::Error> for ServerTlsReason {
    fn from(error: io::Error) -> ServerTlsReason {
        ServerTlsReason::File(error)
    }
}

impl From<CertificateError> for ServerTlsReason {
    fn from(error: CertificateError) -> ServerTlsReason {
        ServerTlsReason::Certificate(error)
    }
}

impl From<ClientTlsError> for ServerTlsReason {
    fn from(error: ClientTlsError) -> ServerTlsReason {
        ServerTlsReason::Tls(error)
    }
}

impl ServerTls {
    /// Reads the files that `settings` names. `address` is the server's address.
    ///
    /// # Errors
    /// [`ServerTlsError`].
    pub(super) fn load(
        settings: &config::ServerTls,
        address: &ServerAddress,
    ) -> Result<ServerTls, ServerTlsError> {
        let ca = settings.ca.as_deref().map(read);
        let ca = ca.transpose().map_err(wrong("ca"))?;
        let identity = match &settings.certificate {
            Some(files) => Some((
                read(&files.certificate).map_err(wrong("certificate"))?,
                read(&files.key).map_err(wrong("key"))?,
            )),
            None => None,
        };
        let name = match (&settings.server_name, address) {
            (Some(name), _) | (None, ServerAddress::Tcp { host: name, .. }) => name,
            // The configuration parser has ensured that the name is not verified in this case.
            (None, ServerAddress::Unix(_)) => "localhost",
            // The name that is verified is the one that the operator has configured, not one from
            // DNS answers (RFC 6125, section 1.8).
            (None, ServerAddress::Srv(name)) => service_domain(name),
        };
        let name = PeerName::parse(name).map_err(wrong("server_name"))?;
        let loaded = identity.as_ref().map(|(chain, key)| {
            let identity = Identity::from_pem(chain, key, Role::Client)?;
            identity.check_dates(SystemTime::now())?;
            Ok(identity)
        });
        let client_settings = ClientSettings {
            roots: match &ca {
                _ if settings.danger_accept_invalid => Roots::DangerAcceptInvalid,
                Some(pem) => Roots::Pem(pem.clone()),
                None => Roots::System,
            },
            identity: loaded.transpose().map_err(|error: CertificateError| {
                let key = match error {
                    CertificateError::NoKey
                    | CertificateError::EncryptedKey
                    | CertificateError::UnsupportedKey(_)
                    | CertificateError::KeyMismatch(_) => "key",
                    _ => "certificate",
                };
                wrong(key)(error)
            })?,
            min_version: Version::Tls12,
            max_version: Version::Tls13,
            alpn: Vec::new(),
        };
        let place = if ca.is_some() { "ca" } else { "" };
        Ok(ServerTls {
            tls: ClientTls::new(&client_settings).map_err(wrong(place))?,
            name,
            inputs: Inputs {
                settings: settings.clone(),
                ca,
                identity,
            },
        })
    }

    /// Returns a copy that shares no TLS sessions with the original.
    pub(super) fn for_worker(&self) -> ServerTls {
        ServerTls {
            inputs: self.inputs.clone(),
            name: self.name.clone(),
            tls: self.tls.with_own_sessions(),
        }
    }

    /// Performs the TLS handshake on a connected socket, and verifies the server.
    ///
    /// # Errors
    /// Errors of the handshake.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket.
    pub(super) async fn connect(
        &self,
        socket: Socket,
        protocols: &[&[u8]],
    ) -> io::Result<Box<TlsStream>> {
        let handshake = self.tls.connect_offering(socket, &self.name, protocols);
        handshake.await.map_err(io::Error::other)
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut text = Vec::new();
    // The length is limited because the data of a device or pipe may never end.
    let file = std::fs::File::open(path)?;
    file.take(MAX_FILE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::Error::other("it is longer than 4 MiB"));
    }
    Ok(text)
}

/// Returns the part of an SRV record's name after its service and protocol: `example.org` for
/// `_http._tcp.example.org`.
pub(super) fn service_domain(name: &str) -> &str {
    let labels = name.split('.').take_while(|label| label.starts_with('_'));
    let length: usize = labels.map(|label| label.len() + 1).sum();
    name.get(length..).unwrap_or(name)
}
