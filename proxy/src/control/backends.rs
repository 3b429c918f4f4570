//! The backends in service, as plugins see them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::plugin::{BackendName, BackendState, Backends, ServerName, ServerState};
use crate::upstream::endpoint_set::{EndpointSet, Member};
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

    fn members(
        &self,
        name: &str,
        of: fn(&EndpointSet, &Member) -> ServerState,
    ) -> Option<Vec<ServerState>> {
        let set = self.0.get(name)?.endpoints();
        let members = set.members().iter();
        Some(members.map(|member| of(&set, member)).collect())
    }
}

/// Returns a server's configured state.
fn configured(_: &EndpointSet, member: &Member) -> ServerState {
    let name = ServerName::from(member.server().name());
    ServerState::idle(name, member.configured_weight().into(), limit(member))
}

/// Returns a server's current state.
fn current(set: &EndpointSet, member: &Member) -> ServerState {
    let endpoints = || set.of_member(member).iter().map(|choice| &choice.endpoint);
    ServerState {
        name: ServerName::from(member.server().name()),
        usable: endpoints().any(|endpoint| endpoint.is_usable()),
        weight: member.weight().into(),
        active: endpoints().map(|endpoint| endpoint.active()).sum(),
        limit: limit(member),
        latency: member.server().latency(),
    }
}

fn limit(member: &Member) -> Option<u32> {
    let (limit, _) = member.limits();
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
        self.members(name, current)
    }

    fn configured(&self, name: &str) -> Option<Vec<ServerState>> {
        self.members(name, configured)
    }
}
