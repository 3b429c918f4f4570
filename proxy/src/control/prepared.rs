//! A configuration with everything that it names: plugins loaded and tried out, servers'
//! names resolved.
//!
//! Created before the workers start, and again for each reload, off the worker threads. Keeps what
//! has not changed. Opens no socket and publishes nothing.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use thiserror::Error;
use tokio::sync::mpsc;

use super::orders;
use crate::config::{self, Config, Errors, Source};
use crate::plugin::{BackendName, BackendState, Backends, Compiler, EngineError};
use crate::rollout::loader::{ConfiguredBackends, Load, Loaded, Loader, VersionError};
use crate::rollout::ticket::Ticket;
use crate::rollout::versions::{Cause, Published, Versions};
use crate::router::version::WorkerEvent;
use crate::sites::{Committed, Mistake, PreparedSites, Sites};
use crate::transport::tls::{Identity, TicketError};
use crate::upstream::{Cluster, ClusterConfig, Keeper, KeeperInputs, Preparation, ServerError};

/// A configuration that can be put into service.
#[derive(Debug)]
pub struct Prepared {
    pub(super) config: Config,
    source: Source,
    pub(super) clusters: Vec<ClusterConfig>,
    /// Of the process.
    pub(super) sites: Arc<Sites>,
    /// Until they are committed.
    next_sites: Option<PreparedSites>,
    /// Certificates of sites that order them, which were on disk.
    stored: Vec<(String, Identity)>,
    live: Arc<dyn Backends>,
    /// In the order of the frontends.
    pub(super) routers: Vec<Option<Routing>>,
    loader: Option<Arc<Loader>>,
    compiler: Compiler,
    events: Events,
    pub(super) keeper: Keeper,
    /// Until it runs.
    keeper_inputs: Option<KeeperInputs>,
    /// When it was requested.
    order: Ticket,
    /// When the configuration was requested that it was prepared to follow.
    base: Ticket,
}

/// The channel of the workers' events.
#[derive(Debug)]
struct Events {
    sender: mpsc::UnboundedSender<WorkerEvent>,
    /// None after the first configuration.
    receiver: Option<mpsc::UnboundedReceiver<WorkerEvent>>,
}

/// The router of a frontend.
#[derive(Debug)]
pub(super) enum Routing {
    /// Nothing that it depends on has changed, or a later request has given it its version. Then
    /// this is the SHA-256 of the configured file, which that version was preferred to.
    Kept(Option<String>),
    /// It is made anew.
    New(Box<NewRouter>),
}

/// A version for a router.
#[derive(Debug)]
pub(super) struct NewRouter {
    pub(super) loaded: Loaded,
    /// Its configuration.
    pub(super) router: config::Router,
    /// The configured file's SHA-256.
    pub(super) file: String,
    pub(super) cause: Cause,
    /// The request that brought that version.
    pub(super) order: Ticket,
    /// The version that it was prepared to follow.
    pub(super) base: Option<Base>,
}

/// A router's version at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Base {
    order: Ticket,
    active: u32,
}

/// The configuration in force, with what the next one may keep.
#[derive(Debug, Clone)]
pub(super) struct ActiveConfig {
    /// When it was requested.
    pub(super) order: Ticket,
    pub(super) config: Config,
    pub(super) clusters: Vec<Arc<Cluster>>,
    pub(super) sites: Arc<Sites>,
    pub(super) live: Arc<dyn Backends>,
    pub(super) versions: Versions,
    pub(super) loader: Option<Arc<Loader>>,
    pub(super) compiler: Compiler,
    pub(super) keeper: Keeper,
    pub(super) events: mpsc::UnboundedSender<WorkerEvent>,
    /// Number of workers; the machine's number of cores may have changed since.
    pub(super) workers: usize,
}

