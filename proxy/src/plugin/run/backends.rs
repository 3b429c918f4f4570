//! The proxy's backends as plugins see them.
//!
//! Contains plain values and one trait, which the control side implements.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// A backend's identity: its name. It stays the same when a reload changes the backend's servers or
/// settings, or its position in the configuration file.
pub type BackendName = Arc<str>;

/// A server's identity within its backend: its name.
pub type ServerName = Arc<str>;

/// The proxy's backends, as far as plugins can see them.
///
/// Every method that takes a name returns None or false if the configuration has no such backend.
pub trait Backends: Send + Sync + fmt::Debug {
    /// Returns every backend of the configuration, sorted by name.
    fn names(&self) -> Vec<BackendName>;
    /// Returns the identity of the backend with this name.
    fn find(&self, name: &str) -> Option<BackendName>;
    /// Returns whether the backend has a usable server now.
    fn is_usable(&self, name: &str) -> bool;
    /// Returns the backend's current load.
    fn state(&self, name: &str) -> Option<BackendState>;
    /// Returns the current state of the backend's servers, in the order of the configuration.
    fn servers(&self, name: &str) -> Option<Vec<ServerState>>;
    /// Returns the backend's servers as the configuration defines them: all usable and idle.
    fn configured(&self, name: &str) -> Option<Vec<ServerState>>;
}

/// The servers that `configure` saw. They are the same for all instances of a version, even if the
/// servers change while the version is in use.
#[derive(Debug, Default)]
pub(super) struct ConfiguredServers(Mutex<BTreeMap<String, Vec<ServerState>>>);

impl ConfiguredServers {
    /// Returns a backend's configured servers, as they were when an instance of the version first
    /// queried them.
    pub(super) fn of(&self, backends: &dyn Backends, name: &str) -> Option<Vec<ServerState>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(servers) = known.get(name) {
            return Some(servers.clone());
        }
        let servers = backends.configured(name)?;
        known.insert(name.to_owned(), servers.clone());
        Some(servers)
    }
}

/// Load of one backend at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackendState {
    /// Servers that are up and accept requests.
    pub usable_servers: u32,
    /// Requests and tunnels in progress, over all servers.
    pub active: u32,
    /// Requests that are waiting for a free slot.
    pub queued: u32,
}

/// State of one server at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerState {
    /// Name of the server.
    pub name: ServerName,
    /// Whether the server is up and not draining, with or without a free slot.
    pub usable: bool,
    /// Weight of the server.
    pub weight: u32,
    /// Requests and tunnels in progress.
    pub active: u32,
    /// Maximum number of concurrent requests; None if there is no limit.
    pub limit: Option<u32>,
    /// Moving average of the time until the response head arrives, in microseconds; None before the
    /// first response.
    pub latency: Option<u32>,
}

impl ServerState {
    /// Returns a server that is usable and idle.
    pub fn idle(name: ServerName, weight: u32, limit: Option<u32>) -> ServerState {
        ServerState {
            name,
            usable: true,
            weight,
            active: 0,
            limit,
            latency: None,
        }
    }
}
