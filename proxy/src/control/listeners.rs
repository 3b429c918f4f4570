//! Listening sockets of a configuration, in the form that the workers receive.
//!
//! Plain values. `process` binds the sockets, and `control` distributes them to the workers.

use std::collections::HashMap;

use crate::downstream::listener::Listener;

/// The listening sockets of one frontend.
#[derive(Debug)]
pub struct FrontendListeners {
    /// The frontend's name.
    pub frontend: String,
    /// Names of all its sockets, each with the index of its `bind`.
    pub names: HashMap<String, usize>,
    /// Names of the sockets that the workers do not have yet.
    pub fresh: Vec<String>,
    /// The new sockets of each worker.
    pub workers: Vec<Vec<Listener>>,
}

impl FrontendListeners {
    /// Creates the listeners of a frontend that has no sockets yet.
    pub fn new(frontend: &str, workers: usize) -> FrontendListeners {
        FrontendListeners {
            frontend: frontend.to_owned(),
            names: HashMap::new(),
            fresh: Vec::new(),
            workers: (0..workers).map(|_| Vec::new()).collect(),
        }
    }

    /// Logs the new sockets.
    pub fn announce(&self) {
        for address in &self.fresh {
            tracing::info!(frontend = self.frontend, address, "listening");
        }
    }
}
