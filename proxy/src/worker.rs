//! One thread: its runtime, its listeners, and everything that its requests use.
//!
//! Workers share nothing on the way of a request. Started by `server`.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};

use crate::config;
use crate::listener::{self, Accepted, Acceptor, Listener, Team};
use crate::plugin::{BackendState, Backends};
use crate::request::Frontend;
use crate::router::{Router, Version};
use crate::shutdown::Shutdown;
use crate::tunnel::Scratch;
use crate::upstream::pool::Links;
use crate::upstream::{Backend, SharedBackend};

/// How often idle connections to servers are looked over.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// All that a worker is made from; sent to its thread.
#[derive(Debug)]
pub struct Blueprint {
    /// As configured, each with its sockets and its plugin.
    pub frontends: Vec<FrontendBlueprint>,
    /// Every backend, in the order of the configuration.
    pub backends: Vec<Arc<SharedBackend>>,
    /// What the worker is to do.
    pub order: watch::Receiver<Order>,
    /// Connections to servers from which on idle ones are closed for new ones.
    pub links: usize,
    /// The workers, itself included.
    pub team: Team,
    /// What the others have accepted for it.
    pub inbox: mpsc::UnboundedReceiver<Accepted>,
}

/// A frontend for one worker.
#[derive(Debug)]
pub struct FrontendBlueprint {
    /// As configured.
    pub config: config::Frontend,
    /// This worker's sockets.
    pub listeners: Vec<Listener>,
    /// The plugin in service; None where the frontend has no router.
    pub version: Option<Arc<Version>>,
}

/// What a worker is to do.
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
    let shutdown = Shutdown::default();
    let team = Rc::new(blueprint.team);
    let index = team.own;
    let links = Links::new(blueprint.links);
    let backends: Rc<[Backend]> = blueprint
        .backends
        .iter()
        .map(|shared| Backend::new(Arc::clone(shared), index, &links))
        .collect();
    let states: Arc<dyn Backends> = Arc::new(LiveBackends(blueprint.backends));
    let scratch = Scratch::default();
    // Numbers that no other worker gives: its own share of the range.
    let ids = Rc::new(Cell::new((index as u64) << 48));
    let mut acceptors = Vec::new();
    for (number, frontend) in blueprint.frontends.into_iter().enumerate() {
        let router = frontend
            .version
            .map(|version| RefCell::new(Router::new(version, Arc::clone(&states))));
        let acceptor = Acceptor {
            frontend: Rc::new(Frontend {
                name: Rc::from(frontend.config.name.as_str()),
                config: frontend.config,
                router,
                backends: Rc::clone(&backends),
                ids: Rc::clone(&ids),
            }),
            index: number,
            team: Rc::clone(&team),
            scratch: scratch.clone(),
            shutdown: shutdown.clone(),
        };
        for socket in frontend.listeners {
            tokio::task::spawn_local(listener::run(socket, acceptor.clone()));
        }
        acceptors.push(acceptor);
    }
    tokio::task::spawn_local(sweep(backends));
    serve(blueprint.order.clone(), blueprint.inbox, &acceptors).await;
    Ok(obey(blueprint.order, &shutdown).await)
}

/// Takes what other workers have accepted for this one, until the order to stop.
async fn serve(
    mut order: watch::Receiver<Order>,
    mut inbox: mpsc::UnboundedReceiver<Accepted>,
    acceptors: &[Acceptor],
) {
    let take = |accepted: Accepted| acceptors[accepted.frontend()].serve(accepted);
    loop {
        tokio::select! {
            // A sender that is gone means that the process is ending.
            _ = order.wait_for(|order| *order != Order::Serve) => break,
            Some(accepted) = inbox.recv() => take(accepted),
        }
    }
    // From now on who sends gets it back; what has come is this worker's.
    inbox.close();
    while let Ok(accepted) = inbox.try_recv() {
        take(accepted);
    }
}

async fn obey(mut order: watch::Receiver<Order>, shutdown: &Shutdown) -> Ended {
    if *order.borrow_and_update() == Order::Drain {
        shutdown.begin();
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

async fn sweep(backends: Rc<[Backend]>) {
    let mut interval = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        interval.tick().await;
        for backend in backends.iter() {
            backend.sweep();
        }
    }
}

/// The backends in service, as plugins see them.
#[derive(Debug)]
struct LiveBackends(Vec<Arc<SharedBackend>>);

impl Backends for LiveBackends {
    fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|backend| backend.name == name)
    }

    fn state(&self, index: usize) -> BackendState {
        let backend = &self.0[index];
        BackendState {
            usable_servers: backend.usable_servers(),
            active: backend.active(),
            queued: backend.queued(),
        }
    }
}
