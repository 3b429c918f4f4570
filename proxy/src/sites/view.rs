//! View of the certificates in force, for operators.

use std::path::PathBuf;

use super::{Site, Sites};
use crate::transport::tls::{CertificateFacts, Identity};

/// A site at one moment.
#[derive(Debug, Clone)]
pub struct SiteState {
    /// NAME in `[tls.NAME]`.
    pub name: String,
    /// The site's certificates, with the default first. Empty until the first certificate has been
    /// issued.
    pub certificates: Vec<CertificateState>,
}

/// A certificate in force.
#[derive(Debug, Clone)]
pub struct CertificateState {
    /// Contents of the certificate.
    pub facts: CertificateFacts,
    /// Origin of the certificate.
    pub source: CertificateSource,
}

/// Origin of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateSource {
    /// The certificate was read from this file.
    File(PathBuf),
    /// The certificate was issued at run time.
    Issued,
}

impl Sites {
    /// Returns the state of every site, sorted by name.
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
