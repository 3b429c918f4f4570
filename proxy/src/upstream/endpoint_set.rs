//! The servers of a cluster and their endpoints at one moment.
//!
//! Immutable, except for weights and for the state of the endpoints themselves. `cluster` creates a
//! set with all indexes that workers need, so that a worker can adopt even a large set immediately.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use sha2::{Digest as _, Sha256};

use super::endpoint::{Address, Endpoint, EndpointId};
use super::establish::Handshake;
use super::hash;
use super::server::Server;
use crate::config::{self, ServerAddress, ServerState};

/// Value that means "no weight" in an [`AtomicU16`].
const NO_WEIGHT: u16 = u16::MAX;

/// Number added to the tier of backup servers. It is greater than every priority of an SRV record.
const BACKUP: u32 = 1 << 16;

/// An address that was found for a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) address: Address,
    /// Factor by which the server's weight is multiplied.
    pub(super) weight: u16,
    /// Addresses with a lower priority are used first.
    pub(super) priority: u16,
    /// Whether the address is used only while no other address of its server is usable.
    pub(super) is_fallback: bool,
}

impl Found {
    pub(super) fn new(address: Address) -> Found {
        Found {
            address,
            weight: 1,
            priority: 0,
            is_fallback: false,
        }
    }
}

/// The servers of a cluster and their endpoints.
#[derive(Debug, Default)]
pub struct EndpointSet {
    /// Servers, in the order of the configuration.
    servers: Vec<ServerEntry>,
    /// Endpoints, in the order of their servers.
    endpoints: Vec<EndpointEntry>,
    names: HashMap<String, usize>,
    positions: HashMap<EndpointId, usize>,
    /// Positions of endpoints by [`EndpointEntry::cookie`].
    cookies: HashMap<u64, usize>,
    names_clients: bool,
}

/// A server in an [`EndpointSet`].
#[derive(Debug)]
pub struct ServerEntry {
    server: Arc<Server>,
    handshake: Arc<Handshake>,
    weight: u16,
    /// Weight that an operator has set, or `NO_WEIGHT`.
    override_weight: AtomicU16,
    is_backup: bool,
    state: ServerState,
    max_requests: Option<NonZeroU32>,
    max_queue: u32,
    endpoints: Range<usize>,
}

/// An endpoint in an [`EndpointSet`].
#[derive(Debug)]
pub struct EndpointEntry {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Position of the endpoint's server in the set.
    pub(super) server: usize,
    weight: u16,
    /// Endpoints of a lower tier are used first.
    pub(super) tier: u32,
    pub(super) is_fallback: bool,
    /// Hash of the backend's name and the server's name, and also of the address if the server is
    /// configured by name. The same in every process.
    pub(super) token: u64,
    /// Hash of a secret and of the same values, which cannot be computed without the secret; 0
    /// without cookies.
    pub(super) cookie: u64,
}

impl ServerEntry {
    pub(super) fn new(
        server: Arc<Server>,
        handshake: Arc<Handshake>,
        config: &config::Server,
    ) -> ServerEntry {
        ServerEntry {
            server,
            handshake,
            weight: config.weight,
            override_weight: AtomicU16::new(NO_WEIGHT),
            is_backup: config.backup,
            state: config.state,
            max_requests: config.max_requests,
            max_queue: config.max_queue,
            endpoints: 0..0,
        }
    }

    /// Returns the server.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Returns the handshake for connections to the server.
    pub(super) fn handshake(&self) -> &Arc<Handshake> {
        &self.handshake
    }

    /// Returns the position of the server's first endpoint in the set.
    pub(super) fn position(&self) -> usize {
        self.endpoints.start
    }

    /// Returns the weight that an operator has set, or else the configured one.
    pub fn weight(&self) -> u16 {
        match self.override_weight.load(Ordering::Relaxed) {
            NO_WEIGHT => self.weight,
            weight => weight,
        }
    }

    /// Returns the configured weight.
    pub fn configured_weight(&self) -> u16 {
        self.weight
    }

    pub(super) fn set_weight(&self, override_weight: Option<u16>) {
        let override_weight = override_weight.unwrap_or(NO_WEIGHT);
        self.override_weight
            .store(override_weight, Ordering::Relaxed);
    }

    /// Returns whether the server serves only while no other server can.
    pub fn is_backup(&self) -> bool {
        self.is_backup
    }

    /// Returns the configured state.
    pub(super) fn state(&self) -> ServerState {
        self.state
    }

    /// Returns the maximum number of concurrent requests and the maximum number of waiting
    /// requests. Both apply to each of the server's endpoints.
    pub fn limits(&self) -> (Option<NonZeroU32>, u32) {
        (self.max_requests, self.max_queue)
    }

    /// Returns whether workers can keep idle connections to the server. They cannot if it has fewer
    /// slots than there are workers, because an idle connection of one worker would block a request
    /// of another.
    pub(super) fn allows_idle(&self, workers: usize) -> bool {
        self.max_requests
            .is_none_or(|limit| limit.get() as usize >= workers)
    }

    fn is_same(&self, other: &ServerEntry) -> bool {
        Arc::ptr_eq(&self.server, &other.server)
            && Arc::ptr_eq(&self.handshake, &other.handshake)
            && self.weight() == other.weight()
            && self.is_backup == other.is_backup
            && self.state == other.state
            && self.limits() == other.limits()
            && self.endpoints == other.endpoints
    }
}

