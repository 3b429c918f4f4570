//! A configuration together with everything that it names: plugins that were loaded and tried out,
//! and server names that were resolved.
//!
//! Created before the workers start, and again for each reload, off the worker threads. Parts that
//! have not changed are reused. A cluster is identified by its backend's name. Servers and
//! endpoints are identified as in `upstream::cluster`. A version is identified by its frontend and
//! the name of its stage, whatever the stage's position in the router. Opens no socket and
//! publishes nothing.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use thiserror::Error;
use tokio::sync::mpsc;

use super::acme_sites;
use super::backends::LiveBackends;
use super::stages::{self, Base, OnTrial, PreparedStage};
use crate::config::{Config, Errors, Source};
use crate::plugin::{Backends, Compiler, EngineError};
use crate::rollout::backends::ConfiguredBackends;
use crate::rollout::loader::Loader;
use crate::rollout::ticket::Ticket;
use crate::rollout::versions::Versions;
use crate::router::version::WorkerEvent;
use crate::sites::{Committed, Mistake, PreparedSites, Sites};
use crate::tables::{Change, CommitCheck, PreparedTables, TableError, Tables};
use crate::transport::tls::{Identity, TicketError};
use crate::upstream::{Cluster, ClusterConfig, Keeper, KeeperInputs, Preparation, ServerError};

/// A configuration that can be put into service.
#[derive(Debug)]
pub struct Prepared {
    pub(super) config: Config,
    source: Source,
    pub(super) clusters: Vec<ClusterConfig>,
    /// The process's TLS sites, shared by all configurations.
    pub(super) sites: Arc<Sites>,
    /// Certificates to commit; None once they are committed.
    next_sites: Option<PreparedSites>,
    /// Certificates found on disk, for sites that get their certificates by ACME.
    stored: Vec<(String, Identity)>,
    live: Arc<dyn Backends>,
    pub(super) tables: Arc<Tables>,
    /// Tables to commit; None once they are committed.
    next_tables: Option<PreparedTables>,
    /// The stages of each frontend, in the order of the configuration.
    pub(super) routers: Vec<Vec<PreparedStage>>,
    loader: Option<Arc<Loader>>,
    compiler: Compiler,
    events: Events,
    pub(super) keeper: Keeper,
    /// Inputs of the keeper; None once it has been started.
    keeper_inputs: Option<KeeperInputs>,
    /// When this configuration was requested.
    order: Ticket,
    /// When the preceding configuration was requested.
    base: Ticket,
}

/// The channel for the workers' events.
#[derive(Debug)]
struct Events {
    sender: mpsc::UnboundedSender<WorkerEvent>,
    /// The receiving end; None except in the first configuration.
    receiver: Option<mpsc::UnboundedReceiver<WorkerEvent>>,
}

/// The configuration in force, with everything that the next one can reuse.
#[derive(Debug, Clone)]
pub(super) struct ActiveConfig {
    /// When it was requested.
    pub(super) order: Ticket,
    pub(super) config: Config,
    pub(super) clusters: Vec<Arc<Cluster>>,
    pub(super) sites: Arc<Sites>,
    /// The backends as plugins see them. Replaced if the names of the backends or the tables
    /// change; plugins are then configured again.
    pub(super) live: Arc<dyn Backends>,
    pub(super) tables: Arc<Tables>,
    pub(super) versions: Versions,
    pub(super) loader: Option<Arc<Loader>>,
    pub(super) compiler: Compiler,
    pub(super) keeper: Keeper,
    pub(super) events: mpsc::UnboundedSender<WorkerEvent>,
    /// Number of workers. Stored because the number of cores may have changed since the start.
    pub(super) workers: usize,
}

