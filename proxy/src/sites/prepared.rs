//! The sites of a configuration that is about to come into force.

use std::collections::{BTreeMap, btree_map};
use std::sync::Arc;
use std::time::SystemTime;

use super::material::Material;
use super::mistake::Mistake;
use super::{ModeServer, Site, Sites, settings};
use crate::config::{self, Config, Mode};
use crate::transport::tls::{Identity, ServerTls, StagedSettings};

/// Sites of a configuration, read and checked. Dropping them changes nothing.
#[derive(Debug)]
pub struct PreparedSites {
    /// Generation of the sites in force when these were prepared.
    base: u64,
    list: Vec<PreparedSite>,
}

#[derive(Debug)]
struct PreparedSite {
    config: config::Tls,
    material: Material,
    issued: Option<Identity>,
    /// The TLS servers. Each server that is already in force comes with the settings that it adopts
    /// on commit.
    mode_servers: Vec<(ModeServer, Option<StagedSettings>)>,
}

/// A site in force, whose unchanged parts the new site of the same name reuses.
struct Known {
    config: config::Tls,
    material: Material,
    issued: Option<Identity>,
    mode_servers: Vec<(Mode, Arc<ServerTls>)>,
}

/// Outcome of [`Sites::commit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// The prepared sites are in force.
    InForce,
    /// The sites in force have changed since the new ones were prepared, so they must be prepared
    /// again.
    Stale,
}

impl Sites {
    /// Reads the files of every `[tls.NAME]` that a bind of `config` names; blocks meanwhile.
    /// Changes nothing.
    ///
    /// # Errors
    /// All mistakes that were found.
    pub fn prepare(&self, config: &Config, now: SystemTime) -> Result<PreparedSites, Vec<Mistake>> {
        let (base, known) = self.known();
        let mut mistakes = Vec::new();
        let mut list = Vec::new();
        for (name, modes) in named(config) {
            let Some(tls) = config.tls(name) else {
                continue;
            };
            match self.prepare_site(tls, &modes, known.get(name), now) {
                Ok(site) => list.push(site),
                Err(found) => mistakes.extend(found),
            }
        }
        if mistakes.is_empty() {
            Ok(PreparedSites { base, list })
        } else {
            Err(mistakes)
        }
    }

    /// Returns the generation and the sites in force.
    fn known(&self) -> (u64, BTreeMap<String, Known>) {
        let state = self.state();
        let known = state.by_name.iter().map(|(name, site)| {
            let mode_servers = site.mode_servers.iter();
            let known = Known {
                config: site.config.clone(),
                material: site.material.clone(),
                issued: site.issued.clone(),
                mode_servers: mode_servers
                    .map(|mode_server| (mode_server.mode, Arc::clone(&mode_server.server)))
                    .collect(),
            };
            (name.clone(), known)
        });
        (state.generation, known.collect())
    }

    fn prepare_site(
        &self,
        tls: &config::Tls,
        modes: &[Mode],
        known: Option<&Known>,
        now: SystemTime,
    ) -> Result<PreparedSite, Vec<Mistake>> {
        let material = Material::read(tls, known.map(|known| &known.material), now)?;
        let issued = known.filter(|known| known.config.acme == tls.acme);
        let issued = issued.and_then(|known| known.issued.clone());
        let mode_servers = modes.iter().map(|mode| {
            let settings = settings(tls, *mode, &material, issued.as_ref());
            let mode_servers = known.map_or(&[][..], |known| &known.mode_servers);
            let known = mode_servers.iter().find(|(known, _)| known == mode);
            let (server, staged) = if let Some((_, server)) = known {
                (Arc::clone(server), Some(server.stage(&settings)?))
            } else {
                let (keys, challenges) = (Arc::clone(&self.keys), Arc::clone(&self.challenges));
                let server = ServerTls::new(&settings, keys, challenges)?;
                (Arc::new(server), None)
            };
            let mode = *mode;
            Ok((ModeServer { mode, server }, staged))
        });
        let mode_servers = mode_servers
            .collect::<Result<_, _>>()
            .map_err(|error| vec![Mistake::of_settings(&tls.name, error)])?;
        Ok(PreparedSite {
            config: tls.clone(),
            material,
            issued,
            mode_servers,
        })
    }

    /// Puts the prepared sites into force. They replace all other sites.
    pub fn commit(&self, prepared: PreparedSites) -> Committed {
        let mut state = self.state();
        if state.generation != prepared.base {
            return Committed::Stale;
        }
        state.generation += 1;
        let sites = prepared.list.into_iter().map(|site| {
            let mode_servers = site.mode_servers.into_iter().map(|(mode_server, staged)| {
                if let Some(staged) = staged {
                    mode_server.server.commit(staged);
                }
                mode_server
            });
            let name = site.config.name.clone();
            let site = Site {
                config: site.config,
                material: site.material,
                issued: site.issued,
                mode_servers: mode_servers.collect(),
                refusal: None,
            };
            (name, site)
        });
        state.by_name = sites.collect();
        Committed::InForce
    }
}

/// Returns the names of the sites that binds use, each with the modes of the frontends that use it.
fn named(config: &Config) -> BTreeMap<&str, Vec<Mode>> {
    let mut named: BTreeMap<&str, Vec<Mode>> = BTreeMap::new();
    for frontend in &config.frontends {
        for name in frontend.bind.iter().filter_map(|bind| bind.tls.as_deref()) {
            match named.entry(name) {
                btree_map::Entry::Vacant(entry) => {
                    entry.insert(vec![frontend.mode]);
                }
                btree_map::Entry::Occupied(mut entry) => {
                    if !entry.get().contains(&frontend.mode) {
                        entry.get_mut().push(frontend.mode);
                    }
                }
            }
        }
    }
    named
}
