//! The process: what is made before the workers start, and how they are stopped.
//!
//! In this order, so that a mistake never leaves a socket bound: plugins and names
//! ([`Prepared::new`]), descriptors, sockets, user and group, workers.

mod limits;
mod privileges;
mod sockets;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::config::{Config, Errors, Source};
use crate::listener::Team;
use crate::places::Places;
use crate::plugin::EngineError;
use crate::router::Version;
use crate::router::versions::{Loader, VersionError};
use crate::upstream::SharedBackend;
use crate::worker::{self, Blueprint, Ended, FrontendBlueprint, Order};

pub use limits::LimitError;
pub use privileges::PrivilegeError;

/// Stack of a worker's thread: guest code may use 512 KiB of it.
const WORKER_STACK: usize = 2 * 1024 * 1024;

/// A configuration with everything that it names: plugins loaded and tried out, servers'
/// names resolved.
#[derive(Debug)]
pub struct Prepared {
    config: Config,
    versions: Vec<Option<Arc<Version>>>,
    backends: Vec<Arc<SharedBackend>>,
}

/// Why a configuration cannot be run.
#[derive(Debug, Error)]
pub enum PrepareError {
    /// What it names is not there or does not fit; every instance of it.
    #[error("{0}")]
    Config(Errors),
    /// Plugins cannot run on this machine.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Prepared {
    /// Loads and resolves; blocks while it does. Opens no socket.
    ///
    /// # Errors
    /// [`PrepareError`], with every mistake that was found.
    pub fn new(config: Config, source: &Source) -> Result<Prepared, PrepareError> {
        let has_router = config.frontends.iter().any(|front| front.router.is_some());
        // Without a plugin there is nothing to reserve address space for.
        let loader = has_router.then(|| Loader::try_new(&config)).transpose()?;
        let mut errors: Option<Errors> = None;
        let mut note = |found: Errors| match &mut errors {
            Some(errors) => errors.merge(found),
            None => errors = Some(found),
        };
        let mut versions = Vec::new();
        for frontend in &config.frontends {
            let loaded = loader
                .as_ref()
                .zip(frontend.router.as_ref())
                .map(|(loader, router)| loader.load(&frontend.name, router, 1));
            versions.push(loaded.transpose().unwrap_or_else(|error| {
                note(locate(source, &frontend.name, &error));
                None
            }));
        }
        let workers = config.worker_count();
        let mut backends = Vec::new();
        for backend in &config.backends {
            match SharedBackend::resolve(backend, workers) {
                Ok(backend) => backends.push(Arc::new(backend)),
                Err(error) => {
                    let key = ["backend", &backend.name, "server", &error.server];
                    let message = format!("{error}: {}", error.source);
                    note(source.key_error(&key, &message, None));
                }
            }
        }
        match errors {
            Some(errors) => Err(PrepareError::Config(errors)),
            None => Ok(Prepared {
                config,
                versions,
                backends,
            }),
        }
    }
}

/// Where in the file a plugin's error belongs.
pub fn locate(source: &Source, frontend: &str, error: &VersionError) -> Errors {
    match error {
        VersionError::Configure(message) => source.plugin_error(frontend, message),
        error => {
            let key = ["frontend", frontend, "router", "plugin"];
            source.key_error(&key, &error.to_string(), None)
        }
    }
}

