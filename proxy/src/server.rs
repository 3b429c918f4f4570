//! The process: what is made before the workers start, and how it is told to change and to
//! stop.
//!
//! In this order, so that a mistake never leaves a socket bound: plugins and names
//! ([`Prepared::new`]), descriptors, sockets, user and group, workers. From then on
//! [`control`] changes what is in force.

pub mod admin;
pub mod control;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod inheritance;
mod limits;
mod manager;
mod prepared;
mod privileges;
mod sockets;
mod watcher;

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use self::control::Control;
use self::manager::Phase;
use self::sockets::Sockets;
use crate::listener::Team;
use crate::places::Places;
use crate::telemetry::{Telemetry, chain};
use crate::worker::{self, Blueprint, Ended, Order};

pub use inheritance::{InheritError, Inherited};
pub use limits::LimitError;
pub use prepared::{PrepareError, Prepared, locate};
pub use privileges::PrivilegeError;

/// Stack of a worker's thread: guest code may use 512 KiB of it.
const WORKER_STACK: usize = 2 * 1024 * 1024;

/// Niceness of the threads that load plugins, and of the compilers that they start: a third of a
/// worker's weight, so that requests do not wait for them. With 10, a tenth, Python took four minutes
/// to compile beside workers that took all there was.
const LOADER_NICENESS: i32 = 5;

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
    /// The admin interface could not be bound.
    #[error("cannot listen on {address} (admin)")]
    Admin {
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

/// Serves until SIGTERM or SIGINT, or until another process has taken over after SIGUSR2;
/// calls `ready` once every socket is bound and every worker started.
///
/// # Errors
/// [`ServerError`], before any connection was accepted.
pub fn run(
    mut prepared: Prepared,
    mut inherited: Inherited,
    telemetry: Arc<Telemetry>,
    ready: impl FnOnce(),
) -> Result<Stopped, ServerError> {
    let config = &prepared.config;
    let workers = config.worker_count();
    let max_connections = limits::raise(config.max_connections, workers)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_start(lower_priority)
        .build()
        .map_err(ServerError::Start)?;
    let guard = runtime.enter();
    let signals = Signals::new().map_err(ServerError::Start)?;
    let mut sockets = Sockets::new(std::mem::take(&mut inherited.sockets));
    let mut bound = sockets.known().bind(&config.frontends, workers)?;
    let admin = admin::bind(&config.admin, &mut sockets)?;
    privileges::drop_to(config.user.as_deref(), config.group.as_deref())?;

    let routers = std::mem::take(&mut prepared.routers);
    let (plans, released) = control::plans(
        config,
        routers,
        &mut bound,
        &prepared.clusters,
        workers,
        None,
    );
    let places = Arc::new(Places::new(max_connections, workers));
    let (inboxes, receivers): (Vec<_>, Vec<_>) =
        (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
    let (order, _) = watch::channel(Order::Serve);
    let (ended, mut reports) = mpsc::unbounded_channel();
    let (ready_worker, ready_workers) = std::sync::mpsc::channel();
    let mut commands = Vec::new();
    for (own, (plan, inbox)) in plans.into_iter().zip(receivers).enumerate() {
        let (command, receiver) = mpsc::unbounded_channel();
        commands.push(command);
        let blueprint = Blueprint {
            plan,
            order: order.subscribe(),
            commands: receiver,
            max_upstream: (max_connections as usize).div_ceil(workers),
            team: Team {
                own,
                places: Arc::clone(&places),
                inboxes: inboxes.clone(),
            },
            inbox,
            ready: ready_worker.clone(),
        };
        let ended = ended.clone();
        thread::Builder::new()
            .name(format!("worker-{own}"))
            .stack_size(WORKER_STACK)
            .spawn(move || {
                // The receiver outlives every worker.
                let _ = ended.send(worker::run(blueprint));
            })
            .map_err(ServerError::Start)?;
    }
    drop((ended, ready_worker));
    // Before anybody is told that this process serves, a predecessor above all.
    for _ in 0..workers {
        if ready_workers.recv().is_err() {
            let failed = std::iter::from_fn(|| reports.try_recv().ok()).find_map(Result::err);
            let failed = failed.unwrap_or_else(|| io::ErrorKind::Other.into());
            return Err(ServerError::Start(failed));
        }
    }
    for (frontend, sockets) in config.frontends.iter().zip(&bound.frontends) {
        for address in &sockets.fresh {
            tracing::info!(frontend = frontend.name, address, "listening");
        }
    }
    sockets.replace(bound);
    let notices = prepared.notices.receiver.take();
    let control = Control::new(
        prepared, sockets, commands, order, telemetry, places, released,
    );
    if let Some(notices) = notices {
        tokio::spawn(control.clone().heed(notices));
    }
    tokio::spawn(watcher::run(control.clone()));
    for listener in admin {
        tokio::spawn(admin::serve(listener, control.clone()));
    }
    tracing::info!(workers, max_connections, "ready");
    if !inherited.has_predecessor() {
        manager::tell(Phase::Ready);
    }
    inherited.tell();
    ready();
    drop(guard);
    let stopped = runtime.block_on(supervise(signals, &control, reports));
    // Nobody waits for what is still being loaded.
    runtime.shutdown_background();
    stopped
}

/// So that loading a plugin takes no time from requests. A thread that cannot lower itself
/// loads all the same.
fn lower_priority() {
    let own = rustix::thread::gettid();
    let _ = rustix::process::setpriority_process(Some(own), LOADER_NICENESS);
}

/// The signals that the server obeys.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user2: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for one that stops the server; one that does not is obeyed at once.
    async fn stop(&mut self, control: &Control) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {
                    let control = control.clone();
                    tokio::spawn(async move { reload(&control).await });
                }
                _ = self.user2.recv() => {
                    let control = control.clone();
                    tokio::spawn(async move { upgrade(&control).await });
                }
            }
        }
    }
}

async fn reload(control: &Control) {
    if let Err(error) = control.reload().await {
        let reason = chain(&error);
        tracing::error!("the configuration is refused, the one before goes on: {reason}");
    }
}

async fn upgrade(control: &Control) {
    if let Err(error) = control.upgrade().await {
        let reason = chain(&error);
        tracing::error!("no other process takes over, this one goes on: {reason}");
    }
}

/// Passes the signals on to the workers, and gathers how they ended.
async fn supervise(
    mut signals: Signals,
    control: &Control,
    mut reports: mpsc::UnboundedReceiver<io::Result<Ended>>,
) -> Result<Stopped, ServerError> {
    let mut orders = control.orders().subscribe();
    tokio::select! {
        () = signals.stop(control) => {}
        _ = orders.wait_for(|order| *order != Order::Serve) => {}
        // A worker ends of itself only where it could not start.
        Some(Err(error)) = reports.recv() => return Err(ServerError::Start(error)),
    }
    if !control.has_successor() {
        manager::tell(Phase::Stopping);
    }
    let timeout: Duration = control.drain_timeout();
    tracing::info!(
        ?timeout,
        "draining: no new connections; a second signal ends at once"
    );
    control.drain();
    control.close_sockets();
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
        () = tokio::time::sleep(timeout) => None,
        () = signals.stop(control) => None,
    };
    let cut = if let Some(cut) = in_time {
        cut
    } else {
        control.orders().send_replace(Order::Abort);
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
