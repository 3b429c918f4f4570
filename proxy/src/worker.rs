//! One thread: its runtime, its listeners, and everything that its requests use.
//!
//! Workers share no lock and no mutable state while they serve a request. Started by `process`, which
//! replaces one that fails. Anything that ends one of a worker's own tasks, but not those of single
//! connections, ends the worker: nobody would accept from its sockets.

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
use crate::telemetry::{Answers, Handshakes};
use crate::transport::buffer::BufferPool;
use crate::transport::tls::ServerTls;
use crate::tunnel::Scratch;
use crate::upstream::pool::ConnectionBudget;
use crate::upstream::{ClusterConfig, LocalCluster};

/// How often idle connections to servers are looked through: what `timeout.server_keep_alive`
/// may be late by.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Inputs of a worker besides its first configuration. If it fails, the worker that replaces it
/// gets them, with all that is queued in them.
#[derive(Debug)]
pub struct WorkerInputs {
    /// Whether it serves, drains or aborts.
    pub drain: watch::Receiver<DrainState>,
    /// Changes to apply.
    pub commands: mpsc::UnboundedReceiver<Command>,
    /// From this many connections to servers on, idle ones are closed for new ones.
    pub max_upstream: usize,
    /// The workers, itself included.
    pub workers: Workers,
    /// Connections that other workers have accepted for it.
    pub inbox: mpsc::UnboundedReceiver<Accepted>,
    /// How many workers have failed with these before: no two number their requests alike.
    pub failed: u8,
}

/// A configuration for one worker: everything that it serves from now on.
#[derive(Debug)]
pub struct WorkerConfig {
    /// As configured.
    pub frontends: Vec<FrontendConfig>,
    /// Every backend, in the order of the configuration.
    pub clusters: Vec<ClusterConfig>,
    /// Answers to ACME servers.
    pub challenges: Arc<HttpChallenges>,
    /// How long idle clients are kept once it stops.
    pub drain_grace: Duration,
}

/// A frontend for one worker.
#[derive(Debug)]
pub struct FrontendConfig {
    /// As configured.
    pub config: config::Frontend,
    /// Names of all its sockets, each with the position of its `bind`; any other that it has is
    /// closed.
    pub sockets: HashMap<String, usize>,
    /// The new ones.
    pub listeners: Vec<Listener>,
    /// TLS of each `bind`, in their order.
    pub tls: Vec<Option<Arc<ServerTls>>>,
    /// In their order; empty where the frontend has no router.
    pub router: Vec<StageUpdate>,
    /// Counts what it answers.
    pub answers: Arc<Answers>,
    /// Counts its TLS handshakes.
    pub handshakes: Arc<Handshakes>,
}

/// A change while it serves, applied between two requests.
#[derive(Debug)]
pub enum Command {
    /// To this stage of a router.
    Stage(StageId, Change),
    /// Another configuration.
    Apply(WorkerConfig),
    /// Other endpoints of a cluster.
    Endpoints(Box<ClusterConfig>),
}

/// Whether workers serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainState {
    /// Accept and serve.
    Serving,
    /// Accept no more, and end with the last connection.
    Draining,
    /// End at once.
    Aborting,
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every connection had ended.
    Drained,
    /// This many connections were cut off.
    Aborted(usize),
}

/// Runs a worker until it stops. `ready` is notified once it serves.
///
/// # Errors
/// Those of the runtime and of the poller: it serves nobody any more.
///
/// # Panics
/// If one of its own tasks does.
pub fn run(
    config: WorkerConfig,
    inputs: &mut WorkerInputs,
    ready: std::sync::mpsc::Sender<()>,
) -> io::Result<Ended> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    // Dropping the runtime drops every task that is left, and closes its sockets.
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
    // The receiver may have given up.
    let _ = ready.send(());
    drop(ready);
    worker.serve(inputs).await?;
    let drain = &mut inputs.drain;
    if *drain.borrow_and_update() == DrainState::Draining {
        worker.drain();
    }
    Ok(finish(drain, &worker.shutdown).await)
}

/// The clusters in force, by the backends' names.
type Clusters = HashMap<BackendName, Rc<LocalCluster>>;

