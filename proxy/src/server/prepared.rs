//! A configuration with everything that it names: plugins loaded and tried out, servers'
//! names resolved.
//!
//! Made before the workers start, and again for each reload, off the workers' threads. What
//! has not changed is taken over as it is. Opens no socket and publishes nothing.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::mpsc;

use crate::config::{self, Config, Errors, Source};
use crate::plugin::{BackendName, BackendState, Backends, Compiler, EngineError};
use crate::router::trial::Trial;
use crate::router::version::{Notice, Version};
use crate::router::versions::{ConfiguredBackends, Load, Loaded, Loader, VersionError};
use crate::upstream::{Cluster, ClusterConfig};

/// A configuration that can be put into service.
#[derive(Debug)]
pub struct Prepared {
    pub(super) config: Config,
    pub(super) source: Source,
    pub(super) clusters: Vec<ClusterConfig>,
    pub(super) live: Arc<dyn Backends>,
    /// In the order of the frontends.
    pub(super) routers: Vec<Option<Routing>>,
    pub(super) loader: Option<Arc<Loader>>,
    pub(super) compiler: Compiler,
    pub(super) notices: Notices,
}

/// Where workers' notices come and go.
#[derive(Debug)]
pub(super) struct Notices {
    pub(super) sender: mpsc::UnboundedSender<Notice>,
    /// None after the first configuration.
    pub(super) receiver: Option<mpsc::UnboundedReceiver<Notice>>,
}

/// The router of a frontend.
#[derive(Debug)]
pub(super) enum Routing {
    /// As it was: nothing that it hangs on has changed.
    Kept,
    /// Another, or the first, with its configuration and the configured file's SHA-256.
    New(Loaded, config::Router, String),
}

/// What is in force, as far as the next configuration may take it over.
#[derive(Debug, Clone)]
pub(super) struct Before {
    pub(super) config: Config,
    pub(super) clusters: Vec<ClusterConfig>,
    pub(super) live: Arc<dyn Backends>,
    pub(super) versions: HashMap<String, Numbered>,
    pub(super) loader: Option<Arc<Loader>>,
    pub(super) compiler: Compiler,
    pub(super) notices: mpsc::UnboundedSender<Notice>,
    /// How many there are: what the machine would have now may be another number.
    pub(super) workers: usize,
}

/// The version in service of a frontend.
#[derive(Debug, Clone)]
pub(super) struct Numbered {
    pub(super) active: Arc<Version>,
    /// What it was configured with.
    pub(super) router: config::Router,
    /// The next one's number.
    pub(super) next: u32,
    /// SHA-256 of the configured file when it was last looked at. The active version may have
    /// come from elsewhere: as long as neither file nor configuration changes, it stays.
    pub(super) configured: String,
    /// A version on trial beside the active one, with its configuration.
    pub(super) candidate: Option<(Arc<Trial>, config::Router)>,
}

impl Numbered {
    /// Whether the other is the same component with the same configuration.
    pub(super) fn is_same_as(&self, other: &Numbered) -> bool {
        self.active.sha256() == other.active.sha256() && self.router == other.router
    }
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
    pub fn new(
        config: Config,
        source: Source,
        compiler: Compiler,
    ) -> Result<Prepared, PrepareError> {
        Prepared::following(config, source, compiler, None)
    }

    /// The same for what comes after `before`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(super) fn after(
        config: Config,
        source: Source,
        before: &Before,
    ) -> Result<Prepared, PrepareError> {
        Prepared::following(config, source, before.compiler, Some(before))
    }

    fn following(
        config: Config,
        source: Source,
        compiler: Compiler,
        before: Option<&Before>,
    ) -> Result<Prepared, PrepareError> {
        let mut mistakes = Mistakes(None);
        let workers = before.map_or_else(|| config.worker_count(), |before| before.workers);
        let clusters = resolve(&config, &source, workers, before, &mut mistakes);
        let live: Arc<dyn Backends> = match before {
            // Nothing that `configure` may have learnt of backends has changed.
            Some(before) if has_same_names(&before.config, &config) => Arc::clone(&before.live),
            _ if clusters.len() == config.backends.len() => Arc::new(LiveBackends::new(&clusters)),
            // One of them has no address: plugins are only tried out.
            _ => Arc::new(ConfiguredBackends::new(&config)),
        };
        // Without a plugin there is nothing to reserve address space for.
        let has_router = config.frontends.iter().any(|front| front.router.is_some());
        let loader = match before.and_then(|before| before.loader.clone()) {
            None if has_router => Some(Arc::new(Loader::try_new(&config, workers, compiler)?)),
            loader => loader,
        };
        let (sender, receiver) = mpsc::unbounded_channel();
        let notices = Notices {
            receiver: before.is_none().then_some(receiver),
            sender: before.map_or(sender, |before| before.notices.clone()),
        };
        let mut routers = Vec::new();
        for frontend in &config.frontends {
            let routing = match (&loader, &frontend.router) {
                (Some(loader), Some(router)) => {
                    let numbered = before.and_then(|before| before.versions.get(&frontend.name));
                    let load = Load {
                        frontend: &frontend.name,
                        router,
                        plugin: &router.plugin,
                        source: None,
                        number: numbered.map_or(1, |numbered| numbered.next),
                        backends: Arc::clone(&live),
                        notices: Some(notices.sender.clone()),
                    };
                    let old = before.and_then(|before| before.config.frontend(&frontend.name));
                    let has_same_router =
                        old.is_some_and(|old| old.router.as_ref() == Some(router));
                    let has_same_backends =
                        before.is_some_and(|before| Arc::ptr_eq(&before.live, &live));
                    route(loader, load, numbered, has_same_router, has_same_backends)
                        .map_err(|error| {
                            mistakes.note(locate(&source, &frontend.name, &error));
                        })
                        .ok()
                }
                _ => None,
            };
            routers.push(routing);
        }
        match mistakes.0 {
            Some(errors) => Err(PrepareError::Config(errors)),
            None => Ok(Prepared {
                config,
                source,
                clusters,
                live,
                routers,
                loader,
                compiler,
                notices,
            }),
        }
    }
}

