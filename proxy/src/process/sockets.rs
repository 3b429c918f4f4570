//! All listening sockets of the process.
//!
//! The sockets of frontends are bound before any worker accepts. A second descriptor of each socket
//! is kept here, so that a reload can pass it to another frontend and an upgrade can pass it to the
//! successor. An inherited socket goes to the frontend that binds its address.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::StartError;
use super::socket_access::{self, Changed};
use super::survey::{Addresses, Resolve};
use crate::config::{self, BindAddress, Frontend, SocketAccess};
use crate::control::FrontendListeners;
use crate::downstream::listener::{Listener, Sharing, unix_name};

/// The open sockets. Dropping them removes the files of Unix sockets.
#[derive(Debug)]
pub(super) struct Sockets {
    frontends: Known,
    admin: Vec<Open>,
    /// Whether the process is about to end and therefore keeps no sockets.
    is_closed: bool,
}

/// The open sockets of frontends at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Known(Vec<Open>);

/// A listening socket.
#[derive(Debug, Clone)]
pub(super) struct Open {
    /// The `bind` that the socket was opened for; None if that is unknown, and for the admin
    /// interface.
    pub(super) purpose: Option<Purpose>,
    pub(super) listener: Arc<Listener>,
    pub(super) keeper: Keeper,
    /// Whether the workers have the socket.
    is_served: bool,
}

/// A `bind` of a frontend, as configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Purpose {
    frontend: String,
    bind: String,
}

/// The party that owns a Unix socket's file and removes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeper {
    /// This process.
    Own,
    /// The predecessor, until this process serves.
    Predecessor,
    /// The service manager, which keeps the socket open even while no process serves.
    Manager,
}

/// The sockets of the next configuration. Dropping this closes the new ones.
#[derive(Debug, Default)]
pub(super) struct Bound {
    /// The listeners of each frontend, in the order of the frontends.
    pub(super) frontends: Vec<FrontendListeners>,
    open: Vec<Open>,
    names: HashSet<String>,
    /// Files of new sockets, removed when this is dropped.
    fresh_paths: Vec<PathBuf>,
    /// Files of kept sockets whose permissions or owner have changed; reverted when this is
    /// dropped.
    changed: Vec<Changed>,
}

impl Open {
    pub(super) fn inherited(listener: Listener, keeper: Keeper, purpose: Option<Purpose>) -> Open {
        Open {
            purpose,
            listener: Arc::new(listener),
            keeper,
            is_served: false,
        }
    }

    fn own(listener: Listener, purpose: Option<Purpose>) -> Open {
        Open::inherited(listener, Keeper::Own, purpose)
    }

    /// Marks the socket as served. Takes ownership of a predecessor's socket file.
    fn take_over(&mut self) {
        self.is_served = true;
        if self.keeper == Keeper::Predecessor {
            self.keeper = Keeper::Own;
        }
    }

    /// Removes the file of a Unix socket that this process owns, so that new clients see that
    /// nothing listens there any more.
    fn remove_file(&self) {
        if let (Keeper::Own, Some(path)) = (self.keeper, self.listener.path()) {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Sockets {
    /// Starts with the sockets that this process inherited.
    pub(super) fn new(inherited: Vec<Open>) -> Sockets {
        Sockets {
            frontends: Known(inherited),
            admin: Vec::new(),
            is_closed: false,
        }
    }

    /// Returns the sockets that are open for frontends.
    pub(super) fn known(&self) -> &Known {
        &self.frontends
    }

    /// Returns the sockets that a successor inherits.
    pub(super) fn all(&self) -> Vec<Open> {
        [&self.frontends.0[..], &self.admin[..]].concat()
    }

    /// Returns a socket for the admin interface: the inherited one with this name, or the result of
    /// `bind`.
    ///
    /// # Errors
    /// Errors of `bind` and of `dup(2)`.
    pub(super) fn admin(
        &mut self,
        name: &str,
        bind: impl FnOnce() -> io::Result<Listener>,
    ) -> io::Result<Listener> {
        let pool = &mut self.frontends.0;
        let found = pool.iter().position(|open| open.listener.name() == name);
        let mut open = match found {
            Some(index) => pool.swap_remove(index),
            None => Open::own(bind()?, None),
        };
        let listener = open.listener.try_clone()?;
        open.is_served = true;
        self.admin.push(open);
        Ok(listener)
    }

    /// Puts the sockets of `bound` into service and closes all others.
    pub(super) fn replace(&mut self, mut bound: Bound) {
        if self.is_closed {
            return;
        }
        bound.fresh_paths.clear();
        bound.changed.clear();
        let mut open = std::mem::take(&mut bound.open);
        for open in open.iter_mut().chain(&mut self.admin) {
            open.take_over();
        }
        let old = std::mem::replace(&mut self.frontends.0, open);
        for mut gone in old {
            let name = gone.listener.name();
            let mut kept = self.frontends.0.iter();
            if kept.any(|open| open.listener.name() == name) {
                continue;
            }
            if !gone.is_served {
                tracing::warn!(
                    address = name,
                    "inherited socket closed: no frontend binds it"
                );
            }
            gone.take_over();
            gone.remove_file();
        }
    }

    /// Closes the frontends' sockets, so that no new connections are accepted.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        for open in self.frontends.0.drain(..) {
            open.remove_file();
        }
    }

    /// Closes all sockets but keeps their files: the successor has the sockets now.
    pub(super) fn hand_over(&mut self) {
        self.is_closed = true;
        self.frontends.0.clear();
        self.admin.clear();
    }
}

impl Bound {
    /// Changes the permissions and owner of a Unix socket that is already open.
    fn change_access(&mut self, known: &[Open], access: &SocketAccess) -> io::Result<()> {
        let path = known.iter().find_map(|open| open.listener.path());
        let changed = path.map(|path| socket_access::apply(path, access));
        self.changed.extend(changed.transpose()?.flatten());
        Ok(())
    }

