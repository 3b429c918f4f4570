//! Clusters: the run-time state of a backend, shared by all workers.
//!
//! A [`Cluster`] keeps its identity for as long as its backend's name is configured. Reloads,
//! discovery and operators replace its [`EndpointSet`], an immutable snapshot. A cluster is created
//! off the worker threads; each worker has a `LocalCluster` for it.

mod build;
mod ejection;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};

use super::configured::{
    Configured, FileGeneration, FileServers, Resolved, ServerError, configure, literal,
};
use super::endpoint::{Address, Endpoint, EndpointId, Gauge};
use super::endpoint_set::{EndpointSet, Found};
use super::establish::Handshake;
use super::learned::Learned;
use super::settings::Settings;
use super::shared::Shared;
use super::wake::Wake;
use crate::config::{self, Affinity, ServerAddress, ServerState};

/// A backend's state at run time.
#[derive(Debug)]
pub struct Cluster {
    pub(super) shared: Arc<Shared>,
    /// The current set, for readers other than workers. Workers receive the set by a command.
    endpoints: ArcSwap<EndpointSet>,
    sources: Mutex<Sources>,
    /// Sessions with their endpoints, if sessions are learned.
    learned: ArcSwapOption<Learned>,
    /// Number of usable servers in the lower half. The upper half contains the lower half of the
    /// epoch at which the servers were counted.
    usable: AtomicU64,
    /// Whether response times are measured.
    measured: AtomicBool,
    /// Locked while an endpoint is being ejected.
    ejecting: Mutex<()>,
    /// Requests in flight, for each worker.
    loads: Box<[Load]>,
}

/// Requests that one worker has in flight. Written by that worker alone, on its own cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Load {
    pub(super) active: Gauge,
    pub(super) queued: Gauge,
}

/// The inputs from which the current set was built.
#[derive(Debug, Default)]
struct Sources {
    settings: Arc<Settings>,
    /// Servers in the order of the configuration, followed by those of the servers file in the
    /// order of the file.
    servers: Vec<Configured>,
    /// Generation of the servers file.
    file_generation: FileGeneration,
    found: HashMap<ServerAddress, Vec<Found>>,
    overrides: HashMap<String, ServerOverride>,
    /// Endpoints that have left the set, by server name and address. If an endpoint comes back
    /// while requests still use it, it is reused.
    gone: HashMap<(String, Address), Weak<Endpoint>>,
    /// Former sets that workers may still use. They are freed here and not by a worker, since
    /// freeing a set takes a while.
    retired: Vec<Arc<EndpointSet>>,
}

/// An operator's settings for a server, which override the configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServerOverride {
    /// State that the operator has set: which requests the server accepts.
    pub state: Option<ServerState>,
    /// Weight that the operator has set.
    pub weight: Option<u16>,
}

/// A cluster together with the settings and endpoints of one configuration.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// The cluster.
    pub cluster: Arc<Cluster>,
    /// The settings of the cluster.
    pub settings: Arc<Settings>,
    /// The servers of the cluster and their endpoints.
    pub endpoints: Arc<EndpointSet>,
    servers: Vec<Configured>,
    file_generation: FileGeneration,
    found: HashMap<ServerAddress, Vec<Found>>,
}

impl ClusterConfig {
    /// Prepares a backend's configuration for this number of workers. `file_servers` are the
    /// servers of the backend's servers file. `before` is the cluster of the same name that is in
    /// force; its unchanged servers and endpoints are reused. Changes nothing that is in use.
    ///
    /// # Errors
    /// The first server that cannot be used, with the reason.
    pub(super) fn prepare(
        backend: &config::Backend,
        file_servers: &FileServers,
        resolve: &mut dyn FnMut(&ServerAddress) -> Resolved,
        before: Option<&Arc<Cluster>>,
        workers: usize,
        wake: &Wake,
    ) -> Result<ClusterConfig, ServerError> {
        let cluster = match before {
            Some(before) => Arc::clone(before),
            None => Arc::new(Cluster::new(&backend.name, workers, wake.clone())),
        };
        let mut config = ClusterConfig {
            settings: Arc::new(Settings::new(backend)),
            endpoints: cluster.endpoints(),
            servers: configure(
                &backend.servers,
                &file_servers.servers,
                &cluster.handshakes(),
            )?,
            file_generation: file_servers.generation,
            found: HashMap::new(),
            cluster,
        };
        for Configured { server, .. } in &config.servers {
            let found = match literal(&server.address) {
                Some(found) => vec![found],
                None => resolve(&server.address).map_err(|source| ServerError::Resolve {
                    server: server.name.clone(),
                    source,
                })?,
            };
            config.found.insert(server.address.clone(), found);
        }
        let built = config.cluster.build(
            &config.settings,
            &config.servers,
            &config.found,
            &HashMap::new(),
        );
        config.endpoints = Arc::new(built);
        if before.is_none() {
            // Plugins are tested before the configuration is published, and the tests already need
            // the set.
            let endpoints = Arc::clone(&config.endpoints);
            config.cluster.endpoints.store(endpoints);
        }
        Ok(config)
    }

