//! A backend's settings, as its cluster and its leases have them.

use std::time::Duration;

use crate::config::{self, Affinity, HttpReuse};

/// How a cluster is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// As configured, but without its servers.
    pub backend: config::Backend,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            backend: config::Backend::new("", Vec::new()),
        }
    }
}

impl Settings {
    pub(super) fn new(backend: &config::Backend) -> Settings {
        let mut backend = backend.clone();
        backend.servers.clear();
        Settings { backend }
    }

    /// Mixed into the cookies of servers. None: there are no such cookies.
    pub(super) fn secret(&self) -> Option<&str> {
        match &self.backend.affinity {
            Some(Affinity::Cookie(cookie)) => Some(&cookie.secret),
            _ => None,
        }
    }

    /// How long a connection is kept without use; None: not at all.
    pub(super) fn max_idle(&self) -> Option<Duration> {
        let is_reused = self.backend.http_reuse != HttpReuse::Never;
        is_reused.then_some(self.backend.timeouts.server_keep_alive)
    }
}