/// Reason why a configuration cannot run.
#[derive(Debug, Error)]
pub enum PrepareError {
    /// Something that the configuration names is missing or invalid. Contains every mistake.
    #[error("{0}")]
    Config(Errors),
    /// Plugins cannot run on this machine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Random numbers for TLS are not available.
    #[error(transparent)]
    Tickets(#[from] TicketError),
    /// A version was put on trial during the preparation of a reload that would end the trial.
    #[error(transparent)]
    OnTrial(#[from] OnTrial),
}

impl Prepared {
    /// Loads the plugins and resolves the names of a configuration. Blocks. Opens no socket.
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

    /// Prepares a configuration that follows `active`. `order` is the ticket of its request.
    /// Blocks.
    ///
    /// # Errors
    /// Same as [`new`](Self::new), and [`PrepareError::OnTrial`].
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
        for found in acme_sites::check(&config, &source) {
            mistakes.record(found);
        }
        let stored = acme_sites::stored(&config, active.map(|active| &active.config));
        let next_tables = prepare_tables(&config, &source, active, &mut mistakes);
        let tables = visible_tables(&config, next_tables.as_ref());
        let live = visible_backends(&config, &clusters, &tables, active);
        // Without a router, there are no plugins to reserve address space for.
        let has_router = config.stages().next().is_some();
        let loader = active.and_then(|active| active.loader.clone());
        let loader = match loader.filter(|loader| loader.has_room_for(&config)) {
            // Each engine reserves much address space. All stages move to the new engine so that
            // the old one can be freed.
            None if has_router => Some(Arc::new(Loader::try_new(&config, workers, compiler)?)),
            loader => loader,
        };
        let (sender, receiver) = mpsc::unbounded_channel();
        let events = Events {
            receiver: active.is_none().then_some(receiver),
            sender: active.map_or(sender, |active| active.events.clone()),
        };
        stages::warn_of_policies(&config);
        let routers = match &loader {
            Some(loader) => {
                let preparation = stages::Preparation {
                    loader,
                    live: &live,
                    tables: &tables,
                    events: &events.sender,
                    known: active.map(|active| stages::Known {
                        config: &active.config,
                        versions: &active.versions,
                        live: &active.live,
                    }),
                    order,
                };
                preparation.routers(&config, &source, &mut mistakes.0)?
            }
            None => config.frontends.iter().map(|_| Vec::new()).collect(),
        };
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
                tables,
                next_tables,
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

    /// Returns whether `active` is still the configuration that this one was prepared to follow.
    pub(super) fn is_current(&self, active: &ActiveConfig) -> bool {
        let mut stages = self.routers.iter().flatten();
        let backends = backend_names(&self.config);
        let is_backend = |name: &str| backends.contains(name);
        let tables = self.next_tables.as_ref();
        let is_stale = tables.is_some_and(|tables| {
            tables.check_commit(&active.tables, &is_backend) == CommitCheck::Stale
        });
        !is_stale
            && self.base == active.order
            && stages.all(|prepared| match prepared {
                PreparedStage::Kept(_) => true,
                PreparedStage::New(new) => {
                    new.base == active.versions.published(&new.former).map(Base::of)
                }
            })
    }

    /// Puts the prepared certificates into force.
    pub(super) fn commit_sites(&mut self) -> Committed {
        let committed = match self.next_sites.take() {
            Some(prepared) => self.sites.commit(prepared),
            None => Committed::InForce,
        };
        if committed == Committed::InForce {
            for (name, identity) in self.stored.drain(..) {
                // Cannot fail: the configuration contains the site.
                let _ = self.sites.put(&name, identity);
            }
        }
        committed
    }

    /// Puts the prepared tables into force in place of those in `active`. Returns the changes.
    pub(super) fn commit_tables(&mut self, active: Option<&Tables>) -> Vec<Change> {
        let Some(prepared) = self.next_tables.take() else {
            return Vec::new();
        };
        let committed = prepared.commit(active);
        self.tables = committed.tables;
        committed.changes
    }

    /// Returns the TLS sites of the process.
    pub fn sites(&self) -> &Sites {
        &self.sites
    }

    /// Returns the configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Takes the receiver of the workers' events. None if it has been taken already, or if this is
    /// not the first configuration.
    pub fn take_events(&mut self) -> Option<mpsc::UnboundedReceiver<WorkerEvent>> {
        self.events.receiver.take()
    }

    /// Takes the keeper's inputs. None if they have been taken already, or if this is not the first
    /// configuration.
    pub fn take_keeper(&mut self) -> Option<KeeperInputs> {
        self.keeper_inputs.take()
    }

    /// Hands the clusters to the keeper.
    pub(super) fn keep(&self) {
        let clusters = self.clusters.iter();
        let clusters = clusters.map(|config| Arc::clone(&config.cluster)).collect();
        self.keeper.keep(clusters);
    }

    /// Returns the loader of plugin versions; None if no frontend of this configuration has a
    /// router.
    pub(super) fn loader(&self) -> Option<&Loader> {
        self.loader.as_deref()
    }

    /// Turns this into the configuration in force. Called once `workers` workers have its routers.
    pub(super) fn activate(self, versions: Versions, workers: usize) -> (ActiveConfig, Source) {
        let active = ActiveConfig {
            order: self.order,
            config: self.config,
            clusters: self.clusters.into_iter().map(|one| one.cluster).collect(),
            keeper: self.keeper,
            sites: self.sites,
            live: self.live,
            tables: self.tables,
            versions,
            loader: self.loader,
            compiler: self.compiler,
            events: self.events.sender,
            workers,
        };
        (active, self.source)
    }
}

/// All mistakes found so far.
struct Mistakes(Option<Errors>);

impl Mistakes {
    fn record(&mut self, found: Errors) {
        match &mut self.0 {
            Some(errors) => errors.merge(found),
            None => self.0 = Some(found),
        }
    }
}

/// Returns the tables as plugins see them.
fn visible_tables(config: &Config, prepared: Option<&PreparedTables>) -> Arc<Tables> {
    match prepared {
        Some(prepared) => Arc::clone(prepared.tables()),
        // A table is wrong, so the configuration is refused. Plugins are tried out only to find
        // their mistakes.
        None => Arc::new(Tables::without_entries(&config.tables)),
    }
}

/// Returns the backends as plugins see them.
fn visible_backends(
    config: &Config,
    clusters: &[ClusterConfig],
    tables: &Arc<Tables>,
    active: Option<&ActiveConfig>,
) -> Arc<dyn Backends> {
    match active {
        // Nothing that `configure` can query about backends and tables has changed.
        Some(active)
            if has_same_names(&active.config, config) && Arc::ptr_eq(&active.tables, tables) =>
        {
            Arc::clone(&active.live)
        }
        _ if clusters.len() == config.backends.len() => Arc::new(LiveBackends::new(clusters)),
        // A backend has no address, so the configuration is refused. Plugins are tried out only to
        // find their mistakes.
        _ => Arc::new(ConfiguredBackends::new(config)),
    }
}

/// Prepares the tables; None if one of them is wrong.
fn prepare_tables(
    config: &Config,
    source: &Source,
    active: Option<&ActiveConfig>,
    mistakes: &mut Mistakes,
) -> Option<PreparedTables> {
    let backends = backend_names(config);
    let is_backend = |name: &str| backends.contains(name);
    let active = active.map(|active| &active.tables);
    match PreparedTables::new(&config.tables, active, &is_backend) {
        Ok(prepared) => Some(prepared),
        Err(found) => {
            for (name, error) in found {
                mistakes.record(locate_table(config, source, &name, &error));
            }
            None
        }
    }
}

/// Collects the names of the backends into a set, for fast lookups.
fn backend_names(config: &Config) -> HashSet<&str> {
    let backends = config.backends.iter();
    backends.map(|backend| backend.name.as_str()).collect()
}

/// Shows an error of a table at its location in the configuration file.
pub fn locate_table(config: &Config, source: &Source, name: &str, error: &TableError) -> Errors {
    let table = config.tables.iter().find(|table| table.name == name);
    let file = table.map_or_else(String::new, |table| table.file.display().to_string());
    let help = match error {
        TableError::Read(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Some("let the user that the proxy runs as read the file, and search its folders")
        }
        _ => None,
    };
    let message = format!("{file}: {error}");
    source.key_error(&["table", name, "file"], &message, help)
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

/// Shows an error of a server at its location in the configuration file.
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

/// Returns whether the backends of both configurations have the same names, in any order.
fn has_same_names(active: &Config, now: &Config) -> bool {
    let [active, now] = [active, now].map(|config| -> BTreeSet<&str> {
        let backends = config.backends.iter();
        backends.map(|backend| backend.name.as_str()).collect()
    });
    active == now
}

/// Shows the mistake of a certificate at its location in the configuration file.
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
