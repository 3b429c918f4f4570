//! One worker's view of a cluster, including the idle connections to its endpoints.
//!
//! A [`LocalCluster`] lives as long as its backend's name is configured. Each change replaces its
//! [`LocalSet`]. The cost of that depends on the endpoints in use, not on all endpoints. No value
//! in this module leaves its worker, so reference counts need no atomics.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use super::balance::Balancer;
use super::cluster::{Cluster, ClusterConfig};
use super::endpoint::{Endpoint, EndpointId};
use super::endpoint_set::EndpointSet;
use super::establish::Handshake;
use super::latency::Latency;
use super::pool::{ConnectionBudget, Pool, Reclaimed};
use super::random::Random;
use super::retry_budget::RetryBudget;
use super::settings::Settings;
use super::view::View;

/// A worker's view of a cluster.
#[derive(Debug)]
pub struct LocalCluster {
    pub(super) cluster: Arc<Cluster>,
    /// Number of the worker, from 0.
    pub(super) worker: usize,
    pub(super) budget: Rc<ConnectionBudget>,
    pub(super) retries: RetryBudget,
    /// The current set, which only [`apply`](Self::apply) replaces.
    set: RefCell<Rc<LocalSet>>,
    /// Endpoints of the set that this worker has used.
    known: RefCell<HashMap<EndpointId, Rc<LocalEndpoint>>>,
    /// The worker's own copies of shared handshakes. With a copy, the worker never waits for other
    /// workers.
    handshakes: RefCell<Vec<(Arc<Handshake>, Rc<Handshake>)>>,
}

/// A worker's view of an endpoint set, together with its settings.
#[derive(Debug)]
pub(super) struct LocalSet {
    /// The worker's own copy of the settings, so that workers share no reference count.
    pub(super) settings: Rc<Settings>,
    shared_settings: Arc<Settings>,
    pub(super) source: Arc<EndpointSet>,
    pub(super) balancer: Balancer,
    /// Endpoints that requests have used, by their position in the set.
    locals: RefCell<Box<[Option<Rc<LocalEndpoint>>]>>,
    view: RefCell<Rc<View>>,
}

/// A worker's view of an endpoint, with the worker's idle connections to it.
#[derive(Debug)]
pub struct LocalEndpoint {
    endpoint: Arc<Endpoint>,
    /// The handshake for connections to the endpoint.
    pub(super) handshake: Rc<Handshake>,
    /// The shared handshake of which `handshake` is a copy.
    source: Arc<Handshake>,
    pub(super) pool: Rc<Pool>,
    pub(super) latency: Latency,
    /// Value of the cookie that selects the endpoint.
    cookie: Cell<u64>,
}

impl LocalEndpoint {
    /// Returns the endpoint itself, which all workers share.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Returns the name of the server.
    pub fn server_name(&self) -> &str {
        self.endpoint.server().name()
    }

    /// Returns the value of the cookie that selects the endpoint; 0 if the backend uses no such
    /// cookies.
    pub fn cookie(&self) -> u64 {
        self.cookie.get()
    }
}

/// How old a view can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AsOf {
    /// The view must be up to date.
    Now,
    /// The view of a large set can be slightly outdated.
    Lately,
}

impl LocalSet {
    /// Creates a view of a set. `before` is the view that it replaces.
    fn new(config: &ClusterConfig, turn: usize, before: Option<&LocalSet>) -> LocalSet {
        let count = config.endpoints.endpoints().len();
        let balance = config.settings.backend.balance.clone();
        let same = before.filter(|before| Arc::ptr_eq(&before.shared_settings, &config.settings));
        LocalSet {
            settings: same.map_or_else(
                || Rc::new(Settings::clone(&config.settings)),
                |same| Rc::clone(&same.settings),
            ),
            shared_settings: Arc::clone(&config.settings),
            source: Arc::clone(&config.endpoints),
            balancer: Balancer::new(balance, turn, Random::new()),
            locals: RefCell::new(vec![None; count].into()),
            view: RefCell::default(),
        }
    }

    /// Returns the endpoints that are eligible for requests.
    pub(super) fn view(&self, cluster: &Cluster, as_of: AsOf) -> Rc<View> {
        let epoch = cluster.shared.epoch();
        let mut view = self.view.borrow_mut();
        if view.epoch() != epoch && (as_of == AsOf::Now || view.may_be_renewed()) {
            *view = Rc::new(View::new(&self.source, &self.settings, epoch));
        }
        Rc::clone(&view)
    }

    /// Returns the endpoint at this position.
    pub(super) fn endpoint(&self, position: usize) -> &Arc<Endpoint> {
        &self.source.endpoints()[position].endpoint
    }

    /// Returns the worker's view of an endpoint, if the worker has used the endpoint.
    pub(super) fn used(&self, position: usize) -> Option<Rc<LocalEndpoint>> {
        self.locals.borrow()[position].clone()
    }
}

impl LocalCluster {
    /// Creates a worker's view, with an empty pool. `worker` counts from 0.
    pub fn new(
        config: &ClusterConfig,
        worker: usize,
        budget: &Rc<ConnectionBudget>,
    ) -> LocalCluster {
        LocalCluster {
            cluster: Arc::clone(&config.cluster),
            worker,
            budget: Rc::clone(budget),
            retries: RetryBudget::new(),
            // The first turn is the worker's number, so that workers do not all start with the same
            // server.
            set: RefCell::new(Rc::new(LocalSet::new(config, worker, None))),
            known: RefCell::default(),
            handshakes: RefCell::default(),
        }
    }

    /// Returns the cluster itself, which all workers share.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Returns the current settings.
    pub fn settings(&self) -> Rc<Settings> {
        Rc::clone(&self.set.borrow().settings)
    }

