//! Which certificate and which rules a client gets, by the first message that it sends.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::certificate::Identity;
use super::facts::CHALLENGE_PROTOCOL;
use super::{Version, provider, versions};

/// Whether clients are asked for a certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ClientPolicy {
    /// No.
    #[default]
    None,
    /// Clients may have none; one that does not verify ends the handshake.
    Optional(ClientAuthority),
    /// Clients without one are refused.
    Required(ClientAuthority),
}

/// Who certifies clients.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientAuthority {
    /// Certificates of authorities, PEM.
    pub ca: Vec<u8>,
    /// Lists of revoked certificates, PEM. With any, each authority of a chain needs one that is
    /// up to date.
    pub crl: Option<Vec<u8>>,
}

/// Certificates that answer challenges of ACME (RFC 8737), by name. Shared by all sites.
#[derive(Debug, Default)]
pub struct Challenges {
    /// Taken by handshakes that ask for a challenge, and by whoever adds and removes one.
    by_name: RwLock<HashMap<Box<str>, Arc<ServerConfig>>>,
}

impl Challenges {
    /// Answers for `name` until it is removed.
    ///
    /// # Panics
    /// If ring had no suites of cipher for one of the versions.
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

    /// Ends that.
    pub fn remove(&self, name: &str) {
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        by_name.remove(name.to_ascii_lowercase().as_str());
    }

    fn find(&self, name: &str) -> Option<Arc<ServerConfig>> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        by_name.get(name).cloned()
    }
}

/// A site as its configuration was at one time.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) config: Arc<ServerConfig>,
    pub(super) certificates: Arc<Certificates>,
    pub(super) unknown_names: UnknownNames,
    pub(super) challenges: Arc<Challenges>,
}

/// Clients without a name, or with one that no certificate has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnknownNames {
    /// They get the first certificate.
    Default,
    Refuse,
}

/// There is nothing for this client: it is told `unrecognized_name` (RFC 6066, section 3).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unrecognized(pub(super) Option<Box<str>>);

impl Site {
    /// The rules for a client.
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
            // The first one has not come yet.
            return Err(unrecognized());
        }
        if self.unknown_names == UnknownNames::Refuse && !is_known {
            return Err(unrecognized());
        }
        Ok(Arc::clone(&self.config))
    }
}

/// Whether the client offers the protocol of challenges, and no other.
fn is_challenge(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|mut offered| {
        offered.next() == Some(CHALLENGE_PROTOCOL) && offered.next().is_none()
    })
}

/// A site's certificates, by name. A name may have several, for clients of different abilities.
#[derive(Debug)]
pub(super) struct Certificates {
    /// Also wildcards, as `*.example.com`.
    by_name: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// For clients that ask for no name, or another: the first one, and others of its first name.
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

    /// For a name in lower case: its own before that of a wildcard, which stands for one label
    /// (RFC 6125, section 6.4.3).
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
