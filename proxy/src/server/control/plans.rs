//! A configuration dealt out to the workers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::router::versions::Loaded;
use crate::server::prepared::{Numbered, Routing};
use crate::server::sockets::Bound;
use crate::telemetry::Answers;
use crate::upstream::ClusterConfig;
use crate::worker::{FrontendPlan, Plan, RouterPlan};

/// How long clients that ask nothing are kept by a worker that stops: who is between two
/// requests of many asks again within that. Half of `timeout.drain` where that is shorter, so
/// that they are gone by then.
const MAX_FAREWELL: Duration = Duration::from_secs(1);

/// What the plans of all workers have in common, by the frontends' names.
#[derive(Debug, Default)]
pub(in crate::server) struct Released {
    pub(in crate::server) versions: HashMap<String, Numbered>,
    pub(in crate::server) answers: HashMap<String, Arc<Answers>>,
}

/// What a frontend had before, by name.
type Earlier<'a> = (
    &'a HashMap<String, Numbered>,
    &'a HashMap<String, Arc<Answers>>,
);

/// A plan for each worker, and what they have in common.
pub(in crate::server) fn plans(
    config: &Config,
    routers: Vec<Option<Routing>>,
    bound: &mut Bound,
    clusters: &[ClusterConfig],
    workers: usize,
    earlier: Option<Earlier<'_>>,
) -> (Vec<Plan>, Released) {
    let mut plans: Vec<Plan> = (0..workers)
        .map(|_| Plan {
            frontends: Vec::new(),
            clusters: clusters.to_vec(),
            farewell: MAX_FAREWELL.min(config.drain / 2),
        })
        .collect();
    let mut released = Released::default();
    let frontends = config.frontends.iter().zip(routers);
    for ((frontend, routing), sockets) in frontends.zip(&mut bound.frontends) {
        let name = &frontend.name;
        let (numbered, routers) = deal(
            routing,
            earlier.and_then(|(versions, _)| versions.get(name)),
            workers,
        );
        let answers = earlier.and_then(|(_, answers)| answers.get(name).cloned());
        let answers = answers.unwrap_or_else(|| Arc::new(Answers::new(workers)));
        for (plan, router) in plans.iter_mut().zip(routers) {
            plan.frontends.push(FrontendPlan {
                config: frontend.clone(),
                sockets: sockets.names.clone(),
                listeners: sockets.next_worker(),
                router,
                answers: Arc::clone(&answers),
            });
        }
        released.answers.insert(name.clone(), answers);
        if let Some(numbered) = numbered {
            released.versions.insert(name.clone(), numbered);
        }
    }
    (plans, released)
}

/// A frontend's version, and its router for each worker.
fn deal(
    routing: Option<Routing>,
    earlier: Option<&Numbered>,
    workers: usize,
) -> (Option<Numbered>, Vec<Option<RouterPlan>>) {
    match routing {
        None => (None, (0..workers).map(|_| None).collect()),
        Some(Routing::Kept) => {
            let kept = (0..workers).map(|_| Some(RouterPlan::Keep));
            (earlier.cloned(), kept.collect())
        }
        Some(Routing::New(loaded, router, configured)) => {
            let Loaded { version, instances } = loaded;
            let made = instances
                .into_iter()
                .map(|instance| Some(RouterPlan::New(Arc::clone(&version), instance)));
            let routers = made.collect();
            let numbered = Numbered {
                next: version.number() + 1,
                active: version,
                router,
                configured,
                candidate: None,
            };
            (Some(numbered), routers)
        }
    }
}

/// Says what of a new configuration has no effect, and takes it out.
pub(super) fn keep_what_takes_a_restart(config: &mut Config, before: &Config) {
    let mut changed = Vec::new();
    let mut keep = |name: &'static str, differs: bool| {
        if differs {
            changed.push(name);
        }
    };
    keep("workers", config.workers != before.workers);
    keep(
        "max_connections",
        config.max_connections != before.max_connections,
    );
    keep("user", config.user != before.user);
    keep("group", config.group != before.group);
    keep("cache_dir", config.cache_dir != before.cache_dir);
    keep("admin", config.admin != before.admin);
    keep("log.format", config.log.format != before.log.format);
    keep("log.target", config.log.target != before.log.target);
    config.workers = before.workers;
    config.max_connections = before.max_connections;
    config.user.clone_from(&before.user);
    config.group.clone_from(&before.group);
    config.cache_dir.clone_from(&before.cache_dir);
    config.admin.clone_from(&before.admin);
    config.log.format = before.log.format;
    config.log.target.clone_from(&before.log.target);
    if !changed.is_empty() {
        tracing::warn!(keys = changed.join(", "), "these take a restart");
    }
}