    /// Puts the configuration into force everywhere except in the workers.
    pub fn publish(&mut self) {
        let cluster = &self.cluster;
        let mut guard = cluster.sources();
        let sources = &mut *guard;
        let mut servers = std::mem::take(&mut self.servers);
        let is_same_file =
            sources.settings.backend.servers_file == self.settings.backend.servers_file;
        if is_same_file && sources.file_generation > self.file_generation {
            // The file has been read again since this configuration was prepared, so use the
            // servers of the later file.
            servers.retain(|one| !one.is_from_file);
            let names: HashSet<_> = servers.iter().map(|one| one.server.name.clone()).collect();
            let from_file = sources.servers.iter().filter(|one| one.is_from_file);
            let from_file = from_file.filter(|one| !names.contains(&one.server.name));
            servers.extend(from_file.cloned());
        } else {
            sources.file_generation = self.file_generation;
        }
        sources.prune(&servers);
        // Addresses that discovery has found since this configuration was prepared are newer, so
        // keep them.
        for (address, addresses) in self.found.drain() {
            let known = sources.found.entry(address).or_default();
            if known.is_empty() {
                *known = addresses;
            }
        }
        if *sources.settings != *self.settings {
            sources.settings = Arc::clone(&self.settings);
        }
        self.settings = Arc::clone(&sources.settings);
        sources.servers = servers;
        let shared = &cluster.shared;
        let backend = &self.settings.backend;
        shared.set_slow_start(backend.slow_start.is_some());
        shared.slots.set_limit(backend.max_requests);
        shared.queue.set_max(backend.max_queue);
        cluster.learn(backend.affinity.as_ref());
        self.endpoints = cluster.install(sources);
    }
}

impl Sources {
    /// Removes state that is obsolete once these servers come into force: addresses that no server
    /// uses any more, and overrides of settings whose configured value has changed.
    fn prune(&mut self, servers: &[Configured]) {
        let used: HashSet<_> = servers.iter().map(|one| &one.server.address).collect();
        self.found.retain(|address, _| used.contains(address));
        for address in used {
            if let Some(found) = literal(address) {
                self.found.insert(address.clone(), vec![found]);
            }
        }
        let Sources {
            overrides,
            servers: before,
            ..
        } = self;
        overrides.retain(|name, kept| {
            let find = |servers: &[Configured]| {
                let found = servers.iter().find(|one| one.server.name == *name);
                found.map(|one| (one.server.state, one.server.weight))
            };
            let (Some(before), Some(now)) = (find(before), find(servers)) else {
                return false;
            };
            if before.0 != now.0 {
                kept.state = None;
            }
            if before.1 != now.1 {
                kept.weight = None;
            }
            *kept != ServerOverride::default()
        });
    }
}

/// Outcome of reading a servers file again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileServersOutcome {
    /// The servers of the file are in force.
    InForce,
    /// The file is ignored: a file that was read later is in force, or the backend has another
    /// servers file.
    Overtaken,
    /// The configuration has changed since the file was read, so the file must be read again.
    Stale,
}

impl Cluster {
    fn new(name: &str, workers: usize, wake: Wake) -> Cluster {
        Cluster {
            shared: Arc::new(Shared::new(name, wake)),
            endpoints: ArcSwap::default(),
            sources: Mutex::default(),
            learned: ArcSwapOption::empty(),
            usable: AtomicU64::new(0),
            measured: AtomicBool::new(false),
            ejecting: Mutex::default(),
            loads: (0..workers).map(|_| Load::default()).collect(),
        }
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handshakes(&self) -> HashMap<String, Arc<Handshake>> {
        let sources = self.sources();
        let servers = sources.servers.iter();
        servers
            .map(|one| (one.server.name.clone(), Arc::clone(&one.handshake)))
            .collect()
    }

    /// Returns the backend's name, which identifies the cluster.
    pub fn name(&self) -> &Arc<str> {
        &self.shared.name
    }

    /// Returns the current set.
    pub fn endpoints(&self) -> Arc<EndpointSet> {
        self.endpoints.load_full()
    }

    /// Returns the configuration in force, for a worker.
    pub fn current(self: &Arc<Cluster>) -> ClusterConfig {
        let sources = self.sources();
        ClusterConfig {
            cluster: Arc::clone(self),
            settings: Arc::clone(&sources.settings),
            endpoints: self.endpoints(),
            servers: Vec::new(),
            file_generation: FileGeneration::default(),
            found: HashMap::new(),
        }
    }

    /// Returns the settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.sources().settings)
    }

