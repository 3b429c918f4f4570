//! Start of the process, from the command line to the first request: signals, sockets, privileges,
//! then plugins.
//!
//! Only work that needs root comes before the change to the configured user. Therefore plugins
//! never run as root if a user is configured. If the user lacks a permission, the start fails, not
//! the first reload.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::geteuid;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::admin_sockets;
use super::dedicated_thread;
use super::drain::{Stopped, supervise};
use super::error::StartError;
use super::handle::Process;
use super::inheritance::Inherited;
use super::limits;
use super::privileges::{Account, give_up_bind_right};
use super::sd_notify::{self, Phase};
use super::signals::Signals;
use super::sockets::{Bound, Sockets};
use super::survey::Survey;
use super::user_files;
use super::workers::{Shared, Threads};
use crate::admin::{self, Admin};
use crate::config::Config;
use crate::connection_limiter::ConnectionLimiter;
use crate::control::{Control, Handles, Prepared};
use crate::telemetry::Telemetry;
use crate::worker::DrainState;

/// Niceness of the threads that load plugins. A compilation that gets no CPU time at idle priority
/// is repeated with this niceness. It gives a thread a third of a worker's weight, so that requests
/// do not wait.
const LOADER_NICENESS: i32 = 5;

/// Maximum time for a predecessor to stop accepting. Until then, the predecessor would get some of
/// the requests that an ACME server sends for an order of this process.
const HANDOVER_TIME: Duration = Duration::from_secs(2);

/// A process that is starting. From now on, no signal kills it midway: a signal to stop ends the
/// start in an orderly way, and signals to reload or upgrade are handled once the process serves.
pub struct Start {
    runtime: Runtime,
    signals: Signals,
    inherited: Inherited,
}

/// A process that has its sockets and has reduced its privileges.
pub struct Opened {
    start: Start,
    sockets: Sockets,
    bound: Bound,
    admin: Vec<admin::Listener>,
    workers: usize,
    max_connections: u32,
}

impl Start {
    /// Starts with what this process inherited.
    ///
    /// # Errors
    /// [`StartError::Start`].
    pub fn try_new(inherited: Inherited) -> Result<Start, StartError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .on_thread_start(|| {
                give_up_bind_right();
                lower_priority();
            })
            .build()
            .map_err(StartError::Start)?;
        let signals = {
            let _guard = runtime.enter();
            Signals::new().map_err(StartError::Start)?
        };
        Ok(Start {
            runtime,
            signals,
            inherited,
        })
    }

    /// Runs `work` on a dedicated thread that cannot bind privileged ports, and waits for it.
    /// Returns None after a signal to stop.
    ///
    /// # Errors
    /// [`StartError::Start`].
    pub fn wait_for<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Option<T>, StartError> {
        let work = move || {
            give_up_bind_right();
            work()
        };
        // If a signal stops the process meanwhile, the thread is abandoned.
        let result = dedicated_thread::run("start", work).map_err(StartError::Start)?;
        let signals = &mut self.signals;
        let has_predecessor = self.inherited.has_predecessor();
        self.runtime.block_on(async {
            tokio::select! {
                result = result => match result {
                    Ok(result) => Ok(Some(result)),
                    Err(_) => Err(StartError::Start(io::Error::other("internal error"))),
                },
                () = signals.stop_requested() => {
                    tracing::info!("stopped before it started to serve");
                    if !has_predecessor {
                        sd_notify::notify(Phase::Stopping);
                    }
                    Ok(None)
                }
            }
        })
    }

    /// Opens the sockets and changes to the configured user. From now on, clients can connect and
    /// wait in the backlog.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn open(mut self, config: &Config, survey: &Survey) -> Result<Opened, StartError> {
        let workers = config.worker_count();
        let max_connections = limits::raise(config.max_connections, workers, survey.addresses)?;
        let account = Account::find(config.user.as_deref(), config.group.as_deref())?;
        let mut sockets = Sockets::new(std::mem::take(&mut self.inherited.sockets));
        // Names are not resolved again: a slow name service would delay the handling of signals.
        let resolve = |host: &str, port| survey.resolved(host, port);
        let bound = sockets.known().bind(&config.frontends, workers, &resolve)?;
        let admin = {
            let _guard = self.runtime.enter();
            admin_sockets::bind(&config.admin, &mut sockets)?
        };
        user_files::create(config, &account)?;
        account.assume()?;
        Ok(Opened {
            start: self,
            sockets,
            bound,
            admin,
            workers,
            max_connections,
        })
    }
}

