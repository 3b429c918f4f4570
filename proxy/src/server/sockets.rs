//! Every listening socket, for every worker, bound before any of them accepts.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::vec;

use super::ServerError;
use crate::config::{Bind, Frontend};
use crate::listener::{Listener, Sharing};

/// What was bound.
#[derive(Debug)]
pub(super) struct Bound {
    /// For each worker.
    pub(super) workers: Vec<Sockets>,
    /// Frontend and address, as bound, for the log.
    pub(super) addresses: Vec<(String, String)>,
    /// Files of Unix sockets, to be removed at the end.
    pub(super) paths: Vec<PathBuf>,
}

/// A worker's sockets, frontend by frontend.
#[derive(Debug)]
pub(super) struct Sockets(vec::IntoIter<Vec<Listener>>);

impl Sockets {
    /// Those of the next frontend, in the order of the configuration.
    pub(super) fn next_frontend(&mut self) -> Vec<Listener> {
        self.0.next().unwrap_or_default()
    }
}

/// Binds all that `frontends` ask for, once for each of `workers`.
///
/// # Errors
/// [`ServerError::Bind`]; what was bound before is closed again.
pub(super) fn bind(frontends: &[Frontend], workers: usize) -> Result<Bound, ServerError> {
    let mut sockets: Vec<Vec<Vec<Listener>>> = (0..workers).map(|_| Vec::new()).collect();
    let mut bound = Bound {
        workers: Vec::new(),
        addresses: Vec::new(),
        paths: Vec::new(),
    };
    for frontend in frontends {
        for worker in &mut sockets {
            worker.push(Vec::new());
        }
        for address in &frontend.bind {
            let found = bind_one(address, frontend.backlog, workers).map_err(|source| {
                for path in &bound.paths {
                    let _ = std::fs::remove_file(path);
                }
                ServerError::Bind {
                    frontend: frontend.name.clone(),
                    address: address.to_string(),
                    source,
                }
            })?;
            for group in found {
                bound.addresses.push((frontend.name.clone(), group.address));
                bound.paths.extend(group.path);
                for (worker, listener) in sockets.iter_mut().zip(group.listeners) {
                    if let Some(last) = worker.last_mut() {
                        last.push(listener);
                    }
                }
            }
        }
    }
    bound.workers = sockets
        .into_iter()
        .map(|worker| Sockets(worker.into_iter()))
        .collect();
    Ok(bound)
}

/// One address, for all workers.
struct Group {
    address: String,
    path: Option<PathBuf>,
    listeners: Vec<Listener>,
}

fn bind_one(bind: &Bind, backlog: u32, workers: usize) -> io::Result<Vec<Group>> {
    match bind {
        Bind::Tcp(address) => Ok(vec![bind_tcp(*address, backlog, workers)?]),
        Bind::Name { host, port } => {
            let mut addresses: Vec<SocketAddr> = Vec::new();
            for address in (host.as_str(), *port).to_socket_addrs()? {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            let groups = addresses.into_iter();
            groups
                .map(|address| bind_tcp(address, backlog, workers))
                .collect()
        }
        Bind::Unix(path) => {
            let first = Listener::unix(path, backlog)?;
            let mut listeners = Vec::new();
            for _ in 1..workers {
                listeners.push(first.try_clone()?);
            }
            listeners.push(first);
            Ok(vec![Group {
                address: bind.to_string(),
                path: Some(path.clone()),
                listeners,
            }])
        }
    }
}

fn bind_tcp(mut address: SocketAddr, backlog: u32, workers: usize) -> io::Result<Group> {
    // With SO_REUSEPORT alone a second process of ours would take half of the connections
    // in silence. Binding without it first finds out whether somebody listens already.
    if address.port() != 0 {
        drop(Listener::tcp(address, backlog, Sharing::Alone)?);
    }
    let mut listeners = Vec::new();
    for _ in 0..workers {
        let listener = Listener::tcp(address, backlog, Sharing::Workers)?;
        // Port 0: the others share what the first was given.
        address = listener.address()?.as_socket().unwrap_or(address);
        listeners.push(listener);
    }
    Ok(Group {
        address: address.to_string(),
        path: None,
        listeners,
    })
}