impl Prepared {
    /// What it is once its routers have been given to so many workers, as `versions`.
    pub(super) fn released(
        self,
        versions: HashMap<String, Numbered>,
        workers: usize,
    ) -> (Before, Source) {
        let before = Before {
            config: self.config,
            clusters: self.clusters,
            live: self.live,
            versions,
            loader: self.loader,
            compiler: self.compiler,
            notices: self.notices.sender,
            workers,
        };
        (before, self.source)
    }
}

/// Every mistake that was found so far.
struct Mistakes(Option<Errors>);

impl Mistakes {
    fn note(&mut self, found: Errors) {
        match &mut self.0 {
            Some(errors) => errors.merge(found),
            None => self.0 = Some(found),
        }
    }
}

fn route(
    loader: &Loader,
    load: Load<'_>,
    numbered: Option<&Numbered>,
    has_same_router: bool,
    has_same_backends: bool,
) -> Result<Routing, VersionError> {
    let file = Loader::read(load.plugin)?;
    let sha256 = file.sha256();
    let router = load.router.clone();
    let loaded = match numbered {
        // Whatever is active was wanted, or is what there was to go back to.
        Some(numbered) if has_same_router && sha256 == numbered.configured => {
            if has_same_backends && !numbered.active.is_failing() {
                return Ok(Routing::Kept);
            }
            let router = numbered.router.clone();
            let load = Load {
                router: &router,
                source: Some(numbered.active.source().to_owned()),
                ..load
            };
            let plugin = numbered.active.plugin();
            let loaded = if Loader::fits(plugin, &load) || sha256 != numbered.active.sha256() {
                loader.start(plugin.clone(), load)?
            } else {
                loader.load_file(file, load)?
            };
            return Ok(Routing::New(loaded, router, sha256));
        }
        Some(numbered)
            if sha256 == numbered.active.sha256()
                && Loader::fits(numbered.active.plugin(), &load) =>
        {
            loader.start(numbered.active.plugin().clone(), load)?
        }
        _ => loader.load_file(file, load)?,
    };
    Ok(Routing::New(loaded, router, sha256))
}

fn resolve(
    config: &Config,
    source: &Source,
    workers: usize,
    before: Option<&Before>,
    mistakes: &mut Mistakes,
) -> Vec<ClusterConfig> {
    let before = before.map_or(&[][..], |before| &before.clusters);
    let before: HashMap<&str, &Arc<Cluster>> = before
        .iter()
        .map(|known| (&**known.cluster.name(), &known.cluster))
        .collect();
    let mut clusters = Vec::new();
    for backend in &config.backends {
        let known = before.get(backend.name.as_str()).copied();
        match ClusterConfig::resolve(backend, known, workers) {
            Ok(found) => clusters.push(found),
            Err(error) => {
                let key = ["backend", &backend.name, "server", &error.server];
                let message = format!("{error}: {}", error.source);
                mistakes.note(source.key_error(&key, &message, None));
            }
        }
    }
    clusters
}

/// Whether the backends of both have the same names, in whatever order.
fn has_same_names(before: &Config, now: &Config) -> bool {
    let [before, now] = [before, now].map(|config| -> BTreeSet<&str> {
        let backends = config.backends.iter();
        backends.map(|backend| backend.name.as_str()).collect()
    });
    before == now
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

/// The backends in service, as plugins see them.
#[derive(Debug)]
struct LiveBackends(HashMap<BackendName, Arc<Cluster>>);

impl LiveBackends {
    fn new(clusters: &[ClusterConfig]) -> LiveBackends {
        let clusters = clusters.iter().map(|config| &config.cluster);
        let named = clusters.map(|cluster| (Arc::clone(cluster.name()), Arc::clone(cluster)));
        LiveBackends(named.collect())
    }
}

impl Backends for LiveBackends {
    fn find(&self, name: &str) -> Option<BackendName> {
        let (name, _) = self.0.get_key_value(name)?;
        Some(BackendName::clone(name))
    }

    fn state(&self, name: &str) -> Option<BackendState> {
        let backend = self.0.get(name)?;
        Some(BackendState {
            usable_servers: backend.usable_servers(),
            active: backend.active(),
            queued: backend.queued(),
        })
    }

    fn servers(&self, name: &str) -> Option<u32> {
        self.0.get(name).map(|backend| backend.server_count())
    }
}
