//! Detection and adoption of certificates that have changed on disk.

use std::path::PathBuf;
use std::time::SystemTime;

use super::material::Material;
use super::mistake::{Mistake, Several};
use super::{Sites, UnknownSite};
use crate::config::Tls;

/// Maximum number of attempts to read the files when other changes interfere.
const MAX_ATTEMPTS: usize = 8;

/// Outcome of a refresh of a site's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refreshed {
    /// The files are the same as those in force.
    Unchanged,
    /// The new files are now in force.
    Replaced,
    /// The files cannot be used; the previous ones stay in force.
    Refused {
        /// Reason why the files cannot be used.
        reason: String,
        /// Whether the reason differs from that of the previous refresh. Also `true` if that
        /// refresh succeeded.
        is_news: bool,
        /// Whether the same files can become usable later.
        is_transient: bool,
    },
}

impl Sites {
    /// Reads the files of a site again; blocks meanwhile.
    ///
    /// # Errors
    /// [`UnknownSite`].
    pub fn refresh(&self, name: &str, now: SystemTime) -> Result<Refreshed, UnknownSite> {
        let unknown = || UnknownSite(name.to_owned());
        for _ in 0..MAX_ATTEMPTS {
            let (base, config, known) = {
                let state = self.state();
                let site = state.by_name.get(name).ok_or_else(unknown)?;
                (state.generation, site.config.clone(), site.material.clone())
            };
            let read = Material::read(&config, Some(&known), now);
            let mut state = self.state();
            if state.generation != base {
                continue;
            }
            let site = state.by_name.get_mut(name).ok_or_else(unknown)?;
            let material = match read {
                Ok(material) if material.digest == site.material.digest => {
                    site.refusal = None;
                    return Ok(Refreshed::Unchanged);
                }
                Ok(material) => material,
                Err(mistakes) => return Ok(refuse(&mut site.refusal, &mistakes)),
            };
            match site.stage(&material, site.issued.as_ref()) {
                Ok(staged) => {
                    site.commit(staged);
                    site.material = material;
                    site.refusal = None;
                    state.generation += 1;
                    return Ok(Refreshed::Replaced);
                }
                Err(error) => {
                    let mistake = Mistake::of_settings(name, error);
                    return Ok(refuse(&mut site.refusal, &[mistake]));
                }
            }
        }
        Ok(Refreshed::Refused {
            reason: "other changes intervened in every attempt".to_owned(),
            is_news: true,
            is_transient: true,
        })
    }

    /// Stops stapling OCSP responses that clients would refuse as outdated. Returns the names of
    /// the sites that had such a response.
    pub fn drop_outdated_ocsp(&self, now: SystemTime) -> Vec<String> {
        let mut state = self.state();
        let mut changed = Vec::new();
        for (name, site) in &mut state.by_name {
            let mut material = site.material.clone();
            let mut is_outdated = false;
            for (identity, _) in &mut material.certificates {
                if let Some(without) = identity.without_outdated_ocsp(now) {
                    *identity = without;
                    is_outdated = true;
                }
            }
            if is_outdated && let Ok(staged) = site.stage(&material, site.issued.as_ref()) {
                site.commit(staged);
                site.material = material;
                changed.push(name.clone());
            }
        }
        if !changed.is_empty() {
            state.generation += 1;
        }
        changed
    }

    /// Returns the files of all sites, each with the site's name.
    pub fn files(&self) -> Vec<(String, PathBuf)> {
        let state = self.state();
        let sites = state.by_name.iter();
        sites
            .flat_map(|(name, site)| {
                let paths = paths(&site.config).into_iter();
                paths.map(|path| (name.clone(), path))
            })
            .collect()
    }
}

fn refuse(last: &mut Option<String>, mistakes: &[Mistake]) -> Refreshed {
    let reason = Several(mistakes).to_string();
    let is_news = last.as_ref() != Some(&reason);
    *last = Some(reason.clone());
    Refreshed::Refused {
        reason,
        is_news,
        is_transient: mistakes.iter().any(|mistake| mistake.error.is_transient()),
    }
}

fn paths(config: &Tls) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for files in &config.certificates {
        paths.extend([files.certificate.clone(), files.key.clone()]);
        paths.extend(files.ocsp.clone());
    }
    if let Some(clients) = &config.client_certificates {
        paths.push(clients.ca.clone());
        paths.extend(clients.crl.iter().cloned());
    }
    paths.sort();
    paths.dedup();
    paths
}
