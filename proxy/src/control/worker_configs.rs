//! A configuration, dealt out to the workers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::listeners::FrontendListeners;
use super::prepared::{NewRouter, Prepared, Routing};
use crate::acme::HttpChallenges;
use crate::config::{Bind, Config, Frontend};
use crate::rollout::versions::{ConfiguredFile, Published, Versions};
use crate::sites::Sites;
use crate::telemetry::{Answers, Handshakes};
use crate::transport::tls::ServerTls;
use crate::worker::{FrontendConfig, RouterUpdate, WorkerConfig};

/// Longest time that a stopping worker keeps idle clients. A client between two of many requests
/// sends its next one within that time. Half of `timeout.drain` if that is shorter, so that idle
/// clients are gone by then.
const MAX_DRAIN_GRACE: Duration = Duration::from_secs(1);

/// State of each frontend that all workers share, by the frontends' names.
#[derive(Debug, Default)]
pub(super) struct Frontends {
    pub(super) published: HashMap<String, Published>,
    pub(super) answers: HashMap<String, Arc<Answers>>,
}

/// The running configuration, of which a reload keeps what it can.
pub(super) enum Known<'a> {
    /// Nothing: at the start.
    None,
    Active {
        versions: &'a Versions,
        answers: &'a HashMap<String, Arc<Answers>>,
    },
}

impl Known<'_> {
    fn published(&self, frontend: &str) -> Option<&Published> {
        match self {
            Known::None => None,
            Known::Active { versions, .. } => versions.published(frontend),
        }
    }

    fn answers(&self, frontend: &str) -> Option<Arc<Answers>> {
        match self {
            Known::None => None,
            Known::Active { answers, .. } => answers.get(frontend).cloned(),
        }
    }
}

/// The configuration of each worker, and what they share. Takes the routers of `prepared`.
pub(super) fn deal(
    prepared: &mut Prepared,
    listeners: &mut [FrontendListeners],
    challenges: &Arc<HttpChallenges>,
    workers: usize,
    known: &Known<'_>,
) -> (Vec<WorkerConfig>, Frontends) {
    let routers = std::mem::take(&mut prepared.routers);
    let config = &prepared.config;
    let mut configs: Vec<WorkerConfig> = (0..workers)
        .map(|_| WorkerConfig {
            frontends: Vec::new(),
            clusters: prepared.clusters.clone(),
            challenges: Arc::clone(challenges),
            drain_grace: drain_grace(config),
        })
        .collect();
    let mut shared = Frontends::default();
    for ((frontend, routing), listeners) in config.frontends.iter().zip(routers).zip(listeners) {
        let name = &frontend.name;
        let (published, routers) = deal_router(routing, known.published(name), workers);
        let answers = known
            .answers(name)
            .unwrap_or_else(|| Answers::of(name, workers));
        let handshakes = Handshakes::of(name, workers);
        // Of each worker, in order: one that replaces it gets the same sockets.
        let mut sockets = std::mem::take(&mut listeners.workers).into_iter();
        for (config, router) in configs.iter_mut().zip(routers) {
            config.frontends.push(FrontendConfig {
                config: frontend.clone(),
                sockets: listeners.names.clone(),
                listeners: sockets.next().unwrap_or_default(),
                tls: tls(frontend, &prepared.sites),
                router,
                answers: Arc::clone(&answers),
                handshakes: Arc::clone(&handshakes),
            });
        }
        shared.answers.insert(name.clone(), answers);
        if let Some(published) = published {
            shared.published.insert(name.clone(), published);
        }
    }
    (configs, shared)
}

/// TLS of each `bind` of a frontend.
pub(super) fn tls(frontend: &Frontend, sites: &Sites) -> Vec<Option<Arc<ServerTls>>> {
    let binds = frontend.bind.iter();
    let server = |bind: &Bind| sites.server(bind.tls.as_deref()?, frontend.mode);
    binds.map(server).collect()
}

/// How long a stopping worker keeps idle clients.
pub(super) fn drain_grace(config: &Config) -> Duration {
    MAX_DRAIN_GRACE.min(config.drain / 2)
}

/// A frontend's version, and its router for each worker.
fn deal_router(
    routing: Option<Routing>,
    known: Option<&Published>,
    workers: usize,
) -> (Option<Published>, Vec<Option<RouterUpdate>>) {
    match routing {
        None => (None, (0..workers).map(|_| None).collect()),
        Some(Routing::Kept(file)) => {
            let kept = (0..workers).map(|_| Some(RouterUpdate::Keep));
            let mut published = known.cloned();
            if let (Some(published), Some(accepted)) = (&mut published, file) {
                published.file = ConfiguredFile {
                    accepted,
                    refused: None,
                };
            }
            (published, kept.collect())
        }
        Some(Routing::New(new)) => {
            let NewRouter {
                loaded,
                router,
                file,
                cause,
                order,
                base: _,
            } = *new;
            let number = known.map_or(1, |known| known.next);
            let (version, instances) = loaded.numbered(number);
            let routers = instances
                .into_iter()
                .map(|instance| Some(RouterUpdate::Replace(Arc::clone(&version), Some(instance))));
            let routers = routers.collect();
            let published = Published {
                active: version,
                router,
                cause,
                next: number + 1,
                order,
                file: ConfiguredFile {
                    accepted: file,
                    refused: None,
                },
                rollout: None,
                ended: None,
            };
            (Some(published), routers)
        }
    }
}

/// Reverts the keys of a new configuration that take a restart, and returns them.
pub(super) fn keep_restart_only(config: &mut Config, active: &Config) -> Vec<&'static str> {
    let mut changed = Vec::new();
    let mut keep = |name: &'static str, differs: bool| {
        if differs {
            changed.push(name);
        }
    };
    keep("workers", config.workers != active.workers);
    keep(
        "max_connections",
        config.max_connections != active.max_connections,
    );
    keep("user", config.user != active.user);
    keep("group", config.group != active.group);
    keep(
        "plugin_cache_dir",
        config.plugin_cache_dir != active.plugin_cache_dir,
    );
    keep("compile", config.compile != active.compile);
    keep("admin", config.admin != active.admin);
    keep("log.format", config.log.format != active.log.format);
    keep("log.target", config.log.target != active.log.target);
    config.workers = active.workers;
    config.max_connections = active.max_connections;
    config.user.clone_from(&active.user);
    config.group.clone_from(&active.group);
    config.plugin_cache_dir.clone_from(&active.plugin_cache_dir);
    config.compile = active.compile;
    config.admin.clone_from(&active.admin);
    config.log.format = active.log.format;
    config.log.target.clone_from(&active.log.target);
    changed
}
