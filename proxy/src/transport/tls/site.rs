//! Selects the certificate and the rules for a client by its first message.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::certificate::Identity;
use super::facts::CHALLENGE_PROTOCOL;
use super::{Version, provider, versions};

/// Whether clients must present a certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ClientPolicy {
    /// No certificate is requested.
    #[default]
    None,
    /// A client need not present a certificate. The handshake fails if it presents one that cannot
    /// be verified.
    Optional(ClientAuthority),
    /// A client without a certificate is rejected.
    Required(ClientAuthority),
}

/// Authorities that certify clients.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientAuthority {
    /// Certificates of the authorities, in PEM.
    pub ca: Vec<u8>,
    /// Revocation lists, in PEM. If there are any, each authority of a chain needs a current one.
    pub crl: Option<Vec<u8>>,
}

/// Certificates for ACME challenges (RFC 8737), by name. Shared by all sites.
#[derive(Debug, Default)]
pub struct Challenges {
    /// Locked by handshakes that request a challenge, and by code that adds or removes one.
    by_name: RwLock<HashMap<Box<str>, Arc<ServerConfig>>>,
}

impl Challenges {
    /// Presents this certificate in challenges for `name` until the certificate is removed.
    ///
    /// # Panics
    /// Panics if ring has no cipher suites for one of the versions.
    pub fn insert(&self, name: &str, identity: &Identity) {
        let resolver = SingleCertAndKey::from(Arc::clone(&identity.key));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&versions(Version::Tls12, Version::Tls13))
            .expect("the provider has suites for both versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = vec![CHALLENGE_PROTOCOL.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let name = name.to_ascii_lowercase().into();
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        by_name.insert(name, Arc::new(config));
    }

    /// Removes the certificate for challenges for `name`.
    pub fn remove(&self, name: &str) {
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        by_name.remove(name.to_ascii_lowercase().as_str());
    }

    fn find(&self, name: &str) -> Option<Arc<ServerConfig>> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        by_name.get(name).cloned()
    }
}

/// Snapshot of a site, with its configuration at one point in time.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) config: Arc<ServerConfig>,
    pub(super) certificates: Arc<Certificates>,
    pub(super) unknown_names: UnknownNames,
    pub(super) challenges: Arc<Challenges>,
}

/// Handling of clients that request no name, or one that no certificate has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnknownNames {
    /// They receive the first certificate.
    Default,
    Refuse,
}

/// Error for a client that the site has no certificate for. The client receives the alert
/// `unrecognized_name` (RFC 6066, section 3).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unrecognized(pub(super) Option<Box<str>>);

impl Site {
    /// Chooses the configuration for a client.
    pub(super) fn choose(
        &self,
        hello: &ClientHello<'_>,
    ) -> Result<Arc<ServerConfig>, Unrecognized> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let unrecognized = || Unrecognized(name.clone().map(String::into_boxed_str));
        if is_challenge(hello) {
            let found = name.as_deref().and_then(|name| self.challenges.find(name));
            return found.ok_or_else(unrecognized);
        }
        let is_known = name
            .as_deref()
            .is_some_and(|name| self.certificates.find(name).is_some());
        if self.certificates.default.is_empty() {
            // The first certificate has not been issued yet.
            return Err(unrecognized());
        }
        if self.unknown_names == UnknownNames::Refuse && !is_known {
            return Err(unrecognized());
        }
        Ok(Arc::clone(&self.config))
    }
}

/// Returns whether the client offers only the protocol of challenges.
fn is_challenge(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|mut offered| {
        offered.next() == Some(CHALLENGE_PROTOCOL) && offered.next().is_none()
    })
}

/// A site's certificates, by name. A name can have several certificates, for clients with different
/// capabilities.
#[derive(Debug)]
pub(super) struct Certificates {
    /// Certificates by name. Wildcards have keys such as `*.example.com`.
    by_name: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// Certificates for clients that request no name or an unknown one: the first certificate, and
    /// others that contain the first name of that one.
    default: Vec<Arc<CertifiedKey>>,
}

impl Certificates {
    pub(super) fn new(identities: &[Identity]) -> Certificates {
        let mut by_name: HashMap<Box<str>, Vec<_>> = HashMap::new();
        for identity in identities {
            for name in &identity.facts().names {
                let keys = by_name.entry(name.clone()).or_default();
                keys.push(Arc::clone(&identity.key));
            }
        }
        let first = identities.first();
        let default = first
            .and_then(|first| by_name.get(first.facts().names.first()?))
            .cloned()
            .or_else(|| first.map(|first| vec![Arc::clone(&first.key)]));
        Certificates {
            by_name,
            default: default.unwrap_or_default(),
        }
    }

    /// Finds the certificates for a name in lower case. An exact name wins over a wildcard, which
    /// stands for one label (RFC 6125, section 6.4.3).
    fn find(&self, name: &str) -> Option<&[Arc<CertifiedKey>]> {
        let found = self.by_name.get(name).or_else(|| {
            let (_, parent) = name.split_once('.')?;
            self.by_name.get(format!("*.{parent}").as_str())
        });
        found.map(Vec::as_slice)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let keys = name
            .and_then(|name| self.find(&name))
            .unwrap_or(&self.default);
        let schemes = hello.signature_schemes();
        let usable = keys
            .iter()
            .find(|key| key.key.choose_scheme(schemes).is_some());
        usable.or(keys.first()).cloned()
    }
}
