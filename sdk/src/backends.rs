//! What the proxy knows about its backends.
//!
//! To ask while routing makes that decision uncacheable; to ask in `configure` does not, where
//! every server counts as usable and nothing is in progress.
//! Answers come from the proxy, in tests from the `testing` instance.

use std::fmt::Display;

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

/// The load of the backend `name`; none where the proxy's configuration has no such.
pub fn state(name: &str) -> Option<State> {
    #[cfg(target_family = "wasm")]
    return crate::guest::backend_state(name);
    #[cfg(not(target_family = "wasm"))]
    return crate::testing::backend_state(name);
}

/// Whether the proxy's configuration has a backend `name`.
pub fn exists(name: &str) -> bool {
    state(name).is_some()
}

/// Sees to it, in `configure`, that the proxy's configuration has the backend `name`, which the
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
