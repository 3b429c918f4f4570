//! The configured servers of a backend, from the configuration and from its servers file.

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

/// A configured server.
#[derive(Debug, Clone)]
pub(super) struct Configured {
    pub(super) server: config::Server,
    pub(super) handshake: Arc<Handshake>,
    /// Whether the server comes from the servers file.
    pub(super) is_from_file: bool,
}

/// Servers read from a file.
#[derive(Debug, Clone, Default)]
pub(super) struct FileServers {
    pub(super) servers: Vec<config::Server>,
    pub(super) generation: FileGeneration,
}

/// Number of one reading of a servers file. Later readings have greater numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileGeneration(u64);

impl FileGeneration {
    /// Returns the number for a file that is about to be read.
    pub(super) fn begin() -> FileGeneration {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        FileGeneration(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A server that cannot be used as configured.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The server's name cannot be resolved.
    #[error("the address of server `{server}` cannot be resolved")]
    Resolve {
        /// The server's name in the configuration.
        server: String,
        /// The resolver's error.
        source: ResolveError,
    },
    /// The servers file is invalid, or cannot be read.
    #[error("{0}")]
    File(config::Errors),
    /// A server of the servers file has the same name as another server.
    #[error("the servers file names `{server}`, which is also in the configuration")]
    Twice {
        /// The name.
        server: String,
    },
    /// TLS with the server cannot be set up.
    #[error("{source}")]
    Tls {
        /// The server's name in the configuration.
        server: String,
        /// The reason.
        source: ServerTlsError,
    },
}

/// Reason why a name has no address: the resolver's error.
pub(super) type ResolveError = Box<dyn std::error::Error + Send + Sync>;

/// The addresses of a server.
pub(super) type Resolved = Result<Vec<Found>, ResolveError>;

/// Combines the configured servers with those of the servers file. `known` are handshakes that can
/// be reused.
///
/// # Errors
/// The first server that cannot be used.
pub(super) fn configure(
    configured: &[config::Server],
    file_servers: &[config::Server],
    known: &HashMap<String, Arc<Handshake>>,
) -> Result<Vec<Configured>, ServerError> {
    let mut servers: Vec<Configured> = Vec::new();
    let mut names = HashSet::new();
    let configured = configured.iter().map(|server| (server, false));
    for (server, is_from_file) in configured.chain(file_servers.iter().map(|server| (server, true)))
    {
        if !names.insert(&server.name) {
            return Err(ServerError::Twice {
                server: server.name.clone(),
            });
        }
        let handshake = load(server, known, servers.last())?;
        servers.push(Configured {
            server: server.clone(),
            handshake,
            is_from_file,
        });
    }
    Ok(servers)
}

/// Loads the handshake for a server. An equal handshake in `known` is reused, which preserves its
/// TLS sessions. Without TLS, a server shares the handshake of the previous server if both have the
/// same settings.
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

/// Returns the address of a server that needs no name resolution.
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
