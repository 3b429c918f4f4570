//! What is in force, and how it is changed while the workers serve: another version of a
//! plugin, one of those before, another configuration.
//!
//! One change at a time. All that takes long (compiling, resolving, trying out) happens on a
//! thread of low priority; the workers get the finished thing and take it up between two
//! requests. A change that fails at any step changes nothing. Called by the signals, the
//! watcher, the admin interface, and the workers' notices.

mod notices;
mod plans;
mod state;
mod trials;
mod upgrade;
mod view;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use thiserror::Error;
use tokio::sync::{mpsc, watch};

pub(super) use self::plans::{Released, plans};
pub use self::state::{Past, PastEnd, Reloads};
use self::state::{State, Task};
pub use self::view::RouterState;
use super::ServerError;
use super::inheritance::UpgradeError;
use super::manager::{self, Phase};
use super::prepared::{PrepareError, Prepared};
use super::sockets::{Bound, Sockets};
use crate::config::{self, PluginSource};
use crate::places::Places;
use crate::router::Change;
use crate::router::version::Version;
use crate::router::versions::{Load, Loaded, Loader, VersionError};
use crate::telemetry::Telemetry;
use crate::worker::{Command, Order};

/// The process's controls. A clone is the same ones.
#[derive(Debug, Clone)]
pub struct Control(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// Held from the beginning of a change to its end.
    changing: tokio::sync::Mutex<()>,
    workers: Vec<mpsc::UnboundedSender<Command>>,
    order: watch::Sender<Order>,
    telemetry: Arc<Telemetry>,
    places: Arc<Places>,
    started: SystemTime,
    /// The process that has taken over.
    successor: watch::Sender<Option<u32>>,
}

/// Why nothing was changed.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// No such frontend, or one without a router.
    #[error("there is no frontend `{0}` with a router")]
    NoRouter(String),
    /// No version is on trial.
    #[error("frontend `{0}` has no version on trial")]
    NoTrial(String),
    /// Nothing to go back to.
    #[error("frontend `{0}` has no such version to go back to; `plugins` lists them")]
    NoVersion(String),
    /// The plugin cannot serve.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// The configuration is wrong.
    #[error("{0}")]
    Config(config::Errors),
    /// What the configuration names is wrong.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// A socket could not be bound.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// What was loaded led to a panic, of a compiler say: a fault of this program.
    #[error("a fault of the proxy itself: {0}")]
    Panicked(String),
    /// The version on trial has had too many faults.
    #[error("the version on trial of frontend `{0}` fails: its trial ends by itself")]
    Failing(String),
    /// No other process has taken over.
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    /// The process is stopping.
    #[error("the process is stopping")]
    Stopping,
}

