//! The proxy environment of a file's cases: its backends and the operator's tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::TableValues;
use crate::plugin::{BackendName, BackendState, Backends, Environment, ServerName, ServerState};
use crate::tables::{Mistake, Tables};

/// Tables by name.
pub(super) type RawTables = BTreeMap<String, BTreeMap<String, String>>;

/// Environment that all cases of a file share.
#[derive(Debug)]
pub(super) struct World {
    backends: Vec<BackendName>,
    /// Servers of the backends for which the file lists them. Every other backend has one server,
    /// which matches any name.
    servers: BTreeMap<String, Vec<String>>,
    tables: Arc<Tables>,
    /// Environment in which every backend is usable. As in a proxy, all cases without unusable
    /// backends share it.
    usual: Environment,
}

impl World {
    pub(super) fn new(
        backends: &[String],
        servers: BTreeMap<String, Vec<String>>,
        tables: &RawTables,
    ) -> Result<World, Mistake> {
        let entries = tables.iter().map(|(name, entries)| {
            let entries = entries.iter();
            let entries = entries.map(|(key, value)| (key.as_str(), value.as_str()));
            (name.as_str(), TableValues::Any, entries)
        });
        let tables = Arc::new(Tables::from_entries(entries)?);
        let backends: Vec<BackendName> = backends.iter().map(|name| name.as_str().into()).collect();
        let usual = Named {
            backends: backends.clone(),
            servers: servers.clone(),
            unusable: Vec::new(),
        };
        Ok(World {
            usual: Environment::new(Arc::new(usual), Arc::clone(&tables)),
            backends,
            servers,
            tables,
        })
    }

    /// Returns the environment of a case in which these backends have no usable server.
    pub(super) fn environment(&self, unusable: &[String]) -> Environment {
        if unusable.is_empty() {
            return self.usual.clone();
        }
        let backends = Named {
            backends: self.backends.clone(),
            servers: self.servers.clone(),
            unusable: unusable.to_vec(),
        };
        Environment::new(Arc::new(backends), Arc::clone(&self.tables))
    }
}

/// The backends of a file's cases, each with idle servers.
#[derive(Debug)]
struct Named {
    backends: Vec<BackendName>,
    servers: BTreeMap<String, Vec<String>>,
    unusable: Vec<String>,
}

impl Backends for Named {
    fn names(&self) -> Vec<BackendName> {
        self.backends.clone()
    }

    fn find(&self, name: &str) -> Option<BackendName> {
        let mut backends = self.backends.iter();
        backends.find(|known| ***known == *name).cloned()
    }

    fn is_usable(&self, name: &str) -> bool {
        let is_unusable = self.unusable.iter().any(|unusable| unusable == name);
        self.find(name).is_some() && !is_unusable
    }

    fn state(&self, name: &str) -> Option<BackendState> {
        let servers = self.configured(name)?.len();
        let usable = if self.is_usable(name) { servers } else { 0 };
        Some(BackendState {
            usable_servers: u32::try_from(usable).unwrap_or(u32::MAX),
            ..BackendState::default()
        })
    }

    fn servers(&self, name: &str) -> Option<Vec<ServerState>> {
        let usable = self.is_usable(name);
        let servers = self.configured(name)?.into_iter();
        Some(
            servers
                .map(|server| ServerState { usable, ..server })
                .collect(),
        )
    }

    fn configured(&self, name: &str) -> Option<Vec<ServerState>> {
        self.find(name)?;
        let idle = |name: &str| ServerState::idle(ServerName::from(name), 1, None);
        Some(match self.servers.get(name) {
            Some(servers) => servers.iter().map(|server| idle(server)).collect(),
            None => vec![idle("server")],
        })
    }
}
