//! The certificates in force, for people.

use std::path::PathBuf;

use super::{Site, Sites};
use crate::transport::tls::{CertificateFacts, Identity};

/// A site at one moment.
#[derive(Debug, Clone)]
pub struct SiteState {
    /// Of its `[tls.NAME]`.
    pub name: String,
    /// The default first; none while the first one is awaited.
    pub certificates: Vec<CertificateState>,
}

/// A certificate in force.
#[derive(Debug, Clone)]
pub struct CertificateState {
    /// What it says.
    pub facts: CertificateFacts,
    /// Where it came from.
    pub source: CertificateSource,
}

/// Where a certificate came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateSource {
    /// From this file.
    File(PathBuf),
    /// It came at run time.
    Issued,
}

impl Sites {
    /// Every site, by name.
    pub fn states(&self) -> Vec<SiteState> {
        let state = self.state();
        let sites = state.by_name.iter();
        sites
            .map(|(name, site)| SiteState {
                name: name.clone(),
                certificates: certificates(site),
            })
            .collect()
    }
}

fn certificates(site: &Site) -> Vec<CertificateState> {
    let describe = |identity: &Identity, source| CertificateState {
        facts: identity.facts().clone(),
        source,
    };
    let files = site.material.certificates.iter();
    let files =
        files.map(|(identity, path)| describe(identity, CertificateSource::File(path.clone())));
    let issued = site.issued.iter();
    let issued = issued.map(|identity| describe(identity, CertificateSource::Issued));
    files.chain(issued).collect()
}
