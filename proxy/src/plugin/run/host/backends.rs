//! The interface `backends`.

use super::State;
use crate::plugin::run::backends::{BackendState, ServerState};
use crate::plugin::run::bindings::pointsman::router::backends;

impl backends::Host for State {
    fn names(&mut self) -> wasmtime::Result<Vec<String>> {
        self.note_backends();
        let names = self.backends.names();
        Ok(names.iter().map(ToString::to_string).collect())
    }

    fn state(&mut self, name: String) -> wasmtime::Result<Option<backends::Backend>> {
        let state = if self.note_backends() {
            self.backends.state(&name)
        } else {
            let servers = self.configured_servers.of(&*self.backends, &name);
            servers.map(|servers| BackendState {
                usable_servers: u32::try_from(servers.len()).unwrap_or(u32::MAX),
                ..BackendState::default()
            })
        };
        Ok(state.map(|state| backends::Backend {
            usable_servers: state.usable_servers,
            active: state.active,
            queued: state.queued,
        }))
    }

    fn servers(&mut self, name: String) -> wasmtime::Result<Option<Vec<backends::Server>>> {
        let servers = if self.note_backends() {
            self.backends.servers(&name)
        } else {
            self.configured_servers.of(&*self.backends, &name)
        };
        Ok(servers.map(|servers| servers.iter().map(server).collect()))
    }
}

impl State {
    /// Returns whether a request is being routed. If so, marks its decision as uncacheable.
    ///
    /// The instance could remember for its whole life any backend state that `configure` saw. So
    /// when no request is being routed, the guest sees the configured state, which is always the
    /// same.
    fn note_backends(&mut self) -> bool {
        if self.call.is_none() {
            return false;
        }
        self.reads.forbid_caching();
        true
    }
}

fn server(state: &ServerState) -> backends::Server {
    backends::Server {
        name: state.name.to_string(),
        usable: state.usable,
        weight: state.weight,
        active: state.active,
        limit: state.limit,
        latency: state.latency,
    }
}
