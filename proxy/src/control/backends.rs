//! The backends in service, in the form that plugins see.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::plugin::{BackendName, BackendState, Backends, ServerName, ServerState};
use crate::upstream::endpoint_set::{EndpointSet, ServerEntry};
use crate::upstream::{Cluster, ClusterConfig};

/// The backends in service.
#[derive(Debug)]
pub(super) struct LiveBackends(BTreeMap<BackendName, Arc<Cluster>>);

impl LiveBackends {
    pub(super) fn new(clusters: &[ClusterConfig]) -> LiveBackends {
        let clusters = clusters.iter().map(|config| &config.cluster);
        let named = clusters.map(|cluster| (Arc::clone(cluster.name()), Arc::clone(cluster)));
        LiveBackends(named.collect())
    }

    fn server_states(
        &self,
        name: &str,
        of: fn(&EndpointSet, &ServerEntry) -> ServerState,
    ) -> Option<Vec<ServerState>> {
        let set = self.0.get(name)?.endpoints();
        let server_entries = set.servers().iter();
        Some(
            server_entries
                .map(|server_entry| of(&set, server_entry))
                .collect(),
        )
    }
}

/// Returns a server's configured state.
fn configured(_: &EndpointSet, server_entry: &ServerEntry) -> ServerState {
    let name = ServerName::from(server_entry.server().name());
    ServerState::idle(
        name,
        server_entry.configured_weight().into(),
        limit(server_entry),
    )
}

/// Returns a server's current state.
fn current(set: &EndpointSet, server_entry: &ServerEntry) -> ServerState {
    let endpoints = || {
        set.endpoints_of(server_entry)
            .iter()
            .map(|entry| &entry.endpoint)
    };
    ServerState {
        name: ServerName::from(server_entry.server().name()),
        usable: endpoints().any(|endpoint| endpoint.is_usable()),
        weight: server_entry.weight().into(),
        active: endpoints().map(|endpoint| endpoint.active()).sum(),
        limit: limit(server_entry),
        latency: server_entry.server().latency(),
    }
}

fn limit(server_entry: &ServerEntry) -> Option<u32> {
    let (limit, _) = server_entry.limits();
    limit.map(std::num::NonZero::get)
}

impl Backends for LiveBackends {
    fn names(&self) -> Vec<BackendName> {
        self.0.keys().cloned().collect()
    }

    fn find(&self, name: &str) -> Option<BackendName> {
        let (name, _) = self.0.get_key_value(name)?;
        Some(BackendName::clone(name))
    }

    fn is_usable(&self, name: &str) -> bool {
        let backend = self.0.get(name);
        backend.is_some_and(|backend| backend.usable_servers() > 0)
    }

    fn state(&self, name: &str) -> Option<BackendState> {
        let backend = self.0.get(name)?;
        Some(BackendState {
            usable_servers: backend.usable_servers(),
            active: backend.active(),
            queued: backend.queued(),
        })
    }

    fn servers(&self, name: &str) -> Option<Vec<ServerState>> {
        self.0.get(name)?.measure();
        self.server_states(name, current)
    }

    fn configured(&self, name: &str) -> Option<Vec<ServerState>> {
        self.server_states(name, configured)
    }
}