/// Why the server could not start.
#[derive(Debug, Error)]
pub enum ServerError {
    /// Too few file descriptors.
    #[error(transparent)]
    Limits(#[from] LimitError),
    /// A socket could not be bound.
    #[error("cannot listen on {address} (frontend `{frontend}`)")]
    Bind {
        /// The frontend's name.
        frontend: String,
        /// As configured.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The user or group could not be taken on.
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    /// A thread, a runtime or a signal handler could not be made.
    #[error("cannot start")]
    Start(#[source] io::Error),
}

/// How the server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// After the last request and tunnel.
    Drained,
    /// With so many connections cut off, after `timeout.drain` or a second signal.
    Aborted(usize),
}

/// Serves until SIGTERM or SIGINT; calls `ready` once every socket is bound and every
/// worker started.
///
/// # Errors
/// [`ServerError`], before any connection was accepted.
pub fn run(prepared: Prepared, ready: impl FnOnce()) -> Result<Stopped, ServerError> {
    let Prepared {
        config,
        versions,
        backends,
    } = prepared;
    let workers = config.worker_count();
    let max_connections = limits::raise(config.max_connections, workers)?;
    let mut bound = sockets::bind(&config.frontends, workers)?;
    privileges::drop_to(config.user.as_deref(), config.group.as_deref())?;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ServerError::Start)?;
    let guard = runtime.enter();
    let signals = Signals::new().map_err(ServerError::Start)?;
    drop(guard);

    let places = Arc::new(Places::new(max_connections, workers));
    let (inboxes, receivers): (Vec<_>, Vec<_>) =
        (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
    let (order, _) = watch::channel(Order::Serve);
    let (ended, reports) = mpsc::unbounded_channel();
    let paths: Vec<PathBuf> = std::mem::take(&mut bound.paths);
    let each = bound.workers.into_iter().zip(receivers).enumerate();
    for (index, (mut sockets, inbox)) in each {
        let frontends = config.frontends.iter().zip(&versions);
        let blueprint = Blueprint {
            frontends: frontends
                .map(|(frontend, version)| FrontendBlueprint {
                    config: frontend.clone(),
                    listeners: sockets.next_frontend(),
                    version: version.clone(),
                })
                .collect(),
            backends: backends.clone(),
            order: order.subscribe(),
            links: (max_connections as usize).div_ceil(workers),
            team: Team {
                own: index,
                places: Arc::clone(&places),
                inboxes: inboxes.clone(),
            },
            inbox,
        };
        let ended = ended.clone();
        thread::Builder::new()
            .name(format!("worker-{index}"))
            .stack_size(WORKER_STACK)
            .spawn(move || {
                // The receiver outlives every worker.
                let _ = ended.send(worker::run(blueprint));
            })
            .map_err(ServerError::Start)?;
    }
    drop(ended);
    for (frontend, address) in bound.addresses {
        tracing::info!(frontend, address, "listening");
    }
    tracing::info!(workers, max_connections, "ready");
    ready();
    let stopped = runtime.block_on(supervise(signals, &order, reports, &config));
    for path in paths {
        // Nobody listens there any more; who comes now is told so by its absence.
        let _ = std::fs::remove_file(path);
    }
    stopped
}

/// The signals that stop the server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Passes the signals on to the workers, and gathers how they ended.
async fn supervise(
    mut signals: Signals,
    order: &watch::Sender<Order>,
    mut reports: mpsc::UnboundedReceiver<io::Result<Ended>>,
    config: &Config,
) -> Result<Stopped, ServerError> {
    tokio::select! {
        () = signals.next() => {}
        // A worker ends of itself only where it could not start.
        Some(Err(error)) = reports.recv() => return Err(ServerError::Start(error)),
    }
    tracing::info!(timeout = ?config.drain, "draining: no new connections; a second signal ends at once");
    let _ = order.send(Order::Drain);
    let mut drained = std::pin::pin!(async {
        let mut cut = 0;
        while let Some(ended) = reports.recv().await {
            if let Ok(Ended::Aborted(open)) = ended {
                cut += open;
            }
        }
        cut
    });
    let in_time = tokio::select! {
        cut = &mut drained => Some(cut),
        () = tokio::time::sleep(config.drain) => None,
        () = signals.next() => None,
    };
    let cut = if let Some(cut) = in_time {
        cut
    } else {
        let _ = order.send(Order::Abort);
        drained.await
    };
    if cut == 0 {
        tracing::info!("stopped");
        Ok(Stopped::Drained)
    } else {
        tracing::warn!(connections = cut, "stopped; connections were cut off");
        Ok(Stopped::Aborted(cut))
    }
}
