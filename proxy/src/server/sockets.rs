//! Every listening socket of the process.
//!
//! Those of frontends are bound before any worker accepts. Of each a second descriptor is
//! kept here, so that it can be passed on: by a reload to another frontend, by an upgrade to
//! the process that follows. What was passed to this process is served by whoever names its
//! address.

use std::collections::HashSet;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ServerError;
use crate::config::{Bind, Frontend};
use crate::listener::{Listener, Sharing};

/// What is open. Dropping it removes the files of Unix sockets.
#[derive(Debug)]
pub(super) struct Sockets {
    frontends: Known,
    admin: Vec<Open>,
    /// Nothing is kept any more: the process is about to end.
    is_closed: bool,
}

/// What is open for frontends, as of one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Known(Vec<Open>);

/// A listening socket.
#[derive(Debug, Clone)]
pub(super) struct Open {
    /// Which `bind` it was opened for; None where that is not known, and for the admin
    /// interface.
    pub(super) purpose: Option<Purpose>,
    pub(super) listener: Arc<Listener>,
    pub(super) keeper: Keeper,
    /// Whether workers have it.
    is_served: bool,
}

/// A `bind` of a frontend, as configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Purpose {
    frontend: String,
    bind: String,
}

/// Who removes the file of a Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeper {
    /// This process.
    Own,
    /// The process before this one, until this one serves.
    Predecessor,
    /// The service manager, which listens on it also while no process does.
    Manager,
}

/// The sockets of the next configuration. Dropping it closes those that are new.
#[derive(Debug, Default)]
pub(super) struct Bound {
    /// In the order of the frontends.
    pub(super) frontends: Vec<FrontendSockets>,
    open: Vec<Open>,
    names: HashSet<String>,
    /// Files that dropping it removes.
    fresh_paths: Vec<PathBuf>,
}

/// Of one frontend.
#[derive(Debug)]
pub(super) struct FrontendSockets {
    /// All of them.
    pub(super) names: HashSet<String>,
    /// Those that the workers do not have yet.
    pub(super) fresh: Vec<String>,
    /// The same, for each worker.
    workers: Vec<Vec<Listener>>,
}

impl FrontendSockets {
    /// The new ones of the next worker.
    pub(super) fn next_worker(&mut self) -> Vec<Listener> {
        self.workers.pop().unwrap_or_default()
    }

    /// Deals sockets out so that each is accepted from, and each worker has one.
    fn deal(&mut self, sockets: &[Open]) -> io::Result<()> {
        let workers = self.workers.len();
        for turn in 0..workers.max(sockets.len()) {
            let listener = &sockets[turn % sockets.len()].listener;
            self.workers[turn % workers].push(listener.try_clone()?);
        }
        Ok(())
    }
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

    /// It is in service from now on.
    fn take_over(&mut self) {
        self.is_served = true;
        if self.keeper == Keeper::Predecessor {
            self.keeper = Keeper::Own;
        }
    }

    /// Nobody listens there any more: who comes now is told so by the file's absence.
    fn remove_file(&self) {
        if let (Keeper::Own, Some(path)) = (self.keeper, self.listener.path()) {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Sockets {
    /// With what was passed to this process.
    pub(super) fn new(inherited: Vec<Open>) -> Sockets {
        Sockets {
            frontends: Known(inherited),
            admin: Vec::new(),
            is_closed: false,
        }
    }

    /// What is open for frontends now.
    pub(super) fn known(&self) -> &Known {
        &self.frontends
    }

    /// All that a successor gets.
    pub(super) fn all(&self) -> Vec<Open> {
        [&self.frontends.0[..], &self.admin[..]].concat()
    }

    /// A socket for the admin interface: what was passed to this process under this name, or
    /// what `bind` makes.
    ///
    /// # Errors
    /// Those of `bind`, and of `dup(2)`.
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

    /// What `bound` has is in service; the rest is closed.
    pub(super) fn replace(&mut self, mut bound: Bound) {
        if self.is_closed {
            return;
        }
        bound.fresh_paths.clear();
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
                    "a socket that was passed to this process is closed: no frontend binds it"
                );
            }
            gone.take_over();
            gone.remove_file();
        }
    }