/// Why a configuration cannot be run.
#[derive(Debug, Error)]
pub enum PrepareError {
    /// Something it names is missing or does not fit; every mistake is listed.
    #[error("{0}")]
    Config(Errors),
    /// Plugins cannot run on this machine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// There are no random numbers for TLS.
    #[error(transparent)]
    Tickets(#[from] TicketError),
    /// A version was put on trial while a reload that would end the trial was prepared.
    #[error(
        "version {version} of frontend `{frontend}` was put on trial meanwhile, and this reload \
         would end the trial: reload again to do that"
    )]
    OnTrial {
        /// The frontend's name.
        frontend: String,
        /// The version on trial.
        version: u32,
    },
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

    /// The same for a configuration that follows `active`, and was requested at `order`.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`PrepareError::OnTrial`].
    pub(super) fn after(
        config: Config,
        source: Source,
        active: &ActiveConfig,
        order: Ticket,
    ) -> Result<Prepared, PrepareError> {
        Prepared::following(config, source, active.compiler, Some((active, order)))
    }

    fn following(
        config: Config,
        source: Source,
        compiler: Compiler,
        after: Option<(&ActiveConfig, Ticket)>,
    ) -> Result<Prepared, PrepareError> {
        let (active, order) = after.unzip();
        let order = order.unwrap_or(Ticket::START);
        let mut mistakes = Mistakes(None);
        let workers = active.map_or_else(|| config.worker_count(), |active| active.workers);
        let (keeper, keeper_inputs) = if let Some(active) = active {
            (active.keeper.clone(), None)
        } else {
            let (keeper, inputs) = Keeper::new();
            (keeper, Some(inputs))
        };
        let known = active.map_or(&[][..], |active| &active.clusters);
        let clusters = resolve(&config, &source, &keeper, workers, known, &mut mistakes);
        let sites = match active {
            Some(active) => Arc::clone(&active.sites),
            None => Sites::try_new()?,
        };
        let next_sites = match sites.prepare(&config, SystemTime::now()) {
            Ok(prepared) => Some(prepared),
            Err(found) => {
                for mistake in found {
                    mistakes.record(locate_certificate(&config, &source, &mistake));
                }
                None
            }
        };
        for found in orders::check(&config, &source) {
            mistakes.record(found);
        }
        let stored = orders::stored(&config, active.map(|active| &active.config));
        let live: Arc<dyn Backends> = match active {
            // Nothing that `configure` could ask about backends has changed.
            Some(active) if has_same_names(&active.config, &config) => Arc::clone(&active.live),
            _ if clusters.len() == config.backends.len() => Arc::new(LiveBackends::new(&clusters)),
            // One of them has no address: plugins are only tried out.
            _ => Arc::new(ConfiguredBackends::new(&config)),
        };
        // Without a plugin there is nothing to reserve address space for.
        let has_router = config.frontends.iter().any(|front| front.router.is_some());
        let loader = active.and_then(|active| active.loader.clone());
        let loader = match loader.filter(|loader| loader.has_room_for(&config)) {
            // Everything moves to another engine, so that the one before goes: each reserves much
            // address space.
            None if has_router => Some(Arc::new(Loader::try_new(&config, workers, compiler)?)),
            loader => loader,
        };
        let (sender, receiver) = mpsc::unbounded_channel();
        let events = Events {
            receiver: active.is_none().then_some(receiver),
            sender: active.map_or(sender, |active| active.events.clone()),
        };
        let mut routers = Vec::new();
        for frontend in &config.frontends {
            let (Some(loader), Some(router)) = (&loader, &frontend.router) else {
                routers.push(None);
                continue;
            };
            let load = Load {
                frontend: &frontend.name,
                router,
                plugin: &router.plugin,
                source: None,
                backends: Arc::clone(&live),
                events: Some(events.sender.clone()),
            };
            let old = active.and_then(|active| active.config.frontend(&frontend.name));
            let known = active.and_then(|active| active.versions.published(&frontend.name));
            let known = known.map(|published| InService {
                published,
                has_same_router: old.is_some_and(|old| old.router.as_ref() == Some(router)),
                has_same_backends: active.is_some_and(|active| Arc::ptr_eq(&active.live, &live)),
            });
            match route(loader, load, known, order) {
                Ok(routing) => routers.push(Some(routing)),
                Err(RouteError::Version(error)) => {
                    mistakes.record(locate(&source, &frontend.name, &error));
                }
                Err(RouteError::OnTrial(version)) => {
                    let frontend = frontend.name.clone();
                    return Err(PrepareError::OnTrial { frontend, version });
                }
            }
        }
        match mistakes.0 {
            Some(errors) => Err(PrepareError::Config(errors)),
            None => Ok(Prepared {
                config,
                source,
                clusters,
                sites,
                next_sites,
                stored,
                live,
                routers,
                loader,
                compiler,
                events,
                keeper,
                keeper_inputs,
                order,
                base: active.map_or(Ticket::START, |active| active.order),
            }),
        }
    }

    /// Whether `active` is what it was prepared to follow.
    pub(super) fn is_current(&self, active: &ActiveConfig) -> bool {
        let mut routers = self.config.frontends.iter().zip(&self.routers);
        self.base == active.order
            && routers.all(|(frontend, routing)| match routing {
                None | Some(Routing::Kept(_)) => true,
                Some(Routing::New(new)) => {
                    let now = active.versions.published(&frontend.name);
                    new.base == now.map(Base::of)
                }
            })
    }

    /// Puts its certificates into force.
    pub(super) fn commit_sites(&mut self) -> Committed {
        let committed = match self.next_sites.take() {
            Some(prepared) => self.sites.commit(prepared),
            None => Committed::InForce,
        };
        if committed == Committed::InForce {
            for (name, identity) in self.stored.drain(..) {
                // The configuration has it.
                let _ = self.sites.put(&name, identity);
            }
        }
        committed
    }

    /// The certificates of the process.
    pub fn sites(&self) -> &Sites {
        &self.sites
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The workers' events, once; None for a configuration that follows another.
    pub fn take_events(&mut self) -> Option<mpsc::UnboundedReceiver<WorkerEvent>> {
        self.events.receiver.take()
    }

    /// The keeper's inputs, once; None for a configuration that follows another.
    pub fn take_keeper(&mut self) -> Option<KeeperInputs> {
        self.keeper_inputs.take()
    }

    /// Has the keeper look after its servers.
    pub(super) fn keep(&self) {
        let clusters = self.clusters.iter();
        let clusters = clusters.map(|config| Arc::clone(&config.cluster)).collect();
        self.keeper.keep(clusters);
    }

    /// Loads versions of this configuration; None without any router.
    pub(super) fn loader(&self) -> Option<&Loader> {
        self.loader.as_deref()
    }

    /// The configuration in force, once `workers` have its routers.
    pub(super) fn activate(self, versions: Versions, workers: usize) -> (ActiveConfig, Source) {
        let active = ActiveConfig {
            order: self.order,
            config: self.config,
            clusters: self.clusters.into_iter().map(|one| one.cluster).collect(),
            keeper: self.keeper,
            sites: self.sites,
            live: self.live,
            versions,
            loader: self.loader,
            compiler: self.compiler,
            events: self.events.sender,
            workers,
        };
        (active, self.source)
    }
}

