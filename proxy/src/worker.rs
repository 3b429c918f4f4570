//! A worker thread: its runtime, its listeners, and everything that its requests use.
//!
//! While workers serve requests, they share atomics and immutable snapshots, and hardly any locks;
//! `ARCHITECTURE.md` has the exceptions. `process` starts workers and replaces one that fails. If
//! one of a worker's own tasks fails, the worker ends, because its sockets would no longer be
//! served. The failure of a single connection does not end it.

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

/// Interval between sweeps of idle server connections. `timeout.server_keep_alive` can be late by
/// this much.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Inputs of a worker in addition to its first configuration. If it fails, its replacement inherits
/// them, with everything queued in them.
#[derive(Debug)]
pub struct WorkerInputs {
    /// Whether it serves, drains or aborts.
    pub drain: watch::Receiver<DrainState>,
    /// Commands to apply.
    pub commands: mpsc::UnboundedReceiver<Command>,
    /// Number of server connections at which idle ones start to be closed to make room for new
    /// ones.
    pub max_upstream: usize,
    /// All workers, including this one.
    pub workers: Workers,
    /// Connections that other workers have accepted and handed over.
    pub inbox: mpsc::UnboundedReceiver<Accepted>,
    /// Number of earlier workers with these inputs that have failed. It keeps request numbers
    /// unique.
    pub failed: u8,
}

/// Configuration of one worker: everything that it serves from now on.
#[derive(Debug)]
pub struct WorkerConfig {
    /// Frontends, as configured.
    pub frontends: Vec<FrontendConfig>,
    /// Backends, in the order of the configuration.
    pub clusters: Vec<ClusterConfig>,
    /// Responses to the HTTP challenges of ACME servers.
    pub challenges: Arc<HttpChallenges>,
    /// How long idle clients are kept after the signal to stop.
    pub drain_grace: Duration,
}

/// Configuration of a frontend in one worker.
#[derive(Debug)]
pub struct FrontendConfig {
    /// Configuration from the file.
    pub config: config::Frontend,
    /// Names of all its sockets, each with the position of its `bind`. Any other socket of the
    /// frontend is closed.
    pub sockets: HashMap<String, usize>,
    /// New sockets.
    pub listeners: Vec<Listener>,
    /// TLS settings of each `bind`, in the same order.
    pub tls: Vec<Option<Arc<ServerTls>>>,
    /// Stages of the router, in order; empty if the frontend has no router.
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
    /// Accept and serve.
    Serving,
    /// Accept no more connections, and end with the last one.
    Draining,
    /// End at once.
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

/// Runs a worker until it stops. `ready` is notified once it serves.
///
/// # Errors
/// If the runtime cannot be created, or a socket cannot be registered with its poller. The worker
/// no longer serves then.
///
/// # Panics
/// If one of its own tasks panics.
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
    // The receiver may have stopped waiting.
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
    /// Clusters in force, shared with the task that sweeps them.
    clusters: Rc<RefCell<Rc<Clusters>>>,
    sites: HashMap<String, Site>,
    /// Acceptors of frontends that the last configuration removed. They serve connections accepted
    /// earlier.
    retired: HashMap<String, Acceptor>,
    /// Connections from sockets of a configuration that has not reached this worker yet.
    early: Vec<Accepted>,
    drain_grace: Duration,
    /// The worker's own tasks: those that accept, and the one that sweeps.
    tasks: JoinSet<io::Result<()>>,
}

/// A frontend with its sockets.
struct Site {
    acceptor: Acceptor,
    /// Names and tasks of its sockets. Several sockets that were passed to the process can share a
    /// name.
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

    /// Puts a configuration into force. Requests under the old one keep what they use.
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
            // A new socket of the same name replaces it, for example after a change in the spelling
            // of its address.
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

    /// Returns the router of a frontend with these stages; `known` is its router until now. It is
    /// updated in place, so requests in flight keep using the same router.
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

    /// Serves until the signal to stop.
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
        // From now on senders get their connections back. This worker serves those already in the
        // queue.
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

    /// Serves a connection that another worker has accepted. That worker can have a newer or older
    /// configuration than this one.
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
    /// Stops accepting and closes idle connections. Returns the acceptor for connections accepted
    /// earlier.
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

/// Returns how the worker ends after one of its own tasks has ended; `Ok` if it continues.
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
        // Yield to requests in between.
        while budget.close_retired() {
            tokio::task::yield_now().await;
        }
    }
}