    /// Sets the addresses that discovery has found for a server. Returns whether they have changed;
    /// if so, the caller notifies the workers.
    pub(super) fn set_found(&self, address: &ServerAddress, found: Vec<Found>) -> bool {
        let mut sources = self.sources();
        let mut servers = sources.servers.iter();
        let is_used = servers.any(|one| one.server.address == *address);
        if !is_used || sources.found.get(address) == Some(&found) {
            return false;
        }
        sources.found.insert(address.clone(), found);
        self.install(&mut sources);
        true
    }

    /// Returns the addresses of this server, if discovery has found them.
    pub(super) fn found(&self, address: &ServerAddress) -> Option<Vec<Found>> {
        self.sources().found.get(address).cloned()
    }

    /// Returns the names that have to be resolved.
    pub(super) fn names(&self) -> Vec<ServerAddress> {
        let sources = self.sources();
        let servers = sources.servers.iter().map(|one| &one.server.address);
        let names: HashSet<&ServerAddress> = servers
            .filter(|address| literal(address).is_none())
            .collect();
        names.into_iter().cloned().collect()
    }

    /// Puts the servers of the backend's servers file into force. The caller notifies the workers.
    ///
    /// # Errors
    /// [`ServerError`]; the previous servers stay in force.
    pub(super) fn set_file_servers(
        &self,
        path: &Path,
        file_servers: &FileServers,
    ) -> Result<FileServersOutcome, ServerError> {
        let (settings, configured, generation) = {
            let sources = self.sources();
            let configured = sources.servers.iter().filter(|one| !one.is_from_file);
            let configured: Vec<_> = configured.map(|one| one.server.clone()).collect();
            (
                Arc::clone(&sources.settings),
                configured,
                sources.file_generation,
            )
        };
        let has_file = settings.backend.servers_file.as_deref() == Some(path);
        if !has_file || generation >= file_servers.generation {
            return Ok(FileServersOutcome::Overtaken);
        }
        let servers = configure(&configured, &file_servers.servers, &self.handshakes())?;
        let mut sources = self.sources();
        let now = sources.servers.iter().filter(|one| !one.is_from_file);
        let is_same = now.map(|one| &one.server).eq(&configured);
        if !is_same || sources.settings != settings {
            return Ok(FileServersOutcome::Stale);
        }
        if sources.file_generation >= file_servers.generation {
            return Ok(FileServersOutcome::Overtaken);
        }
        sources.prune(&servers);
        sources.file_generation = file_servers.generation;
        sources.servers = servers;
        self.install(&mut sources);
        Ok(FileServersOutcome::InForce)
    }

    /// Overrides the state or weight of a server. Returns `None` if there is no such server. The
    /// caller notifies the workers.
    pub fn set_override(&self, server: &str, new: ServerOverride) -> Option<()> {
        let mut sources = self.sources();
        let mut servers = sources.servers.iter();
        let configured = servers.find(|one| one.server.name == server)?;
        let configured = configured.server.clone();
        let known = sources.overrides.entry(server.to_owned()).or_default();
        known.state = new.state.or(known.state);
        known.weight = new.weight.or(known.weight);
        // An override that equals the configuration is dropped.
        known.state = known.state.filter(|state| *state != configured.state);
        known.weight = known.weight.filter(|weight| *weight != configured.weight);
        if new.state == Some(ServerState::Ready) {
            let endpoints = self.endpoints();
            for entry in endpoints.of(server) {
                let change = entry.endpoint.health().reset();
                entry.endpoint.publish(change, &"an operator's order");
            }
        }
        self.install(&mut sources);
        Some(())
    }

