//! Every listening socket, for every worker, bound before any of them accepts.

use std::collections::HashSet;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use super::ServerError;
use crate::config::{Bind, Frontend};
use crate::listener::{Listener, Sharing};

/// What is bound, for whom. Dropping it removes the files of Unix sockets.
#[derive(Debug, Default)]
pub(super) struct Sockets(Known);

/// What is bound, for whom, as of one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Known(Vec<Address>);

/// A `bind` of a frontend.
#[derive(Debug, Clone)]
struct Address {
    frontend: String,
    bind: Bind,
    /// One socket for each address that it has, by name.
    names: Vec<String>,
}

impl Address {
    /// The file of a Unix socket.
    fn path(&self) -> Option<&PathBuf> {
        match &self.bind {
            Bind::Unix(path) => Some(path),
            Bind::Tcp(_) | Bind::Name { .. } => None,
        }
    }
}

/// The sockets of the next configuration. Dropping it closes those that are new.
#[derive(Debug)]
pub(super) struct Bound {
    /// In the order of the frontends.
    pub(super) frontends: Vec<FrontendSockets>,
    addresses: Vec<Address>,
    /// Files that dropping it removes.
    fresh_paths: Vec<PathBuf>,
}

/// Of one frontend.
#[derive(Debug)]
pub(super) struct FrontendSockets {
    /// All of them.
    pub(super) names: HashSet<String>,
    /// Those that were not there before.
    pub(super) fresh: Vec<String>,
    /// The new ones, for each worker.
    workers: Vec<Vec<Listener>>,
}

impl FrontendSockets {
    /// The new ones of the next worker.
    pub(super) fn next_worker(&mut self) -> Vec<Listener> {
        self.workers.pop().unwrap_or_default()
    }
}

impl Sockets {
    /// What is bound now.
    pub(super) fn known(&self) -> &Known {
        &self.0
    }

    /// What `bound` has is in service; files that nobody listens at any more are removed.
    pub(super) fn replace(&mut self, mut bound: Bound) {
        bound.fresh_paths.clear();
        let addresses = std::mem::take(&mut bound.addresses);
        let old = std::mem::replace(&mut self.0, Known(addresses));
        let kept = &self.0.0;
        for path in old.0.iter().filter_map(Address::path) {
            if kept.iter().all(|address| address.path() != Some(path)) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

impl Known {
    /// Binds what `frontends` ask for and is not bound yet, once for each of `workers`.
    ///
    /// # Errors
    /// [`ServerError::Bind`]; what was bound by this call is closed again.
    pub(super) fn bind(
        &self,
        frontends: &[Frontend],
        workers: usize,
    ) -> Result<Bound, ServerError> {
        let mut bound = Bound {
            frontends: Vec::new(),
            addresses: Vec::new(),
            fresh_paths: Vec::new(),
        };
        for frontend in frontends {
            let mut sockets = FrontendSockets {
                names: HashSet::new(),
                fresh: Vec::new(),
                workers: (0..workers).map(|_| Vec::new()).collect(),
            };
            for bind in &frontend.bind {
                let address = self.find(&frontend.name, bind).map_or_else(
                    || {
                        let found = self.bind_one(bind, frontend.backlog, workers);
                        let groups = found.map_err(|source| ServerError::Bind {
                            frontend: frontend.name.clone(),
                            address: bind.to_string(),
                            source,
                        })?;
                        let address = Address {
                            frontend: frontend.name.clone(),
                            bind: bind.clone(),
                            names: sockets.add(groups),
                        };
                        bound.fresh_paths.extend(address.path().cloned());
                        Ok::<_, ServerError>(address)
                    },
                    |known| Ok(known.clone()),
                )?;
                sockets.names.extend(address.names.iter().cloned());
                bound.addresses.push(address);
            }
            bound.frontends.push(sockets);
        }
        Ok(bound)
    }

    fn find(&self, frontend: &str, bind: &Bind) -> Option<&Address> {
        let mut addresses = self.0.iter();
        addresses.find(|address| address.frontend == frontend && address.bind == *bind)
    }

    /// Each socket of one address, for all workers.
    fn bind_one(
        &self,
        bind: &Bind,
        backlog: u32,
        workers: usize,
    ) -> io::Result<Vec<Vec<Listener>>> {
        match bind {
            Bind::Tcp(address) => Ok(vec![self.bind_tcp(*address, backlog, workers)?]),
            Bind::Name { host, port } => {
                let mut addresses: Vec<SocketAddr> = Vec::new();
                for address in (host.as_str(), *port).to_socket_addrs()? {
                    if !addresses.contains(&address) {
                        addresses.push(address);
                    }
                }
                let addresses = addresses.into_iter();
                addresses
                    .map(|address| self.bind_tcp(address, backlog, workers))
                    .collect()
            }
            Bind::Unix(path) => {
                let first = Listener::unix(path, backlog)?;
                let mut listeners = Vec::new();
                for _ in 1..workers {
                    listeners.push(first.try_clone()?);
                }
                listeners.push(first);
                Ok(vec![listeners])
            }
        }
    }

    fn bind_tcp(
        &self,
        mut address: SocketAddr,
        backlog: u32,
        workers: usize,
    ) -> io::Result<Vec<Listener>> {
        // With SO_REUSEPORT alone a second process of ours would take half of the
        // connections in silence. Binding without it first finds out whether somebody
        // listens already; it may be another frontend of this process that is about to go.
        let name = address.to_string();
        let is_own = self.0.iter().any(|known| known.names.contains(&name));
        if address.port() != 0 && !is_own {
            drop(Listener::tcp(address, backlog, Sharing::Alone)?);
        }
        let mut listeners = Vec::new();
        for _ in 0..workers {
            let listener = Listener::tcp(address, backlog, Sharing::Workers)?;
            // Port 0: the others share what the first was given.
            address = listener.name().parse().unwrap_or(address);
            listeners.push(listener);
        }
        Ok(listeners)
    }
}

impl FrontendSockets {
    /// Deals the sockets out to the workers; their names.
    fn add(&mut self, groups: Vec<Vec<Listener>>) -> Vec<String> {
        let mut names = Vec::new();
        for group in groups {
            names.extend(group.first().map(|listener| listener.name().to_owned()));
            for (worker, listener) in self.workers.iter_mut().zip(group) {
                worker.push(listener);
            }
        }
        self.fresh.extend(names.iter().cloned());
        names
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        // Nobody listens there any more; who comes now is told so by its absence.
        for path in self.0.0.iter().filter_map(Address::path) {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        for path in &self.fresh_paths {
            let _ = std::fs::remove_file(path);
        }
    }
}
