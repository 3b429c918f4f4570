//! The state of the proxy's backends.
//!
//! Calling any of these functions in `route` makes the decision uncacheable. To find out whether a
//! backend is usable, ask [`questions::usable`](crate::questions::usable) instead. A call in
//! `configure` does not affect caching. While `configure` runs, every server counts as usable and
//! idle. In tests, the data come from the `testing` instance.

use std::fmt::Display;
use std::time::Duration;

use crate::Error;

/// The load of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Number of servers that are up and not draining, with or without a free slot.
    pub usable_servers: u32,
    /// Number of requests and tunnels in progress, over all servers.
    pub active: u32,
    /// Number of requests that wait for a free slot.
    pub queued: u32,
}

/// One server of a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// The server's name in the proxy's configuration.
    pub name: String,
    /// Whether the server is up and not draining, with or without a free slot.
    pub usable: bool,
    /// The server's weight.
    pub weight: u32,
    /// Number of requests and tunnels in progress.
    pub active: u32,
    /// Maximum number of concurrent requests; none if there is no limit.
    pub limit: Option<u32>,
    /// Moving average of the time until a response's head arrives; none before the first response.
    pub latency: Option<Duration>,
}

/// Returns the names of all backends in the proxy's configuration.
pub fn names() -> Vec<String> {
    #[cfg(target_family = "wasm")]
    return crate::guest::backend_names();
    #[cfg(not(target_family = "wasm"))]
    return crate::testing::backend_names();
}

/// Returns the load of the backend `name`; none if the proxy's configuration has no such backend.
pub fn state(name: &str) -> Option<State> {
    #[cfg(target_family = "wasm")]
    return crate::guest::backend_state(name);
    #[cfg(not(target_family = "wasm"))]
    return crate::testing::backend_state(name);
}

/// Returns the servers of the backend `name`; none if the proxy's configuration has no such
/// backend.
pub fn servers(name: &str) -> Option<Vec<Server>> {
    #[cfg(target_family = "wasm")]
    return crate::guest::backend_servers(name);
    #[cfg(not(target_family = "wasm"))]
    return crate::testing::backend_servers(name);
}

/// Reports whether the proxy's configuration has the backend `name`.
pub fn exists(name: &str) -> bool {
    state(name).is_some()
}

/// Checks in `configure` that the proxy's configuration has the backend `name`. `key` is the key of
/// the plugin's configuration that names the backend, as in `rules[0].backend`.
///
/// # Errors
/// There is no such backend. The proxy shows the error at that key.
pub fn require(key: impl Display, name: &str) -> Result<(), Error> {
    if exists(name) {
        Ok(())
    } else {
        Err(Error::at(key, format_args!("there is no backend {name:?}")))
    }
}