/// Every mistake that was found so far.
struct Mistakes(Option<Errors>);

impl Mistakes {
    fn record(&mut self, found: Errors) {
        match &mut self.0 {
            Some(errors) => errors.merge(found),
            None => self.0 = Some(found),
        }
    }
}

impl Base {
    fn of(published: &Published) -> Base {
        Base {
            order: published.order,
            active: published.active.number(),
        }
    }
}

/// The version in service of a frontend that stays.
#[derive(Clone, Copy)]
struct InService<'a> {
    published: &'a Published,
    has_same_router: bool,
    has_same_backends: bool,
}

/// Why a frontend gets no router.
enum RouteError {
    Version(VersionError),
    /// With the number of the version on trial.
    OnTrial(u32),
}

impl From<VersionError> for RouteError {
    fn from(error: VersionError) -> RouteError {
        RouteError::Version(error)
    }
}

fn route(
    loader: &Loader,
    load: Load<'_>,
    known: Option<InService<'_>>,
    order: Ticket,
) -> Result<Routing, RouteError> {
    let file = loader.read(load.plugin)?;
    let sha256 = file.sha256();
    let router = load.router.clone();
    let Some(known) = known else {
        let new = NewRouter {
            loaded: loader.load_file(file, load)?,
            router,
            file: sha256,
            cause: if order == Ticket::START {
                Cause::Start
            } else {
                Cause::Reload
            },
            order,
            base: None,
        };
        return Ok(Routing::New(Box::new(new)));
    };
    let published = known.published;
    let plugin = published.active.plugin();
    let is_later = published.order > order;
    // The active version was requested, or is the result of a rollback.
    if is_later || known.has_same_router && sha256 == published.file.accepted {
        // A trial goes on, and the reload after it moves the router.
        let may_stay = loader.has(plugin) || published.rollout.is_some();
        if known.has_same_backends && may_stay && !published.active.is_failing() {
            return Ok(Routing::Kept(is_later.then_some(sha256)));
        }
        if let (true, Some((rollout, _))) = (is_later, &published.rollout) {
            return Err(RouteError::OnTrial(rollout.version().number()));
        }
        let router = published.router.clone();
        let load = Load {
            router: &router,
            source: Some(published.active.source().to_owned()),
            ..load
        };
        let loaded = if Loader::fits(plugin, &load) || sha256 != published.active.sha256() {
            loader.start(plugin, load)?
        } else {
            loader.load_file(file, load)?
        };
        let new = NewRouter {
            loaded,
            router,
            file: sha256,
            cause: published.cause,
            order: published.order,
            base: Some(Base::of(published)),
        };
        return Ok(Routing::New(Box::new(new)));
    }
    let loaded = if sha256 == published.active.sha256() && Loader::fits(plugin, &load) {
        loader.start(plugin, load)?
    } else {
        loader.load_file(file, load)?
    };
    let new = NewRouter {
        loaded,
        router,
        file: sha256,
        cause: Cause::Reload,
        order,
        base: Some(Base::of(published)),
    };
    Ok(Routing::New(Box::new(new)))
}

