//! The certificates in force, and the TLS servers that present them.
//!
//! The process has one [`Sites`]. It owns the [`ServerTls`] of every `[tls.NAME]` that a bind
//! names, together with the session ticket keys and the responses to ACME challenges. A change is
//! prepared without the lock, which is held only briefly to commit it. Connections and sessions
//! continue. No worker takes the lock: each worker has the `ServerTls` of its binds. The callers
//! are `control`, and the publisher of certificates that are issued at run time.

mod material;
mod mistake;
mod prepared;
mod refresh;
mod view;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;

use crate::config::{self, Mode};
use crate::transport::tls::{
    Challenges, Identity, ServerSettings, ServerTls, ServerTlsError, StagedSettings, TicketError,
    TicketKeys, Version,
};
use material::Material;

pub use mistake::{FileError, Mistake, Place};
pub use prepared::{Committed, PreparedSites};
pub use refresh::Refreshed;
pub use view::{CertificateSource, CertificateState, SiteState};

/// Every site in force.
#[derive(Debug)]
pub struct Sites {
    keys: Arc<TicketKeys>,
    challenges: Arc<Challenges>,
    /// Locked by changes and by status queries, never by a worker.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Number of changes so far. Anything prepared before the last change is stale.
    generation: u64,
    by_name: BTreeMap<String, Site>,
}

/// A `[tls.NAME]`.
#[derive(Debug)]
struct Site {
    config: config::Tls,
    material: Material,
    /// The certificate that was issued at run time, if any.
    issued: Option<Identity>,
    mode_servers: Vec<ModeServer>,
    /// Reason why the site's files were last refused. Kept so that each reason is reported once.
    refusal: Option<String>,
}

/// A site's TLS server for the frontends of one mode.
#[derive(Debug)]
struct ModeServer {
    mode: Mode,
    server: Arc<ServerTls>,
}

/// Error for a site name that no bind uses.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no bind uses `[tls.{0}]`")]
pub struct UnknownSite(pub String);

impl Sites {
    /// Creates an empty set of sites, with new ticket keys.
    ///
    /// # Errors
    /// [`TicketError::Random`].
    pub fn try_new() -> Result<Arc<Sites>, TicketError> {
        Ok(Arc::new(Sites {
            keys: TicketKeys::new()?,
            challenges: Arc::default(),
            state: Mutex::default(),
        }))
    }

    /// Returns the session ticket keys, shared by all sites.
    pub fn ticket_keys(&self) -> &TicketKeys {
        &self.keys
    }

    /// Returns the responses to challenges, shared by all sites.
    pub fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }

    /// Returns the TLS server of a site for frontends of this mode.
    pub fn server(&self, name: &str, mode: Mode) -> Option<Arc<ServerTls>> {
        let state = self.state();
        let mode_server = state.by_name.get(name)?.mode_server(mode)?;
        Some(Arc::clone(&mode_server.server))
    }

    /// Adds a certificate to those from the site's files. It replaces the certificate from the
    /// previous call. A reload keeps it for as long as the site's `acme` stays the same.
    ///
    /// # Errors
    /// [`UnknownSite`].
    pub fn put(&self, name: &str, identity: Identity) -> Result<(), UnknownSite> {
        let mut state = self.state();
        let unknown = || UnknownSite(name.to_owned());
        let site = state.by_name.get_mut(name).ok_or_else(unknown)?;
        let issued = Some(identity);
        // Staging cannot fail because of the client policy: that policy is in force, so it has been
        // parsed before.
        if let Ok(staged) = site.stage(&site.material, issued.as_ref()) {
            site.issued = issued;
            site.commit(staged);
            state.generation += 1;
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is written in one step, so the data behind a poisoned lock is consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Site {
    fn mode_server(&self, mode: Mode) -> Option<&ModeServer> {
        self.mode_servers
            .iter()
            .find(|mode_server| mode_server.mode == mode)
    }

    /// Stages settings for each mode, in the order of `mode_servers`.
    fn stage(
        &self,
        material: &Material,
        issued: Option<&Identity>,
    ) -> Result<Vec<StagedSettings>, ServerTlsError> {
        let mode_servers = self.mode_servers.iter();
        mode_servers
            .map(|mode_server| {
                let settings = settings(&self.config, mode_server.mode, material, issued);
                mode_server.server.stage(&settings)
            })
            .collect()
    }

    fn commit(&self, staged: Vec<StagedSettings>) {
        for (mode_server, staged) in self.mode_servers.iter().zip(staged) {
            mode_server.server.commit(staged);
        }
    }
}

fn settings(
    config: &config::Tls,
    mode: Mode,
    material: &Material,
    issued: Option<&Identity>,
) -> ServerSettings {
    let version = |version| match version {
        config::TlsVersion::Tls12 => Version::Tls12,
        config::TlsVersion::Tls13 => Version::Tls13,
    };
    let alpn = match (&config.alpn, mode) {
        (Some(protocols), _) => protocols
            .iter()
            .map(|text| text.as_bytes().into())
            .collect(),
        (None, Mode::Http) => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        (None, Mode::Tcp) => Vec::new(),
    };
    let versions = config.versions.iter().copied().map(version);
    ServerSettings {
        name: config.name.clone(),
        identities: material.identities().chain(issued).cloned().collect(),
        min_version: versions.clone().min().unwrap_or(Version::Tls12),
        max_version: versions.max().unwrap_or(Version::Tls13),
        alpn,
        strict_sni: config.strict_sni,
        clients: material.clients.clone(),
    }
}

#[cfg(test)]
mod tests;
