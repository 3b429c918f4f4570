//! The servers of a backend as configured, in the configuration and in a file.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use super::endpoint::Address;
use super::endpoint_set::Found;
use super::establish::Handshake;
use super::server_tls::ServerTlsError;
use crate::config::{self, ServerAddress};

/// A server as configured.
#[derive(Debug, Clone)]
pub(super) struct Configured {
    pub(super) server: config::Server,
    pub(super) handshake: Arc<Handshake>,
    /// Whether it is of the servers file.
    pub(super) is_listed: bool,
}

/// Servers of a file.
#[derive(Debug, Clone, Default)]
pub(super) struct Listed {
    pub(super) servers: Vec<config::Server>,
    pub(super) reading: Reading,
}

/// When a file was read: a later one is greater.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reading(u64);

impl Reading {
    /// Of a file that is about to be read.
    pub(super) fn begin() -> Reading {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Reading(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A server that cannot be used as it is configured.
#[derive(Debug, Error)]
pub enum ServerError {
    /// Its name cannot be resolved.
    #[error("the address of server `{server}` cannot be resolved")]
    Resolve {
        /// The server's name in the configuration.
        server: String,
        /// The resolver's error.
        source: ResolveError,
    },
    /// The file with more servers makes no sense, or cannot be read.
    #[error("{0}")]
    File(config::Errors),
    /// A server of the file has the name of another.
    #[error("the servers file names `{server}`, which the configuration does as well")]
    Twice {
        /// The name.
        server: String,
    },
    /// There is no TLS with it.
    #[error("{source}")]
    Tls {
        /// The server's name in the configuration.
        server: String,
        /// The reason.
        source: ServerTlsError,
    },
}

/// Why a name has no address: the resolver's error.
pub(super) type ResolveError = Box<dyn std::error::Error + Send + Sync>;

/// The addresses of a server.
pub(super) type Resolved = Result<Vec<Found>, ResolveError>;

/// Those of a configuration and of its file, of which some are `known` from before.
///
/// # Errors
/// The first one that cannot be used.
pub(super) fn configure(
    configured: &[config::Server],
    listed: &[config::Server],
    known: &HashMap<String, Arc<Handshake>>,
) -> Result<Vec<Configured>, ServerError> {
    let mut servers: Vec<Configured> = Vec::new();
    let mut names = HashSet::new();
    let configured = configured.iter().map(|server| (server, false));
    for (server, is_listed) in configured.chain(listed.iter().map(|server| (server, true))) {
        if !names.insert(&server.name) {
            return Err(ServerError::Twice {
                server: server.name.clone(),
            });
        }
        let handshake = load(server, known, servers.last())?;
        servers.push(Configured {
            server: server.clone(),
            handshake,
            is_listed,
        });
    }
    Ok(servers)
}

/// How connections to a server begin: one that is known and equal, so that its sessions are kept,
/// and so that servers which differ in nothing have one.
fn load(
    server: &config::Server,
    known: &HashMap<String, Arc<Handshake>>,
    last: Option<&Configured>,
) -> Result<Arc<Handshake>, ServerError> {
    if server.tls.is_none()
        && let Some(Configured {
            server: other,
            handshake,
            ..
        }) = last
        && other.tls.is_none()
        && other.protocol == server.protocol
        && other.proxy_protocol == server.proxy_protocol
    {
        return Ok(Arc::clone(handshake));
    }
    let loaded = Handshake::load(server).map_err(|source| ServerError::Tls {
        server: server.name.clone(),
        source,
    })?;
    let known = known.get(&server.name).filter(|known| ***known == loaded);
    Ok(known.map_or_else(|| Arc::new(loaded), Arc::clone))
}

/// The address of a server that nobody has to be asked for.
pub(super) fn literal(address: &ServerAddress) -> Option<Found> {
    match address {
        ServerAddress::Unix(path) => Some(Found::new(Address::Unix(path.clone()))),
        ServerAddress::Tcp { host, port } => {
            let ip = host.parse().ok()?;
            Some(Found::new(Address::Tcp(SocketAddr::new(ip, *port))))
        }
        ServerAddress::Srv(_) => None,
    }
}