fn resolve(
    config: &Config,
    source: &Source,
    keeper: &Keeper,
    workers: usize,
    known: &[Arc<Cluster>],
    mistakes: &mut Mistakes,
) -> Vec<ClusterConfig> {
    let known: HashMap<&str, &Arc<Cluster>> = known
        .iter()
        .map(|cluster| (&**cluster.name(), cluster))
        .collect();
    let mut clusters = Vec::new();
    let mut preparation = Preparation::of(&config.backends, &known);
    for backend in &config.backends {
        let cluster = known.get(backend.name.as_str()).copied();
        match ClusterConfig::load(backend, &mut preparation, cluster, workers, keeper) {
            Ok(found) => clusters.push(found),
            Err(error) => mistakes.record(locate_server(source, &backend.name, &error)),
        }
    }
    clusters
}

/// Where in the file an error of a server belongs.
fn locate_server(source: &Source, backend: &str, error: &ServerError) -> Errors {
    match error {
        ServerError::Resolve {
            server,
            source: reason,
        } => {
            let key = ["backend", backend, "server", server];
            source.key_error(&key, &format!("{error}: {reason}"), None)
        }
        ServerError::File(errors) => errors.clone(),
        ServerError::Twice { .. } => {
            let key = ["backend", backend, "servers_file"];
            source.key_error(
                &key,
                &error.to_string(),
                Some("give one of them another name"),
            )
        }
        ServerError::Tls {
            server,
            source: reason,
        } => {
            let key = ["backend", backend, "server", server, "tls", reason.key];
            let key = if reason.key.is_empty() {
                &key[..5]
            } else {
                &key[..]
            };
            source.key_error(key, &error.to_string(), None)
        }
    }
}

/// Whether the backends of both have the same names, in whatever order.
fn has_same_names(active: &Config, now: &Config) -> bool {
    let [active, now] = [active, now].map(|config| -> BTreeSet<&str> {
        let backends = config.backends.iter();
        backends.map(|backend| backend.name.as_str()).collect()
    });
    active == now
}

/// Where in the file a plugin's error belongs.
pub fn locate(source: &Source, frontend: &str, error: &VersionError) -> Errors {
    match error {
        VersionError::Configure(message) => source.plugin_error(frontend, message),
        error => {
            let key = ["frontend", frontend, "router", "plugin"];
            let help = match error {
                VersionError::Read(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    Some(
                        "the user that the proxy runs as reads it: let that user read the file, and search its folders",
                    )
                }
                _ => None,
            };
            source.key_error(&key, &error.to_string(), help)
        }
    }
}

/// Where in the file the mistake of a certificate belongs.
fn locate_certificate(config: &Config, source: &Source, mistake: &Mistake) -> Errors {
    let site = mistake.site.as_str();
    let is_list = source.has_key(&["tls", site, "certificates"]);
    let clients = config
        .tls(site)
        .and_then(|tls| tls.client_certificates.as_ref());
    let crls = clients.map_or(0, |clients| clients.crl.len());
    let keys = mistake.place.keys(is_list, crls);
    let keys = ["tls", site]
        .into_iter()
        .chain(keys.iter().map(String::as_str));
    let keys: Vec<&str> = keys.collect();
    let advice = mistake.error.advice(config.user.as_deref());
    source.key_error(&keys, &mistake.error.to_string(), advice.as_deref())
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