    /// Calls `read` with the current settings.
    #[inline]
    pub fn with_settings<T>(&self, read: impl FnOnce(&Settings) -> T) -> T {
        read(&self.set.borrow().settings)
    }

    /// Returns whether new connections to any of the servers send a header that names the client.
    pub fn names_clients(&self) -> bool {
        self.set.borrow().source.names_clients()
    }

    /// Returns the current set.
    pub(super) fn set(&self) -> Rc<LocalSet> {
        Rc::clone(&self.set.borrow())
    }

    /// Returns the endpoint that a cookie selects.
    pub fn endpoint_of_cookie(&self, cookie: u64) -> Option<EndpointId> {
        let set = self.set.borrow();
        let position = set.source.position_of_cookie(cookie)?;
        Some(set.endpoint(position).id())
    }

    /// Returns the worker's view of the endpoint at this position of `set`.
    pub(super) fn local(&self, set: &LocalSet, position: usize) -> Rc<LocalEndpoint> {
        if let Some(local) = &set.locals.borrow()[position] {
            return Rc::clone(local);
        }
        let entry = &set.source.endpoints()[position];
        let server_entry = &set.source.servers()[entry.server];
        let is_current = Arc::ptr_eq(&self.set.borrow().source, &set.source);
        let mut known = self.known.borrow_mut();
        let local = known.get(&entry.endpoint.id());
        let local = local.filter(|local| Arc::ptr_eq(&local.source, server_entry.handshake()));
        let local = local.map_or_else(
            || {
                Rc::new(LocalEndpoint {
                    endpoint: Arc::clone(&entry.endpoint),
                    handshake: self.handshake(server_entry.handshake()),
                    source: Arc::clone(server_entry.handshake()),
                    pool: self.budget.pool(),
                    latency: Latency::default(),
                    cookie: Cell::default(),
                })
            },
            Rc::clone,
        );
        // A request that still uses an earlier set must not change the state of the current one.
        if is_current {
            known.insert(entry.endpoint.id(), Rc::clone(&local));
            local.cookie.set(entry.cookie);
            self.limit_idle(set, position, &local);
        }
        set.locals.borrow_mut()[position] = Some(Rc::clone(&local));
        local
    }

    fn handshake(&self, source: &Arc<Handshake>) -> Rc<Handshake> {
        let mut handshakes = self.handshakes.borrow_mut();
        let known = handshakes.iter().find(|(one, _)| Arc::ptr_eq(one, source));
        if let Some((_, known)) = known {
            return Rc::clone(known);
        }
        // Remove handshakes that no endpoint uses any more.
        handshakes.retain(|(_, local)| Rc::strong_count(local) > 1);
        let local = Rc::new(source.for_worker());
        handshakes.push((Arc::clone(source), Rc::clone(&local)));
        local
    }

    fn limit_idle(&self, set: &LocalSet, position: usize, local: &LocalEndpoint) {
        let entry = &set.source.endpoints()[position];
        let server_entry = &set.source.servers()[entry.server];
        let may_idle = server_entry.allows_idle(self.cluster.workers())
            && !server_entry.handshake().names_clients();
        match set.settings.max_idle().filter(|_| may_idle) {
            Some(max_idle) => local.pool.set_max_idle(Some(max_idle)),
            None => self.budget.retire(&local.pool),
        }
    }

    /// Puts another endpoint set into force. Idle connections to endpoints that are gone are closed
    /// gradually; connections in use are closed when they are returned.
    pub fn apply(&self, config: &ClusterConfig) {
        let before = self.set();
        let is_same = Arc::ptr_eq(&before.shared_settings, &config.settings)
            && Arc::ptr_eq(&before.source, &config.endpoints);
        if is_same {
            return;
        }
        let set = LocalSet::new(config, before.balancer.turn(), Some(&before));
        self.known.borrow_mut().retain(|id, local| {
            let position = set.source.position(*id);
            let position = position.filter(|position| {
                let entry = &set.source.endpoints()[*position];
                let handshake = set.source.servers()[entry.server].handshake();
                // Connections that were established with another handshake serve no further
                // requests.
                Arc::ptr_eq(handshake, &local.source)
            });
            match position {
                Some(position) => self.limit_idle(&set, position, local),
                None => self.budget.retire(&local.pool),
            }
            position.is_some()
        });
        self.set.replace(Rc::new(set));
        self.budget.close_retired();
        // There may now be an endpoint for the requests that wait.
        self.cluster.shared.queue.wake();
    }

    /// Closes the connections of a backend that has been removed: idle ones gradually, those in use
    /// when they are returned.
    pub fn retire(&self) {
        for (_, local) in self.known.take() {
            self.budget.retire(&local.pool);
        }
        self.budget.close_retired();
    }

    /// Closes connections that have been idle for too long, that the server has closed, or that
    /// block requests of other workers.
    pub fn sweep(&self) {
        for local in self.known.borrow().values() {
            local.pool.sweep();
            while local.endpoint.is_crowded() && local.pool.reclaim() == Reclaimed::One {}
        }
        self.budget.trim();
    }

    /// Returns whether connections to this endpoint can still serve requests.
    pub(super) fn has(&self, local: &Rc<LocalEndpoint>) -> bool {
        let known = self.known.borrow();
        let known = known.get(&local.endpoint.id());
        known.is_some_and(|known| Rc::ptr_eq(known, local))
    }

    /// Counts a request for the retry budget, which is a share of all requests.
    #[inline]
    pub fn count_request(&self) {
        self.retries.deposit();
    }

    /// Returns whether the retry budget allows another retry. If so, counts the retry.
    pub fn may_retry(&self) -> bool {
        let percent = self.set.borrow().settings.backend.retry.budget;
        self.retries.withdraw(percent, Instant::now())
    }
}

#[cfg(test)]
mod tests;