impl EndpointSet {
    /// Adds a server with its endpoints.
    pub(super) fn push(
        &mut self,
        mut server_entry: ServerEntry,
        endpoints: Vec<(Arc<Endpoint>, &Found)>,
    ) {
        let position = self.servers.len();
        let start = self.endpoints.len();
        for (endpoint, found) in endpoints {
            let backup = if server_entry.is_backup { BACKUP } else { 0 };
            self.positions.insert(endpoint.id(), self.endpoints.len());
            self.endpoints.push(EndpointEntry {
                endpoint,
                server: position,
                weight: found.weight,
                tier: backup + u32::from(found.priority),
                is_fallback: found.is_fallback,
                token: 0,
                cookie: 0,
            });
        }
        self.names_clients |= server_entry.handshake.names_clients();
        server_entry.endpoints = start..self.endpoints.len();
        self.names
            .insert(server_entry.server.name().to_owned(), position);
        self.servers.push(server_entry);
    }

    /// Computes the tokens and cookies of all endpoints. Must be called after the last server has
    /// been added. `secret` is the key for the cookies.
    pub(super) fn finish(&mut self, backend: &str, secret: Option<&str>) {
        for server_entry in &self.servers {
            let entries = &mut self.endpoints[server_entry.endpoints.clone()];
            // A server that is configured by name can have several addresses, and they can change.
            let is_literal = is_literal(server_entry.server.address());
            for entry in entries {
                let address = entry.endpoint.address().to_string();
                let address = if is_literal { "" } else { address.as_str() };
                let parts = [backend, server_entry.server.name(), address].map(str::as_bytes);
                entry.token = hash::of_parts(&parts);
                entry.cookie = secret.map_or(0, |secret| cookie(secret, &parts));
            }
        }
        if secret.is_some() {
            let cookies = self.endpoints.iter().enumerate();
            self.cookies = cookies
                .map(|(position, entry)| (entry.cookie, position))
                .collect();
        }
    }

    /// Returns the servers, in the order of the configuration.
    pub fn servers(&self) -> &[ServerEntry] {
        &self.servers
    }

    /// Returns the endpoints, in the order of their servers.
    pub fn endpoints(&self) -> &[EndpointEntry] {
        &self.endpoints
    }

    /// Returns the server of this name.
    pub(super) fn server(&self, name: &str) -> Option<&ServerEntry> {
        self.names
            .get(name)
            .map(|&position| &self.servers[position])
    }

    /// Returns the endpoints of a server.
    pub fn endpoints_of(&self, server_entry: &ServerEntry) -> &[EndpointEntry] {
        &self.endpoints[server_entry.endpoints.clone()]
    }

    /// Returns the endpoints of the server of this name.
    pub(super) fn of(&self, name: &str) -> &[EndpointEntry] {
        self.server(name)
            .map_or(&[], |server_entry| self.endpoints_of(server_entry))
    }

    /// Returns whether new connections to any of the servers send a header that names the client.
    pub(super) fn names_clients(&self) -> bool {
        self.names_clients
    }

    /// Returns the position of an endpoint in the set.
    pub(super) fn position(&self, id: EndpointId) -> Option<usize> {
        self.positions.get(&id).copied()
    }

    /// Returns the position of the endpoint with this cookie.
    pub(super) fn position_of_cookie(&self, cookie: u64) -> Option<usize> {
        self.cookies.get(&cookie).copied()
    }

    /// Returns the weight of an endpoint, in hundredths. It is the product of the server's weight,
    /// the endpoint's own weight, and the endpoint's share during a slow start.
    pub(super) fn weight(&self, entry: &EndpointEntry) -> u32 {
        let weight = u32::from(self.servers[entry.server].weight()) * u32::from(entry.weight);
        weight.saturating_mul(entry.endpoint.health().share())
    }

    /// Returns whether both sets have identical endpoints, in the same order and with the same
    /// options.
    pub(super) fn is_same(&self, other: &EndpointSet) -> bool {
        let mut server_entries = self.servers.iter().zip(&other.servers);
        let mut entries = self.endpoints.iter().zip(&other.endpoints);
        self.servers.len() == other.servers.len()
            && self.endpoints.len() == other.endpoints.len()
            && server_entries.all(|(one, other)| one.is_same(other))
            && entries.all(|(one, other)| {
                Arc::ptr_eq(&one.endpoint, &other.endpoint)
                    && one.weight == other.weight
                    && one.tier == other.tier
                    && one.cookie == other.cookie
                    && one.is_fallback == other.is_fallback
            })
    }
}

/// Returns whether a server's address is literal rather than a name.
fn is_literal(address: &ServerAddress) -> bool {
    match address {
        ServerAddress::Tcp { host, .. } => host.parse::<IpAddr>().is_ok(),
        ServerAddress::Unix(_) => true,
        ServerAddress::Srv(_) => false,
    }
}

/// Computes a cookie, which reveals nothing about the server and cannot be computed without the
/// secret.
fn cookie(secret: &str, parts: &[&[u8]]) -> u64 {
    let mut sha256 = Sha256::new();
    for part in [secret.as_bytes()].iter().chain(parts) {
        sha256.update(part.len().to_le_bytes());
        sha256.update(part);
    }
    let digest = sha256.finalize();
    digest
        .iter()
        .take(8)
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}
