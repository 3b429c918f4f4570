//! Clusters: what a backend is at run time, as all workers share it.
//!
//! A [`Cluster`] is the same one for as long as its backend's name is configured; what a
//! reload changes is its [`EndpointSet`], an immutable snapshot. Made by `control` off the
//! workers' threads; each worker has a `LocalCluster` of it.

use std::collections::HashMap;
use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use thiserror::Error;

use super::connect;
use super::endpoint::{Address, Endpoint, Gauge, Server};
use super::establish::Handshake;
use super::server_tls::ServerTlsError;
use crate::config::{self, HttpReuse, ServerAddress};

/// A backend's state at run time.
#[derive(Debug)]
pub struct Cluster {
    name: Arc<str>,
    /// The current set, for readers; workers get it by a command.
    endpoints: ArcSwap<EndpointSet>,
    /// One for each worker.
    loads: Box<[Load]>,
}

/// Requests one worker has in flight. Written by that worker alone, on its own cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Load {
    pub(super) active: Gauge,
    pub(super) queued: Gauge,
}

/// The servers of a cluster and their endpoints at one moment.
#[derive(Debug)]
pub struct EndpointSet {
    /// In the order of the configuration; never empty.
    members: Vec<Member>,
}

impl PartialEq for EndpointSet {
    /// Whether both have the very same endpoints, in the same order and with the same limits.
    fn eq(&self, other: &EndpointSet) -> bool {
        let is_same = |(one, other): (&Member, &Member)| {
            let mut endpoints = one.endpoints.iter().zip(&other.endpoints);
            one.limit == other.limit
                && one.handshake == other.handshake
                && Arc::ptr_eq(&one.server, &other.server)
                && one.endpoints.len() == other.endpoints.len()
                && endpoints.all(|(one, other)| Arc::ptr_eq(one, other))
        };
        self.members.len() == other.members.len()
            && self.members.iter().zip(&other.members).all(is_same)
    }
}

/// A server in an [`EndpointSet`].
#[derive(Debug)]
pub struct Member {
    server: Arc<Server>,
    limit: Option<NonZeroU32>,
    handshake: Arc<Handshake>,
    endpoints: Vec<Arc<Endpoint>>,
}

impl Member {
    /// The server.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// How connections to it begin.
    pub(super) fn handshake(&self) -> &Arc<Handshake> {
        &self.handshake
    }

    /// Whether workers may keep idle connections to it. They may not if it has fewer slots
    /// than there are workers: one's idle connection would be in the way of another's request.
    pub(super) fn allows_idle(&self, workers: usize) -> bool {
        self.limit
            .is_none_or(|limit| limit.get() as usize >= workers)
    }

    /// Its addresses in the resolver's order, which they are tried in; never empty.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }
}

/// How a cluster is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How long each of its waits may take.
    pub timeouts: config::BackendTimeouts,
    /// How large the head of a response may be.
    pub head: config::HeadLimits,
    /// Which requests may use an idle connection.
    pub http_reuse: HttpReuse,
}

impl Settings {
    /// How long a connection is kept without use; None: not at all.
    pub(super) fn max_idle(&self) -> Option<Duration> {
        let is_reused = self.http_reuse != HttpReuse::Never;
        is_reused.then_some(self.timeouts.server_keep_alive)
    }
}

/// A cluster with what a configuration makes of it.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// Which one.
    pub cluster: Arc<Cluster>,
    /// How it is used.
    pub settings: Settings,
    /// Its servers.
    pub endpoints: Arc<EndpointSet>,
}

/// A server that cannot be used as it is configured.
#[derive(Debug, Error)]
pub enum ServerError {
    /// Its name cannot be resolved.
    #[error("the address of server `{server}` cannot be resolved")]
    Resolve {
        /// The server's name in the configuration.
        server: String,
        /// The resolver's error.
        source: io::Error,
    },
    /// There is no TLS with it.
    #[error("{source}")]
    Tls {
        /// The server's name in the configuration.
        server: String,
        /// The reason.
        source: ServerTlsError,
    },
}

