//! A cluster as one worker has it: with the idle connections to its endpoints.
//!
//! A [`LocalCluster`] lives as long as its backend's name is configured; a reload gives it
//! another [`LocalSet`]. Requests under way keep the set that they began with. Nothing here
//! leaves its worker: reference counts are plain numbers.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::balance::RoundRobin;
use super::cluster::{Cluster, ClusterConfig, EndpointSet, Member, Settings};
use super::endpoint::{Endpoint, EndpointId, Server};
use super::establish::Handshake;
use super::health::Condition;
use super::pool::{ConnectionBudget, Pool, Reclaimed};

/// A worker's view of a cluster.
#[derive(Debug)]
pub struct LocalCluster {
    pub(super) cluster: Arc<Cluster>,
    /// Counts from 0.
    pub(super) worker: usize,
    pub(super) turn: RoundRobin,
    pub(super) budget: Rc<ConnectionBudget>,
    /// Replaced by [`apply`](Self::apply) alone.
    set: RefCell<Rc<LocalSet>>,
}

/// A worker's view of an endpoint set, with the settings that came with it.
#[derive(Debug)]
pub(super) struct LocalSet {
    pub(super) settings: Settings,
    pub(super) servers: Box<[LocalServer]>,
    /// Whether any of them wants to know the client of a new connection.
    names_clients: bool,
    /// The set it was made from; None before the first.
    source: Option<Arc<EndpointSet>>,
}

/// A worker's view of a server.
#[derive(Debug)]
pub(super) struct LocalServer {
    pub(super) server: Arc<Server>,
    /// How connections to it begin.
    pub(super) handshake: Rc<Handshake>,
    /// In the order in which they are tried.
    pub(super) endpoints: Box<[Rc<LocalEndpoint>]>,
}

/// A worker's view of an endpoint, with the worker's idle connections to it.
#[derive(Debug)]
pub struct LocalEndpoint {
    endpoint: Arc<Endpoint>,
    pub(super) pool: Rc<Pool>,
}

impl LocalEndpoint {
    /// The part that all workers share.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The name of its server.
    pub fn server_name(&self) -> &str {
        self.endpoint.server().name()
    }
}

/// The worker's own of a handshake: the one that it has, if that is equal.
fn local_handshake(before: &LocalSet, handshake: &Handshake) -> Rc<Handshake> {
    let mut known = before.servers.iter().map(|server| &server.handshake);
    let known = known.find(|known| ***known == *handshake);
    known.map_or_else(|| Rc::new(handshake.for_worker()), Rc::clone)
}

impl LocalServer {
    /// Whether a request may expect to be served by one of its endpoints.
    pub(super) fn is_promising(&self) -> bool {
        self.endpoints
            .iter()
            .any(|local| local.endpoint.condition() != Condition::Down)
    }
}

impl LocalCluster {
    /// The view of a worker, with nothing pooled yet; `worker` counts from 0.
    pub fn new(
        config: &ClusterConfig,
        worker: usize,
        budget: &Rc<ConnectionBudget>,
    ) -> LocalCluster {
        let local = LocalCluster {
            cluster: Arc::clone(&config.cluster),
            worker,
            turn: RoundRobin::default(),
            budget: Rc::clone(budget),
            set: RefCell::new(Rc::new(LocalSet {
                settings: config.settings,
                servers: Box::default(),
                names_clients: false,
                source: None,
            })),
        };
        local.apply(config);
        local
    }

    /// The part that all workers share.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Whether a server wants to know the client of a new connection.
    pub fn names_clients(&self) -> bool {
        self.set.borrow().names_clients
    }

    /// The current set.
    pub(super) fn set(&self) -> Rc<LocalSet> {
        Rc::clone(&self.set.borrow())
    }

    /// Puts another endpoint set into force. Idle connections to endpoints that are gone are
    /// closed; those in use are closed when they come back.
    pub fn apply(&self, config: &ClusterConfig) {
        let before = self.set();
        let is_same = |source| Arc::ptr_eq(source, &config.endpoints);
        if before.settings == config.settings && before.source.as_ref().is_some_and(is_same) {
            return;
        }
        let endpoints = before.servers.iter().flat_map(|server| {
            let of_server = |local| (&server.handshake, local);
            server.endpoints.iter().map(of_server)
        });
        let mut known: HashMap<EndpointId, (&Rc<Handshake>, &Rc<LocalEndpoint>)> = endpoints
            .map(|(handshake, local)| (local.endpoint.id(), (handshake, local)))
            .collect();
        let workers = self.cluster.workers();
        let mut take_over = |member: &Member, endpoint: &Arc<Endpoint>| {
            let old = known.get(&endpoint.id()).copied();
            // Connections that began otherwise serve no further request.
            let old = old.filter(|(handshake, _)| ***handshake == **member.handshake());
            if old.is_some() {
                known.remove(&endpoint.id());
            }
            let local = old.map_or_else(
                || {
                    Rc::new(LocalEndpoint {
                        endpoint: Arc::clone(endpoint),
                        pool: self.budget.pool(),
                    })
                },
                |(_, local)| Rc::clone(local),
            );
            let max_idle = config.settings.max_idle();
            let max_idle = max_idle
                .filter(|_| member.allows_idle(workers) && !member.handshake().names_clients());
            local.pool.set_max_idle(max_idle);
            local
        };
        let servers = config.endpoints.members().iter().map(|member| LocalServer {
            server: Arc::clone(member.server()),
            handshake: local_handshake(&before, member.handshake()),
            endpoints: member
                .endpoints()
                .iter()
                .map(|endpoint| take_over(member, endpoint))
                .collect(),
        });
        let servers: Box<[LocalServer]> = servers.collect();
        let set = LocalSet {
            settings: config.settings,
            names_clients: servers
                .iter()
                .any(|server| server.handshake.names_clients()),
            servers,
            source: Some(Arc::clone(&config.endpoints)),
        };
        for (_, gone) in known.into_values() {
            gone.pool.set_max_idle(None);
        }
        self.set.replace(Rc::new(set));
    }

