//! Distribution of a configuration to the workers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::listeners::FrontendListeners;
use super::prepared::Prepared;
use super::stages::{NewStage, PreparedStage};
use crate::acme::HttpChallenges;
use crate::config::{self, Bind, Config, Frontend, StageId};
use crate::rollout::versions::{ConfiguredFile, Published, Versions};
use crate::router::StageUpdate;
use crate::sites::Sites;
use crate::telemetry::{Handshakes, ResponseCounts};
use crate::transport::tls::ServerTls;
use crate::worker::{FrontendConfig, WorkerConfig};

/// Longest time that a draining worker keeps idle client connections. A client that is in the
/// middle of a series of requests sends its next one within that time. If half of `timeout.drain`
/// is shorter, that applies, so that idle connections are closed in time.
const MAX_DRAIN_GRACE: Duration = Duration::from_secs(1);

/// State of the frontends, shared by all workers.
#[derive(Debug, Default)]
pub(super) struct Frontends {
    /// Published versions, by stage.
    pub(super) published: HashMap<StageId, Published>,
    /// Renamed stages, each with its old and its new name.
    pub(super) renamed: Vec<(StageId, StageId)>,
    /// Response counters, by frontend name.
    pub(super) response_counts: HashMap<String, Arc<ResponseCounts>>,
}

/// The running configuration, whose parts a reload reuses where it can.
pub(super) enum Known<'a> {
    /// The process is starting: there is no running configuration.
    None,
    Active {
        versions: &'a Versions,
        response_counts: &'a HashMap<String, Arc<ResponseCounts>>,
    },
}

impl Known<'_> {
    fn published(&self, stage: &StageId) -> Option<&Published> {
        match self {
            Known::None => None,
            Known::Active { versions, .. } => versions.published(stage),
        }
    }

    fn response_counts(&self, frontend: &str) -> Option<Arc<ResponseCounts>> {
        match self {
            Known::None => None,
            Known::Active {
                response_counts, ..
            } => response_counts.get(frontend).cloned(),
        }
    }
}

/// Creates the configuration of each worker, and the state that all workers share. Takes the
/// routers out of `prepared`.
pub(super) fn distribute(
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
    for ((frontend, stages), listeners) in config.frontends.iter().zip(routers).zip(listeners) {
        let name = &frontend.name;
        let mut routers: Vec<Vec<StageUpdate>> = (0..workers).map(|_| Vec::new()).collect();
        for (stage, prepared) in frontend.router.iter().zip(stages) {
            let id = StageId::new(name, &stage.name);
            let former = match &prepared {
                PreparedStage::New(new) => new.former.clone(),
                PreparedStage::Kept(_) => id.clone(),
            };
            let (published, updates) =
                deal_stage(prepared, stage, known.published(&former), workers);
            if former != id {
                shared.renamed.push((former, id.clone()));
            }
            shared.published.insert(id, published);
            for (router, update) in routers.iter_mut().zip(updates) {
                router.push(update);
            }
        }
        let response_counts = known
            .response_counts(name)
            .unwrap_or_else(|| ResponseCounts::of(name, workers));
        let handshakes = Handshakes::of(name, workers);
        // The sockets are in the order of the workers. A worker that replaces a failed one gets the
        // sockets of the failed one.
        let mut sockets = std::mem::take(&mut listeners.workers).into_iter();
        for (config, router) in configs.iter_mut().zip(routers) {
            config.frontends.push(FrontendConfig {
                config: frontend.clone(),
                sockets: listeners.names.clone(),
                listeners: sockets.next().unwrap_or_default(),
                tls: tls(frontend, &prepared.sites),
                router,
                response_counts: Arc::clone(&response_counts),
                handshakes: Arc::clone(&handshakes),
            });
        }
        shared.response_counts.insert(name.clone(), response_counts);
    }
    (configs, shared)
}

/// Returns the TLS configuration of each `bind` of a frontend.
pub(super) fn tls(frontend: &Frontend, sites: &Sites) -> Vec<Option<Arc<ServerTls>>> {
    let binds = frontend.bind.iter();
    let server = |bind: &Bind| sites.server(bind.tls.as_deref()?, frontend.mode);
    binds.map(server).collect()
}

/// Returns how long a draining worker keeps idle client connections.
pub(super) fn drain_grace(config: &Config) -> Duration {
    MAX_DRAIN_GRACE.min(config.drain / 2)
}

/// Returns a stage's published version, and the update for each worker.
fn deal_stage(
    prepared: PreparedStage,
    configured: &config::Stage,
    known: Option<&Published>,
    workers: usize,
) -> (Published, Vec<StageUpdate>) {
    let new = match prepared {
        PreparedStage::Kept(file) => {
            let known = known.expect("only reloads remove stages, and this one follows the last");
            let mut published = known.clone();
            if let Some(accepted) = file {
                published.file = ConfiguredFile {
                    accepted,
                    refused: None,
                };
                published.is_behind = published.stage != *configured;
            }
            let kept = (0..workers).map(|_| StageUpdate::Keep(Arc::clone(&published.active)));
            let kept = kept.collect();
            return (published, kept);
        }
        PreparedStage::New(new) => *new,
    };
    let NewStage {
        loaded,
        stage,
        file,
        cause,
        order,
        base: _,
        former: _,
    } = new;
    let number = known.map_or(1, |known| known.next);
    let is_behind = known.is_some_and(|known| known.is_behind) && stage != *configured;
    let (version, instances) = loaded.numbered(number);
    let updates = instances
        .into_iter()
        .map(|instance| StageUpdate::Replace(Arc::clone(&version), Some(instance)));
    let updates = updates.collect();
    let published = Published {
        active: version,
        stage,
        cause,
        next: number + 1,
        order,
        file: ConfiguredFile {
            accepted: file,
            refused: None,
        },
        is_behind,
        rollout: None,
        ended: None,
    };
    (published, updates)
}

/// Restores the active values of keys that require a restart. Returns the keys whose values
/// differed.
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