    /// Builds a set from the sources, and puts it into force.
    fn install(&self, sources: &mut Sources) -> Arc<EndpointSet> {
        let set = self.build(
            &sources.settings,
            &sources.servers,
            &sources.found,
            &sources.gone,
        );
        for server_entry in set.servers() {
            let server = server_entry.server();
            let known = sources.overrides.get(server.name());
            let state = known.and_then(|known| known.state);
            let weight = known.and_then(|known| known.weight);
            server.book();
            let state = state.unwrap_or(server_entry.state());
            let was_out = server.set_state(state) == ServerState::Maintenance;
            let is_back = was_out && state == ServerState::Ready;
            server_entry.set_weight(weight);
            for entry in set.endpoints_of(server_entry) {
                let (max_requests, max_queue) = server_entry.limits();
                entry.endpoint.set_limits(max_requests, max_queue);
                if is_back && self.shared.starts_slowly() {
                    entry.endpoint.health().begin_slow_start();
                }
            }
        }
        let before = self.endpoints();
        // If the new set equals the previous one, keep the previous one, which the workers have.
        let set = if before.is_same(&set) {
            before
        } else {
            let set = Arc::new(set);
            self.endpoints.store(Arc::clone(&set));
            sources.gone.retain(|_, gone| gone.strong_count() > 0);
            for entry in before.endpoints() {
                let endpoint = &entry.endpoint;
                if set.position(endpoint.id()).is_none() {
                    let key = (
                        endpoint.server().name().to_owned(),
                        endpoint.address().clone(),
                    );
                    sources.gone.insert(key, Arc::downgrade(endpoint));
                }
            }
            sources.retired.push(before);
            set
        };
        sources.retired.retain(|set| Arc::strong_count(set) > 1);
        self.shared.changed();
        set
    }

    /// Frees the sets that no worker uses any more.
    pub(super) fn free_retired(&self) {
        let mut sources = self.sources();
        sources.retired.retain(|set| Arc::strong_count(set) > 1);
    }

    /// Creates, resizes or drops the table of learned sessions, as configured.
    fn learn(&self, affinity: Option<&Affinity>) {
        let Some(Affinity::Learned(affinity)) = affinity else {
            self.learned.store(None);
            return;
        };
        let known = self.learned.load_full();
        let learned = match &known {
            Some(known) if known.fits(affinity.max_entries) => return,
            Some(known) => known.resized(affinity.max_entries),
            None => Learned::new(affinity.max_entries),
        };
        self.learned.store(Some(Arc::new(learned)));
    }

    /// Returns the endpoint of a session, if the session was seen within `ttl`.
    pub fn learned(&self, session: &[u8], ttl: Duration) -> Option<EndpointId> {
        self.learned.load().as_ref()?.find(session, ttl)
    }

    /// Records that a session belongs to this endpoint.
    pub fn remember(&self, session: &[u8], endpoint: EndpointId) {
        if let Some(learned) = &*self.learned.load() {
            learned.insert(session, endpoint);
        }
    }

    /// Returns the number of requests and tunnels in progress, over all workers.
    pub fn active(&self) -> u32 {
        self.sum(|load| &load.active)
    }

    /// Returns the number of requests that wait for a slot, over all workers.
    pub fn queued(&self) -> u32 {
        self.sum(|load| &load.queued)
    }

    /// Turns on the measurement of response times, permanently.
    /// [`Server::latency`](super::server::Server::latency) returns the result.
    pub fn measure(&self) {
        if !self.is_measured() {
            self.measured.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn is_measured(&self) -> bool {
        self.measured.load(Ordering::Relaxed)
    }

    /// Returns the number of servers, usable or not.
    pub fn server_count(&self) -> u32 {
        let endpoints = self.endpoints.load();
        u32::try_from(endpoints.servers().len()).unwrap_or(u32::MAX)
    }

    /// Returns the number of servers that are up and not draining, whether or not they have a free
    /// slot.
    pub fn usable_servers(&self) -> u32 {
        // Plugins call this while they decide, so the servers are counted only once after each
        // change.
        let epoch = self.shared.epoch();
        let (known, count) = (self.usable.load(Ordering::Relaxed), |usable: u64| {
            u32::try_from(usable & u64::from(u32::MAX)).unwrap_or(u32::MAX)
        });
        if known >> 32 == epoch & u64::from(u32::MAX) {
            return count(known);
        }
        let endpoints = self.endpoints.load();
        let server_entries = endpoints.servers().iter();
        let usable = server_entries.filter(|server_entry| {
            let mut entries = endpoints.endpoints_of(server_entry).iter();
            entries.any(|entry| entry.endpoint.is_usable())
        });
        let usable = usable.count() as u64 & u64::from(u32::MAX);
        self.usable.store(epoch << 32 | usable, Ordering::Relaxed);
        count(usable)
    }

    fn sum(&self, gauge: fn(&Load) -> &Gauge) -> u32 {
        self.loads.iter().map(|load| gauge(load).get()).sum()
    }

    pub(super) fn load(&self, worker: usize) -> &Load {
        &self.loads[worker]
    }

    pub(super) fn workers(&self) -> usize {
        self.loads.len()
    }
}

#[cfg(test)]
mod tests;
