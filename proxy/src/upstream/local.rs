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
    /// What it was made from; None before the first.
    source: Option<Arc<EndpointSet>>,
}

/// A worker's view of a server.
#[derive(Debug)]
pub(super) struct LocalServer {
    pub(super) server: Arc<Server>,
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
    /// What all workers share of it.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The name of its server.
    pub fn server_name(&self) -> &str {
        self.endpoint.server().name()
    }
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
                source: None,
            })),
        };
        local.apply(config);
        local
    }

    /// What all workers share of it.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// What is in force.
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
        let mut known: HashMap<EndpointId, &Rc<LocalEndpoint>> = before
            .servers
            .iter()
            .flat_map(|server| &server.endpoints)
            .map(|local| (local.endpoint.id(), local))
            .collect();
        let workers = self.cluster.workers();
        let mut take_over = |member: &Member, endpoint: &Arc<Endpoint>| {
            let local = known.remove(&endpoint.id()).map_or_else(
                || {
                    Rc::new(LocalEndpoint {
                        endpoint: Arc::clone(endpoint),
                        pool: self.budget.pool(),
                    })
                },
                Rc::clone,
            );
            let max_idle = config.settings.max_idle();
            let max_idle = max_idle.filter(|_| member.allows_idle(workers));
            local.pool.set_max_idle(max_idle);
            local
        };
        let servers = config.endpoints.members().iter().map(|member| LocalServer {
            server: Arc::clone(member.server()),
            endpoints: member
                .endpoints()
                .iter()
                .map(|endpoint| take_over(member, endpoint))
                .collect(),
        });
        let set = LocalSet {
            settings: config.settings,
            servers: servers.collect(),
            source: Some(Arc::clone(&config.endpoints)),
        };
        for gone in known.into_values() {
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
    }
}