struct Worker {
    workers: Rc<Workers>,
    budget: Rc<ConnectionBudget>,
    scratch: Scratch,
    resources: Rc<Resources>,
    shutdown: Shutdown,
    ids: Rc<Cell<u64>>,
    /// Shared with the task that sweeps them.
    clusters: Rc<RefCell<Rc<Clusters>>>,
    sites: HashMap<String, Site>,
    /// Serves connections that were accepted for frontends which the last configuration removed.
    gone: HashMap<String, Acceptor>,
    /// Connections from sockets of a configuration that has not reached this worker yet.
    early: Vec<Accepted>,
    drain_grace: Duration,
    /// Its own: those that accept, and the one that sweeps.
    tasks: JoinSet<io::Result<()>>,
}

/// A frontend with its sockets.
struct Site {
    acceptor: Acceptor,
    /// By name, of which a socket that was passed to the process may be one of several.
    sockets: Vec<(String, AbortHandle)>,
}

impl Worker {
    fn new(inputs: &WorkerInputs) -> Worker {
        let buffers = BufferPool::default();
        let own = inputs.workers.own as u64;
        Worker {
            // Each worker numbers requests from a range of its own.
            ids: Rc::new(Cell::new(own << 48 | u64::from(inputs.failed) << 40)),
            workers: Rc::new(inputs.workers.clone()),
            budget: ConnectionBudget::new(inputs.max_upstream, buffers.clone()),
            resources: Rc::new(Resources::new(buffers)),
            scratch: Scratch::default(),
            shutdown: Shutdown::default(),
            clusters: Rc::default(),
            sites: HashMap::new(),
            gone: HashMap::new(),
            early: Vec::new(),
            drain_grace: Duration::ZERO,
            tasks: JoinSet::new(),
        }
    }

    /// Puts a configuration into force. Requests under the old one keep what they need.
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
        self.gone.clear();
        for (name, gone) in old {
            self.gone.insert(name, gone.close(self.drain_grace));
        }
        for accepted in std::mem::take(&mut self.early) {
            if let Some(accepted) = self.serve_one(accepted) {
                tracing::debug!(
                    frontend = accepted.frontend(),
                    "a connection is closed: its socket is gone"
                );
            }
        }
    }

    /// Gives each cluster its new endpoints; removed ones close their connections.
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
        for (name, gone) in old.iter() {
            let is_kept = clusters.get(name).is_some_and(|one| Rc::ptr_eq(one, gone));
            if !is_kept {
                gone.retire();
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
            answers: config.answers,
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
            // A new socket of the same name replaces it: another spelling of its address, say.
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

    /// The router of a frontend with these stages, which had this one before. It stays the same for
    /// requests under way.
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
    /// A socket cannot be accepted from.
    async fn serve(&mut self, inputs: &mut WorkerInputs) -> io::Result<()> {
        let WorkerInputs {
            drain,
            commands,
            inbox,
            ..
        } = inputs;
        loop {
            tokio::select! {
                // A configuration before the connections that depend on it.
                biased;
                // A sender that is gone means that the process is ending.
                _ = drain.wait_for(|state| *state != DrainState::Serving) => break,
                Some(command) = commands.recv() => self.handle(command),
                Some(ended) = self.tasks.join_next() => ended_early(ended)?,
                Some(accepted) = inbox.recv() => self.take(accepted),
            }
        }
        // From now on senders get the connection back; those in the queue are this worker's.
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

    /// Serves what another worker has accepted. That worker may be a configuration ahead of this
    /// one, or behind.
    fn take(&mut self, accepted: Accepted) {
        let early = self.serve_one(accepted);
        self.early.extend(early);
    }

    /// Returns a connection from a socket that it does not know.
    fn serve_one(&self, accepted: Accepted) -> Option<Accepted> {
        let site = self.sites.get(accepted.frontend());
        let acceptor = site.map(|site| &site.acceptor);
        match acceptor.or_else(|| self.gone.get(accepted.frontend())) {
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
    /// Stops accepting and closes idle connections; returns what serves those accepted before.
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

/// The worker's fate once one of its own tasks has ended.
fn ended_early(ended: Result<io::Result<()>, JoinError>) -> io::Result<()> {
    match ended {
        Ok(result) => result,
        // Its socket or its frontend is gone.
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
        // Requests come in between.
        while budget.close_retired() {
            tokio::task::yield_now().await;
        }
    }
}
