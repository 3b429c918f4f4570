//! Repeated lookups of servers' names while the process runs.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep};

use super::found::found;
use super::resolver::{ResolveError, Resolver};
use super::schedule::{Unanswered, next_lookup};
use crate::config::{Init, Resolve, ServerAddress};
use crate::telemetry::chain;
use crate::upstream::cluster::Cluster;
use crate::upstream::random::Random;

/// How long the addresses of a name are kept after the name has ceased to exist. `HAProxy`'s `hold
/// nx` has the same default. The addresses are kept because a name server can deny a name for a
/// moment while the name is being changed.
const HOLD: Duration = Duration::from_secs(30);

/// Maximum number of concurrent lookups.
const MAX_LOOKUPS: usize = 16;

/// A name whose addresses have changed. Workers do not have the new addresses yet.
#[derive(Debug)]
pub struct Moved {
    /// The cluster of the backend.
    pub cluster: Arc<Cluster>,
    /// The name, as configured.
    pub name: String,
    /// Number of addresses that the name has now.
    pub addresses: usize,
}

/// The names that are looked up, keyed by the memory address of the cluster and by the name.
pub(in crate::upstream) struct Names {
    watched: HashMap<(usize, ServerAddress), Watched>,
    resolvers: HashMap<Vec<SocketAddr>, Resolver>,
    tasks: JoinSet<()>,
    changed: mpsc::UnboundedSender<Moved>,
    random: Rc<Random>,
    /// Permits for lookups in progress.
    permits: Rc<Semaphore>,
}

struct Watched {
    resolve: Resolve,
    task: AbortHandle,
}

impl Names {
    /// Creates an empty set of names. Whenever the addresses of a name change, a [`Moved`] is sent
    /// to `changed`.
    pub(in crate::upstream) fn new(
        changed: mpsc::UnboundedSender<Moved>,
        random: &Rc<Random>,
    ) -> Names {
        Names {
            watched: HashMap::new(),
            resolvers: HashMap::new(),
            tasks: JoinSet::new(),
            changed,
            random: Rc::clone(random),
            permits: Rc::new(Semaphore::new(MAX_LOOKUPS)),
        }
    }

    /// Replaces the clusters whose names are looked up.
    pub(in crate::upstream) fn watch(&mut self, clusters: &[Arc<Cluster>]) {
        while self.tasks.try_join_next().is_some() {}
        let mut before = std::mem::take(&mut self.watched);
        for cluster in clusters {
            let settings = cluster.settings();
            let resolve = &settings.backend.resolve;
            for name in cluster.names() {
                let key = (Arc::as_ptr(cluster) as usize, name.clone());
                let known = before.remove(&key).filter(|known| {
                    let is_same = known.resolve == *resolve;
                    if !is_same {
                        known.task.abort();
                    }
                    is_same
                });
                if let Some(watched) = known.or_else(|| self.begin(cluster, name, resolve)) {
                    self.watched.insert(key, watched);
                }
            }
        }
        for gone in before.into_values() {
            gone.task.abort();
        }
    }

    fn begin(
        &mut self,
        cluster: &Arc<Cluster>,
        name: ServerAddress,
        resolve: &Resolve,
    ) -> Option<Watched> {
        let resolver = match self.resolvers.get(&resolve.nameservers) {
            Some(known) => known.clone(),
            None => match Resolver::try_new(&resolve.nameservers) {
                Ok(resolver) => {
                    let nameservers = resolve.nameservers.clone();
                    self.resolvers.insert(nameservers, resolver.clone());
                    resolver
                }
                Err(error) => {
                    tracing::error!(%error, %name, "names cannot be resolved");
                    return None;
                }
            },
        };
        let watch = Watch {
            cluster: Arc::clone(cluster),
            name,
            resolve: resolve.clone(),
            resolver,
            changed: self.changed.clone(),
            random: Rc::clone(&self.random),
            permits: Rc::clone(&self.permits),
            failures: 0,
            missing_since: None,
        };
        Some(Watched {
            resolve: resolve.clone(),
            task: self.tasks.spawn_local(watch.run()),
        })
    }
}

/// A name that is looked up repeatedly.
struct Watch {
    cluster: Arc<Cluster>,
    name: ServerAddress,
    resolve: Resolve,
    resolver: Resolver,
    changed: mpsc::UnboundedSender<Moved>,
    random: Rc<Random>,
    permits: Rc<Semaphore>,
    /// Number of consecutive failed lookups.
    failures: u32,
    /// Time since which the name has not existed.
    missing_since: Option<Instant>,
}

impl Watch {
    async fn run(mut self) {
        let known = self.cluster.found(&self.name);
        if known.is_some_and(|known| !known.is_empty()) {
            // The name has just been looked up, but the TTL of that answer is unknown here.
            sleep(self.next(Ok(self.resolve.min_interval))).await;
        } else if self.resolve.init != Init::None {
            // The first lookup has just failed, and its failure is already logged.
            self.failures = 1;
        }
        loop {
            let answer = {
                // The permit is acquired first, so that the time limit of a lookup starts with its
                // first query.
                let _permit = self.permits.acquire().await;
                self.resolver.lookup(&self.name).await
            };
            let result = match answer {
                Ok(answer) => {
                    self.succeeded();
                    self.set(found(answer.targets));
                    Ok(answer.ttl)
                }
                Err(error) => Err(self.failed(&error)),
            };
            sleep(self.next(result)).await;
        }
    }

    fn next(&self, result: Result<Duration, Unanswered>) -> Duration {
        next_lookup(result, &self.resolve, self.random.fraction())
    }

    fn set(&self, found: Vec<crate::upstream::endpoint_set::Found>) {
        let count = found.len();
        if self.cluster.set_found(&self.name, found) {
            // Without a receiver, the process is exiting.
            let _ = self.changed.send(Moved {
                cluster: Arc::clone(&self.cluster),
                name: self.name.to_string(),
                addresses: count,
            });
        }
    }

    fn succeeded(&mut self) {
        if std::mem::take(&mut self.failures) > 0 {
            let backend = &**self.cluster.name();
            tracing::info!(backend, name = %self.name, "a name can be resolved again");
        }
        self.missing_since = None;
    }

    fn failed(&mut self, error: &ResolveError) -> Unanswered {
        self.failures = self.failures.saturating_add(1);
        let backend = &**self.cluster.name();
        if self.failures == 1 {
            let reason = chain(error);
            tracing::warn!(
                backend,
                name = %self.name,
                reason,
                "a name cannot be resolved: its known addresses stay in use"
            );
        }
        let ResolveError::NoSuchName { ttl, .. } = error else {
            self.missing_since = None;
            return Unanswered::Failures(self.failures);
        };
        let since = *self.missing_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= HOLD {
            self.set(Vec::new());
        }
        // Retry soon enough to notice when the name exists again.
        match ttl {
            Some(ttl) => Unanswered::Negative((*ttl).min(HOLD)),
            None => Unanswered::Failures(self.failures),
        }
    }
}
