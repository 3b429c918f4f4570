//! A cluster with one worker and servers on Unix sockets, for this module's tests.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::{UnixListener, UnixStream};

use super::cluster::ClusterConfig;
use super::configured::FileServers;
use super::endpoint::{Address, Endpoint};
use super::endpoint_set::Found;
use super::pool::ConnectionBudget;
use super::wake::Wake;
use super::{Condition, Demand, Lease, LocalCluster, Needs, Reuse};
use crate::config::{self, ServerAddress};
use crate::transport::buffer::BufferPool;

/// Sockets by name, some of them listening.
pub(super) struct Bed {
    directory: TempDir,
    listeners: HashMap<String, UnixListener>,
    pub(super) backend: config::Backend,
    pub(super) current: Option<ClusterConfig>,
    pub(super) workers: usize,
}

impl Bed {
    /// Creates the servers in a list separated by spaces. Each server has the form
    /// `NAME=SOCKET,SOCKET*MAX_REQUESTS`.
    pub(super) fn new(servers: &str) -> Bed {
        let mut bed = Bed {
            directory: tempfile::tempdir().unwrap(),
            listeners: HashMap::new(),
            backend: config::Backend::new("b", Vec::new()),
            current: None,
            workers: 1,
        };
        bed.configure(servers);
        bed
    }

    /// Replaces the servers.
    pub(super) fn configure(&mut self, servers: &str) {
        let servers = servers.split_whitespace().map(|server| {
            let (name, sockets) = server.split_once('=').unwrap();
            let (sockets, limit) = sockets.split_once('*').unwrap_or((sockets, "0"));
            config::Server {
                max_requests: NonZeroU32::new(limit.parse().unwrap()),
                ..config::Server::new(name, ServerAddress::Srv(sockets.to_owned()))
            }
        });
        self.backend.servers = servers.collect();
    }

    /// Starts listening on a socket.
    pub(super) fn listen(&mut self, name: &str) {
        let listener = UnixListener::bind(self.path(name)).unwrap();
        self.listeners.insert(name.to_owned(), listener);
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Prepares the configuration as a reload does, and publishes it.
    pub(super) fn reload(&mut self) -> ClusterConfig {
        let resolve = |address: &ServerAddress| {
            let ServerAddress::Srv(sockets) = address else {
                unreachable!("only names here")
            };
            let address = |socket: &str| match socket.parse() {
                Ok(address) => Address::Tcp(address),
                Err(_) => Address::Unix(self.path(socket)),
            };
            let found = sockets.split(',').map(|one| Found::new(address(one)));
            Ok(found.collect())
        };
        let before = self.current.as_ref().map(|config| &config.cluster);
        let config = ClusterConfig::prepare(
            &self.backend,
            &FileServers::default(),
            &mut { resolve },
            before,
            self.workers,
            &Wake::default(),
        );
        let mut config = config.unwrap();
        config.publish();
        self.current = Some(config.clone());
        config
    }

    /// Starts a worker, and returns its view.
    pub(super) fn start(&mut self) -> Rc<LocalCluster> {
        let budget = ConnectionBudget::new(100, BufferPool::default());
        Rc::new(LocalCluster::new(&self.reload(), 0, &budget))
    }

    /// Returns the server's side of the oldest connection to this socket.
    pub(super) async fn accept(&self, name: &str) -> UnixStream {
        self.listeners[name].accept().await.unwrap().0
    }

    /// Returns the socket to which a new connection leads, or `-` if no connection could be
    /// established.
    pub(super) async fn dial(&self, cluster: &Rc<LocalCluster>) -> String {
        match cluster.checkout(&fresh()).await {
            Ok(lease) => self.socket(&lease),
            Err(_) => "-".to_owned(),
        }
    }

    /// Returns the socket to which a lease is connected.
    pub(super) fn socket(&self, lease: &Lease) -> String {
        let address = lease.endpoint().endpoint().address().to_string();
        let prefix = format!("unix:{}/", self.directory.path().display());
        address.replace(&prefix, "")
    }

    /// Returns the first endpoint of the server at this position.
    pub(super) fn endpoint(&self, server: usize) -> Arc<Endpoint> {
        let set = &self.current.as_ref().unwrap().endpoints;
        Arc::clone(&set.endpoints_of(&set.servers()[server])[0].endpoint)
    }

    /// Returns the condition of the first endpoint of the server at this position.
    pub(super) fn condition(&self, server: usize) -> Condition {
        let set = &self.current.as_ref().unwrap().endpoints;
        set.endpoints_of(&set.servers()[server])[0]
            .endpoint
            .condition()
    }

    /// Returns the number of connections that could not be established.
    pub(super) fn refused(&self) -> u64 {
        let server_entries = self.current.as_ref().unwrap().endpoints.servers().iter();
        server_entries
            .map(|server_entry| server_entry.server().totals().refused)
            .sum()
    }
}

/// Returns the demand of a request that needs a new connection.
pub(super) fn fresh() -> Demand<'static> {
    Demand::new(Reuse::Fresh, Needs::Any)
}

/// Returns the demand of a request that accepts any connection.
pub(super) fn safe() -> Demand<'static> {
    Demand::new(Reuse::Safe, Needs::Any)
}

/// Waits until the other side has closed.
pub(super) async fn closed(mut stream: UnixStream) {
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
}
