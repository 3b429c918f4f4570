//! TLS connections from clients.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::certificate::Identity;
use super::handshake::Handshake;
use super::site::{Certificates, Challenges, ClientAuthority, ClientPolicy, Site, UnknownNames};
use super::tickets::{SiteTickets, TicketKeys};
use super::{Version, provider, versions};
use crate::transport::socket::Socket;

/// TLS settings of a site.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// The site's name. A session can be resumed only at a site with the same name and the same
    /// [`ClientPolicy`].
    pub name: String,
    /// The site's certificates; the first one is the default. If there are none, only handshakes
    /// for challenges succeed.
    pub identities: Vec<Identity>,
    /// Oldest version to accept.
    pub min_version: Version,
    /// Newest version to accept.
    pub max_version: Version,
    /// Protocols to accept, such as `h2`, in order of preference. If the list is empty, clients can
    /// offer any.
    pub alpn: Vec<Vec<u8>>,
    /// Whether to reject clients that request no name, or one that no certificate has.
    pub strict_sni: bool,
    /// Whether to request a certificate from clients.
    pub clients: ClientPolicy,
}

/// Reason why the settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ServerTlsError {
    /// The oldest version is newer than the newest.
    #[error("no version of TLS is allowed: the oldest is newer than the newest")]
    NoVersion,
    /// The authorities for client certificates are invalid.
    #[error("the certificates of client authorities cannot be read: {0}")]
    Ca(String),
    /// The revocation lists are invalid.
    #[error("the revocation list cannot be read: {0}")]
    Crl(String),
}

/// TLS with the clients of one site. Its settings can be replaced while connections are open.
#[derive(Debug)]
pub struct ServerTls {
    site: ArcSwap<Site>,
    keys: Arc<TicketKeys>,
    challenges: Arc<Challenges>,
}

/// Checked settings that [`commit`](ServerTls::commit) can apply.
#[derive(Debug)]
pub struct StagedSettings(Arc<Site>);

impl ServerTls {
    /// Creates the TLS state of a site with the ticket keys and the challenges of the process.
    ///
    /// # Errors
    /// [`ServerTlsError`].
    pub fn new(
        settings: &ServerSettings,
        keys: Arc<TicketKeys>,
        challenges: Arc<Challenges>,
    ) -> Result<ServerTls, ServerTlsError> {
        let site = site(settings, &keys, &challenges)?;
        Ok(ServerTls {
            site: ArcSwap::from_pointee(site),
            keys,
            challenges,
        })
    }

    /// Replaces the settings for all new handshakes. Open connections are not affected. Sessions
    /// can still be resumed unless the name or the client policy has changed.
    ///
    /// # Errors
    /// [`ServerTlsError`]; the settings are then unchanged.
    pub fn replace(&self, settings: &ServerSettings) -> Result<(), ServerTlsError> {
        self.commit(self.stage(settings)?);
        Ok(())
    }

    /// Checks and prepares settings that [`commit`](ServerTls::commit) can apply.
    ///
    /// # Errors
    /// [`ServerTlsError`].
    pub fn stage(&self, settings: &ServerSettings) -> Result<StagedSettings, ServerTlsError> {
        let site = site(settings, &self.keys, &self.challenges)?;
        Ok(StagedSettings(Arc::new(site)))
    }

    /// Applies staged settings, like [`replace`](ServerTls::replace), but cannot fail.
    pub fn commit(&self, staged: StagedSettings) {
        self.site.store(staged.0);
    }

    /// Starts a handshake.
    pub fn accept(&self, socket: Socket) -> Handshake {
        Handshake::accept(socket, self.site.load_full())
    }
}

fn site(
    settings: &ServerSettings,
    keys: &Arc<TicketKeys>,
    challenges: &Arc<Challenges>,
) -> Result<Site, ServerTlsError> {
    let certificates = Arc::new(Certificates::new(&settings.identities));
    let versions = versions(settings.min_version, settings.max_version);
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&versions)
        .map_err(|_| ServerTlsError::NoVersion)?;
    let builder = match verifier(&settings.clients)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::clone(&certificates) as _);
    config.alpn_protocols.clone_from(&settings.alpn);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = SiteTickets::new(Arc::clone(keys), context(settings));
    // An attacker could replay requests in early data.
    config.max_early_data_size = 0;
    Ok(Site {
        config: Arc::new(config),
        certificates,
        unknown_names: if settings.strict_sni {
            UnknownNames::Refuse
        } else {
            UnknownNames::Default
        },
        challenges: Arc::clone(challenges),
    })
}

/// Returns a digest of the settings that must be equal for a session to be resumed.
fn context(settings: &ServerSettings) -> [u8; 32] {
    let none = ClientAuthority::default();
    let (policy, authority) = match &settings.clients {
        ClientPolicy::None => (0, &none),
        ClientPolicy::Optional(authority) => (1, authority),
        ClientPolicy::Required(authority) => (2, authority),
    };
    let crl = authority.crl.as_deref();
    let mut digest = Sha256::new();
    digest.update([policy, u8::from(crl.is_some())]);
    let name = settings.name.as_bytes();
    for part in [name, &authority.ca, crl.unwrap_or_default()] {
        // The lengths are included, so that no two lists of parts give the same bytes.
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

impl ClientPolicy {
    /// Checks that handshakes can use this policy.
    ///
    /// # Errors
    /// [`ServerTlsError::Ca`], [`ServerTlsError::Crl`].
    pub fn check(&self) -> Result<(), ServerTlsError> {
        verifier(self).map(drop)
    }
}

fn verifier(policy: &ClientPolicy) -> Result<Option<Arc<dyn ClientCertVerifier>>, ServerTlsError> {
    let (authority, is_optional) = match policy {
        ClientPolicy::None => return Ok(None),
        ClientPolicy::Optional(authority) => (authority, true),
        ClientPolicy::Required(authority) => (authority, false),
    };
    let roots = Arc::new(roots(&authority.ca).map_err(ServerTlsError::Ca)?);
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
    if let Some(crl) = &authority.crl {
        let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(crl)
            .collect::<Result<_, _>>()
            .map_err(|error| ServerTlsError::Crl(error.to_string()))?;
        if lists.is_empty() {
            return Err(ServerTlsError::Crl("there is none in it".to_owned()));
        }
        // As in OpenSSL, a list past its renewal date is not valid.
        builder = builder.with_crls(lists).enforce_revocation_expiration();
    }
    if is_optional {
        builder = builder.allow_unauthenticated();
    }
    builder
        .build()
        .map(Some)
        .map_err(|error| ServerTlsError::Crl(error.to_string()))
}

/// Reads the certificates of authorities from PEM.
pub(super) fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for (at, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots
            .add(certificate)
            .map_err(|error| format!("certificate {}: {error}", at + 1))?;
    }
    if roots.is_empty() {
        return Err("there is none in it".to_owned());
    }
    Ok(roots)
}

#[cfg(test)]
mod tests;
