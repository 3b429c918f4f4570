//! One thread: its runtime, its listeners, and everything that its requests use.
//!
//! Workers share nothing on the way of a request. Started by `server`.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use crate::config;
use crate::listener::{self, Accepted, Acceptor, Listener, Team};
use crate::plugin::{BackendName, Instance};
use crate::request::{Frontend, Rules};
use crate::router::version::Version;
use crate::router::{Change, Router};
use crate::shutdown::Shutdown;
use crate::telemetry::Answers;
use crate::tunnel::Scratch;
use crate::upstream::pool::ConnectionBudget;
use crate::upstream::{ClusterConfig, LocalCluster};

/// How often idle connections to servers are looked through: what `timeout.server_keep_alive`
/// may be late by.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// All that a worker is made from; sent to its thread.
#[derive(Debug)]
pub struct Blueprint {
    /// What it serves to begin with.
    pub plan: Plan,
    /// Whether it is to go on.
    pub order: watch::Receiver<Order>,
    /// What it is told to change.
    pub commands: mpsc::UnboundedReceiver<Command>,
    /// Connections to servers from which on idle ones are closed for new ones.
    pub max_upstream: usize,
    /// The workers, itself included.
    pub team: Team,
    /// What the others have accepted for it.
    pub inbox: mpsc::UnboundedReceiver<Accepted>,
    /// Hears of it once it serves.
    pub ready: std::sync::mpsc::Sender<()>,
}

/// A configuration for one worker: everything that it serves from now on.
#[derive(Debug)]
pub struct Plan {
    /// As configured.
    pub frontends: Vec<FrontendPlan>,
    /// Every backend, in the order of the configuration.
    pub clusters: Vec<ClusterConfig>,
    /// How long clients that ask nothing are kept once it stops.
    pub farewell: Duration,
}

/// A frontend for one worker.
#[derive(Debug)]
pub struct FrontendPlan {
    /// As configured.
    pub config: config::Frontend,
    /// Names of all its sockets; those that it has besides are closed.
    pub sockets: HashSet<String>,
    /// Those of them that are new.
    pub listeners: Vec<Listener>,
    /// None where the frontend has no router.
    pub router: Option<RouterPlan>,
    /// Counts what it answers.
    pub answers: Arc<Answers>,
}

/// The router of a frontend in one worker.
#[derive(Debug)]
pub enum RouterPlan {
    /// As it is: nothing that it hangs on has changed.
    Keep,
    /// Another.
    New(Arc<Version>, Instance),
}

/// A change while it serves, taken up between two requests.
#[derive(Debug)]
pub enum Command {
    /// Of the router of this frontend.
    Router(String, Change),
    /// Another configuration.
    Apply(Plan),
}

/// Whether a worker is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Accept and serve.
    Serve,
    /// Accept no more, and end with the last connection.
    Drain,
    /// End at once.
    Abort,
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every connection had ended.
    Drained,
    /// So many connections were cut off.
    Aborted(usize),
}

/// Runs a worker until it is told to stop.
///
/// # Errors
/// Those of the runtime and of the poller, at the start.
pub fn run(blueprint: Blueprint) -> io::Result<Ended> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    // Dropping the runtime drops every task that is left, and closes its sockets.
    runtime.block_on(work(blueprint))
}

async fn work(blueprint: Blueprint) -> io::Result<Ended> {
    let mut worker = Worker::new(blueprint.team, blueprint.max_upstream);
    worker.apply(blueprint.plan);
    // Who waits for it may have given up.
    let _ = blueprint.ready.send(());
    drop(blueprint.ready);
    tokio::task::spawn_local(sweep(Rc::clone(&worker.clusters)));
    let mut order = blueprint.order;
    worker
        .serve(&mut order, blueprint.commands, blueprint.inbox)
        .await;
    if *order.borrow_and_update() == Order::Drain {
        worker.drain();
    }
    Ok(obey(order, &worker.shutdown).await)
}

/// The clusters in force, by the backends' names.
type Clusters = HashMap<BackendName, Rc<LocalCluster>>;

struct Worker {
    team: Rc<Team>,
    budget: Rc<ConnectionBudget>,
    scratch: Scratch,
    shutdown: Shutdown,
    ids: Rc<Cell<u64>>,
    /// Shared with the task that looks them over.
    clusters: Rc<RefCell<Rc<Clusters>>>,
    sites: HashMap<String, Site>,
    /// What serves who came before the last configuration, to frontends that it has not.
    gone: HashMap<String, Acceptor>,
    /// Who came by a configuration that this worker has not heard of yet.
    early: Vec<Accepted>,
    farewell: Duration,
}

/// A frontend with its sockets.
struct Site {
    acceptor: Acceptor,
    /// By name, of which a socket that was passed to the process may be one of several.
    sockets: Vec<(String, AbortHandle)>,
}

impl Worker {
    fn new(team: Team, max_upstream: usize) -> Worker {
        Worker {
            // Numbers that no other worker gives: its own share of the range.
            ids: Rc::new(Cell::new((team.own as u64) << 48)),
            team: Rc::new(team),
            budget: ConnectionBudget::new(max_upstream),
            scratch: Scratch::default(),
            shutdown: Shutdown::default(),
            clusters: Rc::default(),
            sites: HashMap::new(),
            gone: HashMap::new(),
            early: Vec::new(),
            farewell: Duration::ZERO,
        }
    }