impl Opened {
    /// See [`Start::wait_for`].
    ///
    /// # Errors
    /// [`StartError::Start`].
    pub fn wait_for<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Option<T>, StartError> {
        self.start.wait_for(work)
    }

    /// Serves `prepared`, which must be of the configuration that this process was opened for.
    /// Returns after SIGTERM or SIGINT, or once another process has replaced this one after
    /// SIGUSR2. Calls `ready` once every worker has started.
    ///
    /// # Errors
    /// [`StartError`], before any connection is accepted.
    pub fn serve(
        self,
        mut prepared: Prepared,
        telemetry: Arc<Telemetry>,
        ready: impl FnOnce(),
    ) -> Result<Stopped, StartError> {
        let Opened {
            start,
            mut sockets,
            mut bound,
            admin,
            workers,
            max_connections,
        } = self;
        let Start {
            runtime,
            signals,
            mut inherited,
        } = start;
        if let Some(keys) = inherited.take_tickets()
            && let Err(error) = prepared.sites().ticket_keys().import(&keys)
        {
            tracing::warn!(%error, "inherited session ticket keys cannot be used: earlier TLS sessions are not resumed");
        }
        let guard = runtime.enter();
        warn_about_root(prepared.config());
        let events = prepared.take_events();
        let (changed, moves) = mpsc::unbounded_channel();
        if let Some(keeper) = prepared.take_keeper() {
            keeper
                .start(changed, give_up_bind_right)
                .map_err(StartError::Start)?;
        }
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
        let shared = Shared {
            drain: drain_state,
            limiter,
            max_connections,
        };
        let threads = Threads::start(configs, commands, &shared)?;
        for listeners in &bound.frontends {
            listeners.announce();
        }
        sockets.replace(bound);
        let process = Process::new(control.clone(), sockets, max_connections);
        // If one of these tasks fails, the process ends: without the task, the process would only
        // seem to work.
        let mut tasks = JoinSet::new();
        if let Some(events) = events {
            tasks.spawn(control.clone().handle_events(events));
        }
        tasks.spawn(control.clone().handle_moves(moves));
        tasks.spawn(control.clone().watch_files());
        tasks.spawn(control.clone().free_replaced_tables());
        tasks.spawn(control.clone().watch_expiry());
        serve_admin(&process, admin, &mut tasks);
        tracing::info!(workers, max_connections, "ready");
        if !inherited.has_predecessor() {
            sd_notify::notify(Phase::Ready);
        }
        let has_predecessor = inherited.has_predecessor();
        inherited.notify();
        tasks.spawn(order_certificates(control.clone(), has_predecessor));
        ready();
        drop(guard);
        let stopped = runtime.block_on(supervise(signals, &process, threads, tasks));
        // Does not wait for plugins that are still loading.
        runtime.shutdown_background();
        Ok(stopped)
    }
}

fn serve_admin(process: &Process, listeners: Vec<admin::Listener>, tasks: &mut JoinSet<()>) {
    let (sender, requests) = mpsc::channel(admin::MAX_PROCESS_REQUESTS);
    let admin = Admin::new(process.control().clone(), sender);
    tasks.spawn(process.clone().handle(requests));
    for listener in listeners {
        admin_sockets::announce(&listener);
        tasks.spawn(admin::serve(listener, admin.clone()));
    }
}

async fn order_certificates(control: Control, has_predecessor: bool) {
    if has_predecessor {
        tokio::time::sleep(HANDOVER_TIME).await;
    }
    control.order_certificates();
}

fn warn_about_root(config: &Config) {
    if !geteuid().is_root() {
        return;
    }
    if config.group.is_some() {
        tracing::warn!("running as root: `group` is set, but not `user`");
    } else {
        tracing::warn!(
            "running as root: set `user` and `group`, which take effect once the sockets are bound"
        );
    }
}

/// Lowers the priority of this thread, so that loading a plugin takes no time from requests. If
/// that fails, the thread loads plugins at its old priority.
fn lower_priority() {
    let own = rustix::thread::gettid();
    let _ = rustix::process::setpriority_process(Some(own), LOADER_NICENESS);
}
