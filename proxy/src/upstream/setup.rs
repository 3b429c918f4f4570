//! Creation of clusters from the configurations of backends. Reads servers files, and looks up the
//! names of all backends concurrently.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::cluster::{Cluster, ClusterConfig, FileServersOutcome};
use super::configured::{FileGeneration, FileServers, ServerError};
use super::discovery::Lookups;
use super::health::keeper::Keeper;
use crate::config;

/// External inputs to which the configurations of backends refer: servers files, and DNS names.
#[derive(Debug)]
pub struct Preparation {
    /// Servers from files, by backend name.
    file_servers: HashMap<String, Result<FileServers, ServerError>>,
    lookups: Lookups,
}

impl Preparation {
    /// Reads the servers files of these backends, and looks up the names of their servers unless
    /// `resolve.init` turns the lookup off. `before` contains the clusters in force, by name; a
    /// name whose addresses are already known there is not looked up. Blocks.
    pub fn of(backends: &[config::Backend], before: &HashMap<&str, &Arc<Cluster>>) -> Preparation {
        let file_servers = backends.iter().filter_map(|backend| {
            let path = backend.servers_file.as_deref()?;
            Some((backend.name.clone(), list(path)))
        });
        let file_servers: HashMap<_, _> = file_servers.collect();
        let servers = backends.iter().flat_map(|backend| {
            let file_servers = file_servers.get(&backend.name);
            let file_servers = file_servers.and_then(|file_servers| file_servers.as_ref().ok());
            let file_servers = file_servers.map_or(&[][..], |file_servers| &file_servers.servers);
            let servers = backend.servers.iter().chain(file_servers);
            servers.map(move |server| (backend, &server.address))
        });
        let lookups = Lookups::of(servers, before);
        Preparation {
            file_servers,
            lookups,
        }
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
        let file_servers = preparation.file_servers.remove(&backend.name);
        let file_servers = file_servers.unwrap_or_else(|| Ok(FileServers::default()))?;
        let lookups = &preparation.lookups;
        ClusterConfig::prepare(
            backend,
            &file_servers,
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
    /// [`ServerError`]; the previous servers stay in force.
    pub fn read_servers(&self, path: &Path) -> Result<FileServersOutcome, ServerError> {
        self.set_file_servers(path, &list(path)?)
    }
}

fn list(path: &Path) -> Result<FileServers, ServerError> {
    let generation = FileGeneration::begin();
    let servers = config::load_servers(path).map_err(ServerError::File)?;
    Ok(FileServers {
        servers,
        generation,
    })
}
