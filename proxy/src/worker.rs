//! A worker thread: its runtime, its listeners, and everything that its requests use.
//!
//! While workers serve requests, they share only atomics, immutable snapshots and a few locks;
//! `ARCHITECTURE.md` lists these locks. `process` starts the workers and replaces a worker that
//! fails. If one of a worker's own tasks fails, the worker ends, because its sockets would no
//! longer be served. A failure in a single connection does not end the worker.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};

use crate::acme::HttpChallenges;
use crate::config::{self, StageId};
use crate::downstream::listener::{self, Accepted, Acceptor, Listener, Workers};
use crate::downstream::resources::Resources;
use crate::frontend::{Frontend, Rules, Sockets, strict_transport_security};
use crate::plugin::BackendName;
use crate::router::{Change, Router, StageUpdate};
use crate::shutdown::Shutdown;
use crate::telemetry::{Handshakes, ResponseCounts};
use crate::transport::buffer::BufferPool;
use crate::transport::tls::ServerTls;
use crate::tunnel::Scratch;
use crate::upstream::pool::ConnectionBudget;
use crate::upstream::{ClusterConfig, LocalCluster};

/// Interval between sweeps of idle server connections. A connection can be closed this much later
/// than `timeout.server_keep_alive` says.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Inputs of a worker in addition to its first configuration. If the worker fails, its replacement
/// inherits them, with everything that is queued in them.
#[derive(Debug)]
pub struct WorkerInputs {
    /// Signals whether the worker serves, drains or aborts.
    pub drain: watch::Receiver<DrainState>,
    /// Commands to apply.
    pub commands: mpsc::UnboundedReceiver<Command>,
    /// Number of open server connections at which each new connection starts to close an idle one.
    pub max_upstream: usize,
    /// All workers, including this one.
    pub workers: Workers,
    /// Connections that other workers have accepted and handed over to this one.
    pub inbox: mpsc::UnboundedReceiver<Accepted>,
    /// Number of earlier workers with these inputs that have failed. It is part of the request
    /// numbers, which makes them unique.
    pub failed: u8,
}

/// Configuration of one worker: everything that it serves from the time it applies the
/// configuration.
#[derive(Debug)]
pub struct WorkerConfig {
    /// Frontends, as configured.
    pub frontends: Vec<FrontendConfig>,
    /// Backends, in the order of the configuration.
    pub clusters: Vec<ClusterConfig>,
    /// Responses to the HTTP challenges of ACME servers.
    pub challenges: Arc<HttpChallenges>,
    /// How long idle client connections are kept after the signal to stop.
    pub drain_grace: Duration,
}

/// Configuration of a frontend in one worker.
#[derive(Debug)]
pub struct FrontendConfig {
    /// The frontend's configuration, from the file.
    pub config: config::Frontend,
    /// Names of all sockets of the frontend, each with the index of its `bind`. Other sockets of
    /// the frontend are closed.
    pub sockets: HashMap<String, usize>,
    /// Sockets that the worker does not have yet.
    pub listeners: Vec<Listener>,
    /// TLS settings of each `bind`, in the same order.
    pub tls: Vec<Option<Arc<ServerTls>>>,
    /// Stages of the router, in order. Empty if the frontend has no router.
    pub router: Vec<StageUpdate>,
    /// Counters of its responses.
    pub response_counts: Arc<ResponseCounts>,
    /// Counters of its TLS handshakes.
    pub handshakes: Arc<Handshakes>,
}

/// A change to a worker while it serves, applied on its own thread.
#[derive(Debug)]
pub enum Command {
    /// Changes one stage of a router.
    Stage(StageId, Change),
    /// Applies another configuration.
    Apply(WorkerConfig),
    /// Applies new endpoints of a cluster.
    Endpoints(Box<ClusterConfig>),
}

/// Whether workers serve, drain or abort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainState {
    /// Accept connections and serve them.
    Serving,
    /// Accept no more connections, and end when the last one has ended.
    Draining,
    /// Cut off all connections and end at once.
    Aborting,
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All connections had ended.
    Drained,
    /// This many connections were cut off.
    Aborted(usize),
}

