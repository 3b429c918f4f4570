//! A backend's settings, for its cluster and its leases.

use std::time::Duration;

use crate::config::{self, Affinity, HttpReuse};

/// The settings of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The backend's configuration, without its servers.
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

    /// Returns the secret for the cookies that select servers, or `None` if the backend uses no
    /// such cookies.
    pub(super) fn secret(&self) -> Option<&str> {
        match &self.backend.affinity {
            Some(Affinity::Cookie(cookie)) => Some(&cookie.secret),
            _ => None,
        }
    }

    /// Returns how long an unused connection is kept, or `None` if unused connections are not kept.
    pub(super) fn max_idle(&self) -> Option<Duration> {
        let is_reused = self.backend.http_reuse != HttpReuse::Never;
        is_reused.then_some(self.backend.timeouts.server_keep_alive)
    }
}