    /// Counts the addresses.
    pub(super) fn addresses(&self) -> Addresses {
        let mut paths: Vec<_> = self
            .open
            .iter()
            .filter_map(|one| one.listener.path())
            .collect();
        paths.sort_unstable();
        paths.dedup();
        Addresses {
            ip: self.names.len() - paths.len(),
            unix: paths.len(),
        }
    }
}

impl Known {
    /// Opens, for each of `workers`, the sockets of `frontends` that the worker does not have yet.
    /// Calls `resolve` to look up the addresses of names.
    ///
    /// # Errors
    /// [`StartError::Bind`]; sockets that this call has bound are closed again.
    pub(super) fn bind(
        &self,
        frontends: &[Frontend],
        workers: usize,
        resolve: &Resolve<'_>,
    ) -> Result<Bound, StartError> {
        let mut bound = Bound::default();
        for frontend in frontends {
            let mut sockets = FrontendListeners::new(&frontend.name, workers);
            for index in 0..frontend.bind.len() {
                self.bind_one(frontend, index, resolve, &mut sockets, &mut bound)
                    .map_err(|source| StartError::Bind {
                        frontend: frontend.name.clone(),
                        address: frontend.bind[index].address.to_string(),
                        source,
                    })?;
            }
            bound.frontends.push(sockets);
        }
        Ok(bound)
    }

