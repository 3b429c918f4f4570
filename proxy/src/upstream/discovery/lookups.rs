//! Lookups of the names in a configuration, before the configuration comes into force.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::found::found;
use super::resolver::{ResolveError, Resolver};
use crate::config::{Backend, Init, ServerAddress};
use crate::telemetry::chain;
use crate::upstream::cluster::Cluster;
use crate::upstream::configured::literal;
use crate::upstream::endpoint_set::Found;

/// Maximum number of concurrent lookups.
const MAX_LOOKUPS: usize = 16;

/// DNS servers to query, and the name to look up.
type Question = (Vec<SocketAddr>, ServerAddress);

/// Answers for the names that had no known address.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Lookups(HashMap<Question, Result<Vec<Found>, Arc<ResolveError>>>);

impl Lookups {
    /// Looks up the names of these backends' servers concurrently. Two kinds of names are left out:
    /// those with addresses known from `before`, because discovery keeps them up to date, and those
    /// whose `resolve.init` turns the lookup off. Blocks.
    pub(in crate::upstream) fn of<'b>(
        servers: impl Iterator<Item = (&'b Backend, &'b ServerAddress)>,
        before: &HashMap<&str, &Arc<Cluster>>,
    ) -> Lookups {
        let mut questions = HashSet::new();
        for (backend, address) in servers {
            if backend.resolve.init == Init::None || literal(address).is_some() {
                continue;
            }
            let cluster = before.get(backend.name.as_str());
            let known = cluster.and_then(|cluster| cluster.found(address));
            if known.is_none_or(|known| known.is_empty()) {
                questions.insert((backend.resolve.nameservers.clone(), address.clone()));
            }
        }
        if questions.is_empty() {
            return Lookups::default();
        }
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default());
        match runtime {
            Ok(runtime) => runtime.block_on(look_up(questions)),
            Err(error) => Lookups::failed(questions, ResolveError::Failed(error)),
        }
    }

    fn failed(questions: HashSet<Question>, error: ResolveError) -> Lookups {
        let error = Arc::new(error);
        let questions = questions.into_iter();
        Lookups(
            questions
                .map(|one| (one, Err(Arc::clone(&error))))
                .collect(),
        )
    }

    /// Returns the addresses of a server of this backend. `before` is the cluster in force. A
    /// server without an address is an error only if `resolve.init` demands an address.
    pub(in crate::upstream) fn resolve(
        &self,
        backend: &Backend,
        address: &ServerAddress,
        before: Option<&Arc<Cluster>>,
    ) -> Result<Vec<Found>, Arc<ResolveError>> {
        let known = before.and_then(|before| before.found(address));
        let question = (backend.resolve.nameservers.clone(), address.clone());
        match self.0.get(&question) {
            Some(Ok(found)) => Ok(found.clone()),
            Some(Err(error)) if backend.resolve.init == Init::Required => Err(Arc::clone(error)),
            Some(Err(error)) => {
                let reason = chain(&**error);
                tracing::warn!(
                    backend = backend.name,
                    name = %address,
                    reason,
                    "a name cannot be resolved: until it can be, its server has no address"
                );
                Ok(known.unwrap_or_default())
            }
            None => Ok(known.unwrap_or_default()),
        }
    }
}

async fn look_up(questions: HashSet<Question>) -> Lookups {
    let mut resolvers: HashMap<Vec<SocketAddr>, Resolver> = HashMap::new();
    let mut lookups = JoinSet::new();
    // The permit is acquired first, so that the time limit of a lookup starts with its first query.
    let permits = Rc::new(Semaphore::new(MAX_LOOKUPS));
    let mut found_by = HashMap::new();
    for question in questions {
        let resolver = match resolvers.get(&question.0) {
            Some(known) => known.clone(),
            None => match Resolver::try_new(&question.0) {
                Ok(resolver) => {
                    resolvers.insert(question.0.clone(), resolver.clone());
                    resolver
                }
                Err(error) => {
                    found_by.insert(question, Err(Arc::new(ResolveError::Failed(error))));
                    continue;
                }
            },
        };
        let permits = Rc::clone(&permits);
        lookups.spawn_local(async move {
            // The semaphore is never closed.
            let _permit = permits.acquire().await;
            let answer = resolver.lookup(&question.1).await;
            (question, answer.map(|answer| found(answer.targets)))
        });
    }
    while let Some(Ok((question, answer))) = lookups.join_next().await {
        found_by.insert(question, answer.map_err(Arc::new));
    }
    Lookups(found_by)
}