impl ClusterConfig {
    /// Resolves the servers' names, for so many workers; blocks meanwhile. `before` is the
    /// cluster with the same name that is in force, of which unchanged servers and endpoints
    /// are taken over. Changes nothing that is in use.
    ///
    /// # Errors
    /// The first server that cannot be used, with the reason.
    pub fn resolve(
        backend: &config::Backend,
        before: Option<&Arc<Cluster>>,
        workers: usize,
    ) -> Result<ClusterConfig, ServerError> {
        ClusterConfig::resolve_by(connect::resolve, backend, before, workers)
    }

    /// The same with another resolver.
    pub(super) fn resolve_by(
        resolve: impl Fn(&ServerAddress) -> io::Result<Vec<Address>>,
        backend: &config::Backend,
        before: Option<&Arc<Cluster>>,
        workers: usize,
    ) -> Result<ClusterConfig, ServerError> {
        let old_set = before.map(|before| before.endpoints());
        let old = old_set.as_deref().map_or(&[][..], EndpointSet::members);
        let old: HashMap<&str, &Member> = old
            .iter()
            .map(|member| (member.server.name(), member))
            .collect();
        let members = backend.servers.iter().map(|server| {
            let name = || server.name.clone();
            let addresses = resolve(&server.address).map_err(|source| ServerError::Resolve {
                server: name(),
                source,
            })?;
            let handshake = Handshake::load(server).map_err(|source| ServerError::Tls {
                server: name(),
                source,
            })?;
            let old = old.get(server.name.as_str()).copied();
            Ok(member(server, handshake, addresses, old, workers))
        });
        let endpoints = EndpointSet {
            members: members.collect::<Result<_, _>>()?,
        };
        // Workers need not look at one that they have.
        let endpoints = old_set
            .filter(|old| **old == endpoints)
            .unwrap_or_else(|| Arc::new(endpoints));
        let cluster = before.map_or_else(
            || {
                Arc::new(Cluster {
                    name: Arc::from(backend.name.as_str()),
                    endpoints: ArcSwap::new(Arc::clone(&endpoints)),
                    loads: (0..workers).map(|_| Load::default()).collect(),
                })
            },
            Arc::clone,
        );
        Ok(ClusterConfig {
            cluster,
            settings: Settings {
                timeouts: backend.timeouts,
                head: backend.limits,
                http_reuse: backend.http_reuse,
            },
            endpoints,
        })
    }

    /// Puts it into force, but for the workers. One thread at a time may call it.
    pub fn publish(&self) {
        for member in &self.endpoints.members {
            member.server.book(&self.cluster.name);
            member.server.slots().set_limit(member.limit);
        }
        self.cluster.endpoints.store(Arc::clone(&self.endpoints));
    }
}

/// A server as configured. It is the `old` one with the same name, if it is the same machine:
/// configured with the same address, or with one that leads there.
fn member(
    server: &config::Server,
    handshake: Handshake,
    addresses: Vec<Address>,
    old: Option<&Member>,
    workers: usize,
) -> Member {
    let old = old.filter(|old| {
        let known = |address| old.endpoint(address).is_some();
        *old.server.address() == server.address || addresses.iter().any(known)
    });
    let limit = server.max_requests;
    // An equal one is kept with its sessions.
    let known = old.map(|old| &old.handshake);
    let handshake = match known.filter(|known| ***known == handshake) {
        Some(known) => Arc::clone(known),
        None => Arc::new(handshake),
    };
    let shared = old.map_or_else(
        || Arc::new(Server::new(&server.name, &server.address, limit, workers)),
        |old| Arc::clone(&old.server),
    );
    let endpoints = addresses.into_iter().map(|address| {
        let known = old.and_then(|old| old.endpoint(&address));
        known.map_or_else(
            || Arc::new(Endpoint::new(&shared, address, workers)),
            Arc::clone,
        )
    });
    Member {
        endpoints: endpoints.collect(),
        server: shared,
        limit,
        handshake,
    }
}

impl Member {
    fn endpoint(&self, address: &Address) -> Option<&Arc<Endpoint>> {
        let mut endpoints = self.endpoints.iter();
        endpoints.find(|endpoint| endpoint.address() == address)
    }
}

impl EndpointSet {
    /// Its servers, in the order of the configuration.
    pub fn members(&self) -> &[Member] {
        &self.members
    }
}

