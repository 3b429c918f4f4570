//! Creation of clusters from backends' configurations. Reads servers files, and looks up the names
//! of all backends concurrently.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::cluster::{Cluster, ClusterConfig, Relisted};
use super::configured::{Listed, Reading, ServerError};
use super::discovery::Lookups;
use super::health::keeper::Keeper;
use crate::config;

/// External inputs that the configurations of backends refer to: servers files, and names.
#[derive(Debug)]
pub struct Preparation {
    /// Servers from files, by backend name.
    listed: HashMap<String, Result<Listed, ServerError>>,
    lookups: Lookups,
}

impl Preparation {
    /// Reads the servers files of these backends, and looks up the names of their servers where
    /// `resolve.init` wants it. `before` are the clusters in force by name; names with addresses
    /// known there are not looked up. Blocks.
    pub fn of(backends: &[config::Backend], before: &HashMap<&str, &Arc<Cluster>>) -> Preparation {
        let listed = backends.iter().filter_map(|backend| {
            let path = backend.servers_file.as_deref()?;
            Some((backend.name.clone(), list(path)))
        });
        let listed: HashMap<_, _> = listed.collect();
        let servers = backends.iter().flat_map(|backend| {
            let listed = listed.get(&backend.name);
            let listed = listed.and_then(|listed| listed.as_ref().ok());
            let listed = listed.map_or(&[][..], |listed| &listed.servers);
            let servers = backend.servers.iter().chain(listed);
            servers.map(move |server| (backend, &server.address))
        });
        let lookups = Lookups::of(servers, before);
        Preparation { listed, lookups }
    }
}

impl ClusterConfig {
    /// Prepares a backend's configuration for this number of workers. `before` is the cluster of
    /// the same name that is in force. Changes nothing that is in use.
    ///
    /// # Errors
    /// The first server that cannot be used, with the reason.
    pub fn load(
        backend: &config::Backend,
        preparation: &mut Preparation,
        before: Option<&Arc<Cluster>>,
        workers: usize,
        keeper: &Keeper,
    ) -> Result<ClusterConfig, ServerError> {
        let listed = preparation.listed.remove(&backend.name);
        let listed = listed.unwrap_or_else(|| Ok(Listed::default()))?;
        let lookups = &preparation.lookups;
        ClusterConfig::prepare(
            backend,
            &listed,
            &mut |address| Ok(lookups.resolve(backend, address, before)?),
            before,
            workers,
            keeper.waker(),
        )
    }
}

impl Cluster {
    /// Reads the servers file again, and puts its servers into force. The caller notifies the
    /// workers. Blocks.
    ///
    /// # Errors
    /// [`ServerError`]; the previous servers stay.
    pub fn read_servers(&self, path: &Path) -> Result<Relisted, ServerError> {
        self.set_listed(path, &list(path)?)
    }
}

fn list(path: &Path) -> Result<Listed, ServerError> {
    let reading = Reading::begin();
    let servers = config::load_servers(path).map_err(ServerError::File)?;
    Ok(Listed { servers, reading })
}