/// Runs a worker until it stops. `ready` is notified once the worker serves.
///
/// # Errors
/// If the runtime cannot be created, or if a socket cannot be registered with the poller. The
/// worker has then stopped serving.
///
/// # Panics
/// If one of the worker's own tasks panics.
pub fn run(
    config: WorkerConfig,
    inputs: &mut WorkerInputs,
    ready: std::sync::mpsc::Sender<()>,
) -> io::Result<Ended> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    // Dropping the runtime drops all remaining tasks and closes their sockets.
    runtime.block_on(work(config, inputs, ready))
}

async fn work(
    config: WorkerConfig,
    inputs: &mut WorkerInputs,
    ready: std::sync::mpsc::Sender<()>,
) -> io::Result<Ended> {
    let mut worker = Worker::new(inputs);
    worker.apply(config);
    let clusters = Rc::clone(&worker.clusters);
    let budget = Rc::clone(&worker.budget);
    worker.tasks.spawn_local(async {
        sweep(clusters, budget).await;
        Ok(())
    });
    // Fails only if the receiver no longer waits.
    let _ = ready.send(());
    drop(ready);
    worker.serve(inputs).await?;
    let drain = &mut inputs.drain;
    if *drain.borrow_and_update() == DrainState::Draining {
        worker.drain();
    }
    Ok(finish(drain, &worker.shutdown).await)
}

/// Clusters in force, by backend name.
type Clusters = HashMap<BackendName, Rc<LocalCluster>>;

struct Worker {
    workers: Rc<Workers>,
    budget: Rc<ConnectionBudget>,
    scratch: Scratch,
    resources: Rc<Resources>,
    shutdown: Shutdown,
    ids: Rc<Cell<u64>>,
    /// Clusters in force, shared with the task that sweeps idle connections.
    clusters: Rc<RefCell<Rc<Clusters>>>,
    sites: HashMap<String, Site>,
    /// Acceptors of frontends that the last configuration removed. They serve connections that were
    /// accepted before.
    retired: HashMap<String, Acceptor>,
    /// Connections from sockets of a newer configuration, which this worker has not received yet.
    early: Vec<Accepted>,
    drain_grace: Duration,
    /// The worker's own tasks: one for each listener, and one that sweeps idle connections.
    tasks: JoinSet<io::Result<()>>,
}

/// A frontend with its sockets.
struct Site {
    acceptor: Acceptor,
    /// Names of its sockets, each with the task that accepts from the socket. Several sockets that
    /// were passed to the process can have the same name.
    sockets: Vec<(String, AbortHandle)>,
}

impl Worker {
    fn new(inputs: &WorkerInputs) -> Worker {
        let buffers = BufferPool::default();
        let own = inputs.workers.own as u64;
        Worker {
            // Each worker has a separate range of request numbers.
            ids: Rc::new(Cell::new(own << 48 | u64::from(inputs.failed) << 40)),
            workers: Rc::new(inputs.workers.clone()),
            budget: ConnectionBudget::new(inputs.max_upstream, buffers.clone()),
            resources: Rc::new(Resources::new(buffers)),
            scratch: Scratch::default(),
            shutdown: Shutdown::default(),
            clusters: Rc::default(),
            sites: HashMap::new(),
            retired: HashMap::new(),
            early: Vec::new(),
            drain_grace: Duration::ZERO,
            tasks: JoinSet::new(),
        }
    }

    /// Puts a configuration into force. Requests that started under the old one keep the parts that
    /// they use.
    fn apply(&mut self, config: WorkerConfig) {
        self.drain_grace = config.drain_grace;
        let clusters = self.apply_clusters(&config.clusters);
        let mut old = std::mem::take(&mut self.sites);
        for frontend in config.frontends {
            let known = old.remove(&frontend.config.name);
            let name = frontend.config.name.clone();
            let default_backend = frontend.config.default_backend;
            let default_backend = default_backend
                .and_then(|id| config.clusters.get(id.index()))
                .and_then(|config| clusters.get(config.cluster.name()).cloned());
            let challenges = &config.challenges;
            let site = self.site(frontend, known, default_backend, &clusters, challenges);
            self.sites.insert(name, site);
        }
        self.retired.clear();
        for (name, retired) in old {
            self.retired.insert(name, retired.close(self.drain_grace));
        }
        for accepted in std::mem::take(&mut self.early) {
            if let Some(accepted) = self.serve_one(accepted) {
                tracing::debug!(
                    frontend = accepted.frontend(),
                    "connection closed: its listener no longer exists"
                );
            }
        }
    }

