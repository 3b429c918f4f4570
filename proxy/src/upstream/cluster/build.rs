//! Builds a set of endpoints from the servers of a cluster and their addresses.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use super::Cluster;
use crate::config::ServerAddress;
use crate::upstream::configured::Configured;
use crate::upstream::endpoint::{Address, Endpoint};
use crate::upstream::endpoint_set::{EndpointSet, Found, ServerEntry};
use crate::upstream::server::Server;
use crate::upstream::settings::Settings;

impl Cluster {
    /// Builds a set of these servers. A server of the current set is reused, together with its
    /// endpoints, if the new server of the same name is the same machine. This is the case if both
    /// are configured with the same address, or if any of the resolved addresses is the same.
    pub(super) fn build(
        &self,
        settings: &Settings,
        servers: &[Configured],
        found: &HashMap<ServerAddress, Vec<Found>>,
        gone: &HashMap<(String, Address), Weak<Endpoint>>,
    ) -> EndpointSet {
        let before = self.endpoints();
        let is_first = before.servers().is_empty();
        let workers = self.workers();
        let mut set = EndpointSet::default();
        for one in servers {
            let server = &one.server;
            let addresses = found.get(&server.address).map_or(&[][..], Vec::as_slice);
            let old = before.server(&server.name);
            let known = old.map_or(&[][..], |old| before.endpoints_of(old)).iter();
            let known: HashMap<&Address, &Arc<Endpoint>> = known
                .map(|entry| (entry.endpoint.address(), &entry.endpoint))
                .collect();
            let is_known = |found: &Found| known.contains_key(&found.address);
            let old = old.filter(|old| {
                *old.server().address() == server.address || addresses.iter().any(is_known)
            });
            let shared = old.map_or_else(
                || {
                    let (name, address) = (&server.name, &server.address);
                    Arc::new(Server::new(name, address, &self.shared, workers))
                },
                |old| Arc::clone(old.server()),
            );
            let back = |address: &Address| {
                let gone = gone.get(&(server.name.clone(), address.clone()))?;
                let gone = gone.upgrade()?;
                Arc::ptr_eq(gone.server(), &shared).then_some(gone)
            };
            let new = |address: &Address| {
                let new = Endpoint::new(&shared, address.clone(), workers);
                if !is_first && settings.backend.slow_start.is_some() {
                    new.health().begin_slow_start();
                }
                Arc::new(new)
            };
            let endpoints = addresses.iter().map(|found| {
                let address = &found.address;
                let known = old.and_then(|_| known.get(address).map(|known| Arc::clone(known)));
                let endpoint = known.or_else(|| back(address));
                (endpoint.unwrap_or_else(|| new(address)), found)
            });
            let endpoints: Vec<_> = endpoints.collect();
            let handshake = Arc::clone(&one.handshake);
            set.push(ServerEntry::new(shared, handshake, server), endpoints);
        }
        set.finish(&self.shared.name, settings.secret());
        set
    }
}
