//! The backends of a configuration that is not in force. All of them are idle.

use std::collections::BTreeMap;

use crate::config::{self, Config};
use crate::plugin::{BackendName, BackendState, Backends, ServerName, ServerState};

/// The configured backends, as a plugin sees them while it is tried out.
#[derive(Debug, Default)]
pub struct ConfiguredBackends(BTreeMap<BackendName, Vec<ServerState>>);

impl ConfiguredBackends {
    /// Creates the backends of `config`.
    pub fn new(config: &Config) -> ConfiguredBackends {
        let backends = config.backends.iter().map(|backend| {
            let servers = backend.servers.iter().map(idle);
            (BackendName::from(backend.name.as_str()), servers.collect())
        });
        ConfiguredBackends(backends.collect())
    }
}

/// Returns the configured state of a server without requests.
pub fn idle(server: &config::Server) -> ServerState {
    let name = ServerName::from(server.name.as_str());
    let limit = server.max_requests.map(std::num::NonZero::get);
    ServerState::idle(name, server.weight.into(), limit)
}

impl Backends for ConfiguredBackends {
    fn names(&self) -> Vec<BackendName> {
        self.0.keys().cloned().collect()
    }

    fn find(&self, name: &str) -> Option<BackendName> {
        let (name, _) = self.0.get_key_value(name)?;
        Some(BackendName::clone(name))
    }

    fn is_usable(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|servers| !servers.is_empty())
    }

    fn state(&self, name: &str) -> Option<BackendState> {
        let servers = self.0.get(name)?.len();
        Some(BackendState {
            usable_servers: u32::try_from(servers).unwrap_or(u32::MAX),
            ..BackendState::default()
        })
    }

    fn servers(&self, name: &str) -> Option<Vec<ServerState>> {
        self.configured(name)
    }

    fn configured(&self, name: &str) -> Option<Vec<ServerState>> {
        self.0.get(name).cloned()
    }
}