    /// Gives each cluster its new endpoints. Removed clusters close their connections.
    fn apply_clusters(&mut self, configs: &[ClusterConfig]) -> Rc<Clusters> {
        let old = self.clusters.take();
        let clusters = configs.iter().map(|config| {
            let name = config.cluster.name();
            let known = old.get(name);
            let known = known.filter(|known| Arc::ptr_eq(known.cluster(), &config.cluster));
            let local = if let Some(known) = known {
                known.apply(config);
                Rc::clone(known)
            } else {
                Rc::new(LocalCluster::new(config, self.workers.own, &self.budget))
            };
            (Arc::clone(name), local)
        });
        let clusters: Rc<Clusters> = Rc::new(clusters.collect());
        for (name, retired) in old.iter() {
            let is_kept = clusters
                .get(name)
                .is_some_and(|one| Rc::ptr_eq(one, retired));
            if !is_kept {
                retired.retire();
            }
        }
        self.clusters.replace(Rc::clone(&clusters));
        clusters
    }

    fn site(
        &mut self,
        config: FrontendConfig,
        known: Option<Site>,
        default_backend: Option<Rc<LocalCluster>>,
        backends: &Rc<Clusters>,
        challenges: &Arc<HttpChallenges>,
    ) -> Site {
        let router = known
            .as_ref()
            .and_then(|site| site.acceptor.frontend.rules().router.clone());
        let router = self.router_of(config.router, router);
        if let Some(router) = &router {
            let explains = config.config.routing.explain_header.is_some();
            router.borrow_mut().set_explains(explains);
        }
        let rules = Rules {
            sockets: Sockets::new(&config.config, &config.tls, &config.sockets),
            hsts: config.config.hsts.and_then(strict_transport_security),
            config: config.config,
            response_counts: config.response_counts,
            handshakes: config.handshakes,
            challenges: Arc::clone(challenges),
            worker: self.workers.own,
            router,
            default_backend,
            backends: Rc::clone(backends),
        };
        let mut site = match known {
            Some(site) => {
                site.acceptor.frontend.set_rules(rules);
                site
            }
            None => Site {
                acceptor: Acceptor {
                    frontend: Rc::new(Frontend::new(rules, Rc::clone(&self.ids))),
                    workers: Rc::clone(&self.workers),
                    scratch: self.scratch.clone(),
                    resources: Rc::clone(&self.resources),
                    shutdown: self.shutdown.part(),
                },
                sockets: Vec::new(),
            },
        };
        site.sockets.retain(|(name, task)| {
            // A new socket with the same name replaces the old one, for example if the spelling of
            // its address has changed.
            let is_new = config.listeners.iter().any(|new| new.name() == name);
            let is_kept = config.sockets.contains_key(name) && !is_new;
            if !is_kept {
                task.abort();
            }
            is_kept
        });
        for listener in config.listeners {
            let name = listener.name().to_owned();
            let accepting = listener::run(listener, site.acceptor.clone());
            site.sockets.push((name, self.tasks.spawn_local(accepting)));
        }
        site
    }

    /// Returns a frontend's router with these stages. `known` is the current router. It is updated
    /// in place, so requests in flight keep using the same router.
    fn router_of(
        &self,
        updates: Vec<StageUpdate>,
        known: Option<Rc<RefCell<Router>>>,
    ) -> Option<Rc<RefCell<Router>>> {
        match known {
            Some(router) if updates.is_empty() => {
                router.borrow_mut().retire();
                None
            }
            Some(router) => {
                router.borrow_mut().update(updates);
                Some(router)
            }
            None if updates.is_empty() => None,
            None => {
                let router = Router::of_updates(updates, self.workers.own);
                Some(Rc::new(RefCell::new(router)))
            }
        }
    }