    /// The backend is gone: closes its idle connections, and those in use when they come
    /// back.
    pub fn retire(&self) {
        for endpoint in self.set().servers.iter().flat_map(|one| &one.endpoints) {
            endpoint.pool.set_max_idle(None);
        }
    }

    /// Closes what has been idle too long, was closed by its server, or is in the way of
    /// other workers' requests.
    pub fn sweep(&self) {
        for server in &self.set().servers {
            for local in &server.endpoints {
                local.pool.sweep();
                while server.server.is_crowded() && local.pool.reclaim() == Reclaimed::One {}
            }
        }
        self.budget.trim();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::config::HttpReuse;
    use crate::upstream::testing::{Bed, closed};
    use crate::upstream::{Lease, Needs, Origin, Reuse};

    async fn lease(cluster: &Rc<LocalCluster>) -> Lease {
        cluster.checkout(Reuse::Safe, Needs::Any).await.unwrap()
    }

    /// Where the connection of another request comes from.
    async fn origin(cluster: &Rc<LocalCluster>) -> Origin {
        let lease = lease(cluster).await;
        let origin = lease.origin;
        lease.release(Instant::now());
        origin
    }

    #[tokio::test]
    async fn a_reload_keeps_the_connections_of_what_stays() {
        for (after, expected) in [
            ("a=1", Origin::Pooled),
            ("a=1*7", Origin::Pooled),
            ("a=2,1", Origin::Pooled),
            ("a=3", Origin::Dialled),
            ("b=1", Origin::Dialled),
        ] {
            let mut bed = Bed::new("a=1");
            for socket in ["1", "2", "3"] {
                bed.listen(socket);
            }
            let cluster = bed.start();
            lease(&cluster).await.release(Instant::now());
            bed.configure(after);
            cluster.apply(&bed.reload());
            assert_eq!(origin(&cluster).await, expected, "{after}");
        }
    }

    #[tokio::test]
    async fn connections_to_what_is_gone_are_closed() {
        let mut bed = Bed::new("a=1");
        bed.listen("1");
        bed.listen("2");
        let cluster = bed.start();
        let (idle, in_use) = (lease(&cluster).await, lease(&cluster).await);
        let (idle_peer, in_use_peer) = (bed.accept("1").await, bed.accept("1").await);
        idle.release(Instant::now());
        bed.configure("a=2");
        cluster.apply(&bed.reload());
        closed(idle_peer).await;
        assert_eq!(in_use.endpoint().server_name(), "a");
        in_use.release(Instant::now());
        closed(in_use_peer).await;
        // Of a backend that is gone, too.
        lease(&cluster).await.release(Instant::now());
        let peer = bed.accept("2").await;
        cluster.retire();
        closed(peer).await;
    }

    #[tokio::test]
    async fn without_reuse_nothing_is_kept() {
        // Whether reuse is off, a server's limit and the workers; what another request gets.
        for (reuse, limit, workers, expected) in [
            (HttpReuse::Safe, "", 1, Origin::Pooled),
            (HttpReuse::Never, "", 1, Origin::Dialled),
            (HttpReuse::Safe, "*2", 2, Origin::Pooled),
            (HttpReuse::Safe, "*1", 2, Origin::Dialled),
        ] {
            let mut bed = Bed::new(&format!("a=1{limit}"));
            bed.backend.http_reuse = reuse;
            bed.workers = workers;
            bed.listen("1");
            let cluster = bed.start();
            lease(&cluster).await.release(Instant::now());
            let found = origin(&cluster).await;
            assert_eq!(
                found, expected,
                "{reuse:?}, limit {limit}, {workers} workers"
            );
        }
    }

    #[tokio::test]
    async fn idle_connections_make_way_at_a_crowded_server() {
        let mut bed = Bed::new("a=1*2");
        bed.listen("1");
        let cluster = bed.start();
        let (one, two) = (lease(&cluster).await, lease(&cluster).await);
        one.release(Instant::now());
        two.release(Instant::now());
        // As many as there are slots are no crowd.
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(1)).await;
        cluster.sweep();
        tokio::time::resume();
        let in_use = cluster.checkout(Reuse::Fresh, Needs::Any).await.unwrap();
        let oldest = bed.accept("1").await;
        cluster.sweep();
        closed(oldest).await;
        assert_eq!(origin(&cluster).await, Origin::Pooled);
        drop(in_use);
    }
}