    /// Puts a configuration into force. What goes on by the old one keeps what it needs.
    fn apply(&mut self, plan: Plan) {
        self.farewell = plan.farewell;
        let clusters = self.apply_clusters(&plan.clusters);
        let mut old = std::mem::take(&mut self.sites);
        for frontend in plan.frontends {
            let known = old.remove(&frontend.config.name);
            let name = frontend.config.name.clone();
            let default_backend = frontend.config.default_backend;
            let default_backend = default_backend
                .and_then(|id| plan.clusters.get(id.index()))
                .and_then(|config| clusters.get(config.cluster.name()).cloned());
            let site = self.site(frontend, known, default_backend, &clusters);
            self.sites.insert(name, site);
        }
        self.gone.clear();
        for (name, gone) in old {
            self.gone.insert(name, gone.close(self.farewell));
        }
        for accepted in std::mem::take(&mut self.early) {
            if let Some(accepted) = self.serve_one(accepted) {
                tracing::debug!(
                    frontend = accepted.frontend(),
                    "a connection is closed: its frontend is gone"
                );
            }
        }
    }

    /// Gives each cluster its new endpoints; those that are gone close their connections.
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
                Rc::new(LocalCluster::new(config, self.team.own, &self.budget))
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
        &self,
        plan: FrontendPlan,
        known: Option<Site>,
        default_backend: Option<Rc<LocalCluster>>,
        backends: &Rc<Clusters>,
    ) -> Site {
        let router = match plan.router {
            None => None,
            Some(RouterPlan::Keep) => known
                .as_ref()
                .and_then(|site| site.acceptor.frontend.rules().router.clone()),
            Some(RouterPlan::New(version, instance)) => {
                // Requests under way hold on to the old one, and ask it nothing more.
                let old = known
                    .as_ref()
                    .and_then(|site| site.acceptor.frontend.rules().router.clone());
                if let Some(old) = old {
                    old.borrow_mut().retire();
                }
                let router = Router::new(version, Some(instance), self.team.own);
                Some(Rc::new(RefCell::new(router)))
            }
        };
        let name: Arc<str> = Arc::from(plan.config.name.as_str());
        let rules = Rules {
            config: plan.config,
            answers: plan.answers,
            worker: self.team.own,
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
                    name,
                    team: Rc::clone(&self.team),
                    scratch: self.scratch.clone(),
                    shutdown: self.shutdown.part(),
                },
                sockets: Vec::new(),
            },
        };
        site.sockets.retain(|(name, task)| {
            // What comes again, for another spelling of its address say, takes its place.
            let is_new = plan.listeners.iter().any(|new| new.name() == name);
            let is_kept = plan.sockets.contains(name) && !is_new;
            if !is_kept {
                task.abort();
            }
            is_kept
        });
        for listener in plan.listeners {
            let name = listener.name().to_owned();
            let accepting = listener::run(listener, site.acceptor.clone());
            let task = tokio::task::spawn_local(accepting);
            site.sockets.push((name, task.abort_handle()));
        }
        site
    }

    /// Until the order to stop.
    async fn serve(
        &mut self,
        order: &mut watch::Receiver<Order>,
        mut commands: mpsc::UnboundedReceiver<Command>,
        mut inbox: mpsc::UnboundedReceiver<Accepted>,
    ) {
        loop {
            tokio::select! {
                // A configuration before the connections that came by it.
                biased;
                // A sender that is gone means that the process is ending.
                _ = order.wait_for(|order| *order != Order::Serve) => break,
                Some(command) = commands.recv() => self.obey(command),
                Some(accepted) = inbox.recv() => self.take(accepted),
            }
        }
        // From now on who sends gets it back; what has come is this worker's.
        inbox.close();
        while let Some(accepted) = inbox.recv().await {
            self.take(accepted);
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Apply(plan) => self.apply(plan),
            Command::Router(frontend, change) => {
                if let Some(router) = self.router(&frontend) {
                    router.borrow_mut().apply(change);
                }
            }
        }
    }

    fn router(&self, frontend: &str) -> Option<Rc<RefCell<Router>>> {
        let site = self.sites.get(frontend)?;
        site.acceptor.frontend.rules().router.clone()
    }

    /// Serves what another worker has accepted, which may be a configuration ahead of this one,
    /// or behind.
    fn take(&mut self, accepted: Accepted) {
        let early = self.serve_one(accepted);
        self.early.extend(early);
    }

    /// Gives back what is for a frontend that it does not know.
    fn serve_one(&self, accepted: Accepted) -> Option<Accepted> {
        let site = self.sites.get(accepted.frontend());
        let acceptor = site.map(|site| &site.acceptor);
        match acceptor.or_else(|| self.gone.get(accepted.frontend())) {
            Some(acceptor) => acceptor.serve(accepted),
            None => return Some(accepted),
        }
        None
    }

    fn drain(&self) {
        for site in self.sites.values() {
            site.acceptor.shutdown.begin(self.farewell);
        }
    }
}

impl Site {
    /// Accepts no more, and lets go of who is idle; for who was accepted before.
    fn close(self, farewell: Duration) -> Acceptor {
        for (_, task) in &self.sockets {
            task.abort();
        }
        self.acceptor.shutdown.begin(farewell);
        self.acceptor
    }
}

async fn obey(mut order: watch::Receiver<Order>, shutdown: &Shutdown) -> Ended {
    if *order.borrow() == Order::Drain {
        tokio::select! {
            () = shutdown.ended() => return Ended::Drained,
            _ = order.wait_for(|order| *order == Order::Abort) => {}
        }
    }
    match shutdown.connections() {
        0 => Ended::Drained,
        open => Ended::Aborted(open),
    }
}

async fn sweep(clusters: Rc<RefCell<Rc<Clusters>>>) {
    let mut interval = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        interval.tick().await;
        let clusters = Rc::clone(&clusters.borrow());
        for cluster in clusters.values() {
            cluster.sweep();
        }
    }
}