    /// Serves until the signal to stop arrives.
    ///
    /// # Errors
    /// If a socket cannot be registered with the poller.
    async fn serve(&mut self, inputs: &mut WorkerInputs) -> io::Result<()> {
        let WorkerInputs {
            drain,
            commands,
            inbox,
            ..
        } = inputs;
        loop {
            tokio::select! {
                // Apply a configuration before serving the connections that depend on it.
                biased;
                // If the sender is gone, the process is ending.
                _ = drain.wait_for(|state| *state != DrainState::Serving) => break,
                Some(command) = commands.recv() => self.handle(command),
                Some(ended) = self.tasks.join_next() => ended_early(ended)?,
                Some(accepted) = inbox.recv() => self.take(accepted),
            }
        }
        // From now on, other workers can no longer hand over connections and get theirs back. Serve
        // those that are already queued.
        inbox.close();
        while let Some(accepted) = inbox.recv().await {
            self.take(accepted);
        }
        Ok(())
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Apply(config) => self.apply(config),
            Command::Endpoints(config) => {
                let clusters = self.clusters.borrow();
                let known = clusters.get(config.cluster.name());
                let known = known.filter(|known| Arc::ptr_eq(known.cluster(), &config.cluster));
                if let Some(known) = known {
                    known.apply(&config);
                }
            }
            Command::Stage(id, change) => {
                if let Some(router) = self.router(&id.frontend) {
                    let mut router = router.borrow_mut();
                    if let Some(stage) = router.position(&id.name) {
                        router.apply(stage, change);
                    }
                }
            }
        }
    }

    fn router(&self, frontend: &str) -> Option<Rc<RefCell<Router>>> {
        let site = self.sites.get(frontend)?;
        site.acceptor.frontend.rules().router.clone()
    }

    /// Serves a connection that another worker has accepted. The other worker can have a newer or
    /// older configuration than this one.
    fn take(&mut self, accepted: Accepted) {
        let early = self.serve_one(accepted);
        self.early.extend(early);
    }

    /// Serves a connection, or returns it if its socket is unknown.
    fn serve_one(&self, accepted: Accepted) -> Option<Accepted> {
        let site = self.sites.get(accepted.frontend());
        let acceptor = site.map(|site| &site.acceptor);
        match acceptor.or_else(|| self.retired.get(accepted.frontend())) {
            Some(acceptor) => acceptor.serve(accepted),
            None => Some(accepted),
        }
    }

    fn drain(&self) {
        for site in self.sites.values() {
            site.acceptor.shutdown.begin(self.drain_grace);
        }
    }
}

impl Site {
    /// Stops accepting and closes idle connections. Returns the acceptor, for connections that were
    /// accepted before.
    fn close(self, drain_grace: Duration) -> Acceptor {
        for (_, task) in &self.sockets {
            task.abort();
        }
        self.acceptor.shutdown.begin(drain_grace);
        if let Some(router) = &self.acceptor.frontend.rules().router {
            router.borrow_mut().close();
        }
        self.acceptor
    }
}

/// Handles the end of one of the worker's own tasks. Returns `Ok` if the worker continues, or the
/// task's error if the worker must end.
fn ended_early(ended: Result<io::Result<()>, JoinError>) -> io::Result<()> {
    match ended {
        Ok(result) => result,
        // The task was aborted because its socket or frontend was removed.
        Err(error) if error.is_cancelled() => Ok(()),
        Err(error) => resume_unwind(error.into_panic()),
    }
}

async fn finish(drain: &mut watch::Receiver<DrainState>, shutdown: &Shutdown) -> Ended {
    if *drain.borrow() == DrainState::Draining {
        tokio::select! {
            () = shutdown.ended() => return Ended::Drained,
            _ = drain.wait_for(|state| *state == DrainState::Aborting) => {}
        }
    }
    match shutdown.connections() {
        0 => Ended::Drained,
        open => Ended::Aborted(open),
    }
}

async fn sweep(clusters: Rc<RefCell<Rc<Clusters>>>, budget: Rc<ConnectionBudget>) {
    let mut interval = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        interval.tick().await;
        let clusters = Rc::clone(&clusters.borrow());
        for cluster in clusters.values() {
            cluster.sweep();
        }
        // Let requests run between the steps.
        while budget.close_retired() {
            tokio::task::yield_now().await;
        }
    }
}
