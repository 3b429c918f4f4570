//! A cluster of one worker before Unix sockets, for this module's tests.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::rc::Rc;

use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::{UnixListener, UnixStream};

use super::cluster::ClusterConfig;
use super::endpoint::Address;
use super::pool::ConnectionBudget;
use super::{Condition, Lease, LocalCluster, Needs, Reuse};
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
    /// Servers as `NAME=SOCKET,SOCKET*MAX_CONNECTIONS`, separated by blanks.
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

    /// Changes the servers.
    pub(super) fn configure(&mut self, servers: &str) {
        let servers = servers.split_whitespace().map(|server| {
            let (name, sockets) = server.split_once('=').unwrap();
            let (sockets, limit) = sockets.split_once('*').unwrap_or((sockets, "0"));
            config::Server {
                max_requests: NonZeroU32::new(limit.parse().unwrap()),
                ..config::Server::new(name, ServerAddress::Unix(sockets.into()))
            }
        });
        self.backend.servers = servers.collect();
    }

    /// Starts to listen on a socket.
    pub(super) fn listen(&mut self, name: &str) {
        let listener = UnixListener::bind(self.path(name)).unwrap();
        self.listeners.insert(name.to_owned(), listener);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// As a reload would have it; publishes it.
    pub(super) fn reload(&mut self) -> ClusterConfig {
        let resolve = |address: &ServerAddress| {
            let ServerAddress::Unix(sockets) = address else {
                unreachable!("only Unix sockets here")
            };
            let address = |socket: &str| match socket.parse() {
                Ok(address) => Address::Tcp(address),
                Err(_) => Address::Unix(self.path(socket)),
            };
            Ok(sockets.to_str().unwrap().split(',').map(address).collect())
        };
        let before = self.current.as_ref().map(|config| &config.cluster);
        let config = ClusterConfig::resolve_by(resolve, &self.backend, before, self.workers);
        let config = config.unwrap();
        config.publish();
        self.current = Some(config.clone());
        config
    }

    /// The view of a worker.
    pub(super) fn start(&mut self) -> Rc<LocalCluster> {
        let budget = ConnectionBudget::new(100, BufferPool::default());
        Rc::new(LocalCluster::new(&self.reload(), 0, &budget))
    }

    /// The server's side of the oldest connection to this socket.
    pub(super) async fn accept(&self, name: &str) -> UnixStream {
        self.listeners[name].accept().await.unwrap().0
    }

    /// Which socket a new connection leads to; `-` if to none.
    pub(super) async fn dial(&self, cluster: &Rc<LocalCluster>) -> String {
        match cluster.checkout(Reuse::Fresh, Needs::Any).await {
            Ok(lease) => self.socket(&lease),
            Err(_) => "-".to_owned(),
        }
    }

    fn socket(&self, lease: &Lease) -> String {
        let address = lease.endpoint().endpoint().address().to_string();
        let prefix = format!("unix:{}/", self.directory.path().display());
        address.replace(&prefix, "")
    }

    /// Of the first endpoint of the server at this position.
    pub(super) fn condition(&self, server: usize) -> Condition {
        let members = self.current.as_ref().unwrap().endpoints.members();
        members[server].endpoints()[0].condition()
    }

    /// Connections that could not be made.
    pub(super) fn refused(&self) -> u64 {
        let members = self.current.as_ref().unwrap().endpoints.members().iter();
        members.map(|member| member.server().totals().refused).sum()
    }
}

/// Waits until the other side has closed.
pub(super) async fn closed(mut stream: UnixStream) {
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
}