impl Control {
    /// The controls of a process whose workers run with `prepared`.
    pub(super) fn new(
        prepared: Prepared,
        sockets: Sockets,
        workers: Vec<mpsc::UnboundedSender<Command>>,
        order: watch::Sender<Order>,
        telemetry: Arc<Telemetry>,
        places: Arc<Places>,
        released: Released,
    ) -> Control {
        let (before, source) = prepared.released(released.versions, workers.len());
        Control(Arc::new(Inner {
            state: Mutex::new(State {
                before,
                answers: released.answers,
                source,
                history: HashMap::new(),
                sockets,
                reloads: Reloads::default(),
            }),
            changing: tokio::sync::Mutex::new(()),
            workers,
            order,
            telemetry,
            places,
            started: SystemTime::now(),
            successor: watch::Sender::new(None),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is written in one go.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts to drain, as SIGTERM does.
    pub fn drain(&self) {
        self.0.order.send_if_modified(|order| {
            let is_serving = *order == Order::Serve;
            if is_serving {
                *order = Order::Drain;
            }
            is_serving
        });
    }

    pub(super) fn orders(&self) -> &watch::Sender<Order> {
        &self.0.order
    }

    /// Puts the component of `plugin` into service for `frontend`, or the configured one.
    ///
    /// # Errors
    /// [`ChangeError`]; then the version before goes on.
    pub async fn swap(
        &self,
        frontend: &str,
        plugin: Option<PluginSource>,
    ) -> Result<Arc<Version>, ChangeError> {
        let _changing = self.changing().await?;
        let (loaded, router) = self.load(frontend, plugin).await?;
        Ok(self.publish(frontend, loaded, router, PastEnd::Replaced))
    }

    /// Puts the configured file into service if it is another than when it was last looked
    /// at.
    ///
    /// # Errors
    /// As [`swap`](Self::swap).
    pub async fn refresh(&self, frontend: &str) -> Result<Option<Arc<Version>>, ChangeError> {
        let _changing = self.changing().await?;
        let task = self.task(frontend)?;
        let (file, task) = blocking(move || {
            let file = Loader::read(&task.router.plugin)?;
            Ok::<_, VersionError>((file, task))
        })
        .await??;
        let sha256 = file.sha256();
        // Also where it is refused now: once is enough.
        if !self.state().note_file(frontend, sha256) {
            return Ok(None);
        }
        let router = task.router.clone();
        let loaded = blocking(move || {
            let load = task.load(&task.router.plugin, task.next);
            task.loader.load_file(file, load)
        })
        .await??;
        Ok(Some(self.publish(
            frontend,
            loaded,
            router,
            PastEnd::Replaced,
        )))
    }

    /// Goes back to the version of this number, or to the last one that worked.
    ///
    /// # Errors
    /// As [`swap`](Self::swap), and where there is no such version.
    pub async fn rollback(
        &self,
        frontend: &str,
        number: Option<u32>,
    ) -> Result<Arc<Version>, ChangeError> {
        let _changing = self.changing().await?;
        self.go_back(frontend, number, PastEnd::Replaced).await
    }

    async fn go_back(
        &self,
        frontend: &str,
        number: Option<u32>,
        end: PastEnd,
    ) -> Result<Arc<Version>, ChangeError> {
        let task = self.task(frontend)?;
        let past = self.state().find_past(frontend, number);
        let past = past.ok_or_else(|| ChangeError::NoVersion(frontend.to_owned()))?;
        let router = past.router.clone();
        let loaded = blocking(move || {
            let Past {
                version, router, ..
            } = past;
            // As it was configured then, among the backends that there are now.
            let load = Load {
                router: &router,
                source: Some(version.source().to_owned()),
                ..task.load(&router.plugin, version.number())
            };
            task.loader.start(version.plugin().clone(), load)
        })
        .await??;
        Ok(self.publish(frontend, loaded, router, end))
    }

    /// Reads the configuration file again and puts it into force.
    ///
    /// # Errors
    /// [`ChangeError`]; then nothing has changed.
    pub async fn reload(&self) -> Result<(), ChangeError> {
        let _changing = self.changing().await?;
        manager::tell(Phase::Reloading);
        let result = self.apply().await;
        manager::tell(Phase::Ready);
        let reloads = &mut self.state().reloads;
        match &result {
            Ok(()) => reloads.applied += 1,
            Err(_) => reloads.refused += 1,
        }
        result
    }

    async fn apply(&self) -> Result<(), ChangeError> {
        // A rotated log file is let go, whatever becomes of the configuration.
        self.0.telemetry.reopen();
        let (before, path) = {
            let state = self.state();
            (state.before.clone(), state.source.path().to_owned())
        };
        let prepared = blocking(move || {
            let (mut config, source) = config::load(&path).map_err(ChangeError::Config)?;
            plans::keep_what_takes_a_restart(&mut config, &before.config);
            Ok::<_, ChangeError>(Prepared::after(config, source, &before)?)
        })
        .await??;
        // Last of all, so that a mistake binds nothing, and so that the sockets are held here
        // for no longer than that, should the process begin to drain.
        let known = self.state().sockets.known().clone();
        let workers = self.workers();
        let (prepared, bound) = blocking(move || {
            let bound = known.bind(&prepared.config.frontends, workers)?;
            Ok::<_, ServerError>((prepared, bound))
        })
        .await??;
        self.0.telemetry.apply(&prepared.config.log);
        self.publish_all(prepared, bound);
        Ok(())
    }

    /// Waits for the change under way to end.
    async fn changing(&self) -> Result<tokio::sync::MutexGuard<'_, ()>, ChangeError> {
        let guard = self.0.changing.lock().await;
        match self.order() {
            Order::Serve => Ok(guard),
            Order::Drain | Order::Abort => Err(ChangeError::Stopping),
        }
    }

    fn task(&self, frontend: &str) -> Result<Task, ChangeError> {
        let task = self.state().task(frontend);
        task.ok_or_else(|| ChangeError::NoRouter(frontend.to_owned()))
    }

    /// Loads a plugin for a frontend: this, or the configured one.
    async fn load(
        &self,
        frontend: &str,
        plugin: Option<PluginSource>,
    ) -> Result<(Loaded, config::Router), ChangeError> {
        let task = self.task(frontend)?;
        let router = task.router.clone();
        let is_configured = plugin.is_none();
        let loaded = blocking(move || {
            let plugin = plugin.as_ref().unwrap_or(&task.router.plugin);
            task.loader.load(task.load(plugin, task.next))
        })
        .await??;
        if is_configured {
            let sha256 = loaded.version.sha256().to_owned();
            self.state().note_file(frontend, sha256);
        }
        Ok((loaded, router))
    }

    /// Tells each worker of one change.
    fn send(&self, frontend: &str, changes: impl IntoIterator<Item = Change>) {
        for (worker, change) in self.0.workers.iter().zip(changes) {
            // One that is gone is stopping.
            let _ = worker.send(Command::Router(frontend.to_owned(), change));
        }
    }

    /// Gives a version to every worker. They take it up between two requests.
    fn publish(
        &self,
        frontend: &str,
        loaded: Loaded,
        router: config::Router,
        end: PastEnd,
    ) -> Arc<Version> {
        let Loaded { version, instances } = loaded;
        let mut state = self.state();
        state.activate(frontend, &version, router, end);
        let replacements = instances
            .into_iter()
            .map(|instance| Change::Replace(Arc::clone(&version), instance));
        self.send(frontend, replacements);
        tracing::info!(
            frontend,
            plugin = version.plugin_name(),
            version = version.number(),
            sha256 = version.sha256(),
            source = version.source(),
            "plugin in service"
        );
        version
    }

    fn publish_all(&self, mut prepared: Prepared, mut bound: Bound) {
        let mut state = self.state();
        let (plans, released) = plans::plans(
            &prepared.config,
            std::mem::take(&mut prepared.routers),
            &mut bound,
            &prepared.clusters,
            self.0.workers.len(),
            Some((&state.before.versions, &state.answers)),
        );
        let history = &mut state.history;
        history.retain(|name, _| released.versions.contains_key(name));
        for (name, numbered) in &released.versions {
            let Some(old) = state.before.versions.get(name).cloned() else {
                continue;
            };
            if old.candidate.is_some() && numbered.candidate.is_none() {
                tracing::warn!(frontend = name, "the reload has ended the trial");
            }
            // Only restarted, among other backends say: nothing to go back to.
            if !old.is_same_as(numbered) {
                let end = if old.active.is_failing() {
                    PastEnd::Failed
                } else {
                    PastEnd::Replaced
                };
                state.remember(name, old, end);
            }
        }
        for (frontend, sockets) in prepared.config.frontends.iter().zip(&bound.frontends) {
            for address in &sockets.fresh {
                tracing::info!(frontend = frontend.name, address, "listening");
            }
        }
        for cluster in &prepared.clusters {
            cluster.publish();
        }
        for (worker, plan) in self.0.workers.iter().zip(plans) {
            let _ = worker.send(Command::Apply(plan));
        }
        state.sockets.replace(bound);
        (state.before, state.source) = prepared.released(released.versions, self.workers());
        state.answers = released.answers;
        tracing::info!("configuration in force");
    }

    /// The plugin files that are watched, each with its frontend.
    pub(super) fn watched(&self) -> Vec<(String, PathBuf)> {
        let state = self.state();
        let frontends = state.before.config.frontends.iter();
        let watched = frontends.filter_map(|frontend| {
            let router = frontend.router.as_ref().filter(|router| router.watch)?;
            match &router.plugin {
                PluginSource::File(path) => Some((frontend.name.clone(), path.clone())),
                PluginSource::Bundled(_) => None,
            }
        });
        watched.collect()
    }
}

/// Runs what takes long on a thread of its own, of low priority.
///
/// # Errors
/// `work` panicked.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ChangeError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| ChangeError::Panicked(error.to_string()))
}