    /// Lets go of the frontends' sockets: nobody is to connect any more.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        for open in self.frontends.0.drain(..) {
            open.remove_file();
        }
    }

    /// Lets go of all sockets, which are the successor's now.
    pub(super) fn hand_over(&mut self) {
        self.is_closed = true;
        self.frontends.0.clear();
        self.admin.clear();
    }
}

impl Known {
    /// Opens what `frontends` ask for and the workers do not have yet, for each of `workers`.
    ///
    /// # Errors
    /// [`ServerError::Bind`]; what was bound by this call is closed again.
    pub(super) fn bind(
        &self,
        frontends: &[Frontend],
        workers: usize,
    ) -> Result<Bound, ServerError> {
        let mut bound = Bound::default();
        for frontend in frontends {
            let mut sockets = FrontendSockets {
                names: HashSet::new(),
                fresh: Vec::new(),
                workers: (0..workers).map(|_| Vec::new()).collect(),
            };
            for bind in &frontend.bind {
                self.bind_one(frontend, bind, &mut sockets, &mut bound)
                    .map_err(|source| ServerError::Bind {
                        frontend: frontend.name.clone(),
                        address: bind.to_string(),
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
        bind: &Bind,
        sockets: &mut FrontendSockets,
        bound: &mut Bound,
    ) -> io::Result<()> {
        let purpose = Purpose {
            frontend: frontend.name.clone(),
            bind: bind.to_string(),
        };
        // A port of 0, or a name, has been made an address before.
        let known = self.find(|open| open.purpose.as_ref() == Some(&purpose));
        let groups = if known.is_empty() {
            let groups = self.open(bind, frontend.backlog, sockets.workers.len(), bound)?;
            groups
                .into_iter()
                .map(|group| {
                    let group = group.into_iter().map(|open| Open {
                        purpose: Some(purpose.clone()),
                        // Another frontend's workers' tasks end with that.
                        is_served: false,
                        ..open
                    });
                    group.collect()
                })
                .collect()
        } else {
            by_name(known)
        };
        for group in groups {
            let name = group[0].listener.name();
            // Of another `bind` of this configuration, by another spelling.
            if !bound.names.insert(name.to_owned()) {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            if group.iter().any(|open| !open.is_served) {
                sockets.deal(&group)?;
                sockets.fresh.push(name.to_owned());
            }
            sockets.names.insert(name.to_owned());
            bound.open.extend(group);
        }
        Ok(())
    }

    fn find(&self, wanted: impl Fn(&Open) -> bool) -> Vec<Open> {
        self.0.iter().filter(|open| wanted(open)).cloned().collect()
    }

    /// The sockets of a `bind`: a group for each address that it has.
    fn open(
        &self,
        bind: &Bind,
        backlog: u32,
        workers: usize,
        bound: &mut Bound,
    ) -> io::Result<Vec<Vec<Open>>> {
        match bind {
            Bind::Tcp(address) => Ok(vec![self.open_tcp(*address, backlog, workers)?]),
            Bind::Name { host, port } => {
                let mut addresses: Vec<SocketAddr> = Vec::new();
                for address in (host.as_str(), *port).to_socket_addrs()? {
                    if !addresses.contains(&address) {
                        addresses.push(address);
                    }
                }
                let addresses = addresses.into_iter();
                addresses
                    .map(|address| self.open_tcp(address, backlog, workers))
                    .collect()
            }
            Bind::Unix(path) => {
                let name = bind.to_string();
                let known = self.find(|open| open.listener.name() == name);
                if !known.is_empty() {
                    return Ok(vec![known]);
                }
                let listener = Listener::unix(path, backlog)?;
                bound.fresh_paths.push(path.clone());
                Ok(vec![vec![Open::own(listener, None)]])
            }
        }
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
        // With SO_REUSEPORT alone a second process of ours would take half of the
        // connections in silence. Binding without it first finds out whether somebody
        // listens already.
        if address.port() != 0 {
            drop(Listener::tcp(address, backlog, Sharing::Alone)?);
        }
        let mut sockets = Vec::new();
        for _ in 0..workers {
            let listener = Listener::tcp(address, backlog, Sharing::Workers)?;
            // Port 0: the others share what the first was given.
            address = listener.name().parse().unwrap_or(address);
            sockets.push(Open::own(listener, None));
        }
        Ok(sockets)
    }
}

/// The sockets of each address, which is one for several workers.
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
        for path in &self.fresh_paths {
            let _ = std::fs::remove_file(path);
        }
    }
}