    fn bind_one(
        &self,
        frontend: &Frontend,
        index: usize,
        resolve: &Resolve<'_>,
        sockets: &mut FrontendListeners,
        bound: &mut Bound,
    ) -> io::Result<()> {
        let config::Bind {
            address: bind,
            access,
            ..
        } = &frontend.bind[index];
        let purpose = Purpose {
            frontend: frontend.name.clone(),
            bind: bind.to_string(),
        };
        // Looked up by `bind`, because the address of port 0 or of a name is known only once it is
        // bound.
        let known = self.find(|open| open.purpose.as_ref() == Some(&purpose));
        let groups = if known.is_empty() {
            let workers = sockets.workers.len();
            let groups = match bind {
                BindAddress::Unix(path) => {
                    vec![self.open_unix(path, access, frontend.backlog, bound)?]
                }
                BindAddress::Name { host, port } => {
                    let addresses = resolve(host, *port)?;
                    self.open_all(&addresses, frontend.backlog, workers)?
                }
                BindAddress::Tcp(address) => {
                    self.open_all(&[*address], frontend.backlog, workers)?
                }
            };
            groups
                .into_iter()
                .map(|group| {
                    let group = group.into_iter().map(|open| Open {
                        purpose: Some(purpose.clone()),
                        // If the socket belonged to another frontend, its accept tasks end with
                        // that frontend, so the workers need the socket again.
                        is_served: false,
                        ..open
                    });
                    group.collect()
                })
                .collect()
        } else {
            bound.change_access(&known, access)?;
            by_name(known)
        };
        for group in groups {
            let name = group[0].listener.name();
            // Another `bind` of this configuration means the same address with a different
            // spelling.
            if !bound.names.insert(name.to_owned()) {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            if group.iter().any(|open| !open.is_served) {
                distribute(&group, &mut sockets.workers)?;
                sockets.fresh.push(name.to_owned());
            }
            sockets.names.insert(name.to_owned(), index);
            bound.open.extend(group);
        }
        Ok(())
    }

    /// Returns the sockets that worker `own` of `workers` accepts from, by frontend, each with its
    /// `bind`.
    ///
    /// # Errors
    /// Errors of `dup(2)`.
    pub(super) fn of_worker(
        &self,
        own: usize,
        workers: usize,
    ) -> io::Result<HashMap<String, Vec<(String, Listener)>>> {
        let mut found: HashMap<String, Vec<(String, Listener)>> = HashMap::new();
        for group in by_name(self.0.clone()) {
            let Some(purpose) = &group[0].purpose else {
                continue;
            };
            let mut listeners: Vec<Vec<Listener>> = (0..workers).map(|_| Vec::new()).collect();
            distribute(&group, &mut listeners)?;
            let known = found.entry(purpose.frontend.clone()).or_default();
            let own = listeners[own].drain(..);
            known.extend(own.map(|listener| (purpose.bind.clone(), listener)));
        }
        Ok(found)
    }

    fn find(&self, wanted: impl Fn(&Open) -> bool) -> Vec<Open> {
        self.0.iter().filter(|open| wanted(open)).cloned().collect()
    }

    fn open_unix(
        &self,
        path: &PathBuf,
        access: &SocketAccess,
        backlog: u32,
        bound: &mut Bound,
    ) -> io::Result<Vec<Open>> {
        let name = unix_name(path);
        let known = self.find(|open| open.listener.name() == name);
        if !known.is_empty() {
            bound.change_access(&known, access)?;
            return Ok(known);
        }
        let prepare = |path: &Path| socket_access::apply(path, access).map(drop);
        let listener = Listener::unix(path, backlog, prepare)?;
        bound.fresh_paths.push(path.clone());
        Ok(vec![Open::own(listener, None)])
    }

    /// Opens a group of sockets for each address.
    fn open_all(
        &self,
        addresses: &[SocketAddr],
        backlog: u32,
        workers: usize,
    ) -> io::Result<Vec<Vec<Open>>> {
        let addresses = addresses.iter();
        addresses
            .map(|address| self.open_tcp(*address, backlog, workers))
            .collect()
    }

    fn open_tcp(
        &self,
        mut address: SocketAddr,
        backlog: u32,
        workers: usize,
    ) -> io::Result<Vec<Open>> {
        let name = address.to_string();
        let known = self.find(|open| open.listener.name() == name);
        if !known.is_empty() {
            return Ok(known);
        }
        // With SO_REUSEPORT alone, a second proxy process would silently get half of the
        // connections. Therefore, a bind without it first finds out whether the address is in use.
        if address.port() != 0 {
            drop(Listener::tcp(address, backlog, Sharing::Alone)?);
        }
        let mut sockets = Vec::new();
        for _ in 0..workers {
            let listener = Listener::tcp(address, backlog, Sharing::Workers)?;
            // For port 0, the other sockets share the port of the first.
            address = listener.name().parse().unwrap_or(address);
            sockets.push(Open::own(listener, None));
        }
        Ok(sockets)
    }
}

/// Distributes sockets so that a worker accepts from each socket, and each worker has at least one
/// socket.
fn distribute(sockets: &[Open], workers: &mut [Vec<Listener>]) -> io::Result<()> {
    let count = workers.len();
    for turn in 0..count.max(sockets.len()) {
        let listener = &sockets[turn % sockets.len()].listener;
        workers[turn % count].push(listener.try_clone()?);
    }
    Ok(())
}

/// Groups sockets by address: several workers can have a socket for the same address.
fn by_name(sockets: Vec<Open>) -> Vec<Vec<Open>> {
    let mut groups: Vec<Vec<Open>> = Vec::new();
    for open in sockets {
        let name = open.listener.name();
        let known = groups
            .iter_mut()
            .find(|group| group[0].listener.name() == name);
        match known {
            Some(group) => group.push(open),
            None => groups.push(vec![open]),
        }
    }
    groups
}

impl Drop for Sockets {
    fn drop(&mut self) {
        for open in self.frontends.0.iter().chain(&self.admin) {
            open.remove_file();
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        for changed in self.changed.iter().rev() {
            changed.undo();
        }
        for path in &self.fresh_paths {
            let _ = std::fs::remove_file(path);
        }
    }
}
