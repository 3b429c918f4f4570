//! A cluster as one worker has it: with the idle connections to its endpoints.
//!
//! A [`LocalCluster`] lives as long as its backend's name is configured; a reload gives it
//! another [`LocalSet`]. Requests under way keep the set that they began with. Nothing here
//! leaves its worker: reference counts are plain numbers.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::balance::RoundRobin;
use super::cluster::{Cluster, ClusterConfig, Settings};
use super::endpoint::{Endpoint, EndpointId, Server};
use super::health::Condition;
use super::pool::{ConnectionBudget, Pool};

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
        let mut known: HashMap<EndpointId, &Rc<LocalEndpoint>> = before
            .servers
            .iter()
            .flat_map(|server| &server.endpoints)
            .map(|local| (local.endpoint.id(), local))
            .collect();
        let max_idle = MAX_IDLE;
        let mut take_over = |endpoint: &Arc<Endpoint>| {
            let local = known.remove(&endpoint.id()).map_or_else(
                || {
                    Rc::new(LocalEndpoint {
                        endpoint: Arc::clone(endpoint),
                        pool: self.budget.pool(),
                    })
                },
                Rc::clone,
            );
            local.pool.set_max_idle(Some(max_idle));
            local
        };
        let servers = config.endpoints.members().iter().map(|member| LocalServer {
            server: Arc::clone(member.server()),
            endpoints: member.endpoints().iter().map(&mut take_over).collect(),
        });
        let set = LocalSet {
            settings: config.settings,
            servers: servers.collect(),
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

    /// Closes what has been idle too long, or was closed by its server.
    pub fn sweep(&self) {
        for endpoint in self.set().servers.iter().flat_map(|one| &one.endpoints) {
            endpoint.pool.sweep();
        }
    }
}

const MAX_IDLE: Duration = Duration::from_secs(30);