impl Cluster {
    /// The backend's name: its identity.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The current set.
    pub fn endpoints(&self) -> Arc<EndpointSet> {
        self.endpoints.load_full()
    }

    /// Requests and tunnels in progress, over all workers.
    pub fn active(&self) -> u32 {
        self.sum(|load| &load.active)
    }

    /// Requests that wait for a slot, over all workers.
    pub fn queued(&self) -> u32 {
        self.sum(|load| &load.queued)
    }

    /// Servers, usable or not.
    pub fn server_count(&self) -> u32 {
        self.count_servers(|_| true)
    }

    /// Servers that have a free slot.
    pub fn usable_servers(&self) -> u32 {
        self.count_servers(|server| server.slots().is_free())
    }

    fn count_servers(&self, counts: impl Fn(&Server) -> bool) -> u32 {
        // Wait-free: plugins ask on the way of a request.
        let endpoints = self.endpoints.load();
        let members = endpoints.members.iter();
        let count = members.filter(|member| counts(&member.server)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
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
mod tests {
    use super::*;

    const WORKERS: usize = 2;

    /// `name=address` or `name=address*max_requests`, several separated by blanks.
    fn backend(servers: &str) -> config::Backend {
        let server = |server: &str| {
            let (name, address) = server.split_once('=').unwrap();
            let (address, limit) = address.split_once('*').unwrap_or((address, "0"));
            let (host, port) = address.rsplit_once(':').unwrap();
            let address = ServerAddress::Tcp {
                host: host.to_owned(),
                port: port.parse().unwrap(),
            };
            config::Server {
                max_requests: NonZeroU32::new(limit.parse().unwrap()),
                ..config::Server::new(name, address)
            }
        };
        let servers = servers.split(' ').map(server).collect();
        config::Backend::new("b", servers)
    }

    #[test]
    fn a_reload_keeps_what_has_not_changed() {
        // Before and after; of the last server after: whether server and endpoint are kept.
        let check = |before, after, server, endpoint| {
            let first = ClusterConfig::resolve(&backend(before), None, WORKERS).unwrap();
            let second = ClusterConfig::resolve(&backend(after), Some(&first.cluster), WORKERS);
            let second = second.unwrap();
            assert!(Arc::ptr_eq(&first.cluster, &second.cluster));
            let last = second.endpoints.members().last().unwrap();
            let mut old = first.endpoints.members().iter();
            let is_kept = old.any(|old| Arc::ptr_eq(&old.server, &last.server));
            assert_eq!(is_kept, server, "server: {before} -> {after}");
            let mut old = first.endpoints.members().iter().flat_map(Member::endpoints);
            let is_kept = old.any(|old| Arc::ptr_eq(old, &last.endpoints[0]));
            assert_eq!(is_kept, endpoint, "endpoint: {before} -> {after}");
        };
        check("a=127.0.0.1:1", "a=127.0.0.1:1", true, true);
        check("a=127.0.0.1:1", "a=127.0.0.1:1*5", true, true);
        check("a=127.0.0.1:1", "b=127.0.0.1:2 a=127.0.0.1:1", true, true);
        check("a=127.0.0.1:1", "a=127.0.0.1:2", false, false);
        check("a=127.0.0.1:1", "b=127.0.0.1:1", false, false);
        // Another name for the same machine.
        check("a=localhost:1", "a=127.0.0.1:1", true, true);
    }

    #[test]
    fn a_limit_changes_when_it_is_published() {
        let first = ClusterConfig::resolve(&backend("a=127.0.0.1:1*1"), None, WORKERS).unwrap();
        let cluster = &first.cluster;
        let server = Arc::clone(first.endpoints.members()[0].server());
        let held = server.try_permit().unwrap();
        assert_eq!(cluster.usable_servers(), 0);
        let servers = backend("a=127.0.0.1:1*2 b=127.0.0.1:2");
        let second = ClusterConfig::resolve(&servers, Some(cluster), WORKERS).unwrap();
        assert_eq!((cluster.server_count(), cluster.usable_servers()), (1, 0));
        second.publish();
        assert_eq!((cluster.server_count(), cluster.usable_servers()), (2, 2));
        let another = server.try_permit().unwrap();
        assert!(server.try_permit().is_none());
        drop((held, another));
    }
}
