//! The process: start, privileges, sockets and their inheritance, signals, drain, upgrade.
//!
//! Starts in this order, so that a mistake never leaves a socket bound: plugins and names
//! ([`Prepared::new`]), descriptors, sockets, user and group, workers. From then on
//! [`control`](crate::control) changes what is in force.

mod admin_sockets;
mod drain;
mod error;
mod handle;
mod inheritance;
mod limits;
mod privileges;
mod reload;
mod sd_notify;
mod signals;
mod sockets;
mod upgrade;
mod workers;

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use self::drain::supervise;
use self::handle::Process;
use self::sd_notify::Phase;
use self::signals::Signals;
use self::sockets::Sockets;
use self::workers::Threads;
use crate::admin::{self, Admin};
use crate::connection_limiter::ConnectionLimiter;
use crate::control::{Control, Handles, Prepared};
use crate::telemetry::Telemetry;
use crate::worker::DrainState;

pub use drain::Stopped;
pub use error::StartError;
pub use inheritance::{InheritError, Inherited};
pub use limits::LimitError;
pub use privileges::PrivilegeError;

/// Niceness of the threads that load plugins, and of the compilers that they start: a third of a
/// worker's weight, so that requests do not wait for them. With 10, a tenth, Python took four
/// minutes to compile beside busy workers.
const LOADER_NICENESS: i32 = 5;

/// Serves until SIGTERM or SIGINT, or until another process has taken over after SIGUSR2;
/// calls `ready` once every socket is bound and every worker started.
///
/// # Errors
/// [`StartError`], before any connection was accepted.
pub fn run(
    mut prepared: Prepared,
    mut inherited: Inherited,
    telemetry: Arc<Telemetry>,
    ready: impl FnOnce(),
) -> Result<Stopped, StartError> {
    let config = prepared.config();
    let workers = config.worker_count();
    let max_connections = limits::raise(config.max_connections, workers)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_start(lower_priority)
        .build()
        .map_err(StartError::Start)?;
    let guard = runtime.enter();
    let signals = Signals::new().map_err(StartError::Start)?;
    let mut sockets = Sockets::new(std::mem::take(&mut inherited.sockets));
    let mut bound = sockets.known().bind(&config.frontends, workers)?;
    let admin_listeners = admin_sockets::bind(&config.admin, &mut sockets)?;
    privileges::drop_to(config.user.as_deref(), config.group.as_deref())?;

    let events = prepared.take_events();
    let limiter = Arc::new(ConnectionLimiter::new(max_connections, workers));
    let (drain, drain_state) = watch::channel(DrainState::Serving);
    let (senders, commands) = (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
    let handles = Handles {
        workers: senders,
        drain,
        telemetry,
        limiter: Arc::clone(&limiter),
    };
    let (control, configs) = Control::new(prepared, &mut bound.frontends, handles);
    let threads = Threads {
        drain: drain_state,
        commands,
        limiter,
        max_connections,
    };
    let reports = threads.start(configs)?;
    for listeners in &bound.frontends {
        listeners.announce();
    }
    sockets.replace(bound);
    let process = Process::new(control.clone(), sockets);
    if let Some(events) = events {
        tokio::spawn(control.clone().handle_events(events));
    }
    tokio::spawn(control.clone().watch_files());
    serve_admin(&process, admin_listeners);
    tracing::info!(workers, max_connections, "ready");
    if !inherited.has_predecessor() {
        sd_notify::notify(Phase::Ready);
    }
    inherited.notify();
    ready();
    drop(guard);
    let stopped = runtime.block_on(supervise(signals, &process, reports));
    // Does not wait for plugins that are still being loaded.
    runtime.shutdown_background();
    stopped
}

fn serve_admin(process: &Process, listeners: Vec<admin::Listener>) {
    let (sender, requests) = mpsc::channel(admin::MAX_PROCESS_REQUESTS);
    let admin = Admin::new(process.control().clone(), sender);
    tokio::spawn(process.clone().handle(requests));
    for listener in listeners {
        tokio::spawn(admin::serve(listener, admin.clone()));
    }
}

/// So that loading a plugin takes no time from requests. A thread that cannot lower its priority
/// loads all the same.
fn lower_priority() {
    let own = rustix::thread::gettid();
    let _ = rustix::process::setpriority_process(Some(own), LOADER_NICENESS);
}
