//! What the proxy knows about its backends.
//!
//! A call in `route` makes that decision uncacheable: ask
//! [`questions::usable`](crate::questions::usable) where a yes or a no is enough. A call in
//! `configure` does not; every server counts as usable and idle there. Answers come from the
//! proxy, in tests from the `testing` instance.

use std::fmt::Display;
use std::time::Duration;

use crate::Error;

/// The load of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Servers that are up and not draining, with or without a free slot.
    pub usable_servers: u32,
    /// Requests and tunnels in progress, over all servers.
    pub active: u32,
    /// Requests that wait for a free slot.
    pub queued: u32,
}

/// One server of a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// Its name in the proxy's configuration.
    pub name: String,
    /// Up and not draining, with or without a free slot.
    pub usable: bool,
    /// Its weight.
    pub weight: u32,
    /// Requests and tunnels in progress.
    pub active: u32,
    /// Requests that it accepts at once; none without a limit.
    pub limit: Option<u32>,
    /// Moving average of the time to a response's head; none before the first response.
    pub latency: Option<Duration>,
}

/// The name of every backend of the proxy's configuration.
pub fn names() -> Vec<String> {
    #[cfg(target_family = "wasm")]
    return crate::guest::backend_names();
    #[cfg(not(target_family = "wasm"))]
    return crate::testing::backend_names();
}

/// The load of the backend `name`; none if the proxy's configuration has no such backend.
pub fn state(name: &str) -> Option<State> {
    #[cfg(target_family = "wasm")]
    return crate::guest::backend_state(name);
    #[cfg(not(target_family = "wasm"))]
    return crate::testing::backend_state(name);
}

/// The servers of the backend `name`; none if the proxy's configuration has no such backend.
pub fn servers(name: &str) -> Option<Vec<Server>> {
    #[cfg(target_family = "wasm")]
    return crate::guest::backend_servers(name);
    #[cfg(not(target_family = "wasm"))]
    return crate::testing::backend_servers(name);
}

/// Whether the proxy's configuration has a backend `name`.
pub fn exists(name: &str) -> bool {
    state(name).is_some()
}

/// Checks in `configure` that the proxy's configuration has the backend `name`, which the
/// plugin's own has at `key`, as in `rules[0].backend`.
///
/// # Errors
/// It has no such backend; the proxy shows the text at that key.
pub fn require(key: impl Display, name: &str) -> Result<(), Error> {
    if exists(name) {
        Ok(())
    } else {
        Err(Error::at(key, format_args!("there is no backend {name:?}")))
    }
}
